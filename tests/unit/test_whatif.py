"""What-if: what can be counted from a history alone is counted to the order."""

import gc
import json
import os
from collections import Counter
from dataclasses import replace
from datetime import datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from holidays import country_holidays
from typer.testing import CliRunner
from typer.testing import Result as Shown

from services.cli.app import app
from services.cli.whatif.figures import figures, outcomes
from services.cli.whatif.page import page
from services.simulator import comparison
from services.simulator.comparison import NamedPolicy, compare
from services.simulator.engine import Engine
from services.simulator.history import PastOrder, read_history, read_mapping
from services.simulator.result import Result
from services.simulator.whatif import run
from shared.policy import Policies, Policy
from shared.policy_fields import FraudLimits

REPO = Path(__file__).parents[2]
OLIST = REPO / "services" / "cli" / "feed" / "olist.yaml"
BRAZIL = Policies.load(REPO / "deploy" / "policies").of("A2Q3Y263D00KWC")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
HEADER = (
    "order_id,order_status,order_purchase_timestamp,order_approved_at,"
    "order_delivered_carrier_date,order_delivered_customer_date,order_estimated_delivery_date"
)
ROWS = """\
in-time,delivered,11/13/2017 9:00,11/13/2017 9:10,11/14/2017 15:00,11/20/2017 12:00,,9.90,LAMP,2
paid-late,delivered,11/13/2017 9:05,11/20/2017 9:04,11/21/2017 8:00,11/24/2017 12:00,,10.00,LAMP,1
paid-in-the-last-minute,canceled,11/13/2017 9:05,11/20/2017 9:05,11/21/2017 8:00,,,11.25,LAMP,1
never-paid,canceled,11/13/2017 9:06,,,,,12.00,LAMP,3
carrier-before-paid,delivered,11/13/2017 9:07,11/14/2017 10:00,11/13/2017 12:00,,,13.00,CUP,1
late,shipped,11/13/2017 9:08,11/13/2017 9:08,11/19/2017 9:00,,,14.00,CUP,1
over-a-holiday,shipped,12/29/2017 9:08,12/29/2017 9:08,01/04/2018 23:59,,,14.50,CUP,1
on-day-29,delivered,11/13/2017 9:09,11/13/2017 9:09,12/13/2017 9:08,12/20/2017 9:00,,15.00,CUP,1
on-day-30,delivered,11/13/2017 9:10,11/13/2017 9:10,12/13/2017 9:10,12/20/2017 9:00,,16.00,CUP,1
never-shipped,unavailable,2/16/2018 23:50,2/17/2018 0:10,,,,17.07,CUP,1
delivered-unconfirmed,delivered,2/27/2018 23:50,2/28/2018 0:10,,3/5/2018 12:00,,18.00,CUP,1
"""


@pytest.fixture
def history_file(tmp_path: Path) -> Path:
    file = tmp_path / "history.csv"
    file.write_text(f"{HEADER},total,sku,units\n{ROWS}")
    mapping = OLIST.read_text().replace(
        "time_format", "  amount: total\n  sku: sku\n  quantity: units\ntime_format"
    )
    (tmp_path / "mapping.yaml").write_text(mapping)
    return file


def orders_of(file: Path, mapping: Path) -> list[PastOrder]:
    rows = read_history(file, read_mapping(mapping))
    return [row for row in rows if isinstance(row, PastOrder)]


def in_plain_python(history: list[PastOrder]) -> tuple[Counter[str], int, int, float]:
    """Outcomes, late orders, new dates and unit-hours under Brazil's policy, by arithmetic."""
    zone, off = ZoneInfo("America/Sao_Paulo"), country_holidays("BR", years=range(2016, 2020))
    ends: Counter[str] = Counter()
    late = dates = 0
    hours = 0.0
    for order in history:
        bought = order.purchased
        if order.approved is None or order.approved >= bought + 7 * DAY:
            ends["Canceled: payment_timeout"] += 1
            hours += 7 * 24 * order.quantity
            continue
        released = max(bought + HOUR / 2, order.approved)
        day = released.astimezone(zone).date()
        working = [d for n in range(20) if (d := day + n * DAY).weekday() < 5 and d not in off]
        midnight = datetime.combine(working[2] + DAY, time(), zone)
        ship_by = midnight.astimezone(released.tzinfo) - timedelta(seconds=1)
        given_up = bought + 30 * DAY
        shipped = max(order.carrier, released) if order.carrier else given_up
        until = min(shipped, given_up)
        ends["Shipped" if shipped < given_up else "Canceled: shipment_unconfirmed"] += 1
        hours += (until - bought) / HOUR * order.quantity
        if until >= ship_by:
            late += 1
            dates += (until - ship_by) // DAY + 1
    return ends, late, dates, hours


