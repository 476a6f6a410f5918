"""Trips to a real Redis: scripts it does not know, outages, and what is sent only once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from services.cli.redis_server import LocalRedis, RedisServer
from shared.errors import RefusedStart, TransientError
from shared.redis import MAX_CONNECTIONS, Pipeline, Script, connect, trip

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def redis(redis_server: RedisServer) -> AsyncIterator[Redis]:
    client = connect(redis_server.redis_url)
    yield client
    await client.aclose()


@pytest.fixture
def key() -> str:
    return f"test:{uuid4()}"


@pytest.fixture
def add(tmp_path: Path) -> Script:
    """`add(redis, [key], [n])` adds n to the list at key and answers its new length."""
    return script(tmp_path, "return redis.call('RPUSH', KEYS[1], ARGV[1])")


def script(directory: Path, text: str) -> Script:
    path = directory / f"{uuid4()}.lua"  # the text too is new to every Redis
    path.write_text(f"-- {path.name}\n{text}\n")
    return Script(path)


async def test_a_script_that_redis_does_not_know_runs_and_is_known_then(
    redis: Redis, add: Script, key: str
) -> None:
    assert await add(redis, [key], ["first"]) == 1
    assert await redis.script_exists(add.sha) == [True]
    assert await add(redis, [key], ["second"]) == 2
    assert await redis.lrange(key, 0, -1) == [b"first", b"second"]


async def test_a_pipeline_answers_in_order_and_knows_its_scripts(
    redis: Redis, add: Script, key: str
) -> None:
    pipeline = Pipeline(redis)
    for value in ("a", b"\x00\xff", 3, 4.5):
        add.queue(pipeline, [key], [value])
    pipeline.queue("LRANGE", key, 0, -1)
    pipeline.queue("HSET", f"{key}:h", "field", 1)
    pipeline.queue("HGETALL", f"{key}:h")

    assert len(pipeline) == 7
    assert await pipeline.run() == [
        *(1, 2, 3, 4),
        [b"a", b"\x00\xff", b"3", b"4.5"],
        1,
        {b"field": b"1"},
    ]


async def test_an_empty_pipeline_makes_no_trip() -> None:
    nobody = connect("redis://127.0.0.1:1")

    assert await Pipeline(nobody).run() == []


async def test_only_what_failed_for_want_of_a_script_is_sent_again(
    redis: Redis, add: Script, key: str
) -> None:
    pipeline = Pipeline(redis)
    add.queue(pipeline, [key], ["before"])
    pipeline.queue("SCRIPT FLUSH")
    add.queue(pipeline, [key], ["after"])
    pipeline.queue("RPUSH", key, "between")
    add.queue(pipeline, [key], ["last"])

    assert await pipeline.run() == [1, True, 3, 2, 4]
    assert await redis.lrange(key, 0, -1) == [b"before", b"between", b"after", b"last"]


async def test_a_fault_in_a_script_is_no_outage_and_stops_nothing_else(
    redis: Redis, add: Script, key: str, tmp_path: Path
) -> None:
    fault = script(tmp_path, "return nil + 1")
    pipeline = Pipeline(redis)
    fault.queue(pipeline, [key])
    add.queue(pipeline, [key], ["done"])

    with pytest.raises(ResponseError, match="arithmetic on a nil value"):
        await pipeline.run()

    assert await redis.lrange(key, 0, -1) == [b"done"]


async def test_a_trip_has_one_time_limit_and_the_next_gets_its_own_answer(
    redis: Redis, key: str
) -> None:
    with pytest.raises(TransientError, match=r"did not answer within 0\.05 s"):
        async with trip(timeout_s=0.05):
            await redis.blpop([key], timeout=60)

    async with trip():
        assert await redis.echo("mine") == b"mine"


async def test_more_trips_at_once_than_connections_wait_their_turn(
    redis: Redis, add: Script, key: str
) -> None:
    trips = 3 * MAX_CONNECTIONS

    lengths = await asyncio.gather(*(add(redis, [key], [n]) for n in range(trips)))

    assert sorted(lengths) == list(range(1, trips + 1))
    assert len(await redis.client_list()) <= MAX_CONNECTIONS + 5


async def test_nothing_is_sent_twice_when_the_reply_is_lost(add: Script) -> None:
    received: list[bytes] = []

    async def take_and_hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                received.append(data)
                if b"EVALSHA" in data:
                    break
                writer.write(b"+OK\r\n" * data.count(b"CLIENT"))
        writer.close()

    server = await asyncio.start_server(take_and_hang_up, "127.0.0.1", 0)
    client = connect(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    async with server:
        with pytest.raises(TransientError, match="not available"):
            await add(client, ["key"], [1])
        await client.aclose()

    assert b"".join(received).count(b"EVALSHA") == 1


async def test_a_redis_that_is_gone_is_an_outage_until_it_is_back(
    redis_of_its_own: LocalRedis, add: Script, key: str
) -> None:
    client = connect(redis_of_its_own.redis_url)
    assert await add(client, [key], [1]) == 1

    redis_of_its_own.kill()
    with pytest.raises(TransientError):
        await add(client, [key], [2])
    with pytest.raises(TransientError, match="not available: Error 111 connecting"):
        await add(client, [key], [2])

    redis_of_its_own.start()
    assert await add(client, [key], [3]) == 2
    await client.aclose()


async def test_a_full_redis_or_a_replica_is_an_outage_for_scripts_too(
    redis_of_its_own: LocalRedis, add: Script, key: str
) -> None:
    client = connect(redis_of_its_own.redis_url)
    pipeline = Pipeline(client)
    add.queue(pipeline, [key], [1])

    await client.config_set("maxmemory", 1)
    with pytest.raises(TransientError, match="OOM"):
        await add(client, [key], [1])
    with pytest.raises(TransientError, match="OOM"):
        await pipeline.run()
    await client.config_set("maxmemory", 0)

    await client.config_set("min-replicas-to-write", 1)
    with pytest.raises(TransientError, match="NOREPLICAS"):
        await add(client, [key], [1])
    await client.config_set("min-replicas-to-write", 0)

    await client.execute_command("REPLICAOF", "127.0.0.1", 1)  # type: ignore[no-untyped-call]
    with pytest.raises(TransientError, match="READONLY"):
        await add(client, [key], [1])
    await client.aclose()


async def test_a_wrong_password_refuses_the_start_and_is_not_shown(
    redis_of_its_own: LocalRedis, add: Script
) -> None:
    admin = connect(redis_of_its_own.redis_url)
    await admin.config_set("requirepass", "right")

    for user in ("", ":hunter2@"):
        stranger = connect(redis_of_its_own.redis_url.replace("//", f"//{user}"))
        with pytest.raises(RefusedStart, match="refuses us") as refused:
            await add(stranger, ["key"], [1])
        assert "hunter2" not in str(refused.value)
        await stranger.aclose()

    friend = connect(redis_of_its_own.redis_url.replace("//", "//:right@"))
    assert await add(friend, ["key"], [1]) == 1
    await friend.aclose()
    await admin.aclose()
