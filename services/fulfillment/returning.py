"""How shipped units come back (R17): asked for, or brought by the carrier; received; overdue.

A request is answered at once. What happened to goods waits for what precedes it: the confirmation
of its package, the request of its return.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from services.fulfillment.answers import archive_at, promised, refuse, tell
from services.fulfillment.units import return_of, returnable, units_in, units_of
from shared.events import carrier
from shared.events.envelope import Event
from shared.events.fields import (
    MAX_ITEMS_ON_THEIR_WAY_BACK,
    MAX_RETURNS,
    ItemQuantity,
    SkuQuantity,
)
from shared.events.fulfillment import (
    Order,
    PackageReturned,
    RefusalReason,
    RequestRefused,
    Return,
    ReturnedItem,
    ReturnOpened,
    ReturnParty,
    UnitsReturned,
)
from shared.events.seller import ItemCondition, ReturnReceived
from shared.events.storefront import ReturnRequested
from shared.policy import Policy
from shared.service import Facts, Park, Received

SEND_BACK = "Send the goods back by the deadline. You are refunded when the seller has them."
COMING_BACK = (
    "The carrier could not deliver the package and brings it back. You are refunded when the seller"
    " has it."
)
GOODS_BACK = "The seller has the goods that you returned. Your refund is on its way."


def open_return(order: Order, received: Received, policy: Policy) -> Facts:
    """R17: the buyer asks to return units that have shipped and are in no return, within the return
    window; the time of the request counts, as far as it is believed.

    An id stands for one return: what is asked under it again is refused.
    """
    event: Event[ReturnRequested] = received.event
    asked_at = policy.request_time(event.time, received.at)
    units = units_in(event.data.items)
    refused = (
        _not_asked_well(order, event)
        or _too_late(order, event, asked_at, policy)
        or _too_many(order, event, units)
        or _beyond(returnable(order), event, units, "more_units_than_shipped")
    )
    if refused:
        return (refused,)
    return _open(order, event.data.return_id, "BUYER", units, asked_at, event.data.reason, policy)


def bring_back(order: Order, received: Received, policy: Policy) -> Facts | Park:
    """R17, R23: what the carrier can not deliver it brings back: a return of the package's units,
    but for those that are in a return already.

    A tracking number stands for the packages that are confirmed with it by then; one that no
    package has waits for its confirmation.
    """
    event: Event[carrier.PackageReturned] = received.event
    number, reason = event.data.tracking_number, event.data.reason
    carried = [package for package in order.packages if package.tracking_number == number]
    if not carried:
        return Park(until=policy.parked_until(received.at))
    undelivered = [package for package in carried if package.returned_at is None]
    noted = tuple(
        PackageReturned(
            tracking_number=number,
            package_reference_id=package.package_reference_id,
            reason=reason,
            returned_at=event.time,
            archive_at=archive_at(order, event, policy),
        )
        for package in undelivered
    )
    packed: Counter[str] = sum(map(units_of, undelivered), Counter())
    units = packed & returnable(order)
    if not units:
        return noted
    if refused := _too_many(order, event, units):
        return (*noted, refused)
    return_id = f"carrier:{undelivered[0].package_reference_id}"
    return (*noted, *_open(order, return_id, "CARRIER", units, event.time, reason, policy))


def receive_return(order: Order, received: Received, policy: Policy) -> Facts | Park:
    """R17: the seller has the goods of a return. That ends it, also where fewer units came: the
    others are the buyer's again. The buyer is told that the refund follows.
    """
    event: Event[ReturnReceived] = received.event
    back = return_of(order, event.data.return_id)
    if back is None:
        return Park(until=policy.parked_until(received.at))
    if refused := _not_receivable(event, back):
        return (refused,)
    came: Counter[tuple[str, ItemCondition]] = Counter()
    for item in event.data.items:
        came[item.order_item_id, item.condition] += item.quantity
    skus = {line.order_item_id: line.sku for line in order.items}
    items = tuple(
        ReturnedItem(order_item_id=item, sku=skus[item], quantity=units, condition=condition)
        for (item, condition), units in came.items()
    )
    returned = UnitsReturned(
        seller_id=order.seller_id,
        return_id=back.return_id,
        requested_by=back.requested_by,
        received_at=event.time,
        items=items,
        sellable=_by_sku(items, "Sellable"),
        damaged=_by_sku(items, "Damaged"),
        archive_at=archive_at(order, event, policy),
    )
    nth = sum(known.received_at is not None for known in order.returns) + 1
    notice = tell(
        order,
        "BUYER",
        "return_received",
        occurrence=nth,
        return_id=back.return_id,
        detail=GOODS_BACK,
    )
    return (returned, notice)


def _open(
    order: Order,
    return_id: str,
    requested_by: ReturnParty,
    units: Counter[str],
    at: datetime,
    reason: str,
    policy: Policy,
) -> Facts:
    """The return, and both sides are told of it."""
    opened = ReturnOpened(
        seller_id=order.seller_id,
        return_id=return_id,
        requested_by=requested_by,
        items=tuple(ItemQuantity(order_item_id=item, quantity=n) for item, n in units.items()),
        reason=reason,
        requested_at=at,
        overdue_at=policy.return_overdue_at(at),
    )
    nth, due = len(order.returns) + 1, opened.overdue_at
    about: dict[str, Any] = {"occurrence": nth, "deadline": due, "return_id": return_id}
    to_buyer = SEND_BACK if requested_by == "BUYER" else COMING_BACK
    return (
        opened,
        tell(order, "SELLER", "return_requested", **about, detail=reason),
        tell(order, "BUYER", "return_opened", **about, detail=to_buyer),
    )


def _not_asked_well(order: Order, event: Event[ReturnRequested]) -> RequestRefused | None:
    if not event.data.items:
        return refuse(event, "missing_field", "items", "The order items and their quantities.")
    if return_of(order, event.data.return_id):
        return refuse(event, "return_exists", "return_id")
    known = {line.order_item_id for line in order.items}
    if unknown := [i.order_item_id for i in event.data.items if i.order_item_id not in known]:
        return refuse(event, "unknown_item", "items", f"The order has no item {unknown[0]}.")
    return None


def _too_late(
    order: Order, event: Event[ReturnRequested], asked_at: datetime, policy: Policy
) -> RequestRefused | None:
    until = policy.return_until(promised(order).latest)
    if asked_at <= until:
        return None
    detail = f"A return could be asked for until {until.isoformat()}."
    return refuse(event, "return_window_over", detail=detail)


def _too_many(order: Order, event: Event[Any], units: Counter[str]) -> RequestRefused | None:
    """A snapshot holds so many returns, and so many entries of those on their way."""
    if len(order.returns) == MAX_RETURNS:
        detail = f"An order has at most {MAX_RETURNS} returns."
        return refuse(event, "too_many_returns", detail=detail)
    entries = sum(len(known.items) for known in order.returns) + len(units)
    if entries > MAX_ITEMS_ON_THEIR_WAY_BACK:
        detail = f"At most {MAX_ITEMS_ON_THEIR_WAY_BACK} items of returns are on their way at once."
        return refuse(event, "too_many_returns", "items", detail)
    return None


def _not_receivable(event: Event[ReturnReceived], back: Return) -> RequestRefused | None:
    if not event.data.items:
        allowed = "The order items that came, with quantity and condition."
        return refuse(event, "missing_field", "items", allowed)
    if back.received_at:
        return refuse(event, "return_received", "return_id")
    units = units_in(event.data.items)
    return _beyond(units_in(back.items), event, units, "more_units_than_in_return")


def _beyond(
    most: Counter[str], event: Event[Any], units: Counter[str], reason: RefusalReason
) -> RequestRefused | None:
    """The first item of which there are more units than there may be."""
    for item, n in units.items():
        if n > most[item]:
            detail = f"Item {item}: {n} units, {most[item]} at most."
            return refuse(event, reason, "items", detail)
    return None


def _by_sku(items: Iterable[ReturnedItem], condition: ItemCondition) -> tuple[SkuQuantity, ...]:
    units: Counter[str] = Counter()
    for item in items:
        if item.condition == condition:
            units[item.sku] += item.quantity
    return tuple(SkuQuantity(sku=sku, quantity=n) for sku, n in units.items())
