"""One run: a market and faults drawn from a seed, then peace, and what the books say."""

import asyncio
import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from operator import itemgetter
from random import Random

from structlog.testing import capture_logs

from services.simulator import accounts
from services.simulator.fate import ANY_FAULT, Allowed, Fate, Fault
from services.simulator.market import Market
from services.simulator.overtaken import overtaken
from services.simulator.system import System
from services.simulator.topics import MemoryRecord
from shared.books.intake import FAILED
from shared.books.result import Books
from shared.books.story import parsed
from shared.clock import from_ms, to_ms

PARTITIONS = 2
"""The fewest between which a record can be misrouted, and of which workers can hold one each."""
MOST_ORDERS = 4
"""Some share a partition, a seller, a SKU and a buyer then; more make a run longer, not richer."""
DAY_S = 86_400
SAFETY_S = (600, 2 * DAY_S, 36 * DAY_S, 36 * DAY_S)
"""How long faults come: into the hold, past the first late notices, past day 30."""
LIFE_S = 48 * DAY_S
"""No order waits longer than its 30 days, and nobody acts later than 11 days after that."""
CALLS = 0.4
"""Of all runs, those in which payment calls a provider; in the others a gateway hears its facts."""
ANSWERS_S = 45 * DAY_S
"""How much longer a run with calls lives: what is never answered is given up a month after its
day."""
REST_CHECK_S = 120
"""Between two looks whether all is at rest: longer than a task waits to be opened again."""
REST_CHECKS = 60
"""Two hours in virtual time: what is not at rest by then never is, and the books say so."""
FIRST_DAY, DAYS = datetime(2026, 1, 1, tzinfo=UTC), 730
"""Runs begin on some day of two years: they meet month ends, leap days and changes of the clock."""


@dataclass(frozen=True)
class Plan:
    """What makes a run: the same plan is the same run, to the byte.

    `orders` are the numbers of the orders that are placed, None for all that the seed has.
    """

    seed: int
    orders: Collection[int] | None = None
    allowed: Allowed = ANY_FAULT


@dataclass
class Outcome:
    """What a run came to: `violations` are sentences, none where all is well; among them are those
    with which tasks `refused` to go on.

    `trace` is a digest of every record with its time and place, of every fault, and of all that the
    provider did; `calls` say how much it was asked, nothing where it was not called.
    """

    plan: Plan
    orders: list[int]
    faults: list[Fault]
    records: int
    steps: int
    trace: str
    violations: list[str]
    refused: list[str]
    calls: Mapping[str, int]
    story: list[str] = field(repr=False)


def run(plan: Plan) -> Outcome:
    """Run a plan to its end."""
    begin = Random(f"orderflow {plan.seed} begin")
    begin_ms = to_ms(FIRST_DAY) + begin.randrange(DAYS * DAY_S) * 1000
    outside = Random(f"orderflow {plan.seed} called")
    called = outside.random() < CALLS
    fate = Fate(plan.seed, plan.allowed)
    system = System(fate, begin_ms, PARTITIONS, outside if called else None)
    drawn = range(begin.randint(1, MOST_ORDERS))
    orders = [n for n in drawn if plan.orders is None or n in plan.orders]
    market = Market(system, plan.seed, orders)
    with capture_logs(), asyncio.Runner(loop_factory=lambda: system.loop) as runner:  # it is quiet
        books = runner.run(_live(system, market, begin.choice(SAFETY_S)))
    return Outcome(
        plan=plan,
        orders=orders,
        faults=system.fate.faults,
        records=len(system.topics.appended),
        steps=system.steps,
        trace=_trace(system),
        violations=_violations(system, books),
        refused=system.refused,
        calls=system.provider.counts if system.provider else {},
        story=_story(system),
    )


async def _live(system: System, market: Market, safety_s: int) -> Books:
    """Faults come for a time; then none, and everything has to come to rest."""
    system.start()
    market.open()
    await asyncio.sleep(safety_s)
    system.make_peace()
    await asyncio.sleep(LIFE_S - safety_s)
    if system.provider is not None:
        await asyncio.sleep(ANSWERS_S)
    for _ in range(REST_CHECKS):
        if await system.rest.at_rest():
            break
        await asyncio.sleep(REST_CHECK_S)
    return await system.books(market.acknowledged)


def _violations(system: System, books: Books) -> list[str]:
    if system.refused:
        return [*system.failed, *system.refused]  # it does not go on, so nothing is at rest
    found = [*system.failed, *map(str, books.violations)]
    if system.provider is not None:
        found += accounts.violations(system.provider, system.topics.appended)
    found += overtaken([group.service for group in system.groups], system.topics.appended)
    for record in system.topics.appended:
        headers = dict(record.headers)
        if (headers.get("deadletter-reason") or b"").decode() in FAILED:
            detail = headers.get("deadletter-detail") or b""
            found.append(f"deciding a record failed: {detail.decode()}")
    return found


def _story(system: System) -> list[str]:
    """What happened, in order: records as they came, faults, and what became of tasks."""
    told = [*system.notes]
    told += [(f.at_ms, f"fault {f.number}: {f.kind}, {f.where}") for f in system.fate.faults]
    for move in system.provider.moves if system.provider else ():
        told.append((move.at_ms, f"provider: {move.how} {move.amount_minor} of {move.payment_id}"))
    told += [(record.timestamp, _shown(record)) for record in system.topics.appended]
    told.sort(key=itemgetter(0))
    return [f"{from_ms(at_ms):%d %b %H:%M:%S.%f}"[:-3] + f"  {what}" for at_ms, what in told]


def _shown(record: MemoryRecord) -> str:
    event = parsed(record.value)
    what = f"{event['type']} {event['subject']} ({event['id'][:13]})" if event else "no event"
    reason = event["data"].get("reason") if event else None
    why = f", {reason}" if reason else ""
    return f"{record.topic}:{record.partition}:{record.offset}  {what}{why}"


def _trace(system: System) -> str:
    digest = hashlib.sha256()
    for record in system.topics.appended:
        digest.update(repr(record).encode())
    for fault in system.fate.faults:
        digest.update(repr(fault).encode())
    for move in system.provider.moves if system.provider else ():
        digest.update(repr(move).encode())
    return digest.hexdigest()
