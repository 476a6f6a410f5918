"""The floor: the same records over the same hops, by bare aiokafka, on the same Kafka.

One life of each kind of order (one item, two items) is watched; then a process in place of each
service plays it again for as many orders as the throughput bench runs (forward.py). What is left
out is all that a service is for: reading events, deciding, state, Redis.
"""

import asyncio
import pickle
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from services.cli.child_process import Processes
from shared.decode import partition_of
from shared.kafka import create_topics, topic_settings
from tests.bench.bed import Bed, outside
from tests.bench.figures import spread
from tests.bench.forward import Forwarder, Line, Part, for_order
from tests.bench.load import DELIVERED
from tests.bench.log import NAMES, SAYS, Caused, Since, Told, caused, inputs_of
from tests.bench.machine import usage
from tests.bench.sizes import PARTITIONS, Sizes

KINDS = 2
OUTSIDE = "outside"


def measure(of: Bed, sizes: Sizes, known: dict[str, Any]) -> dict[str, Any]:
    """Several runs after one that warms up; our rate as a share of the floor's, where known."""
    seen = asyncio.run(_watch(of))
    parts, begins, last = script(seen)
    servers = of.settings.kafka_bootstrap_servers
    asyncio.run(_make_topics(servers))
    with of.without_services(), _forwarders(servers, parts) as pids:
        runs = asyncio.run(_runs(servers, parts, begins, last, sizes, pids))
    found: dict[str, Any] = {
        "orders_per_s": spread([run["orders_per_s"] for run in runs]),
        "cpu_us_per_order": spread([run["cpu_us_per_order"] for run in runs]),
    }
    if ours := known.get("throughput"):
        median = found["orders_per_s"]["median"]
        found["our_share"] = round(ours["orders_per_s"]["median"] / median, 3)
    return found


async def _watch(of: Bed) -> list[Caused]:
    """The lives of two orders, of one item and of two."""
    async with outside(of) as world:
        since = Since(world.observer.reader, of.settings.kafka_bootstrap_servers)
        await since.begin()
        await world.load.place(world.load.prepare(KINDS))
        await world.load.follow(KINDS)
        await world.rest()
        return list(caused(await since.told()))


def script(
    seen: Sequence[Caused],
) -> tuple[Mapping[str, Part], Sequence[tuple[bytes, Sequence[Line]]], set[bytes]]:
    """What each plays; what begins an order of each kind, with the id that was seen; the last
    ids.
    """
    lines: dict[str, defaultdict[bytes, list[Line]]] = defaultdict(lambda: defaultdict(list))
    orders: dict[bytes, bytes] = {}
    begins: defaultdict[bytes, list[Line]] = defaultdict(list)
    subjects = {each.told.key for each in seen if each.cause is None}
    of_order = {told.id: told.key for told, _, _ in seen if told.key in subjects}
    for told, by, cause in seen:
        if cause is None:
            begins[told.key].append(_line(told, True))
            continue
        assert cause.id in of_order, f"{told.event['type']} about no order"
        id_ = cause.id.encode()
        orders[id_] = of_order[cause.id]
        lines[by or OUTSIDE][id_].append(_line(told, told.key in subjects))
    reads = {**inputs_of(), OUTSIDE: ("fulfillment.events",)}
    parts = {
        name: Part([_floor(topic) for topic in reads[name]], dict(found), orders)
        for name, found in lines.items()
    }
    last = {told.id.encode() for told, _, _ in seen if told.event["type"] == DELIVERED}
    assert len(begins) == len(last) == KINDS, (begins.keys(), last)
    assert {c.told.topic for c in seen if c.by is None and c.cause} == SAYS.keys()
    return parts, list(begins.items()), last


def _line(told: Told, ours: bool) -> Line:
    partition = None if ours else told.partition
    return Line(_floor(told.topic), partition, told.key, told.value, list(told.headers))


def _floor(topic: str) -> str:
    return f"floor.{topic}"


async def _make_topics(servers: str) -> None:
    settings = {_floor(name): topic_settings(None) for name in NAMES}
    await create_topics(servers, settings, PARTITIONS, 1)


@contextmanager
def _forwarders(servers: str, parts: Mapping[str, Part]) -> Iterator[list[int]]:
    with TemporaryDirectory(prefix="orderflow-floor-") as name:
        path = Path(name) / "script"
        path.write_bytes(pickle.dumps(dict(parts)))
        with Processes(Path(name) / "logs") as processes:
            pids = []
            for part in parts.keys() - {OUTSIDE}:
                command = (sys.executable, "-m", "tests.bench.forward", servers, part, str(path))
                pids.append(processes.start(part, command).pid or 0)
            yield pids


async def _runs(
    servers: str,
    parts: Mapping[str, Part],
    begins: Sequence[tuple[bytes, Sequence[Line]]],
    last: set[bytes],
    sizes: Sizes,
    pids: Sequence[int],
) -> list[dict[str, float]]:
    us = Forwarder(servers, parts[OUTSIDE])
    await us.start()
    runs = []
    try:
        for nth, orders in enumerate([sizes.warm_orders] + [sizes.orders] * sizes.runs):
            us.seen.clear()
            placed = list(_placed(begins, orders, nth))
            before_s, began_s = sum(usage(pid).cpu_s for pid in pids), time.perf_counter()
            placing = asyncio.ensure_future(_place(us, placed))
            await us.run(partial(_delivered_fewer, us, last, orders))
            took_s = time.perf_counter() - began_s
            cpu_s = sum(usage(pid).cpu_s for pid in pids) - before_s
            await placing
            runs.append(
                {
                    "orders_per_s": round(orders / took_s, 1),
                    "cpu_us_per_order": round(1e6 * cpu_s / orders),
                }
            )
    finally:
        await us.stop()
    return runs[1:]


def _delivered_fewer(us: Forwarder, last: set[bytes], orders: int) -> bool:
    return sum(us.seen[id_] for id_ in last) < orders


def _placed(
    begins: Sequence[tuple[bytes, Sequence[Line]]], orders: int, nth: int
) -> Iterator[Line]:
    for n in range(orders):
        seen, lines = begins[n % KINDS]
        order = b"251-%07d-%07d" % (n, nth)
        yield from for_order(lines, seen, order)


async def _place(us: Forwarder, placed: Sequence[Line]) -> None:
    """As the throughput bench does: one by one, into the producer's own batches."""
    for line in placed:
        partition = partition_of(line.key.decode(), PARTITIONS)
        await us.producer.send(line.topic, line.value, line.key, partition, headers=line.headers)
    await us.producer.flush()
