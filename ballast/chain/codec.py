"""ABI encoding and decoding by hand, for the sake of fuzzing and of keepers; only dynamic arguments are eth_abi's."""

from __future__ import annotations

import keyword
import re
from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import index
from typing import Any

from eth_abi.abi import encode as eth_abi_encode
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

WORD = 32

Json = dict[str, Any]


class EncodingError(ValueError):
    """An argument does not fit its ABI type; raised before anything is sent."""


class DecodingError(ValueError):
    """Return or log data does not fit its ABI type, typically because there is no code at the address."""


@lru_cache(maxsize=1 << 16)
def _checksum(raw: bytes) -> str:
    return str(to_checksum_address(raw))


def address_of(value: Any) -> str:
    """The checksummed address of a contract wrapper, an account object, a hex string or 20 bytes."""
    value = getattr(value, "address", value)
    if isinstance(value, bytes):
        return _checksum(value)
    if isinstance(value, str) and len(value) == 42:
        return _checksum(bytes.fromhex(value[2:]))
    raise EncodingError(f"not an address: {value!r}")


@lru_cache(maxsize=1 << 16)
def _address_word(value: str) -> bytes:
    return bytes(12) + bytes.fromhex(address_of(value)[2:])


@dataclass(frozen=True, slots=True)
class Codec:
    """How one ABI type travels.

    `size` is the encoded length in bytes of a static type and 0 for a dynamic one. `unpack` reads the value whose
    encoding begins at a position: for a dynamic type, where its head points to. `pack` serves static types; `clean`
    translates our values into eth_abi's for the others.
    """

    name: str
    size: int
    pack: Callable[[Any], bytes]
    unpack: Callable[[bytes, int], Any]
    clean: Callable[[Any], Any]


def _uint(bits: int) -> Codec:
    limit = 1 << bits

    def pack(value: Any) -> bytes:
        number = index(value)
        if not 0 <= number < limit:
            raise EncodingError(f"{number} is not a uint{bits}")
        return number.to_bytes(WORD, "big")

    def unpack(data: bytes, at: int) -> int:
        return int.from_bytes(data[at : at + WORD], "big")

    return Codec(f"uint{bits}", WORD, pack, unpack, index)


def _int(bits: int) -> Codec:
    limit = 1 << (bits - 1)

    def pack(value: Any) -> bytes:
        number = index(value)
        if not -limit <= number < limit:
            raise EncodingError(f"{number} is not an int{bits}")
        return number.to_bytes(WORD, "big", signed=True)

    def unpack(data: bytes, at: int) -> int:
        return int.from_bytes(data[at : at + WORD], "big", signed=True)

    return Codec(f"int{bits}", WORD, pack, unpack, index)


def _bool() -> Codec:
    words = {False: bytes(WORD), True: (1).to_bytes(WORD, "big")}

    def pack(value: Any) -> bytes:
        if value is not True and value is not False:
            value = clean(value)
        return words[value]

    def clean(value: Any) -> bool:
        if value not in (0, 1):
            raise EncodingError(f"{value!r} is not a bool")
        return bool(value)

    def unpack(data: bytes, at: int) -> bool:
        return data[at + WORD - 1] == 1

    return Codec("bool", WORD, pack, unpack, clean)


def _address() -> Codec:
    def pack(value: Any) -> bytes:
        return _address_word(value if isinstance(value, str) else address_of(value))

    def unpack(data: bytes, at: int) -> str:
        return _checksum(data[at + 12 : at + WORD])

    return Codec("address", WORD, pack, unpack, address_of)


def _as_bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return bytes.fromhex(value.removeprefix("0x"))
    return bytes(value)


def _fixed_bytes(length: int) -> Codec:
    def pack(value: Any) -> bytes:
        return clean(value).ljust(WORD, b"\0")

    def clean(value: Any) -> bytes:
        raw = _as_bytes(value)
        if len(raw) != length:
            raise EncodingError(f"{len(raw)} bytes given for a bytes{length}")
        return raw

    def unpack(data: bytes, at: int) -> bytes:
        return data[at : at + length]

    return Codec(f"bytes{length}", WORD, pack, unpack, clean)


def _static_only(*_: Any) -> Any:
    raise AssertionError("dynamic types are encoded by eth_abi")


def _dynamic(name: str, unpack: Callable[[bytes, int], Any], clean: Callable[[Any], Any]) -> Codec:
    return Codec(name, 0, _static_only, unpack, clean)


def _need(data: bytes, end: int) -> None:
    if end > len(data):
        raise DecodingError(f"{len(data)} bytes end before {end}")


