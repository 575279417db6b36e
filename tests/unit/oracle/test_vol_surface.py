"""VolSurface takes what the twin takes, for the same reasons, and only what enough feeders signed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, replace
from typing import Any

import numpy as np
import pytest
from eth_account import Account
from hypothesis import given, settings
from hypothesis import strategies as st

from ballast import data
from ballast.chain import Contract, Reverted, RevmChain, reverts
from ballast.model.exact.fixed import WAD, YEAR
from ballast.model.exact.fixed import Reverted as TwinReverted
from ballast.model.exact.vol_surface import DAY, HOUR, Drift, Point, Update, VolSurface
from ballast.surface import fit, quotes_of
from ballast.surface.signing import arguments, sign, update_of
from ballast.testing import options

CENT = WAD // 100
ETH = 0
DRIFT = Drift(3 * CENT, 30 * CENT, 5 * CENT, 50 * CENT, CENT, 5 * CENT, HOUR)
KEYS = tuple("0x" + f"{n:064x}" for n in (11, 12, 13))
START = 1_700_006_400  # midnight UTC
EXPIRIES = tuple(START + days * DAY + 8 * HOUR for days in (1, 7, 30, 90))


def address(key: str) -> str:
    return str(Account.from_key(key).address)


class Desk:
    """The contract with two of three feeders, its twin, and a clock."""

    def __init__(self) -> None:
        self.chain = RevmChain(START)
        self.governor, self.guardian, self.stranger, *_ = self.chain.accounts
        self.contract: Contract = self.chain.deploy("VolSurface", self.governor, self.governor)
        self.contract.send("grant_role", self.guardian, 2, sender=self.governor)
        for key in KEYS:
            self.contract.send("set_signer", address(key), True, sender=self.governor)
        self.contract.send("set_threshold", 2, sender=self.governor)
        self.contract.send("set_drift", ETH, astuple(DRIFT), sender=self.governor)
        self.twin = VolSurface(drift={ETH: DRIFT})

    def sign(self, update: Update, *keys: str) -> list[bytes]:
        return sign(update, self.contract.address, self.chain.chain_id, *keys)

    def post(self, update: Update, signatures: list[bytes] | None = None) -> Any:
        signatures = self.sign(update, *KEYS[:2]) if signatures is None else signatures
        return self.contract.send("post", arguments(update), signatures, sender=self.stranger)

    def post_both(self, update: Update) -> str | None:
        """The reason why both refused it, None if both took it."""
        seen = expected = None
        try:
            self.twin.post(update, self.chain.now)
        except TwinReverted as error:
            expected = str(error)
        try:
            self.post(update)
        except Reverted as error:
            seen = error.reason
        assert seen == expected
        return expected


@pytest.fixture
def desk() -> Desk:
    return Desk()


def flat(timestamp: int = START, vol: float = 0.6, **changes: Any) -> Update:
    return replace(options.flat(ETH, timestamp, vol, EXPIRIES), **changes)


def test_post_signed_by_two_of_three_is_what_smile_answers(desk: Desk) -> None:
    update = flat()
    receipt = desk.post(update)
    event = receipt.one("SurfacePosted")
    assert (event.market, event.timestamp, event.rho, event.eta) == (ETH, START, -30 * CENT, 80 * CENT)
    assert [tuple(point) for point in event.points] == [astuple(point) for point in update.points]
    for point in update.points:
        smile = tuple(desk.contract.call("smile", ETH, point.expiry))
        assert smile == (point.theta, point.rate, update.rho, update.eta, START, True)
    assert desk.contract.call("expiries", ETH) == list(EXPIRIES)


@pytest.mark.parametrize(
    ("tamper", "reason"),
    [
        (lambda d, u: d.sign(u, KEYS[0]), "surface: too few signatures"),
        (lambda d, u: [], "surface: too few signatures"),
        (lambda d, u: d.sign(u, *KEYS[:2])[::-1], "surface: signer order"),
        (lambda d, u: d.sign(u, KEYS[0]) * 2, "surface: signer order"),
        (lambda d, u: d.sign(u, KEYS[0], "0x" + "77" * 32), "surface: not a signer"),
        (lambda d, u: d.sign(replace(u, eta=u.eta + 1), *KEYS[:2]), None),
        (lambda d, u: d.sign(replace(u, market=1), *KEYS[:2]), None),
        (lambda d, u: sign(u, d.contract.address, 1, *KEYS[:2]), None),
        (lambda d, u: sign(u, d.stranger, d.chain.chain_id, *KEYS[:2]), None),
    ],
)
def test_post_not_signed_as_it_must_be_is_refused(
    desk: Desk, tamper: Callable[[Desk, Update], list[bytes]], reason: str | None
) -> None:
    """A signature of anything else recovers to strangers, in whichever order."""
    update = flat()
    with pytest.raises(Reverted) as refused:
        desk.post(update, tamper(desk, update))
    assert refused.value.reason in ((reason,) if reason else ("surface: not a signer", "surface: signer order"))
    assert desk.contract.call("expiries", ETH) == []


def test_post_of_sixteen_expiries_and_no_more(desk: Desk) -> None:
    points = tuple(
        Point(START + days * DAY + 8 * HOUR, (days * DAY + 8 * HOUR) * 36 * WAD // (100 * YEAR), 0)
        for days in range(1, 18)
    )
    with reverts():
        desk.post(flat(points=points))
    desk.post(flat(points=points[:16]))
    assert desk.contract.call("expiries", ETH) == [point.expiry for point in points[:16]]


def test_post_replayed_or_older_is_refused(desk: Desk) -> None:
    desk.chain.warp(100)
    assert desk.post_both(flat(START + 50)) is None
    assert desk.post_both(flat(START + 50)) == "surface: not newer"
    assert desk.post_both(flat(START + 49)) == "surface: not newer"
    assert desk.post_both(flat(START + 51)) is None


@pytest.mark.parametrize(
    ("update", "reason"),
    [
        (flat(START + 1), "surface: from the future"),
        (flat(START - 601), "surface: observed too long ago"),
        (flat(market=1), "surface: not listed"),
        (flat(market=16), "surface: not listed"),
        (flat(points=()), "surface: no expiry"),
        (flat(rho=96 * CENT), "surface: shape"),
        (flat(eta=0), "surface: shape"),
        (flat(rho=-50 * CENT, eta=134 * CENT), "surface: butterfly"),
        (flat(points=flat().points[::-1]), "surface: expiry order"),
        (flat(points=(Point(START - DAY + 8 * HOUR, 10**15, 0),)), "surface: expiry order"),
        (flat(points=(Point(EXPIRIES[0] + 1, 10**15, 0),)), "surface: not 08:00 UTC"),
        (flat(points=(Point(START + 731 * DAY + 8 * HOUR, 10**18, 0),)), "surface: too far"),
        (flat(points=(Point(EXPIRIES[1], 10**16, 0), Point(EXPIRIES[2], 10**16, 0))), "surface: calendar"),
        (flat(vol=0.009), "surface: vol"),
        (flat(vol=5.01), "surface: vol"),
        (flat(points=(Point(EXPIRIES[0], 2**72, 0),)), "surface: vol"),
        (flat(points=(Point(EXPIRIES[1], 10**16, 21 * CENT),)), "surface: rate"),
        (flat(points=(Point(EXPIRIES[1], 10**16, -21 * CENT),)), "surface: rate"),
    ],
)
def test_post_unacceptable_is_refused_with_its_reason(desk: Desk, update: Update, reason: str) -> None:
    assert desk.post_both(update) == reason
    assert desk.contract.call("expiries", ETH) == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"vol": 0.68}, None),
        ({"vol": 0.71}, "surface: vol drift"),
        ({"vol": 0.49}, "surface: vol drift"),
        ({"rho": -48 * CENT}, "surface: rho drift"),
        ({"eta": 62 * CENT}, "surface: eta drift"),
    ],
)
def test_post_may_drift_as_far_as_the_time_allows(desk: Desk, change: dict[str, Any], reason: str | None) -> None:
    """After a quarter of an hour: 3 + 7.5 points of vol, 0.05 + 0.125 of shape."""
    assert desk.post_both(flat()) is None
    desk.chain.warp(900)
    assert desk.post_both(flat(desk.chain.now, **change)) == reason


def test_post_rate_may_drift_as_far_as_the_time_allows(desk: Desk) -> None:
    assert desk.post_both(flat()) is None
    desk.chain.warp(HOUR)
    now = desk.chain.now
    moved = tuple(replace(point, rate=point.rate + 6 * CENT + 1) for point in flat(now).points)
    assert desk.post_both(flat(now, points=moved)) == "surface: rate drift"
    moved = tuple(replace(point, rate=point.rate + 6 * CENT) for point in flat(now).points)
    assert desk.post_both(flat(now, points=moved)) is None


def test_post_may_add_expiries_and_drops_only_those_that_are_over(desk: Desk) -> None:
    assert desk.post_both(flat()) is None
    desk.chain.warp(60)
    now = desk.chain.now
    for dropped in range(4):
        points = tuple(point for i, point in enumerate(flat(now).points) if i != dropped)
        assert desk.post_both(flat(now, points=points)) == "surface: expiry missing"
    added = Point(START + 14 * DAY + 8 * HOUR, 13 * WAD // 1_000, 4 * CENT)
    points = tuple(sorted((*flat(now).points, added), key=lambda point: point.expiry))
    assert desk.post_both(flat(now, points=points)) is None
    desk.chain.warp(2 * DAY)
    now = desk.chain.now
    later = tuple(p for p in points if p.expiry > now)
    aged = tuple(replace(p, theta=p.theta * (p.expiry - now) // (p.expiry - (now - 2 * DAY))) for p in later)
    assert desk.post_both(flat(now, points=aged)) is None
    assert desk.contract.call("expiries", ETH) == [p.expiry for p in aged] == desk.twin.expiries(ETH)
    assert tuple(desk.contract.call("smile", ETH, EXPIRIES[0])) == (0, 0, 0, 0, 0, False)


def test_smile_unknown_never_reverts(desk: Desk) -> None:
    for market, expiry in ((0, 0), (99, EXPIRIES[0]), (0, EXPIRIES[0]), (0, 2**256 - 1), (2**256 - 1, 7)):
        assert tuple(desk.contract.call("smile", market, expiry)) == (0, 0, 0, 0, 0, False)
    assert desk.contract.call("expiries", 99) == []


def test_timestamp_is_that_of_the_last_update_or_zero(desk: Desk) -> None:
    def timestamp() -> int:
        seen = int(desk.contract.call("timestamp", ETH))
        assert seen == desk.twin.timestamp(ETH)
        return seen

    assert timestamp() == 0
    desk.contract.send("freeze", ETH, sender=desk.guardian)
    assert timestamp() == 0
    for market in (1, 15, 16, 2**256 - 1):
        assert desk.contract.call("timestamp", market) == 0 == desk.twin.timestamp(market)
    assert desk.post_both(flat()) is None
    assert timestamp() == START
    desk.chain.warp(100)
    assert timestamp() == START
    assert desk.post_both(flat(START + 70)) is None
    assert timestamp() == START + 70
    assert desk.post_both(flat(START + 70)) == "surface: not newer"
    assert timestamp() == START + 70


def test_smile_stops_being_live_with_age_and_when_frozen(desk: Desk) -> None:
    desk.post(flat())
    desk.chain.warp(HOUR)
    assert desk.contract.call("smile", ETH, EXPIRIES[0]).is_live
    desk.chain.warp(1)
    assert not desk.contract.call("smile", ETH, EXPIRIES[0]).is_live
    desk.post(flat(desk.chain.now))
    desk.contract.send("freeze", ETH, sender=desk.guardian)
    assert not desk.contract.call("smile", ETH, EXPIRIES[0]).is_live
    desk.chain.warp(60)
    desk.post(flat(desk.chain.now))  # updates go on
    assert not desk.contract.call("smile", ETH, EXPIRIES[0]).is_live
    with pytest.raises(Reverted, match="roles: not allowed"):
        desk.contract.send("thaw", ETH, sender=desk.guardian)
    desk.contract.send("thaw", ETH, sender=desk.governor)
    assert desk.contract.call("smile", ETH, EXPIRIES[0]).is_live


def test_setters_are_for_governance_and_bounded(desk: Desk) -> None:
    c, governor = desk.contract, desk.governor
    for fn, args in (
        ("set_signer", (desk.stranger, True)), ("set_threshold", (1,)),
        ("set_drift", (ETH, astuple(DRIFT))), ("freeze", (ETH,)),
    ):  # fmt: skip
        with pytest.raises(Reverted, match="roles: not allowed"):
            c.send(fn, *args, sender=desk.stranger)
    with pytest.raises(Reverted, match="surface: threshold"):
        c.send("set_threshold", 4, sender=governor)
    with pytest.raises(Reverted, match="surface: threshold"):
        c.send("set_threshold", 0, sender=governor)
    with pytest.raises(Reverted, match="surface: no change"):
        c.send("set_signer", address(KEYS[0]), True, sender=governor)
    with pytest.raises(Reverted, match="surface: zero signer"):
        c.send("set_signer", "0x" + "00" * 20, True, sender=governor)
    c.send("set_signer", address(KEYS[2]), False, sender=governor)
    with pytest.raises(Reverted, match="surface: too few signers"):
        c.send("set_signer", address(KEYS[1]), False, sender=governor)
    for change, reason in (
        ({"vol_base": 11 * CENT}, "vol drift"), ({"vol_speed": 51 * CENT}, "vol drift"),
        ({"shape_base": 21 * CENT}, "shape drift"), ({"shape_speed": 101 * CENT}, "shape drift"),
        ({"rate_base": 6 * CENT}, "rate drift"), ({"rate_speed": 21 * CENT}, "rate drift"),
        ({"max_age": 59}, "max age"), ({"max_age": 6 * HOUR + 1}, "max age"),
    ):  # fmt: skip
        with pytest.raises(Reverted, match=f"surface: {reason}"):
            c.send("set_drift", ETH, astuple(replace(DRIFT, **change)), sender=governor)


def test_removed_signer_no_longer_counts(desk: Desk) -> None:
    desk.contract.send("set_signer", address(KEYS[1]), False, sender=desk.governor)
    with pytest.raises(Reverted, match="surface: not a signer"):
        desk.post(flat())
    desk.post(flat(), desk.sign(flat(), KEYS[0], KEYS[2]))


steps = st.lists(
    st.tuples(
        st.sampled_from((1, 60, 900, HOUR, DAY, 8 * DAY)),
        st.floats(-0.2, 0.2),  # of vol
        st.floats(-0.3, 0.3),  # of rho
        st.floats(-0.3, 0.3),  # of eta
        st.floats(-0.08, 0.08),  # of rates
        st.lists(st.integers(0, 40), max_size=5, unique=True),  # days of expiries, none for the same as before
        st.integers(-3, 3),  # seconds between observation and the present
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=60, deadline=None)
@given(steps)
def test_post_random_updates_end_as_the_twins(plan: list[Any]) -> None:
    desk = Desk()
    vol, rho, eta, rate = 0.6, -0.3, 0.8, 0.04
    for seconds, d_vol, d_rho, d_eta, d_rate, days, offset in plan:
        desk.chain.warp(seconds)
        now = desk.chain.now + offset
        at = START // DAY * DAY + 8 * HOUR
        chosen = [at + (now - START) // DAY * DAY + day * DAY for day in sorted(days)] or desk.twin.expiries(ETH)
        new = (vol + d_vol, rho + d_rho, eta + d_eta, rate + d_rate)
        points = tuple(Point(e, max(int(new[0] ** 2 * (e - now) / YEAR * WAD), 0), int(new[3] * WAD)) for e in chosen)
        update = Update(ETH, now, int(new[1] * WAD), max(int(new[2] * WAD), 0), points)
        if desk.post_both(update) is None:
            vol, rho, eta, rate = new
        for expiry in (*chosen, *EXPIRIES):
            seen = tuple(desk.contract.call("smile", ETH, expiry))
            assert seen == astuple(desk.twin.smile(ETH, expiry, desk.chain.now))
        assert desk.contract.call("expiries", ETH) == desk.twin.expiries(ETH)
        assert desk.contract.call("timestamp", ETH) == desk.twin.timestamp(ETH)


def test_post_takes_a_fitted_real_surface_and_answers_its_volatilities(desk: Desk) -> None:
    chain = data.option_chains("ETH")[0]
    surface = fit(quotes_of(chain)).surface
    update = update_of(surface, ETH, float(chain.index_price[0]))
    desk.chain.warp(chain.ts - desk.chain.now)
    assert desk.post_both(update) is None
    for i, point in enumerate(update.points):
        smile = desk.contract.call("smile", ETH, point.expiry)
        assert smile.theta / WAD == pytest.approx(surface.theta[i])
        forward = float(chain.index_price[0]) * np.exp(smile.rate / WAD * surface.years()[i])
        assert forward == pytest.approx(surface.forward[i], rel=2e-3)


def test_gas_of_an_update_of_eleven_expiries(desk: Desk) -> None:
    chain = data.option_chains("ETH")[0]
    update = update_of(fit(quotes_of(chain)).surface, ETH, float(chain.index_price[0]))
    desk.chain.warp(chain.ts - desk.chain.now)
    assert desk.post(update).gas_used < 450_000
