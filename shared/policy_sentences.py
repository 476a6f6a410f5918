"""What each field of a policy says, in a sentence for who runs a marketplace (R24)."""

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import NamedTuple

from shared.currencies import in_units
from shared.events.fields import Money
from shared.policy import Policy
from shared.policy_fields import TransitDays

MAX_SKUS_SHOWN = 5
"""More make no sentence; the file has them all."""
NOT_USED = "(Not used: auto_cancel_anchor picks the other one.)"


class Sentence(NamedTuple):
    """What a field says; `differs` where that is not what it says by default."""

    field: str
    text: str
    differs: bool


def sentences(policy: Policy) -> Iterator[tuple[str, list[Sentence]]]:
    """Every field's sentence, by heading, in the order of `default.yaml`."""
    default = Policy()
    for heading, says in SENTENCES.items():
        yield (
            heading,
            [
                Sentence(field, say(policy), value_of(policy, field) != value_of(default, field))
                for field, say in says.items()
            ],
        )


def value_of(policy: Policy, field: str) -> object:
    """What a field holds; `fraud.orders_per_card` is one of a mapping within."""
    value: object = policy
    for name in field.split("."):
        value = getattr(value, name)
    return value


def _count(n: int, unit: str) -> str:
    return f"{n} {unit}" if n == 1 else f"{n} {unit}s"


# -- the place ------------------------------------------------------------------------------------


def _marketplace(policy: Policy) -> str:
    if policy.marketplace_id == Policy().marketplace_id:
        return "This holds in every marketplace, where no file of its own says otherwise."
    return f"This holds in the marketplace {policy.marketplace_id}."


def _country(policy: Policy) -> str:
    if policy.calendar_country is None:
        return "Saturdays and Sundays are no working days; holidays are."
    country = policy.calendar_country
    return f"The weekend and the national holidays of the country {country} are no working days."


def _subdivision(policy: Policy) -> str:
    if policy.calendar_subdivision is None:
        return "Holidays of one region only are working days."
    return f"Nor are the holidays of its region {policy.calendar_subdivision}."


# -- holding, verifying, canceling ----------------------------------------------------------------


def _hold(policy: Policy) -> str:
    lasts = _count(policy.hold_minutes, "minute")
    return (
        f"Every order is held for {lasts} from its purchase: its seller does not see it yet, and "
        "its buyer can cancel it alone."
    )


def _verification(policy: Policy) -> str:
    lasts = _count(policy.verification_window_days, "day")
    return (
        f"A payment can be approved for {lasts} from the purchase; one that was not is refused by "
        "then, and the order is canceled without a notice."
    )


def _buyer_cancel(policy: Policy) -> str:
    if policy.buyer_cancel == "automatic":
        return "After the hold, a buyer's cancel is carried out at once, while nothing has shipped."
    return "After the hold, a buyer's cancel of an unshipped order waits for the seller's answer."


def _lateness(policy: Policy) -> str:
    if policy.cancel_request_lateness_minutes == 0:
        return "A buyer's request counts by when it arrives."
    late = _count(policy.cancel_request_lateness_minutes, "minute")
    return (
        f"A buyer's request counts by when it says that it was made, if it arrives within {late} "
        "of that; else by when it arrives."
    )


def _seller_answer(policy: Policy) -> str:
    hours = _count(policy.seller_answer_hours, "hour")
    says = f"A seller who is asked to approve a cancel has {hours} to answer; then it is stuck."
    asked = policy.buyer_cancel == "seller_approves"
    return says if asked else f"{says} (Not used: sellers are not asked, see buyer_cancel.)"


# -- shipping -------------------------------------------------------------------------------------


def _handling(policy: Policy) -> str:
    by_level = ", ".join(f"{level} {n}" for level, n in policy.handling_days.items())
    return (
        "A seller ships by the end of so many working days after the order is released, 0 being "
        f"the same day: {by_level}. What is released on a day off counts from the next working day."
    )


def _sku_handling(policy: Policy) -> str:
    own = {sku: str(days) for sku, days in policy.sku_handling_days.items()}
    return _own("handling time", own)


def _cut_off(policy: Policy) -> str:
    if policy.cut_off_hour == 0:
        return "What is to ship on the same day always has until the end of the next one."
    hour = f"{policy.cut_off_hour:02}:00"
    return (
        f"What is to ship on the same day has to be released before {hour} local time; else it has "
        "until the end of the next one."
    )


def _transit(policy: Policy) -> str:
    by_level = ", ".join(f"{level} {_range(days)}" for level, days in policy.transit_days.items())
    return f"A parcel is on its way for so many working days: {by_level}."


def _sku_transit(policy: Policy) -> str:
    own = {sku: _range(days) for sku, days in policy.sku_transit_days.items()}
    return _own("transit time", own)


def _own(what: str, own: Mapping[str, str]) -> str:
    if not own:
        return f"No SKU has a {what} of its own."
    shown = ", ".join(f"{sku} {days}" for sku, days in islice(own.items(), MAX_SKUS_SHOWN))
    more = len(own) - MAX_SKUS_SHOWN
    rest = f" and {more} more" if more > 0 else ""
    return (
        f"These SKUs have a {what} of their own, in working days, and the slowest SKU of an order "
        f"counts: {shown}{rest}."
    )


