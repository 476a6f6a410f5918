"""What fulfillment publishes on `notices`: what buyers and sellers are to be told.

Whoever sends mail, push messages or webhooks reads it.

Each (order, kind, occurrence) is one notice (P4). A silent cancel has none (R6). One that is sent
again on demand is a fact of another type beside it.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from shared.events.envelope import Fact, Topic
from shared.events.fields import (
    Identifier,
    Instant,
    NoticeKind,
    OptionalText,
    OrderId,
    SellerId,
)
from shared.events.fulfillment import CancelReason, DateWindow


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


class NoticeRequestedAgain(NoticeRequested):
    """Somebody is to be told a notice again, because a person asked for it: `nth` counts the times,
    of all notices of the order. It says what holds now, and has an id of its own: who keeps the ids
    that were sent sends it, too; who does not know the type sends nothing twice.
    """

    TYPE: ClassVar[str] = "notice.requested_again.v1"

    nth: Annotated[int, Field(ge=1)]


NOTICES = Topic(
    name="notices",
    facts=(NoticeRequested, NoticeRequestedAgain),
    publisher="fulfillment",
    counted=False,
)
