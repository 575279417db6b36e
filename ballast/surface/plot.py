"""A picture of a fit: quoted bid-ask ranges against the fitted smile, one panel for each expiry."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from ballast.surface.fit import Fit

INK, MARKET = "#14213d", "#e07a1f"


def plot(fitted: Fit, path: Path, title: str, panels: int = 8) -> Path:
    """Save a PNG; at most `panels` expiries, evenly chosen. Returns the path."""
    quotes, surface = fitted.quotes, fitted.surface
    n = len(quotes.expiries)
    chosen = np.unique(np.linspace(0, n - 1, min(n, panels)).round().astype(int))
    columns = min(len(chosen), 4)
    rows = -(-len(chosen) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(4 * columns, 3 * rows), squeeze=False, layout="constrained")
    for axis in axes.flat[len(chosen) :]:
        axis.set_visible(False)
    for axis, i in zip(axes.flat, chosen, strict=False):
        mine = quotes.position == i
        k = quotes.k[mine]
        axis.vlines(k, 100 * quotes.bid[mine], 100 * quotes.ask[mine], color=MARKET, linewidth=2, label="bid to ask")
        line = np.linspace(k.min(), k.max(), 200)
        vols = surface.vol(surface.forward[i] * np.exp(line), int(i))
        axis.plot(line, 100 * vols, color=INK, linewidth=1.4, label="fitted")
        middle = quotes.mid[mine]
        low, high = np.percentile(middle, (0, 90))
        axis.set_ylim(100 * low - 5, 100 * max(high, vols.max()) + 5)
        days = surface.years()[i] * 365
        axis.set_title(f"{datetime.fromtimestamp(int(surface.expiry[i]), UTC):%d %b %Y}, {days:.0f} days", fontsize=9)
        axis.grid(alpha=0.25)
    axes[0, 0].legend(fontsize=8, frameon=False)
    figure.supxlabel("ln(strike / forward)", fontsize=9)
    figure.supylabel("implied volatility [%]", fontsize=9)
    figure.suptitle(title, fontsize=11)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path
