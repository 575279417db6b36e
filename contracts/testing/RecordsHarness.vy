# pragma version 0.4.3
# pragma evm-version cancun
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  RecordsHarness: the words of records.vy, packed and unpacked
@notice For tests at the ends of every field, where no venue can be driven.
@custom:kill Nothing to kill: never deployed outside tests.
"""

from interfaces import IHedgeManager
from contracts.hedge import records


@pure
@external
def listing(x: records.Listing) -> records.Listing:
    return records._unpack_listing(records._pack_listing(x))


@pure
@external
def params(x: IHedgeManager.VenueParams) -> IHedgeManager.VenueParams:
    return records._unpack_params(records._pack_params(x), x.haircut_bps)


@pure
@external
def terms(x: IHedgeManager.Rule) -> IHedgeManager.Rule:
    return records._unpack_rule(records._pack_rule(x), records._pack_floors(x))


@pure
@external
def state(x: IHedgeManager.VenueState) -> IHedgeManager.VenueState:
    return records._unpack_state(records._pack_position(x), records._pack_trail(x))
