"""Integer twin of ``contracts/governance/Steward.vy``: who moves parameters a little, and how far.

Not mirrored: roles, events, the encoding of calls, and the refusal of views that answer no whole words.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ballast.model.exact.fixed import Reverted, require

DAY = 86_400
MAX_WORDS = 16
MIN_CROSSING = 4
MIN_COOLDOWN = 600
MAX_COOLDOWN = 30 * DAY
MAX_MAGNITUDE = 2**127


@dataclass(frozen=True, slots=True)
class Lever:
    """ISteward.Lever: in the unit of the word; a word that is none has zeros."""

    floor: int = 0
    ceiling: int = 0
    speed: int = 0  # per day
    cooldown: int = 0  # [s]
    tightening: int = 0  # 1: tighter is higher, -1: tighter is lower, 0: neither is

    def check(self) -> None:
        """The immutable bounds."""
        if self.floor != self.ceiling:
            require(-MAX_MAGNITUDE <= self.floor < self.ceiling <= MAX_MAGNITUDE, "steward: band")
            require(self.speed <= (self.ceiling - self.floor) // MIN_CROSSING, "steward: speed")
            require(MIN_COOLDOWN <= self.cooldown <= MAX_COOLDOWN, "steward: cooldown")
            require(-1 <= self.tightening <= 1, "steward: direction")
        else:
            require(self == Lever(), "steward: band")


@dataclass(frozen=True, slots=True)
class Surface:
    """A setter and the view that shows what it sets; `target` names them for `Steward.read` and `Steward.write`."""

    target: Hashable
    followers: int = 0


Move = tuple[int, Any]
"""Surface, and arguments of its setter as `Steward.write` takes them."""


@dataclass(slots=True)
class Steward:
    """Twin of ``Steward.vy``. ``now`` is the block's time.

    ``read(target)`` answers the words of a view, ``write(target, data, now)`` calls the setter: whoever wires the twin
    says how. A call that reverts may have written: whoever needs all or nothing works on a copy, as for every twin.
    """

    read: Callable[[Hashable], Sequence[int]]
    write: Callable[[Hashable, Any, int], None]
    key: str | None = None
    nonce: int = 0
    is_frozen: bool = False
    surfaces: list[Surface | None] = field(default_factory=list)
    levers: dict[tuple[int, int], Lever] = field(default_factory=dict)
    moved_at: dict[tuple[int, int], int] = field(default_factory=dict)

    def adjust(self, sender: str, moves: Sequence[Move], now: int) -> None:
        """Moves levers, on behalf of the key."""
        require(self.key is not None and sender == self.key, "steward: not the key")
        self._adjust(moves, now)

    def adjust_by_sig(self, signer: str | None, moves: Sequence[Move], deadline: int, now: int) -> None:
        """The same by anybody; ``signer`` is who signed these moves with the next nonce, None for nobody."""
        require(now <= deadline, "steward: signature expired")
        require(self.key is not None and signer == self.key, "steward: not the key")
        self.nonce += 1
        self._adjust(moves, now)

    def tighten(self, moves: Sequence[Move], now: int) -> None:
        """Moves levers in their tightening direction, at any speed."""
        for surface_id, data in moves:
            self._move(surface_id, data, now, tightens=True)

    def set_key(self, key: str | None) -> None:
        """Whose adjustments are taken; voids what was signed."""
        self.key = key
        self.nonce += 1

    def list_surface(self, surface: Surface) -> int:
        """Makes a setter known; its id."""
        require(
            all(known is None or known.target != surface.target for known in self.surfaces), "steward: listed already"
        )
        self.surfaces.append(surface)
        return len(self.surfaces) - 1

    def drop_surface(self, surface_id: int) -> None:
        """Forgets a surface."""
        self._surface(surface_id)
        self.surfaces[surface_id] = None

    def set_lever(self, surface_id: int, word: int, lever: Lever, now: int) -> None:
        """One setting of ``set_levers``: lets a word move; its allowance begins to grow now."""
        surface = self._surface(surface_id)
        require(word < MAX_WORDS and not surface.followers >> word & 1, "steward: word")
        lever.check()
        self.levers[surface_id, word] = lever
        self.moved_at[surface_id, word] = now

    def allowance(self, surface_id: int, word: int, now: int) -> int:
        """How far the key may move a word now [unit of the word]."""
        lever = self.levers.get((surface_id, word), Lever())
        waited = now - self.moved_at.get((surface_id, word), now)
        return lever.speed * min(waited, DAY) // DAY if waited >= lever.cooldown else 0

    def _adjust(self, moves: Sequence[Move], now: int) -> None:
        require(not self.is_frozen, "steward: frozen")
        for surface_id, data in moves:
            self._move(surface_id, data, now, tightens=False)

    def _move(self, surface_id: int, data: Any, now: int, *, tightens: bool) -> None:
        surface = self._surface(surface_id)
        before = tuple(self.read(surface.target))
        self.write(surface.target, data, now)
        after = tuple(self.read(surface.target))
        require(len(before) == len(after), "steward: view")
        has_moved = False
        for word, (old, new) in enumerate(zip(before, after, strict=True)):
            if old == new or surface.followers >> word & 1:
                continue
            has_moved = True
            lever = self.levers.get((surface_id, word), Lever())
            require(lever.floor < lever.ceiling, "steward: not a lever")
            require(lever.floor <= new <= lever.ceiling, "steward: outside the band")
            require(-MAX_MAGNITUDE <= old <= MAX_MAGNITUDE, "steward: outside the band")
            if tightens:
                require((new - old) * lever.tightening > 0, "steward: loosens")
            else:
                waited = now - self.moved_at[surface_id, word]
                require(waited >= lever.cooldown, "steward: too soon")
                require(abs(new - old) <= lever.speed * min(waited, DAY) // DAY, "steward: too far")
            self.moved_at[surface_id, word] = now
        require(has_moved, "steward: nothing moves")

    def _surface(self, surface_id: int) -> Surface:
        surface = self.surfaces[surface_id] if surface_id < len(self.surfaces) else None
        if surface is None:
            raise Reverted("steward: no such surface")
        return surface
