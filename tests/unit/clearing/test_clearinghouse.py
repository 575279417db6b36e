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
    assert clearinghouse.lp_share_bps() == 1_000
    assert not clearinghouse.frozen()
    assert not clearinghouse.finalised()
    assert clearinghouse.cash_ratio() == WAD


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


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("settle", (ZERO, astuple(Settlement()))),
        ("pay_penalty", (ZERO, 0, ZERO, 0)),
        ("pay_reward", (ZERO, 0)),
        ("freeze", ()),
    ],
)
def test_engine_closer_or_settler_inside_an_operation_reverts(
    clearinghouse: Contract, run: Run, stranger: str, function: str, arguments: tuple[object, ...]
) -> None:
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
        (Role.ENGINE, {"settle"}),
        (Role.CLOSER, {"pay_penalty", "pay_reward"}),
        (Role.SETTLER, {"freeze", "crystallise", "finalise", "pay_promise", "pay_lp"}),
        (Role.HEDGER, {"begin", "settle", "end", "fund", "collect"}),
        (Role.VAULT, {"begin", "settle", "end", "receive_deposit", "earmark_claims", "pay_claim"}),
        (Role.INVENTORY, {"release", "subsidise"}),
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
        "pay_penalty": (stranger, 0, stranger, 0),
        "pay_reward": (stranger, 0),
        "freeze": (),
        "crystallise": (stranger, 0, 0),
        "finalise": (),
        "pay_promise": (stranger, 0),
        "pay_lp": (venue, 0),
        "release": (0,),
        "subsidise": (0,),
        "fund": (venue, 0),
        "collect": (0,),
        "receive_deposit": (0,),
        "earmark_claims": (0,),
        "pay_claim": (venue, 0),
        "withdraw_protocol": (0, venue),
        "set_margin": (venue,),
        "set_shares": (5_000, 5_000, 1_000),
    }
    clearinghouse.grant_role.send(stranger, role, sender=governor)
    refused = set()
    for function, values in arguments.items():
        try:
            clearinghouse.call(function, *values, sender=stranger)
        except Reverted as error:
            if error.reason == NOT_ALLOWED:
                refused.add(function)
            elif error.reason not in (NOT_BEGUN, "clearing: not frozen"):
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
        (Settlement(cash=-(2**63) * MICRO, fees=2**63 * MICRO), "clearing: fees range"),
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


# ── penalties and rewards ──


def test_pay_penalty_splits_it_between_liquidator_lps_and_insurance(
    clearinghouse: Contract, run: Run, trader: str, liquidator: str, unit: int
) -> None:
    clearinghouse.deposit.send(20 * unit, trader, sender=trader)
    penalty = 5 * WAD + 3
    receipt = run((clearinghouse, "pay_penalty", trader, penalty, liquidator, 5_000))
    reward, to_lp = penalty // 2, penalty // 10
    insurance = penalty - reward - to_lp
    assert decode(["uint256"], receipt.value[0]) == (penalty,)
    assert tuple(receipt.one("LiquidationPaid")) == (trader, liquidator, reward, to_lp, insurance)
    assert cash(clearinghouse, trader) == 20 * WAD - penalty
    assert cash(clearinghouse, liquidator) == reward
    assert clearinghouse.buckets().insurance == insurance
    assert clearinghouse.vault_ledger()[0] == to_lp


