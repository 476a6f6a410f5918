"""What fulfillment publishes on `fulfillment.events`: every change of an order, with a snapshot.

The snapshot (`data.order`, an `Order`) is what SP-API's ORDER_CHANGE is for sellers: a consumer
needs no other source. It holds what is hidden from sellers while the order is Pending (R3); who
shows it hides it.
"""

from typing import Annotated, ClassVar, Literal, get_args

from pydantic import Field

from shared.documents import State
from shared.events.envelope import Fact, ServiceFact, Topic
from shared.events.fields import (
    MAX_ITEMS,
    MAX_PACKAGES,
    MAX_QUANTITY,
    MAX_RETURNS,
    Address,
    EventId,
    Identifier,
    Instant,
    ItemQuantity,
    Model,
    Money,
    NoticeKind,
    OptionalText,
    OrderId,
    Quantity,
    SellerId,
    ServiceLevel,
    Sku,
    SkuQuantity,
    Text,
)
from shared.events.inventory import SkuChange
from shared.events.parking import PARKING
from shared.events.seller import CancelReasonCode, ItemCondition, PackageReference
from shared.events.storefront import Buyer, OrderItem, OrderPlaced, TrafficSource
from shared.policy_fields import Terms

OrderStatus = Literal["Pending", "Unshipped", "PartiallyShipped", "Shipped", "Canceled"]
"""SP-API's names; computed from units, hold, stock and payment, never set by hand."""

Condition = Literal["stock", "payment", "hold"]
"""What an order waits for while it is Pending (R9)."""

Party = Literal["BUYER", "MERCHANT", "MARKETPLACE"]

ReturnParty = Literal["BUYER", "CARRIER"]
"""Who starts a return."""

CancelReason = Literal[
    "out_of_stock",
    "payment_declined",
    "fraud_suspected",
    "payment_mismatch",
    "payment_timeout",
    "velocity_exceeded",
    "spend_exceeded",
    "buyer_blocked",
    "card_blocked",
    "buyer",
    "seller",
    "shipment_unconfirmed",
    "payment_reversed",
]

StuckReason = Literal["pending_too_long", "cancel_unanswered", "package_lost", "return_overdue"]
"""The kind of a wait that passed its deadline, and that no rule ends (R23)."""

RefusalReason = Literal[
    "unknown_order",
    "order_exists",
    "order_pending",
    "order_canceled",
    "order_shipped",
    "order_archived",
    "not_the_buyer",
    "not_the_seller",
    "missing_field",
    "unknown_item",
    "item_not_named",
    "more_units_than_open",
    "too_many_packages",
    "package_delivered",
    "package_returned",
    "not_shipped",
    "more_units_than_shipped",
    "return_window_over",
    "return_exists",
    "return_received",
    "more_units_than_in_return",
    "too_many_returns",
    "units_in_return",
    "not_canceled",
    "not_canceled_by_buyer",
    "cancel_not_asked",
    "ship_by_passed",
    "date_out_of_range",
    "another_country",
    "no_such_notice",
]

HOLD = "hold"
SHIP_BY = "ship_by"
CANCEL_WARNING = "cancel_warning"
SHIPMENT_UNCONFIRMED = "shipment_unconfirmed"
PENDING_TOO_LONG = "pending_too_long"
CANCEL_UNANSWERED = "cancel_unanswered"
PACKAGE_LOST = "package_lost"
RETURN_OVERDUE = "return_overdue"
ARCHIVE = "archive"
"""Kinds of an order's deadlines."""

Units = Annotated[int, Field(ge=0, le=MAX_QUANTITY)]


class OrderLine(OrderItem):
    """An order item and what became of its units: open, shipped or canceled; of the shipped ones
    some are returned (R17).
    """

    quantity_shipped: Units = 0
    quantity_canceled: Units = 0
    quantity_returned: Units = 0

    @property
    def quantity_open(self) -> int:
        return self.quantity - self.quantity_shipped - self.quantity_canceled


class Package(Model):
    """A confirmed package; delivery is the package's, not the order's.

    Not delivered by `lost_at`, it counts as lost (R23). `returned_at` is when the carrier said that
    it brings the package back, undelivered.
    """

    package_reference_id: PackageReference
    carrier_code: Text
    carrier_name: OptionalText = ""
    shipping_method: OptionalText = ""
    tracking_number: Text
    ship_date: Instant
    order_items: Annotated[tuple[ItemQuantity, ...], Field(min_length=1, max_length=MAX_ITEMS)]
    confirmed_at: Instant
    lost_at: Instant | None = None
    delivered_at: Instant | None = None
    returned_at: Instant | None = None


