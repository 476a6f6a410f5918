"""Orders in the background, drawn by a seed: most go well, some do not, as on any day."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import NamedTuple, TypeVar

from services.cli.demo.script import (
    AMERICA,
    DAY,
    FIRST_PACKAGE,
    FRANCE,
    HOUR,
    MINUTE,
    SECOND_LATE_NOTICE,
    TURKEY,
    UNSHIPPED,
    Act,
    Errand,
    Line,
    Says,
    Script,
    authorizes,
    cannot_tell,
    captures,
    confirms,
    declines,
    delivers,
    has_none,
    suspects,
    wants_out,
)
from shared.events.fields import Money, ServiceLevel
from shared.events.gateway import PaymentAuthorized
from shared.events.storefront import TrafficSource
from shared.events.warehouse import StockAdjusted, StockSet, stock_subject


class Product(NamedTuple):
    """What a seller sells, in cents or whole yen, and the units on hand at the opening."""

    seller_id: str
    sku: str
    price_minor: int
    on_hand: int


CATALOGUE = (
    Product("TEAHOUSE", "MATCHA-100G", 2_390, 120),
    Product("TEAHOUSE", "WHISK-BAMBOO", 1_250, 100),
    Product("TEAHOUSE", "TRAY-OAK", 4_900, 100),
    Product("LAMPWORKS", "BULB-E27", 790, 200),
    Product("LAMPWORKS", "WICK-10M", 1_190, 110),
    Product("LAMPWORKS", "SHADE-LINEN", 5_600, 90),
    Product("BOOKCELLAR", "ATLAS-1911", 28_000, 32),
    Product("BOOKCELLAR", "COOKBOOK-SOUP", 1_990, 120),
    Product("BOOKCELLAR", "ALMANAC-2028", 1_490, 150),
    Product("BIKEBARN", "CHAIN-11S", 3_450, 100),
    Product("BIKEBARN", "PUMP-MINI", 2_750, 100),
    Product("BIKEBARN", "SADDLE-TOUR", 8_900, 34),
)
"""Two are short: of 200 orders a few find nothing left (R4), until they are restocked."""


def _adjusting(at: timedelta, sku: tuple[str, str], change: int, reason: str) -> Errand:
    fact = StockAdjusted(seller_id=sku[0], sku=sku[1], change=change, reason=reason)
    return Errand(at, stock_subject(*sku), fact, f"{reason} {sku[1]}".replace(" ", "-"))


_RESTOCKED = _adjusting(8 * DAY, ("BIKEBARN", "SADDLE-TOUR"), 20, "restocked")
_STRAY = PaymentAuthorized(payment_id="pay-stray", amount=Money(amount_minor=1_999, currency="EUR"))
ERRANDS = (
    _RESTOCKED,
    _RESTOCKED,
    _adjusting(8 * DAY, ("BOOKCELLAR", "ATLAS-1911"), 20, "restocked"),
    _adjusting(9 * DAY, ("TEAHOUSE", "MATCHA-100G"), -1_000, "mistyped"),
    Errand(20 * MINUTE, "303-9999999-9999999", _STRAY),
)
"""Deliveries to the warehouse, one of them told twice, which counts once (P3); a count that can not
be, and is refused (P1); and money for an order that nobody has placed, which waits a day and is a
dead letter then (R25).
"""

MARKETPLACES = {FRANCE: 50, AMERICA: 35, TURKEY: 15}
LEVELS: Mapping[ServiceLevel, int] = {
    "Standard": 60,
    "Expedited": 20,
    "NextDay": 10,
    "FreeEconomy": 10,
}
SOURCES = {
    TrafficSource(channel="organic"): 40,
    TrafficSource(channel="advertisement", site="off_site"): 25,
    TrafficSource(channel="advertisement"): 15,
    TrafficSource(channel="direct"): 20,
}
"""What is drawn from, and how often out of a hundred."""

FIRST_AT, LAST_AT = 2 * MINUTE, 28 * MINUTE
"""Orders of the first hour: the hold of each ends within it."""
LATER = 0.25
"""This part of the orders comes on later days; they ship in time, and are done on day 32."""
FIRST_LATER_AT, LAST_LATER_AT = 0.5 * DAY, 20 * DAY
STILL_OPEN_AT = 31.9 * DAY
"""When the last one comes: the demo ends on day 32, and an order is live then (P2)."""

T = TypeVar("T")
Acts = tuple[Act, ...]
Lines = tuple[Line, ...]


def traffic(rng: Random, count: int) -> tuple[Script, ...]:
    """So many orders, the last one of them shortly before the end."""
    orders = [_order(rng, nth) for nth in range(1, count + 1)]
    last = [replace(order, at=STILL_OPEN_AT) for order in orders[-1:]]
    return (*orders[:-1], *last)


def stocking(seller_id: str, sku: str, on_hand: int) -> Errand:
    """A shelf filled at the opening."""
    fact = StockSet(seller_id=seller_id, sku=sku, on_hand=on_hand)
    return Errand(timedelta(0), fact.about().subject, fact)


def _order(rng: Random, nth: int) -> Script:
    product = rng.choice(CATALOGUE)
    offered = [other for other in CATALOGUE if other.seller_id == product.seller_id]
    bought = rng.sample(offered, k=rng.choice((1, 1, 2, 3)))
    lines = tuple(
        Line(each.sku, quantity, quantity * each.price_minor)
        for each in bought
        for quantity in [rng.choice((1, 1, 2, 3))]
    )
    at, life = _between(rng, FIRST_AT, LAST_AT), _drawn(rng, LIVES)
    if rng.random() < LATER:
        at, life = _between(rng, FIRST_LATER_AT, LAST_LATER_AT), _ships_in_time
    return Script(
        order_id=f"{rng.choice((302, 304, 305))}-{nth:07}-{rng.randrange(10**7):07}",
        at=at,
        seller_id=product.seller_id,
        buyer_id=f"buyer-{nth}",
        lines=lines,
        marketplace_id=_drawn(rng, MARKETPLACES),
        level=_drawn(rng, LEVELS),
        traffic=_drawn(rng, SOURCES),
        acts=life(rng, lines),
    )


# -- what becomes of an order ---------------------------------------------------------------------


def _ships_in_time(rng: Random, _lines: Lines) -> Acts:
    return _paid(rng), _packed(rng), _delivered(rng)


def _ships_in_two_parcels(rng: Random, lines: Lines) -> Acts:
    first = (lines[0].quantity, *(0 for _ in lines[1:]))
    rest = (0, *(line.quantity for line in lines[1:]))
    if len(lines) == 1:
        return _ships_in_time(rng, lines)
    return (
        _paid(rng),
        Act(confirms(1, *first), rng.uniform(2, 10) * HOUR, UNSHIPPED),
        Act(confirms(2, *rest), rng.uniform(2, 30) * HOUR, FIRST_PACKAGE),
        _delivered(rng),
        Act(delivers(2), rng.uniform(3, 6) * DAY, FIRST_PACKAGE),
    )


def _ships_late(rng: Random, _lines: Lines) -> Acts:
    packed = Act(confirms(1), rng.uniform(1, 60) * HOUR, SECOND_LATE_NOTICE)
    return _paid(rng), packed, _delivered(rng)


def _is_never_confirmed(rng: Random, _lines: Lines) -> Acts:
    return _paid(rng), Act(delivers(1), rng.uniform(1, 6) * DAY, UNSHIPPED)


def _is_canceled_in_hold(rng: Random, _lines: Lines) -> Acts:
    return _paid(rng), Act(wants_out, rng.uniform(2, 25) * MINUTE)


def _is_captured_and_canceled(rng: Random, _lines: Lines) -> Acts:
    return _paid(rng, captures), Act(wants_out, rng.uniform(12, 25) * MINUTE)


def _is_canceled_after_hold(rng: Random, _lines: Lines) -> Acts:
    return _paid(rng), Act(wants_out, rng.uniform(0.2, 2) * HOUR, UNSHIPPED)


def _is_canceled_too_late(rng: Random, lines: Lines) -> Acts:
    return (*_ships_in_time(rng, lines), Act(wants_out, rng.uniform(4, 40) * HOUR, FIRST_PACKAGE))


def _is_canceled_by_seller(rng: Random, _lines: Lines) -> Acts:
    return _paid(rng), Act(has_none, rng.uniform(2, 12) * HOUR, UNSHIPPED)


def _is_declined(rng: Random, _lines: Lines) -> Acts:
    return (_paid(rng, declines),)


def _is_fraud(rng: Random, _lines: Lines) -> Acts:
    return (_paid(rng, suspects),)


def _is_never_paid(_rng: Random, _lines: Lines) -> Acts:
    return ()


def _is_paid_late(rng: Random, _lines: Lines) -> Acts:
    late = Act(authorizes, rng.uniform(0.2, 4) * DAY)
    return _paid(rng, cannot_tell), late, _packed(rng), _delivered(rng)


Life = Callable[[Random, Lines], Acts]
LIVES: Mapping[Life, int] = {
    _ships_in_time: 54,
    _ships_in_two_parcels: 6,
    _ships_late: 5,
    _is_never_confirmed: 4,
    _is_canceled_in_hold: 6,
    _is_captured_and_canceled: 3,
    _is_canceled_after_hold: 4,
    _is_canceled_too_late: 3,
    _is_canceled_by_seller: 2,
    _is_declined: 5,
    _is_fraud: 2,
    _is_never_paid: 2,
    _is_paid_late: 4,
}
"""Out of a hundred."""


def _paid(rng: Random, says: Says = authorizes) -> Act:
    return Act(says, rng.uniform(0.5, 9) * MINUTE)


def _packed(rng: Random) -> Act:
    return Act(confirms(1), rng.uniform(3, 30) * HOUR, UNSHIPPED)


def _delivered(rng: Random) -> Act:
    return Act(delivers(1), rng.uniform(2, 6) * DAY, FIRST_PACKAGE)


def _between(rng: Random, earliest: timedelta, latest: timedelta) -> timedelta:
    return earliest + rng.random() * (latest - earliest)


def _drawn(rng: Random, weights: Mapping[T, int]) -> T:
    return rng.choices(tuple(weights), tuple(weights.values()))[0]
