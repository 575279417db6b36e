"""What a posted forecast earns against somebody who knows the next surface."""

from __future__ import annotations

import numpy as np
import pytest

from ballast import data
from sims.studies.forecast import Forecast


def test_losses_by_hand_without_a_forecast_and_bounded_by_the_drift_with_an_absurd_one() -> None:
    panel = data.smile_panel("ETH")
    moments = np.unique(panel.ts)
    study = Forecast(days=(5.0, 60.0))
    t, then = int(moments[150]), int(moments[151])
    losses = study._losses("ETH", np.array([t, t]), np.array([[0.0, 0.0, 0.0], [1e9, 1e9, 0.0]]))
    total = 0.0
    floor, wide = 0.4, 100 * 0.7 * np.sqrt((then - t + 60) / (365 * 86_400))
    now, after = panel.ts == t, panel.ts == then
    expiries = [e for e in panel.expiry[now] if 5 <= (e - t) / 86_400 <= 60]
    assert expiries
    late = bounded = 0.0
    for e in expiries:
        for points in (panel.put_25d_iv, panel.atm_iv, panel.call_25d_iv):
            move = 100 * float((points[after][panel.expiry[after] == e] - points[now][panel.expiry[now] == e])[0])
            total += max(abs(move) - floor, 0.0)
            late += max(abs(move) - wide, 0.0)
            bounded += max(abs(move - 3.0) - floor, 0.0)  # vol_base: 3 points at once
    n = 3 * len(expiries)
    assert losses[0, 0] == pytest.approx([total / n, late / n])
    assert losses[0, 1] == pytest.approx(losses[0, 0])
    assert losses[1, 1, 0] == pytest.approx(bounded / n)
    assert losses[1, 1, 0] != pytest.approx(losses[1, 0, 0])
