"""Bugs planted in hedges at a lender, and in what closes them."""

from __future__ import annotations

from ballast.fuzz.planted import Bug, Edit

MANAGER = "contracts/hedge/HedgeManager.vy"
SHORT = "contracts/hedge/AaveShortVenue.vy"

MANAGER_TWIN = "ballast/model/exact/hedge_manager.py"
HEDGE_TWIN = "ballast/model/exact/hedge.py"
AAVE_TWIN = "ballast/model/exact/aave.py"

NOBODYS = "no single incident"

PAUSE_IGNORED = Bug(
    "collateral in a paused reserve counts in full",
    "AaveShortVenue",
    (
        Edit(
            SHORT,
            "    if self._stopped(PAUSED):\n        return worth * (c.BPS",
            "    if False:\n        return worth * (c.BPS",
        ),
    ),
    (Edit(AAVE_TWIN, "BPS if p.paused else worth", "BPS if False else worth"),),
    f"{NOBODYS}: deposits at a price that nobody could leave at",
    lending=True,
)
LOST_DEBT_COUNTED = Bug(
    "debt that nothing secures still counts as a hedge",
    "AaveShortVenue",
    (
        Edit(
            SHORT,
            "    if owed != 0 and staticcall A_QUOTE.balanceOf(self) != 0:\n        held -=",
            "    if owed != 0:\n        held -=",
        ),
    ),
    (Edit(AAVE_TWIN, "(p.base - (p.debt if p.collateral != 0 else 0))", "(p.base - p.debt)"),),
    f"{NOBODYS}: a delta that nobody has",
    lending=True,
)
HALF_A_STRAIN = Bug(
    "an unwind closes half of what health needs",
    "AaveShortVenue",
    (Edit(SHORT, "(owed * short) // ((TARGET_HEALTH", "(owed * short) // 2 // ((TARGET_HEALTH"),),
    (Edit(AAVE_TWIN, "p.debt * short // ((", "p.debt * short // 2 // (("),),
    f"{NOBODYS}: a position that is near liquidation again at once",
    lending=True,
)
TOO_MUCH_HOME = Bug(
    "a closing takes home what health needs",
    "AaveShortVenue",
    (
        Edit(
            SHORT,
            "account.debt * TARGET_HEALTH // (account.threshold_bps * (c.WAD // c.BPS)) + 1",
            "account.debt * FLOOR_HEALTH // (account.threshold_bps * (c.WAD // c.BPS)) + 1",
        ),
    ),
    mirrors=f"{NOBODYS}: collateral that leaves with every step",
    unseen="health stays above the floor, as it may after any rise of the price; the twin alone knows the target",
    lending=True,
)
ANY_UNWIND_PAID = Bug(
    "an unwind that closes nothing is paid as one that ends the strain",
    "HedgeManager",
    (Edit(MANAGER, "if 4 * change >= signed.magnitude(strain):", "if True:"),),
    (Edit(MANAGER_TWIN, "if 4 * abs(change) >= abs(strain):", "if True:"),),
    f"{NOBODYS}: crumbs for a keeper's gas",
    lending=True,
)
CLOSED_AT_ANY_PRICE = Bug(
    "what the rule does not judge is closed at any price",
    "HedgeManager",
    (
        Edit(MANAGER, "slack: uint256 = wad.mul_down(price, tolerance)", "slack: uint256 = price // 2"),
        Edit(MANAGER, "assert rule._is_near(prices.spot, step.mark.price, step.tolerance),", "assert True,"),
        Edit(MANAGER, "assert rule._is_near(prices.spot, prices.twap, step.tolerance),", "assert True,"),
        Edit(MANAGER, "assert cost <= most,", "assert True,"),
        Edit(MANAGER, "assert cost >= -most,", "assert True,"),
    ),
    (
        Edit(HEDGE_TWIN, "slack = mul_down(price, tolerance_wad)", "slack = price // 2"),
        Edit(MANAGER_TWIN, "require(hedge.is_near(prices.spot, mark.price, tolerance),", "require(True,"),
        Edit(MANAGER_TWIN, "require(hedge.is_near(prices.spot, prices.twap, tolerance),", "require(True,"),
        Edit(MANAGER_TWIN, "require(cost <= most,", "require(True,"),
        Edit(MANAGER_TWIN, "require(cost >= -most,", "require(True,"),
    ),
    f"{NOBODYS}: a sandwich around an unwind",
    lending=True,
)

BUGS: tuple[Bug, ...] = tuple(bug for bug in globals().copy().values() if isinstance(bug, Bug))
