"""Who is stuck, by looks: an outage and a long journal are waited for, tries that fail are not."""

from collections.abc import Iterable

from shared.standstill import Seen, Standstill

MOST = 12
"""Looks, of which each further one would be one too many."""


def looks(standstill: Standstill, seen: Iterable[Seen], waits: bool | None = True) -> int:
    """What is counted of partition 7 after looks that find it like that."""
    for one in seen:
        still = standstill.still({7: one})
        standstill.note(dict.fromkeys(still, waits))
    return standstill.looks[7]


def open_at(committed: int) -> Seen:
    return Seen(committed=committed)


def tries(n: int, *, reading: int) -> list[Seen]:
    """Openings that fail one after the other, `reading` looks each, and the wait after each."""
    found, read = [], 100
    for _ in range(n):
        begun = read
        for _ in range(reading):
            read += 500
            found.append(Seen(opening=begun, read=read))
        found.append(Seen())
    return found


def test_records_that_wait_while_nothing_is_committed_are_counted_look_by_look() -> None:
    assert looks(Standstill(), [open_at(40)] * 14) == 13


def test_a_commit_begins_the_count_anew() -> None:
    standstill = Standstill()
    looks(standstill, [open_at(40)] * 10)

    assert looks(standstill, [open_at(41)]) == 0
    assert looks(standstill, [open_at(41)] * 3) == 3


def test_nothing_that_waits_is_no_standing_still() -> None:
    standstill = Standstill()
    looks(standstill, [open_at(40)] * 10)

    assert looks(standstill, [open_at(40)], waits=False) == 0


def test_an_opening_that_reads_a_long_journal_is_waited_for() -> None:
    assert looks(Standstill(), tries(1, reading=500)) < 3


def test_openings_that_fail_again_and_again_are_found_however_much_each_of_them_reads() -> None:
    assert looks(Standstill(), tries(13, reading=1)) > MOST
    assert looks(Standstill(), tries(13, reading=9)) > MOST


def test_an_opening_that_does_not_read_is_counted() -> None:
    assert looks(Standstill(), [Seen(opening=100, read=100)] * 14) > MOST


def test_what_an_opening_commits_only_counts_beyond_what_was_committed_before() -> None:
    standstill = Standstill()
    looks(standstill, [open_at(40), *tries(5, reading=0)])

    assert looks(standstill, [open_at(40)]) == 6
    assert looks(standstill, [open_at(41)]) == 0


def test_a_look_that_fails_takes_one_off_and_forgets_no_more() -> None:
    standstill = Standstill()
    looks(standstill, [open_at(40)] * 11)

    assert looks(standstill, [open_at(40)], waits=None) == 9


def test_an_outage_is_waited_out_and_what_was_counted_before_it_is_forgotten() -> None:
    standstill = Standstill()
    looks(standstill, [open_at(40)] * 11)

    assert looks(standstill, [open_at(40)] * 1_000, waits=None) == 0


def test_a_server_that_is_away_every_other_look_ends_nothing() -> None:
    standstill = Standstill()
    for _ in range(1_000):
        looks(standstill, [open_at(40)])
        looks(standstill, [open_at(40)], waits=None)

    assert standstill.looks[7] < 3


def test_a_partition_that_moves_away_and_comes_back_is_counted_anew() -> None:
    standstill = Standstill()
    looks(standstill, [open_at(40)] * 11)
    standstill.note(dict.fromkeys(standstill.still({8: open_at(3)}), True))

    assert looks(standstill, [open_at(40)]) == 0
