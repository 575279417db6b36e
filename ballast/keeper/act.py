"""Sends what was decided: simulated first, one at a time, one owner of the nonce, fees raised within bounds.

Nothing new is sent while an earlier transaction is undecided, so the journal always knows what the next nonce is for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ballast.chain import Chain, Receipt, Reverted, Tx, address_of
from ballast.chain.rpc import NotIncluded, RpcChain, RpcError
from ballast.keeper.backstop import execution, liquidation
from ballast.keeper.journal import Entry, Journal
from ballast.keeper.observe import System
from ballast.keeper.state import (
    Action,
    ClaimProfits,
    Clear,
    Crystallise,
    Deleverage,
    ExecuteClose,
    Finalise,
    Liquidate,
    Nominate,
    Poke,
    ProcessEpoch,
    Rebalance,
    Recall,
    Refresh,
    Settle,
    SettleAccounts,
    SyncAll,
    Trigger,
    Unwind,
)

KEPT = 0.9  # [fraction of the reward expected] for which a position is still taken over

Ending = Literal["done", "failed", "refused", "used", "pending"]


@dataclass(frozen=True, slots=True)
class FeePolicy:
    """How much inclusion may cost."""

    cap: int = 500 * 10**9  # [wei per gas] never offered more
    bump: float = 1.25  # nodes want at least 1.1 to replace a transaction
    bumps: int = 4
    patience: float = 20.0  # [s] before each bump


@dataclass(frozen=True, slots=True)
class Result:
    """What became of an action."""

    action: Action
    ending: Ending  # refused: the simulation failed; used: its occasion is in the journal; pending: not included yet
    reason: str = ""
    receipt: Receipt | None = None


class Actor:
    """Executes actions for one sender."""

    def __init__(
        self, chain: Chain, system: System, sender: str, journal: Journal, fees: FeePolicy | None = None
    ) -> None:
        self.chain = chain
        self.system = system
        self.sender = address_of(sender)
        self.journal = journal
        self.fees = fees or FeePolicy()
        journal.bind(f"chain {chain.chain_id}, vault {system.vault.address}, sender {self.sender}")

    def tx(self, action: Action) -> Tx:
        """The transaction that carries an action out."""
        s, sender = self.system, self.sender
        match action:
            case Rebalance():
                return s.hedge_manager.tx(
                    "rebalance", action.venue, action.market, action.size_wad, action.limit_wad, sender=sender
                )
            case Poke():
                return s.hedge_manager.tx("poke", action.venue, sender=sender)
            case Recall():
                return s.hedge_manager.tx("recall", action.venue, action.units, sender=sender)
            case Unwind():
                return s.hedge_manager.tx("unwind", action.venue, action.most_wad, sender=sender)
            case Liquidate():
                return liquidation(s, action.account, action.closing, sender)
            case Nominate():
                return s.deleverager.tx("nominate", action.account, action.market, sender=sender)
            case Deleverage():
                return s.deleverager.tx("deleverage", action.market, sender=sender)
            case ExecuteClose():
                return execution(s, action, sender)
            case Trigger() | Finalise():
                return s.global_settlement.tx(action.kind, sender=sender)
            case Crystallise() | ClaimProfits():
                return s.global_settlement.tx(action.kind, list(action.accounts), sender=sender)
            case Refresh():
                return s.option_engine.tx("refresh", action.market, action.expiry, sender=sender)
            case Settle():
                return s.option_engine.tx("settle", action.market, action.expiry, action.round_id, sender=sender)
            case SettleAccounts():
                accounts = list(action.accounts)
                return s.option_engine.tx("settle_accounts", action.market, action.expiry, accounts, sender=sender)
            case Clear():
                return s.option_engine.tx("clear", action.market, action.expiry, sender=sender)
            case ProcessEpoch():
                return s.vault.tx("processEpoch", sender=sender)
            case SyncAll():
                return s.inventory.tx("sync_all", sender=sender)

    def simulate(self, action: Action) -> Reverted | None:
        """Why the action would fail now, if it would; or why it is not what was decided on."""
        tx = self.tx(action)
        try:
            answer = self.chain.read(tx)
        except Reverted as error:
            return error
        if isinstance(action, Liquidate) and action.closing.taken:
            assert tx.function is not None
            if tx.function.decode(answer).reward / 1e18 < KEPT * action.closing.reward:
                return Reverted("keeper: taking it over pays less by now")
        return None

    def act(self, actions: list[Action]) -> list[Result]:
        """Carry actions out in order; stops at one that stays pending."""
        if not self.recover():
            return [Result(action, "pending", "an earlier transaction is undecided") for action in actions]
        results: list[Result] = []
        for action in actions:
            results.append(self._carry_out(action))
            if results[-1].ending == "pending":
                break
        return results

    def recover(self) -> bool:
        """Decide what became of attempts of unknown outcome; False while one is still in the pool."""
        decided = [self._recover(entry) for entry in self.journal.pending()]
        return all(decided)

    # ---- internal

    def _carry_out(self, action: Action) -> Result:
        if self.journal.is_used(action.key):
            return Result(action, "used")
        refusal = self.simulate(action)
        if refusal is not None:
            return Result(action, "refused", str(refusal))
        tx = self.tx(action)
        assert tx.to is not None
        chain = self.chain
        nonce = chain.nonce(self.sender, "latest") if isinstance(chain, RpcChain) else 0
        entry = self.journal.begin(action, tx.to, tx.data, nonce)
        if entry is None:
            return Result(action, "used")
        try:
            receipt = self._send(chain, tx, nonce, entry) if isinstance(chain, RpcChain) else chain.transact(tx)
        except Reverted as error:
            self.journal.resolve(entry, "failed", reason=str(error))
            return Result(action, "failed", str(error))
        except RpcError as error:
            # refused at the door: nothing is in the pool
            self.journal.resolve(entry, "dropped", reason=str(error))
            return Result(action, "failed", str(error))
        except NotIncluded as error:
            return Result(action, "pending", error.tx_hash)
        self._close(entry, receipt)
        if receipt.error is not None:
            return Result(action, "failed", str(receipt.error), receipt)
        return Result(action, "done", "", receipt)

    def _send(self, chain: RpcChain, tx: Tx, nonce: int, entry: int, earlier: tuple[str, ...] = ()) -> Receipt:
        """Submit, wait, and replace with a higher fee while it is not included."""
        max_fee, tip = chain.fees()
        if earlier:  # a replacement from the start
            max_fee, tip = self._bumped(max_fee), self._bumped(tip)
        hashes = list(earlier)
        for attempt in range(self.fees.bumps + 1):
            if attempt:
                max_fee, tip = self._bumped(max_fee), self._bumped(tip)
            offer = min(max_fee, self.fees.cap)
            try:
                tx_hash = chain.submit(
                    Tx(tx.to, tx.data, tx.sender, tx.value, tx.function, tx.gas, nonce, offer, min(tip, offer))
                )
            except RpcError:
                # a mined twin makes the nonce too low; an offer at the cap cannot replace itself
                if not hashes:
                    raise
            else:
                hashes.append(tx_hash)
                self.journal.sent(entry, tx_hash)
            receipt = self._await(chain, tx, hashes)
            if receipt is not None:
                return receipt
        raise NotIncluded(hashes[-1])

    def _bumped(self, fee: int) -> int:
        return int(fee * self.fees.bump) + 1

    def _await(self, chain: RpcChain, tx: Tx, hashes: list[str]) -> Receipt | None:
        """The receipt of whichever of several transactions with one nonce was included."""
        try:
            return chain.wait(hashes[-1], tx, self.fees.patience)
        except NotIncluded:
            pass
        for tx_hash in reversed(hashes[:-1]):
            if chain.request("eth_getTransactionReceipt", tx_hash) is not None:
                return chain.wait(tx_hash, tx, self.fees.patience)
        return None

    def _recover(self, entry: Entry) -> bool:
        chain = self.chain
        if not isinstance(chain, RpcChain):
            self.journal.resolve(entry.id, "dropped", reason="the process ended before it was sent")
            return True
        tx = Tx(entry.target, entry.data, self.sender)
        for tx_hash in entry.hashes:
            if chain.request("eth_getTransactionReceipt", tx_hash) is not None:
                self._close(entry.id, chain.wait(tx_hash, tx))
                return True
        if chain.nonce(self.sender, "latest") > entry.nonce:
            # mined, under a hash that was never written down
            self.journal.resolve(entry.id, "done", reason="nonce used; hash unknown")
            return True
        if not entry.hashes and chain.nonce(self.sender, "pending") <= entry.nonce:
            self.journal.resolve(entry.id, "dropped", reason="never reached the node")
            return True
        try:
            receipt = self._send(chain, tx, entry.nonce, entry.id, entry.hashes or ("0x" + "00" * 32,))
        except NotIncluded:
            return False
        except (Reverted, RpcError) as error:
            # it would fail now, so it need not be pushed; the nonce decides later
            self.journal.resolve(entry.id, "dropped", reason=str(error))
            return chain.nonce(self.sender, "pending") <= entry.nonce
        self._close(entry.id, receipt)
        return True

    def _close(self, entry: int, receipt: Receipt) -> None:
        self.journal.resolve(
            entry,
            "done" if receipt.status else "failed",
            block=receipt.block_number,
            gas_used=receipt.gas_used,
            reason=None if receipt.error is None else str(receipt.error),
        )
