"""Every parameter that a setter changes: which view shows it, in which unit, and how the setter takes all of them.

One table serves the deployment (what the Steward may be let move), its command line, the report of bounds and tests.
Names are those of `networks/*.yaml`: `inventory.aversion`, `spreads.base`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ballast.model.exact.fixed import BPS, WAD
from ballast.model.words import InventoryMarketParams, InventoryParams

GWEI = 10**9
PIPS = 10**6
MICROS = 10**6


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a view. `scale` integers are 1 of `unit`; a word that no setter takes is no parameter."""

    name: str
    scale: int
    unit: str
    kind: Literal["parameter", "follower", "fixed"] = "parameter"


@dataclass(frozen=True, slots=True)
class Surface:
    """A setter and the view that shows everything it sets, for the system or for each market or venue."""

    name: str
    contract: str  # as the plan calls it
    artifact: str
    view: str
    setter: str
    words: tuple[Word, ...]  # as the view answers them
    each: Literal["", "market", "options", "venue"] = ""

    @property
    def parameters(self) -> list[Word]:
        return [word for word in self.words if word.kind == "parameter"]

    @property
    def followers(self) -> int:
        """Bitmap of words that are derived from others."""
        return sum(1 << i for i, word in enumerate(self.words) if word.kind == "follower")

    def index(self, name: str) -> int:
        """Of a parameter among the words; LookupError names those there are."""
        for i, word in enumerate(self.words):
            if word.name == name and word.kind == "parameter":
                return i
        raise LookupError(f"{self.name} has no {name!r}; it has {', '.join(word.name for word in self.parameters)}")

    def arguments(self, values: Sequence[int]) -> tuple[int, ...]:
        """Arguments of the setter, after market or venue, from a view's words; ValueError if one does not fit."""
        by_name = {word.name: value for word, value in zip(self.words, values, strict=True) if word.kind == "parameter"}
        match self.name:
            case "inventory":
                return (InventoryParams(**by_name).pack(),)
            case "spreads":
                return (InventoryMarketParams(**by_name).pack(),)
            case "oracle":  # which wants an initial sigma and then ignores it
                *first, has_half_width = by_name.values()
                return (*first, by_name["sigma_floor"], has_half_width)
            case _:
                return tuple(by_name.values())

    def data(self, values: Sequence[int]) -> bytes:
        """The same, encoded as `Steward.adjust` takes them; every argument is one unsigned word."""
        return b"".join(argument.to_bytes(32, "big") for argument in self.arguments(values))


def _words(unit: str, scale: int, *names: str) -> tuple[Word, ...]:
    return tuple(Word(name, scale, unit) for name in names)


def _seconds(*names: str) -> tuple[Word, ...]:
    return _words("s", 1, *names)


_SWITCHES = (Word("listed", 1, "", "fixed"), Word("paused", 1, "", "fixed"))

