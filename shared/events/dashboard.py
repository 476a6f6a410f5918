"""What people do beside the order process, on `dashboard.events`: with dead letters.

What they do to an order is an event on the topic of the service that decides it, like a seller's
own. Either way the source is where they did it, and their name: `dashboard/NAME` or
`orderflow-cli/NAME`.
"""

from typing import Annotated, ClassVar

from pydantic import StringConstraints

from shared.events.envelope import About, Fact, Topic
from shared.events.fields import OptionalText, Text

PAGES = "dashboard/"
COMMANDS = "orderflow-cli/"
"""What the sources of people's events begin with."""

Place = Annotated[
    str, StringConstraints(max_length=120, pattern=r"^[A-Za-z0-9._-]+:[0-9]{1,10}:[0-9]{1,19}$")
]
"""Where a record lies: topic:partition:offset."""


def person_of(source: str) -> str:
    """Who is behind an event, by its source; empty where that is no person of ours."""
    for begin in (PAGES, COMMANDS):
        if source.startswith(begin):
            return source.removeprefix(begin)
    return ""


def letter_subject(origin: str) -> str:
    """What is said of a dead letter is about this: no order's id and no SKU has a blank there."""
    return f"letter {origin}"


class LetterReplayed(Fact):
    """The record of a dead letter was sent again: as it came, or as an edited copy.

    `letter` is where it came from, `copy_at` where the copy lies, and `record_key` its key.
    """

    TYPE: ClassVar[str] = "letter.replayed.v1"

    letter: Place
    by: Text
    copy_at: Place
    edited: bool = False
    record_key: OptionalText = ""

    def about(self) -> About:
        return About(letter_subject(self.letter))


class LetterDiscarded(Fact):
    """Somebody has decided that a dead letter is to lead to nothing, and why."""

    TYPE: ClassVar[str] = "letter.discarded.v1"

    letter: Place
    by: Text
    reason: Text
    record_key: OptionalText = ""

    def about(self) -> About:
        return About(letter_subject(self.letter))


DASHBOARD_EVENTS = Topic(
    name="dashboard.events",
    facts=(LetterReplayed, LetterDiscarded),
    publisher="dashboard",
    counted=False,
)
