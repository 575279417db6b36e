"""The contract wrapper behaves alike on both backends."""

from dataclasses import dataclass

import pytest

from ballast.chain import NOBODY, Chain, Contract, DecodingError, EncodingError, Reverted, load, reverts

SERIES = bytes(range(32))


def test_deploy_constructor_arguments_reach_the_contract(chain: Chain, probe: Contract) -> None:
    assert probe.LABEL() == "probe"
    assert probe.call("total") == 5
    assert len(chain.code(probe)) == probe.artifact.deployed_size
    assert chain.storage(probe, probe.artifact.layout["storage_layout"]["total"]["slot"]) == 5


def test_deploy_wrong_constructor_arguments_raises_encoding_error(chain: Chain) -> None:
    with pytest.raises(EncodingError, match="1 arguments given for"):
        chain.deploy("WrapperProbe", "probe")


def test_send_state_change_returns_value_and_event(chain: Chain, probe: Contract) -> None:
    trader = chain.accounts[1]
    receipt = probe.send("count", -3, "note", sender=trader)
    assert (receipt.status, receipt.value, receipt.error) == (1, 2, None)
    assert receipt.gas_used > 21_000
    assert (receipt.block_number, receipt.timestamp) == (probe.last_block(), probe.last_time())
    counted = receipt.one("Counted", address=probe)
    assert (counted.who, counted.delta, counted.total, counted.note) == (trader, -3, 2, "note")
    assert probe.total() == 2


def test_send_with_value_moves_the_balance(chain: Chain, probe: Contract) -> None:
    probe.send("count", 0, value=7)
    assert chain.balance(probe) == 7


def test_call_state_change_is_simulated_and_undone(chain: Chain, probe: Contract) -> None:
    assert probe.call("count", 10) == 15
    assert probe.total() == 5
    assert probe.send("count", 10).value == 15


def test_call_sender_given_is_the_caller(chain: Chain, probe: Contract) -> None:
    assert probe.caller() == chain.accounts[0]
    assert probe.call("caller", sender=chain.accounts[2]) == chain.accounts[2]


def test_call_on_a_node_without_accounts_asks_as_nobody(probe: Contract, monkeypatch: pytest.MonkeyPatch) -> None:
    """Public nodes sign for nobody, and can be read all the same."""
    monkeypatch.setattr(probe.chain, "accounts", [])
    assert probe.caller() == probe.tx("caller").sender == NOBODY


def test_call_overloads_resolve_by_arity_and_by_signature(probe: Contract) -> None:
    assert (probe.sum_of(1), probe.sum_of(1, 2), probe.sum_of(1, 2, 3)) == (111, 103, 6)
    assert probe.call("sum_of(uint256,uint256)", 1, 2) == 103
    with pytest.raises(LookupError, match="0 matches"):
        probe.call("sum_of", 1, 2, 3, 4)


def test_call_extreme_numbers_round_trip(probe: Contract) -> None:
    numbers = (-(2**127), 255, -(2**255), b"\x01\x02\x03\x04")
    assert probe.echo_numbers(*numbers) == numbers


@pytest.mark.parametrize("numbers", [(2**127, 0, 0, b"0000"), (0, 256, 0, b"0000"), (0, 0, 2**255, b"0000")])
def test_call_number_out_of_range_raises_encoding_error(probe: Contract, numbers: tuple[object, ...]) -> None:
    with pytest.raises(EncodingError, match="is not a"):
        probe.echo_numbers(*numbers)


def test_call_float_argument_raises_encoding_error(probe: Contract) -> None:
    with pytest.raises(EncodingError, match="float"):
        probe.sum_of(1.5)


@dataclass(frozen=True, slots=True)
class Pair:
    low: int
    high: int


@pytest.mark.parametrize("pair", [(-1, 2), {"low": -1, "high": 2}, Pair(-1, 2)])
def test_call_struct_argument_takes_tuple_dict_and_dataclass(probe: Contract, pair: object) -> None:
    echoed = probe.echo_pair(pair)
    assert (echoed.low, echoed.high) == (-1, 2)
    assert probe.echo_pair(echoed) == echoed


def test_call_struct_with_missing_field_raises_encoding_error(probe: Contract) -> None:
    with pytest.raises(EncodingError, match="exactly the fields"):
        probe.echo_pair({"low": 1})


def test_call_fixed_array_of_structs_round_trips(probe: Contract) -> None:
    assert [tuple(pair) for pair in probe.echo_pairs([(1, 2), (-3, 4)])] == [(1, 2), (-3, 4)]


