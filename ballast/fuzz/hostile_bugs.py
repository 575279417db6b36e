"""Guards against tokens, venues and callers that mean harm, removed: the searches in tests must find each.

Two are missing, because without them a transaction can do nothing it could not do before: `_check_idle` of the Vault's
prices (HedgeManager is locked then and does not tell its equity) and VIEW_GAS_NEEDED (a starved view leaves too little
to go on with; tests/unit/hedge/test_bad_venues.py tests it as a view).
"""

from __future__ import annotations

from ballast.fuzz.planted import Bug, Edit

CLEARINGHOUSE = "contracts/clearing/Clearinghouse.vy"
HEDGE_MANAGER = "contracts/hedge/HedgeManager.vy"
VAULT = "contracts/vault/Vault.vy"

BUGS = (
    Bug(
        "an engine settles in the middle of an operation",
        "Clearinghouse",
        (
            Edit(
                CLEARINGHOUSE,
                "    if roles.Role.ENGINE in roles.roles_of[msg.sender]:\n        self._check_idle()\n",
                "    if roles.Role.ENGINE in roles.roles_of[msg.sender]:\n        pass\n",
            ),
        ),
        profile="all",
    ),
    Bug(
        "anybody lowers the deposit cap",
        "Vault",
        (
            Edit(
                VAULT,
                "    roles._check(roles.Role.GUARDIAN | roles.Role.GOVERNOR)\n    params: IVault.Params",
                "    params: IVault.Params",
            ),
        ),
        profile="all",
    ),
    Bug(
        "what arrives is not measured",
        "Clearinghouse",
        (
            Edit(
                CLEARINGHOUSE,
                '    assert staticcall ASSET.balanceOf(self) == before + units, "clearing: amount received"\n',
                "",
            ),
        ),
        profile="all",
    ),
    Bug(
        "a venue may boast",
        "HedgeManager",
        (
            Edit(
                HEDGE_MANAGER, "MAX_VALUE: constant(uint256) = 10**10 * c.WAD", "MAX_VALUE: constant(uint256) = 2**120"
            ),
        ),
        profile="all",
    ),
)
