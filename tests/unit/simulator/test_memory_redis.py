"""The Redis in memory does what a real one does (`tests/integration/test_redis_behaviour.py`)."""

import time

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from services.simulator.memory_redis import MemoryRedis, connect_to
from services.simulator.network import Beside
from services.simulator.scripts import TWINS
from tests.support.redis_behaviour import RedisBehaviour

pytestmark = pytest.mark.asyncio


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


class TestMemoryRedis(RedisBehaviour):
    @pytest.fixture
    def redis(self) -> Redis:
        return connect_to(MemoryRedis(wall_ms, TWINS), Beside())


async def test_what_it_does_not_know_is_an_error_and_not_nothing() -> None:
    redis = MemoryRedis(wall_ms, {})
    with pytest.raises(ResponseError, match="BLPOP"):
        redis.execute("BLPOP", "key", 1)
    with pytest.raises(ResponseError, match="no twin"):
        redis.execute("EVAL", "return 1", 0)


async def test_going_back_forgets_what_was_written_since() -> None:
    redis = MemoryRedis(wall_ms, TWINS)
    redis.execute("HSET", "h", "a", 1)
    redis.execute("RPUSH", "l", "x")
    kept = redis.copy()
    redis.execute("HSET", "h", "a", 2, "b", 3)
    redis.execute("DEL", "l")

    redis.go_back(kept)

    assert redis.execute("HGETALL", "h") == [b"a", b"1"]
    assert redis.execute("LRANGE", "l", 0, -1) == [b"x"]
