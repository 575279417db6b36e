"""What every parameter may be at most and at least, found by asking the contracts -> docs/bounds.md.

A system is deployed in process, with one market, a venue of each kind and LPs who govern. For every parameter alone,
with the others as in `networks/local.yaml`, setters are called with values ever further from the deployed one, without
effect, and the ends of what they accept are found by bisection. Where a constructor fixes one, that runs instead.
`python -m scripts.report bounds` writes this; a test fails when it is not what the contracts say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass
from decimal import Decimal, localcontext
from functools import partial
from pathlib import Path
from typing import Any

from eth_abi.exceptions import EncodingError

from ballast import config as configuration
from ballast.chain import Contract, Reverted, RevmChain, Tx
from ballast.chain.artifacts import ROOT
from ballast.config import Config
from ballast.deployment.surroundings import build
from ballast.model.exact.fixed import BPS, WAD
from ballast.model.exact.steward import DAY, Lever
from ballast.parameters import MICROS, SURFACES, Surface
from ballast.plan import Plan, levers
from ballast.system import Sandbox, handles, run

PAGE = ROOT / "docs" / "bounds.md"
SHORT = {"kind": "aave_short", "test_pool": None, "target_health": 1.5, "floor_health": 1.25, "pause_markdown": 0.1}
_BEYOND = 2**255  # no parameter is as large: what is accepted there has no ceiling
_FASTER = {  # what the guardian may do at once beside Steward.tighten, by parameter
    "perps.cap_base": "lower_caps", "perps.cap_quote": "lower_caps", "options.cap_series": "lower_caps",
    "options.cap_expiry": "lower_caps", "options.cap_market": "lower_caps", "vault.deposit_cap": "lower_deposit_cap",
    "auction.max_rate": "disable (to 0)",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Parameter:
    """One number that a contract keeps. A bound is None where there is none, `by_word` where the word is all."""

    name: str
    contract: str
    unit: str
    scale: int
    default: int
    floor: int | None
    ceiling: int | None
    by_word: bool
    setter: str  # "" if the constructor fixes it
    lever: Lever | None = None


@dataclass(frozen=True, slots=True)
class _Probe:
    """How to try another value of a parameter; `attempt` raises Reverted, or ValueError if it cannot be sent."""

    name: str
    contract: str
    unit: str
    scale: int
    default: int
    setter: str
    attempt: Callable[[int], None]
    lever: Lever | None = None


class _World:
    """The system that is asked."""

    def __init__(self) -> None:
        config = configuration.load("local-governed").only_market("ETH")
        spot = config.markets[0].venues[0].model_dump()
        market = config.markets[0].model_dump() | {"venues": [spot, spot | SHORT]}
        chain = self.chain = RevmChain()
        around = build(chain, config.changed(markets=[market], aave={"test": True}), chain.accounts[0])
        self.config: Config = around.config
        self.plan = Plan(around.config, chain.accounts[0])
        self.deployed = run(self.plan, chain)
        self.system = Sandbox(**handles(self.deployed, self.plan), **around.handles())

    def raw(self, surface: Surface, prefix: bytes, values: list[int], i: int, value: int) -> None:
        """The setter of a surface with another word, by the governor, undone."""
        contract = self.deployed.contract(surface.contract, self.plan.artifact(surface.contract))
        selector = contract.artifact.functions[surface.setter][0].selector
        data = selector + prefix + surface.data((*values[:i], value, *values[i + 1 :]))
        with self.chain.acting_as(self.system.governor):
            self.chain.read(Tx(contract.address, data, self.system.governor))

    def argument(self, contract: Contract, fn: str, args: list[Any], i: int, offset: int, value: int) -> None:
        """A function of the governor's with another argument, undone."""
        with self.chain.acting_as(self.system.governor):
            contract.call(fn, *args[:i], value + offset, *args[i + 1 :], sender=self.system.governor)

    def lever(self, fields: list[int], i: int, value: int) -> None:
        """A lever of the Steward with another field, undone."""
        with self.chain.acting_as(self.system.governor):
            lever = (*fields[:i], value, *fields[i + 1 :])
            self.system.steward.call("set_levers", 0, [(0, lever)], sender=self.system.governor)

    def construct(self, key: str, index: int, field: int | None, value: int) -> None:
        """The constructor of a contract of the plan with another argument, or field of an argument, undone."""
        step = self.plan.contracts[key]
        args = list(self.deployed.resolve(step.args))
        if field is None:
            args[index] = value
        else:
            args[index] = (*args[index][:field], value, *args[index][field + 1 :])
        data = step.artifact.bytecode + step.artifact.constructor.encode(args)
        with self.chain.undone():
            self.chain.transact(Tx(None, data, self.plan.setup))


