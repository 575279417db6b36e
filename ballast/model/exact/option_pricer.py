"""Integer twin of ``contracts/options/OptionPricer.vy``: what the options of one expiry are worth and how they move."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ballast.model.exact import black76, scenarios, ssvi
from ballast.model.exact.fixed import SPOT_SHOCKS, STRESS_UNIT, WAD, tdiv
from ballast.model.exact.structs import struct

Q96 = 2**96
MAX_LOG = 2**103 - 1


@struct
class Point:
    """IOptionPricer.Point: where an expiry is valued."""

    spot: int
    seconds: int
    term: int
    theta: int
    rate: int
    rho: int
    eta: int


@struct
class Premium:
    """IOptionPricer.Premium."""

    call: int
    put: int


@struct
class Line:
    """IOptionPricer.Line: the vault's holdings of one strike; n of calls and puts, p of puts."""

    strike: int
    n_before: int
    p_before: int
    n_after: int
    p_after: int


@struct
class Totals:
    """IOptionPricer.Totals; the vault's."""

    value: int = 0
    delta: int = 0
    gamma: int = 0
    vega: int = 0
    theta: int = 0
    stress: tuple[int, ...] = (0,) * 8


@dataclass(frozen=True, slots=True)
class _Board:
    """What the strikes of an expiry share: discount [Q96], root of the time to expiry, of the term [sqrt year, Q96] and
    phi [Q96]."""

    point: Point
    discount: int
    root: int
    root_term: int
    phi: int


def premiums(point: Point, strikes: Iterable[int]) -> list[Premium]:
    """One call and one put of each strike [quote/base, WAD]."""
    board, options = _board(point), []
    for strike in strikes:
        option, *_ = _option(board, strike)
        options.append(Premium(option.call, option.put))
    return options


def change(point: Point, lines: Iterable[Line]) -> Totals:
    """What a change of holdings adds to value, greeks and stress of the book."""
    board = _board(point)
    value = delta = gamma = vega = theta = 0
    stress = [0] * 8
    for line in lines:
        n, p = (line.n_before, line.n_after), (line.p_before, line.p_after)
        if n[0] == n[1] and p[0] == p[1]:
            continue
        option, kd, log_moneyness, vol = _option(board, line.strike)
        value += _difference(n, option.call, p, kd - point.spot)
        theta += _difference(n, option.theta, p, tdiv(point.rate * kd, WAD))
        delta += p[0] - p[1]
        if n[0] == n[1]:
            continue
        slope, bend = _slopes(board, option, log_moneyness, vol)
        delta += _difference(n, slope)
        gamma += _difference(n, bend)
        vega += _difference(n, option.vega)
        for i, beyond in enumerate(_scenarios(board, option, kd, log_moneyness, vol, slope)):
            stress[i] += n[1] * beyond // (WAD * STRESS_UNIT) - n[0] * beyond // (WAD * STRESS_UNIT)
    return Totals(value, delta, gamma, vega, theta, tuple(stress))


def _board(point: Point) -> _Board:
    return _Board(
        point,
        black76.discount(point.rate, point.seconds),
        black76.root_years(point.seconds),
        black76.root_years(point.term),
        ssvi.curvature(point.theta, point.eta),
    )


def _option(board: _Board, strike: int) -> tuple[black76.Option, int, int, int]:
    """One option of a strike, the strike discounted [quote/base, WAD], ln(spot / strike) of it [Q96], annual volatility
    [WAD]."""
    point, kd = board.point, strike * board.discount >> 96
    distance = black76.log_ratio(max(point.spot, kd), min(point.spot, kd))
    log_moneyness = MAX_LOG if distance is None else min(distance, MAX_LOG)
    if point.spot <= kd:
        log_moneyness = -log_moneyness
    variance = ssvi.total_variance(-log_moneyness, point.theta, board.phi, point.rho)
    vol = ssvi.volatility(variance, board.root_term)
    return black76.evaluate(point.spot, kd, distance, vol, board.root, point.rate), kd, log_moneyness, vol


def _slopes(board: _Board, option: black76.Option, log_moneyness: int, vol: int) -> tuple[int, int]:
    """Delta [WAD] and gamma [1/quote, WAD] of a call whose volatility moves along the smile."""
    if option.vega == 0 or vol > black76.MAX_VOL:
        return option.delta, option.gamma
    spot, v = board.point.spot, vol * board.root // WAD
    first, second = ssvi.bends(-log_moneyness, board.phi, board.point.rho, v)
    d1 = tdiv(log_moneyness << 96, v) + (v >> 1)
    d2 = d1 - v
    tilt = tdiv(option.vega * first, board.root)
    factor = (Q96 + (d1 * first >> 96)) * (Q96 + (d2 * first >> 96)) >> 96
    return option.delta - tdiv(tilt * WAD, spot), option.gamma * (factor + second) >> 96


def _scenarios(board: _Board, option: black76.Option, kd: int, log_moneyness: int, vol: int, delta: int) -> list[int]:
    """P&L of one call beyond its delta in every scenario [quote, WAD]; of one put the same."""
    spot = board.point.spot
    calls = scenarios.calls(spot, kd, min(vol, black76.MAX_VOL), board.root, log_moneyness)
    exposure = tdiv(delta * spot, WAD)
    return [call - option.call - tdiv(exposure * shock, WAD) for call, shock in zip(calls, SPOT_SHOCKS, strict=True)]


def _difference(n: Sequence[int], x: int, p: Sequence[int] = (0, 0), y: int = 0) -> int:
    """floor((n x + p y) / WAD) after, less before."""
    before, after = (a * x + b * y for a, b in zip(n, p, strict=True))
    return after // WAD - before // WAD
