# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# pragma nonreentrancy on
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  GlobalSettlement: how the system ends
@notice When the vault owes more than it has, or a market with positions has had no price for a day, anybody can end it.
        Prices, funding indices and time are fixed in one transaction, and the Clearinghouse freezes: engines, which
        still hold the positions, can book nothing any more. Accounts are then valued one by one against what was fixed:

            value  = sum over perpetuals of (size * price - cost - owed)
                   + sum over options at Black-76 on their board's smile
            profit = max(cash + value, 0) - max(cash, 0), if positive: a claim

        A loss is taken from cash; what it lacks, LPs bear.

        Options of a board that was settled before pay into cash or out of it at its price, those of one that was over
        but not settled are worth exercise at the fixed price. LP cash, with the reserve, fees, insurance and the
        protocol's part in it, then pays

            profits first, all in the proportion  min(1, pot / profits),
            shares          in the proportion     max(0, pot - profits) / supply,
            where           pot = LP cash + all that was paid from it so far.

        The pot only grows, by what venues pay back: whoever was paid before comes again for the difference.

        Actors: anyone does everything, for everybody; an owner of shares gives them in. Nobody decides anything.

        Invariants: nothing anybody gets depends on the order of calls, on when they are made, or on who makes them, but
        for less than a token unit per claimant. Each account counts once: its mask at the Clearinghouse is gone
        afterwards, and the count of what is open must reach zero before anybody is paid. Payments never exceed the pot:
        profits' parts add up to at most min(pot, profits), shares' to at most the rest.
@dev    Cash ranks before profits, and both before LPs. Only if LP cash is negative, because what it lacks is at venues
        or lost there, cash is cut (Clearinghouse.cash_ratio); `finalise` then waits for hedges to be recalled, for a
        week at most. No state of a market that moves is read after the trigger but positions and boards' smiles, which
        the freeze holds still. Twin: ballast/model/exact/global_settlement.py.
