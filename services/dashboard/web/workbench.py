"""What people do with dead letters, by the pages and by `orderflow deadletters` alike: look what a
replay would come to, replay, discard.

What was done is told on `dashboard.events`, so that the projection shows it and a rebuild brings it
back. A copy is sent first and told of then: who is interrupted between finds the letter open, and
sending it again changes nothing twice, since its event keeps its id.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from services.dashboard.replaying import (
    Examined,
    Typed,
    as_edited,
    as_it_came,
    outlook_of,
    subject_of,
)
from services.dashboard.state import View
from services.dashboard.store import Views
from services.dashboard.web.index import Index
from services.dashboard.web.parts import Clock, Desk, Parts, Records
from shared.clock import from_ms
from shared.dead_letters import Kept, read_letter
from shared.events.dashboard import (
    DASHBOARD_EVENTS,
    LetterDiscarded,
    LetterReplayed,
    letter_subject,
    person_of,
)
from shared.events.envelope import derived_id
from shared.kafka import DEAD_LETTERS
from shared.spreadsheet import printable

MAX_AT_ONCE = 100
"""Letters of one go: each is a look into Kafka of some 30 ms."""
MAX_KEY = 128
"""Characters of a key that are told."""


STATES = ("open", "replayed", "edited", "discarded")
"""What a letter can be: nobody has done anything with it, or what was done last."""


class Wanted(NamedTuple):
    """Which dead letters are asked for; empty is all of them."""

    reason: str = ""
    service: str = ""
    state: str = ""
    text: str = ""


class Listed(NamedTuple):
    """A dead letter in a list, and what was done with it last; `state` is open before that."""

    origin: str
    service: str
    reason: str
    field: str
    detail: str
    subject: str
    size_bytes: int
    kept_ms: int
    state: str
    handled_by: str
    handled_ms: int
    copy_at: str
    discarded_because: str


def find(index: Index, wanted: Wanted, most: int) -> list[Listed]:
    """The letters that are asked for, the newest first."""
    rows = index.ask(
        f"SELECT {', '.join(Listed._fields)} FROM letters_now WHERE {_FITS}"  # noqa: S608
        " ORDER BY kept_ms DESC, origin LIMIT :most",
        **wanted._asdict(),
        most=most,
    )
    return [Listed(*row)._replace(handled_by=person_of(row["handled_by"])) for row in rows]


def count(index: Index, wanted: Wanted) -> int:
    """How many are asked for."""
    sql = f"SELECT count(*) AS n FROM letters_now WHERE {_FITS}"  # noqa: S608
    return int(index.one(sql, **wanted._asdict())["n"])


_FITS = (
    ":reason IN ('', reason) AND :service IN ('', service) AND :state IN ('', state)"
    " AND (instr(lower(subject), lower(:text)) OR instr(origin, :text))"
)


@dataclass(frozen=True)
class Workbench:
    """Where dead letters are worked on; calls raise TransientError while something is away."""

    views: Views
    records: Records
    desk: Desk
    clock: Clock

    async def letter(self, origin: str) -> Kept | None:
        """A dead letter as it was kept; None where it is not there any more."""
        _, partition, _ = origin.rsplit(":", 2)
        at = int(partition)
        if at >= self.views.partitions:
            return None
        view = await self.views.view(letter_subject(origin), at)
        if view is None or view.letter is None:
            return None
        record = await self.records.record(DEAD_LETTERS, at, view.letter.offset)
        return None if record is None else read_letter(record)

    async def handled(self, origin: str) -> View:
        """What was done with a letter."""
        return await self.views.view(letter_subject(origin)) or View(kind="letter")

    async def examine(self, origin: str, typed: Typed | None = None) -> Examined | None:
        """What replaying a letter, or a copy of it as it was edited, would come to.

        It changes nothing; None where the letter is not there any more.
        """
        if (kept := await self.letter(origin)) is None:
            return None
        partitions, wall_ms = self.views.partitions, self.clock.wall_ms()
        copy = (
            as_it_came(kept, partitions, wall_ms)
            if typed is None
            else as_edited(kept, typed, partitions, wall_ms)
        )
        handled, subject = await self.handled(origin), subject_of(copy)
        views: Mapping[str, View | None] = {subject: await self.views.view(subject)}
        outlook = outlook_of(kept, copy, views, partitions, self.clock.timeline, handled)
        return Examined(kept, handled, outlook)

    async def examine_all(self, origins: Sequence[str]) -> list[Examined]:
        """What replaying each of some letters would come to, as far as they are there."""
        assert len(origins) <= MAX_AT_ONCE, "who asks cuts it"
        found = [await self.examine(origin) for origin in origins]
        return [each for each in found if each is not None]

    async def replay(self, examined: Examined, source: str, *, edited: bool = False) -> str:
        """Send what was examined, and tell who did; where the copy lies."""
        copy = examined.outlook.copy
        assert copy is not None, "who asks looks at the verdict first"
        offset = await self.desk.send(copy)
        copy_at = f"{copy.topic}:{copy.partition}:{offset}"
        fact = LetterReplayed(
            letter=examined.origin,
            by=person_of(source),
            copy_at=copy_at,
            edited=edited,
            record_key=_key(copy.key),
        )
        await self._tell(fact, copy_at, source)
        return copy_at

    async def discard(self, examined: Examined, reason: str, source: str) -> None:
        """Tell that a letter is to lead to nothing, who says so and why."""
        fact = LetterDiscarded(
            letter=examined.origin,
            by=person_of(source),
            reason=reason,
            record_key=_key(examined.kept.key),
        )
        await self._tell(fact, f"{source} {reason}", source)

    async def _tell(self, fact: LetterReplayed | LetterDiscarded, cause: str, source: str) -> None:
        subject = letter_subject(fact.letter)
        await self.desk.say(
            DASHBOARD_EVENTS,
            fact,
            id_=derived_id(f"{fact.letter} {cause}", "dashboard", fact.TYPE, subject, 0),
            source=source,
            subject=subject,
            time=from_ms(self.clock.now_ms()),
        )


def bench_of(parts: Parts) -> Workbench:
    """The workbench of a process that serves pages, or of a command."""
    return Workbench(parts.views, parts.records, parts.desk, parts.clock)


def is_open(examined: Examined) -> bool:
    """Whether nobody has done anything with a letter."""
    return not examined.view.handled


def _key(key: bytes | None) -> str:
    return printable((key or b"").decode(errors="replace"))[:MAX_KEY]
