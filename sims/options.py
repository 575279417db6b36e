"""A vault that makes markets in options of one underlying, by the hour: coarse boards, three rules, the same customers.

Boards: an expiry a week, listed five weeks ahead, `STRIKES` strikes e^(0.08 i) apart about the spot of that moment.
What an option is worth is Black's value on the volatility index of the path: at the money index·level·(1 + slope·ln(τ /
30d)), the smile SSVI's (`ballast/surface/ssvi.py`) with fixed rho and eta, all fitted to recorded chains
(`calibrate.py`). LPs' equity is cash, hedge and options at that worth; the reserve is not in it.

    Ballast   docs/mechanism.md §1-§6 with delta, gamma, vega and scenarios of the whole book: half-spread + charge,
              rebates out of R under the low-water mark, R released over a day or against what hedges cost; as deployed
    Lyra      `rules/lyra.py`: its own volatility, which only trades move, vega and variance fees, its limits of trading
    Flat      worth and a fixed number of vol points

Customers want options whatever the rule, up to a cost in vol points. Market makers, who could trade at worth ± `edge`
vol points elsewhere, take what is cheaper, or dearer, than that here. Delta is hedged to a band at a venue's fee and
impact. Left out: caps of series, the auction, margin, perpetuals in the same book, refreshes (every step is fresh).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import erf, exp, inf, log, pi, sqrt

import numpy as np
from numpy.random import Generator
from scipy.special import ndtri

from ballast.config import Config, load
from ballast.model.exact.fixed import SPOT_SHOCKS, VOL_SHOCKS
from sims.flow import paired
from sims.jit import njit
from sims.paths import HOUR, calibrated
from sims.rules import lyra
from sims.world import YEAR, Course, Floats, Ints, OracleModel, Wants, observe

WEEK = 168  # [hours]
LISTED = 5  # boards at a time
STRIKES = 13
SPACING = 0.08  # of ln strike
MONTH = 30 / 365  # [years]
CUTOFF = 1  # [hours] before expiry nobody opens

BALLAST, LYRA, FLAT = range(3)
SPREADS, CHARGES, REBATES, RELEASED, FEES, HEDGING, PREMIA, TRADES, REFUSED, VEGA_TRADED, MAKERS = range(11)
N_TOTALS = 11
SHOCKS = np.array([SPOT_SHOCKS, VOL_SHOCKS]) / 1e18  # of spot [fraction] and volatility [1/√year]
N_BOOK = 4 + SHOCKS.shape[1]  # value, delta, gamma, vega, scenarios
PLAIN = N_BOOK
N_OPTION = N_BOOK + 1


@dataclass(frozen=True, slots=True)
class Ballast:
    """What a deployment is configured with, `networks/local.yaml` by default; its first market's."""

    config: Config = field(default_factory=lambda: load("local"))
    kind: int = BALLAST

    def array(self) -> Floats:
        """λ, κ, ρ, ω, u*, u_max, h [years], release [s], base, floor, z, τ0, ξ, floor_v, z_v, τ1 [s]."""
        x, y = self.config.inventory, self.config.markets[0].inventory
        first = (x.aversion, x.knee, x.rho, x.omega, x.u_star, x.u_max, x.horizon / YEAR, x.release_period)
        second = (y.base, y.floor, y.z, y.tau, y.vol_of_vol, y.vol_floor, y.vol_z, y.vol_tau)
        return np.array([float(value) for value in (*first, *second)])


@dataclass(frozen=True, slots=True)
class Lyra:
    """Published parameters; contracts are of one unit of base."""

    params: lyra.Params = field(default_factory=lyra.Params)
    kind: int = LYRA

    def array(self) -> Floats:
        """As `lyra.Params`."""
        return self.params.array()


@dataclass(frozen=True, slots=True)
class Flat:
    """Worth and a fixed spread."""

    spread: float = 0.01  # [1.00 of volatility]
    kind: int = FLAT

    def array(self) -> Floats:
        """The spread."""
        return np.array([self.spread])


