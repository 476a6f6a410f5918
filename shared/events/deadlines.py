"""What deadlines publishes on `deadlines.events`: the moments that others wait for."""

from typing import ClassVar

from shared.events.envelope import ServiceFact, Topic
from shared.events.fields import Identifier, Instant


class DeadlineReached(ServiceFact):
    """A deadline of `publisher` came. The event's `time` is when it was due, never before.

    It acts only where the subject still has exactly this deadline open (kind and due).
    """

    TYPE: ClassVar[str] = "deadline.reached.v1"

    publisher: Identifier
    kind: Identifier
    due: Instant


DEADLINES_EVENTS = Topic(name="deadlines.events", facts=(DeadlineReached,), publisher="deadlines")