class Return(Model):
    """Units on their way back, asked for by the buyer or brought by the carrier (R17).

    `items` is empty once they were received: the order's lines count them then.
    """

    return_id: Identifier
    requested_by: ReturnParty
    items: Annotated[tuple[ItemQuantity, ...], Field(max_length=MAX_ITEMS)]
    requested_at: Instant
    overdue_at: Instant
    received_at: Instant | None = None


class UnconfirmedDelivery(Model):
    """The carrier delivered under a tracking number that no confirmed package has (R13)."""

    tracking_number: Text
    carrier_delivered_at: Instant


class DateWindow(Model):
    """From the start of a local day to the end of one, in UTC, as SP-API sends them."""

    earliest: Instant
    latest: Instant


class Cancellation(Model):
    """Why units were canceled, who asked for it and who did it (R15)."""

    reason: CancelReason
    requested_by: Party
    executed_by: Party
    within_hold: bool = False
    seller_reason_code: CancelReasonCode | None = None
    canceled_at: Instant


class BuyerRequestedCancel(Model):
    """The buyer's request to cancel, while the seller is to answer it (R15); `nth` counts them."""

    nth: Annotated[int, Field(ge=1)]
    reason: Text
    asked_at: Instant
    answer_due: Instant


class AnnouncedDelay(Model):
    """What the seller said last about shipping late (R12)."""

    expected_ship_date: Instant | None = None
    reason: OptionalText = ""
    announced_at: Instant


class Stuck(Model):
    """What an order waits for in vain: nothing of its own ends it, a person may have to (R23)."""

    reason: StuckReason
    since: Instant


class Order(State):
    """An order as it is now.

    `terms` are what it keeps of the policy that it was accepted under (R24).
    `released_at` is when it left Pending, the latest of hold end, approval and reservation; while
    it is Pending, the latest of those that came. `cancel_warning_at` is gone once the seller was
    warned; it, `next_late_notice_at` and `cancel_at` are deadlines only while a unit is open.
    `pending_until` is one while it is Pending, `archive_at` once it is over. `stuck` ends by itself
    when its cause does. Of an archived order a stub is left that names no person: no address, no
    contact, no dates and packages, but its status, units and prices.
    """

    order_id: OrderId
    seller_order_id: OptionalText = ""
    marketplace_id: Identifier
    sales_channel: OptionalText = ""
    fulfillment_channel: Literal["MFN"] = "MFN"
    seller_id: SellerId
    buyer: Buyer
    purchase_date: Instant
    last_update_date: Instant
    status: OrderStatus
    waits_for: tuple[Condition, ...] = ()
    hold_ends: Instant
    ship_service_level: ServiceLevel
    ship_address: Address | None = None
    items: Annotated[tuple[OrderLine, ...], Field(min_length=1, max_length=MAX_ITEMS)]
    order_total: Money
    payment_method_ref: Identifier
    traffic_source: TrafficSource
    is_business_order: bool = False
    purchase_order_number: OptionalText = ""
    is_prime: bool = False
    terms: Terms | None = None
    payments_date: Instant | None = None
    released_at: Instant | None = None
    ship_window: DateWindow | None = None
    delivery_window: DateWindow | None = None
    next_late_notice_at: Instant | None = None
    cancel_warning_at: Instant | None = None
    cancel_at: Instant | None = None
    packages: Annotated[tuple[Package, ...], Field(max_length=MAX_PACKAGES)] = ()
    unconfirmed_deliveries: Annotated[
        tuple[UnconfirmedDelivery, ...], Field(max_length=MAX_PACKAGES)
    ] = ()
    returns: Annotated[tuple[Return, ...], Field(max_length=MAX_RETURNS)] = ()
    late_notices: Annotated[int, Field(ge=0)] = 0
    refused_cancels: Annotated[int, Field(ge=0)] = 0
    reorders_asked: Annotated[int, Field(ge=0)] = 0
    reorders_answered: Annotated[int, Field(ge=0)] = 0
    asked_cancels: Annotated[int, Field(ge=0)] = 0
    address_changes: Annotated[int, Field(ge=0)] = 0
    notices_resent: Annotated[int, Field(ge=0)] = 0
    announced_delay: AnnouncedDelay | None = None
    buyer_requested_cancel: BuyerRequestedCancel | None = None
    cancellation: Cancellation | None = None
    payment_reversed_at: Instant | None = None
    stuck: Annotated[tuple[Stuck, ...], Field(max_length=len(get_args(StuckReason)))] = ()
    pending_until: Instant | None = None
    archive_at: Instant | None = None
    archived_at: Instant | None = None

    @property
    def lingers(self) -> bool:
        return self.archived_at is not None


class EndingFact(ServiceFact):
    """A fact after which the order may be over; if it is, it is archived at `archive_at` (R23)."""

    archive_at: Instant | None = None


