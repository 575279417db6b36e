"""The potential U as a function of one market's delta, fast enough for a search: plain floats, no arrays.

Formulas of docs/mechanism.md §1; ballast/model/analytic/potential.py states the same with numpy, and tests compare
the two.
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

from ballast.keeper.state import SPOT_SHOCKS, Market, State
from ballast.model.analytic.potential import inventory_term, utilization_term


def potential_of(state: State, market: int) -> Callable[[float], float]:
    """U [quote] as a function of a change of one market's delta [base], everything else as it is."""
    w = state.weights
    root = sqrt(w.horizon)
    alone = gamma_squares = joint_a = joint_b = joint_g = loss = 0.0
    moving: Market | None = None
    own_a = own_b = 0.0
    for m in state.markets:
        a = m.delta * m.price * m.sigma * root
        b = m.vega * m.vol_of_vol * root
        g = m.gamma * m.price**2 * m.sigma**2 * w.horizon / sqrt(2)
        alone += a * a + b * b + 2 * w.rho * a * b
        gamma_squares += g * g
        joint_a, joint_b, joint_g = joint_a + a, joint_b + b, joint_g + g
        if m.id == market:
            moving, own_a, own_b = m, a, b
        else:
            loss += stressed_loss(m)
    if moving is None:
        raise LookupError(f"no market {market}")
    per_base = moving.price * moving.sigma * root
    both_b, both_g = joint_b * joint_b, joint_g * joint_g
    ends = [(1 - c, c, (1 - c * c) * gamma_squares + c * c * both_g) for c in {w.c_lo, w.c_hi}]
    held = moving.delta
    lines = [(shock * moving.price, pnl) for shock, pnl in zip(SPOT_SHOCKS, moving.stress, strict=False)] or [
        (-0.5 * moving.price, 0.0), (0.5 * moving.price, 0.0)
    ]  # fmt: skip

    def value(change: float) -> float:
        step = change * per_base
        own = alone + step * (2 * own_a + step + 2 * w.rho * own_b)
        a = joint_a + step
        together = a * (a + 2 * w.rho * joint_b) + both_b
        worst = max([apart * own + c * together + bent for apart, c, bent in ends])
        delta = held + change
        lost = -min([slope * delta + pnl for slope, pnl in lines])
        return inventory_term(max(worst, 0.0), state.capital, w) + utilization_term(
            loss + max(lost, 0.0), state.capital, w
        )

    return value


def stressed_loss(m: Market) -> float:
    """Loss [quote] of a market in its worst scenario."""
    dollars = m.delta * m.price
    if not m.stress:
        return 0.5 * abs(dollars)
    return max(0.0, -min(dollars * shock + pnl for shock, pnl in zip(SPOT_SHOCKS, m.stress, strict=True)))
