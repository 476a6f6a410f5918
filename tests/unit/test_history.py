"""A history file: what becomes an order, and why a row does not."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.simulator.history import BadRow, Mapped, PastOrder, read_history, read_mapping
from shared.errors import SettingError

OLIST = Path(__file__).parents[2] / "services" / "cli" / "feed" / "olist.yaml"
HEADER = (
    "order_id,order_status,order_purchase_timestamp,order_approved_at,"
    "order_delivered_carrier_date,order_delivered_customer_date,order_estimated_delivery_date\n"
)
GOOD = "hippo-7,delivered,10/2/2017 10:56,10/2/2017 11:07,10/4/2017 19:55,,10/18/2017 0:00\n"


def read(tmp_path: Path, rows: str, header: str = HEADER) -> list[PastOrder | BadRow]:
    file = tmp_path / "history.csv"
    file.write_text(header + rows, encoding="utf-8")
    return list(read_history(file, read_mapping(OLIST)))


def test_times_are_local_to_the_marketplace_and_may_be_missing(tmp_path: Path) -> None:
    assert read(tmp_path, GOOD) == [
        PastOrder(
            order_id="hippo-7",
            status="delivered",
            purchased=datetime(2017, 10, 2, 13, 56, tzinfo=UTC),  # UTC-3, summer time not yet
            approved=datetime(2017, 10, 2, 14, 7, tzinfo=UTC),
            carrier=datetime(2017, 10, 4, 22, 55, tzinfo=UTC),
            delivered=None,
            estimated=datetime(2017, 10, 18, 2, 0, tzinfo=UTC),  # UTC-2, summer time
        )
    ]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("no id,x,10/2/2017 10:56,,,,\n", "order_id: String should match pattern"),
        ("a1,x,,,,,\n", "purchased is empty"),
        ("a1,x,2017-10-02,,,,\n", "purchased '2017-10-02' is not of the form %m/%d/%Y %H:%M"),
        ("a1,x,10/2/2017 10:56,soon,,,\n", "approved 'soon' is not of the form"),
        ("a1,x\n", "purchased is empty"),
        ("hippo-7,x,10/2/2017 10:56,,,,\n", "order_id hippo-7 was there before"),
    ],
)
def test_a_bad_row_names_its_line_and_reason_and_the_rest_goes_on(
    tmp_path: Path, row: str, reason: str
) -> None:
    first, bad, last = read(tmp_path, GOOD + row + GOOD.replace("hippo-7", "hippo-8"))

    assert isinstance(bad, BadRow)
    assert bad.line == 3
    assert bad.reason.startswith(reason)
    assert isinstance(first, PastOrder)
    assert isinstance(last, PastOrder)


def test_a_missing_column_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="without column order_status"):
        read(tmp_path, GOOD, HEADER.replace("order_status", "state"))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="not readable"):
        list(read_history(tmp_path / "none.csv", read_mapping(OLIST)))


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("time_zone: Sao_Paulo", "time_zone"),
        ("currency: Real", "currency"),
        ("colour: red", "colour"),
    ],
)
def test_a_wrong_mapping_names_its_field(tmp_path: Path, line: str, named: str) -> None:
    name = line.partition(":")[0]
    kept = [each for each in OLIST.read_text().splitlines() if not each.startswith(f"{name}:")]
    file = tmp_path / "mapping.yaml"
    file.write_text("\n".join([*kept, line]))

    with pytest.raises(SettingError, match=named):
        read_mapping(file)


def test_the_olist_mapping_is_complete() -> None:
    assert isinstance(read_mapping(OLIST), Mapped)