def measure() -> list[Parameter]:
    """Every parameter, in the order of the page."""
    return [_bounded(probe) for probe in _probes(_World())]


def _bounded(probe: _Probe) -> Parameter:
    step = 1
    while _cannot_send(probe, probe.default + step) and step < WAD:
        step *= 10  # of what the word holds
    assert _refusal(probe, probe.default) is None, probe.name
    ceiling, floor = _end(probe, step), _end(probe, -step)
    return Parameter(
        probe.name, probe.contract, probe.unit, probe.scale, probe.default, floor, ceiling,
        _fills_word(ceiling), probe.setter, probe.lever,
    )  # fmt: skip


def _end(probe: _Probe, step: int) -> int | None:
    """The last value in a direction that is accepted; None without an end."""
    good, bad = 0, 1
    while _refusal(probe, probe.default + step * bad) is None:
        good, bad = bad, 2 * bad
        if abs(step * bad) >= _BEYOND:
            return None
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if _refusal(probe, probe.default + step * middle) is None else (good, middle)
    return probe.default + step * good


def _fills_word(ceiling: int | None) -> bool:
    """Whether a bound is 2^n - 1 steps of a power of ten, or just below 2^n of them: the bits end there."""
    if ceiling is None:
        return False
    counts = [
        count
        for step in (10**j for j in range(19))
        for count, rest in (divmod(ceiling + 1, step), divmod(ceiling + step, step))
        if rest == 0
    ]
    return any(count.bit_count() == 1 and count >= 2**16 for count in counts)


def _refusal(probe: _Probe, value: int) -> Exception | None:
    try:
        probe.attempt(value)
    except (Reverted, EncodingError, ValueError, OverflowError) as error:
        return error
    return None


def _cannot_send(probe: _Probe, value: int) -> bool:
    return isinstance(_refusal(probe, value), ValueError)


_CONSTRUCTED = (  # plan's key, argument, field of it, name, unit, scale
    ("timelock", 0, None, "governor.delay", "s", 1),
    ("governor", 3, 0, "governor.voting_delay", "s", 1),
    ("governor", 3, 1, "governor.voting_period", "s", 1),
    ("governor", 3, 2, "governor.quorum", "of shares", BPS),
    ("governor", 3, 3, "governor.threshold", "of shares", BPS),
    ("governor", 3, 4, "governor.lock", "s", 1),
    ("deleverager", 5, None, "deleveraging.trigger", "of NAV", BPS),
    ("deleverager", 6, None, "deleveraging.target", "of NAV", BPS),
    ("deleverager", 7, None, "deleveraging.reward", "quote", WAD),
    ("close_queue", 5, None, "close_queue.fee", "quote", WAD),
    ("feed/ETH", 2, None, "feed.grace_period", "s", 1),
    ("venue/ETH/0", 5, None, "venue.twap_window", "s", 1),
    ("venue/ETH/1", 7, None, "venue.target_health", "1", WAD),
    ("venue/ETH/1", 8, None, "venue.floor_health", "1", WAD),
    ("venue/ETH/1", 9, None, "venue.pause_markdown", "of equity", BPS),
)
_LATER = {"governor": "set_params", "timelock": "update_delay"}  # setters of what constructors bound in the same way


