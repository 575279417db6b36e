"""The keeper: observe a chain, decide purely, act safely. Anybody may run one; the contracts pay it, never trust it."""

from ballast.keeper.hedging import no_trade_band
from ballast.keeper.policy import Policy
from ballast.keeper.service import Keeper, Step
from ballast.keeper.state import Action, State

__all__ = ["Action", "Keeper", "Policy", "State", "Step", "no_trade_band"]
