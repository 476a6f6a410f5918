"""Redis: one way to connect, to make a trip, to run a script, and to tell an outage from a bug.

A *trip* is one round trip to Redis: a script, or a pipeline of many commands. It has one time
limit, and nothing is sent twice behind the caller's back: redis-py's ten automatic retries are
off, since they send whole pipelines again. Whether to repeat is the caller's to
know. A script's keys share one slot, so all of this serves a Cluster's client too.

A server that was started anew may have gone back to what it had on disk. Whoever builds on what it
said before makes his trips `in_run`: a connection that was made anew, silently, to another run of
the server carries none of them.
"""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeAlias

import hiredis
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
    parse_url,
)
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    NoPermissionError,
    NoScriptError,
    RedisClusterException,
    RedisError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from shared.errors import OrderflowError, RefusedStart, TransientError

TRIP_TIMEOUT_S = 5.0
"""Longer than a slow fsync or the fork of a large Redis; shorter than a consumer's session
(6 s), so that a worker knows of its lost reply before the group moves its partitions."""

CONNECT_TIMEOUT_S = 2.0
"""Part of a trip; long enough to send a lost SYN again, once."""

MAX_CONNECTIONS = 64
"""Of one process to one Redis, so trips at the same instant; a further one waits its turn."""

SCAN_COUNT = 1_000
"""Keys or fields looked at per trip: about a millisecond of Redis' time."""

Argument: TypeAlias = bytes | str | int | float

# What Redis answers while it can not serve, for now. A script's error names its code first on
# Redis 7 ("OOM ..."), and inside of a sentence on 6.2 ("... @user_script: 1: -OOM ...").
_OUTAGE = re.compile(
    r"(?:^|: -)(?:ASK|BUSY|CLUSTERDOWN|LOADING|MASTERDOWN|MISCONF|MOVED|NOREPLICAS|OOM|READONLY"
    r"|TRYAGAIN|UNKILLABLE)\b"
)


_RUN: ContextVar[bytes] = ContextVar("run", default=b"")
"""The run of the server in which trips are made; empty where any will do."""
_RUN_ID = re.compile(rb"run_id:(\w+)")


@contextmanager
def in_run(run_id: bytes) -> Iterator[None]:
    """Make trips in this run of the server, or not at all: TransientError says that it is over.

    `run_id` is as INFO says it; empty, any run will do.
    """
    before = _RUN.set(run_id)
    try:
        yield
    finally:
        _RUN.reset(before)


def wanted_run() -> bytes:
    """The run of the server in which a trip is to be made, as `in_run` says."""
    return _RUN.get()


class _Packed(AbstractConnection):
    """Connections that know to which run of the server they were made, when that is asked for.

    And that let hiredis write commands, too: redis-py uses it only to read. 500 EVALSHA of 9
    arguments cost the client 7.1 ms as redis-py comes, 5.0 ms without its time-out per reply, 2.2
    ms with this as well (CPU of one core, ran).
    """

    _asked: object = None
    _run_id = b""

    async def connect_check_health(self, *args: Any, **options: Any) -> None:
        with in_run(b""):
            await super().connect_check_health(*args, **options)

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        if (wanted := _RUN.get()) and await self._run_now() != wanted:
            raise RedisConnectionError("it was started anew, or is another: it may have gone back")
        await super().send_packed_command(command, check_health)

    async def _run_now(self) -> bytes:
        """The run at the other end: a connection does not outlive its server."""
        if not self.is_connected:
            await self.connect_check_health()
        if self._asked is not self._writer:
            await super().send_packed_command(self.pack_command("INFO", "server"))
            found = _RUN_ID.search(await self.read_response(disable_decoding=True))
            self._asked, self._run_id = self._writer, found[1] if found else b""
        return self._run_id

    def pack_command(self, *args: Any) -> list[bytes]:
        name = str(args[0])
        words = name.split() if " " in name else args[:1]  # redis-py's own: "SCRIPT LOAD"
        return [hiredis.pack_command((*words, *args[1:]))]

    def pack_commands(self, commands: Iterable[Iterable[Any]]) -> list[bytes]:
        return [b"".join([self.pack_command(*command)[0] for command in commands])]


class _PackedConnection(_Packed, Connection): ...


class _PackedSSLConnection(_Packed, SSLConnection): ...


class _PackedUnixConnection(_Packed, UnixDomainSocketConnection): ...


_CONNECTIONS: dict[type[AbstractConnection], type[AbstractConnection]] = {
    SSLConnection: _PackedSSLConnection,
    UnixDomainSocketConnection: _PackedUnixConnection,
}


def connect(url: str) -> Redis:
    """Return a client for `url` (redis://, rediss://, unix://) that connects when first used.

    It answers bytes and neither retries nor times out by itself: make every trip through
    `Script`, `Pipeline` or `trip()`. Close it with `aclose()`.
    """
    options: dict[str, Any] = dict(parse_url(url))
    plain = options.pop("connection_class", Connection)
    options |= {
        "connection_class": _CONNECTIONS.get(plain, _PackedConnection),
        "max_connections": MAX_CONNECTIONS,
        "protocol": 2,  # nothing here needs RESP3, whose handshake costs each connection two trips
        "retry": Retry(NoBackoff(), 0),
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "socket_timeout": None,  # else one timer per reply; a trip has one in all
        "timeout": None,  # for a free connection: part of the trip's
    }
    return Redis.from_pool(BlockingConnectionPool(**options))


