"""R2, R3, R4, R9: placed, held, and released to the seller by whichever condition comes last."""

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest

from services.fulfillment.decisions import decide
from shared.events.envelope import OpenDeadline
from shared.events.fields import ServiceLevel
from shared.events.fulfillment import (
    Condition,
    ConditionMet,
    DateWindow,
    OrderCanceled,
    OrderHeld,
    OrderUnshipped,
    RequestRefused,
)
from shared.events.notices import NoticeRequested
from shared.policy import Policies, Policy
from shared.policy_fields import TransitDays
from shared.service import Received
from tests.support.orders import (
    BUYER,
    CANCEL_AT,
    DAY,
    HOLD_ENDS,
    HOUR,
    KETTLE,
    MINUTE,
    ORDER_ID,
    PENDING_UNTIL,
    POLICIES,
    PROMISED,
    PURCHASED,
    SELLER,
    SHIP_BY,
    TEA,
    WARN_AT,
    after,
    hold_over,
    order_placed,
    payment_approved,
    pending,
    placed,
    play,
    reached,
    seller_canceled,
    shipment_confirmed,
    stock_rejected,
    stock_reserved,
    unshipped,
)

DELIVERY = DateWindow(earliest=datetime(2026, 3, 16, tzinfo=UTC), latest=PROMISED)


def test_r2_an_order_is_held_from_its_purchase_date_not_from_its_arrival() -> None:
    late = order_placed(PURCHASED + 20 * MINUTE)

    assert decide(None, late, POLICIES) == (
        OrderHeld(placed=placed(), hold_ends=HOLD_ENDS, pending_until=PENDING_UNTIL, terms={}),
    )


def test_r2_the_hold_is_the_marketplaces() -> None:
    japan = Policies(by_marketplace={"A1VC38T7YXB528": Policy(hold_minutes=5)})
    order = after(None, order_placed(marketplace_id="A1VC38T7YXB528"), policies=japan)

    assert order.hold_ends == PURCHASED + 5 * MINUTE


def test_r2_a_message_that_arrives_after_its_hold_is_handled_as_such_at_once() -> None:
    order = after(None, order_placed(PURCHASED + 3 * HOUR))
    (hold, _) = order.deadlines

    assert hold.due == HOLD_ENDS, "in the past: it fires at once"
    assert after(order, reached(hold, PURCHASED + 3 * HOUR)).waits_for == ("stock", "payment")


@pytest.mark.parametrize("event", [shipment_confirmed(), seller_canceled()])
def test_r3_the_seller_can_neither_confirm_nor_cancel_a_pending_order(event: Received) -> None:
    order = pending(stock_reserved(), payment_approved())

    then, facts = play(order, event)

    assert isinstance(facts[0], RequestRefused)
    assert facts[0].reason == "order_pending"
    assert (then, len(facts)) == (order, 1)


def test_r4_without_stock_there_is_no_order_and_the_buyer_is_told() -> None:
    order, facts = play(pending(payment_approved()), stock_rejected())

    assert order is not None
    assert order.status == "Canceled"
    assert order.cancellation is not None
    assert order.cancellation.reason == "out_of_stock"
    assert order.cancellation.requested_by == order.cancellation.executed_by == "MARKETPLACE"
    canceled, notice = facts
    assert isinstance(canceled, OrderCanceled)
    assert notice == NoticeRequested(
        order_id=ORDER_ID,
        kind="order_canceled",
        recipient="BUYER",
        marketplace_id="A1PA6795UKMFR9",
        buyer_id=BUYER,
        seller_id=SELLER,
        reason="out_of_stock",
    )


def test_r4_a_canceled_orders_units_are_all_canceled() -> None:
    order = after(pending(), stock_rejected())

    assert [(i.quantity_open, i.quantity_canceled) for i in order.items] == [(0, 3), (0, 2)]
    assert order.waits_for == ()


