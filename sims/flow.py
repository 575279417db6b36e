"""Who trades with the vault, who leaves it, and recorded flow played again.

*Traders* want what they want whatever the rule (`wants`), each up to a cost of his own. By market and step of dt:

    openings     Poisson, mean dt (base x^power + E),  E' = exp(-dt/decay) E + branching/decay for each before  (Hawkes)
    x            volatility of late (EWMA of half-life `alert`) over its mean, within 0.2 ... 5
    size         exp(N(mean, spread^2)) of LP equity at the start, at most `most`
    side         long with odds exp(lean + momentum * y),  y: return until a step ago (`memory`) over its deviation
    limit        P(limit > c) = (cheapest/c)^elasticity: half the cost brings 2^elasticity times the trades
    held         exponential, mean `held`; whoever opened closes, at any cost

`perp_traders` has numbers of the recorded minutes of GMX v2 and of Arbitrum's hours (`calibrate.py`), `hedgers` those
of somebody who keeps a short position for weeks: an assumption, nothing recorded tells hedgers apart.
*Informed* traders see the true price where the vault's oracle is behind (`informed`).
*Crowds* react to the vault (`crowd`): carry traders to funding, LPs to what they have lost. Their numbers are
assumptions, too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf

import numpy as np
from numpy.random import Generator

from ballast import data
from sims import world as w
from sims.engine import ROW_CLOSING, ROW_LIMIT, ROW_MARKET, ROW_SIZE, ROW_TAG, Agents
from sims.jit import njit
from sims.paths import DAY, HOUR, HOURS_A_YEAR, calibrated
from sims.world import NEVER, Floats, Ints, Wants, World

CALM, WILD = 0.2, 5.0  # bounds of x


@dataclass(frozen=True, slots=True)
class Traders:
    """Numbers of the module's formulas, for one market."""

    per_day: float  # openings, where costs are `cheapest` and volatility is its mean; E not counted
    branching: float  # [fraction] openings that one more brings
    decay: float  # [s]
    power: float
    alert: float  # [s] half-life
    mean: float  # of ln(size / equity)
    spread: float
    most: float  # [fraction of equity]
    lean: float
    momentum: float
    memory: float  # [s] half-life
    elasticity: float
    cheapest: float  # [fraction of notional]
    held: float  # [s]
    volatility: tuple[float, float]  # [1/√year] mean of each market's hourly volatility

    def scaled(self, arrivals: float = 1.0, sizes: float = 1.0) -> Traders:
        """More of them, or larger ones."""
        return replace(
            self, per_day=self.per_day * arrivals, mean=self.mean + float(np.log(sizes)), most=self.most * sizes
        )


def perp_traders(cheapest: float = 0.0003) -> Traders:
    """Traders as recorded, each of two markets having half of them: together they ask of LPs what ETH's did of GMX's.

    Those recorded paid GMX's fee; those who would come for less, down to `cheapest`, are added by the elasticity.
    """
    found = calibrated()["flow"]
    eth, btc = (float(np.sqrt(row[0] * HOURS_A_YEAR)) for row in calibrated()["paths"]["garch"])
    return Traders(
        per_day=0.5 * found["per_day"] * (found["fee"] / cheapest) ** found["elasticity"],
        branching=found["branching"],
        decay=found["decay"],
        power=found["power"],
        alert=found["alert"],
        mean=found["mean"],
        spread=found["spread"],
        most=found["most"],
        lean=found["lean"],
        momentum=found["momentum"],
        memory=found["memory"],
        elasticity=found["elasticity"],
        cheapest=cheapest,
        held=found["held"],
        volatility=(eth, btc),
    )


