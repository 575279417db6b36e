# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# pragma nonreentrancy on
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  HedgeManager: lets anyone hedge the vault, and pays for it out of the risk removed
@notice A hedge moves LP cash into a venue or back. Nobody is trusted to do it well: the manager measures what LPs own before
        and after, values it at whichever of the oracle's price and the venue's average looks worse, and demands

            cost + keeper's reward + gas <= phi * fall of U.

        Actors: anyone may `rebalance`, `poke` and, when LPs are short of cash or all is frozen, `recall`, and when a
        venue's lender is about to take over, `unwind`; HEDGER (Mandates) hedges for an agent at the agent's share; SETUP and the
        governor list venues and set parameters inside the bounds of records.vy; the guardian may only pause a venue.

        Invariants: I10 a hedge, reward and gas included, never lowers LP equity by more than phi times the fall of U it
        caused, whoever controls the venue's price meanwhile. I14 a venue that reverts, answers garbage or burns all gas counts
        as zero and stops nothing but itself. This contract never holds a token.
@dev    Every mutator begins an operation at the Clearinghouse and ends it, so nothing else moves while a venue has control.
        NAV and `poke` read a venue through gas-bounded static calls; the callee's gas is assured beforehand, otherwise a caller
        could make a healthy venue look dead by sending too little. A step asks it directly, and fails with it.
@custom:kill pause_venue (guardian) allows only steps back toward zero; revoking HEDGER at the Clearinghouse stops all hedging
        while trading, redemptions and NAV go on; retire_venue (governor) writes a lost venue off.
