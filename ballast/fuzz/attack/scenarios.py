"""Where an attacker may find himself. What the claims leave out is for spreads to price."""

from __future__ import annotations

from ballast.fuzz.attack.game import Scenario

TRADING = ("trade", "pair", "close", "oppose", "withdraw_margin", "liquidate", "sync_all", "perp_sync", "poke")
LIQUIDITY = ("lp_deposit", "request", "process_epoch", "redeem")
HEDGING = ("hedge", "buy_base", "sell_base", "unswap")

SCENARIOS = (
    Scenario(
        "still",
        "nothing, while prices stand still",
        TRADING + LIQUIDITY,
        seconds=140,
    ),
    Scenario(
        "up",
        "nothing from knowing before the feed that ETH is higher, by 95 % of a round trip's half-spreads",
        TRADING + LIQUIDITY,
        seconds=140,
        jump=0.95,
    ),
    Scenario(
        "down",
        "nothing from knowing before the feed that ETH is lower, by 95 % of a round trip's half-spreads",
        TRADING + LIQUIDITY,
        seconds=140,
        jump=-0.95,
    ),
    Scenario(
        "victim",
        "nothing from trading around somebody else's trade and leaving within a minute",
        TRADING,
        seconds=45,
        feed=(5, 10, 15, 20, 25, 30, 35, 40),
        processed_at=None,
        victim=(12, 2_000),
    ),
    Scenario(
        "slow",
        "nothing from trading around somebody else's trade and leaving before two rounds have passed",
        TRADING,
        seconds=190,
        feed=(250,),
        processed_at=None,
        victim=(12, 2_000),
    ),
    Scenario(
        "shock",
        "nothing from knowing that ETH will jump by 3 %, but not whether up or down",
        TRADING + LIQUIDITY,
        seconds=140,
        shock=0.03,
    ),
    Scenario(
        "keeper",
        "at most phi times the fall of U from hedging others' inventory, whatever one does to the pools",
        TRADING + LIQUIDITY + HEDGING,
        seconds=140,
        inventory=4_000,
        hedges_may_cost=True,
    ),
    Scenario(
        "churn",
        "nothing, rewards included, from making inventory and hedging it",
        TRADING + HEDGING,
        seconds=140,
        inventory=0,
    ),
    Scenario(
        "leaver",
        "nothing, but leaving like everybody else, from knowing what LPs are about to lose",
        (*LIQUIDITY, "sync_all", "perp_sync", "poke"),
        seconds=140,
        shares=4_000_000,
        feed=(110,),
        lag=110,
        honest=(("request", (1.0,)),),
        processed_at=110,
        jump=6.0,
    ),
    Scenario(
        "holder",
        "nothing, but leaving like everybody else, from trading around one's own redemption while prices stand still",
        TRADING + LIQUIDITY,
        seconds=140,
        inventory=3_000,
        shares=4_000_000,
        queued=0,
        honest=(("request", (1.0,)),),
    ),
    Scenario(
        "day",
        "nothing from entering before reserve is released that others have paid in",
        (*LIQUIDITY, "sync_all"),
        seconds=90_000,
        inventory=0,
        excess=4_000,
        queued=0,
        feed=tuple(range(3_000, 90_000, 3_000)),
    ),
)

AROUND_TRADES = ("still", "up", "down", "victim", "slow", "shock", "holder")
AROUND_LPS = ("still", "up", "down", "shock", "leaver", "holder", "day")
AROUND_HEDGES = ("keeper", "churn")

OPEN = (  # where money is found although every rule is in place: docs/decisions.md says why
    Scenario(
        "stayer",
        "open: whoever holds nearly all other shares gains by making inventory while a queue is priced",
        TRADING + LIQUIDITY,
        seconds=420,
        shares=7_500_000,
        queued=2_000_000,
        feed=tuple(range(20, 420, 20)),
        processed_at=120,
    ),
)
