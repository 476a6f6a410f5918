"""The fulfillment service: the sole owner of order status, and the arbiter of every race."""

from services.fulfillment.decisions import decide
from services.fulfillment.state import evolve
from services.fulfillment.store import documents
from shared.decode import Reading
from shared.events.carrier import TRACKING
from shared.events.deadlines import DEADLINES_EVENTS
from shared.events.fulfillment import FULFILLMENT_EVENTS, Order
from shared.events.inventory import INVENTORY_EVENTS, ReorderChecked, StockRejected, StockReserved
from shared.events.notices import NOTICES
from shared.events.payment import (
    PAYMENT_EVENTS,
    ApprovalWithdrawn,
    PaymentApproved,
    PaymentRefused,
)
from shared.events.seller import SHIPMENTS
from shared.events.storefront import ORDERS
from shared.service import Service
from shared.worker import run


def build() -> Service[Order]:
    """The service as the partition task runs it; of the topics that it owns it handles all."""
    return Service(
        name="fulfillment",
        reads=(
            Reading(ORDERS, ORDERS.facts),
            Reading(SHIPMENTS, SHIPMENTS.facts),
            Reading(TRACKING, TRACKING.facts),
            Reading(INVENTORY_EVENTS, (StockReserved, StockRejected, ReorderChecked)),
            Reading(PAYMENT_EVENTS, (PaymentApproved, PaymentRefused, ApprovalWithdrawn)),
            Reading(DEADLINES_EVENTS, DEADLINES_EVENTS.facts),
        ),
        journal=FULFILLMENT_EVENTS,
        publishes=(NOTICES,),
        decide=decide,
        evolve=evolve,
        documents=documents,
        snapshot="order",
    )


def main() -> None:
    """Run the service as this process."""
    run(build())


if __name__ == "__main__":
    main()
