"""How well, and at what cost, the vault's delta is hedged through recorded windows -> docs/reports/hedging.md.

Every window of 1-minute bars is replayed whole on the contracts themselves, in process: traders' flow is the GMX record
on its scale to the vault's equity of 10m, hedges are swaps at Uniswap v3 pools that an arbitrageur keeps at the
recorded prices, shorts are borrowed from Aave v3, and the keeper is the live one, with its observe, decide and act
(`ballast/reports/hedging_replay.py` says the rest). Only perpetuals are traded.

*Tracking error* is the standard deviation of a day's P&L of the delta that is left open, from the P&L of its minutes,
over that of the same flow unhedged. *Cost* is all that hedging costs LPs: fee and impact (the larger of what the rule
measures at the oracle's price and of what was lost against the recorded one), the keeper's reward, what it is refunded
for gas, and interest; it is compared with the inventory charges that the same vault collected.

Gas: "ethereum" is Ethereum's mean price of the very day, "rollup" 0.01 gwei. Of the rollups only fees of other months
are recorded, so that none is matched to a window.

The network is the demo's (`ballast/demo/network.yaml`), "as deployed"; "closer" is the same one with the parameters
named below. `python -m scripts.report hedging` writes this; runs are kept in out/hedging and not repeated.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from ballast import data
from ballast.chain.artifacts import ROOT
from ballast.config import Config
from ballast.data import Floats
from ballast.demo.flow import Scenario, build
from ballast.demo.replay import config_for
from ballast.demo.stage import BASE_FEE
from ballast.keeper import Policy
from ballast.reports import REPORTS, ReportFailed
from ballast.reports.hedging_replay import Course, Operator, Tape, Vault, gas_prices
from ballast.reports.hedging_rivals import FIXED_BAND, INNERS, STEPPED_BAND, Costs, matched

EQUITY = 10_000_000.0  # [quote]
TRACKING = 0.2  # bound on the tracking error
SHARE = 0.35  # bound on cost over charges
SAVING = 0.25  # bound on what the keeper saves against a fixed band
FEW = 20  # hedges; with fewer a keeper is not compared with others
EVERY = 30  # [minutes] between two points of a picture
KEPT = ROOT / "out" / "hedging"
CHAINS = ("rollup", "ethereum")
SETTINGS = ("closer", "as deployed")
KEEPER, WHOLE, NOBODY = "keeper", "keeper, at once", "nobody"
STEP = 50_000.0  # [quote] of the keeper's steps

# what "closer" changes
CLOSER: dict[str, dict[str, Any]] = {
    "inventory": {"aversion": Decimal(24)},
    "hedging": {"eta": Decimal("0.05")},
    "oracle": {"sigma_floor": Decimal("0.6")},
    "venues": {"fees": [100, 500, 3_000]},
}


@dataclass(frozen=True, slots=True)
class Row:
    """One window hedged in one way. Amounts in quote, all of the window."""

    window: str
    chain: str
    setting: str
    strategy: str
    days: float
    parameter: str  # of the strategy
    unhedged: float  # standard deviation of a day's P&L of the flow
    error: float  # the same of what is left open, over it
    error_daily: float  # from the P&L of whole days
    hedges: int
    shorts: int  # of them at Aave
    turnover: float
    measured: float  # cost as the rule measures it
    loss: float  # fee and impact against the oracle's price
    loss_at_market: float  # against the recorded price
    reward: float
    refund: float
    interest: float
    gas: float  # what the transactions burn, by docs/reports/gas.md
    charges: float
    rebates: float
    half_spreads: float
    volume: float
    refused: dict[str, int]
    seconds: float
    course: tuple[
        tuple[float, float], ...
    ]  # what traders leave the vault with, and what stays open, net of both markets

    @property
    def cost(self) -> float:
        """What hedging costs LPs; of slippage the larger of what the rule measures and what the market took."""
        return max(self.measured, self.loss_at_market) + self.reward + self.refund + self.interest

    @property
    def outlay(self) -> float:
        """Slippage against the recorded price, and gas: what can be compared with others."""
        return self.loss_at_market + self.gas

    @property
    def share(self) -> float:
        """Cost over inventory charges."""
        return self.cost / self.charges if self.charges else 0.0


def network(scenario: Scenario, chain: str, setting: str) -> Config:
    """The demo's network at the window's first prices; on Ethereum the rule refunds any gas price."""
    config = config_for(scenario)
    inventory, hedging = config.inventory.model_dump(), config.hedging.model_dump()
    markets = [market.model_dump() for market in config.markets]
    if setting == "closer":
        inventory |= CLOSER["inventory"]
        hedging |= CLOSER["hedging"]
        for market in markets:
            market["oracle"] |= CLOSER["oracle"]
            market["oracle"]["initial_sigma"] = max(market["oracle"]["initial_sigma"], CLOSER["oracle"]["sigma_floor"])
            market["venues"] = [venue | CLOSER["venues"] for venue in market["venues"]]
    if chain == "ethereum":
        hedging["gas_price_cap"] = Decimal(5_000)
    return config.changed(inventory=inventory, hedging=hedging, markets=markets)


def gas_of(scenario: Scenario, chain: str) -> Floats:
    """Gas price of each minute [wei]."""
    return gas_prices(scenario) if chain == "ethereum" else np.full(len(scenario.minutes), float(BASE_FEE))


def measure(kept: Path = KEPT, minutes: int | None = None, say: Callable[[str], None] = lambda line: None) -> list[Row]:
    """Every run that is not kept already; `minutes` shortens the windows."""
    rows: list[Row] = []
    for chain, setting, window in product(CHAINS, SETTINGS, data.minute_windows()):
        name = f"{setting}-{chain}-{window}".replace(" ", "-")
        case = Case.of(window, chain, setting, minutes)
        found = [
            *_kept(kept / f"{name}.json", partial(vaults, case)),
            *_kept(kept / f"{name}-steps.json", partial(stepped, case)),
        ]
        keeper = found[-1]
        if keeper.hedges >= FEW:
            found += _kept(kept / f"{name}-rivals.json", partial(rivals, case, keeper.error * keeper.unhedged))
        for row in found:
            say(
                f"{row.window:18} {row.chain:9} {row.setting:12} {row.strategy:16} error {row.error:6.1%} share "
                f"{row.share:6.1%} hedges {row.hedges:5} outlay {row.outlay:10,.0f} {row.seconds:5.0f} s"
            )
        rows += found
    return rows


@dataclass(frozen=True, slots=True)
class Case:
    """A window, a deployment, and what gas costs."""

    chain: str
    setting: str
    tape: Tape
    config: Config
    gas: Floats

    @classmethod
    def of(cls, window: str, chain: str, setting: str, minutes: int | None = None) -> Case:
        """The whole window, or a stretch around its wildest hour."""
        scenario = build(window, equity=EQUITY, minutes=minutes or len(data.minute_window(window)["ETH"]))
        return cls(chain, setting, Tape(scenario), network(scenario, chain, setting), gas_of(scenario, chain))


def vaults(case: Case) -> Iterator[Row]:
    """Without hedges, and with a keeper that does all of a hedge at once."""
    started = time.process_time()
    yield _row(case, NOBODY, "", Vault(case.tape, case.config.without_venues(), case.gas).run(), started)
    started = time.process_time()
    yield _row(case, WHOLE, "", Vault(case.tape, case.config, case.gas).run(), started)


def stepped(case: Case) -> Iterator[Row]:
    """With the keeper, that trades at most `STEP` at once and waits until arbitrage has filled the pools again."""
    started = time.process_time()
    course = Vault(case.tape, case.config, case.gas, policy=Policy(step=STEP)).run()
    yield _row(case, KEEPER, "", course, started)


def rivals(case: Case, wanted: float) -> Iterator[Row]:
    """Others at a tracking error [quote]."""
    for rival in matched(case.tape, case.config, wanted, costs(case)):
        started = time.process_time()
        course = Operator(case.tape, case.config, case.gas).run(rival.hedges)
        parameter = f"{rival.parameter:,.3g} {rival.unit}"
        if rival.inner:
            parameter += f", to {rival.inner:.0%} of it"
        if rival.slice_ < 1.0:
            parameter += f", {rival.slice_ * EQUITY:,.0f} a minute"
        yield _row(case, rival.name, parameter, course, started)


def costs(case: Case) -> Costs:
    """What a rival reckons with: the lowest fee, liquidity of two tiers at the start, and the keeper's gas."""
    depths = []
    for market in case.config.markets:
        pool, tiers = market.venues[0].test_pool, market.venues[0].fees
        assert pool is not None
        depths.append(2 * float(pool.base) / len(tiers) / (1 - (1 + float(pool.width)) ** -0.5))
    fee = min(case.config.markets[0].venues[0].fees) / 1e6
    return Costs(fee, np.array(depths), Policy().rebalance_gas * case.gas / 1e18 * case.tape.prices[:, 0])


