"""One demo from beginning to end: node, deployment, replay, checks, everybody's exit, and the comparison."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from ballast.chain import load
from ballast.chain.anvil import Anvil
from ballast.demo import checks, compare
from ballast.demo.checks import Check
from ballast.demo.flow import DEFAULT_MINUTES, Scenario, build
from ballast.demo.options import OptionTally, Settlement, Smile
from ballast.demo.replay import GENESIS_LEAD, LATE_LP, Liquidation, Replay, Sample, Tally, config_for
from ballast.demo.stage import AnvilStage
from ballast.system import deploy_system

VARIANTS = (compare.UNHEDGED, compare.PERPETUALS, compare.FLAT)
EQUITY = 10_000_000.0  # [quote] of the first LPs
STATES = 16  # that the node keeps: nobody looks farther back than a block

# Largest first, so that two processes share the work evenly.
CONTRACTS = (
    "OptionBook", "OptionEngine", "Vault", "Inventory", "Lens", "HedgeManager", "PerpEngine", "OptionPricer",
    "AaveShortVenue", "Clearinghouse", "GlobalSettlement", "PriceOracle", "UniswapV3Venue", "VolSurface", "Margin",
    "Liquidator", "CloseQueue", "Deleverager", "ChainlinkFeed", "ReplayAggregator", "AggregatorProxy", "TestToken",
)  # fmt: skip

Progress = Callable[[str, int, int], None]  # phase, done, of


@dataclass(frozen=True, slots=True)
class Final:
    """The ledger after everybody has left [quote]."""

    held: float
    lp: float
    reserve: float
    margin: float  # of all accounts
    claims: float
    payables: float
    fees: float
    protocol: float
    insurance: float
    supply: float  # [shares] left
    venues: float  # [base] left at all venues
    epochs: int  # of redemption that it took

    @property
    def dust(self) -> float:
        """What nobody can claim; insurance stays by design."""
        return self.held - self.insurance


@dataclass(frozen=True, slots=True)
class Result:
    """Everything the report shows."""

    scenario: Scenario
    tally: Tally  # of the replay
    exits: Tally  # of everybody's exit
    options: OptionTally  # of the replay
    option_exits: OptionTally
    settlements: tuple[Settlement, ...]
    smiles: tuple[Smile, ...]
    samples: tuple[Sample, ...]
    hedges: tuple[tuple[int, int, float], ...]  # time, market, size [base]
    liquidations: tuple[Liquidation, ...]
    health: tuple[tuple[int, tuple[float | None, ...]], ...]  # time, equity / maintenance of every trader
    profit: float  # [quote] of all LPs: claimed less deposited
    variants: tuple[compare.Outcome, ...]
    checks: tuple[Check, ...]
    final: Final
    transactions: int
    blocks: int
    replay_seconds: float
    seconds: dict[str, float] = field(default_factory=dict)  # by phase

    @property
    def rate(self) -> float:
        """Transactions per second during the replay."""
        return self.transactions / self.replay_seconds


def precompile() -> None:
    """Compile what is not cached, in as many processes as there are cores."""
    workers = min(4, os.cpu_count() or 1)
    with ProcessPoolExecutor(max_workers=workers) as pool:
        list(pool.map(_compile, CONTRACTS))


def _compile(name: str) -> None:
    load(name)


def run(
    window: str,
    *,
    minutes: int = DEFAULT_MINUTES,
    equity: float = EQUITY,
    progress: Progress = lambda phase, done, of: None,
) -> Result:
    """A whole demo; raises when anything that should work does not, invariants aside: those are in `checks`."""
    seconds: dict[str, float] = {}
    started = time.monotonic()

    def lap(name: str) -> None:
        nonlocal started
        now = time.monotonic()
        seconds[name], started = now - started, now

    scenario = build(window, equity=equity, minutes=minutes)
    progress("compile", 0, 1)
    precompile()
    progress("compile", 1, 1)
    lap("compile")

    with Anvil(timestamp=scenario.start.time - GENESIS_LEAD, states=STATES) as node:
        stage = AnvilStage(node)
        try:
            progress("deploy", 0, 1)
            system = deploy_system(stage.chain, config_for(scenario))
            progress("deploy", 1, 1)
            lap("deploy")

            total, done = len(scenario.minutes), 0

            def advance(count: int) -> None:
                nonlocal done
                done += count
                progress("replay", done, total)

            replay = Replay(stage, system, scenario, progress=advance)
            before = stage.transactions
            replay.run()
            transactions = stage.transactions - before
            lap("replay")
            blocks = stage.chain.number

            progress("checks", 0, 2)
            events = checks.history(stage, system)
            found = [
                checks.ledger_covers_tokens(stage, system, events),
                checks.aggregates_are_sums(stage, system, events),
                checks.reserve_is_conserved(stage, system, events),
                *checks.Probe(stage, system, replay).run(),
            ]
            progress("checks", 1, 2)
            options = replay.floor.end()
            tally = replay.end()
            liquidations, health = list(replay.liquidations), list(replay.health)
            epochs = replay.wind_down()
            events = checks.history(stage, system)
            found += [
                checks.zero_sum(stage, system, replay, events),
                checks.ledger_covers_tokens(stage, system, events),
                checks.reserve_is_conserved(stage, system, events),
                checks.boards_are_gone(stage, system),
            ]
            final = _final(stage, replay, epochs)
            profit = _profit(replay)
            progress("checks", 2, 2)
            lap("checks and exits")
        finally:
            stage.close()

    progress("compare", 0, 1)
    with ProcessPoolExecutor(max_workers=2) as pool:
        jobs = [pool.submit(compare.run, scenario, tuple(replay.done), variant) for variant in VARIANTS]
        replay.add_bands()
        variants = [job.result() for job in jobs]
    progress("compare", 1, 1)
    lap("compare")
    return Result(
        scenario=scenario,
        tally=tally,
        exits=replay.tally,
        options=options,
        option_exits=replay.floor.tally,
        settlements=tuple(replay.floor.settlements),
        smiles=tuple(replay.floor.smiles),
        samples=tuple(replay.samples),
        hedges=tuple(replay.hedged),
        liquidations=tuple(liquidations),
        health=tuple(health),
        profit=profit,
        variants=tuple(variants),
        checks=tuple(sorted(found, key=lambda check: check.id)),
        final=final,
        transactions=transactions,
        blocks=blocks,
        replay_seconds=seconds["replay"],
        seconds=seconds,
    )


def _final(stage: AnvilStage, replay: Replay, epochs: int) -> Final:
    s, actors = replay.system, replay.actors
    accounts: Sequence[str] = [*actors.traders, *actors.optioneers, actors.keeper, actors.stranger]
    venues = [venue for market in s.markets for venue in market.venues]
    buckets, held, supply, *rest = stage.reads(
        [
            s.clearinghouse.tx("buckets"),
            s.quote.tx("balanceOf", s.clearinghouse),
            s.vault.tx("totalSupply"),
            *(s.clearinghouse.tx("account", account) for account in accounts),
            *(venue.tx("exposure") for venue in venues),
        ]
    )
    return Final(
        held=held / 10**s.decimals,
        lp=buckets.lp / 1e18,
        reserve=buckets.reserve / 1e18,
        margin=sum(cash for cash, _ in rest[: len(accounts)]) / 1e18,
        claims=buckets.claims / 1e18,
        payables=buckets.payables / 1e18,
        fees=buckets.fees / 1e18,
        protocol=buckets.protocol / 1e18,
        insurance=buckets.insurance / 1e18,
        supply=supply / 1e18,
        venues=sum(rest[len(accounts) :]) / 1e18,
        epochs=epochs,
    )


def _profit(replay: Replay) -> float:
    """What LPs hold now beyond what they were given [quote]."""
    s = replay.system
    held = sum(s.quote.call("balanceOf", lp) for lp in replay.actors.lps) / 10**s.decimals
    return float(held - replay.funded * len(replay.actors.lps))


def deposited(result: Result) -> float:
    """What LPs brought [quote]."""
    return result.scenario.equity * (1 + LATE_LP)