def hedgers(size: float = 0.02, held: float = 14 * DAY, standing: float = 0.1) -> Traders:
    """Shorts of `size` [fraction of equity] kept for `held`, `standing` [of equity] of them in each market on average.

    They do not mind the weather or the trend, and pay like other traders. Nothing recorded: assumptions.
    """
    per_day = standing / size * DAY / held
    return replace(
        perp_traders(),
        per_day=per_day,
        branching=0.0,
        power=0.0,
        mean=float(np.log(size)),
        spread=0.0,
        most=size,
        lean=-50.0,
        momentum=0.0,
        held=held,
    )


def wants(
    rng: Generator, prices: Floats, dt: float, kinds: Traders | tuple[Traders, ...], equity: float, least: float = 1e-4
) -> list[Wants]:
    """What traders of these kinds want along prices (paths, steps + 1, markets), a list of each path's.

    `equity` [quote] that sizes are fractions of. Openings below `least` [fraction of equity] are left out: by number
    half of those recorded, by volume a two-hundredth. No path's wants depend on how many paths there are.
    """
    kinds = (kinds,) if isinstance(kinds, Traders) else kinds
    return [
        _of_path(own, path, dt, kinds, equity, least) for own, path in zip(rng.spawn(len(prices)), prices, strict=True)
    ]


def _of_path(
    rng: Generator, prices: Floats, dt: float, kinds: tuple[Traders, ...], equity: float, least: float
) -> Wants:
    parts = []
    for market in range(prices.shape[1]):
        price = np.ascontiguousarray(prices[:, market])
        for kind in kinds:
            rough, trend = weather(price, dt, kind.alert, kind.memory, kind.volatility[min(market, 1)])
            counts = _arrivals(rng, rough, dt, np.array([kind.per_day / DAY, kind.power, kind.branching, kind.decay]))
            step = np.repeat(np.arange(len(price)), counts)
            size = np.exp(rng.normal(kind.mean, kind.spread, len(step)))
            long = rng.random(len(step)) < 1.0 / (1.0 + np.exp(-kind.lean - kind.momentum * trend[step]))
            limit = kind.cheapest * rng.random(len(step)) ** (-1.0 / kind.elasticity)
            end = step + 1 + (rng.exponential(kind.held, len(step)) / dt).astype(np.int64)
            kept = size >= least
            base = np.minimum(size, kind.most) * equity / price[step] * np.where(long, 1.0, -1.0)
            parts.append((step[kept], np.full(kept.sum(), market), base[kept], limit[kept], end[kept]))
    step, market, base, limit, end = (np.concatenate(column) for column in zip(*parts, strict=True))
    return paired(step, market, base, limit, end, len(prices) - 1)


def paired(step: Ints, market: Ints, base: Floats, limit: Floats, end: Ints, last: int) -> Wants:
    """Openings, each with the step at which it is closed (none after `last`), in the order of steps."""
    closed = np.flatnonzero(end <= last)
    count = len(step)
    at = np.concatenate([step, end[closed]])
    order = np.argsort(at, kind="stable")
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    closes = np.full(len(at), NEVER, dtype=np.int64)
    closes[count:] = place[closed]
    return Wants(
        step=at[order].astype(np.int64),
        market=np.concatenate([market, market[closed]])[order].astype(np.int64),
        size=np.concatenate([base, np.zeros(len(closed))])[order],
        limit=np.concatenate([limit, np.full(len(closed), inf)])[order],
        closes=closes[order],
    )


@njit
def weather(price: Floats, dt: float, alert: float, memory: float, mean: float) -> tuple[Floats, Floats]:
    """x and y of the module at every step, from the prices before it."""
    rough, trend = np.ones(len(price)), np.zeros(len(price))
    short, own = 2.0 ** (-dt / alert), 2.0 ** (-dt / memory)
    usual = mean * mean * dt / w.YEAR
    variance = usual
    y = 0.0
    for k in range(1, len(price)):
        trend[k] = y * np.sqrt((1.0 - own * own) / variance)
        r = np.log(price[k] / price[k - 1])
        variance = max(variance * short + r * r * (1.0 - short), 1e-9 * usual)
        y = y * own + r
        rough[k] = min(max(np.sqrt(variance / usual), CALM), WILD)
    return rough, trend


