"""The published property lists of ERC-4626, ERC-7540 and what they stand on, in our own words, on the real Vault.

Sources: the texts of ERC-20, 165, 4626, 7540 and 7575; the a16z and Crytic property tests of ERC-4626; Recon's of
ERC-7540. A property is asked about the contracts alone, in whatever state a sequence has reached, and may do as it
likes: everything is undone. It answers whether it had anything to say there, raises Unmet when it does not hold, and
its docstring tells where the Vault goes its own way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import Any

from ballast.chain import Contract, Receipt, Reverted, RevmChain
from ballast.fuzz.world import ACTORS, MAX_UINT, ZERO_ADDRESS, Broken, World
from ballast.model.exact.fixed import WAD
from ballast.model.exact.vault import PRODUCT_MIN, VIRTUAL_ASSETS, VIRTUAL_SHARES

Property = Callable[[World, Random], bool]

PERSONS = (*ACTORS, "governor", "guardian")
REASONABLE = 10**20  # [quote or shares] more than there is of anything
FEED_SCALE = 10**10  # [WAD per unit of a feed's answer]
INTERFACES = ("01ffc9a7", "e3bc4e65", "620ee8e4", "2f0a18c5", "f815c03d")  # ERC-165, 7540 twice, 7575 twice


class Unmet(AssertionError):
    """A property does not hold."""


def examine(w: World, rng: Random, properties: Sequence[Property]) -> Counter[str]:
    """Ask each property here and now; returns those that had something to say, raises Broken.

    Only the in-process backend can undo what they do: elsewhere nothing is asked.
    """
    spoke: Counter[str] = Counter()
    if not isinstance(w.chain, RevmChain):
        return spoke
    for one in properties:
        try:
            with w.chain.undone():
                spoke[one.__name__] += one(w, rng)
        except (Unmet, Reverted) as error:
            raise Broken(one.__name__, f"{type(error).__name__}: {error}") from error
    return +spoke


def conditions(w: World) -> set[str]:
    """What is remarkable about the Vault's state, to tell in how many of them a property was asked."""
    vault, now, epoch = w.system.vault, w.system.vault.valuation(), w.system.vault.epoch()
    positions = [vault.position(who) for who in _people(w)]
    buckets = w.system.clearinghouse.buckets()
    price = max(now.nav + VIRTUAL_ASSETS, 0) / (now.supply + VIRTUAL_SHARES)
    fresh = all(w.system.oracle.peek(market.id).fresh for market in w.system.markets)
    found = {
        "empty": now.supply == 0,
        "entries only": now.supply == now.nav > 0,
        "loss of half": now.supply > 0 and now.nav > 0 and price < 0.5,
        "owes more than it has": now.nav < 0,
        "LP cash negative": buckets.lp < 0,
        "requests wait": epoch.pending > 0,
        "late requests": epoch.incoming > 0,
        "filled in part": any(p.pending > 0 and p.claimable_shares > 0 for p in positions),
        "claims wait": any(p.claimable_shares > 0 for p in positions),
        "paused": vault.deposits_paused(),
        "stale price": not fresh,
        "at the cap": now.nav >= vault.params().deposit_cap,
    }
    return {name for name, holds in found.items() if holds}


# ---- ERC-20, ERC-165, ERC-7575


def erc20_supply_is_what_people_hold(w: World, rng: Random) -> bool:
    """`totalSupply` is the sum of all balances, and shares have at least the asset's decimals. Shares of pending
    requests are the Vault's own balance: they stay in the supply until their epoch is processed."""
    vault = w.system.vault
    _hold(vault.totalSupply() == sum(_shares(w).values()), "supply is not the sum of balances")
    _hold(vault.decimals() == 18 >= w.system.quote.decimals(), "too few decimals")
    return bool(vault.totalSupply() > 0)


def erc20_transfer_moves_exactly(w: World, rng: Random) -> bool:
    """A transfer moves what it says from one to the other, nothing (0) included, and logs it; more than the balance is
    refused. Deviation: the Vault itself cannot receive shares, which would look like a request."""
    vault, owner, receiver = w.system.vault, _holder(w, rng), _person(w, rng)
    if owner is None:
        return False
    balance = vault.balanceOf(owner)
    amount = rng.choice((0, _part(rng, balance)))
    before = _shares(w)
    receipt = vault.transfer.send(receiver, amount, sender=owner)
    _hold(receipt.value is True, "transfer does not answer true")
    _hold(receipt.one("Transfer", vault) == (owner, receiver, amount), "wrong event")
    _hold(_moved(before, _shares(w)) == _net((owner, -amount), (receiver, amount)), "wrong balances")
    _refused(w, "transfer", receiver, vault.balanceOf(owner) + 1, sender=owner)
    _refused(w, "transfer", vault, 1, sender=owner, reason="vault: bad receiver")
    _refused(w, "transfer", ZERO_ADDRESS, 1, sender=owner, reason="vault: bad receiver")
    return True


