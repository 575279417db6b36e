"""What a keeper knows and what it may do: plain values between `observe`, `decide` and `act`.

Quantities the keeper reasons about are floats in natural units. What is handed back to a contract stays an integer and
says so in its name: `_wad`, `_units`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import Literal

from ballast.model.analytic.potential import Weights

SPOT_SHOCKS = (-0.50, -0.30, -0.15, 0.0, 0.0, 0.15, 0.30, 0.50)  # of the stress scenarios, contracts/constants.vy
MAX_FUNDING = 2.0  # of a step's worth that a lending venue asks of LPs at most, contracts/hedge/AaveShortVenue.vy


@dataclass(frozen=True, slots=True)
class Market:
    """One market as a sync in the next block would leave it."""

    id: int
    price: float  # [quote/base]
    sigma: float  # [1/sqrt(year)]
    delta: float  # [base] the vault's, venues included
    updated_at: int  # [s] of the round
    fresh: bool
    vega: float = 0.0  # [quote per 1.00 vol]
    gamma: float = 0.0  # [base per quote]
    vol_of_vol: float = 0.0  # [absolute vol per sqrt(year)]
    stress: tuple[float, ...] = ()  # [quote] P&L of each scenario beyond delta; empty for a linear book
    carry: float = 0.0  # [per year] of the hedge, that funding counts in; > 0: shorts pay
    measured_at: int = 0  # [s] when that was measured last


@dataclass(frozen=True, slots=True)
class Route:
    """One way to trade at a venue."""

    index: int
    spot: float  # [quote/base]
    twap: float  # [quote/base]
    fee: float  # [fraction]
    depth: float  # [quote] n quote of volume move the spot by the fraction 2n/depth; inf: not at all
    pool: str = ""  # address; venues with the same one share its depth

    def after(self, size: float) -> Route:
        """The route once `size` [base] > 0 was bought in its pool or sold there; exact while no tick is crossed."""
        if self.depth == inf:
            return self
        base = self.depth / self.spot
        left = base - size if size > 0 else base - size * (1 - self.fee)
        return replace(self, spot=self.spot * (base / left) ** 2, depth=self.depth * base / left)


@dataclass(frozen=True, slots=True)
class Lender:
    """Where a venue that sells what it borrows stands with Aave."""

    collateral: float  # [quote]
    owed: float  # [base]
    target: float  # collateral per debt, both in quote, that a step aims at
    middle: float  # as long as it is above this, a step leaves collateral alone
    lendable: float  # [base] that can still be borrowed there
    payable: float  # [quote] of collateral that can be taken out
    supply_rate: float = 0.0  # [per year] that collateral earns
    borrow_rate: float = 0.0  # [per year] that debt costs
    health: float = inf  # Aave's own health factor
    floor: float = 1.0  # health below which nothing may be opened, and anybody may close
    strain_wad: int = 0  # [base, WAD] that anybody may close for its health
    opens: bool = True  # neither reserve is paused or frozen
    closes: bool = True  # neither is paused

    @property
    def carry(self) -> float:
        """[per year] what a unit of debt costs, the collateral it needs counted; < 0: it earns."""
        return self.borrow_rate - self.target * self.supply_rate

    def funding(self, size: float, price: float) -> float:
        """Cash [quote] that LPs put in to sell `size` [base] at a price; < 0: that comes back. AaveShortVenue."""
        proceeds = size * price
        worth = (self.owed + size) * price
        lacking = 0.0 if self.collateral >= worth * self.middle else max(0.0, worth * self.target - self.collateral)
        return min(lacking - proceeds, MAX_FUNDING * proceeds)

    def freed(self, size: float, paid: float, price: float) -> float:
        """Cash [quote] that comes home when `size` [base] is bought at a price of `paid`, the mark being `price`."""
        left = self.collateral - size * paid
        owed = max(0.0, self.owed - size) * price
        upper = 2 * self.target - self.middle
        return max(0.0, left - self.target * owed) if left > upper * owed else 0.0

    def affordable(self, cash: float, price: float) -> float:
        """The most [base] that can be sold at a price while `funding` is at most so much cash [quote]."""
        without = self.collateral / (self.middle * price) - self.owed
        filled = (cash + self.collateral - self.target * self.owed * price) / ((self.target - 1.0) * price)
        return max(0.0, without, filled, cash / (MAX_FUNDING * price))


@dataclass(frozen=True, slots=True)
class Venue:
    """One hedge venue: what it holds, what it may do, and its routes that answer."""

    id: int
    market: int
    exposure_wad: int  # [base, WAD] read from the venue
    equity: float  # [quote] read from the venue, at the mark
    reported_exposure_wad: int  # [base, WAD] what Inventory believes
    reported_equity: float  # [quote] the same, moved to the mark
    routes: tuple[Route, ...]
    cap: float  # [base]
    turnover_left: float  # [quote]
    fee_cap: float  # [fraction]
    band: float  # [fraction]
    ready_at: int  # [s] end of the cool-down
    max_age: int  # [s]; 0: any fresh mark
    haircut: float  # [fraction]
    traded_at: int = 0  # [s]
    lender: Lender | None = None  # with one it is short-only, without it long-only
    paused: bool = False
    retired: bool = False

    @property
    def exposure(self) -> float:
        """[base]"""
        return self.exposure_wad / 1e18


@dataclass(frozen=True, slots=True)
class Rule:
    """The terms of a hedge."""

    phi: float = 0.6
    eta: float = 0.15
    size_reward: float = 5e-5  # [fraction of notional]
    gas: float = 0.0  # [quote] compensation at the present base fee
    lp_floor: float = 0.0  # [quote]
    recall_floor: float = 0.0  # [quote]


@dataclass(frozen=True, slots=True)
class Mandate:
    """What the keeper may hedge as a registered hedger, at a share of its own."""

    id: int
    venues: int  # bit i: at venue i
    share: float  # in place of `Rule.eta`
    left: float  # [quote] of its size
    expiry: int  # [s]


@dataclass(frozen=True, slots=True)
class Leg:
    """One position of an account."""

    market: int
    size_wad: int  # [base, WAD]
    cost_wad: int  # [quote, WAD]
    profit: float = 0.0  # [quote] at the mark, funding and borrow fee paid
    exit_cost: float = 0.0  # [quote] what Margin reckons leaving costs


@dataclass(frozen=True, slots=True)
class OptionLeg:
    """One option of an account."""

    market: int
    expiry: int  # [s]
    series: int
    size_wad: int  # [base, WAD]


@dataclass(frozen=True, slots=True)
class Closing:
    """A liquidation that a simulation at the observed block has carried out."""

    market: int
    size_wad: int  # [base, WAD] change of the perpetual, at most
    orders: tuple[tuple[int, int], ...]  # of options, at most: series, change [base, WAD]
    taken: bool  # into the keeper's own account, else by the vault
    enough: bool = False  # a part of it brings the account back to its initial requirement
    notional: float = 0.0  # [quote] of what would be closed
    reward: float = 0.0  # [quote] to the keeper


@dataclass(frozen=True, slots=True)
class Account:
    """An account with positions, valued at the marks of `State.markets`."""

    address: str
    equity: float  # [quote]
    maintenance: float  # [quote]
    legs: tuple[Leg, ...]
    options: tuple[OptionLeg, ...] = ()
    closings: tuple[Closing, ...] = ()  # what the Liquidator would do; none: it is healthy, or nothing may be closed


@dataclass(frozen=True, slots=True)
class Board:
    """The options of one expiry, listed and not cleared."""

    market: int
    expiry: int  # [s]
    time: int  # [s] of its point
    due: bool  # the point has to be renewed before it is traded on and before LPs act
    legs: int  # positions of accounts
    settled: bool = False
    round_id: int | None = None  # that settles it; None before the expiry, and while the feed has no round after it

    @property
    def name(self) -> str:
        """For keys and logs."""
        return f"{self.market}:{self.expiry}"


@dataclass(frozen=True, slots=True)
class OptionRule:
    """What governance pays for keeping a market's boards."""

    reward: float  # [quote] for a refresh that was due, and for a settlement
    interval: int  # [s] between refreshes of a board that are paid


