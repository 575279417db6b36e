"""How fast the kernel is, and how near to the contracts -> docs/reports/sim-speed.md and .json.

`python -m scripts.report sim-speed` measures anew.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace

import numpy as np

from ballast.config import load
from ballast.reports import REPORTS, ReportFailed
from sims import engine, flow, paths
from sims.engine import Hedging, Rule, run
from sims.replay import NEAR, Differences, replay
from sims.rules import ballast, flat
from sims.world import OracleModel, World

PATHS, STEPS, MINUTE = 8, 30 * 1_440, 60.0
EQUITY = 10e6
TIMES = 7  # of which the quickest counts
BOUND = 20e6  # [path-steps/s] on two cores, of the perp study: Ballast, and its keepers once an hour
BOUND_ROWS = ("Ballast", "Ballast, keepers look every hour")


@dataclass(frozen=True, slots=True)
class Speed:
    """One rule in the world of the benchmark."""

    name: str
    steps: float  # [path-steps per CPU second]
    trades: float  # per path


@dataclass(frozen=True, slots=True)
class Measured:
    """What the report says."""

    busy: float  # [fraction] of steps at which anybody wants anything
    speeds: list[Speed]
    wall: float  # [path-steps/s] of the first bounded row, two threads, by the clock
    differences: dict[str, Differences]


def world(seed: int = 1) -> World:
    """Thirty days of minutes, eight times, with traders as calibrated in two markets."""
    rng = np.random.default_rng(seed)
    log = np.cumsum(rng.normal(0.0, 0.0006, (PATHS, STEPS + 1, 2)), axis=1)
    prices = np.array([2_000.0, 40_000.0]) * np.exp(log)
    return World.of(prices, MINUTE, wants=flow.wants(rng, prices, MINUTE, flow.perp_traders(), EQUITY))


def contenders() -> Iterator[tuple[str, Rule, Hedging | None]]:
    """Names, rules, hedges."""
    deployed = Hedging.of(load("local"))
    yield "a flat fee", flat.Params(), None
    yield "Ballast", ballast.Params(), None
    yield "Ballast, keepers look every hour", ballast.Params(), replace(deployed, every=60)
    yield "Ballast, keepers look every minute", ballast.Params(), deployed
    yield "Ballast, a band, looked at every hour", ballast.Params(), Hedging(policy=engine.BAND, every=60)


def measure(say: Callable[[str], None] = lambda _: None) -> Measured:
    """A minute or so."""
    there = world()
    steps = there.paths * there.steps
    busy = float(np.mean([len(np.unique(there.wants_of(i).step)) for i in range(there.paths)])) / there.steps
    speeds, wall = [], 0.0
    for name, rule, hedging in contenders():
        result = run(there, rule, equity=EQUITY, hedging=hedging, jobs=1)
        spent, clock = [], []
        for _ in range(TIMES):
            cpu, now = time.process_time(), time.perf_counter()
            run(there, rule, equity=EQUITY, hedging=hedging, jobs=2)
            spent.append(time.process_time() - cpu)
            clock.append(time.perf_counter() - now)
        trades = float(np.mean(result.totals[:, engine.TRADES]))
        speeds.append(Speed(name, steps / min(spent), trades))
        if name == BOUND_ROWS[0]:
            wall = steps / min(clock)
        say(f"{speeds[-1].steps / 1e6:>7.1f} M path-steps per CPU second  {name}")
    differences = {}
    for title, found in replays():
        differences[title] = found
        say(f"{found}  {title}")
    return Measured(busy, speeds, wall, differences)


def replays() -> Iterator[tuple[str, Differences]]:
    """Parts played on the contracts: two crashes and a calm, calibrated traders, two kinds of feed."""
    pushed = OracleModel(heartbeat=1_800.0, deviation=0.005)
    for name, first, steps, oracle, deviation in (
        ("2021-05_crash", 9_300, 1_200, OracleModel(), 0.0),
        ("2021-05_crash", 9_300, 1_200, pushed, 0.005),
        ("2022-11_ftx", 800, 600, OracleModel(), 0.0),
        ("calm_2023-08", 2_000, 1_200, OracleModel(), 0.0),
    ):
        prices = paths.recorded(name).part(first, first + steps)
        rng, traders = np.random.default_rng(7), flow.perp_traders().scaled(arrivals=2.0)
        wants = flow.wants(rng, prices.price[None], prices.dt, traders, EQUITY)
        part = World.of(prices.price, prices.dt, oracle=oracle, wants=wants, name=name)
        kind = "pushed at 0.5 % or half an hour" if deviation else "a round every step"
        yield f"{name}, {kind}", replay(part, ballast.Params().changed(deviation=deviation), steps=steps)


def report(measured: Measured) -> None:
    """Write the table."""
    (REPORTS / "sim-speed.json").write_text(json.dumps(asdict(measured), indent=2) + "\n")
    (REPORTS / "sim-speed.md").write_text("\n".join(lines(measured)) + "\n")


def lines(measured: Measured) -> list[str]:
    """The report."""
    first = measured.speeds[0].steps
    text = [
        "# Speed of the simulation kernel, and its distance from the contracts",
        "",
        f"{PATHS} paths of {STEPS:,} minutes in two markets, traders as `sims/flow.py` calibrates them: somebody",
        f"wants something at {measured.busy:.0%} of the steps, LPs' equity is sampled once an hour. CPU seconds of one",
        f"core, the quickest of {TIMES} runs; paths share nothing, so that two idle cores do twice as much. Compiling,",
        "two to six seconds of a rule and once for each state of the sources, is not in it.",
        "",
        "| rule | million path-steps per CPU second | on two cores | ratio | trades per path |",
        "|---|--:|--:|--:|--:|",
    ]
    for s in measured.speeds:
        cells = f"{s.steps / 1e6:.1f} | {2 * s.steps / 1e6:.0f} | {s.steps / first:.2f} | {s.trades:,.0f}"
        text.append(f"| {s.name} | {cells} |")
    text += [
        "",
        f"Bound: {BOUND / 1e6:.0f} million on two cores for *{'* and *'.join(BOUND_ROWS)}*.",
        f"By the clock, two threads on a busy machine, the first did {measured.wall / 1e6:.0f} million.",
        "",
        "## The same trades on the contracts",
        "",
        "`sims/replay.py` takes trades that the kernel found and plays them through the contracts (in process) and",
        "their exact twin, which agreed to the wei in every trade and every bucket of the ledger, and then through the",
        "kernel again at the chain's marks. Largest differences of the kernel from the twin:",
        "",
        "| part | trades | rebates | refused | cost / half-spread | charge | LP equity | reserve |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name, d in measured.differences.items():
        cells = " | ".join(f"{value:.0e}" for value in (d.cost, d.charge, d.equity, d.reserve))
        text.append(f"| {name} | {d.trades} | {d.rebates} | {d.refused} | {cells} |")
    text += [
        "",
        f"Bound: {NEAR:.0e}. What is stored in coarse words (U and its minima to a millionth of quote, coverage to",
        "1e-9, rates to 1e-6 and 1e-5 a year, indices of funding to 1e-9 quote per base, fees to a millionth) is",
        "rounded in the kernel, too. Where a float falls on the other side of such a step, a rebate differs by a",
        "millionth of quote.",
        "*Refused*: what the kernel traded and the contracts refuse, being below the least size.",
    ]
    return text


def compare(measured: Measured) -> None:
    """ReportFailed where a bound is broken."""
    broken = [
        f"{s.name}: {2 * s.steps / 1e6:.1f} million path-steps/s on two cores, bound {BOUND / 1e6:.0f}"
        for s in measured.speeds
        if s.name in BOUND_ROWS and 2 * s.steps < BOUND
    ]
    broken += [
        f"{name}: {value:.1e} from the twin, bound {NEAR:.0e}"
        for name, d in measured.differences.items()
        for value in (d.cost, d.charge, d.equity, d.reserve)
        if value > NEAR
    ]
    if broken:
        raise ReportFailed("\n".join(broken))
