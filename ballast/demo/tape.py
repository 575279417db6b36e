"""Recorded option chains carried into a window: which surface feeders see, which expiries there are, what is traded.

No chain was recorded in a window of minute prices. Carried over from Deribit's of another week are the shape of the
surface (skew, curvature, term structure and how they moved) and the open interest of each option; the window's own are
spot and the level of volatility:

- Chains keep their order and spacing. All move by the same whole number of days, which brings `PEAK`, the height of the
  recorded crash, to the window's wildest hour, give or take half a day; expiries stay at 08:00 UTC.
- Between two chains variance per year, rho and eta run straight from one fit to the next; so does the rate that leads
  to the forward of 30 days, which is taken for all expiries: forwards of a day or two are mostly noise.
- Volatilities are multiplied so that the one at the money of 30 days is DVOL of the window, a line from a day's
  recorded open to its close. At most `MAX_VOL`, which the contract takes. Strikes are taken as many standard
  deviations from the money as they were: ln(strike / forward) is multiplied alike.

Flow is the change of an option's open interest between two chains, straight in time. A
record does not say who paid the spread. As a tick test does, what gained implied volatility between the two, against
the median of its expiry, counts as bought, what lost as sold; a fall of open interest shrinks both sides alike.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ballast import data
from ballast.surface import Surface, fit, quotes_of
from ballast.surface.quotes import Quotes
from ballast.surface.ssvi import BUTTERFLY_LIMIT, DAY, YEAR, Floats, Ints

PEAK = 1_770_326_977  # [s] 2026-02-05 21:29 UTC: the chain with the highest volatilities
MAX_VOL = 4.5  # at the money
LEAST_STEP = 1e-7  # by which theta rises from one expiry to the next
MARGIN = 0.999  # of the butterfly limit
MONTH = 30 * DAY  # [s]
LEAST_TERM = 2 * 3_600  # [s] an expiry that is listed is away
NEAR = 2  # boards of the next expiries ...
FAR = (6 * DAY, 20 * DAY)  # ... and of the first one at least this far away [s]


@dataclass(frozen=True, slots=True)
class Print:
    """Part of the flow: an option's open interest changes."""

    expiry: int  # [s] in the window
    moneyness: float  # strike / spot, in the window
    strike: float  # [quote/base] recorded: names the option
    is_call: bool
    is_bought: bool  # if it grows; by a trader, from the vault
    before: float  # [coin] open interest
    after: float  # [coin]


@dataclass(frozen=True, slots=True)
class Recorded:
    """A chain and what a surface makes of it, at the window's time and level of volatility."""

    time: int  # [s] in the window
    ts: int  # [s] when it was recorded
    expiry: int  # [s] in the window
    k: tuple[float, ...]  # ln(strike / forward)
    bid: tuple[float, ...]  # [per sqrt year] level moved
    ask: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class _Interval:
    """What changed between two chains, arrays of shape (n_options,)."""

    expiry: Ints  # recorded
    strike: Floats
    is_call: Ints
    is_bought: Ints
    before: Floats
    after: Floats


