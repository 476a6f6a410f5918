"""P1 and P3 through workers that are lost: what was asked and never decided moves nothing twice.

One partition's task in memory: it asks a real Redis about a batch, decides it, and commits it or is
lost before. Its successor may read the topics in another interleaving, and zombies ask once more
about what they had in hand. Fulfillment answers what was committed, as it would.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from random import Random
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from pydantic_core import from_json
from redis import Redis

from services.cli.redis_server import RedisServer
from services.inventory.app import build
from services.inventory.state import OrderStock
from services.inventory.store import ask
from shared.batch import Desk, Input, Outgoing, StoredRecord
from shared.documents import Document
from shared.events.envelope import Event, Fact
from shared.events.fulfillment import FULFILLMENT_EVENTS
from shared.events.inventory import (
    STOCK_LEVELS,
    StockRefused,
    StockRejected,
    StockReleased,
    StockReserved,
    StockShipped,
)
from shared.events.parking import EventDecided
from shared.events.storefront import ORDERS
from shared.events.warehouse import STOCK, stock_subject
from shared.policy import Policies
from shared.service import Received
from tests.support.stock import (
    NOON,
    adjusted,
    canceled,
    confirmed,
    counted,
    damaged,
    event,
    open_units_canceled,
    order_exists,
    placed,
    reorder_asked,
    restocked,
    returned,
    tell,
)

SKUS = ("A", "B")
PLANS = ("stay", "cancel early", "cancel", "no inventory", "ship", "ship in parts", "return")


@pytest.fixture(scope="module")
def redis(redis_server: RedisServer) -> Iterator[Redis]:
    with Redis.from_url(redis_server.redis_url) as client:
        yield client


class World:
    """The topics, what the task committed, and what it published."""

    def __init__(self, redis: Redis, random: Random) -> None:
        self.redis = redis
        self.random = random
        self.seller, self.rival = (f"SELLER-{uuid4().hex[:12]}" for _ in range(2))
        self.logs: dict[str, list[Event[Any]]] = {
            topic.name: [] for topic in (ORDERS, STOCK, FULFILLMENT_EVENTS)
        }
        self.positions = Counter(dict.fromkeys(self.logs, 0))
        self.documents: dict[str, Document[OrderStock]] = {}
        self.published: list[Mapping[str, Any]] = []
        self.asked: list[Event[Any]] = []
        self.plans: dict[str, str] = {}
        self.units: dict[str, Counter[str]] = {}
        self._versions: Counter[str] = Counter()
        self._desk = Desk(build(), Policies(), partition=0, partitions=1)
        self._supply()
        for n in range(random.randint(1, 5)):
            self._buy(f"902-{n}")

    def _supply(self) -> None:
        for seller in (self.seller, self.rival):
            for sku in SKUS:
                on_hand = self.random.randint(0, 6)
                self._log(STOCK.name, event(counted(sku, on_hand, seller_id=seller)))
                change = self.random.randint(-2, 3)
                self._log(STOCK.name, event(adjusted(sku, change, seller_id=seller)))
                self._log(STOCK.name, event(restocked(sku, 1, seller_id=seller)))
                self._log(STOCK.name, event(damaged(sku, 2, seller_id=seller)))

    def _buy(self, order_id: str) -> None:
        skus = self.random.sample(SKUS, self.random.randint(1, 2))
        lines = [(sku, self.random.randint(1, 3)) for sku in skus]
        self.units[order_id] = Counter(dict(lines))
        self.plans[order_id] = self.random.choice(PLANS)
        for seller in self.random.choice(
            [[self.seller], [self.seller] * 2, [self.seller, self.rival]]
        ):
            order = placed(*lines, order_id=order_id, seller_id=seller)
            self._log(ORDERS.name, event(order))
            if seller == self.rival:
                self._tell(order_id, order_exists(self.rival))
        if self.plans[order_id] == "cancel early":
            self._tell(order_id, canceled(seller_id=self.seller))

    def _tell(self, order_id: str, *facts: Fact) -> None:
        """Facts of fulfillment, each perhaps published twice."""
        for fact in facts:
            self._versions[order_id] += 1
            said = event(fact, subject=order_id, version=self._versions[order_id])
            for _ in range(self.random.choice([1, 1, 2])):
                self._log(FULFILLMENT_EVENTS.name, said)

    def _log(self, topic: str, said: Event[Any]) -> None:
        self.logs[topic].append(said)

    # -- the task -----------------------------------------------------------------------------

    @property
    def rest(self) -> list[str]:
        return [name for name, log in self.logs.items() if self.positions[name] < len(log)]

    def turn(self, *, lost: bool) -> None:
        """One batch, in some interleaving of the topics; a lost worker does not commit it."""
        positions, inputs = self.positions.copy(), []
        for _ in range(self.random.randint(1, 6)):
            if self.asked and self.random.random() < 0.2:
                tell(self.redis, self.random.choice(self.asked))
            names = [name for name in self.logs if positions[name] < len(self.logs[name])]
            if names:
                name = self.random.choice(names)
                inputs.append(self._ask(name, positions[name]))
                positions[name] += 1
        subjects = {item.received.event.subject for item in inputs}
        documents = {s: self.documents.get(s, Document(s)) for s in subjects}
        decided = self._desk.decide(inputs, documents, lambda _: inputs[0])
        assert not decided.dead, decided.dead[0].detail
        if not lost:
            self.positions = positions
            self.documents |= decided.after
            for fact in decided.outgoing:
                self._publish(fact)

    def _ask(self, topic: str, offset: int) -> Input:
        said = self.logs[topic][offset]
        answer = None
        if ask(said, Policies()) is not None:
            answer = tell(self.redis, said)
            self.asked.append(said)
        record = StoredRecord(topic, 0, offset, 0, said.subject.encode(), None, ())
        publisher = "fulfillment" if topic == FULFILLMENT_EVENTS.name else None
        return Input(Received(said, NOON, (answer,), publisher), record)

    def _publish(self, fact: Outgoing) -> None:
        said = {"topic": fact.topic, **from_json(fact.value)}
        self.published.append(said)
        order_id = said["subject"]
        if said["type"] == StockRejected.TYPE and self.plans[order_id] != "cancel early":
            self._tell(order_id, canceled(seller_id=self.seller))
        elif said["type"] == StockReserved.TYPE:
            self._tell(order_id, *self._story(order_id))

    def _story(self, order_id: str) -> list[Fact]:
        """What fulfillment makes of a reserved order."""
        seller, units = self.seller, self.units[order_id]
        first = next(iter(units))
        stories: dict[str, list[Fact]] = {
            "cancel": [canceled(seller_id=seller), reorder_asked(units, seller_id=seller)],
            "no inventory": [canceled("NoInventory", seller_id=seller)],
            "ship": [confirmed(units, seller_id=seller)],
            "ship in parts": [
                confirmed(units, seller_id=seller),
                confirmed({first: -1}, seller_id=seller),
                open_units_canceled(seller),
            ],
            "return": [
                confirmed(units, seller_id=seller),
                returned({first: 1}, seller_id=seller),
                returned({}, units - Counter({first: 1}), seller_id=seller),
            ],
        }
        return stories.get(self.plans[order_id], [])

    # -- the books ----------------------------------------------------------------------------

    def held_by_facts(self) -> dict[str, Counter[str]]:
        """What the journal says that each order holds."""
        held: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for said in self.published:
            data, order = said["data"], held[said["subject"]]
            match said["type"]:
                case StockReserved.TYPE:
                    order.update({u["sku"]: u["quantity"] for u in data["units"]})
                case StockReleased.TYPE:
                    order.subtract({u["sku"]: u["quantity"] for u in data["units"]})
                case StockShipped.TYPE:
                    order.subtract({u["sku"]: u["change"] for u in data["changes"]})
        return {order_id: +units for order_id, units in held.items() if +units}

    def held_by_entries(self) -> dict[str, Counter[str]]:
        stored = {
            order_id: from_json(
                self.redis.hget(f"{{stock:{self.seller}}}:order:{order_id}", "held") or b"{}"
            )
            for order_id in self.units
        }
        return {order_id: Counter(units) for order_id, units in stored.items() if units}

    def levels(self, seller: str) -> dict[str, list[int]]:
        """On hand, reserved, version, per subject."""
        stored: Any = self.redis.hgetall(f"{{stock:{seller}}}:levels")
        return {
            stock_subject(seller, sku.decode()): [int(n) for n in level.split()]
            for sku, level in stored.items()
        }

    def levels_by_facts(self) -> dict[str, list[int]]:
        told: dict[str, list[int]] = {}
        for said in self.published:
            if said["topic"] == STOCK_LEVELS.name and said["type"] != StockRefused.TYPE:
                data = said["data"]
                level = [data["on_hand"], data["reserved"], data["level_version"]]
                told[said["subject"]] = max(told.get(said["subject"], level), level, key=_version)
        return told


def _version(level: list[int]) -> int:
    return level[2]


@settings(max_examples=100, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(st.integers(0, 2**32 - 1))
def test_p1_lost_workers_and_zombies_leave_stock_orders_and_facts_in_step(
    redis: Redis, seed: int
) -> None:
    random = Random(seed)
    world = World(redis, random)
    for _ in range(20):
        world.turn(lost=random.random() < 0.5)
    while world.rest:
        world.turn(lost=False)
    for said in world.asked:
        tell(redis, said)

    by_id = {said["id"]: said for said in world.published}
    assert all(said == by_id[said["id"]] for said in world.published)
    versions = Counter(
        (said["topic"], said["subject"], said["subjectversion"])
        for said in by_id.values()
        if said["type"] not in (StockRefused.TYPE, EventDecided.TYPE)
    )
    assert set(versions.values()) == {1}
    levels = world.levels(world.seller) | world.levels(world.rival)
    assert world.levels_by_facts() == levels
    for subject, (_, _, version) in levels.items():
        for n in range(1, version + 1):
            assert (STOCK_LEVELS.name, subject, n) in versions
    held = {
        order_id: Counter({line.sku: line.quantity for line in document.state.held})
        for order_id, document in world.documents.items()
        if document.state and document.state.held
    }
    assert world.held_by_facts() == world.held_by_entries() == held
    reserved: Counter[str] = sum(held.values(), Counter())
    for sku in SKUS:
        on_hand, of_seller, _ = levels[stock_subject(world.seller, sku)]
        assert of_seller == reserved[sku] <= on_hand
        assert levels[stock_subject(world.rival, sku)][1] == 0
