"""What fulfillment publishes on `notices`: what buyers and sellers are to be told.

Whoever sends mail, push messages or webhooks reads it.

Each (order, kind, occurrence) is one notice (P4). A silent cancel has none (R6).
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from shared.events.envelope import Fact, Topic
from shared.events.fields import Identifier, Instant, OptionalText, OrderId, SellerId
from shared.events.fulfillment import CancelReason, DateWindow

NoticeKind = Literal[
    "estimated_delivery",
    "package_shipped",
    "new_delivery_date",
    "order_canceled",
    "cancel_asked",
    "cancel_denied",
    "cancel_refused",
    "late_shipment",
    "cancel_warning",
    "do_not_ship",
    "return_requested",
    "return_opened",
    "return_received",
    "reorder_suggestion",
    "reorder_unavailable",
]


class NoticeRequested(Fact):
    """Somebody is to be told something."""

    TYPE: ClassVar[str] = "notice.requested.v1"

    order_id: OrderId
    kind: NoticeKind
    occurrence: Annotated[int, Field(ge=1)] = 1
    recipient: Literal["BUYER", "SELLER"]
    marketplace_id: Identifier
    buyer_id: Identifier
    seller_id: SellerId
    delivery_window: DateWindow | None = None
    deadline: Instant | None = None
    reason: CancelReason | None = None
    tracking_number: OptionalText = ""
    return_id: Identifier | None = None
    detail: OptionalText = ""


NOTICES = Topic(name="notices", facts=(NoticeRequested,), publisher="fulfillment", counted=False)
