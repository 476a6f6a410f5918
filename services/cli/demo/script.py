"""The language in which the demo's orders are written: who says what, how long after which fact.

    Script(..., acts=(
        Act(authorizes, 1 * MINUTE),
        Act(confirms(1, 2), 20 * HOUR, since=UNSHIPPED),
    ))

The actors of `cast.py` play it: what is counted from a fact begins when that fact is read from
Kafka, and every event's time is the planned one, so a run with the same seed tells the same story.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from services.cli.provider_server import Answer
from shared.events.carrier import PackageDelivered
from shared.events.envelope import Fact
from shared.events.fields import Address, ItemQuantity, Money, ServiceLevel
from shared.events.fulfillment import (
    CancelAsked,
    CancelDenied,
    OrderUnshipped,
    PackageConfirmed,
    ReturnOpened,
    ShipmentLate,
)
from shared.events.gateway import (
    FraudSuspected,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentDeclined,
    VerificationUnavailable,
)
from shared.events.seller import (
    CancelAnswered,
    DelayAnnounced,
    ItemCondition,
    ReceivedItem,
    ReturnReceived,
    SellerCanceled,
    ShipmentConfirmed,
)
from shared.events.storefront import (
    Buyer,
    CancelRequested,
    OrderItem,
    OrderPlaced,
    ReturnRequested,
    TrafficSource,
)

AMERICA, BRITAIN = "ATVPDKIKX0DER", "A1F83G8C2ARO7P"
FRANCE, TURKEY = "A13V1IB3VIYZZH", "A33AVAJ2PDY3EV"
"""Amazon's own ids. France and Turkey have the default policy, the others files of their own."""
CURRENCIES = {AMERICA: "USD", BRITAIN: "GBP", FRANCE: "EUR", TURKEY: "TRY"}
COUNTRIES = {AMERICA: "US", BRITAIN: "GB", FRANCE: "FR", TURKEY: "TR"}
CARRIERS = {AMERICA: "UPS", BRITAIN: "DPD", FRANCE: "DHL", TURKEY: "PTT"}

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
OPENING = datetime(2027, 3, 1, 16, tzinfo=UTC)
"""A Monday without holidays near: which days are working days changes dates and with them stories,
so every run has the same."""
DIRECT = TrafficSource(channel="direct")


class Moment(NamedTuple):
    """The nth fact of a type about an order."""

    fact: type[Fact]
    nth: int = 1


PLACED = Moment(OrderPlaced)
UNSHIPPED = Moment(OrderUnshipped)
FIRST_LATE_NOTICE, SECOND_LATE_NOTICE = Moment(ShipmentLate), Moment(ShipmentLate, 2)
FIRST_PACKAGE = Moment(PackageConfirmed)
CANCEL_ASKED, CANCEL_DENIED = Moment(CancelAsked), Moment(CancelDenied)
RETURN_OPENED = Moment(ReturnOpened)


class Line(NamedTuple):
    """Units of one SKU in an order; the price is the line's, in minor units."""

    sku: str
    quantity: int
    price_minor: int


@dataclass(frozen=True, kw_only=True)
class Script:
    """One order: what is bought, `at` so long after the opening, and what is done about it.

    `provider` is how the payment provider answers each operation, try by try. Without it the
    provider defers, and the gateway says what comes of the payment.
    """

    order_id: str
    at: timedelta
    seller_id: str
    buyer_id: str
    lines: tuple[Line, ...]
    marketplace_id: str = FRANCE
    level: ServiceLevel = "Standard"
    traffic: TrafficSource = DIRECT
    acts: tuple["Act", ...] = ()
    provider: Mapping[str, Sequence[Answer]] = field(default_factory=dict)

    @property
    def total(self) -> Money:
        return self.money(sum(line.price_minor for line in self.lines))

    @property
    def payment_id(self) -> str:
        return f"pay-{self.order_id}"

    def money(self, amount_minor: int) -> Money:
        return Money(amount_minor=amount_minor, currency=CURRENCIES[self.marketplace_id])

    def item_id(self, nth: int) -> str:
        """The id of the nth line's order item, counted from 0."""
        return f"{self.order_id}.{nth + 1}"

    @property
    def return_id(self) -> str:
        return f"RMA-{self.order_id[4:11]}"

    def tracking_number(self, reference: int) -> str:
        return f"{CARRIERS[self.marketplace_id]}-{self.order_id[4:11]}-{reference}"


Says = Callable[[Script, datetime], Fact]
"""What somebody says about an order at an instant."""


class Errand(NamedTuple):
    """Something said that is part of no order, so long after the opening; who says it again with
    the same `id_` says nothing new.
    """

    at: timedelta
    subject: str
    fact: Fact
    id_: str | None = None


class Act(NamedTuple):
    """Somebody says something, `after` so long since a fact of the order."""

    says: Says
    after: timedelta
    since: Moment = PLACED


# -- the storefront -------------------------------------------------------------------------------


