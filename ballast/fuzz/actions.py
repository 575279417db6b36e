"""Everything that can happen, one short function each: it happens to the contracts and to the twin.

Arguments are plain: names of actors and contracts, market ids, integers in the contracts' units. `words` says an
action in the protocol's language; its fields know units: `{size:base}`, `{units:quote}`, `{market:market}`,
`{answer:price}`, `{shares:wad}`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import astuple, dataclass, replace
from fractions import Fraction
from inspect import signature
from string import Formatter
from typing import Any, TypeVar

from ballast.chain import Reverted
from ballast.deployment.surroundings import OBSERVATIONS
from ballast.fuzz.desk import NO_STRESS
from ballast.fuzz.world import MAX_UINT, NOBODY, WEALTH, Broken, Fault, Manner, World
from ballast.model.analytic import margin
from ballast.model.exact.fixed import BPS, MARKETS, OPTION_BIT, WAD, YEAR
from ballast.model.exact.fixed import require as demand
from ballast.model.exact.margin import EXIT
from ballast.model.exact.option_book import OptionLeg, board_of, is_put, market_of, strike_of
from ballast.model.exact.option_pricer import Point as PricerPoint
from ballast.model.exact.option_pricer import premiums
from ballast.model.exact.perps import NO_LIMIT
from ballast.model.exact.structs import Change, Exposure
from ballast.model.exact.system import System as Twin

Step = list[Any]  # [action, {argument: value}]
TOKENS_AT_VENUES = "clearing: tokens at venues"  # the one reason that keeps money: it is at venues, a recall brings it
BARES = "margin: below maintenance"  # the one that refuses a close: it hedged what is left
F = TypeVar("F", bound=Callable[..., None])


@dataclass(frozen=True, slots=True)
class Action:
    """What `act` does to a world, and how to say it."""

    name: str
    act: Callable[..., None]
    words: str


ACTIONS: dict[str, Action] = {}


def action(words: str) -> Callable[[F], F]:
    """Register a function as an action."""

    def register(act: F) -> F:
        ACTIONS[act.__name__] = Action(act.__name__, act, words)
        return act

    return register


def perform(world: World, step: Step) -> None:
    """Do one step of a sequence; raises Broken."""
    name, arguments = step
    world.outcomes.clear()
    world.touched.clear()
    world.forget_aave()
    ACTIONS[name].act(world, **arguments)


class _Words(Formatter):
    """Integers in the protocol's units."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world

    def format_field(self, value: Any, spec: str) -> str:
        match spec:
            case "base" | "wad":
                return f"{value / WAD:,.6g}"
            case "quote":
                return f"{value / self.world.unit:,.6g}"
            case "market":
                markets = self.world.config.markets
                return markets[value].name if value < len(markets) else f"market {value}"
            case "orders":
                return ", ".join(_in_words(*order) for order in value) or "none"
            case "price":
                return f"{value / 10**8:,.6g}"
            case _:
                return f"{value}"


def _in_words(series: int, size: int) -> str:
    """An order for options: its board's day and market, its strike."""
    key, right = board_of(series), "put" if is_put(series) else "call"
    return f"{size / WAD:+,.6g} {right} {strike_of(series) / 10**8:,.6g} of day {key >> 8} in market {market_of(key)}"


def describe(world: World, step: Step) -> str:
    """A step in words; what the template does not mention is listed behind it."""
    name, arguments = step
    words = _Words(world)
    template = ACTIONS[name].words
    used = {field for _, field, _, _ in words.parse(template) if field}
    rest = {key: value for key, value in arguments.items() if key not in used and value not in (None, 0, "")}
    extra = f"  ({', '.join(f'{key} = {value}' for key, value in rest.items())})" if rest else ""
    defaults = {key: p.default for key, p in signature(ACTIONS[name].act).parameters.items()}
    return words.vformat(template, (), defaults | arguments) + extra


