"""The command lines, against a real node: every example of every help text, refusals, and processes that die."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from ballast import boards
from ballast import cli as shell
from ballast.chain.anvil import Anvil
from ballast.chain.artifacts import ROOT
from ballast.chain.rpc import RpcChain
from ballast.deployment import manifest
from ballast.options import Board, find
from tests.integration.net import Net, command_of, started, undone

pytestmark = pytest.mark.anvil

SCRIPTS = ("deploy", "verify", "lp", "trade", "gov", "status")


@pytest.fixture(scope="module")
def devnet_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    with started(Net, tmp_path_factory.mktemp("deployments")) as net:
        yield net


@pytest.fixture
def net(devnet_of: Net) -> Iterator[Net]:
    """The devnet as it started, whatever a test does."""
    with undone(devnet_of) as net:
        yield net


# ---- help texts


def commands(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        for child, sub in command.commands.items():
            yield from commands(sub, f"{name} {child}")


def examples() -> list[str]:
    """Every line of a help text that begins like a command."""
    found = []
    for script in SCRIPTS:
        for _, command in commands(command_of(script), script):
            lines = [line.strip() for line in (command.help or "").splitlines()]
            found += [line for line in lines if line.startswith(("ape run ", "python -m scripts."))]
    return found


def typed(example: str) -> str:
    """`script arguments` of an example, without the way to connect."""
    line = re.sub(r"^(ape run |python -m scripts\.)", "", example)
    return re.sub(r" --(network|rpc|manifest) \S+", "", line)


@pytest.mark.parametrize("example", examples())
def test_help_every_example_is_understood(example: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise shell.Failure("understood")

    monkeypatch.setattr(shell, "connect", stop)
    script, *arguments = shlex.split(re.sub(r"^(ape run |python -m scripts\.)", "", example))
    result = CliRunner().invoke(command_of(script), arguments)
    assert isinstance(result.exception, SystemExit)
    assert result.exit_code == 1, result.output  # 2 would be click's usage error


def test_help_every_local_example_works(net: Net) -> None:
    """In an order in which they can: what is not listed here must not be in a help text."""
    story = [
        "verify",
        "verify --all",
        "status",
        "status --json",
        "trade markets",
        "trade offers",
        "trade quote ETH buy 10",
        "trade quote ETH buy 10 --unlocked 2",
        "trade quote BTC sell 0.5 --unlocked 2 --json",
        "trade deposit 20_000 --unlocked 2",
        "trade open ETH buy 10 --unlocked 2",
        "trade positions --unlocked 2",
        "trade close ETH --unlocked 2",
        "trade open ETH buy 10 --unlocked 2",
        "trade close ETH --unlocked 2 --yes",
        "trade option boards",
        "trade option boards ETH",
        "trade option boards ETH --size 10 --json",
        "trade option positions --unlocked 2",
        "trade queue show --unlocked 2",
        "trade settlement show",
        "trade settlement show --unlocked 2",
        "trade withdraw 5_000 --unlocked 2",
        "trade withdraw all --unlocked 2",
        "lp position --unlocked 1",
        "lp mandates",
        "lp deposit 10_000 --unlocked 1",
        "lp request all --unlocked 1",
        "lp process --unlocked 3",
        "lp claim --unlocked 1",
    ]
    for line in story:
        if line == "lp process --unlocked 3":
            net.sandbox.warp(86_400)
        looks = ("markets", "offers", "quote", "positions", "option boards", "option positions", "queue", "settlement")
        reading = line.startswith(("verify", "lp position", "lp mandates", *(f"trade {look}" for look in looks)))
        net.run(line if reading or line.endswith("--yes") else f"{line} --yes")
    shown = {typed(line) for line in examples() if "local" in line or "127.0.0.1" in line}
    others = {line for line in shown if line.startswith(("deploy", "gov"))}  # tested apart
    elsewhere = {line for line in shown if "…" in line}
    assert shown - others - elsewhere <= set(story)


# ---- lp


def test_lp_deposit_request_claim_moves_what_it_says(net: Net) -> None:
    account = net.chain.accounts[3]
    before = net.sandbox.quote.call("balanceOf", account)
    shares = int(net.answer("lp deposit 1_000.5 --unlocked 3 --yes")["shares"])
    assert net.sandbox.quote.call("balanceOf", account) == before - 1_000_500_000
    assert net.sandbox.vault.call("balanceOf", account) == shares
    assert net.sandbox.quote.call("allowance", account, net.sandbox.vault) == 0
    asked = net.answer("lp request all --unlocked 3 --yes")
    assert int(asked["shares"]) == shares
    assert "still running" in net.run("lp process --unlocked 4 --yes", ok=False).output
    net.sandbox.warp(86_400)
    assert int(net.answer("lp process --unlocked 4 --yes")["filled"]) == shares
    claimable = int(net.answer("lp position --unlocked 3")["lp"]["position"]["claimable_assets"])
    net.run("lp claim 400 --unlocked 3 --yes")
    paid = int(net.answer("lp claim --unlocked 3 --yes")["assets"])
    assert paid + 400_000_000 == claimable // 10**12
    assert net.sandbox.vault.call("position", account).claimable_shares == 0


def test_lp_mandates_says_who_may_hedge_how_much(net: Net) -> None:
    assert net.answer("lp mandates") == []
    agent, expiry = net.chain.accounts[5], net.chain.now + 86_400
    terms = agent, 0b11, 10**12, expiry, 2_000
    net.sandbox.mandates.grant.send(*terms, sender=net.sandbox.governor)
    (mandate,) = net.answer("lp mandates")
    assert (mandate["agent"], int(mandate["size"]), int(mandate["expiry"])) == (agent, 10**12, expiry)
    shown = net.run("lp mandates").output
    assert "ETH/0" in shown
    assert "1,000,000.00" in shown


def test_lp_request_after_the_end_of_an_epoch_says_which_one_it_waits_for(net: Net) -> None:
    net.sandbox.warp(86_400)
    output = net.run("lp request 1_000 --unlocked 1 --yes").output
    assert "epoch 1 is over but not processed: the request waits for the end of epoch 2" in output
    assert int(net.answer("lp process --unlocked 4 --yes")["filled"]) == 0
    assert "1000.0000 shares still wait" in net.run("lp claim --unlocked 1 --yes", ok=False).output.replace(",", "")


@pytest.mark.parametrize(
    ("line", "error", "hint"),
    [
        ("lp deposit 10 --yes", "nobody to send as", "--account"),
        ("lp deposit 10 --unlocked 3", "cannot ask", "--yes"),
        ("lp deposit 2_000_000 --unlocked 3 --yes", "has 1,000,000 TUSD, not 2,000,000 TUSD", "ballast.devnet fund"),
        ("lp deposit 0 --unlocked 3 --yes", "amount 0 is not above zero", ""),
        ("lp deposit ten --unlocked 3 --yes", "amount 'ten' is not a number", ""),
        ("lp deposit 0.0000001 --unlocked 3 --yes", "finer than", ""),
        ("lp deposit 10 --slippage 300% --unlocked 3 --yes", "fraction below one", ""),
        ("lp request 5 --unlocked 3 --yes", "has 0 shares", "lp deposit buys some"),
        ("lp request 9_000_000 --unlocked 1 --yes", "has 5,000,000 shares", "Ask for less"),
        ("lp process --unlocked 3 --yes", "the epoch is still running", "It ends"),
        ("lp claim --unlocked 1 --yes", "0 TUSD is claimable", "0.0000 shares still wait"),
        ("lp position 0x12", "'0x12' is not an address", ""),
        ("lp position --unlocked 99", "there is no number 99", ""),
        ("lp position --unlocked nobody", "neither an address nor a number", ""),
        ("lp position --unlocked 1 --account x", "--account and --unlocked at once", ""),
        ("lp position --account nobody_called_so", "ape has no account 'nobody_called_so'", ""),
        ("trade open SOL buy 1 --unlocked 2 --yes", "no market 'SOL'; there are ETH, BTC", ""),
        ("trade open ETH buy 1 --unlocked 2 --yes", "margin: below initial", "trade deposit"),
        ("trade open ETH buy 1 --limit 1_999 --unlocked 2 --yes", "perps: limit price", "--slippage"),
        ("trade open ETH buy 0.0001 --unlocked 2 --yes", "perps: below minimum size", "minimum"),
        ("trade open ETH buy 30_000 --unlocked 2 --yes", "perps: base cap", "the other way"),
        ("trade open ETH buy 0.0000000000000000001 --unlocked 2 --yes", "more than 18 decimals", ""),
        ("trade close ETH --unlocked 2 --yes", "has no position in ETH", "trade positions"),
        ("trade queue request ETH --unlocked 2 --yes", "no position in ETH", "trade positions"),
        ("trade queue cancel ETH --unlocked 2 --yes", "queue: no request", "--options"),
        ("trade queue execute ETH --unlocked 2 --yes", "queue: no request", "trade queue show"),
        ("trade liquidate {lp}", "has no positions", "Its cash is 0.00 TUSD"),
        ("trade settlement trigger --unlocked 2 --yes", "settlement: vault is solvent", "a price within a day"),
        ("trade settlement claim --unlocked 2 --yes", "settlement: not final", "Accounts are still valued"),
        ("lp redeem all --unlocked 1 --yes", "global settlement is not final", "lp request"),
        ("lp redeem all --unlocked 3 --yes", "has 0 shares", "pay-request"),
        ("trade withdraw 5 --unlocked 2 --yes", "clearing: insufficient cash", "close first"),
        ("trade withdraw all --unlocked 2 --yes", "there is no cash", ""),
        ("trade withdraw 5 --owner {lp} --unlocked 2 --yes", "clearing: not operator", "operator"),
    ],
)
def test_refusals_say_what_to_do(net: Net, line: str, error: str, hint: str) -> None:
    output = net.run(line.format(lp=net.chain.accounts[1]), ok=False).output
    assert error in output
    assert hint in output
    assert "Traceback" not in output


def test_lp_deposit_no_room_says_why(net: Net) -> None:
    net.sandbox.vault.send("pause_deposits", sender=net.manifest.guardian)
    assert "Deposits are paused." in net.run("lp deposit 10 --unlocked 3 --yes", ok=False).output
    assert "Deposits are paused." in net.run("lp position --unlocked 3").output


def test_lp_deposit_board_that_is_due_or_expired_is_named(net: Net) -> None:
    sandbox, trader = net.sandbox, net.chain.accounts[2]
    boards.roll(sandbox)
    board = Board(0, boards.calendar(net.chain.now)[0])
    _, series = find(sandbox, f"{board.name(sandbox)}-2000-C")
    sandbox.add_margin(trader, 100_000)
    sandbox.option_engine.send("trade", [(series, 10**19)], 2**255 - 1, 2**256 - 1, sender=trader)
    net.run("lp request 1_000 --unlocked 1 --yes")
    day = board.name(sandbox)
    sandbox.warp(1_801)
    assert f"trade option refresh {day}" in net.run("lp deposit 10 --unlocked 3 --yes", ok=False).output
    assert f"refresh {day}" in net.run("lp position --unlocked 3").output
    sandbox.warp(max(board.expiry, sandbox.vault.call("epoch").ends_at) - net.chain.now)
    assert f"settle {day}" in net.run("lp process --unlocked 3 --yes", ok=False).output


def test_lp_deposit_stale_price_names_the_market(net: Net) -> None:
    net.sandbox.warp(7_200, refresh=False)
    net.sandbox.push("ETH")
    assert "No fresh price of BTC." in net.run("lp deposit 10 --unlocked 3 --yes", ok=False).output
    assert "stale price" in net.run("trade markets").output
    assert "devnet push" in net.run("trade open BTC buy 0.01 --unlocked 3 --yes", ok=False).output


# ---- trade


def test_trade_quote_is_what_the_trade_then_costs(net: Net) -> None:
    net.run("trade deposit 50_000 --unlocked 2 --yes")
    net.sandbox.warp(60)
    quoted = net.answer("trade quote eth sell 20 --unlocked 2")
    done = net.answer("trade open eth sell 20 --unlocked 2 --yes")
    assert done["charge"] == quoted["charge"]
    assert done["size"] == quoted["size"] == str(-20 * 10**18)


def test_trade_partial_close_and_withdraw_leave_the_rest(net: Net) -> None:
    net.run("trade deposit 50_000 --unlocked 2 --yes")
    net.run("trade open BTC buy 2 --unlocked 2 --yes")
    net.sandbox.warp(60)
    net.sandbox.push("BTC", 41_000)
    assert int(net.answer("trade close BTC 0.5 --unlocked 2 --yes")["size"]) == 15 * 10**17
    output = net.run("trade withdraw all --unlocked 2 --yes", ok=False).output
    assert "there are open positions" in output
    net.run("trade withdraw 10_000 --unlocked 2 --yes")
    account = net.answer("trade positions --unlocked 2")
    assert int(account["legs"][0]["leg"]["size"]) == 15 * 10**17
    assert "long 1.5" in net.run("trade positions --unlocked 2").output
    too_much = net.run("trade close BTC 2 --unlocked 2 --yes", ok=False).output
    assert "the position is 1.5 BTC" in too_much


def test_trade_margin_after_is_the_margin_after(net: Net) -> None:
    """The preview's equity equals what positions then say, within what a second of spread and funding changes."""
    net.run("trade deposit 50_000 --unlocked 2 --yes")
    preview = net.run("trade open ETH buy 30 --unlocked 2 --yes").output
    foreseen = float(re.search(r"equity after\s+([\d,.]+)", preview)[1].replace(",", ""))  # type: ignore[index]
    equity = int(net.answer("trade positions --unlocked 2")["now"]["equity"]) / 1e18
    assert equity == pytest.approx(foreseen, abs=5)


