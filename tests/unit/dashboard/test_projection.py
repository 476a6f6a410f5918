"""What the projection makes of facts: pure, whatever order the topics are read in."""

import json
from itertools import chain
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from services.dashboard.app import build
from services.dashboard.decisions import Kept, Told, decide, said
from services.dashboard.letters import letter_event
from services.dashboard.rows import row_of
from services.dashboard.state import (
    KEPT_FIRST,
    MAX_GAPS,
    MAX_TIMELINE,
    Change,
    Entry,
    Level,
    LevelShown,
    View,
    evolve,
)
from services.dashboard.store import Views
from services.dashboard.web.order import in_order, timeline
from services.dashboard.web.words import WORDS, words_of
from shared.batch import DeadLetter, StoredRecord
from shared.clock import Timeline, to_ms
from shared.decode import Decoder
from shared.events.envelope import Event
from shared.events.inventory import STOCK_LEVELS, StockLevelChanged
from shared.events.notices import NOTICES, NoticeRequested
from shared.events.parking import EventDecided
from shared.events.payment import PAYMENT_EVENTS, VerificationStarted
from shared.events.topics import PUBLISHED
from shared.events.warehouse import stock_subject
from shared.kafka import DEAD_LETTERS
from shared.policy import Policies
from shared.redis import connect
from shared.service import Received
from tests.support.orders import BUYER, KETTLE, ORDER_ID, PURCHASED, SELLER, archived, unshipped
from tests.support.screen import PARTITIONS, Teller, project
from tests.unit.dashboard.conftest import LATE, NOW, SHIPPED, TOLD

POLICIES = Policies()


def entry(offset: int, type_: str = "order.stuck.v1", **members: Any) -> Entry:
    return Entry(type_, offset, 0, "fulfillment.events", offset, f"{offset:08}", "", "", members)


def fact(n: int, order: Any = None) -> Received:
    event = Event[Told](
        id=f"{n:08}-fact",
        source="orderflow/fulfillment",
        type="order.shipment_late.v1",
        subject=ORDER_ID,
        time=PURCHASED,
        data=Told(order=order),
    )
    origin = "fulfillment.events", n
    return Received(event, PURCHASED, publisher="fulfillment", origin=origin)


def after(view: View | None, *events: Received) -> View:
    for each in events:
        for shown in decide(view, each, POLICIES):
            view = evolve(view, shown, each.event.time)
    assert view is not None
    return view


# -- orders -----------------------------------------------------------------------------------


def test_every_fact_that_a_timeline_can_show_has_words() -> None:
    read = {reading.topic.name for reading in build().reads}
    others = {"stock.levels", "dashboard.events"}  # of no order
    shown = [t for t in PUBLISHED if t.name in read - others]
    types = {fact.TYPE for topic in shown for fact in topic.facts} - {EventDecided.TYPE}

    assert types - WORDS.keys() == {"payment.payer_blocked.v1", "payment.payer_unblocked.v1"}
    assert WORDS.keys() - types == set()
    for type_ in WORDS:
        assert words_of(entry(1, type_)), f"{type_} without any of its members"


def test_a_fact_of_a_later_release_is_shown_by_its_type() -> None:
    assert words_of(entry(1, "order.gift_wrapped.v1")) == "order.gift_wrapped.v1"


def test_r3_a_timeline_keeps_nothing_that_names_anybody() -> None:
    names = ("Mirabel", "mirabel@", "Kastanienallee", "14471", BUYER, SELLER)
    for record in TOLD.records:
        data = json.loads(record.value or b"")["data"] if record.topic != DEAD_LETTERS else {}
        kept = json.dumps(said(data))
        assert not [name for name in names if name in kept], record.topic


def test_a_timeline_keeps_its_first_and_its_last_facts_and_counts_the_rest() -> None:
    view = after(None, *(fact(n) for n in range(MAX_TIMELINE + 7)))

    offsets = [each.offset for each in view.timeline]
    assert (len(offsets), view.told) == (MAX_TIMELINE, MAX_TIMELINE + 7)
    assert offsets[: KEPT_FIRST + 1] == [*range(KEPT_FIRST), KEPT_FIRST + 7]
    assert offsets[-1] == MAX_TIMELINE + 6


OURS = "fulfillment.events"
LATE_PLACED = (
    # placed an hour after its purchase: the hold was over when it was armed
    Entry("order.held.v1", 3_600, 0, OURS, 4, "held", "shop-1", "shop", {}),
    Entry("order.condition_met.v1", 3_600, 0, OURS, 5, "stock", "kept", "", {}),
    Entry("stock.reserved.v1", 3_600, 0, "inventory.events", 9, "kept", "shop-1", "shop", {}),
    Entry(
        "deadline.reached.v1", 1_800, 0, "deadlines.events", 2, "over", "", "",
        {"publisher": "fulfillment", "kind": "hold"},
    ),
    Entry("order.unshipped.v1", 3_600, 0, OURS, 6, "free", "over", "", {}),
    Entry("notice.requested.v1", 3_600, 0, "notices", 1, "told", "over", "", {}),
    Entry("order.shipment_late.v1", 9_000, 0, OURS, 7, "late", "none", "", {}),
)  # fmt: skip


