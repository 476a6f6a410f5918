"""A hundred thousand holds that end in one minute, by the deadlines service's own tasks."""

import asyncio
from datetime import UTC, datetime
from statistics import median

import pytest
from pydantic_core import from_json

from services.deadlines.store import ledger_key
from services.simulator import system as simulated
from services.simulator.fate import Allowed, Fate
from services.simulator.system import System
from services.simulator.topics import STRUCTURED
from shared.clock import from_ms, to_ms
from shared.decode import partition_of
from shared.events.deadlines import DEADLINES_EVENTS
from shared.events.envelope import OpenDeadline, encode
from shared.events.fulfillment import FULFILLMENT_EVENTS, HOLD, ConditionMet

HOLDS = 100_000
PARTITIONS = 4
BEGIN = datetime(2026, 3, 29, 0, 29, 59, 7_000, tzinfo=UTC)
"""The holds end in the minute in which clocks go forward in Europe."""
MINUTE_MS = 60_000
LATEST_MS = 60_000
"""Of the last of them: 100 000 at 500 a time are 200 turns, here of a few ms each."""


def listed(order_id: str, due_ms: int) -> bytes:
    """What fulfillment says of an order whose hold is open."""
    fact = ConditionMet(
        condition="stock",
        met_at=BEGIN,
        deadlines=(OpenDeadline(kind=HOLD, due=from_ms(due_ms)),),
    )
    return encode(
        fact, id_=order_id, source="orderflow/fulfillment", subject=order_id, time=BEGIN, version=1
    )


@pytest.mark.timeout(600)
def test_p5_a_hundred_thousand_holds_of_one_minute_end_once_each_in_time_and_none_early(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(simulated, "BATCHES", (500,))
    monkeypatch.setattr(simulated, "COPIES", 0.0)
    system = System(Fate(1, Allowed(kinds=())), to_ms(BEGIN), PARTITIONS)
    ends_ms = to_ms(BEGIN) + 1_800_000
    due_ms = {f"order-{n}": ends_ms + n % 60 * 1000 for n in range(HOLDS)}
    for order_id, at_ms in due_ms.items():
        value, partition = listed(order_id, at_ms), partition_of(order_id, PARTITIONS)
        system.topics.append(
            FULFILLMENT_EVENTS.name, partition, order_id.encode(), value, STRUCTURED
        )

    async def live() -> None:
        system.groups[-1].start()
        await asyncio.sleep((ends_ms - to_ms(BEGIN) + MINUTE_MS + LATEST_MS) / 1000)

    with asyncio.Runner(loop_factory=lambda: system.loop) as runner:
        runner.run(live())

    reached = [
        (from_json(record.value or b"")["subject"], record.timestamp)
        for partition in range(PARTITIONS)
        for record in system.topics.read(DEADLINES_EVENTS.name, partition, 0)
    ]
    late_ms = [at_ms - due_ms[order_id] for order_id, at_ms in reached]
    assert len(reached) == len(dict(reached)) == HOLDS
    assert min(late_ms) >= 0
    assert max(late_ms) < LATEST_MS, (median(late_ms), max(late_ms))
    redis = system.groups[-1].redis
    assert sum(redis.execute("ZCARD", ledger_key(p)) for p in range(PARTITIONS)) == 0
    assert system.failed == []
