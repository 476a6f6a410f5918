"""R25: every event meets every status; strangers are refused before anything else."""

from datetime import timedelta

import pytest

from services.fulfillment.decisions import ARRIVAL, Refuse, Standing, decide
from shared.events.carrier import PackageDelivered, PackageReturned
from shared.events.deadlines import DeadlineReached
from shared.events.envelope import Fact, OpenDeadline
from shared.events.fulfillment import Order, RequestRefused
from shared.events.inventory import ReorderChecked, StockRejected, StockReserved
from shared.events.payment import ApprovalWithdrawn, PaymentApproved, PaymentRefused
from shared.events.seller import (
    CancelAnswered,
    DelayAnnounced,
    ResendRequested,
    ReturnReceived,
    SellerCanceled,
    ShipmentConfirmed,
)
from shared.events.storefront import (
    AddressCorrected,
    Buyer,
    CancelRequested,
    OrderPlaced,
    ReorderRequested,
    ReturnRequested,
)
from shared.policy import Policies, Policy
from shared.service import Park, Received
from tests.support.orders import (
    DAY,
    HOLD_ENDS,
    HOUR,
    KETTLES,
    MINUTE,
    OTHER_SELLER,
    POLICIES,
    PURCHASED,
    TEAS,
    address_corrected,
    after,
    approval_withdrawn,
    archived,
    cancel_answered,
    cancel_requested,
    canceled,
    delay_announced,
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
    reorder_checked,
    reorder_requested,
    resend_requested,
    return_received,
    return_requested,
    seller_approves,
    seller_canceled,
    shipment_confirmed,
    shipped,
    stock_rejected,
    stock_reserved,
    unshipped,
)

ASKED = after(seller_approves(unshipped()), cancel_requested(HOLD_ENDS + HOUR))
ORDERS: dict[Standing, Order | None] = {
    None: None,
    "Pending": pending(),
    "Unshipped": ASKED,
    "PartiallyShipped": partially_shipped(return_requested({KETTLES: 1})),
    "Shipped": shipped(return_requested({KETTLES: 1})),
    "Canceled": canceled(),
    "archived": archived(),
}
EVENTS: dict[type[Fact], Received] = {
    OrderPlaced: order_placed(),
    StockReserved: stock_reserved(),
    StockRejected: stock_rejected(),
    PaymentApproved: payment_approved(),
    PaymentRefused: payment_refused(),
    ApprovalWithdrawn: approval_withdrawn(),
    DelayAnnounced: delay_announced(),
    CancelAnswered: cancel_answered(approved=False),
    ShipmentConfirmed: shipment_confirmed({KETTLES: 1}, reference="1"),
    PackageDelivered: package_delivered(),
    CancelRequested: cancel_requested(HOLD_ENDS - MINUTE),
    AddressCorrected: address_corrected(),
    ResendRequested: resend_requested(),
    SellerCanceled: seller_canceled(),
    ReturnRequested: return_requested({KETTLES: 1}, return_id="RMA-2208"),
    ReturnReceived: return_received({(KETTLES, "Damaged"): 1}),
    PackageReturned: package_returned(),
    ReorderRequested: reorder_requested(),
    ReorderChecked: reorder_checked(),
}
CELLS = [(type_, status) for type_ in ARRIVAL for status in ORDERS]


def event_for(type_: type[Fact], order: Order | None) -> Received:
    if type_ is ResendRequested and order and order.status == "Canceled":
        return resend_requested("order_canceled")
    if type_ is not DeadlineReached:
        return EVENTS[type_]
    open_ = order.deadlines if order else ()
    return reached(open_[0]) if open_ else reached(OpenDeadline(kind="hold", due=HOLD_ENDS))


@pytest.mark.parametrize(
    ("type_", "status"), CELLS, ids=lambda cell: getattr(cell, "__name__", str(cell))
)
def test_r25_every_event_does_to_every_status_what_the_table_says(
    type_: type[Fact], status: Standing
) -> None:
    order = ORDERS[status]
    event = event_for(type_, order)
    decided = decide(order, event, POLICIES)

    handling = ARRIVAL[type_][status]
    if handling == "park":
        assert isinstance(decided, Park)
    elif handling == "ignore":
        assert decided == ()
    elif isinstance(handling, Refuse):
        assert not isinstance(decided, Park)
        refusal = decided[0]
        assert isinstance(refusal, RequestRefused)
        assert refusal.reason == handling.reason
        assert (refusal.request_id, refusal.request_type) == (event.event.id, type_.TYPE)
        assert refusal.detail
    else:
        assert not isinstance(decided, Park)
        assert decided
        assert not any(isinstance(fact, RequestRefused) for fact in decided)
        assert after(order, event) != order


