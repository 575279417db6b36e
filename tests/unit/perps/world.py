"""Oracle, clearinghouse, inventory, engine and margin as a deployment wires them, beside the whole exact twin."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import astuple, dataclass, field, replace
from typing import Any

import pytest

from ballast.chain import Chain, Contract, Receipt, Reverted, RevmChain
from ballast.model.exact.clearing import Clearinghouse
from ballast.model.exact.fixed import INT_MAX, OPTION_BIT
from ballast.model.exact.fixed import Reverted as TwinReverted
from ballast.model.exact.inventory import Inventory
from ballast.model.exact.inventory import Params as InventoryTwinParams
from ballast.model.exact.option_book import OptionLeg
from ballast.model.exact.oracle import FixedFeed, Params, PriceOracle, Round
from ballast.model.exact.perps import NO_LIMIT
from ballast.model.exact.structs import Health, MarketParams, Settlement
from ballast.model.exact.system import System
from ballast.model.exact.vol_surface import Smile
from ballast.model.roles import Role
from ballast.testing.parameters import INVENTORY, INVENTORY_MARKET

WAD = 10**18
ETH, BTC = 0, 1

ORACLE = Params(max_age=3_600)
PERP = MarketParams(
    initial_bps=1_000,
    maintenance_bps=500,
    fee_share_bps=2_000,
    penalty_bps=100,
    cap_base=10**6 * WAD,
    cap_quote=10**9 * WAD,
    min_size=10**15,
)


@dataclass(slots=True)
class TwinOptions:
    """Twin of ``contracts/testing/OptionsDouble.vy``."""

    held: dict[str, list[OptionLeg]] = field(default_factory=dict)
    margins: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    smiles: dict[tuple[int, int], Smile] = field(default_factory=dict)

    def legs(self, account: str, now: int) -> list[OptionLeg]:
        return self.held.get(account, [])

    def margin_bps(self, market: int) -> tuple[int, int, int]:
        return self.margins.get(market, (0, 0, 0))

    def smile(self, market: int, expiry: int, now: int) -> Smile:
        return self.smiles.get((market, expiry), Smile())


@dataclass(slots=True)
class World:
    """Every contract and its twin. ``do`` acts on both and compares how they end. The liquidator is CLOSER by hand."""

    chain: Chain
    governor: str
    guardian: str
    traders: list[str]
    liquidator: str
    stranger: str
    token: Contract
    feeds: list[Contract]
    oracle: Contract
    clearinghouse: Contract
    inventory: Contract
    engine: Contract
    margin: Contract
    operation: Contract
    option_double: Contract
    twin: System
    twin_options: TwinOptions
    twin_feeds: list[FixedFeed]
    round_id: int = 1

    @classmethod
    def build(
        cls,
        *,
        chain: Chain | None = None,
        decimals: int = 6,
        prices: tuple[int, ...] = (2_000 * WAD, 60_000 * WAD),
        perp: MarketParams = PERP,
        lp: int = 10_000_000,
        margin: int = 1_000_000,
        inventory_double: bool = False,
    ) -> World:
        """``lp`` and each trader's ``margin`` are in whole quote tokens; markets are listed in order of ``prices``."""
        chain = chain or RevmChain()
        governor, guardian, liquidator, stranger, *traders = chain.accounts[:7]
        unit = 10**decimals
        token = chain.deploy("TestToken", "Test Dollar", "TUSD", decimals)
        operation = chain.deploy("Operation")
        oracle = chain.deploy("PriceOracle", governor, governor)
        clearinghouse = chain.deploy("Clearinghouse", governor, governor, token, oracle)
        if inventory_double:
            inventory = chain.deploy("InventoryDouble")
        else:
            nobody = "0x" + "00" * 20  # no auctions here
            inventory = chain.deploy("Inventory", governor, governor, oracle, clearinghouse, nobody)
        engine = chain.deploy("PerpEngine", governor, governor, clearinghouse, inventory, oracle)
        options = chain.deploy("OptionsDouble")
        margin_contract = chain.deploy("Margin", clearinghouse, engine, oracle, options, options, options)
        clearinghouse.set_margin.send(margin_contract)
        clearinghouse.grant_role.send(engine, Role.ENGINE)
        clearinghouse.grant_role.send(inventory, Role.INVENTORY)
        clearinghouse.grant_role.send(operation, Role.VAULT)
        engine.grant_role.send(guardian, Role.GUARDIAN)
        engine.grant_role.send(liquidator, Role.CLOSER)

        twin_oracle = PriceOracle()
        twin_clearinghouse = Clearinghouse(10 ** (18 - decimals))
        twin_inventory = Inventory(twin_oracle, twin_clearinghouse, InventoryTwinParams.of(INVENTORY))
        twin = System.build(
            scale=twin_clearinghouse.scale,
            oracle=twin_oracle,
            inventory=twin_inventory,
            clearinghouse=twin_clearinghouse,
        )
        twin_options = TwinOptions()
        twin.margin.option_engine = twin.margin.option_book = twin.margin.surface = twin_options
        world = cls(
            chain, governor, guardian, traders, liquidator, stranger, token, [], oracle, clearinghouse, inventory,
            engine, margin_contract, operation, options, twin, twin_options, [],
        )  # fmt: skip
        if not inventory_double:
            inventory.grant_role.send(engine, Role.ENGINE)
            inventory.set_params.send(INVENTORY.pack())
        for market, price in enumerate(prices):
            feed = chain.deploy("FeedDouble")
            round_ = Round(1, price, 0, chain.now, True)
            feed.set_round.send(astuple(round_))
            world.feeds.append(feed)
            world.twin_feeds.append(FixedFeed(round_))
            oracle.list_market.send(feed, astuple(ORACLE))
            twin_oracle.list_market(world.twin_feeds[-1], ORACLE, chain.now)
            if not inventory_double:
                inventory.set_market_params.send(market, INVENTORY_MARKET.pack())
            twin_inventory.set_market_params(market, INVENTORY_MARKET)
            engine.list_market.send(market, astuple(perp))
            twin.perp_engine.list_market(market, perp, chain.now)
        token.mint.send(operation, lp * unit)
        run = [(token.address, token.tx("transfer", clearinghouse, lp * unit).data)] + [
            (clearinghouse.address, clearinghouse.tx(fn, *arguments).data)
            for fn, *arguments in (("begin",), ("receive_deposit", lp * unit), ("end",))
        ]
        operation.run.send(run)
        twin_clearinghouse.begin()
        twin_clearinghouse.receive_deposit(lp * unit)
        twin_clearinghouse.end()
        for account in (*traders, stranger, liquidator):
            token.mint.send(account, (10**9 + margin) * unit)
            token.approve.send(clearinghouse, 2**256 - 1, sender=account)
        for account in traders:
            world.deposit(account, margin * unit)
        return world

    # ── what is the same on both sides ──

    @property
    def now(self) -> int:
        return self.chain.now

    def do(self, send: Callable[[], Receipt], act: Callable[[System], Any]) -> Receipt:
        """Act on both sides; they must agree on success, reason and result. Raises what the contract raises."""
        try:
            receipt = send()
        except Reverted as error:
            with pytest.raises(TwinReverted, match=f"^{re.escape(error.reason)}$"):
                self.twin.attempt(act)
            raise
        result = self.twin.attempt(act)
        if receipt.value is not None:
            assert receipt.value == (result if isinstance(result, int) else astuple(result))
        return receipt

    def deposit(self, account: str, units: int) -> Receipt:
        return self.do(
            lambda: self.clearinghouse.deposit.send(units, account, sender=account),
            lambda twin: twin.clearinghouse.deposit(units, account),
        )

    def withdraw(self, account: str, units: int) -> Receipt:
        return self.do(
            lambda: self.clearinghouse.withdraw.send(units, account, account, sender=account),
            lambda twin: twin.clearinghouse.withdraw(units, account, self.now),
        )

    def trade(
        self, account: str, market: int, size_delta: int, limit: int | None = None, deadline: int | None = None
    ) -> Receipt:
        """No limit and no hurry unless given."""
        price = (NO_LIMIT if size_delta > 0 else 0) if limit is None else limit
        until = self.now if deadline is None else deadline
        return self.do(
            lambda: self.engine.trade.send(market, size_delta, price, until, sender=account),
            lambda twin: twin.perp_engine.trade(account, market, size_delta, price, until, self.now),
        )

    def close(self, account: str, market: int) -> Receipt:
        return self.trade(account, market, -self.position(account, market).size)

    def close_for(
        self, account: str, market: int, size_delta: int, checked: bool = False, most_cost: int = INT_MAX
    ) -> Receipt:
        return self.do(
            lambda: self.engine.close_for.send(account, market, size_delta, most_cost, checked, sender=self.liquidator),
            lambda twin: twin.perp_engine.close_for(account, market, size_delta, most_cost, checked, self.now),
        )

    def deleverage(self, account: str, market: int, size_delta: int) -> Receipt:
        return self.do(
            lambda: self.engine.deleverage.send(account, market, size_delta, sender=self.liquidator),
            lambda twin: twin.perp_engine.deleverage(account, market, size_delta, self.now),
        )

    def transfer(self, giver: str, taker: str, market: int, size: int) -> Receipt:
        return self.do(
            lambda: self.engine.transfer.send(giver, taker, market, size, sender=self.liquidator),
            lambda twin: twin.perp_engine.transfer(giver, taker, market, size, self.now),
        )

    def sync(self, market: int) -> Receipt:
        return self.do(
            lambda: self.engine.sync.send(market, sender=self.stranger),
            lambda twin: twin.perp_engine.sync(market, self.now),
        )

    def set_carry(self, market: int, rate: int) -> Receipt:
        self.engine.grant_role.send(self.liquidator, Role.HEDGER, sender=self.governor)
        return self.do(
            lambda: self.engine.set_carry.send(market, rate, sender=self.liquidator),
            lambda twin: twin.perp_engine.set_carry(market, rate, self.now),
        )

    def set_price(self, market: int, price: int) -> None:
        """A new block with a new round, recorded."""
        self.push_price(market, price)
        self.oracle.sync.send(market)
        self.twin.oracle.sync(market, self.now)

    def push_price(self, market: int, price: int) -> None:
        """A new block with a new round."""
        self.warp(1)
        self.round_id += 1
        round_ = Round(self.round_id, price, 0, self.now, True)
        self.feeds[market].set_round.send(astuple(round_))
        feed = self.twin.oracle.markets[market].feed
        assert isinstance(feed, FixedFeed)
        feed.round = round_

    def warp(self, seconds: int) -> None:
        self.chain.warp(seconds)

    def configure(self, market: int = ETH, **changes: int) -> None:
        params = replace(PERP, **changes)
        self.engine.set_params.send(market, astuple(params), sender=self.governor)
        self.twin.perp_engine.set_params(market, params)

    def mark_options(self, account: str, market: int) -> None:
        """The ledger says that the account has options in the market."""
        settlement = Settlement(opened=1 << OPTION_BIT + market)
        self.clearinghouse.grant_role.send(self.governor, Role.ENGINE, sender=self.governor)
        self.clearinghouse.settle.send(account, astuple(settlement), sender=self.governor)
        self.twin.clearinghouse.settle(account, settlement, by_engine=True)

    def hold_options(self, account: str, *legs: OptionLeg) -> None:
        """The account has these options and no others."""
        self.option_double.set_legs.send(account, [astuple(leg) for leg in legs])
        self.twin_options.held[account] = list(legs)
        for leg in legs:
            self.mark_options(account, leg.market)

    def set_option_margin(self, market: int, initial_bps: int, floor_bps: int, maintenance_bps: int) -> None:
        margins = initial_bps, floor_bps, maintenance_bps
        self.option_double.set_margin_bps.send(market, margins)
        self.twin_options.margins[market] = margins

    def set_smile(self, market: int, expiry: int, smile: Smile) -> None:
        self.option_double.set_smile.send(market, expiry, astuple(smile))
        self.twin_options.smiles[market, expiry] = smile

    def health(self, account: str) -> Health:
        """The same from the contract and from the twin."""
        health = Health(*self.margin.health(account))
        assert health == self.twin.margin.health(account, self.now)
        return health

    def pause(self, market: int = ETH) -> Receipt:
        self.twin.perp_engine.set_paused(market, True)
        return self.engine.pause.send(market, sender=self.guardian)

    # ── reading ──

    def position(self, account: str, market: int = ETH) -> Any:
        return self.engine.position(account, market)

    def cash(self, account: str) -> int:
        return int(self.clearinghouse.account(account)[0])

    def prices(self) -> list[int]:
        """What a sync would record now, by market."""
        return [int(self.oracle.peek(market).price) for market in range(len(self.feeds))]

    def book_value(self) -> int:
        """What traders owe the vault."""
        return int(self.engine.book_value(self.prices()))

    def check(self) -> None:
        """Contract = twin everywhere (I13), I1, I2, and the inventory's worth = the perp book at its marks."""
        twin = self.twin
        assert tuple(self.clearinghouse.buckets()) == astuple(twin.clearinghouse.buckets())
        assert twin.clearinghouse.imbalance() == 0
        assert self.token.balanceOf(self.clearinghouse) == twin.clearinghouse.total_units
        for market in range(len(self.feeds)):
            assert tuple(self.engine.book(market)) == astuple(twin.perp_engine.book(market))
            assert tuple(self.engine.accrued(market)) == twin.perp_engine.accrued(market, self.now)
            assert twin.perp_engine.disagreement(market) == (0, 0, 0)
            for account in self.traders:
                assert tuple(self.position(account, market)) == astuple(twin.perp_engine.position(account, market))
        for account in (*self.traders, self.liquidator):
            assert tuple(self.clearinghouse.account(account)) == twin.clearinghouse.account(account)
            assert tuple(self.margin.health(account)) == astuple(twin.margin.health(account, self.now))
        assert self.book_value() == twin.perp_engine.book_value(self.prices(), self.now)
