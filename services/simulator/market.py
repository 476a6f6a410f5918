"""Who acts from outside: buyers, a payment gateway, sellers, a carrier, a warehouse, all by lot.

They hear every fact, answer as their order's lot says, and aim at the instants where rules meet:
a hold's end, a ship-by date, the end of a window, to the millisecond before and after.
"""

from collections.abc import Collection
from random import Random
from typing import NamedTuple

from pydantic_core import from_json

from services.simulator.conducts import CONDUCTS
from services.simulator.corrections import CORRECTIONS
from services.simulator.lots import Lot, Move
from services.simulator.system import System
from services.simulator.topics import MemoryRecord
from services.simulator.troubles import BLOCKS, TROUBLES
from shared.clock import from_ms, to_ms
from shared.decode import partition_of
from shared.events.envelope import Fact, encode
from shared.events.topics import PUBLISHED, TOPIC_OF
from shared.events.warehouse import StockAdjusted, StockSet, stock_subject
from shared.retention import DAY_MS

SELLERS, SKUS = ("S1", "S2"), ("ATLAS", "BELL", "CUP")
REPEAT_MS = (3, 60_000, 2 * DAY_MS)
"""How much later an event comes again at most."""
BEGINS_MS = (0, 40_000, 40_000, 40_000, 4_000_000)
"""How long after the first counts an order is placed at most: some come before their stock does."""
FIRST_COUNTS, PLENTY = (0, 1, 2, 4, 9), 40
"""Units on hand at first: in half of all runs there is enough for everybody."""
WITH_A_DESK = 0.5
"""Of all runs, those in which somebody can be asked to correct an address, or to tell again."""
POISON = (b"", b"no JSON", b'{"id":"1"}', b'{"specversion":"1.0"}', b"\xff\xfe")


class Acknowledged(NamedTuple):
    """An event that a producer knows to be on its topic."""

    topic: str
    subject: str
    id: str


class Market:
    """All who act; `orders` are the numbers of those that are placed."""

    def __init__(self, system: System, seed: int, orders: Collection[int]) -> None:
        self.acknowledged: list[Acknowledged] = []
        self._desk = Random(f"orderflow {seed} desk").random() < WITH_A_DESK
        self.lots = {n: self._lot(system, seed, n) for n in orders}
        self._system = system
        self._blocks = Random(f"orderflow {seed} blocks")
        self._random = Random(f"orderflow {seed} market")
        self._by_id = {lot.order_id: lot for lot in self.lots.values()}
        self._plenty = self._random.random() < 0.5
        self._heard: set[str] = set()
        self._said = 0
        self._published = {topic.name for topic in PUBLISHED}

    def open(self) -> None:
        """Fill the shelves, and let everybody begin."""
        self._system.topics.heard.append(self._hear)
        if self._system.provider is not None:
            self._system.provider.tell = lambda order_id, fact: self._say(fact, order_id)
        for seller in SELLERS:
            for sku in SKUS:
                self._supply(seller, sku)
        for lot in self.lots.values():
            begins_ms = self._random.randint(0, self._random.choice(BEGINS_MS))
            for move in lot.begins(from_ms(self._system.now_ms() + begins_ms)):
                self._plan(lot, move)

        self._block()

    def _lot(self, system: System, seed: int, nth: int) -> Lot:
        """An order's lot. What goes wrong with it and what is put right are drawn apart: all
        others' lots stay what they were.
        """
        random, apart, clerk = (
            Random(f"orderflow {seed} {what} {nth}") for what in ("order", "trouble", "correction")
        )
        corrected = clerk.choice(CORRECTIONS) if self._desk else {}
        if system.provider is None:
            return Lot(nth, random, apart.choice(TROUBLES), corrected)
        lot = Lot(nth, random, corrected, called=True)
        system.provider.conducts[lot.order_id] = apart.choice(CONDUCTS)
        return lot

    def _block(self) -> None:
        """In some runs a buyer or a card is blocked for a time, or for good."""
        for at_ms, fact in self._blocks.choice(BLOCKS):
            later_s = self._blocks.randint(*at_ms) / 1000
            self._system.later(later_s, self._say, fact, fact.about().subject)

    def _supply(self, seller: str, sku: str) -> None:
        """A count first; then units come and go, or are counted anew."""
        random, subject = self._random, stock_subject(seller, sku)
        first = PLENTY if self._plenty else random.choice(FIRST_COUNTS)
        self._say(StockSet(seller_id=seller, sku=sku, on_hand=first), subject)
        for _ in range(random.choice((0, 0, 1, 3))):
            later_s = random.randint(0, random.choice((2_000, 5 * DAY_MS))) / 1000
            change = StockAdjusted(seller_id=seller, sku=sku, change=random.randint(-2, 3) or 1)
            count = StockSet(seller_id=seller, sku=sku, on_hand=random.randint(0, 9))
            self._system.later(later_s, self._say, random.choice((change, count)), subject)

    def _hear(self, record: MemoryRecord) -> None:
        """A fact is published: whose order it is about answers; its repeats say nothing new."""
        if record.topic not in self._published:
            return
        event = from_json(record.value or b"")
        lot = self._by_id.get(event["subject"])
        if lot is None or event["id"] in self._heard:
            return
        self._heard.add(event["id"])
        for move in lot.answers(event, from_ms(self._system.now_ms())):
            self._plan(lot, move)

    def _plan(self, lot: Lot, move: Move) -> None:
        after_s = max((to_ms(move.at) - self._system.now_ms()) / 1000, 0.0)
        self._system.later(after_s, self._make, lot, move)

    def _make(self, lot: Lot, move: Move) -> None:
        fact = move.make(lot, from_ms(self._system.now_ms()))
        self._say(fact, lot.order_id, late_ms=move.late_ms)

    def _say(self, fact: Fact, subject: str, *, late_ms: int = 0) -> None:
        """An event comes once, or again; on its partition, or on another one; poison with it."""
        random, now_ms = self._random, self._system.now_ms()
        self._said += 1
        topic, id_ = TOPIC_OF[type(fact)], f"said-{self._said}"
        time = from_ms(now_ms - late_ms)
        value = encode(fact, id_=id_, source="market", subject=subject, time=time)
        for _ in range(random.choice((0, 0, 0, 1, 2))):
            self._system.later(
                random.randint(0, random.choice(REPEAT_MS)) / 1000,
                self._append, topic.name, subject, value,
            )  # fmt: skip
        self._append(topic.name, subject, value)
        self.acknowledged.append(Acknowledged(topic.name, subject, id_))

    def _append(self, topic: str, subject: str, value: bytes) -> None:
        random, topics = self._random, self._system.topics
        partition = partition_of(subject, topics.partitions)
        if random.random() < 0.03:
            partition = random.randrange(topics.partitions)
        if random.random() < 0.03:
            topics.append(topic, partition, subject.encode(), random.choice(POISON))
        topics.append(topic, partition, subject.encode(), value)
        if random.random() < 0.05:
            topics.append_control_record(topic, partition)
