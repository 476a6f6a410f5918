"""A fact on the wire: CloudEvents 1.0, strict in writing, tolerant in reading, ids derived."""

import pickle
from datetime import timedelta, timezone
from typing import Any, ClassVar
from uuid import UUID, uuid5

import pytest
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json, to_json

from shared.events.envelope import (
    CONTENT_TYPE,
    Event,
    Fact,
    OpenDeadline,
    Topic,
    derived_id,
    encode,
)
from shared.events.topics import TOPICS
from tests.support.toy import NOON, Add, Added


class Empty(Fact):
    """Has nothing to say but its type."""

    TYPE: ClassVar[str] = "toy.empty.v1"


def wire(fact: Fact, **more: Any) -> bytes:
    return encode(fact, id_="e-1", source="test", subject="S-1", time=NOON, **more)


def read(changes: dict[str, Any]) -> Event[Add]:
    event = {**from_json(wire(Add(amount=7))), **changes}
    return Event[Add].model_validate_json(to_json(event))


def test_a_fact_on_the_wire_is_one_compact_structured_cloudevent() -> None:
    fact = Added(amount=7, total=9, count=2, deadlines=(OpenDeadline(kind="toy", due=NOON),))
    traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

    assert wire(
        fact, version=2, correlation_id="first", causation_id="cause", traceparent=traceparent
    ) == (
        b'{"specversion":"1.0","id":"e-1","source":"test","type":"toy.added.v1","subject":"S-1",'
        b'"time":"2026-03-29T12:00:00Z","correlationid":"first","causationid":"cause",'
        b'"traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",'
        b'"subjectversion":2,'
        b'"data":{"deadlines":[{"kind":"toy","due":"2026-03-29T12:00:00Z"}],'
        b'"amount":7,"total":9,"count":2}}'
    )
    assert CONTENT_TYPE == "application/cloudevents+json; charset=UTF-8"


@pytest.mark.parametrize(
    ("fact", "data"),
    [(Empty(), b'{"more":{"a":1}}'), (Add(amount=7), b'{"amount":7,"more":{"a":1}}')],
)
def test_a_snapshot_is_one_more_member_of_the_data(fact: Fact, data: bytes) -> None:
    assert wire(fact, extra=b',"more":{"a":1}').endswith(b'"data":' + data + b"}")


def test_what_is_written_is_read_as_it_was() -> None:
    fact = Added(amount=7, total=9, count=2)

    event = Event[Added].model_validate_json(wire(fact, version=2, correlation_id="first"))

    assert event.data == fact
    assert (event.id, event.subject, event.time) == ("e-1", "S-1", NOON)
    assert (event.subjectversion, event.correlationid, event.causationid) == (2, "first", None)


def test_reading_keeps_unknown_fields_out_of_the_way() -> None:
    event = read({"dataschema": "https://example.org", "data": {"amount": 7, "tomorrow": [None]}})

    assert event.data == Add(amount=7)
    assert not hasattr(event, "dataschema")


@pytest.mark.parametrize(
    "field",
    [
        {"specversion": "1.1"},
        {"id": "x" * 129},
        {"id": "with blank"},
        {"source": "x" * 257},
        {"subject": " leading blank"},
        {"subject": "x" * 129},
        {"subject": "grüße"},
        {"time": "yesterday"},
        {"traceparent": "00-zz"},
        {"subjectversion": 0},
        {"subjectversion": 2**31},
        {"subjectversion": "1"},
        {"correlationid": ""},
        {"data": None},
    ],
)
def test_every_attribute_has_its_limits(field: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        read(field)

    assert [error["loc"][0] for error in refused.value.errors()] == list(field)


@pytest.mark.parametrize(
    "field",
    [
        {"id": "x" * 128},
        {"source": "x" * 256},
        {"subject": "x" * 128},
        {"subject": "a b"},
        {"subjectversion": 1},
        {"subjectversion": 2**31 - 1},
    ],
)
def test_every_attribute_may_go_to_its_limit(field: dict[str, Any]) -> None:
    (name,) = field

    assert getattr(read(field), name) == field[name]


def test_an_event_never_changes() -> None:
    event = read({})

    with pytest.raises(ValidationError, match="frozen"):
        event.id = "another"  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        event.data.amount = 8  # type: ignore[misc]


def test_a_time_is_an_instant_in_utc_floored_to_milliseconds() -> None:
    in_oslo = NOON.astimezone(timezone(timedelta(hours=2))).isoformat()

    assert read({"time": in_oslo}).time == NOON
    assert read({"time": "2026-03-29T12:00:00.0019999Z"}).time == NOON + timedelta(milliseconds=1)


def test_p3_a_derived_id_is_a_uuid_of_its_cause_and_place_and_of_nothing_else() -> None:
    one = derived_id("cause", "toy", "toy.added.v1", "S-1", 0)

    assert one == "204e2cfd-9961-5a0a-9568-7c17cd1edd60"
    assert UUID(one).version == 5
    others = {
        derived_id("cause2", "toy", "toy.added.v1", "S-1", 0),
        derived_id("cause", "toy2", "toy.added.v1", "S-1", 0),
        derived_id("cause", "toy", "toy.added.v2", "S-1", 0),
        derived_id("cause", "toy", "toy.added.v1", "S-2", 0),
        derived_id("cause", "toy", "toy.added.v1", "S-1", 1),
    }
    assert len(others | {one}) == 6


def test_p3_a_derived_id_is_what_uuid5_makes_of_its_name() -> None:
    for nth in range(200):
        name = f"außen 7\ntoy\ntoy.added.v1\nS-1\n{nth}"
        made = derived_id("außen 7", "toy", "toy.added.v1", "S-1", nth)
        assert made == str(uuid5(UUID("6f2a5d0e-3c39-5b0a-9d5b-0d1d6b6f7a11"), name))


def test_every_type_of_fact_lies_on_one_topic_and_names_its_version() -> None:
    of_services = [t for t in TOPICS if t.publisher]
    types = [fact.TYPE for topic in TOPICS for fact in topic.facts if topic not in of_services]
    types += {fact.TYPE for topic in of_services for fact in topic.facts}

    assert len(set(types)) == len(types)
    assert all(type_.rpartition(".v")[2].isdecimal() for type_ in types)


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_a_topic_has_either_a_publisher_of_ours_or_an_owner(topic: Topic) -> None:
    assert (topic.publisher is None) != (topic.owner is None)
    assert set(topic.models) == {fact.TYPE for fact in topic.facts}


def test_a_changed_copy_is_the_one_that_pydantic_would_make() -> None:
    fact = Added(amount=7, total=9, count=2)
    known = fact.model_dump()
    changes: dict[str, Any] = {"deadlines": (OpenDeadline(kind="toy", due=NOON),), "amount": 8}

    for update in (None, {}, changes):
        ours, theirs = fact.model_copy(update=update), BaseModel.model_copy(fact, update=update)

        assert ours == theirs
        assert ours.model_fields_set == theirs.model_fields_set
        assert ours.model_dump_json() == theirs.model_dump_json()
        assert pickle.loads(pickle.dumps(ours)) == theirs
    assert fact.model_dump() == known
