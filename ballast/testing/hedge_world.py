"""The whole system around a hedge: real contracts, a real Uniswap v3 pool, a real Aave v3, a feed the test writes."""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace
from enum import IntFlag, auto
from typing import Any

from ballast.chain import Chain, Contract, Receipt
from ballast.chain.aave import ETHER, Aave, Terms
from ballast.chain.uniswap import Pool, Uniswap
from ballast.model.exact.fixed import WAD
from ballast.model.exact.hedge import NO_LIMIT, Fall, Rule, VenueParams
from ballast.model.exact.oracle import Params, Round
from ballast.model.exact.structs import MarketParams
from ballast.model.roles import Role
from ballast.testing.parameters import INVENTORY, INVENTORY_MARKET, PERCENT

PRICE = 2_000 * WAD
MARKET = 0
TWAP_WINDOW = 300
LP_CASH = 10_000_000  # [quote]
TARGET_HEALTH = 15 * WAD // 10
FLOOR_HEALTH = 125 * WAD // 100
PAUSE_MARKDOWN_BPS = 1_000
FOREVER = 2**255
INVENTORY_PARAMS = replace(INVENTORY, sweep_age=3_600, borrow_kink=10 * PERCENT)
INVENTORY_MARKET_PARAMS = replace(INVENTORY_MARKET, deviation=0)
ENGINE_PARAMS = MarketParams(
    initial_bps=500,
    maintenance_bps=300,
    fee_share_bps=1_000,
    penalty_bps=100,
    cap_base=1_000_000 * WAD,
    cap_quote=1_000_000_000 * WAD,
    min_size=WAD // 1000,
)


class Manner(IntFlag):
    """``HedgeVenueDouble.Manner``: same order, same bits."""

    REFUSES = auto()
    OVERCHARGES = auto()
    FILLS_HALF = auto()
    FILLS_NOTHING = auto()
    OVERSTATES = auto()
    OVERFILLS = auto()
    INVENTS_EQUITY = auto()
    ASKS_TOO_MUCH = auto()
    MOVES_PRICE = auto()
    LOSES_ALL = auto()
    VIEWS_REVERT = auto()
    VIEWS_BURN_GAS = auto()
    VIEWS_GARBAGE = auto()
    VIEWS_SILENT = auto()
    VIEWS_SHOUT = auto()
    RE_ENTERS = auto()
    KEEPS = auto()
    PAYS_MORE = auto()


