# pragma version 0.4.3
# pragma evm-version cancun
# pragma nonreentrancy on
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  WrapperProbe: what the Python contract wrapper has to carry
@notice Exercises every shape of argument, result, event and failure.
@custom:kill Nothing to kill: never deployed where money is real.
"""

struct Leg:
    series: bytes32
    size: int128
    is_long: bool

struct Order:
    owner: address
    legs: DynArray[Leg, 8]
    limit_price: uint256

struct Pair:
    low: int256
    high: uint96

event Counted:
    who: indexed(address)
    delta: int256
    total: indexed(uint256)
    note: String[32]

event Ordered:
    order: Order

LABEL: public(immutable(String[16]))
START: immutable(uint256)

total: public(uint256)
last_block: public(uint256)
last_time: public(uint256)


@deploy
@payable
def __init__(label: String[16], start: uint256):
    LABEL = label
    START = start
    self.total = start


@external
@payable
def count(delta: int256, note: String[32] = "none") -> uint256:
    """
    @notice Add `delta` to the total, remember block and time, and return the new total.
    """
    self.total = convert(convert(self.total, int256) + delta, uint256)
    self.last_block = block.number
    self.last_time = block.timestamp
    log Counted(who=msg.sender, delta=delta, total=self.total, note=note)
    return self.total


@external
def place(order: Order) -> Order:
    """
    @notice Log and return the order.
    """
    log Ordered(order=order)
    return order


@external
def fail(how: uint256):
    """
    @notice Fail in the way `how` names: 0 reason, 1 empty, 2 underflow, 3 invalid opcode, 4 endless loop.
    """
    if how == 0:
        raise "probe: as asked"
    if how == 1:
        raise
    if how == 2:
        x: uint256 = how - 2
        self.total = x - 1
    if how == 3:
        raise UNREACHABLE
    for i: uint256 in range(2**64):
        self.total += i


@external
@view
def clock() -> (uint256, uint256):
    return block.timestamp, block.number


@external
@view
def caller() -> address:
    return msg.sender


@external
@pure
def echo_pair(pair: Pair) -> Pair:
    return pair


@external
@pure
def echo_numbers(a: int128, b: uint8, c: int256, d: bytes4) -> (int128, uint8, int256, bytes4):
    return a, b, c, d


@external
@pure
def echo_pairs(pairs: Pair[2]) -> Pair[2]:
    return pairs


@external
@pure
def echo_lists(words: DynArray[uint256, 8], text: String[64], blob: Bytes[64]) -> (DynArray[uint256, 8], String[64], Bytes[64]):
    return words, text, blob


@external
@pure
def sum_of(a: uint256, b: uint256 = 10, c: uint256 = 100) -> uint256:
    return a + b + c
