"""The business clock on a real Redis: one record that everybody reads, steps written ahead."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from time import monotonic
from typing import Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis
from structlog.testing import capture_logs

from services.cli.redis_server import LocalRedis
from shared.clock import (
    END_MS,
    GEARED_LEAD_S,
    LEAD_S,
    MAX_RATE,
    MAX_STEPS,
    BusinessClock,
    Step,
    Timeline,
    from_ms,
    to_ms,
)
from shared.errors import RefusedStart, TransientError
from shared.redis import connect

pytestmark = pytest.mark.asyncio

RECORD = "clock:steps"
DAY_MS = 86_400_000
LEAD_MS, GEARED_LEAD_MS = round(LEAD_S * 1000), round(GEARED_LEAD_S * 1000)


@pytest_asyncio.fixture
async def redis(redis_of_its_own: LocalRedis) -> AsyncIterator[Redis]:
    """A Redis of the clock's own: there is one record, under one name."""
    client = connect(redis_of_its_own.redis_url)
    yield client
    await client.aclose()


@pytest.fixture
def clock(redis: Redis) -> BusinessClock:
    return BusinessClock(redis)


async def redis_wall_ms(redis: Redis) -> int:
    seconds, micros = await redis.time()
    return seconds * 1000 + micros // 1000


async def write(redis: Redis, *steps: Step) -> None:
    """Put steps into the record behind the script's back: those that are long past."""
    pipe = redis.pipeline(transaction=False)
    for step in steps:
        fields: dict[Any, Any] = {"business_ms": step.business_ms, "rate": step.rate}
        pipe.xadd(RECORD, fields, id=f"{step.wall_ms}-0")
    await pipe.execute()


