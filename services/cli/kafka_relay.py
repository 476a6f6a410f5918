"""A relay before librdkafka's mock broker: what the mock lacks of Kafka's behaviour, added.

Requests and answers pass as they are, except where a client would notice the difference:

- the port is given, and the broker can be taken off the network and brought back;
- CreateTopics is there, so that topics are made as on any Kafka;
- a topic is made by CreateTopics only, as with auto.create.topics.enable=false (the mock makes
  one with 4 partitions for whoever asks for its metadata);
- a group may have several members: the mock holds a group for stable as soon as its leader has
  synced, and refuses the others' SyncGroup, which aiokafka takes for fatal. Kafka answers a late
  follower with its part of the leader's assignment, and so does the relay.
"""

import asyncio
import logging
import struct
from collections.abc import Callable
from functools import partial
from io import BytesIO
from typing import Any

from aiokafka.protocol.admin import CreateTopicsRequest_v1, CreateTopicsResponse_v1
from aiokafka.protocol.group import SyncGroupRequest_v1, SyncGroupResponse_v1
from aiokafka.protocol.struct import Struct

from services.cli.server import HOST

METADATA = 3
SYNC_GROUP = 14
API_VERSIONS = 18
CREATE_TOPICS = 19
"""Keys of the requests that the relay touches, as in Kafka's protocol guide."""

VERSIONS = {METADATA: 5, SYNC_GROUP: 1, CREATE_TOPICS: 1}
"""The one version of each that is offered, so that one form has to be understood. Old enough for
any client of today, and before the tagged fields."""

LAST_UNTAGGED_API_VERSIONS = 2
"""Of the ApiVersions request; the mock refuses later ones, and clients ask again with less."""

INVALID_PARTITIONS = 37
INVALID_REPLICATION_FACTOR = 38
INVALID_REQUEST = 42
"""Kafka's error codes."""

MAX_PARTITIONS = 1024
"""Of a topic; librdkafka's mock would take any number, and end at the memory's."""

MAX_FRAME_BYTES = 100 * 1024 * 1024
"""Kafka's socket.request.max.bytes: more is no request. The mock's answers are far smaller."""

_BUFFER_BYTES = 1024 * 1024
_HEADER = struct.Struct(">hhih")  # key, version, correlation id, length of the client's name
_INT32 = struct.Struct(">i")
_NEVER: tuple[int, dict[str, bytes]] = (-1, {})

Answer = Callable[[bytes], bytes]
"""From the mock's answer to the one for the client, both after the correlation id."""

log = logging.getLogger(__name__)


class KafkaRelay:
    """Serves Kafka's clients on `port`, with the help of the mock broker on `mock_port`.

    `create_topic` makes a topic of so many partitions in the mock; it returns Kafka's error code.
    """

    def __init__(
        self, port: int, mock_port: int, *, create_topic: Callable[[str, int], int]
    ) -> None:
        self._port = port
        self._mock_port = mock_port
        self._changes = Changes(create_topic)
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.StreamWriter] = set()

    async def open(self) -> None:
        """Accept connections, if not so already."""
        if self._server is None:
            self._server = await asyncio.start_server(
                self._serve, HOST, self._port, limit=_BUFFER_BYTES
            )

    def close(self) -> None:
        """Refuse connections and drop those there are, answers and all, as a crash does."""
        if self._server is not None:
            self._server.close()
            self._server = None
            for client in self._clients:
                client.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client's connection, to its end."""
        self._clients.add(writer)
        mock_reader, mock_writer = await asyncio.open_connection(
            HOST, self._mock_port, limit=_BUFFER_BYTES
        )
        answers: dict[int, Answer] = {}
        try:
            async with asyncio.TaskGroup() as both:
                requests = partial(self._changes.request, answers)
                both.create_task(_pass_on(reader, mock_writer, requests))
                both.create_task(_pass_on(mock_reader, writer, partial(_response, answers)))
        except* (OSError, asyncio.IncompleteReadError):
            pass  # one side is gone, and so is the other then
        except* (ValueError, struct.error) as garbage:
            log.warning("Closed a connection that does not speak Kafka: %r", garbage.exceptions)
        finally:
            self._clients.discard(writer)
            mock_writer.close()
            writer.close()