def test_pay_penalty_to_the_liquidator_alone_leaves_nothing_for_others(
    clearinghouse: Contract, run: Run, trader: str, liquidator: str, unit: int
) -> None:
    clearinghouse.deposit.send(2 * unit, trader, sender=trader)
    receipt = run((clearinghouse, "pay_penalty", trader, WAD, liquidator, 10_000))
    assert tuple(receipt.one("LiquidationPaid")) == (trader, liquidator, WAD, 0, 0)
    receipt = run((clearinghouse, "pay_penalty", trader, WAD // 2, liquidator, 9_500))
    assert tuple(receipt.one("LiquidationPaid")) == (trader, liquidator, WAD * 95 // 200, WAD // 40, 0)
    with reverts("clearing: liquidator share"):
        run((clearinghouse, "pay_penalty", trader, WAD, liquidator, 10_001))


def test_pay_penalty_takes_no_more_than_cash_to_the_last_wei(
    clearinghouse: Contract, run: Run, settle: Settle, trader: str, liquidator: str
) -> None:
    settle(trader, Settlement(cash=1))
    receipt = run((clearinghouse, "pay_penalty", trader, 5 * WAD, liquidator, 5_000))
    assert tuple(receipt.one("LiquidationPaid")) == (trader, liquidator, 0, 0, 1)
    assert (cash(clearinghouse, trader), clearinghouse.buckets().insurance) == (0, 1)


@pytest.mark.parametrize(("held", "penalty"), [(-WAD, WAD), (0, WAD), (WAD, 0)])
def test_pay_penalty_of_nothing_changes_nothing(
    clearinghouse: Contract, run: Run, settle: Settle, trader: str, liquidator: str, held: int, penalty: int
) -> None:
    settle(trader, Settlement(cash=held, opened=1))
    before = clearinghouse.buckets()
    receipt = run((clearinghouse, "pay_penalty", trader, penalty, liquidator, 5_000))
    assert decode(["uint256"], receipt.value[0]) == (0,)
    assert receipt.find("LiquidationPaid") == []
    assert tuple(clearinghouse.account(trader)) == (held, 1)
    assert clearinghouse.buckets() == before


def test_pay_penalty_to_oneself_costs_what_others_get(
    clearinghouse: Contract, run: Run, trader: str, unit: int
) -> None:
    clearinghouse.deposit.send(50 * unit, trader, sender=trader)
    run((clearinghouse, "pay_penalty", trader, 4 * WAD, trader, 5_000))
    assert cash(clearinghouse, trader) == 48 * WAD
    assert clearinghouse.buckets().insurance == 16 * WAD // 10


def test_pay_reward_comes_out_of_insurance(
    clearinghouse: Contract, run: Run, lp: str, liquidator: str, unit: int
) -> None:
    clearinghouse.fund_insurance.send(20 * unit, sender=lp)
    receipt = run((clearinghouse, "pay_reward", liquidator, 3 * WAD))
    assert decode(["uint256"], receipt.value[0]) == (3 * WAD,)
    assert tuple(receipt.one("RewardPaid")) == (liquidator, 3 * WAD, 17 * WAD)
    assert cash(clearinghouse, liquidator) == 3 * WAD
    assert clearinghouse.buckets().insurance == 17 * WAD


def test_pay_reward_pays_at_most_ten_and_at_most_what_insurance_has(
    clearinghouse: Contract, run: Run, lp: str, liquidator: str, unit: int
) -> None:
    clearinghouse.fund_insurance.send(13 * unit, sender=lp)
    assert run((clearinghouse, "pay_reward", liquidator, 11 * WAD)).one("RewardPaid").amount == 10 * WAD
    assert run((clearinghouse, "pay_reward", liquidator, 4 * WAD)).one("RewardPaid").amount == 3 * WAD
    receipt = run((clearinghouse, "pay_reward", liquidator, WAD))
    assert decode(["uint256"], receipt.value[0]) == (0,)
    assert receipt.find("RewardPaid") == []
    assert cash(clearinghouse, liquidator) == 13 * WAD


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


def test_subsidise_moves_lp_cash_to_the_reserve_and_no_more_than_there_is(
    clearinghouse: Contract, run: Run, settle: Settle, trader: str, unit: int
) -> None:
    clearinghouse.deposit.send(5 * unit, trader, sender=trader)
    settle(trader, Settlement(cash=-5 * WAD, reserve=2 * WAD))
    with reverts("clearing: LP cash too low"):
        run((clearinghouse, "subsidise", 3 * WAD + 1))
    receipt = run((clearinghouse, "subsidise", 3 * WAD))
    assert tuple(receipt.one("ReserveSubsidised")) == (3 * WAD, 0, 5 * WAD)
    assert tuple(clearinghouse.vault_ledger()) == (0, 5 * WAD)


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
    clearinghouse.set_shares.send(3_333, 5_000, 0, sender=governor)
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
    ("shares", "reason"),
    [
        ((1_999, 5_000, 0), "clearing: insurance share"),
        ((10_001, 5_000, 0), "clearing: insurance share"),
        ((5_000, 1_999, 0), "clearing: liquidator share"),
        ((5_000, 8_001, 0), "clearing: liquidator share"),
        ((5_000, 5_000, 4_001), "clearing: LP share"),
        ((5_000, 8_000, 2_001), "clearing: LP share"),
    ],
)
def test_set_shares_out_of_bounds_reverts(
    clearinghouse: Contract, governor: str, shares: tuple[int, int, int], reason: str
) -> None:
    with reverts(reason):
        clearinghouse.set_shares.send(*shares, sender=governor)


def test_set_shares_by_governor_and_setup(clearinghouse: Contract, governor: str, setup: str) -> None:
    receipt = clearinghouse.set_shares.send(10_000, 2_000, 4_000, sender=setup)
    assert tuple(receipt.one("SharesSet")) == (10_000, 2_000, 4_000)
    clearinghouse.renounce_setup.send(sender=setup)
    with reverts(NOT_ALLOWED):
        clearinghouse.set_shares.send(5_000, 5_000, 0, sender=setup)
    clearinghouse.set_shares.send(2_000, 8_000, 2_000, sender=governor)
    names = "insurance_share_bps", "liquidator_share_bps", "lp_share_bps"
    assert [clearinghouse.call(name) for name in names] == [2_000, 8_000, 2_000]


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


# ── global settlement ──


@pytest.fixture
def frozen(
    clearinghouse: Contract, run: Run, fund_lp: FundLp, settle: Settle, lp: str, trader: str, governor: str, unit: int
) -> Contract:
    """LP cash of 100, of which a venue has 40, claims of 10 beside it; the trader has 50 and a position in market 0."""
    fund_lp(110 * unit)
    clearinghouse.deposit.send(70 * unit, trader, sender=trader)
    clearinghouse.fund_insurance.send(2 * unit, sender=lp)
    settle(trader, Settlement(cash=-20 * WAD, reserve=3 * WAD, fees=2 * WAD, opened=0b101))
    clearinghouse.collect_fees.send()
    settle(ZERO, Settlement(fees=WAD))
    run(
        (clearinghouse, "begin"), (clearinghouse, "earmark_claims", 10 * WAD),
        (clearinghouse, "fund", governor, 40 * unit), (clearinghouse, "end"),
    )  # fmt: skip
    run((clearinghouse, "freeze"))
    return clearinghouse


def everything(clearinghouse: Contract, *accounts: str) -> tuple[object, ...]:
    return clearinghouse.buckets(), *(clearinghouse.account(account) for account in accounts)


def test_freeze_makes_everything_but_accounts_and_claims_lp_cash(
    clearinghouse: Contract, run: Run, fund_lp: FundLp, settle: Settle, lp: str, trader: str, unit: int
) -> None:
    fund_lp(10 * unit)
    clearinghouse.fund_insurance.send(2 * unit, sender=lp)
    clearinghouse.deposit.send(70 * unit, trader, sender=trader)
    settle(trader, Settlement(cash=-20 * WAD, reserve=3 * WAD, fees=2 * WAD, opened=1))
    clearinghouse.collect_fees.send()
    settle(ZERO, Settlement(fees=WAD, payables=4 * WAD))
    receipt = run((clearinghouse, "freeze"))
    assert tuple(receipt.one("Frozen")) == (28 * WAD,)
    buckets = clearinghouse.buckets()
    assert tuple(buckets) == (28 * WAD, 0, 0, 0, 0, 0, 82 * unit, 4 * WAD)
    assert tuple(clearinghouse.account(trader)) == (50 * WAD, 1)
    assert clearinghouse.frozen()
    assert clearinghouse.in_progress()
    with reverts("clearing: frozen"):
        run((clearinghouse, "freeze"))


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("deposit", (1, "trader")),
        ("fund_insurance", (1,)),
        ("absorb_donation", ()),
        ("collect_fees", ()),
        ("settle", ("trader", astuple(Settlement(cash=1)))),
        ("pay_penalty", ("trader", 1, "lp", 0)),
        ("pay_reward", ("lp", 1)),
    ],
)
def test_frozen_refuses_what_moves_value(
    frozen: Contract, token: Contract, run: Run, trader: str, lp: str, function: str, arguments: tuple[object, ...]
) -> None:
    token.transfer.send(frozen, 1, sender=lp)
    names = {"trader": trader, "lp": lp}
    values = [names[value] if isinstance(value, str) else value for value in arguments]
    before = everything(frozen, trader, lp)
    with reverts("clearing: frozen"):
        run((frozen, function, *values))
    assert everything(frozen, trader, lp) == before


