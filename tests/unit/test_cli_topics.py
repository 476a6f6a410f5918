"""Which topics there are to be, and what is said of one that is not as it has to be."""

import asyncio
import pkgutil
from importlib import import_module

import pytest

import shared.events
from services.cli import topics
from services.cli.topics import wanted_topics
from shared.errors import RefusedStart
from shared.events.envelope import Topic
from shared.events.topics import FROM_OUTSIDE, PUBLISHED, TOPICS
from shared.kafka import FoundTopic


def test_every_topic_that_an_event_module_names_is_made() -> None:
    modules = [
        import_module(f"shared.events.{m.name}")
        for m in pkgutil.iter_modules(shared.events.__path__)
    ]
    named = {
        value.name
        for module in modules
        for value in vars(module).values()
        if isinstance(value, Topic)
    }

    assert named == {topic.name for topic in TOPICS}
    assert {*named, "dead-letters"} == wanted_topics().keys()


def test_topics_from_outside_have_an_owner_and_the_others_a_publisher() -> None:
    assert [t.name for t in FROM_OUTSIDE if t.owner is None or t.publisher is not None] == []
    assert [t.name for t in PUBLISHED if t.publisher is None] == []


def test_r14_the_arrival_of_what_comes_from_outside_is_measured_by_kafka() -> None:
    wanted = wanted_topics()

    for topic in TOPICS:
        stamped = wanted[topic.name].get("message.timestamp.type")
        assert (stamped == "LogAppendTime") == (topic.publisher is None)


def test_p6_the_largest_record_of_any_topic_fits_as_a_dead_letter() -> None:
    def largest(topic: str) -> int:
        return int(wanted_topics()[topic]["max.message.bytes"])

    assert {largest(topic.name) for topic in FROM_OUTSIDE} == {1_048_588}
    assert largest("dead-letters") > 1_048_588


@pytest.mark.parametrize(
    ("counts", "problem", "remedy"),
    [
        ({"orders": 12, "stock": 6}, "orders has 12, stock has 6", "Delete those of the wrong"),
        ({"orders": 6, "stock": 6}, "The topics have 6 partitions, not 12", "Set PARTITIONS=6"),
        ({"stock": 11}, "The topics have 11 partitions, not 12", "Set PARTITIONS=11"),
    ],
)
def test_another_number_of_partitions_is_refused(
    counts: dict[str, int], problem: str, remedy: str
) -> None:
    with pytest.raises(RefusedStart) as refused:
        topics._check_counts(counts, 12)

    assert problem in refused.value.problem
    assert refused.value.remedy.startswith(remedy)


@pytest.mark.parametrize("counts", [{}, {"orders": 12}, {"orders": 12, "stock": 12}])
def test_equal_numbers_of_partitions_are_fine(counts: dict[str, int]) -> None:
    topics._check_counts(counts, 12)


WEEK_MS = 7 * 86_400_000


@pytest.mark.parametrize(
    ("found", "will_do"),
    [(f"{WEEK_MS}", True), (f"{WEEK_MS - 1}", False), (f"{WEEK_MS + 1}", True), ("-1", True)],
)
def test_a_number_is_a_lower_limit_and_minus_one_is_no_limit(found: str, will_do: bool) -> None:
    assert topics._will_do(found, f"{WEEK_MS}") == will_do


def test_wrong_settings_are_refused_all_together_with_what_they_have_to_be() -> None:
    wanted = {
        "orders": {"message.timestamp.type": "LogAppendTime", "retention.ms": "7"},
        "stock": {"retention.ms": "7"},
    }
    found = {
        "orders": {"message.timestamp.type": "CreateTime", "retention.ms": "7"},
        "stock": {"retention.ms": "6"},
    }

    with pytest.raises(RefusedStart) as refused:
        topics._check_settings(wanted, found)

    assert refused.value.problem == (
        "orders: message.timestamp.type is CreateTime, has to be LogAppendTime; "
        "stock: retention.ms is 6, has to be at least 7"
    )


def cluster_of(monkeypatch: pytest.MonkeyPatch, *seen: dict[str, FoundTopic]) -> None:
    """A Kafka that refuses to make topics, and in which these are seen, one look after another."""
    looks = iter(seen)

    async def found_topics(*_: object) -> dict[str, FoundTopic]:
        return next(looks)

    async def create_topics(_: str, names: dict[str, object], *__: object) -> dict[str, str]:
        return dict.fromkeys(names, "Topic already exists.")

    async def broker_count(_: str) -> int:
        return 1

    async def found_settings(*_: object) -> dict[str, dict[str, str]]:
        return {}

    for fake in (found_topics, create_topics, broker_count, found_settings):
        monkeypatch.setattr(topics, fake.__name__, fake)
    monkeypatch.setattr(topics, "POLL_S", 0)


UNLED = dict.fromkeys(wanted_topics(), FoundTopic(12, led=False))
LED = dict.fromkeys(wanted_topics(), FoundTopic(12, led=True))


def test_topics_that_somebody_else_makes_meanwhile_are_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster_of(monkeypatch, {}, UNLED, UNLED, LED, LED)

    found = asyncio.run(topics.make_topics("fake:9092", 12))

    assert [topic.name for topic in found] == list(wanted_topics())


def test_a_topic_that_gets_no_leader_is_named_when_the_time_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(topics, "LEADERS_LIMIT_S", 0)
    cluster_of(monkeypatch, {}, {**LED, "stock": FoundTopic(12, led=False)})

    with pytest.raises(RefusedStart, match=r"No leader within 0 s for \['stock'\]"):
        asyncio.run(topics.make_topics("fake:9092", 12))
