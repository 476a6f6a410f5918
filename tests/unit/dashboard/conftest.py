"""A morning on the dashboard: a Redis with what the projection made of a few orders' lives."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from typing import Any

import pytest
import pytest_asyncio

from services.cli.redis_server import choose_redis
from shared.batch import DeadLetter, StoredRecord
from shared.events.envelope import OpenDeadline
from shared.events.inventory import INVENTORY_EVENTS, STOCK_LEVELS, StockLevelChanged, StockReserved
from shared.events.payment import PAYMENT_EVENTS, MoneyArrived, PaymentApproved, PaymentStuck
from shared.events.storefront import TrafficSource
from shared.events.warehouse import stock_subject
from shared.redis import connect
from tests.support.orders import (
    DAY,
    HOUR,
    KETTLE,
    KETTLES,
    MINUTE,
    PURCHASED,
    SELLER,
    SHIP_BY,
    TEA,
    eur,
    hold_over,
    order_placed,
    package_delivered,
    payment_approved,
    placed,
    seller_canceled,
    shipment_confirmed,
    stock_reserved,
)
from tests.support.screen import Screen, Teller, open_screen, project

NOW = SHIP_BY + HOUR
PENDING, LATE, SHIPPED, CANCELED, PARTLY, REFUSED = (f"902-000000{n}-1390916" for n in range(1, 7))
ON_ITS_WAY = (stock_reserved(), payment_approved(), hold_over())
PAYMENT_ID = "pay-83"


def told() -> Teller:
    """Five orders, one that is none, a level, a dead letter."""
    teller = Teller()
    teller.live(PENDING, order_placed(order_id=PENDING), stock_reserved())
    teller.live(LATE, order_placed(order_id=LATE), *ON_ITS_WAY)
    advertised = TrafficSource(channel="advertisement", site="off_site")
    teller.live(
        SHIPPED,
        order_placed(order_id=SHIPPED, traffic_source=advertised, purchase_date=PURCHASED - DAY),
        *ON_ITS_WAY,
        shipment_confirmed(),
        package_delivered(),
    )
    canceled = order_placed(order_id=CANCELED, seller_order_id="S-77")
    teller.live(CANCELED, canceled, *ON_ITS_WAY, seller_canceled())
    teller.live(
        PARTLY, order_placed(order_id=PARTLY), *ON_ITS_WAY, shipment_confirmed({KETTLES: 2})
    )
    teller.live(REFUSED, shipment_confirmed(at=PURCHASED))
    _money(teller)
    _stock(teller)
    broken = StoredRecord("orders", 1, 17, 0, b"ORDER-X", b'{"a": "<script>"}', ())
    letter = DeadLetter(broken, "invalid_field", "data.items: has to be there", "data.items")
    teller.bury(letter, "fulfillment", NOW - MINUTE)
    return teller


def _money(teller: Teller) -> None:
    def pays(fact: PaymentApproved | MoneyArrived | PaymentStuck, version: int) -> None:
        at = PURCHASED + version * MINUTE
        teller.say(PAYMENT_EVENTS, fact, SHIPPED, at, version, causation_id="gw-1")

    paid: dict[str, Any] = {"payment_id": PAYMENT_ID, "amount": eur(13_368)}
    pays(PaymentApproved(**paid, captured=False), 1)
    pays(MoneyArrived(**paid, how="captured", happened_at=PURCHASED + 2 * MINUTE), 2)
    stuck = PaymentStuck(**paid, reason="refund_failed", since=PURCHASED)
    due = OpenDeadline(kind="provider_answer", due=NOW + 3 * HOUR)
    teller.say(PAYMENT_EVENTS, stuck.model_copy(update={"deadlines": (due,)}), PARTLY, PURCHASED, 1)
    reserved = StockReserved(seller_id=SELLER, units=placed().units_by_sku())
    teller.say(INVENTORY_EVENTS, reserved, SHIPPED, PURCHASED, 1, causation_id="shop-1")


def level(sku: str, version: int, change: int, on_hand: int, reserved: int) -> StockLevelChanged:
    return StockLevelChanged(
        seller_id=SELLER,
        sku=sku,
        on_hand=on_hand,
        available=on_hand - reserved,
        reserved=reserved,
        on_hand_change=change,
        reserved_change=reserved,
        level_version=version,
    )


def _stock(teller: Teller) -> None:
    levels = [(KETTLE, 1, 12, 12, 0), (KETTLE, 2, 0, 12, 3), (TEA, 1, 2, 2, 2)]
    for sku, version, *units in levels:
        at: datetime = PURCHASED + version * MINUTE
        changed = level(sku, version, *units)
        teller.say(STOCK_LEVELS, changed, stock_subject(SELLER, sku), at, version)


TOLD = told()


@pytest.fixture(scope="package")
def morning(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis of its own with all of it; nobody changes it."""
    data_dir = tmp_path_factory.mktemp("dashboard")
    server = choose_redis(data_dir, data_dir / "redis.log", redis_url=None)

    async def fill() -> None:
        redis = connect(server.redis_url)
        await project(redis, TOLD.records)
        await redis.aclose()

    server.start()
    try:
        asyncio.run(fill())
        yield server.redis_url
    finally:
        server.stop()


@pytest_asyncio.fixture
async def screen(morning: str) -> AsyncIterator[Screen]:
    async with open_screen(morning, NOW, TOLD.records) as opened:
        yield opened


@pytest_asyncio.fixture
async def door(morning: str) -> AsyncIterator[Screen]:
    """The pages, for one whom nobody knows, where there is no account yet."""

    async def forget() -> None:
        redis = connect(morning)
        for pattern in ("accounts", "tries:*", "invited:*"):
            async for key in redis.scan_iter(f"dashboard:{pattern}"):
                await redis.delete(key)
        await redis.aclose()

    await forget()
    async with open_screen(morning, NOW, role=None) as opened:
        yield opened
    await forget()
