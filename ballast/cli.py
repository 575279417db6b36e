"""What the scripts share: where to connect, who signs, how to print, and errors that say what to do next.

A script imports from here at its top level and makes its commands with `@connected`. Nothing here, and nothing at the
top level of a script, has side effects: `ape run` executes every script to learn what commands there are.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import ROUND_DOWN, Decimal, InvalidOperation
from pathlib import Path
from typing import Any, TypeVar

import click
import requests
from eth_account import Account
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ballast.chain import Contract, EncodingError, Receipt, Reverted, address_of
from ballast.chain.rpc import NotIncluded, RpcChain, RpcError
from ballast.config import ConfigError
from ballast.deployment import manifest as manifests
from ballast.deployment.deploy import DeployError
from ballast.deployment.manifest import Manifest, ManifestError
from ballast.proposals import ProposalError
from ballast.system import System

WAD = 10**18
YEAR = 365 * 86_400
PASSPHRASE = "BALLAST_PASSPHRASE"  # variable that holds the passphrase of key files

HINTS = {
    "governor: below threshold": "Lock more shares (gov lock), or find delegators; they count from the next block on.",
    "governor: signature": "It is of another vote, voter, deployment or chain: gov ballot makes one.",
    "governor: not active": "Voting has not begun, or is over: gov status shows when.",
    "governor: no votes": "Shares count if they were locked before the proposal was made: gov lock.",
    "governor: has voted": "A ballot counts once and cannot be changed.",
    "governor: not succeeded": "It did not pass, is still voted on, or is queued already: gov status.",
    "governor: not locked": "Fewer shares than that are locked: gov status shows how many.",
    "governor: too early": "Unlocked shares wait for the lock period: gov status shows until when.",
    "governor: nothing unlocked": "gov unlock comes first.",
    "governor: nothing pending": "The timelock has no such operation waiting: gov status lists them.",
    "governor: no veto on this": "The guardian may only stop proposals that do nothing but undo tightenings.",
    "governor: vetoed once": "The same calls stand when they are proposed again.",
    "timelock_controller: operation is not ready": "It still waits, was cancelled or is done: gov status.",
    "steward: not the key": "Only the steward's key adjusts, or whoever has its signature (steward sign, relay).",
    "steward: frozen": "The guardian has frozen the steward; a vote thaws it.",
    "steward: too far": "More than the lever allows since its last move: steward show says how far.",
    "steward: too soon": "The lever's cooldown is not over: steward show says how long.",
    "steward: not a lever": "A parameter that the steward may not move changes, too: steward show lists the levers.",
    "steward: outside the band": "steward show says between what.",
    "steward: loosens": "The guardian only tightens: steward show says which way that is.",
    "steward: signature expired": "Its deadline is over: sign anew.",
    "oracle: stale price": "The feed has no fresh round. Wait for one; a close can wait by itself: trade queue request."
    " On a devnet: python -m ballast.devnet push",
    "vault: stale mark": "A feed has no fresh round, or a board of options waits for a refresh or for settlement.",
    "margin: below initial": "Equity would fall below the initial margin. Add margin (trade deposit) or do less.",
    "margin: below maintenance": "This is a hedge of what would be left. Close that first or with it, or add margin.",
    "perps: limit price": "The price is beyond your limit by now. Quote again, or allow more with --slippage.",
    "perps: expired": "The transaction was included after its deadline. Send it again.",
    "perps: paused": "This market takes only closing trades for now.",
    "oracle: price too uncertain": "Too uncertain for new risk (its sources disagree); closing is accepted.",
    "perps: not listed": "No such market: trade markets lists them.",
    "perps: base cap": "Open interest on this side is at its cap. Trade less, or the other way.",
    "perps: quote cap": "Open interest on this side is at its cap. Trade less, or the other way.",
    "perps: below minimum size": "The position would be smaller than the market's minimum (trade markets).",
    "inventory: utilization": "The vault has no capital left for this risk. Trade less, or the other way.",
    "vault: deposits paused": "The guardian has paused deposits. Requests and claims go on.",
    "vault: deposit cap": "The vault is full. Deposit less: lp position shows the room.",
    "vault: too few shares": "The price has moved since the preview. Try again, or allow more with --slippage.",
    "vault: epoch not over": "The epoch is still running: lp position shows when it ends.",
    "vault: price older than epoch": "A feed has no round since the epoch's end. Wait for one, then process again.",
    "vault: more than claimable": "Less than that is claimable: lp position shows how much.",
    "vault: insolvent": "The vault owes more than it has; it takes no deposits.",
    "clearing: insufficient cash": "Unrealised profit cannot be withdrawn: close first, or withdraw less.",
    "clearing: not operator": "Only the account itself, or its operator, may withdraw.",
    "hedge: costs more than it saves": "The hedge would cost more than phi times the risk it removes. Smaller may do.",
    "hedge: venue off the oracle": "The venue's price is too far from the oracle's. Wait until it has been arbitraged.",
    "hedge: cooling down": "The venue traded a moment ago. Wait for its cool-down.",
    "surface: not listed": "The market has no options.",
    "surface: not newer": "An update of this or a later time is there already: surface show.",
    "surface: from the future": "It is dated ahead of the chain's clock. Make a new one; --today re-dates it.",
    "surface: observed too long ago": "Updates are posted within 10 minutes. Make a new one; --today re-dates it.",
    "surface: vol drift": "A volatility moved further than updates may. Wait: the bound grows with time.",
    "surface: rho drift": "rho moved further than updates may. Wait: the bound grows with time.",
    "surface: eta drift": "eta moved further than updates may. Wait: the bound grows with time.",
    "surface: rate drift": "A rate moved further than updates may. Wait: the bound grows with time.",
    "surface: expiry missing": "An update names every live expiry of the last one: surface show lists them.",
    "surface: calendar": "Total variance must rise with expiry: this surface could be arbitraged.",
    "surface: butterfly": "eta (1 + |rho|) is above 2: this surface could be arbitraged.",
    "options: not listed": "The market has no options, or not this one: trade option boards lists them.",
    "options: limit": "The price is beyond your limit by now. Quote again, or allow more with --slippage.",
    "options: deadline passed": "The transaction was included after its deadline. Send it again.",
    "options: stale surface": "The surface is too old to open on; positions can shrink. Feeders do: surface post.",
    "options: refresh first": "The board is due: trade option refresh renews it, and is paid.",
    "options: not due": "The board needs no refresh: quote and trade as it is.",
    "options: paused": "Options of this market take only closing trades for now.",
    "options: board is closing": "This board takes only closing trades. Choose another: trade option boards.",
    "options: too close to expiry": "So close to its end a board takes only closing trades. Choose a later one.",
    "options: below minimum size": "An order, and what it leaves, is at least the market's minimum. Trade more.",
    "options: series cap": "Accounts hold as much of this option as is allowed. Trade less, or another strike.",
    "options: expiry cap": "Open interest of this board is at its cap. Trade less, or another day.",
    "options: market cap": "Open interest of this market's options is at its cap. Trade less, or close.",
    "options: too many legs": "An account holds at most 16 different options. Close one: trade option positions.",
    "options: expired": "The board is over. What is owed: trade option settle.",
    "options: not expired": "The board is not over. trade option close closes positions before.",
    "options: already settled": "The price is fixed: trade option settle pays accounts out.",
    "options: not settled": "The price is not fixed yet: trade option settle does that first.",
    "margin: settle first": "An option that was sold is over but not settled: trade option settle.",
    "oracle: no round after": "The feed has no round after that time yet. Wait for one.",
    "clearing: in progress": "The system was ended, or is inside an operation: trade settlement show, or try again.",
    "clearing: frozen": "The system was ended: trade settlement show says how far it is and what is due.",
    "clearing: positions left": "They are not valued yet: trade settlement crystallise.",
    "clearing: not final": "Accounts are still valued: trade settlement show says what is left.",
    "liquidation: account is healthy": "Its equity is at or above the maintenance margin.",
    "liquidation: requirement would not fall": "It hedges something else, which has to go first.",
    "queue: price is fresh: trade": "It can be traded now: trade close, or trade option close.",
    "queue: a round has come": "The close can be carried out now: trade queue execute.",
    "queue: no new round": "There is no new price since the request. Wait for one.",
    "queue: no request": "trade queue show lists what there is; options have a request of their own: --options.",
    "settlement: vault is solvent": "The vault has what it owes, and every market had a price within a day.",
    "settlement: stale price": "What the vault is worth is not known: wait for a price, or until it is out for a day.",
    "settlement: refresh boards first": "Boards of options are due: trade option refresh, or settle.",
    "settlement: triggered": "It was before: trade settlement show.",
    "settlement: not triggered": "Nothing has ended: trade settlement show.",
    "settlement: accounts left": "keeper --once values those it knows; one by one: trade settlement crystallise.",
    "settlement: recall hedges first": "Cash is at venues: keeper --once sells hedges back. After a week it goes on.",
    "settlement: final": "It was before: trade settlement claim, lp redeem.",
    "settlement: not final": "Accounts are still valued: trade settlement show says what is left.",
}

Function = TypeVar("Function", bound=Callable[..., Any])


class Failure(click.ClickException):
    """Printed as one red line and a hint; exit code 1."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def show(self, file: Any = None) -> None:
        console = Console(stderr=True, soft_wrap=True, highlight=False)
        console.print(f"[bold red]Error:[/] {escape(self.message)}")
        if self.hint:
            console.print(f"[dim]{escape(self.hint)}[/]")


