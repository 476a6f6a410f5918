"""From a record to an event or to the reason why it is none (P6)."""

from collections.abc import Sequence
from datetime import UTC, timedelta
from typing import Any

import pytest
from cloudevents.core.bindings import kafka as binding
from cloudevents.core.v1.event import CloudEvent
from pydantic_core import from_json, to_json

from shared.batch import StoredRecord
from shared.clock import Step, Timeline, from_ms, to_ms
from shared.decode import (
    FUTURE_LIMIT,
    MISROUTED,
    REROUTED_HEADER,
    Decoder,
    NotAnEvent,
    Reading,
    arrived_ms,
    latest_believed_ms,
    partition_of,
)
from shared.events.deadlines import DEADLINES_EVENTS, DeadlineReached
from shared.events.envelope import (
    CONTENT_TYPE,
    MAX_OUTSIDE_EVENT_BYTES,
    Event,
    ServiceFact,
    Topic,
    encode,
)
from shared.events.storefront import ORDERS, OrderPlaced
from tests.support import orders, toy
from tests.support.poison import POISON, good
from tests.support.toy import NOON, Add
from tests.support.toy_story import SUBJECT, due, record

ONE_MS = timedelta(milliseconds=1)
TOY = Decoder("toy", toy.service().reads, partitions=1)


def decode(found: StoredRecord, decoder: Decoder = TOY, timeline: Timeline | None = None) -> Any:
    return decoder.decode(found, timeline or Timeline())


def structured(**changes: Any) -> StoredRecord:
    """A good record, its JSON changed: attributes by name, None takes one away."""
    base = good("e-1")
    event = {**from_json(base.value or b""), **changes}
    value = to_json({name: value for name, value in event.items() if value is not None})
    return base._replace(value=value)


def binary(headers: Sequence[tuple[str, bytes | None]], value: bytes) -> StoredRecord:
    return good("e-1")._replace(headers=tuple(headers), value=value)


# -- both modes of CloudEvents, against the SDK -----------------------------------------------


def message_of(event: CloudEvent, mode: str) -> StoredRecord:
    write = binding.to_binary_event if mode == "binary" else binding.to_structured_event
    message = write(event)
    headers = tuple(message.headers.items())
    return good("e-1")._replace(headers=headers, value=message.value)


@pytest.mark.parametrize("mode", ["structured", "binary"])
def test_what_the_cloudevents_sdk_writes_is_read(mode: str) -> None:
    attributes = {
        "id": "e-1",
        "source": "urn:somebody:else",
        "type": "toy.add.v1",
        "specversion": "1.0",
        "subject": SUBJECT,
        "time": NOON,
        "datacontenttype": "application/json",
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "correlationid": "the-first",
    }
    found = decode(message_of(CloudEvent(attributes, {"amount": 7, "unknown": [1]}), mode))

    assert isinstance(found, Event)
    assert found.data == Add(amount=7)
    assert (found.id, found.source, found.subject) == ("e-1", "urn:somebody:else", SUBJECT)
    assert found.time == NOON
    assert found.correlationid == "the-first"
    assert found.traceparent == "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    ("beside", "own", "read"),
    [
        (TRACE, None, TRACE.decode()),
        (
            TRACE,
            "00-" + "7" * 32 + "-" + "7" * 16 + "-01",
            "00-" + "7" * 32 + "-" + "7" * 16 + "-01",
        ),
        (TRACE.upper(), None, None),
        (TRACE + b"\n", None, None),
        (b"\xff", None, None),
        (None, None, None),
    ],
)
def test_a_trace_context_that_a_client_puts_beside_an_event_is_the_events_unless_it_has_one(
    beside: bytes | None, own: str | None, read: str | None
) -> None:
    found = decode(structured(traceparent=own)._replace(headers=(("traceparent", beside),)))

    assert isinstance(found, Event)
    assert found.traceparent == read


