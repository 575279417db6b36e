"""Gets one transaction at a time into the chain, and knows afterwards what became of it.

It owns the sender's nonces. Each attempt is in the journal, with its hash where the key is ours, before it is sent.
Nothing new is sent while an earlier attempt is undecided, so the journal always knows what the next nonce is for:

- an attempt is decided by the transaction that used its nonce, found by its hashes, else by looking through the blocks;
- what is stuck is replaced at a higher fee, within `FeePolicy`; by a transfer of nothing once it would fail;
- what neither the chain nor the pool knows any more is dropped, and decided on anew by whoever decides;
- what is included may leave the chain again until its block is `confirmations` deep, and is then undecided again.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import requests
import structlog

from ballast.chain import Receipt, Reverted, Tx, address_of
from ballast.chain.rpc import JsonRpc, NotIncluded, RpcChain, RpcError
from ballast.keeper.journal import UNDER_WAY, Entry, Journal, Offer
from ballast.keeper.observe import OVERLAP
from ballast.keeper.state import Action

log = structlog.get_logger(__name__)

LEAST_BUMP = 1.1  # nodes take no replacement that offers less than that much more
TRANSFER_GAS = 21_000


@dataclass(frozen=True, slots=True)
class FeePolicy:
    """How much inclusion may cost."""

    cap: int = 500 * 10**9  # [wei per gas] never offered more
    bump: float = 1.25
    bumps: int = 4
    patience: float = 20.0  # [s] before each bump

    @property
    def stuck_after(self) -> float:
        """[s] from the first offer until all that may be done has been done."""
        return self.patience * (self.bumps + 1)


@dataclass(frozen=True, slots=True)
class Relay:
    """An endpoint that keeps transactions to itself, or to block builders, until they are included."""

    rpc: JsonRpc
    blocks: int = 3  # after so many without inclusion the public node gets it


@dataclass(frozen=True, slots=True)
class _Look:
    """What a node knows of an attempt."""

    included: str | None  # which of its transactions
    in_pool: bool  # one of them, or one with its nonce
    used: bool  # its nonce, by whatever transaction
    next: bool  # its nonce is the account's next


class Outbox:
    """Sends for one account of a node.

    `confirmations` [blocks] on top of a receipt's make it final.
    """

    def __init__(
        self,
        chain: RpcChain,
        sender: str,
        journal: Journal,
        fees: FeePolicy,
        relay: Relay | None,
        confirmations: int,
    ) -> None:
        self.chain = chain
        self.sender = sender
        self.journal = journal
        self.fees = fees
        self.relay = relay
        self.confirmations = confirmations

    def send(self, action: Action, tx: Tx) -> Receipt | None:
        """Carry an action out; the receipt, or None when its occasion has been used.

        Raises Reverted or RpcError when it was refused at the door, NotIncluded when it is under way.
        """
        assert tx.to is not None
        number, count = self.chain.request_many(
            [("eth_blockNumber", ()), ("eth_getTransactionCount", (self.sender, "latest"))]
        )
        begun, nonce = int(number, 16), int(count, 16)
        self._credit(nonce - 1)
        entry = self.journal.begin(action, tx.to, tx.data, nonce, begun)
        if entry is None:
            return None
        attempt = self.journal.at(nonce)[0]
        try:
            tx_hash = self._offer(attempt, tx)
        except (Reverted, RpcError) as error:
            attempt = self.journal.at(nonce)[0]  # with its hash
            if isinstance(error, RpcError) and not self._is_gone(attempt, begun):
                raise NotIncluded(attempt.hashes[-1] if attempt.hashes else "") from error
            self.journal.resolve(entry, "dropped", reason=str(error))
            raise
        receipt = self.chain.wait(tx_hash, tx, self.fees.patience)
        self._settle(attempt, receipt, tx)
        return receipt

    def recover(self) -> bool:
        """Decide what became of earlier attempts; False while one is under way."""
        head = self.chain.number
        self._review(head)
        entries = self.journal.pending()
        while entries and self._is_gone(entries[-1], head):
            self.journal.resolve(entries.pop().id, "dropped", reason="neither the chain nor the pool knows it")
        return all(self._decide(entry, head) for entry in entries)

    # ---- internal

    def _review(self, head: int) -> None:
        """Look again at what was included: in the same block, in another, or nowhere."""
        shallow = self.journal.shallow()
        if not shallow:
            return
        receipts = self.chain.request_many([("eth_getTransactionReceipt", (entry.tx_hash,)) for entry in shallow])
        for entry, receipt in zip(shallow, receipts, strict=True):
            assert entry.tx_hash is not None
            assert entry.block is not None
            if receipt is None:
                log.warning("left the chain", key=entry.key, tx=entry.tx_hash, block=entry.block)
                self.journal.reopen(entry.id)
            elif receipt["blockHash"] != entry.block_hash:
                self._settle_by(entry, entry.tx_hash)
            elif head - entry.block >= self.confirmations:
                self.journal.finalise(entry.id)

    def _credit(self, nonce: int) -> None:
        """What was given up may have been included after all, from a pool that kept it: used nonces say so."""
        while (attempts := self.journal.at(nonce)) and all(attempt.tx_hash is None for attempt in attempts):
            found = self.chain.find(self.sender, nonce, max(0, attempts[-1].begun - OVERLAP))
            if found is None or not self._settle_by(attempts[0], found):
                break
            nonce -= 1

    def _is_gone(self, entry: Entry, head: int) -> bool:
        """Whether an attempt can be forgotten: neither the chain nor the pool knows of it, nor may the relay.

        What only the relay had, and has not brought into a block, goes to the node's pool unless it would fail now.
        """
        look = self._look(entry)
        if look.included or look.in_pool or look.used or self._is_private(entry, head):
            return False
        return not entry.offer.private or self._refusal(entry) is not None

    def _refusal(self, entry: Entry) -> str | None:
        """Why it would fail on the newest block. Not on the pending one: it may be in that itself."""
        try:
            self.chain.read(Tx(entry.target, entry.data, self.sender))
        except Reverted as error:
            return str(error)
        return None

    def _is_private(self, entry: Entry, head: int) -> bool:
        return self.relay is not None and head < entry.begun + self.relay.blocks

    def _look(self, entry: Entry) -> _Look:
        hashes = entry.hashes
        calls: list[tuple[str, Any]] = [("eth_getTransactionReceipt", (tx_hash,)) for tx_hash in hashes]
        calls += [("eth_getTransactionByHash", (tx_hash,)) for tx_hash in hashes]
        calls += [("eth_getTransactionCount", (self.sender, tag)) for tag in ("latest", "pending")]
        answers = self.chain.request_many(calls)
        latest, pending = (int(answer, 16) for answer in answers[-2:])
        included = next((tx_hash for tx_hash, receipt in zip(hashes, answers, strict=False) if receipt), None)
        known = any(answers[len(hashes) : -2])
        return _Look(included, known or latest <= entry.nonce < pending, latest > entry.nonce, latest == entry.nonce)

    def _decide(self, entry: Entry, head: int) -> bool:
        """Settle an attempt if its nonce is used, else see that it will be; False while it is not."""
        look = self._look(entry)
        found = look.included
        if found is None and look.used:
            found = self.chain.find(self.sender, entry.nonce, max(0, entry.begun - OVERLAP))
        if found is not None or look.used:
            return found is not None and self._settle_by(entry, found)
        waits = look.in_pool and time.time() - entry.updated_at < self.fees.patience
        if waits or not look.next or self._is_private(entry, head):
            return False
        tx, offer = Tx(entry.target, entry.data, self.sender, gas=entry.offer.gas or None), entry.offer
        if entry.outcome != "cancelling" and (refusal := self._refusal(entry)) is not None:
            self.journal.cancel(entry.id, refusal)
            entry, offer = replace(entry, outcome="cancelling"), replace(offer, bumps=0)
        if entry.outcome == "cancelling":
            tx = Tx(self.sender, b"", self.sender, gas=TRANSFER_GAS)
        if not look.in_pool or offer.bumps < self.fees.bumps:
            try:
                self._offer(entry, tx, offer, replaces=look.in_pool)
            except (Reverted, RpcError) as error:
                # a twin may be in a block by now; else the next look tries again
                log.info("not replaced", key=entry.key, reason=str(error))
        return False

    def _offer(self, entry: Entry, tx: Tx, earlier: Offer | None = None, *, replaces: bool = False) -> str:
        """Send with the attempt's nonce, at a higher fee than what it replaces; returns the hash, "" if it cannot."""
        max_fee, tip = self.chain.fees()
        earlier = earlier or Offer()
        if replaces:
            max_fee = int(max(max_fee, earlier.max_fee) * self.fees.bump) + 1
            tip = int(max(tip, earlier.tip) * self.fees.bump) + 1
        max_fee = min(max_fee, self.fees.cap)
        if replaces and max_fee < LEAST_BUMP * earlier.max_fee:
            return ""
        prepared = self.chain.prepare(
            Tx(tx.to, tx.data, tx.sender, tx.value, tx.function, tx.gas, entry.nonce, max_fee, min(tip, max_fee))
        )
        private = self._is_private(entry, self.chain.number)
        offer = Offer(int(prepared.fields["gas"], 16), max_fee, min(tip, max_fee), earlier.bumps + replaces, private)
        if prepared.hash is not None:
            self.journal.sent(entry.id, prepared.hash, offer)
        try:
            endpoint = self.relay.rpc if self.relay is not None and private else self.chain
            tx_hash = endpoint.send(prepared)
        except (requests.RequestException, RpcError) as error:
            if not private:
                raise
            log.warning("the relay did not take it", key=entry.key, error=str(error))
            # without a hash nothing can be waited for
            tx_hash = prepared.hash or self.chain.send(prepared)
        if prepared.hash is None:
            self.journal.sent(entry.id, tx_hash, offer)
        return tx_hash

    def _settle_by(self, entry: Entry, tx_hash: str) -> bool:
        """`_settle` by what the chain has included under a hash; False when it is gone again."""
        found = self.chain.request("eth_getTransactionByHash", tx_hash)
        if found is None or found["to"] is None:
            return False
        tx = Tx(address_of(found["to"]), bytes.fromhex(found["input"][2:]), self.sender)
        try:
            receipt = self.chain.wait(tx_hash, tx, 0.0)
        except NotIncluded:
            return False
        self._settle(entry, receipt, tx)
        return True

    def _settle(self, entry: Entry, receipt: Receipt, tx: Tx) -> None:
        """A transaction has used the attempt's nonce: of all that had it, the one that it carries out has ended."""
        attempts = self.journal.at(entry.nonce)
        winner = next((a for a in attempts if (a.target, a.data) == (tx.to, tx.data)), None)
        with self.journal.transaction():
            for attempt in attempts:
                if attempt == winner:
                    reason = None if receipt.error is None else str(receipt.error)
                    self.journal.resolve(attempt.id, "done" if receipt.status else "failed", receipt, reason=reason)
                elif attempt.outcome in UNDER_WAY or attempt.id == entry.id:
                    reason = attempt.reason or "another transaction used its nonce"
                    self.journal.resolve(attempt.id, "dropped", receipt, reason=reason)
