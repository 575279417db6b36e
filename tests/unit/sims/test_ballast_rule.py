"""Ballast's rule in floats: equal to the contracts and their twin, trade by trade and hedge by hedge."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import numpy as np
import pytest

from ballast.config import load
from ballast.keeper.hedging import best_hedge
from ballast.keeper.policy import Policy
from ballast.keeper.state import Epoch, Market, Route, Rule, State, Venue
from ballast.model.analytic.potential import Weights, potential
from ballast.model.exact.fixed import WAD
from ballast.model.exact.inventory import Inventory, Params
from ballast.model.exact.oracle import Mark
from ballast.model.exact.structs import Change, Exposure
from sims import engine
from sims.engine import Hedging, run
from sims.replay import replay
from sims.rules import ballast
from sims.world import (
    ELAPSED,
    EQUITY,
    HEDGE,
    LONG,
    N_VAULT,
    N_VIEW,
    NET,
    NEVER,
    PREVIOUS_AGE,
    PRICE,
    RESERVE,
    SHORT,
    SIGMA,
    TIME,
    OracleModel,
    Wants,
    World,
)

LOCAL = ballast.Params()
EQUITY_0 = 10e6
PRICES = (2_000.0, 40_000.0)
SIGMAS = (0.6, 0.5)


def busy(steps: int, trades: int, oracle: OracleModel | None = None) -> World:
    """Two markets, traders who come at random, most of them in the same direction, and leave again."""
    rng = np.random.default_rng(11)
    path = np.array(PRICES) * np.exp(np.cumsum(rng.normal(0.0, 0.0007, (steps + 1, 2)), axis=0))
    comings = []
    for j in range(trades):
        step, market = int(rng.integers(1, steps)), int(rng.integers(0, 2))
        size = float(rng.normal(20_000.0, 300_000.0)) / PRICES[market]
        comings.append((step, market, size, j, True))
        comings.append((step + int(rng.exponential(steps / 6)), market, 0.0, j, False))
    comings.sort(key=lambda row: row[0])
    place: dict[int, int] = {}
    rows = []
    for step, market, size, j, opens in comings:
        if step <= steps:
            place[j] = place.get(j, len(rows))
            rows.append((step, market, size, 0.02 if opens else inf, NEVER if opens else place[j]))
    return World.of(path, 60.0, oracle=oracle, wants=Wants.of(rows))


def test_replay_equals_contracts_and_twin() -> None:
    """Contracts and twin agree to the wei, or `replay` raises; floats to nine digits, charges and rebates alike."""
    world = busy(900, 220, OracleModel(heartbeat=900.0, deviation=0.003))
    found = replay(world, LOCAL.changed(deviation=0.003), steps=900)
    assert found.trades > 250
    assert found.rebates > 30
    assert found.charge < 1e-9
    assert found.cost < 1e-9
    assert found.equity < 1e-9
    assert found.reserve < 1e-9


@dataclass
class Ledger:
    """LP cash and reserve; books nothing by itself."""

    lp: int
    reserve: int = 0

    def vault_ledger(self) -> tuple[int, int]:
        return self.lp, self.reserve

    def release(self, amount: int) -> None:
        self.lp, self.reserve = self.lp + amount, self.reserve - amount


class Pair:
    """The rule and the exact twin, fed the same steps."""

    def __init__(self) -> None:
        config = load("local")
        self.ledger = Ledger(int(EQUITY_0) * WAD)
        self.twin = Inventory(self, self.ledger, Params.of(config.inventory.params()))
        for i, market in enumerate(config.markets):
            self.twin.set_market_params(i, market.inventory.params())
        self.p = LOCAL.array()
        self.z = np.zeros(ballast.N_STATE + 2 * ballast.N_MARKET_STATE)
        self.m, self.g = np.zeros((2, N_VIEW)), np.zeros(N_VAULT)
        self.m[:, PRICE], self.m[:, SIGMA], self.g[EQUITY] = PRICES, SIGMAS, EQUITY_0
        ballast.start(self.p, self.z, self.m, self.g)
        self.now = 1_000_000

    def sync(self, market: int, now: int) -> Mark:
        return self.mark(market)

    peek = sync  # an oracle of a kind

    def mark(self, i: int) -> Mark:
        price, sigma = (round(float(self.m[i, x]) * 1e8) * 10**10 for x in (PRICE, SIGMA))
        return Mark(price, sigma, 0, 1, self.now, self.now - 60, True)

    def block(self, seconds: int, move: float = 0.0) -> None:
        """The next block, every market synchronised. Nobody pays for holding: this is not about that."""
        delta = self.m[:, HEDGE] - self.m[:, NET]
        self.now += seconds
        moved = np.round(self.m[:, PRICE] * (1 + move), 8)
        self.g[EQUITY] += float(delta @ (moved - self.m[:, PRICE]))
        self.m[:, PRICE], self.m[:, PREVIOUS_AGE] = moved, seconds
        self.g[TIME], self.g[ELAPSED] = self.now - 1_000_000, 0.0
        _, freed = ballast.accrue(self.p, self.z, self.m, self.g)
        self.g[EQUITY] += freed
        self.g[RESERVE] -= freed
        for i in (0, 1):
            answer = self.twin.trade(i, self.mark(i), Change(), self.now)
            self.ledger.release(answer.release)

    def trade(self, i: int, dq: float) -> None:
        to_lp, to_reserve = ballast.fill(self.p, self.z, self.m, self.g, i, dq)
        self.g[EQUITY] += to_lp
        self.g[RESERVE] += to_reserve
        self.m[i, NET] += dq
        mark, size = self.mark(i), int(dq * WAD)
        notional = abs(size) * mark.price // WAD
        change = Change(Exposure(delta=-size), notional=notional, book=-size * mark.price // WAD)
        answer = self.twin.trade(i, mark, change, self.now)
        fees = answer.half_spread // 5 // 10**12 * 10**12
        self.ledger.lp += answer.half_spread - fees + size * mark.price // WAD
        self.ledger.reserve += answer.charge

    def hedge(self, i: int, dh: float, lost: float) -> tuple[float, float, float, float]:
        """Fall and freed, by the rule and by the twin."""
        fall, freed = ballast.relief(self.p, self.z, self.m, self.g, i, dh)
        spent = lost + 1.0
        released = ballast.hedged(self.p, self.z, self.m, self.g, i, dh, spent)
        self.m[i, HEDGE] += dh
        self.g[EQUITY] += released - spent
        self.g[RESERVE] -= released
        mark, size = self.mark(i), int(dh * WAD)
        paid = size * mark.price // WAD + int(spent * WAD)
        self.ledger.lp -= paid
        change = Change(Exposure(delta=size), book=size * mark.price // WAD)
        answer = self.twin.adjust(i, mark, change, self.now, hedges=True, moved=paid)
        self.ledger.release(answer.release + min(answer.excess, int(spent * WAD)))
        return fall, freed, answer.fall / WAD, answer.freed / WAD

    def check(self) -> None:
        """Reserve, E, U, minima and coverage are the twin's."""
        b = self.twin.book
        assert self.g[RESERVE] == pytest.approx(self.ledger.reserve / WAD, rel=1e-9, abs=1e-5)
        assert self.z[ballast.CAPITAL] == pytest.approx(b.capital / 1e6, rel=1e-12)
        for own, theirs in (
            (ballast.LAST, b.last),
            (ballast.LOW, b.low),
            (ballast.LOW_PREV, b.low_prev),
            (ballast.OPENING, b.opening),
        ):
            assert self.z[own] == pytest.approx(theirs, abs=2.0)
        assert self.z[ballast.COVERAGE] == pytest.approx(b.coverage, abs=2.0)
        assert self.z[ballast.LOSS] == pytest.approx(b.loss / 1e6, abs=1e-4)