def erc20_allowance_is_spent_and_binds(w: World, rng: Random) -> bool:
    """`transferFrom` needs an allowance, spends exactly what it moves of it, and leaves one without limit alone."""
    vault, owner = w.system.vault, _holder(w, rng)
    if owner is None:
        return False
    spender, receiver = _others(w, rng, owner, 2)
    amount = _part(rng, vault.balanceOf(owner))
    vault.approve.send(spender, amount - 1, sender=owner)
    _refused(w, "transferFrom", owner, receiver, amount, sender=spender, reason="erc20: insufficient allowance")
    limit = rng.choice((amount, amount + 1, MAX_UINT))
    _hold(vault.approve.send(spender, limit, sender=owner).value is True, "approve does not answer true")
    vault.transferFrom.send(owner, receiver, amount, sender=spender)
    left = MAX_UINT if limit == MAX_UINT else limit - amount
    _hold(vault.allowance(owner, spender) == left, f"{vault.allowance(owner, spender)} left of {limit}")
    return True


def erc165_and_erc7575_say_what_the_vault_is(w: World, rng: Random) -> bool:
    """`supportsInterface` knows ERC-165, ERC-7540 operators and asynchronous redemption, ERC-7575 vault and share, not
    asynchronous deposits, not 0xffffffff; the share is the Vault, and its only asset the quote token."""
    vault = w.system.vault
    for name in INTERFACES:
        _hold(vault.supportsInterface(bytes.fromhex(name)), f"denies 0x{name}")
    for name in ("ffffffff", "ce3bbe50", rng.getrandbits(32).to_bytes(4, "big").hex()):
        _hold(name in INTERFACES or not vault.supportsInterface(bytes.fromhex(name)), f"claims 0x{name}")
    _hold(vault.share() == vault.address == vault.vault(w.system.quote), "share and vault disagree")
    _hold(vault.vault(_person(w, rng)) == ZERO_ADDRESS, "a vault for another asset")
    _hold(vault.asset() == w.system.quote.address, "wrong asset")
    return True


# ---- ERC-4626: views


def erc4626_views_never_revert(w: World, rng: Random) -> bool:
    """`asset`, `totalAssets` and the four `max` functions answer whoever asks about whomever; conversions answer for
    any reasonable amount. Deviation: inside another operation of the protocol those that value something revert."""
    vault, caller = w.system.vault, _person(w, rng)
    about = rng.choice((_person(w, rng), ZERO_ADDRESS, vault.address))
    vault.call("asset", sender=caller)
    vault.call("totalAssets", sender=caller)
    for fn in ("maxDeposit", "maxMint", "maxRedeem", "maxWithdraw"):
        vault.call(fn, about, sender=caller)
    vault.call("convertToShares", _part(rng, REASONABLE * w.unit), sender=caller)
    vault.call("convertToAssets", _part(rng, REASONABLE * WAD), sender=caller)
    return True


def erc4626_views_do_not_see_the_caller(w: World, rng: Random) -> bool:
    """Conversions, previews and limits are the same for everybody, rich or poor."""
    pauper = w.system.governor
    units, shares = _part(rng, 10**9 * w.unit), _part(rng, 10**9 * WAD)
    about = _person(w, rng)
    views: list[tuple[str, Any]] = [
        ("convertToShares", units), ("convertToAssets", shares), ("previewDeposit", units), ("previewMint", shares),
        ("maxRedeem", about), ("maxWithdraw", about), ("totalAssets", None),
    ]  # fmt: skip
    for fn, argument in views:
        arguments = () if argument is None else (argument,)
        answers = {w.system.vault.call(fn, *arguments, sender=who) for who in (pauper, _rich(w, rng))}
        _hold(len(answers) == 1, f"{fn} answers {answers}")
    for fn in ("maxDeposit", "maxMint"):
        answers = {w.system.vault.call(fn, who) for who in (pauper, _rich(w, rng))}
        _hold(len(answers) == 1, f"{fn} answers {answers}")
    return True


