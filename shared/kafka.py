"""Kafka: the options of its clients, and the topics. The only module that names Kafka options.

FastStream's broker consumes and publishes; what it has no word for (seek, pause, offsets, admin) is
asked of the aiokafka clients underneath (`shared/kafka_log.py`).
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    IncompatibleBrokerVersion,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    for_code,
)
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.security import BaseSecurity, SASLScram512

from shared.errors import RefusedStart, SettingError, TransientError
from shared.events.envelope import Topic
from shared.kafka_headers import read_every_header
from shared.retention import DAY_MS, INPUT_RETENTION_DAYS, JOURNAL_RETENTION_DAYS
from shared.settings import Settings

DEAD_LETTERS = "dead-letters"
MAX_RECORD_BYTES = 2 * 2**20
"""Of a dead letter: a record of 1 MB, its headers encoded, and room."""
MAX_INPUT_BYTES = 1_048_588
"""Of a record from outside, as compressed: Kafka's own default, twice in a dead letter's room."""
MAX_UNPACKED_BYTES = 256 * 2**20
"""Of a dead letter before it is compressed: of a record that is larger, a part is kept."""
CUT_LETTER_BYTES = (MAX_RECORD_BYTES - 128 * 1024, 512 * 1024, 64 * 1024)
"""Of a record's own parts in a dead letter that was refused as too large, at each further try, even
if nothing of them can be compressed. Its reason has room beside the first; the others are for
topics that take less than ours."""
TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)
"""What no further try of the same record changes; other errors of Kafka's are outages."""
BATCH_BYTES = 512 * 1024
"""Facts of one produce request to one partition, well below the topics' 1 MB per batch."""
ASK_TIMEOUT_S = 10.0
"""For a question to the cluster (offsets, metadata); longer means that it is away."""
COORDINATOR_POLL_S = 0.2
"""Between two questions to a Kafka that does not know its groups yet."""
FETCH_MAX_WAIT_MS = 25
"""A resumed partition waits for the long poll in flight: at 500 ms its p95 was 471 ms, at 25 ms
48 ms."""
PRODUCER_LINGER_MS = 5
"""Of events from outside: at a thousand a second some five share a request."""
MAX_RECORDS = 500
"""Records of one poll: some 10 ms of decisions."""
BATCH_TIMEOUT_MS = 10
"""FastStream sleeps this long after an empty poll: p50 6 ms, and 2.3 % of a core."""
SESSION_TIMEOUT_MS = 6_000
HEARTBEAT_MS = 1_500
"""A dead worker is noticed after the session: the least that Kafka takes by default
(group.min.session.timeout.ms), and longer than a trip to Redis may be. A worker that is taken for
dead loses some seconds, and nothing else: its commits are refused."""
REBALANCE_TIMEOUT_MS = 30_000
"""Below the request time-out of 40 s, or joining a group never ends."""

read_every_header()


@dataclass(frozen=True)
class Cluster:
    """A Kafka that asks its clients for more than an address: TLS, and who they are.

    It is shown as its address: errors name it.
    """

    servers: str
    security: BaseSecurity

    def __str__(self) -> str:
        return self.servers


Servers: TypeAlias = str | Cluster
"""host:port, several separated by commas, of a Kafka that asks for nothing; or such a cluster."""


def servers_of(settings: Settings) -> Servers:
    """The Kafka that settings name.

    Raises SettingError for a user without SASL_SSL, SASL_SSL without a user and its password, and
    for a file of certificates that is none.
    """
    servers, protocol = settings.kafka_bootstrap_servers, settings.kafka_security_protocol
    username, password = settings.kafka_username, settings.kafka_password
    sasl = protocol == "SASL_SSL"
    for name, found in (("KAFKA_USERNAME", username), ("KAFKA_PASSWORD", password)):
        if sasl and found is None:
            raise SettingError(name, "not set", "who SASL_SSL is for")
        if found is not None and not sasl:
            raise SettingError(name, "set", "nothing, or KAFKA_SECURITY_PROTOCOL=SASL_SSL with it")
    if protocol == "PLAINTEXT":
        return servers
    try:
        context = ssl.create_default_context(cafile=settings.kafka_ca_file)
    except OSError as error:  # ssl.SSLError is one
        allowed = Settings.model_fields["kafka_ca_file"].description or ""
        raise SettingError("KAFKA_CA_FILE", f"{settings.kafka_ca_file}: {error}", allowed) from None
    if username is None or password is None:
        return Cluster(servers, BaseSecurity(ssl_context=context))
    return Cluster(servers, SASLScram512(username, password, ssl_context=context))


