"""Redis against the journals: Redis holds what they come to, no more and no less."""

from typing import Any

from jiter import from_json

from shared.books.result import Draft
from shared.books.story import Json, Story, event_of
from shared.errors import OrderflowError
from shared.events.deadlines import DEADLINES_EVENTS
from shared.events.parking import PARKING
from shared.packing import unpack
from shared.service import Service

_PARKING = frozenset(fact.TYPE for fact in PARKING)
_CAN_NOT_FOLLOW = (ValueError, TypeError, LookupError, AssertionError, OrderflowError)
"""What `evolve` raises for a fact that can not follow on the state: a broken invariant."""


def fold(service: Service[Any], story: Story, value: bytes, event: Json) -> None:
    """Apply the next fact of a journal to the subject's state.

    A journal with whole snapshots needs none: the last one is the state. What deadlines knows is
    in the journals of others, and the ledger is checked against those.
    """
    if service.snapshot is not None:
        story.snapshot = value
        return
    model = service.journal.models.get(event["type"])
    skipped = service.journal is DEADLINES_EVENTS or event["type"] in _PARKING
    if skipped or model is None or service.name in story.broken:
        return
    try:
        fact = model.model_validate_json(value)
        before = story.states.get(service.name)
        story.states[service.name] = service.evolve(before, fact.data, fact.time)
    except _CAN_NOT_FOLLOW as error:
        story.broken[service.name] = f"{event['type']} {event['id']} can not follow: {error}"


def check_document(service: Service[Any], story: Story, stored: bytes | None, page: Draft) -> None:
    """A subject's document has the journal's last version, its state, and what it parked."""
    name, last = service.name, story.last(service.journal)
    if stored is None and last is None:
        return
    if stored is None:
        page.violate(story.subject, f"has facts in {service.journal.name}, but no document")
        return
    page.count("documents")
    document = from_json(unpack(stored))
    version = last.version if last is not None else 0
    if document["version"] != version:
        found = f"is at version {document['version']} in Redis, at {version} in the journal"
        page.violate(story.subject, f"{name} {found}")
        return
    if service.journal is DEADLINES_EVENTS:
        return
    if name in story.broken:
        page.violate(story.subject, f"{name}: {story.broken[name]}")
    elif document["state"] != _state(service, story):
        page.violate(story.subject, f"{name} has another state in Redis than its journal says")
    parked = [event_of(record) for record in document.get("parked", ())]
    if parked != story.parked(service.journal):
        page.violate(story.subject, f"{name} has other events parked than its journal says")


def _state(service: Service[Any], story: Story) -> Json | None:
    if service.snapshot is not None:
        return story.order()
    state: Json | None = from_json(service.documents.dump_state(story.states.get(service.name)))
    return state