"""

from ethereum.ercs import IERC20
from interfaces import IClearinghouse
from interfaces import IHedgeManager
from interfaces import IHedgeVenue
from interfaces import IInventory
from interfaces import IPriceOracle
from contracts import constants as c
from contracts.governance import roles
from contracts.hedge import records
from contracts.hedge import rule
from contracts.math import signed
from contracts.math import wad

implements: IHedgeManager

initializes: roles

exports: (
    roles.admin,
    roles.pending_admin,
    roles.roles_of,
    roles.grant_role,
    roles.revoke_role,
    roles.renounce_setup,
    roles.offer_admin,
    roles.accept_admin,
)

# What a rebalance or recall works with, gathered once.
struct Step:
    venue_id: uint256
    listing: records.Listing
    params: IHedgeManager.VenueParams
    mark: IPriceOracle.Mark
    state: IHedgeManager.VenueState
    exposure: int256        # [base, WAD] the venue's before the step
    before: rule.Holdings
    route: uint256
    prices: IHedgeVenue.Prices
    tolerance: uint256      # [fraction, WAD] fee + band
    released: uint256       # [quote, WAD] reserve due to LPs, not yet booked

# What a step toward zero did that the rule did not judge.
struct Closing:
    received: uint256       # [token units] by the Clearinghouse
    notional: uint256       # [quote, WAD] at the mark
    cost: int256            # [quote, WAD] at the mark
    exposure: int256        # [base, WAD] after
    equity: uint256         # [quote, WAD] after, at the mark
    release: uint256        # [quote, WAD] reserve due to LPs

# Gas a venue's view may burn. A Uniswap venue needs 10,000; a lending venue an order more.
VIEW_GAS: constant(uint256) = 250_000
# What must be left before such a call for the callee to get it all: EIP-150 keeps 1/64, plus the call itself.
VIEW_GAS_NEEDED: constant(uint256) = VIEW_GAS * 64 // 63 + 10_000
# Answers beyond these are garbage: more base than Inventory keeps of a market, or a value [quote, WAD] of exposure or equity
# that the Vault's largest cap cannot have paid for. Inventory's words hold several such values, whatever the price does until
# the next report; without this a venue could fill them and stop everybody.
MAX_EXPOSURE: constant(uint256) = 2**95
MAX_VALUE: constant(uint256) = 10**10 * c.WAD
# A step leaves exposure that has come or gone by itself (interest) unreported up to one part in this of what was reported:
# it is told by the step that finds more, or by `poke`. No fall of U is measured on it.
DRIFT: constant(uint256) = 10_000
# A venue may ask for at most this multiple of the notional (a lending venue posts collateral). [1]
MAX_FUNDING: constant(uint256) = 3

CLEARINGHOUSE: public(immutable(IClearinghouse))
INVENTORY: public(immutable(IInventory))
ORACLE: public(immutable(IPriceOracle))
ASSET: immutable(IERC20)
SCALE: immutable(uint256)       # [WAD per token unit]

# Venues listed so far.
venue_count: public(uint256)
# records.Listing of each venue; the index is the venue id, for good.
_listings: uint256[c.MAX_VENUES]
# IHedgeManager.VenueParams of each venue, but for the haircut.
_params: uint256[c.MAX_VENUES]
# Exposure and equity last reported to Inventory.
_positions: uint256[c.MAX_VENUES]
# Price of that report, turnover drawn, time of the last trade.
_trails: uint256[c.MAX_VENUES]
# IHedgeManager.Rule, first word.
_rule: uint256
# IHedgeManager.Rule, LP cash floors.
_floors: uint256


@deploy
def __init__(admin: address, setup: address, clearinghouse: address, inventory: address, oracle: address):
    roles.__init__(admin, setup)
    CLEARINGHOUSE = IClearinghouse(clearinghouse)
    INVENTORY = IInventory(inventory)
    ORACLE = IPriceOracle(oracle)
    ASSET = IERC20(staticcall IClearinghouse(clearinghouse).asset())
    SCALE = staticcall IClearinghouse(clearinghouse).scale()


# ------------------------------------------------------------------ permissionless

@external
def rebalance(venue_id: uint256, market: uint256, size: int256, limit_price: uint256) -> IHedgeManager.Outcome:
    """
    @notice Hedges: buys (size > 0) or sells base at a venue, if the rule allows it, and pays the caller in ledger cash.
    @dev    Safe against a caller who controls the venue's price: whatever is lost to a moved price shows up in the cost.
            Splitting gains nothing: falls, fees and turnover add up, and the cool-down lets one step through per block.
            Own trades of the same block gain nothing: Inventory measures the fall from the block's start.
    @param  market the venue's market; a guard against a wrong id
    @param  size [base, WAD] change of exposure
    @param  limit_price [quote/base, WAD] worst average price, fee included; max_value / 0 leave it to the bands
    @return what was measured and paid
    """
    return self._rebalance(
        msg.sender, records._unpack_rule(self._rule, self._floors), venue_id, market, size, limit_price
    )


@external
def recall(venue_id: uint256, units: uint256) -> uint256:
    """
    @notice Turns a hedge back into cash while LP cash is below `recall_floor`: claims and traders' profits come first. In
            global settlement all of it may come back: there is nothing left to hedge. What a venue still holds without any
            exposure (collateral its lender could not pay out before) may come back at any time.
    @dev    U may rise, so the rule cannot judge it. The bands and a price floor do, nobody is paid, and no more is
            sold than LP cash lacks. It draws turnover without being stopped by it, so selling and buying back is bounded.
    @param  units [token units] wanted; cut to what is missing, in global settlement to what the exposure is worth
    @return [token units] received by the Clearinghouse
    """
    extcall CLEARINGHOUSE.begin()
    step: Step = self._observe(self._open(venue_id), 0)
    terms: IHedgeManager.Rule = records._unpack_rule(self._rule, self._floors)
    price: uint256 = step.mark.price
    if step.exposure == 0 and step.before.at_mid != 0:
        return self._bring_home(step, units)
    missing: int256 = convert(terms.recall_floor, int256) - step.before.lp_cash
    if staticcall CLEARINGHOUSE.frozen():
        missing = convert(wad.mul_up(signed.magnitude(step.exposure), price), int256)
    else:
        assert missing > 0, "hedge: LP cash suffices"
    wanted: uint256 = min(units, (convert(missing, uint256) + SCALE - 1) // SCALE)
    assert wanted != 0 and step.exposure != 0, "hedge: nothing to recall"
    size: int256 = convert(wad.div_up(wanted * SCALE, price), int256)
    if step.exposure > 0:
        size = -size
    step = self._priced(step, size)
    limit: uint256 = max_value(uint256)
    if size < 0:
        limit = 0
    limit = self._limit(size > 0, limit, price, step.tolerance)

    held: uint256 = staticcall ASSET.balanceOf(CLEARINGHOUSE.address)
    extcall IHedgeVenue(step.listing.venue).recall(wanted, limit, step.route)
    closed: Closing = self._judge_closing(step, size, held)
    self._settle(empty(address), 0, step.released + closed.release)
    log IHedgeManager.Recalled(
        venue_id=venue_id, caller=msg.sender, units=closed.received, cost=closed.cost, exposure=closed.exposure,
        equity=closed.equity,
    )
    return closed.received


@external
def unwind(venue_id: uint256, most: uint256) -> uint256:
    """
    @notice Closes what a venue that owes must close because its health is below its floor, before its lender sells its
            collateral at a penalty. A step of at least a quarter of that is paid gas and the reward by size, as far as LP cash
            goes; a smaller one, for a shallow pool, is not.
    @dev    U may rise, so the rule cannot judge it; the bands and a price limit do, as in `recall`. Paid steps are few: each
            brings the venue a quarter of the way from its floor to its target. No cool-down: nobody holds it up with crumbs.
    @param  most [base, WAD] to close at most
    @return [base, WAD] closed
    """
    extcall CLEARINGHOUSE.begin()
    step: Step = self._open(venue_id)
    # a venue that owes nothing does not know the question
    strain: int256 = convert(convert(
        (self._try_view(step.listing.venue, method_id("strain()", output_type=bytes4), 0))[1], bytes32
    ), int256)
    assert strain != 0, "hedge: venue is healthy"
    size: int256 = convert(min(most, signed.magnitude(strain)), int256)
    if strain < 0:
        size = -size
    assert size != 0, "hedge: zero size"
    step = self._priced(self._observe(step, 0), size)
    limit: uint256 = max_value(uint256)
    if size < 0:
        limit = 0
    limit = self._limit(size > 0, limit, step.mark.price, step.tolerance)
    held: uint256 = staticcall ASSET.balanceOf(CLEARINGHOUSE.address)
    extcall IHedgeVenue(step.listing.venue).rebalance(size, limit, step.route)
    closed: Closing = self._judge_closing(step, size, held)
    terms: IHedgeManager.Rule = records._unpack_rule(self._rule, self._floors)
    change: uint256 = signed.magnitude(closed.exposure - step.exposure)
    paid: uint256 = 0
    if 4 * change >= signed.magnitude(strain):
        lp_cash: int256 = (staticcall CLEARINGHOUSE.vault_ledger())[0]
        paid = self._gas(terms, step) + rule._reward(0, 0, closed.notional, 0, terms.size_reward)
        paid = min(paid, convert(max(lp_cash, 0), uint256))
    self._settle(msg.sender, paid, step.released + closed.release)
    log IHedgeManager.Unwound(
        venue_id=venue_id, keeper=msg.sender, paid=paid, cost=closed.cost, exposure=closed.exposure, equity=closed.equity
    )
    return change


@external
def poke(venue_id: uint256):
    """
    @notice Tells Inventory what the venue truly holds: donations, interest, losses, or nothing if it does not answer.
    """
    extcall CLEARINGHOUSE.begin()
    listing: records.Listing = self._listing(venue_id)
    mark: IPriceOracle.Mark = extcall ORACLE.sync(listing.market)
    answered: bool = False
    exposure: int256 = 0
    equity: uint256 = 0
    if not listing.retired:
        answered, exposure, equity = self._read(listing.venue, mark.price)
    state: IHedgeManager.VenueState = empty(IHedgeManager.VenueState)
    released: uint256 = 0
    state, released = self._mark(venue_id, listing.market, mark, answered, exposure, equity, 0)
    self._settle(empty(address), 0, released)


# ------------------------------------------------------------------ privileged

@external
def rebalance_for(
    agent: address, eta_bps: uint256, venue_id: uint256, market: uint256, size: int256, limit_price: uint256
) -> IHedgeManager.Outcome:
    """
    @notice `rebalance` with another share for its keeper: a hedge under a mandate.
    @dev    The rule is the same, so no share can make a hedge cost more than phi of the fall it causes.
    @param  agent who is paid
    @param  eta_bps [bps] share of what the hedge frees beyond its cost, instead of the rule's
    """
    roles._check(roles.Role.HEDGER)
    assert eta_bps <= records.MAX_ETA_BPS, "hedge: parameter out of bounds"
    terms: IHedgeManager.Rule = records._unpack_rule(self._rule, self._floors)
    terms.eta_bps = eta_bps
    return self._rebalance(agent, terms, venue_id, market, size, limit_price)


@external
def list_venue(venue: address, market: uint256, params: IHedgeManager.VenueParams) -> uint256:
    """
    @notice Adds a venue of a market that oracle and Inventory know.
    @return its id
    """
    roles._check(roles.Role.SETUP | roles.Role.GOVERNOR)
    assert market < c.MAX_MARKETS, "hedge: wrong market"
    assert venue.is_contract, "hedge: not a venue"
    venue_id: uint256 = self.venue_count
    assert venue_id < c.MAX_VENUES, "hedge: too many venues"
    for word: uint256 in self._listings:
        assert records._unpack_listing(word).venue != venue, "hedge: venue listed already"
    self._listings[venue_id] = records._pack_listing(
        records.Listing(venue=venue, market=market, paused=False, retired=False, haircut_bps=params.haircut_bps)
    )
    self.venue_count = venue_id + 1
    log IHedgeManager.VenueListed(venue_id=venue_id, market=market, venue=venue)
    self._set_params(venue_id, params)
    return venue_id


@external
def set_venue_params(venue_id: uint256, params: IHedgeManager.VenueParams):
    """
    @notice Sets what a venue may do.
    """
    roles._check(roles.Role.GOVERNOR | roles.Role.SETUP | roles.Role.STEWARD)
    listing: records.Listing = self._listing(venue_id)
    listing.haircut_bps = params.haircut_bps
    self._set_params(venue_id, params)
    self._listings[venue_id] = records._pack_listing(listing)


@external
def set_rule(terms: IHedgeManager.Rule):
    """
    @notice Sets what a hedge may cost and what its keeper earns.
    """
    roles._check(roles.Role.GOVERNOR | roles.Role.SETUP | roles.Role.STEWARD)
    self._rule = records._pack_rule(terms)
    self._floors = records._pack_floors(terms)
    log IHedgeManager.RuleSet(rule=terms)


@external
def pause_venue(venue_id: uint256):
    """
    @notice Allows only steps that bring the venue's exposure nearer to zero.
    """
    roles._check(roles.Role.GUARDIAN | roles.Role.GOVERNOR)
    self._set_paused(venue_id, True)


@external
def unpause_venue(venue_id: uint256):
    """
    @notice Ends a pause. The guardian cannot.
    """
    roles._check(roles.Role.GOVERNOR)
    self._set_paused(venue_id, False)


@external
def retire_venue(venue_id: uint256):
    """
    @notice Writes a venue off for good: it counts as zero from the next poke on, and in `equity` at once.
    @dev    For a venue that is lost or lies. Recall what can be recalled first.
    """
    roles._check(roles.Role.GOVERNOR)
    listing: records.Listing = self._listing(venue_id)
    listing.retired = True
    self._listings[venue_id] = records._pack_listing(listing)
    log IHedgeManager.VenueRetired(venue_id=venue_id)


# ------------------------------------------------------------------ views

@view
@external
def equity(prices: DynArray[uint256, c.MAX_MARKETS]) -> uint256:
    """
    @notice What LPs own at all venues, after haircuts. A venue that does not answer is zero.
    @dev    Believes its argument: whoever asks with other prices gets an answer about them, and nobody else does. Reverts only
            without a venue's price, and when the caller sent too little gas to tell a dead venue from a starved one.
    @param prices [quote/base, WAD] what PriceOracle.peek answers now, market by market
    @return [quote, WAD]
    """
    total: uint256 = 0
    for venue_id: uint256 in range(c.MAX_VENUES):
        word: uint256 = self._listings[venue_id]
        if word == 0:
            break
        listing: records.Listing = records._unpack_listing(word)
        if not listing.retired:
            answered: bool = False
            amount: uint256 = 0
            answered, amount = self._read_equity(listing.venue, prices[listing.market])
            if answered:
                total += rule._after_haircut(amount, listing.haircut_bps)
    return total


@view
@external
def venue(venue_id: uint256) -> records.Listing:
    """
    @return address, market, paused, retired
    """
    return self._listing(venue_id)


@view
@external
def venue_params(venue_id: uint256) -> IHedgeManager.VenueParams:
    """
    @return what the venue may do
    """
    return records._unpack_params(self._params[venue_id], self._listing(venue_id).haircut_bps)


@view
@external
def venue_state(venue_id: uint256) -> IHedgeManager.VenueState:
    """
    @return what was last reported to Inventory, and turnover
    """
    self._listing(venue_id)
    return self._state(venue_id)


@view
@external
def terms() -> IHedgeManager.Rule:
    """
    @return the rule's parameters
    """
    return records._unpack_rule(self._rule, self._floors)


# ------------------------------------------------------------------ internal: one step

@internal
def _rebalance(
    payee: address, terms: IHedgeManager.Rule, venue_id: uint256, market: uint256, size: int256, limit_price: uint256
) -> IHedgeManager.Outcome:
    """
    @notice The hedge itself, judged and paid by `terms`.
    """
    assert size != 0, "hedge: zero size"
    extcall CLEARINGHOUSE.begin()
    step: Step = self._open(venue_id)
    assert step.listing.market == market, "hedge: wrong market"
    step = self._priced(step, size)
    assert step.prices.fee <= step.params.fee_cap * (c.WAD // rule.PIPS), "hedge: venue fee too high"
    step = self._observe(step, step.prices.twap)
    self._check_pause(step, size)
    assert (
        step.state.traded_at == 0 or block.timestamp - step.state.traded_at >= step.params.cooldown
    ), "hedge: cooling down"

    price: uint256 = step.mark.price
    before: rule.Holdings = step.before
    limit: uint256 = self._limit(size > 0, limit_price, price, step.tolerance)
    self._fund(step, size, limit)
    held: uint256 = staticcall ASSET.balanceOf(CLEARINGHOUSE.address)
    extcall IHedgeVenue(step.listing.venue).rebalance(size, limit, step.route)
    self._collect(held)

    exposure: int256 = 0
    after: rule.Holdings = empty(rule.Holdings)
    exposure, after = self._holdings(step, step.prices.twap)
    filled: int256 = exposure - step.exposure
    assert filled != 0 and (filled > 0) == (size > 0) and abs(filled) <= abs(size), "hedge: bad fill"
    assert signed.magnitude(exposure) <= step.params.cap or abs(exposure) < abs(step.exposure), "hedge: venue cap"
    notional: uint256 = wad.mul_up(signed.magnitude(filled), price)
    # better than every price it may have traded at is not luck but a lie
    assert rule._loss_at_mid(before, after) >= -convert(wad.mul_up(notional, step.tolerance), int256), "hedge: impossible gain"
    self._check_spot(step)
    step.state.used = rule._turnover(
        step.state.used, block.timestamp - step.state.traded_at, step.params.turnover, notional
    )
    assert step.state.used <= step.params.turnover, "hedge: turnover spent"

    assert after.lp_cash >= before.lp_cash or after.lp_cash >= convert(terms.lp_floor, int256), "hedge: LP cash too low"
    fall: IInventory.Fall = self._report(step, exposure, after)
    outcome: IHedgeManager.Outcome = IHedgeManager.Outcome(
        filled=filled,
        cost=rule._cost(before, after, step.params.haircut_bps, notional, step.prices.fee),
        reward=0,
        gas=self._gas(terms, step),
        fall=fall.fall,
        released=0,
    )
    outcome.reward = rule._reward(fall.freed, outcome.cost, notional, terms.eta_bps, terms.size_reward)
    spent: uint256 = outcome.cost + outcome.reward + outcome.gas
    assert spent <= rule._budget(terms.phi_bps, fall.fall), "hedge: costs more than it saves"
    outcome.released = min(fall.excess, spent)

    self._settle(payee, outcome.reward + outcome.gas, step.released + fall.release + outcome.released)
    log IHedgeManager.Rebalanced(
        venue_id=venue_id, keeper=payee, outcome=outcome, exposure=exposure, equity=after.at_mid
    )
    return outcome


@internal
def _open(venue_id: uint256) -> Step:
    """
    @notice Records the newest round, and checks that its mark may be traded on.
    """
    listing: records.Listing = self._listing(venue_id)
    assert not listing.retired, "hedge: venue retired"
    params: IHedgeManager.VenueParams = records._unpack_params(
        self._params[venue_id], listing.haircut_bps
    )
    mark: IPriceOracle.Mark = extcall ORACLE.sync(listing.market)
    assert mark.fresh, "oracle: stale price"
    assert params.max_age == 0 or block.timestamp - mark.updated_at <= params.max_age, "hedge: price too old"
    step: Step = empty(Step)
    step.venue_id = venue_id
    step.listing = listing
    step.params = params
    step.mark = mark
    return step


@internal
def _observe(opened: Step, twap: uint256) -> Step:
    """
    @notice Puts into the step what the venue and LPs hold, and tells Inventory first if more than DRIFT of exposure has come or gone
            by itself. Equity is told together with the step: U does not depend on it before the next block.
    """
    step: Step = opened
    step.exposure, step.before = self._holdings(step, twap)
    step.state = self._state(step.venue_id)
    drift: uint256 = signed.magnitude(step.exposure - step.state.exposure)
    if drift * DRIFT > signed.magnitude(step.state.exposure):
        # books what the block's opening releases: the cover of U is taken from the ledger again when the step is told
        extcall INVENTORY.sync(step.listing.market)
        step.before.lp_cash = (staticcall CLEARINGHOUSE.vault_ledger())[0]
        step.state, step.released = self._mark(
            step.venue_id, step.listing.market, step.mark, True, step.exposure, step.before.at_mid, 0
        )
    return step


@internal
@view
def _check_pause(step: Step, size: int256):
    if step.listing.paused:
        assert (size > 0) != (step.exposure > 0) and abs(size) <= abs(step.exposure), "hedge: venue paused"


@internal
@view
def _priced(opened: Step, size: int256) -> Step:
    """@notice Finds the route and puts its prices, once they are within the bands, into the step."""
    step: Step = opened
    step.route = staticcall IHedgeVenue(step.listing.venue).best_route(size)
    step.prices = staticcall IHedgeVenue(step.listing.venue).prices(step.route)
    step.tolerance = rule._tolerance(step.prices.fee, step.params.band)
    self._check_band(step, step.prices.spot)
    return step


@internal
@view
def _check_band(step: Step, spot: uint256):
    assert rule._is_near(spot, step.mark.price, step.tolerance), "hedge: venue off the oracle"
    assert rule._is_near(spot, step.prices.twap, step.tolerance), "hedge: venue off its average"


@internal
@view
def _check_spot(step: Step):
    """@notice The bands again, after the trade, which moves no average within its block."""
    self._check_band(step, staticcall IHedgeVenue(step.listing.venue).spot(step.route, step.prices.twap))


@internal
@view
def _holdings(step: Step, twap: uint256) -> (int256, rule.Holdings):
    """
    @notice LP cash and venue equity, the venue at the oracle's price and at its own average; 0: that is not needed.
    @return exposure [base, WAD] and holdings
    """
    held: IHedgeVenue.Position = staticcall IHedgeVenue(step.listing.venue).position(step.mark.price, twap)
    assert (
        self._is_sane(held.exposure, held.at_mid, step.mark.price) and held.at_twap < MAX_VALUE
    ), "hedge: bad answer"
    return held.exposure, rule.Holdings(
        lp_cash=(staticcall CLEARINGHOUSE.vault_ledger())[0], at_mid=held.at_mid, at_twap=held.at_twap
    )


@internal
@pure
def _limit(buying: bool, limit_price: uint256, price: uint256, tolerance: uint256) -> uint256:
    """@notice The caller's limit, but never beyond fee + band from the oracle."""
    slack: uint256 = wad.mul_down(price, tolerance)
    if buying:
        return min(limit_price, price + slack)
    return max(limit_price, price - slack)


