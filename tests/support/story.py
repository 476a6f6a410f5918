"""One order in a town: who acts on it, each act a sentence, and what was said about it."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from shared.dead_letters import Kept
from shared.events.carrier import PackageDelivered, PackageReturned
from shared.events.envelope import Fact, Topic
from shared.events.fields import Address, ItemQuantity, Money, NoticeKind
from shared.events.fulfillment import FULFILLMENT_EVENTS, Order, RequestRefused
from shared.events.gateway import (
    FraudSuspected,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentDeclined,
    PaymentRefunded,
    PaymentVoided,
    VerificationUnavailable,
)
from shared.events.inventory import INVENTORY_EVENTS, StockLevelChanged
from shared.events.notices import NOTICES, NoticeRequested, NoticeRequestedAgain
from shared.events.parking import TASK, EventParked, EventUnparked
from shared.events.payment import (
    PAYMENT_EVENTS,
    RefundRequested,
    VerificationStarted,
    VoidRequested,
)
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
from shared.events.topics import PUBLISHED
from tests.support.town import Shelf, Town

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
ONE_MS = timedelta(milliseconds=1)

ESTIMATED = ("BUYER", "estimated_delivery")
PACKED = ("BUYER", "package_shipped")
CANCELED = ("BUYER", "order_canceled")
"""Notices that nearly every story has."""
RELEASED = ["held", "condition_met stock", "condition_met payment", "unshipped hold"]
"""The life of an order until it is Unshipped, if it is paid in its hold."""

PRICE_MINOR = 3_990
ITEM = "item-kettle"
_OURS = {topic.name for topic in PUBLISHED}
BY_THE_WAY = (*TASK, VerificationStarted)
"""Facts that a story does not wait for: one topic may be ahead of another (R25, R7)."""


class Story:
    """An order of `units` from a shelf; nothing has happened to it yet."""

    def __init__(self, town: Town, shelf: Shelf, *, units: int = 1) -> None:
        nth = town.number()
        self.order_id = f"902-{nth:07}-1390916"
        self.buyer_id = f"BUYER-{nth}"
        self.payment_id = f"PAY-{nth}"
        self.total = Money(amount_minor=units * PRICE_MINOR, currency="EUR")
        self.units = units
        self.shelf = shelf
        self._town = town

    # -- the storefront, the buyer ----------------------------------------------------------------

    def placed(self, **changes: Any) -> OrderPlaced:
        """What the storefront says of it when it is placed now; `changes` are its fields."""
        fields: dict[str, Any] = {
            "order_id": self.order_id,
            "marketplace_id": "A13V1IB3VIYZZH",
            "seller_id": self.shelf.seller_id,
            "buyer": Buyer(buyer_id=self.buyer_id, name="Mirabel Quist"),
            "purchase_date": self._town.now,
            "ship_address": Address(
                name="Mirabel Quist",
                address_line_1="Kastanienallee 7",
                city="Potsdam",
                country_code="DE",
            ),
            "items": (
                OrderItem(
                    order_item_id=ITEM,
                    sku=self.shelf.sku,
                    quantity=self.units,
                    item_price=self.total,
                ),
            ),
            "order_total": self.total,
            "payment_method_ref": f"card-{self.order_id}",
        }
        return OrderPlaced(**{**fields, **changes})

    async def is_placed(self, *, id_: str | None = None, **changes: Any) -> None:
        await self.hears(self.placed(**changes), id_=id_)

    async def is_canceled_by_the_buyer(self, *, asked_at: datetime | None = None) -> None:
        await self.hears(CancelRequested(buyer_id=self.buyer_id, reason="two teas"), at=asked_at)

    async def is_asked_back(self, units: int, *, return_id: str = "RMA-1") -> None:
        """The buyer asks to return so many units."""
        quantity = ItemQuantity(order_item_id=ITEM, quantity=units)
        await self.hears(
            ReturnRequested(
                buyer_id=self.buyer_id, return_id=return_id, items=(quantity,), reason="too loud"
            )
        )

    async def is_to_go_to(self, street: str) -> None:
        """The buyer corrects the address."""
        address = self.placed().ship_address.model_copy(update={"address_line_1": street})
        await self.hears(AddressCorrected(buyer_id=self.buyer_id, ship_address=address))

    async def is_wanted_after_all(self) -> None:
        await self.hears(ReorderRequested(buyer_id=self.buyer_id))

    # -- the gateway ------------------------------------------------------------------------------

    async def is_authorized(self, *, amount_minor: int | None = None) -> None:
        amount = self.total
        if amount_minor is not None:
            amount = Money(amount_minor=amount_minor, currency="EUR")
        await self.hears(PaymentAuthorized(payment_id=self.payment_id, amount=amount))

    async def is_captured(self) -> None:
        await self.hears(PaymentCaptured(payment_id=self.payment_id, amount=self.total))

    async def is_declined(self) -> None:
        await self.hears(PaymentDeclined(payment_id=self.payment_id, reason="insufficient funds"))

    async def is_suspected(self) -> None:
        await self.hears(FraudSuspected(payment_id=self.payment_id, reason="stolen card"))

    async def is_unknown_to_the_provider(self) -> None:
        await self.hears(VerificationUnavailable(payment_id=self.payment_id, reason="silent"))

    async def is_voided(self, amount_minor: int | None = None) -> None:
        amount = Money(amount_minor=amount_minor or self.total.amount_minor, currency="EUR")
        await self.hears(PaymentVoided(payment_id=self.payment_id, amount=amount))

    async def is_refunded(self) -> None:
        await self.hears(PaymentRefunded(payment_id=self.payment_id, amount=self.total))

    # -- the seller, the carrier ------------------------------------------------------------------

    async def is_shipped(self, units: int | None = None, *, reference: int = 1) -> None:
        """The seller confirms a package with so many units, by default all."""
        quantity = ItemQuantity(order_item_id=ITEM, quantity=units or self.units)
        await self.hears(
            ShipmentConfirmed(
                seller_id=self.shelf.seller_id,
                package_reference_id=str(reference),
                carrier_code="DHL",
                tracking_number=self.tracking_number(reference),
                ship_date=self._town.now,
                order_items=(quantity,),
            )
        )
        if self.money[-1:] == ["capture_requested"]:
            await self.is_captured()

    async def is_canceled_by_the_seller(self, reason_code: CancelReasonCode) -> None:
        seller_id = self.shelf.seller_id
        await self.hears(SellerCanceled(seller_id=seller_id, reason_code=reason_code))

    async def is_delayed(self, length: timedelta) -> None:
        """The seller says that the order ships so much later than now."""
        await self.hears(
            DelayAnnounced(
                seller_id=self.shelf.seller_id,
                expected_ship_date=self._town.now + length,
                reason="flood in the cellar",
            )
        )

    async def is_answered(self, *, approved: bool) -> None:
        """The seller answers the buyer's request to cancel."""
        seller_id = self.shelf.seller_id
        await self.hears(CancelAnswered(seller_id=seller_id, approved=approved, reason="as it is"))

    async def is_to_be_told_again(self, kind: NoticeKind) -> None:
        seller_id = self.shelf.seller_id
        await self.hears(ResendRequested(seller_id=seller_id, kind=kind))

    async def is_delivered(self, *, reference: int = 1) -> None:
        await self.hears(PackageDelivered(tracking_number=self.tracking_number(reference)))

    async def is_undeliverable(self, *, reference: int = 1) -> None:
        number = self.tracking_number(reference)
        await self.hears(PackageReturned(tracking_number=number, reason="moved away"))

    async def is_back(
        self, sellable: int = 0, damaged: int = 0, *, return_id: str = "RMA-1"
    ) -> None:
        """The seller has received so many units of a return."""
        came: tuple[tuple[int, ItemCondition], ...]
        came = ((sellable, "Sellable"), (damaged, "Damaged"))
        await self.hears(
            ReturnReceived(
                seller_id=self.shelf.seller_id,
                return_id=return_id,
                items=tuple(
                    ReceivedItem(order_item_id=ITEM, quantity=units, condition=condition)
                    for units, condition in came
                    if units
                ),
            )
        )

    def tracking_number(self, reference: int) -> str:
        return f"00340{self.order_id[4:11]}{reference}"

    async def hears(
        self, fact: Fact, *, at: datetime | None = None, id_: str | None = None
    ) -> None:
        """Somebody says something about the order, and all that comes of it comes."""
        await self._town.say(fact, self.order_id, at=at, id_=id_)

    # -- what was said ----------------------------------------------------------------------------

    @property
    def order(self) -> Order:
        """The order as it is now."""
        order = self._town.papers.order(self.order_id)
        assert order is not None, f"{self.order_id} was never placed"
        return order

    @property
    def status(self) -> str:
        """Its status, and why it is that where it was canceled."""
        why = self.order.cancellation
        return f"{self.order.status}: {why.reason}" if why else self.order.status

    @property
    def life(self) -> list[str]:
        """What fulfillment says about it, in its order."""
        return self._types(FULFILLMENT_EVENTS)

    @property
    def stock(self) -> list[str]:
        """What inventory says about it, in its order."""
        return self._types(INVENTORY_EVENTS)

    @property
    def money(self) -> list[str]:
        """What payment says about it, in its order."""
        return self._types(PAYMENT_EVENTS)

    @property
    def parking(self) -> list[Fact]:
        """What the outside said that was parked and taken out again, by whomever.

        Facts of ours are parked as well, where their reader has them before the order: by chance.
        """
        said = [each.fact for each in self._town.papers.said[self.order_id]]
        parked = [fact.record for fact in said if isinstance(fact, EventParked)]
        ours = {record.event_id for record in parked if record.topic in _OURS}
        return [
            fact
            for fact in said
            if (isinstance(fact, EventParked) and fact.record.event_id not in ours)
            or (isinstance(fact, EventUnparked) and fact.event_id not in ours)
        ]

    @property
    def given_back(self) -> list[tuple[str, int, str]]:
        """What the gateway is asked to give back: how, how much of it, and why."""
        facts = (said.fact for said in self._town.papers.of(self.order_id, PAYMENT_EVENTS))
        return [
            (_name(fact), fact.amount.amount_minor, fact.cause)
            for fact in facts
            if isinstance(fact, VoidRequested | RefundRequested)
        ]

    @property
    def notices(self) -> list[tuple[str, str]]:
        """Who is told what, in its order."""
        return [(notice.recipient, notice.kind) for notice in self.notice()]

    def notice(self, kind: str | None = None) -> list[NoticeRequested]:
        """The notices of a kind, or all, in their order."""
        facts = [said.fact for said in self._town.papers.of(self.order_id, NOTICES)]
        notices = [fact for fact in facts if type(fact) is NoticeRequested]
        assert max(Counter((n.kind, n.occurrence) for n in notices).values(), default=1) == 1
        return [notice for notice in notices if kind in {None, notice.kind}]

    @property
    def told_again(self) -> list[tuple[str, str]]:
        """Who is told what again, because somebody asked for it."""
        facts = [said.fact for said in self._town.papers.of(self.order_id, NOTICES)]
        return [(f.recipient, f.kind) for f in facts if isinstance(f, NoticeRequestedAgain)]

    @property
    def refusals(self) -> list[str]:
        """Why what was asked was refused."""
        facts = (said.fact for said in self._town.papers.of(self.order_id, FULFILLMENT_EVENTS))
        return [fact.reason for fact in facts if isinstance(fact, RequestRefused)]

    @property
    def letters(self) -> list[Kept]:
        """What of it is kept as a dead letter."""
        return [kept for kept in self._town.papers.letters if kept.key == self.order_id.encode()]

    @property
    def level(self) -> StockLevelChanged:
        """The level of its shelf."""
        return self._town.papers.level(*self.shelf)

    @property
    def levels(self) -> tuple[int, int, int]:
        """On hand, available and reserved units of its shelf."""
        return self.level.on_hand, self.level.available, self.level.reserved

    def _types(self, topic: Topic) -> list[str]:
        facts = (said.fact for said in self._town.papers.of(self.order_id, topic))
        return [_name(fact) for fact in facts if not isinstance(fact, BY_THE_WAY)]


async def unshipped(town: Town, shelf: Shelf, *, units: int = 1, **changes: Any) -> Story:
    """An order that was paid after four minutes and is held out."""
    story = Story(town, shelf, units=units)
    await story.is_placed(**changes)
    await town.pass_time(4 * MINUTE)
    await story.is_authorized()
    await town.pass_time(26 * MINUTE)
    assert story.status == "Unshipped"
    return story


def midnight(day: datetime) -> datetime:
    """The start of a day, in UTC."""
    return day.replace(hour=0, minute=0, second=0, microsecond=0)


def end_of_day(day: datetime) -> datetime:
    """The last second of a day, in UTC."""
    return day.replace(hour=23, minute=59, second=59, microsecond=0)


def _name(fact: Fact) -> str:
    """`order.condition_met.v1` of stock is "condition_met stock"."""
    name = fact.TYPE.split(".")[1]
    return f"{name} {fact.condition}" if hasattr(fact, "condition") else name
