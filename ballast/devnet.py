"""A local chain to try everything on: Anvil with test tokens, feeds, Uniswap and Ballast, kept alive until Ctrl-C.

    python -m ballast.devnet                start it (make devnet does the same)
    python -m ballast.devnet move ETH 2100  feed and pools go to a price
    python -m ballast.devnet warp 1d        time passes, feeds stay fresh
    python -m ballast.devnet fund 0x…       a million test dollars and ten ether

A transaction is included at once, and a block is made every second without any. As long as the process runs feeds
repeat their price, so that marks stay fresh, surfaces are posted again before they are too old, and boards roll.
"""

from __future__ import annotations

import re
import signal
import time
from contextlib import ExitStack, suppress
from decimal import Decimal
from pathlib import Path
from threading import Event
from types import FrameType

import click
import requests
from rich.console import Console
from rich.table import Table

from ballast import boards
from ballast import config as configuration
from ballast.chain import Reverted
from ballast.chain.anvil import Anvil
from ballast.chain.rpc import RpcChain, RpcError
from ballast.cli import Failure, connect, explained
from ballast.deployment import manifest as manifests
from ballast.deployment.deploy import Deployer, Journal, journal_beside
from ballast.deployment.manifest import Manifest
from ballast.deployment.verify import Verifier
from ballast.system import Sandbox

PORT = 8_545
PULSE = 15.0  # [s] between rounds of every feed
SILENCE = 600  # [s] by which a round that is older than it should be was left so on purpose
FUNDS = 1_000_000  # test dollars for each of the node's accounts
SEED = 5_000_000  # test dollars that account 1 provides as the first LP

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def start(
    chain: RpcChain, manifest_path: Path, *, seed: int = SEED, config_name: str = "local", options: bool = True
) -> Manifest:
    """Deploy and furnish a new local chain; returns the manifest, which is saved too."""
    config = configuration.load(config_name)
    journal = journal_beside(manifest_path)
    for stale in (journal, *manifest_path.parent.glob(f"{manifest_path.stem}.keeper-*")):
        stale.unlink(missing_ok=True)  # of a chain that is gone
    manifest = Deployer(chain, config, chain.accounts[0], Journal(journal)).run()
    manifest.save(manifest_path)
    wrong = [finding for finding in Verifier(chain, manifest).run() if not finding.ok]
    if wrong:
        raise Failure(f"the deployment is not as described: {wrong[0].subject}")
    sandbox = manifest.sandbox(chain)
    if sandbox.timelock is not None:  # boards are listed as its operations would, without their delay
        chain.request("anvil_impersonateAccount", sandbox.governor)
        chain.set_balance(sandbox.governor, 10**24)
    sandbox.warp(max((venue.twap_window for market in config.markets for venue in market.venues), default=1))
    for account in chain.accounts[1:8]:
        sandbox.quote.send("mint", account, sandbox.units(FUNDS), sender=account)
    if seed:
        sandbox.deposit(chain.accounts[1], seed)
    if options:
        boards.roll(sandbox)
    return manifest


def pulse(sandbox: Sandbox) -> None:
    """A round of every feed at the price it has now, whoever moved it there."""
    for market, aggregator in enumerate(sandbox.aggregators):
        answer = aggregator.call("latestRoundData")[1]
        sandbox.bring(market, Decimal(answer).scaleb(-int(aggregator.call("decimals"))))
        aggregator.send("push_now", answer)


def live(chain: RpcChain, sandbox: Sandbox, stop: Event, block_time: float) -> None:
    """Make blocks and rounds until told to stop; who lets time pass in silence begins the next round."""
    looked = pulsed = time.time()
    while not stop.wait(block_time):
        with suppress(Reverted, RpcError, requests.RequestException):
            chain.request("evm_mine")
            if time.time() - looked >= PULSE:
                looked = time.time()
                age = chain.now - sandbox.aggregators[0].call("latestRoundData")[3]
                if age < looked - pulsed + SILENCE:
                    pulse(sandbox)
                    boards.roll(sandbox)
                    pulsed = looked


def describe(console: Console, chain: RpcChain, manifest: Manifest, path: Path) -> None:
    """Addresses, accounts, and what to try."""
    table = Table(title=f"Ballast devnet at {chain.url} (chain {chain.chain_id})", title_justify="left", box=None)
    table.add_column("contract", style="dim")
    table.add_column("address")
    for key, address in manifest.addresses.items():
        table.add_row(key, address)
    console.print(table)
    console.print(f"[dim]manifest  [/] {path}")
    console.print(
        f"[dim]accounts  [/] 0 deployer · 1 LP with {SEED:,} in the vault · 2 … 7 traders, keepers; 1 … 7 have"
    )
    console.print(
        f"           {FUNDS:,} test dollars each · 8 guardian · 9 governor or council. The node signs for all.\n"
    )
    console.print("[bold]Try, in another terminal:[/]")
    rpc = f"export BALLAST_RPC={chain.url}"
    for line in (
        rpc,
        "python -m scripts.trade markets",
        "python -m scripts.trade deposit 50_000 --unlocked 2 --yes",
        "python -m scripts.trade open ETH buy 100 --unlocked 2 --yes",
        "python -m scripts.trade positions --unlocked 2",
        "python -m scripts.trade option boards ETH",
        "python -m ballast.devnet move ETH 2100",
        "python -m scripts.trade close ETH --unlocked 2 --yes",
        "python -m scripts.lp position --unlocked 1",
        "python -m scripts.lp request 1000 --unlocked 1 --yes && python -m ballast.devnet warp 1d",
        "python -m scripts.lp process --unlocked 3 --yes && python -m scripts.lp claim --unlocked 1 --yes",
        "python -m scripts.verify",
    ):
        console.print(f"  {line}", highlight=False)
    console.print(
        "\n[dim]the same with ape:[/] ape run trade markets --network ethereum:local:foundry", highlight=False
    )
    console.print("[dim]Ctrl-C ends the chain and everything on it[/]")