def test_frozen_refuses_the_protocol_s_part(frozen: Contract, governor: str) -> None:
    with reverts("clearing: frozen"):
        frozen.withdraw_protocol.send(0, governor, sender=governor)


def test_frozen_operation_pays_claims_and_books_what_venues_pay_back(
    frozen: Contract, token: Contract, run: Run, lp: str, venue: str, governor: str, unit: int
) -> None:
    run((frozen, "begin"), (frozen, "pay_claim", lp, 10 * unit), (frozen, "end"))
    before = frozen.vault_ledger()[0]
    token.transfer.send(frozen, 40 * unit, sender=governor)
    run((frozen, "begin"), (frozen, "collect", 40 * unit), (frozen, "release", 0), (frozen, "end"))
    assert frozen.vault_ledger()[0] == before + 40 * WAD
    token.transfer.send(frozen, unit, sender=lp)
    for call in (("fund", venue, unit), ("receive_deposit", unit), ("earmark_claims", WAD), ("subsidise", 1)):
        with reverts("clearing: frozen"):
            run((frozen, "begin"), (frozen, *call), (frozen, "end"))


def test_frozen_ledger_is_nobodys_to_settle_but_by_the_settler(
    chain: RevmChain, frozen: Contract, governor: str
) -> None:
    for role in (Role.HEDGER, Role.VAULT):
        other = chain.deploy("Operation")
        frozen.grant_role.send(other, role, sender=governor)
        calls = [frozen.tx("begin").data, frozen.tx("settle", ZERO, astuple(Settlement())).data]
        with reverts("clearing: frozen"):
            other.run.send([(frozen.address, data) for data in calls])


