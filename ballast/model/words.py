"""Packed parameter words of `contracts/inventory/Inventory.vy`: the layouts its comments state, top field first.

Every other setter takes a struct and packs on-chain; Inventory takes the word itself, so that its code has room for the
potential. A value that is not a whole number of steps is refused here rather than rounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import NamedTuple

from ballast.model.exact.fixed import WAD, YEAR, root_down


class Field(NamedTuple):
    """`value = (stored bits) * step - bias`."""

    name: str
    bits: int
    step: int = 1
    bias: int = 0


class Layout:
    """Fields of one 256-bit word; the last one ends at bit 0."""

    def __init__(self, *fields: Field) -> None:
        self.fields = fields
        self.bits = sum(field.bits for field in fields)
        if self.bits > 256:
            raise ValueError(f"{self.bits} bits do not fit a word")

    def pack(self, values: Mapping[str, int]) -> int:
        """The word; ValueError names the field that does not fit."""
        if values.keys() != {field.name for field in self.fields}:
            raise ValueError(f"fields are {[field.name for field in self.fields]}, not {list(values)}")
        word = 0
        for name, bits, step, bias in self.fields:
            stored, rest = divmod(values[name] + bias, step)
            if rest:
                raise ValueError(f"{name} = {values[name]} is not a multiple of {step}")
            if not 0 <= stored < 1 << bits:
                raise ValueError(f"{name} = {values[name]} does not fit {bits} bits in steps of {step}")
            word = word << bits | stored
        return word

    def unpack(self, word: int) -> dict[str, int]:
        """The values of a word; ValueError if bits beyond the fields are set."""
        if not 0 <= word < 1 << self.bits:
            raise ValueError(f"{word:#x} has bits beyond its {self.bits}")
        values: dict[str, int] = {}
        for name, bits, step, bias in reversed(self.fields):
            values[name] = (word & ((1 << bits) - 1)) * step - bias
            word >>= bits
        return {field.name: values[field.name] for field in self.fields}


MILLI, BASIS, PIP = 10**15, 10**14, 10**12  # WAD steps of 1e-3, 1e-4 and 1e-6

_PARAMS = Layout(
    Field("aversion", 29, MILLI),
    Field("knee", 16, BASIS),
    Field("c_lo", 14, BASIS),
    Field("c_hi", 14, BASIS),
    Field("omega", 24, PIP),
    Field("u_star", 20, PIP),
    Field("u_max", 20, PIP),
    Field("horizon", 20),
    Field("rho", 15, BASIS, bias=WAD),
    Field("funding_max", 16, BASIS),
    Field("release_period", 20),
    Field("sweep_age", 16),
    Field("borrow_kink", 16, BASIS),
    Field("borrow_max", 16, BASIS),
)

_MARKET_PARAMS = Layout(
    Field("base", 16, PIP),
    Field("floor", 16, PIP),
    Field("z", 16, MILLI),
    Field("tau", 16),
    Field("deviation", 24, PIP),
    Field("vol_of_vol", 24, PIP),
    Field("vol_floor", 24, PIP),
    Field("vol_z", 16, MILLI),
    Field("vol_tau", 16),
)


@dataclass(frozen=True, slots=True)
class InventoryParams:
    """`Inventory.Params`; meanings and units as there, WAD unless said otherwise."""

    aversion: int  # lambda
    knee: int  # kappa
    c_lo: int
    c_hi: int
    omega: int
    u_star: int
    u_max: int
    horizon: int  # [s]
    rho: int  # in (-1, 1)
    funding_max: int  # [1/year]
    release_period: int  # [s]
    sweep_age: int  # [s]
    borrow_kink: int  # [1/year]
    borrow_max: int  # [1/year]

    def pack(self) -> int:
        """The argument of `Inventory.set_params`."""
        return _PARAMS.pack(asdict(self))

    @classmethod
    def unpack(cls, word: int) -> InventoryParams:
        return cls(**_PARAMS.unpack(word))

    @property
    def root(self) -> int:
        """sqrt(h) [sqrt(year), WAD], rounded down as the contract derives it."""
        return root_down(self.horizon * WAD // YEAR)

    def view(self) -> tuple[object, ...]:
        """What `Inventory.params` answers."""
        return (
            (self.aversion, self.knee, self.c_lo, self.c_hi, self.rho, self.omega, self.u_star, self.u_max),
            self.horizon,
            self.funding_max,
            self.release_period,
            self.sweep_age,
            self.borrow_kink,
            self.borrow_max,
            self.root,
        )


@dataclass(frozen=True, slots=True)
class InventoryMarketParams:
    """`Inventory.MarketParams`; meanings and units as there, WAD unless said otherwise."""

    base: int
    floor: int
    z: int
    tau: int  # [s]
    deviation: int  # 0: pull feed
    vol_of_vol: int
    vol_floor: int
    vol_z: int
    vol_tau: int  # [s]

    def pack(self) -> int:
        """The second argument of `Inventory.set_market_params`."""
        return _MARKET_PARAMS.pack(asdict(self))

    @classmethod
    def unpack(cls, word: int) -> InventoryMarketParams:
        return cls(**_MARKET_PARAMS.unpack(word))

    def view(self) -> tuple[object, ...]:
        """What `Inventory.market_params` answers."""
        return (
            self.base, self.floor, self.z, self.tau, self.deviation,
            self.vol_of_vol, self.vol_floor, self.vol_z, self.vol_tau,
        )  # fmt: skip