SURFACES = (
    Surface(
        "inventory", "inventory", "Inventory", "params", "set_params",
        (
            *_words("1", WAD, "aversion", "knee", "c_lo", "c_hi", "rho", "omega", "u_star", "u_max"),
            *_seconds("horizon"), *_words("1/year", WAD, "funding_max"), *_seconds("release_period", "sweep_age"),
            *_words("1/year", WAD, "borrow_kink", "borrow_max"), Word("root", WAD, "sqrt(year)", "follower"),
        ),
    ),
    Surface(
        "spreads", "inventory", "Inventory", "market_params", "set_market_params",
        (
            *_words("of notional", WAD, "base", "floor"), *_words("1", WAD, "z"), *_seconds("tau"),
            *_words("of price", WAD, "deviation"), *_words("vol per sqrt(year)", WAD, "vol_of_vol"),
            *_words("vol", WAD, "vol_floor"), *_words("1", WAD, "vol_z"), *_seconds("vol_tau"),
        ),
        each="market",
    ),
    Surface(
        "auction", "auction", "RebateAuction", "params", "set_params",
        (
            *_words("of E", 10**9, "band"), *_words("of the fall of U", BPS, "max_rate"), *_seconds("ramp"),
            *_words("quote a day", MICROS, "budget"),
        ),
    ),
    Surface(
        "hedging", "hedge_manager", "HedgeManager", "terms", "set_rule",
        (
            *_words("of the fall of U", BPS, "phi"), *_words("of what is freed", BPS, "eta"),
            *_words("of notional", PIPS, "size_reward"), *_words("gas", 1, "gas_units"),
            *_words("gwei", GWEI, "gas_tip_cap", "gas_price_cap"), *_words("market", 1, "gas_market"),
            *_words("quote", WAD, "lp_floor", "recall_floor"),
        ),
    ),
    Surface(
        "venue", "hedge_manager", "HedgeManager", "venue_params", "set_venue_params",
        (
            *_words("base", WAD, "cap"), *_words("quote a day", MICROS, "turnover"),
            *_words("of notional", PIPS, "fee_cap"), *_words("of price", PIPS, "band"),
            *_seconds("cooldown", "max_age"), *_words("of equity", BPS, "haircut"),
        ),
        each="venue",
    ),
    Surface(
        "vault", "vault", "Vault", "params", "set_params",
        (*_words("quote", WAD, "deposit_cap"), *_words("1", WAD, "u_redeem"), *_seconds("epoch_length")),
    ),
    Surface(
        "clearing", "clearinghouse", "Clearinghouse", "shares", "set_shares",
        (*_words("of fees", BPS, "insurance_share"), *_words("of penalties", BPS, "liquidator_share", "lp_share")),
    ),
    Surface(
        "oracle", "oracle", "PriceOracle", "params", "set_params",
        (
            *_seconds("max_age", "half_life_fast", "half_life_slow"), *_words("vol", WAD, "sigma_floor", "sigma_cap"),
            *_words("log return", WAD, "return_clip"), Word("initial_sigma", WAD, "vol", "follower"),
            *_words("0 or 1", 1, "has_half_width"),
        ),
        each="market",
    ),
    Surface(
        "perps", "perp_engine", "PerpEngine", "config", "set_params",
        (
            *_words("of notional", BPS, "initial", "maintenance"), *_words("of the half-spread", BPS, "fee_share"),
            *_words("of notional", BPS, "penalty"), *_words("base", WAD, "cap_base"),
            *_words("quote", WAD, "cap_quote"), *_words("base", WAD, "min_size"), *_SWITCHES,
        ),
        each="market",
    ),
    Surface(
        "options", "option_engine", "OptionEngine", "params", "set_params",
        (
            *_words("base", WAD, "min_size", "cap_series", "cap_expiry", "cap_market"), *_seconds("cutoff"),
            *_words("of spot", BPS, "initial", "floor"), *_words("of the initial", BPS, "maintenance"),
            *_words("of notional", BPS, "penalty"), *_words("of the half-spread", BPS, "fee_share"),
            *_words("quote", WAD, "reward"), *_seconds("interval"),
        ),
        each="options",
    ),
    Surface(
        "drift", "surface", "VolSurface", "drift", "set_drift",
        (
            *_words("vol", WAD, "vol_base"), *_words("vol per hour", WAD, "vol_speed"),
            *_words("1", WAD, "shape_base"), *_words("1 per hour", WAD, "shape_speed"),
            *_words("1/year", WAD, "rate_base"), *_words("1/year per hour", WAD, "rate_speed"), *_seconds("max_age"),
        ),
        each="options",
    ),
)  # fmt: skip
"""The setters of parameters that a Steward can be let call."""

GOVERNANCE = Surface(
    "governance", "governor", "Governor", "params", "set_params",
    (
        *_seconds("voting_delay", "voting_period"), *_words("of the supply of shares", BPS, "quorum", "threshold"),
        *_seconds("lock"),
    ),
)  # fmt: skip
"""The Governor's own, which only a vote changes."""


def surface(name: str) -> Surface:
    """A surface by name; LookupError names those there are."""
    for found in SURFACES:
        if found.name == name:
            return found
    raise LookupError(f"no parameters are called {name!r}; there are {', '.join(s.name for s in SURFACES)}")
