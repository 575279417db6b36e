"""What a deployment is: `networks/<name>.yaml`, read strictly and translated into the contracts' integers.

The file speaks as people do: fractions (0.0001 is one basis point), whole units of tokens, `30m`, `gwei`. Numbers are
read as decimals, so 0.1 is exactly a tenth; a value that its packed word cannot hold exactly is an error, not
a rounding. Unknown keys are errors too. Nothing has a default except what only test networks use.
"""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from eth_utils.crypto import keccak
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)

from ballast.chain.artifacts import ROOT
from ballast.chain.codec import EncodingError, address_of
from ballast.model.exact.fixed import BPS, MAX_MARKETS, MICRO, WAD
from ballast.model.exact.fixed import Reverted as Refused
from ballast.model.exact.governor import Params as Ballot
from ballast.model.exact.governor import Timelock
from ballast.model.exact.steward import Lever as Settings
from ballast.model.words import InventoryMarketParams, InventoryParams
from ballast.parameters import GWEI, PIPS, SURFACES, Word, surface
from ballast.parameters import Surface as Setter

NETWORKS = ROOT / "networks"
ZERO = "0x" + "00" * 20

_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


class ConfigError(ValueError):
    """The file does not describe a deployment; the message names file and field."""


def seconds(text: str) -> int:
    """A duration with its unit; ValueError if it is none."""
    match = re.fullmatch(r"(\d+)\s*([smhd])", text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a duration: write seconds, or 30s, 15m, 1h, 7d")
    return int(match[1]) * _SECONDS[match[2]]


def _seconds(value: object) -> object:
    return seconds(value) if isinstance(value, str) else value


def _address(value: object) -> str:
    if isinstance(value, str) and value.strip().startswith("<"):
        raise ValueError(f"{value} is a placeholder: fill it in")
    try:
        address = address_of(value)
    except (EncodingError, ValueError):
        raise ValueError(f"{value!r} is not an address (quote it, so that YAML does not read a number)") from None
    if isinstance(value, str) and value not in (value.lower(), address):
        raise ValueError(f"{value} has a wrong checksum")
    return address


def _address_or_section(value: object) -> object:
    return value if isinstance(value, dict | BaseModel) else _address(value)


Seconds = Annotated[int, BeforeValidator(_seconds), Field(ge=0)]
Address = Annotated[str, BeforeValidator(_address)]
Number = Decimal


def _price_id(value: object) -> str:
    if not isinstance(value, str) or re.fullmatch(r"0x[0-9a-fA-F]{64}", value) is None:
        raise ValueError(f"{value!r} is not a price id: 0x and 64 hex digits, quoted")
    return value.lower()


PriceId = Annotated[str, BeforeValidator(_price_id)]

Model = TypeVar("Model", bound="Section")


def scaled(value: Decimal | int, unit: int, name: str = "value") -> int:
    """`value` in steps of 1/unit; ValueError if it is not a whole number of them."""
    result = Decimal(value) * unit
    whole = int(result)
    if whole != result:
        raise ValueError(f"{name} = {value} is finer than 1/{unit}")
    return whole


class Section(BaseModel):
    """A part of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def _scaled(self, name: str, unit: int) -> int:
        return scaled(getattr(self, name), unit, name)


# ---- the world around


class TestToken(Section):
    """A token that anybody may mint, for networks where nothing is worth anything."""

    __test__ = False  # not a test class, whatever pytest thinks

    name: str = Field(max_length=25)
    symbol: str = Field(max_length=5)
    decimals: int = Field(ge=0, le=18)


class Token(Section):
    """An ERC-20: one that exists, or a test token; once that is deployed, both."""

    address: Address | None = None
    test: TestToken | None = None

    @model_validator(mode="after")
    def _one(self) -> Token:
        if self.address is None and self.test is None:
            raise ValueError("give `address`, or `test` to deploy a token that anybody may mint")
        return self


class TestFeed(Section):
    """A feed that says what it is told."""

    __test__ = False

    price: Number = Field(gt=0)
    decimals: int = Field(ge=0, le=18)


class Source(Section):
    """Where a price comes from: an address, or `test` for one that says what it is told."""

    aggregator: Address | None = None  # of Chainlink; beside another source what a test network's pools and Aave read
    test: TestFeed | None = None
    sequencer: Address | None = None
    grace_period: Seconds = 0

    @model_validator(mode="after")
    def _grace(self) -> Source:
        if self.sequencer is not None and self.grace_period == 0:
            raise ValueError("a sequencer feed needs a grace_period")
        return self


class Feed(Source):
    """A Chainlink proxy of base/quote."""

    kind: Literal["chainlink"] = "chainlink"

    @model_validator(mode="after")
    def _one(self) -> Feed:
        if self.aggregator is None and self.test is None:
            raise ValueError("give `aggregator`, or `test` to deploy a feed that says what it is told")
        return self

    @property
    def address(self) -> str | None:
        """What is read."""
        return self.aggregator


class PythFeed(Source):
    """A price of Pyth: a pull oracle, whose prices are brought by whoever needs one."""

    kind: Literal["pyth"]
    id: PriceId
    pyth: Address | None = None

    @model_validator(mode="after")
    def _one(self) -> PythFeed:
        if self.pyth is None and self.test is None:
            raise ValueError("give `pyth`, the contract, or `test` to deploy one that says what it is told")
        return self

    @property
    def address(self) -> str | None:
        """What is read."""
        return self.pyth


def _kind(value: Any) -> str:
    return str(value.get("kind", "chainlink") if isinstance(value, dict) else getattr(value, "kind", "chainlink"))


AnyFeed = Annotated[Annotated[Feed, Tag("chainlink")] | Annotated[PythFeed, Tag("pyth")], Discriminator(_kind)]


class SecondFeed(Section):
    """Another source of a market's price: docs/mechanism.md §17."""

    feed: AnyFeed
    band: Number  # [fraction] how far the two may differ and the first alone speaks
    lone: Number  # [fraction] that marks are wider by while one of them is dead

    def params(self) -> tuple[int, int]:
        """The last two of `PriceOracle.Second` [bps]."""
        return self._scaled("band", BPS), self._scaled("lone", BPS)


class Uniswap(Section):
    """Uniswap v3: a router of a deployment, or `test: true` for one of our own.

    Venues swap with pools themselves and ask the router for its factory only, so SwapRouter and SwapRouter02 both do.
    Position manager and quoter only serve to move a test network's pools.
    """

    router: Address | None = None
    positions: Address | None = None
    quoter: Address | None = None
    test: bool = False

    @model_validator(mode="after")
    def _one(self) -> Uniswap:
        if self.router is None and not self.test:
            raise ValueError("give `router`, or `test: true` to deploy Uniswap")
        return self


class TestPool(Section):
    """Liquidity that a test network's pool starts with: `base` and as much quote at the feed's price."""

    __test__ = False

    base: Number = Field(gt=0)
    width: Number = Field(gt=0)  # the range reaches from price / (1 + width) to price * (1 + width)


# ---- parameters


class Vault(Section):
    """Share token and limits of the LP side."""

    name: str = Field(min_length=1, max_length=25)
    symbol: str = Field(min_length=1, max_length=5)
    deposit_cap: Number  # [quote] NAV above which nobody enters
    u_redeem: Number
    epoch_length: Seconds

    def params(self) -> tuple[int, int, int]:
        """`IVault.Params`."""
        return self._scaled("deposit_cap", WAD), self._scaled("u_redeem", WAD), self.epoch_length


class Clearing(Section):
    """How fees and liquidation penalties are split: the liquidator's and the LPs' parts, the rest is insurance."""

    insurance_share: Number
    liquidator_share: Number
    lp_share: Number

    def shares(self) -> tuple[int, int, int]:
        """Arguments of `Clearinghouse.set_shares` [bps]."""
        insurance, liquidator, lp = (
            self._scaled(name, BPS) for name in ("insurance_share", "liquidator_share", "lp_share")
        )
        return insurance, liquidator, lp


class Deleveraging(Section):
    """When traders in profit are closed at the mark, and how far."""

    trigger: Number  # [fraction of NAV] traders' open profit above which it begins
    target: Number  # [fraction of NAV] down to which it goes
    reward: Number  # [quote] the most for a closing

    def params(self) -> tuple[int, int, int]:
        """The last arguments of Deleverager's constructor."""
        return self._scaled("trigger", BPS), self._scaled("target", BPS), self._scaled("reward", WAD)


class CloseQueue(Section):
    """Closes that wait for a price."""

    fee: Number  # [quote] of an execution

    def params(self) -> tuple[int]:
        """The last argument of CloseQueue's constructor."""
        return (self._scaled("fee", WAD),)


class Inventory(Section):
    """The potential, spreads and funding: docs/mechanism.md §1, §6."""

    aversion: Number
    knee: Number
    c_lo: Number
    c_hi: Number
    rho: Number
    omega: Number
    u_star: Number
    u_max: Number
    horizon: Seconds
    funding_max: Number  # [1/year]
    borrow_kink: Number  # [1/year] at u_star
    borrow_max: Number  # [1/year] at full utilization
    release_period: Seconds
    sweep_age: Seconds

    def params(self) -> InventoryParams:
        """What `Inventory.set_params` takes, before packing."""
        return InventoryParams(
            aversion=self._scaled("aversion", WAD),
            knee=self._scaled("knee", WAD),
            c_lo=self._scaled("c_lo", WAD),
            c_hi=self._scaled("c_hi", WAD),
            omega=self._scaled("omega", WAD),
            u_star=self._scaled("u_star", WAD),
            u_max=self._scaled("u_max", WAD),
            horizon=self.horizon,
            rho=self._scaled("rho", WAD),
            funding_max=self._scaled("funding_max", WAD),
            release_period=self.release_period,
            sweep_age=self.sweep_age,
            borrow_kink=self._scaled("borrow_kink", WAD),
            borrow_max=self._scaled("borrow_max", WAD),
        )


class Auction(Section):
    """What LPs pay, beside rebates, for being rid of risk: docs/mechanism.md §16."""

    band: Number  # [fraction of E] an auction may be opened while U is above
    max_rate: Number  # [fraction of the fall of U] at the end of the ramp; 0 for no auctions
    ramp: Seconds
    budget: Number  # [quote] a day

    def params(self) -> tuple[int, int, int, int]:
        """`IRebateAuction.Params`."""
        return (
            self._scaled("band", 10**9),
            self._scaled("max_rate", BPS),
            self.ramp,
            self._scaled("budget", 10**6),
        )


class Hedging(Section):
    """What a hedge may cost and what its keeper earns: docs/mechanism.md §8."""

    phi: Number
    eta: Number
    size_reward: Number  # [fraction of notional]
    gas_units: int
    gas_tip_cap: Number  # [gwei]
    gas_price_cap: Number  # [gwei]
    gas_market: str  # name of the market whose base is the gas token
    lp_floor: Number  # [quote]
    recall_floor: Number  # [quote]

    def rule(self, gas_market: int) -> tuple[int, ...]:
        """`IHedgeManager.Rule`."""
        return (
            self._scaled("phi", BPS),
            self._scaled("eta", BPS),
            self._scaled("size_reward", PIPS),
            self.gas_units,
            self._scaled("gas_tip_cap", GWEI),
            self._scaled("gas_price_cap", GWEI),
            gas_market,
            self._scaled("lp_floor", WAD),
            self._scaled("recall_floor", WAD),
        )


class MarketOracle(Section):
    """When a price may be used, and how volatility is estimated."""

    max_age: Seconds
    half_life_fast: Seconds
    half_life_slow: Seconds
    sigma_floor: Number
    sigma_cap: Number
    return_clip: Number
    initial_sigma: Number

    def params(self) -> tuple[int | bool, ...]:
        """`IPriceOracle.Params` of a feed that knows no half-width."""
        return (
            self.max_age,
            self.half_life_fast,
            self.half_life_slow,
            self._scaled("sigma_floor", WAD),
            self._scaled("sigma_cap", WAD),
            self._scaled("return_clip", WAD),
            self._scaled("initial_sigma", WAD),
            False,
        )


class MarketInventory(Section):
    """Spreads: docs/mechanism.md §6."""

    base: Number
    floor: Number
    z: Number
    tau: Seconds
    deviation: Number
    vol_of_vol: Number
    vol_floor: Number
    vol_z: Number
    vol_tau: Seconds

    def params(self) -> InventoryMarketParams:
        """What `Inventory.set_market_params` takes, before packing."""
        return InventoryMarketParams(
            base=self._scaled("base", WAD),
            floor=self._scaled("floor", WAD),
            z=self._scaled("z", WAD),
            tau=self.tau,
            deviation=self._scaled("deviation", WAD),
            vol_of_vol=self._scaled("vol_of_vol", WAD),
            vol_floor=self._scaled("vol_floor", WAD),
            vol_z=self._scaled("vol_z", WAD),
            vol_tau=self.vol_tau,
        )


class MarketPerps(Section):
    """Margin, fees and caps of the perpetual."""

    initial: Number  # [fraction of notional]
    maintenance: Number
    fee_share: Number  # [fraction of the half-spread]
    penalty: Number  # [fraction of notional]
    cap_base: Number  # [base] per side
    cap_quote: Number  # [quote] per side
    min_size: Number  # [base]

    def params(self) -> tuple[int, ...]:
        """`IPerpEngine.MarketParams`."""
        return (
            self._scaled("initial", BPS),
            self._scaled("maintenance", BPS),
            self._scaled("fee_share", BPS),
            self._scaled("penalty", BPS),
            self._scaled("cap_base", 10**6) * 10**12,
            self._scaled("cap_quote", 10**6) * MICRO,
            self._scaled("min_size", 10**9) * 10**9,
        )


class Drift(Section):
    """How fast feeders may move a market's surface, at once and for each hour since their last update."""

    vol_base: Number  # of the volatility at the money, 0.01 is a point
    vol_speed: Number
    shape_base: Number  # of rho, and of eta
    shape_speed: Number
    rate_base: Number  # [1/year] of the rate that leads from spot to forward
    rate_speed: Number
    max_age: Seconds  # of a surface that new risk is taken on

    def params(self) -> tuple[int, ...]:
        """`IVolSurface.Drift`."""
        names = ("vol_base", "vol_speed", "shape_base", "shape_speed", "rate_base", "rate_speed")
        return *(self._scaled(name, WAD) for name in names), self.max_age


class MarketOptions(Section):
    """Boards, caps and short margin of the options; boards are listed later."""

    drift: Drift
    min_size: Number  # [base] of an order and of what it leaves
    cap_series: Number  # [base] net
    cap_expiry: Number  # [base] open interest of a board
    cap_market: Number  # [base] open interest of all
    cutoff: Seconds  # before expiry from which positions only shrink
    initial: Number  # [fraction of spot] how far the scenarios of the initial requirement go
    floor: Number  # [fraction of spot] on top, for every short option
    maintenance: Number  # [fraction of both]
    penalty: Number  # [fraction of notional] of a liquidation
    fee_share: Number  # [fraction of the half-spread]
    reward: Number  # [quote] for a refresh that was due, and for a settlement
    interval: Seconds  # between refreshes of a board that are paid

    def params(self) -> tuple[int, ...]:
        """`IOptionEngine.MarketParams`."""
        sizes = ("min_size", "cap_series", "cap_expiry", "cap_market")
        shares = ("initial", "floor", "maintenance", "penalty", "fee_share")
        return (
            *(self._scaled(name, 10**6) * 10**12 for name in sizes),
            self.cutoff,
            *(self._scaled(name, BPS) for name in shares),
            self._scaled("reward", 10**6) * MICRO,
            self.interval,
        )


class Aave(Section):
    """Aave v3: the Pool of a deployment, or `test: true` for one of our own."""

    pool: Address | None = None
    test: bool = False

    @model_validator(mode="after")
    def _one(self) -> Aave:
        if self.pool is None and not self.test:
            raise ValueError("give `pool`, or `test: true` to deploy Aave")
        return self


class Venue(Section):
    """A hedge on the Uniswap v3 pools of a market, spot or short."""

    fees: list[int] = Field(min_length=1, max_length=4)  # [1e-6] tiers
    twap_window: Seconds
    cap: Number  # [base]
    turnover: Number  # [quote per day]
    fee_cap: Number
    band: Number
    cooldown: Seconds
    max_age: Seconds  # 0: whatever the oracle calls fresh
    haircut: Number
    test_pool: TestPool | None = None

    def params(self) -> tuple[int, ...]:
        """`IHedgeManager.VenueParams`."""
        return (
            self._scaled("cap", WAD),
            self._scaled("turnover", 10**6),
            self._scaled("fee_cap", PIPS),
            self._scaled("band", PIPS),
            self.cooldown,
            self.max_age,
            self._scaled("haircut", BPS),
        )


class SpotVenue(Venue):
    """Base bought on Uniswap v3."""

    kind: Literal["uniswap_v3"]


class ShortVenue(Venue):
    """Base borrowed on Aave v3 and sold on Uniswap v3."""

    kind: Literal["aave_short"]
    target_health: Number  # what opening aims at
    floor_health: Number  # below it anyone may unwind
    pause_markdown: Number  # part of equity not counted while a reserve is paused

    def bounds(self) -> tuple[int, int, int]:
        """Target and floor of health [WAD], mark-down [bps]."""
        bounds = self._scaled("target_health", WAD), self._scaled("floor_health", WAD)
        return *bounds, self._scaled("pause_markdown", BPS)


class Market(Section):
    """One underlying; its id is its place in the list."""

    name: str = Field(pattern=r"^[A-Z0-9]{1,12}$")
    base: Token | None = None  # only venues need it
    feed: AnyFeed
    second: SecondFeed | None = None
    oracle: MarketOracle
    inventory: MarketInventory
    perps: MarketPerps
    options: MarketOptions | None = None
    venues: list[Annotated[SpotVenue | ShortVenue, Field(discriminator="kind")]] = []

    @property
    def feeds(self) -> tuple[Feed | PythFeed, ...]:
        """The first, and the second if there is one."""
        return (self.feed,) if self.second is None else (self.feed, self.second.feed)

    def oracle_params(self) -> tuple[int | bool, ...]:
        """`IPriceOracle.Params`; Pyth knows how wide its price is."""
        return *self.oracle.params()[:-1], any(isinstance(feed, PythFeed) for feed in self.feeds)

    @model_validator(mode="after")
    def _base(self) -> Market:
        if self.venues and self.base is None:
            raise ValueError(f"{self.name}: a venue needs the base token")
        return self


class Surface(Section):
    """Who says what volatility is, and how many of them must agree."""

    signers: list[Address] = Field(min_length=1)
    threshold: int = Field(ge=1, le=8)

    @model_validator(mode="after")
    def _enough(self) -> Surface:
        if len(set(self.signers)) != len(self.signers):
            raise ValueError("a signer is named twice")
        if self.threshold > len(self.signers):
            raise ValueError(f"threshold {self.threshold} is more than there are signers")
        return self


class Governance(Section):
    """LPs vote, a timelock acts: docs/governance.md."""

    delay: Seconds  # that everything waits at the timelock
    voting_delay: Seconds
    voting_period: Seconds
    quorum: Number  # [fraction of the supply of shares] for and abstaining
    threshold: Number  # [fraction of the supply of shares] that proposing takes
    lock: Seconds  # from unlocking shares to withdrawing them
    council: Address | None  # one more proposer, which a vote can remove

    @model_validator(mode="after")
    def _bounds(self) -> Governance:
        try:
            Timelock(self.delay)
            Ballot(*self.params()).check(self.delay)
        except Refused as error:
            raise ValueError(str(error)) from None
        return self

    def params(self) -> tuple[int, ...]:
        """`IGovernor.Params`."""
        quorum, threshold = self._scaled("quorum", BPS), self._scaled("threshold", BPS)
        return self.voting_delay, self.voting_period, quorum, threshold, self.lock


class Lever(Section):
    """A parameter that the steward may move: numbers in the unit in which this file has the parameter."""

    floor: Number
    ceiling: Number
    speed: Number  # a day
    cooldown: Seconds
    tighter: Literal["higher", "lower", "neither"]  # where the guardian may move it at once

    def settings(self, word: Word) -> Settings:
        """`ISteward.Lever`."""
        return Settings(
            floor=self._scaled("floor", word.scale),
            ceiling=self._scaled("ceiling", word.scale),
            speed=self._scaled("speed", word.scale),
            cooldown=self.cooldown,
            tightening={"higher": 1, "lower": -1, "neither": 0}[self.tighter],
        )


class Steward(Section):
    """Who moves parameters a little per day, and which: docs/governance.md."""

    key: Address | None  # of the policy
    levers: dict[str, Lever]  # by name, e.g. `inventory.aversion`; `spreads.base` is every market's

    def settings(self, setter: Setter) -> dict[int, Settings]:
        """The levers of a setter, by word."""
        named = (name.split(".") for name in self.levers)
        words = [word for name, word in named if name == setter.name]
        return {
            (i := setter.index(word)): self.levers[f"{setter.name}.{word}"].settings(setter.words[i]) for word in words
        }

    @model_validator(mode="after")
    def _known(self) -> Steward:
        for name in self.levers:
            group, _, word = name.partition(".")
            try:
                surface(group).index(word)
            except LookupError as error:
                raise ValueError(f"{name}: {error}") from None
        for setter in SURFACES:
            for i, settings in self.settings(setter).items():
                try:
                    settings.check()
                except Refused as error:
                    raise ValueError(f"{setter.name}.{setter.words[i].name}: {error}") from None
        rate = self.levers.get("auction.max_rate")
        if rate is not None and rate.floor <= rate.speed:
            raise ValueError("auction.max_rate: floor at most speed: the key would enable what the guardian disables")
        return self


class Config(Section):
    """A whole deployment."""

    network: str = Field(pattern=r"^[a-z0-9_.-]+$")
    chain_id: int
    confirmations: int = Field(ge=0)
    governor: Annotated[Governance | str, BeforeValidator(_address_or_section)]  # admin of every contract
    guardian: Address | None
    quote: Token
    uniswap: Uniswap | None = None
    aave: Aave | None = None
    vault: Vault
    clearing: Clearing
    deleveraging: Deleveraging
    close_queue: CloseQueue
    inventory: Inventory
    auction: Auction
    hedging: Hedging
    surface: Surface | None = None  # only options need it
    steward: Steward | None = None  # without one, only governance moves parameters
    markets: list[Market] = Field(min_length=1, max_length=MAX_MARKETS)

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        names = [market.name for market in self.markets]
        if len(set(names)) != len(names):
            raise ValueError(f"two markets are called the same: {names}")
        if self.hedging.gas_market not in names:
            raise ValueError(f"hedging.gas_market {self.hedging.gas_market!r} is not among {names}")
        if self.uniswap is None and any(market.venues for market in self.markets):
            raise ValueError("venues need `uniswap`")
        if self.aave is None and any(
            isinstance(venue, ShortVenue) for market in self.markets for venue in market.venues
        ):
            raise ValueError("a short venue needs `aave`")
        if self.surface is None and any(market.options for market in self.markets):
            raise ValueError("options need `surface`: signers and threshold")
        if self.guardian == self.governor:
            raise ValueError("governor and guardian are the same: the guardian's powers are the governor's already")
        # every number must fit its word: better now than half-way through a deployment
        self.vault.params()
        self.clearing.shares()
        self.inventory.params().pack()
        self.auction.params()
        self.hedging.rule(0)
        for market in self.markets:
            market.oracle_params()
            if market.second is not None:
                market.second.params()
            market.inventory.params().pack()
            market.perps.params()
            if market.options is not None:
                market.options.params()
                market.options.drift.params()
            for venue in market.venues:
                venue.params()
                if isinstance(venue, ShortVenue):
                    venue.bounds()
        return self

    @property
    def gas_market(self) -> int:
        """Id of the market whose base is the gas token."""
        return self.market_id(self.hedging.gas_market)

    def market_id(self, name: str) -> int:
        """Id of a market by name."""
        return [market.name for market in self.markets].index(name)

    @property
    def is_resolved(self) -> bool:
        """Everything around the system has an address."""
        return not self.missing()

    def missing(self) -> list[str]:
        """Surroundings that a test network still has to deploy."""
        found = [] if self.quote.address else ["quote"]
        if self.uniswap is not None and self.uniswap.router is None:
            found.append("uniswap")
        if self.aave is not None and self.aave.pool is None:
            found.append("aave")
        for market in self.markets:
            if market.base is not None and market.base.address is None:
                found.append(f"{market.name}.base")
            if any(feed.address is None or (feed.test and feed.aggregator is None) for feed in market.feeds):
                found.append(f"{market.name}.feed")
        return found

    def changed(self, **update: Any) -> Config:
        """A copy with other values, validated again; nested parts are replaced whole."""
        return Config.model_validate({**self.model_dump(), **update})

    def without_venues(self) -> Config:
        """The same system with nowhere to hedge: quicker to set up in tests."""
        markets = [market.model_dump() | {"venues": [], "base": None} for market in self.markets]
        return self.changed(uniswap=None, aave=None, markets=markets)

    def only_market(self, name: str) -> Config:
        """The same system with one market and its venues."""
        markets = [market.model_dump() for market in self.markets if market.name == name]
        if not markets:
            raise ValueError(f"{self.network} has no market {name}")
        hedging = self.hedging.model_dump() | {"gas_market": name}
        return self.changed(markets=markets, hedging=hedging)

    def with_quote_decimals(self, decimals: int) -> Config:
        """The same system on a test token of other decimals."""
        if self.quote.test is None:
            raise ValueError(f"{self.network} has a quote token of its own")
        token = self.quote.test.model_dump() | {"decimals": decimals}
        return self.changed(quote={"test": token})


def load(network: str | Path, *, rehearsed: bool = False) -> Config:
    """The deployment of a network, by name (`networks/<name>.yaml`) or by path; raises ConfigError.

    `extends: <name>` takes the sections that a file does not have from another one, and what its markets do not say
    from the other's markets of that name. A <placeholder> is refused; `rehearsed` puts addresses that nobody has there.
    """
    path = Path(network)
    if path.suffix not in (".yaml", ".yml"):
        path = NETWORKS / f"{network}.yaml"
    document = _read(path)
    return parse(_filled(document) if rehearsed else document, str(path))


def _filled(value: Any) -> Any:
    """Plain data with an address for every placeholder, the same for the same words."""
    if isinstance(value, dict):
        return {key: _filled(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_filled(part) for part in value]
    is_placeholder = isinstance(value, str) and value.startswith("<")
    return address_of(keccak(text=value)[12:]) if is_placeholder else value


def _read(path: Path) -> object:
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in NETWORKS.glob("*.yaml"))) or "none"
        raise ConfigError(f"{path} does not exist; networks here: {known}")
    try:
        document = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: {error}") from None
    if not isinstance(document, dict):
        return document
    document = {key: value for key, value in document.items() if not key.startswith("x-")}
    if (base := document.pop("extends", None)) is None:
        return document
    inherited = _read(NETWORKS / f"{base}.yaml")
    if isinstance(inherited, dict) and "markets" in document:
        by_name = {market["name"]: market for market in inherited["markets"]}
        document["markets"] = [by_name.get(market["name"], {}) | market for market in document["markets"]]
    return inherited | document if isinstance(inherited, dict) else inherited


def parse(document: object, origin: str) -> Config:
    """A deployment from plain data; raises ConfigError that says where in `origin`."""
    try:
        return Config.model_validate(document)
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, item['loc'])) or '(file)'}: {item['msg']}" for item in error.errors()]
        raise ConfigError("\n".join([f"{origin}:", *lines])) from None
