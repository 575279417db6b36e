"""Steward: what its key, its guardian and its governor may do to parameters; contract and twin side by side."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from dataclasses import astuple, dataclass
from typing import Any

import pytest
from eth_account import Account
from hypothesis import given, settings
from hypothesis import strategies as st

from ballast.chain import Contract, Receipt, Reverted, RevmChain, reverts
from ballast.model.exact.fixed import Reverted as TwinReverted
from ballast.model.exact.steward import DAY, MAX_MAGNITUDE, Lever, Steward, Surface
from ballast.model.roles import NOT_ALLOWED, Role
from ballast.steward import sign

ZERO = "0x" + "00" * 20
NOTHING = (0, 0, 0, 0, 0)
SECRET = "0x" + "11" * 32
HOUR = 3_600

# word 0 is tighter when higher, word 1 when lower, word 2 is no lever at first; word 3 follows word 0
TIGHTER_UP = Lever(floor=100, ceiling=1_000, speed=96, cooldown=HOUR, tightening=1)
TIGHTER_DOWN = Lever(floor=-500, ceiling=500, speed=240, cooldown=600, tightening=-1)


def encoded(*words: int) -> bytes:
    return b"".join(word.to_bytes(32, "big", signed=True) for word in words)


@dataclass
class Office:
    """A Steward over a target's words, alone (surface 0) and of market 7 (surface 1), and its twin over a dict."""

    chain: RevmChain
    governor: str
    guardian: str
    key: str
    contract: Contract
    target: Contract
    twin: Steward
    words: dict[Any, tuple[int, ...]]

    def both(self, send: Callable[[], Receipt], act: Callable[[Steward, int], object]) -> Receipt:
        """On contract and twin: the same reason, the same words and levers afterwards."""
        kept = deepcopy((self.twin.nonce, self.twin.is_frozen, self.twin.moved_at, self.words))
        try:
            receipt = send()
        except Reverted as error:
            with pytest.raises(TwinReverted, match=error.reason):
                act(self.twin, self.chain.now)
            self.twin.nonce, self.twin.is_frozen, self.twin.moved_at, words = kept
            self.words.update(words)
            self.look()
            raise
        act(self.twin, receipt.timestamp)
        self.look()
        return receipt

    def look(self) -> None:
        """Both sides are in the same state."""
        for surface, target in enumerate(("alone", 7)):
            assert tuple(self.contract.values(surface)) == (*self.words[target], 2 * self.words[target][0])
            levers = self.contract.levers(surface)
            for word in range(4):
                assert tuple(levers[word]) == astuple(self.twin.levers.get((surface, word), Lever()))
                assert self.contract.moved_at(surface, word) == self.twin.moved_at.get((surface, word), 0)
        assert (self.contract.nonce(), self.contract.is_frozen()) == (self.twin.nonce, self.twin.is_frozen)

    def adjust(self, *words: int, surface: int = 0, sender: str | None = None) -> Receipt:
        """All words of a surface at once, by the key unless somebody else is named."""
        who = sender or self.key
        return self.both(
            lambda: self.contract.adjust.send([(surface, encoded(*words))], sender=who),
            lambda twin, now: twin.adjust(who, [(surface, words)], now),
        )

    def tighten(self, *words: int) -> Receipt:
        return self.both(
            lambda: self.contract.tighten.send([(0, encoded(*words))], sender=self.guardian),
            lambda twin, now: twin.tighten([(0, words)], now),
        )

    def set_lever(self, word: int, lever: Lever, surface: int = 0) -> Receipt:
        return self.both(
            lambda: self.contract.set_levers.send(surface, [(word, astuple(lever))], sender=self.governor),
            lambda twin, now: twin.set_lever(surface, word, lever, now),
        )

    def govern(self, *words: int) -> None:
        """The governor sets the words at the target itself."""
        self.target.set_words.send(words)
        self.words["alone"] = words

    def surface_of(self, read: str, write: str, argument: bytes = b"", followers: int = 8) -> tuple[Any, ...]:
        return (self.target.address, self.selector(read), self.selector(write), argument, followers)

    def selector(self, fn: str) -> bytes:
        return self.target.function(
            fn, len(next(e for e in self.target.artifact.abi if e.get("name") == fn)["inputs"])
        ).selector


