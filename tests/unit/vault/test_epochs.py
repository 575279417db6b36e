"""I11 over many epochs: pro rata, conservation, progress, and the twin to the wei along every sequence."""

import math
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ballast.chain import load
from ballast.model.exact import vault as exact
from tests.conftest import FUZZ_SCALE
from tests.unit.vault.conftest import DAY, WAD, World, assert_not_lower

ACTORS = ("lp", "whale", "operator", "receiver", "spender", "attacker")


def leave_free(world: World, fraction: Fraction) -> None:
    """Set the stressed loss so that `fraction` of what the queue is worth can be paid."""
    world.set_values()
    _, full = world.vault.preview_epoch()
    nav = world.vault.valuation().nav
    u_redeem = world.vault.params().u_redeem
    loss = math.floor((nav - math.ceil(full * fraction)) * Fraction(u_redeem, WAD))
    world.set_values(stressed_loss=loss)


def test_constants_agree_with_the_contract() -> None:
    """What the proof of `_walk` rests on."""
    assert exact.PRODUCT_MIN**2 * exact.U128 < exact.PRODUCT_START**2
    source = load("Vault").source_path
    assert source is not None
    text = source.with_name("epochs.vy").read_text()
    assert "PRODUCT_START: constant(uint256) = 10**54" in text
    assert "PRODUCT_MIN: constant(uint256) = 10**18" in text
    assert f"MAX_WALK: constant(uint256) = {exact.MAX_WALK}" in text


@pytest.mark.parametrize("decimals", [6, 18])
def test_chain_of_fills_of_999_in_1000_carries_every_record_over_generations(decimals: int) -> None:
    world = World(decimals)
    for actor in ACTORS:
        world.deposit(actor, 10**8 * world.unit)
    world.deposit("keeper", 10**9 * world.unit)
    # exact remainders, by rational arithmetic
    pending: dict[str, Fraction] = dict.fromkeys(ACTORS, Fraction(0))
    generations = set()
    for epoch in range(1, 41):
        actor = ACTORS[epoch % len(ACTORS)]
        shares = min(10**6 * WAD + epoch, world.vault.balanceOf(world.actors[actor]))
        assert world.request(actor, shares) == epoch
        pending[actor] += shares
        leave_free(world, Fraction(999, 1_000))
        queue = world.vault.epoch().pending
        filled, _ = world.end_epoch()
        assert 0 < filled < queue
        assert abs(Fraction(filled, queue) - Fraction(999, 1_000)) < Fraction(1, 10**6)
        for name in ACTORS:
            pending[name] *= Fraction(queue - filled, queue)
            left = world.vault.position(world.actors[name]).pending
            # each rounding of Z takes 1e-18 of a record at most, each step of its own at most a wei
            assert 0 <= pending[name] - left <= 10**8 + epoch
        world.compare()
        generations.add(world.twins.vault.epochs.indices[world.twins.vault.epochs.pool.step].generation)
    assert len(generations) >= 3
    # who slept through all of it claims in one step
    for name in ACTORS:
        account = world.actors[name]
        world.redeem(name, world.vault.maxRedeem(account))
    world.compare()
    world.set_values()
    world.end_epoch()
    for name in ACTORS:
        if world.vault.maxRedeem(world.actors[name]) > 0:
            world.redeem(name, world.vault.maxRedeem(world.actors[name]))
    world.compare()
    assert world.clearinghouse.buckets().claims < 10**10 + 10**9 * world.scale


def test_sleeper_of_one_epoch_crosses_three_generations(usdc: World) -> None:
    """A record that came in just before a carry, and is claimed two full fills and one carry later."""
    for actor in ACTORS:
        usdc.deposit(actor, 10**8 * usdc.unit)
    usdc.deposit("keeper", 10**9 * usdc.unit)
    sleeper = usdc.actors["lp"]
    for epoch in range(13):
        if epoch == 12:
            usdc.request("lp", 10**6 * WAD)
        usdc.request("whale", 10**6 * WAD)
        leave_free(usdc, Fraction(999, 1_000))
        usdc.end_epoch()
    assert usdc.twins.vault.epochs.closings[0][0] > 0
    left = usdc.vault.position(sleeper).pending
    assert 999 * WAD < left < 1_001 * WAD
    usdc.set_values()
    for _ in range(3):
        usdc.request("whale", 10**6 * WAD)
        usdc.end_epoch()
    position = usdc.vault.position(sleeper)
    assert (position.pending, position.claimable_shares, position.request_id) == (0, 10**6 * WAD, 13)
    assert 0 <= 10**6 * WAD - position.claimable_assets <= 10**12
    assert usdc.redeem("lp", 10**6 * WAD) >= 10**6 * usdc.unit - 1
    usdc.compare()


def test_fills_of_all_but_a_wei_lose_a_wei_at_most(world: World) -> None:
    """The most extreme ratio there is: Z falls by the whole queue at once."""
    world.deposit("lp", 10**8 * world.unit)
    world.deposit("keeper", 10**9 * world.unit)
    for _ in range(4):
        world.request("lp", 10**7 * WAD)
        leave_free(world, Fraction(10**25 - 1, 10**25))
        world.end_epoch()
        world.compare()
    position = world.vault.position(world.actors["lp"])
    assert position.pending + position.claimable_shares == 4 * 10**7 * WAD