@dataclass(slots=True)
class Session:
    """One command's connection, sender and taste in output."""

    chain: RpcChain
    json: bool
    yes: bool
    sender: str | None
    manifest_path: Path | None
    console: Console
    _manifest: Manifest | None = field(default=None)
    _system: System | None = field(default=None)
    _symbol: str = field(default="")

    @property
    def manifest(self) -> Manifest:
        """The manifest named, or the only one of this chain."""
        if self._manifest is None:
            self._manifest = manifests.load(self.manifest_path) if self.manifest_path else manifests.find(self.chain)
            if self._manifest.chain_id != self.chain.chain_id:
                raise Failure(
                    f"the manifest is of chain {self._manifest.chain_id}, this node is on {self.chain.chain_id}",
                    "Name another --manifest or another --network.",
                )
        return self._manifest

    @property
    def system(self) -> System:
        """Handles of every contract."""
        if self._system is None:
            self._system = self.manifest.system(self.chain)
            if not self.chain.code(self._system.vault.address):
                raise Failure(
                    f"there is no vault at {self._system.vault.address} on this chain",
                    "The node was restarted or the manifest is of another chain: deploy again, or name a --manifest.",
                )
        return self._system

    @property
    def me(self) -> str:
        """Who sends; fails when nobody was named."""
        if self.sender is None:
            raise Failure("nobody to send as", "Name an ape account with --account, or a node's own with --unlocked.")
        return self.sender

    def account(self, given: str | None) -> str:
        """An address from the command line, else the sender."""
        if given is None:
            return self.me
        try:
            return address_of(given)
        except (EncodingError, ValueError):
            raise Failure(f"{given!r} is not an address") from None

    # ---- acting

    def confirm(self, question: str) -> None:
        """Ask unless --yes; the answer no ends the command."""
        if self.yes:
            return
        if self.json or not sys.stdin.isatty():
            raise Failure("this would send a transaction and cannot ask", "Add --yes.")
        click.confirm(question, abort=True)

    def send(self, contract: Contract, fn: str, *args: Any) -> Receipt:
        """Transact as the sender and wait."""
        return contract.send(fn, *args, sender=self.me)

    def allow(self, token: Contract, spender: Contract, units: int) -> None:
        """Let `spender` take exactly `units`, unless it may already."""
        if token.call("allowance", self.me, spender) < units:
            self.note(f"approving {spender.artifact.name} to take {self.amount(units)}")
            self.send(token, "approve", spender, units)

    def need_balance(self, units: int) -> None:
        """Fail early, with the figures, when the sender has too few quote tokens."""
        held = int(self.system.quote.call("balanceOf", self.me))
        if held < units:
            raise Failure(
                f"{self.me} has {self.amount(held)}, not {self.amount(units)}",
                "On a devnet: python -m ballast.devnet fund " + self.me
                if self.manifest.parsed_config().quote.test
                else "",
            )

    # ---- amounts

    def units(self, text: str, what: str = "amount") -> int:
        """A positive amount of quote tokens as token units."""
        try:
            return self.system.units(positive(text, what))
        except ValueError as error:
            raise Failure(f"{what} {text}: {error}") from None

    def amount(self, units: int) -> str:
        """Token units as people write them."""
        return f"{units / Decimal(10**self.system.decimals):,f} {self.symbol}"

    @property
    def symbol(self) -> str:
        """Of the quote token."""
        if not self._symbol:
            self._symbol = str(self.system.quote.call("symbol"))
        return self._symbol

    # ---- printing

    def note(self, text: str) -> None:
        """A remark for people; silent with --json."""
        if not self.json:
            self.console.print(f"[dim]{as_text(text)}[/]")

    def show(self, title: str, rows: Sequence[tuple[str, object]], document: Any) -> None:
        """Name and value per line, or `document` with --json."""
        if self.json:
            click.echo(json.dumps(document, indent=2, default=str))
            return
        table = Table(
            title=title, title_justify="left", title_style="bold", show_header=False, box=None, pad_edge=False
        )
        table.add_column(style="dim")
        table.add_column(justify="right", overflow="fold")
        for name, value in rows:
            table.add_row(name, as_text(str(value)))
        self.console.print(table)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], document: Any) -> None:
        """A table with a header, first column to the left, or `document` with --json."""
        if self.json:
            click.echo(json.dumps(document, indent=2, default=str))
            return
        table = Table(title=title, title_justify="left", title_style="bold")
        for number, column in enumerate(columns):
            table.add_column(column, justify="right" if number else "left", no_wrap=number == 0)
        for row in rows:
            table.add_row(*row)
        self.console.print(table)


