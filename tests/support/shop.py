"""A dashboard on a working day: some ninety orders as the demo has them, and pages that are
answered: what an operator says there is decided by fulfillment, and shown.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from redis.asyncio import Redis

from services.cli.demo.script import AMERICA, CARRIERS, CURRENCIES, FRANCE, TURKEY
from services.cli.demo.traffic import CATALOGUE
from services.dashboard.web.parts import Parts
from shared.batch import DeadLetter, StoredRecord
from shared.clock import to_ms
from shared.decode import partition_of
from shared.events.carrier import PackageDelivered
from shared.events.dashboard import DASHBOARD_EVENTS
from shared.events.deadlines import DEADLINES_EVENTS, DeadlineReached
from shared.events.envelope import CONTENT_TYPE, Event, Fact, Topic, encode
from shared.events.fields import Address, ItemQuantity, Money
from shared.events.fulfillment import Order
from shared.events.inventory import (
    INVENTORY_EVENTS,
    STOCK_LEVELS,
    LackingSku,
    StockLevelChanged,
    StockRejected,
    StockReserved,
)
from shared.events.payment import PAYMENT_EVENTS, MoneyArrived, PaymentApproved, PaymentStuck
from shared.events.seller import (
    DelayAnnounced,
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
from shared.events.warehouse import stock_subject
from shared.policy import Policies, Policy
from shared.redis import connect
from shared.service import Received
from tests.support.screen import PARTITIONS, Screen, Teller, open_screen, project

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
NOW = datetime(2026, 3, 13, 14, 20, 11, 500_000, UTC)
"""A Friday afternoon."""
POLICIES = Policies(
    Policy(), {AMERICA: Policy(marketplace_id=AMERICA, buyer_cancel="seller_approves")}
)
SOURCES = (
    TrafficSource(channel="organic"),
    TrafficSource(channel="advertisement"),
    TrafficSource(channel="direct"),
    TrafficSource(channel="advertisement", site="off_site"),
)
ITEM = "1"
BY = "dashboard/operator"
"""Who acted before anybody looks."""
ON_ITS_WAY = timedelta(milliseconds=90)
"""Between a deadline and its announcement."""


class Shop(Teller):
    """Its orders; each has a number, and one item but every third, which has two."""

    def __init__(self) -> None:
        super().__init__(POLICIES)
        self.placed: dict[str, OrderPlaced] = {}

    def order(self, nth: int, at: datetime, *lives: str, marketplace_id: str = "") -> str:
        """An order bought at an instant, and then what is named of its life, in turn."""
        product = CATALOGUE[nth % len(CATALOGUE)]
        marketplace_id = marketplace_id or (FRANCE, TURKEY)[nth % 5 == 0]
        currency, quantity = CURRENCIES[marketplace_id], 1 + nth % 3
        bought = [(product, quantity)]
        if nth % 3 == 0:
            sold = [each for each in CATALOGUE if each.seller_id == product.seller_id]
            bought.append((sold[nth % len(sold)], 1))
        items = tuple(
            OrderItem(
                order_item_id=str(line), sku=each.sku, quantity=n,
                item_price=Money(amount_minor=n * each.price_minor, currency=currency),
            )
            for line, (each, n) in enumerate(bought, 1)
        )  # fmt: skip
        total = sum(each.item_price.amount_minor for each in items)
        order_id = f"304-{nth:07}-{(nth * 7919 + 1_300_021) % 10**7:07}"
        self.placed[order_id] = OrderPlaced(
            order_id=order_id,
            marketplace_id=marketplace_id,
            seller_id=product.seller_id,
            buyer=Buyer(buyer_id=f"buyer-{nth}", name="A Buyer", email="buyer@example.org"),
            purchase_date=at,
            ship_address=Address(
                name="A Buyer", address_line_1="1 Example Street", city="Exampleton",
                postal_code="12345", country_code="FR",
            ),
            items=items,
            order_total=Money(amount_minor=total, currency=currency),
            payment_method_ref=f"card-{nth}",
            traffic_source=SOURCES[nth * 5 // 3 % len(SOURCES)],
        )  # fmt: skip
        self.happens(order_id, at, self.placed[order_id])
        for life in lives:
            getattr(self, life)(order_id)
        return order_id

    def happens(self, order_id: str, at: datetime, fact: Fact, by: str = "outside") -> None:
        """A fact about an order: told where a service of ours tells it, decided by fulfillment."""
        id_ = f"{len(self.records):06}-{fact.TYPE}"
        topic = _OURS.get(type(fact))
        if topic:
            late = ON_ITS_WAY if topic is DEADLINES_EVENTS else timedelta(0)
            value = encode(fact, id_=id_, source=f"orderflow/{topic.publisher}", subject=order_id,
                           time=at, version=len(self.records) + 1, causation_id="gw-1")  # fmt: skip
            self.tell(topic.name, order_id, value, at + late)
        self.decides(order_id, at, fact, id_, by, from_outside=topic is None)

    def decides(
        self,
        order_id: str,
        at: datetime,
        fact: Fact,
        id_: str,
        by: str,
        *,
        from_outside: bool = True,
    ) -> None:
        """What fulfillment says to it."""
        event = Event(id=id_, source=by, type=fact.TYPE, subject=order_id, time=at, data=fact)
        record = StoredRecord("shipments", 0, 0, to_ms(at), order_id.encode(), b"", ())
        self.live(order_id, Received(event, at), record=record if from_outside else None)

    def known(self, order_id: str) -> Order:
        """An order, as fulfillment has it."""
        order: Order | None = self._orders[order_id].state
        assert order is not None
        return order

    # -- lives --

    def reserved(self, order_id: str) -> None:
        placed = self.placed[order_id]
        fact = StockReserved(seller_id=placed.seller_id, units=placed.units_by_sku())
        self.happens(order_id, placed.purchase_date + timedelta(seconds=2), fact)

    def rejected(self, order_id: str) -> None:
        placed = self.placed[order_id]
        lacking = (LackingSku(sku=placed.items[0].sku, requested=3, available=1),)
        fact = StockRejected(seller_id=placed.seller_id, lacking=lacking)
        self.happens(order_id, placed.purchase_date + timedelta(seconds=2), fact)

    def released(self, order_id: str) -> None:
        """Reserved, paid and held out."""
        placed = self.placed[order_id]
        self.reserved(order_id)
        paid: dict[str, Any] = {"payment_id": f"pay-{order_id[4:11]}", "amount": placed.order_total}
        at = placed.purchase_date
        self.happens(order_id, at + 4 * MINUTE, PaymentApproved(**paid, captured=False))
        ends = at + 30 * MINUTE
        self.happens(
            order_id, ends, DeadlineReached(publisher="fulfillment", kind="hold", due=ends)
        )

    def shipped(self, order_id: str, by: str = "outside") -> None:
        placed = self.placed[order_id]
        at = placed.purchase_date + 20 * HOUR
        self._ships(order_id, at, {i.order_item_id: i.quantity for i in placed.items}, by)
        captured = MoneyArrived(
            payment_id=f"pay-{order_id[4:11]}",
            amount=placed.order_total,
            how="captured",
            happened_at=at,
        )
        self.say(PAYMENT_EVENTS, captured, order_id, at + timedelta(seconds=3),
                 len(self.records) + 1, causation_id="gw-2")  # fmt: skip

    def shipped_here(self, order_id: str) -> None:
        self.shipped(order_id, BY)

    def partly(self, order_id: str) -> None:
        self._ships(order_id, self.placed[order_id].purchase_date + 18 * HOUR, {ITEM: 1}, "outside")

    def _ships(self, order_id: str, at: datetime, units: dict[str, int], by: str) -> None:
        placed = self.placed[order_id]
        fact = ShipmentConfirmed(
            seller_id=placed.seller_id,
            package_reference_id="1",
            carrier_code=CARRIERS[placed.marketplace_id],
            tracking_number=f"JJD{order_id[4:11]}",
            ship_date=at - HOUR,
            order_items=tuple(ItemQuantity(order_item_id=i, quantity=n) for i, n in units.items()),
        )
        self.happens(order_id, at, fact, by)

    def delivered(self, order_id: str) -> None:
        at = self.placed[order_id].purchase_date + 44 * HOUR
        self.happens(order_id, at, PackageDelivered(tracking_number=f"JJD{order_id[4:11]}"))

    def asked_back(self, order_id: str) -> None:
        placed, n = self.placed[order_id], order_id[4:11]
        units = (ItemQuantity(order_item_id=ITEM, quantity=1),)
        fact = ReturnRequested(
            buyer_id=placed.buyer.buyer_id, return_id=f"RMA-{n}", items=units, reason="too small"
        )
        self.happens(order_id, placed.purchase_date + 60 * HOUR, fact)

    def buyer_cancels(self, order_id: str) -> None:
        placed = self.placed[order_id]
        fact = CancelRequested(buyer_id=placed.buyer.buyer_id, reason="ordered by mistake")
        self.happens(order_id, placed.purchase_date + 9 * MINUTE, fact)

    def buyer_asks(self, order_id: str) -> None:
        placed = self.placed[order_id]
        fact = CancelRequested(buyer_id=placed.buyer.buyer_id, reason="found another one")
        self.happens(order_id, placed.purchase_date + 3 * HOUR, fact)

    def seller_cancels(self, order_id: str) -> None:
        placed = self.placed[order_id]
        fact = SellerCanceled(seller_id=placed.seller_id, reason_code="NoInventory")
        self.happens(order_id, placed.purchase_date + 5 * HOUR, fact, BY)

    def delayed(self, order_id: str) -> None:
        placed = self.placed[order_id]
        fact = DelayAnnounced(seller_id=placed.seller_id, reason="the kiln is full")
        self.happens(order_id, placed.purchase_date + 6 * HOUR, fact, BY)

    def late(self, order_id: str) -> None:
        """Its ship-by date passed."""
        due = next(d.due for d in self.known(order_id).deadlines if d.kind == "ship_by")
        self.happens(
            order_id, due, DeadlineReached(publisher="fulfillment", kind="ship_by", due=due)
        )

    def unpaid_back(self, order_id: str) -> None:
        """Its refund is stuck."""
        stuck = PaymentStuck(
            payment_id=f"pay-{order_id[4:11]}", amount=self.placed[order_id].order_total,
            reason="refund_failed", since=NOW - HOUR,
        )  # fmt: skip
        self.say(PAYMENT_EVENTS, stuck, order_id, NOW - HOUR, len(self.records) + 1)

    # -- beside the orders --

    def levels(self) -> None:
        """What lies on the shelves; of one SKU nothing is left."""
        for nth, each in enumerate(CATALOGUE):
            on_hand = 4 if nth == 3 else each.on_hand
            reserved = 4 if nth == 3 else nth % 7
            subject = stock_subject(each.seller_id, each.sku)
            for version, (change, held) in enumerate(((on_hand, 0), (0, reserved)), 1):
                fact = StockLevelChanged(
                    seller_id=each.seller_id, sku=each.sku, on_hand=on_hand,
                    available=on_hand - held, reserved=held, on_hand_change=change,
                    reserved_change=held, level_version=version,
                )  # fmt: skip
                self.say(STOCK_LEVELS, fact, subject, NOW - (3 - version) * DAY, version)

    def letter(self, offset: int, reason: str, order_id: str, value: bytes, **why: str) -> str:
        """A seller's record that could not be handled; its origin."""
        partition = partition_of(order_id, PARTITIONS)
        headers = (("content-type", CONTENT_TYPE.encode()),)
        record = StoredRecord(
            "shipments", partition, offset, to_ms(NOW - HOUR), order_id.encode(), value, headers
        )
        letter = DeadLetter(record, reason, why.get("detail", ""), why.get("field", ""))
        self.bury(letter, "fulfillment", NOW - (60 - offset) * MINUTE)
        return f"shipments:{partition}:{offset}"

    def cancel_letter(self, offset: int, order_id: str) -> str:
        """A seller's cancel that fulfillment failed at: what can be replayed."""
        fact = SellerCanceled(seller_id=self.placed[order_id].seller_id, reason_code="PricingError")
        value = encode(
            fact, id_=f"erp-{offset}", source="sellers-erp", subject=order_id, time=NOW - HOUR
        )
        return self.letter(offset, "decision_failed", order_id, value, detail="KeyError: 'terms'")


