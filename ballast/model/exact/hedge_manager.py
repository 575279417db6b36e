"""Integer twin of ``contracts/hedge/HedgeManager.vy`` over ``UniswapV3Venue.vy``.

The rule itself is in ``hedge.py``; here is what it is applied to, in the contract's order. What an outside market would
do with a trade is an input (``Market``): the fuzzer asks Uniswap's own quoter, simulations may ask a model.
Not mirrored: roles, gas, and the packing of words. Venues that do not answer or lie are mirrored in
``ballast/fuzz/doubles.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from ballast.model.exact import hedge
from ballast.model.exact.carry import Lending
from ballast.model.exact.fixed import BPS, MAX_MARKETS, WAD, div_up, mul_down, mul_up, require
from ballast.model.exact.hedge import NO_LIMIT, Holdings, Measured, Outcome, Rule, VenueParams, VenueState
from ballast.model.exact.inventory import Fall
from ballast.model.exact.oracle import Mark
from ballast.model.exact.structs import Change, Exposure, Settlement

MAX_EXPOSURE = 2**95
MAX_VALUE = 10**10 * WAD
MAX_FUNDING = 3
MAX_VENUES = 8

UNTOUCHED = VenueState()
UNFILLED = "venue: not filled at the limit"


@dataclass(frozen=True, slots=True)
class Prices:
    """IHedgeVenue.Prices."""

    spot: int
    twap: int
    fee: int


def route_prices(route: int, of_tier: Callable[[int], Prices]) -> Prices:
    """What a venue on Uniswap says of a route: of two tiers the mean, and the spot farther from the average."""
    share = route >> 16
    first = of_tier(route & 255)
    if share == 0:
        return first
    second = of_tier(route >> 8 & 255)
    twap = (first.twap * (BPS - share) + second.twap * share) // BPS
    fee = -(-(first.fee * (BPS - share) + second.fee * share) // BPS)
    return Prices(max(first.spot, second.spot, key=lambda spot: abs(spot - twap)), twap, fee)


class Market(Protocol):
    """Where a venue trades, as it stands before the trade; raises Reverted as the venue does.

    A swap that cannot be filled raises Reverted(UNFILLED).
    """

    def best_route(self, size: int) -> int:
        """The route that a trade of this size would take."""
        ...

    def prices(self, route: int) -> Prices:
        """Spot, average and fee of a route."""
        ...

    def buy(self, base_units: int, route: int) -> tuple[int, Prices]:
        """Quote units that buying takes, and prices afterwards."""
        ...

    def sell(self, base_units: int, route: int) -> tuple[int, Prices]:
        """Quote units that selling brings, and prices afterwards."""
        ...


class Ledger(Protocol):
    """What HedgeManager asks of the Clearinghouse."""

    @property
    def scale(self) -> int: ...
    @property
    def frozen(self) -> bool: ...
    def begin(self) -> None: ...
    def end(self) -> None: ...
    def vault_ledger(self) -> tuple[int, int]: ...
    def fund(self, units: int) -> None: ...
    def collect(self, units: int) -> None: ...
    def settle(self, account: str | None, settlement: Settlement) -> tuple[int, int]: ...


class Inventory(Protocol):
    """What HedgeManager asks of Inventory."""

    def sync(self, market: int, now: int) -> None: ...
    def adjust(self, market: int, mark: Mark, change: Change, now: int, *, hedges: bool, moved: int) -> Fall: ...


class Oracle(Protocol):
    """What HedgeManager asks of PriceOracle."""

    def sync(self, market: int, now: int) -> Mark: ...
    def peek(self, market: int, now: int) -> Mark: ...


@dataclass(slots=True)
class Venue:
    """Spot at a UniswapV3Venue: its two balances, and what the manager remembers of it."""

    market: int
    base_scale: int  # [WAD per token unit]
    quote_scale: int
    outside: Market
    params: VenueParams
    state: VenueState = UNTOUCHED
    base_units: int = 0
    quote_units: int = 0  # sent by strangers
    paused: bool = False
    retired: bool = False

    def exposure(self) -> int:
        """Base held [base, WAD]."""
        return self.base_units * self.base_scale

    def equity(self, price: int) -> int:
        """Base at the price, and stray quote [quote, WAD]."""
        return mul_down(self.exposure(), price) + self.quote_units * self.quote_scale

    def strain(self) -> int:
        """Base to close because a lender threatens [base, WAD]; spot owes nobody."""
        return 0

    def lending(self) -> Lending | None:
        """What its lender says; spot has none."""
        return None

    def read(self, price: int) -> tuple[int, int] | None:
        """Exposure and equity as the manager believes them; None if they make no sense or there is no answer."""
        exposure, equity = self.exposure(), self.equity(price)
        return (exposure, equity) if is_sane(exposure, equity, price) else None

    def position(self, mid: int, twap: int) -> tuple[int, int, int]:
        """Exposure, and equity at both prices; 0 without an average."""
        return self.exposure(), self.equity(mid), self.equity(twap) if twap != 0 else 0

    def read_equity(self, price: int) -> int:
        """Equity as NAV believes it; zero without a good answer."""
        equity = self.equity(price)
        return equity if equity < MAX_VALUE else 0

    def best_route(self, size: int) -> int:
        """The route that a trade of this size would take."""
        return self.outside.best_route(size)

    def prices(self, route: int) -> Prices:
        """Spot, average and fee of a route."""
        return self.outside.prices(route)

    def funding(self, size: int, limit_price: int) -> int:
        """Quote units to send before a trade."""
        return self.most(size // self.base_scale, limit_price) if size > 0 else 0

    def most(self, base_units: int, limit_price: int) -> int:
        """Quote units that a purchase may take, rounded down."""
        return mul_down(base_units * self.base_scale, limit_price) // self.quote_scale

    def rebalance(self, size: int, limit_price: int, route: int) -> tuple[int, Prices]:
        """Trade; quote units sent to the Clearinghouse, prices afterwards."""
        if size > 0:
            amount = size // self.base_scale
            require(amount != 0, "venue: size too small")
            most = min(self.most(amount, limit_price), self.quote_units)
            spent, prices = self.outside.buy(amount, route)
            require(spent <= most, UNFILLED)
            self.base_units += amount
            self.quote_units -= spent
            sent = 0
        else:
            sent, prices = self._sell(-size // self.base_scale, limit_price, route)
        sent += self.quote_units
        self.quote_units = 0
        return sent, prices

    def recall(self, units: int, limit_price: int, route: int) -> tuple[int, Prices]:
        """Sell enough base for ``units`` even at the limit; quote units sent, prices afterwards."""
        wanted = div_up(units * self.quote_scale, limit_price)
        amount = min(-(-wanted // self.base_scale), self.base_units)
        sent, prices = self._sell(amount, limit_price, route)
        sent += self.quote_units
        self.quote_units = 0
        return sent, prices

    def _sell(self, amount: int, limit_price: int, route: int) -> tuple[int, Prices]:
        require(amount != 0, "venue: size too small")
        require(amount <= self.base_units, "venue: not enough base")
        least = mul_up(amount * self.base_scale, limit_price)
        brought, prices = self.outside.sell(amount, route)
        require(brought >= -(-least // self.quote_scale), UNFILLED)
        self.base_units -= amount
        return brought, prices


@dataclass(frozen=True, slots=True)
class Seen:
    """What a step begins from."""

    exposure: int  # [base, WAD] at the venue
    before: Holdings
    released: int  # [quote, WAD] reserve due to LPs, not yet booked


def is_sane(exposure: int, equity: int, price: int) -> bool:
    """Whether an answer may be believed."""
    return abs(exposure) < MAX_EXPOSURE and mul_up(abs(exposure), price) < MAX_VALUE and equity < MAX_VALUE


@dataclass(slots=True)
class HedgeManager:
    """Twin of ``HedgeManager.vy``. ``now`` is the block's time, ``base_fee`` its base fee [wei]."""

    clearinghouse: Ledger
    inventory: Inventory
    oracle: Oracle
    rule: Rule
    venues: list[Venue] = field(default_factory=list)
    base_fee: int = 0

    def rebalance(self, venue_id: int, market: int, size: int, limit_price: int, keeper: str, now: int) -> Outcome:
        """Hedge if the rule allows it, and pay the keeper."""
        return self._rebalance(keeper, self.rule, venue_id, market, size, limit_price, now)

    def rebalance_for(
        self, agent: str, eta_bps: int, venue_id: int, market: int, size: int, limit_price: int, now: int
    ) -> Outcome:
        """The same at another share for whoever is paid."""
        require(eta_bps <= hedge.MAX_ETA_BPS, "hedge: parameter out of bounds")
        return self._rebalance(agent, replace(self.rule, eta_bps=eta_bps), venue_id, market, size, limit_price, now)

    def recall(self, venue_id: int, units: int, now: int) -> int:
        """Turn a hedge back into cash while LP cash is short or all is frozen; token units received."""
        self.clearinghouse.begin()
        venue, mark = self._open(venue_id, now)
        seen = self._observe(venue, mark, 0, now)
        if seen.exposure == 0 and seen.before.at_mid != 0:
            return self._bring_home(venue, mark, units, seen, now)
        wanted, size = hedge.recall_size(
            units, self.clearinghouse.scale, seen.before.lp_cash, seen.exposure, mark.price, self.rule,
            frozen=self.clearinghouse.frozen,
        )  # fmt: skip
        route, _, tolerance = self._priced(venue, mark, size)
        limit = hedge.limit(size > 0, NO_LIMIT if size > 0 else 0, mark.price, tolerance)
        received, after_prices = venue.recall(wanted, limit, route)
        fall, _, _ = self._judge_closing(venue, mark, seen, size, received, after_prices, tolerance, now)
        self._settle(None, 0, seen.released + fall.release, now)
        return received

    def unwind(self, venue_id: int, most: int, keeper: str, now: int) -> int:
        """Close what a venue that owes must close, and pay the keeper; base closed [base, WAD]."""
        self.clearinghouse.begin()
        venue, mark = self._open(venue_id, now)
        strain = venue.strain()
        size = hedge.unwind_size(strain, most)
        seen = self._observe(venue, mark, 0, now)
        route, _, tolerance = self._priced(venue, mark, size)
        limit = hedge.limit(size > 0, NO_LIMIT if size > 0 else 0, mark.price, tolerance)
        sent, after_prices = venue.rebalance(size, limit, route)
        fall, change, notional = self._judge_closing(venue, mark, seen, size, sent, after_prices, tolerance, now)
        paid = 0
        if 4 * abs(change) >= abs(strain):
            gas = hedge.gas(self.rule, self.base_fee, self._gas_token_price(venue, mark, now))
            lp_cash, _ = self.clearinghouse.vault_ledger()
            paid = min(gas + hedge.reward(0, 0, notional, 0, self.rule.size_reward), max(lp_cash, 0))
        self._settle(keeper, paid, seen.released + fall.release, now)
        return abs(change)

    def poke(self, venue_id: int, now: int) -> None:
        """Tell Inventory what the venue truly holds."""
        self.clearinghouse.begin()
        venue = self._venue(venue_id)
        mark = self.oracle.sync(venue.market, now)
        answer = None if venue.retired else venue.read(mark.price)
        released = self._mark(venue, mark, *(answer or (0, 0)), 0, now)
        self._settle(None, 0, released, now)

    # ── privileged ──

    def list_venue(self, venue: Venue) -> int:
        """Add a venue; its id."""
        require(venue.market < MAX_MARKETS, "hedge: wrong market")
        require(len(self.venues) < MAX_VENUES, "hedge: too many venues")
        self.venues.append(venue)
        return len(self.venues) - 1

    def set_venue_params(self, venue_id: int, params: VenueParams) -> None:
        """What a venue may do."""
        venue = self._venue(venue_id)
        hedge.check_params(params)
        venue.params = params

    def set_rule(self, rule: Rule) -> None:
        """What a hedge may cost and what its keeper earns."""
        hedge.check_rule(rule)
        self.rule = rule

    def set_paused(self, venue_id: int, paused: bool) -> None:
        """``pause_venue`` and ``unpause_venue``."""
        self._venue(venue_id).paused = paused

    def retire_venue(self, venue_id: int) -> None:
        """Write a venue off."""
        self._venue(venue_id).retired = True

    # ── views ──

    def equity(self, prices: Sequence[int]) -> int:
        """What LPs own at all venues at these prices, by market, after haircuts [quote, WAD]."""
        return sum(
            hedge.after_haircut(venue.read_equity(prices[venue.market]), venue.params.haircut_bps)
            for venue in self.venues
            if not venue.retired
        )

    # ── internal ──

    def _rebalance(
        self, payee: str, rule: Rule, venue_id: int, market: int, size: int, limit_price: int, now: int
    ) -> Outcome:
        require(size != 0, "hedge: zero size")
        self.clearinghouse.begin()
        venue, mark = self._open(venue_id, now)
        require(venue.market == market, "hedge: wrong market")
        route, prices, tolerance = self._priced(venue, mark, size)
        hedge.check_fee(venue.params, prices.fee)
        seen = self._observe(venue, mark, prices.twap, now)
        if venue.paused:
            toward_zero = (size > 0) != (seen.exposure > 0) and abs(size) <= abs(seen.exposure)
            require(toward_zero, "hedge: venue paused")
        hedge.check_cooldown(venue.state, venue.params, now)

        limit = hedge.limit(size > 0, limit_price, mark.price, tolerance)
        self._fund(venue, size, limit, mark.price)
        sent, after_prices = venue.rebalance(size, limit, route)
        if sent != 0:
            self.clearinghouse.collect(sent)
        exposure, after = self._holdings(venue, mark, prices.twap)
        measured = Measured(
            size, seen.exposure, exposure, mark.price, prices.fee, now, seen.before, after, hedge.Fall(0, 0, 0, 0),
            self.base_fee, self._gas_token_price(venue, mark, now),
        )  # fmt: skip
        hedge.check_fill(venue.params, measured)
        self._check_band(mark, replace(after_prices, twap=prices.twap), tolerance)
        fall = self._report(venue, mark, seen, exposure, after, now)
        venue.state, outcome = hedge.judge(venue.state, venue.params, rule, replace(measured, fall=fall))
        self._settle(payee, outcome.reward + outcome.gas, seen.released + fall.release + outcome.released, now)
        return outcome

    def _open(self, venue_id: int, now: int) -> tuple[Venue, Mark]:
        venue = self._venue(venue_id)
        require(not venue.retired, "hedge: venue retired")
        mark = self.oracle.sync(venue.market, now)
        require(mark.fresh, "oracle: stale price")
        max_age = venue.params.max_age
        require(max_age == 0 or now - mark.updated_at <= max_age, "hedge: price too old")
        return venue, mark

    def _observe(self, venue: Venue, mark: Mark, twap: int, now: int) -> Seen:
        """What venue and LPs hold; Inventory is told first of exposure that has come or gone by itself."""
        exposure, before = self._holdings(venue, mark, twap)
        released = 0
        if hedge.has_drifted(venue.state, exposure):
            self.inventory.sync(venue.market, now)
            before = replace(before, lp_cash=self.clearinghouse.vault_ledger()[0])
            released = self._mark(venue, mark, exposure, before.at_mid, 0, now)
        return Seen(exposure, before, released)

    def _mark(self, venue: Venue, mark: Mark, exposure: int, equity: int, moved: int, now: int) -> int:
        """Reserve due to LPs."""
        state, change = hedge.mark(venue.state, mark.price, exposure, equity)
        if change is None:
            return 0
        venue.state = state
        return self._adjust(venue, mark, *change, moved, now).release

    def _priced(self, venue: Venue, mark: Mark, size: int) -> tuple[int, Prices, int]:
        route = venue.best_route(size)
        prices = venue.prices(route)
        tolerance = hedge.tolerance(prices.fee, venue.params.band)
        self._check_band(mark, prices, tolerance)
        return route, prices, tolerance

    def _check_band(self, mark: Mark, prices: Prices, tolerance: int) -> None:
        require(hedge.is_near(prices.spot, mark.price, tolerance), "hedge: venue off the oracle")
        require(hedge.is_near(prices.spot, prices.twap, tolerance), "hedge: venue off its average")

    def _holdings(self, venue: Venue, mark: Mark, twap: int) -> tuple[int, Holdings]:
        position = venue.position(mark.price, twap)
        require(is_sane(position[0], position[1], mark.price) and position[2] < MAX_VALUE, "hedge: bad answer")
        return position[0], Holdings(self.clearinghouse.vault_ledger()[0], *position[1:])

    def _fund(self, venue: Venue, size: int, limit: int, price: int) -> None:
        scale = self.clearinghouse.scale
        units = venue.funding(size, limit)
        if units != 0:
            wanted = units * scale
            require(wanted <= MAX_FUNDING * mul_up(abs(size), price) + scale, "hedge: venue asks too much")
            require(wanted <= self.clearinghouse.vault_ledger()[0], "hedge: LP cash too low")
            self.clearinghouse.fund(units)
            venue.quote_units += units

    def _bring_home(self, venue: Venue, mark: Mark, units: int, seen: Seen, now: int) -> int:
        """Turn what a venue without exposure holds into LP cash."""
        scale = self.clearinghouse.scale
        received, _ = venue.recall(min(units, -(-seen.before.at_mid // scale)), mark.price, 0)
        if received != 0:
            self.clearinghouse.collect(received)
        exposure, after = self._holdings(venue, mark, 0)
        cost = hedge.loss_at_mid(seen.before, after)
        require(received != 0 and exposure == 0, "hedge: bad fill")
        require(cost <= self.clearinghouse.scale, "hedge: recall too dear")
        require(cost >= -self.clearinghouse.scale, "hedge: impossible gain")
        more = self._mark(venue, mark, 0, after.at_mid, seen.before.lp_cash - after.lp_cash, now)
        self._settle(None, 0, seen.released + more, now)
        return received

    def _judge_closing(
        self, venue: Venue, mark: Mark, seen: Seen, size: int, received: int, prices: Prices, tolerance: int, now: int,
    ) -> tuple[hedge.Fall, int, int]:  # fmt: skip
        """Book a step toward zero that the rule does not judge; change of exposure and its notional besides."""
        if received != 0:
            self.clearinghouse.collect(received)
        exposure, after = self._holdings(venue, mark, 0)
        change = exposure - seen.exposure
        good = (change > 0) == (size > 0) and change != 0 and abs(exposure) < abs(seen.exposure)
        require(good, "hedge: bad fill")
        notional = mul_up(abs(change), mark.price)
        cost = hedge.loss_at_mid(seen.before, after)
        most = mul_up(notional, tolerance) + self.clearinghouse.scale
        require(cost <= most, "hedge: recall too dear")
        require(cost >= -most, "hedge: impossible gain")
        self._check_band(mark, prices, tolerance)
        fall = self._report(venue, mark, seen, exposure, after, now)
        state = venue.state
        used = hedge.turnover(state.used, now - state.traded_at, venue.params.turnover, notional)
        venue.state = VenueState(state.exposure + change, after.at_mid, mark.price, used, now)
        return fall, change, notional

    def _report(
        self, venue: Venue, mark: Mark, seen: Seen, exposure: int, after: Holdings, now: int
    ) -> hedge.Fall:  # fmt: skip
        """Tell Inventory what a step changed."""
        book = after.at_mid - hedge.expected_equity(venue.state, mark.price)
        moved = seen.before.lp_cash - after.lp_cash
        fall = self._adjust(venue, mark, exposure - seen.exposure, book, moved, now)
        return hedge.Fall(fall.fall, fall.freed, fall.release, fall.excess, fall.potential_after)

    def _adjust(self, venue: Venue, mark: Mark, delta: int, equity: int, moved: int, now: int) -> Fall:
        change = Change(Exposure(delta=delta), book=equity)
        return self.inventory.adjust(venue.market, mark, change, now, hedges=True, moved=moved)

    def _gas_token_price(self, venue: Venue, mark: Mark, now: int) -> int:
        if self.rule.gas_units == 0:
            return 0
        if self.rule.gas_market != venue.market:
            mark = self.oracle.peek(self.rule.gas_market, now)
        return mark.price if mark.fresh else 0

    def _settle(self, account: str | None, cash: int, released: int, now: int) -> None:
        if cash == 0 and released == 0:
            self.clearinghouse.end()
        else:
            self.clearinghouse.settle(account, Settlement(cash=cash, reserve=-released))

    def _venue(self, venue_id: int) -> Venue:
        require(venue_id < len(self.venues), "hedge: no such venue")
        return self.venues[venue_id]
