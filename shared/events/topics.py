"""All topics of the system: what comes from outside, and what its services publish.

The dead-letter topic holds no events and is apart (`shared/kafka.py`).
"""

from collections.abc import Mapping

from shared.events.carrier import TRACKING
from shared.events.dashboard import DASHBOARD_EVENTS
from shared.events.deadlines import DEADLINES_EVENTS
from shared.events.envelope import Fact, Topic
from shared.events.fulfillment import FULFILLMENT_EVENTS
from shared.events.gateway import PAYMENTS
from shared.events.inventory import INVENTORY_EVENTS, STOCK_LEVELS
from shared.events.notices import NOTICES
from shared.events.payment import PAYMENT_EVENTS
from shared.events.seller import SHIPMENTS
from shared.events.storefront import ORDERS
from shared.events.warehouse import STOCK

FROM_OUTSIDE = (ORDERS, PAYMENTS, SHIPMENTS, TRACKING, STOCK)
PUBLISHED = (
    INVENTORY_EVENTS,
    STOCK_LEVELS,
    PAYMENT_EVENTS,
    FULFILLMENT_EVENTS,
    NOTICES,
    DEADLINES_EVENTS,
    DASHBOARD_EVENTS,
)
TOPICS = (*FROM_OUTSIDE, *PUBLISHED)

TOPIC_OF: Mapping[type[Fact], Topic] = {
    fact: topic for topic in FROM_OUTSIDE for fact in topic.facts
}
"""Where a fact from outside is told."""
