"""Builders for the payment service's inputs, and one order's story told through the desk.

Odd figures on purpose; the verification window crosses the end of a short month.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Literal

import pytest
from pydantic_core import from_json

from services.payment.app import build
from services.payment.case import Tally
from services.payment.state import Verification, evolve
from shared.batch import Desk, Input, StoredRecord
from shared.documents import Document
from shared.events.deadlines import DeadlineReached
from shared.events.envelope import Event, Fact, encode
from shared.events.fields import Address, ItemQuantity, Money
from shared.events.fulfillment import (
    FULFILLMENT_EVENTS,
    Cancellation,
    CancelReason,
    OpenUnitsCanceled,
    OrderArchived,
    OrderCanceled,
    Package,
    PackageConfirmed,
    RequestRefused,
    ReturnedItem,
    UnitsReturned,
)
from shared.events.gateway import (
    AuthorizationLapsed,
    FraudSuspected,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentChargedBack,
    PaymentDeclined,
    PaymentRefunded,
    PaymentReversed,
    PaymentVoided,
    RequestFailed,
    VerificationUnavailable,
)
from shared.events.parking import PARKING, ParkedRecord
from shared.events.payment import (
    PAYMENT_EVENTS,
    PROVIDER_ANSWER,
    VERIFICATION,
    AuthorizationRequested,
    CaptureRequested,
    MoneyArrived,
    MoneyReturned,
    NotOwed,
    PaymentRefusal,
    PaymentRefused,
    RefundRequested,
    VoidRequested,
)
from shared.events.seller import ItemCondition
from shared.events.storefront import Buyer, OrderItem, OrderPlaced
from shared.policy import Policies
from shared.service import Received

ORDER = "902-3159896-1390916"
PAY_1, PAY_2 = "PAY-7F3A", "PAY-7F3B"
PURCHASED = datetime(2026, 2, 26, 23, 47, 11, 907_000, UTC)
WINDOW_END = datetime(2026, 3, 5, 23, 47, 11, 907_000, UTC)
ANSWER_DUE = PURCHASED + timedelta(hours=24)
"""Of what the provider is asked for while the purchase is told."""
ONE_MS = timedelta(milliseconds=1)
ITEM = "17-A"
POLICIES = Policies()
_versions = count(1)
DESK = Desk(build(), POLICIES, partition=0, partitions=1)


def eur(amount_minor: int) -> Money:
    return Money(amount_minor=amount_minor, currency="EUR")


TOTAL = eur(79_19)
DOLLARS = Money(amount_minor=TOTAL.amount_minor, currency="USD")


def placed(marketplace_id: str = "A1PA6795UKMFR9") -> OrderPlaced:
    address = Address(name="R. Ek", address_line_1="Kaigatan 3", city="Kiruna", country_code="SE")
    item = OrderItem(order_item_id=ITEM, sku="LAMP-RED", quantity=3, item_price=TOTAL)
    return OrderPlaced(
        order_id=ORDER,
        marketplace_id=marketplace_id,
        seller_id="SELLER-11",
        buyer=Buyer(buyer_id="BUYER-4711"),
        purchase_date=PURCHASED,
        ship_address=address,
        items=(item,),
        order_total=TOTAL,
        payment_method_ref="card-0c2f",
    )


def authorized(payment_id: str = PAY_1, amount: Money = TOTAL) -> PaymentAuthorized:
    return PaymentAuthorized(payment_id=payment_id, amount=amount)


def captured(payment_id: str = PAY_1, amount: Money = TOTAL) -> PaymentCaptured:
    return PaymentCaptured(payment_id=payment_id, amount=amount)


def voided(payment_id: str = PAY_1, amount: Money = TOTAL) -> PaymentVoided:
    return PaymentVoided(payment_id=payment_id, amount=amount)


def refunded(payment_id: str = PAY_1, amount: Money = TOTAL) -> PaymentRefunded:
    return PaymentRefunded(payment_id=payment_id, amount=amount)


def declined(payment_id: str = PAY_1) -> PaymentDeclined:
    return PaymentDeclined(payment_id=payment_id, reason="insufficient funds")


def fraud(payment_id: str = PAY_1) -> FraudSuspected:
    return FraudSuspected(payment_id=payment_id, reason="card reported stolen")


def unavailable(payment_id: str = PAY_1) -> VerificationUnavailable:
    return VerificationUnavailable(payment_id=payment_id, reason="acquirer does not answer")


def canceled(reason: CancelReason = "buyer") -> OrderCanceled:
    cancellation = Cancellation(
        reason=reason, requested_by="BUYER", executed_by="BUYER", canceled_at=PURCHASED
    )
    return OrderCanceled(
        seller_id="SELLER-11",
        cancellation=cancellation,
        buyer_id="BUYER-4711",
        payment_method_ref="card-0c2f",
    )


def id_was_used(
    buyer_id: str | None = "BUYER-13", payment_method_ref: str | None = "card-13"
) -> RequestRefused:
    """The refusal of an order under this order's id that names others."""
    return RequestRefused(
        request_id="event-13",
        request_type=OrderPlaced.TYPE,
        reason="order_exists",
        other_buyer_id=buyer_id,
        other_payment_method_ref=payment_method_ref,
    )