def as_text(text: str) -> str:
    """What somebody else may have written, with nothing in it that moves the cursor, colours or hides."""
    shown = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return escape("".join(shown))


def connected(function: Function) -> Function:
    """Give a command the options of connection, sender and output, and a Session as its first argument."""

    @click.option(
        "--network", metavar="CHOICE", help="ape network, e.g. ethereum:local:foundry or ethereum:sepolia:node"
    )
    @click.option(
        "--rpc", metavar="URL", envvar="BALLAST_RPC", show_envvar=True, help="a node's URL instead of --network"
    )
    @click.option(
        "--manifest", "manifest_path", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
        help="deployment to talk to  [default: the one in deployments/ on this chain]",
    )  # fmt: skip
    @click.option("--account", metavar="ALIAS", help="ape account that signs (ape accounts list)")
    @click.option("--unlocked", metavar="ADDRESS", help="account that the node signs for: an address, or its number")
    @click.option("--json", "as_json", is_flag=True, help="print JSON")
    @click.option("--yes", is_flag=True, help="send without asking")
    @functools.wraps(function)
    def command(
        network: str | None,
        rpc: str | None,
        manifest_path: Path | None,
        account: str | None,
        unlocked: str | None,
        as_json: bool,
        yes: bool,
        **arguments: Any,
    ) -> Any:
        with explained(), ExitStack() as stack:
            chain = connect(network, rpc, stack)
            sender = sign_as(chain, account, unlocked, yes)
            session = Session(chain, as_json, yes, sender, manifest_path, Console(soft_wrap=True, highlight=False))
            return function(session, **arguments)

    return command  # type: ignore[return-value]  # click reads the options, the caller calls nothing


