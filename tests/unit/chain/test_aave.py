"""The real Aave v3 does here what its documentation says, on revm and on Anvil."""

from __future__ import annotations

from dataclasses import astuple, dataclass

import pytest

from ballast.chain import Chain, Contract, reverts
from ballast.chain.aave import ETHER, Aave, Terms
from ballast.model.exact.fixed import WAD
from ballast.model.exact.oracle import Round

YEAR = 365 * 86_400


@dataclass
class Market:
    """A pool that lends ether against dollars, with a lender's 10,000 ether and 20m dollars in it."""

    aave: Aave
    quote: Contract
    base: Contract
    feed: Contract
    user: str
    liquidator: str

    def move(self, price: int) -> None:
        """The feed says [quote/base, WAD]."""
        now = self.aave.chain.now
        self.feed.set_round.send(astuple(Round(self.feed.latest().round_id + 1, price, 0, now, True)))


@pytest.fixture
def market(chain: Chain) -> Market:
    quote = chain.deploy("TestToken", "Quote", "QUOTE", 6)
    base = chain.deploy("TestToken", "Base", "BASE", 18)
    feeds = [chain.deploy("FeedDouble") for _ in range(2)]
    for feed, price in zip(feeds, (WAD, 2_000 * WAD), strict=True):
        feed.set_round.send(astuple(Round(1, price, 0, chain.now, True)))
    aave = Aave.deploy(chain, {quote: (feeds[0], Terms()), base: (feeds[1], ETHER)})
    lender, user, liquidator = chain.accounts[7:10]
    aave.supply(base, 10_000 * WAD, owner=lender)
    aave.supply(quote, 20_000_000 * 10**6, owner=lender)
    return Market(aave, quote, base, feeds[1], user, liquidator)


def test_interest_accrues_and_a_liquidator_is_paid_its_bonus(market: Market) -> None:
    m, aave = market, market.aave
    aave.supply(m.quote, 1_000_000 * 10**6, owner=m.user)
    with reverts("36"):  # COLLATERAL_CANNOT_COVER_NEW_BORROW: beyond 77 %
        aave.borrow(m.base, 386 * WAD, owner=m.user)
    aave.borrow(m.base, 300 * WAD, owner=m.user)
    assert aave.health(m.user) == WAD * 8 * 1_000_000 // (10 * 600_000)
    debt = aave.reserve(m.base).debt
    assert debt.balanceOf(m.user) == 300 * WAD
    aave.chain.warp(YEAR)
    # 3 % of the pool is lent: 1 % and 3/80 of 3.8 % a year
    assert 300 * WAD * 101 // 100 < debt.balanceOf(m.user) < 300 * WAD * 10_120 // 10_000
    with reverts("45"):  # HEALTH_FACTOR_NOT_BELOW_THRESHOLD
        aave.liquidate(m.quote, m.base, m.user, 10 * WAD, liquidator=m.liquidator)
    m.move(2_700 * WAD)
    aave.liquidate(m.quote, m.base, m.user, 10 * WAD, liquidator=m.liquidator)
    assert m.quote.balanceOf(m.liquidator) == 10 * 2_700 * 10**6 * 10_450 // 10_000


def test_stopped_reserves_refuse(market: Market) -> None:
    m, aave = market, market.aave
    aave.supply(m.quote, 10_000 * 10**6, owner=m.user)
    aave.set_frozen(m.base, True)
    with reverts("28"):
        aave.borrow(m.base, WAD, owner=m.user)
    aave.set_paused(m.quote, True)
    with reverts("29"):
        aave.withdraw(m.quote, 1, owner=m.user)
    aave.set_paused(m.quote, False)
    aave.withdraw(m.quote, 10_000 * 10**6, owner=m.user)
    assert m.quote.balanceOf(m.user) == 10_000 * 10**6


def test_an_asset_that_is_not_listed(market: Market) -> None:
    with pytest.raises(LookupError):
        market.aave.reserve(market.feed)
