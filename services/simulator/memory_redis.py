"""A Redis in memory: the commands that our stores use, and their scripts as functions.

`connect_to` makes of it what stores take for a client, so the very stores work on it. It passes
what a real Redis passes (`tests/support/redis_behaviour.py`).
"""

import hashlib
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from operator import itemgetter
from typing import Any, TypeAlias, cast

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, ResponseError

from services.simulator.network import Way
from shared.redis import Argument, Script, wanted_run

Twin: TypeAlias = Callable[["MemoryRedis", Sequence[bytes], Sequence[bytes]], Any]
"""What a script does, as a function of the server, its keys and its arguments."""
Kept: TypeAlias = tuple[Mapping[bytes, Any], Mapping[bytes, int]]
"""All keys as they were once, and when they end."""


_SCORE = itemgetter(0)


class Scored:
    """A sorted set: its members in the order of their scores."""

    def __init__(self, scores: Mapping[bytes, float] | None = None) -> None:
        self._scores = dict(scores or {})
        self.ordered = sorted((score, member) for member, score in self._scores.items())

    def __len__(self) -> int:
        return len(self._scores)

    def copy(self) -> "Scored":
        return Scored(self._scores)

    def put(self, member: bytes, score: float) -> None:
        """Add a member, or move it."""
        self.remove(member)
        self._scores[member] = score
        insort(self.ordered, (score, member))

    def remove(self, member: bytes) -> bool:
        """Whether it was there."""
        score = self._scores.pop(member, None)
        if score is None:
            return False
        del self.ordered[bisect_left(self.ordered, (score, member))]
        return True


