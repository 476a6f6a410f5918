"""R25: what is no race ends in the same order, however it arrives."""

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import from_json

from services.fulfillment.app import build
from shared.batch import Desk, Input, StoredRecord
from shared.documents import Document
from shared.events.envelope import OpenDeadline
from shared.events.fulfillment import Order
from shared.service import Received
from tests.support.orders import (
    DAY,
    HOLD_ENDS,
    KETTLES,
    MINUTE,
    ORDER_ID,
    POLICIES,
    PURCHASED,
    RETURN,
    SHIP_BY,
    TEAS,
    WARN_AT,
    after,
    cancel_answered,
    cancel_requested,
    delay_announced,
    hold_over,
    order_placed,
    package_delivered,
    package_returned,
    payment_approved,
    pending,
    reached,
    return_received,
    return_requested,
    seller_approves,
    shipment_confirmed,
    stock_reserved,
)


@given(
    st.permutations(["stock", "payment", "hold", "delivery"]),
    st.timedeltas(timedelta(0), 20 * DAY),
    st.timedeltas(timedelta(0), 20 * DAY),
)
def test_r25_stock_payment_and_hold_end_in_the_same_order_however_they_come(
    order_of_arrival: list[str], reserved_after: timedelta, approved_after: timedelta
) -> None:
    events = {
        "stock": stock_reserved(floored(PURCHASED + reserved_after)),
        "payment": payment_approved(floored(PURCHASED + approved_after)),
        "hold": hold_over(),
        "delivery": package_delivered("RR-93-DE", PURCHASED + 3 * MINUTE),
    }

    order = after(pending(), *(events[name] for name in order_of_arrival))

    assert order == after(pending(), *events.values())
    assert order.status == "Unshipped"
    assert order.released_at == max(
        HOLD_ENDS, *(events[name].event.time for name in ("stock", "payment"))
    )


def floored(at: datetime) -> datetime:
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


@given(st.permutations(range(5)), st.booleans())
def test_r25_packages_and_deliveries_that_are_no_race_end_in_the_same_units(
    order_of_arrival: list[int], shares_number: bool
) -> None:
    second = "T1" if shares_number else "T2"
    events = [
        shipment_confirmed({KETTLES: 2}, "1", HOLD_ENDS + DAY, tracking_number="T1"),
        shipment_confirmed({KETTLES: 1}, "2", HOLD_ENDS + DAY, tracking_number=second),
        shipment_confirmed({TEAS: 2}, "3", HOLD_ENDS + DAY, tracking_number="T3"),
        package_delivered("T1", HOLD_ENDS + 2 * DAY),
        package_delivered("T3", HOLD_ENDS + 3 * DAY),
    ]
    released = pending(stock_reserved(), payment_approved(), hold_over())

    order = after(released, *(events[n] for n in order_of_arrival))

    assert {p.package_reference_id: p for p in order.packages} == {
        p.package_reference_id: p for p in after(released, *events).packages
    }
    assert (order.status, order.unconfirmed_deliveries) == ("Shipped", ())


@given(st.permutations(range(4)))
def test_r25_what_the_buyer_and_the_seller_say_of_different_things_ends_in_the_same_order(
    order_of_arrival: list[int],
) -> None:
    released = seller_approves(pending(stock_reserved(), payment_approved(), hold_over()))
    at = HOLD_ENDS + DAY
    events = [
        delay_announced(at, expected=SHIP_BY + 2 * DAY),
        cancel_requested(at),
        package_delivered("RR-93-DE", at),
        reached(OpenDeadline(kind="cancel_warning", due=WARN_AT)),
    ]

    order = after(released, *(events[n] for n in order_of_arrival))

    assert order == after(released, *events)
    assert order.buyer_requested_cancel is not None
    assert (order.late_notices, order.cancel_warning_at) == (1, None)


@given(st.booleans(), st.booleans())
def test_r15_between_answer_and_shipment_the_first_to_arrive_wins(
    shipped_first: bool, approved: bool
) -> None:
    released = seller_approves(pending(stock_reserved(), payment_approved(), hold_over()))
    at = HOLD_ENDS + DAY
    race = [shipment_confirmed(at=at), cancel_answered(approved, at)]

    order = after(released, cancel_requested(at), *race[:: 1 if shipped_first else -1])

    canceled = approved and not shipped_first
    assert order.status == ("Canceled" if canceled else "Shipped")
    assert order.buyer_requested_cancel is None


