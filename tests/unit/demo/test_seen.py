"""What the demo knows is what lies on the topics, each fact once."""

from dataclasses import replace

from services.cli.demo import stories
from services.cli.demo.script import DAY, MINUTE, OPENING
from services.cli.demo.seen import Seen
from shared.clock import to_ms
from shared.events.inventory import STOCK_LEVELS
from shared.events.notices import NOTICES
from shared.kafka import DEAD_LETTERS
from tests.support.theatre import Records, seen_in
from tests.support.world import MemoryRecord


def test_p3_a_record_that_lies_there_twice_counts_once(records: Records) -> None:
    once, twice = seen_in(records), seen_in((*records, *records))

    assert twice.total == once.total > 0
    assert twice.counts == once.counts
    assert list(twice.notices) == list(once.notices)


def test_p1_the_highest_version_of_a_level_holds_in_any_order(records: Records) -> None:
    levels = [record for record in records if record.topic == STOCK_LEVELS.name]

    assert seen_in(reversed(levels)).levels == seen_in(levels).levels
    lantern = seen_in(levels).levels["LAMPWORKS/LANTERN-LAST"]
    assert (lantern.on_hand, lantern.available, lantern.reserved) == (0, 0, 0)


def test_every_order_of_the_stories_has_its_last_status(seen: Seen) -> None:
    assert seen.statuses() == {"Shipped": 9, "Canceled": 6}
    assert seen.orders[stories.UNCONFIRMED.orders[0].order_id].status == "Canceled"


def test_deadlines_are_those_still_open_the_next_one_first(records: Records) -> None:
    minute_5 = to_ms(OPENING + 5 * MINUTE)
    open_ = seen_in(record for record in records if record.timestamp < minute_5).waiting()

    assert [(waiting.kind, waiting.due - OPENING) for waiting in open_] == [
        ("hold", 32 * MINUTE),
        ("hold", 33 * MINUTE),
        ("hold", 34 * MINUTE),
        ("verification", 7 * DAY + 2 * MINUTE),
        ("verification", 7 * DAY + 4 * MINUTE),
        ("pending_too_long", 8 * DAY + 2 * MINUTE),
        ("pending_too_long", 8 * DAY + 3 * MINUTE),
        ("pending_too_long", 8 * DAY + 4 * MINUTE),
    ]
    assert not seen_in(records).waiting()


def test_notices_are_counted_all_and_kept_as_many_as_a_screen_shows(seen: Seen) -> None:
    assert seen.counts[NOTICES.name] > len(seen.notices) == 60


def test_p6_dead_letters_are_counted_by_their_reason() -> None:
    letter = MemoryRecord(
        DEAD_LETTERS, 0, 0, 0, b"k", b"?", headers=(("deadletter-reason", b"not_json"),)
    )
    seen = Seen()

    assert seen.take(letter) is None
    assert seen.dead_letters == {"not_json": 1}
    assert seen.total == 0


def test_a_record_that_is_no_event_is_passed_over(records: Records) -> None:
    seen = Seen()

    assert seen.take(replace(records[0], value=b"rubbish")) is None
    assert seen.take(replace(records[0], value=b'{"type":"somebody.elses.v1"}')) is None
    assert seen.total == 0
