"""Integer twin of ``contracts/hedge/Mandates.vy``: registered hedgers.

Not mirrored: roles, events and the packing of words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from ballast.model.exact.fixed import MICRO, WAD, YEAR, require
from ballast.model.exact.hedge import MAX_ETA_BPS, Outcome, VenueState

MAX_TERM = YEAR
MASK_64 = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Mandate:
    """IMandates.Mandate: amounts in [quote, MICRO]."""

    agent: str | None = None
    venues: int = 0
    share_bps: int = 0
    expiry: int = 0
    size: int = 0
    volume: int = 0
    hedges: int = 0
    cost: int = 0
    fall: int = 0
    reward: int = 0


class Venue(Protocol):
    """What Mandates asks of a venue."""

    @property
    def state(self) -> VenueState: ...


class HedgeManager(Protocol):
    """What Mandates asks of HedgeManager."""

    @property
    def venues(self) -> Sequence[Venue]: ...
    def rebalance_for(
        self, agent: str, eta_bps: int, venue_id: int, market: int, size: int, limit_price: int, now: int
    ) -> Outcome: ...


@dataclass(slots=True)
class Mandates:
    """Twin of ``Mandates.vy``. ``now`` is the block's time; an id that does not exist is an empty mandate."""

    hedge_manager: HedgeManager
    granted: list[Mandate] = field(default_factory=list)

    def hedge(
        self, agent: str, mandate_id: int, venue_id: int, market: int, size: int, limit_price: int, now: int
    ) -> Outcome:
        """``HedgeManager.rebalance`` at the mandate's share."""
        mandate = self.mandate(mandate_id)
        require(agent == mandate.agent, "mandates: not the agent")
        require(now < mandate.expiry, "mandates: over")
        require(mandate.venues >> venue_id & 1 == 1, "mandates: venue not granted")
        outcome = self.hedge_manager.rebalance_for(agent, mandate.share_bps, venue_id, market, size, limit_price, now)
        price = self.hedge_manager.venues[venue_id].state.price
        volume = -(-abs(outcome.filled) * price // (WAD * MICRO))
        require(mandate.volume + volume <= mandate.size, "mandates: size spent")
        self.granted[mandate_id] = replace(
            mandate,
            volume=mandate.volume + volume,
            hedges=mandate.hedges + 1,
            cost=mandate.cost + outcome.cost // MICRO,
            fall=mandate.fall + outcome.fall // MICRO,
            reward=mandate.reward + (outcome.reward + outcome.gas) // MICRO,
        )
        return outcome

    def revoke(self, mandate_id: int, now: int) -> None:
        """End a mandate now."""
        mandate = self.mandate(mandate_id)
        require(now < mandate.expiry, "mandates: over")
        self.granted[mandate_id] = replace(mandate, expiry=now)

    def grant(self, agent: str | None, venues: int, size: int, expiry: int, share_bps: int, now: int) -> int:
        """Register a hedger; the mandate's id. None is the zero address."""
        require(agent is not None, "mandates: no agent")
        require(venues != 0 and venues >> len(self.hedge_manager.venues) == 0, "mandates: no such venue")
        require(0 < size <= MASK_64, "mandates: size range")
        require(now < expiry <= now + MAX_TERM, "mandates: expiry range")
        require(share_bps <= MAX_ETA_BPS, "mandates: share range")
        self.granted.append(Mandate(agent, venues, share_bps, expiry, size))
        return len(self.granted) - 1

    def mandate(self, mandate_id: int) -> Mandate:
        """Terms and counters."""
        return self.granted[mandate_id] if mandate_id < len(self.granted) else Mandate()
