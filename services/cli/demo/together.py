"""Runs what goes on side by side, until the main thing is done or somebody wants it to end."""

import asyncio
import signal
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


async def until_done(
    main: Coroutine[Any, Any, T], *others: Coroutine[Any, Any, object]
) -> T | None:
    """Run `main` and the others, which go on for ever, and return what `main` does.

    None if a signal came first; what any of them raises is raised. All of them have ended then.
    """
    with _ending() as told:
        wanted = asyncio.ensure_future(main)
        tasks = [wanted, *map(asyncio.ensure_future, others), asyncio.ensure_future(told.wait())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            return wanted.result() if wanted.done() else None
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def _ending() -> Iterator[asyncio.Event]:
    """Is set by a signal. An exception in the middle of the event loop, as KeyboardInterrupt is,
    would end Kafka's clients before what they have at hand.
    """
    loop, told = asyncio.get_running_loop(), asyncio.Event()
    before = {number: signal.getsignal(number) for number in _ENDING}
    for number in before:
        loop.add_signal_handler(number, told.set)
    try:
        yield told
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            # Once is enough: who is impatient does not disturb the end.
            signal.signal(number, signal.SIG_IGN if told.is_set() else handler)
