"""A document as it lies in Redis: the same after writing and reading, compact, and tolerant."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic_core import from_json
from zstandard import ZstdError

from shared.clock import to_ms
from shared.documents import LINGER_MS, Document, Documents
from shared.events.envelope import OpenDeadline
from shared.events.parking import PARKED, ParkedRecord
from shared.packing import unpack
from tests.support.toy import NOON, Sum

DOCUMENTS = Documents("toy", Sum)


def parked(event_id: str, until: datetime) -> ParkedRecord:
    return ParkedRecord(
        topic="toy-left",
        partition=3,
        offset=17,
        timestamp_ms=to_ms(NOON),
        key=None,
        value="AP8=",
        headers=(("trace", "/w=="), ("null", None)),
        event_source="test",
        event_id=event_id,
        until=until,
    )


ids = st.text("abcXYZ019-:.", min_size=1, max_size=12)
instants = st.integers(to_ms(datetime(2000, 1, 1, tzinfo=UTC)), to_ms(NOON)).map(
    lambda ms: datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=ms)
)
deadlines = st.builds(OpenDeadline, kind=st.just("toy"), due=instants)
sums = st.builds(
    Sum,
    deadlines=st.lists(deadlines, max_size=2).map(tuple),
    total=st.integers(),
    count=st.integers(),
)
documents: st.SearchStrategy[Document[Sum]] = st.builds(
    Document,
    subject=st.just("S-1"),
    state=st.none() | sums,
    version=st.integers(0, 2**31 - 1),
    time=st.none() | instants,
    correlation_id=st.none() | ids,
    passed=st.dictionaries(ids, st.integers(1, 2**31 - 1), max_size=3),
    failed=st.dictionaries(
        ids, st.lists(st.integers(1, 2**31 - 1), min_size=1, max_size=3).map(tuple), max_size=3
    ),
    seen=st.lists(ids, max_size=32).map(tuple),
    parked=st.lists(st.builds(parked, ids, instants), max_size=3).map(tuple),
)


def stored(document: Document[Sum], state: bytes | None = None) -> bytes:
    (op,) = DOCUMENTS.write(5, Document("S-1"), document, lambda due_ms: due_ms, state)
    assert (op.command, op.key) == ("SET", "{toy:5}:doc:S-1")
    value, *expiry = op.args
    assert expiry == (["PX", LINGER_MS] if document.lingers else [])
    assert isinstance(value, bytes)
    return value


@given(documents)
def test_a_document_is_the_same_after_redis(document: Document[Sum]) -> None:
    assert DOCUMENTS.read("S-1", stored(document)) == document
    assert stored(document, DOCUMENTS.dump_state(document.state)) == stored(document)


def test_a_subject_never_heard_of_has_a_new_document() -> None:
    assert DOCUMENTS.read("S-1", None) == Document("S-1")


def test_a_document_is_compact_what_is_empty_is_left_out() -> None:
    document = Document("S-1", state=Sum(total=3, count=2), version=2, time=NOON)

    assert unpack(stored(document)) == (
        b'{"version":2,"time":"2026-03-29T12:00:00Z","state":{"deadlines":[],"total":3,"count":2}}'
    )


def test_a_document_of_a_newer_release_is_read_without_what_is_new_in_it() -> None:
    newer = b'{"version":2,"tomorrow":1,"state":{"total":3,"count":2,"more":[1]}}'

    assert DOCUMENTS.read("S-1", newer) == Document("S-1", state=Sum(total=3, count=2), version=2)


@pytest.mark.parametrize(
    "broken", [b"{}", b'{"version":"2"}', b'{"version":1,"state":{"total":"3"}}']
)
def test_a_document_that_is_none_is_a_bug_and_said_aloud(broken: bytes) -> None:
    with pytest.raises(ValidationError):
        DOCUMENTS.read("S-1", broken)


def test_a_document_that_is_not_even_packed_is_said_aloud() -> None:
    for broken in (b"", b"neither", stored(Document("S-1"))[:-1]):
        with pytest.raises(ZstdError):
            DOCUMENTS.read("S-1", broken)


def test_a_packed_document_is_read_for_ever() -> None:
    packed = bytes.fromhex(
        "28b52ffd20583d01007832303331325d33756e74223a327d7d0700d0824166048b13d1f3030e9cc5c0422019"
        "9431b402"
    )
    document = Document("S-1", state=Sum(total=3, count=2), version=2, time=NOON)

    assert DOCUMENTS.read("S-1", packed) == document


def test_a_person_reads_a_document() -> None:
    shown = subprocess.run(
        (sys.executable, "-m", "shared.packing"),
        input=stored(Document("S-1", version=2)) + b"\n",  # as `redis-cli --raw` ends it
        capture_output=True,
        check=True,
    )

    assert from_json(shown.stdout) == {"version": 2, "state": None}


def test_open_deadlines_are_the_states_and_the_earliest_end_of_parking() -> None:
    own = OpenDeadline(kind="toy", due=NOON)
    later = NOON + timedelta(hours=2)
    waiting = (parked("f1", later), parked("f2", NOON))

    assert Document("S-1").deadlines == ()
    assert Document("S-1", state=Sum(deadlines=(own,))).deadlines == (own,)
    assert Document("S-1", state=Sum(deadlines=(own,)), parked=waiting).deadlines == (
        own,
        OpenDeadline(kind=PARKED, due=NOON),
    )


def test_documents_of_one_partition_lie_in_one_slot() -> None:
    assert DOCUMENTS.key(11, "902-3159896-1390916") == "{toy:11}:doc:902-3159896-1390916"
    assert from_json(DOCUMENTS.dump_state(None)) is None
