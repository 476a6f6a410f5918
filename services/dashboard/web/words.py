"""Facts in words, for a timeline: of their type, and of what their line keeps."""

from collections.abc import Callable, Mapping
from typing import Any

from services.dashboard.state import Entry
from services.dashboard.web.show import MASK
from shared.currencies import money

Said = Mapping[str, Any]


def words_of(entry: Entry) -> str:
    """One fact in words; of one that has none, or says nothing, its type."""
    say = WORDS.get(entry.type)
    return (say(entry.said) if say else "") or entry.type


def reason(code: object) -> str:
    """A code of ours as people read it: `payment_declined` is payment declined."""
    return str(code or "").replace("_", " ")


MARKETPLACES: Mapping[str, str] = {
    "A1PA6795UKMFR9": "Germany",
    "A13V1IB3VIYZZH": "France",
    "APJ6JRA9NG5V4": "Italy",
    "A1RKKUPIHCS9HS": "Spain",
    "A1F83G8C2ARO7P": "United Kingdom",
    "A1805IZSGTT6HS": "Netherlands",
    "A2NODRKZP88ZB9": "Sweden",
    "A1C3SOZRARQ6R3": "Poland",
    "AMEN7PMS3EDWL": "Belgium",
    "A33AVAJ2PDY3EV": "Türkiye",
    "ATVPDKIKX0DER": "United States",
    "A2EUQ1WTGCTBG2": "Canada",
    "A1AM78C64UM0Y8": "Mexico",
    "A2Q3Y263D00KWC": "Brazil",
    "A1VC38T7YXB528": "Japan",
    "A39IBJ37TRP1C6": "Australia",
    "A19VAU5U5O7RUS": "Singapore",
    "A21TJRUUN4KGV": "India",
    "A2VIGQ35RCS4UG": "United Arab Emirates",
}
"""Amazon's marketplaces, by the ids of its Selling Partner API."""


def marketplace(id_: str) -> str:
    """A marketplace as people call it, with its id; of one that is not Amazon's, the id."""
    name = MARKETPLACES.get(id_)
    return f"{name} ({id_})" if name else id_


def asked(request_type: str) -> str:
    """What was asked for, by its event's type: `order.delay_announced.v1` is delay announced."""
    return reason(request_type.removesuffix(".v1").removeprefix("order.").replace(".", " "))


def _plain(text: str) -> Callable[[Said], str]:
    return lambda _said: text


def _of(text: str, *names: str) -> Callable[[Said], str]:
    """A text with members of the fact in it; those that are codes as people read them."""

    def say(said: Said) -> str:
        found = {name: reason(said.get(name)) for name in names}
        return text.format(**found, amount=_amount(said)).strip(" :,")

    return say


def _amount(said: Said) -> str:
    amount = said.get("amount")
    if amount == MASK:
        return MASK
    if not isinstance(amount, dict):
        return ""
    return money(int(amount["amount_minor"]), str(amount["currency"]))


def _units(units: object) -> str:
    if not isinstance(units, list):
        return ""
    return ", ".join(f"{each['quantity']} × {each['sku']}" for each in units)


def _canceled(what: str) -> Callable[[Said], str]:
    def say(said: Said) -> str:
        why = said.get("cancellation", {})
        by = reason(str(why.get("requested_by", "")).lower())
        code = why.get("seller_reason_code")
        note = f", {code}" if code else ""
        held = ", within the hold" if why.get("within_hold") else ""
        return f"{what}: {reason(why.get('reason'))}{note}, asked by {by or 'nobody'}{held}"

    return say


def _confirmed(said: Said) -> str:
    package = said.get("package", {})
    done = "edited" if said.get("edited") else "confirmed"
    carrier = package.get("carrier_name") or package.get("carrier_code", "")
    number = package.get("tracking_number", "")
    return f"Package {package.get('package_reference_id', '')} {done}: {carrier} {number}".strip()


def _refused(said: Said) -> str:
    asked = str(said.get("request_type", "")).removesuffix(".v1")
    at = f" ({said['field']})" if said.get("field") else ""
    detail = f": {said['detail']}" if said.get("detail") else ""
    return f"Refused {asked}: {reason(said.get('reason'))}{at}{detail}"


def _rejected(said: Said) -> str:
    lacking = said.get("lacking")
    texts = [
        f"{each['sku']}: {each['requested']} wanted, {each['available']} there"
        for each in lacking or ()
    ]
    return f"Not enough in stock: {', '.join(texts)}"


def _released(said: Said) -> str:
    where = "written off" if said.get("written_off") else "available again"
    return f"{_units(said.get('units')) or 'Nothing'} {where}"


def _returned(said: Said) -> str:
    parts = [
        f"{_units(said.get(name))} {name}" for name in ("sellable", "damaged") if said.get(name)
    ]
    return "Back in stock: " + (", ".join(parts) or "nothing")


def _units_back(said: Said) -> str:
    return f"Return {said.get('return_id', '')} received: {_returned(said).partition(': ')[2]}"


def _stuck(said: Said) -> str:
    return f"Stuck: {reason(said.get('stuck', {}).get('reason'))}"


def _notice(said: Said) -> str:
    to = str(said.get("recipient", "")).lower()
    nth = said.get("occurrence", 1)
    again = f" (no. {nth})" if nth != 1 else ""
    return f"{to.capitalize()} is told: {reason(said.get('kind'))}{again}"


