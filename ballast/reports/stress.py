"""Liquidation in every recorded crash: what is left unpaid, and who bears it -> docs/reports/stress.md.

Each window of 1-minute and 5-minute bars is replayed by the exact twins (`ballast/reports/stress_replay.py` says how a
bar becomes prices of blocks) with the parameters of networks/local.yaml, three times: 400 accounts that are mostly
long, mixed, mostly short. Each opens one or two perpetuals of ETH and BTC at a random time, at 5, 10, 15 or 20 times
its collateral or, where initial margin (5 %), exit cost and charge forbid that, at the most that is allowed, and does
not close by itself. The feed posts a round when the price is 0.5 % off the last one, or an hour after it. LPs bring
10m, insurance starts with 50,000. A keeper has the vault take what is below maintenance, the largest position first, in
the block after a round, or every five minutes. At the end everybody closes and takes his cash.

Bad debt is what an account could not pay when it was closed. Part of it was missing at the mark already, and goes to
the traders who won; the rest is the half-spread of closing, which LPs and fees get. What an account could not pay of
the charge for the inventory that the vault takes over is no debt: the reserve goes without it.

`python -m scripts.report stress` writes this.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ballast.reports import REPORTS, ReportFailed
from ballast.reports import stress_replay as replay
from ballast.reports.stress_replay import BLOCK, LEVERAGES, MIXES, PATHS, SLOW, Liquidation, Run

SEED = 1
PICTURED: tuple[str, replay.Mix] = "2021-05_crash", "mixed"  # the window and mix whose course is drawn
COURSE = "long", "short", "insurance", "reserve", "nav", "profit"
WORTH = 1_000.0  # [quote] notional from which equity / maintenance is reported
POINTS = 1_500  # of a line, about
INK = "#1b2631"
COLOURS = "#2471a3", "#17a589", "#d68910", "#c0392b", "#7d3c98"


@dataclass(frozen=True, slots=True)
class Case:
    """How a window is replayed."""

    path: replay.Path
    delay: int
    hedged: bool = False

    @property
    def name(self) -> str:
        """As tables call it."""
        keeper = "next block" if self.delay == BLOCK else f"{self.delay // 60} min"
        return f"{self.path}, {keeper}" + (", hedged" if self.hedged else "")


CASES = (
    *(Case(path, delay) for path in PATHS for delay in (BLOCK, SLOW)),
    Case("straight", BLOCK, hedged=True),
)


@dataclass(frozen=True, slots=True)
class Class:
    """Accounts that asked for one leverage; amounts in quote."""

    leverage: int
    achieved: float  # notional / equity after opening, mean
    accounts: int
    notional: float  # at opening, all together
    liquidated: int
    debt: float
    missing: float


@dataclass(frozen=True, slots=True)
class Row:
    """A window in one case, the three mixes together; amounts in quote."""

    window: str
    case: str
    days: float
    fall: float
    rise: float
    step: float
    rounds: int
    accounts: int
    refused: int
    interest: float  # the highest of a mix
    liquidated: int  # accounts
    closed: int  # of these, to the end
    transactions: int  # the most that a turn of the keeper took for an account
    median: float  # equity / maintenance before
    lowest: float
    waited: int  # [s] longest below maintenance
    penalties: float
    debts: int
    debt: float
    missing: float
    by_insurance: float
    by_lps: float
    worst: float  # [fraction] bad debt over open interest, of the worst mix
    insurance_low: float
    lps: tuple[float, ...]  # gain of LPs, by mix
    profit: float  # traders' open profit over NAV, highest
    deleveraged: int
    stuck: int
    stuck_for: int  # [s]
    uncovered: int  # [wei]
    unpaid: int
    classes: tuple[Class, ...]


def measure(windows: Iterable[str] | None = None, seed: int = SEED, accounts: int = replay.ACCOUNTS) -> list[Row]:
    """Every case of the named windows; of all without names."""
    rows = []
    for name, bars in replay.windows():
        if windows is None or name in windows:
            for case in CASES:
                tape = replay.tape(name, bars, case.path)
                rows.append(summary(case, [run(tape, mix, case, seed, accounts) for mix in MIXES]))
    return rows


def run(tape: replay.Tape, mix: replay.Mix, case: Case, seed: int = SEED, accounts: int = replay.ACCOUNTS) -> Run:
    """One replay."""
    plan = replay.plans(tape, mix, seed, accounts)
    return replay.Replay.start(tape, plan, hedged=case.hedged).run(mix, case.path, case.delay)


def summary(case: Case, runs: Sequence[Run]) -> Row:
    """One row of the runs of a case."""
    first, found = runs[0], [each for run in runs for each in run.liquidations]
    ratios = [each.equity / each.maintenance for each in found if each.notional >= WORTH] or [float("nan")]
    return Row(
        window=first.window,
        case=case.name,
        days=first.days,
        fall=first.fall,
        rise=first.rise,
        step=first.step,
        rounds=first.rounds,
        accounts=sum(len(opened) for run in runs for opened in run.opened.values()),
        refused=sum(run.refused for run in runs),
        interest=max(run.interest for run in runs),
        liquidated=sum(_accounts(run.liquidations) for run in runs),
        closed=sum(not each.partial for each in found),
        transactions=max((each.steps for each in found), default=0),
        median=float(np.median(ratios)),
        lowest=min(ratios),
        waited=max((each.waited for each in found), default=0),
        penalties=sum(each.penalty for each in found),
        debts=sum(each.debt > 0 for each in found),
        debt=sum(each.debt for each in found) + sum(run.later for run in runs),
        missing=sum(each.missing for each in found),
        by_insurance=sum(run.by_insurance for run in runs),
        by_lps=sum(run.by_lps for run in runs),
        worst=max((sum(each.debt for each in run.liquidations) + run.later) / (run.interest or 1.0) for run in runs),
        insurance_low=min(run.insurance_low for run in runs),
        lps=tuple(run.lps for run in runs),
        profit=max(run.profit for run in runs),
        deleveraged=sum(run.deleveraged for run in runs),
        stuck=sum(run.stuck for run in runs),
        stuck_for=max(run.stuck_for for run in runs),
        uncovered=max(run.uncovered for run in runs),
        unpaid=sum(run.unpaid for run in runs),
        classes=tuple(_class(leverage, runs) for leverage in LEVERAGES),
    )


def _class(leverage: int, runs: Sequence[Run]) -> Class:
    opened = [each for run in runs for each in run.opened[leverage]]
    mine = [[each for each in run.liquidations if each.leverage == leverage] for run in runs]
    return Class(
        leverage,
        float(np.mean([achieved for _, achieved in opened])) if opened else float("nan"),
        len(opened),
        sum(notional for notional, _ in opened),
        sum(_accounts(found) for found in mine),
        sum(each.debt for found in mine for each in found),
        sum(each.missing for found in mine for each in found),
    )


def _accounts(found: Sequence[Liquidation]) -> int:
    return len({each.account for each in found})


# ---- what is written


def report(rows: Sequence[Row], course: Run, folder: Path = REPORTS) -> None:
    """Write stress.json, stress.md, stress.svg and, of one run, stress-course.svg."""
    (folder / "stress.json").write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    text = ["# Liquidation through recorded crashes", "", *(__doc__ or "").splitlines()[2:], "", *lines(rows)]
    (folder / "stress.md").write_text("\n".join(text) + "\n")
    with rc_context({"svg.hashsalt": "ballast"}):
        draw(rows).savefig(folder / "stress.svg", format="svg", metadata={"Date": None})
    with rc_context({"svg.hashsalt": "ballast"}):
        draw_course(course).savefig(folder / "stress-course.svg", format="svg", metadata={"Date": None})


def lines(rows: Sequence[Row]) -> list[str]:
    """The tables."""
    base = [row for row in rows if row.case == CASES[0].name]
    cases = list(dict.fromkeys(row.case for row in rows))
    text = [
        f"## What happened ({CASES[0].name})",
        "",
        "Fall and rise are the largest of a market in the window, the step is the largest between two rounds. E/M is "
        "equity over maintenance when a liquidation begins, of positions from 1,000 on; it takes several transactions "
        "where one does not bring the account back.",
        "",
        "| window | days | fall | rise | rounds | step | accounts | no room | liquidated | to the end | E/M median "
        "| lowest | most transactions | longest below |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    text += [
        f"| {r.window} | {r.days:.1f} | {r.fall:.0%} | {r.rise:.0%} | {r.rounds:,} | {r.step:.1%} | {r.accounts:,} |"
        f" {r.refused} | {r.liquidated} | {r.closed} | {r.median:.2f} | {r.lowest:.2f} | {r.transactions} |"
        f" {r.waited} s |"
        for r in base
    ]
    text += [
        "",
        "## Bad debt, and who bears it",
        "",
        "In quote, three mixes together; `of interest` is of the highest open interest of the worst mix. LPs' gain, "
        "the reserve included as nobody is left, is in per cent of what they brought, for mostly long / mixed / mostly "
        "short. `open profit` is traders' over NAV at its highest: above 60 % winners are closed at mark (`closed`).",
        "",
        "| window | case | accounts | bad debt | missing at the mark | of interest | by insurance | by LPs "
        "| LPs' gain, % | open profit | closed |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    text += [
        f"| {r.window} | {r.case} | {r.debts} | {r.debt:,.0f} | **{r.missing:,.0f}** | {r.worst:.2%} |"
        f" {r.by_insurance:,.0f} | {r.by_lps:,.0f} |"
        f" {' / '.join(f'{gain / replay.LP_EQUITY * 100:+.1f}' for gain in r.lps)} | {r.profit:.0%} | {r.deleveraged} |"
        for r in rows
    ]
    text += [
        "",
        "## By leverage, all windows",
        "",
        "Bad debt in basis points of what the accounts opened: all of it, and what was missing at the mark.",
        "",
        "| asked | " + " | ".join(cases) + " |",
        "|---|" + "--:|" * len(cases),
    ]
    for number, leverage in enumerate(LEVERAGES):
        cells = []
        for case in cases:
            mine = [row.classes[number] for row in rows if row.case == case]
            notional = sum(each.notional for each in mine) or 1.0
            debt, missing = (
                sum(values) / notional * 1e4 for values in ([c.debt for c in mine], [c.missing for c in mine])
            )
            cells.append(f"{debt:.1f}, **{missing:.2f}**")
        achieved = np.average(
            [r.classes[number].achieved for r in base], weights=[r.classes[number].accounts for r in base]
        )
        text.append(f"| {leverage} (mean {achieved:.1f} of equity) | " + " | ".join(cells) + " |")
    text += [
        "",
        "## Ledger",
        "",
        *(f"- {line}" for line in ledger(rows)),
        "",
        "Bad debt over what was opened, by leverage: solid what was missing at the mark, pale what closing cost.",
        "",
        "![bad debt by leverage](stress.svg)",
        "",
        "One run from its first minute to its last:",
        "",
        "![the course of one run](stress-course.svg)",
    ]
    return text


def ledger(rows: Sequence[Row]) -> list[str]:
    """What must hold in every run."""
    debt, missing = sum(r.debt for r in rows), sum(r.missing for r in rows)
    worst, best = (each(gain for r in rows for gain in r.lps) / replay.LP_EQUITY for each in (min, max))
    return [
        f"{len(rows) * len(MIXES)} runs. The sum of accounts and ledger buckets was off the tokens held by"
        f" {max(r.uncovered for r in rows)} wei at most, after every turn of the keeper and at the end.",
        "Accounts below maintenance of which the Liquidator refused every position:"
        f" {sum(r.stuck for r in rows)}, the longest for {max(r.stuck_for for r in rows)} s.",
        f"Accounts that could not close, or take out all their cash, at the end: {sum(r.unpaid for r in rows)}.",
        f"Bad debt of all runs: {debt:,.0f}, of which {missing:,.0f} ({missing / (debt or 1.0):.1%}) was missing at the"
        " mark; the rest is what closing cost.",
        f"Insurance was {min(r.insurance_low for r in rows):,.0f} at its lowest; LPs ended between {worst:+.1%} and"
        f" {best:+.1%}.",
    ]


def compare(rows: Sequence[Row]) -> None:
    """Raise ReportFailed where a ledger is uncovered, an account is stuck or cannot leave."""
    failures = [
        f"{r.window}, {r.case}: {r.uncovered} wei uncovered, {r.stuck} stuck, {r.unpaid} cannot leave"
        for r in rows
        if r.uncovered or r.stuck or r.unpaid
    ]
    if failures:
        raise ReportFailed("\n".join(failures))


def draw(rows: Sequence[Row]) -> Figure:
    """A panel for each window: bad debt by leverage in every case, solid what was missing at the mark."""
    windows = list(dict.fromkeys(row.window for row in rows))
    columns = min(4, len(windows))
    height = -(-len(windows) // columns)
    figure = Figure(figsize=(3.4 * columns, 2.5 * height + 0.6), layout="constrained")
    panels = np.atleast_1d(figure.subplots(height, columns, squeeze=False)).ravel()
    for axis, window in zip(panels, windows, strict=False):
        _panel(axis, [row for row in rows if row.window == window])
    for axis in panels[len(windows) :]:
        axis.set_axis_off()
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    return figure


def pictured() -> Run:
    """The run whose course is drawn."""
    window, mix = PICTURED
    return run(replay.tape(window, dict(replay.windows())[window], CASES[0].path), mix, CASES[0])


def draw_course(run: Run) -> Figure:
    """Prices, open interest and what was liquidated, who stands behind it, and how much traders have won."""
    figure = Figure(figsize=(11, 8.4), layout="constrained")
    prices, interest, behind, ahead = figure.subplots(4, 1, sharex=True, height_ratios=(1, 1.2, 1.2, 1))
    course = run.course[:: -(-len(run.course) // POINTS)]
    days = np.array([(moment.time - course[0].time) / 86_400 for moment in course])
    found = {name: np.array([getattr(moment, name) for moment in course]) / 1e6 for name in COURSE}
    price = np.array([moment.price for moment in course])
    for asset, row, colour in zip(run.assets, (price / price[0]).T * 100, COLOURS, strict=False):
        prices.plot(days, row, color=colour, lw=1, label=asset)
    prices.set_ylabel("price, % of first")
    interest.fill_between(days, found["long"], color=COLOURS[1], alpha=0.4, lw=0, label="long")
    interest.fill_between(days, -found["short"], color=COLOURS[3], alpha=0.4, lw=0, label="short")
    at = [(each.time - course[0].time) / 86_400 for each in run.liquidations]
    gone = np.cumsum([each.notional for each in run.liquidations]) / 1e6
    debt, missing = (
        np.cumsum([getattr(each, name) for each in run.liquidations]) / 1e6 for name in ("debt", "missing")
    )
    interest.set_ylabel("open interest, m")
    behind.plot(days, found["reserve"], color=COLOURS[0], lw=1.2, label="reserve")
    behind.plot(days, found["insurance"], color=COLOURS[2], lw=1.2, label="insurance")
    behind.step(at, debt, where="post", color=COLOURS[3], lw=1.2, label="bad debt, all so far")
    behind.step(at, missing, where="post", color=INK, lw=1.2, ls="--", label="of it missing at the mark")
    behind.set_ylabel("m")
    ahead.plot(days, found["nav"], color=COLOURS[0], lw=1.2, label="NAV")
    ahead.plot(days, found["profit"], color=COLOURS[3], lw=1.2, label="traders' open profit")
    ahead.plot(days, found["nav"] * 0.6, color="0.5", lw=0.8, ls="--", label="above this winners are closed")
    ahead.set_ylabel("m")
    ahead.set_xlabel("days")
    for axis in (prices, interest, behind, ahead):
        axis.legend(frameon=False, fontsize=8, ncols=4, loc="upper left", bbox_to_anchor=(0, 1.16), borderaxespad=0.1)
    figure.suptitle(
        f"{run.window}, {run.mix}, {CASES[0].name}: {len(at)} liquidations of {gone[-1] if at else 0:.1f}m", fontsize=10
    )
    return figure


def _panel(axis: Axes, rows: Sequence[Row]) -> None:
    """Bars in basis points of what accounts of a leverage opened."""
    width = 0.8 / len(rows)
    for number, row in enumerate(rows):
        at = np.arange(len(row.classes)) + (number - (len(rows) - 1) / 2) * width
        notional = np.array([each.notional or 1.0 for each in row.classes])
        debt = np.array([each.debt for each in row.classes]) / notional * 1e4
        missing = np.array([each.missing for each in row.classes]) / notional * 1e4
        colour = COLOURS[number % len(COLOURS)]
        axis.bar(at, debt, width, color=colour, alpha=0.35)
        axis.bar(at, missing, width, color=colour, label=row.case)
    if not any(each.debt for row in rows for each in row.classes):
        axis.text(0.5, 0.5, "none", transform=axis.transAxes, ha="center", color="0.5")
        axis.set_yticks([])
    axis.set_xticks(range(len(rows[0].classes)), [f"{each.leverage}×" for each in rows[0].classes])
    axis.set_title(f"{rows[0].window}\n−{rows[0].fall:.0%}, +{rows[0].rise:.0%}", fontsize=9)
    axis.set_ylabel("bp", fontsize=8)
    axis.tick_params(labelsize=8)
