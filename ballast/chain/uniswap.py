"""Real Uniswap v3, deployed from its published bytecode, with base and quote instead of token0 and token1.

Prices are [quote/base, WAD]; amounts are token units. Whoever provides liquidity or swaps here is given the tokens
it lacks when these are test tokens with an open `mint`.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import isqrt, log
from typing import Any

from ballast.chain.artifacts import npm
from ballast.chain.codec import address_of
from ballast.chain.contract import Chain, Contract, Receipt

WAD = 10**18
MAX_UINT = 2**256 - 1
MAX_TICK = 887_272
MIN_SQRT_PRICE_X96 = 4_295_128_739
MAX_SQRT_PRICE_X96 = 1_461_446_703_485_210_103_287_273_052_203_988_822_378_723_970_342
TICK_SPACING = {100: 1, 500: 10, 3_000: 60, 10_000: 200}  # by fee [1e-6]

_CORE = "@uniswap/v3-core/artifacts/contracts"
_PERIPHERY = "@uniswap/v3-periphery/artifacts/contracts"
_BOUNDLESS = 2**120  # an amount no pool consumes: the price limit ends the swap
_SLOTS_PER_CALL = 400  # a new observation slot costs about 22,000 gas


@dataclass(frozen=True, slots=True)
class Swap:
    """What a swap did, seen from the trader: amounts received are positive, paid negative [token units]."""

    base: int
    quote: int
    receipt: Receipt


@dataclass(frozen=True, slots=True)
class Pool:
    """One pool, addressed by what is priced (base) and what it is priced in (quote)."""

    uniswap: Uniswap
    contract: Contract
    base: Contract
    quote: Contract
    fee: int  # [1e-6]
    base_decimals: int
    quote_decimals: int

    @property
    def address(self) -> str:
        return self.contract.address

    @property
    def base_is_token0(self) -> bool:
        """Uniswap orders the two tokens by address."""
        return _is_sorted(self.base, self.quote)

    def price_wad(self) -> int:
        """Spot price [quote/base, WAD], rounded down."""
        return self.price_of_sqrt(self.contract.call("slot0").sqrtPriceX96)

    def twap_wad(self, seconds: int) -> int:
        """Geometric mean price over the last `seconds` [quote/base, WAD]; reverts "OLD" without such history."""
        older, newer = self.contract.call("observe", [seconds, 0])[0]
        tick = (newer - older) / seconds
        price = Fraction(1.0001 ** (tick if self.base_is_token0 else -tick))
        return int(price * self._scale * WAD)

    def add_liquidity(
        self,
        base: int,
        quote: int,
        *,
        lower_wad: int | None = None,
        upper_wad: int | None = None,
        provider: Any = None,
    ) -> int:
        """Mint a position of at most these amounts between two prices, or over the full range; returns its id."""
        spacing = TICK_SPACING[self.fee]
        bound = MAX_TICK // spacing * spacing
        ticks = [-bound if self.base_is_token0 else bound, bound if self.base_is_token0 else -bound]
        for i, price_wad in enumerate((lower_wad, upper_wad)):
            if price_wad is not None:
                ticks[i] = self.tick_of_price(price_wad) // spacing * spacing
        manager = self.uniswap.positions
        owner = self.uniswap.chain.accounts[0] if provider is None else address_of(provider)
        self._ready(self.base, owner, base, manager)
        self._ready(self.quote, owner, quote, manager)
        first, second = (base, quote) if self.base_is_token0 else (quote, base)
        token0, token1 = (self.base, self.quote) if self.base_is_token0 else (self.quote, self.base)
        receipt = manager.send(
            "mint",
            {
                "token0": token0,
                "token1": token1,
                "fee": self.fee,
                "tickLower": min(ticks),
                "tickUpper": max(ticks),
                "amount0Desired": first,
                "amount1Desired": second,
                "amount0Min": 0,
                "amount1Min": 0,
                "recipient": owner,
                "deadline": MAX_UINT,
            },
            sender=owner,
        )
        return int(receipt.one("IncreaseLiquidity").tokenId)

    def remove_liquidity(self, position: int, *, provider: Any = None) -> Receipt:
        """Withdraw a whole position, fees included, to its owner."""
        manager = self.uniswap.positions
        owner = self.uniswap.chain.accounts[0] if provider is None else address_of(provider)
        liquidity = manager.call("positions", position).liquidity
        manager.send("decreaseLiquidity", (position, liquidity, 0, 0, MAX_UINT), sender=owner)
        return manager.send("collect", (position, owner, 2**128 - 1, 2**128 - 1), sender=owner)

    def swap(self, token_in: Contract, amount_in: int, *, trader: Any = None, limit_wad: int | None = None) -> Swap:
        """Sell `amount_in` of one token through the router, stopping early at spot price `limit_wad`."""
        limit = 0 if limit_wad is None else self.sqrt_of_price(limit_wad)
        return self._swap(token_in, amount_in, amount_in, trader, limit)

    def buy_base(self, quote_in: int, *, trader: Any = None) -> Swap:
        """Spend `quote_in` on base."""
        return self.swap(self.quote, quote_in, trader=trader)

    def sell_base(self, base_in: int, *, trader: Any = None) -> Swap:
        """Sell `base_in` for quote."""
        return self.swap(self.base, base_in, trader=trader)

    def arbitrage_to(self, price_wad: int, *, trader: Any = None) -> Swap | None:
        """Move spot to `price_wad` by one real swap of whatever size that takes; None if it is there already."""
        target = self.sqrt_of_price(price_wad)
        current = self.contract.call("slot0").sqrtPriceX96
        if target == current:
            return None
        # Spot of token1 per token0 rises when token1 is paid in.
        pays_base = (target > current) != self.base_is_token0
        return self._swap(self.base if pays_base else self.quote, _BOUNDLESS, _BOUNDLESS, trader, target)

    def quote_in(self, token_in: Contract, amount_in: int) -> int:
        """What selling `amount_in` would yield now, by Uniswap's own quoter [token units]."""
        token_out = self.quote if token_in.address == self.base.address else self.base
        result = self.uniswap.quoter.call("quoteExactInputSingle", (token_in, token_out, amount_in, self.fee, 0))
        return int(result.amountOut)

    # ---- price scales

    @property
    def _scale(self) -> Fraction:
        """Turns [quote units / base units] into [quote/base]."""
        return Fraction(10**self.base_decimals, 10**self.quote_decimals)

    def sqrt_of_price(self, price_wad: int) -> int:
        """The pool's sqrtPriceX96 at a price, rounded down and kept inside the pool's range."""
        if price_wad <= 0:
            raise ValueError(f"price {price_wad} is not positive")
        ratio = Fraction(price_wad, WAD) / self._scale
        if not self.base_is_token0:
            ratio = 1 / ratio
        root = isqrt((ratio.numerator << 192) // ratio.denominator)
        return min(max(root, MIN_SQRT_PRICE_X96 + 1), MAX_SQRT_PRICE_X96 - 1)

    def price_of_sqrt(self, sqrt_price_x96: int) -> int:
        """The price at a sqrtPriceX96 [quote/base, WAD], rounded down."""
        ratio = Fraction(sqrt_price_x96**2, 1 << 192)
        if not self.base_is_token0:
            ratio = 1 / ratio
        return int(ratio * self._scale * WAD)

    def tick_of_price(self, price_wad: int) -> int:
        """The tick nearest to a price, in the pool's orientation."""
        tick = round(2 * log(self.sqrt_of_price(price_wad) / 2**96) / log(1.0001))
        return max(-MAX_TICK, min(MAX_TICK, tick))

    # ---- internal

    def _swap(self, token_in: Contract, amount_in: int, funds: int, trader: Any, sqrt_limit: int) -> Swap:
        router = self.uniswap.router
        payer = self.uniswap.chain.accounts[0] if trader is None else address_of(trader)
        self._ready(token_in, payer, funds, router)
        token_out = self.quote if token_in.address == self.base.address else self.base
        receipt = router.send(
            "exactInputSingle",
            {
                "tokenIn": token_in,
                "tokenOut": token_out,
                "fee": self.fee,
                "recipient": payer,
                "deadline": MAX_UINT,
                "amountIn": amount_in,
                "amountOutMinimum": 0,
                "sqrtPriceLimitX96": sqrt_limit,
            },
            sender=payer,
        )
        done = receipt.one("Swap", address=self.contract)  # the pool's gains, hence the trader's losses
        first, second = -done.amount0, -done.amount1
        base, quote = (first, second) if self.base_is_token0 else (second, first)
        return Swap(base, quote, receipt)

    def _ready(self, token: Contract, owner: str, amount: int, spender: Contract) -> None:
        """Give `owner` what it lacks, if the token can be minted by anyone, and let `spender` take it."""
        lacking = amount - token.call("balanceOf", owner)
        if lacking > 0 and "mint" in token.artifact.functions:
            token.send("mint", owner, lacking, sender=owner)
        if token.call("allowance", owner, spender) < amount:
            token.send("approve", spender, MAX_UINT, sender=owner)


@dataclass(frozen=True, slots=True)
class Uniswap:
    """One Uniswap v3 deployment."""

    chain: Chain
    factory: Contract
    router: Contract
    positions: Contract
    quoter: Contract

    @classmethod
    def deploy(cls, chain: Chain, *, weth: Any = None, sender: Any = None) -> Uniswap:
        """Deploy factory, router, position manager and quoter; `weth` may be any address as long as ETH is unused."""
        wrapped = weth if weth is not None else "0x" + "e7" * 20
        factory = chain.deploy(npm(f"{_CORE}/UniswapV3Factory.sol/UniswapV3Factory.json"), sender=sender)
        factory.send("enableFeeAmount", 100, TICK_SPACING[100], sender=sender)  # as Uniswap's governance has done

        def periphery(path: str, *more: Any) -> Contract:
            return chain.deploy(npm(f"{_PERIPHERY}/{path}"), factory, wrapped, *more, sender=sender)

        return cls(
            chain,
            factory,
            periphery("SwapRouter.sol/SwapRouter.json"),
            periphery("NonfungiblePositionManager.sol/NonfungiblePositionManager.json", "0x" + "00" * 20),
            periphery("lens/QuoterV2.sol/QuoterV2.json"),
        )

    @classmethod
    def at(cls, chain: Chain, router: Any, positions: Any, quoter: Any) -> Uniswap:
        """A deployment that exists already; the router names its factory."""
        swap_router = chain.at(npm(f"{_PERIPHERY}/SwapRouter.sol/SwapRouter.json"), router)
        return cls(
            chain,
            chain.at(npm(f"{_CORE}/UniswapV3Factory.sol/UniswapV3Factory.json"), swap_router.call("factory")),
            swap_router,
            chain.at(npm(f"{_PERIPHERY}/NonfungiblePositionManager.sol/NonfungiblePositionManager.json"), positions),
            chain.at(npm(f"{_PERIPHERY}/lens/QuoterV2.sol/QuoterV2.json"), quoter),
        )

    def create_pool(
        self, base: Contract, quote: Contract, fee: int, price_wad: int, observation_cardinality: int = 1
    ) -> Pool:
        """Create and initialise a pool of fee [1e-6] at a price; TWAPs reach as far as its observations do."""
        tokens = (base, quote) if _is_sorted(base, quote) else (quote, base)
        receipt = self.factory.send("createPool", *tokens, fee)
        pool = self.pool(base, quote, fee, receipt.one("PoolCreated").pool)
        pool.contract.send("initialize", pool.sqrt_of_price(price_wad))
        for reached in range(_SLOTS_PER_CALL, observation_cardinality, _SLOTS_PER_CALL):
            pool.contract.send("increaseObservationCardinalityNext", reached)
        if observation_cardinality > 1:
            pool.contract.send("increaseObservationCardinalityNext", observation_cardinality)
        return pool

    def pool(self, base: Contract, quote: Contract, fee: int, address: str | None = None) -> Pool:
        """A pool that exists already; LookupError when it does not."""
        found = address or self.factory.call("getPool", base, quote, fee)
        if int(found, 16) == 0:
            raise LookupError(f"no pool of {base} and {quote} at fee {fee}")
        return Pool(
            self,
            self.chain.at(npm(f"{_CORE}/UniswapV3Pool.sol/UniswapV3Pool.json"), found),
            base,
            quote,
            fee,
            base.call("decimals"),
            quote.call("decimals"),
        )


def _is_sorted(base: Contract, quote: Contract) -> bool:
    return int(base.address, 16) < int(quote.address, 16)
