"""The replay visits every extreme, its feed hides no more than it says, and it notices what it is there to notice."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ballast import data
from ballast.data import Asset, Bars, Floats
from ballast.model.exact.fixed import Reverted
from ballast.model.exact.system import System
from ballast.reports import ReportFailed, stress
from ballast.reports import stress_replay as replay
from ballast.reports.stress_replay import BLOCK, DEVIATION, HEARTBEAT, MIXES, SLOW, Run
from ballast.reports.stress_replay import Path as Between

START = 1_620_000_000
MINUTES = 40
ACCOUNTS = 16


def bars_of(close: Floats, step: int = 60) -> Bars:
    """Bars that open where the last one closed, with a wick of 0.1 % on either side."""
    opened = np.concatenate([close[:1], close[:-1]])
    ts = START + step * np.arange(len(close), dtype=np.int64)
    high, low = np.maximum(opened, close) * 1.001, np.minimum(opened, close) * 0.999
    return Bars(step, ts, opened, high, low, close, np.full(len(close), np.nan))


def crash(depth: float) -> dict[Asset, Bars]:
    """Flat, then down by `depth` within five minutes, then flat."""
    way = np.interp(np.arange(MINUTES), [0, 25, 30, MINUTES], [1.0, 1.0, 1.0 - depth, 1.0 - depth])
    return {"ETH": bars_of(2_000 * way), "BTC": bars_of(40_000 * way)}


def run(depth: float, *, path: Between = "straight", delay: int = BLOCK, hedged: bool = False) -> Run:
    """Accounts that are mostly long in it."""
    tape = replay.tape("crash", crash(depth), path)
    plan = [replace(each, block=each.block // 2) for each in replay.plans(tape, "longs", 1, ACCOUNTS)]
    return replay.Replay.start(tape, plan, hedged=hedged).run("longs", path, delay)


@pytest.mark.parametrize("step", [60, 300])
def test_block_prices_each_bar_visits_its_extremes_in_the_order_of_the_rule(step: int) -> None:
    bars = bars_of(np.array([100.0, 90.0, 95.0]), step)
    for path in replay.PATHS:
        by_bar = replay.block_prices(bars, path).reshape(len(bars), -1)
        assert np.allclose(by_bar[:, 0], bars.open)
        assert np.allclose(by_bar[:, -1], bars.close)
        assert np.allclose(by_bar.max(axis=1), bars.high)
        assert np.allclose(by_bar.min(axis=1), bars.low)
        assert (by_bar.argmax(axis=1) < by_bar.argmin(axis=1)).tolist() == (bars.close < bars.open).tolist()
    assert len(np.unique(replay.block_prices(bars, "jumps"))) <= 4 * len(bars)


def test_posts_feed_is_never_further_off_nor_older_than_it_may_be() -> None:
    bars = data.minute_window("flash")["ETH"]
    price = replay.block_prices(bars.between(int(bars.ts[0]), int(bars.ts[0]) + 86_400), "straight")
    rounds = list(replay.posts(price))
    blocks, answers = np.array([block for block, _ in rounds]), np.array([answer for _, answer in rounds])
    newest = answers[np.searchsorted(blocks, np.arange(len(price)), "right") - 1]
    assert abs(price / newest - 1).max() < DEVIATION
    assert np.diff(blocks).max() * BLOCK <= HEARTBEAT
    early = np.diff(blocks) * BLOCK < HEARTBEAT
    assert (abs(answers[1:] / answers[:-1] - 1)[early] >= DEVIATION - 1e-9).all()


def test_windows_every_series_of_minutes_and_five_minutes_is_replayed() -> None:
    folders = [Path(data.__file__).parent / folder for folder in ("bars_1m", "bars_5m")]
    found = list(replay.windows())
    series = {(asset, int(bars.ts[0]), float(bars.close[0])) for _, window in found for asset, bars in window.items()}
    assert len(series) == sum(1 for folder in folders for _ in folder.glob("*.csv.gz"))
    assert len({name for name, _ in found}) == len(found)


def test_tape_missing_bars_are_refused() -> None:
    bars = bars_of(np.full(5, 100.0))
    with pytest.raises(ValueError, match="bars of ETH are missing"):
        replay.tape("gap", {"ETH": replace(bars, ts=bars.ts + 60 * (bars.ts > START + 60))}, "straight")


def test_run_crash_liquidates_and_everybody_leaves_with_the_ledger_covered() -> None:
    first, again = run(0.12), run(0.12)
    assert first == again
    assert first.liquidations
    assert all(each.equity < each.maintenance for each in first.liquidations)
    assert max(each.waited for each in first.liquidations) == BLOCK
    assert first.uncovered == first.stuck == first.unpaid == 0
    assert sum(len(opened) for opened in first.opened.values()) + first.refused == ACCOUNTS


def test_run_slow_keeper_leaves_accounts_below_maintenance_for_longer() -> None:
    slow = run(0.12, delay=SLOW)
    assert BLOCK < max(each.waited for each in slow.liquidations) < SLOW
    assert min(each.equity / each.maintenance for each in slow.liquidations) < min(
        each.equity / each.maintenance for each in run(0.12).liquidations
    )


def test_run_gap_deeper_than_margin_leaves_debt_that_insurance_bears_before_lps() -> None:
    deep = run(0.6, path="jumps")
    assert sum(each.missing for each in deep.liquidations) > 0
    assert all(0 <= each.missing <= each.debt for each in deep.liquidations)
    total = sum(each.debt for each in deep.liquidations) + deep.later
    assert deep.by_insurance + deep.by_lps == pytest.approx(total)
    assert deep.by_lps > 0
    assert deep.insurance_low < 1
    assert deep.uncovered == deep.unpaid == 0


def test_run_hedged_lps_of_short_inventory_win_less() -> None:
    assert run(0.12, hedged=True).lps < run(0.12).lps


def test_run_refused_liquidations_are_stuck_accounts(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(system: System, name: str, market: int, now: int) -> int:
        raise Reverted("liquidation: requirement would not fall")

    monkeypatch.setattr(replay, "_liquidate", refuse)
    found = run(0.12)
    assert found.stuck > 0
    assert found.stuck_for >= BLOCK
    with pytest.raises(ReportFailed, match=f"{found.stuck} stuck"):
        stress.compare([stress.summary(stress.CASES[0], [found])])


def test_report_has_every_case_of_a_window_and_its_picture(tmp_path: Path) -> None:
    found = run(0.12)
    row = stress.summary(stress.CASES[0], [replace(found, mix=mix) for mix in MIXES])
    rows = [replace(row, case=case.name) for case in stress.CASES]
    stress.report(rows, found, tmp_path)
    text = (tmp_path / "stress.md").read_text()
    assert text.count("| crash |") == 1 + len(stress.CASES)
    assert f"{3 * len(rows)} runs" in text
    assert all("<svg" in (tmp_path / name).read_text() for name in ("stress.svg", "stress-course.svg"))
    stress.compare(rows)
