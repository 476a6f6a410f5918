"""Kafka and Redis behind TLS and passwords, each service with the rights that we say it needs."""

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from aiokafka.errors import TopicAuthorizationFailedError

from services.cli.child_process import Processes
from services.cli.kafka_server import ApacheKafka, KafkaServer
from services.cli.producer import Producer
from services.cli.server import HOST, free_port
from services.cli.system import EVERYTHING, PAGES, _command
from services.cli.topics import check_topics, make_topics
from services.dashboard.accounts import Accounts
from services.dashboard.web.access import way_in
from services.dashboard.web.app import SERVICES
from services.dashboard.web.desk import KafkaDesk
from services.dashboard.web.kafka_look import READABLE, KafkaLook
from shared.clock import Timeline
from shared.errors import TransientError
from shared.events.envelope import Event, Fact, Topic
from shared.events.fields import Address, Money
from shared.events.fulfillment import FULFILLMENT_EVENTS, OrderUnshipped
from shared.events.gateway import PAYMENTS, PaymentAuthorized
from shared.events.inventory import STOCK_LEVELS, StockLevelChanged
from shared.events.seller import SHIPMENTS, SellerCanceled
from shared.events.storefront import ORDERS, Buyer, OrderItem, OrderPlaced
from shared.events.warehouse import STOCK, StockSet
from shared.kafka import DEAD_LETTERS, Cluster, group_of, group_offsets, producer_of, servers_of
from shared.log_reader import LogReader, open_reader
from shared.redis import connect
from shared.settings import Settings
from tests.support.secured import (
    ADMIN,
    PASSWORD,
    Certificate,
    SecuredKafka,
    SecuredRedis,
    grant,
    kafka_rights,
)

pytestmark = pytest.mark.real_kafka

PARTITIONS = 1
WITHIN_S = 60.0
"""For all services to start and carry an order: 5 s on an idle machine."""
POLL_S = 0.1
PRICE = Money(amount_minor=3990, currency="EUR")
KEYS_OF = {PAGES: "dashboard"}
"""Whose keys in Redis a process works with that has none of its own."""


@dataclass
class Secured:
    """Both servers, topics made and rights given."""

    kafka: SecuredKafka
    redis: SecuredRedis
    certificate: Certificate

    def settings(self, user: str, password: str = PASSWORD) -> Settings:
        return Settings.load(
            kafka_bootstrap_servers=self.kafka.bootstrap_servers,
            kafka_security_protocol="SASL_SSL",
            kafka_ca_file=self.certificate.ca,
            kafka_username=user,
            kafka_password=password,
        )

    def as_(self, user: str, password: str = PASSWORD) -> Cluster:
        found = servers_of(self.settings(user, password))
        assert isinstance(found, Cluster)
        return found


@pytest.fixture(scope="module")
def secured(
    chosen_kafka: KafkaServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Secured]:
    redis_server = shutil.which("redis-server")
    if redis_server is None or shutil.which("openssl") is None:
        pytest.skip("needs redis-server with TLS, and openssl")
    assert isinstance(chosen_kafka, ApacheKafka)
    directory = tmp_path_factory.mktemp("secured")
    certificate = Certificate(directory)
    users = [ADMIN, *EVERYTHING]
    kafka = SecuredKafka(chosen_kafka, certificate, users, directory)
    redis_ = SecuredRedis(redis_server, certificate, directory)
    try:
        redis_.start()
        kafka.start()
        found = Secured(kafka, redis_, certificate)
        asyncio.run(make_topics(found.as_(ADMIN), PARTITIONS))
        rights = [right for service in EVERYTHING for right in kafka_rights(service)]
        grant(kafka.bootstrap_servers, certificate, rights)
        yield found
    finally:
        kafka.stop()
        redis_.stop()


def placed(now: datetime) -> OrderPlaced:
    return OrderPlaced(
        order_id="ORDER-1",
        seller_id="SELLER-1",
        marketplace_id="A1PA6795UKMFR9",
        buyer=Buyer(buyer_id="BUYER-1"),
        purchase_date=now - timedelta(minutes=31),
        ship_address=Address(name="B", address_line_1="1", city="C", country_code="DE"),
        items=(OrderItem(order_item_id="1", sku="KETTLE", quantity=1, item_price=PRICE),),
        payment_method_ref="card-1",
        order_total=PRICE,
    )


def test_services_with_tls_and_their_own_rights_alone_carry_an_order_and_show_it(
    secured: Secured, tmp_path: Path
) -> None:
    port = free_port()
    with Processes(tmp_path) as processes:
        for service in EVERYTHING:
            secrets = tmp_path / f"secrets-of-{service}"
            secrets.mkdir()
            (secrets / "redis_url").write_text(secured.redis.url_of(KEYS_OF.get(service, service)))
            (secrets / "kafka_username").write_text(service)
            (secrets / "kafka_password").write_text(PASSWORD)
            told = {
                "SECRETS_DIR": str(secrets),
                "KAFKA_BOOTSTRAP_SERVERS": secured.kafka.bootstrap_servers,
                "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
                "KAFKA_CA_FILE": str(secured.certificate.ca),
                "DASHBOARD_PORT": str(port),
            }
            processes.start(service, _command(service), told)

        asyncio.run(carried(secured.as_(ADMIN), processes))
        asyncio.run(shown(secured, port, processes))


