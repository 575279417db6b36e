# pragma version 0.4.3
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  Ledger: the words in which the Clearinghouse keeps every bucket
@notice All amounts are [quote, WAD]; `total_units` alone is in token units. Invariant I1: the sum of all cash and all
        buckets equals total_units * scale, exactly.
@dev    One codec per word: `_load_x() -> struct`, `_save_x(struct)` with the range asserted. Signed fields are two's
        complement, so an empty slot reads as zero.

        account word   cash i128 | mask u128            mask: bit i is set while the account has a perpetual in market i,
                                                bit OPTION_BIT + i while it has options in it
        vault word     lp i96 | reserve u96 | frozen u1 | fees u63      fees in MICRO, so that 63 bits suffice
        backing word   insurance u128 | protocol u128
"""

from contracts import constants as c


struct Account:
    cash: int256
    mask: uint256

struct VaultLedger:
    lp: int256
    reserve: uint256
    frozen: bool                # global settlement has begun; here, because every trade reads this word anyway
    fees: uint256               # [quote, WAD] a multiple of MICRO

struct Backing:
    insurance: uint256
    protocol: uint256


MAX_I128: constant(int256) = 2**127 - 1
MAX_I96: constant(int256) = 2**95 - 1
MASK_96: constant(uint256) = 2**96 - 1
MASK_128: constant(uint256) = 2**128 - 1
MASK_63: constant(uint256) = 2**63 - 1
FROZEN: constant(uint256) = 1 << 63      # bit of the vault word

# One word per account: written by every deposit, withdrawal and trade.
accounts: HashMap[address, uint256]
# LP cash, rebate reserve, accrued fees and whether all is frozen: read and written together by every trade.
vault_word: uint256
# Insurance and protocol: written when fees are split, penalties paid or bad debt covered.
backing_word: uint256
# Owed to redeemed LPs until they claim.
claims: uint256
# Token units the buckets add up to. Tokens held beyond are donations.
total_units: uint256
# What settled options owe the accounts that hold them; negative while longs have been paid and shorts have yet to pay.
payables: int256


@internal
@view
def _load_account(owner: address) -> Account:
    word: uint256 = self.accounts[owner]
    return Account(cash=convert(convert(word, bytes32), int256) >> 128, mask=word & MASK_128)


@internal
def _save_account(owner: address, account: Account):
    assert account.cash <= MAX_I128 and account.cash >= -MAX_I128, "clearing: cash range"
    # mask has 2 * MAX_MARKETS bits
    self.accounts[owner] = (convert(convert(account.cash, bytes32), uint256) << 128) | account.mask


@internal
@view
def _load_vault() -> VaultLedger:
    word: uint256 = self.vault_word
    return VaultLedger(
        lp=convert(convert(word, bytes32), int256) >> 160,
        reserve=(word >> 64) & MASK_96,
        frozen=word & FROZEN != 0,
        fees=unsafe_mul(word & MASK_63, c.MICRO),       # 63 bits times 1e12
    )


@internal
def _save_vault(vault: VaultLedger):
    assert vault.lp <= MAX_I96 and vault.lp >= -MAX_I96, "clearing: LP cash range"
    assert vault.reserve <= MASK_96, "clearing: reserve range"
    fees: uint256 = unsafe_div(vault.fees, c.MICRO)     # a constant
    assert fees <= MASK_63, "clearing: fees range"
    self.vault_word = (
        (convert(convert(vault.lp, bytes32), uint256) << 160)
        | (vault.reserve << 64)
        | (convert(vault.frozen, uint256) << 63)
        | fees
    )


@internal
@view
def _is_frozen() -> bool:
    return self.vault_word & FROZEN != 0


@internal
@view
def _load_backing() -> Backing:
    word: uint256 = self.backing_word
    return Backing(insurance=word >> 128, protocol=word & MASK_128)


@internal
def _save_backing(backing: Backing):
    assert backing.insurance <= MASK_128 and backing.protocol <= MASK_128, "clearing: insurance range"
    self.backing_word = (backing.insurance << 128) | backing.protocol


@internal
def _add_units(units: uint256):
    self.total_units += units


@internal
def _remove_units(units: uint256):
    assert units <= self.total_units, "clearing: tokens at venues"
    self.total_units -= units


@internal
def _remove_free_units(units: uint256, scale: uint256):
    """
    @dev Leaves what redeemed LPs are owed: it was set aside. Fails only while venues hold LP money that traders' profit
         has already been paid from, or when LP cash is negative because there is none.
    """
    assert units * scale + self.claims <= self.total_units * scale, "clearing: tokens at venues"
    self.total_units -= units


@internal
def _add_lp(amount: int256, frozen: bool) -> int256:
    """
    @param frozen whether this may be done while everything is frozen
    @return LP cash after
    """
    vault: VaultLedger = self._load_vault()
    if vault.frozen:
        assert frozen, "clearing: frozen"
    vault.lp += amount
    self._save_vault(vault)
    return vault.lp


@internal
def _add_insurance(amount: uint256) -> uint256:
    """@return insurance after"""
    backing: Backing = self._load_backing()
    backing.insurance += amount
    self._save_backing(backing)
    return backing.insurance


@internal
def _add_payables(amount: int256) -> int256:
    """@return payables after"""
    self.payables += amount
    return self.payables


@internal
def _settle_vault(reserve: int256, lp: int256, fees: uint256) -> VaultLedger:
    """
    @notice Applies one settlement's changes to the vault word.
    @param fees a multiple of MICRO
    """
    vault: VaultLedger = self._load_vault()
    vault.lp += lp
    after: int256 = convert(vault.reserve, int256) + reserve
    assert after >= 0, "clearing: reserve exhausted"
    vault.reserve = convert(after, uint256)
    vault.fees += fees
    self._save_vault(vault)
    return vault
