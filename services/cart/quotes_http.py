"""Price promises over HTTP: what a cart or some lines cost, signed, for half an hour."""

from dataclasses import fields
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, Field, StrictInt, model_validator

from services.cart.buyers import owns
from services.cart.commands import PriceList, price_list
from services.cart.domain.choosing_coupons import codes_of
from services.cart.domain.promises import Wish, promise, wish_of
from services.cart.domain.quote import Item, quote
from services.cart.domain.rules import MOST_LINES
from services.cart.http import CouponCode, MethodId
from services.cart.readmodels.cart_view import CART_VIEW
from shared.domain import Rejected, Sealed
from shared.events.common import Destination
from shared.events.envelope import Actor
from shared.service.auth import ANYONE, STAFF, Authenticator
from shared.service.commands import Outcome, respond
from shared.service.fields import Country, Currency, Locale, ShortText, Sku
from shared.service.quotes import QuoteKeys
from shared.store.session import Session
from shared.store.store import Store

NO_ADDRESS = Sealed("")


class QuotedLine(BaseModel):
    """Units of a product; `line_id` is that of an order's line, if it is for one."""

    line_id: UUID = Field(default_factory=uuid4)
    sku: Sku
    quantity: Annotated[StrictInt, Field(ge=1, le=100_000)]


class QuotedLines(BaseModel):
    """Lines that are not in a cart, and where they go."""

    currency: Currency
    locale: Locale = "en"
    lines: Annotated[list[QuotedLine], Field(min_length=1, max_length=MOST_LINES)]
    country: Country
    region: ShortText | None = None
    method_id: MethodId | None = None
    pickup_location_id: UUID | None = None
    coupons: Annotated[list[CouponCode], Field(max_length=5)] = []

    @model_validator(mode="after")
    def _each_once(self) -> "QuotedLines":
        if len({line.line_id for line in self.lines}) < len(self.lines):
            raise ValueError("a line_id is there more than once")
        return self

    def wish(self) -> Wish:
        """What the pure core promises a price for."""
        return Wish(
            currency=self.currency,
            items=tuple(
                Item(line_id=line.line_id, sku=line.sku, quantity=line.quantity) for line in self.lines
            ),
            destination=Destination(
                country=self.country, region=self.region, complete=False, address=NO_ADDRESS
            ),
            method_id=self.method_id,
            pickup_location_id=self.pickup_location_id,
            codes=codes_of(self.coupons),
        )


class Asked(BaseModel):
    """What to quote: a cart of the caller's, or lines."""

    cart_id: UUID | None = Field(None, examples=["0192d1f0-0000-4000-8000-000000000001"])
    of: QuotedLines | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> "Asked":
        if (self.cart_id is None) == (self.of is None):
            raise ValueError("name a cart_id, or lines in of")
        return self


def routes(store: Store, auth: Authenticator, keys: QuoteKeys) -> APIRouter:
    """The route of quotes; `keys` sign them."""
    router = APIRouter(tags=["quotes"])
    anyone = Depends(auth.require(ANYONE))

    @router.post("/quotes", status_code=201)
    async def ask(body: Asked, actor: Actor = anyone) -> Response:
        """Promise what a cart, or some lines, cost: the checkout, and others' commands, take it for half an
        hour, whatever prices are then. Nothing is stored."""
        async with store.session() as session:
            wish, locale = await _wished(session, body, actor)
            prices = await price_list(session, (item.sku for item in wish.items), store.clock())
        return respond(Outcome(body=_signed(wish, locale, prices), status=201))

    def _signed(wish: Wish, locale: str, prices: PriceList) -> dict[str, Any]:
        priced = quote(
            wish.items,
            currency=wish.currency,
            locale=locale,
            destination=wish.destination,
            method_id=wish.method_id,
            pickup=wish.pickup_location_id is not None,
            products=prices.products,
            rules=prices.rules,
            codes=wish.codes,
            coupons=prices.coupons,
        )
        made = promise(wish, priced, policy_version=prices.policy.version, now=prices.now)
        signed = keys.signed(made, wish.currency)
        # Not asdict, which copies every line: it takes longer than all the rest of a long quote.
        return {
            "currency": wish.currency,
            **{field.name: getattr(signed, field.name) for field in fields(signed)},
        }

    return router


async def _wished(session: Session, body: Asked, actor: Actor) -> tuple[Wish, str]:
    """What is to be quoted, and in which language its titles are."""
    if body.of is not None:
        return body.of.wish(), body.of.locale
    assert body.cart_id is not None
    row = await CART_VIEW.find(session, body.cart_id)
    if row is None or not (actor.kind in STAFF or owns(actor, row.cart)):
        raise Rejected("unknown_cart", f"There is no cart {body.cart_id} of yours.")
    return wish_of(body.cart_id, row.cart), row.locale