@asynccontextmanager
async def trip(timeout_s: float = TRIP_TIMEOUT_S) -> AsyncIterator[None]:
    """Limit what is awaited inside to `timeout_s` and raise our errors for Redis' ones.

    TransientError: Redis is away, starting, full, a replica (noeviction: OOM is an outage, not a
    loss); whether the trip took effect is then unknown. RefusedStart: it refuses our user, which
    only a new start with other settings can end. Redis' own ResponseError, for a bug, passes.
    """
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except TimeoutError as error:
        raise TransientError(f"Redis did not answer within {timeout_s:g} s") from error
    except (RedisError, RedisClusterException) as error:
        meaning = _meaning(error)
        if meaning is None:
            raise
        raise meaning from error


def _meaning(error: Exception) -> OrderflowError | None:
    """Return what the caller must do about `error`, or None if it is a bug."""
    code = getattr(error, "status_code", None)
    text = f"{code} {error}" if code else str(error)
    no_right = isinstance(error, AuthenticationError | AuthorizationError | NoPermissionError)
    if no_right or "ACL failure in script" in text:
        remedy = "Check the user, password and its ACL in the Redis URL, then start again"
        return RefusedStart(f"Redis refuses us: {text}", remedy)
    away = RedisConnectionError | RedisTimeoutError | RedisClusterException
    if isinstance(error, away) or _OUTAGE.search(text):
        return TransientError(f"Redis is not available: {text}")
    return None


class Script:
    """A Lua script in a file beside the module that owns it.

    `await script(redis, keys, args)` runs it alone, `script.queue(pipeline, keys, args)` as part
    of a trip. A Redis that does not know it (a new one, a flushed one) gets its text at once.
    """

    def __init__(self, path: Path) -> None:
        self.text = path.read_text(encoding="utf-8")
        # What Redis itself calls a script by, no protection against anybody.
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    async def __call__(
        self, redis: Redis, keys: Sequence[bytes | str], args: Sequence[Argument] = ()
    ) -> Any:
        """Run the script in a trip of its own and return its reply; raises as `trip` does."""
        async with trip():
            try:
                return await redis.evalsha(self.sha, len(keys), *keys, *args)
            except NoScriptError:
                return await redis.eval(self.text, len(keys), *keys, *args)

    def queue(
        self, pipeline: "Pipeline", keys: Sequence[bytes | str], args: Sequence[Argument] = ()
    ) -> None:
        """Add a run of this script to `pipeline`; its reply is at the place of this call."""
        # The first of a trip carries the text, so that the rest finds it known, in this order.
        # That costs Redis 10 µs per trip and saves a flushed one a second trip.
        first = self.sha not in pipeline.scripts
        pipeline.scripts[self.sha] = self
        name, body = ("EVAL", self.text) if first else ("EVALSHA", self.sha)
        pipeline.queue(name, body, len(keys), *keys, *args)


class Pipeline:
    """Commands and scripts that go to Redis together in one trip, without a transaction."""

    def __init__(self, redis: Redis) -> None:
        self.scripts: dict[str, Script] = {}
        self._redis = redis
        self._commands: list[tuple[Argument, ...]] = []

    def __len__(self) -> int:
        return len(self._commands)

    def queue(self, *command: Argument) -> None:
        """Add one command, e.g. `queue("GET", key)`."""
        self._commands.append(command)

    async def run(self) -> list[Any]:
        """Send all, and return the replies in the order of queueing.

        All have been tried when the first error is raised; raises as `trip` does.
        Nodes of a Cluster that did not get a script's text get it now, with what failed there.
        """
        async with trip():
            replies = await self._send(self._commands)
            unknown = [n for n, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
            again = await self._send([self._with_text(self._commands[n]) for n in unknown])
            for n, reply in zip(unknown, again, strict=True):
                replies[n] = reply
            for reply in replies:
                if isinstance(reply, Exception):
                    raise reply
        return replies

    def _with_text(self, command: tuple[Argument, ...]) -> tuple[Argument, ...]:
        return ("EVAL", self.scripts[str(command[1])].text, *command[2:])

    async def _send(self, commands: Iterable[tuple[Argument, ...]]) -> list[Any]:
        pipe = self._redis.pipeline(transaction=False)
        for command in commands:
            pipe.execute_command(*command)
        return await pipe.execute(raise_on_error=False)


async def scan(redis: Redis, pattern: str) -> AsyncIterator[list[bytes]]:
    """The keys of a pattern, some at a time, each maybe twice; raises as `trip` does."""
    found: Any = [None]
    while found[0] != 0:
        async with trip():
            found = await redis.scan(found[0] or 0, match=pattern, count=SCAN_COUNT)
        if found[1]:
            yield found[1]
