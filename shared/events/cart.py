"""What the cart service tells the others: the life of a cart up to its frozen checkout.

Amounts are minor units in the cart's currency; the stream is `cart-<cart_id>`.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias
from uuid import UUID

from shared.domain import Sealed
from shared.events.common import Charge, Contact, Destination, Line, Qty, Totals


class CartItemCause(StrEnum):
    """What put units into a cart."""

    CUSTOMER = "CUSTOMER"
    MERGE = "MERGE"
    REORDER = "REORDER"


class CartQuantityCause(StrEnum):
    """What changed the quantity of a line that was in the cart already."""

    CUSTOMER = "CUSTOMER"
    MERGE = "MERGE"


class CheckoutStep(StrEnum):
    """How far a buyer came: only items, something about delivery too, or all that a checkout asks for."""

    ITEMS = "ITEMS"
    DELIVERY = "DELIVERY"
    REVIEW = "REVIEW"


@dataclass(frozen=True, slots=True, kw_only=True)
class CartStarted:
    """A cart exists; a guest's has no customer. `subject_id` names whose key seals its personal data."""

    customer_id: UUID | None = None
    subject_id: UUID
    currency: str
    locale: str
    reorder_of: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CartItemAdded:
    """A new line, with the unit price that the buyer saw then."""

    line_id: UUID
    sku: str
    quantity: int
    unit_price: int
    customization: Sealed | None = None
    cause: CartItemCause = CartItemCause.CUSTOMER


@dataclass(frozen=True, slots=True, kw_only=True)
class CartItemQuantityChanged:
    """A line holds another quantity than before.

    `added_line_id` is set when units of the same article were added under that id and joined this line, so
    that adding them again is recognized as a repetition.
    """

    line_id: UUID
    from_quantity: int
    to_quantity: int
    cause: CartQuantityCause = CartQuantityCause.CUSTOMER
    added_line_id: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CartItemRemoved:
    """A line left the cart with all its units."""

    line_id: UUID
    sku: str
    quantity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CartDeliveryChosen:
    """Who is written to, where the goods go and how; what is None is not chosen yet."""

    contact: Contact | None = None
    destination: Destination | None = None
    method_id: str | None = None
    pickup_location_id: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CartCouponsChosen:
    """The coupons that the buyer named, all of them; those that hold when the cart is priced reduce it."""

    codes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CartMerged:
    """A guest's cart became part of the cart of the customer who signed in; it takes nothing any more.

    `lines` arrive in the other cart as items of their own, as far as they are still sold.
    """

    into_cart_id: UUID
    lines: tuple[Qty, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CartAbandoned:
    """Nobody touched the cart for long; any later item event reopens it.

    `value` is what its `item_count` units cost when they were put in.
    """

    item_count: int
    value: int
    last_step: CheckoutStep


@dataclass(frozen=True, slots=True, kw_only=True)
class CartCheckedOut:
    """The buyer bought: prices, taxes and delivery as frozen for the order `order_id`.

    Σ line.gross + shipping.gross = totals.total. `pricing_version` is the pricing policy that priced it,
    `coupons` are the codes that reduced it.
    """

    order_id: UUID
    customer_id: UUID | None = None
    contact: Contact
    destination: Destination
    billing: Sealed | None = None
    pickup_location_id: UUID | None = None
    lines: tuple[Line, ...]
    shipping: Charge
    coupons: tuple[str, ...] = ()
    totals: Totals
    currency: str
    locale: str
    pricing_version: int
    terms_version: str
    create_account: bool = False
    marketing_consent: bool = False
    customer_note: Sealed | None = None


CartEvent: TypeAlias = (
    CartStarted
    | CartItemAdded
    | CartItemQuantityChanged
    | CartItemRemoved
    | CartDeliveryChosen
    | CartCouponsChosen
    | CartMerged
    | CartAbandoned
    | CartCheckedOut
)

EVENTS: tuple[type[CartEvent], ...] = (
    CartStarted,
    CartItemAdded,
    CartItemQuantityChanged,
    CartItemRemoved,
    CartDeliveryChosen,
    CartCouponsChosen,
    CartMerged,
    CartAbandoned,
    CartCheckedOut,
)