@dataclass(frozen=True, slots=True)
class Nomination:
    """Whose position in a market is to be closed because traders win too much."""

    market: int
    score: float
    opened_at: int  # [s] of its window


@dataclass(frozen=True, slots=True)
class Deleveraging:
    """Traders' open profit is above the trigger."""

    profit: float  # [quote] of all perpetuals, losses deducted
    excess: float  # [quote] of it over the target
    nominations: tuple[Nomination, ...]  # none in markets that are not named


@dataclass(frozen=True, slots=True)
class QueuedClose:
    """A close that waits for a price."""

    account: str
    market: int
    options: bool  # else of the perpetual
    round_time: int  # [s] of the last round when it was asked for
    reward: float | None = None  # [quote] what carrying it out would pay now; None: it cannot be


@dataclass(frozen=True, slots=True)
class Ending:
    """Global settlement, since it was triggered."""

    left: tuple[str, ...] = ()  # accounts that are not valued
    ready: bool = False  # all are, and payments could open now
    final: bool = False
    owed: tuple[str, ...] = ()  # accounts with a profit of which more can be paid
    paid_out: float = 0.0  # [quote] of what profits get together; grows with what venues pay back


@dataclass(frozen=True, slots=True)
class Auction:
    """The rebate auction: whether LPs pay for being rid of risk."""

    band: float  # [fraction of E] of U, outside of which there may be one
    max_rate: float  # [fraction of the fall of U] that is paid at most; 0: there is none
    is_open: bool = False
    low: float = 0.0  # [quote] lowest U since it was opened: a fall below is paid, once a day has passed