_OURS: dict[type[Fact], Topic] = {
    StockReserved: INVENTORY_EVENTS,
    StockRejected: INVENTORY_EVENTS,
    PaymentApproved: PAYMENT_EVENTS,
    DeadlineReached: DEADLINES_EVENTS,
}
LIVES: Sequence[tuple[timedelta, int, tuple[str, ...]]] = (
    (MINUTE, 9, ("reserved",)),
    (12 * MINUTE, 3, ("reserved", "buyer_cancels")),
    (35 * MINUTE, 12, ("released",)),
    (20 * HOUR + 2 * MINUTE, 12, ("released", "shipped")),
    (27 * HOUR, 9, ("released",)),
    (52 * HOUR, 6, ("released",)),
    (3 * DAY, 5, ("released", "late")),
    (4 * DAY, 1, ("released", "delayed")),
    (3 * DAY, 3, ("released", "partly")),
    (31 * HOUR, 4, ("released", "shipped")),
    (30 * HOUR, 3, ("released", "shipped_here")),
    (5 * DAY, 14, ("released", "shipped", "delivered")),
    (4 * DAY, 3, ("released", "shipped", "delivered", "asked_back")),
    (28 * HOUR, 3, ("released", "seller_cancels")),
    (29 * HOUR, 2, ("rejected",)),
    (29 * HOUR, 1, ("released", "shipped", "buyer_asks", "unpaid_back")),
)
"""How long ago the first was bought, how many there are, minutes apart, and their lives."""


