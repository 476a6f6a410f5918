"""What an order holds of its seller's stock; the levels cross orders, so the store keeps them."""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from shared.documents import State
from shared.events.envelope import Fact
from shared.events.fields import SellerId, SkuQuantity
from shared.events.inventory import (
    ReorderChecked,
    SkuChange,
    StockHeldByRival,
    StockRejected,
    StockReleased,
    StockReserved,
    StockReturned,
    StockShipped,
    Units,
)


class OrderStock(State):
    """The units of its seller's stock that an order holds; it waits for nothing.

    `reserved` while it holds units, `rejected` when it got none (R4), `released` when it was
    canceled, `shipped` when all it held has left. The edit of a package may bring units back;
    what a buyer returns is not the order's any more, and changes nothing here.
    """

    seller_id: SellerId
    status: Literal["reserved", "rejected", "released", "shipped"]
    held: Units = ()

    @property
    def lingers(self) -> bool:
        return not self.held


def evolve(state: OrderStock | None, fact: Fact, _time: datetime) -> OrderStock | None:
    """The state after one of inventory's own facts.

    Raises ValueError for a fact that can not follow on the state: a broken invariant.
    """
    match fact:
        case StockReserved() if state is None:
            return OrderStock(seller_id=fact.seller_id, status="reserved", held=fact.units)
        case StockRejected() if state is None:
            return OrderStock(seller_id=fact.seller_id, status="rejected")
        case StockReleased() if (state.held if state else ()) == fact.units:
            return OrderStock(seller_id=fact.seller_id, status="released")
        case StockShipped() if state is not None:
            held = _without(state.held, fact.changes)
            status: Literal["reserved", "shipped"] = "reserved" if held else "shipped"
            return OrderStock(seller_id=fact.seller_id, status=status, held=held)
        case StockReturned() | ReorderChecked() if state is not None:
            return state
        case StockHeldByRival():
            return state  # the rival's units are in an entry of its own, see store.py
    raise ValueError(f"{fact.TYPE} can not follow on {state!r}")


def _without(held: Units, changes: Iterable[SkuChange]) -> Units:
    """The units still held, in the order of their SKUs."""
    units = {line.sku: line.quantity for line in held}
    for change in changes:
        units[change.sku] = units.get(change.sku, 0) - change.change
    return tuple(SkuQuantity(sku=sku, quantity=units[sku]) for sku in sorted(units) if units[sku])
