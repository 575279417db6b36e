"""Ballast on a chain: a handle for every contract, and the one function that puts a whole system on a test chain.

`System` is what scripts and keepers work with. `Sandbox` is a System whose token, feeds and pools are ours to move;
tests and simulations get theirs from `deploy_system`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ballast.chain import Chain, Contract, Receipt, address_of
from ballast.chain.pyth import Pyth
from ballast.chain.uniswap import MAX_UINT, Pool, Uniswap
from ballast.config import Config, PythFeed, scaled
from ballast.config import load as load_config
from ballast.model.exact.fixed import WAD
from ballast.plan import Deploy, Deployed, Plan, venue_key

NO_LIMIT = 2**256 - 1
Amount = int | float | str | Decimal


def wad(amount: Amount) -> int:
    """An amount in whole units, exactly, as WAD."""
    return scaled(Decimal(str(amount)), WAD)


@dataclass(frozen=True, slots=True)
class Market:
    """One underlying; `id` is the same in every contract."""

    id: int
    name: str
    feed: Contract
    base: Contract | None
    venues: tuple[Contract, ...]
    venue_ids: tuple[int, ...]


@dataclass(frozen=True)
class System:
    """A deployed Ballast."""

    chain: Chain
    config: Config
    setup: str
    quote: Contract
    oracle: Contract
    clearinghouse: Contract
    auction: Contract
    inventory: Contract
    perp_engine: Contract
    surface: Contract
    pricer: Contract
    option_book: Contract
    option_engine: Contract
    margin: Contract
    hedge_manager: Contract
    mandates: Contract
    carry: Contract
    vault: Contract
    liquidator: Contract
    deleverager: Contract
    close_queue: Contract
    global_settlement: Contract
    lens: Contract
    steward: Contract
    timelock: Contract | None  # admin of every contract, where LPs govern
    voting: Contract | None  # Governor, where they do
    markets: tuple[Market, ...]
    addresses: Mapping[str, str]

    @property
    def governor(self) -> str:
        """The admin of every contract: an address, or the timelock."""
        return str(self.config.governor) if self.timelock is None else self.timelock.address

    @property
    def guardian(self) -> str | None:
        return self.config.guardian

    @property
    def decimals(self) -> int:
        """Of the quote token."""
        return 18 - (len(str(self.clearinghouse.call("scale"))) - 1)

    def market(self, which: int | str) -> Market:
        """A market by id or name."""
        if isinstance(which, int):
            return self.markets[which]
        for market in self.markets:
            if market.name == which.upper():
                return market
        raise LookupError(f"no market {which!r}; there are {', '.join(market.name for market in self.markets)}")

    def units(self, amount: Amount) -> int:
        """Whole quote tokens as token units; ValueError if that is not exact."""
        return scaled(Decimal(str(amount)), int(10**self.decimals))


@dataclass(frozen=True)
class Sandbox(System):
    """A System whose surroundings are test contracts, and the verbs that move them.

    Amounts are whole tokens; sizes and prices in results are WAD as the contracts speak.
    """

    aggregators: tuple[Contract, ...] = ()
    uniswap: Uniswap | None = None
    pools: tuple[tuple[Pool, ...], ...] = ()  # by market
    prices: dict[int, Decimal] = field(default_factory=dict)  # last pushed, by market
    pyth: Pyth | None = None

    # ---- time and prices

    def push(self, market: int | str, price: Amount | None = None, updated_at: int | None = None) -> Receipt:
        """A new round of the market's feed; without a price the old one again.

        The oracle takes one round per block: where this block has one already, the next begins.
        """
        which = self.market(market).id
        value = self.prices[which] if price is None else Decimal(str(price))
        self.prices[which] = value
        aggregator = self.aggregators[which]
        answer = int(value * 10 ** int(aggregator.call("decimals")))
        self.bring(which, value)
        if updated_at is None:
            if aggregator.call("latestRoundData")[3] >= self.chain.now:
                self.chain.warp(1)
            return aggregator.push_now.send(answer)
        return aggregator.push.send(answer, updated_at)

    def bring(self, market: int, price: Decimal) -> None:
        """Tell Pyth too, where one of the market's feeds is its."""
        for feed in self.config.markets[market].feeds:
            if isinstance(feed, PythFeed) and self.pyth is not None:
                self.pyth.push(bytes.fromhex(feed.id[2:]), price, -8, sender=self.chain.accounts[0])

    def refresh(self) -> None:
        """A new round of every feed at its old price."""
        for market in self.markets:
            self.push(market.id)

    def warp(self, seconds: int, *, refresh: bool = True) -> None:
        """Let time pass; with `refresh` every feed then has a round of the new block."""
        self.chain.warp(seconds)
        if refresh:
            self.refresh()

    def arbitrage(self, market: int | str, price: Amount | None = None) -> None:
        """Move the market's pools to a price, by default that of the feed, with real swaps."""
        which = self.market(market).id
        target = wad(self.prices[which] if price is None else price)
        for pool in self.pools[which]:
            pool.arbitrage_to(target)

    def move(self, market: int | str, price: Amount) -> None:
        """Feed and pools together."""
        self.push(market, price)
        self.arbitrage(market)

    # ---- actors

    def fund(self, account: Any, amount: Amount) -> None:
        """Mint quote for an account and let Vault and Clearinghouse take it."""
        owner = address_of(account)
        self.quote.mint.send(owner, self.units(amount))
        for spender in (self.vault, self.clearinghouse):
            if self.quote.call("allowance", owner, spender) < 2**255:
                self.quote.approve.send(spender, MAX_UINT, sender=owner)

    def deposit(self, lp: Any, amount: Amount, *, counts: bool = True) -> int:
        """Fund and deposit into the vault; returns shares [WAD].

        Risk capital is the least of equity now and at the last checkpoint; with `counts` two blocks are opened so that
        the deposit is in it.
        """
        self.fund(lp, amount)
        receipt = self.vault.send("deposit", self.units(amount), address_of(lp), sender=lp)
        if counts:
            self.settle_capital()
        return int(receipt.one("Deposit", self.vault).shares)

    def add_margin(self, trader: Any, amount: Amount) -> None:
        """Fund and deposit margin."""
        self.fund(trader, amount)
        self.clearinghouse.send("deposit", self.units(amount), address_of(trader), sender=trader)

    def settle_capital(self) -> None:
        """Open two blocks, so that what LPs brought counts as risk capital."""
        for _ in range(2):
            self.warp(1)
            self.inventory.send("sync_all")

    def trade(self, trader: Any, market: int | str, size: Amount, limit_price: int | None = None) -> Any:
        """Change a position by whole units of base; returns the Trade event."""
        which = self.market(market).id
        delta = wad(size)
        limit = limit_price if limit_price is not None else (NO_LIMIT if delta > 0 else 0)
        receipt = self.perp_engine.send("trade", which, delta, limit, NO_LIMIT, sender=trader)
        return receipt.one("Trade", self.perp_engine)

    def close(self, trader: Any, market: int | str) -> Any:
        """Close a position whole; returns the Trade event."""
        which = self.market(market).id
        size = self.perp_engine.call("position", address_of(trader), which).size
        return self.trade(trader, which, Decimal(-size) / WAD)

    def rebalance(self, keeper: Any, market: int | str, size: Amount, venue: int = 0) -> Any:
        """Hedge by whole units of base; returns the Outcome."""
        which = self.market(market)
        delta = wad(size)
        receipt = self.hedge_manager.send(
            "rebalance", which.venue_ids[venue], which.id, delta, NO_LIMIT if delta > 0 else 0, sender=keeper
        )
        return receipt.one("Rebalanced", self.hedge_manager).outcome

    def process_epoch(self) -> Any:
        """Wait for the end of the epoch and process it; returns the EpochProcessed event."""
        ends_at = self.vault.call("epoch").ends_at
        if self.chain.now < ends_at:
            self.warp(ends_at - self.chain.now)
        else:
            self.refresh()
        return self.vault.send("processEpoch").one("EpochProcessed", self.vault)


