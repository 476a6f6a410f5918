"""A record of the topic of dead letters, as an event about the letter."""

from datetime import datetime

from services.dashboard.decisions import Kept
from services.dashboard.state import Letter
from shared.clock import from_ms, to_ms
from shared.dead_letters import Kept as DeadLetterKept
from shared.dead_letters import read_letter
from shared.decode import MAX_ARRIVAL, Record
from shared.events.dashboard import letter_subject
from shared.events.envelope import OURS, Event, Topic
from shared.events.fields import MIN_INSTANT
from shared.kafka import DEAD_LETTERS

MAX_DETAIL = 600
"""Characters of a reason in a list: a sentence, or the end of a traceback; the record has all."""
MAX_KEY = 128
"""Characters of a record's key: a subject has no more."""

LETTERS = Topic(name=DEAD_LETTERS, facts=(Kept,), publisher="every service", counted=False)
"""The topic as dashboard reads it: it holds records as they came, and no events."""


def letter_event(record: Record) -> Event[Kept] | None:
    """The letter that a record is; None for what no service of ours put there.

    One that was kept because this service failed at a letter is none either: it would go on for
    ever.
    """
    try:
        kept = read_letter(record)
        return None if kept.topic == DEAD_LETTERS else _event(record, kept)
    except (ValueError, TypeError, RecursionError):  # headers may hold anything
        return None


def _event(record: Record, kept: DeadLetterKept) -> Event[Kept]:
    letter = Letter(
        origin=kept.origin,
        service=kept.service,
        reason=kept.reason,
        field=kept.field,
        detail=kept.detail[-MAX_DETAIL:],
        subject=(kept.key or b"").decode(errors="replace")[:MAX_KEY],
        offset=record.offset,
        size_bytes=len(kept.value or b""),
        kept_at=_instant(record.timestamp),
    )
    return Event[Kept](
        id=f"{record.topic}:{record.partition}:{record.offset}",
        source=f"{OURS}{kept.service}",
        type=Kept.TYPE,
        subject=letter_subject(kept.origin),
        time=letter.kept_at,
        data=Kept(letter=letter),
    )


def _instant(wall_ms: int) -> datetime:
    """A wall instant of any clock, as one that an event may name."""
    bounded = min(max(wall_ms, to_ms(MIN_INSTANT)), to_ms(MAX_ARRIVAL))
    return from_ms(bounded)