def _range(days: TransitDays) -> str:
    return f"{days.fewest} to {days.most}" if days.fewest != days.most else f"{days.most}"


# -- late, and too late ---------------------------------------------------------------------------


def _late_notice(policy: Policy) -> str:
    hours = _count(policy.late_notice_interval_hours, "hour")
    return (
        "When the ship-by date passes, the seller is told, and the buyer gets a new delivery date; "
        f"again every {hours}, until the order is shipped or canceled."
    )


def _anchor(policy: Policy) -> str:
    since = {"order_date": "the purchase", "ship_by": "the ship-by date"}
    return (
        "What the seller has not confirmed is canceled in the end, counted from "
        f"{since[policy.auto_cancel_anchor]}."
    )


def _from_order_date(policy: Policy) -> str:
    days = _count(policy.auto_cancel_order_date_days, "day")
    says = f"From the purchase, that is {days} of 24 hours later."
    return says if policy.auto_cancel_anchor == "order_date" else f"{says} {NOT_USED}"


def _from_ship_by(policy: Policy) -> str:
    days = _count(policy.auto_cancel_ship_by_working_days, "working day")
    says = f"From the ship-by date, that is at the end of {days} later."
    return says if policy.auto_cancel_anchor == "ship_by" else f"{says} {NOT_USED}"


# -- fraud ----------------------------------------------------------------------------------------


def _orders(whose: str, n: int) -> str:
    return f"One {whose} places at most {_count(n, 'order')} within that time."


def _spend(whose: str, limits: Mapping[str, int]) -> str:
    if not limits:
        return f"There is no limit to what one {whose} spends."
    sums = (Money(amount_minor=minor, currency=of) for of, minor in limits.items())
    shown = ", ".join(f"{in_units(each):f} {each.currency}" for each in sums)
    return f"One {whose} spends at most {shown} within that time; other currencies have no limit."


SENTENCES: Mapping[str, Mapping[str, Callable[[Policy], str]]] = {
    "The place": {
        "marketplace_id": _marketplace,
        "time_zone": lambda policy: f"Days begin and end by the clock of {policy.time_zone}.",
        "calendar_country": _country,
        "calendar_subdivision": _subdivision,
    },
    "Holding, verifying, canceling": {
        "hold_minutes": _hold,
        "verification_window_days": _verification,
        "buyer_cancel": _buyer_cancel,
        "cancel_request_lateness_minutes": _lateness,
        "seller_answer_hours": _seller_answer,
    },
    "Shipping": {
        "handling_days": _handling,
        "sku_handling_days": _sku_handling,
        "cut_off_hour": _cut_off,
        "transit_days": _transit,
        "sku_transit_days": _sku_transit,
    },
    "Late, and too late": {
        "late_notice_interval_hours": _late_notice,
        "auto_cancel_anchor": _anchor,
        "auto_cancel_order_date_days": _from_order_date,
        "auto_cancel_ship_by_working_days": _from_ship_by,
        "cancel_warning_days": lambda policy: (
            f"The seller is warned {_count(policy.cancel_warning_days, 'day')} before."
        ),
    },
    "What waits, and for how long": {
        "lost_package_days": lambda policy: (
            "A package that no carrier has reported delivered counts as lost "
            f"{_count(policy.lost_package_days, 'day')} after its latest delivery date."
        ),
        "return_window_days": lambda policy: (
            "A return can be asked for until the end of "
            f"{_count(policy.return_window_days, 'day')} after the latest delivery date."
        ),
        "return_transit_days": lambda policy: (
            "Goods that do not come back within "
            f"{_count(policy.return_transit_days, 'day')} of being asked for are stuck."
        ),
        "provider_answer_hours": lambda policy: (
            "A payment provider has "
            f"{_count(policy.provider_answer_hours, 'hour')} to answer a capture, void or refund."
        ),
        "parked_hours": lambda policy: (
            "What comes before its order waits for it for "
            f"{_count(policy.parked_hours, 'hour')}, and is a dead letter then."
        ),
        "retention_days": lambda policy: (
            f"An order that is over is kept for {_count(policy.retention_days, 'day')}, and as "
            "long as a return can be asked for; then a stub of it."
        ),
    },
    "Fraud limits": {
        "fraud.window_hours": lambda policy: (
            f"Orders are counted over {_count(policy.fraud.window_hours, 'hour')}; what goes "
            "beyond a limit is refused."
        ),
        "fraud.orders_per_buyer": lambda policy: _orders("buyer", policy.fraud.orders_per_buyer),
        "fraud.orders_per_card": lambda policy: _orders("card", policy.fraud.orders_per_card),
        "fraud.spend_per_buyer_minor": lambda policy: _spend(
            "buyer", policy.fraud.spend_per_buyer_minor
        ),
        "fraud.spend_per_card_minor": lambda policy: _spend(
            "card", policy.fraud.spend_per_card_minor
        ),
    },
}
"""By heading and field; a field without a sentence is a field that nobody understands."""
