"""What the policy would have the steward's key move now: hourly prices and the Steward's views in, settings out."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from decimal import Decimal
from math import sqrt
from pathlib import Path

import numpy as np

from ballast.config import Config
from ballast.plan import levers
from ballast.policy.tuner import LEVERS, LOOK, YEAR, Table, Watch, accepted, goal
from ballast.system import System

LEAST_HOURS = 7 * 24


class NoPrices(ValueError):
    """A file holds no hourly prices that heat could be told from."""


def heat(path: Path, markets: Sequence[str]) -> Watch:
    """From a CSV of `ts` [Unix seconds] and a price of each market, oldest first, about hourly. Raises NoPrices.

    A month is enough; what is older counts little.
    """
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    try:
        times = [float(row["ts"]) for row in rows]
        prices = [[float(row[name]) for name in markets] for row in rows]
    except (KeyError, TypeError, ValueError):
        raise NoPrices(f"{path}: needs numbers in the columns ts, {', '.join(markets)}") from None
    if len(rows) < LEAST_HOURS or min(np.diff(times), default=0.0) <= 0.0 or np.min(prices) <= 0.0:
        raise NoPrices(f"{path}: needs {LEAST_HOURS} prices above zero at least, in the order of time")
    returns = np.diff(np.log(prices), axis=0)
    watch = Watch(prices[0], sqrt(float(np.mean(returns**2)) * YEAR / LOOK), times[0])
    for now, at in zip(prices[1:], times[1:], strict=True):
        watch.see(now, at)
    return watch


def settings_now(system: System, warm: float, table: Table, now: int) -> list[str]:
    """As `steward adjust --set` takes them, with values that the Steward accepts at `now` [s since 1970]."""
    found = []
    for i, each in enumerate(levers(system.config)):
        words = [name.partition(".")[2] for name in LEVERS if name.partition(".")[0] == each.surface.name]
        values, known = system.steward.call("values", i), system.steward.call("levers", i)
        for name in words:
            index = each.surface.index(name)
            value, scale = int(values[index]), each.surface.words[index].scale
            waited = now - int(system.steward.call("moved_at", i, index))
            row, deployed = f"{each.surface.name}.{name}", _deployed(system.config, each.place, name)
            wanted = round(goal(deployed, table.calm[row], table.storm[row], warm) * scale)
            new = accepted(value, wanted, known[index], waited)
            if new != value:
                found.append(f"{each.name}.{name}={Decimal(new) / scale:f}")
    return found


def _deployed(config: Config, place: str, name: str) -> float:
    """A parameter as the network's file has it."""
    if not place:
        return float(getattr(config.inventory, name))
    return float(getattr(next(m.inventory for m in config.markets if m.name == place), name))
