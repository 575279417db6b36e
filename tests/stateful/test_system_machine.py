"""The same actions under Hypothesis: fewer and slower, but it shrinks on its own and says a failure as a short
program."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from ballast.fuzz.runner import Driver, Stats
from ballast.fuzz.world import LPS, TRADERS, Setup, World
from ballast.model.exact.fixed import WAD
from ballast.model.exact.perps import MAX_SIZE

SCALE = int(os.environ.get("BALLAST_FUZZ_SCALE", "1"))

traders = st.sampled_from(TRADERS)
lps = st.sampled_from(LPS)
markets = st.integers(0, 1)
sizes = st.integers(-500, 500).filter(bool)  # [thousandths of base]
factors = st.sampled_from((400, 800, 950, 990, 1_000, 1_010, 1_050, 1_250, 1_600))  # [thousandths of the last price]
quote = st.integers(1, 2_000_000)  # whole tokens


class SystemMachine(RuleBasedStateMachine):
    """A market day in which everything is checked after every step."""

    @initialize(decimals=st.sampled_from((6, 8, 18)), deposit=quote, margin=quote)
    def open(self, decimals: int, deposit: int, margin: int) -> None:
        self.world = World(Setup(decimals))
        self.driver = Driver(self.world, Stats(self.world.clock), thorough=True)
        self.do("lp_deposit", who="lp1", units=deposit * self.world.unit)
        for who in TRADERS:
            self.do("deposit_margin", who=who, units=margin * self.world.unit, to=who)

    def do(self, name: str, **arguments: Any) -> None:
        self.driver.step([name, arguments])

    @rule(who=traders, market=markets, size=sizes)
    def trade(self, who: str, market: int, size: int) -> None:
        self.do("trade", who=who, market=market, size=size * WAD // 1_000)

    @rule(who=traders, market=markets)
    def close(self, who: str, market: int) -> None:
        self.do("close", who=who, market=market)

    @rule(seconds=st.sampled_from((1, 12, 61, 3_600, 86_400)), moves=st.tuples(factors, factors))
    def prices(self, seconds: int, moves: tuple[int, int]) -> None:
        self.do("warp", seconds=seconds)
        for market, move in enumerate(moves):
            self.do("push", market=market, answer=max(self.world.newest[market].answer * move // 1_000, 1))

    @rule(victim=traders, market=markets)
    def liquidate(self, victim: str, market: int) -> None:
        self.do("liquidate_perp", who="keeper", victim=victim, market=market, amount=MAX_SIZE)

    @rule(who=traders, victim=traders, market=markets)
    def take(self, who: str, victim: str, market: int) -> None:
        self.do("take_perp", who=who, victim=victim, market=market, amount=MAX_SIZE)

    @rule(market=markets, silent=st.sampled_from(("", "REVERT")))
    def feed(self, market: int, silent: str) -> None:
        self.do("break_feed", market=market, fault=silent)

    @rule(who=traders, market=markets)
    def ask_to_be_closed(self, who: str, market: int) -> None:
        size = self.world.twin.perp_engine.position(self.world.address(who), market).size
        self.do("request_perp", who=who, market=market, size=-size)

    @rule(of=traders, market=markets)
    def carry_out(self, of: str, market: int) -> None:
        self.do("execute_request", who="keeper", of=of, market=market, options=False)

    @rule(who=traders, units=quote)
    def withdraw_margin(self, who: str, units: int) -> None:
        self.do("withdraw_margin", who=who, units=units * self.world.unit)

    @rule(who=lps, units=quote)
    def deposit(self, who: str, units: int) -> None:
        self.do("lp_deposit", who=who, units=units * self.world.unit)

    @precondition(lambda self: self.world.vault.supply > 0)
    @rule(who=lps, percent=st.integers(1, 100))
    def request(self, who: str, percent: int) -> None:
        shares = self.world.vault.balances.get(self.world.key(who), 0)
        self.do("request", who=who, shares=shares * percent // 100, to=who)

    @rule()
    def end_epoch(self) -> None:
        self.do("warp", seconds=max(self.world.vault.epochs.pool.ends_at - self.world.now, 1))
        for market, newest in enumerate(self.world.newest):
            self.do("push", market=market, answer=newest.answer)
        self.do("process_epoch", who="keeper")

    @rule(who=lps)
    def claim(self, who: str) -> None:
        self.do("redeem", who=who, shares=self.world.vault.max_redeem(self.world.key(who)))

    @rule(market=markets, part=st.integers(1, 100))
    def hedge(self, market: int, part: int) -> None:
        newest = self.world.newest[market]
        self.do("arbitrage", market=market, price=newest.answer * 10**10)
        self.do("warp", seconds=301)
        self.do("push", market=market, answer=newest.answer)
        size = -self.world.inventory.markets[market].delta * part // 100
        self.do("rebalance", who="keeper", venue=market, market=market, size=size)

    @rule(venue=markets, units=st.integers(1, 10**9))
    def gift(self, venue: int, units: int) -> None:
        self.do("donate_base", market=venue, venue=venue, units=units)
        self.do("poke", who="stranger", venue=venue)

    def teardown(self) -> None:
        """Now and then by global settlement, with everybody paid."""
        if hasattr(self, "driver"):
            if self.world.actions % 4 == 0:
                self.do("break_feed", market=0, fault="REVERT")
                self.do("warp", seconds=2 * 86_400)
                self.do("trigger", who="keeper")
                self.do("wind_up", seed=self.world.actions)
            self.driver.finish()


TestSystemMachine = SystemMachine.TestCase
TestSystemMachine.settings = settings(
    max_examples=12 * SCALE, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestSystemMachine.pytestmark = [pytest.mark.fuzz]
