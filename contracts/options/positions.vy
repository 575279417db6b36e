# pragma version 0.4.3
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  Positions: the option legs of every account, at most MAX_LEGS, in words of series.vy without gaps
"""

from contracts import constants as c
from contracts.options import series

_legs: HashMap[address, uint256[c.MAX_LEGS]]


@internal
@view
def _load(account: address) -> DynArray[uint256, c.MAX_LEGS]:
    legs: DynArray[uint256, c.MAX_LEGS] = []
    for i: uint256 in range(c.MAX_LEGS):
        leg: uint256 = self._legs[account][i]
        if leg == 0:
            break
        legs.append(leg)
    return legs


@internal
def _save(
    account: address, before: DynArray[uint256, c.MAX_LEGS], after: DynArray[uint256, c.MAX_LEGS]
):
    """@notice Writes the words that differ."""
    for i: uint256 in range(c.MAX_LEGS):
        old: uint256 = before[i] if i < len(before) else 0
        new: uint256 = after[i] if i < len(after) else 0
        if old != new:
            self._legs[account][i] = new
        elif new == 0:
            break


@internal
@pure
def _size(legs: DynArray[uint256, c.MAX_LEGS], id: uint256) -> int256:
    """@return [LOT] of the leg in a series; 0 if there is none"""
    for leg: uint256 in legs:
        if leg >> 64 == id:
            return series._lots(leg)
    return 0


@internal
@pure
def _with(
    legs: DynArray[uint256, c.MAX_LEGS], id: uint256, lots: int256
) -> DynArray[uint256, c.MAX_LEGS]:
    """
    @return the legs with the size of one replaced; what closes is replaced by the last
    @param lots [LOT] 0 closes
    """
    result: DynArray[uint256, c.MAX_LEGS] = legs
    at: uint256 = 0
    for leg: uint256 in legs:
        if leg >> 64 == id:
            break
        at += 1
    if lots == 0:
        last: uint256 = result.pop()
        if at < len(result):
            result[at] = last
    elif at < len(legs):
        result[at] = series._leg(id, lots)
    else:
        assert at < c.MAX_LEGS, "options: too many legs"
        result.append(series._leg(id, lots))
    return result
