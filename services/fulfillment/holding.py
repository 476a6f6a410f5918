"""How an order is held (R2), and released to its seller (R9)."""

from services.fulfillment.answers import tell
from shared.events.fulfillment import (
    Condition,
    ConditionMet,
    DateWindow,
    Order,
    OrderHeld,
    OrderUnshipped,
)
from shared.events.storefront import OrderPlaced
from shared.policy import Policies, Policy
from shared.service import Facts, Received


def hold(placed: OrderPlaced, policies: Policies) -> Facts:
    """R2: every order is held, counted from its purchase, paid or not. R24: from now on it keeps
    the policy of its marketplace as it is now.
    """
    policy = policies.of(placed.marketplace_id)
    held = OrderHeld(
        placed=placed,
        hold_ends=policy.hold_end(placed.purchase_date),
        pending_until=policy.pending_until(placed.purchase_date),
        terms=policy.terms(placed.ship_service_level, [item.sku for item in placed.items]),
    )
    return (held,)


def meet(condition: Condition, order: Order, received: Received, policy: Policy) -> Facts:
    """R9: an order is Unshipped when it is reserved, paid and held out, whichever comes last; the
    buyer gets a delivery estimate, the seller the time to ship.
    """
    met_at = received.event.time
    if condition not in order.waits_for:
        return ()
    if len(order.waits_for) > 1:
        return (ConditionMet(condition=condition, met_at=met_at),)
    released_at = max(met_at, order.released_at or met_at)
    level, skus = order.ship_service_level, [item.sku for item in order.items]
    ship = policy.ship_window(released_at, level, skus)
    delivery = DateWindow(**policy.delivery_window(ship, level, skus)._asdict())
    cancel_at = policy.auto_cancel_at(order.purchase_date, ship.latest)
    unshipped = OrderUnshipped(
        condition=condition,
        met_at=met_at,
        ship_window=DateWindow(**ship._asdict()),
        delivery_window=delivery,
        warn_at=policy.cancel_warning_at(cancel_at),
        cancel_at=cancel_at,
    )
    return (unshipped, tell(order, "BUYER", "estimated_delivery", delivery_window=delivery))
