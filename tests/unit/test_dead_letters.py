"""Dead letters that are too large: a part that says so, and what is sent on always fits (P6)."""

import pytest
from pydantic_core import from_json

from shared.batch import MAX_TRACEBACK, DeadLetter, StoredRecord
from shared.dead_letters import MAX_DETAIL_BYTES, cut_letter, letter_headers, read_letter
from shared.decode import MAX_HEADERS_BYTES
from shared.events.envelope import MAX_OUTSIDE_EVENT_BYTES
from shared.kafka import CUT_LETTER_BYTES, MAX_INPUT_BYTES, MAX_RECORD_BYTES
from tests.support.poison import good

HEADERS = (("née", b"\xff" * 3), ("null", None), ("tr\udcffce", b""))
WHOLE = good("e-1")._replace(key=b"k" * 10, value=b"v" * 100, headers=HEADERS)


def cut(record: StoredRecord, room: int) -> StoredRecord:
    """A record as its letter has it that was cut, sent and read."""
    letter = DeadLetter(record, "too_large", "why")
    part = cut_letter(letter, room)
    texts = letter_headers(part, "toy", whole=record)
    sent = part.record
    read = read_letter(
        good("l")._replace(
            key=sent.key,
            value=sent.value or b"",
            headers=tuple((name, text.encode()) for name, text in texts.items()),
        )
    )
    assert read.truncated
    assert (read.origin, read.reason) == (f"{record.topic}:{record.partition}:0", "too_large")
    assert from_json(texts["deadletter-truncated"]) == {
        "headers": len(record.headers),
        "key": len(record.key or b""),
        "value": len(record.value or b""),
    }
    return record._replace(key=read.key, value=read.value, headers=read.headers)


@pytest.mark.parametrize(
    ("room", "headers", "key", "value"),
    [(0, 0, 0, 0), (21, 0, 0, 0), (37, 1, 0, 0), (63, 3, 5, 0), (78, 3, 10, 10), (999, 3, 10, 100)],
)
def test_p6_of_a_letter_that_is_cut_headers_are_kept_first_then_key_then_value(
    room: int, headers: int, key: int, value: int
) -> None:
    part = cut(WHOLE, room)

    assert part.headers == HEADERS[:headers]
    assert (part.key, part.value) == (b"k" * key, b"v" * value)


def test_p6_what_was_null_is_null_in_a_letter_that_is_cut() -> None:
    part = cut(WHOLE._replace(key=None, value=None), 999)

    assert (part.key, part.value) == (None, None)


def test_p6_a_letter_that_is_cut_fits_with_the_longest_reason_and_headers_that_grow_most() -> None:
    odd = WHOLE._replace(value=b"v" * 9 * 2**20, headers=(("\udcff", b"\xff"),) * 2**17)
    longest = DeadLetter(odd, "decision_failed", "\U0001f4a5" * 4_000, "f" * 200)

    part = cut_letter(longest, CUT_LETTER_BYTES[0])
    texts = letter_headers(part, "fulfillment", whole=odd)

    sizes = [len(text.encode()) for pair in texts.items() for text in pair]
    own = len(part.record.key or b"") + len(part.record.value or b"")
    assert own + sum(sizes) < MAX_RECORD_BYTES - 64 * 1024


def test_p6_what_is_sent_on_fits_its_topic_even_if_nothing_of_it_can_be_compressed() -> None:
    room_for_the_rest = 64 * 1024
    assert MAX_OUTSIDE_EVENT_BYTES + MAX_HEADERS_BYTES + room_for_the_rest < MAX_INPUT_BYTES


def told(detail: str, field: str = "data.note") -> dict[str, str]:
    """What a letter's headers say of a detail, as they were sent and read."""
    texts = letter_headers(DeadLetter(good("l"), "decision_failed", detail, field), "toy")
    return {name: text.encode().decode() for name, text in texts.items()}


@pytest.mark.parametrize(
    ("detail", "shown"),
    [
        ("née, 好, \U0001f4a5: as it is", "née, 好, \U0001f4a5: as it is"),
        ("a lone \udcff", r"a lone \udcff"),
        ("ends\x00here", r"ends\x00here"),
        ("Traceback:\n  line 7\r\nKeyError: 'a'\n", r"Traceback:\n  line 7\r\nKeyError: 'a'"),
        ("\x1b[2J\u2028\u202e", r"\x1b[2J\u2028\u202e"),
    ],
)
def test_p6_whatever_a_detail_holds_it_is_one_line_that_every_client_reads(
    detail: str, shown: str
) -> None:
    said = told(detail, field=detail)

    assert said["deadletter-detail"] == said["deadletter-field"] == shown


def test_p6_a_detail_that_is_too_long_keeps_its_ends_and_says_what_is_left_out() -> None:
    said = told("begins " + "é" * MAX_DETAIL_BYTES + "\udcff" * 10**6 + " KeyError")

    detail = said["deadletter-detail"]
    assert detail.startswith("begins ééé")
    assert detail.endswith(r"\udcff KeyError")
    left_out = 2 * MAX_DETAIL_BYTES + 6 * 10**6 + len("begins  KeyError") - MAX_DETAIL_BYTES
    assert f" [{left_out} bytes are left out] " in detail
    assert len(detail.encode()) < MAX_DETAIL_BYTES + 100


def test_p6_a_detail_of_the_longest_traceback_is_kept_whole() -> None:
    detail = "\U0001f4a5" * MAX_TRACEBACK

    assert told(detail)["deadletter-detail"] == detail
