# pragma version 0.4.3
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  Re-entry: a call from inside somebody else's call, seen and undone
@notice For tests: who gets control in the middle of an operation calls `target` with `payload`, notes whether that would have gone
        through, and undoes it, so that what surrounds it ends as it would have. Without a target it does nothing.
"""

target: address
payload: Bytes[1024]
# Whether a call went through since `prepare`.
went_through: public(bool)


@external
def prepare(target: address, payload: Bytes[1024]):
    """@notice Chooses the call."""
    self.target = target
    self.payload = payload
    self.went_through = False


@external
def attempt():
    """@dev Always reverts, and so undoes the call; the revert data tells how it ended."""
    success: bool = raw_call(self.target, self.payload, revert_on_failure=False)
    raw_revert(abi_encode(success))


@internal
def _try():
    if self.target == empty(address):
        return
    ok: bool = False
    answer: Bytes[32] = b""
    ok, answer = raw_call(self, method_id("attempt()"), max_outsize=32, revert_on_failure=False)
    if len(answer) == 32 and convert(answer, uint256) == 1:
        self.went_through = True
