"""One order's story for tests: what happens to it, event by event, and the orders that come of it.

Mirabel buys three kettles and two packs of tea on a Wednesday morning. Every builder returns the
event as a decision receives it; what a test is about, it changes by name.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from services.fulfillment.decisions import decide
from services.fulfillment.state import evolve
from shared.events.carrier import PackageDelivered, PackageReturned
from shared.events.deadlines import DeadlineReached
from shared.events.envelope import Event, Fact, OpenDeadline
from shared.events.fields import Address, ItemQuantity, Money, NoticeKind
from shared.events.fulfillment import Order
from shared.events.inventory import LackingSku, ReorderChecked, StockRejected, StockReserved
from shared.events.notices import NoticeRequested
from shared.events.payment import ApprovalWithdrawn, PaymentApproved, PaymentRefusal, PaymentRefused
from shared.events.seller import (
    CancelAnswered,
    CancelReasonCode,
    DelayAnnounced,
    ItemCondition,
    ReceivedItem,
    ResendRequested,
    ReturnReceived,
    SellerCanceled,
    ShipmentConfirmed,
)
from shared.events.storefront import (
    AddressCorrected,
    Buyer,
    CancelRequested,
    OrderItem,
    OrderPlaced,
    ReorderRequested,
    ReturnRequested,
)
from shared.policy import Policies
from shared.service import Park, Received

ONE_MS = timedelta(milliseconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

POLICIES = Policies()

PURCHASED = datetime(2026, 3, 11, 9, 41, 7, 123000, UTC)
HOLD_ENDS = datetime(2026, 3, 11, 10, 11, 7, 123000, UTC)
SHIP_BY = datetime(2026, 3, 13, 23, 59, 59, tzinfo=UTC)
PROMISED = datetime(2026, 3, 20, 23, 59, 59, tzinfo=UTC)
WARN_AT = datetime(2026, 4, 3, 9, 41, 7, 123000, UTC)
CANCEL_AT = datetime(2026, 4, 10, 9, 41, 7, 123000, UTC)

ORDER_ID = "902-3159896-1390916"
BUYER, CARD = "buyer-mirabel", "card-4711"
SELLER = "A3LUMEN"
OTHER_SELLER = "A9RIVAL"
KETTLE, TEA = "KETTLE-1.7L-CRIMSON", "TEA-EARL-250G"
KETTLES, TEAS = "item-kettle", "item-tea"
ALL_UNITS = {KETTLES: 3, TEAS: 2}
TRACKING = "1Z999AA10123456784"
RETURN = "RMA-2207"
PENDING_UNTIL = datetime(2026, 3, 19, 9, 41, 7, 123000, UTC)
LOST_AT = datetime(2026, 4, 3, 23, 59, 59, tzinfo=UTC)
RETURN_UNTIL = datetime(2026, 4, 19, 23, 59, 59, tzinfo=UTC)


def eur(minor: int) -> Money:
    return Money(amount_minor=minor, currency="EUR")


def placed(**changes: Any) -> OrderPlaced:
    """Three kettles and two packs of tea; `changes` are fields of OrderPlaced."""
    fields: dict[str, Any] = {
        "order_id": ORDER_ID,
        "marketplace_id": "A1PA6795UKMFR9",
        "seller_id": SELLER,
        "buyer": Buyer(buyer_id=BUYER, name="Mirabel Quist", email="mirabel@example.org"),
        "purchase_date": PURCHASED,
        "ship_address": address(),
        "items": (
            OrderItem(order_item_id=KETTLES, sku=KETTLE, quantity=3, item_price=eur(11_970)),
            OrderItem(order_item_id=TEAS, sku=TEA, quantity=2, item_price=eur(1_398)),
        ),
        "order_total": eur(13_368),
        "payment_method_ref": CARD,
    }
    return OrderPlaced(**{**fields, **changes})


def received(
    data: Fact, at: datetime, *, arrived: datetime | None = None, id_: str = ""
) -> Received:
    """`data` as it happened `at` and reached the log when it `arrived`, by default at once."""
    event: Event[Fact] = Event(
        id=id_ or f"{data.TYPE}@{at.isoformat()}",
        source="tests",
        type=data.TYPE,
        subject=ORDER_ID,
        time=at,
        data=data,
    )
    return Received(event, at if arrived is None else arrived)


# What happens to an order, in the order of its life


def order_placed(at: datetime = PURCHASED, **changes: Any) -> Received:
    return received(placed(**changes), at)


def stock_reserved(at: datetime = PURCHASED + timedelta(seconds=2)) -> Received:
    return received(StockReserved(seller_id=SELLER, units=placed().units_by_sku()), at)


def stock_rejected(at: datetime = PURCHASED + timedelta(seconds=2)) -> Received:
    lacking = (LackingSku(sku=KETTLE, requested=3, available=1),)
    return received(StockRejected(seller_id=SELLER, lacking=lacking), at)


def payment_approved(at: datetime = PURCHASED + 4 * MINUTE) -> Received:
    paid = PaymentApproved(payment_id="pay-83", amount=eur(13_368), captured=False)
    return received(paid, at)


def payment_refused(
    reason: PaymentRefusal = "payment_declined", at: datetime = PURCHASED + 4 * MINUTE
) -> Received:
    return received(PaymentRefused(reason=reason, payment_id="pay-83"), at)


def reached(deadline: OpenDeadline, arrived: datetime | None = None) -> Received:
    """An open deadline came; the deadlines service says so at once, or when it `arrived`."""
    data = DeadlineReached(publisher="fulfillment", kind=deadline.kind, due=deadline.due)
    return received(data, deadline.due, arrived=arrived)


def hold_over(at: datetime = HOLD_ENDS) -> Received:
    return reached(OpenDeadline(kind="hold", due=at))


def cancel_requested(
    at: datetime, *, arrived: datetime | None = None, buyer_id: str = BUYER
) -> Received:
    return received(CancelRequested(buyer_id=buyer_id, reason="two is enough"), at, arrived=arrived)


def cancel_answered(
    approved: bool,
    at: datetime = HOLD_ENDS + 5 * HOUR,
    *,
    seller_id: str = SELLER,
    reason: str = "",
) -> Received:
    return received(CancelAnswered(seller_id=seller_id, approved=approved, reason=reason), at)


def delay_announced(
    at: datetime = HOLD_ENDS + DAY,
    *,
    expected: datetime | None = None,
    seller_id: str = SELLER,
) -> Received:
    data = DelayAnnounced(
        seller_id=seller_id, expected_ship_date=expected, reason="the glaze is still wet"
    )
    return received(data, at)


def approval_withdrawn(at: datetime = HOLD_ENDS + 3 * HOUR) -> Received:
    data = ApprovalWithdrawn(payment_id="pay-83", amount=eur(13_368), reason="charged_back")
    return received(data, at)


def seller_canceled(
    at: datetime = HOLD_ENDS + HOUR,
    *,
    seller_id: str = SELLER,
    reason_code: CancelReasonCode = "NoInventory",
    order_item_ids: tuple[str, ...] = (),
) -> Received:
    canceled = SellerCanceled(
        seller_id=seller_id, reason_code=reason_code, order_item_ids=order_item_ids
    )
    return received(canceled, at)


def address(**changes: str) -> Address:
    """Where Mirabel lives."""
    fields = {
        "name": "Mirabel Quist",
        "address_line_1": "Kastanienallee 7",
        "city": "Potsdam",
        "postal_code": "14471",
        "country_code": "DE",
    }
    return Address(**{**fields, **changes})


def address_corrected(
    at: datetime = PURCHASED + 2 * MINUTE, *, buyer_id: str = BUYER, **changes: str
) -> Received:
    """To her neighbour's, unless `changes` say where."""
    to = address(**(changes or {"address_line_1": "Kastanienallee 9"}))
    data = AddressCorrected(buyer_id=buyer_id, ship_address=to, reason="a typing error")
    return received(data, at)


