"""The payment provider: what requests for money ask of it, and what its answers say.

`Provider` is what payment needs of one; `HttpProvider` speaks the protocol of
`docs/payment-provider.md`. Every request has a key: asked again with it, a provider does nothing
twice and gives its first answer again. `calls_of` says which facts of payment ask what.
"""

import ssl
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple, Protocol

import httpx
from pydantic import Field, ValidationError

from shared.errors import TransientError
from shared.events.envelope import Event, Fact
from shared.events.fields import Identifier, Model, Money
from shared.events.gateway import (
    AnswerPending,
    FraudSuspected,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentDeclined,
    PaymentFact,
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
from shared.service import Call

CONNECT_TIMEOUT_S = 5.0
"""To connect, TLS included; the whole try is limited by its caller (`shared/calls.py`)."""
MAX_ANSWER_BYTES = 64 * 1024
"""An answer has some 200."""
MAX_REASON = 200
"""Characters of a provider's reason that are kept, as facts limit them."""
ASKED_ON = timedelta(days=30)
"""A request that is stuck is asked on: a provider that was away for days comes back, and does then
what it was asked for. After that it is a person's to find out."""
LAST_WORD = timedelta(days=1)
"""An authorisation is asked for a day longer than it is awaited: the answer may tell of money that
was taken meanwhile, and has to go back (R7)."""

Operation = Literal["authorize", "capture", "void", "refund"]
PATHS: Mapping[Operation, str] = {
    "authorize": "/authorizations",
    "capture": "/captures",
    "void": "/voids",
    "refund": "/refunds",
}


class Asked(NamedTuple):
    """A request for money: `key` tells it from all others, `amount` is of this request alone.

    `payment_method_ref` is what an authorisation is to be charged to.
    """

    key: str
    order_id: str
    payment_id: str
    amount: Money
    payment_method_ref: str | None = None


class Provider(Protocol):
    """Carries out requests for money; raises TransientError where the answer is unknown.

    An answer's amount is the payment's total of its kind, as on `payments`.
    """

    async def authorize(self, asked: Asked) -> PaymentFact:
        """Hold the amount, or take it at once; declined and suspected are answers, too."""

    async def capture(self, asked: Asked) -> PaymentFact:
        """Take what is held."""

    async def void(self, asked: Asked) -> PaymentFact:
        """Release what is held."""

    async def refund(self, asked: Asked) -> PaymentFact:
        """Give back what was taken."""


def calls_of(provider: Provider) -> Mapping[type[Fact], Call]:
    """The facts of payment that ask something of a provider, and what (R5, R7)."""
    return {
        VerificationStarted: Call(
            perform=lambda event: provider.authorize(_authorization(event)),
            until=lambda event: event.data.ends + LAST_WORD,
            unknown=_unavailable,
            given_up=_unavailable,
        ),
        AuthorizationRequested: Call(
            perform=lambda event: provider.authorize(_authorization(event)),
            until=lambda event: event.data.answer_due + ASKED_ON,
            given_up=_unavailable,
        ),
        CaptureRequested: Call(
            perform=lambda event: provider.capture(_movement(event)),
            until=_asked_until,
            given_up=lambda event, why: _failed(event, "capture", why),
        ),
        VoidRequested: Call(
            perform=lambda event: provider.void(_movement(event)),
            until=_asked_until,
            given_up=lambda event, why: _failed(event, "void", why),
        ),
        RefundRequested: Call(
            perform=lambda event: provider.refund(_movement(event)),
            until=_asked_until,
            given_up=lambda event, why: _failed(event, "refund", why),
        ),
    }


def _authorization(event: Event[VerificationStarted | AuthorizationRequested]) -> Asked:
    """A payment of its own, named by the fact that asks for it."""
    asked = event.data
    return Asked(event.id, event.subject, event.id, asked.amount, asked.payment_method_ref)


def _movement(event: Event[CaptureRequested | VoidRequested | RefundRequested]) -> Asked:
    return Asked(event.id, event.subject, event.data.payment_id, event.data.amount)


def _asked_until(event: Event[CaptureRequested | VoidRequested | RefundRequested]) -> datetime:
    return (event.data.answer_due or event.time) + ASKED_ON


def _unavailable(event: Event[Any], why: str) -> VerificationUnavailable:
    return VerificationUnavailable(payment_id=event.id, reason=_line(why))


def _failed(
    event: Event[Any], request: Literal["capture", "void", "refund"], why: str
) -> RequestFailed:
    reason = _line(f"given up: {why}")
    return RequestFailed(payment_id=event.data.payment_id, request=request, reason=reason)


class _Answer(Model):
    """What the provider says, as JSON."""

    payment_id: Identifier
    status: Literal[
        "authorized",
        "captured",
        "declined",
        "fraud_suspected",
        "voided",
        "refunded",
        "failed",
        "pending",
    ]
    amount: Money | None = None
    reason: str = Field("", max_length=MAX_ANSWER_BYTES)


_MOVED: Mapping[str, Mapping[str, Any]] = {
    "authorize": {"authorized": PaymentAuthorized, "captured": PaymentCaptured},
    "capture": {"captured": PaymentCaptured},
    "void": {"voided": PaymentVoided},
    "refund": {"refunded": PaymentRefunded},
}
"""By operation, the answers that tell of money, and their events."""


class HttpProvider:
    """A provider over HTTP, at `url`, with a bearer token. Close it with `aclose()`."""

    def __init__(self, url: str, token: str) -> None:
        self._client = httpx.AsyncClient(
            base_url=url,
            headers={"authorization": f"Bearer {token}", "accept-encoding": "identity"},
            timeout=httpx.Timeout(None, connect=CONNECT_TIMEOUT_S),
            verify=ssl.create_default_context(),
            trust_env=False,  # the environment is read in shared/settings.py
        )

    async def aclose(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    async def authorize(self, asked: Asked) -> PaymentFact:
        answer = await self._ask("authorize", asked)
        match answer.status:
            case "declined":
                return PaymentDeclined(payment_id=asked.payment_id, reason=_line(answer.reason))
            case "fraud_suspected":
                return FraudSuspected(payment_id=asked.payment_id, reason=_line(answer.reason))
        return _moved("authorize", asked, answer)

    async def capture(self, asked: Asked) -> PaymentFact:
        return await self._move("capture", asked)

    async def void(self, asked: Asked) -> PaymentFact:
        return await self._move("void", asked)

    async def refund(self, asked: Asked) -> PaymentFact:
        return await self._move("refund", asked)

    async def _move(
        self, operation: Literal["capture", "void", "refund"], asked: Asked
    ) -> PaymentFact:
        answer = await self._ask(operation, asked)
        if answer.status == "failed":
            return RequestFailed(
                payment_id=asked.payment_id, request=operation, reason=_line(answer.reason)
            )
        return _moved(operation, asked, answer)

    async def _ask(self, operation: Operation, asked: Asked) -> _Answer:
        """One request; what is no answer to it is unknown."""
        try:
            status, body = await self._post(PATHS[operation], asked)
        except httpx.HTTPError as error:
            raise TransientError(f"{operation}: {str(error) or type(error).__name__}") from error
        if status != httpx.codes.OK:
            raise TransientError(f"{operation}: the provider answered {status}")
        try:
            answer = _Answer.model_validate_json(body)
        except ValidationError as invalid:
            first = invalid.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"])) or "the body"
            raise TransientError(f"{operation}: bad answer: {where}: {first['type']}") from None
        if answer.payment_id != asked.payment_id:
            raise TransientError(f"{operation}: bad answer: it is about another payment")
        return answer

    async def _post(self, path: str, asked: Asked) -> tuple[int, bytes]:
        content = {name: value for name, value in asked._asdict().items() if value is not None}
        content |= {"amount": asked.amount.model_dump()}
        del content["key"]
        headers = {"idempotency-key": asked.key}
        body = b""
        async with self._client.stream("POST", path, json=content, headers=headers) as response:
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    raise TransientError(f"{path}: an answer beyond {MAX_ANSWER_BYTES} bytes")
        return response.status_code, body


def _moved(operation: Operation, asked: Asked, answer: _Answer) -> PaymentFact:
    """What an answer says of money. Of an authorisation that is the total of the payment, and R5's
    to judge; of all others a total that includes what was asked for. One that is pending ends the
    call: what comes of it comes on `payments`.
    """
    if answer.status == "pending":
        return AnswerPending(payment_id=asked.payment_id)
    fact, amount = _MOVED[operation].get(answer.status), answer.amount
    if fact is None:
        raise TransientError(f"{operation}: bad answer: status {answer.status}")
    if amount is None:
        raise TransientError(f"{operation}: bad answer: amount: missing")
    if operation != "authorize" and (
        amount.currency != asked.amount.currency or amount.amount_minor < asked.amount.amount_minor
    ):
        raise TransientError(f"{operation}: bad answer: amount: less than was asked for")
    moved: PaymentFact = fact(payment_id=asked.payment_id, amount=amount)
    return moved


def _line(text: str) -> str:
    """A provider's words as one line of a fact."""
    return "".join(char if char.isprintable() else " " for char in text)[:MAX_REASON]
