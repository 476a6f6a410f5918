"""`docker compose up`: the system in containers, as it is described in docker-compose.yml."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import pytest_asyncio
import redis

from services.cli.demo.traffic import CATALOGUE
from services.cli.run import ServiceName
from services.cli.system import EVERYTHING, PAGES
from services.dashboard.rows import Row
from services.dashboard.store import key
from tests.support.compose import Composed, composed, skip_without_engine
from tests.support.market import Market, open_market

OPENING = datetime(2027, 6, 30, 21, 58, 12, 377_000, UTC)
"""Two minutes before a month ends, in Coordinated Universal Time."""
SCRAPED_WITHIN_S = 60.0
"""For the first look of Prometheus at each service: it takes one every 15 s."""

SHIPPED_WITHIN_S = 120.0
"""For the first order of traffic: 10 s on an idle machine, since an hour takes a second."""

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def project() -> Iterator[Composed]:
    skip_without_engine()
    with composed(partitions=4) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def market(project: Composed) -> AsyncIterator[Market]:
    async with open_market(project.settings) as market:
        await market.begin(OPENING)
        yield market


def test_no_service_is_root_or_can_write_to_its_image(project: Composed) -> None:
    for found in project.inspect(*EVERYTHING):
        assert found["Config"]["User"] == "10001:10001"
        assert found["HostConfig"]["ReadonlyRootfs"]
        assert found["HostConfig"]["CapDrop"] == ["ALL"]
        assert found["HostConfig"]["SecurityOpt"] == ["no-new-privileges:true"]
        assert found["State"]["Health"]["Status"] == "healthy"


def test_a_health_check_shows_what_the_service_says_of_itself(project: Composed) -> None:
    (payment,) = project.inspect("payment")
    said = json.loads(payment["State"]["Health"]["Log"][-1]["Output"])

    assert (said["service"], said["ready"]) == ("payment", True)
    assert set(said["partitions"]) == {"0", "1", "2", "3"}


def test_redis_writes_all_to_its_volume_and_evicts_nothing(project: Composed) -> None:
    with redis.Redis.from_url(project.settings.redis_url, decode_responses=True) as client:
        said = client.config_get("appendonly", "maxmemory-policy", "dir")

    assert said == {"appendonly": "yes", "maxmemory-policy": "noeviction", "dir": "/data"}


def test_the_first_one_comes_in_by_the_link_in_the_log_and_finds_live_pages(
    project: Composed,
) -> None:
    log = project.compose("logs", "--no-log-prefix", PAGES)
    link = re.findall(r'"url": ?"([^"]+/welcome[^"]+)"', log)[-1]

    with httpx.Client(follow_redirects=True) as browser:
        home = browser.post(link, data={"password": ""})
        files = re.findall(r'(?:src|href)="(/static/[^"]+)"', home.text)
        answers = [browser.get(str(home.url.join(file))) for file in files]

    assert (home.status_code, home.url.path) == (200, "/")
    assert {"htmx.js", "hx-sse.js", "uplot.js"} <= {file.rpartition("/")[2] for file in files}
    assert {answer.status_code for answer in answers} == {200}


def test_prometheus_reads_every_service_and_all_alerts(project: Composed) -> None:
    project.up("prometheus")

    def asked(path: str) -> Any:
        address = f"http://127.0.0.1:{project.env['PROMETHEUS_PORT']}/api/v1/{path}"
        return httpx.get(address).raise_for_status().json()["data"]

    deadline_s = time.monotonic() + SCRAPED_WITHIN_S
    while {t["health"] for t in asked("targets")["activeTargets"]} != {"up"}:
        assert time.monotonic() < deadline_s, asked("targets")
        time.sleep(0.5)
    ready = asked("query?query=orderflow_ready")["result"]
    assert {one["metric"]["job"]: one["value"][1] for one in ready} == dict.fromkeys(
        ServiceName, "1"
    )
    (group,) = asked("rules")["groups"]
    assert {rule["health"] for rule in group["rules"]} <= {"ok", "unknown"}, "none is wrong"


@pytest.mark.asyncio(loop_scope="module")
async def test_p1_to_p6_containers_are_killed_and_then_all_made_anew_on_their_volumes(
    project: Composed, market: Market
) -> None:
    async with market.trade():
        await market.orders_come(15)
        await asyncio.to_thread(project.crash, "inventory", "kafka", "redis")
        await market.orders_come(15)
    await market.stand_still()
    await asyncio.to_thread(project.compose, "down")
    await asyncio.to_thread(project.up)
    books = await market.end()

    assert market.wrong() == []
    assert books.violations == ()
    assert books.unchecked == ()


def test_traffic_places_orders_that_are_paid_and_shipped(project: Composed) -> None:
    project.compose("--profile", "demo", "up", "--detach", "traffic")

    sellers = {product.seller_id for product in CATALOGUE}
    with redis.Redis.from_url(project.settings.redis_url) as client:
        deadline_s = time.monotonic() + SHIPPED_WITHIN_S
        shipped = False
        while not shipped:
            assert time.monotonic() < deadline_s
            time.sleep(0.5)
            lists = [client.hvals(key(p, "orders")) for p in range(project.settings.partitions)]
            rows = [Row(*json.loads(row)) for rows in lists for row in rows]
            shipped = any(row.seller_id in sellers and row.status == "Shipped" for row in rows)


def test_a_service_that_is_told_to_stop_ends_well(project: Composed) -> None:
    project.compose("stop", *EVERYTHING)

    assert {found["State"]["ExitCode"] for found in project.inspect(*EVERYTHING)} == {0}
