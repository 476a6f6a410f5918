"""`orderflow up` as a newcomer runs it: a process that starts all, and leaves nothing behind."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from pydantic import TypeAdapter
from typer.testing import CliRunner

from services.cli.addresses import settings_here
from services.cli.app import app
from services.cli.desk import whoever_this_is
from services.cli.kafka_server import KafkaServer, choose_kafka
from services.cli.producer import Producer
from services.cli.run import ServiceName
from services.cli.system import EVERYTHING
from shared.events.envelope import Event, Fact, Topic
from shared.events.fields import Address, Money
from shared.events.gateway import PAYMENTS, PaymentAuthorized
from shared.events.inventory import STOCK_LEVELS, StockLevelChanged
from shared.events.storefront import ORDERS, Buyer, OrderItem, OrderPlaced
from shared.events.warehouse import STOCK, StockSet
from shared.kafka import create_topics, servers_of, topic_settings
from shared.settings import Settings
from tests.support.programs import gone
from tests.support.systems import NO_PROGRAMS, READY_WITHIN_S, Up, children, orderflow, up

ENDS_WITHIN_S = 10.0
"""What is promised of SIGTERM."""

pytestmark = pytest.mark.timeout(480)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """The system on the best servers of this machine, for tests that leave it running."""
    with up(tmp_path_factory.mktemp("up"), "--partitions", "4") as started:
        started.wait_until_said("Ready after")
        yield started


def health(url: str) -> object:
    host, port, path = re.fullmatch(r"http://([^:]+):(\d+)(/.*)", url).groups()  # type: ignore[union-attr]
    connection = HTTPConnection(host, int(port), timeout=5)
    connection.request("GET", path)
    answer = json.load(connection.getresponse())
    connection.close()
    return answer


def test_up_says_what_it_chose_and_where_everything_is(running: Up) -> None:
    said = [line for line in running.said.splitlines() if not line.startswith("Fetching ")]
    kafka, redis, topics, *_ = said

    assert re.match(r"(Apache Kafka|embedded Kafka).* on 127\.0\.0\.1:\d+, ", kafka)
    assert re.match(r"Redis \S+ on 127\.0\.0\.1:\d+, ", redis)
    assert topics == "13 topics with 4 partitions each, 13 of them new"
    for service in ServiceName:
        line = re.search(rf"{service} +(http://\S+/health) +log (\S+)", running.said)
        assert line, running.said
        answer = health(line[1])
        assert isinstance(answer, dict)
        assert (answer["service"], answer["ready"]) == (service, True)
        assert answer["partitions"] == {str(p): "open" for p in range(4)}
        assert (running.directory / line[2]).read_text()
    assert str(running.directory / ".orderflow") in running.said


def test_stock_that_is_set_beside_it_becomes_a_level(running: Up) -> None:
    said = orderflow("stock", "set", "SELLER-11", "LAMP/RED 40W", "7", cwd=running.directory)
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.startswith("accepted stock.set.v1 SELLER-11/LAMP/RED 40W: topic stock, ")

    said = orderflow("stock", "adjust", "SELLER-11", "LAMP/RED 40W", "-3", cwd=running.directory)
    assert (said.returncode, said.stderr) == (0, "")
    said = orderflow("stock", "restock", "SELLER-11", "LAMP/RED 40W", "6", cwd=running.directory)
    assert said.stdout.startswith("accepted stock.restocked.v1 SELLER-11/LAMP/RED 40W: ")
    damage = ("damage", "SELLER-11", "LAMP/RED 40W", "2", "fell off the shelf")
    said = orderflow("stock", *damage, cwd=running.directory)
    assert said.stdout.startswith("accepted stock.damaged.v1 SELLER-11/LAMP/RED 40W: ")

    levels = asyncio.run(first_levels(running, 4))
    assert {event.subject for event in levels} == {"SELLER-11/LAMP/RED 40W"}
    assert [event.data.on_hand for event in levels] == [7, 4, 10, 8]


def test_an_event_that_is_said_by_http_beside_it_is_in_kafka(running: Up) -> None:
    rights = ("--source", "my-warehouse", "--topic", "stock")
    made = orderflow("tokens", "create", "warehouse", *rights, cwd=running.directory)
    address = re.search(r"Events by HTTP: http://([^/]+)/events", running.said)
    assert address, running.said
    event = {
        "specversion": "1.0", "id": "count-up", "source": "my-warehouse", "type": StockSet.TYPE,
        "subject": "SELLER-13/POT", "time": "2026-03-11T09:30:00Z",
        "data": {"seller_id": "SELLER-13", "sku": "POT", "on_hand": 5},
    }  # fmt: skip
    headers = {
        "authorization": f"Bearer {made.stdout.strip()}",
        "content-type": "application/cloudevents+json",
    }

    connection = HTTPConnection(address[1], timeout=30)
    connection.request("POST", "/events", json.dumps(event), headers)
    answer = connection.getresponse()

    told = json.load(answer)
    assert (answer.status, told["id"], told["topic"]) == (202, "count-up", "stock"), told
    connection.close()


async def first_levels(running: Up, count: int) -> list[Event[StockLevelChanged]]:
    servers = settings_here(running.directory / ".orderflow").kafka_bootstrap_servers
    event = TypeAdapter(STOCK_LEVELS.models[StockLevelChanged.TYPE])
    async with (
        asyncio.timeout(20),
        AIOKafkaConsumer(
            STOCK_LEVELS.name, bootstrap_servers=servers, auto_offset_reset="earliest"
        ) as consumer,
    ):
        return [event.validate_json((await consumer.getone()).value) for _ in range(count)]


def test_what_the_readme_says_to_try_works(running: Up) -> None:
    told = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    commands = told.partition("\n## Try it\n")[2].partition("```sh\n")[2].partition("```")[0]
    (running.directory / ".venv").symlink_to(sys.prefix)

    said = subprocess.run(
        ("bash", "-eu", "-c", commands), cwd=running.directory, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip

    assert said.returncode == 0, said.stderr
    lines = said.stdout.splitlines()
    assert "ORDER-1 order.unshipped.v1" in lines
    assert lines[-1].startswith("ORDER-1\t1\t")


def test_the_command_line_acts_on_orders_and_tells_what_pages_tell(
    running: Up, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("KAFKA_BOOTSTRAP_SERVERS", "REDIS_URL", "CLOCK_REDIS_URL", "PARTITIONS"):
        monkeypatch.delenv(name, raising=False)
    data_dir = running.directory / ".orderflow"
    settings = settings_here(data_dir)

    def say(*words: str, code: int = 0) -> str:
        done = CliRunner().invoke(app, [*words, "--data-dir", str(data_dir)])
        assert done.exit_code == code, done.output
        return done.stdout

    def wait_for_level(on_hand: int, available: int) -> None:
        wait_until(
            lambda: json.loads(say("stock", "list", "--text", "seller-31/", "--json")),
            [{**FAN, "on_hand": on_hand, "available": available, "reserved": on_hand - available}],
        )

    asyncio.run(tell(settings, STOCK, StockSet(**FAN, on_hand=5), "SELLER-31/FAN"))
    wait_for_level(5, 5)
    for order_id in ("SHIP-1", "GONE-1"):
        asyncio.run(place(settings, order_id))
    ours = ("orders", "list", "--seller", "SELLER-31", "--json")
    wait_until(
        lambda: {each["order_id"] for each in json.loads(say(*ours))["orders"]},
        {"SHIP-1", "GONE-1"},
    )
    for order_id in ("SHIP-1", "GONE-1"):
        say("orders", "follow", order_id, "--until", "Unshipped")
    moved = ("orders", "address", "SHIP-1", "--city", "Sampleton", "--reason", "a typing error")
    assert say(*moved, "--dry-run").startswith("would say order.address_corrected.v1 SHIP-1")
    assert say(*moved).startswith("said order.address_corrected.v1 SHIP-1")
    wait_until(lambda: "goes to another address, asked by" in say("orders", "show", "SHIP-1"), True)
    parcel = ("orders", "ship", "SHIP-1", "--carrier", "DHL", "--tracking", "JJD0001")
    assert say(*parcel, "--dry-run").startswith("would say shipment.confirmed.v1 SHIP-1")
    assert say(*parcel).startswith("said shipment.confirmed.v1 SHIP-1")
    assert json.loads(say("orders", "cancel", "GONE-1", "PricingError", "--json"))["id"]
    told = say("orders", "follow", "SHIP-1", "--until", "Shipped")
    me = whoever_this_is().partition("/")[2]
    assert f"Package 1 confirmed: DHL JJD0001, by {me}  [fulfillment.events:" in told
    assert json.loads(say("orders", "resend-notice", "SHIP-1", "package_shipped", "--json"))["id"]
    wait_until(lambda: "is told again: " in say("orders", "show", "SHIP-1"), True)
    say("orders", "follow", "GONE-1", "--until", "Canceled")
    say("orders", "cancel", "GONE-1", "PricingError", code=1)
    say("orders", "show", "NOBODYS", code=1)

    found = json.loads(say(*ours))["orders"]
    assert {each["order_id"]: each["status"] for each in found} == {
        "SHIP-1": "Shipped",
        "GONE-1": "Canceled",
    }
    shown = say("orders", "show", "SHIP-1", "--json")
    assert json.loads(shown)["order"]["ship_address"]["city"] == "Sampleton"
    assert "A. Buyer" not in shown
    assert "A. Buyer" in say("orders", "show", "SHIP-1", "--personal")
    wait_for_level(4, 4)
    due = json.loads(say("deadlines", "--json"))
    assert {"SHIP-1"} <= {each["order_id"] for each in due}
    assert set(json.loads(say("lag", "--json"))) == set(ServiceName)
    assert say("health").splitlines()[1].split()[:2] == ["topics", "well"]
    orders = [json.loads(line) for line in say("export", "orders").splitlines()]
    assert {"SHIP-1", "GONE-1"} <= {each["order_id"] for each in orders}
    facts = say("export", "facts")
    assert "order.package_confirmed.v1" in facts
    assert "A. Buyer" not in facts


FAN: Mapping[str, Any] = {"seller_id": "SELLER-31", "sku": "FAN"}


async def place(settings: Settings, order_id: str) -> None:
    """An order whose hold is over, and which is paid."""
    price, now = Money(amount_minor=3990, currency="EUR"), datetime.now(UTC)
    line = OrderItem(order_item_id="1", sku="FAN", quantity=1, item_price=price)
    placed = OrderPlaced(
        order_id=order_id,
        seller_id="SELLER-31",
        marketplace_id="A1PA6795UKMFR9",
        buyer=Buyer(buyer_id="B-13"),
        purchase_date=now - timedelta(minutes=31),
        ship_address=Address(
            name="A. Buyer", address_line_1="1 Example Street", city="Exampleton", country_code="DE"
        ),
        items=(line,),
        order_total=price,
        payment_method_ref="card-13",
    )
    await tell(settings, ORDERS, placed, order_id)
    paid = PaymentAuthorized(payment_id=f"P-{order_id}", amount=price)
    await tell(settings, PAYMENTS, paid, order_id)


async def tell(settings: Settings, topic: Topic, fact: Fact, subject: str) -> None:
    async with Producer(servers_of(settings), "test", [topic]) as producer:
        await producer.send(topic, fact, subject=subject, time=datetime.now(UTC))


def wait_until(look: Callable[[], object], wanted: object) -> None:
    deadline_s = time.monotonic() + READY_WITHIN_S
    while (found := look()) != wanted:
        assert time.monotonic() < deadline_s, found
        time.sleep(0.2)


def test_a_file_of_stock_is_applied_but_for_its_bad_rows(running: Up) -> None:
    (running.directory / "stock.csv").write_text(
        "seller,sku,quantity\nSELLER-12,A,1\nSELLER-12,B,many\nSELLER-12,C,3\n"
    )

    said = orderflow("stock", "set", "--from-file", "stock.csv", cwd=running.directory)

    assert said.returncode == 2
    assert said.stdout == "accepted 2 of 3 rows\n"
    assert said.stderr.startswith("stock.csv:3: quantity: has to be a whole number from 0 to")


def test_topics_finds_them_all_as_they_have_to_be(running: Up) -> None:
    said = orderflow("topics", "--check", "--json", cwd=running.directory)

    assert said.returncode == 0
    assert {topic["partitions"] for topic in json.loads(said.stdout)["topics"]} == {4}


def test_a_second_one_in_the_same_directory_is_refused(running: Up) -> None:
    said = orderflow("up", cwd=running.directory)

    assert said.returncode == 3
    assert "orderflow up: .orderflow is in use by another process" in said.stderr


def test_sigterm_ends_everything_in_time_and_what_was_stored_is_there_again(
    tmp_path: Path,
) -> None:
    with up(tmp_path, "--partitions", "2") as first:
        first.wait_until_said("Ready after")
        real = first.said.startswith("Apache Kafka")
        started = children(first.process.pid)
        began_s = time.monotonic()
        first.process.send_signal(signal.SIGTERM)
        code = first.process.wait(timeout=60)
        took_s = time.monotonic() - began_s

    assert code == 0
    assert first.said.endswith("Ended.\n")
    assert len(started) == 2 + len(EVERYTHING)
    assert [pid for pid in started if not gone(pid, within_s=0)] == []
    assert took_s < ENDS_WITHIN_S
    assert not (tmp_path / ".orderflow" / "addresses").exists()

    with up(tmp_path, "--partitions", "2") as second:
        second.wait_until_said("Ready after")
        assert f"{0 if real else 12} of them new" in second.said


@pytest.mark.real_kafka  # the embedded one keeps nothing
def test_p1_with_the_servers_alone_what_up_has_stored_is_reconciled_and_rebuilt(
    tmp_path: Path,
) -> None:
    with up(tmp_path, "--partitions", "2") as first:
        first.wait_until_said("Ready after")
        orderflow("stock", "set", "SELLER-11", "LAMP/RED 40W", "7", cwd=tmp_path)
        refused = orderflow("reconcile", "inventory", cwd=tmp_path)
        first.process.send_signal(signal.SIGTERM)
        first.process.wait(timeout=60)
    assert refused.returncode == 3
    assert "`orderflow up --servers-only` starts none" in refused.stderr

    with up(tmp_path, "--partitions", "2", "--servers-only") as servers:
        servers.wait_until_said("Ready after")
        assert len(children(servers.process.pid)) == 2
        recounted = orderflow("reconcile", cwd=tmp_path)
        rebuilt = orderflow("rebuild", "inventory", cwd=tmp_path)

    assert (recounted.returncode, recounted.stdout) == (0, "Redis holds what the facts say\n")
    assert rebuilt.returncode == 0, rebuilt.stderr
    assert rebuilt.stdout.startswith("inventory: 2 partitions are up to their journal")


def test_sigterm_while_it_starts_ends_everything(tmp_path: Path) -> None:
    with up(tmp_path, env=NO_PROGRAMS) as starting:
        starting.wait_until_said("Starting inventory")
        started = children(starting.process.pid)
        starting.process.send_signal(signal.SIGTERM)
        code = starting.process.wait(timeout=ENDS_WITHIN_S)

    assert code == 0
    assert [pid for pid in started if not gone(pid, within_s=0)] == []


def test_a_service_that_dies_is_named_and_everything_ends_with_exit_code_1(
    tmp_path: Path,
) -> None:
    with up(tmp_path, env=NO_PROGRAMS) as started:
        started.wait_until_said("Ready after")
        processes = children(started.process.pid)
        (payment,) = [pid for pid in processes if b"payment" in command_of(pid)]
        os.kill(payment, signal.SIGKILL)
        code = started.process.wait(timeout=2 * ENDS_WITHIN_S)

    assert code == 1
    assert "orderflow up: payment was killed by SIGKILL. Last lines of " in started.said
    assert '"serving health"' in started.said
    assert [pid for pid in processes if not gone(pid, within_s=0)] == []


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="only Linux tells children")
def test_kill_9_of_up_leaves_no_child_wherever_the_user_stands(tmp_path: Path) -> None:
    (tmp_path / "services").mkdir()
    (tmp_path / "services" / "__init__.py").touch()
    with up(tmp_path, env=NO_PROGRAMS) as started:
        started.wait_until_said("Ready after")
        processes = children(started.process.pid)
        assert len(processes) == 2 + len(EVERYTHING)
        started.process.kill()

        assert [pid for pid in processes if not gone(pid, within_s=5)] == []


def command_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


# -- refusals: what is missing, and what to do -----------------------------------------------------


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    directory = tmp_path_factory.mktemp("embedded")
    server = choose_kafka(directory, directory / "log", path="nothing")
    server.start()
    yield server
    server.stop()


def test_up_without_a_redis_says_what_to_do(embedded: KafkaServer, tmp_path: Path) -> None:
    env = {
        "KAFKA_BOOTSTRAP_SERVERS": embedded.bootstrap_servers,
        "REDIS_URL": "redis://127.0.0.1:1",
    }

    said = orderflow("up", cwd=tmp_path, env=env)

    assert said.returncode == 3
    assert "ended with exit code 3" in said.stderr
    assert "Redis is not available" in said.stderr
    assert "Start it, as `orderflow up` does, or set KAFKA_BOOTSTRAP_SERVERS" in said.stderr


@pytest.mark.parametrize(
    ("topics", "message"),
    [
        ({}, "has no topic dead-letters, deadlines.events, fulfillment.events, payment.events"),
        (
            {
                "dead-letters": 2,
                "deadlines.events": 2,
                "fulfillment.events": 3,
                "payment.events": 2,
            },
            "same number of partitions, but dead-letters has 2, deadlines.events has 2, fulfil",
        ),
    ],
)
def test_a_service_refuses_topics_that_are_not_as_they_have_to_be(
    tmp_path: Path, topics: dict[str, int], message: str
) -> None:
    server = choose_kafka(tmp_path, tmp_path / "log", path="nothing")
    server.start()
    try:
        for name, partitions in topics.items():
            made = create_topics(
                server.bootstrap_servers, {name: topic_settings(None)}, partitions, 1
            )
            assert asyncio.run(made) == {}
        env = {"KAFKA_BOOTSTRAP_SERVERS": server.bootstrap_servers}

        said = orderflow("run", "deadlines", cwd=tmp_path, env=env)
    finally:
        server.stop()

    assert said.returncode == 3
    assert message in said.stderr
    assert "`orderflow topics`" in said.stderr
