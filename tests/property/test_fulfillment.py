"""What holds for an order whatever happens to it: P2, P4, R6, R11, R12, R17."""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.fulfillment.correcting import AGAIN
from services.fulfillment.decisions import decide
from services.fulfillment.state import status_of
from services.fulfillment.waiting import deadlines_of, stuck_of
from shared.events.envelope import Fact
from shared.events.fields import MAX_PACKAGES, NoticeKind
from shared.events.fulfillment import (
    AddressChanged,
    CancelAsked,
    CancelDenied,
    CancelWarned,
    OpenUnitsCanceled,
    Order,
    OrderCanceled,
    OrderLine,
    OrderUnshipped,
    PackageConfirmed,
    ReorderAnswered,
    RequestRefused,
    ReturnOpened,
    ShipmentDelayed,
    ShipmentLate,
    UnitsReturned,
)
from shared.events.notices import NoticeRequested, NoticeRequestedAgain
from shared.events.payment import PaymentRefusal
from shared.events.seller import CancelReasonCode, ItemCondition
from shared.events.storefront import CancelRequested
from shared.service import Park, Received
from tests.support.orders import (
    BUYER,
    KETTLE,
    KETTLES,
    OTHER_SELLER,
    POLICIES,
    PURCHASED,
    SELLER,
    TEA,
    TEAS,
    address,
    address_corrected,
    approval_withdrawn,
    cancel_answered,
    cancel_requested,
    delay_announced,
    hold_over,
    order_placed,
    package_delivered,
    package_returned,
    payment_approved,
    payment_refused,
    pending,
    play,
    reached,
    reorder_checked,
    reorder_requested,
    resend_requested,
    return_received,
    return_requested,
    seller_approves,
    seller_canceled,
    shipment_confirmed,
    stock_rejected,
    stock_reserved,
)

SILENT = {"payment_declined", "fraud_suspected", "payment_mismatch", "payment_timeout"}

milliseconds = st.integers(0, 10 * 24 * 60 * 60 * 1000).map(lambda ms: timedelta(milliseconds=ms))
refusals: st.SearchStrategy[PaymentRefusal] = st.sampled_from(sorted(SILENT))
reason_codes: st.SearchStrategy[CancelReasonCode] = st.sampled_from(
    ["NoInventory", "BuyerCanceled", "PricingError"]
)
units = st.dictionaries(st.sampled_from([KETTLES, TEAS]), st.integers(1, 2), min_size=1)
too_many_units = st.dictionaries(
    st.sampled_from([KETTLES, TEAS, "item-sugar"]), st.integers(3, 4), min_size=1
)
sellers = st.sampled_from([SELLER, OTHER_SELLER])
references = st.sampled_from(["1", "2", "3"])
tracking_numbers = st.sampled_from(["T1", "T2", "T3"])
buyers = st.sampled_from([BUYER, BUYER, "buyer-nosy"])
return_ids = st.sampled_from(["RMA-1", "RMA-2", "RMA-3"])
conditions: st.SearchStrategy[ItemCondition] = st.sampled_from(["Sellable", "Damaged"])
came_back = st.dictionaries(
    st.tuples(st.sampled_from([KETTLES, TEAS]), conditions), st.integers(1, 2), min_size=1
)


