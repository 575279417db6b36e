"""States for keeper tests: one market, one venue, numbers that are easy to follow."""

from __future__ import annotations

from math import inf
from typing import Any

from ballast.keeper.state import (
    Account,
    Board,
    Closing,
    Epoch,
    Leg,
    Lender,
    Market,
    OptionLeg,
    OptionRule,
    Route,
    Rule,
    State,
    Venue,
)
from ballast.model.analytic.potential import Weights

NOW = 1_000_000
PRICE = 2_000.0
CAPITAL = 10_000_000.0


def market(**changes: Any) -> Market:
    """ETH at 2,000 and 60 % volatility, the vault short 2,000."""
    given: dict[str, Any] = {
        "id": 0, "price": PRICE, "sigma": 0.6, "delta": -2_000.0, "updated_at": NOW - 10, "fresh": True
    }  # fmt: skip
    return Market(**(given | changes))


def route(**changes: Any) -> Route:
    """A 5 bp pool at the oracle's price, four billion deep."""
    given: dict[str, Any] = {"index": 0, "spot": PRICE, "twap": PRICE, "fee": 5e-4, "depth": 4e9}
    return Route(**(given | changes))


def venue(**changes: Any) -> Venue:
    """An empty spot venue of market 0."""
    given: dict[str, Any] = {
        "id": 0, "market": 0, "exposure_wad": 0, "equity": 0.0, "reported_exposure_wad": 0, "reported_equity": 0.0,
        "routes": (route(),), "cap": 10_000.0, "turnover_left": 5e7, "fee_cap": 3e-3, "band": 1e-3, "ready_at": 0,
        "max_age": 60, "haircut": 0.0,
    }  # fmt: skip
    return Venue(**(given | changes))


def holding(base: float, **changes: Any) -> Venue:
    """A venue that holds base, as Inventory knows."""
    wad = int(base * 10**18)
    given: dict[str, Any] = {
        "exposure_wad": wad, "reported_exposure_wad": wad, "equity": base * PRICE, "reported_equity": base * PRICE
    }  # fmt: skip
    return venue(**(given | changes))


def lender(short: float = 0.0, **changes: Any) -> Lender:
    """An Aave at which a health of 1.5 takes 1.875 of collateral, and the collateral of a short is just that."""
    given: dict[str, Any] = {
        "collateral": 1.875 * short * PRICE, "owed": short, "target": 1.875, "middle": 1.71875, "lendable": 50_000.0,
        "payable": 1e8, "health": 1.5 if short else inf, "floor": 1.25,
    }  # fmt: skip
    return Lender(**(given | changes))


def short_venue(short: float = 0.0, *, owes: dict[str, Any] | None = None, **changes: Any) -> Venue:
    """A lending venue that is short so much base, as Inventory knows."""
    wad, equity = -int(short * 10**18), 0.875 * short * PRICE
    given: dict[str, Any] = {
        "id": 1, "exposure_wad": wad, "reported_exposure_wad": wad, "equity": equity, "reported_equity": equity,
        "lender": lender(short, **(owes or {})),
    }  # fmt: skip
    return venue(**(given | changes))


def leg(of: int, size: float = 1.0, **changes: Any) -> Leg:
    """A perpetual opened at the price of ETH."""
    given: dict[str, Any] = {"market": of, "size_wad": int(size * 10**18), "cost_wad": int(size * 2_000 * 10**18)}
    return Leg(**(given | changes))


def closing(of: int = 0, **changes: Any) -> Closing:
    """The Liquidator would have the vault take the perpetual of one base over, for a reward of five."""
    given: dict[str, Any] = {
        "market": of, "size_wad": -(10**18), "orders": (), "taken": False, "notional": PRICE,
        "reward": 5.0,
    }  # fmt: skip
    return Closing(**(given | changes))


def account(equity: float, *legs: Leg, address: str = "0x" + "11" * 20, **changes: Any) -> Account:
    """An account with these perpetuals, which has to keep 50."""
    return Account(address, equity, 50.0, legs, **changes)


def board(**changes: Any) -> Board:
    """A board of ETH with positions, due, a day from its end, renewed half an hour ago."""
    given: dict[str, Any] = {"market": 0, "expiry": NOW + 86_400, "time": NOW - 1_801, "due": True, "legs": 3}
    return Board(**(given | changes))


def writer(equity: float, *expiries: int, address: str = "0x" + "22" * 20, **changes: Any) -> Account:
    """An account short one base of a series of each expiry."""
    options = tuple(OptionLeg(0, expiry, 7 + i, -(10**18)) for i, expiry in enumerate(expiries))
    return Account(address, equity, 50.0, (), options, **changes)


def state(**changes: Any) -> State:
    """A vault of 10m whose U nothing but one market's delta moves, and whose reserve is empty."""
    given: dict[str, Any] = {
        "block": 100, "now": NOW, "markets": (market(),), "venues": (venue(),), "accounts": (),
        "epoch": Epoch(1, NOW + 3_600),
        "weights": Weights(), "rule": Rule(lp_floor=10_000.0), "capital": CAPITAL, "opening": inf, "opened_at": 0,
        "reserve": 0.0, "lp_cash": CAPITAL, "swept_at": NOW - 60, "sweep_age": 3_600,
        "option_rules": {0: OptionRule(reward=0.5, interval=600)},
    }  # fmt: skip
    return State(**(given | changes))
