"""What a policy may not say at once: fields that make each other impossible (R24)."""

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from shared.policy import Policy


class Contradiction(NamedTuple):
    """A field that others make impossible, what it says and what it may say.

    `field` is as it stands in a file; within a mapping with the key, `transit_days.Standard`.
    """

    field: str
    value: object
    allowed: str


def contradictions(policy: "Policy") -> Iterator[Contradiction]:
    """All that a policy says against itself, in the order of its fields."""
    misplaced = list(_place(policy))
    yield from misplaced
    if timedelta(minutes=policy.hold_minutes) > timedelta(days=policy.verification_window_days):
        allowed = "at most verification_window_days: else no payment is in time"
        yield Contradiction("hold_minutes", policy.hold_minutes, allowed)
    yield from _transit(policy)
    if policy.auto_cancel_anchor == "ship_by":
        yield from _warning_from_ship_by(policy)
    elif not misplaced:  # working days need their calendar
        yield from _length_from_order_date(policy)
    if policy.auto_cancel_anchor == "order_date":
        yield from _warning_from_order_date(policy)
    if policy.retention_days <= policy.return_window_days:
        allowed = "more than return_window_days: a return needs its order"
        yield Contradiction("retention_days", policy.retention_days, allowed)


def _place(policy: "Policy") -> Iterator[Contradiction]:
    country, subdivision = policy.calendar_country, policy.calendar_subdivision
    if subdivision and not country:
        allowed = "absent while there is no calendar_country"
        yield Contradiction("calendar_subdivision", subdivision, allowed)
        return
    try:
        _ = policy.calendar
    except ValueError as unknown:
        at_fault = "calendar_subdivision" if subdivision else "calendar_country"
        allowed = f"a place of the holidays library ({unknown})"
        yield Contradiction(at_fault, getattr(policy, at_fault), allowed)


def _transit(policy: "Policy") -> Iterator[Contradiction]:
    for name in ("transit_days", "sku_transit_days"):
        for of, transit in getattr(policy, name).items():
            if transit.fewest > transit.most:
                allowed = "[fewest, most] with fewest <= most"
                yield Contradiction(f"{name}.{of}", [*transit], allowed)


def _length_from_order_date(policy: "Policy") -> Iterator[Contradiction]:
    """An order that is paid at the last moment may still be shipped in time: from its release
    to its ship-by date pass at most the working days of its handling at their longest, and the
    rest of the day of the release, which has 25 hours where clocks go back.
    """
    handling = max(*policy.handling_days.values(), *policy.sku_handling_days.values())
    handling = max(handling, 1)  # of 0 days, it is one day more after the cut-off hour
    lasts = policy.calendar.longest(handling)
    if policy.auto_cancel_order_date_days <= policy.verification_window_days + lasts + 1:
        sum_ = f"verification_window_days + {lasts} + 1"
        allowed = f"more than {sum_}: {handling} working days to ship in may last {lasts} days"
        length = policy.auto_cancel_order_date_days
        yield Contradiction("auto_cancel_order_date_days", length, allowed)


def _warning_from_order_date(policy: "Policy") -> Iterator[Contradiction]:
    if policy.cancel_warning_days >= policy.auto_cancel_order_date_days:
        allowed = "less than auto_cancel_order_date_days"
        yield Contradiction("cancel_warning_days", policy.cancel_warning_days, allowed)


def _warning_from_ship_by(policy: "Policy") -> Iterator[Contradiction]:
    if policy.cancel_warning_days > policy.auto_cancel_ship_by_working_days:
        allowed = "at most auto_cancel_ship_by_working_days"
        yield Contradiction("cancel_warning_days", policy.cancel_warning_days, allowed)