def opened_shop() -> Shop:
    """The whole of it, as it was told to the topics."""
    shop = Shop()
    nth = 0
    for ago, count, lives in LIVES:
        for each in range(count):
            nth += 1
            shop.order(nth, NOW - ago - each * (2 + each % 3) * MINUTE, *lives)
    for each in range(2):
        shop.order(
            nth + each + 1,
            NOW - (9 + each) * HOUR,
            "released",
            "buyer_asks",
            marketplace_id=AMERICA,
        )
    unknown = "304-9999999-0000000"
    shop.happens(unknown, NOW - 2 * HOUR, ShipmentConfirmed(
        seller_id="TEAHOUSE", package_reference_id="1", carrier_code="DHL", tracking_number="JJD1",
        ship_date=NOW - DAY, order_items=(ItemQuantity(order_item_id=ITEM, quantity=1),),
    ))  # fmt: skip
    shop.levels()
    known = list(shop.placed)
    shop.cancel_letter(11, known[8])
    shop.cancel_letter(12, known[9])
    shop.letter(13, "not_json", known[10], b'{"specversion": "1.0", "type"', detail="EOF at 1:29")
    shop.letter(14, "invalid_field", known[11], b'{"data": {}}', field="data.reason_code",
                detail="data.reason_code: has to be there")  # fmt: skip
    return shop


