"""Bugs planted in what stands behind margin: liquidation, deleveraging, closes that wait, global settlement."""

from __future__ import annotations

from ballast.fuzz.planted import Bug, Edit

CLEARINGHOUSE = "contracts/clearing/Clearinghouse.vy"
LIQUIDATOR = "contracts/clearing/Liquidator.vy"
DELEVERAGER = "contracts/clearing/Deleverager.vy"
QUEUE = "contracts/clearing/CloseQueue.vy"
SETTLEMENT = "contracts/clearing/GlobalSettlement.vy"
ENGINE = "contracts/perps/PerpEngine.vy"

CLEARING_TWIN = "ballast/model/exact/clearing.py"
LIQUIDATOR_TWIN = "ballast/model/exact/liquidator.py"
DELEVERAGER_TWIN = "ballast/model/exact/deleverager.py"
QUEUE_TWIN = "ballast/model/exact/close_queue.py"
SETTLEMENT_TWIN = "ballast/model/exact/global_settlement.py"
PERPS_TWIN = "ballast/model/exact/perps.py"

NOBODYS = "no single incident"

# ---- liquidation

HEALTHY_LIQUIDATED = Bug(
    "accounts are liquidated below initial margin",
    "Liquidator",
    (
        Edit(
            LIQUIDATOR,
            "assert case.before.equity < convert(case.before.maintenance, int256)",
            "assert case.before.equity < convert(case.before.initial, int256)",
        ),
    ),
    (Edit(LIQUIDATOR_TWIN, "require(before.equity < before.maintenance", "require(before.equity < before.initial"),),
    f"{NOBODYS}: liquidation of the healthy",
)
PENALTY_LOWERS_THE_RATIO = Bug(
    "a penalty takes whatever equity is left",
    "Liquidator",
    (
        Edit(
            LIQUIDATOR,
            "max(case.before.equity - cost - convert(kept, int256), 0)",
            "max(case.before.equity - cost - 0 * convert(kept, int256), 0)",
        ),
    ),
    (Edit(LIQUIDATOR_TWIN, "equity - cost - mul_div_up(equity, left, maintenance)", "equity - cost"),),
    f"{NOBODYS}: one liquidation is the cause of the next",
)
SHARE_ROUNDED_DOWN = Bug(
    "the share of a request that is enough is rounded down",
    "Liquidator",
    (Edit(LIQUIDATOR, "case.share = wad.div_up(missing,", "case.share = wad.mul_div_down(missing, c.WAD,"),),
    mirrors=f"{NOBODYS}: not quite enough is closed",
    unseen="what is missing then is less than the roundings of the account itself",
)
HEDGES_GO_FIRST = Bug(
    "what hedges the rest can be liquidated first",
    "Liquidator",
    (
        Edit(
            LIQUIDATOR,
            "    assert (\n"
            "        case.maintenance < case.before.maintenance or case.before.maintenance == 0\n"
            '    ), "liquidation: requirement would not fall"\n',
            "    case.maintenance = min(case.maintenance, case.before.maintenance)\n",
        ),
    ),
    (
        Edit(
            LIQUIDATOR_TWIN,
            '        require(falls, "liquidation: requirement would not fall")\n',
            "        maintenance = min(maintenance, before.maintenance)\n",
        ),
    ),
    f"{NOBODYS}: the long leg of a spread is sold, the short one stays",
)
TAKER_UNSECURED = Bug(
    "who takes a position over needs no margin for it",
    "Liquidator",
    (
        Edit(
            LIQUIDATOR,
            '    assert staticcall margin.check_initial(msg.sender, cash, mask), "margin: below initial"\n',
            "",
        ),
    ),
    (
        Edit(
            LIQUIDATOR_TWIN,
            '        require(self.margin.check_initial(caller, cash, mask, now), "margin: below initial")\n',
            "",
        ),
    ),
    f"{NOBODYS}: a position arrives where nobody asks for its margin",
)
MOVED_WITHOUT_ACCRUAL = Bug(
    "a position changes hands without what it owes",
    "PerpEngine",
    (
        Edit(
            ENGINE,
            "    claims_before: int256 = book.claims\n"
            "    book = funding._accrue(book, mark.price, block.timestamp)\n    gave:",
            "    claims_before: int256 = book.claims\n    gave:",
        ),
    ),
    (
        Edit(
            PERPS_TWIN,
            "        book = accrue(book, mark.price, now)\n        gave =",
            "        gave =",
        ),
    ),
    f"{NOBODYS}: a transfer that forgets the index",
)
BOTH_HALVES_OF_A_PENALTY = Bug(
    "a liquidator gets a share of the penalty, and the whole of it stays with the account",
    "Clearinghouse",
    (
        Edit(
            CLEARINGHOUSE,
            "    state.cash -= convert(paid, int256)\n    ledger._save_account(account, state)\n    reward:",
            "    ledger._save_account(account, state)\n    reward:",
        ),
    ),
    (
        Edit(
            CLEARING_TWIN,
            "        state.cash -= paid\n        self._save_account(account, state)\n        reward =",
            "        self._save_account(account, state)\n        reward =",
        ),
    ),
    f"{NOBODYS}: a penalty out of nothing",
)

