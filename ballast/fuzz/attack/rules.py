"""The protective rules, and how to live without one of them: the same edit of the twin and of the contract.

An edit replaces text that occurs exactly once: in the source of one function of the twin, which is then compiled
again in its module, and in one Vyper source. Production code knows nothing of it.
"""

from __future__ import annotations

import inspect
import shutil
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

from ballast.chain import artifacts
from ballast.fuzz.attack.scenarios import AROUND_HEDGES, AROUND_LPS, AROUND_TRADES
from ballast.model.exact import clearing, hedge, hedge_manager, inventory, perps, vault

INVENTORY = "contracts/inventory/Inventory.vy"
MANAGER = "contracts/hedge/HedgeManager.vy"
VAULT = "contracts/vault/Vault.vy"
SHARES = "contracts/vault/shares.vy"
ENGINE = "contracts/perps/PerpEngine.vy"
CLEARING = "contracts/clearing/Clearinghouse.vy"


@dataclass(frozen=True, slots=True)
class Edit:
    """`old` becomes `new` in a function of the twin (`module`, dotted `function`), and in a Vyper source."""

    module: Any
    function: str
    twin: tuple[str, str]
    source: str
    contract: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that protects somebody; what is said is the rule, what is edited takes it away."""

    name: str
    says: str
    edits: tuple[Edit, ...]

    @property
    def where(self) -> tuple[str, ...]:
        """The scenarios in which what it is about happens: hedges, LP entries and exits, or trades."""
        if any(edit.source.startswith("contracts/hedge/") or edit.function.endswith("adjust") for edit in self.edits):
            return AROUND_HEDGES
        return AROUND_LPS if any(edit.module is vault for edit in self.edits) else AROUND_TRADES


def _one(
    name: str, says: str, module: Any, function: str, twin: tuple[str, str], source: str, contract: tuple[str, str]
) -> Rule:
    return Rule(name, says, (Edit(module, function, twin, source, contract),))


LOW_TWIN = "low = min(before, min(e.book.low_prev, e.book.low) * MICRO)"
LOW_VYPER = "low: uint256 = min(q.potential_before, unsafe_mul(min(e.book.low_prev, e.book.low), c.MICRO))"
RISE_VYPER = "q.charge = convert(unsafe_sub(q.potential_after, q.potential_before), int256)"
ROLL_TWIN = "if b.pending == 0 and now - b.window_at >= WINDOW:"
ROLL_VYPER = "if e.book.pending == 0 and block.timestamp - e.book.window_at >= WINDOW:"
BAND_TWIN = 'require(hedge.is_near(prices.spot, mark.price, tolerance), "hedge: venue off the oracle")'
BAND_VYPER = 'assert rule._is_near(spot, step.mark.price, step.tolerance), "hedge: venue off the oracle"'
TWAP_TWIN = 'require(hedge.is_near(prices.spot, prices.twap, tolerance), "hedge: venue off its average")'
TWAP_VYPER = 'assert rule._is_near(spot, step.prices.twap, step.tolerance), "hedge: venue off its average"'

RULES: tuple[Rule, ...] = (
    # ---- the low-water mark
    _one(
        "low-water-mark", "a rebate is paid only below the lowest recent U",
        inventory, "Inventory._trade", (LOW_TWIN, "low = before"),
        INVENTORY, (LOW_VYPER, "low: uint256 = q.potential_before"),
    ),
    _one(
        "low-water-60s", "a window of the low-water mark lasts 60 s at least",
        inventory, "Inventory._enter", (ROLL_TWIN, "if b.pending == 0:"),
        INVENTORY, (ROLL_VYPER, "if e.book.pending == 0:"),
    ),
    _one(
        "low-water-round", "a window lasts until every market has had its previous round in it",
        inventory, "Inventory._enter", (ROLL_TWIN, "if now - b.window_at >= WINDOW:"),
        INVENTORY, (ROLL_VYPER, "if block.timestamp - e.book.window_at >= WINDOW:"),
    ),
    Rule(
        "low-water-windows", "the low-water mark has any window but the block (60 s, previous round, two of them)",
        (
            Edit(inventory, "Inventory._enter", (ROLL_TWIN, "if True:"), INVENTORY, (ROLL_VYPER, "if True:")),
            Edit(
                inventory, "Inventory._trade", (LOW_TWIN, "low = min(before, e.book.low * MICRO)"),
                INVENTORY, (LOW_VYPER, "low: uint256 = min(q.potential_before, e.book.low * c.MICRO)"),
            ),
        ),
    ),
    # ---- what holds still in a block
    _one(
        "frozen-mark", "a market keeps its mark for the block once an exposure has changed",
        inventory, "Inventory._enter",
        ("if not opens and (not moved or b.changed):", "if not opens and not moved:"),
        INVENTORY,
        ("if not opens and (not moved or e.book.changed):", "if not opens and not moved:"),
    ),
    _one(
        "checkpoint", "E is at most the equity at the last block's checkpoint",
        inventory, "Inventory._enter",
        ("b.capital = min(b.equity, equity)", "b.capital = equity"),
        INVENTORY,
        ("e.book.capital = min(e.book.equity, equity)", "e.book.capital = equity"),
    ),
    _one(
        "falling-E", "E falls with equity within the block",
        inventory, "Inventory._resample",
        ("b.capital = min(b.capital, _micro_equity(lp_cash + b.value))", "b.capital = b.capital"),
        INVENTORY,
        ("b.capital = min(b.capital, self._micro_equity(lp_cash + b.value))", "b.capital = b.capital"),
    ),
    # ---- the charge and the rebate
    _one(
        "closing-pays", "a close that raises U pays the rise",
        inventory, "Inventory._trade",
        ("charge = after - before", "charge = 0 if change.closing else after - before"),
        INVENTORY,
        (
            RISE_VYPER,
            "q.charge = 0 if change.closing else convert(q.potential_after - q.potential_before, int256)",
        ),
    ),
    _one(
        "charge-uncapped", "the charge is never capped (without it: at 30 bp of notional)",
        inventory, "Inventory._trade",
        ("charge = after - before", "charge = min(after - before, change.notional * 3 // 1_000)"),
        INVENTORY,
        (
            RISE_VYPER,
            "q.charge = convert(min(q.potential_after - q.potential_before, change.notional * 3 // 1_000), int256)",
        ),
    ),
    _one(
        "coverage", "a rebate is paid up to coverage c = min(1, R/U)",
        inventory, "Inventory._trade",
        ("rebate = (low - after) * e.book.coverage // COVERAGE_UNIT", "rebate = low - after"),
        INVENTORY,
        (
            "rebate: uint256 = unsafe_div(unsafe_mul(fall, e.book.coverage), COVERAGE_UNIT)",
            "rebate: uint256 = fall",
        ),
    ),
    _one(
        "slow-release", "excess reserve is released over a day",
        inventory, "Inventory._enter",
        ("due = sub_floor(reserve, after) * elapsed // self.params.release_period", "due = sub_floor(reserve, after)"),
        INVENTORY,
        (
            "unsafe_div(unsafe_mul(wad.sub_floor(reserve, after), elapsed), p.release_period)",
            "wad.sub_floor(reserve, after)",
        ),
    ),
    _one(
        "u-max", "no trade but a close leaves stressed loss above u_max of E",
        inventory, "Inventory._trade",
        ("require(e.book.loss * WAD <= self.params.weights.u_max * e.book.capital", "require(True"),
        INVENTORY,
        ("unsafe_mul(e.book.loss, c.WAD) <= unsafe_mul(p.weights.u_max, e.book.capital)", "True"),
    ),
    # ---- spreads
    _one(
        "latency-spread", "the half-spread grows with the age of the price",
        inventory, "spot_spread",
        ("s = mul_up(z_sigma, sqrt_years_up(age + mp.tau))", "s = mul_up(z_sigma, sqrt_years_up(mp.tau))"),
        INVENTORY,
        (
            "s: uint256 = wad.mul_up(z_sigma, self._sqrt_years_up(age + mp.tau))",
            "s: uint256 = wad.mul_up(z_sigma, self._sqrt_years_up(mp.tau))",
        ),
    ),
    # ---- margin
    _one(
        "initial-margin", "a trade that does not close leaves initial margin",
        perps, "PerpEngine.trade",
        ('require(equity >= initial, "margin: below initial")', "pass"),
        ENGINE,
        ('assert equity >= convert(initial, int256), "margin: below initial"', "pass"),
    ),
    _one(
        "withdrawal-margin", "a withdrawal leaves initial margin",
        clearing, "Clearinghouse._check_margin",
        ("if state.mask != 0:", "if False:"),
        CLEARING,
        ("    if state.mask != 0:\n        assert staticcall", "    if False:\n        assert staticcall"),
    ),
    # ---- LP prices
    _one(
        "ask-spreads", "entries pay the spreads of the whole book",
        vault, "ask_nav",
        ("nav + spread + sub_floor(reserve, potential)", "nav + sub_floor(reserve, potential)"),
        SHARES,
        ("return nav + spread + wad.sub_floor(reserve, potential)", "return nav + wad.sub_floor(reserve, potential)"),
    ),
    _one(
        "ask-excess", "entries pay for the reserve that will be released",
        vault, "ask_nav",
        ("nav + spread + sub_floor(reserve, potential)", "nav + spread"),
        SHARES,
        ("return nav + spread + wad.sub_floor(reserve, potential)", "return nav + spread"),
    ),
    _one(
        "ask-U-after", "the U that an entry leaves is asked at the equity after it",
        vault, "Vault._deposit_price",
        ("funds = self._funds(survey, s256(amount), now)", "funds = self._funds(survey, 0, now)"),
        VAULT,
        ("funds: Funds = self._funds(survey, convert(amount, int256))", "funds: Funds = self._funds(survey, 0)"),
    ),
    _one(
        "bid-spreads", "exits pay the spreads of the whole book",
        vault, "bid_nav",
        ("sub_floor(nav, u256(spread + uncovered))", "sub_floor(nav, uncovered)"),
        SHARES,
        ("return wad.sub_floor(nav, spread + uncovered)", "return wad.sub_floor(nav, uncovered)"),
    ),
    _one(
        "bid-uncovered", "exits leave behind the uncovered part of U",
        vault, "bid_nav",
        ("sub_floor(nav, u256(spread + uncovered))", "sub_floor(nav, spread)"),
        SHARES,
        ("return wad.sub_floor(nav, spread + uncovered)", "return wad.sub_floor(nav, spread)"),
    ),
    _one(
        "bid-rise", "exits pay the rise of the uncovered U that they cause",
        vault, "Vault._payout",
        ("return sub_floor(gross, sub_floor(sub_floor(after.potential, after.reserve), uncovered))", "return gross"),
        VAULT,
        (
            "return wad.sub_floor(gross, wad.sub_floor(wad.sub_floor(after.potential, after.reserve), uncovered))",
            "return gross",
        ),
    ),
    _one(
        "reserve-apart", "R is not the LPs' property",
        vault, "Vault._funds",
        ("net = s256(v.lp_cash + survey.beside)", "net = s256(v.lp_cash + survey.beside + v.reserve)"),
        VAULT,
        ("= v.lp_cash + survey.beside\n", "= v.lp_cash + survey.beside + convert(v.reserve, int256)\n"),
    ),
    _one(
        "newer-round", "redemptions are priced at a round newer than the epoch's end",
        vault, "Vault.process_epoch",
        ('require(survey.oldest >= pool.ends_at, "vault: price older than epoch")', "pass"),
        VAULT,
        ('assert survey.oldest >= pool.ends_at, "vault: price older than epoch"', "pass"),
    ),
    # ---- hedges
    _one(
        "phi", "cost, reward and gas of a hedge are at most phi times the fall of U",
        hedge, "judge",
        ('require(spent <= budget(rule.phi_bps, m.fall.fall), "hedge: costs more than it saves")', "pass"),
        MANAGER,
        ('assert spent <= rule._budget(terms.phi_bps, fall.fall), "hedge: costs more than it saves"', "pass"),
    ),
    _one(
        "reward-in-phi", "the keeper's reward counts against phi",
        hedge, "judge",
        ("spent = cost_wad + reward_wad + gas_wad", "spent = cost_wad"),
        MANAGER,
        ("spent: uint256 = outcome.cost + outcome.reward + outcome.gas", "spent: uint256 = outcome.cost"),
    ),
    _one(
        "fall-from-block-start", "the fall of U is measured from the lower of now and the start of the block",
        inventory, "Inventory.adjust",
        ("base = min(before, e.book.opening * MICRO)", "base = before"),
        INVENTORY,
        ("base: uint256 = min(before, unsafe_mul(e.book.opening, c.MICRO))", "base: uint256 = before"),
    ),
    _one(
        "band", "the venue's price is within fee and band of the oracle",
        hedge_manager, "HedgeManager._check_band", (BAND_TWIN, "pass"), MANAGER, (BAND_VYPER, "pass"),
    ),
    _one(
        "average", "the venue's price is within fee and band of its own average",
        hedge_manager, "HedgeManager._check_band", (TWAP_TWIN, "pass"), MANAGER, (TWAP_VYPER, "pass"),
    ),
    Rule(
        "bands-and-limit", "all three: bands around oracle and average, and the limit at which the venue trades",
        (
            Edit(hedge_manager, "HedgeManager._check_band", (BAND_TWIN, "pass"), MANAGER, (BAND_VYPER, "pass")),
            Edit(hedge_manager, "HedgeManager._check_band", (TWAP_TWIN, "pass"), MANAGER, (TWAP_VYPER, "pass")),
            Edit(
                hedge, "limit",
                ("return min(limit_price, price + slack) if buying else max(limit_price, price - slack)",
                 "return 2 * price if buying else price // 2"),
                MANAGER,
                (
                    "        return min(limit_price, price + slack)\n    return max(limit_price, price - slack)",
                    "        return 2 * price\n    return price // 2",
                ),
            ),
        ),
    ),
    _one(
        "cooldown", "a venue rests between two hedges",
        hedge, "check_cooldown",
        ('require(state.traded_at == 0 or now - state.traded_at >= params.cooldown, "hedge: cooling down")', "pass"),
        MANAGER,
        ("step.state.traded_at == 0 or block.timestamp - step.state.traded_at >= step.params.cooldown", "True"),
    ),
    _one(
        "turnover", "a venue trades no more than its turnover a day",
        hedge, "judge",
        ('require(used <= params.turnover, "hedge: turnover spent")', "pass"),
        MANAGER,
        ('assert step.state.used <= step.params.turnover, "hedge: turnover spent"', "pass"),
    ),
    _one(
        "cost-at-average", "a hedge's cost is also measured at the venue's average",
        hedge, "cost",
        ("        cash + before.at_twap - after.at_twap,\n", ""),
        "contracts/hedge/rule.vy",
        ("    worst = max(worst, cash + self._difference(before.at_twap, after.at_twap))\n", ""),
    ),
)  # fmt: skip


def rule(name: str) -> Rule:
    """By name; LookupError."""
    for each in RULES:
        if each.name == name:
            return each
    raise LookupError(f"no rule {name!r}; there are {', '.join(each.name for each in RULES)}")


@contextmanager
def twin_without(removed: Rule | None) -> Iterator[None]:
    """The twin lacks the rule inside."""
    before: list[tuple[Any, str, Any]] = []
    try:
        for edit in removed.edits if removed else ():
            *path, name = edit.function.split(".")
            owner = reduce(getattr, path, edit.module)
            before.append((owner, name, getattr(owner, name)))
            setattr(owner, name, _edited(edit, getattr(owner, name)))
        yield
    finally:
        for owner, name, original in reversed(before):
            setattr(owner, name, original)


def _edited(edit: Edit, function: Any) -> Any:
    """The function compiled again in its module, from the source as edited so far."""
    text = getattr(function, "__edited_source__", None) or textwrap.dedent(inspect.getsource(function))
    text = _replaced(text, edit.twin, edit.function)
    names: dict[str, Any] = {}
    exec(
        compile("from __future__ import annotations\n" + text, f"<{edit.function}, edited>", "exec"),
        vars(edit.module),
        names,
    )
    made = names[function.__name__]
    made.__edited_source__ = text
    return made


@contextmanager
def contracts_without(removed: Rule | None, folder: Path) -> Iterator[None]:
    """What is deployed inside lacks the rule, too; `folder` must not exist yet or come from here."""
    if removed is None:
        yield
        return
    original, cache = artifacts.SOURCES, artifacts.BUILD
    for name in ("contracts", "interfaces"):
        shutil.copytree(original / name, folder / name, dirs_exist_ok=True)
    (folder / ".build").mkdir(exist_ok=True)
    if (cache / "vyper").is_dir():  # what does not change need not be compiled again
        shutil.copytree(cache / "vyper", folder / ".build" / "vyper", dirs_exist_ok=True)
    for entry in original.iterdir():  # the cache names sources of libraries relative to where ours are
        if not (folder / entry.name).exists():
            (folder / entry.name).symlink_to(entry)
    for edit in removed.edits:
        path = folder / edit.source
        path.write_text(_replaced(path.read_text(), edit.contract, edit.source))
    artifacts.use_sources(folder)
    try:
        yield
    finally:
        artifacts.use_sources(original)
        artifacts.BUILD = cache


def _replaced(text: str, change: tuple[str, str], where: str) -> str:
    old, new = change
    if text.count(old) != 1:
        raise ValueError(f"{where}: {old!r} occurs {text.count(old)} times, not once")
    return text.replace(old, new)