def test_what_we_write_the_cloudevents_sdk_reads() -> None:
    ours = record(Add(amount=7), "e-1", version=3)
    message = binding.KafkaMessage(
        {"content-type": CONTENT_TYPE.encode()}, ours.key, ours.value or b""
    )

    theirs = binding.from_kafka_event(message)

    assert theirs.get_id() == "e-1"
    assert theirs.get_type() == "toy.add.v1"
    assert theirs.get_subject() == SUBJECT
    assert theirs.get_time() == NOON
    assert theirs.get_extension("subjectversion") == 3
    assert theirs.get_data() == {"amount": 7}


BINARY = (
    ("ce_specversion", b"1.0"),
    ("ce_id", b"e-1"),
    ("ce_source", b"test"),
    ("ce_type", b"toy.add.v1"),
    ("ce_subject", SUBJECT.encode()),
    ("ce_time", b"2026-03-29T12:00:00Z"),
)


@pytest.mark.parametrize(
    ("extra", "value", "reason", "field"),
    [
        ((), b"", "not_json", ""),
        ((), b"[1]", "invalid_field", "data"),
        ((), b'{"amount": 1, "amount": 2}', "not_json", ""),
        ((), b'{"amount": NaN}', "not_json", ""),
        ((), b'{"amount": 1e400}', "not_json", ""),
        ((), b'{"amount": 1}, "type": "toy.bomb.v1"', "not_json", ""),
        ((("ce_data", b"1"),), b'{"amount": 1}', "not_json", ""),
        ((("ce_traceparent", b"\xff"),), b'{"amount": 1}', "not_utf8", "headers"),
        ((("ce_traceparent", None),), b'{"amount": 1}', "invalid_field", "traceparent"),
        ((("ce_specversion", b"0.3"),), b'{"amount": 1}', "invalid_field", "specversion"),
    ],
)
def test_p6_binary_mode_is_no_way_around_the_checks(
    extra: Sequence[tuple[str, bytes | None]], value: bytes, reason: str, field: str
) -> None:
    assert isinstance(decode(binary(BINARY, b'{"amount": 1}')), Event)

    found = decode(binary([*BINARY, *extra], value))

    assert (found.reason, found.field) == (reason, field)


def test_a_structured_event_with_ce_headers_beside_it_is_a_structured_event() -> None:
    headers = (*BINARY, ("content-type", CONTENT_TYPE.encode()))

    found = decode(structured(id="inside")._replace(headers=headers))

    assert found.id == "inside"


def test_a_time_with_an_offset_is_the_same_instant_in_utc() -> None:
    found = decode(structured(time="2026-03-29T14:00:00.4567+02:00"))

    assert found.time == NOON.replace(microsecond=456_000)
    assert found.time.tzinfo == UTC


def test_p6_a_header_name_that_is_not_utf8_is_named_and_one_that_is_passes() -> None:
    odd = good("e-1")._replace(headers=(("ok", b"1"), ("a\udcff" + "b" * 200, b"2")))

    found = decode(odd)

    shown = r"a\xff" + "b" * 98
    assert found == NotAnEvent(
        "not_utf8", f"the name of a header has to be UTF-8: {shown}", "headers"
    )
    assert isinstance(decode(good("e-1")._replace(headers=(("née", None),))), Event)


# -- the poison list ----------------------------------------------------------------


@pytest.mark.parametrize("poison", POISON, ids=lambda poison: poison.name)
def test_p6_what_is_no_event_is_named_with_its_reason_and_field(poison: Any) -> None:
    found = decode(poison.record)

    assert isinstance(found, NotAnEvent)
    assert (found.reason, found.field) == (poison.reason, poison.field)
    assert found.detail.isprintable()
    assert 0 < len(found.detail) <= 1000


@pytest.mark.parametrize(
    "headers",
    [
        (("x", None),),
        (("x", b"\xff\xfe\x00"),),
        (("x", b"1"), ("x", b"2")),
        (("content-type", b"\xff"),),
        (("content-type", None),),
        (("content-type", b"text/plain"), ("content-type", b"application/json")),
        (("ce_id", b"another"),),
    ],
)
def test_p6_odd_headers_do_no_harm_to_a_good_event(
    headers: tuple[tuple[str, bytes | None], ...],
) -> None:
    assert decode(good("e-1")._replace(headers=headers)).data == Add(amount=1)