def _probes(w: _World) -> Iterator[_Probe]:
    system = w.system
    for surface in SURFACES:
        yield from _of_surface(w, surface)

    threshold = int(system.surface.call("threshold"))
    attempt = partial(w.argument, system.surface, "set_threshold", [threshold], 0, 0)
    yield _Probe("surface.threshold", "VolSurface", "signers", 1, threshold, "set_threshold", attempt)

    now = system.chain.now
    terms = [w.plan.setup, 1, 100_000 * MICROS, now + 7 * DAY, 1_500]
    attempt = partial(w.argument, system.mandates, "grant", terms, 2, 0)
    yield _Probe("mandate.size", "Mandates", "quote", MICROS, 100_000 * MICROS, "grant", attempt)
    attempt = partial(w.argument, system.mandates, "grant", terms, 3, now)
    yield _Probe("mandate.term", "Mandates", "s", 1, 7 * DAY, "grant", attempt)
    attempt = partial(w.argument, system.mandates, "grant", terms, 4, 0)
    yield _Probe("mandate.share", "Mandates", "of what is freed", BPS, 1_500, "grant", attempt)

    fields = list(astuple(levers(w.config)[0].by_word[0]))
    attempt = partial(w.lever, fields, 2)
    yield _Probe("lever.speed", "Steward", "of lambda a day", WAD, fields[2], "set_levers", attempt)
    yield _Probe("lever.cooldown", "Steward", "s", 1, fields[3], "set_levers", partial(w.lever, fields, 3))

    for key, index, field, name, unit, scale in _CONSTRUCTED:
        step = w.plan.contracts[key]
        default = int(step.args[index] if field is None else step.args[index][field])
        attempt = partial(w.construct, key, index, field)
        yield _Probe(name, step.contract, unit, scale, default, _LATER.get(key, ""), attempt)


def _of_surface(w: _World, surface: Surface) -> Iterator[_Probe]:
    key = () if surface.each == "" else (0,)
    contract = w.deployed.contract(surface.contract, w.plan.artifact(surface.contract))
    values = [int(word) for word in _flat(contract.call(surface.view, *key))]
    settings = w.config.steward.settings(surface) if w.config.steward else {}
    for i, word in enumerate(surface.words):
        if word.kind == "parameter":
            attempt = partial(w.raw, surface, bytes(32) if surface.each else b"", values, i)
            yield _Probe(
                f"{surface.name}.{word.name}", surface.artifact, word.unit, word.scale, values[i], surface.setter,
                attempt, settings.get(i),
            )  # fmt: skip


def _flat(value: Any) -> list[Any]:
    return [word for part in value for word in _flat(part)] if isinstance(value, tuple) else [value]


HEAD = """\
# Bounds of every parameter

Written by `python -m scripts.report bounds`, from the contracts themselves: each parameter was tried alone, with the
others as in `networks/local.yaml`. Nobody, the governor included, sets one below its floor or above its ceiling; where
two bound each other (`maintenance < initial`), the bound is what the other leaves at its default. † where the bits that
hold it end: nothing else bounds it. *Steward* is what `networks/local.yaml` lets its key do: the band, and the most per
day. An arrow says where the guardian may move it at once inside the band, a name by which other function
([governance.md](governance.md)). Addresses and switches are in [powers.md](powers.md).

| parameter | contract | set by | unit | floor | default | ceiling | steward: band | a day | guardian |
|---|---|---|---|--:|--:|--:|--:|--:|---|
"""


def page(parameters: list[Parameter]) -> str:
    """docs/bounds.md."""
    lines = []
    for p in parameters:
        # a lever's unit is the parameter's
        band, speed, guardian = "", "", _FASTER.get(p.name, "")
        if p.lever is not None:
            band = f"{_number(p.lever.floor, p.scale)} … {_number(p.lever.ceiling, p.scale)}"
            speed = _number(p.lever.speed, p.scale)
            guardian = " ".join(filter(None, ({1: "↑", 0: "", -1: "↓"}[p.lever.tightening], guardian)))
        floor, ceiling = ("none" if end is None else _number(end, p.scale) for end in (p.floor, p.ceiling))
        setter = p.setter or "constructor"
        lines.append(
            f"| {p.name} | {p.contract} | {setter} | {p.unit} | {floor} | {_number(p.default, p.scale)} "
            f"| {ceiling}{' †' if p.by_word else ''} | {band} | {speed} | {guardian} |"
        )
    return HEAD + "\n".join(lines) + "\n"


def _number(value: int, scale: int) -> str:
    with localcontext(prec=80):  # every digit of a word, whatever the process has set
        exact = Decimal(value) / scale
        text = f"{exact:.3g}".replace("e+", "e") if abs(exact) >= 10**12 else f"{exact:,f}"
    return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text


def report(parameters: list[Parameter], path: Path = PAGE) -> None:
    """Write the page."""
    path.write_text(page(parameters))
