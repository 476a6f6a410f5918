"""The tallies of buyers and cards in memory: what payment's `tally.lua` does, done here too."""

from collections.abc import Sequence
from typing import Any

from services.simulator.memory_redis import MemoryRedis
from shared.service import Question


class MemoryTallies:
    """The tallies of all buyers and cards, for those that have no Redis; nothing is forgotten by
    time.
    """

    def __init__(self) -> None:
        self._redis = MemoryRedis(lambda: 0, {})

    def answer(self, question: Question) -> Any:
        """The answer to payment's question."""
        keys, args = (
            [str(part).encode() for part in parts] for parts in (question.keys, question.args)
        )
        return question.read(tally(self._redis, keys, args))


def tally(redis: MemoryRedis, keys: Sequence[bytes], args: Sequence[bytes]) -> bytes:
    """One run of the script."""
    who, asker, _ = keys
    operation, remember_ms = args[:2]
    if operation in (b"count", b"recount"):
        return _count(redis, keys, operation, remember_ms, args[2:])
    if operation == b"forget":
        return _forget(redis, keys, remember_ms)
    if redis.execute("SET", asker, operation, "NX", "PX", remember_ms) is not None:
        redis.execute(*(("SET", who, 1) if operation == b"block" else ("DEL", who)))
    return operation


def _count(
    redis: MemoryRedis,
    keys: Sequence[bytes],
    operation: bytes,
    remember_ms: bytes,
    args: Sequence[bytes],
) -> bytes:
    who, asker, orders = keys
    order, purchased, after, before, keep_ms, most_orders, currency, amount, most_spend = args
    first: bytes | None = redis.execute("HGET", asker, "answer")
    if first is not None:
        return first
    for member in redis.execute("ZRANGEBYSCORE", orders, "-inf", b"(" + before):
        redis.execute("ZREM", orders, member)
    window = redis.execute("ZRANGEBYSCORE", orders, b"(" + after, purchased)
    spent = sum(int(m.split()[2]) for m in window if m.split()[1] == currency) + int(amount)
    answer = b"counted"
    if operation == b"count" and redis.execute("EXISTS", who):
        answer = b"blocked"
    elif operation == b"count" and len(window) >= int(most_orders):
        answer = b"velocity_exceeded"
    elif operation == b"count" and most_spend and spent > int(most_spend):
        answer = b"spend_exceeded"
    redis.execute("HSET", asker, "answer", answer)
    redis.execute("PEXPIRE", asker, remember_ms)
    if answer == b"counted":
        member = b" ".join((order, currency, amount))
        redis.execute("HSET", asker, "counted", member)
        redis.execute("ZADD", orders, purchased, member)
        redis.execute("PEXPIRE", orders, keep_ms)
    return answer


def _forget(redis: MemoryRedis, keys: Sequence[bytes], remember_ms: bytes) -> bytes:
    _, asker, orders = keys
    if (member := redis.execute("HGET", asker, "counted")) is not None:
        redis.execute("ZREM", orders, member)
        redis.execute("HDEL", asker, "counted")
    redis.execute("HSET", asker, "answer", "forgotten")
    redis.execute("PEXPIRE", asker, remember_ms)
    return b"forgotten"
