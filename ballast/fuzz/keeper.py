"""A keeper who means harm: every function that anybody may call, in any order within one block, with prices of pools
moved by borrowed money, gifts, and entries for the length of the block.

Done by the contracts and undone, as a what-if experiment. Two strangers, rich in both tokens and without positions, do
what they like; in the end they close what they have opened and move the pools back. What they own then, in tokens at
the oracle's price, may exceed what they had by the rewards of hedges, which phi bounds, and by what services are paid.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from ballast.chain import Contract, Receipt, Reverted, RevmChain
from ballast.chain.uniswap import Pool
from ballast.fuzz.invariants import DUST, bring_venues_to_the_oracle, demand
from ballast.fuzz.world import ACTORS, FEEDERS, MAX_UINT, TRADERS, World
from ballast.model.exact.fixed import MICRO, WAD
from ballast.model.exact.hedge import budget
from ballast.model.exact.option_book import LOT, expiry_of, market_of, pack
from ballast.model.exact.perps import NO_LIMIT
from ballast.model.exact.vault import VIRTUAL_ASSETS, VIRTUAL_SHARES

GANG = ("0x" + "bad1" * 10, "0x" + "bad2" * 10)
LOAN = 2**180  # [token units] of each token that each of them can lay hands on: nobody needs to be given more
MARGIN = 10**7  # [quote] of that in the ledger
EVERY = 8  # times that experiments are due, this one is made once


@dataclass(slots=True)
class Keeper:
    """The gang, and what it has done so far."""

    w: World
    rng: Random
    traded: Counter[tuple[str, int]] = field(default_factory=Counter)  # options by who and series [size]
    allowed: int = 0  # of gain: by rewards for hedges and for services [quote, WAD]
    hedges: int = 0
    did: list[str] = field(default_factory=list)

    def who(self) -> str:
        return self.rng.choice(GANG)

    def victim(self) -> str:
        return self.w.address(self.rng.choice(TRADERS))

    def market(self) -> int:
        return self.rng.randrange(len(self.w.feeds))

    def venue(self) -> int:
        return self.rng.randrange(len(self.w.manager.venues))

    def units(self) -> int:
        """Of quote, up to ten million."""
        return int(10 ** self.rng.uniform(-2, 7) * self.w.unit) or 1

    def size(self, market: int) -> int:
        """Of base, up to a tenth of what the vault could bear; often what would balance it [base, WAD]."""
        inventory, price = self.w.system.inventory, self.w.twin.oracle.last(market, self.w.now).price
        if self.rng.random() < 0.5:
            return -int(inventory.call("market", market).delta * 10 ** self.rng.uniform(-1.5, 0.2)) or WAD
        scale = max(self.w.inventory.book.capital * MICRO, WAD) * WAD // max(price, 1)
        return (int(scale * 10 ** self.rng.uniform(-4, -0.5)) or 1) * self.rng.choice((-1, 1))

    def hedge(self) -> tuple[int, int, int, int]:
        """Venue, market, size, limit."""
        venue = self.venue()
        size = self.size(self.w.manager.venues[venue].market)
        return venue, self.w.manager.venues[venue].market, size, NO_LIMIT if size > 0 else 0

    def board(self) -> tuple[int, int]:
        """Market and expiry of one that there is, if there is any."""
        keys = list(self.w.book.strikes)
        key = self.rng.choice(keys) if keys else 0
        return market_of(key), expiry_of(key)

    def orders(self) -> list[list[int]]:
        """One or two on a board."""
        keys = list(self.w.book.strikes)
        if not keys:
            return []
        key = self.rng.choice(keys)
        every = [pack(s.strike, i, key, put) for i, s in enumerate(self.w.book.strikes[key]) for put in (False, True)]
        chosen = sorted(self.rng.sample(every, min(self.rng.choice((1, 2)), len(every))))
        return [[series, LOT * int(10 ** self.rng.uniform(4, 8)) * self.rng.choice((-1, 1))] for series in chosen]


Args = list[Any]
Draw = Callable[[Keeper, str], Args]
SIGNED = (MAX_UINT, 27, b"\1" * 32, b"\1" * 32)


def _trade(k: Keeper, who: str) -> Args:
    market = k.market()
    size = k.size(market)
    return [market, size, NO_LIMIT if size > 0 else 0, MAX_UINT]


# Arguments of every public function (hostile.PUBLIC), given who calls. A test wants each there.
CALLS: dict[str, dict[str, Draw]] = {
    "Clearinghouse": {
        "deposit": lambda k, who: [k.units(), k.who()],
        "deposit_with_permit": lambda k, who: [k.units(), who, *SIGNED],
        "withdraw": lambda k, who: [k.units(), who, k.rng.choice((who, who, k.victim()))],
        "set_operator": lambda k, who: [k.who(), True],
        "collect_fees": lambda k, who: [],
        "fund_insurance": lambda k, who: [k.units() // 10**4 or 1],
        "absorb_donation": lambda k, who: [],
    },
    "Inventory": {"sync": lambda k, who: [k.market()], "sync_all": lambda k, who: []},
    "RebateAuction": {"open": lambda k, who: [], "close": lambda k, who: []},
    "PerpEngine": {"trade": _trade, "sync": lambda k, who: [k.market()]},
    "PriceOracle": {"sync": lambda k, who: [k.market()]},
    "HedgeManager": {
        "rebalance": lambda k, who: list(k.hedge()),
        "recall": lambda k, who: [k.venue(), k.units()],
        "unwind": lambda k, who: [k.venue(), k.rng.choice((MAX_UINT >> 1, abs(k.size(0))))],
        "poke": lambda k, who: [k.venue()],
    },
    "Mandates": {
        "hedge": lambda k, who: [k.rng.randrange(3), *k.hedge()],
        "revoke": lambda k, who: [k.rng.randrange(3)],
    },
    "Carry": {"measure": lambda k, who: [k.market()]},
    "VolSurface": {"post": lambda k, who: [(k.market(), k.w.now, 0, WAD, []), [b"\1" * 65] * len(FEEDERS)]},
    "OptionBook": {},
    "OptionEngine": {
        "trade": lambda k, who: [k.orders(), 2**127 - 1, MAX_UINT],
        "refresh": lambda k, who: [*k.board()],
        "settle": lambda k, who: [*k.board(), k.w.newest[0].round_id],
        "settle_accounts": lambda k, who: [*k.board(), [k.victim()]],
        "clear": lambda k, who: [*k.board()],
    },
    "Liquidator": {
        "liquidate": lambda k, who: [k.victim(), k.market(), 2**95, []],
        "liquidate_perp": lambda k, who: [k.victim(), k.market(), abs(k.size(0))],
        "liquidate_options": lambda k, who: [k.victim(), k.orders()],
        "take_perp": lambda k, who: [k.victim(), k.market(), abs(k.size(0))],
        "take_options": lambda k, who: [k.victim(), k.orders()],
    },
    "Deleverager": {
        "nominate": lambda k, who: [k.rng.choice((k.victim(), who)), k.market()],
        "deleverage": lambda k, who: [k.market()],
    },
    "CloseQueue": {
        "request_perp": lambda k, who: [k.market(), k.size(0)],
        "request_options": lambda k, who: [k.orders()],
        "cancel_perp": lambda k, who: [k.market()],
        "cancel_options": lambda k, who: [k.market()],
        "execute_perp": lambda k, who: [k.victim(), k.market()],
        "execute_options": lambda k, who: [k.victim(), k.market()],
    },
    "AaveShortVenue": {"drop_collateral": lambda k, who: [k.w.system.quote]},
    "GlobalSettlement": {
        "trigger": lambda k, who: [],
        "crystallise": lambda k, who: [[k.victim()]],
        "finalise": lambda k, who: [],
        "claim": lambda k, who: [[k.victim(), who]],
        "redeem": lambda k, who: [WAD, who],
        "pay_request": lambda k, who: [k.w.address(k.rng.choice(ACTORS))],
    },
    "Vault": {
        "deposit": lambda k, who: [k.units(), who],
        "deposit_at_least": lambda k, who: [k.units(), who, 0],
        "mint": lambda k, who: [int(10 ** k.rng.uniform(0, 6) * WAD), who],
        "requestRedeem": lambda k, who: [int(10 ** k.rng.uniform(0, 5) * WAD), who, who],
        "processEpoch": lambda k, who: [],
        "redeem": lambda k, who: [WAD, who, k.rng.choice((who, k.victim()))],
        "withdraw": lambda k, who: [k.units(), who, k.rng.choice((who, k.victim()))],
        "setOperator": lambda k, who: [k.who(), True],
        "transfer": lambda k, who: [k.who(), WAD],
        "transferFrom": lambda k, who: [k.w.address(k.rng.choice(ACTORS)), who, WAD],
        "approve": lambda k, who: [k.who(), MAX_UINT],
        "permit": lambda k, who: [k.victim(), who, MAX_UINT, *SIGNED],
    },
}  # fmt: skip
HEDGES = {("HedgeManager", "rebalance"), ("Mandates", "hedge")}
# What brings its caller a reward that is not for a fall of U, or closes at a price that bands allow.
SERVICES = {
    *(("Liquidator", fn) for fn in CALLS["Liquidator"]), *(("CloseQueue", fn) for fn in CALLS["CloseQueue"]),
    *(("HedgeManager", fn) for fn in ("recall", "unwind")), *(("OptionEngine", fn) for fn in ("refresh", "settle")),
    ("Deleverager", "deleverage"), ("OptionEngine", "clear"), ("OptionEngine", "settle_accounts"),
}  # fmt: skip
# Beside calls: a price moved, a gift, a hedge in the middle of a sandwich.
USUAL = (("HedgeManager", "rebalance"), ("PerpEngine", "trade"), ("OptionEngine", "trade"), ("Vault", "deposit"))


def i10_no_malicious_keeper_profits(w: World, rng: Random) -> None:
    """Whatever anybody may call, in any order in one block: a hedge lowers what LPs and the reserve own by at most phi
    times the fall of U that it caused, with the pool's price wherever its keeper has put it, and all calls together
    bring those who make them no more than that, but for services, whose price the checks of each know."""
    if not isinstance(w.chain, RevmChain) or rng.randrange(EVERY):
        return
    with w.chain.undone():
        k = Keeper(w, rng)
        _prepare(k)
        try:
            before = _fortune(k)
        except Reverted:  # nothing has a price
            return
        for _ in range(rng.randint(3, 12)):
            _act(k)
        if _leave(k):
            gain = _fortune(k) - before
            w.malice += 1 + k.hedges
            demand(
                gain <= k.allowed + DUST * len(k.did),
                "i10_no_malicious_keeper_profits",
                lambda: f"{gain} wei gained, {k.allowed} allowed: {', '.join(k.did)}",
            )


def _prepare(k: Keeper) -> None:
    """Venues are at the oracle, everything is up to date, and the gang has its loan."""
    w = k.w
    bring_venues_to_the_oracle(w)
    for market in range(len(w.feeds)):  # where the oracle is, whatever the feed says: pools pay nobody
        w.move_pools(market, _price(w, market))
    tokens = [w.system.quote, *(market.base for market in w.system.markets if market.base is not None)]
    router = w.system.uniswap.router if w.system.uniswap is not None else w.system.vault
    for who in GANG:
        for token in tokens:
            token.send("mint", who, LOAN)
            for spender in (w.system.vault, w.system.clearinghouse, router):
                token.send("approve", spender, MAX_UINT, sender=who)
        _tried(k, w.system.clearinghouse, "deposit", [MARGIN * w.unit, who], who)
    for venue in range(len(w.manager.venues)):  # what was given to venues before is not the gang's doing
        _tried(k, w.system.hedge_manager, "poke", [venue], GANG[0])
    _tried(k, w.system.inventory, "sync_all", [], GANG[0])


def _act(k: Keeper) -> None:
    """One move of a member: a sandwich, a gift, or a call."""
    kind = k.rng.random()
    if kind < 0.2:
        _move_a_pool(k)
    elif kind < 0.25:
        name, contract = k.rng.choice(list(k.w.contracts.items()))
        token = k.rng.choice([k.w.system.quote, *(each.base for each in k.w.system.markets if each.base is not None)])
        token.send("transfer", contract, k.units() // 100, sender=k.who())
        k.did.append(f"gift to {name}")
    elif kind < 0.65:
        _call(k, *k.rng.choice(USUAL))
    else:
        where = k.rng.choice([name for name, calls in CALLS.items() if calls])
        _call(k, where, k.rng.choice(list(CALLS[where])))


def _move_a_pool(k: Keeper) -> None:
    """By a swap of borrowed money, within what the bands let pass or far beyond; in between, a hedge if it is let."""
    market = k.market()
    pools, price = k.w.system.pools[market], _price(k.w, market)
    if price <= 0:
        return
    moved = int(price * (1 + k.rng.choice((-1, 1)) * 10 ** k.rng.uniform(-4.5, -1)))
    for pool in k.rng.sample(pools, k.rng.randint(1, len(pools))):
        _swap_to(k, pool, moved)
    if k.rng.random() < 0.6:
        _call(k, "HedgeManager", "rebalance")


def _swap_to(k: Keeper, pool: Pool, price: int) -> None:
    try:
        pool.arbitrage_to(price, trader=GANG[0])
        k.did.append(f"pool to {price / WAD:.6g}")
    except Reverted:
        return


def _call(k: Keeper, name: str, fn: str) -> None:
    """One function, judged at once if it is a hedge; the price of services is what they cost."""
    found = [contract for contract in k.w.contracts.values() if contract.artifact.name == name]
    if not found:
        return
    who, contract = k.who(), k.rng.choice(found)
    args = CALLS[name][fn](k, who)
    measured = (name, fn) in HEDGES or (name, fn) in SERVICES
    try:
        owned, rich = (_owned(k.w), _fortune(k)) if measured else (0, 0)
    except Reverted:
        return
    receipt = _tried(k, contract, fn, args, who)
    if receipt is None:
        return
    if (name, fn) == ("OptionEngine", "trade"):
        for series, size in args[0]:
            k.traded[who, series] += size
    if not measured:
        return
    try:
        lost, gained = owned - _owned(k.w), _fortune(k) - rich
    except Reverted:
        return
    if (name, fn) in HEDGES:
        k.hedges += 1
        most = budget(k.w.manager.rule.phi_bps, receipt.value.fall)
        k.allowed += most
        demand(
            lost <= most + DUST,
            "i10_no_malicious_keeper_profits",
            lambda: f"a hedge cost LPs {lost} wei, {most} allowed: {', '.join(k.did)}",
        )
    else:
        k.allowed += max(gained, 0) + max(lost, 0)


def _leave(k: Keeper) -> bool:
    """Close everything, move the pools back; False if something cannot be closed, or is not the gang's own."""
    w = k.w
    for who in GANG:
        for market in range(len(w.feeds)):
            size = w.system.perp_engine.call("position", who, market).size
            limit = 0 if size > 0 else NO_LIMIT
            if size and _tried(k, w.system.perp_engine, "trade", [market, -size, limit, MAX_UINT], who) is None:
                return False
        orders = [[series, -size] for (owner, series), size in sorted(k.traded.items()) if owner == who and size]
        boards = {series >> 64 for _, series in k.traded}
        for board in boards:
            some = [order for order in orders if order[0] >> 64 == board]
            if some and _tried(k, w.system.option_engine, "trade", [some, 2**127 - 1, MAX_UINT], who) is None:
                return False
        if w.system.clearinghouse.call("account", who)[1] != 0:
            return False
    for market, pools in enumerate(w.system.pools):
        for pool in pools:
            if (price := _price(w, market)) > 0:
                _swap_to(k, pool, price)
    return not w.system.clearinghouse.call("frozen")


