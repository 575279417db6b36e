"""Ballast whose steward follows the market's heat: `ballast/policy/tuner.py`, looking once an hour, inside its levers.

Everything else is `sims/rules/ballast.py`. The table's multipliers are of what is deployed; 1 everywhere is Ballast as
it is. `warm` and `values` are what the steward has come to before the first step.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from ballast.policy import tuner
from ballast.policy.tuner import DAY, LEVERS, LONG, LOOK, SHORT
from sims.jit import njit
from sims.rules import ballast
from sims.rules.ballast import BASE, LAMBDA, N_GLOBAL, N_OWN, U_STAR, Z
from sims.world import PRICE, TIME, Floats

_averaged, _warmth = njit(tuner.averaged), njit(tuner.warmth)
_goal, _stepped = njit(tuner.goal), njit(tuner.stepped)

# the policy's parameters come after the rule's: variances at first, then of each lever
FIRST_SHORT, FIRST_LONG = 0, 1
N_POLICY = 2
DEPLOYED, CALM, STORM, FLOOR, CEILING, SPEED, FIRST = range(7)
N_LEVER = 7
N_ALL = N_POLICY + N_LEVER * len(LEVERS)
AVERSION_LEVER, U_STAR_LEVER, BASE_LEVER, Z_LEVER = range(4)

# its state comes after the rule's: time of the last look, variances, when each lever last moved, prices then
LOOKED, V_SHORT, V_LONG, MOVED = range(4)
SEEN = MOVED + len(LEVERS)
N_STATE, N_MARKET_STATE = ballast.N_STATE + SEEN, ballast.N_MARKET_STATE + 1


@dataclass(frozen=True, slots=True)
class Params:
    """The rule's parameters, the table, and where the steward begins."""

    rule: ballast.Params = field(default_factory=ballast.Params)
    calm_aversion: float = 1.0
    calm_u_star: float = 1.0
    calm_base: float = 1.0
    calm_z: float = 1.0
    storm_aversion: float = 1.0
    storm_u_star: float = 1.0
    storm_base: float = 1.0
    storm_z: float = 1.0
    variances: tuple[float, float] = (0.36, 0.36)  # of a day and of a month
    values: tuple[float, ...] = ()  # of the levers; as deployed where empty

    @property
    def table(self) -> tuner.Table:
        """The multipliers by lever."""
        calm, storm = (
            {name: float(getattr(self, f"{row}_{name.partition('.')[2]}")) for name in LEVERS}
            for row in ("calm", "storm")
        )
        return tuner.Table(calm, storm)

    def array(self) -> Floats:
        """The rule's, then the policy's in the order of the indices above."""
        config = self.rule.config
        assert config.steward is not None
        deployed, levers, table = tuner.deployed_values(config), config.steward.levers, self.table
        rows: list[float] = list(self.variances)
        for j, name in enumerate(LEVERS):
            lever = levers[name]
            rows += [deployed[name], table.calm[name], table.storm[name]]
            rows += [float(lever.floor), float(lever.ceiling), float(lever.speed)]
            rows.append(self.values[j] if self.values else deployed[name])
        return np.concatenate([self.rule.array(), rows])


@njit
def _set(p: Floats, n: int, j: int, value: float) -> None:
    if j == AVERSION_LEVER:
        p[LAMBDA] = value
    elif j == U_STAR_LEVER:
        p[U_STAR] = value
    else:
        for i in range(n):
            p[N_GLOBAL + i * N_OWN + (BASE if j == BASE_LEVER else Z)] = value


@njit
def _get(p: Floats, j: int) -> float:
    if j == AVERSION_LEVER:
        return float(p[LAMBDA])
    if j == U_STAR_LEVER:
        return float(p[U_STAR])
    return float(p[N_GLOBAL + (BASE if j == BASE_LEVER else Z)])


@njit
def _book(z: Floats, n: int) -> Floats:
    return z[: ballast.N_STATE + n * ballast.N_MARKET_STATE]


@njit
def start(p: Floats, z: Floats, m: Floats, g: Floats) -> None:
    """The rule's, with the parameters that the steward has come to."""
    _begin(p, z[ballast.N_STATE + m.shape[0] * ballast.N_MARKET_STATE :], m[:, PRICE], g[TIME])
    ballast.start(p, _book(z, m.shape[0]), m, g)