def test_trade_positions_warns_of_liquidation(net: Net) -> None:
    net.run("trade deposit 11_000 --unlocked 2 --yes")
    net.run("trade open ETH buy 100 --unlocked 2 --yes")
    net.sandbox.warp(60)
    net.sandbox.push("ETH", 1_930)
    assert "below maintenance" in net.run("trade positions --unlocked 2").output


def test_trade_deposit_for_somebody_else(net: Net) -> None:
    friend = net.chain.accounts[5]
    net.run(f"trade deposit 100 --for {friend} --unlocked 2 --yes")
    assert net.sandbox.clearinghouse.call("account", friend)[0] == 100 * 10**18


# ---- closes that wait, liquidation, the end


def test_trade_queue_request_is_carried_out_at_the_next_price(net: Net) -> None:
    net.run("trade deposit 50_000 --unlocked 2 --yes")
    net.run("trade open ETH buy 10 --unlocked 2 --yes")
    fresh = net.run("trade queue request ETH --unlocked 2 --yes", ok=False).output
    assert "ETH has a fresh price" in fresh
    assert "trade close" in fresh
    net.sandbox.warp(7_200, refresh=False)
    assert "trade queue request" in net.run("trade close ETH --unlocked 2 --yes", ok=False).output
    assert "A request only closes" in net.run("trade queue request ETH 11 --unlocked 2 --yes", ok=False).output
    net.run("trade queue request ETH --unlocked 2 --yes")
    net.run("trade queue cancel ETH --unlocked 2 --yes")
    assert "has asked for nothing" in net.run("trade queue show --unlocked 2").output
    net.run("trade queue request ETH 4 --unlocked 2 --yes")
    assert "waits: queue: no new round" in net.run("trade queue show --unlocked 2").output
    net.sandbox.push("ETH", 1_990)
    assert "a round has come" in net.run("trade queue cancel ETH --unlocked 2 --yes", ok=False).output
    assert "can be carried out, pays 1.00 TUSD" in net.run("trade queue show --unlocked 2").output
    owner = net.chain.accounts[2]
    done = net.answer(f"trade queue execute ETH {owner} --unlocked 3 --yes")
    assert (int(done["size_delta"]), int(done["fee"])) == (-4 * 10**18, 10**18)
    assert net.sandbox.perp_engine.call("position", owner, 0).size == 6 * 10**18


