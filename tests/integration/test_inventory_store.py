"""An order's stock on a real Redis: each operation once, its first answer for ever (R1, P1)."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from services.cli.redis_server import RedisServer
from services.inventory.decisions import Answer, decide
from services.inventory.restore import reapply
from services.inventory.state import OrderStock
from services.inventory.store import ask
from shared.events.envelope import Event, Fact
from shared.events.fields import MAX_ITEMS, MAX_STOCK
from shared.policy import Policies
from shared.redis import Pipeline, connect
from shared.service import Received
from tests.support.stock import (
    NOON,
    SELLER,
    Stock,
    counted,
    damaged,
    event,
    open_units_canceled,
    order_exists,
    placed,
    restocked,
    row,
)

pytestmark = pytest.mark.asyncio

POLICIES = Policies()
ANSWERS = 4096
"""Answers about facts that an order's entry keeps; see stock.lua."""
KNOWN = OrderStock(seller_id=SELLER, status="rejected")
"""The order whose id another seller's takes."""


@pytest_asyncio.fixture
async def stock(redis_server: RedisServer) -> AsyncIterator[Stock]:
    client = connect(redis_server.redis_url)
    yield Stock(client)
    await client.aclose()


# -- an order's reservation -----------------------------------------------------------------------


async def test_r1_the_last_unit_leaves_the_available_quantity_and_depletes_it(stock: Stock) -> None:
    await stock.count(A=1)

    assert await stock.place(("A", 1)) == Answer(
        "reserved", (row("A", 1, 1, 1, 2, (0, 1), depleted=True),)
    )
    assert await stock.level("A") == (1, 1, 2)


async def test_r1_lines_of_the_same_sku_are_summed(stock: Stock) -> None:
    await stock.count(A=3, B=3)

    rejected = await stock.place(("A", 2), ("B", 1), ("A", 2), order_id="902-1")
    reserved = await stock.place(("A", 2), ("B", 1), ("A", 1), order_id="902-2")

    assert rejected == Answer("rejected", (row("A", 4, 3, 0, 1),))
    assert reserved == Answer(
        "reserved", (row("A", 3, 3, 3, 2, (0, 3), depleted=True), row("B", 1, 3, 1, 2, (0, 1)))
    )


async def test_r1_all_lines_are_reserved_or_none(stock: Stock) -> None:
    await stock.count(A=9, C=0)

    answer = await stock.place(("A", 2), ("B", 1), ("C", 5))

    assert answer == Answer("rejected", (row("B", 1, 0, 0, 0), row("C", 5, 0, 0, 1)))
    assert await stock.level("A") == (9, 0, 1)


async def test_r4_an_unknown_sku_has_nothing_available_and_stays_unknown(stock: Stock) -> None:
    assert (await stock.place(("A", 1))).outcome == "rejected"
    assert await stock.level("A") == (0, 0, 0)
    assert not await stock.redis.exists(f"{{stock:{stock.seller}}}:levels")


async def test_r1_many_buyers_at_once_get_exactly_the_units_that_there_are(
    stock: Stock, redis_server: RedisServer
) -> None:
    await stock.count(A=7)
    clients = [connect(redis_server.redis_url) for _ in range(4)]

    async def buy(client: Redis, n: int) -> list[Answer]:
        pipeline = Pipeline(client)
        questions = [
            ask(
                event(placed(("A", 1), order_id=f"902-{n}-{m}", seller_id=stock.seller)), Policies()
            )
            for m in range(25)
        ]
        for question in questions:
            assert question is not None
            question.script.queue(pipeline, question.keys, question.args)
        return [questions[0].read(reply) for reply in await pipeline.run()]  # type: ignore[union-attr]

    answers = await asyncio.gather(*(buy(client, n) for n, client in enumerate(clients)))
    for client in clients:
        await client.aclose()

    outcomes = [answer.outcome for some in answers for answer in some]
    assert (outcomes.count("reserved"), outcomes.count("rejected")) == (7, 93)
    assert sum(answer.rows[0].depleted for some in answers for answer in some) == 1
    assert await stock.level("A") == (7, 7, 8)


async def test_the_first_answer_is_given_again_whatever_came_since(stock: Stock) -> None:
    await stock.count(A=5, B=0)
    some = event(placed(("A", 2), seller_id=stock.seller))
    none = event(placed(("B", 1), order_id="902-2", seller_id=stock.seller))
    reserved, rejected = await stock.tell(some), await stock.tell(none)
    await stock.count(A=50, B=50)
    await stock.cancel(3)

    assert await stock.tell(some) == reserved == Answer("reserved", (row("A", 2, 5, 2, 2, (0, 2)),))
    assert await stock.tell(none) == rejected == Answer("rejected", (row("B", 1, 0, 0, 1),))
    assert await stock.level("A") == (50, 0, 4)
    assert await stock.level("B") == (50, 0, 2)


