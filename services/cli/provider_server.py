"""A payment provider for this machine, which does as it is told: for tests, and to try things out.

It speaks the protocol of `docs/payment-provider.md`. How it answers is planned per order and
operation, try by try; what is not planned follows from the payment method (`BY_METHOD`), and else
it approves, or does what else it was told to. Whatever becomes of its answers, it does each piece
of work once per idempotency key, and its ledger says what it did.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import uvicorn
from pydantic import ValidationError
from pydantic_core import from_json, to_json

from services.cli.server import HOST
from shared.events.fields import Identifier, Model, Money
from shared.http_server import HttpServer

Answer = Literal[
    "approves",  # does what it is asked for
    "captures",  # takes the money at once, without holding it first
    "declines",
    "suspects",
    "defers",  # does nothing yet, and will say later on its own what came of it
    "silent",  # does nothing, and never answers
    "late",  # does it, and answers when nobody waits any more
    "lost",  # does it, and then something between breaks
    "away",  # does nothing, and says that it can not
    "garbled",  # does it, and says what nobody understands
    "twice",  # does it, answers, and tells of it once more on its own
]
BY_METHOD: Mapping[str, Answer] = {
    "card-captures": "captures",
    "card-declined": "declines",
    "card-fraud": "suspects",
    "card-deferred": "defers",
    "card-silent": "silent",
    "card-late": "late",
    "card-lost": "lost",
    "card-away": "away",
    "card-garbled": "garbled",
    "card-twice": "twice",
}
"""What becomes of authorisations by their payment method, unless it is planned otherwise."""
LATE_S = 30.0
"""Twice what a caller waits for an answer."""
OPERATIONS = {
    "/authorizations": "authorize",
    "/captures": "capture",
    "/voids": "void",
    "/refunds": "refund",
}
_DONE = {"capture": "captured", "void": "voided", "refund": "refunded"}

Json = dict[str, Any]
Tell = Callable[[str, Json], Awaitable[None]]
"""Hears of an order what the provider says on its own, as an answer."""


class Request(Model):
    """What is asked of the provider, as JSON."""

    order_id: Identifier
    payment_id: Identifier
    amount: Money
    payment_method_ref: Identifier | None = None


class Move(NamedTuple):
    """Money that moved for a key; `how` is authorized, captured, voided or refunded."""

    key: str
    order_id: str
    payment_id: str
    how: str
    amount_minor: int
    currency: str


@dataclass
class Ledger:
    """What the provider did: the first answer to each key, and the money that moved.

    `asked` counts how often each key came.
    """

    answers: dict[str, Json] = field(default_factory=dict)
    moves: list[Move] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)

    def total(self, payment_id: str, how: str) -> int:
        """All that moved of a payment like that, in minor units."""
        same = (m for m in self.moves if (m.payment_id, m.how) == (payment_id, how))
        return sum(move.amount_minor for move in same)

    def do(self, key: str, operation: str, asked: Request, answer: Answer) -> Json:
        """Do what is asked for, once for each key; the first answer to it."""
        if key not in self.answers:
            self.answers[key] = self._work(key, operation, asked, answer)
        return self.answers[key]

    def _work(self, key: str, operation: str, asked: Request, answer: Answer) -> Json:
        if answer == "defers":
            return _said(asked, "pending")
        refusals = {"declines": "declined", "suspects": "fraud_suspected"}
        if operation == "authorize":
            if answer in refusals:
                return _said(asked, refusals[answer], reason=f"the card says: {answer}")
            return self._move(key, asked, "captured" if answer == "captures" else "authorized")
        held, taken, released, returned = (
            self.total(asked.payment_id, how)
            for how in ("authorized", "captured", "voided", "refunded")
        )
        free = taken - returned if operation == "refund" else held - taken - released
        if answer in refusals or asked.amount.amount_minor > free:
            return _said(asked, "failed", reason=f"can not {operation}: there is {free}")
        return self._move(key, asked, _DONE[operation])

    def _move(self, key: str, asked: Request, how: str) -> Json:
        minor, currency = asked.amount.amount_minor, asked.amount.currency
        self.moves.append(Move(key, asked.order_id, asked.payment_id, how, minor, currency))
        total = {"amount_minor": self.total(asked.payment_id, how), "currency": currency}
        return _said(asked, how, amount=total)


def _said(asked: Request, status: str, **more: object) -> Json:
    return {"payment_id": asked.payment_id, "status": status, **more}


class ProviderServer:
    """The provider at `url`; requests need its `token`.

    `plan` says how it answers, `otherwise` how where nothing is planned, `ledger` what it did.
    `tell` hears what it says on its own.
    """

    def __init__(
        self, token: str, tell: Tell | None = None, otherwise: Answer = "approves"
    ) -> None:
        self.url = ""
        self.token = token
        self.ledger = Ledger()
        self._tell = tell
        self._otherwise = otherwise
        self._plans: defaultdict[tuple[str, str], list[Answer]] = defaultdict(list)
        self._ending = asyncio.Event()

    def plan(self, order_id: str, operation: str, *answers: Answer) -> None:
        """How the next tries of an operation for an order are answered, one after the other."""
        self._plans[order_id, operation] += answers

    @asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncIterator["ProviderServer"]:
        """Serve on 127.0.0.1 while inside; port 0 is any free one."""
        config = uvicorn.Config(
            self._application,
            host=HOST,
            port=port,
            interface="asgi3",
            lifespan="off",
            log_config=None,
            access_log=False,
        )
        server = HttpServer(config)
        socket = config.bind_socket()
        self.url = f"http://{HOST}:{socket.getsockname()[1]}"
        serving = asyncio.create_task(server.serve(sockets=[socket]))
        try:
            yield self
        finally:
            self._ending.set()
            server.end()
            await serving

    async def _application(self, scope: Json, receive: Any, send: Any) -> None:
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        status, content = await self._answer(scope["path"], headers, body)
        said = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": said})
        await send({"type": "http.response.body", "body": content})

    async def _answer(
        self, path: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, bytes]:
        if headers.get("authorization") != f"Bearer {self.token}":
            return 401, b"{}"
        if path == "/ledger":
            return 200, to_json([move._asdict() for move in self.ledger.moves])
        if path.startswith("/plans/"):
            _, _, order_id, operation = path.split("/")
            self.plan(order_id, operation, *from_json(body))
            return 200, b"{}"
        key = headers.get("idempotency-key")
        if path not in OPERATIONS or not key:
            return 404, b"{}"
        try:
            asked = Request.model_validate_json(body)
        except ValidationError:
            return 400, b"{}"
        self.ledger.asked[key] += 1
        return await self._perform(OPERATIONS[path], key, asked)

    async def _perform(self, operation: str, key: str, asked: Request) -> tuple[int, bytes]:
        answer = self._planned(operation, asked)
        if answer == "away":
            return 503, b"{}"
        if answer == "silent":
            await self._wait(None)
            return 503, b"{}"
        said = self.ledger.do(key, operation, asked, answer)
        if answer == "late":
            await self._wait(LATE_S)
        if answer == "lost":
            return 504, b"{}"
        if answer == "twice" and self._tell is not None:
            await self._tell(asked.order_id, said)
        return 200, b"<html>" if answer == "garbled" else to_json(said)

    def _planned(self, operation: str, asked: Request) -> Answer:
        if plan := self._plans[asked.order_id, operation]:
            return plan.pop(0)
        return BY_METHOD.get(asked.payment_method_ref or "", self._otherwise)

    async def _wait(self, time_s: float | None) -> None:
        """Let a request wait, but not longer than the server runs."""
        try:
            async with asyncio.timeout(time_s):
                await self._ending.wait()
        except TimeoutError:
            return
