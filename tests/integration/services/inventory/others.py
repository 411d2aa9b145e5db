"""What orders and returns tell inventory, made up: events and the broker's records of them."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from shared.domain import Sealed, category_of, ids
from shared.domain.ids import MAIN_LOCATION, derive
from shared.events import orders, returns
from shared.events.common import (
    CancelReason,
    Charge,
    Contact,
    Destination,
    Line,
    Totals,
)
from shared.events.envelope import SYSTEM, Recorded, event_id
from shared.events.orders import (
    EditCause,
    NextStep,
    OrderCancelled,
    OrderConfirmed,
    OrderEdited,
    OrderPlaced,
    OrderSource,
    PaymentBasis,
    ProcessingMode,
    ShipmentMethod,
    Shipped,
    ShippedLine,
    SourceKind,
)
from shared.events.registry import Registry
from shared.events.returns import Disposition, ReceivedLine, ReturnReceived
from shared.messaging.cloudevents import to_headers
from shared.messaging.topics import partition_of, topic_of
from shared.store.marks import StoredRecord

REGISTRY = Registry.of(orders, returns)
AT = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
SUBJECT = UUID(int=77)
SECRET = Sealed("v1.x.y.z")
FREE = Charge(method_id="standard", title="Standard", net=0, tax=0, gross=0)
NOTHING = Totals(items_net=0, items_tax=0, shipping_net=0, shipping_tax=0, discount=0, total=0)
Units = tuple[str, int]
"""A sku and a quantity; each is one line of its order."""


@dataclass
class Told:
    """Everything that was told so far, by stream and version."""

    events: list[Recorded[Any]] = field(default_factory=list)
    _versions: Counter[str] = field(default_factory=Counter)

    def say(self, stream: str, data: object) -> StoredRecord:
        """One more event of a stream, as the broker's record."""
        self._versions[stream] += 1
        version = self._versions[stream]
        event = Recorded(
            stream=stream,
            version=version,
            event_id=event_id(1, stream, version),
            type=type(data).__name__,
            schema_version=1,
            occurred_at=AT,
            correlation_id=derive("test-correlation", stream),
            causation_id=None,
            actor=SYSTEM,
            epoch=1,
            data=data,
        )
        self.events.append(event)
        return record_of(event, offset=len(self.events))


def record_of(event: Recorded[Any], offset: int = 0) -> StoredRecord:
    """The record that brings this event."""
    service = {"order": "orders", "return": "returns"}[category_of(event.stream)]
    key = event.stream.encode()
    headers = tuple(to_headers(event, service))
    return StoredRecord(
        topic_of(service), partition_of(key), offset, key, REGISTRY.encode(event.data), headers
    )


@dataclass(frozen=True)
class Order:
    """One order with a line for each of its units; its methods tell its life in any order."""

    told: Told
    name: str
    units: tuple[Units, ...]
    customer_id: UUID | None = None

    @property
    def order_id(self) -> UUID:
        return derive("test-order", self.name)

    @property
    def stream(self) -> str:
        return f"order-{self.order_id}"

    def line_id(self, sku: str) -> UUID:
        return derive("test-line", self.name, sku)

    def placed(self, *, tracked: bool = True) -> StoredRecord:
        contact = Contact(subject_id=SUBJECT, name=SECRET, email=SECRET)
        return self.told.say(
            self.stream,
            OrderPlaced(
                order_number=ids.order_number(self.order_id),
                source=OrderSource(kind=SourceKind.CART, ref_id=derive("test-cart", self.name)),
                customer_id=self.customer_id,
                contact=contact,
                destination=Destination(country="GB", complete=True, address=SECRET),
                lines=tuple(self._line(sku, quantity, tracked) for sku, quantity in self.units),
                shipping=FREE,
                totals=NOTHING,
                currency="GBP",
                locale="en",
                pricing_version=1,
                stock_answer_by=AT,
            ),
        )

    def confirmed(self) -> StoredRecord:
        return self.told.say(
            self.stream,
            OrderConfirmed(
                payment=PaymentBasis.AUTHORIZED,
                mode=ProcessingMode.MANUAL,
                mode_reason="policy",
                next=NextStep.MANUAL,
                process_by=AT,
            ),
        )

    def edited(self, revision: int, *units: Units, tracked: bool = True) -> StoredRecord:
        """From now on these are the order's lines."""
        return self.told.say(
            self.stream,
            OrderEdited(
                edit_id=derive("test-edit", self.name, str(revision)),
                revision=revision,
                cause=EditCause.STAFF,
                lines=tuple(self._line(sku, quantity, tracked) for sku, quantity in units),
                shipping=FREE,
                total_before=0,
                totals=NOTHING,
                raises_stock=tracked,
            ),
        )

    def cancelled(self, *, tracked: bool = True) -> StoredRecord:
        data = OrderCancelled(reason=CancelReason.CUSTOMER, stock_tracked=tracked, revision=0)
        return self.told.say(self.stream, data)

    def shipped(self, parcel: str, *units: Units, tracked: bool = True) -> StoredRecord:
        return self.told.say(
            self.stream,
            Shipped(
                shipment_id=self.shipment_id(parcel),
                fulfillment_id=derive("test-fulfillment", self.name),
                method=ShipmentMethod.CARRIER,
                lines=tuple(
                    ShippedLine(line_id=self.line_id(sku), sku=sku, quantity=quantity, stock_tracked=tracked)
                    for sku, quantity in units
                ),
                estimated_delivery=date(2026, 1, 9),
                last=False,
            ),
        )

    def shipment_id(self, parcel: str) -> UUID:
        return derive("test-shipment", self.name, parcel)

    def came_back(
        self, scan: str, *found: tuple[str, int, Disposition], resolves: UUID | None = None
    ) -> StoredRecord:
        """A scan of the order's one return."""
        return self.told.say(
            f"return-{self.return_id}",
            ReturnReceived(
                order_id=self.order_id,
                receipt_id=self.receipt_id(scan),
                location_id=MAIN_LOCATION,
                lines=tuple(
                    ReceivedLine(
                        line_id=self.line_id(sku), sku=sku, quantity=quantity, disposition=disposition
                    )
                    for sku, quantity, disposition in found
                ),
                resolves_receipt_id=resolves,
                complete=False,
            ),
        )

    @property
    def return_id(self) -> UUID:
        return derive("test-return", self.name)

    def receipt_id(self, scan: str) -> UUID:
        return ids.receipt_id(self.return_id, derive("test-scan", scan))

    def _line(self, sku: str, quantity: int, tracked: bool) -> Line:
        return Line(
            line_id=self.line_id(sku),
            sku=sku,
            title=sku,
            quantity=quantity,
            unit_price=0,
            net=0,
            tax=0,
            gross=0,
            tax_class="standard",
            tax_rate_bp=0,
            stock_tracked=tracked,
        )
