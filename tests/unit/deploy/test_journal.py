"""What survives a crash."""

import json
from pathlib import Path

import pytest

from ballast.chain import RevmChain
from ballast.chain.artifacts import ROOT
from ballast.deployment import manifest
from ballast.deployment.deploy import DeployError, Journal, create_address, journal_beside


def test_write_entries_are_read_back(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "deep" / "x.jsonl")
    journal.write(kind="intent", step="a", nonce=1)
    journal.write(kind="done", step="a", block=7)
    again = Journal(journal.path)
    assert again.entries == journal.entries
    assert again.last("done", step="a") == {"kind": "done", "step": "a", "block": 7}
    assert again.last("intent", "done", step="a") == again.last("done")
    assert again.last("done", step="b") is None


def test_open_torn_last_line_counts_as_never_written(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps({"kind": "start"}) + "\n" + '{"kind": "int')
    journal = Journal(path)
    assert [entry["kind"] for entry in journal.entries] == ["start"]
    journal.write(kind="intent", step="a")
    assert [entry["kind"] for entry in Journal(path).entries] == ["start", "intent"]


def test_locked_second_deployer_is_kept_out(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    refused = pytest.raises(DeployError, match="another deployment is writing")
    with Journal(path).locked(), refused, Journal(path).locked():
        pass
    with Journal(path).locked():
        pass


def test_create_address_equals_published_examples() -> None:
    sender = "0x6AC7Ea33f8831ea9DcC53393Aaa88b25A785dbf0"
    assert create_address(sender, 0) == "0xcd234A471b72ba2F1Ccf0A70FCABA648a5eeCD8d"
    assert create_address(sender, 1) == "0x343c43A37D37dfF08AE8C4A11544c718AbB4fCF8"


def test_create_address_is_where_the_chain_creates(chain: RevmChain) -> None:
    for nonce in range(300):  # one-byte, long one-byte and two-byte nonces
        assert create_address(chain.accounts[5], nonce) == chain.deploy("NullVenue", sender=chain.accounts[5]).address


def test_journal_lies_beside_the_manifest() -> None:
    assert journal_beside(manifest.path_of("sepolia")) == ROOT / "deployments" / "sepolia.journal.jsonl"
