"""The system that is measured: every service a process, with a Kafka and a Redis of its own.

Apache Kafka and a Redis with an append-only file, as `orderflow up` starts them, on this machine
beside the bench itself, which is the outside of the system.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from os import getpid
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from typing import Any

from aiokafka import TopicPartition
from redis import Redis

from services.cli.kafka_server import ApacheKafka
from services.cli.observer import Observer, observe
from services.cli.redis_server import LocalRedis
from services.cli.run import ORDER_SERVICES
from services.cli.server import free_port
from services.cli.system import System, system
from shared.events.fulfillment import FULFILLMENT_EVENTS
from shared.kafka import producer_of, reader_of
from shared.settings import Settings
from tests.bench.load import HELD, Load
from tests.bench.machine import Usage, java_version, properties, usage
from tests.bench.sizes import PARTITIONS

LIMIT_S = 3600.0
"""For one step of a bench: populating 10^6 orders is the longest."""
POLL_S = 0.02

REDIS_SETTINGS = ("appendonly", "appendfsync", "save", "maxmemory-policy", "hz")


@dataclass
class Bed:
    """A system that runs, and what of it is measured.

    `more` are workers beside the first ones; `ports` has the health ports of all.
    """

    running: System
    ports: dict[str, int]
    more: list[str] = field(default_factory=list)
    runs: Iterator[int] = field(default_factory=count)

    @property
    def settings(self) -> Settings:
        return self.running.settings

    @property
    def kafka(self) -> ApacheKafka:
        found = self.running.servers.kafka
        assert isinstance(found, ApacheKafka)
        return found

    @property
    def redis(self) -> LocalRedis:
        found = self.running.servers.redis
        assert isinstance(found, LocalRedis)
        return found

    def usage(self) -> dict[str, Usage]:
        """What each process has taken: the services by name, workers of one together; kafka,
        redis; and the bench, who is the producer.
        """
        pids = {name: self.running.processes[name].pid for name in self._workers()}
        pids |= {"kafka": self.kafka.pid, "redis": self.redis.pid, "producer": getpid()}
        found: dict[str, Usage] = {}
        for name, pid in pids.items():
            if pid is not None:
                kind, used = name.partition("-")[0], usage(pid)
                before = found.get(kind, Usage(0.0, 0.0))
                found[kind] = Usage(before.cpu_s + used.cpu_s, before.rss_mb + used.rss_mb)
        return found

    def described(self) -> dict[str, Any]:
        """The settings under which it runs, to stand beside each figure."""
        argv = self.kafka._child.argv
        return {
            "partitions": PARTITIONS,
            "kafka": {
                "version": self.kafka.kind,
                "java": java_version(argv[0]),
                "jvm": [word for word in argv if word.startswith(("-X", "-D"))],
                "server.properties": properties(self.kafka._config),
            },
            "redis": {
                "version": self.redis.description.split(" on ")[0],
                **{name: _config(self.redis.redis_url, name) for name in REDIS_SETTINGS},
            },
        }

    @contextmanager
    def workers(self, each: int, services: Sequence[str] = ORDER_SERVICES) -> Iterator[None]:
        """Have `each` workers of these services inside: the first, and more that end after."""
        names = [f"{service}-{next(self.runs)}" for service in services for _ in range(each - 1)]
        try:
            for name in names:
                self._start(name)
                self.more.append(name)
            self.wait_until_shared()
            yield
        finally:
            for name in names:
                self.running.processes[name].stop()
                self.more.remove(name)
            self.wait_until_shared()

    @contextmanager
    def without_services(self) -> Iterator[None]:
        """Kafka and Redis alone inside; then the services are there again."""
        for name in self.running.health_ports:
            self.running.processes[name].stop()
        yield
        for name in self.running.health_ports:
            self.running.processes[name].start()
        self.running.wait_until_ready()

    def wait_until_shared(self) -> None:
        """Wait until all partitions of each service are open, and every worker holds some."""
        deadline_s = monotonic() + LIMIT_S
        while not all(self._share(service) for service in self.running.health_ports):
            assert monotonic() < deadline_s
            sleep(POLL_S)

    def partitions_of(self, name: str) -> Mapping[str, str]:
        """What a worker holds by its own word: `open` or `opening`, by partition."""
        found = replace(self.running, health_ports=self.ports).health(name)
        return found["partitions"] if found else {}

    def _share(self, service: str) -> bool:
        names = [name for name in self._workers() if name.partition("-")[0] == service]
        held = [self.partitions_of(name) for name in names]
        return all(held) and [s for of in held for s in of.values()] == ["open"] * PARTITIONS

    def _workers(self) -> list[str]:
        return [*self.running.health_ports, *self.more]

    def _start(self, name: str) -> None:
        service = name.partition("-")[0]
        self.ports[name] = free_port()
        env = {
            "KAFKA_BOOTSTRAP_SERVERS": self.settings.kafka_bootstrap_servers,
            "REDIS_URL": self.settings.redis_url,
            "HEALTH_PORT": str(self.ports[name]),
        }
        self.running.processes.start(name, self.running.processes[service].argv, env)


def _config(redis_url: str, name: str) -> str:
    with Redis.from_url(redis_url, decode_responses=True) as client:
        return str(client.config_get(name)[name])


@dataclass(frozen=True)
class Outside:
    """Who stands outside of the system, and who looks at it."""

    load: Load
    observer: Observer

    async def rest(self) -> None:
        await self.observer.rest.wait_for_rest(LIMIT_S)


@contextmanager
def bed(services: Sequence[str] = ORDER_SERVICES) -> Iterator[Bed]:
    """Start it, with its data in a directory that is gone after. Call it outside of any loop.

    Raises SystemExit where this machine has no Apache Kafka or no Redis of its own.
    """
    with ExitStack() as stack:
        data_dir = Path(stack.enter_context(TemporaryDirectory(prefix="orderflow-bench-")))
        policies = data_dir / "policies"
        policies.mkdir()
        shutil.copy(Settings.load().policies_dir / "default.yaml", policies)
        # The longest hold that a policy may have: those orders stay Pending while we measure.
        (policies / f"{HELD}.yaml").write_text(f"marketplace_id: {HELD}\nhold_minutes: 10080\n")
        env = {"POLICIES_DIR": str(policies)}
        running = stack.enter_context(
            system(data_dir, services=services, partitions=PARTITIONS, env=env)
        )
        servers = running.servers
        if not isinstance(servers.kafka, ApacheKafka) or not isinstance(servers.redis, LocalRedis):
            raise SystemExit(
                f"{servers.kafka.description}; {servers.redis.description}. A bench needs "
                "Apache Kafka and a Redis that it starts: Java 17 and Maven, redis-server"
            )
        yield Bed(running, dict(running.health_ports))


async def until(reached: Callable[[], Awaitable[bool]]) -> None:
    """Wait until it is so; raises TimeoutError after LIMIT_S."""
    async with asyncio.timeout(LIMIT_S):
        while not await reached():  # noqa: ASYNC110 what is asked is another process
            await asyncio.sleep(POLL_S)


@asynccontextmanager
async def outside(of: Bed) -> AsyncIterator[Outside]:
    """The outside of the system: its stock is counted, its facts are followed from now on."""
    servers = of.settings.kafka_bootstrap_servers
    producer, consumer = producer_of(servers), reader_of(servers)
    await producer.start()
    await consumer.start()
    try:
        async with observe(of.settings) as observer:
            load = Load(producer, consumer, PARTITIONS, of.runs)
            found = Outside(load, observer)
            await load.stock_up()
            await found.rest()
            names = [FULFILLMENT_EVENTS.name]
            consumer.assign([TopicPartition(*at) for at in await observer.reader.ends(names)])
            await consumer.seek_to_end()
            yield found
    finally:
        await producer.stop()
        await consumer.stop()
