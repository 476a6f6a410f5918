"""R10: lists ask in SQL what `shared/urgency.py` says of an order, to the millisecond."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from pydantic_core import to_json

from services.dashboard.rows import row_of
from services.dashboard.state import View
from services.dashboard.web.filters import Filter
from services.dashboard.web.index import Index
from services.dashboard.web.orders import list_orders
from shared.clock import to_ms
from shared.events.fulfillment import Order
from shared.policy import Policy
from shared.urgency import (
    is_late,
    on_verge_of_cancellation,
    on_verge_of_late,
    ship_by,
)
from tests.support.orders import ORDER_ID, SHIP_BY, WARN_AT, after, reached, unshipped

POLICY = Policy()
ONE_MS = timedelta(milliseconds=1)
WARNED = after(
    unshipped(), *(reached(d) for d in unshipped().deadlines if d.kind == "cancel_warning")
)
STARTS = SHIP_BY - timedelta(days=1) + timedelta(seconds=1)
"""Of the day that ends with the ship-by date."""
ENDS = SHIP_BY + timedelta(seconds=1)


@pytest.fixture
def index() -> Iterator[Index]:
    index = Index()
    yield index
    index.close()


def asks_for(index: Index, urgency: str, at: datetime) -> bool:
    """Whether a list has the order, and that its line says the same of being late."""
    ends = POLICY.calendar.end_of_day(POLICY.calendar.local_date(at))
    listed = list_orders(index, Filter(urgency=urgency), to_ms(at), {"": to_ms(ends)})
    assert all(line.late == is_late(SHIP_BY, at) for line in listed.lines)
    return [line.order_id for line in listed.lines] == [ORDER_ID]


@pytest.mark.parametrize("edge", [STARTS, SHIP_BY, ENDS, WARN_AT], ids=str)
@pytest.mark.parametrize("apart", [-ONE_MS, timedelta(0), ONE_MS], ids=["before", "at", "after"])
@pytest.mark.parametrize("order", [unshipped(), WARNED], ids=["unwarned", "warned"])
def test_r10_a_list_and_the_rule_agree_on_both_sides_of_the_millisecond(
    index: Index, edge: datetime, apart: timedelta, order: Order
) -> None:
    index.put_orders(0, [(ORDER_ID, to_json(row_of(View(kind="order", order=order))))])
    at = edge + apart

    assert asks_for(index, "late", at) == is_late(ship_by(order), at)
    assert asks_for(index, "today", at) == on_verge_of_late(order, at, POLICY)
    assert asks_for(index, "ending", at) == on_verge_of_cancellation(order, at)


def test_r12_the_ship_by_date_has_passed_at_its_very_instant() -> None:
    assert not is_late(SHIP_BY, SHIP_BY - ONE_MS)
    assert is_late(SHIP_BY, SHIP_BY)
