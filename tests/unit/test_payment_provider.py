"""What payment asks of its provider over HTTP, and what it makes of the answers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, cast

import pytest
import pytest_asyncio
from pydantic_core import from_json

from services.cli.provider_server import Answer, Move, ProviderServer
from services.payment.app import calls
from services.payment.provider import MAX_ANSWER_BYTES, Asked, HttpProvider, Provider, calls_of
from shared.errors import SettingError, TransientError
from shared.events.envelope import Event, Fact
from shared.events.fields import Money
from shared.events.gateway import (
    AnswerPending,
    FraudSuspected,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentDeclined,
    PaymentRefunded,
    PaymentVoided,
    RequestFailed,
    VerificationUnavailable,
)
from shared.events.payment import (
    AuthorizationRequested,
    CaptureRequested,
    RefundRequested,
    VerificationStarted,
    VoidRequested,
)
from shared.settings import Settings
from tests.support.payments import ORDER, PAY_1, PURCHASED, TOTAL, WINDOW_END, eur

pytestmark = pytest.mark.asyncio

TOKEN = "sk-7f3a-very-secret"
DUE = PURCHASED + timedelta(hours=24)
PARTS = eur(30_07), eur(49_12)
"""Of the total."""


@pytest_asyncio.fixture
async def server() -> AsyncIterator[ProviderServer]:
    async with ProviderServer(TOKEN).serving() as server:
        yield server


@pytest_asyncio.fixture
async def provider(server: ProviderServer) -> AsyncIterator[HttpProvider]:
    provider = HttpProvider(server.url, TOKEN)
    yield provider
    await provider.aclose()


def asked(key: str = "key-1", amount: Money = TOTAL, method: str = "card-0c2f") -> Asked:
    return Asked(key, ORDER, PAY_1, amount, method)


# -- answers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "fact"),
    [
        ("approves", PaymentAuthorized(payment_id=PAY_1, amount=TOTAL)),
        ("captures", PaymentCaptured(payment_id=PAY_1, amount=TOTAL)),
        ("declines", PaymentDeclined(payment_id=PAY_1, reason="the card says: declines")),
        ("suspects", FraudSuspected(payment_id=PAY_1, reason="the card says: suspects")),
    ],
)
async def test_r5_an_authorisation_is_answered_by(
    server: ProviderServer, provider: HttpProvider, answer: Answer, fact: Fact
) -> None:
    server.plan(ORDER, "authorize", answer)

    assert await provider.authorize(asked()) == fact


async def test_r7_what_is_held_is_taken_or_released_and_what_was_taken_given_back_in_totals(
    server: ProviderServer, provider: HttpProvider
) -> None:
    await provider.authorize(asked())
    said = [
        await provider.capture(asked("key-2", PARTS[0])),
        await provider.void(asked("key-3", PARTS[1])),
        await provider.refund(asked("key-4", eur(7))),
        await provider.refund(asked("key-5", eur(30_00))),
    ]

    assert said == [
        PaymentCaptured(payment_id=PAY_1, amount=PARTS[0]),
        PaymentVoided(payment_id=PAY_1, amount=PARTS[1]),
        PaymentRefunded(payment_id=PAY_1, amount=eur(7)),
        PaymentRefunded(payment_id=PAY_1, amount=eur(30_07)),
    ]
    assert [move.how for move in server.ledger.moves] == [
        "authorized",
        "captured",
        "voided",
        "refunded",
        "refunded",
    ]


@pytest.mark.parametrize("operation", ["capture", "void", "refund"])
async def test_r23_a_request_that_can_not_be_done_has_failed(
    provider: HttpProvider, operation: Any
) -> None:
    await provider.authorize(asked(amount=eur(1)))

    said = await getattr(provider, operation)(asked("key-2"))

    assert isinstance(said, RequestFailed)
    assert (said.request, said.payment_id) == (operation, PAY_1)


@pytest.mark.parametrize("operation", ["authorize", "capture", "void", "refund"])
async def test_r7_who_takes_a_request_and_answers_later_is_asked_no_more_and_did_nothing_yet(
    server: ProviderServer, provider: HttpProvider, operation: Any
) -> None:
    server.plan(ORDER, operation, "defers")

    assert await getattr(provider, operation)(asked()) == AnswerPending(payment_id=PAY_1)
    assert server.ledger.moves == []


@pytest.mark.parametrize("answer", ["lost", "garbled", "twice", "approves"])
async def test_p3_asked_again_with_its_key_nothing_is_done_twice_and_the_first_answer_is_given(
    server: ProviderServer, provider: HttpProvider, answer: Answer
) -> None:
    server.plan(ORDER, "authorize", answer)
    try:
        await provider.authorize(asked())
    except TransientError:
        assert answer in {"lost", "garbled"}

    again = await provider.authorize(asked())

    assert again == PaymentAuthorized(payment_id=PAY_1, amount=TOTAL)
    assert server.ledger.moves == [
        Move("key-1", ORDER, PAY_1, "authorized", TOTAL.amount_minor, "EUR")
    ]
    assert server.ledger.asked["key-1"] == 2


async def test_what_the_server_tells_on_its_own_is_what_it_answered() -> None:
    told: list[Any] = []

    async def tell(order_id: str, said: Any) -> None:
        told.append((order_id, said["status"], said["amount"]["amount_minor"]))

    async with ProviderServer(TOKEN, tell).serving() as server:
        provider = HttpProvider(server.url, TOKEN)
        await provider.authorize(asked(method="card-twice"))
        await provider.aclose()

    assert told == [(ORDER, "authorized", TOTAL.amount_minor)]


# -- what is unknown -------------------------------------------------------------------------------


async def test_r5_an_answer_that_says_it_can_not_is_unknown(
    server: ProviderServer, provider: HttpProvider
) -> None:
    server.plan(ORDER, "authorize", "away")

    with pytest.raises(TransientError, match="authorize: the provider answered 503"):
        await provider.authorize(asked())
    assert server.ledger.moves == []


async def test_r5_a_provider_that_is_not_there_is_unknown(server: ProviderServer) -> None:
    provider = HttpProvider("http://127.0.0.1:1", TOKEN)
    with pytest.raises(TransientError, match="capture: "):
        await provider.capture(asked())
    await provider.aclose()


async def test_r5_a_wrong_token_is_no_refusal_and_is_never_shown(server: ProviderServer) -> None:
    provider = HttpProvider(server.url, "sk-wrong")
    with pytest.raises(TransientError, match="the provider answered 401") as unknown:
        await provider.authorize(asked())
    await provider.aclose()

    assert "sk-wrong" not in repr(unknown.value)


EURO = b'"amount":{"amount_minor":%d,"currency":"EUR"}'
CAPTURED = b'{"payment_id":"PAY-7F3A","status":"captured","amount":'
TOO_LARGE = b" " * (MAX_ANSWER_BYTES + 1)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "the body: json_invalid"),
        (b"<html>", "the body: json_invalid"),
        (b"\xff\x00", "the body: json_invalid"),
        (b"[]", "the body: model_type"),
        (b"{}", "payment_id: missing"),
        (b'{"payment_id":"PAY-7F3A","status":"done"}', "status: literal_error"),
        (b'{"payment_id":"PAY-7F3A","status":"captured"}', "amount: missing"),
        (b'{"payment_id":"PAY-7F3A","status":"voided",' + EURO % 7919 + b"}", "status voided"),
        (b'{"payment_id":"PAY-8","status":"captured",' + EURO % 7919 + b"}", "another payment"),
        (b'{"payment_id":"PAY-7F3A","status":"captured",' + EURO % 7918 + b"}", "less than"),
        (b'{"payment_id":"PAY-7F3A","status":"captured",' + EURO % -1 + b"}", "greater_than"),
        (CAPTURED + b'{"amount_minor":7919,"currency":"USD"}}', "less than"),
        (CAPTURED + b'{"amount_minor":7919.5,"currency":"EUR"}}', "int_type"),
        (TOO_LARGE, "an answer beyond 65536 bytes"),
    ],
)
async def test_r5_a_bad_answer_is_unknown_and_named(body: bytes, why: str) -> None:
    async with answering(body) as url:
        provider = HttpProvider(url, TOKEN)
        with pytest.raises(TransientError, match=why):
            await provider.capture(asked())
        await provider.aclose()


async def test_r5_a_provider_that_says_its_reason_at_length_is_understood() -> None:
    reason = b"limit\\n" + b"x" * 3_000
    body = b'{"payment_id":"PAY-7F3A","status":"declined","reason":"' + reason + b'"}'
    async with answering(body) as url:
        provider = HttpProvider(url, TOKEN)
        said = await provider.authorize(asked())
        await provider.aclose()

    assert isinstance(said, PaymentDeclined)
    assert said.reason == "limit " + "x" * 194


@asynccontextmanager
async def answering(body: bytes) -> AsyncIterator[str]:
    """A server that answers everything with 200 and these bytes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        writer.write(head.encode() + body)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


