"""What happens to a vault, whatever its rule: prices, what its oracle knows of them, and what traders want.

A `World` holds one or more paths of equal length. Time is in seconds from the first step; step k is at k·dt. The arrays
of shape (paths, steps + 1, markets) are read where something happens only, so that long ones cost little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import inf

import numpy as np
from numpy.typing import NDArray

from sims.jit import njit

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

YEAR = 365 * 86_400.0
NEVER = -1  # in `Wants.closes`: it opens
LPS = -1  # in `Wants.market` and a crowd's rows: LPs come or go, by `size` of all there are [fraction]

# columns of the market view `m`, shape (markets, N_VIEW), that rules and crowds read
PRICE = 0  # [quote/base] what the oracle says
SIGMA = 1  # [1/√year] the oracle's volatility
AGE = 2  # [s] of the round in force
PREVIOUS_AGE = 3  # [s] of the round before it
NET = 4  # [base] q, traders' longs less their shorts; the vault's delta is HEDGE − NET
LONG = 5  # [base] open interest
SHORT = 6  # [base], positive
HEDGE = 7  # [base] what the vault holds elsewhere
VOL = 8  # [1/√year] the implied volatility index, 0 where there is none
FUNDING = 9  # [1/year] what longs pay at the rule's present rate, shorts where negative; for crowds
N_VIEW = 10

# entries of the vault's view `g`, shape (N_VAULT,)
EQUITY = 0  # [quote] LPs', at the oracle's prices, reserve excluded
TIME = 1  # [s] from the first step
ELAPSED = 2  # [s] since the last step at which something happened: what `accrue` covers
GAS = 3  # [quote] of one hedge's transaction
CLOSING = 4  # 1 where the trade only closes
RESERVE = 5  # [quote] traders' charges that are not LPs' yet
CASH = 6  # [quote] LPs', what was paid for positions and hedges taken out: the kernel's own, like those below
SHARES = 7  # of LPs, 1 at first
TO_LP, TO_RESERVE = 8, 9  # [quote] of the last fill
N_VAULT = 10


class Course:
    """What can be said of LP equity alone, for results that sample it."""

    __slots__ = ()
    equity: Floats  # (paths, samples) [quote]

    @property
    def returns(self) -> Floats:
        """Over the whole path [fraction]."""
        return np.asarray(self.equity[:, -1] / self.equity[:, 0] - 1.0)

    @property
    def drawdown(self) -> Floats:
        """Largest fall from an earlier peak [fraction], per path."""
        return np.asarray(np.max(1.0 - self.equity / np.maximum.accumulate(self.equity, axis=1), axis=1))


@dataclass(frozen=True, slots=True)
class Wants:
    """Trades that traders want, over all paths, each path's in the order of steps; arrays of shape (n,).

    One that closes undoes what the one it refers to came to, if anything: its own size is not read.
    """

    step: Ints
    market: Ints
    size: Floats  # [base] signed, of an opening; [fraction] of LPs
    limit: Floats  # [fraction of notional] no trade above this cost; inf: at any
    closes: Ints  # index within the path of the opening that it closes, or NEVER

    def __len__(self) -> int:
        return len(self.step)

    @classmethod
    def none(cls) -> Wants:
        """Nobody wants anything."""
        return cls.of([])

    @classmethod
    def of(cls, rows: Sequence[tuple[int, int, float, float, int]]) -> Wants:
        """From (step, market, size, limit, closes) in the order of steps."""
        step, market, size, limit, closes = zip(*rows, strict=True) if rows else ((),) * 5
        return cls(
            np.array(step, dtype=np.int64),
            np.array(market, dtype=np.int64),
            np.array(size, dtype=np.float64),
            np.array(limit, dtype=np.float64),
            np.array(closes, dtype=np.int64),
        )


@dataclass(frozen=True, slots=True)
class OracleModel:
    """How an oracle follows the price: what it says was true `delay` ago, which nobody is told; a round is `heartbeat`
    after the last, or as soon as the price has moved by `deviation`. Volatility is `contracts/oracle/PriceOracle.vy`'s,
    defaults too."""

    delay: float = 0.0  # [s]
    heartbeat: float = 0.0  # [s] 0: a round every step
    deviation: float = 0.0  # [fraction] 0: by heartbeat only
    half_life_fast: float = 3_600.0  # [s]
    half_life_slow: float = 7 * 86_400.0
    sigma_floor: float = 0.1
    sigma_cap: float = 5.0
    return_clip: float = 0.2
    initial_sigma: float = 0.6

    def array(self) -> Floats:
        """The fields in their order."""
        return np.array(
            [
                self.delay,
                self.heartbeat,
                self.deviation,
                self.half_life_fast,
                self.half_life_slow,
                self.sigma_floor,
                self.sigma_cap,
                self.return_clip,
                self.initial_sigma,
            ]
        )


@dataclass(frozen=True, slots=True)
class World:
    """One or more paths; see the module. `offsets` (paths + 1,) bounds each path's part of `wants`."""

    dt: float  # [s] of a step
    prices: Floats  # (paths, steps + 1, markets) [quote/base] where one can trade
    seen: Floats  # the same shape: what the oracle says
    rounds: Floats  # the same shape [s]: when its round was made
    previous: Floats  # the same shape [s]: when the round before was made
    sigma: Floats  # the same shape [1/√year]
    wants: Wants
    offsets: Ints
    vol: Floats  # the same shape as prices, or (1, 1, markets): it never changes
    gas: Floats  # (paths, steps + 1) [quote] of one hedge's transaction, or (1, 1)
    name: str = ""
    start: float = 0.0  # [Unix seconds] of step 0, where it is a recorded one
    markets: tuple[str, ...] = field(default=("ETH", "BTC"))

    @property
    def paths(self) -> int:
        """How many."""
        return self.prices.shape[0]

    @property
    def steps(self) -> int:
        """Of each path."""
        return self.prices.shape[1] - 1

    @classmethod
    def of(
        cls,
        prices: Floats,
        dt: float,
        *,
        oracle: OracleModel | None = None,
        wants: Wants | Sequence[Wants] = (),
        vol: Floats | None = None,
        gas: Floats | float = 0.0,
        name: str = "",
        start: float = 0.0,
    ) -> World:
        """From prices (steps + 1, markets) or (paths, steps + 1, markets), and each path's wants."""
        prices = np.ascontiguousarray(prices if prices.ndim == 3 else prices[None], dtype=np.float64)
        paths, _, n_markets = prices.shape
        lists = [wants] if isinstance(wants, Wants) else list(wants) or [Wants.none()] * paths
        if len(lists) != paths:
            raise ValueError(f"{paths} paths, wants of {len(lists)}")
        joined, offsets = _join(lists)
        seen, rounds, previous, sigma = observe(prices, dt, oracle or OracleModel())
        costs = np.full((1, 1), gas) if isinstance(gas, float) else np.atleast_2d(gas)
        return cls(
            dt=dt,
            prices=prices,
            seen=seen,
            rounds=rounds,
            previous=previous,
            sigma=sigma,
            wants=joined,
            offsets=offsets,
            vol=np.zeros((1, 1, n_markets))
            if vol is None
            else np.ascontiguousarray(vol).reshape((-1, *vol.shape[-2:])),
            gas=np.ascontiguousarray(costs, dtype=np.float64),
            name=name,
            start=start,
            markets=("ETH", "BTC")[:n_markets] if n_markets <= 2 else tuple(f"M{i}" for i in range(n_markets)),
        )

    def with_wants(self, wants: Wants | Sequence[Wants]) -> World:
        """The same prices, other traders."""
        joined, offsets = _join([wants] if isinstance(wants, Wants) else wants)
        if len(offsets) != self.paths + 1:
            raise ValueError(f"{self.paths} paths, wants of {len(offsets) - 1}")
        return replace(self, wants=joined, offsets=offsets)

    def with_oracle(self, oracle: OracleModel) -> World:
        """The same prices, seen by another oracle."""
        seen, rounds, previous, sigma = observe(self.prices, self.dt, oracle)
        return replace(self, seen=seen, rounds=rounds, previous=previous, sigma=sigma)

    def wants_of(self, path: int) -> Wants:
        """One path's."""
        part = slice(int(self.offsets[path]), int(self.offsets[path + 1]))
        w = self.wants
        return Wants(w.step[part], w.market[part], w.size[part], w.limit[part], w.closes[part])


