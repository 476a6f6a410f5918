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

    def with_returned(self, returned_minor: int) -> Self:
        """With so much returned in all; what was asked back and is not back stays so."""
        back = self.model_copy(update={"returned_minor": returned_minor})
        return back.with_pending(self.pending_minor)

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


class Step(Model):
    """Money that moved at one time; `whole` says that all there was did, and nobody how much."""

    at: Instant
    amount_minor: Minor
    whole: bool = False


class Payment(Model):
    """One payment, by what the gateway says of it; money of a second currency is kept apart.

    `told` is what returned by each way, as the gateway's totals; `later` what was authorised on top
    of the first authorisation; `reversed_first` what was reversed before `captured_at`, the first
    capture, or while none is known. `answer_due` is until when the gateway is to answer what waits:
    nothing where it was silent for too long or said no, that is stuck (R23); `failed` are those
    that it said no to. What was asked for and can not be done any more is asked for no more, so
    that it does not count against money that comes later.
    """

    payment_id: Identifier
    currency: Currency
    authorized: Funds = Funds()
    captured: Funds = Funds()
    capture_asked_minor: Minor = 0
    refund_asked_minor: Minor = 0
    """How much was asked back of what was captured, without what returned unasked."""
    told: Mapping[Way, Minor] = Field(default_factory=dict)
    later: tuple[Step, ...] = ()
    reversed_first: tuple[Step, ...] = ()
    captured_at: Instant | None = None
    whole: bool = False
    """Whether all that there was, was reversed: no more than that can have been."""
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

    @property
    def refundable_minor(self) -> int:
        """What can be refunded, with what was reversed before it was captured, and counts as
        captured only while no authorisation is told that has room for it.
        """
        first_minor = sum(step.amount_minor for step in self.reversed_first)
        told = self.told
        uncaptured_minor = self.authorized.returned_minor
        uncaptured_minor -= told.get("voided", 0) + told.get("lapsed", 0)
        return self.reclaimable_minor + max(0, first_minor - uncaptured_minor)

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

    def authorized_since_minor(self, at: datetime) -> int:
        """What was authorised at that time or after it, beside the first authorisation."""
        return sum(step.amount_minor for step in self.later if step.at >= at)

    def arrive(
        self, kind: Kind, amount_minor: int, at: datetime | None, lapsed_at: datetime | None
    ) -> Self:
        """More was authorised or captured; None where it does not matter when."""
        funds: Funds = getattr(self, kind)
        changes: dict[str, Any] = {kind: funds.arrive(amount_minor)}
        if kind == "captured" and at is not None:
            changes["captured_at"] = min(at, self.captured_at or at)
        elif funds.arrived_minor and at is not None:
            changes["later"] = (*self.later, Step(at=at, amount_minor=amount_minor))
        late = kind == "captured" and at is not None and lapsed_at is not None and at < lapsed_at
        return self.model_copy(update=changes).in_any_order(amount_minor if late else 0)

    def come_back(
        self,
        way: Way,
        amount_minor: int,
        at: datetime,
        lapsed_at: datetime | None,
        *,
        whole: bool = False,
    ) -> Self:
        """Money returned, captured or else authorised: see `in_any_order`."""
        changes: dict[str, Any] = {
            "told": {**self.told, way: self.told.get(way, 0) + amount_minor},
            "whole": self.whole or whole,
        }
        of_held = way == "voided"
        if way == "reversed" and (self.captured_at is None or at < self.captured_at):
            step, of_held = Step(at=at, amount_minor=amount_minor, whole=whole), True
            changes["reversed_first"] = (*self.reversed_first, step)
        late = of_held and lapsed_at is not None and at < lapsed_at
        late_minor = min(amount_minor, self.told.get("lapsed", 0)) if late else 0
        if way in ASKED_FOR:
            kind: Kind = "captured" if way == "refunded" else "authorized"
            funds: Funds = getattr(self, kind)
            done_minor = amount_minor - late_minor  # nobody waits for what was taken to have lapsed
            changes[kind] = funds.with_pending(max(0, funds.pending_minor - done_minor))
        return self.model_copy(update=changes).in_any_order(late_minor)

    def get_stuck(self, request: Request, *, failed: bool) -> Self:
        """A request whose answer nobody waits for any more, as that was a no or never came."""
        dues = {each: due for each, due in self.answer_due.items() if each != request}
        said_no = (*self.failed, request) if failed and request not in self.failed else self.failed
        return self.model_copy(update={"answer_due": dues, "failed": said_no})

    def in_any_order(self, late_minor: int) -> Self:
        """R25: with what was reversed, and what lapsed, as all that was told leaves room for it.

        What was reversed is captured money, but for what was reversed before the first capture, as
        far as so much can have been authorised besides, and for what was never captured. All that
        there was, reversed by a word that names no amount, is what had been captured where the rest
        of the authorisation is too little for the capture to have come after it. `late_minor` was
        captured, voided or reversed before the rest lapsed, and is told only now: it did not.
        """
        if not self.told:
            return self.without_the_impossible()
        authorized_minor = self.authorized.arrived_minor
        captured_minor = self.captured.arrived_minor
        told = dict(self.told)
        voided_minor, refunded_minor = told.get("voided", 0), told.get("refunded", 0)
        kept_minor = max(0, captured_minor - refunded_minor)
        room_minor = max(0, authorized_minor - captured_minor - voided_minor)
        first = self.reversed_first
        if captured_minor:
            first = tuple(step for step in first if step.at <= (self.captured_at or step.at))
            if sum(step.amount_minor for step in first) > room_minor:
                first = tuple(step for step in first if not step.whole)
        reversed_minor = uncaptured_minor = told.get("reversed", 0)
        if captured_minor:
            first_minor = min(sum(step.amount_minor for step in first), room_minor)
            if self.whole:
                told["reversed"] = reversed_minor = min(reversed_minor, kept_minor + first_minor)
            uncaptured_minor = max(first_minor, reversed_minor - kept_minor)
        if lapsed_minor := max(0, told.pop("lapsed", 0) - late_minor):
            told["lapsed"] = lapsed_minor
        changes = {
            "authorized": self.authorized.with_returned(
                voided_minor + lapsed_minor + uncaptured_minor
            ),
            "captured": self.captured.with_returned(
                refunded_minor + reversed_minor - uncaptured_minor
            ),
            "told": told,
            "reversed_first": first,
        }
        return self.model_copy(update=changes).without_the_impossible()

    def without_the_impossible(self) -> Self:
        """Without what was asked for and can not be done any more: captures and voids of what is
        not held, refunds of what is not there, and the wait for them.
        """
        pending = {request: self.pending_minor(request) for request in REQUESTS}
        pending["refund"] = min(pending["refund"], self.refundable_minor)
        return self.model_copy(
            update={
                "capture_asked_minor": self.captured.arrived_minor + pending["capture"],
                "authorized": self.authorized.with_pending(pending["void"]),
                "captured": self.captured.with_pending(pending["refund"]),
                "answer_due": {of: due for of, due in self.answer_due.items() if pending[of]},
                "failed": tuple(of for of in self.failed if pending[of]),
            }
        )