@internal
def _fund(step: Step, size: int256, limit: uint256):
    units: uint256 = staticcall IHedgeVenue(step.listing.venue).funding(size, limit)
    if units != 0:
        wanted: uint256 = units * SCALE
        assert (
            wanted <= MAX_FUNDING * wad.mul_up(signed.magnitude(size), step.mark.price) + SCALE
        ), "hedge: venue asks too much"
        assert convert(wanted, int256) <= step.before.lp_cash, "hedge: LP cash too low"
        extcall CLEARINGHOUSE.fund(step.listing.venue, units)


@internal
def _collect(held: uint256) -> uint256:
    """
    @notice Books what reached the Clearinghouse since its balance was `held`.
    @dev    The operation in progress keeps deposits and withdrawals out meanwhile; a plain transfer is a gift to LPs.
    """
    received: uint256 = staticcall ASSET.balanceOf(CLEARINGHOUSE.address) - held
    if received != 0:
        extcall CLEARINGHOUSE.collect(received)
    return received


@internal
def _bring_home(step: Step, units: uint256) -> uint256:
    """
    @notice Turns what a venue without exposure holds into LP cash: nothing is traded, so nothing may be lost but rounding.
    @dev    Time of the last trade and turnover stay: a stranger's gift brought home holds up no hedge.
    """
    held: uint256 = staticcall ASSET.balanceOf(CLEARINGHOUSE.address)
    wanted: uint256 = min(units, (step.before.at_mid + SCALE - 1) // SCALE)
    extcall IHedgeVenue(step.listing.venue).recall(wanted, step.mark.price, 0)
    received: uint256 = self._collect(held)
    exposure: int256 = 0
    after: rule.Holdings = empty(rule.Holdings)
    exposure, after = self._holdings(step, 0)
    cost: int256 = rule._loss_at_mid(step.before, after)
    assert received != 0 and exposure == 0, "hedge: bad fill"
    assert cost <= convert(SCALE, int256), "hedge: recall too dear"
    assert cost >= -convert(SCALE, int256), "hedge: impossible gain"
    state: IHedgeManager.VenueState = empty(IHedgeManager.VenueState)
    released: uint256 = 0
    state, released = self._mark(
        step.venue_id, step.listing.market, step.mark, True, 0, after.at_mid, step.before.lp_cash - after.lp_cash
    )
    self._settle(empty(address), 0, step.released + released)
    log IHedgeManager.Recalled(
        venue_id=step.venue_id, caller=msg.sender, units=received, cost=cost, exposure=0, equity=after.at_mid
    )
    return received


@internal
def _judge_closing(step: Step, size: int256, held: uint256) -> Closing:
    """
    @notice Books and reports a step toward zero that the rule did not judge: it must be one, and cost no more than the bands.
    @param  size [base, WAD] signed as asked of the venue
    @param  held [token units] the Clearinghouse's balance before
    """
    received: uint256 = self._collect(held)
    exposure: int256 = 0
    after: rule.Holdings = empty(rule.Holdings)
    exposure, after = self._holdings(step, 0)
    change: int256 = exposure - step.exposure
    assert (change > 0) == (size > 0) and change != 0 and abs(exposure) < abs(step.exposure), "hedge: bad fill"
    notional: uint256 = wad.mul_up(signed.magnitude(change), step.mark.price)
    cost: int256 = rule._loss_at_mid(step.before, after)
    most: int256 = convert(wad.mul_up(notional, step.tolerance) + SCALE, int256)
    assert cost <= most, "hedge: recall too dear"
    assert cost >= -most, "hedge: impossible gain"
    self._check_spot(step)
    spent: Step = step
    spent.state.used = rule._turnover(
        step.state.used, block.timestamp - step.state.traded_at, step.params.turnover, notional
    )
    fall: IInventory.Fall = self._report(spent, exposure, after)
    return Closing(
        received=received, notional=notional, cost=cost, exposure=exposure, equity=after.at_mid, release=fall.release
    )


@internal
def _report(step: Step, exposure: int256, after: rule.Holdings) -> IInventory.Fall:
    """@notice Tells Inventory what the step changed and remembers it, with the turnover that `step` says."""
    filled: int256 = exposure - step.exposure
    fall: IInventory.Fall = self._adjust(
        step.listing.market,
        step.mark,
        filled,
        convert(after.at_mid, int256) - rule._expected_equity(step.state, step.mark.price),
        step.before.lp_cash - after.lp_cash,
    )
    self._save(step.venue_id, IHedgeManager.VenueState(
        exposure=step.state.exposure + filled,
        equity=after.at_mid,
        price=step.mark.price,
        used=step.state.used,
        traded_at=block.timestamp,
    ))
    return fall


@internal
def _adjust(
    market: uint256, mark: IPriceOracle.Mark, delta: int256, equity: int256, moved: int256
) -> IInventory.Fall:
    """
    @notice Reports a change of a venue's exposure [base, WAD] and of its equity at the mark [quote, WAD].
    @param  moved [quote, WAD] LP cash that the venue has got on the way
    """
    return extcall INVENTORY.adjust(market, mark, IInventory.Change(
        exposure=IInventory.Exposure(delta=delta, gamma=0, vega=0),
        options=False,
        stress=empty(int256[c.N_STRESS]),
        notional=0,
        book=equity,
        vol_age=0,
        closing=False,
    ), moved)


@internal
def _settle(account: address, cash: uint256, released: uint256):
    """@notice Ends the operation."""
    if cash == 0 and released == 0:
        extcall CLEARINGHOUSE.end()
        return
    extcall CLEARINGHOUSE.settle(account, IClearinghouse.Settlement(
        cash=convert(cash, int256),
        reserve=-convert(released, int256),
        fees=0,
        opened=0,
        closed=0,
        payables=0,
    ))


@internal
@view
def _gas(terms: IHedgeManager.Rule, step: Step) -> uint256:
    """@notice Gas compensation; none while the gas token has no fresh price. @return [quote, WAD]."""
    if terms.gas_units == 0:
        return 0
    mark: IPriceOracle.Mark = step.mark
    if terms.gas_market != step.listing.market:
        mark = staticcall ORACLE.peek(terms.gas_market)
    if not mark.fresh:
        return 0
    return rule._gas(terms, block.basefee, mark.price)


# ------------------------------------------------------------------ internal: reading venues

@internal
def _mark(
    venue_id: uint256, market: uint256, mark: IPriceOracle.Mark, answered: bool, exposure: int256, equity: uint256,
    moved: int256,
) -> (IHedgeManager.VenueState, uint256):
    """
    @notice Reports to Inventory what the venue holds beyond what the last report and the price explain.
    @dev    Inventory takes the mark when it is told, so it values the last report at `mark.price` already. Differences of equity
            below MICRO are rounding and are left to add up.
    @param  moved as in `_adjust`
    @return the state as reported, and reserve due to LPs [quote, WAD] that the caller must book
    """
    state: IHedgeManager.VenueState = self._state(venue_id)
    expected: int256 = rule._expected_equity(state, mark.price)
    exposure_change: int256 = exposure - state.exposure
    equity_change: int256 = convert(equity, int256) - expected
    if exposure_change == 0 and signed.magnitude(equity_change) < c.MICRO and expected >= 0:
        return state, 0
    fall: IInventory.Fall = self._adjust(market, mark, exposure_change, equity_change, moved)
    state.exposure = exposure
    state.equity = equity
    state.price = mark.price
    self._save(venue_id, state)
    log IHedgeManager.VenueMarked(
        venue_id=venue_id,
        exposure=exposure,
        equity=equity,
        exposure_change=exposure_change,
        equity_change=equity_change,
        answered=answered,
    )
    return state, fall.release


@internal
@pure
def _is_sane(exposure: int256, equity: uint256, price: uint256) -> bool:
    return (
        exposure > -convert(MAX_EXPOSURE, int256) and exposure < convert(MAX_EXPOSURE, int256)
        and wad.mul_up(signed.magnitude(exposure), price) < MAX_VALUE and equity < MAX_VALUE
    )


@internal
@view
def _read(venue: address, price: uint256) -> (bool, int256, uint256):
    """@return answered, exposure [base, WAD], equity [quote, WAD]; zeros unless both answers make sense"""
    answered: bool = False
    word: uint256 = 0
    equity: uint256 = 0
    answered, word = self._try_view(venue, method_id("exposure()", output_type=bytes4), 0)
    if not answered:
        return False, 0, 0
    exposure: int256 = convert(convert(word, bytes32), int256)
    answered, equity = self._read_equity(venue, price)
    if not answered or not self._is_sane(exposure, equity, price):
        return False, 0, 0
    return True, exposure, equity


@internal
@view
def _read_equity(venue: address, price: uint256) -> (bool, uint256):
    answered: bool = False
    equity: uint256 = 0
    answered, equity = self._try_view(venue, method_id("equity(uint256)", output_type=bytes4), price)
    if equity >= MAX_VALUE:
        return False, 0
    return answered, equity


@internal
@view
def _try_view(venue: address, selector: bytes4, argument: uint256) -> (bool, uint256):
    """
    @notice A view of one word that cannot stop the caller, whatever the venue does.
    @dev    The callee surely gets VIEW_GAS, so out-of-gas is the venue's own doing. At most one word is copied back. A
            view without argument ignores the extra word.
    """
    assert msg.gas >= VIEW_GAS_NEEDED, "hedge: not enough gas"
    success: bool = False
    answer: Bytes[32] = b""
    success, answer = raw_call(
        venue,
        concat(selector, convert(argument, bytes32)),
        max_outsize=32,
        gas=VIEW_GAS,
        is_static_call=True,
        revert_on_failure=False,
    )
    if not success or len(answer) != 32:
        return False, 0
    return True, convert(answer, uint256)


# ------------------------------------------------------------------ internal: words

@internal
@view
def _listing(venue_id: uint256) -> records.Listing:
    assert venue_id < c.MAX_VENUES, "hedge: no such venue"
    word: uint256 = self._listings[venue_id]
    assert word != 0, "hedge: no such venue"
    return records._unpack_listing(word)


@internal
@view
def _state(venue_id: uint256) -> IHedgeManager.VenueState:
    return records._unpack_state(self._positions[venue_id], self._trails[venue_id])


@internal
def _save(venue_id: uint256, state: IHedgeManager.VenueState):
    self._positions[venue_id] = records._pack_position(state)
    self._trails[venue_id] = records._pack_trail(state)


@internal
def _set_params(venue_id: uint256, params: IHedgeManager.VenueParams):
    self._params[venue_id] = records._pack_params(params)
    log IHedgeManager.VenueParamsSet(venue_id=venue_id, params=params)


@internal
def _set_paused(venue_id: uint256, paused: bool):
    listing: records.Listing = self._listing(venue_id)
    listing.paused = paused
    self._listings[venue_id] = records._pack_listing(listing)
    log IHedgeManager.VenuePaused(venue_id=venue_id, paused=paused)
