"""What a run needs before it begins, and the order in which it goes."""

import time
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from services.cli.demo.script import HOUR
from services.cli.demo.stage import MAX_BEHIND_MS, OPENING, CertainClock, Stage, _check_empty
from services.cli.demo.tap import ALL
from shared.clock import GEARED_LEAD_S, BusinessClock, Step, Timeline, to_ms
from shared.errors import RefusedStart
from shared.log_reader import LogReader


class Reader:
    def __init__(self, **ends: int) -> None:
        self._ends = {(topic, 0): 0 for topic in ALL} | {(t, 1): n for t, n in ends.items()}

    async def ends(self, topics: Any) -> dict[tuple[str, int], int]:
        return self._ends


@pytest.mark.asyncio
async def test_a_kafka_that_holds_somebodys_events_is_refused() -> None:
    with pytest.raises(RefusedStart) as refused:
        await _check_empty(cast(LogReader, Reader(orders=3)), "kafka.example:9092")

    assert refused.value.problem == "Kafka at kafka.example:9092 holds events already, on orders"
    assert "unset KAFKA_BOOTSTRAP_SERVERS" in refused.value.remedy


@pytest.mark.asyncio
async def test_an_empty_kafka_will_do() -> None:
    await _check_empty(cast(LogReader, Reader()), "kafka.example:9092")


class Clock:
    """Runs with the wall from the opening on, and notes its gears."""

    def __init__(self) -> None:
        self.rates: list[int] = []
        self._business_ms = to_ms(OPENING)

    def wall_ms(self) -> int:
        return round(time.monotonic() * 1000)

    async def shift(self, rate: int) -> Step:
        self.rates.append(rate)
        return Step(self.wall_ms(), self._business_ms, rate)

    async def stop(self) -> Step:
        return await self.shift(0)

    async def refresh(self) -> None:
        return


def test_nobody_speaks_by_a_time_that_a_step_unknown_here_may_have_ended() -> None:
    seen_ms = to_ms(OPENING)
    asleep = SimpleNamespace(
        timeline=Timeline((Step(seen_ms, seen_ms, 86_400),)),
        wall_ms=lambda: seen_ms + 3_000,
        certain_until_ms=seen_ms + 200,
    )

    certain = CertainClock(cast(BusinessClock, asleep))

    assert certain.now() == OPENING + timedelta(seconds=0.2 * 86_400)
    asleep.certain_until_ms = seen_ms + 4_000
    assert certain.now() == OPENING + timedelta(days=3)


class Services:
    """Are behind as long as they are said to be."""

    def __init__(self, *behind_ms: int) -> None:
        self.waits = 0
        self._behind_ms = [*behind_ms]

    def behind_ms(self) -> int:
        return self._behind_ms[0]

    def restart(self) -> None:
        self._behind_ms.pop(0)


async def let_pass(monkeypatch: pytest.MonkeyPatch, services: Services) -> list[int]:
    """The gears while an hour passes in a second."""

    async def rest(_: Stage) -> None:
        return

    monkeypatch.setattr(Stage, "_rest", rest)
    clock = Clock()
    parts: Any = {"clock": clock, "pace": services}
    parts |= dict.fromkeys(("cast", "seen", "tap", "observer", "producers"))
    await Stage(**parts)._let_pass(3_600, OPENING + HOUR)
    return clock.rates


@pytest.mark.asyncio
async def test_time_passes_while_the_services_keep_up(monkeypatch: pytest.MonkeyPatch) -> None:
    services = Services(MAX_BEHIND_MS)
    began_s = time.monotonic()

    assert await let_pass(monkeypatch, services) == [3_600]

    assert time.monotonic() - began_s + 0.001 >= 1 - GEARED_LEAD_S
    assert services.waits == 0


@pytest.mark.asyncio
async def test_time_stands_still_for_services_that_fall_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    services = Services(MAX_BEHIND_MS + 1, 9_000, 0)

    assert await let_pass(monkeypatch, services) == [3_600, 0, 3_600, 0, 3_600]

    assert services.waits == 2