class Life(RuleBasedStateMachine):
    """One order and everybody who may say something about it, at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.order: Order = pending()
        self.history: list[Order] = [self.order]
        self.facts: list[Fact] = []
        self.now = PURCHASED

    @initialize(released=st.sampled_from([True, True, True, False]), approves=st.booleans())
    def begins(self, released: bool, approves: bool) -> None:
        """Most lives begin where the seller comes in: the shortest way there is by chance long."""
        if approves:
            self.order = seller_approves(self.order)
        for event in (stock_reserved(), payment_approved(), hold_over()) if released else ():
            self.hears(event)
            self.now = event.event.time

    def hears(self, event: Received) -> None:
        again = decide(self.order, event, POLICIES)
        if isinstance(again, Park):
            return
        then, facts = play(self.order, event)
        assert then is not None
        assert list(again) == facts, "deciding again comes out the same"
        self.order = then
        self.facts += facts
        self.history.append(then)

    def now_and_then(self) -> bool:
        """What may end a life is not offered at every step, or lives would be short."""
        return len(self.history) % 6 == 0

    @rule(passes=milliseconds)
    def time_passes(self, passes: timedelta) -> None:
        self.now += passes

    @rule()
    def reserves(self) -> None:
        self.hears(stock_reserved(self.now))

    @rule()
    def pays(self) -> None:
        self.hears(payment_approved(self.now))

    @precondition(lambda self: self.now_and_then())
    @rule()
    def lacks_stock(self) -> None:
        self.hears(stock_rejected(self.now))

    @precondition(lambda self: self.now_and_then())
    @rule(reason=refusals)
    def is_refused(self, reason: PaymentRefusal) -> None:
        self.hears(payment_refused(reason, self.now))

    @precondition(lambda self: self.order.deadlines)
    @rule(choose=st.integers(0, 2), late=milliseconds)
    def waits_in_vain(self, choose: int, late: timedelta) -> None:
        """A deadline comes, by and large the oldest; it may be announced late, never early."""
        open_ = sorted(self.order.deadlines, key=lambda deadline: deadline.due)
        if open_[0].kind == "archive" and not self.now_and_then():
            return
        deadline = open_[min(choose, len(open_) - 1)]
        self.now = max(self.now, deadline.due)
        self.hears(reached(deadline, self.now + late))

    @rule(units=units, reference=references, tracking=tracking_numbers)
    def ships(self, units: dict[str, int], reference: str, tracking: str) -> None:
        self.hears(shipment_confirmed(units, reference, self.now, tracking_number=tracking))

    @precondition(lambda self: any(item.quantity_open for item in self.order.items))
    @rule(reference=references, tracking=tracking_numbers)
    def ships_the_rest(self, reference: str, tracking: str) -> None:
        rest = {i.order_item_id: i.quantity_open for i in self.order.items if i.quantity_open}
        self.hears(shipment_confirmed(rest, reference, self.now, tracking_number=tracking))

    @precondition(lambda self: self.order.packages)
    @rule(units=units, tracking=tracking_numbers)
    def corrects(self, units: dict[str, int], tracking: str) -> None:
        last = self.order.packages[-1].package_reference_id
        self.hears(shipment_confirmed(units, last, self.now, tracking_number=tracking))

    @precondition(lambda self: self.now_and_then())
    @rule(units=too_many_units, seller=sellers, tracking=st.sampled_from(["", "T1"]))
    def ships_wrongly(self, units: dict[str, int], seller: str, tracking: str) -> None:
        self.hears(
            shipment_confirmed(units, at=self.now, seller_id=seller, tracking_number=tracking)
        )

    @precondition(lambda self: self.now_and_then())
    @rule(tracking=tracking_numbers)
    def delivers(self, tracking: str) -> None:
        self.hears(package_delivered(tracking, self.now))

    @precondition(lambda self: self.order.packages)
    @rule(units=units, return_id=return_ids, buyer=buyers)
    def wants_to_return(self, units: dict[str, int], return_id: str, buyer: str) -> None:
        self.hears(return_requested(units, self.now, return_id=return_id, buyer_id=buyer))

    @precondition(lambda self: self.order.returns)
    @rule(came=came_back, choose=st.integers(0, 3), seller=sellers)
    def gets_back(
        self, came: dict[tuple[str, ItemCondition], int], choose: int, seller: str
    ) -> None:
        back = self.order.returns[choose % len(self.order.returns)]
        event = return_received(came, self.now, return_id=back.return_id, seller_id=seller)
        self.hears(event)

    @precondition(lambda self: self.now_and_then())
    @rule(tracking=tracking_numbers)
    def brings_back(self, tracking: str) -> None:
        self.hears(package_returned(tracking, self.now))

    @precondition(lambda self: self.order.status == "Canceled")
    @rule(buyer=buyers, lacking=st.integers(0, 1))
    def wants_it_after_all(self, buyer: str, lacking: int) -> None:
        before = self.order.reorders_asked
        self.hears(reorder_requested(self.now, buyer_id=buyer))
        if self.order.reorders_asked > before:
            self.hears(reorder_checked(before + 1, lacking=lacking, at=self.now))

    @precondition(lambda self: self.now_and_then())
    @rule(buyer=buyers, lateness=milliseconds)
    def changes_their_mind(self, buyer: str, lateness: timedelta) -> None:
        self.hears(cancel_requested(self.now - lateness, arrived=self.now, buyer_id=buyer))

    @precondition(lambda self: self.order.buyer_requested_cancel)
    @rule(seller=sellers, approved=st.sampled_from([True, False, False]))
    def answers(self, seller: str, approved: bool) -> None:
        self.hears(cancel_answered(approved, self.now, seller_id=seller))

    @rule(days=st.none() | st.integers(0, 12), seller=sellers)
    def announces_a_delay(self, days: int | None, seller: str) -> None:
        expected = None if days is None else self.now + timedelta(days=days)
        self.hears(delay_announced(self.now, expected=expected, seller_id=seller))

    @rule(buyer=buyers, number=st.integers(7, 9), country=st.sampled_from(["DE", "DE", "AT"]))
    def moves(self, buyer: str, number: int, country: str) -> None:
        street = f"Kastanienallee {number}"
        self.hears(
            address_corrected(self.now, buyer_id=buyer, address_line_1=street, country_code=country)
        )

    @rule(kind=st.sampled_from([*AGAIN]), occurrence=st.integers(1, 3), seller=sellers)
    def misses_a_notice(self, kind: NoticeKind, occurrence: int, seller: str) -> None:
        self.hears(resend_requested(kind, occurrence, self.now, seller_id=seller))

    @precondition(lambda self: self.now_and_then())
    @rule()
    def is_charged_back(self) -> None:
        self.hears(approval_withdrawn(self.now))

    @precondition(lambda self: self.now_and_then())
    @rule(seller=sellers, code=reason_codes)
    def gives_up(self, seller: str, code: CancelReasonCode) -> None:
        self.hears(seller_canceled(self.now, seller_id=seller, reason_code=code))

    @rule()
    def is_placed_again(self) -> None:
        self.hears(order_placed(self.now))

    # What holds after everything

    @invariant()
    def status_and_deadlines_follow_from_the_rest(self) -> None:
        status = status_of(self.order)
        assert self.order.status == status
        assert self.order.stuck == stuck_of(self.order)
        assert self.order.deadlines == deadlines_of(self.order)
        assert Order.model_validate_json(self.order.model_dump_json()) == self.order

    @invariant()
    def units_are_neither_made_nor_lost(self) -> None:
        packed: Counter[str] = Counter()
        for package in self.order.packages:
            for item in package.order_items:
                packed[item.order_item_id] += item.quantity
        taken: Counter[str] = Counter()
        for fact in self.facts:
            if isinstance(fact, PackageConfirmed):
                for change in fact.units_shipped:
                    taken[change.sku] += change.change
        for line in self.order.items:
            assert line.quantity_open >= 0
            assert line.quantity_shipped == taken[line.sku]
            assert self.order.archived_at or line.quantity_shipped == packed[line.order_item_id]
        assert {KETTLE, TEA} >= taken.keys()
        assert len(self.order.packages) <= MAX_PACKAGES

    @invariant()
    def no_unit_comes_back_that_had_not_left_and_none_twice(self) -> None:
        came: Counter[str] = Counter()
        asked: Counter[str] = Counter()
        for fact in self.facts:
            if isinstance(fact, UnitsReturned):
                for item in fact.items:
                    came[item.order_item_id] += item.quantity
        for back in self.order.returns:
            for entry in back.items:
                asked[entry.order_item_id] += entry.quantity
        for line in self.order.items:
            item_id = line.order_item_id
            assert line.quantity_returned == came[item_id]
            assert came[item_id] + asked[item_id] <= line.quantity_shipped

    @invariant()
    def nothing_is_returned_before_it_was_asked_for_and_each_return_once(self) -> None:
        opened = [f.return_id for f in self.facts if isinstance(f, ReturnOpened)]
        received = [f.return_id for f in self.facts if isinstance(f, UnitsReturned)]
        assert len(set(opened)) == len(opened)
        assert len(set(received)) == len(received)
        assert set(received) <= set(opened)
        assert self.order.archived_at or opened == [back.return_id for back in self.order.returns]

    @invariant()
    def a_terminal_outcome_is_not_left_again(self) -> None:
        for before, then in pairwise(self.history[-2:]):
            if before.status == "Canceled" or is_delivered(before):
                assert then.status == before.status
                assert [units_left(line) for line in then.items] == [
                    units_left(line) for line in before.items
                ]
                assert then.cancellation == before.cancellation

    @invariant()
    def nothing_waits_for_ever(self) -> None:
        assert self.order.deadlines or self.order.stuck or self.order.archived_at

    @invariant()
    def an_order_is_canceled_once(self) -> None:
        assert sum(isinstance(f, OrderCanceled | OpenUnitsCanceled) for f in self.facts) <= 1

    @invariant()
    def each_new_date_is_later(self) -> None:
        windows = [
            fact.delivery_window.latest
            for fact in self.facts
            if isinstance(fact, OrderUnshipped | ShipmentLate | ShipmentDelayed)
        ]
        assert all(before < later for before, later in pairwise(windows))

    @invariant()
    def time_never_goes_back(self) -> None:
        dates = [order.last_update_date for order in self.history[-2:]]
        assert dates == sorted(dates)

    @invariant()
    def exactly_the_notices_that_the_rules_ask_for_are_requested(self) -> None:
        notices = [fact for fact in self.facts if type(fact) is NoticeRequested]
        told = [(notice.recipient, notice.kind, notice.occurrence) for notice in notices]
        assert len(set(told)) == len(told)
        assert told == [n for at in range(len(self.facts)) for n in notices_due(self.facts, at)]

    @invariant()
    def what_is_sent_again_was_sent_before_to_the_same(self) -> None:
        told: set[tuple[str, str, int]] = set()
        again = 0
        for fact in self.facts:
            if not isinstance(fact, NoticeRequested):
                continue
            notice = (fact.recipient, fact.kind, fact.occurrence)
            if isinstance(fact, NoticeRequestedAgain):
                again += 1
                assert notice in told
                assert fact.nth == again
            told.add(notice)
        assert self.order.archived_at or self.order.notices_resent == again

    @invariant()
    def it_goes_where_it_was_said_last_to_go_and_no_other_country(self) -> None:
        said = [fact.ship_address for fact in self.facts if isinstance(fact, AddressChanged)]
        assert self.order.archived_at or self.order.ship_address == [address(), *said][-1]
        assert {each.country_code for each in said} <= {"DE"}

    @invariant()
    def a_silent_cancel_is_silent(self) -> None:
        if self.order.cancellation and self.order.cancellation.reason in SILENT:
            told = {fact.kind for fact in self.facts if isinstance(fact, NoticeRequested)}
            assert told <= {"address_changed"}, "what was told of a Pending order before"


EACH_TELLS: dict[type[Fact], list[tuple[str, str]]] = {
    OrderUnshipped: [("BUYER", "estimated_delivery")],
    CancelWarned: [("SELLER", "cancel_warning")],
    ReturnOpened: [("SELLER", "return_requested"), ("BUYER", "return_opened")],
    UnitsReturned: [("BUYER", "return_received")],
    CancelAsked: [("SELLER", "cancel_asked")],
    CancelDenied: [("BUYER", "cancel_denied")],
}
"""Facts each of which asks for notices, numbered like the facts of their type."""


def notices_due(facts: list[Fact], at: int) -> list[tuple[str, str, int]]:
    """What the rules ask for after a fact (P4), from what happened alone."""

    def nth(happened: Callable[[Fact], bool]) -> int:
        return sum(map(happened, facts[: at + 1]))

    match facts[at]:
        case AddressChanged(nth=n):
            pending = not nth(lambda fact: isinstance(fact, OrderUnshipped))
            to_seller = [] if pending else [("SELLER", "new_ship_address", n)]
            return [("BUYER", "address_changed", n), *to_seller]
        case PackageConfirmed(edited=False):
            n = nth(lambda fact: isinstance(fact, PackageConfirmed) and not fact.edited)
            return [("BUYER", "package_shipped", n)]
        case ShipmentLate() | ShipmentDelayed() as late:
            n = nth(lambda fact: isinstance(fact, ShipmentLate | ShipmentDelayed))
            to_seller = [("SELLER", "late_shipment", n)] if isinstance(late, ShipmentLate) else []
            return [*to_seller, ("BUYER", "new_delivery_date", n)]
        case OrderCanceled(cancellation=why) | OpenUnitsCanceled(cancellation=why):
            was_unshipped = nth(lambda fact: isinstance(fact, OrderUnshipped)) == 1
            asked = why.requested_by == "BUYER" and why.executed_by != "MERCHANT"
            stop = was_unshipped and (asked or why.reason == "payment_reversed")
            to_buyer = [("BUYER", "order_canceled", 1)] if why.reason not in SILENT else []
            return to_buyer + ([("SELLER", "do_not_ship", 1)] if stop else [])
        case ReorderAnswered() as answered:
            kind = "reorder_suggestion" if answered.in_stock else "reorder_unavailable"
            return [("BUYER", kind, nth(lambda fact: isinstance(fact, ReorderAnswered)))]
        case RequestRefused() as refusal if is_cancel_too_late(refusal):
            n = nth(lambda fact: isinstance(fact, RequestRefused) and is_cancel_too_late(fact))
            return [("BUYER", "cancel_refused", n)]
    n = nth(lambda fact: type(fact) is type(facts[at]))
    return [(who, kind, n) for who, kind in EACH_TELLS.get(type(facts[at]), [])]


def is_cancel_too_late(fact: RequestRefused) -> bool:
    return (fact.request_type, fact.reason) == (CancelRequested.TYPE, "order_shipped")


def units_left(line: OrderLine) -> tuple[int, int]:
    """What is final of an order that is over; a return changes neither."""
    return line.quantity_shipped, line.quantity_canceled


def is_delivered(order: Order) -> bool:
    """Shipped with delivery known, or that it is on its way back."""
    known = all(package.delivered_at or package.returned_at for package in order.packages)
    return order.status == "Shipped" and known


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=150, stateful_step_count=40)
