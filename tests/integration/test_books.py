"""Rest and the books on a running system: real services, a real log, a real Redis."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from services.cli.observer import Observer, observe
from services.cli.producer import Producer
from services.cli.system import System, system
from shared.clock import to_ms
from shared.errors import TransientError
from shared.events.fields import Address, Money
from shared.events.gateway import PAYMENTS, PaymentAuthorized
from shared.events.storefront import ORDERS, Buyer, CancelRequested, OrderItem, OrderPlaced
from shared.events.warehouse import STOCK, StockSet, stock_subject
from shared.kafka import producer_of

SELLER, SKU = "SELLER-11", "LAMP/RED 40W"
PRICE = Money(amount_minor=79_19, currency="EUR")
ADDRESS = Address(name="R. Ek", address_line_1="Kaigatan 3", city="Kiruna", country_code="SE")
ORDERS_PLACED = 12
REST_LIMIT_S = 60.0
HOLD = timedelta(minutes=31)

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with system(tmp_path_factory.mktemp("books"), partitions=3) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def observer(running: System) -> AsyncIterator[Observer]:
    async with observe(running.settings) as observer:
        yield observer


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def producer(running: System, observer: Observer) -> AsyncIterator[Producer]:
    """Orders of all fates, told before the first test; every test may add to them."""
    servers = running.settings.kafka_bootstrap_servers
    async with Producer(servers, "tests") as producer:
        now = observer.clock.now()
        subject = stock_subject(SELLER, SKU)
        counted = StockSet(seller_id=SELLER, sku=SKU, on_hand=20)
        await producer.send(STOCK, counted, subject=subject, time=now)
        for n in range(ORDERS_PLACED):
            await place(observer, producer, f"order-{n}")
        for n in range(4):
            cancel = CancelRequested(buyer_id="BUYER-4711")
            await producer.send(ORDERS, cancel, subject=f"order-{n}", time=now)
        await producer.flush()
        yield producer


async def place(observer: Observer, producer: Producer, order_id: str) -> None:
    now = observer.clock.now()
    item = OrderItem(order_item_id="17-A", sku=SKU, quantity=2, item_price=PRICE)
    placed = OrderPlaced(
        order_id=order_id,
        marketplace_id="A13V1IB3VIYZZH",
        seller_id=SELLER,
        buyer=Buyer(buyer_id=f"buyer-{order_id}"),
        purchase_date=now,
        ship_address=ADDRESS,
        items=(item,),
        order_total=PRICE,
        payment_method_ref=f"card-{order_id}",
    )
    await producer.send(ORDERS, placed, subject=order_id, time=now)
    paid = PaymentAuthorized(payment_id=f"pay-{order_id}", amount=PRICE)
    await producer.send(PAYMENTS, paid, subject=order_id, time=now)


@asynccontextmanager
async def frozen(running: System, service: str) -> AsyncIterator[None]:
    """A service stands still for a while, where it is."""
    running.processes[service].signal(signal.SIGSTOP)
    try:
        yield
    finally:
        running.processes[service].signal(signal.SIGCONT)


async def test_the_books_of_a_running_system_balance(
    observer: Observer, producer: Producer
) -> None:
    await observer.rest.wait_for_rest(REST_LIMIT_S)
    await observer.clock.shift(1, jump_to_ms=to_ms(observer.clock.now() + HOLD))
    await asyncio.sleep(2.5)  # the step begins 2 s after it is written
    await observer.rest.wait_for_rest(REST_LIMIT_S)

    books = await observer.audit(producer.acknowledged)

    assert books.violations == ()
    assert books.unchecked == ()
    p2 = books.page("P2").counts
    assert p2["orders placed"] == p2["orders accepted"] == ORDERS_PLACED
    assert p2["orders Canceled"] + p2["orders Unshipped"] == ORDERS_PLACED
    assert books.page("P1").counts["units supplied"] == 20
    assert books.page("P6").counts["events acknowledged"] == len(producer.acknowledged)


async def test_what_is_no_event_is_compared_byte_for_byte(
    running: System, observer: Observer, producer: Producer
) -> None:
    raw = producer_of(running.settings.kafka_bootstrap_servers)
    await raw.start()
    try:
        await raw.send_and_wait("orders", b"\x00\xff{", key=b"\xfe", headers=[("x", b"\xff")])
        await raw.send_and_wait("shipments", None, key=b"tombstone")
        await raw.send_and_wait("tracking", b"", key=None)
    finally:
        await raw.stop()
    await observer.rest.wait_for_rest(REST_LIMIT_S)

    books = await observer.audit(producer.acknowledged)

    assert books.violations == ()
    assert books.page("P6").counts["no events, kept"] == 3


async def test_rest_says_who_is_behind_and_the_books_of_a_moving_system_do_not_balance(
    running: System, observer: Observer, producer: Producer
) -> None:
    await observer.rest.wait_for_rest(REST_LIMIT_S)
    async with frozen(running, "payment"):
        await place(observer, producer, "order-behind")
        await producer.flush()
        with pytest.raises(TransientError, match=r"payment, partition \d: 1 records of orders"):
            await observer.rest.wait_for_rest(timeout_s=0.3)
        lags = {lag.service for lag in await observer.rest.lag() if not lag.still}
        books = await observer.audit(producer.acknowledged)
    await observer.rest.wait_for_rest(REST_LIMIT_S)

    assert "payment" in lags
    assert not books.page("rest").holds
    assert "is not at rest: payment" in str(books.page("rest").violations)
    assert (await observer.audit(producer.acknowledged)).balanced


async def test_a_service_that_was_killed_leaves_books_that_balance(
    running: System, observer: Observer, producer: Producer
) -> None:
    for n, service in enumerate(("inventory", "fulfillment", "payment", "deadlines")):
        for order in range(3):
            await place(observer, producer, f"order-{service}-{order}")
        running.processes[service].kill()
        await place(observer, producer, f"order-after-{n}")
        running.processes[service].start()
    await producer.flush()
    await observer.rest.wait_for_rest(REST_LIMIT_S)

    books = await observer.audit(producer.acknowledged)

    assert books.violations == ()


async def test_what_redis_has_lost_is_found(observer: Observer, producer: Producer) -> None:
    await observer.rest.wait_for_rest(REST_LIMIT_S)
    redis: Any = observer.redis
    levels = f"{{stock:{SELLER}}}:levels"
    kept = await redis.hget(levels, SKU)
    await redis.hset(levels, SKU, "19 0 99")
    documents = [key async for key in redis.scan_iter(match="{fulfillment:*}:doc:order-0")]
    (document,) = documents
    value = await redis.get(document)
    await redis.delete(document)
    ledger = next(iter([k async for k in redis.scan_iter(match="{deadlines:*}:ledger")]))
    ((member, score),) = await redis.zrange(ledger, 0, 0, withscores=True)
    await redis.zrem(ledger, member)
    try:
        books = await observer.audit(producer.acknowledged)
    finally:
        await redis.hset(levels, SKU, kept)
        await redis.set(document, value)
        await redis.zadd(ledger, {member: score})

    found = "\n".join(map(str, books.violations))
    assert f"P1 {SELLER}/{SKU}: is on hand 19, reserved 0, version 99 in Redis" in found
    assert "state order-0: has facts in fulfillment.events, but no document" in found
    assert f"P2 {member.decode().split('|')[2]}: " in found
    assert (await observer.audit(producer.acknowledged)).balanced


async def test_an_event_that_kafka_acknowledged_and_lost_is_found(
    observer: Observer, producer: Producer
) -> None:
    gone = producer.acknowledged[0]._replace(id="gone")

    books = await observer.audit([*producer.acknowledged, gone])

    lost = f"{gone.topic} has lost the acknowledged event gone"
    assert [v.sentence for v in books.violations] == [lost]
