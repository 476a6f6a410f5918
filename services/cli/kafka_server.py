"""The Kafka of this machine: one that is there, Apache Kafka itself, or an embedded stand-in."""

import importlib.util
import re
import shutil
import signal
import socket
import string
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from services.cli.server import (
    HOST,
    POLL_S,
    ExternalServer,
    LocalServer,
    Server,
    free_port,
)
from shared.errors import RefusedStart

KAFKA_VERSION = "4.1.0"
"""As in deploy/kafka/pom.xml."""

OLDEST_JAVA = 17
"""What Kafka 4 brokers run on."""

CLUSTER_ID = "b3JkZXJmbG93LWxvY2FsIQ"
"""Sixteen bytes in base64: what Kafka formats its directory with. Any will do."""

HEAP = "-Xmx512m"
"""Kafka's default of 1 GB is for servers; the whole process takes about 350 MB with this."""

SHORT_LIVED = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""For a broker of minutes beside its clients on a few cores: compiling once more, and collecting at
the side, took as much of its CPU in the first 6 000 orders as serving them, and saved none of it.
"""

APACHE_START_LIMIT_S = 90.0
"""It takes 3 to 5 s on an idle machine with two cores."""

EMBEDDED_START_LIMIT_S = 20.0
"""It takes 0.3 s."""

FETCH_LIMIT_S = 300.0
"""For Maven: 43 MB, and its plugins at the first time."""

ASK_LIMIT_S = 20.0
"""For `java -version`, and for the embedded broker to go or come: milliseconds, both."""

ANSWER_LIMIT_S = 2.0
"""For a broker that starts to say what it speaks: it is asked again."""

_API_VERSIONS = struct.pack(">ihhih", 10, 18, 0, 1, -1)
"""The protocol's request for what a broker speaks: its length, key 18, version 0, a number for the
answer, and no client's name."""

_DEPLOY = Path(__file__).resolve().parents[2] / "deploy" / "kafka"


class KafkaServer(Server):
    """A Kafka at `bootstrap_servers`, whoever runs it.

    `real` says that it is Kafka, not a stand-in. `keeps_data` says that its topics are still there
    after the next start, so that a Redis made from them may stay, too.
    """

    bootstrap_servers: str
    real: bool
    keeps_data: bool


class ExternalKafka(ExternalServer, KafkaServer):
    """A Kafka that somebody else runs."""

    real = True
    keeps_data = True

    def __init__(self, bootstrap_servers: str) -> None:
        self.bootstrap_servers = bootstrap_servers
        self.description = f"Kafka at {bootstrap_servers}, as KAFKA_BOOTSTRAP_SERVERS says"


class LocalKafka(LocalServer, KafkaServer):
    """A Kafka as a child process, on a free port."""

    @property
    def port(self) -> int:
        return int(self.bootstrap_servers.rpartition(":")[2])

    def _serves(self) -> bool:
        """Whether a broker answers: its port is open some time before it looks at requests."""
        try:
            with socket.create_connection((HOST, self.port), timeout=ANSWER_LIMIT_S) as asking:
                asking.sendall(_API_VERSIONS)
                return bool(asking.recv(1))
        except OSError:
            return False


class ApacheKafka(LocalKafka):
    """Apache Kafka, broker and controller in one process; topics stay in `data_dir`."""

    kind = f"apache-kafka {KAFKA_VERSION}"
    real = True
    keeps_data = True

    def __init__(self, java: str, jars: Path, *, data_dir: Path, log: Path) -> None:
        port, controller_port = free_port(), free_port()
        self.bootstrap_servers = f"{HOST}:{port}"
        self.description = f"Apache Kafka {KAFKA_VERSION} on {HOST}:{port}, {java} and {jars}"
        self._java = (java, *SHORT_LIVED, "-cp", f"{jars}/*")
        self._config = data_dir / "server.properties"
        self._log_dir = data_dir / "log"
        self._properties = {
            "port": port,
            "controller_port": controller_port,
            "log_dir": self._log_dir,
        }
        super().__init__(
            f"Apache Kafka {KAFKA_VERSION}",
            (*self._java, HEAP, "-Dlog4j2.level=INFO", "kafka.Kafka", str(self._config)),
            log=log,
            start_limit_s=APACHE_START_LIMIT_S,
        )

    def _prepare(self) -> None:
        self._config.parent.mkdir(parents=True, exist_ok=True)
        template = string.Template((_DEPLOY / "server.properties").read_text())
        self._config.write_text(template.substitute(self._properties))
        if not (self._log_dir / "meta.properties").exists():
            self._format()

    def _format(self) -> None:
        arguments = ("format", "-t", CLUSTER_ID, "-c", str(self._config))
        done = subprocess.run(
            (*self._java, "kafka.tools.StorageTool", *arguments),
            capture_output=True,
            text=True,
            timeout=APACHE_START_LIMIT_S,
            check=False,
        )
        if done.returncode != 0:
            raise RefusedStart(
                f"Kafka could not format {self._log_dir}: {_last_line(done.stderr + done.stdout)}",
                "Remove the cause that it names.",
            )


