"""Parameters that follow the market's heat, for the steward's key: what they should be now, and the step toward it.

Heat is realised volatility of the last day over that of the last month, of all markets together, from hourly prices:

    v     = v · keep + r²/elapsed · (1 − keep),   keep = 2^(−elapsed / half-life)      |r| at most 20 %, per year
    heat  = √(v of a day's half-life / v of a month's)
    w     = ln(heat / COOL) / ln(HOT / COOL), between 0 and 1
    goal  = deployed · calm^(1−w) · storm^w          two rows of multipliers, learnt: `tuner.json`
    step  = goal − value, at most speed · time since the last move, inside the lever's floor and ceiling

The step is what `Steward.vy` takes; nothing here is trusted by it. Functions of numbers are plain, so that simulations
compile these very ones (`sims/rules/adaptive.py`, njit).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log, sqrt
from pathlib import Path

from ballast.config import Config
from ballast.model.exact.steward import Lever as Settings

LEVERS = ("inventory.aversion", "inventory.u_star", "spreads.base", "spreads.z")
DAY = 86_400.0
YEAR = 365 * DAY
SHORT, LONG = DAY, 30 * DAY  # half-lives [s]
COOL, HOT = 0.8, 1.6  # heat at which a row holds alone
MOST_RETURN = 0.2
LOOK = 3_600.0  # [s] between looks
TABLE = Path(__file__).resolve().parent / "tuner.json"


def averaged(variance: float, move: float, elapsed: float, half_life: float) -> float:
    """v after a return of ln `move` over `elapsed` [s]."""
    r = min(abs(log(move)), MOST_RETURN)
    keep = 2.0 ** (-elapsed / half_life)
    return float(variance * keep + r * r * YEAR / elapsed * (1.0 - keep))


def warmth(short: float, long: float) -> float:
    """w of two variances, both > 0."""
    return min(max(log(sqrt(short / long) / COOL) / log(HOT / COOL), 0.0), 1.0)


def goal(deployed: float, calm: float, storm: float, warm: float) -> float:
    """Where a parameter should be at w = `warm`."""
    return float(deployed * calm ** (1.0 - warm) * storm**warm)


def stepped(value: float, wanted: float, floor: float, ceiling: float, speed: float, elapsed: float) -> float:
    """The next value, as far toward `wanted` as the lever allows `elapsed` [s] after its last move; never past it."""
    room = speed * min(elapsed / DAY, 1.0)
    return min(max(min(max(wanted, value - room), value + room), floor), ceiling)


@dataclass(frozen=True, slots=True)
class Table:
    """Multipliers of what is deployed, by lever."""

    calm: Mapping[str, float]
    storm: Mapping[str, float]

    @classmethod
    def load(cls, path: Path = TABLE) -> Table:
        """The learnt one. KeyError where it misses a lever."""
        found = json.loads(path.read_text())
        return cls(*({name: float(found[row][name]) for name in LEVERS} for row in ("calm", "storm")))


class Watch:
    """The heat, from prices of all markets as they come."""

    def __init__(self, prices: Sequence[float], sigma: float, at: float) -> None:
        self.prices, self.at = tuple(prices), at
        self.short = self.long = sigma * sigma

    def see(self, prices: Sequence[float], at: float) -> None:
        """Take the next prices, later than the last."""
        elapsed = at - self.at
        n = len(self.prices)
        short = [averaged(self.short, new / old, elapsed, SHORT) for new, old in zip(prices, self.prices, strict=True)]
        long = [averaged(self.long, new / old, elapsed, LONG) for new, old in zip(prices, self.prices, strict=True)]
        self.short, self.long = sum(short) / n, sum(long) / n
        self.prices, self.at = tuple(prices), at

    @property
    def warm(self) -> float:
        """w now."""
        return warmth(self.short, self.long)


def accepted(value: int, wanted: int, lever: Settings, waited: int) -> int:
    """The value toward `wanted` that the Steward accepts of its key `waited` [s] after the last move, in its unit."""
    if lever.floor == lever.ceiling or waited < lever.cooldown:
        return value
    room = lever.speed * min(waited, int(DAY)) // int(DAY)
    new = min(max(min(max(wanted, value - room), value + room), lever.floor), lever.ceiling)
    return new if abs(new - value) <= room else value


def deployed_values(config: Config) -> dict[str, float]:
    """What a network's file says of the levers' parameters; spreads are those of its first market."""
    spreads = config.markets[0].inventory
    return {
        name: float(getattr(config.inventory if name.startswith("inventory.") else spreads, name.partition(".")[2]))
        for name in LEVERS
    }