async def test_r25_another_order_under_an_id_that_is_taken_takes_nothing(stock: Stock) -> None:
    await stock.count(A=5)
    await stock.place(("A", 2))
    await stock.place(("A", 9), order_id="902-2")

    assert await stock.place(("A", 2)) == Answer("taken")
    assert await stock.place(("A", 1), order_id="902-2") == Answer("taken")
    assert await stock.level("A") == (5, 2, 2)


async def test_the_largest_order_fits(stock: Stock) -> None:
    lines = [(f"SKU {n:036d}", 10_000) for n in range(MAX_ITEMS)]
    for sku, _ in lines:
        await stock.command(counted(sku, MAX_STOCK, seller_id=stock.seller))

    reserved = await stock.place(*lines)
    released = await stock.cancel(2)

    assert reserved.rows == tuple(
        row(sku, 10_000, MAX_STOCK, 10_000, 2, (0, 10000)) for sku, _ in lines
    )
    assert released.rows == tuple(
        row(sku, 10_000, MAX_STOCK, 0, 3, (0, -10000)) for sku, _ in lines
    )


# -- what becomes of it ---------------------------------------------------------------------------


async def test_r14_a_canceled_order_gives_back_all_that_it_held_once(stock: Stock) -> None:
    await stock.count(A=5, B=5)
    await stock.place(("B", 1), ("A", 5))

    released = await stock.cancel(3)

    assert released == Answer(
        "released", (row("A", 5, 5, 0, 3, (0, -5)), row("B", 1, 5, 0, 3, (0, -1)))
    )
    assert await stock.cancel(3) == released
    assert await stock.cancel(4) == Answer("released")
    assert await stock.level("A") == (5, 0, 3)


async def test_r18_units_that_are_not_there_are_taken_off_on_hand(stock: Stock) -> None:
    await stock.count(A=5)
    await stock.place(("A", 2))

    assert await stock.cancel(3, "NoInventory") == Answer(
        "released", (row("A", 2, 3, 0, 3, (-2, -2)),)
    )


async def test_a_cancel_that_overtakes_its_order_keeps_it_from_taking_stock(stock: Stock) -> None:
    await stock.count(A=5)

    assert await stock.cancel(2) == Answer("released")
    assert await stock.place(("A", 2)) == Answer("closed")
    assert await stock.cancel(2) == Answer("released")
    assert await stock.level("A") == (5, 0, 1)


async def test_r11_packages_take_their_units_and_edits_bring_them_back(stock: Stock) -> None:
    await stock.count(A=5, B=5)
    await stock.place(("A", 3), ("B", 1))

    assert await stock.ship(4, A=2) == Answer("shipped", (row("A", 2, 3, 1, 3, (-2, -2)),))
    edited = await stock.ship(5, A=-1, B=1)
    assert edited == Answer(
        "shipped", (row("A", -1, 4, 2, 4, (1, 1)), row("B", 1, 4, 0, 3, (-1, -1)))
    )
    assert await stock.ship(4, A=2) == Answer("shipped", (row("A", 2, 3, 1, 3, (-2, -2)),))
    assert await stock.ship(5, A=-1, B=1) == edited
    assert await stock.level("A") == (4, 2, 4)


async def test_r13_only_the_open_units_of_a_partly_shipped_order_are_given_back(
    stock: Stock,
) -> None:
    await stock.count(A=5)
    await stock.place(("A", 3))
    await stock.ship(4, A=1)

    said = event(open_units_canceled(stock.seller), version=5)
    assert await stock.tell(said) == Answer("released", (row("A", 2, 4, 0, 4, (0, -2)),))


@pytest.mark.parametrize("changes", [{"A": 3}, {"B": 1}, {"A": 1, "B": 1}, {"A": -1}])
async def test_p1_what_an_order_does_not_hold_can_not_ship_and_leaves_no_trace(
    stock: Stock, changes: dict[str, int]
) -> None:
    await stock.count(A=9, B=9)
    await stock.place(("A", 2))
    before = await stock.redis.hgetall(stock.entry)

    assert (await stock.ship(4, **changes)).outcome == "impossible"

    assert await stock.redis.hgetall(stock.entry) == before
    assert await stock.level("A") == (9, 2, 2)
    assert await stock.ship(4, A=2) == Answer("shipped", (row("A", 2, 7, 0, 3, (-2, -2)),))


