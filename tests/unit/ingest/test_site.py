"""Events by HTTP: what is written where, and how what is not is answered."""

import json
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from services.ingest.decisions import BATCH, BINARY, MAX_BODY_BYTES, MAX_EVENTS, STRUCTURED
from services.ingest.site import RETRY_AFTER_S
from shared.batch import StoredRecord
from shared.clock import Timeline
from shared.decode import Decoder, NotAnEvent, Reading, partition_of
from shared.events.envelope import CONTENT_TYPE, MAX_OUTSIDE_EVENT_BYTES, Event
from shared.events.warehouse import STOCK, StockSet
from tests.unit.ingest.conftest import BEARER, PARTITIONS, WAREHOUSE, Door, StandingClock, counted

pytestmark = pytest.mark.asyncio

SUBJECT = "SELLER-1/KETTLE-RED"
AT = partition_of(SUBJECT, PARTITIONS)
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def as_json(*events: dict[str, Any]) -> bytes:
    return json.dumps([*events]).encode()


def as_its_owner_reads(door: Door, nth: int = 0) -> Any:
    sent = door.sender.records[nth]
    decoder = Decoder("inventory", [Reading(STOCK, STOCK.facts)], PARTITIONS)
    at_ms = StandingClock().wall_ms()
    place = sent.topic, sent.partition, nth
    record = StoredRecord(*place, at_ms, sent.key, sent.value, sent.headers)
    return decoder.decode(record, Timeline())


# -- what is written -------------------------------------------------------------------------------


async def test_an_event_is_written_as_it_came_where_its_type_and_subject_belong(
    door: Door,
) -> None:
    said = json.dumps(counted(5), indent=3).encode()

    answer = await door.say(said, traceparent=TRACE)

    told = {"id": "count-5", "topic": "stock", "partition": AT, "offset": 0}
    assert (answer.status_code, answer.json()) == (202, told)
    (sent,) = door.sender.records
    assert (sent.topic, sent.partition, sent.key) == ("stock", AT, SUBJECT.encode())
    assert sent.value == said
    assert sent.headers == (
        ("content-type", CONTENT_TYPE.encode()),
        ("traceparent", TRACE.encode()),
    )


async def test_what_its_owner_reads_of_it_is_the_event_in_its_trace(door: Door) -> None:
    await door.say(json.dumps(counted(5)).encode(), traceparent=TRACE)
    await door.say(json.dumps(counted(6)).encode(), traceparent="00-nobody-knows-01")

    first, second = as_its_owner_reads(door), as_its_owner_reads(door, 1)
    assert isinstance(first, Event)
    assert isinstance(first.data, StockSet)
    assert (first.id, first.data.on_hand, first.traceparent) == ("count-5", 5, TRACE)
    assert (second.id, second.traceparent) == ("count-6", None)


async def test_a_batch_is_written_in_its_order_and_answered_event_by_event(door: Door) -> None:
    kettle = {"seller_id": "SELLER-1", "sku": "KETTLE", "on_hand": 2}
    events = (counted(1), counted(2, subject="SELLER-1/KETTLE", data=kettle), counted(3))

    answer = await door.say(as_json(*events), BATCH)

    assert answer.status_code == 202
    assert [each["id"] for each in answer.json()["events"]] == ["count-1", "count-2", "count-3"]
    assert [each["offset"] for each in answer.json()["events"]] == [0, 1, 2]
    assert [json.loads(sent.value) for sent in door.sender.records] == [*events]
    assert (await door.say(b"[]", BATCH)).json() == {"events": []}


async def test_an_event_in_binary_mode_is_written_in_binary_mode(door: Door) -> None:
    event = counted(5, source="its-night-shift")
    said = {f"ce-{name}": str(value) for name, value in event.items() if name != "data"}
    said["ce-id"] = "z%C3%A4hlung%205"
    bad = await door.say(json.dumps(event["data"]).encode(), BINARY, **said)
    said["ce-id"] = "count%2D5"

    answer = await door.say(json.dumps(event["data"]).encode(), BINARY, **said)

    assert (bad.status_code, bad.json()["field"]) == (422, "id")
    assert (answer.status_code, answer.json()["id"]) == (202, "count-5")
    (sent,) = door.sender.records
    assert ("ce_source", b"its-night-shift") in sent.headers
    assert json.loads(sent.value) == event["data"]
    read = as_its_owner_reads(door)
    assert (read.id, read.source, read.data.on_hand) == ("count-5", "its-night-shift", 5)