class Counter:
    """Where a shop's pages and what happens meet."""

    def __init__(self, shop: Shop, redis: Redis, screen: Screen) -> None:
        self.shop = shop
        self.screen = screen
        self._redis = redis
        self._shown = len(shop.records)
        self._answered = 0

    @property
    def parts(self) -> Parts:
        return self.screen.parts

    async def show(self) -> None:
        """What happened is projected; open pages hear of it."""
        new, self._shown = self.shop.records[self._shown :], len(self.shop.records)
        await project(self._redis, new)

    async def answer(self) -> list[Any]:
        """What operators said since is decided, and shown; the facts that they said."""
        said, self._answered = self.screen.said[self._answered :], len(self.screen.said)
        for each in said:
            if each.topic is DASHBOARD_EVENTS:
                value = encode(
                    each.fact, id_=each.id, source=each.source, subject=each.subject, time=NOW
                )
                self.shop.tell(each.topic.name, each.subject, value, NOW)
                continue
            self.shop.decides(each.subject, NOW, each.fact, each.id, each.source)
        await self.show()
        return [each.fact for each in said]


@asynccontextmanager
async def open_counter(redis_url: str, shop: Shop) -> AsyncIterator[Counter]:
    """The pages of a shop, whose Redis is filled with it."""
    redis = connect(redis_url)
    await project(redis, shop.records, at_once=100)
    async with open_screen(redis_url, NOW, shop.records, POLICIES, role=None) as screen:
        following = asyncio.ensure_future(screen.parts.follower.run())
        yield Counter(shop, redis, screen)
        following.cancel()
    await redis.aclose()
