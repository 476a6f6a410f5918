"""What each fact changes of an order: one table, and the longer of its changes."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from services.fulfillment.units import package_of, units_in, units_of
from shared.events.envelope import Fact
from shared.events.fulfillment import (
    AddressChanged,
    CancelAsked,
    CancelDenied,
    CancelWarned,
    ConditionMet,
    NoticeResent,
    OpenUnitsCanceled,
    Order,
    OrderArchived,
    OrderCanceled,
    OrderLine,
    OrderStuck,
    OrderUnshipped,
    Package,
    PackageConfirmed,
    PackageDelivered,
    PackageReturned,
    PaymentReversalNoted,
    ReorderAnswered,
    ReorderAsked,
    Return,
    ReturnOpened,
    ShipmentDelayed,
    ShipmentLate,
    UnconfirmedDelivery,
    UnitsReturned,
)
from shared.events.storefront import Buyer

Changes = dict[str, Any]
"""Fields of an order and their new values."""

KEPT = frozenset({"sales_channel", "cancellation", "payment_reversed_at"})
KEPT_OF_LINES = frozenset({"quantity_shipped", "quantity_canceled", "quantity_returned"})
"""What the stub of an archived order keeps beside what every order has to have."""


def _met(order: Order, fact: ConditionMet | OrderUnshipped) -> Changes:
    changes: Changes = {
        "waits_for": tuple(c for c in order.waits_for if c != fact.condition),
        "released_at": max(fact.met_at, order.released_at or fact.met_at),
    }
    if fact.condition == "payment":
        changes["payments_date"] = fact.met_at
    return changes


def _released(order: Order, fact: OrderUnshipped) -> Changes:
    return _met(order, fact) | {
        "ship_window": fact.ship_window,
        "delivery_window": fact.delivery_window,
        "next_late_notice_at": fact.ship_window.latest,
        "cancel_warning_at": fact.warn_at,
        "cancel_at": fact.cancel_at,
    }


def _confirmed(order: Order, fact: PackageConfirmed) -> Changes:
    """A new package is the last one; an edited one keeps its place."""
    package, reference = fact.package, fact.package.package_reference_id
    edited = package_of(order, reference)
    before, after = units_of(edited), units_of(package)
    packages = order.packages if edited else (*order.packages, package)
    return {
        "items": tuple(
            line.model_copy(
                update={
                    "quantity_shipped": line.quantity_shipped
                    + after[line.order_item_id]
                    - before[line.order_item_id]
                }
            )
            for line in order.items
        ),
        "packages": tuple(package if p.package_reference_id == reference else p for p in packages),
        "unconfirmed_deliveries": tuple(
            delivery
            for delivery in order.unconfirmed_deliveries
            if delivery.tracking_number != package.tracking_number
        ),
    }


def _delivered(order: Order, fact: PackageDelivered) -> Changes:
    if fact.package_reference_id is None:
        delivery = UnconfirmedDelivery(
            tracking_number=fact.tracking_number, carrier_delivered_at=fact.delivered_at
        )
        return {"unconfirmed_deliveries": (*order.unconfirmed_deliveries, delivery)}
    return {"packages": _with_package(order, fact, delivered_at=fact.delivered_at)}


def _brought_back(order: Order, fact: PackageReturned) -> Changes:
    return {"packages": _with_package(order, fact, returned_at=fact.returned_at)}


def _with_package(
    order: Order, fact: PackageDelivered | PackageReturned, **what: datetime
) -> tuple[Package, ...]:
    return tuple(
        package.model_copy(update=what)
        if package.package_reference_id == fact.package_reference_id
        else package
        for package in order.packages
    )


def _late(_order: Order, fact: ShipmentLate) -> Changes:
    return {
        "late_notices": fact.occurrence,
        "delivery_window": fact.delivery_window,
        "next_late_notice_at": fact.next_notice_at,
    }


def _delayed(_order: Order, fact: ShipmentDelayed) -> Changes:
    return {
        "late_notices": fact.occurrence,
        "delivery_window": fact.delivery_window,
        "announced_delay": fact.delay,
    }


def _asked(_order: Order, fact: CancelAsked) -> Changes:
    return {"asked_cancels": fact.request.nth, "buyer_requested_cancel": fact.request}


def _opened(order: Order, fact: ReturnOpened) -> Changes:
    return {"returns": (*order.returns, Return(**dict(fact)))}


def _returned(order: Order, fact: UnitsReturned) -> Changes:
    """The lines count what came; what did not come is in no return any more."""
    units = units_in(fact.items)
    received = {"items": (), "received_at": fact.received_at}
    return {
        "items": tuple(
            line.model_copy(
                update={"quantity_returned": line.quantity_returned + units[line.order_item_id]}
            )
            for line in order.items
        ),
        "returns": tuple(
            back.model_copy(update=received) if back.return_id == fact.return_id else back
            for back in order.returns
        ),
    }


def _canceled(order: Order, fact: OrderCanceled | OpenUnitsCanceled) -> Changes:
    """What was open is canceled, and nothing is waited for any more."""
    return {
        "waits_for": (),
        "buyer_requested_cancel": None,
        "cancellation": fact.cancellation,
        "items": tuple(
            line.model_copy(
                update={"quantity_canceled": line.quantity_canceled + line.quantity_open}
            )
            for line in order.items
        ),
    }


def _archived(order: Order, fact: OrderArchived) -> Changes:
    """The stub that is left names no person, and says what became of the order."""
    return _FORGOTTEN | {
        "buyer": Buyer(buyer_id=order.buyer.buyer_id),
        "items": tuple(line.model_copy(update=_FORGOTTEN_OF_LINES) for line in order.items),
        "archived_at": fact.archived_at,
    }


def _defaults(model: type[Order] | type[OrderLine], but: frozenset[str]) -> Changes:
    optional = ((n, f) for n, f in model.model_fields.items() if not f.is_required())
    return {name: field.get_default() for name, field in optional if name not in but}


_FORGOTTEN = _defaults(Order, KEPT)
_FORGOTTEN_OF_LINES = _defaults(OrderLine, KEPT_OF_LINES)


CHANGES: Mapping[type[Fact], Callable[[Order, Any], Changes]] = {
    ConditionMet: _met,
    OrderUnshipped: _released,
    PackageConfirmed: _confirmed,
    PackageDelivered: _delivered,
    PackageReturned: _brought_back,
    ShipmentDelayed: _delayed,
    ShipmentLate: _late,
    AddressChanged: lambda _order, fact: {
        "address_changes": fact.nth,
        "ship_address": fact.ship_address,
    },
    NoticeResent: lambda _order, fact: {"notices_resent": fact.nth},
    CancelAsked: _asked,
    CancelDenied: lambda _order, _fact: {"buyer_requested_cancel": None},
    CancelWarned: lambda _order, _fact: {"cancel_warning_at": None},
    OrderCanceled: _canceled,
    OpenUnitsCanceled: _canceled,
    ReturnOpened: _opened,
    UnitsReturned: _returned,
    ReorderAsked: lambda _order, fact: {"reorders_asked": fact.nth},
    ReorderAnswered: lambda _order, fact: {"reorders_answered": fact.nth},
    PaymentReversalNoted: lambda _order, fact: {"payment_reversed_at": fact.reversed_at},
    OrderStuck: lambda order, fact: {"stuck": (*order.stuck, fact.stuck)},
    OrderArchived: _archived,
}
