"""Powers of ``contracts/governance/roles.vy``: one flag each, same order, same bits; who needs which, and the twin."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntFlag, auto

from ballast.model.exact.fixed import require


class Role(IntFlag):
    """What an address may do to one contract."""

    GOVERNOR = auto()
    GUARDIAN = auto()
    ENGINE = auto()
    HEDGER = auto()
    VAULT = auto()
    INVENTORY = auto()
    SETUP = auto()
    CLOSER = auto()
    SETTLER = auto()
    STEWARD = auto()


WIRING = ~(Role.GOVERNOR | Role.SETUP)
"""What SETUP may hand out."""

NOT_ALLOWED = "roles: not allowed"

SETTERS = Role.GOVERNOR | Role.SETUP | Role.STEWARD
"""Who may set parameters, inside the immutable bounds of their contract."""

# Who may call what: every function of a contract that not everybody may call, and the flags of which one suffices.
POWERS: dict[str, dict[str, Role]] = {
    "Clearinghouse": {
        "begin": Role.HEDGER | Role.VAULT,
        "end": Role.HEDGER | Role.VAULT,
        "settle": Role.ENGINE | Role.HEDGER | Role.VAULT,
        "pay_penalty": Role.CLOSER,
        "pay_reward": Role.CLOSER,
        "freeze": Role.SETTLER,
        "crystallise": Role.SETTLER,
        "finalise": Role.SETTLER,
        "pay_promise": Role.SETTLER,
        "pay_lp": Role.SETTLER,
        "release": Role.INVENTORY,
        "subsidise": Role.INVENTORY,
        "fund": Role.HEDGER,
        "collect": Role.HEDGER,
        "receive_deposit": Role.VAULT,
        "earmark_claims": Role.VAULT,
        "pay_claim": Role.VAULT,
        "withdraw_protocol": Role.GOVERNOR,
        "set_margin": Role.GOVERNOR | Role.SETUP,
        "set_shares": SETTERS,
    },
    "RebateAuction": {
        "set_inventory": Role.SETUP,
        "set_params": SETTERS,
        "disable": Role.GUARDIAN | Role.GOVERNOR,
    },
    "Inventory": {
        "trade": Role.ENGINE,
        "adjust": Role.ENGINE | Role.HEDGER,
        "set_boosting": Role.INVENTORY,
        "set_market_params": SETTERS,
        "set_params": SETTERS,
    },
    "PerpEngine": {
        "close_for": Role.CLOSER,
        "transfer": Role.CLOSER,
        "deleverage": Role.CLOSER,
        "set_carry": Role.HEDGER,
        "list_market": Role.GOVERNOR | Role.SETUP,
        "set_params": SETTERS,
        "lower_caps": Role.GUARDIAN | Role.GOVERNOR,
        "pause": Role.GUARDIAN | Role.GOVERNOR,
        "unpause": Role.GOVERNOR,
    },
    "PriceOracle": {
        "list_market": Role.GOVERNOR | Role.SETUP,
        "set_params": SETTERS,
        "set_feed": Role.GOVERNOR,
        "set_second": Role.GOVERNOR | Role.SETUP,
        "halt": Role.GOVERNOR,
        "resume": Role.GOVERNOR,
    },
    "HedgeManager": {
        "rebalance_for": Role.HEDGER,
        "list_venue": Role.GOVERNOR | Role.SETUP,
        "set_venue_params": SETTERS,
        "set_rule": SETTERS,
        "pause_venue": Role.GUARDIAN | Role.GOVERNOR,
        "unpause_venue": Role.GOVERNOR,
        "retire_venue": Role.GOVERNOR,
    },
    "Mandates": {
        "grant": Role.GOVERNOR | Role.SETUP,
        "revoke": Role.GUARDIAN | Role.GOVERNOR,  # and the agent
    },
    "Vault": {
        "set_params": SETTERS,
        "lower_deposit_cap": Role.GUARDIAN | Role.GOVERNOR,
        "pause_deposits": Role.GUARDIAN | Role.GOVERNOR,
        "unpause_deposits": Role.GOVERNOR,
    },
    "OptionBook": {
        "renew": Role.ENGINE,
        "apply": Role.ENGINE,
        "expire": Role.ENGINE,
        "pay_out": Role.ENGINE,
        "clear": Role.ENGINE,
        "add_strikes": Role.ENGINE,
        "close": Role.ENGINE,
    },
    "OptionEngine": {
        "close_for": Role.CLOSER,
        "transfer": Role.CLOSER,
        "set_params": SETTERS,
        "lower_caps": Role.GUARDIAN | Role.GOVERNOR,
        "pause": Role.GUARDIAN | Role.GOVERNOR,
        "unpause": Role.GOVERNOR,
        "list_strikes": Role.GOVERNOR | Role.SETUP,
        "close_board": Role.GUARDIAN | Role.GOVERNOR,
    },
    "Steward": {
        "tighten": Role.GUARDIAN | Role.GOVERNOR,
        "freeze": Role.GUARDIAN | Role.GOVERNOR,
        "thaw": Role.GOVERNOR,
        "set_key": Role.GOVERNOR | Role.SETUP,
        "list_surface": Role.GOVERNOR | Role.SETUP,
        "drop_surface": Role.GOVERNOR | Role.SETUP,
        "set_levers": Role.GOVERNOR | Role.SETUP,
    },
    "VolSurface": {
        "set_signer": Role.GOVERNOR | Role.SETUP,
        "set_threshold": Role.GOVERNOR | Role.SETUP,
        "set_drift": SETTERS,
        "freeze": Role.GUARDIAN | Role.GOVERNOR,
        "thaw": Role.GOVERNOR,
    },
}

OFFICE = ("grant_role", "revoke_role", "renounce_setup", "offer_admin", "accept_admin")
"""Of the table of roles itself, at every contract of `POWERS`: the admin's, and what concerns the caller alone."""

