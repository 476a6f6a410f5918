"""Where a service's Redis differs from another that holds what its facts say."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any, NamedTuple

from pydantic_core import from_json
from redis.asyncio import Redis

from services.deadlines.store import Entry, ledger_key, read_ledger, ttl_key
from services.inventory.store import (
    NO_LEVEL,
    Holding,
    Level,
    all_holdings,
    all_levels,
    levels_key,
    order_key,
)
from shared.books.reading import documents_of, subjects_of
from shared.events.deadlines import DEADLINES_EVENTS
from shared.events.warehouse import stock_subject
from shared.packing import unpack
from shared.rest import Part
from shared.service import Service
from shared.spreadsheet import printable

MAX_SHOWN = 80
"""Characters of a value in a sentence."""

Command = tuple[str, ...]


class Difference(NamedTuple):
    """What Redis holds of a subject otherwise than the facts say.

    `removes` are the commands that take it out of Redis, so that it is made anew of the facts.
    """

    service: str
    subject: str
    what: str
    removes: tuple[Command, ...]
    untold: bool = False
    """No fact is about it: where the first ones were deleted, it may be older than all others."""

    def __str__(self) -> str:
        return f"{self.service} {self.subject}: {self.what}"


async def differences_of_partition(
    service: Service[Any], partition: int, subjects: Iterable[str], redis: Redis, facts: Redis
) -> list[Difference]:
    """The documents of a partition, and its ledger of deadlines, against those by the facts.

    `subjects` are those that have a document in `redis`.
    """
    found: list[Difference] = []
    beside = Part(service, facts)
    stored = await documents_of(Part(service, redis), partition, subjects)
    told = await documents_of(beside, partition, (await subjects_of(beside))[partition])
    for subject in sorted(stored.keys() | told.keys()):
        if what := _document(service, subject, stored.get(subject), told.get(subject)):
            removes = ("DEL", service.documents.key(partition, subject))
            untold = subject not in told
            found.append(Difference(service.name, subject, what, (removes,), untold))
    if service.journal is DEADLINES_EVENTS:
        found += await _ledger(service, partition, redis, facts)
    return found


async def differences_across(service: Service[Any], redis: Redis, facts: Redis) -> list[Difference]:
    """What crosses a service's orders, against the same by the facts."""
    return [
        difference
        for compare in _ACROSS.get(service.name, ())
        async for difference in compare(service.name, redis, facts)
    ]


def _document(service: Service[Any], subject: str, stored: bytes | None, told: bytes | None) -> str:
    """How a document differs; one that only latecomers ask for may be gone."""
    if told is None:
        return "is in Redis, and there is no fact of it"
    if stored is None:
        lingers = service.documents.read(subject, told).lingers
        return "" if lingers else "is not in Redis, and its facts are"
    ours, theirs = (_members(service, value) for value in (stored, told))
    names = [n for n in ours.keys() | theirs.keys() if ours.get(n) != theirs.get(n)]
    return ", ".join(_member(name, ours.get(name), theirs.get(name)) for name in sorted(names))


def _member(name: str, ours: Any, theirs: Any) -> str:
    """Whole values only where they are short: others may be a buyer's address."""
    if any(isinstance(value, list | dict) for value in (ours, theirs)):
        return f"{name} differs"
    return f"{name} is {_shown(ours)}, by its facts {_shown(theirs)}"


def _members(service: Service[Any], stored: bytes) -> dict[str, Any]:
    """A document's members and its state's."""
    document: dict[str, Any] = from_json(unpack(stored))
    if service.journal is DEADLINES_EVENTS:
        # For tracing: of the first of its inputs that was read, and which that was is chance.
        document.pop("correlation_id", None)
    state: dict[str, Any] = document.pop("state") or {}
    return document | {f"state.{name}": value for name, value in state.items()}


def _shown(value: Any) -> str:
    text = "nothing" if value is None else printable(str(value))
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


async def _ledger(
    service: Service[Any], partition: int, redis: Redis, facts: Redis
) -> list[Difference]:
    """A subject whose ledger differs is armed anew, all of it, with its document."""
    stored, told = [
        {entry.member: entry for entry in await read_ledger(r, partition)} for r in (redis, facts)
    ]
    found = []
    for member in sorted(stored.keys() | told.keys()):
        ours, theirs = stored.get(member), told.get(member)
        if ours == theirs:
            continue
        entry = ours or theirs
        assert entry is not None
        what = f"{entry.publisher} {entry.kind} is {_due(ours)}, by its facts {_due(theirs)}"
        removes = (
            ("ZREM", ledger_key(partition), member),
            ("DEL", ttl_key(partition, member)),
            ("DEL", service.documents.key(partition, entry.subject)),
        )
        found.append(Difference(service.name, entry.subject, what, removes, theirs is None))
    return found


def _due(entry: Entry | None) -> str:
    return f"due {entry.due.isoformat()}" if entry else "not armed"


async def _levels(service: str, redis: Redis, facts: Redis) -> AsyncIterator[Difference]:
    stored, told = [{(v.seller_id, v.sku): v async for v in all_levels(r)} for r in (redis, facts)]
    for seller_id, sku in sorted(stored.keys() | told.keys()):
        ours, theirs = stored.get((seller_id, sku)), told.get((seller_id, sku))
        if ours != theirs:
            what = f"{_units(ours)}; by its facts {_units(theirs)}"
            removes = ("HDEL", levels_key(seller_id), sku)
            subject = stock_subject(seller_id, sku)
            yield Difference(service, subject, what, (removes,), theirs is None)


def _units(level: Level | None) -> str:
    if level is None:
        return "no level"
    if level.version == NO_LEVEL:
        return "what is stored is no level"
    return (
        f"on hand {level.on_hand}, available {level.available}, reserved {level.reserved}"
        f" (version {level.version})"
    )


async def _holdings(service: str, redis: Redis, facts: Redis) -> AsyncIterator[Difference]:
    stored, told = [{_place(v): v.units async for v in all_holdings(r)} for r in (redis, facts)]
    for seller_id, order_id in sorted(stored.keys() | told.keys()):
        ours, theirs = (dict(some.get((seller_id, order_id), {})) for some in (stored, told))
        if ours != theirs:
            what = f"holds {_shown(ours)} of {seller_id}, by its facts {_shown(theirs)}"
            removes = ("DEL", order_key(seller_id, order_id))
            yield Difference(service, order_id, what, (removes,), not theirs)


def _place(holding: Holding) -> tuple[str, str]:
    return holding.seller_id, holding.order_id


Compare = Callable[[str, Redis, Redis], AsyncIterator[Difference]]
_ACROSS: Mapping[str, tuple[Compare, ...]] = {"inventory": (_levels, _holdings)}
"""What crosses the orders of a service; payment's tallies are not looked at."""
