"""Amounts as people write them."""

import pytest

from shared.currencies import in_units
from shared.events.fields import MAX_AMOUNT_MINOR, Money


@pytest.mark.parametrize(
    ("minor", "currency", "shown"),
    [
        (11_970, "EUR", "119.70"),
        (5, "USD", "0.05"),
        (0, "EUR", "0.00"),
        (4_980, "JPY", "4980"),
        (1_250, "BHD", "1.250"),
        (MAX_AMOUNT_MINOR, "USD", "10000000000.00"),
    ],
)
def test_an_amount_has_the_decimals_of_its_currency(minor: int, currency: str, shown: str) -> None:
    assert f"{in_units(Money(amount_minor=minor, currency=currency)):f}" == shown
