"""Orders as they are now, from the facts about them in whatever order these lie on their topic."""

import itertools

from services.cli.snapshots import Latest
from services.fulfillment.store import documents
from shared.events.envelope import ServiceFact, encode
from shared.events.fulfillment import CancelWarned, Order, RequestRefused
from tests.support.orders import (
    PURCHASED,
    partially_shipped,
    pending,
    shipped,
    stock_reserved,
    unshipped,
)

REFUSED = RequestRefused(
    request_id="r-1", request_type="shipment.confirmed.v1", reason="unknown_order"
)


def fact(version: int, order: Order | None, data: ServiceFact | None = None) -> bytes:
    """A fact about an order, with the order after it."""
    return encode(
        data or CancelWarned(),
        id_=f"fact-{version}",
        source="orderflow/fulfillment",
        subject=order.order_id if order else "902-0000009",
        time=PURCHASED,
        version=version,
        extra=b',"order":' + documents.dump_state(order) if order else b"",
    )


def after(*facts: bytes) -> list[Order]:
    latest = Latest()
    for each in facts:
        latest.take(each)
    return list(latest.orders())


def test_the_highest_version_of_an_order_counts_however_often_and_late_the_others_come() -> None:
    life = [pending(), pending(stock_reserved()), unshipped(), shipped()]
    facts = [fact(version, order) for version, order in enumerate(life, 1)]

    for shuffled in itertools.permutations(facts):
        assert after(*shuffled, *shuffled[:2]) == [shipped()]


def test_orders_are_told_apart_and_a_fact_without_an_order_changes_none() -> None:
    other = partially_shipped().model_copy(update={"order_id": "902-0000002"})

    found = after(fact(7, unshipped()), fact(1, None, REFUSED), fact(3, other), fact(2, other))

    assert found == [unshipped(), other]
