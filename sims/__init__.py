"""The simulation laboratory: worlds, rules that price a vault's trades, and one kernel that plays one in the other.

`world.py` says what happens (prices, what the oracle knows of them, what traders want), `rules/` what the vault makes
of it, `engine.py` runs it, `replay.py` plays a part of it through the exact twin and the contracts.
"""

import os

# Before numpy is loaded: sums in one order on any x86-64, so that a run is the same run again (docs/simulation.md).
os.environ.setdefault("OPENBLAS_CORETYPE", "Haswell")
