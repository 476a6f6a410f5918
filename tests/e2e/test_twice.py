"""Everything is delivered twice, by those outside and by Kafka itself: that is no news."""

import asyncio
from collections import Counter
from datetime import UTC, datetime
from itertools import product

import pytest

from services.cli.run import ORDER_SERVICES
from services.cli.system import System
from shared.events.notices import NoticeRequested, NoticeRequestedAgain
from shared.events.payment import RefundRequested, VoidRequested
from shared.redis import trip
from tests.support.market import Market
from tests.support.traffic import LIVES, Order

OPENING = datetime(2027, 10, 28, 9, 51, 33, 77_000, UTC)
"""Three days before a clock of Europe goes back."""
PARTITIONS = 4

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]


SURE = [life for life in LIVES.values() if len(life.ends) == 1]
"""Lives that are no races: two orders that live one come to the same."""


async def test_p3_an_order_whose_every_event_is_sent_twice_comes_to_what_its_twin_does(
    market: Market,
) -> None:
    twins = [(Order(2 * n, life), Order(2 * n + 1, life, times=2)) for n, life in enumerate(SURE)]
    async with market.trade():
        for once, twice in twins:
            await market.place(once)
            await market.place(twice)
    books = await market.end()

    assert market.wrong() == []
    for once, twice in twins:
        assert outcome(market, twice) == outcome(market, once)
    assert books.violations == ()
    assert books.unchecked == ()
    assert books.page("P6").counts["repeats"] > 2 * len(twins)


async def test_p3_all_that_kafka_holds_delivered_again_is_no_news_and_deadlines_still_come(
    market: Market, running: System
) -> None:
    async with market.trade():
        for n, life in enumerate(LIVES.values(), start=1_000):
            await market.place(Order(n, life))
    await market.stand_still()
    known, facts = await everything(market), market.papers.facts

    running.processes.stop()
    await set_back_to_the_beginning(market)
    for name in ORDER_SERVICES:
        running.processes[name].start()
    await asyncio.to_thread(running.wait_until_ready)
    await market.settle()

    assert market.papers.facts == facts
    assert market.papers.doubled == []
    assert await everything(market) == known
    books = await market.end()
    assert market.wrong() == []
    assert books.violations == ()
    assert books.unchecked == ()


def outcome(market: Market, order: Order) -> dict[str, object]:
    """What an order came to: how it ended, who was told what, which money was asked back, why."""
    facts = [said.fact for said in market.papers.said[order.order_id]]
    back = [fact for fact in facts if isinstance(fact, VoidRequested | RefundRequested)]
    end = market.papers.order(order.order_id)
    assert end is not None
    return {
        "status": (end.status, end.cancellation and end.cancellation.reason),
        "notices": Counter(fact.kind for fact in facts if isinstance(fact, NoticeRequested)),
        "again": Counter(fact.kind for fact in facts if isinstance(fact, NoticeRequestedAgain)),
        "goes to": end.ship_address,
        "back": [(fact.TYPE, fact.amount.amount_minor, fact.cause) for fact in back],
        "packages": [package.package_reference_id for package in end.packages],
    }


async def everything(market: Market) -> dict[object, object]:
    """All that Redis holds, byte for byte, but the tasks' own positions and tokens."""
    places = product(market.observer.rest.parts, range(PARTITIONS), ("meta", "fence"))
    own = {f"{{{part.service.name}:{p}}}:{key}".encode() for part, p, key in places}
    redis = market.observer.redis
    async with trip():
        return {key: await redis.dump(key) for key in await redis.keys() if key not in own}


async def set_back_to_the_beginning(market: Market) -> None:
    """As an operator does it, and as a Redis that lost them would have it."""
    for part, p in product(market.observer.rest.parts, range(PARTITIONS)):
        beginning = {f"next:{topic}": 0 for topic in part.service.inputs}
        await part.redis.hset(f"{{{part.service.name}:{p}}}:meta", mapping=beginning)
