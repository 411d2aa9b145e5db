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
    EditOrder,
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
    RevertEdit,
    SecureEdit,
    SecureStock,
    Ship,
    StartProcessing,
)
from shared.domain import ids
from shared.events.common import Line, PlacedQty, Quote
from shared.events.envelope import ActorKind
from shared.events.orders import HoldReason, RefundCause
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
        self.revision = 0
        self.edit: Paper = {}
        self.edits: set[UUID] = set()
        self.holds: set[UUID] = set()
        self.placed: list[tuple[UUID, UUID, int, int]] = []
        """Line, depot, units, those of them on backorder."""
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

    def kept(self) -> int:
        """What was taken and does not go back because an edit made the order cheaper."""
        back = (refund["amount"] for refund in self.refunds.values() if refund.get("cause") == "EDIT")
        return self.captured("DONE") - int(sum(back))

    def waits(self) -> bool:
        """For stock, be it the first or an edit's."""
        return not self.stock or bool(self.edit.get("waits"))

    def pending(self) -> bool:
        """The last edit may still be taken back."""
        return bool(self.edit and (self.edit["waits"] or self.edit["hold"] in self.holds))

    def certain(self) -> int:
        """What it costs in any case."""
        certain: int = min(self.total, self.edit["before"]["total"]) if self.pending() else self.total
        return certain

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
        being_taken = self.captured("REQUESTED")
        return self.kept() + being_taken + sum(self.usable(i, now) for i in self.intents)

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
        if self.holds and not all(line["shipped"] == line["ordered"] for line in self.lines.values()):
            return "ON_HOLD"
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
        self.lines = {line.line_id: _line(line) for line in checkout.lines}
        if not any(line.stock_tracked for line in checkout.lines):
            self._stock_is_there(command.now)
        return ACCEPTED

    def _secure(self, command: SecureStock) -> Codes:
        if not self.cancelled and not self.stock:
            self.placed = _places(command.placed)
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
        self._recall({*self.lines})
        self.edit, self.holds = {}, set()
        back = sum(self.refundable().values())
        if back:
            removed = [(line_id, line["ever"], "REMOVED") for line_id, line in self.lines.items()]
            self._refund("CANCEL", self.order_id, back, removed)

    def _recall(self, changed: set[UUID]) -> None:
        """Whoever holds work on one of these lines leaves all of it."""
        for job in self.jobs.values():
            if not job["cancelled"] and changed & job["units"].keys():
                job["cancelled"] = True
                for line_id, units in job["units"].items():
                    self.lines[line_id]["requested"] -= units

    def _what_follows(self, now: datetime) -> None:
        """Again and again, until nothing does."""
        before = None
        while before != (before := repr(self.__dict__)):
            self._follow(now)

    def _follow(self, now: datetime) -> None:
        """Confirmed once stock and money are secured, taken what is owed, paid, completed."""
        if self.cancelled:
            return
        if self.gave_up and self.status == "PLACED":
            self._end()
            return
        processing = self.status == "PROCESSING"
        if self.status == "PLACED" and self.stock and self.secured(now) >= self.total:
            self.status = "CONFIRMED"
        self._take(self.owed() - self.kept() - self.captured("REQUESTED"), now)
        done = self.stock and self.kept() >= self.total
        if done and not self.paid and not self.pending():
            self.paid = True
            for intent_id in self.intents:
                if self.held(intent_id):
                    self.intents[intent_id]["let_go"] = self.intents[intent_id]["let_go"] or "REMAINDER"
        self._edit_follows(now)
        if processing and self.delivered() and done:
            self.status = "COMPLETED"

    # Edits

    def _edit(self, command: EditOrder) -> Codes:
        if command.edit_id in self.edits:
            return ACCEPTED
        if refusals := self._not_editable(command):
            return refusals
        quote = command.quote
        self._become(command.edit_id, "STAFF", _content(quote), command.now)
        before = self.edit["before"]["total"]
        if self.total > before and self.total > self.secured(command.now):
            self._hold(command.edit_id)
        return ACCEPTED

    def _not_editable(self, command: EditOrder) -> Codes:
        refusals = set()
        if self.cancelled:
            return no("order_cancelled")
        if self.status == "COMPLETED":
            return no("order_completed")
        if self.status == "PLACED":
            return no("not_confirmed")
        if self.parcels or (command.by is ActorKind.CUSTOMER and self.status == "PROCESSING"):
            refusals.add("already_in_fulfillment")
        if self.pending():
            refusals.add("edit_pending")
        if self.open_intent():
            refusals.add("payment_open")
        if command.now >= command.quote.valid_until:
            refusals.add("quote_expired")
        if not command.quote.lines:
            refusals.add("use_cancel")
        if any(self.lines.get(q.line_id, {"sku": q.sku})["sku"] != q.sku for q in command.quote.lines):
            refusals.add("line_differs")
        return frozenset(refusals)

    def _become(
        self, edit_id: UUID, cause: str, content: Paper, now: datetime, *, refused: bool = False
    ) -> None:
        """Another content; units that are given up are free at once, unless some have to be added."""
        before = {"total": self.total, "shipping": self.shipping, "lines": self.lines}
        hold = self.edit["hold"] if cause == "REVERT" else _hold_id(self.order_id, edit_id)
        after: dict[UUID, Paper] = {}
        changed = {*self.lines}
        raises = False
        for line_id, line in content["lines"].items():
            known = self.lines.get(line_id)
            after[line_id] = {**line, "ever": line["ordered"]}
            if known:
                kept = ("tracked", "shipped", "delivered", "refunded")
                after[line_id] |= {key: known[key] for key in kept}
                after[line_id]["ever"] = max(known["ever"], line["ordered"])
                changed -= {line_id} if known["ordered"] == line["ordered"] else set()
            there = known["ordered"] if known and known["tracked"] else 0
            raises = raises or (after[line_id]["tracked"] and line["ordered"] > there)
        self._recall(changed)
        for line_id, line in after.items():
            line["requested"] = self.lines.get(line_id, {"requested": 0})["requested"]
        self.lines, self.total, self.shipping = after, content["total"], content["shipping"]
        self.revision += 1
        self.edits.add(edit_id)
        waits = raises and not refused
        self.edit = {
            "id": edit_id,
            "cause": cause,
            "hold": hold,
            "before": before,
            "waits": waits,
            "since": now,
            "asked": [],
            "unpaid": False,
        }
        if not waits:
            self.placed = self._still_placed([])
        self.paid = self.paid and self.kept() >= self.total

    def _still_placed(self, added: list[tuple[UUID, UUID, int, int]]) -> list[tuple[UUID, UUID, int, int]]:
        """The first of what was placed, as far as it is wanted besides what was added."""
        wanted = Counter({k: line["ordered"] for k, line in self.lines.items() if line["tracked"]})
        for line_id, _, units, _ in added:
            wanted[line_id] -= units
        still = []
        for line_id, place, units, late in self.placed:
            if (here := min(units, wanted[line_id])) > 0:
                wanted[line_id] -= here
                still.append((line_id, place, here, min(late, here)))
        return [*still, *added]

    def _hold(self, cause: UUID) -> None:
        self.holds.add(_hold_id(self.order_id, cause))

    def _edit_secured(self, command: SecureEdit) -> Codes:
        if self.edit.get("waits") and command.revision == self.revision:
            self.edit["waits"] = False
            self.placed = self._still_placed(_places(command.added))
            dearer = self.total > self.edit["before"]["total"] and self.total > self.secured(command.now)
            if dearer and self.edit["cause"] != "REVERT":
                self.holds.add(self.edit["hold"])
        return ACCEPTED

    def _edit_in_vain(self, command: RevertEdit) -> Codes:
        reverting = self.edit.get("cause") == "REVERT"
        if not self.pending() or (command.refused and not self.edit["waits"]):
            return ACCEPTED
        if reverting and command.refused and command.revision == self.revision - 1:
            self.edit["waits"] = False
        elif command.revision == self.revision:
            if reverting:
                self._end()
            else:
                self._take_back(command.now, refused=command.refused)
        return ACCEPTED

    def _take_back(self, now: datetime, *, refused: bool) -> None:
        edit = self.edit
        for intent_id in edit["asked"]:
            self.intents[intent_id]["let_go"] = "EDIT_REVERTED"
        edit_id = ids.reverting_edit_id(self.order_id, edit["id"])
        self._become(edit_id, "REVERT", edit["before"], now, refused=refused)

    def _edit_follows(self, now: datetime) -> None:
        """Holds end, the balance is asked for, the edit is given up; once it is settled money goes back, and
        what nobody packs is packed."""
        if self.waits():
            return
        paid = self.secured(now) >= self.total
        reverted = {self.edit["hold"]} if self.edit.get("cause") == "REVERT" else set()
        self.holds = set() if paid else self.holds - reverted
        if self.pending():
            missing = self.total - self.secured(now)
            declined = any(self.intents[i]["status"] == "CLOSED" for i in self.edit["asked"])
            if self.edit["unpaid"]:
                self._take_back(now, refused=False)
            elif missing > 0 and not declined and not self.open_intent():
                self._ask("BALANCE", missing, now)
        elif self.edit:
            excess = min(self.kept() - self.total, sum(self.refundable().values()))
            if excess > 0:
                edit_id = self.edit["id"]
                n = sum(r.get("ref") == edit_id for r in self.refunds.values())
                cause = f"EDIT {n + 1}" if n else "EDIT"
                refund_id = ids.refund_id(self.order_id, cause, edit_id, "ORIGINAL")
                self._refund("EDIT", edit_id, excess, [], None, refund_id)
            if self.status == "PROCESSING" and not self.holds:
                self._hand_over()

    # Money in

    def _ask(self, purpose: str, amount: int, now: datetime, replaces: UUID | None = None) -> None:
        orders = [intent for intent in self.intents.values() if intent["purpose"] == "ORDER"]
        window = self.policy.payment_window if purpose == "ORDER" else self.policy.balance_window
        shared = orders[0]["expires"] if orders and purpose == "ORDER" else now + window
        intent_id = ids.intent_id(self.order_id, len(self.intents) + 1)
        if purpose == "BALANCE" and self.pending():
            shared = self._edit_window(now)
            if not self.edit["waits"]:
                self.edit["asked"].append(intent_id)
        self.intents[intent_id] = {
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

    def _edit_window(self, now: datetime) -> datetime:
        """As long as any balance, but over before what is held has to be renewed; half an hour at least."""
        if self.edit["asked"]:
            first: datetime = self.intents[self.edit["asked"][0]]["expires"]
            return first
        held = [i["until"] for key, i in self.intents.items() if self.usable(key, now) and i["until"]]
        early = [until - self.policy.reauthorize_before_expiry for until in held]
        end: datetime = now + self.policy.balance_window
        return min(end, max(min(early, default=end), now + self.policy.payment_window))

    def _request_payment(self, command: RequestPayment) -> Codes:
        refusals = self._not_payable()
        purpose = "ORDER" if self.status == "PLACED" else "BALANCE"
        due = self.total - self.secured(command.now)
        if due <= 0 or self.waits():
            refusals.add("nothing_due")
        tried = [intent for intent in self.intents.values() if intent["purpose"] == purpose]
        too_late = purpose == "ORDER" and tried and command.now >= tried[0]["expires"]
        if self.tried(purpose) >= self.policy.max_payment_attempts or too_late:
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
        due = self.certain() - self.secured(command.now)
        due += self.usable(replaces, command.now) if replaces else 0
        if due <= 0 or self.status == "PLACED":
            refusals.add("nothing_due")
        if self.anew() >= self.policy.max_reauthorizations:
            refusals.add("too_many_attempts")
        if not refusals:
            self._ask("REAUTHORIZATION", due, command.now, replaces)
        return frozenset(refusals)

    def tried(self, purpose: str) -> int:
        """How often money was asked for in this way; what was paid for a balance was no failure."""
        asked = {key: i for key, i in self.intents.items() if i["purpose"] == purpose}
        if purpose == "REAUTHORIZATION":
            return self.anew()
        if purpose == "BALANCE":
            own = self.edit["asked"] if self.pending() else []
            return sum(not i["authorized"] and (not own or key in own) for key, i in asked.items())
        return len(asked)

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
        wanted = intent["status"] == "OPEN" and not intent["let_go"] and not self.cancelled
        intent |= {"status": "AUTHORIZED", "authorized": command.amount}
        if not wanted:
            intent["let_go"] = "LATE"
            return ACCEPTED
        intent |= {"until": command.authorized_until, "multicapture": command.multicapture}
        intent["let_go"] = "REMAINDER" if self.paid else None
        if intent["replaces"]:
            self.intents[intent["replaces"]]["let_go"] = "SUPERSEDED"
        return ACCEPTED

    def _declined(self, command: RecordPaymentDeclined) -> Codes:
        intent = self.intents.get(command.intent_id)
        if intent is None:
            return no("unknown_intent")
        if intent["status"] == "OPEN":
            tried = self.tried(intent["purpose"])
            last = tried >= self.policy.max_payment_attempts or command.now >= intent["expires"]
            self.gave_up = self.gave_up or (last and intent["purpose"] == "ORDER" and not self.cancelled)
            intent["status"] = "CLOSED"
            if last and self.edit and command.intent_id in self.edit["asked"]:
                self.edit["unpaid"] = True
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
        if command.amount > min(usable, self.total - self.kept() - self.captured("REQUESTED")):
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
        asked_for = intent["status"] == "OPEN" and not intent["let_go"]
        room = asked_for or command.amount <= self.usable(command.intent_id, command.now)
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
                missing = self.certain() - self.secured(command.now)
                if missing > 0 and not self.cancelled and not self.open_intent():
                    if any(line["shipped"] < line["ordered"] for line in self.lines.values()):
                        self._hold(command.capture_id)
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
            "cause": cause,
            "ref": ref_id,
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
            removed = line["ever"] - (0 if self.cancelled else line["ordered"])
            caps = {"GOODWILL": None, "REMOVED": removed}
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
        if self.holds:
            return no("on_hold")
        if not self.complete_address or self.waits() or self.secured(command.now) < self.total:
            return no("incomplete")
        self.status = "PROCESSING"
        self._hand_over()
        return ACCEPTED

    def _hand_over(self) -> None:
        """Every place is asked for what it holds and nobody was asked for."""
        for place, units in self._by_place().items():
            here = [job for job in self.jobs.values() if job["place"] == place]
            for job in here:
                if not job["cancelled"]:
                    units.subtract(job["units"])
            wanted: Counter[UUID] = Counter()
            for line_id, quantity in units.items():
                line = self.lines[line_id]
                wanted[line_id] = min(quantity, line["ordered"] - line["requested"])
            if wanted := +wanted:
                key = ids.fulfillment_id(self.order_id, "OWN", str(place or ""), len(here) + 1)
                self.jobs[key] = {"place": place, "units": wanted, "cancelled": False}
                for line_id, quantity in wanted.items():
                    self.lines[line_id]["requested"] += quantity

    def _by_place(self) -> dict[UUID | None, Counter[UUID]]:
        """Each place ships what it holds; what nobody holds goes along with the first."""
        places: dict[UUID | None, Counter[UUID]] = {}
        for line_id, place, units, _ in self.placed:
            places.setdefault(place, Counter())[line_id] += units
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
        self._take(self.owed() - self.kept() - self.captured("REQUESTED"), command.now, parcel_id)
        return ACCEPTED

    def _may_not_leave(self, job_id: UUID, units: Counter[UUID]) -> Codes:
        if self.cancelled:
            return no("order_cancelled")
        if job_id not in self.jobs or self.jobs[job_id]["cancelled"]:
            return no("not_requested")
        refusals = {"on_hold"} if self.holds else set()
        if self.waits():
            refusals.add("stock_not_secured")
        there: Counter[UUID] = Counter()
        for line_id, _, units_here, late in self.placed:
            there[line_id] += units_here - late
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
            if line["tracked"] and line["shipped"] + quantity > there[line_id]:
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


def _hold_id(order_id: UUID, cause: UUID) -> UUID:
    return ids.hold_id(order_id, HoldReason.AWAITING_PAYMENT, cause)


def _content(quote: Quote) -> Paper:
    lines = {line.line_id: _line(line) for line in quote.lines}
    return {"total": quote.totals.total, "shipping": quote.shipping.gross, "lines": lines}


def _line(line: Line) -> Paper:
    counters = dict.fromkeys(("requested", "shipped", "delivered", "refunded"), 0)
    return {
        "sku": line.sku,
        "ordered": line.quantity,
        "ever": line.quantity,
        "gross": line.gross,
        "tracked": line.stock_tracked,
        **counters,
    }


def _places(placed: Iterable[PlacedQty]) -> list[tuple[UUID, UUID, int, int]]:
    return [(p.line_id, p.location_id, p.quantity, p.backordered) for p in placed]


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
    EditOrder: NaiveOrder._edit,
    SecureEdit: NaiveOrder._edit_secured,
    RevertEdit: NaiveOrder._edit_in_vain,
}
