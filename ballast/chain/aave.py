"""Real Aave v3, deployed from its published bytecode: a pool of reserves, their tokens, oracle and interest rates.

Amounts are token units, prices of the oracle US dollars at 8 decimals, rates and indices rays (1e27), as Aave has them.
The deployer is pool and emergency admin. Whoever supplies, repays or liquidates here is given the tokens it lacks when
these are test tokens with an open `mint`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ballast.chain.artifacts import Artifact, npm
from ballast.chain.codec import address_of
from ballast.chain.contract import Chain, Contract, Receipt

RAY = 10**27
MAX_UINT = 2**256 - 1
VARIABLE = 2  # Aave's number for debt at the variable rate

_CONTRACTS = "@aave/core-v3/artifacts/contracts"
_LOGIC = ("Borrow", "Bridge", "Configurator", "EMode", "FlashLoan", "Liquidation", "Pool", "Supply")  # in linking order
_NOBODY = "0x" + "00" * 20
_PERCENT = RAY // 100


@dataclass(frozen=True, slots=True)
class Terms:
    """What a reserve may be used for; the defaults are those of a large stablecoin on Ethereum in 2023."""

    ltv_bps: int = 7_700  # what may be borrowed against it
    threshold_bps: int = 8_000  # debt beyond this share of it may be liquidated
    bonus_bps: int = 10_450  # what a liquidator gets for 100 % of debt
    reserve_factor_bps: int = 1_000  # Aave's share of interest
    optimal_usage: int = 90 * _PERCENT
    base_rate: int = 0  # [ray per year]
    slope_below: int = 4 * _PERCENT  # to the optimal usage
    slope_above: int = 60 * _PERCENT  # from there to 100 %


ETHER = Terms(
    ltv_bps=8_000, threshold_bps=8_250, bonus_bps=10_500, reserve_factor_bps=1_500, optimal_usage=80 * _PERCENT,
    base_rate=_PERCENT, slope_below=38 * _PERCENT // 10, slope_above=80 * _PERCENT,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reserve:
    """One listed asset."""

    asset: Contract
    a_token: Contract
    debt: Contract  # at the variable rate


@dataclass(frozen=True, slots=True)
class Aave:
    """One Aave v3 deployment."""

    chain: Chain
    admin: str
    provider: Contract
    pool: Contract
    configurator: Contract
    oracle: Contract
    reserves: tuple[Reserve, ...]

    @classmethod
    def deploy(cls, chain: Chain, assets: Mapping[Contract, tuple[Contract, Terms]], *, sender: Any = None) -> Aave:
        """Deploy everything and list each asset with its price source (`latestAnswer` [USD, 8 decimals]) and terms."""
        admin = chain.accounts[0] if sender is None else address_of(sender)

        def new(path: str, *args: Any, libraries: tuple[tuple[str, str], ...] = ()) -> Contract:
            return chain.deploy(_artifact(path, libraries), *args, sender=admin)

        provider = new("protocol/configuration/PoolAddressesProvider", "Ballast", admin)
        provider.send("setACLAdmin", admin, sender=admin)
        roles = new("protocol/configuration/ACLManager", provider)
        provider.send("setACLManager", roles, sender=admin)
        roles.send("addPoolAdmin", admin, sender=admin)
        roles.send("addEmergencyAdmin", admin, sender=admin)
        sources = [source for source, _ in assets.values()]
        oracle = new("misc/AaveOracle", provider, list(assets), sources, _NOBODY, _NOBODY, 10**8)
        provider.send("setPriceOracle", oracle, sender=admin)

        libraries: tuple[tuple[str, str], ...] = ()
        for name in _LOGIC:
            library = new(f"protocol/libraries/logic/{name}Logic", libraries=libraries)
            libraries += ((f"{name}Logic", library.address),)
        for name in ("Pool", "PoolConfigurator"):
            args = (provider,) if name == "Pool" else ()
            provider.send(f"set{name}Impl", new(f"protocol/pool/{name}", *args, libraries=libraries), sender=admin)
        pool = chain.at(_artifact("protocol/pool/Pool", libraries), provider.call("getPool"))
        configurator = chain.at(
            _artifact("protocol/pool/PoolConfigurator", libraries), provider.call("getPoolConfigurator")
        )

        tokens = [new(f"protocol/tokenization/{name}", pool) for name in _TOKENS]
        configurator.send(
            "initReserves",
            [_listing(asset, tokens, _strategy(new, provider, terms), admin) for asset, (_, terms) in assets.items()],
            sender=admin,
        )
        for asset, (_, terms) in assets.items():
            configurator.send(
                "configureReserveAsCollateral",
                asset, terms.ltv_bps, terms.threshold_bps, terms.bonus_bps, sender=admin,
            )  # fmt: skip
            configurator.send("setReserveBorrowing", asset, True, sender=admin)
            configurator.send("setReserveFactor", asset, terms.reserve_factor_bps, sender=admin)
        return cls(
            chain, admin, provider, pool, configurator, oracle, tuple(_reserve(chain, pool, asset) for asset in assets)
        )

    def reserve(self, asset: Contract) -> Reserve:
        """LookupError when it is not listed."""
        for reserve in self.reserves:
            if reserve.asset.address == asset.address:
                return reserve
        raise LookupError(f"{asset} is not listed")

    # ---- what users do

    def supply(self, asset: Contract, amount: int, *, owner: Any = None) -> Receipt:
        """Lend `amount`; it serves as collateral."""
        user = self._ready(asset, amount, owner)
        return self.pool.send("supply", asset, amount, user, 0, sender=user)

    def withdraw(self, asset: Contract, amount: int, *, owner: Any = None) -> Receipt:
        """Take back `amount`, MAX_UINT for all."""
        user = self._user(owner)
        return self.pool.send("withdraw", asset, amount, user, sender=user)

    def borrow(self, asset: Contract, amount: int, *, owner: Any = None) -> Receipt:
        """Borrow `amount` at the variable rate."""
        user = self._user(owner)
        return self.pool.send("borrow", asset, amount, VARIABLE, 0, user, sender=user)

    def repay(self, asset: Contract, amount: int, *, owner: Any = None) -> Receipt:
        """Pay back `amount`."""
        user = self._ready(asset, amount, owner)
        return self.pool.send("repay", asset, amount, VARIABLE, user, sender=user)

    def liquidate(self, collateral: Contract, debt: Contract, user: Any, amount: int, *, liquidator: Any) -> Receipt:
        """Pay up to `amount` of a user's debt for collateral and the bonus; Aave refuses while the user is healthy."""
        payer = self._ready(debt, amount, liquidator)
        return self.pool.send("liquidationCall", collateral, debt, user, amount, False, sender=payer)

    def health(self, user: Any) -> int:
        """Health factor [WAD]: collateral times liquidation threshold over debt."""
        return int(self.pool.call("getUserAccountData", user).healthFactor)

    # ---- what its admins do

    def set_paused(self, asset: Contract, paused: bool) -> None:
        """A paused reserve does nothing at all."""
        self.configurator.send("setReservePause", asset, paused, sender=self.admin)

    def set_frozen(self, asset: Contract, frozen: bool) -> None:
        """A frozen reserve takes no supplies and lends nothing more."""
        self.configurator.send("setReserveFreeze", asset, frozen, sender=self.admin)

    def strategy(self, optimal_usage: int, base_rate: int, slope_below: int, slope_above: int) -> Contract:
        """Interest rates that a reserve may have [ray per year], deployed."""
        terms = Terms(
            optimal_usage=optimal_usage, base_rate=base_rate, slope_below=slope_below, slope_above=slope_above
        )

        def new(path: str, *args: Any) -> Contract:
            return self.chain.deploy(_artifact(path), *args, sender=self.admin)

        return _strategy(new, self.provider, terms)

    # ---- internal

    def _user(self, owner: Any) -> str:
        return self.chain.accounts[0] if owner is None else address_of(owner)

    def _ready(self, asset: Contract, amount: int, owner: Any) -> str:
        """Give the owner what it lacks, if the token can be minted by anyone, and let the pool take it."""
        user = self._user(owner)
        lacking = amount - asset.call("balanceOf", user)
        if lacking > 0 and "mint" in asset.artifact.functions:
            asset.send("mint", user, lacking, sender=user)
        if asset.call("allowance", user, self.pool) < amount:
            asset.send("approve", self.pool, MAX_UINT, sender=user)
        return user


