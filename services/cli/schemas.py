"""`orderflow schemas`: what lies on the topics, as JSON Schemas and an AsyncAPI document, and how
events are said by HTTP, as an OpenAPI document.

All are made of the models in `shared/events`, and of nothing else.
"""

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from services.ingest.openapi import document
from shared.events.envelope import CONTENT_TYPE, Event, Fact, Topic
from shared.events.fulfillment import FULFILLMENT_EVENTS, OrderSnapshot
from shared.events.topics import TOPICS

TOLD = tuple(topic for topic in TOPICS if topic.facts)
"""The topics that hold events."""
DRAFT = "https://json-schema.org/draft/2020-12/schema"

_ENVELOPE = "CloudEvent"
_BESIDE: Mapping[str, tuple[type[Fact], ...]] = {FULFILLMENT_EVENTS.name: (OrderSnapshot,)}
"""What lies in the data of every fact of a topic, beside the fact's own fields."""

_COLUMNS = 100


class _Untitled(GenerateJsonSchema):
    """Without a title for each field: it would be the field's name again."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - pydantic's signature
        return False


def schemas(
    out: Annotated[Path, typer.Option(file_okay=False, help="The directory to write into.")] = Path(
        "docs"
    ),
) -> None:
    """Write the JSON Schema of every event, a file per topic, the AsyncAPI document, and the
    OpenAPI document of who takes events by HTTP.
    """
    for name, text in documents().items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        typer.echo(f"wrote {path}")


def documents() -> dict[str, str]:
    """All files by name: `schemas/TOPIC.json`, `asyncapi.yaml` that refers to them, and
    `openapi.yaml`.
    """
    files = {_file(topic): json.dumps(schema_of(topic), indent=2) + "\n" for topic in TOLD}
    return {**files, "asyncapi.yaml": _yaml(_asyncapi()), "openapi.yaml": _yaml(document())}


def _yaml(described: dict[str, Any]) -> str:
    return yaml.safe_dump(described, sort_keys=False, width=_COLUMNS, allow_unicode=True)


def schema_of(topic: Topic) -> dict[str, Any]:
    """The JSON Schema of the structured events on a topic: one of its types, each by its name."""
    beside = _BESIDE.get(topic.name, ())
    models: list[type[BaseModel]] = [Event[Fact], *topic.facts, *beside]
    refs, generated = models_json_schema(
        [(model, "validation") for model in models], schema_generator=_Untitled
    )
    ref = {model: refs[model, "validation"] for model in models}
    parts = generated["$defs"]
    envelope = parts.pop(ref.pop(Event[Fact])["$ref"].rpartition("/")[2])
    parts.pop("Fact", None)
    events = {
        fact.TYPE: _event(fact.TYPE, ref[fact], [ref[b] for b in beside]) for fact in topic.facts
    }
    return {
        "$schema": DRAFT,
        "title": topic.name,
        "description": _about(topic),
        "oneOf": [{"$ref": f"#/$defs/{type_}"} for type_ in events],
        "$defs": {_ENVELOPE: _stripped(envelope), **events, **parts},
    }


def _stripped(envelope: dict[str, Any]) -> dict[str, Any]:
    """What all events have; of which type they are, and their data, each says itself."""
    own = ("type", "data")
    return {
        "description": "CloudEvents 1.0, structured; each type below says what its data are.",
        "type": "object",
        "properties": {k: v for k, v in envelope["properties"].items() if k not in own},
        "required": ["specversion", *(name for name in envelope["required"] if name not in own)],
    }


def _event(type_: str, data: dict[str, Any], beside: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "allOf": [{"$ref": f"#/$defs/{_ENVELOPE}"}],
        "properties": {
            "type": {"const": type_},
            "data": {"allOf": [data, *beside]} if beside else data,
        },
        "required": ["type", "data"],
    }


def _asyncapi() -> dict[str, Any]:
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Orderflow",
            "version": version("orderflow"),
            "description": (
                "CloudEvents 1.0 on Kafka, in structured mode; binary mode is read, too. "
                "docs/connect.md has examples."
            ),
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": CONTENT_TYPE,
        "channels": {topic.name: _channel(topic) for topic in TOLD},
        "operations": {_operation(topic): _says(topic) for topic in TOLD},
    }


def _channel(topic: Topic) -> dict[str, Any]:
    return {
        "address": topic.name,
        "description": _about(topic),
        "messages": {fact.TYPE: _message(topic, fact) for fact in topic.facts},
        "bindings": {"kafka": {"topic": topic.name}},
    }


def _message(topic: Topic, fact: type[Fact]) -> dict[str, Any]:
    return {
        "name": fact.TYPE,
        "summary": " ".join((fact.__doc__ or "").partition("\n\n")[0].split()),
        "payload": {"$ref": f"{_file(topic)}#/$defs/{fact.TYPE}"},
        "bindings": {
            "kafka": {"key": {"type": "string", "description": "The event's subject, in UTF-8."}}
        },
    }


def _operation(topic: Topic) -> str:
    return f"{'send' if topic.publisher else 'receive'}.{topic.name}"


def _says(topic: Topic) -> dict[str, Any]:
    return {
        "action": "send" if topic.publisher else "receive",
        "channel": {"$ref": f"#/channels/{topic.name}"},
        "summary": _about(topic),
    }


def _about(topic: Topic) -> str:
    if topic.publisher:
        return f"Published by {topic.publisher}. Skip types that you do not know."
    return f"From outside; {topic.owner} owns it and keeps what is no event of these types."


def _file(topic: Topic) -> str:
    return f"schemas/{topic.name}.json"
