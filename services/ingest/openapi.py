"""The OpenAPI document of the endpoint, made of the models of the events."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from pydantic import TypeAdapter

from services.ingest.decisions import BATCH, BINARY, MAX_BODY_BYTES, MAX_EVENTS, STRUCTURED
from shared.events.envelope import MAX_OUTSIDE_EVENT_BYTES, Event, Fact
from shared.events.topics import FROM_OUTSIDE

_ATTRIBUTES = ("id", "source", "type", "subject", "time")
_EXAMPLE: Mapping[str, Any] = {
    "specversion": "1.0",
    "id": "count-1",
    "source": "my-warehouse",
    "type": "stock.set.v1",
    "subject": "SELLER-1/KETTLE-RED",
    "time": "2026-03-11T09:30:00Z",
    "data": {"seller_id": "SELLER-1", "sku": "KETTLE-RED", "on_hand": 5},
}
_ABOUT = f"""\
Write CloudEvents to the topics of Orderflow, each to the one that its type belongs on and to its
subject's partition. A request is written as a whole or not at all, and 202 is answered once Kafka
has acked all of it. Send what was answered by 503, or by nothing, again under the same ids: an
event that was written before is no news. What data a type has: docs/schemas/TOPIC.json.
An event has at most {MAX_OUTSIDE_EVENT_BYTES} bytes, a batch {MAX_EVENTS} events, a request
{MAX_BODY_BYTES} bytes. `orderflow tokens create` makes a token."""


def document() -> dict[str, Any]:
    """The whole document, OpenAPI 3.1."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Orderflow: events by HTTP",
            "version": version("orderflow"),
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {"/events": {"post": _post()}},
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {
                "CloudEvent": _cloud_event(),
                "Accepted": _object(
                    id="string", topic="string", partition="integer", offset="integer"
                ),
                "Refused": _object(reason="string", field="string", detail="string"),
                "AcceptedBatch": _list_of("events", "Accepted"),
                "RefusedBatch": _list_of("refused", "RefusedEvent"),
                "RefusedEvent": _object(
                    index="integer", reason="string", field="string", detail="string"
                ),
            },
        },
    }


def _post() -> dict[str, Any]:
    retry = {
        "retry-after": {"description": "Seconds.", "required": True, "schema": {"type": "integer"}}
    }
    refused = ("Refused",)
    return {
        "operationId": "writeEvents",
        "summary": "Write one event, or a batch of them.",
        "security": [{"token": []}],
        "parameters": [_header(name) for name in ("specversion", *_ATTRIBUTES)],
        "requestBody": {
            "required": True,
            "content": {
                STRUCTURED: {"schema": _ref("CloudEvent"), "example": _EXAMPLE},
                BATCH: {
                    "schema": {
                        "type": "array",
                        "items": _ref("CloudEvent"),
                        "maxItems": MAX_EVENTS,
                    },
                    "example": [_EXAMPLE],
                },
                BINARY: {
                    "schema": {"type": "object", "description": "The event's data."},
                    "example": _EXAMPLE["data"],
                },
            },
        },
        "responses": {
            "202": _answer("Kafka has all of it.", ("Accepted", "AcceptedBatch")),
            "400": _answer("It is not JSON, as it should be.", refused),
            "401": _answer("There is no such token.", refused),
            "403": _answer("The token may not say that.", refused),
            "413": _answer("There is too much of it.", refused),
            "415": _answer("It is of another content type.", refused),
            "422": _answer("It is no event, and says at which field.", ("Refused", "RefusedBatch")),
            "429": {**_answer("The token has said too much.", refused), "headers": retry},
            "503": {**_answer("Kafka or Redis is away: try again.", refused), "headers": retry},
        },
    }


def _cloud_event() -> dict[str, Any]:
    """What all events have, of the model that they are read by."""
    made = TypeAdapter(Event[Fact]).json_schema()
    properties = {name: _untitled(made["properties"][name]) for name in _ATTRIBUTES}
    properties["type"] = {"enum": sorted(t for topic in FROM_OUTSIDE for t in topic.models)}
    return {
        "type": "object",
        "properties": {
            "specversion": {"const": "1.0"},
            **properties,
            "traceparent": _untitled(made["properties"]["traceparent"]),
            "data": {"type": "object"},
        },
        "required": ["specversion", *_ATTRIBUTES, "data"],
    }


def _untitled(schema: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in schema.items() if name not in {"title", "default"}}


def _header(name: str) -> dict[str, Any]:
    return {
        "name": f"ce-{name}",
        "in": "header",
        "description": f"In binary mode: the event's {name}, percent-encoded where it is no ASCII.",
        "schema": {"type": "string"},
        "example": _EXAMPLE[name],
    }


def _answer(description: str, schemas: Sequence[str]) -> dict[str, Any]:
    of = [_ref(name) for name in schemas]
    schema = of[0] if len(of) == 1 else {"oneOf": of}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _object(**types: str) -> dict[str, Any]:
    properties = {name: {"type": type_} for name, type_ in types.items()}
    return {"type": "object", "properties": properties, "required": [*types]}


def _list_of(name: str, schema: str) -> dict[str, Any]:
    properties = {name: {"type": "array", "items": _ref(schema)}}
    return {"type": "object", "properties": properties, "required": [name]}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}
