"""The catalogue over HTTP: anyone may read what is sold, staff list products."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, Field, StrictInt

from services.cart.commands import execute
from services.cart.domain.product import (
    PRODUCT,
    DelistProduct,
    Image,
    ListProduct,
    Option,
    ProductDetails,
)
from services.cart.readmodels.products import PRODUCTS, ProductRow, row_of
from shared.domain import Rejected
from shared.events.envelope import Actor
from shared.service.auth import STAFF, Authenticator
from shared.service.commands import Outcome, require_version, respond, run_command
from shared.service.fields import Sku
from shared.store.store import Store
from shared.store.unit_of_work import UnitOfWork

MOST_PRODUCTS = 1000
"""In one request."""


class ProductBody(BaseModel):
    """A catalogue entry: `titles` by locale, `prices` in minor units by currency. Not `active`, it is not
    sold; `attributes` that are left out stay as they are."""

    titles: dict[str, str]
    prices: dict[str, StrictInt]
    compare_at: dict[str, StrictInt] = Field(default_factory=dict)
    active: bool = True
    tax_class: str = "standard"
    digital: bool = False
    preorder_until: date | None = None
    pickup_only: bool = False
    custom: bool = False
    stock_tracked: bool = True
    final_sale: bool = False
    supplier_id: UUID | None = None
    weight_g: StrictInt = 0
    image_url: str | None = None
    limit_quantity_per_checkout: StrictInt | None = None
    handle: str | None = None
    position: StrictInt = 0
    options: tuple[Option, ...] = ()
    images: tuple[Image, ...] = ()
    attributes: dict[str, str] | None = None

    def command(self, sku: str) -> ListProduct:
        """The wish to have it in the catalogue exactly so."""
        fields = {name: getattr(self, name) for name in _DETAILS}
        details = ProductDetails(title=self.titles, attributes=self.attributes or {}, **fields)
        return ListProduct(
            sku=sku,
            details=details,
            prices=self.prices,
            compare_at=self.compare_at,
            active=self.active,
            keep_attributes=self.attributes is None,
        )


_NOT_DETAILS = ("titles", "prices", "compare_at", "active", "attributes")
_DETAILS = tuple(name for name in ProductBody.model_fields if name not in _NOT_DETAILS)


class ListedProduct(ProductBody):
    """A catalogue entry among several."""

    sku: Sku


class Listing(BaseModel):
    """Several catalogue entries, all taken or none; each sku once."""

    products: list[ListedProduct] = Field(min_length=1, max_length=MOST_PRODUCTS)


def routes(store: Store, auth: Authenticator) -> APIRouter:
    """The routes of products."""
    router = APIRouter(tags=["catalogue"])
    staff = Depends(auth.require(STAFF))
    sku_path = Annotated[Sku, Path()]

    @router.put("/products/{sku}")
    async def list_product(
        sku: sku_path, body: ProductBody, request: Request, actor: Actor = staff
    ) -> Response:
        """Have a product in the catalogue exactly so."""
        return await _of_product(request, actor, body.command(sku))

    @router.delete("/products/{sku}")
    async def delist_product(sku: sku_path, request: Request, actor: Actor = staff) -> Response:
        """Stop selling a product; carts that hold it show that it is gone."""
        return await _of_product(request, actor, DelistProduct(sku=sku))

    async def _of_product(request: Request, actor: Actor, command: ListProduct | DelistProduct) -> Response:
        async def work(uow: UnitOfWork) -> Outcome:
            await uow.state(PRODUCT, command.sku)
            require_version(request, uow.version(PRODUCT, command.sku))
            await execute(uow, command)
            row = await _row(uow, command.sku)
            return Outcome(body=_product(row), version=row.version)

        return await run_command(request, store, actor, work)

    @router.post("/products")
    async def list_products(listing: Listing, request: Request, actor: Actor = staff) -> Response:
        """Have several products in the catalogue exactly so, in one transaction."""
        commands = _once_each(listing.products)

        async def work(uow: UnitOfWork) -> Outcome:
            await uow.prefetch(PRODUCT.stream(command.sku) for command in commands)
            for command in commands:
                try:
                    await execute(uow, command)
                except Rejected as refusal:
                    extra = {**refusal.extra, "sku": command.sku}
                    raise Rejected(refusal.code, f"{command.sku}: {refusal.detail}", **extra) from None
            return Outcome(body={"products": [_product(await _row(uow, c.sku)) for c in commands]})

        return await run_command(request, store, actor, work)

    @router.get("/products")
    async def products(
        after: str = "", limit: Annotated[int, Query(ge=1, le=MOST_PRODUCTS)] = 100
    ) -> list[dict[str, Any]]:
        """What is sold, in order of sku; continue with `after` = the last sku."""
        async with store.session() as session:
            rows = await PRODUCTS.query(
                session, "sku > $1 AND active ORDER BY sku LIMIT $2", after.replace("\0", ""), limit
            )
        return [_product(row) for row in rows]

    @router.get("/catalog")
    async def catalog(
        after: str = "", limit: Annotated[int, Query(ge=1, le=MOST_PRODUCTS)] = 100, _actor: Actor = staff
    ) -> Response:
        """Every product, sold or not, with its attributes, as an import takes it; in order of sku, continue
        with `after` = the last sku."""
        async with store.session() as session:
            rows = await PRODUCTS.query(
                session, "sku > $1 ORDER BY sku LIMIT $2", after.replace("\0", ""), limit
            )
        return respond(Outcome(body=[_whole_product(row) for row in rows]))

    @router.get("/products/{sku}")
    async def product(sku: sku_path) -> Response:
        """One product, even if it is not sold any more."""
        async with store.session() as session:
            row = await PRODUCTS.find(session, sku)
        if row is None:
            raise Rejected("unknown_product", f"There is no product {sku}.", sku=sku)
        return respond(Outcome(body=_product(row), version=row.version))

    return router


def _once_each(products: Sequence[ListedProduct]) -> list[ListProduct]:
    commands = {product.sku: product.command(product.sku) for product in products}
    if len(commands) < len(products):
        raise Rejected("invalid_product", "A sku is in the list more than once.", fields=("sku",))
    return list(commands.values())


async def _row(uow: UnitOfWork, sku: str) -> ProductRow:
    state = await uow.state(PRODUCT, sku)
    assert state is not None
    return row_of(state, uow.version(PRODUCT, sku))


def _product(row: ProductRow) -> dict[str, Any]:
    """What anyone may see: attributes may hold what an article costs the shop."""
    product = _whole_product(row)
    del product["attributes"]
    return product


def _whole_product(row: ProductRow) -> dict[str, Any]:
    details = asdict(row.details)
    titles = details.pop("title")
    return {
        "sku": row.sku,
        "titles": titles,
        "prices": row.prices,
        "compare_at": row.compare_at,
        "active": row.active,
        **details,
    }
