"""P6: what is no event is kept byte for byte, with where it came from and why, and stops nobody."""

import asyncio
import random
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from pydantic_core import from_json

from services.cli.kafka_server import KafkaServer, LocalKafka
from services.cli.redis_server import RedisServer
from shared import kafka
from shared.dead_letters import read_letter
from shared.decode import REROUTED_HEADER, partition_of
from tests.support import other_clients
from tests.support.poison import POISON, good
from tests.support.toy_story import SUBJECT
from tests.support.toy_world import PARTITIONS, World

pytestmark = pytest.mark.asyncio

HERE = partition_of(SUBJECT, PARTITIONS)
ODD_NAME = "tr\udcffce"
"""A header's name with a byte that no UTF-8 has."""


@pytest.fixture
def world(kafka: KafkaServer, redis_server: RedisServer, tmp_path: Path) -> World:
    return World(kafka.bootstrap_servers, redis_server.redis_url, tmp_path)


async def test_p6_the_whole_poison_list_is_kept_byte_for_byte_and_its_neighbours_go_on(
    world: World,
) -> None:
    async with world.opened(), world.worker() as worker:
        offsets = {}
        for poison in POISON:
            _, _, _, _, key, value, headers = poison.record
            await world.add(SUBJECT)
            ack = await world.produce(world.topics.left.name, key, value, HERE, headers)
            offsets[poison.name] = (await ack).offset
        await world.add(SUBJECT)
        await world.rest()

        letters = await world.dead_letters()
        assert len(letters) == len(POISON), "each is kept once, at the first try"
        assert worker.totals()["dead_letters"] == len(POISON)
        assert worker.totals()["failed"] == 0

        by_offset = {read_letter(letter).offset: letter for letter in letters}
        for poison in POISON:
            letter = by_offset[offsets[poison.name]]
            kept = read_letter(letter)
            assert letter.partition == HERE
            assert (kept.key, kept.value) == (poison.record.key, poison.record.value), poison.name
            assert kept.headers == poison.record.headers, poison.name
            assert (kept.topic, kept.partition) == (world.topics.left.name, HERE)
            assert kept.reason == poison.reason, poison.name
            said = dict(letter.headers)
            assert said["deadletter-field"].decode() == poison.field
            assert said["deadletter-detail"]
            assert int(said["deadletter-timestamp-ms"]) == kept.timestamp_ms > 0

        world.bombs = {read_letter(letter).origin for letter in letters}
        await world.books()


async def test_p6_a_decision_that_fails_is_kept_with_its_traceback(world: World) -> None:
    async with world.opened(), world.worker():
        await world.add(SUBJECT)
        await world.bomb(SUBJECT)
        await world.add(SUBJECT)
        await world.rest()

        (letter,) = await world.dead_letters()
        said = dict(letter.headers)
        assert said["deadletter-reason"] == b"decision_failed"
        assert said["deadletter-detail"].rstrip().endswith(b"RuntimeError: boom")
        assert b'"type":"toy.bomb.v1"' in (letter.value or b"")
        await world.books()


async def test_p6_a_record_with_its_headers_at_kafkas_limit_is_kept(world: World) -> None:
    """Many small headers grow most when they are written as text."""
    async with world.opened(), world.worker():
        headers = [("", None)] * 200_000
        await (await world.produce(world.topics.left.name, None, b"{", HERE, headers))
        await world.add(SUBJECT)
        await world.rest()

        (letter,) = await world.dead_letters()
        assert list(read_letter(letter).headers) == headers
        world.bombs = {read_letter(letter).origin}
        await world.books()


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_p6_what_a_producer_compresses_is_unpacked_and_kept_however_large_it_gets(
    world: World, codec: str
) -> None:
    async with world.opened(), world.worker():
        producer = AIOKafkaProducer(
            bootstrap_servers=world.bootstrap_servers,
            compression_type=codec,
            max_request_size=8 * 2**20,
        )
        await producer.start()
        await producer.send_and_wait(
            world.topics.left.name, b"0" * 3 * 2**20, key=b"huge", partition=HERE
        )
        await producer.stop()
        await world.add(SUBJECT)
        await world.rest()

        (letter,) = await world.dead_letters()
        assert read_letter(letter).reason == "too_large"
        assert letter.value == b"0" * 3 * 2**20
        world.bombs = {read_letter(letter).origin}
        await world.books()


async def test_p6_what_only_a_wide_window_packs_is_kept_byte_for_byte(world: World) -> None:
    """Gzip looks back over 32 KB: packed with it, this would be 14 MB."""
    async with world.opened(), world.worker():
        huge = good("huge")._replace(value=random.Random(1).randbytes(700_000) * 20)
        await other_clients.produce_as_one(
            world.bootstrap_servers, world.topics.left.name, HERE, [huge], other_clients.ZSTD
        )
        await world.add(SUBJECT)
        await world.rest()

        (letter,) = await world.dead_letters()
        assert letter.value == huge.value
        assert not read_letter(letter).truncated
        world.bombs = {read_letter(letter).origin}
        await world.books()


