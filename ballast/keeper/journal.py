"""The keeper's memory: what it has sent and what it has seen, in SQLite, so that a restart repeats nothing.

An action is written down with its nonce before it is sent, and its outcome afterwards. Its key names the occasion:
while an attempt is under way or has succeeded, the same key is not taken again; after a failure it may be.

    sending ─▶ sent ─▶ done | failed        by the transaction that the chain included, its block's hash kept
        │        └──▶ cancelling ─▶ dropped  its nonce goes to a transfer of nothing, or is still free
        └──────────────────────────▶ dropped
    done | failed ─▶ final                  some blocks later; until then a reorganisation may reopen it
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
from typing import IO, Any, Literal

from ballast.chain import Receipt
from ballast.keeper.observe import Book
from ballast.keeper.state import Action

Outcome = Literal["sending", "sent", "cancelling", "done", "failed", "dropped"]

VERSION = 2  # of the tables
LONGEST_REST = 10  # doublings: 1,024 blocks
UNDER_WAY: tuple[Outcome, ...] = ("sending", "sent", "cancelling")
_LIVE = "('sending', 'sent', 'done')"

_SCHEMA = """
create table if not exists actions (
    id integer primary key,
    key text not null,
    kind text not null,
    detail text not null,
    target text not null,
    data text not null,
    nonce integer not null,
    begun integer not null,
    outcome text not null
        check (outcome in ('sending', 'sent', 'cancelling', 'done', 'failed', 'dropped')),
    hashes text not null default '[]',
    gas integer not null default 0,
    max_fee integer not null default 0,
    tip integer not null default 0,
    bumps integer not null default 0,
    private integer not null default 0,
    tx_hash text,
    block integer,
    block_hash text,
    gas_used integer,
    gas_price integer,
    final integer not null default 0,
    reason text,
    created_at real not null,
    updated_at real not null
);
create index if not exists occasions on actions (key, outcome);
create index if not exists unsettled on actions (nonce) where not final;
create index if not exists nonces on actions (nonce);
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
    """The journal belongs to another chain, deployment or sender, or to another version of the keeper."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What the newest transaction of an attempt offers."""

    gas: int = 0  # limit
    max_fee: int = 0  # [wei per gas]
    tip: int = 0  # [wei per gas]
    bumps: int = 0  # how often it was raised
    private: bool = False  # nobody but a relay has it


@dataclass(frozen=True, slots=True)
class Entry:
    """One attempt."""

    id: int
    key: str
    kind: str
    target: str
    data: bytes
    nonce: int
    begun: int  # newest block when it was written down
    outcome: Outcome
    hashes: tuple[str, ...]
    offer: Offer
    tx_hash: str | None  # that used its nonce
    block: int | None  # in which it did
    block_hash: str | None
    gas_used: int | None
    gas_price: int | None  # [wei per gas]
    final: bool
    reason: str | None
    created_at: float  # [s]
    updated_at: float  # [s]


_COLUMNS = (
    "id, key, kind, target, data, nonce, begun, outcome, hashes, gas, max_fee, tip, bumps, private,"
    " tx_hash, block, block_hash, gas_used, gas_price, final, reason, created_at, updated_at"
)


def _entry(row: tuple[Any, ...]) -> Entry:
    i, key, kind, target, data, nonce, begun, outcome, hashes, gas, max_fee, tip, bumps, private, *rest = row
    tx_hash, block, block_hash, gas_used, gas_price, final, reason, created_at, updated_at = rest
    return Entry(
        i, key, kind, target, bytes.fromhex(data), nonce, begun, outcome, tuple(json.loads(hashes)),
        Offer(gas, max_fee, tip, bumps, bool(private)), tx_hash, block, block_hash, gas_used, gas_price, bool(final),
        reason, created_at, updated_at,
    )  # fmt: skip


def beside(manifest_path: Path, sender: str) -> Path:
    """Where the journal of a keeper lies."""
    return manifest_path.with_name(f"{manifest_path.stem}.keeper-{sender[2:10].lower()}.sqlite")