# Functions that anybody may call. Where they act for an account, only for the caller's or with its consent.
PERMISSIONLESS: dict[str, tuple[str, ...]] = {
    "Clearinghouse": (
        "deposit", "deposit_with_permit", "withdraw", "set_operator", "collect_fees", "fund_insurance",
        "absorb_donation",
    ),
    "Inventory": ("sync", "sync_all"),
    "RebateAuction": ("open", "close"),
    "PerpEngine": ("trade", "sync"),
    "PriceOracle": ("sync",),
    "PythFeed": ("update", "prove"),
    "HedgeManager": ("rebalance", "recall", "unwind", "poke"),
    "Carry": ("measure",),
    "VolSurface": ("post",),
    "OptionBook": (),
    "OptionEngine": ("trade", "refresh", "settle", "settle_accounts", "clear"),
    "Liquidator": ("liquidate", "liquidate_perp", "liquidate_options", "take_perp", "take_options"),
    "Deleverager": ("nominate", "deleverage"),
    "CloseQueue": (
        "request_perp", "request_options", "cancel_perp", "cancel_options", "execute_perp", "execute_options",
    ),
    "AaveShortVenue": ("drop_collateral",),
    "GlobalSettlement": ("trigger", "crystallise", "finalise", "claim", "redeem", "pay_request"),
    "Vault": (
        "deposit", "deposit_at_least", "mint", "requestRedeem", "processEpoch", "redeem", "withdraw", "setOperator",
        "transfer", "transferFrom", "approve", "permit",
    ),
    "Steward": ("adjust_by_sig",),
    "Governor": (
        "lock", "unlock", "withdraw", "delegate", "propose", "cast_vote", "cast_vote_by_sig", "queue", "object",
    ),
    "Timelock": ("execute", "execute_batch"),
}  # fmt: skip

_BY_MANAGER = {"rebalance": "HedgeManager", "recall": "HedgeManager"}
_BY_POOL = {"uniswapV3SwapCallback": "the pool it trades with, during the trade"}

# Functions of one caller, whom no table of roles names.
SOLE: dict[str, dict[str, str]] = {
    "RebateAuction": {"pay": "Inventory"},
    "Mandates": {"hedge": "the mandate's agent"},
    "UniswapV3Venue": _BY_MANAGER | _BY_POOL,
    "AaveShortVenue": _BY_MANAGER | _BY_POOL,
    "NullVenue": {"rebalance": "nobody", "recall": "nobody"},
    "Steward": {"adjust": "the steward's key"},
    "Governor": {
        "veto": "its guardian: a proposal that only undoes tightenings, once",
        "set_params": "the timelock", "set_guardian": "the timelock",
    },
    "Timelock": {
        "schedule": "a proposer: the Governor, the council", "schedule_batch": "a proposer: the Governor, the council",
        "cancel": "a canceller: the Governor", "update_delay": "the timelock", "grantRole": "the timelock",
        "revokeRole": "the timelock", "renounceRole": "the holder of the role",
    },
}  # fmt: skip


@dataclass(slots=True)
class Roles:
    """Exact twin of one contract's table of roles."""

    admin: str
    pending_admin: str | None = None
    held: dict[str, Role] = field(default_factory=dict)

    def may(self, holder: str, allowed: Role) -> bool:
        """Whether the holder has one of the flags."""
        return bool(self.held.get(holder, Role(0)) & allowed)

    def may_call(self, holder: str, contract: str, fn: str) -> bool:
        """Whether the holder has a flag that suffices for a privileged function."""
        allowed = POWERS[contract].get(fn)
        return allowed is not None and self.may(holder, allowed)

    def grant(self, sender: str, holder: str, granted: Role) -> None:
        """``grant_role``."""
        forbidden = Role.SETUP
        if sender != self.admin:
            require(self.may(sender, Role.SETUP), NOT_ALLOWED)
            forbidden |= Role.GOVERNOR
        require(not forbidden & granted, "roles: not grantable")
        self._change(holder, granted, Role(0))

    def revoke(self, sender: str, holder: str, revoked: Role) -> None:
        """``revoke_role``."""
        require(sender == self.admin, NOT_ALLOWED)
        self._change(holder, Role(0), revoked)

    def renounce_setup(self, sender: str) -> None:
        """``renounce_setup``."""
        require(self.may(sender, Role.SETUP), NOT_ALLOWED)
        self._change(sender, Role(0), Role.SETUP)

    def offer_admin(self, sender: str, pending_admin: str | None) -> None:
        """``offer_admin``; None is the zero address."""
        require(sender == self.admin, NOT_ALLOWED)
        self.pending_admin = pending_admin

    def accept_admin(self, sender: str) -> None:
        """``accept_admin``."""
        require(sender == self.pending_admin, NOT_ALLOWED)
        previous, self.admin, self.pending_admin = self.admin, sender, None
        self._change(previous, Role(0), Role.GOVERNOR)
        self._change(sender, Role.GOVERNOR, Role(0))

    def _change(self, holder: str, granted: Role, revoked: Role) -> None:
        self.held[holder] = (self.held.get(holder, Role(0)) | granted) & ~revoked