def places(script: Script, at: datetime) -> OrderPlaced:
    """The buyer orders; the buyer has a number for a name."""
    country = COUNTRIES[script.marketplace_id]
    return OrderPlaced(
        order_id=script.order_id,
        marketplace_id=script.marketplace_id,
        sales_channel=f"demo.{country.lower()}",
        seller_id=script.seller_id,
        buyer=Buyer(buyer_id=script.buyer_id, name=script.buyer_id),
        purchase_date=at,
        ship_service_level=script.level,
        ship_address=Address(
            name=script.buyer_id,
            address_line_1="1 Example Street",
            city="Exampleton",
            postal_code="00001",
            country_code=country,
        ),
        items=tuple(
            OrderItem(
                order_item_id=script.item_id(nth),
                sku=line.sku,
                quantity=line.quantity,
                item_price=script.money(line.price_minor),
            )
            for nth, line in enumerate(script.lines)
        ),
        order_total=script.total,
        payment_method_ref=f"card-{script.buyer_id}",
        traffic_source=script.traffic,
    )


def wants_out(script: Script, _at: datetime) -> CancelRequested:
    """The buyer asks to cancel."""
    return CancelRequested(buyer_id=script.buyer_id, reason="changed my mind")


def wants_to_return(*quantities: int) -> Says:
    """The buyer asks to return so many units of each line."""

    def ask(script: Script, _at: datetime) -> ReturnRequested:
        return ReturnRequested(
            buyer_id=script.buyer_id,
            return_id=script.return_id,
            items=_quantities(script, quantities),
            reason="too small",
        )

    return ask


def _quantities(script: Script, quantities: Sequence[int]) -> tuple[ItemQuantity, ...]:
    """So many units of each line; of none where it is 0."""
    return tuple(
        ItemQuantity(order_item_id=script.item_id(nth), quantity=quantity)
        for nth, quantity in enumerate(quantities)
        if quantity
    )


# -- the payment gateway --------------------------------------------------------------------------


def authorizes(script: Script, _at: datetime) -> PaymentAuthorized:
    """The order's total is held on the buyer's account."""
    return PaymentAuthorized(payment_id=script.payment_id, amount=script.total)


def captures(script: Script, _at: datetime) -> PaymentCaptured:
    """The order's total is taken at once, as some providers do."""
    return PaymentCaptured(payment_id=script.payment_id, amount=script.total)


def declines(script: Script, _at: datetime) -> PaymentDeclined:
    """The bank says no."""
    return PaymentDeclined(payment_id=script.payment_id, reason="insufficient funds")


def suspects(script: Script, _at: datetime) -> FraudSuspected:
    """The provider's risk check says fraud."""
    return FraudSuspected(payment_id=script.payment_id, reason="stolen card")


def cannot_tell(script: Script, _at: datetime) -> VerificationUnavailable:
    """The provider is out of order: unknown is not refused (R5)."""
    return VerificationUnavailable(payment_id=script.payment_id, reason="bank out of reach")


# -- the seller -----------------------------------------------------------------------------------


def confirms(reference: int, *quantities: int) -> Says:
    """The seller confirms a package with so many units of each line; without any, of all lines."""

    def confirm(script: Script, at: datetime) -> ShipmentConfirmed:
        packed = quantities or tuple(line.quantity for line in script.lines)
        return ShipmentConfirmed(
            seller_id=script.seller_id,
            package_reference_id=str(reference),
            carrier_code=CARRIERS[script.marketplace_id],
            tracking_number=script.tracking_number(reference),
            ship_date=at,
            order_items=_quantities(script, packed),
        )

    return confirm


def has_none(script: Script, _at: datetime) -> SellerCanceled:
    """The seller finds the shelf empty."""
    return SellerCanceled(seller_id=script.seller_id, reason_code="NoInventory")


def announces_delay(length: timedelta) -> Says:
    """The seller says that the order will ship so much later than now."""

    def announce(script: Script, at: datetime) -> DelayAnnounced:
        return DelayAnnounced(
            seller_id=script.seller_id, expected_ship_date=at + length, reason="kiln is broken"
        )

    return announce


def agrees(script: Script, _at: datetime) -> CancelAnswered:
    """The seller lets the buyer cancel."""
    return CancelAnswered(seller_id=script.seller_id, approved=True)


def does_not_agree(script: Script, _at: datetime) -> CancelAnswered:
    """The seller does not."""
    return CancelAnswered(seller_id=script.seller_id, approved=False, reason="engraved already")


def receives(sellable: int, damaged: int) -> Says:
    """The seller has a return back: so many units of the first line, in each condition."""
    came: tuple[tuple[int, ItemCondition], ...] = ((sellable, "Sellable"), (damaged, "Damaged"))

    def receive(script: Script, _at: datetime) -> ReturnReceived:
        return ReturnReceived(
            seller_id=script.seller_id,
            return_id=script.return_id,
            items=tuple(
                ReceivedItem(order_item_id=script.item_id(0), quantity=units, condition=condition)
                for units, condition in came
                if units
            ),
        )

    return receive


# -- the carrier ----------------------------------------------------------------------------------


def delivers(reference: int) -> Says:
    """The carrier hands a package over, whether the seller has confirmed it or not."""

    def deliver(script: Script, _at: datetime) -> PackageDelivered:
        return PackageDelivered(tracking_number=script.tracking_number(reference))

    return deliver
