"""Words of the ledger: every field to its ends, beside full and beside empty neighbours, and not further."""

from __future__ import annotations

from itertools import product

import pytest

from ballast.chain import Contract, RevmChain, reverts

MICRO = 10**12
I128, I96, U96, U63, U128 = 2**127 - 1, 2**95 - 1, 2**96 - 1, 2**63 - 1, 2**128 - 1


@pytest.fixture(scope="module")
def harness() -> Contract:
    return RevmChain().deploy("LedgerHarness")


def test_account_keeps_cash_and_mask(harness: Contract) -> None:
    owner = harness.chain.accounts[0]
    for account in product((-I128, -1, 0, 1, I128), (0, 1, 2**15, 2**16 - 1, U128)):
        assert tuple(harness.call("store_account", owner, account)) == account
    for cash in (I128 + 1, -I128 - 1):
        with reverts("clearing: cash range"):
            harness.call("store_account", owner, (cash, 0))


def test_accounts_do_not_share_a_word(harness: Contract) -> None:
    one, other = harness.chain.accounts[:2]
    harness.send("store_account", one, (-5, 3))
    assert tuple(harness.load_account(one)) == (-5, 3)
    assert tuple(harness.load_account(other)) == (0, 0)


def test_vault_keeps_every_field(harness: Contract) -> None:
    words = product((-I96, -1, 0, 1, I96), (0, 1, U96 - 1, U96), (False, True), (0, 1, U63 - 1, U63))
    for lp, reserve, frozen, fees in words:
        vault = (lp, reserve, frozen, fees * MICRO)
        assert tuple(harness.call("store_vault", vault)) == vault


@pytest.mark.parametrize(
    ("vault", "reason"),
    [
        ((I96 + 1, 0, False, 0), "clearing: LP cash range"),
        ((-I96 - 1, 0, False, 0), "clearing: LP cash range"),
        ((0, U96 + 1, False, 0), "clearing: reserve range"),
        ((0, 0, False, (U63 + 1) * MICRO), "clearing: fees range"),
    ],
)
def test_vault_field_that_does_not_fit_is_refused(
    harness: Contract, vault: tuple[int, int, bool, int], reason: str
) -> None:
    with reverts(reason):
        harness.call("store_vault", vault)


def test_backing_keeps_both_fields(harness: Contract) -> None:
    for backing in product((0, 1, U128 - 1, U128), repeat=2):
        assert tuple(harness.call("store_backing", backing)) == backing
    for backing in ((U128 + 1, 0), (0, U128 + 1)):
        with reverts("clearing: insurance range"):
            harness.call("store_backing", backing)


def test_settlement_moves_all_three_and_stops_at_no_reserve(harness: Contract) -> None:
    for reserve, lp, fees, frozen in product((-7, -1, 0, 1), (-9, 0, 9), (0, MICRO), (False, True)):
        found = harness.settle_vault((-4, 7, frozen, 2 * MICRO), reserve, lp, fees)
        assert tuple(found) == (-4 + lp, 7 + reserve, frozen, 2 * MICRO + fees)
    with reverts("clearing: reserve exhausted"):
        harness.settle_vault((0, 7, False, 0), -8, 0, 0)


def test_buckets_add_up(harness: Contract) -> None:
    for lp, insurance, units in product((-1, 0, 5), (0, 1), (0, 1, 3)):
        assert tuple(harness.add(lp, insurance, units)) == (lp, insurance, units)


def test_units_leave_down_to_the_last(harness: Contract) -> None:
    for there, units in ((0, 0), (5, 0), (5, 4), (5, 5)):
        assert harness.remove_units(there, units) == there - units
    for there, units in ((0, 1), (5, 6)):
        with reverts("clearing: tokens at venues"):
            harness.remove_units(there, units)
