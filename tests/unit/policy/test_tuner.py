"""The steward's policy: what it wants, what it may, and that the Steward takes every step of it."""

from __future__ import annotations

from math import log

import numpy as np
import pytest

from ballast.chain.artifacts import ROOT
from ballast.config import load
from ballast.model.exact.fixed import WAD
from ballast.model.exact.steward import Lever as Settings
from ballast.model.exact.steward import Steward, Surface
from ballast.policy import tuner
from ballast.policy.tuner import DAY, LEVERS, LOOK, Table, Watch

TABLE = Table(dict.fromkeys(LEVERS, 0.5), dict.fromkeys(LEVERS, 2.0))


def test_goal_lies_between_the_rows_by_heat() -> None:
    assert tuner.warmth(0.64, 1.0) == 0.0  # heat 0.8
    assert tuner.warmth(2.56, 1.0) == 1.0  # 1.6
    assert tuner.warmth(1.28, 1.0) == pytest.approx(0.5)
    assert tuner.goal(8.0, 0.5, 2.0, 0.5) == pytest.approx(8.0)
    assert tuner.goal(8.0, 0.5, 2.0, 1.0) == pytest.approx(16.0)


def test_watch_averages_annual_variances_of_all_markets() -> None:
    watch = Watch((100.0, 10.0), 0.5, 0.0)
    watch.see((101.0, 10.0), 3_600.0)
    keep = 2 ** (-1 / 24)
    sample = log(1.01) ** 2 * 8_760 / 2  # BTC stands still
    assert watch.short == pytest.approx(0.25 * keep + sample * (1 - keep))
    watch.see((1_000.0, 10.0), 7_200.0)  # counts as 20 %
    assert watch.short < 0.25 + 0.04 * 8_760


def test_step_is_never_more_than_the_lever_allows() -> None:
    assert tuner.stepped(8.0, 16.0, 2.0, 40.0, 2.0, LOOK) == pytest.approx(8 + 2 / 24)
    assert tuner.stepped(8.0, 16.0, 2.0, 40.0, 2.0, 10 * DAY) == 10.0
    assert tuner.stepped(8.0, 8.1, 2.0, 40.0, 2.0, DAY) == 8.1
    assert tuner.stepped(39.0, 80.0, 2.0, 40.0, 2.0, DAY) == 40.0
    assert tuner.stepped(3.0, 1.0, 2.0, 40.0, 2.0, DAY) == 2.0


def test_levers_that_cool_down_or_are_none_stay() -> None:
    lever = Settings(floor=200, ceiling=4_000, speed=200, cooldown=7_200)
    assert tuner.accepted(800, 1_600, lever, 3_600) == 800
    assert tuner.accepted(800, 1_600, lever, 7_200) == 816
    assert tuner.accepted(800, 100, lever, 86_400) == 600
    assert tuner.accepted(800, 1_600, Settings(), 86_400) == 800
    assert (
        tuner.accepted(50, 1_600, lever, 7_200) == 50
    )  # outside the band, further than one step: governance's to mend


def test_the_steward_takes_every_step_of_a_storm() -> None:
    """A month with a storm in it, looked at every hour: the exact twin of the Steward refuses nothing."""
    config = load("local")
    assert config.steward is not None
    deployed = tuner.deployed_values(config)
    words = {"words": [round(deployed[name] * WAD) for name in LEVERS]}
    steward = Steward(
        lambda _: tuple(words["words"]), lambda _, data, now: words.update(words=list(data)), key="policy"
    )
    surface = steward.list_surface(Surface("all"))
    levers = []
    for word, name in enumerate(LEVERS):
        x = config.steward.levers[name]
        levers.append(Settings(*(int(v * WAD) for v in (x.floor, x.ceiling, x.speed)), x.cooldown, 0))
        steward.set_lever(surface, word, levers[-1], 0)
    rng = np.random.default_rng(2)
    watch, prices = Watch((2_000.0, 40_000.0), 0.6, 0.0), np.array([2_000.0, 40_000.0])
    calls, seen = 0, []
    for hour in range(1, 24 * 30):
        prices = prices * np.exp(rng.normal(0.0, 0.02 if 200 < hour < 300 else 0.004, 2))
        now = int(hour * LOOK)
        watch.see(prices.tolist(), now)
        new = []
        for word, name in enumerate(LEVERS):
            wanted = round(tuner.goal(deployed[name], TABLE.calm[name], TABLE.storm[name], watch.warm) * WAD)
            waited = now - steward.moved_at[surface, word]
            new.append(tuner.accepted(words["words"][word], wanted, levers[word], waited))
        if new != words["words"]:
            steward.adjust("policy", [(surface, new)], now)
            calls += 1
        seen.append(words["words"][LEVERS.index("spreads.z")] / WAD)
    assert calls > 100
    assert max(seen) > 2.5  # the storm
    assert min(seen) < 1.2  # the calm


def test_shipped_table_is_the_finding_s_and_a_storm_loosens_nothing() -> None:
    table = Table.load()
    page = (ROOT / "sims" / "findings" / "tuner.md").read_text().splitlines()
    (line,) = (line for line in page if line.startswith("| **shipped** |"))
    numbers = [float(cell) for cell in line.split("|")[3:-1] if cell.strip()]
    assert numbers == [*table.calm.values(), *table.storm.values()]
    for name in LEVERS:
        tighter = -1 if name == "inventory.u_star" else 1
        assert tighter * table.storm[name] >= tighter * table.calm[name]