def test_trade_queue_request_of_options_closes_a_day_or_one(net: Net) -> None:
    days = sorted(net.sandbox.option_book.call("expiries", 0))
    board = Board(0, days[-1]).name(net.sandbox)
    net.run("trade deposit 50_000 --unlocked 2 --yes")
    net.run(f"trade option trade {board}-2000-C=2 {board}-1900-P=-1 --unlocked 2 --yes")
    net.sandbox.warp(7_200, refresh=False)
    assert f"-0.5 {board}-2000-C" in net.run(f"trade queue request {board}-2000-C 0.5 --unlocked 2 --yes").output
    net.run(f"trade queue request {board} --unlocked 2 --yes")  # takes its place
    net.sandbox.refresh()
    shown = net.run("trade queue execute ETH --options --unlocked 2 --yes").output
    assert f"+1 {board}-1900-P, -2 {board}-2000-C" in shown
    assert net.sandbox.option_book.call("legs", net.chain.accounts[2]) == []


def test_trade_liquidate_shows_what_would_be_closed_and_sends_when_told(net: Net) -> None:
    weak = net.chain.accounts[2]
    net.run("trade deposit 11_000 --unlocked 2 --yes")
    net.run("trade open ETH buy 100 --unlocked 2 --yes")
    assert "is healthy" in net.run(f"trade liquidate {weak}", ok=False).output
    net.sandbox.warp(60)
    net.sandbox.push("ETH", 1_930)
    shown = net.run(f"trade liquidate {weak}").output
    assert "the vault" in shown
    assert "nothing was sent" in shown
    assert net.sandbox.perp_engine.call("position", weak, 0).size == 100 * 10**18
    refused = net.run(f"trade liquidate {weak} --take --send --unlocked 3 --yes", ok=False).output
    assert "your account cannot carry it" in refused
    assert "what can be closed: ETH" in net.run(f"trade liquidate {weak} BTC", ok=False).output
    (closing,) = net.answer(f"trade liquidate {weak}")["closings"]
    done = net.answer(f"trade liquidate {weak} ETH --send --unlocked 3 --yes")
    assert 0 < int(done["share"]) < 10**18
    assert int(done["reward"]) / 1e18 == pytest.approx(closing["reward"], rel=0.01)
    net.run("trade deposit 50_000 --unlocked 3 --yes")
    net.sandbox.push("ETH", 1_900)
    taken = net.answer(f"trade liquidate {weak} --take --send --unlocked 3 --yes")
    assert taken["taken"]
    assert net.sandbox.perp_engine.call("position", net.chain.accounts[3], 0).size > 0


