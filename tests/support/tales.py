"""A history of the whole system for the books, and the lies that tests put into it.

The history is the real services' own, told in memory (world.py): ten orders, each with another
fate, and what else may come from outside. A test then falsifies one thing of it: a record, what
Redis holds, or what a producer remembers.
"""

import json
from collections.abc import Callable
from typing import Any

from shared.books.result import Books
from shared.events.carrier import TRACKING, PackageDelivered, PackageReturned
from shared.events.envelope import Topic
from shared.events.fields import NoticeKind
from shared.events.gateway import (
    PAYMENTS,
    PaymentAuthorized,
    PaymentDeclined,
    PaymentVoided,
    VerificationUnavailable,
)
from shared.events.seller import (
    SHIPMENTS,
    ItemCondition,
    ReceivedItem,
    ResendRequested,
    ReturnReceived,
    SellerCanceled,
    ShipmentConfirmed,
)
from shared.events.storefront import (
    ORDERS,
    AddressCorrected,
    CancelRequested,
    ReorderRequested,
    ReturnRequested,
)
from shared.events.warehouse import STOCK, StockAdjusted, StockDamaged, StockRestocked, StockSet
from tests.support.orders import (
    ALL_UNITS,
    BUYER,
    DAY,
    HOUR,
    KETTLE,
    KETTLES,
    OTHER_SELLER,
    PURCHASED,
    SELLER,
    TEA,
    TEAS,
    address,
    eur,
    items,
    placed,
)
from tests.support.world import MemoryRecord, World

Change = Callable[[dict[str, Any]], object]


KETTLES_SUBJECT = f"{SELLER}/{KETTLE}"


def open_shop() -> World:
    """Plenty of kettles and tea, counted, then adjusted."""
    world = World(PURCHASED - HOUR)
    world.say(STOCK, StockSet(seller_id=SELLER, sku=KETTLE, on_hand=40))
    world.say(STOCK, StockSet(seller_id=SELLER, sku=TEA, on_hand=30))
    world.say(STOCK, StockAdjusted(seller_id=SELLER, sku=TEA, change=-7))
    world.pass_time(PURCHASED)
    return world


def place(world: World, order_id: str, **changes: Any) -> str:
    return world.say(ORDERS, placed(order_id=order_id, **changes), order_id)


def pay(world: World, order_id: str, minor: int = 13_368) -> str:
    paid = PaymentAuthorized(payment_id=f"pay-{order_id}", amount=eur(minor))
    return world.say(PAYMENTS, paid, order_id)


def ship(world: World, order_id: str, units: dict[str, int], reference: str = "1") -> str:
    confirmed = ShipmentConfirmed(
        seller_id=SELLER,
        package_reference_id=reference,
        carrier_code="DHL",
        tracking_number=f"TRACK-{order_id}-{reference}",
        ship_date=PURCHASED + DAY,
        order_items=items(units),
    )
    return world.say(SHIPMENTS, confirmed, order_id)


def deliver(world: World, order_id: str, reference: str = "1") -> str:
    number = f"TRACK-{order_id}-{reference}"
    return world.say(TRACKING, PackageDelivered(tracking_number=number), order_id)


def cancel(world: World, order_id: str) -> str:
    return world.say(ORDERS, CancelRequested(buyer_id=BUYER), order_id)


def move(world: World, order_id: str, line: str) -> str:
    to = AddressCorrected(buyer_id=BUYER, ship_address=address(address_line_1=line))
    return world.say(ORDERS, to, order_id)


def ask_again(world: World, order_id: str, kind: NoticeKind) -> str:
    return world.say(SHIPMENTS, ResendRequested(seller_id=SELLER, kind=kind), order_id)


def bring_back(world: World, order_id: str, reference: str = "1") -> str:
    number = f"TRACK-{order_id}-{reference}"
    return world.say(TRACKING, PackageReturned(tracking_number=number), order_id)


def ask_to_return(world: World, order_id: str, units: dict[str, int]) -> str:
    asked = ReturnRequested(buyer_id=BUYER, return_id="RMA-1", items=items(units))
    return world.say(ORDERS, asked, order_id)


def take_back(
    world: World,
    order_id: str,
    units: dict[tuple[str, ItemCondition], int],
    return_id: str = "RMA-1",
) -> str:
    came = tuple(
        ReceivedItem(order_item_id=item, quantity=n, condition=condition)
        for (item, condition), n in units.items()
    )
    back = ReturnReceived(seller_id=SELLER, return_id=return_id, items=came)
    return world.say(SHIPMENTS, back, order_id)


