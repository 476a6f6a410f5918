"""R13: delivery is the package's, not the order's, and may be known before it."""

import pytest

from shared.events.fields import MAX_PACKAGES
from shared.events.fulfillment import (
    Order,
    PackageDelivered,
    RequestRefused,
    UnconfirmedDelivery,
)
from tests.support.orders import (
    DAY,
    HOLD_ENDS,
    KETTLES,
    TEAS,
    TRACKING,
    after,
    canceled,
    package_delivered,
    partially_shipped,
    pending,
    play,
    shipment_confirmed,
    unshipped,
)


def test_r13_delivery_is_the_packages_and_changes_no_status() -> None:
    order = partially_shipped()
    delivered_at = HOLD_ENDS + 4 * DAY

    then, facts = play(order, package_delivered(at=delivered_at))

    assert facts == [
        PackageDelivered(
            tracking_number=TRACKING,
            package_reference_id="1",
            delivered_at=delivered_at,
            archive_at=delivered_at + 45 * DAY,
        )
    ]
    assert then is not None
    assert then.packages[0].delivered_at == delivered_at
    assert then.status == "PartiallyShipped"
    assert play(then, package_delivered(at=delivered_at + DAY)) == (then, [])


def test_r13_packages_under_one_tracking_number_are_delivered_together() -> None:
    two = (shipment_confirmed({KETTLES: 3}), shipment_confirmed({TEAS: 1}, "2"))
    order = unshipped(*two, package_delivered())
    later = after(order, shipment_confirmed({TEAS: 1}, "3"))

    assert [package.delivered_at for package in later.packages] == [HOLD_ENDS + 4 * DAY] * 3


@pytest.mark.parametrize("order", [pending(), unshipped(), partially_shipped(), canceled()])
def test_r13_a_delivery_that_nobody_confirmed_is_recorded(order: Order) -> None:
    then, facts = play(order, package_delivered("RR-93-DE"))

    at = HOLD_ENDS + 4 * DAY
    assert facts == [
        PackageDelivered(tracking_number="RR-93-DE", package_reference_id=None, delivered_at=at)
    ]
    assert then is not None
    assert then.unconfirmed_deliveries == (
        UnconfirmedDelivery(tracking_number="RR-93-DE", carrier_delivered_at=at),
    )
    assert then.status == order.status
    assert play(then, package_delivered("RR-93-DE", at + DAY)) == (then, [])


def test_r25_delivered_before_or_after_the_confirmation_is_the_same_order() -> None:
    confirm, deliver = shipment_confirmed(at=HOLD_ENDS + DAY), package_delivered()

    early = after(unshipped(), deliver, confirm)

    assert early == after(unshipped(), confirm, deliver)
    assert early.packages[0].delivered_at == HOLD_ENDS + 4 * DAY
    assert early.unconfirmed_deliveries == ()


def test_r13_unconfirmed_deliveries_have_a_limit() -> None:
    order = unshipped(*(package_delivered(f"RR-{n}") for n in range(MAX_PACKAGES)))

    assert len(order.unconfirmed_deliveries) == MAX_PACKAGES
    then, (refusal,) = play(order, package_delivered("RR-one-more"))
    assert isinstance(refusal, RequestRefused)
    assert (refusal.reason, refusal.field) == ("too_many_packages", "tracking_number")
    assert refusal.detail == "At most 50 deliveries of an order wait for their package."
    assert then == order
