"""P6: nothing that was handed over is lost: it is decided, kept, or no news for a reason."""

from collections.abc import Callable, Mapping
from typing import Protocol

from shared.books.account import account_of, minor_of, purse_of
from shared.books.money import SAID
from shared.books.result import Draft
from shared.books.story import Entry, Json, Story, ms_of
from shared.events.carrier import PackageDelivered as CarrierDelivered
from shared.events.carrier import PackageReturned as CarrierReturned
from shared.events.envelope import Topic
from shared.events.fulfillment import (
    FULFILLMENT_EVENTS,
    AddressChanged,
    CancelAsked,
    PackageConfirmed,
    PackageDelivered,
    PackageReturned,
    ShipmentDelayed,
)
from shared.events.gateway import (
    AnswerPending,
    AuthorizationLapsed,
    FraudSuspected,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentChargedBack,
    PaymentDeclined,
    PaymentRefunded,
    PaymentReversed,
    PaymentVoided,
    RequestFailed,
    VerificationUnavailable,
)
from shared.events.inventory import STOCK_LEVELS
from shared.events.parking import EventParked, EventUnparked
from shared.events.payment import (
    PAYMENT_EVENTS,
    PaymentApproved,
    PaymentRefused,
    VerificationClosed,
)
from shared.events.seller import DelayAnnounced, ShipmentConfirmed
from shared.events.storefront import ORDERS, AddressCorrected, CancelRequested, OrderPlaced
from shared.events.topics import FROM_OUTSIDE

_DECIDED_ON: Mapping[str | None, Topic] = {
    "fulfillment": FULFILLMENT_EVENTS,
    "payment": PAYMENT_EVENTS,
    "inventory": STOCK_LEVELS,
}
"""Where the owner of a topic says what became of an event on it."""


