"""Builders for the inventory service's inputs; quantities and names are odd on purpose."""

from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import count
from typing import Any
from uuid import uuid4

from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from services.inventory.decisions import Answer, Row
from services.inventory.store import ask
from shared.events.envelope import Event, Fact
from shared.events.fields import Address, ItemQuantity, Money, SkuQuantity
from shared.events.fulfillment import (
    Cancellation,
    OpenUnitsCanceled,
    OrderCanceled,
    Package,
    PackageConfirmed,
    ReorderAsked,
    RequestRefused,
    ReturnedItem,
    UnitsReturned,
)
from shared.events.inventory import SkuChange
from shared.events.seller import CancelReasonCode
from shared.events.storefront import Buyer, OrderItem, OrderPlaced
from shared.events.warehouse import StockAdjusted, StockDamaged, StockRestocked, StockSet
from shared.policy import Policies

SELLER, OTHER_SELLER = "SELLER-11", "SELLER-12"
ORDER = "902-3159896-1390916"
LAMP, SHADE = "LAMP/RED 40W", "SHADE-7"
NOON = datetime(2026, 3, 29, 12, 0, 0, 907_000, UTC)

_PRICE = Money(amount_minor=79_19, currency="EUR")
_ADDRESS = Address(name="R. Ek", address_line_1="Kaigatan 3", city="Kiruna", country_code="SE")
_ids = count(1)


def event(
    data: Fact, *, subject: str = "", version: int | None = None, id_: str = ""
) -> Event[Any]:
    """An event as a worker reads it; without an id it is a new one."""
    about = data.about()
    return Event[Any](
        id=id_ or f"event-{next(_ids)}",
        source="test",
        type=data.TYPE,
        subject=subject or (about.subject if about else ORDER),
        time=NOON,
        subjectversion=version,
        data=data,
    )


def placed(*lines: tuple[str, int], order_id: str = ORDER, seller_id: str = SELLER) -> OrderPlaced:
    items = tuple(
        OrderItem(order_item_id=f"{n}-A", sku=sku, quantity=quantity, item_price=_PRICE)
        for n, (sku, quantity) in enumerate(lines)
    )
    return OrderPlaced(
        order_id=order_id,
        marketplace_id="A1PA6795UKMFR9",
        seller_id=seller_id,
        buyer=Buyer(buyer_id="BUYER-4711"),
        purchase_date=NOON,
        ship_address=_ADDRESS,
        items=items,
        order_total=_PRICE,
        payment_method_ref="card-0c2f",
    )


def _cancellation(code: CancelReasonCode | None) -> Cancellation:
    return Cancellation(
        reason="seller" if code else "buyer",
        requested_by="MERCHANT" if code else "BUYER",
        executed_by="MERCHANT" if code else "BUYER",
        seller_reason_code=code,
        canceled_at=NOON,
    )


def canceled(code: CancelReasonCode | None = None, *, seller_id: str = SELLER) -> OrderCanceled:
    return OrderCanceled(seller_id=seller_id, cancellation=_cancellation(code))


def open_units_canceled(seller_id: str = SELLER) -> OpenUnitsCanceled:
    return OpenUnitsCanceled(seller_id=seller_id, cancellation=_cancellation(None))


def confirmed(changes: Mapping[str, int], *, seller_id: str = SELLER) -> PackageConfirmed:
    package = Package(
        package_reference_id="7",
        carrier_code="POSTNORD",
        tracking_number="SE-0417",
        ship_date=NOON,
        order_items=(ItemQuantity(order_item_id="0-A", quantity=1),),
        confirmed_at=NOON,
    )
    moved = tuple(SkuChange(sku=sku, change=change) for sku, change in changes.items())
    return PackageConfirmed(seller_id=seller_id, package=package, edited=False, units_shipped=moved)


def returned(
    sellable: Mapping[str, int],
    damaged: Mapping[str, int] | None = None,
    *,
    seller_id: str = SELLER,
) -> UnitsReturned:
    """What came back, by SKU; inventory looks at no order items."""
    item = ReturnedItem(order_item_id="0-A", sku=LAMP, quantity=1, condition="Sellable")
    return UnitsReturned(
        seller_id=seller_id,
        return_id="RMA-1",
        requested_by="BUYER",
        received_at=NOON,
        items=(item,),
        sellable=_quantities(sellable),
        damaged=_quantities(damaged or {}),
    )


