"""The journal folded back into documents: what a service's own facts say that Redis has to hold.

Pure. A fact that a document knows changes nothing, so folding may begin too early, and again.
"""

from typing import Any

from shared.documents import Document, S
from shared.errors import RefusedStart
from shared.events.envelope import OURS, Event, ServiceFact
from shared.events.parking import EventFailed, EventParked, EventUnparked
from shared.service import Service


def fold(service: Service[S], document: Document[S], event: Event[Any]) -> Document[S]:
    """The document after a fact of the service's journal; as it is, where it knows that fact.

    Raises RefusedStart where facts before this one are gone.
    """
    version = event.subjectversion or 0
    if version <= document.version:
        return document
    if version > document.version + 1:
        raise RefusedStart(
            f"{service.name} knows {event.subject} up to version {document.version}, and the next"
            f" fact that {service.journal.name} has of it is version {version}: others are gone",
            "Restore the topic, or Redis from a newer copy",
        )
    time = max(event.time, document.time) if document.time else event.time
    return _after(service, document, event)._replace(version=version, time=time)


def _after(service: Service[S], document: Document[S], event: Event[Any]) -> Document[S]:
    """The document after a fact, beside its version and time."""
    fact: ServiceFact = event.data
    match fact:
        case EventParked(record=record):
            return document._replace(parked=(*document.parked, record))
        case EventFailed(publisher=publisher, version=failed):
            return document.after_failing(publisher, failed)
        case EventUnparked(event_source=source, event_id=id_, outcome=outcome):
            over = (source, id_)
            rest = tuple(r for r in document.parked if (r.event_source, r.event_id) != over)
            document = document._replace(parked=rest)
            return _remembering(document, event) if outcome == "decided" else document
    state = service.evolve(document.state, fact, event.time)
    return _remembering(document._replace(state=state), event)


def _remembering(document: Document[S], event: Event[Any]) -> Document[S]:
    """The document with what the fact says to remember of the event that it was decided on."""
    document = document._replace(correlation_id=event.correlationid)
    source, version = event.causationsource, event.causationversion
    if source is None:
        return document
    if version is not None:
        return document.after_passing(source.removeprefix(OURS), version)
    cause = f"{source} {event.causationid}"
    # An event that led to several facts is one.
    return document if document.seen[-1:] == (cause,) else document.after_seeing(cause)