# -- requests --------------------------------------------------------------------------------------


async def test_r7_a_request_is_json_with_its_key_and_the_token() -> None:
    heard = asyncio.Queue[bytes]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        heard.put_nowait(head + await reader.readexactly(length))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        provider = HttpProvider(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", TOKEN)
        with pytest.raises(TransientError):
            await provider.authorize(asked())
        await provider.aclose()

    head, _, body = (await heard.get()).partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/authorizations HTTP/1.1\r\n")
    assert {b"idempotency-key: key-1", f"authorization: Bearer {TOKEN}".encode()} <= set(
        head.lower().replace(b"bearer", b"Bearer").split(b"\r\n")
    )
    assert from_json(body) == {
        "order_id": ORDER,
        "payment_id": PAY_1,
        "amount": {"amount_minor": 79_19, "currency": "EUR"},
        "payment_method_ref": "card-0c2f",
    }


REQUESTS: list[tuple[Fact, str, str, datetime]] = [
    (
        VerificationStarted(amount=TOTAL, ends=WINDOW_END, payment_method_ref="card-0c2f"),
        "authorize",
        "fact-1",
        WINDOW_END + timedelta(days=1),
    ),
    (
        AuthorizationRequested(lapsed_payment_id=PAY_1, amount=TOTAL, asked_at=DUE, answer_due=DUE),
        "authorize",
        "fact-1",
        DUE + timedelta(days=30),
    ),
    (
        CaptureRequested(payment_id=PAY_1, amount=TOTAL, answer_due=DUE),
        "capture",
        PAY_1,
        DUE + timedelta(days=30),
    ),
    (
        VoidRequested(payment_id=PAY_1, amount=TOTAL, cause="order_canceled", answer_due=DUE),
        "void",
        PAY_1,
        DUE + timedelta(days=30),
    ),
    (
        RefundRequested(payment_id=PAY_1, amount=TOTAL, cause="order_canceled", answer_due=DUE),
        "refund",
        PAY_1,
        DUE + timedelta(days=30),
    ),
]


class Noted:
    """A provider that notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Asked]] = []

    def __getattr__(self, operation: str) -> Callable[[Asked], Awaitable[Fact]]:
        async def note(asked: Asked) -> Fact:
            self.asked.append((operation, asked))
            return PaymentAuthorized(payment_id=asked.payment_id, amount=asked.amount)

        return note


@pytest.mark.parametrize(("fact", "operation", "payment_id", "until"), REQUESTS)
async def test_r7_each_request_asks_for_its_operation_under_its_own_id_until_it_is_given_up(
    fact: Fact, operation: str, payment_id: str, until: datetime
) -> None:
    noted = Noted()
    call = calls_of(cast(Provider, noted))[type(fact)]
    event = Event[Any](
        id="fact-1", source="s", type=fact.TYPE, subject=ORDER, time=PURCHASED, data=fact
    )

    await call.perform(event)

    method = getattr(fact, "payment_method_ref", None)
    assert noted.asked == [(operation, Asked("fact-1", ORDER, payment_id, TOTAL, method))]
    assert call.until(event) == until
    over = call.given_up(event, "silent\nfor good" + "x" * 300)
    assert isinstance(over, RequestFailed if operation != "authorize" else VerificationUnavailable)
    assert len(over.reason) == 200


# -- settings --------------------------------------------------------------------------------------


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.delenv("PAYMENT_PROVIDER_URL", raising=False)
    monkeypatch.delenv("PAYMENT_PROVIDER_TOKEN", raising=False)
    return monkeypatch


async def test_without_a_provider_requests_are_facts_for_an_outside_gateway(
    environment: pytest.MonkeyPatch,
) -> None:
    assert calls(Settings.load()) == {}


async def test_a_provider_needs_its_token(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("PAYMENT_PROVIDER_URL", "https://pay.example/v1")

    with pytest.raises(SettingError, match="PAYMENT_PROVIDER_TOKEN is not set"):
        calls(Settings.load())
    environment.setenv("PAYMENT_PROVIDER_TOKEN", TOKEN)
    found = calls(Settings.load())
    assert len(found) == 5
    (close,) = {call.close for call in found.values()}
    assert close is not None
    await close()


async def test_a_token_without_its_provider_is_refused(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("PAYMENT_PROVIDER_TOKEN", TOKEN)

    with pytest.raises(SettingError, match="PAYMENT_PROVIDER_URL is not set") as refused:
        calls(Settings.load())
    assert TOKEN not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["http://pay.example", "https://user:word@pay.example", "ftp://pay.example", "pay"]
)
async def test_a_providers_url_is_https_or_on_this_machine_and_holds_no_secret(
    environment: pytest.MonkeyPatch, url: str
) -> None:
    environment.setenv("PAYMENT_PROVIDER_URL", url)

    with pytest.raises(SettingError, match="PAYMENT_PROVIDER_URL is malformed") as refused:
        Settings.load()
    assert "word" not in str(refused.value)


async def test_no_token_is_ever_shown(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("PAYMENT_PROVIDER_URL", "http://127.0.0.1:8080/v1")
    environment.setenv("PAYMENT_PROVIDER_TOKEN", TOKEN)
    assert TOKEN not in repr(Settings.load())
    environment.setenv("PAYMENT_PROVIDER_TOKEN", f"{TOKEN} and a blank")

    with pytest.raises(SettingError) as refused:
        Settings.load()
    assert TOKEN not in str(refused.value)