def _told_again(said: Said) -> str:
    return _notice(said).replace(" is told: ", " is told again: ")


def _resent(said: Said) -> str:
    nth = said.get("occurrence", 1)
    again = f" (no. {nth})" if nth != 1 else ""
    return f"Asked for once more: {reason(said.get('kind'))}{again}"


def _moved(said: Said) -> str:
    by, why = str(said.get("requested_by", "")).lower(), said.get("reason")
    return f"It goes to another address, asked by {by}" + (f": {why}" if why else "")


def _parked(said: Said) -> str:
    return f"An event on {said.get('record', {}).get('topic', '?')} came early and waits"


def _delayed(said: Said) -> str:
    why = said.get("delay", {}).get("reason")
    return "The seller announced a delay" + (f": {why}" if why else "")


def _again(said: Said) -> str:
    return "The same can be had again" if said.get("in_stock") else "The same can not be had again"


WORDS: Mapping[str, Callable[[Said], str]] = {
    "order.held.v1": _plain("Pending: placed, and held"),
    "order.condition_met.v1": _of("{condition} is good, more is waited for", "condition"),
    "order.unshipped.v1": _of("Unshipped: {condition} came last", "condition"),
    "order.package_confirmed.v1": _confirmed,
    "order.package_delivered.v1": _of("Delivered: {tracking_number}", "tracking_number"),
    "order.package_returned.v1": _of(
        "Undeliverable, on its way back: {tracking_number} {reason}", "tracking_number", "reason"
    ),
    "order.shipment_late.v1": _of("Late, no. {occurrence}", "occurrence"),
    "order.cancel_warned.v1": _plain("The seller is warned: confirm it, or it is canceled"),
    "order.shipment_delayed.v1": _delayed,
    "order.cancel_asked.v1": lambda said: (
        f"The buyer asks to cancel: {said.get('request', {}).get('reason', '')}"
    ),
    "order.cancel_denied.v1": _of("Not canceled: {because} {reason}", "because", "reason"),
    "order.canceled.v1": _canceled("Canceled"),
    "order.open_units_canceled.v1": _canceled("Open units canceled, the rest has shipped"),
    "order.address_changed.v1": _moved,
    "order.notice_resent.v1": _resent,
    "order.payment_reversal_noted.v1": _plain("The payment was taken back after shipping"),
    "order.stuck.v1": _stuck,
    "order.archived.v1": _plain("Archived: a stub is left"),
    "order.return_opened.v1": _of(
        "Return {return_id} opened, by {requested_by}: {reason}",
        "return_id",
        "requested_by",
        "reason",
    ),
    "order.units_returned.v1": _units_back,
    "order.reorder_asked.v1": _plain("The buyer asks for the same again"),
    "order.reorder_answered.v1": _again,
    "order.request_refused.v1": _refused,
    "payment.verification_started.v1": _of("Payment of {amount} is awaited"),
    "payment.verification_unknown.v1": _of("Provider can not tell yet: {detail}", "detail"),
    "payment.approved.v1": _of("Payment approved: {amount}"),
    "payment.refused.v1": _of("Payment refused: {reason}", "reason"),
    "payment.verification_closed.v1": _plain("No payment is awaited any more"),
    "payment.money_arrived.v1": _of("{amount} {how}", "how"),
    "payment.void_requested.v1": _of("Void of {amount} requested: {cause}", "cause"),
    "payment.refund_requested.v1": _of("Refund of {amount} requested: {cause}", "cause"),
    "payment.capture_requested.v1": _of("Capture of {amount} requested"),
    "payment.capture_awaited.v1": _plain("To be captured once it is authorised"),
    "payment.authorization_requested.v1": _of("Authorisation of {amount} asked for again"),
    "payment.renewed.v1": _plain("Authorised again"),
    "payment.approval_withdrawn.v1": _of("{amount} are good no more: {reason}", "reason"),
    "payment.units_not_owed.v1": _of("Not owed any more: {cause}", "cause"),
    "payment.money_returned.v1": _of("{amount} {how}", "how"),
    "payment.taken_back.v1": _plain("Taken back, while nothing of it was there"),
    "payment.lapsed.v1": _plain("Lapsed, while nothing of it was held"),
    "payment.stuck.v1": _of("Stuck with {amount}: {reason}", "reason"),
    "payment.archived.v1": _plain("Payment archived"),
    "stock.reserved.v1": lambda said: f"Reserved: {_units(said.get('units'))}",
    "stock.rejected.v1": _rejected,
    "stock.released.v1": _released,
    "stock.shipped.v1": _plain("Units left the warehouse"),
    "stock.returned.v1": _returned,
    "stock.held_by_rival.v1": _plain("Another seller's order under this id holds stock"),
    "stock.reorder_checked.v1": _plain("Stock looked at for the same again"),
    "deadline.reached.v1": _of("Time is up: {kind}", "kind"),
    "notice.requested.v1": _notice,
    "notice.requested_again.v1": _told_again,
    "event.parked.v1": _parked,
    "event.unparked.v1": _of("What waited is over: {outcome}", "outcome"),
    "event.failed.v1": _of("A fact of {publisher} could not be decided", "publisher"),
}
