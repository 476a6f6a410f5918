"""Many subjects in Redis at once: copies of some that came the long way, under other ids.

What lies in Redis is what there is of an order that waits, whoever put it there; what it costs to
put it there is what the throughput bench measures. So a million of them take a minute, not an hour.
Kafka holds nothing of the copies: what needs their facts (`rebuild`, the books) can not see them.
"""

from collections.abc import Sequence
from pathlib import Path

from redis.asyncio import Redis

from services.deadlines.store import ledger_key
from tests.bench.sizes import PARTITIONS

AT_ONCE = 5_000
"""Copies of one script: Redis answers others within a second meanwhile."""

_SCRIPT = Path(__file__).with_suffix(".lua").read_text()


async def copy(redis: Redis, subjects: Sequence[str], first: int, count: int) -> None:
    """Copy each of some subjects as often, until there are `count` copies, numbered from `first`.

    A copy's id is `249-NNNNNNN-0000001`.
    """
    keys = await _keys(redis, subjects)
    share = -(-count // len(subjects))
    for nth, subject in enumerate(subjects):
        begin, end = first + nth * share, first + min((nth + 1) * share, count)
        for at in range(begin, end, AT_ONCE):
            args = [*keys[subject], subject, at, min(AT_ONCE, end - at)]
            await redis.eval(_SCRIPT, len(keys[subject]), *args)


async def _keys(redis: Redis, subjects: Sequence[str]) -> dict[str, list[bytes | str]]:
    """The keys of each subject, and the ledger of its partition: that of its document."""
    found: dict[str, list[bytes | str]] = {}
    for subject in subjects:
        own = [key async for key in redis.scan_iter(f"*{subject}*", count=10_000)]
        found[subject] = [*own, *(ledger_key(partition) for partition in range(PARTITIONS))]
    return found
