"""No sequence at an unchanged market ends with its actor richer (I6, I10): random ones and the obvious ones."""

import random

import pytest

from ballast.chain import Reverted
from ballast.system import Sandbox

WAD = 10**18
START = 3_000_000


def stand(system: Sandbox, windows: int = 2) -> None:
    for _ in range(2 * windows):
        system.warp(70)
        system.inventory.sync_all.send()


def worth(system: Sandbox, accounts: list[str]) -> int:
    return sum(int(system.margin.health(account).equity) for account in accounts)


def random_trade(system: Sandbox, rng: random.Random, accounts: list[str]) -> None:
    market = rng.randint(0, 1)
    size = rng.choice([-1, 1]) * rng.choice([0.01, 100, 1_000, 3_000]) * rng.uniform(0.5, 1)
    system.trade(rng.choice(accounts), market, round(size / (20 if market else 1), 4))


def random_hedge(system: Sandbox, rng: random.Random, keeper: str) -> bool:
    net = system.inventory.market(0).delta / WAD
    size = min(200.0, max(-200.0, -net * rng.choice([rng.random(), 1.0])))
    system.rebalance(keeper, "ETH", round(size, 3))
    return True


def close_all(system: Sandbox, rng: random.Random, accounts: list[str]) -> None:
    legs = [(account, market) for account in accounts for market in (0, 1)]
    rng.shuffle(legs)
    for account, market in legs:
        if system.perp_engine.position(account, market).size:
            system.close(account, market)  # never refused


@pytest.mark.parametrize("seed", range(12))
def test_one_block_of_anything_earns_nothing(hedged: Sandbox, seed: int) -> None:
    """Beside honest inventory, whatever R holds: several accounts, both markets, syncs, closed in any order."""
    system, rng = hedged, random.Random(seed)
    honest, attackers = system.chain.accounts[2:4], system.chain.accounts[4:7]
    for account in (*honest, *attackers):
        system.add_margin(account, START)
    system.trade(honest[0], "ETH", rng.choice([-1, 1]) * rng.randint(10, 3_000))
    system.trade(honest[1], "BTC", rng.choice([-1, 1]) * rng.randint(1, 150))
    stand(system, rng.randint(0, 2))
    if seed % 2:
        system.push("ETH", rng.choice([1_950, 2_050]))
        stand(system, rng.randint(0, 2))
    system.inventory.sync_all.send()
    for market in (0, 1):
        system.perp_engine.sync.send(market)
    before, v = worth(system, attackers), system.vault.valuation()
    for _ in range(rng.randint(2, 10)):
        try:
            if rng.random() < 0.85:
                random_trade(system, rng, attackers)
            else:
                system.perp_engine.sync.send(rng.randint(0, 1))
                system.inventory.sync_all.send()
        except Reverted:
            pass
    close_all(system, rng, attackers)
    w = system.vault.valuation()
    assert worth(system, attackers) <= before
    assert (w.bid + WAD) * (v.supply + WAD) >= (v.bid + WAD) * (w.supply + WAD) - 10 * WAD


@pytest.mark.parametrize("seed", range(12))
def test_many_blocks_of_trades_and_own_hedges_earn_nothing(hedged: Sandbox, seed: int) -> None:
    """Nobody else trades: make inventory, hedge it for the keeper's reward, undo it when rebates are due."""
    system, rng = hedged, random.Random(seed)
    attackers = system.chain.accounts[4:7]
    for account in attackers:
        system.add_margin(account, START)
    before = worth(system, attackers)
    for _ in range(rng.randint(6, 18)):
        try:
            what = rng.random()
            if what < 0.5:
                random_trade(system, rng, attackers)
            elif what < 0.7:
                random_hedge(system, rng, attackers[0])
            elif what < 0.75:
                system.hedge_manager.poke.send(0)
            else:
                system.warp(rng.choice([1, 12, 61, 130, 130]), refresh=rng.random() < 0.7)
                system.arbitrage("ETH")
        except Reverted:
            pass
    system.refresh()
    close_all(system, rng, attackers)
    assert worth(system, attackers) <= before


@pytest.mark.parametrize("wait", [0, 1, 59])
def test_sandwiching_a_victim_costs_the_whole_charge(vault_only: Sandbox, wait: int) -> None:
    """Push U up before a victim buys, unwind at once or within the window: the rebate mark is where U was before."""
    system = vault_only
    attacker, victim = system.chain.accounts[2:4]
    for account in (attacker, victim):
        system.add_margin(account, START)
    stand(system)
    before = worth(system, [attacker])
    charge = system.trade(attacker, "ETH", 3_000).charge
    system.trade(victim, "ETH", 1_000)
    if wait:
        system.warp(wait)
    system.close(attacker, "ETH")
    assert before - worth(system, [attacker]) > charge > 0


def test_pushing_the_funding_rate_through_another_market_costs_more_than_an_hour_brings(vault_only: Sandbox) -> None:
    """Trade BTC, have ETH store the rate that follows, undo BTC: it stays until anybody touches ETH."""
    system = vault_only
    receiver, payer, attacker = system.chain.accounts[2:5]
    for account in (receiver, payer, attacker):
        system.add_margin(account, START)
    system.trade(payer, "ETH", -3_000)
    system.trade(receiver, "ETH", 3_000)
    system.warp(12)
    gang = [receiver, attacker]
    results = []
    for push in (False, True):
        start = worth(system, gang)
        if push:
            system.trade(attacker, "BTC", -80)
            system.perp_engine.sync.send(0)
            system.close(attacker, "BTC")
            assert system.perp_engine.book(0).funding_rate > 0
        else:
            system.perp_engine.sync.send(0)
        system.warp(3_600)
        system.perp_engine.sync.send(0)
        results.append(worth(system, gang) - start)
    assert results[1] < results[0]
    assert system.perp_engine.book(0).funding_rate == 0  # one touch by anybody undid it


def test_gift_to_a_venue_is_a_gift(hedged: Sandbox) -> None:
    """Moving U by giving base away, then trading into the rebate that the jump seems to offer."""
    system = hedged
    attacker, honest = system.chain.accounts[2:4]
    for account in (attacker, honest):
        system.add_margin(account, START)
    system.trade(honest, "ETH", 3_000)
    stand(system)
    before = worth(system, [attacker])
    market = system.market("ETH")
    assert market.base is not None
    gift = 100
    market.base.mint.send(market.venues[0], gift * WAD)
    system.hedge_manager.poke.send(market.venue_ids[0])
    system.trade(attacker, "ETH", -2_900)
    stand(system)
    system.close(attacker, "ETH")
    assert worth(system, [attacker]) - before < gift * 2_000 * WAD // 10
