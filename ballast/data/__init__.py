"""Recorded market data: prices, implied volatility, funding, flow of traders and gas, as read-only numpy arrays.

Sources, licences and checks are listed in README.md beside this file. Times are Unix seconds UTC; a bar's time is its
open. Prices are USD or USDT, volumes are in the base coin, volatilities and rates are fractions.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Asset = Literal["BTC", "ETH"]
Venue = Literal["spot", "perp"]

ASSETS: tuple[Asset, ...] = ("BTC", "ETH")
MINUTE = 60  # [s]
_HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Bars:
    """One asset's bars, arrays of shape (n,); `step` [s] between open times except across exchange outages."""

    step: int
    ts: Ints
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats  # [base]; NaN where the source has none

    def __len__(self) -> int:
        return len(self.ts)

    def between(self, start: int, end: int) -> Bars:
        """The bars with start <= ts < end."""
        part = slice(*np.searchsorted(self.ts, (start, end)).tolist())
        return Bars(
            self.step,
            self.ts[part],
            self.open[part],
            self.high[part],
            self.low[part],
            self.close[part],
            self.volume[part],
        )


@dataclass(frozen=True, slots=True)
class GmxFlow:
    """One UTC day of the GMX v2 ETH market on Arbitrum, arrays of shape (1440,), one entry per minute.

    `long_flow` and `short_flow` [ETH] are first differences of open interest, net per minute, first entry 0: opening
    is positive on either side. `signed_flow` = long_flow − short_flow is what traders as a whole bought.
    """

    ts: Ints
    index_price: Floats  # [USD/ETH]
    pool_value: Floats  # [USD]
    pool_weth: Floats  # [ETH]
    pool_usdc: Floats  # [USD]
    oi_long: Floats  # [ETH]
    oi_short: Floats  # [ETH]
    oi_long_usd: Floats  # [USD], at entry prices
    oi_short_usd: Floats  # [USD], at entry prices
    pending_pnl: Floats  # [USD], traders' open profit
    realized_pnl: Floats  # [USD], in that minute
    impact_pool: Floats  # [ETH]

    @property
    def long_flow(self) -> Floats:
        """Change of the longs' open interest in each minute, in the units of `oi_long`."""
        return np.diff(self.oi_long, prepend=self.oi_long[0])

    @property
    def short_flow(self) -> Floats:
        """Change of the shorts' open interest in each minute, in the units of `oi_short`."""
        return np.diff(self.oi_short, prepend=self.oi_short[0])

    @property
    def signed_flow(self) -> Floats:
        """What traders bought, net, in each minute."""
        return self.long_flow - self.short_flow

    def __len__(self) -> int:
        return len(self.ts)


@dataclass(frozen=True, slots=True)
class SwapFlow:
    """One UTC day of a Uniswap v3 WETH/USDC pool on Polygon, arrays of shape (n,), one entry per minute."""

    ts: Ints
    price: Floats  # [USD/ETH] at the minute's end
    bought: Floats  # [ETH] by traders, out of the pool
    sold: Floats  # [ETH] by traders, into the pool

    @property
    def signed_flow(self) -> Floats:
        """What traders bought, net, in each minute."""
        return self.bought - self.sold

    def __len__(self) -> int:
        return len(self.ts)


@dataclass(frozen=True, slots=True)
class TraderClasses:
    """Uniswap v3 on Arbitrum by the hour, arrays of shape (n,); "professional" by the source's rule, with hindsight."""

    ts: Ints
    retail_trades: Floats
    retail_volume: Floats  # [USD]
    professional_trades: Floats
    professional_volume: Floats  # [USD]
    fee: Floats  # [USD] mean gas fee of an Arbitrum transaction; NaN before 2024-04-22

    def __len__(self) -> int:
        return len(self.ts)


@dataclass(frozen=True, slots=True)
class OptionChain:
    """Every listed Deribit option of one currency at one moment, arrays of shape (n,); a missing quote is NaN.

    Deribit's options are inverse: bid, ask and mark are in coin. Delta and vega [USD per vol point] are Deribit's.
    """

    currency: Asset
    ts: int
    index_price: Floats  # [USD]
    expiry: Ints
    forward: Floats  # [USD], of the same expiry
    strike: Floats  # [USD]
    is_call: NDArray[np.bool_]
    mark_iv: Floats  # [per √year]
    bid: Floats  # [coin]
    ask: Floats  # [coin]
    mark: Floats  # [coin]
    delta: Floats
    vega: Floats
    open_interest: Floats  # [coin]
    volume_24h: Floats  # [coin]

    def __len__(self) -> int:
        return len(self.strike)


