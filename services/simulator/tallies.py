"""The tallies of buyers and cards in memory: what payment's `tally.lua` does, done here too."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from services.simulator.memory_redis import MemoryRedis
from shared.service import Question


class _Counted(NamedTuple):
    """An order that counts: when it was bought, and for how much."""

    at_ms: int
    currency: str
    minor: int


class MemoryTallies:
    """The tallies of all buyers and cards, for those that have no Redis; no answer is forgotten by
    time. They go by the names of the script's keys.
    """

    def __init__(self) -> None:
        self._answered: dict[str, str] = {}
        self._blocked: set[str] = set()
        self._orders: defaultdict[str, dict[str, _Counted]] = defaultdict(dict)

    def answer(self, question: Question) -> str:
        """The answer to payment's question; KeyError for what only a restore asks."""
        who, asker, orders = question.keys
        operation, _, *args = question.args
        match operation:
            case "count":
                if asker not in self._answered:
                    self._answered[asker] = self._count(question.keys, *args)
                return self._answered[asker]
            case "forget":
                self._orders[orders].pop(asker, None)
                self._answered[asker] = "forgotten"
                return "forgotten"
            case "block" | "unblock":
                if asker not in self._answered:
                    self._answered[asker] = operation
                    (self._blocked.add if operation == "block" else self._blocked.discard)(who)
                return operation
        raise KeyError(operation)

    def _count(self, keys: Sequence[str], *args: Any) -> str:
        who, asker, orders = keys
        _, purchased_ms, after_ms, before_ms, _, most_orders, currency, minor, most_minor = args
        known = {of: one for of, one in self._orders[orders].items() if one.at_ms >= before_ms}
        self._orders[orders] = known
        window = [one for one in known.values() if after_ms < one.at_ms <= purchased_ms]
        spent_minor = minor + sum(one.minor for one in window if one.currency == currency)
        if who in self._blocked:
            return "blocked"
        if len(window) >= most_orders:
            return "velocity_exceeded"
        if most_minor != "" and spent_minor > most_minor:
            return "spend_exceeded"
        known[asker] = _Counted(purchased_ms, currency, minor)
        return "counted"


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
    entry = [b"answer", answer]
    if answer == b"counted":
        member = b" ".join((order, currency, amount))
        entry += [b"counted", member]
        redis.execute("ZADD", orders, purchased, member)
        redis.execute("PEXPIRE", orders, keep_ms)
    redis.execute("HSET", asker, *entry)
    redis.execute("PEXPIRE", asker, remember_ms)
    return answer


def _forget(redis: MemoryRedis, keys: Sequence[bytes], remember_ms: bytes) -> bytes:
    _, asker, orders = keys
    if (member := redis.execute("HGET", asker, "counted")) is not None:
        redis.execute("ZREM", orders, member)
        redis.execute("HDEL", asker, "counted")
    redis.execute("HSET", asker, "answer", "forgotten")
    redis.execute("PEXPIRE", asker, remember_ms)
    return b"forgotten"
