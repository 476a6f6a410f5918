"""One who looks at the whole running system from outside: is it at rest, do its books balance."""

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import groupby

from redis.asyncio import Redis
from rich.table import Table
from rich.text import Text

from services.deadlines.app import build as build_deadlines
from services.deadlines.store import ledger_key, read_ledger
from services.fulfillment.app import build as build_fulfillment
from services.inventory.app import build as build_inventory
from services.inventory.store import all_holdings, all_levels
from services.payment.app import build as build_payment
from shared.books.inputs import Acknowledged
from shared.books.provider import Moved
from shared.books.reading import audit
from shared.books.result import Books, Page
from shared.clock import BusinessClock, clock_at
from shared.currencies import money
from shared.events.topics import TOPICS
from shared.kafka import checked_partitions, servers_of
from shared.log_reader import LogReader, open_reader
from shared.redis import connect
from shared.rest import Part, Rest
from shared.settings import Settings

MAX_VIOLATIONS_SHOWN = 10
"""Of one promise; JSON has more."""


@dataclass(frozen=True)
class Observer:
    """The clients of one who looks; they close when `observe` ends."""

    reader: LogReader
    clock: BusinessClock
    rest: Rest
    redis: Redis

    async def audit(
        self,
        acknowledged: Iterable[Acknowledged] | None = None,
        moves: Iterable[Moved] | None = None,
    ) -> Books:
        """The books: P1 to P6 over all topics and Redis, of a system at rest.

        `acknowledged` is what producers remember of what Kafka acknowledged to them, `moves` the
        payment provider's ledger where one is asked.
        """
        return await audit(
            self.rest,
            read_ledger=partial(read_ledger, self.redis),
            levels=all_levels(self.redis),
            holdings=all_holdings(self.redis),
            acknowledged=acknowledged,
            moves=moves,
        )


@asynccontextmanager
async def observe(settings: Settings) -> AsyncIterator[Observer]:
    """Look at the system that these settings name, whose services share one Redis."""
    async with AsyncExitStack() as stack:
        redis = connect(settings.redis_url)
        stack.push_async_callback(redis.aclose)
        clock = await stack.enter_async_context(clock_at(settings.clock_redis_url))
        servers = servers_of(settings)
        partitions = await checked_partitions(servers, [topic.name for topic in TOPICS])
        reader = await stack.enter_async_context(open_reader(servers, partitions))
        builds = (build_inventory, build_payment, build_fulfillment, build_deadlines)
        parts = [Part(build(), redis) for build in builds]
        yield Observer(reader, clock, Rest(parts, reader, clock, ledger_key), redis)


def books_table(books: Books) -> Table:
    """The books for people: a row per promise, its counts, and what violates it."""
    said = "The books balance." if books.balanced else "The books do NOT balance."
    table = Table(title="The books", caption=said, title_justify="left", caption_justify="left")
    table.add_column("")
    table.add_column("promise", ratio=2)
    table.add_column("looked at", ratio=3)
    for page in books.pages:
        counts = ", ".join(f"{name} {count:,}" for name, count in page.counts.items())
        lines = [counts, *_amounts(page)]
        wrong = [str(violation) for violation in page.violations[:MAX_VIOLATIONS_SHOWN]]
        wrong += [f"{page.violated - len(wrong)} more"] * (page.violated > len(wrong))
        wrong += [f"looked at no {name}" for name in page.unchecked]
        shown = Text("\n").join([*map(Text, lines), *(Text(w, style="red") for w in wrong)])
        table.add_row(_marked(page), page.claim, shown)
    return table


def books_summary(books: Books) -> Table:
    """Books that balance at a glance: a line per promise, with the first of its counts."""
    table = Table.grid(padding=(0, 2), expand=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(ratio=1)
    for page in books.pages:
        name, count = next(iter(page.counts.items()), ("looked at", 0))
        claim = Text(page.claim, overflow="ellipsis", no_wrap=True)
        table.add_row(_marked(page), f"{name} {count:,}", claim)
    return table


def _marked(page: Page) -> str:
    return f"{'[green]✓[/]' if page.holds else '[red]✗[/]'} {page.promise}"


def _amounts(page: Page) -> Iterator[str]:
    """The money that was looked at: a line for each way in which it moved."""
    for how, amounts in groupby(page.amounts, key=lambda amount: amount.how):
        said = (money(each.amount_minor, each.currency) for each in amounts)
        yield f"{how}: {', '.join(said)}"