def reorder_asked(units: Mapping[str, int], *, seller_id: str = SELLER) -> ReorderAsked:
    return ReorderAsked(seller_id=seller_id, nth=2, units=_quantities(units))


def _quantities(units: Mapping[str, int]) -> tuple[SkuQuantity, ...]:
    return tuple(SkuQuantity(sku=sku, quantity=quantity) for sku, quantity in units.items())


def order_exists(other_seller_id: str | None = None) -> RequestRefused:
    return RequestRefused(
        request_id="event-0",
        request_type=OrderPlaced.TYPE,
        reason="order_exists",
        other_seller_id=other_seller_id,
    )


def counted(sku: str, on_hand: int, *, seller_id: str = SELLER) -> StockSet:
    return StockSet(seller_id=seller_id, sku=sku, on_hand=on_hand)


def adjusted(sku: str, change: int, *, seller_id: str = SELLER) -> StockAdjusted:
    return StockAdjusted(seller_id=seller_id, sku=sku, change=change)


def restocked(sku: str, units: int, *, seller_id: str = SELLER) -> StockRestocked:
    return StockRestocked(seller_id=seller_id, sku=sku, units=units)


def damaged(sku: str, units: int, *, seller_id: str = SELLER) -> StockDamaged:
    return StockDamaged(seller_id=seller_id, sku=sku, units=units, reason="fell off the shelf")


def tell(redis: Redis, said: Event[Any]) -> Answer:
    """Ask the stock about an event, at once."""
    question = ask(said, Policies())
    assert question is not None
    keys, args = question.keys, question.args
    answer: Answer = question.read(redis.eval(question.script.text, len(keys), *keys, *args))
    return answer


class Stock:
    """One seller's stock on a real Redis; an order is the same one unless it is said."""

    def __init__(self, redis: AsyncRedis) -> None:
        self.redis = redis
        self.seller = f"SELLER-{uuid4().hex[:12]}"

    async def tell(self, said: Event[Any]) -> Answer:
        question = ask(said, Policies())
        assert question is not None
        reply = await question.script(self.redis, question.keys, question.args)
        answer: Answer = question.read(reply)
        return answer

    async def command(self, data: Fact) -> Answer:
        return await self.tell(event(data))

    async def count(self, **units: int) -> None:
        for sku, on_hand in units.items():
            await self.command(counted(sku, on_hand, seller_id=self.seller))

    async def place(self, *lines: tuple[str, int], order_id: str = ORDER) -> Answer:
        return await self.command(placed(*lines, order_id=order_id, seller_id=self.seller))

    async def cancel(self, version: int, *code: Any) -> Answer:
        return await self.tell(event(canceled(*code, seller_id=self.seller), version=version))

    async def ship(self, version: int, **changes: int) -> Answer:
        said = confirmed(changes, seller_id=self.seller)
        return await self.tell(event(said, version=version))

    async def take_back(
        self, version: int, sellable: Mapping[str, int], damaged: Mapping[str, int] | None = None
    ) -> Answer:
        said = returned(sellable, damaged, seller_id=self.seller)
        return await self.tell(event(said, version=version))

    async def lasts(self, **units: int) -> Answer:
        return await self.tell(event(reorder_asked(units, seller_id=self.seller), version=9))

    async def level(self, sku: str) -> tuple[int, int, int]:
        """On hand, reserved, version."""
        levels: Any = await self.redis.hgetall(f"{{stock:{self.seller}}}:levels")
        on_hand, reserved, version = map(int, levels.get(sku.encode(), b"0 0 0").split())
        return on_hand, reserved, version

    @property
    def entry(self) -> str:
        return f"{{stock:{self.seller}}}:order:{ORDER}"


def row(
    sku: str,
    units: int,
    on_hand: int,
    reserved: int,
    version: int,
    changes: tuple[int, int] = (0, 0),
    *,
    depleted: bool = False,
) -> Row:
    """`changes` of what is on hand, and of what is reserved."""
    return Row(sku, units, on_hand, reserved, version, depleted, *changes)