def _addressed(servers: Servers) -> dict[str, Any]:
    """What every client of aiokafka is told of where Kafka is, and who asks."""
    if isinstance(servers, str):
        return {"bootstrap_servers": servers.split(",")}
    told: dict[str, Any] = {
        "bootstrap_servers": servers.servers.split(","),
        "security_protocol": "SSL",
        "ssl_context": servers.security.ssl_context,
    }
    if isinstance(servers.security, SASLScram512):
        told |= {
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_plain_username": servers.security.username,
            "sasl_plain_password": servers.security.password,
        }
    return told


def broker_of(servers: Servers) -> KafkaBroker:
    """A FastStream broker whose producer loses and doubles nothing, and whose consumer acks nothing
    by itself: positions lie in Redis.
    """
    return KafkaBroker(
        str(servers).split(","),
        security=servers.security if isinstance(servers, Cluster) else None,
        acks="all",
        enable_idempotence=True,
        linger_ms=0,
        max_batch_size=2 * BATCH_BYTES,
        max_request_size=MAX_RECORD_BYTES + 64 * 1024,
        ack_policy=AckPolicy.MANUAL,
        allow_auto_create_topics=False,
        graceful_timeout=5.0,
        logger=None,
    )


def producer_of(servers: Servers) -> AIOKafkaProducer:
    """A producer for events from outside: acked by all replicas, none lost, doubled or reordered.

    It lingers, since its events come one by one: some ms of a storefront's fill a batch.
    """
    return AIOKafkaProducer(
        **_addressed(servers),
        acks="all",
        enable_idempotence=True,
        linger_ms=PRODUCER_LINGER_MS,
        max_batch_size=BATCH_BYTES,
        max_request_size=MAX_RECORD_BYTES + 64 * 1024,
    )


def keeper_of(servers: Servers) -> AIOKafkaProducer:
    """A producer for dead letters and what is sent on: whatever came through a topic has to fit.

    A record of a compressed batch may be many times its size there, and headers grow as text: so
    these are compressed again, with what looks back over 2 MB, not 32 KB as gzip, and packs 100 MB
    within a heartbeat or two. It is not idempotent: after a batch that the broker refuses as too
    large, aiokafka's (0.14) sequence has a gap, and none to that partition is taken any more.
    """
    return AIOKafkaProducer(
        **_addressed(servers),
        acks="all",
        compression_type="zstd",
        max_request_size=MAX_UNPACKED_BYTES,
    )


def reader_of(servers: Servers, isolation_level: str = "read_committed") -> AIOKafkaConsumer:
    """A consumer of no group, that is told what to read: it leaves no trace in Kafka."""
    return AIOKafkaConsumer(
        **_addressed(servers),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level=isolation_level,
        fetch_max_wait_ms=FETCH_MAX_WAIT_MS,
        max_partition_fetch_bytes=MAX_RECORD_BYTES,
    )


C = TypeVar("C", AIOKafkaConsumer, AIOKafkaProducer)


async def started(client: C) -> C:
    """Start a client; one that can not is not left behind."""
    try:
        await client.start()
    except BaseException:
        await client.stop()
        raise
    return client


def group_of(service: str) -> str:
    """The consumer group of a service's workers."""
    return f"orderflow-{service}"


@asynccontextmanager
async def asking() -> AsyncIterator[None]:
    """Limit a question to Kafka to ASK_TIMEOUT_S; raises TransientError for its errors."""
    try:
        async with asyncio.timeout(ASK_TIMEOUT_S):
            yield
    except (KafkaError, TimeoutError) as error:
        raise TransientError(f"Kafka is not available: {error!r}") from error


# -- topics ---------------------------------------------------------------------------------------


def topic_settings(topic: Topic | None) -> dict[str, str]:
    """The broker-side configuration of one of our topics; None is the dead-letter topic."""
    if topic is None:
        return {
            "max.message.bytes": str(MAX_RECORD_BYTES),
            "retention.ms": str(JOURNAL_RETENTION_DAYS * DAY_MS),
        }
    if topic.publisher is None:
        # R14 measures a buyer's request against its arrival, not against the producer's clock.
        return {
            "max.message.bytes": str(MAX_INPUT_BYTES),
            "message.timestamp.type": "LogAppendTime",
            "retention.ms": str(INPUT_RETENTION_DAYS * DAY_MS),
        }
    return {"retention.ms": str(JOURNAL_RETENTION_DAYS * DAY_MS)}


@asynccontextmanager
async def _admin(servers: Servers) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(**_addressed(servers))
    try:
        async with asyncio.timeout(ASK_TIMEOUT_S):
            await client.start()
        yield client
    except (KafkaError, TimeoutError) as error:
        raise TransientError(f"Kafka at {servers} is not available: {error}") from error
    finally:
        await client.close()


class FoundTopic(NamedTuple):
    """A topic as Kafka describes it: `led` says that each of its partitions has a leader."""

    partitions: int
    led: bool