def tell_all() -> World:
    """A dozen orders, each with another fate, and what else may come from outside."""
    world = open_shop()
    for fate in (
        "shipped",
        "delivered",
        "parted",
        "canceled",
        "declined",
        "unpaid",
        "late",
        "stopped",
        "returned",
        "undeliverable",
        "rejected",
    ):
        lots = too_many(9_000) if fate == "rejected" else {}
        place(world, fate, **lots)
    world.say_rubbish(ORDERS, b"\x00not json")
    world.say(ORDERS, placed(order_id="afar"), "afar", off=1)
    for order_id in (
        "shipped",
        "delivered",
        "parted",
        "late",
        "stopped",
        "returned",
        "undeliverable",
    ):
        pay(world, order_id)
    cancel(world, "canceled")
    pay(world, "canceled")
    world.say(PAYMENTS, PaymentDeclined(payment_id="pay-declined"), "declined")
    world.say(PAYMENTS, VerificationUnavailable(payment_id="pay-declined"), "declined")
    cancel(world, "never-placed")
    move(world, "parted", "Kastanienallee 9")
    world.pass_time(PURCHASED + DAY)
    for line in ("Kastanienallee 7", "Kastanienallee 7", "Kastanienallee 9"):
        move(world, "parted", line)
    ask_again(world, "parted", "estimated_delivery")
    ask_again(world, "parted", "order_canceled")
    ship(world, "shipped", ALL_UNITS)
    ship(world, "shipped", ALL_UNITS)
    cancel(world, "shipped")
    cancel(world, "shipped")
    ship(world, "delivered", {KETTLES: 1})
    ship(world, "delivered", {KETTLES: 1, TEAS: 2}, "2")
    ship(world, "delivered", {KETTLES: 2, TEAS: 2}, "2")
    deliver(world, "delivered")
    deliver(world, "delivered", "2")
    deliver(world, "delivered", "2")
    ship(world, "parted", {KETTLES: 2})
    cancel(world, "stopped")
    ship(world, "returned", ALL_UNITS)
    ship(world, "undeliverable", {KETTLES: 3})
    bring_back(world, "undeliverable", "2")
    ship(world, "undeliverable", {TEAS: 2}, "2")
    place(world, "shipped")
    no_inventory = SellerCanceled(seller_id=SELLER, reason_code="NoInventory")
    place(world, "written-off")
    pay(world, "written-off")
    supplied = StockAdjusted(seller_id=OTHER_SELLER, sku=KETTLE, change=9)
    world.say(STOCK, supplied)
    world.say(STOCK, supplied.model_copy(update={"sku": TEA}))
    place(world, "shipped", seller_id=OTHER_SELLER)
    world.pass_time(PURCHASED + 2 * DAY)
    again(world, find(world, ORDERS, "", "never-placed"))
    world.settle()
    world.say(SHIPMENTS, no_inventory, "written-off")
    _go_wrong(world)
    world.pass_time(PURCHASED + 24 * DAY)
    paid = PaymentVoided(payment_id="pay-stopped", amount=eur(13_368))
    world.say(PAYMENTS, paid, "stopped")
    return world


def _go_wrong(world: World) -> None:
    """Goods come back, in part damaged, and canceled ones are wanted again."""
    ask_to_return(world, "returned", {KETTLES: 3, TEAS: 1})
    take_back(world, "returned", {(KETTLES, "Sellable"): 1, (KETTLES, "Damaged"): 1})
    bring_back(world, "undeliverable")
    bring_back(world, "undeliverable")
    back: dict[tuple[str, ItemCondition], int] = {(KETTLES, "Sellable"): 3}
    take_back(world, "undeliverable", back, "carrier:1")
    world.say(ORDERS, ReorderRequested(buyer_id=BUYER), "canceled")
    world.say(STOCK, StockDamaged(seller_id=SELLER, sku=TEA, units=4, reason="mice"))
    world.say(STOCK, StockDamaged(seller_id=SELLER, sku=TEA, units=2, reason="mice"))
    world.say(ORDERS, ReorderRequested(buyer_id=BUYER), "canceled")
    world.say(STOCK, StockRestocked(seller_id=SELLER, sku=TEA, units=5))


def too_many(quantity: int) -> dict[str, Any]:
    first, *others = placed().items
    return {"items": (first.model_copy(update={"quantity": quantity}), *others)}


def find(world: World, topic: Topic | str, type_: str, subject: str, nth: int = 0) -> MemoryRecord:
    """The nth record of a type about a subject; the last is -1."""
    return [r for r in world.records(topic, type_) if (r.key or b"").decode() == subject][nth]


def event_of(record: MemoryRecord) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(record.value or b"")
    return event


def says(**changes: Any) -> Change:
    """The event's attributes are these."""
    return lambda event: event.update(changes)


def holds(**changes: Any) -> Change:
    """The event's data hold these."""
    return lambda event: event["data"].update(changes)


def shows(**changes: Any) -> Change:
    """The event's snapshot of the order shows these."""
    return lambda event: event["data"]["order"].update(changes)


def again(world: World, record: MemoryRecord, *changes: Change) -> None:
    """The event comes once more, at the end, as something else."""
    event = event_of(record)
    for change in changes:
        change(event)
    world.append(record.topic, record.partition, record.key, json.dumps(event).encode())


def told(books: Books, promise: str) -> str:
    return "\n".join(str(v) for v in books.violations if v.promise == promise)
