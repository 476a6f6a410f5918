"""The business clock without Redis: translation between wall time and business time."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.clock import (
    END_MS,
    MAX_STEPS,
    Step,
    Timeline,
    WallEstimate,
    fresh_token,
    from_ms,
    to_ms,
)
from shared.errors import RefusedStart

NOON_MS = to_ms(datetime(2026, 3, 29, 12, tzinfo=UTC))
DAY_MS = 86_400_000


def geared_from_noon() -> Timeline:
    """Wall time until noon, a day per second for 10 s, then stopped, then a jump of a week."""
    noon = Step(NOON_MS, NOON_MS, 86_400)
    stopped = Step(NOON_MS + 10_000, NOON_MS + 10 * DAY_MS, 0)
    jumped = Step(NOON_MS + 60_000, NOON_MS + 17 * DAY_MS, 1)
    return Timeline().then(noon, stopped, jumped)


@st.composite
def timelines(draw: st.DrawFn) -> Timeline:
    """Any record that `shift` could have written, its first steps perhaps trimmed away."""
    start_ms = draw(st.integers(0, 2 * 10**12))
    timeline = Timeline((Step(start_ms, draw(st.integers(0, 2 * 10**12)), draw(rates)),))
    for _ in range(draw(st.integers(0, 8))):
        last = timeline.steps[-1]
        wall_ms = last.wall_ms + draw(st.integers(1, 10**6))
        business_ms = last.at(wall_ms) + draw(st.just(0) | st.integers(0, 10**9))
        timeline = timeline.then(Step(wall_ms, min(business_ms, END_MS), draw(rates)))
    return timeline


rates = st.sampled_from([0, 1, 2, 180, 86_400, 86_400_000])


@st.composite
def timelines_and_walls(draw: st.DrawFn) -> tuple[Timeline, int, int]:
    """A timeline and two wall instants, the earlier one first, near its steps more often."""
    timeline = draw(timelines())
    step = draw(st.sampled_from(timeline.steps))
    wall = st.integers(-(10**6), 10**6).map(lambda ms: step.wall_ms + ms)
    first, second = sorted((draw(wall), draw(wall | st.integers(0, 4 * 10**12))))
    return timeline, first, second


@given(timelines_and_walls())
def test_business_time_never_goes_back(case: tuple[Timeline, int, int]) -> None:
    timeline, earlier, later = case

    assert timeline.business_ms(earlier) <= timeline.business_ms(later)


@given(timelines_and_walls())
def test_wall_ms_is_the_first_instant_at_which_business_time_is_there(
    case: tuple[Timeline, int, int],
) -> None:
    timeline, wall_ms, _ = case
    business_ms = timeline.business_ms(wall_ms)

    first = timeline.wall_ms(business_ms)

    assert first is not None
    assert first <= wall_ms
    assert timeline.business_ms(first) >= business_ms
    assert timeline.business_ms(first - 1) < business_ms


@given(timelines(), st.integers(0, END_MS))
def test_a_deadline_has_a_wall_instant_unless_the_clock_is_stopped_before_it(
    timeline: Timeline, due_ms: int
) -> None:
    first = timeline.wall_ms(due_ms)

    if first is None:
        assert timeline.steps[-1].rate == 0
        assert timeline.steps[-1].business_ms < due_ms
    else:
        assert timeline.business_ms(first) >= due_ms
        assert timeline.business_ms(first - 1) < due_ms


@given(st.integers(-END_MS, END_MS))
def test_without_a_record_business_time_is_wall_time_exactly(wall_ms: int) -> None:
    production = Timeline()

    assert production.business_ms(wall_ms) == wall_ms
    assert production.wall_ms(wall_ms) == wall_ms
    assert not production.geared
    assert production.rate_at(wall_ms) == 1


def test_a_gear_holds_from_its_first_millisecond_to_the_next_steps_last() -> None:
    timeline = geared_from_noon()

    assert timeline.business_ms(NOON_MS - 1) == NOON_MS - 1
    assert timeline.business_ms(NOON_MS) == NOON_MS
    assert timeline.business_ms(NOON_MS + 1) == NOON_MS + 86_400
    assert timeline.business_ms(NOON_MS + 9_999) == NOON_MS + 10 * DAY_MS - 86_400
    assert timeline.business_ms(NOON_MS + 10_000) == NOON_MS + 10 * DAY_MS
    assert timeline.business_ms(NOON_MS + 59_999) == NOON_MS + 10 * DAY_MS
    assert timeline.business_ms(NOON_MS + 60_000) == NOON_MS + 17 * DAY_MS
    rates_seen = [timeline.rate_at(NOON_MS + ms) for ms in (-1, 0, 10_000, 60_000)]
    assert rates_seen == [1, 86_400, 0, 1]


def test_a_deadline_inside_a_gear_is_due_at_the_first_wall_millisecond_past_it() -> None:
    timeline = geared_from_noon()

    assert timeline.wall_ms(NOON_MS + 1) == NOON_MS + 1
    assert timeline.wall_ms(NOON_MS + 86_400) == NOON_MS + 1
    assert timeline.wall_ms(NOON_MS + 86_401) == NOON_MS + 2


def test_a_deadline_that_a_jump_passes_is_due_at_the_jump() -> None:
    timeline = geared_from_noon()

    assert timeline.wall_ms(NOON_MS + 10 * DAY_MS) == NOON_MS + 10_000
    assert timeline.wall_ms(NOON_MS + 10 * DAY_MS + 1) == NOON_MS + 60_000
    assert timeline.wall_ms(NOON_MS + 17 * DAY_MS) == NOON_MS + 60_000
    assert timeline.wall_ms(NOON_MS + 17 * DAY_MS + 1) == NOON_MS + 60_001


def test_a_stopped_clock_never_reaches_what_is_later() -> None:
    stopped = Timeline().then(Step(NOON_MS, NOON_MS, 0))

    assert stopped.wall_ms(NOON_MS) == NOON_MS
    assert stopped.wall_ms(NOON_MS + 1) is None
    assert stopped.geared


def test_geared_means_the_last_step_even_while_it_is_ahead() -> None:
    assert not geared_from_noon().geared
    assert Timeline().then(Step(NOON_MS, NOON_MS, 180)).geared


def test_wall_time_before_the_oldest_kept_step_runs_at_rate_1_up_to_it() -> None:
    trimmed = Timeline((Step(NOON_MS, NOON_MS + 5 * DAY_MS, 180),))

    assert trimmed.business_ms(NOON_MS - 1) == NOON_MS + 5 * DAY_MS - 1
    assert trimmed.wall_ms(NOON_MS + 5 * DAY_MS - 1) == NOON_MS - 1
    assert trimmed.rate_at(NOON_MS - 1) == 1


def test_the_oldest_steps_are_dropped_beyond_the_limit() -> None:
    steps = [Step(NOON_MS + n, NOON_MS + n, 1) for n in range(MAX_STEPS)]

    full = Timeline().then(*steps[:-1])

    assert (len(full.steps), full.steps[0]) == (MAX_STEPS, Step(0, 0, 1))
    more = full.then(steps[-1])
    assert (len(more.steps), more.steps[0]) == (MAX_STEPS, steps[0])


@pytest.mark.parametrize(
    "back",
    [
        Step(NOON_MS + 60_000, NOON_MS + 18 * DAY_MS, 1),
        Step(NOON_MS + 60_001, NOON_MS + 17 * DAY_MS, 1),
    ],
    ids=["wall time stands", "business time goes back by 1 ms"],
)
def test_a_record_that_goes_back_is_refused(back: Step) -> None:
    with pytest.raises(RefusedStart, match="clock:steps"):
        geared_from_noon().then(back)


def test_a_forgotten_clock_stops_where_the_calendar_still_has_room() -> None:
    runaway = Timeline().then(Step(NOON_MS, NOON_MS, 86_400_000))

    last = from_ms(runaway.business_ms(NOON_MS + 10 * DAY_MS))

    assert last == datetime(9000, 1, 1, tzinfo=UTC)
    assert last + timedelta(days=300_000) < datetime.max.replace(tzinfo=UTC)
    assert runaway.wall_ms(END_MS) is not None
    assert runaway.wall_ms(END_MS + 1) is None


@given(st.datetimes(timezones=st.just(UTC)))
def test_instants_translate_to_the_millisecond_and_back(instant: datetime) -> None:
    cut_off = instant.replace(microsecond=instant.microsecond // 1000 * 1000)

    assert from_ms(to_ms(instant)) == cut_off


@given(st.integers(to_ms(datetime.min.replace(tzinfo=UTC)), END_MS))
def test_milliseconds_translate_exactly(ms: int) -> None:
    assert to_ms(from_ms(ms)) == ms


def test_an_offset_of_the_sender_changes_no_instant_and_a_naive_one_is_refused() -> None:
    in_tokyo = datetime(2026, 3, 29, 21, tzinfo=timezone(timedelta(hours=9)))

    assert to_ms(in_tokyo) == NOON_MS
    with pytest.raises(TypeError):
        to_ms(datetime(2026, 3, 29, 12))  # noqa: DTZ001


def test_wall_time_is_estimated_rather_late_and_a_slow_trip_teaches_nothing() -> None:
    # Redis is 1_000_000 ms ahead of this process; the trip took 4 ms, 1 of them to Redis.
    quick = WallEstimate.of(None, sent_ms=0, wall_ms=1_000_001, received_ms=4)
    slow = WallEstimate.of(quick, sent_ms=100, wall_ms=1_000_101, received_ms=900)
    quicker = WallEstimate.of(slow, sent_ms=1_000, wall_ms=1_001_000.5, received_ms=1_001)

    assert quick.wall_ms(4) == 1_000_001
    assert slow == quick
    assert quicker.wall_ms(1_001) == 1_001_000


def test_a_redis_whose_clock_was_set_back_is_believed() -> None:
    before = WallEstimate.of(None, sent_ms=0, wall_ms=1_000_001, received_ms=2)

    after = WallEstimate.of(before, sent_ms=10, wall_ms=995_011, received_ms=12)

    assert after.wall_ms(12) == 995_011


def test_tokens_are_never_the_same_twice() -> None:
    assert len({fresh_token() for _ in range(1000)}) == 1000
