"""Decisions per second of one core: the services' own, in virtual time, without Kafka and Redis.

The life of orders as `orderflow whatif` runs it: 1 000 made up here, placed, paid, shipped days
later, delivered and archived. Then the decisions of each service alone, at a desk as in production:
with the facts encoded. Of several runs the quickest, as a machine is rarely alone.
"""

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from unittest.mock import patch

from services.cli.history_file import OLIST
from services.simulator import engine
from services.simulator.history import PastOrder, read_mapping
from services.simulator.whatif import run
from shared.batch import Desk, Input
from shared.documents import Document
from shared.events.parking import ParkedRecord
from shared.policy import Policy
from tests.bench.sizes import Sizes

ORDERS, RUNS = 1_000, 5
NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)


class Asked(NamedTuple):
    """What a desk was asked to decide, and on which document."""

    desk: Desk[Any]
    item: Input
    document: Document[Any]


_asked: list[Asked] = []


class _Recording(Desk[Any]):
    """A desk of the engine that writes down what it is asked."""

    def decide(self, inputs: Any, documents: Any, reread: Any) -> Any:
        (item,) = inputs
        _asked.append(Asked(self, item, documents[item.received.event.subject]))
        return super().decide(inputs, documents, reread)


def _made_up(nth: int) -> PastOrder:
    """Every tenth ships late."""
    at = NOON + timedelta(minutes=nth)
    ships = at + timedelta(days=9 if nth % 10 == 0 else 1)
    return PastOrder(
        order_id=f"ORDER-{nth}",
        status="delivered",
        purchased=at,
        approved=at + timedelta(minutes=7),
        carrier=ships,
        delivered=ships + timedelta(days=4),
        estimated=None,
    )


def _whole(history: Sequence[PastOrder]) -> dict[str, Any]:
    """Orders from their placement to their archive."""
    best_s, events = float("inf"), 0
    for _ in range(RUNS):
        began_s = time.process_time()
        events = run("bench", Policy(), history, read_mapping(OLIST)).events
        best_s = min(best_s, time.process_time() - began_s)
    return {
        "orders": len(history),
        "decisions": events,
        "us_per_order": round(best_s / len(history) * 1e6),
        "decisions_per_s": round(events / best_s),
    }


def _at_the_desk(history: Sequence[PastOrder]) -> dict[str, Any]:
    """Each service's decisions alone, in microseconds, facts encoded."""
    _asked.clear()
    with patch.object(engine, "Desk", _Recording):
        run("bench", Policy(), history, read_mapping(OLIST))
    found = {}
    for name in dict.fromkeys(asked.desk.service.name for asked in _asked):
        mine = [asked for asked in _asked if asked.desk.service.name == name]
        desk = Desk(mine[0].desk.service, mine[0].desk.policies, 0, 1)
        best_s = min(_decided_s(desk, mine) for _ in range(RUNS))
        found[name] = round(best_s / len(mine) * 1e6, 1)
    return found


def _nothing_parked(parked: ParkedRecord) -> Input:
    raise AssertionError(f"{parked} waited")


def _decided_s(desk: Desk[Any], of: Sequence[Asked]) -> float:
    began_s = time.process_time()
    for asked in of:
        desk.decide([asked.item], {asked.document.subject: asked.document}, _nothing_parked)
    return time.process_time() - began_s


def measure(_of: None, _sizes: Sizes, _known: dict[str, Any]) -> dict[str, Any]:
    """The figures; it needs no servers."""
    history = [_made_up(nth) for nth in range(ORDERS)]
    return _whole(history) | {"us_per_decision_of_service": _at_the_desk(history)}
