"""`orderflow demo`: an order's whole life on this machine, in a minute and a half."""

import asyncio
import time
from functools import partial
from random import Random
from typing import Annotated

import typer
from rich.console import Console

from services.cli.addresses import DEFAULT_DATA_DIR
from services.cli.demo.ending import Ending
from services.cli.demo.live import show
from services.cli.demo.script import OPENING
from services.cli.demo.stage import LAST_DAY, Desk, Stage, open_stage
from services.cli.demo.stories import STORIES
from services.cli.demo.together import until_done
from services.cli.demo.traffic import CATALOGUE, ERRANDS, stocking, traffic
from services.cli.exit_codes import EXIT_FAILED
from services.cli.server import free_port
from services.cli.system import SHOWN, System, system, until_signaled
from shared.clock import fresh_token

DATA_DIR = DEFAULT_DATA_DIR / "demo"
"""Apart from what `orderflow up` keeps; wiped at each start, the logs stay for a look."""

PARTITIONS = 4
"""Few: the embedded Kafka keeps no more than some 5 MB of each, and needs no more for this."""

MAX_ORDERS = 500
"""Of traffic. The embedded Kafka keeps 5 MB per partition; the busiest has 1 MB per 200 orders."""

LOG_WIDTH = 100
"""Columns where the output is no terminal."""

WATCH_S = 0.2
"""Between two looks at whether all processes run."""


def demo(
    seed: Annotated[int, typer.Option(help="Other seeds draw other traffic.")] = 1,
    orders: Annotated[
        int, typer.Option(min=0, max=MAX_ORDERS, help="Of traffic, beside the stories.")
    ] = 200,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Show all that the books looked at.")
    ] = False,
) -> None:
    """Show the life of orders in a minute and a half, and check what came of them."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = LOG_WIDTH
    say = partial(console.print, soft_wrap=True)
    began_s = time.monotonic()
    endings: list[Ending | None] = []
    desk = Desk(free_port(), fresh_token())
    starting = system(
        DATA_DIR,
        services=SHOWN,
        partitions=PARTITIONS,
        env=desk.environment(),
        wiped=True,
        say=say,
    )
    with until_signaled(), starting as running:
        say(f"Ready after {time.monotonic() - began_s:.0f} s.", _programme(orders), sep="\n")
        say(f"Watch it in a browser, too, while it runs: {running.pages_url()}")
        endings.append(asyncio.run(_run(running, desk, console, seed, orders)))
    ending = endings[0] if endings else None
    if ending is None:
        say("Ended early: nothing was checked.")
        raise typer.Exit(EXIT_FAILED)
    console.print(*ending.shown(verbose=verbose), sep="\n")
    say(f"It took {time.monotonic() - began_s:.0f} s. Logs: {DATA_DIR.resolve() / 'logs'}")
    raise typer.Exit(0 if ending.good else EXIT_FAILED)


def _programme(orders: int) -> str:
    """What there is to see."""
    return (
        f"{len(STORIES)} stories and {orders} orders of traffic, from {OPENING:%a %d %b %Y, %H:%M}"
        f" UTC of business time: an hour in 20 s, then a day per second until day {LAST_DAY.days}."
        "\nThen what became of each story, and the books."
    )


async def _run(
    running: System, desk: Desk, console: Console, seed: int, orders: int
) -> Ending | None:
    """Play everything; None if it was ended before, typer.Exit if a process died meanwhile."""
    told = [script for story in STORIES for script in story.orders]
    shelves = [(s.seller_id, s.sku, s.on_hand) for s in STORIES]
    shelves += [(p.seller_id, p.sku, p.on_hand) for p in CATALOGUE]
    errands = [*(stocking(*shelf) for shelf in shelves), *ERRANDS]
    scripts = [*told, *traffic(Random(seed), orders)]
    async with open_stage(running.settings, desk, scripts, errands) as stage:
        return await until_done(
            _perform(stage),
            stage.clock.run(),
            stage.everybody.cast.play(),
            stage.everybody.tap.listen(),
            show(stage, STORIES, console),
            _watch(running),
        )


async def _perform(stage: Stage) -> Ending:
    waits = await stage.play()
    everybody = stage.everybody
    accepted = [event for producer in everybody.producers for event in producer.acknowledged]
    books = await everybody.observer.audit(accepted, stage.seen.ledger.moves)
    return Ending(STORIES, stage.seen, books, waits)


async def _watch(running: System) -> None:
    """Return never; raises typer.Exit when a server or service has ended."""
    while True:
        if ended := running.ended():
            for end in ended:
                typer.echo(f"orderflow demo: {end}", err=True)
            raise typer.Exit(EXIT_FAILED)
        await asyncio.sleep(WATCH_S)
