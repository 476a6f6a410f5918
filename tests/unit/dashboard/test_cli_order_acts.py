"""`orderflow orders` does to an order what the forms of its page do."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from services.cli import order_acts
from services.cli.app import app
from services.cli.desk import whoever_this_is
from shared.events.seller import SHIPMENTS, ResendRequested
from shared.events.storefront import ORDERS, AddressCorrected
from tests.support.orders import BUYER, SELLER, address
from tests.support.screen import Said, open_screen
from tests.unit.dashboard.conftest import CANCELED, LATE, NOW, PARTLY, PENDING, SHIPPED

MOVED = ("address", LATE, "--reason", "a typing error", "--city", "Werder")


@pytest.fixture
def said(morning: str, monkeypatch: pytest.MonkeyPatch) -> list[Said]:
    """What commands tell, that stand at a desk with the orders of a morning."""
    kept: list[Said] = []

    def at_the_desk(_data_dir: Path, do: Callable[[Any], Awaitable[Any]], *, lists: bool) -> Any:
        async def done() -> Any:
            async with open_screen(morning, NOW, role=None) as screen:
                found = await do(SimpleNamespace(parts=screen.parts))
                kept.extend(screen.said)
                return found

        assert not lists
        return asyncio.run(done())

    monkeypatch.setattr(order_acts, "at_the_desk", at_the_desk)
    return kept


def orders(*words: str, code: int = 0) -> Result:
    done = CliRunner().invoke(app, ["orders", *words])
    assert done.exit_code == code, done.output
    return done


def test_an_address_is_corrected_in_what_is_named_and_the_rest_stays(said: list[Said]) -> None:
    told = orders(*MOVED).stdout

    (event,) = said
    assert told == f"said order.address_corrected.v1 {LATE}: topic orders, id {event.id}\n"
    assert (event.topic, event.subject, event.source) == (ORDERS, LATE, whoever_this_is())
    assert event.fact == AddressCorrected(
        buyer_id=BUYER,
        ship_address=address(city="Werder"),
        requested_by="MARKETPLACE",
        reason="a typing error",
    )


def test_a_line_of_an_address_is_taken_away_by_an_empty_one(said: list[Said]) -> None:
    orders(*MOVED, "--postal-code", "")

    assert isinstance(said[0].fact, AddressCorrected)
    assert said[0].fact.ship_address == address(city="Werder", postal_code="")


def test_what_a_corrected_address_lacks_is_named_and_nothing_is_said(said: list[Said]) -> None:
    wrong = orders("address", LATE, "--reason", " ", "--address-line-1", "", code=2).stderr
    same = orders("address", LATE, "--reason", "none", code=2).stderr

    assert wrong.splitlines() == [
        "orderflow orders: address_line_1: Street and number.",
        "orderflow orders: reason: Why, for whoever reads the timeline.",
    ]
    assert same == "orderflow orders: address_line_1: The order goes there already.\n"
    assert said == []


def test_a_corrected_address_as_json_names_nobody(said: list[Said]) -> None:
    told = json.loads(orders(*MOVED, "--dry-run", "--json").stdout)

    assert told["data"]["ship_address"] == {
        "city": "Werder",
        "state_or_region": "",
        "country_code": "DE",
    }
    assert (told["order_id"], told["dry_run"]) == (LATE, True)
    assert said == []


def test_p4_the_last_notice_of_a_kind_is_asked_for_again(said: list[Said]) -> None:
    orders("resend-notice", SHIPPED, "package_shipped")
    orders("resend-notice", SHIPPED, "package_shipped", "--occurrence", "7")

    assert [(event.topic, event.subject, event.source) for event in said] == [
        (SHIPMENTS, SHIPPED, whoever_this_is())
    ] * 2
    assert [event.fact for event in said] == [
        ResendRequested(seller_id=SELLER, kind="package_shipped", occurrence=nth) for nth in (1, 7)
    ]


def test_p4_a_kind_that_nobody_was_told_is_refused_with_those_that_were(said: list[Said]) -> None:
    refused = orders("resend-notice", SHIPPED, "late_shipment", code=1).stderr

    assert refused.startswith("KIND late_shipment: no such notice was sent. Sent were: ")
    assert "estimated_delivery, package_shipped" in refused
    assert said == []


@pytest.mark.parametrize(
    "words",
    [MOVED, ("resend-notice", SHIPPED, "package_shipped"), ("cancel", LATE, "NoInventory")],
    ids=lambda words: words[0],
)
def test_one_id_is_one_event_however_often_it_is_said(
    words: tuple[str, ...], said: list[Said]
) -> None:
    for _ in range(2):
        orders(*words, "--id", "ticket-7")
    orders(*words)

    first, again, other = (event.id for event in said)
    assert first == again
    assert first != other


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("address", PARTLY, "--reason", "late", "--city", "Werder"), "PartiallyShipped"),
        (("address", CANCELED, "--reason", "late", "--city", "Werder"), "Canceled"),
        (("address", PENDING, "--reason", "early", "--city", "Werder"), "Pending"),
        (("resend-notice", PENDING, "estimated_delivery"), "Pending"),
    ],
)
def test_what_an_order_is_past_or_before_is_refused_by_its_status(
    words: tuple[str, ...], status: str, said: list[Said]
) -> None:
    refused = orders(*words, code=1).stderr

    assert refused == f"{words[1]} is {status}: that is not possible now.\n"
    assert said == []
