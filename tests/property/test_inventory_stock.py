"""P1 and R1: whatever is told to the stock, in whatever order and however often, its books balance.

The script on a real Redis against a plain model, call by call. What is told is drawn without any
regard to what makes sense: cancels before orders, old versions after new ones, packages of units
that nobody holds, returns of units that never left, one version that says two things.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import from_json
from redis import Redis

from services.cli.redis_server import RedisServer
from services.inventory.decisions import Answer, Outcome, Row
from services.inventory.store import ask
from services.simulator.memory_redis import MemoryRedis
from services.simulator.scripts import TWINS
from shared.events.envelope import Event, Fact
from shared.events.fulfillment import (
    OpenUnitsCanceled,
    OrderCanceled,
    PackageConfirmed,
    UnitsReturned,
)
from shared.events.storefront import OrderPlaced
from shared.events.warehouse import StockAdjusted, StockDamaged, StockFact, StockRestocked, StockSet
from shared.policy import Policies
from tests.support.stock import (
    adjusted,
    canceled,
    confirmed,
    counted,
    damaged,
    event,
    open_units_canceled,
    placed,
    restocked,
    returned,
    tell,
)

SKUS = ("A", "{B} b")
ORDERS = ("902-1", "902-2", "902-3")


@pytest.fixture(scope="module")
def redis(redis_server: RedisServer) -> Iterator[Redis]:
    with Redis.from_url(redis_server.redis_url) as client:
        yield client


@dataclass(frozen=True)
class Said:
    """Something told about `asker`, an order, or a stock command by its id.

    `version` is the fact's, or tells two placings of one order id apart.
    """

    data: Fact
    asker: str
    version: int = 0

    @property
    def question(self) -> tuple[str, str | int]:
        """What has one answer."""
        if isinstance(self.data, StockFact):
            return self.asker, self.data.sku
        return self.asker, "reserve" if isinstance(self.data, OrderPlaced) else self.version

    def by(self, seller: str) -> Event[Any]:
        data = self.data.model_copy(update={"seller_id": seller, "order_id": self.asker})
        if isinstance(data, StockFact):
            return event(data, id_=self.asker)
        if isinstance(data, OrderPlaced):
            return event(data, id_=f"placed-{self.version}")
        return event(data, subject=self.asker, version=self.version)


@dataclass
class Level:
    on_hand: int = 0
    reserved: int = 0
    version: int = 0


@dataclass
class Entry:
    held: Counter[str] = field(default_factory=Counter)
    shipped: Counter[str] = field(default_factory=Counter)
    applied: int = 0
    placed_by: int | None = None


@dataclass
class Model:
    """What the stock is to do, said plainly; it forgets nothing."""

    levels: dict[str, Level] = field(default_factory=dict)
    entries: dict[str, Entry] = field(default_factory=dict)
    answers: dict[tuple[str, str | int], Answer] = field(default_factory=dict)

    def tell(self, said: Said) -> Answer:
        entry = self.entries.setdefault(said.asker, Entry())
        if isinstance(said.data, OrderPlaced) and entry.placed_by not in (None, said.version):
            return Answer("taken")
        if said.question in self.answers:
            return self.answers[said.question]
        answer = self._first(said)
        if answer.outcome not in ("impossible", "passed"):
            self.answers[said.question] = answer
        return answer

    def _first(self, said: Said) -> Answer:
        entry = self.entries[said.asker]
        match said.data:
            case StockSet(sku=sku, on_hand=on_hand):
                return self._supply(sku, on_hand - self.level(sku).on_hand)
            case StockAdjusted(sku=sku, change=change):
                return self._supply(sku, change)
            case StockRestocked(sku=sku, units=units):
                return self._supply(sku, units)
            case StockDamaged(sku=sku, units=units):
                return self._supply(sku, -units)
            case OrderPlaced() as order:
                entry.placed_by = said.version
                return self._reserve(
                    entry, Counter({u.sku: u.quantity for u in order.units_by_sku()})
                )
        if said.version <= entry.applied:
            return Answer("passed")
        if isinstance(said.data, PackageConfirmed):
            answer = self._ship(entry, {u.sku: u.change for u in said.data.units_shipped})
        elif isinstance(said.data, UnitsReturned):
            answer = self._take_back(
                entry,
                Counter({u.sku: u.quantity for u in said.data.sellable}),
                Counter({u.sku: u.quantity for u in said.data.damaged}),
            )
        else:
            assert isinstance(said.data, OrderCanceled | OpenUnitsCanceled)
            code = said.data.cancellation.seller_reason_code
            answer = self._release(entry, written_off=code == "NoInventory")
            self.answers.setdefault((said.asker, "reserve"), Answer("closed"))
        if answer.outcome != "impossible":
            entry.applied = said.version
        return answer

    def level(self, sku: str) -> Level:
        return self.levels.setdefault(sku, Level())

    def _supply(self, sku: str, change: int) -> Answer:
        if self.level(sku).on_hand + change < self.level(sku).reserved:
            return Answer("below_reserved", (self._row(sku, change),))
        return self._moved("counted", {sku: (change, change, 0)})

    def _reserve(self, entry: Entry, units: Counter[str]) -> Answer:
        free = {sku: self.level(sku).on_hand - self.level(sku).reserved for sku in units}
        if lacking := sorted(sku for sku, n in units.items() if n > free[sku]):
            return Answer("rejected", tuple(self._row(sku, units[sku]) for sku in lacking))
        entry.held = units
        return self._moved("reserved", {sku: (n, 0, n) for sku, n in units.items()})

    def _release(self, entry: Entry, *, written_off: bool) -> Answer:
        held, entry.held = entry.held, Counter()
        return self._moved(
            "released", {sku: (n, -n if written_off else 0, -n) for sku, n in held.items()}
        )

    def _ship(self, entry: Entry, changes: dict[str, int]) -> Answer:
        if any(n > entry.held[sku] or entry.shipped[sku] + n < 0 for sku, n in changes.items()):
            return Answer("impossible")
        for sku, n in changes.items():
            entry.held[sku] -= n
            entry.shipped[sku] += n
        entry.held = +entry.held
        return self._moved("shipped", {sku: (n, -n, -n) for sku, n in changes.items()})

    def _take_back(self, entry: Entry, sellable: Counter[str], damaged: Counter[str]) -> Answer:
        if sellable + damaged - entry.shipped:
            return Answer("impossible")
        entry.shipped -= sellable + damaged
        return self._moved("returned", {sku: (n, n, 0) for sku, n in sellable.items()})

    def _moved(self, outcome: Outcome, moves: dict[str, tuple[int, int, int]]) -> Answer:
        rows = []
        for sku, (units, on_hand, reserved) in sorted(moves.items()):
            level = self.level(sku)
            had = level.on_hand - level.reserved
            level.on_hand += on_hand
            level.reserved += reserved
            level.version += 1
            depleted = had > 0 and level.on_hand == level.reserved
            rows.append(self._row(sku, units, on_hand, reserved, depleted=depleted))
        return Answer(outcome, tuple(rows))

    def _row(self, sku: str, units: int, *changes: int, depleted: bool = False) -> Row:
        level = self.level(sku)
        by = changes or (0, 0)
        return Row(sku, units, level.on_hand, level.reserved, level.version, depleted, *by)


skus = st.sampled_from(SKUS)
units = st.integers(1, 3)
orders = st.lists(st.tuples(skus, units), min_size=1, max_size=3).map(lambda those: placed(*those))
packages = st.dictionaries(skus, st.sampled_from([1, 2, -1]), min_size=1).map(confirmed)
cancels = st.sampled_from([canceled(), canceled("NoInventory"), open_units_canceled()])
some = st.dictionaries(skus, units, max_size=2)
returns = st.builds(returned, some, some)
supplies = (
    st.builds(counted, skus, st.integers(0, 9))
    | st.builds(adjusted, skus, st.integers(-3, 5))
    | st.builds(restocked, skus, units)
    | st.builds(damaged, skus, units)
)
KINDS: list[st.SearchStrategy[Fact]] = [
    orders,
    *[packages] * 4,
    *[returns] * 2,
    supplies,
    orders,
    cancels,
]


@st.composite
def stories(draw: st.DrawFn) -> list[Said]:
    """Counts to begin with, then anything; versions go up by and large, and much is said twice."""
    story = [Said(counted(sku, draw(st.integers(0, 9))), "opening") for sku in SKUS]
    for version in range(5, draw(st.integers(15, 35))):
        data = draw(draw(st.sampled_from(KINDS)))
        match data:
            case StockFact():
                story.append(Said(data, f"command-{version}"))
            case OrderPlaced():
                story.append(Said(data, draw(st.sampled_from(ORDERS)), version))
            case _:
                late = draw(st.sampled_from([0, 0, 0, 1, 4]))
                story.append(Said(data, draw(st.sampled_from(ORDERS)), version - late))
        if draw(st.integers(0, 3)) == 0:
            story.append(draw(st.sampled_from(story)))
    return story


@settings(max_examples=200)
@given(stories())
def test_p1_stock_follows_its_model_whatever_is_told_in_whatever_order(
    redis: Redis, story: list[Said]
) -> None:
    seller = f"SELLER-{uuid4().hex[:12]}"
    model = Model()
    supplied: Counter[str] = Counter()
    shipped: Counter[str] = Counter()
    back: Counter[str] = Counter()
    for each in story:
        again = each.question in model.answers
        expected, answer = model.tell(each), tell(redis, each.by(seller))

        assert answer.outcome == expected.outcome
        if answer.outcome != "impossible":
            assert answer == expected
        for row in () if again else answer.rows:
            supplied[row.sku] += row.units * (answer.outcome == "counted")
            shipped[row.sku] += row.units * (answer.outcome == "shipped")
            back[row.sku] += row.units * (answer.outcome == "returned")
        held: Counter[str] = sum((entry.held for entry in model.entries.values()), Counter())
        for sku, level in levels_of(redis, seller).items():
            assert level == model.level(sku)
            assert 0 <= level.reserved <= level.on_hand
            assert level.reserved == held[sku]
            there = supplied[sku] + back[sku]
            assert shipped[sku] + level.reserved <= there, "sold more than there ever was"


@settings(max_examples=200)
@given(stories())
def test_the_simulators_stock_script_answers_and_keeps_what_the_real_one_does(
    redis: Redis, story: list[Said]
) -> None:
    seller, twin = f"SELLER-{uuid4().hex[:12]}", Twin()
    for each in story:
        said = each.by(seller)

        assert twin.tell(said) == tell(redis, said)
        assert twin.kept(seller) == kept_by(redis.execute_command, seller)


class Twin:
    """The stock script of the simulator, on its Redis."""

    def __init__(self) -> None:
        self.redis = MemoryRedis(lambda: 0, TWINS)

    def tell(self, said: Event[Any]) -> Answer:
        question = ask(said, Policies())
        assert question is not None
        text, keys, args = question.script.text, question.keys, question.args
        answer: Answer = question.read(self.redis.execute("EVAL", text, len(keys), *keys, *args))
        return answer

    def kept(self, seller: str) -> dict[str, Any]:
        return kept_by(self.redis.execute, seller)


def kept_by(execute: Callable[..., Any], seller: str) -> dict[str, Any]:
    """Levels and entries, without the answers: rows of a real one are in no order."""
    found: dict[str, Any] = {"levels": _fields(execute("HGETALL", f"{{stock:{seller}}}:levels"))}
    for order_id in ORDERS:
        key = f"{{stock:{seller}}}:order:{order_id}"
        found[order_id] = {
            name: from_json(value) if value[:1] == b"{" else value
            for name, value in _fields(execute("HGETALL", key)).items()
            if name in (b"held", b"shipped", b"placed_by", b"applied")
        }
        found[order_id]["forgotten"] = execute("PTTL", key) > 0
    return found


def _fields(reply: Any) -> dict[bytes, bytes]:
    if isinstance(reply, dict):
        return reply
    return dict(zip(reply[::2], reply[1::2], strict=True))


def levels_of(redis: Redis, seller: str) -> dict[str, Level]:
    stored: Any = redis.hgetall(f"{{stock:{seller}}}:levels")
    return {sku.decode(): Level(*map(int, level.split())) for sku, level in stored.items()}