@dataclass(frozen=True, slots=True)
class SmilePanel:
    """Three points of each expiry's smile at each snapshot, about every six hours; arrays of shape (n,), one row each.

    Volatilities are interpolated over marks out of the money; deltas are Black-76's on the forward. Rows are sorted
    by snapshot, then expiry; expiries are at least a day away.
    """

    currency: Asset
    ts: Ints  # of the snapshot
    expiry: Ints
    index_price: Floats  # [USD]
    forward: Floats  # [USD], of the same expiry
    atm_iv: Floats  # [per √year], at the forward
    put_25d_iv: Floats  # [per √year]
    call_25d_iv: Floats  # [per √year]
    spread: Floats  # [coin], ask less bid of the two strikes nearest the forward; NaN without quotes
    open_interest: Floats  # [coin], of all strikes

    def __len__(self) -> int:
        return len(self.ts)


def minute_windows() -> list[str]:
    """Names of the 1-minute windows, oldest first."""
    return _windows("bars_1m")


def five_minute_windows() -> list[str]:
    """Names of the 5-minute windows, oldest first."""
    return _windows("bars_5m")


def resolve_window(name: str) -> str:
    """The 1-minute window that a name or an unambiguous part of it means, e.g. "calm"; LookupError otherwise."""
    known = minute_windows()
    matches = [name] if name in known else [window for window in known if name in window]
    if len(matches) != 1:
        raise LookupError(f"{name!r} is {'no window' if not matches else 'ambiguous'}; windows: {', '.join(known)}")
    return matches[0]


def minute_window(name: str) -> dict[Asset, Bars]:
    """Both assets' 1-minute bars of a window, on the same timestamps, without gaps."""
    window = resolve_window(name)
    bars = {asset: _bars(next((_HERE / "bars_1m").glob(f"{window}_*_{asset}.csv.gz")), 60) for asset in ASSETS}
    start = max(int(series.ts[0]) for series in bars.values())
    end = min(int(series.ts[-1]) for series in bars.values()) + MINUTE
    return {asset: series.between(start, end) for asset, series in bars.items()}


def five_minute_window(name: str, venue: Venue = "spot") -> dict[Asset, Bars]:
    """The 5-minute bars of a window; in March 2020 the BTC series ends before the ETH one."""
    found: dict[Asset, Bars] = {}
    for asset in ASSETS:
        path = _HERE / "bars_5m" / f"{name}_{venue}_{asset}.csv.gz"
        if path.is_file():
            found[asset] = _bars(path, 300)
    if not found:
        raise LookupError(f"no 5-minute {venue} bars of {name!r}; windows: {', '.join(five_minute_windows())}")
    return found


def half_hours_2020_03() -> Bars:
    """BTC spot, 30-minute bars of Black Thursday, 2020-03-05 … 2020-03-20: its 5-minute bars end on the 12th."""
    return _bars(_HERE / "bars_30m" / "2020-03_black_thursday_spot_BTC.csv.gz", 1_800)


def hourly(asset: Asset) -> Bars:
    """Hourly spot bars 2019-01 … 2026-06, without volume; 20 gaps (59 hours) are exchange outages."""
    return _bars(_HERE / "bars_1h" / f"spot_{asset}.csv.gz", 3_600)


def dvol(asset: Asset) -> Bars:
    """Daily bars of Deribit's 30-day implied volatility index as a fraction, 2021-03-24 … 2026-04-06."""
    points = _bars(_HERE / "dvol_1d" / f"{asset}.csv.gz", 86_400)
    return Bars(
        step=points.step,
        ts=points.ts,
        open=_frozen(points.open / 100.0),
        high=_frozen(points.high / 100.0),
        low=_frozen(points.low / 100.0),
        close=_frozen(points.close / 100.0),
        volume=points.volume,
    )


@cache
def dvol_hourly() -> tuple[Ints, Floats]:
    """ETH's implied volatility index by the hour as a fraction, 2024-03-21 … 2024-10-14."""
    columns = _table(_HERE / "dvol_1h" / "ETH.csv.gz")
    return _integers(columns["ts"]), _frozen(columns["close"] / 100.0)


@cache
def funding() -> tuple[Ints, dict[Asset, Floats]]:
    """8-hourly perp funding: settlement times and rates per interval (longs pay when positive; NaN before listing)."""
    columns = _table(_HERE / "funding_8h" / "perp.csv.gz")
    return _integers(columns["ts"]), {"BTC": columns["btc"], "ETH": columns["eth"]}


@cache
def gas_price() -> tuple[Ints, Floats]:
    """Ethereum's mean gas price [wei] of each UTC day, 2019-01-01 … 2026-06-02, and when the days begin."""
    columns = _table(_HERE / "gas_1d" / "ethereum.csv.gz")
    return _integers(columns["ts"]), _frozen(columns["gwei"] * 1e9)