@custom:kill Revoke SETTLER at the Clearinghouse: before a trigger nobody can end the system, after it everything waits.
"""

from ethereum.ercs import IERC20
from interfaces import IClearinghouse
from interfaces import IGlobalSettlement
from interfaces import IHedgeManager
from interfaces import IOptionBook
from interfaces import IOptionPricer
from interfaces import IPerpEngine
from interfaces import IPriceOracle
from interfaces import IVault
from interfaces import IVolSurface
from contracts import constants as c
from contracts.clearing import requirement
from contracts.math import signed
from contracts.math import wad
from contracts.perps import positions

implements: IGlobalSettlement

OUTAGE: constant(uint256) = c.DAY               # [s] beyond a price's greatest age that end the system
PATIENCE: constant(uint256) = 7 * c.DAY         # [s] for hedges to come back while LP cash is negative
MAX_BATCH: constant(uint256) = 32

CLEARINGHOUSE: immutable(IClearinghouse)
PERP_ENGINE: immutable(IPerpEngine)
OPTION_BOOK: immutable(IOptionBook)
PRICER: immutable(IOptionPricer)
ORACLE: immutable(IPriceOracle)
HEDGE_MANAGER: immutable(IHedgeManager)
VAULT: immutable(IVault)
SCALE: immutable(uint256)                       # [WAD per token unit]

# When prices were fixed [s since 1970]; 0 before.
triggered_at: public(uint256)
# Every account is counted and may be paid.
is_final: public(bool)
# What was fixed, by market.
_terms: IGlobalSettlement.Terms[c.MAX_MARKETS]
# What is not crystallised: |size| of perpetuals of all markets [base, WAD], and positions in options.
_interest: uint256
_legs: uint256
# Sum of all claims on profit. [quote, WAD]
_profits: uint256
# Shares in circulation when everything was counted. [shares, WAD]
_supply: uint256
# What profits and shares were paid. [quote, WAD]
_paid: uint256
# Profit of an account.
profit_of: public(HashMap[address, IGlobalSettlement.Claim])
# Shares that an owner gave in.
shares_of: public(HashMap[address, IGlobalSettlement.Claim])
# What a controller was paid for shares that wait in the vault's queue. [quote, WAD]
paid_request: public(HashMap[address, uint256])


@deploy
def __init__(
    clearinghouse: address,
    perp_engine: address,
    option_book: address,
    option_pricer: address,
    oracle: address,
    hedge_manager: address,
    vault: address,
):
    CLEARINGHOUSE = IClearinghouse(clearinghouse)
    PERP_ENGINE = IPerpEngine(perp_engine)
    OPTION_BOOK = IOptionBook(option_book)
    PRICER = IOptionPricer(option_pricer)
    ORACLE = IPriceOracle(oracle)
    HEDGE_MANAGER = IHedgeManager(hedge_manager)
    VAULT = IVault(vault)
    SCALE = staticcall IClearinghouse(clearinghouse).scale()


# ------------------------------------------------------------------ the end


@external
def trigger():
    """
    @notice Ends the system, for good, if NAV is negative, with every mark fresh and every board at its point, or if a
            market with positions that wait for a price has had none for OUTAGE.
    """
    assert self.triggered_at == 0, "settlement: triggered"
    prices: DynArray[uint256, c.MAX_MARKETS] = []
    interest: uint256 = 0
    legs: uint256 = 0
    fresh: bool = True
    outage: bool = False
    for market: uint256 in range(staticcall ORACLE.market_count(), bound=c.MAX_MARKETS):
        mark: IPriceOracle.Mark = extcall ORACLE.sync(market)
        long: uint256 = 0
        short: uint256 = 0
        terms: IGlobalSettlement.Terms = empty(IGlobalSettlement.Terms)
        terms.price = mark.price
        long, short, terms.index_long, terms.index_short = staticcall PERP_ENGINE.accrued(market)
        live: uint256 = 0
        for expiry: uint256 in staticcall OPTION_BOOK.expiries(market):
            live += (staticcall OPTION_BOOK.board(market, expiry)).legs
        if not mark.fresh:
            fresh = False
            # what is settled needs no price to be paid
            if long + short + live != 0 and staticcall ORACLE.outage(market) >= OUTAGE:
                outage = True
        interest += long + short
        legs += live + staticcall OPTION_BOOK.unsettled(market)
        prices.append(mark.price)
        self._terms[market] = terms
        log IGlobalSettlement.Fixed(
            market=market, price=terms.price, index_long=terms.index_long, index_short=terms.index_short
        )
    nav: int256 = 0
    if not outage:
        assert fresh, "settlement: stale price"
        assert (staticcall OPTION_BOOK.book_value(prices))[2], "settlement: refresh boards first"
        nav = (staticcall VAULT.valuation()).nav
        assert nav < 0, "settlement: vault is solvent"
    self.triggered_at = block.timestamp
    self._interest = interest
    self._legs = legs
    extcall CLEARINGHOUSE.freeze()
    log IGlobalSettlement.Triggered(by=msg.sender, nav=nav, open_interest=interest, option_legs=legs)


@external
def crystallise(accounts: DynArray[address, MAX_BATCH]):
    """
    @notice Values accounts: losses and payoffs become cash, profits claims. Those without positions are passed over.
    """
    time: uint256 = self.triggered_at
    assert time != 0, "settlement: not triggered"
    interest: uint256 = self._interest
    legs: uint256 = self._legs
    profits: uint256 = self._profits
    for account: address in accounts:
        cash: int256 = 0
        mask: uint256 = 0
        cash, mask = staticcall CLEARINGHOUSE.account(account)
        if mask == 0:
            continue
        value: int256 = 0
        size: uint256 = 0
        value, size = self._perps(account, mask & c.MARKETS)
        interest -= size
        payoff: int256 = 0
        if mask >> c.OPTION_BIT != 0:
            worth: int256 = 0
            count: uint256 = 0
            payoff, worth, count = self._options(account, time)
            value += worth
            legs -= count
        # what is open pays a debt before it is a claim
        equity: int256 = cash + payoff + value
        profit: int256 = max(max(equity, 0) - max(cash + payoff, 0), 0)
        profits += convert(profit, uint256)
        self.profit_of[account].amount = convert(profit, uint256)
        extcall CLEARINGHOUSE.crystallise(account, equity - profit - cash, -payoff)
        log IGlobalSettlement.Crystallised(
            account=account, payoff=payoff, value=value, profit=convert(profit, uint256)
        )
    self._interest = interest
    self._legs = legs
    self._profits = profits


@external
def finalise():
    """
    @notice Opens withdrawals and claims once every account is crystallised.
    """
    assert self.triggered_at != 0, "settlement: not triggered"
    assert not self.is_final, "settlement: final"
    assert self._interest == 0 and self._legs == 0, "settlement: accounts left"
    if (staticcall CLEARINGHOUSE.vault_ledger())[0] < 0 and block.timestamp < self.triggered_at + PATIENCE:
        prices: DynArray[uint256, c.MAX_MARKETS] = []
        for terms: IGlobalSettlement.Terms in self._terms:
            prices.append(terms.price)
        assert staticcall HEDGE_MANAGER.equity(prices) == 0, "settlement: recall hedges first"
    self.is_final = True
    self._supply = staticcall IERC20(VAULT.address).totalSupply()
    extcall CLEARINGHOUSE.finalise()
    log IGlobalSettlement.Finalised(
        profits=self._profits, lp=(staticcall CLEARINGHOUSE.vault_ledger())[0], supply=self._supply
    )


# ------------------------------------------------------------------ payments


@external
def claim(accounts: DynArray[address, MAX_BATCH]):
    """
    @notice Pays what the pot covers of accounts' profits, rounded down, into their cash: their owners withdraw it.
    """
    pot: uint256 = self._pots()[0]
    for account: address in accounts:
        claim: IGlobalSettlement.Claim = self.profit_of[account]
        if claim.amount == 0:
            continue
        owed: uint256 = wad.mul_div_down(claim.amount, pot, self._profits)
        amount: uint256 = owed - claim.paid     # the pot does not shrink
        if amount != 0:
            self.profit_of[account].paid = owed
            self._paid += amount
            extcall CLEARINGHOUSE.pay_promise(account, amount)
            log IGlobalSettlement.Claimed(account=account, amount=amount, paid=owed)


@external
def redeem(shares: uint256, receiver: address) -> uint256:
    """
    @notice Takes the caller's shares, for good, and pays what all it gave in so far are due and were not paid yet.
    @param shares [shares, WAD] at most the caller's allowance; 0 to come again
    @return [token units]
    """
    pot: uint256 = self._pots()[1]
    if shares != 0:
        assert extcall IERC20(VAULT.address).transferFrom(msg.sender, self, shares)
    claim: IGlobalSettlement.Claim = self.shares_of[msg.sender]
    claim.amount += shares
    units: uint256 = self._due(claim, pot)
    claim.paid += units * SCALE
    self.shares_of[msg.sender] = claim
    self._pay(msg.sender, receiver, claim, units)
    return units


@external
def pay_request(controller: address) -> uint256:
    """
    @notice `redeem` for shares that a controller has waiting in the vault's queue; it is paid to the controller.
    @return [token units]
    """
    pot: uint256 = self._pots()[1]
    waiting: IVault.Position = staticcall VAULT.position(controller)
    claim: IGlobalSettlement.Claim = IGlobalSettlement.Claim(
        amount=waiting.pending + waiting.late, paid=self.paid_request[controller]
    )
    units: uint256 = self._due(claim, pot)
    claim.paid += units * SCALE
    self.paid_request[controller] = claim.paid
    self._pay(controller, controller, claim, units)
    return units


# ------------------------------------------------------------------ views


@external
@view
def terms(market: uint256) -> IGlobalSettlement.Terms:
    """
    @return what was fixed for a market
    """
    return self._terms[market]


@external
@view
def remaining() -> (uint256, uint256):
    """
    @return what is not crystallised: |size| of perpetuals of all markets [base, WAD], and positions in options
    """
    return self._interest, self._legs


@external
@view
def profits() -> uint256:
    """
    @return [quote, WAD] all claims on profit so far
    """
    return self._profits


@external
@view
def pots() -> (uint256, uint256):
    """
    @notice Only once all is final.
    @return [quote, WAD] what profits and what shares get together, parts paid already included
    """
    return self._pots()


@external
@view
def neighbours() -> (address, address, address, address, address, address, address):
    """
    @return clearinghouse, perp engine, option book, option pricer, oracle, hedge manager, vault
    """
    return (
        CLEARINGHOUSE.address,
        PERP_ENGINE.address,
        OPTION_BOOK.address,
        PRICER.address,
        ORACLE.address,
        HEDGE_MANAGER.address,
        VAULT.address,
    )


# ------------------------------------------------------------------ internal: values


@internal
@view
def _perps(account: address, mask: uint256) -> (int256, uint256):
    """
    @return [quote, WAD] what the account's perpetuals are worth, each rounded down; [base, WAD] sum of their |size|
    """
    value: int256 = 0
    interest: uint256 = 0
    for market: uint256 in range(c.MAX_MARKETS):
        if mask >> market == 0:
            break
        if (mask >> market) & 1 == 0:
            continue
        terms: IGlobalSettlement.Terms = self._terms[market]
        held: positions.Position = staticcall PERP_ENGINE.position(account, market)
        owed: int256 = positions._owed(held, terms.index_long, terms.index_short)
        value += requirement._value(held.size, held.cost, owed, terms.price)
        interest += signed.magnitude(held.size)
    return value, interest


@internal
@view
def _options(account: address, time: uint256) -> (int256, int256, uint256):
    """
    @param time [s] that options are valued at
    @return [quote, WAD] payoff of what is settled, value of the rest, each leg rounded down, and their number
    """
    payoff: int256 = 0
    value: int256 = 0
    point: IOptionPricer.Point = empty(IOptionPricer.Point)
    market: uint256 = max_value(uint256)
    expiry: uint256 = 0
    legs: DynArray[IOptionBook.Leg, c.MAX_LEGS] = staticcall OPTION_BOOK.legs(account)
    for leg: IOptionBook.Leg in legs:
        if leg.settlement != 0:
            unit: uint256 = requirement._intrinsic(leg.strike, leg.is_put, leg.settlement)
            payoff += requirement._worth(leg.size, unit)
            continue
        if leg.expiry != expiry or leg.market != market:
            market = leg.market
            expiry = leg.expiry
            smile: IVolSurface.Smile = staticcall OPTION_BOOK.smile(market, expiry)
            point = IOptionPricer.Point(
                spot=self._terms[market].price,
                seconds=wad.sub_floor(expiry, time),
                term=wad.sub_floor(expiry, smile.timestamp),
                theta=smile.theta,
                rate=smile.rate,
                rho=smile.rho,
                eta=smile.eta,
            )
        premium: IOptionPricer.Premium = (staticcall PRICER.premiums(point, [leg.strike]))[0]
        value += requirement._worth(leg.size, premium.put if leg.is_put else premium.call)
    return payoff, value, len(legs)


# ------------------------------------------------------------------ internal: payments


@internal
@view
def _pots() -> (uint256, uint256):
    """@return [quote, WAD] of profits and of shares"""
    assert self.is_final, "settlement: not final"
    # LP cash below zero has paid nothing
    pot: int256 = (staticcall CLEARINGHOUSE.vault_ledger())[0] + convert(self._paid, int256)
    whole: uint256 = convert(max(pot, 0), uint256)
    profits: uint256 = min(whole, self._profits)
    return profits, whole - profits


@internal
@view
def _due(claim: IGlobalSettlement.Claim, pot: uint256) -> uint256:
    """
    @param pot [quote, WAD] of all shares
    @return [token units] what shares are due and were not paid, rounded down
    """
    if claim.amount == 0:
        return 0
    # neither the pot nor the number of shares shrinks
    return (wad.mul_div_down(claim.amount, pot, self._supply) - claim.paid) // SCALE


@internal
def _pay(owner: address, receiver: address, claim: IGlobalSettlement.Claim, units: uint256):
    """@dev The token is sent last."""
    self._paid += units * SCALE
    log IGlobalSettlement.Redeemed(
        owner=owner, receiver=receiver, shares=claim.amount, units=units, paid=claim.paid
    )
    if units != 0:
        extcall CLEARINGHOUSE.pay_lp(receiver, units)
