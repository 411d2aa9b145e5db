"""Inventory over HTTP: parse, run the command, answer. Reading a level is public, the rest is for staff."""

from typing import Annotated, Any
from uuid import UUID, uuid4

import orjson
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, Field, StrictInt

from services.inventory.commands import execute
from services.inventory.domain.ledger import AdjustmentReason
from services.inventory.domain.stock import STOCK_ITEM, AdjustStock, ReceiveStock, SetStockTerms
from services.inventory.readmodels.reservations import RESERVATIONS, ReservationRow
from services.inventory.readmodels.stock_levels import STOCK_LEVELS, StockLevel
from services.inventory.readmodels.stock_movements import STOCK_MOVEMENTS, StockMovement
from shared.domain import Rejected
from shared.domain.ids import MAIN_LOCATION
from shared.events.envelope import Actor
from shared.service.auth import STAFF, Authenticator
from shared.service.commands import Outcome, require_version, respond, run_command
from shared.service.fields import Sku
from shared.store.store import Store
from shared.store.unit_of_work import UnitOfWork


class ReceiptLine(BaseModel):
    """Units of one sku in a delivery."""

    sku: Sku
    quantity: StrictInt


class Receipt(BaseModel):
    """Goods that arrived; sending the same `receipt_id` again counts nothing twice."""

    receipt_id: UUID = Field(default_factory=uuid4)
    lines: list[ReceiptLine] = Field(min_length=1, max_length=10_000)


class Adjustment(BaseModel):
    """A change of what is on hand, with its reason."""

    adjustment_id: UUID = Field(default_factory=uuid4)
    delta: StrictInt
    reason: AdjustmentReason


class Terms(BaseModel):
    """How a sku is sold here."""

    low_threshold: StrictInt = 0
    safety_stock: StrictInt = 0


def routes(store: Store, auth: Authenticator) -> APIRouter:
    """Inventory's routes."""
    router = APIRouter(tags=["inventory"])
    staff = Depends(auth.require(STAFF))
    sku_path = Annotated[Sku, Path()]

    @router.post("/receipts", status_code=201)
    async def receive(receipt: Receipt, request: Request, actor: Actor = staff) -> Response:
        """Count a delivery in."""

        async def work(uow: UnitOfWork) -> Outcome:
            await uow.prefetch(STOCK_ITEM.stream(f"{line.sku}@{MAIN_LOCATION}") for line in receipt.lines)
            for line in _added_up(receipt):
                await execute(
                    uow,
                    ReceiveStock(
                        sku=line.sku,
                        location_id=MAIN_LOCATION,
                        receipt_id=receipt.receipt_id,
                        quantity=line.quantity,
                    ),
                )
            return Outcome(body={"receipt_id": receipt.receipt_id}, status=201)

        return await run_command(request, store, actor, work)

    @router.post("/stock/{sku}/adjustments", status_code=201)
    async def adjust(
        sku: sku_path, adjustment: Adjustment, request: Request, actor: Actor = staff
    ) -> Response:
        """Correct what is on hand."""
        command = AdjustStock(
            sku=sku,
            location_id=MAIN_LOCATION,
            adjustment_id=adjustment.adjustment_id,
            delta=adjustment.delta,
            reason=adjustment.reason,
        )
        return await _of_item(request, actor, sku, command, status=201)

    @router.put("/stock/{sku}/terms")
    async def set_terms(sku: sku_path, terms: Terms, request: Request, actor: Actor = staff) -> Response:
        """Say how much to hold back and when stock is low."""
        command = SetStockTerms(
            sku=sku,
            location_id=MAIN_LOCATION,
            change_id=uuid4(),
            low_threshold=terms.low_threshold,
            safety_stock=terms.safety_stock,
        )
        return await _of_item(request, actor, sku, command, status=200)

    async def _of_item(request: Request, actor: Actor, sku: str, command: Any, *, status: int) -> Response:
        async def work(uow: UnitOfWork) -> Outcome:
            key = f"{sku}@{MAIN_LOCATION}"
            await uow.state(STOCK_ITEM, key)
            require_version(request, uow.version(STOCK_ITEM, key))
            await execute(uow, command)
            item = await uow.state(STOCK_ITEM, key)
            assert item is not None
            body = {"sku": sku, "on_hand": item.on_hand, "available": item.available, "held": item.held}
            return Outcome(body=body, version=uow.version(STOCK_ITEM, key), status=status)

        return await run_command(request, store, actor, work)

    @router.get("/stock")
    async def list_levels(
        after: Annotated[str, Query(max_length=100, pattern=r"^[^\x00]*$")] = "",
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> list[dict[str, Any]]:
        """Stock levels in order of sku; continue with `after` = the last sku."""
        async with store.session() as session:
            rows = await STOCK_LEVELS.query(session, "sku > $1 ORDER BY sku LIMIT $2", after, limit)
        return [_level(row) for row in rows]

    @router.get("/stock/{sku}")
    async def level(sku: sku_path) -> Response:
        """What there is of one sku, its held units split by whether their orders are confirmed."""
        async with (
            store.pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            row = await STOCK_LEVELS.select_one(connection, (sku, MAIN_LOCATION))
            if row is None:
                raise Rejected("unknown_sku", f"No stock of {sku} was ever kept.", sku=sku)
            committed: int = await connection.fetchval(
                "SELECT coalesce(sum((line->>'quantity')::bigint), 0)::bigint FROM reservations, "
                "jsonb_array_elements(held) AS line WHERE confirmed AND held @> $1::jsonb "
                "AND line->>'sku' = $2",
                orjson.dumps([{"sku": sku}]).decode(),
                sku,
            )
        split = {"committed": committed, "reserved": row.held - committed}
        return respond(Outcome(body={**_level(row), **split}, version=row.version))

    @router.get("/stock/{sku}/movements")
    async def movements(
        sku: sku_path, limit: Annotated[int, Query(ge=1, le=1000)] = 100, _actor: Actor = staff
    ) -> list[StockMovement]:
        """The newest lines of a sku's ledger, newest first."""
        async with store.session() as session:
            return await STOCK_MOVEMENTS.query(
                session, "sku = $1 ORDER BY at DESC, movement_id LIMIT $2", sku, limit
            )

    @router.get("/reservations/{order_id}")
    async def reservation(order_id: UUID, _actor: Actor = staff) -> ReservationRow:
        """What is held for an order."""
        async with store.session() as session:
            row = await RESERVATIONS.find(session, order_id)
        if row is None:
            raise Rejected("unknown_reservation", "No stock was ever asked for by this order.")
        return row

    return router


def _added_up(receipt: Receipt) -> list[ReceiptLine]:
    """One line a sku: a receipt counts each sku once."""
    quantities: dict[str, int] = {}
    for line in receipt.lines:
        if line.quantity <= 0:
            raise Rejected("invalid_quantity", f"receive at least 1 unit of {line.sku}", sku=line.sku)
        quantities[line.sku] = quantities.get(line.sku, 0) + line.quantity
    return [ReceiptLine(sku=sku, quantity=quantity) for sku, quantity in quantities.items()]


def _level(row: StockLevel) -> dict[str, Any]:
    return {
        "sku": row.sku,
        "location_id": row.location_id,
        "on_hand": row.on_hand,
        "available": row.available,
        "held": row.held,
        "damaged": row.damaged,
        "quality_control": row.quality_control,
        "safety_stock": row.safety_stock,
        "low": row.available <= row.low_threshold,
    }
