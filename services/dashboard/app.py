"""The dashboard's projection, put together; its pages are served by a process of their own."""

from dataclasses import replace

from services.dashboard.decisions import Told, decide
from services.dashboard.letters import LETTERS, letter_event
from services.dashboard.state import View, evolve
from services.dashboard.store import documents
from shared.decode import Reading
from shared.events.dashboard import DASHBOARD_EVENTS, LetterDiscarded, LetterReplayed
from shared.events.deadlines import DEADLINES_EVENTS
from shared.events.fulfillment import FULFILLMENT_EVENTS
from shared.events.inventory import (
    INVENTORY_EVENTS,
    STOCK_LEVELS,
    StockDepleted,
    StockLevelChanged,
)
from shared.events.notices import NOTICES
from shared.events.payment import PAYMENT_EVENTS
from shared.service import Service
from shared.worker import run

LEVELS = replace(STOCK_LEVELS, counted=False)
"""Several partitions tell of a SKU, and overtake one another: each version counts, however late."""


def build() -> Service[View]:
    """The service: it reads all that the others publish, and what its pages say of dead letters."""
    return Service(
        name="dashboard",
        reads=(
            Reading(FULFILLMENT_EVENTS, every=Told),
            Reading(PAYMENT_EVENTS, every=Told),
            Reading(INVENTORY_EVENTS, every=Told),
            Reading(DEADLINES_EVENTS, every=Told),
            Reading(NOTICES, every=Told),
            Reading(LEVELS, (StockLevelChanged, StockDepleted)),
            Reading(LETTERS, read=letter_event),
            Reading(DASHBOARD_EVENTS, (LetterReplayed, LetterDiscarded)),
        ),
        journal=DASHBOARD_EVENTS,
        decide=decide,
        evolve=evolve,
        documents=documents,
        whole_journal=False,
    )


def main() -> None:
    """Run the projection as this process."""
    run(build())


if __name__ == "__main__":
    main()
