"""A marketplace, its services and who dies among them: P1 to P6 after anything in any order.

The real rules of all services on lists (`tests/support/world.py`). What is said may come again, or
later than what was said after it; a service may die before its commit, or while it publishes. The
profile `deep` (`--hypothesis-profile deep`) takes its time.
"""

from datetime import timedelta
from itertools import pairwise
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.fulfillment.correcting import AGAIN
from services.fulfillment.waiting import deadlines_of
from shared.batch import Input
from shared.clock import from_ms
from shared.events.carrier import TRACKING, PackageDelivered, PackageReturned
from shared.events.envelope import Fact, Topic
from shared.events.fields import NoticeKind
from shared.events.fulfillment import Order
from shared.events.gateway import (
    PAYMENTS,
    FraudSuspected,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentDeclined,
    VerificationUnavailable,
)
from shared.events.seller import (
    SHIPMENTS,
    CancelReasonCode,
    ItemCondition,
    ReceivedItem,
    ResendRequested,
    ReturnReceived,
    SellerCanceled,
    ShipmentConfirmed,
)
from shared.events.storefront import (
    ORDERS,
    AddressCorrected,
    CancelRequested,
    OrderItem,
    ReorderRequested,
    ReturnRequested,
)
from shared.events.topics import FROM_OUTSIDE
from shared.events.warehouse import STOCK, StockAdjusted, StockSet
from tests.support.orders import (
    BUYER,
    DAY,
    HOUR,
    KETTLE,
    KETTLES,
    MINUTE,
    ONE_MS,
    OTHER_SELLER,
    PURCHASED,
    SELLER,
    TEA,
    TEAS,
    address,
    eur,
    items,
    placed,
)
from tests.support.world import Worker, World

SERVICES = ("inventory", "payment", "fulfillment", "deadlines")
KETTLE_MINOR, TEA_MINOR = 3_990, 699
FEW = {KETTLE: 4, TEA: 3}
"""Units on hand at first: not enough for all."""

orders = st.sampled_from(["order-0", "order-1", "order-2"])
references = st.sampled_from(["1", "2"])
some_units = st.dictionaries(st.sampled_from([KETTLES, TEAS]), st.integers(1, 2), min_size=1)
conditions: st.SearchStrategy[ItemCondition] = st.sampled_from(["Sellable", "Damaged"])
codes: st.SearchStrategy[CancelReasonCode] = st.sampled_from(["NoInventory", "PricingError"])
services = st.sampled_from(SERVICES)


class Fragile(World):
    """A world whose services die: `dying` says which of them, and when, at its next decision."""

    dying: dict[str, str]

    def _take(self, worker: Worker, partition: int, item: Input) -> None:
        when = self.dying.pop(worker.service.name, "")
        documents, ends = dict(worker.documents), {at: len(log) for at, log in self.log.items()}
        super()._take(worker, partition, item)
        new = {at: log[ends.get(at, 0) :] for at, log in self.log.items()}
        if when == "before its commit":
            worker.documents = documents
            for at, records in new.items():
                del self.log[at][len(self.log[at]) - len(records) :]
            super()._take(worker, partition, item)
        elif when == "while it publishes":
            for records in new.values():
                for record in records:
                    self.append(
                        record.topic, record.partition, record.key, record.value,
                        headers=record.headers,
                    )  # fmt: skip


