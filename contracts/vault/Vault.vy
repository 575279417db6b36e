# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize codesize
# pragma nonreentrancy on
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  Vault: the share of the liquidity providers
@notice ERC-4626 deposits at the ask, ERC-7540 redemptions at the bid of the epoch. The vault holds no money: tokens go from the
        depositor to the Clearinghouse and from there to whoever claims.

        NAV = LP cash + what traders owe (PerpEngine.book_value) + what the vault's options are worth (OptionBook.book_value)
        + venues (HedgeManager.equity); the rebate reserve R is the traders'. With S the spreads (z = 3) on the net book
        and X(E) = max(0, U(E) - R), the part of the potential at equity E that R does not cover:

            ask = NAV + S + max(0, R - U(NAV + assets))     a deposit pays for the reserve that will be released to it
            bid = NAV - S - X(NAV)
            a queue of Q shares is paid  Q * bid / supply - (X(NAV - Q * bid / supply) - X(NAV))

        so the queue pays the whole rise of the potential that it leaves behind, not its own part of it only. (A
        bid of NAV - S - X(E') is the most a share is ever paid; alone it would leave the rest of the rise with those who
        stay, and break I7 where U outgrows R.) Payment is bounded by LP cash and by stressed loss / equity <= u_redeem.

        Actors: anyone deposits and processes epochs; an owner, its operator, or a spender of its allowance requests
        redemption; a controller or its operator claims; governor and setup set parameters inside the bounds below, the
        guardian pauses deposits and lowers the cap. Requests, processing and claims cannot be paused.

        Invariants:
        I7   (bid + one token) / (supply + one share), the bid not floored at 0, never falls for those who stay by an entry or exit;
        I11  self's own shares = pool pending + incoming; every controller of an epoch is filled by the same fraction;
             what is paid into claims covers what is owed; a queue worth less than one token unit waits;
        a preview answers what the act does in the same block, to the wei; the vault never keeps the asset.
@dev    Entries do not synchronise Inventory: one `peek` per market is what a sync would record, and `valuation` simulates the
        re-mark and the release. That is safe, because (a) the ask is NAV + S + max(0, R - U): a release, booked or not, moves
        the same amount from R to NAV; (b) U is asked at NAV + assets, not at stored risk capital; (c) risk capital is at
        most the equity of the last checkpoint, which is older than the deposit, so trades of the same block see no more
        capital than there was. Only `processEpoch` synchronises: it pays in cash that a due release may be part of.
        Compiled for size: it costs a deposit 120 gas and saves 700 bytes.
        `approve`, `permit` and the getters exported from the share token are outside this contract's lock: they touch allowances
        only. Transfers are wrapped, to be inside it and to refuse the vault itself as receiver.
        Twin: ballast/model/exact/vault.py.
@custom:kill pause_deposits() (guardian). Money that is in can still be requested, processed and claimed.
"""

from ethereum.ercs import IERC20
from ethereum.ercs import IERC20Detailed
from ethereum.ercs import IERC165
from ethereum.ercs import IERC4626
from interfaces import IClearinghouse
from interfaces import IHedgeManager
from interfaces import IInventory
from interfaces import IOptionBook
from interfaces import IPerpEngine
from interfaces import IPriceOracle
from interfaces import IVault

implements: IERC20
implements: IERC20Detailed
implements: IERC165
implements: IERC4626
implements: IVault

from snekmate.auth import ownable
from snekmate.tokens import erc20
from contracts import constants as c
from contracts.governance import roles
from contracts.math import wad
from contracts.vault import epochs
from contracts.vault import shares as pricing

initializes: ownable
initializes: erc20[ownable := ownable]
initializes: roles
initializes: epochs

exports: (
    # the share
    erc20.name,
    erc20.symbol,
    erc20.decimals,
    erc20.totalSupply,
    erc20.balanceOf,
    erc20.allowance,
    erc20.approve,
    erc20.permit,
    erc20.nonces,
    erc20.DOMAIN_SEPARATOR,
    erc20.eip712Domain,
    # who may do what
    roles.admin,
    roles.pending_admin,
    roles.roles_of,
    roles.grant_role,
    roles.revoke_role,
    roles.renounce_setup,
    roles.offer_admin,
    roles.accept_admin,
)


# What a price is made from.
struct Funds:
    net: int256                 # [quote, WAD] NAV, not floored
    nav: uint256                # [quote, WAD] NAV, floored at 0
    v: IInventory.Valuation     # at the equity that was asked about

# The markets, each read once per call.
struct Survey:
    oldest: uint256             # [s] when the oldest of the prices was observed, 0 if a mark is stale
    beside: int256              # [quote, WAD] what LPs own beside LP cash: claims on traders, options, venues
    vol_age: uint256            # [s] of the oldest surface that options are valued with
    marks: DynArray[IPriceOracle.Mark, c.MAX_MARKETS]


MAX_CAP: constant(uint256) = 10**10 * c.WAD             # LP cash is kept in 96 bits: 39.6e9
MIN_U_REDEEM: constant(uint256) = 10 * 10**16
MAX_U_REDEEM: constant(uint256) = 90 * 10**16
MIN_EPOCH: constant(uint256) = 3_600
MAX_EPOCH: constant(uint256) = 14 * c.DAY
MAX_SUPPLY: constant(uint256) = 2**128 - 1              # what the words of `epochs` hold

ASSET: immutable(IERC20)
SCALE: immutable(uint256)                               # [WAD per token unit]
CLEARINGHOUSE: immutable(IClearinghouse)
INVENTORY: immutable(IInventory)
ORACLE: immutable(IPriceOracle)
PERP_ENGINE: immutable(IPerpEngine)
OPTION_BOOK: immutable(IOptionBook)
HEDGE_MANAGER: immutable(IHedgeManager)

# deposit_cap u128 | u_redeem u64 | epoch_length u32 | paused u1: read by every deposit.
_params_word: uint256
# Who may request and claim for a controller.
isOperator: public(HashMap[address, HashMap[address, bool]])


@deploy
def __init__(
    admin: address,
    setup: address,
    clearinghouse: address,
    inventory: address,
    oracle: address,
    perp_engine: address,
    option_book: address,
    hedge_manager: address,
    name: String[25],
    symbol: String[5],
):
    """
    @param admin holds GOVERNOR from the start
    @param setup deployer that wires the system and then renounces
    """
    roles.__init__(admin, setup)
    ownable.__init__()
    erc20.__init__(name, symbol, 18, name, "1")
    # Shares are minted and burned by this contract's own rules alone.
    erc20.is_minter[msg.sender] = False
    ownable._transfer_ownership(empty(address))

    CLEARINGHOUSE = IClearinghouse(clearinghouse)
    INVENTORY = IInventory(inventory)
    ORACLE = IPriceOracle(oracle)
    PERP_ENGINE = IPerpEngine(perp_engine)
    OPTION_BOOK = IOptionBook(option_book)
    HEDGE_MANAGER = IHedgeManager(hedge_manager)
    ASSET = IERC20(staticcall IClearinghouse(clearinghouse).asset())
    SCALE = staticcall IClearinghouse(clearinghouse).scale()

    self._set_params(
        IVault.Params(deposit_cap=MAX_CAP, u_redeem=60 * 10**16, epoch_length=c.DAY), False
    )
    epochs.__init__(block.timestamp + c.DAY)


# ------------------------------------------------------------------ permissionless: in


@external
def deposit(assets: uint256, receiver: address) -> uint256:
    """
    @notice Brings assets in at the ask of this block.
    @param assets [token units]
    @return [shares, WAD] minted: what `previewDeposit` answers
    """
    return self._deposit(assets, receiver, 0)


@external
def deposit_at_least(assets: uint256, receiver: address, min_shares: uint256) -> uint256:
    """
    @notice `deposit` for callers that cannot check the price in the same transaction.
    @param assets [token units]
    @param min_shares [shares, WAD] the least the caller accepts
    @return [shares, WAD] minted
    """
    return self._deposit(assets, receiver, min_shares)


@external
def mint(shares: uint256, receiver: address) -> uint256:
    """
    @notice Mints exactly `shares` for what they cost in this block; the caller's allowance is its limit.
    @param shares [shares, WAD]
    @return [token units] paid: what `previewMint` answers
    """
    self._check_entry(shares, receiver)
    self._begin()
    assets: uint256 = 0
    net: int256 = 0
    oldest: uint256 = 0
    assets, net, oldest = self._mint_price(shares)
    self._enter(assets, shares, receiver, net, oldest)
    return assets


# ------------------------------------------------------------------ permissionless: out


@external
def requestRedeem(shares: uint256, controller: address, owner: address) -> uint256:
    """
    @notice Hands shares over for redemption at the end of the epoch.
    @dev    Touches no money and no price, so it needs neither sync nor the global flag, and nothing can stop it.
    @param shares [shares, WAD]
    @param controller who will claim
    @param owner whose shares they are: the caller, one that made it its operator, or one whose allowance it spends
    @return requestId: the epoch whose processing is the first to serve it
    """
    self._check_amount(shares)
    self._check_receiver(controller)
    if msg.sender != owner and not self.isOperator[owner][msg.sender]:
        erc20._spend_allowance(owner, msg.sender, shares)
    erc20._transfer(owner, self, shares)
    request: uint256 = epochs._request(controller, shares)
    log IVault.RedeemRequest(
        controller=controller, owner=owner, requestId=request, sender=msg.sender, shares=shares
    )
    return request


@external
def processEpoch() -> (uint256, uint256):
    """
    @notice Ends the epoch: prices the queue, burns what can be paid, and leaves the rest to the next one.
    @dev    Every price must be newer than the end, hence newer than every request in the pool. Synchronises, unlike entries: the
            queue may be paid from a release that is due, which must be cash by then.
    @return filled [shares, WAD] and paid [quote, WAD]
    """
    pool: epochs.Pool = epochs._load_pool()
    assert block.timestamp >= pool.ends_at, "vault: epoch not over"
    filled: uint256 = 0
    paid: uint256 = 0
    nav: uint256 = 0
    if pool.pending > 0:
        self._begin()
        extcall INVENTORY.sync_all()
        survey: Survey = self._survey()
        self._check_fresh(survey.oldest)
        assert survey.oldest >= pool.ends_at, "vault: price older than epoch"
        filled, paid, nav = self._fill(pool.pending, survey)
        if filled > 0:
            erc20._burn(self, filled)
            extcall CLEARINGHOUSE.earmark_claims(paid)
        self._end()
        # trades that follow in this block are priced at the equity that is left
        extcall INVENTORY.sync_all()
    processed: uint256 = pool.epoch
    pool = epochs._advance(pool, filled, paid, self._params().epoch_length)
    log IVault.EpochProcessed(
        epoch=processed,
        filled=filled,
        paid=paid,
        pending=pool.pending,
        supply=erc20.totalSupply,
        nav=nav,
        ends_at=pool.ends_at,
    )
    return filled, paid


@external
def redeem(shares: uint256, receiver: address, controller: address) -> uint256:
    """
    @notice Claims by redeemed shares.
    @dev    Taking the last share leaves less than one token unit behind, which is nobody's.
    @param shares [shares, WAD] at most maxRedeem(controller)
    @param controller the caller, or one that made it its operator
    @return [token units]
    """
    return self._claim(shares, 0, receiver, controller)[1]


@external
def withdraw(assets: uint256, receiver: address, controller: address) -> uint256:
    """
    @notice Claims by assets.
    @param assets [token units] at most maxWithdraw(controller)
    @param controller the caller, or one that made it its operator
    @return [shares, WAD] of the claim that this used up, rounded up
    """
    return self._claim(0, assets, receiver, controller)[0]


@external
def setOperator(operator: address, approved: bool) -> bool:
    """
    @notice Lets another address request and claim for the caller: it then controls the caller's shares and assets here.
    """
    self.isOperator[msg.sender][operator] = approved
    log IVault.OperatorSet(controller=msg.sender, operator=operator, approved=approved)
    return True


# ------------------------------------------------------------------ permissionless: the share


@external
def transfer(to: address, amount: uint256) -> bool:
    """
    @notice ERC-20, except that the vault itself cannot receive.
    """
    self._transfer(msg.sender, to, amount)
    return True


@external
def transferFrom(owner: address, to: address, amount: uint256) -> bool:
    """
    @notice ERC-20, except that the vault itself cannot receive.
    """
    erc20._spend_allowance(owner, msg.sender, amount)
    self._transfer(owner, to, amount)
    return True


# ------------------------------------------------------------------ privileged


@external
def set_params(params: IVault.Params):
    """
    @notice Sets the deposit cap, the redemption limit and the length of coming epochs.
    """
    roles._check(roles.Role.GOVERNOR | roles.Role.SETUP | roles.Role.STEWARD)
    self._set_params(params, self._paused())


@external
def lower_deposit_cap(deposit_cap: uint256):
    """
    @param deposit_cap [quote, WAD]
    """
    roles._check(roles.Role.GUARDIAN | roles.Role.GOVERNOR)
    params: IVault.Params = self._params()
    assert deposit_cap <= params.deposit_cap, "vault: cap may only fall"
    params.deposit_cap = deposit_cap
    self._set_params(params, self._paused())


@external
def pause_deposits():
    """
    @notice Stops deposits and mints; nothing else.
    """
    roles._check(roles.Role.GUARDIAN | roles.Role.GOVERNOR)
    self._set_paused(True)


@external
def unpause_deposits():
    """
    @notice Only the governor loosens.
    """
    roles._check(roles.Role.GOVERNOR)
    self._set_paused(False)


# ------------------------------------------------------------------ views: ERC-4626


@external
@view
def asset() -> address:
    """
    @return the quote token
    """
    return ASSET.address


@external
@view
def totalAssets() -> uint256:
    """
    @return [token units] NAV at mid, rounded down
    """
    return self._funds_view()[0].nav // SCALE


@external
@view
def convertToShares(assets: uint256) -> uint256:
    """
    @notice At mid NAV: neither spreads nor limits.
    @param assets [token units]
    @return [shares, WAD]
    """
    return pricing._shares_down(assets * SCALE, erc20.totalSupply, self._funds_view()[0].nav)


@external
@view
def convertToAssets(shares: uint256) -> uint256:
    """
    @notice At mid NAV: neither spreads nor limits.
    @param shares [shares, WAD]
    @return [token units]
    """
    return pricing._assets_down(shares, erc20.totalSupply, self._funds_view()[0].nav) // SCALE


@external
@view
def previewDeposit(assets: uint256) -> uint256:
    """
    @notice What `deposit` would mint now, to the wei; limits and pauses aside.
    @param assets [token units]
    @return [shares, WAD]
    """
    self._check_idle()
    return self._deposit_price(assets)[0]


@external
@view
def previewMint(shares: uint256) -> uint256:
    """
    @notice What `mint` would take now, to the unit; limits and pauses aside.
    @param shares [shares, WAD]
    @return [token units]
    """
    self._check_idle()
    return self._mint_price(shares)[0]


@external
@view
def maxDeposit(receiver: address) -> uint256:
    """
    @notice 0 while deposits are paused, a mark is stale, the vault owes more than it has, or an operation is under way.
    @return [token units]
    """
    return self._room()[0] // SCALE


@external
@view
def maxMint(receiver: address) -> uint256:
    """
    @return [shares, WAD] a mint of which stays within maxDeposit: priced with the whole reserve in the ask
    """
    room: uint256 = 0
    funds: Funds = empty(Funds)
    room, funds = self._room()
    if room == 0:
        return 0
    return pricing._shares_down(room - room % SCALE, erc20.totalSupply, self._ask(funds, 0))


@external
@view
def maxRedeem(controller: address) -> uint256:
    """
    @return [shares, WAD] claimable
    """
    return self._record(controller).claim_shares


@external
@view
def maxWithdraw(controller: address) -> uint256:
    """
    @return [token units] claimable
    """
    return self._record(controller).claim_assets // SCALE


@external
@view
def previewRedeem(shares: uint256) -> uint256:
    """
    @notice Reverts: redemption is asynchronous (ERC-7540).
    """
    return self._refuse()


@external
@view
def previewWithdraw(assets: uint256) -> uint256:
    """
    @notice Reverts: redemption is asynchronous (ERC-7540).
    """
    return self._refuse()


# ------------------------------------------------------------------ views: ERC-7540, ERC-7575, ERC-165


@external
@view
def pendingRedeemRequest(requestId: uint256, controller: address) -> uint256:
    """
    @return [shares, WAD] not yet redeemed
    """
    record: epochs.Record = self._record(controller)
    if requestId == record.settled.request:
        return record.settled.shares
    if requestId == record.late.request:
        return record.late.shares
    return 0


@external
@view
def claimableRedeemRequest(requestId: uint256, controller: address) -> uint256:
    """
    @return [shares, WAD] redeemed and not yet claimed
    """
    record: epochs.Record = self._record(controller)
    if requestId == record.settled.request:
        return record.claim_shares
    return 0


@external
@view
def share() -> address:
    """
    @return this contract, which is its own share token
    """
    return self


@external
@view
def vault(asset: address) -> address:
    """
    @return the vault of this share token for an asset; zero if there is none (ERC-7575)
    """
    if asset == ASSET.address:
        return self
    return empty(address)


@external
@view
def supportsInterface(interface_id: bytes4) -> bool:
    """
    @notice ERC-165, ERC-7540 operators and asynchronous redemption, ERC-7575 vault and share.
    """
    id: uint32 = convert(interface_id, uint32)      # half the size of comparing bytes4
    return (
        id == convert(0x01ffc9a7, uint32)
        or id == convert(0xe3bc4e65, uint32)
        or id == convert(0x620ee8e4, uint32)
        or id == convert(0x2f0a18c5, uint32)
        or id == convert(0xf815c03d, uint32)
    )


# ------------------------------------------------------------------ views: the rest


@external
@view
def preview_epoch() -> (uint256, uint256):
    """
    @notice What processing would fill and pay if the epoch ended now, whatever the age of prices.
    @return filled [shares, WAD] and paid [quote, WAD]
    """
    pending: uint256 = epochs._load_pool().pending
    if pending == 0:
        return 0, 0
    self._check_idle()
    filled: uint256 = 0
    paid: uint256 = 0
    nav: uint256 = 0
    filled, paid, nav = self._fill(pending, self._survey())
    return filled, paid


@external
@view
def valuation() -> IVault.Valuation:
    """
    @notice The prices of infinitesimal entries and exits.
    """
    funds: Funds = self._funds_view()[0]
    return IVault.Valuation(
        nav=funds.net,
        ask=self._ask(funds, funds.v.potential),
        bid=pricing._bid(funds.nav, funds.v.spread, wad.sub_floor(funds.v.potential, funds.v.reserve)),
        supply=erc20.totalSupply,
        available=self._available(funds),
    )


@external
@view
def epoch() -> IVault.Epoch:
    """
    @return the epoch that will be processed next
    """
    pool: epochs.Pool = epochs._load_pool()
    return IVault.Epoch(
        id=pool.epoch, ends_at=pool.ends_at, pending=pool.pending, incoming=epochs._incoming
    )


@external
@view
def position(controller: address) -> IVault.Position:
    """
    @return everything that a controller has requested and not claimed
    """
    record: epochs.Record = self._record(controller)
    return IVault.Position(
        pending=record.settled.shares,
        late=record.late.shares,
        claimable_shares=record.claim_shares,
        claimable_assets=record.claim_assets,
        request_id=record.settled.request,
        late_id=record.late.request,
    )


@external
@view
def params() -> IVault.Params:
    """
    @return parameters in force
    """
    return self._params()


@external
@view
def deposits_paused() -> bool:
    """
    @return whether deposits and mints are stopped
    """
    return self._paused()


@external
@view
def neighbours() -> (address, address, address, address, address, address):
    """
    @return clearinghouse, inventory, oracle, perp engine, option book, hedge manager
    """
    return (
        CLEARINGHOUSE.address,
        INVENTORY.address,
        ORACLE.address,
        PERP_ENGINE.address,
        OPTION_BOOK.address,
        HEDGE_MANAGER.address,
    )


# ------------------------------------------------------------------ internal: prices


@internal
@view
def _survey() -> Survey:
    """
    @notice Reads every feed once, as a sync in this block would record it, and values what LPs own beside LP cash.
    @dev    A board of options that is off its point or not settled makes the marks as stale as an old price does.
    """
    survey: Survey = empty(Survey)
    survey.oldest = max_value(uint256)
    prices: DynArray[uint256, c.MAX_MARKETS] = []
    count: uint256 = staticcall INVENTORY.market_count()
    for market: uint256 in range(count, bound=c.MAX_MARKETS):
        mark: IPriceOracle.Mark = staticcall ORACLE.peek(market)
        if not mark.fresh:
            survey.oldest = 0
        survey.oldest = min(survey.oldest, mark.updated_at)
        survey.marks.append(mark)
        prices.append(mark.price)
    usable: bool = False
    survey.beside, survey.vol_age, usable = staticcall OPTION_BOOK.book_value(prices)
    if not usable:
        survey.oldest = 0
    survey.beside += staticcall PERP_ENGINE.book_value(prices) + convert(
        staticcall HEDGE_MANAGER.equity(prices), int256
    )
    return survey


@internal
@view
def _funds(survey: Survey, change: int256) -> Funds:
    """
    @notice NAV, release due included, and Inventory's answer about NAV + change.
    @param change [quote, WAD] of equity by the LP action
    """
    v: IInventory.Valuation = staticcall INVENTORY.valuation(
        survey.beside + change, survey.marks, survey.vol_age
    )
    net: int256 = v.lp_cash + survey.beside
    return Funds(net=net, nav=convert(max(net, 0), uint256), v=v)


@internal
@view
def _funds_view() -> (Funds, uint256):
    """
    @notice What an entry would be judged by now, for views; refuses inside another operation.
    @return funds at NAV and [s] the oldest price
    """
    self._check_idle()
    survey: Survey = self._survey()
    return self._funds(survey, 0), survey.oldest


@internal
@view
def _busy() -> bool:
    return staticcall CLEARINGHOUSE.in_progress()


@internal
@view
def _check_idle():
    assert not self._busy(), "clearing: in progress"


@internal
@pure
def _check_fresh(oldest: uint256):
    assert oldest > 0, "vault: stale mark"


@internal
@view
def _ask(funds: Funds, potential: uint256) -> uint256:
    """@return [quote, WAD] NAV at which an entry that leaves U at `potential` enters"""
    return pricing._ask(funds.nav, funds.v.spread, funds.v.reserve, potential)


@internal
@view
def _deposit_price(assets: uint256) -> (uint256, int256, uint256):
    """
    @param assets [token units]
    @return [shares, WAD], [quote, WAD] NAV before, not floored, and [s] the oldest price
    """
    amount: uint256 = assets * SCALE
    survey: Survey = self._survey()
    funds: Funds = self._funds(survey, convert(amount, int256))
    shares: uint256 = pricing._shares_down(amount, erc20.totalSupply, self._ask(funds, funds.v.potential))
    return shares, funds.net, survey.oldest


@internal
@view
def _mint_price(shares: uint256) -> (uint256, int256, uint256):
    """
    @notice U falls with equity, so the equity that an overestimate of the cost leads to gives the dearest ask.
    @param shares [shares, WAD]
    @return [token units], [quote, WAD] NAV before, not floored, and [s] the oldest price
    """
    supply: uint256 = erc20.totalSupply
    survey: Survey = self._survey()
    funds: Funds = self._funds(survey, 0)
    most: uint256 = self._units_up(pricing._assets_up(shares, supply, self._ask(funds, 0)))
    funds = self._funds(survey, convert(most * SCALE, int256))
    assets: uint256 = self._units_up(
        pricing._assets_up(shares, supply, self._ask(funds, funds.v.potential))
    )
    return assets, funds.net, survey.oldest


@internal
@view
def _fill(queue: uint256, survey: Survey) -> (uint256, uint256, uint256):
    """
    @notice What of a queue can be paid, and how much.
    @dev    A part is priced as a part: it leaves a smaller rise of U behind than the whole would. Nothing is burned for nothing.
    @return filled [shares, WAD], paid [quote, WAD, whole token units] and NAV before [quote, WAD]
    """
    funds: Funds = self._funds(survey, 0)
    uncovered: uint256 = wad.sub_floor(funds.v.potential, funds.v.reserve)
    bid: uint256 = pricing._bid(funds.nav, funds.v.spread, uncovered)
    if bid == 0:
        return 0, 0, funds.nav
    available: uint256 = self._available(funds)
    filled: uint256 = queue
    paid: uint256 = self._payout(queue, bid, uncovered, survey)
    if paid > available:
        filled = wad.mul_div_down(queue, available, paid)
        paid = min(available, self._payout(filled, bid, uncovered, survey))
    paid -= paid % SCALE
    if paid == 0:
        filled = 0
    return filled, paid, funds.nav


@internal
@view
def _payout(shares: uint256, bid: uint256, uncovered: uint256, survey: Survey) -> uint256:
    """
    @notice What shares are paid together: their value at the bid, less the whole rise of max(0, U - R) that paying it causes.
    @dev    U is asked at an equity at or below the one that the payment leaves, where it is at or above U there.
    @param uncovered max(0, U - R) at NAV
    """
    gross: uint256 = pricing._assets_down(shares, erc20.totalSupply, bid)
    after: IInventory.Valuation = self._funds(survey, -convert(gross, int256)).v
    return wad.sub_floor(gross, wad.sub_floor(wad.sub_floor(after.potential, after.reserve), uncovered))


@internal
@view
def _available(funds: Funds) -> uint256:
    """
    @return [quote, WAD] what can be paid, in tokens that are there, without touching other people's cash or leaving stressed
            loss / equity > u_redeem
    """
    return min(
        min(convert(max(funds.v.lp_cash, 0), uint256), staticcall CLEARINGHOUSE.free_cash()),
        wad.sub_floor(funds.nav, wad.div_up(funds.v.stressed_loss, self._params().u_redeem)),
    )


@internal
@view
def _room() -> (uint256, Funds):
    """@return [quote, WAD] that may still come in (it never reverts), and what it was judged by"""
    funds: Funds = empty(Funds)
    if self._paused() or self._busy():
        return 0, funds
    oldest: uint256 = 0
    funds, oldest = self._funds_view()
    if oldest == 0 or funds.net < 0:
        return 0, funds
    return wad.sub_floor(self._params().deposit_cap, funds.nav), funds


@internal
@view
def _units_up(amount: uint256) -> uint256:
    """@return [token units] at least `amount` [quote, WAD]"""
    return (amount + (SCALE - 1)) // SCALE


# ------------------------------------------------------------------ internal: the rest


@internal
@view
def _check_entry(amount: uint256, receiver: address):
    assert not self._paused(), "vault: deposits paused"
    self._check_amount(amount)
    self._check_receiver(receiver)


@internal
@pure
def _check_amount(amount: uint256):
    assert amount > 0, "vault: zero amount"


@internal
@pure
def _refuse() -> uint256:
    assert False, "vault: redemption is async"
    return 0


@internal
@view
def _check_receiver(receiver: address):
    assert receiver != empty(address) and receiver != self, "vault: bad receiver"


@internal
def _deposit(assets: uint256, receiver: address, min_shares: uint256) -> uint256:
    self._check_entry(assets, receiver)
    self._begin()
    minted: uint256 = 0
    net: int256 = 0
    oldest: uint256 = 0
    minted, net, oldest = self._deposit_price(assets)
    assert minted >= max(min_shares, 1), "vault: too few shares"
    self._enter(assets, minted, receiver, net, oldest)
    return minted


@internal
def _enter(units: uint256, shares: uint256, receiver: address, net: int256, oldest: uint256):
    """
    @notice Mints, and brings the money from the caller to the Clearinghouse; ends the operation.
    @dev    Measured: a token that keeps a fee on transfer is refused.
    @param net [quote, WAD] NAV before
    @param oldest [s] when the oldest price was observed, 0 if a mark is stale
    """
    self._check_fresh(oldest)
    assert net >= 0, "vault: insolvent"
    assert convert(net, uint256) + units * SCALE <= self._params().deposit_cap, "vault: deposit cap"
    erc20._mint(receiver, shares)
    assert erc20.totalSupply <= MAX_SUPPLY  # dev: a request must fit the words of epochs
    log IERC4626.Deposit(sender=msg.sender, owner=receiver, assets=units, shares=shares)
    expected: uint256 = self._held() + units
    moved: bool = extcall ASSET.transferFrom(
        msg.sender, CLEARINGHOUSE.address, units, default_return_value=True
    )
    assert moved and self._held() == expected, "vault: amount received"
    extcall CLEARINGHOUSE.receive_deposit(units)
    self._end()


@internal
def _begin():
    """@dev Here and in `_end`, once, for size."""
    extcall CLEARINGHOUSE.begin()


@internal
def _end():
    extcall CLEARINGHOUSE.end()


@internal
@view
def _held() -> uint256:
    """@return [token units] in the Clearinghouse; only ever compared before and after a transfer"""
    return staticcall ASSET.balanceOf(CLEARINGHOUSE.address)


@internal
@view
def _record(controller: address) -> epochs.Record:
    return epochs._record(controller, epochs._load_pool())


@internal
def _claim(shares: uint256, assets: uint256, receiver: address, controller: address) -> (uint256, uint256):
    """
    @notice Takes part of a controller's claim, by shares if `shares` > 0, else by assets; the other is rounded against it.
    @dev    The last share takes what is less than a token unit with it. The token is sent last.
    @return shares [WAD] and assets [token units] taken
    """
    assert msg.sender == controller or self.isOperator[controller][msg.sender], "vault: not operator"
    self._check_amount(shares | assets)
    record: epochs.Record = self._record(controller)
    amount: uint256 = assets * SCALE
    assert shares <= record.claim_shares and amount <= record.claim_assets, "vault: more than claimable"
    # products of two numbers below 2^128; the divisor is not 0, being at least the positive one of the two arguments
    taken: uint256 = shares
    units: uint256 = assets
    if shares > 0:
        units = record.claim_assets * shares // record.claim_shares // SCALE
        amount = units * SCALE
    else:
        taken = wad.mul_div_up(record.claim_shares, amount, record.claim_assets)
    record.claim_shares -= taken
    record.claim_assets -= amount
    if record.claim_shares == 0 and record.claim_assets < SCALE:
        record.claim_assets = 0
    epochs._save_record(controller, record)
    log IERC4626.Withdraw(
        sender=msg.sender, receiver=receiver, owner=controller, assets=units, shares=taken
    )
    if units > 0:
        self._begin()
        extcall CLEARINGHOUSE.pay_claim(receiver, units)
        self._end()
    return taken, units


@internal
def _transfer(owner: address, to: address, amount: uint256):
    self._check_receiver(to)
    erc20._transfer(owner, to, amount)


@internal
def _set_params(params: IVault.Params, paused: bool):
    assert (
        params.deposit_cap <= MAX_CAP
        and params.u_redeem >= MIN_U_REDEEM
        and params.u_redeem <= MAX_U_REDEEM
        and params.epoch_length >= MIN_EPOCH
        and params.epoch_length <= MAX_EPOCH
    ), "vault: params out of bounds"
    self._params_word = (
        params.deposit_cap
        | (params.u_redeem << 128)
        | (params.epoch_length << 192)
        | (convert(paused, uint256) << 224)
    )
    log IVault.ParamsSet(params=params)


@internal
def _set_paused(paused: bool):
    word: uint256 = self._params_word & (2**224 - 1)
    self._params_word = word | (convert(paused, uint256) << 224)
    log IVault.DepositsPaused(paused=paused, by=msg.sender)


@internal
@view
def _params() -> IVault.Params:
    word: uint256 = self._params_word
    return IVault.Params(
        deposit_cap=word & (2**128 - 1),
        u_redeem=(word >> 128) & (2**64 - 1),
        epoch_length=(word >> 192) & (2**32 - 1),
    )


@internal
@view
def _paused() -> bool:
    return self._params_word >> 224 != 0
