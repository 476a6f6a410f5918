"""What an order is after its facts: status, deadlines, and the service that is built of it."""

from typing import Any

import pytest

from services.fulfillment.app import build
from services.fulfillment.decisions import ARRIVAL, RULES, WHEN_DUE
from services.fulfillment.state import evolve, status_of
from services.fulfillment.store import documents
from services.fulfillment.waiting import DUE_OF
from shared.documents import Document
from shared.events.fulfillment import (
    FULFILLMENT_EVENTS,
    CancelWarned,
    Condition,
    ConditionMet,
    Order,
    OrderHeld,
    OrderStatus,
    PackageConfirmed,
    RequestRefused,
)
from shared.events.parking import PARKING
from shared.events.storefront import OrderPlaced
from tests.support.orders import (
    CANCEL_AT,
    DAY,
    HOLD_ENDS,
    KETTLES,
    LOST_AT,
    MINUTE,
    PENDING_UNTIL,
    PURCHASED,
    SHIP_BY,
    TEAS,
    WARN_AT,
    after,
    cancel_requested,
    canceled,
    hold_over,
    package_delivered,
    partially_shipped,
    payment_approved,
    pending,
    placed,
    play,
    shipment_confirmed,
    shipped,
    unshipped,
)


def of_units(*lines: tuple[int, int, int], waits_for: tuple[Condition, ...] = ()) -> Order:
    """An order whose lines have these units (ordered, shipped, canceled)."""
    order = pending()
    filled = tuple(
        order.items[0].model_copy(
            update={"quantity": n, "quantity_shipped": shipped, "quantity_canceled": canceled}
        )
        for n, shipped, canceled in lines
    )
    return order.model_copy(update={"items": filled, "waits_for": waits_for})


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ([(3, 0, 0), (2, 0, 0)], "Unshipped"),
        ([(3, 1, 0), (2, 0, 0)], "PartiallyShipped"),
        ([(3, 3, 0), (2, 0, 0)], "PartiallyShipped"),
        ([(3, 2, 1), (2, 1, 0)], "PartiallyShipped"),
        ([(3, 0, 3), (2, 0, 0)], "Unshipped"),
        ([(3, 3, 0), (2, 2, 0)], "Shipped"),
        ([(3, 2, 1), (2, 2, 0)], "Shipped"),
        ([(3, 3, 0), (2, 0, 2)], "Shipped"),
        ([(3, 1, 2), (2, 0, 2)], "Shipped"),
        ([(3, 0, 3), (2, 0, 2)], "Canceled"),
        ([(1, 0, 1)], "Canceled"),
    ],
)
def test_r11_the_status_is_counted_from_units(
    lines: list[tuple[int, int, int]], status: OrderStatus
) -> None:
    assert status_of(of_units(*lines)) == status


def test_r9_an_order_is_pending_while_it_waits_for_anything() -> None:
    assert status_of(of_units((3, 0, 0), waits_for=("payment",))) == "Pending"


@pytest.mark.parametrize("line", [(3, 3, 1), (3, -1, 0), (3, 0, 4)])
def test_units_beyond_the_line_are_a_broken_invariant(line: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="units"):
        status_of(of_units(line))


def test_evolve_refuses_what_is_never_decided() -> None:
    held = OrderHeld(placed=placed(), hold_ends=HOLD_ENDS)

    with pytest.raises(ValueError, match=r"order\.cancel_warned\.v1"):
        evolve(None, CancelWarned(), PURCHASED)
    with pytest.raises(ValueError, match=r"order\.held\.v1"):
        evolve(pending(), held, PURCHASED)
    with pytest.raises(ValueError, match="no fact of an order"):
        evolve(pending(), placed(), PURCHASED)


