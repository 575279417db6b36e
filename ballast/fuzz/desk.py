"""Twin of ``contracts/testing/OptionEngineDouble.vy``: who trades greeks with the vault, and what it holds of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from ballast.model.exact.fixed import BPS, mul_floor, require
from ballast.model.exact.inventory import Fall, Inventory
from ballast.model.exact.oracle import Mark
from ballast.model.exact.structs import Change, Exposure, Quote, Settlement
from ballast.model.exact.system import System as Twin

FEE_SHARE_BPS = 2_000
NO_EXPOSURE = Exposure()
NO_STRESS = (0,) * 8


@dataclass(frozen=True, slots=True)
class Held:
    """What the vault holds of the desk in one market."""

    exposure: Exposure = NO_EXPOSURE
    stress: tuple[int, ...] = NO_STRESS  # [STRESS_UNIT]
    settled_at: int = 0  # [quote/base, WAD]

    def after(self, change: Change, price: int) -> Held:
        """With one more change, settled at a price."""
        old, new = self.exposure, change.exposure
        added = change.stress if change.options else NO_STRESS
        return Held(
            Exposure(old.delta + new.delta, old.gamma + new.gamma, old.vega + new.vega),
            tuple(total + each for total, each in zip(self.stress, added, strict=True)),
            price,
        )

    def gain(self, price: int) -> int:
        """The vault's since it was last settled [quote, WAD]."""
        return mul_floor(self.exposure.delta, price - self.settled_at)

    def revalued(self, by: Callable[[], float]) -> Change:
        """What multiplies each greek and each scenario by a factor of its own."""
        x = self.exposure
        delta, gamma, vega = (int(each * (by() - 1)) for each in (x.delta, x.gamma, x.vega))
        stress = tuple(int(each * (by() - 1)) for each in self.stress)
        return Change(Exposure(delta, gamma, vega), options=True, stress=stress)

    def reversal(self, parts: int, whole: int) -> Change:
        """What takes `parts` of `whole` of it back, without a notional."""
        x = self.exposure
        delta, gamma, vega = (-each * parts // whole for each in (x.delta, x.gamma, x.vega))
        stress = tuple(-each * parts // whole for each in self.stress)
        return Change(Exposure(delta, gamma, vega), options=True, stress=stress)


@dataclass(slots=True)
class Desk:
    """Twin of the engine and of its account at the Clearinghouse, which is the other side of all its trades."""

    account: str
    held: dict[int, Held] = field(default_factory=dict)

    def fork(self) -> Desk:
        """An independent copy."""
        return Desk(self.account, dict(self.held))

    def of(self, market: int) -> Held:
        """What the vault holds of it in a market."""
        return self.held.get(market, Held())

    def trade(self, t: Twin, market: int, change: Change, now: int) -> Quote:
        """Report a change and settle it. All or nothing on forks, of this and of the system, only."""
        mark = self._mark(t, market, now)
        told = replace(change, book=-self.of(market).gain(mark.price))
        quote = t.inventory.trade(market, mark, told, now)
        fees = quote.half_spread * FEE_SHARE_BPS // BPS
        self._settle(t, market, mark, told, quote.half_spread + quote.charge, quote.charge - quote.release, fees)
        return quote

    def adjust(self, t: Twin, market: int, change: Change, now: int) -> Fall:
        """Report a change of what is held already, and settle what it has gained so far. On forks only, as `trade`."""
        mark = self._mark(t, market, now)
        told = replace(change, book=-self.of(market).gain(mark.price))
        assert isinstance(t.inventory, Inventory)
        fall = t.inventory.adjust(market, mark, told, now, hedges=False)
        self._settle(t, market, mark, told, 0, -fall.release, 0)
        return fall

    def _mark(self, t: Twin, market: int, now: int) -> Mark:
        mark = t.oracle.sync(market, now)
        require(mark.fresh, "oracle: stale price")
        return mark

    def _settle(self, t: Twin, market: int, mark: Mark, told: Change, cost: int, reserve: int, fees: int) -> None:
        self.held[market] = self.of(market).after(told, mark.price)
        paid = cost - told.book
        require(t.clearinghouse.account(self.account)[0] >= paid, "double: desk is out of cash")
        t.clearinghouse.settle(self.account, Settlement(cash=-paid, reserve=reserve, fees=fees), by_engine=True)
