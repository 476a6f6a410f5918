"""Spans: which trace, which parent, which links, and nothing of what was said."""

import os
import subprocess
import sys
from collections.abc import Sequence
from threading import Event as Flag
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import StatusCode

from shared.batch import DeadLetter, Decided, Input, Outgoing, StoredRecord
from shared.events.envelope import Event
from shared.service import Received
from shared.settings import Settings
from shared.spans import MAX_LINKED, Spans
from shared.tracing import traces_of
from tests.support.orders import PURCHASED, order_placed

ORDER = "902-0000017-1390916"
WALL_MS = 1_773_000_000_123
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Kept(SpanExporter):
    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.spans += spans
        return SpanExportResult.SUCCESS


class Service:
    """One service's worker, as far as traces go."""

    def __init__(self, name: str) -> None:
        self._exporter = Kept()
        self.traces = Spans(name, self._exporter, lambda: WALL_MS)

    def handles(self, *events: Event[Any], decided: Decided[Any] | None = None) -> None:
        inputs = [item(event, n) for n, event in enumerate(events)]
        self.traces.turn(3, inputs, decided or Decided(), 0.025)

    @property
    def told(self) -> list[ReadableSpan]:
        """All spans; another thread exports them."""
        self.traces._provider.force_flush()
        return self._exporter.spans

    @property
    def spans(self) -> dict[str, ReadableSpan]:
        """By name."""
        return {span.name: span for span in self.told}


def event(
    type_: str = "order.placed.v1",
    id_: str = "shop-1",
    subject: str = ORDER,
    source: str = "my-shop",
    **more: Any,
) -> Event[Any]:
    data = order_placed(order_id=ORDER).event.data
    return Event[Any].model_construct(
        id=id_, source=source, type=type_, subject=subject, time=PURCHASED, data=data, **more
    )


def item(of: Event[Any], offset: int = 0) -> Input:
    record = StoredRecord("orders", 3, offset, WALL_MS, of.subject.encode(), b"{}", ())
    return Input(Received(of, PURCHASED), record)


def ids(span: ReadableSpan) -> tuple[int, int]:
    assert span.context is not None
    return span.context.trace_id, span.context.span_id


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_TRACES_SAMPLER"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def inventory() -> Service:
    return Service("inventory")


@pytest.fixture
def payment() -> Service:
    return Service("payment")


RESERVED = event(
    "stock.reserved.v1", "r-1", source="orderflow/inventory", causationid="shop-1",
    correlationid="shop-1",
)  # fmt: skip


def test_a_fact_is_handled_below_the_span_of_what_led_to_it_in_the_trace_of_its_order(
    inventory: Service, payment: Service
) -> None:
    inventory.handles(event())
    payment.handles(RESERVED)

    first, second = inventory.spans["order.placed.v1"], payment.spans["stock.reserved.v1"]
    assert first.parent is None
    assert second.parent is not None
    assert (second.parent.trace_id, second.parent.span_id) == ids(first)
    assert ids(second)[0] == ids(first)[0]


def test_the_trace_of_an_order_is_the_begin_of_its_ids_sha256(inventory: Service) -> None:
    inventory.handles(event())

    # printf %s ORDER | sha256sum | cut -c-32
    assert (
        f"{ids(inventory.spans['order.placed.v1'])[0]:032x}" == "83bdd3939158cc82bc9e27ddef2e4065"
    )


def test_what_is_decided_again_is_the_same_span(inventory: Service) -> None:
    again = Service("inventory")
    inventory.handles(event())
    again.handles(event())

    assert ids(inventory.spans["order.placed.v1"]) == ids(again.spans["order.placed.v1"])


def test_a_repeat_is_no_span(inventory: Service) -> None:
    repeat = item(event())

    inventory.traces.turn(3, [repeat], Decided(repeated={id(repeat)}), 0.025)

    assert inventory.spans == {}


def test_a_batch_is_a_span_linked_with_those_of_its_events(inventory: Service) -> None:
    facts = [Outgoing("stock.levels", 3, b"k", b"v")] * 5
    orders = [event(id_=f"shop-{n}", subject=f"902-{n}") for n in range(3)]

    inventory.handles(*orders, decided=Decided(outgoing=facts))

    batch = inventory.spans["batch"]
    events = [span for span in inventory.told if span.name == "order.placed.v1"]
    assert len({ids(span)[0] for span in (batch, *events)}) == 4
    assert [(link.context.trace_id, link.context.span_id) for link in batch.links] == [
        ids(span) for span in events
    ]
    assert all(link.context == batch.context for span in events for link in span.links)
    assert batch.attributes is not None
    assert batch.attributes["messaging.batch.message_count"] == 3
    assert batch.attributes["orderflow.facts"] == 5
    assert (batch.start_time, batch.end_time) == (
        WALL_MS * 1_000_000 - 25_000_000,
        WALL_MS * 1_000_000,
    )


def test_the_links_of_a_batch_have_a_limit(inventory: Service) -> None:
    inventory.handles(*(event(id_=f"shop-{n}") for n in range(MAX_LINKED + 1)))

    assert len(inventory.spans["batch"].links) == MAX_LINKED


