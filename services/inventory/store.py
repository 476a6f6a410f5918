"""Inventory's state in Redis: an order's document per partition, and the stock, per seller.

    {inventory:PARTITION}:doc:ORDER  an order's document, written by the task's commit
    {stock:SELLER}:levels            a seller's levels: a hash, SKU -> "ON_HAND RESERVED VERSION"
    {stock:SELLER}:order:ORDER       what an order holds, and what was answered: a hash
    {stock:SELLER}:command:ID SKU    what a stock command was answered (an id holds no blank)

An order has one seller, so a script's two keys share a slot, and orders meet in a script only. It
runs before the partition's commit, and again after a crash, by a zombie, or for a duplicate: what
it answered first it answers ever after. So an entry outlives all that can ask about it.
"""

import re
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic_core import from_json
from redis.asyncio import Redis

from services.inventory.decisions import Answer, Row
from services.inventory.state import OrderStock
from shared.documents import Documents
from shared.events.envelope import Event
from shared.events.fields import MAX_STOCK
from shared.events.fulfillment import (
    OpenUnitsCanceled,
    OrderCanceled,
    PackageConfirmed,
    ReorderAsked,
    RequestRefused,
    UnitsReturned,
)
from shared.events.storefront import OrderPlaced
from shared.events.warehouse import StockAdjusted, StockDamaged, StockFact, StockRestocked, StockSet
from shared.policy import Policies
from shared.redis import SCAN_COUNT, Pipeline, Script, scan, trip
from shared.retention import INPUT_READABLE_MS, JOURNAL_READABLE_MS
from shared.service import Question

REMEMBER_ORDER_MS = JOURNAL_READABLE_MS
"""An entry that holds nothing is kept for as long as a fact of fulfillment can be read again."""
REMEMBER_COMMAND_MS = INPUT_READABLE_MS
"""A stock command's answer is kept for as long as the command can be read again."""
STOCK_KEYS = "{stock:*}:*"
"""All keys of what crosses orders."""
NO_LEVEL = -1
"""The version of what somebody else has written into a seller's levels."""

documents = Documents("inventory", OrderStock)

_STOCK = Script(Path(__file__).with_name("stock.lua"))
_LEVEL = re.compile(rb"(-?\d+) (\d+) (\d+)")
_KEY = re.compile(r"\{stock:(?P<seller>[^}]*)\}:(?:levels|order:(?P<order>.*))")


class Level(NamedTuple):
    """The units of one SKU; `version` counts its changes, 0 where nobody ever heard of it, NO_LEVEL
    where what is stored is none.
    """

    seller_id: str
    sku: str
    on_hand: int
    reserved: int
    version: int

    @property
    def available(self) -> int:
        return self.on_hand - self.reserved


class Holding(NamedTuple):
    """The units per SKU that an order holds."""

    seller_id: str
    order_id: str
    units: Mapping[str, int]


def ask(event: Event[Any], _policies: Policies) -> Question | None:
    """What an event demands of the stock: one run of the script, whose reply is an `Answer`."""
    data = event.data
    match data:
        case OrderPlaced():
            units = [(line.sku, line.quantity) for line in data.units_by_sku()]
            return _of_order("reserve", event, data.seller_id, event.unique_id, *flat(units))
        case OrderCanceled() | OpenUnitsCanceled():
            write_off = data.cancellation.seller_reason_code == "NoInventory"
            return _of_order("release", event, data.seller_id, _version(event), int(write_off))
        case RequestRefused(other_seller_id=str(other)):
            return _of_order("release", event, other, _version(event), 0)
        case PackageConfirmed():
            changes = [(moved.sku, moved.change) for moved in data.units_shipped]
            if not changes:
                return None
            return _of_order("ship", event, data.seller_id, _version(event), *flat(changes))
        case UnitsReturned():
            return _of_order("return", event, data.seller_id, _version(event), *_came_back(data))
        case ReorderAsked():
            units = [(wanted.sku, wanted.quantity) for wanted in data.units]
            return _of_order("lasts", event, data.seller_id, *flat(units))
        case StockFact():
            return _of_command(event)
    return None