def deploy_system(
    chain: Chain,
    config: Config | None = None,
    *,
    admin: Any = None,
    setup: Any = None,
    guardian: Any = None,
    renounce: bool = True,
) -> Sandbox:
    """Test tokens, feeds and Uniswap, then the whole of Ballast, wired; by default the system of networks/local.yaml.

    `admin` (governor) and `guardian` default to the config's, `setup` (the deployer) to the chain's first account.
    Pools are old enough for their averages when this returns, and every feed has a fresh round.
    """
    from ballast.deployment.surroundings import build

    config = config or load_config("local")
    if admin is not None or guardian is not None:
        config = config.changed(
            governor=config.governor if admin is None else address_of(admin),
            guardian=config.guardian if guardian is None else address_of(guardian),
        )
    deployer = chain.accounts[0] if setup is None else address_of(setup)
    around = build(chain, config, deployer)
    plan = Plan(around.config, deployer, renounce=renounce)
    deployed = run(plan, chain)
    sandbox = Sandbox(**handles(deployed, plan), **around.handles())
    window = max((venue.twap_window for market in config.markets for venue in market.venues), default=0)
    if window:
        sandbox.warp(window)
    return sandbox


def run(plan: Plan, chain: Chain) -> Deployed:
    """Every step of a plan, without looking back: for chains that nobody else uses."""
    deployed = plan.start(chain)
    for step in plan.steps:
        receipt = chain.transact(step.tx(deployed, plan, plan.setup))
        if isinstance(step, Deploy):
            assert receipt.contract_address is not None
            deployed.addresses[step.key] = receipt.contract_address
    return deployed


