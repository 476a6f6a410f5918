"""An upgrade without stopping: this release and the next one beside each other, there and back.

The next one is made of the files of this one. It has what a compatible release may add: in facts,
in what an order remembers and in the policy that it keeps.
"""

import asyncio
import re
import shutil
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.cli.child_process import Processes, stop_all
from services.cli.run import ORDER_SERVICES
from services.cli.server import free_port
from services.cli.system import System
from shared.events.fulfillment import FULFILLMENT_EVENTS, OrderUnshipped
from tests.support.compose import CHECKOUT
from tests.support.market import Market
from tests.support.toy_world import until

OPENING = datetime(2028, 2, 29, 20, 11, 46, 113_000, UTC)
"""On the day that a year has seldom."""
PARTITIONS = 4
BOTH_HOLD_WITHIN_S = 60.0
"""For two releases to share the partitions: 1 s on an idle machine."""
ENDS_WITHIN_S = 10.0
POLL_S = 0.05

UNSHIPPED = OrderUnshipped.TYPE
NOTE = '    gift_note: str | None = "from the next release"\n'
ADDED = {
    "shared/events/fulfillment.py": [
        (r'    TYPE: ClassVar\[str\] = "order.unshipped.v1"\n', NOTE),
        (r'class Order\(State\):\n    """.*?"""\n', NOTE),
    ],
    "shared/events/payment.py": [(r'    TYPE: ClassVar\[str\] = "payment.approved.v1"\n', NOTE)],
    "shared/policy.py": [(r"    return_window_days: Days = 30\n", "    gift_days: Days = 7\n")],
    "deploy/policies/default.yaml": [(r"^return_window_days:.*?\n", "gift_days: 9\n")],
}
"""What stands behind each place in the next release."""

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(240),
    pytest.mark.real_kafka,  # a rebalance of the embedded one takes a session, and there are eight
]


@pytest.fixture(scope="module")
def next_release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where it lies."""
    place = tmp_path_factory.mktemp("next")
    for part in ("services", "shared", "deploy/policies"):
        left_out = shutil.ignore_patterns("__pycache__", "node_modules")
        shutil.copytree(CHECKOUT / part, place / part, ignore=left_out)
    for file, additions in ADDED.items():
        text = (place / file).read_text()
        for behind, added in additions:
            text, times = re.subn(behind, rf"\g<0>{added}", text, flags=re.DOTALL | re.MULTILINE)
            assert times == 1, behind
        (place / file).write_text(text)
    return place


async def test_p1_to_p6_two_releases_carry_orders_beside_each_other_there_and_back(
    market: Market, running: System, next_release: Path, tmp_path: Path
) -> None:
    async def released() -> bool:
        return (await notes(market))[UNSHIPPED, True] > 0

    ports = {str(name): free_port() for name in ORDER_SERVICES}
    this = [running.processes[name] for name in ORDER_SERVICES]
    with Processes(tmp_path) as processes:
        upgraded = System(running.settings, running.servers, processes, ports)
        async with market.trade():
            await market.orders_come(15)
            for name in ORDER_SERVICES:
                env = {
                    "PYTHONPATH": str(next_release),
                    "KAFKA_BOOTSTRAP_SERVERS": running.settings.kafka_bootstrap_servers,
                    "REDIS_URL": running.settings.redis_url,
                    "HEALTH_PORT": str(ports[name]),
                }
                processes.start(name, running.processes[name].argv, env)
            await both_hold(running, upgraded)
            await market.orders_come(15)
            await asyncio.to_thread(stop_all, this, ENDS_WITHIN_S)
            assert [end.exit_code for process in this if (end := process.ended())] == [0] * 4
            await market.orders_come(15)
            await until(released, "the next release has released an order")
            for process in this:
                process.start()
            await both_hold(running, upgraded)
            assert processes.ended() == ()
            await asyncio.to_thread(processes.stop, ENDS_WITHIN_S)
            await market.orders_come(15)
        books = await market.end()

    assert market.wrong() == []
    assert market.papers.doubled == []
    assert market.papers.letters == []
    assert books.violations == ()
    assert books.unchecked == ()
    assert running.ended() == ()
    said = await notes(market)
    assert min(said[UNSHIPPED, True], said[UNSHIPPED, False]) > 0


async def both_hold(*systems: System) -> None:
    """Wait until each process of both has half of the partitions open."""
    async with asyncio.timeout(BOTH_HOLD_WITHIN_S):
        for system_ in systems:
            for name in ORDER_SERVICES:
                open_ = 0
                while open_ != PARTITIONS // 2:
                    await asyncio.sleep(POLL_S)
                    health = await asyncio.to_thread(system_.health, name) or {"partitions": {}}
                    open_ = list(health["partitions"].values()).count("open")


async def notes(market: Market) -> Counter[tuple[str, bool]]:
    """How many facts of each type were published with the next release's note, and without."""
    reader, topics = market.observer.reader, [FULFILLMENT_EVENTS.name]
    ends = await reader.ends(topics)
    found: Counter[tuple[str, bool]] = Counter()
    for partition in range(PARTITIONS):
        async for record in reader.records(topics, partition, ends):
            value = record.value or b""
            (type_,) = re.findall(rb'"type":"([^"]+)"', value)[:1]
            found[type_.decode(), b"gift_note" in value] += 1
    return found
