"""Contagion: several vaults that share venues, LPs, agents and a market, and one of these fails in a crash.

Vaults are Ballast's in one market, with one-factor books: U = λ(Dσ√h)²/2E beyond which it is linear, hedged where
φ·ΔU pays fee and impact. What they share, and what may spread:

- a venue's depth: everybody's hedges move its price, which arbitrage brings back (`arbitrage` half-life);
- the market: a part of every forced trade stays in the price (`permanent`, fading with `fading`);
- LPs: each has stakes in one to three vaults, and leaves all of them once it is down by its own threshold;
- agents: each hedges and liquidates for some of the vaults, as much per step as it can.

Failures come halfway down the deepest fall of a recorded window: `venue`: the first venue is gone with what vaults
have there; `oracle`: the first of two price feeds stands still for `outage`; `lp`: the largest LP wants out of
everything; `agent`: the busiest agent stops. Breakers: `stale` nothing happens at a stale price; `epochs` redemptions
once a day, pro rata, while utilization stays under u_redeem, at the bid; `venues` a cap on what is kept at one venue,
and no hedge where its price is off the oracle's; `stop` no new risk above u_max, nor for a day after a tenth was lost.

What a failure does is the loss per share beyond that of the same network, path and flow without it. Networks are drawn
at random: nobody publishes who holds whose shares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ballast import data
from sims.jit import njit
from sims.studies import Study, verdict
from sims.world import YEAR, Floats, Ints, OracleModel, observe

Bools = NDArray[np.bool_]
FAILURES = ("none", "venue", "oracle", "lp", "agent")
BREAKERS = ("stale", "epochs", "venues", "stop")
STEP = 300  # [s]
DAY = 86_400 // STEP
VENUES = 3
GONE = 1e-6  # of the shares: nobody is left
# columns of what `_walk` answers for a vault
END, LOW, BAD_DEBT, ADVANTAGE, EXPOSED, LEFT, N_OUT = 0, 1, 2, 3, 4, 5, 6


@dataclass(frozen=True, slots=True)
class Case:
    """Every network through one window, with some breakers switched off."""

    window: str
    without: str  # a breaker's name, "all", or "" for none
    seed: int


class Contagion(Study):
    """Parameters. Amounts in quote, times in seconds, the rest are fractions."""

    windows: tuple[str, ...]
    networks: int = 100
    days: int = 3
    vaults: int = 6
    lps: int = 12
    agents: int = 3
    accounts: int = 40  # levered ones, of a vault
    equity: float = 10e6  # median of vaults
    levered: float = 0.6  # their notional, of the vault's equity
    net: float = 0.15  # standard deviation of the other traders' net position, of equity
    reversion: float = 43_200.0  # its half-life
    momentum: float = 1.0  # what they buy after a rise, of equity · return
    patience: float = 0.003  # cost above which they do not trade, of notional
    depth: float = 20e6  # of a venue: a trade of this much moves its price by one
    fee: float = 0.0005
    arbitrage: float = 900.0
    permanent: float = 0.3  # of impact, in units of all venues' depth
    fading: float = 21_600.0
    agent_capacity: float = 1.5e6  # each may hedge and liquidate this much per step
    panic: tuple[float, float] = (0.03, 0.2)  # LPs leave after a loss between these
    outage: float = 14_400.0
    informed: float = 0.1  # of equity per step, while a dead feed's price is wrong by a hundredth
    venue_cap: float = 0.2
    band: float = 0.01
    aversion: float = 8.0
    infected: float = 0.01  # loss from which a vault that did not have the failed thing counts as infected

    def cases(self, seed: int) -> Sequence[Case]:
        """Every window with all breakers, with none, and without one."""
        return [Case(window, without, seed) for window in self.windows for without in ("", "all", *BREAKERS)]

    def solve(self, case: Case) -> Floats:
        """What `_walk` answers, shape (failures, networks, vaults, N_OUT)."""
        prices, sigma, at = self._window(case.window)
        on = np.array([case.without not in (name, "all") for name in BREAKERS])
        out = np.empty((len(FAILURES), self.networks, self.vaults, N_OUT))
        p = np.array(
            [
                self.net, self.reversion, self.momentum, self.depth, self.fee, self.arbitrage, self.permanent,
                self.fading, self.agent_capacity, self.outage, self.informed, self.venue_cap, self.band, self.aversion,
                self.patience,
            ]
        )  # fmt: skip
        for number in range(self.networks):
            n = self._network(np.random.default_rng([case.seed, number]), len(prices) - 1)
            for failure in range(len(FAILURES)):
                out[failure, number] = _walk(
                    failure, at, prices, sigma, on, p, n.equity, n.uses, n.oracle, n.stakes, n.panic, n.serves, n.size,
                    n.margin, n.noise,
                )  # fmt: skip
        return out

    def _window(self, name: str) -> tuple[Floats, Floats, int]:
        """ETH every five minutes over `days` around the deepest fall, its volatility, and the step halfway down."""
        minutes = name in data.minute_windows()
        bars = data.minute_window(name)["ETH"] if minutes else data.five_minute_window(name)["ETH"]
        close = np.asarray(bars.close[4::5] if minutes else bars.close)
        peak = np.maximum.accumulate(close)
        bottom = int(np.argmax(1 - close / peak))
        top = int(np.argmax(close[: bottom + 1]))
        first = max(0, min(bottom - self.days * DAY * 2 // 3, len(close) - self.days * DAY - 1))
        part = close[first : first + self.days * DAY + 1]
        top, bottom = max(top - first, 0), bottom - first
        half = top + int(np.argmax(part[top : bottom + 1] <= (part[top] + part[bottom]) / 2))
        sigma = observe(close[None, :, None], STEP, OracleModel())[3][0, first : first + len(part), 0]
        return part, sigma, half

    def _network(self, random: np.random.Generator, steps: int) -> _Network:
        """Who uses what: venues and agents sparse, LPs' sizes heavy-tailed."""
        vaults = self.vaults
        equity = self.equity * np.exp(random.normal(0.0, 0.5, vaults))
        uses = np.ones((vaults, VENUES), dtype=np.bool_)
        uses[np.arange(vaults), random.integers(0, VENUES, vaults)] = False
        oracle = random.permutation(np.arange(vaults) % 2)
        wealth = random.pareto(1.5, self.lps) + 0.2
        stakes = np.zeros((self.lps, vaults))
        for lp in range(self.lps):
            chosen = random.choice(vaults, random.integers(1, 4), replace=False)
            stakes[lp, chosen] = wealth[lp] * random.dirichlet(np.ones(len(chosen)))
        stakes += 0.05 * wealth.mean()  # small ones everywhere, held by those who are counted with this LP
        stakes /= stakes.sum(axis=0)
        order = np.argsort(-(stakes @ equity))
        serves = random.random((self.agents, vaults)) < 0.5
        serves[random.integers(0, self.agents, vaults), np.arange(vaults)] = True
        serves = serves[np.argsort(-serves.sum(axis=1))]
        size = random.exponential(1.0, (vaults, self.accounts)) * random.choice(
            [1.0, -1.0], (vaults, self.accounts), p=[0.6, 0.4]
        )
        size *= (self.levered * equity / np.abs(size).sum(axis=1))[:, None]
        leverage = np.exp(random.uniform(np.log(2.0), np.log(20.0), size.shape))
        panic = random.uniform(self.panic[0], self.panic[1], self.lps)
        return _Network(
            equity, uses, oracle.astype(np.int64), stakes[order], panic[order], serves, size,
            np.abs(size) / leverage, random.normal(size=(steps, vaults)),
        )  # fmt: skip

    def summary(self, cases: Sequence[Case], results: Sequence[Floats]) -> dict[str, Any]:
        """Medians and worst over networks, pooled over windows, for every failure and every set of breakers."""
        rows: list[dict[str, Any]] = []
        per_window = []
        for without in ("", "all", *BREAKERS):
            pairs = [(c, r) for c, r in zip(cases, results, strict=True) if c.without == without]
            out = np.stack([r for _, r in pairs])  # (windows, failures, networks, vaults, N_OUT)
            for number, failure in enumerate(FAILURES):
                rows.append({"without": without, "failure": failure} | self._figures(out, number))
            for (case, _), one in zip(pairs, out, strict=True):
                if without in ("", "all"):
                    figures = [self._figures(one[None], number) for number in range(1, len(FAILURES))]
                    per_window.append(
                        {
                            "window": case.window, "without": without,
                            "base": self._figures(one[None], 0)["loss"],
                            "system": [f["system"] for f in figures], "infected": [f["infected"] for f in figures],
                        }
                    )  # fmt: skip
        find = {(row["without"], row["failure"]): row for row in rows}
        verdicts = []
        for failure in FAILURES[1:]:
            kept, gone = find["", failure], find["all", failure]
            verdicts.append(
                verdict(
                    f"with breakers the failure of {WORDS[failure]} costs LPs no more (to a tenth of a per cent)",
                    kept["system"] < gone["system"] + 0.001,
                    f"mean extra loss of all vaults {kept['system']:.2%} with, {gone['system']:.2%} without; infected "
                    f"{kept['infected']:.1%} and {gone['infected']:.1%} of the vaults that were not hit themselves",
                )
            )
        return {"rows": rows, "windows": per_window, "verdicts": verdicts}

    def _figures(self, out: Floats, failure: int) -> dict[str, float]:
        """Of one failure over windows, networks and vaults; losses are fractions of the share's first price."""
        end, base = out[:, failure, ..., END], out[:, 0, ..., END]
        extra = base - end
        hit = out[:, failure, ..., EXPOSED] > 0.0
        others = extra[~hit] if (~hit).any() else np.zeros(1)
        return {
            "loss": float(np.median(1.0 - end)),
            "worst": float(np.quantile(1.0 - end, 0.95)),
            "system": float(extra.mean()),
            "hit": float(extra[hit].mean()) if hit.any() else 0.0,
            "others": float(others.mean()),
            "tail": float(np.quantile(extra, 0.95)),
            "infected": float((others > self.infected).mean()),
            "bad_debt": float(out[:, failure, ..., BAD_DEBT].mean()),
            "advantage": _mean_of_some(out[:, failure, ..., ADVANTAGE]),
            "left": float(out[:, failure, ..., LEFT].mean()),
        }

    def pictures(self, summary: Mapping[str, Any]) -> dict[str, Figure]:
        """Extra loss by failure: vaults that were hit and others, with and without breakers."""
        figure = Figure(figsize=(9, 3.2), layout="constrained")
        axes = figure.subplots(1, 2, sharey=True)
        for axis, key, title in zip(axes, ("hit", "others"), ("vaults that were hit", "other vaults"), strict=True):
            for shift, (without, label) in enumerate((("", "with breakers"), ("all", "without"))):
                rows = [r for r in summary["rows"] if r["without"] == without and r["failure"] != "none"]
                axis.bar(np.arange(len(rows)) + 0.4 * shift, [100 * r[key] for r in rows], 0.38, label=label)
            axis.set_xticks(np.arange(len(FAILURES) - 1) + 0.2, [WORDS[f] for f in FAILURES[1:]], fontsize=8)
            axis.set_title(title, fontsize=10)
        axes[0].set_ylabel("extra loss per share [%]")
        axes[0].legend(frameon=False)
        return {"failures": figure}


