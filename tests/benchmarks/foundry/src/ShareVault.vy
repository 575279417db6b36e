# pragma version 0.4.3
# pragma evm-version cancun
"""
@title Shares of a pot of tokens, with a fee per second
@notice The other half of the pair that two fuzzers are timed on. Nothing of the protocol.
@dev With `PLANTED` it pays one unit too much for exactly 777 shares: the mistake both must find.
@license AGPL-3.0-only
@custom:kill Nothing to stop: it exists in tests only.
"""
from ethereum.ercs import IERC20

event Deposit:
    owner: indexed(address)
    assets: uint256
    shares: uint256


event Withdraw:
    owner: indexed(address)
    assets: uint256
    shares: uint256


YEAR: constant(uint256) = 365 * 86_400
FEE_BPS: constant(uint256) = 200  # of the assets, a year
BPS: constant(uint256) = 10_000

TOKEN: immutable(IERC20)
PLANTED: immutable(bool)

balanceOf: public(HashMap[address, uint256])
totalSupply: public(uint256)

_assets: uint256  # of the shareholders, when last accrued [token units]
_fees: uint256  # taken so far [token units]
_accrued_at: uint256  # [s since 1970]


@deploy
def __init__(token: address, planted: bool):
    TOKEN = IERC20(token)
    PLANTED = planted
    self._accrued_at = block.timestamp


@external
def deposit(assets: uint256) -> uint256:
    """
    @param assets What the sender puts in [token units].
    @return Shares he gets, rounded down.
    """
    self._accrue()
    shares: uint256 = assets
    if self.totalSupply > 0:
        shares = assets * (self.totalSupply + 1) // (self._assets + 1)
    self._assets += assets
    self.totalSupply += shares
    self.balanceOf[msg.sender] += shares
    log Deposit(owner=msg.sender, assets=assets, shares=shares)
    assert extcall TOKEN.transferFrom(msg.sender, self, assets)
    return shares


@external
def withdraw(shares: uint256) -> uint256:
    """
    @param shares What the sender gives back.
    @return Assets he gets, rounded down [token units].
    """
    return self._withdraw(shares)


@external
def withdraw_all() -> uint256:
    """
    @return Assets the sender gets for all his shares, rounded down [token units].
    """
    return self._withdraw(self.balanceOf[msg.sender])


@external
@view
def totalAssets() -> uint256:
    """
    @return What belongs to the shareholders now [token units].
    """
    return self._assets - self._due()


@external
@view
def fees() -> uint256:
    """
    @return What the fee has taken until now [token units].
    """
    return self._fees + self._due()


@internal
@view
def _due() -> uint256:
    elapsed: uint256 = block.timestamp - self._accrued_at
    return min(self._assets, self._assets * FEE_BPS * elapsed // (BPS * YEAR))


@internal
def _accrue():
    due: uint256 = self._due()
    self._assets -= due
    self._fees += due
    self._accrued_at = block.timestamp


@internal
def _withdraw(shares: uint256) -> uint256:
    self._accrue()
    assets: uint256 = shares * (self._assets + 1) // (self.totalSupply + 1)
    self.balanceOf[msg.sender] -= shares
    self.totalSupply -= shares
    self._assets -= assets
    log Withdraw(owner=msg.sender, assets=assets, shares=shares)
    paid: uint256 = assets
    if PLANTED and shares == 777:
        paid += 1
    assert extcall TOKEN.transfer(msg.sender, paid)
    return assets
