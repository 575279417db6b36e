"""Powers of ``contracts/governance/roles.vy``: one flag each, same order, same bits."""

from __future__ import annotations

from enum import IntFlag, auto


class Role(IntFlag):
    """What an address may do to one contract."""

    GOVERNOR = auto()
    GUARDIAN = auto()
    ENGINE = auto()
    HEDGER = auto()
    VAULT = auto()
    INVENTORY = auto()
    SETUP = auto()


WIRING = Role.GUARDIAN | Role.ENGINE | Role.HEDGER | Role.VAULT | Role.INVENTORY
"""What SETUP may hand out."""
