"""Orders that a payment provider is asked about: real services, and its ledger beside their facts.

Whatever becomes of its answers, each piece of money moves exactly once, and payment knows it.
"""

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from hashlib import sha256
from uuid import UUID

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer

from services.cli.provider_server import Answer, ProviderServer
from services.cli.run import ORDER_SERVICES
from services.cli.server import free_port
from services.cli.system import System
from shared.events.deadlines import DeadlineReached
from shared.events.envelope import Fact
from shared.events.fields import Money
from shared.events.gateway import PaymentAuthorized
from shared.events.payment import (
    PAYMENT_EVENTS,
    MoneyArrived,
    MoneyReturned,
    PaymentApproved,
    VerificationStarted,
    VerificationUnknown,
)
from tests.e2e.stories.conftest import OPENING
from tests.support.collector import Collector, Told
from tests.support.own_system import own_system
from tests.support.story import MINUTE, Story
from tests.support.town import Town, settle_in
from tests.support.toy_world import until

TOKEN = "sk-of-this-test"

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector().taking() as collector:
        yield collector


@pytest.fixture(scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory, port: int, collector: Collector
) -> Iterator[System]:
    env = {
        "PAYMENT_PROVIDER_URL": f"http://127.0.0.1:{port}",
        "PAYMENT_PROVIDER_TOKEN": TOKEN,
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "200",
    }
    with own_system(tmp_path_factory.mktemp("provider"), partitions=2, env=env) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def provider(port: int) -> AsyncIterator[ProviderServer]:
    async with ProviderServer(TOKEN).serving(port) as provider:
        yield provider


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(running: System, provider: ProviderServer) -> AsyncIterator[Town]:
    async with settle_in(running.settings) as town:
        await town.begin(OPENING)
        yield town


@pytest_asyncio.fixture(loop_scope="module")
async def order(town: Town) -> Story:
    return Story(town, await town.shelf(on_hand=5))


def said(town: Town, order: Story) -> list[Fact]:
    """What payment says of an order."""
    return [each.fact for each in town.papers.of(order.order_id, PAYMENT_EVENTS)]


def moved(town: Town, order: Story) -> Counter[tuple[str, str]]:
    """The money of an order by payment and how it moved, as payment counts it."""
    sums: Counter[tuple[str, str]] = Counter()
    for fact in said(town, order):
        match fact:
            case PaymentApproved(captured=captured):
                how = "captured" if captured else "authorized"
                sums[fact.payment_id, how] += fact.amount.amount_minor
            case MoneyArrived() | MoneyReturned():
                sums[fact.payment_id, fact.how] += fact.amount.amount_minor
    return sums


def check(town: Town, provider: ProviderServer, order: Story, *hows: str) -> None:
    """Each movement is in the provider's ledger once, and payment knows all of them."""
    moves = [move for move in provider.ledger.moves if move.order_id == order.order_id]
    assert [move.how for move in moves] == list(hows)
    assert moved(town, order) == Counter(
        {(move.payment_id, move.how): move.amount_minor for move in moves}
    )


async def asked(provider: ProviderServer, order: Story, how: str) -> None:
    """Wait until the provider has done something for an order."""

    async def done() -> bool:
        return (order.order_id, how) in {(m.order_id, m.how) for m in provider.ledger.moves}

    await until(done, f"{order.order_id} is {how}")


async def test_r5_r9_an_order_is_authorised_by_the_provider_when_it_is_placed(
    town: Town, provider: ProviderServer, order: Story
) -> None:
    await order.is_placed()
    await town.pass_time(30 * MINUTE)

    assert order.status == "Unshipped"
    check(town, provider, order, "authorized")


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ("card-declined", "payment_declined"),
        ("card-fraud", "fraud_suspected"),
    ],
)
async def test_r5_r6_what_the_provider_refuses_cancels_in_silence(
    town: Town, provider: ProviderServer, order: Story, method: str, reason: str
) -> None:
    await order.is_placed(payment_method_ref=method)

    assert order.status == f"Canceled: {reason}"
    assert order.notices == []
    check(town, provider, order)


async def test_r7_a_canceled_orders_authorisation_is_voided_by_the_provider(
    town: Town, provider: ProviderServer, order: Story
) -> None:
    await order.is_placed()
    await order.is_canceled_by_the_buyer()

    assert order.money == ["approved", "verification_closed", "void_requested", "money_returned"]
    check(town, provider, order, "authorized", "voided")


async def test_r7_the_provider_captures_once_the_first_package_is_confirmed(
    town: Town, provider: ProviderServer, order: Story
) -> None:
    await order.is_placed()
    await town.pass_time(30 * MINUTE)
    await order.is_shipped()

    assert order.money == ["approved", "capture_requested", "money_arrived"]
    check(town, provider, order, "authorized", "captured")


async def test_r23_a_providers_no_makes_the_request_stuck_and_it_is_asked_no_more(
    town: Town, provider: ProviderServer, order: Story
) -> None:
    """The town comes to rest only once no call is pending."""
    provider.plan(order.order_id, "void", "declines")
    await order.is_placed()
    await order.is_canceled_by_the_buyer()

    assert order.money == ["approved", "verification_closed", "void_requested", "stuck"]
    (key,) = (k for k, a in provider.ledger.answers.items() if a["status"] == "failed")
    assert provider.ledger.asked[key] == 1
    check(town, provider, order, "authorized")


