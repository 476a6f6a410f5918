"""deploy/k8s: what a cluster would refuse, and what has to be as elsewhere in the repository."""

import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from copy import deepcopy
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes_validate import ValidationError, validate

from services.cli.run import ServiceName
from services.cli.system import EVERYTHING, INGEST, PAGES
from services.cli.topics import wanted_topics
from services.dashboard.web.app import SERVICES
from services.dashboard.web.kafka_look import READABLE
from shared.events.topics import FROM_OUTSIDE, TOPICS
from shared.kafka import DEAD_LETTERS, group_of
from shared.service import Service
from shared.settings import Settings
from tests.support.compose import CHECKOUT

K8S = CHECKOUT / "deploy" / "k8s"
BASE = K8S / "base"
COMPONENTS = sorted((K8S / "components").iterdir())
COMPOSE = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())["services"]
VERSIONS = ("1.30", "1.37")
"""Of Kubernetes: the oldest that we look at, and the newest whose schemas we have."""
OF_OTHERS = {"KafkaTopic", "KafkaUser", "ScaledObject", "ServiceMonitor"}
"""Kinds of the components, whose schemas come with what they are for."""
VERSION = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["version"]


def manifests(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def pods(found: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for one in found:
        if one["kind"] in {"Deployment", "Job"}:
            yield one["spec"]["template"]["spec"]


WRITTEN = [
    pod
    for path in (BASE / "worker" / "deployment.yaml", BASE / "topics.yaml")
    for pod in pods(manifests(path))
]
WORKER, _TOPICS = WRITTEN


def unrestricted(pod: Mapping[str, Any]) -> list[str]:
    """What Pod Security "restricted" refuses of a pod, and a writable root file system."""
    wrong = []
    common = pod.get("securityContext", {})
    wrong += [name for name in ("hostNetwork", "hostPID", "hostIPC") if pod.get(name)]
    for volume in pod.get("volumes", []):
        kinds = volume.keys() - {"name"}
        wrong += sorted(kinds - {"configMap", "emptyDir", "projected", "secret"})
    for container in (*pod["containers"], *pod.get("initContainers", [])):
        own = container.get("securityContext", {})
        both = {**common, **own}
        wrong += [] if both.get("runAsNonRoot") is True else ["runAsNonRoot"]
        wrong += ["runAsUser"] if both.get("runAsUser") == 0 else []
        profile = both.get("seccompProfile", {}).get("type")
        wrong += [] if profile == "RuntimeDefault" else ["seccompProfile"]
        wrong += [] if own.get("allowPrivilegeEscalation") is False else ["escalation"]
        wrong += ["privileged"] if own.get("privileged") else []
        wrong += [] if own.get("capabilities") == {"drop": ["ALL"]} else ["capabilities"]
        wrong += [] if own.get("readOnlyRootFilesystem") is True else ["readOnlyRootFilesystem"]
        wrong += ["hostPort"] if any("hostPort" in p for p in container.get("ports", [])) else []
    return wrong


@pytest.mark.parametrize("pod", WRITTEN, ids=["worker", "topics"])
def test_pods_pass_pod_security_restricted(pod: dict[str, Any]) -> None:
    assert unrestricted(pod) == []


@pytest.mark.parametrize(
    ("where", "key", "value", "found"),
    [
        ("pod", "runAsNonRoot", False, "runAsNonRoot"),
        ("pod", "runAsUser", 0, "runAsUser"),
        ("pod", "seccompProfile", {"type": "Unconfined"}, "seccompProfile"),
        ("container", "allowPrivilegeEscalation", True, "escalation"),
        ("container", "privileged", True, "privileged"),
        ("container", "capabilities", {"drop": ["ALL"], "add": ["NET_ADMIN"]}, "capabilities"),
        ("container", "readOnlyRootFilesystem", False, "readOnlyRootFilesystem"),
    ],
)
def test_a_pod_that_is_not_restricted_is_found(
    where: str, key: str, value: object, found: str
) -> None:
    pod = deepcopy(WORKER)
    (pod if where == "pod" else pod["containers"][0])["securityContext"][key] = value

    assert unrestricted(pod) == [found]


def test_the_namespace_refuses_what_is_not_restricted() -> None:
    (namespace,) = manifests(BASE / "namespace.yaml")

    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_every_file_is_named_by_its_kustomization_and_every_named_one_is_there() -> None:
    named = set()
    for path in K8S.rglob("kustomization.yaml"):
        (kustomization,) = manifests(path)
        named |= {(path.parent / name).resolve() for name in kustomization["resources"]}
    written = {path for path in K8S.rglob("*.yaml") if path.name != "kustomization.yaml"}

    assert all(path.exists() for path in named)
    assert {path for path in named if path.is_file()} == written


# -- as elsewhere ----------------------------------------------------------------------------------


def patches(service: str) -> list[dict[str, Any]]:
    """What the place of a service changes of the worker, in order."""
    (kustomization,) = manifests(BASE / service / "kustomization.yaml")
    assert kustomization["nameSuffix"] == f"-{service}"
    return [
        change for patch in kustomization["patches"] for change in yaml.safe_load(patch["patch"])
    ]


@pytest.mark.parametrize("service", EVERYTHING)
def test_a_service_runs_as_in_docker_compose(service: str) -> None:
    args, secret, *_ = patches(service)
    dockerfile = (CHECKOUT / "deploy" / "Dockerfile").read_text()
    compose, container = COMPOSE[service], WORKER["containers"][0]

    assert args == {
        "op": "replace",
        "path": "/spec/template/spec/containers/0/args",
        "value": compose["command"],
    }
    assert secret["value"] == f"orderflow-{service}"
    assert container["image"] == f"orderflow:{VERSION}"
    assert "command" not in container  # the image's own: no shell
    assert [p["containerPort"] for p in container["ports"]] == [int(exposed(dockerfile))]
    user = WORKER["securityContext"]
    assert f"USER {user['runAsUser']}:{user['runAsGroup']}\n" in dockerfile
    assert f"{WORKER['terminationGracePeriodSeconds']}s" == compose["stop_grace_period"]
    assert container["resources"]["limits"]["memory"] == compose["mem_limit"].upper() + "i"
    tmp = WORKER["volumes"][1]["emptyDir"]["sizeLimit"]
    assert compose["tmpfs"] == [f"/tmp:size={tmp.removesuffix('i').lower()}"]


def exposed(dockerfile: str) -> str:
    (port,) = re.findall(r"^EXPOSE (\d+)$", dockerfile, re.MULTILINE)
    return str(port)


def test_every_service_is_there_and_the_topics_job_runs_as_in_docker_compose() -> None:
    (kustomization,) = manifests(BASE / "kustomization.yaml")

    assert {name for name in kustomization["resources"] if "." not in name} == set(EVERYTHING)
    assert _TOPICS["containers"][0]["args"] == COMPOSE["topics"]["command"]
    assert _TOPICS["containers"][0]["image"] == WORKER["containers"][0]["image"]


def literals() -> dict[str, str]:
    (kustomization,) = manifests(BASE / "kustomization.yaml")
    (config,) = kustomization["configMapGenerator"]
    return dict(literal.split("=", 1) for literal in config["literals"])


def test_the_config_map_holds_settings_that_there_are() -> None:
    told = {name.lower(): value for name, value in literals().items()}

    assert Settings.load(**told).model_fields_set == told.keys()


def built(service: str) -> Service[Any]:
    service_: Service[Any] = import_module(f"services.{service}.app").build()
    return service_


def test_strimzis_topics_are_those_that_the_command_makes() -> None:
    made = {
        topic["metadata"]["name"]: topic["spec"]
        for topic in manifests(K8S / "components" / "strimzi" / "topics.yaml")
    }

    assert {topic["partitions"] for topic in made.values()} == {int(literals()["PARTITIONS"])}
    assert {
        name: {key: str(value) for key, value in topic["config"].items()}
        for name, topic in made.items()
    } == {
        name: {**settings, "min.insync.replicas": "2"} for name, settings in wanted_topics().items()
    }


def rights(name: str) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """What Strimzi's user of a process may do: the topics and the groups by right."""
    users = {
        user["metadata"]["name"]: user["spec"]["authorization"]["acls"]
        for user in manifests(K8S / "components" / "strimzi" / "users.yaml")
    }
    found: dict[str, dict[str, set[str]]] = {"topic": {}, "group": {}}
    for acl in users[f"orderflow-{name}"]:
        for right in acl["operations"]:
            kind = found[acl["resource"]["type"]]
            kind.setdefault(right, set()).add(acl["resource"]["name"])
    return found["topic"], found["group"]


@pytest.mark.parametrize("name", ServiceName)
def test_strimzis_user_of_a_service_may_do_what_it_does_and_nothing_else(name: str) -> None:
    service = built(name)
    restored = service.crossing.topics if service.crossing else ()
    read = {*service.inputs, service.journal.name, *(topic.name for topic in restored)}
    owned = {topic.name for topic in TOPICS if topic.owner == name}
    written = {service.journal.name, *(topic.name for topic in service.publishes), *owned}

    assert rights(name) == (
        {
            "Read": read,
            "Write": written | {DEAD_LETTERS},
            "Describe": read | written | {DEAD_LETTERS},
        },
        {"Read": {group_of(name)}},
    )


def test_strimzis_user_of_the_pages_may_read_all_and_replay_letters_to_where_they_came_from() -> (
    None
):
    assert rights(PAGES) == (
        {"Read": set(READABLE), "Write": READABLE - {DEAD_LETTERS}, "Describe": set(READABLE)},
        {"Describe": {group_of(service) for service in SERVICES}},
    )


def test_strimzis_user_of_ingest_may_write_what_comes_from_outside_and_read_nothing() -> None:
    topics = {topic.name for topic in FROM_OUTSIDE}

    assert rights(INGEST) == ({"Write": topics, "Describe": topics}, {})


def test_keda_scales_by_what_a_service_reads_up_to_a_process_per_partition() -> None:
    for scaled in manifests(K8S / "components" / "keda" / "scaledobjects.yaml"):
        name = scaled["metadata"]["name"].removeprefix("orderflow-")
        triggers = [trigger["metadata"] for trigger in scaled["spec"]["triggers"]]

        assert scaled["spec"]["scaleTargetRef"] == {"name": f"orderflow-{name}"}
        assert scaled["spec"]["maxReplicaCount"] == int(literals()["PARTITIONS"])
        assert {trigger["consumerGroup"] for trigger in triggers} == {f"orderflow-{name}"}
        assert {trigger["topic"] for trigger in triggers} <= set(built(name).inputs)


# -- rendered --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The base with all components, as kubectl makes it."""
    if shutil.which("kubectl") is None:
        pytest.skip("needs kubectl")
    over = tmp_path_factory.mktemp("over")
    places = {path: os.path.relpath(path, over.resolve()) for path in (BASE, *COMPONENTS)}
    base, *components = places.values()
    (over / "kustomization.yaml").write_text(
        yaml.safe_dump({"resources": [base], "components": components})
    )
    said = subprocess.run(
        ("kubectl", "kustomize", str(over)), capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stderr
    return list(yaml.safe_load_all(said.stdout))


def test_what_is_rendered_passes_pod_security_restricted(rendered: list[dict[str, Any]]) -> None:
    found = list(pods(rendered))

    assert len(found) == len(EVERYTHING) + 1
    assert [wrong for pod in found for wrong in unrestricted(pod)] == []


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_rendered_fits_the_schemas_of_kubernetes(
    rendered: list[dict[str, Any]], version: str
) -> None:
    ours = [one for one in rendered if one["kind"] not in OF_OTHERS]

    assert {one["kind"] for one in ours} >= {"Deployment", "Job", "NetworkPolicy", "Service"}
    for one in ours:
        validate(one, version, strict=True)


def test_a_field_that_kubernetes_does_not_know_is_found(rendered: list[dict[str, Any]]) -> None:
    deployment = deepcopy(next(one for one in rendered if one["kind"] == "Deployment"))
    deployment["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}

    with pytest.raises(ValidationError, match="readynessProbe"):
        validate(deployment, VERSIONS[-1], strict=True)


def test_each_rendered_service_selects_its_own_pods_and_finds_its_settings(
    rendered: list[dict[str, Any]],
) -> None:
    names = {(one["kind"], one["metadata"]["name"]): one for one in rendered}

    for service in EVERYTHING:
        name, labels = (
            f"orderflow-{service}",
            {
                "app.kubernetes.io/name": "orderflow",
                "app.kubernetes.io/component": str(service),
            },
        )
        spec = names["Deployment", name]["spec"]
        pod = spec["template"]["spec"]
        assert pod["containers"][0]["args"] == COMPOSE[service]["command"]
        assert pod["volumes"][0]["secret"]["secretName"] == name
        config = pod["containers"][0]["envFrom"][0]["configMapRef"]["name"]
        assert names["ConfigMap", config]["data"] == literals()
        assert spec["template"]["metadata"]["labels"] == labels
        assert spec["selector"]["matchLabels"] == labels
        assert names["Service", name]["spec"]["selector"] == labels
        disruption = names["PodDisruptionBudget", name]["spec"]
        assert disruption["selector"]["matchLabels"] == labels
        (spread,) = pod["topologySpreadConstraints"]
        assert spread["labelSelector"]["matchLabels"] == labels
