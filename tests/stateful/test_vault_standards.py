"""ERC-4626, ERC-7540 and what they stand on, asked of the real Vault in many states, and missed when it breaks them.

`ballast/fuzz/standards.py` holds the properties. Every one must have had something to say often, and every state of the
list must have been among those it was asked in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from random import Random

import pytest

from ballast.fuzz.actions import Step, perform
from ballast.fuzz.plan import Planner
from ballast.fuzz.planted import Bug, Edit, chain_with, search
from ballast.fuzz.runner import Driver, Stats
from ballast.fuzz.shrink import shrink
from ballast.fuzz.standards import PROPERTIES, conditions, examine
from ballast.fuzz.world import Broken, Setup, World
from ballast.model.exact.fixed import WAD

EPISODES = 4  # per token
LENGTH = 250  # steps
EVERY = 25  # steps between examinations
OFTEN = 20  # times that every property must have had something to say
NAMES = [one.__name__ for one in PROPERTIES]
STATES = {
    "empty", "entries only", "at the cap", "requests wait", "late requests", "filled in part", "claims wait", "paused",
    "stale price", "loss of half", "owes more than it has", "LP cash negative",
}  # fmt: skip
HARD = ("LP cash negative", "owes more than it has", "paused", "stale price", "requests wait")

asked: Counter[str] = Counter()  # by property, when it had something to say
states: Counter[str] = Counter()  # by condition
met: Counter[tuple[str, str]] = Counter()  # both


def ask(w: World, rng: Random) -> None:
    """Ask everything here, and remember where that was."""
    here = conditions(w)
    states.update(here)
    for name in examine(w, rng, PROPERTIES):
        asked[name] += 1
        met.update((name, condition) for condition in here)


def hours(w: World, count: float, *moves: float) -> Iterator[Step]:
    """Time passes, prices move by these factors, and the vault takes note."""
    yield ["warp", {"seconds": int(count * 3_600)}]
    for market, (newest, move) in enumerate(zip_longest(w.newest, moves, fillvalue=1.0)):
        yield ["push", {"market": market, "answer": int(newest.answer * move)}]
    yield ["sync_all", {"who": "keeper"}]


def epoch(w: World, *moves: float) -> Iterator[Step]:
    yield from hours(w, (w.vault.epoch().ends_at - w.now) / 3_600 + 0.1, *moves)
    yield ["process_epoch", {"who": "stranger"}]


def buys(w: World, who: str, quote: int) -> Step:
    """Of market 0."""
    return ["trade", {"who": who, "market": 0, "size": quote * WAD * WAD // (w.newest[0].answer * 10**10)}]


def story(w: World) -> Iterator[Step | None]:
    """A vault is founded, full, in demand, served in part, loses most, owes more than it has, is paused and run upon;
    None tells that a chapter is over."""
    yield None
    yield ["lp_deposit", {"who": "lp1", "units": 1_000_000 * w.unit}]
    yield None
    yield ["lp_deposit", {"who": "lp2", "units": w.vault.max_deposit(w.now)}]
    yield None
    yield ["request", {"who": "lp2", "shares": w.vault.balances[w.key("lp2")] - 1_000_000 * WAD, "to": "lp2"}]
    yield from epoch(w)
    yield None
    yield ["request", {"who": "lp1", "shares": 100_000 * WAD, "to": "keeper"}]
    yield ["deposit_margin", {"who": "trader1", "units": 10_000_000 * w.unit, "to": "trader1"}]
    yield from hours(w, 0.1)
    yield from hours(w, 0.1)
    for quote in (800_000, 400_000, 200_000, 100_000):
        yield buys(w, "trader1", quote)
    yield ["request", {"who": "lp1", "shares": 500_000 * WAD, "to": "lp1"}]
    yield None
    yield from epoch(w, 1.4)
    yield None
    yield from hours(w, 2, 1.25)
    yield ["request", {"who": "lp2", "shares": 10_000 * WAD, "to": "lp1"}]
    yield None
    yield ["warp", {"seconds": w.vault.epoch().ends_at - w.now + 7_200}]
    yield ["request", {"who": "lp2", "shares": 10_000 * WAD, "to": "lp2"}]
    yield None
    yield ["pause_deposits", {"on": True}]
    yield from hours(w, 1, 1.6)
    yield ["close", {"who": "trader1", "market": 0}]
    yield None
    tokens, claims = w.twin.clearinghouse.total_units, w.twin.clearinghouse.claims
    yield ["withdraw_margin", {"who": "trader1", "units": tokens}]  # which is refused
    yield ["withdraw_margin", {"who": "trader1", "units": tokens - claims // w.scale}]
    assert w.twin.clearinghouse.free_cash() == 0 < w.twin.clearinghouse.account(w.key("trader1"))[0]
    yield None
    yield ["warp", {"seconds": 90_000}]
    yield None


@pytest.mark.fuzz
@pytest.mark.parametrize("decimals", [6, 8, 18])
def test_vault_keeps_the_standards_through_a_hard_life(decimals: int) -> None:
    w, rng = World(Setup(decimals)), Random(decimals)
    driver = Driver(w, Stats(w.clock))
    for step in story(w):
        if step is not None:
            driver.step(step)
            continue
        for _ in range(3):
            ask(w, rng)
    driver.finish()


@pytest.mark.parametrize("decimals", [6, 8, 18])
def test_process_pays_leavers_with_tokens_that_are_there(decimals: int) -> None:
    """LP cash counts what a trader owes who has lost more than he had: that much is nowhere, and is not promised."""
    w = World(Setup(decimals))
    driver = Driver(w, Stats(w.clock))

    def do(steps: Iterable[Step]) -> None:
        for step in steps:
            driver.step(step)

    do([["lp_deposit", {"who": "lp1", "units": 100_000 * w.unit}]])
    do([["deposit_margin", {"who": "trader1", "units": 10_000 * w.unit, "to": "trader1"}]])
    do([*hours(w, 0.1), *hours(w, 0.1)])
    do([buys(w, "trader1", 40_000), ["request", {"who": "lp1", "shares": 100_000 * WAD, "to": "lp1"}]])
    do(hours(w, 0.1, 0.4))
    do(
        [
            [
                "trade",
                {"who": "trader1", "market": 0, "size": -w.twin.perp_engine.position(w.key("trader1"), 0).size // 2},
            ]
        ]
    )
    ledger = w.twin.clearinghouse
    assert ledger.account(w.key("trader1"))[0] < 0
    assert 0 < ledger.free_cash() < ledger.lp
    do(epoch(w))
    ledger = w.twin.clearinghouse
    assert 0 <= ledger.free_cash() < w.unit * w.scale
    assert ledger.claims > 100_000 * WAD
    do([["claim", {"who": "lp1", "units": ledger.claims // w.scale}]])
    assert w.outcomes[-1].ok
    driver.finish()


@pytest.mark.fuzz
@pytest.mark.parametrize("decimals", [6, 8, 18])
def test_vault_keeps_the_standards_wherever_it_gets(decimals: int, fuzz_scale: int) -> None:
    for seed in range(EPISODES * fuzz_scale):
        rng = Random(seed * 100 + decimals)
        w = World(Setup(decimals))
        driver, planner = Driver(w, Stats(w.clock)), Planner(w, rng)
        for number in range(LENGTH):
            if number % EVERY == 0:
                ask(w, rng)
            driver.step(planner.next())


@pytest.mark.fuzz
def test_every_property_had_its_say_in_every_state() -> None:
    """A property whose precondition never holds says nothing; one that was only asked in easy states says little."""
    if not {"empty", "LP cash negative", "filled in part"} <= set(states):
        pytest.skip("the searches before did not run, or not to their end")
    assert not [name for name in NAMES if asked[name] < OFTEN], asked
    assert not STATES - set(states), states
    views = [
        name for name in NAMES if name.startswith(("erc4626_view", "erc4626_con", "erc4626_previews", "erc4626_max"))
    ]
    ways_out = [name for name in NAMES if name.startswith(("erc7540_request_", "erc7540_claim", "erc7540_max"))]
    assert (len(views), len(ways_out)) == (7, 7)
    silent = [(name, state) for name in views for state in STATES if not met[name, state]]
    silent += [(name, state) for name in ways_out for state in HARD if not met[name, state]]
    assert not silent


# A mistake, and the property that is to find it.
MISTAKES = (
    ("return self._deposit_price(assets)[0]", "return self._deposit_price(assets)[0] + 1",
     "erc4626_deposit_does_what_the_preview_says"),
    ("self._funds_view()[0].nav) // SCALE", "self._funds_view()[0].nav) // SCALE + 1",
     "erc4626_conversions_are_at_mid_rounded_down"),
    ("return self._funds_view()[0].nav // SCALE",
     "return self._funds_view()[0].nav // SCALE + staticcall ASSET.balanceOf(self)",
     "erc4626_gifts_do_not_move_the_price"),
    ("if self._paused() or self._busy():", "if self._busy():", "erc4626_previews_ignore_limits"),
    ("wad.sub_floor(self._params().deposit_cap, funds.nav), funds",
     "wad.sub_floor(self._params().deposit_cap, funds.nav) + SCALE, funds", "erc4626_max_deposit_is_the_limit"),
    ("assert msg.sender == controller or self.isOperator[controller][msg.sender], ",
     "assert msg.sender != empty(address), ", "erc7540_claim_needs_authority"),
    ("record.claim_shares -= taken", "record.claim_shares -= 0 * taken", "erc7540_max_claim_is_the_limit"),
    ("erc20._spend_allowance(owner, msg.sender, shares)",
     'assert erc20.allowance[owner][msg.sender] >= shares, "erc20: insufficient allowance"',
     "erc7540_request_needs_authority"),
    ("self.isOperator[msg.sender][operator] = approved", "self.isOperator[operator][msg.sender] = approved",
     "erc7540_operators_are_set_and_unset"),
    ('assert False, "vault: redemption is async"', 'assert True, "vault: redemption is async"',
     "erc7540_previews_of_the_way_out_revert"),
    ("controller=controller, owner=owner, requestId=request, sender=msg.sender",
     "controller=controller, owner=owner, requestId=request + 1, sender=msg.sender",
     "erc7540_request_takes_the_shares_and_waits"),
    ("id == convert(0x01ffc9a7, uint32)", "id == convert(0xffffffff, uint32)",
     "erc165_and_erc7575_say_what_the_vault_is"),
)  # fmt: skip


@pytest.mark.fuzz
def test_a_vault_that_breaks_the_standards_is_caught() -> None:
    """One vault with a dozen mistakes, asked by the properties alone, without driver and twin."""
    edits = tuple(Edit("contracts/vault/Vault.vy", old, new) for old, new, _ in MISTAKES)
    w = World(Setup(6), chain_with(Bug("a dozen mistakes", "Vault", edits))())
    rng, caught = Random(1), set[str]()
    for step in story(w):
        if step is not None:
            perform(w, step)
            continue
        for one in PROPERTIES * 3:
            try:
                examine(w, rng, [one])
            except Broken as broken:
                caught.add(broken.name)
    assert {expected for _, _, expected in MISTAKES} - caught == set()
    harmless = {
        "erc20_supply_is_what_people_hold",
        "erc20_transfer_moves_exactly",
        "erc20_allowance_is_spent_and_binds",
    }
    assert not harmless & caught


@pytest.mark.fuzz
def test_search_finds_and_shortens_what_only_the_standards_see() -> None:
    """Events are nobody else's business."""
    edit = Edit("contracts/vault/Vault.vy", "OperatorSet(controller=msg.sender", "OperatorSet(controller=operator")
    bug = Bug("the event names the operator", "Vault", (edit,))
    found = search(bug, length=400)
    assert found.by == "erc7540_operators_are_set_and_unset"
    assert len(shrink(found.failure, 100, chain_with(bug)).steps) <= 1
