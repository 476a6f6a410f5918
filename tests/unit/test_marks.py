"""What the marks of commits tell: by whom a fact was published, and what of its commit is told."""

from typing import Any

import pytest

from services.simulator.topics import MemoryRecord, encoded
from shared.batch import Outgoing
from shared.marks import (
    CUT_HEADER,
    CommitId,
    Commits,
    Mark,
    Origin,
    mark_headers,
    origin_of,
    part_headers,
)


def of(number: int, claim: str = "claim") -> CommitId:
    return CommitId(claim, number)


def record(headers: dict[str, Any], value: bytes = b"{}", key: bytes = b"S-1") -> MemoryRecord:
    return MemoryRecord("toy.events", 0, 0, 0, key, value, encoded(headers))


def fact(cause: str, subject: str = "S-1") -> Outgoing:
    value = f'{{"causationsource":"test","causationid":"{cause}"}}'
    return Outgoing("toy.events", 0, subject.encode(), value.encode())


def part(number: int, nth: int, *parts: list[Outgoing], claim: str = "claim") -> list[MemoryRecord]:
    mark = Mark("toy", 0, claim, number, {})
    headers = mark_headers(mark) | part_headers(mark, nth, parts)
    return [record(headers, out.value, out.key) for out in parts[nth]]


def test_a_fact_is_of_the_task_and_commit_that_published_it() -> None:
    assert origin_of(record(mark_headers(Mark("toy", 3, "claim", 17, {}))), "toy", 4) == Origin(
        3, of(17)
    )


@pytest.mark.parametrize(
    ("task", "commit"),
    [
        ("toy:4", "17"),
        ("toy:-1", "17"),
        ("other:3", "17"),
        ("toy", "17"),
        ("toy:three", "17"),
        ("toy:3", "seventeen"),
        ("toy:3", "9" * 5_000),
        (None, "17"),
        ("toy:3", None),
    ],
)
def test_p6_what_no_task_of_the_service_wrote_is_of_none(
    task: str | None, commit: str | None
) -> None:
    headers = {"orderflow-task": task, "orderflow-commit": commit, "orderflow-claim": "claim"}
    told = {name: text for name, text in headers.items() if text is not None}

    assert origin_of(record(told), "toy", 4) is None


def test_p6_nor_is_one_whose_headers_are_no_text() -> None:
    bad = MemoryRecord("toy.events", 0, 0, 0, b"S-1", b"{}", (("orderflow-task", b"\xff"),))

    assert origin_of(bad, "toy", 4) is None


def test_a_commit_is_told_with_its_last_part_and_all_before_it_are() -> None:
    commits = Commits(known=of(3))
    for told in (*part(4, 0, [fact("a")]), *part(6, 0, [fact("b")])):
        commits.take(told)

    assert [commits.tells(of(n), ("test", "x")) for n in (3, 4, 5, 6, 7)] == [True] * 4 + [False]


def test_p1_a_number_that_another_claim_has_given_is_another_commit() -> None:
    """Redis went back before the journal told of a commit, and its number was given again."""
    commits = Commits(known=of(3))
    for told in part(4, 0, [fact("a")], claim="another"):
        commits.take(told)

    assert commits.tells(of(4, "another"), ("test", "a"))
    assert not commits.tells(of(4), ("test", "a"))
    assert commits.tells(of(3), ("test", "x"))


def test_of_a_commit_published_in_part_what_its_parts_tell_is_told() -> None:
    commits = Commits(known=of(3))
    for told in part(4, 0, [fact("a"), fact("b", "S-2")], [fact("c", "S-3")]):
        commits.take(told)

    assert [commits.tells(of(4), ("test", cause)) for cause in "abc"] == [True, True, False]
    assert not commits.tells(of(4), ("another", "a")), "an id is one of its source"


def test_where_it_is_cut_what_it_tells_at_its_end_is_decided_again() -> None:
    parts = [fact("a"), fact("b", "S-2"), fact("c", "S-2")], [fact("c", "S-2")]
    commits = Commits(known=of(3))
    first = part(4, 0, *parts)
    assert CUT_HEADER in dict(first[0].headers)
    for told in first:
        commits.take(told)

    assert [commits.tells(of(4), ("test", cause)) for cause in "abc"] == [True, False, False]

    for told in part(4, 1, *parts):
        commits.take(told)
    assert [commits.tells(of(4), ("test", cause)) for cause in "abc"] == [True] * 3


def test_a_part_stays_one_when_later_commits_are_told() -> None:
    commits = Commits(known=of(3))
    for told in (*part(4, 0, [fact("a")], [fact("b", "S-2")]), *part(5, 0, [fact("b", "S-2")])):
        commits.take(told)

    assert not commits.tells(of(4), ("test", "b"))
    assert commits.tells(of(5), ("test", "b"))


@pytest.mark.parametrize("value", [b"", b"no JSON", b"[]", b"7"])
def test_p6_a_marked_record_that_is_no_fact_tells_nothing(value: bytes) -> None:
    commits = Commits(known=of(3))
    (told,) = part(4, 0, [fact("a")], [fact("b", "S-2")])
    commits.take(told._replace(value=value))

    assert not commits.tells(of(4), ("test", "a"))
