"""Forecasts use the past alone, and models find what is there."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from ballast import data
from ballast.policy import forecast
from ballast.policy.forecast import Floats, Recursive, Ridge, Samples


@pytest.fixture(scope="module")
def eth() -> Samples:
    return forecast.samples("ETH")


def test_samples_cover_the_record_and_targets_are_changes_of_listed_expiries(eth: Samples) -> None:
    assert len(eth) == 720
    assert eth.x.shape == (720, len(eth.names))
    assert np.isfinite(eth.x).all()
    assert np.isfinite(eth.y).all()
    # by hand, between the first two snapshots used: ETH's expiries around 7 days
    panel = data.smile_panel("ETH")
    now, then = panel.ts == eth.ts[0], panel.ts == np.unique(panel.ts)[2]
    days = (panel.expiry[now] - eth.ts[0]) / 86_400
    after = dict(zip(panel.expiry[then].tolist(), panel.atm_iv[then].tolist(), strict=True))
    low, high = np.flatnonzero(days <= 7)[-1], np.flatnonzero(days > 7)[0]
    part = (7 - days[low]) / (days[high] - days[low])
    moved = [after[int(panel.expiry[now][i])] - panel.atm_iv[now][i] for i in (low, high)]
    assert eth.y[0, 0] == pytest.approx(100 * (moved[0] * (1 - part) + moved[1] * part))


def test_samples_do_not_know_what_comes_later(eth: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    end = int(eth.ts[100])
    panels = {currency: data.smile_panel(currency) for currency in data.ASSETS}
    bars = {currency: data.hourly(currency) for currency in data.ASSETS}

    def until(panel: data.SmilePanel) -> data.SmilePanel:
        names = [field.name for field in fields(panel) if field.name != "currency"]
        return replace(panel, **{name: getattr(panel, name)[panel.ts <= end] for name in names})

    monkeypatch.setattr(data, "smile_panel", lambda currency: until(panels[currency]))
    monkeypatch.setattr(data, "hourly", lambda currency: bars[currency].between(0, end + 3_600))
    cut = forecast.samples("ETH")
    assert len(cut) == 100  # the last has no next snapshot
    assert np.array_equal(cut.x, eth.x[:100])
    assert np.array_equal(cut.y, eth.y[:100])


def test_walk_fits_to_what_is_over_and_forecasts_each_snapshot_once(eth: Samples) -> None:
    class Witness:
        """Remembers the last sample it was fitted to, and forecasts it."""

        def fit(self, x: Floats, y: Floats) -> Witness:
            self.last = float(x[:, 0].max())
            return self

        def predict(self, x: Floats) -> Floats:
            assert x[:, 0].min() > self.last
            return np.full(len(x), self.last)

    order = np.column_stack([np.arange(len(eth), dtype=float), eth.x])
    first, second = replace(eth, x=order), replace(eth, x=order.copy())
    found = forecast.walk(Witness, [first, second], 700, 7)
    for part in found:
        assert np.isnan(part[:700]).all()
        assert part[700:, 0].tolist() == [699] * 7 + [706] * 7 + [713] * 6


def test_ridge_finds_a_line_in_noise_and_nothing_where_nothing_is() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(1_500, 20))
    noise = rng.normal(size=1_500)
    line = 0.4 * x[:, 0] - 0.3 * x[:, 5]
    fitted = Ridge().fit(x[:1_000], (line + noise)[:1_000])
    rest = (line + noise)[1_000:]
    r2 = 1 - np.sum((rest - fitted.predict(x[1_000:])) ** 2) / np.sum(rest**2)
    assert 0.12 < r2 < 0.3  # 0.25/1.25 is there
    nothing = Ridge().fit(x[:1_000], noise[:1_000]).predict(x[1_000:])
    assert np.std(nothing) < 0.05


def test_recursive_least_squares_without_forgetting_is_ridge() -> None:
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(300, 4)), rng.normal(size=300)
    model = Recursive(half_life=np.inf, penalty=50.0, most=np.inf).fit(x, y)
    z = np.column_stack([np.ones(300), (x - x.mean(axis=0)) / x.std(axis=0)])
    assert model.beta == pytest.approx(np.linalg.solve(z.T @ z + 50 * np.eye(5), z.T @ y))


def test_recursive_least_squares_follows_a_change() -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(2_000, 1))
    y = np.where(np.arange(2_000) < 1_000, 1.0, -1.0) * x[:, 0]
    model = Recursive(half_life=100.0, penalty=1.0).fit(x, y)
    assert model.predict(np.array([[1.0]]))[0] == pytest.approx(-1.0, abs=0.05)