def handles(deployed: Deployed, plan: Plan) -> dict[str, Any]:
    """The fields of a System."""
    config, chain = plan.config, deployed.chain

    def at(key: str) -> Contract:
        return deployed.contract(key, plan.artifact(key))

    def token(key: str) -> Contract:
        return chain.at("TestToken", deployed.addresses[key])  # its ABI covers ERC-20 and ERC-2612

    markets = []
    venue_id = 0
    for market_id, market in enumerate(config.markets):
        venues = tuple(at(venue_key(market.name, number)) for number, _ in enumerate(market.venues))
        markets.append(
            Market(
                id=market_id,
                name=market.name,
                feed=at(f"feed/{market.name}"),
                base=token(f"base/{market.name}") if market.base else None,
                venues=venues,
                venue_ids=tuple(range(venue_id, venue_id + len(venues))),
            )
        )
        venue_id += len(venues)
    return {
        "chain": chain,
        "config": config,
        "setup": plan.setup,
        "quote": token("quote"),
        "oracle": at("oracle"),
        "clearinghouse": at("clearinghouse"),
        "auction": at("auction"),
        "inventory": at("inventory"),
        "perp_engine": at("perp_engine"),
        "surface": at("surface"),
        "pricer": at("pricer"),
        "option_book": at("option_book"),
        "option_engine": at("option_engine"),
        "margin": at("margin"),
        "hedge_manager": at("hedge_manager"),
        "mandates": at("mandates"),
        "carry": at("carry"),
        "vault": at("vault"),
        "liquidator": at("liquidator"),
        "deleverager": at("deleverager"),
        "close_queue": at("close_queue"),
        "global_settlement": at("global_settlement"),
        "lens": at("lens"),
        "steward": at("steward"),
        "timelock": at("timelock") if plan.governance else None,
        "voting": at("governor") if plan.governance else None,
        "markets": tuple(markets),
        "addresses": dict(deployed.addresses),
    }
