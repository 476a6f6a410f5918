"""Every window to the millisecond, over the ends of days, months and years, in four time zones.

Elsewhere a wait of 24 hours, worked out in days and minutes of local time, lasted 47 hours.
"""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import product
from zoneinfo import ZoneInfo

import pytest

from shared.events.fulfillment import Order, OrderCanceled
from shared.policy import Policies, Policy
from tests.support.orders import (
    ONE_MS,
    cancel_requested,
    order_placed,
    payment_approved,
    play,
    reached,
    stock_reserved,
)

PLACES = (
    ("DE", "Europe/Berlin"),
    ("US", "America/New_York"),
    ("BR", "America/Sao_Paulo"),
    ("JP", "Asia/Tokyo"),
)
LOCAL = (
    "2026-03-28T23:45:00.500",  # into the night in which clocks go forward in Europe
    "2026-03-29T01:45:00.500",
    "2026-10-25T02:45:00.500",  # which comes twice there
    "2026-03-08T01:45:00.500",  # and here in America
    "2026-11-01T01:45:00.500",
    "2018-11-03T23:45:00.500",  # midnight did not exist in São Paulo
    "2025-12-31T23:45:00.500",
    "2028-02-28T23:45:00.500",
    "2027-02-28T23:45:00.500",
    "2026-04-30T23:45:00.500",
)
WINDOWS = [
    ((country, zone), datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC))
    for (country, zone), local in product(PLACES, LOCAL)
]
over_every_end = pytest.mark.parametrize(
    ("place", "purchased"), WINDOWS, ids=lambda part: part[1] if isinstance(part, tuple) else None
)


def policies_of(place: tuple[str, str]) -> Policies:
    return Policies(Policy(calendar_country=place[0], time_zone=place[1]))


def held(place: tuple[str, str], purchased: datetime) -> tuple[Order, Policies]:
    policies = policies_of(place)
    order, _ = play(
        None,
        order_placed(purchased, purchase_date=purchased),
        stock_reserved(purchased),
        payment_approved(purchased),
        policies=policies,
    )
    assert order is not None
    return order, policies


@over_every_end
@pytest.mark.parametrize(("early", "own"), [(ONE_MS, True), (0 * ONE_MS, False)])
def test_r14_29_59_999_is_the_buyers_own_and_30_00_000_is_not(
    place: tuple[str, str], purchased: datetime, early: timedelta, own: bool
) -> None:
    order, policies = held(place, purchased)
    at = purchased + timedelta(minutes=30) - early

    _, facts = play(order, cancel_requested(at), policies=policies)

    (canceled,) = [fact for fact in facts if isinstance(fact, OrderCanceled)]
    assert canceled.cancellation.within_hold is own
    assert canceled.cancellation.executed_by == ("BUYER" if own else "MARKETPLACE")


@over_every_end
def test_r2_r13_every_wait_of_an_order_is_as_long_as_its_policy_says(
    place: tuple[str, str], purchased: datetime
) -> None:
    order, policies = held(place, purchased)
    policy = policies.default

    (hold,) = [deadline for deadline in order.deadlines if deadline.kind == "hold"]
    unshipped, _ = play(order, reached(hold), policies=policies)

    assert hold.due - purchased == timedelta(minutes=30)
    assert policy.verification_end(purchased) - purchased == timedelta(hours=7 * 24)
    assert policy.parked_until(purchased) - purchased == timedelta(hours=24)
    assert unshipped is not None
    assert (unshipped.status, unshipped.released_at) == ("Unshipped", hold.due)
    assert unshipped.cancel_at is not None
    assert unshipped.cancel_at - purchased == timedelta(hours=30 * 24)
    assert unshipped.cancel_warning_at == unshipped.cancel_at - timedelta(hours=7 * 24)
    assert unshipped.ship_window is not None
    ship_by = unshipped.ship_window.latest
    assert ship_by.astimezone(ZoneInfo(place[1])).strftime("%H:%M:%S") == "23:59:59"
    assert timedelta(0) < ship_by - hold.due < timedelta(days=12)
    assert policy.next_late_notice(ship_by) - ship_by == timedelta(hours=24)


@pytest.fixture(params=["UTC", "Asia/Tokyo", "America/St_Johns"])
def servers_zone(request: pytest.FixtureRequest) -> Iterator[str]:
    """The machine's own time zone is another."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = request.param
    time.tzset()
    yield request.param
    os.environ.pop("TZ")
    if before is not None:
        os.environ["TZ"] = before
    time.tzset()


def test_r9_days_are_the_marketplaces_and_not_the_servers(servers_zone: str) -> None:
    late_in_berlin = datetime(2026, 7, 1, 21, 59, 59, 999_000, tzinfo=UTC)
    policy = policies_of(PLACES[0]).default

    last, next_ = (
        policy.ship_window(at, "Expedited", []) for at in (late_in_berlin, late_in_berlin + ONE_MS)
    )

    assert time.tzname[0] == {"UTC": "UTC", "Asia/Tokyo": "JST"}.get(servers_zone, "NST")
    assert last.earliest == datetime(2026, 6, 30, 22, tzinfo=UTC)
    assert next_.earliest == datetime(2026, 7, 1, 22, tzinfo=UTC)
