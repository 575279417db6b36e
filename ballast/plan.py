"""The deployment as data: which contracts, in which order, wired how, and which view shows that each step is done.

One list of steps serves everybody. Tests run it on an empty chain, `ballast.deployment.deploy` runs it with a journal
and asks the chain what is done already, `ballast.deployment.verify` reads the same views again months later.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass
from typing import Any, Literal

from eth_utils.crypto import keccak

from ballast.chain import Artifact, Chain, Contract, Reverted, Tx, address_of, load
from ballast.config import ZERO, Config, Feed, Governance, Market, PythFeed, ShortVenue, Venue
from ballast.model.exact.steward import MAX_WORDS, Lever
from ballast.model.roles import Role
from ballast.parameters import SURFACES, Surface

About = Literal["wiring", "parameter", "switch"]
Plain = Any  # int, bool, str, or tuples of them


@dataclass(frozen=True, slots=True)
class At:
    """The address of the contract that the plan calls `key`."""

    key: str


@dataclass(slots=True)
class Deployed:
    """Addresses found so far, by key, on one chain."""

    chain: Chain
    addresses: dict[str, str]

    def resolve(self, argument: Any) -> Any:
        """An argument with every `At` replaced by an address, structs as tuples."""
        if isinstance(argument, At):
            return self.addresses[argument.key]
        if isinstance(argument, tuple | list):
            return tuple(self.resolve(part) for part in argument)
        return argument

    def contract(self, key: str, artifact: str | Artifact) -> Contract:
        """The wrapper of a contract of the plan."""
        return self.chain.at(artifact, self.addresses[key])


@dataclass(frozen=True, slots=True)
class Read:
    """A view and what it must answer."""

    target: str
    fn: str
    args: tuple[Any, ...]
    expected: Plain
    about: About

    def actual(self, deployed: Deployed, plan: Plan) -> Plain:
        """What the chain answers; raises Reverted."""
        return plain(
            deployed.contract(self.target, plan.artifact(self.target)).call(self.fn, *deployed.resolve(self.args))
        )

    def wanted(self, deployed: Deployed) -> Plain:
        """What it should answer, addresses filled in."""
        return plain(deployed.resolve(self.expected))

    def holds(self, deployed: Deployed, plan: Plan) -> bool:
        """Whether the chain answers it; a view that reverts does not."""
        try:
            return bool(self.actual(deployed, plan) == self.wanted(deployed))
        except Reverted:
            return False


@dataclass(frozen=True, slots=True)
class Deploy:
    """Creates a contract."""

    key: str
    contract: str
    args: tuple[Any, ...]

    @property
    def title(self) -> str:
        return f"deploy {self.key}"

    @property
    def artifact(self) -> Artifact:
        return load(self.contract)

    def initcode(self, deployed: Deployed) -> bytes:
        """Creation code and constructor arguments."""
        artifact = self.artifact
        return artifact.bytecode + artifact.constructor.encode(deployed.resolve(self.args))

    def tx(self, deployed: Deployed, plan: Plan, sender: str) -> Tx:
        return Tx(None, self.initcode(deployed), sender)


@dataclass(frozen=True, slots=True)
class Call:
    """Sends one transaction; done when all of `shown_by` hold."""

    title: str
    target: str
    fn: str
    args: tuple[Any, ...]
    shown_by: tuple[Read, ...]

    def tx(self, deployed: Deployed, plan: Plan, sender: str) -> Tx:
        contract = deployed.contract(self.target, plan.artifact(self.target))
        return contract.tx(self.fn, *deployed.resolve(self.args), sender=sender)

    def done(self, deployed: Deployed, plan: Plan) -> bool:
        return all(read.holds(deployed, plan) for read in self.shown_by)


@dataclass(frozen=True, slots=True)
class Grant:
    """Gives a role; done when the holder has it."""

    target: str
    holder: At | str
    role: Role

    @property
    def title(self) -> str:
        holder = self.holder.key if isinstance(self.holder, At) else self.holder
        return f"{self.target}: grant {self.role.name} to {holder}"

    def tx(self, deployed: Deployed, plan: Plan, sender: str) -> Tx:
        contract = deployed.contract(self.target, plan.artifact(self.target))
        return contract.tx("grant_role", deployed.resolve(self.holder), int(self.role), sender=sender)

    def done(self, deployed: Deployed, plan: Plan) -> bool:
        contract = deployed.contract(self.target, plan.artifact(self.target))
        return self.role in Role(contract.call("roles_of", deployed.resolve(self.holder)))


@dataclass(frozen=True, slots=True)
class Renounce:
    """The deployer gives its powers over one contract up; done when it has none."""

    target: str

    @property
    def title(self) -> str:
        return f"{self.target}: deployer renounces"

    def tx(self, deployed: Deployed, plan: Plan, sender: str) -> Tx:
        return deployed.contract(self.target, plan.artifact(self.target)).tx("renounce_setup", sender=sender)

    def done(self, deployed: Deployed, plan: Plan) -> bool:
        contract = deployed.contract(self.target, plan.artifact(self.target))
        return Role.SETUP not in Role(contract.call("roles_of", plan.setup))


Step = Deploy | Call | Grant | Renounce

GOVERNED = (
    "oracle", "clearinghouse", "auction", "inventory", "perp_engine", "surface", "option_book", "option_engine",
    "hedge_manager", "mandates", "vault", "steward",
)  # fmt: skip
"""Contracts with a table of roles."""

TIMELOCK_ADMIN = bytes(32)
PROPOSER, CANCELLER, EXECUTOR = (keccak(text=f"{name}_ROLE") for name in ("PROPOSER", "CANCELLER", "EXECUTOR"))
"""Roles of the timelock: its own, apart from `Role`."""


class Plan:
    """All steps for one config, deployer and admin."""

    def __init__(self, config: Config, setup: str, *, renounce: bool = True) -> None:
        missing = config.missing()
        if missing:
            raise ValueError(f"{config.network}: no address for {', '.join(missing)}")
        self.config = config
        self.setup = address_of(setup)
        self.governance = config.governor if isinstance(config.governor, Governance) else None
        self.governor: At | str = At("timelock") if isinstance(config.governor, Governance) else config.governor
        self.guardian = config.guardian
        self.renounces = renounce
        self.steps: list[Step] = list(_steps(self))
        self.contracts = {step.key: step for step in self.steps if isinstance(step, Deploy)}

    def artifact(self, key: str) -> Artifact:
        """ABI and code of a contract of the plan."""
        return self.contracts[key].artifact

    def external(self) -> dict[str, str]:
        """Contracts that were there before, by key."""
        config = self.config
        found = {"quote": config.quote.address}
        if config.uniswap is not None:
            found["router"] = config.uniswap.router
        if config.aave is not None:
            found["aave"] = config.aave.pool
        for market in config.markets:
            for _, source, feed in feeds(market):
                found[source] = feed.address
            found[f"sequencer/{market.name}"] = market.feed.sequencer
            found[f"base/{market.name}"] = market.base.address if market.base else None
        return {key: address for key, address in found.items() if address is not None}

    def start(self, chain: Chain, addresses: Mapping[str, str] | None = None) -> Deployed:
        """What is known before the first step, or later."""
        return Deployed(chain, {**self.external(), **(addresses or {})})

    def roles(self, deployed: Deployed) -> dict[str, dict[str, Role]]:
        """Who must hold what, by contract key and holder, and nobody else anything."""
        governor = deployed.resolve(self.governor)
        table: dict[str, dict[str, Role]] = {key: {governor: Role.GOVERNOR} for key in GOVERNED}
        if not self.renounces:
            for key in GOVERNED:
                table[key][self.setup] = table[key].get(self.setup, Role(0)) | Role.SETUP
        for step in self.steps:
            if isinstance(step, Grant):
                holder = deployed.resolve(step.holder)
                table[step.target][holder] = table[step.target].get(holder, Role(0)) | step.role
        return table

    def timelock_roles(self, deployed: Deployed) -> dict[bytes, set[str]]:
        """Who must hold which role of the timelock, by the hash of its name, and nobody else any."""
        if self.governance is None:
            return {}
        timelock, governor = deployed.addresses["timelock"], deployed.addresses["governor"]
        council = {self.governance.council} if self.governance.council else set()
        return {
            TIMELOCK_ADMIN: {timelock} if self.renounces else {timelock, self.setup},
            PROPOSER: {governor} | council,
            CANCELLER: {governor},
            EXECUTOR: {ZERO},
        }

    def reads(self) -> list[Read]:
        """Every view that the finished system must answer as planned."""
        shown = [read for step in self.steps if isinstance(step, Call) for read in step.shown_by]
        return [*_wiring(self), *shown]


def plain(value: Any) -> Plain:
    """Structs and arrays as tuples, bytes as hex: comparable, and the same after a trip through JSON."""
    if isinstance(value, tuple | list):
        return tuple(plain(part) for part in value)
    if isinstance(value, bytes):
        return "0x" + value.hex()
    return value


def _steps(plan: Plan) -> Iterator[Step]:
    config, admin = plan.config, (plan.governor, plan.setup)
    oracle, clearinghouse, inventory = At("oracle"), At("clearinghouse"), At("inventory")
    perp_engine, hedge_manager, vault = At("perp_engine"), At("hedge_manager"), At("vault")
    surface, option_book, option_engine = At("surface"), At("option_book"), At("option_engine")

    if plan.governance is not None:
        council = plan.governance.council or ZERO
        yield Deploy("timelock", "Timelock", (plan.governance.delay, council, plan.setup))
    yield Deploy("oracle", "PriceOracle", admin)
    yield Deploy("clearinghouse", "Clearinghouse", (*admin, At("quote"), oracle))
    yield Deploy("auction", "RebateAuction", (*admin, clearinghouse))
    yield Deploy("inventory", "Inventory", (*admin, oracle, clearinghouse, At("auction")))
    yield Deploy("perp_engine", "PerpEngine", (*admin, clearinghouse, inventory, oracle))
    yield Deploy("surface", "VolSurface", admin)
    yield Deploy("pricer", "OptionPricer", ())
    yield Deploy("option_book", "OptionBook", (*admin, surface, At("pricer")))
    yield Deploy("option_engine", "OptionEngine", (*admin, clearinghouse, inventory, oracle, surface, option_book))
    yield Deploy("margin", "Margin", (clearinghouse, perp_engine, oracle, option_engine, option_book, surface))
    yield Deploy("hedge_manager", "HedgeManager", (*admin, clearinghouse, inventory, oracle))
    yield Deploy("mandates", "Mandates", (*admin, hedge_manager))
    yield Deploy("carry", "Carry", (perp_engine, hedge_manager, oracle))
    neighbours = (clearinghouse, inventory, oracle, perp_engine, option_book, hedge_manager)
    yield Deploy("vault", "Vault", (*admin, *neighbours, config.vault.name, config.vault.symbol))
    if plan.governance is not None:
        ballot = (plan.guardian or ZERO, plan.governance.params())
        yield Deploy("governor", "Governor", (vault, At("timelock"), *ballot))
    backing = (clearinghouse, perp_engine, option_engine, option_book, oracle)
    yield Deploy("liquidator", "Liquidator", backing)
    winners = (clearinghouse, perp_engine, option_book, oracle, vault)
    yield Deploy("deleverager", "Deleverager", (*winners, *config.deleveraging.params()))
    yield Deploy("close_queue", "CloseQueue", (*backing, *config.close_queue.params()))
    everything = (clearinghouse, perp_engine, option_book, At("pricer"), oracle, hedge_manager, vault)
    yield Deploy("global_settlement", "GlobalSettlement", everything)
    seen = (vault, clearinghouse, inventory, perp_engine, option_engine, hedge_manager, oracle, At("auction"))
    yield Deploy("lens", "Lens", seen)
    yield Deploy("steward", "Steward", admin)

    yield Call(
        "clearinghouse: set margin", "clearinghouse", "set_margin", (At("margin"),),
        (Read("clearinghouse", "margin", (), At("margin"), "wiring"),),
    )  # fmt: skip
    yield Grant("clearinghouse", perp_engine, Role.ENGINE)
    yield Grant("clearinghouse", option_engine, Role.ENGINE)
    yield Grant("clearinghouse", hedge_manager, Role.HEDGER)
    yield Grant("clearinghouse", vault, Role.VAULT)
    yield Grant("clearinghouse", inventory, Role.INVENTORY)
    yield Grant("clearinghouse", At("auction"), Role.INVENTORY)
    yield Grant("inventory", At("auction"), Role.INVENTORY)
    yield Call(
        "auction: set inventory", "auction", "set_inventory", (inventory,),
        (Read("auction", "inventory", (), inventory, "wiring"),),
    )  # fmt: skip
    for closer in ("liquidator", "deleverager", "close_queue"):
        yield Grant("clearinghouse", At(closer), Role.CLOSER)
        yield Grant("perp_engine", At(closer), Role.CLOSER)
    for closer in ("liquidator", "close_queue"):
        yield Grant("option_engine", At(closer), Role.CLOSER)
    yield Grant("clearinghouse", At("global_settlement"), Role.SETTLER)
    yield Grant("inventory", perp_engine, Role.ENGINE)
    yield Grant("inventory", option_engine, Role.ENGINE)
    yield Grant("inventory", hedge_manager, Role.HEDGER)
    yield Grant("option_book", option_engine, Role.ENGINE)
    yield Grant("hedge_manager", At("mandates"), Role.HEDGER)
    yield Grant("perp_engine", At("carry"), Role.HEDGER)
    if plan.guardian is not None:
        for key in (
            "auction",
            "perp_engine",
            "surface",
            "option_engine",
            "hedge_manager",
            "mandates",
            "vault",
            "steward",
        ):
            yield Grant(key, plan.guardian, Role.GUARDIAN)

    if plan.governance is not None:
        yield from _timelock_steps(plan)

    insurance, liquidator, lp = config.clearing.shares()
    yield Call(
        "clearinghouse: shares of fees and penalties", "clearinghouse", "set_shares", (insurance, liquidator, lp),
        (
            Read("clearinghouse", "shares", (), (insurance, liquidator, lp), "parameter"),
        ),
    )  # fmt: skip
    params = config.inventory.params()
    yield Call(
        "inventory: parameters", "inventory", "set_params", (params.pack(),),
        (Read("inventory", "params", (), params.view(), "parameter"),),
    )  # fmt: skip
    auction = config.auction.params()
    yield Call(
        "auction: parameters", "auction", "set_params", (auction,),
        (Read("auction", "params", (), auction, "parameter"),),
    )  # fmt: skip
    rule = config.hedging.rule(config.gas_market)
    yield Call(
        "hedge_manager: rule", "hedge_manager", "set_rule", (rule,),
        (Read("hedge_manager", "terms", (), rule, "parameter"),),
    )  # fmt: skip
    yield Call(
        "vault: parameters", "vault", "set_params", (config.vault.params(),),
        (Read("vault", "params", (), config.vault.params(), "parameter"),),
    )  # fmt: skip

    if config.surface is not None:
        for signer in config.surface.signers:
            yield Call(
                f"surface: let {signer} sign", "surface", "set_signer", (signer, True),
                (Read("surface", "is_signer", (signer,), True, "parameter"),),
            )  # fmt: skip
        threshold = config.surface.threshold
        yield Call(
            "surface: threshold", "surface", "set_threshold", (threshold,),
            (Read("surface", "threshold", (), threshold, "parameter"),),
        )  # fmt: skip

    venue_id = 0
    for market_id, market in enumerate(config.markets):
        yield from _market_steps(market_id, market)
        for number, venue in enumerate(market.venues):
            yield from _venue_steps(venue_id, market_id, market, number, venue)
            venue_id += 1
    yield from _steward_steps(config)

    if plan.renounces:
        for key in GOVERNED:
            yield Renounce(key)


def _timelock_steps(plan: Plan) -> Iterator[Step]:
    """The Governor proposes and cancels; then the deployer gives its power over roles up."""
    for name, role in (("proposer", PROPOSER), ("canceller", CANCELLER)):
        yield Call(
            f"timelock: governor is {name}", "timelock", "grantRole", (role, At("governor")),
            (Read("timelock", "hasRole", (role, At("governor")), True, "wiring"),),
        )  # fmt: skip
    if plan.renounces:
        yield Call(
            "timelock: deployer renounces", "timelock", "renounceRole", (TIMELOCK_ADMIN, plan.setup),
            (Read("timelock", "hasRole", (TIMELOCK_ADMIN, plan.setup), False, "wiring"),),
        )  # fmt: skip


def _market_steps(market_id: int, market: Market) -> Iterator[Step]:
    name, feed = market.name, At(f"feed/{market.name}")
    for key, source, each in feeds(market):
        uptime = (each.sequencer or ZERO, each.grace_period)
        if isinstance(each, PythFeed):
            yield Deploy(key, "PythFeed", (At(source), each.id, *uptime))
        else:
            yield Deploy(key, "ChainlinkFeed", (At(source), *uptime))

    max_age, fast, slow, floor, cap, clip, _, has_half_width = market.oracle_params()
    yield Call(
        f"oracle: list {name}", "oracle", "list_market", (feed, market.oracle_params()),
        (
            Read("oracle", "config", (market_id,), (feed, max_age, has_half_width, False), "parameter"),
            Read("oracle", "tuning", (market_id,), (fast, slow, floor, cap, clip), "parameter"),
        ),
    )  # fmt: skip
    if market.second is not None:
        second = (At(f"feed/{name}/second"), *market.second.params())
        yield Call(
            f"oracle: second feed of {name}", "oracle", "set_second", (market_id, second),
            (Read("oracle", "second", (market_id,), second, "parameter"),),
        )  # fmt: skip
    spreads = market.inventory.params()
    yield Call(
        f"inventory: list {name}", "inventory", "set_market_params", (market_id, spreads.pack()),
        (Read("inventory", "market_params", (market_id,), spreads.view(), "parameter"),),
    )  # fmt: skip
    perps = market.perps.params()
    yield Call(
        f"perp_engine: list {name}", "perp_engine", "list_market", (market_id, perps),
        (Read("perp_engine", "config", (market_id,), (perps, True, False), "parameter"),),
    )  # fmt: skip
    if market.options is not None:
        drift, options = market.options.drift.params(), market.options.params()
        yield Call(
            f"surface: list {name}", "surface", "set_drift", (market_id, drift),
            (Read("surface", "drift", (market_id,), drift, "parameter"),),
        )  # fmt: skip
        yield Call(
            f"option_engine: list {name}", "option_engine", "set_params", (market_id, options),
            (
                Read("option_engine", "params", (market_id,), options, "parameter"),
                Read("option_engine", "is_paused", (market_id,), False, "switch"),
            ),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Levers:
    """What the Steward may move by one setter, for the system or a market or venue; its id is its place in `levers`."""

    surface: Surface
    place: str  # name of the market or venue; nothing for the system
    key: int | None  # its id
    by_word: Mapping[int, Lever]

    @property
    def name(self) -> str:
        return f"{self.place}.{self.surface.name}" if self.place else self.surface.name

    @property
    def argument(self) -> bytes:
        """The first argument of view and setter, encoded."""
        return b"" if self.key is None else self.key.to_bytes(32, "big")


def in_bands(config: Config, read: Read, actual: Plain) -> bool:
    """Whether a view differs from the config only where the Steward may move it, and is inside its bands there."""
    for each in levers(config):
        args = () if each.key is None else (each.key,)
        if (each.surface.contract, each.surface.view, args) == (read.target, read.fn, read.args):
            pairs = enumerate(zip(flat(read.expected), flat(actual), strict=True))
            return all(
                wanted == found
                or ((lever := each.by_word.get(i)) is not None and lever.floor <= found <= lever.ceiling)
                for i, (wanted, found) in pairs
            )
    return False


def flat(value: Plain) -> list[Plain]:
    """The words of a view."""
    return [word for part in value for word in flat(part)] if isinstance(value, tuple | list) else [value]


def levers(config: Config) -> list[Levers]:
    """All that the Steward may move, by id: the system's, then market by market, so that one more market comes last."""
    if config.steward is None:
        return []
    found = [
        Levers(surface, place, key, by_word)
        for surface in SURFACES
        if (by_word := config.steward.settings(surface))
        for place, key in places(config, surface)
    ]
    order = {market.name: i for i, market in enumerate(config.markets)}
    return sorted(found, key=lambda each: next((order[part] for part in each.place.split("/") if part in order), -1))


