"""The journal tells all that a task remembers: folded, it comes to the same documents."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.batch import StoredRecord
from shared.clock import Timeline
from shared.decode import Decoder, Reading
from shared.documents import Document
from shared.errors import RefusedStart
from shared.events.envelope import Event
from shared.folding import fold
from tests.support.toy import NOON, Add, Bomb, Follow, Fuse, Ignore, Sum, Wait
from tests.support.toy_story import Story, due, record

UNTIL = NOON + timedelta(hours=24)
SUBJECTS = ("S-1", "S-2")
FACTS = (
    Add(amount=3),
    Bomb(),
    Fuse(until=UNTIL),
    Follow(until=UNTIL),
    Wait(due=UNTIL),
    Ignore(),
)

tellings = st.lists(
    st.tuples(st.sampled_from(FACTS), st.sampled_from(SUBJECTS), st.integers(0, 9)), max_size=30
)


def told(said: list[tuple[Any, str, int]]) -> Story:
    """Tell a partition; an id that comes again is a repeat, and the deadlines come in the end."""
    story = Story()
    for n, (fact, subject, id_) in enumerate(said):
        time = NOON + timedelta(minutes=n)
        story.tell(record(fact, f"{fact.TYPE}-{id_}", subject, time=time))
    for subject in SUBJECTS:
        story.tell(due("toy", UNTIL, subject), due("parked", UNTIL, subject))
    return story


def journal(story: Story) -> list[Event[Any]]:
    """The facts of the journal, as they were published."""
    events = story.service.journal
    decoder = Decoder("toy", [Reading(events, events.facts)], 1)
    records = [
        StoredRecord(out.topic, 0, n, 0, out.key, out.value, ())
        for n, out in enumerate(story.outgoing)
        if out.topic == events.name
    ]
    found = [decoder.decode(record, Timeline()) for record in records]
    assert all(isinstance(event, Event) for event in found)
    return found  # type: ignore[return-value]


def folded(story: Story, facts: list[Event[Any]]) -> dict[str, Document[Sum]]:
    documents: dict[str, Document[Sum]] = {}
    for fact in facts:
        known = documents.get(fact.subject, Document(fact.subject))
        documents[fact.subject] = fold(story.service, known, fact)
    return documents


@given(tellings)
def test_p6_the_journal_folds_to_what_redis_held(said: list[tuple[Any, str, int]]) -> None:
    story = told(said)

    assert folded(story, journal(story)) == story.documents


@given(tellings, st.integers(0, 20))
def test_p3_folding_begins_too_early_and_again_and_changes_nothing(
    said: list[tuple[Any, str, int]], first: int
) -> None:
    story = told(said)
    facts = journal(story)

    assert folded(story, [*facts, *facts[first:], *facts]) == story.documents


def test_p6_a_fact_that_is_missing_is_refused() -> None:
    story = told([(Add(amount=n), "S-1", n) for n in range(4)])
    facts = journal(story)

    with pytest.raises(RefusedStart, match=r"knows S-1 up to version 1, .* is version 3"):
        folded(story, [facts[0], *facts[2:]])


def test_facts_of_a_release_that_said_less_fold_to_the_state() -> None:
    story = told([(Add(amount=n), "S-1", n) for n in range(4)])
    silent = [fact.model_copy(update={"causationsource": None}) for fact in journal(story)]

    assert folded(story, silent) == {"S-1": story.document("S-1")._replace(seen=())}
