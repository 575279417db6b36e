"""Carries out what was decided: each action simulated first, one at a time, through the Outbox.

The simulation runs on the pending block where the node has one, so that an occasion that somebody else's transaction
is about to use up is left alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ballast.chain import Chain, Receipt, Reverted, Tx, address_of
from ballast.chain.rpc import NotIncluded, RpcChain, RpcError
from ballast.keeper.backstop import execution, liquidation
from ballast.keeper.journal import Journal
from ballast.keeper.observe import System
from ballast.keeper.outbox import FeePolicy, Outbox, Relay
from ballast.keeper.state import (
    Action,
    BringPrice,
    ClaimProfits,
    Clear,
    CloseAuction,
    Crystallise,
    Deleverage,
    ExecuteClose,
    Finalise,
    Liquidate,
    MeasureCarry,
    Nominate,
    OpenAuction,
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

CONFIRMATIONS = 3  # [blocks] on top of a receipt's that make it final
Ending = Literal["done", "failed", "refused", "used", "pending"]


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
        self,
        chain: Chain,
        system: System,
        sender: str,
        journal: Journal,
        fees: FeePolicy | None = None,
        relay: Relay | None = None,
        confirmations: int = CONFIRMATIONS,
    ) -> None:
        self.chain = chain
        self.system = system
        self.sender = address_of(sender)
        self.journal = journal
        self.fees = fees or FeePolicy()
        self.outbox: Outbox | None = None  # in process a transaction is included or refused at once
        if isinstance(chain, RpcChain):
            self.outbox = Outbox(chain, self.sender, journal, self.fees, relay, confirmations)
        journal.bind(f"chain {chain.chain_id}, vault {system.vault.address}, sender {self.sender}")

    def tx(self, action: Action) -> Tx:
        """The transaction that carries an action out."""
        s, sender = self.system, self.sender
        match action:
            case Rebalance():
                hedge = (action.venue, action.market, action.size_wad, action.limit_wad)
                if action.mandate is not None:
                    return s.mandates.tx("hedge", action.mandate, *hedge, sender=sender)
                return s.hedge_manager.tx("rebalance", *hedge, sender=sender)
            case OpenAuction():
                return s.auction.tx("open", sender=sender)
            case CloseAuction():
                return s.auction.tx("close", sender=sender)
            case MeasureCarry():
                return s.carry.tx("measure", action.market, sender=sender)
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
            case BringPrice():
                feed, data = self.chain.at("PythFeed", action.feed), list(action.data)
                if action.time is None:
                    return feed.tx("update", data, sender=sender, value=action.fee)
                return feed.tx("prove", action.time, data, sender=sender, value=action.fee)
            case SyncAll():
                return s.inventory.tx("sync_all", sender=sender)

    def simulate(self, action: Action) -> Reverted | None:
        """Why the action would fail now, if it would; or why it is not what was decided on."""
        tx = self.tx(action)
        try:
            answer = self._read(tx)
        except Reverted as error:
            return error
        if isinstance(action, Liquidate) and action.closing.taken:
            assert tx.function is not None
            if tx.function.decode(answer).reward / 1e18 < KEPT * action.closing.reward:
                return Reverted("keeper: taking it over pays less by now")
        if isinstance(action, BringPrice) and action.time is None:
            assert tx.function is not None
            if 0 < tx.function.decode(answer) < action.published_at:
                return Reverted("keeper: the price is older than its source says")
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
        if self.outbox is not None:
            return self.outbox.recover()
        for entry in self.journal.pending():
            self.journal.resolve(entry.id, "dropped", reason="the process ended before it was sent")
        return True

    # ---- internal

    def _read(self, tx: Tx) -> bytes:
        if isinstance(self.chain, RpcChain):
            try:
                return self.chain.read(tx, "pending")
            except RpcError:  # not every node makes a pending block
                pass
        return self.chain.read(tx)

    def _carry_out(self, action: Action) -> Result:
        if self.journal.is_used(action.key):
            return Result(action, "used")
        rests_until = self.journal.rests_until(action.key)
        if rests_until and self.chain.number + 1 < rests_until:
            return Result(action, "refused", f"keeper: it failed before, and rests until block {rests_until}")
        refusal = self.simulate(action)
        if refusal is not None:
            return Result(action, "refused", str(refusal))
        try:
            receipt = self._transact(action, self.tx(action))
        except (Reverted, RpcError) as error:
            return Result(action, "failed", str(error))
        except NotIncluded as error:
            return Result(action, "pending", error.tx_hash)
        if receipt is None:
            return Result(action, "used")
        if receipt.error is not None:
            return Result(action, "failed", str(receipt.error), receipt)
        return Result(action, "done", "", receipt)

    def _transact(self, action: Action, tx: Tx) -> Receipt | None:
        """The receipt; None when the occasion has been used."""
        if self.outbox is not None:
            return self.outbox.send(action, tx)
        assert tx.to is not None
        entry = self.journal.begin(action, tx.to, tx.data, 0, self.chain.number)
        if entry is None:
            return None
        try:
            receipt = self.chain.transact(tx)
        except Reverted as error:
            self.journal.resolve(entry, "failed", reason=str(error))
            raise
        self.journal.resolve(entry, "done", receipt, final=True)
        return receipt
