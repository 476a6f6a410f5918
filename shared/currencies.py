"""Amounts as people write them: ISO 4217 says how many decimals a currency has."""

from collections.abc import Mapping
from decimal import Decimal

from shared.events.fields import Money

_NONE = ("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV",
         "XAF", "XOF", "XPF")  # fmt: skip
_THREE = ("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND")

MINOR_DIGITS: Mapping[str, int] = {**dict.fromkeys(_NONE, 0), **dict.fromkeys(_THREE, 3)}
"""Decimals of a unit, where they are not two."""


def in_units(money: Money) -> Decimal:
    """The amount in units of its currency, with all its decimals: 119.70 of 11 970 cents."""
    return units_of(money.amount_minor, money.currency)


def units_of(amount_minor: int, currency: str) -> Decimal:
    """The same of an amount that may be beyond what one event tells of."""
    return Decimal(amount_minor).scaleb(-MINOR_DIGITS.get(currency, 2))


def money(amount_minor: int, currency: str) -> str:
    """An amount with thousands apart: `1,299.00 EUR`."""
    return f"{units_of(amount_minor, currency):,f} {currency}"