def archived() -> OrderArchived:
    return OrderArchived(seller_id="SELLER-11", archived_at=PURCHASED + timedelta(days=45))


def window_end() -> DeadlineReached:
    return DeadlineReached(publisher="payment", kind=VERIFICATION, due=WINDOW_END)


def answer_due(due: datetime = ANSWER_DUE) -> DeadlineReached:
    return DeadlineReached(publisher="payment", kind=PROVIDER_ANSWER, due=due)


def lapsed(payment_id: str = PAY_1) -> AuthorizationLapsed:
    return AuthorizationLapsed(payment_id=payment_id, reason="seven days over")


def taken_back(payment_id: str = PAY_1, amount: Money | None = None) -> PaymentReversed:
    return PaymentReversed(payment_id=payment_id, amount=amount, reason="sent in error")


def charged_back(payment_id: str = PAY_1, amount: Money | None = None) -> PaymentChargedBack:
    return PaymentChargedBack(payment_id=payment_id, amount=amount, reason="not as described")


def failed(
    request: Literal["capture", "void", "refund"] = "capture", payment_id: str = PAY_1
) -> RequestFailed:
    return RequestFailed(payment_id=payment_id, request=request, reason="account closed")


def packed(units: int = 1) -> PackageConfirmed:
    package = Package(
        package_reference_id="7",
        carrier_code="POSTNORD",
        tracking_number="SE-0417",
        ship_date=PURCHASED,
        order_items=(ItemQuantity(order_item_id=ITEM, quantity=units),),
        confirmed_at=PURCHASED,
    )
    return PackageConfirmed(seller_id="SELLER-11", package=package, edited=False, units_shipped=())


def rest_canceled(units: int) -> OpenUnitsCanceled:
    cancellation = Cancellation(
        reason="shipment_unconfirmed",
        requested_by="MARKETPLACE",
        executed_by="MARKETPLACE",
        canceled_at=PURCHASED,
    )
    items = (ItemQuantity(order_item_id=ITEM, quantity=units),)
    return OpenUnitsCanceled(seller_id="SELLER-11", cancellation=cancellation, units_canceled=items)


def returned(return_id: str, sellable: int = 1, damaged: int = 0) -> UnitsReturned:
    units: tuple[tuple[ItemCondition, int], ...] = (("Sellable", sellable), ("Damaged", damaged))
    return UnitsReturned(
        seller_id="SELLER-11",
        return_id=return_id,
        requested_by="BUYER",
        received_at=PURCHASED,
        items=tuple(
            ReturnedItem(order_item_id=ITEM, sku="LAMP-RED", quantity=n, condition=condition)
            for condition, n in units
            if n
        ),
    )


def refusal(
    reason: PaymentRefusal, payment_id: str | None = None, detail: str = ""
) -> PaymentRefused:
    """It says who counts no more."""
    return PaymentRefused(
        reason=reason,
        payment_id=payment_id,
        detail=detail,
        buyer_id="BUYER-4711",
        payment_method_ref="card-0c2f",
    )


def void(cause: NotOwed, payment_id: str = PAY_1, amount: Money = TOTAL) -> VoidRequested:
    return VoidRequested(payment_id=payment_id, amount=amount, cause=cause, answer_due=ANSWER_DUE)


def refund(
    cause: NotOwed,
    payment_id: str = PAY_1,
    amount: Money = TOTAL,
    return_id: str | None = None,
) -> RefundRequested:
    return RefundRequested(
        payment_id=payment_id,
        amount=amount,
        cause=cause,
        return_id=return_id,
        answer_due=ANSWER_DUE,
    )


