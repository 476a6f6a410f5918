"""An order's lot: how everybody who has to do with it will act, drawn once."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any, NamedTuple

from shared.events.carrier import PackageDelivered, PackageReturned
from shared.events.envelope import Fact
from shared.events.fields import Address, ItemQuantity, Money
from shared.events.fulfillment import (
    CANCEL_WARNING,
    HOLD,
    SHIP_BY,
    SHIPMENT_UNCONFIRMED,
    OrderCanceled,
    OrderUnshipped,
    PackageConfirmed,
    ReturnOpened,
)
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
    VERIFICATION,
    CaptureRequested,
    RefundRequested,
    VoidRequested,
)
from shared.events.seller import (
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
    ReorderRequested,
    ReturnRequested,
)
from shared.retention import DAY_MS

ONE_MS = timedelta(milliseconds=1)
SCALES_MS = (0, 0, 6, 6, 6, 90_000, 90_000, 2_400_000, 2 * DAY_MS, 11 * DAY_MS)
"""How long an answer takes at most."""
PRICE_MINOR = 1_999
NEVER_PLACED = 0.2
"""Of all orders, those that others speak about, and no storefront ever does."""


class Move(NamedTuple):
    """Something that somebody will say: when, what, and how much earlier it claims to be."""

    at: datetime
    make: "Make"
    late_ms: int = 0


Make = Callable[["Lot", datetime], Fact]
"""Says something about an order, at an instant."""
Habit = Mapping[str, Sequence[Make]]
"""How somebody acts: what is said at the beginning (""), after a fact of some type, or at a
deadline of some kind."""


class Lot:
    """One order, and the habits of all who act on it, with `more` beside those drawn here.

    Where the provider is `called`, it is no gateway that hears requests and answers them.
    """

    def __init__(self, nth: int, random: Random, *more: "Habit", called: bool = False) -> None:
        self.order_id = f"250-{nth:07}-0000001"
        self.seller_id = random.choice(("S1", "S2"))
        self.buyer_id = f"B{nth % 3}"
        self.payment_method_ref = "card-0c2f"
        self.lines = [
            (random.choice(("ATLAS", "BELL", "CUP")), random.randint(1, 2))
            for _ in range(random.choice((1, 1, 2, 3)))
        ]
        self.total = Money(amount_minor=PRICE_MINOR * sum(n for _, n in self.lines), currency="EUR")
        self.random = random
        self.placed = random.random() > NEVER_PLACED
        self.packages = 0
        self.moves: dict[str, list[Make]] = {}
        buyer, gateway, seller, carrier = (
            random.choice(lots) for lots in (BUYERS, GATEWAYS, SELLERS, CARRIERS)
        )
        for habit in (buyer, {} if called else gateway, seller, carrier, *more):
            for when, makes in habit.items():
                self.moves.setdefault(when, []).extend(makes)
        self.heard: dict[str, Mapping[str, Any]] = {}
        """What the last fact of each type said."""
        self._done = {} if called else DONE
        self.moved: defaultdict[tuple[str, str], dict[str, int]] = defaultdict(dict)
        """Of each payment and way, the money that was moved for each request, by its id."""
        self._aimed: set[tuple[str, str]] = set()

    def begins(self, at: datetime) -> Iterable[Move]:
        """What is said of the order without any fact before it."""
        if self.placed:
            yield Move(at, _places)
        for make in self.moves.get("", ()):
            early = self.random.choice((0, 0, 0, 40))
            yield Move(self._some_time_after(at - early * ONE_MS), make, self._late_ms())

    def answers(self, event: Mapping[str, Any], at: datetime) -> Iterable[Move]:
        """What a fact about the order leads to."""
        type_, data = event["type"], event["data"]
        self.heard[type_] = data
        for make in self.moves.get(type_, ()):
            yield Move(self._some_time_after(at), make, self._late_ms())
        if done := self._done.get(type_):
            yield Move(self._some_time_after(at), _moves_money(done, event))
        for deadline in data.get("deadlines", ()):
            aim = (deadline["kind"], deadline["due"])
            if aim not in self._aimed and self.moves.get(deadline["kind"]):
                self._aimed.add(aim)
                due = datetime.fromisoformat(deadline["due"])
                for make in self.moves[deadline["kind"]]:
                    yield Move(due + self.random.randint(-3, 3) * ONE_MS, make)

    def _some_time_after(self, at: datetime) -> datetime:
        scale = self.random.choice(SCALES_MS)
        return at + self.random.randint(0, scale) * ONE_MS

    def _late_ms(self) -> int:
        """A request reaches the log some time after it was made."""
        return self.random.choice((0, 0, 0, 70, 599_999, 600_000, 600_001))


# -- the storefront and its buyers ----------------------------------------------------------------


def _places(lot: Lot, at: datetime) -> Fact:
    address = Address(name="R. Ek", address_line_1="Kaigatan 3", city="Kiruna", country_code="SE")
    items = tuple(
        OrderItem(
            order_item_id=f"item-{n}",
            sku=sku,
            quantity=quantity,
            item_price=Money(amount_minor=PRICE_MINOR * quantity, currency="EUR"),
        )
        for n, (sku, quantity) in enumerate(lot.lines)
    )
    return OrderPlaced(
        order_id=lot.order_id,
        marketplace_id="A1PA6795UKMFR9",
        seller_id=lot.seller_id,
        buyer=Buyer(buyer_id=lot.buyer_id),
        purchase_date=at,
        ship_address=address,
        items=items,
        order_total=lot.total,
        payment_method_ref=lot.payment_method_ref,
    )


def _places_at_another_seller(lot: Lot, at: datetime) -> Fact:
    placed = _places(lot, at)
    return placed.model_copy(update={"seller_id": "S2" if lot.seller_id == "S1" else "S1"})


def _cancels(lot: Lot, _at: datetime) -> Fact:
    return CancelRequested(buyer_id=lot.buyer_id)


def _cancels_as_a_stranger(_lot: Lot, _at: datetime) -> Fact:
    return CancelRequested(buyer_id="stranger")


def _wants_to_return(lot: Lot, _at: datetime) -> Fact:
    nth = lot.random.randrange(len(lot.lines))
    return ReturnRequested(
        buyer_id=lot.buyer_id,
        return_id=lot.random.choice(("R-1", "R-1", "R-2")),
        items=(ItemQuantity(order_item_id=f"item-{nth}", quantity=lot.random.randint(1, 2)),),
    )


def _wants_it_again(lot: Lot, _at: datetime) -> Fact:
    return ReorderRequested(buyer_id=lot.buyer_id)


# -- the gateway ----------------------------------------------------------------------------------


def _authorizes(lot: Lot, _at: datetime) -> Fact:
    return PaymentAuthorized(payment_id=f"P-{lot.order_id}", amount=lot.total)


def _authorizes_again(lot: Lot, _at: datetime) -> Fact:
    return PaymentAuthorized(payment_id=f"P-{lot.order_id}-again", amount=lot.total)


def _authorizes_too_little(lot: Lot, _at: datetime) -> Fact:
    return PaymentAuthorized(
        payment_id=f"P-{lot.order_id}", amount=Money(amount_minor=1, currency="EUR")
    )


def _captures(lot: Lot, _at: datetime) -> Fact:
    return PaymentCaptured(payment_id=f"P-{lot.order_id}", amount=lot.total)


def _declines(lot: Lot, _at: datetime) -> Fact:
    return PaymentDeclined(payment_id=f"P-{lot.order_id}")


def _suspects(lot: Lot, _at: datetime) -> Fact:
    return FraudSuspected(payment_id=f"P-{lot.order_id}")


def _can_not_tell(lot: Lot, _at: datetime) -> Fact:
    return VerificationUnavailable(payment_id=f"P-{lot.order_id}")


Moved = PaymentCaptured | PaymentVoided | PaymentRefunded
DONE: Mapping[str, type[Moved]] = {
    CaptureRequested.TYPE: PaymentCaptured,
    VoidRequested.TYPE: PaymentVoided,
    RefundRequested.TYPE: PaymentRefunded,
}
"""What the gateway says once it has done what it is asked for."""


def _moves_money(how: type[Moved], event: Mapping[str, Any]) -> Make:
    """It does each request once, and says the sum so far."""
    id_, data = event["id"], event["data"]

    def says(lot: Lot, _at: datetime) -> Fact:
        requests = lot.moved[data["payment_id"], how.TYPE]
        requests[id_] = data["amount"]["amount_minor"]
        amount = Money(amount_minor=sum(requests.values()), currency=data["amount"]["currency"])
        return how(payment_id=data["payment_id"], amount=amount)

    return says


# -- the seller and the carrier -------------------------------------------------------------------


def _package(lot: Lot, at: datetime, reference: int, units: Mapping[str, int]) -> Fact:
    return ShipmentConfirmed(
        seller_id=lot.seller_id,
        package_reference_id=str(reference),
        carrier_code="POSTNORD",
        tracking_number=f"SE-{lot.order_id}-{reference}",
        ship_date=at,
        order_items=tuple(ItemQuantity(order_item_id=i, quantity=n) for i, n in units.items()),
    )


def _ships(lot: Lot, at: datetime) -> Fact:
    return _package(lot, at, 1, {f"item-{n}": units for n, (_, units) in enumerate(lot.lines)})


def _ships_one(lot: Lot, at: datetime) -> Fact:
    return _package(lot, at, 1, {"item-0": 1})


def _ships_another(lot: Lot, at: datetime) -> Fact:
    nth = lot.random.randrange(len(lot.lines))
    lot.packages += 1
    return _package(lot, at, 1 + lot.packages, {f"item-{nth}": lot.random.randint(1, 2)})


def _ships_as_a_stranger(lot: Lot, at: datetime) -> Fact:
    return _ships(lot, at).model_copy(update={"seller_id": "S9"})


def _ships_without_a_carrier(lot: Lot, at: datetime) -> Fact:
    return _ships(lot, at).model_copy(update={"carrier_code": ""})


def _takes_back(lot: Lot, _at: datetime) -> Fact:
    nth = lot.random.randrange(len(lot.lines))
    conditions: Sequence[ItemCondition] = ("Sellable", "Damaged")
    items = (
        ReceivedItem(
            order_item_id=f"item-{nth}",
            quantity=lot.random.randint(1, 2),
            condition=lot.random.choice(conditions),
        ),
    )
    return_id = lot.random.choice(("R-1", "R-1", "R-2"))
    return ReturnReceived(seller_id=lot.seller_id, return_id=return_id, items=items)


def _gives_up(lot: Lot, _at: datetime) -> Fact:
    if lot.random.random() < 0.5:
        return SellerCanceled(seller_id=lot.seller_id, reason_code="NoInventory")
    return SellerCanceled(seller_id=lot.seller_id, reason_code="PricingError")


def _brings_back(lot: Lot, _at: datetime) -> Fact:
    return PackageReturned(tracking_number=f"SE-{lot.order_id}-1", reason="refused")


def _delivers(lot: Lot, _at: datetime) -> Fact:
    return PackageDelivered(tracking_number=f"SE-{lot.order_id}-1")


def _delivers_another(lot: Lot, _at: datetime) -> Fact:
    return PackageDelivered(tracking_number=f"SE-{lot.order_id}-{1 + lot.packages}")


# -- habits ---------------------------------------------------------------------------------------

UNSHIPPED, CONFIRMED = OrderUnshipped.TYPE, PackageConfirmed.TYPE
CANCELED, OPENED = OrderCanceled.TYPE, ReturnOpened.TYPE

BUYERS: Sequence[Habit] = (
    *[{}] * 18,
    *[{"": [_cancels]}] * 4,
    {HOLD: [_cancels]},
    {HOLD: [_cancels, _cancels]},
    {UNSHIPPED: [_cancels]},
    {CONFIRMED: [_cancels]},
    {SHIP_BY: [_cancels]},
    {"": [_cancels_as_a_stranger], UNSHIPPED: [_cancels_as_a_stranger]},
    {"": [_places]},
    {"": [_places_at_another_seller]},
    {"": [_places_at_another_seller, _cancels]},
    {VERIFICATION: [_cancels]},
    {CONFIRMED: [_wants_to_return]},
    {CONFIRMED: [_wants_to_return, _wants_to_return]},
    {"": [_cancels], CANCELED: [_wants_it_again]},
    {OPENED: [_wants_to_return], CONFIRMED: [_wants_to_return, _wants_it_again]},
)
GATEWAYS: Sequence[Habit] = (
    *[{"": [_authorizes]}] * 10,
    *[{"": [_captures]}] * 3,
    {"": [_authorizes, _captures]},
    {"": [_authorizes, _authorizes_again]},
    {"": [_authorizes_too_little]},
    {"": [_declines]},
    {"": [_suspects]},
    {"": [_can_not_tell], HOLD: [_authorizes]},
    {VERIFICATION: [_authorizes]},
    {VERIFICATION: [_captures, _declines]},
    {HOLD: [_authorizes]},
    {},
    {CANCELED: [_captures]},
)
SELLERS: Sequence[Habit] = (
    {UNSHIPPED: [_ships], OPENED: [_takes_back]},
    {UNSHIPPED: [_ships], OPENED: [_takes_back, _takes_back]},
    {UNSHIPPED: [_ships, _takes_back], OPENED: [_takes_back]},
    {UNSHIPPED: [_ships_one, _ships_another]},
    {UNSHIPPED: [_ships_one], CONFIRMED: [_ships_another]},
    {UNSHIPPED: [_ships, _ships_one]},
    {UNSHIPPED: [_ships_one, _gives_up]},
    {UNSHIPPED: [_gives_up]},
    {"": [_ships], UNSHIPPED: [_ships]},
    {"": [_gives_up]},
    {SHIP_BY: [_ships]},
    {SHIPMENT_UNCONFIRMED: [_ships]},
    {SHIPMENT_UNCONFIRMED: [_ships_one, _gives_up]},
    {CANCEL_WARNING: [_ships_another, _ships_another]},
    {},
    {UNSHIPPED: [_ships_as_a_stranger, _ships_without_a_carrier, _ships]},
    {HOLD: [_ships]},
)
CARRIERS: Sequence[Habit] = (
    {CONFIRMED: [_delivers]},
    {CONFIRMED: [_delivers, _delivers_another]},
    {CONFIRMED: [_delivers, _brings_back]},
    {CONFIRMED: [_brings_back], UNSHIPPED: [_brings_back]},
    {UNSHIPPED: [_delivers]},
    {"": [_delivers]},
    {},
)
