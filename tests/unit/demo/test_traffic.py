"""The background traffic: varied, the same for the same seed, and done by day 32."""

from collections import Counter
from random import Random

from services.cli.demo.script import DAY, HOUR, MINUTE, OPENING, places
from services.cli.demo.stage import LAST_DAY
from services.cli.demo.stories import STORIES
from services.cli.demo.traffic import CATALOGUE, ERRANDS, LATER, stocking, traffic
from tests.support.theatre import SHELVES, played, records_of, seen_in

HOLD = 30 * MINUTE


def test_the_same_seed_draws_the_same_orders_and_another_one_others() -> None:
    def drawn(seed: int) -> list[object]:
        scripts = traffic(Random(seed), 40)
        return [(places(s, OPENING + s.at), [act[1:] for act in s.acts]) for s in scripts]

    assert drawn(7) == drawn(7)
    assert drawn(7) != drawn(8)


def test_traffic_is_varied_and_every_order_is_one_of_its_own() -> None:
    orders = [places(script, OPENING + script.at) for script in traffic(Random(1), 400)]
    told = {order.order_id for story in STORIES for order in story.orders}

    assert len({order.order_id for order in orders} - told) == 400
    assert {len(order.items) for order in orders} == {1, 2, 3}
    for field, least in (
        ("seller_id", 4),
        ("marketplace_id", 3),
        ("ship_service_level", 4),
        ("traffic_source", 4),
    ):
        assert len(Counter(str(getattr(order, field)) for order in orders)) == least


def test_r2_the_holds_of_the_first_hour_end_in_it() -> None:
    at = [script.at for script in traffic(Random(1), 400)]

    first = [each for each in at if each < HOUR]
    assert max(first) + HOLD < HOUR
    assert min(each for each in at if each > HOUR) > 0.5 * DAY
    assert abs(len(first) / 400 - (1 - LATER)) < 0.1


def test_all_traffic_but_the_last_order_has_ended_at_the_end_and_the_books_balance() -> None:
    shelves = [stocking(p.seller_id, p.sku, p.on_hand) for p in CATALOGUE]
    scripts = traffic(Random(1), 25)

    world = played(scripts, [*SHELVES, *shelves, *ERRANDS], LAST_DAY)

    seen, books = seen_in(records_of(world)), world.books()
    assert set(seen.statuses()) == {"Shipped", "Canceled", "Unshipped"}
    assert seen.statuses().total() == 25
    assert {waiting.subject for waiting in seen.waiting()} == {scripts[-1].order_id}
    assert seen.dead_letters == {"no_such_order": 1}
    assert not books.violations
    counts = {name: n for page in books.pages for name, n in page.counts.items()}
    for name in ("repeats", "stock commands refused", "parked", "deadlines open", "units reserved"):
        assert counts[name] > 0, name