def test_frozen_withdrawal_waits_until_all_is_final(frozen: Contract, run: Run, trader: str) -> None:
    with reverts("clearing: positions left"):
        frozen.withdraw.send(1, trader, trader, sender=trader)
    run((frozen, "crystallise", trader, 0, 0))
    with reverts("clearing: not final"):
        frozen.withdraw.send(1, trader, trader, sender=trader)
    run((frozen, "finalise"))
    frozen.withdraw.send(1, trader, trader, sender=trader)


@pytest.mark.parametrize(
    ("function", "arguments"),
    [("crystallise", (ZERO, 0, 0)), ("finalise", ()), ("pay_promise", (ZERO, 0)), ("pay_lp", (ZERO, 0))],
)
def test_settler_does_nothing_before_it_freezes_nor_inside_an_operation(
    clearinghouse: Contract, run: Run, function: str, arguments: tuple[object, ...]
) -> None:
    with reverts("clearing: not frozen"):
        run((clearinghouse, function, *arguments))
    run((clearinghouse, "freeze"))
    with reverts(IN_PROGRESS):
        run((clearinghouse, "begin"), (clearinghouse, function, *arguments))


def test_settler_crystallises_before_and_pays_after_all_is_final(frozen: Contract, run: Run, trader: str) -> None:
    for call in (("pay_promise", trader, 0), ("pay_lp", trader, 0)):
        with reverts("clearing: not final"):
            run((frozen, *call))
    run((frozen, "finalise"))
    for call in (("crystallise", trader, 0, 0), ("finalise",)):
        with reverts("clearing: final"):
            run((frozen, *call))