class OrderHeld(ServiceFact):
    """A placed order is Pending and held until `hold_ends` (R2), under these terms (R24).

    Still Pending at `pending_until`, it waits for an answer that does not come: it is stuck (R23).
    """

    TYPE: ClassVar[str] = "order.held.v1"

    placed: OrderPlaced
    hold_ends: Instant
    pending_until: Instant | None = None
    terms: Terms | None = None


class ConditionMet(ServiceFact):
    """One of the things that a Pending order waits for came, others are still awaited (R9)."""

    TYPE: ClassVar[str] = "order.condition_met.v1"

    condition: Condition
    met_at: Instant


class OrderUnshipped(ServiceFact):
    """Held out, paid and reserved, whichever came last; to ship by `ship_window.latest` (R9)."""

    TYPE: ClassVar[str] = "order.unshipped.v1"

    condition: Condition
    met_at: Instant
    ship_window: DateWindow
    delivery_window: DateWindow
    warn_at: Instant
    cancel_at: Instant


class PackageConfirmed(EndingFact):
    """The seller confirmed a package, or edited a confirmed one (R11).

    `units_shipped` are the changes per SKU against what was shipped before: all positive for a new
    package, of either sign for an edit.
    """

    TYPE: ClassVar[str] = "order.package_confirmed.v1"

    seller_id: SellerId
    package: Package
    edited: bool
    units_shipped: Annotated[tuple[SkuChange, ...], Field(max_length=MAX_ITEMS)]


class PackageDelivered(EndingFact):
    """The carrier delivered: a confirmed package or, without reference, another (R13)."""

    TYPE: ClassVar[str] = "order.package_delivered.v1"

    tracking_number: Text
    package_reference_id: PackageReference | None = None
    delivered_at: Instant


class PackageReturned(EndingFact):
    """The carrier could not deliver the package and brings it back; it is not edited any more."""

    TYPE: ClassVar[str] = "order.package_returned.v1"

    tracking_number: Text
    package_reference_id: PackageReference
    reason: OptionalText = ""
    returned_at: Instant


class ShipmentLate(ServiceFact):
    """The ship-by date, or the repeat of its notice, passed with units unconfirmed (R12)."""

    TYPE: ClassVar[str] = "order.shipment_late.v1"

    occurrence: Annotated[int, Field(ge=1)]
    delivery_window: DateWindow
    next_notice_at: Instant


class CancelWarned(ServiceFact):
    """The seller was warned that the order will be canceled unless it is confirmed (R13)."""

    TYPE: ClassVar[str] = "order.cancel_warned.v1"


class ShipmentDelayed(ServiceFact):
    """The seller announced a delay before the ship-by date passed; the buyer has a new date (R12).

    `occurrence` counts on with that of ShipmentLate: each is one new date.
    """

    TYPE: ClassVar[str] = "order.shipment_delayed.v1"

    occurrence: Annotated[int, Field(ge=1)]
    delivery_window: DateWindow
    delay: AnnouncedDelay


class CancelAsked(ServiceFact):
    """The buyer asks to cancel, and the seller is to answer (R15: `seller_approves`)."""

    TYPE: ClassVar[str] = "order.cancel_asked.v1"

    request: BuyerRequestedCancel


class CancelDenied(ServiceFact):
    """The buyer's request to cancel came to nothing: the seller denied it, or shipped (R15)."""

    TYPE: ClassVar[str] = "order.cancel_denied.v1"

    nth: Annotated[int, Field(ge=1)]
    because: Literal["seller_denied", "shipped"]
    reason: OptionalText = ""


class OrderCanceled(EndingFact):
    """All units of the order are canceled; nothing was shipped."""

    TYPE: ClassVar[str] = "order.canceled.v1"

    seller_id: SellerId
    cancellation: Cancellation
    buyer_id: Identifier | None = None
    payment_method_ref: Identifier | None = None
    units_canceled: Annotated[tuple[ItemQuantity, ...], Field(max_length=MAX_ITEMS)] = ()


class OpenUnitsCanceled(EndingFact):
    """What was still open of a partly shipped order is canceled; the order is Shipped (R13)."""

    TYPE: ClassVar[str] = "order.open_units_canceled.v1"

    seller_id: SellerId
    cancellation: Cancellation
    buyer_id: Identifier | None = None
    payment_method_ref: Identifier | None = None
    units_canceled: Annotated[tuple[ItemQuantity, ...], Field(max_length=MAX_ITEMS)] = ()


class AddressChanged(ServiceFact):
    """Where the order goes was corrected, before anything shipped; `nth` counts it."""

    TYPE: ClassVar[str] = "order.address_changed.v1"

    nth: Annotated[int, Field(ge=1)]
    requested_by: Literal["BUYER", "MARKETPLACE"]
    ship_address: Address
    reason: OptionalText = ""


