"""What `orderflow reconcile` calls a difference, and when it does not look at all."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from redis.asyncio import Redis
from typer.testing import CliRunner, Result

from services.cli import reconcile
from services.cli.app import app
from services.cli.differences import Difference, differences_of_partition
from services.cli.rebuild import Bench, forget_wrong_answers
from services.cli.reconcile import compare, refuse_unfinished
from services.deadlines.app import build as build_deadlines
from services.inventory.app import build as build_inventory
from services.inventory.state import OrderStock
from services.inventory.store import Level, all_levels, levels_key, order_key
from services.simulator.fate import Allowed, Fate
from services.simulator.memory_redis import MemoryRedis, connect_to
from services.simulator.network import Beside, Server
from services.simulator.scripts import TWINS
from services.simulator.topics import STRUCTURED, MemoryLog, Topics, encoded
from shared.clock import BusinessClock, to_ms
from shared.documents import Document
from shared.errors import RefusedStart, TransientError
from shared.events.envelope import encode
from shared.events.inventory import (
    INVENTORY_EVENTS,
    STOCK_LEVELS,
    StockLevelChanged,
    StockReserved,
)
from shared.events.parking import EventDecided
from shared.events.payment import PAYMENT_EVENTS
from shared.events.warehouse import stock_subject
from shared.marks import Mark, mark_headers, part_headers
from shared.policy import Policies
from shared.service import Service
from shared.settings import Settings
from tests.support.stock import NOON, ORDER, SELLER

pytestmark = pytest.mark.asyncio

INVENTORY = build_inventory()
ORDERS = (f"{ORDER}-1", f"{ORDER}-2")


def memory() -> Redis:
    return connect_to(MemoryRedis(lambda: to_ms(NOON), TWINS), Beside())


async def keep(redis: Redis, *states: OrderStock) -> Redis:
    """Documents of orders 1, 2 and so on in partition 0."""
    for nth, state in enumerate(states, 1):
        after: Document[OrderStock] = Document(f"{ORDER}-{nth}", state, version=nth)
        (op,) = INVENTORY.documents.write(0, Document(after.subject), after, lambda _: None)
        await redis.execute_command(op.command, op.key, *op.args)  # type: ignore[no-untyped-call]
    return redis


def stock(status: Any, **units: int) -> OrderStock:
    held = tuple({"sku": sku, "quantity": quantity} for sku, quantity in units.items())
    return OrderStock.model_validate({"seller_id": SELLER, "status": status, "held": held})


async def test_a_document_differs_by_its_members() -> None:
    facts = await keep(memory(), stock("reserved", A=3), stock("rejected"))
    redis = await keep(memory(), stock("reserved", A=2), stock("rejected"))

    (found,) = await differences_of_partition(INVENTORY, 0, ORDERS, redis, facts)

    assert str(found) == f"inventory {ORDER}-1: state.held differs"
    assert found.removes == (("DEL", f"{{inventory:0}}:doc:{ORDER}-1"),)


async def test_what_only_latecomers_ask_for_may_be_gone_and_nothing_else() -> None:
    facts = await keep(memory(), stock("reserved", A=3), stock("shipped"))

    found = await differences_of_partition(INVENTORY, 0, (), memory(), facts)

    assert [str(one) for one in found] == [
        f"inventory {ORDER}-1: is not in Redis, and its facts are"
    ]


def at_a_bench(service: Service[Any], redis: Redis, topics: Topics, partitions: int = 1) -> Bench:
    log = MemoryLog(topics, Server("Kafka", Fate(1, Allowed(kinds=())), TransientError))
    clock = BusinessClock(redis)
    return Bench(service, Policies(), partitions, redis, clock, cast("Any", log))


async def test_what_began_before_the_facts_do_is_no_difference() -> None:
    redis, topics = memory(), Topics(1, lambda: to_ms(NOON))
    for nth, order_id in enumerate(("ORDER-old", "ORDER-new"), 1):
        reserved = StockReserved(seller_id=SELLER, units=stock("reserved", A=nth).held)
        value = encode(
            reserved, id_=order_id, source="inventory", subject=order_id, time=NOON, version=1
        )
        mark = Mark("inventory", 0, "claim", nth, {})
        headers = encoded(mark_headers(mark) | part_headers(mark, 0, [[]]))
        topics.append(INVENTORY_EVENTS.name, 0, order_id.encode(), value, headers)
    ours = at_a_bench(INVENTORY, redis, topics)
    await ours.opening(0, unheard).open("token")
    assert await compare(ours, unheard) == []
    await redis.execute_command("DEL", "{inventory:0}:doc:ORDER-new")  # type: ignore[no-untyped-call]
    named = [str(found) for found in await compare(ours, unheard)]
    assert named == ["inventory ORDER-new: is not in Redis, and its facts are"]

    topics.delete_before(INVENTORY_EVENTS.name, 0, 1)

    assert [str(found) for found in await compare(ours, unheard)] == named


async def test_p1_stock_that_only_a_later_partition_tells_of_is_rebuilt() -> None:
    """What crosses orders is brought up with the first partition, whose own journal is empty."""
    redis, topics = memory(), Topics(2, lambda: to_ms(NOON))
    tell_level(topics, partition=1)
    ours = at_a_bench(INVENTORY, redis, topics, partitions=2)
    await ours.clock.refresh()

    for partition in range(2):
        await ours.opening(partition, unheard).open("token")

    assert [found async for found in all_levels(redis)] == [Level(SELLER, "KETTLE", 5, 0, 1)]
    assert await compare(ours, unheard) == []


async def test_p1_a_rebuild_forgets_what_an_emptied_redis_was_asked_in_vain() -> None:
    """Between two trips of a worker, somebody emptied it: the stock's answer lies alone in it."""
    redis, topics = memory(), Topics(1, lambda: to_ms(NOON))
    tell_level(topics, partition=0)
    await keep_kettles(redis, 3)
    await say(redis, "HSET", order_key(SELLER, ORDER), "reserve", '["rejected",[]]')
    ours = at_a_bench(INVENTORY, redis, topics)

    await forget_wrong_answers(ours)
    await ours.opening(0, unheard).open("token")

    assert [found async for found in all_levels(redis)] == [Level(SELLER, "KETTLE", 5, 0, 1)]
    assert await say(redis, "HGET", order_key(SELLER, ORDER), "reserve") is None


