"""Redis is disposable: what each service had in it is made anew from what it published."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, cast

import httpx
import pytest
import pytest_asyncio
from redis import Redis

from services.cli.run import ORDER_SERVICES
from services.cli.system import SHOWN, System
from services.dashboard.app import build as build_dashboard
from services.dashboard.replaying import Typed
from services.dashboard.web.app import opened
from services.dashboard.web.workbench import bench_of
from services.deadlines.store import ledger_key
from shared.clock import fresh_token
from shared.decode import REROUTED_HEADER, partition_of
from shared.events.carrier import TRACKING, PackageDelivered
from shared.events.envelope import Event, Fact, Topic, encode
from shared.events.gateway import (
    PAYMENTS,
    BuyerBlocked,
    BuyerUnblocked,
    CardBlocked,
    PaymentAuthorized,
)
from shared.events.storefront import ORDERS, CancelRequested
from shared.events.warehouse import STOCK, StockAdjusted, stock_subject
from shared.kafka import group_members, producer_of
from shared.packing import unpack
from shared.rest import Part, Rest
from tests.support.market import REST_LIMIT_S, Market, open_market
from tests.support.own_system import own_system
from tests.support.stored import KEYS, keys_of, positions, stored
from tests.support.toy_world import until
from tests.support.traffic import LIVES, TOTAL, Order, places

OPENING = datetime(2027, 2, 26, 22, 17, 3, 501_000, UTC)
"""A Friday night before the end of a short month."""
PARTITIONS = 3
SKU_0 = stock_subject("S0", "SKU-0")

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(240),
    pytest.mark.real_kafka,  # the embedded one tells nobody who is a member
]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with own_system(
        tmp_path_factory.mktemp("rebuild"), partitions=PARTITIONS, services=SHOWN
    ) as running:
        yield running


@pytest.fixture(scope="module")
def redis(running: System) -> Iterator[Redis]:
    with Redis.from_url(running.settings.redis_url) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def market(running: System) -> AsyncIterator[Market]:
    """Orders of every kind, the half of them told twice, and what else may come; time stands."""
    async with open_market(running.settings) as market:
        await market.begin(OPENING)
        async with market.trade():
            for nth, life in enumerate(LIVES.values()):
                await market.place(Order(nth, life, times=1 + nth % 2))
            await asyncio.sleep(7)  # of which the hold takes 6: most orders ship, some end
            for nth, life in enumerate(LIVES.values()):
                await market.place(Order(100 + nth, life))
        await market.stand_still()
        await strange_things(market, running)
        yield market


async def strange_things(market: Market, running: System) -> None:
    """What waits, is refused, is no event, or comes again."""
    early = PaymentAuthorized(payment_id="P-early", amount=TOTAL)
    await say(market, PAYMENTS, early, "ORDER-to-come", "early")
    await say(market, ORDERS, CancelRequested(buyer_id="B-early"), "ORDER-to-come", "cancel")
    delivered = PackageDelivered(tracking_number="T-early")
    await say(market, TRACKING, delivered, "ORDER-to-come", "delivered")
    stranger = CancelRequested(buyer_id="B-stranger")
    await say(market, ORDERS, stranger, Order(100, LIVES["ships"]).order_id, "stranger")
    blocked, free = BuyerBlocked(buyer_id="B-late"), BuyerUnblocked(buyer_id="B-late")
    await say(market, PAYMENTS, blocked, "buyer/B-late", "block")
    await say(market, PAYMENTS, CardBlocked(payment_method_ref="card-7"), "card/card-7", "block-7")
    await say(market, PAYMENTS, free, "buyer/B-late", "free")
    order = Order(100, LIVES["ships"])
    now = Event[Fact](
        id="now", source="market", type="now", subject=order.order_id,
        time=market.observer.clock.now(), data=Fact(),
    )  # fmt: skip
    rival = places(order, now).model_copy(update={"seller_id": "S2"})
    await say(market, ORDERS, rival, order.order_id, "rival")
    raw = producer_of(running.settings.kafka_bootstrap_servers)
    await raw.start()
    await raw.send_and_wait("orders", b"\x00{", key=b"\xfe")
    await raw.stop()
    for change, id_ in ((7, "more"), (-2_000_000, "too few"), (7, "more")):
        await adjust(market, change, id_)
    await market.settle()


async def adjust(market: Market, change: int, id_: str) -> None:
    adjusted = StockAdjusted(seller_id="S0", sku="SKU-0", change=change)
    await say(market, STOCK, adjusted, SKU_0, id_.replace(" ", "-"))


async def say(market: Market, topic: Topic, fact: Fact, subject: str, id_: str) -> None:
    time = market.observer.clock.now()
    await market.producer.send(topic, fact, subject=subject, time=time, id_=id_)


async def command(running: System, *words: str) -> tuple[int, dict[str, Any], str]:
    """Run a command: its exit code, its JSON, what it says."""
    env = {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": running.settings.kafka_bootstrap_servers,
        "REDIS_URL": running.settings.redis_url,
    }
    argv = [sys.executable, "-m", "services.cli.app", *words, "--json"]
    done = await asyncio.to_thread(
        subprocess.run, argv, env=env, capture_output=True, text=True, check=False
    )
    return done.returncode, json.loads(done.stdout or "{}"), done.stderr


async def end(running: System, service: str) -> None:
    """End a service's only worker, and wait until its group knows."""
    await asyncio.to_thread(running.processes[service].stop)
    servers = running.settings.kafka_bootstrap_servers

    async def gone() -> bool:
        return await group_members(servers, f"orderflow-{service}") == 0

    await until(gone, f"{service} has left its group")


