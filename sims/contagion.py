"""Vaults that share venues, LPs, agents, feeds and one market, through one path: the kernel of the study of contagion.

A step, for every vault in turn (nobody is always first): traders are settled at the feed's price and hedges at the
market's; unlevered traders trade (noise, and what rose), as long as it costs less than their patience; informed ones
while the feed is wrong; accounts below maintenance are closed, and hedges are made, as far as agents have means. Then
LPs look at what they have, and those who have lost too much ask for it back. A book is one exposure D in quote;

    U = lambda s^2 / 2E, s = |D| sigma sqrt(h), linear beyond kappa E, + omega E x^2 / 2, x = (|D|/2E - u*)+

with the default parameters. What raises it is charged into the vault's reserve, a fall is paid out of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sims.jit import njit
from sims.world import YEAR, Floats, Ints

Bools = NDArray[np.bool_]

STEP = 300  # [s]
DAY = 86_400 // STEP
GONE = 1e-6  # of the shares: nobody is left
NONE, VENUE, ORACLE, LP, AGENT = range(5)  # what fails
STALE, EPOCHS, VENUES, STOP = range(4)  # breakers

# parameters
NET, REVERSION, MOMENTUM, PATIENCE, DEPTH, FEE, ARBITRAGE, PERMANENT, FADING, CAPACITY = range(10)
OUTAGE, INFORMED, CAP, BAND, AVERSION = range(10, 15)
N_PARAMETERS = 15

# state of a vault: NAV without the reserve, reserve, shares left, [base] of unlevered and of informed traders, the
# day's first price of a share, until when it takes no risk, [quote] paid to LPs
CASH, RESERVE, SHARES, OTHER, SHARP, FIRST, STOPPED, PAID = range(8)
N_STATE = 8

# what comes of a vault: worth at the end of what LPs had, with what they were paid; bad debt; what those who left got
# beyond those who stayed; all of the first NAV. Whether it had what failed; the part of LPs that left
END, BAD_DEBT, ADVANTAGE, EXPOSED, LEFT = range(5)
N_OUT = 5

MAINTENANCE = 0.03
LOST = 0.9  # of the day's first price: below it the breaker stops a vault for a day
PHI = 0.6  # of the fall of U that a hedge may cost
SHORT_KEEPS = 0.875  # of a short's notional that LPs have at the venue; of a purchase they have all there
EDGE = 0.01  # of price, at which informed traders begin
SPREAD = 0.0005  # half-spread that they pay


@dataclass(frozen=True, slots=True)
class Network:
    """Who uses what."""

    equity: Floats  # (vaults,) [quote]
    uses: Bools  # (vaults, venues)
    oracle: Ints  # (vaults,) the first feed or the second
    stakes: Floats  # (lps, vaults), each vault's sum to one; the largest LP is first
    panic: Floats  # (lps,) loss of what they had at first, after which they leave everything
    serves: Bools  # (agents, vaults); the busiest is first
    size: Floats  # (vaults, accounts) [quote at the first price] of levered positions
    margin: Floats  # (vaults, accounts) [quote]
    noise: Floats  # (steps, vaults) standard normal


def walk(failure: int, at: int, prices: Floats, sigma: Floats, on: Bools, p: Floats, network: Network) -> Floats:
    """One network through one path; `failure` at step `at`, breakers `on`. Answers (vaults, N_OUT)."""
    n = network
    return _walk(
        failure, at, prices, sigma, on, p, n.equity, n.uses, n.oracle, n.stakes, n.panic, n.serves, n.size, n.margin,
        n.noise,
    )  # fmt: skip


@njit
def potential(exposure: float, sigma: float, equity: float, aversion: float) -> float:
    """U of one market with a linear book, default kappa, omega, u*, u_max and a horizon of a day [quote]."""
    e = max(equity, 1_000.0)
    s = abs(exposure) * sigma * np.sqrt(1.0 / 365.0)
    inventory = aversion * s * s / (2.0 * e) if s <= 0.1 * e else aversion * (0.1 * s - 0.005 * e)
    x = max(0.0, 0.5 * abs(exposure) / e - 0.6)
    return float(inventory + (0.01 * e * x * x if x <= 0.3 else 0.02 * e * (0.3 * x - 0.045)))


@njit
def _kept(hedge: Floats, price: float) -> float:
    """[quote] that LPs have at venues."""
    total = 0.0
    for w in range(len(hedge)):
        total += abs(hedge[w]) * price * (1.0 if hedge[w] > 0.0 else SHORT_KEEPS)
    return total


@njit
def _usual(
    p: Floats, x: Floats, exposure: float, sigma: float, price: float, rise: float, noise: float, k: int, guarded: bool
) -> float:
    """Unlevered traders trade, where the stop (if `guarded`) and their patience let them. The exposure afterwards."""
    keep = 2.0 ** (-STEP / p[REVERSION])
    top = max(x[CASH], 1_000.0)
    kick = p[NET] * np.sqrt(1.0 - keep * keep)
    target = x[OTHER] * keep + (kick * noise + p[MOMENTUM] * rise) * top / price
    new = target - x[OTHER]
    after = exposure - new * price
    if guarded and abs(after) > abs(exposure) and (0.5 * abs(after) / top > 0.9 or k < x[STOPPED]):
        return exposure
    was, now = potential(exposure, sigma, top, p[AVERSION]), potential(after, sigma, top, p[AVERSION])
    half = abs(new) * price * (0.0001 + max(0.0002, 2.0 * sigma * np.sqrt(3.0 / YEAR)))
    charge = now - was if now >= was else (now - was) * min(1.0, x[RESERVE] / was)
    if half + charge > p[PATIENCE] * abs(new) * price:
        return exposure
    x[CASH] += half
    x[RESERVE] += charge
    x[OTHER] = target
    return float(after)


@njit
def _informed(p: Floats, x: Floats, exposure: float, sigma: float, price: float, gap: float) -> float:
    """Traders who see that the feed is `gap` behind trade as long as that pays. The exposure afterwards."""
    top = max(x[CASH], 1_000.0)
    new = np.sign(gap) * p[INFORMED] * top / price
    after = exposure - new * price
    change = potential(after, sigma, top, p[AVERSION]) - potential(exposure, sigma, top, p[AVERSION])
    charge = max(0.0, change)  # who comes back within a round is paid nothing
    notional = abs(new) * price
    if charge + notional * SPREAD >= abs(gap) * notional or abs(x[SHARP] + new) * price > 2.0 * top:
        return exposure
    x[RESERVE] += charge
    x[CASH] += notional * SPREAD
    x[SHARP] += new
    return float(after)


@njit
def _liquidate(
    x: Floats,
    account: Floats,
    margin: Floats,
    entry: Floats,
    exposure: float,
    price: float,
    serves: Bools,
    room: Floats,
) -> tuple[float, float]:
    """Accounts below maintenance are closed by agents who have the means. Exposure afterwards, and bad debt [quote]."""
    debt = 0.0
    for j in range(len(account)):
        wanted = abs(account[j]) * price
        worth = margin[j] + account[j] * price - entry[j]
        if wanted == 0.0 or worth >= MAINTENANCE * wanted:
            continue
        for a in range(len(room)):
            if serves[a] and room[a] >= wanted:
                room[a] -= wanted
                exposure += account[j] * price
                account[j] = 0.0
                debt += max(0.0, -worth)
                break
    x[CASH] -= debt
    return exposure, debt


@njit
def _hedge(
    p: Floats, x: Floats, hedge: Floats, usable: Bools, exposure: float, sigma: float, price: float, true: float,
    capped: bool, off: Floats, serves: Bools, room: Floats,
) -> float:  # fmt: skip
    """As far as it pays: phi dU/dD = fee + what the venue is off + impact. Then the reserve releases. The exposure."""
    if x[CASH] <= 1_000.0:
        return exposure
    venues = len(hedge)
    slope = p[AVERSION] * sigma * sigma / (365.0 * x[CASH])
    bend = 0.1 * x[CASH] * np.sqrt(365.0) / sigma  # where U begins to be linear
    marginal = PHI * slope * min(abs(exposure), bend)
    side = -np.sign(exposure)
    for w in range(venues):
        away = off[w] + true / price - 1.0
        cost = p[FEE] + max(0.0, side * away)
        if not usable[w] or (capped and abs(away) > p[BAND]) or marginal <= cost:
            continue
        wanted = min((marginal - cost) / (PHI * slope + 1.0 / p[DEPTH]), abs(exposure))
        if capped and np.sign(hedge[w]) * side >= 0.0:
            wanted = min(wanted, max(0.0, p[CAP] * x[CASH] - abs(hedge[w]) * true))
        for a in range(len(room)):
            part = min(wanted, room[a]) if serves[a] else 0.0
            if part <= 0.0:
                continue
            room[a] -= part
            wanted -= part
            spent = part * (p[FEE] + side * away + part / (2.0 * p[DEPTH]))
            x[CASH] -= spent
            hedge[w] += side * part / true
            was = potential(exposure, sigma, x[CASH], p[AVERSION])
            exposure += side * part
            now = potential(exposure, sigma, x[CASH], p[AVERSION])
            freed = min(max(0.0, x[RESERVE] - now), max(spent, 0.0), max(0.0, was - now))
            x[RESERVE] -= freed
            x[CASH] += freed
            off[w] += side * part / p[DEPTH]
            off[venues] += p[PERMANENT] * side * part / (p[DEPTH] * venues)
        marginal = PHI * slope * min(abs(exposure), bend)
    excess = max(0.0, x[RESERVE] - potential(exposure, sigma, x[CASH], p[AVERSION])) * STEP / 86_400.0
    x[RESERVE] -= excess
    x[CASH] += excess
    return float(exposure)


@njit
def _sell(p: Floats, x: Floats, hedge: Floats, alive: Bools, short: float, price: float, off: Floats) -> None:
    """Hedges are sold for `short` [quote] of cash at any price."""
    venues = len(hedge)
    for w in range(venues):
        kept = _kept(hedge[w : w + 1], price)
        if short <= 0.0 or kept <= 0.0 or not alive[w]:
            continue
        part = min(1.0, short / kept)
        amount = part * abs(hedge[w]) * price
        side = -np.sign(hedge[w])
        slip = max(-0.5, min(0.5, side * off[w])) + min(0.5, amount / (2.0 * p[DEPTH]))
        x[CASH] -= amount * (p[FEE] + slip)
        off[w] += side * amount / p[DEPTH]
        off[venues] += p[PERMANENT] * side * amount / (p[DEPTH] * venues)
        hedge[w] *= 1.0 - part
        short -= part * kept


@njit
def _redeem(
    p: Floats, x: Floats, hedge: Floats, alive: Bools, exposure: float, sigma: float, price: float, epochs: bool,
    off: Floats, asked: Floats, held: Floats, received: Floats,
) -> None:  # fmt: skip
    """Pay what LPs ask for: an epoch at the bid while u stays under u_redeem; else at once, at NAV, all the cash."""
    queue = asked.sum()
    value = x[CASH]
    if epochs:
        value -= 3.0 * sigma * np.sqrt(STEP / YEAR) * abs(exposure)
        value -= max(0.0, potential(exposure, sigma, x[CASH], p[AVERSION]) - x[RESERVE])
        free = min(x[CASH] - _kept(hedge, price), x[CASH] - 0.5 * abs(exposure) / 0.6)
    else:
        _sell(p, x, hedge, alive, queue / x[SHARES] * value - (x[CASH] - _kept(hedge, price)), price, off)
        value = x[CASH]
        free = x[CASH] - _kept(hedge, price)
    if value <= 0.0 or free <= 0.0:
        return
    each = value / x[SHARES]
    part = min(1.0, free / (queue * each))
    x[CASH] -= part * queue * each
    x[PAID] += part * queue * each
    x[SHARES] -= part * queue
    received += part * asked * each
    held -= part * asked
    asked -= part * asked


@njit
def _fail(
    failure: int, x: Floats, hedge: Floats, alive: Bools, works: Bools, running: Bools, asked: Floats, held: Floats,
    serves: Bools, oracle: Ints, price: float, out: Floats,
) -> None:  # fmt: skip
    """It happens; who had what failed is noted."""
    if failure == VENUE:
        alive[0] = False
    elif failure == AGENT:
        works[0] = False
    elif failure == LP:
        running[0] = True
        asked[0] = held[0]
    for v in range(len(x)):
        if failure == VENUE:
            hit = abs(hedge[v, 0]) * price > 0.001 * x[v, CASH]
            x[v, CASH] -= _kept(hedge[v, :1], price)
            hedge[v, 0] = 0.0
        elif failure == ORACLE:
            hit = oracle[v] == 0
        elif failure == LP:
            hit = held[0, v] > 0.1 * x[v, SHARES]
        else:
            hit = serves[0, v]
        out[v, EXPOSED] = 1.0 if hit else 0.0


@njit
def _walk(
    failure: int, at: int, prices: Floats, sigmas: Floats, on: Bools, p: Floats, equity: Floats, uses: Bools,
    oracle: Ints, stakes: Floats, panic: Floats, serves: Bools, entry: Floats, margin: Floats, noise: Floats,
) -> Floats:  # fmt: skip
    vaults, venues, agents, lps = len(equity), uses.shape[1], len(serves), len(panic)
    out, x = np.zeros((vaults, N_OUT)), np.zeros((vaults, N_STATE))
    x[:, CASH], x[:, SHARES], x[:, FIRST] = equity, 1.0, 1.0
    account = entry / prices[0]  # [base]
    hedge = np.zeros((vaults, venues))  # [base]
    off = np.zeros(venues + 1)  # of each venue's price; and, of the market's logarithm, what forced trades left
    keep = np.full(venues + 1, 2.0 ** (-STEP / p[ARBITRAGE]))
    keep[venues] = 2.0 ** (-STEP / p[FADING])
    held, asked = stakes.copy(), np.zeros((lps, vaults))
    had, received = np.zeros(lps), np.zeros(lps)
    for lp in range(lps):
        had[lp] = (stakes[lp] * equity).sum()
    alive, works = np.ones(venues, dtype=np.bool_), np.ones(agents, dtype=np.bool_)
    running, room = np.zeros(lps, dtype=np.bool_), np.zeros(agents)
    until = at + int(p[OUTAGE] / STEP)
    true = prices[0]
    seen = np.full(2, true)

    for k in range(1, len(prices)):
        before, sigma = true, sigmas[k]
        off *= keep
        true = prices[k] * np.exp(off[venues])
        down = failure == ORACLE and at <= k < until
        if failure != NONE and k == at:
            _fail(failure, x, hedge, alive, works, running, asked, held, serves, oracle, true, out)
        for a in range(agents):
            room[a] = p[CAPACITY] if works[a] else 0.0

        for turn in range(vaults):
            v = (turn + k) % vaults
            if x[v, SHARES] <= GONE:
                continue  # nobody is left to be the counterparty
            blind = down and oracle[v] == 0
            last = seen[oracle[v]]
            price = last if blind else true
            traded = account[v].sum() + x[v, OTHER] + x[v, SHARP]
            x[v, CASH] += hedge[v].sum() * (true - before) - traded * (price - last)
            exposure = (hedge[v].sum() - traded) * price
            if not (on[STALE] and blind):
                rise = true / before - 1.0
                exposure = _usual(p, x[v], exposure, sigma, price, rise, noise[k - 1, v], k, on[STOP])
                gap = true / price - 1.0
                if blind and abs(gap) > EDGE:
                    exposure = _informed(p, x[v], exposure, sigma, price, gap)
                elif not blind:  # they close at the new price, paid nothing for lowering U
                    exposure += x[v, SHARP] * price
                    x[v, SHARP] = 0.0
                exposure, debt = _liquidate(x[v], account[v], margin[v], entry[v], exposure, price, serves[:, v], room)
                out[v, BAD_DEBT] += debt / equity[v]
                _hedge(
                    p,
                    x[v],
                    hedge[v],
                    uses[v] & alive,
                    exposure,
                    sigma,
                    price,
                    true,
                    on[VENUES],
                    off,
                    serves[:, v],
                    room,
                )
            each = max(x[v, CASH], 0.0) / (x[v, SHARES] * equity[v])
            if k % DAY == 0:
                x[v, FIRST] = each
            if each < LOST * x[v, FIRST]:
                x[v, STOPPED] = k + DAY

        for lp in range(lps):
            worth = received[lp]
            for v in range(vaults):
                if x[v, SHARES] > GONE:
                    worth += held[lp, v] / x[v, SHARES] * max(x[v, CASH], 0.0)
            if not running[lp] and worth < (1.0 - panic[lp]) * had[lp]:
                running[lp] = True
                asked[lp] = held[lp]
        for v in range(vaults):
            waits = (down and oracle[v] == 0 and (on[STALE] or on[EPOCHS])) or (on[EPOCHS] and k % DAY != 0)
            if waits or asked[:, v].sum() <= GONE or x[v, SHARES] <= GONE or x[v, CASH] <= 0.0:
                continue
            exposure = (hedge[v].sum() - account[v].sum() - x[v, OTHER] - x[v, SHARP]) * true
            _redeem(p, x[v], hedge[v], alive, exposure, sigma, true, on[EPOCHS], off, asked[:, v], held[:, v], received)
        seen[1] = true
        if not down:
            seen[0] = true

    for v in range(vaults):
        for j in range(account.shape[1]):  # what accounts owe that nobody has closed is lost
            x[v, CASH] += min(0.0, margin[v, j] + account[v, j] * true - entry[v, j]) if account[v, j] != 0.0 else 0.0
        left = max(x[v, CASH], 0.0) if x[v, SHARES] > GONE else 0.0
        out[v, END] = (x[v, PAID] + left) / equity[v]
        out[v, LEFT] = 1.0 - x[v, SHARES]
        if 0.05 < x[v, SHARES] < 0.95:
            out[v, ADVANTAGE] = (x[v, PAID] / (1.0 - x[v, SHARES]) - left / x[v, SHARES]) / equity[v]
    return out
