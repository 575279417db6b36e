# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  StewardTarget: parameters that a Steward may move, and the bad manners a target may have
@notice For tests only: three words and one that follows from the first, alone and by market. It may answer other than it
        should, refuse, or call back in the middle.
@custom:kill Nothing to kill: never deployed outside tests.
"""

from contracts.testing import reentry

initializes: reentry

exports: (reentry.prepare, reentry.attempt, reentry.went_through)

_alone: int256[3]
_by_market: HashMap[uint256, int256[3]]
# Bytes that the view answers in place of the words, once the setter has been called; none: the words.
_lie: Bytes[640]
_lies: bool
_refuses: bool


@external
def set_words(words: int256[3]):
    """@notice Sets the words that have no market."""
    assert not self._refuses, "target: refuses"
    self._alone = words
    self._lies = True
    reentry._try()


@external
def set_words_of(market: uint256, words: int256[3]):
    """@notice Sets the words of a market."""
    self._by_market[market] = words


@external
def behave(lie: Bytes[640], refuses: bool):
    """@notice What it does wrong from now on; the lie is told from the next call of `set_words` on."""
    self._lie = lie
    self._lies = False
    self._refuses = refuses


@view
@external
@raw_return
def words() -> Bytes[640]:
    """@return the three words and twice the first"""
    if self._lies and len(self._lie) != 0:
        return self._lie
    return self._encoded(self._alone)


@view
@external
@raw_return
def words_of(market: uint256) -> Bytes[640]:
    """@return the three words of a market and twice the first"""
    return self._encoded(self._by_market[market])


@internal
@pure
def _encoded(words: int256[3]) -> Bytes[640]:
    return slice(abi_encode(words, unsafe_mul(words[0], 2)), 0, 128)
