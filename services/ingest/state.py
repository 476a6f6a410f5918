"""What is known of who says something over HTTP."""

from typing import NamedTuple


class Token(NamedTuple):
    """Who may say what: under which sources, on which topics, and how many events a minute."""

    name: str
    sources: tuple[str, ...]
    topics: tuple[str, ...]
    per_minute: int