def test_call_dynamic_values_round_trip(probe: Contract) -> None:
    assert probe.echo_lists([1, 2, 3], "naïve", b"\x00\xff") == ([1, 2, 3], "naïve", b"\x00\xff")
    assert probe.echo_lists([], "", b"") == ([], "", b"")


def test_send_nested_dynamic_struct_round_trips(chain: Chain, probe: Contract) -> None:
    order = {"owner": probe, "legs": [(SERIES, -5, True), (SERIES, 6, False)], "limit_price": 9}
    receipt = probe.send("place", order)
    logged = receipt.one("Ordered").order
    assert logged == receipt.value
    assert (logged.owner, logged.limit_price) == (probe.address, 9)
    assert [(leg.series, leg.size, leg.is_long) for leg in logged.legs] == [(SERIES, -5, True), (SERIES, 6, False)]


@pytest.mark.parametrize(
    ("how", "kind", "reason"),
    [(0, "error", "probe: as asked"), (1, "empty", ""), (2, "empty", ""), (3, "halt", "halt: ")],
)
@pytest.mark.parametrize("verb", ["call", "send"])
def test_fail_each_way_reports_its_reason(probe: Contract, verb: str, how: int, kind: str, reason: str) -> None:
    with pytest.raises(Reverted) as caught:
        getattr(probe, verb)("fail", how)
    assert caught.value.kind == kind
    assert caught.value.reason == reason or (kind == "halt" and caught.value.reason.startswith(reason))


def test_send_out_of_gas_reports_a_halt(probe: Contract) -> None:
    with pytest.raises(Reverted) as caught:
        probe.send("fail", 4, gas=100_000)
    assert caught.value.kind == "halt"


def test_reverts_wrong_reason_fails_the_assertion(probe: Contract) -> None:
    with reverts("probe: as asked"):
        probe.fail(0)
    with pytest.raises(AssertionError, match="reverted with ''"), reverts("probe: as asked"):
        probe.fail(1)
    with pytest.raises(AssertionError, match="did not revert"), reverts():
        probe.total()


def test_call_address_without_code_raises_decoding_error(chain: Chain) -> None:
    with pytest.raises(DecodingError, match="is there code"):
        chain.at("WrapperProbe", "0x00000000000000000000000000000000000000fE").total()


def test_at_existing_address_shares_state(chain: Chain, probe: Contract) -> None:
    assert chain.at("WrapperProbe", probe.address.lower()).total() == 5


def test_warp_moves_time_by_exactly_the_seconds(chain: Chain, probe: Contract) -> None:
    start, block = probe.clock()
    chain.warp(100)
    assert chain.now == start + 100
    assert probe.clock()[0] == start + 100
    assert probe.clock()[1] > block
    probe.send("count", 1)
    assert probe.last_time() == start + 100
    chain.warp_to(start + 500)
    assert (chain.now, chain.number) == probe.clock()


def test_warp_not_forward_raises_value_error(chain: Chain) -> None:
    with pytest.raises(ValueError, match="cannot warp"):
        chain.warp(0)


def test_batch_transactions_share_a_block_and_keep_order(chain: Chain, probe: Contract) -> None:
    ok = probe.tx("count", 10, sender=chain.accounts[1])
    bad = probe.tx("fail", 0, sender=chain.accounts[2])
    first, second, third = chain.batch([ok, bad, ok])
    assert first.block_number == second.block_number == third.block_number
    assert [receipt.status for receipt in (first, second, third)] == [1, 0, 1]
    assert second.error is not None
    assert second.error.reason == "probe: as asked"
    assert (first.one("Counted").total, third.one("Counted").total) == (15, 25)


def test_logs_range_returns_only_its_blocks(chain: Chain, probe: Contract) -> None:
    first = probe.send("count", 1).block_number
    chain.warp(12)
    second = probe.send("count", 2).block_number
    assert [chain.decode_log(log).args.delta for log in chain.logs([probe], first, second)] == [1, 2]
    assert [chain.decode_log(log).args.delta for log in chain.logs([probe], second, second)] == [2]


def test_set_balance_overwrites(chain: Chain) -> None:
    pauper = "0x00000000000000000000000000000000000000AB"
    chain.set_balance(pauper, 123)
    assert chain.balance(pauper) == 123


def test_load_layout_names_the_storage(probe: Contract) -> None:
    assert set(load("WrapperProbe").layout["storage_layout"]) == {"total", "last_block", "last_time"}
