"""How a buyer who canceled orders again (R19): fulfillment asks inventory, and tells the buyer."""

from services.fulfillment.answers import refuse, tell
from shared.events.fields import NoticeKind
from shared.events.fulfillment import Order, ReorderAnswered, ReorderAsked
from shared.events.inventory import ReorderChecked
from shared.events.storefront import units_by_sku
from shared.policy import Policy
from shared.service import Facts, Received


def ask_for_stock(order: Order, received: Received, _policy: Policy) -> Facts:
    """R19: whoever canceled may ask for the same again; nobody else's cancel is taken back."""
    if order.cancellation is None or order.cancellation.requested_by != "BUYER":
        return (refuse(received.event, "not_canceled_by_buyer"),)
    asked = ReorderAsked(
        seller_id=order.seller_id, nth=order.reorders_asked + 1, units=units_by_sku(order.items)
    )
    return (asked,)


def answer_reorder(order: Order, received: Received, _policy: Policy) -> Facts:
    """R19: the buyer gets a suggestion to order again while the stock lasts, or hears that it does
    not; nothing is reserved by that.
    """
    checked: ReorderChecked = received.event.data
    in_stock = not checked.lacking
    answered = ReorderAnswered(nth=checked.nth, in_stock=in_stock)
    kind: NoticeKind = "reorder_suggestion" if in_stock else "reorder_unavailable"
    return (answered, tell(order, "BUYER", kind, occurrence=checked.nth))