@dataclass(frozen=True, slots=True)
class Customers:
    """Who wants options. How many and how large, and that buyers are more, are assumptions; the rest is recorded."""

    per_day: float = 40.0
    mean: float = log(0.002)  # of ln(notional / equity)
    spread: float = 1.2
    most: float = 0.03  # [fraction of equity]
    buyers: float = 0.6  # [fraction] of openings
    elasticity: float = field(default_factory=lambda: float(calibrated()["flow"]["elasticity"]))


@dataclass(frozen=True, slots=True)
class Setting:
    """What is the same for every rule."""

    equity: float = 10e6  # [quote]
    fee_share: float = 0.2  # [fraction] of spreads and fees that is not LPs'
    band: float = 0.02  # [fraction of equity] of dollar delta to which it is hedged
    hedge_fee: float = 0.0005
    depth: float = 50e6  # [quote] virtual reserve of the venue, full again an hour later
    edge: float = field(default_factory=lambda: float(calibrated()["options"]["half_spread"]))  # [vol points / 100]
    clip: float = 0.002  # [fraction of equity] of notional that a market maker trades at a time
    lag: int = 0  # [hours] by which the posted surface is behind
    surface_age: float = 600.0  # [s] mean age of the posted surface, which widens Ballast's spread

    def array(self) -> Floats:
        """In the order of the fields but the first and `lag`."""
        return np.array(
            [self.fee_share, self.band, self.hedge_fee, self.depth, self.edge, self.clip, self.surface_age], dtype=float
        )


@dataclass(frozen=True, slots=True)
class Result(Course):
    """What came of each path."""

    equity: Floats  # (paths, steps + 1) [quote]
    reserve: Floats  # (paths, steps + 1) [quote]
    vega: Floats  # (paths, steps + 1) [quote per 1.00] the vault's, weighted
    totals: Floats  # (paths, N_TOTALS)


def smile() -> Floats:
    """level, slope, rho and eta of the module, as fitted."""
    found = calibrated()["options"]
    return np.array([found["level"], found["slope"], found["rho"], found["eta"]])


def centres(price: Floats) -> Floats:
    """Spot at each board's listing; board j expires in hour (j + 1)·WEEK."""
    boards = len(price) // WEEK + LISTED
    return np.asarray(price[np.maximum((np.arange(boards) + 1 - LISTED) * WEEK, 0)])


def wants(rng: Generator, price: Floats, vol: Floats, customers: Customers, equity: float) -> Wants:
    """What customers want along an hourly path (steps + 1,): `market` is (board·STRIKES + strike)·2 + put.

    `size` in contracts, bought where positive; `limit` [1.00 of volatility] at most beyond worth. Boards by what of
    recorded volume falls to their time left, strikes by delta; positions are held as long as recorded volume and open
    interest say, or to expiry. Limits fall off from what the recorded half-spread is, like those of `flow.Traders`.
    """
    found = calibrated()["options"]
    edges, weights = np.array(found["tenor_days"]), np.array(found["tenor_weights"])
    deltas, shares = np.array(found["deltas"]), np.array(found["shares"])  # of call deltas; shares: calls, puts
    middle, steps = centres(price), len(price) - 1
    step = np.sort(rng.integers(0, steps, rng.poisson(customers.per_day * steps / 24)))
    board = step[:, None] // WEEK + np.arange(LISTED)
    days = ((board + 1) * WEEK - step[:, None]) / 24.0
    chance = weights[np.searchsorted(edges, days, side="right") - 1] * (days * 24 > CUTOFF)
    pick = (rng.random(len(step))[:, None] * chance.sum(axis=1)[:, None] > chance.cumsum(axis=1)).sum(axis=1)
    board, days = board[np.arange(len(step)), pick], days[np.arange(len(step)), pick]
    kind = rng.choice(shares.size, len(step), p=shares.ravel() / shares.sum())
    put, wing = kind // len(deltas), deltas[kind % len(deltas)]  # out of the money by this absolute delta
    shift = ndtri(wing) * vol[step] * np.sqrt(days / 365) * np.where(put == 1, 1.0, -1.0)
    strike = np.clip(
        np.rint(np.log(price[step] * np.exp(shift) / middle[board]) / SPACING) + STRIKES // 2, 0, STRIKES - 1
    )
    market = (board * STRIKES + strike.astype(np.int64)) * 2 + put
    notional = np.minimum(np.exp(rng.normal(customers.mean, customers.spread, len(step))), customers.most) * equity
    size = notional / price[step] * np.where(rng.random(len(step)) < customers.buyers, 1.0, -1.0)
    limit = found["half_spread"] * rng.random(len(step)) ** (-1.0 / customers.elasticity)
    end = step + 1 + (rng.exponential(found["held_days"] * 24, len(step))).astype(np.int64)
    end = np.where(end < (board + 1) * WEEK, end, steps + 1)  # settled at expiry instead
    return paired(step, market, size, limit, end, steps)


