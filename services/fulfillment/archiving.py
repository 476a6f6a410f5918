"""How an order gets stuck where no rule ends a wait, and is archived once it is over (R23)."""

from shared.events.deadlines import DeadlineReached
from shared.events.fulfillment import Order, OrderArchived, OrderStuck, Stuck, StuckReason
from shared.policy import Policy
from shared.service import Facts, Received


def get_stuck(reason: StuckReason, _order: Order, received: Received, _policy: Policy) -> Facts:
    """R23: what passes its deadline without a rule that ends it is visible as stuck."""
    deadline: DeadlineReached = received.event.data
    return (OrderStuck(stuck=Stuck(reason=reason, since=deadline.due)),)


def archive(order: Order, received: Received, _policy: Policy) -> Facts:
    """R23: what is over for so long leaves Redis, all but a stub that answers who comes late."""
    deadline: DeadlineReached = received.event.data
    return (OrderArchived(seller_id=order.seller_id, archived_at=deadline.due),)