# ---- deleveraging

DELEVERAGED_WHILE_SOLVENT = Bug(
    "winners are deleveraged while LPs can pay",
    "Deleverager",
    (Edit(DELEVERAGER, '    assert status.armed, "deleverage: not armed"\n', ""),),
    (Edit(DELEVERAGER_TWIN, '        require(status.armed, "deleverage: not armed")\n', ""),),
    f"{NOBODYS}: a last resort that comes first",
)
DELEVERAGED_AT_A_COST = Bug(
    "who is deleveraged pays the charge for it",
    "PerpEngine",
    (
        Edit(
            ENGINE,
            "        answer.half_spread = 0\n        answer.charge = 0\n",
            "        answer.half_spread = 0\n",
        ),
    ),
    (Edit(PERPS_TWIN, "replace(answer, half_spread=0, charge=0)", "replace(answer, half_spread=0)"),),
    f"{NOBODYS}: a close that nobody asked for at the account's expense",
)
DELEVERAGED_WHOLE = Bug(
    "a deleveraged position is closed whole, whatever it takes",
    "Deleverager",
    (Edit(DELEVERAGER, "    closed: uint256 = 1\n    if wanted >= gain:", "    closed: uint256 = 1\n    if True:"),),
    (Edit(DELEVERAGER_TWIN, "closed = size if wanted >= gain else", "closed = size if wanted >= -abs(gain) else"),),
    f"{NOBODYS}: more is closed than is needed",
)
ANYBODY_OUTBIDS = Bug(
    "a nomination with a lower score replaces a higher one",
    "Deleverager",
    (Edit(DELEVERAGER, '        assert score > nomination.score, "deleverage: score is not higher"\n', ""),),
    (
        Edit(
            DELEVERAGER_TWIN,
            '            require(score > nomination.score, "deleverage: score is not higher")\n',
            "",
        ),
    ),
    f"{NOBODYS}: whoever comes last names the loser",
)

# ---- closes that wait

CANCELLED_AFTER_THE_PRICE = Bug(
    "a request can be taken back after its price has come",
    "CloseQueue",
    (
        Edit(
            QUEUE,
            "    self._check_no_round(market, request.round_time)\n",
            "",
        ),
    ),
    (
        Edit(
            QUEUE_TWIN,
            "        self._check_no_round(market, request.round_time, now)\n        self.perps",
            "        self.perps",
        ),
    ),
    f"{NOBODYS}: a free option",
)
EXECUTED_WITHOUT_A_ROUND = Bug(
    "a request is carried out at a round that was known when it was made",
    "CloseQueue",
    (
        Edit(
            QUEUE,
            "        self._check_round(market, request.round_time)\n        extcall PERP_ENGINE",
            "        extcall PERP_ENGINE",
        ),
    ),
    (
        Edit(
            QUEUE_TWIN,
            "        self._check_round(market, request.round_time, now)\n        self.perp_engine",
            "        self.perp_engine",
        ),
    ),
    f"{NOBODYS}: a price that was there before the order",
)
CLOSED_AT_THE_RECORDED_PRICE = Bug(
    "who is closed by others is closed at the recorded price, not at the newest",
    "PerpEngine",
    (
        Edit(
            ENGINE,
            "    mark: IPriceOracle.Mark = extcall ORACLE.sync(market)\n"
            "    fill: Fill = self._fill(account, market, size_delta, mark, most_cost, at_mark)\n",
            "    mark: IPriceOracle.Mark = staticcall ORACLE.last(market)\n"
            "    fill: Fill = self._fill(account, market, size_delta, mark, most_cost, at_mark)\n",
        ),
    ),
    (
        Edit(
            PERPS_TWIN,
            "        mark = self.oracle.sync(market, now)\n"
            "        fill = self._fill(account, market, size_delta, mark, most_cost, at_mark, now)\n",
            "        mark = self.oracle.last(market, now)\n"
            "        fill = self._fill(account, market, size_delta, mark, most_cost, at_mark, now)\n",
        ),
    ),
    "Levana, December 2023 ($1.15m): execution at an older price than there is",
)

