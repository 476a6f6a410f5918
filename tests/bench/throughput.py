"""Orders per second through the whole life: placed, reserved, paid, Unshipped, shipped, delivered.

    python -m tests.bench.throughput [ORDERS]

Every service a process of its own, on one machine with Kafka, Redis and the producer of the events.
Orders come with their hold just over, so that every deadline fires at once and nothing waits for
wall time; sellers and carriers answer as soon as the facts say that they may. Prints a table, and
the figures as JSON on the last line: rate, CPU per order of every process, memory.
"""

import asyncio
import os
import sys
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from services.cli.observer import observe
from services.cli.system import System, system
from shared.clock import from_ms
from shared.decode import partition_of
from shared.events.carrier import TRACKING, PackageDelivered
from shared.events.envelope import CONTENT_TYPE, Fact, encode
from shared.events.fields import Address, ItemQuantity, Money
from shared.events.fulfillment import FULFILLMENT_EVENTS
from shared.events.gateway import PAYMENTS, PaymentAuthorized
from shared.events.seller import SHIPMENTS, ShipmentConfirmed
from shared.events.storefront import ORDERS, Buyer, OrderItem, OrderPlaced
from shared.events.warehouse import STOCK, StockSet, stock_subject
from shared.kafka import producer_of, reader_of
from tests.bench import print_figures

PARTITIONS = 4
SELLERS, SKUS = 10, 50
LIMIT_S = 300.0
HEADERS = [("content-type", CONTENT_TYPE.encode())]
PRICE = Money(amount_minor=1999, currency="USD")

_TYPE = b'"type":"'


