"""What a Redis has to do for our stores: one suite, for the real one and for the one in memory."""

from dataclasses import replace
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from services.deadlines.store import Entry, ledger_key, read_heads, read_ledger, rearm, ttl_key
from shared.batch import Outgoing
from shared.clock import BusinessClock, Timeline, from_ms, to_ms
from shared.documents import Op
from shared.errors import TransientError
from shared.partition_store import Commit, PartitionStore, Reached, positions_of
from shared.redis import Pipeline, in_run
from tests.support.stock import Stock, adjusted, counted

FACTS = [
    Outgoing("notices", 1, b"250-1", b'{"n":1}\nand more'),
    Outgoing("journal", 0, b"250-1", b""),
]
DUE_MS = 1_767_225_600_123


def commit(number: int = 1, *ops: Op, outbox: list[Outgoing] | None = None) -> Commit:
    return Commit(
        number=number,
        claim="claim",
        journal=7,
        positions={"orders": 4},
        outbox=outbox or [],
        ops=ops,
    )


class RedisBehaviour:
    """Inherit it with a fixture `redis`, a client; names are new in every test."""

    @pytest.fixture
    def name(self) -> str:
        return f"toy{uuid4().hex[:8]}"

    @pytest.fixture
    def store(self, redis: Redis, name: str) -> PartitionStore:
        return PartitionStore(redis, name, 0)

    async def test_a_partition_that_nobody_had_is_empty(self, store: PartitionStore) -> None:
        claimed = await store.claim("first:0")

        assert (claimed.commit_number, claimed.journal) == (0, None)
        assert (claimed.positions, claimed.outbox) == ({}, [])

    async def test_p3_only_the_last_to_claim_commits_and_each_commit_once(
        self, store: PartitionStore
    ) -> None:
        await store.claim("first:0")
        await store.claim("second:0")

        assert not await store.commit("first:0", "first:1", commit())
        assert not await store.settle("first:0", "first:0:settled", journal=5)
        assert await store.commit("second:0", "second:1", commit())
        assert not await store.commit("second:0", "second:1", commit())

    async def test_a_commit_is_what_the_next_to_claim_finds(self, store: PartitionStore) -> None:
        await store.claim("first:0")
        await store.commit("first:0", "first:1", commit(3, outbox=FACTS))

        claimed = await store.claim("second:0")

        assert (claimed.commit_number, claimed.journal) == (3, 7)
        assert claimed.positions == {"orders": 4}
        assert claimed.outbox == FACTS

    async def test_a_settled_outbox_is_empty_and_its_journal_known(
        self, store: PartitionStore
    ) -> None:
        await store.claim("first:0")
        await store.commit("first:0", "first:1", commit(outbox=FACTS))
        assert await store.settle("first:1", "first:1:settled", journal=19)
        assert not await store.settle("first:1", "first:1:settled", journal=19)

        claimed = await store.claim("second:0")

        assert (claimed.journal, claimed.outbox) == (19, [])

    async def test_calls_are_pending_until_they_are_answered(self, store: PartitionStore) -> None:
        asked = FACTS[0]._replace(call="call-1"), FACTS[1]._replace(call="call-2")
        await store.claim("t:0")
        await store.commit("t:0", "t:1", commit(1, outbox=list(asked)))
        first = await store.claim("u:0")
        answered = replace(commit(2), answered=("call-1",))
        await store.commit("u:0", "u:1", answered)

        assert list(first.calls) == [FACTS[0].value, FACTS[1].value]
        assert list((await store.claim("v:0")).calls) == [FACTS[1].value]

    async def test_a_refused_commit_leaves_no_trace(
        self, redis: Redis, store: PartitionStore, name: str
    ) -> None:
        await store.claim("first:0")

        assert not await store.commit("zombie:0", "zombie:1", commit(1, Op("SET", name, ("x",))))
        assert await store.load([name]) == [None]

    async def test_documents_are_loaded_in_their_order(
        self, store: PartitionStore, name: str
    ) -> None:
        one, two, none = f"{{{name}}}1", f"{{{name}}}2", f"{{{name}}}3"
        await store.claim("t:0")
        await store.commit(
            "t:0", "t:1", commit(1, Op("SET", one, (b"\xff",)), Op("SET", two, ("",)))
        )

        assert await store.load([two, none, one]) == [b"", None, b"\xff"]

    async def test_p1_what_is_to_ask_has_to_hold_the_partition(
        self, redis: Redis, store: PartitionStore, name: str
    ) -> None:
        await store.claim("t:0")

        assert await store.load([f"{{{name}}}1"], "t:0") == [None]
        assert await store.load([], "t:0") == []
        with pytest.raises(TransientError, match="taken over, or its Redis has gone back"):
            await store.load([], "t:1")
        pipeline = Pipeline(redis)
        store.forget(pipeline)
        await pipeline.run()
        with pytest.raises(TransientError):
            await store.load([], "t:0")

    async def test_p1_no_trip_is_made_in_another_run_of_the_server_than_the_one_that_is_meant(
        self, redis: Redis, name: str
    ) -> None:
        pipeline = Pipeline(redis)
        pipeline.queue("SET", name, "written")

        with in_run(b"another"), pytest.raises(TransientError, match="it was started anew"):
            await pipeline.run()

        assert await redis.get(name) is None
        await pipeline.run()
        assert await redis.get(name) == b"written"

    async def test_p1_in_which_run_what_crosses_orders_is_known_is_the_services(
        self, redis: Redis, store: PartitionStore, name: str
    ) -> None:
        await store.claim("t:0")
        other, stranger = PartitionStore(redis, name, 1), PartitionStore(redis, f"{name}2", 0)
        await other.claim("t:0")
        await stranger.claim("t:0")
        before = await store.is_known_run()
        await store.know_run()

        assert not before
        assert await other.is_known_run()
        assert not await stranger.is_known_run()
        await other.forget_run()
        assert not await store.is_known_run()

    async def test_how_far_all_partitions_are_is_one_question(
        self, redis: Redis, store: PartitionStore, name: str
    ) -> None:
        other = PartitionStore(redis, name, 1)
        await other.claim("t:0")
        await other.commit("t:0", "t:1", commit(3))

        assert await store.all_reached(2) == [Reached(0, "", None), Reached(3, "claim", 7)]

    async def test_meta_says_how_far_a_partition_is(
        self, redis: Redis, store: PartitionStore
    ) -> None:
        await store.claim("t:0")
        await store.commit("t:0", "t:1", commit(outbox=FACTS))
        pipeline = Pipeline(redis)
        store.ask_positions(pipeline)
        store.ask_outbox(pipeline)

        meta, waiting = await pipeline.run()

        assert positions_of(meta) == {"orders": 4}
        assert waiting == 2

    async def test_a_ledger_says_what_is_due_oldest_first_and_what_comes_next(
        self, redis: Redis
    ) -> None:
        partition = uuid4().int % 10**9
        key = ledger_key(partition)
        entries = [
            Entry("fulfillment", "hold", f"250-{n}", from_ms(DUE_MS + ms))
            for n, ms in enumerate((9, 0, 0, -5))
        ]
        pipeline = Pipeline(redis)
        for entry in entries:
            pipeline.queue("ZADD", key, to_ms(entry.due), entry.member)
        await pipeline.run()

        heads = await read_heads(redis, [partition], DUE_MS, 2)
        none = await read_heads(redis, [partition], DUE_MS - 6, 9)

        assert list(heads[partition].due) == [entries[3], entries[1]]
        assert heads[partition].next_ms == DUE_MS + 9
        assert (list(none[partition].due), none[partition].next_ms) == ([], DUE_MS - 5)
        assert await read_ledger(redis, partition) == [entries[n] for n in (3, 1, 2, 0)]

    async def test_a_ttl_key_whose_time_has_come_is_gone(self, redis: Redis) -> None:
        partition = uuid4().int % 10**9
        entry = Entry("fulfillment", "hold", "250-1", from_ms(4_102_444_800_000))
        key = ttl_key(partition, entry.member)
        pipeline = Pipeline(redis)
        pipeline.queue("ZADD", ledger_key(partition), 4_102_444_800_000, entry.member)
        pipeline.queue("SET", key, "due", "PXAT", 4_102_444_800_000)
        await pipeline.run()
        await rearm(redis, partition, Timeline())
        there = await redis.get(key)
        pipeline = Pipeline(redis)
        pipeline.queue("SET", key, "over", "PXAT", 1)
        pipeline.queue("PTTL", key)

        replies = await pipeline.run()

        assert there == b"4102444800000"
        assert replies[1] == -2
        assert await redis.get(key) is None

    async def test_the_clock_tells_the_time(self, redis: Redis) -> None:
        clock = BusinessClock(redis)

        first, second = await clock.read(), await clock.read()

        assert 1_700_000_000_000 < first <= second

    async def test_r1_stock_is_asked_and_answers_as_the_first_time(self, redis: Redis) -> None:
        stock = Stock(redis)
        await stock.command(counted("A", 5, seller_id=stock.seller))
        await stock.command(adjusted("A", -2, seller_id=stock.seller))
        first = await stock.place(("A", 2), ("A", 1))
        await stock.ship(1, A=2)
        await stock.cancel(2, "NoInventory")

        assert first.outcome == "reserved"
        assert await stock.place(("A", 9), order_id="902-2") != first
        assert await stock.level("A") == (0, 0, 5)
