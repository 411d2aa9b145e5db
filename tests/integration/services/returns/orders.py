"""An order of three mugs (10.00 in all) and a lamp on final sale (30.00), as orders tells of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from shared.domain import Sealed, ids
from shared.events.common import (
    Breakdown,
    CancelReason,
    Charge,
    Contact,
    Destination,
    Line,
    Qty,
    RefundLine,
    Totals,
)
from shared.events.envelope import SYSTEM, Recorded, event_id
from shared.events.orders import (
    Delivered,
    DeliveryProof,
    OrderCancelled,
    OrderPlaced,
    OrderSource,
    RefundCause,
    RefundFailed,
    RefundFailureCode,
    RefundIssued,
    ShipmentMethod,
    Shipped,
    ShippedLine,
    SourceKind,
)

SHIPPING = 480
TOTAL = 4480


@dataclass
class Order:
    """The stream of one order; each call adds the event that orders would have told next."""

    customer_id: UUID | None = field(default_factory=uuid4)
    subject_id: UUID = field(default_factory=uuid4)
    order_id: UUID = field(default_factory=uuid4)
    events: list[Recorded[Any]] = field(default_factory=list)
    mugs: UUID = field(default_factory=uuid4)
    lamp: UUID = field(default_factory=uuid4)

    def delivered(self, *, days_ago: float = 1) -> "Order":
        """Placed, and all of it shipped and delivered."""
        return self.placed().shipped().arrived(days_ago=days_ago)

    def placed(self) -> "Order":
        lines = (
            _line(self.mugs, "MUG", 3, gross=1000, tax=167),
            _line(self.lamp, "LAMP", 1, gross=3000, tax=500, final_sale=True),
        )
        return self.tell(
            OrderPlaced(
                order_number=ids.order_number(self.order_id),
                source=OrderSource(kind=SourceKind.CART, ref_id=self.order_id),
                customer_id=self.customer_id,
                contact=Contact(subject_id=self.subject_id, name=Sealed("name"), email=Sealed("email")),
                destination=Destination(country="GB", complete=True, address=Sealed("address")),
                lines=lines,
                shipping=Charge(method_id="standard", title="Standard", net=400, tax=80, gross=SHIPPING),
                totals=Totals(
                    items_net=3333, items_tax=667, shipping_net=400, shipping_tax=80, discount=0, total=TOTAL
                ),
                currency="GBP",
                locale="en",
                pricing_version=1,
                stock_answer_by=datetime.now(UTC),
            )
        )

    @property
    def units(self) -> tuple[Qty, ...]:
        return (Qty(line_id=self.mugs, quantity=3), Qty(line_id=self.lamp, quantity=1))

    @property
    def parcel(self) -> UUID:
        return ids.shipment_id(self.order_id, 1)

    def shipped(self) -> "Order":
        skus = {self.mugs: "MUG", self.lamp: "LAMP"}
        return self.tell(
            Shipped(
                shipment_id=self.parcel,
                fulfillment_id=self.order_id,
                method=ShipmentMethod.CARRIER,
                lines=tuple(
                    ShippedLine(
                        line_id=unit.line_id,
                        sku=skus[unit.line_id],
                        quantity=unit.quantity,
                        stock_tracked=True,
                    )
                    for unit in self.units
                ),
                last=True,
            )
        )

    def arrived(self, *, days_ago: float = 1) -> "Order":
        at = datetime.now(UTC) - timedelta(days=days_ago)
        return self.tell(
            Delivered(shipment_id=self.parcel, lines=self.units, delivered_at=at, proof=DeliveryProof.CARRIER)
        )

    def cancelled(self) -> "Order":
        return self.tell(OrderCancelled(reason=CancelReason.CUSTOMER, stock_tracked=True, revision=0))

    def paid_back(
        self,
        refund: dict[str, Any],
        cause: RefundCause = RefundCause.RETURN,
        lines: Sequence[RefundLine] = (),
    ) -> "Order":
        """Orders carried a refund of the queue out."""
        return self.tell(
            RefundIssued(
                refund_id=UUID(refund["refund_id"]),
                amount=refund["amount"],
                breakdown=Breakdown(**refund["breakdown"]),
                lines=tuple(lines),
                cause=cause,
                ref_id=UUID(refund["source_id"]),
                allocations=(),
            )
        )

    def refund_failed(self, refund: dict[str, Any], *, retryable: bool) -> "Order":
        return self.tell(
            RefundFailed(
                refund_id=UUID(refund["refund_id"]),
                amount=refund["amount"],
                code=RefundFailureCode.PROVIDER_REFUSED,
                retryable=retryable,
                attempt=1,
            )
        )

    def tell(self, data: Any) -> "Order":
        stream, version = f"order-{self.order_id}", len(self.events) + 1
        self.events.append(
            Recorded(
                stream=stream,
                version=version,
                event_id=event_id(1, stream, version),
                type=type(data).__name__,
                schema_version=1,
                occurred_at=datetime.now(UTC),
                correlation_id=self.order_id,
                causation_id=None,
                actor=SYSTEM,
                epoch=1,
                data=data,
            )
        )
        return self


def _line(line_id: UUID, sku: str, quantity: int, *, gross: int, tax: int, final_sale: bool = False) -> Line:
    return Line(
        line_id=line_id,
        sku=sku,
        title=sku.title(),
        quantity=quantity,
        unit_price=gross // quantity,
        net=gross - tax,
        tax=tax,
        gross=gross,
        tax_class="standard",
        tax_rate_bp=2000,
        final_sale=final_sale,
    )
