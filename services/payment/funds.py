"""The money of one payment: what came, what was asked for, what went back."""

from collections.abc import Mapping
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
    """How much was asked back, with what returned unasked."""
    returned_minor: Minor = 0

    @property
    def leaving_minor(self) -> int:
        """What returned, asked or unasked, or will: it is not asked for again."""
        return max(self.asked_minor, self.returned_minor)

    @property
    def pending_minor(self) -> int:
        """What was asked back, and is not back."""
        return max(0, self.asked_minor - self.returned_minor)

    def arrive(self, amount_minor: int) -> Self:
        return self.model_copy(update={"arrived_minor": self.arrived_minor + amount_minor})

    def ask_back(self, amount_minor: int) -> Self:
        return self.model_copy(update={"asked_minor": self.leaving_minor + amount_minor})

    def come_back(self, amount_minor: int, *, asked: bool = False) -> Self:
        """Money that returned; unasked, it leaves what was asked back as it was."""
        back = self.model_copy(update={"returned_minor": self.returned_minor + amount_minor})
        return back if asked else back.with_pending(self.pending_minor)

    def with_pending(self, amount_minor: int) -> Self:
        """With that much asked back which is not back."""
        return self.model_copy(update={"asked_minor": self.returned_minor + amount_minor})


Kind = Literal["authorized", "captured"]
Way = Literal["voided", "lapsed", "refunded", "reversed"]
"""How money returned."""
Request = Literal["capture", "void", "refund"]
REQUESTS: tuple[Request, ...] = ("capture", "void", "refund")
ASKED_FOR: tuple[Way, ...] = ("voided", "refunded")
"""How money returns that was asked back; otherwise it returns unasked."""


