"""A run is good only if every story is as told and the books balance, and its end says so."""

from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from services.cli.demo import stories
from services.cli.demo.ending import Ending
from services.cli.demo.seen import Seen
from services.cli.demo.stories import STORIES
from shared.books.result import Books, Page, Violation
from shared.events.payment import MoneyReturned
from tests.support.theatre import Records, falsified, seen_in
from tests.support.world import World

WRONG = Violation("P1", "TEAHOUSE/KETTLE-RED", "on hand is 7, but 6 available and 2 reserved")


def broken(books: Books) -> Books:
    page = replace(books.page("P1"), violations=(WRONG,), violated=1)
    return Books((page, *books.pages[1:]))


def unchecked(books: Books) -> Books:
    page: Page = replace(books.page("P4"), counts={})
    return Books((*books.pages, page))


def shown(ending: Ending, width: int = 100, **how: bool) -> str:
    out = StringIO()
    Console(file=out, width=width).print(*ending.shown(**how), sep="\n")
    return out.getvalue()


@pytest.fixture
def books(world: World) -> Books:
    return world.books()


def test_a_good_run_says_so_with_every_timeline_and_the_books(seen: Seen, books: Books) -> None:
    ending = Ending(STORIES, seen, books)

    assert ending.good
    text = shown(ending)
    assert text.rstrip().endswith("✓ All 14 stories are as told, and the books balance.")
    assert "✗" not in text
    for story in STORIES:
        assert f"✓ {story.title}" in text
    assert "9 Shipped" in text
    assert "3 Canceled: buyer" in text
    assert all(page.promise in text for page in books.pages)


def test_a_story_that_differs_makes_the_run_bad_and_says_in_what(
    records: Records, books: Books
) -> None:
    order_id = stories.LATE_MONEY.orders[0].order_id
    ending = Ending(STORIES, seen_in(falsified(records, order_id, MoneyReturned)), books)

    assert not ending.good
    text = shown(ending, width=200)
    assert text.count("✗ Paid after the cancel: given back") == 2
    assert (
        f"{order_id}: money: verification closed, money arrived, void requested; expected" in text
    )
    assert "All 14 stories are as told" not in text


def test_books_that_do_not_balance_make_the_run_bad(seen: Seen, books: Books) -> None:
    ending = Ending(STORIES, seen, broken(books))

    assert not ending.good
    assert WRONG.sentence in shown(ending, width=200)
    assert "✗ The books do not balance." in shown(ending)


def test_books_that_looked_at_nothing_make_the_run_bad(seen: Seen, books: Books) -> None:
    assert not Ending(STORIES, seen, unchecked(books)).good


@pytest.mark.parametrize(("waits", "said"), [(0, False), (3, True)])
def test_it_says_that_the_clock_waited_if_it_did(
    seen: Seen, books: Books, waits: int, said: bool
) -> None:
    ending = Ending(STORIES, seen, books, waits)

    assert ("Business time stood still 3 ×" in shown(ending)) is said
    assert ending.good


def test_the_end_can_be_read_in_one_go(seen: Seen, books: Books) -> None:
    assert len(shown(Ending(STORIES, seen, books)).splitlines()) < 320


@pytest.mark.parametrize("width", [80, 100])
def test_the_books_and_the_verdict_fit_on_a_terminal_of_24_rows(
    seen: Seen, books: Books, width: int
) -> None:
    text = shown(Ending(STORIES, seen, books, waits=3), width)

    last = text[text.index("The books: what Kafka") :].splitlines()
    assert len(last) <= 24 - len(["how long it took", "the prompt"])
    assert [page.promise for page in books.pages if f"✓ {page.promise}" not in text] == []
    assert "SKUs 14" in text
    assert "units supplied" not in text


def test_the_books_are_shown_with_all_that_was_looked_at_if_asked_for(
    seen: Seen, books: Books
) -> None:
    text = shown(Ending(STORIES, seen, books), 200, verbose=True)

    assert "units supplied 68, units sold 14" in text
    assert "captured: 467.50 EUR, 36.50 GBP" in text


def test_books_that_do_not_balance_are_shown_in_full(seen: Seen, books: Books) -> None:
    text = shown(Ending(STORIES, seen, unchecked(broken(books))), 200)

    assert "✗ P1" in text
    assert "units supplied 68" in text
    assert WRONG.sentence in text
    assert "looked at no notices" in text
