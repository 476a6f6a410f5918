"""P1: the levels are brought up to what was told of them, change by change."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from services.inventory.restore import MAX_AHEAD, restore
from services.inventory.store import levels_key
from services.simulator.memory_redis import MemoryRedis, connect_to
from services.simulator.network import Beside
from services.simulator.scripts import TWINS
from shared.clock import to_ms
from shared.errors import RefusedStart, TransientError
from shared.events.inventory import StockLevelChanged
from shared.partition_store import PartitionStore
from shared.service import Question, Told
from tests.support.stock import LAMP, NOON, SELLER, SHADE, event

pytestmark = pytest.mark.asyncio

HAS = (10, 2, 5)
"""On hand, reserved, version: what is stored."""


class Stored:
    """A Redis with the level of the lamps, and what `restore` makes of it."""

    def __init__(self, *level: int) -> None:
        self.redis = connect_to(MemoryRedis(lambda: to_ms(NOON), TWINS), Beside())
        self.level = level
        self.store = PartitionStore(self.redis, "inventory", 0)

    async def after(self, *told: Told) -> tuple[int, ...]:
        if self.level:
            await self._hset(LAMP, *self.level)
        await restore(some_at_a_time(told), self.ask)
        return await self.of(LAMP)

    async def of(self, sku: str) -> tuple[int, ...]:
        stored: Any = await self.redis.execute_command(  # type: ignore[no-untyped-call]
            "HGET", levels_key(SELLER), sku
        )
        return tuple(map(int, stored.split())) if stored else ()

    async def ask(self, questions: Sequence[Question]) -> Sequence[Any]:
        return await self.store.ask(questions)

    async def _hset(self, sku: str, *level: int) -> None:
        await self.redis.execute_command(  # type: ignore[no-untyped-call]
            "HSET", levels_key(SELLER), sku, "{} {} {}".format(*level)
        )


async def some_at_a_time(told: Sequence[Told]) -> AsyncIterator[Sequence[Told]]:
    for at in range(0, len(told), 2):
        yield told[at : at + 2]


def told(
    version: int,
    on_hand_change: int = 0,
    reserved_change: int = 0,
    *,
    level: tuple[int, int] = (99, 9),
    sku: str = LAMP,
    counts: bool = True,
    trimmed: bool = False,
) -> Told:
    """`level` is what was told to be on hand and reserved: it holds what others never told."""
    changed = StockLevelChanged(
        seller_id=SELLER,
        sku=sku,
        on_hand=level[0],
        available=level[0] - level[1],
        reserved=level[1],
        on_hand_change=on_hand_change,
        reserved_change=reserved_change,
        level_version=version,
    )
    return Told(event(changed), counts, trimmed)


async def test_what_was_told_beyond_it_is_added_and_nothing_else() -> None:
    assert await Stored(*HAS).after(told(5, 7), told(6, 3), told(8, -1, -1)) == (12, 1, 8)


async def test_in_any_order_and_each_version_once() -> None:
    some = [told(8, -1, -1), told(6, 3), told(8, -1, -1), told(7, 0, 2), told(6, 3)]

    assert await Stored(*HAS).after(*some) == (12, 3, 8)


async def test_what_does_not_count_only_takes_its_version() -> None:
    assert await Stored(*HAS).after(told(6, 3), told(7, 0, 2, counts=False)) == (13, 2, 7)
    assert await Stored(*HAS).after(told(6, 0, 2, counts=False)) == (10, 2, 6)


async def test_a_level_that_nobody_told_of_beyond_it_stays() -> None:
    assert await Stored(*HAS).after(told(4, 7), told(5, 7)) == HAS


async def test_what_does_not_count_may_be_told_again_under_its_version() -> None:
    """Redis kept the answer of the stock, and not the commit."""
    assert await Stored(*HAS).after(told(6, 3, counts=False), told(6, 3)) == (13, 2, 6)
    assert await Stored(*HAS).after(told(6, 3), told(6, 3, counts=False)) == (13, 2, 6)


async def test_every_sku_by_itself_and_from_nothing() -> None:
    stored = Stored()

    assert await stored.after(told(1, 5), told(1, 3, sku=SHADE), told(2, 0, 1)) == (5, 1, 2)
    assert await stored.of(SHADE) == (3, 0, 1)


@pytest.mark.parametrize(("trimmed", "level"), [(True, (22, 4, 42)), (False, (2, 1, 42))])
async def test_what_retention_has_deleted_is_in_the_first_level_that_is_left(
    trimmed: bool, level: tuple[int, ...]
) -> None:
    some = [told(42, 0, 1, trimmed=trimmed), told(41, 2, 0, level=(22, 3), trimmed=trimmed)]

    assert await Stored().after(*some) == level


async def test_units_may_be_owed_until_what_brought_them_is_asked_again() -> None:
    assert await Stored(1, 1, 5).after(told(7, 0, 1), told(8, -2, -2)) == (-1, 0, 8)


@pytest.mark.parametrize("lacks", [MAX_AHEAD - 1, MAX_AHEAD, MAX_AHEAD + 1])
async def test_a_version_that_was_never_told_is_not_waited_for(lacks: int) -> None:
    some = [told(version, 1) for version in range(2, 2 + lacks)]

    assert await Stored().after(*some) == (lacks, 0, 1 + lacks)


async def test_a_level_that_changes_meanwhile_is_a_reason_to_open_again() -> None:
    stored = Stored(*HAS)
    ask = stored.ask

    async def changed_before_it_is_written(questions: Sequence[Question]) -> Sequence[Any]:
        if questions and questions[0].args[0] == "level":
            await stored._hset(LAMP, 9, 2, 6)
        return await ask(questions)

    stored.ask = changed_before_it_is_written  # type: ignore[method-assign]

    with pytest.raises(TransientError, match="a stock level has changed while it was restored"):
        await stored.after(told(6, 3))
    assert await stored.of(LAMP) == (9, 2, 6)


async def test_changes_that_come_to_what_no_stock_can_be_are_refused() -> None:
    stored = Stored(*HAS)

    with pytest.raises(RefusedStart, match=f"SKU {LAMP} of seller {SELLER} comes to -1 reserved"):
        await stored.after(told(6, 0, -3), told(1, 4, sku=SHADE))
    assert await stored.of(LAMP) == HAS
    assert await stored.of(SHADE) == ()
