"""Tokens, venues and callers that mean harm: sequences that once broke something, and the search for the next."""

from __future__ import annotations

from contextlib import nullcontext
from random import Random
from typing import Any

import pytest

from ballast.chain import Reverted, RevmChain, reverts
from ballast.fuzz import history, hostile_bugs
from ballast.fuzz.actions import Step, perform
from ballast.fuzz.hostile import OF_INVENTORY, PUBLIC, functions, refusal, resolve
from ballast.fuzz.invariants import no_call_from_inside_goes_through
from ballast.fuzz.plan import Planner, arguments
from ballast.fuzz.planted import Bug
from ballast.fuzz.reach import EXPECTED_OF_ALL
from ballast.fuzz.runner import Failure, Stats, episode, replay
from ballast.fuzz.shrink import save, shrink, words
from ballast.fuzz.world import MAX_UINT, NOBODY, Manner, Setup, World
from ballast.model.exact.fixed import WAD
from ballast.model.exact.option_book import STRIKE_UNIT, key_of, pack
from ballast.model.roles import OFFICE, POWERS, Role

ANSWERS = (2_000 * 10**8, 40_000 * 10**8)  # of the feeds at first
OPENING: list[Step] = [
    ["lp_deposit", {"who": "lp1", "units": 10**12}],
    ["deposit_margin", {"who": "trader1", "units": 10**10, "to": "trader1"}],
    ["warp", {"seconds": 12}],
    ["sync_all", {"who": "keeper"}],
    ["warp", {"seconds": 12}],
    ["trade", {"who": "trader1", "market": 0, "size": WAD}],
    ["endow", {"venue": 2, "held": WAD}],
]


@pytest.mark.parametrize(
    ("skew", "told_bps"),
    [(0, 10**18), (0, 10**21), (10**9 * WAD, 10_000), (-(10**9) * WAD, 10_000), (2**111, 10_000), (-(2**111), 10_000)],
)
def test_venue_that_boasts_stops_nobody(skew: int, told_bps: int) -> None:
    """What it says fits the checks of an answer and not the words of Inventory, or only until the price moves."""
    after: list[Step] = [
        ["misbehave", {"venue": 2, "manners": [], "skew": skew, "told_bps": told_bps}],
        ["poke", {"who": "keeper", "venue": 2}],
        ["warp", {"seconds": 12}],
        ["push", {"market": 0, "answer": 4_000 * 10**8}],
        ["sync_all", {"who": "keeper"}],
        ["close", {"who": "trader1", "market": 0}],
        ["lp_deposit", {"who": "lp2", "units": 10**9}],
        ["poke", {"who": "keeper", "venue": 2}],
        ["misbehave", {"venue": 2, "manners": []}],
        ["poke", {"who": "keeper", "venue": 2}],
    ]
    world = replay([*OPENING, *after], Setup(doubles=1))
    assert all(outcome.ok for outcome in world.outcomes)
    assert world.twin.perp_engine.position(world.address("trader1"), 0).size == 0
    assert world.manager.venues[2].state.exposure == WAD


@pytest.mark.parametrize(("manner", "arrived"), [("FEE", 990), ("BURN", 0)])
def test_what_a_rude_token_keeps_is_no_gift_to_the_receiver(manner: str, arrived: int) -> None:
    withdrawal: list[Step] = [
        *OPENING[:2],
        ["rude_token", {"manner": manner}],
        ["withdraw_margin", {"who": "trader1", "units": 1_000, "to": "venue0"}],
    ]
    world = replay(withdrawal, Setup(token="RudeToken"))
    assert world.manager.venues[0].quote_units == arrived


