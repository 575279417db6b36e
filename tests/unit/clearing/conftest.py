"""A Clearinghouse whose engine, hedger, vault, inventory, closer and settler are played by one Operation contract."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple
from typing import Any

import pytest

from ballast.chain import Contract, Receipt, RevmChain
from ballast.model.exact.oracle import Params, Round
from ballast.model.exact.structs import Settlement
from ballast.model.roles import Role

WAD = 10**18

Run = Callable[..., Receipt]


@pytest.fixture
def trader(chain: RevmChain) -> str:
    return chain.accounts[2]


@pytest.fixture
def other_trader(chain: RevmChain) -> str:
    return chain.accounts[3]


@pytest.fixture
def lp(chain: RevmChain) -> str:
    return chain.accounts[4]


@pytest.fixture
def liquidator(chain: RevmChain) -> str:
    return chain.accounts[5]


@pytest.fixture
def stranger(chain: RevmChain) -> str:
    return chain.accounts[6]


@pytest.fixture
def venue(chain: RevmChain) -> str:
    return chain.accounts[7]


@pytest.fixture(params=[6, 8, 18])
def decimals(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def unit(decimals: int) -> int:
    """One whole token [token units]."""
    return int(10**decimals)


@pytest.fixture
def scale(decimals: int) -> int:
    """[WAD per token unit]"""
    return int(10 ** (18 - decimals))


@pytest.fixture
def token(chain: RevmChain, decimals: int, trader: str, other_trader: str, lp: str) -> Contract:
    token = chain.deploy("TestToken", "Test Dollar", "TUSD", decimals)
    for owner in (trader, other_trader, lp):
        token.mint.send(owner, 10**9 * 10**decimals)
    return token


@pytest.fixture
def feed(chain: RevmChain) -> Contract:
    feed = chain.deploy("FeedDouble")
    feed.set_round.send(astuple(Round(1, 2_000 * WAD, 0, chain.now, True)))
    return feed


@pytest.fixture
def oracle(chain: RevmChain, governor: str, setup: str, feed: Contract) -> Contract:
    oracle = chain.deploy("PriceOracle", governor, setup)
    oracle.list_market.send(feed, astuple(Params()), sender=setup)
    return oracle


@pytest.fixture
def operation(chain: RevmChain) -> Contract:
    """Plays every contract that the Clearinghouse trusts."""
    return chain.deploy("Operation")


@pytest.fixture
def clearinghouse(
    chain: RevmChain,
    governor: str,
    setup: str,
    token: Contract,
    oracle: Contract,
    operation: Contract,
    trader: str,
    other_trader: str,
    lp: str,
) -> Contract:
    clearinghouse = chain.deploy("Clearinghouse", governor, setup, token, oracle)
    roles = Role.ENGINE | Role.HEDGER | Role.VAULT | Role.INVENTORY | Role.CLOSER | Role.SETTLER
    clearinghouse.grant_role.send(operation, roles, sender=setup)
    for owner in (trader, other_trader, lp):
        token.approve.send(clearinghouse, 2**256 - 1, sender=owner)
    return clearinghouse


@pytest.fixture
def run(operation: Contract) -> Run:
    """Run calls, each (contract, function, *arguments), in one transaction of the operation."""

    def run(*calls: tuple[Any, ...]) -> Receipt:
        return operation.run.send([(c.address, c.tx(fn, *args).data) for c, fn, *args in calls])

    return run


@pytest.fixture
def fund_lp(clearinghouse: Contract, token: Contract, run: Run, lp: str) -> Callable[[int], Receipt]:
    """LP cash of so many token units, brought as the Vault brings it."""

    def fund(units: int) -> Receipt:
        token.transfer.send(clearinghouse, units, sender=lp)
        return run((clearinghouse, "begin"), (clearinghouse, "receive_deposit", units), (clearinghouse, "end"))

    return fund


@pytest.fixture
def settle(clearinghouse: Contract, run: Run) -> Callable[[str, Settlement], Receipt]:
    """Settle as an engine."""

    def settle(account: str, settlement: Settlement) -> Receipt:
        return run((clearinghouse, "settle", account, astuple(settlement)))

    return settle
