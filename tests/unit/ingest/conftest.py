"""The endpoint, asked in-process: what it writes is kept, and two tokens are known."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest_asyncio

from services.ingest.decisions import STRUCTURED, Accepted, Intake
from services.ingest.site import Parts, site
from services.ingest.state import Token
from shared.clock import Timeline, to_ms
from shared.errors import TransientError
from shared.events.topics import FROM_OUTSIDE
from tests.support.orders import PURCHASED

PARTITIONS = 23
"""So many that nothing meets its partition by luck."""
BEARER = "warehouse:of-nobody-else"
WAREHOUSE = Token("warehouse", ("my-warehouse", "its-night-shift"), ("stock",), 1_000)
ANYBODY = Token("anybody", ("my-warehouse",), tuple(topic.name for topic in FROM_OUTSIDE), 10**9)


@dataclass
class KnownTokens:
    """Two tokens; `away` is Redis."""

    used: int = 0
    away: bool = False

    async def find(self, bearer: str) -> Token | None:
        await self.ping()
        return {BEARER: WAREHOUSE, "anybody": ANYBODY}.get(bearer)

    async def count(self, token: Token, events: int) -> int:
        self.used += events
        return 17 if self.used > token.per_minute else 0

    async def ping(self) -> None:
        if self.away:
            raise TransientError("Redis did not answer within 5 s")


@dataclass
class KeptRecords:
    """Keeps what it is to write; `away` is Kafka."""

    records: list[Accepted] = field(default_factory=list)
    away: bool = False

    async def send(self, records: Sequence[Accepted]) -> Sequence[int]:
        if self.away:
            raise TransientError("Kafka is not available: KafkaConnectionError()")
        self.records += records
        return range(len(records))


class StandingClock:
    timeline = Timeline()

    def wall_ms(self) -> int:
        return to_ms(PURCHASED)


@dataclass
class Door:
    """The endpoint, and what stands behind it."""

    tokens: KnownTokens
    sender: KeptRecords
    client: httpx.AsyncClient

    async def say(self, content: bytes, kind: str = STRUCTURED, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        told = {"authorization": f"Bearer {BEARER}", "content-type": kind, **named}
        return await self.client.post("/events", content=content, headers=told)


def parts_of(tokens: KnownTokens, sender: KeptRecords) -> Parts:
    intake = Intake(FROM_OUTSIDE, PARTITIONS)
    return Parts(tokens=tokens, intake=intake, sender=sender, clock=StandingClock())


@pytest_asyncio.fixture
async def door() -> AsyncIterator[Door]:
    tokens, sender = KnownTokens(), KeptRecords()
    transport = httpx.ASGITransport(site(parts_of(tokens, sender)))
    async with httpx.AsyncClient(transport=transport, base_url="http://ingest") as client:
        yield Door(tokens, sender, client)


def counted(n: int = 1, **changed: Any) -> dict[str, Any]:
    """A count of stock, as an event."""
    event = {
        "specversion": "1.0",
        "id": f"count-{n}",
        "source": "my-warehouse",
        "type": "stock.set.v1",
        "subject": "SELLER-1/KETTLE-RED",
        "time": "2026-01-05T08:00:00Z",
        "data": {"seller_id": "SELLER-1", "sku": "KETTLE-RED", "on_hand": n},
    }
    return {name: value for name, value in {**event, **changed}.items() if value is not ...}
