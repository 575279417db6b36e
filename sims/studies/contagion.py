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

from ballast import data
from sims.contagion import ADVANTAGE, BAD_DEBT, DAY, END, EXPOSED, LEFT, N_OUT, STEP, Network, walk
from sims.studies import Study, verdict
from sims.world import Floats, OracleModel, observe

FAILURES = ("none", "venue", "oracle", "lp", "agent")  # in the kernel's order
BREAKERS = ("stale", "epochs", "venues", "stop")
PLACES = 3  # to hedge at


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
        """What `walk` answers, shape (failures, networks, vaults, N_OUT)."""
        prices, sigma, at = self._window(case.window)
        on = np.array([case.without not in (name, "all") for name in BREAKERS])
        out = np.empty((len(FAILURES), self.networks, self.vaults, N_OUT))
        names = (  # in the kernel's order
            "net", "reversion", "momentum", "patience", "depth", "fee", "arbitrage", "permanent", "fading",
            "agent_capacity", "outage", "informed", "venue_cap", "band", "aversion",
        )  # fmt: skip
        p = np.array([getattr(self, name) for name in names])
        for number in range(self.networks):
            network = self._network(np.random.default_rng([case.seed, number]), len(prices) - 1)
            for failure in range(len(FAILURES)):
                out[failure, number] = walk(failure, at, prices, sigma, on, p, network)
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

    def _network(self, random: np.random.Generator, steps: int) -> Network:
        """Who uses what: venues and agents sparse, LPs' sizes heavy-tailed."""
        vaults = self.vaults
        equity = self.equity * np.exp(random.normal(0.0, 0.5, vaults))
        uses = np.ones((vaults, PLACES), dtype=np.bool_)
        uses[np.arange(vaults), random.integers(0, PLACES, vaults)] = False
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
        return Network(
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


STUDY = Contagion
