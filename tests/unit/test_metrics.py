"""What Prometheus is told: by its conventions, and all that alerts and dashboard ask for."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from shared.http_metrics import Counted, metrics
from shared.metrics import Seen, exposition, note_commit, note_dead_letter, note_lateness

CHECKOUT = Path(__file__).resolve().parents[2]
PROMETHEUS = CHECKOUT / "deploy" / "prometheus"
DASHBOARD = CHECKOUT / "deploy" / "grafana" / "orderflow.json"
ASKED = re.compile(r"\b(?:orderflow|process)_\w+")
BY_KIND = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"], "gauge": [""]}


class Worker:
    def totals(self) -> Mapping[str, int]:
        return {"records": 91, "refused": 2}

    def unpublished(self) -> int:
        return 17

    async def lag(self) -> Mapping[str, int]:
        return {"orders": 5, "payments": 0}


async def told() -> dict[str, Metric]:
    note_dead_letter("not_json")
    text = await exposition(
        Worker(), Seen(ready=True, partitions={0: "open", 3: "opening", 5: "open"})
    )
    return {family.name: family for family in text_string_to_metric_families(text.decode())}


async def answers(scope: Scope, _receive: Receive, send: Send) -> None:
    """An application that answers by the status that its path says."""
    status = int(scope["path"].rpartition("/")[2])
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def told_by_http(*paths: str) -> dict[str, Metric]:
    """What a process tells that has answered requests for some paths."""
    transport = httpx.ASGITransport(Counted(answers))
    async with httpx.AsyncClient(transport=transport, base_url="http://counted") as client:
        for path in paths:
            await client.get(path)
    text = bytes((await metrics(Request({"type": "http"}))).body).decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def samples(family: Metric) -> dict[tuple[str, ...], float]:
    return {tuple(sample.labels.values()): sample.value for sample in family.samples}


@pytest.mark.asyncio
async def test_what_a_worker_counts_and_has_is_told() -> None:
    families = await told()

    assert samples(families["orderflow_records"]) == {(): 91}
    assert samples(families["orderflow_commits_refused"]) == {(): 2}
    assert samples(families["orderflow_facts"]) == {(): 0}, "what never happened is 0, not absent"
    assert samples(families["orderflow_ready"]) == {(): 1}
    assert samples(families["orderflow_outbox_facts"]) == {(): 17}
    assert samples(families["orderflow_partitions"]) == {("open",): 2, ("opening",): 1}
    assert samples(families["orderflow_lag_records"]) == {("orders",): 5, ("payments",): 0}


@pytest.mark.asyncio
async def test_what_was_noted_is_in_its_buckets() -> None:
    def of(families: Mapping[str, Metric], name: str) -> dict[str, float]:
        return {s.name + s.labels.get("le", ""): s.value for s in families[name].samples}

    before = await told()
    note_commit(7, 0.03, 4_000)
    note_commit(0, 0.2, None)
    note_lateness(70_000)
    after = await told()

    def grown(name: str, *sums: str) -> list[float]:
        return [of(after, name)[name + s] - of(before, name)[name + s] for s in sums]

    assert grown("orderflow_batch_records", "_bucket0.0", "_bucket10.0", "_count") == [1, 2, 2]
    assert grown("orderflow_batch_duration_seconds", "_bucket0.05", "_count") == [1, 2]
    assert grown("orderflow_record_age_seconds", "_bucket2.5", "_bucket5.0", "_count") == [0, 1, 1]
    assert grown("orderflow_deadline_lateness_seconds", "_bucket60.0", "_bucket+Inf") == [0, 1]
    assert samples(after["orderflow_last_commit_timestamp_seconds"])[()] > 1.7e9


@pytest.mark.asyncio
async def test_answers_are_counted_by_status_but_for_what_probes_and_scrapers_ask() -> None:
    def by_status(families: Mapping[str, Metric]) -> dict[str, float]:
        found = families["orderflow_http_requests"].samples
        return {s.labels["status"]: s.value for s in found if s.name.endswith("_total")}

    before = by_status(await told_by_http())
    after = by_status(
        await told_by_http("/a/299", "/b/299", "/a/599", "/health/299", "/metrics/299")
    )

    assert {each: after[each] - before.get(each, 0) for each in ("299", "599")} == {
        "299": 2,
        "599": 1,
    }


@pytest.mark.asyncio
async def test_a_process_that_answers_requests_tells_nothing_of_commits() -> None:
    families = await told_by_http("/299")

    ours = {name.removesuffix("_created") for name in families if name.startswith("orderflow_")}
    assert ours == {"orderflow_http_requests", "orderflow_ingest_refused"}


@pytest.mark.asyncio
async def test_names_have_base_units_and_labels_hold_no_ids() -> None:
    ours = [family for name, family in (await told()).items() if name.startswith("orderflow_")]

    ours += [family for name, family in (await told_by_http()).items() if "orderflow_" in name]

    assert len(ours) > 17
    for family in ours:
        assert family.documentation
        assert not re.search(r"_(ms|milliseconds|minutes|kb|mb|percent)(_|$)", family.name)
        labels = {label for sample in family.samples for label in sample.labels}
        assert labels <= {"le", "reason", "state", "status", "topic"}


def asked_by(path: Path) -> Iterator[str]:
    """The metrics that a file of rules, or a dashboard, asks for."""
    text = path.read_text()
    document: dict[str, Any] = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    exprs = (
        [target["expr"] for panel in document["panels"] for target in panel["targets"]]
        if path.suffix == ".json"
        else [rule["expr"] for group in document["groups"] for rule in group["rules"]]
    )
    assert exprs
    for expr in exprs:
        yield from ASKED.findall(expr)


@pytest.mark.asyncio
@pytest.mark.parametrize("path", [DASHBOARD, PROMETHEUS / "alerts.yml"], ids=lambda path: path.stem)
async def test_alerts_and_dashboard_ask_only_for_what_there_is(path: Path) -> None:
    families = await told() | await told_by_http()
    there = {
        name + end for name, family in families.items() for end in BY_KIND.get(family.type, [])
    }

    assert set(asked_by(path)) - there == set()


def alerts() -> dict[str, dict[str, Any]]:
    (group,) = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"]
    return {rule["alert"]: rule for rule in group["rules"]}


def test_each_alert_has_its_place_in_the_runbook_and_nothing_else_has() -> None:
    runbook = (CHECKOUT / "docs" / "runbook.md").read_text()
    parts = dict(re.findall(r"(?ms)^## (Orderflow\w+)\n(.*?)(?=^## |\Z)", runbook))

    assert parts.keys() == alerts().keys()
    for name, rule in alerts().items():
        assert rule["annotations"]["runbook"] == f"docs/runbook.md#{name.lower()}"
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert re.findall(r"^\*\*(\w+)\*\*", parts[name], re.MULTILINE) == ["Means", "Look", "Do"]


def test_each_alert_fires_on_what_it_is_for_and_lets_the_rest_pass() -> None:
    tests = yaml.safe_load((PROMETHEUS / "alerts_test.yml").read_text())["tests"]
    fires = {
        case["alertname"]
        for test in tests
        for case in test["alert_rule_test"]
        if case["exp_alerts"]
    }
    assert fires == alerts().keys()

    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("needs promtool (Debian: the package prometheus); here is none on the PATH")
    done = subprocess.run(
        (promtool, "test", "rules", PROMETHEUS / "alerts_test.yml"),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
