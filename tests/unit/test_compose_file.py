"""What docker-compose.yml says, without an engine."""

import re

import yaml

from services.cli.kafka_server import KAFKA_VERSION
from services.cli.system import EVERYTHING
from tests.support.compose import CHECKOUT, described


def test_kafka_in_a_container_is_set_as_that_of_a_machine_without() -> None:
    services = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())["services"]
    kafka = services["kafka"]
    own = (CHECKOUT / "deploy" / "kafka" / "server.properties").read_text()
    settings = dict(re.findall(r"^([a-z.]+)=([^$\n]+)$", own, re.MULTILINE))
    there = {
        name.removeprefix("KAFKA_").replace("_", ".").lower(): str(value)
        for name, value in kafka["environment"].items()
    }
    of_its_place = {
        name for name in settings if re.search("listener|controller|broker.session|heartbeat", name)
    }

    assert kafka["image"] == f"apache/kafka:{KAFKA_VERSION}"
    assert {name: there.get(name) for name in settings.keys() - of_its_place} == {
        name: settings[name] for name in settings.keys() - of_its_place
    }


def test_nothing_is_published_to_other_machines() -> None:
    services = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())["services"]
    published = [port for one in services.values() for port in one.get("ports", ())]

    assert published
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []


def test_images_of_others_are_pinned_by_their_version() -> None:
    images = {one["image"] for one in described().values() if "build" not in one}

    assert {image.partition(":")[0] for image in images} >= {"redis", "apache/kafka"}
    assert [i for i in images if not re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+(-alpine)?", i)] == []


def test_where_traces_go_is_told_to_every_process_of_ours() -> None:
    endpoint = "http://collector:4318"
    services = described(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)
    config = yaml.safe_load((CHECKOUT / "deploy" / "otel" / "collector.yml").read_text())
    traces = config["service"]["pipelines"]["traces"]

    told = {services[name]["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"] for name in EVERYTHING}
    assert told == {endpoint}
    assert config["receivers"]["otlp"]["protocols"]["http"]["endpoint"] == "0.0.0.0:4318"
    assert config["exporters"][traces["exporters"][0]]["endpoint"].partition(":")[0] in services
    assert {part for kind in ("receivers", "processors", "exporters") for part in traces[kind]} == {
        *config["receivers"], *config["processors"], *config["exporters"],
    }  # fmt: skip
