"""What the contracts have stored, read word by word and decoded as the twin's own structs.

A storage word costs a thirtieth of a view call. All words are read after a step, and only what they have changed is
decoded: an answer that depends on words alone is another one only if a word is. The layouts are those that the
contracts state above their words; views are compared with the twin too, less often (`i13_everything_equals_the_twin`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from itertools import compress
from operator import ne
from typing import TYPE_CHECKING, Any

from eth_utils.crypto import keccak

from ballast.chain import Contract, load
from ballast.chain.artifacts import Artifact
from ballast.model.exact.fixed import MICRO
from ballast.model.exact.hedge import VenueState
from ballast.model.exact.hedge_manager import Venue
from ballast.model.exact.inventory import Book as InventoryBook
from ballast.model.exact.inventory import Market
from ballast.model.exact.option_book import LOT
from ballast.model.exact.option_engine import OptionParams
from ballast.model.exact.oracle import Market as OracleMarket
from ballast.model.exact.perps import (
    BASE_UNIT,
    BORROW_UNIT,
    CARRY_UNIT,
    FUNDING_UNIT,
    SIZE_UNIT,
    Book,
    Config,
    Position,
)
from ballast.model.exact.potential import Sums
from ballast.model.exact.structs import Buckets, MarketParams
from ballast.model.exact.vault import ESCROW, NO_RECORD, NO_TICKET, Index, Pool, Record, Ticket
from ballast.model.exact.vault import Params as VaultParams

if TYPE_CHECKING:
    from ballast.fuzz.world import World

U8, U16, U24, U32, U40, U48, U56, U63, U64, U72, U80, U92, U96, U128 = (
    2**bits - 1 for bits in (8, 16, 24, 32, 40, 48, 56, 63, 64, 72, 80, 92, 96, 128)
)


@dataclass(slots=True, eq=False)
class Cell:
    """Words of one contract that make one value, and where the twin keeps the same."""

    name: str
    contract: Contract
    slots: tuple[int, ...]
    decode: Callable[..., Any]
    twin: Callable[[], Any]
    owner: str = ""  # actor whose words they are, "" for everybody's
    value: Any = None
    first: int = 0  # place of its words among all words


class Storage:
    """The cells of a world, up to date as of the last `refresh`."""

    def __init__(self, world: World) -> None:
        self._chain = world.chain
        self._vault = world.system.vault
        self.cells: list[Cell] = []
        self._everybodys: list[Cell] = []
        self._of: dict[str, list[Cell]] = defaultdict(list)
        self._places: list[tuple[str, int]] = []
        self._owners: list[Cell] = []
        for cell in _cells(world):
            first = len(self._places)
            self.cells.append(cell)
            (self._of[cell.owner] if cell.owner else self._everybodys).append(cell)
            self._places += [(cell.contract.address, slot) for slot in cell.slots]
            self._owners += [cell] * len(cell.slots)
            cell.first = first
        self._words = [-1] * len(self._places)
        token = load(world.setup.token)
        path = ("erc20", "balanceOf") if "erc20" in token.layout["storage_layout"] else ("balanceOf",)
        slot = hashed(slot_in(token, *path), world.system.clearinghouse.address)
        self._held = world.system.quote.address, slot
        self.refresh()

    def refresh(self) -> set[Cell]:
        """Read everything again; the cells that have changed."""
        words = self._chain.words(self._places)
        changed = set(compress(self._owners, map(ne, words, self._words)))
        self._words = words
        for cell in changed:
            cell.value = cell.decode(*words[cell.first : cell.first + len(cell.slots)])
        return changed

    def concerning(self, actors: Iterable[str], changed: Iterable[Cell]) -> list[Cell]:
        """Cells that belong to nobody or to one of these actors, and those that have changed."""
        return [*self._everybodys, *(cell for name in actors for cell in self._of.get(name, ())), *changed]

    def held(self) -> int:
        """Token units that the Clearinghouse has."""
        return self._chain.words([self._held])[0]

    def entries(self, contract: Contract, path: tuple[str, ...], keys: Sequence[tuple[str, ...]]) -> list[int]:
        """Words of a HashMap by key, of nested ones by keys."""
        slot = slot_of(contract, *path)
        return self._chain.words([(contract.address, reduce(hashed, key, slot)) for key in keys])

    def index(self, step: int) -> Index:
        """The vault's running product and assets at a step: written once, never again."""
        slots = [hashed(slot_of(self._vault, "epochs", name), step) for name in ("_index_products", "_index_assets")]
        product, assets = self._chain.words([(self._vault.address, slot) for slot in slots])
        return Index(product & (2**192 - 1), product >> 192, assets)


def slot_of(contract: Contract, *path: str) -> int:
    """The slot of a storage variable, by the names of its module and itself."""
    return slot_in(contract.artifact, *path)


def slot_in(artifact: Artifact, *path: str) -> int:
    """`slot_of` in what is yet to be deployed."""
    layout: Any = artifact.layout["storage_layout"]
    for name in path:
        layout = layout[name]
    return int(layout["slot"])


@lru_cache(maxsize=1 << 14)
def hashed(slot: int, key: str | int) -> int:
    """Where Vyper keeps the entry of a HashMap at `slot`; the key is an address or a number."""
    number = int(key, 16) if isinstance(key, str) else key
    return int.from_bytes(keccak(slot.to_bytes(32, "big") + number.to_bytes(32, "big")), "big")


def _cells(w: World) -> Iterator[Cell]:
    system = w.system
    yield from _of_everybody(w)
    for market in range(len(system.markets)):
        yield from _of_market(w, market)
    for venue in range(len(w.manager.venues)):
        yield from _of_venue(w, venue)
    for actor, address in w.actors.items():
        yield from _of_actor(w, actor, address)
    if w.desk is not None:
        desk = w.desk.account
        cash = hashed(slot_of(system.clearinghouse, "ledger", "accounts"), desk)
        yield Cell(
            "cash of the desk", system.clearinghouse, (cash,), _account, lambda: w.twin.clearinghouse.account(desk)
        )
    shares = hashed(slot_of(system.vault, "erc20", "balanceOf"), system.vault.address)
    yield Cell("shares in escrow", system.vault, (shares,), int, lambda: w.vault.balances.get(ESCROW, 0))


def _of_everybody(w: World) -> Iterator[Cell]:
    ledger, inventory, vault = w.system.clearinghouse, w.system.inventory, w.system.vault
    words = "vault_word", "backing_word", "claims", "total_units", "payables"
    buckets = tuple(slot_of(ledger, "ledger", word) for word in words)
    yield Cell("buckets", ledger, buckets, _buckets, lambda: w.twin.clearinghouse.buckets())
    names = ["insurance_share_bps", "liquidator_share_bps", "lp_share_bps"]
    shares = tuple(slot_of(ledger, name) for name in names)
    yield Cell(
        "fee shares", ledger, shares, _numbers,
        lambda: tuple(getattr(w.twin.clearinghouse, name) for name in names),
    )  # fmt: skip
    sums_of = ["_sum_delta", "_sum_capital", "_sum_value", "_sum_block", "_auction_low"]
    if w.setup.desk or w.setup.options:
        sums_of.append("_sum_greeks")
    sums = tuple(slot_of(inventory, "exposure", name) for name in sums_of)
    yield Cell("inventory", inventory, sums, _inventory_book, lambda: w.inventory.book)
    auction = tuple(slot_of(w.system.auction, name) for name in ("_params_word", "_state_word"))
    yield Cell("auction", w.system.auction, auction, _auction, lambda: _twin_auction(w))
    yield Cell("supply", vault, (slot_of(vault, "erc20", "totalSupply"),), int, lambda: w.vault.supply)
    yield Cell("pool", vault, (slot_of(vault, "epochs", "_pool"),), _pool, lambda: w.vault.epochs.pool)
    yield Cell("incoming", vault, (slot_of(vault, "epochs", "_incoming"),), int, lambda: w.vault.epochs.incoming)
    params = slot_of(vault, "_params_word")
    yield Cell("vault parameters", vault, (params,), _vault_params, lambda: (w.vault.params, w.vault.paused))


def _of_market(w: World, i: int) -> Iterator[Cell]:
    inventory, engine, oracle = w.system.inventory, w.system.perp_engine, w.system.oracle
    exposure: tuple[int, ...] = (hashed(slot_of(inventory, "exposure", "_market"), i),)
    if w.setup.desk or w.setup.options:
        exposure += tuple(hashed(slot_of(inventory, "exposure", name), i) for name in ("_greeks", "_stress"))
    yield Cell(f"inventory market {i}", inventory, exposure, _market, lambda: w.inventory.markets[i])
    if w.desk is not None:
        yield _of_desk(w, w.contracts["desk"], i)
    book = slot_of(engine, "funding", "words_a") + i, slot_of(engine, "funding", "words_b") + i
    yield Cell(f"perp book {i}", engine, book, _book, lambda: w.twin.perp_engine.book(i))
    config = slot_of(engine, "markets", "words") + i
    yield Cell(f"perp market {i}", engine, (config,), _config, lambda: w.twin.perp_engine.config(i))
    words = tuple(slot_of(oracle, name) + i for name in ("_configs", "_rounds", "_estimates"))
    yield Cell(f"round {i}", oracle, words, _round, lambda: _recorded(w.twin.oracle.markets[i]))
    yield from _of_options(w, i)
    width = slot_of(oracle, "_half_widths") + i
    yield Cell(f"half-width {i}", oracle, (width,), int, lambda: w.twin.oracle.markets[i].half_width)
    halt = slot_of(oracle, "_halted_at") + i
    yield Cell(f"halt {i}", oracle, (halt,), int, lambda: w.twin.oracle.markets[i].halted_at)


def _of_desk(w: World, engine: Contract, i: int) -> Cell:
    def held() -> tuple[int, int]:
        assert w.desk is not None
        held = w.desk.of(i)
        return held.exposure.delta, held.settled_at

    slots = tuple(hashed(slot_of(engine, name), i) for name in ("delta", "settled_at"))
    return Cell(f"desk in market {i}", engine, slots, lambda delta, price: (_signed(delta, 256), price), held)


def _of_options(w: World, i: int) -> Iterator[Cell]:
    """What boards have in common; the boards themselves are read by views (options.py)."""
    book, engine = w.system.option_book, w.system.option_engine
    common = slot_of(book, "boards", "_live") + i, slot_of(book, "boards", "_open") + i

    def of_book() -> tuple[tuple[int, ...], int, int]:
        return w.book.live_word(i), w.book.interest.get(i, 0), w.book.unsettled.get(i, 0)

    yield Cell(f"boards {i}", book, common, _boards, of_book)
    words = slot_of(engine, "parameters", "limits") + i, slot_of(engine, "parameters", "rules") + i
    yield Cell(f"options {i}", engine, words, _rules, lambda: (w.options.configs[i], i in w.options.paused))


def _of_venue(w: World, i: int) -> Iterator[Cell]:
    manager = w.system.hedge_manager
    state = slot_of(manager, "_positions") + i, slot_of(manager, "_trails") + i
    yield Cell(f"venue {i}", manager, state, _venue_state, lambda: w.manager.venues[i].state)
    listing = slot_of(manager, "_listings") + i
    yield Cell(f"listing of venue {i}", manager, (listing,), _listing, lambda: _listed(w.manager.venues[i]))


