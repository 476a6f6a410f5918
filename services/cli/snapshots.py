"""Reads all orders as they are now from `fulfillment.events`, and leaves no trace there."""

from collections.abc import AsyncIterator, Iterator

import jiter

from shared.events.envelope import Event
from shared.events.fulfillment import FULFILLMENT_EVENTS, Order, OrderSnapshot
from shared.kafka import Servers, checked_partitions
from shared.log_reader import open_reader

_SNAPSHOT = Event[OrderSnapshot]


class Latest:
    """The last fact of each order that has a snapshot, some 3 KB each, whatever came before it.

    A fact may lie on its topic again, behind newer ones: the order's version says which is newer.
    """

    def __init__(self) -> None:
        self._facts: dict[str, tuple[int, bytes]] = {}

    def take(self, fact: bytes) -> None:
        """Take in the next fact of a topic, as it lies there."""
        event = jiter.from_json(fact)
        subject, version = event["subject"], event.get("subjectversion", 0)
        known, _ = self._facts.get(subject, (0, b""))
        if version > known and "order" in event["data"]:
            self._facts[subject] = version, fact

    def orders(self) -> Iterator[Order]:
        """Each order as it is now."""
        for _, fact in self._facts.values():
            if (order := _SNAPSHOT.model_validate_json(fact).data.order) is not None:
                yield order


async def latest_orders(servers: Servers) -> AsyncIterator[Order]:
    """Every order that the topic still holds, one partition's after the other's.

    Needs memory for the orders of one partition. Raises TransientError while Kafka is away,
    RefusedStart where the topic is missing.
    """
    topic = FULFILLMENT_EVENTS.name
    partitions = await checked_partitions(servers, [topic])
    async with open_reader(servers, partitions) as reader:
        ends = await reader.ends([topic])
        for partition in range(partitions):
            latest = Latest()
            async for record in reader.records([topic], partition, ends):
                latest.take(record.value or b"")
            for order in latest.orders():
                yield order