def deploy(chain: RevmChain) -> Office:
    governor, setup, guardian = chain.accounts[:3]
    contract = chain.deploy("Steward", governor, setup)
    target = chain.deploy("StewardTarget")
    contract.grant_role.send(guardian, Role.GUARDIAN, sender=governor)
    words: dict[Any, tuple[int, ...]] = {"alone": (200, 0, 5), 7: (200, 0, 5)}
    target.set_words.send(words["alone"])
    target.set_words_of.send(7, words[7])
    twin = Steward(lambda name: (*words[name], 2 * words[name][0]), lambda name, new, _: words.update({name: new}))
    key = Account.from_key(SECRET).address
    office = Office(chain, governor, guardian, key, contract, target, twin, words)
    contract.set_key.send(key, sender=setup)
    twin.set_key(key)
    for name, surface in (
        ("alone", office.surface_of("words", "set_words")),
        (7, office.surface_of("words_of", "set_words_of", encoded(7))),
    ):
        assert contract.list_surface.send(surface, sender=setup).value == twin.list_surface(Surface(name, followers=8))
    for surface_id in (0, 1):
        office.set_lever(0, TIGHTER_UP, surface_id)
        office.set_lever(1, TIGHTER_DOWN, surface_id)
    chain.warp(2 * DAY)
    return office


@pytest.fixture
def office(chain: RevmChain) -> Office:
    return deploy(chain)


# ---- what the key may do


def test_adjust_moves_levers_of_one_setter_and_says_so(office: Office) -> None:
    receipt = office.adjust(296, -240, 5)
    assert [tuple(e) for e in receipt.find("Moved")] == [(0, 0, 200, 296, False), (0, 1, 0, -240, False)]
    assert tuple(office.contract.values(1)) == (200, 0, 5, 400), "another market's words stay"


def test_adjust_of_a_market_leaves_the_others_alone(office: Office) -> None:
    office.adjust(210, 1, 5, surface=1)
    assert tuple(office.contract.values(0)) == (200, 0, 5, 400)


def test_adjust_moves_at_most_a_days_worth_however_long_it_waited(office: Office) -> None:
    with reverts("steward: too far"):
        office.adjust(297, 0, 5)
    office.adjust(296, 0, 5)
    office.chain.warp(HOUR - 1)
    with reverts("steward: too soon"):
        office.adjust(297, 0, 5)
    office.chain.warp(HOUR)  # 96 a day are 4 an hour; the second that is missing to two hours rounds down
    with reverts("steward: too far"):
        office.adjust(304, 0, 5)
    office.adjust(303, 0, 5)


def test_adjust_outside_the_band_reverts(office: Office) -> None:
    office.govern(110, 0, 5)
    with reverts("steward: outside the band"):
        office.adjust(99, 0, 5)
    office.adjust(100, 0, 5)
    office.govern(2**200, 0, 5)
    with reverts("steward: outside the band"):
        office.adjust(150, 0, 5, surface=0)


def test_adjust_refuses_words_that_are_no_levers_and_calls_that_move_nothing(office: Office) -> None:
    with reverts("steward: not a lever"):
        office.adjust(200, 0, 6)
    with reverts("steward: nothing moves"):
        office.adjust(200, 0, 5)
    with reverts("steward: no such surface"):
        office.contract.adjust.send([(2, encoded(200, 0, 5))], sender=office.key)


def test_adjust_by_anybody_else_reverts_also_without_a_key(office: Office) -> None:
    for sender in (office.governor, office.guardian, office.chain.accounts[5]):
        with reverts("steward: not the key"):
            office.adjust(210, 0, 5, sender=sender)
    office.contract.set_key.send(ZERO, sender=office.governor)
    office.twin.set_key(None)
    with reverts("steward: not the key"):
        office.adjust(210, 0, 5)
    for nobodys in (b"", b"\0" * 63):  # of which no signer is recovered
        with reverts("steward: not the key"):
            office.contract.adjust_by_sig.send([], office.chain.now + 1, nobodys)