async def carried(cluster: Cluster, processes: Processes) -> None:
    """Count stock, place and pay an order of it, and wait until it is Unshipped."""
    now = datetime.now(UTC)
    counted = StockSet(seller_id="SELLER-1", sku="KETTLE", on_hand=1)
    paid = PaymentAuthorized(payment_id="PAY-1", amount=PRICE)
    async with (
        asyncio.timeout(WITHIN_S),
        Producer(cluster, "shop") as producer,
        open_reader(cluster, PARTITIONS) as reader,
    ):
        await producer.send(STOCK, counted, subject="SELLER-1/KETTLE", time=now)
        await said(reader, STOCK_LEVELS, StockLevelChanged, processes)
        await producer.send(ORDERS, placed(now), subject="ORDER-1", time=now)
        await producer.send(PAYMENTS, paid, subject="ORDER-1", time=now)
        await said(reader, FULFILLMENT_EVENTS, OrderUnshipped, processes)


async def shown(secured: Secured, port: int, processes: Processes) -> None:
    """Sign in to the dashboard, and wait until its list has the order."""
    redis_ = connect(secured.redis.url_of("dashboard"))
    link = way_in(await Accounts(redis_).invite("anna", "viewer"))
    await redis_.aclose()
    async with (
        asyncio.timeout(WITHIN_S),
        httpx.AsyncClient(base_url=f"http://{HOST}:{port}", follow_redirects=True) as browser,
    ):
        page = ""
        while "ORDER-1" not in page:
            assert processes.ended() == ()
            with suppress(httpx.TransportError):  # it starts
                page = (await browser.get("/orders")).text
                if "/sign-in" in page:
                    await browser.post(link, data={"password": ""})
            await asyncio.sleep(POLL_S)


async def said(reader: LogReader, topic: Topic, fact: type[Fact], processes: Processes) -> None:
    """Wait until a service says it, while all run."""
    types: list[str] = []
    while fact.TYPE not in types:
        assert processes.ended() == ()
        ends = await reader.ends([topic.name])
        types = [
            Event[Fact].model_validate_json(record.value or b"").type
            async for record in reader.records([topic.name], 0, ends)
        ]
        await asyncio.sleep(POLL_S)


def test_a_service_is_refused_on_what_is_not_its_own(secured: Secured) -> None:
    with pytest.raises(TopicAuthorizationFailedError):
        asyncio.run(say(secured.as_("inventory"), FULFILLMENT_EVENTS.name))
    asyncio.run(say(secured.as_("fulfillment"), FULFILLMENT_EVENTS.name))

    with redis.Redis.from_url(secured.redis.url_of("inventory")) as client:
        client.set("{stock:SELLER-9}:levels", "its own")
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.get("{payment:0}:meta")
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.flushall()


class NoClock:
    """For who asks Kafka nothing that has to do with time."""

    timeline = Timeline()

    def now_ms(self) -> int:
        raise AssertionError

    wall_ms = now_ms


@pytest.mark.asyncio
async def test_the_pages_read_all_and_tell_what_operators_do_with_their_rights_alone(
    secured: Secured,
) -> None:
    cluster = secured.as_(PAGES)
    desk, look = KafkaDesk(cluster, PARTITIONS), KafkaLook(cluster, PARTITIONS, (), NoClock())
    gone = SellerCanceled(seller_id="SELLER-1", reason_code="NoInventory")
    about: dict[str, Any] = {
        "source": "dashboard/anna",
        "subject": "ORDER-2",
        "time": datetime.now(UTC),
    }
    try:
        await desk.say(SHIPMENTS, gone, id_="E-1", **about)
        with pytest.raises(TransientError, match="Authorization"):
            await desk.say(Topic(name=DEAD_LETTERS, facts=()), gone, id_="E-2", **about)
        found = {topic: await look.record(topic, 0, 0) for topic in READABLE}
        for service in SERVICES:
            await group_offsets(cluster, group_of(service), READABLE, PARTITIONS)
        with pytest.raises(TransientError, match="Authorization"):
            await group_offsets(cluster, "of-somebody-else", READABLE, PARTITIONS)
    finally:
        await desk.close()
        await look.close()

    assert found[SHIPMENTS.name] is not None


async def say(cluster: Cluster, topic: str) -> None:
    async with producer_of(cluster) as producer:
        await producer.send_and_wait(topic, b"{}")


@pytest.mark.parametrize(("user", "password"), [(ADMIN, "guessed"), ("nobody", PASSWORD)])
def test_a_wrong_password_lets_nobody_in(secured: Secured, user: str, password: str) -> None:
    with pytest.raises(TransientError, match="is not available") as refused:
        asyncio.run(check_topics(secured.as_(user, password), PARTITIONS))
    assert password not in str(refused.value)


def test_a_certificate_of_somebody_else_is_not_believed(secured: Secured, tmp_path: Path) -> None:
    other = Secured(secured.kafka, secured.redis, Certificate(tmp_path))

    with pytest.raises(TransientError, match="is not available"):
        asyncio.run(check_topics(other.as_(ADMIN), PARTITIONS))


def test_redis_takes_the_old_and_the_new_password_until_the_old_is_ended(
    secured: Secured,
) -> None:
    old = secured.redis.url_of("deadlines")
    new = old.replace(PASSWORD, "newer")
    admin = redis.Redis.from_url(secured.redis.redis_url)

    admin.acl_setuser("deadlines", enabled=True, passwords=["+newer"])
    assert all(redis.Redis.from_url(url).ping() for url in (old, new))
    admin.acl_setuser("deadlines", enabled=True, passwords=[f"-{PASSWORD}"])

    assert redis.Redis.from_url(new).ping()
    with pytest.raises(redis.exceptions.AuthenticationError):
        redis.Redis.from_url(old).ping()
