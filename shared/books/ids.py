"""P3: every fact has one id, and is told apart from every other."""

from shared.books.result import Draft
from shared.books.story import Entry, Story
from shared.events.deadlines import DEADLINES_EVENTS
from shared.events.envelope import Topic
from shared.events.fulfillment import FULFILLMENT_EVENTS
from shared.events.inventory import INVENTORY_EVENTS
from shared.events.payment import PAYMENT_EVENTS
from shared.events.topics import PUBLISHED

JOURNALS = (INVENTORY_EVENTS, PAYMENT_EVENTS, FULFILLMENT_EVENTS, DEADLINES_EVENTS)
"""The topics whose facts count their subject's versions; a SKU's are in P1."""


def check_ids(story: Story, page: Draft) -> None:
    """P3: no fact has two ids, and a publisher's facts about a subject count 1, 2, 3 and so on."""
    for topic in PUBLISHED:
        page.count("facts", len(story.of(topic)))
        _check_said_once(story, topic, page)
    for topic in JOURNALS:
        _check_versions(story, topic, page)


def _check_said_once(story: Story, topic: Topic, page: Draft) -> None:
    known: dict[tuple[str | None, str, int], Entry] = {}
    for entry in story.of(topic):
        first = known.setdefault((entry.cause, entry.type, entry.content), entry)
        if first is not entry:
            what = f"{entry.type} of cause {entry.cause}"
            page.violate(story.subject, f"{what} has two ids: {first.id}, {entry.id}")


def _check_versions(story: Story, topic: Topic, page: Draft) -> None:
    versions = [entry.version for entry in story.of(topic)]
    wanted = list(range(1, len(versions) + 1))
    if versions == wanted:
        return
    at = next(n for n, version in enumerate(versions) if version != wanted[n])
    page.violate(story.subject, f"{topic.name} goes on with version {versions[at]}, not {at + 1}")