@given(st.permutations(LATE_PLACED))
def test_r22_nothing_is_shown_before_what_it_came_of(entries: list[Entry]) -> None:
    shown = [entry.id for entry in in_order(entries)]

    assert shown == ["held", "kept", "stock", "over", "free", "told", "late"]


def test_r22_a_deadline_without_effect_follows_what_began_its_publishers_facts() -> None:
    without = [entry for entry in LATE_PLACED if entry.id in {"over", "held", "stock"}]

    assert [entry.id for entry in in_order(without)] == ["held", "over", "stock"]


def test_r22_what_goes_in_a_circle_is_shown_by_time() -> None:
    first, second = (Entry("x", n, 0, f"{n}.events", 0, str(n), str(3 - n), "", {}) for n in (1, 2))

    assert in_order([second, first]) == [first, second]


def test_an_archived_order_is_in_no_list_and_lingers() -> None:
    view = after(None, fact(1, unshipped()))
    assert row_of(view) is not None
    assert not view.lingers

    over = after(view, fact(2, archived()))

    assert row_of(over) is None
    assert over.lingers


def test_what_is_unknown_lingers_and_is_in_no_list() -> None:
    view = after(None, fact(1))

    assert (row_of(view), view.lingers) == (None, True)


@pytest.mark.asyncio
async def test_facts_are_the_same_view_whichever_topic_is_read_first(morning: str) -> None:
    """And whatever comes again changes nothing."""
    by_topic: dict[tuple[str, int], list[StoredRecord]] = {}
    for record in TOLD.records:
        by_topic.setdefault((record.topic, record.partition), []).append(record)
    queues = list(by_topic.values())
    Random(7).shuffle(queues)
    before, after_ = connect(f"{morning}"), connect(other_database(morning))

    await project(after_, chain.from_iterable([*queues, *queues]))

    for order_id in (LATE, SHIPPED):
        expected = await Views(before, PARTITIONS).view(order_id)
        assert expected is not None
        assert await Views(after_, PARTITIONS).view(order_id) == expected
    await after_.flushdb()
    await close(before, after_)


def other_database(url: str) -> str:
    return url.removesuffix("/0") + "/1"


async def close(*clients: Redis) -> None:
    for client in clients:
        await client.aclose()


@pytest.mark.asyncio
async def test_p4_two_notices_of_one_fact_are_both_shown_and_each_once(morning: str) -> None:
    teller = Teller()
    told: dict[str, Any] = {
        "order_id": LATE,
        "kind": "late_shipment",
        "marketplace_id": "M",
        "buyer_id": BUYER,
        "seller_id": SELLER,
    }
    for recipient in ("BUYER", "SELLER"):
        notice = NoticeRequested(**told, recipient=recipient)
        teller.say(NOTICES, notice, LATE, NOW, 9, id_=f"{recipient.lower()}-notice")
    redis = connect(other_database(morning))

    await project(redis, [*teller.records, *teller.records])
    again = [r._replace(offset=r.offset + 10) for r in teller.records]
    await project(redis, again)

    view = await Views(redis, PARTITIONS).view(LATE)
    assert view is not None
    assert [each.said["recipient"] for each in view.timeline] == ["BUYER", "SELLER"]
    await redis.flushdb()
    await redis.aclose()


# -- stock ------------------------------------------------------------------------------------


def level(*changes: tuple[int, int, int, int, int]) -> Level:
    """After (version, change on hand, change reserved, on hand, reserved)."""
    view: View | None = None
    for version, on_hand_change, reserved_change, on_hand, reserved in changes:
        at_ms = to_ms(PURCHASED) + version
        change = Change(version, at_ms, on_hand_change, reserved_change, on_hand, reserved, "", "")
        available = change.on_hand - change.reserved
        shown = LevelShown(seller_id=SELLER, sku="TEA", available=available, change=change)
        view = evolve(view, shown, PURCHASED)
    assert view is not None
    assert view.level is not None
    return view.level


@pytest.mark.parametrize(
    ("changes", "adds_up"),
    [
        ([(1, 9, 0, 9, 0), (2, 0, 4, 9, 4), (3, -4, -4, 5, 0)], True),
        ([(7, 0, 1, 9, 4), (8, 0, 1, 9, 5)], True),
        ([(1, 9, 0, 9, 0), (3, 0, 1, 9, 1)], None),
        ([(1, 9, 0, 9, 0), (2, 0, 4, 8, 4)], False),
        ([(1, 9, 0, 9, 0), (2, 0, 10, 9, 10)], False),
    ],
    ids=["all seen", "from the middle", "one missed", "one unit gone", "below zero"],
)
def test_p1_a_level_adds_up_where_its_changes_make_it(
    changes: list[tuple[int, int, int, int, int]], adds_up: bool | None
) -> None:
    assert level(*changes).adds_up is adds_up


SOLD = [
    (4, 9, 0, 9, 0),
    (5, 0, 4, 9, 4),
    (6, 0, 1, 9, 5),
    (7, -4, -4, 5, 1),
    (8, 0, 2, 5, 3),
    (9, 2, 0, 7, 3),
]