class Changes:
    """What becomes of requests on their way to the mock, and of its answers to them."""

    def __init__(self, create_topic: Callable[[str, int], int]) -> None:
        self._create_topic = create_topic
        # Of each group the newest generation that its leader has synced: the members' parts.
        self._synced: dict[str, tuple[int, dict[str, bytes]]] = {}

    def request(self, answers: dict[int, Answer], frame: bytes) -> bytes:
        """The frame for the mock; where its answer has to change, `answers` gets how."""
        key, version, correlation_id, name_length = _HEADER.unpack_from(frame)
        if key == API_VERSIONS and version <= LAST_UNTAGGED_API_VERSIONS:
            answers[correlation_id] = _offer_create_topics
        elif VERSIONS.get(key) != version:
            return frame
        body = frame[_HEADER.size + max(0, name_length) :]
        if key == METADATA:
            return frame[:-1] + b"\0"  # allow_auto_topic_creation
        if key == SYNC_GROUP:
            answers[correlation_id] = self._synced_part(body)
        if key == CREATE_TOPICS:
            answer = self._topics_created(body)
            answers[correlation_id] = lambda _: answer
            # What the mock does know takes the place, so that the answer comes in its turn.
            return _HEADER.pack(API_VERSIONS, 0, correlation_id, -1)
        return frame

    def _synced_part(self, body: bytes) -> Answer:
        group, generation, member, parts = _decoded(SyncGroupRequest_v1, body)
        if parts and generation >= self._synced.get(group, _NEVER)[0]:
            self._synced[group] = generation, dict(parts)  # the leader's, of this generation

        def answer(body: bytes) -> bytes:
            # The mock has compared the generation with its own before it says this.
            _, error, _ = _decoded(SyncGroupResponse_v1, body)
            synced, parts = self._synced.get(group, _NEVER)
            if error != INVALID_REQUEST or synced != generation or member not in parts:
                return body
            return SyncGroupResponse_v1.SCHEMA.encode([0, 0, parts[member]])

        return answer

    def _topics_created(self, body: bytes) -> bytes:
        topics, _, validate_only = _decoded(CreateTopicsRequest_v1, body)
        results = []
        for name, partitions, replication_factor, *_ in topics:
            if not 1 <= partitions <= MAX_PARTITIONS:
                code = INVALID_PARTITIONS
            elif replication_factor not in (-1, 1):
                code = INVALID_REPLICATION_FACTOR
            else:
                code = 0 if validate_only else self._create_topic(name, partitions)
            results.append((name, code, None))
        return CreateTopicsResponse_v1.SCHEMA.encode([results])


def _decoded(form: type[Struct], body: bytes) -> tuple[Any, ...]:
    fields: tuple[Any, ...] = form.SCHEMA.decode(BytesIO(body))
    return fields


def _response(answers: dict[int, Answer], frame: bytes) -> bytes:
    (correlation_id,) = _INT32.unpack_from(frame)
    answer = answers.pop(correlation_id, None)
    return frame[:4] + answer(frame[4:]) if answer else frame


def _offer_create_topics(body: bytes) -> bytes:
    error, count = struct.unpack_from(">hi", body)
    version = VERSIONS[CREATE_TOPICS]
    return struct.pack(">hihhh", error, count + 1, CREATE_TOPICS, version, version) + body[6:]


async def _pass_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, change: Callable[[bytes], bytes]
) -> None:
    """Frame by frame, until the connection ends."""
    while True:
        (size,) = _INT32.unpack(await reader.readexactly(4))
        if not 4 <= size <= MAX_FRAME_BYTES:
            raise ValueError(f"a frame of {size} bytes")
        frame = change(await reader.readexactly(size))
        writer.write(_INT32.pack(len(frame)) + frame)
        await writer.drain()