def test_a_producers_context_is_linked(inventory: Service) -> None:
    inventory.handles(event(traceparent=TRACE))

    of_batch, of_producer = inventory.spans["order.placed.v1"].links
    assert of_batch.context == inventory.spans["batch"].context
    assert f"{of_producer.context.trace_id:032x}" == TRACE.split("-")[1]
    assert f"{of_producer.context.span_id:016x}" == TRACE.split("-")[2]


def test_a_call_lies_between_the_fact_that_asks_and_the_handling_of_its_answer(
    payment: Service,
) -> None:
    asked = event(
        "payment.authorization_requested.v1", "a-1", source="orderflow/payment",
        causationid="r-1",
    )  # fmt: skip
    answer = event(
        "payment.authorized.v1", "answer-1", source="orderflow/payment/calls", causationid="a-1"
    )

    payment.handles(RESERVED)
    payment.traces.call(asked, 0.2)
    payment.handles(answer)

    found = payment.spans
    call = found["call payment.authorization_requested.v1"]
    assert call.parent is not None
    assert call.parent.span_id == ids(found["stock.reserved.v1"])[1]
    parent = found["payment.authorized.v1"].parent
    assert parent is not None
    assert (parent.trace_id, parent.span_id) == ids(call)


def test_a_dead_letter_is_an_error_with_its_reason(inventory: Service) -> None:
    dead = item(event())
    assert dead.record is not None
    letter = DeadLetter(dead.record, "decision_failed", "Traceback: card-7 of Mirabel")

    inventory.traces.turn(3, [dead], Decided(dead=[letter]), 0.025)

    status = inventory.spans["order.placed.v1"].status
    assert (status.status_code, status.description) == (StatusCode.ERROR, "decision_failed")


def test_attributes_hold_ids_and_places_and_nothing_that_was_said(inventory: Service) -> None:
    inventory.handles(event(), event("card.blocked.v1", "gw-1", "card/card-7", "my-gateway"))

    found = inventory.spans
    assert found["order.placed.v1"].attributes == {
        "messaging.message.id": "shop-1",
        "messaging.system": "kafka",
        "messaging.destination.name": "orders",
        "messaging.destination.partition.id": "3",
        "messaging.kafka.offset": 0,
        "orderflow.order": ORDER,
    }
    said = " ".join(span.to_json() for span in inventory.told)
    assert "902-0000017" in said
    for secret in ("Mirabel", "Quist", "Kastanienallee", "card-7"):
        assert secret not in said


def test_all_services_take_the_same_orders_where_few_are_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.25")
    took = []
    for name in ("inventory", "payment"):
        service = Service(name)
        service.handles(*(event(id_=f"{name}-{n}", subject=f"902-{n}") for n in range(200)))
        spans = [span for span in service.told if span.name != "batch"]
        took.append({(s.attributes or {})["orderflow.order"] for s in spans})

    assert took[0] == took[1]
    assert 25 < len(took[0]) < 75


def test_what_the_environment_says_of_the_process_is_said_of_its_spans(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=shadow")
    plain = Service("inventory")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "stock-room")
    named = Service("inventory")
    for service in (plain, named):
        service.handles(event())

    resources = [s.spans["batch"].resource.attributes for s in (plain, named)]
    assert [r["service.name"] for r in resources] == ["orderflow-inventory", "stock-room"]
    assert {r["deployment.environment"] for r in resources} == {"shadow"}


def test_nobody_who_asks_for_no_traces_pays_for_them() -> None:
    code = (
        "import sys, services.payment.app; from shared.tracing import traces_of;"
        "from shared.settings import Settings;"
        "assert traces_of('payment', Settings.load(), lambda: 0) is None;"
        # redis-py takes OpenTelemetry's metrics, but not these, wherever they are installed
        "ours = {'shared.spans', 'opentelemetry.sdk.trace', 'opentelemetry.exporter'};"
        "print(*(name for name in sys.modules if name in ours))"
    )
    env = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}

    said = subprocess.run(
        (sys.executable, "-c", code), capture_output=True, text=True, check=True, env=env
    )

    assert said.stdout == "\n"


@pytest.mark.parametrize(
    ("said", "goes_to"),
    [
        ({"otel_exporter_otlp_endpoint": "http://otel:4318"}, "http://otel:4318/v1/traces"),
        ({"otel_exporter_otlp_endpoint": "http://otel:4318/in/"}, "http://otel:4318/in/v1/traces"),
        ({"otel_exporter_otlp_traces_endpoint": "http://otel:4318/t"}, "http://otel:4318/t"),
    ],
)
def test_spans_go_where_opentelemetrys_own_variables_say(
    monkeypatch: pytest.MonkeyPatch, said: dict[str, str], goes_to: str
) -> None:
    told: list[str] = []

    class Module:
        @staticmethod
        def exporting(_service: str, endpoint: str, _wall_ms: object) -> None:
            told.append(endpoint)

    monkeypatch.setattr("shared.tracing.import_module", lambda _: Module)

    traces_of("inventory", Settings.load(**said), lambda: 0)

    assert told == [goes_to]


@pytest.mark.asyncio
async def test_a_collector_that_is_away_holds_up_no_end(
    inventory: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    back = Flag()
    monkeypatch.setattr("shared.spans.CLOSE_LIMIT_S", 0.05)
    monkeypatch.setattr(inventory.traces._provider, "shutdown", back.wait)

    await inventory.traces.close()

    assert not back.is_set()
    back.set()
