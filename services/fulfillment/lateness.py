"""A shipment that is late, or is said to be going to: the buyer gets a new delivery date (R12)."""

from datetime import datetime

from services.fulfillment.answers import promised, refuse, tell
from shared.events.deadlines import DeadlineReached
from shared.events.envelope import Event
from shared.events.fulfillment import (
    AnnouncedDelay,
    DateWindow,
    Order,
    RequestRefused,
    ShipmentDelayed,
    ShipmentLate,
)
from shared.events.seller import DelayAnnounced
from shared.policy import Policy
from shared.service import Facts, Received


def announce_delay(order: Order, received: Received, policy: Policy) -> Facts:
    """R12: a seller who announces a delay before the ship-by date passes gives the buyer a new date
    at once. The ship-by date stays: when it passes, the order is late all the same.

    Afterwards it is refused: the buyer has a new date by then, and gets the next with each late
    notice. To announce the same again is no news.
    """
    event: Event[DelayAnnounced] = received.event
    if refused := _not_announceable(order, event):
        return (refused,)
    data, known = event.data, order.announced_delay
    if known and known.expected_ship_date == data.expected_ship_date:
        return ()
    delay = AnnouncedDelay(
        expected_ship_date=data.expected_ship_date, reason=data.reason, announced_at=event.time
    )
    nth = order.late_notices + 1
    window = _new_window(order, event.time, data.expected_ship_date, policy)
    return (
        ShipmentDelayed(occurrence=nth, delivery_window=window, delay=delay),
        tell(order, "BUYER", "new_delivery_date", occurrence=nth, delivery_window=window),
    )


def _not_announceable(order: Order, event: Event[DelayAnnounced]) -> RequestRefused | None:
    assert order.cancel_at is not None, "what is to be shipped has its end"
    ship_by, expected = _ship_by(order), event.data.expected_ship_date
    if event.time > ship_by or order.next_late_notice_at != ship_by:
        return refuse(event, "ship_by_passed")
    if expected and not ship_by < expected < order.cancel_at:
        first, last = ship_by.isoformat(), order.cancel_at.isoformat()
        detail = f"After the ship-by date, {first}, and before {last}, when it is canceled."
        return refuse(event, "date_out_of_range", "expected_ship_date", detail)
    return None


def tell_late(order: Order, received: Received, policy: Policy) -> Facts:
    """R12: the ship-by date passed with units unconfirmed: the seller is told, the buyer gets a new
    delivery date; again after each interval, until no unit is open.

    Repeats that an outage made pass are one notice, so that nobody is told a date that is over.
    """
    deadline: DeadlineReached = received.event.data
    due, repeat = deadline.due, policy.next_late_notice(deadline.due)
    while repeat <= received.at:
        due, repeat = repeat, policy.next_late_notice(repeat)
    expected = order.announced_delay.expected_ship_date if order.announced_delay else None
    window = _new_window(order, due, expected, policy)
    nth = order.late_notices + 1
    return (
        ShipmentLate(occurrence=nth, delivery_window=window, next_notice_at=repeat),
        tell(
            order,
            "SELLER",
            "late_shipment",
            occurrence=nth,
            deadline=_ship_by(order),
            delivery_window=window,
        ),
        tell(order, "BUYER", "new_delivery_date", occurrence=nth, delivery_window=window),
    )


def _ship_by(order: Order) -> datetime:
    assert order.ship_window is not None, "what is to be shipped has its ship-by date"
    return order.ship_window.latest


def _new_window(
    order: Order, at: datetime, expected_ship_date: datetime | None, policy: Policy
) -> DateWindow:
    told, level = promised(order).latest, order.ship_service_level
    skus = [item.sku for item in order.items]
    window = policy.new_delivery_window(at, level, skus, told, expected_ship_date)
    return DateWindow(**window._asdict())
