"""Options: trades of an account whose margin is there already, renewals, settlement, and what LPs pay for boards.

Each is the first transaction of its block, 12 s after the last, on a board of ten strikes of which somebody holds
every call and every put; LPs hold 10m. "New round" means that this transaction also records the round and its variance.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ballast.chain.rpc import RpcChain
from ballast.model.exact.fixed import WAD
from ballast.model.exact.option_book import DAY, SETTLEMENT_HOUR, key_of
from ballast.options import Board
from ballast.reports import GasRow
from ballast.system import NO_LIMIT, Sandbox, deploy_system
from ballast.testing.options import BLOCK, post, refresh, trade

BUY, SETTLE_ACCOUNT = 320_000, 90_000  # promised gas
FIRST, CLOSE, REFRESH = (f"over its target of {gas}" for gas in ("320,000", "260,000", "350,000"))
STRIKES = (1_700, 1_800, 1_900, 2_000, 2_100, 2_200, 2_300, 2_400, 2_600, 2_800)


def measure(chain: RpcChain) -> Iterator[GasRow]:
    """Trades on one board, then with a refresh inside, then settlement, then what LPs pay."""
    system = deploy_system(chain)
    lp, calls, puts, trader, short, spread, both, weak, keeper = chain.accounts[:9]
    system.deposit(lp, 10_000_000)
    for account in (calls, puts, trader, short, spread, both, keeper):
        system.add_margin(account, 1_000_000)
    system.fund(lp, 100_000)
    midnight = (chain.now // DAY + 1) * DAY
    expiries = [midnight + days * DAY + SETTLEMENT_HOUR for days in (7, 14, 30, 60)]
    post(system, 0.6, expiries)
    for expiry in expiries:
        system.option_engine.send("list_strikes", 0, expiry, [k * WAD for k in STRIKES], sender=system.governor)
    board = Board(0, expiries[0])
    for account, right in ((calls, "C"), (puts, "P")):
        for part in (STRIKES[:5], STRIKES[5:]):
            trade(system, account, board, {f"{k}-{right}": 3 if k % 200 else -2 for k in part})

    for fresh in (False, True):
        suffix = ", new round" if fresh else ""
        # the first leg on a board writes a new word, and so does a round
        for name, size, limit, note in (
            ("buy", 10, None if fresh else BUY, FIRST if fresh else ""), ("buy more", 5, BUY, ""),
            ("close a part", -5, None, CLOSE), ("close", -10, None, CLOSE),
        ):  # fmt: skip
            yield GasRow(f"option: {name}{suffix}", trade(system, trader, board, {"2100-C": size}, fresh), limit, note)
    for name, size in (("sell short", -10), ("sell more", -5), ("buy back", 15)):
        yield GasRow(f"option: {name}", trade(system, short, board, {"2100-C": size}))
    yield GasRow("option: sell short a put", trade(system, short, board, {"1900-P": -10}))
    two = {"2000-C": 10, "2200-C": -10}
    yield GasRow("option: open 2 legs, one short", trade(system, spread, board, two))
    yield GasRow("option: close 2 legs", trade(system, spread, board, flat(two)), None, CLOSE)
    strikes = {f"{k}-C": 1 for k in STRIKES[:8]}
    yield GasRow("option: buy 8 legs at 8 strikes", trade(system, spread, board, strikes))
    yield GasRow("option: close 8 legs at 8 strikes", trade(system, spread, board, flat(strikes)))
    four = {f"{k}-{right}": -1 for k in STRIKES[2:6] for right in "CP"}
    yield GasRow("option: sell 8 legs at 4 strikes", trade(system, spread, board, four))
    yield GasRow("option: close 8 legs at 4 strikes", trade(system, spread, board, flat(four)))

    for market, size in (("ETH", 20), ("BTC", -1)):
        system.trade(both, market, size)
    trade(system, both, board, {"1900-P": 2, "2000-P": -2, "2200-C": -2})
    note = "two perpetuals, two short options, one long before"
    yield GasRow(
        "option: sell, account with perpetuals and 4 legs", trade(system, both, board, {"2400-C": -2}), None, note
    )
    yield GasRow(
        "option: close, account with perpetuals and 4 legs", trade(system, both, board, {"2400-C": 2}), None, CLOSE
    )
    system.warp(BLOCK, refresh=False)
    spent = system.perp_engine.send("trade", 0, WAD, NO_LIMIT, NO_LIMIT, sender=both).gas_used
    yield GasRow("perp: increase, account also in BTC and 3 legs", spent)

    system.warp(1_801)
    system.inventory.send("sync_all")
    yield GasRow("option: refresh, 10 strikes", refresh(system, keeper, board), None, REFRESH)
    system.warp(BLOCK, refresh=False)
    post(system, 0.61, expiries)
    yield GasRow(
        "option: refresh, 10 strikes, new surface and round", refresh(system, keeper, board, True), None, REFRESH
    )
    system.warp(1_801)
    system.inventory.send("sync_all")
    spent = trade(system, trader, board, {"2100-C": 10})
    yield GasRow("option: buy, refresh of 10 strikes included", spent)
    system.warp(1_801)
    post(system, 0.6, expiries)
    yield GasRow("option: close, refresh of 10 strikes included", trade(system, trader, board, {"2100-C": -10}, True))

    for count in (1, 4):
        for expiry in expiries[1:count]:
            trade(system, calls, Board(0, expiry), {"2000-C": 5})
        system.warp(BLOCK)
        for expiry in expiries[:count]:
            if system.option_book.call("is_due", key_of(0, expiry), system.oracle.call("peek", 0).price):
                refresh(system, keeper, Board(0, expiry))
        system.inventory.send("sync_all")
        for fresh in (False, True):
            system.warp(BLOCK, refresh=fresh)
            gas = system.vault.send("deposit", 1_000 * 10**system.decimals, lp, sender=lp).gas_used
            boards = "1 board" if count == 1 else f"{count} boards"
            yield GasRow(f"vault: deposit, {boards} of options{', new rounds' if fresh else ''}", gas)

    # a margin that the next move of the price eats up
    system.add_margin(weak, 2_150)
    trade(system, weak, board, {"2100-C": -10})
    chain.warp(BLOCK)
    system.push("ETH", 2_190)
    refresh(system, keeper, board)
    chain.warp(BLOCK)
    system.push("ETH", 2_240)
    yield GasRow("option: liquidate a short, new round", liquidate(system, "liquidate_options", weak, keeper))
    for name, fn, price in (
        ("liquidate a short", "liquidate_options", 2_330),
        ("take a short over", "take_options", 2_400),
    ):
        system.push("ETH", price)
        refresh(system, keeper, board)
        system.warp(BLOCK, refresh=False)
        yield GasRow(f"option: {name}", liquidate(system, fn, weak, keeper))
    (left,) = system.option_book.call("legs", weak)
    system.option_engine.send("trade", [(left.series, -left.size)], 10**30, NO_LIMIT, sender=weak)

    trade(system, trader, board, {"2000-C": 10})
    trade(system, short, board, {"2000-C": -5})
    trade(system, spread, board, {"2000-C": 1, "2100-C": -1})
    chain.warp_to(board.expiry - 60)
    system.refresh()
    last = system.aggregators[0].call("latestRoundData")[0]
    system.warp(120)
    engine = system.option_engine
    yield GasRow(
        "option: settle a board of 10 strikes", engine.send("settle", 0, board.expiry, last, sender=keeper).gas_used
    )
    engine.send("settle_accounts", 0, board.expiry, [short, keeper], sender=keeper)  # the first writes payables
    for name, accounts, limit in (
        ("one account, 1 leg", [trader], SETTLE_ACCOUNT),
        ("one account, 2 legs", [spread], SETTLE_ACCOUNT),
        ("one account, 10 legs", [calls], None),
        ("two accounts, 3 and 10 legs", [both, puts], None),
    ):
        system.warp(BLOCK, refresh=False)
        spent = engine.send("settle_accounts", 0, board.expiry, accounts, sender=keeper).gas_used
        yield GasRow(f"option: settle {name}", spent, limit)
    yield GasRow("option: clear a board of 10 strikes", engine.send("clear", 0, board.expiry, sender=keeper).gas_used)


def liquidate(system: Sandbox, fn: str, weak: str, keeper: str) -> int:
    """Gas of a liquidation of all options that an account has."""
    orders = [(leg.series, -leg.size) for leg in system.option_book.call("legs", weak)]
    return system.liquidator.send(fn, weak, orders, sender=keeper).gas_used


def flat(legs: Mapping[str, float]) -> dict[str, float]:
    """What closes them."""
    return {name: -size for name, size in legs.items()}