def test_trade_and_lp_commands_lead_to_the_end_and_out(net: Net) -> None:
    trader, loser = net.chain.accounts[2:4]
    for number, side, amount in ((2, "sell", 60), (3, "buy", 20)):
        net.run(f"trade deposit 50_000 --unlocked {number} --yes")
        net.run(f"trade open ETH {side} {amount} --unlocked {number} --yes")
    net.run("lp deposit 1_000 --unlocked 4 --yes")
    net.run("lp request 400 --unlocked 4 --yes")
    net.sandbox.warp(60)
    net.sandbox.push("ETH", 1_900)
    net.sandbox.oracle.send("sync", 0)
    net.sandbox.warp(90_000, refresh=False)
    assert "ETH without a price for" in net.run("trade settlement show").output
    net.run("trade settlement trigger --unlocked 5 --yes")
    assert "accounts are valued" in net.run("trade settlement show").output
    for line in ("trade deposit 1 --unlocked 2 --yes", "trade close ETH --unlocked 2 --yes"):
        assert "trade settlement show" in net.run(line, ok=False).output
    assert "settlement crystallise" in net.run("trade withdraw 1 --unlocked 2 --yes", ok=False).output
    assert "not valued yet" in net.run("trade settlement show --unlocked 2").output
    assert "trade settlement crystallise" in net.run("trade settlement finalise --unlocked 5 --yes", ok=False).output
    assert "Crystallised" in net.run(f"trade settlement crystallise {trader} {loser} --unlocked 5 --yes").output
    net.run("trade settlement finalise --unlocked 5 --yes")
    before = net.sandbox.quote.call("balanceOf", trader)
    net.run("trade settlement claim --unlocked 2 --yes")
    net.run("trade withdraw all --unlocked 2 --yes")
    assert net.sandbox.quote.call("balanceOf", trader) - before == pytest.approx(56_000 * 10**6, rel=0.002)
    assert "lp redeem all" in net.run("lp position --unlocked 4").output
    paid = net.answer("lp redeem all --unlocked 4 --yes")
    assert int(paid["units"]) == pytest.approx(600 * 10**6, rel=0.01)
    assert int(net.answer("lp redeem 0 --unlocked 4 --yes")["units"]) == 0
    assert int(net.answer("lp pay-request --unlocked 4 --yes")["units"]) == pytest.approx(400 * 10**6, rel=0.01)