@pytest.mark.parametrize("answer", ["silent", "lost", "garbled", "away"])
async def test_r5_a_provider_without_an_answer_is_unknown_then_back_and_nothing_is_done_twice(
    town: Town, provider: ProviderServer, order: Story, answer: Answer
) -> None:
    provider.plan(order.order_id, "authorize", answer)
    await order.is_placed()

    types = [type(fact) for fact in said(town, order)]
    assert types == [VerificationStarted, VerificationUnknown, PaymentApproved]
    check(town, provider, order, "authorized")


async def test_r7_what_the_provider_tells_twice_counts_once(
    town: Town, provider: ProviderServer, order: Story
) -> None:
    await order.is_placed()
    (move,) = (m for m in provider.ledger.moves if m.order_id == order.order_id)
    amount = Money(amount_minor=move.amount_minor, currency=move.currency)
    await order.hears(PaymentAuthorized(payment_id=move.payment_id, amount=amount))

    assert order.money == ["approved"]
    check(town, provider, order, "authorized")


async def test_p3_r7_killed_while_money_moves_each_movement_happens_once(
    town: Town, provider: ProviderServer, order: Story, running: System
) -> None:
    """kill -9 while the provider has done it and not answered: once to hold, once to release."""
    provider.plan(order.order_id, "authorize", "late")
    provider.plan(order.order_id, "void", "late")
    placing = asyncio.create_task(order.is_placed())
    await asked(provider, order, "authorized")
    await restart(running)
    await placing

    canceling = asyncio.create_task(order.is_canceled_by_the_buyer())
    await asked(provider, order, "voided")
    await restart(running)
    await canceling

    assert order.money == ["approved", "verification_closed", "void_requested", "money_returned"]
    check(town, provider, order, "authorized", "voided")
    keys = [move.key for move in provider.ledger.moves if move.order_id == order.order_id]
    assert all(provider.ledger.asked[key] > 1 for key in keys)


async def restart(running: System) -> None:
    """Kill payment, and start it again."""
    running.processes["payment"].kill()
    running.processes["payment"].start()
    await asyncio.to_thread(running.wait_until_ready)


async def test_the_life_of_an_order_is_one_trace_over_all_services(
    town: Town, order: Story, collector: Collector
) -> None:
    def told() -> dict[str, Told]:
        about = [
            s for s in collector.spans if s.attributes.get("orderflow.order") == order.order_id
        ]
        return {span.span: span for span in about}

    async def all_told() -> bool:
        """All services have handled something, the released order too, and no parent is missing."""
        spans = told()
        released = "order.unshipped.v1" in {span.name for span in spans.values()}
        heard = {span.service for span in spans.values()}
        whole = all(span.parent in {"", *spans} for span in spans.values())
        return released and whole and heard == {f"orderflow-{name}" for name in ORDER_SERVICES}

    await order.is_placed()
    await town.pass_time(30 * MINUTE)
    await until(all_told, "the spans of the order have come")

    spans = told()
    traces = {span.trace for span in spans.values()}
    assert traces == {sha256(order.order_id.encode()).hexdigest()[:32]}
    calls = [span for span in spans.values() if span.name == f"call {VerificationStarted.TYPE}"]
    assert [spans[call.parent].service for call in calls] == ["orderflow-payment"]
    holds = [
        span
        for span in spans.values()
        if (span.service, span.name) == ("orderflow-fulfillment", DeadlineReached.TYPE)
    ]
    assert [spans[hold.parent].service for hold in holds] == ["orderflow-deadlines"]


async def test_p1_to_p6_the_books_balance_with_the_providers_ledger(
    town: Town, provider: ProviderServer
) -> None:
    books = await town.books(provider.ledger.moves)

    assert books.violations == ()
    assert books.page("R7").counts["movements by the provider"] == len(provider.ledger.moves)


async def test_no_log_says_who_bought_what_and_a_line_about_an_order_names_it_and_its_event(
    town: Town, order: Story, running: System, collector: Collector
) -> None:
    """After all of the above: answers that never came, or not as they should; and poison."""
    poison = b'{"buyer": "Mirabel Quist", "subject": '
    async with AIOKafkaProducer(
        bootstrap_servers=running.settings.kafka_bootstrap_servers
    ) as producer:
        await producer.send_and_wait("orders", poison, key=order.order_id.encode())
        await producer.send_and_wait("payments", poison, key=order.order_id.encode())
    await town.rest()

    logs = [running.processes[name].log.read_text() for name in running.health_ports]
    for secret in (
        "Mirabel",
        "Quist",
        "Kastanienallee",
        "Potsdam",
        "card-",
        TOKEN,
        poison.decode(),
    ):
        assert [log for log in logs if secret in log] == []
        assert [body for body in collector.bodies if secret.encode() in body] == []
    lines = [json.loads(line) for log in logs for line in log.splitlines()]
    about_orders = [line for line in lines if re.search(r"902-\d{7}-\d{7}", json.dumps(line))]
    assert len(about_orders) >= 4
    for line in about_orders:
        assert re.fullmatch(r"902-\d{7}-\d{7}", line["order"])
        UUID(line["event_id"])
