"""Settings: where a value comes from, and what a wrong one says."""

from pathlib import Path

import pytest

from shared.errors import RefusedStart, SettingError
from shared.settings import MAX_PARTITIONS, Settings


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (*Settings.model_fields, "secrets_dir"):
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr("shared.settings._DEFAULT_SECRETS_DIR", tmp_path / "none")


def test_defaults_fit_one_machine() -> None:
    settings = Settings.load()

    assert settings.kafka_bootstrap_servers == "127.0.0.1:9092"
    assert settings.clock_redis_url == settings.redis_url == "redis://127.0.0.1:6379/0"
    assert settings.partitions == 12
    assert settings.policies_dir == Path(__file__).parents[2] / "deploy" / "policies"
    assert settings.health_port == 0, "several services on one machine need a free port each"


def test_a_caller_wins_over_the_environment_and_that_over_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("redis_url", "clock_redis_url", "kafka_bootstrap_servers"):
        host = "broker:1" if name.startswith("kafka") else "redis://file"
        (tmp_path / name).write_text(f"{host}\n")
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("REDIS_URL", "redis://environment")
    monkeypatch.setenv("CLOCK_REDIS_URL", "redis://environment")

    settings = Settings.load(clock_redis_url="redis://caller")

    assert settings.clock_redis_url == "redis://caller"
    assert settings.redis_url == "redis://environment"
    assert settings.kafka_bootstrap_servers == "broker:1"


def test_the_clock_is_the_services_own_redis_unless_it_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://stock:6380/2")

    assert Settings.load().clock_redis_url == "redis://stock:6380/2"


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "")

    assert Settings.load().redis_url == "redis://127.0.0.1:6379/0"


def test_a_secrets_directory_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRETS_DIR", "/no/such/place")

    with pytest.raises(SettingError, match="SECRETS_DIR is '/no/such/place'"):
        Settings.load()


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("PARTITIONS", ["1", str(MAX_PARTITIONS)], ["0", str(MAX_PARTITIONS + 1), "twelve", "1.5"]),
        ("HEALTH_PORT", ["0", "65535"], ["-1", "65536"]),
        ("LOG_LEVEL", ["debug", "ERROR"], ["loud"]),
        ("LOG_FORMAT", ["json", "console"], ["xml"]),
        (
            "KAFKA_BOOTSTRAP_SERVERS",
            ["a:9092", "a.b-c:1, [::1]:65535"],
            ["a", "a:0", "a:65536", "a:9092,", "http://a:9092"],
        ),
        (
            "REDIS_URL",
            [
                "redis://h",
                "rediss://user:p%40ss@h.example:6380/15?ssl_ca_certs=/etc/ca.pem",
                "unix:///run/redis.sock?db=2",
                "redis://[::1]:6379",
            ],
            ["h:6379", "http://h", "redis://", "redis://h:0", "redis://h:65536", "redis://h/first"],
        ),
        (
            "DASHBOARD_URL",
            ["http://127.0.0.1:8000", "https://orders.example", "http://[::1]"],
            ["orders.example", "ftp://orders.example", "https://h/", "https://u@h", "https://h:0"],
        ),
    ],
)
def test_a_wrong_value_is_refused_by_name_and_its_neighbours_pass(
    monkeypatch: pytest.MonkeyPatch, name: str, good: list[str], bad: list[str]
) -> None:
    for value in good:
        monkeypatch.setenv(name, value)
        Settings.load()
    for value in bad:
        monkeypatch.setenv(name, value)
        with pytest.raises(SettingError) as refused:
            Settings.load()
        assert refused.value.name == name
        assert refused.value.allowed in str(refused.value)


def test_the_refusal_shows_the_value_and_what_is_allowed() -> None:
    with pytest.raises(RefusedStart) as refused:
        Settings.load(partitions="0")

    assert str(refused.value) == (
        "PARTITIONS is '0'. Allowed: a whole number from 1 to 1024, the same for every topic"
    )


@pytest.mark.parametrize(
    "url", ["hunter2", "redis://:hunter2", "redis://u:hunter2@h:0", "redis://u:hunter2@h@h"]
)
def test_no_password_is_ever_shown(url: str) -> None:
    with pytest.raises(SettingError) as refused:
        Settings.load(redis_url=url)

    error: BaseException | None = refused.value
    while error is not None:
        assert "hunter2" not in f"{error!s} {error!r}"
        error = None if error.__suppress_context__ else error.__context__
    assert "hunter2" not in repr(Settings.load(redis_url="redis://u:hunter2@h"))


def test_a_setting_that_does_not_exist_is_refused() -> None:
    with pytest.raises(SettingError, match=r"PARTITION is no setting\. Allowed: .*PARTITIONS"):
        Settings.load(partition=3)


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings.load().partitions = 3  # type: ignore[misc]
