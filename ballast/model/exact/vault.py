"""Integer twin of ``contracts/vault/Vault.vy``, ``epochs.vy`` and ``shares.vy``.

Names, order and rounding are the contracts'. Not mirrored: roles, allowances and operators, permit, the token itself
(``deposit`` assumes that the transfer went through) and the packing of words; their ranges are.
``now`` is the block's time [s]. Like a transaction, a call that raises must be undone by its caller (see ``System``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from ballast.model.exact.fixed import WAD, div_up, mul_div_down, mul_div_up, require, s256, sub_floor, u256
from ballast.model.exact.oracle import Mark
from ballast.model.exact.structs import struct

PRODUCT_START = 10**54
PRODUCT_MIN = 10**18
MAX_WALK = 3
U32 = 2**32 - 1
U128 = 2**128 - 1

VIRTUAL_SHARES = WAD
VIRTUAL_ASSETS = WAD

MAX_CAP = 10**10 * WAD
MAX_SUPPLY = U128

ESCROW = "vault"  # the vault's own account, which holds the shares of pending requests
NOWHERE = "nowhere"  # the zero address


class InventoryValuation(Protocol):
    """IInventory.Valuation."""

    @property
    def spread(self) -> int: ...
    @property
    def potential(self) -> int: ...
    @property
    def lp_cash(self) -> int: ...
    @property
    def reserve(self) -> int: ...
    @property
    def stressed_loss(self) -> int: ...


class Clearinghouse(Protocol):
    """What the Vault asks of the Clearinghouse."""

    @property
    def scale(self) -> int: ...
    def in_progress(self) -> bool: ...
    def begin(self) -> None: ...
    def end(self) -> None: ...
    def receive_deposit(self, units: int) -> None: ...
    def free_cash(self) -> int: ...
    def earmark_claims(self, amount: int) -> int: ...
    def pay_claim(self, units: int) -> None: ...


class Inventory(Protocol):
    """What the Vault asks of Inventory."""

    @property
    def market_count(self) -> int: ...
    def sync_all(self, now: int) -> None: ...
    def valuation(self, beside: int, marks: Sequence[Mark], vol_age: int, now: int) -> InventoryValuation: ...


class Oracle(Protocol):
    """What the Vault asks of PriceOracle."""

    def peek(self, market: int, now: int) -> Mark: ...


class PerpEngine(Protocol):
    """What the Vault asks of PerpEngine."""

    def book_value(self, prices: Sequence[int], now: int) -> int: ...


class OptionBook(Protocol):
    """What the Vault asks of OptionBook."""

    def book_value(self, prices: Sequence[int], now: int) -> tuple[int, int, bool]: ...


class HedgeManager(Protocol):
    """What the Vault asks of HedgeManager."""

    def equity(self, prices: Sequence[int]) -> int: ...


def mul_div(x: int, y: int, z: int) -> int:
    """x * y / z rounded down, with a product of 512 bits (snekmate's ``_mul_div``)."""
    require(z != 0, "math: mul_div division by zero")
    require(x * y // z < 2**256, "math: mul_div overflow")
    return x * y // z


# ── shares.vy ──


def shares_down(assets: int, supply: int, nav: int) -> int:
    """Shares that ``assets`` [quote, WAD] buy at ``nav``, rounded down."""
    return mul_div_down(assets, u256(supply + VIRTUAL_SHARES), u256(nav + VIRTUAL_ASSETS))


def assets_down(shares: int, supply: int, nav: int) -> int:
    """Assets [quote, WAD] that ``shares`` are worth at ``nav``, rounded down."""
    return mul_div_down(shares, u256(nav + VIRTUAL_ASSETS), u256(supply + VIRTUAL_SHARES))


def assets_up(shares: int, supply: int, nav: int) -> int:
    """Assets [quote, WAD] that ``shares`` cost at ``nav``, rounded up."""
    return mul_div_up(shares, u256(nav + VIRTUAL_ASSETS), u256(supply + VIRTUAL_SHARES))


def ask_nav(nav: int, spread: int, reserve: int, potential: int) -> int:
    """NAV at which deposits enter."""
    return u256(nav + spread + sub_floor(reserve, potential))


def bid_nav(nav: int, spread: int, uncovered: int) -> int:
    """NAV at which redemptions leave, before the rise of U that they cause."""
    return sub_floor(nav, u256(spread + uncovered))


# ── epochs.vy ──


@dataclass(slots=True)
class Pool:
    """Shares that wait, and the epoch they wait for."""

    pending: int
    epoch: int
    ends_at: int
    step: int


@dataclass(slots=True)
class Index:
    """Running product Z and assets A of a generation."""

    product: int
    generation: int
    assets: int


@dataclass(frozen=True, slots=True)
class Ticket:
    """Shares, the step they came in at, and the epoch of the newest request among them."""

    shares: int = 0
    since: int = 0
    request: int = 0


NO_TICKET = Ticket()


@dataclass(slots=True)
class Record:
    """What a controller's requests have become."""

    settled: Ticket = NO_TICKET
    late: Ticket = NO_TICKET
    claim_shares: int = 0
    claim_assets: int = 0

    def copy(self) -> Record:
        """An independent copy."""
        return Record(self.settled, self.late, self.claim_shares, self.claim_assets)


NO_RECORD = Record()


@dataclass(slots=True)
class Epochs:
    """Twin of ``epochs.vy``."""

    pool: Pool
    incoming: int = 0
    indices: dict[int, Index] = field(default_factory=lambda: {1: Index(PRODUCT_START, 0, 0)})
    closings: dict[int, tuple[int, int]] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)

    @classmethod
    def starting(cls, ends_at: int) -> Epochs:
        """The constructor."""
        return cls(Pool(pending=0, epoch=1, ends_at=ends_at, step=1))

    def request(self, controller: str, shares: int, now: int) -> int:
        """Add shares to the pool, or to the next one if the epoch is over; the epoch they belong to."""
        pool = self.pool
        record = self.record(controller)
        request = pool.epoch
        if now < pool.ends_at:
            require(pool.pending + shares <= U128, "")
            pool.pending += shares
            record.settled = Ticket(record.settled.shares + shares, record.settled.since, request)
        else:
            self.incoming += shares
            request += 1
            record.late = Ticket(record.late.shares + shares, pool.step + 1, request)
        self.save_record(controller, record)
        return request

    def advance(self, filled: int, paid: int, length: int, now: int) -> None:
        """Fill the pool and open the next epoch."""
        pool = self.pool
        if filled > 0 or self.incoming > 0:
            last = self.indices[pool.step]
            index = Index(last.product, last.generation, last.assets)
            if filled > 0:
                index.assets += mul_div(index.product, paid, pool.pending)
                index.product = mul_div(index.product, pool.pending - filled, pool.pending)
                if index.product < PRODUCT_MIN:
                    self.closings[index.generation] = index.product, index.assets
                    index = Index(PRODUCT_START, index.generation + 1, 0)
            pool.step += 1
            self.indices[pool.step] = index
        pool.pending = pool.pending - filled + self.incoming
        self.incoming = 0
        pool.epoch += 1
        pool.ends_at = max(pool.ends_at + length, now)
        require(pool.pending <= U128 and (pool.epoch | pool.ends_at | pool.step) <= U32, "")

    def record(self, controller: str) -> Record:
        """What a controller's requests have become by now; a copy."""
        stored = self.records.get(controller)
        record = stored.copy() if stored else Record()
        self._settle(record, record.settled)
        if record.late.request != 0 and record.late.request <= self.pool.epoch:
            rest = record.settled.shares
            self._settle(record, record.late)
            settled = record.settled
            record.settled = Ticket(settled.shares + rest, settled.since, settled.request)
            record.late = NO_TICKET
        return record

    def save_record(self, controller: str, record: Record) -> None:
        """Keep a record; the id of a ticket only while anything can be asked about it."""
        require(record.claim_shares <= U128 and record.claim_assets <= U128, "")
        require(record.late.shares <= U128 and record.settled.shares <= U128, "")
        saved = record.copy()
        if saved.settled.shares == 0 and saved.claim_shares == 0 and saved.claim_assets == 0:
            saved.settled = NO_TICKET
        self.records[controller] = saved

    def _settle(self, record: Record, ticket: Ticket) -> None:
        if ticket.since == self.pool.step:
            record.settled = ticket
            return
        rest, assets = self._walk(ticket.shares, ticket.since)
        record.claim_shares += ticket.shares - rest
        record.claim_assets += assets
        record.settled = Ticket(rest, self.pool.step, ticket.request)

    def _walk(self, shares: int, since: int) -> tuple[int, int]:
        """Shares left and assets owed by now, of shares that came in at step ``since``."""
        if shares == 0 or since >= self.pool.step:
            return shares, 0
        start = self.indices[since]
        newest = self.indices[self.pool.step]
        rest, assets = shares, 0
        for _ in range(MAX_WALK):
            if start.generation == newest.generation:
                assets += mul_div(rest, newest.assets - start.assets, start.product)
                rest = mul_div(rest, newest.product, start.product)
                break
            product, closing_assets = self.closings[start.generation]
            assets += mul_div(rest, closing_assets - start.assets, start.product)
            rest = mul_div(rest, product, start.product)
            if rest == 0:
                break
            start = Index(PRODUCT_START, start.generation + 1, 0)
        return rest, assets


# ── Vault.vy ──


@dataclass(frozen=True, slots=True)
class Params:
    """IVault.Params."""

    deposit_cap: int = MAX_CAP
    u_redeem: int = 60 * 10**16
    epoch_length: int = 86_400


@struct
class Position:
    """IVault.Position."""

    pending: int
    late: int
    claimable_shares: int
    claimable_assets: int
    request_id: int
    late_id: int


@struct
class Epoch:
    """IVault.Epoch."""

    id: int
    ends_at: int
    pending: int
    incoming: int


@struct
class Valuation:
    """IVault.Valuation."""

    nav: int
    ask: int
    bid: int
    supply: int
    available: int


@struct
class Funds:
    """What a price is made from."""

    net: int
    nav: int
    v: InventoryValuation


@struct
class Survey:
    """The markets, each read once per call."""

    oldest: int
    beside: int
    vol_age: int
    marks: list[Mark]


@dataclass(slots=True)
class Vault:
    """Twin of ``Vault.vy``; ``build`` is the constructor."""

    clearinghouse: Clearinghouse
    inventory: Inventory
    oracle: Oracle
    perp_engine: PerpEngine
    option_book: OptionBook
    hedge_manager: HedgeManager
    epochs: Epochs
    params: Params = Params()
    paused: bool = False
    supply: int = 0
    balances: dict[str, int] = field(default_factory=dict)

    @classmethod
    def build(
        cls,
        clearinghouse: Clearinghouse,
        inventory: Inventory,
        oracle: Oracle,
        perp_engine: PerpEngine,
        option_book: OptionBook,
        hedge_manager: HedgeManager,
        now: int,
    ) -> Vault:
        """A new vault, whose first epoch ends in a day."""
        epochs = Epochs.starting(now + 86_400)
        return cls(clearinghouse, inventory, oracle, perp_engine, option_book, hedge_manager, epochs)

    # ── in ──

    def deposit(self, assets: int, receiver: str, now: int) -> int:
        """Bring assets [token units] in at the ask; the shares minted."""
        return self.deposit_at_least(assets, receiver, 0, now)

    def deposit_at_least(self, assets: int, receiver: str, min_shares: int, now: int) -> int:
        """``deposit`` that reverts below ``min_shares``."""
        self._check_entry(assets, receiver)
        self.clearinghouse.begin()
        minted, net, oldest = self._deposit_price(assets, now)
        require(minted >= max(min_shares, 1), "vault: too few shares")
        self._enter(assets, minted, receiver, net, oldest)
        return minted

    def mint(self, shares: int, receiver: str, now: int) -> int:
        """Mint exactly ``shares``; the token units they cost."""
        self._check_entry(shares, receiver)
        self.clearinghouse.begin()
        assets, net, oldest = self._mint_price(shares, now)
        self._enter(assets, shares, receiver, net, oldest)
        return assets

    # ── out ──

    def check_request(self, shares: int, controller: str) -> None:
        """What a request is refused for before anybody's permission is asked."""
        self._check_amount(shares)
        self._check_receiver(controller)

    def request_redeem(self, shares: int, controller: str, owner: str, now: int) -> int:
        """Hand shares over for redemption; the epoch they belong to."""
        self.check_request(shares, controller)
        self._move(owner, ESCROW, shares)
        return self.epochs.request(controller, shares, now)

    def process_epoch(self, now: int) -> tuple[int, int]:
        """Price the queue, burn what can be paid, open the next epoch; shares filled and quote paid [WAD]."""
        pool = self.epochs.pool
        require(now >= pool.ends_at, "vault: epoch not over")
        filled = paid = 0
        if pool.pending > 0:
            self.clearinghouse.begin()
            self.inventory.sync_all(now)
            survey = self._survey(now)
            require(survey.oldest > 0, "vault: stale mark")
            require(survey.oldest >= pool.ends_at, "vault: price older than epoch")
            filled, paid = self._fill(pool.pending, survey, now)
            if filled > 0:
                self._burn(ESCROW, filled)
                self.clearinghouse.earmark_claims(paid)
            self.clearinghouse.end()
            self.inventory.sync_all(now)
        self.epochs.advance(filled, paid, self.params.epoch_length, now)
        return filled, paid

    def redeem(self, shares: int, controller: str) -> int:
        """Claim by shares; the token units paid."""
        return self._claim(shares, 0, controller)[1]

    def withdraw(self, assets: int, controller: str) -> int:
        """Claim by token units; the shares of the claim used up."""
        return self._claim(0, assets, controller)[0]

    # ── privileged ──

    def set_params(self, params: Params) -> None:
        """Cap, redemption limit and length of coming epochs."""
        good = (
            params.deposit_cap <= MAX_CAP
            and 10 * 10**16 <= params.u_redeem <= 90 * 10**16
            and 3_600 <= params.epoch_length <= 14 * 86_400
        )
        require(good, "vault: params out of bounds")
        self.params = params

    def lower_deposit_cap(self, deposit_cap: int) -> None:
        """The guardian's part of it."""
        require(deposit_cap <= self.params.deposit_cap, "vault: cap may only fall")
        self.set_params(replace(self.params, deposit_cap=deposit_cap))

    # ── the share ──

    def transfer(self, owner: str, to: str, amount: int) -> None:
        """Send shares, but not to the vault."""
        self._check_receiver(to)
        self._move(owner, to, amount)

    # ── views ──

    def total_assets(self, now: int) -> int:
        """NAV at mid [token units], rounded down."""
        return self._funds_view(now).nav // self.clearinghouse.scale

    def preview_deposit(self, assets: int, now: int) -> int:
        """What ``deposit`` would mint now."""
        self._check_idle()
        return self._deposit_price(assets, now)[0]

    def preview_mint(self, shares: int, now: int) -> int:
        """What ``mint`` would take now."""
        self._check_idle()
        return self._mint_price(shares, now)[0]

    def max_deposit(self, now: int) -> int:
        """Token units that may still come in."""
        return self._room(now)[0] // self.clearinghouse.scale

    def max_mint(self, now: int) -> int:
        """Shares a mint of which stays within ``max_deposit``."""
        room, funds = self._room(now)
        if room == 0 or funds is None:
            return 0
        room -= room % self.clearinghouse.scale
        return shares_down(room, self.supply, self._ask(funds, 0))

    def max_redeem(self, controller: str) -> int:
        """Shares claimable."""
        return self.epochs.record(controller).claim_shares

    def max_withdraw(self, controller: str) -> int:
        """Token units claimable."""
        return self.epochs.record(controller).claim_assets // self.clearinghouse.scale

    def preview_epoch(self, now: int) -> tuple[int, int]:
        """What processing would fill and pay if the epoch ended now."""
        if self.epochs.pool.pending == 0:
            return 0, 0
        self._check_idle()
        return self._fill(self.epochs.pool.pending, self._survey(now), now)

    def valuation(self, now: int) -> Valuation:
        """The prices of infinitesimal entries and exits."""
        funds = self._funds_view(now)
        return Valuation(
            nav=funds.net,
            ask=self._ask(funds, funds.v.potential),
            bid=bid_nav(funds.nav, funds.v.spread, sub_floor(funds.v.potential, funds.v.reserve)),
            supply=self.supply,
            available=self._available(funds),
        )

    def epoch(self) -> Epoch:
        """The epoch that will be processed next."""
        pool = self.epochs.pool
        return Epoch(pool.epoch, pool.ends_at, pool.pending, self.epochs.incoming)

    def position(self, controller: str) -> Position:
        """Everything that a controller has requested and not claimed."""
        r = self.epochs.record(controller)
        return Position(
            r.settled.shares, r.late.shares, r.claim_shares, r.claim_assets, r.settled.request, r.late.request
        )

    # ── internal: prices ──

    def _survey(self, now: int) -> Survey:
        marks = [self.oracle.peek(market, now) for market in range(self.inventory.market_count)]
        oldest = 2**256 - 1
        for mark in marks:
            oldest = min(oldest, mark.updated_at if mark.fresh else 0)
        prices = [mark.price for mark in marks]
        value, vol_age, usable = self.option_book.book_value(prices, now)
        beside = s256(value + s256(self.perp_engine.book_value(prices, now) + self.hedge_manager.equity(prices)))
        return Survey(oldest if usable else 0, beside, vol_age, marks)

    def _funds(self, survey: Survey, change: int, now: int) -> Funds:
        v = self.inventory.valuation(s256(survey.beside + change), survey.marks, survey.vol_age, now)
        net = s256(v.lp_cash + survey.beside)
        return Funds(net=net, nav=max(net, 0), v=v)

    def _funds_view(self, now: int) -> Funds:
        self._check_idle()
        return self._funds(self._survey(now), 0, now)

    def _check_idle(self) -> None:
        require(not self.clearinghouse.in_progress(), "clearing: in progress")

    def _ask(self, funds: Funds, potential: int) -> int:
        return ask_nav(funds.nav, funds.v.spread, funds.v.reserve, potential)

    def _deposit_price(self, assets: int, now: int) -> tuple[int, int, int]:
        amount = u256(assets * self.clearinghouse.scale)
        survey = self._survey(now)
        funds = self._funds(survey, s256(amount), now)
        return shares_down(amount, self.supply, self._ask(funds, funds.v.potential)), funds.net, survey.oldest

    def _mint_price(self, shares: int, now: int) -> tuple[int, int, int]:
        survey = self._survey(now)
        funds = self._funds(survey, 0, now)
        most = self._units_up(assets_up(shares, self.supply, self._ask(funds, 0)))
        funds = self._funds(survey, s256(most * self.clearinghouse.scale), now)
        assets = self._units_up(assets_up(shares, self.supply, self._ask(funds, funds.v.potential)))
        return assets, funds.net, survey.oldest

    def _fill(self, queue: int, survey: Survey, now: int) -> tuple[int, int]:
        funds = self._funds(survey, 0, now)
        uncovered = sub_floor(funds.v.potential, funds.v.reserve)
        bid = bid_nav(funds.nav, funds.v.spread, uncovered)
        if bid == 0:
            return 0, 0
        available = self._available(funds)
        filled = queue
        paid = self._payout(queue, bid, uncovered, survey, now)
        if paid > available:
            filled = mul_div_down(queue, available, paid)
            paid = min(available, self._payout(filled, bid, uncovered, survey, now))
        paid -= paid % self.clearinghouse.scale
        if paid == 0:
            return 0, 0
        return filled, paid

    def _payout(self, shares: int, bid: int, uncovered: int, survey: Survey, now: int) -> int:
        gross = assets_down(shares, self.supply, bid)
        after = self._funds(survey, -s256(gross), now).v
        return sub_floor(gross, sub_floor(sub_floor(after.potential, after.reserve), uncovered))

    def _available(self, funds: Funds) -> int:
        cash = min(max(funds.v.lp_cash, 0), self.clearinghouse.free_cash())
        return min(cash, sub_floor(funds.nav, div_up(funds.v.stressed_loss, self.params.u_redeem)))

    def _room(self, now: int) -> tuple[int, Funds | None]:
        if self.paused or self.clearinghouse.in_progress():
            return 0, None
        survey = self._survey(now)
        funds = self._funds(survey, 0, now)
        if survey.oldest == 0 or funds.net < 0:
            return 0, funds
        return sub_floor(self.params.deposit_cap, funds.nav), funds

    def _units_up(self, amount: int) -> int:
        return (amount + self.clearinghouse.scale - 1) // self.clearinghouse.scale

    # ── internal: the rest ──

    def _check_entry(self, amount: int, receiver: str) -> None:
        require(not self.paused, "vault: deposits paused")
        self._check_amount(amount)
        self._check_receiver(receiver)

    def _check_amount(self, amount: int) -> None:
        require(amount > 0, "vault: zero amount")

    def _check_receiver(self, receiver: str) -> None:
        require(receiver not in (ESCROW, NOWHERE), "vault: bad receiver")

    def _enter(self, units: int, shares: int, receiver: str, net: int, oldest: int) -> None:
        require(oldest > 0, "vault: stale mark")
        require(net >= 0, "vault: insolvent")
        require(net + units * self.clearinghouse.scale <= self.params.deposit_cap, "vault: deposit cap")
        self.supply += shares
        require(self.supply <= MAX_SUPPLY, "")
        self.balances[receiver] = self.balances.get(receiver, 0) + shares
        self.clearinghouse.receive_deposit(units)
        self.clearinghouse.end()

    def _claim(self, shares: int, assets: int, controller: str) -> tuple[int, int]:
        self._check_amount(shares | assets)
        record = self.epochs.record(controller)
        amount = u256(assets * self.clearinghouse.scale)
        require(shares <= record.claim_shares and amount <= record.claim_assets, "vault: more than claimable")
        taken, units = shares, assets
        if shares > 0:
            units = record.claim_assets * shares // record.claim_shares // self.clearinghouse.scale
            amount = units * self.clearinghouse.scale
        else:
            taken = mul_div_up(record.claim_shares, amount, record.claim_assets)
        record.claim_shares -= taken
        record.claim_assets -= amount
        if record.claim_shares == 0 and record.claim_assets < self.clearinghouse.scale:
            record.claim_assets = 0
        self.epochs.save_record(controller, record)
        if units > 0:
            self.clearinghouse.begin()
            self.clearinghouse.pay_claim(units)
            self.clearinghouse.end()
        return taken, units

    def _move(self, owner: str, to: str, amount: int) -> None:
        require(self.balances.get(owner, 0) >= amount, "erc20: transfer amount exceeds balance")
        self.balances[owner] = self.balances.get(owner, 0) - amount
        self.balances[to] = self.balances.get(to, 0) + amount

    def _burn(self, owner: str, amount: int) -> None:
        require(self.balances.get(owner, 0) >= amount, "erc20: burn amount exceeds balance")
        self.balances[owner] -= amount
        self.supply -= amount
