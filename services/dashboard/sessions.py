"""Who is signed in: sessions in the dashboard's Redis, found by the token in a browser's cookie."""

import hashlib
from typing import NamedTuple

from redis.asyncio import Redis

from services.dashboard.accounts import Accounts, Who
from shared.clock import fresh_token
from shared.errors import TransientError
from shared.redis import Pipeline

LASTS_S = 12 * 3600
"""A working day and a bit, from signing in."""
MAX_REMEMBERED = 1_000
"""Sessions that a process knows through an outage of Redis."""


class Session(NamedTuple):
    """One sign-in: whose, and the token that each of its forms carries."""

    who: Who
    csrf: str


class Sessions:
    """The sessions of a dashboard; all of its processes share them."""

    def __init__(self, redis: Redis, accounts: Accounts) -> None:
        self._redis = redis
        self._accounts = accounts
        self._remembered: dict[str, Session] = {}

    async def begin(self, who: Who) -> str:
        """The token of a new session."""
        token = fresh_token() + fresh_token()
        pipeline = Pipeline(self._redis)
        pipeline.queue("SET", _key(token), f"{who.name} {who.account}", "EX", LASTS_S)
        await pipeline.run()
        return token

    async def of(self, token: str) -> Session | None:
        """The session of a token; None once it is over, or its account is no more.

        While Redis is away, what this process has seen holds on, so that its pages can be read.
        """
        key = _key(token)
        try:
            pipeline = Pipeline(self._redis)
            pipeline.queue("GET", key)
            (stored,) = await pipeline.run()
            name, _, account = (stored or b"").decode().partition(" ")
            who = await self._accounts.who(name) if name else None
        except TransientError:
            if key in self._remembered:
                return self._remembered[key]
            raise
        self._remembered.pop(key, None)
        if who is None or who.account != account:
            return None
        while len(self._remembered) >= MAX_REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
        session = Session(who, hashlib.sha256(f"csrf {token}".encode()).hexdigest())
        self._remembered[key] = session
        return session

    async def begin_act(self, key: str) -> bool:
        """Whether nothing was begun under the key of a form yet: a double click is one act."""
        pipeline = Pipeline(self._redis)
        pipeline.queue("SET", _act(key), 1, "NX", "EX", LASTS_S)
        (stored,) = await pipeline.run()
        return stored is not None

    async def forget_act(self, key: str) -> None:
        """What was begun under a key failed: it may be tried again."""
        pipeline = Pipeline(self._redis)
        pipeline.queue("DEL", _act(key))
        await pipeline.run()

    async def end(self, token: str) -> None:
        """Sign out."""
        self._remembered.pop(_key(token), None)
        pipeline = Pipeline(self._redis)
        pipeline.queue("DEL", _key(token))
        await pipeline.run()


def _act(key: str) -> str:
    return f"dashboard:act:{key}"


def _key(token: str) -> str:
    return f"dashboard:session:{hashlib.sha256(token.encode()).hexdigest()}"
