"""How values are written on a page: instants, durations, money, and what is masked."""

from shared.clock import from_ms
from shared.events.fields import Address
from shared.events.storefront import Buyer
from shared.retention import DAY_MS

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS

MASK = "•••"
"""For what names a person, until somebody asks to see it."""


def instant(at_ms: int) -> str:
    """A moment as people read it, in UTC: `11 Mar 2026 09:41`."""
    at = from_ms(at_ms)
    return f"{at.day} {at:%b %Y %H:%M}"


def instant_exactly(at_ms: int) -> str:
    """A moment to the millisecond: `2026-03-11T09:41:07.123Z`."""
    return from_ms(at_ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def lasting(ms: int) -> str:
    """A length of time in its two largest units: `3 h 12 min`."""
    for unit_ms, unit, below_ms, below in (
        (DAY_MS, "d", HOUR_MS, "h"),
        (HOUR_MS, "h", MINUTE_MS, "min"),
        (MINUTE_MS, "min", SECOND_MS, "s"),
    ):
        if ms >= unit_ms:
            rest = ms % unit_ms // below_ms
            return f"{ms // unit_ms} {unit} {rest} {below}" if rest else f"{ms // unit_ms} {unit}"
    return f"{ms // SECOND_MS} s" if ms >= SECOND_MS else f"{ms} ms"


def until(due_ms: int, now_ms: int) -> str:
    """How far a moment is away: `in 3 h 12 min`, `2 d ago`."""
    away = lasting(abs(due_ms - now_ms))
    return f"in {away}" if due_ms >= now_ms else f"{away} ago"


def percent(part: int, whole: int) -> str:
    """A share; a dash where there is nothing to share."""
    return f"{100 * part / whole:.1f} %" if whole else "–"


def buyer_lines(buyer: Buyer, *, masked: bool) -> list[str]:
    """Who ordered, as far as it may be shown."""
    contact = [text for text in (buyer.name, buyer.email, buyer.phone) if text]
    return [buyer.buyer_id, *(MASK if masked else text for text in contact)]


def address_lines(address: Address, *, masked: bool) -> list[str]:
    """Where it goes: masked, no more than the place."""
    place = " ".join(filter(None, (address.postal_code, address.city)))
    where = [place, address.state_or_region, address.country_code]
    if masked:
        return [MASK, *filter(None, (f"{address.city}", address.country_code))]
    lines = [address.name, address.address_line_1, address.address_line_2, address.address_line_3]
    return [line for line in (*lines, *where, address.phone) if line]
