"""What limits risk, as the contracts say it: what a guardian may tighten, and all else, which he may not touch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ballast.plan import levers

if TYPE_CHECKING:
    from ballast.fuzz.world import World

CAPS = {"cap_base", "cap_series", "cap_expiry", "cap_market"}  # that no lever moves, but `lower_caps` does


@dataclass(frozen=True, slots=True)
class Limits:
    """Parameters and switches of the whole system at one time."""

    caps: tuple[int, ...]  # of markets [WAD]: may fall
    pauses: tuple[bool, ...]  # of markets, deposits and venues: may be set
    levers: tuple[int, ...]  # of the Steward, tighter where larger: may rise
    rest: tuple[Any, ...]  # may not change
    funds: tuple[Any, ...]  # buckets of the ledger: may not move

    @classmethod
    def of(cls, w: World) -> Limits:
        """Read from the contracts."""
        system, markets, venues = w.system, range(len(w.feeds)), range(len(w.manager.venues))
        configs = [system.perp_engine.call("config", market) for market in markets]
        listings = [system.hedge_manager.call("venue", venue) for venue in venues]
        tight: list[int] = []
        rest: list[Any] = []
        for i, each in enumerate(levers(w.config)):
            for word, value in enumerate(system.steward.call("values", i)):
                lever = each.by_word.get(word)
                if lever is not None and lever.tightening:
                    tight.append(value * lever.tightening)
                elif each.surface.words[word].kind == "parameter" and each.surface.words[word].name not in CAPS:
                    rest.append(value)
        return cls(
            caps=tuple(config.params.cap_base for config in configs),
            pauses=(
                *(config.paused for config in configs),
                *(listing.paused for listing in listings),
                system.vault.call("deposits_paused"),
            ),
            levers=tuple(tight),
            rest=(
                *rest,
                *((listing.venue, listing.market, listing.retired) for listing in listings),
                *(tuple(system.hedge_manager.call("venue_params", venue)) for venue in venues),
                *(tuple(system.oracle.call("config", market)) for market in markets),
                system.clearinghouse.call("margin"),
                *(tuple(sorted((who, int(held)) for who, held in table.held.items())) for table in w.roles.values()),
            ),
            funds=tuple(system.clearinghouse.call("buckets")),
        )

    def looser(self, before: Limits) -> list[str]:
        """What is not as tight as before, or not as it was."""
        found = []
        if any(new > old for new, old in zip(self.caps, before.caps, strict=True)):
            found.append(f"caps {before.caps} -> {self.caps}")
        if any(old and not new for new, old in zip(self.pauses, before.pauses, strict=True)):
            found.append(f"pauses {before.pauses} -> {self.pauses}")
        if any(new < old for new, old in zip(self.levers, before.levers, strict=True)):
            found.append(f"levers {before.levers} -> {self.levers}")
        found += [f"{old} -> {new}" for new, old in zip(self.rest, before.rest, strict=True) if new != old]
        if self.funds != before.funds:
            found.append(f"buckets {before.funds} -> {self.funds}")
        return found
