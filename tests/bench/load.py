"""The world outside of the system: storefront, gateway, sellers, carriers and warehouse.

Orders come with their hold just over, so that every deadline fires at once and nothing waits for
wall time; the gateway, sellers and carriers answer as soon as the facts say that they may.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from shared.clock import from_ms
from shared.decode import partition_of
from shared.events.carrier import TRACKING, PackageDelivered
from shared.events.envelope import CONTENT_TYPE, Fact, encode
from shared.events.fields import Address, ItemQuantity, Money
from shared.events.gateway import PAYMENTS, PaymentAuthorized
from shared.events.seller import SHIPMENTS, ShipmentConfirmed
from shared.events.storefront import ORDERS, Buyer, OrderItem, OrderPlaced
from shared.events.warehouse import STOCK, StockSet, stock_subject

SELLERS, SKUS = 10, 50
LIMIT_S = 3600.0
HELD = "HELD"
"""The marketplace whose orders are held for as long as a policy can say."""
HEADERS = [("content-type", CONTENT_TYPE.encode())]
PRICE = Money(amount_minor=1999, currency="USD")
DELIVERED = "order.package_delivered.v1"

_TYPE = b'"type":"'


class Prepared(NamedTuple):
    """An order and its payment, encoded before the clock starts: that is not what is measured.

    One that is `held` stays so, and is paid when it is placed.
    """

    order_id: str
    placed: bytes
    paid: bytes
    held: bool


class Sent(NamedTuple):
    """An event that was handed to Kafka; all are acknowledged once the producer is flushed."""

    topic: str
    subject: str
    id: str


def event_id(what: str, order_id: str) -> str:
    """Without the order's id as it is, which floor.py exchanges for another, and only that."""
    return f"{what}-{order_id.replace('-', '')}"