def _of_actor(w: World, name: str, owner: str) -> Iterator[Cell]:
    ledger, vault = w.system.clearinghouse, w.system.vault
    account = hashed(slot_of(ledger, "ledger", "accounts"), owner)
    yield Cell(f"cash of {name}", ledger, (account,), _account, lambda: w.twin.clearinghouse.account(owner), name)
    for i in range(len(w.system.markets)):
        yield _of_position(w, name, owner, i)
    shares = hashed(slot_of(vault, "erc20", "balanceOf"), owner)
    yield Cell(f"shares of {name}", vault, (shares,), int, lambda: w.vault.balances.get(owner, 0), name)
    record = hashed(slot_of(vault, "epochs", "_records"), owner)
    slots = record, record + 1, record + 2
    yield Cell(f"requests of {name}", vault, slots, _record, lambda: w.vault.epochs.records.get(owner, NO_RECORD), name)


def _of_position(w: World, name: str, owner: str, i: int) -> Cell:
    engine = w.system.perp_engine
    word = hashed(slot_of(engine, "positions", "words"), owner) + i
    return Cell(
        f"position {i} of {name}", engine, (word,), _position, lambda: w.twin.perp_engine.position(owner, i), name
    )


# ---- decoders, one per layout


def _numbers(*words: int) -> tuple[int, ...]:
    return words


def _signed(word: int, bits: int) -> int:
    """The low `bits` of a word, two's complement."""
    word &= (1 << bits) - 1
    return word - (1 << bits) if word >> (bits - 1) else word


def _buckets(vault: int, backing: int, claims: int, total_units: int, payables: int) -> Buckets:
    return Buckets(
        _signed(vault >> 160, 96), (vault >> 64) & U96, (vault & U64 >> 1) * MICRO, backing >> 128, backing & U128,
        claims, total_units, _signed(payables, 256),
    )  # fmt: skip


def _account(word: int) -> tuple[int, int]:
    return _signed(word >> 128, 128), word & U128


def _auction(params: int, state: int) -> tuple[int, ...]:
    return (
        params >> 112, (params >> 96) & U16, (params >> 64) & U32, params & U64,
        state >> 128, (state >> 64) & U64, state & U64,
    )  # fmt: skip


def _twin_auction(w: World) -> tuple[int, ...]:
    assert w.twin.auction is not None
    auction, p = w.twin.auction, w.twin.auction.params
    return p.band, p.max_rate_bps, p.ramp, p.budget, auction.since, auction.used, auction.used_at


def _inventory_book(delta: int, capital: int, value: int, block: int, auction_low: int, *greeks: int) -> InventoryBook:
    """The word of options means nothing while no market has any; it is not read where no engine trades any. Nor does
    that of the auction while none is open."""
    sums = Sums(a=(delta >> 128) - 2**127, p=delta & U128) if delta else Sums()
    if block & U16:
        (word,) = greeks
        sums.b, sums.g = (((word >> at & U64) - 2**63) * MICRO for at in (192, 128))
        sums.gg = word & U128
    return InventoryBook(
        sums=sums,
        loss=capital >> 184,
        capital=(capital >> 112) & U72,
        equity=(capital >> 40) & U72,
        opened_at=capital & U32,
        value=(value >> 128) - 2**127 if value else 0,
        low_prev=(value >> 64) & U64,
        low=value & U64,
        opening=block >> 200,
        last=(block >> 144) & U56,
        coverage=(block >> 114) & (2**30 - 1),
        paid=bool(block >> 113 & 1),
        changed=(block >> 112) & 1 == 1,
        window_at=(block >> 80) & U32,
        swept_at=(block >> 48) & U32,
        pending=(block >> 32) & U16,
        active=(block >> 16) & U16,
        optioned=block & U16,
        auction_low=auction_low if capital >> 32 & 1 else 0,
    )


def _market(word: int, *options: int) -> Market:
    """The two words of options mean nothing without the lowest bit; they are not read where no engine trades any."""
    market = Market((word >> 160) - 2**95, (word >> 64) & U96, (word & U64) >> 1) if word else Market()
    if word & 1:
        greeks, stress = options
        market.vega, market.gamma = (greeks >> 128) - 2**127, (greeks & U128) - 2**127
        market.stress = [_signed(stress >> 32 * i, 32) for i in range(8)]
        market.optioned = True
    return market


