"""What studies share: recorded windows with traders in them, and the figures that are told of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

import numpy as np

from ballast import data
from ballast.config import Config, load
from sims import engine, flow
from sims.engine import RULE, Hedging, Result, Rule
from sims.paths import HOUR, Prices
from sims.rules import ballast
from sims.world import Floats, OracleModel, World

EQUITY = 10e6  # [quote] LPs begin with
GWEI = 1e-9
ROLLUP = 0.01  # [gwei] where gas is not Ethereum's


def scene(
    prices: Prices, seed: int, count: int = 1, *, equity: float = EQUITY, oracle: OracleModel | None = None,
    kinds: flow.Traders | tuple[flow.Traders, ...] | None = None, toxic: float = 0.0, elastic: bool = True,
    chain: str = "rollup",
) -> World:  # fmt: skip
    """One path of prices with `count` draws of traders. `toxic` [fraction of what is wanted] is from those who see the
    price before the oracle does; not `elastic`: everybody trades at any cost, so that every rule has the same flow."""
    rng = np.random.default_rng([seed, *prices.name.encode()])
    many = np.ascontiguousarray(np.broadcast_to(prices.price, (count, *prices.price.shape)))
    seen = oracle or OracleModel(initial_sigma=float(prices.vol[0, 0]))
    wanted = flow.wants(rng, many, prices.dt, kinds or default_kinds(), equity)
    world = World.of(
        many, prices.dt, oracle=seen, wants=wanted, vol=prices.vol[None], gas=gas(prices, chain), name=prices.name,
        start=float(prices.start),
    )  # fmt: skip
    if toxic > 0.0:
        world = world.with_wants(flow.merged(wanted, flow.informed(rng, world, toxic, equity)))
    return world if elastic else at_any_cost(world)


def at_any_cost(world: World) -> World:
    """The same wants without limits."""
    return replace(world, wants=replace(world.wants, limit=np.full(len(world.wants), np.inf)))


def default_kinds() -> tuple[flow.Traders, ...]:
    """Recorded traders, and hedgers."""
    return (flow.perp_traders(), flow.hedgers())


def gas(prices: Prices, chain: str = "rollup") -> Floats:
    """[quote] of one hedge's transaction at every step, (1, steps + 1): Ethereum's mean of the day, or a rollup's."""
    units = float(config().hedging.gas_units)
    if chain == "rollup":
        return np.asarray(units * ROLLUP * GWEI * prices.price[None, :, 0])
    days, wei = data.gas_price()
    at = prices.start + np.arange(prices.steps + 1) * prices.dt
    return np.asarray(units * np.interp(at, days, wei)[None] * 1e-18 * prices.price[None, :, 0])


@cache
def config() -> Config:
    """The deployment whose parameters are the defaults: networks/local.yaml."""
    return load("local")


def rule(**changes: float) -> ballast.Params:
    """Ballast with some parameters changed."""
    return ballast.Params(config()).changed(**changes)


def keeper(**changes: float) -> Hedging:
    """Hedged as the deployment's rule lets keepers do."""
    return replace(Hedging.of(config()), policy=RULE, **changes)  # type: ignore[arg-type]


def play(world: World, params: Rule, hedging: Hedging | None = None, *, carry: bool = True) -> Result:
    """A run sampled by the hour, with carry traders who take the side that funding pays, or without them."""
    hourly = max(1, round(HOUR / world.dt))
    agents = flow.crowd(world.dt, flow.Carry(), every=hourly) if carry else engine.NOBODY
    return engine.run(world, params, hedging=hedging, agents=agents, sample=hourly, jobs=1)


def all_in(results: Sequence[Result]) -> float:
    """What traders pay for trading and holding, of what they trade; hedges apart, LPs get it but for fees."""
    volume = sum(float(result.totals[:, engine.VOLUME].sum()) for result in results)
    fees = sum(float(result.totals[:, engine.FEES].sum()) for result in results)
    return (sum(float(revenue(result).sum()) for result in results) + fees) / max(volume, 1.0)


def revenue(result: Result) -> Floats:
    """[quote] per path: what traders paid that LPs get, sooner or later, before hedges."""
    t = result.totals
    return np.asarray(t[:, engine.SPREADS] + t[:, engine.CHARGES] - t[:, engine.REBATES] + t[:, engine.CARRIED])


def hedging_cost(result: Result) -> Floats:
    """[quote] per path: venues, keepers and gas."""
    t = result.totals
    return np.asarray(t[:, engine.HEDGING] + t[:, engine.GAS_PAID] + t[:, engine.REWARDS])


def tracking_error(world: World, result: Result, unhedged: Result) -> Floats:
    """Per path: standard deviation of the P&L of the delta left open, over that of the same flow unhedged."""
    stride = round(result.dt / world.dt)
    moves = np.diff(world.prices[:, ::stride], axis=1)
    left, whole = (np.sum(r.net[:, : moves.shape[1]] * moves, axis=2) for r in (result, unhedged))
    return np.asarray(np.std(left, axis=1) / np.std(whole, axis=1))


def figures(results: Sequence[Result]) -> dict[str, float]:
    """Medians over paths of what LPs got, and what traders paid, of results of the same length; `sharpe_whole` counts
    the reserve as LPs', for worlds in which none of them come or go."""

    def over(get: Callable[[Result], Floats]) -> float:
        return float(np.median(np.concatenate([get(result) for result in results])))

    totals = np.concatenate([result.totals for result in results])
    volume = float(totals[:, engine.VOLUME].sum())
    costs = float(np.concatenate([result.trader_costs for result in results]).sum())
    return {
        "return": over(lambda r: r.returns),
        "volatility": over(lambda r: r.volatility),
        "drawdown": over(lambda r: r.drawdown),
        "sharpe": over(lambda r: r.sharpe),
        "sharpe_whole": over(lambda r: replace(r, equity=r.equity + r.reserve).sharpe),
        "revenue": float(np.concatenate([revenue(r) for r in results]).mean()),
        "hedging": float(np.concatenate([hedging_cost(r) for r in results]).mean()),
        "volume": volume / len(totals),
        "filled": volume / max(float(totals[:, engine.WANTED].sum()), 1.0),
        "cost": costs / max(volume, 1.0),
        "all_in": all_in(results),
        "hedges": float(totals[:, engine.HEDGES].mean()),
    }
