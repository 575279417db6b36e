"""`trade option …` against a real node: what is quoted is traded, what is over is paid out, refusals say what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from click.testing import Result

from ballast import boards
from ballast.chain.rpc import RpcChain, RpcError
from ballast.options import Board
from ballast.options.cli import NO_METHOD
from tests.integration.net import Net, started, undone

pytestmark = pytest.mark.anvil

WAD = 10**18


class OptionNet(Net):
    """Its commands are those of `trade option`."""

    def run(self, line: str, *, ok: bool = True, **env: str) -> Result:
        """{near} and {far} are boards of ETH."""
        return super().run(f"trade option {line.format(near=self.near, far=self.far)}", ok=ok, **env)

    @property
    def days(self) -> list[int]:
        """Expiries of ETH's boards."""
        return sorted(self.sandbox.option_book.call("expiries", 0))

    @property
    def near(self) -> str:
        return Board(0, self.days[0]).name(self.sandbox)

    @property
    def far(self) -> str:
        return Board(0, self.days[-1]).name(self.sandbox)


@pytest.fixture(scope="module")
def devnet_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OptionNet]:
    with started(OptionNet, tmp_path_factory.mktemp("deployments")) as net:
        net.sandbox.add_margin(net.chain.accounts[2], 50_000)
        yield net


@pytest.fixture
def net(devnet_of: OptionNet) -> Iterator[OptionNet]:
    """The devnet as it started, whatever a test does."""
    with undone(devnet_of) as net:
        yield net


def test_boards_bids_and_asks_are_what_trades_cost(net: OptionNet) -> None:
    """On a board that is due and, once a trade has refreshed it, on one that is not."""
    for due in (True, False):
        (chain,) = net.answer("boards {far} --size 2 --unlocked 2")
        assert (chain["name"], chain["due"]) == (net.far, due)
        for right, key in (("C", "call"), ("P", "put")):
            for entry in chain["strikes"][2:7]:
                strike, side = int(entry["strike"]) // WAD, entry[key]
                assert int(side["bid"]) < int(side["mark"]) < int(side["ask"])
                for size, price in ((2, side["ask"]), (-2, side["bid"])):
                    quoted = net.answer(f"quote {{far}}-{strike}-{right} {size} --unlocked 2")
                    assert quoted["refreshed"] == due
                    assert abs(int(quoted["cash"])) // 2 == int(price)
        net.run("buy {far}-2000-C 1 --unlocked 2 --yes")


def test_boards_shows_a_chain_by_strike(net: OptionNet) -> None:
    output = net.run("boards {far}").output
    strikes = [int(strike) for strike in re.findall(r"│ +(\d{4}) │ +\d\d\.\d % │", output)]
    assert strikes == list(range(1_600, 2_500, 100))
    (chain,) = net.answer("boards {far}")
    deltas = [int(entry["call"]["delta"]) for entry in chain["strikes"]]
    assert deltas == sorted(deltas, reverse=True)
    for entry in chain["strikes"]:
        assert int(entry["call"]["delta"]) - int(entry["put"]["delta"]) == pytest.approx(WAD, abs=2)
        assert 0.3 < entry["vol"] < 1
    assert len(net.answer("boards ETH")) == len(net.days)
    assert all(name in net.run("boards").output for name in (net.near, net.far, "BTC-"))


def test_boards_says_what_is_due_and_what_is_stale(net: OptionNet) -> None:
    net.run("buy {far}-2000-C 1 --unlocked 2 --yes")
    net.sandbox.warp(1_801)
    assert re.search(rf"{net.far} .*due for a refresh", net.run("boards").output)
    net.run("refresh {far} --unlocked 3 --yes")
    assert "due for a refresh" not in net.run("boards").output
    net.sandbox.warp(1_801)
    assert re.search(rf"{net.far} .*stale surface: closing only", net.run("boards").output)


