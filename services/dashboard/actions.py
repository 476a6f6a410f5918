"""What an operator may do to an order, and what a form of his says: pure.

Each is an event on a topic that fulfillment decides, like a seller's own or, of the address, the
marketplace's; so what may be done here is an offer, and the answer is in the order's timeline.
There is no refund among them: money that is not owed goes back by itself (R7), of what was shipped
once it is received (R17), and no other.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any, NamedTuple, get_args

from pydantic import ValidationError

from shared.events.envelope import derived_id
from shared.events.fields import Address, ItemQuantity, NoticeKind
from shared.events.fulfillment import Order
from shared.events.seller import (
    OTHER_CARRIER,
    CancelAnswered,
    CancelReasonCode,
    DelayAnnounced,
    ReceivedItem,
    ResendRequested,
    ReturnReceived,
    SellerCanceled,
    ShipmentConfirmed,
)
from shared.events.storefront import AddressCorrected
from shared.urgency import TO_SHIP, ship_by

Form = Mapping[str, str]
Problems = dict[str, str]
OperatorFact = (
    ShipmentConfirmed
    | DelayAnnounced
    | SellerCanceled
    | CancelAnswered
    | ReturnReceived
    | ResendRequested
    | AddressCorrected
)

CANCEL_REASONS: tuple[str, ...] = get_args(CancelReasonCode)
NOTICE_KINDS: tuple[str, ...] = get_args(NoticeKind)
ADDRESS = tuple(name for name in Address.model_fields if name != "country_code")
"""What of an address is corrected; it stays in its country."""
CARRIERS = ("DHL", "DPD", "FedEx", "GLS", "Hermes", "UPS", "USPS", OTHER_CARRIER)
"""Suggestions: a carrier's code is whatever the seller's carrier is called."""


_NTH = re.compile(r"[1-9][0-9]{0,8}")


class Read(NamedTuple):
    """What a form says: a fact, or what is wrong with it by its fields."""

    fact: OperatorFact | None
    problems: Problems


def offered(order: Order, now: datetime) -> tuple[str, ...]:
    """What may be done to an order now, the likeliest first."""
    to_ship = order.status in TO_SHIP
    asked = order.buyer_requested_cancel is not None
    return tuple(
        name
        for name, may in {
            "answer": to_ship and asked,
            "confirm": to_ship,
            "delay": to_ship and now <= ship_by(order) and order.announced_delay is None,
            "cancel": order.status == "Unshipped",
            "receive": any(each.received_at is None for each in order.returns),
            "address": order.status == "Unshipped",
            "notice": order.status != "Pending" and order.archived_at is None,
        }.items()
        if may
    )


def read_form(act: str, order: Order, form: Form, zone: tzinfo) -> Read:
    """What the form of an act says about an order; days are local to `zone`."""
    problems: Problems = {}
    values = _READERS[act](order, form, zone, problems)
    if problems:
        return Read(None, problems)
    try:
        return Read(_FACTS[act](order, values), {})
    except ValidationError as invalid:
        errors = invalid.errors(include_url=False, include_context=False)
        return Read(None, {str(each["loc"][0]): each["msg"] for each in errors})


def event_id(key: str, order_id: str, fact: OperatorFact) -> str:
    """The id of an event: the same however often a form, known by its key, says the same."""
    return derived_id(f"{key} {fact.model_dump_json()}", "dashboard", fact.TYPE, order_id, 0)


def next_reference(order: Order) -> str:
    """The number of the next package."""
    numbers = [int(each.package_reference_id) for each in order.packages]
    return str(max(numbers, default=0) + 1)


def _confirmed(order: Order, form: Form, zone: tzinfo, problems: Problems) -> dict[str, Any]:
    values: dict[str, Any] = _texts(
        form, "package_reference_id", "carrier_code", "carrier_name", "tracking_number"
    )
    number = values["package_reference_id"]
    if not (number.isascii() and number.isdigit() and not number.startswith("0")):
        problems["package_reference_id"] = "A positive number."
    if not values["carrier_code"]:
        problems["carrier_code"] = "The carrier's code, or Other."
    if values["carrier_code"] == OTHER_CARRIER and not values["carrier_name"]:
        problems["carrier_name"] = "The carrier's name, where its code is Other."
    if not values["tracking_number"]:
        problems["tracking_number"] = "The carrier's number of the package."
    values["ship_date"] = _day(form, "ship_date", zone, problems)
    if values["ship_date"] is None:
        problems.setdefault("ship_date", "The day on which the package was handed over.")
    most = {line.order_item_id: line.quantity_open for line in order.items}
    packed = {each: n for each, n in _units(form, "quantity", most, problems) if n}
    if not packed:
        problems.setdefault("order_items", "One unit at least.")
    return {
        **values,
        "order_items": tuple(
            ItemQuantity(order_item_id=item, quantity=n) for item, n in packed.items()
        ),
    }


def _delayed(_order: Order, form: Form, zone: tzinfo, problems: Problems) -> dict[str, Any]:
    expected = _day(form, "expected_ship_date", zone, problems)
    return {**_texts(form, "reason"), "expected_ship_date": expected}


def _canceled(_order: Order, form: Form, _zone: tzinfo, problems: Problems) -> dict[str, Any]:
    if form.get("reason_code") not in CANCEL_REASONS:
        problems["reason_code"] = "Choose why."
    return {"reason_code": form.get("reason_code")}


def _answered(_order: Order, form: Form, _zone: tzinfo, problems: Problems) -> dict[str, Any]:
    if form.get("approved") not in {"yes", "no"}:
        problems["approved"] = "Yes or no."
    return {**_texts(form, "reason"), "approved": form.get("approved") == "yes"}


def _received(order: Order, form: Form, _zone: tzinfo, problems: Problems) -> dict[str, Any]:
    on_its_way = {each.return_id: each for each in order.returns if each.received_at is None}
    sent_back = on_its_way.get(form.get("return_id", ""))
    if sent_back is None:
        problems["return_id"] = "A return that is on its way."
        return {}
    most = {each.order_item_id: each.quantity for each in sent_back.items}
    items = tuple(
        ReceivedItem(order_item_id=item, quantity=n, condition=condition)
        for condition in ("Sellable", "Damaged")
        for item, n in _units(form, condition.lower(), most, problems)
        if n
    )
    came = {item: sum(e.quantity for e in items if e.order_item_id == item) for item in most}
    for item, limit in most.items():
        if came[item] > limit:
            problems[f"sellable:{item}"] = f"Both together: at most {limit}."
    if not items:
        problems.setdefault("items", "One unit at least.")
    return {"return_id": sent_back.return_id, "items": items}


def _moved(order: Order, form: Form, _zone: tzinfo, problems: Problems) -> dict[str, Any]:
    values = _texts(form, *ADDRESS, "reason")
    needed = {
        "name": "Who receives it.",
        "address_line_1": "Street and number.",
        "city": "The place.",
        "reason": "Why, for whoever reads the timeline.",
    }
    problems |= {name: says for name, says in needed.items() if not values[name]}
    before = order.ship_address
    if before and all(getattr(before, name) == values[name] for name in ADDRESS):
        problems["address_line_1"] = "The order goes there already."
    return values


def _missed(_order: Order, form: Form, _zone: tzinfo, problems: Problems) -> dict[str, Any]:
    kind, _, nth = form.get("notice", "").partition(":")
    if kind not in NOTICE_KINDS or not _NTH.fullmatch(nth):
        problems["notice"] = "Choose which."
        return {}
    return {"kind": kind, "occurrence": int(nth)}


def _texts(form: Form, *names: str) -> dict[str, str]:
    return {name: form.get(name, "").strip() for name in names}


def _day(form: Form, name: str, zone: tzinfo, problems: Problems) -> datetime | None:
    """The start of a day; None where none is given."""
    text = form.get(name, "").strip()
    if not text:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):
        problems[name] = "A day, such as 2026-03-11."
        return None


def _units(
    form: Form, name: str, most: Mapping[str, int], problems: Problems
) -> Iterator[tuple[str, int]]:
    """The units of each item that a form has a number for, none above what there is."""
    for item, limit in most.items():
        field = f"{name}:{item}"
        text = form.get(field, "").strip() or "0"
        if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) <= limit):
            problems[field] = f"A whole number from 0 to {limit}."
        else:
            yield item, int(text)


def _of_seller(
    fact: Callable[..., OperatorFact],
) -> Callable[[Order, dict[str, Any]], OperatorFact]:
    return lambda order, values: fact(seller_id=order.seller_id, **values)


def _of_marketplace(order: Order, values: dict[str, Any]) -> OperatorFact:
    assert order.ship_address is not None, "what is to be shipped goes somewhere"
    address = {name: values[name] for name in ADDRESS}
    return AddressCorrected(
        buyer_id=order.buyer.buyer_id,
        ship_address=Address(**address, country_code=order.ship_address.country_code),
        requested_by="MARKETPLACE",
        reason=values["reason"],
    )


_READERS: Mapping[str, Callable[[Order, Form, tzinfo, Problems], dict[str, Any]]] = {
    "answer": _answered,
    "confirm": _confirmed,
    "delay": _delayed,
    "cancel": _canceled,
    "receive": _received,
    "address": _moved,
    "notice": _missed,
}
_FACTS: Mapping[str, Callable[[Order, dict[str, Any]], OperatorFact]] = {
    "answer": _of_seller(CancelAnswered),
    "confirm": _of_seller(ShipmentConfirmed),
    "delay": _of_seller(DelayAnnounced),
    "cancel": _of_seller(SellerCanceled),
    "receive": _of_seller(ReturnReceived),
    "address": _of_marketplace,
    "notice": _of_seller(ResendRequested),
}
ACTS = tuple(_READERS)