def places(config: Config, surface: Surface) -> list[tuple[str, int | None]]:
    """Name and id of each market or venue that a setter is called for; one without either for the whole system."""
    match surface.each:
        case "market":
            return [(market.name, i) for i, market in enumerate(config.markets)]
        case "options":
            return [(market.name, i) for i, market in enumerate(config.markets) if market.options is not None]
        case "venue":
            numbered = ((market, number) for market in config.markets for number, _ in enumerate(market.venues))
            return [(venue_key(market.name, number), i) for i, (market, number) in enumerate(numbered)]
        case _:
            return [("", None)]


def _steward_steps(config: Config) -> Iterator[Step]:
    if config.steward is None:
        return
    if config.steward.key is not None:
        yield Call(
            "steward: key", "steward", "set_key", (config.steward.key,),
            (Read("steward", "key", (), config.steward.key, "parameter"),),
        )  # fmt: skip
    found = levers(config)
    for contract in dict.fromkeys(each.surface.contract for each in found):
        yield Grant(contract, At("steward"), Role.STEWARD)
    for i, each in enumerate(found):
        functions = load(each.surface.artifact).functions
        read, write = (functions[fn][0].selector for fn in (each.surface.view, each.surface.setter))
        listed = (At(each.surface.contract), read, write, each.argument, each.surface.followers)
        yield Call(
            f"steward: know {each.name}", "steward", "list_surface", (listed,),
            (Read("steward", "surface", (i,), plain(listed), "parameter"),),
        )  # fmt: skip
        settings = tuple((word, astuple(lever)) for word, lever in each.by_word.items())
        all_words = tuple(astuple(each.by_word.get(word, Lever())) for word in range(MAX_WORDS))
        yield Call(
            f"steward: may move {each.name}", "steward", "set_levers", (i, settings),
            (Read("steward", "levers", (i,), all_words, "parameter"),),
        )  # fmt: skip