def test_hedge_equals_the_twin() -> None:
    pair = Pair()
    rng = np.random.default_rng(3)
    gained = 0.0
    for step in range(60):
        pair.block(int(rng.integers(30, 4_000)), float(rng.normal(0.0, 0.004)))
        pair.check()
        i = int(rng.integers(0, 2))
        if step % 3 == 2:
            delta = float(pair.m[i, HEDGE] - pair.m[i, NET])
            dh = round(-0.4 * delta, 6) + (0.0 if step % 2 else 1e-3)
            if dh == 0.0:
                continue
            fall, freed, twin_fall, twin_freed = pair.hedge(i, dh, abs(dh) * PRICES[i] * 0.0005)
            assert fall == pytest.approx(twin_fall, rel=1e-9, abs=3e-6)
            assert freed == pytest.approx(twin_freed, rel=1e-9, abs=3e-6)
            gained += fall
        else:
            pair.trade(i, round(float(rng.normal(30_000.0, 200_000.0)) / PRICES[i], 6))
        pair.check()
    assert gained > 100.0  # it was about something


def test_potential_is_that_of_the_formulas() -> None:
    """Quadratic, linear beyond the knee, and with utilization; both ends of correlation."""
    state = np.zeros(ballast.N_STATE + 2 * ballast.N_MARKET_STATE)
    view, vault = np.zeros((2, N_VIEW)), np.zeros(N_VAULT)
    view[:, PRICE], view[:, SIGMA], vault[EQUITY] = PRICES, SIGMAS, EQUITY_0
    p = LOCAL.array()
    for nets in ((500.0, 10.0), (3_000.0, -90.0), (-6_000.0, -200.0), (0.0, 300.0)):
        state[:] = 0.0
        view[:, NET] = 0.0
        ballast.start(p, state, view, vault)
        ballast.accrue(p, state, view, vault)
        for i in (0, 1):
            if nets[i]:
                ballast.fill(p, state, view, vault, i, nets[i])
                view[i, NET] = nets[i]
        dollars = -np.array(nets) * np.array(PRICES)
        expected = potential(dollars, np.array(SIGMAS), EQUITY_0, Weights())
        assert state[ballast.LAST] / 1e6 == pytest.approx(expected, rel=1e-9)


