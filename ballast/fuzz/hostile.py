"""What strangers, tokens and venues do that nobody wants: calls nobody may make, calls from inside other calls, too
little gas, lies, ether."""

from __future__ import annotations

from typing import Any

from eth_abi.grammar import TupleType, parse

from ballast.chain import Contract, Reverted
from ballast.chain.codec import Function
from ballast.fuzz.actions import action
from ballast.fuzz.world import Broken, Manner, Meddling, World
from ballast.model.exact.fixed import Reverted as TwinReverted
from ballast.model.exact.system import System as Twin
from ballast.model.roles import NOT_ALLOWED, OFFICE, PERMISSIONLESS, POWERS
from ballast.testing.hedge_world import Manner as VenueManner

ABSENT = ("PythFeed", "Steward", "Governor", "Timelock")  # no world has them
# What everybody may at least try: an agent's hedge is refused by a reason of its own.
PUBLIC = {name: fns for name, fns in PERMISSIONLESS.items() if name not in ABSENT} | {"Mandates": ("hedge", "revoke")}
LEAST_GAS = 60_000  # with less no transaction begins: it pays 21,000, and 16 for every byte it brings
OF_POOLS = "uniswapV3SwapCallback"  # what is theirs to call at a venue
OF_INVENTORY = ("RebateAuction", "pay")


def functions(contract: Contract, *, views: bool = False) -> list[Function]:
    """What can be called, overloads included: what changes state, or what does not."""
    every = [function for overloads in contract.artifact.functions.values() for function in overloads]
    return [function for function in every if function.is_view == views]


def types(function: Function) -> list[Any]:
    """Parsed ABI types of the arguments."""
    if not function.inputs.names:
        return []
    parsed = parse(function.inputs.signature)
    assert isinstance(parsed, TupleType)
    return list(parsed.components)


def refusal(contract: Contract, fn: str) -> str:
    """What a contract says to whoever calls what is not theirs."""
    name = contract.artifact.name
    if (name, fn) == OF_INVENTORY:
        return "auction: not inventory"
    if name in POWERS:
        return NOT_ALLOWED
    if name == "NullVenue":
        return "venue: null"
    return "venue: not the pool" if fn == OF_POOLS else "venue: not the manager"


def resolve(w: World, value: Any) -> Any:
    """An argument as a step holds it: names of actors and contracts become addresses, 0x... becomes bytes."""
    if isinstance(value, list):
        return [resolve(w, each) for each in value]
    if not isinstance(value, str):
        return value
    return bytes.fromhex(value[2:]) if value.startswith("0x") else w.address(value)


@action("{who} calls {contract}.{fn}, which is not theirs to call")
def intrude(w: World, who: str, contract: str, fn: str, args: list[Any]) -> None:
    """`fn` is a full signature. Nothing happens when the caller may do it after all."""
    target, name = w.contracts[contract], fn.partition("(")[0]
    table = w.roles.get(target.artifact.name)
    if name in PUBLIC.get(target.artifact.name, ()) or name in OFFICE:
        return

    def refuse(t: Twin) -> None:
        raise TwinReverted(refusal(target, name))

    if table is None or not table.may_call(w.address(who), target.artifact.name, name):
        w.do(target, fn, *resolve(w, args), sender=who, twin=refuse)


# ---- meddling with the next call


@action("the next call has {gas} gas")
def starve(w: World, gas: int) -> None:
    w.meddling = Meddling(gas=max(gas, LEAST_GAS))


@action("during the next call the token does this: {manner} ({banned})")
def rude_token(w: World, manner: str, banned: str = "nobody") -> None:
    """`manner` is a name of `world.Manner`; `banned` matters to BLACKLIST. A token that credits less than it takes
    changes what a hedge brings, which the twin cannot know: hedges are spared."""
    vital = frozenset(contract.address for contract in w.contracts.values())
    w.meddling = Meddling(manner=Manner[manner].value, banned=w.address(banned), vital=vital)


@action("from inside the next call {contract}.{fn} is called")
def call_inside(w: World, contract: str, fn: str, args: list[Any]) -> None:
    """By the quote token when it moves, and by a double when it trades."""
    target = w.contracts[contract]
    payload = target.tx(fn, *resolve(w, args)).data
    w.meddling = Meddling(
        manner=Manner.REENTER.value, target=target.address, payload=payload, inside=(target.artifact.name, fn)
    )


# ---- venues that behave as they are told


@action("venue {venue} behaves like this: {manners}")
def misbehave(w: World, venue: int, manners: list[str], skew: int = 0, told_bps: int = 10_000) -> None:
    """Names of `VenueManner`; `skew` [base, WAD] and `told_bps` are lies about exposure and equity."""
    if venue not in w.doubles:
        return
    flags = VenueManner(0)
    for manner in manners:
        flags |= VenueManner[manner]
    w.doubles[venue].send("set_manners", flags.value)
    w.doubles[venue].send("set_lies", skew, told_bps)
    twin = w.double(venue)
    twin.manners, twin.skew, twin.told_bps = flags, skew, told_bps


@action("venue {venue} trades at {spot:wad}, on average at {twap:wad}")
def reprice(w: World, venue: int, spot: int, twap: int) -> None:
    if venue in w.doubles:
        w.doubles[venue].send("set_price", spot, twap)
        w.double(venue).spot, w.double(venue).twap = spot, twap


@action("venue {venue} suddenly holds {held:base}")
def endow(w: World, venue: int, held: int) -> None:
    if venue in w.doubles:
        w.doubles[venue].send("set_held", held)
        w.double(venue).held = held


# ---- ether


@action("{who} sends {wei} wei along with {contract}.{fn}")
def pay_ether(w: World, who: str, contract: str, fn: str, args: list[Any], wei: int) -> None:
    """No function takes ether, whatever else it would say to the call; nor does a contract without a call."""
    target = w.contracts[contract]
    tx = target.tx(fn, *resolve(w, args), sender=w.address(who), value=wei)
    try:
        w.chain.transact(tx)
    except Reverted:
        return
    raise Broken("no_contract_takes_ether", f"{contract}.{fn} took {wei} wei")


@action("{contract} is forced to hold {wei} wei")
def force_ether(w: World, contract: str, wei: int) -> None:
    """As a contract that destroys itself can: nobody may notice."""
    w.chain.set_balance(w.contracts[contract].address, wei)