def test_several_moves_succeed_or_fail_together(office: Office) -> None:
    good, bad = (0, encoded(210, 0, 5)), (1, encoded(2_000, 0, 5))
    with reverts("steward: outside the band"):
        office.contract.adjust.send([good, bad], sender=office.key)
    office.look()
    with reverts("steward: too soon"):
        office.contract.adjust.send([good, (0, encoded(211, 0, 5))], sender=office.key)
    office.look()


def test_governance_may_set_what_it_likes_without_using_the_levers_up(office: Office) -> None:
    office.govern(250, 3, 9)
    office.adjust(346, 3, 9)


# ---- signatures


def signature(office: Office, words: tuple[int, ...], deadline: int, secret: str = SECRET) -> bytes:
    contract = office.contract
    return sign([(0, encoded(*words))], contract.nonce(), deadline, contract.address, office.chain.chain_id, secret)


def relay(office: Office, words: tuple[int, ...], deadline: int, signed: bytes, signer: str | None) -> Receipt:
    return office.both(
        lambda: office.contract.adjust_by_sig.send([(0, encoded(*words))], deadline, signed, sender=office.guardian),
        lambda twin, now: twin.adjust_by_sig(signer, [(0, words)], deadline, now),
    )


def test_adjust_by_sig_is_the_keys_and_counts_once(office: Office) -> None:
    words, deadline = (210, 0, 5), office.chain.now + DAY
    signed = signature(office, words, deadline)
    relay(office, words, deadline, signed, office.key)
    office.govern(200, 0, 5)
    office.chain.warp(HOUR)
    with reverts("steward: not the key"):
        relay(office, words, deadline, signed, None)


def test_adjust_by_sig_of_other_moves_another_key_or_too_late_reverts(office: Office) -> None:
    words, deadline = (210, 0, 5), office.chain.now + HOUR
    signed = signature(office, words, deadline)
    for other, until in (((211, 0, 5), deadline), (words, deadline + 1)):
        with reverts("steward: not the key"):
            relay(office, other, until, signed, None)
    with reverts("steward: not the key"):
        relay(office, words, deadline, signature(office, words, deadline, "0x" + "22" * 32), None)
    office.chain.warp(2 * HOUR)
    with reverts("steward: signature expired"):
        relay(office, words, deadline, signed, office.key)


def test_set_key_voids_what_was_signed(office: Office) -> None:
    words, deadline = (210, 0, 5), office.chain.now + HOUR
    signed = signature(office, words, deadline)
    receipt = office.contract.set_key.send(office.key, sender=office.governor)
    assert tuple(receipt.one("KeySet")) == (office.key, 2)
    office.twin.set_key(office.key)
    with reverts("steward: not the key"):
        relay(office, words, deadline, signed, None)


def test_digest_is_what_wallets_sign(office: Office) -> None:
    moves, deadline = [(0, encoded(210, 0, 5)), (1, b"\x01")], office.chain.now
    contract = office.contract
    signed = sign(moves, contract.nonce(), deadline, contract.address, office.chain.chain_id, SECRET)
    assert Account._recover_hash(contract.digest(moves, deadline), signature=signed) == office.key


# ---- the guardian


def test_tighten_goes_to_the_end_of_the_band_at_once(office: Office) -> None:
    receipt = office.tighten(1_000, -500, 5)
    assert [tuple(e) for e in receipt.find("Moved")] == [(0, 0, 200, 1_000, True), (0, 1, 0, -500, True)]
    office.chain.warp(HOUR)
    with reverts("steward: too far"):  # the key takes it back at its own speed, from now on
        office.adjust(995, -500, 5)
    office.adjust(996, -500, 5)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((199, 0, 5), "steward: loosens"),
        ((200, 1, 5), "steward: loosens"),
        ((300, 1, 5), "steward: loosens"),
        ((1_001, 0, 5), "steward: outside the band"),
        ((200, 0, 6), "steward: not a lever"),
        ((200, 0, 5), "steward: nothing moves"),
    ],
)
def test_tighten_never_loosens_nor_leaves_the_band(office: Office, words: tuple[int, ...], reason: str) -> None:
    with reverts(reason):
        office.tighten(*words)


