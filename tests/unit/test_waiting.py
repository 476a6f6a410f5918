"""R23, P2: whatever waits has its line in one table, and every status its deadline or its end."""

from datetime import datetime, timedelta
from typing import get_args

import pytest

from services.fulfillment.decisions import WHEN_DUE
from services.fulfillment.waiting import DUE_OF, STUCK_REASONS, is_over
from services.payment.decisions import TABLE
from shared.events.envelope import OpenDeadline
from shared.events.fulfillment import Order, OrderStatus, OrderStuck, Stuck
from shared.events.parking import PARKED
from shared.policy import Policies, Policy
from shared.service import Received
from shared.waiting import WAITS
from tests.support.orders import (
    DAY,
    HOLD_ENDS,
    KETTLES,
    LOST_AT,
    ONE_MS,
    PENDING_UNTIL,
    PROMISED,
    PURCHASED,
    RETURN,
    TEAS,
    after,
    archived,
    canceled,
    hold_over,
    order_placed,
    package_delivered,
    package_returned,
    partially_shipped,
    payment_approved,
    payment_refused,
    pending,
    play,
    reached,
    return_received,
    return_requested,
    shipment_confirmed,
    shipped,
    stock_reserved,
    unshipped,
)

OF_STATUS: dict[OrderStatus, list[Order]] = {
    "Pending": [
        pending(),
        pending(stock_reserved(), payment_approved()),
        pending(stock_reserved(), hold_over()),
        pending(payment_approved(), hold_over()),
    ],
    "Unshipped": [unshipped()],
    "PartiallyShipped": [partially_shipped(), partially_shipped(package_delivered())],
    "Shipped": [
        shipped(),
        shipped(package_delivered()),
        shipped(package_returned()),
        shipped(package_delivered(), return_requested({KETTLES: 1})),
    ],
    "Canceled": [canceled(), pending(payment_refused())],
}


def lives(order: Order) -> list[Order]:
    """The order, and what it is after each of its deadlines in turn passed, to the end."""
    found = [order]
    while found[-1].deadlines and len(found) < 60:
        first = min(found[-1].deadlines, key=lambda deadline: deadline.due)
        found.append(after(found[-1], reached(first)))
    return found


def test_r23_the_table_has_every_wait_of_an_order_and_of_its_payment() -> None:
    kinds = {(wait.publisher, wait.kind) for wait in WAITS}

    assert WHEN_DUE.keys() == DUE_OF.keys()
    assert {kind for publisher, kind in kinds if publisher == "fulfillment"} == {
        *WHEN_DUE,
        PARKED,
    }
    of_payment = {kind for kind in TABLE if isinstance(kind, str)}
    assert {kind for publisher, kind in kinds if publisher == "payment"} == {*of_payment, PARKED}
    assert len(kinds) == len(WAITS)


@pytest.mark.parametrize("wait", WAITS, ids=lambda wait: f"{wait.publisher}-{wait.kind}")
def test_r23_each_wait_takes_its_length_from_the_policy(wait: tuple[str, ...]) -> None:
    assert wait[3]
    assert set(wait[3]) <= Policy.model_fields.keys()


def test_r23_what_no_rule_ends_is_stuck_by_the_table() -> None:
    stuck = {w.kind for w in WAITS if w.publisher == "fulfillment" and w.then.startswith("stuck")}

    assert stuck == set(STUCK_REASONS)


@pytest.mark.parametrize(
    "order",
    [order for orders in OF_STATUS.values() for order in orders],
    ids=lambda order: order.status,
)
def test_p2_every_status_has_a_deadline_or_is_stuck_or_archived_for_good(order: Order) -> None:
    """Followed through all of its deadlines, too, if nobody ever says a word."""
    assert OF_STATUS.keys() == set(get_args(OrderStatus))
    for then in lives(order):
        assert then.deadlines or then.stuck or then.archived_at, then.status
    last = lives(order)[-1]
    assert last.deadlines == ()
    assert bool(last.stuck) != bool(last.archived_at)


@pytest.mark.parametrize(
    ("order", "over"),
    [
        (pending(), False),
        (unshipped(), False),
        (partially_shipped(package_delivered()), False),
        (shipped(), False),
        (shipped(package_delivered()), True),
        (shipped(package_returned()), False),
        (shipped(package_delivered(), return_requested({TEAS: 1})), False),
        (canceled(), True),
    ],
    ids=lambda value: getattr(value, "status", value),
)
def test_p2_over_is_canceled_or_shipped_with_delivery_known_and_no_return_open(
    order: Order, over: bool
) -> None:
    assert is_over(order) is over
    assert ("archive" in [deadline.kind for deadline in order.deadlines]) is over


def stuck_at(order: Order, kind: str) -> tuple[Order, Stuck]:
    (deadline,) = (deadline for deadline in order.deadlines if deadline.kind == kind)
    then, facts = play(order, reached(deadline))
    (fact,) = facts
    assert isinstance(fact, OrderStuck)
    assert then is not None
    assert then.stuck == (fact.stuck,)
    assert kind not in [deadline.kind for deadline in then.deadlines], "it is said once"
    return then, fact.stuck


