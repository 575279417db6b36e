"""Ballast with a steward in the kernel."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ballast.policy import tuner
from ballast.policy.tuner import LEVERS, LOOK
from sims.rules import adaptive, ballast
from sims.world import EQUITY, N_VAULT, N_VIEW, PRICE, SIGMA, TIME

STORM = adaptive.Params(
    calm_z=0.6, calm_aversion=0.7, storm_z=2.5, storm_aversion=3.0, storm_base=4.0, storm_u_star=0.7
)


def test_levers_move_as_the_policy_says() -> None:
    """Hour by hour `accrue` comes to what the formulas say; other parameters are not touched."""
    rng = np.random.default_rng(5)
    hours = np.array([2_000.0, 40_000.0]) * np.exp(np.cumsum(rng.normal(0, 0.01, (240, 2)), axis=0))
    variance = float(np.mean(np.diff(np.log(hours), axis=0) ** 2) * 8_760)
    p, n = replace(STORM, variances=(variance, variance)).array(), 2
    z = np.zeros(adaptive.N_STATE + n * adaptive.N_MARKET_STATE)
    m, g = np.zeros((n, N_VIEW)), np.zeros(N_VAULT)
    m[:, SIGMA], g[EQUITY] = 0.6, 10e6
    config = STORM.rule.config
    assert config.steward is not None
    levers, deployed = config.steward.levers, tuner.deployed_values(config)
    start, accrue = (
        getattr(f, "py_func", f) for f in (adaptive.start, adaptive.accrue)
    )  # glue alone: no wait for LLVM
    watch = tuner.Watch(hours[0].tolist(), float(np.sqrt(variance)), 0.0)
    values, moved_at = dict(deployed), dict.fromkeys(LEVERS, -tuner.DAY)
    for k, prices in enumerate(hours):
        m[:, PRICE], g[TIME] = prices, k * LOOK
        if k == 0:
            start(p, z, m, g)
        accrue(p, z, m, g)
        if k > 0:
            watch.see(prices.tolist(), k * LOOK)
            for name in LEVERS:
                wanted = tuner.goal(deployed[name], STORM.table.calm[name], STORM.table.storm[name], watch.warm)
                x, waited = levers[name], k * LOOK - moved_at[name]
                room = float(x.speed) * min(waited, tuner.DAY) / tuner.DAY
                new = float(np.clip(np.clip(wanted, values[name] - room, values[name] + room), x.floor, x.ceiling))
                if new != values[name]:
                    values[name], moved_at[name] = new, k * LOOK
        own = ballast.N_GLOBAL + ballast.N_OWN
        found = [p[ballast.LAMBDA], p[ballast.U_STAR], p[own + ballast.BASE], p[own + ballast.Z]]
        assert found == pytest.approx([values[name] for name in LEVERS])
    assert values != deployed
    untouched = [ballast.KNEE, ballast.U_MAX, ballast.N_GLOBAL + ballast.FLOOR]
    assert p[untouched].tolist() == STORM.rule.array()[untouched].tolist()

    warm = adaptive.warmed(STORM, hours)
    assert warm.values == pytest.approx(tuple(values[name] for name in LEVERS))
    assert warm.variances == pytest.approx((watch.short, watch.long))


def test_a_table_of_ones_is_the_rule_as_deployed() -> None:
    assert adaptive.Params().array()[: len(ballast.Params().array())].tolist() == ballast.Params().array().tolist()
    rng = np.random.default_rng(5)
    hours = np.array([2_000.0, 40_000.0]) * np.exp(np.cumsum(rng.normal(0, 0.01, (50, 2)), axis=0))
    deployed = tuner.deployed_values(ballast.Params().config)
    assert adaptive.warmed(adaptive.Params(), hours).values == tuple(deployed[name] for name in LEVERS)