def run(
    price: Floats,
    vol: Floats,
    wanted: list[Wants],
    rule: Ballast | Lyra | Flat,
    setting: Setting | None = None,
    seed: int = 0,
) -> Result:
    """Play hourly paths (paths, steps + 1) of price and volatility index by a rule."""
    setting = setting or Setting()
    paths, count = price.shape
    sigma = observe(np.ascontiguousarray(price[:, :, None]), HOUR, OracleModel())[3][:, :, 0]
    equity, reserve, vega = (np.zeros((paths, count)) for _ in range(3))
    totals = np.zeros((paths, N_TOTALS))
    for path, own in enumerate(np.random.default_rng(seed).spawn(paths)):
        w = wanted[path]
        _play(
            own, rule.kind, rule.array(), setting.array(), smile(), setting.equity, setting.lag, price[path], vol[path],
            sigma[path], centres(price[path]), w.step, w.market, w.size, w.limit, w.closes, equity[path], reserve[path],
            vega[path], totals[path],
        )  # fmt: skip
    return Result(equity, reserve, vega, totals)


@njit
def _normal(x: float) -> float:
    return 0.5 * (1.0 + erf(x / sqrt(2.0)))


@njit
def volatility(smile: Floats, index: float, spot: float, strike: float, years: float) -> float:
    """Of a strike, from the index."""
    level, slope, rho, eta = smile
    atm = index * level * max(1.0 + slope * log(years / MONTH), 0.3)
    theta = atm * atm * years
    x = eta / sqrt(theta * (1.0 + theta)) * log(strike / spot)
    total = theta / 2.0 * (1.0 + rho * x + sqrt((x + rho) * (x + rho) + 1.0 - rho * rho))
    return float(sqrt(total / years))


@njit
def black(spot: float, strike: float, vol: float, years: float) -> tuple[float, float, float, float]:
    """Call, its delta, gamma and vega (per 1.00), without interest and at a volatility that stays."""
    deviation = vol * sqrt(years)
    d1 = log(spot / strike) / deviation + deviation / 2.0
    density = exp(-d1 * d1 / 2.0) / sqrt(2.0 * pi)
    delta = _normal(d1)
    call = spot * delta - strike * _normal(d1 - deviation)
    return call, delta, density / (spot * deviation), spot * density * sqrt(years)


