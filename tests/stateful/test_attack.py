"""The search for money: without a rule it finds some, also on the contracts; with every rule it finds nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from click.testing import CliRunner

from ballast.chain import artifacts
from ballast.fuzz.attack.command import Hunt, attack, save, start_of
from ballast.fuzz.attack.confirm import Unconfirmed, confirmed
from ballast.fuzz.attack.game import Start, arena, build
from ballast.fuzz.attack.pool import Pool
from ballast.fuzz.attack.rules import RULES, Rule, contracts_without, rule, twin_without
from ballast.fuzz.attack.scenarios import OPEN, SCENARIOS
from ballast.fuzz.attack.search import MATERIAL, Attack, Found, search
from ballast.model.exact import hedge, hedge_manager, inventory, vault
from ballast.model.exact.hedge_manager import Prices

SEED = 3


def found(start: Start, removed: Rule | None, seconds: float) -> Found:
    with twin_without(removed):
        return search([start], seconds, SEED, polish=0.3)


@pytest.mark.fuzz
@pytest.mark.parametrize(
    ("removed", "scenario"),
    [("low-water-mark", "victim"), ("newer-round", "leaver"), ("latency-spread", "down")],
)
def test_search_without_a_rule_finds_money_on_the_contracts_too(removed: str, scenario: str) -> None:
    best = found(start_of(scenario), rule(removed), 60).best
    assert best is not None
    assert best.gain >= MATERIAL

    assert confirmed(best, rule(removed)).attacker == best.gain  # token balances on the contracts without the rule


def more(attack: Attack) -> Attack:
    """The same, said to have gained a wei more."""
    return replace(attack, result=replace(attack.result, attacker=attack.result.attacker + 1))


@pytest.mark.fuzz
@pytest.mark.parametrize("scenario", ["still", "victim"])
def test_search_with_every_rule_finds_nothing(scenario: str, fuzz_scale: int) -> None:
    outcome = found(start_of(scenario), None, 4 * fuzz_scale)
    assert outcome.evaluated > 500
    assert outcome.best is None or outcome.best.gain < MATERIAL


@pytest.mark.fuzz
def test_search_finds_the_arbitrage_that_spreads_do_not_price() -> None:
    """Otherwise finding nothing below the spreads would say little."""
    down = next(scenario for scenario in SCENARIOS if scenario.name == "down")
    best = found(build(replace(down, jump=-3.0)), None, 60).best
    assert best is not None
    assert best.gain >= MATERIAL

    assert confirmed(best).attacker == best.gain
    with pytest.raises(Unconfirmed):
        confirmed(more(best))


@pytest.mark.fuzz
@pytest.mark.parametrize("scenario", [scenario.name for scenario in OPEN])
def test_search_finds_what_is_known_to_be_open(scenario: str) -> None:
    """Fails when it is closed: then the scenario belongs to those in which nothing may be found."""
    best = found(start_of(scenario), None, 60).best
    assert best is not None
    assert best.gain >= MATERIAL


def test_pool_model_equals_uniswap() -> None:
    world, rng = arena(), Random(SEED)
    world.chain.warp(3_600)
    began, window = world.now - 3_600, 300
    for market, pools in enumerate(world.system.pools):
        venue = world.system.markets[market].venues[0]
        for route, real in enumerate(pools):
            model = Pool.like(real, began)
            for _ in range(12):
                match rng.randrange(3):
                    case 0:
                        units = int(10 ** rng.uniform(6, 14))
                        model, got = model.spend(units, world.now)
                        assert real.buy_base(units).base == got
                    case 1:
                        units = int(10 ** rng.uniform(5, real.base_decimals + 3))
                        model, got = model.sell(units, world.now)
                        assert real.sell_base(units).quote == got
                    case _:
                        units = int(10 ** rng.uniform(5, real.base_decimals + 3))
                        _, paid = model.buy(units, world.now)
                        asked = (real.quote, real.base, units, real.fee, 0)
                        assert real.uniswap.quoter.call("quoteExactOutputSingle", asked)[0] == paid
                if rng.random() < 0.7:
                    world.chain.warp(rng.choice((1, 60, 299, 1_000)))
                spot, twap, fee = venue.call("prices", route)
                assert model.prices(window, world.now) == Prices(spot, twap, fee)


def test_report_keeps_what_other_runs_found(tmp_path: Path) -> None:
    path = tmp_path / "table.md"
    save(
        path, [Hunt(None, 0.0, None, 1.0, 10), Hunt("phi", 321.0, 0.5, 1.0, 10, scenario="keeper", moves="hedge 0 0.1")]
    )
    save(path, [Hunt("band", 0.0, None, 7.0, 10)])
    rows = {row.split("**")[1]: row for row in path.read_text().splitlines() if row.startswith("| **")}
    assert rows.keys() == {each.name for each in RULES}
    assert "321 | 0.5 s | keeper | hedge 0 0.1" in rows["phi"]
    assert "nothing | in 7 s" in rows["band"]
    assert "not searched" in rows["turnover"]


def test_attack_names_the_rules_there_are_when_told_another() -> None:
    answer = CliRunner().invoke(attack, ["--without", "gravity"])
    assert answer.exit_code == 2
    assert "no rule 'gravity'; there are low-water-mark" in answer.output


@pytest.mark.parametrize("removed", RULES, ids=lambda each: each.name)
def test_rule_is_taken_from_twin_and_contract_and_comes_back(removed: Rule) -> None:
    watched = (inventory, inventory.Inventory, vault, vault.Vault, hedge, hedge_manager.HedgeManager)
    before = [dict(vars(owner)) for owner in watched]
    sources = artifacts.SOURCES
    with TemporaryDirectory() as folder, twin_without(removed), contracts_without(removed, Path(folder)):
        for edit in removed.edits:
            assert (artifacts.SOURCES / edit.source).read_text() != (sources / edit.source).read_text()
    assert sources == artifacts.SOURCES
    assert [dict(vars(owner)) for owner in watched] == before
