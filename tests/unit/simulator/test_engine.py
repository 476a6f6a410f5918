"""The services in virtual time decide what they would decide on Kafka and Redis, and no more."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from services.deadlines import app as deadlines
from services.deadlines.decisions import Due
from services.fulfillment import app as fulfillment
from services.inventory import app as inventory
from services.inventory.decisions import Answer, Row
from services.payment import app as payment
from services.simulator.engine import Engine, Said
from services.simulator.history import PastOrder, read_mapping
from services.simulator.retold import Kind, retold
from services.simulator.stock import MemoryStock
from shared.events.deadlines import DeadlineReached
from shared.events.parking import EventDecided
from shared.events.warehouse import STOCK, StockSet, stock_subject
from shared.policy import Policies
from shared.service import Question, Received, Service
from tests.support.toy import NOON

REPO = Path(__file__).parents[3]
MAPPED = read_mapping(REPO / "services" / "cli" / "feed" / "olist.yaml")
SERVICES = [app.build() for app in (inventory, payment, fulfillment, deadlines)]


def said(kind: Kind, hours: int) -> Said:
    order = PastOrder(
        order_id="ORDER-9",
        status="delivered",
        purchased=NOON,
        approved=None,
        carrier=None,
        delivered=None,
        estimated=None,
    )
    at = NOON + timedelta(hours=hours)
    topic, fact = retold(order, kind, at, MAPPED)
    return Said(kind, fact.TYPE, "ORDER-9", at, fact, topic.name)


def counted(hours: int) -> Said:
    fact = StockSet(seller_id="S-9", sku="LAMP", on_hand=40)
    at = NOON + timedelta(hours=hours)
    return Said("counted", fact.TYPE, stock_subject("S-9", "LAMP"), at, fact, STOCK.name)


STORY = [
    said("placed", 0),
    said("approved", 1),
    counted(100),
    said("carrier", 200),
    said("delivered", 300),
]
"""An order that is late, comes all the same, and is archived; and stock that is counted."""


class CountedStock(MemoryStock):
    """One that is counted, too: what no history does."""

    def answer(self, question: Question) -> Answer:
        if question.args[0] == "set":
            return Answer("counted", (Row("LAMP", 40, 40, 0, 1, False, 40, 0),))
        return super().answer(question)


def told(services: Sequence[Service[Any]]) -> list[Sequence[Said]]:
    """What came of each decision."""
    decided: list[Sequence[Said]] = []
    engine = Engine(services, Policies(), CountedStock(), decided.append)
    engine.run(iter(STORY), lambda: ())
    return decided


def test_that_an_event_was_decided_is_said_only_where_no_other_fact_of_the_journal_says_so() -> (
    None
):
    journals = {service.name: service.journal.name for service in SERVICES}

    said_so = [
        sum(fact.topic == journals[str(fact.publisher)] for fact in facts)
        for facts in told(SERVICES)
        if any(isinstance(fact.data, EventDecided) for fact in facts)
    ]

    assert said_so
    assert set(said_so) == {1}


def test_a_deadline_that_is_armed_no_more_never_comes() -> None:
    came: Counter[type[Any]] = Counter()
    service = deadlines.build()

    def decide(state: Any, received: Received, policies: Policies) -> Any:
        came[type(received.event.data)] += 1
        return service.decide(state, received, policies)

    decided = told([*SERVICES[:-1], replace(service, decide=decide)])

    reached = sum(isinstance(fact.data, DeadlineReached) for facts in decided for fact in facts)
    assert came[Due] == reached > 0