def _book(a: int, b: int) -> Book:
    return Book(
        long=a >> 164,
        short=(a >> 72) & U92,
        time=(a >> 40) & U32,
        funding_rate=_signed(a >> 16, 24) * FUNDING_UNIT,
        borrow_rate=(a & U16) * BORROW_UNIT,
        claims=_signed(b >> 112, 144),
        index_long=_signed(b >> 56, 56),
        index_short=_signed(b, 56),
    )


def _position(word: int) -> Position:
    return Position(_signed(word >> 160, 96), _signed(word >> 64, 96), _signed(word >> 8, 56))


def _config(word: int) -> Config:
    params = MarketParams(
        word >> 240, (word >> 224) & U16, (word >> 208) & U16, (word >> 192) & U16, ((word >> 128) & U64) * BASE_UNIT,
        ((word >> 64) & U64) * MICRO, ((word >> 16) & U48) * SIZE_UNIT,
    )  # fmt: skip
    return Config(params, listed=word & 1 == 1, paused=word & 2 == 2, carry=_signed(word >> 2, 14) * CARRY_UNIT)


def _round(config: int, mark: int, estimate: int) -> tuple[object, ...]:
    """Price, round id, its time and the previous one's, variances, sigma, and whether the market is halted."""
    return (
        mark & U96, (mark >> 96) & U80, (mark >> 176) & U40, mark >> 216, estimate & U96, (estimate >> 96) & U96,
        config >> 192, (config >> 185) & 1 == 1,
    )  # fmt: skip


def _recorded(market: OracleMarket) -> tuple[object, ...]:
    """What `_round` decodes, as the twin has it."""
    mark, estimate = market.mark, market.estimate
    return (
        mark.price, mark.round_id, mark.updated_at, mark.prev_updated_at, estimate.fast_24, estimate.slow_24,
        estimate.sigma, market.halted,
    )  # fmt: skip


def _boards(live: int, open_: int) -> tuple[tuple[int, ...], int, int]:
    """Day numbers from the lowest bits, open interest, positions that wait to be paid out."""
    return tuple(day for at in range(16) if (day := (live >> 16 * at) & U16)), open_ & U64, open_ >> 64


def _rules(limits: int, rules: int) -> tuple[OptionParams, bool]:
    """With whether the market is paused."""
    sizes = (((limits >> at) & U64) * LOT for at in (192, 128, 64, 0))
    shares = ((rules >> at) & U16 for at in (66, 50, 34, 18, 2))
    fields = (*sizes, (rules >> 82) & U24, *shares, (rules >> 130) * MICRO, (rules >> 106) & U24)
    return OptionParams(*fields), rules & 2 == 2


def _venue_state(position: int, trail: int) -> VenueState:
    return VenueState(_signed(position >> 128, 128), position & U128, trail >> 128, (trail >> 48) & U80, trail & U48)


def _listing(word: int) -> tuple[object, ...]:
    """Haircut, market, whether the venue is paused, whether it is retired."""
    return word >> 170, (word >> 2) & U8, word & 2 == 2, word & 1 == 1


def _listed(venue: Venue) -> tuple[object, ...]:
    """What `_listing` decodes, as the twin has it."""
    return venue.params.haircut_bps, venue.market, venue.paused, venue.retired


def _pool(word: int) -> Pool:
    return Pool(word & U128, (word >> 128) & U32, (word >> 160) & U32, word >> 192)


def _vault_params(word: int) -> tuple[VaultParams, bool]:
    """With whether deposits are paused."""
    return VaultParams(word & U128, (word >> 128) & U64, (word >> 192) & U32), word >> 224 != 0


def _ticket(word: int) -> Ticket:
    return Ticket(word & U128, (word >> 128) & U32, (word >> 160) & U32)


def _record(settled: int, late: int, claim: int) -> Record:
    return Record(_ticket(settled), _ticket(late) if settled >> 192 else NO_TICKET, claim & U128, claim >> 128)
