"""R23: what is over leaves Redis but for a stub, which answers whoever comes late."""

import pytest

from services.fulfillment.store import documents
from shared.documents import LINGER_MS, Document
from shared.events.fulfillment import (
    Order,
    OrderArchived,
    OrderLine,
    PaymentReversalNoted,
    RequestRefused,
)
from shared.events.notices import NoticeRequested
from shared.events.storefront import Buyer
from shared.retention import DAY_MS, JOURNAL_RETENTION_DAYS
from shared.service import Received
from tests.support.orders import (
    BUYER,
    DAY,
    HOLD_ENDS,
    KETTLE,
    KETTLES,
    OTHER_SELLER,
    PURCHASED,
    SELLER,
    after,
    approval_withdrawn,
    archived,
    cancel_answered,
    cancel_requested,
    canceled,
    delay_announced,
    eur,
    order_placed,
    package_delivered,
    partially_shipped,
    payment_approved,
    payment_refused,
    placed,
    play,
    reached,
    reorder_requested,
    return_received,
    return_requested,
    seller_canceled,
    shipment_confirmed,
    shipped,
    stock_rejected,
    stock_reserved,
    unshipped,
)

LATE = HOLD_ENDS + 70 * DAY


def over() -> Order:
    """Shipped and delivered."""
    return shipped(package_delivered())


@pytest.mark.parametrize("order", [over(), canceled()], ids=lambda order: order.status)
def test_r23_an_order_is_archived_45_days_after_it_was_over(order: Order) -> None:
    (deadline,) = order.deadlines

    then, facts = play(order, reached(deadline))

    assert facts == [OrderArchived(seller_id=SELLER, archived_at=deadline.due)]
    assert deadline.due == order.last_update_date + 45 * DAY
    assert then is not None
    assert then.archived_at == deadline.due


def test_r23_the_stub_names_nobody_and_says_what_became_of_the_order() -> None:
    order, stub = over(), archived()

    assert stub.buyer == Buyer(buyer_id=BUYER)
    assert (stub.ship_address, stub.packages, stub.delivery_window) == (None, (), None)
    assert "Mirabel" not in stub.model_dump_json()
    assert "Kastanienallee" not in stub.model_dump_json()
    for kept in ("order_id", "seller_id", "status", "order_total", "purchase_date"):
        assert getattr(stub, kept) == getattr(order, kept), kept
    for line, was in zip(stub.items, order.items, strict=True):
        assert (line.sku, line.item_price) == (was.sku, was.item_price)
        assert (line.quantity, line.quantity_shipped) == (was.quantity, was.quantity_shipped)
    assert archived(canceled()).cancellation == canceled().cancellation


def test_r23_the_stubs_lines_say_what_became_of_their_units_and_not_what_was_bought() -> None:
    engraved = (
        placed()
        .items[0]
        .model_copy(
            update={
                "product_name": "Kettle, engraved: for Mirabel",
                "item_tax": eur(1_911),
                "shipping_price": eur(490),
                "shipping_tax": eur(78),
            }
        )
    )
    order = unshipped(shipment_confirmed({KETTLES: 3}), items=(engraved,))
    asked = return_requested({KETTLES: 1}, HOLD_ENDS + 6 * DAY)
    came = return_received({(KETTLES, "Damaged"): 1})

    (line,) = archived(after(order, package_delivered(), asked, came)).items

    assert line == OrderLine(
        order_item_id=KETTLES,
        sku=KETTLE,
        quantity=3,
        item_price=eur(11_970),
        quantity_shipped=3,
        quantity_returned=1,
    )