# ---- verify, connection


def test_verify_difference_fails_with_a_table(net: Net) -> None:
    net.sandbox.perp_engine.send("pause", 1, sender=net.manifest.guardian)
    result = net.run("verify", ok=False)
    assert result.exit_code == 1
    assert "perp_engine.config(1)" in result.output
    assert "paused = True" in result.output
    assert "NOT as described" in result.output
    document = json.loads(net.run("verify --json", ok=False).stdout)
    assert (document["ok"], len(document["findings"])) == (False, 1)


def test_connect_nowhere_says_how() -> None:
    result = CliRunner().invoke(command_of("trade"), ["markets"], env={"BALLAST_RPC": ""})
    assert "which chain?" in result.output


def test_connect_to_nobody_says_so() -> None:
    result = CliRunner().invoke(command_of("trade"), ["markets", "--rpc", "http://127.0.0.1:9"])
    assert "no answer from http://127.0.0.1:9" in result.output
    assert "make devnet" in result.output


def test_connect_manifest_of_another_chain_is_refused(net: Net, tmp_path: Path) -> None:
    with Anvil(chain_id=10) as other:
        result = CliRunner().invoke(command_of("trade"), ["markets", "--rpc", other.url, "--manifest", str(net.path)])
    assert "the manifest is of chain 31337, this node is on 10" in result.output