def connect(network: str | None, rpc: str | None, stack: ExitStack) -> RpcChain:
    """A node by URL, or by ape's choice of ecosystem, network and provider."""
    if network is not None:
        import ape  # half a second: only for those who ask for it

        provider = stack.enter_context(ape.networks.parse_network_choice(network))
        rpc = str(getattr(provider, "http_uri", None) or getattr(provider, "uri", ""))
        if not rpc:
            raise Failure(f"{network} has no HTTP endpoint", "Use a node or foundry provider, or --rpc URL.")
    if rpc is None:
        raise Failure("which chain?", "Add --network ethereum:local:foundry, or --rpc http://127.0.0.1:8545")
    chain = RpcChain(rpc)
    stack.callback(chain.close)
    return chain


def sign_as(chain: RpcChain, account: str | None, unlocked: str | None, yes: bool) -> str | None:
    """The sender: an ape account, an account the node signs for, or nobody."""
    if account is not None and unlocked is not None:
        raise Failure("--account and --unlocked at once", "Only one can send.")
    if unlocked is not None:
        if unlocked.isdigit():
            if int(unlocked) >= len(chain.accounts):
                raise Failure(f"the node signs for {len(chain.accounts)} accounts, there is no number {unlocked}")
            return chain.accounts[int(unlocked)]
        try:
            return address_of(unlocked)
        except (EncodingError, ValueError):
            raise Failure(f"{unlocked!r} is neither an address nor a number") from None
    if account is None:
        return None
    import ape

    if account not in ape.accounts.aliases:
        known = ", ".join(ape.accounts.aliases) or "none yet: ape accounts import NAME"
        raise Failure(f"ape has no account {account!r}", f"It has: {known}")
    keeper = ape.accounts.load(account)
    if yes and f"APE_ACCOUNTS_{account}_PASSPHRASE" in os.environ:
        ape.logging.logger.set_level("ERROR")  # it warns of every signature, on standard output
        keeper.set_autosign(True)
    return chain.add_signer(keeper.address, ApeSigner(keeper))


