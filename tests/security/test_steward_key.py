"""A stolen key of the steward: what the guardian has stopped stays stopped, whatever it sends."""

from __future__ import annotations

from decimal import Decimal

import pytest
from pydantic import ValidationError

from ballast import config as configuration
from ballast.chain import Reverted, RevmChain
from ballast.parameters import surface
from ballast.plan import levers
from ballast.system import deploy_system

DAY = 86_400


def test_key_cannot_enable_an_auction_that_the_guardian_disabled() -> None:
    """Each of its moves would have to cross from 0 into the band."""
    config = configuration.load("local").without_venues().only_market("ETH")
    chain = RevmChain()
    system = deploy_system(chain, config)
    place = next(i for i, each in enumerate(levers(config)) if each.name == "auction")
    steward, auction = system.steward, system.auction
    assert config.steward is not None
    chain.warp(DAY)
    auction.disable.send(sender=config.guardian)
    values = [int(word) for word in auction.params()]
    for rate in range(1, 6_001, 7):
        values[1] = rate
        with pytest.raises(Reverted, match=r"^steward: (too far|outside the band)$"):
            steward.adjust.send([(place, surface("auction").data(values))], sender=config.steward.key)
    assert auction.params().max_rate_bps == 0


def test_levers_that_reach_what_the_guardian_disabled_are_refused() -> None:
    steward = configuration.load("local").steward
    assert steward is not None
    levers_ = steward.model_dump()["levers"]
    levers_["auction.max_rate"] |= {"floor": Decimal("0.1")}
    with pytest.raises(ValidationError, match="the key would enable what the guardian disables"):
        configuration.Steward.model_validate({"key": None, "levers": levers_})
