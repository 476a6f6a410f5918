"""`orderflow reconcile`: recount what services have in Redis against the facts in Kafka.

What the facts say is what `orderflow rebuild` makes of them: the same fold, into a Redis in memory
beside the real one. What differs is named, and, with `--apply`, taken out and rebuilt.
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

import typer

from services.cli.addresses import DEFAULT_DATA_DIR, DataDir, settings_here
from services.cli.differences import (
    Difference,
    differences_across,
    differences_of_partition,
)
from services.cli.exit_codes import EXIT_FAILED
from services.cli.rebuild import Bench, Progressed, bench, built, rebuild_all, shown
from services.cli.run import ORDER_SERVICES, ServiceName
from services.simulator.memory_redis import MemoryRedis, connect_to
from services.simulator.network import Beside
from services.simulator.scripts import TWINS
from shared.batch import DeadLetter
from shared.books.reading import subjects_of
from shared.clock import fresh_token
from shared.errors import OrderflowError, RefusedStart
from shared.kafka_log import KafkaLog
from shared.partition_store import PartitionStore, positions_of
from shared.redis import TRIP_TIMEOUT_S, Pipeline
from shared.rest import Part
from shared.service import Service
from shared.settings import Settings


class _OnlyRead(KafkaLog):
    """A log into which a fold beside the real one puts nothing: what it would keep was kept."""

    async def keep(self, dead: Sequence[DeadLetter], service: str) -> None: ...


def reconcile(
    services: Annotated[
        list[ServiceName] | None, typer.Argument(help="By default all that move orders.")
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Make what differs anew from the facts.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Recount stock, orders and deadlines against the facts; end the services' workers before.

    Without --apply nothing is changed. The exit code is 0 where nothing differs (any more), else 1.
    """
    settings = settings_here(data_dir)
    found: list[Difference] = []
    left: list[Difference] = []
    for name in services or ORDER_SERVICES:
        service = built(name, settings)
        with shown(f"Recounting {name}", quiet=as_json) as told:
            differences = asyncio.run(recount(service, settings, told))
        found += differences
        if apply and differences:
            with shown(f"Repairing {name}", quiet=as_json) as told:
                differences = asyncio.run(repair(service, settings, differences, told))
        left += differences
    if as_json:
        document = {"differences": [d._asdict() for d in found], "left": [str(d) for d in left]}
        typer.echo(json.dumps(document, indent=2))
    else:
        _tell(found, left, applied=apply)
    if left:
        raise typer.Exit(EXIT_FAILED)


def _tell(found: Sequence[Difference], left: Sequence[Difference], *, applied: bool) -> None:
    for difference in found:
        typer.echo(str(difference))
    several = "" if len(found) == 1 else "s"
    typer.echo(f"{len(found)} difference{several}" if found else "Redis holds what the facts say")
    if applied and found:
        typer.echo(f"left after the repair: {len(left)}" if left else "all is mended")


async def recount(service: Service[Any], settings: Settings, told: Progressed) -> list[Difference]:
    """Fold a service's facts beside its Redis, and compare; raises as `bench` and `compare` do."""
    async with bench(service, settings, _OnlyRead) as ours:
        return await compare(ours, told)


async def compare(ours: Bench, told: Progressed) -> list[Difference]:
    """Where Redis holds something else than the facts say; changes nothing anywhere.

    What began before the facts do is left out. Needs memory for one partition's documents, and for
    the stock. Raises RefusedStart while the Redis has something that is not in Kafka yet, or the
    other way round.
    """
    await refuse_unfinished(ours)
    name, memory = ours.service.name, MemoryRedis(ours.clock.wall_ms, TWINS)
    beside = replace(ours, redis=connect_to(memory, Beside()))
    subjects = await subjects_of(Part(ours.service, ours.redis))
    found: list[Difference] = []
    left_out: set[str] = set()
    whole = True
    for partition in range(ours.partitions):
        told(partition, 0)
        opened = await beside.opening(partition, told).open(fresh_token())
        left_out |= opened.left_out.keys()
        whole = whole and await _is_whole(ours, partition)
        found += await differences_of_partition(
            ours.service, partition, subjects.get(partition, ()), ours.redis, beside.redis
        )
        for key in memory.execute("SCAN", 0, "MATCH", f"{{{name}:{partition}}}:*")[1]:
            memory.execute("DEL", key)
    found += await differences_across(ours.service, ours.redis, beside.redis)
    return [d for d in found if d.subject not in left_out and (whole or not d.untold)]


async def _is_whole(ours: Bench, partition: int) -> bool:
    """Whether retention has deleted nothing of what is folded."""
    service = ours.service
    across = service.crossing.topics if service.crossing else ()
    topics = {topic.name for topic in (service.journal, *across)}
    topics |= set() if service.whole_journal else set(service.inputs)
    bounds = await ours.log.bounds(topics, partition)
    return all(begin == 0 for begin, _ in bounds.values())


async def refuse_unfinished(ours: Bench) -> None:
    """Refuse what no recount can tell: a Redis that is ahead of the facts, with some committed and
    not published; or, where inputs are folded too, behind them.
    """
    name = ours.service.name
    for partition in range(ours.partitions):
        store, pipeline = PartitionStore(ours.redis, name, partition), Pipeline(ours.redis)
        store.ask_outbox(pipeline)
        store.ask_positions(pipeline)
        outbox, meta = await pipeline.run()
        behind: list[str] = []
        if not ours.service.whole_journal:
            at = positions_of(meta)
            bounds = await ours.log.bounds(ours.service.inputs, partition)
            behind = [topic for topic, (_, end) in bounds.items() if at.get(topic, 0) < end]
        if outbox or behind:
            has = f"{outbox} facts to publish" if outbox else f"not read all of {behind[0]}"
            raise RefusedStart(
                f"{name}, partition {partition}, has {has}: Redis and facts are not in step",
                f"Let {name} work until it is at rest, end it again, then reconcile",
            )


async def repair(
    service: Service[Any], settings: Settings, differences: Sequence[Difference], told: Progressed
) -> list[Difference]:
    """Take what differs out of Redis, rebuild it, and recount.

    Without what says how far its partitions are no worker begins before the rebuild is done. One
    that began before that was forgotten might ask a stock of which half is gone: what it had sent
    is waited for, and that it has ended is made sure of, before anything is taken out.

    Raises RefusedStart, with what to run then, where it can not go on to the end.
    """
    name = service.name
    async with bench(service, settings) as ours:
        await forget(ours)
    try:
        await asyncio.sleep(TRIP_TIMEOUT_S)
        async with bench(service, settings) as ours:
            await remove(ours, differences)
        await rebuild_all(service, settings, told)
    except OrderflowError as error:
        raise RefusedStart(
            f"{name} is to be rebuilt before it can work again: {error}",
            f"With all workers of {name} ended, run `orderflow rebuild {name}`, then reconcile",
        ) from error
    return await recount(service, settings, told)


async def forget(ours: Bench) -> None:
    """Forget how far a service's partitions are: whoever claims one finds an empty Redis."""
    pipeline = Pipeline(ours.redis)
    for partition in range(ours.partitions):
        PartitionStore(ours.redis, ours.service.name, partition).forget(pipeline)
    await pipeline.run()


async def remove(ours: Bench, differences: Sequence[Difference]) -> None:
    """Take what differs out of Redis."""
    pipeline = Pipeline(ours.redis)
    for difference in differences:
        for command in difference.removes:
            pipeline.queue(*command)
    await pipeline.run()