def resend_requested(
    kind: NoticeKind = "estimated_delivery",
    occurrence: int = 1,
    at: datetime = HOLD_ENDS + 2 * HOUR,
    *,
    seller_id: str = SELLER,
) -> Received:
    data = ResendRequested(seller_id=seller_id, kind=kind, occurrence=occurrence)
    return received(data, at, id_=f"again-{kind}-{occurrence}@{at.isoformat()}")


def items(units: dict[str, int]) -> tuple[ItemQuantity, ...]:
    return tuple(ItemQuantity(order_item_id=item, quantity=n) for item, n in units.items())


def shipment_confirmed(
    units: dict[str, int] | None = None,
    reference: str = "1",
    at: datetime = HOLD_ENDS + DAY,
    **changes: Any,
) -> Received:
    """A package with `units` by order item, all of the order by default."""
    fields: dict[str, Any] = {
        "seller_id": SELLER,
        "package_reference_id": reference,
        "carrier_code": "DHL",
        "tracking_number": TRACKING,
        "ship_date": at - HOUR,
        "order_items": items(ALL_UNITS if units is None else units),
    }
    return received(ShipmentConfirmed(**{**fields, **changes}), at)


def package_delivered(
    tracking_number: str = TRACKING, at: datetime = HOLD_ENDS + 4 * DAY
) -> Received:
    return received(PackageDelivered(tracking_number=tracking_number), at)


