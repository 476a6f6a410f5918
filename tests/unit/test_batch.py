"""One batch in memory: what is news, what waits, what fails, and what goes out under which id."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, ClassVar

import pytest
from pydantic_core import from_json

from shared.batch import MAX_TRACEBACK, Input, StoredRecord
from shared.decode import partition_of
from shared.documents import MAX_FAILED, MAX_SEEN, Document
from shared.errors import PermanentError
from shared.events.envelope import About, Event, Fact, OpenDeadline, Topic
from shared.policy import Policies
from shared.service import Facts, Received
from tests.support import toy
from tests.support.toy import NOON, Add, Bomb, Follow, Ignore, Sum, Wait
from tests.support.toy_story import SUBJECT, Story, due, odd, record

ONE_MS = timedelta(milliseconds=1)
UNTIL = NOON + timedelta(hours=24)


def add(id_: str, amount: int = 7, subject: str = SUBJECT, **more: Any) -> StoredRecord:
    return record(Add(amount=amount), id_, subject, **more)


def follow(id_: str, until: datetime = UNTIL) -> StoredRecord:
    return record(Follow(until=until), id_)


# -- what is news -----------------------------------------------------------------------------


@pytest.mark.parametrize("batches", [1, 2])
def test_p3_an_outside_event_that_comes_again_is_no_news(batches: int) -> None:
    story = Story()
    twice = [add("a", 7), add("a", 7)]

    for batch in [twice] if batches == 1 else [twice[:1], twice[1:]]:
        story.tell(*batch)

    assert story.document().state == Sum(total=7, count=1)
    assert story.said() == ["added"]
    assert story.counts["repeats"] == 1


@pytest.mark.parametrize(("between", "known"), [(MAX_SEEN - 1, True), (MAX_SEEN, False)])
def test_p3_a_repeat_is_known_among_the_last_32_of_its_subject(between: int, known: bool) -> None:
    others = [add(f"other-{n}", subject="S-2") for n in range(40)]
    story = Story().tell(add("a"), *others, *(add(f"b-{n}") for n in range(between)))

    story.tell(add("a"))

    assert story.counts["repeats"] == known
    assert story.document().seen[-1] == (f"test b-{between - 1}" if known else "test a")


@pytest.mark.parametrize(
    ("version", "news"), [(None, False), (1, False), (3, False), (4, True), (9, True)]
)
def test_p3_a_services_fact_is_news_only_beyond_the_version_that_was_passed(
    version: int | None, news: bool
) -> None:
    def told(id_: str, version: int | None) -> Input:
        event = Event[Add](
            id=id_,
            source="test",
            type=Add.TYPE,
            subject=SUBJECT,
            time=NOON,
            subjectversion=version,
            data=Add(amount=1),
        )
        return Input(Received(event, NOON, publisher="other"), add(id_))

    story = Story().decide([told("v3", 3)])

    story.decide([told("again", version)])

    assert story.document().passed == {"other": version if news else 3}
    assert len(story.said()) == 1 + news
    assert story.document().seen == ()


def test_p3_what_has_no_effect_leaves_no_trace() -> None:
    story = Story().tell(add("a"))

    story.tell(record(Ignore(), "nothing"))

    assert story.last.after == {}
    assert story.last.outgoing == []


# -- what goes out ----------------------------------------------------------------------------


def test_p3_versions_count_a_subjects_facts_whatever_the_batches() -> None:
    story = Story().tell(add("a"), add("x", subject="S-2"), add("b"))
    story.tell(follow("c"), add("d"))

    versions: dict[str, list[int]] = {SUBJECT: [], "S-2": []}
    for fact in story.facts:
        if not fact["type"].startswith("toy.note"):
            versions[fact["subject"]].append(fact["subjectversion"])

    assert versions == {SUBJECT: [1, 2, 3, 4], "S-2": [1]}


def test_p3_deciding_again_gives_the_same_ids_and_bytes() -> None:
    records = [add("a", 1), follow("b"), add("c", 2)]

    first, again = Story().tell(*records), Story().tell(*records)

    assert first.outgoing == again.outgoing
    ids = [fact["id"] for fact in first.facts]
    assert len(set(ids)) == len(ids) == 5


def test_p3_a_derived_id_never_changes_not_in_the_next_release_either() -> None:
    story = Story().tell(add("a"))

    assert [fact["id"] for fact in story.facts] == [
        "421aed03-e674-534d-8fc0-2bc64a6c2dfc",
        "bf241ef7-2810-5053-a6f6-173f159f00e1",
    ]


def test_facts_name_their_cause_and_the_first_event_of_their_subject() -> None:
    story = Story().tell(add("first"), add("second"))

    assert [(fact["causationid"], fact["correlationid"]) for fact in story.facts] == [
        ("first", "first"),
        ("first", "first"),
        ("second", "first"),
        ("second", "first"),
    ]
    assert {fact["source"] for fact in story.facts} == {"orderflow/toy"}


def test_a_facts_time_is_the_latest_of_its_inputs_times() -> None:
    later = NOON + timedelta(hours=3)
    story = Story().tell(add("a", time=NOON), add("b", time=later), add("c", time=NOON))

    times = [datetime.fromisoformat(fact["time"]) for fact in story.facts]

    assert times[::2] == [NOON, later, later]


def test_facts_list_the_deadlines_open_after_them_and_the_state_after_them() -> None:
    at = NOON + timedelta(days=30)
    story = Story().tell(record(Wait(due=at), "w"), add("a", 5), due("toy", at))
    waiting, added, _note, reached = (fact["data"] for fact in story.facts)

    listed = [{"kind": "toy", "due": "2026-04-28T12:00:00Z"}]
    assert waiting["deadlines"] == added["deadlines"] == listed
    assert reached["deadlines"] == []
    assert added["sum"] == {"deadlines": listed, "total": 5, "count": 1}
    assert reached["sum"] == {"deadlines": [], "total": 5, "count": 1}
    assert from_json(story.service.documents.dump_state(story.document().state)) == reached["sum"]


class Elsewhere(Fact):
    """Is about another subject, which counts its own versions."""

    TYPE: ClassVar[str] = "toy.elsewhere.v1"

    def about(self) -> About:
        return About("SELLER-3 SKU-9", 41)


class Silent(Fact):
    """Lies on no topic."""

    TYPE: ClassVar[str] = "toy.silent.v1"


def saying(*facts: Fact) -> Story:
    """A toy that says this whenever something is added."""

    def decide(_state: Sum | None, _received: Received, _policies: Policies) -> Facts:
        return facts

    elsewhere = Topic(name="elsewhere", facts=(Elsewhere,), publisher="toy")
    return Story(replace(toy.service(), decide=decide, publishes=(elsewhere,)))


def test_a_fact_about_another_subject_goes_to_its_partition_with_its_version() -> None:
    story = saying(Elsewhere()).tell(add("a"))

    out, mark = story.outgoing
    assert out.topic == "elsewhere"
    assert out.key == b"SELLER-3 SKU-9"
    assert out.partition == partition_of("SELLER-3 SKU-9", 1)
    assert story.facts[0]["subject"] == "SELLER-3 SKU-9"
    assert story.facts[0]["subjectversion"] == 41
    assert (mark.topic, mark.key) == ("toy.events", SUBJECT.encode())
    assert story.facts[1]["type"] == "event.decided.v1", "so its commit shows in the journal"
    assert "subjectversion" not in story.facts[1]
    assert story.documents == {}


def test_p3_a_fact_about_another_subject_says_the_same_whatever_is_known_of_this_one() -> None:
    first, again = saying(Elsewhere()), saying(Elsewhere())
    again.documents[SUBJECT] = Document(SUBJECT, time=NOON + timedelta(hours=3))

    assert again.tell(add("a")).outgoing == first.tell(add("a")).outgoing


def test_a_fact_of_no_topic_changes_the_state_and_is_not_counted() -> None:
    story = saying(Silent()).tell(add("a"))

    assert story.outgoing == []
    assert (story.document().state, story.document().version) == (Sum(), 0)


# -- deadlines --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "off", "publisher"),
    [
        ("toy", -ONE_MS, "toy"),
        ("toy", ONE_MS, "toy"),
        ("other", 0 * ONE_MS, "toy"),
        ("toy", 0 * ONE_MS, "elsewhere"),
    ],
)
def test_p5_a_deadline_acts_only_where_exactly_that_one_is_open(
    kind: str, off: timedelta, publisher: str
) -> None:
    at = NOON + timedelta(days=7)
    story = Story().tell(record(Wait(due=at), "w"), due(kind, at + off, publisher=publisher))

    assert story.said() == ["waiting"]
    assert story.counts["repeats"] == 1
    story.tell(due("toy", at), due("toy", at))
    assert story.said() == ["waiting", "reached"]
    assert story.counts["repeats"] == 2


def test_p5_a_deadline_that_was_replaced_does_not_act() -> None:
    first, second = NOON + timedelta(days=7), NOON + timedelta(days=9)
    story = Story().tell(record(Wait(due=first), "w1"), record(Wait(due=second), "w2"))

    story.tell(due("toy", first))

    assert story.said() == ["waiting", "waiting"]
    assert story.document().deadlines == (OpenDeadline(kind="toy", due=second),)


# -- what fails -------------------------------------------------------------------------------


def test_p6_a_decision_that_fails_stops_at_its_own_event() -> None:
    bomb = odd(record(Bomb(), "bomb"))
    story = Story().tell(add("a", 1), bomb, add("b", 2), add("x", 4, subject="S-2"))

    (letter,) = story.dead
    assert letter.reason == "decision_failed"
    assert letter.detail.rstrip().endswith("RuntimeError: boom")
    assert "tests/support/toy.py" in letter.detail
    assert letter.record == bomb._replace(offset=1)
    assert story.document().state == Sum(total=3, count=2)
    assert story.document("S-2").state == Sum(total=4, count=1)
    assert story.document().seen == ("test a", "test b")
    assert story.counts["failed"] == 1


def test_p6_an_event_that_can_never_be_decided_is_kept_under_its_own_reason() -> None:
    def decide(*_: Any) -> Any:
        raise PermanentError("date_out_of_range", "2101 is not in 1970 to 2100")

    story = Story(replace(toy.service(), decide=decide)).tell(add("a", 1))

    (letter,) = story.dead
    assert letter.reason == "date_out_of_range"
    assert letter.detail == "2101 is not in 1970 to 2100"


def test_p6_an_event_is_applied_whole_or_not_at_all() -> None:
    def evolve(state: Sum | None, fact: Fact, _time: Any) -> Sum:
        if isinstance(fact, toy.Added) and fact.amount == 13:
            raise ValueError("thirteen")
        return toy.evolve(state, fact, _time)

    def decide(_state: Sum | None, received: Received, _policies: Policies) -> Facts:
        amount = received.event.data.amount
        return [
            toy.Waiting(due=UNTIL),
            toy.Note(total=amount),
            toy.Added(amount=amount, total=amount, count=1),
        ]

    story = Story(replace(toy.service(), decide=decide, evolve=evolve))
    story.tell(add("a", 13), add("b", 12))

    assert [letter.record.offset for letter in story.dead] == [0]
    assert {fact["causationid"] for fact in story.facts} == {"b"}
    assert [f["subjectversion"] for f in story.facts if "note" not in f["type"]] == [1, 2]
    assert story.document().seen == ("test b",)


def test_p6_the_end_of_a_long_traceback_is_what_is_kept() -> None:
    def decide(_state: Sum | None, _received: Received, _policies: Policies) -> Facts:
        raise RuntimeError("x" * 10_000 + "the end")

    story = Story(replace(toy.service(), decide=decide)).tell(add("a"))

    assert len(story.dead[0].detail) == MAX_TRACEBACK
    assert story.dead[0].detail.rstrip().endswith("the end")


# -- what the task remembers ------------------------------------------------------------------


def told(fact: Fact, version: int, publisher: str = "other") -> Input:
    """A fact that another service of ours published."""
    said = record(fact, f"{publisher}-{version}", version=version)
    event = Event[Any](
        id=f"{publisher}-{version}", source=f"orderflow/{publisher}", type=fact.TYPE,
        subject=SUBJECT, time=NOON, subjectversion=version, data=fact,
    )  # fmt: skip
    return Input(Received(event, NOON, publisher=publisher), said)


def test_facts_say_what_is_remembered_of_their_cause() -> None:
    story = Story().tell(add("a")).decide([told(Add(amount=2), 7)])
    story.tell(record(Wait(due=UNTIL), "w"), due("toy", UNTIL))

    memory = ("causationid", "causationsource", "causationversion")
    added, note, passed, _, waiting, reached = (
        tuple(fact.get(name) for name in memory) for fact in story.facts
    )
    assert added == note == ("a", "test", None)
    assert passed == ("other-7", "orderflow/other", 7)
    assert waiting == ("w", "test", None)
    assert reached[1:] == (None, None), "a deadline acts by being open, nothing is remembered of it"


def test_what_is_remembered_of_an_event_that_waits_is_said_when_it_is_decided() -> None:
    story = Story().tell(follow("early"), add("a"))
    sources = [(fact["type"], fact.get("causationsource")) for fact in story.facts]

    assert sources[0] == ("event.parked.v1", None)
    assert sources[-2:] == [("event.unparked.v1", "test"), ("toy.followed.v1", "test")]


def test_a_fact_of_ours_that_failed_is_news_when_it_is_replayed_after_a_later_one() -> None:
    """A retry of what failed runs; its failure is a fact, so that the journal tells all."""
    story = Story().decide([told(Bomb(), 5), told(Add(amount=1), 6)])
    assert story.said() == ["failed", "added"]
    assert story.document().failed == {"other": (5,)}
    assert story.document().passed == {"other": 6}

    story.decide([told(Bomb(), 5)])
    assert story.said() == ["failed", "added"], "failing once more is no other fact"
    assert len(story.dead) == 2

    mended = [told(Add(amount=2), 5), told(Add(amount=2), 5), told(Add(amount=1), 6)]
    story.decide(mended)
    assert story.said() == ["failed", "added", "added"]
    assert story.document().state == Sum(total=3, count=2)
    assert story.document().failed == {}
    assert story.document().passed == {"other": 6}


@pytest.mark.parametrize(("failures", "known"), [(MAX_FAILED, True), (MAX_FAILED + 1, False)])
def test_the_last_32_facts_that_failed_are_remembered(failures: int, known: bool) -> None:
    story = Story().decide([told(Bomb(), n + 1) for n in range(failures)])
    story.decide([told(Add(amount=1), 99)])

    story.decide([told(Add(amount=1), 1)])

    assert story.said().count("added") == 1 + known


def test_p6_a_parked_record_that_can_not_be_read_again_stops_at_itself() -> None:
    """The service that wrote it is another release by now."""
    story = Story().tell(follow("early"), follow("early-2"))
    waiting = story.document().parked[0]
    broken = waiting.model_copy(update={"value": "AAAA"})
    parked = (broken, story.document().parked[1])
    story.documents[SUBJECT] = story.document()._replace(parked=parked)

    story.tell(add("a"))

    assert story.said() == ["parked", "parked", "added", "unparked", "unparked", "followed"]
    assert [(d.reason, d.record.offset) for d in story.dead] == [("decision_failed", 0)]
    assert story.document().parked == ()
    assert len({fact["id"] for fact in story.facts}) == len(story.facts)


def test_p6_an_outside_event_that_failed_is_decided_when_it_comes_again() -> None:
    story = Story().tell(record(Bomb(), "b"), record(Bomb(), "b"))

    assert (story.counts["failed"], story.counts["repeats"]) == (2, 0)
