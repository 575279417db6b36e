"""How the requirement of an example portfolio is computed -> docs/reports/margin.svg.

A covered call of ETH at 2,000, 60 % volatility and a month left, with the parameters of networks/local.yaml: in every
scenario, what its parts and the whole would lose; and what is asked of 2,000 ETH of it, a tenth of the cap, for opening
and before liquidation. `python -m scripts.report margin` writes it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ballast.model.analytic.margin import Grid, Option, exit_cost, losses, moves, requirement
from ballast.reports import REPORTS

SPOT = 2_000.0
CALL = Option(-1.0, 2_000.0, False, 30 / 365, 0.6)
GRID = Grid(linear=0.05, reach=0.15, share=1.0, floor=0.01)
MAINTENANCE = Grid(linear=0.03, reach=0.15 * 0.6, share=0.6, floor=0.01)
NOTIONAL, CAP = 4e6, 40e6  # [quote]
COLOURS = "#5d6d7e", "#e59866", "#a9cce3"
PARTS = (
    ("long perpetual", 1.0, ()),
    ("short call", 0.0, (CALL,)),
    ("both", 1.0, (CALL,)),
)


def draw() -> Figure:
    """One panel for each part: the loss by move of spot, volatility up and down, and the worst; then what is asked."""
    figure = Figure(figsize=(13.5, 3.8), layout="constrained")
    *axes, last = figure.subplots(1, len(PARTS) + 1)
    steps = moves(GRID)[0][:, 0] * 100
    for axis, (name, perpetual, options) in zip(axes, PARTS, strict=True):
        lost = losses(SPOT, perpetual, options, GRID) / SPOT * 100
        worst, asked = float(lost.max()), requirement(SPOT, perpetual, options, GRID) / SPOT * 100
        at = np.unravel_index(lost.argmax(), lost.shape)[0]
        axis.axhline(0, color="0.7", lw=0.8)
        axis.plot(steps, lost[:, 0], "o-", color="#c0392b", label="volatility up")
        axis.plot(steps, lost[:, 1], "s-", color="#2471a3", label="volatility down", ms=4)
        axis.plot(steps[at], worst, "o", ms=13, mfc="none", color="black", label="worst")
        axis.set_title(f"{name}\nworst {worst:.1f} %, with the floor {asked:.1f} %", fontsize=10)
        axis.set_ylim(-6, 10)
        axis.set_xlabel("move of spot, %")
    axes[0].set_ylabel("loss, % of spot")
    axes[0].legend(frameon=False)
    _asked(last)
    return figure


def _asked(axis: Axes) -> None:
    """Initial and maintenance requirement of each part, in per cent of spot, by what they consist of."""
    for number, (_, perpetual, options) in enumerate(PARTS):
        for grid, shift in ((GRID, -0.2), (MAINTENANCE, 0.2)):
            worst = max(float(losses(SPOT, perpetual, options, grid).max()), 0.0) / SPOT
            floor = requirement(SPOT, perpetual, options, grid) / SPOT - worst
            exit_ = exit_cost(NOTIONAL * perpetual, CALL.vol, CAP) / NOTIONAL
            bottom = 0.0
            labels = "worst scenario", "floor of what is short", "exit cost of the perpetual"
            for part, colour, label in zip((worst, floor, exit_), COLOURS, labels, strict=True):
                shown = label if number == 0 and grid is GRID else None
                axis.bar(number + shift, part * 100, 0.36, bottom * 100, color=colour, label=shown)
                bottom += part
            name = "initial" if grid is GRID else "maint."
            axis.text(number + shift, bottom * 100 + 0.1, f"{name}\n{bottom:.1%}", ha="center", fontsize=7.5)
    axis.set_xticks(range(len(PARTS)), [name for name, *_ in PARTS])
    axis.set_ylim(0, 14)
    axis.set_ylabel("asked for, % of spot")
    axis.legend(frameon=False, fontsize=8, loc="upper left")
    axis.set_title("equity must be at least", fontsize=10)


def report(folder: Path = REPORTS) -> Path:
    """Write the picture."""
    path = folder / "margin.svg"
    with rc_context({"svg.hashsalt": "ballast"}):
        draw().savefig(path, format="svg", metadata={"Date": None})
    return path
