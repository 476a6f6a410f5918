"""What a history came to under a policy."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Self

HOUR = timedelta(hours=1)


@dataclass
class Result:
    """What a history came to under one policy, or a part of it.

    `outcomes` counts orders by status and reason and by the file's own final status; `notices` by
    recipient and kind; `canceled_minor` is what the canceled orders were for, by reason and
    currency, of those whose amount the file gives; `holding` are the units of stock that orders
    held more, or fewer, from an instant on, `unit_time` is how long they held each, summed;
    `days_late` counts orders by their late notices.
    """

    name: str
    orders: int = 0
    events: int = 0
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    notices: Counter[tuple[str, str]] = field(default_factory=Counter)
    late_orders: int = 0
    new_delivery_dates: int = 0
    unit_time: timedelta = timedelta(0)
    canceled_minor: Counter[tuple[str, str]] = field(default_factory=Counter)
    orders_with_amount: int = 0
    holding: Counter[datetime] = field(default_factory=Counter)
    days_late: Counter[int] = field(default_factory=Counter)

    @property
    def unit_hours(self) -> float:
        """Units of stock held, times the hours for which they were."""
        return self.unit_time / HOUR

    @property
    def held(self) -> list[tuple[datetime, int]]:
        """The units of stock that orders held, by when that changed."""
        instants = sorted(self.holding)
        return list(zip(instants, accumulate(self.holding[at] for at in instants), strict=True))

    def add(self, part: Self) -> None:
        """Count another part of the history, too."""
        self.orders += part.orders
        self.events += part.events
        self.outcomes.update(part.outcomes)
        self.notices.update(part.notices)
        self.late_orders += part.late_orders
        self.new_delivery_dates += part.new_delivery_dates
        self.unit_time += part.unit_time
        self.canceled_minor.update(part.canceled_minor)
        self.orders_with_amount += part.orders_with_amount
        self.holding.update(part.holding)
        self.days_late.update(part.days_late)
