# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  RudeToken: an ERC-20 with one bad manner at a time
@notice For tests of whatever holds the quote token. Without a manner it is well behaved. Anyone may mint and choose:
        FEE             keeps 1 % of every transfer
        RETURN_FALSE    answers False and moves nothing
        REENTER         tries a call (reentry.vy) at the end of every transfer
        BLACKLIST       reverts when `banned` sends or receives
        BURN            answers True and credits nothing
        PAUSED          reverts
        SilentToken is the one that answers nothing.
@custom:kill Nothing to kill: never deployed outside tests.
"""

from contracts.testing import reentry

initializes: reentry

exports: (reentry.prepare, reentry.attempt, reentry.went_through)

event Transfer:
    sender: indexed(address)
    receiver: indexed(address)
    amount: uint256

event Approval:
    owner: indexed(address)
    spender: indexed(address)
    amount: uint256

flag Manner:
    FEE
    RETURN_FALSE
    REENTER
    BLACKLIST
    BURN
    PAUSED

decimals: public(uint8)
balanceOf: public(HashMap[address, uint256])
allowance: public(HashMap[address, HashMap[address, uint256]])
totalSupply: public(uint256)
manner: public(Manner)
banned: public(address)


@deploy
def __init__(decimals: uint8):
    self.decimals = decimals


@external
def behave(manner: Manner, banned: address):
    """@notice Chooses the bad manner."""
    self.manner = manner
    self.banned = banned


@external
def trust(spender: address):
    """@notice Lets a spender take what the token itself holds, so that a call from inside may be a valid one."""
    self.allowance[self][spender] = max_value(uint256)


@external
def mint(owner: address, amount: uint256):
    self.balanceOf[owner] += amount
    self.totalSupply += amount
    log Transfer(sender=empty(address), receiver=owner, amount=amount)


@external
def approve(spender: address, amount: uint256) -> bool:
    self.allowance[msg.sender][spender] = amount
    log Approval(owner=msg.sender, spender=spender, amount=amount)
    return True


@external
def transfer(receiver: address, amount: uint256) -> bool:
    return self._transfer(msg.sender, receiver, amount)


@external
def transferFrom(sender: address, receiver: address, amount: uint256) -> bool:
    if self.manner != Manner.RETURN_FALSE:
        self.allowance[sender][msg.sender] -= amount
    return self._transfer(sender, receiver, amount)


@internal
def _transfer(sender: address, receiver: address, amount: uint256) -> bool:
    if self.manner == Manner.RETURN_FALSE:
        return False
    assert self.manner != Manner.PAUSED, "token: paused"
    if self.manner == Manner.BLACKLIST:
        assert sender != self.banned and receiver != self.banned, "token: blacklisted"
    received: uint256 = amount
    if self.manner == Manner.FEE:
        received = amount - amount // 100
    if self.manner == Manner.BURN:
        received = 0
    self.balanceOf[sender] -= amount
    self.totalSupply -= amount - received
    self.balanceOf[receiver] += received
    log Transfer(sender=sender, receiver=receiver, amount=received)
    if self.manner == Manner.REENTER:
        reentry._try()
    return True