@pytest.mark.parametrize(
    ("size", "fits"), [(MAX_OUTSIDE_EVENT_BYTES, True), (MAX_OUTSIDE_EVENT_BYTES + 1, False)]
)
def test_p6_an_event_from_outside_is_at_most_400_000_bytes(size: int, fits: bool) -> None:
    value = good("e-1").value or b""
    padded = value + b" " * (size - len(value))

    found = decode(good("e-1")._replace(value=padded))

    assert isinstance(found, Event) if fits else found.reason == "too_large"


@pytest.mark.parametrize(("more", "fits"), [(0, True), (1, False)])
def test_p6_headers_are_at_most_64_000_bytes_and_each_counts_8_more(more: int, fits: bool) -> None:
    headers = (("x", b"1" * (32_000 + more - 9)), *[("", None)] * 4_000)

    found = decode(good("e-1")._replace(headers=headers))

    assert (
        isinstance(found, Event)
        if fits
        else (found.reason, found.field)
        == (
            "too_large",
            "headers",
        )
    )


@pytest.mark.parametrize("depth", [150, 10_000])
@pytest.mark.parametrize("brackets", ["[]", "{}"])
def test_p6_nesting_ends_in_a_verdict_not_in_a_crash(depth: int, brackets: str) -> None:
    opening = b"[" if brackets == "[]" else b'{"a":'
    value = (good("e-1").value or b"")[:-2] + b',"more":' + opening * depth
    value += b"1" + brackets[1:].encode() * depth + b"}}"

    found = decode(good("e-1")._replace(value=value))

    assert isinstance(found, Event) if depth == 150 else found.reason == "not_json"


@pytest.mark.parametrize("number", ["1e400", "-1E+400", "1e0999", "0.1e310", '[[{"a":9e999}]]'])
def test_p6_a_number_too_large_for_a_double_is_no_json_wherever_it_is(number: str) -> None:
    value = (good("e-1").value or b"")[:-2] + b',"more":' + number.encode() + b"}}"

    assert decode(good("e-1")._replace(value=value)).reason == "not_json"


@pytest.mark.parametrize("number", ["1e300", "1e-400", "123e99", '"9e999"'])
def test_p6_a_large_number_that_fits_is_none_of_our_business(number: str) -> None:
    value = (good("e-1").value or b"")[:-2] + b',"more":' + number.encode() + b"}}"

    assert isinstance(decode(good("e-1")._replace(value=value)), Event)


# -- whose record it is -----------------------------------------------------------------------

OTHER = Topic(name="other.events", facts=(toy.Added,), publisher="other")


def test_only_the_owner_says_that_a_type_is_unknown() -> None:
    unknown = structured(type="toy.add.v2")
    stranger = Decoder("stranger", toy.service().reads, partitions=1)

    assert decode(unknown).reason == "unknown_type"
    assert decode(unknown, stranger) is None
    assert TOY.owns("toy-left")
    assert not stranger.owns("toy-left")


def test_an_unknown_type_of_a_service_is_skipped_and_nobodys_dead_letter() -> None:
    unknown = due("toy", NOON)
    value = (unknown.value or b"").replace(b"deadline.reached.v1", b"deadline.guessed.v1")

    assert decode(unknown._replace(value=value)) is None


def test_p6_what_is_no_event_on_a_topic_of_ours_is_kept_by_who_reads_it() -> None:
    broken = due("toy", NOON)._replace(value=b'{"type":"deadline.reached.v1"')

    assert TOY.owns("deadlines.events")
    assert isinstance(decode(broken), NotAnEvent)
    assert isinstance(decode(broken._replace(value=b"no json")), NotAnEvent)


def test_the_owner_checks_what_it_does_not_handle_itself() -> None:
    own = toy.topics()
    reads = (Reading(own.left, (toy.Bomb,)),)
    narrow = Decoder("toy", reads, partitions=1)
    bad = structured(data={"amount": "seven"})

    assert decode(good("e-1"), narrow) is None
    assert decode(bad, narrow).field == "data.amount"
    assert decode(bad, Decoder("other", reads, partitions=1)) is None