_TOKENS = ("AToken", "StableDebtToken", "VariableDebtToken")


def _artifact(path: str, libraries: tuple[tuple[str, str], ...] = ()) -> Artifact:
    name = path.rsplit("/", 1)[-1]
    return npm(f"{_CONTRACTS}/{path}.sol/{name}.json", libraries)


def _strategy(new: Any, provider: Contract, terms: Terms) -> Contract:
    """The interest rates of a reserve; nothing is lent at a stable rate."""
    contract: Contract = new(
        "protocol/pool/DefaultReserveInterestRateStrategy",
        provider, terms.optimal_usage, terms.base_rate, terms.slope_below, terms.slope_above, 0, 0, 0, 0, RAY // 5,
    )  # fmt: skip
    return contract


def _listing(asset: Contract, tokens: list[Contract], strategy: Contract, treasury: str) -> tuple[Any, ...]:
    """`ConfiguratorInputTypes.InitReserveInput`."""
    symbol = asset.call("symbol")
    names = [
        word for prefix in ("a", "variableDebt", "stableDebt") for word in (f"Aave {prefix} {symbol}", prefix + symbol)
    ]
    return (*tokens, asset.call("decimals"), strategy, asset, treasury, _NOBODY, *names, b"")


def _reserve(chain: Chain, pool: Contract, asset: Contract) -> Reserve:
    data = pool.call("getReserveData", asset)
    return Reserve(
        asset,
        chain.at(_artifact("protocol/tokenization/AToken"), data.aTokenAddress),
        chain.at(_artifact("protocol/tokenization/VariableDebtToken"), data.variableDebtTokenAddress),
    )
