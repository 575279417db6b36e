"""The whole system of integer twins, wired as a deployment wires the contracts."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TypeVar

from ballast.model.exact.clearing import Clearinghouse
from ballast.model.exact.margin import Margin
from ballast.model.exact.oracle import PriceOracle
from ballast.model.exact.perps import Inventory, PerpEngine

T = TypeVar("T")


@dataclass(slots=True)
class System:
    """Every twin; ``build`` wires them."""

    oracle: PriceOracle
    clearinghouse: Clearinghouse
    inventory: Inventory
    perp_engine: PerpEngine
    margin: Margin

    @classmethod
    def build(
        cls, *, scale: int, oracle: PriceOracle, inventory: Inventory, clearinghouse: Clearinghouse | None = None
    ) -> System:
        """Wire the twins. ``clearinghouse`` is given when ``inventory`` already refers to it."""
        clearinghouse = clearinghouse or Clearinghouse(scale)
        engine = PerpEngine(clearinghouse, inventory, oracle)
        margin = Margin(clearinghouse, engine, oracle)
        engine.margin = margin
        clearinghouse.margin = margin
        clearinghouse.oracle = oracle
        return cls(oracle, clearinghouse, inventory, engine, margin)

    def attempt(self, act: Callable[[System], T]) -> T:
        """What ``act`` does, all or nothing, like a transaction: a revert inside leaves no trace."""
        trial = copy.deepcopy(self)
        result = act(trial)
        for part in fields(self):
            setattr(self, part.name, getattr(trial, part.name))
        return result
