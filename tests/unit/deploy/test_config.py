"""Network files: read strictly, translated exactly."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from ballast import config
from ballast.config import NETWORKS, Config, ConfigError


@pytest.fixture
def document() -> dict[str, Any]:
    """networks/local.yaml as plain data."""
    loaded = yaml.safe_load((NETWORKS / "local.yaml").read_text())
    return {key: value for key, value in loaded.items() if not key.startswith("x-")}


def test_load_local_numbers_are_exact(local_config: Config) -> None:
    assert local_config.inventory.params().omega == 2 * 10**16
    assert local_config.markets[0].inventory.params().base == 10**14
    assert local_config.markets[0].perps.params()[:4] == (500, 300, 2_000, 100)
    assert local_config.vault.epoch_length == 86_400
    assert local_config.clearing.shares() == (5_000, 5_000, 1_000)
    assert local_config.deleveraging.params() == (6_000, 5_000, 10**18)
    assert local_config.close_queue.params() == (10**18,)


def test_load_unknown_network_names_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"atlantis.yaml does not exist; networks here: .*local"):
        config.load("atlantis")


def test_parse_unknown_key_is_an_error(document: dict[str, Any]) -> None:
    document["vault"]["deposit_capp"] = 1
    with pytest.raises(ConfigError, match=r"vault\.deposit_capp: Extra inputs"):
        config.parse(document, "file")


def test_parse_missing_key_is_an_error(document: dict[str, Any]) -> None:
    del document["markets"][1]["perps"]["penalty"]
    with pytest.raises(ConfigError, match=r"markets\.1\.perps\.penalty: Field required"):
        config.parse(document, "file")


def test_parse_number_finer_than_its_word_is_an_error(document: dict[str, Any]) -> None:
    document["inventory"]["knee"] = "0.10001"
    with pytest.raises(ConfigError, match=r"knee = .* is not a multiple"):
        config.parse(document, "file")


def test_parse_placeholder_says_so(document: dict[str, Any]) -> None:
    document["governor"] = "<your timelock>"
    with pytest.raises(ConfigError, match=r"governor: .*is a placeholder: fill it in"):
        config.parse(document, "file")


def test_parse_wrong_checksum_is_an_error(document: dict[str, Any]) -> None:
    document["governor"] = "0xA0Ee7A142d267C1f36714E4a8F75612F20a79720"
    with pytest.raises(ConfigError, match="wrong checksum"):
        config.parse(document, "file")


def test_parse_unquoted_address_says_to_quote_it(document: dict[str, Any]) -> None:
    document["governor"] = 0xA0EE7A142D267C1F36714E4A8F75612F20A79720
    with pytest.raises(ConfigError, match="quote it"):
        config.parse(document, "file")


def test_load_local_options_are_the_structs_of_the_contracts(local_config: Config) -> None:
    options = local_config.markets[1].options
    assert options is not None
    sizes = (10**15, 100 * 10**18, 500 * 10**18, 1_000 * 10**18)
    assert options.params() == (*sizes, 1_800, 1_500, 100, 6_000, 100, 2_000, 5 * 10**17, 600)
    percent = 10**16
    assert options.drift.params() == (3 * percent, 30 * percent, 5 * percent, 50 * percent, percent, 5 * percent, 3_600)


def test_parse_options_without_signers_is_an_error(document: dict[str, Any]) -> None:
    del document["surface"]
    with pytest.raises(ConfigError, match="options need `surface`"):
        config.parse(document, "file")
    for market in document["markets"]:
        del market["options"]
    assert config.parse(document, "file").surface is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.update(threshold=4), "threshold 4 is more than there are signers"),
        (lambda s: s.update(threshold=0), "greater than or equal to 1"),
        (lambda s: s["signers"].append(s["signers"][0]), "a signer is named twice"),
        (lambda s: s.update(signers=[]), "at least 1 item"),
    ],
)
def test_parse_signers_that_cannot_agree_are_an_error(document: dict[str, Any], change: Any, message: str) -> None:
    change(document["surface"])
    with pytest.raises(ConfigError, match=message):
        config.parse(document, "file")


def test_parse_option_lot_finer_than_its_word_is_an_error(document: dict[str, Any]) -> None:
    document["markets"][0]["options"]["min_size"] = "0.0000001"
    with pytest.raises(ConfigError, match=r"min_size = .* is finer than"):
        config.parse(document, "file")


@pytest.mark.parametrize(("text", "seconds"), [("45s", 45), ("30m", 1_800), ("2h", 7_200), ("7d", 604_800), (90, 90)])
def test_parse_durations(document: dict[str, Any], text: str | int, seconds: int) -> None:
    document["vault"]["epoch_length"] = text
    assert config.parse(document, "file").vault.epoch_length == seconds


def test_parse_duration_of_unknown_unit_is_an_error(document: dict[str, Any]) -> None:
    document["vault"]["epoch_length"] = "1w"
    with pytest.raises(ConfigError, match="not a duration"):
        config.parse(document, "file")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"guardian": "0xa0Ee7A142d267C1f36714E4a8F75612F20a79720"}, "governor and guardian are the same"),
        ({"quote": {}}, "give `address`, or `test`"),
        ({"uniswap": {}}, "give `router`"),
        ({"uniswap": None}, "venues need `uniswap`"),
        ({"aave": {}}, "give `pool`"),
        ({"markets": []}, "at least 1 item"),
    ],
)
def test_parse_inconsistent_file_is_an_error(document: dict[str, Any], change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config.parse(document | change, "file")


def test_parse_short_venue_needs_aave_and_bounds(document: dict[str, Any]) -> None:
    venue = document["markets"][0]["venues"][0]
    venue |= {"kind": "aave_short", "target_health": 1.5, "floor_health": 1.25, "pause_markdown": 0.1}
    with pytest.raises(ConfigError, match="a short venue needs `aave`"):
        config.parse(document, "file")
    document["aave"] = {"test": True}
    assert "aave" in config.parse(document, "file").missing()
    del venue["floor_health"]
    with pytest.raises(ConfigError, match="floor_health"):
        config.parse(document, "file")


def test_parse_gas_market_that_is_not_listed_is_an_error(document: dict[str, Any]) -> None:
    document["hedging"]["gas_market"] = "SOL"
    with pytest.raises(ConfigError, match="gas_market 'SOL' is not among"):
        config.parse(document, "file")


def test_parse_sequencer_without_grace_period_is_an_error(document: dict[str, Any]) -> None:
    document["markets"][0]["feed"]["sequencer"] = "0x" + "11" * 20
    with pytest.raises(ConfigError, match="needs a grace_period"):
        config.parse(document, "file")


def test_load_yaml_that_is_none_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text("markets: [")
    with pytest.raises(ConfigError, match=r"broken\.yaml"):
        config.load(path)


def test_missing_local_network_lacks_all_surroundings(local_config: Config) -> None:
    assert local_config.missing() == ["quote", "uniswap", "ETH.base", "ETH.feed", "BTC.base", "BTC.feed"]
    assert not local_config.is_resolved


def test_without_venues_needs_neither_uniswap_nor_base(local_config: Config) -> None:
    assert local_config.without_venues().missing() == ["quote", "ETH.feed", "BTC.feed"]


# ---- governed by LPs


def test_load_governed_is_local_but_for_its_governor(local_config: Config) -> None:
    governed = config.load("local-governed")
    assert isinstance(governed.governor, config.Governance)
    assert governed.governor.params() == (60, 3_600, 1_000, 50, 10_800)
    assert governed.changed(network="local", governor=local_config.governor) == local_config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"delay": "30m"}, "timelock: delay range"),
        ({"voting_period": "10m"}, "governor: voting period"),
        ({"quorum": 0.9}, "governor: quorum"),
        ({"threshold": "0.00001"}, "threshold = .* is finer than"),
        ({"lock": "2h"}, "governor: lock period"),
        ({"council": "<nobody yet>"}, r"governor\..*council: .*is a placeholder"),
        ({"veto": True}, r"governor\..*veto: Extra inputs"),
    ],
)
def test_parse_governor_that_cannot_be_deployed_says_why(
    document: dict[str, Any], change: dict[str, Any], message: str
) -> None:
    section = {"delay": "1h", "voting_delay": "1m", "voting_period": "1h", "quorum": "0.1", "threshold": "0.005"}
    document["governor"] = section | {"lock": "3h", "council": None} | change
    with pytest.raises(ConfigError, match=message):
        config.parse(document, "file")


def test_load_extends_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    path = tmp_path / "child.yaml"
    path.write_text("extends: nowhere\nnetwork: child\n")
    with pytest.raises(ConfigError, match=r"nowhere\.yaml does not exist"):
        config.load(path)
