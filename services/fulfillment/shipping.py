"""How an order is shipped (R11) and delivered."""

import re
from collections import Counter
from datetime import datetime

from services.fulfillment.answers import archive_at, promised, refuse, tell
from services.fulfillment.canceling import WAY_BACK, deny_cancel
from services.fulfillment.units import package_of, returnable, units_of
from shared.events import carrier
from shared.events.envelope import Event
from shared.events.fields import MAX_PACKAGES, MAX_PACKED_ITEMS
from shared.events.fulfillment import (
    Order,
    Package,
    PackageConfirmed,
    PackageDelivered,
    RequestRefused,
)
from shared.events.inventory import SkuChange
from shared.events.seller import OTHER_CARRIER, PACKAGE_REFERENCE, ShipmentConfirmed
from shared.policy import Policy
from shared.service import Facts, Received


def confirm_package(order: Order, received: Received, policy: Policy) -> Facts:
    """R11: a package is confirmed once; the same reference again edits it, until it is delivered.

    A package counts as confirmed when that was first said, an edit as a correction of it (R12). An
    edit may take units back: a Shipped order is then PartiallyShipped again. Saying the same again
    changes nothing. Shipping ends what the buyer had asked of the seller (R15).
    """
    event: Event[ShipmentConfirmed] = received.event
    if refused := _missing_field(event):
        return (refused,)
    edited = package_of(order, event.data.package_reference_id)
    package = _package(order, event, edited, policy)
    if package == edited:
        return ()
    if refused := _not_packable(order, event, package, edited):
        return (refused,)
    confirmed = PackageConfirmed(
        seller_id=order.seller_id,
        package=package,
        edited=edited is not None,
        units_shipped=_changes_by_sku(order, package, edited),
        archive_at=archive_at(order, event, policy),
    )
    if edited:
        return (confirmed,)
    notice = tell(
        order,
        "BUYER",
        "package_shipped",
        occurrence=len(order.packages) + 1,
        tracking_number=package.tracking_number,
        delivery_window=order.delivery_window,
    )
    return (*deny_cancel(order, "shipped", WAY_BACK, policy), confirmed, notice)


def _missing_field(event: Event[ShipmentConfirmed]) -> RequestRefused | None:
    """The first field of a confirmation that is missing or bad."""
    data = event.data
    fields = (
        (
            "package_reference_id",
            re.match(PACKAGE_REFERENCE, data.package_reference_id),
            "A positive number of at most 18 digits, as a string.",
        ),
        ("carrier_code", data.carrier_code.strip(), "The carrier's code, or Other."),
        (
            "carrier_name",
            data.carrier_name.strip() or data.carrier_code != OTHER_CARRIER,
            "The carrier's name, where its code is Other.",
        ),
        ("tracking_number", data.tracking_number.strip(), "The carrier's number of the package."),
        ("ship_date", data.ship_date, "When the package was handed over, RFC 3339."),
        ("order_items", data.order_items, "The order items in the package and their quantities."),
    )
    for field, good, has_to_be in fields:
        if not good:
            return refuse(event, "missing_field", field, has_to_be)
    return None


def _package(
    order: Order, event: Event[ShipmentConfirmed], edited: Package | None, policy: Policy
) -> Package:
    """The package as it is said to be; when it was first confirmed an edit does not change, nor by
    when it has to be there: a package that is lost is one for its promise, not the order's (R23).
    """
    there_by = max(promised(order).latest, event.time)
    known = {
        "confirmed_at": edited.confirmed_at if edited else event.time,
        "lost_at": edited.lost_at if edited else policy.package_lost_at(there_by),
        "delivered_at": _delivered_at(order, event.data.tracking_number),
        "returned_at": edited.returned_at if edited else None,
    }
    return Package(**{**dict(event.data), **known})


def _delivered_at(order: Order, tracking_number: str) -> datetime | None:
    """When the carrier delivered under a tracking number, if it said so already."""
    deliveries = {p.tracking_number: p.delivered_at for p in order.packages if p.delivered_at}
    for early in order.unconfirmed_deliveries:
        deliveries[early.tracking_number] = early.carrier_delivered_at
    return deliveries.get(tracking_number)


def _not_packable(
    order: Order, event: Event[ShipmentConfirmed], package: Package, edited: Package | None
) -> RequestRefused | None:
    """Why the order's units can not be in the package, the first reason of several."""
    if edited and edited.delivered_at:
        return refuse(event, "package_delivered", "package_reference_id")
    if edited and edited.returned_at:
        return refuse(event, "package_returned", "package_reference_id")
    if not edited and len(order.packages) == MAX_PACKAGES:
        detail = f"An order has at most {MAX_PACKAGES} packages."
        return refuse(event, "too_many_packages", "package_reference_id", detail)
    packed = sum(len(p.order_items) for p in order.packages if p is not edited)
    if packed + len(package.order_items) > MAX_PACKED_ITEMS:
        detail = f"All packages of an order have at most {MAX_PACKED_ITEMS} entries."
        return refuse(event, "too_many_packages", "order_items", detail)
    before, after = units_of(edited), units_of(package)
    free = {i.order_item_id: i.quantity_open + before[i.order_item_id] for i in order.items}
    if unknown := [item for item in after if item not in free]:
        return refuse(event, "unknown_item", "order_items", f"The order has no item {unknown[0]}.")
    if excess := [item for item in after if after[item] > free[item]]:
        item = excess[0]
        detail = f"Item {item}: {after[item]} units in the package, {free[item]} are open."
        return refuse(event, "more_units_than_open", "order_items", detail)
    if order.cancellation and after != before:
        detail = "The rest of the order was canceled: shipped units stay shipped."
        return refuse(event, "order_shipped", "order_items", detail)
    free = returnable(order)
    if taken := [item for item in before if before[item] - after[item] > free[item]]:
        detail = f"Item {taken[0]}: units are in a return, they can not be taken out."
        return refuse(event, "units_in_return", "order_items", detail)
    return None


def _changes_by_sku(
    order: Order, package: Package, edited: Package | None
) -> tuple[SkuChange, ...]:
    """What the package takes from stock, an edit brings back; nothing where that is nothing."""
    before, after = units_of(edited), units_of(package)
    changes: Counter[str] = Counter()
    for line in order.items:
        changes[line.sku] += after[line.order_item_id] - before[line.order_item_id]
    return tuple(SkuChange(sku=sku, change=change) for sku, change in changes.items() if change)


def note_delivery(order: Order, received: Received, policy: Policy) -> Facts:
    """The carrier delivered: that is the package's, and changes no status (R13).

    A tracking number that no package has is kept until one is confirmed with it.
    """
    event: Event[carrier.PackageDelivered] = received.event
    number = event.data.tracking_number
    carried = [package for package in order.packages if package.tracking_number == number]
    if not carried and any(d.tracking_number == number for d in order.unconfirmed_deliveries):
        return ()
    if not carried and len(order.unconfirmed_deliveries) == MAX_PACKAGES:
        detail = f"At most {MAX_PACKAGES} deliveries of an order wait for their package."
        return (refuse(event, "too_many_packages", "tracking_number", detail),)
    references = [p.package_reference_id for p in carried if p.delivered_at is None]
    return tuple(
        PackageDelivered(
            tracking_number=number,
            package_reference_id=reference,
            delivered_at=event.time,
            archive_at=archive_at(order, event, policy) if reference else None,
        )
        for reference in (references if carried else [None])
    )
