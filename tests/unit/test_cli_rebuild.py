"""What `orderflow rebuild` makes anew beside documents: the calls that have no final answer."""

import pytest
from pydantic_core import from_json

from services.cli.rebuild import built
from services.cli.run import ServiceName
from services.simulator.fate import Allowed, Fate
from services.simulator.memory_redis import MemoryRedis, connect_to
from services.simulator.network import Server
from services.simulator.scripts import TWINS
from services.simulator.topics import MemoryLog, Topics, encoded
from shared.batch import Desk
from shared.clock import BusinessClock, to_ms
from shared.decode import Decoder
from shared.errors import TransientError
from shared.events.envelope import encode
from shared.events.payment import PAYMENT_EVENTS, VerificationStarted
from shared.marks import Mark, mark_headers, part_headers
from shared.opening import Opened, Opening
from shared.partition import no_step
from shared.partition_store import PartitionStore
from shared.policy import Policies
from shared.settings import Settings
from tests.support.payments import ORDER, PURCHASED, TOTAL, WINDOW_END

URL, TOKEN = "http://127.0.0.1:1", "sk-4711"


async def rebuilt(settings: Settings) -> Opened:
    """Payment's only partition, of a journal that says that an order's payment is awaited."""
    service = built(ServiceName.PAYMENT, settings)
    fate = Fate(1, Allowed(kinds=()))
    topics = Topics(1, lambda: to_ms(PURCHASED))
    redis = connect_to(
        MemoryRedis(lambda: to_ms(PURCHASED), TWINS), Server("Redis", fate, TransientError)
    )
    started = VerificationStarted(amount=TOTAL, ends=WINDOW_END)
    value = encode(started, id_="asked", source="payment", subject=ORDER, time=PURCHASED, version=1)
    mark = Mark("payment", 0, "claim", 1, {})
    headers = encoded(mark_headers(mark) | part_headers(mark, 0, [[]]))
    topics.append(PAYMENT_EVENTS.name, 0, ORDER.encode(), value, headers)
    opening = Opening(
        Desk(service, Policies(), 0, 1),
        Decoder("payment", service.reads, 1),
        PartitionStore(redis, "payment", 0),
        MemoryLog(topics, Server("Kafka", fate, TransientError)),
        BusinessClock(redis),
        no_step,
        rebuild=True,
    )
    return await opening.open("token")


@pytest.mark.asyncio
async def test_r7_what_the_provider_was_asked_and_did_not_answer_is_asked_again() -> None:
    asked = await rebuilt(Settings.load(payment_provider_url=URL, payment_provider_token=TOKEN))
    of_a_gateway = await rebuilt(Settings.load())

    assert [from_json(call)["id"] for call in asked.calls] == ["asked"]
    assert of_a_gateway.calls == [], "it reads the requests itself"
