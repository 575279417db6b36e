"""The demo, two hours of it, on its own node: every invariant, everybody's exit, the comparison and the report."""

import json
import math
import re

import pytest
from click.testing import CliRunner

from ballast.demo import report
from ballast.demo.__main__ import main
from ballast.demo.options import POST
from ballast.demo.report import PICTURES, columns, summary
from ballast.demo.run import run

pytestmark = pytest.mark.anvil

MINUTES = 120
IDS = ["I1", "I1", "I2", "I2", "I3", "I3", "I4", "I5", "I6", "I7"]


@pytest.fixture(scope="module")
def result():
    """Two hours of the crash of May 2021."""
    return run("2021-05_crash", minutes=MINUTES)


def test_demo_every_invariant_holds(result):
    assert [check.id for check in result.checks] == IDS
    assert [check.figure for check in result.checks if not check.holds] == []


def test_demo_everything_happened(result):
    tally = result.tally
    assert tally.trades > 100
    assert tally.hedges > tally.shorts > 0
    assert {found.taken for found in result.liquidations} == {False, True}
    assert any(found.share < 1 for found in result.liquidations)
    assert tally.penalties > tally.penalties_keeper > 0
    assert tally.longest_weak < 60
    assert tally.rounds == result.scenario.rounds
    assert tally.charges > 0
    assert result.transactions > 500


def test_demo_options_are_traded_refreshed_and_settled(result):
    options = result.options
    assert options.trades > 20
    assert options.bought > 0
    assert options.sold > 0
    assert options.charges > 0
    assert options.surfaces == 2 * (1 + MINUTES // POST)
    assert not options.refused_surfaces
    assert options.paid_refreshes > 0
    assert any(sample.markets[0].vega for sample in result.samples)
    # the next expiry comes while everybody leaves
    assert {settled.market for settled in result.settlements} == {0, 1}
    assert all(abs(settled.payoff) > 0 for settled in result.settlements)
    assert (result.final.payables, result.option_exits.settled_accounts > 0) == (0.0, True)


def test_demo_everyone_left_and_only_dust_remains(result):
    final = result.final
    assert (final.supply, final.fees) == (0.0, 0.0)
    assert abs(final.venues) < 1e-7  # base: interest on the last units owed to Aave, too little to be bought
    assert 0 <= final.dust < 50.0
    assert final.margin < 0.001
    assert final.epochs > 0


def test_demo_hedging_lowers_the_inventory(result):
    markets = [market for sample in result.samples for market in sample.markets]
    before = [abs(m.price * (m.options - m.traders)) for m in markets]
    after = [abs(m.price * (m.options - m.traders + m.hedge)) for m in markets]
    assert sum(after) < 0.5 * sum(before)
    assert max(after) < 0.5 * max(before)
    assert min(m.hedge for m in markets) < 0 < max(m.hedge for m in markets)


def test_demo_variants_repeat_every_trade(result):
    for outcome in result.variants:
        assert outcome.refused == 0
        assert outcome.volume >= result.tally.volume
        assert len(outcome.samples) == len(result.samples)
    unhedged, perpetuals, flat = result.variants
    assert flat.charges == flat.rebates == 0.0
    assert flat.half_spreads > flat.volume * 0.001
    assert unhedged.charges > perpetuals.charges > 0
    assert perpetuals.options == 0.0
    assert unhedged.trades == flat.trades > perpetuals.trades


def test_demo_options_bring_every_vault_the_same_before_spreads(result):
    as_run, unhedged, _, flat = (column.options for column in columns(result))
    # liquidations are repeated at the minute's close, not when the keeper came
    assert unhedged == pytest.approx(as_run, abs=0.001 * result.options.bought)
    assert flat == unhedged


def test_demo_nav_per_share_of_all_vaults_starts_alike(result):
    assert [column.samples[0].share for column in columns(result)] == pytest.approx([1.0] * 4, rel=1e-3)


def test_demo_no_trade_band_is_recorded(result):
    banded = [sample for sample in result.samples if sample.bands]
    assert len(banded) == len(result.samples)
    assert all(low < high for sample in banded for low, high in sample.bands)


def test_summary_is_plain_finite_json(result, tmp_path):
    path = tmp_path / "out" / "demo.json"
    report.write_json(result, path)
    document = json.loads(path.read_text())
    assert document == json.loads(json.dumps(summary(result)))

    def walk(node):
        if isinstance(node, dict):
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)
        elif isinstance(node, float):
            assert math.isfinite(node)

    walk(document)
    assert len(document["vaults"]) == 4
    assert document["options"]["settlements"]


def test_report_is_one_self_contained_page(result, tmp_path):
    path = tmp_path / "demo.html"
    report.write_html(result, path)
    page = path.read_text()
    assert page.count("<svg") == len(PICTURES)
    assert "<script" not in page
    assert "<link" not in page
    assert not re.search(r'(src|href)="(https?:)?//', page)
    assert not re.search(r"url\((?!#)", page)
    for check in result.checks:
        assert check.title.replace(">", "&gt;") in page or check.title in page


def test_demo_command_writes_another_report_for_another_window(tmp_path):
    arguments = ["--window", "calm", "--minutes", "60", "--out", str(tmp_path), "--json"]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    page = (tmp_path / "demo-calm_2023-08.html").read_text()
    assert "Ballast, calm_2023-08" in page
    document = json.loads((tmp_path / "demo-calm_2023-08.json").read_text())
    assert document["window"] == "calm_2023-08"
    assert all(check["holds"] for check in document["invariants"])


def test_demo_command_names_the_windows_when_it_knows_none():
    done = CliRunner().invoke(main, ["--window", "1929"])
    assert done.exit_code == 2
    assert "2021-05_crash" in done.output
