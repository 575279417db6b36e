# pragma version 0.4.3
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  Constants
@notice One definition of every number shared by more than one contract.
"""

WAD: constant(uint256) = 10**18
SWAD: constant(int256) = 10**18
BPS: constant(uint256) = 10_000
DAY: constant(uint256) = 86_400                 # [s]
YEAR: constant(uint256) = 365 * DAY             # [s]; a year is 365 days everywhere
SETTLEMENT_HOUR: constant(uint256) = 8 * 3_600  # [s] after midnight UTC, when options expire

# Coarse money unit of packed words: one millionth of the quote currency.
MICRO: constant(uint256) = 10**12               # [WAD per micro-quote]
SMICRO: constant(int256) = 10**12

MAX_MARKETS: constant(uint256) = 16             # one bit each in the account and window masks
MARKETS: constant(uint256) = 2**MAX_MARKETS - 1 # mask of all of them
OPTION_BIT: constant(uint256) = 16              # account mask: bit i is a perpetual in market i, 16 + i options in it
MAX_VENUES: constant(uint256) = 8
MAX_EXPIRIES: constant(uint256) = 16            # of a market's options
MAX_STRIKES: constant(uint256) = 24             # of a board
MAX_LEGS: constant(uint256) = 16                # options of an account
MAX_ORDERS: constant(uint256) = 8               # of a trade in options
MAX_CARRY: constant(int256) = 50 * 10**16       # [1/year, WAD] most that hedging may add to funding, either way
WIDE: constant(uint256) = 50                    # a mark whose half-width is above 1/50 of its price takes no new risk
MAX_REWARD: constant(uint256) = 10 * 10**18     # [quote, WAD] most that insurance pays for one service

# Scenario P&L of options, where eight of them share a word: whole quote, at most 2^31.
STRESS_UNIT: constant(int256) = SWAD            # [WAD per unit]

# Stress scenarios: (spot shock, vol shock). Immutable; a linear book only sees the spot shock.
N_STRESS: constant(uint256) = 8
SPOT_SHOCKS: constant(int256[N_STRESS]) = [
    -50 * 10**16, -30 * 10**16, -15 * 10**16, 0, 0, 15 * 10**16, 30 * 10**16, 50 * 10**16,
]                                               # [fraction of spot, WAD]
VOL_SHOCKS: constant(int256[N_STRESS]) = [
    60 * 10**16, 40 * 10**16, 20 * 10**16, 30 * 10**16, -30 * 10**16, 10 * 10**16, 30 * 10**16, 50 * 10**16,
]                                               # [absolute vol, WAD]
WORST_DOWN: constant(uint256) = 50 * 10**16     # |largest fall|, the worst scenario of a long linear book
WORST_UP: constant(uint256) = 50 * 10**16       # largest rise, the worst scenario of a short linear book
