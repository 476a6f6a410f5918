"""The stories of the demo. Each shows a rule or two."""

from dataclasses import replace

from services.cli.demo.script import (
    BRITAIN,
    CANCEL_ASKED,
    CANCEL_DENIED,
    DAY,
    FIRST_LATE_NOTICE,
    FIRST_PACKAGE,
    HOUR,
    MINUTE,
    RETURN_OPENED,
    SECOND_LATE_NOTICE,
    UNSHIPPED,
    Act,
    Line,
    Script,
    agrees,
    announces_delay,
    authorizes,
    confirms,
    declines,
    delivers,
    does_not_agree,
    receives,
    wants_out,
    wants_to_return,
)
from services.cli.demo.story import Canceled, Outcome, Story
from shared.events.fulfillment import (
    CancelAsked,
    CancelDenied,
    CancelWarned,
    ConditionMet,
    OrderCanceled,
    OrderHeld,
    OrderUnshipped,
    PackageConfirmed,
    PackageDelivered,
    RequestRefused,
    ReturnOpened,
    ShipmentDelayed,
    ShipmentLate,
    UnitsReturned,
)
from shared.events.inventory import (
    StockRejected,
    StockReleased,
    StockReserved,
    StockReturned,
    StockShipped,
)
from shared.events.payment import (
    CaptureRequested,
    MoneyArrived,
    MoneyReturned,
    PaymentApproved,
    PaymentRefused,
    RefundRequested,
    UnitsNotOwed,
    VerificationClosed,
    VerificationUnknown,
    VoidRequested,
)

RELEASED = (OrderHeld, ConditionMet, OrderUnshipped)
"""In stock, paid, held out (R9)."""
VOIDED = (VoidRequested, MoneyReturned)
PAID_THEN_VOIDED = (PaymentApproved, VerificationClosed, *VOIDED)
MONEY_TOO_LATE = (VerificationClosed, MoneyArrived, *VOIDED)
SHIPPED = Outcome(
    status="Shipped",
    life=(*RELEASED, PackageConfirmed, PackageDelivered),
    stock=(StockReserved, StockShipped),
    money=(PaymentApproved, CaptureRequested, MoneyArrived),
    notices={"estimated_delivery": 1, "package_shipped": 1},
)
PAYS = Act(authorizes, MINUTE)

NORMAL = Story(
    title="A normal order",
    rules="R1 R2 R5 R9 R11",
    on_hand=8,
    left=6,
    orders=(
        Script(
            order_id="303-0000001-1600001",
            at=3 * MINUTE,
            seller_id="TEAHOUSE",
            buyer_id="buyer-normal",
            lines=(Line("KETTLE-RED", 2, 7_980),),
            acts=(
                PAYS,
                Act(confirms(1), 20 * HOUR, UNSHIPPED),
                Act(delivers(1), 3 * DAY, FIRST_PACKAGE),
            ),
        ),
    ),
    outcomes=(SHIPPED,),
)

CANCELED_IN_HOLD = Story(
    title="The buyer cancels in minute 12",
    rules="R14 R7",
    on_hand=5,
    left=5,
    orders=(
        Script(
            order_id="303-0000002-1600002",
            at=4 * MINUTE,
            seller_id="LAMPWORKS",
            buyer_id="buyer-regrets",
            lines=(Line("LAMP-BRASS", 1, 12_900),),
            acts=(PAYS, Act(wants_out, 12 * MINUTE)),
        ),
    ),
    outcomes=(
        Outcome(
            status="Canceled",
            canceled=Canceled("buyer", 12 * MINUTE, executed_by="BUYER"),
            life=(OrderHeld, ConditionMet, OrderCanceled),
            stock=(StockReserved, StockReleased),
            money=PAID_THEN_VOIDED,
            notices={"order_canceled": 1},
        ),
    ),
)

