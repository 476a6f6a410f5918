"""What a fact shows. Dashboard decides nothing: each fact is news about its subject, as it is."""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import ConfigDict

from services.dashboard.state import (
    Change,
    Entry,
    FactShown,
    Handled,
    HandledShown,
    Letter,
    LetterShown,
    LevelShown,
    View,
)
from shared.clock import to_ms
from shared.events.dashboard import LetterDiscarded, LetterReplayed
from shared.events.envelope import OURS, Event, Fact, ServiceFact
from shared.events.fulfillment import Order
from shared.events.inventory import StockLevelChanged
from shared.policy import Policies
from shared.service import Facts, Received

SHORT_ID = 8
"""Characters of an id of ours: enough to find a cause among the facts of one order."""

SAID = frozenset(
    {
        "amount",
        "because",
        "captured",
        "cause",
        "condition",
        "detail",
        "due",
        "edited",
        "field",
        "how",
        "in_stock",
        "kind",
        "lacking",
        "nth",
        "occurrence",
        "outcome",
        "package_reference_id",
        "payment_id",
        "publisher",
        "reason",
        "recipient",
        "request_type",
        "requested_by",
        "return_id",
        "sellable",
        "damaged",
        "tracking_number",
        "units",
        "written_off",
    }
)
"""Members of facts that a timeline keeps: what happened, and never to whom or where."""
WITHIN: Mapping[str, tuple[str, ...]] = {
    "cancellation": ("reason", "requested_by", "executed_by", "within_hold", "seller_reason_code"),
    "delay": ("reason", "expected_ship_date"),
    "package": ("package_reference_id", "carrier_code", "carrier_name", "tracking_number"),
    "request": ("reason", "answer_due"),
    "stuck": ("reason",),
    "record": ("topic", "offset"),
    "ship_window": ("latest",),
    "delivery_window": ("latest",),
}
"""And of those members that have members."""


class Told(ServiceFact):
    """Any fact of ours about an order: its deadlines, the snapshot where it has one, and what it
    says besides, as it came.
    """

    model_config = ConfigDict(extra="allow")

    TYPE: ClassVar[str] = "dashboard.told.v1"

    order: Order | None = None


class Kept(Fact):
    """A dead letter was kept; `letters.py` makes it of its record."""

    TYPE: ClassVar[str] = "dashboard.kept.v1"

    letter: Letter


def decide(state: View | None, received: Received, _policies: Policies) -> Facts:
    """What is shown of it: R22 wants each fact, when, caused by what, and where it lies."""
    event = received.event
    match event.data:
        case Told() as told:
            return _told(received, told)
        case StockLevelChanged() as level:
            before = state.level if state else None
            if before is not None and before.has_seen(level.level_version):
                return ()
            return [_level_shown(event, level)]
        case Kept() as kept:
            letter = kept.letter.model_copy(update={"kept_at": received.at})
            known = state is not None and state.letter is not None
            return () if known else [LetterShown(letter=letter)]
        case LetterReplayed() | LetterDiscarded():
            return [HandledShown(handled=_handled(received, event.data))]
    raise TypeError(f"{event.type} is nothing that dashboard reads")


def _told(received: Received, told: Told) -> Facts:
    event = received.event
    if "/" in event.subject:  # a payer that is blocked or not: of no order
        return ()
    return [
        FactShown.model_construct(
            publisher=event.source.removeprefix(OURS),
            entry=entry_of(received, told.model_extra or {}),
            order=told.order,
            waits=told.deadlines if received.publisher else None,
        )
    ]


def entry_of(received: Received, members: Mapping[str, Any]) -> Entry:
    """The line of a timeline that a fact makes."""
    event = received.event
    assert received.origin is not None, "every fact that is shown came as a record"
    topic, offset = received.origin
    source = event.causationsource or ""
    ours = event.causationversion is not None
    return Entry(
        type=event.type,
        time_ms=to_ms(event.time),
        late_ms=max(to_ms(received.at) - to_ms(event.time), 0),
        topic=topic,
        offset=offset,
        id=event.id[:SHORT_ID],
        cause=_cause(event),
        cause_source="" if ours else source,
        said=said(members),
    )


def said(members: Mapping[str, Any]) -> dict[str, Any]:
    """Those members of a fact that its line keeps."""
    kept = {name: value for name, value in members.items() if name in SAID}
    for name, inner in WITHIN.items():
        if isinstance(found := members.get(name), dict):
            kept[name] = {each: found[each] for each in inner if each in found}
    return kept


def _cause(event: Event[Any]) -> str:
    """An id of ours is a UUID, and cut; a producer's may be anything."""
    cause = event.causationid or ""
    outside = event.causationsource is not None and event.causationversion is None
    return cause if outside else cause[:SHORT_ID]


def _handled(received: Received, did: LetterReplayed | LetterDiscarded) -> Handled:
    event = received.event
    assert received.origin is not None, "it came as a record"
    done = Handled(
        what="discarded",
        source=event.source,
        time_ms=to_ms(event.time),
        offset=received.origin[1],
        record_key=did.record_key,
    )
    if isinstance(did, LetterDiscarded):
        return done._replace(reason=did.reason)
    return done._replace(what="edited" if did.edited else "replayed", copy_at=did.copy_at)


def _level_shown(event: Event[Any], level: StockLevelChanged) -> LevelShown:
    return LevelShown(
        seller_id=level.seller_id,
        sku=level.sku,
        available=level.available,
        change=Change(
            version=level.level_version,
            time_ms=to_ms(event.time),
            on_hand_change=level.on_hand_change,
            reserved_change=level.reserved_change,
            on_hand=level.on_hand,
            reserved=level.reserved,
            cause=_cause(event),
            cause_source=event.causationsource or "",
        ),
    )
