"""How late deadlines are announced: with many pending and many due each second, and many at once.

Only the deadlines service runs. Its inputs are facts of a made-up publisher's journal that list
one deadline each, so it arms, finds and announces them as ever; most of those that stay pending are
copies in Redis of some that it armed (copies.py). Lateness is from a deadline's due
time to the timestamp of its announcement; P5: none may be before it.
"""

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar

from services.deadlines.store import ledger_key
from shared.clock import from_ms, to_ms
from shared.decode import partition_of
from shared.events.deadlines import DEADLINES_EVENTS, DeadlineReached
from shared.events.envelope import OpenDeadline, ServiceFact, encode
from shared.events.fulfillment import FULFILLMENT_EVENTS
from shared.kafka import checked_partitions, producer_of
from shared.log_reader import open_reader
from shared.redis import connect
from tests.bench.bed import Bed, until
from tests.bench.copies import copy
from tests.bench.figures import percentiles, spread
from tests.bench.load import HEADERS
from tests.bench.log import Since, Told
from tests.bench.sizes import PARTITIONS, Sizes

SERVICES = ("deadlines",)
FAR_MS = 30 * 86_400_000
MARGIN_S = 1.5
PROBE = 2_000
"""Armed first, twice, to learn how long arming takes; they stay pending."""
SAMPLES = 16
"""Of them, those that are copied."""


class Waits(ServiceFact):
    """A fact of which only its deadline counts."""

    TYPE: ClassVar[str] = "order.waits.v1"


def measure(of: Bed, sizes: Sizes, _: dict[str, Any]) -> dict[str, Any]:
    """Lateness in ms: due each second while others are pending, and all in one second."""
    return asyncio.run(_measure(of, sizes))


async def _measure(of: Bed, sizes: Sizes) -> dict[str, Any]:
    servers = of.settings.kafka_bootstrap_servers
    count = await checked_partitions(servers, [FULFILLMENT_EVENTS.name])
    assert count == PARTITIONS
    async with open_reader(servers, count) as reader:
        arming = _Arming(of)
        await arming.producer.start()
        try:
            far_ms = _now_ms() + FAR_MS
            await arming.arm([far_ms] * PROBE)  # the first are slower: they warm up
            each_s = await arming.arm([far_ms] * PROBE) / PROBE
            pending = await arming.armed()
            await copy(arming.redis, arming.subjects[:SAMPLES], 0, sizes.pending - pending)
            since = Since(reader, servers, [DEADLINES_EVENTS.name])
            steady, at_once = [], []
            for _ in range(sizes.few):
                many = sizes.due_per_s * sizes.due_s
                steady.append(await _late(arming, since, many, sizes.due_s, each_s))
                at_once.append(await _late(arming, since, sizes.at_once, 1, each_s))
        finally:
            await arming.close()
    return {
        "pending": sizes.pending,
        "armed_per_s": round(1 / each_s),
        "steady": {"due_per_s": sizes.due_per_s, "seconds": sizes.due_s, **_spreads(steady)},
        "same_second": {"due": sizes.at_once, **_spreads(at_once)},
    }


class _Arming:
    def __init__(self, of: Bed) -> None:
        servers = of.settings.kafka_bootstrap_servers
        self.producer = producer_of(servers)
        self.redis = connect(of.settings.redis_url)
        self.subjects: list[str] = []

    async def arm(self, dues_ms: Sequence[int]) -> float:
        """Tell of these deadlines, wait until they are in the ledgers; the seconds it took."""
        began_s, before = time.perf_counter(), await self.armed()
        time_ = from_ms(_now_ms())
        for due_ms in dues_ms:
            nth = len(self.subjects) + 1
            subject = f"252-{nth:07d}-0000001"
            self.subjects.append(subject)
            fact = Waits(deadlines=(OpenDeadline(kind="hold", due=from_ms(due_ms)),))
            value = encode(
                fact,
                id_=f"waits-{nth}",
                source="orderflow/fulfillment",
                subject=subject,
                time=time_,
                version=1,
            )
            partition = partition_of(subject, PARTITIONS)
            await self.producer.send(
                FULFILLMENT_EVENTS.name, value, subject.encode(), partition, headers=HEADERS
            )
        await self.producer.flush()
        await self.until_armed(before + len(dues_ms))
        return time.perf_counter() - began_s

    async def armed(self) -> int:
        """How many deadlines are in the ledgers."""
        return sum([await self.redis.zcard(ledger_key(p)) for p in range(PARTITIONS)])

    async def until_armed(self, count: int) -> None:
        """Wait until exactly so many are in the ledgers."""

        async def reached() -> bool:
            return await self.armed() == count

        await until(reached)

    async def close(self) -> None:
        await self.producer.stop()
        await self.redis.aclose()


async def _late(
    arming: _Arming, since: Since, count: int, over_s: int, each_s: float
) -> dict[str, float]:
    """Arm `count` deadlines that come due evenly over some seconds, once all are armed."""
    await since.begin()
    pending = await arming.armed()
    begin_ms = _now_ms() + round(1000 * (MARGIN_S + 2 * each_s * count))
    await arming.arm([begin_ms + over_s * 1000 * n // count for n in range(count)])
    if _now_ms() >= begin_ms:
        raise SystemExit("the machine is too busy: deadlines came due before all were armed")
    await arming.until_armed(pending)
    told: list[Told] = []

    async def all_told() -> bool:
        told[:] = await since.told()
        return len(told) >= count

    await until(all_told)
    assert {each.event["type"] for each in told} == {DeadlineReached.TYPE}
    assert len({each.id for each in told}) == count
    return percentiles([each.at_ms - _due_ms(each.event["data"]["due"]) for each in told])


def _spreads(runs: Sequence[dict[str, float]]) -> dict[str, Any]:
    late = {key: spread([run[key] for run in runs]) for key in ("p50", "p99", "p99.9", "max")}
    early = sum(run["min"] < 0 for run in runs)
    if early:
        raise SystemExit(f"P5: deadlines were announced early, by up to {runs} ms")
    return {"late_ms": late, "early": early, "earliest_ms": min(run["min"] for run in runs)}


def _now_ms() -> int:
    return round(time.time() * 1000)


def _due_ms(due: str) -> int:
    return to_ms(datetime.fromisoformat(due))