DECLINED = Story(
    title="The card is declined, silently",
    rules="R5 R6",
    on_hand=3,
    left=3,
    orders=(
        Script(
            order_id="303-0000003-1600003",
            at=5 * MINUTE,
            seller_id="BOOKCELLAR",
            buyer_id="buyer-declined",
            lines=(Line("ATLAS-1898", 1, 34_000),),
            acts=(Act(declines, 4 * MINUTE),),
        ),
    ),
    outcomes=(
        Outcome(
            status="Canceled",
            canceled=Canceled("payment_declined", 4 * MINUTE),
            life=(OrderHeld, ConditionMet, OrderCanceled),
            stock=(StockReserved, StockReleased),
            money=(PaymentRefused,),
        ),
    ),
)


def _for_the_last_unit(order_id: str, buyer_id: str) -> Script:
    return Script(
        order_id=order_id,
        at=6 * MINUTE,
        seller_id="LAMPWORKS",
        buyer_id=buyer_id,
        lines=(Line("LANTERN-LAST", 1, 5_500),),
        acts=(
            Act(authorizes, 5 * MINUTE),
            Act(confirms(1), 16 * HOUR, UNSHIPPED),
            Act(delivers(1), 4 * DAY, FIRST_PACKAGE),
        ),
    )


LAST_UNIT = Story(
    title="Two buyers, one unit",
    rules="R1 R4",
    on_hand=1,
    left=0,
    orders=(
        _for_the_last_unit("303-0000004-1600004", "buyer-left"),
        _for_the_last_unit("303-0000004-1600005", "buyer-right"),
    ),
    outcomes=(
        SHIPPED,
        Outcome(
            status="Canceled",
            canceled=Canceled("out_of_stock", 0 * MINUTE),
            life=(OrderHeld, OrderCanceled),
            stock=(StockRejected,),
            money=MONEY_TOO_LATE,
            notices={"order_canceled": 1},
        ),
    ),
)

LATE_MONEY = Story(
    title="Paid after the cancel: given back",
    rules="R14 R7",
    on_hand=4,
    left=4,
    orders=(
        Script(
            order_id="303-0000005-1600006",
            at=7 * MINUTE,
            seller_id="TEAHOUSE",
            buyer_id="buyer-slow-bank",
            lines=(Line("TEAPOT-IRON", 1, 6_400),),
            acts=(Act(wants_out, 8 * MINUTE), Act(authorizes, 15 * MINUTE)),
        ),
    ),
    outcomes=(
        Outcome(
            status="Canceled",
            canceled=Canceled("buyer", 8 * MINUTE, executed_by="BUYER"),
            life=(OrderHeld, ConditionMet, OrderCanceled),
            stock=(StockReserved, StockReleased),
            money=MONEY_TOO_LATE,
            notices={"order_canceled": 1},
        ),
    ),
)

LATE_SELLER = Story(
    title="A late seller, two new dates",
    rules="R12 R11",
    on_hand=6,
    left=5,
    orders=(
        Script(
            order_id="303-0000006-1600007",
            at=8 * MINUTE,
            seller_id="BIKEBARN",
            buyer_id="buyer-patient",
            lines=(Line("BELL-DING", 1, 1_450),),
            acts=(
                PAYS,
                Act(confirms(1), 3 * HOUR, SECOND_LATE_NOTICE),
                Act(delivers(1), 3 * DAY, FIRST_PACKAGE),
            ),
        ),
    ),
    outcomes=(
        replace(
            SHIPPED,
            life=(*RELEASED, ShipmentLate, PackageConfirmed, PackageDelivered),
            notices={
                "estimated_delivery": 1,
                "late_shipment": 2,
                "new_delivery_date": 2,
                "package_shipped": 1,
            },
        ),
    ),
)

