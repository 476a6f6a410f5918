"""The whole system in memory: the real services on a log, documents and a clock made of lists.

What the partition tasks, Kafka and Redis do is done here in the plainest way; what the services
decide is their own. It makes histories for the books, true ones, which a test then breaks.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from services.deadlines import app as deadlines
from services.deadlines.clock import due_event
from services.deadlines.store import Entry
from services.fulfillment import app as fulfillment
from services.inventory import app as inventory
from services.inventory.store import Holding, Level
from services.payment import app as payment
from services.simulator.tallies import MemoryTallies
from shared.batch import DeadLetter, Desk, Input, input_of, restored
from shared.books.audit import Audit
from shared.books.provider import Moved
from shared.books.result import Books
from shared.calls import answer_id
from shared.clock import Timeline, from_ms, to_ms
from shared.dead_letters import letter_headers
from shared.decode import REROUTED_HEADER, Decoder, Misrouted, NotAnEvent, partition_of
from shared.documents import Document
from shared.events.deadlines import DeadlineReached
from shared.events.envelope import CONTENT_TYPE, Event, Fact, Topic, encode
from shared.events.parking import ParkedRecord
from shared.events.topics import TOPICS
from shared.kafka import DEAD_LETTERS
from shared.policy import Policies
from shared.service import Question, Received, Service

PARTITIONS = 3
Headers = tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True)
class MemoryRecord:
    """A record of the log; its time is business time and wall time alike."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


@dataclass(frozen=True)
class Acknowledged:
    topic: str
    subject: str
    id: str


class Stock:
    """What inventory's script does, as far as the histories here need it."""

    def __init__(self) -> None:
        self.levels: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
        self.held: dict[tuple[str, str], Counter[str]] = {}
        self._placed: set[tuple[str, str]] = set()
        self._answers: dict[tuple[str, str | int], bytes] = {}

    def answer(self, question: Question) -> Any:
        operation, args = str(question.args[0]), list(question.args[3:])
        if operation == "lasts":
            return question.read(self._lasts(question.keys[0], args))
        once = (question.keys[1], operation if operation in ("set", "adjust") else args[0])
        if once not in self._answers:
            seller = _seller(question.keys[0])
            order = question.keys[1].partition("}:order:")[2]
            self._answers[once] = getattr(self, f"_{operation}")(seller, order, args)
        return question.read(self._answers[once])

    def _set(self, seller: str, _order: str, args: list[Any]) -> bytes:
        return self._adjust(seller, "", [args[0], args[1] - self.levels[seller, args[0]][0]])

    def _adjust(self, seller: str, _order: str, args: list[Any]) -> bytes:
        sku, change = args
        on_hand, reserved, version = self.levels[seller, sku]
        if on_hand + change < reserved:
            row = [sku, change, on_hand, reserved, version, 0, 0, 0]
            return json.dumps(["below_reserved", [row]]).encode()
        return json.dumps(["counted", [self._row(seller, sku, change, change, 0)]]).encode()

    def _reserve(self, seller: str, order: str, args: list[Any]) -> bytes:
        if (seller, order) in self._placed:
            return b'["taken",[]]'
        self._placed.add((seller, order))
        wanted = dict(zip(args[1::2], args[2::2], strict=True))
        lacking = [s for s, n in wanted.items() if self._available(seller, s) < n]
        if lacking:
            rows = [[s, wanted[s], *self.levels[seller, s], 0, 0, 0] for s in lacking]
            return json.dumps(["rejected", rows]).encode()
        self.held[seller, order] = Counter(wanted)
        rows = [self._row(seller, sku, n, 0, n) for sku, n in wanted.items()]
        return json.dumps(["reserved", rows]).encode()

    def _release(self, seller: str, order: str, args: list[Any]) -> bytes:
        held, gone = self.held.pop((seller, order), Counter()), args[1] == 1
        rows = [self._row(seller, s, n, -n if gone else 0, -n) for s, n in held.items()]
        return json.dumps(["released", rows]).encode()

    def _ship(self, seller: str, order: str, args: list[Any]) -> bytes:
        changes = dict(zip(args[1::2], args[2::2], strict=True))
        self.held[seller, order] = +(self.held[seller, order] - Counter(changes))
        rows = [self._row(seller, sku, n, -n, -n) for sku, n in changes.items()]
        return json.dumps(["shipped", rows]).encode()

    def _return(self, seller: str, _order: str, args: list[Any]) -> bytes:
        sellable = zip(args[1::3], args[2::3], strict=True)
        rows = [self._row(seller, sku, n, n, 0) for sku, n in sellable if n]
        return json.dumps(["returned", rows]).encode()

    def _lasts(self, levels: str, args: list[Any]) -> bytes:
        seller, wanted = _seller(levels), dict(zip(args[::2], args[1::2], strict=True))
        lacking = [s for s, n in wanted.items() if self._available(seller, s) < n]
        rows = [[s, wanted[s], *self.levels[seller, s], 0, 0, 0] for s in lacking]
        return json.dumps(["lacking" if rows else "lasts", rows]).encode()

    def _available(self, seller: str, sku: str) -> int:
        on_hand, reserved, _ = self.levels[seller, sku]
        return on_hand - reserved

    def _row(self, seller: str, sku: str, units: int, on_hand: int, reserved: int) -> list[Any]:
        before = self._available(seller, sku)
        level = self.levels[seller, sku]
        self.levels[seller, sku] = [level[0] + on_hand, level[1] + reserved, level[2] + 1]
        depleted = before > 0 and self._available(seller, sku) == 0
        return [sku, units, *self.levels[seller, sku], int(depleted), on_hand, reserved]


