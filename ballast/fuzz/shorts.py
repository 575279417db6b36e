"""Exact twin of ``contracts/hedge/AaveShortVenue.vy``, over what Aave itself says and would do.

What the venue decides is in ``model/exact/aave.py``; here it happens in the contract's order. Aave's own arithmetic is
not mirrored: before the contract acts, the amounts that the twin has found are dealt with by the real Aave in the
venue's name, on a chain that is put back (``RevmChain.acting_as``). What comes of it must then come of the contract.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from ballast.chain import Contract, Reverted, RevmChain
from ballast.chain.aave import MAX_UINT, VARIABLE, Aave
from ballast.model.exact import aave
from ballast.model.exact.aave import ACTIVE, FROZEN, PAUSED
from ballast.model.exact.carry import Lending
from ballast.model.exact.fixed import WAD, require, sub_floor
from ballast.model.exact.fixed import Reverted as TwinReverted
from ballast.model.exact.hedge_manager import UNFILLED, Prices, Venue

NO_TERMS = cast(aave.Venue, None)  # both are always given: what is inherited has defaults
NO_PRICES = Prices(0, 0, 0)


@dataclass(frozen=True, slots=True)
class Standing:
    """What Aave says of a venue: token units, its words of the reserves, and the account, None without prices."""

    collateral: int
    debt: int
    reserve: int  # quote that Aave can pay out
    lendable: int  # base that Aave can lend
    quote_word: int
    base_word: int
    account: tuple[int, ...] | None  # collateral, debt, borrowable, threshold [bps], loan-to-value [bps], health [WAD]
    silence: str = ""  # why there is none


class Lender:
    """Aave, as one venue meets it."""

    def __init__(self, lender: Aave, venue: Contract, base: Contract, quote: Contract) -> None:
        self.aave, self.venue, self.base, self.quote = lender, venue, base, quote
        of_quote, of_base = lender.reserve(quote), lender.reserve(base)
        self._balances = [
            of_quote.a_token.tx("balanceOf", venue),
            of_base.debt.tx("balanceOf", venue),
            quote.tx("balanceOf", of_quote.a_token),
            base.tx("balanceOf", of_base.a_token),
            lender.pool.tx("getConfiguration", quote),
            lender.pool.tx("getConfiguration", base),
        ]
        self._account = lender.pool.tx("getUserAccountData", venue)
        self._seen: tuple[int, Standing] | None = None  # when [s], and what

    def forget(self) -> None:
        """Something may have happened."""
        self._seen = None

    def standing(self) -> Standing:
        """Now."""
        now = self.aave.chain.now
        if self._seen is None or self._seen[0] != now:
            self._seen = now, self._read()
        return self._seen[1]

    def _read(self) -> Standing:
        read = self.aave.chain.read
        collateral, debt, reserve, lendable, quote_word, base_word = (_number(read(tx)) for tx in self._balances)
        balances = collateral, debt, reserve, lendable, quote_word, base_word
        try:
            answer = read(self._account)
        except Reverted as error:
            return Standing(*balances, None, error.reason)
        return Standing(*balances, tuple(_number(answer[at : at + 32]) for at in range(0, len(answer), 32)))

    def indices(self) -> tuple[int, int]:
        """Of quote lent and base borrowed [ray]."""
        pool = self.aave.pool
        return (
            int(pool.call("getReserveNormalizedIncome", self.quote)),
            int(pool.call("getReserveNormalizedVariableDebt", self.base)),
        )

    # ---- what Aave would do

    def opened(self, supplied: int, lent: int) -> Standing:
        """After quote was supplied, if any, and base borrowed [token units]."""

        def act() -> None:
            if supplied != 0:
                self._pay("supply", self.quote, supplied, self.venue, 0)
            require(self._read().lendable >= lent, "venue: reserve is dry")
            self._send("borrow", self.base, lent, VARIABLE, 0, self.venue)

        return self._after(act)

    def closed(self, repaid: int, taken: int, spare: Callable[[Standing], int]) -> tuple[Standing, int]:
        """After base was repaid and quote withdrawn for the pool, and what `spare` says for home; and that."""
        home = 0

        def act() -> None:
            nonlocal home
            self._pay("repay", self.base, repaid, VARIABLE, self.venue)
            if taken != 0:
                require(self._read().reserve >= taken, "venue: reserve is dry")
                self._send("withdraw", self.quote, taken, self.aave.admin)
            home = self._free(spare)

        return self._after(act), home

    def freed(self, spare: Callable[[Standing], int]) -> tuple[Standing, int]:
        """After `spare` was withdrawn; and how much that was."""
        home = 0

        def act() -> None:
            nonlocal home
            home = self._free(spare)

        return self._after(act), home

    def ignored(self, asset: Contract) -> Standing:
        """After a token ceased to be collateral."""
        return self._after(lambda: self._send("setUserUseReserveAsCollateral", asset, False))

    def _free(self, spare: Callable[[Standing], int]) -> int:
        units = spare(self._read())
        if units != 0:
            self._send("withdraw", self.quote, units, self.aave.admin)
        return units

    def _after(self, act: Callable[[], None]) -> Standing:
        chain = self.aave.chain
        assert isinstance(chain, RevmChain)  # nobody can undo on a node
        with chain.acting_as(self.venue):
            try:
                act()
            except Reverted as error:
                raise TwinReverted(error.reason) from None
            return self._read()

    def _pay(self, fn: str, asset: Contract, amount: int, *more: Any) -> None:
        asset.send("mint", self.venue, amount)
        asset.send("approve", self.aave.pool, MAX_UINT, sender=self.venue)
        self._send(fn, asset, amount, *more)

    def _send(self, fn: str, *args: Any) -> None:
        self.aave.pool.send(fn, *args, sender=self.venue)


def _number(word: bytes) -> int:
    return int.from_bytes(word, "big")


NO_LENDER = cast(Lender, None)


@dataclass(slots=True)
class ShortVenue(Venue):
    """Quote and base held are the twin's to count, the rest is Aave's."""

    terms: aave.Venue = NO_TERMS
    lender: Lender = NO_LENDER
    told: Standing | None = None  # after a step that the contract has yet to make

    def standing(self) -> Standing:
        """What Aave says, or will say."""
        return self.told or self.lender.standing()

    def at_lender(self) -> aave.Position:
        """As the rules of the venue want it; values are 0 while Aave has no prices."""
        return self._position(self.standing())

    def _position(self, s: Standing) -> aave.Position:
        collateral_value, debt_value, _, threshold_bps, _, health = s.account or (0,) * 6
        return aave.Position(
            s.collateral, s.debt, self.quote_units, self.base_units, s.reserve, (s.quote_word >> 16) & 0xFFFF,
            collateral_value, debt_value, threshold_bps, health, self._stopped(s, PAUSED),
        )  # fmt: skip

    # ---- views

    def exposure(self) -> int:
        return aave.exposure(self.terms, self.at_lender())

    def equity(self, price: int) -> int:
        return aave.equity(self.terms, self.at_lender(), price)

    def strain(self) -> int:
        """None that anybody knows of while Aave has no prices."""
        return aave.strain(self.terms, self.at_lender()) if self.standing().account is not None else 0

    def lending(self) -> Lending:
        return aave.lending(self.terms, self.at_lender(), *self.lender.indices())

    def funding(self, size: int, limit_price: int) -> int:
        return aave.funding(self.terms, self.at_lender(), size, limit_price)

    # ---- steps

    def rebalance(self, size: int, limit_price: int, route: int) -> tuple[int, Prices]:
        if size > 0:
            home, prices = self._close(size // self.base_scale, limit_price, route, recalled=False)
        else:
            home, prices = 0, self._open(aave.opened(self.terms, size), limit_price, route)
        return home + self._quote_home(), prices

    def recall(self, units: int, limit_price: int, route: int) -> tuple[int, Prices]:
        p = self.at_lender()
        if p.debt == 0:
            prices = self.prices(route) if p.base != 0 else NO_PRICES  # which nobody asks for
            self.told, home = self.lender.freed(lambda s: self._spare(s, recalled=True))
        else:
            wanted = aave.recalled(self.terms, p, units, limit_price)
            home, prices = self._close(wanted, limit_price, route, recalled=True)
        return home + self._quote_home(), prices

    def drop_collateral(self, asset: Contract) -> None:
        """Anybody has Aave ignore a token that is not the venue's."""
        require(asset.address != self.lender.quote.address, "venue: quote is the collateral")
        before = self._health()
        self.told = self.lender.ignored(asset)
        least = min(self.terms.floor_health, before - before // 1_000)
        require(self._health() >= least, "venue: health below the floor")

    def _open(self, amount: int, limit_price: int, route: int) -> Prices:
        s = self.standing()
        require(not self._stopped(s, PAUSED | FROZEN), "venue: reserve stopped")
        worst = -(-amount * self.base_scale * limit_price // (WAD * self.quote_scale))
        brought, prices = self.outside.sell(amount, route)
        self.quote_units += brought
        lent = sub_floor(amount, self.base_units)
        self.base_units -= amount - lent
        if lent != 0:
            supplied = min(aave.lacking(self.terms, self.at_lender(), s.debt + lent, limit_price), self.quote_units)
            self.told = self.lender.opened(supplied, lent)
            self.quote_units -= supplied
        require(brought >= worst, UNFILLED)
        require(self._health() >= self.terms.floor_health, "venue: health below the floor")
        return prices

    def _close(self, wanted: int, limit_price: int, route: int, *, recalled: bool) -> tuple[int, Prices]:
        """Quote that Aave sends home, and prices afterwards."""
        s = self.standing()
        require(not self._stopped(s, PAUSED), "venue: reserve stopped")
        amount = aave.closed(self.at_lender(), wanted)
        spent, prices = self.outside.buy(amount, route)
        require(spent <= self.most(amount, limit_price), UNFILLED)
        repaid = min(self.base_units + amount, s.debt)
        self.base_units += amount - repaid
        paid = min(spent, self.quote_units)
        self.quote_units -= paid
        self.told, home = self.lender.closed(repaid, spent - paid, lambda s: self._spare(s, recalled=recalled))
        return home, prices

    def _quote_home(self) -> int:
        units, self.quote_units = self.quote_units, 0
        return units

    def _spare(self, s: Standing, *, recalled: bool) -> int:
        require(s.account is not None, s.silence)
        return aave.spare(self.terms, self._position(s), recalled=recalled)

    def _health(self) -> int:
        s = self.standing()
        require(s.account is not None, s.silence)
        assert s.account is not None
        return s.account[-1]

    @staticmethod
    def _stopped(s: Standing, bits: int) -> bool:
        return (s.quote_word | s.base_word) & bits != 0 or s.quote_word & s.base_word & ACTIVE == 0
