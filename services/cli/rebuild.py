"""`orderflow rebuild SERVICE`: make what a service had in Redis anew, from what it published."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib import import_module
from typing import Annotated, Any

import typer
from redis.asyncio import Redis
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from services.cli.addresses import DEFAULT_DATA_DIR, DataDir, settings_here
from services.cli.run import ServiceName
from services.payment.app import calls as payment_calls
from shared.batch import Desk
from shared.clock import BusinessClock, clock_at, fresh_token
from shared.decode import Decoder
from shared.errors import RefusedStart
from shared.kafka import (
    SESSION_TIMEOUT_MS,
    asking,
    broker_of,
    checked_partitions,
    group_members,
    group_of,
    reader_of,
    servers_of,
)
from shared.kafka_log import KafkaLog
from shared.opening import Opening
from shared.partition import no_step
from shared.partition_store import PartitionStore
from shared.policy import Policies
from shared.redis import Pipeline, connect, scan
from shared.service import Service
from shared.settings import Settings
from shared.worker import Calls

CALLS: Mapping[str, Calls] = {ServiceName.PAYMENT: payment_calls}
"""What services ask of the outside: what of it has no final answer is pending again."""

LOOKERS = frozenset({ServiceName.DASHBOARD})
"""Whose Redis holds only what others decided: it is made anew, whatever is there."""

Progressed = Callable[[int, int], None]
"""Hears the partition that is in work, and how many facts of it were read."""


@dataclass(frozen=True)
class Rebuilt:
    """One partition after the command: its last commit, and the facts that were read for it.

    `left_out` of them are about subjects whose first facts retention has removed.
    """

    partition: int
    commit: int
    facts: int
    left_out: int


def rebuild(
    service: Annotated[ServiceName, typer.Argument()],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Rebuild a service's Redis from its journal; end its workers before.

    What is there stays, and is brought up to the journal: run it again after an interruption.
    Dashboard's is forgotten first, and made of what all others published.
    """
    settings = settings_here(data_dir)
    with shown(f"Rebuilding {service}", quiet=as_json) as told:
        done = asyncio.run(rebuild_all(built(service, settings), settings, told))
    if as_json:
        document = {"service": service.value, "partitions": [asdict(one) for one in done]}
        typer.echo(json.dumps(document, indent=2))
        return
    facts, left_out = sum(one.facts for one in done), sum(one.left_out for one in done)
    typer.echo(
        f"{service.value}: {len(done)} partitions are up to their journal, {facts} facts read"
    )
    if left_out:
        typer.echo(f"left out: {left_out} facts of what began before the journal does")


def built(service: ServiceName, settings: Settings) -> Service[Any]:
    """A service as its worker runs it, with its calls; raises SettingError as that does."""
    bare: Service[Any] = import_module(f"services.{service}.app").build()
    calls = CALLS.get(service)
    return bare if calls is None else replace(bare, calls=calls(settings))


@dataclass(frozen=True)
class Bench:
    """What it takes to open the partitions of a service that nobody else works on."""

    service: Service[Any]
    policies: Policies
    partitions: int
    redis: Redis
    clock: BusinessClock
    log: KafkaLog

    def opening(self, partition: int, told: Progressed) -> Opening[Any]:
        """Brings the partition in `redis` up to its journal; what crosses orders with the first."""
        return Opening(
            Desk(self.service, self.policies, partition, self.partitions),
            Decoder(self.service.name, self.service.reads, self.partitions),
            PartitionStore(self.redis, self.service.name, partition),
            self.log,
            self.clock,
            no_step,
            rebuild=True,
            told=partial(told, partition),
        )


@asynccontextmanager
async def bench(
    service: Service[Any], settings: Settings, log: type[KafkaLog] = KafkaLog
) -> AsyncIterator[Bench]:
    """Connect to what the settings name.

    Raises RefusedStart while a worker of the service is there, and TransientError when something
    is away.
    """
    servers = servers_of(settings)
    names = {*service.inputs, service.journal.name, *(t.name for t in service.publishes)}
    partitions = await checked_partitions(servers, sorted(names))
    if members := await group_members(servers, group_of(service.name)):
        raise RefusedStart(
            f"{members} workers of {service.name} are there: they would decide on half a state",
            f"End all workers of {service.name} first: a killed one is missed in "
            f"{SESSION_TIMEOUT_MS // 1_000} s, and "
            "`orderflow up --servers-only` starts none",
        )
    policies = Policies.load(settings.policies_dir)
    async with AsyncExitStack() as stack:
        redis = connect(settings.redis_url)
        stack.push_async_callback(redis.aclose)
        clock = await stack.enter_async_context(clock_at(settings.clock_redis_url))
        consumer = reader_of(servers)
        stack.push_async_callback(consumer.stop)
        async with asking():
            await consumer.start()
        kafka_log = log(broker_of(servers), lambda: consumer, servers)
        stack.push_async_callback(kafka_log.close)
        yield Bench(service, policies, partitions, redis, clock, kafka_log)


async def rebuild_all(service: Service[Any], settings: Settings, told: Progressed) -> list[Rebuilt]:
    """Bring every partition of a service up to its journal.

    Raises as `bench` does, and TransientError when a worker comes meanwhile.
    """
    done = []
    async with bench(service, settings) as ours:
        if service.name in LOOKERS:
            await forget_all(ours)
        await forget_wrong_answers(ours)
        for partition in range(ours.partitions):
            told(partition, 0)
            opened = await ours.opening(partition, told).open(fresh_token())
            left_out = sum(opened.left_out.values())
            done.append(Rebuilt(partition, opened.number, opened.facts, left_out))
    return done


async def forget_all(ours: Bench) -> None:
    """Delete all that a service has in Redis, how far it is first: interrupted, it begins anew."""
    pipeline = Pipeline(ours.redis)
    for partition in range(ours.partitions):
        PartitionStore(ours.redis, ours.service.name, partition).forget(pipeline)
    await pipeline.run()
    await delete(ours.redis, f"{{{ours.service.name}:*")


async def delete(redis: Redis, pattern: str) -> None:
    """Delete the keys of a pattern."""
    async for keys in scan(redis, pattern):
        pipeline = Pipeline(redis)
        for key in keys:
            pipeline.queue("DEL", key)
        await pipeline.run()


async def forget_wrong_answers(ours: Bench) -> None:
    """Delete what crosses orders in a Redis that was emptied: its last workers asked that, in vain.

    Where a partition has a commit, or an order its document, it was not emptied: what was answered
    is true, and may be of facts that retention has deleted since.
    """
    store, crossing = PartitionStore(ours.redis, ours.service.name, 0), ours.service.crossing
    await store.forget_run()
    reached = await store.all_reached(ours.partitions)
    if crossing is None or any(known.commit_number for known in reached):
        return
    async for _ in scan(ours.redis, ours.service.documents.pattern):
        return
    await delete(ours.redis, crossing.pattern)


@contextmanager
def shown(doing: str, *, quiet: bool) -> Iterator[Progressed]:
    """What is done, with the partition in work on a terminal, in one line without; nothing for
    machines.
    """
    console = Console(stderr=True)
    if not quiet and not console.is_terminal:
        typer.echo(doing, err=True)
    columns = (
        TextColumn(doing),
        BarColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as progress:
        bar = progress.add_task("", total=None)

        def told(partition: int, facts: int) -> None:
            progress.update(bar, description=f"partition {partition}: {facts:,} facts")

        yield told
        progress.update(bar, total=1, completed=1)
