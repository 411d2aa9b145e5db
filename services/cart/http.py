"""Carts over HTTP: parse, run the command, answer with the whole cart. A buyer sees only their own."""

from collections.abc import Callable
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field, StrictInt, StringConstraints

from services.cart.answers import bought_cart, open_cart
from services.cart.buyers import GUEST_TOKEN_FOR, NEW_GUEST, buyer_of, owns
from services.cart.commands import PriceList, execute, price_list
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
from services.cart.personal_data import AddressFields, ContactFields, PersonalData
from services.cart.readmodels.cart_view import CART_VIEW
from shared.domain import Rejected
from shared.events.cart import CartCheckedOut
from shared.events.envelope import Actor, ActorKind
from shared.service.auth import ANYONE, STAFF, Authenticator, issue
from shared.service.commands import Outcome, require_version, respond, run_command
from shared.service.fields import Currency, Locale, LongText, Sku
from shared.store.store import Store
from shared.store.unit_of_work import UnitOfWork

CUSTOMERS = frozenset({ActorKind.CUSTOMER})

TermsVersion = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$"),
]
MethodId = Annotated[str, StringConstraints(min_length=1, max_length=40, pattern=r"^[^\x00-\x1f\x7f]*$")]


class NewCart(BaseModel):
    """The beginning of a cart; a `cart_id` of the buyer's own makes repeating it safe."""

    cart_id: UUID = Field(default_factory=uuid4)
    currency: Currency
    locale: Locale = "en"


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


class Checkout(BaseModel):
    """Buy at the total (minor units) that the buyer saw; `currency` None: the cart's."""

    expected_total: StrictInt
    currency: Currency | None = None
    terms_version: TermsVersion
    billing: AddressFields | None = None
    create_account: bool = False
    marketing_consent: bool = False
    customer_note: LongText | None = None


Decision = Callable[[Cart, PriceList], CartCommand]
"""The command that a request stands for, given the cart and its prices."""


def routes(store: Store, auth: Authenticator, personal: PersonalData, token_key: str) -> APIRouter:
    """The routes of carts; `token_key` signs the tokens that guests get."""
    router = APIRouter(tags=["carts"])
    customer = Depends(auth.require(CUSTOMERS))
    anyone = Depends(auth.require(ANYONE))

    @router.post("/carts", status_code=201)
    async def start(body: NewCart, request: Request) -> Response:
        """Begin a cart. A caller without a token becomes a guest and gets a `token` for what follows."""
        bearer = auth.actor_of(request)
        async with store.session() as session:
            buyer = await buyer_of(session, bearer)
        token: dict[str, str] = {}
        if bearer is None:
            guest = Actor(ActorKind.CUSTOMER, str(buyer.subject_id))
            token["token"] = issue(token_key, guest, store.clock(), GUEST_TOKEN_FOR)

        async def work(uow: UnitOfWork) -> Outcome:
            cart = await uow.state(CART, body.cart_id)
            if cart is not None and not owns(bearer, cart):
                raise _unknown_cart(body.cart_id)
            prices = await _prices(uow, cart)
            command = StartCart(
                cart_id=body.cart_id,
                customer_id=buyer.customer_id,
                subject_id=buyer.subject_id,
                currency=body.currency,
                locale=body.locale,
                rules=prices.rules,
            )
            await execute(uow, command)
            return await _outcome(uow, body.cart_id, prices, status=201, **token)

        return await run_command(request, store, bearer or NEW_GUEST, work)

    @router.get("/carts/{cart_id}")
    async def cart(cart_id: UUID, actor: Actor = anyone) -> Response:
        """The cart with its prices now, or as it was bought. For its buyer and for staff."""
        async with store.session() as session:
            row = await CART_VIEW.find(session, cart_id)
            if row is None or not (actor.kind in STAFF or owns(actor, row.cart)):
                raise _unknown_cart(cart_id)
            prices = await price_list(session, (item.sku for item in row.items), store.clock())
        return respond(Outcome(body=_seen(row.cart, row.checkout, cart_id, prices), version=row.version))

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

    @router.post("/carts/{cart_id}/checkout", status_code=201)
    async def check_out(cart_id: UUID, body: Checkout, request: Request, actor: Actor = customer) -> Response:
        """Buy the cart. Repeated, it names the same order."""

        def command(cart: Cart, prices: PriceList) -> CheckOut:
            return CheckOut(
                cart_id=cart_id,
                expected_total=body.expected_total,
                currency=body.currency or cart.currency,
                products=prices.products,
                policy=prices.policy,
                terms_version=body.terms_version,
                billing=personal.billing(cart, body.billing),
                create_account=body.create_account,
                marketing_consent=body.marketing_consent,
                customer_note=personal.customer_note(cart, body.customer_note),
            )

        return await _run(request, actor, cart_id, command, status=201)

    async def _run(
        request: Request, actor: Actor, cart_id: UUID, decision: Decision, *, sku: str = "", status: int = 200
    ) -> Response:
        """Decide over the buyer's own cart, at the version that they saw, and show it."""

        async def work(uow: UnitOfWork) -> Outcome:
            cart = await uow.state(CART, cart_id)
            if cart is None or not owns(actor, cart):
                raise _unknown_cart(cart_id)
            require_version(request, uow.version(CART, cart_id))
            prices = await _prices(uow, cart, sku)
            await execute(uow, decision(cart, prices))
            return await _outcome(uow, cart_id, prices, status=status)

        return await run_command(request, store, actor, work, streams=[CART.stream(cart_id)])

    async def _outcome(
        uow: UnitOfWork, cart_id: UUID, prices: PriceList, *, status: int, **more: str
    ) -> Outcome:
        cart = await uow.state(CART, cart_id)
        assert cart is not None
        bought = await _bought(uow, cart, cart_id)
        body = {**_seen(cart, bought, cart_id, prices), **more}
        return Outcome(body=body, version=uow.version(CART, cart_id), status=status)

    def _seen(cart: Cart, bought: CartCheckedOut | None, cart_id: UUID, prices: PriceList) -> dict[str, Any]:
        if bought is None:
            return open_cart(cart_id, cart, prices, personal)
        return bought_cart(cart_id, cart, bought, prices, personal)

    return router


async def _prices(uow: UnitOfWork, cart: Cart | None, sku: str = "") -> PriceList:
    """The prices of what is in the cart, and of one product more."""
    skus = {item.sku for item in cart.items} if cart else set()
    return await price_list(uow.session, skus | {sku}, uow.now)


async def _bought(uow: UnitOfWork, cart: Cart, cart_id: UUID) -> CartCheckedOut | None:
    """What the cart was checked out as, in this unit of work or before; None while it is open."""
    if cart.order_id is None:
        return None
    for event in uow.events:
        if isinstance(event.data, CartCheckedOut) and event.stream == CART.stream(cart_id):
            return event.data
    row = await CART_VIEW.find(uow.session, cart_id)
    return row.checkout if row else None


def _unknown_cart(cart_id: UUID) -> Rejected:
    return Rejected("unknown_cart", f"There is no cart {cart_id} of yours.")
