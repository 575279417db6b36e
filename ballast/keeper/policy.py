"""What a keeper wants: everything about its decisions that is a matter of taste, or of its own costs."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf


@dataclass(frozen=True, slots=True)
class Policy:
    """What this keeper wants."""

    price_of_risk: float | None = None  # pi, what a unit of U is worth; None: the rule's phi, which is kept anyway
    min_saving: float = 1.0  # [quote] least J worth a transaction
    min_profit: float = 0.0  # [quote] the keeper's own, beyond its gas
    step: float = inf  # [quote] most that one hedge trades; the rest waits until arbitrage has filled the pools again
    slippage: float = 0.001  # [fraction] of the expected price that a hedge may be worse
    rebalance_gas: int = 350_000  # of a hedge on Uniswap: docs/reports/gas.md
    lending_gas: int = 740_000  # of one that borrows or repays besides
    refresh_gas: int = 460_000  # ten strikes, a new surface and a new round: docs/reports/gas.md
    close_gas: int = 400_000
    liquidate_gas: int = 350_000
    auction_gas: int = 200_000  # of opening or closing: every market is synchronised
    auction_gap: float = 0.1  # [fraction] of its line that U has to be beyond or below
    measure_gas: int = 270_000
    measure_every: int = 6 * 3_600  # [s] that one measurement of carry stands for at most
    poke_at: float = 1e-4  # [fraction of the venue's equity] difference, of exposure too, worth reporting
    price_lag: int = 30  # [s] that a pull feed's price may be older than the newest signed one
    price_fee: int = 10**14  # [wei] most that Pyth may ask for one message
    sweep_lead: float = 0.9  # part of the sweep age after which markets are synchronised
    hedge: bool = True
    wind_down: bool = False  # trigger global settlement when that is possible
    take: float = 0.0  # [quote] most that positions in the keeper's own account may come to; 0: it takes none over
    take_cost: float = 0.001  # [fraction of notional] that getting rid of them is reckoned to cost
    take_time: float = 60.0  # [s] that it may take; a standard deviation over it is to be earned