WORDS = {"venue": "a venue", "oracle": "an oracle", "lp": "the largest LP", "agent": "an agent"}


def _mean_of_some(values: Floats) -> float:
    """The mean of what is not zero: of vaults that some LPs left and some did not."""
    some = values[values != 0.0]
    return float(some.mean()) if len(some) else 0.0


@dataclass(frozen=True, slots=True)
class _Network:
    equity: Floats  # (vaults,)
    uses: Bools  # (vaults, venues)
    oracle: Ints  # (vaults,)
    stakes: Floats  # (lps, vaults), each vault's sum to one; the largest LP is first
    panic: Floats  # (lps,)
    serves: Bools  # (agents, vaults); the busiest is first
    size: Floats  # (vaults, accounts) [quote at the first price]
    margin: Floats  # (vaults, accounts) [quote]
    noise: Floats  # (steps, vaults)


@njit
def _potential(exposure: float, sigma: float, equity: float, aversion: float) -> float:
    """U of one market with a linear book, default κ, ω, u*, u_max and a horizon of a day [quote]."""
    e = max(equity, 1_000.0)
    s = abs(exposure) * sigma * np.sqrt(1.0 / 365.0)
    inventory = aversion * s * s / (2.0 * e) if s <= 0.1 * e else aversion * (0.1 * s - 0.005 * e)
    x = max(0.0, 0.5 * abs(exposure) / e - 0.6)
    return float(inventory + (0.01 * e * x * x if x <= 0.3 else 0.02 * e * (0.3 * x - 0.045)))


