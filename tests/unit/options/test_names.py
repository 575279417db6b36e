"""Names of options and their numbers at the contracts."""

from datetime import UTC, datetime

import pytest

from ballast import boards
from ballast.chain import RevmChain
from ballast.options import Board, Option, Unnamed, day_name, find, find_board, strike_name
from ballast.system import Sandbox, deploy_system

WAD = 10**18


@pytest.fixture(scope="module")
def system() -> Sandbox:
    """1 December 2025, noon: boards of ETH and BTC."""
    system = deploy_system(RevmChain(int(datetime(2025, 12, 1, 12, tzinfo=UTC).timestamp())))
    system.deposit(system.chain.accounts[1], 1_000_000)
    boards.roll(system)
    expiry = int(datetime(2025, 12, 26, 8, tzinfo=UTC).timestamp())
    system.option_engine.send("list_strikes", 0, expiry, [12_345 * WAD // 10], sender=system.governor)
    system.option_engine.send("refresh", 0, expiry)
    return system


def test_name_and_number_of_every_listed_option_lead_to_each_other(system: Sandbox) -> None:
    seen = 0
    for market in system.markets:
        for expiry in system.option_book.call("expiries", market.id):
            for index, entry in enumerate(system.option_book.call("strikes", market.id, expiry)):
                for right in (False, True):
                    option = Option(Board(market.id, expiry), entry.strike, right)
                    name = option.name(system)
                    assert find(system, name) == (option, option.series(index))
                    assert Option.of(option.series(index)) == option
                    seen += 1
    assert seen > 200


@pytest.mark.parametrize(
    ("name", "strike", "is_put"),
    [
        ("ETH-26DEC25-2000-C", 2_000 * WAD, False),
        ("eth-26dec25-2000-p", 2_000 * WAD, True),
        ("ETH-26DEC25-1234.5-P", 12_345 * WAD // 10, True),
        ("ETH-26DEC25-1234.50-P", 12_345 * WAD // 10, True),
    ],
)
def test_find_reads_names(system: Sandbox, name: str, strike: int, is_put: bool) -> None:
    option, series = find(system, name)
    expiry = int(datetime(2025, 12, 26, 8, tzinfo=UTC).timestamp())
    assert option == Option(Board(0, expiry), strike, is_put)
    # the contract knows it under this number
    trader = system.chain.accounts[2]
    premium = system.option_engine.call("quote", trader, [(series, WAD)]).premium
    assert 0 < premium < (100 if strike == 2_000 * WAD else 1) * WAD


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("ETH", "write it like ETH-2DEC25-3000-C"),
        ("ETH-26DEC25-2000", "write it like ETH-2DEC25-3000-C"),
        ("ETH-26DEC25-2000-X", "write it like"),
        ("SOL-26DEC25-2000-C", "no market 'SOL'; there are ETH, BTC"),
        ("ETH-31NOV25-2000-C", "names no day"),
        ("ETH-1FOO25-2000-C", "names no day"),
        ("ETH-25DEC25-2000-C", "listed: 2DEC25, 3DEC25, 5DEC25"),
        ("ETH-26DEC25-2001-C", "no strike 2001; listed: 1234.5, 1600, 1700"),
        ("BTC-26DEC25-2000-C", "no strike 2000; listed: 32000, 34000"),
    ],
)
def test_find_says_what_there_is(system: Sandbox, name: str, error: str) -> None:
    with pytest.raises(LookupError, match=error.replace(".", r"\.")):
        find(system, name)


def test_board_names(system: Sandbox) -> None:
    board = find_board(system, "eth-5dec25")
    assert (board.market, day_name(board.expiry)) == (0, "5DEC25")
    assert find_board(system, "ETH-05DEC25") == board
    with pytest.raises(Unnamed, match="write it like ETH-2DEC25"):
        find_board(system, "5DEC25")


@pytest.mark.parametrize(
    ("strike", "name"), [(3_000, "3000"), (100_000, "100000"), (0.545, "0.545"), (1_234.5, "1234.5")]
)
def test_strike_names(strike: float, name: str) -> None:
    assert strike_name(round(strike * 10**8) * 10**10) == name