UNCONFIRMED = Story(
    title="Delivered but never confirmed",
    rules="R12 R13 R7",
    on_hand=2,
    left=2,
    orders=(
        Script(
            order_id="303-0000007-1600008",
            at=9 * MINUTE,
            seller_id="BOOKCELLAR",
            buyer_id="buyer-has-it",
            lines=(Line("GLOBE-30CM", 1, 8_800),),
            acts=(PAYS, Act(delivers(1), 1 * DAY, UNSHIPPED)),
        ),
    ),
    outcomes=(
        Outcome(
            status="Canceled",
            canceled=Canceled("shipment_unconfirmed", 30 * DAY),
            life=(
                *RELEASED,
                PackageDelivered,
                ShipmentLate,
                CancelWarned,
                ShipmentLate,
                OrderCanceled,
            ),
            stock=(StockReserved, StockReleased),
            money=PAID_THEN_VOIDED,
            notices={
                "estimated_delivery": 1,
                "late_shipment": 28,
                "new_delivery_date": 28,
                "cancel_warning": 1,
                "order_canceled": 1,
            },
        ),
    ),
)

IN_PARTS = Story(
    title="A partial shipment, then the rest",
    rules="R11",
    on_hand=9,
    left=6,
    orders=(
        Script(
            order_id="303-0000008-1600009",
            at=10 * MINUTE,
            seller_id="BIKEBARN",
            buyer_id="buyer-of-three",
            lines=(Line("TUBE-28IN", 3, 2_370),),
            acts=(
                PAYS,
                Act(confirms(1, 1), 14 * HOUR, UNSHIPPED),
                Act(confirms(2, 2), 14 * HOUR, FIRST_PACKAGE),
                Act(delivers(1), 3 * DAY, FIRST_PACKAGE),
                Act(delivers(2), 5 * DAY, FIRST_PACKAGE),
            ),
        ),
    ),
    outcomes=(replace(SHIPPED, notices={"estimated_delivery": 1, "package_shipped": 2}),),
)

TOO_LATE = Story(
    title="Canceling too late: the way back",
    rules="R16",
    on_hand=7,
    left=6,
    orders=(
        Script(
            order_id="303-0000009-1600010",
            at=11 * MINUTE,
            seller_id="TEAHOUSE",
            buyer_id="buyer-too-late",
            lines=(Line("CUPS-SET6", 1, 4_200),),
            acts=(
                PAYS,
                Act(confirms(1), 16 * HOUR, UNSHIPPED),
                Act(wants_out, 12 * HOUR, FIRST_PACKAGE),
                Act(delivers(1), 4 * DAY, FIRST_PACKAGE),
            ),
        ),
    ),
    outcomes=(
        replace(
            SHIPPED,
            life=(*RELEASED, PackageConfirmed, RequestRefused, PackageDelivered),
            notices={"estimated_delivery": 1, "package_shipped": 1, "cancel_refused": 1},
        ),
    ),
)

RETURNED = Story(
    title="Sent back, one unit damaged",
    rules="R17 R7",
    on_hand=7,
    left=5,
    orders=(
        Script(
            order_id="303-0000010-1600011",
            at=12 * MINUTE,
            seller_id="LAMPWORKS",
            buyer_id="buyer-sends-back",
            lines=(Line("SHADE-PAPER", 3, 7_470),),
            acts=(
                PAYS,
                Act(confirms(1), 15 * HOUR, UNSHIPPED),
                Act(delivers(1), 3 * DAY, FIRST_PACKAGE),
                Act(wants_to_return(2), 5 * DAY, FIRST_PACKAGE),
                Act(receives(sellable=1, damaged=1), 4 * DAY, RETURN_OPENED),
            ),
        ),
    ),
    outcomes=(
        replace(
            SHIPPED,
            life=(*SHIPPED.life, ReturnOpened, UnitsReturned),
            stock=(*SHIPPED.stock, StockReturned),
            money=(*SHIPPED.money, UnitsNotOwed, RefundRequested, MoneyReturned),
            notices={
                **SHIPPED.notices,
                "return_requested": 1,
                "return_opened": 1,
                "return_received": 1,
            },
        ),
    ),
)

