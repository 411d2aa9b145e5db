"""Seals what buyers say about themselves under their cart's subject, and opens it for their own pages."""

from collections.abc import Iterable
from typing import Annotated, Final

import orjson
from pydantic import BaseModel, StringConstraints

from services.cart.domain.cart_state import Cart
from shared.domain import Sealed
from shared.events.common import Contact, Destination
from shared.service.fields import Country, Email, ShortText
from shared.service.vault import Vault

WITHOUT_POSTAL_CODES: Final = frozenset(
    {
        "AE",
        "AG",
        "AO",
        "AW",
        "BJ",
        "BO",
        "BS",
        "BZ",
        "CM",
        "CW",
        "FJ",
        "GD",
        "GH",
        "GM",
        "GY",
        "HK",
        "JM",
        "KM",
    }
    | {"LY", "ML", "MO", "MR", "QA", "RW", "SC", "SL", "SR", "SY", "TD", "TG", "TV", "UG", "YE", "ZW"}
)
"""Countries where most addresses have no postal code, so none is asked for."""
_PREFIX_LENGTH: Final = 3

PostalCode = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=16, pattern=r"^[A-Za-z0-9 -]+$")
]
AddressLine = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$"),
]


class ContactFields(BaseModel):
    """Who is written to."""

    name: AddressLine
    email: Email
    phone: ShortText | None = None


class AddressFields(BaseModel):
    """An address; while the buyer is still typing, all but the country may be missing."""

    country: Country
    region: AddressLine | None = None
    postal_code: PostalCode | None = None
    line1: AddressLine | None = None
    line2: AddressLine | None = None
    city: AddressLine | None = None

    @property
    def missing(self) -> tuple[str, ...]:
        """The fields without which nothing can be sent there."""
        needed = ["line1", "city"]
        if self.country not in WITHOUT_POSTAL_CODES:
            needed.append("postal_code")
        return tuple(name for name in needed if getattr(self, name) is None)

    @property
    def postal_prefix(self) -> str | None:
        """The first characters of the postal code: enough for a shipping zone, too little for a street."""
        code = (self.postal_code or "").replace(" ", "").replace("-", "").upper()
        return code[:_PREFIX_LENGTH] or None


class PersonalData:
    """Seals and opens by one vault.

    What a cart holds already is not sealed anew, so that saying the same thing twice is no change.
    """

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def contact(self, cart: Cart, fields: ContactFields | None) -> Contact | None:
        """The contact to keep; None for None."""
        if fields is None:
            return None
        held = cart.delivery.contact
        name, email, phone = (held.name, held.email, held.phone) if held else (None, None, None)
        return Contact(
            subject_id=cart.subject_id,
            name=self._sealed(cart, "name", fields.name, [name]),
            email=self._sealed(cart, "email", fields.email, [email]),
            phone=None if fields.phone is None else self._sealed(cart, "phone", fields.phone, [phone]),
        )

    def destination(self, cart: Cart, fields: AddressFields | None) -> Destination | None:
        """The destination to keep, with what decisions need in the clear; None for None."""
        if fields is None:
            return None
        held = cart.delivery.destination
        return Destination(
            country=fields.country,
            region=fields.region,
            postal_prefix=fields.postal_prefix,
            complete=not fields.missing,
            missing=fields.missing,
            address=self._sealed(cart, "address", _as_text(fields), [held.address] if held else []),
        )

    def billing(self, cart: Cart, fields: AddressFields | None) -> Sealed | None:
        """The address of the invoice; None for None."""
        return None if fields is None else self._sealed(cart, "billing", _as_text(fields))

    def customization(self, cart: Cart, sku: str, text: str | None) -> Sealed | None:
        """How one article is made to order, so that the same wish for the same article joins its line."""
        if text is None:
            return None
        held = [item.customization for item in cart.items if item.sku == sku]
        return self._sealed(cart, "customization", text, held)

    def customer_note(self, cart: Cart, text: str | None) -> Sealed | None:
        """What the buyer wants the shop to know; None for None."""
        return None if text is None else self._sealed(cart, "customer_note", text)

    def opened_contact(self, contact: Contact | None) -> dict[str, str | None] | None:
        """The contact in the clear, for its own subject and for staff."""
        if contact is None:
            return None
        return {
            "name": self._vault.open(contact.name, "name"),
            "email": self._vault.open(contact.email, "email"),
            "phone": contact.phone and self._vault.open(contact.phone, "phone"),
        }

    def opened_address(self, destination: Destination | None) -> dict[str, str | None] | None:
        """The address in the clear, for its own subject and for staff."""
        if destination is None:
            return None
        address: dict[str, str | None] = orjson.loads(self._vault.open(destination.address, "address"))
        return address

    def opened_customization(self, sealed: Sealed | None) -> str | None:
        """How an article is made to order, in the clear."""
        return None if sealed is None else self._vault.open(sealed, "customization")

    def _sealed(self, cart: Cart, field: str, text: str, held: Iterable[Sealed | None] = ()) -> Sealed:
        for sealed in held:
            if sealed is not None and self._vault.open(sealed, field) == text:
                return sealed
        return self._vault.seal(cart.subject_id, field, text)


def _as_text(fields: AddressFields) -> str:
    return orjson.dumps(fields.model_dump()).decode()
