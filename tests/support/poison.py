"""Records that are no events, for the toy's first topic: each with the verdict on it."""

from typing import NamedTuple

from pydantic_core import from_json, to_json

from shared.batch import StoredRecord
from tests.support.toy import Add
from tests.support.toy_story import SUBJECT, record


class Poison(NamedTuple):
    """A record, why it is no event, and at which field."""

    name: str
    record: StoredRecord
    reason: str
    field: str = ""


def good(id_: str, subject: str = SUBJECT) -> StoredRecord:
    """A record that adds one."""
    return record(Add(amount=1), id_, subject)


def _changed(old: bytes, new: bytes) -> StoredRecord:
    value = good("poison").value or b""
    assert old in value
    return good("poison")._replace(value=value.replace(old, new))


def _without(attribute: str) -> StoredRecord:
    event = from_json(good("poison").value or b"")
    del event[attribute]
    return good("poison")._replace(value=to_json(event))


_SUBJECT = b'"%s"' % SUBJECT.encode()
_KEYED = (
    ("null key", None),
    ("empty key", b""),
    ("key that is not the subject", b"S-4712"),
    ("key that is not UTF-8", b"\xff"),
)
_ODD_HEADERS = (("null", None), ("binary", b"\xff\x00"), ("twice", b"1"), ("twice", b"2"))

POISON = (
    Poison("tombstone", good("poison")._replace(value=None), "tombstone"),
    Poison("nothing", good("poison")._replace(key=None, value=None), "tombstone"),
    Poison("no bytes", good("poison")._replace(value=b""), "not_json"),
    Poison("broken JSON", _changed(b"}}", b"}"), "not_json"),
    Poison("garbage after", _changed(b"}}", b"}} x"), "not_json"),
    Poison("not UTF-8", _changed(b'"test"', b'"\xff\xfe"'), "not_json"),
    Poison("byte order mark", _changed(b'{"spec', b'\xef\xbb\xbf{"spec'), "not_json"),
    Poison("NaN", _changed(b":1}", b":NaN}"), "not_json"),
    Poison("infinity", _changed(b":1}", b":-Infinity}"), "not_json"),
    Poison("1e400", _changed(b":1}", b":1e400}"), "not_json"),
    Poison("a number of 10 000 digits", _changed(b":1}", b":%s}" % (b"9" * 10_000)), "not_json"),
    Poison("nesting", _changed(b":1}", b":" + b"[" * 10**4 + b"]" * 10**4 + b"}"), "not_json"),
    Poison("duplicate key", _changed(b":1}", b':1,"amount":2}'), "not_json"),
    Poison("duplicate attribute", _changed(b'"id":', b'"id":"a","id":'), "not_json"),
    Poison("NUL", _changed(b'"test"', b'"te\x00st"'), "not_json"),
    Poison("NUL in an id", _changed(b'"poison"', rb'"poi\u0000son"'), "invalid_field", "id"),
    Poison("lone surrogate", _changed(b'"test"', rb'"\ud800"'), "not_json"),
    Poison("an array", good("poison")._replace(value=b"[]"), "not_an_object"),
    Poison("a text", good("poison")._replace(value=b'"text"'), "not_an_object"),
    Poison("null", good("poison")._replace(value=b"null"), "not_an_object"),
    Poison("empty object", good("poison")._replace(value=b"{}"), "invalid_field", "type"),
    Poison("wrong type", _changed(b":1}", b':"1"}'), "invalid_field", "data.amount"),
    Poison("a fraction", _changed(b":1}", b":1.5}"), "invalid_field", "data.amount"),
    Poison("no data", _without("data"), "invalid_field", "data"),
    Poison("no id", _without("id"), "invalid_field", "id"),
    Poison("no subject", _without("subject"), "invalid_field", "subject"),
    Poison("no time", _without("time"), "invalid_field", "time"),
    Poison("empty subject", _changed(_SUBJECT, b'""'), "invalid_field", "subject"),
    Poison("long subject", _changed(_SUBJECT, b'"%s"' % (b"S" * 129)), "invalid_field", "subject"),
    Poison("unknown type", _changed(b"toy.add.v1", b"toy.sub.v1"), "unknown_type", "type"),
    Poison("unknown version", _changed(b"toy.add.v1", b"toy.add.v2"), "unknown_type", "type"),
    Poison("a type that is no text", _changed(b'"toy.add.v1"', b"[1]"), "invalid_field", "type"),
    Poison("CloudEvents 0.3", _changed(b'"1.0"', b'"0.3"'), "invalid_field", "specversion"),
    Poison("in the future", _changed(b"2026-", b"2126-"), "time_in_future", "time"),
    Poison("1 MB", good("poison")._replace(value=b"\x00" * 1_000_000), "too_large"),
    *(
        Poison(name, good("poison")._replace(key=key), "key_is_not_subject", "key")
        for name, key in _KEYED
    ),
    Poison(
        "odd headers",
        good("poison")._replace(value=b"{", headers=_ODD_HEADERS),
        "not_json",
    ),
)
