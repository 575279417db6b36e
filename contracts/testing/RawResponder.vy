# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# pragma nonreentrancy on
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  RawResponder: answers every call with the same bytes
@notice For tests of what reads foreign contracts: any payload, of any length, or a revert, or all gas burnt.
@custom:kill Nothing to kill: never deployed where money is real.
"""


_mode: uint256
_payload: Bytes[320]


@external
def set_response(mode: uint256, payload: Bytes[320]):
    """
    @param mode     0 answer the payload, 1 revert with it, 2 burn all gas
    @param payload  bytes as they go over the wire
    """
    self._mode = mode
    self._payload = payload


# reentrant: it is read by static calls, in which a lock cannot be taken
@reentrant
@external
@raw_return
def __default__() -> Bytes[320]:
    if self._mode == 2:
        raise UNREACHABLE
    if self._mode == 1:
        raw_revert(self._payload)
    return self._payload
