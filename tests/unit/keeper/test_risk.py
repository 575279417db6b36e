"""The keeper's scalar potential against the numpy one."""

import numpy as np
import pytest

from ballast.keeper.risk import potential_of, stressed_loss
from ballast.keeper.state import SPOT_SHOCKS
from ballast.model.analytic.potential import Weights, potential

from .worlds import market, state


def _book(rng: np.random.Generator, n: int, *, options: bool):
    markets = []
    for i in range(n):
        more = {}
        if options:
            more = {
                "vega": rng.normal(0, 2e5),
                "gamma": rng.normal(0, 1.0),
                "vol_of_vol": 0.7,
                "stress": tuple(rng.normal(0, 2e5, len(SPOT_SHOCKS))),
            }
        markets.append(market(id=i, price=float(rng.uniform(1, 5e4)), sigma=float(rng.uniform(0.1, 4)), **more))
    return tuple(
        market(**{f: getattr(m, f) for f in m.__slots__} | {"delta": float(rng.normal(0, 2e6)) / m.price})
        for m in markets
    )


@pytest.mark.parametrize("options", [False, True])
def test_potential_of_any_book_equals_the_analytic_one(options):
    rng = np.random.default_rng(7)
    for _ in range(200):
        n = int(rng.integers(1, 6))
        weights = Weights(c_lo=0.1, c_hi=0.9, knee=float(rng.choice([0.001, 0.1])))
        world = state(markets=_book(rng, n, options=options), weights=weights)
        moved = int(rng.integers(n))
        change = float(rng.normal(0, 1e6)) / world.markets[moved].price
        after = world.moved(moved, change).markets
        expected = potential(
            np.array([m.delta * m.price for m in after]),
            np.array([m.sigma for m in after]),
            world.capital,
            weights,
            vega=np.array([m.vega for m in after]),
            vol_of_vol=np.array([m.vol_of_vol for m in after]),
            dollar_gamma=np.array([m.gamma * m.price**2 for m in after]),
            stressed_loss=sum(stressed_loss(m) for m in after),
        )
        assert potential_of(world, moved)(change) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_potential_of_unknown_market_is_refused():
    with pytest.raises(LookupError, match="no market 3"):
        potential_of(state(), 3)


def test_stressed_loss_of_options_takes_the_worst_scenario_and_never_gains():
    losing = market(delta=0.0, stress=(-5.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0))
    assert stressed_loss(losing) == 5.0
    assert stressed_loss(market(delta=0.0, stress=(1.0,) * 8)) == 0.0