def test_crystallise_empties_the_mask_and_lp_cash_takes_the_other_side(frozen: Contract, run: Run, trader: str) -> None:
    lp = frozen.vault_ledger()[0]
    receipt = run((frozen, "crystallise", trader, 7 * WAD, -5 * WAD))
    assert tuple(receipt.one("Settled")) == (trader, 7 * WAD, 57 * WAD, 0, lp - 2 * WAD, 0)
    assert tuple(receipt.one("PayablesChanged")) == (-5 * WAD, -5 * WAD)
    assert tuple(frozen.account(trader)) == (57 * WAD, 0)


def test_crystallise_below_zero_is_borne_by_lp_cash(frozen: Contract, run: Run, trader: str) -> None:
    lp = frozen.vault_ledger()[0]
    receipt = run((frozen, "crystallise", trader, -57 * WAD, 0))
    assert tuple(receipt.one("BadDebtCovered")) == (trader, 0, 7 * WAD)
    assert tuple(frozen.account(trader)) == (0, 0)
    assert frozen.vault_ledger()[0] == lp + 50 * WAD


def test_finalise_makes_the_dust_of_payables_lp_cash(frozen: Contract, run: Run, trader: str) -> None:
    run((frozen, "crystallise", trader, -7, 5))
    lp = frozen.vault_ledger()[0]
    receipt = run((frozen, "finalise"))
    assert tuple(receipt.one("PayablesChanged")) == (-5, 0)
    assert tuple(receipt.one("Finalised")) == (lp + 5,)
    assert (frozen.buckets().lp, frozen.buckets().payables) == (lp + 5, 0)
    assert frozen.finalised()


