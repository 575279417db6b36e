# pragma version 0.4.3
# pragma nonreentrancy on
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  Epochs: one pool of shares that wait to be redeemed
@notice Requests of all epochs wait in one pool, which a processed epoch fills in part or whole, everyone by the same fraction.
        Nobody's record is touched then: two running numbers remember what happened, and a record that knows where it
        came in reads off what it has become.

            product Z   starts at 1e54; a fill leaves Z * (Q - filled) / Q
            assets A    starts at 0; a fill adds Z * paid / Q

        A record of n shares that came in at (Z0, A0) has n * Z / Z0 shares left and is owed n * (A - A0) / Z0. Each fill
        that changes the two writes the next *step*; a record keeps the step it came in at, one word in all.
        When a fill empties the pool, or Z falls below 1e18 and would lose precision, the *generation* ends: its last
        Z and A are kept, and the next one starts afresh. A record walks from generation to generation; each that it crosses
        whole leaves at most 1e-36 of it, so after three there is nothing left of any uint128 (`_walk`).

        Late requests. Shares requested after the end of the epoch, before it is processed, must not be priced at a round that
        their owner may have seen: they wait apart, come into the pool at the step that processing is about to write,
        and belong to the next epoch.

        Invariants (I11): pool pending >= sum over records of pending; paid >= sum over records of owed; all rounding is down
        for the record, so what is lost (wei) is left to nobody and never owed twice.
@dev    Owns: `_pool`, `_incoming`, `_indices`, `_closings`, `_records`. No external calls.
        Twin: ballast/model/exact/vault.py.
