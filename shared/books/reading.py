"""Reads a running system's topics and Redis for the audit."""

from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping

from shared.books.audit import Armed, Audit
from shared.books.inputs import Acknowledged
from shared.books.intake import Intake
from shared.books.provider import Moved
from shared.books.result import Books
from shared.books.stock import StoredHolding, StoredLevel
from shared.events.topics import TOPICS
from shared.kafka import DEAD_LETTERS
from shared.log_reader import Offsets
from shared.redis import Pipeline, scan
from shared.rest import Part, Rest

MGET_KEYS = 500
"""Documents of one trip: some 2 MB of snapshots."""

ReadLedger = Callable[[int], Awaitable[Iterable[Armed]]]
"""Reads what is armed in a partition of deadlines."""

_EVENTS = [topic.name for topic in TOPICS]


async def audit(
    rest: Rest,
    *,
    read_ledger: ReadLedger,
    levels: AsyncIterator[StoredLevel],
    holdings: AsyncIterator[StoredHolding],
    acknowledged: Iterable[Acknowledged] | None = None,
    moves: Iterable[Moved] | None = None,
) -> Books:
    """Check P1 to P6 over all topics and Redis, once the system is at rest (see `Rest`).

    `levels` and `holdings` are inventory's stock, `acknowledged` what producers remember of what
    Kafka acknowledged to them, `moves` the payment provider's ledger. Needs memory for one
    partition's history, and reads some 20 000 records a second. Raises TransientError while Kafka
    or a Redis is away.
    """
    reader = rest.reader
    await rest.clock.refresh()
    begins, ends = await reader.begins(_EVENTS), await reader.ends([*_EVENTS, DEAD_LETTERS])
    audit_ = Audit(
        [part.service for part in rest.parts],
        reader.partitions,
        rest.clock.timeline,
        [level async for level in levels],
        [holding async for holding in holdings],
        acknowledged,
        moves,
    )
    subjects = {part.service.name: await subjects_of(part) for part in rest.parts}
    for partition in range(reader.partitions):
        intake = audit_.intake(partition)
        await _read(rest, intake, ends)
        documents = {
            part.service.name: await documents_of(
                part, partition, subjects[part.service.name][partition]
            )
            for part in rest.parts
        }
        audit_.close(intake, documents, await read_ledger(partition))
    await _check_rest(rest, audit_, begins, ends)
    return audit_.books()


async def _read(rest: Rest, intake: Intake, ends: Offsets) -> None:
    """Dead letters first, so that each is compared with its origin as that comes by."""
    async for record in rest.reader.records([DEAD_LETTERS], intake.partition, ends):
        intake.take_letter(record)
    async for record in rest.reader.records(_EVENTS, intake.partition, ends):
        intake.take(record)


async def _check_rest(rest: Rest, audit_: Audit, begins: Offsets, ends: Offsets) -> None:
    """The books of a system that moves, or whose history is not whole, would say nothing."""
    page = audit_.pages["rest"]
    for (topic, partition), offset in begins.items():
        if offset:
            page.violate(f"{topic}:{partition}", f"begins at {offset}: what was before is gone")
    for lag in await rest.lag():
        if not lag.still:
            page.violate("system", f"is not at rest: {lag}")
    for at, end in (await rest.reader.ends([*_EVENTS, DEAD_LETTERS])).items():
        page.count("records", end)
        if ends[at] != end:
            page.violate(f"{at[0]}:{at[1]}", f"has moved from {ends[at]} to {end} meanwhile")


async def subjects_of(part: Part) -> Mapping[int, set[str]]:
    """The subjects of all documents of a service, by partition."""
    documents = part.service.documents
    found: defaultdict[int, set[str]] = defaultdict(set)
    async for keys in scan(part.redis, documents.pattern):
        for key in keys:
            partition, subject = documents.place(key.decode())
            found[partition].add(subject)
    return found


async def documents_of(part: Part, partition: int, subjects: Iterable[str]) -> dict[str, bytes]:
    """The documents of these subjects of a partition, as they are stored, in their order."""
    found: dict[str, bytes] = {}
    names = sorted(subjects)
    for at in range(0, len(names), MGET_KEYS):
        some = names[at : at + MGET_KEYS]
        pipeline = Pipeline(part.redis)
        pipeline.queue("MGET", *(part.service.documents.key(partition, name) for name in some))
        (stored,) = await pipeline.run()
        found |= {name: raw for name, raw in zip(some, stored, strict=True) if raw is not None}
    return found
