"""P6: whatever time a record claims, or its log, it is decided or kept under a named reason.

A log whose broker does not set the time (`message.timestamp.type=CreateTime`) says of an arrival
what a producer's clock said.
"""

import json
from datetime import UTC, datetime

import pytest

from shared.clock import Timeline, from_ms, to_ms
from shared.decode import FUTURE_LIMIT, MAX_ARRIVAL, arrived_at, partition_of
from shared.events.carrier import PackageDelivered, PackageReturned
from shared.events.envelope import Fact, encode
from shared.events.fields import MAX_INSTANT, MIN_INSTANT
from shared.events.gateway import PaymentAuthorized
from shared.events.inventory import INVENTORY_EVENTS, StockReserved
from shared.events.parking import ParkedRecord
from shared.events.seller import DelayAnnounced, ShipmentConfirmed
from shared.events.storefront import CancelRequested, OrderPlaced, ReturnRequested
from shared.events.topics import TOPIC_OF
from shared.events.warehouse import StockAdjusted
from shared.kafka import DEAD_LETTERS
from tests.support.orders import (
    ALL_UNITS,
    BUYER,
    DAY,
    KETTLE,
    KETTLES,
    ORDER_ID,
    PURCHASED,
    SELLER,
    TRACKING,
    eur,
    items,
    placed,
)
from tests.support.tales import open_shop, pay, place, ship
from tests.support.world import PARTITIONS, MemoryRecord, World, place_of

NOW = PURCHASED + DAY

