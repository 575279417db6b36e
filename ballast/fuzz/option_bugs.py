"""Mistakes in what only options use, as edits of contracts and twin: the searches in tests must find them."""

from __future__ import annotations

from ballast.fuzz.planted import Bug, Edit

INVENTORY, TWIN = "contracts/inventory/Inventory.vy", "ballast/model/exact/inventory.py"

BUGS = (
    Bug(
        "a market with nothing but a stress vector counts as linear",
        "Inventory",
        (Edit(INVENTORY, "if e.market.optioned and not has_greeks:", "if False:"),),
        unseen="the contract does not store what does not count, the twin does: its words show it first",
    ),
    Bug(
        "a scenario is told to lose what it gains",
        "Inventory",
        (
            Edit(
                INVENTORY, "unsafe_add(e.market.stress[0], change.stress[0])",
                "unsafe_sub(e.market.stress[0], change.stress[0])",
            ),
        ),
        (Edit(TWIN, "m.stress[i] += increment", "m.stress[i] += increment if i else -increment"),),
    ),
    Bug(
        "squares of gamma are added, never taken out",
        "Inventory",
        (
            Edit(
                INVENTORY, "unsafe_sub(b.sums.gg, convert(old.g * old.g, uint256) // c.WAD)", "b.sums.gg",
            ),
        ),
        unseen="what is left of squares when the last option goes is not stored: its words show it before U does",
    ),
    Bug(
        "a valuation between two trades leaves rebates as they were",
        "Inventory",
        (Edit(INVENTORY, "e.book.coverage = 0", "pass"),),
        (Edit(TWIN, "e.book.coverage = 0", "pass"),),
    ),
    Bug(
        "a valuation at a block's start freezes the block",
        "Inventory",
        (Edit(INVENTORY, "e.book.changed = changed", "pass"),),
        unseen="marks that are not taken harm nobody but keep prices old: only the twin knows",
    ),
    Bug(
        "vega pays no spread",
        "Inventory",
        (
            Edit(
                INVENTORY,
                "wad.mul_up(signed.magnitude(x.vega), self._vol_spread(mp, change.vol_age, mp.vol_z))",
                "0",
            ),
        ),
        (Edit(TWIN, "half_spread += mul_up(abs(x.vega), vol_spread(mp, change.vol_age, mp.vol_z))", "pass"),),
    ),
)  # fmt: skip