def test_r23_a_pending_order_without_its_answers_is_stuck_until_it_has_them() -> None:
    order, stuck = stuck_at(pending(payment_approved(), hold_over()), "pending_too_long")

    assert stuck == Stuck(reason="pending_too_long", since=PENDING_UNTIL)
    assert after(order, stock_reserved(PENDING_UNTIL + DAY)).stuck == ()
    assert after(order, stock_reserved(PENDING_UNTIL + DAY)).status == "Unshipped"
    assert after(order, payment_refused(at=PENDING_UNTIL + DAY)).stuck == ()


def test_r23_a_package_is_lost_14_days_after_its_promise_and_found_when_it_is_delivered() -> None:
    order, stuck = stuck_at(shipped(), "package_lost")

    assert stuck == Stuck(reason="package_lost", since=LOST_AT)
    found = after(order, package_delivered(at=LOST_AT + DAY))
    assert (found.stuck, [d.kind for d in found.deadlines]) == ((), ["archive"])
    back = after(order, package_returned(at=LOST_AT + DAY))
    assert (back.stuck, [d.kind for d in back.deadlines]) == ((), ["return_overdue"])


def test_r23_each_package_is_lost_for_itself() -> None:
    two = (
        shipment_confirmed({KETTLES: 3}, "1", tracking_number="T1"),
        shipment_confirmed({TEAS: 2}, "2", HOLD_ENDS + 12 * DAY, tracking_number="T2"),
    )
    order, stuck = stuck_at(unshipped(*two), "package_lost")
    assert stuck.since == LOST_AT

    second_lost_at = HOLD_ENDS + 26 * DAY
    then = after(order, package_delivered("T1", LOST_AT + DAY))

    assert then.stuck == ()
    assert then.deadlines == (OpenDeadline(kind="package_lost", due=second_lost_at),)


@pytest.mark.parametrize("at", [PROMISED, PROMISED + ONE_MS, PROMISED + 5 * DAY])
def test_r23_an_edit_does_not_move_when_its_package_is_lost(at: datetime) -> None:
    edit = shipment_confirmed({KETTLES: 3, TEAS: 1}, "1", at)

    assert after(shipped(), edit).packages[0].lost_at == LOST_AT


def test_r23_a_return_that_does_not_come_is_stuck_until_it_does() -> None:
    asked_at = HOLD_ENDS + 6 * DAY
    order = shipped(package_delivered(), return_requested({KETTLES: 1}, asked_at))

    late, stuck = stuck_at(order, "return_overdue")

    assert stuck == Stuck(reason="return_overdue", since=asked_at + 30 * DAY)
    came = return_received({(KETTLES, "Sellable"): 1}, asked_at + 40 * DAY, return_id=RETURN)
    then = after(late, came)
    assert (then.stuck, then.deadlines[0].kind) == ((), "archive")
    assert then.deadlines[0].due == asked_at + 85 * DAY


@pytest.mark.parametrize(
    ("zone", "purchased", "days"),
    [
        ("America/Los_Angeles", "2026-03-07T23:59:59.999-08:00", 8),  # clocks go forward at 2
        ("Europe/Berlin", "2026-10-24T23:59:59.999+02:00", 8),  # clocks go back at 3
        ("Asia/Tokyo", "2028-02-28T23:59:59.999+09:00", 8),  # a leap day
        ("Australia/Lord_Howe", "2026-12-31T23:59:59.999+11:00", 8),  # a year's end
    ],
)
def test_r23_waits_in_days_are_of_24_hours_whatever_clocks_do(
    zone: str, purchased: str, days: int
) -> None:
    policy, at = Policy(time_zone=zone), datetime.fromisoformat(purchased)

    assert policy.pending_until(at) - at == timedelta(days=days)
    assert policy.archive_at(at) - at == timedelta(days=45)
    assert policy.package_lost_at(at) - at == timedelta(days=14)
    assert policy.seller_answer_due(at) - at == timedelta(hours=48)


@pytest.mark.parametrize("event", [package_delivered(at=HOLD_ENDS + 90 * DAY)])
def test_r23_archived_it_waits_for_nothing_and_nothing_wakes_it(event: Received) -> None:
    stub = archived()

    assert (stub.deadlines, stub.stuck) == ((), ())
    assert after(stub, event) == stub


def test_r23_no_stub_before_a_return_can_be_asked_for_no_more() -> None:
    policies = Policies(Policy(retention_days=31, return_window_days=30))
    events = (stock_reserved(), payment_approved(), hold_over(), shipment_confirmed())
    order = after(None, order_placed(), *events, package_delivered(), policies=policies)

    (deadline,) = order.deadlines
    last = deadline.due - ONE_MS
    assert deadline.kind == "archive"
    assert deadline.due > HOLD_ENDS + 4 * DAY + 31 * DAY
    asked = return_requested({KETTLES: 1}, last, arrived=last)
    assert after(order, asked, policies=policies).returns
    assert deadline.due > PURCHASED