def test_quote_of_a_due_board_is_the_trade_that_follows(net: OptionNet) -> None:
    net.chain.request("evm_setAutomine", False)  # the trade is included in a block of the quote's time
    quoted = net.answer("quote {far}-2000-C 3 {far}-2200-C -3 --unlocked 2")
    assert quoted["refreshed"]
    net.chain.request("evm_setAutomine", True)
    before = net.sandbox.clearinghouse.call("account", net.chain.accounts[2])[0]
    done = net.answer("trade {far}-2000-C=3 {far}-2200-C=-3 --unlocked 2 --yes")
    after = int(done["cash"])
    # a second later, to a hundredth of a basis point of spot
    assert after - before == pytest.approx(int(quoted["cash"]), abs=2_000 * WAD // 10**5)
    assert int(done["half_spread"]) == pytest.approx(int(quoted["half_spread"]), rel=0.05)


def test_positions_show_what_margin_asks_and_greeks_that_add_up(net: OptionNet) -> None:
    net.run("trade {far}-2000-C=-4 {far}-2000-P=4 --unlocked 2 --yes")
    shown = net.answer("positions --unlocked 2")
    assert {leg["name"] for leg in shown["options"]} == {f"{net.far}-2000-C", f"{net.far}-2000-P"}
    # short call and long put are a short future
    greeks = [leg["greeks"] for leg in shown["options"]]
    assert sum(int(one["delta"]) for one in greeks) == pytest.approx(-4 * WAD, abs=8)
    assert sum(int(one["gamma"]) for one in greeks) == pytest.approx(0, abs=8)
    health = net.sandbox.margin.call("health", net.chain.accounts[2])
    assert int(shown["now"]["initial"]) == health.initial > 0
    assert int(shown["now"]["equity"]) == pytest.approx(health.equity, rel=1e-6)
    text = net.run("positions --unlocked 2").output
    assert "short 4" in text
    assert "long 4" in text


def test_preview_margin_is_the_margin_after(net: OptionNet) -> None:
    output = net.run("sell {far}-1900-P 10 --unlocked 2 --yes").output
    foreseen = [
        float(re.search(rf"{word} after.*?([\d,.]+)\n", output)[1].replace(",", "")) for word in ("equity", "margin")
    ]  # type: ignore[index]
    now = net.answer("positions --unlocked 2")["now"]
    assert [int(now["equity"]) / WAD, int(now["initial"]) / WAD] == pytest.approx(foreseen, abs=1)


def test_preview_says_that_margin_is_missing(net: OptionNet) -> None:
    output = net.run("quote {far}-2000-C -300 --unlocked 2").output
    assert "it would be refused: margin: below initial" in output
    assert "margin: below initial" in net.run("sell {far}-2000-C 300 --unlocked 2 --yes", ok=False).output
    assert net.sandbox.option_book.call("legs", net.chain.accounts[2]) == []


def test_close_all_leaves_nothing(net: OptionNet) -> None:
    net.run("buy {near}-2000-C 1.5 --unlocked 2 --yes")
    net.run("sell {far}-2000-P 2 --unlocked 2 --yes")
    net.run("trade {far}-2100-C=1 {far}-2200-C=-1 --unlocked 2 --yes")
    net.run("close {far}-2100-C --unlocked 2 --yes")
    net.run("close --all --unlocked 2 --yes")
    assert net.answer("positions --unlocked 2")["options"] == []
    assert net.sandbox.clearinghouse.call("account", net.chain.accounts[2])[1] == 0


def test_settle_fixes_the_price_and_pays_out(net: OptionNet) -> None:
    near, expiry = net.near, net.days[0]
    net.run("buy {near}-1900-C 2 --unlocked 2 --yes")
    output = net.run("settle {near} --unlocked 2 --yes", ok=False).output
    assert "is not over" in output
    net.sandbox.warp(expiry - 30 - net.chain.now)
    net.sandbox.push("ETH", 2_040)
    net.sandbox.warp(60, refresh=False)
    output = net.run(f"settle {near} --unlocked 2 --yes", ok=False).output
    assert "oracle: no round after" in output
    assert "devnet push" in output
    net.sandbox.push("ETH", 2_300)
    assert "expired: settle" in net.run("boards").output
    assert re.search(rf"{near}-1900-C .* expired", net.run("positions --unlocked 2").output)
    assert f"settle {near}" in net.run("close --all --unlocked 2 --yes", ok=False).output
    (done,) = net.answer(f"settle {near} --unlocked 2 --yes")
    assert int(done["settled"]["price"]) == 2_040 * WAD
    assert int(done["payoff"]) == 280 * WAD
    assert "nothing on" in net.run(f"settle {near}-1900-C --unlocked 2 --yes").output


def test_settle_for_an_account_takes_all_that_is_over(net: OptionNet) -> None:
    holder, days = net.chain.accounts[2], net.days[:2]
    for day in days:
        net.run(f"buy {Board(0, day).name(net.sandbox)}-1900-P 1 --unlocked 2 --yes")
    net.sandbox.warp(days[1] + 60 - net.chain.now, refresh=False)
    net.sandbox.push("ETH", 1_850)
    done = net.answer(f"settle {holder} --unlocked 3 --yes")
    assert [int(entry["payoff"]) for entry in done] == [50 * WAD, 50 * WAD]
    assert "holds no option that is over" in net.run(f"settle {holder} --unlocked 3 --yes", ok=False).output


def test_node_that_cannot_simulate_quotes_what_is_not_due(net: OptionNet, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object) -> None:
        raise RpcError("eth_simulateV1", NO_METHOD, "method not found")

    monkeypatch.setattr(RpcChain, "simulate", unknown)
    output = net.run("quote {far}-2000-C 1", ok=False).output
    assert "cannot foresee it" in output
    assert f"trade option refresh {net.far}" in output
    assert "no bids and asks" in net.run("boards {far}").output
    net.run("refresh {far} --unlocked 3 --yes")
    assert not net.answer("quote {far}-2000-C 1")["refreshed"]


@pytest.mark.parametrize(
    ("line", "error", "hint"),
    [
        ("boards SOL", "no market 'SOL'; there are ETH, BTC", ""),
        ("boards ETH-1JAN20", "no options of 1JAN20; listed:", ""),
        ("boards ETH --size 0", "size 0 is not above zero", ""),
        ("quote {far}-2000-C", "is left over", "NAME SIZE"),
        ("quote {far}-2050-C 1", "no strike 2050; listed: 1600, 1700", ""),
        ("quote {far} 1", "names no option", "-3000-C"),
        ("quote {far}-2000-C 1 {far}-2000-C 2", "is named twice", ""),
        ("quote {far}-2000-C 1 {near}-2000-C 2", "several days", "one for each day"),
        ("quote {far}-2000-C 0.0000001", "more than 6 decimals", ""),
        ("quote {far}-2000-C two", "size 'two' is not a number", ""),
        ("quote {far}-2000-C 3_000", "options: series cap", "another strike"),
        ("buy {far}-2000-C 0.001 --unlocked 2 --yes", "options: below minimum size", "Trade more"),
        ("buy {far}-2000-C 1 --limit 5 --unlocked 2 --yes", "options: limit", "--slippage"),
        ("buy {far}-2000-C 1 --yes", "nobody to send as", "--unlocked"),
        ("buy {far}-2000-C 1 --unlocked 2", "cannot ask", "--yes"),
        ("buy {far}-2000-C 1 --unlocked 4 --yes", "margin: below initial", "trade deposit"),
        ("sell {far}-2000-C 1 --limit 5000 --unlocked 2 --yes", "options: limit", "--slippage"),
        ("close --unlocked 2 --yes", "close what?", "--all"),
        ("close {far}-2000-C --unlocked 2 --yes", "holds no", "option positions"),
        ("close --all --unlocked 2 --yes", "holds no options", ""),
        ("settle {far} --unlocked 2 --yes", "is not over", "option close"),
        ("settle 0x12 --unlocked 2 --yes", "is not an address", ""),
    ],
)
def test_refusals_say_what_to_do(net: OptionNet, line: str, error: str, hint: str) -> None:
    output = net.run(line, ok=False).output
    assert error in output
    assert hint in output
    assert "Traceback" not in output


def test_old_surface_takes_only_closing_trades(net: OptionNet) -> None:
    net.run("buy {far}-2000-C 1 --unlocked 2 --yes")
    net.sandbox.warp(3_700)
    output = net.run("buy {far}-2000-C 1 --unlocked 2 --yes", ok=False).output
    assert "options: stale surface" in output
    assert "surface post" in output
    net.run("close {far}-2000-C --unlocked 2 --yes")
    boards.roll(net.sandbox)
    net.run("buy {far}-2000-C 1 --unlocked 2 --yes")
