"""The inventory service, put together."""

from services.inventory.decisions import decide
from services.inventory.restore import reapply, restore
from services.inventory.state import OrderStock, evolve
from services.inventory.store import STOCK_KEYS, ask, documents
from shared.decode import Reading
from shared.events.fulfillment import (
    FULFILLMENT_EVENTS,
    OpenUnitsCanceled,
    OrderCanceled,
    PackageConfirmed,
    ReorderAsked,
    RequestRefused,
    UnitsReturned,
)
from shared.events.inventory import INVENTORY_EVENTS, STOCK_LEVELS
from shared.events.storefront import ORDERS, OrderPlaced
from shared.events.warehouse import STOCK
from shared.service import Crossing, Service
from shared.worker import run


def build() -> Service[OrderStock]:
    """What inventory reads, asks, decides and writes, for the partition task."""
    return Service(
        name="inventory",
        reads=(
            Reading(ORDERS, (OrderPlaced,)),
            Reading(STOCK, STOCK.facts),
            Reading(
                FULFILLMENT_EVENTS,
                (
                    OrderCanceled,
                    OpenUnitsCanceled,
                    PackageConfirmed,
                    UnitsReturned,
                    ReorderAsked,
                    RequestRefused,
                ),
            ),
        ),
        journal=INVENTORY_EVENTS,
        publishes=(STOCK_LEVELS,),
        asks=(ask,),
        crossing=Crossing(
            pattern=STOCK_KEYS, reapply=reapply, restore=restore, topics=(STOCK_LEVELS,)
        ),
        decide=decide,
        evolve=evolve,
        documents=documents,
    )


def main() -> None:
    """Run the service until it is told to stop."""
    run(build())


if __name__ == "__main__":
    main()
