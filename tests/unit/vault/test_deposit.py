"""ERC-4626 in: what an entry costs, who may make one, and what it can never do to those who are in already."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ballast.chain import reverts
from ballast.model.roles import Role
from tests.unit.vault.conftest import MAX_SUPPLY, WAD, World, assert_not_lower, multiply_shares

FEE, RETURN_FALSE, REENTER, _, BURN = (1 << i for i in range(5))


def test_deposit_first_buys_one_share_per_quote(world: World) -> None:
    assert world.deposit("lp", 1_000 * world.unit) == 1_000 * WAD
    assert world.vault.convertToAssets(WAD) == world.unit
    assert world.token.balanceOf(world.vault) == 0
    world.compare()


def test_deposit_logs_and_moves_tokens_to_the_clearinghouse(usdc: World) -> None:
    lp, receiver = usdc.actors["lp"], usdc.actors["receiver"]
    before = usdc.token.balanceOf(usdc.clearinghouse)
    receipt = usdc.vault.deposit.send(5 * usdc.unit, receiver, sender=lp)
    assert receipt.one("Deposit") == (lp, receiver, 5 * usdc.unit, 5 * WAD)
    assert receipt.one("Transfer", usdc.vault) == ("0x" + "00" * 20, receiver, 5 * WAD)
    assert usdc.token.balanceOf(usdc.clearinghouse) - before == 5 * usdc.unit
    assert usdc.vault.balanceOf(receiver) == 5 * WAD


def test_deposit_enters_at_the_ask(usdc: World) -> None:
    usdc.deposit("lp", 999 * usdc.unit)
    usdc.settle(lp=100 * WAD, reserve=60 * WAD)
    # U at 2,200 of equity is 20: of 60 in reserve, 40 will be released to whoever holds shares then
    usdc.set_values(spread=10 * WAD, curve=20 * 2_200 * WAD, book=101 * WAD)
    minted = usdc.deposit("whale", 1_000 * usdc.unit)
    assert minted == 1_000 * WAD * 1_000 // (1_200 + 10 + 40 + 1)
    usdc.compare()


def test_deposit_counts_a_release_that_is_due(usdc: World) -> None:
    usdc.deposit("lp", 1_000 * usdc.unit)
    usdc.settle(lp=0, reserve=60 * WAD)
    usdc.set_values(due=20 * WAD)
    assert usdc.vault.totalAssets() == 1_020 * usdc.unit
    # 20 of the 60 as NAV, 40 as reserve that is about to be theirs: together the 60, whenever the release is booked
    minted = usdc.deposit("whale", 1_000 * usdc.unit)
    assert minted == 1_000 * WAD * 1_001 // (1_020 + 40 + 1)
    assert usdc.clearinghouse.vault_ledger() == (2_000 * WAD, 60 * WAD)
    assert usdc.vault.totalAssets() == 2_020 * usdc.unit
    usdc.compare()


def test_deposit_costs_the_same_before_and_after_a_release(usdc: World) -> None:
    usdc.deposit("lp", 1_000 * usdc.unit)
    usdc.settle(lp=0, reserve=60 * WAD)
    usdc.set_values(due=20 * WAD, curve=20 * 2_020 * WAD)
    before = usdc.vault.previewDeposit(1_000 * usdc.unit)
    usdc.act("sync_all", usdc.around.sync_all.send, lambda t: t.around.sync_all(usdc.now))
    assert usdc.clearinghouse.vault_ledger() == (1_020 * WAD, 40 * WAD)
    assert usdc.deposit("whale", 1_000 * usdc.unit) == before


def test_deposit_at_least_reverts_below_the_limit(usdc: World) -> None:
    lp = usdc.actors["lp"]
    with reverts("vault: too few shares"):
        usdc.vault.deposit_at_least.send(usdc.unit, lp, WAD + 1, sender=lp)
    assert usdc.vault.deposit_at_least.send(usdc.unit, lp, WAD, sender=lp).value == WAD


def test_deposit_that_buys_nothing_reverts(usdc: World) -> None:
    usdc.deposit("lp", 1)
    usdc.set_values(book=10**25 * WAD)
    assert usdc.vault.previewDeposit(1) == 0
    with reverts("vault: too few shares"):
        usdc.vault.deposit.send(1, usdc.actors["lp"], sender=usdc.actors["lp"])


def test_mint_costs_what_the_preview_says_rounded_up(world: World) -> None:
    assert world.mint("lp", WAD + 1) == -(-(WAD + 1) // world.scale)
    world.settle(lp=WAD, reserve=3 * WAD)
    world.set_values(spread=WAD // 3, curve=2_000 * WAD)
    world.mint("whale", 7 * WAD + 1)
    world.compare()


@pytest.mark.parametrize("function", ["deposit", "mint"])
class TestEntry:
    def test_entry_of_zero_reverts(self, usdc: World, function: str) -> None:
        with reverts("vault: zero amount"):
            usdc.vault.send(function, 0, usdc.actors["lp"])

    @pytest.mark.parametrize("receiver", ["vault", "zero"])
    def test_entry_for_an_impossible_receiver_reverts(self, usdc: World, function: str, receiver: str) -> None:
        with reverts("vault: bad receiver"):
            usdc.vault.send(function, WAD, usdc.vault if receiver == "vault" else "0x" + "00" * 20)

    def test_entry_while_paused_reverts_and_has_no_room(self, usdc: World, function: str) -> None:
        usdc.vault.pause_deposits.send(sender=usdc.actors["guardian"])
        assert usdc.vault.maxDeposit(usdc.actors["lp"]) == usdc.vault.maxMint(usdc.actors["lp"]) == 0
        with reverts("vault: deposits paused"):
            usdc.vault.send(function, WAD, usdc.actors["lp"])

    def test_entry_with_one_stale_market_reverts_and_has_no_room(self, usdc: World, function: str) -> None:
        usdc.set_mark(1, usdc.now, fresh=False)
        assert usdc.vault.maxDeposit(usdc.actors["lp"]) == usdc.vault.maxMint(usdc.actors["lp"]) == 0
        with reverts("vault: stale mark"):
            usdc.vault.send(function, WAD, usdc.actors["lp"])

    def test_entry_into_a_vault_that_owes_more_than_it_has_reverts(self, usdc: World, function: str) -> None:
        usdc.deposit("lp", 10 * usdc.unit)
        usdc.set_values(book=-11 * WAD)
        assert usdc.vault.totalAssets() == usdc.vault.maxDeposit(usdc.actors["lp"]) == 0
        with reverts("vault: insolvent"):
            usdc.vault.send(function, usdc.unit, usdc.actors["whale"])

    def test_entry_is_open_until_a_wei_more_is_owed_than_there_is(self, usdc: World, function: str) -> None:
        usdc.deposit("lp", 10 * usdc.unit)
        usdc.set_values(book=-10 * WAD - 1)
        assert usdc.vault.maxDeposit(usdc.actors["lp"]) == 0
        with reverts("vault: insolvent"):
            usdc.vault.send(function, usdc.unit, usdc.actors["whale"])
        usdc.set_values(book=-10 * WAD)
        assert usdc.vault.maxDeposit(usdc.actors["lp"]) > 0
        usdc.vault.send(function, usdc.unit, usdc.actors["whale"])

    def test_entry_above_the_cap_reverts(self, usdc: World, function: str) -> None:
        usdc.set_params(deposit_cap=10 * WAD)
        amount = (10 * usdc.unit, 1) if function == "deposit" else (10 * WAD, 1)
        with reverts("vault: deposit cap"):
            usdc.vault.send(function, sum(amount), usdc.actors["lp"])
        usdc.vault.send(function, amount[0], usdc.actors["lp"])
        assert usdc.vault.maxDeposit(usdc.actors["lp"]) == usdc.vault.maxMint(usdc.actors["lp"]) == 0

    def test_entry_beyond_the_allowance_reverts(self, usdc: World, function: str) -> None:
        usdc.token.approve.send(usdc.vault, 0, sender=usdc.actors["lp"])
        with reverts("erc20: insufficient allowance"):
            usdc.vault.send(function, usdc.unit, usdc.actors["lp"], sender=usdc.actors["lp"])


@pytest.mark.parametrize("manner", [FEE, RETURN_FALSE, BURN])
def test_deposit_of_a_token_that_does_not_arrive_reverts(manner: int) -> None:
    world = World(token="RudeToken")
    world.token.behave.send(manner, world.actors["admin"])
    with reverts("vault: amount received"):
        world.vault.deposit.send(10**9, world.actors["lp"], sender=world.actors["lp"])


def test_deposit_of_a_token_that_answers_nothing_works() -> None:
    world = World(token="SilentToken")
    assert world.deposit("lp", world.unit) == WAD


@pytest.mark.parametrize(
    "function", ["deposit", "processEpoch", "requestRedeem", "transfer", "totalAssets", "maxRedeem"]
)
def test_token_cannot_reenter_a_deposit(function: str) -> None:
    world = World(token="RudeToken")
    world.deposit("lp", 10 * world.unit)
    lp = world.actors["lp"]
    arguments = {"deposit": (1, lp), "requestRedeem": (1, lp, lp), "transfer": (lp, 0), "maxRedeem": (lp,)}
    payload = world.vault.tx(function, *arguments.get(function, ())).data
    world.token.prepare.send(world.vault, payload)
    world.token.behave.send(REENTER, world.actors["admin"])
    world.vault.deposit.send(world.unit, lp, sender=lp)
    assert not world.token.went_through()


def test_no_entry_makes_more_shares_than_a_request_can_hold(usdc: World) -> None:
    multiply_shares(usdc)
    room = MAX_SUPPLY - usdc.vault.totalSupply()
    with reverts(""):
        usdc.mint("lp", room + 1)
    usdc.mint("lp", room)
    usdc.request("lp", MAX_SUPPLY)
    assert usdc.vault.epoch().pending == MAX_SUPPLY
    usdc.compare()


def test_conversions_round_down_to_the_wei() -> None:
    """A token of 18 decimals: no division by the unit hides which way a share is rounded."""
    world = World(decimals=18)
    world.deposit("lp", 100 * WAD)
    world.settle(lp=50 * WAD)
    assert [world.vault.convertToAssets(x) for x in (1, 2, 3)] == [x * 151 // 101 for x in (1, 2, 3)] == [1, 2, 4]
    assert [world.vault.convertToShares(x) for x in (1, 2, 3)] == [x * 101 // 151 for x in (1, 2, 3)] == [0, 1, 2]


def test_room_of_a_vault_with_a_stale_price_is_zero_to_the_wei() -> None:
    world = World(decimals=18)
    world.set_mark(1, world.now, fresh=False)
    assert world.vault.maxDeposit(world.actors["lp"]) == world.vault.maxMint(world.actors["lp"]) == 0


@pytest.mark.parametrize(
    ("view", "arguments"),
    [
        ("totalAssets", ()), ("convertToShares", (1,)), ("convertToAssets", (1,)), ("previewDeposit", (1,)),
        ("previewMint", (1,)), ("valuation", ()),
    ],
)  # fmt: skip
def test_views_of_nav_revert_inside_another_operation(usdc: World, view: str, arguments: tuple[int, ...]) -> None:
    usdc.deposit("lp", usdc.unit)
    operation = usdc.chain.deploy("Operation")
    usdc.clearinghouse.grant_role.send(operation, Role.HEDGER)
    begin = (usdc.clearinghouse.address, usdc.clearinghouse.tx("begin").data)
    with reverts("clearing: in progress"):
        operation.run.send([begin, (usdc.vault.address, usdc.vault.tx(view, *arguments).data)])


def test_max_deposit_is_zero_inside_another_operation(usdc: World) -> None:
    operation = usdc.chain.deploy("Operation")
    usdc.clearinghouse.grant_role.send(operation, Role.HEDGER)
    calls = [
        (usdc.clearinghouse.address, usdc.clearinghouse.tx("begin").data),
        (usdc.vault.address, usdc.vault.tx("maxDeposit", operation.address).data),
        (usdc.vault.address, usdc.vault.tx("maxMint", operation.address).data),
    ]
    assert [int.from_bytes(r, "big") for r in operation.run.send(calls).value[1:]] == [0, 0]


# ── properties of ERC-4626, over states of the vault ──

quote = st.integers(1, 10**9).map(lambda x: x * WAD // 100)
STATES = st.fixed_dictionaries(
    {
        "supply": quote, "gain": st.integers(-90, 900), "reserve": st.integers(0, 200), "due": st.integers(0, 100),
        "spread": st.integers(0, 10**6 * WAD), "curve": st.integers(0, 10**13 * WAD),
    }
)  # fmt: skip


def populate(state: dict[str, int], decimals: int) -> World:
    """A vault with LPs, a gain and a reserve in per cent of their money, spreads and a potential."""
    world = World(decimals)
    supply = max(state["supply"] // world.scale, 1)
    world.deposit("lp", supply)
    nav = supply * world.scale
    reserve = nav * state["reserve"] // 100
    world.settle(lp=0, reserve=reserve)
    world.set_values(
        book=nav * state["gain"] // 100, spread=state["spread"], curve=state["curve"], due=reserve * state["due"] // 100
    )
    return world


@given(state=STATES, decimals=st.sampled_from([6, 8, 18]), assets=quote, shares=quote)
def test_conversions_and_previews_keep_the_standard(
    state: dict[str, int], decimals: int, assets: int, shares: int
) -> None:
    world = populate(state, decimals)
    vault, units = world.vault, max(assets // world.scale, 1)
    assert vault.convertToAssets(vault.convertToShares(units)) <= units
    assert vault.convertToShares(vault.convertToAssets(shares)) <= shares
    assert vault.previewDeposit(units) <= vault.convertToShares(units)
    assert vault.previewMint(shares) >= vault.convertToAssets(shares)
    assert vault.previewDeposit(vault.previewMint(shares)) >= shares
    assert vault.convertToShares(0) == vault.convertToAssets(0) == vault.previewDeposit(0) == vault.previewMint(0) == 0
    assert vault.totalAssets() == max(vault.valuation().nav, 0) // world.scale
    world.compare()


@given(state=STATES, decimals=st.sampled_from([6, 8, 18]), room=quote)
def test_max_deposit_and_max_mint_are_accepted(state: dict[str, int], decimals: int, room: int) -> None:
    world = populate(state, decimals)
    nav = max(world.vault.valuation().nav, 0)
    world.set_params(deposit_cap=nav + room)
    lp = world.actors["lp"]
    assert world.vault.maxDeposit(lp) == room // world.scale
    shares = world.vault.maxMint(lp)
    if shares > 0:
        before = world.bid_per_share()
        assert world.mint("whale", shares) <= room // world.scale
        assert_not_lower(before, world.bid_per_share())
    rest = world.vault.maxDeposit(lp)
    if rest > 0 and world.vault.previewDeposit(rest) > 0:
        world.deposit("whale", rest)
        assert world.vault.maxDeposit(lp) == 0
    world.compare()


@given(state=STATES, decimals=st.sampled_from([6, 8, 18]), assets=quote, by_shares=st.booleans())
def test_entry_never_lowers_the_bid_of_those_who_are_in(
    state: dict[str, int], decimals: int, assets: int, by_shares: bool
) -> None:
    world = populate(state, decimals)
    before = world.bid_per_share()
    if by_shares:
        world.mint("whale", world.vault.convertToShares(max(assets // world.scale, 1)) + 1)
    elif world.vault.previewDeposit(max(assets // world.scale, 1)) > 0:
        world.deposit("whale", max(assets // world.scale, 1))
    assert_not_lower(before, world.bid_per_share())


# ── inflation ──


@settings(max_examples=60)
@given(
    seed=st.integers(1, 10**9),
    gift=st.integers(0, 10**7),
    deposit=st.integers(1, 10**13),
    decimals=st.sampled_from([6, 8, 18]),
)
def test_first_depositor_who_inflates_the_share_loses(seed: int, gift: int, deposit: int, decimals: int) -> None:
    """A first depositor gives `gift` to LP cash (by losing trades: tokens sent without a call never reach it)."""
    world = World(decimals)
    minted = world.deposit("attacker", seed)
    world.token.transfer.send(world.clearinghouse, world.unit, sender=world.actors["attacker"])
    assert world.vault.totalAssets() == seed
    world.settle(lp=gift * WAD)
    price = world.vault.convertToAssets(WAD)
    deposit = max(deposit, price // WAD + 1)
    world.deposit("whale", deposit)
    gained = world.vault.convertToAssets(minted)
    assert gained <= seed + gift * world.unit
    # what rounding takes from the victim is worth less than one wei of a share, and a token unit
    kept = world.vault.convertToAssets(world.vault.balanceOf(world.actors["whale"]))
    assert kept >= deposit - 2 - -(-price // WAD)
