"""Integer twin of ``contracts/clearing/Clearinghouse.vy`` and ``ledger.vy``.

Names, order and rounding are the contract's. Not mirrored: roles, operators, the token itself (``deposit`` and its like
assume that the transfer went through) and the packing of words; their ranges are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from ballast.model.exact.fixed import BPS, MAX_MARKETS, MAX_REWARD, MICRO, OPTION_BIT, WAD, ceil_div, require
from ballast.model.exact.oracle import Mark
from ballast.model.exact.structs import Buckets, Settlement

MAX_I128 = 2**127 - 1
MAX_I96 = 2**95 - 1
U96 = 2**96 - 1
U128 = 2**128 - 1
U63 = 2**63 - 1
MIN_INSURANCE_SHARE_BPS = 2_000
MIN_LIQUIDATOR_SHARE_BPS = 2_000
MAX_LIQUIDATOR_SHARE_BPS = 8_000
MAX_LP_SHARE_BPS = 4_000


class Margin(Protocol):
    """What the Clearinghouse asks of Margin."""

    def check_initial(self, account: str, cash: int, mask: int, now: int) -> bool:
        """Whether equity is at or above the initial requirement."""


class Oracle(Protocol):
    """What the Clearinghouse asks of PriceOracle."""

    def sync(self, market: int, now: int) -> Mark:
        """Record a market's newest round."""


@dataclass(slots=True)
class Account:
    """One account's word: cash [quote, WAD] and the mask of its markets."""

    cash: int = 0
    mask: int = 0


