"""A trader who has the steward's key: parameters moved before, between and after trades, the market unchanged (I12)."""

from __future__ import annotations

import pytest

from ballast.parameters import surface
from ballast.plan import levers
from ballast.system import Sandbox

WAD = 10**18
DAY = 86_400
MARGIN = 2_000_000
SIZE = 1_000
LEAST = 15 * 10**13  # base and floor at the ends of their bands [of notional, WAD]


def move(system: Sandbox, **settings: int) -> None:
    """All levers by what a day allows, in the direction given: `aversion=1`, `base=-1`; of both markets."""
    assert system.config.steward is not None
    key, moves = system.config.steward.key, []
    for i, each in enumerate(levers(system.config)):
        words = [int(word) for word in system.steward.call("values", i)]
        changed = False
        for word, lever in each.by_word.items():
            sign = (
                settings.get(each.surface.words[word].name, 0) if each.surface.name in ("inventory", "spreads") else 0
            )
            words[word] = max(lever.floor, min(lever.ceiling, words[word] + sign * lever.speed))
            changed = changed or sign != 0
        if changed:
            moves.append((i, surface(each.surface.name).data(words)))
    system.steward.send("adjust", moves, sender=key)


def worth(system: Sandbox, account: str) -> int:
    return int(system.margin.call("health", account).equity)


def nav(system: Sandbox) -> int:
    return int(system.vault.call("valuation").nav)


ATTACKS = {
    "raised between": ({}, {"aversion": 1}),
    "lowered between": ({}, {"aversion": -1}),
    "lowered before": ({"aversion": -1}, {}),
    "lowered before, raised between": ({"aversion": -1}, {"aversion": 1}),
    "spreads lowered before and between": ({"base": -1, "floor": -1, "z": -1}, {"base": -1, "floor": -1, "z": -1}),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_round_trip_around_moves_of_the_key_earns_nothing(vault_only: Sandbox, attack: str) -> None:
    """Beside another trader's position, whose charges are in R: the actor pays two half-spreads, at least those of the
    ends of the bands, and LPs do not lose."""
    system, (before, between) = vault_only, ATTACKS[attack]
    honest, trader = system.chain.accounts[2:4]
    for account in (honest, trader):
        system.add_margin(account, MARGIN)
    system.trade(honest, "ETH", SIZE)
    system.warp(DAY)
    system.inventory.send("sync_all")
    if before:
        move(system, **before)
    system.warp(DAY)
    system.inventory.send("sync_all")
    had, lps = worth(system, trader), nav(system)
    system.trade(trader, "ETH", SIZE)
    if between:
        system.warp(1)
        move(system, **between)
    for _ in range(4):  # the low-water mark forgets what was before
        system.warp(70)
        system.inventory.send("sync_all")
    system.close(trader, "ETH")
    assert had - worth(system, trader) >= 2 * SIZE * 2_000 * LEAST
    assert nav(system) > lps


def test_guardian_raises_every_spread_at_once_and_nothing_else(vault_only: Sandbox) -> None:
    """What a stolen key has loosened is tighter than before in one transaction, of whoever guards."""
    system = vault_only
    system.warp(DAY)
    move(system, base=-1, floor=-1, z=-1)
    moves = []
    for i, each in enumerate(levers(system.config)):
        if each.surface.name == "spreads":
            words = [int(word) for word in system.steward.call("values", i)]
            for word, lever in each.by_word.items():
                words[word] = lever.ceiling
            moves.append((i, surface("spreads").data(words)))
    lps = nav(system)
    system.steward.send("tighten", moves, sender=system.guardian)
    assert nav(system) == lps
    for market in range(len(system.markets)):
        params = system.inventory.call("market_params", market)
        assert (params.base, params.floor, params.z) == (2 * 10**15, 5 * 10**15, 6 * WAD)
        assert params.vol_of_vol == system.config.markets[market].inventory.params().vol_of_vol
