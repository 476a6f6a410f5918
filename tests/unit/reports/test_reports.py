"""R20, R21: which orders are in which report, under Amazon's column names, in which order."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from shared.events.fulfillment import Order
from shared.policy import Policies
from shared.reports import (
    ORDER_REPORT,
    UNSHIPPED_REPORT,
    Asked,
    Moment,
    Report,
    has_left_pending,
    rows,
)
from shared.spreadsheet import Cell, TableFormat, table_lines
from tests.support.orders import (
    DAY,
    HOLD_ENDS,
    KETTLES,
    ONE_MS,
    SELLER,
    TEAS,
    shipment_confirmed,
    unshipped,
)

GOLDEN = Path(__file__).parent
NOW = datetime(2026, 3, 12, 14, 8, 51, tzinfo=UTC)
ALL_COLUMNS = {report.name: tuple(report.optional) for report in (ORDER_REPORT, UNSHIPPED_REPORT)}


@pytest.fixture
def asked(policies: Policies) -> Asked:
    return Asked(at=NOW, policies=policies)


def written(
    report: Report, orders: Iterable[Order], asked: Asked, format_: TableFormat = TableFormat.TSV
) -> str:
    lines = [line for order in orders for line in report.lines(order, asked)]
    return "".join(table_lines(format_, report.column_names(asked), rows(lines)))


def told(report: Report, orders: Iterable[Order], asked: Asked) -> list[dict[str, Cell]]:
    """The rows as they are before they are written, by column."""
    names = report.column_names(asked)
    lines = [line for order in orders for line in report.lines(order, asked)]
    return [dict(zip(names, row, strict=True)) for row in rows(lines)]


def ids(report: Report, orders: Iterable[Order], asked: Asked) -> Iterator[str]:
    """The orders of a report, each once, by the number in their ids."""
    return iter(dict.fromkeys(str(row["order-id"])[10] for row in told(report, orders, asked)))


@pytest.mark.parametrize("format_", TableFormat)
@pytest.mark.parametrize("report", [ORDER_REPORT, UNSHIPPED_REPORT], ids=lambda r: r.name)
def test_r21_the_report_is_the_golden_file(
    report: Report, format_: TableFormat, orders: list[Order], asked: Asked
) -> None:
    asked = replace(asked, columns=ALL_COLUMNS[report.name])
    golden = (GOLDEN / f"{report.name}.{format_}").read_bytes().decode()

    assert written(report, reversed(orders), asked, format_) == golden


def test_r21_the_columns_are_amazons_own() -> None:
    asked = Asked(at=NOW)

    assert " ".join(UNSHIPPED_REPORT.column_names(asked)) == (
        "order-id order-item-id purchase-date payments-date reporting-date promise-date "
        "days-past-promise buyer-email buyer-phone-number sku product-name quantity-purchased "
        "quantity-shipped quantity-to-ship ship-service-level recipient-name ship-address-1 "
        "ship-address-2 ship-address-3 ship-city ship-state ship-postal-code ship-country "
        "is-business-order purchase-order-number price-designation is-prime"
    )
    assert " ".join(ORDER_REPORT.column_names(asked)[:15]) == (
        "order-id order-item-id purchase-date payments-date buyer-email buyer-name "
        "buyer-phone-number sku product-name quantity-purchased currency item-price item-tax "
        "shipping-price shipping-tax"
    )


def test_r3_a_pending_order_is_in_neither_report_nor_one_canceled_before(
    orders: list[Order], asked: Asked
) -> None:
    hidden = [order for order in orders if not has_left_pending(order)]

    assert [(order.status, order.released_at is None) for order in hidden] == [
        ("Pending", False),
        ("Canceled", False),
    ]
    assert told(ORDER_REPORT, hidden, asked) == []
    assert told(UNSHIPPED_REPORT, hidden, asked) == []


def test_r21_the_order_report_has_what_left_pending_whatever_became_of_it(
    orders: list[Order], asked: Asked
) -> None:
    asked = replace(asked, columns=("order-status",))

    found = told(ORDER_REPORT, orders, asked)

    assert {str(row["order-id"])[10]: row["order-status"] for row in found} == {
        "3": "Unshipped",
        "1": "Unshipped",
        "2": "PartiallyShipped",
        "4": "Canceled",
        "5": "Shipped",
    }


def test_r23_an_archived_order_has_left_both_reports(orders: list[Order], asked: Asked) -> None:
    stub = {"ship_window": None, "ship_address": None, "released_at": None, "packages": ()}
    (shipped,) = (order for order in orders if order.status == "Shipped")

    assert told(ORDER_REPORT, [shipped.model_copy(update=stub)], asked) == []


def test_r10_the_unshipped_report_has_open_units_the_most_urgent_first(
    orders: list[Order], asked: Asked
) -> None:
    found = told(UNSHIPPED_REPORT, orders, asked)

    assert [(str(row["order-id"])[10], row["days-past-promise"]) for row in found] == [
        ("3", 1),
        ("1", -2),
        ("2", -2),
        ("2", -2),
    ]
    kettles, tea = found[2:]
    assert [(row["quantity-shipped"], row["quantity-to-ship"]) for row in (kettles, tea)] == [
        (2, 1),
        (0, 2),
    ]
    assert tea["order-item-id"] == TEAS


def test_r10_a_later_order_with_an_earlier_promise_comes_first(asked: Asked) -> None:
    slow, fast = (
        unshipped(order_id="902-0000001"),
        unshipped(order_id="902-0000002", ship_service_level="NextDay"),
    )
    assert slow.released_at == fast.released_at

    assert "".join(ids(UNSHIPPED_REPORT, [slow, fast], asked)) == "21"


def test_r10_an_item_that_is_shipped_as_a_whole_is_not_to_be_shipped(asked: Asked) -> None:
    order = unshipped(shipment_confirmed({KETTLES: 3}))

    (row,) = told(UNSHIPPED_REPORT, [order], asked)

    assert (row["order-item-id"], row["quantity-to-ship"]) == (TEAS, 2)


@pytest.mark.parametrize(
    ("since", "until", "found"),
    [
        (None, None, "31245"),
        (HOLD_ENDS, None, "1245"),
        (HOLD_ENDS + ONE_MS, None, ""),
        (None, HOLD_ENDS, "3"),
        (None, HOLD_ENDS + ONE_MS, "31245"),
        (date(2026, 3, 11), date(2026, 3, 11), "1245"),
        (date(2026, 3, 12), None, ""),
        (None, date(2026, 3, 10), "3"),
        # 10:11 UTC is 19:11 in Tokyo: the same day, and not the next
        (date(2026, 3, 9), date(2026, 3, 9), "3"),
        (date(2026, 3, 10), date(2026, 3, 10), ""),
    ],
)
def test_r21_the_order_reports_range_is_when_an_order_left_pending(
    orders: list[Order], asked: Asked, since: Moment, until: Moment, found: str
) -> None:
    asked = replace(asked, since=since, until=until)

    assert "".join(ids(ORDER_REPORT, orders, asked)) == found


def test_r21_a_day_is_the_marketplaces_own(orders: list[Order], policies: Policies) -> None:
    (tokyo,) = (order for order in orders if order.order_id.startswith("250"))
    at_night = tokyo.model_copy(update={"released_at": datetime(2026, 3, 9, 15, 0, tzinfo=UTC)})

    def is_in(order: Order, day: date) -> bool:
        asked = Asked(at=NOW, policies=policies, since=day, until=day)
        return bool(told(ORDER_REPORT, [order], asked))

    assert is_in(at_night, date(2026, 3, 10))
    assert not is_in(at_night, date(2026, 3, 9))
    before = at_night.model_copy(update={"released_at": at_night.released_at - ONE_MS})  # type: ignore[operator]
    assert is_in(before, date(2026, 3, 9))


def test_r21_only_one_sellers_or_marketplaces_orders(orders: list[Order], asked: Asked) -> None:
    other = orders[0].model_copy(update={"seller_id": "A9RIVAL", "order_id": "902-0000009-X"})

    def found(**only: str) -> str:
        return "".join(ids(UNSHIPPED_REPORT, [*orders, other], replace(asked, **only)))  # type: ignore[arg-type]

    assert found(seller_id="A9RIVAL") == "9"
    assert found(seller_id=SELLER) == "312"
    assert found(marketplace_id="A1VC38T7YXB528") == "3"
    assert found(seller_id="A9RIVAL", marketplace_id="A1VC38T7YXB528") == ""


def test_r20_a_report_can_be_split_by_traffic_source(orders: list[Order], asked: Asked) -> None:
    asked = replace(asked, by_traffic_source=True)

    found = told(UNSHIPPED_REPORT, orders, asked)

    assert [(row["traffic-source"], str(row["order-id"])[10]) for row in found] == [
        ("advertisement off_site", "1"),
        ("direct on_site", "3"),
        ("organic on_site", "2"),
        ("organic on_site", "2"),
    ]


def test_r15_a_buyers_open_request_to_cancel_is_told_with_its_reason(
    orders: list[Order], asked: Asked
) -> None:
    names = ("is-buyer-requested-cancellation", "buyer-requested-cancel-reason")
    asked = replace(asked, columns=names)

    found = told(UNSHIPPED_REPORT, orders[:2], asked)

    assert [tuple(row[name] for name in names) for row in found] == [
        (True, "@me: two is enough"),
        (False, None),
        (False, None),
    ]


def test_r10_the_verges_are_told_at_the_instant_of_looking(
    orders: list[Order], policies: Policies
) -> None:
    names = ("verge-of-lateShipment", "verge-of-cancellation")

    def verges(at: datetime) -> list[tuple[Cell, ...]]:
        asked = Asked(at=at, policies=policies, columns=names)
        return [tuple(row[n] for n in names) for row in told(UNSHIPPED_REPORT, orders[:1], asked)]

    assert verges(NOW) == [(False, False)]
    assert verges(NOW + DAY) == [(True, False)]
    assert verges(NOW + 24 * DAY) == [(False, True)]
