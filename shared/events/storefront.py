"""What the storefront publishes on `orders`: orders placed, and buyers who change their mind."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from shared.events.envelope import About, Fact, Topic
from shared.events.fields import (
    MAX_ITEMS,
    Address,
    Currency,
    Identifier,
    Instant,
    ItemQuantity,
    Model,
    Money,
    OptionalText,
    OrderId,
    Quantity,
    SellerId,
    ServiceLevel,
    Sku,
    SkuQuantity,
    Text,
)


class Buyer(Model):
    """Who ordered; contact data is hidden while the order is Pending (R3)."""

    buyer_id: Identifier
    name: OptionalText = ""
    email: OptionalText = ""
    phone: OptionalText = ""


class TrafficSource(Model):
    """Where the order came from (R20): it splits reports and changes no rule."""

    channel: Literal["organic", "advertisement", "direct"]
    site: Literal["on_site", "off_site"] = "on_site"


class OrderItem(Model):
    """One line of an order; `item_price` is the line's total, as in SP-API."""

    order_item_id: Identifier
    sku: Sku
    product_name: OptionalText = ""
    quantity: Quantity
    item_price: Money
    item_tax: Money | None = None
    shipping_price: Money | None = None
    shipping_tax: Money | None = None


class OrderPlaced(Fact):
    """A buyer placed an order with one seller. `subject` is the order id."""

    TYPE: ClassVar[str] = "order.placed.v1"

    order_id: OrderId
    seller_order_id: OptionalText = ""
    marketplace_id: Identifier
    sales_channel: OptionalText = ""
    seller_id: SellerId
    buyer: Buyer
    purchase_date: Instant
    ship_service_level: ServiceLevel = "Standard"
    ship_address: Address
    items: Annotated[tuple[OrderItem, ...], Field(min_length=1, max_length=MAX_ITEMS)]
    order_total: Money
    payment_method_ref: Identifier
    traffic_source: TrafficSource = TrafficSource(channel="organic")
    is_business_order: bool = False
    purchase_order_number: OptionalText = ""
    is_prime: bool = False

    @model_validator(mode="after")
    def _items_are_told_apart_and_in_one_currency(self) -> Self:
        ids = Counter(item.order_item_id for item in self.items)
        if doubled := [id_ for id_, n in ids.items() if n > 1]:
            raise ValueError(f"items: order_item_id {doubled[0]!r} is there twice")
        currencies = {self.order_total.currency} | {
            money.currency for item in self.items for money in _prices(item)
        }
        if len(currencies) > 1:
            raise ValueError(f"items: one currency per order, not {sorted(currencies)}")
        return self

    def about(self) -> About:
        return About(self.order_id)

    def claimed_instants(self) -> Mapping[str, datetime]:
        return {"data.purchase_date": self.purchase_date}

    @property
    def currency(self) -> Currency:
        return self.order_total.currency

    def units_by_sku(self) -> tuple[SkuQuantity, ...]:
        """Units of the order per SKU; lines of the same SKU are summed (R1)."""
        return units_by_sku(self.items)


def units_by_sku(items: Iterable[OrderItem]) -> tuple[SkuQuantity, ...]:
    """Units per SKU; lines of the same SKU are summed."""
    units: Counter[str] = Counter()
    for item in items:
        units[item.sku] += item.quantity
    return tuple(SkuQuantity.model_construct(sku=s, quantity=n) for s, n in units.items())


def _prices(item: OrderItem) -> tuple[Money, ...]:
    prices = (item.item_price, item.item_tax, item.shipping_price, item.shipping_tax)
    return tuple(price for price in prices if price is not None)


class CancelRequested(Fact):
    """The buyer asks to cancel. The event's `time` is the time of the request (R14)."""

    TYPE: ClassVar[str] = "order.cancel_requested.v1"

    buyer_id: Identifier
    reason: Text = "not given"


class AddressCorrected(Fact):
    """The buyer corrects where the order goes, or the marketplace does it for the buyer, while
    nothing has shipped. A seller can not: what can not be delivered is canceled (R18).
    """

    TYPE: ClassVar[str] = "order.address_corrected.v1"

    buyer_id: Identifier
    ship_address: Address
    requested_by: Literal["BUYER", "MARKETPLACE"] = "BUYER"
    reason: OptionalText = ""


ReturnId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
"""The storefront's id of a return. It holds no colon: a return that the carrier starts does."""


class ReturnRequested(Fact):
    """The buyer asks to return units of an order (R17). The event's `time` is when.

    What a person can leave out is optional here and refused by R17 with its reason.
    """

    TYPE: ClassVar[str] = "order.return_requested.v1"

    buyer_id: Identifier
    return_id: ReturnId
    items: Annotated[tuple[ItemQuantity, ...], Field(max_length=MAX_ITEMS)] = ()
    reason: Text = "not given"


class ReorderRequested(Fact):
    """A buyer who canceled asks for the same again (R19)."""

    TYPE: ClassVar[str] = "order.reorder_requested.v1"

    buyer_id: Identifier


ORDERS = Topic(
    name="orders",
    facts=(
        OrderPlaced,
        CancelRequested,
        AddressCorrected,
        ReturnRequested,
        ReorderRequested,
    ),
    owner="fulfillment",
)