@dataclass(slots=True)
class Clearinghouse:
    """The ledger. ``scale`` is [WAD per token unit]; every other amount is [quote, WAD] but ``total_units``.

    ``in_progress``, which whoever values anything asks, is ``running or frozen``.
    """

    scale: int
    margin: Margin | None = None
    oracle: Oracle | None = None
    accounts: dict[str, Account] = field(default_factory=dict)
    lp: int = 0
    reserve: int = 0
    fees: int = 0
    insurance: int = 0
    protocol: int = 0
    claims: int = 0
    total_units: int = 0
    payables: int = 0
    insurance_share_bps: int = 5_000
    liquidator_share_bps: int = 5_000
    lp_share_bps: int = 1_000
    running: bool = False
    frozen: bool = False
    finalised: bool = False

    # ── permissionless ──

    def deposit(self, units: int, account: str) -> None:
        """Add margin to an account."""
        self._check_open()
        require(units > 0, "clearing: zero amount")
        self.total_units += units
        state = self._load_account(account)
        state.cash += units * self.scale
        self._save_account(account, state)

    def withdraw(self, units: int, account: str, now: int) -> None:
        """Take cash out, keeping initial margin; after global settlement it may take more than it pays."""
        self._check_idle()
        require(units > 0, "clearing: zero amount")
        state = self._load_account(account)
        taken = units * self.scale
        if self.frozen:
            require(state.mask == 0, "clearing: positions left")
            taken = self._work_off(taken)
        require(state.cash >= taken, "clearing: insufficient cash")
        self._check_free_units(units)
        state.cash -= taken
        if state.mask != 0:
            assert self.oracle is not None
            markets = state.mask | state.mask >> OPTION_BIT
            for market in range(MAX_MARKETS):
                if markets >> market & 1:
                    require(self.oracle.sync(market, now).fresh, "oracle: stale price")
            self._check_margin(account, state, now)
        self._save_account(account, state)
        self.lp += taken - units * self.scale
        self._remove_free_units(units)

    def collect_fees(self) -> None:
        """Split accrued fees between insurance (rounded up) and the protocol."""
        self._check_open()
        to_protocol = self.fees * (BPS - self.insurance_share_bps) // BPS
        self._save_backing(self.insurance + self.fees - to_protocol, self.protocol + to_protocol)
        self.fees = 0

    def fund_insurance(self, units: int) -> None:
        """Give tokens to insurance; also what ``absorb_donation`` does with a surplus."""
        self._check_open()
        require(units > 0, "clearing: zero amount")
        self.total_units += units
        self._save_backing(self.insurance + units * self.scale, self.protocol)

    # ── one operation over several contracts ──

    def begin(self) -> None:
        """Start an operation."""
        self._check_idle()
        self.running = True

    def end(self) -> None:
        """End an operation that settles no account."""
        self._check_begun()
        self.running = False

    def settle(self, account: str | None, settlement: Settlement, *, by_engine: bool = False) -> tuple[int, int]:
        """Move value between account, LP cash, reserve, fees and payables; the account's cash and mask after.

        An engine while nothing is under way, others to end what they began.
        """
        if by_engine:
            self._check_idle()
        else:
            self._check_begun()
        self.running = False
        state = self._settle(account, settlement)
        self._check_not_frozen()
        return state.cash, state.mask

    def pay_penalty(self, account: str, penalty: int, liquidator: str, liquidator_share_bps: int) -> int:
        """A penalty, at most the cash there is: liquidator's and LPs' parts rounded down, the rest is insurance."""
        self._check_open()
        require(liquidator_share_bps <= BPS, "clearing: liquidator share")
        state = self._load_account(account)
        paid = min(penalty, max(state.cash, 0))
        if paid == 0:
            return 0
        state.cash -= paid
        self._save_account(account, state)
        reward = paid * liquidator_share_bps // BPS
        gainer = self._load_account(liquidator)
        gainer.cash += reward
        self._save_account(liquidator, gainer)
        to_lp = min(paid * self.lp_share_bps // BPS, paid - reward)
        self._settle_vault(0, to_lp, 0)
        self._save_backing(self.insurance + paid - reward - to_lp, self.protocol)
        return paid

    def pay_reward(self, receiver: str, amount: int) -> int:
        """A reward out of insurance, at most what that has and at most MAX_REWARD."""
        self._check_open()
        paid = min(amount, MAX_REWARD, self.insurance)
        if paid > 0:
            self._save_backing(self.insurance - paid, self.protocol)
            state = self._load_account(receiver)
            state.cash += paid
            self._save_account(receiver, state)
        return paid

    def release(self, amount: int) -> None:
        """Excess reserve becomes LP cash."""
        if amount == 0:
            return
        self._check_not_frozen()
        self._settle_vault(-amount, amount, 0)

    def subsidise(self, amount: int) -> None:
        """LP cash becomes reserve."""
        self._check_not_frozen()
        require(self.lp >= amount, "clearing: LP cash too low")
        self._settle_vault(amount, -amount, 0)

    def fund(self, units: int) -> None:
        """LP cash goes to a venue."""
        self._check_begun()
        self._check_not_frozen()
        self._spend_lp(units * self.scale)
        self._remove_free_units(units)

    def collect(self, units: int) -> None:
        """Tokens from a venue become LP cash."""
        self._check_begun()
        self.total_units += units
        self._settle_vault(0, units * self.scale, 0)

    def receive_deposit(self, units: int) -> None:
        """Tokens from the Vault become LP cash."""
        self._check_begun()
        self._check_not_frozen()
        self.collect(units)

    def earmark_claims(self, amount: int) -> int:
        """LP cash is set aside for redeemed shares, in whole token units."""
        self._check_begun()
        self._check_not_frozen()
        earmarked = amount - amount % self.scale
        self._spend_lp(earmarked)
        self.claims += earmarked
        return earmarked

    def pay_claim(self, units: int) -> None:
        """A redeemed LP is paid."""
        self._check_begun()
        require(self.claims >= units * self.scale, "clearing: claims too low")
        self._remove_units(units)
        self.claims -= units * self.scale

    # ── global settlement ──

    def freeze(self) -> None:
        """Fees, reserve, insurance and the protocol's part become LP cash; nothing trades any more."""
        self._check_open()
        self._settle_vault(-self.reserve, self.reserve + self.fees + self.insurance + self.protocol, -self.fees)
        self.insurance = self.protocol = 0
        self.frozen = True

    def crystallise(self, account: str, cash_change: int, payables_change: int) -> None:
        """Take an account's positions out of the ledger; LP cash takes the other side and bears cash below zero."""
        self._check_settlement(final=False)
        self._settle(account, Settlement(cash=cash_change, closed=2**256 - 1, payables=payables_change))

    def finalise(self) -> None:
        """Open withdrawals; the dust of payables becomes LP cash."""
        self._check_settlement(final=False)
        self._settle_vault(0, self.payables, 0)
        self.payables, self.finalised = 0, True

    def pay_promise(self, account: str, amount: int) -> None:
        """Pay an account's profit out of LP cash."""
        self._check_settlement(final=True)
        self._spend_lp(amount)
        state = self._load_account(account)
        state.cash += amount
        self._save_account(account, state)

    def pay_lp(self, units: int) -> None:
        """LP cash leaves."""
        self._check_settlement(final=True)
        require(units == 0 or units * self.scale <= self.lp, "clearing: LP cash too low")
        self._remove_free_units(units)
        self.lp -= units * self.scale

    # ── governance ──

    def withdraw_protocol(self, units: int) -> None:
        """The protocol's part leaves."""
        self._check_open()
        require(self.protocol >= units * self.scale, "clearing: protocol too low")
        self._remove_free_units(units)
        self.protocol -= units * self.scale

    def set_shares(self, insurance_share_bps: int, liquidator_share_bps: int, lp_share_bps: int) -> None:
        """How fees and penalties are split."""
        require(MIN_INSURANCE_SHARE_BPS <= insurance_share_bps <= BPS, "clearing: insurance share")
        require(
            MIN_LIQUIDATOR_SHARE_BPS <= liquidator_share_bps <= MAX_LIQUIDATOR_SHARE_BPS, "clearing: liquidator share"
        )
        fits = lp_share_bps <= MAX_LP_SHARE_BPS and liquidator_share_bps + lp_share_bps <= BPS
        require(fits, "clearing: LP share")
        self.insurance_share_bps = insurance_share_bps
        self.liquidator_share_bps = liquidator_share_bps
        self.lp_share_bps = lp_share_bps

    # ── views ──

    def account(self, owner: str) -> tuple[int, int]:
        """Cash and mask."""
        state = self._load_account(owner)
        return state.cash, state.mask

    def vault_ledger(self) -> tuple[int, int]:
        """LP cash and reserve."""
        return self.lp, self.reserve

    def free_cash(self) -> int:
        """Tokens held beyond what redeemed LPs are owed [quote, WAD]."""
        return self.total_units * self.scale - self.claims

    def in_progress(self) -> bool:
        """Whether nothing may be valued now."""
        return self.running or self.frozen

    def cash_ratio(self) -> int:
        """What a withdrawal pays of the cash it takes, rounded down [WAD]."""
        if self.lp >= 0 or not self.finalised:
            return WAD
        return WAD * self.free_cash() // (self.free_cash() - self.lp)

    def buckets(self) -> Buckets:
        """Every bucket but the accounts' cash."""
        return Buckets(
            self.lp, self.reserve, self.fees, self.insurance, self.protocol, self.claims, self.total_units,
            self.payables,
        )  # fmt: skip

    def imbalance(self) -> int:
        """Invariant I1: all buckets minus total_units · scale; 0 always. [WAD]"""
        cash = sum(account.cash for account in self.accounts.values())
        buckets = self.lp + self.reserve + self.fees + self.insurance + self.protocol + self.claims + self.payables
        return cash + buckets - self.total_units * self.scale

    # ── internal ──

    def _check_idle(self) -> None:
        require(not self.running, "clearing: in progress")

    def _check_not_frozen(self) -> None:
        require(not self.frozen, "clearing: frozen")

    def _check_open(self) -> None:
        self._check_idle()
        self._check_not_frozen()

    def _check_settlement(self, *, final: bool) -> None:
        self._check_idle()
        require(self.frozen, "clearing: not frozen")
        require(self.finalised == final, "clearing: not final" if final else "clearing: final")

    def _check_begun(self) -> None:
        require(self.running, "clearing: not begun")

    def _check_margin(self, account: str, state: Account, now: int) -> None:
        if state.mask != 0:
            assert self.margin is not None
            require(self.margin.check_initial(account, state.cash, state.mask, now), "margin: below initial")

    def _load_account(self, owner: str) -> Account:
        stored = self.accounts.get(owner)
        return Account(stored.cash, stored.mask) if stored else Account()

    def _save_account(self, owner: str, account: Account) -> None:
        require(-MAX_I128 <= account.cash <= MAX_I128, "clearing: cash range")
        self.accounts[owner] = Account(account.cash, account.mask)

    def _save_backing(self, insurance: int, protocol: int) -> None:
        require(insurance <= U128 and protocol <= U128, "clearing: insurance range")
        self.insurance, self.protocol = insurance, protocol

    def _remove_units(self, units: int) -> None:
        require(units <= self.total_units, "clearing: tokens at venues")
        self.total_units -= units

    def _remove_free_units(self, units: int) -> None:
        self._check_free_units(units)
        self.total_units -= units

    def _check_free_units(self, units: int) -> None:
        """What redeemed LPs are owed stays."""
        require(units * self.scale + self.claims <= self.total_units * self.scale, "clearing: tokens at venues")

    def _settle_vault(self, reserve: int, lp: int, fees: int) -> None:
        require(self.reserve + reserve >= 0, "clearing: reserve exhausted")
        require(-MAX_I96 <= self.lp + lp <= MAX_I96, "clearing: LP cash range")
        require(self.reserve + reserve <= U96, "clearing: reserve range")
        require((self.fees + fees) // MICRO <= U63, "clearing: fees range")
        self.lp += lp
        self.reserve += reserve
        self.fees += fees

    def _work_off(self, amount: int) -> int:
        """The cash that a withdrawal of ``amount`` takes after global settlement, rounded up."""
        require(self.finalised, "clearing: not final")
        if self.lp >= 0:
            return amount
        free = self.free_cash()
        require(amount <= free, "clearing: tokens at venues")
        return ceil_div(amount * (free - self.lp), free)

    def _spend_lp(self, amount: int) -> None:
        self._settle_vault(0, -amount, 0)
        require(self.lp >= 0 or amount == 0, "clearing: LP cash too low")

    def _settle(self, account: str | None, settlement: Settlement) -> Account:
        state = Account()
        fees = settlement.fees - settlement.fees % MICRO
        lp = -settlement.cash - settlement.reserve - fees - settlement.payables
        if account is None:
            require(settlement.cash == 0, "")
        else:
            state = self._load_account(account)
            state.cash += settlement.cash
            state.mask = (state.mask | settlement.opened) & ~settlement.closed
            if state.cash < 0 and state.mask == 0:
                lp -= self._cover_bad_debt(-state.cash)
                state.cash = 0
            self._save_account(account, state)
        self._settle_vault(settlement.reserve, lp, fees)
        self.payables += settlement.payables
        return state

    def _cover_bad_debt(self, debt: int) -> int:
        by_insurance = min(debt, self.insurance)
        self.insurance -= by_insurance
        return debt - by_insurance