def test_connect_restarted_node_is_noticed(net: Net) -> None:
    with Anvil() as other:
        arguments = ["markets", "--rpc", other.url, "--manifest", str(net.path)]
        result = CliRunner().invoke(command_of("trade"), arguments)
    assert "there is no vault at" in result.output
    assert "deploy again" in result.output


def test_connect_finds_the_manifest_of_the_chain(net: Net, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def markets() -> Result:
        return CliRunner().invoke(command_of("trade"), ["markets", "--rpc", net.chain.url])

    monkeypatch.setattr(manifest, "DEPLOYMENTS", tmp_path)
    assert "no deployment on chain 31337 is recorded" in markets().output
    net.manifest.save(tmp_path / "local.json")
    assert markets().exit_code == 0
    net.manifest.save(tmp_path / "again.json")
    assert "several deployments on chain 31337: choose with --manifest" in markets().output
    (tmp_path / "again.json").unlink()
    gone = net.manifest.contracts | {"lens": replace(net.manifest.contracts["lens"], code_hash="0x" + "00" * 32)}
    replace(net.manifest, contracts=gone).save(tmp_path / "before.json")  # of a chain that had the same id
    assert markets().exit_code == 0


# ---- deploy


def deploy_line(url: str, path: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "scripts.deploy", "--rpc", url, "--manifest", str(path), "--yes", *more]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}


