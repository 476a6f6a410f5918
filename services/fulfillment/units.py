"""The units of an order: what its packages and its returns hold."""

from collections import Counter
from collections.abc import Iterable

from shared.events.fields import ItemQuantity
from shared.events.fulfillment import Order, Package, Return, ReturnedItem
from shared.events.seller import ReceivedItem


def units_of(package: Package | None) -> Counter[str]:
    """Units per order item in a package, entries of the same item summed; none of no package."""
    return units_in(package.order_items if package else ())


def units_in(items: Iterable[ItemQuantity | ReceivedItem | ReturnedItem]) -> Counter[str]:
    """Units per order item, entries of the same item summed."""
    units: Counter[str] = Counter()
    for item in items:
        units[item.order_item_id] += item.quantity
    return units


def returnable(order: Order) -> Counter[str]:
    """Units per order item that have shipped and are in no return (R17)."""
    units = Counter(
        {i.order_item_id: i.quantity_shipped - i.quantity_returned for i in order.items}
    )
    for back in order.returns:
        units.subtract(units_in(back.items))
    return units


def return_of(order: Order, return_id: str) -> Return | None:
    """The order's return of that id, if it was opened."""
    return next((back for back in order.returns if back.return_id == return_id), None)


def package_of(order: Order, reference: str) -> Package | None:
    """The order's package of that reference, if it was confirmed."""
    packages = (p for p in order.packages if p.package_reference_id == reference)
    return next(packages, None)
