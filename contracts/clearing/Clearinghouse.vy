# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# pragma nonreentrancy on
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  Clearinghouse: the only contract that holds the quote token
@notice Traders put margin in and take it out. Engines, HedgeManager and Vault move value between buckets, never tokens
        past them. LP cash is what is left: whatever an account gains, LP cash loses, and the other way round (I4).

        Actors: anyone deposits for any account; an account's owner or operator withdraws; ENGINE settles trades; CLOSER
        takes penalties and pays rewards; HEDGER funds venues, collects from them and pays keepers; VAULT brings
        deposits and pays claims; INVENTORY releases reserve to LPs, and adds LP cash to it; SETTLER winds everything
        up; the governor splits fees and penalties and withdraws the protocol's part.

        Invariants: I1 token.balanceOf(self) >= total_units, and all buckets add up to total_units * scale exactly.
        I3 R never goes below zero. I4 every settlement sums to zero over account, LP cash, reserve, fees and payables.
        Only `withdraw`, `pay_claim`, `fund`, `pay_lp` and `withdraw_protocol` send tokens, each as its last act.

        The in-progress flag: an operation of HEDGER or VAULT, which hands tokens or control to strangers, calls `begin`
        before anything else and ends with `settle` or `end`. While it is set no second operation can begin, no engine
        can settle, no token can enter or leave but by the operation itself, and views that value the vault or an
        account refuse to answer (read-only re-entrancy). An engine calls nobody but this system before it settles, and
        needs no `begin`.

        Global settlement (SETTLER): `freeze` is for good. Nothing trades, enters or is sent to a venue any more;
        `in_progress` answers True, so whatever values the vault or an account refuses. Claims, and what comes back from
        venues, go on. `crystallise` takes each account's positions out of the ledger, `finalise` opens withdrawals, and
        traders' profits and LPs are paid from LP cash by SETTLER's rule. If LP cash is negative then, accounts own more
        than there is: every withdrawal takes cash in the proportion of all cash to free cash, and the difference works
        LP cash off. That proportion does not change by withdrawing, and falls when a venue pays back.
@custom:kill Nobody can freeze balances but SETTLER, a contract that does it by rule and ends in withdrawals. The
        guardian pauses engines and vault; deposits of margin, withdrawals by accounts without positions and LP claims
        stay open.
