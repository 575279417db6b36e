"""The kernel: one loop over steps, compiled for a rule and a crowd, that plays each path of a world.

At a step where anybody wants anything, where LPs' equity is sampled or a hedge may be due: traders pay for holding
(`accrue`), keepers hedge what earlier steps left, the wanted trades are quoted and filled or refused in their order,
and the crowd acts. At all others nothing happens and nothing is computed. Trades are settled at the oracle's price,
hedges at the true one; LPs' equity is measured at the true one. Traders have margin without end: nobody's default
depends on the rule.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from ballast.config import Config
from sims import world as w
from sims.jit import njit
from sims.world import Course, Floats, World

MOST_ROWS = 16  # what a crowd may want at one step

# columns of a crowd's rows
ROW_MARKET, ROW_SIZE, ROW_LIMIT, ROW_CLOSING, ROW_TAG = range(5)
N_ROW = 5

# totals of a path
SPREADS = 0  # [quote] to LPs at once
CHARGES = 1  # [quote] into the reserve
REBATES = 2  # [quote] out of the reserve, to traders
CARRIED = 3  # [quote] funding and borrow fees, net, to LPs
RELEASED = 4  # [quote] reserve that became LPs'
FEES = 5  # [quote] to neither LPs nor reserve
HEDGING = 6  # [quote] what hedges lost to venues
GAS_PAID = 7  # [quote]
REWARDS = 8  # [quote] to keepers
TRADES = 9
REFUSED = 10
VOLUME = 11  # [quote]
HEDGES = 12
HEDGED = 13  # [quote] notional of hedges
WANTED = 14  # [quote] notional of all that was wanted
N_TOTALS = 15

# columns of the log; an owner is the want that opened, or -1 - tag of a crowd's row
LOG_STEP, LOG_MARKET, LOG_SIZE, LOG_CLOSING, LOG_OWNER, LOG_COST, LOG_TO_LP, LOG_TO_RESERVE = range(8)
LOG_EQUITY, LOG_RESERVE = 8, 9
N_LOG = 10

NO_HEDGE, BAND, RULE = range(3)  # policies
GOLDEN = 0.6180339887498949
GOLDEN_STEPS = 16  # to a thousandth of the room


@dataclass(frozen=True, slots=True)
class Hedging:
    """What the vault hedges, and where: at a venue of a fee and a depth (its virtual quote reserve, a constant product
    that arbitrage restores by the next step), long or short alike. `BAND`: back to the target once delta has left the
    band, without keepers. `RULE`: as the potential asks (rules with `relief`), at the size that is worth most to phi of
    the fall."""

    policy: int = NO_HEDGE
    every: int = 1  # [steps] between looks
    fee: float = 0.0005  # [fraction]
    depth: float = 2e9  # [quote] as of local.yaml's pools
    cooldown: float = 60.0  # [s]
    off: float = 0.001  # [fraction] beyond the fee, that its price may be from the oracle's, after the hedge too
    cap: float = 20e6  # [quote] of notional held in a market
    band: float = 0.05  # [fraction of LP equity] of dollar delta, outside which it is hedged
    target: float = 0.5  # [fraction of the band] that is left of it
    phi: float = 0.6  # [fraction of the fall of the potential] that a hedge may cost
    eta: float = 0.15  # [fraction of what it frees] to the keeper
    size_reward: float = 0.00005  # [fraction of notional] to the keeper, at least
    least: float = 1.0  # [quote] that a hedge is worth, below which no keeper bothers

    @classmethod
    def of(cls, config: Config, market: int = 0, **changes: float) -> Hedging:
        """The rule of a deployment and the venue of one of its markets."""
        venue, rule = config.markets[market].venues[0], config.hedging
        given = {
            "policy": RULE,
            "fee": min(venue.fees) / 1e6,
            "cooldown": float(venue.cooldown),
            "off": float(venue.band),
            "phi": float(rule.phi),
            "eta": float(rule.eta),
            "size_reward": float(rule.size_reward),
        }
        return cls(**{**given, **changes})  # type: ignore[arg-type]

    def array(self) -> Floats:
        """The fields in their order."""
        return np.array([float(getattr(self, name)) for name in self.__dataclass_fields__])


(
    H_POLICY,
    H_EVERY,
    H_FEE,
    H_DEPTH,
    H_COOLDOWN,
    H_OFF,
    H_CAP,
    H_BAND,
    H_TARGET,
    H_PHI,
    H_ETA,
    H_SIZE_REWARD,
    H_LEAST,
) = range(13)


class Rule(Protocol):
    """Parameters of a rule; the module they come from is the rule."""

    def array(self) -> Floats: ...


@dataclass(frozen=True, slots=True)
class Agents:
    """Who reacts: compiled `want(a, s, m, x, g, k, rows) -> n` writes what is wanted at step k into `rows`
    (market, size, limit, closing, tag), x being true prices (markets,); `done(a, s, row, filled, cost)` is told what
    came of each. `s` is their state, `size` floats, zero at first. np.random is seeded for each path."""

    want: Callable[..., int]
    done: Callable[..., None]
    params: Floats
    size: int
    every: int = 1  # [steps] between looks


@dataclass(frozen=True, slots=True)
class Result(Course):
    """What came of each path."""

    world: str
    rule: str
    dt: float  # [s] between samples
    equity: Floats  # (paths, samples) [quote] LPs', at true prices, per initial share; reserve excluded
    reserve: Floats  # (paths, samples) [quote]
    net: Floats  # (paths, samples, markets) [base] the vault's delta
    totals: Floats  # (paths, N_TOTALS)
    log: Floats  # (fills, N_LOG) of the first path, as far as asked for

    @property
    def profit(self) -> Floats:
        """[quote] per path."""
        return np.asarray(self.equity[:, -1] - self.equity[:, 0])

    @property
    def volatility(self) -> Floats:
        """Of returns between samples [1/√year], per path."""
        changes = np.diff(self.equity, axis=1) / self.equity[:, :-1]
        return np.asarray(np.std(changes, axis=1) * np.sqrt(w.YEAR / self.dt))

    @property
    def sharpe(self) -> Floats:
        """Mean return over volatility, per √year, no rate subtracted; 0 where nothing moves."""
        changes = np.diff(self.equity, axis=1) / self.equity[:, :-1]
        spread = np.std(changes, axis=1)
        mean = np.mean(changes, axis=1)
        return np.asarray(
            np.where(spread > 0.0, mean / np.where(spread > 0.0, spread, 1.0), 0.0) * np.sqrt(w.YEAR / self.dt)
        )

    @property
    def trader_costs(self) -> Floats:
        """[quote] what trades cost beyond mark, less rebates, per path; holding excluded."""
        t = self.totals
        return np.asarray(t[:, SPREADS] + t[:, CHARGES] - t[:, REBATES] + t[:, FEES])


@njit
def _no_rate(p: Floats, z: Floats, m: Floats, g: Floats, i: int) -> float:
    return 0.0


@njit
def _no_relief(p: Floats, z: Floats, m: Floats, g: Floats, i: int, dh: float) -> tuple[float, float]:
    return 0.0, 0.0


@njit
def _not_booked(p: Floats, z: Floats, m: Floats, g: Floats, i: int, dh: float, spent: float) -> float:
    return 0.0


@njit
def _want_nothing(a: Floats, s: Floats, m: Floats, x: Floats, g: Floats, k: int, rows: Floats) -> int:
    return 0


@njit
def _ignore(a: Floats, s: Floats, row: Floats, filled: float, cost: float) -> None:
    pass


@njit
def venue_cost(h: Floats, price: float, dh: float) -> float:
    """[quote] fee and impact of buying dh at a venue whose price is `price`: a constant product."""
    base = h[H_DEPTH] / price
    if dh > 0.0:
        return float(h[H_DEPTH] * dh / (base - dh) / (1.0 - h[H_FEE]) - dh * price)
    kept = -dh * (1.0 - h[H_FEE])
    return float(-dh * price - h[H_DEPTH] * kept / (base + kept))


@njit
def reward_of(h: Floats, freed: float, cost: float, notional: float) -> float:
    """[quote] the keeper's, `ballast.model.exact.hedge.reward`."""
    return float(max(max(0.0, freed - cost) * h[H_ETA], notional * h[H_SIZE_REWARD]))


