"""The hedge rule and the Uniswap price arithmetic in integers, to the wei.

Mirrors ``rule.vy``, ``ticks.vy``, what ``pools.vy`` chooses, and the accounting of ``HedgeManager.vy``, all in
``contracts/hedge``.
What a venue did is an input: the twin judges measured results, it does not trade.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ballast.model.exact.fixed import (
    BPS,
    MAX_MARKETS,
    MICRO,
    WAD,
    div_up,
    floor_div,
    mul_down,
    mul_floor,
    mul_up,
    require,
    sub_floor,
)
from ballast.model.exact.oracle import wad_exp

PIPS = 10**6
DAY = 86_400
MAX_ETA_BPS = 3_000
SPLIT_GAIN = 50  # [1e-6]
MAX_SPLIT = 2**96
DRIFT = 10_000
NO_LIMIT = 2**256 - 1

LN_TICK_36 = 99995000333308335333166680951131  # ln(1.0001) * 1e36
LN_TEN_36 = 2302585092994045684017991454684364207  # ln(10) * 1e36


@dataclass(frozen=True, slots=True)
class VenueParams:
    """What a venue may do; fields and units of ``IHedgeManager.VenueParams``."""

    cap: int = 10_000 * WAD  # [base, WAD]
    turnover: int = 50_000_000 * 10**6  # [quote per day, MICRO]
    fee_cap: int = 3_000  # [1e-6]
    band: int = 1_000  # [1e-6] 10 bp: a pull feed
    cooldown: int = 60  # [s]
    max_age: int = 60  # [s]
    haircut_bps: int = 0


@dataclass(frozen=True, slots=True)
class Rule:
    """What a hedge may cost and what its keeper earns; ``IHedgeManager.Rule``."""

    phi_bps: int = 6_000
    eta_bps: int = 1_500
    size_reward: int = 50  # [1e-6] half a basis point
    gas_units: int = 450_000
    gas_tip_cap: int = 2 * 10**9  # [wei]
    gas_price_cap: int = 100 * 10**9  # [wei]
    gas_market: int = 0
    lp_floor: int = 10_000 * WAD  # [quote, WAD]
    recall_floor: int = 0  # [quote, WAD]


@dataclass(frozen=True, slots=True)
class VenueState:
    """What was last reported to Inventory, and turnover; ``IHedgeManager.VenueState``."""

    exposure: int = 0  # [base, WAD]
    equity: int = 0  # [quote, WAD]
    price: int = 0  # [quote/base, WAD]
    used: int = 0  # [quote, MICRO]
    traded_at: int = 0  # [s]


@dataclass(frozen=True, slots=True)
class Holdings:
    """What LPs own before or after a step [quote, WAD]."""

    lp_cash: int
    at_mid: int  # venue equity at the oracle's price
    at_twap: int  # venue equity at the venue's average


@dataclass(frozen=True, slots=True)
class Fall:
    """``IInventory.Fall``."""

    fall: int
    freed: int
    release: int
    excess: int
    potential_after: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """``IHedgeManager.Outcome``."""

    filled: int
    cost: int
    reward: int
    gas: int
    fall: int
    released: int


@dataclass(frozen=True, slots=True)
class Measured:
    """One rebalance as the chain measured it."""

    size: int  # [base, WAD] asked for
    exposure_before: int  # [base, WAD] at the venue
    exposure: int  # [base, WAD] after
    price: int  # [quote/base, WAD] mark
    fee: int  # [fraction, WAD]
    now: int  # [s]
    before: Holdings
    after: Holdings
    fall: Fall
    base_fee: int = 0  # [wei]
    gas_token_price: int = 0  # [quote, WAD]; 0 while it is not fresh

    @property
    def filled(self) -> int:
        """[base, WAD]."""
        return self.exposure - self.exposure_before


# ---- rule.vy


def tolerance(fee: int, band_pips: int) -> int:
    """Venue fee plus band [fraction, WAD]."""
    return fee + band_pips * (WAD // PIPS)


def is_near(price: int, reference: int, tolerance_wad: int) -> bool:
    """|price - reference| <= tolerance * reference."""
    return abs(price - reference) <= mul_down(reference, tolerance_wad)


def after_haircut(equity: int, haircut_bps: int) -> int:
    """Equity that NAV counts [quote, WAD], rounded down."""
    return equity * (BPS - haircut_bps) // BPS


def loss_at_mid(before: Holdings, after: Holdings) -> int:
    """Fall of LP cash and venue equity at the oracle's price [quote, WAD]."""
    return before.lp_cash - after.lp_cash + before.at_mid - after.at_mid


