"""`orderflow health`: whether all that the system needs is there, and who works on it.

A process tells its own health over HTTP (`/health`); this is what can be seen from outside.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple

import typer

from services.cli.addresses import DEFAULT_DATA_DIR, DataDir, settings_here
from services.cli.desk import AsJson, echo_json, echo_table
from services.cli.exit_codes import EXIT_FAILED
from services.cli.run import ServiceName
from services.cli.topics import wanted_topics
from shared.clock import BusinessClock
from shared.errors import OrderflowError, RefusedStart
from shared.events.topics import TOPICS
from shared.kafka import (
    DEAD_LETTERS,
    Servers,
    found_topics,
    group_members,
    group_of,
    group_offsets,
    servers_of,
)
from shared.log_reader import open_reader
from shared.redis import Pipeline, connect
from shared.settings import Settings

READ = (*(topic.name for topic in TOPICS), DEAD_LETTERS)


class Seen(NamedTuple):
    """One thing that was looked at; `well` is None where that can not be known."""

    what: str
    well: bool | None
    says: str


def health(as_json: AsJson = False, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Look at Kafka, topics, Redis, clock and services; exit code 1 where something is missing."""
    seen = asyncio.run(look(settings_here(data_dir)))
    if as_json:
        echo_json([each._asdict() for each in seen])
    else:
        words = {True: "well", False: "MISSING", None: "unknown"}
        echo_table(("", "is", ""), ((each.what, words[each.well], each.says) for each in seen))
    if any(each.well is False for each in seen):
        raise typer.Exit(EXIT_FAILED)


async def look(settings: Settings) -> list[Seen]:
    """All that can be seen; what is away is one of its lines."""
    servers = servers_of(settings)
    seen = [
        await _seen("topics", partial(_topics, servers)),
        await _seen("redis", partial(_redis, settings.redis_url)),
        await _seen("clock", partial(_clock, settings.clock_redis_url)),
    ]
    services = ServiceName if seen[0].well else ()
    return [*seen, *[await _seen(each, partial(_service, servers, each)) for each in services]]


async def _seen(what: str, ask: Callable[[], Awaitable[Seen]]) -> Seen:
    try:
        return await ask()
    except OrderflowError as error:
        return Seen(what, False, str(error))


async def _topics(servers: Servers) -> Seen:
    wanted = wanted_topics()
    found = await found_topics(servers, wanted)
    if missing := sorted(wanted.keys() - found.keys()):
        return Seen("topics", False, f"no {', '.join(missing)}: `orderflow topics`")
    counts = {topic.partitions for topic in found.values()}
    unled = sorted(name for name, topic in found.items() if not topic.led)
    says = f"{len(found)} of {'/'.join(map(str, sorted(counts)))} partitions at {servers}"
    says += f", without leaders: {', '.join(unled)}" if unled else ""
    return Seen("topics", len(counts) == 1 and not unled, says)


async def _redis(url: str) -> Seen:
    redis = connect(url)
    try:
        pipeline = Pipeline(redis)
        pipeline.queue("INFO", "memory")
        (info,) = await pipeline.run()
    finally:
        await redis.aclose()
    policy, used = info["maxmemory_policy"], info["used_memory_human"]
    return Seen("redis", policy == "noeviction", f"{used} used, maxmemory-policy {policy}")


async def _clock(url: str) -> Seen:
    redis = connect(url)
    clock = BusinessClock(redis)
    try:
        await clock.refresh()
    finally:
        await redis.aclose()
    return Seen("clock", True, f"{clock.now().isoformat(timespec='seconds')} business time")


async def _service(servers: Servers, name: ServiceName) -> Seen:
    try:
        members: int | None = await group_members(servers, group_of(name))
    except RefusedStart:  # the embedded broker does not tell
        members = None
    partitions = next(iter((await found_topics(servers, [DEAD_LETTERS])).values())).partitions
    at = await group_offsets(servers, group_of(name), READ, partitions)
    async with open_reader(servers, partitions) as reader:
        ends = await reader.ends(sorted({topic for topic, _ in at}))
    behind = sum(max(ends[place] - offset, 0) for place, offset in at.items())
    workers = "not told" if members is None else f"{members}"
    says = f"workers: {workers}, records that wait: {behind:,}"
    return Seen(name, None if members is None else members > 0, says)