@asynccontextmanager
async def running(clock: BusinessClock) -> AsyncIterator[None]:
    task = asyncio.create_task(clock.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_without_a_record_business_time_is_the_wall_time_of_redis(
    clock: BusinessClock, redis: Redis
) -> None:
    before_ms = await redis_wall_ms(redis)
    business_ms = await clock.read()
    after_ms = await redis_wall_ms(redis)

    assert before_ms <= business_ms <= after_ms
    assert clock.timeline == Timeline()
    assert clock.describe() == "business time is wall time"
    assert not await redis.exists(RECORD)


async def test_it_can_not_be_asked_before_it_was_read(clock: BusinessClock) -> None:
    with pytest.raises(RuntimeError, match="refresh"):
        clock.now()


async def test_estimated_time_follows_redis_rather_late_than_early(
    clock: BusinessClock, redis: Redis
) -> None:
    sent_s = monotonic()
    await clock.refresh()
    trip_ms = (monotonic() - sent_s) * 1000
    for _ in range(50):
        before_ms = await redis_wall_ms(redis)
        estimate_ms = clock.wall_ms()
        after_ms = await redis_wall_ms(redis)

        assert before_ms - trip_ms - 1 <= estimate_ms <= after_ms
        await clock.refresh()
    assert from_ms(clock.now_ms()) <= clock.now()


async def test_a_step_that_leaves_wall_time_begins_2_s_ahead_and_from_there(
    clock: BusinessClock, redis: Redis
) -> None:
    before_ms = await redis_wall_ms(redis)
    step = await clock.shift(180)
    after_ms = await redis_wall_ms(redis)
    await clock.refresh()

    assert before_ms + LEAD_MS <= step.wall_ms <= after_ms + LEAD_MS
    assert step == Step(step.wall_ms, step.wall_ms, 180)
    assert clock.timeline.steps[-1] == step
    assert clock.timeline.business_ms(before_ms - DAY_MS) == before_ms - DAY_MS
    assert clock.timeline.business_ms(step.wall_ms - 1) == step.wall_ms - 1
    assert clock.timeline.business_ms(step.wall_ms + 20_000) == step.wall_ms + 3_600_000
    assert clock.timeline.geared


async def test_in_gear_a_step_begins_after_the_last_one_and_a_few_refreshes_ahead(
    clock: BusinessClock, redis: Redis
) -> None:
    first = await clock.shift(180)
    second = await clock.shift(86_400)
    assert second == Step(first.wall_ms + 1, first.business_ms + 180, 86_400)

    await redis.delete(RECORD)
    await write(redis, Step(1, 1, 0))
    before_ms = await redis_wall_ms(redis)
    third = await clock.shift(1, jump_to_ms=5 * DAY_MS)
    after_ms = await redis_wall_ms(redis)
    assert before_ms + GEARED_LEAD_MS <= third.wall_ms <= after_ms + GEARED_LEAD_MS
    assert (third.business_ms, third.rate) == (5 * DAY_MS, 1)

    fourth = await clock.stop()
    assert fourth.wall_ms >= after_ms + LEAD_MS, "rate 1 is not in gear, wherever it got to"
    assert fourth == Step(fourth.wall_ms, 5 * DAY_MS + fourth.wall_ms - third.wall_ms, 0)


async def test_a_run_ends_by_itself_and_goes_on_from_its_end_when_told_in_time(
    clock: BusinessClock, redis: Redis
) -> None:
    await write(redis, Step(1, 1, 0))
    before_ms = await redis_wall_ms(redis)
    ends = await clock.run_until(86_400, 1 + 86_400_000)
    goes_on = await clock.run_until(86_400, 1 + 2 * 86_400_000)
    await clock.refresh()

    (_, run, end, more, last) = clock.timeline.steps
    assert (end, last) == (ends, goes_on)
    assert run.wall_ms >= before_ms + GEARED_LEAD_MS
    assert end == Step(run.wall_ms + 1_000, 1 + DAY_MS, 0)
    assert more == Step(end.wall_ms + 1, end.business_ms, 86_400)
    assert last == Step(more.wall_ms + 1_000, 1 + 2 * DAY_MS, 0)
    assert clock.timeline.business_ms(last.wall_ms + DAY_MS) == 1 + 2 * DAY_MS


async def test_a_run_to_what_is_over_ends_at_once(clock: BusinessClock, redis: Redis) -> None:
    await write(redis, Step(1, DAY_MS, 0))

    ends = await clock.run_until(180, DAY_MS - 5)

    assert (ends.business_ms, ends.rate) == (DAY_MS + 180, 0)


@pytest.mark.parametrize(
    ("rate", "until_ms"), [(0, 5), (MAX_RATE + 1, 5), (1, -1), (1, END_MS + 1)]
)
async def test_a_run_out_of_range_is_refused(
    clock: BusinessClock, redis: Redis, rate: int, until_ms: int
) -> None:
    with pytest.raises(ValueError, match="no run"):
        await clock.run_until(rate, until_ms)

    assert not await redis.exists(RECORD)


async def test_a_jump_goes_forward_only(clock: BusinessClock) -> None:
    start = await clock.stop()

    onward = await clock.shift(0, jump_to_ms=start.business_ms + 1)
    back = await clock.shift(0, jump_to_ms=start.business_ms)
    again = await clock.shift(0, jump_to_ms=onward.business_ms)

    assert onward.business_ms == start.business_ms + 1
    assert back.business_ms == again.business_ms == onward.business_ms


async def test_any_row_of_shifts_makes_a_record_that_never_goes_back(clock: BusinessClock) -> None:
    target_ms = to_ms(datetime(2030, 1, 1, tzinfo=UTC))
    for n in range(100):
        rate = (0, 1, 180, 86_400, MAX_RATE)[n % 5]
        await clock.shift(rate, jump_to_ms=target_ms + n * DAY_MS if n % 3 else None)

    await clock.refresh()  # refuses a record that goes back

    assert len(clock.timeline.steps) == 1 + 100
    assert clock.timeline.steps[-1].business_ms > target_ms + 90 * DAY_MS


async def test_a_runaway_clock_can_still_be_shifted(clock: BusinessClock, redis: Redis) -> None:
    await write(redis, Step(1, 1, MAX_RATE))

    assert await clock.read() == END_MS
    assert (await clock.stop()).business_ms == END_MS


@pytest.mark.parametrize(
    ("rate", "jump_to_ms"), [(-1, None), (MAX_RATE + 1, None), (1, END_MS + 1), (1, -1)]
)
async def test_a_shift_out_of_range_is_refused(
    clock: BusinessClock, redis: Redis, rate: int, jump_to_ms: int | None
) -> None:
    with pytest.raises(ValueError, match="no step"):
        await clock.shift(rate, jump_to_ms=jump_to_ms)

    assert not await redis.exists(RECORD)


async def test_a_fresh_reading_is_never_ahead_of_the_true_business_time(
    clock: BusinessClock, redis: Redis
) -> None:
    now_ms = await redis_wall_ms(redis)
    await write(redis, Step(now_ms - 1000, now_ms - 1000, MAX_RATE))
    other = BusinessClock(redis)
    await other.refresh()

    for _ in range(200):
        business_ms = await clock.read()
        true_ms = other.timeline.business_ms(await redis_wall_ms(redis))
        assert business_ms <= true_ms


async def test_a_fresh_reading_goes_by_the_newest_step(clock: BusinessClock, redis: Redis) -> None:
    await clock.refresh()
    await write(redis, Step(1_000, 7 * DAY_MS, 0))

    assert await clock.read() == 7 * DAY_MS


async def test_all_processes_know_the_same_steps_and_until_when(
    clock: BusinessClock, redis: Redis
) -> None:
    other = BusinessClock(redis)
    await other.refresh()
    known_until_ms = other.certain_until_ms

    step = await clock.shift(86_400)
    await clock.refresh()

    assert step.wall_ms >= known_until_ms
    await other.refresh()
    assert other.timeline == clock.timeline
    assert other.certain_until_ms <= await redis_wall_ms(redis) + GEARED_LEAD_MS


async def test_only_new_steps_are_read_however_long_the_record(
    clock: BusinessClock, redis: Redis
) -> None:
    await write(redis, *(Step(n, n, 1) for n in range(1, 5_000)))
    await clock.refresh()
    assert len(clock.timeline.steps) == 4_999

    await write(redis, Step(5_000, 5_000, 0))
    before = (await redis.info("stats"))["total_net_output_bytes"]
    await clock.refresh()
    sent = (await redis.info("stats"))["total_net_output_bytes"] - before

    assert clock.timeline.steps[-1] == Step(5_000, 5_000, 0)
    assert len(clock.timeline.steps) == 5_000
    assert sent < 20_000, "the answer to INFO, and two steps"


async def test_the_record_keeps_a_limited_number_of_steps(
    clock: BusinessClock, redis: Redis
) -> None:
    await write(redis, *(Step(n, n, 1) for n in range(1, MAX_STEPS + 1)))
    await clock.refresh()

    step = await clock.shift(0)

    assert await redis.xlen(RECORD) == MAX_STEPS
    await clock.refresh()
    other = BusinessClock(redis)
    await other.refresh()
    assert clock.timeline == other.timeline
    assert (clock.timeline.steps[0], clock.timeline.steps[-1]) == (Step(2, 2, 1), step)


@pytest.mark.parametrize("steps", [(), (Step(7, 70, 0),), (Step(5, 6, 3), Step(8, 100, 1))])
async def test_a_record_that_was_wiped_or_replaced_is_read_anew(
    clock: BusinessClock, redis: Redis, steps: tuple[Step, ...]
) -> None:
    await write(redis, Step(1, 1, 1), Step(5, 5, 2))
    await clock.refresh()

    await redis.delete(RECORD)
    await write(redis, *steps)
    await clock.refresh()

    assert clock.timeline == (Timeline(steps) if steps else Timeline())


async def test_a_record_that_goes_back_refuses_to_be_used(
    clock: BusinessClock, redis: Redis
) -> None:
    await write(redis, Step(1_000, 50_000, 0), Step(2_000, 49_999, 1))

    with pytest.raises(RefusedStart, match="goes back"):
        await clock.refresh()


async def test_whoever_waits_for_a_change_hears_of_each_new_step_and_of_nothing_else(
    clock: BusinessClock,
) -> None:
    await clock.refresh()
    changed = clock.changed
    await clock.refresh()
    assert not changed.is_set()

    await clock.shift(180)
    await clock.refresh()
    assert changed.is_set()

    again = clock.changed
    assert not again.is_set()
    await clock.shift(1)
    await clock.refresh()
    assert again.is_set()


async def test_a_running_clock_knows_each_step_before_it_begins(
    clock: BusinessClock, redis: Redis
) -> None:
    await clock.refresh()
    async with running(clock):
        for rate, lead_s in ((180, LEAD_S), (0, LEAD_S), (86_400, GEARED_LEAD_S)):
            changed = clock.changed
            step = await BusinessClock(redis).shift(rate)
            await asyncio.wait_for(changed.wait(), lead_s)

            assert await redis_wall_ms(redis) < step.wall_ms
            assert clock.timeline.steps[-1] == step


async def test_the_description_names_instant_and_pace(clock: BusinessClock, redis: Redis) -> None:
    midnight_ms = to_ms(datetime(2031, 2, 3, tzinfo=UTC))
    await write(redis, Step(1_000, midnight_ms, 0))
    await clock.refresh()
    assert clock.describe() == "business time is 2031-02-03T00:00:00+00:00, stands still"

    await write(redis, Step(2_000, midnight_ms, 2))
    await clock.refresh()
    assert clock.describe().endswith(", runs 2 x wall time")


async def test_an_outage_is_waited_out(clock: BusinessClock, redis_of_its_own: LocalRedis) -> None:
    await clock.refresh()
    with capture_logs() as logs:
        async with running(clock):
            redis_of_its_own.kill()
            await said(logs, "business clock out of reach")
            with pytest.raises(TransientError):
                await clock.read()
            assert clock.now_ms() > 0, "what it knew still holds"

            redis_of_its_own.start()
            await said(logs, "business clock back in reach")
    assert [line["event"] for line in logs].count("business clock out of reach") == 1


async def said(logs: list[Any], event: str) -> None:
    async with asyncio.timeout(10):
        while event not in [line["event"] for line in logs]:  # noqa: ASYNC110 logs tell nobody
            await asyncio.sleep(0.01)
