"""The system fixture: complete, wired as planned, and alive."""

import pytest

from ballast.chain import RevmChain, reverts
from ballast.config import Config
from ballast.model.roles import Role
from ballast.plan import GOVERNED, Deployed, Plan
from ballast.system import Sandbox, deploy_system, wad

WAD = 10**18


@pytest.fixture
def plan(system: Sandbox) -> Plan:
    return Plan(system.config, system.setup)


def test_deploy_system_every_planned_view_answers_as_planned(system: Sandbox, plan: Plan) -> None:
    deployed = Deployed(system.chain, dict(system.addresses))
    for read in plan.reads():
        assert read.actual(deployed, plan) == read.wanted(deployed), read


def test_deploy_system_roles_are_those_planned(system: Sandbox, plan: Plan) -> None:
    deployed = Deployed(system.chain, dict(system.addresses))
    for key, holders in plan.roles(deployed).items():
        for holder, role in holders.items():
            assert Role(getattr(system, key).call("roles_of", holder)) == role


@pytest.mark.parametrize("key", GOVERNED)
def test_deploy_system_deployer_keeps_nothing(system: Sandbox, key: str) -> None:
    contract = getattr(system, key)
    assert contract.call("roles_of", system.setup) == 0
    assert contract.call("admin") == system.governor
    with reverts("roles: not allowed"):
        contract.send("grant_role", system.setup, int(Role.GUARDIAN), sender=system.setup)


def test_deploy_system_without_renouncing_setup_can_go_on(chain: RevmChain, local_config: Config) -> None:
    system = deploy_system(chain, local_config.without_venues(), renounce=False)
    assert Role(system.vault.call("roles_of", system.setup)) == Role.SETUP


def test_deploy_system_admin_and_guardian_can_be_chosen(chain: RevmChain, local_config: Config) -> None:
    admin, setup, guardian = chain.accounts[3:6]
    system = deploy_system(chain, local_config.without_venues(), admin=admin, setup=setup, guardian=guardian)
    assert (system.governor, system.setup, system.guardian) == (admin, setup, guardian)
    assert Role(system.vault.call("roles_of", guardian)) == Role.GUARDIAN
    assert Role(system.oracle.call("roles_of", guardian)) == Role(0)


@pytest.mark.parametrize("quote_decimals", [6, 8, 18])
def test_lifecycle_trade_hedge_close_redeem(system: Sandbox, quote_decimals: int) -> None:
    """Every contract takes part, whatever the quote token's decimals."""
    lp, trader, keeper = system.chain.accounts[1:4]
    assert system.decimals == quote_decimals
    shares = system.deposit(lp, 10_000_000)
    assert shares == 10_000_000 * WAD
    assert system.inventory.call("state").capital == 10_000_000 * WAD

    system.add_margin(trader, 1_000_000)
    opened = system.trade(trader, "eth", 1_000)
    assert opened.size == 1_000 * WAD
    assert opened.charge > 0
    system.warp(600)
    outcome = system.rebalance(keeper, "ETH", 100)
    assert outcome.filled == 100 * WAD
    assert outcome.cost + outcome.reward + outcome.gas <= outcome.fall * 6 // 10
    system.mandates.send("grant", keeper, 1, 10**12, system.chain.now + 3_600, 1_000, sender=system.governor)
    system.warp(600)
    system.arbitrage("ETH")
    system.mandates.send("hedge", 0, 0, 0, 100 * WAD, 2**255, sender=keeper)
    assert system.mandates.call("mandate", 0).hedges == 1
    assert system.carry.send("measure", 0, sender=keeper).value == 0  # spot owes nobody
    system.move("ETH", 2_040)
    closed = system.close(trader, "ETH")
    assert closed.size == 0
    assert closed.realised == 40_000 * WAD

    system.vault.send("requestRedeem", 10**6 * WAD, lp, lp, sender=lp)
    assert system.process_epoch().filled == 10**6 * WAD
    claimable = system.vault.call("maxWithdraw", lp)
    system.vault.send("withdraw", claimable, lp, lp, sender=lp)
    assert system.quote.call("balanceOf", lp) == claimable


def test_deploy_system_with_a_short_venue_hedges_what_traders_have_sold(chain: RevmChain, local_config: Config) -> None:
    config = local_config.only_market("ETH")
    (spot,) = (venue.model_dump() for venue in config.markets[0].venues)
    short = spot | {
        "kind": "aave_short", "test_pool": None,
        "target_health": "1.5", "floor_health": "1.25", "pause_markdown": "0.1",
    }  # fmt: skip
    eth = config.markets[0].model_dump() | {"venues": [spot, short]}
    system = deploy_system(chain, config.changed(markets=[eth], aave={"test": True}))
    deployed, plan = Deployed(chain, dict(system.addresses)), Plan(system.config, system.setup)
    for read in plan.reads():
        assert read.actual(deployed, plan) == read.wanted(deployed), read
    lp, trader, keeper = chain.accounts[1:4]
    system.deposit(lp, 10_000_000)
    system.add_margin(trader, 1_000_000)
    system.trade(trader, "ETH", -1_000)
    system.warp(600)
    outcome = system.rebalance(keeper, "ETH", -100, venue=1)
    venue = system.market("ETH").venues[1]
    assert venue.exposure() == outcome.filled
    assert abs(outcome.filled + 100 * WAD) < 10
    assert 1_490 * WAD < 1_000 * venue.health() <= 1_501 * WAD


def test_deposit_counts_as_risk_capital_two_blocks_later(bare_system: Sandbox) -> None:
    lp = bare_system.chain.accounts[1]
    bare_system.deposit(lp, 1_000_000, counts=False)
    assert bare_system.inventory.call("state").capital < 1_000_000 * WAD
    bare_system.settle_capital()
    assert bare_system.inventory.call("state").capital == 1_000_000 * WAD


def test_push_moves_the_mark(bare_system: Sandbox) -> None:
    bare_system.warp(60)
    bare_system.push("BTC", "40123.5")
    assert bare_system.oracle.call("peek", 1).price == wad("40123.5")


def test_market_unknown_name_lists_the_known(bare_system: Sandbox) -> None:
    assert bare_system.market("btc").id == 1
    with pytest.raises(LookupError, match="no market 'SOL'; there are ETH, BTC"):
        bare_system.market("SOL")


def test_units_finer_than_the_token_are_refused(bare_system: Sandbox) -> None:
    assert bare_system.units("0.000001") == 1
    with pytest.raises(ValueError, match="finer than"):
        bare_system.units("0.0000001")


def test_deploy_system_without_guardian_gives_nobody_its_role(chain: RevmChain, local_config: Config) -> None:
    system = deploy_system(chain, local_config.without_venues().changed(guardian=None))
    assert system.guardian is None
    plan = Plan(system.config, system.setup)
    roles = plan.roles(Deployed(chain, dict(system.addresses)))
    assert all(Role.GUARDIAN not in role for holders in roles.values() for role in holders.values())


def test_plan_without_addresses_is_refused(local_config: Config) -> None:
    with pytest.raises(ValueError, match=r"local: no address for quote, uniswap, ETH\.base"):
        Plan(local_config, "0x" + "11" * 20)
