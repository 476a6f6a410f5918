"""R24: an order keeps the policy that it was accepted under, whatever the files say later."""

from typing import Any, get_args

import pytest
from pydantic_core import from_json, to_json

from services.fulfillment.store import documents
from shared.documents import Document
from shared.events.envelope import OpenDeadline
from shared.events.fields import ServiceLevel
from shared.events.fulfillment import DateWindow, Order
from shared.policy import BY_SERVICE_LEVEL, UNTIL_ACCEPTED, Policies, Policy
from shared.policy_fields import MAX_HOURS, TransitDays
from tests.support.orders import (
    DAY,
    HOLD_ENDS,
    HOUR,
    KETTLE,
    PURCHASED,
    SHIP_BY,
    TEA,
    after,
    hold_over,
    order_placed,
    payment_approved,
    placed,
    reached,
    stock_reserved,
)

STRICT = Policies(
    Policy(
        time_zone="Asia/Tokyo",
        calendar_country="JP",
        handling_days={"Standard": 1},
        sku_handling_days={KETTLE: 4, "NOT-OF-THE-ORDER": 9},
        transit_days={"Standard": TransitDays(6, 11)},
        sku_transit_days={KETTLE: TransitDays(7, 9), "NOT-OF-THE-ORDER": TransitDays(8, 44)},
        auto_cancel_order_date_days=33,
        late_notice_interval_hours=7,
    )
)
LAX = Policies(Policy(auto_cancel_order_date_days=90, late_notice_interval_hours=100))


def accepted(policies: Policies) -> Order:
    return after(None, order_placed(), policies=policies)


def test_r24_a_running_order_keeps_the_policy_that_it_was_accepted_under() -> None:
    released = (stock_reserved(), payment_approved(), hold_over())

    kept = after(accepted(STRICT), *released, policies=LAX)

    assert kept == after(accepted(STRICT), *released, policies=STRICT)
    assert kept.cancel_at == PURCHASED + 33 * DAY
    assert kept != after(accepted(LAX), *released, policies=LAX)


def test_r24_the_next_order_has_the_new_policy() -> None:
    order = after(accepted(LAX), stock_reserved(), payment_approved(), hold_over(), policies=STRICT)

    assert order.cancel_at == PURCHASED + 90 * DAY
    assert order.ship_window is not None
    assert order.ship_window.latest == SHIP_BY


def test_r24_an_order_keeps_only_what_differs_from_the_default_and_concerns_it() -> None:
    assert accepted(Policies()).terms == {}
    assert accepted(STRICT).terms == {
        "time_zone": "Asia/Tokyo",
        "calendar_country": "JP",
        "auto_cancel_order_date_days": 33,
        "late_notice_interval_hours": 7,
        "handling_days": {"Standard": 4},
        "transit_days": {"Standard": (7, 11)},
    }


def test_r24_terms_survive_the_document_and_the_wire() -> None:
    order = accepted(STRICT)

    (op,) = documents.write(0, Document("x"), Document("x", state=order), lambda _: None)
    stored = op.args[0]
    assert isinstance(stored, bytes)
    assert documents.read("x", stored).state == order


def test_r24_an_order_from_before_terms_has_the_policy_of_today() -> None:
    old = accepted(LAX).model_copy(update={"terms": None})

    order = after(old, stock_reserved(), payment_approved(), hold_over(), policies=STRICT)

    today, skus = STRICT.default, [KETTLE, TEA]
    assert order.cancel_at == PURCHASED + 33 * DAY
    ship = today.ship_window(HOLD_ENDS, "Standard", skus)
    delivery = today.delivery_window(ship, "Standard", skus)
    assert (order.ship_window, order.delivery_window) == (
        DateWindow(**ship._asdict()),
        DateWindow(**delivery._asdict()),
    )
    late = after(order, reached(OpenDeadline(kind="ship_by", due=ship.latest)), policies=STRICT)
    told = today.new_delivery_window(ship.latest, "Standard", skus, delivery.latest)
    assert late.delivery_window == DateWindow(**told._asdict())


@pytest.mark.parametrize("level", get_args(ServiceLevel))
def test_r24_under_its_terms_an_order_has_the_dates_of_its_policy(level: ServiceLevel) -> None:
    policy, skus = STRICT.default, [KETTLE, "OTHER"]
    kept = Policies().under("A1VC38T7YXB528", from_json(to_json(policy.terms(level, skus))))

    window = policy.ship_window(HOLD_ENDS, level, skus)
    assert kept.ship_window(HOLD_ENDS, level, skus) == window
    assert kept.delivery_window(window, level, skus) == policy.delivery_window(window, level, skus)
    assert kept.new_delivery_window(HOLD_ENDS, level, skus, SHIP_BY) == policy.new_delivery_window(
        HOLD_ENDS, level, skus, SHIP_BY
    )
    assert kept.auto_cancel_at(PURCHASED, SHIP_BY) == policy.auto_cancel_at(PURCHASED, SHIP_BY)