def gmx_days() -> list[str]:
    """The recorded days, as "YYYY-MM-DD"."""
    return sorted(path.name.removesuffix(".csv.gz") for path in (_HERE / "gmx_v2").glob("*.csv.gz"))


@cache
def gmx_flow(day: str) -> GmxFlow:
    """Minute-by-minute state of the GMX v2 ETH market on one recorded day."""
    path = _HERE / "gmx_v2" / f"{day}.csv.gz"
    if not path.is_file():
        raise LookupError(f"no GMX flow of {day!r}; days: {', '.join(gmx_days())}")
    columns = _table(path)
    return GmxFlow(
        ts=_integers(columns["ts"]),
        index_price=columns["index_price"],
        pool_value=columns["pool_value_usd"],
        pool_weth=columns["pool_weth"],
        pool_usdc=columns["pool_usdc"],
        oi_long=columns["oi_long_eth"],
        oi_short=columns["oi_short_eth"],
        oi_long_usd=columns["oi_long_usd"],
        oi_short_usd=columns["oi_short_usd"],
        pending_pnl=columns["pending_pnl_usd"],
        realized_pnl=columns["realized_pnl_usd"],
        impact_pool=columns["impact_pool_eth"],
    )


@cache
def _swaps() -> dict[str, Floats]:
    return _table(_HERE / "uniswap_v3" / "polygon_usdc_weth.csv.gz")


def swap_days() -> list[str]:
    """The recorded days of the Polygon pool, as "YYYY-MM-DD"."""
    return [str(day) for day in np.unique(_swaps()["ts"] // 86_400).astype("datetime64[D]")]


def swap_flow(day: str) -> SwapFlow:
    """One recorded day of the Polygon pool; two of the nine days lack a minute."""
    columns = _swaps()
    part = columns["ts"] // 86_400 == float(np.datetime64(day, "D").astype(np.int64))
    if not part.any():
        raise LookupError(f"no swaps of {day!r}; days: {', '.join(swap_days())}")
    return SwapFlow(_integers(columns["ts"][part]), *(_frozen(columns[c][part]) for c in ("price", "bought", "sold")))


@cache
def trader_classes() -> TraderClasses:
    """Hourly volume of retail and professional traders on Arbitrum, 2023-07-01 … 2024-07-21, one hole of two hours."""
    columns = _table(_HERE / "uniswap_v3" / "arbitrum_traders.csv.gz")
    return TraderClasses(_integers(columns.pop("ts")), **columns)


@cache
def option_chains(currency: Asset) -> tuple[OptionChain, ...]:
    """Every recorded chain of a currency, oldest first, 2025-12-31 … 2026-05."""
    columns = _table(_HERE / "deribit_chains" / f"{currency}.csv.gz")
    chains = []
    for moment in np.unique(columns["ts"]):
        part = {name: _frozen(values[columns["ts"] == moment]) for name, values in columns.items() if name != "ts"}
        is_call = part.pop("is_call") == 1.0
        expiry = _integers(part.pop("expiry"))
        chains.append(OptionChain(currency=currency, ts=int(moment), expiry=expiry, is_call=is_call, **part))
    return tuple(chains)


@cache
def smile_panel(currency: Asset) -> SmilePanel:
    """Every recorded snapshot of a currency's smiles, 2025-12-30 … 2026-08-22."""
    columns = _table(_HERE / "iv_6h" / f"{currency}.csv.gz")
    return SmilePanel(currency, _integers(columns.pop("ts")), _integers(columns.pop("expiry")), **columns)


def _windows(folder: str) -> list[str]:
    names = {path.name.rsplit("_", 2)[0] for path in (_HERE / folder).glob("*.csv.gz")}
    return sorted(names, key=lambda name: name.removeprefix("calm_"))


@cache
def _bars(path: Path, step: int) -> Bars:
    columns = _table(path)
    ts = _integers(columns.pop("ts"))
    volume = columns.pop("volume", None)
    missing = _frozen(np.full(len(ts), np.nan))
    return Bars(step=step, ts=ts, volume=missing if volume is None else volume, **columns)


def _table(path: Path) -> dict[str, Floats]:
    """Columns of a gzip CSV of numbers; float64 holds Unix seconds exactly."""
    with gzip.open(path, "rt") as file:
        header = file.readline().strip().split(",")
        body = np.loadtxt(file, delimiter=",", dtype=np.float64, ndmin=2)
    return {name: _frozen(np.ascontiguousarray(body[:, i])) for i, name in enumerate(header)}


def _integers(values: Floats) -> Ints:
    whole = values.astype(np.int64)
    whole.flags.writeable = False
    return whole


def _frozen(values: Floats) -> Floats:
    values.flags.writeable = False
    return values
