"""Parameters of the twins as words, as the contracts' views answer them and their setters take them.

Setters have the names of ``ballast.parameters``; a target is one of them and a market or venue, None for the system.
Not mirrored: what feeders may move, which no twin of ``VolSurface`` checks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, replace
from typing import TYPE_CHECKING, Any

from ballast.model.exact.hedge import Rule, VenueParams
from ballast.model.exact.inventory import Params as InventoryTerms
from ballast.model.exact.option_engine import OptionParams
from ballast.model.exact.oracle import Params as OracleParams
from ballast.model.exact.potential import Weights
from ballast.model.exact.rebate_auction import Params as AuctionParams
from ballast.model.exact.structs import MarketParams
from ballast.model.exact.vault import Params as VaultParams
from ballast.model.words import InventoryMarketParams

if TYPE_CHECKING:
    from ballast.model.exact.system import System

Target = tuple[str, int | None]


def words(system: System, target: Target) -> tuple[int, ...]:
    """What the view of a setter answers."""
    twins: Any = system
    name, key = target
    match name:
        case "inventory":
            terms = twins.inventory.params
            return *astuple(terms.weights), *astuple(terms)[1:], terms.root
        case "spreads":
            return astuple(twins.inventory.market_params[key])
        case "auction":
            return astuple(twins.auction.params)
        case "hedging":
            return astuple(twins.hedge_manager.rule)
        case "venue":
            return astuple(twins.hedge_manager.venues[key].params)
        case "vault":
            return astuple(twins.vault.params)
        case "clearing":
            ledger = twins.clearinghouse
            return ledger.insurance_share_bps, ledger.liquidator_share_bps, ledger.lp_share_bps
        case "oracle":
            params = twins.oracle.markets[key].params
            return astuple(replace(params, initial_sigma=params.sigma_floor))
        case "perps":
            config = twins.perp_engine.config(key)
            return *astuple(config.params), int(config.listed), int(config.paused)
        case "options":
            return astuple(twins.option_engine.configs[key])
    raise LookupError(name)


def change(system: System, target: Target, values: Sequence[int], now: int) -> None:
    """Calls a setter with the words of its view; those that it does not take are ignored."""
    twins: Any = system
    name, key = target
    match name:
        case "inventory":
            twins.inventory.set_params(InventoryTerms(Weights(*values[:8]), *values[8:14]), now)
        case "spreads":
            twins.inventory.set_market_params(key, InventoryMarketParams(*values))
        case "auction":
            twins.auction.set_params(AuctionParams(*values))
        case "hedging":
            twins.hedge_manager.set_rule(Rule(*values))
        case "venue":
            twins.hedge_manager.set_venue_params(key, VenueParams(*values))
        case "vault":
            twins.vault.set_params(VaultParams(*values))
        case "clearing":
            twins.clearinghouse.set_shares(*values)
        case "oracle":
            numbers: list[Any] = [*values[:6], values[3], bool(values[7])]  # sigma_floor for the initial sigma
            twins.oracle.set_params(key, OracleParams(*numbers))
        case "perps":
            twins.perp_engine.set_params(key, MarketParams(*values[:7]))
        case "options":
            twins.option_engine.set_params(key, OptionParams(*values))
        case _:
            raise LookupError(name)
