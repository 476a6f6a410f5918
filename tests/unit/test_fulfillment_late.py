"""R12: late shipments and their new dates; R13: unconfirmed for too long."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from shared.events.envelope import Fact, OpenDeadline
from shared.events.fulfillment import (
    Cancellation,
    CancelWarned,
    DateWindow,
    OpenUnitsCanceled,
    Order,
    OrderCanceled,
    ShipmentLate,
)
from shared.events.notices import NoticeRequested
from shared.policy import Policies, Policy
from shared.service import Received
from tests.support.orders import (
    ALL_UNITS,
    BUYER,
    CANCEL_AT,
    CARD,
    DAY,
    HOLD_ENDS,
    HOUR,
    KETTLES,
    ONE_MS,
    PROMISED,
    PURCHASED,
    SELLER,
    SHIP_BY,
    TEAS,
    WARN_AT,
    after,
    hold_over,
    items,
    order_placed,
    package_delivered,
    partially_shipped,
    payment_approved,
    play,
    reached,
    shipment_confirmed,
    shipped,
    stock_reserved,
    unshipped,
)


def due(order: Order, kind: str) -> datetime:
    (found,) = (deadline.due for deadline in order.deadlines if deadline.kind == kind)
    return found


def reach(order: Order, kind: str, arrived: datetime | None = None) -> tuple[Order, list[Fact]]:
    (deadline,) = (deadline for deadline in order.deadlines if deadline.kind == kind)
    then, facts = play(order, reached(deadline, arrived))
    assert then is not None
    return then, facts


def told(facts: list[Fact]) -> list[tuple[str, str, int]]:
    notices = (fact for fact in facts if isinstance(fact, NoticeRequested))
    return [(notice.recipient, notice.kind, notice.occurrence) for notice in notices]


def test_r12_the_ship_by_date_passes_seller_and_buyer_are_told() -> None:
    _, facts = reach(unshipped(), "ship_by")

    late, to_seller, to_buyer = facts
    new_window = DateWindow(
        earliest=datetime(2026, 3, 19, tzinfo=UTC),
        latest=datetime(2026, 3, 23, 23, 59, 59, tzinfo=UTC),
    )
    assert late == ShipmentLate(
        occurrence=1, delivery_window=new_window, next_notice_at=SHIP_BY + DAY
    )
    assert told(facts) == [("SELLER", "late_shipment", 1), ("BUYER", "new_delivery_date", 1)]
    assert isinstance(to_seller, NoticeRequested)
    assert isinstance(to_buyer, NoticeRequested)
    assert to_seller.deadline == SHIP_BY
    assert to_seller.delivery_window == to_buyer.delivery_window == new_window


def late_repeats(order: Order, n: int) -> Iterator[tuple[Order, ShipmentLate]]:
    for _ in range(n):
        order, (late, *_) = reach(order, "ship_by")
        assert isinstance(late, ShipmentLate)
        yield order, late


def test_r12_it_repeats_daily_each_time_with_a_later_date() -> None:
    repeats = list(late_repeats(unshipped(), 9))

    assert [late.occurrence for _, late in repeats] == list(range(1, 10))
    assert [order.last_update_date for order, _ in repeats] == [SHIP_BY + n * DAY for n in range(9)]
    promises = [PROMISED, *(late.delivery_window.latest for _, late in repeats)]
    assert all(before < later for before, later in pairwise(promises))
    assert repeats[-1][0].delivery_window == repeats[-1][1].delivery_window


def test_r12_the_interval_is_policy() -> None:
    policies = Policies(Policy(late_notice_interval_hours=6))
    events = (order_placed(), stock_reserved(), payment_approved(), hold_over())
    ship_by = OpenDeadline(kind="ship_by", due=SHIP_BY)

    order = after(None, *events, reached(ship_by), policies=policies)

    assert due(order, "ship_by") == SHIP_BY + 6 * HOUR


@pytest.mark.parametrize(
    ("arrived", "next_due"),
    [
        (SHIP_BY + DAY - ONE_MS, SHIP_BY + DAY),
        (SHIP_BY + DAY, SHIP_BY + 2 * DAY),
        (SHIP_BY + 10 * DAY + HOUR, SHIP_BY + 11 * DAY),
    ],
)
def test_r12_repeats_that_an_outage_made_pass_are_one_notice(
    arrived: datetime, next_due: datetime
) -> None:
    order, facts = reach(unshipped(), "ship_by", arrived)

    assert told(facts) == [("SELLER", "late_shipment", 1), ("BUYER", "new_delivery_date", 1)]
    assert due(order, "ship_by") == next_due
    assert order.delivery_window is not None
    assert order.delivery_window.earliest > arrived, "nobody is told a date that is over"


def test_r12_it_ends_with_the_last_unit_shipped_and_goes_on_while_one_is_open() -> None:
    late, _ = reach(unshipped(), "ship_by")

    some = after(late, shipment_confirmed({KETTLES: 3}, at=SHIP_BY + HOUR))
    assert due(some, "ship_by") == SHIP_BY + DAY
    _, facts = reach(some, "ship_by")
    assert told(facts) == [("SELLER", "late_shipment", 2), ("BUYER", "new_delivery_date", 2)]

    everything = after(some, shipment_confirmed({TEAS: 2}, "2", at=SHIP_BY + HOUR))
    assert [deadline.kind for deadline in everything.deadlines] == ["package_lost"]


def test_r12_lateness_is_by_when_the_confirmation_was_made_not_by_its_ship_date() -> None:
    in_time = after(
        unshipped(), shipment_confirmed(at=SHIP_BY - ONE_MS, ship_date=SHIP_BY + 5 * DAY)
    )
    backdated = after(
        reach(unshipped(), "ship_by")[0],
        shipment_confirmed(at=SHIP_BY + HOUR, ship_date=SHIP_BY - 2 * DAY),
    )

    assert in_time.packages[0].confirmed_at < SHIP_BY
    assert in_time.late_notices == 0
    assert backdated.packages[0].confirmed_at > SHIP_BY
    assert backdated.late_notices == 1


def test_r13_the_seller_is_warned_once_seven_days_before() -> None:
    order, facts = reach(unshipped(), "cancel_warning")

    assert facts[0] == CancelWarned()
    assert told(facts) == [("SELLER", "cancel_warning", 1)]
    assert isinstance(facts[1], NoticeRequested)
    assert facts[1].deadline == CANCEL_AT == WARN_AT + 7 * DAY
    assert [deadline.kind for deadline in order.deadlines] == ["ship_by", "shipment_unconfirmed"]


def cancellation_at(at: datetime) -> Cancellation:
    return Cancellation(
        reason="shipment_unconfirmed",
        requested_by="MARKETPLACE",
        executed_by="MARKETPLACE",
        canceled_at=at,
    )


@pytest.mark.parametrize("before", [(), (package_delivered("RR-93-DE"),)])
def test_r13_unconfirmed_for_thirty_days_is_canceled_even_if_it_was_delivered(
    before: tuple[Received, ...],
) -> None:
    order, facts = reach(unshipped(*before), "shipment_unconfirmed")

    assert facts[0] == OrderCanceled(
        seller_id=SELLER,
        buyer_id=BUYER,
        payment_method_ref=CARD,
        cancellation=cancellation_at(CANCEL_AT),
        units_canceled=items(ALL_UNITS),
        archive_at=CANCEL_AT + 45 * DAY,
    )
    assert told(facts) == [("BUYER", "order_canceled", 1)]
    assert isinstance(facts[1], NoticeRequested)
    assert facts[1].reason == "shipment_unconfirmed"
    assert order.status == "Canceled"
    assert [deadline.kind for deadline in order.deadlines] == ["archive"]
    assert PURCHASED + timedelta(days=30) == CANCEL_AT


def test_r13_of_a_partly_shipped_order_the_open_units_are_canceled() -> None:
    order, facts = reach(partially_shipped(), "shipment_unconfirmed")

    assert facts[0] == OpenUnitsCanceled(
        seller_id=SELLER,
        buyer_id=BUYER,
        payment_method_ref=CARD,
        cancellation=cancellation_at(CANCEL_AT),
        units_canceled=items({KETTLES: 1, TEAS: 2}),
        archive_at=CANCEL_AT + 45 * DAY,
    )
    assert told(facts) == [("BUYER", "order_canceled", 1)]
    assert order.status == "Shipped"
    assert [deadline.kind for deadline in order.deadlines] == ["package_lost"]
    assert [(i.quantity_shipped, i.quantity_canceled) for i in order.items] == [(2, 1), (0, 2)]


def test_r13_the_anchor_is_policy() -> None:
    policies = Policies(Policy(auto_cancel_anchor="ship_by"))
    events = (order_placed(), stock_reserved(), payment_approved(), hold_over())
    order = after(None, *events, policies=policies)

    assert due(order, "shipment_unconfirmed") == datetime(2026, 3, 24, 23, 59, 59, tzinfo=UTC)
    assert due(order, "cancel_warning") == datetime(2026, 3, 17, 23, 59, 59, tzinfo=UTC)


@pytest.mark.parametrize("confirmed_first", [True, False])
def test_r13_between_confirmation_and_deadline_the_first_to_arrive_wins(
    confirmed_first: bool,
) -> None:
    confirmation = shipment_confirmed(at=CANCEL_AT - ONE_MS)
    deadline = reached(unshipped().deadlines[2])
    events = (confirmation, deadline) if confirmed_first else (deadline, confirmation)

    order = after(unshipped(), *events)

    assert order.status == ("Shipped" if confirmed_first else "Canceled")
    open_units = sum(item.quantity_open for item in order.items)
    assert (open_units, len(order.packages)) == (0, 1 if confirmed_first else 0)


def test_several_deadlines_missed_in_an_outage_end_in_one_consistent_order() -> None:
    back_at = CANCEL_AT + 5 * DAY
    order, facts = unshipped(), []

    while order.deadlines:  # the deadlines service fires the oldest first
        oldest = min(order.deadlines, key=lambda deadline: deadline.due)
        order, more = reach(order, oldest.kind, back_at)
        facts += more

    assert told(facts) == [
        ("SELLER", "late_shipment", 1),
        ("BUYER", "new_delivery_date", 1),
        ("SELLER", "cancel_warning", 1),
        ("BUYER", "order_canceled", 1),
    ]
    assert order.status == "Canceled"


def test_r13_units_taken_back_after_thirty_days_are_canceled_at_once() -> None:
    edited = after(shipped(), shipment_confirmed({KETTLES: 3}, "1", CANCEL_AT + DAY))
    assert due(edited, "shipment_unconfirmed") == CANCEL_AT, "in the past: it fires at once"

    order, _ = reach(edited, "shipment_unconfirmed", CANCEL_AT + DAY)

    assert order.status == "Shipped"
    assert sum(item.quantity_canceled for item in order.items) == ALL_UNITS[TEAS]
    assert order.cancellation is not None
    assert order.cancellation.canceled_at == order.last_update_date == CANCEL_AT + DAY
    assert order.last_update_date > HOLD_ENDS
