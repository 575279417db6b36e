"""Clearinghouse against tokens with bad manners."""

from __future__ import annotations

import pytest

from ballast.chain import Contract, RevmChain, reverts

ZERO = "0x" + "00" * 20
FEE, RETURN_FALSE, REENTER, BLACKLIST, BURN = 1, 2, 4, 8, 16
UNIT = 10**6


@pytest.fixture
def token(chain: RevmChain, trader: str, other_trader: str, lp: str) -> Contract:
    token = chain.deploy("RudeToken", 6)
    for owner in (trader, other_trader, lp):
        token.mint.send(owner, 1_000 * UNIT)
    return token


@pytest.fixture
def decimals() -> int:
    return 6


@pytest.mark.parametrize("manner", [FEE, BURN])
def test_deposit_of_less_than_announced_reverts(
    clearinghouse: Contract, token: Contract, trader: str, manner: int
) -> None:
    token.behave.send(manner, ZERO)
    with reverts("clearing: amount received"):
        clearinghouse.deposit.send(100 * UNIT, trader, sender=trader)
    with reverts("clearing: amount received"):
        clearinghouse.fund_insurance.send(100 * UNIT, sender=trader)


def test_transfer_that_answers_false_reverts(clearinghouse: Contract, token: Contract, trader: str) -> None:
    clearinghouse.deposit.send(100 * UNIT, trader, sender=trader)
    token.behave.send(RETURN_FALSE, ZERO)
    with reverts("clearing: transfer failed"):
        clearinghouse.deposit.send(UNIT, trader, sender=trader)
    with reverts("clearing: transfer failed"):
        clearinghouse.withdraw.send(UNIT, trader, trader, sender=trader)
    assert clearinghouse.account(trader)[0] == 100 * 10**18


def test_blacklisted_account_can_name_another_receiver(
    clearinghouse: Contract, token: Contract, trader: str, stranger: str
) -> None:
    clearinghouse.deposit.send(100 * UNIT, trader, sender=trader)
    token.behave.send(BLACKLIST, trader)
    with reverts("token: blacklisted"):
        clearinghouse.withdraw.send(UNIT, trader, trader, sender=trader)
    clearinghouse.withdraw.send(UNIT, stranger, trader, sender=trader)
    assert token.balanceOf(stranger) == UNIT


@pytest.mark.parametrize(
    "inner", ["deposit", "withdraw", "collect_fees", "absorb_donation", "account", "vault_ledger", "in_progress"]
)
@pytest.mark.parametrize("outer", ["deposit", "withdraw"])
def test_token_that_reenters_gets_nowhere(
    clearinghouse: Contract, token: Contract, trader: str, outer: str, inner: str
) -> None:
    clearinghouse.deposit.send(100 * UNIT, trader, sender=trader)
    clearinghouse.set_operator.send(token, True, sender=trader)
    arguments = {
        "deposit": (UNIT, trader),
        "withdraw": (UNIT, token.address, trader),
        "account": (trader,),
    }
    payload = clearinghouse.tx(inner, *arguments.get(inner, ())).data
    token.prepare.send(clearinghouse, payload)
    token.behave.send(REENTER, ZERO)
    clearinghouse.send(outer, *{"deposit": (UNIT, trader), "withdraw": (UNIT, trader, trader)}[outer], sender=trader)
    assert not token.went_through()
    sign = 1 if outer == "deposit" else -1
    assert clearinghouse.account(trader)[0] == (100 + sign) * 10**18


def test_token_that_answers_nothing_is_accepted(
    chain: RevmChain, governor: str, setup: str, oracle: Contract, trader: str
) -> None:
    token = chain.deploy("SilentToken", 8)
    clearinghouse = chain.deploy("Clearinghouse", governor, setup, token, oracle)
    token.mint.send(trader, 10**8)
    token.approve.send(clearinghouse, 10**8, sender=trader)
    clearinghouse.deposit.send(10**8, trader, sender=trader)
    clearinghouse.withdraw.send(10**8, trader, trader, sender=trader)
    assert token.balanceOf(trader) == 10**8
    assert tuple(clearinghouse.account(trader)) == (0, 0)
