"""What a deployment costs and takes: gas by contract and by cause, seconds, and what a verifier needs.

Measured on a private Anvil, on the network of networks/local-governed.yaml with its test contracts left out: what one
would be charged for on a public network.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from eth_utils.crypto import keccak

from ballast import config
from ballast.chain.anvil import Anvil
from ballast.deployment.deploy import Deployer, Journal
from ballast.deployment.surroundings import build
from ballast.deployment.verify import Verifier
from ballast.plan import Deploy
from ballast.reports import REPORTS

NETWORK = "local-governed"
BOUND = 25_000_000  # [gas] that was hoped for
KEY = keccak(text="ballast deployment report")

# What the EVM charges (Cancun) for a creating transaction, beside what its constructor does.
BASE = 53_000  # [gas] of a transaction that creates
ZERO_BYTE, OTHER_BYTE = 4, 16  # [gas] of calldata
INIT_WORD = 2  # [gas] of 32 bytes of creation code
DEPOSIT = 200  # [gas] of a byte of deployed code
CALL_BASE = 21_000  # [gas] of any other transaction


@dataclass(frozen=True, slots=True)
class Creation:
    """Gas of one creating transaction by cause; `running` is what the constructor did itself."""

    key: str
    size: int  # [bytes] deployed
    gas: int
    deposit: int
    data: int
    running: int


@dataclass(frozen=True, slots=True)
class Deployment:
    """One deployment, measured."""

    creations: list[Creation]
    calls: dict[str, int]  # gas of every other transaction, by title
    seconds: float
    verified: int
    verify_seconds: float

    @property
    def gas(self) -> int:
        return sum(creation.gas for creation in self.creations) + sum(self.calls.values())


def creation(key: str, initcode: bytes, size: int, gas: int) -> Creation:
    """The parts of what a creation of `size` [bytes] cost."""
    zeros = initcode.count(0)
    data = ZERO_BYTE * zeros + OTHER_BYTE * (len(initcode) - zeros) + INIT_WORD * ((len(initcode) + 31) // 32)
    return Creation(key, size, gas, DEPOSIT * size, data, gas - DEPOSIT * size - data - BASE)


def measure() -> Deployment:
    """Deploy and verify once."""
    with Anvil() as node, TemporaryDirectory() as folder:
        chain = node.chain(estimate_gas=True)
        around = build(chain, config.load(NETWORK), chain.accounts[0]).config
        deployer = chain.add_key(KEY)
        chain.set_balance(deployer, 10**20)
        begun = time.monotonic()
        manifest = Deployer(chain, around, deployer, Journal(Path(folder) / "journal.jsonl")).run()
        seconds = time.monotonic() - begun
        begun = time.monotonic()
        findings = Verifier(chain, manifest).run()
        verify_seconds = time.monotonic() - begun
        if wrong := [finding for finding in findings if not finding.ok]:
            raise AssertionError(f"the deployment is not as described: {wrong}")
        plan, deployed = manifest.plan(), manifest.deployed(chain)
        creations = [
            creation(step.key, step.initcode(deployed), manifest.contracts[step.key].code_size, gas)
            for step in plan.steps
            if isinstance(step, Deploy) and (gas := manifest.contracts[step.key].gas) is not None
        ]
        calls = {sent.step: sent.gas for sent in manifest.transactions if sent.gas is not None}
        return Deployment(creations, calls, seconds, len(findings), verify_seconds)


def report(found: Deployment, folder: Path = REPORTS) -> None:
    """Write deployment.md and deployment.json."""
    (folder / "deployment.json").write_text(json.dumps(asdict(found) | {"gas": found.gas}, indent=2) + "\n")
    (folder / "deployment.md").write_text("\n".join(lines(found)) + "\n")


def lines(found: Deployment) -> list[str]:
    """The page."""
    creations, calls = found.creations, found.calls
    size = sum(one.size for one in creations)
    deposit, data, running = (
        sum(getattr(one, part) for one in creations) for part in ("deposit", "data", "running")
    )  # fmt: skip
    called = sum(calls.values())
    per_byte = (deposit + data) / size
    rows = sorted(creations, key=lambda one: one.gas, reverse=True)
    return [
        "# Deployment",
        "",
        f"`networks/{NETWORK}.yaml` on Anvil, what surrounds Ballast left out: {len(creations)} contracts, "
        f"{len(creations) + len(calls)} transactions, {found.gas / 1e6:.1f} M gas. At 1 gwei that is "
        f"{found.gas / 1e9:.3f} ETH; rollups charge the data of {size / 1e3:.0f} kB of code besides.",
        "",
        f"It took {found.seconds:.1f} s, a block per transaction. `verify` then looked at {found.verified} things in "
        f"{found.verify_seconds:.1f} s (contracts compiled before; from nothing the compiler takes 160 s of one core).",
        "",
        "| cause | gas | part |",
        "|---|--:|--:|",
        *(
            f"| {name} | {gas:,} | {gas / found.gas:.0%} |"
            for name, gas in (
                (f"deployed code, {DEPOSIT} gas a byte, {size:,} bytes", deposit),
                ("creation code and arguments as calldata", data),
                ("constructors", running),
                (f"base fee of {len(creations)} creations", BASE * len(creations)),
                (f"{len(calls)} calls: wiring, parameters, roles, renouncing", called),
            )
        ),
        "",
        f"## Why not {BOUND / 1e6:.0f} M",
        "",
        f"A byte of code costs {per_byte:.0f} gas before anything runs, so {BOUND / 1e6:.0f} M gas pay for at most "
        f"{BOUND / per_byte / 1e3:.0f} kB; there are {size / 1e3:.0f} kB. Deployed code alone is "
        f"{deposit / 1e6:.1f} M, and the EVM has no way to pay less for it: proxies and blueprints save only what is "
        "deployed more than once, here venues and feeds: "
        f"{_repeated(creations) / 1e6:.1f} M.",
        "",
        "What else could be saved: batching all calls into one transaction "
        f"{CALL_BASE * (len(calls) - 1) / 1e6:.1f} M (a deployer contract that would have to hold every power for a "
        "while); leaving governance to a multisig "
        f"{sum(one.gas for one in creations if one.key in ('timelock', 'governor')) / 1e6:.1f} M; no steward "
        f"{_steward(found) / 1e6:.1f} M. The Vault is optimised for size already, which took 3 % off; the rest is for "
        "gas, because trades are. Even with all of this, code alone is more than twice the bound. One that such a "
        f"system can keep is {-(-found.gas // 5_000_000) * 5} M.",
        "",
        "| contract | bytes | gas | code | calldata | constructor |",
        "|---|--:|--:|--:|--:|--:|",
        *(
            f"| {one.key} | {one.size:,} | {one.gas:,} | {one.deposit:,} | {one.data:,} | {one.running:,} |"
            for one in rows
        ),
    ]


def _repeated(creations: list[Creation]) -> int:
    """Gas of code that another contract of the deployment has too: second and later venues and feeds."""
    sizes = [one.size for one in creations if one.key.startswith(("venue/", "feed/"))]
    return DEPOSIT * (sum(sizes) - sum(set(sizes)))


def _steward(found: Deployment) -> int:
    """Gas of deploying and wiring the steward."""
    created = sum(one.gas for one in found.creations if one.key == "steward")
    return created + sum(gas for title, gas in found.calls.items() if "steward" in title.lower())