class EmbeddedKafka(LocalKafka):
    """librdkafka's mock broker in a process of its own (embedded_kafka.py).

    kill takes the broker off the network, and its process keeps the topics: so restart brings them
    back, as a disk would. After stop they are gone.
    """

    kind = "embedded (librdkafka mock)"
    real = False
    keeps_data = False

    def __init__(self, *, log: Path, why: str) -> None:
        port = free_port()
        self.bootstrap_servers = f"{HOST}:{port}"
        self.description = (
            f"embedded Kafka (librdkafka's mock broker) on {HOST}:{port}, because {why}: "
            "in memory only, keeps about 5 MB per partition, rebalances take a session timeout"
        )
        super().__init__(
            "embedded Kafka",
            # -P: a directory `services` where the user stands is not ours.
            (sys.executable, "-P", "-m", "services.cli.embedded_kafka", str(port)),
            log=log,
            start_limit_s=EMBEDDED_START_LIMIT_S,
        )

    def kill(self) -> None:
        if self._serves():
            self._child.signal(signal.SIGUSR1)
            self._wait_until(lambda: not self._serves())

    def restart(self) -> None:
        if self.pid is None:
            self.start()
        else:
            self.kill()
            self._child.signal(signal.SIGUSR2)
            self._wait_until(self._serves)

    def _wait_until(self, reached: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + ASK_LIMIT_S
        while not reached():
            if time.monotonic() > deadline_s or self.pid is None:
                raise RefusedStart(f"The embedded Kafka hangs: {self.ended()}", "Start it anew.")
            time.sleep(POLL_S)


class _NotHere(Exception):
    """Why Apache Kafka can not be had on this machine."""


def choose_kafka(
    data_dir: Path,
    log: Path,
    *,
    bootstrap_servers: str | None = None,
    cache_dir: Path | None = None,
    path: str | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> KafkaServer:
    """The Kafka to use, not yet started.

    The one at `bootstrap_servers` where that is given; else Apache Kafka, where Java and its jars
    are or Maven can fetch these into `cache_dir` (by default ~/.cache); else the embedded one.
    `path` stands for the PATH in tests; `say` is told of what takes its time. RefusedStart if there
    is none.
    """
    if bootstrap_servers:
        return ExternalKafka(bootstrap_servers)
    try:
        java = _find_java(path)
        jars = _find_jars(cache_dir or Path.home() / ".cache", path, say)
    except _NotHere as reason:
        if importlib.util.find_spec("confluent_kafka") is None:
            raise RefusedStart(
                f"There is no Kafka to start: {reason}, and no confluent-kafka package here",
                f"Install Java {OLDEST_JAVA} and Maven, or set KAFKA_BOOTSTRAP_SERVERS.",
            ) from None
        return EmbeddedKafka(log=log, why=str(reason))
    return ApacheKafka(java, jars, data_dir=data_dir, log=log)


def _find_java(path: str | None) -> str:
    java = shutil.which("java", path=path)
    if java is None:
        raise _NotHere("there is no java on the PATH")
    shown = subprocess.run(
        (java, "-version"), capture_output=True, text=True, timeout=ASK_LIMIT_S, check=False
    ).stderr
    version = re.search(r'version "(\d+)', shown)
    if version is None or int(version[1]) < OLDEST_JAVA:
        first_line = shown.partition("\n")[0]
        raise _NotHere(f"Kafka needs Java {OLDEST_JAVA} and {java} is {first_line or 'broken'}")
    return java


def _find_jars(cache_dir: Path, path: str | None, say: Callable[[str], None]) -> Path:
    """Kafka's jars, from the cache or fetched into it: whole or not at all."""
    jars = cache_dir / "orderflow" / f"kafka-{KAFKA_VERSION}"
    if jars.is_dir():
        return jars
    maven = shutil.which("mvn", path=path)
    if maven is None:
        raise _NotHere("there is no mvn on the PATH")
    say(f"Fetching Apache Kafka {KAFKA_VERSION} with Maven, 43 MB, once, into {jars}")
    try:
        jars.parent.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise _NotHere(f"there is no place for its jars ({problem})") from None
    with tempfile.TemporaryDirectory(dir=jars.parent) as fresh:
        _copy_jars(maven, Path(fresh) / "jars")
        try:
            (Path(fresh) / "jars").rename(jars)
        except OSError:
            if not jars.is_dir():  # else another process was faster
                raise
    return jars


def _copy_jars(maven: str, target: Path) -> None:
    command = (maven, "-q", "-B", "-C", "-f", str(_DEPLOY / "pom.xml"))
    goal = ("dependency:copy-dependencies", f"-DoutputDirectory={target}", "-DincludeScope=runtime")
    try:
        done = subprocess.run(
            (*command, *goal), capture_output=True, text=True, timeout=FETCH_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise _NotHere(f"Maven did not fetch it within {FETCH_LIMIT_S:.0f} s") from None
    if done.returncode != 0:
        raise _NotHere(f"Maven could not fetch it ({_first_error(done.stdout)})")


def _first_error(output: str) -> str:
    error = re.search(r"\[ERROR\] (\S.*)", output)  # after an escape sequence, even in batch mode
    return error[1][:300] if error else "without saying why"


def _last_line(output: str) -> str:
    return output.strip().rpartition("\n")[2]
