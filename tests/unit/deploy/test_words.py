"""Packed words: round trips in Python, and the contract reads what Python packed."""

from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ballast.chain import reverts
from ballast.config import Config
from ballast.model.words import Field, InventoryMarketParams, InventoryParams, Layout
from ballast.system import Sandbox

WAD = 10**18


def in_steps(low: int, high: int, step: int) -> st.SearchStrategy[int]:
    """Multiples of `step` in [low, high]."""
    return st.integers(-(-low // step), high // step).map(lambda n: n * step)


@st.composite
def params(draw: st.DrawFn) -> InventoryParams:
    """Whatever `Inventory.set_params` accepts."""
    c_lo = draw(in_steps(0, WAD, 10**14))
    u_star = draw(in_steps(10**12, WAD - 2 * 10**12, 10**12))
    borrow_kink = draw(in_steps(0, 5 * WAD, 10**14))
    return InventoryParams(
        aversion=draw(in_steps(0, 100 * WAD, 10**15)),
        knee=draw(in_steps(10**14, WAD, 10**14)),
        c_lo=c_lo,
        c_hi=draw(in_steps(c_lo, WAD, 10**14)),
        omega=draw(in_steps(0, WAD, 10**12)),
        u_star=u_star,
        u_max=draw(in_steps(u_star + 10**12, WAD - 10**12, 10**12)),
        horizon=draw(st.integers(3_600, 864_000)),
        rho=draw(in_steps(-WAD + 10**14, WAD - 10**14, 10**14)),
        funding_max=draw(in_steps(0, 3 * WAD, 10**14)),
        release_period=draw(st.integers(3_600, 864_000)),
        sweep_age=draw(st.integers(0, 43_200)),
        borrow_kink=borrow_kink,
        borrow_max=draw(in_steps(borrow_kink, 5 * WAD, 10**14)),
    )


market_params = st.builds(
    InventoryMarketParams,
    base=in_steps(0, 2 * 10**16, 10**12),
    floor=in_steps(0, 2 * 10**16, 10**12),
    z=in_steps(0, 10 * WAD, 10**15),
    tau=st.integers(0, 3_600),
    deviation=in_steps(0, 5 * 10**16, 10**12),
    vol_of_vol=in_steps(0, 10 * WAD, 10**12),
    vol_floor=in_steps(0, 10**17, 10**12),
    vol_z=in_steps(0, 10 * WAD, 10**15),
    vol_tau=st.integers(0, 43_200),
)


@given(params())
def test_params_round_trip(value: InventoryParams) -> None:
    assert InventoryParams.unpack(value.pack()) == value


@given(market_params)
def test_market_params_round_trip(value: InventoryMarketParams) -> None:
    assert InventoryMarketParams.unpack(value.pack()) == value


@given(st.integers(0, 2**256 - 1))
def test_params_of_any_word_pack_to_it(word: int) -> None:
    assert InventoryParams.unpack(word).pack() == word


@given(st.integers(0, 2**168 - 1))
def test_market_params_of_any_word_pack_to_it(word: int) -> None:
    assert InventoryMarketParams.unpack(word).pack() == word


def test_unpack_bits_beyond_the_fields_are_refused() -> None:
    with pytest.raises(ValueError, match="beyond its 168"):
        InventoryMarketParams.unpack(1 << 168)


def test_set_params_contract_reads_what_python_packed(bare_system: Sandbox) -> None:
    inventory, governor = bare_system.inventory, bare_system.governor

    @given(params())
    def check(value: InventoryParams) -> None:
        inventory.set_params.send(value.pack(), sender=governor)
        assert inventory.params() == value.view()

    check()


def test_set_market_params_contract_reads_what_python_packed(bare_system: Sandbox) -> None:
    inventory, governor = bare_system.inventory, bare_system.governor

    @given(market_params)
    def check(value: InventoryMarketParams) -> None:
        inventory.set_market_params.send(1, value.pack(), sender=governor)
        assert inventory.market_params(1) == value.view()

    check()


def test_set_params_word_out_of_bounds_reverts(bare_system: Sandbox, local_config: Config) -> None:
    value = replace(local_config.inventory.params(), u_star=9 * 10**17)  # not below u_max
    with reverts("inventory: bad parameter"):
        bare_system.inventory.set_params.send(value.pack(), sender=bare_system.governor)


def test_pack_between_two_steps_is_refused(local_config: Config) -> None:
    value = replace(local_config.inventory.params(), rho=-(10**17) - 1)
    with pytest.raises(ValueError, match=r"rho = .* is not a multiple"):
        value.pack()


def test_pack_beyond_the_field_is_refused(local_config: Config) -> None:
    value = replace(local_config.inventory.params(), sweep_age=2**16)
    with pytest.raises(ValueError, match="sweep_age = 65536 does not fit 16 bits"):
        value.pack()


def test_pack_other_fields_are_refused(local_config: Config) -> None:
    layout = Layout(Field("x", 8), Field("y", 8))
    with pytest.raises(ValueError, match="fields are"):
        layout.pack({"x": 1})
    assert layout.unpack(layout.pack({"y": 2, "x": 1})) == {"x": 1, "y": 2}


def test_layout_of_more_than_a_word_is_refused() -> None:
    with pytest.raises(ValueError, match="do not fit a word"):
        Layout(Field("x", 200), Field("y", 57))


def test_params_of_local_network_are_the_documented_defaults(local_config: Config) -> None:
    value = asdict(local_config.inventory.params())
    assert value["aversion"] == 8 * WAD
    assert value["rho"] == -3 * 10**17
    assert value["horizon"] == 86_400
