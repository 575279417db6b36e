"""What a demo shows: a summary for the terminal, the same as JSON, and one self-contained HTML page with pictures."""

from __future__ import annotations

import html
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib import dates as mdates
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.table import Table

from ballast.data import Floats
from ballast.demo import compare
from ballast.demo.flow import BTC_SHARE, DAYS, DEVIATION, HEARTBEAT, LEVERAGES, MARKETS
from ballast.demo.options import POST, SHARE, Smile
from ballast.demo.replay import KEEPER_MARGIN, LATENCY, PROBE, SAMPLE, TAKE, WORST, Liquidation, Sample
from ballast.demo.run import Result, deposited
from ballast.demo.tape import Tape

INK, MUTED, GRID, PAPER = "#1d2733", "#66727f", "#e3e7ec", "#ffffff"
BLUE, ORANGE, GREEN, RED, VIOLET, SAND = "#1f6feb", "#e07b00", "#1a7f5a", "#c83349", "#7a52b3", "#f0dcb8"


ROUTES = ((False, "v", RED, "liquidated by the vault"), (True, "D", VIOLET, "taken over by the keeper"))


@dataclass(frozen=True, slots=True)
class Column:
    """One way of running the vault, over the same trades."""

    name: str
    half_spreads: float
    charges: float
    rebates: float
    options: float | None  # premiums received less premiums and payoffs paid; None: none were traded
    refused: int  # of the recorded trades
    hedge_cost: float
    profit: float
    drawdown: float
    volatility: float  # [1/sqrt(year)] of NAV per share, hourly
    samples: tuple[Sample, ...]


def columns(result: Result) -> list[Column]:
    """The recorded run first, then its variants."""
    both = (result.tally, result.exits)
    books = (*both, result.options, result.option_exits)
    found = [
        Column(
            "as run (hedged)",
            sum(tally.half_spreads for tally in books),
            sum(tally.charges for tally in books),
            sum(tally.rebates for tally in books),
            sum(tally.bought - tally.sold for tally in books[2:]) - sum(s.payoff for s in result.settlements),
            0,
            sum(tally.hedge_cost + tally.hedge_rewards + tally.hedge_gas for tally in both),
            result.profit,
            compare.drawdown(result.samples),
            _volatility(result.samples),
            result.samples,
        )
    ]
    for outcome in result.variants:
        name = outcome.variant.name
        if outcome.variant.flat_fee is not None:
            name = f"{outcome.variant.flat_fee * 1e4:.0f} bp {name}"
        found.append(
            Column(
                name,
                outcome.half_spreads,
                outcome.charges,
                outcome.rebates,
                outcome.options if outcome.variant.options else None,
                outcome.refused,
                0.0,
                outcome.profit,
                compare.drawdown(outcome.samples),
                _volatility(outcome.samples),
                outcome.samples,
            )
        )
    return found