@pytest.mark.parametrize("there", ["meta", f"doc:{ORDER}"])
async def test_p1_a_rebuild_keeps_the_stock_beside_a_partition_or_order_that_is_there(
    there: str,
) -> None:
    """As reconcile leaves it, which rebuilds, too: facts of old stock are deleted by retention."""
    redis = memory()
    await keep_kettles(redis, 3)
    if there == "meta":
        await say(redis, "HSET", "{inventory:0}:meta", "commit", "1")
    else:
        await say(redis, "SET", f"{{inventory:0}}:{there}", "{}")

    await forget_wrong_answers(at_a_bench(INVENTORY, redis, Topics(1, lambda: to_ms(NOON))))

    assert [found async for found in all_levels(redis)] == [Level(SELLER, "KETTLE", 3, 0, 1)]


async def say(redis: Redis, *command: str) -> Any:
    return await redis.execute_command(*command)  # type: ignore[no-untyped-call]


async def keep_kettles(redis: Redis, on_hand: int) -> None:
    await say(redis, "HSET", levels_key(SELLER), "KETTLE", f"{on_hand} 0 1")


def tell_level(topics: Topics, partition: int) -> None:
    level = StockLevelChanged(
        seller_id=SELLER,
        sku="KETTLE",
        on_hand=5,
        reserved=0,
        available=5,
        on_hand_change=5,
        reserved_change=0,
        level_version=1,
    )
    subject, mark = stock_subject(SELLER, "KETTLE"), Mark("inventory", partition, "claim", 1, {})
    told = ((level, STOCK_LEVELS, 1), (EventDecided(), INVENTORY_EVENTS, None))
    for fact, topic, version in told:
        value = encode(
            fact,
            id_=fact.TYPE,
            source="inventory",
            subject=subject,
            time=NOON,
            version=version,
            causation_id="said",
            causation_source="warehouse",
        )
        headers = encoded(mark_headers(mark) | part_headers(mark, 0, [[]]))
        topics.append(topic.name, partition, subject.encode(), value, (*STRUCTURED, *headers))


