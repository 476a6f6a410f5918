"""What docs/ says about events is what the models say, and what was released stays true."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from services.cli.app import app
from services.cli.schemas import TOLD, documents, schema_of
from shared.events.envelope import Event, Topic
from shared.events.fulfillment import FULFILLMENT_EVENTS, OrderSnapshot
from tests.support.compatibility import incompatible, whole

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
EXAMPLES = DOCS / "examples"
RELEASED = sorted((ROOT / "tests" / "released").iterdir())
"""A directory for each release, a copy of its docs/schemas."""

DOCUMENTS = documents()

EVENTS = [
    pytest.param(topic, type_, id=f"{topic.name}-{type_}")
    for topic in TOLD
    for type_ in topic.models
]
BY_NAME = {topic.name: topic for topic in TOLD}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_docs_are_in_step_with_the_models_of_the_events(name: str) -> None:
    written = (DOCS / name).read_text(encoding="utf-8")

    assert written == DOCUMENTS[name], "make them anew: orderflow schemas"


def test_there_is_no_schema_of_a_topic_that_is_gone() -> None:
    assert {path.stem for path in (DOCS / "schemas").iterdir()} == BY_NAME.keys()


def test_the_command_writes_them_all_where_it_is_told(tmp_path: Path) -> None:
    said = CliRunner().invoke(app, ["schemas", "--out", str(tmp_path)])

    assert said.exit_code == 0
    written = {
        str(path.relative_to(tmp_path)): path.read_text(encoding="utf-8")
        for path in tmp_path.rglob("*.*")
        if path.is_file()
    }
    assert written == DOCUMENTS


# -- what was released -----------------------------------------------------------------------------


@pytest.mark.parametrize("release", RELEASED, ids=lambda path: path.name)
@pytest.mark.parametrize("topic", TOLD, ids=lambda topic: topic.name)
def test_a_released_event_has_at_most_further_optional_fields(release: Path, topic: Topic) -> None:
    old, new = json.loads((release / f"{topic.name}.json").read_text()), schema_of(topic)

    changes = [
        f"{type_}: {change}"
        for type_ in (ref["$ref"].removeprefix("#/$defs/") for ref in old["oneOf"])
        for change in incompatible(whole(old, type_), whole(new, type_))
    ]
    assert changes == [], f"released in {release.name}: give the event a new version"


def schema(**data: Any) -> dict[str, Any]:
    part = {
        "type": "object",
        "properties": {"note": {"type": "string", "maxLength": 9}, "kind": {"enum": ["a", "b"]}},
        "required": ["note"],
    }
    event = {"properties": {"data": {"$ref": "#/$defs/Noted"}}}
    return {"$defs": {"noted.v1": event, "Noted": {**part, **data}}}


NOTE, KIND = {"type": "string", "maxLength": 9}, {"enum": ["a", "b"]}


@pytest.mark.parametrize(
    ("now", "found"),
    [
        (schema(required=["note", "kind"]), "/required was"),
        (schema(properties={"kind": KIND}), "/properties/note is gone"),
        (schema(properties={"note": {**NOTE, "maxLength": 8}, "kind": KIND}), "maxLength was 9"),
        (schema(properties={"note": NOTE, "kind": {"enum": ["a", "b", "c"]}}), "kind/enum was"),
        (schema(properties={"note": {"type": "integer"}, "kind": KIND}), "note/type was string"),
        (schema(additionalProperties=False), "additionalProperties is new"),
    ],
)
def test_a_change_that_somebody_would_notice_is_found(now: dict[str, Any], found: str) -> None:
    changes = list(incompatible(whole(schema(), "noted.v1"), whole(now, "noted.v1")))

    assert any(found in change for change in changes), changes


def test_a_further_optional_field_and_other_words_are_no_change() -> None:
    more = {"note": NOTE, "kind": KIND, "more": {"type": "string"}}
    now = schema(properties=more, description="Something was noted.")

    assert list(incompatible(whole(schema(), "noted.v1"), whole(now, "noted.v1"))) == []


# -- golden messages -------------------------------------------------------------------------------


@pytest.mark.parametrize(("topic", "type_"), EVENTS)
def test_the_golden_message_of_each_event_is_read_to_its_last_field(
    topic: Topic, type_: str
) -> None:
    message = (EXAMPLES / topic.name / f"{type_}.json").read_bytes()
    read = topic.models[type_].model_validate_json(message).model_dump(mode="json")
    if topic is FULFILLMENT_EVENTS:
        beside = Event[OrderSnapshot].model_validate_json(message)
        read["data"] |= beside.data.model_dump(mode="json")

    assert read["type"] == type_
    assert list(unread(json.loads(message), read)) == []


def unread(said: Any, read: Any, where: str = "") -> Iterator[str]:
    """The places of what a message says and a model does not."""
    if isinstance(said, dict) and isinstance(read, dict):
        for name, value in said.items():
            yield from unread(value, read.get(name), f"{where}/{name}")
    elif isinstance(said, list) and isinstance(read, list) and len(said) == len(read):
        for n, (value, other) in enumerate(zip(said, read, strict=True)):
            yield from unread(value, other, f"{where}/{n}")
    elif said != read:
        yield where


def test_a_field_that_no_model_reads_any_more_is_found() -> None:
    said = {"data": {"items": [{"sku": "LAMP", "colour": "red"}]}}

    assert list(unread(said, {"data": {"items": [{"sku": "LAMP"}]}})) == ["/data/items/0/colour"]