def test_quote_refuses_what_the_engine_refuses() -> None:
    p, z = LOCAL.array(), np.zeros(ballast.N_STATE + 2 * ballast.N_MARKET_STATE)
    m, g = np.zeros((2, N_VIEW)), np.zeros(N_VAULT)
    m[:, PRICE], m[:, SIGMA], g[EQUITY] = PRICES, SIGMAS, 20e6
    ballast.start(p, z, m, g)
    ballast.accrue(p, z, m, g)
    assert ballast.quote(p, z, m, g, 0, 100.0) < 1e5
    assert ballast.quote(p, z, m, g, 0, 19_000.0) == inf  # 38 m: stressed loss 19 m of 20 m
    m[0, LONG] = m[0, SHORT] = 19_950.0
    assert ballast.quote(p, z, m, g, 0, 60.0) == inf  # more than 20,000 of a side
    assert ballast.quote(p, z, m, g, 0, 40.0) < inf


def test_run_hedges_by_the_rule_only_what_pays() -> None:
    """Hedged, the vault keeps less delta; nothing is where a venue is dear; the reserve is what of charges is left."""
    world = busy(900, 120)
    hedging = Hedging.of(load("local"), depth=50e6, fee=0.0001)
    alone, hedged = run(world, LOCAL, sample=10), run(world, LOCAL, sample=10, hedging=hedging)
    t = hedged.totals[0]
    assert t[engine.HEDGES] > 3
    assert np.abs(hedged.net[0]).sum(axis=0)[0] < 0.8 * np.abs(alone.net[0]).sum(axis=0)[0]
    dear = run(world, LOCAL, sample=10, hedging=Hedging.of(load("local"), depth=50e6, fee=0.03))
    assert dear.totals[0, engine.HEDGES] == 0
    for result in (alone, hedged):
        booked = result.totals[0, engine.CHARGES] - result.totals[0, engine.REBATES] - result.totals[0, engine.RELEASED]
        assert result.reserve[0, -1] == pytest.approx(booked)
        assert result.reserve.min() >= 0.0


def keeper_state(delta: float, depth: float, gas: float, reserve: float) -> State:
    """What a keeper sees of one market of that delta and one pool of that depth, at 2,000 and 60 %."""
    route = Route(index=0, spot=2_000.0, twap=2_000.0, fee=5e-4, depth=depth)
    pool = Venue(
        id=0, market=0, exposure_wad=10**22, equity=2e7, reported_exposure_wad=10**22, reported_equity=2e7,
        routes=(route,), cap=inf, turnover_left=inf, fee_cap=3e-3, band=1e-3, ready_at=0, max_age=60, haircut=0.0,
    )  # fmt: skip
    market = Market(id=0, price=2_000.0, sigma=0.6, delta=delta, updated_at=1_000, fresh=True)
    return State(
        block=1, now=1_000, markets=(market,), venues=(pool,), accounts=(), epoch=Epoch(1, 2_000),
        weights=Weights(), rule=Rule(gas=gas), capital=EQUITY_0, opening=inf, opened_at=0, reserve=reserve,
        lp_cash=1e9, swept_at=1_000, sweep_age=3_600, option_rules={},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("size", "depth", "gas"), [(3_000.0, 2e9, 0.0), (3_000.0, 2e9, 500.0), (-2_500.0, 5e9, 20.0), (600.0, 2e9, 0.0)]
)
def test_run_hedges_as_much_as_the_keeper_would(size: float, depth: float, gas: float) -> None:
    world = World.of(np.full((3, 2), PRICES), 60.0, wants=Wants.of([(1, 0, size, inf, NEVER)]), gas=gas)
    result = run(world, LOCAL, sample=1, hedging=Hedging.of(load("local"), depth=depth), log=1)
    state = keeper_state(-size, depth, gas, reserve=float(result.log[0, engine.LOG_TO_RESERVE]))
    plan = best_hedge(state, state.venues[0], Policy())
    assert result.net[0, 2, 0] + size == pytest.approx(plan.size if plan else 0.0, rel=1e-3)
    cost = result.totals[0, [engine.HEDGING, engine.REWARDS]]
    assert cost == pytest.approx([plan.cost, plan.reward] if plan else [0.0, 0.0], rel=3e-3)


def test_changed_refuses_unknown_names() -> None:
    assert LOCAL.changed(aversion=4, z=1.5, fee_share=0).array()[[0, 16, 19]].tolist() == [4.0, 1.5, 0.0]
    with pytest.raises(TypeError, match="lambda"):
        LOCAL.changed(**{"lambda": 4.0})
