# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# pragma nonreentrancy on
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  Steward: moves parameters a little per day, inside bands that governance has set
@notice A policy off-chain tunes parameters and may be wrong, or its key may be stolen. So its key speaks to this contract alone,
        which reads a setter's view, calls the setter, reads again, and takes the whole call back unless every word that
        differs is a lever: inside its band, moved by no more than its speed allows since its last move (a day's worth at most),
        and not before its cooldown is over. It knows no parameter by name, and needs no code for a new one.

        Actors: the steward's key, or anybody with its signature, adjusts. GUARDIAN tightens: to any value of the band in the
        lever's tightening direction, at once; and freezes the steward. GOVERNOR and SETUP choose the key, surfaces and levers;
        GOVERNOR thaws. What governance sets at a contract itself is no move, and needs no band.

        Invariants:
        - whatever its key does, a lever ends inside its band, and moves in t seconds by at most speed * (t + 1 day) / 1 day;
        - the guardian never moves a word but in its tightening direction;
        - a word that is no lever never changes, unless it follows from others;
        - a bound of the target still holds: this contract has STEWARD there, which suffices for setters of parameters and
          no other function;
        - holds nothing, and calls nothing but what governance has listed.
@custom:kill freeze (guardian) stops adjustments. Revoking STEWARD at a contract takes its parameters out of reach.
"""

from interfaces import ISteward
from contracts import constants as c
from contracts.governance import roles
from contracts.math import signed
from snekmate.utils import ecdsa
from snekmate.utils import eip712_domain_separator as domain

implements: ISteward

initializes: roles
initializes: domain

exports: (
    roles.admin,
    roles.pending_admin,
    roles.roles_of,
    roles.grant_role,
    roles.revoke_role,
    roles.renounce_setup,
    roles.offer_admin,
    roles.accept_admin,
    domain.eip712Domain,
)

MAX_MOVES: constant(uint256) = 8            # of one transaction
MAX_WORDS: constant(uint256) = 16           # of a view, and of a setter's arguments

# Immutable bounds of a lever.
MIN_CROSSING: constant(uint256) = 4         # [days] from one end of its band to the other
MIN_COOLDOWN: constant(uint256) = 600       # [s]
MAX_COOLDOWN: constant(uint256) = 30 * c.DAY
MAX_MAGNITUDE: constant(int256) = 2**127    # of a value; differences fit a word

MOVE_TYPEHASH: constant(bytes32) = keccak256("Move(uint256 surface,bytes data)")
ADJUST_TYPEHASH: constant(bytes32) = keccak256(
    "Adjust(Move[] moves,uint256 nonce,uint256 deadline)Move(uint256 surface,bytes data)"
)

# Whose adjustments are taken; zero: nobody's.
key: public(address)
# Of the next signature.
nonce: public(uint256)
is_frozen: public(bool)
# Surfaces ever listed; a dropped one has no target.
surface_count: public(uint256)
_surfaces: HashMap[uint256, ISteward.Surface]
# Setters in use, by hash of target, selector and argument: a second surface on one would double its levers' speed.
_is_listed: HashMap[bytes32, bool]
# By surface and word.
_levers: HashMap[uint256, ISteward.Lever[MAX_WORDS]]
# When each has moved last; when it was set, if it has not.
_moved_at: HashMap[uint256, uint256[MAX_WORDS]]


@deploy
def __init__(admin: address, setup: address):
    """
    @param admin  governor from the start
    @param setup  may choose key, surfaces and levers until it renounces
    """
    roles.__init__(admin, setup)
    domain.__init__("Ballast Steward", "1")


# ------------------------------------------------------------------ the key


@external
def adjust(moves: DynArray[ISteward.Move, MAX_MOVES]):
    """
    @notice Moves levers; all of it or nothing.
    @param moves surface and arguments of its setter, one after the other
    """
    assert msg.sender == self.key, "steward: not the key"
    self._adjust(moves)


@external
def adjust_by_sig(moves: DynArray[ISteward.Move, MAX_MOVES], deadline: uint256, signature: Bytes[65]):
    """
    @notice `adjust` by anybody who has the key's signature; each counts once, in order.
    @param deadline [s since 1970] last moment at which it may be used
    @param signature r, s, v over `digest(moves, deadline)`
    """
    assert block.timestamp <= deadline, "steward: signature expired"
    signer: address = ecdsa._recover_sig(self._digest(moves, deadline), signature)
    assert signer == self.key and signer != empty(address), "steward: not the key"
    self.nonce += 1
    self._adjust(moves)


# ------------------------------------------------------------------ privileged


@external
def tighten(moves: DynArray[ISteward.Move, MAX_MOVES]):
    """
    @notice Moves levers in their tightening direction, inside their bands but at any speed; also while frozen. The key can
            take it back at the levers' speed, from now on.
    """
    roles._check(roles.Role.GUARDIAN | roles.Role.GOVERNOR)
    for move: ISteward.Move in moves:
        self._move(move, True)


@external
def freeze():
    """
    @notice Takes no adjustment any more.
    """
    roles._check(roles.Role.GUARDIAN | roles.Role.GOVERNOR)
    self.is_frozen = True
    log ISteward.Frozen(by=msg.sender)


@external
def thaw():
    """
    @notice Ends a freeze. The guardian cannot.
    """
    roles._check(roles.Role.GOVERNOR)
    self.is_frozen = False
    log ISteward.Thawed(by=msg.sender)


@external
def set_key(key: address):
    """
    @notice Whose adjustments are taken from now on; what the old key has signed is void.
    @param key the zero address for nobody
    """
    roles._check(roles.Role.GOVERNOR | roles.Role.SETUP)
    self.key = key
    self.nonce += 1
    log ISteward.KeySet(key=key, nonce=self.nonce)


@external
def list_surface(surface: ISteward.Surface) -> uint256:
    """
    @notice Makes a setter known. Nothing of it can move before it has levers, and this contract STEWARD there.
    @dev    The view must show every word that the setter sets: what it hides is not guarded.
    @return its id
    """
    roles._check(roles.Role.GOVERNOR | roles.Role.SETUP)
    setter: bytes32 = self._setter(surface)
    assert not self._is_listed[setter], "steward: listed already"
    assert len(surface.argument) % 32 == 0, "steward: argument"
    self._is_listed[setter] = True
    surface_id: uint256 = self.surface_count
    self.surface_count = surface_id + 1
    self._surfaces[surface_id] = surface
    self._read(surface)
    log ISteward.SurfaceListed(
        surface=surface_id,
        target=surface.target,
        read=surface.read,
        write=surface.write,
        argument=surface.argument,
        followers=surface.followers,
    )
    return surface_id


@external
def drop_surface(surface_id: uint256):
    """
    @notice Forgets a surface for good; its setter may be listed anew, under another id and without levers.
    """
    roles._check(roles.Role.GOVERNOR | roles.Role.SETUP)
    surface: ISteward.Surface = self._surface(surface_id)
    self._is_listed[self._setter(surface)] = False
    self._surfaces[surface_id] = empty(ISteward.Surface)
    log ISteward.SurfaceDropped(surface=surface_id)


@external
def set_levers(surface_id: uint256, settings: DynArray[ISteward.Setting, MAX_WORDS]):
    """
    @notice Lets words of a surface move, each inside a band; a lever of zeros: no longer. Allowances begin to grow now.
    """
    roles._check(roles.Role.GOVERNOR | roles.Role.SETUP)
    surface: ISteward.Surface = self._surface(surface_id)
    for setting: ISteward.Setting in settings:
        word: uint256 = setting.word
        lever: ISteward.Lever = setting.lever
        assert word < MAX_WORDS and (surface.followers >> word) & 1 == 0, "steward: word"
        if lever.floor != lever.ceiling:
            assert (
                -MAX_MAGNITUDE <= lever.floor and lever.floor < lever.ceiling and lever.ceiling <= MAX_MAGNITUDE
            ), "steward: band"
            assert (
                lever.speed <= convert(lever.ceiling - lever.floor, uint256) // MIN_CROSSING
            ), "steward: speed"
            assert MIN_COOLDOWN <= lever.cooldown and lever.cooldown <= MAX_COOLDOWN, "steward: cooldown"
            assert -1 <= lever.tightening and lever.tightening <= 1, "steward: direction"
        else:
            assert (
                lever.floor == 0 and lever.speed == 0 and lever.cooldown == 0 and lever.tightening == 0
            ), "steward: band"
        self._levers[surface_id][word] = lever
        self._moved_at[surface_id][word] = block.timestamp
        log ISteward.LeverSet(surface=surface_id, word=word, lever=lever)


# ------------------------------------------------------------------ views


@view
@external
def digest(moves: DynArray[ISteward.Move, MAX_MOVES], deadline: uint256) -> bytes32:
    """
    @return what the key signs, with the next nonce
    """
    return self._digest(moves, deadline)


@view
@external
def values(surface_id: uint256) -> DynArray[int256, MAX_WORDS]:
    """
    @return the words of a surface, as they are now
    """
    answer: Bytes[32 * MAX_WORDS + 32] = self._read(self._surface(surface_id))
    found: DynArray[int256, MAX_WORDS] = []
    for i: uint256 in range(len(answer) // 32, bound=MAX_WORDS):
        found.append(self._word(answer, i))
    return found


@view
@external
def surface(surface_id: uint256) -> ISteward.Surface:
    """
    @return a surface; zeros for one that was dropped or never listed
    """
    return self._surfaces[surface_id]


@view
@external
def levers(surface_id: uint256) -> ISteward.Lever[MAX_WORDS]:
    """
    @return the levers of a surface, by word; zeros for a word that is none
    """
    return self._levers[surface_id]


@view
@external
def moved_at(surface_id: uint256, word: uint256) -> uint256:
    """
    @return when a lever has moved last, or was set [s since 1970]
    """
    return self._moved_at[surface_id][word]


# ------------------------------------------------------------------ internal


@internal
def _adjust(moves: DynArray[ISteward.Move, MAX_MOVES]):
    assert not self.is_frozen, "steward: frozen"
    for move: ISteward.Move in moves:
        self._move(move, False)


@internal
def _move(move: ISteward.Move, tightens: bool):
    """
    @notice Calls a setter and takes what it has changed, or nothing at all.
    @dev    The lock holds: a target that calls back fails. It is trusted to say in its view what it does, and nothing else.
    """
    surface: ISteward.Surface = self._surface(move.surface)
    before: Bytes[32 * MAX_WORDS + 32] = self._read(surface)
    raw_call(surface.target, concat(surface.write, surface.argument, move.data))
    after: Bytes[32 * MAX_WORDS + 32] = self._read(surface)
    assert len(before) == len(after), "steward: view"
    has_moved: bool = False
    for i: uint256 in range(len(before) // 32, bound=MAX_WORDS):
        old: int256 = self._word(before, i)
        new: int256 = self._word(after, i)
        if old == new or (surface.followers >> i) & 1 == 1:
            continue
        has_moved = True
        lever: ISteward.Lever = self._levers[move.surface][i]
        assert lever.floor < lever.ceiling, "steward: not a lever"
        assert lever.floor <= new and new <= lever.ceiling, "steward: outside the band"
        assert -MAX_MAGNITUDE <= old and old <= MAX_MAGNITUDE, "steward: outside the band"
        if tightens:
            assert (new - old) * lever.tightening > 0, "steward: loosens"
        else:
            waited: uint256 = block.timestamp - self._moved_at[move.surface][i]
            assert waited >= lever.cooldown, "steward: too soon"
            assert (
                signed.magnitude(new - old) <= lever.speed * min(waited, c.DAY) // c.DAY
            ), "steward: too far"
        self._moved_at[move.surface][i] = block.timestamp
        log ISteward.Moved(surface=move.surface, word=i, before=old, after=new, by_guardian=tightens)
    assert has_moved, "steward: nothing moves"


@internal
@view
def _surface(surface_id: uint256) -> ISteward.Surface:
    surface: ISteward.Surface = self._surfaces[surface_id]
    assert surface.target != empty(address), "steward: no such surface"
    return surface


@internal
@view
def _read(surface: ISteward.Surface) -> Bytes[32 * MAX_WORDS + 32]:
    """@notice What the view answers: whole words, at least one and at most MAX_WORDS."""
    answer: Bytes[32 * MAX_WORDS + 32] = raw_call(
        surface.target,
        concat(surface.read, surface.argument),
        max_outsize=32 * MAX_WORDS + 32,
        is_static_call=True,
    )
    assert len(answer) != 0 and len(answer) <= 32 * MAX_WORDS and len(answer) % 32 == 0, "steward: view"
    return answer


@internal
@pure
def _word(answer: Bytes[32 * MAX_WORDS + 32], i: uint256) -> int256:
    return extract32(answer, 32 * i, output_type=int256)


@internal
@pure
def _setter(surface: ISteward.Surface) -> bytes32:
    return keccak256(abi_encode(surface.target, surface.write, surface.argument))


@internal
@view
def _digest(moves: DynArray[ISteward.Move, MAX_MOVES], deadline: uint256) -> bytes32:
    hashes: DynArray[bytes32, MAX_MOVES] = []
    for move: ISteward.Move in moves:
        hashes.append(keccak256(abi_encode(MOVE_TYPEHASH, move.surface, keccak256(move.data))))
    # an array of words encodes as offset, length, words
    all_moves: bytes32 = keccak256(slice(abi_encode(hashes), 64, 32 * len(hashes)))
    return domain._hash_typed_data_v4(keccak256(abi_encode(ADJUST_TYPEHASH, all_moves, self.nonce, deadline)))