def test_deploy_plan_sends_nothing_and_names_the_total(net: Net, tmp_path: Path) -> None:
    before = net.chain.number
    result = CliRunner().invoke(
        command_of("deploy"),
        ["--rpc", net.chain.url, "--manifest", str(tmp_path / "x.json"), "--plan"],
        env={"COLUMNS": "200"},
    )
    assert result.exit_code == 0, result.output
    assert net.chain.number == before
    assert list(tmp_path.iterdir()) == []
    shown = re.findall(r"│ (.+?)\s+│\s+([\d,]+) │", result.output)
    *steps, (last, total) = [(title, int(gas.replace(",", ""))) for title, gas in shown]
    assert last == "total", result.output
    assert total == sum(gas for _, gas in steps) > 30_000_000
    assert "at most" in result.output


def test_deploy_killed_processes_resume(tmp_path: Path) -> None:
    """SIGKILL at three moments; the fourth run finishes, the fifth has nothing to do."""
    path = tmp_path / "local.json"
    with Anvil() as node:
        chain = node.chain()
        for entries in (5, 40, 90):
            process = subprocess.Popen(
                deploy_line(node.url, path, "--json"), cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL
            )
            journal = path.with_suffix(".journal.jsonl")
            while process.poll() is None:
                if journal.is_file() and journal.read_bytes().count(b"\n") >= entries:
                    process.send_signal(signal.SIGKILL)
                    break
                time.sleep(0.002)
            assert process.wait() == -signal.SIGKILL
        finished = subprocess.run(
            deploy_line(node.url, path, "--json"),
            cwd=ROOT,
            env=environment(),
            capture_output=True,
            check=True,
            text=True,
        )
        assert json.loads(finished.stdout)["transactions"] > 0
        number = chain.number
        again = subprocess.run(
            deploy_line(node.url, path), cwd=ROOT, env=environment(), capture_output=True, check=True, text=True
        )
        assert "nothing to do" in again.stdout
        assert chain.number == number
        verified = subprocess.run(
            [sys.executable, "-m", "scripts.verify", "--rpc", node.url, "--manifest", str(path)],
            cwd=ROOT, env=environment(), capture_output=True, check=True, text=True,
        )  # fmt: skip
        assert "as described" in verified.stdout


def test_deploy_restarted_local_node_begins_anew(net: Net, tmp_path: Path) -> None:
    path = tmp_path / "local.json"
    for _ in range(2):
        with Anvil() as node:
            result = CliRunner().invoke(
                command_of("deploy"), ["--rpc", node.url, "--manifest", str(path), "--yes"], env={"COLUMNS": "200"}
            )
            assert result.exit_code == 0, result.output
    assert "was restarted since the last deployment: beginning anew" in result.output
    assert (tmp_path / "local.json.old1").is_file()


