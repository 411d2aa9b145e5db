"""Carts over HTTP: parse, run the command, answer with the whole cart. A buyer sees only their own."""

from collections.abc import Callable
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StrictInt, StringConstraints

from services.cart.buyers import GUEST_TOKEN_FOR, NEW_GUEST, buyer_of, owns
from services.cart.commands import PriceList, execute, price_list, uses
from services.cart.domain.cart import (
    CART,
    AddItem,
    CartCommand,
    ChangeQuantity,
    ChooseDelivery,
    RemoveItem,
    StartCart,
)
from services.cart.domain.cart_state import Cart
from services.cart.domain.checkout import CheckOut
from services.cart.domain.choosing_coupons import ChooseCoupons, codes_of
from services.cart.personal_data import AddressFields, ContactFields, PersonalData
from services.cart.readmodels.cart_view import CART_VIEW
from services.cart.reordering import earlier_cart, lines_of, put_in_again
from services.cart.showing import outcome, prices_of, seen, unknown_cart
from shared.events.common import Quote
from shared.events.envelope import Actor, ActorKind
from shared.service.auth import ANYONE, STAFF, Authenticator, issue
from shared.service.commands import Outcome, require_version, respond, run_command
from shared.service.fields import Currency, Locale, LongText, Sku
from shared.service.quotes import QuoteKeys
from shared.store.store import Store
from shared.store.unit_of_work import UnitOfWork

CUSTOMERS = frozenset({ActorKind.CUSTOMER})

TermsVersion = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$"),
]
CouponCode = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=40, pattern=r"^[^\x00-\x1f\x7f]*$")
]
MethodId = Annotated[str, StringConstraints(min_length=1, max_length=40, pattern=r"^[^\x00-\x1f\x7f]*$")]


class NewCart(BaseModel):
    """The beginning of a cart; a `cart_id` of the buyer's own makes repeating it safe.

    `reorder_of` is an order of the same buyer, whose lines are put in again.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"currency": "GBP", "locale": "en-GB"},
                {"currency": "GBP", "reorder_of": "a3f6c1d2-8c7e-5b21-9f40-2d6f0e9b7c55"},
            ]
        }
    )

    cart_id: UUID = Field(default_factory=uuid4)
    currency: Currency
    locale: Locale = "en"
    reorder_of: UUID | None = None


class NewLine(BaseModel):
    """Units of a product; a `line_id` of the buyer's own makes repeating it safe."""

    line_id: UUID = Field(default_factory=uuid4)
    sku: Sku
    quantity: StrictInt
    customization: LongText | None = None


class Quantity(BaseModel):
    """How many units a line should hold."""

    quantity: StrictInt


class Delivery(BaseModel):
    """Who is written to, where the goods go and how; what is left out stays as it was."""

    contact: ContactFields | None = None
    destination: AddressFields | None = None
    method_id: MethodId | None = None


class Coupons(BaseModel):
    """The coupons to have on the cart, all of them: none takes them off again."""

    codes: list[CouponCode] = Field(max_length=20, examples=[["SPRING10"]])


class Checkout(BaseModel):
    """Buy at the total (minor units) that the buyer saw; `currency` None: the cart's."""

    expected_total: StrictInt
    currency: Currency | None = None
    quote: Quote | None = Field(None, description="as POST /quotes gave it: its prices hold")
    terms_version: TermsVersion
    billing: AddressFields | None = None
    create_account: bool = False
    marketing_consent: bool = False
    customer_note: LongText | None = None


Decision = Callable[[Cart, PriceList], CartCommand]
"""The command that a request stands for, given the cart and its prices."""


