"""Orders of every kind, and who says what about them: what load is made of.

How an order ends does not depend on when which service is up: no two inputs of it race, but where
its life says so. So after any number of kills each can be checked against what it should be.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from shared.events.carrier import PackageDelivered, PackageReturned
from shared.events.envelope import Event, Fact
from shared.events.fields import Address, ItemQuantity, Money
from shared.events.fulfillment import OrderCanceled, OrderUnshipped, PackageConfirmed, ReturnOpened
from shared.events.gateway import (
    FraudSuspected,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentDeclined,
    PaymentRefunded,
    PaymentVoided,
    VerificationUnavailable,
)
from shared.events.payment import (
    CaptureRequested,
    RefundRequested,
    VerificationUnknown,
    VoidRequested,
)
from shared.events.seller import (
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
from tests.support.papers import Said

SELLERS, SKUS = 3, 4
"""No divisors of the number of lives: every seller has orders of every kind."""
PRICE = Money(amount_minor=1_999, currency="EUR")
TOTAL = Money(amount_minor=2 * 1_999, currency="EUR")
HOME = Address(name="R. Ek", address_line_1="Kaigatan 3", city="Kiruna", country_code="SE")
NEXT_DOOR = HOME.model_copy(update={"address_line_1": "Kaigatan 30"})
FIRST, SECOND = "first", "second"
"""Every order has two lines of one unit each."""
RARE, NEVER_COUNTED = "RARE", "NEVER-COUNTED"


@dataclass(frozen=True)
class Order:
    """One order: its number, how it goes, and how often each event about it is sent."""

    nth: int
    life: "Life"
    times: int = 1

    @property
    def order_id(self) -> str:
        return f"250-{self.nth:07}-0000001"

    @property
    def seller_id(self) -> str:
        return f"S{self.nth % SELLERS}"

    @property
    def sku(self) -> str:
        return self.life.sku or f"SKU-{self.nth % SKUS}"

    @property
    def buyer_id(self) -> str:
        return f"B{self.nth}"

    @property
    def payment_id(self) -> str:
        return f"P{self.nth}"


Says = Callable[[Order, Event[Fact]], Fact]
"""What somebody says about an order because of an event."""


class Life(NamedTuple):
    """How an order goes: how it may end, what is said at once, and what after which fact."""

    ends: tuple[str, ...]
    at_once: tuple[Says, ...] = ()
    then: Mapping[type[Fact], tuple[Says, ...]] = {}
    paid_first: bool = False
    sku: str = ""

    def answers(self, fact: Fact) -> tuple[Says, ...]:
        """What is said after a fact; the gateway does whatever it is asked to (R7)."""
        if isinstance(fact, CaptureRequested | VoidRequested | RefundRequested):
            return (moves_money,)
        return self.then.get(type(fact), ())


def places(order: Order, cause: Event[Fact]) -> Fact:
    """The buyer orders, now."""
    items = (FIRST, SECOND)
    return OrderPlaced(
        order_id=order.order_id,
        marketplace_id="A13V1IB3VIYZZH",
        seller_id=order.seller_id,
        buyer=Buyer(buyer_id=order.buyer_id),
        purchase_date=cause.time,
        ship_address=HOME,
        items=tuple(
            OrderItem(order_item_id=item, sku=order.sku, quantity=1, item_price=PRICE)
            for item in items
        ),
        order_total=TOTAL,
        payment_method_ref=f"card-{order.nth}",
    )


def authorizes(order: Order, _: Event[Fact]) -> Fact:
    return PaymentAuthorized(payment_id=order.payment_id, amount=TOTAL)


def authorizes_too_little(order: Order, _: Event[Fact]) -> Fact:
    return PaymentAuthorized(payment_id=order.payment_id, amount=PRICE)


def captures(order: Order, _: Event[Fact]) -> Fact:
    return PaymentCaptured(payment_id=order.payment_id, amount=TOTAL)


def declines(order: Order, _: Event[Fact]) -> Fact:
    return PaymentDeclined(payment_id=order.payment_id)


def suspects(order: Order, _: Event[Fact]) -> Fact:
    return FraudSuspected(payment_id=order.payment_id)


def can_not_tell(order: Order, _: Event[Fact]) -> Fact:
    return VerificationUnavailable(payment_id=order.payment_id)


def moves_money(order: Order, cause: Event[Fact]) -> Fact:
    request = cause.data
    if isinstance(request, CaptureRequested):
        return PaymentCaptured(payment_id=order.payment_id, amount=request.amount)
    if isinstance(request, VoidRequested):
        return PaymentVoided(payment_id=order.payment_id, amount=request.amount)
    assert isinstance(request, RefundRequested)
    return PaymentRefunded(payment_id=order.payment_id, amount=request.amount)


def wants_out(order: Order, _: Event[Fact]) -> Fact:
    return CancelRequested(buyer_id=order.buyer_id)


def corrects(order: Order, _: Event[Fact]) -> Fact:
    return AddressCorrected(buyer_id=order.buyer_id, ship_address=NEXT_DOOR)


def wants_the_tracking_number_again(order: Order, _: Event[Fact]) -> Fact:
    return ResendRequested(seller_id=order.seller_id, kind="package_shipped")


def has_none(order: Order, _: Event[Fact]) -> Fact:
    return SellerCanceled(seller_id=order.seller_id, reason_code="NoInventory")


def ships(order: Order, cause: Event[Fact]) -> Fact:
    return _package(order, cause, "1", FIRST, SECOND)


def ships_first(order: Order, cause: Event[Fact]) -> Fact:
    return _package(order, cause, "1", FIRST)


def ships_second(order: Order, cause: Event[Fact]) -> Fact:
    return _package(order, cause, "2", SECOND)


def delivers(order: Order, cause: Event[Fact]) -> Fact:
    confirmed = cause.data
    if isinstance(confirmed, PackageConfirmed):
        return PackageDelivered(tracking_number=confirmed.package.tracking_number)
    return PackageDelivered(tracking_number=_tracking_number(order, "1"))


def can_not_deliver(order: Order, _: Event[Fact]) -> Fact:
    return PackageReturned(tracking_number=_tracking_number(order, "1"), reason="moved away")


def sends_back(order: Order, _: Event[Fact]) -> Fact:
    return ReturnRequested(
        buyer_id=order.buyer_id,
        return_id=f"RMA-{order.nth}",
        items=tuple(ItemQuantity(order_item_id=item, quantity=1) for item in (FIRST, SECOND)),
    )


def takes_back(order: Order, cause: Event[Fact]) -> Fact:
    """Of what comes back the first line is as good as new."""
    opened = cause.data
    assert isinstance(opened, ReturnOpened)
    conditions: dict[str, ItemCondition] = {FIRST: "Sellable", SECOND: "Damaged"}
    return ReturnReceived(
        seller_id=order.seller_id,
        return_id=opened.return_id,
        items=tuple(
            ReceivedItem(
                order_item_id=item.order_item_id,
                quantity=item.quantity,
                condition=conditions[item.order_item_id],
            )
            for item in opened.items
        ),
    )


def wants_it_after_all(order: Order, _: Event[Fact]) -> Fact:
    return ReorderRequested(buyer_id=order.buyer_id)


def _package(order: Order, cause: Event[Fact], reference: str, *items: str) -> ShipmentConfirmed:
    return ShipmentConfirmed(
        seller_id=order.seller_id,
        package_reference_id=reference,
        carrier_code="POSTNORD",
        tracking_number=_tracking_number(order, reference),
        ship_date=cause.time,
        order_items=tuple(ItemQuantity(order_item_id=item, quantity=1) for item in items),
    )


def _tracking_number(order: Order, reference: str) -> str:
    return f"SE-{order.nth}-{reference}"


SHIPPED: tuple[str, ...] = ("Shipped",)
BUYER: tuple[str, ...] = ("Canceled: buyer",)
OUT_OF_STOCK = "Canceled: out_of_stock"
PACKED: Mapping[type[Fact], tuple[Says, ...]] = {
    OrderUnshipped: (ships,),
    PackageConfirmed: (delivers,),
}

LIVES: Mapping[str, Life] = {
    "ships": Life(SHIPPED, (authorizes,), PACKED),
    "is captured at once": Life(SHIPPED, (captures,), PACKED),
    "is paid before it is placed": Life(SHIPPED, (authorizes,), PACKED, paid_first=True),
    "ships in parts": Life(
        SHIPPED,
        (authorizes,),
        {OrderUnshipped: (ships_first, ships_second), PackageConfirmed: (delivers,)},
    ),
    "is paid later": Life(SHIPPED, (can_not_tell,), {VerificationUnknown: (authorizes,), **PACKED}),
    "is to go elsewhere": Life(
        SHIPPED, (authorizes, corrects), {**PACKED, PackageConfirmed: (delivers, corrects)}
    ),
    "is told of again": Life(
        SHIPPED,
        (authorizes,),
        {**PACKED, PackageConfirmed: (delivers, wants_the_tracking_number_again)},
    ),
    "is canceled in the hold": Life(BUYER, (authorizes, wants_out)),
    "is captured and canceled": Life(BUYER, (captures, wants_out)),
    "is paid after its cancel": Life(BUYER, (wants_out, authorizes)),
    "is canceled after the hold": Life(BUYER, (authorizes,), {OrderUnshipped: (wants_out,)}),
    "is canceled while it ships": Life(
        ("Shipped", "Canceled: buyer"),
        (authorizes,),
        {OrderUnshipped: (wants_out, ships), PackageConfirmed: (delivers,)},
    ),
    "is canceled too late": Life(
        SHIPPED, (authorizes,), {**PACKED, PackageConfirmed: (wants_out, delivers)}
    ),
    "is canceled by its seller": Life(
        ("Canceled: seller",), (authorizes,), {OrderUnshipped: (has_none,)}
    ),
    "is sent back": Life(
        SHIPPED,
        (authorizes,),
        {**PACKED, PackageConfirmed: (delivers, sends_back), ReturnOpened: (takes_back,)},
    ),
    "is undeliverable": Life(
        SHIPPED,
        (authorizes,),
        {**PACKED, PackageConfirmed: (can_not_deliver,), ReturnOpened: (takes_back,)},
    ),
    "is wanted after all": Life(
        BUYER, (authorizes, wants_out), {OrderCanceled: (wants_it_after_all,)}
    ),
    "is declined": Life(("Canceled: payment_declined",), (declines,)),
    "is fraud": Life(("Canceled: fraud_suspected",), (suspects,)),
    "is paid too little": Life(("Canceled: payment_mismatch",), (authorizes_too_little,)),
    "is never paid": Life(("Canceled: payment_timeout",)),
    "is never confirmed": Life(
        ("Canceled: shipment_unconfirmed",), (authorizes,), {OrderUnshipped: (delivers,)}
    ),
    "is confirmed in part": Life(
        ("Shipped: shipment_unconfirmed",), (authorizes,), {OrderUnshipped: (ships_first,)}
    ),
    "is out of stock": Life((OUT_OF_STOCK,), (authorizes,), sku=NEVER_COUNTED),
    "wants what is rare": Life(("Shipped", OUT_OF_STOCK), (authorizes,), PACKED, sku=RARE),
}
"""Every way in which an order goes; all of them come in turn."""


def ended(said: Said) -> str:
    """How the order stands, as `Life.ends` says it."""
    assert said.order is not None
    why = said.order.cancellation
    return f"{said.order.status}: {why.reason}" if why else said.order.status