class Log:
    """A partition's task in small: its desk, one document, and the records that it was given."""

    def __init__(self) -> None:
        self.document: Document[Order] = Document(ORDER_ID)
        self.sent: list[bytes] = []
        self._given: dict[str, Input] = {}
        self._desk = Desk(build(), POLICIES, partition=0, partitions=1)

    def gives(self, event: Received, publisher: str | None) -> None:
        known = event._replace(
            event=event.event.model_copy(update={"subjectversion": 1}), publisher=publisher
        )
        record = StoredRecord("log", 0, len(self._given), 0, ORDER_ID.encode(), b"{}", ())
        given = self._given.setdefault(event.event.id, Input(known, record))
        decided = self._desk.decide(
            [given], {ORDER_ID: self.document}, lambda parked: self._given[parked.event_id]
        )
        assert decided.dead == []
        self.document = decided.after.get(ORDER_ID, self.document)
        self.sent += [out.value for out in decided.outgoing]

    @property
    def facts(self) -> list[str]:
        types = [from_json(value)["type"] for value in self.sent]
        return sorted(type_ for type_ in types if not type_.startswith("event."))


STORY = {
    "placed": (order_placed(), None),
    "stock": (stock_reserved(), "inventory"),
    "payment": (payment_approved(), "payment"),
    "delivery": (package_delivered(), None),
}


@given(st.permutations(sorted(STORY)), st.integers(1, 3))
def test_r25_what_precedes_its_order_waits_for_it_and_what_comes_again_is_no_news(
    order_of_arrival: list[str], times: int
) -> None:
    log = Log()

    for name in [name for name in order_of_arrival for _ in range(times)]:
        log.gives(*STORY[name])
    for _ in range(times):
        log.gives(hold_over(), "deadlines")
        log.gives(shipment_confirmed(), None)
    for name in order_of_arrival:
        log.gives(*STORY[name])

    order = log.document.state
    assert order is not None
    assert (order.status, log.document.parked) == ("Shipped", ())
    assert order.packages[0].delivered_at == HOLD_ENDS + 4 * DAY
    assert log.facts == [
        "notice.requested.v1",
        "notice.requested.v1",
        "order.condition_met.v1",
        "order.condition_met.v1",
        "order.held.v1",
        "order.package_confirmed.v1",
        "order.package_delivered.v1",
        "order.unshipped.v1",
    ]
    assert len({from_json(value)["id"] for value in log.sent}) == len(log.sent)


BACK = {
    "package": (
        shipment_confirmed({KETTLES: 1, TEAS: 2}, "2", HOLD_ENDS + 2 * DAY, tracking_number="T2"),
        None,
    ),
    "brought back": (package_returned("T2"), None),
    "its receipt": (
        return_received({(KETTLES, "Sellable"): 1, (TEAS, "Damaged"): 1}, return_id="carrier:2"),
        None,
    ),
    "asked for": (return_requested({KETTLES: 2}), None),
    "received": (return_received({(KETTLES, "Damaged"): 1}), None),
}


@given(st.permutations(sorted(BACK)), st.integers(1, 2))
def test_r25_what_happens_to_goods_waits_for_what_precedes_it(
    order_of_arrival: list[str], times: int
) -> None:
    log = Log()
    for name in ("placed", "stock", "payment"):
        log.gives(*STORY[name])
    log.gives(hold_over(), "deadlines")
    log.gives(shipment_confirmed({KETTLES: 2}, tracking_number="T1"), None)

    for name in [name for name in order_of_arrival for _ in range(times)]:
        log.gives(*BACK[name])

    order = log.document.state
    assert order is not None
    assert log.document.parked == ()
    lines = {i.order_item_id: (i.quantity_shipped, i.quantity_returned) for i in order.items}
    assert lines == {KETTLES: (3, 2), TEAS: (2, 1)}
    assert {back.return_id: back.items for back in order.returns} == {RETURN: (), "carrier:2": ()}
    assert order.status == "Shipped"
    assert (
        log.facts.count("order.units_returned.v1") == log.facts.count("order.return_opened.v1") == 2
    )
    assert "order.request_refused.v1" not in log.facts
