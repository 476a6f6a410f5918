"""The payment service, put together."""

from collections.abc import Mapping
from dataclasses import replace

from services.payment.decisions import decide
from services.payment.provider import HttpProvider, calls_of
from services.payment.state import Verification, evolve
from services.payment.store import TALLY_KEYS, ask_buyer, ask_card, documents, reapply
from shared.decode import Reading
from shared.errors import SettingError
from shared.events.deadlines import DEADLINES_EVENTS, DeadlineReached
from shared.events.envelope import Fact
from shared.events.fulfillment import (
    FULFILLMENT_EVENTS,
    OpenUnitsCanceled,
    OrderArchived,
    OrderCanceled,
    PackageConfirmed,
    RequestRefused,
    UnitsReturned,
)
from shared.events.gateway import PAYMENTS
from shared.events.payment import PAYMENT_EVENTS
from shared.events.storefront import ORDERS, OrderPlaced
from shared.service import Call, Crossing, Service
from shared.settings import Settings
from shared.worker import run


def build() -> Service[Verification]:
    """What payment reads, asks, decides and writes, for the partition task."""
    return Service(
        name="payment",
        reads=(
            Reading(ORDERS, (OrderPlaced,)),
            Reading(PAYMENTS, PAYMENTS.facts),
            Reading(
                FULFILLMENT_EVENTS,
                (
                    PackageConfirmed,
                    OpenUnitsCanceled,
                    UnitsReturned,
                    OrderCanceled,
                    OrderArchived,
                    RequestRefused,
                ),
            ),
            Reading(DEADLINES_EVENTS, (DeadlineReached,)),
        ),
        journal=PAYMENT_EVENTS,
        asks=(ask_buyer, ask_card),
        crossing=Crossing(pattern=TALLY_KEYS, reapply=reapply),
        decide=decide,
        evolve=evolve,
        documents=documents,
    )


def calls(settings: Settings) -> Mapping[type[Fact], Call]:
    """What is asked of the payment provider; nothing where none is set: then an outside gateway
    reads the requests on `payment.events`, and answers on `payments`.

    Raises SettingError for a provider without its token, and for a token without its provider.
    """
    if settings.payment_provider_url is None:
        if settings.payment_provider_token is not None:
            allowed = "the provider that PAYMENT_PROVIDER_TOKEN is for"
            raise SettingError("PAYMENT_PROVIDER_URL", "not set", allowed)
        return {}
    if settings.payment_provider_token is None:
        allowed = "the bearer token of the provider at PAYMENT_PROVIDER_URL"
        raise SettingError("PAYMENT_PROVIDER_TOKEN", "not set", allowed)
    provider = HttpProvider(settings.payment_provider_url, settings.payment_provider_token)
    found = calls_of(provider)
    return {fact: replace(call, close=provider.aclose) for fact, call in found.items()}


def main() -> None:
    """Run the service until it is told to stop."""
    run(build(), calls=calls)


if __name__ == "__main__":
    main()