def test_promises_and_shares_are_paid_from_lp_cash_and_no_further(
    frozen: Contract, token: Contract, run: Run, trader: str, stranger: str, unit: int
) -> None:
    run((frozen, "crystallise", trader, 0, 0), (frozen, "finalise"))
    cash_of_lps = frozen.vault_ledger()[0]
    receipt = run((frozen, "pay_promise", trader, 5 * WAD))
    assert tuple(receipt.one("PromisePaid")) == (trader, 5 * WAD, 55 * WAD, cash_of_lps - 5 * WAD)
    receipt = run((frozen, "pay_lp", stranger, 6 * unit))
    assert tuple(receipt.one("LpPaid")) == (stranger, 6 * unit, cash_of_lps - 11 * WAD)
    assert token.balanceOf(stranger) == 6 * unit
    left = cash_of_lps - 11 * WAD
    with reverts("clearing: LP cash too low"):
        run((frozen, "pay_promise", trader, left + 1))
    with reverts("clearing: LP cash too low"):
        run((frozen, "pay_lp", stranger, left * unit // WAD + 1))
    for receiver in (ZERO, frozen.address):
        with reverts("clearing: bad receiver"):
            run((frozen, "pay_lp", receiver, 1))
    run((frozen, "pay_promise", trader, left))
    frozen.withdraw.send(55 * unit, trader, trader, sender=trader)
    assert frozen.cash_ratio() == WAD


@pytest.fixture
def short_of_tokens(
    clearinghouse: Contract, run: Run, fund_lp: FundLp, settle: Settle, trader: str, other_trader: str, lp: str,
    venue: str, unit: int,
) -> Contract:  # fmt: skip
    """Traders own 60 and 30, a redeemed LP 5, but a venue has 30 of the 95 tokens: LP cash is -30."""
    fund_lp(35 * unit)
    for account, units in ((trader, 40), (other_trader, 20)):
        clearinghouse.deposit.send(units * unit, account, sender=account)
    run(
        (clearinghouse, "begin"), (clearinghouse, "earmark_claims", 5 * WAD),
        (clearinghouse, "fund", venue, 30 * unit), (clearinghouse, "end"),
    )  # fmt: skip
    settle(trader, Settlement(cash=20 * WAD))
    settle(other_trader, Settlement(cash=10 * WAD))
    run((clearinghouse, "freeze"), (clearinghouse, "finalise"))
    assert clearinghouse.vault_ledger()[0] == -30 * WAD
    return clearinghouse


def test_withdraw_of_negative_lp_cash_cuts_everybody_alike_whoever_comes_first(
    short_of_tokens: Contract, run: Run, token: Contract, trader: str, other_trader: str, lp: str, unit: int
) -> None:
    """60 tokens are there for 90 of cash: two thirds, rounded against who withdraws."""
    ledger = short_of_tokens
    assert ledger.cash_ratio() == 2 * WAD // 3
    with reverts("clearing: insufficient cash"):
        ledger.withdraw.send(40 * unit + 1, trader, trader, sender=trader)
    receipt = ledger.withdraw.send(unit, trader, trader, sender=trader)
    assert receipt.one("Withdrawn").cash == cash(ledger, trader) == 60 * WAD - 3 * WAD // 2
    ledger.withdraw.send(39 * unit, trader, trader, sender=trader)
    assert cash(ledger, trader) == 0
    assert ledger.vault_ledger()[0] == -10 * WAD
    ledger.withdraw.send(20 * unit, other_trader, other_trader, sender=other_trader)
    assert (cash(ledger, other_trader), ledger.vault_ledger()[0]) == (0, 0)
    run((ledger, "begin"), (ledger, "pay_claim", lp, 5 * unit), (ledger, "end"))
    assert token.balanceOf(ledger) == ledger.buckets().total_units == 0


def test_withdraw_of_negative_lp_cash_pays_more_once_a_venue_has_paid(
    short_of_tokens: Contract, run: Run, token: Contract, trader: str, other_trader: str, venue: str, unit: int
) -> None:
    ledger = short_of_tokens
    ledger.withdraw.send(40 * unit, trader, trader, sender=trader)
    for units, ratio in ((5, 25 * WAD // 30), (25, WAD)):
        token.transfer.send(ledger, units * unit, sender=venue)
        run((ledger, "begin"), (ledger, "collect", units * unit), (ledger, "end"))
        assert ledger.cash_ratio() == ratio
    ledger.withdraw.send(30 * unit, other_trader, other_trader, sender=other_trader)
    assert ledger.vault_ledger()[0] == 20 * WAD


def test_withdraw_of_no_tokens_at_all_says_where_they_are(
    clearinghouse: Contract, run: Run, fund_lp: FundLp, settle: Settle, trader: str, lp: str, venue: str, unit: int
) -> None:
    fund_lp(30 * unit)
    run((clearinghouse, "begin"), (clearinghouse, "fund", venue, 30 * unit), (clearinghouse, "end"))
    settle(trader, Settlement(cash=20 * WAD))
    run((clearinghouse, "freeze"), (clearinghouse, "finalise"))
    assert clearinghouse.cash_ratio() == 0
    with reverts("clearing: tokens at venues"):
        clearinghouse.withdraw.send(1, trader, trader, sender=trader)
    for call in (("pay_promise", trader, 1), ("pay_lp", lp, 1)):
        with reverts("clearing: LP cash too low"):
            run((clearinghouse, *call))