def _volatility(samples: Sequence[Sample]) -> float:
    """Standard deviation of hourly log changes of NAV per share, per √year; 0 for less than two hours."""
    hourly = [sample.share for sample in samples[:: 60 // SAMPLE]]
    if len(hourly) < 3:
        return 0.0
    return float(np.std(np.diff(np.log(hourly))) * sqrt(365 * 24))


def _coverage(samples: Sequence[Sample]) -> tuple[float, float]:
    """Least and mean of min(1, R/U) over the samples with a potential worth covering."""
    ratios = [min(1.0, sample.reserve / sample.potential) for sample in samples if sample.potential > 1.0]
    return (min(ratios), float(np.mean(ratios))) if ratios else (1.0, 1.0)


def summary(result: Result) -> dict[str, Any]:
    """Everything worth a number, plain enough for JSON."""
    tally, scenario, final = result.tally, result.scenario, result.final
    least, mean = _coverage(result.samples)
    hedge_total = tally.hedge_cost + tally.hedge_rewards + tally.hedge_gas
    return {
        "window": scenario.window,
        "from": _clock(scenario.minutes[0].time),
        "to": _clock(scenario.minutes[-1].time),
        "minutes": len(scenario.minutes),
        "prices": {
            name: {
                "first": scenario.minutes[0].prices[i],
                "last": scenario.minutes[-1].prices[i],
                "low": min(minute.prices[i] for minute in scenario.minutes),
                "high": max(minute.prices[i] for minute in scenario.minutes),
            }
            for i, name in enumerate(MARKETS)
        },
        "chain": {
            "transactions": result.transactions,
            "blocks": result.blocks,
            "per_second": round(result.rate, 1),
            "oracle_rounds": tally.rounds,
            "arbitrage_swaps": tally.arbitrages,
            "seconds": {name: round(value, 1) for name, value in result.seconds.items()},
        },
        "flow": {
            "trades": tally.trades,
            "volume": tally.volume,
            "turned_away": dict(tally.refused),
            "epochs_processed": tally.epochs,
        },
        "options": _options(result),
        "margin": _margin(result),
        "inventory": {
            "largest_utilization": max(sample.utilization for sample in result.samples),
            "largest_net_of_traders": tally.largest_trader_net,
            "largest_after_hedges": tally.largest_inventory,
        },
        "reserve": {"least_coverage": least, "mean_coverage": mean, "at_end": result.samples[-1].reserve},
        "hedging": {
            "hedges": tally.hedges,
            "shorts": tally.shorts,
            "volume": tally.hedge_volume,
            "cost": tally.hedge_cost,
            "rewards": tally.hedge_rewards,
            "gas": tally.hedge_gas,
            "total": hedge_total,
            "fall_of_potential": tally.hedge_fall,
            "released_at_once": tally.released_by_hedges,
            "refused": dict(tally.keeper_refused),
        },
        "vaults": {
            column.name: {
                "half_spreads": column.half_spreads,
                "inventory_charges": column.charges,
                "rebates": column.rebates,
                "options": column.options,
                "refused": column.refused,
                "hedge_cost": column.hedge_cost,
                "lp_profit": column.profit,
                "lp_return": column.profit / deposited(result),
                "max_drawdown": column.drawdown,
                "nav_volatility": column.volatility,
            }
            for column in columns(result)
        },
        "invariants": [
            {"id": check.id, "title": check.title, "holds": check.holds, "figure": check.figure, **check.detail}
            for check in result.checks
        ],
        "after_everyone_left": {
            "held": final.held,
            "insurance": final.insurance,
            "dust": final.dust,
            "lp": final.lp,
            "reserve": final.reserve,
            "margin": final.margin,
            "claims": final.claims,
            "payables": final.payables,
            "shares": final.supply,
            "venues": final.venues,
            "epochs": final.epochs,
        },
    }


def _margin(result: Result) -> dict[str, Any]:
    """Liquidations and what followed, plain."""
    tally = result.tally
    return {
        "leverages": list(LEVERAGES),
        "liquidations": len(result.liquidations),
        "of_a_part": sum(_of_a_part(found) for found in result.liquidations),
        "taken_over": sum(found.taken for found in result.liquidations),
        "of_options": sum(found.options for found in result.liquidations),
        "insolvent": sum(found.equity < 0.0 for found in result.liquidations),
        "penalties": tally.penalties,
        "penalties_to_keepers": tally.penalties_keeper,
        "penalties_to_lps": tally.penalties_lp,
        "rewards_from_insurance": tally.rewards,
        "bad_debt": tally.bad_debt,
        "bad_debt_paid_by_lps": tally.bad_debt_lp,
        "insurance": result.samples[-1].insurance,
        "longest_below_maintenance_s": tally.longest_weak,
        "nominations": tally.nominations,
        "deleveraged": tally.deleveraged,
        "deleveraged_profit": tally.deleveraged_profit,
        "closes_that_waited": tally.closes,
        "list": [asdict(found) for found in result.liquidations],
    }


def _of_a_part(found: Liquidation) -> bool:
    return found.share < 1.0


def _options(result: Result) -> dict[str, Any]:
    """What happened in options, plain."""
    tally = result.options
    return {
        "trades": tally.trades,
        "orders": tally.orders,
        "notional": tally.notional,
        "premiums_paid_by_traders": tally.bought,
        "premiums_paid_to_traders": tally.sold,
        "half_spreads": tally.half_spreads,
        "inventory_charges": tally.charges,
        "rebates": tally.rebates,
        "turned_away": dict(tally.refused),
        "surfaces": tally.surfaces,
        "surfaces_refused": dict(tally.refused_surfaces),
        "refreshes": tally.refreshes,
        "refreshes_paid": tally.paid_refreshes,
        "rewards": tally.rewards,
        "settlements": [
            {
                "market": MARKETS[settled.market],
                "expiry": _clock(settled.expiry),
                "price": settled.price,
                "payoff": settled.payoff,
            }
            for settled in result.settlements
        ],
        "smiles": [
            {
                "market": MARKETS[smile.market],
                "posted": _clock(smile.posted_at),
                "expiry": _clock(smile.expiry),
                "quoted": _clock(smile.quoted.ts),
                "quotes": len(smile.model),
                "median_error": float(np.median(np.abs(smile.errors))),
                "inside_bid_ask": _inside(smile),
            }
            for smile in result.smiles
        ],
    }


def _inside(smile: Smile) -> float:
    """Share of the quotes whose posted volatility lies between bid and ask."""
    quoted = smile.quoted
    return float(np.mean([b <= v <= a for b, v, a in zip(quoted.bid, smile.model, quoted.ask, strict=True)]))


def write_json(result: Result, path: Path) -> None:
    """The summary as a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(summary(result), indent=2) + "\n")


# ---- terminal


def _money(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.2f}"


def comparison_rows(result: Result) -> list[tuple[str, list[str]]]:
    """The table that compares vaults, row by row."""
    found = columns(result)
    return [
        ("half-spreads paid by traders", [_money(c.half_spreads) for c in found]),
        ("inventory charges", [_money(c.charges) for c in found]),
        ("rebates", [_money(c.rebates) for c in found]),
        ("option premiums less payoffs", ["none" if c.options is None else f"{c.options:+,.0f}" for c in found]),
        ("recorded trades refused", [f"{c.refused}" for c in found]),
        ("hedge cost, rewards and gas", [_money(c.hedge_cost) for c in found]),
        ("LP profit", [f"{c.profit:+,.0f}" for c in found]),
        ("LP return", [f"{c.profit / deposited(result):+.2%}" for c in found]),
        ("max drawdown of NAV per share", [f"{c.drawdown:.2%}" for c in found]),
        ("NAV volatility, hourly, per year", [f"{c.volatility:.1%}" for c in found]),
    ]


def fact_rows(result: Result) -> list[tuple[str, str]]:
    """Single figures, name and value."""
    tally, final = result.tally, result.final
    least, mean = _coverage(result.samples)
    turned_away = ", ".join(f"{count} × {reason}" for reason, count in tally.refused.most_common()) or "none"
    options, forced = result.options, result.liquidations
    options_away = ", ".join(f"{count} × {reason}" for reason, count in options.refused.most_common()) or "none"
    refused = ", ".join(f"{count} × {reason}" for reason, count in options.refused_surfaces.items()) or "none"
    per_volume = tally.hedge_cost / tally.hedge_volume * 1e4 if tally.hedge_volume else 0.0
    return [
        ("perpetuals traded", f"{_money(tally.volume)} in {tally.trades:,} trades; turned away: {turned_away}"),
        (
            "options traded",
            f"{_money(options.notional)} of spot in {options.orders:,} orders of {options.trades:,} trades; premiums "
            f"{_money(options.bought)} paid, {_money(options.sold)} received by traders; half-spreads "
            f"{_money(options.half_spreads)}, charges {_money(options.charges)}, rebates {_money(options.rebates)}; "
            f"turned away: {options_away}",
        ),
        (
            "boards",
            f"{options.listed} strikes listed; {options.surfaces} surfaces, refused: {refused}; {options.refreshes} "
            f"refreshes, {options.paid_refreshes} of them paid; keeper {_money(options.rewards)}",
        ),
        (
            "liquidations",
            f"{len(forced)} of {len({found.owner for found in forced})} accounts, "
            f"{sum(_of_a_part(found) for found in forced)} of a part, {sum(found.taken for found in forced)} to the "
            f"keeper's account, {sum(found.options for found in forced)} of options; nobody was left alone below "
            f"maintenance for longer than {tally.longest_weak} s",
        ),
        (
            "penalties",
            f"{_money(tally.penalties)}: keeper {_money(tally.penalties_keeper)}, LPs {_money(tally.penalties_lp)}, "
            f"insurance the rest; out of insurance {_money(tally.rewards)} of rewards",
        ),
        (
            "bad debt",
            f"{_money(tally.bad_debt)} of {sum(found.bad_debt > 0.0 for found in forced)} accounts, "
            f"{_money(tally.bad_debt - tally.bad_debt_lp)} paid by insurance, {_money(tally.bad_debt_lp)} by LPs; "
            f"{_money(result.samples[-1].insurance)} of insurance at the end",
        ),
        (
            "deleveraging",
            f"{tally.deleveraged} positions, {_money(tally.deleveraged_profit)} of profit paid, {tally.nominations} "
            "nominations"
            if tally.nominations
            else "none: traders' open profit stayed below its share of NAV",
        ),
        (
            "largest inventory",
            f"{_money(tally.largest_inventory)} after hedges, {_money(tally.largest_trader_net)} before",
        ),
        (
            "reserve coverage min(1, R/U)",
            f"mean {mean:.1%}, least {least:.1%}; R at the end {_money(result.samples[-1].reserve)}",
        ),
        (
            "hedges",
            f"{tally.hedges} of {_money(tally.hedge_volume)} together, {tally.shorts} of them at Aave, "
            f"cost {_money(tally.hedge_cost)} ({per_volume:.1f} bp), "
            f"keeper {_money(tally.hedge_rewards + tally.hedge_gas)}; U fell by {_money(tally.hedge_fall)}",
        ),
        ("redemption epochs", f"{tally.epochs} in the replay, {final.epochs} for everybody's exit"),
        (
            "after everyone left",
            f"{final.dust:,.6f} of dust (LP {final.lp:.6f}, reserve {final.reserve:.6f}, margin {final.margin:.6f}, "
            f"claims {final.claims:.6f}, payables {final.payables:.6f}), insurance {_money(final.insurance)} stays; "
            f"{final.supply:g} shares, {final.venues:g} base at venues",
        ),
        (
            "transactions",
            f"{result.transactions:,} in {result.blocks:,} blocks, {result.rate:,.0f} per second; "
            f"{tally.rounds:,} oracle rounds, {tally.arbitrages:,} arbitrage swaps",
        ),
    ]


def settlement_rows(result: Result) -> list[list[str]]:
    """Boards that expired with positions, during the replay and after it."""
    last = result.scenario.minutes[-1].time
    return [
        [
            MARKETS[settled.market],
            _clock(settled.expiry) + (" (after the replay)" if settled.expiry > last else ""),
            f"{settled.price:,.2f}",
            f"{settled.payoff:+,.0f}",
        ]
        for settled in result.settlements
    ]


def liquidation_rows(result: Result) -> list[list[str]]:
    """Those with most margin, in order of time."""
    largest = sorted(result.liquidations, key=lambda found: -found.maintenance)[:LARGEST]
    return [
        [
            _clock(found.time)[5:],
            _trader(found.owner),
            MARKETS[found.market] + (" options" if found.options else ""),
            "keeper" if found.taken else "vault",
            f"{found.share:.0%}" + ("" if found.options else f" = {_money(found.closed)}"),
            f"{_money(found.equity)} / {_money(found.maintenance)}",
            _money(found.penalty),
            _money(found.reward),
            _money(found.bad_debt) if found.bad_debt else "",
        ]
        for found in sorted(largest, key=lambda found: found.time)
    ]


def _trader(owner: str) -> str:
    """T3 7x long"""
    if not owner.startswith("T"):
        return owner
    number = int(owner[1:]) - 1
    side = "long" if number < len(LEVERAGES) else "short"
    return f"{owner} {LEVERAGES[number % len(LEVERAGES)]:.0f}x {side}"


def smile_rows(result: Result) -> list[list[str]]:
    """Posted volatility against recorded quotes."""
    return [
        [
            MARKETS[smile.market],
            _clock(smile.posted_at),
            _clock(smile.expiry)[:10],
            _clock(smile.quoted.ts),
            f"{len(smile.model)}",
            f"{100 * float(np.median(np.abs(smile.errors))):.2f}",
            f"{_inside(smile):.0%}",
        ]
        for smile in result.smiles
    ]


SETTLEMENT_HEAD = ("market", "expiry", "price", "LPs paid traders")
LARGEST = 24  # liquidations that are listed
LIQUIDATION_HEAD = ("time", "account", "what", "to", "closed", "equity / margin", "penalty", "keeper", "bad debt")
SMILE_HEAD = ("market", "posted", "expiry", "chain recorded", "quotes", "median error [vol points]", "inside bid-ask")


def tables(result: Result) -> Group:
    """The summary for a terminal."""
    s = result.scenario
    facts = Table(
        title=f"Ballast, {s.window}: {_clock(s.minutes[0].time)} to {_clock(s.minutes[-1].time)} UTC", show_header=False
    )
    facts.add_column(style="bold")
    facts.add_column()
    for name, value in fact_rows(result):
        facts.add_row(name, value)
    comparison = Table(title="The same trades, four vaults [quote]")
    comparison.add_column("")
    for column in columns(result):
        comparison.add_column(column.name, justify="right")
    for name, values in comparison_rows(result):
        comparison.add_row(name, *values)
    details = []
    for title, head, rows in (
        (f"Liquidations, the {LARGEST} largest [quote]", LIQUIDATION_HEAD, liquidation_rows(result)),
        ("Boards that expired with positions [quote]", SETTLEMENT_HEAD, settlement_rows(result)),
        ("Posted smiles against recorded quotes", SMILE_HEAD, smile_rows(result)),
    ):
        table = Table(*head, title=title, box=SIMPLE_HEAD, padding=(0, 1))
        for row in rows:
            table.add_row(*row)
        details.append(table)
    proof = Table(title="Invariants")
    for heading in ("", "", "holds", "figure"):
        proof.add_column(heading, overflow="fold")
    for check in result.checks:
        mark = "[green]yes[/]" if check.holds else "[bold red]NO[/]"
        proof.add_row(check.id, check.title, mark, check.figure)
    return Group(facts, comparison, *details, proof)


def show(result: Result, console: Console) -> None:
    """Print the summary."""
    console.print(tables(result))


# ---- pictures


def _clock(time: int) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M")


def _dates(times: Sequence[int]) -> Floats:
    """Seconds as matplotlib's days."""
    return np.array(times, dtype=np.float64) / 86_400


def _times(samples: Sequence[Sample]) -> Floats:
    return _dates([sample.time for sample in samples])


def _figure(rows: int = 1, height: float = 2.9) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(9.6, height * rows), layout="constrained", facecolor=PAPER)
    axes = figure.subplots(rows, 1, sharex=True, squeeze=False)
    found = [row[0] for row in axes]
    for axis in found:
        axis.grid(True, color=GRID, linewidth=0.8)
        axis.set_axisbelow(True)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
        for side in ("left", "bottom"):
            axis.spines[side].set_color(MUTED)
        axis.tick_params(colors=MUTED, labelsize=8.5)
        axis.margins(x=0.01)
    found[-1].xaxis.set_major_locator(mdates.AutoDateLocator(maxticks=9))
    found[-1].xaxis.set_major_formatter(mdates.ConciseDateFormatter(found[-1].xaxis.get_major_locator()))
    return figure, found


def _legend(axis: Axes, **where: Any) -> None:
    given = {
        "frameon": False,
        "fontsize": 8.5,
        "labelcolor": INK,
        "ncols": 4,
        "loc": "lower left",
        "bbox_to_anchor": (0, 1.0),
    }
    axis.legend(**(given | where))


def _svg(figure: Figure) -> str:
    """Inline SVG; ids are made unique by matplotlib's hash salt being the picture's own content."""
    buffer = io.StringIO()
    with rc_context({"svg.hashsalt": "ballast", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def price_picture(result: Result) -> Figure:
    """Both prices, and liquidations."""
    figure, (axis,) = _figure(height=3.0)
    minutes = result.scenario.minutes
    times = _dates([minute.time for minute in minutes])
    axis.plot(times, [minute.prices[0] for minute in minutes], color=BLUE, linewidth=1.2, label="ETH (left)")
    axis.set_ylabel("ETH", color=BLUE, fontsize=9)
    other = axis.twinx()
    other.plot(times, [minute.prices[1] for minute in minutes], color=ORANGE, linewidth=1.0, label="BTC (right)")
    other.set_ylabel("BTC", color=ORANGE, fontsize=9)
    other.tick_params(colors=MUTED, labelsize=8.5)
    for side in ("top", "left", "right", "bottom"):
        other.spines[side].set_visible(False)
    lookup = {minute.time // 60: minute.prices[0] for minute in minutes}
    for taken, marker, color, label in ROUTES:
        hit = [found.time for found in result.liquidations if found.taken == taken and found.time // 60 in lookup]
        if hit:
            heights = [lookup[time // 60] for time in hit]
            axis.scatter(_dates(hit), heights, marker=marker, s=34, color=color, zorder=5, label=label)
    handles = [part for a in (axis, other) for part in a.get_legend_handles_labels()[0]]
    axis.yaxis.set_major_formatter("{x:,.0f}")
    other.yaxis.set_major_formatter("{x:,.0f}")
    _legend(axis, handles=handles)
    return figure


def margin_picture(result: Result) -> Figure:
    """How near every trader came to liquidation, and who paid for what."""
    figure, axes = _figure(rows=2, height=3.0)
    axis, money = axes
    times = _dates([time for time, _ in result.health])
    colors = colormaps["viridis_r"]
    for number in range(2 * len(LEVERAGES)):
        leverage = LEVERAGES[number % len(LEVERAGES)]
        ratios = np.array([np.nan if (found := row[number]) is None else found for _, row in result.health])
        shade = colors(LEVERAGES.index(leverage) / (len(LEVERAGES) - 1))
        label = f"{leverage:.0f}x" if number < len(LEVERAGES) else None
        axis.plot(times, np.clip(ratios, 0.3, 40.0), color=shade, linewidth=0.9, alpha=0.85, label=label)
    for taken, marker, color, _ in ROUTES:
        hit = [found for found in result.liquidations if found.taken == taken and found.maintenance > 0.0]
        levels = [max(0.3, found.equity / found.maintenance) for found in hit]
        axis.scatter(_dates([found.time for found in hit]), levels, marker=marker, s=26, color=color, zorder=5)
    axis.axhline(1.0, color=RED, linewidth=0.9)
    axis.set_yscale("log")
    axis.set_ylim(0.28, 42.0)
    axis.set_yticks([0.5, 1, 2, 5, 10, 20, 40])
    axis.yaxis.set_major_formatter("{x:g}")
    axis.minorticks_off()
    axis.set_ylabel("equity / maintenance", fontsize=9, color=INK)
    _legend(axis, ncols=len(LEVERAGES))
    when = [result.samples[0].time, *(found.time for found in result.liquidations), result.samples[-1].time]
    for values, color, label in (
        ([found.penalty for found in result.liquidations], BLUE, "penalties paid so far"),
        ([found.bad_debt for found in result.liquidations], RED, "bad debt so far"),
    ):
        sums = np.concatenate([[0.0], np.cumsum(values)]) / 1e3
        money.step(_dates(when), [*sums, sums[-1]], where="post", color=color, linewidth=1.3, label=label)
    insurance = [sample.insurance / 1e3 for sample in result.samples]
    money.plot(_times(result.samples), insurance, color=GREEN, linewidth=1.3, label="insurance")
    money.set_ylim(bottom=0)
    money.set_ylabel("thousand quote", fontsize=9, color=INK)
    _legend(money)
    return figure


def inventory_picture(result: Result) -> Figure:
    """Per market: what traders left with the vault, what hedges made of it, the band in which no hedge pays."""
    figure, axes = _figure(rows=len(MARKETS), height=2.7)
    times = _times(result.samples)
    for i, (axis, name) in enumerate(zip(axes, MARKETS, strict=True)):
        price = np.array([sample.markets[i].price for sample in result.samples])
        options = np.array([sample.markets[i].options for sample in result.samples]) * price / 1e6
        without = options - np.array([sample.markets[i].traders for sample in result.samples]) * price / 1e6
        hedge = np.array([sample.markets[i].hedge for sample in result.samples]) * price / 1e6
        net = without + hedge
        reach = 1.15 * max(float(np.max(np.abs(without))), float(np.max(np.abs(net))), 0.05)
        rows = zip(times, result.samples, price, strict=True)
        bands = [(t, sample.bands[i], p) for t, sample, p in rows if sample.bands]
        if bands:
            when = [t for t, _, _ in bands]
            low = [max(-reach, band[0] * p / 1e6) for _, band, p in bands]
            high = [min(reach, band[1] * p / 1e6) for _, band, p in bands]
            axis.fill_between(when, low, high, color=SAND, alpha=0.75, linewidth=0, label="no-trade band")
        axis.axhline(0, color=MUTED, linewidth=0.8)
        axis.plot(times, without, color=MUTED, linewidth=1.0, linestyle=(0, (4, 2)), label="before hedges")
        axis.plot(times, options, color=VIOLET, linewidth=1.0, label="of that, options")
        axis.plot(times, hedge, color=GREEN, linewidth=1.0, label="hedges")
        axis.plot(times, net, color=BLUE, linewidth=1.5, label="vault's net delta")
        axis.set_ylim(-reach, reach)
        axis.set_ylabel(f"{name} [m quote]", fontsize=9, color=INK)
    _legend(axes[0], ncols=5)
    return figure


def greeks_picture(result: Result) -> Figure:
    """Gamma and vega of the vault's options, and the utilization they lead to."""
    figure, axes = _figure(rows=3, height=2.1)
    times = _times(result.samples)
    for i, (name, color) in enumerate(zip(MARKETS, (BLUE, ORANGE), strict=True)):
        held = [sample.markets[i] for sample in result.samples]
        axes[0].plot(times, [m.gamma * m.price**2 / 100 / 1e3 for m in held], color=color, linewidth=1.2, label=name)
        axes[1].plot(times, [m.vega / 100 / 1e3 for m in held], color=color, linewidth=1.2, label=name)
    axes[2].plot(times, [100 * sample.utilization for sample in result.samples], color=INK, linewidth=1.2)
    for axis, label in zip(axes, ("gamma [k per 1 %]", "vega [k per point]", "utilization [%]"), strict=True):
        axis.set_ylabel(label, fontsize=9, color=INK)
        axis.axhline(0, color=MUTED, linewidth=0.8)
    _legend(axes[0])
    return figure


def smile_picture(result: Result) -> Figure:
    """Posted volatility of ETH over the recorded quotes, one row for each chain."""
    smiles = [smile for smile in result.smiles if smile.market == 0]
    moments = sorted({smile.posted_at for smile in smiles})
    figure = Figure(figsize=(9.6, 2.4 * max(1, len(moments))), layout="constrained", facecolor=PAPER)
    if not moments:
        figure.text(0.5, 0.5, "no chain was recorded in this stretch", ha="center", color=MUTED)
        return figure
    grid = figure.subplots(len(moments), 2, squeeze=False)
    for row, moment in zip(grid, moments, strict=True):
        here = sorted((smile for smile in smiles if smile.posted_at == moment), key=lambda smile: smile.expiry)
        for axis, smile in zip(row, here, strict=False):
            quoted = smile.quoted
            low, high = (100 * np.array(side) for side in (quoted.bid, quoted.ask))
            axis.vlines(quoted.k, low, high, color=MUTED, linewidth=1.6, label="recorded bid to ask, level moved")
            axis.plot(quoted.k, 100 * np.array(smile.model), color=BLUE, linewidth=1.3, label="posted")
            axis.set_title(f"{_clock(moment)}, expiry {_clock(smile.expiry)[:10]}", fontsize=9, color=INK)
            axis.tick_params(colors=MUTED, labelsize=8)
            axis.grid(True, color=GRID, linewidth=0.8)
    for axis in grid[-1]:
        axis.set_xlabel("ln(strike / forward)", fontsize=8.5, color=INK)
    grid[0][0].legend(frameon=False, fontsize=8, labelcolor=INK)
    return figure


def spread_picture(result: Result) -> Figure:
    """What a taker of `PROBE` pays beyond the mark, either way."""
    figure, axes = _figure(rows=len(MARKETS), height=2.5)
    times = _times(result.samples)
    for i, (axis, name) in enumerate(zip(axes, MARKETS, strict=True)):
        half = np.array([sample.markets[i].buy.half_spread for sample in result.samples]) * 1e4
        buy = np.array([sample.markets[i].buy.total for sample in result.samples]) * 1e4
        sell = np.array([sample.markets[i].sell.total for sample in result.samples]) * 1e4
        axis.fill_between(times, -half, half, color=SAND, alpha=0.75, linewidth=0, label="half-spread alone")
        axis.plot(times, buy, color=RED, linewidth=1.1, label="buyer pays")
        axis.plot(times, -sell, color=GREEN, linewidth=1.1, label="seller pays (downwards)")
        axis.axhline(0, color=MUTED, linewidth=0.8)
        axis.set_yscale("symlog", linthresh=10, linscale=0.7)
        reach = max(20.0, float(np.nanmax(np.abs(np.concatenate([buy, sell])))))
        ticks = [t for t in (5, 10, 20, 50, 100, 200, 500, 1_000, 2_000) if t <= 1.2 * reach]
        axis.set_yticks([-t for t in reversed(ticks)] + [0] + ticks)
        axis.yaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
        axis.minorticks_off()
        axis.set_ylabel(f"{name} [bp]", fontsize=9, color=INK)
    _legend(axes[0])
    return figure


def reserve_picture(result: Result) -> Figure:
    """R against U."""
    figure, (axis,) = _figure()
    times = _times(result.samples)
    potential = [sample.potential / 1e3 for sample in result.samples]
    reserve = [sample.reserve / 1e3 for sample in result.samples]
    axis.fill_between(times, potential, color=ORANGE, alpha=0.35, linewidth=0)
    axis.plot(times, potential, color=ORANGE, linewidth=1.2, label="potential U")
    axis.plot(times, reserve, color=BLUE, linewidth=1.4, label="rebate reserve R")
    axis.set_ylim(bottom=0)
    axis.set_ylabel("thousand quote", fontsize=9, color=INK)
    _legend(axis)
    return figure


def share_picture(result: Result) -> Figure:
    """NAV per share of the vaults."""
    figure, (axis,) = _figure(height=3.0)
    for column, color in zip(columns(result), (BLUE, RED, GREEN, VIOLET), strict=True):
        shares = [sample.share for sample in column.samples]
        axis.plot(_times(column.samples), shares, color=color, linewidth=1.4, label=column.name)
    axis.axhline(1, color=MUTED, linewidth=0.8)
    axis.set_ylabel("NAV per share [quote]", fontsize=9, color=INK)
    axis.yaxis.set_major_formatter("{x:.3f}")
    _legend(axis)
    return figure


def funding_picture(result: Result) -> Figure:
    """Funding rate of both markets."""
    figure, (axis,) = _figure(height=2.5)
    times = _times(result.samples)
    for i, (name, color) in enumerate(zip(MARKETS, (BLUE, ORANGE), strict=True)):
        rates = [sample.markets[i].funding * 100 for sample in result.samples]
        axis.plot(times, rates, color=color, linewidth=1.1, label=name)
    axis.axhline(0, color=MUTED, linewidth=0.8)
    axis.set_ylabel("funding [% per year]", fontsize=9, color=INK)
    _legend(axis)
    return figure


def volatility_picture(result: Result) -> Figure:
    """Recorded volatility, which everything scales with."""
    figure, (axis,) = _figure(height=2.3)
    times = _times(result.samples)
    for i, (name, color) in enumerate(zip(MARKETS, (BLUE, ORANGE), strict=True)):
        sigmas = [sample.markets[i].sigma * 100 for sample in result.samples]
        axis.plot(times, sigmas, color=color, linewidth=1.1, label=name)
    axis.set_ylim(bottom=0)
    axis.set_ylabel("volatility [% per √year]", fontsize=9, color=INK)
    _legend(axis)
    return figure


PICTURES = (
    ("Price", "One-minute closes of {window}, and liquidations.", price_picture),
    (
        "Margin",
        "Equity over maintenance of every trader, by leverage: at 1 somebody else may close. Triangles went to the "
        "vault at its quote, diamonds to the keeper's own account at the mark. Below: what penalties brought, what "
        "equity did not cover, and the insurance that pays for it before LPs do.",
        margin_picture,
    ),
    (
        "Inventory against its no-trade band",
        "Dashed: what traders left the vault with, in perpetuals and options (violet) together. Blue: what remains "
        "after the keeper's hedges. Inside the shaded band no hedge saves more than it costs, the other market being "
        "as it is. A short vault is hedged with base bought on Uniswap, a long one with base borrowed from Aave.",
        inventory_picture,
    ),
    (
        "Gamma, vega, utilization",
        "The vault's options, as they enter the potential: gamma by the part of a day that an option has left, vega as "
        "that of an option with a month left. Utilization is stressed loss over risk capital.",
        greeks_picture,
    ),
    (
        "Smiles",
        "ETH when a chain had just been recorded: the surface that the contract answers, over the quotes it was fitted "
        "to. Left the next expiry but those within a day, right the last board.",
        smile_picture,
    ),
    (
        "Quoted spread",
        f"Cost beyond the mark of trading {PROBE:,.0f}, half-spread and inventory charge together; across zero it is "
        "a rebate. Symmetric logarithmic scale beyond 10 bp.",
        spread_picture,
    ),
    (
        "Reserve against potential",
        "Charges fill R; rebates and releases empty it. R above U is what LPs will be released.",
        reserve_picture,
    ),
    (
        "NAV per share",
        "The same trades in vaults that differ by pricing and hedging; one takes none in options.",
        share_picture,
    ),
    ("Funding", "Positive: the vault is too long, shorts pay.", funding_picture),
    (
        "Volatility the oracle recorded",
        "Time-weighted over accepted rounds; spreads, charges and bands scale with it.",
        volatility_picture,
    ),
)


# ---- page

_STYLE = """
:root{color-scheme:light}
*{box-sizing:border-box}
body{margin:0;background:#f4f6f8;color:#1d2733;font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1000px;margin:0 auto;padding:36px 20px 60px}
h1{font-size:27px;margin:0 0 4px;letter-spacing:-.01em}
h2{font-size:17px;margin:0 0 2px}
p{margin:0 0 10px;color:#4b5763}
.card{background:#fff;border:1px solid #e3e7ec;border-radius:10px;padding:18px 20px;margin:18px 0}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(250px,1fr));gap:12px;margin:20px 0}
.tile{background:#fff;border:1px solid #e3e7ec;border-radius:10px;padding:12px 14px}
.tile b{display:block;font-size:20px;letter-spacing:-.01em;font-variant-numeric:tabular-nums}
.tile span{color:#66727f;font-size:12.5px}
table{border-collapse:collapse;width:100%;font-size:14px}
th,td{text-align:left;padding:7px 10px;border-bottom:1px solid #edf0f3;vertical-align:top}
th{color:#66727f;font-weight:600;font-size:12.5px}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
tr:last-child td{border-bottom:0}
td.k{white-space:nowrap;font-weight:600}
td.f{font-size:12.5px;color:#4b5763;overflow-wrap:anywhere}
.yes{color:#1a7f5a;font-weight:700}.no{color:#c83349;font-weight:700}
svg{display:block;width:100%;height:auto;margin-top:8px}
footer{color:#66727f;font-size:12.5px}
"""


def page(result: Result) -> str:
    """The report as one HTML document without outside resources."""
    s = result.scenario
    found = columns(result)
    ok = all(check.holds for check in result.checks)
    tiles = [
        (f"{result.tally.volume / 1e6:,.1f} m", f"traded in {result.tally.trades:,} trades in perpetuals"),
        (f"{result.options.notional / 1e6:,.1f} m", f"of spot in {result.options.orders:,} orders in options"),
        (f"{found[0].profit / deposited(result):+.2%}", "LP return, hedged"),
        (f"{found[0].drawdown:.2%}", f"max drawdown, hedged ({found[1].drawdown:.2%} without)"),
        (
            f"{len(result.liquidations)}",
            f"liquidations; bad debt {_money(result.tally.bad_debt)}, of that LPs {_money(result.tally.bad_debt_lp)}",
        ),
        (f"{result.tally.hedges}", f"hedges, {_money(result.tally.hedge_cost)} of cost"),
        (
            f"{result.tally.largest_inventory / 1e6:,.2f} m",
            f"largest inventory ({result.tally.largest_trader_net / 1e6:,.2f} m before)",
        ),
        ("all hold" if ok else "BROKEN", "invariants I1 to I7"),
    ]
    body = [
        f"<h1>Ballast, {html.escape(s.window)}</h1>",
        f"<p>{_clock(s.minutes[0].time)} to {_clock(s.minutes[-1].time)} UTC, {len(s.minutes):,} recorded minutes of "
        "ETH and BTC, trader flow of the GMX v2 record, options of recorded Deribit chains, real contracts on a "
        "private node, hedged by the keeper on real Uniswap v3 pools and a real Aave v3.</p>",
        '<div class="tiles">',
        *(f'<div class="tile"><b>{value}</b><span>{name}</span></div>' for value, name in tiles),
        "</div>",
        _comparison_card(result),
        _facts_card(result),
        _table_card(
            "Liquidations",
            f"The {LARGEST} with most margin, of {len(result.liquidations)}. What is closed brings the account "
            "back to its initial margin, closing costs aside, or is all there is. The vault takes it at its quote, the "
            "keeper at the mark for most of the penalty.",
            LIQUIDATION_HEAD,
            liquidation_rows(result),
        ),
        _table_card(
            "Settlements",
            "Boards that expired with positions, at the price that a round id proved; then account by account is paid.",
            SETTLEMENT_HEAD,
            settlement_rows(result),
        ),
        _table_card(
            "Smiles in figures",
            "Whenever a chain was recorded: the posted surface against the mids of its quotes, all strikes alike.",
            SMILE_HEAD,
            smile_rows(result),
        ),
        _checks_card(result),
    ]
    for title, caption, draw in PICTURES:
        text = caption.format(window=html.escape(s.window))
        body.append(f'<section class="card"><h2>{title}</h2><p>{text}</p>{_svg(draw(result))}</section>')
    body.append(_method_card(result))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>Ballast, {html.escape(s.window)}</title><style>{_STYLE}</style></head><body><main>"
        + "\n".join(body)
        + "</main></body></html>\n"
    )


def _comparison_card(result: Result) -> str:
    head = "".join(f'<th class="n">{html.escape(column.name)}</th>' for column in columns(result))
    rows = "".join(
        f"<tr><td>{name}</td>{''.join(f'<td class=n>{value}</td>' for value in values)}</tr>"
        for name, values in comparison_rows(result)
    )
    return (
        '<section class="card"><h2>The same trades, four vaults</h2>'
        "<p>Quote currency, everybody's exit included. The three variants repeat the executed trades one by one on the "
        "same contracts.</p>"
        f"<table><thead><tr><th></th>{head}</tr></thead><tbody>{rows}</tbody></table></section>"
    )


def _table_card(title: str, caption: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; nothing where there is nothing to show."""
    if not rows:
        return ""
    titles = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    lines = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return (
        f'<section class="card"><h2>{title}</h2><p>{caption}</p>'
        f"<table><thead><tr>{titles}</tr></thead><tbody>{lines}</tbody></table></section>"
    )


def _facts_card(result: Result) -> str:
    rows = "".join(
        f'<tr><td class="k">{name}</td><td>{html.escape(value)}</td></tr>' for name, value in fact_rows(result)
    )
    return f'<section class="card"><h2>The run</h2><table><tbody>{rows}</tbody></table></section>'


def _checks_card(result: Result) -> str:
    rows = "".join(
        f'<tr><td class="k">{check.id}</td><td>{check.title}</td><td class="{"yes" if check.holds else "no"}">'
        f'{"yes" if check.holds else "NO"}</td><td class="f">{html.escape(check.figure)}</td></tr>'
        for check in result.checks
    )
    return (
        '<section class="card"><h2>Invariants</h2>'
        "<p>I1 to I3 twice: with positions open, and after everyone has left.</p>"
        "<table><thead><tr><th></th><th>statement</th><th>holds</th><th>figure</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></section>"
    )


def _method_card(result: Result) -> str:
    shift = Tape(MARKETS[0], result.scenario.wildest).shift // 86_400
    leverages = f"{min(LEVERAGES):.0f} to {max(LEVERAGES):.0f}"
    lines = [
        f"Prices: recorded closes. The feed posts a round when the price has moved {DEVIATION:.1%} or after "
        f"{HEARTBEAT} minutes.",
        f"Flow: minute changes of open interest of the GMX v2 ETH market ({', '.join(DAYS)}), scaled by vault equity "
        f"to pool value; BTC trades what ETH traded on another day, at {BTC_SHARE:.0%} of the size. "
        f"{2 * len(LEVERAGES)} accounts, leverage {leverages}.",
        f"Opening orders carry a limit of {WORST:.0%} around the last price; closing ones accept any. Every column "
        "repeats the same trades: the comparison says nothing about trades that other prices would have attracted.",
        "Options: no chain was recorded in this window. Carried over from Deribit's of early 2026 are the shape of "
        "the surface and the open interest of each option; recorded of the window are spot and DVOL, which sets the "
        f"level of volatility. Chains and expiries were moved by {shift:+,d} days, strikes to as many standard "
        "deviations from the money. Open interest that grows counts as bought where the option gained volatility "
        "against the median of its expiry, else as sold: who paid the spread is not recorded.",
        f"Deribit's whole open interest in ETH is scaled to {SHARE:g} times our equity, in BTC to "
        f"{SHARE * BTC_SHARE:g}; traded is what falls on our boards, of the next two expiries and two farther away. "
        f"Two of three feeders sign a surface every {POST} minutes.",
        f"Of accounts below maintenance the keeper takes over up to {TAKE:,.0f} at the mark, with {KEEPER_MARGIN:,.0f} "
        "of its own, where that pays for the risk, and closes it in the next minute's block. In the other columns the "
        "account closes by itself at that moment.",
        f"The keeper acts {LATENCY} s after a minute's block. Pools follow the price by arbitrage up to their fee.",
        "A directional result of an unhedged vault is luck of the window: compare drawdown and volatility, not profit "
        "alone.",
        "Afterwards the market stands still: traders close one by one, the reserve is released, LPs redeem by epochs, "
        "hedges are closed.",
    ]
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    return f'<section class="card"><h2>How to read this</h2><ul>{items}</ul></section>'


def write_html(result: Result, path: Path) -> None:
    """The report as a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(result), encoding="utf-8")
