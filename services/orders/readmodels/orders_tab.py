"""`orders_tab`: the staff's list of orders, newest first. A query over the front columns of `order_view`."""

from dataclasses import dataclass, fields
from datetime import datetime
from uuid import UUID

from pydantic import TypeAdapter

from services.orders.domain import OrderStatus
from services.orders.domain.state import FulfillmentStatus, PaymentStatus
from shared.store.connection import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class OrdersTabRow:
    """One order in the list."""

    order_id: UUID
    order_number: str
    placed_at: datetime
    order_status: OrderStatus
    payment_status: PaymentStatus
    fulfillment_status: FulfillmentStatus
    total: int
    currency: str
    ship_by: datetime | None
    delivered_at: datetime | None


_ROWS = TypeAdapter(list[OrdersTabRow])
_COLUMNS = ", ".join(field.name for field in fields(OrdersTabRow))
_PAGE = f"""
SELECT {_COLUMNS} FROM order_view
WHERE ($1::text IS NULL OR order_status = $1)
  AND ($2::uuid IS NULL
       OR (placed_at, order_id) < (SELECT placed_at, order_id FROM order_view WHERE order_id = $2))
ORDER BY placed_at DESC, order_id DESC LIMIT $3
"""  # noqa: S608 - constant text


async def page(
    connection: Connection, status: OrderStatus | None, after: UUID | None, limit: int
) -> list[OrdersTabRow]:
    """Up to `limit` orders of a status (None: of any) that come after the order `after`."""
    rows = await connection.fetch(_PAGE, status, after, limit)
    return _ROWS.validate_python([dict(row) for row in rows])