@pytest.mark.real_kafka
async def test_p6_what_no_dead_letter_can_hold_is_cut_and_says_so_and_its_neighbours_go_on(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    async with world.opened(), world.worker():
        far_apart = (random.Random(1).randbytes(900_000) + bytes(4 * 2**20)) * 4
        odd, small = (("née", b"\xff"), ("null", None)), good("small")
        huge = good("huge")._replace(value=far_apart, headers=odd)
        await world.produce(world.topics.left.name, small.key, b"[", HERE)
        await world.rest()
        await other_clients.produce_as_one(
            world.bootstrap_servers, world.topics.left.name, HERE, [huge], other_clients.ZSTD
        )
        await world.produce(world.topics.left.name, small.key, b"{}", HERE)
        await world.add(SUBJECT)
        await world.rest()

        kept = {len(r.value or b""): r for r in await world.dead_letters()}
        assert len(kept) == 3
        assert (kept[1].value, kept[2].value) == (b"[", b"{}"), "the others are as they came"
        cut = kept[max(kept)]
        assert len(cut.value or b"") > 10**6
        assert far_apart.startswith(cut.value or b"")
        letter = read_letter(cut)
        assert (letter.key, letter.headers, letter.truncated) == (huge.key, odd, True)
        assert letter.reason == "too_large"
        whole = from_json(dict(cut.headers)["deadletter-truncated"])
        assert whole == {"headers": 2, "key": len(SUBJECT), "value": len(far_apart)}
        assert "a dead letter is cut" in capsys.readouterr().out
        world.bombs = {read_letter(r).origin for r in kept.values()}
        await world.books()


@pytest.mark.parametrize("codec", [other_clients.PLAIN, other_clients.GZIP])
async def test_p6_a_header_name_that_is_not_utf8_is_kept_and_its_neighbours_go_on(
    world: World, codec: int
) -> None:
    async with world.opened(), world.worker() as worker:
        odd = good("odd")._replace(headers=(("fine", b"1"), (ODD_NAME, b"\xff"), ("née", None)))
        batch = [good("before"), odd, good("between"), odd, good("after")]
        first = await other_clients.produce_as_one(
            world.bootstrap_servers, world.topics.left.name, HERE, batch, codec
        )
        world.sums[SUBJECT] += 3
        world.counts[SUBJECT] += 3
        await world.add(SUBJECT)
        await world.rest()

        letters = await world.dead_letters()
        kept = [read_letter(letter) for letter in letters]
        assert sorted(letter.offset for letter in kept) == [first + 1, first + 3]
        for letter in kept:
            assert (letter.key, letter.value, letter.headers) == (odd.key, odd.value, odd.headers)
            assert letter.reason == "not_utf8"
        said = dict(letters[0].headers)
        assert said["deadletter-field"] == b"headers"
        assert said["deadletter-detail"].endswith(rb": tr\xffce")
        assert worker.totals()["redelivered"] == 0, "no record is read twice"
        world.bombs = {letter.origin for letter in kept}
        await world.books()


async def test_p6_a_header_name_that_is_not_utf8_in_its_journal_keeps_no_partition_closed(
    world: World,
) -> None:
    async with world.opened():
        async with world.worker():
            await world.add(SUBJECT)
            await world.rest()
        odd = good("odd")._replace(headers=((ODD_NAME, None),))
        await other_clients.produce_as_one(
            world.bootstrap_servers, world.topics.events.name, HERE, [odd]
        )
        async with world.worker() as worker:
            await world.add(SUBJECT)
            await world.rest(within_s=20)
            assert worker.totals()["commits"]


async def test_p6_what_another_partitioner_sent_astray_is_sent_on_once_and_applied(
    world: World,
) -> None:
    async with world.opened(), world.worker() as worker:
        astray = (HERE + 1) % PARTITIONS
        good = POISON[0].record._replace(value=None)
        await world.add(SUBJECT)
        (sent,) = list(await world.read(world.topics.left.name))
        value = (sent.value or b"").replace(b'"id-0"', b'"astray"')
        odd = [("trace", b"\xff\x00"), ("trace", b"again"), ("null", None)]
        again = [(REROUTED_HEADER, b"%d" % sent.timestamp)]
        for headers in (odd, again):
            await (await world.produce(world.topics.left.name, good.key, value, astray, headers))
        await world.rest()
        await world.rest()  # now with what was sent on

        assert worker.totals()["rerouted"] == 1
        came, sent_on = sorted(
            (r for r in await world.read(world.topics.left.name) if r.headers[:3] == (*odd,)),
            key=lambda record: len(record.headers),
        )
        assert sent_on.value == came.value
        assert sent_on.headers[3:] == ((REROUTED_HEADER, b"%d" % came.timestamp),)
        (letter,) = await world.dead_letters()
        assert read_letter(letter).reason == "misrouted_twice"
        assert (await world.document(SUBJECT)).state.count == 2  # type: ignore[union-attr]


@pytest.mark.real_kafka
async def test_p6_while_the_dead_letter_topic_is_away_nothing_passes_and_nothing_is_lost(
    kafka_of_its_own: LocalKafka, redis_server: RedisServer, tmp_path: Path
) -> None:
    world = World(kafka_of_its_own.bootstrap_servers, redis_server.redis_url, tmp_path)
    async with world.opened(), world.worker() as worker:
        await world.add(*(world.subject(p) for p in range(PARTITIONS)))
        await world.rest()
        admin = AIOKafkaAdminClient(bootstrap_servers=world.bootstrap_servers)
        await admin.start()
        await admin.delete_topics([kafka.DEAD_LETTERS])
        await admin.close()

        before = (await world.stored())[HERE]
        await world.bomb(SUBJECT)
        await world.add(SUBJECT)
        await world.add(world.subject((HERE + 1) % PARTITIONS))
        await asyncio.sleep(6)
        assert (await world.stored())[HERE].positions == before.positions

        await world.make_topics()
        await world.rest()
        assert worker.totals()["dead_letters"] >= 1
        await world.books()