def test_who_reads_every_fact_of_a_service_reads_those_of_tomorrow_too() -> None:
    every = Decoder("deadlines", (Reading(OTHER, every=ServiceFact),), partitions=1)
    tomorrow = record(Add(amount=1), "e-1", topic=OTHER.name, version=4)

    found = decode(tomorrow, every)

    assert isinstance(found, Event)
    assert type(found.data) is ServiceFact
    assert found.subjectversion == 4


def test_a_services_fact_may_be_about_a_subject_with_blanks_on_a_partition_not_its_own() -> None:
    reached = due("toy", NOON, subject="SELLER-3 SKU-9")._replace(partition=5, key=b"anything")

    found = decode(reached, Decoder("toy", toy.service().reads, partitions=12))

    assert isinstance(found.data, DeadlineReached)
    assert DEADLINES_EVENTS.publisher == "deadlines"


# -- the right partition ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("subject", "of_12", "of_1024"),
    [("902-3159896-1390916", 9, 853), ("S-4711", 1, 229), ("SELLER-3 SKU-9", 1, 245)],
)
def test_partition_of_a_subject_is_what_java_says(
    subject: str, of_12: int, of_1024: int
) -> None:  # Utils.toPositive(Utils.murmur2(bytes)) % n of kafka-clients 4.1.0, run
    assert partition_of(subject, 12) == of_12
    assert partition_of(subject, 1024) == of_1024


def test_p6_a_record_on_the_wrong_partition_is_rerouted_once_then_a_dead_letter() -> None:
    decoder = Decoder("toy", toy.service().reads, partitions=12)
    right = partition_of(SUBJECT, 12)
    wrong = good("e-1")._replace(partition=(right + 1) % 12)

    assert isinstance(decode(good("e-1")._replace(partition=right), decoder), Event)
    assert decode(wrong, decoder) is MISROUTED
    again = wrong._replace(headers=((REROUTED_HEADER, b"%d" % wrong.timestamp),))
    assert decode(again, decoder).reason == "misrouted_twice"
    arrived = again._replace(partition=right)
    assert isinstance(decode(arrived, decoder), Event)


@pytest.mark.parametrize(
    ("said", "arrived"),
    [
        (b"1774785600000", 1774785600000),
        (b"1774785600007", 1774785600007),
        (b"1774785600008", 1774785600007),
        (b"9" * 5_000, 1774785600007),
        (b"soon", 1774785600007),
        (b"", 1774785600007),
        (None, 1774785600007),
    ],
)
def test_r14_what_was_sent_on_counts_from_when_it_first_arrived(
    said: bytes | None, arrived: int
) -> None:
    sent_on = good("e-1")._replace(timestamp=1774785600007, headers=((REROUTED_HEADER, said),))

    assert arrived_ms(sent_on) == arrived
    assert arrived_ms(sent_on._replace(headers=(("x", b"1"),))) == 1774785600007


# -- the future -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ahead", "believed"), [(FUTURE_LIMIT, True), (FUTURE_LIMIT + ONE_MS, False)]
)
def test_a_time_may_be_five_minutes_ahead_of_the_arrival(ahead: timedelta, believed: bool) -> None:
    found = decode(record(Add(amount=1), "e-1", time=NOON + ahead, arrival=NOON))

    assert isinstance(found, Event) if believed else found.reason == "time_in_future"
    if not believed:
        assert (found.field, found.detail) == ("time", "at most 0:05:00 after its arrival")


@pytest.mark.parametrize(
    ("rate", "limit"),
    [(1, FUTURE_LIMIT), (86_400, 5 * 60 * timedelta(days=1)), (0, FUTURE_LIMIT)],
)
def test_five_minutes_of_both_clocks_are_believed(rate: int, limit: timedelta) -> None:
    arrival = to_ms(NOON) + 60_000
    jumped = from_ms(to_ms(NOON)) + timedelta(days=400)
    timeline = Timeline().then(Step(arrival, to_ms(jumped), rate))

    assert from_ms(latest_believed_ms(timeline, arrival)) == jumped + limit
    for extra, believed in ((0 * ONE_MS, True), (ONE_MS, False)):
        late = record(Add(amount=1), "e-1", time=jumped + limit + extra, arrival=from_ms(arrival))
        assert isinstance(decode(late, timeline=timeline), Event) is believed


