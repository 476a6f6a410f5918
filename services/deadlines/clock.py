"""The sweep: finds what is due in the ledgers and hands it to the partition tasks (P5).

One read of the business clock and one trip for all partitions at a time; then it sleeps until the
next deadline is due, but not longer than the time in which an earlier one may be armed.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from contextlib import suppress

import structlog

from services.deadlines.decisions import Due
from services.deadlines.store import Entry, Head, read_heads, rearm
from shared.clock import Timeline, to_ms
from shared.errors import TransientError
from shared.events.envelope import Event, derived_id
from shared.metrics import note_lateness
from shared.partition import MAX_DUE
from shared.worker import Worker

SWEEP_MIN_S = 0.002
"""Deadlines that come one by one are found in one trip: p50 2.8 ms late."""
SWEEP_MAX_S = 0.05
"""How long a newly armed deadline may wait that is due before the one slept for."""
LATENESS_KEPT = 10_000
"""Deadlines whose lateness health shows: the last minutes, whatever the load."""


_log = structlog.get_logger()


async def sweep(worker: Worker) -> None:
    """Hand what is due to the open tasks, for ever; an outage is waited out.

    What came due during an outage comes 500 at a time, oldest first, between new records.
    """
    late: deque[int] = deque(maxlen=LATENESS_KEPT)
    while True:
        sleep_s = SWEEP_MAX_S
        with suppress(TransientError):
            now_ms = await worker.clock.read()
            ready = [p for p, task in list(worker.tasks.items()) if task.wants_due]
            heads = await read_heads(worker.redis, ready, now_ms, MAX_DUE)
            for partition, head in heads.items():
                if task := worker.tasks.get(partition):
                    task.offer_due([due_event(entry) for entry in head.due])
                if lateness_ms := _lateness_ms(worker, head.due):
                    late.extend(lateness_ms)
                    note_lateness(max(lateness_ms))
            sleep_s = _sleep_s(worker.clock.timeline, worker.clock.wall_ms(), heads.values())
            worker.health.lateness_ms = _summary(late)
        await asyncio.sleep(sleep_s)


async def keep_ttl_keys(worker: Worker) -> None:
    """Set the TTL keys anew whenever the clock changes gear, for ever."""
    while True:
        changed, before = worker.clock.changed, worker.clock.timeline
        await changed.wait()
        timeline = worker.clock.timeline
        if not any(step.rate for step in timeline.since(before.steps[-1])):
            continue  # it stood still and does: no key expires
        try:
            for partition in list(worker.tasks):
                await rearm(worker.redis, partition, timeline)
        except TransientError as error:  # they announce nothing: the sweep is by the ledger
            _log.warning("TTL keys go by the gear before", error=str(error))


def due_event(entry: Entry) -> Event[Due]:
    """The event of a due entry; its id is derived, so that it is announced under one for ever."""
    cause = f"{entry.publisher} {entry.kind} {to_ms(entry.due)}"
    return Event[Due](
        id=derived_id(cause, "deadlines", Due.TYPE, entry.subject, 0),
        source="orderflow/deadlines",
        type=Due.TYPE,
        subject=entry.subject,
        time=entry.due,
        data=Due(publisher=entry.publisher, kind=entry.kind, due=entry.due),
    )


def _lateness_ms(worker: Worker, due: Iterable[Entry]) -> list[int]:
    wall_ms, timeline = worker.clock.wall_ms(), worker.clock.timeline
    return [wall_ms - (timeline.wall_ms(to_ms(entry.due)) or wall_ms) for entry in due]


def _sleep_s(timeline: Timeline, wall_ms: int, heads: Iterable[Head]) -> float:
    nexts = [timeline.wall_ms(head.next_ms) for head in heads if head.next_ms is not None]
    waits = [(at - wall_ms) / 1000 for at in nexts if at is not None]
    return min(max(min(waits, default=SWEEP_MAX_S), SWEEP_MIN_S), SWEEP_MAX_S)


def _summary(late: deque[int]) -> dict[str, float]:
    if not late:
        return {}
    ordered = sorted(late)
    return {
        "p50": ordered[len(ordered) // 2],
        "p99": ordered[len(ordered) * 99 // 100],
        "max": ordered[-1],
    }
