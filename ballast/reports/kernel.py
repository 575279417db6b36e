"""Gas and error of the option kernel, black76.vy, beside published ones -> docs/reports/kernel.md.

The grid is 2,400 points: spot / strike 0.5-2, volatility 20-250 %, an hour to a year, rates 0 and 5 %; errors are also
taken over 3,000 random points of the whole domain (0.1-10, 5-500 %, 60 s - 2 years, rates +-20 %). Truth is the
textbook formula at 50 digits, of the same integers. `python -m scripts.report kernel` writes this; it needs mpmath.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import mpmath as mp

from ballast.chain import RevmChain
from ballast.model.exact.fixed import WAD, YEAR
from ballast.reports import REPORTS

Case = tuple[int, int, int, int, int]  # spot, strike, vol, seconds, rate: WAD but for seconds
OUTPUTS = ("call", "put", "delta", "gamma", "vega", "theta")


@dataclass(frozen=True, slots=True)
class Gas:
    """Inside a contract, call overhead excluded."""

    least: int
    median: float
    most: int


@dataclass(frozen=True, slots=True)
class Measured:
    """`whole` from undiscounted terms, `on_board` where discount and root are shared; largest errors by output: of spot
    for prices, absolute for delta, times spot for gamma, of spot for vega, of spot (and strike) a year for theta."""

    whole: Gas
    on_board: Gas
    error: dict[str, float]


def grid() -> list[Case]:
    """2,400 points."""
    ratios = [0.5 * 4 ** (i / 14) for i in range(15)]
    vols = (0.2, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0, 2.5)
    hours = (1, 4, 12, 24, 72, 168, 720, 2_160, 4_380, 8_760)
    return [
        (2_000 * WAD, int(2_000 / ratio * WAD), int(vol * WAD), hour * 3_600, int(rate * WAD))
        for ratio, vol, hour, rate in product(ratios, vols, hours, (0.0, 0.05))
    ]


def scattered(count: int = 3_000) -> list[Case]:
    """Log-uniform over the whole domain, spot between 1 and 200,000."""
    rng = random.Random(76)

    def between(low: float, high: float) -> float:
        return float(low * (high / low) ** rng.random())

    return [
        (
            int((spot := between(1, 200_000)) * WAD),
            int(spot / between(0.1, 10) * WAD),
            int(between(0.05, 5) * WAD),
            int(between(60, 2 * YEAR)),
            int(rng.uniform(-0.2, 0.2) * WAD),
        )
        for _ in range(count)
    ]


def measure() -> Measured:
    """Gas over the grid, errors over grid and random points."""
    harness = RevmChain().deploy("KernelHarness")
    cases = grid()
    answers = [harness.call("metered", *case) for case in cases]
    whole = _summary(gas for _, gas in answers)
    terms = [(harness.call("terms", case[4], case[3]), case) for case in cases]
    board = [
        harness.call("metered_on_board", spot, strike * factor >> 96, vol, root, rate)[1]
        for (root, factor), (spot, strike, vol, _, rate) in terms
    ]
    worst = dict.fromkeys(OUTPUTS, 0.0)
    more = scattered()
    seen = [option for option, _ in answers] + [harness.call("metered", *case)[0] for case in more]
    for option, case in zip(seen, [*cases, *more], strict=True):
        for name, error in _errors(option, case):
            worst[name] = max(worst[name], error)
    return Measured(whole, _summary(board), worst)


def true_values(case: Case) -> tuple[Any, ...]:
    """call, put, delta, gamma, vega, theta at the working precision."""
    s, k, sigma, r = (mp.mpf(case[i]) / WAD for i in (0, 1, 2, 4))
    t = mp.mpf(case[3]) / YEAR
    kd, v = k * mp.exp(-r * t), sigma * mp.sqrt(t)
    d1 = mp.log(s / kd) / v + v / 2
    d2, density = d1 - v, mp.npdf(d1)
    theta = -s * density * sigma / (2 * mp.sqrt(t)) - r * kd * mp.ncdf(d2)
    call, put = s * mp.ncdf(d1) - kd * mp.ncdf(d2), kd * mp.ncdf(-d2) - s * mp.ncdf(-d1)
    return call, put, mp.ncdf(d1), density / (s * v), s * density * mp.sqrt(t), theta


def _errors(option: Any, case: Case) -> Iterator[tuple[str, float]]:
    with mp.workdps(50):
        spot, strike = mp.mpf(case[0]) / WAD, mp.mpf(case[1]) / WAD
        scales = {"delta": 1, "gamma": 1 / spot, "theta": spot + strike}
        for name, true in zip(OUTPUTS, true_values(case), strict=True):
            yield name, float(abs(mp.mpf(getattr(option, name)) / WAD - true) / scales.get(name, spot))


def _summary(gas: Iterable[int]) -> Gas:
    used = sorted(gas)
    return Gas(used[0], median(used), used[-1])


def report(measured: Measured, folder: Path = REPORTS) -> None:
    """Write kernel.json and kernel.md."""
    (folder / "kernel.json").write_text(json.dumps(asdict(measured), indent=2) + "\n")
    text = ["# Option kernel", "", *(__doc__ or "").splitlines()[2:], "", *lines(measured)]
    (folder / "kernel.md").write_text("\n".join(text) + "\n")


def lines(measured: Measured, number: Callable[[float], str] = "{:.1e}".format) -> list[str]:
    """The table, and what others publish: gas measured by us on the same grid, at each library's own settings."""

    def row(name: str, outputs: str, gas: Gas, error: dict[str, float]) -> str:
        figures = f"{gas.least:,} / **{gas.median:,.0f}** / {gas.most:,}"
        prices = max(error["call"], error["put"])
        errors = " | ".join(number(x) for x in (prices, error["delta"], error["vega"]))
        return f"| {name} | {outputs} | {figures} | {errors} |"

    e = measured.error
    return [
        "| kernel | outputs | gas min / median / max | price error | delta error | vega error |",
        "|---|---|--:|--:|--:|--:|",
        row("black76, discount and root of time included", "call, put, delta, gamma, vega, theta", measured.whole, e),
        row("black76 on a board, which shares them", "the same", measured.on_board, e),
        "| Derive Black76.pricesAndDelta | call, put, delta | 3,176 / 4,947 / 5,019 | 9.0e-17 | 5.8e-16 | – |",
        "| the same and vega from its primitives | and vega | 5,638 / 7,798 / 7,894 | 9.0e-17 | 5.8e-16 | 1.5e-17 |",
        "| Lyra pricesDeltaStdVega | both sides, vega | 31,951 / 51,859 / 55,588 | 9.1e-17 | 7.2e-17 | 1.9e-18 |",
        "| Rysk blackScholesCalcGreeks | price, delta, one side | 27,225 / 38,570 / 39,562 | 2.0e-7 | 7.0e-8 | – |",
        "| Premia price and optionDelta | price, delta, one side | 14,627 / 151,741 / 156,052 | 7.9e-7 | 6.6e-7 | – |",
        "",
        f"Also: gamma {number(e['gamma'])} / spot (a wei of gamma is 1e-18 per quote, so this grows with spot), theta"
        f" {number(e['theta'])} of spot + strike per year.",
    ]
