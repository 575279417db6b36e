"""The keeper's memory: one live attempt per occasion, durable, one process at a time."""

import sqlite3

import pytest

from ballast.chain import Receipt, RevmChain, Tx
from ballast.keeper.journal import Journal, JournalInUse, WrongChain
from ballast.keeper.observe import Book
from ballast.keeper.state import Poke, SyncAll

VENUE = "0x" + "aa" * 20


def included(block, status=1):
    """A receipt of a block."""
    return Receipt(
        RevmChain(), Tx(VENUE, b"", VENUE), status=status, gas_used=21_000, logs=[], block_number=block, timestamp=0,
        output=b"", tx_hash=f"0x{block}", block_hash=f"0x{block}{block}", gas_price=7,
    )  # fmt: skip


@pytest.fixture
def path(tmp_path):
    return tmp_path / "keeper" / "journal.sqlite"


def test_begin_same_occasion_twice_is_refused():
    journal = Journal()
    first = journal.begin(Poke(0, "poke:a"), VENUE, b"\x01", 5)
    assert first is not None
    assert journal.begin(Poke(0, "poke:a"), VENUE, b"\x01", 6) is None
    assert journal.begin(Poke(0, "poke:b"), VENUE, b"\x01", 6) is not None


@pytest.mark.parametrize(("outcome", "again"), [("done", False), ("failed", True), ("dropped", True)])
def test_begin_after_an_attempt_depends_on_its_outcome(outcome, again):
    journal = Journal()
    entry = journal.begin(SyncAll("sync:1"), VENUE, b"", 0)
    journal.resolve(entry, outcome)
    assert journal.is_used("sync:1") is not again
    assert (journal.begin(SyncAll("sync:1"), VENUE, b"", 1) is not None) is again


def test_journal_survives_a_restart(path):
    with Journal(path) as journal:
        journal.bind("chain 1")
        book = Book({VENUE: 3}, 77, {(0, 1_000)}, {(VENUE, 1, True)}, {VENUE})
        entry = journal.begin(Poke(3, "poke:a"), VENUE, b"\x01\x02", 5)
        journal.sent(entry, "0x01")
        journal.sent(entry, "0x02")
        journal.save_book(book)
    with Journal(path) as journal:
        (pending,) = journal.pending()
        assert (pending.key, pending.nonce, pending.data, pending.outcome) == ("poke:a", 5, b"\x01\x02", "sent")
        assert pending.hashes == ("0x01", "0x02")
        assert journal.load_book() == book
        journal.resolve(entry, "done", included(9))
        assert journal.pending() == []
        assert journal.is_used("poke:a")


def test_outcome_is_shallow_until_it_is_final_and_may_be_reopened():
    journal = Journal()
    entry = journal.begin(SyncAll("sync:1"), VENUE, b"", 3)
    journal.resolve(entry, "done", included(9))
    (shallow,) = journal.shallow()
    assert (shallow.tx_hash, shallow.block, shallow.block_hash) == ("0x9", 9, "0x99")
    assert (shallow.gas_used, shallow.gas_price) == (21_000, 7)
    journal.reopen(entry)
    (again,) = journal.pending()
    assert (again.outcome, again.block) == ("sent", None)
    assert journal.is_used("sync:1")
    journal.resolve(entry, "done", included(10))
    journal.finalise(entry)
    assert journal.shallow() == journal.pending() == []


def test_reopened_failure_keeps_its_nonce_and_not_its_occasion():
    journal = Journal()
    entry = journal.begin(SyncAll("sync:1"), VENUE, b"", 3)
    journal.resolve(entry, "failed", included(9, status=0))
    journal.reopen(entry)
    assert [waiting.outcome for waiting in journal.pending()] == ["cancelling"]
    assert not journal.is_used("sync:1")


def test_occasion_that_failed_in_blocks_rests_twice_as_long_each_time():
    journal = Journal()
    rests = []
    for block in (10, 20, 30):
        entry = journal.begin(SyncAll("sync:1"), VENUE, b"", block)
        journal.resolve(entry, "failed", included(block, status=0))
        rests.append(journal.rests_until("sync:1") - block)
    assert rests == [1, 2, 4]
    assert journal.rests_until("sync:2") == 0


def test_pending_is_in_the_order_of_nonces():
    journal = Journal()
    later = journal.begin(SyncAll("sync:1"), VENUE, b"", 4)
    earlier = journal.begin(SyncAll("sync:2"), VENUE, b"", 3)
    assert [entry.id for entry in journal.pending()] == [earlier, later]


def test_transaction_that_fails_leaves_nothing():
    journal = Journal()
    entry = journal.begin(SyncAll("sync:1"), VENUE, b"", 4)

    def dies():
        with journal.transaction():
            journal.resolve(entry, "done")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        dies()
    assert [entry.outcome for entry in journal.entries()] == ["sending"]


def test_journal_of_another_version_is_refused(path):
    path.parent.mkdir()
    with sqlite3.connect(path) as other:
        other.execute("create table actions (id integer primary key)")
    with pytest.raises(WrongChain, match="journal of version 0 of the keeper"):
        Journal(path)


def test_journal_of_another_chain_is_refused(path):
    with Journal(path) as journal:
        journal.bind("chain 1")
        journal.bind("chain 1")
    with Journal(path) as journal, pytest.raises(WrongChain, match="journal of chain 1, not of chain 2"):
        journal.bind("chain 2")


def test_journal_in_use_by_another_keeper_is_refused(path):
    with Journal(path), pytest.raises(JournalInUse):
        Journal(path)
    Journal(path).close()


def test_book_forgets_accounts_without_positions():
    book = Book()
    book.take(VENUE, 5)
    assert book.masks == {VENUE: 5}
    book.take(VENUE, 0)
    assert book.masks == {}


def test_new_journal_has_scanned_nothing():
    assert Journal().load_book() == Book({}, -1)
