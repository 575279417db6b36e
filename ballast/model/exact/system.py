"""The whole system of integer twins, wired as a deployment wires the contracts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from operator import attrgetter
from typing import Any, TypeVar

from ballast.model.exact.carry import Carry
from ballast.model.exact.clearing import Clearinghouse
from ballast.model.exact.close_queue import CloseQueue
from ballast.model.exact.deleverager import Deleverager
from ballast.model.exact.fixed import WAD
from ballast.model.exact.global_settlement import GlobalSettlement
from ballast.model.exact.hedge_manager import HedgeManager
from ballast.model.exact.inventory import Inventory as ExactInventory
from ballast.model.exact.liquidator import Liquidator
from ballast.model.exact.mandates import Mandates
from ballast.model.exact.margin import Margin
from ballast.model.exact.option_book import OptionBook
from ballast.model.exact.option_engine import OptionEngine
from ballast.model.exact.oracle import PriceOracle
from ballast.model.exact.parameters import change, words
from ballast.model.exact.perps import Inventory, PerpEngine
from ballast.model.exact.rebate_auction import RebateAuction
from ballast.model.exact.steward import Steward
from ballast.model.exact.vault import Vault
from ballast.model.exact.vol_surface import VolSurface

T = TypeVar("T")


@dataclass(slots=True)
class System:
    """Every twin; ``build`` wires all but ``steward``, None unless it is set. Without an LP side ``hedge_manager``,
    ``carry``, ``mandates`` and ``vault`` are None, without options ``surface``, ``option_book``, ``option_engine`` and
    ``close_queue``, without either ``deleverager`` and ``global_settlement``. Whoever sets one of them later calls
    ``wire`` again."""

    oracle: PriceOracle
    clearinghouse: Clearinghouse
    inventory: Inventory
    perp_engine: PerpEngine
    margin: Margin
    hedge_manager: HedgeManager | None = None
    vault: Vault | None = None
    surface: VolSurface | None = None
    option_book: OptionBook | None = None
    option_engine: OptionEngine | None = None
    liquidator: Liquidator | None = None
    deleverager: Deleverager | None = None
    close_queue: CloseQueue | None = None
    global_settlement: GlobalSettlement | None = None
    carry: Carry | None = None
    auction: RebateAuction | None = None
    mandates: Mandates | None = None
    steward: Steward | None = None

    @classmethod
    def build(
        cls,
        *,
        scale: int,
        oracle: PriceOracle,
        inventory: Inventory,
        clearinghouse: Clearinghouse | None = None,
        hedge_manager: HedgeManager | None = None,
        vault: Vault | None = None,
        surface: VolSurface | None = None,
    ) -> System:
        """Wire the twins. ``clearinghouse`` is given when others already refer to it."""
        clearinghouse = clearinghouse or Clearinghouse(scale)
        engine = PerpEngine(clearinghouse, inventory, oracle)
        system = cls(
            oracle, clearinghouse, inventory, engine, Margin(clearinghouse, engine, oracle), hedge_manager, vault
        )
        if surface is not None and isinstance(inventory, ExactInventory):
            system.surface, system.option_book = surface, OptionBook(surface)
            system.option_engine = OptionEngine(clearinghouse, inventory, oracle, surface, system.option_book)
        system.wire()
        return system

    def attempt(self, act: Callable[[System], T]) -> T:
        """What ``act`` does, all or nothing, like a transaction: a revert inside leaves no trace."""
        trial = self.fork()
        result = act(trial)
        for part in self.__slots__:
            setattr(self, part, getattr(trial, part))
        return result

    def fork(self) -> System:
        """An independent copy for experiments. Feeds and outside markets are shared: they are inputs."""
        twin = _clone(self)
        twin.oracle = PriceOracle([_clone(market) for market in self.oracle.markets])
        twin.clearinghouse = _clone(self.clearinghouse)
        twin.clearinghouse.accounts = dict(self.clearinghouse.accounts)
        twin.inventory = _clone(self.inventory)
        if isinstance(twin.inventory, ExactInventory):
            inventory = twin.inventory
            inventory.book = inventory.book.copy()
            inventory.markets = list(inventory.markets)
            inventory.market_params = list(inventory.market_params)
        if self.auction is not None:
            twin.auction = _clone(self.auction)
        engine = twin.perp_engine = _clone(self.perp_engine)
        engine.configs, engine.books, engine.positions = (
            dict(engine.configs), dict(engine.books), dict(engine.positions),
        )  # fmt: skip
        twin.margin = _clone(self.margin)
        if self.hedge_manager is not None:
            twin.hedge_manager = _clone(self.hedge_manager)
            twin.hedge_manager.venues = [_clone(venue) for venue in self.hedge_manager.venues]
        if self.carry is not None:
            carry = twin.carry = _clone(self.carry)
            carry.readings, carry.rates = dict(carry.readings), dict(carry.rates)
        if self.mandates is not None:
            twin.mandates = _clone(self.mandates)
            twin.mandates.granted = list(self.mandates.granted)
        if self.steward is not None:
            twin.steward = _clone(self.steward)
            twin.steward.moved_at = dict(self.steward.moved_at)
        if self.vault is not None:
            twin.vault = _clone(self.vault)
            twin.vault.balances = dict(self.vault.balances)
            epochs = twin.vault.epochs = _clone(self.vault.epochs)
            epochs.pool = _clone(epochs.pool)
            epochs.indices, epochs.closings, epochs.records = (
                dict(epochs.indices), dict(epochs.closings), dict(epochs.records),
            )  # fmt: skip
        if self.surface is not None and self.option_book is not None and self.option_engine is not None:
            twin.surface = VolSurface(
                self.surface.drift, dict(self.surface.last), self.surface.frozen, dict(self.surface.spent)
            )
            book = twin.option_book = _clone(self.option_book)
            parts = "points", "smiles", "books", "settlements", "strikes", "live", "interest", "unsettled", "legs_of"
            for part in parts:
                setattr(book, part, dict(getattr(book, part)))
            options = twin.option_engine = _clone(self.option_engine)
            options.configs = dict(options.configs)
        if self.deleverager is not None:
            twin.deleverager = _clone(self.deleverager)
            twin.deleverager.nominations = dict(self.deleverager.nominations)
        if self.close_queue is not None:
            queue = twin.close_queue = _clone(self.close_queue)
            queue.perps, queue.options = dict(queue.perps), dict(queue.options)
        if self.global_settlement is not None:
            end = twin.global_settlement = _clone(self.global_settlement)
            end.profit_of, end.shares_of, end.paid_request = (
                dict(end.profit_of), dict(end.shares_of), dict(end.paid_request),
            )  # fmt: skip
        twin.wire()
        return twin

    def wire(self) -> None:
        """Everybody knows everybody, as after a deployment."""
        clearinghouse, inventory, engine, oracle = self.clearinghouse, self.inventory, self.perp_engine, self.oracle
        clearinghouse.margin, clearinghouse.oracle = self.margin, oracle
        engine.clearinghouse, engine.inventory, engine.oracle, engine.margin = (
            clearinghouse, inventory, oracle, self.margin,
        )  # fmt: skip
        self.margin.clearinghouse, self.margin.perp_engine, self.margin.oracle = clearinghouse, engine, oracle
        if not isinstance(inventory, ExactInventory):
            return
        inventory.oracle, inventory.clearinghouse = oracle, clearinghouse
        auction = inventory.auction = self.auction = self.auction or RebateAuction(clearinghouse, inventory)
        auction.clearinghouse, auction.inventory = clearinghouse, inventory
        if self.surface is not None and self.option_book is not None and self.option_engine is not None:
            options = self.option_engine
            options.clearinghouse, options.inventory, options.oracle, options.margin = (
                clearinghouse, inventory, oracle, self.margin,
            )  # fmt: skip
            options.surface, options.book, self.option_book.surface = self.surface, self.option_book, self.surface
            margin = self.margin
            margin.option_engine, margin.option_book, margin.surface = options, self.option_book, self.surface
        if self.hedge_manager is not None:
            manager = self.hedge_manager
            manager.clearinghouse, manager.inventory, manager.oracle = clearinghouse, inventory, oracle
            self.carry = self.carry or Carry(engine, manager, oracle)
            carry = self.carry
            carry.perp_engine, carry.hedge_manager, carry.oracle = engine, manager, oracle
            self.mandates = self.mandates or Mandates(manager)
            self.mandates.hedge_manager = manager
            if self.vault is not None:
                vault = self.vault
                vault.clearinghouse, vault.inventory, vault.oracle = clearinghouse, inventory, oracle
                vault.perp_engine, vault.hedge_manager = engine, manager
                vault.option_book = self.option_book or vault.option_book
        if self.steward is not None:
            self.steward.read, self.steward.write = partial(words, self), partial(change, self)
        self._wire_backstops()

    def _wire_backstops(self) -> None:
        """What acts on accounts beside their owners is there where everything it acts on is."""
        ledger, perps, oracle, margin = self.clearinghouse, self.perp_engine, self.oracle, self.margin
        options, book, vault, manager = self.option_engine, self.option_book, self.vault, self.hedge_manager
        self.liquidator = Liquidator(ledger, perps, options, book, oracle, margin)  # stores nothing
        if options is None or book is None:
            return
        if self.close_queue is None:
            self.close_queue = CloseQueue(ledger, perps, options, book, oracle, margin, WAD)
        queue = self.close_queue
        queue.clearinghouse, queue.perp_engine, queue.oracle, queue.margin = ledger, perps, oracle, margin
        queue.option_engine, queue.option_book = options, book
        if vault is None or manager is None:
            return
        if self.deleverager is None:
            self.deleverager = Deleverager(ledger, perps, book, oracle, vault, margin, 6_000, 5_000, WAD)
        winners = self.deleverager
        winners.clearinghouse, winners.perp_engine, winners.oracle, winners.margin = ledger, perps, oracle, margin
        winners.option_book, winners.vault = book, vault
        if self.global_settlement is None:
            self.global_settlement = GlobalSettlement(ledger, perps, book, oracle, manager, vault)
        end = self.global_settlement
        end.clearinghouse, end.perp_engine, end.option_book = ledger, perps, book
        end.oracle, end.hedge_manager, end.vault = oracle, manager, vault


@cache
def _fields(kind: Any) -> Callable[[Any], tuple[Any, ...]]:
    return attrgetter(*kind.__dataclass_fields__)


def _clone(part: T) -> T:
    """A shallow copy of a dataclass of two fields or more, ten times faster than ``copy.copy``."""
    kind: Any = type(part)
    twin: T = kind(*_fields(kind)(part))
    return twin