LOG_TIMES_MS = {
    "no time at all": -1,
    "1970": 0,
    "the last of 1999": to_ms(MIN_INSTANT) - 1,
    "2000": to_ms(MIN_INSTANT),
    "before the business began": to_ms(datetime(2009, 1, 3, 18, 15, 5, tzinfo=UTC)),
    "now": to_ms(NOW),
    "three days ahead": to_ms(NOW + 3 * DAY),
    "the last of 2189": to_ms(MAX_ARRIVAL) - 1,
    "2190": to_ms(MAX_ARRIVAL),
    "9999": to_ms(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
    "beyond all dates": 2**62,
}
EVENT_TIMES = (
    "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00+14:00",
    "1970-01-01T00:00:00Z",
    "2000-01-01T00:00:00Z",
    "2009-01-03T18:15:05Z",
    NOW.isoformat(),
    (NOW + 3 * DAY).isoformat(),
    "2189-12-31T23:59:59.999Z",
    "2199-12-31T23:59:59.999Z",
    "9999-12-31T23:59:59-23:59",
)
SAID = (
    placed(),
    CancelRequested(buyer_id=BUYER),
    ReturnRequested(buyer_id=BUYER, return_id="RMA-1", items=items({KETTLES: 1})),
    PaymentAuthorized(payment_id="pay-odd", amount=eur(13_368)),
    ShipmentConfirmed(
        seller_id=SELLER,
        package_reference_id="9",
        carrier_code="DHL",
        tracking_number="TRACK-9",
        ship_date=PURCHASED,
        order_items=items({KETTLES: 1}),
    ),
    DelayAnnounced(seller_id=SELLER, expected_ship_date=MAX_INSTANT - DAY, reason="asleep"),
    PackageDelivered(tracking_number=TRACKING),
    PackageReturned(tracking_number=TRACKING, reason="asleep"),
    StockAdjusted(seller_id=SELLER, sku=KETTLE, change=1),
)


def verdict(time: str, log_ms: int) -> str:
    """What the guard has to say; nothing where it lets pass."""
    if not "2000" <= time < "2200" or time.startswith("9999"):
        return "invalid_field"
    if not to_ms(MIN_INSTANT) <= log_ms < to_ms(MAX_ARRIVAL):
        return "arrival_out_of_bounds"
    ahead = to_ms(datetime.fromisoformat(time)) > log_ms + FUTURE_LIMIT.total_seconds() * 1000
    return "time_in_future" if ahead else ""


def say(world: World, fact: Fact, subject: str, time: str, log_ms: int) -> MemoryRecord:
    """Something is said, at a time, on a log with its own idea of the time."""
    about = fact.about()
    subject = about.subject if about and not isinstance(fact, OrderPlaced) else subject
    if isinstance(fact, OrderPlaced):
        fact = fact.model_copy(update={"order_id": subject})
    id_ = f"{subject}-{log_ms}-{time}"
    event = json.loads(encode(fact, id_=id_, source="t", subject=subject, time=NOW))
    if isinstance(fact, OrderPlaced):
        event["data"]["purchase_date"] = time
    event["time"] = time
    return world.append(
        TOPIC_OF[type(fact)].name,
        partition_of(subject, PARTITIONS),
        subject.encode(),
        json.dumps(event).encode(),
        timestamp=log_ms,
    )


def reasons(world: World, record: MemoryRecord) -> list[str]:
    """Under which reasons a record is kept."""
    origin = f"{record.topic}:{record.partition}:{record.offset}".encode()
    letters = [dict(letter.headers) for letter in world.records(DEAD_LETTERS)]
    return [
        (letter["deadletter-reason"] or b"").decode()
        for letter in letters
        if letter["deadletter-id"] == origin
    ]


@pytest.mark.parametrize("log_time", LOG_TIMES_MS)
@pytest.mark.parametrize("fact", SAID, ids=lambda fact: fact.TYPE)
def test_p6_no_time_that_a_record_or_its_log_may_claim_is_more_than_a_verdict(
    fact: Fact, log_time: str
) -> None:
    log_ms = LOG_TIMES_MS[log_time]
    world = open_shop()
    for order_id in ("unshipped", "shipped"):
        place(world, order_id)
        pay(world, order_id)
    world.pass_time(NOW)
    ship(world, "shipped", ALL_UNITS)

    came = [
        (subject, time, say(world, fact, subject, time, log_ms))
        for n, time in enumerate(EVENT_TIMES)
        for subject in ("unshipped", "shipped", f"nowhere-{n}")
    ]
    world.settle()
    world.pass_time(NOW + 40 * DAY)

    for subject, time, record in came:
        allowed = {verdict(time, log_ms)} if verdict(time, log_ms) else {"", "no_such_order"}
        assert set(reasons(world, record) or [""]) <= allowed, (subject, time)
    assert world.books(remember=False).violations == ()


def test_r2_an_order_from_before_the_business_began_is_over_at_once() -> None:
    world = open_shop()

    say(world, placed(), ORDER_ID, "2009-01-03T18:15:05Z", to_ms(NOW))
    world.settle()
    world.pass_time(NOW)

    order = world.workers[2].documents[place_of(ORDER_ID)].state
    assert order is not None
    assert order.cancellation.reason == "payment_timeout"


@pytest.mark.parametrize("log_ms", [-1, 0, to_ms(NOW), 2**62])
def test_p6_a_fact_of_ours_waits_for_its_order_whatever_time_its_log_claims(log_ms: int) -> None:
    world = open_shop()
    world.pass_time(NOW)
    reserved = StockReserved(seller_id=SELLER, units=placed().units_by_sku())
    value = encode(reserved, id_="s-1", source="orderflow/inventory", subject="early", time=NOW,
                   version=1)  # fmt: skip
    partition, _ = place_of("early")
    record = world.append(INVENTORY_EVENTS.name, partition, b"early", value, timestamp=log_ms)
    world.settle()

    (parked,) = world.workers[2].documents[place_of("early")].parked
    assert isinstance(parked, ParkedRecord)
    assert parked.until >= NOW + DAY
    assert reasons(world, record) == []


@pytest.mark.parametrize(
    ("log_ms", "arrived"),
    [
        (-(2**62), MIN_INSTANT),
        (to_ms(MIN_INSTANT) - 1, MIN_INSTANT),
        (to_ms(NOW), NOW),
        (to_ms(MAX_ARRIVAL) - 1, from_ms(to_ms(MAX_ARRIVAL) - 1)),
        (2**62, MAX_ARRIVAL),
    ],
)
def test_an_arrival_is_never_out_of_the_calendar(log_ms: int, arrived: datetime) -> None:
    record = MemoryRecord("orders", 0, 0, log_ms, None, None)

    assert arrived_at(record, Timeline()) == arrived