class MemoryRedis:
    """One Redis' keys. `now_ms` is its time; `twins` stand for its scripts.

    `run` counts how often it was started.
    """

    def __init__(self, now_ms: Callable[[], int], twins: Mapping[Script, Twin]) -> None:
        self.now_ms = now_ms
        self._twins = {script.sha.encode(): twin for script, twin in twins.items()}
        self.run = 1
        self._known: set[bytes] = set()
        self._values: dict[bytes, Any] = {}
        self._ends_ms: dict[bytes, int] = {}

    def execute(self, *command: Argument) -> Any:
        """Run one command, e.g. `execute("GET", key)`; the reply as a script of Redis sees it.

        Raises redis-py's ResponseError for what it does not know.
        """
        name, *args = map(_bytes, command)
        run = _COMMANDS.get(name)
        if run is None:
            raise ResponseError(f"unknown command {name!r}")
        return run(self, *args)

    def copy(self) -> Kept:
        """All that it holds now, for `go_back`."""
        return {key: _copied(value) for key, value in self._values.items()}, dict(self._ends_ms)

    def go_back(self, kept: Kept) -> None:
        """Hold what `copy` returned once, in a new run, as after a crash: all else is gone."""
        values, ends_ms = kept
        self.run += 1
        self._values = {key: _copied(value) for key, value in values.items()}
        self._ends_ms = dict(ends_ms)
        self._known.clear()

    # -- keys -------------------------------------------------------------------------------------

    def _at(self, key: bytes) -> Any:
        end_ms = self._ends_ms.get(key)
        if end_ms is not None and end_ms <= self.now_ms():
            self._delete(key)
        return self._values.get(key)

    def _new(self, key: bytes, kind: type) -> Any:
        value = self._at(key)
        if value is None:
            value = self._values[key] = kind()
        if not isinstance(value, kind):
            raise ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value")
        return value

    def _drop_empty(self, key: bytes) -> None:
        if not self._values.get(key, True):
            self._delete(key)

    def _delete(self, *keys: bytes) -> int:
        found = [key for key in keys if self._values.pop(key, None) is not None]
        for key in keys:
            self._ends_ms.pop(key, None)
        return len(found)

    def _del(self, *keys: bytes) -> int:
        return self._delete(*(key for key in keys if self._at(key) is not None))

    def _exists(self, *keys: bytes) -> int:
        return sum(self._at(key) is not None for key in keys)

    def _persist(self, key: bytes) -> int:
        return int(self._at(key) is not None and self._ends_ms.pop(key, None) is not None)

    def _pexpire(self, key: bytes, ms: bytes) -> int:
        if self._at(key) is None:
            return 0
        self._ends_ms[key] = self.now_ms() + int(ms)
        return 1

    def _pttl(self, key: bytes) -> int:
        if self._at(key) is None:
            return -2
        return self._ends_ms[key] - self.now_ms() if key in self._ends_ms else -1

    def _scan(self, _cursor: bytes, *options: bytes) -> list[Any]:
        """All keys at once: no cursor is ever left."""
        pattern = options[options.index(b"MATCH") + 1] if b"MATCH" in options else b"*"
        found = [key for key in list(self._values) if fnmatchcase(key.decode(), pattern.decode())]
        return [b"0", [key for key in found if self._at(key) is not None]]

    # -- strings ----------------------------------------------------------------------------------

    def _get(self, key: bytes) -> bytes | None:
        value = self._at(key)
        if value is not None and not isinstance(value, bytes):
            raise ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value")
        return value

    def _mget(self, *keys: bytes) -> list[bytes | None]:
        return [self._get(key) for key in keys]

    def _set(self, key: bytes, value: bytes, *options: bytes) -> str | None:
        there = self._at(key) is not None
        if (b"XX" in options and not there) or (b"NX" in options and there):
            return None
        self._values[key] = value
        self._ends_ms.pop(key, None)
        if b"PX" in options:
            self._pexpire(key, options[options.index(b"PX") + 1])
        if b"PXAT" in options:
            self._ends_ms[key] = int(options[options.index(b"PXAT") + 1])
        return "OK"

    # -- hashes -----------------------------------------------------------------------------------

    def _hset(self, key: bytes, *pairs: bytes) -> int:
        fields = self._new(key, dict)
        before = len(fields)
        fields.update(zip(pairs[::2], pairs[1::2], strict=True))
        return len(fields) - before

    def _hsetnx(self, key: bytes, name: bytes, value: bytes) -> int:
        fields = self._new(key, dict)
        if name in fields:
            return 0
        fields[name] = value
        return 1

    def _hget(self, key: bytes, name: bytes) -> bytes | None:
        found: bytes | None = (self._at(key) or {}).get(name)
        return found

    def _hmget(self, key: bytes, *names: bytes) -> list[bytes | None]:
        fields = self._at(key) or {}
        return [fields.get(name) for name in names]

    def _hgetall(self, key: bytes) -> list[bytes]:
        return [part for pair in (self._at(key) or {}).items() for part in pair]

    def _hvals(self, key: bytes) -> list[bytes]:
        return list((self._at(key) or {}).values())

    def _hdel(self, key: bytes, *names: bytes) -> int:
        fields = self._at(key) or {}
        found = [name for name in names if fields.pop(name, None) is not None]
        self._drop_empty(key)
        return len(found)

    def _hlen(self, key: bytes) -> int:
        return len(self._at(key) or ())

    def _hscan(self, key: bytes, _cursor: bytes, *_options: bytes) -> list[Any]:
        return [b"0", self._hgetall(key)]

    # -- lists ------------------------------------------------------------------------------------

    def _rpush(self, key: bytes, *values: bytes) -> int:
        entries: list[bytes] = self._new(key, list)
        entries += values
        return len(entries)

    def _lrange(self, key: bytes, start: bytes, stop: bytes) -> list[bytes]:
        return list((self._at(key) or [])[_window(start, stop)])

    def _llen(self, key: bytes) -> int:
        return len(self._at(key) or ())

    # -- sorted sets ------------------------------------------------------------------------------

    def _zadd(self, key: bytes, *pairs: bytes) -> int:
        scored = self._new(key, Scored)
        before = len(scored)
        for score, member in zip(pairs[::2], pairs[1::2], strict=True):
            scored.put(member, float(score))
        return len(scored) - before

    def _zrem(self, key: bytes, *members: bytes) -> int:
        scored = self._at(key) or Scored()
        found = [member for member in members if scored.remove(member)]
        self._drop_empty(key)
        return len(found)

    def _zcard(self, key: bytes) -> int:
        return len(self._at(key) or ())

    def _zcount(self, key: bytes, low: bytes, high: bytes) -> int:
        return len(self._between(key, low, high))

    def _zrange(self, key: bytes, start: bytes, stop: bytes, *options: bytes) -> list[bytes]:
        scored = self._at(key) or Scored()
        return _flat(scored.ordered[_window(start, stop)], options)

    def _zrangebyscore(self, key: bytes, low: bytes, high: bytes, *options: bytes) -> list[bytes]:
        found = self._between(key, low, high)
        if b"LIMIT" in options:
            at = options.index(b"LIMIT")
            first, count = int(options[at + 1]), int(options[at + 2])
            found = found[first : first + count]
        return _flat(found, options)

    def _between(self, key: bytes, low: bytes, high: bytes) -> Sequence[tuple[float, bytes]]:
        scored: Scored | None = self._at(key)
        if scored is None:
            return ()
        ordered = scored.ordered
        begin = bisect_right if low.startswith(b"(") else bisect_left
        end = bisect_left if high.startswith(b"(") else bisect_right
        first = begin(ordered, float(low.lstrip(b"(")), key=_SCORE)
        return ordered[first : end(ordered, float(high.lstrip(b"(")), key=_SCORE)]

    # -- the server -------------------------------------------------------------------------------

    def _time(self) -> list[bytes]:
        seconds, ms = divmod(self.now_ms(), 1000)
        return [b"%d" % seconds, b"%d" % (ms * 1000)]

    def _ping(self) -> str:
        return "PONG"

    def _evalsha(self, sha: bytes, count: bytes, *rest: bytes) -> Any:
        if sha not in self._known:
            raise NoScriptError("No matching script. Please use EVAL.")
        keys = int(count)
        return self._twins[sha](self, rest[:keys], rest[keys:])

    def _eval(self, text: bytes, count: bytes, *rest: bytes) -> Any:
        sha = hashlib.sha1(text, usedforsecurity=False).hexdigest().encode()
        if sha not in self._twins:
            raise ResponseError(f"no twin of the script that begins {text[:60]!r}")
        self._known.add(sha)
        return self._evalsha(sha, count, *rest)