@click.group(invoke_without_command=True)
@click.option("--port", default=PORT, show_default=True)
@click.option("--block-time", default=1, show_default=True, help="seconds between blocks")
@click.option(
    "--config", "config_name", default="local", show_default=True, help="networks/NAME.yaml, all of it `test`"
)
@click.option("--seed/--no-seed", default=True, help="let account 1 provide liquidity at once")
@click.pass_context
def main(context: click.Context, port: int, block_time: int, config_name: str, *, seed: bool) -> None:
    """Run a local chain with everything on it until Ctrl-C; subcommands move one that is running."""
    if context.invoked_subcommand is not None:
        return
    console = Console(soft_wrap=True)
    stop = Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    with explained():
        if _is_taken(port):
            raise Failure(f"port {port} is taken", "Another devnet? Choose another with --port.")
        with Anvil(timestamp=int(time.time()), port=port) as node:
            chain = node.chain(estimate_gas=True)
            path = manifests.path_of(configuration.load(config_name).network)
            with console.status("deploying"):
                manifest = start(chain, path, seed=SEED if seed else 0, config_name=config_name)
            chain.request("anvil_removeBlockTimestampInterval")
            signal.signal(signal.SIGINT, end)
            signal.signal(signal.SIGTERM, end)
            describe(console, chain, manifest, path)
            live(chain, manifest.sandbox(chain), stop, float(block_time))


@main.command()
@click.argument("market")
@click.argument("price")
@click.option("--rpc", default=f"http://127.0.0.1:{PORT}", envvar="BALLAST_RPC", show_default=True)
def move(market: str, price: str, rpc: str) -> None:
    """Push PRICE to the market's feed and trade its pools there."""
    with explained(), ExitStack() as stack:
        sandbox = _running(rpc, stack)
        sandbox.move(market, price)
        click.echo(f"{sandbox.market(market).name} is at {price}")


@main.command()
@click.option("--rpc", default=f"http://127.0.0.1:{PORT}", envvar="BALLAST_RPC", show_default=True)
def push(rpc: str) -> None:
    """A new round of every feed at its old price."""
    with explained(), ExitStack() as stack:
        pulse(_running(rpc, stack))
        click.echo("every feed has a fresh round")


@main.command()
@click.argument("duration")
@click.option("--silent", is_flag=True, help="no feed has a round until the next push")
@click.option("--rpc", default=f"http://127.0.0.1:{PORT}", envvar="BALLAST_RPC", show_default=True)
def warp(duration: str, silent: bool, rpc: str) -> None:
    """Let DURATION (30m, 1d, or seconds) pass at once."""
    match = re.fullmatch(r"(\d+)([smhd]?)", duration)
    if match is None:
        raise click.BadParameter("write 90, 30m, 1h or 1d", param_hint="DURATION")
    with explained(), ExitStack() as stack:
        sandbox = _running(rpc, stack)
        sandbox.chain.warp(int(match[1]) * _UNITS.get(match[2], 1))
        if silent:
            click.echo(f"{duration} later, no feed with a round since: python -m ballast.devnet push")
            return
        pulse(sandbox)
        boards.roll(sandbox)
        click.echo(f"{duration} later, every feed with a fresh round")


@main.command()
@click.argument("account")
@click.option("--rpc", default=f"http://127.0.0.1:{PORT}", envvar="BALLAST_RPC", show_default=True)
def fund(account: str, rpc: str) -> None:
    """Give ACCOUNT test dollars and ether."""
    with explained(), ExitStack() as stack:
        sandbox = _running(rpc, stack)
        sandbox.quote.send("mint", account, sandbox.units(FUNDS))
        sandbox.chain.set_balance(account, 10 * 10**18)
        click.echo(f"{account} has {FUNDS:,} test dollars more, and ten ether")


def _running(rpc: str, stack: ExitStack) -> Sandbox:
    chain = connect(None, rpc, stack)
    return manifests.find(chain).sandbox(chain)


def _is_taken(port: int) -> bool:
    try:
        RpcChain(f"http://127.0.0.1:{port}").close()
    except requests.ConnectionError:
        return False
    except (RpcError, requests.RequestException, ValueError):
        pass
    return True


if __name__ == "__main__":
    main()