class NoticeResent(ServiceFact):
    """A notice is sent again, because a person asked for it; `nth` counts all of the order's."""

    TYPE: ClassVar[str] = "order.notice_resent.v1"

    nth: Annotated[int, Field(ge=1)]
    kind: NoticeKind
    occurrence: Annotated[int, Field(ge=1)]


class PaymentReversalNoted(ServiceFact):
    """The payment of a shipped order was reversed or charged back: recorded, nothing more (R7)."""

    TYPE: ClassVar[str] = "order.payment_reversal_noted.v1"

    payment_id: Identifier
    reversed_at: Instant


class OrderStuck(ServiceFact):
    """A wait of the order passed its deadline, and no rule ends it (R23).

    It is over when its cause is: the snapshot then holds it no more.
    """

    TYPE: ClassVar[str] = "order.stuck.v1"

    stuck: Stuck


class OrderArchived(ServiceFact):
    """The order ended long ago: all but a stub of it leaves Redis (R23)."""

    TYPE: ClassVar[str] = "order.archived.v1"

    seller_id: SellerId
    archived_at: Instant


class ReturnOpened(ServiceFact):
    """Units are on their way back: the buyer asked to return them, or the carrier brings back what
    it could not deliver (R17); overdue when the seller has not received them by then.
    """

    TYPE: ClassVar[str] = "order.return_opened.v1"

    seller_id: SellerId
    return_id: Identifier
    requested_by: ReturnParty
    items: Annotated[tuple[ItemQuantity, ...], Field(min_length=1, max_length=MAX_ITEMS)]
    reason: OptionalText = ""
    requested_at: Instant
    overdue_at: Instant


class ReturnedItem(Model):
    """Units of one order item that are back in one condition."""

    order_item_id: Identifier
    sku: Sku
    quantity: Quantity
    condition: ItemCondition


class UnitsReturned(EndingFact):
    """The seller received a return, which is over now: what was paid for these units is refunded
    (R17). `sellable` units per SKU go back to stock, `damaged` ones do not.
    """

    TYPE: ClassVar[str] = "order.units_returned.v1"

    seller_id: SellerId
    return_id: Identifier
    requested_by: ReturnParty
    received_at: Instant
    items: Annotated[tuple[ReturnedItem, ...], Field(min_length=1, max_length=2 * MAX_ITEMS)]
    sellable: Annotated[tuple[SkuQuantity, ...], Field(max_length=MAX_ITEMS)] = ()
    damaged: Annotated[tuple[SkuQuantity, ...], Field(max_length=MAX_ITEMS)] = ()


class ReorderAsked(ServiceFact):
    """The buyer who canceled asks for the same again: inventory says whether it lasts (R19)."""

    TYPE: ClassVar[str] = "order.reorder_asked.v1"

    seller_id: SellerId
    nth: Annotated[int, Field(ge=1)]
    units: Annotated[tuple[SkuQuantity, ...], Field(min_length=1, max_length=MAX_ITEMS)]


class ReorderAnswered(ServiceFact):
    """The buyer is told whether the same can be had again (R19)."""

    TYPE: ClassVar[str] = "order.reorder_answered.v1"

    nth: Annotated[int, Field(ge=1)]
    in_stock: bool


class RequestRefused(ServiceFact):
    """A business "no": what was asked, why not, and at which field (R11, R16, R25).

    `other_seller_id` is there only where an order was placed under the id of another seller's
    order: the refused one's seller, for whom inventory gives back what it had reserved. So are
    `other_buyer_id` and `other_payment_method_ref` where an order under a used id names others than
    its order does: with them it counts no more (R8).
    """

    TYPE: ClassVar[str] = "order.request_refused.v1"

    request_id: EventId
    request_type: Text
    reason: RefusalReason
    other_seller_id: SellerId | None = None
    other_buyer_id: Identifier | None = None
    other_payment_method_ref: Identifier | None = None
    field: OptionalText = ""
    detail: OptionalText = ""


class OrderSnapshot(Fact):
    """The part of every fact on `fulfillment.events` that holds the order after it."""

    TYPE: ClassVar[str] = "order.*"

    order: Order | None = None


FULFILLMENT_EVENTS = Topic(
    name="fulfillment.events",
    facts=(
        OrderHeld,
        ConditionMet,
        OrderUnshipped,
        PackageConfirmed,
        PackageDelivered,
        PackageReturned,
        ShipmentDelayed,
        ShipmentLate,
        CancelAsked,
        CancelDenied,
        CancelWarned,
        OrderCanceled,
        OpenUnitsCanceled,
        ReturnOpened,
        UnitsReturned,
        ReorderAsked,
        ReorderAnswered,
        AddressChanged,
        NoticeResent,
        PaymentReversalNoted,
        OrderStuck,
        OrderArchived,
        RequestRefused,
        *PARKING,
    ),
    publisher="fulfillment",
)
