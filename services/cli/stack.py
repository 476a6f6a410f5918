"""The servers under the system, for a machine of one's own: Kafka and Redis, started together.

Each is somebody else's where its address is given, else the best that this machine has
(kafka_server.py, redis_server.py). They listen on 127.0.0.1 and end with this process.
"""

import fcntl
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from services.cli.child_process import Ended
from services.cli.kafka_server import KafkaServer, choose_kafka
from services.cli.redis_server import RedisServer, choose_redis
from shared.errors import RefusedStart


@dataclass(frozen=True)
class Servers:
    """The Kafka and the Redis that run."""

    kafka: KafkaServer
    redis: RedisServer

    def ended(self) -> tuple[Ended, ...]:
        """Those of ours that do not run any more; empty while all is well."""
        return tuple(end for end in (self.kafka.ended(), self.redis.ended()) if end)


@contextmanager
def start_servers(
    data_dir: Path,
    *,
    kafka_bootstrap_servers: str | None = None,
    redis_url: str | None = None,
    cache_dir: Path | None = None,
    path: str | None = None,
    wiped: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Iterator[Servers]:
    """Start Kafka and Redis with their data and logs in `data_dir`; stop both at the end.

    A server whose address is given is used as it is. `cache_dir` holds Kafka's jars (by default
    ~/.cache), `path` stands for the PATH in tests, `wiped` forgets first what an earlier run has
    stored in `data_dir`, and `say` is told what is chosen and what takes its time. Raises
    RefusedStart: there is none, one does not start, or another process uses `data_dir`.

    Redis and Kafka belong together: the local Redis has a place of its own for each Kafka, and is
    emptied with one that forgets its topics.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    with ExitStack() as running:
        running.enter_context(_for_us_alone(data_dir))
        logs = data_dir / "logs"
        kafka = choose_kafka(
            data_dir / "kafka",
            logs / "kafka.log",
            bootstrap_servers=kafka_bootstrap_servers,
            cache_dir=cache_dir,
            path=path,
            say=say,
        )
        redis_dir = data_dir / _redis_of(kafka)
        redis = choose_redis(redis_dir, logs / "redis.log", redis_url=redis_url, path=path)
        if wiped:
            wipe(data_dir)
        if not kafka.keeps_data:
            shutil.rmtree(redis_dir, ignore_errors=True)
        for server in (kafka, redis):
            say(server.description)
            running.callback(server.stop)
            server.start()
        yield Servers(kafka, redis)


def wipe(data_dir: Path) -> None:
    """Forget all that Kafka and Redis have stored in `data_dir`. They must not be running."""
    for stored in (data_dir / "kafka", *data_dir.glob("redis*")):
        shutil.rmtree(stored, ignore_errors=True)


def _redis_of(kafka: KafkaServer) -> str:
    """The directory of the Redis that belongs to a Kafka: what it has of another one is of no use
    to it, and of use to that.
    """
    if kafka.kind == "external":
        return "redis-of-" + re.sub(r"[^\w.-]", "-", kafka.bootstrap_servers)
    return "redis" if kafka.keeps_data else "redis-of-embedded-kafka"


@contextmanager
def _for_us_alone(data_dir: Path) -> Iterator[None]:
    """Two Redis servers on one append-only file would ruin it. The lock ends with the process."""
    with (data_dir / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RefusedStart(
                f"{data_dir} is in use by another process", "End that, or give another directory."
            ) from None
        yield