def _venue_steps(venue_id: int, market_id: int, market: Market, number: int, venue: Venue) -> Iterator[Step]:
    key = venue_key(market.name, number)
    haircut_bps = venue.params()[-1]
    arguments: tuple[Any, ...] = (
        At("hedge_manager"), At("clearinghouse"), At(f"base/{market.name}"), At("router"),
        tuple(venue.fees), venue.twap_window,
    )  # fmt: skip
    if isinstance(venue, ShortVenue):
        yield Deploy(key, "AaveShortVenue", (*arguments, At("aave"), *venue.bounds()))
    else:
        yield Deploy(key, "UniswapV3Venue", arguments)
    yield Call(
        f"hedge_manager: list {key}", "hedge_manager", "list_venue", (At(key), market_id, venue.params()),
        (
            Read("hedge_manager", "venue", (venue_id,), (At(key), market_id, False, False, haircut_bps), "parameter"),
            Read("hedge_manager", "venue_params", (venue_id,), venue.params(), "parameter"),
        ),
    )  # fmt: skip


def feeds(market: Market) -> Iterator[tuple[str, str, Feed | PythFeed]]:
    """(what the plan calls the adapter, what it calls its source, the config) of a market's feeds, in order."""
    for feed, suffix in zip(market.feeds, ("", "/second"), strict=False):
        source = "pyth" if isinstance(feed, PythFeed) else "aggregator"
        yield f"feed/{market.name}{suffix}", f"{source}/{market.name}{suffix}", feed