def private_keys(variables: Sequence[str], keystores: Sequence[Path]) -> list[str]:
    """What the named environment variables and encrypted key files hold, for messages that are signed beside a
    transaction; Failure when none is named, or one holds no key."""
    if not variables and not keystores:
        raise Failure(
            "nobody to sign as", "Name a variable that holds a key with --key, or a key file with --keystore."
        )
    keys = []
    for variable in variables:
        key = os.environ.get(variable)
        if key is None:
            raise Failure(f"the environment has no {variable}", "--key names a variable, not the key itself.")
        try:
            keys.append(Account.from_key(key).key.hex())
        except ValueError:
            raise Failure(f"{variable} is no private key", "32 bytes in hex.") from None
    for path in keystores:
        passphrase = os.environ.get(PASSPHRASE)
        if passphrase is None:
            passphrase = click.prompt(f"passphrase of {path}", hide_input=True, err=True)
        try:
            keys.append(Account.decrypt(path.read_text(), passphrase).hex())
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Failure(f"{path}: {error}", "Is it a key file, and the passphrase right?") from None
    return keys


class ApeSigner:
    """Lets an ape account sign for RpcChain."""

    def __init__(self, account: Any) -> None:
        self._account = account

    def sign_transaction(self, fields: dict[str, Any]) -> Any:
        """The signed transaction; Failure when the owner declines."""
        import ape

        names = {"gas": "gasLimit", "to": "to", "data": "data"}
        transaction = ape.networks.ethereum.create_transaction(
            **{names.get(name, name): value for name, value in fields.items() if value != ""}
        )
        signed = self._account.sign_transaction(transaction)
        if signed is None:
            raise Failure("not signed")
        return _Raw(bytes(signed.serialize_transaction()))

    def sign_message(self, message: Any) -> Any:
        """The signature; Failure when the owner declines."""
        signed = self._account.sign_message(message)
        if signed is None:
            raise Failure("not signed")
        return _Signed(bytes(signed.encode_rsv()))


@dataclass(frozen=True, slots=True)
class _Raw:
    raw_transaction: bytes


