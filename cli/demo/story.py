"""What the demo's day showed, in words: how often each thing happened that befalls carts and their money."""

from collections.abc import Mapping
from typing import Final

STORY: Final[Mapping[str, str]] = {
    "coupons_used": "an order bought with a coupon",
    "coupons_given_back": "a coupon that is free again, as its order was cancelled",
    "merged": "a guest who signed in, and whose cart was merged into the customer's",
    "paid_after_a_decline": "a declined card, and another one that paid",
    "declined": "an order whose cards were all declined: cancelled, its goods free again",
    "outages_healed": "a payment provider that went away in mid-payment: captured once it was back",
    "late_payments_refunded": "a success that came after its order was cancelled: refunded by itself",
    "captured_in_parts": "an order in two parcels, captured in two parts",
    "authorized_anew": "a card that is captured only once: the rest authorized anew for the second parcel",
    "orphans_given_back": "a stranger's money that fits no order: sent back",
    "out_of_stock": "an order whose goods another one had taken: cancelled, nothing charged",
    "returns_completed": "goods that came back and were refunded",
    "goodwill": "a part of the price given back as goodwill",
}
"""By the number that counts it."""


def told(numbers: Mapping[str, object]) -> list[str]:
    """One line a thing, with how often it happened; what did not happen is told too."""
    width = max(len(str(numbers[name])) for name in STORY)
    return [f"{numbers[name]!s:>{width}} x  {what}" for name, what in STORY.items()]