def venue_key(market: str, number: int) -> str:
    """What the plan calls a market's venues."""
    return f"venue/{market}/{number}"


def _wiring(plan: Plan) -> Iterator[Read]:
    """What constructors fixed, and switches that nobody has touched."""
    config = plan.config
    clearinghouse, inventory, oracle = At("clearinghouse"), At("inventory"), At("oracle")
    perp_engine, hedge_manager = At("perp_engine"), At("hedge_manager")
    surface, option_book = At("surface"), At("option_book")
    backing = (clearinghouse, perp_engine, At("option_engine"), option_book, oracle)
    neighbours: list[tuple[str, str, Any]] = [
        ("clearinghouse", "asset", At("quote")),
        ("clearinghouse", "oracle", oracle),
        ("perp_engine", "clearinghouse", clearinghouse),
        ("perp_engine", "inventory", inventory),
        ("perp_engine", "oracle", oracle),
        ("option_book", "neighbours", (surface, At("pricer"))),
        ("option_engine", "neighbours", (clearinghouse, inventory, oracle, surface, option_book)),
        ("margin", "clearinghouse", clearinghouse),
        ("margin", "perp_engine", perp_engine),
        ("margin", "oracle", oracle),
        ("margin", "option_engine", At("option_engine")),
        ("margin", "option_book", option_book),
        ("margin", "surface", surface),
        ("hedge_manager", "CLEARINGHOUSE", clearinghouse),
        ("hedge_manager", "INVENTORY", inventory),
        ("hedge_manager", "ORACLE", oracle),
        ("mandates", "HEDGE_MANAGER", hedge_manager),
        ("carry", "PERP_ENGINE", perp_engine),
        ("carry", "HEDGE_MANAGER", hedge_manager),
        ("carry", "ORACLE", oracle),
        ("liquidator", "neighbours", backing),
        ("deleverager", "neighbours", (clearinghouse, perp_engine, option_book, oracle, At("vault"))),
        ("deleverager", "params", config.deleveraging.params()),
        ("close_queue", "neighbours", backing),
        ("close_queue", "fee", *config.close_queue.params()),
        (
            "global_settlement",
            "neighbours",
            (clearinghouse, perp_engine, option_book, At("pricer"), oracle, hedge_manager, At("vault")),
        ),
        ("vault", "asset", At("quote")),
        ("vault", "neighbours", (clearinghouse, inventory, oracle, perp_engine, option_book, hedge_manager)),
        (
            "lens",
            "contracts",
            (
                At("vault"),
                clearinghouse,
                inventory,
                perp_engine,
                At("option_engine"),
                hedge_manager,
                oracle,
                At("auction"),
            ),
        ),
    ]
    if plan.governance is not None:
        neighbours += [("governor", "VAULT", At("vault")), ("governor", "TIMELOCK", At("timelock"))]
    for key, fn, expected in neighbours:
        yield Read(key, fn, (), expected, "wiring")
    if plan.governance is not None:
        yield Read("timelock", "get_minimum_delay", (), plan.governance.delay, "parameter")
        yield Read("governor", "params", (), plan.governance.params(), "parameter")
        yield Read("governor", "guardian", (), plan.guardian or ZERO, "parameter")
    for market in config.markets:
        for key, source, each in feeds(market):
            if isinstance(each, PythFeed):
                yield Read(key, "pyth", (), At(source), "wiring")
                yield Read(key, "id", (), each.id, "wiring")
            else:
                yield Read(key, "aggregator", (), At(source), "wiring")
            yield Read(key, "sequencer_feed", (), each.sequencer or ZERO, "wiring")
            yield Read(key, "grace_period", (), each.grace_period, "wiring")
        for number, venue in enumerate(market.venues):
            key = venue_key(market.name, number)
            yield Read(key, "BASE", (), At(f"base/{market.name}"), "wiring")
            yield Read(key, "QUOTE", (), At("quote"), "wiring")
            if isinstance(venue, ShortVenue):
                target, floor, markdown = venue.bounds()
                yield Read(key, "AAVE", (), At("aave"), "wiring")
                yield Read(key, "TARGET_HEALTH", (), target, "parameter")
                yield Read(key, "FLOOR_HEALTH", (), floor, "parameter")
                yield Read(key, "PAUSE_MARKDOWN_BPS", (), markdown, "parameter")
    for key in GOVERNED:
        yield Read(key, "admin", (), plan.governor, "wiring")
        yield Read(key, "pending_admin", (), ZERO, "wiring")

    for market_id, market in enumerate(config.markets):
        if market.second is None:
            yield Read("oracle", "second", (market_id,), (ZERO, 0, 0), "wiring")
        if market.options is None:  # without it nobody posts a surface, and no board is listed
            yield Read("surface", "drift", (market_id,), (0,) * 7, "parameter")
    count = len(config.markets)
    yield Read("oracle", "market_count", (), count, "switch")
    yield Read("inventory", "market_count", (), count, "switch")
    yield Read("perp_engine", "listed_mask", (), (1 << count) - 1, "switch")
    yield Read("surface", "signer_count", (), len(config.surface.signers) if config.surface else 0, "switch")
    yield Read("hedge_manager", "venue_count", (), sum(len(market.venues) for market in config.markets), "switch")
    yield Read("mandates", "mandate_count", (), 0, "switch")
    yield Read("vault", "deposits_paused", (), False, "switch")
    yield Read("steward", "surface_count", (), len(levers(config)), "switch")
    yield Read("steward", "is_frozen", (), False, "switch")
    if config.steward is None or config.steward.key is None:
        yield Read("steward", "key", (), ZERO, "parameter")
    yield Read("clearinghouse", "frozen", (), False, "switch")
