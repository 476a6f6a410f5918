"""How a command finds the system that `orderflow up` runs."""

from pathlib import Path

import pytest

from services.cli.addresses import published, settings_here
from shared.settings import Settings

NAMES = ("KAFKA_BOOTSTRAP_SERVERS", "REDIS_URL", "CLOCK_REDIS_URL", "PARTITIONS")


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def running(**chosen: object) -> Settings:
    given = {"kafka_bootstrap_servers": "127.0.0.1:20907", "redis_url": "redis://127.0.0.1:20908/0"}
    return Settings.load(**{**given, **chosen})


def test_a_command_finds_what_runs_here(tmp_path: Path) -> None:
    with published(tmp_path, running(partitions=7)):
        found = settings_here(tmp_path)

    assert found.kafka_bootstrap_servers == "127.0.0.1:20907"
    assert found.redis_url == found.clock_redis_url == "redis://127.0.0.1:20908/0"
    assert found.partitions == 7


def test_what_has_ended_is_found_no_more(tmp_path: Path) -> None:
    with published(tmp_path, running()):
        pass

    assert settings_here(tmp_path) == Settings.load()
    assert list(tmp_path.iterdir()) == []


def test_the_environment_goes_before_what_runs_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with published(tmp_path, running(partitions=7)):
        monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "kafka.example:9092")
        found = settings_here(tmp_path)

    assert found.kafka_bootstrap_servers == "kafka.example:9092"
    assert found.redis_url == "redis://127.0.0.1:20908/0"


def test_a_password_gets_into_no_file(tmp_path: Path) -> None:
    secret = running(redis_url="redis://:hunter2@redis.example:6379/3")

    with published(tmp_path, secret):
        written = (tmp_path / "addresses").read_text()

    assert "hunter2" not in written
    assert written.splitlines() == ["KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:20907", "PARTITIONS=12"]
