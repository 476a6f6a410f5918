"""Tokens in Redis: who may write by HTTP, and how much each has written in this minute.

`ingest:tokens` is a hash: of each token, by its name, the digest of its secret and its rights.
`ingest:used:NAME` counts, and ends by itself. Every call raises TransientError while Redis is away.
"""

import hashlib
import hmac
import re
from typing import Any

from pydantic_core import from_json, to_json
from redis.asyncio import Redis

from services.ingest.state import Token
from shared.clock import fresh_token
from shared.redis import Pipeline

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")
NAME_FORM = "1 to 40 small letters, digits, dots, dashes and underscores, a letter or digit first"
MINUTE_S = 60

_TOKENS = "ingest:tokens"


class Tokens:
    """The tokens of a system."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def every(self) -> list[Token]:
        """All tokens, by name."""
        stored = await self._one("HGETALL", _TOKENS)
        return [_token(name.decode(), value) for name, value in sorted(stored.items())]

    async def create(self, token: Token) -> str | None:
        """Make a token; what to send as the bearer, None where there is one of that name.

        Only its digest is kept: it is shown once.
        """
        assert NAME.fullmatch(token.name), f"a name is {NAME_FORM}"
        secret = fresh_token()
        stored = to_json({**token._asdict(), "digest": _digest(secret)})
        made = await self._one("HSETNX", _TOKENS, token.name, stored)
        return f"{token.name}:{secret}" if made else None

    async def remove(self, name: str) -> bool:
        """Take a token away; whether there was one."""
        return bool(await self._one("HDEL", _TOKENS, name))

    async def find(self, bearer: str) -> Token | None:
        """The token of what was sent as the bearer; None where it is nobody's."""
        name, _, secret = bearer.partition(":")
        stored = await self._one("HGET", _TOKENS, name)
        if not stored or not hmac.compare_digest(from_json(stored)["digest"], _digest(secret)):
            return None
        return _token(name, stored)

    async def count(self, token: Token, events: int) -> int:
        """Count events of a token; 0, or in how many seconds it may go on where they are too many.

        Those that are too many count, too: who goes on trying has nothing of it.
        """
        key = f"ingest:used:{token.name}"
        pipeline = Pipeline(self._redis)
        pipeline.queue("INCRBY", key, events)
        pipeline.queue("TTL", key)
        used, left_s = await pipeline.run()
        if left_s < 0:  # the first of a minute, or whoever was it died here
            await self._one("EXPIRE", key, MINUTE_S)
            left_s = MINUTE_S
        return max(left_s, 1) if used > token.per_minute else 0

    async def ping(self) -> None:
        """Find out whether Redis answers."""
        await self._one("PING")

    async def _one(self, *command: str | int | bytes) -> Any:
        pipeline = Pipeline(self._redis)
        pipeline.queue(*command)
        return (await pipeline.run())[0]


def _token(name: str, stored: bytes) -> Token:
    kept = from_json(stored)
    return Token(name, tuple(kept["sources"]), tuple(kept["topics"]), kept["per_minute"])


def _digest(secret: str) -> str:
    """What is kept of a secret: 122 random bits need no slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()
