"""What the keeper expects of a venue's pools, against the integers of the contracts' twin."""

from dataclasses import replace

import numpy as np
import pytest

from ballast.keeper.state import Route
from ballast.keeper.swaps import depth, in_band, swap
from ballast.model.exact import hedge as twin

from .worlds import PRICE, market, route, short_venue, venue

WAD = 10**18


def tier_of(index, pool, fee):
    return Route(index, pool.quote / pool.base, pool.quote / pool.base, fee / 1e6, pool.quote / WAD)


def pools(rng):
    """Two or three tiers, near one price, of very different depths."""
    found = []
    for fee in rng.permutation([100, 500, 3_000])[: rng.integers(2, 4)]:
        base = int(10 ** rng.uniform(20, 24))
        quote = int(base * PRICE * (1 + rng.normal(0, 3e-4)))
        found.append(twin.Depth(int((base * quote) ** 0.5), base, quote, int(fee)))
    return found


@pytest.mark.parametrize("buying", [True, False])
def test_swap_is_what_the_venue_will_choose(buying):
    rng = np.random.default_rng(5)
    split = 0
    for _ in range(300):
        depths = pools(rng)
        amount = int(10 ** rng.uniform(17, 22.5)) % (max(pool.base for pool in depths) // 2)
        tiers = tuple(tier_of(i, pool, pool.fee) for i, pool in enumerate(depths))
        expected = twin.best_route(depths, amount, buying)
        taken = twin.parts(expected, amount)
        found = swap(venue(routes=tiers), (1 if buying else -1) * amount / WAD)
        # a share just below the threshold of a split, or of its step, may be taken for one above it
        quote = sum(twin.estimate(depths[tier], part, buying) for tier, part in taken)
        assert found.average == pytest.approx(quote / amount, rel=5.1e-5)
        if [tier.index for tier, _ in found.parts] == [tier for tier, _ in taken]:
            assert found.average == pytest.approx(quote / amount, rel=1e-7)
            for (_, part), (_, exact) in zip(found.parts, taken, strict=True):
                assert abs(abs(part) - exact / WAD) <= 1.01e-4 * amount / WAD
            split += len(taken) > 1
    assert split > 50


def test_swap_split_counts_average_and_fee_by_size_and_the_farther_spot():
    near, far = route(), route(index=1, spot=PRICE * 1.0005, twap=PRICE * 1.0004, fee=6e-4)
    found = swap(venue(routes=(near, far)), 20_000.0)
    ((first, kept), (second, part)) = found.parts
    assert (first, second, kept + part) == (near, far, pytest.approx(20_000.0))
    share = part / 20_000.0
    assert 0.2 < share < 0.5
    assert found.fee == pytest.approx(5e-4 * (1 - share) + 6e-4 * share)
    assert found.twap == pytest.approx(PRICE * (1 + 4e-4 * share))
    assert found.spot == far.spot
    assert found.average < swap(venue(routes=(near,)), 20_000.0).average
    # both end where a unit more costs the same
    ends = [tier.after(of).spot / (1 - tier.fee) for tier, of in found.parts]
    assert ends[0] == pytest.approx(ends[1], rel=1e-5)


def test_swap_of_a_lending_venue_takes_one_tier():
    tiers = (route(), route(index=1, fee=6e-4))
    assert len(swap(short_venue(routes=tiers), -20_000.0).parts) == 1
    assert len(swap(venue(routes=tiers), -20_000.0).parts) == 2


def test_swap_passes_over_an_empty_tier():
    empty = route(depth=0.0)
    assert swap(venue(routes=(empty, route(index=1))), 1.0).parts[0][0].index == 1
    assert swap(venue(routes=(empty,)), 1.0) is None
    assert swap(venue(routes=(route(depth=1e6),)), 501.0) is None  # more than there is


@pytest.mark.parametrize("buying", [True, False])
def test_depth_is_the_most_that_stays_in_the_bands(buying):
    rng = np.random.default_rng(3)
    for _ in range(50):
        spot, twap = (PRICE * float(1 + rng.normal(0, 4e-4)) for _ in range(2))
        tier = route(spot=spot, twap=twap, fee=float(rng.choice([1e-4, 5e-4, 3e-3])))
        at = venue(routes=(tier,), fee_cap=1.0)
        most = depth(tier, at, market(), buying, 1.0) * (1 if buying else -1)
        if most == 0.0:
            continue
        inside, outside = swap(at, most * 0.9999), swap(at, most * 1.0001)
        assert in_band(inside, at, market())
        assert not in_band(outside, at, market())
    assert depth(replace(route(), spot=PRICE * 1.01), venue(), market(), buying, 1.0) == 0.0
