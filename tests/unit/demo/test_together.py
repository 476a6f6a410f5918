"""What goes on side by side ends together: when the main thing is done, fails, or is told to."""

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from services.cli.demo.together import until_done

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture
def _signals_as_before() -> Iterator[None]:
    """What is told to end ignores all three from then on, and so would every child of this run."""
    before = {number: signal.getsignal(number) for number in ENDING}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Beside:
    """Goes on for ever, and notes its end."""

    ended = False

    async def run(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            self.ended = True


async def main() -> str:
    await asyncio.sleep(0)
    return "done"


@pytest.mark.asyncio
async def test_the_others_end_when_the_main_thing_is_done() -> None:
    beside = Beside()

    assert await until_done(main(), beside.run()) == "done"

    assert beside.ended


@pytest.mark.asyncio
async def test_what_one_of_them_raises_ends_all_and_is_raised() -> None:
    beside = Beside()

    async def breaks() -> None:
        raise LookupError("payment died")

    with pytest.raises(LookupError, match="payment died"):
        await until_done(Beside().run(), beside.run(), breaks())

    assert beside.ended


@pytest.mark.asyncio
@pytest.mark.usefixtures("_signals_as_before")
@pytest.mark.parametrize("number", ENDING)
async def test_a_signal_ends_all_and_a_second_one_disturbs_nobody(number: signal.Signals) -> None:
    beside = Beside()

    async def tells() -> str:
        os.kill(os.getpid(), number)
        await asyncio.Event().wait()
        return "never"

    assert await until_done(tells(), beside.run()) is None
    os.kill(os.getpid(), number)

    assert beside.ended


@pytest.mark.asyncio
async def test_signals_are_as_before_when_it_was_not_told() -> None:
    before = signal.getsignal(signal.SIGTERM)

    await until_done(main())

    assert signal.getsignal(signal.SIGTERM) is before
