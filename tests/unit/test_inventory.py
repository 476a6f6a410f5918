"""Inventory's decisions: what the stock answered, as facts (R1, R4, R11, R13, R14, R17–R19)."""

from typing import Any

import pytest
from pydantic import ValidationError

from services.inventory.app import build
from services.inventory.decisions import RULES, Answer, Outcome, Row, decide
from services.inventory.state import OrderStock, evolve
from services.inventory.store import ask
from shared.batch import Desk, Input
from shared.decode import partition_of
from shared.documents import Document
from shared.events.envelope import Event, Fact
from shared.events.fields import MAX_ITEMS, MAX_QUANTITY, MAX_UNITS, SkuQuantity
from shared.events.inventory import (
    INVENTORY_EVENTS,
    STOCK_LEVELS,
    LackingSku,
    ReorderChecked,
    SkuChange,
    StockDepleted,
    StockHeldByRival,
    StockLevelChanged,
    StockRefused,
    StockRejected,
    StockReleased,
    StockReserved,
    StockReturned,
    StockShipped,
)
from shared.events.warehouse import STOCK, stock_subject
from shared.policy import Policies
from shared.service import Facts, Received
from tests.support.stock import (
    LAMP,
    NOON,
    ORDER,
    OTHER_SELLER,
    SELLER,
    SHADE,
    adjusted,
    canceled,
    confirmed,
    counted,
    damaged,
    event,
    open_units_canceled,
    order_exists,
    placed,
    reorder_asked,
    restocked,
    returned,
    row,
)

LAMPS = row(LAMP, 3, 17, 8, 41, (-3, 2))
SHADES = row(SHADE, 1, 5, 5, 9, (0, 1), depleted=True)
LAMP_LEVEL = StockLevelChanged(
    seller_id=SELLER,
    sku=LAMP,
    on_hand=17,
    available=9,
    reserved=8,
    on_hand_change=-3,
    reserved_change=2,
    level_version=41,
)
SHADE_LEVEL = StockDepleted(
    seller_id=SELLER,
    sku=SHADE,
    on_hand=5,
    available=0,
    reserved=5,
    on_hand_change=0,
    reserved_change=1,
    level_version=9,
)
UNITS = (SkuQuantity(sku=LAMP, quantity=3), SkuQuantity(sku=SHADE, quantity=1))

RESERVED = OrderStock(seller_id=SELLER, status="reserved", held=UNITS)
REJECTED = OrderStock(seller_id=SELLER, status="rejected")
RELEASED = OrderStock(seller_id=SELLER, status="released")
SHIPPED = OrderStock(seller_id=SELLER, status="shipped")
ORDER_PLACED = placed((LAMP, 3), (SHADE, 1))


def answer(outcome: Outcome, *rows: Row) -> Answer:
    return Answer(outcome, rows)


def decided(state: OrderStock | None, data: Fact, answered: Answer | None) -> Facts:
    said = event(data, version=7, id_="event-7")
    return decide(state, Received(said, NOON, (answered,)), Policies())


def test_r1_a_reservation_says_what_was_taken_and_each_level_depleted_instead_of_changed() -> None:
    facts = decided(None, ORDER_PLACED, answer("reserved", LAMPS, SHADES))

    assert facts == [
        StockReserved(seller_id=SELLER, units=UNITS),
        LAMP_LEVEL,
        SHADE_LEVEL,
    ]


def test_r4_a_rejection_says_what_lacks_and_no_level() -> None:
    lacking = row(LAMP, 3, 17, 15, 41)

    assert decided(None, ORDER_PLACED, answer("rejected", lacking)) == [
        StockRejected(seller_id=SELLER, lacking=(LackingSku(sku=LAMP, requested=3, available=2),))
    ]


def test_an_order_that_comes_after_its_cancel_says_nothing() -> None:
    assert decided(None, ORDER_PLACED, answer("closed")) == ()


@pytest.mark.parametrize("state", [None, RESERVED, REJECTED, RELEASED, SHIPPED])
def test_r25_an_order_id_that_comes_again_has_had_its_answer(state: OrderStock | None) -> None:
    assert decided(state, ORDER_PLACED, answer("taken")) == ()


