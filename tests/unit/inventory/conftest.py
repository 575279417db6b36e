"""An Inventory alone, with doubles for oracle and ledger, beside its exact twin."""

from __future__ import annotations

from dataclasses import astuple, dataclass, field
from typing import Any

import pytest

from ballast.chain import Contract, RevmChain
from ballast.model.exact.fixed import WAD
from ballast.model.exact.inventory import Inventory, Params
from ballast.model.exact.oracle import Mark
from ballast.model.exact.rebate_auction import Params as AuctionParams
from ballast.model.exact.rebate_auction import RebateAuction
from ballast.model.roles import Role
from ballast.testing.parameters import INVENTORY, INVENTORY_MARKET

AUCTION = AuctionParams(band=20_000, max_rate_bps=5_000, ramp=86_400, budget=1_000 * 10**6)


@dataclass(slots=True)
class TwinOracle:
    """The twin's half of OracleDouble."""

    marks: dict[int, Mark] = field(default_factory=dict)

    def sync(self, market: int, now: int) -> Mark:
        return self.marks[market]

    def peek(self, market: int, now: int) -> Mark:
        return self.marks[market]


@dataclass(slots=True)
class TwinLedger:
    """The twin's half of LedgerDouble."""

    lp: int = 0
    reserve: int = 0

    def vault_ledger(self) -> tuple[int, int]:
        return self.lp, self.reserve

    def release(self, amount: int) -> None:
        self.lp += amount
        self.reserve -= amount

    def in_progress(self) -> bool:
        return False

    def subsidise(self, amount: int) -> None:
        self.release(-amount)


@dataclass(slots=True)
class Bench:
    """Contract and twin, driven together."""

    chain: RevmChain
    contract: Contract
    oracle: Contract
    ledger: Contract
    twin: Inventory
    engine: str
    hedger: str
    auction: Contract
    twin_auction: RebateAuction

    def set_mark(self, market: int, price: int, sigma: int, *, new_round: bool = True, half_width: int = 0) -> Mark:
        old = self.twin.oracle.marks.get(market)  # type: ignore[attr-defined]
        prev = old.updated_at if old and new_round else (old.prev_updated_at if old else 0)
        mark = Mark(
            price=price,
            sigma=sigma,
            half_width=half_width,
            round_id=(old.round_id + 1 if old else 1),
            updated_at=self.chain.now if new_round or not old else old.updated_at,
            prev_updated_at=prev,
            fresh=True,
        )
        self.twin.oracle.marks[market] = mark  # type: ignore[attr-defined]
        self.oracle.send("set_mark", market, words(mark))
        return mark

    def set_ledger(self, lp: int, reserve: int) -> None:
        self.ledger.send("set_ledger", lp, reserve)
        self.twin.clearinghouse.lp, self.twin.clearinghouse.reserve = lp, reserve  # type: ignore[attr-defined]

    def mark(self, market: int) -> Mark:
        found: Mark = self.twin.oracle.peek(market, self.chain.now)
        return found


def words(mark: Mark) -> tuple[Any, ...]:
    """A twin's mark as the ABI's tuple."""
    return (
        mark.price, mark.sigma, mark.half_width, mark.round_id, mark.updated_at, mark.prev_updated_at, mark.fresh,
    )  # fmt: skip


def make_bench() -> Bench:
    """Two identical markets at 2,000 and 60 % vol; nothing sampled yet."""
    chain = RevmChain()
    admin, setup, engine, hedger = chain.accounts[:4]
    oracle = chain.deploy("OracleDouble")
    ledger = chain.deploy("LedgerDouble")
    auction = chain.deploy("RebateAuction", admin, setup, ledger, sender=setup)
    contract = chain.deploy("Inventory", admin, setup, oracle, ledger, auction, sender=setup)
    auction.send("set_inventory", contract, sender=setup)
    contract.send("grant_role", auction, int(Role.INVENTORY), sender=admin)
    contract.send("grant_role", engine, int(Role.ENGINE), sender=admin)
    contract.send("grant_role", hedger, int(Role.HEDGER), sender=admin)
    contract.send("set_params", INVENTORY.pack(), sender=setup)
    twin = Inventory(TwinOracle(), TwinLedger(), Params.of(INVENTORY))
    twin.auction = RebateAuction(twin.clearinghouse, twin)  # type: ignore[arg-type]
    auction.send("set_params", astuple(AUCTION), sender=setup)
    twin.auction.set_params(AUCTION)
    bench = Bench(chain, contract, oracle, ledger, twin, engine, hedger, auction, twin.auction)
    for market in range(2):
        contract.send("set_market_params", market, INVENTORY_MARKET.pack(), sender=setup)
        twin.set_market_params(market, INVENTORY_MARKET)
        bench.set_mark(market, 2_000 * WAD, 6 * WAD // 10)
    return bench


@pytest.fixture
def bench() -> Bench:
    """Two identical markets at 2,000 and 60 % vol, 10 m of LP cash, sampled twice so that it counts."""
    b = make_bench()
    b.set_ledger(10_000_000 * WAD, 0)
    for _ in range(2):
        b.chain.warp(12)
        b.contract.send("sync_all")
        b.twin.sync_all(b.chain.now)
    b.chain.warp(61)
    return b
