"""What a run has left in Kafka: its records, what caused each of them, and how much they are."""

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple

from aiokafka import TopicPartition
from jiter import from_json

from services.cli.run import ORDER_SERVICES
from shared.events.deadlines import DeadlineReached
from shared.events.topics import TOPICS
from shared.kafka import reader_of
from shared.log_reader import LogReader, Offsets

NAMES = [topic.name for topic in TOPICS]
PUBLISHER: Mapping[str, str | None] = {topic.name: topic.publisher for topic in TOPICS}

SAYS = {
    "payments": "order.held.v1",
    "shipments": "order.unshipped.v1",
    "tracking": "order.package_confirmed.v1",
}
"""The facts that the gateway, sellers and carriers answer, by the topic of the answer."""


class Told(NamedTuple):
    """A record with its event. `at_ms` is its timestamp: of a fact when its batch was made to be
    sent, of what comes from outside when the broker appended it.
    """

    topic: str
    partition: int
    at_ms: int
    key: bytes
    value: bytes
    headers: Sequence[tuple[str, bytes]]
    event: dict[str, Any]

    @property
    def id(self) -> str:
        return str(self.event["id"])

    @property
    def size_bytes(self) -> int:
        """Key, value and headers, as before any compression (there is none)."""
        return len(self.key) + len(self.value) + sum(len(k) + len(v) for k, v in self.headers)


class Caused(NamedTuple):
    """A record, who told it (None: the outside), and the record that led to it, if one did."""

    told: Told
    by: str | None
    cause: Told | None


async def read(servers: str, begins: Offsets, ends: Offsets) -> list[Told]:
    """All records between these offsets."""
    consumer = reader_of(servers)
    await consumer.start()
    try:
        left = {TopicPartition(*at): end for at, end in ends.items() if begins[at] < end}
        consumer.assign(list(left))
        for tp in left:
            consumer.seek(tp, begins[tp.topic, tp.partition])
        found = []
        while left:
            for tp, records in (await consumer.getmany(*left, timeout_ms=200)).items():
                found += [_told(record) for record in records if record.offset < left[tp]]
                if records[-1].offset + 1 >= left[tp]:
                    del left[tp]
        return found
    finally:
        await consumer.stop()


class Since:
    """What has been told since `ends` were taken; all topics, or some."""

    def __init__(self, reader: LogReader, servers: str, names: Sequence[str] = NAMES) -> None:
        self._reader, self._servers, self._names = reader, servers, names

    async def begin(self) -> None:
        self._begins = await self._reader.ends(self._names)

    async def told(self) -> list[Told]:
        return await read(self._servers, self._begins, await self._reader.ends(self._names))


def caused(all_told: Sequence[Told]) -> Iterator[Caused]:
    """Each record with its cause, as far as that is among them.

    A deadline's cause is the fact that first listed it; a gateway's, a seller's and a carrier's the
    fact that they answer; of all else the event says it itself.
    """
    by_id: dict[str, Told] = {}
    listed: dict[tuple[str, ...], Told] = {}
    answered: dict[tuple[str, str], Told] = {}
    for told in sorted(all_told, key=lambda told: told.at_ms):
        by_id.setdefault(told.id, told)
        answered.setdefault((told.event["type"], told.event["subject"]), told)
        publisher = PUBLISHER[told.topic]
        for deadline in told.event["data"].get("deadlines", ()):
            what = (publisher or "", told.event["subject"], deadline["kind"], deadline["due"])
            listed.setdefault(what, told)
    for told in by_id.values():
        event, data = told.event, told.event["data"]
        if event["type"] == DeadlineReached.TYPE:
            what = (data["publisher"], event["subject"], data["kind"], data["due"])
            cause = listed.get(what)
        elif told.topic in SAYS:
            cause = answered.get((SAYS[told.topic], event["subject"]))
        else:
            cause = by_id.get(event.get("causationid", ""))
        yield Caused(told, PUBLISHER[told.topic], cause)


def traffic(all_told: Sequence[Told], orders: int) -> dict[str, float]:
    """Records and bytes per order, written to Kafka and read by all services together."""
    readers = readers_of()
    return {
        "records_written": round(len(all_told) / orders, 1),
        "records_read": round(sum(readers[told.topic] for told in all_told) / orders, 1),
        "bytes_written": round(sum(told.size_bytes for told in all_told) / orders),
        "bytes_read": round(
            sum(readers[told.topic] * told.size_bytes for told in all_told) / orders
        ),
    }


def inputs_of() -> dict[str, tuple[str, ...]]:
    """The names of the topics that each service reads."""
    return {
        name.value: import_module(f"services.{name}.app").build().inputs for name in ORDER_SERVICES
    }


def readers_of() -> dict[str, int]:
    """How many services read each topic."""
    inputs = inputs_of().values()
    return {name: sum(name in of for of in inputs) for name in NAMES}


def _told(record: Any) -> Told:
    event = from_json(record.value)
    return Told(
        record.topic,
        record.partition,
        record.timestamp,
        record.key,
        record.value,
        record.headers,
        event,
    )