class Load:
    """Places orders, then ships and delivers what the facts allow. `runs` numbers its runs."""

    def __init__(
        self,
        producer: AIOKafkaProducer,
        consumer: AIOKafkaConsumer,
        partitions: int,
        runs: Iterator[int],
    ) -> None:
        self.sent: list[Sent] = []
        self._producer = producer
        self._consumer = consumer
        self._partitions = partitions
        self._runs = runs
        self._unpaid: dict[str, bytes] = {}
        self._now = from_ms(int(time.time() * 1000))
        self._confirm = [self._template(self._shipment(n + 1)) for n in range(2)]
        self._deliver = self._template(PackageDelivered(tracking_number="TRACKING"))

    async def stock_up(self) -> None:
        """Count a million of every SKU; again, it is no news."""
        for seller in range(SELLERS):
            for sku in range(SKUS):
                fact = StockSet(seller_id=f"S{seller}", sku=f"SKU-{sku}", on_hand=1_000_000)
                subject, id_ = stock_subject(fact.seller_id, fact.sku), f"stock-{seller}-{sku}"
                await self._send(STOCK.name, self._encoded(fact, id_, subject), subject, id_)
        await self._producer.flush()

    def prepare(self, orders: int, *, held: bool = False) -> list[Prepared]:
        """Orders under new ids with their payments; those that are held stay Pending."""
        run = next(self._runs)
        self._now = from_ms(int(time.time() * 1000))
        return [self._prepared(n, f"250-{n:07d}-{run:07d}", held) for n in range(orders)]

    async def place(
        self, prepared: Sequence[Prepared], instants_s: Sequence[float] | None = None
    ) -> None:
        """Place orders, at these instants of time.time(), whatever has become of those before (an
        open loop); without instants as fast as Kafka takes them.
        """
        for n, (order_id, placed, paid, held) in enumerate(prepared):
            if instants_s and (wait_s := instants_s[n] - time.time()) > 0:
                await asyncio.sleep(wait_s)
            if not held:
                self._unpaid[order_id] = paid
            await self._send(ORDERS.name, placed, order_id, event_id("placed", order_id))
            if held:
                await self._pay(order_id, paid)

    async def follow(self, orders: int) -> Counter[str]:
        """React to facts until so many more orders are delivered; the facts seen, by type."""
        seen: Counter[str] = Counter()
        deadline_s = time.monotonic() + LIMIT_S
        while seen[DELIVERED] < orders:
            if time.monotonic() > deadline_s:
                raise SystemExit(f"not done after {LIMIT_S:.0f} s: {dict(seen)}")
            for records in (await self._consumer.getmany(timeout_ms=100)).values():
                for record in records:
                    seen[await self._react(record)] += 1
        return seen

    async def _react(self, record: Any) -> str:
        at = record.value.index(_TYPE) + len(_TYPE)
        type_: str = record.value[at : record.value.index(b'"', at)].decode()
        order_id = record.key.decode()
        if type_ == "order.held.v1" and (paid := self._unpaid.pop(order_id, None)):
            await self._pay(order_id, paid)
        elif type_ == "order.unshipped.v1":
            n = int(order_id[4:11])
            value = self._confirm[n % 2].replace(b"SELLER", b"S%d" % (n % SELLERS))
            await self._filled(SHIPMENTS.name, value, order_id, event_id("shipped", order_id))
        elif type_ == "order.package_confirmed.v1":
            await self._filled(
                TRACKING.name, self._deliver, order_id, event_id("delivered", order_id)
            )
        return type_

    async def _pay(self, order_id: str, paid: bytes) -> None:
        await self._send(PAYMENTS.name, paid, order_id, event_id("paid", order_id))

    async def _filled(self, topic: str, value: bytes, order_id: str, id_: str) -> None:
        value = value.replace(b"EVENT-ID", id_.encode()).replace(b"ORDER-ID", order_id.encode())
        await self._send(topic, value, order_id, id_)

    async def _send(self, topic: str, value: bytes, subject: str, id_: str) -> None:
        partition = partition_of(subject, self._partitions)
        await self._producer.send(topic, value, subject.encode(), partition, headers=HEADERS)
        self.sent.append(Sent(topic, subject, id_))

    def _encoded(self, fact: Fact, id_: str, subject: str) -> bytes:
        return encode(fact, id_=id_, source="bench", subject=subject, time=self._now)

    def _template(self, fact: Fact) -> bytes:
        return self._encoded(fact, "EVENT-ID", "ORDER-ID")

    def _shipment(self, items: int) -> ShipmentConfirmed:
        return ShipmentConfirmed(
            seller_id="SELLER",
            package_reference_id="1",
            carrier_code="UPS",
            tracking_number="TRACKING",
            ship_date=self._now,
            order_items=tuple(
                ItemQuantity(order_item_id=f"I{n}", quantity=1) for n in range(items)
            ),
        )

    def _prepared(self, n: int, order_id: str, held: bool) -> Prepared:
        placed = self._placed(n, order_id, held)
        paid = PaymentAuthorized(payment_id=f"P-{order_id}", amount=placed.order_total)
        return Prepared(
            order_id,
            self._encoded(placed, event_id("placed", order_id), order_id),
            self._encoded(paid, event_id("paid", order_id), order_id),
            held,
        )

    def _placed(self, n: int, order_id: str, held: bool) -> OrderPlaced:
        """One item, or every second time two, on SKUs of one of the sellers."""
        return OrderPlaced(
            order_id=order_id,
            marketplace_id=HELD if held else "BENCH",
            seller_id=f"S{n % SELLERS}",
            buyer=Buyer(buyer_id=f"B-{order_id}", name="Ada Example", email="ada@example.com"),
            purchase_date=self._now - timedelta(minutes=0 if held else 31),
            ship_address=Address(
                name="Ada Example",
                address_line_1="1 Example Street",
                city="Springfield",
                postal_code="12345",
                country_code="US",
            ),
            items=tuple(
                OrderItem(
                    order_item_id=f"I{i}", sku=f"SKU-{(n + i) % SKUS}", quantity=1, item_price=PRICE
                )
                for i in range(1 + n % 2)
            ),
            order_total=PRICE,
            payment_method_ref=f"card-{order_id}",
        )
