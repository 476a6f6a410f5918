"""A seller who works by files: reports out, confirmed packages and cancels in (R20, R21)."""

import asyncio
import csv
from io import StringIO
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from services.cli.system import System
from shared.events.storefront import TrafficSource
from shared.events.topics import TOPICS
from tests.support.story import DAY, ITEM, MINUTE, Story, end_of_day, unshipped
from tests.support.systems import orderflow
from tests.support.town import Shelf, Town

pytestmark = [pytest.mark.asyncio(loop_scope="package"), pytest.mark.timeout(300)]

HEADER = (
    "order-id\torder-item-id\tquantity\tship-date\tcarrier-code\tcarrier-name\ttracking-number\r\n"
)


class Office:
    """Where the seller's commands are run, and the files lie."""

    def __init__(self, town: Town, running: System, directory: Path) -> None:
        self._town = town
        self._directory = directory
        self._env = {
            "KAFKA_BOOTSTRAP_SERVERS": running.settings.kafka_bootstrap_servers,
            "REDIS_URL": running.settings.redis_url,
        }

    async def runs(self, *arguments: str) -> CompletedProcess[str]:
        return await asyncio.to_thread(orderflow, *arguments, cwd=self._directory, env=self._env)

    async def reads(self, report: str, seller_id: str, *more: str) -> list[dict[str, str]]:
        """The rows of a report about the seller's orders."""
        out = self._directory / f"{report}.txt"
        done = await self.runs("report", report, "--seller", seller_id, "--out", str(out), *more)
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        return list(csv.DictReader(StringIO(out.read_text()), delimiter="\t"))

    async def uploads(self, kind: str, seller_id: str, *rows: str) -> CompletedProcess[str]:
        """Uploads a file, and waits until all that comes of it is decided."""
        (self._directory / "upload.txt").write_text("".join(rows))
        done = await self.runs("upload", kind, "upload.txt", "--seller", seller_id)
        await self._town.rest()
        return done


@pytest.fixture
def office(town: Town, running: System, tmp_path: Path) -> Office:
    return Office(town, running, tmp_path)


async def test_r21_r3_an_order_is_reported_when_it_has_left_pending_until_it_is_confirmed(
    town: Town, shelf: Shelf, office: Office
) -> None:
    seller, monday = shelf.seller_id, town.now
    story = Story(town, shelf, units=3)
    await story.is_placed(
        traffic_source=TrafficSource(channel="advertisement", site="off_site"),
    )
    await story.is_authorized()
    assert await office.reads("unshipped", seller) == []
    assert await office.reads("order", seller) == []

    await town.pass_time(30 * MINUTE)
    (row,) = await office.reads("unshipped", seller, "--with", "traffic-source")
    assert row["order-id"] == story.order_id
    assert row["promise-date"] == end_of_day(monday + 2 * DAY).isoformat()
    assert (row["days-past-promise"], row["quantity-to-ship"]) == ("-3", "3")
    assert row["traffic-source"] == "advertisement off_site"
    await town.pass_time(3 * DAY)
    (row,) = await office.reads("unshipped", seller)
    assert row["days-past-promise"] == "0"

    packed = [
        HEADER,
        f"{story.order_id}\t{ITEM}\t2\t2027-03-04\tDHL\t\tDHL-0001\r\n",
        f"{story.order_id}\t{ITEM}\tmany\t2027-03-04\tDHL\t\tDHL-0002\r\n",
    ]
    done = await office.uploads("ship-confirm", seller, *packed)
    assert (done.returncode, done.stdout) == (2, "accepted 1 of 2 rows, as events: 1\n")
    assert done.stderr == "upload.txt:3: quantity: has to be a whole number from 1 to 10000\n"
    (row,) = await office.reads("unshipped", seller)
    assert (row["quantity-shipped"], row["quantity-to-ship"]) == ("2", "1")

    life = story.life
    await office.uploads("ship-confirm", seller, *packed)
    assert story.life == life

    mended = [packed[0], packed[1], packed[2].replace("many", "1")]
    done = await office.uploads("ship-confirm", seller, *mended)
    assert (done.returncode, done.stdout) == (0, "accepted 2 of 2 rows, as events: 2\n")
    assert story.status == "Shipped"
    assert story.life == [*life, "package_confirmed"]
    assert await office.reads("unshipped", seller) == []
    (row,) = await office.reads("order", seller, "--with", "order-status")
    assert (row["quantity-purchased"], row["order-status"]) == ("3", "Shipped")


async def test_r11_what_was_refused_runs_when_it_is_uploaded_again(
    town: Town, shelf: Shelf, office: Office
) -> None:
    story = Story(town, shelf)
    await story.is_placed()
    await story.is_authorized()
    file = [HEADER, f"{story.order_id}\t{ITEM}\t1\t2027-03-01\tDHL\t\tDHL-0003\r\n"]

    await office.uploads("ship-confirm", shelf.seller_id, *file)
    assert (story.status, story.refusals) == ("Pending", ["order_pending"])

    await town.pass_time(30 * MINUTE)
    await office.uploads("ship-confirm", shelf.seller_id, *file)
    assert (story.status, story.refusals) == ("Shipped", ["order_pending"])


async def test_r18_a_file_cancels_orders_and_twice_changes_nothing_twice(
    town: Town, shelf: Shelf, office: Office
) -> None:
    story = await unshipped(town, shelf)
    file = [
        "order-id\tamazon-order-item-code\tcancellation-reason-code\n",
        f"{story.order_id}\t{ITEM}\tNoInventory\n",
    ]

    done = await office.uploads("cancel", shelf.seller_id, *file)
    assert (done.returncode, done.stderr) == (0, "")
    assert story.status == "Canceled: seller"
    after, levels = story.order, story.levels

    await office.uploads("cancel", shelf.seller_id, *file)
    assert story.refusals == ["order_canceled"]
    assert story.order.model_copy(update={"last_update_date": after.last_update_date}) == after
    assert story.levels == levels


async def test_a_report_leaves_no_trace_in_kafka(
    town: Town, running: System, office: Office
) -> None:
    names = [topic.name for topic in TOPICS]
    servers = running.settings.kafka_bootstrap_servers
    before = await groups(servers), await town.observer.reader.ends(names)

    for command in ("order", "unshipped"):
        assert (await office.runs("report", command)).returncode == 0

    assert (await groups(servers), await town.observer.reader.ends(names)) == before


async def groups(servers: str) -> set[str]:
    """The consumer groups that the cluster knows."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        return {group[0] for group in await admin.list_consumer_groups()}
    finally:
        await admin.close()