def test_r24_every_number_that_counts_after_the_acceptance_is_kept() -> None:
    """A field that is added to the policy is kept by itself."""
    settled = (*UNTIL_ACCEPTED, *BY_SERVICE_LEVEL)
    fields = Policy.model_fields.items()
    counts = {name: field.default for name, field in fields if name not in settled}
    given: dict[str, Any] = {
        name: 1 if isinstance(default, int) else "x" for name, default in counts.items()
    }

    assert Policy.model_construct(**given).terms("Standard", []) == given


@pytest.mark.parametrize("hours", [1, 24, MAX_HOURS])
def test_r24_what_no_order_keeps_is_todays_of_its_marketplace(hours: int) -> None:
    japanese = Policy(marketplace_id="A1VC38T7YXB528", parked_hours=hours, hold_minutes=7)
    today = Policies(by_marketplace={japanese.marketplace_id: japanese})

    kept = today.under("A1VC38T7YXB528", {"cancel_warning_days": 3})

    assert kept == japanese.model_copy(update={"cancel_warning_days": 3})
    assert kept.parked_until(HOLD_ENDS) == HOLD_ENDS + hours * HOUR
    assert today.under("A39IBJ37TRP1C6", {"cancel_warning_days": 3}).parked_hours == 24


def test_r24_an_order_from_before_terms_were_kept_has_todays_policy_of_its_marketplace() -> None:
    japanese = Policy(marketplace_id="A1VC38T7YXB528", retention_days=90)
    policies = Policies(by_marketplace={japanese.marketplace_id: japanese})

    assert policies.under("A1VC38T7YXB528", None) is japanese
    assert policies.under("A39IBJ37TRP1C6", None) is policies.default
    assert policies.under("A1VC38T7YXB528", {}).retention_days == 45, "kept the defaults as such"

    german = Policies(by_marketplace={placed().marketplace_id: STRICT.default})
    old = accepted(LAX).model_copy(update={"terms": None})
    released = (stock_reserved(), payment_approved(), hold_over())
    assert after(old, *released, policies=german).cancel_at == PURCHASED + 33 * DAY


def test_r24_what_another_release_knows_or_allows_is_no_hindrance() -> None:
    kept = Policies().under("x", {"hold_the_line_days": 4, "cancel_warning_days": 3000})

    assert kept.cancel_warning_days == 3000
    assert kept.late_notice_interval_hours == 24


def test_r24_the_defaults_in_the_code_never_change() -> None:
    """Orders leave out what is the default: another default would give running orders new terms.

    What is to hold from now on belongs in `deploy/policies/default.yaml`.
    """
    defaults: dict[str, Any] = Policy().model_dump(mode="json", exclude={"fraud"})

    assert defaults == {
        "marketplace_id": "default",
        "time_zone": "UTC",
        "calendar_country": None,
        "calendar_subdivision": None,
        "hold_minutes": 30,
        "verification_window_days": 7,
        "buyer_cancel": "automatic",
        "cancel_request_lateness_minutes": 10,
        "seller_answer_hours": 48,
        "handling_days": {
            "Standard": 2,
            "Expedited": 1,
            "SecondDay": 1,
            "NextDay": 0,
            "SameDay": 0,
            "Priority": 1,
            "Scheduled": 2,
            "FreeEconomy": 2,
        },
        "sku_handling_days": {},
        "cut_off_hour": 14,
        "transit_days": {
            "Standard": [3, 5],
            "Expedited": [1, 3],
            "SecondDay": [2, 2],
            "NextDay": [1, 1],
            "SameDay": [0, 0],
            "Priority": [1, 2],
            "Scheduled": [2, 4],
            "FreeEconomy": [5, 8],
        },
        "sku_transit_days": {},
        "late_notice_interval_hours": 24,
        "auto_cancel_anchor": "order_date",
        "auto_cancel_order_date_days": 30,
        "auto_cancel_ship_by_working_days": 7,
        "cancel_warning_days": 7,
        "lost_package_days": 14,
        "return_window_days": 30,
        "return_transit_days": 30,
        "provider_answer_hours": 24,
        "parked_hours": 24,
        "retention_days": 45,
    }