NO_AUCTION = Auction(band=0.0, max_rate=0.0)


@dataclass(frozen=True, slots=True)
class Epoch:
    """The redemption epoch that is processed next."""

    id: int = 0
    ends_at: int = 0
    pending: float = 0.0  # [shares]
    incoming: float = 0.0  # [shares]


@dataclass(frozen=True, slots=True)
class SignedPrice:
    """An update of a pull feed that could be brought."""

    feed: str  # address
    data: tuple[str, ...]  # hex
    fee: int  # [wei]
    published_at: int  # [s] as its source says
    lag: int  # [s] that the price on the chain is older
    time: int | None = None  # [s] it proves the price of this time, which settles a board; None: it is the newest


@dataclass(frozen=True, slots=True)
class State:
    """The world at one block."""

    block: int
    now: int  # [s]
    markets: tuple[Market, ...]
    venues: tuple[Venue, ...]
    accounts: tuple[Account, ...]
    epoch: Epoch
    weights: Weights
    rule: Rule
    capital: float  # [quote] risk capital E of the next block
    opening: float  # [quote] U at the start of the block that is open, lowered by its hedges
    opened_at: int  # [s] that block
    reserve: float  # [quote] R
    lp_cash: float  # [quote]
    swept_at: int  # [s] last synchronisation of every active market
    sweep_age: int  # [s] allowed between two
    token_unit: float = 1e-6  # [quote] of one token unit
    gas_price: float = 0.0  # [quote per gas] what the keeper itself pays
    potential: float = 0.0  # [quote] U as Inventory last stored it
    boards: tuple[Board, ...] = ()
    option_rules: Mapping[int, OptionRule] = field(default_factory=dict)  # by market
    own: float = 0.0  # [quote] what positions in the keeper's own account come to
    deleveraging: Deleveraging | None = None  # None: open profit is below the trigger, or cannot be told
    closes: tuple[QueuedClose, ...] = ()
    can_end: bool = False  # global settlement could be triggered
    ending: Ending | None = None  # None: it has not been
    mandates: tuple[Mandate, ...] = ()  # of the keeper
    auction: Auction = NO_AUCTION
    signed: tuple[SignedPrice, ...] = ()  # by pull feeds, where a source of updates was given

    def venue(self, number: int) -> Venue:
        """The venue of an id."""
        return next(venue for venue in self.venues if venue.id == number)

    def moved(self, market: int, change: float) -> State:
        """The state after the vault's delta in one market changed by `change` [base]."""
        markets = tuple(replace(m, delta=m.delta + change) if m.id == market else m for m in self.markets)
        return replace(self, markets=markets)


# ---- what a keeper can do. `key` names the occasion: one that has been used is not used again.


@dataclass(frozen=True, slots=True)
class Rebalance:
    """HedgeManager.rebalance, or with a mandate Mandates.hedge."""

    venue: int
    market: int
    size_wad: int  # [base, WAD] > 0 buys
    limit_wad: int  # [quote/base, WAD] worst average price, fee included
    key: str
    expected_fall: float = field(default=0.0, compare=False)  # [quote] of U
    expected_cost: float = field(default=0.0, compare=False)  # [quote] as the rule measures it
    expected_reward: float = field(default=0.0, compare=False)  # [quote] to the keeper, gas compensation aside
    mandate: int | None = None
    kind: Literal["rebalance"] = "rebalance"


@dataclass(frozen=True, slots=True)
class Poke:
    """HedgeManager.poke."""

    venue: int
    key: str
    kind: Literal["poke"] = "poke"


@dataclass(frozen=True, slots=True)
class Unwind:
    """HedgeManager.unwind."""

    venue: int
    most_wad: int  # [base, WAD]
    key: str
    kind: Literal["unwind"] = "unwind"


