"""What governor, guardian and admins do, and what happens when anybody else tries: roles and parameters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, replace
from typing import Any

from ballast.fuzz.actions import action
from ballast.fuzz.world import GRACE, NOBODY, World
from ballast.model.exact.fixed import Reverted
from ballast.model.exact.inventory import Params as InventoryTerms
from ballast.model.exact.oracle import FixedFeed
from ballast.model.exact.system import System as Twin
from ballast.model.roles import Role
from ballast.model.words import InventoryParams

# ---- roles


@action("{who} gives {holder} roles {flags} at {contract}")
def grant_role(w: World, who: str, contract: str, holder: str, flags: int) -> None:
    """`flags` of `Role`; the zero address may hold some, for what it is worth."""
    _table(w, who, contract, "grant_role", lambda table: table.grant(*_who(w, who, holder), Role(flags)), holder, flags)


@action("{who} takes roles {flags} from {holder} at {contract}")
def revoke_role(w: World, who: str, contract: str, holder: str, flags: int) -> None:
    _table(
        w, who, contract, "revoke_role", lambda table: table.revoke(*_who(w, who, holder), Role(flags)), holder, flags
    )


@action("{who} gives SETUP up at {contract}")
def renounce_setup(w: World, who: str, contract: str) -> None:
    _table(w, who, contract, "renounce_setup", lambda table: table.renounce_setup(w.address(who)))


@action("{who} offers the office of {contract} to {to}")
def offer_admin(w: World, who: str, contract: str, to: str) -> None:
    _table(w, who, contract, "offer_admin", lambda table: table.offer_admin(*_who(w, who, to)), to)


@action("{who} accepts the office of {contract}")
def accept_admin(w: World, who: str, contract: str) -> None:
    _table(w, who, contract, "accept_admin", lambda table: table.accept_admin(w.address(who)))


def _table(w: World, who: str, contract: str, fn: str, act: Callable[[Any], None], *args: Any) -> None:
    """A call about the table of roles of one contract; a holder among the arguments is named."""
    target = w.contracts[contract]
    encoded = [w.address(each) if isinstance(each, str) else each for each in args]
    w.do(target, fn, *encoded, sender=who, twin=lambda t: act(w.roles[target.artifact.name]))


def _who(w: World, *names: str) -> tuple[str, ...]:
    return tuple(w.address(name) for name in names)


# ---- parameters


@action("{who} sets {field} of {of} to {value}")
def set_parameter(w: World, who: str, of: str, field: str, value: int, number: int = 0) -> None:
    """One field of the parameters of `of`, the others as they are; `number` is the market or venue where there are
    several. What does not fit the word in which Inventory keeps its parameters cannot be sent."""
    contract, fn, args, twin = _setter(w, of, field, value, number)
    if contract is not None:
        w.do(contract, fn, *args, sender=who, twin=twin)


def parameters(w: World, of: str, number: int = 0) -> Any:
    """The struct in force, as the setter takes it."""
    match of:
        case "market":
            return w.twin.perp_engine.config(number).params
        case "oracle":
            return w.twin.oracle.markets[number].params
        case "inventory":
            return _inventory_params(w.inventory.params)
        case "spreads":
            return w.inventory.market_params[number]
        case "options":
            return w.options.configs[number]
        case "rule":
            return w.manager.rule
        case "venue":
            return w.manager.venues[number].params
        case _:
            return w.vault.params


OFFICES = ("market", "oracle", "inventory", "spreads", "options", "rule", "venue", "vault")


def _setter(w: World, of: str, field: str, value: int, number: int) -> tuple[Any, str, tuple[Any, ...], Any]:
    """Contract, function, arguments and twin of a change; no contract when it cannot be encoded."""
    system, old = w.system, parameters(w, of, number)
    new = replace(old, **{field: type(getattr(old, field))(value)})  # a switch is not a number to the encoder
    match of:
        case "market":
            return (
                system.perp_engine, "set_params", (number, astuple(new)),
                lambda t: t.perp_engine.set_params(number, new),
            )  # fmt: skip
        case "oracle":
            return system.oracle, "set_params", (number, astuple(new)), lambda t: t.oracle.set_params(number, new)
        case "inventory" | "spreads":
            try:
                word = new.pack()
            except ValueError:
                return None, "", (), None
            if of == "spreads":
                return (
                    system.inventory, "set_market_params", (number, word),
                    lambda t: t.inventory.set_market_params(number, new),
                )  # fmt: skip
            return (
                system.inventory, "set_params", (word,),
                lambda t: t.inventory.set_params(InventoryTerms.of(new), w.now),
            )  # fmt: skip
        case "options":
            return (
                system.option_engine, "set_params", (number, astuple(new)),
                lambda t: t.option_engine.set_params(number, new),
            )  # fmt: skip
        case "rule":
            return system.hedge_manager, "set_rule", (astuple(new),), lambda t: t.hedge_manager.set_rule(new)
        case "venue":
            return (
                system.hedge_manager, "set_venue_params", (number, astuple(new)),
                lambda t: t.hedge_manager.set_venue_params(number, new),
            )  # fmt: skip
        case _:
            return system.vault, "set_params", (astuple(new),), lambda t: t.vault.set_params(new)


def _inventory_params(p: InventoryTerms) -> InventoryParams:
    x = p.weights
    return InventoryParams(
        x.aversion, x.knee, x.c_lo, x.c_hi, x.omega, x.u_star, x.u_max, p.horizon, x.rho, p.funding_max,
        p.release_period, p.sweep_age, p.borrow_kink, p.borrow_max,
    )  # fmt: skip


@action("{who} lowers the deposit cap to {cap:wad}")
def lower_deposit_cap(w: World, who: str, cap: int) -> None:
    def lower(t: Twin) -> None:
        assert t.vault is not None
        t.vault.lower_deposit_cap(cap)

    w.do(w.system.vault, "lower_deposit_cap", cap, sender=who, twin=lower)


@action("{who} puts a new adapter before the feed of {market:market}")
def replace_feed(w: World, who: str, market: int, silent: bool = False) -> None:
    """The same aggregator behind another ChainlinkFeed: refused unless it says something newer. Or `silent`, an address
    that answers nothing."""
    if silent:
        w.do(
            w.system.oracle, "set_feed", market, w.address("stranger"),
            sender=who, twin=lambda t: t.oracle.set_feed(market, FixedFeed(), w.now),
        )  # fmt: skip
        return
    proxy = w.system.markets[market].feed.call("aggregator")
    sequencer, grace = (w.sequencer.address, GRACE) if w.sequencer is not None else (w.address(NOBODY), 0)
    adapter = w.chain.deploy("ChainlinkFeed", proxy, sequencer, grace)
    w.do(
        w.system.oracle, "set_feed", market, adapter.address,
        sender=who, twin=lambda t: t.oracle.set_feed(market, w.feeds[market], w.now),
    )  # fmt: skip


@action("{who} puts a new Margin in the place of the old")
def replace_margin(w: World, who: str) -> None:
    system = w.system
    options = [w.view(system.margin, name) for name in ("option_engine", "option_book", "surface")]
    margin = w.chain.deploy("Margin", system.clearinghouse, system.perp_engine, system.oracle, *options)
    w.do(system.clearinghouse, "set_margin", margin.address, sender=who, twin=lambda t: None)


@action("{who} lists what is listed already: {what} {number}")
def list_again(w: World, who: str, what: str, number: int) -> None:
    """A market at PerpEngine or a venue at HedgeManager."""

    def refuse(t: Twin) -> None:
        raise Reverted("perps: already listed" if what == "market" else "hedge: venue listed already")

    params = astuple(parameters(w, what, number))
    if what == "market":
        w.do(w.system.perp_engine, "list_market", number, params, sender=who, twin=refuse)
    else:
        venue = w.contracts[f"venue{number}"]
        w.do(w.system.hedge_manager, "list_venue", venue.address, 0, params, sender=who, twin=refuse)