class Journal:
    """`Journal()` lives in memory; `Journal(path)` is durable and locked against a second process.

    Threads may share it while they take turns.
    """

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
        self._db = sqlite3.connect(
            path if path is not None else ":memory:", isolation_level=None, check_same_thread=False
        )
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = full" if path is not None else "pragma synchronous = off")
        version = self._db.execute("pragma user_version").fetchone()[0]
        if version != VERSION and self._db.execute("select 1 from sqlite_master").fetchone() is not None:
            self.close()
            raise WrongChain(f"journal of version {version} of the keeper, not of {VERSION}")
        self._db.executescript(f"begin; {_SCHEMA} pragma user_version = {VERSION}; commit;")

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

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written inside, or nothing."""
        self._db.execute("begin")
        try:
            yield
        except BaseException:
            self._db.execute("rollback")
            raise
        self._db.execute("commit")

    # ---- identity

    def bind(self, identity: str) -> None:
        """Tie a new journal to chain, deployment and sender; raises WrongChain if it is tied to others."""
        known = self._fact("identity")
        if known is None:
            self._remember("identity", identity)
        elif known != identity:
            raise WrongChain(f"journal of {known}, not of {identity}")

    # ---- actions

    def begin(self, action: Action, target: str, data: bytes, nonce: int, begun: int = 0) -> int | None:
        """Write an attempt down before it is sent; None when its occasion has been used."""
        now = time.time()
        cursor = self._db.execute(
            "insert into actions (key, kind, detail, target, data, nonce, begun, outcome, created_at, updated_at)"
            " select ?, ?, ?, ?, ?, ?, ?, 'sending', ?, ?"
            f" where not exists (select 1 from actions where key = ? and outcome in {_LIVE})",
            (
                action.key, action.kind, json.dumps(asdict(action)), target, data.hex(), nonce, begun, now, now,
                action.key,
            ),
        )  # fmt: skip
        return cursor.lastrowid if cursor.rowcount else None

    def is_used(self, key: str) -> bool:
        """Whether an attempt under this key is under way or has succeeded."""
        found = self._db.execute(
            f"select 1 from actions where key = ? and outcome in {_LIVE} limit 1", (key,)
        ).fetchone()
        return found is not None

    def rests_until(self, key: str) -> int:
        """Block before which an occasion whose attempts were included and failed is left alone; each doubles the wait.

        What passes every simulation and fails in every block would otherwise cost its gas in each.
        """
        failures, last = self._db.execute(
            "select count(*), max(block) from actions where key = ? and outcome = 'failed' and block is not null",
            (key,),
        ).fetchone()
        return 0 if failures == 0 else int(last) + 2 ** min(failures - 1, LONGEST_REST)

    def sent(self, entry: int, tx_hash: str, offer: Offer | None = None) -> None:
        """A transaction, first or replacement, goes out."""
        offer = offer or Offer()
        self._db.execute(
            "update actions set outcome = case outcome when 'sending' then 'sent' else outcome end,"
            " hashes = json_insert(hashes, '$[#]', ?), gas = ?, max_fee = ?, tip = ?, bumps = ?, private = ?,"
            " updated_at = ? where id = ?",
            (tx_hash, offer.gas, offer.max_fee, offer.tip, offer.bumps, offer.private, time.time(), entry),
        )

    def cancel(self, entry: int, reason: str) -> None:
        """Its occasion is gone; what it holds is its nonce. The bumps of what replaces it count from nothing."""
        self._db.execute(
            "update actions set outcome = 'cancelling', reason = ?, bumps = 0 where id = ?", (reason, entry)
        )

    def resolve(
        self,
        entry: int,
        outcome: Outcome,
        receipt: Receipt | None = None,
        *,
        final: bool = False,
        reason: str | None = None,
    ) -> None:
        """How an attempt ended; without a receipt its nonce was not used."""
        included: tuple[str | int | None, ...] = (None,) * 5
        if receipt is not None:
            included = (
                receipt.tx_hash, receipt.block_number, receipt.block_hash, receipt.gas_used, receipt.gas_price
            )  # fmt: skip
        self._db.execute(
            "update actions set outcome = ?, tx_hash = ?, block = ?, block_hash = ?, gas_used = ?, gas_price = ?,"
            " final = ?, reason = ?, updated_at = ? where id = ?",
            (outcome, *included, final or receipt is None, reason, time.time(), entry),
        )

    def reopen(self, entry: int) -> None:
        """Its transaction has left the chain; one that did not succeed wants no more than its nonce settled."""
        self._db.execute(
            "update actions set outcome = case outcome when 'done' then 'sent' else 'cancelling' end, tx_hash = null,"
            " block = null, block_hash = null, gas_used = null, gas_price = null, bumps = 0 where id = ?",
            (entry,),
        )

    def finalise(self, entry: int) -> None:
        """Its block is deep enough."""
        self._db.execute("update actions set final = 1 where id = ?", (entry,))

    def pending(self) -> list[Entry]:
        """Attempts whose outcome is unknown, in the order of their nonces."""
        return self._select(f"where not final and outcome in {UNDER_WAY} order by nonce, id")

    def shallow(self) -> list[Entry]:
        """Attempts whose block may still be replaced, in the order of their nonces."""
        return self._select(f"where not final and outcome not in {UNDER_WAY} order by nonce, id")

    def at(self, nonce: int) -> list[Entry]:
        """Every attempt with this nonce, newest first."""
        return self._select("where nonce = ? order by id desc", nonce)

    def entries(self) -> list[Entry]:
        """Every attempt, oldest first."""
        return self._select("order by id")

    def successes(self) -> dict[str, float]:
        """When each kind of action was last done [s]."""
        found = self._db.execute("select kind, max(updated_at) from actions where outcome = 'done' group by kind")
        return dict(found.fetchall())

    def gas_spent(self) -> float:
        """What transactions have cost so far, failed and cancelled ones too [wei]."""
        found = self._db.execute("select total(1.0 * gas_used * gas_price) from actions").fetchone()
        return float(found[0])

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

    def skip_to(self, block: int) -> None:
        """Nothing happened before this block: a new journal need not look there."""
        if self.load_book().scanned < block - 1:
            self.save_book(Book({}, block - 1))

    def save_book(self, book: Book) -> None:
        """Keep it for the next start."""
        with self.transaction():
            self._db.execute("delete from masks")
            self._db.executemany("insert into masks values (?, ?)", list(book.masks.items()))
            self._db.execute("delete from settled")
            self._db.executemany("insert into settled values (?, ?)", list(book.settled))
            self._db.executemany("insert or ignore into claimants values (?)", [(who,) for who in book.claimants])
            self._db.execute("delete from requests")
            self._db.executemany("insert into requests values (?, ?, ?)", list(book.requests))
            self._remember("scanned", str(book.scanned))

    # ---- internal

    def _select(self, condition: str, *values: Any) -> list[Entry]:
        return [_entry(row) for row in self._db.execute(f"select {_COLUMNS} from actions {condition}", values)]

    def _fact(self, name: str) -> str | None:
        found = self._db.execute("select fact from facts where name = ?", (name,)).fetchone()
        return None if found is None else str(found[0])

    def _remember(self, name: str, fact: str) -> None:
        self._db.execute("insert or replace into facts values (?, ?)", (name, fact))
