"""What LPs get by Ballast's rule and by its peers', through every recorded window and by the quarter since 2022.

*Drawdown.* Same flow for everybody (traders pay any cost) through each stress window. The flat fee is set in each
window so that it brings what Ballast's traders paid, before hedges; it does not hedge, as its kind does not, or does by
a fixed band. What is compared is the largest fall of LP equity, path by path.

*Sharpe.* Traders mind what a trade costs, and carry traders come for funding. Each rule's parameters are searched on
windows and years to the end of 2021, unhedged and hedged by a fixed band; then other bands are tried at what was found,
and the best in training goes on. Judged on windows and quarters since 2022, which the search has not seen. Ballast is
searched in the same way, hedged by its own rule, with other φ tried then, and is also shown as deployed. There are two
searches for the highest mean Sharpe ratio of LPs:

- `dear`: a quarter at least of what is wanted is filled, traders may pay anything. The recorded traders' elasticity is
  below one, so that LPs' best is to be as dear as that allows: it finds who can be a monopolist with the least risk;
- `alike`: traders pay in all (trading and holding) at most what they pay Ballast as deployed: who makes the most of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.random import Generator

from sims import engine, paths
from sims.engine import BAND, NO_HEDGE, Hedging, Result
from sims.measures import all_in, figures, keeper, play, revenue, rule, scene
from sims.rules import ballast, flat
from sims.studies import Study, verdict
from sims.tuning import SPACES, Dimension, Space, Tuned, sharpe, tune
from sims.world import World

OURS = "ballast"
GOALS = {"dear": "traders may pay anything", "alike": "traders pay no more than Ballast's as deployed"}
# what a governor can choose: the ceiling of λ is the contract's
OUR_SPACE = Space(
    rule(),
    (
        *SPACES[OURS].dimensions,
        Dimension("horizon", 6 * 3_600.0, 5 * 86_400.0),
        Dimension("knee", 0.02, 1.0),
    ),
)


@dataclass(frozen=True, slots=True)
class Case:
    """A stress window for the drawdowns, or a rule for the Sharpe ratios."""

    seed: int
    window: str = ""
    rule: str = ""
    goal: str = ""


class Returns(Study):
    """Parameters."""

    stress: tuple[str, ...]
    training: tuple[str, ...]  # windows and years
    test: tuple[str, ...]  # windows
    quarters_from: str  # first month of those to be judged by
    draws: int = 16  # of traders, in each window
    training_draws: int = 2
    coarse: int = 16
    fine: int = 24
    band: float = 0.05  # [of LP equity] in which peers are hedged while their parameters are searched
    bands: tuple[float, ...] = (0.005, 0.01, 0.02, 0.1, 0.2)  # tried then
    phis: tuple[float, ...] = (0.4, 0.5, 0.7, 0.8, 0.9)  # of Ballast's rule, tried then
    narrow: float = 0.01  # [of LP equity] the other band in which the flat fee is hedged in the crashes

    def cases(self, seed: int) -> Sequence[Case]:
        """Rules first, which take longest."""
        rules = [OURS, *(name for name in SPACES if name != OURS)]
        searches = [Case(seed, rule=name, goal=goal) for name in rules for goal in GOALS]
        return searches + [Case(seed, window=name) for name in self.stress]

    def solve(self, case: Case) -> dict[str, Any]:
        """Either part."""
        return self._drawdowns(case) if case.window else self._judge(case)

    def perps(self, case: Case, rng: Generator) -> tuple[World, ballast.Params] | None:
        """A crash, as deployed."""
        return (self._crash(case), rule()) if case.window else None

    def _crash(self, case: Case) -> World:
        return scene(paths.recorded(case.window), case.seed, self.draws, elastic=False)

    def _drawdowns(self, case: Case) -> dict[str, Any]:
        world = self._crash(case)
        ours = play(world, rule(), keeper(), carry=False)
        fee = float(revenue(ours).mean() / play(world, flat.Params(), carry=False).totals[:, engine.VOLUME].mean())
        others = {
            "flat fee": play(world, flat.Params(fee=fee), carry=False),
            "flat fee, hedged in a band": play(world, flat.Params(fee=fee), _band(self.band), carry=False),
            "flat fee, in a narrow one": play(world, flat.Params(fee=fee), _band(self.narrow), carry=False),
            "Ballast, not hedged": play(world, rule(), carry=False),
        }
        return {
            "fee": fee,
            "ballast": figures([ours]),
            "others": {name: figures([r]) for name, r in others.items()},
            "ratio": {name: float(np.median(ours.drawdown / r.drawdown)) for name, r in others.items()},
        }

    def _judge(self, case: Case) -> dict[str, Any]:
        ours = case.rule == OURS
        training = [scene(paths.recorded(name), case.seed, self.training_draws) for name in self.training]
        tests = [scene(paths.recorded(name), case.seed, self.draws) for name in self.test]
        tests += [scene(prices, case.seed, self.draws) for prices in paths.quarters(self.quarters_from)]
        cap = all_in([play(world, rule(), keeper()) for world in training])

        def score(results: Sequence[Result]) -> float:
            over = all_in(results) - cap
            return -1e6 * (1.0 + over) if case.goal == "alike" and over > 0.0 else sharpe(results)

        best: tuple[Tuned, Hedging] | None = None
        for hedging in [keeper()] if ours else [Hedging(policy=NO_HEDGE), _band(self.band)]:
            found = tune(
                case.rule, training, score=score, coarse=self.coarse, fine=self.fine, seed=case.seed,
                space=OUR_SPACE if ours else None, play=play, hedging=hedging,
            )  # fmt: skip
            if best is None or found.score > best[0].score:
                best = found, hedging
        assert best is not None
        found, hedging = best
        others = [keeper(phi=phi) for phi in self.phis] if ours else [_band(band) for band in self.bands]
        for other in others:
            reached = score([play(world, found.params, other) for world in training])
            if reached > found.score:
                found, hedging = replace(found, score=reached), other
        return {
            "values": found.values,
            "training": found.score,
            "published": found.published,
            "tried": found.tried,
            "hedged": _policy(hedging),
            "cap": cap,
            "test": {world.name: figures([play(world, found.params, hedging)]) for world in tests},
            "deployed": {world.name: figures([play(world, rule(), keeper())]) for world in tests} if ours else {},
        }

    def summary(self, cases: Sequence[Case], results: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Tables of both parts."""
        falls = {case.window: result for case, result in zip(cases, results, strict=True) if case.window}
        medians = {
            name: float(np.median([fall["ratio"][name] for fall in falls.values()]))
            for name in next(iter(falls.values()))["ratio"]
        }
        goals = {goal: self._compared(goal, cases, results) for goal in GOALS}
        shown = [
            verdict(
                "LPs' largest drawdown is at most a quarter of the flat fee's, same flow and revenue",
                medians["flat fee"] <= 0.25,
                f"median over {len(falls)} stress windows {medians['flat fee']:.3f}; of the flat fee's that is hedged "
                f"in a band of {self.band:.0%} of equity {medians['flat fee, hedged in a band']:.2f}, "
                f"of {self.narrow:.0%} {medians['flat fee, in a narrow one']:.2f}",
            )
        ]
        for goal, words in GOALS.items():
            found = goals[goal]
            shown.append(
                verdict(
                    f"LPs' Sharpe ratio is above the best peer's in 80 % of what the search has not seen, {words}",
                    found["share"] >= 0.8,
                    f"in {found['share']:.0%} of {len(found['rows'])} ({found['share_windows']:.0%} of windows, "
                    f"{found['share_quarters']:.0%} of quarters); as deployed in {found['deployed_share']:.0%}",
                )
            )
        return {"falls": falls, "medians": medians, "goals": goals, "verdicts": shown}

    def _compared(self, goal: str, cases: Sequence[Case], results: Sequence[dict[str, Any]]) -> dict[str, Any]:
        rules = {case.rule: result for case, result in zip(cases, results, strict=True) if case.goal == goal}
        rows = []
        for window in rules[OURS]["test"]:
            sharpes = {name: found["test"][window]["sharpe"] for name, found in rules.items()}
            best = max((name for name in sharpes if name != OURS), key=lambda name: sharpes[name])
            deployed = rules[OURS]["deployed"][window]
            whole = {name: found["test"][window]["sharpe_whole"] for name, found in rules.items()}
            rows.append(
                {
                    "window": window, "sharpe": sharpes, "best": best, "better": sharpes[OURS] > sharpes[best],
                    "deployed": deployed["sharpe"], "deployed_better": deployed["sharpe"] > sharpes[best],
                    "whole_better": whole[OURS] > max(value for name, value in whole.items() if name != OURS),
                    "recorded": window in self.test,
                }
            )  # fmt: skip

        def share(key: str, recorded: tuple[bool, ...] = (True, False)) -> float:
            return float(np.mean([row[key] for row in rows if row["recorded"] in recorded]))

        table = []
        for name, found in rules.items():
            tests = list(found["test"].values())
            mean = {key: float(np.mean([test[key] for test in tests])) for key in tests[0]}
            table.append({"rule": name, **{k: found[k] for k in ("values", "hedged", "training", "published")}} | mean)
        tests = list(rules[OURS]["deployed"].values())
        mean = {key: float(np.mean([test[key] for test in tests])) for key in tests[0]}
        nothing = {
            "values": {},
            "hedged": _policy(keeper()),
            "training": rules[OURS]["published"],
            "published": rules[OURS]["published"],
        }
        table.insert(1, {"rule": "ballast, as deployed", **nothing} | mean)
        return {
            "rows": rows, "table": table, "cap": rules[OURS]["cap"], "share": share("better"),
            "share_windows": share("better", (True,)), "share_quarters": share("better", (False,)),
            "deployed_share": share("deployed_better"), "whole_share": share("whole_better"),
            "lost_to": {row["best"]: sum(r["best"] == row["best"] and not r["better"] for r in rows) for row in rows},
        }  # fmt: skip

    def pictures(self, summary: Mapping[str, Any]) -> dict[str, Figure]:
        """Sharpe of ours and the best peer in every window judged by; drawdowns in the crashes."""
        first = Figure(figsize=(10, 5.5), layout="constrained")
        for axis, (goal, words) in zip(first.subplots(2, 1, sharex=True), GOALS.items(), strict=True):
            rows = summary["goals"][goal]["rows"]
            at = np.arange(len(rows))
            axis.bar(at - 0.3, [row["sharpe"][OURS] for row in rows], 0.3, label="Ballast, searched")
            axis.bar(at, [row["deployed"] for row in rows], 0.3, label="Ballast, as deployed")
            axis.bar(at + 0.3, [row["sharpe"][row["best"]] for row in rows], 0.3, label="best peer, searched")
            axis.set_xticks(at, [row["window"] for row in rows], rotation=70, fontsize=7)
            axis.set_title(words, fontsize=9)
            axis.set_ylabel("Sharpe, per √year", fontsize=8)
            axis.axhline(0, color="k", lw=0.5)
            axis.legend(frameon=False, fontsize=7)
        falls = summary["falls"]
        second = Figure(figsize=(8, 3), layout="constrained")
        axis = second.subplots()
        names = ["Ballast", *next(iter(falls.values()))["others"]]
        for number, name in enumerate(names):
            values = [
                100 * (f["ballast"] if name == "Ballast" else f["others"][name])["drawdown"] for f in falls.values()
            ]
            axis.bar(np.arange(len(falls)) + 0.16 * number, values, 0.15, label=name)
        axis.set_xticks(np.arange(len(falls)) + 0.32, list(falls), rotation=20, fontsize=7)
        axis.set_ylabel("largest fall of LP equity [%]")
        axis.set_yscale("log")
        axis.legend(frameon=False, fontsize=7)
        return {"sharpe": first, "drawdown": second}


def _policy(hedging: Hedging) -> str:
    """In words."""
    if hedging.policy == NO_HEDGE:
        return "no"
    return f"band of {hedging.band:.2g}" if hedging.policy == BAND else f"by its rule, φ {hedging.phi:g}"


def _band(width: float) -> Hedging:
    """At the venue that Ballast hedges at."""
    return replace(keeper(), policy=BAND, band=width)


STUDY = Returns