class Tape:
    """The recorded chains of one market in a window's time."""

    def __init__(self, asset: data.Asset, wildest: int) -> None:
        self.asset = asset
        self.shift = round((wildest - PEAK) / DAY) * DAY  # [s] from record to window
        self.chains = data.option_chains(asset)
        self.times = [chain.ts + self.shift for chain in self.chains]
        self._quotes: dict[int, Quotes] = {}
        self._fits: dict[int, Surface] = {}
        self._intervals: dict[int, _Interval] = {}
        dvol = data.dvol(asset)
        steps = np.stack([dvol.ts, dvol.ts + DAY], axis=1).ravel()
        # a day's close stands a second before the next one's open
        self._dvol = steps - np.tile([0, 1], len(dvol)), np.stack([dvol.open, dvol.close], axis=1).ravel()

    # ---- volatility

    def surface(self, now: int, spot: float, expiries: Ints) -> Surface:
        """What feeders see at a time of the window, at these expiries [s]."""
        i = self._before(now)
        u = min(1.0, (now - self.times[i]) / (self.times[i + 1] - self.times[i]))
        first, second = (self._rolled(j, now, spot).on(expiries, spot) for j in (i, i + 1))
        rho = (1 - u) * first.rho + u * second.rho
        eta = min((1 - u) * first.eta + u * second.eta, MARGIN * BUTTERFLY_LIMIT / (1 + abs(rho)))
        years = (expiries - now) / YEAR
        theta = ((1 - u) * first.theta + u * second.theta) * self.level(now) ** 2
        theta = np.minimum(theta, MAX_VOL**2 * years)
        theta = np.maximum.accumulate(theta - LEAST_STEP * np.arange(len(theta))) + LEAST_STEP * np.arange(len(theta))
        month = np.array([now + MONTH])
        carry = [np.log(self._rolled(j, now, spot).on(month, spot).forward / spot) for j in (i, i + 1)]
        forward = spot * np.exp(((1 - u) * carry[0] + u * carry[1]) * (expiries - now) / MONTH)
        return Surface(now, rho, eta, expiries, forward, theta)

    def recorded(self, number: int, expiry: int) -> Recorded | None:
        """The quotes of a chain for an expiry of the window, at the level of volatility of its time there."""
        quotes, now = self._quotes_of(number), self.times[number]
        factor = self.level(now)
        mine = np.isin(quotes.position, np.flatnonzero(quotes.expiries == expiry - self.shift))
        order = np.argsort(quotes.k[mine])
        found = (
            tuple((values[mine][order]).tolist())
            for values in (quotes.k * factor, quotes.bid * factor, quotes.ask * factor)
        )
        k, bid, ask = found
        return Recorded(now, quotes.ts, expiry, k, bid, ask) if k else None

    def newest(self, now: int) -> int:
        """Number of the last chain at or before a time of the window."""
        return self._before(now)

    def level(self, now: int) -> float:
        """What volatilities are multiplied by: DVOL over that of 30 days at the money."""
        i = self._before(now)
        u = min(1.0, (now - self.times[i]) / (self.times[i + 1] - self.times[i]))
        month = np.array([now + MONTH])
        first, second = (float(self._rolled(j, now, 1.0).on(month, 1.0).theta[0]) for j in (i, i + 1))
        vol = float(np.sqrt(((1 - u) * first + u * second) / (MONTH / YEAR)))
        return self.dvol(now) / vol

    def dvol(self, now: int) -> float:
        """Implied volatility of 30 days [per sqrt year]."""
        return float(np.interp(now, *self._dvol))

    def _rolled(self, i: int, now: int, spot: float) -> Surface:
        """A chain's surface at another time: every expiry keeps its volatility and its rate."""
        fitted, then = self._fit(i), self.chains[i].index_price[0]
        expiry = fitted.expiry + self.shift
        live = expiry > now
        part = ((expiry - now) / (fitted.expiry - fitted.ts))[live]
        theta = fitted.theta[live] * part
        theta = np.maximum.accumulate(theta - LEAST_STEP * np.arange(len(theta))) + LEAST_STEP * np.arange(len(theta))
        forward = spot * (fitted.forward[live] / then) ** part
        return Surface(now, fitted.rho, fitted.eta, expiry[live], forward, theta)

    def _fit(self, i: int) -> Surface:
        if i not in self._fits:
            self._fits[i] = fit(self._quotes_of(i)).surface
        return self._fits[i]

    def _quotes_of(self, i: int) -> Quotes:
        if i not in self._quotes:
            self._quotes[i] = quotes_of(self.chains[i])
        return self._quotes[i]

    def _before(self, now: int) -> int:
        """Number of the last chain before a time that another follows."""
        return min(max(bisect_right(self.times, now) - 1, 0), len(self.times) - 2)

    # ---- boards and flow

    def expiries(self, now: int) -> list[int]:
        """Boards to have at a time of the window: the next expiries of the record, and one each farther away."""
        i = self._before(now)
        known = np.unique(np.concatenate([self.chains[j].expiry for j in (i, i + 1)])) + self.shift
        ahead = [int(expiry) for expiry in known if expiry > now + LEAST_TERM]
        found = ahead[:NEAR]
        for away in FAR:
            found += [next(expiry for expiry in ahead if expiry >= now + away)]
        return sorted(set(found))

    def prints(self, expiry: int, start: int, end: int) -> Iterator[Print]:
        """What happens to the open interest of an expiry between two times of the window."""
        while start < end:
            i = self._before(start)
            begins, ends = self.times[i], self.times[i + 1]
            until = min(end, ends) if ends > start else end
            yield from self._between(i, expiry, (start - begins) / (ends - begins), (until - begins) / (ends - begins))
            start = until

    def interest(self, expiry: int, now: int) -> Iterator[Print]:
        """What is open at a time of the window, as if it came from nothing."""
        i = self._before(now)
        u = (now - self.times[i]) / (self.times[i + 1] - self.times[i])
        for part in self._between(i, expiry, u, u):
            yield Print(part.expiry, part.moneyness, part.strike, part.is_call, part.is_bought, 0.0, part.after)

    def total(self, now: int) -> float:
        """Open interest of the last chain, all expiries [coin]."""
        return float(np.nansum(self.chains[self._before(now)].open_interest))

    def _between(self, i: int, expiry: int, start: float, end: float) -> Iterator[Print]:
        interval = self._interval(i)
        spot = float(self.chains[i].index_price[0]), float(self.chains[i + 1].index_price[0])
        then = (1 - end) * spot[0] + end * spot[1]
        level = self.level(round(self.times[i] + end * (self.times[i + 1] - self.times[i])))
        for j in np.flatnonzero(interval.expiry == expiry - self.shift):
            before, after = float(interval.before[j]), float(interval.after[j])
            strike = float(interval.strike[j])
            yield Print(
                expiry,
                (strike / then) ** level,
                strike,
                bool(interval.is_call[j]),
                bool(interval.is_bought[j]),
                before + start * (after - before),
                before + end * (after - before),
            )

    def _interval(self, i: int) -> _Interval:
        if i not in self._intervals:
            first, second = (_by_option(chain) for chain in (self.chains[i], self.chains[i + 1]))
            names = sorted({*first, *second})
            gained = _gains(first, second)
            before = np.array([first.get(name, (0.0, 0.0))[0] for name in names])
            # what expires in between keeps its open interest until then
            after = [
                second.get(name, (first[name][0] if name[0] <= self.chains[i + 1].ts else 0.0, 0.0))[0]
                for name in names
            ]
            self._intervals[i] = _Interval(
                expiry=np.array([name[0] for name in names], dtype=np.int64),
                strike=np.array([name[1] for name in names]),
                is_call=np.array([name[2] for name in names], dtype=np.int64),
                is_bought=np.array([gained.get(name, 0.0) > 0 for name in names], dtype=np.int64),
                before=before,
                after=np.array(after),
            )
        return self._intervals[i]


Name = tuple[int, float, bool]  # recorded expiry, strike, call or put


def _by_option(chain: data.OptionChain) -> dict[Name, tuple[float, float]]:
    """Open interest [coin] and mark volatility of each option."""
    rows = zip(chain.expiry, chain.strike, chain.is_call, chain.open_interest, chain.mark_iv, strict=True)
    return {(int(e), float(k), bool(c)): (float(np.nan_to_num(oi)), float(iv)) for e, k, c, oi, iv in rows}


def _gains(first: dict[Name, tuple[float, float]], second: dict[Name, tuple[float, float]]) -> dict[Name, float]:
    """Change of volatility against the median of its expiry; an option of one chain only against the other's median."""
    moved = {name: second[name][1] - first[name][1] for name in first if name in second}
    medians: dict[int, float] = {}
    for expiry in {name[0] for name in moved}:
        medians[expiry] = float(np.median([change for name, change in moved.items() if name[0] == expiry]))
    return {name: change - medians[name[0]] for name, change in moved.items()}
