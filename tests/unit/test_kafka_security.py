"""Which Kafka the settings name, and who they say that we are."""

from pathlib import Path

import pytest

from shared.errors import SettingError
from shared.kafka import Cluster, servers_of
from shared.settings import Settings

HERE = "127.0.0.1:9092"


def test_without_more_it_is_an_address() -> None:
    assert servers_of(Settings.load(kafka_bootstrap_servers=HERE)) == HERE


def test_a_cluster_is_shown_as_its_address_alone() -> None:
    settings = Settings.load(
        kafka_bootstrap_servers=HERE,
        kafka_security_protocol="SASL_SSL",
        kafka_username="inventory",
        kafka_password="rarely-typed",
    )
    cluster = servers_of(settings)

    assert isinstance(cluster, Cluster)
    assert str(cluster) == HERE
    assert "rarely-typed" not in f"{cluster} {cluster!r} {settings!r}"


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ({"kafka_security_protocol": "SASL_SSL"}, "KAFKA_USERNAME is not set"),
        (
            {"kafka_security_protocol": "SASL_SSL", "kafka_username": "inventory"},
            "KAFKA_PASSWORD is not set",
        ),
        ({"kafka_username": "inventory"}, "KAFKA_USERNAME is set"),
        ({"kafka_security_protocol": "SSL", "kafka_password": "p"}, "KAFKA_PASSWORD is set"),
        (
            {"kafka_security_protocol": "SSL", "kafka_ca_file": Path("/nowhere.pem")},
            "KAFKA_CA_FILE",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused_by_name(
    told: dict[str, object], name: str
) -> None:
    with pytest.raises(SettingError, match=f"^{name}"):
        servers_of(Settings.load(**told))


def test_a_password_that_is_malformed_is_not_shown() -> None:
    with pytest.raises(SettingError) as refused:
        Settings.load(kafka_password="with a blank")

    assert "with a blank" not in str(refused.value)
