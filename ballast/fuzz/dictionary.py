"""Numbers worth trying: a contract's own constants, and amounts from dust to everything."""

from __future__ import annotations

from random import Random

PUSH1, PUSH32 = 0x60, 0x7F
WORD = 1 << 256


def constants(code: bytes) -> list[int]:
    """What the code pushes, each once, in ascending order: its literals, but also jump targets and masks."""
    found: set[int] = set()
    at = 0
    while at < len(code):
        width = max(code[at] - PUSH1 + 1, 0) if code[at] <= PUSH32 else 0
        found.add(int.from_bytes(code[at + 1 : at + 1 + width], "big"))
        at += 1 + width
    return sorted(found)


def number(rng: Random, words: list[int]) -> int:
    """An unsigned word: one of `words` or beside it, any magnitude, or anything at all."""
    kind = rng.random()
    if kind < 0.4:
        return (rng.choice(words) + rng.choice((0, 0, 0, -1, 1))) % WORD
    if kind < 0.8:
        return rng.getrandbits(rng.randrange(1, 257))
    return rng.getrandbits(256)