async def start(market: Market, running: System, service: str) -> None:
    """Start it again, and wait until all is at rest."""
    running.processes[service].start()
    await asyncio.to_thread(running.wait_until_ready)
    await market.settle()


@pytest.mark.parametrize("service", [name.value for name in ORDER_SERVICES])
async def test_p6_an_emptied_redis_is_rebuilt_to_what_it_was(
    market: Market, running: System, redis: Redis, service: str
) -> None:
    was, stood = stored(redis, service), positions(redis, service)
    code, _, said = await command(running, "rebuild", service)
    assert code == 3
    assert f"1 workers of {service} are there" in said
    await end(running, service)
    redis.delete(*keys_of(redis, service))

    first, report, said = await command(running, "rebuild", service)
    rebuilt = stored(redis, service)
    again, _, _ = await command(running, "rebuild", service)

    assert (first, again) == (0, 0), said
    assert sum(one["facts"] for one in report["partitions"]) > 0
    assert rebuilt == was
    assert stored(redis, service) == was, "once more changes nothing"
    await start(market, running, service)
    assert positions(redis, service) == stood
    assert stored(redis, service) == was


async def test_the_dashboard_shows_all_orders_and_is_rebuilt_to_what_it_showed(
    market: Market, running: System, redis: Redis
) -> None:
    _, _, rubbish = await three_letters(market, running)
    discarding = ("deadletters", "discard", rubbish, "--because", "Noise")
    code, report, said = await command(running, *discarding, "--apply")
    assert (code, report["letters"][0]["done"]) == (0, True), said
    await seen_by_the_dashboard(market, running)
    was, told = views(redis), handled(redis)
    assert [(what, why) for what, _, _, _, _, why, _ in told[rubbish]] == [("discarded", "Noise")]
    await pages_show(running, len(was))
    await end(running, "dashboard")
    redis.set("{dashboard:0}:doc:ORDER-of-nobody", b"{}")
    redis.delete(*list(redis.scan_iter("{dashboard:*}:orders")))

    code, report, said = await command(running, "rebuild", "dashboard")

    assert code == 0, said
    assert sum(one["facts"] for one in report["partitions"]) > len(was)
    assert (views(redis), handled(redis)) == (was, told)
    await start(market, running, "dashboard")
    await seen_by_the_dashboard(market, running)
    assert (views(redis), handled(redis)) == (was, told)
    await pages_show(running, len(was))


async def test_p3_what_is_replayed_twice_changes_nothing_twice(
    market: Market, running: System, redis: Redis
) -> None:
    was, (astray, wrong, _) = on_hand(redis), await three_letters(market, running)
    async with opened(running.settings) as (parts, _, _):
        bench = bench_of(parts)
        looked = await bench.examine(astray)
        assert looked is not None
        assert looked.kept.reason == "misrouted_twice"
        assert looked.outlook.verdict == "decided"
        found = await bench.letter(wrong)
        assert found is not None
        text = (found.value or b"").decode()
        mended = await bench.examine(wrong, Typed(SKU_0, text.replace('"many"', "30"), ""))
        assert mended is not None
        assert mended.outlook.verdict == "decided"

        for _ in range(2):
            await bench.replay(looked, "dashboard/anna")
            await bench.replay(mended, "dashboard/bert", edited=True)
        await market.settle()

        assert on_hand(redis) == was + 5 + 30
        await seen_by_the_dashboard(market, running)
    code, report, said = await command(running, "deadletters", "replay", astray, "--apply")
    (left,) = report["letters"]
    assert (code, left["verdict"], left["done"]) == (0, "repeat", False), said
    told = handled(redis)
    assert [each[:2] for each in told[astray]] == [["replayed", "dashboard/anna"]] * 2
    assert [each[:2] for each in told[wrong]] == [["edited", "dashboard/bert"]] * 2