def _kept(path: Path, run: Callable[[], Iterator[Row]]) -> list[Row]:
    """Rows of a file, which is written if it is not there."""
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps([asdict(row) for row in run()]))
    return [Row(**row) for row in json.loads(path.read_text())]


def _row(case: Case, strategy: str, parameter: str, course: Course, started: float) -> Row:
    tape = case.tape
    unhedged = tape.error(-tape.traders)
    hedges, policy = course.hedges, Policy()
    worth = np.stack([(-tape.traders * tape.prices).sum(axis=1), (course.delta * tape.prices).sum(axis=1)], axis=1)
    return Row(
        window=tape.scenario.window,
        chain=case.chain,
        setting=case.setting,
        strategy=strategy,
        days=tape.days,
        parameter=parameter,
        unhedged=unhedged,
        error=tape.error(course.delta) / unhedged,
        error_daily=tape.error_of_days(course.delta) / tape.error_of_days(-tape.traders),
        hedges=len(hedges),
        shorts=sum(hedge.short for hedge in hedges),
        turnover=sum(abs(hedge.size) * tape.prices[hedge.minute, hedge.market] for hedge in hedges),
        measured=sum(hedge.cost for hedge in hedges),
        loss=sum(hedge.loss for hedge in hedges),
        loss_at_market=sum(hedge.loss_at_market for hedge in hedges),
        reward=sum(hedge.reward for hedge in hedges),
        refund=sum(hedge.refund for hedge in hedges),
        interest=course.interest,
        gas=sum(hedge.gas_price * (policy.lending_gas if hedge.short else policy.rebalance_gas) for hedge in hedges),
        charges=course.charges,
        rebates=course.rebates,
        half_spreads=course.half_spreads,
        volume=course.volume,
        refused=course.refused,
        seconds=time.process_time() - started,
        course=tuple((round(a), round(b)) for a, b in worth[::EVERY].tolist()),
    )


