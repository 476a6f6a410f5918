"""What a run needs before it begins, and the order in which it goes."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from services.cli.demo.cast import Cast
from services.cli.demo.stage import Everybody, _check_empty
from services.cli.demo.tap import ALL, Tap
from services.cli.observer import Observer
from shared.errors import RefusedStart, TransientError
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


class Rest:
    """Of the services: at rest as often as it is said, and asked for less of a silent provider."""

    def __init__(self, *answers: bool) -> None:
        self._answers = [*answers]
        self.asked_for_calls: list[bool] = []

    async def at_rest(self, *, calls: bool) -> bool:
        self.asked_for_calls.append(calls)
        return self._answers.pop(0)

    async def lag(self) -> list[Any]:
        return []


def everybody(rest: Rest, *, idle: bool = True, read: bool = True) -> Everybody:
    return Everybody(
        cast=cast(Cast, SimpleNamespace(said=0, idle=lambda: idle)),
        tap=cast(Tap, SimpleNamespace(reached=lambda ends: read)),
        observer=cast(Observer, SimpleNamespace(rest=rest, reader=Reader())),
        producers=(),
    )


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("services", "idle", "read", "at_rest"),
    [
        (True, True, True, True),
        (False, True, True, False),
        (True, False, True, False),
        (True, True, False, False),
    ],
)
async def test_at_rest_are_services_and_actors_who_have_heard_all(
    services: bool, idle: bool, read: bool, at_rest: bool
) -> None:
    rest = Rest(services)

    assert await everybody(rest, idle=idle, read=read).at_rest(calls=False) is at_rest
    assert rest.asked_for_calls == [False]


@pytest.mark.asyncio
async def test_rest_is_waited_for_and_counts_calls() -> None:
    rest = Rest(False, False, True)

    await everybody(rest).rest()

    assert rest.asked_for_calls == [True, True, True]


@pytest.mark.asyncio
async def test_who_is_never_at_rest_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.cli.demo.stage.REST_LIMIT_S", 0)

    with pytest.raises(TransientError, match="not at rest after 0 s: the actors"):
        await everybody(Rest(True), idle=False).rest()
