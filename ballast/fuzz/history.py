"""What happened to others, planted here: bugs of peers re-created as edits of these contracts and of their twin.

`python -m ballast.fuzz.history` searches for each, with the twin and without it, and writes the table.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from functools import partial
from pathlib import Path
from statistics import median

import click

from ballast.chain import Chain
from ballast.chain.artifacts import ROOT
from ballast.fuzz import backstop_bugs, hostile_bugs, option_bugs
from ballast.fuzz.planted import Bug, Edit, Found, chain_with, in_twin, search
from ballast.fuzz.runner import Failure, replay
from ballast.fuzz.shrink import reduce, shrink, words
from ballast.reports import REPORTS

CLEARINGHOUSE = "contracts/clearing/Clearinghouse.vy"
ENGINE = "contracts/perps/PerpEngine.vy"
FUNDING = "contracts/perps/funding.vy"
POSITIONS = "contracts/perps/positions.vy"
INVENTORY = "contracts/inventory/Inventory.vy"
MANAGER = "contracts/hedge/HedgeManager.vy"
ORACLE = "contracts/oracle/PriceOracle.vy"
VAULT = "contracts/vault/Vault.vy"
EPOCHS = "contracts/vault/epochs.vy"
SHARES = "contracts/vault/shares.vy"
BOOK = "contracts/options/OptionBook.vy"
OPTIONS = "contracts/options/OptionEngine.vy"
MARGIN = "contracts/clearing/Margin.vy"

CLEARING_TWIN = "ballast/model/exact/clearing.py"
PERPS_TWIN = "ballast/model/exact/perps.py"
INVENTORY_TWIN = "ballast/model/exact/inventory.py"
HEDGE_TWIN = "ballast/model/exact/hedge.py"
MANAGER_TWIN = "ballast/model/exact/hedge_manager.py"
ORACLE_TWIN = "ballast/model/exact/oracle.py"
VAULT_TWIN = "ballast/model/exact/vault.py"
BOOK_TWIN = "ballast/model/exact/option_book.py"
OPTIONS_TWIN = "ballast/model/exact/option_engine.py"
MARGIN_TWIN = "ballast/model/exact/margin.py"

STALE_AVERAGE = Bug(
    "adding to a position leaves the aggregate of entry costs as it was",
    "PerpEngine",
    (
        Edit(
            ENGINE,
            "    book.claims = unsafe_add(book.claims, touch.claims)\n",
            "    if before.size == 0 or (before.size > 0) != (size_delta > 0):\n"
            "        book.claims = unsafe_add(book.claims, touch.claims)\n",
        ),
    ),
    (
        Edit(
            PERPS_TWIN,
            "book.claims + touch.claims",
            "book.claims + (touch.claims if before.size == 0 or (before.size > 0) != (size_delta > 0) else 0)",
        ),
    ),
    "GMX v1, July 2025 ($42m): the average short price was not updated, which inflated the assets of the pool",
)
INTEGER_UTILIZATION = Bug(
    "utilization is counted in whole percents",
    "Inventory",
    (
        Edit(
            INVENTORY,
            "min(unsafe_div(unsafe_mul(e.book.loss, c.WAD), e.book.capital), c.WAD)",
            "min(e.book.loss * 100 // e.book.capital, 100) * 10**16",
        ),
    ),
    (
        Edit(
            INVENTORY_TWIN,
            "min(e.book.loss * MICRO * WAD // capital, WAD)",
            "min(e.book.loss * MICRO * 100 // capital, 100) * 10**16",
        ),
    ),
    "Velar, 2024 (audit, high): utilization as an integer percentage",
)
SKEW_OVERWRITTEN = Bug(
    "a liquidation sets the open interest of its market to zero",
    "PerpEngine",
    (
        Edit(
            ENGINE,
            '    assert fill.closing, "perps: not closing"\n    cash:',
            '    assert fill.closing, "perps: not closing"\n'
            "    skew: funding.Book = funding._load(market)\n"
            "    skew.long = 0\n"
            "    skew.short = 0\n"
            "    funding._save(market, skew)\n    cash:",
        ),
    ),
    (
        Edit(
            PERPS_TWIN,
            '        require(fill.closing, "perps: not closing")\n        cash,',
            '        require(fill.closing, "perps: not closing")\n'
            "        self.books[market] = replace(self.books[market], long=0, short=0)\n        cash,",
        ),
    ),
    "Zaros, 2024 (audit, high): a liquidation wrote skew = 0",
)
FEES_AT_CLOSE = Bug(
    "NAV learns of accrued fees only when somebody trades",
    "PerpEngine",
    (Edit(ENGINE, "            book = funding._accrue(book, price, block.timestamp)\n", ""),),
    (
        Edit(
            PERPS_TWIN,
            "                book = accrue(book, price, now)\n                value +=",
            "                value +=",
        ),
    ),
    "Velar, 2024 (audit, high): accrued fees reached LPs at the close, so that one block of liquidity took them",
)
NAV_WITHOUT_PROFIT = Bug(
    "NAV ignores what traders have won and lost in open positions",
    "PerpEngine",
    (
        Edit(
            ENGINE,
            "value += funding._claims_wad(book.claims) - signed.mul_ceil(net, convert(price, int256))",
            "value += 0 * net",
        ),
    ),
    (Edit(PERPS_TWIN, "value += claims_wad(book.claims) - mul_ceil(book.long - book.short, price)", "value += 0"),),
    "Velar, 2024: LP shares priced by reserves alone, open profit left out",
)
CAP_IN_UNITS = Bug(
    "open interest is capped in base only",
    "PerpEngine",
    (
        Edit(
            ENGINE,
            "    assert unsafe_mul(interest, price) <= unsafe_mul(markets._cap_quote(config), c.WAD),"
            ' "perps: quote cap"\n',
            "",
        ),
    ),
    (Edit(PERPS_TWIN, 'require(mul_up(interest, price) <= params.cap_quote, "perps: quote cap")', "pass"),),
    "Synthetix, TRB, December 2023 (~$2m): caps in units while the price rose",
)
CLOSE_BOUND_BY_CAPS = Bug(
    "caps and minimum size bind whoever closes in part",
    "PerpEngine",
    (
        Edit(
            ENGINE,
            "        self._check_caps(config, size, interest, mark.price)\n",
            "    if not closing or after != 0:\n        self._check_caps(config, size, interest, mark.price)\n",
        ),
    ),
    (
        Edit(
            PERPS_TWIN,
            "            _check_caps(config.params,",
            "        if not closing or after != 0:\n            _check_caps(config.params,",
        ),
    ),
    "Velar, 2024 (audit, medium): positions that could not be closed",
)
CLOSING_IS_FREE = Bug(
    "a close that raises U pays nothing for it",
    "Inventory",
    (
        Edit(
            INVENTORY,
            "q.charge = convert(unsafe_sub(q.potential_after, q.potential_before), int256)",
            "q.charge = 0 if change.closing else convert(q.potential_after - q.potential_before, int256)",
        ),
    ),
    (Edit(INVENTORY_TWIN, "charge = after - before\n", "charge = 0 if change.closing else after - before\n"),),
    "Gains, 2022 (the LUNA stress): impact charged on opens alone",
)
REBATE_FROM_LP_CASH = Bug(
    "rebates are paid out of LP cash instead of the reserve",
    "PerpEngine",
    (
        Edit(
            ENGINE,
            "reserve: int256 = answer.charge - convert(",
            "reserve: int256 = max(answer.charge, 0) - convert(",
        ),
    ),
    (
        Edit(
            PERPS_TWIN,
            "        reserve = answer.charge - answer.release",
            "        reserve = max(answer.charge, 0) - answer.release",
        ),
    ),
    "GMX v2: LPs lend the impact pool what it pays out",
)
REBATE_UNFUNDED = Bug(
    "rebates ignore how much of U the reserve covers",
    "Inventory",
    (
        Edit(
            INVENTORY,
            "rebate: uint256 = unsafe_div(unsafe_mul(fall, e.book.coverage), COVERAGE_UNIT)",
            "rebate: uint256 = fall",
        ),
    ),
    (
        Edit(
            INVENTORY_TWIN,
            "rebate = (low - after) * e.book.coverage // COVERAGE_UNIT",
            "rebate = low - after",
        ),
    ),
    "Synthetix v3: skew discounts owed to traders and booked nowhere",
)
FREE_LOOK = Bug(
    "the rebate is for the whole fall of U, however young the inventory",
    "Inventory",
    (
        Edit(
            INVENTORY,
            "low: uint256 = min(q.potential_before, unsafe_mul(min(e.book.low_prev, e.book.low), c.MICRO))",
            "low: uint256 = q.potential_before",
        ),
    ),
    mirrors="GMX, 2023 (audit, high): a free look at the next price, impact earned back",
    unseen="every rule of one block still holds; the profit needs a price that is known before the feed says it, "
    "and is found by the search for profit",
)
COST_OF_THE_END_POINT = Bug(
    "the half-spread of a whole trade is that of its end point, so that slices are cheaper",
    "Inventory",
    (
        Edit(
            INVENTORY,
            "q.half_spread = wad.mul_up(change.notional, mp.base)",
            "q.half_spread = wad.mul_up(change.notional, mp.base + mp.base * change.notional // (10**6 * c.WAD))",
        ),
    ),
    (
        Edit(
            INVENTORY_TWIN,
            "half_spread = mul_up(change.notional, mp.base)",
            "half_spread = mul_up(change.notional, mp.base + mp.base * change.notional // (10**6 * WAD))",
        ),
    ),
    "Lyra (vega fee and impact at the end point), Perennial (SynBook): slicing an order divided its cost",
)
FUNDING_FLIPPED = Bug(
    "funding is paid by the wrong side",
    "PerpEngine",
    (
        Edit(
            FUNDING,
            "units: int256 = unsafe_div(funding_rate, FUNDING_UNIT)",
            "units: int256 = unsafe_div(-funding_rate, FUNDING_UNIT)",
        ),
    ),
    (Edit(PERPS_TWIN, "tdiv(funding_rate, FUNDING_UNIT)", "tdiv(-funding_rate, FUNDING_UNIT)"),),
    "no single incident: the sign of funding",
)
FUNDING_FROM_LPS = Bug(
    "the smaller side pays per unit what the larger side receives per unit",
    "PerpEngine",
    (
        Edit(
            FUNDING,
            "return unsafe_div(unsafe_mul(pay, convert(payers, int256)), convert(receivers, int256))",
            "return pay",
        ),
    ),
    (Edit(PERPS_TWIN, "return pay * payers // receivers", "return pay"),),
    "Drift, Synthetix v3: the pool pays the funding that payers do not",
)
STALE_ACCEPTED = Bug(
    "a price stays fresh however old it is",
    "PriceOracle",
    (
        Edit(
            ORACLE,
            "return word & HALTED == 0 and unsafe_sub(block.timestamp, updated_at) <= (word >> 160) & U24",
            "return word & HALTED == 0",
        ),
    ),
    (
        Edit(ORACLE_TWIN, "fresh = not m.halted and now - mark.updated_at <= m.params.max_age", "fresh = not m.halted"),
        Edit(
            ORACLE_TWIN,
            "fresh = round_.ok and not m.halted and now - mark.updated_at <= m.params.max_age",
            "fresh = round_.ok and not m.halted",
        ),
    ),
    "Levana, December 2023 ($1.15m): trades at a stale price; Lyra: quotes and hedges from a cache of any age",
)
OUT_OF_ORDER = Bug(
    "a round that is older than the recorded one is accepted",
    "PriceOracle",
    (
        Edit(
            ORACLE,
            "round.round_id > mark.round_id and round.updated_at > mark.updated_at",
            "round.round_id > mark.round_id and round.updated_at != mark.updated_at",
        ),
        Edit(
            ORACLE,
            "dt: uint256 = unsafe_sub(round.updated_at, mark.updated_at)",
            "dt: uint256 = max(round.updated_at, mark.updated_at) - min(round.updated_at, mark.updated_at)",
        ),
    ),
    (
        Edit(
            ORACLE_TWIN,
            "accepted = round_.ok and newer and round_.updated_at > mark.updated_at",
            "accepted = round_.ok and newer and round_.updated_at != mark.updated_at",
        ),
        Edit(ORACLE_TWIN, "dt = round_.updated_at - mark.updated_at", "dt = abs(round_.updated_at - mark.updated_at)"),
    ),
    "Levana, December 2023: an older price could be chosen while the chain was congested",
)
PENDING_FEES_IGNORED = Bug(
    "margin ignores funding and fees that are owed",
    "Margin",
    (
        Edit(
            "contracts/clearing/Margin.vy",
            "requirement._value(leg.size, leg.cost, leg.owed, mark.price)",
            "requirement._value(leg.size, leg.cost, 0, mark.price)",
        ),
    ),
    (
        Edit(
            "ballast/model/exact/margin.py",
            "value(leg.size, leg.cost, leg.owed, mark.price)",
            "value(leg.size, leg.cost, 0, mark.price)",
        ),
    ),
    "Perennial, 2024 (audit, high): pending fees had no collateral",
)
SELF_LIQUIDATION = Bug(
    "a liquidator who liquidates himself keeps what he had",
    "Clearinghouse",
    (
        Edit(
            CLEARINGHOUSE,
            "    state.cash -= convert(paid, int256)\n    ledger._save_account(account, state)\n    reward:",
            "    gainer: ledger.Account = ledger._load_account(liquidator)\n"
            "    state.cash -= convert(paid, int256)\n    ledger._save_account(account, state)\n    reward:",
        ),
        Edit(
            CLEARINGHOUSE,
            "    # loaded after the account was saved: the liquidator may be the account itself\n"
            "    gainer: ledger.Account = ledger._load_account(liquidator)\n",
            "",
        ),
    ),
    (
        Edit(
            CLEARING_TWIN,
            "        state.cash -= paid\n        self._save_account(account, state)\n        reward =",
            "        gainer = self._load_account(liquidator)\n"
            "        state.cash -= paid\n        self._save_account(account, state)\n        reward =",
        ),
        Edit(
            CLEARING_TWIN,
            "        gainer = self._load_account(liquidator)\n        gainer.cash += reward\n",
            "        gainer.cash += reward\n",
        ),
    ),
    "Perennial, 2023 (audit, medium): liquidating oneself went around the limits",
)
PROFIT_WITHDRAWN = Bug(
    "withdrawals do not look at margin",
    "Clearinghouse",
    (Edit(CLEARINGHOUSE, "        self._check_margin(account, state)\n", ""),),
    (Edit(CLEARING_TWIN, "            self._check_margin(account, state, now)\n", ""),),
    "Hyperliquid, ETH, March 2025 (~$4m): margin withdrawn until liquidation was a free exit",
)
DEBT_LINGERS = Bug(
    "a loss beyond an account's cash stays with the account",
    "Clearinghouse",
    (Edit(CLEARINGHOUSE, "if state.cash < 0 and state.mask == 0:", "if state.cash < -(2**120):"),),
    (Edit(CLEARING_TWIN, "if state.cash < 0 and state.mask == 0:", "if state.cash < -(2**120):"),),
    "Perennial, 2023 (audit, medium): negative balances linger, who leaves last bears them",
)
ROUNDED_FOR_THE_TRADER = Bug(
    "realised profit is rounded up",
    "PerpEngine",
    (
        Edit(
            POSITIONS,
            "touch.realised = unsafe_sub(signed.floor_div(unsafe_mul(closed, mark), c.SWAD), cost_closed)",
            "touch.realised = unsafe_sub(signed.ceil_div(unsafe_mul(closed, mark), c.SWAD), cost_closed)",
        ),
    ),
    (
        Edit(
            PERPS_TWIN,
            "realised = mul_floor(closed, price) - cost_closed",
            "realised = mul_ceil(closed, price) - cost_closed",
        ),
    ),
    "no single incident: rounding in favour of who acts",
)
LIMIT_IGNORED = Bug(
    "the limit price binds nobody",
    "PerpEngine",
    (Edit(ENGINE, "    self._check_limit(size_delta, limit_price, mark.price, fill.notional, extra)\n", ""),),
    (Edit(PERPS_TWIN, "        _check_limit(size_delta, limit_price, mark.price, fill.notional, extra)\n", ""),),
    "Velar, 2024 (audit, medium): no minimum to be received",
)
FIRST_DEPOSITOR = Bug(
    "no virtual shares: who comes first sets the price of a share",
    "Vault",
    (
        Edit(SHARES, "VIRTUAL_SHARES: constant(uint256) = c.WAD", "VIRTUAL_SHARES: constant(uint256) = 1"),
        Edit(SHARES, "VIRTUAL_ASSETS: constant(uint256) = c.WAD", "VIRTUAL_ASSETS: constant(uint256) = 1"),
    ),
    (
        Edit(
            VAULT_TWIN,
            "mul_div_down(assets, u256(supply + VIRTUAL_SHARES), u256(nav + VIRTUAL_ASSETS))",
            "mul_div_down(assets, u256(supply + 1), u256(nav + 1))",
        ),
        Edit(
            VAULT_TWIN,
            "mul_div_down(shares, u256(nav + VIRTUAL_ASSETS), u256(supply + VIRTUAL_SHARES))",
            "mul_div_down(shares, u256(nav + 1), u256(supply + 1))",
        ),
        Edit(
            VAULT_TWIN,
            "mul_div_up(shares, u256(nav + VIRTUAL_ASSETS), u256(supply + VIRTUAL_SHARES))",
            "mul_div_up(shares, u256(nav + 1), u256(supply + 1))",
        ),
    ),
    "Velar, 2024 (audit, medium), and many vaults before it: first-depositor inflation",
)
DEPOSIT_AT_MID = Bug(
    "deposits enter at mid NAV",
    "Vault",
    (Edit(SHARES, "return nav + spread + wad.sub_floor(reserve, potential)", "return nav"),),
    (Edit(VAULT_TWIN, "return u256(nav + spread + sub_floor(reserve, potential))", "return nav"),),
    "Rysk: one price for entries and exits",
)
REDEEMED_AT_MID = Bug(
    "redemptions are paid at mid NAV",
    "Vault",
    (Edit(VAULT, "bid: uint256 = pricing._bid(funds.nav, funds.v.spread, uncovered)", "bid: uint256 = funds.nav"),),
    (Edit(VAULT_TWIN, "bid = bid_nav(funds.nav, funds.v.spread, uncovered)", "bid = funds.nav"),),
    "Rysk: one price for entries and exits",
)
PRICED_BEFORE_ITS_END = Bug(
    "an epoch is priced at a round that those in it have seen",
    "Vault",
    (Edit(VAULT, '        assert survey.oldest >= pool.ends_at, "vault: price older than epoch"\n', ""),),
    (Edit(VAULT_TWIN, '            require(survey.oldest >= pool.ends_at, "vault: price older than epoch")\n', ""),),
    "Lyra (audit, medium): settled at whatever price there was when somebody called",
)
DOUBLE_CLAIM = Bug(
    "a claim can be made again and again",
    "Vault",
    (Edit(VAULT, "    record.claim_shares -= taken\n    record.claim_assets -= amount\n", ""),),
    (Edit(VAULT_TWIN, "        record.claim_shares -= taken\n        record.claim_assets -= amount\n", ""),),
    "Opyn, 2020 ($371k): exercised twice; Lyra v1: a certificate withdrawn repeatedly",
)
QUEUE_JUMPED = Bug(
    "who asks after the end of an epoch is paid with it",
    "Vault",
    (Edit(EPOCHS, "since=pool.step + 1, request=request", "since=pool.step, request=request"),),
    (
        Edit(
            VAULT_TWIN,
            "Ticket(record.late.shares + shares, pool.step + 1, request)",
            "Ticket(record.late.shares + shares, pool.step, request)",
        ),
    ),
    "Panoptic, 2025 (audit, medium, disputed): leaving ahead of a loss",
)
FIRST_COME_FIRST_SERVED = Bug(
    "an epoch that is filled in part credits everybody as if it were filled whole",
    "Vault",
    (
        Edit(
            EPOCHS,
            "index.assets += math._mul_div(index.product, paid, pool.pending, False)",
            "index.assets += math._mul_div(index.product, paid, filled, False)",
        ),
    ),
    (
        Edit(
            VAULT_TWIN,
            "index.assets += mul_div(index.product, paid, pool.pending)",
            "index.assets += mul_div(index.product, paid, filled)",
        ),
    ),
    "Lyra: a queue served first come, first served",
)
KEEPER_CHURN = Bug(
    "a hedge may cost more than it saves",
    "HedgeManager",
    (
        Edit(
            MANAGER,
            '    assert spent <= rule._budget(terms.phi_bps, fall.fall), "hedge: costs more than it saves"\n',
            "",
        ),
    ),
    (
        Edit(
            HEDGE_TWIN,
            '    require(spent <= budget(rule.phi_bps, m.fall.fall), "hedge: costs more than it saves")\n',
            "",
        ),
    ),
    "Rysk: the keeper picks the size of a hedge, whether or not it helps",
)
OWN_COUNTER = Bug(
    "the vault believes its own record of a venue instead of looking",
    "HedgeManager",
    (
        Edit(
            MANAGER,
            "        answered, exposure, equity = self._read(listing.venue, mark.price)\n",
            "        answered = True\n"
            "        known: IHedgeManager.VenueState = self._state(venue_id)\n"
            "        exposure = known.exposure\n"
            "        equity = convert(max(rule._expected_equity(known, mark.price), 0), uint256)\n",
        ),
    ),
    (
        Edit(
            MANAGER_TWIN,
            "answer = None if venue.retired else venue.read(mark.price)",
            "answer = None if venue.retired else (\n"
            "            venue.state.exposure, max(hedge.expected_equity(venue.state, mark.price), 0)\n        )",
        ),
    ),
    "Rysk: the hedge's delta was an internal counter, not the venue's position",
)
GIFT_IN_NAV = Bug(
    "a deposit books whatever tokens are there",
    "Clearinghouse",
    (
        Edit(
            CLEARINGHOUSE,
            "    ledger._add_units(units)\n    assert staticcall ASSET.balanceOf(self) >= ledger.total_units,",
            "    found: uint256 = staticcall ASSET.balanceOf(self) - ledger.total_units\n"
            "    ledger._add_units(found)\n    assert staticcall ASSET.balanceOf(self) >= ledger.total_units,",
        ),
        Edit(
            CLEARINGHOUSE,
            "lp: int256 = ledger._add_lp(convert(units * SCALE, int256), frozen)",
            "lp: int256 = ledger._add_lp(convert(found * SCALE, int256), frozen)",
        ),
    ),
    mirrors="no single incident: accounting by balance",
    unseen="the twin has no tokens; that it knows of none is what finds the bug",
)
FEE_NOT_FLOORED = Bug(
    "the dust of fees leaves LP cash and arrives nowhere",
    "Clearinghouse",
    (
        Edit(
            CLEARINGHOUSE,
            "fees: uint256 = unsafe_sub(settlement.fees, settlement.fees % c.MICRO)",
            "fees: uint256 = settlement.fees",
        ),
    ),
    (
        Edit(
            CLEARING_TWIN,
            "lp = -settlement.cash - settlement.reserve - fees",
            "lp = -settlement.cash - settlement.reserve - settlement.fees",
        ),
    ),
    "no single incident: dust",
)

NOBODY_ASKED = Bug(
    "anybody may replace the feed of a market",
    "PriceOracle",
    (
        Edit(
            ORACLE,
            "    roles._check(roles.Role.GOVERNOR)\n    word: uint256 = self._word(market)\n",
            "    word: uint256 = self._word(market)\n",
        ),
    ),
    mirrors="KiloEx, April 2025 ($7-8.4m): a stranger's call reached the price setter",
    unseen="the twin has no roles to forget: what only some may call is written down beside it",
    profile="all",
)
CALLED_FROM_INSIDE = Bug(
    "trades go through in the middle of another operation",
    "Clearinghouse",
    (
        Edit(
            CLEARINGHOUSE,
            "    if roles.Role.ENGINE in roles.roles_of[msg.sender]:\n        self._check_idle()\n",
            "    if roles.Role.ENGINE in roles.roles_of[msg.sender]:\n        pass\n",
        ),
    ),
    mirrors="GMX v1, July 2025 ($42m), Siren, 2021 ($3.5m): called again before the books were written",
    profile="all",
)

TOTALS_FROZEN = Bug(
    "a trade of options leaves delta among the totals of its board as it was",
    "OptionBook",
    (Edit(BOOK, "    p.book.delta += totals.delta\n", ""),),
    (Edit(BOOK_TWIN, "            old.delta + totals.delta,\n", "            old.delta,\n"),),
    "no single incident: greeks of a board that are kept beside its positions",
)
OLD_SURFACE = Bug(
    "a board whose surface is another is not renewed",
    "OptionBook",
    (Edit(BOOK, "point.surface != surface or block.timestamp", "block.timestamp"),),
    (Edit(BOOK_TWIN, "point.surface != surface or now - point.time", "now - point.time"),),
    "no single incident: trades and deposits at volatilities that are over",
)
PAID_AGAIN = Bug(
    "who has been paid for a settled option keeps it",
    "OptionBook",
    (
        Edit(
            BOOK,
            "    positions._save(account, before, legs)\n    return payoff, True",
            "    return payoff, True",
        ),
    ),
    (Edit(BOOK_TWIN, "        self.legs_of[account] = legs\n        return payoff", "        return payoff"),),
    "Opyn, August 2020 ($371k): one payment exercised several options",
)
ANY_ROUND = Bug(
    "any round of the past settles a board",
    "PriceOracle",
    (Edit(ORACLE, '    assert after.updated_at > time, "oracle: not the last round"\n', ""),),
    (Edit(ORACLE_TWIN, '        require(after.updated_at > time, "oracle: not the last round")\n', ""),),
    "no single incident: whoever settles chooses the price",
)
SALES_UNCAPPED = Bug(
    "the half-spread of a sale may exceed what is sold",
    "OptionBook",
    (
        Edit(BOOK, "            p.fill.spread_cap += value\n", "            p.fill.spread_cap += 2 * value + c.WAD\n"),
        Edit(BOOK, "            room += value\n", "            room += 2 * value + c.WAD\n"),
    ),
    (
        Edit(BOOK_TWIN, "                cap += value\n", "                cap += 2 * value + WAD\n"),
        Edit(BOOK_TWIN, "                room += value\n", "                room += 2 * value + WAD\n"),
    ),
    "no single incident: a position that is worth nothing costs money to close",
)
SHORTS_OWE_NOTHING = Bug(
    "what traders owe net for a settled board stays out of payables",
    "OptionEngine",
    (
        Edit(
            OPTIONS,
            "    self._settle_vault(release, reward, payoff)\n",
            "    self._settle_vault(release, reward, max(payoff, 0))\n",
        ),
    ),
    (
        Edit(
            OPTIONS_TWIN,
            "        self._settle_vault(release, reward, payoff, keeper)\n",
            "        self._settle_vault(release, reward, max(payoff, 0), keeper)\n",
        ),
    ),
    "no single incident: a payout booked for one side",
)
SETTLED_STAYS_IN_U = Bug(
    "a settled board stays in the inventory",
    "OptionEngine",
    (
        Edit(
            OPTIONS,
            "        release = self._adjust(market, mark, change)\n    self._settle_vault(release, reward, payoff)\n",
            "    self._settle_vault(release, reward, payoff)\n",
        ),
    ),
    (
        Edit(
            OPTIONS_TWIN,
            "            release = self.inventory.adjust(market, mark, change, now, hedges=False).release\n"
            "        self._settle_vault(release, reward, payoff, keeper)\n",
            "        self._settle_vault(release, reward, payoff, keeper)\n",
        ),
    ),
    "no single incident: expired options go on counting",
)
WRITERS_UNSECURED = Bug(
    "short options need no margin",
    "Margin",
    (Edit(MARGIN, "            health.initial += added.initial\n", ""),),
    (Edit(MARGIN_TWIN, "                initial += added.initial + cost\n", "                initial += cost\n"),),
    "no single incident: naked options",
)

BUGS: tuple[Bug, ...] = (*(bug for bug in globals().copy().values() if isinstance(bug, Bug)), *backstop_bugs.BUGS)


# Seeds at which searches have found the bugs: `--soon` writes them. Whatever changes what is drawn makes them seeds
# like any others, and searches that begin there longer.
SOON = Path(__file__).with_name("soon.json")


def hardest(bug: Bug, seed: int = 0, seconds: float = 60.0) -> Found:
    """Search with the bug in the twin as well, if it can be there: by the invariants alone."""
    return search(bug, seed, seconds, twin_too=bool(bug.twin))


def soonest(bug: Bug, seconds: float = 60.0) -> Found:
    """`hardest` from the seed that has found it before, if there is one."""
    return hardest(bug, json.loads(SOON.read_text()).get(bug.name, 0), seconds)


# ---- the report

Entry = tuple[str, list[str]]  # a bug's row of the table, and its section


@dataclass(frozen=True, slots=True)
class Row:
    """What searches for one bug found: with the twin as it should be, and with the bug in it if it can be there."""

    bug: Bug
    against_twin: list[Found]
    alone: list[Found]  # empty: the twin cannot have the bug, or the invariants do not see it
    short: Failure
    story: list[str]


def measure(bug: Bug, seeds: int, seconds: float, replays: int) -> Row:
    """Search with several seeds, and shorten the first failure: one that the invariants found, if there is one."""
    starts = [1_000 * i for i in range(seeds)]
    against_twin = [search(bug, seed, seconds) for seed in starts]
    alone = [search(bug, seed, seconds, twin_too=True) for seed in starts] if bug.twin else []
    with in_twin(bug.twin):
        first = (alone or against_twin)[0].failure
        short = _shorten(first, replays, chain_with(bug))
        return Row(bug, against_twin, alone, short, words(short))


def _shorten(failure: Failure, replays: int, make_chain: Callable[[], Chain]) -> Failure:
    """First with the checks of a random search, which are quick, then with all of them after every step."""
    quick = partial(replay, setup=failure.setup, thorough=False, make_chain=make_chain, ask=())
    return shrink(reduce(failure, quick, replays), replays // 2, make_chain)


def report(entries: Sequence[Entry], seeds: int, seconds: float) -> list[str]:
    """Markdown: the table, then what was changed and the shortest sequence for each."""
    lines = [
        "# Seeded history",
        "",
        "Bugs that happened to others, re-created here one at a time, and how the fuzzer found them: `python -m "
        "ballast.fuzz.history`",
        "writes this file. *With the twin*: the contracts have the bug, the twin has not. *By invariants alone*: both "
        "have it, so that no",
        "comparison can tell. Seconds of CPU and actions on contracts are medians over "
        f"{seeds} seeds; nothing took longer than {seconds:.0f} s.",
        "",
        "| bug | mirrors | with the twin, by | s | by invariants alone, by | s | actions | steps, shortened |",
        "|---|---|---|--:|---|--:|--:|--:|",
    ]
    lines += [line for line, _ in entries]
    for _, section in entries:
        lines += ["", *section]
    return lines


def written(row: Row) -> Entry:
    """A row as the report has it."""
    found, chosen = row.against_twin, row.alone or row.against_twin
    alone = [_checks(row.alone), _median(row.alone)] if row.alone else [_why_not(row), ""]
    cells = [
        row.bug.name, row.bug.mirrors, _checks(found), _median(found), *alone,
        f"{median(each.actions for each in chosen):,.0f}", str(len(row.short.steps)),
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |", [*_heading(row.bug), "", "```", *row.story, "```"]


def kept(bug: Bug, report: str) -> Entry | None:
    """The bug's row in a report of before, if it is about the same edits."""
    line = next((line for line in report.splitlines() if line.startswith(f"| {bug.name} |")), None)
    heading = "\n".join(_heading(bug))
    _, found, rest = report.partition(heading + "\n")
    if line is None or not found:
        return None
    return line, [*_heading(bug), *rest.partition("\n## ")[0].rstrip("\n").splitlines()]