# ---- the report


def report(rows: Sequence[Row], folder: Path = REPORTS) -> None:
    """Write hedging.json, hedging.md, hedging.svg and hedging-course.svg."""
    plain = [{name: value for name, value in asdict(row).items() if name != "course"} for row in rows]
    (folder / "hedging.json").write_text(json.dumps(plain, indent=1) + "\n")
    text = ["# Hedging through recorded windows", "", *(__doc__ or "").splitlines()[2:], "", *lines(rows)]
    (folder / "hedging.md").write_text("\n".join(text) + "\n")
    for name, figure in (("hedging", draw(rows)), ("hedging-course", draw_course(rows))):
        with rc_context({"svg.hashsalt": "ballast"}):
            figure.savefig(folder / f"{name}.svg", format="svg", metadata={"Date": None})


def lines(rows: Sequence[Row]) -> list[str]:
    """The tables."""
    changed = ", ".join(f"{name} {value}" for part in CLOSER.values() for name, value in part.items())
    text = [
        "## The keeper",
        "",
        f'"closer" has {changed}. In quote. `measured` is slippage as the rule measures it, `at market` against the '
        "recorded price: the feed may lag the market by its deviation, and what looks cheap at the oracle's price is "
        f"then dearer. The keeper trades at most {STEP:,.0f} in one hedge and waits a minute for arbitrage to fill the "
        'pools again; "at once" it does not. `traders pay` is charges less rebates, of what they trade.',
        "",
        "| | gas | window | unhedged, a day | tracking error | cost / charges | hedges | at Aave | turnover | measured "
        "| at market | reward | refund | interest | charges | rebates | traders pay |",
        "|---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in (row for row in rows if row.strategy in (KEEPER, WHOLE)):
        name = row.setting if row.strategy == KEEPER else f"{row.setting}, at once"
        text.append(
            f"| {name} | {row.chain} | {row.window} | {row.unhedged:,.0f} | {_bound(row.error, TRACKING)} "
            f"| {_bound(row.share, SHARE)} | {row.hedges:,} | {row.shorts:,} | {row.turnover / 1e6:,.1f}m "
            f"| {row.measured:,.0f} | {row.loss_at_market:,.0f} | {row.reward:,.0f} | {row.refund:,.0f} "
            f"| {row.interest:,.0f} | {row.charges:,.0f} | {row.rebates:,.0f} "
            f"| {(row.charges - row.rebates) / row.volume * 1e4:.1f} bp |"
        )
    text += [
        "",
        f"Bold: over the bound of {TRACKING:.0%} and {SHARE:.0%}. All windows of a deployment together:",
        "",
        "| | gas | tracking error | cost / charges |",
        "|---|---|--:|--:|",
    ]
    for setting, chain in product(SETTINGS, CHAINS):
        found = [row for row in _of(rows, KEEPER) if (row.setting, row.chain) == (setting, chain)]
        if len(found) == len(data.minute_windows()):
            text.append(
                f"| {setting} | {chain} | {_bound(_pooled(found), TRACKING)} | {_bound(_shared(found), SHARE)} |"
            )
    text += [
        "",
        "![tracking error and cost of every window](hedging.svg)",
        "",
        "## Others at the same tracking error",
        "",
        "A trusted operator hedges the same flow at the same pools, each market for itself, without the vault's rule: "
        "no cap, no cool-down, no reward, no interest. Fixed band and Whalley-Wilmott are tuned by bisection until "
        "they track as well as the keeper in that window; they may end a hedge inside the band "
        f"({', '.join(f'{inner:.0%}' for inner in INNERS)} of it) and spread it over minutes, and the cheapest counts. "
        "That is hindsight, in their favour. The "
        "schedule is the longest interval that tracks as well. `outlay` is slippage against the recorded price and "
        f"gas, in quote; windows in which the keeper hedged fewer than {FEW} times are left out.",
        "",
        "| | gas | window | error | strategy | hedges | turnover | slippage | gas | outlay | keeper's, of it |",
        "|---|---|---|--:|---|--:|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        if row.strategy in (NOBODY, WHOLE):
            continue
        mine = next(other for other in _of(rows, KEEPER) if _place(other) == _place(row))
        if mine.hedges < FEW:
            continue
        part = "" if row is mine else f"{mine.outlay / row.outlay:.0%}"
        name = row.strategy if not row.parameter else f"{row.strategy} ({row.parameter})"
        text.append(
            f"| {row.setting} | {row.chain} | {row.window} | {row.error:.1%} | {name} | {row.hedges:,} "
            f"| {row.turnover / 1e6:,.1f}m | {row.loss_at_market:,.0f} | {row.gas:,.0f} | {row.outlay:,.0f} | {part} |"
        )
    text += [
        "",
        *_unrun(rows),
        "Bounds that are missed:",
        "",
        *(f"- {miss}" for miss in missed(rows) or ["none"]),
        "",
        "What traders leave the vault with, and what stays open, of both markets together (closer, rollup):",
        "",
        "![the course of the inventory](hedging-course.svg)",
    ]
    return text


def _unrun(rows: Sequence[Row]) -> list[str]:
    """Says which runs of the keeper in steps there are not."""
    done = {_place(row) for row in _of(rows, KEEPER)}
    places = [
        (window, chain, setting) for chain, setting in product(CHAINS, SETTINGS) for window in data.minute_windows()
    ]
    left = "; ".join(", ".join(place) for place in places if place not in done)
    return [f"Not run in steps yet, and not compared: {left}.", ""] if left else []


def missed(rows: Sequence[Row]) -> list[str]:
    """Bounds that are not met: tracking and cost where the network is "closer" on a rollup, saving everywhere."""
    found = []
    for row in _of(rows, KEEPER):
        where = f"{row.window}, {row.chain}, {row.setting}"
        if (row.setting, row.chain) == ("closer", "rollup"):
            if row.error > TRACKING:
                found.append(f"{where}: tracking error {row.error:.1%} is over {TRACKING:.0%}")
            if row.share > SHARE:
                found.append(f"{where}: cost is {row.share:.1%} of charges, over {SHARE:.0%}")
    for row in (*_of(rows, FIXED_BAND), *_of(rows, STEPPED_BAND)):
        mine = next(other for other in _of(rows, KEEPER) if _place(other) == _place(row))
        if mine.outlay > (1 - SAVING) * row.outlay:
            found.append(
                f"{row.window}, {row.chain}, {row.setting}: the keeper spends {mine.outlay / row.outlay:.0%} of what a "
                f"{row.strategy} does, over {1 - SAVING:.0%}"
            )
    return found


def compare(rows: Sequence[Row]) -> None:
    """Fail when a bound is missed."""
    failures = missed(rows)
    if failures:
        raise ReportFailed("\n".join(failures))


def draw(rows: Sequence[Row]) -> Figure:
    """Tracking error and cost over charges of every window, with their bounds."""
    figure = Figure(figsize=(9.0, 3.4), layout="constrained")
    axes = figure.subplots(1, 2)
    windows = data.minute_windows()
    for axis, title, bound in zip(axes, ("tracking error", "cost over charges"), (TRACKING, SHARE), strict=True):
        for number, case in enumerate(product(CHAINS, SETTINGS)):
            found = {row.window: row for row in _of(rows, KEEPER) if (row.chain, row.setting) == case}
            heights = [row.error if bound == TRACKING else row.share for row in map(found.get, windows) if row]
            at = [place + (number - 1.5) / 5 for place, window in enumerate(windows) if window in found]
            axis.bar(at, heights, 0.18, label=", ".join(case))
        axis.axhline(bound, color="black", linewidth=0.8, linestyle="--")
        axis.set_xticks(range(len(windows)), [window.replace("_", "\n") for window in windows])
        axis.set_title(title, fontsize=10)
        axis.yaxis.set_major_formatter(PercentFormatter(1.0))
        axis.tick_params(labelsize=8)
    axes[0].legend(fontsize=7, frameon=False)
    return figure


def draw_course(rows: Sequence[Row]) -> Figure:
    """Net delta of both markets in each window, unhedged and hedged."""
    figure = Figure(figsize=(9.0, 5.0), layout="constrained")
    found = [row for row in _of(rows, KEEPER) if (row.setting, row.chain) == ("closer", "rollup")]
    for axis, row in zip(figure.subplots(2, 2).ravel(), found, strict=False):
        course = np.array(row.course) / 1e6
        days = np.arange(len(course)) * EVERY / 1_440
        axis.plot(days, course[:, 0], color="0.6", linewidth=0.9, label="left by traders")
        axis.plot(days, course[:, 1], color="tab:blue", linewidth=0.9, label="open")
        axis.axhline(0.0, color="black", linewidth=0.5)
        axis.set_title(row.window, fontsize=9)
        axis.set_xlabel("days", fontsize=8)
        axis.set_ylabel("m quote", fontsize=8)
        axis.tick_params(labelsize=8)
        axis.legend(fontsize=7, frameon=False)
    return figure


def _of(rows: Sequence[Row], strategy: str) -> list[Row]:
    return [row for row in rows if row.strategy == strategy]


def _place(row: Row) -> tuple[str, str, str]:
    return row.window, row.chain, row.setting


def _bound(value: float, most: float) -> str:
    return f"**{value:.1%}**" if value > most else f"{value:.1%}"


def _pooled(rows: Sequence[Row]) -> float:
    """Tracking error of several windows, end to end."""
    left = sum((row.unhedged * row.error) ** 2 * row.days for row in rows)
    return float(np.sqrt(left / sum(row.unhedged**2 * row.days for row in rows)))


def _shared(rows: Sequence[Row]) -> float:
    """Cost over charges of several windows together."""
    return sum(row.cost for row in rows) / sum(row.charges for row in rows)