def erc4626_conversions_are_at_mid_rounded_down(w: World, rng: Random) -> bool:
    """Both conversions are one price rounded down, so there and back never gains, in one piece never less than in two,
    and nothing is worth nothing. Deviation from the list: `convertToAssets(totalSupply)` is `totalAssets` only at a
    price of 1, because of the virtual share and token; here it is the formula to the wei, `totalAssets` the NAV."""
    vault = w.system.vault
    value = vault.valuation()
    nav, units, shares = max(value.nav, 0), _part(rng, 10**12 * w.unit), _part(rng, 10**12 * WAD)
    asset, share = nav + VIRTUAL_ASSETS, value.supply + VIRTUAL_SHARES
    _hold(vault.totalAssets() == nav // w.scale, "totalAssets is not the NAV")
    _hold(vault.convertToShares(units) == units * w.scale * share // asset, "shares are not at mid")
    _hold(vault.convertToAssets(shares) == shares * asset // share // w.scale, "assets are not at mid")
    _hold(vault.convertToAssets(vault.convertToShares(units)) <= units, "assets grow there and back")
    _hold(vault.convertToShares(vault.convertToAssets(shares)) <= shares, "shares grow there and back")
    _hold(vault.convertToShares(0) == vault.convertToAssets(0) == 0, "nothing is worth something")
    part = rng.randrange(units + 1)
    apart = vault.convertToShares(part) + vault.convertToShares(units - part)
    _hold(apart <= vault.convertToShares(units), "two parts convert to more than the whole")
    return True


def erc4626_previews_favour_the_vault(w: World, rng: Random) -> bool:
    """An entry never costs less than the conversion says, a deposit of what a mint costs buys at least its shares, no
    share is free, and nothing costs nothing. Not the other way round: the shares of a deposit may cost more by `mint`,
    whose price is that of the most it could cost."""
    vault, units, shares = w.system.vault, _part(rng, 10**9 * w.unit), _part(rng, 10**9 * WAD)
    _hold(vault.previewDeposit(units) <= vault.convertToShares(units), "deposit is better than mid")
    _hold(vault.previewMint(shares) >= vault.convertToAssets(shares), "mint is better than mid")
    _hold(vault.previewDeposit(vault.previewMint(shares)) >= shares, "deposit of a mint's price buys less")
    _hold(vault.previewMint(1) >= 1, "a free share")
    _hold(vault.previewDeposit(0) == vault.previewMint(0) == 0, "nothing costs something")
    return True


def erc4626_previews_ignore_limits(w: World, rng: Random) -> bool:
    """A preview does not know of pauses or caps: it is the price that an entry would have."""
    vault, units, shares = w.system.vault, _part(rng, 10**9 * w.unit), _part(rng, 10**9 * WAD)
    before = (vault.previewDeposit(units), vault.previewMint(shares))
    for call in (("pause_deposits",), ("lower_deposit_cap", 0)):
        if not _try(vault, *call, sender=w.system.governor):
            return False  # the sequence has taken the governor's powers away
        _hold((vault.previewDeposit(units), vault.previewMint(shares)) == before, "a preview saw a limit")
        _hold(vault.maxDeposit(_person(w, rng)) == vault.maxMint(_person(w, rng)) == 0, "a pause leaves room")
    return True


def erc4626_gifts_do_not_move_the_price(w: World, rng: Random) -> bool:
    """Tokens sent to any contract without a call change no price and no limit: NAV is kept by accounts, not by
    balances. (A poke books what a venue got as LPs' gain; the poke is a call.)"""
    vault, units, shares = w.system.vault, _part(rng, 10**9 * w.unit), _part(rng, 10**9 * WAD)

    def seen() -> list[Any]:
        views = (("totalAssets",), ("convertToShares", units), ("convertToAssets", shares), ("previewDeposit", units),
                 ("previewMint", shares), ("maxDeposit", vault), ("maxMint", vault), ("valuation",))  # fmt: skip
        return [vault.call(*view) for view in views]

    before, gift = seen(), _part(rng, 10**9 * w.unit)
    for contract in (vault, w.system.clearinghouse, w.system.inventory, w.system.hedge_manager):
        w.system.quote.send("transfer", contract, gift, sender=w.actors["stranger"])
    _hold(seen() == before, "a gift moved a price")
    return True


# ---- ERC-4626: the way in, which is synchronous


def erc4626_deposit_does_what_the_preview_says(w: World, rng: Random) -> bool:
    """`deposit` takes exactly `assets` from the caller, mints exactly what `previewDeposit` answers to the receiver,
    moves nothing else, and logs it."""
    vault, units = w.system.vault, _entry(w, rng)
    expected = vault.previewDeposit(units)
    if units == 0 or expected == 0:
        return False
    payer, receiver = _rich(w, rng), _person(w, rng)
    shares, tokens = _shares(w), _tokens(w)
    receipt = vault.deposit.send(units, receiver, sender=payer)
    _hold(receipt.value == expected, f"minted {receipt.value}, previewed {expected}")
    _entered(w, receipt, payer, receiver, units, expected, shares, tokens)
    return True


def erc4626_mint_does_what_the_preview_says(w: World, rng: Random) -> bool:
    """`mint` mints exactly `shares`, takes exactly what `previewMint` answers, moves nothing else, and logs it."""
    vault, most = w.system.vault, w.system.vault.maxMint(_person(w, rng))
    if most == 0:
        return False
    amount = _part(rng, most)
    expected, payer, receiver = vault.previewMint(amount), _rich(w, rng), _person(w, rng)
    shares, tokens = _shares(w), _tokens(w)
    receipt = vault.mint.send(amount, receiver, sender=payer)
    _hold(receipt.value == expected, f"paid {receipt.value}, previewed {expected}")
    _entered(w, receipt, payer, receiver, expected, amount, shares, tokens)
    return True


def erc4626_max_deposit_is_the_limit(w: World, rng: Random) -> bool:
    """As much as `maxDeposit` goes in, a unit more does not; where it is 0 nothing does. It assumes that the caller
    has the tokens."""
    vault, most = w.system.vault, w.system.vault.maxDeposit(_person(w, rng))
    payer, receiver = _rich(w, rng), _person(w, rng)
    if most == 0:
        _refused(w, "deposit", _part(rng, 10**9 * w.unit), receiver, sender=payer)
        return True
    _refused(w, "deposit", most + 1, receiver, sender=payer)
    if vault.previewDeposit(most) == 0:
        _refused(w, "deposit", most, receiver, sender=payer, reason="vault: too few shares")
    else:
        vault.deposit.send(most, receiver, sender=payer)
    return True


def erc4626_max_mint_is_accepted(w: World, rng: Random) -> bool:
    """As much as `maxMint` can be minted, and nothing that costs more than `maxDeposit`; where `maxDeposit` is 0 so is
    `maxMint`. Deviation allowed by the standard: it may be less than would be accepted, being priced with the whole
    reserve in the ask."""
    vault, receiver, payer = w.system.vault, _person(w, rng), _rich(w, rng)
    most, room = vault.maxMint(receiver), vault.maxDeposit(receiver)
    _hold(room > 0 or most == 0, "shares without room for assets")
    dear = vault.convertToShares(room + 1) + most + 1
    while vault.previewMint(dear) <= room:
        dear *= 2
    _refused(w, "mint", dear, receiver, sender=payer)
    if most > 0:
        vault.mint.send(most, receiver, sender=payer)
    return True


def erc4626_nothing_is_refused(w: World, rng: Random) -> bool:
    """Zero amounts are refused everywhere, and so is a deposit too small for one wei of a share, which would be a gift.
    Deviation: many vaults let zero through; the standard asks for neither."""
    vault, person = w.system.vault, _rich(w, rng)
    paused = "vault: deposits paused" if vault.deposits_paused() else "vault: zero amount"
    _refused(w, "deposit", 0, person, sender=person, reason=paused)
    _refused(w, "mint", 0, person, sender=person, reason=paused)
    _refused(w, "redeem", 0, person, person, sender=person, reason="vault: zero amount")
    _refused(w, "withdraw", 0, person, person, sender=person, reason="vault: zero amount")
    _refused(w, "requestRedeem", 0, person, person, sender=person, reason="vault: zero amount")
    if vault.previewDeposit(1) == 0:
        _refused(w, "deposit", 1, person, sender=person)
    return True


def erc4626_entry_needs_and_spends_an_allowance(w: World, rng: Random) -> bool:
    """An entry is paid by the caller, out of his allowance of the asset: one unit too little and it fails."""
    vault, units, (payer, receiver) = w.system.vault, _entry(w, rng), rng.sample(_named(w, ACTORS), 2)
    if units == 0 or vault.previewDeposit(units) == 0:
        return False
    quote = w.system.quote
    quote.approve.send(vault, units - 1, sender=payer)
    _hold(_refused(w, "deposit", units, receiver, sender=payer) != "vault: zero amount", "other reason")
    quote.approve.send(vault, units, sender=payer)
    vault.deposit.send(units, receiver, sender=payer)
    _hold(quote.allowance(payer, vault) == 0, "allowance is not spent")
    return True


def erc4626_entry_gains_nothing_at_mid(w: World, rng: Random) -> bool:
    """Shares just bought are worth at most what was paid, at mid and so all the more at the bid; and those who were in
    before are not poorer. The way out is not in the same block, hence no round trip to test."""
    vault, receiver = w.system.vault, _person(w, rng)
    units, others = _entry(w, rng), vault.totalSupply()
    if units == 0 or vault.previewDeposit(units) == 0:
        return False
    worth, before = vault.convertToAssets(others), vault.valuation()
    if rng.random() < 0.5 or vault.maxMint(receiver) == 0:
        minted, paid = vault.deposit.send(units, receiver, sender=_rich(w, rng)).value, units
    else:
        minted = _part(rng, vault.maxMint(receiver))
        paid = vault.mint.send(minted, receiver, sender=_rich(w, rng)).value
    _hold(vault.convertToAssets(minted) <= paid, f"{minted} shares for {paid} are worth more")
    _hold(vault.convertToAssets(others) >= worth, "those who were in are poorer")
    after = vault.valuation()
    bid, supply = after.bid + VIRTUAL_ASSETS, after.supply + VIRTUAL_SHARES
    _hold(before.bid == 0 or minted * bid // supply <= paid * w.scale, "worth more than paid at the bid")
    return True


def erc4626_first_depositor_cannot_inflate(w: World, rng: Random) -> bool:
    """In an empty vault: whoever buys a dust of shares and gives away any sum, to the Vault, the Clearinghouse or a
    venue that is then poked, takes nothing from the next depositor but a rounding, and loses."""
    vault, empty, (attacker, victim) = w.system.vault, w.system.vault.valuation(), rng.sample(_named(w, ACTORS), 2)
    room = vault.maxDeposit(victim)
    if empty.supply > 0 or empty.nav != 0 or empty.ask != 0 or room < 4 * w.unit:
        return False
    dust, gift = _part(rng, w.unit), _part(rng, room // 4)
    got = vault.deposit.send(dust, attacker, sender=attacker).value
    target = rng.choice((vault, w.system.clearinghouse, *(venue for m in w.system.markets for venue in m.venues)))
    w.system.quote.transfer.send(target, gift, sender=attacker)
    for market in w.system.markets:
        for number in market.venue_ids:
            _try(w.system.hedge_manager, "poke", number, sender=attacker)
    units = _part(rng, room // 4)
    if units == 0 or vault.previewDeposit(units) == 0:
        return False
    shares = vault.deposit.send(units, victim, sender=victim).value
    lost = units - vault.convertToAssets(shares)
    wei = (dust + gift) * w.scale // VIRTUAL_SHARES + 1  # [quote, WAD] the most that a wei of share is worth
    _hold(lost <= 2 + 2 * wei // w.scale, f"{lost} of {units} lost to a gift of {gift}")
    _hold(vault.convertToAssets(got) <= dust + gift, "the attacker gains")
    return True


# ---- ERC-7540: the request


def erc7540_request_takes_the_shares_and_waits(w: World, rng: Random) -> bool:
    """A request moves the shares from owner to Vault, is pending under the id it answers, the epoch that serves it
    (never 0; the next one if the present one is over), and logs it. It makes nothing claimable, changes no price and
    leaves the supply alone. Deviation: an older remainder of the controller moves to the new id, once that id's epoch
    is the current one."""
    vault, owner = w.system.vault, _holder(w, rng)
    if owner is None:
        return False
    controller, amount = _person(w, rng), _part(rng, vault.balanceOf(owner))
    shares, epoch, position, value = _shares(w), vault.epoch(), vault.position(controller), vault.valuation()
    receipt = vault.requestRedeem.send(amount, controller, owner, sender=owner)
    request = receipt.value
    late = w.now >= epoch.ends_at
    _hold(request == epoch.id + late and request > 0, f"request {request} in epoch {epoch.id}")
    expected = (position.late if late else position.pending) + amount
    _hold(vault.pendingRedeemRequest(request, controller) == expected, "not pending under its id")
    _hold(vault.maxRedeem(controller) == position.claimable_shares, "a request is claimable at once")
    _hold(_moved(shares, _shares(w)) == _net((owner, -amount), (vault.address, amount)), "wrong balances")
    _hold(vault.totalSupply() == value.supply and vault.valuation() == value, "a request moves a price")
    event = (controller, owner, request, owner, amount)
    _hold(receipt.one("RedeemRequest", vault) == event, "wrong event")
    _refused(w, "redeem", position.claimable_shares + 1, owner, controller, sender=controller)
    return True


def erc7540_request_needs_authority(w: World, rng: Random) -> bool:
    """Shares of another are requested by his operator, who spends no allowance, or by a spender of his allowance, which
    falls by the shares; by nobody else, not by an operator of the controller, and never beyond the balance."""
    vault, owner = w.system.vault, _holder(w, rng)
    if owner is None:
        return False
    (other, controller), balance = _others(w, rng, owner, 2), vault.balanceOf(owner)
    amount = _part(rng, balance)
    _refused(w, "requestRedeem", balance + 1, controller, owner, sender=owner)
    vault.setOperator.send(other, False, sender=owner)
    vault.approve.send(other, amount - 1, sender=owner)
    vault.setOperator.send(other, True, sender=controller)
    refusal = "erc20: insufficient allowance"
    _refused(w, "requestRedeem", amount, controller, owner, sender=other, reason=refusal)
    operator = rng.random() < 0.5
    if operator:
        vault.setOperator.send(other, True, sender=owner)
    else:
        vault.approve.send(other, amount, sender=owner)
    receipt = vault.requestRedeem.send(amount, controller, owner, sender=other)
    _hold(vault.allowance(owner, other) == (amount - 1 if operator else 0), "wrong allowance left")
    event = (controller, owner, receipt.value, other, amount)
    _hold(receipt.one("RedeemRequest", vault) == event, "wrong event")
    return True


def erc7540_requests_are_for_somebody(w: World, rng: Random) -> bool:
    """Nobody and the Vault itself cannot be controllers: nobody could ever claim."""
    owner = _holder(w, rng)
    if owner is None:
        return False
    for controller in (ZERO_ADDRESS, w.system.vault.address):
        _refused(w, "requestRedeem", 1, controller, owner, sender=owner, reason="vault: bad receiver")
    return True


def erc7540_pending_and_claimable_add_up(w: World, rng: Random) -> bool:
    """Over all ids a controller has pending and claimable what `position` says, claimable is `maxRedeem`, the assets of
    it `maxWithdraw` to the unit, ids that are not his answer 0, and none of it depends on who asks."""
    vault, caller, last = w.system.vault, _person(w, rng), w.system.vault.epoch().id + 1
    spoke = False
    for who in _people(w):
        position = vault.position(who)
        ids = {position.request_id, position.late_id}
        pending = sum(vault.call("pendingRedeemRequest", i, who, sender=caller) for i in ids)
        claimable = vault.call("claimableRedeemRequest", position.request_id, who, sender=caller)
        _hold(pending == position.pending + position.late, "pending does not add up")
        _hold(claimable == position.claimable_shares == vault.maxRedeem(who), "claimable is not maxRedeem")
        _hold(vault.maxWithdraw(who) == position.claimable_assets // w.scale, "claimable is not maxWithdraw")
        _hold(max(ids) <= last, "a request of an epoch to come")
        stranger = rng.randrange(last + 2)
        if stranger not in ids:
            none = vault.pendingRedeemRequest(stranger, who) + vault.claimableRedeemRequest(stranger, who)
            _hold(none == 0, f"something under id {stranger}")
        spoke |= pending + claimable > 0
    return spoke


def erc7540_previews_of_the_way_out_revert(w: World, rng: Random) -> bool:
    """`previewRedeem` and `previewWithdraw` revert for everybody and every amount: the price is not known yet."""
    for fn in ("previewRedeem", "previewWithdraw"):
        amount = rng.choice((0, 1, _part(rng, REASONABLE * WAD), MAX_UINT))
        try:
            w.system.vault.call(fn, amount, sender=_person(w, rng))
        except Reverted as error:
            _hold(error.reason == "vault: redemption is async", f"{fn} reverts with {error.reason!r}")
        else:
            raise Unmet(f"{fn}({amount}) answers")
    return True


# ---- ERC-7540: the epoch


def erc7540_only_the_epoch_makes_claimable(w: World, rng: Random) -> bool:
    """Neither time nor prices turn pending into claimable: processing does, and not before the epoch's end."""
    vault, epoch = w.system.vault, w.system.vault.epoch()
    waiting = [who for who in _people(w) if vault.position(who).pending + vault.position(who).late > 0]
    if not waiting:
        return False
    before = [vault.position(who) for who in waiting]
    if w.now < epoch.ends_at:
        _refused(w, "processEpoch", sender=_person(w, rng), reason="vault: epoch not over")
    _end_epoch(w)
    _hold([vault.position(who) for who in waiting] == before, "time or prices made something claimable")
    return True


def erc7540_an_epoch_serves_all_alike(w: World, rng: Random) -> bool:
    """Processing burns and pays what `preview_epoch` answers in the same block, and fills every request of the pool by
    the same fraction at the same price, to the wei up to the precision of the running products: requests of one id are
    fungible. What a controller loses of pending he gains of claimable; late requests wait for the next one. Anybody
    may call it."""
    vault, supply = w.system.vault, w.system.vault.totalSupply()
    people = _people(w)
    _end_epoch(w)
    before, epoch = {who: vault.position(who) for who in people}, vault.epoch()
    if epoch.pending == 0:
        return False
    expected = vault.preview_epoch()
    if not _try(vault, "processEpoch", sender=_person(w, rng)):
        return False  # a feed is out of order, or its newest round too old
    after = {who: vault.position(who) for who in people}
    filled = supply - vault.totalSupply()
    _hold(filled == expected[0], f"burned {filled}, previewed {expected[0]}")
    for who in people:
        old, new = before[who], after[who]
        gained = new.claimable_shares - old.claimable_shares
        paid = new.claimable_assets - old.claimable_assets
        _hold(old.pending + old.late == new.pending + new.late + gained, "shares are lost or made")
        _hold(new.pending + new.late >= old.late, "a late request is served")
        # a record and a product are rounded down: one wei of share each, and what it is paid
        slack = 2 + 2 * old.pending // PRODUCT_MIN
        _hold(abs(gained - old.pending * filled // epoch.pending) <= slack, "another fraction than the others")
        fair, slack = old.pending * expected[1] // epoch.pending, slack * (1 + expected[1] // epoch.pending)
        _hold(abs(paid - fair) <= slack, f"{paid} for {old.pending} of {epoch.pending} shares, {expected} in all")
    return True


# ---- ERC-7540: the claim


def erc7540_claim_by_shares_pays_its_part(w: World, rng: Random) -> bool:
    """`redeem` pays the receiver the claim's part, rounded down, lowers `maxRedeem` by exactly the shares, logs it, and
    touches neither balances of shares, nor the supply, nor the NAV, nor anybody else's claim."""
    vault, controller = w.system.vault, _claimant(w, rng)
    if controller is None:
        return False
    position, receiver = vault.position(controller), _person(w, rng)
    amount = _part(rng, position.claimable_shares)
    units = position.claimable_assets * amount // position.claimable_shares // w.scale
    _claimed(w, rng, "redeem", amount, controller, receiver, amount, units)
    _hold(vault.maxRedeem(controller) == position.claimable_shares - amount, "another claim is left")
    return True


def erc7540_claim_by_assets_uses_up_its_part(w: World, rng: Random) -> bool:
    """`withdraw` pays the receiver exactly the assets, lowers `maxWithdraw` by as many, and uses up the claim's shares
    for them, rounded up; everything else as with `redeem`."""
    vault, controller = w.system.vault, _claimant(w, rng)
    if controller is None or vault.maxWithdraw(controller) == 0:
        return False
    position, receiver, most = vault.position(controller), _person(w, rng), vault.maxWithdraw(controller)
    units = _part(rng, most)
    shares = -(-position.claimable_shares * units * w.scale // position.claimable_assets)
    _claimed(w, rng, "withdraw", units, controller, receiver, shares, units)
    _hold(vault.maxWithdraw(controller) == most - units, "another claim is left")
    return True


def erc7540_max_claim_is_the_limit(w: World, rng: Random) -> bool:
    """All of `maxRedeem` or `maxWithdraw` can be claimed, whatever is paused, stale or lost; more cannot, and nothing
    twice. Whoever takes the last share leaves nothing."""
    vault, controller = w.system.vault, _claimant(w, rng)
    if controller is None:
        return False
    shares, units = vault.maxRedeem(controller), vault.maxWithdraw(controller)
    _refused(w, "redeem", shares + 1, controller, controller, sender=controller, reason="vault: more than claimable")
    _refused(w, "withdraw", units + 1, controller, controller, sender=controller, reason="vault: more than claimable")
    if units > 0 and rng.random() < 0.5:
        vault.withdraw.send(units, controller, controller, sender=controller)
        _refused(w, "withdraw", units, controller, controller, sender=controller)
    else:
        _hold(vault.redeem.send(shares, controller, controller, sender=controller).value == units, "not all is paid")
        _refused(w, "redeem", shares, controller, controller, sender=controller)
        _hold(vault.maxRedeem(controller) == vault.maxWithdraw(controller) == 0, "something is left")
    return True


def erc7540_claim_needs_authority(w: World, rng: Random) -> bool:
    """Only the controller and his operators claim. Deviation from ERC-4626, demanded by ERC-7540: an allowance of
    shares is no right to a claim, whose shares are burned already."""
    vault, controller = w.system.vault, _claimant(w, rng)
    if controller is None:
        return False
    (other, receiver), amount = _others(w, rng, controller, 2), vault.maxRedeem(controller)
    vault.setOperator.send(other, False, sender=controller)
    vault.approve.send(other, MAX_UINT, sender=controller)
    refusal = "vault: not operator"
    for fn, most in (("redeem", amount), ("withdraw", max(vault.maxWithdraw(controller), 1))):
        _refused(w, fn, most, receiver, controller, sender=other, reason=refusal)
    vault.setOperator.send(other, True, sender=controller)
    if rng.random() < 0.5:
        vault.setOperator.send(other, False, sender=controller)
        _refused(w, "redeem", amount, receiver, controller, sender=other, reason=refusal)
    else:
        tokens, units = _tokens(w), vault.maxWithdraw(controller)
        vault.redeem.send(amount, receiver, controller, sender=other)
        paid = _net((receiver, units), (w.system.clearinghouse.address, -units))
        _hold(_moved(tokens, _tokens(w)) == paid, "somebody else was paid")
    return True


def erc7540_operators_are_set_and_unset(w: World, rng: Random) -> bool:
    """`setOperator` sets what it is told for the caller alone, answers true and logs it, also when nothing changes."""
    vault, (controller, operator, other) = w.system.vault, rng.sample(_named(w, ACTORS), 3)
    kept = vault.isOperator(other, operator), vault.isOperator(operator, controller)
    for approved in (True, rng.random() < 0.5, False):
        receipt = vault.setOperator.send(operator, approved, sender=controller)
        _hold(receipt.value is True, "does not answer true")
        _hold(receipt.one("OperatorSet", vault) == (controller, operator, approved), "wrong event")
        _hold(vault.isOperator(controller, operator) is approved, "not set")
    _hold((vault.isOperator(other, operator), vault.isOperator(operator, controller)) == kept, "others are touched")
    return True


def erc7540_claims_are_covered_and_parts_gain_nothing(w: World, rng: Random) -> bool:
    """Everybody can claim everything, in any order and in parts: together it is at most what was set aside, and parts
    never pay more than the whole."""
    vault = w.system.vault
    claimants = [who for who in _people(w) if vault.maxRedeem(who) > 0]
    if not claimants:
        return False
    _hold(sum(vault.position(who).claimable_assets for who in claimants) <= w.system.clearinghouse.buckets().claims,
          "more is owed than was set aside")  # fmt: skip
    able = [who for who in claimants if not w.chain.code(who)]  # a contract of ours that was named controller is not
    for who in rng.sample(able, len(able)):
        whole, got, payee = vault.maxWithdraw(who), 0, _rich(w, rng)
        for _ in range(rng.randrange(3)):
            if vault.maxRedeem(who) > 0:
                part = _part(rng, vault.maxRedeem(who))
                got += vault.redeem.send(part, payee, who, sender=who).value
        if vault.maxRedeem(who) > 0:
            got += vault.redeem.send(vault.maxRedeem(who), payee, who, sender=who).value
        _hold(got <= whole, f"{got} in parts of {whole}")
        _hold(vault.maxRedeem(who) == vault.maxWithdraw(who) == 0, "something is left")
    return True


PROPERTIES: tuple[Property, ...] = (
    erc20_supply_is_what_people_hold,
    erc20_transfer_moves_exactly,
    erc20_allowance_is_spent_and_binds,
    erc165_and_erc7575_say_what_the_vault_is,
    erc4626_views_never_revert,
    erc4626_views_do_not_see_the_caller,
    erc4626_conversions_are_at_mid_rounded_down,
    erc4626_previews_favour_the_vault,
    erc4626_previews_ignore_limits,
    erc4626_gifts_do_not_move_the_price,
    erc4626_deposit_does_what_the_preview_says,
    erc4626_mint_does_what_the_preview_says,
    erc4626_max_deposit_is_the_limit,
    erc4626_max_mint_is_accepted,
    erc4626_nothing_is_refused,
    erc4626_entry_needs_and_spends_an_allowance,
    erc4626_entry_gains_nothing_at_mid,
    erc4626_first_depositor_cannot_inflate,
    erc7540_request_takes_the_shares_and_waits,
    erc7540_request_needs_authority,
    erc7540_requests_are_for_somebody,
    erc7540_pending_and_claimable_add_up,
    erc7540_previews_of_the_way_out_revert,
    erc7540_only_the_epoch_makes_claimable,
    erc7540_an_epoch_serves_all_alike,
    erc7540_claim_by_shares_pays_its_part,
    erc7540_claim_by_assets_uses_up_its_part,
    erc7540_max_claim_is_the_limit,
    erc7540_claim_needs_authority,
    erc7540_operators_are_set_and_unset,
    erc7540_claims_are_covered_and_parts_gain_nothing,
)


# ---- what properties are made of


def _hold(condition: object, message: str) -> None:
    if not condition:
        raise Unmet(message)


def _refused(w: World, fn: str, *args: Any, sender: str, reason: str | None = None) -> str:
    """The reason of a call that must revert."""
    try:
        w.system.vault.send(fn, *args, sender=sender)
    except Reverted as error:
        _hold(reason is None or error.reason == reason, f"{fn}{args} reverts with {error.reason!r}, not {reason!r}")
        return error.reason
    raise Unmet(f"{fn}{args} by {sender} goes through")


def _try(contract: Contract, fn: str, *args: Any, sender: str) -> bool:
    """Whether a call goes through."""
    try:
        contract.send(fn, *args, sender=sender)
    except Reverted:
        return False
    return True


def _part(rng: Random, whole: int) -> int:
    """From 1 to `whole`, of any magnitude; all of it and a unit often."""
    return rng.choice((1, whole, max(int(whole ** rng.random()), 1), rng.randint(1, max(whole, 1))))


def _entry(w: World, rng: Random) -> int:
    """[token units] that may come in, 0 if nothing may."""
    room = w.system.vault.maxDeposit(w.system.vault)
    return _part(rng, room) if room else 0


def _named(w: World, names: Iterable[str]) -> list[str]:
    return [w.actors[name] for name in names]


def _people(w: World) -> list[str]:
    """Everybody who can hold anything: actors and our contracts."""
    return list(dict.fromkeys([*w.actors.values(), *(contract.address for contract in w.contracts.values())]))


def _person(w: World, rng: Random) -> str:
    return rng.choice(_named(w, PERSONS))


def _rich(w: World, rng: Random) -> str:
    """Somebody with tokens, who lets the Vault take them."""
    return rng.choice(_named(w, ACTORS))


def _others(w: World, rng: Random, one: str, count: int) -> list[str]:
    return rng.sample([address for address in _named(w, ACTORS) if address != one], count)


def _holder(w: World, rng: Random) -> str | None:
    """An actor with shares, if there is one."""
    found = [who for who in _named(w, PERSONS) if w.system.vault.balanceOf(who) > 0]
    return rng.choice(found) if found else None


def _claimant(w: World, rng: Random) -> str | None:
    """An actor with something to claim, if there is one."""
    found = [who for who in _named(w, PERSONS) if w.system.vault.maxRedeem(who) > 0]
    return rng.choice(found) if found else None


def _balances(w: World, token: Contract) -> Counter[str]:
    return Counter({who: token.balanceOf(who) for who in _people(w)})


def _shares(w: World) -> Counter[str]:
    return _balances(w, w.system.vault)


def _tokens(w: World) -> Counter[str]:
    return _balances(w, w.system.quote)


def _moved(before: Counter[str], after: Counter[str]) -> dict[str, int]:
    """What changed, by whom."""
    return {who: after[who] - before[who] for who in after if after[who] != before[who]}


def _net(*changes: tuple[str, int]) -> dict[str, int]:
    """Several changes as one, without those that come to nothing."""
    total: Counter[str] = Counter()
    for who, change in changes:
        total[who] += change
    return {who: change for who, change in total.items() if change}


def _entered(
    w: World, receipt: Receipt, payer: str, receiver: str, units: int, minted: int,
    shares: Counter[str], tokens: Counter[str],
) -> None:  # fmt: skip
    """An entry moved exactly this, and logged it."""
    vault = w.system.vault
    _hold(_moved(shares, _shares(w)) == {receiver: minted}, "wrong balances of shares")
    paid = {payer: -units, w.system.clearinghouse.address: units}
    _hold(_moved(tokens, _tokens(w)) == paid, "wrong balances of tokens")
    _hold(vault.totalSupply() == sum(shares.values()) + minted, "wrong supply")
    _hold(receipt.one("Deposit", vault) == (payer, receiver, units, minted), "wrong Deposit event")
    _hold(receipt.one("Transfer", vault) == (ZERO_ADDRESS, receiver, minted), "wrong Transfer event")


def _claimed(
    w: World, rng: Random, fn: str, amount: int, controller: str, receiver: str, shares: int, units: int
) -> None:
    """A claim moved exactly this, and logged it."""
    vault = w.system.vault
    held, tokens, value = _shares(w), _tokens(w), vault.valuation()
    others = {who: vault.position(who) for who in _people(w) if who != controller}
    receipt = vault.send(fn, amount, receiver, controller, sender=controller)
    _hold(receipt.value == (units if fn == "redeem" else shares), f"{fn} answers {receipt.value}")
    _hold(_moved(tokens, _tokens(w)) == _net((receiver, units), (w.system.clearinghouse.address, -units)), "wrong pay")
    _hold(_shares(w) == held, "a claim moves shares")
    _hold(vault.valuation() == value, "a claim moves a price")
    _hold(all(vault.position(who) == position for who, position in others.items()), "another's claim changed")
    event = (controller, receiver, controller, units, shares)
    _hold(receipt.one("Withdraw", vault) == event, "wrong event")


def _end_epoch(w: World) -> None:
    """Wait for the end of the epoch; then every feed repeats its price."""
    last = [w.system.oracle.call("last", market.id).price // FEED_SCALE for market in w.system.markets]
    w.chain.warp(max(w.system.vault.epoch().ends_at - w.now, 1))
    for market, answer in zip(w.system.markets, last, strict=True):
        w.system.aggregators[market.id].push.send(answer, w.now)