def test_r9_the_first_two_conditions_are_met_and_the_last_releases_the_order() -> None:
    _, facts = play(pending(), stock_reserved(), payment_approved(), hold_over())

    assert facts == [
        ConditionMet(condition="stock", met_at=PURCHASED + timedelta(seconds=2)),
        ConditionMet(condition="payment", met_at=PURCHASED + 4 * MINUTE),
        OrderUnshipped(
            condition="hold",
            met_at=HOLD_ENDS,
            ship_window=DateWindow(earliest=datetime(2026, 3, 11, tzinfo=UTC), latest=SHIP_BY),
            delivery_window=DELIVERY,
            warn_at=WARN_AT,
            cancel_at=CANCEL_AT,
        ),
        NoticeRequested(
            order_id=ORDER_ID,
            kind="estimated_delivery",
            recipient="BUYER",
            marketplace_id="A1PA6795UKMFR9",
            buyer_id=BUYER,
            seller_id=SELLER,
            delivery_window=DELIVERY,
        ),
    ]


CONDITIONS = {"stock": stock_reserved(), "payment": payment_approved(), "hold": hold_over()}


@pytest.mark.parametrize("order_of_arrival", [*permutations(CONDITIONS)], ids="-".join)
def test_r9_whichever_comes_last_releases_the_order(
    order_of_arrival: tuple[Condition, ...],
) -> None:
    order, facts = play(pending(), *(CONDITIONS[condition] for condition in order_of_arrival))

    met = [f.condition for f in facts if isinstance(f, ConditionMet | OrderUnshipped)]
    assert met == list(order_of_arrival)
    assert order == unshipped()


PAID_LATE = payment_approved(PURCHASED + 2 * DAY)


@pytest.mark.parametrize("last_two", [(hold_over(), PAID_LATE), (PAID_LATE, hold_over())])
def test_r9_an_order_paid_after_its_hold_is_released_by_its_payment(
    last_two: tuple[Received, ...],
) -> None:
    paid_at = PURCHASED + 2 * DAY
    order = after(pending(stock_reserved()), *last_two)

    assert order.status == "Unshipped"
    assert order.payments_date == order.released_at == paid_at
    assert order.ship_window is not None
    assert order.ship_window.latest == datetime(2026, 3, 17, 23, 59, 59, tzinfo=UTC)
    assert order.cancel_at == CANCEL_AT, "counted from the order date all the same"


def test_r9_the_payments_date_is_when_it_was_approved_however_late_that_is_heard() -> None:
    order = after(pending(stock_reserved(), hold_over()), payment_approved())

    assert order.payments_date == PURCHASED + 4 * MINUTE
    assert order.released_at == order.last_update_date == HOLD_ENDS


@pytest.mark.parametrize(
    ("level", "sku_days", "ship_by_day"),
    [
        ("Standard", {}, 13),
        ("Expedited", {}, 12),
        ("SameDay", {}, 11),
        ("SameDay", {KETTLE: 1}, 12),
    ],
)
def test_r9_the_ship_by_date_follows_service_level_and_sku(
    level: ServiceLevel, sku_days: dict[str, int], ship_by_day: int
) -> None:
    policies = Policies(Policy(sku_handling_days=sku_days))
    events = (stock_reserved(), payment_approved(), hold_over())
    order = after(None, order_placed(ship_service_level=level), *events, policies=policies)

    assert order.ship_window is not None
    assert order.ship_window.latest == datetime(2026, 3, ship_by_day, 23, 59, 59, tzinfo=UTC)


def test_r9_r12_the_delivery_dates_follow_the_slowest_sku_whatever_the_files_say_later() -> None:
    by_sea = Policies(Policy(sku_transit_days={KETTLE: TransitDays(9, 12), TEA: TransitDays(1, 1)}))
    order = after(None, order_placed(), policies=by_sea)
    released = after(order, stock_reserved(), payment_approved(), hold_over())

    assert released.delivery_window is not None
    assert released.delivery_window.model_dump() == {
        "earliest": datetime(2026, 3, 24, tzinfo=UTC),  # 9 working days after Wednesday 11 March
        "latest": datetime(2026, 3, 31, 23, 59, 59, tzinfo=UTC),  # 12 after Friday 13 March
    }
    late = after(released, reached(OpenDeadline(kind="ship_by", due=SHIP_BY)))
    assert late.delivery_window is not None
    # the 13th is its last day: it is counted from Monday 16 March
    assert late.delivery_window.latest == datetime(2026, 4, 1, 23, 59, 59, tzinfo=UTC)


def test_r9_nothing_happens_while_payment_is_unknown() -> None:
    order = pending(stock_reserved(), hold_over())

    assert (order.status, order.waits_for) == ("Pending", ("payment",))
    assert order.deadlines == (OpenDeadline(kind="pending_too_long", due=PENDING_UNTIL),)
