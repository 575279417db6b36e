"""Bugs planted in hedges, at a lender and under mandates, in what closes them, in the carry and the rebate auction."""

from __future__ import annotations

from ballast.fuzz.planted import Bug, Edit

RULE = "contracts/hedge/rule.vy"
MANAGER = "contracts/hedge/HedgeManager.vy"
MANDATES = "contracts/hedge/Mandates.vy"
CARRY = "contracts/hedge/Carry.vy"
AUCTION = "contracts/inventory/RebateAuction.vy"
SHORT = "contracts/hedge/AaveShortVenue.vy"

MANAGER_TWIN = "ballast/model/exact/hedge_manager.py"
HEDGE_TWIN = "ballast/model/exact/hedge.py"
MANDATES_TWIN = "ballast/model/exact/mandates.py"
CARRY_TWIN = "ballast/model/exact/carry.py"
AUCTION_TWIN = "ballast/model/exact/rebate_auction.py"
AAVE_TWIN = "ballast/model/exact/aave.py"

NOBODYS = "no single incident"

PAUSE_IGNORED = Bug(
    "collateral in a paused reserve counts in full",
    "AaveShortVenue",
    (
        Edit(
            SHORT,
            "    if paused:\n        return worth * (c.BPS",
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
            "    if collateral != 0:\n        owed = staticcall DEBT.balanceOf(self) * pools",
            "    if True:\n        owed = staticcall DEBT.balanceOf(self) * pools",
        ),
    ),
    (
        Edit(AAVE_TWIN, "(p.base - (p.debt if p.collateral != 0 else 0))", "(p.base - p.debt)"),
        Edit(AAVE_TWIN, "price) if p.collateral != 0 else 0\n    worth", "price)\n    worth"),
    ),
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
        Edit(MANAGER, "assert rule._is_near(spot, step.mark.price, step.tolerance),", "assert True,"),
        Edit(MANAGER, "assert rule._is_near(spot, step.prices.twap, step.tolerance),", "assert True,"),
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

# ---- mandates and the carry

SIZE_IGNORED = Bug(
    "a mandate has no size",
    "Mandates",
    (Edit(MANDATES, 'assert mandate.volume + volume <= mandate.size, "mandates: size spent"', "assert True"),),
    (
        Edit(
            MANDATES_TWIN,
            'require(mandate.volume + volume <= mandate.size, "mandates: size spent")',
            "pass",
        ),
    ),
    f"{NOBODYS}: an approval without limit",
    lending=True,
)
ANYBODYS_MANDATE = Bug(
    "anybody may use a mandate",
    "Mandates",
    (Edit(MANDATES, 'assert msg.sender == mandate.agent, "mandates: not the agent"', "assert True"),),
    (Edit(MANDATES_TWIN, 'require(agent == mandate.agent, "mandates: not the agent")', "pass"),),
    f"{NOBODYS}: a role that nobody checks",
    lending=True,
)
CARRY_FLIPPED = Bug(
    "the carry is paid by the side that the hedge is not held for",
    "Carry",
    (Edit(CARRY, "    if net > 0:\n        sample = -sample\n", "    if net < 0:\n        sample = -sample\n"),),
    (Edit(CARRY_TWIN, "(-one if net > 0 else one)", "(one if net > 0 else -one)"),),
    f"{NOBODYS}: the sign of a rate",
    lending=True,
)

# ---- the rebate auction

BOOSTED_AT_ONCE = Bug(
    "an auction pays as soon as it is open",
    "RebateAuction",
    (Edit(AUCTION, "rises_at: uint256 = block.timestamp + c.DAY", "rises_at: uint256 = block.timestamp"),),
    (Edit(AUCTION_TWIN, "self.since = (now + DAY) * NS", "self.since = now * NS"),),
    f"{NOBODYS}: inventory built in order to be paid for taking it back",
)
BOOST_UNCAPPED = Bug(
    "a boost may exceed the spread that the trade pays",
    "RebateAuction",
    (
        Edit(
            AUCTION,
            "return min(min(self._share(top - bottom, state, p), cap), self._left(state, p))",
            "return min(self._share(top - bottom, state, p), self._left(state, p))",
        ),
    ),
    (
        Edit(
            AUCTION_TWIN,
            "return min(self._share(top - bottom, now), cap(price, market, x, spreads), self._left(now))",
            "return min(self._share(top - bottom, now), self._left(now))",
        ),
    ),
    f"{NOBODYS}: a round trip that LPs pay for",
)
BOOST_FROM_THE_RESERVE = Bug(
    "the reserve pays what LPs should add to rebates",
    "RebateAuction",
    (Edit(AUCTION, "    extcall CLEARINGHOUSE.subsidise(amount)\n", ""),),
    (Edit(AUCTION_TWIN, "        self.clearinghouse.subsidise(amount)\n", ""),),
    f"{NOBODYS}: what other traders have paid is spent twice",
)

# ---- the rule

COST_BELIEVED = Bug(
    "a hedge costs the venue's fee, whatever the pool gave",
    "HedgeManager",
    (Edit(RULE, "    if worst <= 0:\n        return least\n", "    if True:\n        return least\n"),),
    (Edit(HEDGE_TWIN, "return max(mul_up(notional, fee), worst)", "return mul_up(notional, fee)"),),
    f"{NOBODYS}: a keeper who sandwiches himself",
)

BUGS: tuple[Bug, ...] = tuple(bug for bug in globals().copy().values() if isinstance(bug, Bug))
