"""Cart's part of its OpenAPI document: what its routes answer, and with which problems.

The answers are written out here as types for the document; fuzzing holds what is really answered to them.
"""

from datetime import date, datetime
from pathlib import Path
from typing import Final
from uuid import UUID

from pydantic import Field

from services.cart.catalog_imports import CatalogImport, Checked
from services.cart.domain.cart_state import CartStatus
from services.cart.domain.cautions import CautionCode
from services.cart.domain.coupons import Coupon, CouponFault
from services.cart.domain.product import Image, Option
from services.cart.domain.rules import ShippingMethod, TaxRule
from services.cart.personal_data import AddressFields, ContactFields
from services.cart.readmodels.coupon_uses import CouponUseRow
from shared.events.common import Charge, DeliveryKind, Line, Totals
from shared.service.openapi import LARGEST_LIST, Answer, Operation, Operations, examples_of


class CartLine(Answer):
    """A line with its price, or one that is not sold now: then only the first four members are there."""

    line_id: UUID
    sku: str
    quantity: int
    available: bool
    title: str | None = None
    unit_price: int | None = None
    discount: int | None = None
    net: int | None = None
    tax: int | None = None
    gross: int | None = None
    tax_rate_bp: int | None = None
    delivery: DeliveryKind | None = None
    image_url: str | None = None
    customization: str | None = None


class ShippingOption(Answer):
    """A way to deliver, as `method_id` names it."""

    method_id: str
    title: str
    net: int
    tax: int
    gross: int
    eta_days: int


class CouponOnCart(Answer):
    """A coupon that the buyer named, and why it takes nothing off, if it does not."""

    code: str
    counts: bool
    reason: CouponFault | None


class Warned(Answer):
    """What stands against a checkout at the prices that the buyer saw."""

    line_id: UUID
    sku: str
    code: CautionCode
    limit: int | None = None
    from_: int | None = Field(None, alias="from")
    to: int | None = None


class DeliveryPage(Answer):
    """What is known of the delivery, and what its address still lacks."""

    contact: ContactFields | None
    destination: AddressFields | None
    missing: tuple[str, ...]
    method_id: str | None


class NotTaken(Answer):
    """A line of an earlier order that could not be put in again."""

    sku: str
    title: str
    quantity: int
    code: str
    detail: str


class Arriving(Answer):
    """A line on its way from a merged cart."""

    line_id: UUID
    sku: str
    quantity: int


class Merged(Answer):
    """The cart that was taken over, and what arrives from it."""

    cart_id: UUID
    lines: list[Arriving]


class CartPage(Answer):
    """The whole cart, priced now, or as it was bought: then it has its order."""

    cart_id: UUID
    status: CartStatus
    currency: str
    locale: str
    item_count: int
    delivery: DeliveryPage
    changed_at: datetime
    merged_into: UUID | None = None
    lines: list[CartLine]
    shipping: Charge | None
    shipping_options: list[ShippingOption]
    coupons: list[CouponOnCart]
    totals: Totals
    warnings: list[Warned]
    pricing_version: int
    order_id: UUID | None = None
    order_number: str | None = None


class BegunCart(CartPage):
    """A new cart: with the `token` of a new guest, and with what of an earlier order was not taken."""

    token: str | None = None
    not_taken: list[NotTaken] | None = None


class MergedCart(CartPage):
    """The cart that takes a guest's."""

    merged: Merged


class ProductPage(Answer):
    """A product as anyone sees it."""

    sku: str
    titles: dict[str, str]
    prices: dict[str, int]
    compare_at: dict[str, int]
    active: bool
    tax_class: str
    digital: bool
    preorder_until: date | None
    pickup_only: bool
    custom: bool
    stock_tracked: bool
    final_sale: bool
    supplier_id: UUID | None
    weight_g: int
    image_url: str | None
    limit_quantity_per_checkout: int | None
    handle: str | None
    position: int
    options: tuple[Option, ...]
    images: tuple[Image, ...]


class WholeProduct(ProductPage):
    """A product as an import takes it."""

    attributes: dict[str, str]


class Listed(Answer):
    """The products of a listing."""

    products: list[ProductPage]


class PolicyPage(Answer):
    """A version of the pricing policy; its coupons are for staff."""

    version: int
    effective_from: datetime
    title: str | None
    source: str | None
    as_of: date | None
    currencies: tuple[str, ...]
    home_country: str
    prices_include_tax: bool
    tax_rules: tuple[TaxRule, ...]
    shipping_methods: tuple[ShippingMethod, ...]
    coupons: tuple[Coupon, ...] | None = None
    line_limit: int


class PolicyChecked(Answer):
    """What adopting a policy would come to."""

    changed: bool
    effective_from: datetime


class PolicyVersion(Answer):
    """A version that was adopted."""

    version: int
    title: str | None
    effective_from: datetime
    adopted_by: str


