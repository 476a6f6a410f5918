"""The copy that pages are asked of keeps in step with Redis, whatever happens to that."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from services.cli.redis_server import LocalRedis
from services.dashboard import store
from services.dashboard.store import Views, key
from services.dashboard.web.follower import Follower
from services.dashboard.web.index import Index
from services.dashboard.web.live import news
from services.dashboard.web.parts import Listeners
from shared.decode import partition_of
from shared.errors import TransientError
from shared.redis import Pipeline, connect
from tests.support.orders import hold_over, order_placed, payment_approved, stock_reserved
from tests.support.screen import PARTITIONS, Teller, project
from tests.unit.dashboard.conftest import LATE, PENDING

pytestmark = pytest.mark.asyncio


class Copy:
    """An index that follows a Redis, and what it heard."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.index = Index()
        self.heard: list[str] = []
        self.follower = Follower(Views(redis, PARTITIONS), self.index, self.heard.extend)

    def status_of(self, order_id: str) -> str | None:
        found = self.index.ask("SELECT status FROM orders WHERE order_id = :id", id=order_id)
        return str(found[0]["status"]) if found else None


@pytest_asyncio.fixture
async def copy(redis_of_its_own: LocalRedis) -> AsyncIterator[Copy]:
    redis = connect(redis_of_its_own.redis_url)
    yield Copy(redis)
    await redis.aclose()


async def place(copy: Copy, teller: Teller, order_id: str) -> None:
    done = len(teller.records)
    teller.live(order_id, order_placed(order_id=order_id))
    await project(copy.redis, teller.records[done:])


async def release(copy: Copy, teller: Teller, order_id: str) -> None:
    done = len(teller.records)
    teller.live(order_id, stock_reserved(), payment_approved(), hold_over())
    await project(copy.redis, teller.records[done:])


async def test_what_changed_is_taken_over_and_told(copy: Copy) -> None:
    teller = Teller()
    await place(copy, teller, LATE)
    await copy.follower.look()
    assert (copy.status_of(LATE), copy.heard) == ("Pending", [])

    await release(copy, teller, LATE)
    await place(copy, teller, PENDING)
    await copy.follower.look()

    assert (copy.status_of(LATE), copy.status_of(PENDING)) == ("Unshipped", "Pending")
    assert {*copy.heard} == {f"order {LATE}", f"order {PENDING}"}
    copy.heard.clear()
    await copy.follower.look()
    assert copy.heard == []


async def test_an_emptied_redis_is_read_anew(copy: Copy) -> None:
    teller = Teller()
    await place(copy, teller, LATE)
    await copy.follower.look()

    await copy.redis.flushall()
    await copy.follower.look()
    assert copy.status_of(LATE) is None
    assert "everything" in copy.heard

    await project(copy.redis, teller.records)
    await copy.follower.look()
    assert copy.status_of(LATE) == "Pending"


async def test_a_redis_that_went_back_is_noticed_though_its_streams_went_on(copy: Copy) -> None:
    teller = Teller()
    await place(copy, teller, LATE)
    before = {name: await copy.redis.dump(name) async for name in copy.redis.scan_iter()}
    await release(copy, teller, LATE)
    await copy.follower.look()
    assert copy.status_of(LATE) == "Unshipped"

    for name, value in before.items():
        assert value is not None
        await copy.redis.restore(name, 0, value, replace=True)
    stream = key(partition_of(LATE, PARTITIONS), "changes")
    await copy.redis.xadd(stream, {"of": "order of another life"})
    await copy.follower.look()

    assert copy.status_of(LATE) == "Pending"
    assert "everything" in copy.heard


async def test_another_run_of_redis_is_read_anew(copy: Copy, redis_of_its_own: LocalRedis) -> None:
    await place(copy, Teller(), LATE)
    await copy.follower.look()
    copy.index.clear(partition_of(LATE, PARTITIONS))  # what only all of it brings back

    redis_of_its_own.stop()
    with pytest.raises(TransientError):
        await copy.follower.look()
    redis_of_its_own.start()
    await copy.follower.look()

    assert copy.status_of(LATE) == "Pending"
    assert "everything" in copy.heard


async def test_who_is_too_far_behind_reads_all_anew(copy: Copy) -> None:
    teller = Teller()
    await place(copy, teller, LATE)
    await copy.follower.look()

    await release(copy, teller, LATE)
    stream = key(partition_of(LATE, PARTITIONS), "changes")
    await copy.redis.xtrim(stream, maxlen=1, approximate=False)
    copy.index.clear(partition_of(LATE, PARTITIONS))
    await copy.follower.look()

    assert copy.status_of(LATE) == "Unshipped"
    assert "everything" in copy.heard


async def test_the_streams_stay_bounded(copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MAX_CHANGES", 100)
    pipeline = Pipeline(copy.redis)
    for op in 500 * [store._changed(0, f"order {LATE}")]:
        pipeline.queue(op.command, op.key, *op.args)
    await pipeline.run()

    kept = await copy.redis.xlen(key(0, "changes"))
    assert kept <= 200, "to the next hundred: Redis frees whole nodes"


async def test_an_outage_raises_and_leaves_what_was_there(
    copy: Copy, redis_of_its_own: LocalRedis
) -> None:
    await place(copy, Teller(), LATE)
    await copy.follower.look()

    redis_of_its_own.kill()
    with pytest.raises(TransientError):
        await copy.follower.look()

    assert copy.status_of(LATE) == "Pending"
    assert copy.follower.loaded


async def test_a_live_page_hears_of_what_it_shows_and_of_nothing_else() -> None:
    listeners = Listeners()
    streams = {
        name: news(listeners, [name], "0")
        for name in ("order", f"order {LATE}", f"order {PENDING}")
    }
    for stream in streams.values():
        assert await anext(stream) == b": connected\n\n"

    listeners.tell([f"order {LATE}"])

    for name in ("order", f"order {LATE}"):
        assert await anext(streams[name]) == b"event: changed\ndata: now\n\n"
    other = asyncio.ensure_future(anext(streams[f"order {PENDING}"]))
    await asyncio.sleep(0)
    assert not other.done()
    other.cancel()
    assert len(listeners) == 3
    for name in ("order", f"order {LATE}"):
        await streams[name].aclose()
    await asyncio.gather(other, return_exceptions=True)
    assert len(listeners) == 0


async def test_news_that_came_before_a_page_listened_is_not_missed() -> None:
    listeners = Listeners()
    listeners.tell([f"order {LATE}"])
    stream = news(listeners, [f"order {LATE}"], "0")

    assert await anext(stream) == b": connected\n\n"
    assert await anext(stream) == b"event: changed\ndata: now\n\n"
    await stream.aclose()
