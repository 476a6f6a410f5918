"""The reports that sellers work by (R21): rows from order snapshots, under Amazon's column names.

    order       what left Pending in a range of time, whatever became of it since
    unshipped   what is to be shipped at a given instant, the most urgent first (R10)

One row per order item. A Pending order is in neither (R3), nor is one that was canceled while
Pending; one of which units are open is in the second with those. An archived order has left both.
Everything here is pure: who reads the snapshots, and who writes the rows, is elsewhere.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import NamedTuple

from shared.currencies import in_units
from shared.events.fields import Address, Money
from shared.events.fulfillment import Order, OrderLine
from shared.policy import Policies, Policy
from shared.spreadsheet import Cell
from shared.urgency import (
    TO_SHIP,
    days_past_promise,
    on_verge_of_cancellation,
    on_verge_of_late,
    ship_by,
    urgency,
)

TRAFFIC_SOURCE = "traffic-source"
"""The optional column that a report can be split by (R20): channel and site."""

Moment = date | datetime
"""A local day of the order's marketplace, all of it; or an instant."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is asked of a report.

    `since` and `until` are of the order report: days count whole, both ends included; an instant
    `since` is included, one `until` is not. `columns` are optional ones, beside those of Amazon's
    own. `at` is the instant of looking, in business time.
    """

    at: datetime
    policies: Policies = field(default_factory=Policies)
    seller_id: str | None = None
    marketplace_id: str | None = None
    since: Moment | None = None
    until: Moment | None = None
    columns: tuple[str, ...] = ()
    by_traffic_source: bool = False


class Line(NamedTuple):
    """A row of a report, and its place: lines are sorted by `rank`, and `of_item` within it."""

    rank: tuple[object, ...]
    of_item: int
    cells: tuple[Cell, ...]


class _Item(NamedTuple):
    """An order item, and what its cells are made of."""

    order: Order
    line: OrderLine
    at: datetime
    policy: Policy


_Columns = Mapping[str, Callable[[_Item], Cell]]


@dataclass(frozen=True, kw_only=True)
class Report:
    """A kind of report: its columns, and which orders and items are in it, in which order."""

    name: str
    columns: _Columns
    optional: _Columns
    has: Callable[[Order, Asked], bool]
    has_item: Callable[[OrderLine], bool]
    rank: Callable[[Order], tuple[object, ...]]

    def column_names(self, asked: Asked) -> tuple[str, ...]:
        """The columns in their order: Amazon's own, then those asked for."""
        return tuple(self._columns_of(asked))

    def lines(self, order: Order, asked: Asked) -> Iterator[Line]:
        """The rows of one order, none if it is not in the report."""
        if not _is_asked_for(order, asked) or not self.has(order, asked):
            return
        policy = asked.policies.of(order.marketplace_id)
        columns = self._columns_of(asked).values()
        group = (_traffic_source(order),) if asked.by_traffic_source else ()
        rank = (*group, *self.rank(order))
        for nth, line in enumerate(order.items):
            if self.has_item(line):
                item = _Item(order, line, asked.at, policy)
                yield Line(rank, nth, tuple(cell_of(item) for cell_of in columns))

    def _columns_of(self, asked: Asked) -> _Columns:
        wanted = dict.fromkeys(asked.columns)
        if asked.by_traffic_source:
            wanted[TRAFFIC_SOURCE] = None
        return {**self.columns, **{name: self.optional[name] for name in wanted}}


def rows(lines: Iterable[Line]) -> Iterator[Sequence[Cell]]:
    """The rows of all orders, sorted."""
    return (line.cells for line in sorted(lines, key=lambda line: (line.rank, line.of_item)))


def has_left_pending(order: Order) -> bool:
    """Whether the order ever was the seller's: it was promised when it left Pending (R3, R9)."""
    return order.ship_window is not None


def _is_asked_for(order: Order, asked: Asked) -> bool:
    return asked.seller_id in {None, order.seller_id} and asked.marketplace_id in {
        None,
        order.marketplace_id,
    }


def _left_pending_in_time(order: Order, asked: Asked) -> bool:
    if not has_left_pending(order) or order.released_at is None:
        return False
    policy = asked.policies.of(order.marketplace_id)
    return _is_since(order.released_at, asked.since, policy) and not _is_beyond(
        order.released_at, asked.until, policy
    )


def _is_since(instant: datetime, since: Moment | None, policy: Policy) -> bool:
    if isinstance(since, datetime):
        return instant >= since
    return since is None or policy.calendar.local_date(instant) >= since


def _is_beyond(instant: datetime, until: Moment | None, policy: Policy) -> bool:
    if isinstance(until, datetime):
        return instant >= until
    return until is not None and policy.calendar.local_date(instant) > until