async def three_letters(market: Market, running: System) -> tuple[str, str, str]:
    """What was misrouted once too often, what is wrong in a field, and what is no event at all: of
    each a new one.
    """
    sku = stock_subject("S0", "SKU-0").encode()
    here = partition_of(SKU_0, PARTITIONS)
    said = [
        encode(
            StockAdjusted(seller_id="S0", sku="SKU-0", change=5),
            id_=fresh_token(), source="market", subject=SKU_0, time=market.observer.clock.now(),
        )
        for _ in range(2)
    ]  # fmt: skip
    arrived = b"%d" % market.observer.clock.wall_ms()
    sent: tuple[tuple[int, bytes, list[tuple[str, bytes]]], ...] = (
        ((here + 1) % PARTITIONS, said[0], [(REROUTED_HEADER, arrived)]),
        (here, said[1].replace(b'"change":5', b'"change":"many"'), []),
        (here, b"rubbish", []),
    )
    raw = producer_of(running.settings.kafka_bootstrap_servers)
    await raw.start()
    places = []
    for partition, value, headers in sent:
        at = await raw.send_and_wait("stock", value, sku, partition, headers=headers)
        places.append(f"stock:{partition}:{at.offset}")
    await raw.stop()
    await market.settle()
    await seen_by_the_dashboard(market, running)
    return places[0], places[1], places[2]


def on_hand(redis: Redis) -> int:
    level: Any = redis.hget("{stock:S0}:levels", "SKU-0")
    return int(level.split()[0])


def document(redis: Redis, key: bytes) -> dict[str, Any]:
    """A document as it lies in Redis."""
    found: dict[str, Any] = json.loads(unpack(cast("bytes", redis.get(key))))
    return found


def handled(redis: Redis) -> Mapping[str, Any]:
    """What was done with each letter, as the dashboard has it."""
    found = {}
    for key in redis.scan_iter("{dashboard:*}:doc:letter *", count=1_000):
        state = document(redis, key)["state"]
        if state.get("handled"):
            found[key.decode().partition(":doc:letter ")[2]] = state["handled"]
    return found


async def seen_by_the_dashboard(market: Market, running: System) -> None:
    """Wait until its projection has read all that there is."""
    watch = market.observer
    parts = [Part(build_dashboard(), watch.redis)]
    await Rest(parts, watch.rest.reader, watch.clock, ledger_key).wait_for_rest(REST_LIMIT_S)


def views(redis: Redis) -> Mapping[str, Any]:
    """What it shows of each order: which topic was read first is chance, and for tracing only."""
    found: dict[str, Any] = {}
    for key in redis.scan_iter("{dashboard:*}:doc:*", count=1_000):
        stored = document(redis, key)
        rows = key.partition(b":doc:")[0] + b":orders"
        row = redis.hget(cast("str", rows), subject_of(key))
        if stored["state"].get("order"):
            found[subject_of(key)] = (stored["state"], stored["passed"], json.loads(row or "0"))
    return found


async def pages_show(running: System, orders: int) -> None:
    """Wait until the list of the pages says that there are so many orders."""

    async def listed() -> bool:
        return await asyncio.to_thread(shown, running) == f"{orders} orders"

    await until(listed, f"the pages list {orders} orders")


def shown(running: System) -> str:
    """How many orders the list of the pages says that there are."""
    with httpx.Client(timeout=10, follow_redirects=True) as browser:
        page = browser.get(browser.post(running.pages_url()).url.join("/orders")).text
    return re.search(r"([\d,]+ orders)", page)[1]  # type: ignore[index]


