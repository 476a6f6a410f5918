"""Stock commands on a real Redis, and what of the stock lies there, for how long (P1)."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from services.cli.redis_server import RedisServer
from services.inventory.decisions import Answer, decide
from services.inventory.state import OrderStock
from services.inventory.store import (
    REMEMBER_COMMAND_MS,
    REMEMBER_ORDER_MS,
    Holding,
    Level,
    all_holdings,
    all_levels,
    ask,
)
from shared.events.envelope import Fact
from shared.events.fields import MAX_STOCK
from shared.events.inventory import StockLevelChanged
from shared.policy import Policies
from shared.redis import SCAN_COUNT, Pipeline, connect
from shared.service import Received
from tests.support.stock import (
    LAMP,
    NOON,
    ORDER,
    SHADE,
    Stock,
    adjusted,
    canceled,
    confirmed,
    counted,
    damaged,
    event,
    placed,
    restocked,
    returned,
    row,
)

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def stock(redis_server: RedisServer) -> AsyncIterator[Stock]:
    client = connect(redis_server.redis_url)
    yield Stock(client)
    await client.aclose()


# -- stock commands -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "outcome", "on_hand"),
    [
        (counted("A", 8), "counted", 8),
        (counted("A", 3), "counted", 3),
        (counted("A", 2), "below_reserved", 5),
        (counted("A", 0), "below_reserved", 5),
        (counted("A", MAX_STOCK), "counted", MAX_STOCK),
        (adjusted("A", -2), "counted", 3),
        (adjusted("A", -3), "below_reserved", 5),
        (adjusted("A", 0), "counted", 5),
        (adjusted("A", MAX_STOCK - 5), "counted", MAX_STOCK),
        (adjusted("A", MAX_STOCK - 4), "above_limit", 5),
        (restocked("A", 7), "counted", 12),
        (restocked("A", MAX_STOCK - 5), "counted", MAX_STOCK),
        (restocked("A", MAX_STOCK - 4), "above_limit", 5),
        (damaged("A", 1), "counted", 4),
        (damaged("A", 2), "counted", 3),
        (damaged("A", 3), "below_reserved", 5),
        (damaged("A", 6), "below_reserved", 5),
    ],
)
async def test_p1_a_count_leaves_what_is_reserved_or_changes_nothing(
    stock: Stock, command: Fact, outcome: str, on_hand: int
) -> None:
    await stock.count(A=5)
    await stock.place(("A", 3))

    answer = await stock.command(command.model_copy(update={"seller_id": stock.seller}))

    assert answer.outcome == outcome
    version = 3 if outcome == "counted" else 2
    assert await stock.level("A") == answer.rows[0][2:5] == (on_hand, 3, version)
    assert answer.rows[0].depleted is (outcome == "counted" and on_hand == 3)


async def test_a_command_acts_once_and_is_answered_as_then(stock: Stock) -> None:
    more = event(adjusted("A", 4, seller_id=stock.seller))
    less = event(adjusted("A", -5, seller_id=stock.seller))

    first = await stock.tell(more)
    refused = await stock.tell(less)
    await stock.count(A=50)

    assert await stock.tell(more) == first == Answer("counted", (row("A", 4, 4, 0, 1, (4, 0)),))
    assert await stock.tell(less) == refused == Answer("below_reserved", (row("A", -5, 4, 0, 1),))
    assert await stock.level("A") == (50, 0, 2)


async def test_a_command_id_that_another_sku_used_is_another_command(stock: Stock) -> None:
    for sku in (LAMP, SHADE):
        said = event(adjusted(sku, 4, seller_id=stock.seller), id_="import-2026-03-29")
        assert (await stock.tell(said)).rows == (row(sku, 4, 4, 0, 1, (4, 0)),)


async def test_nothing_left_is_told_once_and_not_by_what_was_empty_before(stock: Stock) -> None:
    assert (await stock.command(counted("A", 0, seller_id=stock.seller))).rows[0].depleted is False
    await stock.count(A=2)
    assert (await stock.place(("A", 2))).rows[0].depleted is True
    assert (await stock.ship(3, A=2)).rows[0].depleted is False


# -- in Redis -------------------------------------------------------------------------------------


async def test_an_entry_is_kept_while_it_holds_units_and_then_as_long_as_the_journal(
    stock: Stock,
) -> None:
    async def kept_ms() -> int:
        return int(await stock.redis.pttl(stock.entry))

    await stock.count(A=2)
    await stock.place(("A", 2))
    assert await kept_ms() == -1
    await stock.ship(2, A=2)
    assert REMEMBER_ORDER_MS - 60_000 < await kept_ms() <= REMEMBER_ORDER_MS
    await stock.ship(3, A=-1)
    assert await kept_ms() == -1
    await stock.cancel(4)
    assert REMEMBER_ORDER_MS - 60_000 < await kept_ms() <= REMEMBER_ORDER_MS


async def test_a_commands_answer_is_kept_as_long_as_its_topic(stock: Stock) -> None:
    said = event(counted("A", 2, seller_id=stock.seller))
    await stock.tell(said)

    ms = await stock.redis.pttl(f"{{stock:{stock.seller}}}:command:{said.unique_id} A")
    assert REMEMBER_COMMAND_MS - 60_000 < ms <= REMEMBER_COMMAND_MS


async def test_the_script_touches_no_key_but_those_it_is_given(
    stock: Stock, redis_server: RedisServer
) -> None:
    """So it runs on a Cluster, where all others may lie on another node."""
    user = f"asker-{stock.seller}"
    limited = connect(redis_server.redis_url.replace("://", f"://{user}:{user}@"))
    asking = [
        event(counted("A", 9, seller_id=stock.seller)),
        event(adjusted("A", -1, seller_id=stock.seller)),
        event(placed(("A", 3), seller_id=stock.seller)),
        event(confirmed({"A": 1}, seller_id=stock.seller), version=2),
        event(canceled(seller_id=stock.seller), version=3),
    ]
    for said in asking:
        question = ask(said, Policies())
        assert question is not None
        allowed = [f"~{key.replace(' ', '?')}" for key in question.keys]
        pipeline = Pipeline(stock.redis)
        pipeline.queue("ACL", "SETUSER", user, "reset", "on", f">{user}", "+@all", *allowed)
        await pipeline.run()
        answer = question.read(await question.script(limited, question.keys, question.args))
        assert answer.outcome in ("counted", "reserved", "shipped", "released")
    await limited.aclose()
    await stock.redis.acl_deluser(user)


async def test_r17_what_comes_back_is_taken_also_where_no_count_could_say_so_many(
    stock: Stock,
) -> None:
    await stock.count(A=2)
    await stock.place(("A", 2))
    await stock.ship(2, A=2)
    await stock.count(A=MAX_STOCK)

    put_back = await stock.ship(3, A=-1)
    came_back = await stock.take_back(4, {"A": 1})
    said = event(returned({"A": 1}, seller_id=stock.seller), version=4)
    shipped = OrderStock(seller_id=stock.seller, status="shipped")
    facts = decide(shipped, Received(said, NOON, (came_back,)), Policies())

    assert (put_back.outcome, came_back.outcome) == ("shipped", "returned")
    assert await stock.level("A") == (MAX_STOCK + 2, 1, 6)
    assert [fact.on_hand for fact in facts if isinstance(fact, StockLevelChanged)] == [
        MAX_STOCK + 2
    ]
    fewer, more = (adjusted("A", change, seller_id=stock.seller) for change in (-1, 1))
    assert (await stock.command(more)).outcome == "above_limit"
    assert (await stock.command(fewer)).outcome == "counted"


async def test_all_levels_are_read(stock: Stock) -> None:
    skus = [f"{LAMP} {n}" for n in range(3 * SCAN_COUNT)]
    pipeline = Pipeline(stock.redis)
    for sku in skus:
        question = ask(event(counted(sku, 3, seller_id=stock.seller)), Policies())
        assert question is not None
        question.script.queue(pipeline, question.keys, question.args)
    await pipeline.run()
    await stock.place((skus[0], 2))

    found = {level.sku: level async for level in all_levels(stock.redis) if is_of(stock, level)}
    assert found.keys() == set(skus)
    assert found[skus[0]] == Level(stock.seller, skus[0], on_hand=3, reserved=2, version=2)
    assert found[skus[0]].available == 1


async def test_holdings_are_what_orders_hold_and_no_others(stock: Stock) -> None:
    await stock.count(A=9, B=9)
    await stock.place(("A", 3), ("B", 1))
    await stock.ship(2, B=1)
    await stock.place(("A", 99), order_id="902-2")

    found = [holding async for holding in all_holdings(stock.redis) if is_of(stock, holding)]
    assert found == [Holding(stock.seller, ORDER, {"A": 3})]


def is_of(stock: Stock, found: Level | Holding) -> bool:
    return found.seller_id == stock.seller