@njit
def evaluate(
    out: Floats, shape: Floats, spot: float, index: float, middle: Floats, k: int, horizon: float, shocks: int
) -> None:
    """Every listed option in hour k, into out (LISTED, STRIKES, 2, N_OPTION), a call and a put of each strike.

    Value, delta, gamma P&L per variance, weighted vega, what each of the first `shocks` brings beyond delta, vega.
    A put bends as its call does. Boards are at their number modulo LISTED.
    """
    for j in range(k // WEEK, k // WEEK + LISTED):
        years = ((j + 1) * WEEK - k) * 3_600.0 / YEAR
        for i in range(STRIKES):
            strike = middle[j] * exp(SPACING * (i - STRIKES // 2))
            own = volatility(shape, index, spot, strike, years)
            call = delta = 0.0
            slot = j % LISTED
            for shock in range(-1, shocks):
                move = spot * SHOCKS[0, shock] if shock >= 0 else 0.0
                vol = max(own + SHOCKS[1, shock], 0.01) if shock >= 0 else own
                there, slope, gamma, vega = black(spot + move, strike, vol, years)
                if shock >= 0:
                    out[slot, i, 0, 4 + shock] = out[slot, i, 1, 4 + shock] = there - call - delta * move
                    continue
                call, delta = there, slope
                out[slot, i, 0, 0], out[slot, i, 1, 0] = call, call - spot + strike
                out[slot, i, 0, 1], out[slot, i, 1, 1] = delta, delta - 1.0
                out[slot, i, 0, 2] = out[slot, i, 1, 2] = gamma * spot * spot * min(horizon, years) / sqrt(2.0)
                out[slot, i, 0, 3] = out[slot, i, 1, 3] = vega * sqrt(MONTH / max(years, 1.0 / 365))
                out[slot, i, 0, PLAIN] = out[slot, i, 1, PLAIN] = vega


@njit
def _potential(p: Floats, book: Floats, held: float, spot: float, sigma: float, capital: float) -> tuple[float, float]:
    """U and stressed loss of a book and a hedge."""
    dollars = (book[1] + held) * spot
    a, b, g = dollars * sigma * sqrt(p[6]), book[3] * p[12] * sqrt(p[6]), book[2] * sigma * sigma
    variance = max(a * a + b * b + 2.0 * p[2] * a * b, 0.0) + g * g
    knee = p[1] * capital
    u = p[0] * variance / (2.0 * capital)
    if variance > knee * knee:
        u = p[0] * p[1] * (sqrt(variance) - knee / 2.0)
    loss = 0.0
    for j in range(SHOCKS.shape[1]):
        loss = max(loss, -(dollars * SHOCKS[0, j] + book[4 + j]))
    excess, top = loss - p[4] * capital, (p[5] - p[4]) * capital
    if excess > 0.0:
        u += p[3] * (excess * excess / (2.0 * capital) if excess <= top else top / capital * (excess - top / 2.0))
    return u, loss


@njit
def _half_spread(p: Floats, one: Floats, size: float, value: float, spot: float, sigma: float, s: Floats) -> float:
    """Of `size` options bought (sold: negative) whose exposures as the vault's are `one`; value [quote] of one."""
    s_spot = max(p[9], p[10] * sigma * sqrt(p[11] / YEAR))
    s_vol = max(p[13], p[14] * p[12] * sqrt((s[6] + p[15]) / YEAR))
    full = abs(size) * spot * p[8] + abs(one[1]) * spot * s_spot + abs(one[3]) * s_vol
    most = max(value / 8.0, 0.0001 * spot) if size > 0.0 else value
    return float(min(full, abs(size) * most))


@njit
def _play(
    rng: Generator,
    kind: int,
    p: Floats,
    s: Floats,
    shape: Floats,
    equity: float,
    lag: int,
    price: Floats,
    vol: Floats,
    sigma: Floats,
    middle: Floats,
    want_step: Ints,
    want_market: Ints,
    want_size: Floats,
    want_limit: Floats,
    want_closes: Ints,
    curve: Floats,
    reserve: Floats,
    vegas: Floats,
    totals: Floats,
) -> None:
    """One path of `run`."""
    steps = len(price) - 1
    hold = np.zeros((LISTED, STRIKES, 2))  # the vault's contracts
    base, skew, reference = np.zeros(LISTED), np.ones((LISTED, STRIKES)), np.zeros(LISTED)  # Lyra's
    came = np.zeros(len(want_step))
    book, one, after = np.zeros(N_BOOK), np.zeros(N_BOOK), np.zeros(N_BOOK)
    options, posted = np.zeros((LISTED, STRIKES, 2, N_OPTION)), np.zeros((LISTED, STRIKES, 2, N_OPTION))
    horizon = p[6] if kind == BALLAST else 1.0 / 365
    seen = SHOCKS.shape[1] if kind == BALLAST else 0
    cash, held, r, last_equity = equity, 0.0, 0.0, equity
    low, low_before, last_u = 0.0, 0.0, 0.0
    cursor = 0
    forget = 2.0 ** (-1.0 / 6.0)  # of Lyra's reference: a half-life of six hours
    for k in range(steps + 1):
        spot, index = price[k], vol[k]
        first = k // WEEK
        if k % WEEK == 0:
            slot = (first - 1) % LISTED
            for i in range(STRIKES if first > 0 else 0):  # the board that is over
                strike = middle[first - 1] * exp(SPACING * (i - STRIKES // 2))
                cash += hold[slot, i, 0] * max(spot - strike, 0.0) + hold[slot, i, 1] * max(strike - spot, 0.0)
                hold[slot, i, 0] = hold[slot, i, 1] = 0.0
            for j in range(first if first == 0 else first + LISTED - 1, first + LISTED):
                years = ((j + 1) * WEEK - k) * 3_600.0 / YEAR
                base[j % LISTED] = reference[j % LISTED] = volatility(shape, index, spot, spot, years)
                for i in range(STRIKES):
                    strike = middle[j] * exp(SPACING * (i - STRIKES // 2))
                    own = volatility(shape, index, spot, strike, years)
                    skew[j % LISTED, i] = min(max(own / base[j % LISTED], 0.5), 1.5)

        # the book as it is now
        evaluate(options, shape, spot, index, middle, k, horizon, seen)
        if lag > 0:
            evaluate(posted, shape, spot, vol[max(k - lag, 0)], middle, k, horizon, 0)
        for x in range(N_BOOK):
            book[x] = 0.0
        plain = 0.0  # Lyra's standard vega, per 1 %
        for j in range(first, first + LISTED):
            slot = j % LISTED
            years = ((j + 1) * WEEK - k) * 3_600.0 / YEAR
            reference[slot] = forget * reference[slot] + (1.0 - forget) * base[slot]
            for i in range(STRIKES):
                for put in range(2):
                    for x in range(N_BOOK if hold[slot, i, put] != 0.0 else 0):
                        book[x] += hold[slot, i, put] * options[slot, i, put, x]
                together = hold[slot, i, 0] + hold[slot, i, 1]
                if kind == LYRA and together != 0.0:
                    strike = middle[j] * exp(SPACING * (i - STRIKES // 2))
                    _, vega = lyra.black_scholes(spot, strike, years, base[slot] * skew[slot, i], True)
                    plain += together * vega * sqrt(MONTH / max(years, 7 / 365)) / 100.0
        now = cash + book[0] + held * spot
        capital = max(min(now, last_equity), 1.0)
        last_equity = now
        u = 0.0
        cover = 1.0
        if kind == BALLAST:
            u, _ = _potential(p, book, held, spot, sigma[k], capital)
            scale = u / last_u if last_u > 0.0 else 1.0
            low_before, low = low * scale, u
            freed = max(r - u, 0.0) * min(3_600.0 / p[7], 1.0)
            r -= freed
            cash += freed
            totals[RELEASED] += freed
            cover = min(1.0, r / u) if u > 0.0 else 1.0

        # customers, then market makers: at each board its middle and a strike at random, either side
        listed = 0
        while cursor + listed < len(want_step) and want_step[cursor + listed] == k:
            listed += 1
        tries = listed + (4 * LISTED if k > 0 and k < steps else 0)
        turn = 0
        again = 0
        while turn < tries:
            maker = turn >= listed
            closing = False
            if not maker:
                want = cursor + turn
                at, size, limit, closing = want_market[want], want_size[want], want_limit[want], want_closes[want] >= 0
                if closing:
                    size, limit = -came[want_closes[want]], inf
                put, i, j = at % 2, at // 2 % STRIKES, at // 2 // STRIKES
            else:
                order = turn - listed
                j = first + order // 4
                if again == 0:
                    near = int(np.rint(log(spot / middle[j]) / SPACING)) + STRIKES // 2
                    i = min(max(near, 0), STRIKES - 1) if order % 4 < 2 else rng.integers(0, STRIKES)
                put = 1 if middle[j] * exp(SPACING * (i - STRIKES // 2)) < spot else 0
                size = (1.0 if order % 2 == 0 else -1.0) * s[5] * equity / spot
                limit = -s[4]
            turn += 1
            hours = (j + 1) * WEEK - k
            if size == 0.0 or (hours <= CUTOFF and not closing) or hours <= 0:
                continue
            years = hours * 3_600.0 / YEAR
            strike = middle[j] * exp(SPACING * (i - STRIKES // 2))
            slot = j % LISTED
            for x in range(N_BOOK):
                one[x] = -size * options[slot, i, put, x]
                after[x] = book[x] + one[x]
            worth, vega = options[slot, i, put, 0], options[slot, i, put, PLAIN]
            cost, fees, charge, u_after = 0.0, 0.0, 0.0, u
            refused = False
            new_base = new_skew = new_plain = 0.0
            if kind == BALLAST:
                quoted = posted[slot, i, put, 0] if lag > 0 else worth
                u_after, loss_after = _potential(p, after, held, spot, sigma[k], capital)
                fees = _half_spread(p, one, size, quoted, spot, sigma[k], s)
                if u_after > u:
                    charge = u_after - u
                    refused = not closing and loss_after > p[5] * capital
                else:
                    charge = -cover * max(min(u, min(low, low_before)) - u_after, 0.0)
                cost = size * (quoted - worth) + fees + charge
            elif kind == LYRA:
                paid, fees, new_base, new_skew, new_plain = lyra.trade(
                    p,
                    spot,
                    strike,
                    years,
                    put == 0,
                    base[slot],
                    skew[slot, i],
                    reference[slot],
                    size,
                    plain,
                    max(now, 1.0),
                )
                cost = paid - size * worth
                traded = new_base * new_skew
                delta = abs(one[1] / size) if put == 0 else 1.0 - abs(one[1] / size)
                inside = 0.35 < new_base < 2.0 and 0.5 < new_skew < 1.5 and 0.25 < traded < 3.0 and 0.1 < delta < 0.9
                refused = not closing and (not inside or hours <= 12)
                if closing and not inside:  # a forced close moves nothing
                    new_base, new_skew = base[slot], skew[slot, i]
            else:
                fees = abs(size) * min(p[0] * vega, worth if size < 0.0 else inf)
                cost = fees
            if refused or cost > limit * vega * abs(size):
                totals[REFUSED] += 0.0 if maker else 1.0
                again = 0
                continue
            cash += size * worth + cost - charge - s[0] * fees
            r += charge
            hold[slot, i, put] -= size
            for x in range(N_BOOK):
                book[x] = after[x]
            if kind == BALLAST:
                u = u_after
                low = min(low, u)
            elif kind == LYRA:
                base[slot], skew[slot, i], plain = new_base, new_skew, new_plain
            totals[SPREADS] += (1.0 - s[0]) * fees
            totals[FEES] += s[0] * fees
            totals[CHARGES if charge > 0.0 else REBATES] += abs(charge)
            totals[PREMIA] += abs(size) * worth
            totals[VEGA_TRADED] += abs(size) * vega
            if maker:
                totals[MAKERS] += 1.0
                if again < 4:  # the same once more, as long as it pays
                    again += 1
                    turn -= 1
                else:
                    again = 0
            else:
                totals[TRADES] += 1.0
                came[cursor + turn - 1] = size
        cursor += listed

        dollars = (book[1] + held) * spot
        beyond = abs(dollars) - s[1] * capital
        if beyond > 0.0:
            traded = -np.sign(dollars) * beyond
            lost = beyond * (s[2] + beyond / s[3])
            held += traded / spot
            cash -= traded + lost
            totals[HEDGING] += lost
            if kind == BALLAST:
                before = u
                u, _ = _potential(p, book, held, spot, sigma[k], capital)
                ratio = u / before if before > 0.0 else 1.0
                low, low_before = low * ratio, low_before * ratio
                freed = min(max(r - u, 0.0), lost)
                r -= freed
                cash += freed
                totals[RELEASED] += freed
        last_u = u
        curve[k] = cash + book[0] + held * spot
        reserve[k] = r
        vegas[k] = book[3]
