# pragma version 0.4.3
# pragma evm-version cancun
"""
@title The check, for the fuzzer that has no contract of its own to put it in
@notice Asks the same three views as the other fuzzer's `invariant_solvent`. Nothing of the protocol.
@license AGPL-3.0-only
@custom:kill Nothing to stop: it exists in tests only.
"""
from ethereum.ercs import IERC20

interface ShareVault:
    def totalAssets() -> uint256: view
    def fees() -> uint256: view


TOKEN: immutable(IERC20)
VAULT: immutable(ShareVault)


@deploy
def __init__(token: address, vault: address):
    TOKEN = IERC20(token)
    VAULT = ShareVault(vault)


@external
@view
def holds() -> bool:
    """
    @return Whether the vault holds what it owes to shareholders and takers of the fee.
    """
    return staticcall TOKEN.balanceOf(VAULT.address) >= staticcall VAULT.totalAssets() + staticcall VAULT.fees()