def test_units_that_a_lost_worker_had_reserved_before_the_cancel_only_tell_their_level() -> None:
    assert decided(RELEASED, ORDER_PLACED, answer("reserved", LAMPS)) == [LAMP_LEVEL]
    assert decided(RELEASED, ORDER_PLACED, answer("rejected", LAMPS)) == ()


@pytest.mark.parametrize("cancel", [canceled(), open_units_canceled()])
def test_r14_a_canceled_order_gives_back_what_it_held(cancel: Fact) -> None:
    assert decided(RESERVED, cancel, answer("released", LAMPS, SHADES)) == [
        StockReleased(seller_id=SELLER, units=UNITS),
        LAMP_LEVEL,
        SHADE_LEVEL,
    ]


@pytest.mark.parametrize(
    ("code", "written_off"),
    [("NoInventory", True), ("PricingError", False), ("BuyerCanceled", False), (None, False)],
)
def test_r18_no_inventory_writes_the_units_off(code: Any, written_off: bool) -> None:
    facts = decided(RESERVED, canceled(code), answer("released", LAMPS))

    assert isinstance(facts[0], StockReleased)
    assert facts[0].written_off is written_off


def test_a_cancel_before_its_order_says_that_nothing_is_held_and_what_a_lost_worker_moved() -> None:
    assert decided(None, canceled(), answer("released")) == [
        StockReleased(seller_id=SELLER, units=())
    ]
    assert decided(None, canceled(), answer("released", LAMPS)) == [
        StockReleased(seller_id=SELLER, units=()),
        LAMP_LEVEL,
    ]


@pytest.mark.parametrize("state", [REJECTED, SHIPPED])
def test_r4_a_cancel_of_an_order_that_holds_nothing_says_nothing(state: OrderStock) -> None:
    assert decided(state, canceled(), answer("released")) == ()


def test_r11_a_package_ships_and_its_edit_brings_back() -> None:
    back = SHADES._replace(units=-2, depleted=False)
    shade_back = StockLevelChanged(**dict(SHADE_LEVEL))

    assert decided(RESERVED, confirmed({LAMP: 3, SHADE: -2}), answer("shipped", LAMPS, back)) == [
        StockShipped(
            seller_id=SELLER,
            changes=(SkuChange(sku=LAMP, change=3), SkuChange(sku=SHADE, change=-2)),
        ),
        LAMP_LEVEL,
        shade_back,
    ]


def test_r17_sellable_units_are_on_hand_again_and_damaged_ones_are_only_told() -> None:
    back = returned({LAMP: 3}, {LAMP: 1, SHADE: 2})

    assert decided(SHIPPED, back, answer("returned", LAMPS)) == [
        StockReturned(
            seller_id=SELLER,
            sellable=(SkuQuantity(sku=LAMP, quantity=3),),
            damaged=(SkuQuantity(sku=LAMP, quantity=1), SkuQuantity(sku=SHADE, quantity=2)),
        ),
        LAMP_LEVEL,
    ]
    only_damaged = decided(SHIPPED, returned({}, {LAMP: 1}), answer("returned"))
    assert [type(fact) for fact in only_damaged] == [StockReturned]


def test_r17_the_question_of_a_return_names_each_sku_once_with_what_came_of_it() -> None:
    question = ask(event(returned({LAMP: 3}, {SHADE: 2, LAMP: 1}), version=7), Policies())

    assert question is not None
    assert (question.args[0], list(question.args[3:])) == ("return", [7, LAMP, 3, 1, SHADE, 0, 2])


@pytest.mark.parametrize("state", [RELEASED, SHIPPED, RESERVED])
def test_r19_whether_the_stock_lasts_is_said_with_what_lacks(state: OrderStock) -> None:
    asked = reorder_asked({LAMP: 3, SHADE: 1})
    lacking = row(LAMP, 3, 17, 15, 41)

    assert decided(state, asked, answer("lasts")) == [ReorderChecked(seller_id=SELLER, nth=2)]
    assert decided(state, asked, answer("lacking", lacking)) == [
        ReorderChecked(
            seller_id=SELLER, nth=2, lacking=(LackingSku(sku=LAMP, requested=3, available=2),)
        )
    ]


