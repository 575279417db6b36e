"""The keeper's memory: one live attempt per occasion, durable, one process at a time."""

import pytest

from ballast.keeper.journal import Journal, JournalInUse, WrongChain
from ballast.keeper.observe import Book
from ballast.keeper.state import Poke, SyncAll

VENUE = "0x" + "aa" * 20


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
        journal.resolve(entry, "done", block=9, gas_used=21_000)
        assert journal.pending() == []
        assert journal.is_used("poke:a")


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
