"""`orderflow topics`: make the topics of the system, and check that they are as they have to be.

What is there stays as it is: a topic's partition count fixes where state lies, and its settings
may be somebody's choice. What is wrong is refused by name, with what to do about it.
"""

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated

import typer

from services.cli.addresses import DEFAULT_DATA_DIR, DataDir, settings_here
from shared.errors import RefusedStart
from shared.events.topics import TOPICS
from shared.kafka import (
    DEAD_LETTERS,
    Servers,
    broker_count,
    create_topics,
    found_settings,
    found_topics,
    servers_of,
    topic_settings,
)
from shared.settings import MAX_PARTITIONS

REPLICATION = 3
"""Copies of each partition where the cluster has as many brokers: one may fail, none is lost."""

MIN_INSYNC = {"min.insync.replicas": "2"}
"""What is acked is on two brokers then, or a failover could lose it."""

LEADERS_LIMIT_S = 30.0
"""For a new topic's partitions to get leaders: below 1 s on one broker."""

POLL_S = 0.1
"""Between two looks at new topics: leaders are there within some 100 ms."""


@dataclass(frozen=True)
class TopicReport:
    """A topic as it is after the command; `made` says that it was not there before.

    `settings` are those of it that we care for; the embedded broker has none.
    """

    name: str
    partitions: int
    made: bool
    settings: Mapping[str, str]


def topics(
    partitions: Annotated[
        int | None,
        typer.Option(min=1, max=MAX_PARTITIONS, help="Of every topic; by default PARTITIONS."),
    ] = None,
    replication: Annotated[
        int | None,
        typer.Option(min=1, help=f"Copies; by default {REPLICATION}, or a copy on every broker."),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Make nothing, only check.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Make the topics that are missing, and check all."""
    settings = settings_here(data_dir)
    servers, count = servers_of(settings), partitions or settings.partitions
    work = check_topics(servers, count) if check else make_topics(servers, count, replication)
    found = asyncio.run(work)
    if as_json:
        document = {"kafka": str(servers), "topics": [asdict(topic) for topic in found]}
        typer.echo(json.dumps(document, indent=2))
        return
    for topic in found:
        typer.echo(_line(topic))


async def make_topics(
    servers: Servers, partitions: int, replication: int | None = None
) -> tuple[TopicReport, ...]:
    """Make what is missing of the system's topics, wait for leaders, and check all.

    Raises RefusedStart, and then has made nothing where a topic that is there is in the way;
    TransientError while Kafka is away.
    """
    wanted = wanted_topics()
    there = await found_topics(servers, wanted)
    _check_counts({name: topic.partitions for name, topic in there.items()}, partitions)
    missing = {name: topic for name, topic in wanted.items() if name not in there}
    if missing:
        copies = replication or min(REPLICATION, await broker_count(servers))
        durable = MIN_INSYNC if copies >= REPLICATION else {}
        settings = {name: {**topic, **durable} for name, topic in missing.items()}
        failed = await create_topics(servers, settings, partitions, copies)
        await _wait_for_leaders(servers, wanted, failed)
    found = await check_topics(servers, partitions)
    return tuple(
        TopicReport(topic.name, topic.partitions, topic.name in missing, topic.settings)
        for topic in found
    )


async def check_topics(servers: Servers, partitions: int) -> tuple[TopicReport, ...]:
    """The system's topics as they are; RefusedStart where one is missing or not as it has to be."""
    wanted = wanted_topics()
    there = await found_topics(servers, wanted)
    if missing := sorted(wanted.keys() - there.keys()):
        raise RefusedStart(
            f"Kafka at {servers} has no topic {', '.join(missing)}",
            "Create the topics with `orderflow topics`",
        )
    _check_counts({name: topic.partitions for name, topic in there.items()}, partitions)
    found = await found_settings(servers, wanted)
    settings = {name: {setting: found[name][setting] for setting in wanted[name]} for name in found}
    _check_settings(wanted, settings)
    return tuple(
        TopicReport(name, there[name].partitions, False, settings.get(name, {})) for name in wanted
    )


def wanted_topics() -> dict[str, dict[str, str]]:
    """The settings of all topics by name, dead letters last."""
    return {topic.name: topic_settings(topic) for topic in TOPICS} | {
        DEAD_LETTERS: topic_settings(None)
    }


async def _wait_for_leaders(
    servers: Servers, wanted: Mapping[str, object], failed: Mapping[str, str]
) -> None:
    deadline_s = time.monotonic() + LEADERS_LIMIT_S
    while True:
        found = await found_topics(servers, wanted)
        led = {name for name, topic in found.items() if topic.led}
        if led == wanted.keys():
            return  # also those that somebody else made at the same time
        # Who failed is not waited for, unless the failure was that it is there.
        if refused := failed.keys() - found.keys():
            reasons = "; ".join(f"{name}: {failed[name]}" for name in sorted(refused))
            raise RefusedStart(f"Kafka did not make {reasons}", "Remove the cause that it names")
        if time.monotonic() > deadline_s:
            raise RefusedStart(
                f"No leader within {LEADERS_LIMIT_S:.0f} s for {sorted(wanted.keys() - led)}",
                "See what the brokers log, then run `orderflow topics` again",
            )
        await asyncio.sleep(POLL_S)


def _check_counts(counts: Mapping[str, int], partitions: int) -> None:
    """Partition p of every topic has to reach the same worker."""
    if set(counts.values()) <= {partitions}:
        return
    shown = ", ".join(f"{name} has {count}" for name, count in counts.items())
    if len(set(counts.values())) > 1:
        raise RefusedStart(
            f"All topics need the same number of partitions, but {shown}",
            "Delete those of the wrong count, if nothing of worth is in them, and run "
            "`orderflow topics` again; do not add partitions, which would part orders from "
            "their state",
        )
    count = next(iter(counts.values()))
    raise RefusedStart(
        f"The topics have {count} partitions, not {partitions}",
        f"Set PARTITIONS={count}, or start anew with no topics and an empty Redis "
        "(`orderflow up --wipe`)",
    )


def _check_settings(
    wanted: Mapping[str, Mapping[str, str]], found: Mapping[str, Mapping[str, str]]
) -> None:
    wrong = [
        f"{topic}: {name} is {settings[name]}, has to be {_at_least(value)}{value}"
        for topic, settings in found.items()
        for name, value in wanted[topic].items()
        if not _will_do(settings[name], value)
    ]
    if wrong:
        raise RefusedStart(
            "; ".join(wrong),
            "Change it with `kafka-configs.sh --alter --entity-type topics --entity-name TOPIC "
            "--add-config NAME=VALUE`",
        )


def _at_least(value: str) -> str:
    return "at least " if value.isdecimal() else ""


def _will_do(found: str, wanted: str) -> bool:
    """Numbers are lower limits (-1 is no limit), words have to be equal."""
    if wanted.isdecimal():
        return int(found) == -1 or int(found) >= int(wanted)
    return found == wanted


def _line(topic: TopicReport) -> str:
    settings = " ".join(f"{name}={value}" for name, value in topic.settings.items())
    state = "made " if topic.made else "there"
    return f"{state}  {topic.name:<20}{topic.partitions:>5} partitions  {settings}"
