"""ERC-7540 out: requests, epochs, claims."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ballast.chain import reverts
from ballast.model.exact.structs import Settlement
from ballast.model.roles import Role
from tests.unit.vault.conftest import DAY, MAX_SUPPLY, WAD, ZERO, World, assert_not_lower, multiply_shares

REENTER = 4


def vault_with(world: World, **deposits: int) -> World:
    for actor, quote in deposits.items():
        world.deposit(actor, quote * world.unit)
    return world


# ── requests ──


def test_request_moves_shares_into_escrow_and_logs(world: World) -> None:
    vault_with(world, lp=100)
    lp, receiver = world.actors["lp"], world.actors["receiver"]
    receipt = world.vault.requestRedeem.send(40 * WAD, receiver, lp, sender=lp)
    assert receipt.value == 1
    assert receipt.one("RedeemRequest") == (receiver, lp, 1, lp, 40 * WAD)
    assert world.vault.balanceOf(lp) == 60 * WAD
    assert world.vault.balanceOf(world.vault) == 40 * WAD
    assert world.vault.totalSupply() == 100 * WAD
    assert world.vault.pendingRedeemRequest(1, receiver) == 40 * WAD
    assert world.vault.pendingRedeemRequest(1, lp) == 0
    assert world.vault.claimableRedeemRequest(1, receiver) == 0


def test_request_of_zero_reverts(usdc: World) -> None:
    with reverts("vault: zero amount"):
        usdc.vault.requestRedeem.send(0, usdc.actors["lp"], usdc.actors["lp"], sender=usdc.actors["lp"])


@pytest.mark.parametrize("controller", ["zero", "vault"])
def test_request_for_an_impossible_controller_reverts(usdc: World, controller: str) -> None:
    vault_with(usdc, lp=1)
    target = ZERO if controller == "zero" else usdc.vault
    with reverts("vault: bad receiver"):
        usdc.vault.requestRedeem.send(1, target, usdc.actors["lp"], sender=usdc.actors["lp"])


def test_request_beyond_the_balance_reverts(usdc: World) -> None:
    vault_with(usdc, lp=1)
    with reverts("erc20: transfer amount exceeds balance"):
        usdc.vault.requestRedeem.send(WAD + 1, usdc.actors["lp"], usdc.actors["lp"], sender=usdc.actors["lp"])


def test_request_by_a_stranger_reverts(usdc: World) -> None:
    vault_with(usdc, lp=1)
    with reverts("erc20: insufficient allowance"):
        usdc.vault.requestRedeem.send(1, usdc.actors["attacker"], usdc.actors["lp"], sender=usdc.actors["attacker"])


@pytest.mark.parametrize(("allowance", "left"), [(10 * WAD, 7 * WAD), (2**256 - 1, 2**256 - 1)])
def test_request_by_a_spender_uses_its_allowance(usdc: World, allowance: int, left: int) -> None:
    vault_with(usdc, lp=10)
    lp, spender = usdc.actors["lp"], usdc.actors["spender"]
    usdc.vault.approve.send(spender, allowance, sender=lp)
    usdc.vault.requestRedeem.send(3 * WAD, spender, lp, sender=spender)
    assert usdc.vault.allowance(lp, spender) == left
    assert usdc.vault.pendingRedeemRequest(1, spender) == 3 * WAD


def test_request_by_an_operator_needs_and_uses_no_allowance(usdc: World) -> None:
    vault_with(usdc, lp=10)
    lp, operator = usdc.actors["lp"], usdc.actors["operator"]
    usdc.vault.setOperator.send(operator, True, sender=lp)
    usdc.vault.approve.send(operator, WAD, sender=lp)
    usdc.vault.requestRedeem.send(3 * WAD, lp, lp, sender=operator)
    assert usdc.vault.allowance(lp, operator) == WAD


def test_request_again_in_the_same_epoch_adds_up(usdc: World) -> None:
    vault_with(usdc, lp=10)
    usdc.request("lp", WAD)
    assert usdc.request("lp", 2 * WAD) == 1
    assert usdc.vault.pendingRedeemRequest(1, usdc.actors["lp"]) == 3 * WAD
    usdc.compare()


def test_request_after_the_end_belongs_to_the_next_epoch(usdc: World) -> None:
    vault_with(usdc, lp=10, whale=10)
    usdc.request("lp", WAD)
    usdc.chain.warp(DAY)
    assert usdc.request("whale", WAD) == usdc.request("lp", 2 * WAD) == 2
    lp = usdc.actors["lp"]
    assert [usdc.vault.pendingRedeemRequest(i, lp) for i in (1, 2)] == [WAD, 2 * WAD]
    usdc.set_marks()
    assert usdc.process() == (WAD, WAD)
    # the older one is claimable under the id of the newer, which has reached the pool
    assert [usdc.vault.pendingRedeemRequest(i, lp) for i in (1, 2)] == [0, 2 * WAD]
    assert [usdc.vault.claimableRedeemRequest(i, lp) for i in (1, 2)] == [0, WAD]
    assert usdc.vault.pendingRedeemRequest(2, usdc.actors["whale"]) == WAD
    usdc.compare()
    assert usdc.end_epoch() == (3 * WAD, 3 * WAD)
    assert usdc.vault.claimableRedeemRequest(2, lp) == 3 * WAD
    usdc.compare()


def test_request_after_the_end_comes_in_after_epochs_that_filled_nothing(usdc: World) -> None:
    """Steps fall behind ids then, and a late request remembers one of each."""
    vault_with(usdc, lp=10)
    for _ in range(3):
        usdc.end_epoch()
    usdc.chain.warp(DAY)
    assert usdc.request("lp", WAD) == 5
    usdc.set_marks()
    assert usdc.process() == (0, 0)
    assert usdc.end_epoch() == (WAD, WAD)
    assert usdc.vault.claimableRedeemRequest(5, usdc.actors["lp"]) == WAD
    usdc.compare()


def test_request_of_a_wei_after_the_end_comes_in_once() -> None:
    world = World(decimals=18)
    vault_with(world, lp=10)
    world.chain.warp(DAY)
    assert world.request("lp", 1) == 2
    world.set_marks()
    for _ in range(2):
        assert world.process() in ((0, 0), (1, 1))
        assert world.vault.epoch().pending <= 1
        world.chain.warp(2 * DAY)
        world.set_marks()
    world.compare()


def test_request_twice_late_in_two_epochs_keeps_both(usdc: World) -> None:
    vault_with(usdc, lp=10, whale=100)
    usdc.request("whale", WAD)
    for _ in range(3):
        usdc.chain.warp(DAY + 1)
        usdc.request("lp", WAD)
        usdc.set_marks()
        usdc.process()
        usdc.compare()
    position = usdc.vault.position(usdc.actors["lp"])
    assert (position.claimable_shares, position.pending, position.late) == (2 * WAD, WAD, 0)


def test_request_moves_an_older_remainder_to_its_own_id(usdc: World) -> None:
    vault_with(usdc, lp=100)
    usdc.request("lp", 50 * WAD)
    usdc.set_values(stressed_loss=54 * WAD)  # 100 - 54 / 0.6 = 10 are free
    assert usdc.end_epoch() == (10 * WAD, 10 * WAD)
    lp = usdc.actors["lp"]
    assert usdc.vault.pendingRedeemRequest(1, lp) == 40 * WAD
    assert usdc.vault.claimableRedeemRequest(1, lp) == 10 * WAD
    assert usdc.request("lp", WAD) == 2
    assert [usdc.vault.pendingRedeemRequest(i, lp) for i in (1, 2)] == [0, 41 * WAD]
    assert [usdc.vault.claimableRedeemRequest(i, lp) for i in (1, 2)] == [0, 10 * WAD]
    usdc.compare()


# ── processing ──


def test_process_before_the_end_reverts(usdc: World) -> None:
    usdc.chain.warp_to(usdc.vault.epoch().ends_at - 1)
    with reverts("vault: epoch not over"):
        usdc.process()
    usdc.chain.warp(1)
    assert usdc.process() == (0, 0)


def test_process_an_empty_queue_advances_without_any_price(usdc: World) -> None:
    ends_at = usdc.vault.epoch().ends_at
    usdc.chain.warp_to(ends_at)
    usdc.set_marks(fresh=False)
    receipt = usdc.vault.processEpoch.send()
    assert receipt.one("EpochProcessed") == (1, 0, 0, 0, 0, 0, ends_at + DAY)
    assert usdc.vault.epoch() == (2, ends_at + DAY, 0, 0)


def test_process_with_a_price_older_than_the_end_reverts(usdc: World) -> None:
    vault_with(usdc, lp=10)
    usdc.request("lp", WAD)
    ends_at = usdc.vault.epoch().ends_at
    usdc.chain.warp_to(ends_at + 60)
    usdc.set_mark(0, ends_at + 30)
    usdc.set_mark(1, ends_at - 1)
    with reverts("vault: price older than epoch"):
        usdc.process()
    usdc.set_mark(1, ends_at)
    assert usdc.process() == (WAD, WAD)


def test_process_with_a_stale_price_reverts(usdc: World) -> None:
    vault_with(usdc, lp=10)
    usdc.request("lp", WAD)
    usdc.chain.warp(DAY)
    usdc.set_marks()
    usdc.set_mark(1, usdc.now, fresh=False)
    with reverts("vault: stale mark"):
        usdc.process()


def test_process_late_ends_the_next_epoch_no_earlier_than_now(usdc: World) -> None:
    vault_with(usdc, lp=10)
    usdc.chain.warp(5 * DAY)
    usdc.request("lp", WAD)
    usdc.process()
    assert usdc.vault.epoch() == (2, usdc.now, WAD, 0)
    # the price that could have been known when the request was made does not serve it
    usdc.set_mark(0, usdc.now - 1)
    with reverts("vault: price older than epoch"):
        usdc.process()
    usdc.compare()


def test_process_stops_when_time_leaves_its_32_bits(usdc: World) -> None:
    usdc.chain.warp_to(2**32 - 1)
    usdc.process()
    assert usdc.vault.epoch().ends_at == 2**32 - 1
    with reverts(""):
        usdc.process()
    usdc.compare()


def test_process_ends_its_operation(usdc: World) -> None:
    """What follows in the same transaction may begin one."""
    vault_with(usdc, lp=10)
    usdc.request("lp", WAD)
    usdc.chain.warp(DAY)
    usdc.set_marks()
    calls = [
        (usdc.vault.address, usdc.vault.tx("processEpoch").data),
        (usdc.clearinghouse.address, usdc.clearinghouse.tx("in_progress").data),
    ]
    processed, busy = usdc.chain.deploy("Operation").run.send(calls).value
    assert int.from_bytes(processed[:32], "big") == WAD
    assert int.from_bytes(busy, "big") == 0


def test_process_burns_earmarks_and_logs(world: World) -> None:
    vault_with(world, lp=60, whale=40)
    world.settle(lp=100 * WAD)
    world.request("lp", 50 * WAD)
    world.chain.warp_to(world.vault.epoch().ends_at)
    world.set_marks()
    filled, paid = world.vault.preview_epoch()
    # NAV 200: one virtual share and token among 100 and 200
    assert (filled, paid) == (50 * WAD, 50 * WAD * 201 // 101 // world.scale * world.scale)
    receipt = world.vault.processEpoch.send()
    world.twins.vault.process_epoch(world.now)
    assert receipt.one("EpochProcessed") == (1, filled, paid, 0, 50 * WAD, 200 * WAD, world.now + DAY)
    assert receipt.one("Transfer", world.vault) == (world.vault.address, ZERO, filled)
    assert world.vault.totalSupply() == 50 * WAD
    assert world.clearinghouse.buckets().claims == paid
    assert world.clearinghouse.vault_ledger()[0] == 200 * WAD - paid
    world.compare()


def test_process_pays_the_bid_less_the_rise_of_the_potential(usdc: World) -> None:
    vault_with(usdc, lp=5_999, whale=4_000)
    usdc.settle(lp=0, reserve=60 * WAD)
    # U(E) = 1,000,000 / E: 100.01 at NAV, of which 60 are covered
    usdc.set_values(spread=10 * WAD, curve=10**6 * WAD)
    usdc.request("lp", 5_000 * WAD)
    filled, paid = usdc.end_epoch()
    nav = 9_999 * WAD
    uncovered = 10**6 * WAD * WAD // nav - 60 * WAD
    gross = 5_000 * WAD * (nav - 10 * WAD - uncovered + WAD) // (10_000 * WAD)
    rise = 10**6 * WAD * WAD // (nav - gross) - 60 * WAD - uncovered
    assert filled == 5_000 * WAD
    assert paid == (gross - rise) // 10**12 * 10**12
    # docs/mechanism.md §7 as a bound: nobody is paid more than its share of NAV - S - max(0, U(E') - R)
    assert paid <= 5_000 * WAD * (nav - 10 * WAD - uncovered - rise + WAD) // (10_000 * WAD)
    usdc.compare()


def test_process_pays_no_more_than_lp_cash(usdc: World) -> None:
    vault_with(usdc, lp=100, whale=100)
    usdc.settle(lp=-150 * WAD)
    usdc.set_values(book=100 * WAD, venues=50 * WAD)
    usdc.request("lp", 100 * WAD)
    assert usdc.end_epoch() == (50 * WAD, 50 * WAD)
    assert usdc.clearinghouse.vault_ledger()[0] == 0
    # nothing is free now: the queue rolls over, and over
    assert usdc.end_epoch() == (0, 0)
    usdc.compare()
    usdc.settle(lp=20 * WAD)
    usdc.set_values(book=80 * WAD, venues=50 * WAD)
    assert usdc.end_epoch() == (20 * WAD, 20 * WAD)
    usdc.compare()


def test_process_pays_no_more_tokens_than_are_there(usdc: World) -> None:
    """An account that owes is LP cash, but no token, until it pays."""
    vault_with(usdc, lp=100, whale=100)
    debtor, trader = usdc.actors["attacker"], usdc.actors["trader"]
    units = 10**11 * usdc.unit
    usdc.act(
        "withdraw",
        lambda: usdc.clearinghouse.withdraw.send(units, trader, trader, sender=trader),
        lambda t: t.clearinghouse.withdraw(units, "trader", usdc.now),
    )
    operation = usdc.chain.deploy("Operation")
    usdc.clearinghouse.grant_role.send(operation, Role.HEDGER)
    calls = [
        (usdc.clearinghouse.address, usdc.clearinghouse.tx("begin").data),
        (usdc.clearinghouse.address, usdc.clearinghouse.tx("settle", debtor, (-100 * WAD, 0, 0, 1, 0, 0)).data),
    ]
    operation.run.send(calls)
    usdc.twins.clearinghouse.begin()
    usdc.twins.clearinghouse.settle("attacker", Settlement(cash=-100 * WAD, opened=1))
    assert usdc.clearinghouse.vault_ledger()[0] == 300 * WAD
    usdc.request("lp", 100 * WAD)
    usdc.request("whale", 100 * WAD)
    assert usdc.vault.valuation().available == 200 * WAD
    filled, paid = usdc.end_epoch()
    assert 0 < filled < 200 * WAD
    # the part that is filled is rounded down, then what it is worth to a unit
    assert 200 * WAD - usdc.scale <= paid <= 200 * WAD
    usdc.compare()


def test_process_pays_nothing_while_lp_cash_is_negative(usdc: World) -> None:
    vault_with(usdc, lp=100)
    usdc.settle(lp=-150 * WAD)
    usdc.set_values(venues=150 * WAD)
    usdc.request("lp", 100 * WAD)
    assert usdc.vault.valuation().available == 0
    assert usdc.end_epoch() == (0, 0)
    usdc.compare()


def test_process_leaves_utilization_at_u_redeem(usdc: World) -> None:
    vault_with(usdc, lp=1_000)
    usdc.set_params(u_redeem=WAD // 2)
    usdc.set_values(stressed_loss=300 * WAD)
    usdc.request("lp", 1_000 * WAD)
    assert usdc.end_epoch() == (400 * WAD, 400 * WAD)
    assert usdc.vault.valuation().nav == 600 * WAD
    usdc.compare()


def test_process_burns_nothing_when_shares_are_worth_nothing(usdc: World) -> None:
    vault_with(usdc, lp=100)
    usdc.request("lp", 100 * WAD)
    usdc.set_values(spread=100 * WAD)
    usdc.chain.warp(DAY)
    usdc.set_marks()
    receipt = usdc.vault.processEpoch.send()
    usdc.twins.vault.process_epoch(usdc.now)
    assert [event.name for event in receipt.events] == ["EpochProcessed"]
    usdc.set_values(book=-100 * WAD)
    assert usdc.end_epoch() == (0, 0)
    usdc.set_values()
    assert usdc.end_epoch() == (100 * WAD, 100 * WAD)
    usdc.compare()


def test_process_a_queue_worth_less_than_a_unit_waits(usdc: World) -> None:
    vault_with(usdc, lp=100)
    usdc.request("lp", 10**12 - 1)
    assert usdc.end_epoch() == (0, 0)
    usdc.request("lp", 1)
    assert usdc.end_epoch() == (10**12, 10**12)
    usdc.compare()


def test_process_fills_a_single_wei() -> None:
    """A token of 18 decimals has no dust: one wei of a share, and nothing behind it, is filled and paid."""
    world = World(decimals=18)
    vault_with(world, lp=100)
    world.request("lp", 1)
    assert world.end_epoch() == (1, 1)
    world.redeem("lp", 1)
    world.compare()


def test_process_everything_empties_the_vault(world: World) -> None:
    vault_with(world, lp=100, whale=50)
    world.request("lp", 100 * WAD)
    world.request("whale", 50 * WAD)
    assert world.end_epoch() == (150 * WAD, 150 * WAD)
    assert world.vault.totalSupply() == world.vault.totalAssets() == 0
    world.redeem("lp", 100 * WAD)
    world.redeem("whale", 50 * WAD)
    assert world.clearinghouse.buckets().claims == 0
    assert world.deposit("lp", 7 * world.unit) == 7 * WAD
    world.compare()


def test_claims_of_one_controller_fit_their_words(usdc: World) -> None:
    """Of more shares than 128 bits hold, burned over two epochs, enough to fit are claimed first."""
    multiply_shares(usdc)
    for shares in (MAX_SUPPLY - usdc.vault.totalSupply(), 10**30):
        usdc.mint("lp", shares)
        usdc.request("lp", usdc.vault.balanceOf(usdc.actors["lp"]))
        # all but one in 1e9 is filled: the virtual share wants its part of NAV
        usdc.settle(lp=10**9 * WAD)
        usdc.end_epoch()
    excess = usdc.vault.position(usdc.actors["lp"]).claimable_shares - MAX_SUPPLY
    assert excess > 1
    with reverts(""):
        usdc.redeem("lp", excess - 1)
    usdc.redeem("lp", excess)
    usdc.compare()
    assert usdc.redeem("lp", MAX_SUPPLY) > 10**9 * usdc.unit
    usdc.compare()


def test_pause_and_cap_stop_neither_requests_nor_processing_nor_claims(usdc: World) -> None:
    vault_with(usdc, lp=100)
    usdc.vault.pause_deposits.send(sender=usdc.actors["guardian"])
    usdc.twins.vault.paused = True
    usdc.vault.lower_deposit_cap.send(0, sender=usdc.actors["guardian"])
    usdc.twins.vault.params = type(usdc.twins.vault.params)(deposit_cap=0)
    usdc.request("lp", 100 * WAD)
    assert usdc.end_epoch() == (100 * WAD, 100 * WAD)
    assert usdc.redeem("lp", 100 * WAD) == 100 * usdc.unit
    usdc.compare()


def test_claims_work_while_prices_are_stale(usdc: World) -> None:
    vault_with(usdc, lp=100)
    usdc.request("lp", 100 * WAD)
    usdc.end_epoch()
    usdc.set_marks(fresh=False)
    assert usdc.redeem("lp", 50 * WAD) == 50 * usdc.unit
    assert usdc.withdraw("lp", 50 * usdc.unit) == 50 * WAD


# ── claims ──


@pytest.fixture
def claimable(world: World) -> World:
    """lp may claim 70 shares for 140 tokens."""
    vault_with(world, lp=100)
    world.settle(lp=101 * WAD)
    world.request("lp", 70 * WAD)
    assert world.end_epoch() == (70 * WAD, 140 * WAD)
    return world


def test_redeem_pays_the_receiver_and_logs(claimable: World) -> None:
    lp, receiver = claimable.actors["lp"], claimable.actors["receiver"]
    before = claimable.token.balanceOf(receiver)
    receipt = claimable.vault.redeem.send(20 * WAD, receiver, lp, sender=lp)
    assert receipt.value == 40 * claimable.unit
    assert receipt.one("Withdraw") == (lp, receiver, lp, 40 * claimable.unit, 20 * WAD)
    assert claimable.token.balanceOf(receiver) - before == 40 * claimable.unit
    assert claimable.vault.maxRedeem(lp) == 50 * WAD
    assert claimable.vault.maxWithdraw(lp) == 100 * claimable.unit


def test_withdraw_pays_the_receiver_and_logs(claimable: World) -> None:
    lp, receiver = claimable.actors["lp"], claimable.actors["receiver"]
    receipt = claimable.vault.withdraw.send(40 * claimable.unit, receiver, lp, sender=lp)
    assert receipt.value == 20 * WAD
    assert receipt.one("Withdraw") == (lp, receiver, lp, 40 * claimable.unit, 20 * WAD)
    assert claimable.vault.claimableRedeemRequest(1, lp) == 50 * WAD


@pytest.mark.parametrize("function", ["redeem", "withdraw"])
class TestClaim:
    def test_claim_of_zero_reverts(self, claimable: World, function: str) -> None:
        lp = claimable.actors["lp"]
        with reverts("vault: zero amount"):
            claimable.vault.send(function, 0, lp, lp, sender=lp)

    def test_claim_of_more_than_claimable_reverts(self, claimable: World, function: str) -> None:
        lp = claimable.actors["lp"]
        most = claimable.vault.call("maxRedeem" if function == "redeem" else "maxWithdraw", lp)
        with reverts("vault: more than claimable"):
            claimable.vault.send(function, most + 1, lp, lp, sender=lp)
        claimable.vault.send(function, most, lp, lp, sender=lp)
        assert claimable.vault.position(lp) == (0, 0, 0, 0, 0, 0)

    @pytest.mark.parametrize("caller", ["attacker", "spender"])
    def test_claim_by_another_reverts_even_with_an_allowance(
        self, claimable: World, function: str, caller: str
    ) -> None:
        lp = claimable.actors["lp"]
        claimable.vault.approve.send(claimable.actors["spender"], 2**256 - 1, sender=lp)
        with reverts("vault: not operator"):
            claimable.vault.send(function, 1, claimable.actors[caller], lp, sender=claimable.actors[caller])

    def test_claim_by_an_operator_works_until_it_is_revoked(self, claimable: World, function: str) -> None:
        lp, operator = claimable.actors["lp"], claimable.actors["operator"]
        receipt = claimable.vault.setOperator.send(operator, True, sender=lp)
        assert receipt.value is True
        assert receipt.one("OperatorSet") == (lp, operator, True)
        assert claimable.vault.isOperator(lp, operator)
        claimable.vault.send(function, claimable.unit, operator, lp, sender=operator)
        claimable.vault.setOperator.send(operator, False, sender=lp)
        assert not claimable.vault.isOperator(lp, operator)
        with reverts("vault: not operator"):
            claimable.vault.send(function, claimable.unit, operator, lp, sender=operator)

    @pytest.mark.parametrize("receiver", ["zero", "clearinghouse"])
    def test_claim_for_an_impossible_receiver_reverts(self, claimable: World, function: str, receiver: str) -> None:
        lp = claimable.actors["lp"]
        target = ZERO if receiver == "zero" else claimable.clearinghouse
        with reverts("clearing: bad receiver"):
            claimable.vault.send(function, WAD if function == "redeem" else claimable.unit, target, lp, sender=lp)


@pytest.mark.parametrize("view", ["previewRedeem", "previewWithdraw"])
def test_previews_of_the_way_out_revert(usdc: World, view: str) -> None:
    with reverts("vault: redemption is async"):
        usdc.vault.call(view, 0)


@pytest.mark.parametrize("function", ["redeem", "withdraw", "requestRedeem", "deposit", "transfer"])
def test_token_cannot_reenter_a_claim(function: str) -> None:
    world = World(token="RudeToken")
    vault_with(world, lp=10)
    world.request("lp", 5 * WAD)
    world.end_epoch()
    lp = world.actors["lp"]
    arguments = {"deposit": (1, lp), "transfer": (lp, 0)}
    payload = world.vault.tx(function, *arguments.get(function, (1, lp, lp))).data
    world.token.prepare.send(world.vault, payload)
    world.token.behave.send(REENTER, world.actors["admin"])
    world.vault.redeem.send(WAD, lp, lp, sender=lp)
    assert not world.token.went_through()


@given(
    claims=st.lists(st.tuples(st.booleans(), st.integers(1, 100)), min_size=1, max_size=8),
    gain=st.integers(-99, 1_000_000),
    shares=st.integers(10**13, 10**22),
    decimals=st.sampled_from([6, 8, 18]),
)
def test_claims_in_parts_never_pay_more_than_the_whole(
    claims: list[tuple[bool, int]], gain: int, shares: int, decimals: int
) -> None:
    world = World(decimals)
    vault_with(world, lp=20_000)
    world.settle(lp=200 * gain * WAD)
    world.request("lp", shares)
    filled, paid = world.end_epoch()
    lp = world.actors["lp"]
    received = redeemed = 0
    for by_shares, percentage in [*claims, (True, 100), (False, 100)]:
        most = world.vault.maxRedeem(lp) if by_shares else world.vault.maxWithdraw(lp)
        if most == 0:
            continue
        amount = -(-most * percentage // 100)
        if by_shares:
            redeemed += amount
            received += world.redeem("lp", amount)
        else:
            received += amount
            redeemed += world.withdraw("lp", amount)
        world.compare()
    assert redeemed == filled
    # less than a unit stays behind, and a wei where the index was rounded
    assert 0 <= paid - received * world.scale <= world.scale
    assert world.vault.position(lp).claimable_assets == 0


# ── invariants over one epoch ──

quote = st.integers(1, 10**9).map(lambda x: x * WAD // 100)


@given(
    deposits=st.tuples(quote, quote, quote),
    parts=st.tuples(st.integers(0, 100), st.integers(0, 100), st.integers(1, 100)),
    gain=st.integers(-99, 900),
    reserve=st.integers(0, 50),
    due=st.integers(0, 100),
    spread=st.integers(0, 20),
    curve=st.integers(0, 10**12 * WAD),
    stress=st.integers(0, 60),
    decimals=st.sampled_from([6, 8, 18]),
)
def test_exit_never_lowers_the_bid_of_those_who_stay_and_is_pro_rata(
    deposits: tuple[int, int, int],
    parts: tuple[int, int, int],
    gain: int,
    reserve: int,
    due: int,
    spread: int,
    curve: int,
    stress: int,
    decimals: int,
) -> None:
    world = World(decimals)
    names = ("lp", "whale", "attacker")
    for name, amount in zip(names, deposits, strict=True):
        world.deposit(name, max(amount // world.scale, 1))
    nav = world.clearinghouse.vault_ledger()[0]
    world.settle(lp=0, reserve=nav * reserve // 100)
    world.set_values(
        book=nav * gain // 100,
        spread=nav * spread // 100,
        curve=curve,
        stressed_loss=nav * stress // 100,
        due=nav * reserve // 100 * due // 100,
    )
    for name, part in zip(names, parts, strict=True):
        shares = world.vault.balanceOf(world.actors[name]) * part // 100
        if shares > 0:
            world.request(name, shares)
    before = world.bid_per_share()
    asked = {name: world.twins.vault.position(name).pending for name in names}
    filled, paid = world.end_epoch()
    world.compare()
    if filled == 0:
        return
    assert_not_lower(before, world.bid_per_share())
    after = world.twins.vault.valuation(world.now)
    assert after.nav >= 0
    assert nav * stress // 100 * WAD <= world.twins.vault.params.u_redeem * after.nav
    queue = sum(asked.values())
    for name in names:
        position = world.twins.vault.position(name)
        # pro rata to the wei, rounded down for what is owed and for what is left
        assert 0 <= asked[name] * (queue - filled) // queue - position.pending <= 1
        assert 0 <= asked[name] * paid // queue - position.claimable_assets <= 1
        assert position.pending + position.claimable_shares == asked[name]