async def all_levels(redis: Redis) -> AsyncIterator[Level]:
    """Every level there is, in no order; one that changes meanwhile may come twice, or as it was.

    For books and dashboards: it looks at every key of this Redis, so not for every request.
    """
    async for keys in scan(redis, "{stock:*}:levels"):
        for key in keys:
            async for level in _levels_of(redis, _parsed(key)["seller"]):
                yield level


async def all_holdings(redis: Redis) -> AsyncIterator[Holding]:
    """What every order holds that holds anything; as `all_levels`."""
    async for keys in scan(redis, "{stock:*}:order:*"):
        pipeline = Pipeline(redis)
        for key in keys:
            pipeline.queue("HGET", key, "held")
        for key, held in zip(keys, await pipeline.run(), strict=True):
            if units := from_json(held or b"{}"):
                yield Holding(_parsed(key)["seller"], _parsed(key)["order"], units)


def _of_order(operation: str, event: Event[Any], seller_id: str, *args: str | int) -> Question:
    keys = [levels_key(seller_id), order_key(seller_id, event.subject)]
    return Question(_STOCK, keys, [operation, REMEMBER_ORDER_MS, MAX_STOCK, *args], _answer)


def _of_command(event: Event[StockFact]) -> Question:
    """What a warehouse says: a count sets what is on hand, all else changes it."""
    data, operation = event.data, "adjust"
    match data:
        case StockSet():
            operation, units = "set", data.on_hand
        case StockRestocked():
            units = data.units
        case StockDamaged():
            units = -data.units
        case StockAdjusted():
            units = data.change
        case _:
            raise TypeError(f"{event.type} says nothing of units")
    command = command_key(data.seller_id, event.unique_id, data.sku)
    keys = [levels_key(data.seller_id), command]
    args: list[str | int] = [operation, REMEMBER_COMMAND_MS, MAX_STOCK, data.sku, units]
    return Question(_STOCK, keys, args, _answer)


def order_key(seller_id: str, order_id: str) -> str:
    """The entry of what an order holds, and was answered."""
    return f"{{stock:{seller_id}}}:order:{order_id}"


def command_key(seller_id: str, command_id: str, sku: str) -> str:
    """What a stock command was answered."""
    return f"{{stock:{seller_id}}}:command:{command_id} {sku}"


def levels_key(seller_id: str) -> str:
    """A seller's levels."""
    return f"{{stock:{seller_id}}}:levels"


def _version(event: Event[Any]) -> int:
    assert event.subjectversion is not None, f"{event.type} of a service of ours has a version"
    return event.subjectversion


def _came_back(returned: UnitsReturned) -> list[str | int]:
    """SKU, sellable and damaged units, for each SKU of which some came back."""
    sellable, damaged = (
        Counter({units.sku: units.quantity for units in some})
        for some in (returned.sellable, returned.damaged)
    )
    skus = dict.fromkeys([*sellable, *damaged])
    return [part for sku in skus for part in (sku, sellable[sku], damaged[sku])]


def flat(units: Sequence[tuple[str, int]]) -> list[str | int]:
    """SKUs and units, as the scripts take them."""
    return [part for pair in units for part in pair]


def _answer(reply: bytes) -> Answer:
    outcome, rows = from_json(reply)
    return Answer(outcome, tuple(sorted(Row._make(row) for row in rows)))


async def _levels_of(redis: Redis, seller_id: str) -> AsyncIterator[Level]:
    found: Any = [None]
    while found[0] != 0:
        async with trip():
            found = await redis.hscan(levels_key(seller_id), found[0] or 0, count=SCAN_COUNT)
        for sku, stored in found[1].items():
            known = _LEVEL.fullmatch(stored)
            units = map(int, known.groups()) if known else (0, 0, NO_LEVEL)
            yield Level(seller_id, sku.decode(), *units)


def _parsed(key: bytes) -> re.Match[str]:
    found = _KEY.fullmatch(key.decode())
    assert found is not None, f"{key!r} was found by its pattern"
    return found
