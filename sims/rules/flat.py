"""A flat fee on notional, and a flat borrow rate on what is open: a vault that does not price its inventory.

cost = fee · notional. The fee is LPs' but for `fee_share`. Both sides pay `borrow` on what they hold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sims.jit import njit
from sims.world import ELAPSED, LONG, PRICE, SHORT, YEAR, Floats

N_STATE = 0
N_MARKET_STATE = 0


@dataclass(frozen=True, slots=True)
class Params:
    """0.1 % as ballast.demo.compare's flat fee, all of it LPs'."""

    fee: float = 0.001  # [fraction of notional]
    borrow: float = 0.0  # [1/year] of notional
    fee_share: float = 0.0  # [fraction of the fee] that is not LPs'

    def array(self) -> Floats:
        """The fields in their order."""
        return np.array([self.fee, self.borrow, self.fee_share])


@njit
def start(p: Floats, z: Floats, m: Floats, g: Floats) -> None:
    """There is no state."""


@njit
def accrue(p: Floats, z: Floats, m: Floats, g: Floats) -> tuple[float, float]:
    """Borrow fees."""
    held = 0.0
    for i in range(m.shape[0]):
        held += (m[i, LONG] + m[i, SHORT]) * m[i, PRICE]
    return held * p[1] * g[ELAPSED] / YEAR, 0.0


@njit
def quote(p: Floats, z: Floats, m: Floats, g: Floats, i: int, dq: float) -> float:
    """The fee."""
    return float(abs(dq) * m[i, PRICE] * p[0])


@njit
def fill(p: Floats, z: Floats, m: Floats, g: Floats, i: int, dq: float) -> tuple[float, float]:
    """LPs' part of it."""
    return abs(dq) * m[i, PRICE] * p[0] * (1.0 - p[2]), 0.0
