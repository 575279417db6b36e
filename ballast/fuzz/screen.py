"""A campaign while it runs: a live table on a terminal, else a line every few seconds."""

from __future__ import annotations

import time

from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ballast.fuzz.campaign import Campaign, Sample

EVERY = 10.0  # [s] between lines
REASONS = 8  # shown


class Screen:
    """`with Screen(console, campaign) as screen: campaign.run(screen.show)`."""

    def __init__(self, console: Console, campaign: Campaign) -> None:
        self.console = console
        self.live = Live(console=console, refresh_per_second=4, transient=True) if console.is_terminal else None
        self.told = time.monotonic()
        self.start = campaign.seconds, campaign.stats.calls  # when this run began

    def __enter__(self) -> Screen:
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live:
            self.live.stop()

    def show(self, campaign: Campaign) -> None:
        """How far the campaign is."""
        if self.live:
            self.live.update(self._table(campaign))
        elif time.monotonic() - self.told >= EVERY:
            self.told = time.monotonic()
            line = ", ".join(f"{value} {name}" for name, value in self._figures(campaign).items())
            self.console.print(f"{campaign.seconds:,.0f} s: {line}", soft_wrap=True)

    def _figures(self, campaign: Campaign) -> dict[str, str]:
        seconds, calls = self.start
        rate = (campaign.stats.calls - calls) / max(campaign.seconds - seconds, 1e-9)
        last = campaign.history[-1] if campaign.history else Sample(0, 0, 0, 0, 0, 0, 0)
        return {
            "actions": f"{campaign.stats.calls:,}",
            "actions/s": f"{rate:,.0f}",
            "sequences": f"{campaign.stats.episodes:,}",
            "refused": f"{sum(campaign.stats.refused.values()):,}",
            "lines": f"{last.lines:,}",
            "branches": f"{last.branches:,}",
            "features": f"{last.features:,}",
            "sequences kept": f"{last.corpus:,}",
            "s since new code": f"{campaign.seconds - campaign.news:,.0f}",
            "failures": f"{len(campaign.found)}",
        }

    def _table(self, campaign: Campaign) -> RenderableType:
        totals = Table.grid(padding=(0, 2))
        totals.add_row("time", f"{campaign.seconds:,.0f} s")
        for name, value in self._figures(campaign).items():
            totals.add_row(name, value)
        reasons = Table.grid(padding=(0, 2))
        for reason, count in campaign.stats.refused.most_common(REASONS):
            reasons.add_row(f"{count:,}", reason or "(no reason)")
        covered = Table.grid(padding=(0, 2))
        covered.add_row("", "lines", "branches", style="dim")
        for row in campaign.coverage.table():
            covered.add_row(row.contract, "{}/{}".format(*row.lines), "{}/{}".format(*row.branches))
        title = "finishing what is running; Ctrl-C again interrupts" if campaign.stopping else "Ctrl-C stops"
        found = [Text(found.message, style="bold red") for found in campaign.found]
        return Group(
            Text(f"seed {campaign.plan.seed}, {title}"), Columns([totals, covered, reasons], padding=(0, 6)), *found
        )
