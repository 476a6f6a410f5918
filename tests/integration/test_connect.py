"""docs/connect.md: each example is run as it stands, on a topic of its own."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import uvicorn

from services.cli.kafka_server import ApacheKafka, KafkaServer
from services.cli.redis_server import RedisServer
from services.ingest.decisions import MAX_EVENTS, Intake
from services.ingest.site import Parts, site
from services.ingest.state import Token
from services.ingest.store import Tokens
from shared.clock import BusinessClock, Timeline
from shared.decode import Decoder, Reading, partition_of
from shared.events.envelope import Event, Topic
from shared.events.warehouse import STOCK, StockSet
from shared.http_server import HttpServer, listen
from shared.kafka import create_topics
from shared.kafka_sender import KafkaSender
from shared.log_reader import open_reader
from shared.redis import connect

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "connect.md").read_text(encoding="utf-8")
FLAGS = re.MULTILINE | re.DOTALL
EXAMPLES = dict(re.findall(r"^## (By [^\n]+)\n.*?^```\w+\n(.*?)^```", PAGE, FLAGS))
BY_HTTP = EXAMPLES.pop("By HTTP")
PARTITIONS = 23
"""So many that no example meets its partition by luck."""
RUN_LIMIT_S = 60


def command(title: str, code: str, directory: Path, kafka: KafkaServer) -> Sequence[str]:
    """How to run an example; skips it where its runtime is missing."""
    match title.split():
        case ["By", "Python" | "Python,", *_]:
            return (sys.executable, "-c", code)
        case ["By", "kcat"] if shutil.which("kcat"):
            return ("bash", "-euc", code)
        case ["By", "Java"] if isinstance(kafka, ApacheKafka):
            (directory / "CountStock.java").write_text(code)
            return (*kafka._java, str(directory / "CountStock.java"))
        case ["By", "Node"] if kafkajs_is_here():
            return ("node", "-e", code)
    pytest.skip(f"needs {title.removeprefix('By ')} and its client of Kafka")


def kafkajs_is_here() -> bool:
    asked = ("node", "-e", "require('kafkajs')")
    if shutil.which("node") is None:
        return False
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0


def test_the_page_has_an_example_for_each() -> None:
    titles = ["kcat", "Python", "Python, in binary mode", "Java", "Node"]  # HTTP is taken out

    assert list(EXAMPLES) == [f"By {title}" for title in titles]


@pytest.mark.parametrize("title", EXAMPLES)
def test_what_the_page_says_is_an_event_on_its_partition(
    kafka: KafkaServer, tmp_path: Path, title: str
) -> None:
    topic = Topic(name=f"stock-{uuid4()}", facts=STOCK.facts, owner="test")
    code, named = re.subn(r'(?<=")stock(?=")|(?<=-t )stock\b', topic.name, EXAMPLES[title])
    assert named == 1
    run = command(title, code, tmp_path, kafka)
    asyncio.run(create_topics(kafka.bootstrap_servers, {topic.name: {}}, PARTITIONS, 1))

    said = subprocess.run(
        run, capture_output=True, text=True, timeout=RUN_LIMIT_S, check=False,
        env={**os.environ, "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers},
    )  # fmt: skip

    assert said.returncode == 0, said.stderr
    (event,) = asyncio.run(events(kafka.bootstrap_servers, topic))
    assert isinstance(event, Event), event
    assert (event.type, event.subject) == (StockSet.TYPE, "SELLER-1/KETTLE-RED")


@pytest.mark.asyncio
async def test_what_the_page_says_by_http_is_an_event_on_its_partition(
    kafka: KafkaServer, redis_server: RedisServer
) -> None:
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    topic = Topic(name=f"stock-{uuid4()}", facts=STOCK.facts, owner="test")
    await create_topics(kafka.bootstrap_servers, {topic.name: {}}, PARTITIONS, 1)

    async with taking_events(kafka.bootstrap_servers, redis_server.redis_url, topic) as (
        url,
        bearer,
    ):
        curl = await asyncio.create_subprocess_exec(
            *("bash", "-euc", BY_HTTP),
            env={**os.environ, "INGEST_URL": url, "INGEST_TOKEN": bearer},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        answer, _ = await asyncio.wait_for(curl.communicate(), RUN_LIMIT_S)

    assert curl.returncode == 0, answer
    at = partition_of("SELLER-1/KETTLE-RED", PARTITIONS)
    told = {"id": "count-http", "topic": topic.name, "partition": at, "offset": 0}
    assert json.loads(answer) == told
    (event,) = await events(kafka.bootstrap_servers, topic)
    assert isinstance(event, Event), event
    assert (event.type, event.subject) == (StockSet.TYPE, "SELLER-1/KETTLE-RED")


@asynccontextmanager
async def taking_events(
    servers: str, redis_url: str, topic: Topic
) -> AsyncIterator[tuple[str, str]]:
    """What takes events by HTTP for one topic: its address, and a token for it."""
    redis, sender = connect(redis_url), KafkaSender(servers)
    clock, tokens = BusinessClock(redis), Tokens(redis)
    await clock.refresh()
    token = Token(f"w-{uuid4()}", ("my-warehouse",), (topic.name,), MAX_EVENTS)
    bearer = await tokens.create(token)
    assert bearer is not None
    intake = Intake([topic], PARTITIONS)
    parts = Parts(tokens=tokens, intake=intake, sender=sender, clock=clock)
    with listen("INGEST", "127.0.0.1", 0) as listening:
        config = uvicorn.Config(site(parts), lifespan="off", log_config=None)
        server = HttpServer(config)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}", bearer
        finally:
            server.end()
            await serving
            await sender.close()
            await redis.aclose()


async def events(servers: str, topic: Topic) -> list[Any]:
    """What its owner makes of the records of a topic."""
    decoder = Decoder("test", [Reading(topic, topic.facts)], PARTITIONS)
    async with open_reader(servers, PARTITIONS) as reader:
        ends = await reader.ends([topic.name])
        return [
            decoder.decode(record, Timeline())
            for partition in range(PARTITIONS)
            async for record in reader.records([topic.name], partition, ends)
        ]