@pytest.mark.parametrize("kind", [STRUCTURED, BATCH, BINARY])
async def test_what_the_document_gives_as_an_example_is_written(door: Door, kind: str) -> None:
    post = (await door.client.get("/openapi.json")).json()["paths"]["/events"]["post"]
    attributes = {each["name"]: each["example"] for each in post["parameters"]}
    example = post["requestBody"]["content"][kind]["example"]

    answer = await door.say(
        json.dumps(example).encode(), kind, **(attributes if kind == BINARY else {})
    )

    assert answer.status_code == 202, answer.text
    assert as_its_owner_reads(door).id == "count-1"


# -- what is not -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "status", "reason", "field"),
    [
        (b"", 400, "not_json", ""),
        (b"[]", 400, "not_an_object", ""),
        (b'{"id": 1, "id": 2}', 400, "not_json", ""),
        (b'{"n": 1e999}', 400, "not_json", ""),
        (b'{"id": "\xff"}', 400, "not_json", ""),
        (counted(type=...), 422, "invalid_field", "type"),
        (counted(type=[]), 422, "invalid_field", "type"),
        (counted(type="stock.stolen.v1"), 422, "unknown_type", "type"),
        (counted(type="stock.level_changed.v1"), 422, "unknown_type", "type"),
        (counted(type="order.unshipped.v1"), 422, "unknown_type", "type"),
        (counted(type="order.placed.v1"), 403, "not_allowed", "type"),
        (counted(source="somebody-else"), 403, "not_allowed", "source"),
        (counted(source="orderflow/inventory"), 403, "not_allowed", "source"),
        (counted(subject=...), 422, "invalid_field", "subject"),
        (counted(subject=7), 422, "invalid_field", "subject"),
        (counted(subject="SELLER-1/POT"), 422, "subject_is_not_the_datas", "subject"),
        (counted(id="two words"), 422, "invalid_field", "id"),
        (counted(time="yesterday"), 422, "invalid_field", "time"),
        (counted(time="2026-03-11T09:47:00Z"), 422, "time_in_future", "time"),
        (counted(-1), 422, "invalid_field", "data.on_hand"),
        (counted(note="x" * MAX_OUTSIDE_EVENT_BYTES), 413, "too_large", ""),
    ],
)
async def test_what_is_no_event_is_answered_with_reason_and_field_and_not_written(
    door: Door, said: bytes | dict[str, Any], status: int, reason: str, field: str
) -> None:
    body = said if isinstance(said, bytes) else json.dumps(said).encode()

    answer = await door.say(body)

    told = answer.json()
    assert (answer.status_code, told["reason"], told["field"]) == (status, reason, field)
    assert told.keys() == {"reason", "field", "detail"}
    assert "x" * 200 not in told["detail"]
    assert door.sender.records == []


async def test_reason_field_and_detail_are_those_that_its_dead_letter_would_have(
    door: Door,
) -> None:
    wrong = counted(-1)
    said = await door.say(json.dumps(wrong).encode())
    await door.say(json.dumps(counted()).encode())
    kept = door.sender.records.pop()
    door.sender.records.append(kept._replace(value=json.dumps(wrong).encode()))

    assert NotAnEvent(**said.json()) == as_its_owner_reads(door)


async def test_a_batch_with_a_bad_event_is_refused_as_a_whole_and_each_bad_one_named(
    door: Door,
) -> None:
    night = counted(3, source="nobody")

    answer = await door.say(as_json(counted(1), counted(-2), night, counted(4)), BATCH)

    assert answer.status_code == 422
    assert [
        (each["index"], each["reason"], each["field"]) for each in answer.json()["refused"]
    ] == [(1, "invalid_field", "data.on_hand"), (2, "not_allowed", "source")]
    assert door.sender.records == []


@pytest.mark.parametrize(
    ("said", "status", "reason"),
    [
        (b"{}", 400, "not_an_array"),
        (b"[1e999]", 400, "not_json"),
        (b"[" + b",".join([b"{}"] * (MAX_EVENTS + 1)) + b"]", 413, "too_many_events"),
        (b" " * MAX_BODY_BYTES + b"[]", 413, "too_large"),
        (b"[[[1]]]", 422, None),
    ],
)
async def test_a_batch_has_limits(door: Door, said: bytes, status: int, reason: str | None) -> None:
    answer = await door.say(said, BATCH)

    assert (answer.status_code, answer.json().get("reason")) == (status, reason)