@given(st.permutations(SOLD))
def test_p1_a_level_is_the_same_however_its_changes_overtake_one_another(
    changes: list[tuple[int, int, int, int, int]],
) -> None:
    told = level(*changes)

    assert told == level(*SOLD)
    assert (told.version, told.first, told.unseen, told.adds_up) == (9, 4, 0, True)
    assert [change.version for change in told.changes] == [4, 5, 6, 7, 8, 9]


@given(st.permutations(SOLD), st.integers(1, 5))
def test_p1_what_is_still_to_come_is_known_to_the_version(
    changes: list[tuple[int, int, int, int, int]], n: int
) -> None:
    told, came = level(*changes[:n]), {version for version, *_ in changes[:n]}

    between = range(min(came), max(came) + 1)
    assert {version for version in range(1, 20) if told.has_seen(version)} == came
    assert told.unseen == len(between) - len(came)


def test_p1_of_too_many_gaps_the_first_are_given_up_and_counted() -> None:
    every_other = [(2 * n, 0, 0, 9, 0) for n in range(1, MAX_GAPS + 4)]

    told = level(*every_other)

    assert (len(told.gaps), told.missed, told.unseen) == (MAX_GAPS, 2, MAX_GAPS + 2)
    assert told.has_seen(3), "it is waited for no more"
    assert told.adds_up is None


@pytest.mark.asyncio
async def test_p1_levels_that_several_partitions_tell_are_all_counted_and_each_once(
    morning: str,
) -> None:
    teller, subject = Teller(), stock_subject(SELLER, KETTLE)
    for version, moved, taken, on_hand, reserved in (SOLD[1], SOLD[0], SOLD[2]):
        changed = StockLevelChanged(
            seller_id=SELLER,
            sku=KETTLE,
            on_hand=on_hand,
            available=on_hand - reserved,
            reserved=reserved,
            on_hand_change=moved,
            reserved_change=taken,
            level_version=version,
        )
        teller.say(STOCK_LEVELS, changed, subject, PURCHASED, version)
    redis = connect(other_database(morning))

    await project(redis, [*teller.records, *teller.records])

    view = await Views(redis, PARTITIONS).view(subject)
    assert view is not None
    assert view.level is not None
    assert (view.level.version, view.level.reserved, view.level.adds_up) == (6, 5, True)
    await redis.flushdb()
    await redis.aclose()


def test_r3_the_timeline_of_a_pending_order_names_no_price() -> None:
    said = {"amount": {"amount_minor": 13_368, "currency": "EUR"}}
    entry = Entry(
        type=VerificationStarted.TYPE,
        time_ms=0,
        late_ms=0,
        topic=PAYMENT_EVENTS.name,
        offset=0,
        id="12345678",
        cause="",
        cause_source="",
        said=said,
    )
    (line,) = timeline(View(kind="order", timeline=(entry,)), 0)

    assert "Payment of ••• is awaited" in line.words


# -- dead letters -----------------------------------------------------------------------------


def letter(topic: str = "orders", n: int = 1) -> StoredRecord:
    broken = StoredRecord(topic, 1, 17, 0, b"ORDER-X", b"{", ())
    return (
        Teller()
        .bury(DeadLetter(broken, "not_json", "x" * 5_000), "payment", PURCHASED)
        ._replace(offset=n)
    )


def test_p6_a_letter_about_a_letter_is_none_so_that_no_bug_goes_round_for_ever() -> None:
    assert letter_event(letter()) is not None
    assert letter_event(letter(topic=DEAD_LETTERS)) is None


def test_what_else_lies_on_the_topic_is_no_letter() -> None:
    stray = StoredRecord(DEAD_LETTERS, 1, 3, 0, b"k", b"v", (("deadletter-topic", b"orders"),))

    assert letter_event(stray) is None


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("deadletter-headers", b"null"),
        ("deadletter-headers", b'[["a",5]]'),
        ("deadletter-headers", b"[" * 5_000),
        ("deadletter-topic", b"t" * 300),
        ("deadletter-service", b"s" * 300),
        ("deadletter-offset", b"9" * 200),
    ],
)
def test_p6_a_letter_of_nobody_stops_no_partition(header: str, value: bytes) -> None:
    ours = letter()
    headers = tuple((n, value if n == header else v) for n, v in ours.headers)
    assert headers != ours.headers

    assert letter_event(ours._replace(headers=headers)) is None


def test_p6_a_record_that_was_kept_twice_is_one_letter() -> None:
    decoder = Decoder("dashboard", build().reads, PARTITIONS)
    first = decoder.decode(letter(n=1), Timeline())
    again = decoder.decode(letter(n=2), Timeline())
    assert isinstance(first, Event)
    assert isinstance(again, Event)
    assert isinstance(first.data, Kept)
    assert first.subject == again.subject == "letter orders:1:17"

    view = after(None, Received(first, PURCHASED), Received(again, NOW))

    assert view.letter is not None
    assert view.letter.offset == 1
    assert to_ms(view.letter.kept_at) == to_ms(PURCHASED)
    assert len(view.letter.detail) < 1_000