def check(result: Result, history: list[PastOrder]) -> None:
    ends, late, dates, hours = in_plain_python(history)
    assert outcomes(result) == ends
    assert (result.late_orders, result.new_delivery_dates) == (late, dates)
    assert result.notices["BUYER", "new_delivery_date"] == dates
    assert result.unit_hours == pytest.approx(hours)


def test_what_can_be_counted_from_the_data_alone_is_equal_to_the_order(history_file: Path) -> None:
    mapping = history_file.with_name("mapping.yaml")
    history = orders_of(history_file, mapping)

    result = run("BR", BRAZIL, history, read_mapping(mapping))

    check(result, history)
    assert outcomes(result)["Shipped"] == 6
    assert result.canceled_minor == {
        ("payment_timeout", "BRL"): 1125 + 1200,
        ("shipment_unconfirmed", "BRL"): 1600 + 1707 + 1800,
    }


@pytest.mark.timeout(600)
@pytest.mark.skipif("ORDERFLOW_HISTORY" not in os.environ, reason="ORDERFLOW_HISTORY names no file")
def test_a_real_history_is_counted_to_the_order() -> None:
    history = orders_of(Path(os.environ["ORDERFLOW_HISTORY"]), OLIST)

    check(run("BR", BRAZIL, history, read_mapping(OLIST)), history)


def test_a_longer_handling_time_makes_fewer_orders_late(history_file: Path) -> None:
    mapping = history_file.with_name("mapping.yaml")
    patient = Policy(handling_days={"Standard": 5}, calendar_country="BR")

    results = [
        run(name, policy, orders_of(history_file, mapping), read_mapping(mapping))
        for name, policy in (("quick", BRAZIL), ("patient", patient))
    ]

    quick, patiently = (result.late_orders for result in results)
    assert 0 < patiently < quick


def test_r4_with_a_stock_file_what_is_not_there_is_not_sold(history_file: Path) -> None:
    stock = history_file.with_name("stock.csv")
    stock.write_text("seller,sku,quantity\nHISTORY,LAMP,4\nHISTORY,CUP,100\n")

    shown = whatif(history_file, "--stock", str(stock), "--format", "json")

    (found,) = json.loads(shown)["policies"]
    assert found["Canceled: out_of_stock"] == 1


def test_r4_stock_that_no_order_of_the_history_asks_for_is_named(history_file: Path) -> None:
    stock = history_file.with_name("stock.csv")
    stock.write_text("seller,sku,quantity\nHISTORY,LAMP,400\nHISTORY,lamp,9\n")

    shown = invoke(history_file, "--stock", str(stock))

    assert shown.exit_code == 0
    assert "stock.csv: no order of the history is of lamp\n" in shown.stderr


def test_a_history_without_an_order_is_refused(history_file: Path) -> None:
    columns, *_ = history_file.read_text().splitlines()
    history_file.write_text(columns + "\n")

    shown = invoke(history_file)

    assert (shown.exit_code, shown.stdout) == (3, "")
    told = " ".join(shown.stderr.split())
    assert "without an order. Allowed: a row per order below the columns" in told


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("HISTORY,LAMP,many", "stock.csv:2: quantity: has to be a whole number from 0 to"),
        ("OTHER,LAMP,4", "stock.csv: seller OTHER: each row has to be of the seller HISTORY"),
    ],
)
def test_a_stock_file_that_does_not_fit_is_told_in_one_line(
    history_file: Path, row: str, said: str
) -> None:
    stock = history_file.with_name("stock.csv")
    stock.write_text(f"seller,sku,quantity\n{row}\n")

    shown = invoke(history_file, "--stock", str(stock))

    assert shown.exit_code == 2
    assert said in shown.stderr
    assert shown.stderr.count("stock.csv") == 1


@pytest.mark.parametrize("page", ["missing/page.html", "."])
def test_a_page_that_can_not_be_written_is_refused_before_anything_is_decided(
    history_file: Path, page: str
) -> None:
    shown = invoke(history_file, "--html", str(history_file.parent / page))

    assert shown.exit_code == 2
    assert "has to be a file in a directory that is there" in " ".join(shown.stderr.split())
    assert shown.stdout == ""