def _price(w: World, market: int) -> int:
    """What the oracle has recorded."""
    return int(w.system.oracle.call("peek", market).price)


def _fortune(k: Keeper) -> int:
    """All tokens and cash of the gang, shares at the bid, base at the oracle's price [quote, WAD]; positions are closed
    when this is compared, so that health tells what they are worth meanwhile."""
    w, total = k.w, 0
    valuation = w.system.vault.call("valuation")
    for who in GANG:
        total += int(w.system.quote.call("balanceOf", who)) * w.scale + w.system.margin.call("health", who).equity
        waiting = w.system.vault.call("position", who)
        shares = w.system.vault.call("balanceOf", who) + waiting.pending + waiting.late
        worth = shares * (valuation.bid + VIRTUAL_ASSETS) // (valuation.supply + VIRTUAL_SHARES)
        total += worth + waiting.claimable_assets * w.scale
        for i, market in enumerate(w.system.markets):
            if market.base is not None:
                base_scale = 10 ** (18 - int(market.base.call("decimals")))
                total += int(market.base.call("balanceOf", who)) * base_scale * _price(w, i) // WAD
    return int(total)


def _owned(w: World) -> int:
    """By LPs and the reserve [quote, WAD]."""
    valuation, buckets = w.system.vault.call("valuation"), w.system.clearinghouse.call("buckets")
    return int(valuation.nav + buckets.reserve)


def _tried(k: Keeper, contract: Contract, fn: str, args: Args, who: str) -> Receipt | None:
    try:
        receipt = contract.send(fn, *args, sender=who)
    except Reverted:
        return None
    k.did.append(f"{contract.artifact.name}.{fn}{args}")
    return receipt