"""

from snekmate.utils import math

PRODUCT_START: constant(uint256) = 10**54
PRODUCT_MIN: constant(uint256) = 10**18
MAX_WALK: constant(uint256) = 3

U32: constant(uint256) = 2**32 - 1
U128: constant(uint256) = 2**128 - 1
HAS_LATE: constant(uint256) = 1 << 192
PRODUCT_BITS: constant(uint256) = 192
PRODUCT_MASK: constant(uint256) = 2**PRODUCT_BITS - 1


struct Pool:
    pending: uint256        # [shares, WAD]
    epoch: uint256          # its id
    ends_at: uint256        # [s]
    step: uint256           # newest index

struct Index:
    product: uint256        # Z [1e54]
    generation: uint256
    assets: uint256         # A [quote per share, 1e54]

struct Ticket:
    shares: uint256         # [shares, WAD]
    since: uint256          # step it came in at
    request: uint256        # epoch of the newest request in it

struct Record:
    settled: Ticket         # in the pool, at the newest step
    late: Ticket            # not yet in the pool
    claim_shares: uint256   # [shares, WAD]
    claim_assets: uint256   # [quote, WAD]

struct Words:
    settled: uint256
    late: uint256
    claim: uint256


# pending u128 | epoch u32 | ends_at u32 | step u32: what a request and a fill change.
_pool: uint256
# Shares requested since the end of the epoch.
_incoming: uint256
# product u192 | generation u64, and assets, of every step; never rewritten.
_index_products: HashMap[uint256, uint256]
_index_assets: HashMap[uint256, uint256]
# Last product (0 after a full fill) and assets of every ended generation.
_closing_products: HashMap[uint256, uint256]
_closing_assets: HashMap[uint256, uint256]
# Two tickets (shares u128 | since u32 | request u32) and the claim (shares u128 | assets u128) of a controller. The settled
# ticket's word says in one more bit whether the late one counts; what an old late ticket leaves behind is never read.
_records: HashMap[address, Words]


@deploy
def __init__(ends_at: uint256):
    """
    @param ends_at [s] end of the first epoch, which has id 1: 0 would mean "ids are not used" (ERC-7540)
    """
    self._save_pool(Pool(pending=0, epoch=1, ends_at=ends_at, step=1))
    self._index_products[1] = PRODUCT_START


@internal
def _request(controller: address, shares: uint256) -> uint256:
    """
    @notice Adds shares to the pool, or to the next one if the epoch is over.
    @return epoch that the request belongs to
    """
    pool: Pool = self._load_pool()
    record: Record = self._record(controller, pool)
    request: uint256 = pool.epoch
    if block.timestamp < pool.ends_at:
        pool.pending += shares
        self._save_pool(pool)
        record.settled.shares += shares
        record.settled.request = request
    else:
        self._incoming += shares
        request += 1
        record.late = Ticket(shares=record.late.shares + shares, since=pool.step + 1, request=request)
    self._save_record(controller, record)
    return request


@internal
def _advance(loaded: Pool, filled: uint256, paid: uint256, length: uint256) -> Pool:
    """
    @notice Fills the pool and opens the next epoch.
    @dev    A late ticket exists only while `_incoming` > 0, so the step it names is written here.
    @param filled [shares, WAD] <= pool.pending
    @param paid [quote, WAD] for them
    @param length [s] of the next epoch
    """
    pool: Pool = loaded
    incoming: uint256 = self._incoming
    if filled > 0 or incoming > 0:
        index: Index = self._load_index(pool.step)
        if filled > 0:
            index.assets += math._mul_div(index.product, paid, pool.pending, False)
            index.product = math._mul_div(index.product, pool.pending - filled, pool.pending, False)
            if index.product < PRODUCT_MIN:
                self._closing_products[index.generation] = index.product
                self._closing_assets[index.generation] = index.assets
                index = Index(product=PRODUCT_START, generation=index.generation + 1, assets=0)
        pool.step += 1
        self._index_products[pool.step] = index.product | (index.generation << PRODUCT_BITS)
        if index.assets > 0:
            self._index_assets[pool.step] = index.assets
    pool.pending = pool.pending - filled + incoming
    if incoming > 0:
        self._incoming = 0
    pool.epoch += 1
    # An epoch that should have ended long ago ends now, never before the last request that is in it.
    pool.ends_at = max(pool.ends_at + length, block.timestamp)
    self._save_pool(pool)
    return pool


@internal
@view
def _record(controller: address, pool: Pool) -> Record:
    """
    @notice What a controller's requests have become by now.
    """
    word: uint256 = self._records[controller].settled
    claim: uint256 = self._records[controller].claim
    record: Record = Record(
        settled=self._ticket(word),
        late=empty(Ticket),
        claim_shares=claim & U128,
        claim_assets=claim >> 128,
    )
    if word & HAS_LATE != 0:
        record.late = self._ticket(self._records[controller].late)
    record = self._settle(record, record.settled, pool.step)
    if record.late.request != 0 and record.late.request <= pool.epoch:
        # it has reached the pool: the older remainder, settled above, moves along with it
        rest: uint256 = record.settled.shares
        record = self._settle(record, record.late, pool.step)
        record.settled.shares += rest
        record.late = empty(Ticket)
    return record


@internal
@view
def _settle(record: Record, ticket: Ticket, step: uint256) -> Record:
    """
    @notice Reads a ticket off at the newest step; it becomes the settled one.
    """
    r: Record = record
    rest: uint256 = 0
    assets: uint256 = 0
    rest, assets = self._walk(ticket.shares, ticket.since, step)
    r.claim_shares += ticket.shares - rest
    r.claim_assets += assets
    r.settled = Ticket(shares=rest, since=step, request=ticket.request)
    return r


@internal
@view
def _walk(shares: uint256, since: uint256, step: uint256) -> (uint256, uint256):
    """
    @notice Shares left, and assets owed, of shares that came in at step `since`, by now.
    @dev    Whoever comes in at the start of a generation that ends by carry (last product < 1e18 of 1e54) leaves it with at
            most 1e-36 of its shares: 2^128 becomes 340, then 0. A ticket crosses at most one generation in part, hence three.
    """
    if shares == 0 or since >= step:
        return shares, 0
    start: Index = self._load_index(since)
    newest: uint256 = self._index_products[step]
    rest: uint256 = shares
    assets: uint256 = 0
    for i: uint256 in range(MAX_WALK):
        last: bool = start.generation == newest >> PRODUCT_BITS
        product: uint256 = 0
        total: uint256 = 0
        if last:
            product = newest & PRODUCT_MASK
            total = self._index_assets[step]
        else:
            product = self._closing_products[start.generation]
            total = self._closing_assets[start.generation]
        # within a generation assets only grow
        assets += math._mul_div(rest, unsafe_sub(total, start.assets), start.product, False)
        rest = math._mul_div(rest, product, start.product, False)
        if last or rest == 0:
            break
        start = Index(product=PRODUCT_START, generation=start.generation + 1, assets=0)
    return rest, assets


# ------------------------------------------------------------------ codecs


@internal
@view
def _load_pool() -> Pool:
    word: uint256 = self._pool
    return Pool(
        pending=word & U128,
        epoch=(word >> 128) & U32,
        ends_at=(word >> 160) & U32,
        step=word >> 192,
    )


@internal
def _save_pool(pool: Pool):
    assert pool.pending <= U128 and (pool.epoch | pool.ends_at | pool.step) <= U32  # dev: pool range
    self._pool = pool.pending | (pool.epoch << 128) | (pool.ends_at << 160) | (pool.step << 192)


@internal
@view
def _load_index(step: uint256) -> Index:
    word: uint256 = self._index_products[step]
    return Index(
        product=word & PRODUCT_MASK, generation=word >> PRODUCT_BITS, assets=self._index_assets[step]
    )


@internal
@pure
def _ticket(word: uint256) -> Ticket:
    return Ticket(shares=word & U128, since=(word >> 128) & U32, request=(word >> 160) & U32)


@internal
@pure
def _ticket_word(ticket: Ticket) -> uint256:
    assert ticket.shares <= U128    # dev: ticket range
    return ticket.shares | (ticket.since << 128) | (ticket.request << 160)


@internal
def _save_record(controller: address, record: Record):
    """
    @dev The id of a ticket is kept while anything can still be asked about it.
    """
    assert (record.claim_shares | record.claim_assets) <= U128  # dev: claim range
    claim: uint256 = record.claim_shares | (record.claim_assets << 128)
    word: uint256 = 0
    if record.settled.shares > 0 or claim > 0:
        word = self._ticket_word(record.settled)
    if record.late.request != 0:
        word |= HAS_LATE
        self._records[controller].late = self._ticket_word(record.late)
    self._records[controller].settled = word
    self._records[controller].claim = claim