def _number(data: bytes, at: int) -> int:
    """A length or an offset."""
    _need(data, at + WORD)
    return int.from_bytes(data[at : at + WORD], "big")


def _bytes() -> Codec:
    def unpack(data: bytes, at: int) -> bytes:
        begin = at + WORD
        end = begin + _number(data, at)
        _need(data, end)
        return data[begin:end]

    return _dynamic("bytes", unpack, _as_bytes)


def _string() -> Codec:
    unpack = _bytes().unpack
    return _dynamic("string", lambda data, at: unpack(data, at).decode(), str)


def _array(item: Codec, length: int | None) -> Codec:
    name = f"{item.name}[{'' if length is None else length}]"
    step = item.size or WORD

    def check(values: Any) -> Any:
        if length is not None and len(values) != length:
            raise EncodingError(f"{len(values)} items given for {name}")
        return values

    def clean(values: Any) -> list[Any]:
        return [item.clean(value) for value in check(values)]

    def unpack(data: bytes, at: int) -> list[Any]:
        count = length
        if count is None:
            count, at = _number(data, at), at + WORD
        end = at + count * step
        _need(data, end)
        if item.size:
            return [item.unpack(data, offset) for offset in range(at, end, step)]
        return [item.unpack(data, at + _number(data, offset)) for offset in range(at, end, step)]

    if length is None or not item.size:
        return _dynamic(name, unpack, clean)

    def pack(values: Any) -> bytes:
        return b"".join([item.pack(value) for value in check(values)])

    return Codec(name, step * length, pack, unpack, clean)


def _field_name(name: str, position: int) -> str:
    name = name.lstrip("_") or f"field_{position}"
    return f"{name}_" if keyword.iskeyword(name) else name


def record(title: str, names: Sequence[str]) -> Callable[..., Any]:
    """A namedtuple class for ABI component names; names Python cannot spell get a trailing or no leading underscore."""
    fields = [_field_name(name, position) for position, name in enumerate(names)]
    return namedtuple(title, fields, rename=True)


def _placed(items: Sequence[Codec]) -> tuple[list[tuple[Codec, int]], int]:
    """Each item with the offset of its head, and the length of all heads."""
    offsets: list[tuple[Codec, int]] = []
    size = 0
    for item in items:
        offsets.append((item, size))
        size += item.size or WORD
    return offsets, size


def _unpacked(placed: Sequence[tuple[Codec, int]], data: bytes, at: int) -> list[Any]:
    return [item.unpack(data, at + offset if item.size else at + _number(data, at + offset)) for item, offset in placed]


def _tuple(components: Sequence[Json], title: str) -> Codec:
    items = [codec_for(component) for component in components]
    names = [str(component["name"]) for component in components]
    make = record(title, names)
    name = f"({','.join(item.name for item in items)})"
    placed, size = _placed(items)

    def parts(value: Any) -> Sequence[Any]:
        if isinstance(value, Mapping):
            if set(value) != set(names):
                raise EncodingError(f"{title} needs exactly the fields {names}, not {sorted(value)}")
            return [value[key] for key in names]
        if hasattr(value, "__dataclass_fields__"):
            return [getattr(value, key) for key in names]
        if len(value) != len(items):
            raise EncodingError(f"{title} has {len(items)} fields, not {len(value)}")
        return value  # type: ignore[no-any-return]

    def clean(value: Any) -> tuple[Any, ...]:
        return tuple(item.clean(part) for item, part in zip(items, parts(value), strict=True))

    def unpack(data: bytes, at: int) -> Any:
        _need(data, at + size)
        return make(*_unpacked(placed, data, at))

    if not all(item.size for item in items):
        return _dynamic(name, unpack, clean)

    def pack(value: Any) -> bytes:
        return b"".join([item.pack(part) for item, part in zip(items, parts(value), strict=True)])

    return Codec(name, size, pack, unpack, clean)


_ARRAY = re.compile(r"^(.*)\[(\d*)\]$")


def codec_for(component: Json) -> Codec:
    """The codec of one ABI component, e.g. {"type": "tuple[2]", "components": [...]}."""
    kind = str(component["type"])
    if array := _ARRAY.match(kind):
        return _array(codec_for({**component, "type": array[1]}), int(array[2]) if array[2] else None)
    if kind == "tuple":
        return _tuple(component["components"], "Struct")
    if kind == "address":
        return _address()
    if kind == "bool":
        return _bool()
    if kind == "bytes":
        return _bytes()
    if kind == "string":
        return _string()
    if kind.startswith("bytes"):
        return _fixed_bytes(int(kind[5:]))
    if kind.startswith("uint"):
        return _uint(int(kind[4:] or 256))
    if kind.startswith("int"):
        return _int(int(kind[3:] or 256))
    raise EncodingError(f"unknown ABI type {kind!r}")