def capture(payment_id: str = PAY_1, amount: Money = TOTAL) -> CaptureRequested:
    return CaptureRequested(payment_id=payment_id, amount=amount, answer_due=ANSWER_DUE)


def asked_again(
    amount: Money = TOTAL, payment_id: str = PAY_1, asked_at: datetime = PURCHASED
) -> AuthorizationRequested:
    return AuthorizationRequested(
        lapsed_payment_id=payment_id,
        amount=amount,
        payment_method_ref="card-0c2f",
        asked_at=asked_at,
        answer_due=ANSWER_DUE,
    )


def went(
    how: Literal["voided", "lapsed", "refunded", "reversed"],
    payment_id: str = PAY_1,
    amount: Money = TOTAL,
    at: datetime = PURCHASED,
    *,
    whole: bool = False,
) -> MoneyReturned:
    return MoneyReturned(payment_id=payment_id, amount=amount, how=how, happened_at=at, whole=whole)


def arrived(
    how: Literal["authorized", "captured"],
    payment_id: str = PAY_1,
    amount: Money = TOTAL,
    at: datetime = PURCHASED,
) -> MoneyArrived:
    return MoneyArrived(payment_id=payment_id, amount=amount, how=how, happened_at=at)


def received(
    said: Fact,
    at: datetime = PURCHASED,
    event_id: str = "event",
    tallies: tuple[Tally, Tally] = ("counted", "counted"),
    time: datetime = PURCHASED,
) -> Received:
    """What a decision sees of a fact; facts of our own services come as their publisher's."""
    publisher = "deadlines" if isinstance(said, DeadlineReached) else None
    if type(said) in FULFILLMENT_EVENTS.facts:
        publisher = "fulfillment"
    event = Event[Any](
        id=event_id,
        source="test",
        type=said.TYPE,
        subject=ORDER,
        time=time,
        subjectversion=next(_versions) if publisher else None,
        data=said,
    )
    return Received(event, at, tallies, publisher)


@dataclass
class Story:
    """What is said of one order, one after the other, and what payment says of it.

    Each input has an id of its own unless one is given, and is a tick later than the last unless it
    is told when it was. Facts are read from the wire, without the open deadlines that the partition
    task adds to them.
    """

    document: Document[Verification] = field(default_factory=lambda: Document(ORDER))
    facts: list[Fact] = field(default_factory=list)
    inputs: dict[str, Input] = field(default_factory=dict)
    tick: timedelta = ONE_MS

    def tell(
        self, *said: Fact, event_id: str | None = None, time: datetime | None = None
    ) -> "Story":
        """Hand over inputs in order; one with the id of an earlier one is that one again."""
        for fact in said:
            id_ = event_id or f"event-{len(self.inputs)}"
            self._hand_over(self.inputs.setdefault(id_, self._input(fact, id_, time)))
        return self

    @property
    def state(self) -> Verification:
        return self.document.state or Verification()

    def rebuilt(self) -> Verification:
        """The state by the journal alone."""
        state = Verification()
        for fact in self.facts:
            state = evolve(state, fact, PURCHASED)
        return state

    def _input(self, said: Fact, id_: str, time: datetime | None) -> Input:
        offset = len(self.inputs)
        time = time or PURCHASED + offset * self.tick
        value = encode(said, id_=id_, source="test", subject=ORDER, time=time)
        record = StoredRecord("test", 0, offset, 0, ORDER.encode(), value, ())
        return Input(received(said, event_id=id_, time=time), record)

    def _hand_over(self, item: Input) -> None:
        def reread(parked: ParkedRecord) -> Input:
            return self.inputs[parked.event_id]

        decided = DESK.decide([item], {ORDER: self.document}, reread)
        assert decided.dead == []
        self.document = decided.after.get(ORDER, self.document)
        for out in decided.outgoing:
            type_ = from_json(out.value)["type"]
            fact = PAYMENT_EVENTS.models[type_].model_validate_json(out.value).data
            if not isinstance(fact, PARKING):
                self.facts.append(fact.model_copy(update={"deadlines": ()}))


def told(*said: Fact) -> Verification:
    return Story().tell(*said).state


AWAITING = told(placed())
APPROVED = told(placed(), authorized())
REFUSED = told(placed(), declined())
LAPSED = told(placed(), authorized(), lapsed())
CLOSED = told(placed(), canceled())
DECIDED = pytest.mark.parametrize(
    "state", [APPROVED, REFUSED, CLOSED], ids=["approved", "refused", "closed"]
)
