"""The round that settles an expiry: found by search, believed by PriceOracle.price_at."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random

import pytest

from ballast.chain import Reverted, RevmChain
from ballast.options.rounds import MAX_GAP, last_round, settling_round
from ballast.system import Sandbox, deploy_system


@dataclass
class Round:
    ok: bool
    updated_at: int = 0


def feed_of(times: Mapping[int, int]):
    """A feed with a round at each id."""
    return lambda number: Round(number in times, times.get(number, 0))


def test_last_round_is_what_looking_at_every_round_finds() -> None:
    rng = Random(1)
    for _ in range(300):
        times, start = {}, rng.randrange(100)
        for phase in range(1, rng.randrange(1, 4) + 1):
            number, time = 0, max(0, start + rng.randrange(-50, 50))  # phases overlap
            for _ in range(rng.randrange(0, 40)):
                number += rng.choice((1, 1, 1, 2, MAX_GAP))
                time += rng.choice((0, 1, 30))
                times[(phase << 64) + number] = time
            start = time
        time = rng.randrange(0, start + 100)
        phases = [p for p in (1, 2, 3) if any(n >> 64 == p and t <= time for n, t in times.items())]
        expected = max((n for n, t in times.items() if phases and n >> 64 == phases[-1] and t <= time), default=0)
        assert last_round(feed_of(times), 3, time) == expected


def test_last_round_of_a_long_history_asks_few_times() -> None:
    asked: list[int] = []

    def round_at(number: int) -> Round:
        asked.append(number)
        return Round(0 < number <= 1_000_000, 60 * number)

    assert last_round(round_at, 0, 60 * 777_777 + 5) == 777_777
    assert len(asked) < 100


@pytest.fixture
def system() -> Sandbox:
    return deploy_system(RevmChain())


@pytest.mark.parametrize("replaced", [False, True])
def test_settling_round_proves_the_price_in_force(system: Sandbox, replaced: bool) -> None:
    chain = system.chain
    for price in range(2_000, 2_040):
        system.warp(600, refresh=False)
        if replaced and price == 2_020:
            second = chain.deploy("ReplayAggregator", 8)
            second.send("push_now", price * 10**8)
            chain.at("AggregatorProxy", system.markets[0].feed.call("aggregator")).send("set_aggregator", second)
            system.aggregators[0].send("push_now", 10**8)  # the old one goes on, and nobody listens
            system = replace(system, aggregators=(second, *system.aggregators[1:]))
        else:
            system.push("ETH", price)
    end = chain.now
    for back in (1, 599, 600, 5_000, 12_500, 20_000):
        found = settling_round(system.oracle, 0, end - back)
        price = system.oracle.call("price_at", 0, end - back, found)
        assert price == (2_039 - -(-back // 600)) * 10**18


def test_settling_round_before_there_is_one_after_says_so(system: Sandbox) -> None:
    with pytest.raises(Reverted, match="oracle: no round after"):
        settling_round(system.oracle, 0, system.chain.now)
