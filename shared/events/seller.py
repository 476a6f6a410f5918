"""What sellers publish on `shipments`: packages confirmed, delays, cancels. Subject: the order."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from shared.events.envelope import Fact, Topic
from shared.events.fields import (
    MAX_ITEMS,
    Identifier,
    Instant,
    ItemQuantity,
    Model,
    NoticeKind,
    OptionalText,
    Quantity,
    SellerId,
)

PACKAGE_REFERENCE = r"^[1-9][0-9]{0,17}$"
PackageReference = Annotated[str, StringConstraints(pattern=PACKAGE_REFERENCE)]
"""SP-API's packageReferenceId: a positive number as a string."""

OTHER_CARRIER = "Other"

CancelReasonCode = Literal[
    "NoInventory",
    "BuyerCanceled",
    "ShippingAddressUndeliverable",
    "PricingError",
    "GeneralAdjustment",
    "CustomerExchange",
]
"""The reasons for which a seller may cancel (R18)."""

ItemCondition = Literal["Sellable", "Damaged"]
"""Of what came back: sellable units go back to stock (R17)."""


class ShipmentConfirmed(Fact):
    """The seller confirms one package (SP-API's confirmShipment). The event's `time` is when the
    confirmation was made; lateness is judged by it, not by `ship_date` (R12).

    What a person can leave out or mistype is optional here and refused by R11 with its reason, so
    that the refusal is a fact of the order and not a dead letter.
    """

    TYPE: ClassVar[str] = "shipment.confirmed.v1"

    seller_id: SellerId
    package_reference_id: OptionalText = ""
    carrier_code: OptionalText = ""
    carrier_name: OptionalText = ""
    shipping_method: OptionalText = ""
    tracking_number: OptionalText = ""
    ship_date: Instant | None = None
    order_items: Annotated[tuple[ItemQuantity, ...], Field(max_length=MAX_ITEMS)] = ()


class SellerCanceled(Fact):
    """The seller cancels an Unshipped order, as a whole (R18).

    `order_item_ids` are the items that the seller has named, as Amazon's cancel feed does: all of
    the order, or none, or it is refused.
    """

    TYPE: ClassVar[str] = "order.seller_canceled.v1"

    seller_id: SellerId
    reason_code: CancelReasonCode
    order_item_ids: Annotated[tuple[Identifier, ...], Field(max_length=MAX_ITEMS)] = ()


class ReceivedItem(Model):
    """Units of one order item that came back in one condition."""

    order_item_id: Identifier
    quantity: Quantity
    condition: ItemCondition


class ReturnReceived(Fact):
    """The goods of a return are back with the seller (R17): all that came of it, which may be fewer
    units than were asked for. An item may be there once per condition.
    """

    TYPE: ClassVar[str] = "order.return_received.v1"

    seller_id: SellerId
    return_id: Identifier
    items: Annotated[tuple[ReceivedItem, ...], Field(max_length=2 * MAX_ITEMS)] = ()


class DelayAnnounced(Fact):
    """The seller says, before the ship-by date passes, that the order will ship late (R12).

    `expected_ship_date` is the new date, where the seller knows one.
    """

    TYPE: ClassVar[str] = "order.delay_announced.v1"

    seller_id: SellerId
    expected_ship_date: Instant | None = None
    reason: OptionalText = ""


class CancelAnswered(Fact):
    """The seller answers a buyer's request to cancel (R15)."""

    TYPE: ClassVar[str] = "order.cancel_answered.v1"

    seller_id: SellerId
    approved: bool
    reason: OptionalText = ""


class ResendRequested(Fact):
    """A notice of the order is to be sent again, to whom it was sent (P4)."""

    TYPE: ClassVar[str] = "order.resend_requested.v1"

    seller_id: SellerId
    kind: NoticeKind
    occurrence: Annotated[int, Field(ge=1)] = 1


SHIPMENTS = Topic(
    name="shipments",
    facts=(
        ShipmentConfirmed,
        DelayAnnounced,
        SellerCanceled,
        CancelAnswered,
        ReturnReceived,
        ResendRequested,
    ),
    owner="fulfillment",
)
