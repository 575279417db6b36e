# pragma version 0.4.3
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  Words of the hedge manager
@notice One codec per storage word: `_unpack_x(word) -> struct`, `_pack_x(struct) -> word` with the immutable bounds asserted.
        Whoever sets a parameter stays inside these bounds; that is all governance can do here.
        Python mirror: ballast/model/exact/hedge.py.
"""

from interfaces import IHedgeManager
from contracts import constants as c

# What NAV needs of a venue, and its standing: `haircut u16 | address 160 | market u8 | paused u1 | retired u1`.
struct Listing:
    venue: address
    market: uint256
    paused: bool            # only steps that shrink |exposure|
    retired: bool           # counts as zero, trades nothing
    haircut_bps: uint256    # [bps of equity] not counted in NAV; `_pack_params` asserts its bound

MAX_BAND: constant(uint256) = 10_000            # [1e-6] 1 %
MAX_FEE: constant(uint256) = 10_000             # [1e-6] 1 %
MAX_COOLDOWN: constant(uint256) = c.DAY         # [s]
MAX_MARK_AGE: constant(uint256) = 3_600         # [s]
MAX_HAIRCUT_BPS: constant(uint256) = 5_000
MAX_PHI_BPS: constant(uint256) = 8_000
MAX_ETA_BPS: constant(uint256) = 3_000
MAX_SIZE_REWARD: constant(uint256) = 200        # [1e-6] 2 bp
MAX_GAS_UNITS: constant(uint256) = 2_000_000
MAX_GAS_PRICE: constant(uint256) = 10**13       # [wei] 10,000 gwei


@internal
@pure
def _pack_listing(x: Listing) -> uint256:
    return (
        (x.haircut_bps << 170)
        | (convert(x.venue, uint256) << 10)
        | (x.market << 2)
        | (convert(x.paused, uint256) << 1)
        | convert(x.retired, uint256)
    )


@internal
@pure
def _unpack_listing(word: uint256) -> Listing:
    return Listing(
        venue=convert((word >> 10) & (2**160 - 1), address),
        market=(word >> 2) & 255,
        paused=(word >> 1) & 1 == 1,
        retired=word & 1 == 1,
        haircut_bps=word >> 170,
    )


@internal
@pure
def _pack_params(x: IHedgeManager.VenueParams) -> uint256:
    """@dev `cap u96 | turnover u64 | fee_cap u16 | band u16 | cooldown u24 | max_age u16`; the haircut is in the listing."""
    assert (
        x.cap < 2**96
        and x.turnover < 2**64
        and x.fee_cap <= MAX_FEE
        and x.band <= MAX_BAND
        and x.cooldown != 0     # a second step in one block would be judged by bands that the first has moved
        and x.cooldown <= MAX_COOLDOWN
        and x.max_age <= MAX_MARK_AGE
        and x.haircut_bps <= MAX_HAIRCUT_BPS
    ), "hedge: parameter out of bounds"
    return (
        (x.cap << 136)
        | (x.turnover << 72)
        | (x.fee_cap << 56)
        | (x.band << 40)
        | (x.cooldown << 16)
        | x.max_age
    )


@internal
@pure
def _unpack_params(word: uint256, haircut_bps: uint256) -> IHedgeManager.VenueParams:
    return IHedgeManager.VenueParams(
        cap=word >> 136,
        turnover=(word >> 72) & (2**64 - 1),
        fee_cap=(word >> 56) & (2**16 - 1),
        band=(word >> 40) & (2**16 - 1),
        cooldown=(word >> 16) & (2**24 - 1),
        max_age=word & (2**16 - 1),
        haircut_bps=haircut_bps,
    )


@internal
@pure
def _pack_rule(x: IHedgeManager.Rule) -> uint256:
    """@dev `phi u16 | eta u16 | size_reward u16 | gas_units u24 | tip u48 | price u48 | market u8`."""
    assert (
        x.phi_bps <= MAX_PHI_BPS
        and x.eta_bps <= MAX_ETA_BPS
        and x.size_reward <= MAX_SIZE_REWARD
        and x.gas_units <= MAX_GAS_UNITS
        and x.gas_tip_cap <= MAX_GAS_PRICE
        and x.gas_price_cap <= MAX_GAS_PRICE
        and x.gas_market < c.MAX_MARKETS
        and x.recall_floor <= x.lp_floor
    ), "hedge: parameter out of bounds"
    return (
        (x.phi_bps << 160)
        | (x.eta_bps << 144)
        | (x.size_reward << 128)
        | (x.gas_units << 104)
        | (x.gas_tip_cap << 56)
        | (x.gas_price_cap << 8)
        | x.gas_market
    )


@internal
@pure
def _pack_floors(x: IHedgeManager.Rule) -> uint256:
    """@dev `lp_floor u128 | recall_floor u128`."""
    assert x.lp_floor < 2**127 and x.recall_floor < 2**127, "hedge: parameter out of bounds"
    return (x.lp_floor << 128) | x.recall_floor


@internal
@pure
def _unpack_rule(word: uint256, floors: uint256) -> IHedgeManager.Rule:
    return IHedgeManager.Rule(
        phi_bps=word >> 160,
        eta_bps=(word >> 144) & (2**16 - 1),
        size_reward=(word >> 128) & (2**16 - 1),
        gas_units=(word >> 104) & (2**24 - 1),
        gas_tip_cap=(word >> 56) & (2**48 - 1),
        gas_price_cap=(word >> 8) & (2**48 - 1),
        gas_market=word & 255,
        lp_floor=floors >> 128,
        recall_floor=floors & (2**128 - 1),
    )


@internal
@pure
def _pack_position(x: IHedgeManager.VenueState) -> uint256:
    """@dev `exposure i128 | equity u128`; the reader has bounded both."""
    assert abs(x.exposure) < 2**127 and x.equity < 2**128       # dev: bounded by the reader
    return (convert(convert(x.exposure, bytes32), uint256) << 128) | x.equity


@internal
@pure
def _pack_trail(x: IHedgeManager.VenueState) -> uint256:
    """@dev `price u128 | used u80 | traded_at u48`."""
    assert x.price < 2**128 and x.used < 2**80      # dev: oracle prices and turnover fit
    return (x.price << 128) | (x.used << 48) | x.traded_at


@internal
@pure
def _unpack_state(position: uint256, trail: uint256) -> IHedgeManager.VenueState:
    return IHedgeManager.VenueState(
        exposure=convert(convert(position, bytes32), int256) >> 128,    # arithmetic shift keeps the sign
        equity=position & (2**128 - 1),
        price=trail >> 128,
        used=(trail >> 48) & (2**80 - 1),
        traded_at=trail & (2**48 - 1),
    )