def test_a_package_that_moves_no_unit_asks_and_says_nothing() -> None:
    said = event(confirmed({}), version=7)

    assert ask(said, Policies()) is None
    assert decided(RESERVED, said.data, None) == ()


def test_r25_an_order_under_another_sellers_order_id_gives_its_sellers_stock_back() -> None:
    refused = order_exists(OTHER_SELLER)
    question = ask(event(refused, version=7), Policies())

    assert question is not None
    assert {key.split(":")[1] for key in question.keys} == {OTHER_SELLER + "}"}
    assert decided(RESERVED, refused, answer("released", LAMPS)) == [
        StockHeldByRival(seller_id=OTHER_SELLER),
        LAMP_LEVEL.model_copy(update={"seller_id": OTHER_SELLER}),
    ]


def test_r25_what_an_order_under_anothers_id_holds_until_it_is_refused_is_a_fact() -> None:
    rival = placed((LAMP, 3), seller_id=OTHER_SELLER)

    held, level = decided(RESERVED, rival, answer("reserved", LAMPS))

    assert held == StockHeldByRival(seller_id=OTHER_SELLER, units=answer("reserved", LAMPS).units)
    assert level == LAMP_LEVEL.model_copy(update={"seller_id": OTHER_SELLER})
    for state in (None, RESERVED):
        assert evolve(state, held, NOON) == state, "the order itself has no part in it"


def test_a_refusal_that_is_about_no_other_seller_moves_nothing() -> None:
    said = event(order_exists(), version=7)

    assert ask(said, Policies()) is None
    assert decided(RESERVED, said.data, None) == ()


@pytest.mark.parametrize(
    "command", [counted(LAMP, 17), adjusted(LAMP, 4), restocked(LAMP, 4), damaged(LAMP, 4)]
)
def test_p1_a_stock_command_says_the_level_or_why_not(command: Fact) -> None:
    assert decided(None, command, answer("counted", LAMPS)) == [LAMP_LEVEL]
    refused = StockRefused(
        seller_id=SELLER,
        sku=LAMP,
        reason="below_reserved",
        reserved=8,
        on_hand=17,
        command_id="event-7",
        level_version=41,
    )
    above_limit = refused.model_copy(update={"reason": "above_limit"})
    assert decided(None, command, answer("below_reserved", LAMPS)) == [refused]
    assert decided(None, command, answer("above_limit", LAMPS)) == [above_limit]


@pytest.mark.parametrize(
    "data",
    [canceled(), confirmed({LAMP: 1}), returned({LAMP: 1}), order_exists(OTHER_SELLER)],
)
@pytest.mark.parametrize("state", [None, RESERVED, RELEASED])
def test_what_was_passed_long_ago_says_nothing(data: Fact, state: OrderStock | None) -> None:
    assert decided(state, data, answer("passed")) == ()


def test_what_can_not_be_is_a_failed_decision_that_names_it() -> None:
    with pytest.raises(ValueError, match=f"{ORDER}: 3 of SKU {LAMP} .* 17 are on hand and 8"):
        decided(RESERVED, confirmed({LAMP: 3}), answer("impossible", LAMPS))


def evolved(state: OrderStock | None, *facts: Fact) -> OrderStock:
    for fact in facts:
        state = evolve(state, fact, NOON)
    assert state is not None
    return state


def shipping(**changes: int) -> StockShipped:
    skus = {"lamp": LAMP, "shade": SHADE}
    moved = tuple(SkuChange(sku=skus[name], change=change) for name, change in changes.items())
    return StockShipped(seller_id=SELLER, changes=moved)


def test_the_state_follows_the_facts() -> None:
    reserved = StockReserved(seller_id=SELLER, units=UNITS)
    rest = StockReleased(seller_id=SELLER, units=(SkuQuantity(sku=LAMP, quantity=2),))

    assert evolved(None, reserved) == RESERVED
    assert evolved(None, StockRejected(seller_id=SELLER, lacking=())) == REJECTED
    assert evolved(None, StockReleased(seller_id=SELLER, units=())) == RELEASED
    assert evolved(RESERVED, StockReleased(seller_id=SELLER, units=UNITS)) == RELEASED
    assert evolved(RESERVED, shipping(lamp=3, shade=1)) == SHIPPED
    assert evolved(RESERVED, shipping(lamp=3, shade=1), shipping(lamp=-3, shade=-1)) == RESERVED
    assert evolved(RESERVED, shipping(lamp=1, shade=1), rest) == RELEASED
    back = StockReturned(seller_id=SELLER, sellable=UNITS)
    for state in (RESERVED, RELEASED, SHIPPED):
        assert evolved(state, back, ReorderChecked(seller_id=SELLER, nth=1)) == state


