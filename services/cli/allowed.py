"""What people may type where a field of an event is asked for, in words."""

from shared.events.fields import MAX_STOCK

SELLER_ID = "a seller's id: 1 to 64 letters, digits and . _ : -"
SKU = "a SKU: 1 to 40 printable ASCII characters, no blank at the ends"
EVENT_ID = "an id: 1 to 128 printable ASCII characters, no blank"
ON_HAND = f"a whole number from 0 to {MAX_STOCK}"
UNITS = f"a whole number from 1 to {MAX_STOCK}"
CHANGE = f"a whole number from {-MAX_STOCK} to {MAX_STOCK}"
TEXT = "1 to 200 characters in one line"
OPTIONAL_TEXT = "at most 200 characters in one line"