def _is_to_ship(order: Order, _asked: Asked) -> bool:
    return order.status in TO_SHIP


def _released(order: Order) -> tuple[object, ...]:
    return order.released_at, order.order_id


def _address(item: _Item) -> Address:
    assert item.order.ship_address is not None, "what has left Pending goes somewhere"
    return item.order.ship_address


def _amount(money: Money | None) -> Cell:
    return None if money is None else in_units(money)


def _traffic_source(order: Order) -> str:
    return f"{order.traffic_source.channel} {order.traffic_source.site}"


def _cancel_reason(item: _Item) -> Cell:
    """Why the buyer wants to cancel, while that waits for the seller's answer (R15)."""
    asked = item.order.buyer_requested_cancel
    return asked.reason if asked else None


# fmt: off
_WHO: _Columns = {
    "buyer-email":        lambda item: item.order.buyer.email,
    "buyer-name":         lambda item: item.order.buyer.name,
    "buyer-phone-number": lambda item: item.order.buyer.phone,
}
_WHEN: _Columns = {
    "order-id":      lambda item: item.order.order_id,
    "order-item-id": lambda item: item.line.order_item_id,
    "purchase-date": lambda item: item.order.purchase_date,
    "payments-date": lambda item: item.order.payments_date,
}
_WHAT: _Columns = {
    "sku":                lambda item: item.line.sku,
    "product-name":       lambda item: item.line.product_name,
    "quantity-purchased": lambda item: item.line.quantity,
}
_WHERETO: _Columns = {
    "ship-service-level": lambda item: item.order.ship_service_level,
    "recipient-name":     lambda item: _address(item).name,
    "ship-address-1":     lambda item: _address(item).address_line_1,
    "ship-address-2":     lambda item: _address(item).address_line_2,
    "ship-address-3":     lambda item: _address(item).address_line_3,
    "ship-city":          lambda item: _address(item).city,
    "ship-state":         lambda item: _address(item).state_or_region,
    "ship-postal-code":   lambda item: _address(item).postal_code,
    "ship-country":       lambda item: _address(item).country_code,
}
_BUSINESS: _Columns = {
    "is-business-order":     lambda item: item.order.is_business_order,
    "purchase-order-number": lambda item: item.order.purchase_order_number,
    "price-designation":     lambda _: None,  # no order says that its price is a business one
    "is-prime":              lambda item: item.order.is_prime,
}
_OPTIONAL: _Columns = {
    "sales-channel": lambda item: item.order.sales_channel,
    TRAFFIC_SOURCE:  lambda item: _traffic_source(item.order),
}

ORDER_REPORT = Report(
    name="order",
    columns={
        **_WHEN,
        **_WHO,
        **_WHAT,
        "currency":       lambda item: item.line.item_price.currency,
        "item-price":     lambda item: _amount(item.line.item_price),
        "item-tax":       lambda item: _amount(item.line.item_tax),
        "shipping-price": lambda item: _amount(item.line.shipping_price),
        "shipping-tax":   lambda item: _amount(item.line.shipping_tax),
        **_WHERETO,
        "ship-phone-number": lambda item: _address(item).phone,
        **_BUSINESS,
    },
    optional={**_OPTIONAL, "order-status": lambda item: item.order.status},
    has=_left_pending_in_time,
    has_item=lambda _: True,
    rank=_released,
)
"""Canceled and shipped orders are in it, as in Amazon's: who packs, packs by the other one."""

UNSHIPPED_REPORT = Report(
    name="unshipped",
    columns={
        **_WHEN,
        "reporting-date":    lambda item: item.order.released_at,
        "promise-date":      lambda item: ship_by(item.order),
        "days-past-promise": lambda item: days_past_promise(item.order, item.at, item.policy),
        "buyer-email":        _WHO["buyer-email"],
        "buyer-phone-number": _WHO["buyer-phone-number"],
        **_WHAT,
        "quantity-shipped": lambda item: item.line.quantity_shipped,
        "quantity-to-ship": lambda item: item.line.quantity_open,
        **_WHERETO,
        **_BUSINESS,
    },
    optional={
        **_OPTIONAL,
        "is-buyer-requested-cancellation": lambda item: bool(item.order.buyer_requested_cancel),
        "buyer-requested-cancel-reason":   _cancel_reason,
        "verge-of-cancellation": lambda item: on_verge_of_cancellation(item.order, item.at),
        "verge-of-lateShipment": lambda item: on_verge_of_late(item.order, item.at, item.policy),
    },
    has=_is_to_ship,
    has_item=lambda line: line.quantity_open > 0,
    rank=urgency,
)
"""`reporting-date` is when the order left Pending, `promise-date` the ship-by date."""
# fmt: on