DELAYED = Story(
    title="A delay, announced in time",
    rules="R12",
    on_hand=5,
    left=4,
    orders=(
        Script(
            order_id="303-0000011-1600012",
            at=13 * MINUTE,
            seller_id="TEAHOUSE",
            buyer_id="buyer-of-a-bowl",
            lines=(Line("BOWL-RAKU", 1, 11_800),),
            acts=(
                PAYS,
                Act(announces_delay(3 * DAY), 18 * HOUR, UNSHIPPED),
                Act(confirms(1), 17 * HOUR, FIRST_LATE_NOTICE),
                Act(delivers(1), 4 * DAY, FIRST_PACKAGE),
            ),
        ),
    ),
    outcomes=(
        replace(
            SHIPPED,
            life=(*RELEASED, ShipmentDelayed, ShipmentLate, PackageConfirmed, PackageDelivered),
            notices={**SHIPPED.notices, "new_delivery_date": 2, "late_shipment": 1},
        ),
    ),
)

SELLER_AGREES = Story(
    title="The seller lets the buyer cancel",
    rules="R15 R7",
    on_hand=4,
    left=4,
    orders=(
        Script(
            order_id="303-0000012-1600013",
            at=14 * MINUTE,
            seller_id="LAMPWORKS",
            buyer_id="buyer-asks",
            marketplace_id=BRITAIN,
            lines=(Line("LAMP-STORM", 1, 8_250),),
            acts=(
                PAYS,
                Act(wants_out, 9 * HOUR, UNSHIPPED),
                Act(agrees, 6 * HOUR, CANCEL_ASKED),
            ),
        ),
    ),
    outcomes=(
        Outcome(
            status="Canceled",
            canceled=Canceled("buyer", 30 * MINUTE + 15 * HOUR, executed_by="MERCHANT"),
            life=(*RELEASED, CancelAsked, OrderCanceled),
            stock=(StockReserved, StockReleased),
            money=PAID_THEN_VOIDED,
            notices={"estimated_delivery": 1, "cancel_asked": 1, "order_canceled": 1},
        ),
    ),
)

SELLER_DENIES = Story(
    title="The seller does not, and ships",
    rules="R15 R11",
    on_hand=4,
    left=3,
    orders=(
        Script(
            order_id="303-0000013-1600014",
            at=15 * MINUTE,
            seller_id="BOOKCELLAR",
            buyer_id="buyer-asks-in-vain",
            marketplace_id=BRITAIN,
            lines=(Line("DIARY-GOLD", 1, 3_650),),
            acts=(
                PAYS,
                Act(wants_out, 9 * HOUR, UNSHIPPED),
                Act(does_not_agree, 6 * HOUR, CANCEL_ASKED),
                Act(confirms(1), 2 * HOUR, CANCEL_DENIED),
                Act(delivers(1), 3 * DAY, FIRST_PACKAGE),
            ),
        ),
    ),
    outcomes=(
        replace(
            SHIPPED,
            life=(*RELEASED, CancelAsked, CancelDenied, PackageConfirmed, PackageDelivered),
            notices={**SHIPPED.notices, "cancel_asked": 1, "cancel_denied": 1},
        ),
    ),
)

PROVIDER_TWICE = Story(
    title="A provider answers late, then twice",
    rules="R5 R7",
    on_hand=3,
    left=2,
    orders=(
        Script(
            order_id="303-0000014-1600015",
            at=2 * MINUTE,
            seller_id="BIKEBARN",
            buyer_id="buyer-charged-once",
            lines=(Line("DYNAMO-6V", 1, 5_980),),
            acts=(
                Act(confirms(1), 12 * HOUR, UNSHIPPED),
                Act(delivers(1), 3 * DAY, FIRST_PACKAGE),
            ),
            provider={"authorize": ("late", "twice"), "capture": ("twice",)},
        ),
    ),
    outcomes=(
        replace(
            SHIPPED,
            money=(VerificationUnknown, *SHIPPED.money),
            moves=("authorized", "captured"),
        ),
    ),
)

STORIES = (
    NORMAL,
    CANCELED_IN_HOLD,
    DECLINED,
    LAST_UNIT,
    LATE_MONEY,
    LATE_SELLER,
    UNCONFIRMED,
    IN_PARTS,
    TOO_LATE,
    RETURNED,
    DELAYED,
    SELLER_AGREES,
    SELLER_DENIES,
    PROVIDER_TWICE,
)
