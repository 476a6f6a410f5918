"""What lists, counts and plots know of an order: one line of a table, made of its view.

A row is an array in Redis. Instants are business ms, 0
for none.
"""

from collections.abc import Iterable
from datetime import datetime
from itertools import chain
from typing import Any, NamedTuple

from services.dashboard.state import View
from shared.clock import to_ms
from shared.events.fulfillment import Order
from shared.events.payment import PAYMENT_EVENTS, PaymentStuck


class Row(NamedTuple):
    """One order in a list.

    `source` is its traffic source, `skus` and `text` are lines; `was_seller` says that it has left
    Pending (R3); `waits` are its open deadlines, each as who waits, what for and until when.
    """

    order_id: str
    seller_id: str
    marketplace_id: str
    status: str
    was_seller: int
    purchase_ms: int
    updated_ms: int
    released_ms: int
    ship_by_ms: int
    warn_ms: int
    cancel_ms: int
    confirmed_ms: int
    delivered_ms: int
    canceled_ms: int
    units: int
    units_open: int
    total_minor: int
    currency: str
    source: str
    skus: str
    cancel_reason: str
    canceled_by: str
    stuck: str
    cancel_asked: int
    delayed: int
    late_notices: int
    packages: int
    packages_seen: int
    returns_open: int
    text: str
    waits: list[tuple[str, str, int]]


COLUMNS = Row._fields[:-2]
"""Of the index's table of orders; `text` and `waits` have tables of their own."""


def row_of(view: View) -> Row | None:
    """The row of an order; None for what is in no list: unknown, or archived."""
    order = view.order
    if order is None or order.archived_at is not None:
        return None
    cancellation, packages = order.cancellation, order.packages
    delivered = [p.delivered_at for p in packages if p.delivered_at]
    return Row(
        order_id=order.order_id,
        seller_id=order.seller_id,
        marketplace_id=order.marketplace_id,
        status=order.status,
        was_seller=int(order.ship_window is not None),
        purchase_ms=to_ms(order.purchase_date),
        updated_ms=to_ms(order.last_update_date),
        released_ms=_ms(order.released_at) if order.ship_window else 0,
        ship_by_ms=_ms(order.ship_window.latest) if order.ship_window else 0,
        warn_ms=_ms(order.cancel_warning_at),
        cancel_ms=_ms(order.cancel_at),
        confirmed_ms=max((to_ms(p.confirmed_at) for p in packages), default=0),
        delivered_ms=max(map(to_ms, delivered)) if len(delivered) == len(packages) > 0 else 0,
        canceled_ms=_ms(cancellation.canceled_at) if cancellation else 0,
        units=sum(line.quantity for line in order.items),
        units_open=sum(line.quantity_open for line in order.items),
        total_minor=order.order_total.amount_minor,
        currency=order.order_total.currency,
        source=f"{order.traffic_source.channel} {order.traffic_source.site}",
        skus=lines(line.sku for line in order.items),
        cancel_reason=cancellation.reason if cancellation else "",
        canceled_by=cancellation.requested_by if cancellation else "",
        stuck=lines(stuck_reasons(view)),
        cancel_asked=int(order.buyer_requested_cancel is not None),
        delayed=int(order.announced_delay is not None),
        late_notices=order.late_notices,
        packages=len(packages),
        packages_seen=sum(bool(p.delivered_at or p.returned_at) for p in packages),
        returns_open=sum(each.received_at is None for each in order.returns),
        text=_text(order),
        waits=sorted(
            ((by, each.kind, to_ms(each.due)) for by, all_ in view.waits.items() for each in all_),
            key=lambda wait: (wait[2], wait),
        ),
    )


def lines(texts: Iterable[str]) -> str:
    """Each once."""
    return "\n".join(dict.fromkeys(texts))


def stuck_reasons(view: View) -> list[str]:
    """What an order or its payment waits for in vain (R23)."""
    order = [stuck.reason for stuck in view.order.stuck] if view.order else []
    payment: dict[Any, str] = {}
    for entry in view.timeline:
        of = entry.said.get("payment_id")
        if entry.type == PaymentStuck.TYPE:  # until a fact about the same payment follows
            payment[of] = str(entry.said.get("reason", ""))
        elif entry.topic == PAYMENT_EVENTS.name:
            payment.pop(of, None)
    return [*order, *payment.values()]


def _text(order: Order) -> str:
    """What a search by text finds an order by, in small letters; nothing that names a person."""
    items = chain.from_iterable((line.sku, line.product_name) for line in order.items)
    tracking = (p.tracking_number for p in order.packages)
    return lines(
        each.lower() for each in (order.order_id, order.seller_order_id, *items, *tracking) if each
    )


def _ms(instant: datetime | None) -> int:
    return to_ms(instant) if instant else 0