"""

from ethereum.ercs import IERC20
from ethereum.ercs import IERC20Detailed
from interfaces import IClearinghouse
from interfaces import IMargin
from interfaces import IPriceOracle
from contracts import constants as c
from contracts.governance import roles
from contracts.clearing import ledger
from contracts.math import wad

implements: IClearinghouse

initializes: roles
initializes: ledger

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

# At least this much of accrued fees goes to insurance, whatever the governor wants. [bps]
MIN_INSURANCE_SHARE_BPS: constant(uint256) = 2_000
# Bounds of the parts of a penalty that liquidator and LPs get. [bps]
MIN_LIQUIDATOR_SHARE_BPS: constant(uint256) = 2_000
MAX_LIQUIDATOR_SHARE_BPS: constant(uint256) = 8_000
MAX_LP_SHARE_BPS: constant(uint256) = 4_000

ASSET: immutable(IERC20)
ORACLE: immutable(IPriceOracle)
SCALE: immutable(uint256)       # [WAD per token unit]

# Checks initial margin; set at deployment, later only by the governor.
margin: public(address)
# Part of accrued fees that insurance gets. [bps]
insurance_share_bps: public(uint256)
# Part of a liquidation penalty that the liquidator gets. [bps]
liquidator_share_bps: public(uint256)
# Part of a liquidation penalty that LPs get; insurance gets the rest. [bps]
lp_share_bps: public(uint256)
# Global settlement is over: what is owed to whom is fixed, and may be taken out.
finalised: public(bool)
# May withdraw an owner's cash (to any receiver).
is_operator: public(HashMap[address, HashMap[address, bool]])
# An operation that spans contracts is under way.
running: transient(bool)


@deploy
def __init__(admin: address, setup: address, asset: address, oracle: address):
    """
    @param asset the quote token, at most 18 decimals
    """
    roles.__init__(admin, setup)
    decimals: uint256 = convert(staticcall IERC20Detailed(asset).decimals(), uint256)
    assert decimals <= 18, "clearing: token decimals"
    ASSET = IERC20(asset)
    ORACLE = IPriceOracle(oracle)
    SCALE = 10**(18 - decimals)
    self._set_shares(5_000, 5_000, 1_000)


# ------------------------------------------------------------------ permissionless


@external
def deposit(units: uint256, account: address):
    """
    @notice Adds margin to an account; never paused.
    @param units [token units] pulled from the caller
    """
    self._deposit(units, account)


@external
def deposit_with_permit(units: uint256, account: address, deadline: uint256, v: uint8, r: bytes32, s: bytes32):
    """
    @notice `deposit` after an EIP-2612 permit of exactly `units`.
    @dev    The permit's failure is ignored: anybody may have submitted it before, and then the allowance is there.
            Without it the transfer fails.
    """
    success: bool = raw_call(
        ASSET.address,
        abi_encode(
            msg.sender, self, units, deadline, v, r, s,
            method_id=method_id("permit(address,address,uint256,uint256,uint8,bytes32,bytes32)"),
        ),
        revert_on_failure=False,
    )
    assert success or staticcall ASSET.allowance(msg.sender, self) >= units, "clearing: permit failed"
    self._deposit(units, account)


@external
def withdraw(units: uint256, receiver: address, account: address):
    """
    @notice Takes cash out. Unrealised profit must be realised first; equity must stay at or above initial margin. After
            global settlement it may take more cash than it pays: see `cash_ratio`.
    @param units [token units]
    @param account the caller, or one that made it its operator
    """
    assert msg.sender == account or self.is_operator[account][msg.sender], "clearing: not operator"
    self._check_idle()
    self._check_receiver(receiver)
    assert units > 0, "clearing: zero amount"
    state: ledger.Account = ledger._load_account(account)
    taken: uint256 = units * SCALE
    if ledger._is_frozen():
        assert state.mask == 0, "clearing: positions left"
        taken = self._work_off(taken)
    assert state.cash >= convert(taken, int256), "clearing: insufficient cash"
    state.cash -= convert(taken, int256)
    ledger._save_account(account, state)
    ledger._remove_free_units(units, SCALE)
    if state.mask != 0:
        markets: uint256 = state.mask | (state.mask >> c.OPTION_BIT)
        for market: uint256 in range(c.MAX_MARKETS):
            if (markets >> market) & 1 == 1:
                mark: IPriceOracle.Mark = extcall ORACLE.sync(market)
                assert mark.fresh, "oracle: stale price"
        self._check_margin(account, state)
    log IClearinghouse.Withdrawn(
        sender=msg.sender, account=account, receiver=receiver, units=units, cash=state.cash
    )
    self._send(receiver, units)


@external
def set_operator(operator: address, approved: bool):
    """
    @notice Lets another address withdraw the caller's cash.
    """
    self.is_operator[msg.sender][operator] = approved
    log IClearinghouse.OperatorSet(owner=msg.sender, operator=operator, approved=approved)


@external
def collect_fees():
    """
    @notice Splits accrued fees between insurance (rounded up) and the protocol.
    """
    self._check_open()
    vault: ledger.VaultLedger = ledger._load_vault()
    to_protocol: uint256 = vault.fees * (c.BPS - self.insurance_share_bps) // c.BPS
    to_insurance: uint256 = vault.fees - to_protocol
    vault.fees = 0
    ledger._save_vault(vault)
    backing: ledger.Backing = ledger._load_backing()
    backing.insurance += to_insurance
    backing.protocol += to_protocol
    ledger._save_backing(backing)
    log IClearinghouse.FeesCollected(insurance_added=to_insurance, protocol_added=to_protocol)


@external
def fund_insurance(units: uint256):
    """
    @notice Gives the caller's tokens to insurance.
    """
    self._check_open()
    self._pull(units)
    self._fund_insurance(units)


@external
def absorb_donation():
    """
    @notice Moves tokens that were sent without a call into insurance, the only place they can go.
    @dev    The one use of balanceOf(self) beyond measuring a transfer: it can only add to insurance, and only while no
            operation is under way, so tokens of a hedge in flight are never mistaken for a gift.
    """
    self._check_open()
    held: uint256 = staticcall ASSET.balanceOf(self)
    assert held > ledger.total_units, "clearing: nothing to absorb"
    units: uint256 = held - ledger.total_units
    ledger._add_units(units)
    self._fund_insurance(units)


# ------------------------------------------------------------------ privileged: one operation over several contracts


@external
def begin():
    """
    @notice Starts an operation; only one can be under way.
    """
    roles._check(roles.Role.HEDGER | roles.Role.VAULT)
    self._check_idle()
    self.running = True


@external
def end():
    """
    @notice Ends an operation that settles no account.
    """
    roles._check(roles.Role.HEDGER | roles.Role.VAULT)
    self._check_begun()
    self.running = False


@external
def settle(account: address, settlement: IClearinghouse.Settlement) -> (int256, uint256):
    """
    @notice Moves value between the account, LP cash, the reserve, fees and payables: an engine while nothing is under
            way, HEDGER and VAULT to end what they began.
    @dev    Whatever does not go to the account, the reserve, fees or payables goes to LP cash, so nothing is created.
            Fees are floored to MICRO; LPs keep the dust. Bad debt of an account without positions is covered here.
            Margin is the engine's to check: it knows what it has just written.
    @param account the zero address when no account is concerned
    @return the account's cash [quote, WAD], and its mask (see ledger.vy), both after
    """
    if roles.Role.ENGINE in roles.roles_of[msg.sender]:
        self._check_idle()
    else:
        roles._check(roles.Role.HEDGER | roles.Role.VAULT)
        self._check_begun()
        self.running = False
    state: ledger.Account = self._settle(account, settlement, False)
    return state.cash, state.mask


@external
def pay_penalty(account: address, penalty: uint256, liquidator: address, liquidator_share_bps: uint256) -> uint256:
    """
    @notice Takes a penalty, at most the cash an account has, for liquidator, LPs and insurance. The liquidator's and
            the LPs' parts are rounded down, insurance gets the rest.
    @param penalty [quote, WAD]
    @param liquidator whose ledger cash gets its part
    @return [quote, WAD] penalty paid
    """
    roles._check(roles.Role.CLOSER)
    self._check_open()
    assert liquidator_share_bps <= c.BPS, "clearing: liquidator share"
    state: ledger.Account = ledger._load_account(account)
    if penalty == 0 or state.cash <= 0:
        return 0
    paid: uint256 = min(penalty, convert(state.cash, uint256))
    state.cash -= convert(paid, int256)
    ledger._save_account(account, state)
    reward: uint256 = paid * liquidator_share_bps // c.BPS
    # loaded after the account was saved: the liquidator may be the account itself
    gainer: ledger.Account = ledger._load_account(liquidator)
    gainer.cash += convert(reward, int256)
    ledger._save_account(liquidator, gainer)
    rest: uint256 = paid - reward
    to_lp: uint256 = min(paid * self.lp_share_bps // c.BPS, rest)
    if to_lp > 0:
        ledger._add_lp(convert(to_lp, int256), False)
    if rest > to_lp:
        ledger._add_insurance(rest - to_lp)
    log IClearinghouse.LiquidationPaid(
        account=account, liquidator=liquidator, reward=reward, lp=to_lp, insurance=rest - to_lp
    )
    return paid


@external
def pay_reward(receiver: address, amount: uint256) -> uint256:
    """
    @notice Pays whoever did the system a service out of insurance, into ledger cash: at most MAX_REWARD and what is
            there.
    @param amount [quote, WAD]
    @return [quote, WAD] paid
    """
    roles._check(roles.Role.CLOSER)
    self._check_open()
    backing: ledger.Backing = ledger._load_backing()
    paid: uint256 = min(min(amount, c.MAX_REWARD), backing.insurance)
    if paid > 0:
        backing.insurance -= paid
        ledger._save_backing(backing)
        state: ledger.Account = ledger._load_account(receiver)
        state.cash += convert(paid, int256)
        ledger._save_account(receiver, state)
        log IClearinghouse.RewardPaid(receiver=receiver, amount=paid, insurance=backing.insurance)
    return paid


@external
def release(amount: uint256):
    """
    @notice Reserve that Inventory found in excess of the potential becomes LP cash.
    @param amount [quote, WAD]
    """
    roles._check(roles.Role.INVENTORY)
    if amount == 0:
        return
    change: int256 = convert(amount, int256)
    vault: ledger.VaultLedger = ledger._settle_vault(-change, change, 0)
    assert not vault.frozen, "clearing: frozen"
    log IClearinghouse.ReserveReleased(amount=amount, lp=vault.lp, reserve=vault.reserve)


@external
def subsidise(amount: uint256):
    """
    @notice LP cash becomes reserve: what LPs pay on top of a rebate.
    @param amount [quote, WAD]
    """
    roles._check(roles.Role.INVENTORY)
    lp: int256 = -convert(amount, int256)
    vault: ledger.VaultLedger = ledger._settle_vault(convert(amount, int256), lp, 0)
    assert not vault.frozen, "clearing: frozen"
    assert vault.lp >= 0, "clearing: LP cash too low"
    log IClearinghouse.ReserveSubsidised(amount=amount, lp=vault.lp, reserve=vault.reserve)


@external
def fund(recipient: address, units: uint256):
    """
    @notice Sends LP cash to a venue.
    @dev    LP cash must cover it: traders' margin is never sent to a venue.
    @param units [token units]
    """
    roles._check(roles.Role.HEDGER)
    self._check_begun()
    lp: int256 = self._spend_lp(units * SCALE, False)
    ledger._remove_free_units(units, SCALE)
    log IClearinghouse.VenueFunded(recipient=recipient, units=units, lp=lp)
    self._send(recipient, units)


@external
def collect(units: uint256):
    """
    @notice Books tokens that a venue has sent here as LP cash.
    @param units [token units]
    """
    roles._check(roles.Role.HEDGER)
    self._receive_lp(units, True)


@external
def receive_deposit(units: uint256):
    """
    @notice Books tokens that the Vault has brought here as LP cash.
    @param units [token units]
    """
    roles._check(roles.Role.VAULT)
    self._receive_lp(units, False)


@external
def earmark_claims(amount: uint256) -> uint256:
    """
    @notice Sets LP cash aside for redeemed shares.
    @param amount [quote, WAD]
    @return [quote, WAD] set aside: `amount` rounded down to whole token units
    """
    roles._check(roles.Role.VAULT)
    self._check_begun()
    earmarked: uint256 = amount - amount % SCALE
    lp: int256 = self._spend_lp(earmarked, False)
    ledger.claims += earmarked
    log IClearinghouse.ClaimsEarmarked(amount=earmarked, claims=ledger.claims, lp=lp)
    return earmarked


@external
def pay_claim(receiver: address, units: uint256):
    """
    @notice Pays a redeemed LP out of claims.
    @param units [token units]
    """
    roles._check(roles.Role.VAULT)
    self._check_begun()
    self._check_receiver(receiver)
    claims: uint256 = ledger.claims
    assert claims >= units * SCALE, "clearing: claims too low"
    claims -= units * SCALE
    ledger.claims = claims
    ledger._remove_units(units)
    log IClearinghouse.ClaimPaid(receiver=receiver, units=units, claims=claims)
    self._send(receiver, units)


# ------------------------------------------------------------------ privileged: global settlement


@external
def freeze():
    """
    @notice Begins global settlement, for good: fees, reserve, insurance and the protocol's part become LP cash, which
            bears what comes.
    """
    roles._check(roles.Role.SETTLER)
    self._check_open()
    vault: ledger.VaultLedger = ledger._load_vault()
    backing: ledger.Backing = ledger._load_backing()
    vault.lp += convert(vault.reserve + vault.fees + backing.insurance + backing.protocol, int256)
    vault.reserve = 0
    vault.fees = 0
    vault.frozen = True
    ledger._save_vault(vault)
    ledger._save_backing(empty(ledger.Backing))
    log IClearinghouse.Frozen(lp=vault.lp)


@external
def crystallise(account: address, cash_change: int256, payables_change: int256):
    """
    @notice Takes an account's positions out of the ledger. LP cash takes the other side and bears cash below zero.
    @param cash_change [quote, WAD] losses, and payoffs of settled options
    @param payables_change [quote, WAD] of what settled options owe
    """
    self._check_settlement(False)
    settlement: IClearinghouse.Settlement = empty(IClearinghouse.Settlement)
    settlement.cash = cash_change
    settlement.closed = max_value(uint256)
    settlement.payables = payables_change
    self._settle(account, settlement, True)


@external
def finalise():
    """
    @notice Opens withdrawals. What rounding left of payables becomes LP cash.
    """
    self._check_settlement(False)
    self.finalised = True
    dust: int256 = ledger.payables
    lp: int256 = ledger._add_lp(dust, True)
    log IClearinghouse.PayablesChanged(change=-dust, payables=ledger._add_payables(-dust))
    log IClearinghouse.Finalised(lp=lp)


@external
def pay_promise(account: address, amount: uint256):
    """
    @notice Pays an account's profit out of LP cash, into its cash.
    @param amount [quote, WAD]
    """
    self._check_settlement(True)
    lp: int256 = self._spend_lp(amount, True)
    state: ledger.Account = ledger._load_account(account)
    state.cash += convert(amount, int256)
    ledger._save_account(account, state)
    log IClearinghouse.PromisePaid(account=account, amount=amount, cash=state.cash, lp=lp)


@external
def pay_lp(receiver: address, units: uint256):
    """
    @notice Pays LP cash out.
    @param units [token units]
    """
    self._check_settlement(True)
    self._check_receiver(receiver)
    lp: int256 = self._spend_lp(units * SCALE, True)
    ledger._remove_free_units(units, SCALE)
    log IClearinghouse.LpPaid(receiver=receiver, units=units, lp=lp)
    self._send(receiver, units)


# ------------------------------------------------------------------ privileged: governance


@external
def withdraw_protocol(units: uint256, receiver: address):
    """
    @notice Pays the protocol's part of fees out.
    @param units [token units]
    """
    roles._check(roles.Role.GOVERNOR)
    self._check_open()
    self._check_receiver(receiver)
    backing: ledger.Backing = ledger._load_backing()
    assert backing.protocol >= units * SCALE, "clearing: protocol too low"
    backing.protocol -= units * SCALE
    ledger._save_backing(backing)
    ledger._remove_free_units(units, SCALE)
    log IClearinghouse.ProtocolWithdrawn(receiver=receiver, units=units)
    self._send(receiver, units)


@external
def set_margin(margin: address):
    """
    @notice Names the contract that checks margin.
    """
    roles._check(roles.Role.GOVERNOR | roles.Role.SETUP)
    assert margin != empty(address), "clearing: zero margin"
    self.margin = margin
    log IClearinghouse.MarginSet(margin=margin)


@external
def set_shares(insurance_share_bps: uint256, liquidator_share_bps: uint256, lp_share_bps: uint256):
    """
    @notice Sets how fees and liquidation penalties are split.
    """
    roles._check(roles.Role.GOVERNOR | roles.Role.SETUP | roles.Role.STEWARD)
    self._set_shares(insurance_share_bps, liquidator_share_bps, lp_share_bps)


# ------------------------------------------------------------------ views


@external
@view
def account(owner: address) -> (int256, uint256):
    """
    @return cash [quote, WAD], and the account's mask (see ledger.vy)
    """
    state: ledger.Account = ledger._load_account(owner)
    return state.cash, state.mask


@external
@view
def shares() -> (uint256, uint256, uint256):
    """
    @return what `set_shares` has set [bps]: insurance's of fees, liquidators' and LPs' of penalties
    """
    return self.insurance_share_bps, self.liquidator_share_bps, self.lp_share_bps


@external
@view
def vault_ledger() -> (int256, uint256):
    """
    @return LP cash and rebate reserve [quote, WAD]
    """
    vault: ledger.VaultLedger = ledger._load_vault()
    return vault.lp, vault.reserve


@external
@view
def free_cash() -> uint256:
    """
    @return [quote, WAD] tokens held beyond what redeemed LPs are owed: less than LP cash while an account owes more
            than others have here
    """
    return self._free_cash()


@external
@view
def cash_ratio() -> uint256:
    """
    @return [WAD] what a withdrawal pays of the cash it takes, rounded down: less than one only if global settlement
            left LP cash negative
    """
    lp: int256 = ledger._load_vault().lp
    if lp >= 0 or not self.finalised:
        return c.WAD
    free: uint256 = self._free_cash()
    return wad.mul_div_down(c.WAD, free, free + convert(-lp, uint256))


@external
@view
def buckets() -> IClearinghouse.Buckets:
    """
    @return every bucket but the accounts' cash
    """
    vault: ledger.VaultLedger = ledger._load_vault()
    backing: ledger.Backing = ledger._load_backing()
    return IClearinghouse.Buckets(
        lp=vault.lp,
        reserve=vault.reserve,
        fees=vault.fees,
        insurance=backing.insurance,
        protocol=backing.protocol,
        claims=ledger.claims,
        total_units=ledger.total_units,
        payables=ledger.payables,
    )


@external
@view
def in_progress() -> bool:
    """
    @return whether an operation that spans contracts is under way, or everything is frozen
    """
    return self.running or ledger._is_frozen()


@external
@view
def frozen() -> bool:
    """
    @return whether global settlement has begun
    """
    return ledger._is_frozen()


@external
@view
def asset() -> address:
    """
    @return the quote token
    """
    return ASSET.address


@external
@view
def scale() -> uint256:
    """
    @return [WAD per token unit]
    """
    return SCALE


@external
@view
def oracle() -> address:
    """
    @return the price oracle that withdrawals of accounts with positions consult
    """
    return ORACLE.address


# ------------------------------------------------------------------ internal


@internal
@view
def _check_idle():
    assert not self.running, "clearing: in progress"


@internal
@view
def _check_open():
    """@dev Idle and not frozen."""
    self._check_idle()
    assert not ledger._is_frozen(), "clearing: frozen"


@internal
@view
def _check_settlement(final: bool):
    """@notice The caller is SETTLER, everything is frozen, and final or not yet."""
    roles._check(roles.Role.SETTLER)
    self._check_idle()
    assert ledger._is_frozen(), "clearing: not frozen"
    if final:
        assert self.finalised, "clearing: not final"
    else:
        assert not self.finalised, "clearing: final"


@internal
@view
def _check_begun():
    assert self.running, "clearing: not begun"


@internal
@view
def _check_margin(account: address, state: ledger.Account):
    """@dev The withdrawal is written; Margin reads cash and mask from the arguments."""
    if state.mask != 0:
        assert staticcall IMargin(self.margin).check_initial(
            account, state.cash, state.mask
        ), "margin: below initial"


@internal
@view
def _check_receiver(receiver: address):
    assert receiver != empty(address) and receiver != self, "clearing: bad receiver"


@internal
def _deposit(units: uint256, account: address):
    self._check_open()
    assert account != empty(address), "clearing: zero account"
    self._pull(units)
    state: ledger.Account = ledger._load_account(account)
    state.cash += convert(units * SCALE, int256)
    ledger._save_account(account, state)
    log IClearinghouse.Deposited(sender=msg.sender, account=account, units=units, cash=state.cash)


@internal
def _pull(units: uint256):
    """@dev Measures what arrives: a token that keeps a fee on transfer would break I1 and is refused."""
    assert units > 0, "clearing: zero amount"
    before: uint256 = staticcall ASSET.balanceOf(self)
    assert extcall ASSET.transferFrom(msg.sender, self, units, default_return_value=True), "clearing: transfer failed"
    assert staticcall ASSET.balanceOf(self) == before + units, "clearing: amount received"
    ledger._add_units(units)


@internal
def _send(receiver: address, units: uint256):
    assert extcall ASSET.transfer(receiver, units, default_return_value=True), "clearing: transfer failed"


@internal
def _fund_insurance(units: uint256):
    insurance: uint256 = ledger._add_insurance(units * SCALE)
    log IClearinghouse.InsuranceFunded(sender=msg.sender, units=units, insurance=insurance)


@internal
def _receive_lp(units: uint256, frozen: bool):
    """@param frozen whether this may be done while everything is frozen"""
    self._check_begun()
    ledger._add_units(units)
    assert staticcall ASSET.balanceOf(self) >= ledger.total_units, "clearing: tokens not received"
    lp: int256 = ledger._add_lp(convert(units * SCALE, int256), frozen)
    log IClearinghouse.LpCollected(source=msg.sender, units=units, lp=lp)


@internal
def _spend_lp(amount: uint256, frozen: bool) -> int256:
    """
    @dev    Spending nothing is always possible: LP cash may be negative while venues hold the money.
    @param frozen whether this may be done while everything is frozen
    @return [quote, WAD] LP cash after
    """
    lp: int256 = ledger._add_lp(-convert(amount, int256), frozen)
    assert lp >= 0 or amount == 0, "clearing: LP cash too low"
    return lp


@internal
def _work_off(amount: uint256) -> uint256:
    """
    @notice The cash that a withdrawal takes after global settlement, rounded up. What it pays less works LP cash off.
    @dev    Accounts have free cash - LP cash between them: all else is zero, and no profit is paid while LP cash is
            negative.
    @param amount [quote, WAD] paid, > 0
    @return [quote, WAD] taken, >= amount
    """
    assert self.finalised, "clearing: not final"
    lp: int256 = ledger._load_vault().lp
    if lp >= 0:
        return amount
    free: uint256 = self._free_cash()
    assert amount <= free, "clearing: tokens at venues"
    taken: uint256 = wad.mul_div_up(amount, free + convert(-lp, uint256), free)
    ledger._add_lp(convert(taken - amount, int256), True)
    return taken


@internal
@view
def _free_cash() -> uint256:
    return ledger.total_units * SCALE - ledger.claims


@internal
def _settle(account: address, settlement: IClearinghouse.Settlement, frozen: bool) -> ledger.Account:
    """@param frozen whether this may be done while everything is frozen"""
    state: ledger.Account = empty(ledger.Account)
    fees: uint256 = unsafe_sub(settlement.fees, settlement.fees % c.MICRO)      # a remainder is not larger
    lp: int256 = -settlement.cash - settlement.reserve - convert(fees, int256)
    if settlement.payables != 0:
        lp -= settlement.payables
        payables: int256 = ledger._add_payables(settlement.payables)
        log IClearinghouse.PayablesChanged(change=settlement.payables, payables=payables)
    if account == empty(address):
        assert settlement.cash == 0     # dev: cash belongs to an account
    else:
        state = ledger._load_account(account)
        state.cash += settlement.cash
        state.mask = (state.mask | settlement.opened) & ~settlement.closed
        if state.cash < 0 and state.mask == 0:
            lp -= self._cover_bad_debt(account, convert(-state.cash, uint256))
            state.cash = 0
        ledger._save_account(account, state)
    vault: ledger.VaultLedger = ledger._settle_vault(settlement.reserve, lp, fees)
    if vault.frozen:
        assert frozen, "clearing: frozen"
    log IClearinghouse.Settled(
        account=account,
        change=settlement.cash,
        cash=state.cash,
        mask=state.mask,
        lp=vault.lp,
        reserve=vault.reserve,
    )
    return state


@internal
def _cover_bad_debt(account: address, debt: uint256) -> int256:
    """@return [quote, WAD] what insurance could not pay and LPs bear"""
    backing: ledger.Backing = ledger._load_backing()
    by_insurance: uint256 = min(debt, backing.insurance)
    backing.insurance -= by_insurance
    ledger._save_backing(backing)
    log IClearinghouse.BadDebtCovered(account=account, by_insurance=by_insurance, by_lp=debt - by_insurance)
    return convert(debt - by_insurance, int256)


@internal
def _set_shares(insurance_share_bps: uint256, liquidator_share_bps: uint256, lp_share_bps: uint256):
    assert (
        insurance_share_bps >= MIN_INSURANCE_SHARE_BPS and insurance_share_bps <= c.BPS
    ), "clearing: insurance share"
    assert (
        liquidator_share_bps >= MIN_LIQUIDATOR_SHARE_BPS and liquidator_share_bps <= MAX_LIQUIDATOR_SHARE_BPS
    ), "clearing: liquidator share"
    assert lp_share_bps <= MAX_LP_SHARE_BPS and liquidator_share_bps + lp_share_bps <= c.BPS, "clearing: LP share"
    self.insurance_share_bps = insurance_share_bps
    self.liquidator_share_bps = liquidator_share_bps
    self.lp_share_bps = lp_share_bps
    log IClearinghouse.SharesSet(
        insurance_share_bps=insurance_share_bps,
        liquidator_share_bps=liquidator_share_bps,
        lp_share_bps=lp_share_bps,
    )