def cost(before: Holdings, after: Holdings, haircut_bps: int, notional: int, fee: int) -> int:
    """The dearest of: the fall at the oracle's price, at the venue's average, as NAV shows it; the fee [quote, WAD]."""
    cash = before.lp_cash - after.lp_cash
    worst = max(
        cash + before.at_mid - after.at_mid,
        cash + before.at_twap - after.at_twap,
        cash + after_haircut(before.at_mid, haircut_bps) - after_haircut(after.at_mid, haircut_bps),
    )
    return max(mul_up(notional, fee), worst)


def reward(freed: int, cost_wad: int, notional: int, eta_bps: int, size_reward: int) -> int:
    """eta of what the hedge frees beyond its cost, at least the reward by size [quote, WAD]."""
    return max(sub_floor(freed, cost_wad) * eta_bps // BPS, notional * size_reward // PIPS)


def gas(rule: Rule, base_fee: int, gas_token_price: int) -> int:
    """Gas compensation [quote, WAD]."""
    gas_price = min(base_fee + rule.gas_tip_cap, rule.gas_price_cap)
    return mul_down(rule.gas_units * gas_price, gas_token_price)


def budget(phi_bps: int, fall: int) -> int:
    """What cost, reward and gas together may reach [quote, WAD]."""
    return fall * phi_bps // BPS


def turnover(used: int, elapsed: int, per_day: int, notional: int) -> int:
    """Turnover drawn after a trade [quote, MICRO], rounded up."""
    return sub_floor(used, per_day * elapsed // DAY) + (notional + MICRO - 1) // MICRO


def expected_equity(state: VenueState, price: int) -> int:
    """Venue equity as Inventory has it: the last report moved by exposure * price change [quote, WAD]."""
    return state.equity + mul_floor(state.exposure, price - state.price)


# ---- records.vy


def check_params(x: VenueParams) -> None:
    """Immutable bounds of what a venue may do."""
    good = (
        x.cap < 2**96
        and x.turnover < 2**64
        and x.fee_cap <= 10_000
        and x.band <= 10_000
        and 0 < x.cooldown <= DAY
        and x.max_age <= 3_600
        and x.haircut_bps <= 5_000
    )
    require(good, "hedge: parameter out of bounds")


def check_rule(x: Rule) -> None:
    """Immutable bounds of the rule."""
    good = (
        x.phi_bps <= 8_000
        and x.eta_bps <= MAX_ETA_BPS
        and x.size_reward <= 200
        and x.gas_units <= 2_000_000
        and x.gas_tip_cap <= 10**13
        and x.gas_price_cap <= 10**13
        and x.gas_market < MAX_MARKETS
        and x.recall_floor <= x.lp_floor < 2**127
    )
    require(good, "hedge: parameter out of bounds")


# ---- HedgeManager.vy


def limit(buying: bool, limit_price: int, price: int, tolerance_wad: int) -> int:
    """The caller's limit, but never beyond fee + band from the oracle [quote/base, WAD]."""
    slack = mul_down(price, tolerance_wad)
    return min(limit_price, price + slack) if buying else max(limit_price, price - slack)


def has_drifted(state: VenueState, exposure: int) -> bool:
    """Whether a step must first tell of exposure that has come or gone by itself."""
    return abs(exposure - state.exposure) * DRIFT > abs(state.exposure)


def mark(state: VenueState, price: int, exposure: int, equity: int) -> tuple[VenueState, tuple[int, int] | None]:
    """State after looking at the venue, and what Inventory is told (exposure, equity change); None: nothing."""
    expected = expected_equity(state, price)
    change = (exposure - state.exposure, equity - expected)
    if change[0] == 0 and abs(change[1]) < MICRO and expected >= 0:
        return state, None
    return replace(state, price=price, exposure=exposure, equity=equity), change


def rebalance(state: VenueState, params: VenueParams, rule: Rule, m: Measured) -> tuple[VenueState, Outcome]:
    """Judge a rebalance; `state` is what was reported last. Raises Reverted where the contract reverts."""
    require(m.size != 0, "hedge: zero size")
    check_fee(params, m.fee)
    check_cooldown(state, params, m.now)
    check_fill(params, m)
    return judge(state, params, rule, m)


def check_fee(params: VenueParams, fee: int) -> None:
    """What a venue may charge."""
    require(fee <= params.fee_cap * (WAD // PIPS), "hedge: venue fee too high")


def check_cooldown(state: VenueState, params: VenueParams, now: int) -> None:
    """How long a venue rests."""
    require(state.traded_at == 0 or now - state.traded_at >= params.cooldown, "hedge: cooling down")


def check_fill(params: VenueParams, m: Measured) -> None:
    """What is refused when the venue has traded, before its prices are read again; `m.fall` is not used."""
    require(m.filled != 0 and (m.filled > 0) == (m.size > 0) and abs(m.filled) <= abs(m.size), "hedge: bad fill")
    require(abs(m.exposure) <= params.cap or abs(m.exposure) < abs(m.exposure_before), "hedge: venue cap")
    slack = mul_up(mul_up(abs(m.filled), m.price), tolerance(m.fee, params.band))
    require(loss_at_mid(m.before, m.after) >= -slack, "hedge: impossible gain")


def judge(state: VenueState, params: VenueParams, rule: Rule, m: Measured) -> tuple[VenueState, Outcome]:
    """Turnover, LP cash, and the rule; the venue's record and the outcome."""
    notional = mul_up(abs(m.filled), m.price)
    used = turnover(state.used, m.now - state.traded_at, params.turnover, notional)
    require(used <= params.turnover, "hedge: turnover spent")
    require(
        m.after.lp_cash >= m.before.lp_cash or m.after.lp_cash >= rule.lp_floor,
        "hedge: LP cash too low",
    )
    cost_wad = cost(m.before, m.after, params.haircut_bps, notional, m.fee)
    reward_wad = reward(m.fall.freed, cost_wad, notional, rule.eta_bps, rule.size_reward)
    gas_wad = gas(rule, m.base_fee, m.gas_token_price)
    spent = cost_wad + reward_wad + gas_wad
    require(spent <= budget(rule.phi_bps, m.fall.fall), "hedge: costs more than it saves")
    return (
        VenueState(
            exposure=state.exposure + m.filled,
            equity=m.after.at_mid,
            price=m.price,
            used=used,
            traded_at=m.now,
        ),
        Outcome(m.filled, cost_wad, reward_wad, gas_wad, m.fall.fall, min(m.fall.excess, spent)),
    )


def recall_size(
    units: int, scale: int, lp_cash: int, exposure: int, price: int, rule: Rule, *, frozen: bool = False
) -> tuple[int, int]:
    """Token units a recall asks for, and the signed size whose route it takes [base, WAD]."""
    missing = mul_up(abs(exposure), price) if frozen else rule.recall_floor - lp_cash
    require(frozen or missing > 0, "hedge: LP cash suffices")
    wanted = min(units, (missing + scale - 1) // scale)
    require(wanted != 0 and exposure != 0, "hedge: nothing to recall")
    size = div_up(wanted * scale, price)
    return wanted, -size if exposure > 0 else size


def unwind_size(strain: int, most: int) -> int:
    """Signed size that an unwind asks of the venue [base, WAD]."""
    require(strain != 0, "hedge: venue is healthy")
    size = min(most, abs(strain))
    require(size != 0, "hedge: zero size")
    return size if strain > 0 else -size


# ---- ticks.vy


def spot(sqrt_price_x96: int, base_is_token0: bool, gap: int) -> int:
    """Price of a pool [quote/base, WAD], rounded down; gap = base decimals - quote decimals."""
    unit: int = 10 ** (18 + gap)
    raw_x128 = sqrt_price_x96 * sqrt_price_x96 >> 64
    return raw_x128 * unit >> 128 if base_is_token0 else (unit << 128) // raw_x128


def average(ticks: int, window: int, base_is_token0: bool, gap: int) -> int:
    """exp((mean tick + 1/2) * ln 1.0001) with decimals folded into the exponent [quote/base, WAD]."""
    exponent_36 = floor_div((2 * ticks + window) * LN_TICK_36, 2 * window)
    if not base_is_token0:
        exponent_36 = -exponent_36
    return wad_exp(floor_div(exponent_36 + gap * LN_TEN_36, 10**18))


# ---- pools.vy


@dataclass(frozen=True, slots=True)
class Depth:
    """What a fee tier holds in range, seen as a constant product; ``pools.Depth``."""

    liquidity: int
    base: int  # [base token units]
    quote: int  # [quote token units]
    fee: int  # [1e-6]

    @classmethod
    def of(cls, liquidity: int, sqrt_price_x96: int, fee_pips: int, base_is_token0: bool) -> Depth:
        """From what the pool says of itself."""
        if liquidity == 0 or sqrt_price_x96 == 0:
            return cls(0, 0, 0, fee_pips)
        token0, token1 = (liquidity << 96) // sqrt_price_x96, liquidity * sqrt_price_x96 >> 96
        return cls(liquidity, *((token0, token1) if base_is_token0 else (token1, token0)), fee_pips)


def estimate(depth: Depth, amount: int, buying: bool) -> int:
    """Quote paid for or got from `amount` base if the range in force went on for ever [token units]; 0: cannot fill."""
    kept = PIPS - depth.fee
    if buying:
        if amount >= depth.base:
            return 0
        paid = -(-depth.quote * amount // (depth.base - amount))
        return -(-paid * PIPS // kept)
    net = amount * kept // PIPS
    return depth.quote * net // (depth.base + net) if depth.base + net else 0


def split_share(first: Depth, second: Depth, amount: int, buying: bool) -> int:
    """What the second tier takes when both end at the same marginal price, fees included [bps]; 0: nothing."""
    if max(first.liquidity, second.liquidity, first.base, second.base, amount) >= MAX_SPLIT:
        return 0
    if buying:
        weight_1 = first.liquidity * (2 * PIPS - second.fee)
        weight_2 = second.liquidity * (2 * PIPS - first.fee)
        more, less = second.base * weight_1 + amount * weight_2, first.base * weight_2
        divisor = weight_1 + weight_2
    else:
        weight_1 = first.liquidity * (2 * PIPS - first.fee)
        weight_2 = second.liquidity * (2 * PIPS - second.fee)
        more = weight_2 * (first.base * PIPS + amount * (PIPS - first.fee))
        less = weight_1 * second.base * PIPS
        divisor = weight_2 * (PIPS - first.fee) + weight_1 * (PIPS - second.fee)
    return 0 if more <= less else min((more - less) // divisor * BPS // amount, BPS - 1)


def best_route(depths: Sequence[Depth], amount: int, buying: bool, *, may_split: bool = True) -> int:
    """The cheapest route for `amount` base [token units]: first | second << 8 | share << 16."""
    side = -1 if buying else 1
    quotes = {tier: quote for tier, depth in enumerate(depths) if (quote := estimate(depth, amount, buying)) != 0}
    require(bool(quotes), "venue: no liquidity")
    best = max(quotes, key=lambda tier: side * quotes[tier])
    if not may_split:
        return best
    found, limit = best, quotes[best] + side * (quotes[best] * SPLIT_GAIN // PIPS)
    for second, depth in enumerate(depths):
        if second == best:
            continue
        share = split_share(depths[best], depth, amount, buying)
        part = amount * share // BPS
        of_second, of_first = estimate(depth, part, buying), estimate(depths[best], amount - part, buying)
        if of_second and of_first and side * (of_first + of_second) > side * limit:
            found, limit = best | second << 8 | share << 16, of_first + of_second
    return found


def parts(route: int, amount: int) -> list[tuple[int, int]]:
    """Fee tiers of a route and what each trades of `amount`."""
    second = amount * (route >> 16) // BPS
    return [(route & 255, amount - second)] + ([(route >> 8 & 255, second)] if second else [])
