"""The decoder against eth_abi's encoder, over random types and values, and on data that ends too early."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest
from eth_abi.abi import encode

from ballast.chain import address_of
from ballast.chain.codec import Arguments, DecodingError

WORDS = ("uint256", "uint8", "int128", "bool", "address", "bytes32", "bytes", "string")


def random_type(rng: random.Random, depth: int = 0) -> dict[str, Any]:
    choice = rng.random()
    if depth < 3 and choice < 0.25:
        inner = random_type(rng, depth + 1)
        return {**inner, "type": f"{inner['type']}[{rng.choice(['', 1, 3])}]"}
    if depth < 3 and choice < 0.45:
        return {"type": "tuple", "components": named(random_type(rng, depth + 1) for _ in range(rng.randint(1, 4)))}
    return {"type": rng.choice(WORDS)}


def named(components: Any) -> list[dict[str, Any]]:
    return [{**component, "name": f"f{i}"} for i, component in enumerate(components)]


def random_value(rng: random.Random, component: dict[str, Any]) -> Any:
    kind = component["type"]
    if array := re.match(r"^(.*)\[(\d*)\]$", kind):
        length = int(array[2]) if array[2] else rng.randint(0, 4)
        return [random_value(rng, {**component, "type": array[1]}) for _ in range(length)]
    match kind:
        case "tuple":
            return tuple(random_value(rng, part) for part in component["components"])
        case "bool":
            return rng.random() < 0.5
        case "address":
            return address_of(rng.randbytes(20))
        case "bytes32":
            return rng.randbytes(32)
        case "bytes":
            return rng.randbytes(rng.randint(0, 70))
        case "string":
            return "é" * rng.randint(0, 40)
        case "int128":
            return rng.getrandbits(127) - 2**126
        case _:
            return rng.getrandbits(int(kind[4:]))


def plain(value: Any) -> Any:
    return [plain(part) for part in value] if isinstance(value, list | tuple) else value


@pytest.mark.parametrize("seed", range(300))
def test_decode_random_values_gives_what_eth_abi_encoded(seed: int) -> None:
    rng = random.Random(seed)
    components = named(random_type(rng) for _ in range(rng.randint(1, 4)))
    values = [random_value(rng, component) for component in components]
    arguments = Arguments(components)
    data = encode(_types(arguments), values)
    assert arguments.encode(values) == data
    assert plain(arguments.decode(data)) == plain(values)


def _types(arguments: Arguments) -> list[str]:
    """The argument list's types, as eth_abi wants them: the signature without its outer brackets, split at depth 0."""
    parts, depth, last = [], 0, ""
    for letter in arguments.signature[1:-1]:
        if letter == "," and depth == 0:
            parts.append(last)
            last = ""
            continue
        depth += (letter == "(") - (letter == ")")
        last += letter
    return [*parts, last]


@pytest.mark.parametrize("kind", ["uint256[]", "bytes", "string", "bytes[2]", "string[]"])
def test_decode_data_that_ends_early_is_refused_wherever_it_ends(kind: str) -> None:
    value = {"uint256[]": [1, 2], "bytes": b"x" * 40, "string": "x" * 40, "bytes[2]": [b"x", b"y"], "string[]": ["x"]}[
        kind
    ]
    arguments = Arguments([{"type": kind, "name": "x"}])
    data = arguments.encode([value])
    used = len(data) if kind == "uint256[]" else len(data) - 24 if kind in ("bytes", "string") else len(data) - 31
    for end in range(used):
        with pytest.raises(DecodingError):
            arguments.decode(data[:end])
    assert arguments.decode(data) == [value]


def test_decode_absurd_length_or_offset_is_refused() -> None:
    arguments = Arguments([{"type": "uint256[]", "name": "x"}])
    offset, length = (32).to_bytes(32, "big"), (2**255).to_bytes(32, "big")
    for data in (offset + length, length + length):
        with pytest.raises(DecodingError):
            arguments.decode(data)