@njit
def _arrivals(rng: Generator, rough: Floats, dt: float, a: Floats) -> Ints:
    base, power, branching, decay = a
    counts = np.zeros(len(rough), dtype=np.int64)
    keep, excited = np.exp(-dt / decay), 0.0
    for k in range(len(rough)):
        mean = dt * base * rough[k] ** power + excited * (1.0 - keep)
        counts[k] = rng.poisson(mean)
        excited = excited * keep + branching * counts[k]
    return counts


def informed(
    rng: Generator,
    world: World,
    share: float,
    equity: float,
    *,
    lead: float = 0.0,
    edge: float = 0.0006,
    most: float = 0.05,
    parts: int = 4,
) -> list[Wants]:
    """What somebody wants who knows the true price `lead` [s] before it is one, and what the oracle says, path by path.

    Where true and said differ by more than `edge` he wants to trade, in `parts`, each as long as it costs less than
    half of the difference, since he has to go back: so he goes about as far as it pays. He is out again when the oracle
    has come three quarters of the way to what he knew, or after an hour. `share` of all that is wanted in the world is
    to be his, at most `most` [of equity] at a time; `notional` tells what it came to.
    """
    others = [notional(world.wants_of(path), world.prices[path]) for path in range(world.paths)]
    ahead = round(lead / world.dt)
    out = []
    for path, usual in enumerate(others):
        found = [
            _chances(world.prices[path, :, i], world.seen[path, :, i], ahead, edge, round(HOUR / world.dt))
            for i in range(world.prices.shape[2])
        ]
        step, gap, end = (np.concatenate(column) for column in zip(*found, strict=True))
        market = np.repeat(np.arange(len(found)), [len(entry[0]) for entry in found])
        wanted = share / (1.0 - share) * usual / max(len(step), 1)
        size = np.sign(gap) * min(wanted, most * equity) / world.seen[path, step, market]
        each = rng.uniform(0.5, 1.5, len(step))  # nobody is as large each time
        order = np.repeat(np.argsort(step, kind="stable"), parts)
        out.append(
            paired(
                step[order],
                market[order],
                (size * each / parts)[order],
                0.5 * np.abs(gap)[order],
                end[order],
                world.steps,
            )
        )
    return out


@njit
def _chances(true: Floats, said: Floats, ahead: int, edge: float, longest: int) -> tuple[Ints, Floats, Ints]:
    """Steps at which what will be true and what is said differ, by how much, and when the oracle has caught up."""
    n = len(true)
    step, gap, end = np.empty(n, dtype=np.int64), np.empty(n), np.empty(n, dtype=np.int64)
    count = k = 0
    while k < n:
        known = true[min(k + ahead, n - 1)]
        difference = known / said[k] - 1.0
        if abs(difference) <= edge:
            k += 1
            continue
        out = k + 1
        while (
            out < n and out - k < longest and (known / said[out] - 1.0) * np.sign(difference) > 0.25 * abs(difference)
        ):
            out += 1
        step[count], gap[count], end[count] = k, difference, out
        count += 1
        k = out
    return step[:count], gap[:count], end[:count]


def merged(*lists: list[Wants]) -> list[Wants]:
    """Several crowds' wants as one, path by path."""
    out = []
    for together in zip(*lists, strict=True):
        shift = np.concatenate([[0], np.cumsum([len(part) for part in together])])
        step = np.concatenate([part.step for part in together])
        order = np.argsort(step, kind="stable")
        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.arange(len(order))
        closes = np.concatenate(
            [np.where(p.closes >= 0, p.closes + at, NEVER) for p, at in zip(together, shift, strict=False)]
        )
        closes = np.where(closes >= 0, place[closes], NEVER)[order]
        market, size, limit = (
            np.concatenate([getattr(part, name) for part in together])[order] for name in ("market", "size", "limit")
        )
        out.append(Wants(step[order], market, size, limit, closes))
    return out


