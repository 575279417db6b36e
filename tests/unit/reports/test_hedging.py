"""An hour and a half of a window, hedged for real: books are the chain's, and rivals match what they say."""

import numpy as np
import pytest

from ballast.demo.flow import MARKETS
from ballast.reports import ReportFailed, hedging
from ballast.reports.hedging import FEW, KEEPER, NOBODY, Case, Row
from ballast.reports.hedging_replay import Operator, Vault, gas_prices
from ballast.reports.hedging_rivals import FIXED_BAND, STEPPED_BAND, Matched, in_band, matched, on_schedule

WINDOW = "2021-05_crash"
MINUTES = 90


@pytest.fixture(scope="module")
def case():
    """The wildest stretch, on a rollup."""
    return Case.of(WINDOW, "rollup", "as deployed", MINUTES)


@pytest.fixture(scope="module")
def tape(case):
    """Its flow."""
    return case.tape


@pytest.fixture(scope="module")
def vault(case):
    """Hedged by the keeper."""
    run = Vault(case.tape, case.config, case.gas)
    return run, run.run()


def test_vault_books_are_what_inventory_has(tape, vault):
    run, course = vault
    held = [run.system.inventory.call("market", market).delta / 1e18 for market in range(len(MARKETS))]
    assert course.delta[-1] == pytest.approx(held, abs=1e-6)
    assert run._traders == pytest.approx(tape.traders[-1], abs=1e-9)
    assert course.trades_refused == 0


def test_vault_hedges_track_at_both_venues_and_cost_no_less_than_the_fee(tape, vault):
    _, course = vault
    assert tape.error(course.delta) < 0.5 * tape.error(-tape.traders)
    assert len(course.hedges) > FEW
    assert {hedge.size > 0 for hedge in course.hedges} == {False, True}
    for hedge in course.hedges:
        worth = abs(hedge.size) * tape.prices[hedge.minute, hedge.market]
        assert hedge.cost >= 0.98 * 5e-4 * worth
        assert hedge.cost >= hedge.loss * (1 - 1e-9)
        assert hedge.reward >= 0.98 * 5e-5 * worth


def test_vault_skipped_looks_change_nothing(case, vault, monkeypatch):
    _, course = vault
    monkeypatch.setattr(Vault, "_may_pay", lambda self, k: True)
    looked = Vault(case.tape, case.config, case.gas).run()
    assert [(h.minute, h.market) for h in looked.hedges] == [(h.minute, h.market) for h in course.hedges]
    assert np.allclose(looked.delta, course.delta, rtol=1e-3, atol=1e-3)


def test_vault_without_venues_leaves_what_traders_leave(case):
    course = Vault(case.tape, case.config.without_venues(), case.gas).run()
    assert np.allclose(course.delta, -case.tape.traders)
    assert course.charges > 0
    assert course.hedges == ()


def test_matched_rivals_track_as_asked(case, tape, vault):
    wanted = tape.error(vault[1].delta)
    found = matched(tape, case.config, wanted, hedging.costs(case))
    assert [rival.name for rival in found] == [FIXED_BAND, STEPPED_BAND, "schedule", "Whalley-Wilmott"]
    for rival in found:
        assert tape.error(np.cumsum(rival.hedges, axis=0) - tape.traders) <= wanted * (1 + 1e-9)
    band: Matched = found[0]
    wider = in_band(tape, np.full_like(tape.prices, 1.1 * band.parameter), band.inner)
    assert tape.error(np.cumsum(wider, axis=0) - tape.traders) > wanted


def test_operator_pays_fee_and_impact_at_the_pools(case, tape):
    hedges = on_schedule(tape, 10)
    course = Operator(tape, case.config, case.gas).run(hedges)
    assert len(course.hedges) == np.count_nonzero(hedges)
    turnover = float((np.abs(hedges) * tape.prices).sum())
    # a pool may be off the market by its fee, either way
    assert 0 < sum(hedge.loss for hedge in course.hedges) < 0.003 * turnover
    assert not any(hedge.short for hedge in course.hedges)
    assert all(hedge.short for hedge in Operator(tape, case.config, case.gas).run(-hedges).hedges)


def test_gas_prices_are_those_of_the_day(tape):
    assert set(gas_prices(tape.scenario).tolist()) == {298.784e9}  # 2021-05-19


def row(strategy: str, **changes: object) -> Row:
    """A row that meets every bound."""
    values: dict[str, object] = dict.fromkeys(Row.__dataclass_fields__, 0.0)
    values |= {"window": WINDOW, "chain": "rollup", "setting": "closer", "strategy": strategy, "parameter": ""}
    values |= {"refused": {}, "course": ((0.0, 0.0),), "hedges": FEW, "charges": 100.0, "volume": 1e6, "days": 1.0}
    return Row(**values | changes)  # type: ignore[arg-type]


def test_compare_names_what_is_over_its_bound():
    good = row(KEEPER, error=0.2, measured=30.0, reward=5.0, loss_at_market=20.0, gas=1.0, unhedged=1.0)
    band = row(FIXED_BAND, loss_at_market=27.0, gas=1.0)
    hedging.compare([row(NOBODY), good, band])
    for bad, message in (
        ([row(KEEPER, error=0.21)], "tracking error 21.0%"),
        ([row(KEEPER, measured=36.0)], "36.0% of charges"),
        ([good, row(FIXED_BAND, loss_at_market=26.0, gas=1.0)], "78% of what a fixed band"),
    ):
        with pytest.raises(ReportFailed, match=message):
            hedging.compare(bad)


def test_measure_keeps_what_it_has(tmp_path, monkeypatch):
    asked = []

    def stepped(case):
        asked.append((case.tape.scenario.window, case.chain, case.setting))
        place = {"window": case.tape.scenario.window, "chain": case.chain, "setting": case.setting}
        yield row(KEEPER, **place, unhedged=1.0, hedges=0)

    monkeypatch.setattr(hedging, "vaults", lambda case: iter(()))
    monkeypatch.setattr(hedging, "stepped", stepped)
    first = hedging.measure(tmp_path, MINUTES)
    assert len(asked) == len(set(asked)) == len(first) == 16
    next(tmp_path.glob("*-steps.json")).unlink()
    again = hedging.measure(tmp_path, MINUTES)
    assert len(asked) == 17
    assert again == first
    hedging.report(again, tmp_path)
    assert "2021-05_crash" in (tmp_path / "hedging.md").read_text()