async def found_topics(servers: Servers, names: Iterable[str]) -> dict[str, FoundTopic]:
    """The topics of these names that exist; raises TransientError."""
    async with _admin(servers) as admin, asyncio.timeout(ASK_TIMEOUT_S):
        described = await admin.describe_topics(list(names))
    return {
        topic["topic"]: FoundTopic(
            len(topic["partitions"]), all(part["leader"] >= 0 for part in topic["partitions"])
        )
        for topic in described
        if topic["error_code"] == 0
    }


async def partition_counts(servers: Servers, names: Iterable[str]) -> dict[str, int]:
    """The number of partitions of each topic that exists; raises TransientError."""
    found = await found_topics(servers, names)
    return {name: topic.partitions for name, topic in found.items()}


async def broker_count(servers: Servers) -> int:
    """The brokers of the cluster; raises TransientError."""
    async with _admin(servers) as admin, asyncio.timeout(ASK_TIMEOUT_S):
        return len((await admin.describe_cluster())["brokers"])


async def group_members(servers: Servers, group: str) -> int:
    """The members of a consumer group; 0 where nobody knows it.

    Raises TransientError, and RefusedStart where the broker can not tell (the embedded one).
    """
    async with _admin(servers) as admin, asyncio.timeout(ASK_TIMEOUT_S):
        try:
            while True:
                with suppress(GroupCoordinatorNotAvailableError):  # a new Kafka's, for seconds
                    responses = await admin.describe_consumer_groups([group])
                    break
                await asyncio.sleep(COORDINATOR_POLL_S)
        except IncompatibleBrokerVersion:
            raise RefusedStart(
                f"The Kafka at {servers} can not tell whether workers of {group} are there",
                "Use Apache Kafka; the embedded one keeps nothing to rebuild from, anyway",
            ) from None
    found = [group for response in responses for group in response.to_object()["groups"]]
    return sum(len(group["members"]) for group in found)


async def group_offsets(
    servers: Servers, group: str, topics: Iterable[str], partitions: int
) -> dict[tuple[str, int], int]:
    """The offsets that a consumer group has committed of some topics, by topic and partition; none
    where nobody knows it. Raises TransientError.
    """
    # Each is named, since the embedded broker does not know the question for all.
    asked = [TopicPartition(topic, p) for topic in topics for p in range(partitions)]
    async with _admin(servers) as admin, asyncio.timeout(ASK_TIMEOUT_S):
        found = await admin.list_consumer_group_offsets(group, partitions=asked)
    return {(tp.topic, tp.partition): each.offset for tp, each in found.items() if each.offset >= 0}


async def found_settings(servers: Servers, names: Iterable[str]) -> dict[str, dict[str, str]]:
    """The broker-side configuration of existing topics, by topic and setting.

    Empty where the broker has no word for it (the embedded one). Raises TransientError.
    """
    asked = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    async with _admin(servers) as admin, asyncio.timeout(ASK_TIMEOUT_S):
        try:
            responses = await admin.describe_configs(asked)
        except IncompatibleBrokerVersion:
            return {}
    resources = [found for response in responses for found in response.to_object()["resources"]]
    return {
        found["resource_name"]: {
            c["config_names"]: c["config_value"] for c in found["config_entries"]
        }
        for found in resources
        if found["error_code"] == 0
    }


async def create_topics(
    servers: Servers, topics: Mapping[str, Mapping[str, str]], partitions: int, replication: int
) -> dict[str, str]:
    """Create topics with their settings; what became of each that was not created, by name."""
    wanted = [
        NewTopic(name, partitions, replication, topic_configs=dict(settings))
        for name, settings in topics.items()
    ]
    async with _admin(servers) as admin, asyncio.timeout(ASK_TIMEOUT_S):
        response = await admin.create_topics(wanted)
    errors = response.to_object()["topic_errors"]
    return {
        error["topic"]: error.get("error_message") or for_code(error["error_code"]).__name__
        for error in errors
        if error["error_code"] != 0
    }


async def checked_partitions(servers: Servers, names: Sequence[str]) -> int:
    """The one number of partitions that all topics have.

    Partition p of every input has to reach the same worker: RefusedStart for a missing topic or
    unequal counts.
    """
    counts = await partition_counts(servers, names)
    if missing := sorted(set(names) - counts.keys()):
        raise RefusedStart(
            f"Kafka at {servers} has no topic {', '.join(missing)}",
            "Create the topics with `orderflow topics`",
        )
    if len(set(counts.values())) > 1:
        shown = ", ".join(f"{name} has {counts[name]}" for name in names)
        raise RefusedStart(
            f"All topics need the same number of partitions, but {shown}",
            "Create the topics anew with equal counts; `orderflow topics` does",
        )
    return counts[names[0]]