@pytest.mark.parametrize(
    "time", ["2026-03-29T12:00:00", "1999-12-31T23:59:59Z", "2200-01-01T00:00:00Z", 1774785600, ""]
)
def test_p6_a_time_without_its_offset_or_out_of_all_bounds_is_no_time(time: object) -> None:
    assert decode(structured(time=time)).field == "time"


def test_a_time_long_ago_is_believed() -> None:
    assert isinstance(decode(structured(time="2000-01-01T00:00:00Z")), Event)


# -- no personal data in what is said ---------------------------------------------------------

CANARY = "Greta Private \n 1313"
PLACED = {
    "order_id": SUBJECT,
    "marketplace_id": "M",
    "seller_id": "SELLER-11",
    "buyer": {"buyer_id": "B-1", "name": "N", "email": "E", "phone": "P"},
    "purchase_date": "2026-03-29T12:00:00Z",
    "ship_address": {"name": "N", "address_line_1": "K", "city": "Kiruna", "country_code": "SE"},
    "items": [
        {
            "order_item_id": "1",
            "sku": "LAMP",
            "product_name": "L",
            "quantity": 1,
            "item_price": {"amount_minor": 1, "currency": "EUR"},
        }
    ],
    "order_total": {"amount_minor": 1, "currency": "EUR"},
    "payment_method_ref": "card",
}


def spoiled(data: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str, Any]]:
    """The data with each of its leaves in turn replaced by something personal and wrong."""
    if isinstance(data, dict | list):
        members = data.items() if isinstance(data, dict) else enumerate(data)
        found = []
        for name, member in members:
            for where, changed in spoiled(member, (*path, name)):
                copy = dict(data) if isinstance(data, dict) else list(data)
                copy[name] = changed
                found.append((where, copy))
        return found
    return [(".".join(map(str, path)), CANARY)]


@pytest.mark.parametrize(("path", "data"), spoiled(PLACED))
def test_p6_the_reason_names_the_field_and_never_shows_its_value(path: str, data: Any) -> None:
    fulfillment = Decoder("fulfillment", (Reading(ORDERS, (OrderPlaced,)),), partitions=1)
    event = from_json(good("e-1").value or b"") | {"type": OrderPlaced.TYPE, "data": data}

    found = decode(good("e-1")._replace(topic=ORDERS.name, value=to_json(event)), fulfillment)

    assert isinstance(found, NotAnEvent)
    if path == "order_id":  # a good text, but no id
        assert found.field == "data.order_id"
    assert found.field == f"data.{path}"
    assert path in found.detail
    assert "Greta" not in found.detail
    assert "1313" not in found.detail


def test_p6_of_many_bad_fields_three_are_named_and_the_first_is_the_field() -> None:
    found = decode(structured(id="", source="", time="", data={}))

    assert found.field == "id"
    assert found.detail.count("; ") == 2


@pytest.mark.parametrize(
    ("ahead", "believed"), [(FUTURE_LIMIT, True), (FUTURE_LIMIT + ONE_MS, False)]
)
def test_r2_an_order_purchased_in_the_future_would_be_held_until_then(
    ahead: timedelta, believed: bool
) -> None:
    arrived = orders.PURCHASED
    placed = orders.placed(purchase_date=arrived + ahead)
    value = encode(placed, id_="p-1", source="shop", subject=orders.ORDER_ID, time=arrived)
    reader = Decoder("fulfillment", (Reading(ORDERS, (OrderPlaced,)),), partitions=1)
    record = good("x")._replace(
        topic="orders", key=orders.ORDER_ID.encode(), value=value, timestamp=to_ms(arrived)
    )

    found = reader.decode(record, Timeline())

    if believed:
        assert isinstance(found, Event)
    else:
        assert isinstance(found, NotAnEvent)
        assert found.field == "data.purchase_date"
