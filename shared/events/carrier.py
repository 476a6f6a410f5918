"""What carriers publish on `tracking`. `subject` is the order id."""

from typing import ClassVar

from shared.events.envelope import Fact, Topic
from shared.events.fields import OptionalText, Text


class PackageDelivered(Fact):
    """The carrier handed the package over; the event's `time` is when."""

    TYPE: ClassVar[str] = "package.delivered.v1"

    tracking_number: Text


class PackageReturned(Fact):
    """The carrier could not hand the package over and brings it back to the seller (R23)."""

    TYPE: ClassVar[str] = "package.returned_to_sender.v1"

    tracking_number: Text
    reason: OptionalText = ""


TRACKING = Topic(name="tracking", facts=(PackageDelivered, PackageReturned), owner="fulfillment")
