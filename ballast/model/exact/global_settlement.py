"""Integer twin of ``contracts/clearing/GlobalSettlement.vy``.

Names, order and rounding are the contract's. Not mirrored: events, and the allowance that ``redeem`` spends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ballast.model.exact import option_pricer
from ballast.model.exact.fixed import MARKETS, OPTION_BIT, mul_div_down, require, sub_floor
from ballast.model.exact.margin import intrinsic, value, worth
from ballast.model.exact.option_book import Holding, OptionLeg, key_of
from ballast.model.exact.oracle import Mark
from ballast.model.exact.perps import Position, owed
from ballast.model.exact.structs import struct
from ballast.model.exact.vault import Position as Waiting
from ballast.model.exact.vault import Valuation
from ballast.model.exact.vol_surface import Smile

OUTAGE = 86_400
PATIENCE = 7 * 86_400
SETTLEMENT = "global settlement"  # the account that holds the shares given in


class Ledger(Protocol):
    """What GlobalSettlement asks of the Clearinghouse."""

    scale: int

    def account(self, owner: str) -> tuple[int, int]: ...
    def vault_ledger(self) -> tuple[int, int]: ...
    def freeze(self) -> None: ...
    def crystallise(self, account: str, cash_change: int, payables_change: int) -> None: ...
    def finalise(self) -> None: ...
    def pay_promise(self, account: str, amount: int) -> None: ...
    def pay_lp(self, units: int) -> None: ...


class PerpEngine(Protocol):
    """What GlobalSettlement asks of PerpEngine."""

    def accrued(self, market: int, now: int) -> tuple[int, int, int, int]: ...
    def position(self, account: str, market: int) -> Position: ...


class OptionBook(Protocol):
    """What GlobalSettlement asks of OptionBook."""

    unsettled: dict[int, int]
    books: dict[int, Holding]

    def expiries(self, market: int) -> list[int]: ...
    def book_value(self, prices: Sequence[int], now: int) -> tuple[int, int, bool]: ...
    def legs(self, account: str, now: int) -> list[OptionLeg]: ...
    def smile(self, market: int, expiry: int) -> Smile: ...


class Oracle(Protocol):
    """What GlobalSettlement asks of PriceOracle."""

    @property
    def markets(self) -> Sequence[object]: ...
    def sync(self, market: int, now: int) -> Mark: ...
    def outage(self, market: int, now: int) -> int: ...


class HedgeManager(Protocol):
    """What GlobalSettlement asks of HedgeManager."""

    def equity(self, prices: Sequence[int]) -> int: ...


class Vault(Protocol):
    """What GlobalSettlement asks of the Vault."""

    supply: int

    def valuation(self, now: int) -> Valuation: ...
    def position(self, controller: str) -> Waiting: ...
    def transfer(self, owner: str, to: str, amount: int) -> None: ...


@struct
class Terms:
    """IGlobalSettlement.Terms."""

    price: int
    index_long: int
    index_short: int


@struct
class Claim:
    """IGlobalSettlement.Claim: profit [quote, WAD] or shares [WAD], and what was paid [quote, WAD]."""

    amount: int = 0
    paid: int = 0


NO_CLAIM = Claim()


@dataclass(slots=True)
class GlobalSettlement:
    """Twin of ``GlobalSettlement.vy``. ``now`` is the block's time [s]."""

    clearinghouse: Ledger
    perp_engine: PerpEngine
    option_book: OptionBook
    oracle: Oracle
    hedge_manager: HedgeManager
    vault: Vault
    triggered_at: int = 0
    is_final: bool = False
    terms: tuple[Terms, ...] = ()
    interest: int = 0
    legs: int = 0
    profits: int = 0
    supply: int = 0
    paid: int = 0
    profit_of: dict[str, Claim] = field(default_factory=dict)
    shares_of: dict[str, Claim] = field(default_factory=dict)
    paid_request: dict[str, int] = field(default_factory=dict)

    # ── the end ──

    def trigger(self, now: int) -> None:
        """End the system, if it owes more than it has or a market with positions has had no price for a day."""
        require(self.triggered_at == 0, "settlement: triggered")
        terms, interest, legs, fresh, outage = [], 0, 0, True, False
        for market in range(len(self.oracle.markets)):
            mark = self.oracle.sync(market, now)
            long, short, index_long, index_short = self.perp_engine.accrued(market, now)
            books = self.option_book.books
            keys = [key_of(market, expiry) for expiry in self.option_book.expiries(market)]
            live = sum(books[key].legs for key in keys if key in books)
            if not mark.fresh:
                fresh = False
                outage = outage or (long + short + live != 0 and self.oracle.outage(market, now) >= OUTAGE)
            interest += long + short
            legs += live + self.option_book.unsettled.get(market, 0)
            terms.append(Terms(mark.price, index_long, index_short))
        if not outage:
            require(fresh, "settlement: stale price")
            usable = self.option_book.book_value([each.price for each in terms], now)[2]
            require(usable, "settlement: refresh boards first")
            require(self.vault.valuation(now).nav < 0, "settlement: vault is solvent")
        self.clearinghouse.freeze()
        self.terms, self.triggered_at, self.interest, self.legs = tuple(terms), now, interest, legs

    def crystallise(self, accounts: Sequence[str]) -> None:
        """Value accounts: losses and payoffs become cash, profits claims."""
        require(self.triggered_at != 0, "settlement: not triggered")
        for account in accounts:
            cash, mask = self.clearinghouse.account(account)
            if mask == 0:
                continue
            worth_now, interest = self._perps(account, mask & MARKETS)
            payoff, count = 0, 0
            if mask >> OPTION_BIT:
                payoff, options, count = self._options(account)
                worth_now += options
            equity = cash + payoff + worth_now
            profit = max(max(equity, 0) - max(cash + payoff, 0), 0)
            self.clearinghouse.crystallise(account, equity - profit - cash, -payoff)
            self.profit_of[account] = Claim(profit)
            self.profits += profit
            self.interest -= interest
            self.legs -= count

    def finalise(self, now: int) -> None:
        """Open withdrawals and claims once every account is crystallised."""
        require(self.triggered_at != 0, "settlement: not triggered")
        require(not self.is_final, "settlement: final")
        require(self.interest == 0 and self.legs == 0, "settlement: accounts left")
        if self.clearinghouse.vault_ledger()[0] < 0 and now < self.triggered_at + PATIENCE:
            prices = [terms.price for terms in self.terms]
            require(self.hedge_manager.equity(prices) == 0, "settlement: recall hedges first")
        self.clearinghouse.finalise()
        self.is_final, self.supply = True, self.vault.supply

    # ── payments ──

    def claim(self, accounts: Sequence[str]) -> None:
        """Pay what the pot covers of accounts' profits into their cash."""
        pot = self.pots()[0]
        for account in accounts:
            claim = self.profit_of.get(account, NO_CLAIM)
            if claim.amount == 0:
                continue
            due = mul_div_down(claim.amount, pot, self.profits)
            if due != claim.paid:
                self.clearinghouse.pay_promise(account, due - claim.paid)
                self.profit_of[account] = Claim(claim.amount, due)
                self.paid += due - claim.paid

    def redeem(self, shares: int, owner: str) -> int:
        """Take shares and pay what all that the owner gave in are due; token units."""
        pot = self.pots()[1]
        if shares != 0:
            self.vault.transfer(owner, SETTLEMENT, shares)
        given = self.shares_of.get(owner, NO_CLAIM)
        claim, units = self._pay(Claim(given.amount + shares, given.paid), pot)
        self.shares_of[owner] = claim
        return units

    def pay_request(self, controller: str) -> int:
        """Pay what the shares that a controller has waiting in the vault's queue are due; token units."""
        pot = self.pots()[1]
        waiting = self.vault.position(controller)
        before = Claim(waiting.pending + waiting.late, self.paid_request.get(controller, 0))
        claim, units = self._pay(before, pot)
        self.paid_request[controller] = claim.paid
        return units

    # ── views ──

    def remaining(self) -> tuple[int, int]:
        """What is not crystallised: |size| of perpetuals [base, WAD], positions in options."""
        return self.interest, self.legs

    def pots(self) -> tuple[int, int]:
        """What profits and what shares get together [quote, WAD]."""
        require(self.is_final, "settlement: not final")
        whole = max(self.clearinghouse.vault_ledger()[0] + self.paid, 0)
        profits = min(whole, self.profits)
        return profits, whole - profits

    # ── internal ──

    def _perps(self, account: str, mask: int) -> tuple[int, int]:
        """Value of an account's perpetuals and the sum of their |size|."""
        result = interest = 0
        for market, terms in enumerate(self.terms):
            if mask >> market & 1:
                held = self.perp_engine.position(account, market)
                due = owed(held, terms.index_long, terms.index_short)
                result += value(held.size, held.cost, due, terms.price)
                interest += abs(held.size)
        return result, interest

    def _options(self, account: str) -> tuple[int, int, int]:
        """Payoff of an account's settled options, value of the others, their number; nothing is settled afterwards."""
        payoff = result = 0
        legs = self.option_book.legs(account, self.triggered_at)
        for leg in legs:
            if leg.settlement:
                payoff += worth(leg.size, intrinsic(leg.strike, leg.is_put, leg.settlement))
                continue
            smile = self.option_book.smile(leg.market, leg.expiry)
            point = option_pricer.Point(
                self.terms[leg.market].price,
                sub_floor(leg.expiry, self.triggered_at),
                sub_floor(leg.expiry, smile.timestamp),
                smile.theta,
                smile.rate,
                smile.rho,
                smile.eta,
            )
            premium = option_pricer.premiums(point, [leg.strike])[0]
            result += worth(leg.size, premium.put if leg.is_put else premium.call)
        return payoff, result, len(legs)

    def _pay(self, claim: Claim, pot: int) -> tuple[Claim, int]:
        """What shares were paid after they are paid what they are due, and that in token units."""
        scale = self.clearinghouse.scale
        units = (mul_div_down(claim.amount, pot, self.supply) - claim.paid) // scale if claim.amount else 0
        if units:
            self.clearinghouse.pay_lp(units)
        self.paid += units * scale
        return Claim(claim.amount, claim.paid + units * scale), units