async def test_p1_p2_what_redis_holds_otherwise_than_the_facts_say_is_named_and_mended(
    market: Market, running: System, redis: Redis
) -> None:
    was = {service: stored(redis, service) for service in KEYS}
    code, _, said = await command(running, "reconcile")
    assert code == 3
    assert "1 workers of inventory are there" in said
    for service in KEYS:
        await end(running, service)
    assert await command(running, "reconcile") == (0, {"differences": [], "left": []}, "")

    planted = plant(redis)
    wrong = {service: stored(redis, service) for service in KEYS}
    code, report, _ = await command(running, "reconcile")
    found = {(d["service"], d["subject"]): d["what"] for d in report["differences"]}
    assert code == 1
    assert found.keys() == planted.keys()
    assert [found[place] for place, what in planted.items() if what not in found[place]] == []
    assert {service: stored(redis, service) for service in KEYS} == wrong, "it only looks"

    code, report, said = await command(running, "reconcile", "--apply")
    assert (code, len(report["differences"]), report["left"]) == (0, len(planted), []), said
    assert await command(running, "reconcile") == (0, {"differences": [], "left": []}, "")
    assert {service: stored(redis, service) for service in KEYS} == was
    for service in KEYS:
        running.processes[service].start()
    await asyncio.to_thread(running.wait_until_ready)
    await market.settle()
    assert {service: stored(redis, service) for service in KEYS} == was


def plant(redis: Redis) -> dict[tuple[str, str], str]:
    """One thing of each kind that is not so: where, and what has to be said about it."""
    level: Any = redis.hget("{stock:S0}:levels", "SKU-0")
    on_hand, reserved, version = map(int, level.split())
    redis.hset("{stock:S0}:levels", "SKU-0", f"{on_hand + 3} {reserved} {version}")
    redis.hset("{stock:S0}:levels", "SKU-1", "99")
    entry = next(k for k in redis.scan_iter("{stock:*}:order:*") if redis.hget(k, "held") != b"{}")
    redis.hset(entry, "held", "{}")
    documents = {
        service: [key for key in keys_of(redis, service) if b":doc:" in key]
        for service in ("payment", "fulfillment", "inventory")
    }
    live = next(
        key
        for key in documents["fulfillment"]
        if (document(redis, key)["state"] or {}).get("status") == "Unshipped"
    )
    order = document(redis, live)
    order["state"]["status"] = "Canceled"
    redis.set(live, json.dumps(order))
    lost = next(k for k in documents["payment"] if redis.pttl(k) == -1)
    redis.delete(lost)
    stray = documents["inventory"][0].rpartition(b":")[0] + b":ORDER-of-nobody"
    redis.set(stray, redis.get(documents["inventory"][0]) or b"")
    ledger = next(redis.scan_iter("{deadlines:*}:ledger"))
    (member,) = cast("list[bytes]", redis.zrange(ledger, 0, 0))
    redis.zrem(ledger, member)
    redis.zadd(ledger, {"fulfillment|hold|ORDER-of-nobody": 1_800_000_000_907})
    return {
        ("inventory", "S0/SKU-0"): f"on hand {on_hand + 3}, available {on_hand + 3 - reserved}",
        ("inventory", "S0/SKU-1"): "what is stored is no level; by its facts on hand",
        ("inventory", subject_of(entry)): "holds {} of S",
        ("fulfillment", subject_of(live)): "state.status is Canceled, by its facts Unshipped",
        ("payment", subject_of(lost)): "is not in Redis, and its facts are",
        ("inventory", "ORDER-of-nobody"): "is in Redis, and there is no fact of it",
        ("deadlines", member.decode().split("|")[2]): "is not armed, by its facts due 2027-",
        ("deadlines", "ORDER-of-nobody"): "hold is due 2027-01-15T08:00:00.907000+00:00, by its",
    }


def subject_of(key: bytes) -> str:
    """Orders' ids have no colon."""
    return key.decode().rpartition(":")[2]


async def test_p1_a_stock_command_that_comes_again_after_a_rebuild_changes_nothing(
    market: Market, running: System, redis: Redis
) -> None:
    before = redis.hget("{stock:S0}:levels", "SKU-0")

    await adjust(market, 7, "more")
    await market.settle()

    assert redis.hget("{stock:S0}:levels", "SKU-0") == before
    await adjust(market, 7, "even-more")
    await market.settle()
    assert redis.hget("{stock:S0}:levels", "SKU-0") != before


async def test_p1_to_p6_a_system_that_was_rebuilt_comes_to_its_end_and_its_books_balance(
    market: Market,
) -> None:
    books = await market.end()

    assert market.wrong() == []
    assert books.violations == ()
    assert books.unchecked == ()
