"""`orderflow feed`: a history goes in, the same outcomes come out wherever it runs."""

import json
from pathlib import Path

import pytest

from tests.support.systems import orderflow

HEADER = (
    "order_id,order_status,order_purchase_timestamp,order_approved_at,"
    "order_delivered_carrier_date,order_delivered_customer_date,order_estimated_delivery_date\n"
)
HISTORY = """\
in-time,delivered,11/13/2017 9:00,11/13/2017 9:10,11/14/2017 15:00,11/20/2017 12:00,
paid-late,delivered,11/13/2017 9:05,11/20/2017 9:04,11/21/2017 8:00,11/24/2017 12:00,
paid-too-late,canceled,11/13/2017 9:05,11/20/2017 9:06,11/21/2017 8:00,11/24/2017 12:00,
never-paid,canceled,11/13/2017 9:06,,,,
carrier-before-paid,delivered,11/13/2017 9:07,11/14/2017 10:00,11/13/2017 12:00,11/15/2017 9:00,
late,shipped,11/13/2017 9:08,11/13/2017 9:08,11/19/2017 9:00,,
confirmed-on-day-29,delivered,11/13/2017 9:09,11/13/2017 9:09,12/13/2017 9:08,12/20/2017 9:00,
confirmed-on-day-30,delivered,11/13/2017 9:10,11/13/2017 9:10,12/13/2017 9:11,12/20/2017 9:00,
never-confirmed,unavailable,11/13/2017 9:11,11/13/2017 9:11,,,
bad row,delivered,11/13/2017 9:12,,,,
"""


@pytest.mark.timeout(300)
def test_a_history_is_replayed_to_the_minute_and_its_books_balance(tmp_path: Path) -> None:
    (tmp_path / "history.csv").write_text(HEADER + HISTORY)

    done = orderflow("feed", "history.csv", "--json", "--partitions", "2", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["outcomes"] == {
        "Shipped": 5,
        "Canceled: payment_timeout": 2,
        "Canceled: shipment_unconfirmed": 2,
    }
    assert summary["bad_rows"] == [
        {
            "line": 11,
            "reason": "order_id: String should match pattern '^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$'",
        }
    ]
    assert summary["late_orders"] == 4
    # Wednesday 15 November is off: due on the 16th; 3 days until the 19th, 27 until 13 December
    assert summary["late_notices"] == 3 + 3 * 27
    assert summary["delivered"] == 4
    assert summary["books"]["balanced"]
