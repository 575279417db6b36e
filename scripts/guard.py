"""For whoever must act at once: send calls with one's own role, or print them for a multisig."""

from __future__ import annotations

import click

from ballast.chain import Tx
from ballast.cli import Session, connected
from ballast.proposals import Drafts


@click.command()
@click.argument("calls", nargs=-1, required=True, metavar="CALL…")
@click.option("--calldata", is_flag=True, help="print targets and data for a multisig; send nothing")
@connected
def cli(session: Session, calls: tuple[str, ...], calldata: bool) -> None:
    """Make CALLs, e.g. 'perp_engine.pause(0)', one transaction each, in this order.

    The contracts decide who may: the guardian only tightens (docs/powers.md). What loosens again is the governor's:
    gov propose --call.

    \b
      ape run guard 'perp_engine.pause(0)' 'option_engine.pause(0)' --account guardian --network ethereum:sepolia:node
      python -m scripts.guard 'vault.pause_deposits()' --rpc http://127.0.0.1:8545 --unlocked 9
      python -m scripts.guard 'steward.freeze()' --calldata --rpc http://127.0.0.1:8545
    """
    drafts = Drafts(session.system)
    found = drafts.calls((), calls)
    document = [
        {"call": text, "to": to, "data": "0x" + data.hex()} for text, (to, data) in zip(calls, found, strict=True)
    ]
    if calldata:
        rows = [[one["call"], one["to"], one["data"]] for one in document]
        session.table("For a multisig", ["call", "to", "data"], rows, document)
        return
    for call in found:
        for line in drafts.explain(call):
            session.note(f"  {line}")
    session.confirm(f"Send {len(found)} transactions as {session.me}?")
    for one, (to, data) in zip(document, found, strict=True):
        one["tx"] = str(session.chain.transact(Tx(to, data, session.me)).tx_hash)
    session.show("Done", [(one["call"], one["tx"]) for one in document], document)


if __name__ == "__main__":
    cli()