async def test_a_level_that_was_lost_makes_the_release_impossible_not_negative(
    stock: Stock,
) -> None:
    await stock.count(A=9)
    await stock.place(("A", 2))
    await stock.redis.delete(f"{{stock:{stock.seller}}}:levels")

    assert await stock.cancel(3) == Answer("impossible", (row("A", 2, 0, 0, 0),))
    await stock.count(A=9)
    assert (await stock.cancel(3)).outcome == "impossible"


# -- what comes back ------------------------------------------------------------------------------


async def test_r17_sellable_units_are_available_again_and_damaged_ones_stay_gone(
    stock: Stock,
) -> None:
    await stock.count(A=5, B=5)
    await stock.place(("A", 4), ("B", 2))
    await stock.ship(4, A=4, B=2)

    back = await stock.take_back(5, {"A": 2}, {"A": 1, "B": 1})

    assert back == Answer("returned", (row("A", 2, 3, 0, 4, (2, 0)),))
    assert await stock.level("A") == (3, 0, 4)
    assert await stock.level("B") == (3, 0, 3), "and nothing is told of it"
    assert await stock.take_back(6, {}, {"A": 1}) == Answer("returned")
    assert (await stock.place(("A", 3), order_id="902-2")).outcome == "reserved"


@pytest.mark.parametrize(
    ("sellable", "damaged"),
    [
        ({"A": 3}, {}),
        ({}, {"A": 3}),
        ({"A": 2}, {"A": 1}),
        ({"A": 1, "B": 1}, {}),
        ({"A": 1}, {"B": 1}),
    ],
)
async def test_p1_no_more_comes_back_than_has_shipped_and_what_does_leaves_no_trace(
    stock: Stock, sellable: dict[str, int], damaged: dict[str, int]
) -> None:
    await stock.count(A=9, B=9)
    await stock.place(("A", 3), ("B", 1))
    await stock.ship(4, A=2)
    before = await stock.redis.hgetall(stock.entry)

    assert (await stock.take_back(5, sellable, damaged)).outcome == "impossible"

    assert await stock.redis.hgetall(stock.entry) == before
    assert await stock.level("A") == (7, 1, 3)
    assert await stock.take_back(5, {"A": 1}, {"A": 1}) == Answer(
        "returned", (row("A", 1, 8, 1, 4, (1, 0)),)
    )


async def test_r17_a_return_comes_back_once_however_often_it_is_told(stock: Stock) -> None:
    await stock.count(A=5)
    await stock.place(("A", 3))
    await stock.ship(4, A=3)
    first = Answer("returned", (row("A", 2, 4, 0, 4, (2, 0)),))
    assert await stock.take_back(5, {"A": 2}) == first
    second = await stock.take_back(7, {"A": 1})

    assert (
        await stock.take_back(5, {"A": 2})
        == first
        == Answer("returned", (row("A", 2, 4, 0, 4, (2, 0)),))
    )
    assert await stock.take_back(7, {"A": 1}) == second
    assert await stock.take_back(6, {"A": 1}) == Answer("passed"), "a zombie's, of a fact long gone"
    assert await stock.level("A") == (5, 0, 5)


async def test_r11_what_came_back_can_not_be_taken_out_of_its_package(stock: Stock) -> None:
    await stock.count(A=5)
    await stock.place(("A", 3))
    await stock.ship(4, A=3)
    await stock.take_back(5, {"A": 1}, {"A": 1})

    assert (await stock.ship(6, A=-2)).outcome == "impossible"
    assert await stock.ship(6, A=-1) == Answer("shipped", (row("A", -1, 4, 1, 5, (1, 1)),))


async def test_r17_units_of_an_order_whose_rest_was_canceled_come_back(stock: Stock) -> None:
    await stock.count(A=5)
    await stock.place(("A", 3))
    await stock.ship(4, A=1)
    await stock.tell(event(open_units_canceled(stock.seller), version=5))

    assert await stock.take_back(6, {"A": 1}) == Answer("returned", (row("A", 1, 5, 0, 5, (1, 0)),))
    assert await stock.redis.hget(stock.entry, "held") == b"{}"