def test_r25_the_table_has_a_cell_for_every_event_and_status() -> None:
    assert all(row.keys() == ORDERS.keys() for row in ARRIVAL.values())


@pytest.mark.parametrize("type_", [t for t in ARRIVAL if t is not DeadlineReached])
def test_r25_what_precedes_its_order_is_parked_but_a_shipment_confirmation(
    type_: type[Fact],
) -> None:
    parked = isinstance(decide(None, EVENTS[type_], POLICIES), Park)

    assert parked == (type_ not in {OrderPlaced, ShipmentConfirmed})


def test_r25_parking_lasts_from_the_arrival_in_the_log() -> None:
    arrived = PURCHASED + 3 * DAY
    early = cancel_requested(PURCHASED, arrived=arrived)

    assert decide(None, early, POLICIES) == Park(until=arrived + timedelta(hours=24))
    six_hours = Policies(Policy(parked_hours=6))
    assert decide(None, early, six_hours) == Park(until=arrived + timedelta(hours=6))


@pytest.mark.parametrize("status", [status for status in ORDERS if status])
def test_r25_a_strangers_requests_are_refused_as_such_whatever_the_status(
    status: Standing,
) -> None:
    order = ORDERS[status]
    asked = {
        "not_the_buyer": cancel_requested(PURCHASED + MINUTE, buyer_id="buyer-nosy"),
        "not_the_seller": seller_canceled(seller_id=OTHER_SELLER),
    }
    others = [
        ("not_the_seller", shipment_confirmed(seller_id=OTHER_SELLER, tracking_number="")),
        ("not_the_seller", return_received({(TEAS, "Sellable"): 9}, seller_id=OTHER_SELLER)),
        ("not_the_buyer", return_requested({}, buyer_id="buyer-nosy")),
        ("not_the_buyer", reorder_requested(buyer_id="buyer-nosy")),
        ("not_the_buyer", address_corrected(buyer_id="buyer-nosy")),
        ("not_the_seller", resend_requested(seller_id=OTHER_SELLER)),
    ]

    for reason, event in [*asked.items(), *others]:
        then, facts = play(order, event)

        assert [type(fact) for fact in facts] == [RequestRefused], "and nobody is told"
        assert isinstance(facts[0], RequestRefused)
        assert facts[0].reason == reason
        assert then == order


def test_r25_an_order_is_placed_once() -> None:
    order = unshipped()

    then, facts = play(order, order_placed(PURCHASED + DAY, is_prime=True))

    assert isinstance(facts[0], RequestRefused)
    assert (facts[0].reason, facts[0].other_seller_id) == ("order_exists", None)
    assert then == order


def test_r25_an_order_under_the_id_of_another_sellers_is_refused_with_its_sellers_name() -> None:
    order = unshipped()

    then, facts = play(order, order_placed(PURCHASED + DAY, seller_id=OTHER_SELLER))

    assert isinstance(facts[0], RequestRefused)
    assert (facts[0].reason, facts[0].other_seller_id) == ("order_exists", OTHER_SELLER)
    assert then == order


def test_r8_an_order_under_a_used_id_is_refused_with_who_else_it_names() -> None:
    placed = order_placed(PURCHASED, buyer=Buyer(buyer_id="BUYER-13"), payment_method_ref="card-13")

    _, facts = play(unshipped(), placed)

    assert isinstance(facts[0], RequestRefused)
    assert facts[0].other_seller_id is None
    assert (facts[0].other_buyer_id, facts[0].other_payment_method_ref) == ("BUYER-13", "card-13")


def test_r7_stock_and_payment_after_the_cancel_do_not_revive_the_order() -> None:
    order = canceled()

    then, facts = play(
        order,
        stock_reserved(),
        payment_approved(),
        hold_over(),
        stock_rejected(),
        payment_refused(),
    )

    assert (then, facts) == (order, [])
