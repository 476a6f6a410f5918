"""What the address of a page asks for beside its path. What that can not mean is answered in one
manner on every page: 400, with each field that is wrong and what is allowed there.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import date

from starlette.exceptions import HTTPException

from services.dashboard.web.filters import MAX_TEXT, Problem, read_day

Query = Mapping[str, str]
DIGITS = re.compile(r"[0-9]{1,9}")


class WrongQuery(HTTPException):
    """An address asks for what there is not."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(400)
        self.problems = problems


def choice(query: Query, name: str, allowed: Collection[str], default: str) -> str:
    """One of some values, the default where none is given; raises WrongQuery."""
    value = query.get(name, "").strip()
    if value and value not in allowed:
        raise WrongQuery([Problem(name, ", ".join(allowed))])
    return value or default


def text(query: Query, name: str) -> str:
    """A short text, empty where none is given; raises WrongQuery."""
    value = query.get(name, "").strip()
    if len(value) > MAX_TEXT:
        raise WrongQuery([Problem(name, f"at most {MAX_TEXT} characters")])
    return value


def number(query: Query, name: str, least: int, most: int) -> int:
    """A whole number between two, the least where none is given; raises WrongQuery."""
    value = query.get(name, "").strip()
    if value and not (DIGITS.fullmatch(value) and least <= int(value) <= most):
        raise WrongQuery([Problem(name, f"a number from {least} to {most}")])
    return int(value or least)


def day(query: Query, name: str) -> date | None:
    """A day, None where none is given; raises WrongQuery."""
    value = query.get(name, "").strip()
    found = read_day(value) if value else None
    if value and found is None:
        raise WrongQuery([Problem(name, "a day such as 2026-03-11")])
    return found