def test_tighten_refuses_a_lever_without_a_direction(office: Office) -> None:
    office.set_lever(2, Lever(0, 100, 25, 600, 0))
    for value in (4, 6):
        with reverts("steward: loosens"):
            office.tighten(200, 0, value)


def test_freeze_stops_the_key_until_the_governor_thaws(office: Office) -> None:
    contract, deadline = office.contract, office.chain.now + DAY
    signed = signature(office, (210, 0, 5), deadline)
    contract.freeze.send(sender=office.guardian)
    office.twin.is_frozen = True
    with reverts("steward: frozen"):
        office.adjust(210, 0, 5)
    with reverts("steward: frozen"):
        relay(office, (210, 0, 5), deadline, signed, office.key)
    office.tighten(210, 0, 5)
    with reverts(NOT_ALLOWED):
        contract.thaw.send(sender=office.guardian)
    assert tuple(contract.thaw.send(sender=office.governor).one("Thawed")) == (office.governor,)
    office.twin.is_frozen = False
    office.chain.warp(HOUR)
    relay(office, (211, 0, 5), deadline, signature(office, (211, 0, 5), deadline), office.key)


# ---- governance


@pytest.mark.parametrize(
    ("lever", "reason"),
    [
        (Lever(100, 99, 0, 600), "steward: band"),
        (Lever(-MAX_MAGNITUDE - 1, 0, 0, 600), "steward: band"),
        (Lever(0, MAX_MAGNITUDE + 1, 0, 600), "steward: band"),
        (Lever(1, 1), "steward: band"),
        (Lever(0, 0, 1), "steward: band"),
        (Lever(0, 100, 26, 600), "steward: speed"),
        (Lever(0, 100, 2**255, 600), "steward: speed"),
        (Lever(0, 100, 25, 599), "steward: cooldown"),
        (Lever(0, 100, 25, 30 * DAY + 1), "steward: cooldown"),
        (Lever(0, 100, 25, 600, 2), "steward: direction"),
        (Lever(0, 100, 25, 600, -2), "steward: direction"),
    ],
)
def test_set_levers_outside_the_immutable_bounds_reverts(office: Office, lever: Lever, reason: str) -> None:
    with reverts(reason):
        office.set_lever(2, lever)


