"""`ballast`: one command for everybody; what `ape run NAME` and `python -m scripts.NAME` do, under one roof."""

from __future__ import annotations

import importlib

import click

COMMANDS = {
    "lp": "provide liquidity: deposit, request, claim, redeem",
    "trade": "perpetuals and options: quote, open, close, margin, queue, settlement",
    "gov": "lock shares, propose, vote, queue, execute",
    "steward": "parameters that move a little per day: show, adjust, sign, relay, tighten",
    "keeper": "hedge, liquidate, settle: run a keeper",
    "deploy": "put a system on a chain, or go on where that ended",
    "rehearse": "deploy on a private node through faults, killed again and again",
    "extend": "add markets and venues to a deployment",
    "publish": "sources for a block explorer",
    "guard": "pause, freeze, revoke: calls made at once with one's own role",
    "verify": "compare a deployment with its description, as a stranger would",
    "status": "the whole system on one screen",
    "surface": "for feeders: fit, sign and post volatility surfaces",
}


class Scripts(click.Group):
    """The commands of scripts/, each imported when it is asked for: `ballast --help` is quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"scripts.{cmd_name}").cli
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=Scripts, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """A liquidity vault for perpetuals and options.

    A network is named by --network (as ape does) or --rpc; who signs by --account (an ape account) or --unlocked (the
    node signs). Every command that sends says what it would send and asks; --yes does not ask, --json prints JSON.

    \b
      ballast status --rpc http://127.0.0.1:8545
      ballast trade open ETH buy 1 --network ethereum:sepolia:node --account trader
      ballast lp deposit 1_000 --network ethereum:sepolia:node --account provider --json --yes
    """


if __name__ == "__main__":
    main()