def notional(wanted: Wants, prices: Floats) -> float:
    """[quote] of the openings, along a path's prices (steps + 1, markets)."""
    return float(np.abs(wanted.size) @ prices[wanted.step, wanted.market])


# recorded flow


def gmx_day(day: str, equity: float | None = None) -> tuple[Floats, Wants]:
    """A day of GMX v2's ETH market: index price by the minute (1441, 1), and what its traders did, at any cost.

    What is open when the day begins is opened at once. Closings take what was opened first. `equity` [quote] scales
    sizes from the pool's value at the beginning.
    """
    flow = data.gmx_flow(day)
    scale = 1.0 if equity is None else equity / float(flow.pool_value[0])
    sides = []
    for open_interest, sign in ((flow.oi_long, 1.0), (flow.oi_short, -1.0)):
        step, base, end = _first_in_first_out(np.diff(open_interest, prepend=0.0))
        sides.append((step, sign * scale * base, end))
    step, base, end = (np.concatenate(column) for column in zip(*sides, strict=True))
    order = np.argsort(step, kind="stable")
    count = len(step)
    price = np.append(flow.index_price, flow.index_price[-1])[:, None]
    return price, paired(
        step[order], np.zeros(count, dtype=np.int64), base[order], w.unlimited(count), end[order], len(flow)
    )


def swap_day(day: str, scale: float = 1.0) -> tuple[Floats, Wants]:
    """A day of Uniswap's pool on Polygon: price by the minute (n, 1), and net purchases, at any cost, never closed."""
    flow = data.swap_flow(day)
    step = np.flatnonzero(flow.signed_flow)
    never = np.full(len(step), len(flow) + 1)
    base = scale * flow.signed_flow[step]
    price = np.append(flow.price, flow.price[-1])[:, None]
    return price, paired(step, np.zeros(len(step), dtype=np.int64), base, w.unlimited(len(step)), never, len(flow))


def _first_in_first_out(changes: Floats) -> tuple[Ints, Floats, Ints]:
    """Pieces opened and the step at which each is closed (after the last: never), from changes of open interest."""
    step, base, end = [], [], []
    waiting: list[tuple[int, float]] = []
    for k, change in enumerate(changes):
        if change > 0.0:
            waiting.append((k, float(change)))
        left = -float(change)
        while left > 0.0 and waiting:
            opened, size = waiting[0]
            part = min(size, left)
            step.append(opened)
            base.append(part)
            end.append(k)
            left -= part
            if part < size:
                waiting[0] = (opened, size - part)
                break
            waiting.pop(0)
    step += [opened for opened, _ in waiting]
    base += [size for _, size in waiting]
    end += [len(changes) + 1] * len(waiting)
    return np.array(step, dtype=np.int64), np.array(base), np.array(end, dtype=np.int64)


# crowds, which react


@dataclass(frozen=True, slots=True)
class Carry:
    """Traders who take the side that funding pays, hedged elsewhere: delta is no matter of theirs. Assumptions."""

    capital: float = 2e6  # [quote] in each market
    hurdle: float = 0.10  # [1/year] of funding at which they begin
    full: float = 0.40  # [1/year] at which all their capital is in
    stay: float = 7 * DAY  # [s] over which they count a cost off
    step: float = 0.25  # [fraction of capital] that they move at a time, at most


@dataclass(frozen=True, slots=True)
class Runners:
    """LPs who leave when they lose and come back when they have gained it again. Assumptions."""

    share: float = 0.5  # [fraction] of LPs that may leave
    fear: float = 0.02  # [fraction] of fall from the peak, per share, at which the first leave
    panic: float = 0.10  # [fraction] at which all of these are gone
    pace: float = 0.3  # [fraction of LPs per day] that can leave
    trust: float = 30 * DAY  # [s] in which those who left come back