class Load:
    """The world outside: places all orders, then ships and delivers what the facts allow."""

    def __init__(self, running: System, orders: int, producer: AIOKafkaProducer) -> None:
        self._servers = running.settings.kafka_bootstrap_servers
        self._producer = producer
        self._orders = orders
        self.now = from_ms(int(time.time() * 1000))
        self.seen: Counter[str] = Counter()
        self._confirm = [self._template(self._shipment(n + 1)) for n in range(2)]
        self._deliver = self._template(PackageDelivered(tracking_number="TRACKING"))

    async def stock_up(self) -> None:
        for seller in range(SELLERS):
            for sku in range(SKUS):
                fact = StockSet(seller_id=f"S{seller}", sku=f"SKU-{sku}", on_hand=1_000_000)
                subject = stock_subject(fact.seller_id, fact.sku)
                await self._send(
                    STOCK.name, self._encoded(fact, f"stock-{subject}", subject), subject
                )
        await self._producer.flush()

    def prepared(self) -> list[tuple[str, bytes, bytes]]:
        """Order id, order.placed and payment.authorized of every order, encoded before the clock
        starts: the producer is not what is measured."""
        found = []
        for n in range(self._orders):
            order_id = f"250-{n:07d}-0000001"
            placed = self._encoded(self._placed(n, order_id), f"placed-{n}", order_id)
            paid = PaymentAuthorized(payment_id=f"P{n}", amount=PRICE)
            found.append((order_id, placed, self._encoded(paid, f"paid-{n}", order_id)))
        return found

    async def place(self, prepared: list[tuple[str, bytes, bytes]]) -> None:
        for order_id, placed, paid in prepared:
            await self._send(ORDERS.name, placed, order_id)
            await self._send(PAYMENTS.name, paid, order_id)

    async def follow(self, consumer: AIOKafkaConsumer) -> None:
        """React to facts until every order is delivered."""
        deadline_s = time.monotonic() + LIMIT_S
        while self.seen["order.package_delivered.v1"] < self._orders:
            if time.monotonic() > deadline_s:
                raise SystemExit(f"not done after {LIMIT_S:.0f} s: {dict(self.seen)}")
            for records in (await consumer.getmany(timeout_ms=100)).values():
                for record in records:
                    await self._react(record)

    async def _react(self, record: Any) -> None:
        at = record.value.index(_TYPE) + len(_TYPE)
        type_ = record.value[at : record.value.index(b'"', at)].decode()
        self.seen[type_] += 1
        order_id: bytes = record.key
        if type_ == "order.unshipped.v1":
            n = int(order_id[4:11])
            value = self._confirm[n % 2].replace(b"SELLER", b"S%d" % (n % SELLERS))
            await self._filled(SHIPMENTS.name, value, order_id, b"shipped-", record.partition)
        elif type_ == "order.package_confirmed.v1":
            value = self._deliver
            await self._filled(TRACKING.name, value, order_id, b"delivered-", record.partition)

    async def _filled(
        self, topic: str, value: bytes, order_id: bytes, prefix: bytes, partition: int
    ) -> None:
        value = value.replace(b"EVENT-ID", prefix + order_id).replace(b"ORDER-ID", order_id)
        await self._producer.send(topic, value, order_id, partition, headers=HEADERS)

    async def _send(self, topic: str, value: bytes, subject: str) -> None:
        partition = partition_of(subject, PARTITIONS)
        await self._producer.send(topic, value, subject.encode(), partition, headers=HEADERS)

    def _encoded(self, fact: Fact, id_: str, subject: str) -> bytes:
        return encode(fact, id_=id_, source="bench", subject=subject, time=self.now)

    def _template(self, fact: Fact) -> bytes:
        return self._encoded(fact, "EVENT-ID", "ORDER-ID")

    def _shipment(self, items: int) -> ShipmentConfirmed:
        return ShipmentConfirmed(
            seller_id="SELLER",
            package_reference_id="1",
            carrier_code="UPS",
            tracking_number="TRACKING",
            ship_date=self.now,
            order_items=tuple(
                ItemQuantity(order_item_id=f"I{n}", quantity=1) for n in range(items)
            ),
        )

    def _placed(self, n: int, order_id: str) -> OrderPlaced:
        """One item, or every second time two, on SKUs of one of the sellers."""
        return OrderPlaced(
            order_id=order_id,
            marketplace_id="BENCH",
            seller_id=f"S{n % SELLERS}",
            buyer=Buyer(buyer_id=f"B{n}", name="Ada Example", email="ada@example.com"),
            purchase_date=self.now - timedelta(minutes=31),
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
            payment_method_ref=f"card-{n}",
        )


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory_mb(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 2**20


async def _measure(running: System, orders: int) -> dict[str, Any]:
    servers = running.settings.kafka_bootstrap_servers
    pids = {name: running.processes[name].pid or 0 for name in running.health_ports}
    pids |= {"kafka": running.servers.kafka.pid or 0, "redis": running.servers.redis.pid or 0}
    pids["producer"] = os.getpid()
    producer, consumer = producer_of(servers), reader_of(servers)
    await producer.start()
    await consumer.start()
    async with observe(running.settings) as observer:
        load = Load(running, orders, producer)
        await load.stock_up()
        await observer.rest.wait_for_rest(LIMIT_S)
        names = [FULFILLMENT_EVENTS.name]
        consumer.assign([TopicPartition(*at) for at in await observer.reader.ends(names)])
        prepared = load.prepared()
        before = {name: _cpu_s(pid) for name, pid in pids.items()}
        began_s = time.perf_counter()
        placing = asyncio.ensure_future(load.place(prepared))
        await load.follow(consumer)
        took_s = time.perf_counter() - began_s
        await placing
        cpu = {name: _cpu_s(pid) - before[name] for name, pid in pids.items()}
        await observer.rest.wait_for_rest(LIMIT_S)
    await producer.stop()
    await consumer.stop()
    return {
        "orders": orders,
        "orders_per_s": round(orders / took_s, 1),
        "took_s": round(took_s, 2),
        "cpu_us_per_order": {name: round(1e6 * s / orders) for name, s in cpu.items()},
        "memory_mb": {name: _memory_mb(pid) for name, pid in pids.items()},
        "facts": dict(load.seen),
    }


def main() -> None:
    """Run it on a system of its own and print the figures."""
    orders = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with TemporaryDirectory() as data_dir, system(Path(data_dir), partitions=PARTITIONS) as running:
        figures = asyncio.run(_measure(running, orders))
        figures["kafka"], figures["redis"] = running.servers.kafka.kind, running.servers.redis.kind
    sys.stdout.write(f"{orders} orders in {figures['took_s']} s: {figures['orders_per_s']} /s\n")
    for name, cpu in figures["cpu_us_per_order"].items():
        sys.stdout.write(f"{name:<12} {cpu:>6} us/order {figures['memory_mb'][name]:>5} MB\n")
    print_figures(figures)


if __name__ == "__main__":
    main()