@dataclass(frozen=True, slots=True)
class _Signed:
    signature: bytes


@contextmanager
def explained() -> Iterator[None]:
    """Turn what can go wrong into one line and what to do about it."""
    try:
        yield
    except Reverted as error:
        reason = error.reason or "the transaction reverted without a reason"
        raise Failure(reason, HINTS.get(error.reason, "")) from error
    except NotIncluded as error:
        raise Failure(
            f"{error.tx_hash} has found no place in a block yet", "It still may. Look before repeating."
        ) from error
    except RpcError as error:
        raise Failure(str(error), _rpc_hint(error)) from error
    except requests.ConnectionError as error:
        url = getattr(error.request, "url", "the node")
        raise Failure(f"no answer from {url}", "Is the node running? make devnet starts one.") from error
    except (ManifestError, ConfigError, DeployError, ProposalError, LookupError) as error:
        raise Failure(str(error)) from error


def _rpc_hint(error: RpcError) -> str:
    message = error.message.lower()
    if "insufficient funds" in message:
        return "The sender has too little ETH for gas."
    if "no signer available" in message or "unknown account" in message:
        return "The node does not sign for this account: use --account."
    return ""


# ---- figures


def positive(text: str, what: str = "amount") -> Decimal:
    """A number above zero; thousands may be set apart with _ or , as in 1_000."""
    try:
        number = Decimal(text.replace("_", "").replace(",", ""))
    except InvalidOperation:
        raise Failure(f"{what} {text!r} is not a number") from None
    if not number.is_finite() or number <= 0:
        raise Failure(f"{what} {text} is not above zero")
    return number


def percent(text: str) -> Decimal:
    """0.5% or 0.005 as a fraction of one, below one."""
    fraction = Decimal(text.rstrip("%")) / 100 if text.endswith("%") else Decimal(text)
    if not 0 <= fraction < 1:
        raise Failure(f"{text} is not a fraction below one: write 0.5% or 0.005")
    return fraction


def figure(wad: int, digits: int = 2, *, sign: bool = False) -> str:
    """A WAD number with thousands separators, cut (not rounded) to `digits`."""
    value = (Decimal(wad) / WAD).quantize(Decimal(1).scaleb(-digits), rounding=ROUND_DOWN)
    return f"{value:+,f}" if sign else f"{value:,f}"


def size(wad: int, *, sign: bool = False) -> str:
    """A WAD number with as many digits as it has, at least none."""
    value = (Decimal(wad) / WAD).normalize()
    return f"{value:+,f}" if sign else f"{value:,f}"


def rate(wad: int, *, sign: bool = False) -> str:
    """A WAD fraction as a percentage."""
    value = (Decimal(wad) * 100 / WAD).quantize(Decimal("0.0001"), rounding=ROUND_DOWN)
    return f"{value:+,f} %" if sign else f"{value:,f} %"


def basis_points(part: int, whole: int) -> str:
    """`part` in basis points of `whole`."""
    return f"{Decimal(part) * 10_000 / whole:,.2f} bp" if whole else "–"


def span(seconds: int) -> str:
    """A duration in its two largest units."""
    if seconds <= 0:
        return "now"
    parts = [(seconds // 86_400, "d"), (seconds // 3_600 % 24, "h"), (seconds // 60 % 60, "m"), (seconds % 60, "s")]
    while parts[0][0] == 0:
        parts.pop(0)
    return " ".join(f"{count} {unit}" for count, unit in parts[:2] if count)


def when(timestamp: int, now: int) -> str:
    """A moment and how far away it is."""
    moment = datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"{moment} ({'in ' + span(timestamp - now) if timestamp > now else 'over'})"


def as_json(value: Any) -> Any:
    """A struct of the chain as a dict, integers as strings where JavaScript would round them."""
    if hasattr(value, "_asdict"):
        return {name: as_json(part) for name, part in value._asdict().items()}
    if isinstance(value, list | tuple):
        return [as_json(part) for part in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**53:
        return str(value)
    return value