# ---- margin


@action("{who} deposits {units:quote} margin for {to}")
def deposit_margin(w: World, who: str, units: int, to: str, permit: bool = False) -> None:
    """With `permit` a signature comes along that is nobody's: what counts is the allowance."""
    account = w.address(to)

    def add(t: Twin) -> None:
        demand(t.clearinghouse.frozen or to != NOBODY, "clearing: zero account")
        t.clearinghouse.deposit(units, account)

    if permit:
        signed = (w.now, 27, b"\1" * 32, b"\1" * 32)
        args: tuple[Any, ...] = ("deposit_with_permit", units, account, *signed)
    else:
        args = ("deposit", units, account)
    outcome = w.do(w.system.clearinghouse, *args, sender=who, twin=add, touches=_accounts(to))
    if not outcome.ok and not outcome.meddled and 0 < units <= WEALTH and to != NOBODY and not w.frozen:
        raise Broken("i14_margin_can_always_be_added", f"{who} is told {outcome.reason!r}")


@action("{who} withdraws {units:quote} margin")
def withdraw_margin(w: World, who: str, units: int, of: str = "", to: str = "") -> None:
    """Of an account to a receiver; both are the caller unless named."""
    of, to = of or who, to or who
    free = withdrawable(w, w.address(of))

    allowed = of == who or ("clearinghouse", of, who) in w.operators
    good = to not in (NOBODY, "clearinghouse")

    def take(t: Twin) -> None:
        demand(allowed, "clearing: not operator")
        demand(good, "clearing: bad receiver")
        t.clearinghouse.withdraw(units, w.address(of), w.now)

    outcome = w.do(
        w.system.clearinghouse, "withdraw", units, w.address(to), w.address(of),
        sender=who, twin=take, touches=_accounts(of),
    )  # fmt: skip
    if outcome.ok:
        _arrived(w, to, units)
        return
    owed = allowed and good and 0 < units * w.scale <= free
    if owed and not outcome.meddled and outcome.reason != TOKENS_AT_VENUES:
        raise Broken("i14_cash_without_positions_is_free", f"{who} is told {outcome.reason!r}")


def withdrawable(w: World, account: str) -> int:
    """Cash that nothing holds back [quote, WAD]: none beside positions, none between freeze and settlement, and a part
    after it where accounts own more than there is."""
    ledger = w.twin.clearinghouse
    cash, mask = ledger.account(account)
    if mask or (w.frozen and not ledger.finalised):
        return 0
    return payable(w, cash)


def payable(w: World, cash: int) -> int:
    """What a withdrawal of cash pays after global settlement, in proportion to what there is for all [quote, WAD]."""
    ledger = w.twin.clearinghouse
    free = ledger.free_cash()
    return cash * free // (free - ledger.lp) if ledger.finalised and ledger.lp < 0 else cash


@action("{owner} lets {operator} act at {contract}: {on}")
def set_operator(w: World, contract: str, owner: str, operator: str, on: bool) -> None:
    fn = "setOperator" if contract == "vault" else "set_operator"
    if w.do(w.contracts[contract], fn, w.address(operator), on, sender=owner, twin=lambda t: None).ok:
        (w.operators.add if on else w.operators.discard)((contract, owner, operator))


def _accounts(*names: str) -> tuple[str, ...]:
    """Those whose words can be compared."""
    return tuple(name for name in names if name != NOBODY)