class Arguments:
    """Encoder and decoder of an argument list: constructor or function inputs, function outputs, event data."""

    __slots__ = ("_codecs", "_placed", "_static", "_types", "names", "size")

    def __init__(self, components: Sequence[Json]) -> None:
        self._codecs = [codec_for(component) for component in components]
        self._types = [codec.name for codec in self._codecs]
        self._static = all(codec.size for codec in self._codecs)
        self.names = [str(component.get("name", "")) for component in components]
        self._placed, self.size = _placed(self._codecs)

    @property
    def signature(self) -> str:
        return f"({','.join(self._types)})"

    def encode(self, values: Sequence[Any]) -> bytes:
        """The ABI encoding of `values`; raises EncodingError naming the argument that does not fit."""
        if len(values) != len(self._codecs):
            raise EncodingError(f"{len(values)} arguments given for {self.signature}")
        try:
            if self._static:
                return b"".join([codec.pack(value) for codec, value in zip(self._codecs, values, strict=True)])
            cleaned = [codec.clean(value) for codec, value in zip(self._codecs, values, strict=True)]
            return bytes(eth_abi_encode(self._types, cleaned))
        except (TypeError, ValueError, KeyError) as error:
            raise EncodingError(f"{error} in {list(values)!r} for {self.names} {self.signature}") from error

    def decode(self, data: bytes) -> list[Any]:
        """The values in `data`; raises DecodingError when it is too short."""
        if len(data) < self.size:
            raise DecodingError(f"{len(data)} bytes cannot hold {self.signature}; is there code at the address?")
        try:
            return _unpacked(self._placed, data, 0)
        except UnicodeDecodeError as error:
            raise DecodingError(f"cannot decode {self.signature}: {error}") from error


class Function:
    """One ABI function: selector, argument encoder and result decoder."""

    __slots__ = ("_outputs", "_shape", "_single", "inputs", "is_view", "name", "selector", "signature")

    def __init__(self, entry: Json) -> None:
        self.name = str(entry["name"])
        self.inputs = Arguments(entry["inputs"])
        self.signature = self.name + self.inputs.signature
        self.selector = bytes(keccak(text=self.signature)[:4])
        self.is_view = entry.get("stateMutability") in ("view", "pure")
        self._outputs = Arguments(entry["outputs"])
        self._single = len(self._outputs.names) == 1
        named = len(self._outputs.names) > 1 and all(self._outputs.names)
        self._shape: Callable[..., Any] = record("Result", self._outputs.names) if named else _pack_tuple

    def encode(self, args: Sequence[Any]) -> bytes:
        return self.selector + self.inputs.encode(args)

    def decode(self, data: bytes) -> Any:
        """None, one value, or a tuple (named where the ABI names its outputs)."""
        if not self._outputs.names:
            return None
        values = self._outputs.decode(data)
        return values[0] if self._single else self._shape(*values)


def _pack_tuple(*values: Any) -> tuple[Any, ...]:
    return values


class EventType:
    """One ABI event; indexed values of dynamic type come back as their 32-byte hash."""

    __slots__ = ("_data", "_indexed", "_record", "_sources", "name", "topic", "topic_count")

    def __init__(self, entry: Json) -> None:
        inputs = entry["inputs"]
        self.name = str(entry["name"])
        indexed = [component for component in inputs if component["indexed"]]
        plain = [component for component in inputs if not component["indexed"]]
        self._indexed = [codec_for(component) for component in indexed]
        self._data = Arguments(plain)
        self._record = record(self.name, [str(component["name"]) for component in inputs])
        signature = self.name + Arguments(inputs).signature
        self.topic = bytes(keccak(text=signature))
        self.topic_count = 1 + len(indexed)
        self._sources: list[tuple[bool, int]] = []
        counts = {True: 0, False: 0}
        for component in inputs:
            key = bool(component["indexed"])
            self._sources.append((key, counts[key]))
            counts[key] += 1

    def decode(self, topics: Sequence[bytes], data: bytes) -> Any:
        """The event's arguments in declaration order, as a namedtuple."""
        from_topics = [
            codec.unpack(topic, 0) if codec.size else topic
            for codec, topic in zip(self._indexed, topics[1:], strict=True)
        ]
        from_data = self._data.decode(data)
        return self._record(*[(from_topics if is_topic else from_data)[i] for is_topic, i in self._sources])