def test_set_levers_takes_the_widest_band_and_its_allowance_begins_now(office: Office) -> None:
    widest = Lever(-MAX_MAGNITUDE, MAX_MAGNITUDE, MAX_MAGNITUDE // 2, 600, 1)
    receipt = office.set_lever(2, widest)
    assert tuple(receipt.one("LeverSet")) == (0, 2, astuple(widest))
    with reverts("steward: too soon"):
        office.adjust(200, 0, 6)
    office.chain.warp(600)
    office.adjust(200, 0, 5 + widest.speed * 600 // DAY)
    office.set_lever(2, Lever())
    with reverts("steward: not a lever"):
        office.adjust(200, 0, 5)


def test_set_levers_of_a_follower_or_beyond_the_words_reverts(office: Office) -> None:
    for word in (3, 16):
        with reverts("steward: word"):
            office.set_lever(word, TIGHTER_UP)


def test_list_surface_takes_a_setter_once_and_only_with_a_view(office: Office) -> None:
    contract, again = office.contract, office.surface_of("words", "set_words", followers=0)
    refused = {
        again: "steward: listed already",
        office.surface_of("words_of", "set_words_of", b"\0" * 31): "steward: argument",
        (office.guardian, *again[1:]): "steward: view",  # nobody's code answers nothing
        (ZERO, *again[1:]): "steward: view",
    }
    for surface, reason in refused.items():
        with reverts(reason):
            contract.list_surface.send(surface, sender=office.governor)
    assert contract.surface_count() == 2
    contract.drop_surface.send(0, sender=office.governor)
    with reverts("steward: no such surface"):
        contract.adjust.send([(0, encoded(210, 0, 5))], sender=office.key)
    with reverts("steward: no such surface"):
        contract.drop_surface.send(0, sender=office.governor)
    assert contract.list_surface.send(again, sender=office.governor).value == 2
    assert tuple(contract.surface(2)) == again
    with reverts("steward: not a lever"):
        contract.adjust.send([(2, encoded(210, 0, 5))], sender=office.key)


# ---- targets with bad manners


@pytest.mark.parametrize("words", [0, 1, 3, 5, 16, 17, 20])
def test_adjust_refuses_a_view_that_changes_its_shape(office: Office, words: int) -> None:
    office.target.behave.send(encoded(*range(words)) if words else b"\0" * 31, False)
    with reverts("steward: view"):
        office.contract.adjust.send([(0, encoded(210, 0, 5))], sender=office.key)
    assert tuple(office.contract.values(0)) == (200, 0, 5, 400)


def test_adjust_believes_the_view_and_so_judges_what_it_says(office: Office) -> None:
    office.target.behave.send(encoded(210, 0, 6, 420), False)
    with reverts("steward: not a lever"):
        office.contract.adjust.send([(0, encoded(210, 0, 5))], sender=office.key)


def test_adjust_passes_the_targets_reason_on(office: Office) -> None:
    office.target.behave.send(b"", True)
    with reverts("target: refuses"):
        office.contract.adjust.send([(0, encoded(210, 0, 5))], sender=office.key)
    with reverts():  # too little data for the setter
        office.contract.adjust.send([(0, encoded(210))], sender=office.key)


def test_nothing_of_the_steward_can_be_called_from_inside(office: Office) -> None:
    contract, target = office.contract, office.target
    contract.grant_role.send(target, Role.GUARDIAN | Role.GOVERNOR, sender=office.governor)
    contract.set_key.send(target, sender=office.governor)
    calls = (
        contract.adjust.tx([(1, encoded(201, 0, 5))]),
        contract.tighten.tx([(1, encoded(201, 0, 5))]),
        contract.freeze.tx(),
        contract.set_levers.tx(0, [(2, astuple(TIGHTER_UP))]),
        contract.values.tx(1),
    )
    for value, call in enumerate(calls, 201):
        target.prepare.send(contract, call.data)
        with office.chain.undone():
            target.set_words.send((200, 0, 5))
            assert target.went_through(), "outside of an operation"
        contract.tighten.send([(0, encoded(value, 0, 5))], sender=office.guardian)
        assert not target.went_through()


# ---- whatever the key does


actions = st.lists(
    st.tuples(
        st.sampled_from(["adjust", "adjust", "adjust", "tighten", "govern"]),
        st.integers(0, 2 * DAY) | st.sampled_from([0, 599, 600, HOUR, DAY]),
        st.tuples(st.integers(-300, 300), st.integers(-700, 700), st.integers(-1, 1)),
        st.booleans(),
    ),
    max_size=12,
)


@pytest.fixture(scope="module")
def playground() -> Office:
    return deploy(RevmChain())


@settings(max_examples=60)
@given(actions)
def test_a_compromised_key_stays_within_band_and_drift(playground: Office, sequence: list[Any]) -> None:
    office, levers = playground, (TIGHTER_UP, TIGHTER_DOWN)
    office.govern(500, 0, 5)
    start, drifted = office.chain.now, [0, 0]
    for kind, wait, by, alone in sequence:
        if wait:
            office.chain.warp(wait)
        before = office.words["alone"]
        words = tuple(
            old + (step if i < 2 else step * alone) for i, (old, step) in enumerate(zip(before, by, strict=True))
        )
        if kind == "govern":
            bounded = (max(lever.floor, min(lever.ceiling, w)) for lever, w in zip(levers, words, strict=False))
            office.govern(*bounded, 5)
            continue
        with suppress(Reverted):  # `both` has compared the reasons, and looked whether all is as it was
            (office.tighten if kind == "tighten" else office.adjust)(*words)
        after = office.words["alone"]
        assert after[2] == 5
        for i, lever in enumerate(levers):
            assert lever.floor <= after[i] <= lever.ceiling
            if kind == "adjust":
                drifted[i] += abs(after[i] - before[i])
                assert drifted[i] * DAY <= lever.speed * (office.chain.now - start + DAY)
            else:
                assert (after[i] - before[i]) * lever.tightening >= 0
