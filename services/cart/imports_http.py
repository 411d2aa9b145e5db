"""Catalogue imports over HTTP: parts that are checked and set aside, and the request that takes them all."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, Field, StrictInt

from services.cart.catalog_imports import MOST_PARTS, carry_out, check, forget
from services.cart.catalogue_http import MOST_PRODUCTS
from shared.events.envelope import Actor
from shared.service.auth import STAFF, Authenticator
from shared.service.commands import Outcome, cause_of, respond
from shared.store.store import Store


class Part(BaseModel):
    """Some products of an import, each as `POST /products` takes it."""

    products: list[dict[str, Any]] = Field(min_length=1, max_length=MOST_PRODUCTS)


class CarryOut(BaseModel):
    """How many parts the import has, and whether to leave out what was refused of them."""

    parts: StrictInt = Field(ge=1, le=MOST_PARTS)
    skip_bad: bool = False


def routes(store: Store, auth: Authenticator) -> APIRouter:
    """The routes of catalogue imports."""
    router = APIRouter(tags=["catalogue"])
    staff = Depends(auth.require(STAFF))
    number = Annotated[int, Path(ge=0, lt=MOST_PARTS)]

    @router.put("/catalog-imports/{import_id}/parts/{part}")
    async def set_aside(
        import_id: UUID,
        part: number,
        body: Part,
        check_only: Annotated[bool, Query()] = False,
        _actor: Actor = staff,
    ) -> Response:
        """Check a part: what it would come to, and its `faults`. Set aside what can be taken, unless
        `check_only`; nothing changes in the catalogue."""
        checked = await check(store, import_id, part, body.products, keep=not check_only)
        return respond(Outcome(body=checked))

    @router.post("/catalog-imports/{import_id}")
    async def take_all(import_id: UUID, body: CarryOut, request: Request, actor: Actor = staff) -> Response:
        """Take all parts, all or nothing; repeated, the same answer."""
        cause = cause_of(request, actor)
        done = await carry_out(store, cause, import_id, body.parts, skip_bad=body.skip_bad)
        return respond(Outcome(body=done))

    @router.delete("/catalog-imports/{import_id}", status_code=204)
    async def give_up(import_id: UUID, _actor: Actor = staff) -> Response:
        """Drop the parts that were set aside; what was carried out stays."""
        await forget(store, import_id)
        return Response(status_code=204)

    return router