def _arrived(w: World, to: str, units: int) -> None:
    """Tokens that a contract of ours got as a receiver are a gift to it; what a rude token kept has not arrived."""
    if w.rude is not None and w.meddled is not None:
        kept = {Manner.FEE.value: units // 100, Manner.BURN.value: units}
        units -= kept.get(w.meddled.manner, 0)
    if to.startswith("venue"):
        w.manager.venues[int(to[5:])].quote_units += units
    elif to in w.contracts:
        w.donated[to] += units


# ---- trading


@action("{who} trades {size:base} {market:market}")
def trade(w: World, who: str, market: int, size: int, limit: int | None = None, late: int = 0) -> None:
    """`late` [s] is how long ago the deadline was; without a limit none binds."""
    account, deadline = w.address(who), w.now - late
    worst = (NO_LIMIT if size > 0 else 0) if limit is None else limit
    held, closes = w.twin.perp_engine.position(account, market).size, _is_accepted_close(w, account, market, size)
    w.flipped = (held > 0 > held + size) or (held < 0 < held + size)
    outcome = w.do(
        w.system.perp_engine, "trade", market, size, worst, deadline,
        sender=who, twin=lambda t: t.perp_engine.trade(account, market, size, worst, deadline, w.now),
    )  # fmt: skip
    hedges = outcome.reason == BARES and w.twin.clearinghouse.account(account)[1] >> OPTION_BIT != 0
    spoilt = outcome.meddled or hedges or w.frozen
    if closes and limit is None and not late and not outcome.ok and not spoilt:
        raise Broken("i9_closing_is_never_refused", f"{who} holds {held} and is told {outcome.reason!r}")


@action("{who} closes {market:market}")
def close(w: World, who: str, market: int) -> None:
    trade(w, who, market, -w.twin.perp_engine.position(w.address(who), market).size)


@dataclass(frozen=True, slots=True)
class Standing:
    """Of an account at the newest marks [quote, wei], exactly but for what it owes, which the engine rounds up."""

    equity: Fraction
    maintenance: Fraction
    slack: int  # [wei] what the engine's roundings may add up to


def standing(w: World, account: str) -> Standing:
    """By the definition: cash and marks less entry costs and accruals, settled options at what they pay, others at
    their mark; every market's worst scenario, in floats where there are options."""
    twin, now = w.twin.fork(), w.now
    cash, mask = twin.clearinghouse.account(account)
    equity, maintenance, slack = Fraction(cash), Fraction(0), 4
    both = (mask | mask >> OPTION_BIT) & MARKETS
    for market in range(len(w.feeds)):
        if both >> market & 1:
            twin.oracle.sync(market, now)
    assert twin.option_book is not None
    options = twin.option_book.legs(account, now)
    for leg in twin.perp_engine.legs(account, both, now):
        mark = twin.oracle.last(leg.market, now)
        worth = Fraction(leg.size * mark.price, WAD)
        equity += worth - leg.cost - leg.owed
        slack += 8
        held = [option for option in options if option.market == leg.market]
        if held:
            for option in held:
                equity += worth_of(w, option, mark.price)
            needed, doubt = worst_of(w, leg.market, leg.size, held, mark.price, initial=False)
            maintenance += needed
            slack += doubt
        else:
            maintenance += abs(worth) * leg.maintenance_bps / BPS
        maintenance += (
            abs(worth) * Fraction(mark.sigma * EXIT, WAD * WAD) * min(abs(worth) / max(leg.cap_quote, 1), Fraction(1))
        )
    return Standing(equity, maintenance, slack)


def worth_of(w: World, option: OptionLeg, price: int, *, opening: bool = False) -> Fraction:
    """What an option adds to its holder's equity [quote, wei]; for who opens or withdraws, `opening`, nothing if it is
    long and over."""
    if option.settlement:
        return option.size * Fraction(max((option.strike - option.settlement) * (1 if option.is_put else -1), 0), WAD)
    if opening and option.expiry <= w.now and option.size > 0:
        return Fraction(0)
    return Fraction(option.size * mark_of(w, option, price), WAD)


def worst_of(
    w: World, market: int, size: int, held: list[OptionLeg], price: int, *, initial: bool, opening: bool = False
) -> tuple[Fraction, int]:
    """Requirement of a perpetual and options of a market, but for the exit cost, and its error at most [quote, wei]:
    this is in floats, the contracts' fast kernel is good to 2e-8 of spot."""
    p, perp, seen, slack = w.options.configs[market], w.twin.perp_engine.config(market).params, [], 0
    for option in held:
        if option.settlement or (opening and option.expiry <= w.now and option.size > 0):
            continue
        smile = w.surface.smile(option.market, option.expiry, w.now)
        years, term = (max(option.expiry - since, 0) / YEAR for since in (w.now, smile.timestamp))
        theta, rho, eta, rate = (x / WAD for x in (smile.theta, smile.rho, smile.eta, smile.rate))
        vol = min(margin.implied(option.strike / WAD, price / WAD, theta, rho, eta, rate, years, term), 10.0)
        seen.append(margin.Option(option.size / WAD, option.strike / WAD, option.is_put, years, vol, rate))
        slack += 8 + abs(option.size) * price // WAD // 10**7
    share = 1.0 if initial else p.maintenance_bps / BPS
    reach = p.initial_bps if initial else p.initial_bps * p.maintenance_bps // BPS
    linear = perp.initial_bps if initial else perp.maintenance_bps
    grid = margin.Grid(linear / BPS, reach / BPS, share, p.floor_bps / BPS)
    needed = margin.requirement(price / WAD, size / WAD, seen, grid)
    return Fraction(needed * WAD), slack + int((needed + abs(size) * price / WAD**2) * 1e-9 * WAD)


def mark_of(w: World, option: OptionLeg, price: int) -> int:
    """What an option is worth on the posted surface [quote per unit of base, WAD]."""
    smile = w.surface.smile(option.market, option.expiry, w.now)
    left, term = max(option.expiry - w.now, 0), max(option.expiry - smile.timestamp, 0)
    point = PricerPoint(price, left, term, smile.theta, smile.rate, smile.rho, smile.eta)
    (premium,) = premiums(point, [option.strike])
    return premium.put if option.is_put else premium.call


@action("{who} accrues {market:market}")
def perp_sync(w: World, who: str, market: int) -> None:
    w.do(w.system.perp_engine, "sync", market, sender=who, twin=lambda t: t.perp_engine.sync(market, w.now))


def _is_accepted_close(w: World, account: str, market: int, size: int) -> bool:
    """Whether the trade strictly reduces a position without flipping it, at a price that may be traded on."""
    held = w.twin.perp_engine.position(account, market).size
    if held == 0 or size == 0 or (size > 0) == (held > 0) or abs(size) > abs(held):
        return False
    return w.twin.oracle.peek(market, w.now).fresh


@action("the desk gives the vault {delta:base} delta, {vega:wad} vega, {gamma:wad} gamma of {market:market}")
def trade_greeks(
    w: World,
    who: str,
    market: int,
    delta: int = 0,
    gamma: int = 0,
    vega: int = 0,
    stress: list[int] | None = None,
    notional: int = 0,
    vol_age: int = 0,
    closing: bool = False,
) -> None:
    """Units are those of `IInventory.Change`; without a stress vector it is no option."""
    if w.desk is None:
        return
    exposure, vector = Exposure(delta, gamma, vega), tuple(stress or NO_STRESS)
    change = Change(exposure, stress is not None, vector, notional, 0, vol_age, closing)
    desk = w.desk.fork()
    outcome = w.do(
        w.contracts["desk"], "trade", market, astuple(change),
        sender=who, twin=lambda t: desk.trade(t, market, change, w.now),
    )  # fmt: skip
    if outcome.ok:
        w.desk = desk


@action("what the desk has given of {market:market} is now {delta:base} delta, {vega:wad} vega, {gamma:wad} gamma more")
def revalue_greeks(
    w: World, who: str, market: int, delta: int = 0, gamma: int = 0, vega: int = 0, stress: list[int] | None = None
) -> None:
    """No trade: as when a board's greeks are computed anew, or the board is settled."""
    if w.desk is None:
        return
    change = Change(Exposure(delta, gamma, vega), stress is not None, tuple(stress or NO_STRESS))
    desk = w.desk.fork()
    outcome = w.do(
        w.contracts["desk"], "adjust", market, astuple(change),
        sender=who, twin=lambda t: desk.adjust(t, market, change, w.now),
    )  # fmt: skip
    if outcome.ok:
        w.desk = desk


# ---- liquidity


@action("{who} deposits {units:quote} for shares")
def lp_deposit(w: World, who: str, units: int, to: str = "", least: int | None = None) -> None:
    """For a receiver, the caller unless named; `least` [shares, WAD] is what must come of it."""
    to = to or who
    more = () if least is None else (least,)
    w.do(
        w.system.vault, "deposit" if least is None else "deposit_at_least", units, w.address(to), *more,
        sender=who, twin=lambda t: _vault(t).deposit_at_least(units, w.key(to), least or 0, w.now),
        touches=_accounts(to),
    )  # fmt: skip


@action("{who} mints {shares:wad} shares")
def lp_mint(w: World, who: str, shares: int, to: str = "") -> None:
    to = to or who
    w.do(
        w.system.vault, "mint", shares, w.address(to),
        sender=who, twin=lambda t: _vault(t).mint(shares, w.key(to), w.now), touches=_accounts(to),
    )  # fmt: skip


@action("{who} requests redemption of {shares:wad} shares for {to}")
def request(w: World, who: str, shares: int, to: str, of: str = "") -> None:
    """Of an owner's shares, the caller's unless named; an operator needs no allowance."""
    of = of or who
    spends = of != who and ("vault", of, who) not in w.operators

    def ask(t: Twin) -> int:
        vault = _vault(t)
        vault.check_request(shares, w.key(to))
        if spends:
            demand(w.allowances[of, who] >= shares, "erc20: insufficient allowance")
        return int(vault.request_redeem(shares, w.key(to), w.key(of), w.now))

    outcome = w.do(
        w.system.vault, "requestRedeem", shares, w.address(to), w.address(of),
        sender=who, twin=ask, touches=_accounts(to, of),
    )  # fmt: skip
    if outcome.ok and spends:
        spend(w, of, who, shares)


@action("{who} processes the epoch")
def process_epoch(w: World, who: str) -> None:
    w.do(w.system.vault, "processEpoch", sender=who, twin=lambda t: _vault(t).process_epoch(w.now))


@action("{who} claims by {shares:wad} shares")
def redeem(w: World, who: str, shares: int, of: str = "", to: str = "") -> None:
    """A controller's claim to a receiver; both are the caller unless named."""
    _claim(w, "redeem", shares, who, of or who, to or who)


@action("{who} claims {units:quote}")
def claim(w: World, who: str, units: int, of: str = "", to: str = "") -> None:
    _claim(w, "withdraw", units, who, of or who, to or who)


def _claim(w: World, fn: str, amount: int, who: str, of: str, to: str) -> None:
    """`redeem` by shares or `withdraw` by token units."""
    allowed = of == who or ("vault", of, who) in w.operators
    most = w.vault.max_redeem(w.key(of)) if fn == "redeem" else w.vault.max_withdraw(w.key(of))

    def take(t: Twin) -> int:
        demand(allowed, "vault: not operator")
        result = int(getattr(_vault(t), fn)(amount, w.key(of)))
        paid = result if fn == "redeem" else amount
        demand(paid == 0 or to not in (NOBODY, "clearinghouse"), "clearing: bad receiver")
        return result

    outcome = w.do(
        w.system.vault, fn, amount, w.address(to), w.address(of), sender=who, twin=take, touches=_accounts(of)
    )
    if outcome.ok:
        _arrived(w, to, outcome.value if fn == "redeem" else amount)
    elif allowed and 0 < amount <= most and not outcome.meddled and outcome.reason != "clearing: bad receiver":
        raise Broken("i14_claims_are_never_refused", f"{who} is told {outcome.reason!r}")


@action("{who} sends {shares:wad} shares to {to}")
def send_shares(w: World, who: str, shares: int, to: str, of: str = "") -> None:
    """Of an owner who allowed it, if one is named."""
    touches = _accounts(to, of or who)
    if not of:
        w.do(
            w.system.vault, "transfer", w.address(to), shares,
            sender=who, twin=lambda t: _vault(t).transfer(w.address(who), w.key(to), shares), touches=touches,
        )  # fmt: skip
        return

    def move(t: Twin) -> None:
        demand(w.allowances[of, who] >= shares, "erc20: insufficient allowance")
        _vault(t).transfer(w.key(of), w.key(to), shares)

    args = (w.address(of), w.address(to), shares)
    if w.do(w.system.vault, "transferFrom", *args, sender=who, twin=move, touches=touches).ok:
        spend(w, of, who, shares)


@action("{who} lets {spender} spend {shares:wad} shares")
def approve_shares(w: World, who: str, spender: str, shares: int) -> None:
    def approve(t: Twin) -> bool:
        demand(spender != NOBODY, "erc20: approve to the zero address")
        return True

    if w.do(w.system.vault, "approve", w.address(spender), shares, sender=who, twin=approve).ok:
        w.allowances[who, spender] = shares


@action("{who} shows a permit that {owner} has not signed")
def forge_permit(w: World, who: str, owner: str, spender: str, shares: int) -> None:
    def refuse(t: Twin) -> None:
        demand(False, "erc20: invalid signature")

    signed = (w.now, 27, b"\1" * 32, b"\1" * 32)
    w.do(w.system.vault, "permit", w.address(owner), w.address(spender), shares, *signed, sender=who, twin=refuse)


def spend(w: World, owner: str, spender: str, shares: int) -> None:
    """An allowance without limit stays."""
    if w.allowances[owner, spender] != MAX_UINT:
        w.allowances[owner, spender] -= shares


def _vault(twin: Twin) -> Any:
    return twin.vault


# ---- time and prices


@action("{seconds} s pass")
def warp(w: World, seconds: int) -> None:
    """Not beyond February 2106, where times in the inventory's words end."""
    left = 2**32 - 1 - w.now
    if left > 0:
        w.chain.warp(min(seconds, left))


@action("{market:market} feed says {answer:price}")
def push(w: World, market: int, answer: int, age: int = 0) -> None:
    """A new round observed `age` [s] ago (in the future if negative); absurd answers are welcome."""
    updated_at = w.now - age
    w.system.aggregators[market].send("push", answer, updated_at)
    w.set_feed(market, answer, updated_at)


@action("{market:market} feed fails: {fault}")
def break_feed(w: World, market: int, fault: str) -> None:
    """`fault` is a name of `Fault`, or "" for none."""
    kind = Fault[fault] if fault else Fault(0)
    w.system.aggregators[market].send("set_fault", kind.value)
    w.set_fault(market, kind)


@action("the sequencer's feed says {answer}, for {seconds} s")
def uptime(w: World, answer: int, seconds: int) -> None:
    """0 up, 1 down, anything else: no answer. Since when may be in the future, or (before 1970) never."""
    if w.sequencer is None:
        return
    started_at = max(w.now - seconds, 0)
    w.sequencer.send("set_broken", answer not in (0, 1))
    w.sequencer.send("set_status", answer, started_at)
    w.set_uptime(answer, started_at)


@action("the last market's feed is {width_bps} bp wide")
def widen(w: World, width_bps: int) -> None:
    if w.wide is not None:
        w.wide.send("set_width", width_bps)
        w.set_width(width_bps)


@action("{who} synchronises {market:market}")
def sync(w: World, who: str, market: int) -> None:
    w.do(w.system.inventory, "sync", market, sender=who, twin=lambda t: _inventory(t).sync(market, w.now))


@action("{who} synchronises all markets")
def sync_all(w: World, who: str) -> None:
    w.do(w.system.inventory, "sync_all", sender=who, twin=lambda t: _inventory(t).sync_all(w.now))


@action("{who} records the round of {market:market}")
def oracle_sync(w: World, who: str, market: int) -> None:
    w.do(w.system.oracle, "sync", market, sender=who, twin=lambda t: t.oracle.sync(market, w.now))


def _inventory(twin: Twin) -> Any:
    return twin.inventory


# ---- hedging


@action("{who} hedges {size:base} {market:market} at venue {venue}")
def rebalance(w: World, who: str, venue: int, market: int, size: int, limit: int | None = None) -> None:
    keeper = w.address(who)
    worst = (NO_LIMIT if size > 0 else 0) if limit is None else limit
    w.do(
        w.system.hedge_manager, "rebalance", venue, market, size, worst,
        sender=who, twin=lambda t: _manager(t).rebalance(venue, market, size, worst, keeper, w.now),
    )  # fmt: skip


@action("{who} recalls {units:quote} from venue {venue}")
def recall(w: World, who: str, venue: int, units: int) -> None:
    w.do(
        w.system.hedge_manager,
        "recall",
        venue,
        units,
        sender=who,
        twin=lambda t: _manager(t).recall(venue, units, w.now),
    )


@action("{who} unwinds venue {venue} by at most {most:base}")
def unwind(w: World, who: str, venue: int, most: int) -> None:
    keeper = w.address(who)
    w.do(
        w.system.hedge_manager, "unwind", venue, most,
        sender=who, twin=lambda t: _manager(t).unwind(venue, most, keeper, w.now),
    )  # fmt: skip


@action("{who} pokes venue {venue}")
def poke(w: World, who: str, venue: int) -> None:
    w.do(w.system.hedge_manager, "poke", venue, sender=who, twin=lambda t: _manager(t).poke(venue, w.now))


@action("arbitrage moves the {market:market} pools to {price:wad}")
def arbitrage(w: World, market: int, price: int) -> None:
    w.move_pools(market, price)


@action("somebody has {units} units of either token in the {market:market} pools, at any price")
def provide(w: World, market: int, units: int) -> None:
    for pool in w.system.pools[market]:
        with suppress(Reverted):  # too little for any liquidity at this price
            pool.add_liquidity(units, units, provider=w.actors["stranger"])


@action("the {market:market} pools are so busy that they forget")
def crowd_pools(w: World, market: int) -> None:
    """A swap a second for as many seconds as there are observations, which is less than the window."""
    price = w.price(market) or w.newest[market].answer * 10**10
    for second in range(OBSERVATIONS + 1):
        w.chain.warp(1)
        w.move_pools(market, price + price // 10**4 * (second % 2))


def _manager(twin: Twin) -> Any:
    return twin.hedge_manager


# ---- tokens and fees


@action("{units} units of quote are sent to {to} without a call")
def donate(w: World, to: str, units: int) -> None:
    w.system.quote.send("transfer", w.address(to), units, sender=w.actors["stranger"])
    if to.startswith("venue"):
        w.manager.venues[int(to[5:])].quote_units += units
    else:
        w.donated[to] += units


@action("{units} units of {market:market} are sent to venue {venue} without a call")
def donate_base(w: World, market: int, venue: int, units: int) -> None:
    base = w.system.markets[market].base
    assert base is not None
    base.send("transfer", w.address(f"venue{venue}"), units, sender=w.actors["stranger"])
    if w.manager.venues[venue].market == market:
        w.manager.venues[venue].base_units += units


@action("{who} moves gifts to insurance")
def absorb(w: World, who: str) -> None:
    surplus = w.donated["clearinghouse"]

    def absorb_donation(t: Twin) -> None:
        demand(not t.clearinghouse.frozen, "clearing: frozen")
        demand(surplus > 0, "clearing: nothing to absorb")
        t.clearinghouse.fund_insurance(surplus)

    if w.do(w.system.clearinghouse, "absorb_donation", sender=who, twin=absorb_donation).ok:
        w.donated["clearinghouse"] = 0


@action("{who} gives {units:quote} to insurance")
def insure(w: World, who: str, units: int) -> None:
    w.do(
        w.system.clearinghouse, "fund_insurance", units,
        sender=who, twin=lambda t: t.clearinghouse.fund_insurance(units),
    )  # fmt: skip


@action("{who} splits fees")
def collect_fees(w: World, who: str) -> None:
    w.do(w.system.clearinghouse, "collect_fees", sender=who, twin=lambda t: t.clearinghouse.collect_fees())


@action("governor takes {units:quote} of the protocol's part")
def withdraw_protocol(w: World, units: int) -> None:
    w.do(
        w.system.clearinghouse, "withdraw_protocol", units, w.actors["governor"],
        sender="governor", twin=lambda t: t.clearinghouse.withdraw_protocol(units),
    )  # fmt: skip


# ---- guardian and governor


@action("{market:market} paused: {on}")
def pause_market(w: World, market: int, on: bool) -> None:
    w.do(
        w.system.perp_engine, "pause" if on else "unpause", market,
        sender="guardian" if on else "governor", twin=lambda t: t.perp_engine.set_paused(market, on),
    )  # fmt: skip


@action("{market:market} halted: {on}")
def halt(w: World, market: int, on: bool) -> None:
    w.do(
        w.system.oracle, "halt" if on else "resume", market,
        sender="governor", twin=lambda t: t.oracle.set_halted(market, on, w.now),
    )  # fmt: skip


@action("deposits paused: {on}")
def pause_deposits(w: World, on: bool) -> None:
    def set_paused(t: Twin) -> None:
        _vault(t).paused = on

    w.do(
        w.system.vault, "pause_deposits" if on else "unpause_deposits",
        sender="guardian" if on else "governor", twin=set_paused,
    )  # fmt: skip


@action("venue {venue} paused: {on}")
def pause_venue(w: World, venue: int, on: bool) -> None:
    w.do(
        w.system.hedge_manager, "pause_venue" if on else "unpause_venue", venue,
        sender="guardian" if on else "governor", twin=lambda t: _manager(t).set_paused(venue, on),
    )  # fmt: skip


@action("governor retires venue {venue}")
def retire_venue(w: World, venue: int) -> None:
    w.do(
        w.system.hedge_manager, "retire_venue", venue,
        sender="governor", twin=lambda t: _manager(t).retire_venue(venue),
    )  # fmt: skip


@action("governor gives {insurance} bps of fees to insurance, of penalties {liquidator} to liquidators and {lp} to LPs")
def set_shares(w: World, insurance: int, liquidator: int, lp: int) -> None:
    w.do(
        w.system.clearinghouse, "set_shares", insurance, liquidator, lp,
        sender="governor", twin=lambda t: t.clearinghouse.set_shares(insurance, liquidator, lp),
    )  # fmt: skip


@action("guardian lowers the caps of {market:market} to {base:wad} base and {quote:wad} quote")
def lower_caps(w: World, market: int, base: int, quote: int) -> None:
    def lower(t: Twin) -> None:
        params = t.perp_engine.config(market).params
        demand(base <= params.cap_base and quote <= params.cap_quote, "perps: caps can only fall")
        t.perp_engine.set_params(market, replace(params, cap_base=base, cap_quote=quote))

    w.do(w.system.perp_engine, "lower_caps", market, base, quote, sender="guardian", twin=lower)


def succeeded(world: World) -> bool:
    """Whether every call of the last action went through."""
    return all(outcome.ok for outcome in world.outcomes)
