"""What parameters are called is what the contracts mean by them; levers of a network's file fit them."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from ballast import config
from ballast.chain import RevmChain, Tx
from ballast.config import NETWORKS, Config, ConfigError
from ballast.model.exact.fixed import WAD
from ballast.parameters import SURFACES, Surface
from ballast.plan import flat, levers, places
from ballast.system import Sandbox, deploy_system


@pytest.fixture(scope="module")
def deployed() -> Sandbox:
    return deploy_system(RevmChain(), config.load("local"))


FIXED = {"gas_market", "has_half_width", "c_hi"}  # one more means another thing, or is beyond the bound


def target(system: Sandbox, surface: Surface) -> Any:
    return getattr(system, surface.contract)


@pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.name)
def test_setter_with_the_words_of_its_view_changes_nothing_and_one_more_changes_that_word(
    deployed: Sandbox, surface: Surface
) -> None:
    """So the order of words and their encoding are the contract's."""
    contract, chain = target(deployed, surface), deployed.chain
    _, key = places(deployed.config, surface)[-1]
    arguments = () if key is None else (key,)
    values = [int(word) for word in flat(contract.call(surface.view, *arguments))]
    assert len(values) == len(surface.words)
    selector = contract.artifact.functions[surface.setter][0].selector
    head = selector + (b"" if key is None else key.to_bytes(32, "big"))

    def sent(words: list[int]) -> list[int]:
        assert isinstance(chain, RevmChain)
        with chain.undone():
            chain.transact(Tx(contract.address, head + surface.data(words), deployed.governor))
            return [int(word) for word in flat(contract.call(surface.view, *arguments))]

    assert sent(values) == values
    for i, word in enumerate(surface.words):
        if word.kind != "parameter" or word.name in FIXED:
            continue
        little = 10**15 if word.scale == WAD else 1  # steps of every packed word
        after = sent([*values[:i], values[i] + little, *values[i + 1 :]])
        moved = {n for n, (old, new) in enumerate(zip(values, after, strict=True)) if old != new}
        assert moved - {n for n, other in enumerate(surface.words) if other.kind == "follower"} == {i}, word.name


@pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.name)
def test_names_are_those_of_the_abi(deployed: Sandbox, surface: Surface) -> None:
    abi = target(deployed, surface).artifact.abi
    (view,) = [entry for entry in abi if entry.get("name") == surface.view and entry["type"] == "function"]
    names = [name for output in view["outputs"] for name in _leaves(output)]
    if surface.name != "clearing":  # whose view names nothing
        assert [name.removesuffix("_bps") for name in names] == [word.name for word in surface.words]


def _leaves(entry: dict[str, Any]) -> list[str]:
    parts = entry.get("components")
    return [leaf for part in parts for leaf in _leaves(part)] if parts else [entry["name"]]


def test_levers_of_the_local_network_are_where_their_parameters_are(deployed: Sandbox) -> None:
    for i, each in enumerate(levers(deployed.config)):
        values = deployed.steward.call("values", i)
        for word, lever in each.by_word.items():
            assert lever.floor <= values[word] <= lever.ceiling, f"{each.name}.{each.surface.words[word].name}"


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("inventory.lambda", {}, "inventory has no 'lambda'"),
        ("nothing.aversion", {}, "no parameters are called 'nothing'"),
        ("inventory.root", {}, "inventory has no 'root'"),
        ("inventory.aversion", {"speed": 10}, "steward: speed"),
        ("inventory.aversion", {"floor": 50}, "steward: band"),
        ("inventory.aversion", {"cooldown": "1s"}, "steward: cooldown"),
        ("hedging.phi", {"floor": "0.00001", "ceiling": 1, "speed": "0.1"}, "floor = 0.00001 is finer than 1/10000"),
        ("hedging.phi", {"tighter": "up"}, "tighter"),
    ],
)
def test_parse_lever_that_the_contract_would_refuse_is_an_error(
    name: str, change: dict[str, Any], message: str
) -> None:
    document = yaml.safe_load((NETWORKS / "local.yaml").read_text())
    document = {key: value for key, value in document.items() if not key.startswith("x-")}
    document["steward"]["levers"] = {name: document["steward"]["levers"]["inventory.aversion"] | change}
    with pytest.raises(ConfigError, match=message):
        config.parse(document, "file")


def test_levers_without_a_steward_there_are_none(local_config: Config) -> None:
    assert levers(local_config.changed(steward=None)) == []
