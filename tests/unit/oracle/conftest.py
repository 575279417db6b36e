"""Chain, actors and feeds of the oracle tests."""

from __future__ import annotations

from dataclasses import astuple

import pytest

from ballast.chain import Contract, RevmChain
from ballast.model.exact.oracle import Params, Round

ZERO = "0x" + "00" * 20


@pytest.fixture
def guardian(chain: RevmChain) -> str:
    return chain.accounts[2]


@pytest.fixture
def feed(chain: RevmChain) -> Contract:
    """A double whose round 1 says 2,000, observed now."""
    double = chain.deploy("FeedDouble")
    double.set_round.send(astuple(Round(1, 2_000 * 10**18, 0, chain.now, True)))
    return double


@pytest.fixture
def empty_oracle(chain: RevmChain, governor: str, setup: str, guardian: str) -> Contract:
    oracle = chain.deploy("PriceOracle", governor, setup)
    oracle.grant_role.send(guardian, 2, sender=governor)
    return oracle


@pytest.fixture
def oracle(empty_oracle: Contract, feed: Contract, setup: str) -> Contract:
    """One market, 0, on `feed`, with the default parameters."""
    empty_oracle.list_market.send(feed, astuple(Params()), sender=setup)
    return empty_oracle
