"""The inventory parameters that tests start from; `dataclasses.replace` says what a test means to differ in."""

from ballast.model.exact.fixed import WAD
from ballast.model.words import InventoryMarketParams, InventoryParams

BP = WAD // 10_000
PERCENT = WAD // 100
INVENTORY = InventoryParams(
    aversion=8 * WAD,
    knee=10 * PERCENT,
    c_lo=0,
    c_hi=WAD,
    omega=2 * PERCENT,
    u_star=60 * PERCENT,
    u_max=90 * PERCENT,
    horizon=86_400,
    rho=-30 * PERCENT,
    funding_max=75 * PERCENT,
    release_period=86_400,
    sweep_age=900,
    borrow_kink=2 * PERCENT,
    borrow_max=50 * PERCENT,
)
INVENTORY_MARKET = InventoryMarketParams(
    base=BP,
    floor=2 * BP,
    z=2 * WAD,
    tau=3,
    deviation=10 * BP,
    vol_of_vol=70 * PERCENT,
    vol_floor=40 * BP,
    vol_z=WAD,
    vol_tau=60,
)