@njit
def room(h: Floats, m: Floats, i: int, x: float, side: float) -> float:
    """[base] the most that a hedge of this side may trade: prices stay near the oracle's, the holding under its cap."""
    off = x / m[i, w.PRICE] - 1.0
    slack = h[H_FEE] + h[H_OFF]
    if abs(off) > slack:
        return 0.0
    by_price = h[H_DEPTH] / x * (slack - side * off) / 2.0  # a trade moves the price by twice its part of the depth
    return float(max(0.0, min(by_price, h[H_CAP] / x - side * m[i, w.HEDGE])))


@njit
def measured_cost(h: Floats, m: Floats, i: int, x: float, dh: float) -> float:
    """[quote] of a hedge as the vault measures it, at the oracle's price: at least the venue's fee."""
    price = m[i, w.PRICE]
    return float(max(venue_cost(h, x, dh) + dh * (x - price), h[H_FEE] * abs(dh) * price))


@njit
def band_hedge(h: Floats, m: Floats, g: Floats, i: int, x: float) -> float:
    """[base] that bring dollar delta back to the target, once it is outside its band."""
    dollars = (m[i, w.HEDGE] - m[i, w.NET]) * m[i, w.PRICE]
    if abs(dollars) <= h[H_BAND] * g[w.EQUITY]:
        return 0.0
    side = -1.0 if dollars > 0.0 else 1.0
    wanted = (abs(dollars) - h[H_TARGET] * h[H_BAND] * g[w.EQUITY]) / m[i, w.PRICE]
    return float(side * min(wanted, room(h, m, i, x, side)))


