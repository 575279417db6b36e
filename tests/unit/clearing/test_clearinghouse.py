"""Clearinghouse: every function, its reasons and its events, with tokens of 6, 8 and 18 decimals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple

import pytest
from eth_abi.abi import decode
from eth_account import Account
from eth_account.messages import encode_typed_data

from ballast.chain import Contract, Receipt, Reverted, RevmChain, reverts
from ballast.model.exact.structs import Settlement
from ballast.model.roles import Role

WAD = 10**18
MICRO = 10**12
ZERO = "0x" + "00" * 20
NOT_ALLOWED = "roles: not allowed"
IN_PROGRESS = "clearing: in progress"
NOT_BEGUN = "clearing: not begun"

Run = Callable[..., Receipt]
FundLp = Callable[[int], Receipt]
Settle = Callable[[str, Settlement], Receipt]


def cash(clearinghouse: Contract, account: str) -> int:
    return int(clearinghouse.account(account)[0])


# ── construction ──


def test_init_reads_asset(clearinghouse: Contract, token: Contract, oracle: Contract, scale: int) -> None:
    assert clearinghouse.asset() == token.address
    assert clearinghouse.scale() == scale
    assert clearinghouse.oracle() == oracle.address
    assert clearinghouse.insurance_share_bps() == 5_000
    assert clearinghouse.liquidator_share_bps() == 5_000


def test_init_more_than_18_decimals_reverts(chain: RevmChain, governor: str, setup: str, oracle: Contract) -> None:
    token = chain.deploy("RudeToken", 19)
    with reverts("clearing: token decimals"):
        chain.deploy("Clearinghouse", governor, setup, token, oracle)


# ── deposits ──


def test_deposit_credits_account(
    clearinghouse: Contract, token: Contract, trader: str, other_trader: str, unit: int
) -> None:
    receipt = clearinghouse.deposit.send(7 * unit, other_trader, sender=trader)
    assert tuple(receipt.one("Deposited")) == (trader, other_trader, 7 * unit, 7 * WAD)
    assert tuple(clearinghouse.account(other_trader)) == (7 * WAD, 0)
    assert cash(clearinghouse, trader) == 0
    assert token.balanceOf(clearinghouse) == clearinghouse.buckets().total_units == 7 * unit


def test_deposit_nothing_reverts(clearinghouse: Contract, trader: str) -> None:
    with reverts("clearing: zero amount"):
        clearinghouse.deposit.send(0, trader, sender=trader)


def test_deposit_for_zero_account_reverts(clearinghouse: Contract, trader: str) -> None:
    with reverts("clearing: zero account"):
        clearinghouse.deposit.send(1, ZERO, sender=trader)


def permit_signature(
    token: Contract, owner: Account, spender: str, units: int, deadline: int
) -> tuple[int, bytes, bytes]:
    domain = token.eip712Domain()
    message = {
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"},
                {"name": "verifyingContract", "type": "address"},
            ],
            "Permit": [
                {"name": "owner", "type": "address"},
                {"name": "spender", "type": "address"},
                {"name": "value", "type": "uint256"},
                {"name": "nonce", "type": "uint256"},
                {"name": "deadline", "type": "uint256"},
            ],
        },
        "primaryType": "Permit",
        "domain": {
            "name": domain[1],
            "version": domain[2],
            "chainId": domain[3],
            "verifyingContract": token.address,
        },
        "message": {
            "owner": owner.address,
            "spender": spender,
            "value": units,
            "nonce": token.nonces(owner.address),
            "deadline": deadline,
        },
    }
    signed = owner.sign_message(encode_typed_data(full_message=message))
    return signed.v, signed.r.to_bytes(32, "big"), signed.s.to_bytes(32, "big")


@pytest.fixture
def signer(token: Contract, unit: int) -> Account:
    account = Account.from_key("0x" + "11" * 32)
    token.mint.send(account.address, 100 * unit)
    return account


def test_deposit_with_permit_needs_no_approval(
    chain: RevmChain, clearinghouse: Contract, token: Contract, signer: Account, unit: int
) -> None:
    deadline = chain.now + 60
    signature = permit_signature(token, signer, clearinghouse.address, 5 * unit, deadline)
    clearinghouse.deposit_with_permit.send(5 * unit, signer.address, deadline, *signature, sender=signer.address)
    assert cash(clearinghouse, signer.address) == 5 * WAD


def test_deposit_with_permit_submitted_by_another_before_goes_on(
    chain: RevmChain, clearinghouse: Contract, token: Contract, signer: Account, stranger: str, unit: int
) -> None:
    deadline = chain.now + 60
    signature = permit_signature(token, signer, clearinghouse.address, 5 * unit, deadline)
    token.permit.send(signer.address, clearinghouse, 5 * unit, deadline, *signature, sender=stranger)
    clearinghouse.deposit_with_permit.send(5 * unit, signer.address, deadline, *signature, sender=signer.address)
    assert cash(clearinghouse, signer.address) == 5 * WAD


def test_deposit_with_permit_forged_reverts(
    chain: RevmChain, clearinghouse: Contract, token: Contract, signer: Account, unit: int
) -> None:
    deadline = chain.now + 60
    v, r, s = permit_signature(token, signer, clearinghouse.address, 5 * unit, deadline)
    with reverts("clearing: permit failed"):
        clearinghouse.deposit_with_permit.send(6 * unit, signer.address, deadline, v, r, s, sender=signer.address)


# ── withdrawals ──


def test_withdraw_pays_receiver(
    clearinghouse: Contract, token: Contract, trader: str, stranger: str, unit: int
) -> None:
    clearinghouse.deposit.send(7 * unit, trader, sender=trader)
    receipt = clearinghouse.withdraw.send(3 * unit, stranger, trader, sender=trader)
    assert tuple(receipt.one("Withdrawn")) == (trader, trader, stranger, 3 * unit, 4 * WAD)
    assert token.balanceOf(stranger) == 3 * unit
    assert cash(clearinghouse, trader) == 4 * WAD
    assert clearinghouse.buckets().total_units == 4 * unit


def test_withdraw_by_operator_until_dismissed(clearinghouse: Contract, trader: str, stranger: str, unit: int) -> None:
    clearinghouse.deposit.send(7 * unit, trader, sender=trader)
    with reverts("clearing: not operator"):
        clearinghouse.withdraw.send(unit, stranger, trader, sender=stranger)
    receipt = clearinghouse.set_operator.send(stranger, True, sender=trader)
    assert tuple(receipt.one("OperatorSet")) == (trader, stranger, True)
    assert clearinghouse.is_operator(trader, stranger)
    clearinghouse.withdraw.send(unit, stranger, trader, sender=stranger)
    clearinghouse.set_operator.send(stranger, False, sender=trader)
    with reverts("clearing: not operator"):
        clearinghouse.withdraw.send(unit, stranger, trader, sender=stranger)


def test_withdraw_more_than_cash_reverts(clearinghouse: Contract, trader: str, unit: int) -> None:
    clearinghouse.deposit.send(unit, trader, sender=trader)
    with reverts("clearing: insufficient cash"):
        clearinghouse.withdraw.send(unit + 1, trader, trader, sender=trader)


def test_withdraw_nothing_reverts(clearinghouse: Contract, trader: str) -> None:
    with reverts("clearing: zero amount"):
        clearinghouse.withdraw.send(0, trader, trader, sender=trader)


def test_withdraw_to_zero_or_to_itself_reverts(clearinghouse: Contract, trader: str, unit: int) -> None:
    clearinghouse.deposit.send(unit, trader, sender=trader)
    for receiver in (ZERO, clearinghouse.address):
        with reverts("clearing: bad receiver"):
            clearinghouse.withdraw.send(1, receiver, trader, sender=trader)


def test_withdraw_while_venues_hold_the_tokens_reverts(
    clearinghouse: Contract, run: Run, settle: Settle, fund_lp: FundLp, trader: str, venue: str, unit: int
) -> None:
    fund_lp(10 * unit)
    run((clearinghouse, "begin"), (clearinghouse, "fund", venue, 10 * unit), (clearinghouse, "end"))
    settle(trader, Settlement(cash=4 * WAD))
    assert clearinghouse.vault_ledger()[0] == -4 * WAD
    with reverts("clearing: tokens at venues"):
        clearinghouse.withdraw.send(unit, trader, trader, sender=trader)


def test_withdraw_of_profit_leaves_what_redeemed_lps_are_owed(
    clearinghouse: Contract, run: Run, settle: Settle, fund_lp: FundLp, trader: str, lp: str, unit: int
) -> None:
    """LPs are owed 6 of the 10 they brought; a trader then wins 9, of which 4 are there for him."""
    fund_lp(10 * unit)
    run((clearinghouse, "begin"), (clearinghouse, "earmark_claims", 6 * WAD), (clearinghouse, "end"))
    settle(trader, Settlement(cash=9 * WAD))
    with reverts("clearing: tokens at venues"):
        clearinghouse.withdraw.send(4 * unit + 1, trader, trader, sender=trader)
    clearinghouse.withdraw.send(4 * unit, trader, trader, sender=trader)
    run((clearinghouse, "begin"), (clearinghouse, "pay_claim", lp, 6 * unit), (clearinghouse, "end"))
    assert clearinghouse.buckets().total_units == 0


def test_fund_of_a_trader_s_debt_leaves_what_redeemed_lps_are_owed(
    clearinghouse: Contract, run: Run, settle: Settle, fund_lp: FundLp, trader: str, venue: str, unit: int
) -> None:
    """LP cash of 7, of which 3 is what a trader owes, and claims of 6, on 10 tokens."""
    fund_lp(10 * unit)
    run((clearinghouse, "begin"), (clearinghouse, "earmark_claims", 6 * WAD), (clearinghouse, "end"))
    settle(trader, Settlement(cash=-3 * WAD, opened=1))
    assert clearinghouse.vault_ledger()[0] == 7 * WAD
    with reverts("clearing: tokens at venues"):
        run((clearinghouse, "begin"), (clearinghouse, "fund", venue, 4 * unit + 1), (clearinghouse, "end"))
    run((clearinghouse, "begin"), (clearinghouse, "fund", venue, 4 * unit), (clearinghouse, "end"))


def test_free_cash_of_fewer_tokens_than_redeemed_lps_are_owed_reverts(
    clearinghouse: Contract, run: Run, settle: Settle, trader: str
) -> None:
    """LP cash may be what a trader owes; whoever sets it aside has to ask for free cash before."""
    settle(trader, Settlement(cash=-3 * WAD, opened=1))
    assert clearinghouse.free_cash() == 0
    run((clearinghouse, "begin"), (clearinghouse, "earmark_claims", 3 * WAD), (clearinghouse, "end"))
    with reverts():
        clearinghouse.free_cash()


def test_withdraw_leaves_cash_below_one_unit(
    clearinghouse: Contract, settle: Settle, trader: str, unit: int, scale: int
) -> None:
    clearinghouse.deposit.send(unit, trader, sender=trader)
    if scale == 1:
        return
    settle(trader, Settlement(cash=-1))
    with reverts("clearing: insufficient cash"):
        clearinghouse.withdraw.send(unit, trader, trader, sender=trader)
    clearinghouse.withdraw.send(unit - 1, trader, trader, sender=trader)
    assert cash(clearinghouse, trader) == scale - 1


# ── operations ──


def test_begin_sets_flag_until_end_and_no_longer_than_the_transaction(clearinghouse: Contract, run: Run) -> None:
    run((clearinghouse, "begin"), (clearinghouse, "end"), (clearinghouse, "begin"), (clearinghouse, "end"))
    run((clearinghouse, "begin"))
    assert not clearinghouse.in_progress()


def test_begin_twice_reverts(clearinghouse: Contract, run: Run) -> None:
    with reverts(IN_PROGRESS):
        run((clearinghouse, "begin"), (clearinghouse, "begin"))


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("end", ()),
        ("fund", (ZERO, 0)),
        ("collect", (0,)),
        ("receive_deposit", (0,)),
        ("earmark_claims", (0,)),
        ("pay_claim", (ZERO, 0)),
    ],
)
def test_operation_function_without_begin_or_role_reverts(
    clearinghouse: Contract, run: Run, stranger: str, function: str, arguments: tuple[object, ...]
) -> None:
    with reverts(NOT_BEGUN):
        run((clearinghouse, function, *arguments))
    with reverts(NOT_ALLOWED):
        clearinghouse.send(function, *arguments, sender=stranger)


@pytest.mark.parametrize("function", ["settle", "settle_liquidation"])
def test_settle_by_engine_inside_an_operation_reverts(
    clearinghouse: Contract, run: Run, stranger: str, function: str
) -> None:
    arguments = (ZERO, astuple(Settlement())) if function == "settle" else (ZERO, astuple(Settlement()), 0, ZERO)
    run((clearinghouse, function, *arguments))
    with reverts(IN_PROGRESS):
        run((clearinghouse, "begin"), (clearinghouse, function, *arguments))
    with reverts(NOT_ALLOWED):
        clearinghouse.send(function, *arguments, sender=stranger)


@pytest.mark.parametrize("role", [Role.HEDGER, Role.VAULT])
def test_settle_by_hedger_or_vault_ends_what_it_began(
    chain: RevmChain, clearinghouse: Contract, governor: str, trader: str, role: Role
) -> None:
    other = chain.deploy("Operation")
    clearinghouse.grant_role.send(other, role, sender=governor)
    begin = (clearinghouse.address, clearinghouse.tx("begin").data)
    settle = (clearinghouse.address, clearinghouse.tx("settle", trader, astuple(Settlement(cash=WAD))).data)
    with reverts(NOT_BEGUN):
        other.run.send([settle])
    with reverts(NOT_BEGUN):
        other.run.send([begin, settle, settle])
    other.run.send([begin, settle, begin, settle])
    assert cash(clearinghouse, trader) == 2 * WAD


def test_begin_and_release_without_role_revert(clearinghouse: Contract, stranger: str, governor: str) -> None:
    for actor in (stranger, governor):
        with reverts(NOT_ALLOWED):
            clearinghouse.begin.send(sender=actor)
        with reverts(NOT_ALLOWED):
            clearinghouse.release.send(0, sender=actor)


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        (Role.ENGINE, {"settle", "settle_liquidation"}),
        (Role.HEDGER, {"begin", "settle", "end", "fund", "collect"}),
        (Role.VAULT, {"begin", "settle", "end", "receive_deposit", "earmark_claims", "pay_claim"}),
        (Role.INVENTORY, {"release"}),
        (Role.GUARDIAN, set()),
        (Role.GOVERNOR, {"withdraw_protocol", "set_margin", "set_shares"}),
    ],
)
def test_privileged_functions_are_each_roles_own(
    clearinghouse: Contract, governor: str, stranger: str, venue: str, role: Role, allowed: set[str]
) -> None:
    arguments: dict[str, tuple[object, ...]] = {
        "begin": (),
        "end": (),
        "settle": (ZERO, astuple(Settlement())),
        "settle_liquidation": (stranger, astuple(Settlement()), 0, stranger),
        "release": (0,),
        "fund": (venue, 0),
        "collect": (0,),
        "receive_deposit": (0,),
        "earmark_claims": (0,),
        "pay_claim": (venue, 0),
        "withdraw_protocol": (0, venue),
        "set_margin": (venue,),
        "set_shares": (5_000, 5_000),
    }
    clearinghouse.grant_role.send(stranger, role, sender=governor)
    refused = set()
    for function, values in arguments.items():
        try:
            clearinghouse.call(function, *values, sender=stranger)
        except Reverted as error:
            if error.reason == NOT_ALLOWED:
                refused.add(function)
            elif error.reason != NOT_BEGUN:
                raise
    assert refused == set(arguments) - allowed


@pytest.mark.parametrize("function", ["deposit", "withdraw", "collect_fees", "fund_insurance", "absorb_donation"])
def test_permissionless_function_in_progress_reverts(
    clearinghouse: Contract, operation: Contract, run: Run, trader: str, function: str
) -> None:
    arguments = {
        "deposit": (1, trader),
        "withdraw": (1, trader, operation.address),
        "collect_fees": (),
        "fund_insurance": (1,),
        "absorb_donation": (),
    }[function]
    with reverts(IN_PROGRESS):
        run((clearinghouse, "begin"), (clearinghouse, function, *arguments))


# ── settlement ──


def test_settle_moves_what_is_left_to_lp_cash(
    clearinghouse: Contract, fund_lp: FundLp, settle: Settle, trader: str, unit: int
) -> None:
    fund_lp(100 * unit)
    clearinghouse.deposit.send(50 * unit, trader, sender=trader)
    settlement = Settlement(cash=-10 * WAD, reserve=3 * WAD, fees=2 * WAD + MICRO + 7, opened=0b101)
    receipt = settle(trader, settlement)
    fees = 2 * WAD + MICRO
    lp = 100 * WAD + 10 * WAD - 3 * WAD - fees
    assert tuple(receipt.one("Settled")) == (trader, -10 * WAD, 40 * WAD, 0b101, lp, 3 * WAD)
    assert tuple(clearinghouse.account(trader)) == (40 * WAD, 0b101)
    assert tuple(clearinghouse.vault_ledger()) == (lp, 3 * WAD)
    assert clearinghouse.buckets().fees == fees


def test_settle_clears_mask_bits(clearinghouse: Contract, settle: Settle, trader: str) -> None:
    settle(trader, Settlement(opened=0b11))
    settle(trader, Settlement(closed=0b01))
    assert clearinghouse.account(trader)[1] == 0b10


def test_settle_without_account_moves_reserve_only(
    clearinghouse: Contract, fund_lp: FundLp, settle: Settle, trader: str, unit: int
) -> None:
    fund_lp(10 * unit)
    clearinghouse.deposit.send(5 * unit, trader, sender=trader)
    settle(trader, Settlement(cash=-5 * WAD, reserve=5 * WAD))
    settle(ZERO, Settlement(reserve=-2 * WAD))
    assert tuple(clearinghouse.vault_ledger()) == (12 * WAD, 3 * WAD)
    assert tuple(clearinghouse.account(ZERO)) == (0, 0)
    with reverts(""):
        settle(ZERO, Settlement(cash=1))


def test_settle_payables_come_from_lp_cash_and_go_to_accounts(
    clearinghouse: Contract, fund_lp: FundLp, settle: Settle, trader: str, unit: int
) -> None:
    fund_lp(10 * unit)
    receipt = settle(ZERO, Settlement(payables=4 * WAD))
    assert tuple(receipt.one("PayablesChanged")) == (4 * WAD, 4 * WAD)
    assert receipt.one("Settled").lp == 6 * WAD
    assert clearinghouse.buckets().payables == 4 * WAD
    receipt = settle(trader, Settlement(cash=3 * WAD, payables=-3 * WAD))
    assert tuple(receipt.one("PayablesChanged")) == (-3 * WAD, WAD)
    assert tuple(clearinghouse.account(trader)) == (3 * WAD, 0)
    assert clearinghouse.vault_ledger()[0] == 6 * WAD
    assert clearinghouse.buckets().payables == WAD


def test_settle_payables_may_be_negative_until_shorts_have_paid(
    clearinghouse: Contract, settle: Settle, trader: str, other_trader: str
) -> None:
    settle(trader, Settlement(cash=3 * WAD, payables=-3 * WAD))
    assert clearinghouse.buckets().payables == -3 * WAD
    settle(other_trader, Settlement(cash=-3 * WAD, opened=1, payables=3 * WAD))
    assert clearinghouse.buckets().payables == 0
    assert clearinghouse.vault_ledger()[0] == 0


def test_settle_bad_debt_to_payables_is_paid_by_insurance_then_lps(
    clearinghouse: Contract, fund_lp: FundLp, settle: Settle, lp: str, trader: str, unit: int
) -> None:
    """A short that cannot pay owes payables whole: who is owed by them loses nothing."""
    fund_lp(10 * unit)
    clearinghouse.fund_insurance.send(2 * unit, sender=lp)
    receipt = settle(trader, Settlement(cash=-5 * WAD, payables=5 * WAD))
    assert tuple(receipt.one("BadDebtCovered")) == (trader, 2 * WAD, 3 * WAD)
    assert clearinghouse.buckets().payables == 5 * WAD
    assert clearinghouse.vault_ledger()[0] == 7 * WAD


def test_settle_without_payables_logs_none(settle: Settle, trader: str) -> None:
    assert settle(trader, Settlement(cash=-WAD, opened=1)).find("PayablesChanged") == []


def test_settle_reserve_below_zero_reverts(clearinghouse: Contract, settle: Settle, trader: str) -> None:
    with reverts("clearing: reserve exhausted"):
        settle(trader, Settlement(reserve=-1))


def test_settle_negative_cash_with_positions_stays(clearinghouse: Contract, settle: Settle, trader: str) -> None:
    settle(trader, Settlement(cash=-3 * WAD, opened=1))
    assert tuple(clearinghouse.account(trader)) == (-3 * WAD, 1)
    assert clearinghouse.vault_ledger()[0] == 3 * WAD


def test_settle_bad_debt_without_positions_is_paid_by_insurance_then_lps(
    clearinghouse: Contract, fund_lp: FundLp, settle: Settle, lp: str, trader: str, unit: int
) -> None:
    fund_lp(100 * unit)
    clearinghouse.fund_insurance.send(2 * unit, sender=lp)
    receipt = settle(trader, Settlement(cash=-5 * WAD, opened=1, closed=1))
    assert tuple(receipt.one("BadDebtCovered")) == (trader, 2 * WAD, 3 * WAD)
    assert tuple(clearinghouse.account(trader)) == (0, 0)
    assert clearinghouse.buckets().insurance == 0
    assert clearinghouse.vault_ledger()[0] == 100 * WAD + 5 * WAD - 3 * WAD


def test_settle_to_nothing_is_no_bad_debt(settle: Settle, trader: str) -> None:
    assert settle(trader, Settlement(opened=1, closed=1)).find("BadDebtCovered") == []
    assert tuple(settle(trader, Settlement(cash=-1, opened=1, closed=1)).one("BadDebtCovered")) == (trader, 0, 1)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (Settlement(cash=-(2**127)), "clearing: cash range"),
        (Settlement(cash=2**95), "clearing: LP cash range"),
        (Settlement(cash=-(2**96), reserve=2**96), "clearing: reserve range"),
        (Settlement(cash=-(2**64) * MICRO, fees=2**64 * MICRO), "clearing: fees range"),
    ],
)
def test_settle_out_of_range_reverts(
    clearinghouse: Contract, settle: Settle, trader: str, change: Settlement, reason: str
) -> None:
    opened = Settlement(change.cash, change.reserve, change.fees, opened=1)
    with reverts(reason):
        settle(trader, opened)


def test_settle_answers_cash_and_mask_and_leaves_margin_to_the_engine(
    clearinghouse: Contract, settle: Settle, trader: str, unit: int
) -> None:
    """No Margin is named here: a check could not pass."""
    clearinghouse.deposit.send(2 * unit, trader, sender=trader)
    settle(trader, Settlement(opened=0b100))
    receipt = settle(trader, Settlement(cash=-5 * WAD, opened=0b001))
    assert decode(["int256", "uint256"], receipt.value[0]) == (-3 * WAD, 0b101)


# ── liquidation ──


def test_settle_liquidation_splits_penalty(
    clearinghouse: Contract, run: Run, trader: str, liquidator: str, unit: int
) -> None:
    clearinghouse.deposit.send(50 * unit, trader, sender=trader)
    receipt = run(
        (clearinghouse, "settle_liquidation", trader, astuple(Settlement(cash=-30 * WAD)), 5 * WAD + 1, liquidator),
    )
    reward = (5 * WAD + 1) // 2
    assert tuple(receipt.one("LiquidationPaid")) == (trader, liquidator, reward, reward + 1)
    assert cash(clearinghouse, trader) == 15 * WAD - 1
    assert cash(clearinghouse, liquidator) == reward
    assert clearinghouse.buckets().insurance == reward + 1
    assert clearinghouse.vault_ledger()[0] == 30 * WAD


def test_settle_liquidation_takes_no_more_than_cash(
    clearinghouse: Contract, run: Run, trader: str, liquidator: str, unit: int
) -> None:
    clearinghouse.deposit.send(2 * unit, trader, sender=trader)
    run(
        (clearinghouse, "settle_liquidation", trader, astuple(Settlement()), 5 * WAD, liquidator),
    )
    assert cash(clearinghouse, trader) == 0
    assert cash(clearinghouse, liquidator) == WAD


def test_settle_liquidation_takes_the_last_wei(
    clearinghouse: Contract, run: Run, trader: str, liquidator: str, unit: int
) -> None:
    clearinghouse.deposit.send(2 * unit, trader, sender=trader)
    receipt = run(
        (clearinghouse, "settle_liquidation", trader, astuple(Settlement(cash=1 - 2 * WAD)), 5 * WAD, liquidator),
    )
    assert tuple(receipt.one("LiquidationPaid")) == (trader, liquidator, 0, 1)
    assert (cash(clearinghouse, trader), clearinghouse.buckets().insurance) == (0, 1)


def test_settle_liquidation_of_bad_debt_pays_no_penalty(
    clearinghouse: Contract, run: Run, trader: str, liquidator: str
) -> None:
    receipt = run(
        (clearinghouse, "settle_liquidation", trader, astuple(Settlement(cash=-WAD)), 5 * WAD, liquidator),
    )
    assert receipt.find("LiquidationPaid") == []
    assert tuple(receipt.one("BadDebtCovered")) == (trader, 0, WAD)


def test_settle_liquidation_of_oneself_only_costs_insurance(
    clearinghouse: Contract, run: Run, trader: str, unit: int
) -> None:
    clearinghouse.deposit.send(50 * unit, trader, sender=trader)
    run(
        (clearinghouse, "settle_liquidation", trader, astuple(Settlement()), 4 * WAD, trader),
    )
    assert cash(clearinghouse, trader) == 48 * WAD
    assert clearinghouse.buckets().insurance == 2 * WAD


# ── LP cash ──


def test_release_moves_reserve_to_lp_cash(
    clearinghouse: Contract, run: Run, settle: Settle, trader: str, unit: int
) -> None:
    clearinghouse.deposit.send(5 * unit, trader, sender=trader)
    settle(trader, Settlement(cash=-5 * WAD, reserve=5 * WAD))
    receipt = run((clearinghouse, "release", 2 * WAD))
    assert tuple(receipt.one("ReserveReleased")) == (2 * WAD, 2 * WAD, 3 * WAD)
    assert tuple(clearinghouse.vault_ledger()) == (2 * WAD, 3 * WAD)
    with reverts("clearing: reserve exhausted"):
        run((clearinghouse, "release", 3 * WAD + 1))


def test_receive_deposit_without_tokens_reverts(clearinghouse: Contract, run: Run) -> None:
    for function in ("receive_deposit", "collect"):
        with reverts("clearing: tokens not received"):
            run((clearinghouse, "begin"), (clearinghouse, function, 1))


def test_fund_and_collect_move_lp_cash_to_the_venue_and_back(
    clearinghouse: Contract, token: Contract, run: Run, fund_lp: FundLp, operation: Contract, venue: str, unit: int
) -> None:
    receipt = fund_lp(10 * unit)
    assert tuple(receipt.one("LpCollected")) == (operation.address, 10 * unit, 10 * WAD)
    receipt = run((clearinghouse, "begin"), (clearinghouse, "fund", venue, 4 * unit), (clearinghouse, "end"))
    assert tuple(receipt.one("VenueFunded")) == (venue, 4 * unit, 6 * WAD)
    assert token.balanceOf(venue) == 4 * unit
    assert clearinghouse.buckets().total_units == 6 * unit
    token.transfer.send(clearinghouse, 3 * unit, sender=venue)
    receipt = run((clearinghouse, "begin"), (clearinghouse, "collect", 3 * unit), (clearinghouse, "end"))
    assert tuple(receipt.one("LpCollected")) == (operation.address, 3 * unit, 9 * WAD)
    assert clearinghouse.vault_ledger()[0] == 9 * WAD


def test_fund_beyond_lp_cash_reverts_even_if_traders_tokens_would_cover(
    clearinghouse: Contract, run: Run, fund_lp: FundLp, trader: str, venue: str, unit: int
) -> None:
    fund_lp(unit)
    clearinghouse.deposit.send(50 * unit, trader, sender=trader)
    with reverts("clearing: LP cash too low"):
        run((clearinghouse, "begin"), (clearinghouse, "fund", venue, unit + 1))


def test_claims_are_earmarked_in_whole_units_and_paid(
    clearinghouse: Contract, token: Contract, run: Run, fund_lp: FundLp, stranger: str, unit: int, scale: int
) -> None:
    fund_lp(10 * unit)
    receipt = run(
        (clearinghouse, "begin"), (clearinghouse, "earmark_claims", 4 * WAD + scale - 1), (clearinghouse, "end")
    )
    assert tuple(receipt.one("ClaimsEarmarked")) == (4 * WAD, 4 * WAD, 6 * WAD)
    assert int.from_bytes(receipt.value[1], "big") == 4 * WAD
    receipt = run((clearinghouse, "begin"), (clearinghouse, "pay_claim", stranger, 3 * unit), (clearinghouse, "end"))
    assert tuple(receipt.one("ClaimPaid")) == (stranger, 3 * unit, WAD)
    assert token.balanceOf(stranger) == 3 * unit
    with reverts("clearing: claims too low"):
        run((clearinghouse, "begin"), (clearinghouse, "pay_claim", stranger, unit + 1))
    with reverts("clearing: bad receiver"):
        run((clearinghouse, "begin"), (clearinghouse, "pay_claim", ZERO, unit))
    with reverts("clearing: LP cash too low"):
        run((clearinghouse, "begin"), (clearinghouse, "earmark_claims", 7 * WAD))


# ── fees, insurance, protocol ──


def test_collect_fees_splits_rounding_for_insurance(
    clearinghouse: Contract, token: Contract, settle: Settle, governor: str, trader: str, stranger: str, unit: int
) -> None:
    clearinghouse.set_shares.send(3_333, 5_000, sender=governor)
    clearinghouse.deposit.send(9 * unit, trader, sender=trader)
    fees = 3 * WAD + MICRO
    settle(trader, Settlement(cash=-9 * WAD, fees=fees))
    receipt = clearinghouse.collect_fees.send(sender=stranger)
    protocol = fees * 6_667 // 10_000
    assert tuple(receipt.one("FeesCollected")) == (fees - protocol, protocol)
    buckets = clearinghouse.buckets()
    assert (buckets.fees, buckets.insurance, buckets.protocol) == (0, fees - protocol, protocol)
    receipt = clearinghouse.withdraw_protocol.send(2 * unit, stranger, sender=governor)
    assert tuple(receipt.one("ProtocolWithdrawn")) == (stranger, 2 * unit)
    assert token.balanceOf(stranger) == 2 * unit
    with reverts("clearing: protocol too low"):
        clearinghouse.withdraw_protocol.send(unit, stranger, sender=governor)
    with reverts("clearing: bad receiver"):
        clearinghouse.withdraw_protocol.send(0, ZERO, sender=governor)


def test_fund_insurance_takes_tokens(clearinghouse: Contract, lp: str, unit: int) -> None:
    receipt = clearinghouse.fund_insurance.send(3 * unit, sender=lp)
    assert tuple(receipt.one("InsuranceFunded")) == (lp, 3 * unit, 3 * WAD)
    assert clearinghouse.buckets().insurance == 3 * WAD


def test_fund_insurance_out_of_range_reverts(
    clearinghouse: Contract, token: Contract, stranger: str, scale: int
) -> None:
    units = 2**128 // scale + 1
    token.mint.send(stranger, units)
    token.approve.send(clearinghouse, units, sender=stranger)
    with reverts("clearing: insurance range"):
        clearinghouse.fund_insurance.send(units, sender=stranger)


def test_absorb_donation_moves_surplus_to_insurance(
    clearinghouse: Contract, token: Contract, lp: str, trader: str, stranger: str, unit: int
) -> None:
    clearinghouse.deposit.send(unit, trader, sender=trader)
    with reverts("clearing: nothing to absorb"):
        clearinghouse.absorb_donation.send(sender=stranger)
    token.transfer.send(clearinghouse, 2 * unit, sender=lp)
    receipt = clearinghouse.absorb_donation.send(sender=stranger)
    assert tuple(receipt.one("InsuranceFunded")) == (stranger, 2 * unit, 2 * WAD)
    assert clearinghouse.buckets().total_units == 3 * unit == token.balanceOf(clearinghouse)


@pytest.mark.parametrize(
    ("insurance", "liquidator", "reason"),
    [
        (1_999, 5_000, "clearing: insurance share"),
        (10_001, 5_000, "clearing: insurance share"),
        (5_000, 1_999, "clearing: liquidator share"),
        (5_000, 8_001, "clearing: liquidator share"),
    ],
)
def test_set_shares_out_of_bounds_reverts(
    clearinghouse: Contract, governor: str, insurance: int, liquidator: int, reason: str
) -> None:
    with reverts(reason):
        clearinghouse.set_shares.send(insurance, liquidator, sender=governor)


def test_set_shares_by_governor_and_setup(clearinghouse: Contract, governor: str, setup: str, stranger: str) -> None:
    receipt = clearinghouse.set_shares.send(10_000, 2_000, sender=setup)
    assert tuple(receipt.one("SharesSet")) == (10_000, 2_000)
    clearinghouse.renounce_setup.send(sender=setup)
    with reverts(NOT_ALLOWED):
        clearinghouse.set_shares.send(5_000, 5_000, sender=setup)
    clearinghouse.set_shares.send(2_000, 8_000, sender=governor)


def test_set_margin_names_the_checker(clearinghouse: Contract, setup: str, venue: str) -> None:
    receipt = clearinghouse.set_margin.send(venue, sender=setup)
    assert tuple(receipt.one("MarginSet")) == (venue,)
    assert clearinghouse.margin() == venue
    with reverts("clearing: zero margin"):
        clearinghouse.set_margin.send(ZERO, sender=setup)


def test_fund_and_earmark_of_nothing_pass_while_lp_cash_is_negative(
    clearinghouse: Contract, run: Run, settle: Settle, trader: str, venue: str
) -> None:
    settle(trader, Settlement(cash=WAD))
    run((clearinghouse, "begin"), (clearinghouse, "fund", venue, 0), (clearinghouse, "earmark_claims", 0))
    with reverts("clearing: LP cash too low"):
        run((clearinghouse, "begin"), (clearinghouse, "earmark_claims", WAD))
