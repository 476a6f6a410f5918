"""Spans of what a worker does, told to OpenTelemetry once it is committed (see shared/tracing.py).

Each event that is handled is a span in the trace of its order. Each batch is one in a trace of its
own, with links to the spans of its events, as they have to it: one commit serves many orders.
Attributes hold ids, places and counts; never a payload, a name, an address or a card, and of what
is said of a buyer or of a card no subject either.

Exporter, sampler, limits and resource are what OpenTelemetry's own variables say.
"""

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from itertools import islice
from typing import Any, NamedTuple

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from shared.batch import Decided, Input
from shared.events.envelope import Event
from shared.tracing import Traces, order_of, parent_id, span_id, trace_id

MAX_LINKED = 128
"""Events that a batch's span links to: OpenTelemetry's own limit of a span's links."""
CLOSE_LIMIT_S = 1.0
"""For what is not sent yet when a process ends: a collector that is away holds up none."""

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


class _When(NamedTuple):
    """When something happened, in wall time."""

    began_ns: int
    ended_ns: int


class _GivenIds(IdGenerator):
    """The ids of the next span, where they are given; fresh ones else."""

    def __init__(self) -> None:
        self.trace: int | None = None
        self.span: int | None = None
        self._fresh = RandomIdGenerator()

    def generate_trace_id(self) -> int:
        given, self.trace = self.trace, None
        return given or self._fresh.generate_trace_id()

    def generate_span_id(self) -> int:
        given, self.span = self.span, None
        return given or self._fresh.generate_span_id()


class Spans:
    """The spans of one service's worker."""

    def __init__(self, service: str, exporter: SpanExporter, wall_ms: Callable[[], int]) -> None:
        self._service = service
        self._wall_ms = wall_ms
        self._ids = _GivenIds()
        own = {"service.name": f"orderflow-{service}", "service.version": version("orderflow")}
        self._provider = TracerProvider(
            resource=Resource(own).merge(OTELResourceDetector().detect()),
            id_generator=self._ids,
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("orderflow")

    def turn(
        self,
        partition: int,
        inputs: Sequence[Input],
        decided: Decided[Any],
        took_s: float,
    ) -> None:
        """A batch was decided and committed."""
        news = [item for item in inputs if id(item) not in decided.repeated]
        sampled = [item for item in news if self._is_sampled(item.received.event)]
        if not sampled:
            return
        when = self._when(took_s)
        handled = [self._context(item.received.event) for item in sampled]
        batch = self._tracer.start_span(
            "batch",
            kind=SpanKind.CONSUMER,
            start_time=when.began_ns,
            links=[Link(context) for context in islice(handled, MAX_LINKED)],
            attributes={
                "messaging.system": "kafka",
                "messaging.batch.message_count": len(inputs),
                "messaging.destination.partition.id": str(partition),
                "orderflow.facts": len(decided.outgoing),
            },
        )
        dead = {id(letter.record): letter.reason for letter in decided.dead}
        links = [Link(batch.get_span_context())] if batch.is_recording() else []
        for item in sampled:
            self._handled(item, dead.get(id(item.record)), links, when)
        batch.end(when.ended_ns)

    def call(self, asked: Event[Any], took_s: float) -> None:
        """A call to the outside was answered for good."""
        if self._is_sampled(asked):
            self._tell(
                f"call {asked.type}",
                asked,
                span_id(f"{self._service}/calls", asked.id),
                SpanKind.CLIENT,
                self._when(took_s),
            )

    async def close(self) -> None:
        """Send what was told and not sent yet, unless that takes long."""
        loop, sent = asyncio.get_running_loop(), asyncio.Event()

        def send() -> None:
            self._provider.shutdown()
            with suppress(RuntimeError):  # nobody waits any more
                loop.call_soon_threadsafe(sent.set)

        threading.Thread(target=send, daemon=True).start()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_LIMIT_S):
                await sent.wait()

    def _when(self, took_s: float) -> _When:
        ended_ns = self._wall_ms() * 1_000_000
        return _When(ended_ns - round(took_s * 1e9), ended_ns)

    def _is_sampled(self, event: Event[Any]) -> bool:
        """By the trace alone, so that all services take the same orders."""
        result = self._provider.sampler.should_sample(None, trace_id(event), event.type)
        return result.decision is Decision.RECORD_AND_SAMPLE

    def _context(self, event: Event[Any]) -> SpanContext:
        of = span_id(self._service, event.id)
        return SpanContext(trace_id(event), of, is_remote=False, trace_flags=_SAMPLED)

    def _handled(self, item: Input, dead: str | None, batch: list[Link], when: _When) -> None:
        event, record = item.received.event, item.record
        place: dict[str, str | int] = {}
        if record is not None:
            place = {
                "messaging.system": "kafka",
                "messaging.destination.name": record.topic,
                "messaging.destination.partition.id": str(record.partition),
                "messaging.kafka.offset": record.offset,
            }
        links = [*batch, *_producers(event)]
        of = span_id(self._service, event.id)
        self._tell(event.type, event, of, SpanKind.CONSUMER, when, place, links, dead)

    def _tell(
        self,
        name: str,
        event: Event[Any],
        of: int,
        kind: SpanKind,
        when: _When,
        more: Mapping[str, str | int] = {},
        links: Sequence[Link] = (),
        dead: str | None = None,
    ) -> None:
        trace, parent = trace_id(event), parent_id(event)
        self._ids.trace, self._ids.span = trace, of
        above = None
        if parent is not None:
            context = SpanContext(trace, parent, is_remote=True, trace_flags=_SAMPLED)
            above = set_span_in_context(NonRecordingSpan(context))
        attributes = {"messaging.message.id": event.id, **more}
        if (order := order_of(event)) is not None:
            attributes["orderflow.order"] = order
        span = self._tracer.start_span(
            name,
            context=above,
            kind=kind,
            start_time=when.began_ns,
            attributes=attributes,
            links=links,
        )
        self._ids.trace = self._ids.span = None
        if dead is not None:
            span.set_status(Status(StatusCode.ERROR, dead))
        span.end(when.ended_ns)


def exporting(service: str, endpoint: str, wall_ms: Callable[[], int]) -> Traces:
    """Spans that go to a collector by OTLP over HTTP."""
    return Spans(service, OTLPSpanExporter(endpoint=endpoint), wall_ms)


def _producers(event: Event[Any]) -> list[Link]:
    """The context that an event brings, where it is one."""
    if event.traceparent is None:
        return []
    _, trace, span, flags = event.traceparent.split("-")
    context = SpanContext(
        int(trace, 16), int(span, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16))
    )
    return [Link(context)] if context.is_valid else []
