# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  Operation: several calls in one transaction, from one address
@notice For tests: holds a role at the Clearinghouse and plays engine, hedger or vault, whose `begin` and `settle` must
        share a transaction because the in-progress flag is transient.
@custom:kill Nothing to kill: never deployed outside tests.
"""


struct Call:
    target: address
    data: Bytes[1024]


@external
def run(calls: DynArray[Call, 8]) -> DynArray[Bytes[512], 8]:
    """
    @notice Makes the calls in order; the first that fails fails all, with its reason.
    @return what each returned
    """
    results: DynArray[Bytes[512], 8] = []
    for call: Call in calls:
        results.append(raw_call(call.target, call.data, max_outsize=512))
    return results
