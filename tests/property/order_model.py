"""An order as one would keep it on paper: dicts of plain numbers, and what each message about it changes."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from services.orders.domain import (
    CancelOrder,
    CapturePayment,
    ConfirmDelivery,
    OrderCommand,
    OrderPolicy,
    PlaceOrder,
    Reauthorize,
    RecordCaptureResult,
    RecordPaymentAuthorized,
    RecordPaymentCaptured,
    RecordPaymentDeclined,
    RecordRefundResult,
    RecordVoided,
    RequestPayment,
    RequestRefund,
    RetryRefund,
    SecureStock,
    Ship,
    StartProcessing,
)
from shared.domain import ids
from shared.events.envelope import ActorKind
from shared.events.orders import RefundCause
from tests.property.machine import ACCEPTED

Paper = dict[str, Any]
Codes = frozenset[str]


def no(*codes: str) -> Codes:
    """Refused, any of these codes being right."""
    return frozenset(codes)


class NaiveOrder:
    """`status` is None until the order is placed. Money is in minor units, keys are the derived ids."""

    def __init__(self, order_id: UUID, policy: OrderPolicy) -> None:
        self.order_id = order_id
        self.policy = policy
        self.status: str | None = None
        self.total = self.shipping = 0
        self.complete_address = True
        self.stock = self.paid = self.gave_up = False
        self.last_void: str | None = None
        self.lines: dict[UUID, Paper] = {}
        self.jobs: dict[UUID, Paper] = {}
        self.parcels: dict[UUID, Paper] = {}
        self.intents: dict[UUID, Paper] = {}
        self.captures: dict[UUID, Paper] = {}
        self.refunds: dict[UUID, Paper] = {}

    def tell(self, command: OrderCommand) -> Codes:
        """Note a command; the codes that it may be refused with."""
        if self.status is None and not isinstance(command, PlaceOrder):
            return no("unknown_order")
        before = repr(self.__dict__)
        refusals = _SAYS[type(command)](self, command)
        if not refusals and repr(self.__dict__) != before:
            self._what_follows(command.now)
        return refusals

    # Sums

    @property
    def cancelled(self) -> bool:
        return self.status == "CANCELLED"

    def captured(self, *statuses: str, late: bool = False) -> int:
        return sum(
            c["amount"] for c in self.captures.values() if c["status"] in statuses and c["late"] is late
        )

    def used(self, intent_id: UUID) -> list[Paper]:
        """What was or is being taken of an intent."""
        return [c for c in self.captures.values() if c["intent"] == intent_id and c["status"] != "FAILED"]

    def held(self, intent_id: UUID) -> int:
        """Authorized at the provider and neither taken, being taken nor let go."""
        intent, taken = self.intents[intent_id], sum(c["amount"] for c in self.used(intent_id))
        held: int = intent["authorized"] - intent["voided"] - taken
        return max(0, held)

    def usable(self, intent_id: UUID, now: datetime) -> int:
        """What of it may still be taken; a provider without multicapture takes once."""
        intent = self.intents[intent_id]
        dead = intent["status"] != "AUTHORIZED" or intent["let_go"]
        lapsed = intent["until"] is not None and now >= intent["until"]
        once = not intent["multicapture"] and self.used(intent_id)
        return 0 if dead or lapsed or once else self.held(intent_id)

    def secured(self, now: datetime) -> int:
        return self.captured("DONE", "REQUESTED") + sum(self.usable(i, now) for i in self.intents)

    def open_intent(self) -> bool:
        return any(intent["status"] == "OPEN" for intent in self.intents.values())

    def owed(self) -> int:
        """Shipping with the first parcel, the share of each unit as it leaves, at last the total."""
        if all(line["shipped"] == line["ordered"] for line in self.lines.values()):
            return self.total
        parts = (line["gross"] * line["shipped"] // line["ordered"] for line in self.lines.values())
        return self.shipping + sum(parts) if self.parcels else 0

    def delivered(self) -> bool:
        everything_left = all(line["shipped"] == line["ordered"] for line in self.lines.values())
        return everything_left and all(parcel["delivered"] for parcel in self.parcels.values())

    def paid_back(self) -> int:
        return sum(refund["amount"] for refund in self.refunds.values() if refund["status"] == "ISSUED")

    def payment_axis(self) -> str:
        taken, back = self.captured("DONE") + self.captured("DONE", late=True), self.paid_back()
        if back:
            return "REFUNDED" if back == taken else "PARTIALLY_REFUNDED"
        if taken >= self.total and (self.total or self.paid):
            return "PAID"
        if taken:
            return "PARTIALLY_PAID"
        if self.captured("REQUESTED") or any(self.held(intent_id) for intent_id in self.intents):
            return "AUTHORIZED"
        if self.last_void == "EXPIRED":
            return "EXPIRED"
        return "VOIDED" if self.cancelled or self.last_void else "PENDING"

    def fulfillment_axis(self) -> str:
        if self.parcels:
            if self.delivered():
                return "DELIVERED"
            gone = all(line["shipped"] == line["ordered"] for line in self.lines.values())
            return "FULFILLED" if gone else "PARTIALLY_FULFILLED"
        return "IN_PROGRESS" if any(not job["cancelled"] for job in self.jobs.values()) else "UNFULFILLED"

    # The order axis

    def _place(self, command: PlaceOrder) -> Codes:
        if self.status is not None:
            return ACCEPTED
        checkout = command.checkout
        self.status = "PLACED"
        self.total, self.shipping = checkout.totals.total, checkout.shipping.gross
        self.complete_address = checkout.destination.complete or checkout.pickup_location_id is not None
        for line in checkout.lines:
            counters = dict.fromkeys(("there", "requested", "shipped", "delivered", "refunded"), 0)
            self.lines[line.line_id] = {
                "ordered": line.quantity,
                "gross": line.gross,
                "tracked": line.stock_tracked,
                "placed": Counter[UUID](),
                **counters,
            }
        if not any(line.stock_tracked for line in checkout.lines):
            self._stock_is_there(command.now)
        return ACCEPTED

    def _secure(self, command: SecureStock) -> Codes:
        if not self.cancelled and not self.stock:
            for placed in command.placed:
                line = self.lines[placed.line_id]
                line["there"] += placed.quantity - placed.backordered
                line["placed"][placed.location_id] += placed.quantity
            self._stock_is_there(command.now)
        return ACCEPTED

    def _stock_is_there(self, now: datetime) -> None:
        self.stock = True
        if self.total:
            self._ask("ORDER", self.total, now)

    def _cancel(self, command: CancelOrder) -> Codes:
        if self.cancelled:
            return ACCEPTED
        if self.parcels or self.status == "COMPLETED":
            return no("already_shipped")
        if command.by is ActorKind.CUSTOMER and self.status == "PROCESSING":
            return no("already_processing")
        self._end()
        return ACCEPTED

    def _end(self) -> None:
        self.status = "CANCELLED"
        for job in self.jobs.values():
            job["cancelled"] = True
            for line_id, units in job["units"].items():
                self.lines[line_id]["requested"] -= units
        back = sum(self.refundable().values())
        if back:
            removed = [(line_id, line["ordered"], "REMOVED") for line_id, line in self.lines.items()]
            self._refund("CANCEL", self.order_id, back, removed)

    def _what_follows(self, now: datetime) -> None:
        """Confirmed once stock and money are secured, taken what is owed, paid, completed."""
        if self.cancelled:
            return
        if self.gave_up and self.status == "PLACED":
            self._end()
            return
        processing = self.status == "PROCESSING"
        if self.status == "PLACED" and self.stock and self.secured(now) >= self.total:
            self.status = "CONFIRMED"
        self._take(self.owed() - self.captured("DONE", "REQUESTED"), now)
        done = self.stock and self.captured("DONE") >= self.total
        self.paid = self.paid or done
        if processing and self.delivered() and done:
            self.status = "COMPLETED"

    # Money in

    def _ask(self, purpose: str, amount: int, now: datetime, replaces: UUID | None = None) -> None:
        orders = [intent for intent in self.intents.values() if intent["purpose"] == "ORDER"]
        window = self.policy.payment_window if purpose == "ORDER" else self.policy.balance_window
        shared = orders[0]["expires"] if orders and purpose == "ORDER" else now + window
        self.intents[ids.intent_id(self.order_id, len(self.intents) + 1)] = {
            "purpose": purpose,
            "amount": amount,
            "expires": shared,
            "replaces": replaces,
            "status": "OPEN",
            "authorized": 0,
            "until": None,
            "multicapture": True,
            "voided": 0,
            "let_go": None,
        }

    def _request_payment(self, command: RequestPayment) -> Codes:
        refusals = self._not_payable()
        purpose = "ORDER" if self.status == "PLACED" else "BALANCE"
        due = self.total - self.secured(command.now)
        if due <= 0 or not self.stock:
            refusals.add("nothing_due")
        tried = [intent for intent in self.intents.values() if intent["purpose"] == purpose]
        too_late = purpose == "ORDER" and tried and command.now >= tried[0]["expires"]
        if len(tried) >= self.policy.max_payment_attempts or too_late:
            refusals.add("too_many_attempts")
        if not refusals:
            self._ask(purpose, due, command.now)
        return frozenset(refusals)

    def _reauthorize(self, command: Reauthorize) -> Codes:
        """The oldest money that can still be taken is replaced, and what is missing secured with it."""
        asked = [i for i in self.intents.values() if i["status"] == "OPEN"]
        if asked and asked[0]["purpose"] == "REAUTHORIZATION" and not self.cancelled:
            return ACCEPTED
        refusals = self._not_payable()
        usable = [i for i in self.intents if self.usable(i, command.now)]
        replaces = usable[0] if usable else None
        due = self.total - self.secured(command.now) + (self.usable(replaces, command.now) if replaces else 0)
        if due <= 0 or self.status == "PLACED":
            refusals.add("nothing_due")
        if self.anew() >= self.policy.max_reauthorizations:
            refusals.add("too_many_attempts")
        if not refusals:
            self._ask("REAUTHORIZATION", due, command.now, replaces)
        return frozenset(refusals)

    def anew(self) -> int:
        """How often money was authorized anew, or was to be, and never taken."""
        renewals = [i for i, intent in self.intents.items() if intent["purpose"] == "REAUTHORIZATION"]
        return sum(not self.used(intent_id) for intent_id in renewals)

    def _not_payable(self) -> set[str]:
        cancelled = {"order_cancelled"} if self.cancelled else set()
        return cancelled | ({"payment_open"} if self.open_intent() else set())

    def _authorized(self, command: RecordPaymentAuthorized) -> Codes:
        intent = self.intents.get(command.intent_id)
        if intent is None:
            return no("unknown_intent")
        if intent["authorized"] or any(c["intent"] == command.intent_id for c in self.captures.values()):
            return ACCEPTED
        wanted = intent["status"] == "OPEN" and not self.cancelled
        intent |= {"status": "AUTHORIZED", "authorized": command.amount}
        if not wanted:
            intent["let_go"] = "LATE"
            return ACCEPTED
        intent |= {"until": command.authorized_until, "multicapture": command.multicapture}
        if intent["replaces"]:
            self.intents[intent["replaces"]]["let_go"] = "SUPERSEDED"
        return ACCEPTED

    def _declined(self, command: RecordPaymentDeclined) -> Codes:
        intent = self.intents.get(command.intent_id)
        if intent is None:
            return no("unknown_intent")
        if intent["status"] == "OPEN":
            tried = sum(other["purpose"] == intent["purpose"] for other in self.intents.values())
            if intent["purpose"] == "REAUTHORIZATION":
                tried = self.anew()
            last = tried >= self.policy.max_payment_attempts or command.now >= intent["expires"]
            self.gave_up = self.gave_up or (last and intent["purpose"] == "ORDER" and not self.cancelled)
            intent["status"] = "CLOSED"
        return ACCEPTED

    def _voided(self, command: RecordVoided) -> Codes:
        intent = self.intents.get(command.intent_id)
        if intent is None:
            return no("unknown_intent")
        if rest := self.held(command.intent_id):
            wished = intent["let_go"]
            in_flight = any(c["status"] == "REQUESTED" for c in self.used(command.intent_id))
            if in_flight or not wished:
                wished = "ORDER_CANCELLED" if self.cancelled and not in_flight else "REMAINDER"
            cause = "LATE" if intent["let_go"] == "LATE" else command.cause or wished
            self._let_go(command.intent_id, rest, cause)
        return ACCEPTED

    def _let_go(self, intent_id: UUID, rest: int, cause: str) -> None:
        intent = self.intents[intent_id]
        intent["voided"] += rest
        intent["let_go"] = self.last_void = cause
        intent["status"] = "CAPTURED" if self.used(intent_id) else "VOIDED"

    # Taking it

    def _take(self, amount: int, now: datetime, key: UUID | None = None) -> None:
        """From the oldest intent first."""
        for intent_id in self.intents:
            part = min(amount, self.usable(intent_id, now))
            if part > 0:
                number = 1 + sum(c["intent"] == intent_id for c in self.captures.values())
                self._note_capture(ids.capture_id(intent_id, key or number), intent_id, part, "REQUESTED")
                amount -= part

    def _note_capture(
        self, capture_id: UUID, intent_id: UUID, amount: int, status: str, *, late: bool = False
    ) -> None:
        paper = {"intent": intent_id, "amount": amount, "status": status, "late": late, "failures": 0}
        self.captures[capture_id] = paper

    def _capture(self, command: CapturePayment) -> Codes:
        if {ids.capture_id(i, command.request_id) for i in self.intents} & self.captures.keys():
            return ACCEPTED
        usable = sum(self.usable(i, command.now) for i in self.intents)
        refusals = set()
        if self.cancelled:
            refusals.add("order_cancelled")
        if command.amount <= 0:
            refusals.add("invalid_amount")
        if command.amount > min(usable, self.total - self.captured("DONE", "REQUESTED")):
            refusals.add("exceeds_authorized")
        if not refusals:
            self._take(command.amount, command.now, command.request_id)
        return frozenset(refusals)

    def _captured_unasked(self, command: RecordPaymentCaptured) -> Codes:
        """The provider took money by itself: kept if there is room for it, else it goes back."""
        if command.intent_id not in self.intents:
            return no("unknown_intent")
        intent = self.intents[command.intent_id]
        capture_id = ids.capture_id(command.intent_id, 1)
        if capture_id in self.captures:
            return self._capture_done(capture_id)
        room = intent["status"] == "OPEN" or command.amount <= self.usable(command.intent_id, command.now)
        if room and not self.cancelled:
            if intent["status"] == "OPEN":
                intent |= {"authorized": command.amount, "status": "CAPTURED"}
            self._note_capture(capture_id, command.intent_id, command.amount, "DONE")
            if not self.held(command.intent_id):
                intent["status"] = "CAPTURED"
        else:
            self._came_late(capture_id, command.intent_id, command.amount)
        return ACCEPTED

    def _capture_result(self, command: RecordCaptureResult) -> Codes:
        capture = self.captures.get(command.capture_id)
        if capture is None:
            return no("unknown_capture")
        if command.ok:
            return self._capture_done(command.capture_id)
        final = command.final or self.cancelled
        if capture["status"] == "REQUESTED" and (final or command.attempt == capture["failures"] + 1):
            capture["failures"] += 1
            if final:
                capture["status"] = "FAILED"
                intent = self.intents[capture["intent"]]
                intent["let_go"] = intent["let_go"] or "REMAINDER"
                missing = self.total - self.secured(command.now)
                if missing > 0 and not self.cancelled and not self.open_intent():
                    self._ask("BALANCE", missing, command.now)
        return ACCEPTED

    def _capture_done(self, capture_id: UUID) -> Codes:
        capture = self.captures[capture_id]
        if capture["status"] == "DONE":
            return ACCEPTED
        if self.cancelled or capture["status"] == "FAILED":
            self._came_late(capture_id, capture["intent"], capture["amount"])
            return ACCEPTED
        capture["status"] = "DONE"
        intent, rest = self.intents[capture["intent"]], self.held(capture["intent"])
        if not rest:
            intent["status"] = "CAPTURED"
        elif not intent["multicapture"]:
            self._let_go(capture["intent"], rest, "REMAINDER")
        return ACCEPTED

    def _came_late(self, capture_id: UUID, intent_id: UUID, amount: int) -> None:
        intent = self.intents[intent_id]
        if intent["status"] == "OPEN":
            intent["status"] = "CLOSED"
        self._note_capture(capture_id, intent_id, amount, "DONE", late=True)
        self._refund("LATE_PAYMENT", capture_id, amount, [], {capture_id: amount})

    # Money back

    def refundable(self) -> dict[UUID, int]:
        """What is left of each capture; money that came late only ever goes back as such."""
        left = {
            key: c["amount"] for key, c in self.captures.items() if c["status"] == "DONE" and not c["late"]
        }
        for refund in self.refunds.values():
            for capture_id, amount in refund["over"].items():
                if capture_id in left:
                    left[capture_id] -= amount
        return left

    def _refund(
        self,
        cause: str,
        ref_id: UUID,
        amount: int,
        units: list[tuple[UUID, int, str]],
        over: dict[UUID, int] | None = None,
        refund_id: UUID | None = None,
    ) -> None:
        if over is None:
            over, missing = {}, amount
            for capture_id, left in self.refundable().items():
                if part := min(left, missing):
                    over[capture_id] = part
                    missing -= part
        key = refund_id or ids.refund_id(self.order_id, RefundCause(cause), ref_id, "ORIGINAL")
        self.refunds[key] = {
            "amount": amount,
            "status": "REQUESTED",
            "attempt": 1,
            "again": False,
            "units": units,
            "over": over,
        }

    def _request_refund(self, command: RequestRefund) -> Codes:
        if command.refund_id in self.refunds:
            return ACCEPTED
        if command.amount < 0:
            return no("invalid_amount")
        units = [(line.line_id, line.quantity, str(line.kind)) for line in command.lines]
        refundable = sum(self.refundable().values())
        too_much = command.amount > refundable + self.captured("REQUESTED")
        if too_much or not self._may_pay_back(units):
            dead = {"amount": command.amount, "status": "FAILED", "attempt": 1, "again": False}
            self.refunds[command.refund_id] = {**dead, "units": [], "over": {}, "dead": True}
            return ACCEPTED
        if command.amount > refundable:
            return no("capture_pending")
        self._refund(command.cause, command.ref_id, command.amount, units, None, command.refund_id)
        if not command.amount:
            self._issue(command.refund_id)
        return ACCEPTED

    def _may_pay_back(self, units: list[tuple[UUID, int, str]]) -> bool:
        """Units that left are paid back once, be it as RETURN or CLAIM; REMOVED ones only of what is gone."""
        back: Counter[tuple[UUID, bool]] = Counter()
        for line_id, quantity, kind in [*units, *(u for r in self.refunds.values() for u in r["units"])]:
            if kind != "GOODWILL":
                back[line_id, kind == "REMOVED"] += quantity
        for line_id, quantity, kind in units:
            if quantity < 1 or line_id not in self.lines:
                return False
            line = self.lines[line_id]
            caps = {"GOODWILL": None, "REMOVED": line["ordered"] if self.cancelled else 0}
            cap = caps.get(kind, line["shipped"])
            if cap is not None and back[line_id, kind == "REMOVED"] > cap:
                return False
        return True

    def _issue(self, refund_id: UUID) -> None:
        refund = self.refunds[refund_id]
        refund |= {"status": "ISSUED", "again": False}
        for line_id, quantity, kind in refund["units"]:
            if kind in {"RETURN", "CLAIM"}:
                self.lines[line_id]["refunded"] += quantity

    def _retry(self, command: RetryRefund) -> Codes:
        refund = self.refunds.get(command.refund_id)
        if refund is None:
            return no("unknown_refund")
        if refund["status"] == "REQUESTED":
            return ACCEPTED
        if not refund["again"]:
            return no("refund_settled")
        refund |= {"status": "REQUESTED", "attempt": refund["attempt"] + 1, "again": False}
        return ACCEPTED

    def _refund_result(self, command: RecordRefundResult) -> Codes:
        refund = self.refunds.get(command.refund_id)
        if refund is None:
            return no("unknown_refund")
        if command.ok:
            if refund["status"] != "ISSUED" and "dead" not in refund:
                self._issue(command.refund_id)
        elif refund["status"] == "REQUESTED" and command.attempt in {None, refund["attempt"]}:
            refund |= {"status": "FAILED", "again": refund["attempt"] < self.policy.max_refund_attempts}
        return ACCEPTED

    # Goods

    def _start(self, command: StartProcessing) -> Codes:
        if self.cancelled:
            return no("order_cancelled")
        if self.status == "PLACED":
            return no("not_confirmed")
        if self.status != "CONFIRMED":
            return ACCEPTED
        if not self.complete_address or self.secured(command.now) < self.total:
            return no("incomplete")
        self.status = "PROCESSING"
        for place, units in self._by_place().items():
            job = ids.fulfillment_id(self.order_id, "OWN", str(place or ""), 1)
            self.jobs[job] = {"units": units, "cancelled": False}
            for line_id, quantity in units.items():
                self.lines[line_id]["requested"] += quantity
        return ACCEPTED

    def _by_place(self) -> dict[UUID | None, Counter[UUID]]:
        """Each place ships what it holds; what nobody holds goes along with the first."""
        places: dict[UUID | None, Counter[UUID]] = {}
        for place in dict.fromkeys(p for line in self.lines.values() for p in line["placed"]):
            places[place] = Counter({k: line["placed"][place] for k, line in self.lines.items()})
        for line_id, line in self.lines.items():
            if not line["tracked"]:
                places.setdefault(next(iter(places), None), Counter())[line_id] += line["ordered"]
        return {place: +units for place, units in places.items()}

    def _ship(self, command: Ship) -> Codes:
        units: Counter[UUID] = Counter()
        for line in command.lines:
            units[line.line_id] += line.quantity
        if not units or any(line.quantity <= 0 for line in command.lines):
            return no("invalid_quantity")
        parcel_id = ids.shipment_id(command.fulfillment_id, command.parcel_no)
        if parcel_id in self.parcels:
            return ACCEPTED if self.parcels[parcel_id]["units"] == units else no("parcel_exists")
        if refusals := self._may_not_leave(command.fulfillment_id, units):
            return refusals
        before = {line_id: dict(line) for line_id, line in self.lines.items()}
        self.parcels[parcel_id] = {"job": command.fulfillment_id, "units": units, "delivered": False}
        for line_id, quantity in units.items():
            self.lines[line_id]["shipped"] += quantity
        if self.owed() > self.secured(command.now):
            del self.parcels[parcel_id]
            self.lines = before
            return no("payment_not_secured")
        self._take(self.owed() - self.captured("DONE", "REQUESTED"), command.now, parcel_id)
        return ACCEPTED

    def _may_not_leave(self, job_id: UUID, units: Counter[UUID]) -> Codes:
        if self.cancelled:
            return no("order_cancelled")
        if job_id not in self.jobs:
            return no("not_requested")
        refusals = set()
        left: Counter[UUID] = Counter(self.jobs[job_id]["units"])
        for parcel in self.parcels.values():
            if parcel["job"] == job_id:
                left.subtract(parcel["units"])
        for line_id, quantity in units.items():
            line = self.lines.get(line_id)
            if line is None:
                refusals.add("unknown_line")
                continue
            if quantity > left[line_id]:
                refusals.add("exceeds_ordered")
            if line["tracked"] and line["shipped"] + quantity > line["there"]:
                refusals.add("stock_not_secured")
        return frozenset(refusals)

    def _deliver(self, command: ConfirmDelivery) -> Codes:
        parcel = self.parcels.get(command.shipment_id)
        if parcel is None:
            return no("unknown_shipment")
        if not parcel["delivered"]:
            parcel["delivered"] = True
            for line_id, quantity in parcel["units"].items():
                self.lines[line_id]["delivered"] += quantity
        return ACCEPTED


def units_of(lines: Iterable[Any]) -> Counter[UUID]:
    """Lines with a quantity as a count per line."""
    counted: Counter[UUID] = Counter()
    for line in lines:
        counted[line.line_id] += line.quantity
    return counted


_SAYS: Final[Mapping[type, Callable[[NaiveOrder, Any], Codes]]] = {
    PlaceOrder: NaiveOrder._place,
    SecureStock: NaiveOrder._secure,
    CancelOrder: NaiveOrder._cancel,
    RequestPayment: NaiveOrder._request_payment,
    Reauthorize: NaiveOrder._reauthorize,
    RecordPaymentAuthorized: NaiveOrder._authorized,
    RecordPaymentDeclined: NaiveOrder._declined,
    RecordVoided: NaiveOrder._voided,
    CapturePayment: NaiveOrder._capture,
    RecordPaymentCaptured: NaiveOrder._captured_unasked,
    RecordCaptureResult: NaiveOrder._capture_result,
    RequestRefund: NaiveOrder._request_refund,
    RetryRefund: NaiveOrder._retry,
    RecordRefundResult: NaiveOrder._refund_result,
    StartProcessing: NaiveOrder._start,
    Ship: NaiveOrder._ship,
    ConfirmDelivery: NaiveOrder._deliver,
}