def observe(prices: Floats, dt: float, oracle: OracleModel) -> tuple[Floats, Floats, Floats, Floats]:
    """What an oracle says of prices (paths, steps + 1, markets): price, its time, the time before, volatility."""
    seen, rounds, previous, sigma = (np.empty_like(prices) for _ in range(4))
    _observe(prices, dt, oracle.array(), seen, rounds, previous, sigma)
    return seen, rounds, previous, sigma


@njit
def _observe(
    prices: Floats, dt: float, o: Floats, seen: Floats, rounds: Floats, previous: Floats, sigma: Floats
) -> None:
    lag = int(np.rint(o[0] / dt))
    for path in range(prices.shape[0]):
        for i in range(prices.shape[2]):
            price, at, before = prices[path, 0, i], 0.0, -dt
            fast = slow = o[8] * o[8]
            for k in range(prices.shape[1]):
                true = prices[path, max(k - lag, 0), i]
                now = k * dt
                due = k > 0 and now - at >= o[1] if o[2] == 0.0 or o[1] > 0.0 else False
                if k > 0 and (due or (o[2] > 0.0 and abs(true / price - 1.0) >= o[2])):
                    elapsed = now - at
                    move = min(abs(np.log(true / price)), o[7])
                    sample = move * move * YEAR / elapsed
                    keep_fast, keep_slow = 2.0 ** (-elapsed / o[3]), 2.0 ** (-elapsed / o[4])
                    fast = fast * keep_fast + sample * (1.0 - keep_fast)
                    slow = slow * keep_slow + sample * (1.0 - keep_slow)
                    price, before, at = true, at, now
                seen[path, k, i] = price
                rounds[path, k, i] = at
                previous[path, k, i] = before
                sigma[path, k, i] = min(max(np.sqrt(max(fast, slow)), o[5]), o[6])


def _join(lists: Sequence[Wants]) -> tuple[Wants, Ints]:
    """All paths' wants in one, and where each begins. ValueError where they are not in order."""
    for wants in lists:
        if np.any(np.diff(wants.step) < 0):
            raise ValueError("wants are not in the order of steps")
        if np.any(wants.closes >= np.arange(len(wants))):
            raise ValueError("a want closes what comes after it")
    offsets = np.concatenate([[0], np.cumsum([len(wants) for wants in lists])]).astype(np.int64)
    return (
        Wants(
            np.concatenate([w.step for w in lists]),
            np.concatenate([w.market for w in lists]),
            np.concatenate([w.size for w in lists]),
            np.concatenate([w.limit for w in lists]),
            np.concatenate([w.closes for w in lists]),
        ),
        offsets,
    )


def unlimited(count: int) -> Floats:
    """Limits of traders who trade at any cost."""
    return np.full(count, inf)