class Marketplace(RuleBasedStateMachine):
    """Three orders at most, and everybody who may say something about them."""

    def __init__(self) -> None:
        super().__init__()
        self.world = Fragile(PURCHASED)
        self.world.dying = {}
        self.held_back: list[tuple[Topic, Fact, str]] = []
        self.holds_back = False
        self.seen: dict[str, list[Order]] = {}

    @initialize(released=st.sampled_from([True, True, False]))
    def opens(self, released: bool) -> None:
        """Most begin with an order for its seller: the shortest way there is by chance long."""
        for sku, units in FEW.items():
            self.world.say(STOCK, StockSet(seller_id=SELLER, sku=sku, on_hand=units))
        if released:
            self.places("order-0", 2, 1)
            self.pays("order-0", more=0, again=False, at_once=False)
            self.time_passes(HOUR)

    def say(self, topic: Topic, fact: Fact, subject: str = "") -> None:
        if self.holds_back:
            self.held_back.append((topic, fact, subject))
            self.holds_back = False
        else:
            self.world.say(topic, fact, subject)

    # -- who says what ----------------------------------------------------------------------------

    @rule(order=orders, kettles=st.integers(1, 3), teas=st.integers(0, 2))
    def places(self, order: str, kettles: int, teas: int) -> None:
        lines = [(KETTLES, KETTLE, kettles, KETTLE_MINOR), (TEAS, TEA, teas, TEA_MINOR)]
        said = placed(
            order_id=order,
            purchase_date=from_ms(self.world.now_ms),
            items=tuple(
                OrderItem(order_item_id=item, sku=sku, quantity=n, item_price=eur(n * minor))
                for item, sku, n, minor in lines
                if n
            ),
            order_total=eur(kettles * KETTLE_MINOR + teas * TEA_MINOR),
        )
        self.say(ORDERS, said, order)

    @rule(
        order=orders, more=st.sampled_from([0, 0, 0, 1]), again=st.booleans(), at_once=st.booleans()
    )
    def pays(self, order: str, more: int, again: bool, at_once: bool) -> None:
        known = self.order(order)
        total = eur((known.order_total.amount_minor if known else KETTLE_MINOR) + more)
        paid = PaymentCaptured if at_once else PaymentAuthorized
        self.say(PAYMENTS, paid(payment_id=f"pay-{order}-{again}", amount=total), order)

    @rule(order=orders, answer=st.sampled_from([PaymentDeclined, FraudSuspected]))
    def is_refused(self, order: str, answer: type[PaymentDeclined | FraudSuspected]) -> None:
        self.say(PAYMENTS, answer(payment_id=f"pay-{order}-False"), order)

    @rule(order=orders)
    def can_not_tell(self, order: str) -> None:
        self.say(PAYMENTS, VerificationUnavailable(payment_id=f"pay-{order}-False"), order)

    @rule(order=orders, buyer=st.sampled_from([BUYER, BUYER, "buyer-nosy"]))
    def cancels(self, order: str, buyer: str) -> None:
        self.say(ORDERS, CancelRequested(buyer_id=buyer), order)

    @rule(
        order=orders,
        buyer=st.sampled_from([BUYER, BUYER, "buyer-nosy"]),
        number=st.integers(7, 9),
        country=st.sampled_from(["DE", "DE", "AT"]),
    )
    def corrects(self, order: str, buyer: str, number: int, country: str) -> None:
        to = address(address_line_1=f"Kastanienallee {number}", country_code=country)
        self.say(ORDERS, AddressCorrected(buyer_id=buyer, ship_address=to), order)

    @rule(order=orders, kind=st.sampled_from([*AGAIN]), occurrence=st.integers(1, 2))
    def asks_for_a_notice_again(self, order: str, kind: NoticeKind, occurrence: int) -> None:
        said = ResendRequested(seller_id=SELLER, kind=kind, occurrence=occurrence)
        self.say(SHIPMENTS, said, order)

    @rule(order=orders, code=codes)
    def gives_up(self, order: str, code: CancelReasonCode) -> None:
        self.say(SHIPMENTS, SellerCanceled(seller_id=SELLER, reason_code=code), order)

    @rule(
        order=orders,
        units=some_units,
        reference=references,
        seller=st.sampled_from([SELLER, SELLER, OTHER_SELLER]),
    )
    def ships(self, order: str, units: dict[str, int], reference: str, seller: str) -> None:
        said = ShipmentConfirmed(
            seller_id=seller,
            package_reference_id=reference,
            carrier_code="DHL",
            tracking_number=f"T-{order}-{reference}",
            ship_date=from_ms(self.world.now_ms),
            order_items=items(units),
        )
        self.say(SHIPMENTS, said, order)

    @rule(order=orders, reference=references)
    def ships_the_rest(self, order: str, reference: str) -> None:
        known = self.order(order)
        rest = {i.order_item_id: i.quantity_open for i in known.items} if known else {}
        if units := {item: n for item, n in rest.items() if n}:
            self.ships(order, units, reference, SELLER)

    @rule(order=orders, reference=references, back=st.sampled_from([False, False, True]))
    def is_carried(self, order: str, reference: str, back: bool) -> None:
        number = f"T-{order}-{reference}"
        said: Fact = PackageDelivered(tracking_number=number)
        if back:
            said = PackageReturned(tracking_number=number, reason="moved away")
        self.say(TRACKING, said, order)

    @rule(order=orders, units=some_units)
    def wants_to_return(self, order: str, units: dict[str, int]) -> None:
        said = ReturnRequested(buyer_id=BUYER, return_id="RMA-1", items=items(units))
        self.say(ORDERS, said, order)

    @rule(
        order=orders,
        units=some_units,
        condition=conditions,
        return_id=st.sampled_from(["RMA-1", "carrier:1"]),
    )
    def gets_back(
        self, order: str, units: dict[str, int], condition: ItemCondition, return_id: str
    ) -> None:
        came = tuple(
            ReceivedItem(order_item_id=item, quantity=n, condition=condition)
            for item, n in units.items()
        )
        said = ReturnReceived(seller_id=SELLER, return_id=return_id, items=came)
        self.say(SHIPMENTS, said, order)

    @rule(order=orders)
    def wants_it_after_all(self, order: str) -> None:
        self.say(ORDERS, ReorderRequested(buyer_id=BUYER), order)

    @rule(sku=st.sampled_from([KETTLE, TEA]), change=st.sampled_from([-2, -1, 1, 2]))
    def is_restocked(self, sku: str, change: int) -> None:
        self.say(STOCK, StockAdjusted(seller_id=SELLER, sku=sku, change=change))

    # -- time, and what goes wrong ----------------------------------------------------------------

    @rule(passes=st.sampled_from([ONE_MS, 29 * MINUTE, HOUR, DAY, 8 * DAY, 31 * DAY]))
    def time_passes(self, passes: timedelta) -> None:
        self.world.pass_time(from_ms(self.world.now_ms) + passes)

    @precondition(lambda self: self.world.ledger())
    @rule(off=st.sampled_from([-1, 0, 1]))
    def the_next_deadline_comes(self, off: int) -> None:
        """A millisecond before it, in its own, or one after."""
        due = min(entry.due for entry in self.world.ledger()) + off * ONE_MS
        self.world.pass_time(max(due, from_ms(self.world.now_ms)))

    @rule(choose=st.integers(0, 200))
    def is_said_again(self, choose: int) -> None:
        """What has come from outside comes once more, as long after as it may."""
        said = [record for topic in FROM_OUTSIDE for record in self.world.records(topic)]
        again = said[choose % len(said)]
        self.world.append(again.topic, again.partition, again.key, again.value)
        self.world.settle()

    @rule()
    def the_next_is_late(self) -> None:
        """What is said next comes after what is said then."""
        self.holds_back = True

    @precondition(lambda self: self.held_back)
    @rule()
    def what_is_late_comes(self) -> None:
        self.world.say(*self.held_back.pop(0))

    @rule(service=services, when=st.sampled_from(["before its commit", "while it publishes"]))
    def dies(self, service: str, when: str) -> None:
        """A service dies at what it decides next, and begins again."""
        self.world.dying[service] = when

    # -- what holds -------------------------------------------------------------------------------

    def order(self, order_id: str) -> Order | None:
        found: dict[str, Any] = {
            s: d.state for (_, s), d in self.world.workers[2].documents.items()
        }
        return found.get(order_id)

    @invariant()
    def nothing_is_oversold(self) -> None:
        for on_hand, reserved, _ in self.world.stock.levels.values():
            assert 0 <= reserved <= on_hand

    @invariant()
    def an_order_has_one_state_and_an_end_is_not_left(self) -> None:
        for order_id in ("order-0", "order-1", "order-2"):
            if order := self.order(order_id):
                history = self.seen.setdefault(order_id, [order])
                history.append(order)
                for before, after in pairwise(history[-2:]):
                    assert before.status != "Canceled" or after.status == "Canceled"
                    assert before.status != "Shipped" or after.status != "Canceled"

    @invariant()
    def every_wait_has_a_deadline_that_is_armed(self) -> None:
        armed = {(e.publisher, e.subject, e.kind, e.due) for e in self.world.ledger()}
        for order_id in self.seen:
            order = self.seen[order_id][-1]
            assert order.deadlines == deadlines_of(order)
            assert order.deadlines or order.stuck or order.archived_at
            waits = {("fulfillment", order_id, d.kind, d.due) for d in order.deadlines}
            assert waits <= armed

    def teardown(self) -> None:
        for said in self.held_back:
            self.world.say(*said)
        self.world.pass_time(from_ms(self.world.now_ms) + 60 * DAY)
        assert self.world.books().violations == ()


TestMarketplace = Marketplace.TestCase
TestMarketplace.settings = settings(stateful_step_count=30)
