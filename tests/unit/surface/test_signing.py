"""A signed update survives its file and collects signatures of itself alone; other files are refused with a reason."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ballast.model.exact.fixed import WAD
from ballast.model.exact.vol_surface import Point, Update
from ballast.surface import Surface
from ballast.surface.signing import NotAnUpdate, SignedUpdate, sign, update_of
from ballast.surface.ssvi import DAY, YEAR

KEYS = tuple(f"0x{n:064x}" for n in (11, 12, 13))
CONTRACT = "0x" + "12" * 20
START = 1_700_006_400  # midnight UTC
UPDATE = Update(1, START, -(WAD // 3), 2**60 + 1, (Point(START + DAY, 2**70 + 1, -7), Point(START + 9 * DAY, 2**71, 5)))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "update.json"


def test_load_is_what_was_saved(path: Path) -> None:
    signed = SignedUpdate(UPDATE, CONTRACT, 31_337)
    for key in KEYS:
        signed.sign(key)
    signed.save(path)
    assert SignedUpdate.load(path) == signed
    assert signed.ordered() == sign(UPDATE, CONTRACT, 31_337, *KEYS[::-1])


def test_merge_adds_signatures_of_the_same_update(path: Path) -> None:
    first, second = SignedUpdate(UPDATE, CONTRACT, 1), SignedUpdate(UPDATE, CONTRACT, 1)
    first.sign(KEYS[2])
    second.sign(KEYS[0])
    first.merge(second)
    assert first.ordered() == sign(UPDATE, CONTRACT, 1, KEYS[0], KEYS[2])


@pytest.mark.parametrize(
    "other",
    [
        SignedUpdate(replace(UPDATE, eta=UPDATE.eta + 1), CONTRACT, 1),
        SignedUpdate(UPDATE, "0x" + "13" * 20, 1),
        SignedUpdate(UPDATE, CONTRACT, 2),
    ],
)
def test_merge_of_another_update_is_refused(other: SignedUpdate) -> None:
    signed = SignedUpdate(UPDATE, CONTRACT, 1)
    with pytest.raises(NotAnUpdate, match="different updates"):
        signed.merge(other)
    assert signed.signatures == {}


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(rho="0"),
        lambda d: d["points"][1].update(theta="1"),
        lambda d: d.update(chain_id=5),
        lambda d: d.update(contract="0x" + "13" * 20),
        lambda d: d["signatures"].update({CONTRACT: next(iter(d["signatures"].values()))}),
        lambda d: d["signatures"].update({CONTRACT: "0x1234"}),
    ],
)
def test_load_of_a_file_that_was_changed_is_refused(path: Path, change: Any) -> None:
    signed = SignedUpdate(UPDATE, CONTRACT, 1)
    signed.sign(KEYS[0])
    signed.save(path)
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(NotAnUpdate, match="not of that key and this update"):
        SignedUpdate.load(path)


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"points": 3}'])
def test_load_of_anything_else_is_refused(path: Path, text: str | None) -> None:
    if text is not None:
        path.write_text(text)
    with pytest.raises(NotAnUpdate, match="holds no signed update"):
        SignedUpdate.load(path)


@given(
    elapsed=st.integers(-30 * DAY, 400 * DAY),
    thetas=st.lists(st.floats(1e-4, 0.5), min_size=1, max_size=6),
    rate=st.floats(-0.1, 0.1),
)
def test_as_of_keeps_volatilities_rates_and_the_hour(elapsed: int, thetas: list[float], rate: float) -> None:
    now = START + elapsed
    expiry = START + 8 * 3_600 + DAY * (1 + np.arange(len(thetas)) ** 2)
    years, spot = (expiry - START) / YEAR, 2_000.0
    old = Surface(START, -0.4, 0.9, expiry, spot * np.exp(rate * years), np.cumsum(thetas))
    new = old.as_of(now, spot)
    assert new.ts == now
    assert np.all(new.expiry > now)
    assert np.all(new.expiry % DAY == 8 * 3_600)
    kept = len(expiry) - len(new.expiry)
    assert kept <= 0 or np.all(old.expiry[:kept] - START <= DAY + 8 * 3_600)
    vols = np.sqrt(old.theta / old.years())[kept:]
    np.testing.assert_allclose(np.sqrt(new.theta / new.years()), vols, rtol=1e-12)
    np.testing.assert_allclose(np.log(new.forward / spot) / new.years(), rate, atol=1e-9)
    assert new.violations() == []
    update = update_of(new, 0, spot)
    assert [point.expiry for point in update.points] == list(new.expiry)
