"""The money of one payment: what came, what was asked for, what went back."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import Field

from shared.events.fields import Currency, Identifier, Instant, Model

Minor = Annotated[int, Field(ge=0)]
"""An amount in minor units."""


class Funds(Model):
    """Money of one kind of one payment: what came, what was asked back of it, what returned."""

    arrived_minor: Minor = 0
    asked_minor: Minor = 0
    """How much was asked back, with what had returned unasked before."""
    returned_minor: Minor = 0

    @property
    def leaving_minor(self) -> int:
        """What returned, asked or unasked, or will: it is not asked for again."""
        return max(self.asked_minor, self.returned_minor)

    def arrive(self, amount_minor: int) -> Self:
        return self.model_copy(update={"arrived_minor": self.arrived_minor + amount_minor})

    def ask_back(self, amount_minor: int) -> Self:
        return self.model_copy(update={"asked_minor": self.leaving_minor + amount_minor})

    def come_back(self, amount_minor: int) -> Self:
        return self.model_copy(update={"returned_minor": self.returned_minor + amount_minor})


Kind = Literal["authorized", "captured"]
Way = Literal["voided", "lapsed", "refunded", "reversed"]
"""How money returned."""
Request = Literal["capture", "void", "refund"]
REQUESTS: tuple[Request, ...] = ("capture", "void", "refund")


class Payment(Model):
    """One payment, by what the gateway says of it; money of a second currency is kept apart.

    `told` is what returned by each way, as the gateway's totals; `answer_due` until when it is to
    answer a request: none where it was silent for too long or said no, that one is stuck (R23).
    """

    payment_id: Identifier
    currency: Currency
    authorized: Funds = Funds()
    captured: Funds = Funds()
    capture_asked_minor: Minor = 0
    told: Mapping[Way, Minor] = {}
    answer_due: Mapping[Request, Instant] = {}

    @property
    def held_minor(self) -> int:
        """What is authorised, and neither captured nor back with the buyer."""
        authorized = self.authorized
        gone_minor = self.captured.arrived_minor + authorized.returned_minor
        return max(0, authorized.arrived_minor - gone_minor)

    @property
    def has_come(self) -> bool:
        """Whether money of it was ever told of."""
        return self.authorized.arrived_minor + self.captured.arrived_minor > 0

    @property
    def taken_back_minor(self) -> int:
        """What was taken back so that the payment is good no more: all that was reversed, and what
        was refunded where nothing of the captured money is left.
        """
        captured, reversed_minor = self.captured, self.told.get("reversed", 0)
        all_is_back = 0 < captured.arrived_minor <= captured.returned_minor
        return captured.returned_minor if all_is_back else reversed_minor

    @property
    def there_minor(self) -> int:
        """What can be taken back: what is captured, or else what is authorised."""
        captured = self.captured
        if captured.arrived_minor:
            return max(0, captured.arrived_minor - captured.returned_minor)
        return self.held_minor

    def pending_minor(self, request: Request) -> int:
        """What was asked for and is not done. What is no longer held is not captured any more, and
        what was captured is not voided any more.
        """
        authorized, captured = self.authorized, self.captured
        match request:
            case "capture":
                rest = self.capture_asked_minor - captured.arrived_minor
                return max(0, min(rest, self.held_minor))
            case "void":
                rest = authorized.asked_minor - authorized.returned_minor
                return max(0, min(rest, self.held_minor))
        return max(0, captured.asked_minor - captured.returned_minor)

    @property
    def is_pending(self) -> bool:
        """Whether the gateway has something to do about it, however long ago it was asked."""
        return any(self.pending_minor(request) for request in REQUESTS)

    def waiting(self) -> Iterator[tuple[Request, Instant]]:
        """The requests that wait for an answer, and until when."""
        for request, due in self.answer_due.items():
            if self.pending_minor(request):
                yield request, due

    def ask(self, request: Request, amount_minor: int, due: datetime | None) -> Self:
        """With one more request; of those that wait, the earliest deadline counts."""
        waits = [at for each, at in self.waiting() if each == request]
        dues = dict(self.answer_due)
        if due is not None:
            dues[request] = min([*waits, due])
        changes: dict[str, Any] = {"answer_due": dues}
        match request:
            case "capture":
                changes["capture_asked_minor"] = self.captured.arrived_minor + amount_minor
                changes["capture_asked_minor"] += self.pending_minor("capture")
            case "void":
                changes["authorized"] = self.authorized.ask_back(amount_minor)
            case "refund":
                changes["captured"] = self.captured.ask_back(amount_minor)
        return self.model_copy(update=changes)

    def arrive(self, kind: Kind, amount_minor: int) -> Self:
        """What was reversed before its capture was told is captured money, too."""
        arrived: dict[str, Funds] = {kind: getattr(self, kind).arrive(amount_minor)}
        if kind == "captured" and not self.captured.arrived_minor:
            reversed_minor = self.told.get("reversed", 0)
            arrived["captured"] = arrived["captured"].come_back(reversed_minor)
            arrived["authorized"] = self.authorized.come_back(-reversed_minor)
        return self.model_copy(update=arrived)

    def come_back(self, way: Way, amount_minor: int) -> Self:
        """What is reversed is captured money where there is some (see the gateway's fact)."""
        captured = way == "refunded" or (way == "reversed" and self.captured.arrived_minor > 0)
        kind: Kind = "captured" if captured else "authorized"
        told = {**self.told, way: self.told.get(way, 0) + amount_minor}
        return self.model_copy(
            update={kind: getattr(self, kind).come_back(amount_minor), "told": told}
        )

    def give_up(self, request: str) -> Self:
        """A request whose answer nobody waits for any more."""
        dues = {each: due for each, due in self.answer_due.items() if each != request}
        return self.model_copy(update={"answer_due": dues})