def test_r23_an_order_waits_for_its_hold_its_seller_its_carrier_and_its_archive() -> None:
    def waits(order: Order) -> list[tuple[str, Any]]:
        return [(deadline.kind, deadline.due) for deadline in order.deadlines]

    seller = [
        ("ship_by", SHIP_BY),
        ("cancel_warning", WARN_AT),
        ("shipment_unconfirmed", CANCEL_AT),
    ]

    lost, archived = ("package_lost", LOST_AT), HOLD_ENDS + 4 * DAY + 45 * DAY
    answers = ("pending_too_long", PENDING_UNTIL)

    assert waits(pending()) == [("hold", HOLD_ENDS), answers]
    assert waits(pending(hold_over())) == [answers]
    assert waits(unshipped()) == seller
    assert waits(partially_shipped()) == [*seller, lost]
    assert waits(shipped()) == [lost]
    assert waits(shipped(package_delivered())) == [("archive", archived)]
    assert waits(canceled()) == [("archive", PURCHASED + 5 * MINUTE + 45 * DAY)]


def test_an_order_keeps_what_was_placed() -> None:
    order = pending()

    for field in set(OrderPlaced.model_fields) - {"items"}:
        assert getattr(order, field) == getattr(placed(), field), field
    assert [(item.sku, item.quantity_open) for item in order.items] == [
        (item.sku, item.quantity) for item in placed().items
    ]


def test_the_last_update_is_the_last_change_and_no_refusal() -> None:
    asked_again = cancel_requested(HOLD_ENDS + 9 * DAY)

    assert shipped().last_update_date == HOLD_ENDS + DAY
    assert shipped(asked_again).last_update_date == HOLD_ENDS + DAY


def test_a_refusal_about_an_unknown_order_leaves_no_order() -> None:
    order, facts = play(None, shipment_confirmed())

    assert order is None
    assert [type(fact) for fact in facts] == [RequestRefused]


@pytest.mark.parametrize(
    "order",
    [
        pending(),
        unshipped(),
        partially_shipped(package_delivered()),
        shipped(cancel_requested(HOLD_ENDS + 2 * DAY)),
        pending(package_delivered("other-number")),
        canceled(),
    ],
    ids=lambda order: order.status,
)
def test_an_order_survives_its_document(order: Order) -> None:
    write = documents.write(3, Document("x"), Document("x", order, version=7), lambda _: None)

    assert documents.read("x", bytes(write[0].args[0])).state == order  # type: ignore[arg-type]


def test_every_fact_of_an_order_is_the_journals_and_evolves() -> None:
    service = build()
    folded = {fact for fact in FULFILLMENT_EVENTS.facts if fact not in PARKING}

    assert service.journal is FULFILLMENT_EVENTS
    assert all(service.topic_of[fact] is FULFILLMENT_EVENTS for fact in folded)
    assert service.snapshot == "order"


def test_what_the_service_reads_is_what_its_tables_know() -> None:
    read = {fact for reading in build().reads for fact in reading.facts}

    assert read == ARRIVAL.keys()
    assert len(RULES) == len(ARRIVAL) - 2  # order.placed begins, a deadline has a rule per kind
    assert WHEN_DUE.keys() == DUE_OF.keys()


def test_the_journal_alone_rebuilds_an_order() -> None:
    order, facts = play(
        unshipped(),
        shipment_confirmed({KETTLES: 3}, "1"),
        shipment_confirmed({KETTLES: 1}, "1", HOLD_ENDS + 2 * DAY),
        shipment_confirmed({KETTLES: 2, TEAS: 2}, "2", HOLD_ENDS + 3 * DAY, tracking_number="T2"),
        package_delivered("T2"),
    )

    rebuilt: Order | None = unshipped()
    for fact in facts:
        if isinstance(fact, FULFILLMENT_EVENTS.facts):
            read_back = type(fact).model_validate_json(fact.model_dump_json(exclude_none=True))
            rebuilt = evolve(rebuilt, read_back, PURCHASED)

    assert order is not None
    assert rebuilt == order.model_copy(update={"last_update_date": PURCHASED})
    assert any(isinstance(fact, PackageConfirmed) and fact.edited for fact in facts)


def test_r9_a_condition_that_came_twice_is_no_news() -> None:
    order = pending(payment_approved())

    _, facts = play(order, payment_approved(PURCHASED + DAY))

    assert facts == []
    assert isinstance(play(pending(), payment_approved())[1][0], ConditionMet)
    assert after(order, payment_approved(PURCHASED + DAY)) == order
