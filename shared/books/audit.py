"""The audit, in memory: takes every record once, partition by partition, and writes the books."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from shared.books.documents import check_document
from shared.books.ids import check_ids
from shared.books.inputs import Acknowledged, check_inputs
from shared.books.instants import Lateness, check_instants
from shared.books.intake import Arrived, Intake, Place
from shared.books.money import check_money
from shared.books.notices import check_notices
from shared.books.orders import Ledger, check_order
from shared.books.provider import Moved, check_provider
from shared.books.result import Books, Draft
from shared.books.stock import StockBook, StoredHolding, StoredLevel
from shared.books.story import Story
from shared.clock import Timeline, to_ms
from shared.decode import partition_of
from shared.service import Service

Documents = Mapping[str, Mapping[str, bytes]]
"""What Redis holds of one partition, by service and subject."""


PROMISES: Sequence[tuple[str, str, tuple[str, ...]]] = (
    ("rest", "All is said and done, and all of it can be read.", ("partitions",)),
    (
        "P1",
        "Per SKU: on hand = available + reserved, none negative; units sold never exceed supplied.",
        ("SKUs", "levels", "units supplied", "units sold"),
    ),
    (
        "P2",
        "Every accepted order is live before its deadline, ended once, or visibly stuck.",
        ("orders placed", "orders accepted"),
    ),
    ("P3", "Every fact has one stable id.", ("facts",)),
    ("P4", "Every notice is there once, and none of a silent cancel.", ("notices",)),
    ("P5", "No hold or deadline ends early.", ("deadlines reached", "holds ended")),
    (
        "P6",
        "Nothing handed over is lost: it is decided, kept byte for byte, or no news.",
        ("events", "decided"),
    ),
    ("R7", "Money that is not owed goes back, once.", ("payments",)),
    ("state", "Redis holds what the journals say.", ("documents",)),
)
"""The pages of the books: the promise, what it claims, and what a check of it has to have seen."""


class Armed(Protocol):
    """A line of the deadlines' ledger."""

    @property
    def publisher(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def due(self) -> datetime: ...


class Audit:
    """One audit of a system at rest.

    For each partition: `intake`, hand it all records, `close` it. Then `books`. `acknowledged` is
    what producers remember, None where nobody does; `levels` and `holdings` are inventory's stock;
    `moves` is the payment provider's ledger, None where it has none to show.
    """

    def __init__(
        self,
        services: Sequence[Service[Any]],
        partitions: int,
        timeline: Timeline,
        levels: Iterable[StoredLevel],
        holdings: Iterable[StoredHolding],
        acknowledged: Iterable[Acknowledged] | None,
        moves: Iterable[Moved] | None = None,
    ) -> None:
        self._services = services
        self._partitions = partitions
        self._timeline = timeline
        self.pages = {name: Draft(name, claim, must) for name, claim, must in PROMISES}
        self._stock = StockBook(levels, holdings, self.pages["P1"])
        self._lateness = Lateness()
        self._arrived = Arrived()
        self._lost: set[Place] = set()
        self._acknowledged: defaultdict[int, set[Place]] = defaultdict(set)
        if acknowledged is not None:
            self.pages["P6"].must += ("events acknowledged",)
        self._moves: defaultdict[str, list[Moved]] = defaultdict(list)
        self._moves_known = moves is not None
        for move in moves or ():
            self._moves[move.order_id].append(move)
        for event in acknowledged or ():
            self.pages["P6"].count("events acknowledged")
            partition = partition_of(event.subject, partitions)
            self._acknowledged[partition].add(Place(event.topic, event.subject, event.id))

    def intake(self, partition: int) -> Intake:
        """Begin with a partition."""
        self.pages["rest"].count("partitions")
        ids, inputs = self.pages["P3"], self.pages["P6"]
        return Intake(partition, self._partitions, self._services, self._arrived, ids, inputs)

    def close(self, intake: Intake, documents: Documents, ledger: Iterable[Armed]) -> None:
        """All records of a partition are taken: check what lies whole in it."""
        intake.close()
        armed: defaultdict[str, dict[tuple[str, str], int]] = defaultdict(dict)
        for line in ledger:
            armed[line.subject][line.publisher, line.kind] = to_ms(line.due)
        stored = {subject for subjects in documents.values() for subject in subjects}
        stored |= {s for s in self._moves if partition_of(s, self._partitions) == intake.partition}
        for subject in stored | armed.keys() | intake.stories.keys():
            story = intake.stories.get(subject) or Story(subject)
            self._check(story, armed.get(subject, {}))
            for service in self._services:
                document = documents.get(service.name, {}).get(subject)
                check_document(service, story, document, self.pages["state"])
        self._lost |= self._acknowledged[intake.partition] - intake.outside

    def books(self) -> Books:
        """All partitions are closed: balance what goes over them."""
        self._stock.balance()
        for late, wall_ms in self._lateness.summary().items():
            self.pages["P5"].count(late, wall_ms)
        inputs, arrived = self.pages["P6"], self._arrived
        for place in arrived.misrouted - arrived.rerouted:
            inputs.violate(place.subject, f"{place.id} was misrouted, and not sent on")
        for place in self._lost - arrived.kept:
            what = f"{place.topic} has lost the acknowledged event {place.id}"
            inputs.violate(place.subject, what)
        return Books(tuple(draft.page() for draft in self.pages.values()))

    def _check(self, story: Story, ledger: Ledger) -> None:
        self._stock.take_sku(story)
        self._stock.take_order(story)
        check_order(story, ledger, self.pages["P2"])
        check_ids(story, self.pages["P3"])
        check_notices(story, self.pages["P4"])
        check_instants(story, self._timeline, self._lateness, self.pages["P5"])
        check_inputs(story, self.pages["P6"])
        check_money(story, self.pages["R7"])
        if self._moves_known:
            check_provider(story, self._moves[story.subject], self.pages["R7"])