@njit
def _walk(
    failure: int, at: int, prices: Floats, sigmas: Floats, on: Bools, p: Floats, equity0: Floats,
    uses: Bools, oracle: Ints, stakes: Floats, panic: Floats, serves: Bools, size0: Floats, margin: Floats,
    noise: Floats,
) -> Floats:  # fmt: skip
    """One network along one path; see the module. Answers (vaults, N_OUT)."""
    stale_on, epochs_on, venues_on, stop_on = on[0], on[1], on[2], on[3]
    net, reversion, momentum, depth, fee, arbitrage, permanent = p[0], p[1], p[2], p[3], p[4], p[5], p[6]
    fading, agent_capacity, outage, informed, venue_cap, band = p[7], p[8], p[9], p[10], p[11], p[12]
    aversion, patience = p[13], p[14]
    vaults, accounts = size0.shape
    lps, agents, venues = len(panic), len(serves), uses.shape[1]
    out = np.zeros((vaults, N_OUT))

    cash = equity0.copy()  # NAV, reserve excluded
    reserve = np.zeros(vaults)
    shares = np.ones(vaults)
    held = stakes.copy()  # shares of each LP
    asked = np.zeros((lps, vaults))  # of them, to be redeemed
    account = size0 / prices[0]  # [base]
    other = np.zeros(vaults)  # [base] what unlevered traders hold
    sharp = np.zeros(vaults)  # [base] what informed ones hold
    hedge = np.zeros((vaults, venues))  # [base]
    deviation = np.zeros(venues)
    alive = np.ones(venues, dtype=np.bool_)
    works = np.ones(agents, dtype=np.bool_)
    started = np.zeros(lps)
    for lp in range(lps):
        started[lp] = (stakes[lp] * equity0).sum()
    received = np.zeros(lps)
    running = np.zeros(lps, dtype=np.bool_)
    day_high = np.ones(vaults)
    stopped = np.zeros(vaults, dtype=np.int64)  # until which step
    paid = np.zeros(vaults)

    jump = 0.0
    true = prices[0]
    seen = np.full(2, prices[0])
    until = at + int(outage / STEP)
    keep_jump, keep_deviation = 2.0 ** (-STEP / fading), 2.0 ** (-STEP / arbitrage)
    keep_other = 2.0 ** (-STEP / reversion)
    kick = net * np.sqrt(1.0 - keep_other * keep_other)
    room = np.zeros(agents)

    for k in range(1, len(prices)):
        before = true
        jump *= keep_jump
        true = prices[k] * np.exp(jump)
        sigma = sigmas[k]
        deviation *= keep_deviation
        down = failure == 2 and at <= k < until
        for a in range(agents):
            room[a] = agent_capacity if works[a] else 0.0

        if failure > 0 and k == at:
            if failure == 1:
                alive[0] = False
            elif failure == 4:
                works[0] = False
                room[0] = 0.0
            elif failure == 3:
                running[0] = True
                asked[0] = held[0]
            for v in range(vaults):
                if failure == 1:
                    out[v, EXPOSED] = 1.0 if abs(hedge[v, 0]) * true > 0.001 * cash[v] else 0.0
                    kept = abs(hedge[v, 0]) * true * (1.0 if hedge[v, 0] > 0.0 else 0.875)
                    cash[v] -= kept
                    hedge[v, 0] = 0.0
                elif failure == 2:
                    out[v, EXPOSED] = 1.0 if oracle[v] == 0 else 0.0
                elif failure == 3:
                    out[v, EXPOSED] = 1.0 if held[0, v] > 0.1 * shares[v] else 0.0
                else:
                    out[v, EXPOSED] = 1.0 if serves[0, v] else 0.0

        for turn in range(vaults):
            v = (turn + k) % vaults  # nobody is always first
            if shares[v] <= GONE:
                continue  # nobody is left to be the counterparty
            o = oracle[v]
            blind = down and o == 0
            last = seen[o]
            price = last if blind else true
            # traders are settled at the oracle's price, hedges at the market's
            traded = account[v].sum() + other[v] + sharp[v]
            hedged = hedge[v].sum()
            cash[v] += -traded * (price - last) + hedged * (true - before)
            stop = stale_on and blind

            exposure = (hedged - traded) * price
            top = max(cash[v], 1_000.0)
            # unlevered traders: noise, and momentum
            if not stop:
                target = (other[v] * keep_other) + (
                    kick * noise[k - 1, v] + momentum * (true / before - 1.0)
                ) * top / price
                new = target - other[v]
                u_after = 0.5 * abs(exposure - new * price) / top
                grows = abs(exposure - new * price) > abs(exposure)
                if not (stop_on and grows and (u_after > 0.9 or k < stopped[v])):
                    was = _potential(exposure, sigma, top, aversion)
                    now = _potential(exposure - new * price, sigma, top, aversion)
                    half = abs(new) * price * (0.0001 + max(0.0002, 2.0 * sigma * np.sqrt(3.0 / YEAR)))
                    charge = now - was if now >= was else (now - was) * min(1.0, reserve[v] / was)
                    if half + charge <= patience * abs(new) * price:
                        cash[v] += half
                        reserve[v] += charge
                        other[v] = target
                        exposure -= new * price
            # who knows better while the feed stands still
            gap = true / price - 1.0
            if blind and not stop and abs(gap) > 0.01:
                new = np.sign(gap) * informed * top / price
                was = _potential(exposure, sigma, top, aversion)
                now = _potential(exposure - new * price, sigma, top, aversion)
                charge = max(0.0, now - was)  # who comes back within a round is paid nothing
                if (
                    charge + abs(new) * price * 0.0005 < abs(gap * new) * price
                    and abs(sharp[v] + new) * price <= 2.0 * top
                ):
                    reserve[v] += charge
                    cash[v] += abs(new) * price * 0.0005
                    sharp[v] += new
                    exposure -= new * price
            elif not blind and sharp[v] != 0.0:  # closes at the new price, paid nothing for lowering U
                exposure += sharp[v] * price
                sharp[v] = 0.0

            # liquidations, as far as agents have means
            if not stop:
                for j in range(accounts):
                    q = account[v, j]
                    if q == 0.0:
                        continue
                    worth = margin[v, j] + q * price - size0[v, j]
                    if worth >= 0.03 * abs(q) * price:
                        continue
                    wanted = abs(q) * price
                    for a in range(agents):
                        if serves[a, v] and room[a] >= wanted:
                            room[a] -= wanted
                            account[v, j] = 0.0
                            exposure += q * price
                            out[v, BAD_DEBT] += max(0.0, -worth) / equity0[v]
                            cash[v] += min(0.0, worth)
                            break

            # hedging, as far as it pays: φ U' = fee + what is off + impact
            if not stop and cash[v] > 1_000.0:
                s = abs(exposure) * sigma / np.sqrt(365.0)
                slope = aversion * sigma * sigma / (365.0 * cash[v])
                marginal = 0.6 * (
                    slope * abs(exposure) if s <= 0.1 * cash[v] else slope * 0.1 * cash[v] * np.sqrt(365.0) / sigma
                )
                side = -np.sign(exposure)
                for w in range(venues):
                    if not (uses[v, w] and alive[w]):
                        continue
                    off = deviation[w] + (true / price - 1.0)
                    if venues_on and abs(off) > band:
                        continue
                    cost = fee + max(0.0, side * off)
                    if marginal <= cost:
                        continue
                    wanted = min((marginal - cost) / (0.6 * slope + 1.0 / depth), abs(exposure))
                    held_there = abs(hedge[v, w]) * true
                    if venues_on and np.sign(hedge[v, w]) * side >= 0.0:
                        wanted = min(wanted, max(0.0, venue_cap * cash[v] - held_there))
                    for a in range(agents):
                        if not serves[a, v] or wanted <= 0.0:
                            continue
                        part = min(wanted, room[a])
                        room[a] -= part
                        wanted -= part
                        if part <= 0.0:
                            continue
                        spent = part * (fee + side * off + part / (2.0 * depth))
                        cash[v] -= spent
                        hedge[v, w] += side * part / true
                        was = _potential(exposure, sigma, cash[v], aversion)
                        exposure += side * part
                        now = _potential(exposure, sigma, cash[v], aversion)
                        freed = min(max(0.0, reserve[v] - now), max(spent, 0.0), max(0.0, was - now))
                        reserve[v] -= freed
                        cash[v] += freed
                        deviation[w] += side * part / depth
                        jump += permanent * side * part / (depth * venues)
                    marginal = 0.6 * slope * abs(exposure)
                excess = max(0.0, reserve[v] - _potential(exposure, sigma, cash[v], aversion))
                reserve[v] -= excess * STEP / 86_400.0
                cash[v] += excess * STEP / 86_400.0

            worth_each = max(cash[v], 0.0) / (shares[v] * equity0[v])
            if k % DAY == 0:
                day_high[v] = worth_each
            if worth_each < 0.9 * day_high[v]:
                stopped[v] = k + DAY
            out[v, LOW] = min(out[v, LOW] if k > 1 else 1.0, worth_each)

        # LPs look at what they have
        for lp in range(lps):
            worth = received[lp]
            for v in range(vaults):
                if shares[v] > GONE:
                    worth += held[lp, v] / shares[v] * max(cash[v], 0.0)
            if not running[lp] and worth < (1.0 - panic[lp]) * started[lp]:
                running[lp] = True
                for v in range(vaults):
                    asked[lp, v] = held[lp, v]
        for v in range(vaults):
            queue = asked[:, v].sum()
            if queue <= GONE or shares[v] <= GONE or cash[v] <= 0.0:
                continue
            blind = down and oracle[v] == 0
            if epochs_on and (k % DAY != 0 or blind):
                continue
            if stale_on and blind:
                continue
            traded = account[v].sum() + other[v] + sharp[v]
            exposure = (hedge[v].sum() - traded) * true
            there = 0.0
            for w in range(venues):
                there += abs(hedge[v, w]) * true * (1.0 if hedge[v, w] > 0.0 else 0.875)
            value = cash[v]
            if epochs_on:
                value -= 3.0 * sigma * np.sqrt(STEP / YEAR) * abs(exposure)
                value -= max(0.0, _potential(exposure, sigma, cash[v], aversion) - reserve[v])
                free = min(cash[v] - there, cash[v] - 0.5 * abs(exposure) / 0.6)
            else:
                # paid at once, and where cash is short hedges are sold for it at any price
                short = queue / shares[v] * value - (cash[v] - there)
                for w in range(venues):
                    kept = abs(hedge[v, w]) * true * (1.0 if hedge[v, w] > 0.0 else 0.875)
                    if short <= 0.0 or kept <= 0.0 or not alive[w]:
                        continue
                    part = min(1.0, short / kept)
                    amount = part * abs(hedge[v, w]) * true
                    side = -np.sign(hedge[v, w])
                    cash[v] -= amount * (
                        fee + max(-0.5, min(0.5, side * deviation[w])) + min(0.5, amount / (2.0 * depth))
                    )
                    deviation[w] += side * amount / depth
                    jump += permanent * side * amount / (depth * venues)
                    hedge[v, w] *= 1.0 - part
                    short -= part * kept
                    there -= part * kept
                value = cash[v]
                free = cash[v] - there
            if value <= 0.0 or free <= 0.0:
                continue
            owed = queue / shares[v] * value
            part = min(1.0, free / owed)
            each = value / shares[v]
            cash[v] -= part * owed
            paid[v] += part * owed
            for lp in range(lps):
                gone = part * asked[lp, v]
                received[lp] += gone * each
                held[lp, v] -= gone
                asked[lp, v] -= gone
            shares[v] -= part * queue

        seen[1] = true
        if not (failure == 2 and at <= k < until):
            seen[0] = true

    for v in range(vaults):
        out[v, END] = (paid[v] + (max(cash[v], 0.0) if shares[v] > GONE else 0.0)) / equity0[v]
        out[v, LEFT] = 1.0 - shares[v]
        if 0.05 < shares[v] < 0.95:
            each = max(cash[v], 0.0) / shares[v]
            out[v, ADVANTAGE] = (paid[v] / (1.0 - shares[v]) - each) / equity0[v]
    return out


STUDY = Contagion