# ---- real processes


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_devnet_runs_moves_and_ends_without_leaving_a_node(tmp_path: Path) -> None:
    """In a copy of deployments/, so that a developer's own devnet is left alone."""
    program = (
        "import sys, pathlib; from ballast import devnet; from ballast.deployment import manifest;"
        f"manifest.DEPLOYMENTS = pathlib.Path({str(tmp_path)!r}); devnet.main(sys.argv[1:])"
    )
    port = free_port()
    command = [sys.executable, "-c", program]
    process = subprocess.Popen(
        [*command, "--port", str(port)], cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        shown = ""
        while "Ctrl-C" not in shown:
            line = process.stdout.readline()
            assert line, "devnet ended"
            shown += line
        assert "python -m scripts.trade markets" in shown
        url = f"http://127.0.0.1:{port}"
        for arguments in (["move", "ETH", "2010"], ["push"], ["warp", "1h"], ["fund", "0x" + "77" * 20]):
            subprocess.run([*command, *arguments, "--rpc", url], cwd=ROOT, env=environment(), check=True)
        chain = RpcChain(url)
        sandbox = manifest.load(tmp_path / "local.json").sandbox(chain)
        assert sandbox.oracle.call("peek", 0).price == 2_010 * 10**18
        assert sandbox.pools[0][0].price_wad() == pytest.approx(2_010 * 10**18, rel=1e-9)
        assert chain.balance("0x" + "77" * 20) == 10 * 10**18
        before = chain.number
        time.sleep(1.5)
        assert chain.number > before
        refused = subprocess.run(
            [*command, "--port", str(port)], cwd=ROOT, env=environment(), capture_output=True, text=True
        )
        assert "is taken" in refused.stderr
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0
    with pytest.raises(OSError, match="refused"):
        RpcChain(url)


def test_ape_runs_the_scripts_on_its_own_provider(net: Net, tmp_path: Path) -> None:
    """Slow to start, so two runs have to do: one reads, one sends what an ape account has signed."""
    bin_folders = f"{Path(sys.executable).parent}:{ROOT / 'node_modules' / '.bin'}"
    env = environment() | {
        "APE_FOUNDRY_HOST": net.chain.url,
        "APE_DATA_FOLDER": str(tmp_path / "ape"),
        "APE_ACCOUNTS_trader_PASSPHRASE": "a long passphrase",
        "PATH": f"{bin_folders}:{os.environ['PATH']}",
    }
    where = ["--network", "ethereum:local:foundry", "--manifest", str(net.path)]

    def ape(*arguments: str) -> str:
        done = subprocess.run(
            ["ape", "run", *arguments, *where], cwd=ROOT, env=env, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    key = "0x" + "42" * 32
    trader = subprocess.run(
        [sys.executable, "-c", "from ape_accounts import import_account_from_private_key as f;"
         f"print(f('trader', 'a long passphrase', '{key}').address)"],
        cwd=ROOT, env=env, capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    net.chain.set_balance(trader, 10**19)
    net.sandbox.quote.send("mint", trader, net.sandbox.units(20_000))
    assert (
        json.loads(ape("trade", "deposit", "5_000", "--account", "trader", "--yes", "--json"))["units"] == 5_000 * 10**6
    )
    assert net.sandbox.clearinghouse.call("account", trader)[0] == 5_000 * 10**18
    assert json.loads(ape("verify", "--json"))["ok"]


# ---- status


def test_status_says_what_the_contracts_say(net: Net) -> None:
    net.run("trade deposit 50_000 --unlocked 2 --yes")
    net.run("trade open ETH buy 2 --unlocked 2 --yes")
    found = net.answer("status")
    eth = found["markets"][0]
    assert (eth["name"], int(eth["long"]), int(eth["delta"])) == ("ETH", 2 * 10**18, -2 * 10**18)
    assert int(found["vault"]["valuation"]["nav"]) == net.sandbox.lens.call("vault").valuation.nav
    assert found["powers"]["governor"] == net.sandbox.governor
    assert [venue["venue_id"] for venue in found["hedges"]] == [0, 1]
    assert not found["auction"]["is_open"]
    screen = net.run("status").stdout
    for word in ("NAV", "ETH", "BTC", "half-spread", "venue 0, ETH", "rebate auction", "guardian"):
        assert word in screen


def test_status_says_what_cannot_be_told(net: Net) -> None:
    net.sandbox.warp(2 * 3_600, refresh=False)
    assert "stale" in net.run("status").stdout
