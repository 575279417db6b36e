"""A Vault beside a real Clearinghouse, everything else told what to answer, and the integer twins of all of it in step.

``World.act`` does the same thing to the contracts and to the twins and demands the same outcome, down to the reason
for a revert; ``World.compare`` demands the same state.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from ballast.chain import Receipt, RevmChain
from ballast.chain import Reverted as ChainReverted
from ballast.model.exact import clearing, fixed, vault
from ballast.model.exact.oracle import Mark
from ballast.model.exact.structs import Settlement
from ballast.model.roles import Role

WAD = fixed.WAD
DAY = 86_400
ROLES = ("admin", "guardian", "trader", "lp", "whale", "operator", "attacker", "receiver", "keeper", "spender")
MAX_SUPPLY = 2**128 - 1  # [shares, WAD]
CAPITAL_FLOOR = 1_000 * WAD
VOL_SPREAD = WAD // 1_000  # [quote per s, WAD]
ZERO = "0x" + "00" * 20


@dataclass(slots=True)
class InventoryValuation:
    """IInventory.Valuation."""

    spread: int
    potential: int
    release: int
    lp_cash: int
    reserve: int
    stressed_loss: int


@dataclass(slots=True)
class Surroundings:
    """Twin of ``contracts/testing/VaultSurroundings.vy``."""

    clearinghouse: clearing.Clearinghouse
    market_count: int = 0
    book: int = 0
    venues: int = 0
    spread: int = 0
    curve: int = 0
    stressed_loss: int = 0
    due: int = 0
    marks: dict[int, Mark] = field(default_factory=dict)

    def set_mark(self, market: int, updated_at: int, fresh: bool) -> None:
        self.marks[market] = Mark(WAD, 0, 0, 1, updated_at, 0, fresh)
        self.market_count = max(self.market_count, market + 1)

    def set_values(self, book: int, venues: int, spread: int, curve: int, stressed_loss: int, due: int) -> None:
        self.book, self.venues, self.spread = book, venues, spread
        self.curve, self.stressed_loss, self.due = curve, stressed_loss, due

    def settle(self, lp: int, reserve: int, account: str) -> None:
        self.clearinghouse.begin()
        self.clearinghouse.settle(account, Settlement(cash=-lp - reserve, reserve=reserve))

    def sync_all(self, now: int) -> None:
        due, self.due = self.due, 0
        if due > 0:
            self.clearinghouse.release(due)

    def valuation(self, beside: int, marks: Sequence[Mark], vol_age: int, now: int) -> InventoryValuation:
        assert len(marks) == self.market_count
        lp, reserve = self.clearinghouse.vault_ledger()
        lp += self.due
        potential = self.curve * WAD // max(lp + beside, CAPITAL_FLOOR)
        spread = self.spread + VOL_SPREAD * vol_age
        return InventoryValuation(spread, potential, self.due, lp, reserve - self.due, self.stressed_loss)

    def peek(self, market: int, now: int) -> Mark:
        return self.marks[market]

    def book_value(self, prices: Sequence[int], now: int) -> int:
        return self.book

    def equity(self, prices: Sequence[int]) -> int:
        return self.venues


@dataclass(slots=True)
class OptionBook:
    """Twin of ``contracts/testing/OptionBookDouble.vy``."""

    value: int = 0
    vol_age: int = 0
    usable: bool = True

    def book_value(self, prices: Sequence[int], now: int) -> tuple[int, int, bool]:
        return self.value, self.vol_age, self.usable


@dataclass
class Twins:
    """What one transaction changes or leaves."""

    clearinghouse: clearing.Clearinghouse
    around: Surroundings
    options: OptionBook
    vault: vault.Vault


class World:
    """Contracts and twins; actors are named by their roles and rich in the quote token."""

    def __init__(self, decimals: int = 6, token: str = "TestToken") -> None:
        self.chain = RevmChain()
        self.actors = dict(zip(ROLES, self.chain.accounts, strict=True))
        self.scale = 10 ** (18 - decimals)
        admin = self.actors["admin"]
        self.token = self.chain.deploy(
            token, *(("US Dollar", "USD", decimals) if token == "TestToken" else (decimals,))
        )
        self.clearinghouse = self.chain.deploy("Clearinghouse", admin, ZERO, self.token, ZERO)
        self.around = self.chain.deploy("VaultSurroundings", self.clearinghouse)
        self.options = self.chain.deploy("OptionBookDouble")
        self.vault = self.chain.deploy(
            "Vault", admin, admin, self.clearinghouse, self.around, self.around, self.around, self.options, self.around,
            "Ballast USD", "bUSD",
        )  # fmt: skip
        self.clearinghouse.grant_role.send(self.vault, Role.VAULT)
        self.clearinghouse.grant_role.send(self.around, Role.INVENTORY | Role.HEDGER)
        self.vault.grant_role.send(self.actors["guardian"], Role.GUARDIAN)
        clearinghouse = clearing.Clearinghouse(self.scale)
        around, options = Surroundings(clearinghouse), OptionBook()
        twin = vault.Vault.build(clearinghouse, around, around, around, options, around, self.now)
        self.twins = Twins(clearinghouse, around, options, twin)
        for actor in self.actors.values():
            self.token.mint.send(actor, 10**13 * 10**decimals)
            self.token.approve.send(self.vault, 2**256 - 1, sender=actor)
        self.token.approve.send(self.clearinghouse, 2**256 - 1, sender=self.actors["trader"])
        self.clearinghouse.deposit.send(10**11 * 10**decimals, self.actors["trader"], sender=self.actors["trader"])
        clearinghouse.deposit(10**11 * 10**decimals, "trader")
        self.set_marks()

    @property
    def now(self) -> int:
        return self.chain.now

    @property
    def unit(self) -> int:
        """Token units of one quote."""
        return WAD // self.scale

    def act(self, name: str, contract: Callable[[], Any], twin: Callable[[Twins], Any]) -> Any:
        """Do it to both; the result, or the one reason for which both revert."""
        trial = copy.deepcopy(self.twins)
        expected: Any = None
        reasons: list[str | None] = [None, None]
        try:
            expected = twin(trial)
        except fixed.Reverted as error:
            reasons[0] = str(error)
        failure: ChainReverted | None = None
        outcome: Any = None
        try:
            outcome = contract()
        except ChainReverted as error:
            failure = error
            reasons[1] = error.reason
        assert reasons[0] == reasons[1], f"{name}: twin reverts with {reasons[0]!r}, contract with {reasons[1]!r}"
        if failure is not None:
            raise failure
        self.twins = trial
        if isinstance(outcome, Receipt):
            outcome = outcome.value
        if expected is not None:
            assert outcome == expected, f"{name}: contract {outcome}, twin {expected}"
        return outcome

    # ── actions ──

    def deposit(self, actor: str, assets: int) -> int:
        """Deposit and check the preview."""
        preview = self.vault.previewDeposit(assets)
        assert preview == self.twins.vault.preview_deposit(assets, self.now)
        minted: int = self.act(
            "deposit",
            lambda: self.vault.deposit.send(assets, self.actors[actor], sender=self.actors[actor]),
            lambda t: t.vault.deposit(assets, actor, self.now),
        )
        assert minted == preview
        return minted

    def mint(self, actor: str, shares: int) -> int:
        """Mint and check the preview."""
        preview = self.vault.previewMint(shares)
        assert preview == self.twins.vault.preview_mint(shares, self.now)
        paid: int = self.act(
            "mint",
            lambda: self.vault.mint.send(shares, self.actors[actor], sender=self.actors[actor]),
            lambda t: t.vault.mint(shares, actor, self.now),
        )
        assert paid == preview
        return paid

    def request(self, actor: str, shares: int, controller: str | None = None) -> int:
        controller = controller or actor
        result: int = self.act(
            "requestRedeem",
            lambda: self.vault.requestRedeem.send(
                shares, self.actors[controller], self.actors[actor], sender=self.actors[actor]
            ),
            lambda t: t.vault.request_redeem(shares, controller, actor, self.now),
        )
        return result

    def process(self) -> tuple[int, int]:
        filled, paid = self.act(
            "processEpoch",
            lambda: self.vault.processEpoch.send(sender=self.actors["keeper"]),
            lambda t: t.vault.process_epoch(self.now),
        )
        return filled, paid

    def end_epoch(self) -> tuple[int, int]:
        """Wait for the end, see newer prices, process."""
        ends_at = self.vault.epoch().ends_at
        if self.now < ends_at:
            self.chain.warp_to(ends_at)
        self.set_marks()
        return self.process()

    def redeem(self, actor: str, shares: int) -> int:
        account = self.actors[actor]
        result: int = self.act(
            "redeem",
            lambda: self.vault.redeem.send(shares, account, account, sender=account),
            lambda t: t.vault.redeem(shares, actor),
        )
        return result

    def withdraw(self, actor: str, assets: int) -> int:
        account = self.actors[actor]
        result: int = self.act(
            "withdraw",
            lambda: self.vault.withdraw.send(assets, account, account, sender=account),
            lambda t: t.vault.withdraw(assets, actor),
        )
        return result

    def transfer(self, actor: str, to: str, shares: int) -> None:
        self.act(
            "transfer",
            lambda: self.vault.transfer.send(self.actors[to], shares, sender=self.actors[actor]),
            lambda t: t.vault.transfer(actor, to, shares),
        )

    def set_marks(self, *, fresh: bool = True, markets: int = 2) -> None:
        """Every feed has a round of now."""
        for market in range(markets):
            self.set_mark(market, self.now, fresh)

    def set_mark(self, market: int, updated_at: int, fresh: bool = True) -> None:
        self.around.set_mark.send(market, updated_at, fresh)
        self.twins.around.set_mark(market, updated_at, fresh)

    def set_values(
        self, *, book: int = 0, venues: int = 0, spread: int = 0, curve: int = 0, stressed_loss: int = 0, due: int = 0
    ) -> None:
        """What the surroundings answer [quote, WAD]; whatever is not named is 0."""
        values = (book, venues, spread, curve, stressed_loss, due)
        self.around.set_values.send(*values)
        self.twins.around.set_values(*values)

    def set_options(self, value: int = 0, vol_age: int = 0, *, usable: bool = True) -> None:
        """What the option book answers [quote, WAD] [s]."""
        self.options.set_values.send(value, vol_age, usable)
        self.twins.options = self.twins.vault.option_book = OptionBook(value, vol_age, usable)

    def settle(self, lp: int, reserve: int = 0) -> None:
        """The trader loses ``lp`` to LP cash and ``reserve`` to the reserve (negative: gains) [quote, WAD]."""
        self.act(
            "settle",
            lambda: self.around.settle.send(lp, reserve, self.actors["trader"]),
            lambda t: t.around.settle(lp, reserve, "trader"),
        )

    def set_params(self, **changes: int) -> None:
        params = self.vault.params()._asdict() | changes
        self.vault.set_params.send(tuple(params.values()))
        self.twins.vault.params = vault.Params(**params)

    # ── comparison ──

    def compare(self) -> None:
        """Contracts and twins are in the same state, and conserve shares and money."""
        twin, now = self.twins.vault, self.now
        assert self.vault.valuation() == astuple(twin.valuation(now))
        assert self.vault.epoch() == astuple(twin.epoch())
        assert self.vault.totalSupply() == twin.supply
        assert self.clearinghouse.buckets() == astuple(self.twins.clearinghouse.buckets())
        assert self.vault.totalAssets() == twin.total_assets(now)
        assert self.vault.maxDeposit(self.actors["lp"]) == twin.max_deposit(now)
        assert self.vault.maxMint(self.actors["lp"]) == twin.max_mint(now)
        assert self.vault.preview_epoch() == twin.preview_epoch(now)
        for name, account in self.actors.items():
            assert self.vault.position(account) == astuple(twin.position(name)), name
            assert self.vault.balanceOf(account) == twin.balances.get(name, 0), name
            assert self.vault.maxRedeem(account) == twin.max_redeem(name)
            assert self.vault.maxWithdraw(account) == twin.max_withdraw(name)
        self.conserved()

    def conserved(self) -> None:
        """I1 and the conservation half of I11, from the twins."""
        twins = self.twins
        epoch = twins.vault.epoch()
        positions = [twins.vault.position(name) for name in twins.vault.epochs.records]
        assert twins.clearinghouse.imbalance() == 0
        assert twins.vault.supply == sum(twins.vault.balances.values())
        assert twins.vault.balances.get(vault.ESCROW, 0) == epoch.pending + epoch.incoming
        assert epoch.pending >= sum(p.pending for p in positions)
        assert epoch.incoming == sum(p.late for p in positions)
        assert twins.clearinghouse.claims >= sum(p.claimable_assets for p in positions)

    def bid_per_share(self) -> tuple[int, int]:
        """Numerator and denominator of what a share of those who stay would fetch, not floored at 0.

        The floor would hide how deep under water a vault is, and let an entry that helps it look like a loss.
        """
        net = self.twins.vault.valuation(self.now).nav
        around, options = self.twins.around, self.twins.options
        beside = around.book + around.venues + options.value
        v = around.valuation(beside, list(around.marks.values()), options.vol_age, self.now)
        bid = net - v.spread - max(v.potential - v.reserve, 0)
        return bid + WAD, self.twins.vault.supply + WAD


def multiply_shares(world: World) -> None:
    """Two deposits of 1e10 quote, each lost whole: the second buys 1e20 shares, and a share costs next to nothing."""
    for _ in range(2):
        world.deposit("lp", 10**10 * world.unit)
        world.settle(lp=-(10**10) * WAD)


def assert_not_lower(before: tuple[int, int], after: tuple[int, int]) -> None:
    """I7: bid per share did not fall, but for the rounding of U, by at most 2 wei of everybody's assets together."""
    assert (after[0] + 2) * before[1] >= before[0] * after[1]


def astuple(value: Any) -> tuple[int, ...]:
    return tuple(getattr(value, name) for name in value.__dataclass_fields__)


@pytest.fixture(params=(6, 8, 18))
def world(request: pytest.FixtureRequest) -> World:
    """An empty vault over a token of 6, 8 or 18 decimals."""
    return World(decimals=request.param)


@pytest.fixture
def usdc() -> World:
    """An empty vault over a token of 6 decimals."""
    return World(decimals=6)