@dataclass
class World:
    """Handles of a deployment; roles are the chain's first accounts."""

    chain: Chain
    governor: str
    setup: str
    guardian: str
    lp: str
    trader: str
    keeper: str
    whale: str
    quote: Contract
    base: Contract
    feed: Contract
    oracle: Contract
    clearinghouse: Contract
    inventory: Contract
    manager: Contract
    engine: Contract | None = None
    margin: Contract | None = None
    vault: Contract | None = None
    uniswap: Uniswap | None = None
    pool: Pool | None = None
    venue: Contract | None = None
    double: Contract | None = None
    aave: Aave | None = None
    price: int = PRICE

    # ---- units

    @property
    def scale(self) -> int:
        return int(self.clearinghouse.scale())

    def units(self, wad: int) -> int:
        """What a WAD amount of quote is in token units, rounded down."""
        return wad // self.scale

    def base_units(self, wad: int) -> int:
        """What a WAD amount of base is in token units, rounded down."""
        return int(wad // 10 ** (18 - self.base.decimals()))

    # ---- time and price

    def push(self, price: int | None = None) -> None:
        """A new round now."""
        if price is not None:
            self.price = price
        last = self.feed.latest()
        self.feed.set_round.send(astuple(Round(last.round_id + 1, self.price, 0, self.chain.now, True)))

    def next_block(self, seconds: int = 61, price: int | None = None) -> None:
        """A later block with a fresh round."""
        self.chain.warp(seconds)
        self.push(price)

    # ---- actors

    def deposit_lp(self, amount: int, owner: str | None = None) -> None:
        """Mint `amount` [quote, WAD] and deposit it for shares."""
        assert self.vault is not None
        owner = owner or self.lp
        units = self.units(amount)
        self.quote.mint.send(owner, units)
        self.quote.approve.send(self.vault, units, sender=owner)
        self.vault.deposit.send(units, owner, sender=owner)

    def deposit_margin(self, amount: int, owner: str) -> None:
        """Mint `amount` [quote, WAD] and deposit it as margin."""
        units = self.units(amount)
        self.quote.mint.send(owner, units)
        self.quote.approve.send(self.clearinghouse, units, sender=owner)
        self.clearinghouse.deposit.send(units, owner, sender=owner)

    def trade(self, size: int, owner: str | None = None) -> Receipt:
        """Trade `size` [base, WAD] without a limit price."""
        assert self.engine is not None
        limit = NO_LIMIT if size > 0 else 0
        return self.engine.trade.send(MARKET, size, limit, FOREVER, sender=owner or self.trader)

    def rebalance(self, size: int, limit: int | None = None, venue_id: int = 0, sender: str | None = None) -> Receipt:
        """Ask for a hedge of `size` [base, WAD]; without a limit price unless one is given."""
        if limit is None:
            limit = NO_LIMIT if size > 0 else 0
        return self.manager.rebalance.send(venue_id, MARKET, size, limit, sender=sender or self.keeper)

    # ---- readings

    def cash(self, owner: str) -> int:
        """Of an account [quote, WAD]."""
        return int(self.clearinghouse.account(owner)[0])

    def lp_cash(self) -> int:
        """[quote, WAD]."""
        return int(self.clearinghouse.vault_ledger()[0])

    def reserve(self) -> int:
        """R [quote, WAD]."""
        return int(self.clearinghouse.vault_ledger()[1])

    def book_value(self) -> int:
        """What traders owe at the oracle's price [quote, WAD]."""
        return int(self.engine.book_value([self.price])) if self.engine else 0

    def nav(self) -> int:
        """LP cash, claims on traders, venues at the oracle's price [quote, WAD]; what I10 is about."""
        return self.lp_cash() + self.book_value() + self.venue_equity()

    def venue_equity(self) -> int:
        """All venues at the oracle's price, after haircuts [quote, WAD]."""
        return int(self.manager.equity([self.price]))

    def potential(self) -> int:
        """U as stored [quote, WAD]."""
        return int(self.inventory.state().potential)

    def tokens_of(self, owner: Any) -> tuple[int, int]:
        """Quote and base held [token units]."""
        return int(self.quote.balanceOf(owner)), int(self.base.balanceOf(owner))

    # ---- parameters

    def set_rule(self, **changes: int) -> Rule:
        """The default rule but for `changes`."""
        rule = replace(Rule(), **changes)
        self.manager.set_rule.send(astuple(rule), sender=self.setup)
        return rule

    def set_venue_params(self, venue_id: int = 0, **changes: int) -> VenueParams:
        """A venue's default parameters but for `changes`."""
        params = replace(VenueParams(), **changes)
        self.manager.set_venue_params.send(venue_id, astuple(params), sender=self.setup)
        return params

    def list_venue(self, venue: Contract, **changes: int) -> int:
        """List it for the market; its id."""
        params = replace(VenueParams(), **changes)
        self.manager.list_venue.send(venue, MARKET, astuple(params), sender=self.setup)
        return int(self.manager.venue_count()) - 1

    def dictate(self, fall: Fall) -> None:
        """What an Inventory double answers."""
        self.inventory.set_answer.send(astuple(fall))


def tokens(chain: Chain, quote_decimals: int, base_decimals: int, base_is_token0: bool) -> tuple[Contract, Contract]:
    """Two tokens in the wanted order of addresses."""
    quote = chain.deploy("TestToken", "Quote", "QUOTE", quote_decimals)
    while True:
        base = chain.deploy("TestToken", "Base", "BASE", base_decimals)
        if (int(base.address, 16) < int(quote.address, 16)) == base_is_token0:
            return quote, base


def build(
    chain: Chain,
    *,
    quote_decimals: int = 6,
    base_decimals: int = 18,
    base_is_token0: bool = True,
    price: int = PRICE,
    inventory_double: bool = False,
) -> World:
    """Everything but venues; LPs hold 10m unless Inventory is a double (then LP cash is what the test collects)."""
    governor, setup, guardian, lp, trader, keeper, whale = chain.accounts[:7]
    quote, base = tokens(chain, quote_decimals, base_decimals, base_is_token0)
    feed = chain.deploy("FeedDouble")
    oracle = chain.deploy("PriceOracle", governor, setup)
    clearinghouse = chain.deploy("Clearinghouse", governor, setup, quote, oracle)
    if inventory_double:
        inventory = chain.deploy("HedgeInventoryDouble")
    else:
        inventory = chain.deploy("Inventory", governor, setup, oracle, clearinghouse, "0x" + "00" * 20)  # no auctions
    manager = chain.deploy("HedgeManager", governor, setup, clearinghouse, inventory, oracle)
    w = World(
        chain, governor, setup, guardian, lp, trader, keeper, whale,
        quote, base, feed, oracle, clearinghouse, inventory, manager, price=price,
    )  # fmt: skip
    w.push()
    oracle.list_market.send(feed, astuple(Params()), sender=setup)
    clearinghouse.grant_role.send(manager, Role.HEDGER, sender=setup)
    manager.grant_role.send(guardian, Role.GUARDIAN, sender=setup)
    manager.set_rule.send(astuple(Rule()), sender=setup)
    if inventory_double:
        w.engine, w.margin = None, None
        w.vault = chain.deploy("LpDouble", clearinghouse)
        clearinghouse.grant_role.send(w.vault, Role.VAULT, sender=setup)
    else:
        w.engine = chain.deploy("PerpEngine", governor, setup, clearinghouse, inventory, oracle)
        w.margin = chain.deploy("Margin", clearinghouse, w.engine, oracle, *["0x" + "00" * 20] * 3)  # no options
        options = chain.deploy("OptionBookDouble")  # empty
        w.vault = chain.deploy(
            "Vault", governor, setup, clearinghouse, inventory, oracle, w.engine, options, manager, "Ballast LP", "bLP"
        )
        clearinghouse.set_margin.send(w.margin, sender=setup)
        clearinghouse.grant_role.send(w.engine, Role.ENGINE, sender=setup)
        clearinghouse.grant_role.send(w.vault, Role.VAULT, sender=setup)
        clearinghouse.grant_role.send(inventory, Role.INVENTORY, sender=setup)
        inventory.grant_role.send(w.engine, Role.ENGINE, sender=setup)
        inventory.grant_role.send(manager, Role.HEDGER, sender=setup)
        inventory.set_params.send(INVENTORY_PARAMS.pack(), sender=setup)
        inventory.set_market_params.send(MARKET, INVENTORY_MARKET_PARAMS.pack(), sender=setup)
        w.engine.list_market.send(MARKET, astuple(ENGINE_PARAMS), sender=setup)
    w.deposit_lp(LP_CASH * WAD)
    if not inventory_double:
        for _ in range(2):  # risk capital is the lesser of this block's equity and the previous one's
            w.next_block()
            inventory.sync_all.send()
    return w


def add_double(w: World, **changes: int) -> Contract:
    """A venue with manners, listed."""
    w.double = w.chain.deploy("HedgeVenueDouble", w.clearinghouse, w.quote, w.scale, w.price)
    w.list_venue(w.double, **changes)
    return w.double


def add_uniswap(
    w: World,
    *,
    fees: tuple[int, ...] = (500,),
    base_depth: int = 100_000 * WAD,
    **changes: int,
) -> Contract:
    """A real pool per fee tier, deep around the price and with history, and the venue on it, listed."""
    uniswap = _open_pools(w, fees, base_depth)
    w.venue = w.chain.deploy(
        "UniswapV3Venue", w.manager, w.clearinghouse, w.base, uniswap.router, list(fees), TWAP_WINDOW
    )
    w.list_venue(w.venue, **changes)
    return w.venue


def add_aave(
    w: World,
    *,
    fees: tuple[int, ...] = (500,),
    base_depth: int = 100_000 * WAD,
    target_health: int = TARGET_HEALTH,
    floor_health: int = FLOOR_HEALTH,
    **changes: int,
) -> Contract:
    """A real Aave with 50,000 base and as much quote of a lender's in it, real pools, and the venue on both, listed."""
    uniswap = _open_pools(w, fees, base_depth)
    dollar = w.chain.deploy("FeedDouble")
    dollar.set_round.send(astuple(Round(1, WAD, 0, w.chain.now, True)))
    w.aave = Aave.deploy(w.chain, {w.quote: (dollar, Terms()), w.base: (w.feed, ETHER)})
    lender = w.chain.accounts[8]
    w.aave.supply(w.base, w.base_units(50_000 * WAD), owner=lender)
    w.aave.supply(w.quote, w.units(50_000 * w.price), owner=lender)
    w.venue = w.chain.deploy(
        "AaveShortVenue", w.manager, w.clearinghouse, w.base, uniswap.router, list(fees), TWAP_WINDOW,
        w.aave.pool, target_health, floor_health, PAUSE_MARKDOWN_BPS,
    )  # fmt: skip
    w.list_venue(w.venue, **changes)
    return w.venue


def _open_pools(w: World, fees: tuple[int, ...], base_depth: int) -> Uniswap:
    """Uniswap with a deep pool per tier that remembers the window; the first is the world's."""
    w.uniswap = w.uniswap or Uniswap.deploy(w.chain)
    for fee in fees:
        pool = w.uniswap.create_pool(w.base, w.quote, fee, w.price, observation_cardinality=20)
        deepen(w, pool, base_depth)
        w.pool = w.pool or pool
    w.chain.warp(TWAP_WINDOW + 1)
    w.push()
    return w.uniswap


def deepen(w: World, pool: Pool, base_depth: int) -> int:
    """Liquidity of about `base_depth` base and its worth in quote within 20 % of the price."""
    return pool.add_liquidity(
        w.base_units(base_depth),
        w.units(base_depth * w.price // WAD),
        lower_wad=w.price * 8 // 10,
        upper_wad=w.price * 12 // 10,
        provider=w.chain.accounts[9],
    )