class Payment(Model):
    """One payment, by what the gateway says of it; money of a second currency is kept apart.

    `told` is what returned by each way, as the gateway's totals; `answer_due` until when it is to
    answer what waits: nothing where it was silent for too long or said no, that is stuck (R23);
    `failed` are those that it said no to. What was asked for and can not be done any more is asked
    for no more, so that it does not count against money that comes later.
    """

    payment_id: Identifier
    currency: Currency
    authorized: Funds = Funds()
    captured: Funds = Funds()
    capture_asked_minor: Minor = 0
    refund_asked_minor: Minor = 0
    """How much was asked back of what was captured, without what returned unasked."""
    told: Mapping[Way, Minor] = Field(default_factory=dict)
    answer_due: Mapping[Request, Instant] = Field(default_factory=dict)
    failed: tuple[Request, ...] = ()

    @property
    def held_minor(self) -> int:
        """What is authorised, and neither captured nor back with the buyer."""
        authorized = self.authorized
        gone_minor = self.captured.arrived_minor + authorized.returned_minor
        return max(0, authorized.arrived_minor - gone_minor)

    @property
    def capturable_minor(self) -> int:
        """What is held, and not to be voided."""
        return self.held_minor - self.pending_minor("void")

    @property
    def kept_minor(self) -> int:
        """What is captured and was not asked back. What returned unasked is not captured again."""
        return self.captured.arrived_minor - self.refund_asked_minor

    @property
    def has_come(self) -> bool:
        """Whether money of it was ever told of."""
        return self.authorized.arrived_minor + self.captured.arrived_minor > 0

    @property
    def taken_back_minor(self) -> int:
        """What was taken back so that the payment is good no more: all that was reversed, and what
        was refunded where nothing is left of the captured money that was not asked back.
        """
        returned_minor = self.captured.returned_minor
        all_is_back = 0 < self.kept_minor <= returned_minor - self.refund_asked_minor
        return returned_minor if all_is_back else self.told.get("reversed", 0)

    @property
    def reclaimable_minor(self) -> int:
        """What can be taken back: what is captured, or else what is authorised."""
        captured = self.captured
        if captured.arrived_minor:
            return max(0, captured.arrived_minor - captured.returned_minor)
        return self.held_minor

    def pending_minor(self, request: Request) -> int:
        """What was asked for and is not done. What is no longer held is not captured any more, and
        what was captured is not voided any more.
        """
        match request:
            case "capture":
                rest_minor = self.capture_asked_minor - self.captured.arrived_minor
                return max(0, min(rest_minor, self.held_minor))
            case "void":
                return min(self.authorized.pending_minor, self.held_minor)
        return self.captured.pending_minor

    @property
    def is_pending(self) -> bool:
        """Whether the gateway has something to do about it, however long ago it was asked."""
        return any(self.pending_minor(request) for request in REQUESTS)

    def ask(self, request: Request, amount_minor: int, due: datetime | None) -> Self:
        """With one more request; of those that wait, the earliest deadline counts."""
        dues = dict(self.answer_due)
        if due is not None:
            dues[request] = min(due, dues.get(request, due))
        failed = tuple(each for each in self.failed if each != request)
        changes: dict[str, Any] = {"answer_due": dues, "failed": failed}
        match request:
            case "capture":
                changes["capture_asked_minor"] = self.captured.arrived_minor + amount_minor
                changes["capture_asked_minor"] += self.pending_minor("capture")
            case "void":
                changes["authorized"] = self.authorized.ask_back(amount_minor)
            case "refund":
                changes["captured"] = self.captured.ask_back(amount_minor)
                changes["refund_asked_minor"] = self.refund_asked_minor + amount_minor
        return self.model_copy(update=changes)

    def arrive(self, kind: Kind, amount_minor: int) -> Self:
        """The first capture may exceed what is left of the authorisation: then it preceded a
        reversal that was told before it, and what was reversed counts as captured money.
        """
        arrived: dict[str, Funds] = {kind: getattr(self, kind).arrive(amount_minor)}
        if kind == "captured" and not self.captured.arrived_minor:
            authorized = self.authorized
            beyond_minor = amount_minor + authorized.returned_minor - authorized.arrived_minor
            refunded_minor = min(beyond_minor, self.told.get("reversed", 0))
            if refunded_minor > 0:
                arrived["captured"] = arrived["captured"].come_back(refunded_minor)
                arrived["authorized"] = authorized.come_back(-refunded_minor)
        return self.model_copy(update=arrived).without_the_impossible()

    def come_back(self, way: Way, amount_minor: int) -> Self:
        """What is reversed is captured money where there is some (see the gateway's fact)."""
        captured = way == "refunded" or (way == "reversed" and self.captured.arrived_minor > 0)
        kind: Kind = "captured" if captured else "authorized"
        told = {**self.told, way: self.told.get(way, 0) + amount_minor}
        left = getattr(self, kind).come_back(amount_minor, asked=way in ASKED_FOR)
        return self.model_copy(update={kind: left, "told": told}).without_the_impossible()

    def get_stuck(self, request: Request, *, failed: bool) -> Self:
        """A request whose answer nobody waits for any more, as that was a no or never came."""
        dues = {each: due for each, due in self.answer_due.items() if each != request}
        said_no = (*self.failed, request) if failed and request not in self.failed else self.failed
        return self.model_copy(update={"answer_due": dues, "failed": said_no})

    def without_the_impossible(self) -> Self:
        """Without what was asked for and can not be done any more: captures and voids of what is
        not held, refunds of what is not there, and the wait for them.
        """
        pending = {request: self.pending_minor(request) for request in REQUESTS}
        pending["refund"] = min(pending["refund"], self.reclaimable_minor)
        return self.model_copy(
            update={
                "capture_asked_minor": self.captured.arrived_minor + pending["capture"],
                "authorized": self.authorized.with_pending(pending["void"]),
                "captured": self.captured.with_pending(pending["refund"]),
                "answer_due": {of: due for of, due in self.answer_due.items() if pending[of]},
                "failed": tuple(of for of in self.failed if pending[of]),
            }
        )
