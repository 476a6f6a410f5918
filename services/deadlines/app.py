"""The deadlines service, put together."""

from services.deadlines.clock import keep_ttl_keys, sweep
from services.deadlines.decisions import decide
from services.deadlines.state import Deadlines, evolve
from services.deadlines.store import documents
from shared.decode import Reading
from shared.events.deadlines import DEADLINES_EVENTS
from shared.events.envelope import ServiceFact
from shared.events.fulfillment import FULFILLMENT_EVENTS
from shared.events.payment import PAYMENT_EVENTS
from shared.service import Service
from shared.worker import run


def build() -> Service[Deadlines]:
    """The service: it reads the open deadlines of every fact of those who have any."""
    return Service(
        name="deadlines",
        reads=(
            Reading(PAYMENT_EVENTS, every=ServiceFact),
            Reading(FULFILLMENT_EVENTS, every=ServiceFact),
        ),
        journal=DEADLINES_EVENTS,
        decide=decide,
        evolve=evolve,
        documents=documents,
        whole_journal=False,
    )


def main() -> None:
    """Run it as this process."""
    run(build(), sweep, keep_ttl_keys)
