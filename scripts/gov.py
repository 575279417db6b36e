"""For those who govern: lock shares, propose, vote, object; queue and execute what has passed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ballast.chain import Contract
from ballast.cli import WAD, Failure, Session, as_json, connected, figure, positive, size, span, when
from ballast.model.exact.governor import DONE, MAX_CALLS, Call, State
from ballast.proposals import Drafts, Operation, Proposed, ballot, history, read

SUPPORT = {"against": 0, "for": 1, "abstain": 2}
MAX_DATA, MAX_DESCRIPTION = 1_024, 1_000  # [bytes] of a call, of a proposal


@click.group()
def cli() -> None:
    """Govern the vault with its shares.

    Locked shares vote on what is proposed after. What passes waits at the timelock, in public, and is then executed by
    anybody. Unlocked shares come back after the lock period.

    \b
      ape run gov status --network ethereum:local:foundry
      ape run gov lock 1_000 --account provider --network ethereum:sepolia:node
      ape run gov propose --set inventory.aversion=9 --account provider --network ethereum:sepolia:node
      ape run gov vote 0 for --account provider --network ethereum:sepolia:node
    """


@cli.command()
@click.argument("which", metavar="[PROPOSAL]", required=False, type=int)
@connected
def status(session: Session, which: int | None) -> None:
    """Shares, proposals and what waits at the timelock; of one PROPOSAL, everything.

    \b
      ape run gov status --network ethereum:local:foundry --unlocked 1
      ape run gov status 0 --rpc http://127.0.0.1:8545 --json
    """
    governor, timelock = _contracts(session)
    proposals, operations = _history(session)
    if which is not None:
        _show_proposal(session, which, proposals, operations)
        return
    now, params = session.chain.now, governor.call("params")
    numbers = {identity: number for number in proposals if (identity := governor.call("proposal", number).operation)}
    pending = [identity for identity in operations if timelock.call("get_timestamp", identity) > DONE]
    drafts = Drafts(session.system)
    rows: list[tuple[str, object]] = [
        ("shares locked", f"{figure(governor.call('total_locked'), 4)} of {_supply(session)}"),
        ("proposing takes", f"{params.threshold_bps / 100:g} % of the supply"),
        ("quorum", f"{params.quorum_bps / 100:g} % of the supply"),
        ("voting", f"begins after {span(params.voting_delay)}, lasts {span(params.voting_period)}"),
        ("then waits for", span(timelock.call("get_minimum_delay"))),
        ("unlocking takes", span(params.lock_period)),
        ("guardian", governor.call("guardian")),
    ]
    document: dict[str, Any] = {"now": now, "params": as_json(params), "proposals": [], "operations": []}
    if session.sender is not None:
        mine, rest = _shares(session, governor, session.me)
        document |= {"account": session.me, "shares": as_json(mine)}
        rows += [("", ""), *rest]
    for number, proposed in proposals.items():
        state = State(governor.call("state", number))
        rows += [("", ""), (f"proposal {number}", state.name), *_lines(drafts, proposed.calls)]
        document["proposals"].append({"id": number, "state": state.name, "description": proposed.description})
    for identity in pending:
        ready_at = timelock.call("get_timestamp", identity)
        source = f"proposal {numbers[identity]}" if identity in numbers else "not from a vote"
        rows += [("", ""), (f"0x{identity.hex()}", source), ("executable", when(ready_at, now))]
        rows += _lines(drafts, operations[identity].calls)
        document["operations"].append(
            {"id": f"0x{identity.hex()}", "proposal": numbers.get(identity), "ready_at": ready_at}
            | {"calls": _words(drafts, operations[identity].calls)}
        )
    session.show("Governance", rows, document)


@cli.command()
@click.argument("shares")
@connected
def lock(session: Session, shares: str) -> None:
    """Lock SHARES, or `all`: they vote on what is proposed from the next block on.

    \b
      ape run gov lock all --network ethereum:local:foundry --unlocked 1
      ape run gov lock 1_000 --account provider --network ethereum:sepolia:node
    """
    governor, _ = _contracts(session)
    vault = session.system.vault
    amount = _amount(session, shares, int(vault.call("balanceOf", session.me)), "has")
    period = span(governor.call("params").lock_period)
    session.confirm(f"Lock {size(amount)} shares? They come back {period} after they are unlocked.")
    if vault.call("allowance", session.me, governor) < amount:
        session.send(vault, "approve", governor, amount)
    receipt = session.send(governor, "lock", amount)
    _sent(session, "Locked", receipt, shares=str(receipt.one("Locked", governor).shares))


@cli.command()
@click.argument("shares")
@connected
def unlock(session: Session, shares: str) -> None:
    """Take the votes of SHARES, or of `all`, away; `withdraw` fetches them after the lock period.

    \b
      ape run gov unlock all --network ethereum:local:foundry --unlocked 1
      ape run gov unlock 1_000 --account provider --network ethereum:sepolia:node
    """
    governor, _ = _contracts(session)
    amount = _amount(session, shares, int(governor.call("locked", session.me)), "has locked")
    period = span(governor.call("params").lock_period)
    session.confirm(f"Unlock {size(amount)} shares? What you are unlocking already waits for {period} anew too.")
    receipt = session.send(governor, "unlock", amount)
    done = receipt.one("Unlocked", governor)
    _sent(session, "Unlocked", receipt, shares=str(done.shares), ready_at=done.ready_at)


@cli.command()
@connected
def withdraw(session: Session) -> None:
    """Fetch the shares that were unlocked.

    \b
      ape run gov withdraw --account provider --network ethereum:sepolia:node
    """
    governor, _ = _contracts(session)
    session.confirm(f"Withdraw {size(governor.call('unlocking', session.me).shares)} shares?")
    receipt = session.send(governor, "withdraw")
    _sent(session, "Withdrawn", receipt, shares=str(receipt.one("Withdrawn", governor).shares))


@cli.command()
@click.argument("to")
@connected
def delegate(session: Session, to: str) -> None:
    """Let the address TO vote with your locked shares; `self` takes that back.

    \b
      ape run gov delegate self --network ethereum:local:foundry --unlocked 1
      ape run gov delegate 0x3C44…93BC --account provider --network ethereum:sepolia:node
    """
    governor, _ = _contracts(session)
    delegate_to = session.me if to == "self" else session.account(to)
    session.confirm(f"Let {delegate_to} vote with the shares of {session.me}?")
    receipt = session.send(governor, "delegate", delegate_to)
    _sent(session, "Delegated", receipt, delegate=delegate_to)


def _call_options(function: Any) -> Any:
    for option in (
        click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="e.g. ETH.spreads.z=3"),
        click.option("--call", "functions", multiple=True, metavar="CALL", help="e.g. 'vault.unpause_deposits()'"),
        click.option(
            "--file", "path", type=click.Path(path_type=Path, dir_okay=False), help="YAML: description, set, call"
        ),
    ):  # fmt: skip
        function = option(function)
    return function


@cli.command()
@_call_options
@click.option("--description", default="", help="why, for those who vote")
@connected
def propose(
    session: Session, settings: Sequence[str], functions: Sequence[str], path: Path | None, description: str
) -> None:
    """Put calls to the vote: parameters by name, functions, or a file of both.

    Without a market, `spreads.z=3` means every market. What a setter takes beside what is set stays as it is now.

    \b
      ape run gov propose --set inventory.aversion=9 --network ethereum:local:foundry --unlocked 1
      ape run gov propose --call 'perp_engine.unpause(0)' --account provider --network ethereum:sepolia:node
      ape run gov propose --file wider.yaml --account provider --network ethereum:sepolia:node
    """
    governor, _ = _contracts(session)
    calls, written = _calls(session, settings, functions, path)
    why = description or written
    if len(why.encode()) > MAX_DESCRIPTION:
        raise Failure(f"the description has {len(why.encode()):,} bytes, more than {MAX_DESCRIPTION:,}", "Link to it.")
    _show_calls(session, calls)
    session.confirm(f"Put {len(calls)} calls to the vote?")
    receipt = session.send(governor, "propose", calls, why)
    done = receipt.one("Proposed", governor)
    _sent(session, f"Proposal {done.proposal_id}", receipt, id=done.proposal_id, start=done.start, end=done.end)


@cli.command()
@click.argument("proposal", type=int)
@click.argument("support", type=click.Choice(list(SUPPORT)))
@connected
def vote(session: Session, proposal: int, support: str) -> None:
    """Vote on PROPOSAL, once.

    \b
      ape run gov vote 0 for --network ethereum:local:foundry --unlocked 1
      ape run gov vote 0 against --account provider --network ethereum:sepolia:node
    """
    governor, _ = _contracts(session)
    proposed = _proposed(session, proposal)
    _show_calls(session, proposed.calls)
    session.confirm(f"Vote {support} proposal {proposal}? A ballot cannot be changed.")
    receipt = session.send(governor, "cast_vote", proposal, SUPPORT[support])
    _sent(session, "Voted", receipt, id=proposal, votes=str(receipt.one("VoteCast", governor).votes))


@cli.command(name="ballot")
@click.argument("proposal", type=int)
@click.argument("support", type=click.Choice(list(SUPPORT)))
@connected
def sign_ballot(session: Session, proposal: int, support: str) -> None:
    """Sign a vote on PROPOSAL and print it, for somebody else to hand in with `cast`. Costs no gas.

    \b
      ape run gov ballot 0 for --network ethereum:local:foundry --unlocked 1
      ape run gov ballot 0 for --account provider --network ethereum:sepolia:node
    """
    governor, _ = _contracts(session)
    _show_calls(session, _proposed(session, proposal).calls)
    document = ballot(governor, session.chain.chain_id, proposal, SUPPORT[support], session.me)
    signature = "0x" + session.chain.sign_typed(session.me, document).hex()
    rows = [("voter", session.me), ("signature", signature)]
    session.show(
        f"Vote {support} proposal {proposal}", rows,
        {"id": proposal, "support": support, "voter": session.me, "signature": signature},
    )  # fmt: skip


@cli.command()
@click.argument("proposal", type=int)
@click.argument("support", type=click.Choice(list(SUPPORT)))
@click.argument("voter")
@click.argument("signature")
@connected
def cast(session: Session, proposal: int, support: str, voter: str, signature: str) -> None:
    """Hand in the vote on PROPOSAL that VOTER has signed.

    \b
      ape run gov cast 0 for 0x3C44…93BC 0x5be1…1b --account keeper1 --network ethereum:sepolia:node
    """
    governor, _ = _contracts(session)
    try:
        signed = bytes.fromhex(signature.removeprefix("0x"))
    except ValueError:
        raise Failure(f"{signature!r} is no signature", "gov ballot prints one.") from None
    whose = session.account(voter)
    session.confirm(f"Hand in the vote {support} proposal {proposal} of {whose}?")
    receipt = session.send(governor, "cast_vote_by_sig", proposal, SUPPORT[support], whose, signed)
    _sent(session, "Voted", receipt, id=proposal, votes=str(receipt.one("VoteCast", governor).votes))


@cli.command()
@click.argument("proposal", type=int)
@connected
def queue(session: Session, proposal: int) -> None:
    """Schedule a PROPOSAL that has passed at the timelock. Anybody may.

    \b
      ape run gov queue 0 --network ethereum:local:foundry --unlocked 3
    """
    governor, _ = _contracts(session)
    proposed = _proposed(session, proposal)
    _show_calls(session, proposed.calls)
    session.confirm(f"Queue proposal {proposal}?")
    receipt = session.send(governor, "queue", proposal, proposed.calls)
    done = receipt.one("Queued", governor)
    _sent(session, "Queued", receipt, id=proposal, operation=f"0x{done.operation.hex()}", ready_at=done.ready_at)


@cli.command()
@click.argument("which", metavar="PROPOSAL|OPERATION")
@connected
def execute(session: Session, which: str) -> None:
    """Carry out what has waited long enough: a queued PROPOSAL, or an OPERATION of the council. Anybody may.

    \b
      ape run gov execute 0 --network ethereum:local:foundry --unlocked 3
      ape run gov execute 0x5be1…07aa --account keeper1 --network ethereum:sepolia:node
    """
    _, timelock = _contracts(session)
    identity, operation = _operation(session, which)
    _show_calls(session, operation.calls)
    session.confirm(f"Execute {len(operation.calls)} calls?")
    fn, arguments = operation.execution()
    receipt = session.send(timelock, fn, *arguments)
    _sent(session, "Executed", receipt, operation=f"0x{identity.hex()}")


@cli.command(name="object")
@click.argument("which", metavar="PROPOSAL|OPERATION")
@connected
def object_to(session: Session, which: str) -> None:
    """Count your locked shares against what waits at the timelock: a queued PROPOSAL, or an OPERATION of the council.

    It is cancelled when objections reach the quorum and outnumber the votes it was passed with.

    \b
      ape run gov object 0x5be1…07aa --account provider --network ethereum:sepolia:node
    """
    governor, _ = _contracts(session)
    identity, operation = _operation(session, which)
    _show_calls(session, operation.calls)
    session.confirm("Object?")
    receipt = session.send(governor, "object", identity)
    done = receipt.one("Objected", governor)
    cancelled = bool(receipt.find("Cancelled"))
    _sent(
        session, "Cancelled" if cancelled else "Objected", receipt, operation=f"0x{identity.hex()}",
        objections=str(done.objections), needed=str(done.needed), cancelled=cancelled,
    )  # fmt: skip


@cli.command()
@click.argument("proposal", type=int)
@connected
def veto(session: Session, proposal: int) -> None:
    """As guardian, stop a PROPOSAL that only undoes tightenings, once.

    \b
      ape run gov veto 0 --account guardian --network ethereum:sepolia:node
    """
    governor, _ = _contracts(session)
    proposed = _proposed(session, proposal)
    _show_calls(session, proposed.calls)
    session.confirm(f"Veto proposal {proposal}?")
    _sent(session, "Vetoed", session.send(governor, "veto", proposal, proposed.calls), id=proposal)


@cli.command()
@_call_options
@connected
def schedule(session: Session, settings: Sequence[str], functions: Sequence[str], path: Path | None) -> None:
    """As council, schedule calls at the timelock without a vote; they wait as long as any.

    \b
      ape run gov schedule --set inventory.aversion=9 --network ethereum:local:foundry --unlocked 9
      ape run gov schedule --file boards.yaml --account council --network ethereum:sepolia:node
    """
    _, timelock = _contracts(session)
    calls, _ = _calls(session, settings, functions, path)
    _show_calls(session, calls)
    session.confirm(f"Schedule {len(calls)} calls?")
    delay = timelock.call("get_minimum_delay")
    operation = Operation(calls, salt=os.urandom(32))
    arguments = operation.execution()[1]
    receipt = session.send(timelock, "schedule_batch", *arguments, delay)
    identity = timelock.call("hash_operation_batch", *arguments)
    ready_at = timelock.call("get_timestamp", identity)
    _sent(session, "Scheduled", receipt, operation=f"0x{identity.hex()}", ready_at=ready_at)


# ---- what commands share


def _contracts(session: Session) -> tuple[Contract, Contract]:
    governor, timelock = session.system.voting, session.system.timelock
    if governor is None or timelock is None:
        raise Failure(
            f"{session.manifest.network} is not governed by LPs: {session.system.governor} is admin",
            "A network with a `governor` section is, e.g. local-governed.",
        )
    return governor, timelock


def _history(session: Session) -> tuple[dict[int, Proposed], dict[bytes, Operation]]:
    addresses = [contract.address for contract in _contracts(session)]
    return history(session.system, session.manifest.events(session.chain, addresses))


def _proposed(session: Session, number: int) -> Proposed:
    proposals, _ = _history(session)
    if number not in proposals:
        raise Failure(f"there is no proposal {number}", "gov status lists them.")
    return proposals[number]


def _operation(session: Session, which: str) -> tuple[bytes, Operation]:
    """By the number of a proposal or by its own id."""
    governor, _ = _contracts(session)
    _, operations = _history(session)
    try:
        identity = (
            bytes.fromhex(which[2:]) if which.startswith("0x") else governor.call("proposal", int(which)).operation
        )
    except ValueError:
        raise Failure(f"{which!r} is neither a proposal's number nor an operation's id") from None
    if identity not in operations:
        raise Failure(f"{which} is not at the timelock", "gov status lists what is; gov queue brings a proposal there.")
    return identity, operations[identity]


def _calls(
    session: Session, settings: Sequence[str], functions: Sequence[str], path: Path | None
) -> tuple[list[Call], str]:
    written = ""
    if path is not None:
        more_settings, more_functions, written = read(path)
        settings, functions = [*settings, *more_settings], [*functions, *more_functions]
    calls = Drafts(session.system).calls(settings, functions)
    if not calls:
        raise Failure("nothing to do", "Name a parameter with --set, a function with --call, or a --file.")
    if len(calls) > MAX_CALLS:
        raise Failure(f"{len(calls)} calls are more than {MAX_CALLS}", "Make several proposals of them.")
    longest = max(len(data) for _, data in calls)
    if longest > MAX_DATA:
        raise Failure(f"a call has {longest:,} bytes, more than {MAX_DATA:,}", "Do less with it at once.")
    return calls, written


def _amount(session: Session, text: str, held: int, verb: str) -> int:
    wanted = held if text == "all" else int(positive(text, "shares") * WAD)
    if wanted == 0 or wanted > held:
        raise Failure(f"{session.me} {verb} {size(held)} shares", "gov status shows where they are.")
    return wanted


def _supply(session: Session) -> str:
    return figure(session.system.vault.call("totalSupply"), 4)


def _shares(session: Session, governor: Contract, account: str) -> tuple[dict[str, Any], list[tuple[str, object]]]:
    locked, waiting = governor.call("locked", account), governor.call("unlocking", account)
    voter, votes = governor.call("delegate_of", account), governor.call("votes_at", account, session.chain.now - 1)
    rows: list[tuple[str, object]] = [
        (f"locked by {account}", figure(locked, 4)),
        ("votes", figure(votes, 4)),
        ("delegate", "self" if voter == account else voter),
    ]
    if waiting.shares:
        rows.append(("unlocking", f"{figure(waiting.shares, 4)}, {when(waiting.ready_at, session.chain.now)}"))
    shares = {"locked": locked, "votes": votes, "unlocking": waiting.shares, "ready_at": waiting.ready_at}
    return {name: as_json(value) for name, value in shares.items()} | {"delegate": voter}, rows


def _show_proposal(
    session: Session, number: int, proposals: dict[int, Proposed], operations: dict[bytes, Operation]
) -> None:
    if number not in proposals:
        raise Failure(f"there is no proposal {number}", "gov status lists them.")
    governor, timelock = _contracts(session)
    now, proposed, drafts = session.chain.now, proposals[number], Drafts(session.system)
    found, state = governor.call("proposal", number), State(governor.call("state", number))
    rows: list[tuple[str, object]] = [
        ("state", state.name),
        ("by", found.proposer),
        ("voting begins", when(found.start, now)),
        ("voting ends", when(found.end, now)),
        ("for", figure(found.votes_for, 4)),
        ("against", figure(found.votes_against, 4)),
        ("abstaining", figure(found.votes_abstain, 4)),
        ("quorum", figure(found.quorum, 4)),
    ]
    document = as_json(found) | {"id": number, "state": state.name, "description": proposed.description}
    document |= {"calls": _words(drafts, proposed.calls), "calls_hash": f"0x{found.calls_hash.hex()}"}
    document["operation"] = None
    if found.operation in operations:
        objections, needed = governor.call("objections", found.operation)
        rows.append(("operation", f"0x{found.operation.hex()}"))
        if state == State.QUEUED:
            rows += [
                ("executable", when(timelock.call("get_timestamp", found.operation), now)),
                ("objections", f"{figure(objections, 4)} of {figure(needed, 4)}"),
            ]
        document["operation"] = f"0x{found.operation.hex()}"
    rows += _lines(drafts, proposed.calls)
    if proposed.description:
        rows.append(("why", proposed.description))
    session.show(f"Proposal {number}", rows, document)


def _words(drafts: Drafts, calls: Sequence[Call]) -> list[str]:
    return [line for call in calls for line in drafts.explain(call)]


def _lines(drafts: Drafts, calls: Sequence[Call]) -> list[tuple[str, object]]:
    return [("", line) for line in _words(drafts, calls)]


def _show_calls(session: Session, calls: Sequence[Call]) -> None:
    """What would be signed, in words."""
    for line in _words(Drafts(session.system), calls):
        session.note(f"  {line}")


def _sent(session: Session, title: str, receipt: Any, **document: Any) -> None:
    def shown(name: str, value: Any) -> Any:
        if name in ("shares", "votes", "objections", "needed"):
            return figure(int(value), 4)
        return when(value, session.chain.now) if name in ("start", "end", "ready_at") else value

    rows = [(name.replace("_", " "), shown(name, value)) for name, value in document.items()]
    rows.append(("transaction", receipt.tx_hash))
    session.show(title, rows, {"tx": receipt.tx_hash} | document)


if __name__ == "__main__":
    cli()