def test_what_an_epoch_would_pay_may_be_asked_from_inside_while_nobody_waits() -> None:
    inside: Step = ["call_inside", {"contract": "vault", "fn": "preview_epoch()", "args": []}]
    deposit: Step = ["deposit_margin", {"who": "trader3", "units": 10**13, "to": "trader3"}]
    asked = replay([inside, deposit], Setup(8, "RudeToken"))
    assert asked.inside == ("Vault", "preview_epoch()")
    waiting: list[Step] = [
        ["lp_deposit", {"who": "lp1", "units": 10**10}],
        ["request", {"who": "lp1", "shares": WAD, "to": "lp1"}],
        ["warp", {"seconds": 21_600}],
        *(["push", {"market": market, "answer": answer}] for market, answer in enumerate(ANSWERS)),
        ["process_epoch", {"who": "keeper"}],
        ["request", {"who": "lp1", "shares": WAD, "to": "lp1"}],
    ]
    refused = replay([*waiting[:2], inside, deposit], Setup(8, "RudeToken"))
    assert refused.inside is None


def test_no_board_with_positions_is_renewed_from_inside() -> None:
    """Found by a search: with no reward to pay and nothing to release, the Clearinghouse was not asked."""
    expiry, strike = 1_700_035_200 + 7 * 86_400, 2_000 * WAD
    key = key_of(0, expiry)
    update = {"who": "keeper", "market": 0, "age": 0, "rho": 0, "eta": WAD, "signers": [0]}
    steps: list[Step] = [
        *OPENING[:5],
        ["deposit_margin", {"who": "trader1", "units": 10**11, "to": "trader1"}],
        ["trade", {"who": "trader1", "market": 0, "size": 199 * WAD}],
        ["reprice", {"venue": 2, "spot": ANSWERS[0] * 10**10, "twap": ANSWERS[0] * 10**10}],
        ["warp", {"seconds": 301}],
        *(["push", {"market": market, "answer": answer}] for market, answer in enumerate(ANSWERS)),
        ["sync_all", {"who": "keeper"}],
        ["post_surface", {**update, "points": [[expiry, 10**16, 0]], "age": 1}],
        ["list_strikes", {"who": "governor", "market": 0, "expiry": expiry, "strikes": [strike]}],
        ["trade_options", {"who": "trader1", "orders": [[pack(strike // STRIKE_UNIT, 0, key, False), WAD]]}],
        ["post_surface", {**update, "points": [[expiry, 10**16 + 1, 0]]}],
        ["call_inside", {"contract": "option_engine", "fn": "refresh(uint256,uint256)", "args": [0, expiry]}],
        ["rebalance", {"who": "keeper", "venue": 2, "market": 0, "size": 100 * WAD}],
    ]
    world = replay(steps, Setup(doubles=1, options=True, feeders=1), thorough=False)
    assert world.outcomes[-1].ok
    assert world.book.is_due(key, world.prices()[0], world.now)
    assert world.inside is None


def test_update_with_too_little_gas_leaves_no_trace() -> None:
    points = [[1_700_035_200, 10**15, 0], [1_700_553_600, 2 * 10**15, 0]]
    update = {"who": "stranger", "market": 1, "age": 100, "rho": 0, "eta": WAD, "points": points, "signers": [0, 2]}
    world = replay([["starve", {"gas": 100_000}], ["post_surface", update]], Setup(feeders=2))
    assert world.outcomes[-1].meddled
    assert world.surface is not None
    assert world.surface.last == {}


# ---- every function of every contract


@pytest.fixture(scope="module")
def world() -> World:
    """A vault with money, a trader with a position, a request that waits, a token that tries calls from inside."""
    opening: list[Step] = [
        *OPENING,
        ["deposit_margin", {"who": "stranger", "units": 10**10, "to": "token"}],
        ["lp_deposit", {"who": "stranger", "units": 10**10, "to": "token"}],
        ["request", {"who": "lp1", "shares": 10**6 * WAD // 2, "to": "lp1"}],
        ["warp", {"seconds": 86_400}],
        *(["push", {"market": market, "answer": answer}] for market, answer in enumerate(ANSWERS)),
        ["process_epoch", {"who": "keeper"}],
        ["request", {"who": "lp1", "shares": WAD, "to": "lp1"}],
        ["deposit_margin", {"who": "trader1", "units": 10**11, "to": "trader1"}],
        ["trade", {"who": "trader1", "market": 0, "size": 199 * WAD}],
        ["arbitrage", {"market": 0, "price": ANSWERS[0] * 10**10}],
        ["reprice", {"venue": 2, "spot": ANSWERS[0] * 10**10, "twap": ANSWERS[0] * 10**10}],
        ["warp", {"seconds": 301}],
        *(["push", {"market": market, "answer": answer}] for market, answer in enumerate(ANSWERS)),
    ]
    return replay(opening, Setup(token="RudeToken", doubles=1), thorough=False)


def test_tables_of_powers_name_every_function(world: World) -> None:
    for contract in world.contracts.values():
        name = contract.artifact.name
        if name in POWERS:
            known = {*PUBLIC[name], *POWERS[name], *OFFICE, *(fn for of, fn in [OF_INVENTORY] if of == name)}
            assert {function.name for function in functions(contract)} == known, name


def test_functions_that_are_not_public_refuse_everybody_without_the_role(world: World) -> None:
    """By the reason, for every holder of the wrong role; arguments are whatever fits the types."""
    planner, refused = Planner(world, Random(1), "all"), 0
    for contract in world.contracts.values():
        name = contract.artifact.name
        if name == "HedgeVenueDouble":
            continue
        for function in functions(contract):
            if function.name in (*PUBLIC.get(name, ()), *OFFICE):
                continue
            for who in ("stranger", "guardian", "governor", "trader1"):
                if name in POWERS and POWERS[name].get(function.name, Role(0)) & _role_of(who):
                    continue
                values = arguments(planner, function)
                with pytest.raises(Reverted) as error:
                    contract.send(function.signature, *_resolved(world, values), sender=world.address(who))
                assert error.value.reason == refusal(contract, function.name), function.signature
                refused += 1
    assert refused > 80


def _role_of(who: str) -> Role:
    return {"guardian": Role.GUARDIAN, "governor": Role.GOVERNOR}.get(who, Role(0))


def _resolved(world: World, values: list[Any]) -> list[Any]:
    return [resolve(world, value) for value in values]


OUTER: list[Step] = [
    ["deposit_margin", {"who": "trader1", "units": 10**6, "to": "trader1"}],
    ["withdraw_margin", {"who": "trader1", "units": 10**6}],
    ["insure", {"who": "stranger", "units": 1}],
    ["lp_deposit", {"who": "lp2", "units": 10**8}],
    ["lp_mint", {"who": "lp2", "shares": 10 * WAD}],
    ["claim", {"who": "lp1", "units": 10**6}],
    ["rebalance", {"who": "keeper", "venue": 2, "market": 0, "size": 100 * WAD}],
    ["rebalance", {"who": "keeper", "venue": 0, "market": 0, "size": 100 * WAD}],
]


@pytest.mark.parametrize("outer", OUTER, ids=lambda step: f"{step[0]} {step[1].get('venue', '')}")
def test_nothing_that_matters_goes_through_from_inside(world: World, outer: Step) -> None:
    """Every function of every contract, with three sets of arguments, called by the token or by the venue in the middle
    of every kind of operation that gives them control; what surrounds the call ends as it would have without it."""
    planner, tried = Planner(world, Random(2), "all"), 0
    for key, contract in world.contracts.items():
        for function in (*functions(contract), *functions(contract, views=True)):
            if contract.artifact.name == "HedgeVenueDouble":
                continue
            for _ in range(3):
                call = {"contract": key, "fn": function.signature, "args": arguments(planner, function)}
                tried += _from_inside(world, call, outer)
    assert tried > 500


def test_what_may_go_through_from_inside_does(world: World) -> None:
    """The search would notice: the call from inside is a real one, with the means of whoever makes it."""
    call = {"contract": "vault", "fn": "requestRedeem", "args": [1, "token", "token"]}
    _from_inside(world, call, OUTER[0])
    assert world.inside == ("Vault", "requestRedeem")
    _from_inside(world, {"contract": "clearinghouse", "fn": "withdraw", "args": [1, "token", "token"]}, OUTER[0])
    assert world.inside is None


def _from_inside(world: World, call: dict[str, Any], outer: Step) -> bool:
    """Whether the operation around the call went through; undone afterwards, on both sides."""
    assert isinstance(world.chain, RevmChain)
    twin, flows = world.twin, world.flows.copy()
    world.twin = twin.fork()
    try:
        with world.chain.undone():
            perform(world, ["call_inside", call])
            perform(world, outer)
            no_call_from_inside_goes_through(world)
            return world.outcomes[-1].ok
    finally:
        world.twin, world.flows = twin, flows


# ---- gas


GAS: list[tuple[str, str, str, list[Any]]] = [
    ("clearinghouse", "deposit", "trader1", [10**6, "trader1"]),
    ("clearinghouse", "withdraw", "trader1", [10**6, "trader1", "trader1"]),
    (
        "clearinghouse",
        "deposit_with_permit",
        "trader1",
        [10**6, "trader1", MAX_UINT, 27, "0x" + "01" * 32, "0x" + "01" * 32],
    ),
    ("vault", "deposit", "lp2", [10**8, "lp2"]),
    ("vault", "withdraw", "lp1", [10**6, "lp1", "lp1"]),
    ("perp_engine", "trade", "trader1", [0, WAD, MAX_UINT, MAX_UINT]),
    ("perp_engine", "trade", "trader1", [0, -WAD, 0, MAX_UINT]),
    ("inventory", "sync_all", "keeper", []),
    ("oracle", "sync", "keeper", [0]),
    ("hedge_manager", "poke", "keeper", [2]),
    ("hedge_manager", "rebalance", "keeper", [0, 0, 100 * WAD, MAX_UINT]),
    ("hedge_manager", "rebalance", "keeper", [2, 0, 100 * WAD, MAX_UINT]),
]


@pytest.mark.parametrize("call", GAS, ids=lambda call: f"{call[0]}.{call[1]}")
def test_any_gas_limit_gives_all_or_nothing(world: World, call: tuple[str, str, str, list[Any]]) -> None:
    """A call with little gas fails, or does what it does with plenty: nobody can starve a feed, a venue or a permit and
    have the rest go on as if it were dead."""
    key, fn, who, values = call
    contract, args = world.contracts[key], _resolved(world, values)
    assert isinstance(world.chain, RevmChain)
    with world.chain.undone():
        _push(world, ANSWERS[0] + 10**8, ANSWERS[1] + 10**8)  # rounds that nobody has recorded
        with world.chain.undone():
            used = contract.send(fn, *args, sender=world.address(who)).gas_used
            full = _stored(world)
        endings = {"nothing": 0, "all": 0}
        for gas in range(60_000, 2 * used + 600_000, max(used // 100, 1_000)):
            with world.chain.undone():
                try:
                    contract.send(fn, *args, sender=world.address(who), gas=gas)
                except Reverted:
                    endings["nothing"] += 1
                    continue
                assert _stored(world) == full, f"with {gas} gas"
                endings["all"] += 1
    assert min(endings.values()) > 10 or used < 70_000, endings


def test_no_gas_limit_liquidates_at_a_price_that_is_over(world: World) -> None:
    """A position that was weak at the recorded price of its other market and is not at the newest: the liquidator would
    have to starve the other market's feed, and has nothing left then."""
    assert isinstance(world.chain, RevmChain)
    trader, engine, liquidator = world.address("trader1"), world.system.perp_engine, world.system.liquidator
    with world.chain.undone():
        engine.send("trade", 1, WAD, MAX_UINT, MAX_UINT, sender=trader)
        health = world.system.margin.call("health", trader)
        free = (health.equity - health.initial) // world.scale
        world.system.clearinghouse.send("withdraw", free, trader, trader, sender=trader)
        _push(world, ANSWERS[0], ANSWERS[1] * 3 // 4)
        world.system.oracle.send("sync", 1)
        with world.chain.undone():
            liquidator.send("liquidate_perp", trader, 0, WAD, sender=world.address("keeper"))  # weak now
        _push(world, *ANSWERS)
        for gas in range(60_000, 900_000, 700):
            with pytest.raises(Reverted):
                liquidator.send("liquidate_perp", trader, 0, WAD, sender=world.address("keeper"), gas=gas)


def _push(world: World, *answers: int) -> None:
    """A new block with new rounds, not recorded."""
    world.chain.warp(12)
    for market, answer in enumerate(answers):
        world.system.aggregators[market].send("push", answer, world.chain.now)


def _stored(world: World) -> list[str]:
    world.storage.refresh()
    return [repr(cell.value) for cell in world.storage.cells]


# ---- a token that starts to keep a fee


# How each operation ends when the token credits less than it takes; "" for those that go through.
SHORT = {
    "deposit_margin": "clearing: amount received", "withdraw_margin": "", "insure": "clearing: amount received",
    "lp_deposit": "vault: amount received", "lp_mint": "vault: amount received", "claim": "",
    "rebalance": "venue: not filled at the limit",
}  # fmt: skip


@pytest.mark.parametrize("manner", [Manner.FEE, Manner.BURN], ids=lambda manner: manner.name)
@pytest.mark.parametrize("outer", [step for step in OUTER if step[1].get("venue") != 2], ids=lambda step: step[0])
def test_token_that_credits_less_never_uncovers_the_ledger(world: World, manner: Manner, outer: Step) -> None:
    """Deposits of any kind are refused; what leaves is booked in full, and its receiver bears the fee."""
    assert isinstance(world.chain, RevmChain)
    assert world.rude is not None
    ledger, quote = world.system.clearinghouse, world.system.quote
    name, values = outer
    with world.chain.undone():
        world.rude.send("behave", manner.value, world.address(NOBODY))
        with reverts(SHORT[name]) if SHORT[name] else nullcontext():
            _send_alone(world, name, values)
        assert quote.call("balanceOf", ledger.address) == ledger.call("buckets").total_units


def _send_alone(world: World, name: str, values: dict[str, Any]) -> None:
    """A step on the contracts alone."""
    who = world.address(values["who"])
    system = world.system
    match name:
        case "deposit_margin":
            system.clearinghouse.send("deposit", values["units"], who, sender=who)
        case "withdraw_margin":
            system.clearinghouse.send("withdraw", values["units"], who, who, sender=who)
        case "insure":
            system.clearinghouse.send("fund_insurance", 100, sender=who)
        case "lp_deposit":
            system.vault.send("deposit", values["units"], who, sender=who)
        case "lp_mint":
            system.vault.send("mint", values["shares"], who, sender=who)
        case "claim":
            system.vault.send("withdraw", values["units"], who, who, sender=who)
        case _:
            system.hedge_manager.send("rebalance", values["venue"], 0, values["size"], MAX_UINT, sender=who)


# ---- the search


EPISODES = 36
LENGTH = 300  # steps
SEED = 7_000


@pytest.mark.fuzz
def test_random_sequences_of_the_hostile_break_no_invariant(fuzz_scale: int) -> None:
    stats = Stats()
    for seed in range(SEED, SEED + EPISODES * fuzz_scale):
        try:
            episode(seed, LENGTH, stats=stats, profile="all")
        except Failure as failure:
            short = shrink(failure)
            pytest.fail("\n".join([str(short), *words(short), f"saved as {save(short)}"]), pytrace=False)
    assert not [what for what in EXPECTED_OF_ALL if not stats.reached[what]], stats.reached


# ---- guards removed on purpose; searches begin at seeds that have found them before

BUDGET = 60.0  # [CPU s]


@pytest.mark.fuzz
@pytest.mark.parametrize("bug", hostile_bugs.BUGS, ids=lambda bug: bug.name)
def test_search_finds_that_a_guard_is_gone(bug: Bug) -> None:
    assert history.soonest(bug, BUDGET).seconds < BUDGET