@dataclass
class Worker:
    """One service: where it is, and its documents."""

    service: Service[Any]
    decoder: Decoder
    positions: Counter[tuple[str, int]] = field(default_factory=Counter)
    documents: dict[tuple[int, str], Document[Any]] = field(default_factory=dict)


def place_of(subject: str) -> tuple[int, str]:
    """The key of a subject in a worker's documents."""
    return partition_of(subject, PARTITIONS), subject


class World:
    """The system, at `now`; `say` hands an event over, `pass_time` lets it go on."""

    def __init__(self, now: datetime, policies: Policies | None = None) -> None:
        self.now_ms = to_ms(now)
        self.policies = policies or Policies()
        self.log: defaultdict[tuple[str, int], list[MemoryRecord]] = defaultdict(list)
        self.acknowledged: list[Acknowledged] = []
        self.stock = Stock()
        self.tallies = MemoryTallies()
        builds = (inventory, payment, fulfillment, deadlines)
        self.workers = [self._worker(build.build()) for build in builds]
        self._ids = iter(range(1, 1_000_000))

    # -- what comes from outside ------------------------------------------------------------------

    def say(
        self, topic: Topic, fact: Fact, subject: str = "", *, id_: str = "", off: int = 0
    ) -> str:
        """An event reaches the log now, `off` partitions from its own; the system comes to rest."""
        about = fact.about()
        subject = subject or (about.subject if about else "")
        id_ = id_ or f"said-{next(self._ids)}"
        value = encode(fact, id_=id_, source="t", subject=subject, time=from_ms(self.now_ms))
        partition = (partition_of(subject, PARTITIONS) + off) % PARTITIONS
        self.append(topic.name, partition, subject.encode(), value)
        self.acknowledged.append(Acknowledged(topic.name, subject, id_))
        self.settle()
        return id_

    def answer(self, request: MemoryRecord, fact: Fact, *, final: bool = True) -> None:
        """The payment provider answers a request of payment, for good or not; all comes to rest."""
        asked = json.loads(request.value or b"")
        event = Event[Any](
            id=answer_id(asked["id"], final=final),
            source="orderflow/payment/calls",
            type=fact.TYPE,
            subject=asked["subject"],
            time=from_ms(self.now_ms),
            data=fact,
        )
        item = Input(Received(event, event.time), call=asked["id"], final=final)
        (payment_,) = (w for w in self.workers if w.service.name == "payment")
        self._take(payment_, request.partition, item)
        self.settle()

    def say_rubbish(self, topic: Topic, value: bytes) -> None:
        """A record that is no event reaches the log; the system comes to rest."""
        self.append(topic.name, 1, b"rubbish", value, headers=(("x", b"\xff"), ("y", None)))
        self.settle()

    def pass_time(self, until: datetime) -> None:
        """Time goes on until then; what comes due comes, to the millisecond."""
        while (due := min(self.ledger(), key=lambda e: e.due, default=None)) and due.due <= until:
            self.now_ms = max(self.now_ms, to_ms(due.due))
            self._take(self.workers[-1], partition_of(due.subject, PARTITIONS), _input(due))
            self.settle()
        self.now_ms = to_ms(until)

    # -- what is there ----------------------------------------------------------------------------

    def ledger(self) -> list[Entry]:
        """What is armed."""
        return [
            Entry(armed.publisher, armed.kind, subject, from_ms(armed.due_ms))
            for (_, subject), document in self.workers[-1].documents.items()
            for armed in (document.state.armed() if document.state else ())
        ]

    def records(self, topic: Topic | str, type_: str = "") -> list[MemoryRecord]:
        """The records of a topic, or those of one type, partition by partition."""
        name = topic if isinstance(topic, str) else topic.name
        said = f'"type":"{type_}'.encode()
        return [
            record
            for p in range(PARTITIONS)
            for record in self.log[name, p]
            if said in (record.value or b"") or not type_
        ]

    def change(
        self, record: MemoryRecord, change: Callable[[dict[str, Any]], object] | None
    ) -> None:
        """Falsify history: a record says something else, or, without a change, was never there.

        Offsets of the others stay.
        """
        log = self.log[record.topic, record.partition]
        at = log.index(record)
        if change is None:
            del log[at]
            return
        event = json.loads(record.value or b"")
        change(event)
        log[at] = replace(record, value=json.dumps(event).encode())

    def append(
        self, topic: str, partition: int, key: bytes | None, value: bytes | None, **more: Any
    ) -> MemoryRecord:
        """Put a record at the end of a partition, now."""
        log = self.log[topic, partition]
        offset = log[-1].offset + 1 if log else 0
        more = {"timestamp": self.now_ms, "headers": _STRUCTURED, **more}
        record = MemoryRecord(topic, partition, offset, key=key, value=value, **more)
        log.append(record)
        return record

    def books(
        self,
        timeline: Timeline | None = None,
        *,
        remember: bool = True,
        moves: Iterable[Moved] | None = None,
    ) -> Books:
        """The books of the system as it is now; `moves` is the payment provider's ledger."""
        levels = [Level(*of, *level) for of, level in self.stock.levels.items() if level[2]]
        holdings = [Holding(*of, dict(units)) for of, units in self.stock.held.items() if +units]
        audit = Audit(
            [worker.service for worker in self.workers],
            PARTITIONS,
            timeline or Timeline(),
            levels,
            holdings,
            self.acknowledged if remember else None,
            moves,
        )
        for p in range(PARTITIONS):
            intake = audit.intake(p)
            for record in self.log[DEAD_LETTERS, p]:
                intake.take_letter(record)
            for topic in TOPICS:
                for record in self.log[topic.name, p]:
                    intake.take(record)
            ledger = [e for e in self.ledger() if partition_of(e.subject, PARTITIONS) == p]
            audit.close(intake, {w.service.name: self._stored(w, p) for w in self.workers}, ledger)
        return audit.books()

    # -- the services at work ---------------------------------------------------------------------

    def settle(self) -> None:
        """Let every service read until there is nothing left to read."""
        while sum(self._read_on(worker) for worker in self.workers):
            pass

    def _worker(self, service: Service[Any]) -> Worker:
        return Worker(service, Decoder(service.name, service.reads, PARTITIONS))

    def _read_on(self, worker: Worker) -> bool:
        read = False
        for topic in worker.service.inputs:
            for p in range(PARTITIONS):
                for record in self.log[topic, p][worker.positions[topic, p] :]:
                    worker.positions[topic, p] += 1
                    read = True
                    self._receive(worker, record)
        return read

    def _receive(self, worker: Worker, record: MemoryRecord) -> None:
        found = worker.decoder.decode(record, Timeline())
        if isinstance(found, Event):
            if not _is_anothers(worker, found):
                self._take(worker, record.partition, _received(worker, found, record))
        elif isinstance(found, NotAnEvent) and worker.decoder.owns(record.topic):
            self._bury(worker, DeadLetter(record, found.reason, found.detail, found.field))
        elif isinstance(found, Misrouted) and worker.decoder.owns(record.topic):
            assert record.key is not None
            at = partition_of(record.key.decode(), PARTITIONS)
            headers = (*record.headers, (REROUTED_HEADER, b"%d" % record.timestamp))
            self.append(record.topic, at, record.key, record.value, headers=headers)

    def _take(self, worker: Worker, partition: int, item: Input) -> None:
        event = item.received.event
        asked = [ask(event, self.policies) for ask in worker.service.asks]
        answers = tuple(question and self._answer(question) for question in asked)
        item = item._replace(received=item.received._replace(answers=answers))
        known = worker.documents.get((partition, event.subject), Document(event.subject))
        desk = Desk(worker.service, self.policies, partition, PARTITIONS)
        decided = desk.decide([item], {event.subject: known}, lambda p: self._reread(worker, p))
        for subject, document in decided.after.items():
            worker.documents[partition, subject] = document
        for letter in decided.dead:
            self._bury(worker, letter)
        for fact in decided.outgoing:
            self.append(fact.topic, fact.partition, fact.key, fact.value)

    def _answer(self, question: Question) -> Any:
        of_stock = question.keys[0].startswith("{stock:")
        return (self.stock if of_stock else self.tallies).answer(question)

    def _reread(self, worker: Worker, parked: ParkedRecord) -> Input:
        record = MemoryRecord(*restored(parked))
        found = worker.decoder.decode(record, Timeline())
        assert isinstance(found, Event)
        return _received(worker, found, record)

    def _bury(self, worker: Worker, letter: DeadLetter) -> None:
        headers = letter_headers(letter, worker.service.name)
        self.append(
            DEAD_LETTERS,
            letter.record.partition,
            letter.record.key,
            letter.record.value,
            headers=tuple((name, value.encode()) for name, value in headers.items()),
        )

    def _stored(self, worker: Worker, partition: int) -> dict[str, bytes]:
        return dict(self._writes(worker, partition))

    def _writes(self, worker: Worker, partition: int) -> Iterator[tuple[str, bytes]]:
        documents = worker.service.documents
        for (p, subject), document in worker.documents.items():
            if p == partition:
                before: Document[Any] = Document(subject)
                (op,) = [
                    op
                    for op in documents.write(p, before, document, lambda _: None)
                    if op.key == documents.key(p, subject)
                ]
                stored = op.args[0]
                assert isinstance(stored, bytes)
                yield subject, stored


def _seller(levels_key: str) -> str:
    return levels_key.removeprefix("{stock:").removesuffix("}:levels")


_STRUCTURED: Headers = (("content-type", CONTENT_TYPE.encode()),)


def _input(due: Entry) -> Input:
    event = due_event(due)
    return Input(Received(event, event.time))


def _is_anothers(worker: Worker, event: Event[Any]) -> bool:
    data = event.data
    return isinstance(data, DeadlineReached) and data.publisher != worker.service.name


def _received(worker: Worker, event: Event[Any], record: MemoryRecord) -> Input:
    publisher = worker.service.publisher_of[record.topic]
    return input_of(event, record, Timeline(), publisher)
