"""P6: nothing that is decided is too large to be told: every limit is chosen for that."""

from functools import cache

import pytest

from services.fulfillment.app import build
from shared.batch import MAX_PARKED_BYTES, Desk, Input, StoredRecord
from shared.documents import Document
from shared.events.envelope import MAX_EVENT_BYTES, Fact
from shared.events.fields import MAX_ITEMS_ON_THEIR_WAY_BACK, MAX_PACKED_ITEMS
from shared.events.fulfillment import FULFILLMENT_EVENTS, Order, OrderHeld
from shared.events.parking import PARKING
from shared.policy import Policies
from tests.support.largest import largest
from tests.support.orders import ORDER_ID, return_received

ENVELOPE_BYTES = 2_000
"""The attributes of an event, ids of 128 characters among them, and its open deadlines."""


@cache
def largest_order() -> Order:
    """All fields as long as they may be; packages and returns as full as the rules let them be."""
    order: Order = largest(Order)

    def spread(entries: int, many: int) -> list[int]:
        return [entries // many + (n < entries % many) for n in range(many)]

    packed = spread(MAX_PACKED_ITEMS, len(order.packages))
    coming = spread(MAX_ITEMS_ON_THEIR_WAY_BACK, len(order.returns))
    return order.model_copy(
        update={
            "packages": tuple(
                package.model_copy(update={"order_items": package.order_items[:n]})
                for package, n in zip(order.packages, packed, strict=True)
            ),
            "returns": tuple(
                back.model_copy(update={"items": back.items[:n]})
                for back, n in zip(order.returns, coming, strict=True)
            ),
        }
    )


def size(model: Fact | Order) -> int:
    return len(model.__pydantic_serializer__.to_json(model, exclude_none=True))


@pytest.mark.parametrize(
    "fact", [f for f in FULFILLMENT_EVENTS.facts if f not in (*PARKING, OrderHeld)]
)
def test_p6_the_largest_fact_and_the_largest_order_beside_it_fit_into_a_record(
    fact: type[Fact],
) -> None:
    assert size(largest(fact)) + size(largest_order()) + ENVELOPE_BYTES < MAX_EVENT_BYTES


def test_p6_the_largest_order_when_it_is_placed_fits_too() -> None:
    new = largest_order().model_copy(
        update={"packages": (), "returns": (), "unconfirmed_deliveries": ()}
    )

    assert size(largest(OrderHeld)) + size(new) + ENVELOPE_BYTES < MAX_EVENT_BYTES


@pytest.mark.parametrize("too_large", [False, True])
def test_p6_what_waits_leaves_room_for_the_order_beside_it(too_large: bool) -> None:
    order = largest_order().model_copy(update={"status": "Shipped"})
    room = MAX_PARKED_BYTES - (size(order) + len(',"order":')) * 3 // 4
    waits = return_received({("item-kettle", "Sellable"): 1}, return_id="RMA-0")
    said = waits.event.model_copy(
        update={"data": waits.event.data.model_copy(update={"seller_id": order.seller_id})}
    )
    padding = b"x" * (room - len(ORDER_ID) + too_large)
    record = StoredRecord("shipments", 0, 7, 0, ORDER_ID.encode(), padding, ())
    document = Document(ORDER_ID, state=order)
    item = Input(waits._replace(event=said), record)
    desk = Desk(build(), Policies(), partition=0, partitions=1)

    decided = desk.decide([item], {ORDER_ID: document}, lambda _: item)

    assert [letter.reason for letter in decided.dead] == ["too_large_to_park"] * too_large
    assert all(len(fact.value) < MAX_EVENT_BYTES for fact in decided.outgoing)
    assert len(decided.outgoing) == (not too_large)