class SignedQuote(Answer):
    """A quote with its currency; in a checkout it is sent as it is."""

    currency: str
    quote_id: UUID
    lines: tuple[Line, ...]
    shipping: Charge
    totals: Totals
    policy_version: int
    valid_until: datetime
    signature: str


_CART: Final = ("unknown_cart", "no_pricing_policy")
_CHANGE: Final = (*_CART, "cart_closed")


def _change(summary: str, *refusals: str) -> Operation:
    """A command of a buyer on their cart."""
    return Operation(
        summary=summary,
        refusals=(*_CHANGE, *refusals),
        answer=CartPage,
        keyed=True,
        matched=True,
        tagged=True,
    )


OPERATIONS: Final[Operations] = {
    "POST /carts": Operation(
        summary="Begin a cart",
        refusals=(
            *_CART,
            "unauthenticated",
            "forbidden",
            "cart_exists",
            "currency_mismatch",
            "unknown_order",
        ),
        answer=BegunCart,
        keyed=True,
        tagged=True,
    ),
    "GET /carts/{cart_id}": Operation(summary="Read a cart", refusals=_CART, answer=CartPage, tagged=True),
    "POST /carts/{cart_id}/lines": _change(
        "Add a line",
        "product_unavailable",
        "currency_mismatch",
        "customization_required",
        "sold_out",
        "quantity_limit",
        "line_limit",
    ),
    "PATCH /carts/{cart_id}/lines/{line_id}": _change(
        "Change a line's quantity", "unknown_line", "quantity_limit", "sold_out"
    ),
    "DELETE /carts/{cart_id}/lines/{line_id}": _change("Take a line out", "unknown_line"),
    "PUT /carts/{cart_id}/delivery": _change("Choose the delivery", "method_unavailable"),
    "PUT /carts/{cart_id}/coupons": _change("Choose the coupons", "coupon_invalid"),
    "POST /carts/{cart_id}/checkout": _change(
        "Check out",
        "empty_cart",
        "email_missing",
        "address_incomplete",
        "product_unavailable",
        "quantity_limit",
        "sold_out",
        "method_unavailable",
        "currency_mismatch",
        "invalid_quote",
        "quote_expired",
        "total_changed",
        "coupon_used_up",
    ),
    "POST /carts/{cart_id}/merge": Operation(
        summary="Take a guest's cart over",
        refusals=(*_CHANGE, "invalid_guest_token", "not_mergeable"),
        answer=MergedCart,
        keyed=True,
        matched=True,
        tagged=True,
    ),
    "PUT /products/{sku}": Operation(
        summary="List a product",
        refusals=("invalid_product",),
        answer=ProductPage,
        keyed=True,
        matched=True,
        tagged=True,
    ),
    "DELETE /products/{sku}": Operation(
        summary="Stop selling a product",
        refusals=("unknown_product",),
        answer=ProductPage,
        keyed=True,
        matched=True,
        tagged=True,
    ),
    "POST /products": Operation(
        summary="List several products",
        largest_body=LARGEST_LIST,
        refusals=("invalid_product",),
        answer=Listed,
        keyed=True,
    ),
    "GET /products": Operation(summary="Read what is sold", answer=list[ProductPage]),
    "GET /catalog": Operation(summary="Read the whole catalogue", answer=list[WholeProduct]),
    "GET /products/{sku}": Operation(
        summary="Read a product", refusals=("unknown_product",), answer=ProductPage, tagged=True
    ),
    "PUT /pricing-policy": Operation(
        summary="Adopt a pricing policy",
        largest_body=LARGEST_LIST,
        refusals=("invalid_policy",),
        answer=PolicyPage | PolicyChecked,
        keyed=True,
        matched=True,
        tagged=True,
    ),
    "GET /pricing-policy": Operation(
        summary="Read the pricing policy",
        refusals=("unknown_policy", "unauthenticated"),
        answer=PolicyPage,
        tagged=True,
    ),
    "GET /pricing-policies": Operation(summary="List pricing policies", answer=list[PolicyVersion]),
    "GET /coupons/{code}/uses": Operation(summary="List a coupon's uses", answer=list[CouponUseRow]),
    "POST /quotes": Operation(
        summary="Ask for a signed quote",
        refusals=(*_CART, "empty_cart", "product_unavailable", "method_unavailable", "coupon_invalid"),
        answer=SignedQuote,
    ),
    "PUT /catalog-imports/{import_id}/parts/{part}": Operation(
        summary="Send a part", largest_body=LARGEST_LIST, answer=Checked
    ),
    "POST /catalog-imports/{import_id}": Operation(
        summary="Carry an import out",
        refusals=("import_incomplete", "import_refused"),
        answer=CatalogImport,
    ),
    "DELETE /catalog-imports/{import_id}": Operation(summary="Give an import up"),
}

EXAMPLES: Final = examples_of(Path(__file__).parent)