def test_r23_a_stub_and_what_was_never_placed_linger_as_long_as_records_can_be_read_again() -> None:
    def expiry(document: Document[Order]) -> list[object]:
        (op,) = documents.write(3, Document("x"), document, lambda _: None)
        return list(op.args[1:])

    assert expiry(Document("x", over(), version=9)) == []
    assert expiry(Document("x", archived(), version=10)) == ["PX", LINGER_MS]
    assert expiry(Document("x", None, version=1)) == ["PX", LINGER_MS]
    assert LINGER_MS > JOURNAL_RETENTION_DAYS * DAY_MS


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (cancel_requested(LATE), "order_archived"),
        (cancel_requested(LATE, buyer_id="buyer-nosy"), "not_the_buyer"),
        (seller_canceled(LATE), "order_archived"),
        (seller_canceled(LATE, seller_id=OTHER_SELLER), "not_the_seller"),
        (cancel_answered(approved=True, at=LATE), "order_archived"),
        (delay_announced(LATE), "order_archived"),
        (shipment_confirmed({KETTLES: 1}, "1", LATE), "order_archived"),
        (package_delivered(at=LATE), "order_archived"),
        (return_requested({KETTLES: 1}, LATE), "order_archived"),
        (reorder_requested(LATE), "order_archived"),
        (order_placed(LATE), "order_exists"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.event.type,
)
@pytest.mark.parametrize("stub", [archived(), archived(canceled())], ids=lambda s: s.status)
def test_r23_who_comes_late_is_answered_by_the_stub(
    stub: Order, event: Received, reason: str
) -> None:
    then, facts = play(stub, event)

    (refused,) = facts
    assert isinstance(refused, RequestRefused)
    assert (refused.reason, then) == (reason, stub)


def test_r23_an_id_of_another_seller_is_told_as_such_by_the_stub_too() -> None:
    _, facts = play(archived(), order_placed(LATE, seller_id=OTHER_SELLER))

    assert isinstance(facts[0], RequestRefused)
    assert facts[0].other_seller_id == OTHER_SELLER


def test_r7_late_answers_about_stock_and_payment_do_not_wake_a_stub() -> None:
    for stub in (archived(), archived(canceled())):
        late = (stock_reserved(LATE), stock_rejected(LATE), payment_approved(LATE))
        assert play(stub, *late, payment_refused(at=LATE)) == (stub, [])


def test_r7_a_chargeback_is_recorded_on_the_stub_of_a_shipped_order() -> None:
    then, facts = play(archived(), approval_withdrawn(LATE), approval_withdrawn(LATE + DAY))

    assert facts == [PaymentReversalNoted(payment_id="pay-83", reversed_at=LATE)]
    assert then is not None
    assert (then.status, then.payment_reversed_at) == ("Shipped", LATE)
    assert play(archived(canceled()), approval_withdrawn(LATE))[1] == []


def test_r18_a_cancel_says_which_units_it_is_about() -> None:
    def canceled_units(order: Order, event: Received) -> dict[str, int]:
        _, facts = play(order, event)
        units = getattr(facts[0], "units_canceled")  # noqa: B009 - of either fact of a cancel
        return {item.order_item_id: item.quantity for item in units}

    assert canceled_units(unshipped(), seller_canceled()) == {KETTLES: 3, "item-tea": 2}
    everything = partially_shipped(shipment_confirmed({"item-tea": 2}, "2"))
    assert canceled_units(everything, approval_withdrawn()) == {KETTLES: 1}


@pytest.mark.parametrize(
    ("order", "stops"),
    [
        (unshipped(), True),
        (partially_shipped(), True),
        (after(None, order_placed(), stock_reserved(), payment_approved()), False),
    ],
    ids=lambda value: getattr(value, "status", value),
)
def test_r7_a_payment_that_is_reversed_stops_what_has_not_shipped(
    order: Order, stops: bool
) -> None:
    then, facts = play(order, approval_withdrawn())

    told = [(fact.kind, fact.reason) for fact in facts[1:] if isinstance(fact, NoticeRequested)]
    kinds = ["order_canceled", *(["do_not_ship"] if stops else [])]
    assert told == [(kind, "payment_reversed") for kind in kinds]
    assert then is not None
    assert then.cancellation is not None
    assert then.cancellation.reason == "payment_reversed"
    assert then.cancellation.executed_by == "MARKETPLACE"
    assert then.status == ("Shipped" if order.status == "PartiallyShipped" else "Canceled")


def test_r7_of_a_shipped_order_it_is_recorded_once_and_nobody_is_told() -> None:
    at = HOLD_ENDS + 9 * DAY

    order, facts = play(shipped(), approval_withdrawn(at), approval_withdrawn(at + DAY))

    assert facts == [PaymentReversalNoted(payment_id="pay-83", reversed_at=at)]
    assert order is not None
    assert (order.status, order.payment_reversed_at) == ("Shipped", at)
    assert order.purchase_date == PURCHASED