_COMMANDS: Mapping[bytes, Callable[..., Any]] = {
    name.removeprefix("_").upper().encode(): getattr(MemoryRedis, name)
    for name in (
        "_del",
        "_exists",
        "_persist",
        "_pexpire",
        "_pttl",
        "_scan",
        "_get",
        "_mget",
        "_set",
        "_hset",
        "_hsetnx",
        "_hget",
        "_hmget",
        "_hgetall",
        "_hvals",
        "_hdel",
        "_hlen",
        "_hscan",
        "_rpush",
        "_lrange",
        "_llen",
        "_zadd",
        "_zrem",
        "_zcard",
        "_zcount",
        "_zrange",
        "_zrangebyscore",
        "_time",
        "_ping",
        "_evalsha",
        "_eval",
    )
}


class MemoryClient:
    """One process' client of a Redis in memory: what a trip sends is done at one instant."""

    def __init__(self, redis: MemoryRedis, way: Way) -> None:
        self._redis = redis
        self._way = way

    async def execute_command(self, *command: Argument) -> Any:
        (reply,) = await self.send([command])
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def evalsha(self, sha: str, count: int, *rest: Argument) -> Any:
        return await self.execute_command("EVALSHA", sha, count, *rest)

    async def eval(self, text: str, count: int, *rest: Argument) -> Any:
        return await self.execute_command("EVAL", text, count, *rest)

    async def get(self, key: str) -> Any:
        return await self.execute_command("GET", key)

    async def hgetall(self, key: str) -> Any:
        return await self.execute_command("HGETALL", key)

    async def scan(self, cursor: int, match: str, count: int) -> Any:
        return await self.execute_command("SCAN", cursor, "MATCH", match, "COUNT", count)

    async def hscan(self, key: str, cursor: int, count: int) -> Any:
        return await self.execute_command("HSCAN", key, cursor, "COUNT", count)

    async def ping(self) -> Any:
        return await self.execute_command("PING")

    async def aclose(self) -> None:
        """There is no connection to close."""

    def pipeline(self, *, transaction: bool) -> "MemoryPipeline":
        assert not transaction, "a trip is none"
        return MemoryPipeline(self)

    async def send(self, commands: Sequence[Sequence[Argument]]) -> list[Any]:
        """The replies to commands, errors among them; the server may get only the first of them.

        A server that was started since is reached by none that were meant for the run before.
        """
        run = wanted_run()

        def reply(got: int) -> list[Any] | None:
            if run and run != b"%x" % self._redis.run:
                return None
            return [self._reply(command) for command in commands[:got]]

        replies = await self._way.ask(reply, len(commands))
        if replies is None:
            raise RedisConnectionError("it was started anew")
        return replies

    def _reply(self, command: Sequence[Argument]) -> Any:
        try:
            reply = self._redis.execute(*command)
        except ResponseError as error:
            return error
        parse = _PARSED.get(str(command[0]))
        return parse(reply) if parse else reply


class MemoryPipeline:
    """Commands that go together."""

    def __init__(self, client: MemoryClient) -> None:
        self._client = client
        self._commands: list[tuple[Argument, ...]] = []

    def execute_command(self, *command: Argument) -> None:
        self._commands.append(command)

    async def execute(self, *, raise_on_error: bool) -> list[Any]:
        assert not raise_on_error, "the caller looks at each reply"
        return await self._client.send(self._commands)


def connect_to(redis: MemoryRedis, way: Way) -> Redis:
    """What stores take for a client of `redis`."""
    return cast("Redis", MemoryClient(redis, way))


def _bytes(part: Argument) -> bytes:
    if isinstance(part, bytes):
        return part
    return part.encode() if isinstance(part, str) else repr(part).encode()


def _copied(value: Any) -> Any:
    return value if isinstance(value, bytes) else value.copy()


def _window(start: bytes, stop: bytes) -> slice:
    """Redis' first and last index, both inside, as a slice."""
    last = int(stop)
    return slice(int(start), None if last == -1 else last + 1)


def _flat(found: Iterable[tuple[float, bytes]], options: Sequence[bytes]) -> list[bytes]:
    if b"WITHSCORES" not in options:
        return [member for _, member in found]
    return [part for score, member in found for part in (member, b"%.17g" % score)]


def _pairs(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


_PARSED: Mapping[str, Callable[[Any], Any]] = {
    "HGETALL": _pairs,
    "SCAN": lambda reply: (int(reply[0]), reply[1]),
    "HSCAN": lambda reply: (int(reply[0]), _pairs(reply[1])),
}
"""What redis-py makes of replies, where it makes something of them."""
