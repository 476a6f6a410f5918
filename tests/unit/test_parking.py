"""R25: what precedes its order waits, in its order, for 24 hours at most; then a dead letter."""

from base64 import b64decode
from datetime import datetime, timedelta

from shared.batch import MAX_PARKED, Input, StoredRecord
from shared.documents import Document
from shared.events.envelope import Event, OpenDeadline
from shared.events.parking import PARKED
from shared.service import Received
from tests.support.toy import NOON, Add, Follow, Fuse
from tests.support.toy_story import SUBJECT, Story, due, odd, record

ONE_MS = timedelta(milliseconds=1)
UNTIL = NOON + timedelta(hours=24)


def add(id_: str) -> StoredRecord:
    return record(Add(amount=7), id_)


def follow(id_: str, until: datetime = UNTIL) -> StoredRecord:
    return record(Follow(until=until), id_)


def test_r25_what_comes_too_early_waits_in_its_order_and_is_decided_in_it() -> None:
    story = Story().tell(follow("f1"), follow("f2"))
    assert story.said() == ["parked", "parked"]
    assert story.document().state is None

    story.tell(add("a"))

    assert story.said() == ["parked"] * 2 + ["added"] + ["unparked", "followed"] * 2
    unparked = [f["data"] for f in story.facts if f["type"] == "event.unparked.v1"]
    assert [(u["event_id"], u["outcome"]) for u in unparked] == [
        ("f1", "decided"),
        ("f2", "decided"),
    ]
    assert story.document().parked == ()
    assert story.document().seen == ("test a", "test f1", "test f2")


def test_r25_parking_is_a_fact_with_the_record_whole_and_a_deadline() -> None:
    waiting = odd(follow("f"))
    story = Story().tell(waiting)

    (parked,) = story.facts
    kept = parked["data"]["record"]
    assert b64decode(kept["value"]) == waiting.value
    assert b64decode(kept["key"]) == waiting.key
    headers = [(name, value and b64decode(value)) for name, value in kept["headers"]]
    assert headers == [("trace", b"\xff\x00"), ("trace", b"again"), ("empty", ""), ("null", None)]
    assert parked["data"]["deadlines"] == [{"kind": "parked", "due": "2026-03-30T12:00:00Z"}]
    assert story.document().deadlines == (OpenDeadline(kind=PARKED, due=UNTIL),)


def test_r25_a_repeat_of_what_waits_does_not_wait_twice() -> None:
    story = Story().tell(follow("f"), follow("f"))
    story.tell(follow("f"))

    assert story.said() == ["parked"]
    assert story.counts["repeats"] == 2
    story.tell(add("a"), follow("f"))
    assert story.said().count("followed") == 1


def test_r25_events_of_two_sources_with_one_id_both_wait() -> None:
    value = (follow("f").value or b"").replace(b'"source":"test"', b'"source":"other"')
    another = follow("f")._replace(value=value)
    story = Story().tell(follow("f"), another, another)

    assert story.said() == ["parked"] * 2
    assert story.counts["repeats"] == 1
    story.tell(add("a"))
    assert story.said().count("followed") == 2
    assert story.document().parked == ()


def test_r25_after_24_hours_what_waited_in_vain_is_a_dead_letter_byte_for_byte() -> None:
    early, late = odd(follow("f1", UNTIL)), follow("f2", UNTIL + ONE_MS)
    story = Story().tell(early, late)

    story.tell(due(PARKED, UNTIL))

    (letter,) = story.dead
    assert letter.reason == "no_such_order"
    assert letter.detail == "nothing to apply it to came until 2026-03-30T12:00:00+00:00"
    assert letter.record == early._replace(offset=0)
    assert story.said() == ["parked", "parked", "unparked"]
    assert story.facts[-1]["data"]["outcome"] == "no_such_order"
    assert story.document().deadlines == (OpenDeadline(kind=PARKED, due=UNTIL + ONE_MS),)

    story.tell(due(PARKED, UNTIL + ONE_MS), due(PARKED, UNTIL + ONE_MS))

    assert [letter.record.offset for letter in story.dead] == [0, 1]
    assert story.document().deadlines == ()


def test_p3_parked_again_after_its_dead_letter_an_event_is_a_fact_under_another_id() -> None:
    story = Story().tell(follow("f"), due(PARKED, UNTIL))

    story.tell(follow("f", UNTIL + ONE_MS))

    assert story.said() == ["parked", "unparked", "parked"]
    assert len({fact["id"] for fact in story.facts}) == 3


def test_r25_the_end_of_parking_comes_too_late_for_what_was_decided() -> None:
    story = Story().tell(follow("f"), add("a"), due(PARKED, UNTIL))

    assert story.dead == []
    assert story.said()[-1] == "followed"


def test_r25_a_flood_for_an_id_that_never_comes_stays_small() -> None:
    story = Story().tell(*(follow(f"f{n}") for n in range(MAX_PARKED)))
    assert story.dead == []

    story.tell(odd(follow("one-more")))

    (letter,) = story.dead
    assert letter.reason == "too_many_parked"
    assert letter.detail == "at most 16 events wait for one subject"
    assert letter.record == odd(follow("one-more"))._replace(offset=MAX_PARKED)
    assert len(story.document().parked) == MAX_PARKED
    story.tell(add("a"))
    assert story.said().count("followed") == MAX_PARKED


def test_what_is_due_in_the_task_itself_can_not_be_parked() -> None:
    event = Event[Follow](
        id="f", source="test", type=Follow.TYPE, subject=SUBJECT, time=NOON,
        data=Follow(until=UNTIL),
    )  # fmt: skip
    story = Story().decide([Input(Received(event, NOON))])

    assert story.counts["failed"] == 1
    assert story.dead == []
    assert story.document() == Document(SUBJECT)


def test_p6_what_waited_and_fails_then_is_a_dead_letter_and_its_neighbours_go_on() -> None:
    fuse = odd(record(Fuse(until=UNTIL), "fuse"))
    story = Story().tell(follow("f1"), fuse, follow("f2"))

    story.tell(add("a"))

    (letter,) = story.dead
    assert letter.reason == "decision_failed"
    assert "boom" in letter.detail
    assert letter.record == fuse._replace(offset=1)
    outcomes = [f["data"]["outcome"] for f in story.facts if f["type"] == "event.unparked.v1"]
    assert outcomes == ["decided", "failed", "decided"]
    assert story.said().count("followed") == 2
    assert story.document().parked == ()
    story.tell(add("b"))
    assert len(story.dead) == 1