class Acknowledged(Protocol):
    """An event that Kafka acknowledged to its producer."""

    @property
    def topic(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def id(self) -> str: ...


def check_inputs(story: Story, page: Draft) -> None:
    """P6: every event from outside led to a fact, or is a dead letter, or was no news."""
    for topic in FROM_OUTSIDE:
        causes = story.causes(_DECIDED_ON[topic.owner])
        for entry in story.of(topic):
            page.count("events")
            if entry.id in causes:
                page.count("decided")
            elif entry.id in story.kept:
                page.count("kept as dead letters")
            elif reason := _no_news(story, entry):
                page.count(f"no news: {reason}")
            else:
                page.violate(story.subject, f"{entry.type} {entry.id} was neither decided nor kept")
    _check_parked(story, page)


def _check_parked(story: Story, page: Draft) -> None:
    """R25: what waited in vain, or failed when its turn came, is a dead letter."""
    for journal in (FULFILLMENT_EVENTS, PAYMENT_EVENTS):
        page.count("parked", len(story.of(journal, EventParked.TYPE)))
        for entry in story.of(journal, EventUnparked.TYPE):
            id_, outcome = entry.data["event_id"], entry.data["outcome"]
            if outcome != "decided" and id_ not in story.kept:
                page.violate(story.subject, f"{id_} was parked, given up ({outcome}), and not kept")


NoNews = Callable[[Story, Entry], bool]


def _no_news(story: Story, entry: Entry) -> str:
    """Why an event changed nothing, if it did so rightly; else nothing."""
    if entry.type not in _MAY_BE_NO_NEWS:
        return ""
    reason, holds = _MAY_BE_NO_NEWS[entry.type]
    return reason if holds(story, entry) else ""


def _same_package(story: Story, entry: Entry) -> bool:
    confirmed = story.of(FULFILLMENT_EVENTS, PackageConfirmed.TYPE)
    return any(_says(entry.data, fact.data["package"]) for fact in confirmed)


def _says(said: Json, package: Json) -> bool:
    """Whether a confirmation says of a package what it is already."""
    both = {name: value for name, value in said.items() if name in package}
    instants = (ms_of(both.pop("ship_date")), ms_of(package["ship_date"]))
    return len(set(instants)) == 1 and all(package[name] == both[name] for name in both)


def _delivery_known(story: Story, entry: Entry) -> bool:
    known = story.of(FULFILLMENT_EVENTS, PackageDelivered.TYPE)
    return any(fact.data["tracking_number"] == entry.data["tracking_number"] for fact in known)


def _on_its_way_back(story: Story, entry: Entry) -> bool:
    known = story.of(FULFILLMENT_EVENTS, PackageReturned.TYPE)
    return any(fact.data["tracking_number"] == entry.data["tracking_number"] for fact in known)


def _delay_known(story: Story, entry: Entry) -> bool:
    """The same new date, or none again: there is nothing to tell the buyer."""
    said = entry.data.get("expected_ship_date")
    known = (
        fact.data["delay"].get("expected_ship_date")
        for fact in story.of(FULFILLMENT_EVENTS, ShipmentDelayed.TYPE)
    )
    return any((said and ms_of(said)) == (date and ms_of(date)) for date in known)


def _goes_there(story: Story, entry: Entry) -> bool:
    said = story.of(ORDERS, OrderPlaced.TYPE) + story.of(FULFILLMENT_EVENTS, AddressChanged.TYPE)
    return any(each.data["ship_address"] == entry.data["ship_address"] for each in said)


def _cancel_asked(story: Story, _entry: Entry) -> bool:
    return bool(story.of(FULFILLMENT_EVENTS, CancelAsked.TYPE))


def _amount_counted(story: Story, entry: Entry) -> bool:
    """What the gateway says is a total: said again, or less of it, it counts once."""
    if "amount" not in entry.data:
        return _nothing_there(story, entry)
    moved = account_of(story.of(PAYMENT_EVENTS)).moved[purse_of(entry.data), SAID[entry.type]]
    return minor_of(entry.data) <= moved


def _nothing_there(story: Story, entry: Entry) -> bool:
    """What is taken back or lapses was not there, or not any more."""
    account = account_of(story.of(PAYMENT_EVENTS))
    purses = [p for p in account.purses if p.payment_id == entry.data["payment_id"]]
    return not any(account.held_minor(purse) for purse in purses)


def _not_asked(story: Story, entry: Entry) -> bool:
    """What the provider does not do was not asked for, or is done."""
    account = account_of(story.of(PAYMENT_EVENTS))
    return account.stuck or not any(
        purse.payment_id == entry.data["payment_id"] and account.pending(purse)
        for purse in account.purses
    )


def _verification_over(story: Story, _entry: Entry) -> bool:
    over = (PaymentApproved.TYPE, PaymentRefused.TYPE, VerificationClosed.TYPE)
    return bool(story.of(PAYMENT_EVENTS, *over))


_MAY_BE_NO_NEWS: Mapping[str, tuple[str, NoNews]] = {
    ShipmentConfirmed.TYPE: ("the package was confirmed like that", _same_package),
    DelayAnnounced.TYPE: ("the delay was announced", _delay_known),
    CancelRequested.TYPE: ("the seller was asked", _cancel_asked),
    AddressCorrected.TYPE: ("the order goes there", _goes_there),
    CarrierDelivered.TYPE: ("the delivery was known", _delivery_known),
    CarrierReturned.TYPE: ("the package was on its way back", _on_its_way_back),
    PaymentAuthorized.TYPE: ("the amount was counted", _amount_counted),
    PaymentCaptured.TYPE: ("the amount was counted", _amount_counted),
    PaymentVoided.TYPE: ("the amount was counted", _amount_counted),
    PaymentRefunded.TYPE: ("the amount was counted", _amount_counted),
    PaymentReversed.TYPE: ("the amount was counted", _amount_counted),
    PaymentChargedBack.TYPE: ("the amount was counted", _amount_counted),
    AuthorizationLapsed.TYPE: ("nothing was held", _nothing_there),
    RequestFailed.TYPE: ("nothing was asked for", _not_asked),
    PaymentDeclined.TYPE: ("the payment was decided", _verification_over),
    FraudSuspected.TYPE: ("the payment was decided", _verification_over),
    VerificationUnavailable.TYPE: ("the payment was decided", _verification_over),
    AnswerPending.TYPE: ("the answer is still to come", lambda _story, _entry: True),
}
"""Events that may rightly lead to no fact: why, and what has to be so then. All others do."""
