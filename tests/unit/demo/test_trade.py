"""What somebody trades on a running system."""

from collections import Counter
from datetime import timedelta
from random import Random

from services.cli.demo.trade import MAX_ORDERS, plan
from shared.events.warehouse import StockSet

GAP = timedelta(seconds=1_200)


def test_orders_come_a_gap_apart_and_the_shelves_before_them() -> None:
    scripts, shelves = plan(Random(83), 40, GAP)

    assert [script.at for script in scripts] == [n * GAP for n in range(1, 41)]
    assert len({script.order_id for script in scripts}) == 40
    assert {shelf.at for shelf in shelves} == {timedelta(0)}


def test_the_most_orders_find_what_they_buy_but_for_a_few() -> None:
    scripts, shelves = plan(Random(11), MAX_ORDERS, GAP)
    bought: Counter[str] = Counter()
    for script in scripts:
        bought.update({line.sku: line.quantity for line in script.lines})
    on_hand = {s.fact.sku: s.fact.on_hand for s in shelves if isinstance(s.fact, StockSet)}

    lacking = sum(max(0, count - on_hand[sku]) for sku, count in bought.items())
    assert lacking < 0.1 * bought.total()
