"""What docker-compose.yml says, without an engine."""

import re

import yaml

from services.cli.kafka_server import KAFKA_VERSION
from tests.support.compose import CHECKOUT


def test_kafka_in_a_container_is_set_as_that_of_a_machine_without() -> None:
    described = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())
    kafka = described["services"]["kafka"]
    own = (CHECKOUT / "deploy" / "kafka" / "server.properties").read_text()
    settings = dict(re.findall(r"^([a-z.]+)=([^$\n]+)$", own, re.MULTILINE))
    there = {
        name.removeprefix("KAFKA_").replace("_", ".").lower(): str(value)
        for name, value in kafka["environment"].items()
    }
    of_its_place = {name for name in settings if "listener" in name or "controller" in name}

    assert kafka["image"] == f"apache/kafka:{KAFKA_VERSION}"
    assert {name: there.get(name) for name in settings.keys() - of_its_place} == {
        name: settings[name] for name in settings.keys() - of_its_place
    }


def test_nothing_is_published_to_other_machines() -> None:
    described = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())
    published = [port for one in described["services"].values() for port in one.get("ports", ())]

    assert published
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []
