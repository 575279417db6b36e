"""The keeper's memory: what it has sent and what it has seen, in SQLite, so that a restart repeats nothing.

An action is written down with its nonce before it is sent, and its outcome afterwards. Its key names the occasion:
while an attempt is under way or has succeeded, the same key is not taken again; after a failure it may be.
"""

from __future__ import annotations

import fcntl
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Literal

from ballast.keeper.observe import Book
from ballast.keeper.state import Action

Outcome = Literal["sending", "sent", "done", "failed", "dropped"]

_SCHEMA = """
create table if not exists actions (
    id integer primary key,
    key text not null,
    kind text not null,
    detail text not null,
    target text not null,
    data text not null,
    nonce integer not null,
    outcome text not null check (outcome in ('sending', 'sent', 'done', 'failed', 'dropped')),
    hashes text not null default '[]',
    block integer,
    gas_used integer,
    reason text,
    created_at real not null,
    updated_at real not null
);
create unique index if not exists one_live_attempt on actions (key) where outcome in ('sending', 'sent', 'done');
create table if not exists masks (account text primary key, mask integer not null);
create table if not exists settled (market integer, expiry integer, primary key (market, expiry));
create table if not exists requests (
    account text, market integer, options integer, primary key (account, market, options)
);
create table if not exists claimants (account text primary key);
create table if not exists facts (name text primary key, fact text not null);
"""


class JournalInUse(RuntimeError):
    """Another keeper writes to this journal: two owners of one nonce would replace each other's transactions."""


class WrongChain(RuntimeError):
    """The journal belongs to another chain, deployment or sender."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One attempt."""

    id: int
    key: str
    kind: str
    target: str
    data: bytes
    nonce: int
    outcome: Outcome
    hashes: tuple[str, ...]
    reason: str | None


class Journal:
    """`Journal()` lives in memory; `Journal(path)` is durable and locked against a second process."""

    def __init__(self, path: Path | None = None) -> None:
        self._lock: IO[str] | None = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = open(path.with_suffix(path.suffix + ".lock"), "w")  # noqa: SIM115 (held for the journal's life)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                self._lock.close()
                raise JournalInUse(str(path)) from None
        self._db = sqlite3.connect(path if path is not None else ":memory:", isolation_level=None)
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = full" if path is not None else "pragma synchronous = off")
        self._db.executescript(_SCHEMA)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and release the lock."""
        self._db.close()
        if self._lock is not None:
            self._lock.close()

    # ---- identity

    def bind(self, identity: str) -> None:
        """Tie a new journal to chain, deployment and sender; raises WrongChain if it is tied to others."""
        known = self._fact("identity")
        if known is None:
            self._remember("identity", identity)
        elif known != identity:
            raise WrongChain(f"journal of {known}, not of {identity}")

    # ---- actions

    def begin(self, action: Action, target: str, data: bytes, nonce: int) -> int | None:
        """Write an attempt down before it is sent; None when its occasion has been used."""
        now = time.time()
        try:
            cursor = self._db.execute(
                "insert into actions (key, kind, detail, target, data, nonce, outcome, created_at, updated_at)"
                " values (?, ?, ?, ?, ?, ?, 'sending', ?, ?)",
                (action.key, action.kind, json.dumps(asdict(action)), target, data.hex(), nonce, now, now),
            )
        except sqlite3.IntegrityError:
            return None
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def is_used(self, key: str) -> bool:
        """Whether an attempt under this key is under way or has succeeded."""
        found = self._db.execute(
            "select 1 from actions where key = ? and outcome in ('sending', 'sent', 'done')", (key,)
        ).fetchone()
        return found is not None

    def sent(self, entry: int, tx_hash: str) -> None:
        """A transaction, first or replacement, has gone out."""
        self._db.execute(
            "update actions set outcome = 'sent', hashes = json_insert(hashes, '$[#]', ?), updated_at = ? where id = ?",
            (tx_hash, time.time(), entry),
        )

    def resolve(
        self,
        entry: int,
        outcome: Outcome,
        *,
        block: int | None = None,
        gas_used: int | None = None,
        reason: str | None = None,
    ) -> None:
        """How an attempt ended."""
        self._db.execute(
            "update actions set outcome = ?, block = ?, gas_used = ?, reason = ?, updated_at = ? where id = ?",
            (outcome, block, gas_used, reason, time.time(), entry),
        )

    def pending(self) -> list[Entry]:
        """Attempts whose outcome is unknown, oldest first."""
        return [entry for entry in self.entries() if entry.outcome in ("sending", "sent")]

    def entries(self) -> list[Entry]:
        """Every attempt, oldest first."""
        rows = self._db.execute(
            "select id, key, kind, target, data, nonce, outcome, hashes, reason from actions order by id"
        )
        return [
            Entry(i, key, kind, target, bytes.fromhex(data), nonce, outcome, tuple(json.loads(hashes)), reason)
            for i, key, kind, target, data, nonce, outcome, hashes, reason in rows
        ]

    # ---- who has positions

    def load_book(self) -> Book:
        """What events up to the last block scanned said."""
        scanned = self._fact("scanned")
        masks = dict(self._db.execute("select account, mask from masks"))
        settled = set(self._db.execute("select market, expiry from settled"))
        found = self._db.execute("select account, market, options from requests")
        requests = {(account, market, bool(options)) for account, market, options in found}
        claimants = {account for (account,) in self._db.execute("select account from claimants")}
        return Book(masks, -1 if scanned is None else int(scanned), settled, requests, claimants)

    def save_book(self, book: Book) -> None:
        """Keep it for the next start."""
        with self._transaction():
            self._db.execute("delete from masks")
            self._db.executemany("insert into masks values (?, ?)", list(book.masks.items()))
            self._db.execute("delete from settled")
            self._db.executemany("insert into settled values (?, ?)", list(book.settled))
            self._db.executemany("insert or ignore into claimants values (?)", [(who,) for who in book.claimants])
            self._db.execute("delete from requests")
            self._db.executemany("insert into requests values (?, ?, ?)", list(book.requests))
            self._remember("scanned", str(book.scanned))

    # ---- internal

    def _fact(self, name: str) -> str | None:
        found = self._db.execute("select fact from facts where name = ?", (name,)).fetchone()
        return None if found is None else str(found[0])

    def _remember(self, name: str, fact: str) -> None:
        self._db.execute("insert or replace into facts values (?, ?)", (name, fact))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("begin")
        try:
            yield
        except BaseException:
            self._db.execute("rollback")
            raise
        self._db.execute("commit")