C_CAPITAL, C_HURDLE, C_FULL, C_STAY, C_STEP, L_SHARE, L_FEAR, L_PANIC, L_PACE, L_TRUST, ELAPSE = range(11)
HELD, LAST, LEVEL, PEAK, GONE = 0, 4, 5, 6, 7  # state: of four markets, then of LPs


def crowd(dt: float, carry: Carry | None = None, runners: Runners | None = None, every: int = 60) -> Agents:
    """Both crowds, or one of them, who look every `every` steps of `dt` [s]; at most four markets."""
    a, b = carry or Carry(capital=0.0), runners or Runners(share=0.0)
    params = [a.capital, a.hurdle, a.full, a.stay, a.step, b.share, b.fear, b.panic, b.pace, b.trust, every * dt]
    return Agents(_want, _done, np.array(params), 8, every)


@njit
def _want(a: Floats, s: Floats, m: Floats, x: Floats, g: Floats, k: int, rows: Floats) -> int:
    count = 0
    if a[C_CAPITAL] > 0.0:
        for i in range(m.shape[0]):
            rate = m[i, w.FUNDING]
            eager = (abs(rate) - a[C_HURDLE]) / (a[C_FULL] - a[C_HURDLE])
            target = -np.sign(rate) * min(max(eager, 0.0), 1.0) * a[C_CAPITAL] / m[i, w.PRICE]
            most = a[C_STEP] * a[C_CAPITAL] / m[i, w.PRICE]
            held = s[HELD + i]
            leaving = held != 0.0 and (target * held <= 0.0 or abs(target) < abs(held))
            if leaving and rate * held < 0.0 and abs(rate) > 0.5 * a[C_HURDLE]:
                continue  # it is paid still, and would pay to go
            move = -held if leaving and target * held <= 0.0 else target - held
            move = min(max(move, -most), most)
            if abs(move) * m[i, w.PRICE] < 0.02 * a[C_CAPITAL]:
                continue
            rows[count, ROW_MARKET], rows[count, ROW_SIZE], rows[count, ROW_TAG] = i, move, i
            rows[count, ROW_LIMIT] = np.inf if leaving else abs(rate) * a[C_STAY] / w.YEAR / 2.0
            rows[count, ROW_CLOSING] = 1.0 if leaving else 0.0
            count += 1
    if a[L_SHARE] > 0.0:
        if s[LAST] > 0.0:
            s[LEVEL] *= g[w.EQUITY] / s[LAST]
        else:
            s[LEVEL] = 1.0
        s[LAST] = g[w.EQUITY]
        s[PEAK] = max(s[PEAK], s[LEVEL])
        fall = 1.0 - s[LEVEL] / s[PEAK]
        out = a[L_SHARE] * min(max((fall - a[L_FEAR]) / (a[L_PANIC] - a[L_FEAR]), 0.0), 1.0)
        move = 0.0  # of those there were at first
        if out > s[GONE]:
            move = -min(out - s[GONE], a[L_PACE] * a[ELAPSE] / 86_400.0)
        elif out < s[GONE]:
            move = min((s[GONE] - out), s[GONE] * a[ELAPSE] / a[L_TRUST])
        if abs(move) > 1e-6:
            rows[count, ROW_MARKET], rows[count, ROW_SIZE], rows[count, ROW_TAG] = -1.0, move / (1.0 - s[GONE]), -1.0
            rows[count, ROW_LIMIT], rows[count, ROW_CLOSING] = np.inf, 0.0
            count += 1
    return count


@njit
def _done(a: Floats, s: Floats, row: Floats, filled: float, cost: float) -> None:
    if row[ROW_TAG] < 0.0:
        s[LAST] *= 1.0 + filled
        s[GONE] = 1.0 - (1.0 - s[GONE]) * (1.0 + filled)
    else:
        s[HELD + int(row[ROW_TAG])] += filled