@dataclass(frozen=True, slots=True)
class MeasureCarry:
    """Carry.measure."""

    market: int
    key: str
    kind: Literal["measure"] = "measure"


@dataclass(frozen=True, slots=True)
class OpenAuction:
    """RebateAuction.open."""

    key: str
    kind: Literal["open_auction"] = "open_auction"


@dataclass(frozen=True, slots=True)
class CloseAuction:
    """RebateAuction.close."""

    key: str
    kind: Literal["close_auction"] = "close_auction"


@dataclass(frozen=True, slots=True)
class Recall:
    """HedgeManager.recall."""

    venue: int
    units: int  # [token units]
    key: str
    kind: Literal["recall"] = "recall"


@dataclass(frozen=True, slots=True)
class Liquidate:
    """Liquidator.liquidate_perp, liquidate_options, take_perp or take_options."""

    account: str
    closing: Closing
    key: str
    kind: Literal["liquidate"] = "liquidate"


@dataclass(frozen=True, slots=True)
class Nominate:
    """Deleverager.nominate."""

    account: str
    market: int
    key: str
    kind: Literal["nominate"] = "nominate"


@dataclass(frozen=True, slots=True)
class Deleverage:
    """Deleverager.deleverage."""

    market: int
    key: str
    kind: Literal["deleverage"] = "deleverage"


@dataclass(frozen=True, slots=True)
class ExecuteClose:
    """CloseQueue.execute_perp or execute_options."""

    account: str
    market: int
    options: bool
    key: str
    expected_reward: float = field(default=0.0, compare=False)  # [quote]
    kind: Literal["execute_close"] = "execute_close"


@dataclass(frozen=True, slots=True)
class Trigger:
    """GlobalSettlement.trigger."""

    key: str
    kind: Literal["trigger"] = "trigger"


@dataclass(frozen=True, slots=True)
class Crystallise:
    """GlobalSettlement.crystallise."""

    accounts: tuple[str, ...]
    key: str
    kind: Literal["crystallise"] = "crystallise"


@dataclass(frozen=True, slots=True)
class Finalise:
    """GlobalSettlement.finalise."""

    key: str
    kind: Literal["finalise"] = "finalise"


@dataclass(frozen=True, slots=True)
class ClaimProfits:
    """GlobalSettlement.claim."""

    accounts: tuple[str, ...]
    key: str
    kind: Literal["claim"] = "claim"


@dataclass(frozen=True, slots=True)
class Refresh:
    """OptionEngine.refresh."""

    market: int
    expiry: int  # [s]
    key: str
    expected_reward: float = field(default=0.0, compare=False)  # [quote]
    kind: Literal["refresh"] = "refresh"


@dataclass(frozen=True, slots=True)
class Settle:
    """OptionEngine.settle."""

    market: int
    expiry: int  # [s]
    round_id: int
    key: str
    expected_reward: float = field(default=0.0, compare=False)  # [quote]
    kind: Literal["settle"] = "settle"


@dataclass(frozen=True, slots=True)
class SettleAccounts:
    """OptionEngine.settle_accounts."""

    market: int
    expiry: int  # [s]
    accounts: tuple[str, ...]
    key: str
    kind: Literal["settle_accounts"] = "settle_accounts"


@dataclass(frozen=True, slots=True)
class Clear:
    """OptionEngine.clear."""

    market: int
    expiry: int  # [s]
    key: str
    kind: Literal["clear"] = "clear"


@dataclass(frozen=True, slots=True)
class ProcessEpoch:
    """Vault.processEpoch."""

    key: str
    kind: Literal["process_epoch"] = "process_epoch"


@dataclass(frozen=True, slots=True)
class SyncAll:
    """Inventory.sync_all."""

    key: str
    kind: Literal["sync_all"] = "sync_all"


@dataclass(frozen=True, slots=True)
class BringPrice:
    """PythFeed.update, or PythFeed.prove of a time."""

    feed: str
    data: tuple[str, ...]  # hex
    fee: int  # [wei]
    published_at: int  # [s] as its source says
    time: int | None
    key: str
    kind: Literal["bring_price"] = "bring_price"


OptionAction = Refresh | Settle | SettleAccounts | Clear
Hedging = Rebalance | Poke | Recall | Unwind | MeasureCarry | OpenAuction | CloseAuction
Backstop = Liquidate | Nominate | Deleverage | ExecuteClose | Trigger | Crystallise | Finalise | ClaimProfits
Action = Hedging | ProcessEpoch | SyncAll | Backstop | OptionAction | BringPrice
