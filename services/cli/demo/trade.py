"""`orderflow traffic`: somebody trades on a system that runs, as in the demo, until SIGTERM."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Annotated

import typer

from services.cli.addresses import DEFAULT_DATA_DIR, DataDir, settings_here
from services.cli.demo.cast import Cast
from services.cli.demo.pace import CertainClock
from services.cli.demo.script import Errand, Script
from services.cli.demo.seen import Seen
from services.cli.demo.stage import open_producers
from services.cli.demo.tap import ALL, Tap
from services.cli.demo.together import until_done
from services.cli.demo.traffic import CATALOGUE, stocking, traffic
from shared.clock import BusinessClock, fresh_token
from shared.kafka import checked_partitions, reader_of, servers_of
from shared.redis import connect
from shared.settings import Settings

MAX_ORDERS = 5_000
"""All that is said about them is remembered, some 30 KB for each."""
STOCKED_FOR = 200
"""So many orders the catalogue's stock is meant for."""
FASTEST = 3_600
"""An hour in a second: services keep up with deadlines that come so close, on two cores."""


def trade(
    orders: Annotated[int, typer.Option(min=1, max=MAX_ORDERS, help="In all.")] = 1_000,
    per_minute: Annotated[int, typer.Option(min=1, max=600, help="Orders, by the wall.")] = 12,
    rate: Annotated[
        int | None,
        typer.Option(min=1, max=FASTEST, help="Let business time pass so many times as fast."),
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Trade on a running system, until SIGTERM: buyers, gateway, sellers, carrier and warehouse.

    Orders come one after the other, and most go well; what follows on each comes in business time.
    `--rate` is for a system that is there to look at: its clock is every order's, and stays so.
    """
    asyncio.run(_trade(settings_here(data_dir), orders, timedelta(minutes=1) / per_minute, rate))


def plan(rng: Random, orders: int, gap: timedelta) -> tuple[list[Script], list[Errand]]:
    """Shelves that are filled at once, and orders that find something there, each `gap` of business
    time after the one before.
    """
    scripts = [replace(order, at=nth * gap) for nth, order in enumerate(traffic(rng, orders), 1)]
    fillings = -(-orders // STOCKED_FOR)
    shelves = [stocking(p.seller_id, p.sku, p.on_hand * fillings) for p in CATALOGUE]
    return scripts, shelves


async def _trade(settings: Settings, orders: int, gap: timedelta, rate: int | None) -> None:
    servers = servers_of(settings)
    async with AsyncExitStack() as stack:
        redis = connect(settings.clock_redis_url)
        stack.push_async_callback(redis.aclose)
        clock = BusinessClock(redis)
        partitions = await checked_partitions(servers, ALL)
        if rate is not None:
            await clock.shift(rate)
        await clock.refresh()
        passes = rate or clock.timeline.rate_at(clock.wall_ms())
        scripts, shelves = plan(Random(fresh_token()), orders, gap * passes)
        producers = await open_producers(stack, servers)
        consumer = reader_of(servers)
        stack.push_async_callback(consumer.stop)
        await consumer.start()
        cast = Cast(scripts, shelves, clock.now(), CertainClock(clock), producers)
        tap = Tap(consumer, partitions, Seen(), (cast.hear,))
        pace = f"business time passes {passes} times as fast as the wall's"
        typer.echo(f"{orders} orders, one every {gap.total_seconds():g} s; {pace}")
        await until_done(clock.run(), cast.play(), tap.listen())