@njit
def accrue(p: Floats, z: Floats, m: Floats, g: Floats) -> tuple[float, float]:
    """An hour after the last look the steward looks again; then the rule's."""
    _look(p, z[ballast.N_STATE + m.shape[0] * ballast.N_MARKET_STATE :], m[:, PRICE], g[TIME])
    return ballast.accrue(p, _book(z, m.shape[0]), m, g)


@njit
def _begin(p: Floats, s: Floats, prices: Floats, now: float) -> None:
    """The steward's state `s` and the levers at `now` [s]."""
    mine = len(p) - N_ALL
    for j in range(len(LEVERS)):
        _set(p, len(prices), j, p[mine + N_POLICY + j * N_LEVER + FIRST])
        s[MOVED + j] = now - DAY
    s[LOOKED], s[V_SHORT], s[V_LONG] = now, p[mine + FIRST_SHORT], p[mine + FIRST_LONG]
    s[SEEN:] = prices


@njit
def _look(p: Floats, s: Floats, prices: Floats, now: float) -> None:
    """Heat, goals and steps, as `tuner.Watch` and what the steward accepts."""
    n, mine, elapsed = len(prices), len(p) - N_ALL, now - s[LOOKED]
    if elapsed < LOOK:
        return
    short = long = 0.0
    for i in range(n):
        move = prices[i] / s[SEEN + i]
        short += _averaged(s[V_SHORT], move, elapsed, SHORT) / n
        long += _averaged(s[V_LONG], move, elapsed, LONG) / n
    s[V_SHORT], s[V_LONG], s[LOOKED] = short, long, now
    s[SEEN:] = prices
    warm = _warmth(short, long)
    for j in range(len(LEVERS)):
        at = mine + N_POLICY + j * N_LEVER
        wanted = _goal(p[at + DEPLOYED], p[at + CALM], p[at + STORM], warm)
        old = _get(p, j)
        value = _stepped(old, wanted, p[at + FLOOR], p[at + CEILING], p[at + SPEED], now - s[MOVED + j])
        if value != old:
            _set(p, n, j, value)
            s[MOVED + j] = now


@njit
def quote(p: Floats, z: Floats, m: Floats, g: Floats, i: int, dq: float) -> float:
    """The rule's."""
    return ballast.quote(p, _book(z, m.shape[0]), m, g, i, dq)


@njit
def fill(p: Floats, z: Floats, m: Floats, g: Floats, i: int, dq: float) -> tuple[float, float]:
    """The rule's."""
    return ballast.fill(p, _book(z, m.shape[0]), m, g, i, dq)


@njit
def rate(p: Floats, z: Floats, m: Floats, g: Floats, i: int) -> float:
    """The rule's."""
    return ballast.rate(p, _book(z, m.shape[0]), m, g, i)


@njit
def relief(p: Floats, z: Floats, m: Floats, g: Floats, i: int, dh: float) -> tuple[float, float]:
    """The rule's."""
    return ballast.relief(p, _book(z, m.shape[0]), m, g, i, dh)


@njit
def hedged(p: Floats, z: Floats, m: Floats, g: Floats, i: int, dh: float, spent: float) -> float:
    """The rule's."""
    return ballast.hedged(p, _book(z, m.shape[0]), m, g, i, dh, spent)


def warmed(params: Params, hours: Floats) -> Params:
    """The same policy after it has watched hourly prices (n, markets), the last of them now; it begins at `values`."""
    variance = float(np.mean(np.diff(np.log(hours), axis=0) ** 2) * tuner.YEAR / LOOK)
    p, s = replace(params, variances=(variance, variance)).array(), np.zeros(SEEN + hours.shape[1])
    _watch(p, s, hours)
    values = tuple(float(_get(p, j)) for j in range(len(LEVERS)))
    return replace(params, variances=(float(s[V_SHORT]), float(s[V_LONG])), values=values)


@njit
def _watch(p: Floats, s: Floats, hours: Floats) -> None:
    _begin(p, s, hours[0], 0.0)
    for k in range(1, len(hours)):
        _look(p, s, hours[k], k * LOOK)
