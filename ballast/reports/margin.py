"""How the requirement of an example portfolio is computed -> docs/reports/margin.svg.

A covered call of ETH at 2,000, 60 % volatility and a month left, with the parameters of networks/local.yaml: in every
scenario, what its parts and the whole would lose. `python -m scripts.report margin` writes it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from ballast.model.analytic.margin import Grid, Option, losses, moves, requirement
from ballast.reports import REPORTS

SPOT = 2_000.0
CALL = Option(-1.0, 2_000.0, False, 30 / 365, 0.6)
GRID = Grid(linear=0.05, reach=0.15, share=1.0, floor=0.01)
PARTS = (
    ("long perpetual", 1.0, ()),
    ("short call", 0.0, (CALL,)),
    ("both", 1.0, (CALL,)),
)


def draw() -> Figure:
    """One panel for each part: the loss by move of spot, volatility up and down; the worst, and the floor on top."""
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    axes = figure.subplots(1, len(PARTS), sharey=True)
    steps = moves(GRID)[0][:, 0] * 100
    for axis, (name, perpetual, options) in zip(axes, PARTS, strict=True):
        lost = losses(SPOT, perpetual, options, GRID) / SPOT * 100
        worst, asked = float(lost.max()), requirement(SPOT, perpetual, options, GRID) / SPOT * 100
        at = np.unravel_index(lost.argmax(), lost.shape)[0]
        axis.axhline(0, color="0.7", lw=0.8)
        axis.plot(steps, lost[:, 0], "o-", color="#c0392b", label="volatility up")
        axis.plot(steps, lost[:, 1], "s-", color="#2471a3", label="volatility down", ms=4)
        axis.plot(steps[at], worst, "o", ms=13, mfc="none", color="black", label="worst")
        axis.set_title(f"{name}\nworst {worst:.1f} %, asks for {asked:.1f} %")
        axis.set_xlabel("move of spot, %")
    axes[0].set_ylabel("loss, % of spot")
    axes[0].legend(frameon=False)
    return figure


def report(folder: Path = REPORTS) -> Path:
    """Write the picture."""
    path = folder / "margin.svg"
    with rc_context({"svg.hashsalt": "ballast"}):
        draw().savefig(path, format="svg", metadata={"Date": None})
    return path