NOBODY = Agents(_want_nothing, _ignore, np.zeros(0), 0, every=2**62)


def run(
    world: World,
    params: Rule,
    *,
    equity: float = 10e6,
    hedging: Hedging | None = None,
    agents: Agents = NOBODY,
    sample: int = 60,
    seed: int = 0,
    jobs: int = 2,
    log: int = 0,
) -> Result:
    """Play every path of the world by a rule. `equity` [quote] LPs begin with, `sample` [steps] between samples
    (somebody synchronises then), `seed` of the agents, `log` fills of the first path at most that are written down."""
    rule = sys.modules[type(params).__module__]
    kernel = _compiled(rule, agents.want, agents.done)
    h = hedging or Hedging()
    n = world.prices.shape[2]
    samples = world.steps // sample + 1 + (world.steps % sample > 0)
    curve, reserve = np.zeros((world.paths, samples)), np.zeros((world.paths, samples))
    net = np.zeros((world.paths, samples, n))
    totals = np.zeros((world.paths, N_TOTALS))
    fills = np.zeros((max(log, 1), N_LOG))
    wants = world.wants

    def play(path: int) -> int:
        part = slice(int(world.offsets[path]), int(world.offsets[path + 1]))
        written: int = kernel(
            world.dt,
            world.prices[path],
            world.seen[path],
            world.rounds[path],
            world.previous[path],
            world.sigma[path],
            world.vol[path if len(world.vol) > 1 else 0],
            world.gas[path if len(world.gas) > 1 else 0],
            wants.step[part],
            wants.market[part],
            wants.size[part],
            wants.limit[part],
            wants.closes[part],
            params.array(),
            np.zeros(rule.N_STATE + n * rule.N_MARKET_STATE),
            h.array(),
            agents.params,
            np.zeros(agents.size),
            agents.every,
            equity,
            sample,
            seed + path,
            log if path == 0 else 0,
            curve[path],
            reserve[path],
            net[path],
            totals[path],
            fills,
        )
        return written

    written = play(0)  # compiles
    if world.paths > 1:
        with ThreadPoolExecutor(jobs) as pool:
            list(pool.map(play, range(1, world.paths)))
    return Result(
        world=world.name,
        rule=rule.__name__.rsplit(".", 1)[-1],
        dt=sample * world.dt,
        equity=curve,
        reserve=reserve,
        net=net,
        totals=totals,
        log=fills[:written],
    )