def routes(
    store: Store, auth: Authenticator, personal: PersonalData, token_key: str, quote_keys: QuoteKeys
) -> APIRouter:
    """The routes of carts; `token_key` signs the tokens that guests get, `quote_keys` what carts cost."""
    router = APIRouter(tags=["carts"])
    customer = Depends(auth.require(CUSTOMERS))
    anyone = Depends(auth.require(ANYONE))

    @router.post("/carts", status_code=201)
    async def start(body: NewCart, request: Request) -> Response:
        """Begin a cart. A caller without a token becomes a guest and gets a `token` for what follows.

        With `reorder_of` it holds what that order had, as far as it is still sold, at today's prices; the
        rest is in `not_taken`, each with the code of its refusal.
        """
        bearer = auth.actor_of(request)
        async with store.session() as session:
            buyer = await buyer_of(session, bearer)
            earlier = (
                await earlier_cart(session, body.reorder_of, bearer) if body.reorder_of is not None else None
            )
        token: dict[str, str] = {}
        if bearer is None:
            guest = Actor(ActorKind.CUSTOMER, str(buyer.subject_id))
            token["token"] = issue(token_key, guest, store.clock(), GUEST_TOKEN_FOR)

        async def work(uow: UnitOfWork) -> Outcome:
            cart = await uow.state(CART, body.cart_id)
            if cart is not None and not owns(bearer, cart):
                raise unknown_cart(body.cart_id)
            again = [line.sku for line in lines_of(earlier)] if earlier else []
            prices = await prices_of(uow, cart, *again)
            command = StartCart(
                cart_id=body.cart_id,
                customer_id=buyer.customer_id,
                subject_id=buyer.subject_id,
                currency=body.currency,
                locale=body.locale,
                reorder_of=body.reorder_of,
                rules=prices.rules,
            )
            await execute(uow, command)
            more: dict[str, Any] = dict(token)
            if earlier is not None and cart is None:
                more["not_taken"] = await put_in_again(uow, body.cart_id, earlier, prices)
            return await outcome(uow, body.cart_id, prices, personal, status=201, **more)

        return await run_command(request, store, bearer or NEW_GUEST, work)

    @router.get("/carts/{cart_id}")
    async def cart(cart_id: UUID, actor: Actor = anyone) -> Response:
        """The cart with its prices now, or as it was bought. For its buyer and for staff."""
        async with store.session() as session:
            row = await CART_VIEW.find(session, cart_id)
            if row is None or not (actor.kind in STAFF or owns(actor, row.cart)):
                raise unknown_cart(cart_id)
            prices = await price_list(session, (item.sku for item in row.items), store.clock())
        body = seen(row.cart, row.checkout, cart_id, prices, personal)
        return respond(Outcome(body=body, version=row.version))

    @router.post("/carts/{cart_id}/lines")
    async def add(cart_id: UUID, body: NewLine, request: Request, actor: Actor = customer) -> Response:
        """Put units of a product into the cart."""

        def command(cart: Cart, prices: PriceList) -> AddItem:
            return AddItem(
                cart_id=cart_id,
                line_id=body.line_id,
                sku=body.sku,
                quantity=body.quantity,
                customization=personal.customization(cart, body.sku, body.customization),
                product=prices.products.get(body.sku),
                availability=prices.availability.get(body.sku),
                rules=prices.rules,
            )

        return await _run(request, actor, cart_id, command, sku=body.sku)

    @router.patch("/carts/{cart_id}/lines/{line_id}")
    async def change_quantity(
        cart_id: UUID, line_id: UUID, body: Quantity, request: Request, actor: Actor = customer
    ) -> Response:
        """Set how many units a line holds."""

        def command(cart: Cart, prices: PriceList) -> ChangeQuantity:
            item = cart.item(line_id)
            return ChangeQuantity(
                cart_id=cart_id,
                line_id=line_id,
                quantity=body.quantity,
                product=prices.products.get(item.sku) if item else None,
                availability=prices.availability.get(item.sku) if item else None,
            )

        return await _run(request, actor, cart_id, command)

    @router.delete("/carts/{cart_id}/lines/{line_id}")
    async def remove(cart_id: UUID, line_id: UUID, request: Request, actor: Actor = customer) -> Response:
        """Take a line out."""
        command = RemoveItem(cart_id=cart_id, line_id=line_id)
        return await _run(request, actor, cart_id, lambda _cart, _prices: command)

    @router.put("/carts/{cart_id}/delivery")
    async def choose_delivery(
        cart_id: UUID, body: Delivery, request: Request, actor: Actor = customer
    ) -> Response:
        """Say who is written to, where the goods go and by which of the `shipping_options`."""

        def command(cart: Cart, prices: PriceList) -> ChooseDelivery:
            return ChooseDelivery(
                cart_id=cart_id,
                contact=personal.contact(cart, body.contact),
                destination=personal.destination(cart, body.destination),
                method_id=body.method_id,
                rules=prices.rules,
            )

        return await _run(request, actor, cart_id, command)

    @router.put("/carts/{cart_id}/coupons")
    async def choose_coupons(
        cart_id: UUID, body: Coupons, request: Request, actor: Actor = customer
    ) -> Response:
        """Have exactly these coupons on the cart."""
        codes = codes_of(body.codes)

        async def work(uow: UnitOfWork) -> Outcome:
            used = await uses(uow, codes)

            def command(cart: Cart, prices: PriceList) -> ChooseCoupons:
                return ChooseCoupons(
                    cart_id=cart_id,
                    codes=codes,
                    products=prices.products,
                    rules=prices.rules,
                    used=used,
                    now=prices.now,
                )

            return await _decided(uow, request, actor, cart_id, command)

        return await run_command(request, store, actor, work, streams=[CART.stream(cart_id)])

    @router.post("/carts/{cart_id}/checkout", status_code=201)
    async def check_out(cart_id: UUID, body: Checkout, request: Request, actor: Actor = customer) -> Response:
        """Buy the cart. Repeated, it names the same order."""

        def command(cart: Cart, prices: PriceList) -> CheckOut:
            if body.quote is not None:
                quote_keys.check(body.quote, cart.currency)
            return CheckOut(
                cart_id=cart_id,
                expected_total=body.expected_total,
                currency=body.currency or cart.currency,
                products=prices.products,
                availability=prices.availability,
                policy=prices.policy,
                quote=body.quote,
                terms_version=body.terms_version,
                billing=personal.billing(cart, body.billing),
                create_account=body.create_account,
                marketing_consent=body.marketing_consent,
                customer_note=personal.customer_note(cart, body.customer_note),
                now=prices.now,
            )

        return await _run(request, actor, cart_id, command, status=201)

    async def _run(
        request: Request, actor: Actor, cart_id: UUID, decision: Decision, *, sku: str = "", status: int = 200
    ) -> Response:
        """Decide over the buyer's own cart, at the version that they saw, and show it."""

        async def work(uow: UnitOfWork) -> Outcome:
            return await _decided(uow, request, actor, cart_id, decision, sku=sku, status=status)

        return await run_command(request, store, actor, work, streams=[CART.stream(cart_id)])

    async def _decided(
        uow: UnitOfWork,
        request: Request,
        actor: Actor,
        cart_id: UUID,
        decision: Decision,
        *,
        sku: str = "",
        status: int = 200,
    ) -> Outcome:
        cart = await uow.state(CART, cart_id)
        if cart is None or not owns(actor, cart):
            raise unknown_cart(cart_id)
        require_version(request, uow.version(CART, cart_id))
        prices = await prices_of(uow, cart, sku)
        await execute(uow, decision(cart, prices))
        return await outcome(uow, cart_id, prices, personal, status=status)

    return router