def return_requested(
    units: dict[str, int],
    at: datetime = HOLD_ENDS + 6 * DAY,
    *,
    arrived: datetime | None = None,
    return_id: str = RETURN,
    buyer_id: str = BUYER,
) -> Received:
    data = ReturnRequested(
        buyer_id=buyer_id, return_id=return_id, items=items(units), reason="it whistles off-key"
    )
    return received(data, at, arrived=arrived, id_=f"{return_id}@{at.isoformat()}")


def return_received(
    units: dict[tuple[str, ItemCondition], int],
    at: datetime = HOLD_ENDS + 11 * DAY,
    *,
    return_id: str = RETURN,
    seller_id: str = SELLER,
) -> Received:
    """What came of a return, by order item and condition."""
    came = tuple(
        ReceivedItem(order_item_id=item, quantity=n, condition=condition)
        for (item, condition), n in units.items()
    )
    data = ReturnReceived(seller_id=seller_id, return_id=return_id, items=came)
    return received(data, at, id_=f"{return_id}-back@{at.isoformat()}")


def package_returned(
    tracking_number: str = TRACKING, at: datetime = HOLD_ENDS + 5 * DAY
) -> Received:
    data = PackageReturned(tracking_number=tracking_number, reason="nobody of that name")
    return received(data, at)


def reorder_requested(at: datetime = HOLD_ENDS + DAY, *, buyer_id: str = BUYER) -> Received:
    return received(ReorderRequested(buyer_id=buyer_id), at)


def reorder_checked(nth: int = 1, *, lacking: int = 0, at: datetime = HOLD_ENDS + DAY) -> Received:
    """Inventory's answer; `lacking` so many kettles."""
    some = (LackingSku(sku=KETTLE, requested=3, available=3 - lacking),) if lacking else ()
    return received(ReorderChecked(seller_id=SELLER, nth=nth, lacking=some), at)


# What becomes of it


def play(
    order: Order | None, *events: Received, policies: Policies = POLICIES
) -> tuple[Order | None, list[Fact]]:
    """Decide `events` in turn, as the partition task does; the order after them and all facts."""
    facts: list[Fact] = []
    for item in events:
        decided = decide(order, item, policies)
        assert not isinstance(decided, Park), f"{item.event.type} was parked"
        time = max(item.event.time, order.last_update_date) if order else item.event.time
        for fact in decided:
            if not isinstance(fact, NoticeRequested):
                order = evolve(order, fact, time)
        facts += decided
    return order, facts


def after(order: Order | None, *events: Received, policies: Policies = POLICIES) -> Order:
    """The order after `events`."""
    then, _ = play(order, *events, policies=policies)
    assert then is not None
    return then


def pending(*events: Received, **changes: Any) -> Order:
    """A placed order, after `events` that leave it Pending; `changes` are fields of OrderPlaced."""
    return after(None, order_placed(**changes), *events)


def unshipped(*events: Received, **changes: Any) -> Order:
    """Reserved, paid and held out."""
    released = (stock_reserved(), payment_approved(), hold_over())
    return pending(*released, *events, **changes)


def seller_approves(order: Order) -> Order:
    """The order, accepted where the seller approves what its buyer cancels (R15)."""
    return order.model_copy(update={"terms": {"buyer_cancel": "seller_approves"}})


def partially_shipped(*events: Received) -> Order:
    """Two of the three kettles are in package 1."""
    return unshipped(shipment_confirmed({KETTLES: 2}), *events)


def shipped(*events: Received) -> Order:
    """All units are in package 1."""
    return unshipped(shipment_confirmed(), *events)


def canceled() -> Order:
    """By its buyer, five minutes after the purchase."""
    return pending(cancel_requested(PURCHASED + 5 * MINUTE))


def archived(order: Order | None = None) -> Order:
    """The stub of an order that is over, by default one that was shipped and delivered."""
    over = order or shipped(package_delivered())
    (deadline,) = over.deadlines
    return after(over, reached(deadline))