@cache
def _compiled(rule: ModuleType, want: Callable[..., int], done: Callable[..., None]) -> Callable[..., int]:
    return _kernel(
        rule.start,
        rule.accrue,
        rule.quote,
        rule.fill,
        getattr(rule, "rate", _no_rate),
        getattr(rule, "relief", _no_relief),
        getattr(rule, "hedged", _not_booked),
        want,
        done,
    )


@njit
def _look(
    k: int,
    dt: float,
    seen: Floats,
    rounds: Floats,
    previous: Floats,
    sigma: Floats,
    vol: Floats,
    gas: Floats,
    m: Floats,
    g: Floats,
) -> None:
    """What the vault knows at step k."""
    now = k * dt
    g[w.EQUITY] = g[w.CASH]
    for i in range(m.shape[0]):
        m[i, w.PRICE] = seen[k, i]
        m[i, w.SIGMA] = sigma[k, i]
        m[i, w.AGE] = now - rounds[k, i]
        m[i, w.PREVIOUS_AGE] = now - previous[k, i]
        m[i, w.VOL] = vol[min(k, vol.shape[0] - 1), i]
        g[w.EQUITY] += (m[i, w.HEDGE] - m[i, w.NET]) * m[i, w.PRICE]
    g[w.ELAPSED] = now - g[w.TIME]
    g[w.TIME] = now
    g[w.GAS] = gas[min(k, gas.shape[0] - 1)]


@njit
def _earn(g: Floats, amount: float) -> None:
    """LPs get an amount, or pay it."""
    g[w.CASH] += amount
    g[w.EQUITY] += amount


@njit
def _enter_or_leave(g: Floats, size: float) -> None:
    """LPs bring or take a share of all that there is."""
    share = max(size, -0.99)
    _earn(g, share * g[w.EQUITY])
    g[w.SHARES] *= 1.0 + share


@njit
def _sample(x: Floats, m: Floats, g: Floats, slot: int, curve: Floats, reserve: Floats, net: Floats) -> None:
    value = g[w.CASH]
    for i in range(m.shape[0]):
        net[slot, i] = m[i, w.HEDGE] - m[i, w.NET]
        value += net[slot, i] * x[i]
    curve[slot] = value / g[w.SHARES]
    reserve[slot] = g[w.RESERVE]


