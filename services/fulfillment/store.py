"""An order in Redis: its whole `Order` as one document."""

from shared.documents import Documents
from shared.events.fulfillment import Order

documents: Documents[Order] = Documents("fulfillment", Order)