def _heading(bug: Bug) -> list[str]:
    """Of the bug's section: its name and what was changed in the contract."""
    lines = [f"## {bug.name[0].upper()}{bug.name[1:]}", "", f"`{bug.edits[0].source}`", ""]
    return [*lines, "```diff", *(line for edit in bug.edits for line in _diff(edit)), "```"]


def _checks(found: Sequence[Found]) -> str:
    return ", ".join(f"`{by}`" for by, _ in Counter(each.by for each in found).most_common())


def _median(found: Sequence[Found]) -> str:
    return f"{median(each.seconds for each in found):.2f}"


def _why_not(row: Row) -> str:
    if all(not each.by.startswith("i13_") for each in row.against_twin):
        return "the same: it asks no twin"
    return f"not seen: {row.bug.unseen}"


def _diff(edit: Edit) -> Iterator[str]:
    """The lines an edit changes, without file names and positions."""
    text = (ROOT / edit.source).read_text()
    difference = unified_diff(text.splitlines(), edit.apply(text).splitlines(), lineterm="", n=0)
    return (line for line in difference if not line.startswith(("---", "+++", "@@")))


@click.command()
@click.option("--seeds", default=3, show_default=True, help="Searches for each bug and each kind of search.")
@click.option("--seconds", default=60.0, show_default=True, help="CPU time that one search may take.")
@click.option("--replays", default=300, show_default=True, help="How often a failure is replayed to shorten it.")
@click.option("--missing", is_flag=True, help="Search only for bugs that the report lacks, or has with other edits.")
@click.option("--soon", is_flag=True, help="Only write down at which seed each bug is found first, for the tests.")
def main(seeds: int, seconds: float, replays: int, missing: bool, soon: bool) -> None:
    """Find every bug of the list, and write docs/reports/history.md; fails if one is not found.

    \b
      python -m ballast.fuzz.history
      python -m ballast.fuzz.history --missing
      python -m ballast.fuzz.history --seeds 1 --replays 50
      python -m ballast.fuzz.history --soon
      python -m ballast.fuzz.history --soon --missing
    """
    if soon:
        found: dict[str, int | None] = json.loads(SOON.read_text()) if missing else {}
        for bug in (*BUGS, *(bug for bug in option_bugs.BUGS if bug.twin), *hostile_bugs.BUGS):
            if bug.name not in found:
                found[bug.name] = hardest(bug, seconds=seconds).failure.seed
            SOON.write_text(json.dumps(found, indent=1) + "\n")
        return
    path = REPORTS / "history.md"
    before = {bug.name: kept(bug, path.read_text()) for bug in BUGS} if missing else {}
    entries: list[Entry] = []
    for bug in BUGS:
        entry = before.get(bug.name)
        if entry is None:
            entry = written(measure(bug, seeds, seconds, replays))
            click.echo("\n".join([f"{bug.name}:", *entry[1]]))
        entries.append(entry)
        known = [each for other in BUGS[len(entries) :] if (each := before.get(other.name))]
        path.write_text("\n".join(report([*entries, *known], seeds, seconds)) + "\n")


if __name__ == "__main__":
    main()