def _kernel(
    start: Any, accrue: Any, quote: Any, fill: Any, rate: Any, relief: Any, hedged: Any, want: Any, done: Any
) -> Callable[..., int]:
    """The loop, with a rule's and a crowd's functions in it."""

    @njit
    def worth(h: Floats, p: Floats, z: Floats, m: Floats, g: Floats, i: int, x: float, dh: float) -> float:
        """[quote] what a hedge saves at phi, beyond what it costs; -inf where the potential does not fall."""
        fall, frees = relief(p, z, m, g, i, dh)
        if fall <= 0.0:
            return -np.inf
        cost = measured_cost(h, m, i, x, dh)
        reward = reward_of(h, frees, cost, abs(dh) * m[i, w.PRICE])
        return float(h[H_PHI] * fall - cost - reward - g[w.GAS])

    @njit
    def choose(h: Floats, p: Floats, z: Floats, m: Floats, g: Floats, i: int, x: float) -> float:
        """[base] of the hedge that the policy asks for; 0: none."""
        if h[H_POLICY] == BAND:
            return band_hedge(h, m, g, i, x)
        reach = 0.0
        for j in range(m.shape[0]):
            reach += abs(m[j, w.HEDGE] - m[j, w.NET]) * m[j, w.PRICE] / m[i, w.PRICE]
        for side in (-1.0, 1.0):
            most = min(reach, room(h, m, i, x, side))
            if most <= 0.0:
                continue
            first = worth(h, p, z, m, g, i, x, side * 1e-3 * most) + g[w.GAS]
            if first == -np.inf:
                continue  # the other side it is
            if first <= 0.0:
                return 0.0
            low, high = 0.0, most  # worth has one hump: the potential is convex, and cost grows
            for _ in range(GOLDEN_STEPS):
                left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
                if worth(h, p, z, m, g, i, x, side * left) < worth(h, p, z, m, g, i, x, side * right):
                    low = left
                else:
                    high = right
            if worth(h, p, z, m, g, i, x, side * high) > h[H_LEAST]:
                return float(side * high)
        return 0.0

    @njit
    def hedge(h: Floats, p: Floats, z: Floats, m: Floats, g: Floats, x: Floats, ready: Floats, totals: Floats) -> None:
        """Whatever the policy asks for, in every market that has rested."""
        for i in range(m.shape[0]):
            dh = choose(h, p, z, m, g, i, x[i]) if g[w.TIME] >= ready[i] else 0.0
            if dh == 0.0:
                continue
            lost, cost, reward = venue_cost(h, x[i], dh), measured_cost(h, m, i, x[i], dh), 0.0
            if h[H_POLICY] == RULE:
                _, frees = relief(p, z, m, g, i, dh)
                reward = reward_of(h, frees, cost, abs(dh) * m[i, w.PRICE])
            freed = hedged(p, z, m, g, i, dh, cost + reward + g[w.GAS])
            m[i, w.HEDGE] += dh
            _earn(g, dh * (m[i, w.PRICE] - x[i]) + freed - lost - reward - g[w.GAS])
            g[w.CASH] -= dh * m[i, w.PRICE]
            g[w.RESERVE] -= freed
            ready[i] = g[w.TIME] + h[H_COOLDOWN]
            totals[RELEASED] += freed
            totals[HEDGING] += lost
            totals[REWARDS] += reward
            totals[GAS_PAID] += g[w.GAS]
            totals[HEDGES] += 1.0
            totals[HEDGED] += abs(dh) * x[i]

    @njit
    def trade(
        p: Floats, z: Floats, m: Floats, g: Floats, i: int, size: float, limit: float, closing: bool, totals: Floats
    ) -> tuple[bool, float]:
        """Fill what is wanted, or refuse it; whether it was filled, and what it cost."""
        notional = abs(size) * m[i, w.PRICE]
        totals[WANTED] += notional
        g[w.CLOSING] = 1.0 if closing else 0.0
        cost = quote(p, z, m, g, i, size)
        if cost > limit * notional or cost == np.inf:
            totals[REFUSED] += 1.0
            return False, 0.0
        to_lp, to_reserve = fill(p, z, m, g, i, size)
        g[w.CASH] += size * m[i, w.PRICE]
        _earn(g, to_lp)
        g[w.RESERVE] += to_reserve
        m[i, w.NET] += size
        if (size > 0.0) != closing:
            m[i, w.LONG] += size
        else:
            m[i, w.SHORT] -= size
        totals[TRADES] += 1.0
        totals[VOLUME] += notional
        totals[SPREADS] += to_lp
        totals[FEES] += cost - to_lp - to_reserve
        totals[CHARGES] += max(to_reserve, 0.0)
        totals[REBATES] -= min(to_reserve, 0.0)
        g[w.TO_LP], g[w.TO_RESERVE] = to_lp, to_reserve
        return True, float(cost)

    @njit
    def kernel(
        dt: float,
        prices: Floats,
        seen: Floats,
        rounds: Floats,
        previous: Floats,
        sigma: Floats,
        vol: Floats,
        gas: Floats,
        want_step: Any,
        want_market: Any,
        want_size: Floats,
        want_limit: Floats,
        want_closes: Any,
        p: Floats,
        z: Floats,
        h: Floats,
        a: Floats,
        s: Floats,
        crowd_every: int,
        equity: float,
        sample: int,
        seed: int,
        log: int,
        curve: Floats,
        reserve: Floats,
        net: Floats,
        totals: Floats,
        fills: Floats,
    ) -> int:
        np.random.seed(seed)  # noqa: NPY002 (compiled code has no Generator of its own)
        steps, n = prices.shape[0] - 1, prices.shape[1]
        m, g = np.zeros((n, w.N_VIEW)), np.zeros(w.N_VAULT)
        g[w.CASH], g[w.SHARES] = equity, 1.0
        rows = np.zeros((MOST_ROWS, N_ROW))
        came = np.zeros(len(want_step))  # of each want, what was filled
        ready = np.zeros(n)  # [s] when each market may be hedged again
        hedges, hedge_every = h[H_POLICY] != NO_HEDGE, int(h[H_EVERY])
        written = cursor = slot = 0
        next_want = want_step[0] if len(want_step) > 0 else steps + 1
        next_sample, next_hedge, next_crowd = 0, hedge_every if hedges else steps + 1, crowd_every - 1

        for k in range(steps + 1):
            sampling, wanted, crowded, hedging = k == next_sample, k == next_want, k == next_crowd, k == next_hedge
            if not (sampling or wanted or crowded or hedging):
                continue
            _look(k, dt, seen, rounds, previous, sigma, vol, gas, m, g)
            if k == 0:
                start(p, z, m, g)
            carried, freed = accrue(p, z, m, g)
            _earn(g, carried + freed)
            g[w.RESERVE] -= freed
            totals[CARRIED] += carried
            totals[RELEASED] += freed

            if hedging:
                hedge(h, p, z, m, g, prices[k], ready, totals)
                next_hedge += hedge_every
            listed = reacting = 0
            if wanted:
                while cursor + listed < len(want_step) and want_step[cursor + listed] == k:
                    listed += 1
                next_want = want_step[cursor + listed] if cursor + listed < len(want_step) else steps + 1
            j = 0
            while True:
                if j == listed and crowded:  # the crowd sees what the others have done
                    for i in range(n):
                        m[i, w.FUNDING] = rate(p, z, m, g, i)
                    reacting = want(a, s, m, prices[k], g, k, rows)
                    next_crowd += crowd_every
                    crowded = False
                if j == listed + reacting:
                    break
                own = j - listed
                if own < 0:
                    at = cursor + j
                    market, size, limit, closing = want_market[at], want_size[at], want_limit[at], want_closes[at] >= 0
                    if closing:
                        size = -came[want_closes[at]]
                else:
                    at = -1
                    market, size, limit = int(rows[own, ROW_MARKET]), rows[own, ROW_SIZE], rows[own, ROW_LIMIT]
                    closing = rows[own, ROW_CLOSING] != 0.0
                j += 1
                if size == 0.0:
                    continue
                filled, cost = True, 0.0
                if market == w.LPS:
                    _enter_or_leave(g, size)
                else:
                    filled, cost = trade(p, z, m, g, market, size, limit, closing, totals)
                    if filled and written < log:
                        line = fills[written]
                        line[LOG_STEP], line[LOG_MARKET], line[LOG_SIZE] = k, market, size
                        line[LOG_CLOSING], line[LOG_COST] = g[w.CLOSING], cost
                        line[LOG_TO_LP], line[LOG_TO_RESERVE] = g[w.TO_LP], g[w.TO_RESERVE]
                        line[LOG_EQUITY], line[LOG_RESERVE] = g[w.EQUITY], g[w.RESERVE]
                        line[LOG_OWNER] = -1.0 - rows[own, ROW_TAG] if at < 0 else want_closes[at] if closing else at
                        written += 1
                if at < 0:
                    done(a, s, rows[own], size if filled else 0.0, cost)
                elif filled:
                    came[at] = size
            cursor += listed
            if sampling:
                _sample(prices[k], m, g, slot, curve, reserve, net)
                slot += 1
                next_sample = min(k + sample, steps) if k < steps else steps + 1
        return written

    result: Callable[..., int] = kernel
    return result
