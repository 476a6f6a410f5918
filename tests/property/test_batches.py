"""Any split of a partition's records into batches, and any crash between, comes to the same."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from shared.batch import StoredRecord
from shared.events.parking import PARKED
from tests.support.toy import NOON, Add, Bomb, Follow, Fuse, Ignore, Sum, Wait
from tests.support.toy_story import Story, due, in_batches, record

HOURS = st.integers(0, 3).map(lambda hours: NOON + timedelta(hours=hours))
SUBJECTS = st.sampled_from(["S-1", "S-2", "S-3"])
IDS = st.integers(0, 9).map(lambda n: f"id-{n}")
FACTS = st.one_of(
    st.builds(Add, amount=st.integers(-9, 9)),
    st.builds(Follow, until=HOURS),
    st.builds(Fuse, until=HOURS),
    st.builds(Wait, due=HOURS),
    st.just(Bomb()),
    st.just(Ignore()),
)
DEADLINES = st.builds(due, st.sampled_from(["toy", PARKED]), HOURS, SUBJECTS)
RECORDS = st.lists(st.builds(record, FACTS, IDS, SUBJECTS, time=HOURS) | DEADLINES, max_size=24)
SIZES = st.lists(st.integers(0, 6), max_size=12)


def told(records: Sequence[StoredRecord], sizes: Sequence[int]) -> Story:
    return in_batches(Story(), records, sizes)


@given(RECORDS, SIZES)
def test_p3_any_split_into_batches_gives_the_same_facts_and_documents(
    records: Sequence[StoredRecord], sizes: Sequence[int]
) -> None:
    whole, split = told(records, []), told(records, sizes)

    assert split.outgoing == whole.outgoing
    assert split.documents == whole.documents
    assert [letter.record for letter in split.dead] == [letter.record for letter in whole.dead]
    assert split.counts == whole.counts


@given(RECORDS, SIZES, st.integers(0, 12))
def test_p3_a_batch_decided_again_after_a_crash_gives_the_same(
    records: Sequence[StoredRecord], sizes: Sequence[int], crash_after: int
) -> None:
    stored = told(records[:crash_after], sizes)
    lost = stored.copy().tell(*records[crash_after : crash_after + 3])

    again = stored.copy().tell(*records[crash_after:])

    assert again.outgoing[: len(lost.outgoing)] == lost.outgoing
    assert again.outgoing == told(records, []).outgoing
    assert again.documents == told(records, []).documents


@given(RECORDS, SIZES)
def test_p3_versions_are_1_2_3_and_no_addition_is_lost_or_made_twice(
    records: Sequence[StoredRecord], sizes: Sequence[int]
) -> None:
    story = told(records, sizes)
    versions: defaultdict[str, list[int]] = defaultdict(list)
    sums: defaultdict[str, int] = defaultdict(int)
    for fact in story.facts:
        if not fact["type"].startswith("toy.note"):
            versions[fact["subject"]].append(fact["subjectversion"])
        if fact["type"] == "toy.added.v1":
            sums[fact["subject"]] += fact["data"]["amount"]
            assert fact["data"]["total"] == sums[fact["subject"]]

    assert all(found == list(range(1, len(found) + 1)) for found in versions.values())
    additions = [fact["id"] for fact in story.facts if fact["type"] == "toy.added.v1"]
    assert len(set(additions)) == len(additions)
    for subject, document in story.documents.items():
        assert document.version == len(versions[subject])
        assert (document.state or Sum()).total == sums[subject]
