"""The keeper as a Silverback bot: the turn of ballast.keeper on every block, signed by an account that ape keeps.

    silverback run scripts.keeper_bot:bot --network ethereum:sepolia:node --account keeper1

BALLAST_MANIFEST names the deployment where deployments/ has several for the chain; BALLAST_METRICS a port to serve
/metrics and /healthz on. Everything else is decided by ballast.keeper.Policy: for another one, or a relay, run
scripts/keeper.py.
"""

from __future__ import annotations

import os
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import ape
from silverback import SilverbackBot

from ballast.chain.rpc import RpcChain
from ballast.cli import ApeSigner
from ballast.deployment import manifest as manifests
from ballast.keeper import Keeper
from ballast.keeper.journal import Journal, beside
from ballast.keeper.metrics import Metrics
from ballast.keeper.service import Service

bot = SilverbackBot(signer_required=True)
resources = ExitStack()
one_turn = threading.Lock()  # blocks may come faster than turns end


@bot.on_startup()
def start(_startup: Any) -> None:
    """Open the journal, and find out what became of what was under way."""
    provider = ape.chain.provider
    chain = RpcChain(str(getattr(provider, "http_uri", None) or provider.uri))
    resources.callback(chain.close)
    named = os.environ.get("BALLAST_MANIFEST")
    manifest = manifests.load(Path(named)) if named else manifests.find(chain)
    path = Path(named) if named else manifests.path_of(manifest.network)
    sender = chain.add_signer(bot.signer.address, ApeSigner(bot.signer))
    journal = resources.enter_context(Journal(beside(path, sender)))
    journal.skip_to(manifest.first_block)
    port = os.environ.get("BALLAST_METRICS")
    metrics = Metrics(int(port) if port else None)
    resources.callback(metrics.close)
    bot.state.service = Service(Keeper(chain, manifest.system(chain), sender, journal=journal), 0.0, metrics=metrics)


@bot.on_(ape.chain.blocks)
def turn(_block: Any) -> int:
    """One turn; how many actions were done. A block that comes while one runs is left to the next."""
    if not one_turn.acquire(blocking=False):
        return 0
    try:
        step = bot.state.service.turn()
    finally:
        one_turn.release()
    return 0 if step is None else sum(result.ending == "done" for result in step.results)


@bot.on_shutdown()
def stop() -> None:
    """Let the journal go."""
    resources.close()
