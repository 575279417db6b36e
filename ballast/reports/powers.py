"""Who may do what, how fast, and how it is revoked -> docs/powers.md, from `ballast.model.roles` and the plan.

`python -m scripts.report powers` writes it. Tests fail when it is stale, and when a contract has a function that
changes something and is neither named here nor open to everybody.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ballast import config as configuration
from ballast.chain import load
from ballast.chain.artifacts import ROOT, contract_paths
from ballast.config import Config
from ballast.model.roles import OFFICE, PERMISSIONLESS, POWERS, SOLE, Role
from ballast.plan import At, Grant, Plan

PAGE = ROOT / "docs" / "powers.md"

_HEAD = """\
# Powers

Written by `python -m scripts.report powers`, from `ballast/model/roles.py`, the contracts' ABIs and the deployment's
plan. Every function that changes anything is below. What that means for LPs, with bounds:
[governance.md](governance.md); how far parameters go: [bounds.md](bounds.md).

## Roles

A contract with privileged functions has one table of roles. Its admin is the governor; only the admin revokes, and
passes the office on in two steps (`offer_admin`, `accept_admin`).

| role | held by | how fast | revoked by |
|---|---|---|---|
"""
_ROLES: dict[Role, tuple[str, str]] = {
    Role.GOVERNOR: ("a vote, then the timelock's delay", "itself: a vote passes the office on"),
    Role.GUARDIAN: ("at once; only ever tightens", "the governor"),
    Role.ENGINE: ("in every trade", "the governor"),
    Role.HEDGER: ("in every hedge", "the governor"),
    Role.VAULT: ("in every LP action", "the governor"),
    Role.INVENTORY: ("in every trade", "the governor"),
    Role.SETUP: ("during the deployment, never again", "itself: it renounces at the end, and nobody can grant it"),
    Role.CLOSER: ("when a position may be closed by rule", "the governor"),
    Role.SETTLER: ("once: global settlement", "the governor"),
    Role.STEWARD: ("so much per day, inside bands", "the governor; the guardian freezes the Steward"),
}


def deployables() -> dict[str, list[str]]:
    """Names of the functions of every contract that is deployed outside tests, but views."""
    return {
        name: [fn for fn, overloads in load(name).functions.items() if not all(each.is_view for each in overloads)]
        for name, path in contract_paths().items()
        if "testing" not in path.parts
    }


def page() -> str:
    """docs/powers.md."""
    lines = [f"| {role.name} | {', '.join(holders)} | {' | '.join(_ROLES[role])} |" for role, holders in _holders()]
    lines += ["", "## Functions", ""]
    functions = deployables()
    for name in sorted(functions, key=lambda name: (name not in POWERS, name)):
        if name in POWERS or name in SOLE:
            lines += [f"### {name}", "", "| function | who |", "|---|---|", *_functions(name), ""]
    lines += ["## Open to everybody", "", "| contract | functions |", "|---|---|"]
    lines += [f"| {name} | {', '.join(fns)} |" for name, fns in sorted(PERMISSIONLESS.items()) if fns]
    idle = sorted(name for name, fns in functions.items() if not fns)
    lines += ["", f"Nothing to call but views: {', '.join(idle)}."]
    return _HEAD + "\n".join(lines) + "\n"


def _functions(name: str) -> Iterator[str]:
    for fn, role in POWERS.get(name, {}).items():
        also = " or the mandate's agent" if (name, fn) == ("Mandates", "revoke") else ""
        yield f"| {fn} | {' or '.join(str(flag.name) for flag in role)}{also} |"
    for fn, who in SOLE.get(name, {}).items():
        yield f"| {fn} | {who} |"
    if name in POWERS:
        yield f"| {', '.join(OFFICE)} | the admin; `accept_admin` whom it offers, `renounce_setup` the deployer |"


def _holders() -> Iterator[tuple[Role, list[str]]]:
    """Roles and who has them at which contracts, in a deployment like `networks/local-governed.yaml`."""
    config = _resolved(configuration.load("local-governed"))
    plan = Plan(config, "0x" + "01" * 20)
    names = {config.guardian: "the guardian"}
    for role in Role:
        held: dict[str, list[str]] = {}
        for step in plan.steps:
            if isinstance(step, Grant) and step.role == role:
                holder = step.holder.key if isinstance(step.holder, At) else step.holder
                artifact = plan.contracts[holder].contract if holder in plan.contracts else names[holder]
                held.setdefault(artifact, []).append(plan.contracts[step.target].contract)
        if role is Role.GOVERNOR:
            yield role, ["Timelock, at every contract with roles"]
        elif role is Role.SETUP:
            yield role, ["nobody"]
        else:
            yield role, [f"{holder} (at {', '.join(targets)})" for holder, targets in held.items()]


def _resolved(config: Config) -> Config:
    """With an address, any, for whatever a test network still deploys: a plan wants them all."""
    somewhere = "0x" + "02" * 20
    document = config.model_dump()
    document["quote"]["address"] = somewhere
    document["uniswap"]["router"] = somewhere
    for market in document["markets"]:
        market["base"]["address"] = market["feed"]["aggregator"] = somewhere
    return Config.model_validate(document)


def report(path: Path = PAGE) -> None:
    """Write the page."""
    path.write_text(page())