@pytest.mark.parametrize("kind", ["", "text/plain", BINARY, "application/xml"])
async def test_another_content_type_is_refused_with_those_that_are_read(
    door: Door, kind: str
) -> None:
    answer = await door.say(json.dumps(counted()).encode(), kind)

    assert answer.status_code == 415
    assert all(each in answer.json()["detail"] for each in (STRUCTURED, BATCH, BINARY))


# -- who may, and when nothing goes ----------------------------------------------------------------


@pytest.mark.parametrize("told", ["", "Bearer", "Bearer warehouse:guess", "Basic warehouse:x"])
async def test_without_a_token_nothing_is_read_and_nothing_written(door: Door, told: str) -> None:
    answer = await door.say(b"no JSON", authorization=told)

    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.json()["field"] == "authorization"


async def test_a_token_says_so_many_events_a_minute_and_is_told_when_it_may_go_on(
    door: Door,
) -> None:
    door.tokens.used = WAREHOUSE.per_minute - 1
    assert (await door.say(json.dumps(counted()).encode())).status_code == 202

    answer = await door.say(json.dumps(counted()).encode())

    assert (answer.status_code, answer.json()["reason"]) == (429, "too_fast")
    assert answer.headers["retry-after"] == "17"
    assert len(door.sender.records) == 1


async def test_while_kafka_or_redis_is_away_one_is_told_to_come_again(door: Door) -> None:
    door.sender.away = True
    no_kafka = await door.say(json.dumps(counted()).encode())
    door.sender.away, door.tokens.away = False, True
    no_redis = await door.say(json.dumps(counted()).encode())

    for answer in (no_kafka, no_redis):
        assert (answer.status_code, answer.json()["reason"]) == (503, "away")
        assert answer.headers["retry-after"] == str(RETRY_AFTER_S)


async def test_it_is_ready_while_redis_answers_and_lives_whatever_is_away(door: Door) -> None:
    async def codes() -> list[int]:
        asked = ("", "/live", "/ready", "/well")
        return [(await door.client.get(f"/health{of}")).status_code for of in asked]

    assert await codes() == [200, 200, 200, 404]
    door.tokens.away = True
    assert await codes() == [200, 200, 503, 404]


async def test_what_it_can_not_do_is_answered_alike(door: Door) -> None:
    gone, other = await door.client.get("/"), await door.client.get("/events")

    assert (gone.status_code, other.status_code) == (404, 405)
    assert gone.json()["reason"] == other.json()["reason"] == "not_possible"


async def test_what_is_refused_is_counted_by_reason_and_no_token_is_in_it(door: Door) -> None:
    async def refused() -> dict[str, float]:
        answer = await door.client.get("/metrics")
        assert (answer.status_code, BEARER in answer.text) == (200, False)
        families = text_string_to_metric_families(answer.text)
        counts = next(each for each in families if each.name == "orderflow_ingest_refused")
        return {
            sample.labels["reason"]: sample.value
            for sample in counts.samples
            if sample.name.endswith("_total")
        }

    before = await refused()
    await door.say(b"{}", authorization="Bearer somebody:guesses")
    await door.say(
        as_json(counted(1, type="no.such.v1"), counted(2), counted(3, type="no.such.v1")), BATCH
    )
    after = await refused()

    grown = {why: n - before.get(why, 0) for why, n in after.items() if n != before.get(why, 0)}
    assert grown == {"unauthorized": 1, "unknown_type": 2}


async def test_of_two_content_types_the_last_is_the_requests_and_a_parameter_is_none(
    door: Door,
) -> None:
    headers = [("authorization", f"Bearer {BEARER}"), ("content-type", BINARY)]
    headers.append(("content-type", BATCH))
    empty = await door.client.post("/events", content=b"[]", headers=headers)
    one = await door.say(json.dumps(counted(5)).encode(), f"{STRUCTURED}; of={BATCH}")

    assert (empty.status_code, empty.json()) == (202, {"events": []})
    assert (one.status_code, one.json()["id"]) == (202, "count-5")


async def test_the_partition_of_what_can_be_no_subject_is_not_remembered(door: Door) -> None:
    answer = await door.say(json.dumps(counted(subject="S" * 129)).encode())

    assert (answer.status_code, answer.json()["field"]) == (422, "subject")
    misses = partition_of.cache_info().misses
    partition_of("S" * 129, PARTITIONS)
    assert partition_of.cache_info().misses == misses + 1
