# pragma version 0.4.3
# pragma evm-version cancun
# pragma nonreentrancy on
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  TestToken: a well-behaved ERC-20 with ERC-2612 permit that anyone may mint
@notice Stands for the quote token and for base tokens in tests and demos.
@custom:kill Nothing to kill: never deployed where money is real.
"""

from ethereum.ercs import IERC20
from snekmate.auth import ownable
from snekmate.tokens import erc20

initializes: ownable
initializes: erc20[ownable := ownable]
implements: IERC20

exports: (
    erc20.name,
    erc20.symbol,
    erc20.decimals,
    erc20.totalSupply,
    erc20.balanceOf,
    erc20.allowance,
    erc20.transfer,
    erc20.approve,
    erc20.transferFrom,
    erc20.permit,
    erc20.nonces,
    erc20.DOMAIN_SEPARATOR,
    erc20.eip712Domain,
)


@deploy
def __init__(name: String[25], symbol: String[5], decimals: uint8):
    """
    @param decimals Decimals of the token: 6, 8 and 18 are the ones tested.
    """
    ownable.__init__()
    erc20.__init__(name, symbol, decimals, name, "1")


@external
def mint(owner: address, amount: uint256):
    """
    @notice Create `amount` [token units] for `owner`; open to all.
    """
    erc20._mint(owner, amount)