def unheard(_partition: int, _facts: int) -> None: ...


async def test_p6_what_is_committed_and_not_published_is_no_difference_but_refused() -> None:
    redis, topics = memory(), Topics(1, lambda: to_ms(NOON))
    await refuse_unfinished(at_a_bench(INVENTORY, redis, topics))
    await redis.execute_command("RPUSH", "{inventory:0}:outbox", "a", "b")  # type: ignore[no-untyped-call]

    with pytest.raises(RefusedStart, match="inventory, partition 0, has 2 facts to publish"):
        await refuse_unfinished(at_a_bench(INVENTORY, redis, topics))


async def test_p1_a_worker_that_comes_before_the_repair_finds_all_of_the_stock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    redis, topics = MemoryRedis(lambda: to_ms(NOON), TWINS), Topics(1, lambda: to_ms(NOON))
    redis.execute("HSET", "{stock:S1}:levels", "SKU-A", "7 0 1")
    redis.execute("SET", "{inventory:0}:fence", "token:1")
    wrong = Difference(
        "inventory", "S1/SKU-A", "differs", (("HDEL", "{stock:S1}:levels", "SKU-A"),)
    )
    workers = iter((0, 1))

    @asynccontextmanager
    async def bench(*_: Any) -> AsyncIterator[Bench]:
        if members := next(workers):
            raise RefusedStart(f"{members} workers of inventory are there", "End them")
        yield at_a_bench(INVENTORY, connect_to(redis, Beside()), topics)

    monkeypatch.setattr(reconcile, "bench", bench)
    monkeypatch.setattr(reconcile, "TRIP_TIMEOUT_S", 0)

    with pytest.raises(RefusedStart, match=r"1 workers .* run `orderflow rebuild inventory`"):
        await reconcile.repair(INVENTORY, Settings(), [wrong], unheard)

    assert redis.execute("HGET", "{stock:S1}:levels", "SKU-A") == b"7 0 1"
    assert redis.execute("GET", "{inventory:0}:fence") is None, "its next commit is refused"


async def test_deadlines_that_have_not_read_all_yet_are_refused() -> None:
    redis, topics = memory(), Topics(1, lambda: to_ms(NOON))
    await refuse_unfinished(at_a_bench(build_deadlines(), redis, topics))
    topics.append(PAYMENT_EVENTS.name, 0, b"ORDER-1", b"{}")

    with pytest.raises(RefusedStart, match="deadlines, partition 0, has not read all of payment"):
        await refuse_unfinished(at_a_bench(build_deadlines(), redis, topics))


async def tell(
    monkeypatch: pytest.MonkeyPatch, *differences: Difference, services: list[str]
) -> Result:
    """What the command says of what is found in the first of these services."""
    found = iter([[*differences], *([] for _ in services)])

    async def recount(*_: Any) -> list[Difference]:
        return next(found)

    monkeypatch.setattr(reconcile, "recount", recount)
    return await asyncio.to_thread(CliRunner().invoke, app, ["reconcile", *services])


WRONG = Difference("inventory", "S1/SKU-A", "differs", ())


@pytest.mark.parametrize(
    ("differences", "told"), [((WRONG,), "1 difference"), ((WRONG, WRONG), "2 differences")]
)
async def test_differences_are_counted_in_english(
    monkeypatch: pytest.MonkeyPatch, differences: tuple[Difference, ...], told: str
) -> None:
    said = await tell(monkeypatch, *differences, services=["inventory"])

    assert (said.exit_code, said.stdout.splitlines()[-1]) == (1, told)


async def test_without_a_terminal_each_service_in_work_is_a_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = await tell(monkeypatch, services=["inventory", "payment"])

    assert said.stderr == "Recounting inventory\nRecounting payment\n"
    assert said.stdout == "Redis holds what the facts say\n"
