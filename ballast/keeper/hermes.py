"""Where signed prices of Pyth come from: its price service Hermes over HTTP, or files of the same form.

`https://hermes.pyth.network` is the public one. A folder has `latest.json` and, for proofs, `<second>.json`.
Source of the form: hermes.pyth.network/docs, /v2/updates/price/latest and /v2/updates/price/{publish_time}.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import requests
from urllib3.exceptions import HTTPError

TIMEOUT = 5.0  # [s] for a byte, and for all of an answer's body
MAX_BODY = 1 << 20  # [bytes], some 60 times what an answer has


class NoUpdate(Exception):
    """The source has no such update, or cannot be asked."""


@dataclass(frozen=True, slots=True)
class Update:
    """A signed message of prices, and when the one that was asked for was published."""

    data: tuple[str, ...]  # hex, as PythFeed takes it
    published_at: int  # [s]


class Source(Protocol):
    """What signed prices can be had from."""

    def latest(self, price_id: str) -> Update:
        """The newest update of a price; raises NoUpdate."""
        ...

    def at(self, price_id: str, time: int) -> Update:
        """The first update at or after a time [s]; raises NoUpdate."""
        ...


@dataclass(frozen=True, slots=True)
class Hermes:
    """Pyth's price service, or whoever answers as it does."""

    url: str

    def latest(self, price_id: str) -> Update:
        """`Source.latest`."""
        return self._ask("latest", price_id)

    def at(self, price_id: str, time: int) -> Update:
        """`Source.at`."""
        return self._ask(str(time), price_id)

    def _ask(self, which: str, price_id: str) -> Update:
        url = f"{self.url.rstrip('/')}/v2/updates/price/{which}"
        try:
            query = {"ids[]": price_id, "encoding": "hex"}
            with requests.get(url, query, timeout=TIMEOUT, stream=True, allow_redirects=False) as answer:
                answer.raise_for_status()
                return parse(json.loads(_body(answer)), price_id)
        except (requests.RequestException, HTTPError, ValueError, RecursionError) as error:
            raise NoUpdate(f"{url}: {error}") from None


def _body(answer: requests.Response) -> bytes:
    """All of it, unless there is too much or it takes too long: a keeper that waits for prices does nothing else."""
    until = time.monotonic() + TIMEOUT
    body = bytearray()
    while part := answer.raw.read1(MAX_BODY, decode_content=True):
        body += part
        if len(body) > MAX_BODY:
            raise ValueError(f"more than {MAX_BODY:,} bytes")
        if time.monotonic() > until:
            raise ValueError(f"not all there after {TIMEOUT:g} s")
    return bytes(body)


@dataclass(frozen=True, slots=True)
class Files:
    """Answers of Hermes that somebody keeps in a folder."""

    folder: Path

    def latest(self, price_id: str) -> Update:
        """`Source.latest`."""
        return self._read("latest", price_id)

    def at(self, price_id: str, time: int) -> Update:
        """`Source.at`."""
        return self._read(str(time), price_id)

    def _read(self, which: str, price_id: str) -> Update:
        path = self.folder / f"{which}.json"
        try:
            return parse(json.loads(path.read_text()), price_id)
        except (OSError, ValueError) as error:
            raise NoUpdate(f"{path}: {error}") from None


def source_of(place: str) -> Source:
    """Hermes at a URL, or a folder of its answers."""
    return Hermes(place) if place.startswith(("http://", "https://")) else Files(Path(place))


def parse(document: Any, price_id: str) -> Update:
    """Hermes' answer; raises ValueError where it is not of its form or has another price."""
    wanted = price_id.removeprefix("0x").lower()
    try:
        data = tuple("0x" + bytes.fromhex(part.removeprefix("0x")).hex() for part in document["binary"]["data"])
        times = {entry["id"].removeprefix("0x"): entry["price"]["publish_time"] for entry in document["parsed"]}
        return Update(data, int(times[wanted]))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not an answer of Hermes about {price_id}: {error!r}") from None
