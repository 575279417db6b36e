"""Who pays when an account's margin does not last -> docs/reports/waterfall.svg.

The rules are those of docs/mechanism.md §12, §13 and §15, with the parameters of networks/local.yaml.
`python -m scripts.report margin` writes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from ballast import config as networks
from ballast.reports import REPORTS

WIDTH, HEIGHT = 11.0, 7.4  # [in] and units of the drawing
BOX = 2.5, 0.94  # of a stage
LEFT, TOP, STEP = 0.15, 6.75, 1.42  # of the first stage; from one to the next
SHIFT = 0.32  # of each stage to the right of the one before
PAYS, GETS = 4.45, 7.75  # left edges of the two columns
INK, PALE = "#1b2631", "0.45"


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of the waterfall; `pays` and `gets` are lines of text, `beyond` leads to the next step."""

    title: str
    what: str
    colour: str
    pays: str
    gets: str
    beyond: str


def stages() -> list[Stage]:
    """The steps, with the numbers of networks/local.yaml."""
    config = networks.load("local")
    clearing, winners, market = config.clearing, config.deleveraging, config.markets[0].perps
    caller, lps = clearing.liquidator_share, clearing.lp_share
    return [
        Stage(
            "1  the account",
            "liquidation: equity < maintenance",
            "#d6eaf8",
            f"its loss, what closing costs, and a penalty of\nup to {market.penalty:.0%} of what is closed, "
            "which never\nlowers equity / maintenance",
            f"the penalty:  {caller:.0%} who calls,  {lps:.0%} LPs,\n{1 - caller - lps:.0%} insurance;  who takes the "
            "position over:\n60–100 %, more the deeper it has fallen",
            "closed, and cash is below 0",
        ),
        Stage(
            "2  insurance",
            "bad debt",
            "#d1f2eb",
            f"all of it while there is any; filled by\n{clearing.insurance_share:.0%} of fees and by penalties",
            "traders who won, as their profit is LPs' debt",
            "insurance is empty",
        ),
        Stage(
            "3  LPs",
            "the rest of the bad debt",
            "#fcf3cf",
            "LP cash, that is NAV: each share bears\nthe same",
            "the same: winners are paid whole",
            f"open profit > {winners.trigger:.0%} of NAV",
        ),
        Stage(
            "4  who is winning",
            "deleveraging",
            "#fae5d3",
            "what he would have won on: the position with\nthe highest profit × leverage is closed at mark,\n"
            f"until open profit is {winners.target:.0%} of NAV",
            "he, his profit so far, without spread; who calls, a\nsmall reward out of insurance",
            "NAV < 0, or no price for a day",
        ),
        Stage(
            "5  everybody",
            "global settlement: all prices fixed",
            "#f5b7b1",
            "reserve, fees, insurance and the protocol's part\ngo to LP cash first; then LPs lose, then open\nprofit, "
            "all of it by one ratio; cash last",
            "in this order: LPs redeemed before, cash of accounts\nand settled options, open profit, LPs",
            "",
        ),
    ]


def draw() -> Figure:
    """Stages from top to bottom, with who pays and who gets what beside each."""
    figure = Figure(figsize=(WIDTH, HEIGHT))
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set_xlim(0, WIDTH)
    axis.set_ylim(0, HEIGHT)
    axis.set_axis_off()
    for x, heading in ((PAYS, "who pays, and what"), (GETS, "who gets it")):
        axis.text(x, TOP + 0.28, heading, fontsize=10, fontweight="bold", color=INK)
    found = stages()
    for number, stage in enumerate(found):
        _stage(axis, stage, LEFT + number * SHIFT, TOP - number * STEP)
    return figure


def _stage(axis: Axes, stage: Stage, x: float, top: float) -> None:
    width, height = BOX
    box = FancyBboxPatch(
        (x, top - height), width, height, boxstyle="round,pad=0,rounding_size=0.1", fc=stage.colour, ec=INK, lw=1
    )
    axis.add_patch(box)
    middle = top - height / 2
    axis.text(x + 0.14, middle + 0.17, stage.title, fontsize=11.5, fontweight="bold", color=INK, va="center")
    axis.text(x + 0.14, middle - 0.2, stage.what, fontsize=8.6, color=INK, va="center")
    axis.plot([x + width + 0.08, PAYS - 0.12], [middle, middle], color="0.8", lw=0.8, ls=":")
    for left, text in ((PAYS, stage.pays), (GETS, stage.gets)):
        axis.text(left, middle, text, fontsize=8.8, color=INK, va="center", linespacing=1.35)
    if stage.beyond:
        end = top - STEP
        axis.annotate(
            "", (x + SHIFT + 0.25, end + 0.01), (x + SHIFT + 0.25, top - height),
            arrowprops={"arrowstyle": "-|>", "color": INK, "lw": 1.4},
        )  # fmt: skip
        axis.text(x + SHIFT + 0.4, (top - height + end) / 2, stage.beyond, fontsize=8.4, color=PALE, va="center")


def report(folder: Path = REPORTS) -> Path:
    """Write the picture."""
    path = folder / "waterfall.svg"
    with rc_context({"svg.hashsalt": "ballast"}):
        draw().savefig(path, format="svg", metadata={"Date": None})
    return path
