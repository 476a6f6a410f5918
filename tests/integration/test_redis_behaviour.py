"""The real Redis does what our stores need, and the one in memory does the same."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from services.cli.redis_server import RedisServer
from shared.redis import connect
from tests.support.redis_behaviour import RedisBehaviour

pytestmark = pytest.mark.asyncio


class TestRedis(RedisBehaviour):
    @pytest_asyncio.fixture
    async def redis(self, redis_server: RedisServer) -> AsyncIterator[Redis]:
        client = connect(redis_server.redis_url)
        yield client
        await client.aclose()