def whatif(history: Path, *more: str) -> str:
    shown = invoke(history, *more)
    assert shown.exit_code == 0, shown.output
    return shown.stdout


def invoke(history: Path, *more: str) -> Shown:
    policy = str(REPO / "deploy" / "policies" / "A2Q3Y263D00KWC.yaml")
    mapping = str(history.with_name("mapping.yaml"))
    arguments = ["whatif", str(history), "--policy", policy, "--mapping", mapping, *more]
    return CliRunner().invoke(app, arguments)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_history_in_parts_comes_to_the_same_as_in_one(
    history_file: Path, jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    mapped = read_mapping(history_file.with_name("mapping.yaml"))
    history = orders_of(history_file, history_file.with_name("mapping.yaml"))
    whole = run("BR", BRAZIL, history, mapped)
    monkeypatch.setattr(comparison, "ORDERS_PER_PART", 3)

    two = [NamedPolicy("BR", BRAZIL), NamedPolicy("patient", Policy(handling_days={"Standard": 5}))]
    found, patient = compare(two, history, mapped, jobs=jobs)

    assert found == whole
    assert (found.held, found.unit_hours) == (whole.held, whole.unit_hours)
    assert (patient.name, patient.orders) == ("patient", len(history))
    assert patient.late_orders < found.late_orders


def test_r4_orders_that_want_the_same_stock_stay_together(
    history_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mapped = read_mapping(history_file.with_name("mapping.yaml"))
    history = orders_of(history_file, history_file.with_name("mapping.yaml"))
    on_hand = {("HISTORY", "LAMP"): 4, ("HISTORY", "CUP"): 3}
    monkeypatch.setattr(comparison, "ORDERS_PER_PART", 1)

    (found,) = compare([NamedPolicy("BR", BRAZIL)], history, mapped, on_hand, jobs=1)

    assert found == run("BR", BRAZIL, history, mapped, on_hand)
    assert outcomes(found)["Canceled: out_of_stock"] > 1


def test_r8_each_order_of_a_history_has_a_buyer_and_a_card_of_its_own(history_file: Path) -> None:
    mapping = history_file.with_name("mapping.yaml")
    first = orders_of(history_file, mapping)[0]
    orders = [replace(first, order_id=f"{'O' * 62}{n:02}") for n in range(3)]
    one_each = Policy(fraud=FraudLimits(orders_per_buyer=1, orders_per_card=1))

    result = run("one each", one_each, orders, read_mapping(mapping))

    assert outcomes(result) == {"Shipped": 3}


@pytest.mark.parametrize("collects", [True, False])
def test_garbage_is_not_collected_while_a_history_is_decided_and_is_again_by_whoever_did(
    history_file: Path, collects: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    mapping = history_file.with_name("mapping.yaml")
    history = orders_of(history_file, mapping)
    collected: list[bool] = []

    def decide(*_: object) -> None:
        collected.append(gc.isenabled())

    monkeypatch.setattr(Engine, "run", decide)
    (gc.enable if collects else gc.disable)()
    try:
        run("BR", BRAZIL, history, read_mapping(mapping))
        after = gc.isenabled()
    finally:
        gc.enable()

    assert (collected, after) == ([False], collects)


def test_garbage_is_collected_again_though_a_history_can_not_be_decided(
    history_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decide(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Engine, "run", decide)
    with pytest.raises(MemoryError):
        run("BR", BRAZIL, [], read_mapping(history_file.with_name("mapping.yaml")))

    assert gc.isenabled()


def test_the_figures_are_the_same_as_table_csv_and_json(history_file: Path) -> None:
    table, rows, found = (
        whatif(history_file, "--format", form) for form in ("table", "csv", "json")
    )

    (policy,) = json.loads(found)["policies"]
    assert policy["Canceled: payment_timeout"] == 2
    assert "Canceled: payment_timeout,2" in rows.splitlines()
    assert "Canceled: payment_timeout" in table


def test_the_page_needs_nothing_from_elsewhere(history_file: Path) -> None:
    mapping = history_file.with_name("mapping.yaml")
    result = run("<b>", BRAZIL, orders_of(history_file, mapping), read_mapping(mapping))

    shown = page("history.csv", figures([result]), [result])

    assert "<svg" in shown
    assert "&lt;b&gt;" in shown
    assert [word for word in ("http", "<script", "src=", "@import", "url(") if word in shown] == []
    assert "prefers-color-scheme:dark" in shown