# ---- global settlement

ANYBODY_ENDS_IT = Bug(
    "a system that can pay is ended",
    "GlobalSettlement",
    (Edit(SETTLEMENT, '        assert nav < 0, "settlement: vault is solvent"\n', ""),),
    (
        Edit(
            SETTLEMENT_TWIN,
            '            require(self.vault.valuation(now).nav < 0, "settlement: vault is solvent")\n',
            "            self.vault.valuation(now)\n",
        ),
    ),
    f"{NOBODYS}: a switch that anybody can throw",
    ends=True,
)
RESERVE_STAYS_BEHIND = Bug(
    "a freeze leaves the reserve where it is",
    "Clearinghouse",
    (
        Edit(
            CLEARINGHOUSE,
            "    vault.lp += convert(vault.reserve + vault.fees + backing.insurance + backing.protocol, int256)\n"
            "    vault.reserve = 0\n",
            "    vault.lp += convert(vault.fees + backing.insurance + backing.protocol, int256)\n",
        ),
    ),
    (
        Edit(
            CLEARING_TWIN,
            "self._settle_vault(-self.reserve, self.reserve + self.fees +",
            "self._settle_vault(0, self.fees +",
        ),
    ),
    f"{NOBODYS}: a bucket that nobody can claim",
    ends=True,
)
CRYSTALLISED_AGAIN = Bug(
    "crystallising an account again forgets its profit",
    "GlobalSettlement",
    (Edit(SETTLEMENT, "        if mask == 0:\n            continue\n", ""),),
    (
        Edit(
            SETTLEMENT_TWIN,
            "            if mask == 0:\n                continue\n            worth_now",
            "            worth_now",
        ),
    ),
    f"{NOBODYS}: an account that is counted twice",
    ends=True,
)
PRICED_AT_THE_CALL = Bug(
    "options are valued when their account is called, not when the system was frozen",
    "GlobalSettlement",
    (
        Edit(
            SETTLEMENT,
            "payoff, worth, count = self._options(account, time)",
            "payoff, worth, count = self._options(account, block.timestamp)",
        ),
    ),
    mirrors=f"{NOBODYS}: whoever comes later gets less",
    unseen="the twin of that function is not told what time it is",
    ends=True,
)
PROFITS_PAID_WHOLE = Bug(
    "profits are paid whole while there is not enough for all",
    "GlobalSettlement",
    (Edit(SETTLEMENT, "wad.mul_div_down(claim.amount, pot, self._profits)", "min(claim.amount, pot)"),),
    (Edit(SETTLEMENT_TWIN, "mul_div_down(claim.amount, pot, self.profits)", "min(claim.amount, pot)"),),
    f"{NOBODYS}: first come, first served",
    ends=True,
)
LPS_BEFORE_TRADERS = Bug(
    "LPs are paid out of what traders are owed",
    "GlobalSettlement",
    (Edit(SETTLEMENT, "return profits, whole - profits", "return profits, whole"),),
    (Edit(SETTLEMENT_TWIN, "return profits, whole - profits", "return profits, whole"),),
    f"{NOBODYS}: the junior claim first",
    ends=True,
)
REQUESTS_PAID_AGAIN = Bug(
    "shares that wait in the queue are paid as often as somebody asks",
    "GlobalSettlement",
    (Edit(SETTLEMENT, "    self.paid_request[controller] = claim.paid\n", ""),),
    (Edit(SETTLEMENT_TWIN, "        self.paid_request[controller] = claim.paid\n", ""),),
    "Opyn, 2020 ($371k), Lyra v1: paid again and again for one claim",
    ends=True,
)
CASH_UNCUT = Bug(
    "cash is paid whole while accounts own more than there is",
    "Clearinghouse",
    (
        Edit(
            CLEARINGHOUSE,
            "    taken: uint256 = wad.mul_div_up(amount, free + convert(-lp, uint256), free)\n",
            "    taken: uint256 = amount\n",
        ),
    ),
    (Edit(CLEARING_TWIN, "return ceil_div(amount * (free - self.lp), free)", "return amount"),),
    f"{NOBODYS}: who withdraws last gets nothing",
    ends=True,
)

BUGS: tuple[Bug, ...] = tuple(bug for bug in globals().copy().values() if isinstance(bug, Bug))
