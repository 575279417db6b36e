"""Errors of NAV between renewals are against the pricer itself, and proportional to the size of the book."""

from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from ballast.model.exact.option_book import MAX_STRIKES
from ballast.model.exact.vol_surface import VolSurface
from ballast.reports import ReportFailed, taylor
from ballast.reports.taylor import ETH, FREE, Replay, Row
from ballast.surface.signing import update_of

ROW = Row("2021-05_crash", "near", "u_max", 9, 0.1, 1.0, 1.9, 0.04, 50.0)


def test_valued_is_what_a_renewal_would_find() -> None:
    day = next(taylor.days("2021-05_crash"))
    surface = VolSurface({ETH: FREE})
    surface.post(update_of(day.surface(day.start, day.spot), ETH, day.spot), day.start)
    book = taylor.book_of(day, surface, near=True, size=0.1)
    mark, now = taylor.mark_of(day.spot * 1.02), day.start + 1_200
    for key, held in dict(book.books).items():
        value = taylor.valued(book, surface, key, mark.price, now)
        book.renew(key, mark, 86_400, now)
        assert held.value != book.books[key].value
        assert abs(value - book.books[key].value) <= 2 * MAX_STRIKES


def test_replay_of_an_hour_has_no_error_where_nothing_moves_and_some_where_spot_does() -> None:
    day = next(taylor.days("2021-05_crash"))
    hour = day.bars.between(day.start, day.start + 3_600)
    still = replace(hour, close=hour.close * 0 + day.spot)
    moved = taylor.replay(replace(day, bars=hour), near=False)
    quiet = taylor.replay(replace(day, bars=still), near=False)
    assert max(map(abs, quiet.error)) < 0.01 < max(map(abs, moved.error))
    assert len(quiet.error) == 60 - 2  # the half hour is over at 31 minutes, the next surface comes at 60
    assert quiet.renewals == 2


def test_days_follow_each_other_and_the_crash_meets_the_crash() -> None:
    first, second = islice(taylor.days("2021-05_crash"), 2)
    assert second.start == first.start + 86_400
    assert len(first.bars) == 1_440
    steepest = min(taylor.days("2021-05_crash"), key=lambda day: float(day.bars.low.min()))
    assert steepest.first.rho < -0.3
    assert steepest.chain.index_price[0] < 1_900


def test_summary_scales_each_day_by_its_own_size() -> None:
    days = [Replay("w", (1.0, -2.0), 0.1, 4, 3.0, 0.0), Replay("w", (4.0, 0.0), 0.5, 4, 5.0, 0.0)]
    ordinary, whole = taylor.summary("near", days)
    assert (whole.most, whole.median, whole.due) == (4.0, 1.5, 0.5)
    assert ordinary.most == 2.0
    assert whole.renewals == pytest.approx(8 * 1_440 / 8)


def test_compare_over_the_bound_raises(tmp_path: Path) -> None:
    taylor.compare([ROW])
    taylor.report([ROW], tmp_path)
    assert (
        "| 2021-05_crash | near | u_max | 9 | 0.100 | 1.00 | **1.90** | 4.0% | 50 |"
        in (tmp_path / "taylor.md").read_text()
    )
    with pytest.raises(ReportFailed, match=r"2021-05_crash, near, u_max: 2\.10 bp are over 2"):
        taylor.compare([replace(ROW, most=2.1)])
