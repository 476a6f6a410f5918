"""Traces: an order is one, over all services and for all its life.

Whoever handles an event knows the ids of its trace and of the spans around it from the event alone:
the trace is that of the order that it is about, a span that of a service and an event, and its
parent that of the event that led to it. So nothing is stored or sent for a trace, a fact has the
same bytes whether anybody traces or not, and again after a crash. A context that a producer's event
brings (`traceparent`) is linked, and goes on in the facts that follow from it.

Without OTEL_EXPORTER_OTLP_ENDPOINT nothing of OpenTelemetry is imported, and nothing paid for a
record. With it, `shared/spans.py` tells the spans.
"""

from collections.abc import Callable, Sequence
from hashlib import sha256
from importlib import import_module
from typing import Any, Protocol

from shared.batch import Decided, Input
from shared.errors import RefusedStart
from shared.events.envelope import OURS, Event
from shared.settings import Settings


class Traces(Protocol):
    """Hears what a worker has just done, and how long it took."""

    def turn(
        self, partition: int, inputs: Sequence[Input], decided: Decided[Any], took_s: float
    ) -> None:
        """A batch was decided and committed."""

    def call(self, asked: Event[Any], took_s: float) -> None:
        """A call to the outside was answered for good."""

    async def close(self) -> None:
        """Send what was told and not sent yet, unless that takes long."""


def traces_of(service: str, settings: Settings, wall_ms: Callable[[], int]) -> Traces | None:
    """Where a service's spans go; None where nobody asks for them. `wall_ms` is its clock.

    Raises RefusedStart where the libraries are missing.
    """
    base, own = settings.otel_exporter_otlp_endpoint, settings.otel_exporter_otlp_traces_endpoint
    endpoint = own or (base and f"{base.rstrip('/')}/v1/traces")
    if not endpoint:
        return None
    try:
        spans = import_module("shared.spans")
    except ImportError as error:
        raise RefusedStart(
            f"OTEL_EXPORTER_OTLP_ENDPOINT is set, but {error.name} is not installed",
            "Install orderflow[otel], or unset it",
        ) from error
    traces: Traces = spans.exporting(service, endpoint, wall_ms)
    return traces


def order_of(event: Event[Any]) -> str | None:
    """The order that an event is about; SKUs, buyers and cards are named with a slash."""
    return None if "/" in event.subject else event.subject


def trace_id(event: Event[Any]) -> int:
    """The trace of an event: its order's. What is about none begins one with the event that led
    to it.
    """
    return _hashed(order_of(event) or event.causationid or event.id, 16)


def span_id(service: str, event_id: str) -> int:
    """The span of a service that handles an event."""
    return _hashed(f"{service} {event_id}", 8)


def parent_id(event: Event[Any]) -> int | None:
    """The span in which an event was made; None for one from outside, and for what comes due."""
    if event.causationid is None or not event.source.startswith(OURS):
        return None
    return span_id(event.source.removeprefix(OURS), event.causationid)


def _hashed(text: str, size: int) -> int:
    """So many bytes of a hash; never 0, which W3C has for "none"."""
    return int.from_bytes(sha256(text.encode()).digest()[:size]) or 1