class Epochs(RuleBasedStateMachine):
    """LPs come, go and claim while the vault gains and loses; contract and twin stay equal."""

    @initialize(decimals=st.sampled_from([6, 8, 18]), seed=st.integers(1, 10**7))
    def begin(self, decimals: int, seed: int) -> None:
        self.world = World(decimals)
        self.world.deposit("keeper", seed * self.world.unit)

    # ── LPs ──

    @precondition(lambda self: self.world.vault.valuation().nav >= 0)
    @rule(actor=st.sampled_from(ACTORS), exponent=st.integers(-6, 7), digits=st.integers(1, 99))
    def deposit(self, actor: str, exponent: int, digits: int) -> None:
        assets = int(digits * self.world.unit * Fraction(10) ** exponent)
        self.world.set_marks()
        before = self.world.bid_per_share()
        if 0 < assets <= self.world.vault.maxDeposit(self.world.actors[actor]) and self.world.vault.previewDeposit(
            assets
        ):
            self.world.deposit(actor, assets)
        assert_not_lower(before, self.world.bid_per_share())

    @precondition(lambda self: self.world.vault.valuation().nav >= 0)
    @rule(actor=st.sampled_from(ACTORS), exponent=st.integers(0, 24), digits=st.integers(1, 99))
    def mint(self, actor: str, exponent: int, digits: int) -> None:
        self.world.set_marks()
        before = self.world.bid_per_share()
        shares = min(digits * 10**exponent, self.world.vault.maxMint(self.world.actors[actor]))
        if shares > 0 and self.world.vault.previewMint(shares) < 10**12 * self.world.unit:
            self.world.mint(actor, shares)
        assert_not_lower(before, self.world.bid_per_share())

    @rule(
        owner=st.sampled_from(ACTORS),
        controller=st.sampled_from(ACTORS),
        part=st.one_of(st.just(1000), st.integers(1, 999)),
    )
    def request(self, owner: str, controller: str, part: int) -> None:
        shares = -(-self.world.vault.balanceOf(self.world.actors[owner]) * part // 1_000)
        if shares > 0:
            self.world.request(owner, shares, controller)

    @rule(owner=st.sampled_from(ACTORS), to=st.sampled_from(ACTORS), part=st.integers(0, 1_000))
    def transfer(self, owner: str, to: str, part: int) -> None:
        self.world.transfer(owner, to, self.world.vault.balanceOf(self.world.actors[owner]) * part // 1_000)

    @rule(actor=st.sampled_from(ACTORS), part=st.one_of(st.just(1000), st.integers(1, 999)))
    def redeem(self, actor: str, part: int) -> None:
        shares = -(-self.world.vault.maxRedeem(self.world.actors[actor]) * part // 1_000)
        if shares > 0:
            self.world.redeem(actor, shares)

    @rule(actor=st.sampled_from(ACTORS), part=st.one_of(st.just(1000), st.integers(1, 999)))
    def withdraw(self, actor: str, part: int) -> None:
        assets = -(-self.world.vault.maxWithdraw(self.world.actors[actor]) * part // 1_000)
        if assets > 0:
            self.world.withdraw(actor, assets)

    # ── time and the market ──

    @rule(seconds=st.one_of(st.integers(1, DAY), st.just(3 * DAY)))
    def wait(self, seconds: int) -> None:
        self.world.chain.warp(seconds)

    @precondition(lambda self: self.world.now >= self.world.vault.epoch().ends_at)
    @rule()
    def process(self) -> None:
        world = self.world
        world.set_marks()
        before, value = world.bid_per_share(), world.twins.vault.valuation(world.now)
        queue = world.vault.epoch().pending
        epoch = world.vault.epoch().id
        positions = {name: world.twins.vault.position(name) for name in ACTORS}
        filled, paid = world.process()
        assert world.vault.epoch().id == epoch + 1
        assert_not_lower(before, world.bid_per_share())
        # progress whenever something is free and the queue is worth a unit
        if queue > WAD and value.bid > value.supply // 100 and value.available > queue * 2 // 100:
            assert filled > 0
        if queue == 0:
            return
        for name, old in positions.items():
            new = world.twins.vault.position(name)
            moved = new.claimable_shares - old.claimable_shares
            owed = new.claimable_assets - old.claimable_assets
            dust = 2 + old.pending // 10**17
            assert 0 <= moved - old.pending * filled // queue <= dust
            # what a position says is pending is its exact claim rounded down: it may own up to a wei of share more
            assert -dust * (1 + paid // max(filled, 1)) <= owed - old.pending * paid // queue <= 1 + paid // queue

    @rule(
        gain=st.integers(-30, 50), reserve=st.integers(-20, 20), book=st.integers(-40, 40), venues=st.integers(0, 40),
        spread=st.integers(0, 5), curve=st.integers(0, 10**11), stress=st.integers(0, 70), due=st.integers(0, 100),
    )  # fmt: skip
    def move_market(
        self, gain: int, reserve: int, book: int, venues: int, spread: int, curve: int, stress: int, due: int
    ) -> None:
        world = self.world
        world.set_values()
        lp, held = world.clearinghouse.vault_ledger()
        size = max(lp, WAD)
        into_reserve = max(size * reserve // 1_000, -held)
        # the trader's margin bounds what it can lose, the vault's what it can gain
        world.settle(lp=min(size * gain // 100, 10**9 * WAD), reserve=min(into_reserve, 10**8 * WAD))
        held = world.clearinghouse.vault_ledger()[1]
        world.set_values(
            book=size * book // 100, venues=size * venues // 100, spread=size * spread // 100, curve=curve * WAD,
            stressed_loss=size * stress // 100, due=held * due // 100,
        )  # fmt: skip

    @invariant()
    def equal(self) -> None:
        self.world.compare()


Epochs.TestCase.settings = settings(
    max_examples=40 * FUZZ_SCALE,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)
TestEpochs = pytest.mark.fuzz(Epochs.TestCase)