async def test_r19_the_question_whether_the_stock_lasts_changes_nothing(stock: Stock) -> None:
    await stock.count(A=5, B=1)
    await stock.place(("A", 2))
    await stock.cancel(3)
    await stock.place(("A", 3), order_id="902-2")
    before = await stock.redis.hgetall(stock.entry)

    assert await stock.lasts(A=2) == Answer("lasts")
    assert await stock.lasts(A=2, B=1) == Answer("lasts")
    assert await stock.lasts(A=3, B=1) == Answer("lacking", (row("A", 3, 5, 3, 4),))
    assert await stock.lasts(C=1) == Answer("lacking", (row("C", 1, 0, 0, 0),))
    await stock.count(A=9)
    assert await stock.lasts(A=3, B=1) == Answer("lasts"), "true when it is given, and not before"

    assert await stock.redis.hgetall(stock.entry) == before
    assert await stock.level("C") == (0, 0, 0)


# -- out of order ---------------------------------------------------------------------------------


async def test_a_fact_older_than_the_last_is_answered_as_then_or_passed_never_applied(
    stock: Stock,
) -> None:
    await stock.count(A=9)
    await stock.place(("A", 4))
    first = await stock.ship(4, A=1)
    await stock.ship(6, A=1)
    level = await stock.level("A")

    assert await stock.ship(4, A=1) == first
    assert await stock.ship(5, A=2) == Answer("passed")
    assert await stock.cancel(5) == Answer("passed")
    assert await stock.level("A") == level


async def test_answers_about_facts_are_kept_for_more_than_can_wait_undecided(stock: Stock) -> None:
    await stock.count(A=9)
    await stock.place(("A", 4))
    first = await stock.ship(2, A=1)

    await stock.ship(ANSWERS + 1, A=1)
    assert await stock.ship(2, A=1) == first
    await stock.ship(ANSWERS + 2, A=1)
    assert await stock.ship(2, A=1) == Answer("passed")
    assert await stock.level("A") == (6, 1, 5)


async def test_an_order_under_another_sellers_order_id_gives_back_what_it_took(
    stock: Stock,
) -> None:
    await stock.count(A=5)
    await stock.place(("A", 2))
    other = Stock(stock.redis)
    await other.count(A=5)
    await other.place(("A", 3))

    refused = event(order_exists(other.seller), version=4)
    assert await stock.tell(refused) == Answer("released", (row("A", 3, 5, 0, 3, (0, -3)),))
    assert await other.level("A") == (5, 0, 3)
    assert await stock.level("A") == (5, 2, 2)


@pytest.mark.parametrize("refused_before", [False, True])
async def test_p1_r25_what_it_took_comes_back_after_a_rebuild_too(
    stock: Stock, *, refused_before: bool
) -> None:
    """Its units are in the journal until they are back, and then that they are back."""
    rival, refused = stock, event(order_exists(stock.seller), version=4)
    order = event(placed(("A", 3), seller_id=rival.seller))
    await rival.count(A=5)
    told = decide(KNOWN, Received(order, NOON, (await rival.tell(order),)), Policies())
    journal: list[tuple[Fact, Event[Any], int | None]] = [(fact, order, None) for fact in told]
    if refused_before:
        told = decide(KNOWN, Received(refused, NOON, (await rival.tell(refused),)), Policies())
        journal += [(fact, refused, 4) for fact in told]
    await rival.redis.delete(rival.entry)

    for fact, cause, version in journal:
        remembered = {"causationsource": cause.source, "causationid": cause.id}
        said = event(fact).model_copy(update={**remembered, "causationversion": version})
        for question in reapply(said):
            await question.script(rival.redis, question.keys, question.args)

    assert await rival.level("A") == ((5, 0, 3) if refused_before else (5, 3, 2))
    await rival.tell(refused)
    assert await rival.level("A") == (5, 0, 3)
    assert (await rival.tell(order)).rows == (), "nor does it take them when it comes again"


async def test_p1_while_units_are_owed_none_is_sold_and_all_else_goes_on(stock: Stock) -> None:
    """Redis has lost a supply that orders hold of already; it is asked again, maybe later."""
    await stock.count(A=2)
    await stock.place(("A", 2))
    await stock.redis.hset(f"{{stock:{stock.seller}}}:levels", "A", "1 2 3")

    assert (await stock.place(("A", 1), order_id="another")).outcome == "rejected"
    shipped = await stock.ship(4, A=2)
    assert shipped == Answer("shipped", (row("A", 2, -1, 0, 4, (-2, -2)),))
    assert (await stock.place(("A", 1), order_id="third")).outcome == "rejected"
    damage = await stock.command(damaged("A", 1, seller_id=stock.seller))
    assert damage == Answer("below_reserved", (row("A", -1, -1, 0, 4),))
    supply = await stock.command(restocked("A", 1, seller_id=stock.seller))
    assert supply == Answer("counted", (row("A", 1, 0, 0, 5, (1, 0)),))
