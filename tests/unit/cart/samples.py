"""A mug, a cart and a buyer that the cart tests start from."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from services.cart.domain.pricing import PolicyAdopted
from services.cart.domain.product import Product, ProductDetails
from services.cart.domain.rules import DEFAULT_RULES
from shared.domain import Sealed
from shared.events.cart import CartDeliveryChosen, CartItemAdded, CartStarted
from shared.events.common import Contact, Destination

CART_ID = UUID(int=1)
SUBJECT = UUID(int=2)
CUSTOMER = UUID(int=3)
LINE_A = UUID(int=10)
LINE_B = UUID(int=11)
LINE_C = UUID(int=12)
DEPOT = UUID(int=20)
ENGRAVED = Sealed("v1.subject.nonce.engraved")

RULES = DEFAULT_RULES
POLICY = PolicyAdopted(
    version=4, document=RULES, effective_from=datetime(2026, 1, 1, tzinfo=UTC), adopted_by="admin"
)
CONTACT = Contact(subject_id=SUBJECT, name=Sealed("v1.s.n.name"), email=Sealed("v1.s.n.email"))
LONDON = Destination(country="GB", postal_prefix="SW1", complete=True, address=Sealed("v1.s.n.london"))
PARIS = Destination(country="FR", postal_prefix="75", complete=True, address=Sealed("v1.s.n.paris"))


def product(
    sku: str = "MUG", *, prices: Mapping[str, int] | None = None, active: bool = True, **details: Any
) -> Product:
    """A product at 12.00 GBP, unless something else is said."""
    return Product(
        sku=sku,
        details=replace(ProductDetails(title={"en": sku.title()}, weight_g=350), **details),
        prices={"GBP": 1200} if prices is None else prices,
        active=active,
    )


MUG = product()

STARTED = CartStarted(subject_id=SUBJECT, currency="GBP", locale="en")
TWO_MUGS = CartItemAdded(line_id=LINE_A, sku="MUG", quantity=2, unit_price=1200)
TO_LONDON = CartDeliveryChosen(contact=CONTACT, destination=LONDON, method_id="standard")