@pytest.mark.parametrize(
    ("state", "fact"),
    [
        (RESERVED, StockReserved(seller_id=SELLER, units=UNITS)),
        (RELEASED, StockRejected(seller_id=SELLER, lacking=())),
        (None, StockReleased(seller_id=SELLER, units=UNITS)),
        (RESERVED, StockReleased(seller_id=SELLER, units=UNITS[:1])),
        (None, shipping(lamp=1)),
        (None, StockReturned(seller_id=SELLER)),
        (None, ReorderChecked(seller_id=SELLER, nth=1)),
        (RESERVED, shipping(lamp=4)),
        (RESERVED, SHADE_LEVEL),
    ],
)
def test_p1_a_fact_that_can_not_follow_is_refused_by_nobody_and_raises(
    state: OrderStock | None, fact: Fact
) -> None:
    with pytest.raises(ValueError, match=r".+"):
        evolve(state, fact, NOON)


def test_r1_the_largest_order_asks_for_all_its_lines_as_one_and_its_facts_can_be_read() -> None:
    question = ask(event(placed(*[(LAMP, MAX_QUANTITY)] * MAX_ITEMS)), Policies())
    assert question is not None
    assert tuple(question.args[-2:]) == (LAMP, MAX_UNITS)

    all_units = LAMPS._replace(units=MAX_UNITS)
    for answered in (answer("reserved", all_units), answer("rejected", all_units)):
        fact = decided(None, ORDER_PLACED, answered)[0]
        assert type(fact).model_validate_json(fact.model_dump_json()) == fact
    with pytest.raises(ValidationError):
        SkuQuantity(sku=LAMP, quantity=MAX_UNITS + 1)


def test_every_key_of_a_question_is_under_the_sellers_hash_tag() -> None:
    asking: list[Event[Any]] = [
        event(ORDER_PLACED),
        event(canceled(), version=2),
        event(open_units_canceled(), version=2),
        event(confirmed({LAMP: 1}), version=2),
        event(returned({LAMP: 1}), version=2),
        event(reorder_asked({LAMP: 1}), version=2),
        event(counted("}{" + SHADE, 1)),
        event(adjusted(SHADE, -1)),
    ]
    for said in asking:
        question = ask(said, Policies())
        assert question is not None
        assert all(key.startswith(f"{{stock:{SELLER}}}:") for key in question.keys)
        assert all(isinstance(part, str | int) for part in question.args)


def test_the_facts_of_one_cause_go_to_their_topics_subjects_and_versions() -> None:
    service = build()
    said = event(ORDER_PLACED, id_="event-1")
    desk = Desk(service, Policies(), partition_of(ORDER, 12), 12)
    inputs = [Input(Received(said, NOON, (answer("reserved", LAMPS, SHADES),)))]
    out = desk.decide(inputs, {ORDER: Document(ORDER)}, lambda _: inputs[0])

    assert [(o.topic, o.key.decode(), o.partition) for o in out.outgoing] == [
        (INVENTORY_EVENTS.name, ORDER, partition_of(ORDER, 12)),
        *(
            (STOCK_LEVELS.name, subject, partition_of(subject, 12))
            for subject in (stock_subject(SELLER, LAMP), stock_subject(SELLER, SHADE))
        ),
    ]
    read = [Event[Fact].model_validate_json(o.value).subjectversion for o in out.outgoing]
    assert read == [1, 41, 9]
    assert out.after[ORDER].state == RESERVED
    assert not out.dead


def test_every_event_that_inventory_reads_has_its_rule_and_it_answers_for_stock() -> None:
    service = build()
    for reading in service.reads:
        for fact in reading.facts:
            assert fact in RULES, fact
    assert [r.topic for r in service.reads if r.topic.owner == service.name] == [STOCK]
