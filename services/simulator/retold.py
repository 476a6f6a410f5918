"""A past order's moments as the events that the outside would have published about them.

A seller confirms at the later of the file's moment and the one at which the order became Unshipped;
whoever retells a history has to know the latter, and when a refund is asked for, which is done at
once. What the file does not name is made up here: each order has a buyer and a card of its own.
"""

from datetime import datetime
from typing import Literal
from zlib import crc32

from services.simulator.history import Mapped, PastOrder
from shared.events.carrier import TRACKING, PackageDelivered
from shared.events.envelope import Fact, Topic
from shared.events.fields import Address, ItemQuantity, Money
from shared.events.gateway import PAYMENTS, PaymentCaptured, PaymentRefunded
from shared.events.seller import SHIPMENTS, ShipmentConfirmed
from shared.events.storefront import ORDERS, Buyer, OrderItem, OrderPlaced

SELLER = "HISTORY"
SKUS = 100
"""A history that names no products: its orders are spread over so many."""
PRICE_MINOR = 10_000
"""Nor amounts: every order is of 100.00. It is captured when it is approved."""
ITEM = "1"

Kind = Literal["placed", "approved", "carrier", "delivered", "refunded"]


def retold(order: PastOrder, kind: Kind, at: datetime, mapped: Mapped) -> tuple[Topic, Fact]:
    """What is said of an order when a moment of its life comes, and on which topic."""
    tracking_number, payment_id = f"T-{order.order_id}", f"P-{order.order_id}"[:64]
    match kind:
        case "placed":
            return ORDERS, _placed(order, mapped)
        case "approved":
            amount = amount_of(order, mapped)
            return PAYMENTS, PaymentCaptured(payment_id=payment_id, amount=amount)
        case "refunded":
            amount = amount_of(order, mapped)
            return PAYMENTS, PaymentRefunded(payment_id=payment_id, amount=amount)
        case "carrier":
            return SHIPMENTS, ShipmentConfirmed(
                seller_id=SELLER,
                package_reference_id="1",
                carrier_code="Other",
                carrier_name="Correios",
                tracking_number=tracking_number,
                ship_date=at,
                order_items=(ItemQuantity(order_item_id=ITEM, quantity=order.quantity),),
            )
        case "delivered":
            return TRACKING, PackageDelivered(tracking_number=tracking_number)


def amount_of(order: PastOrder, mapped: Mapped) -> Money:
    """The order's total."""
    return order.amount or Money(amount_minor=PRICE_MINOR, currency=mapped.currency)


def sku_of(order: PastOrder) -> str:
    """What was ordered."""
    return order.sku or f"SKU-{crc32(order.order_id.encode()) % SKUS:02d}"


def _placed(order: PastOrder, mapped: Mapped) -> OrderPlaced:
    price = amount_of(order, mapped)
    item = OrderItem(
        order_item_id=ITEM, sku=sku_of(order), quantity=order.quantity, item_price=price
    )
    return OrderPlaced(
        order_id=order.order_id,
        marketplace_id=mapped.marketplace_id,
        seller_id=SELLER,
        buyer=Buyer(buyer_id=order.order_id),
        purchase_date=order.purchased,
        ship_service_level=order.service_level,
        ship_address=Address(
            name="Not in the history",
            address_line_1="Not in the history",
            city="Not in the history",
            country_code=mapped.country_code,
        ),
        items=(item,),
        order_total=price,
        payment_method_ref=order.order_id,
    )
