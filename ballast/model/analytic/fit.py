"""Coefficients of the option kernel: weighted minimax approximation by Lawson's iteration, at 60 digits.

``python -m ballast.model.analytic.fit`` prints them as they stand in contracts/pricing, black76.vy and scenarios.vy,
and in their twins, with the largest error of each approximation. Needs mpmath (a development dependency).

Source of the method: C. L. Lawson, Contributions to the theory of linear least maximum approximation, UCLA 1961;
with a denominator: C. K. Sanathanan and J. Koerner, IEEE Trans. Automatic Control 8 (1963).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mpmath as mp

Q = 2**96
REACH = 16  # standard deviations that the Mills ratio is fitted for
EXACT_TO = mp.mpf("7.1")  # largest vol * sqrt(tau) priced at full precision: 500 % over two years


@dataclass(frozen=True, slots=True)
class Fit:
    """numerator(x) / denominator(x), lowest power first; `error` is the largest weighted deviation."""

    numerator: tuple[int, ...]  # Q96
    denominator: tuple[int, ...]  # Q96
    error: float


def minimax(
    f: Callable[[Any], Any], top: Any, degree: int, below: int = 0, weight: Callable[[Any], Any] | None = None
) -> Fit:
    """The best P/Q with Q(0) = 1 on [0, top]: Lawson's weights grow where the error is large."""
    with mp.workdps(60):
        count = 5 * (degree + below + 1)
        nodes = [(1 - mp.cos(mp.pi * (i + mp.mpf(1) / 2) / count)) / 2 for i in range(count)]
        values = [f(top * u) for u in nodes]
        weights = [weight(top * u) if weight else mp.mpf(1) for u in nodes]
        lawson, bottoms, best = [mp.mpf(1)] * count, [mp.mpf(1)] * count, None
        for _ in range(15):
            rows, right = mp.matrix(count, degree + below + 1), mp.matrix(count, 1)
            for i, u in enumerate(nodes):
                scale = mp.sqrt(lawson[i]) * weights[i] / bottoms[i]
                for j in range(degree + 1):
                    rows[i, j] = scale * u**j
                for j in range(1, below + 1):
                    rows[i, degree + j] = -scale * u**j * values[i]
                right[i] = scale * values[i]
            solution = mp.qr_solve(rows, right)[0]
            p = [solution[j] for j in range(degree + 1)]
            q = [mp.mpf(1), *(solution[degree + j] for j in range(1, below + 1))]
            bottoms = [_horner(q, u) for u in nodes]
            errors = [
                abs(_horner(p, u) / bottom - value) * w
                for u, bottom, value, w in zip(nodes, bottoms, values, weights, strict=True)
            ]
            worst = max(errors)
            if best is None or worst < best.error:
                best = Fit(_integers(p, top), _integers(q, top), float(worst))
            lawson = [w * error for w, error in zip(lawson, errors, strict=True)]
            mean = sum(lawson) / count
            lawson = [w / mean + mp.mpf("1e-12") for w in lawson]
        assert best is not None
        return best


def _horner(coefficients: list[Any], x: Any) -> Any:
    """Lowest power first."""
    value = mp.mpf(0)
    for coefficient in reversed(coefficients):
        value = value * x + coefficient
    return value


def _integers(coefficients: list[Any], top: Any) -> tuple[int, ...]:
    """Of x rather than x / top, in Q96."""
    return tuple(int(mp.nint(value / top**j * Q)) for j, value in enumerate(coefficients))


def artanh_series() -> Fit:
    """artanh(y) / y as a polynomial in y^2, for arguments of the logarithm in [1, sqrt 2)."""
    with mp.workdps(60):
        y = (mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)
        return minimax(lambda z: mp.mpf(1) if z == 0 else mp.atanh(mp.sqrt(z)) / mp.sqrt(z), y**2, 7)


def normal_power() -> Fit:
    """2^(g - 1) / sqrt(2 pi) on [0, 1]: the density's mantissa."""
    with mp.workdps(60):
        return minimax(lambda g: mp.power(2, g - 1) / mp.sqrt(2 * mp.pi), mp.mpf(1), 12)


def mills_ratio(degree: int = 8, below: int = 9) -> Fit:
    """N(-y) / phi(y) on [0, REACH]. It is multiplied by phi(|d|) of the smaller |d|, which is at least y - EXACT_TO:
    hence the weight."""

    def ratio(y: Any) -> Any:
        return mp.erfc(y / mp.sqrt(2)) / 2 * mp.exp(y * y / 2) * mp.sqrt(2 * mp.pi)

    with mp.workdps(60):
        return minimax(ratio, mp.mpf(REACH), degree, below, lambda y: mp.exp(-(max(mp.mpf(0), y - EXACT_TO) ** 2) / 2))


def scenario_power() -> Fit:
    """2^-f / sqrt(2 pi) on [0, 1], good to 1e-9."""
    with mp.workdps(60):
        return minimax(lambda f: mp.power(2, -f) / mp.sqrt(2 * mp.pi), mp.mpf(1), 6)


def scenario_ratio() -> Fit:
    """`mills_ratio`, good to 2e-8."""
    return mills_ratio(4, 4)


def scenarios() -> tuple[Fit, Fit]:
    """Of scenarios.vy: both as Horner's rule takes them without shifts between powers of an argument in Q32. The power
    is in Q240; the ratio's denominator is divided by its leading coefficient, which becomes 1, in Q128, its numerator
    in Q168."""
    power, ratio = scenario_power(), scenario_ratio()
    lead = ratio.denominator[-1]
    return (
        Fit(_unshifted(power.numerator, 240), (1,), power.error),
        Fit(
            _unshifted(tuple(value * Q // lead for value in ratio.numerator), 168),
            _unshifted(tuple(value * Q // lead for value in ratio.denominator), 128),
            ratio.error,
        ),
    )


def _unshifted(coefficients: tuple[int, ...], bits: int) -> tuple[int, ...]:
    """The power x^k of x in Q32 is in Q(32 k): its coefficient in Q(bits - 32 k), from Q96."""
    return tuple((value << bits) + (1 << 95 + 32 * k) >> 96 + 32 * k for k, value in enumerate(coefficients))


def main() -> None:
    power, ratio = scenarios()
    for name, fit in (
        ("artanh", artanh_series()),
        ("power", normal_power()),
        ("Mills ratio", mills_ratio()),
        ("scenario power", power),
        ("scenario ratio", ratio),
    ):
        print(f"{name}: largest weighted error {fit.error:.2g}")
        for letter, values in (("P", fit.numerator), ("Q", fit.denominator)):
            for k, value in enumerate(values):
                print(f"  {letter}{k}: {value:_}")


if __name__ == "__main__":
    main()
