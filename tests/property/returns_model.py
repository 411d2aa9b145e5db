"""Returns as on paper: what of one order is where, which return holds it, what was promised for it."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from services.returns.domain.decisions import ProposeGoodwill, ProposeReturnRefund, refund_id
from services.returns.domain.policy import AdoptReturnPolicy, ReturnTerms
from services.returns.domain.refund import ApproveRefund
from services.returns.domain.returnable import NoteOrderFact
from services.returns.domain.returns import (
    ApproveReturn,
    CancelReturn,
    CloseReturn,
    DeclineReturn,
    ReceiveReturn,
    RequestReturn,
)
from shared.events.orders import (
    Delivered,
    OrderCancelled,
    OrderEdited,
    OrderPlaced,
    RefundFailed,
    RefundIssued,
    Shipped,
)
from shared.events.returns import ReceivedLine
from tests.property.machine import ACCEPTED

Paper = dict[str, Any]
Codes = frozenset[str]
FAULTS = {"DEFECTIVE", "NOT_AS_DESCRIBED", "WRONG_ITEM"}


def no(*codes: str) -> Codes:
    """Refused, any of these codes being right."""
    return frozenset(codes)


@dataclass(frozen=True, slots=True)
class Worth:
    """What a receipt is worth, in its parts."""

    goods: int
    goods_tax: int
    shipping: int
    shipping_tax: int
    fee: int
    deduction: int

    @property
    def total(self) -> int:
        return self.goods + self.shipping - self.fee - self.deduction


class NaiveReturns:
    """One order, its returns, and the refunds that they lead to. Money is in pence."""

    def __init__(self) -> None:
        self.policies: list[ReturnTerms] = []
        self.placed = self.cancelled = False
        self.edits = 0
        self.shipping = self.shipping_tax = 0
        self.lines: dict[UUID, Paper] = {}
        self.parcels: set[UUID] = set()
        self.arrived: set[UUID] = set()
        self.returns: dict[UUID, Paper] = {}
        self.receipts: dict[UUID, Paper] = {}
        self.grants: dict[UUID, Paper] = {}

    @property
    def terms(self) -> ReturnTerms:
        """What is promised now."""
        return self.policies[-1]

    def tell(self, command: Any) -> Codes:
        match command:
            case AdoptReturnPolicy():
                return self._adopt(command.terms)
            case NoteOrderFact():
                self._fact(command.fact)
                return ACCEPTED
            case RequestReturn():
                return self._request(command)
            case ProposeReturnRefund():
                return self._propose_for_receipt(command)
            case ProposeGoodwill():
                return self._propose_goodwill(command)
            case ApproveRefund():
                return self._approve_refund(command)
            case _ if command.return_id not in self.returns:
                return no("unknown_return")
        paper = self.returns[command.return_id]
        match command:
            case ApproveReturn():
                return self._approve(paper, command.now)
            case DeclineReturn():
                if paper["status"] == "REQUESTED":
                    self._end(paper, "DECLINED")
                return ACCEPTED if paper["status"] == "DECLINED" else no("not_requested")
            case CancelReturn():
                return self._cancel(paper)
            case ReceiveReturn():
                return self._receive(command.return_id, paper, command)
            case CloseReturn():
                self._close(command.return_id, paper, command.now)
                return ACCEPTED
        raise TypeError(command)

    # The policy

    def _adopt(self, terms: ReturnTerms) -> Codes:
        days = (terms.window_days, terms.answer_days, terms.ship_days, terms.receive_days, terms.refund_days)
        amounts = (terms.return_shipping_fee, terms.dual_control_above)
        bad = (
            not all(0 <= n <= 3650 for n in days),
            terms.receive_days < terms.ship_days,
            not 0 <= terms.restocking_fee_bp <= 10_000,
            any(money.amount < 0 for each in amounts for money in each),
            any(len({money.currency for money in each}) < len(each) for each in amounts),
            not terms.text.en.strip(),
        )
        if any(bad):
            return no("invalid_policy")
        if not self.policies or self.terms != terms:
            self.policies.append(terms)
        return ACCEPTED

    def excluded(self, line_id: UUID, terms: ReturnTerms) -> bool:
        """Whether the policy takes this item back only for a fault."""
        line = self.lines[line_id]
        traits = {"FINAL_SALE": line["final_sale"], "CUSTOM": line["custom"], "DIGITAL": line["digital"]}
        return any(traits.get(e, e == line["sku"]) for e in terms.exclusions)

    # What orders say

    def _fact(self, fact: Any) -> None:
        if isinstance(fact, OrderPlaced):
            if not self.placed:
                self.placed = True
                self._want(fact)
            return
        if not self.placed:
            return
        match fact:
            case OrderEdited(revision=revision) if revision > self.edits:
                self.edits = revision
                self.lines = {}
                self._want(fact)
            case Shipped() if fact.shipment_id not in self.parcels:
                self.parcels.add(fact.shipment_id)
                for line in fact.lines:
                    self.lines[line.line_id]["shipped"] += line.quantity
            case Delivered() if fact.shipment_id not in self.arrived:
                self.arrived.add(fact.shipment_id)
                for unit in fact.lines:
                    paper = self.lines[unit.line_id]
                    paper["delivered"] += unit.quantity
                    paper["at"] = max(paper["at"] or fact.delivered_at, fact.delivered_at)
            case OrderCancelled():
                self.cancelled = True
            case RefundIssued(refund_id=refund) if refund in self.grants:
                self.grants[refund]["money"] = "PAID"
            case RefundFailed(refund_id=refund, retryable=False) if refund in self.grants:
                if self.grants[refund]["money"] == "OPEN":
                    self.grants[refund]["money"] = "UNPAID"

    def _want(self, order: OrderPlaced | OrderEdited) -> None:
        self.shipping, self.shipping_tax = order.shipping.gross, order.shipping.tax
        for line in order.lines:
            self.lines[line.line_id] = {
                "sku": line.sku,
                "ordered": line.quantity,
                "gross": line.gross,
                "tax": line.tax,
                "digital": line.delivery == "DIGITAL",
                "custom": line.customization is not None,
                "final_sale": line.final_sale,
                "shipped": 0,
                "delivered": 0,
                "at": None,
                "paid_back": 0,
            }

    # Returns

    def held(self, line_id: UUID) -> int:
        """Units that returns hold: wished for, on their way, or here."""
        return sum(paper["holds"][line_id] for paper in self.returns.values())

    def _request(self, command: RequestReturn) -> Codes:
        if command.return_id in self.returns:
            return ACCEPTED
        if not self.placed or self.cancelled:
            return no("not_delivered")
        wanted: Counter[UUID] = Counter()
        refusals: set[str] = set()
        for wish in command.lines:
            line = self.lines.get(wish.line_id)
            if line is None or wish.quantity < 1:
                refusals.add("exceeds_returnable")
                continue
            wanted[wish.line_id] += wish.quantity
            if line["at"] is None:
                refusals.add("not_delivered")
            elif command.now > line["at"] + timedelta(days=self.terms.window_days):
                refusals.add("period_ended")
            if self.excluded(wish.line_id, self.terms) and wish.reason not in FAULTS:
                refusals.add("excluded")
        if any(n > self.lines[k]["delivered"] - self.held(k) for k, n in wanted.items()):
            refusals.add("exceeds_returnable")
        if refusals:
            return frozenset(refusals)
        faulty = {wish.line_id for wish in command.lines if wish.reason in FAULTS}
        self.returns[command.return_id] = paper = {
            "status": "REQUESTED",
            "wanted": wanted,
            "holds": Counter(wanted),
            "came": Counter[UUID](),
            "missing": Counter[UUID](),
            "looked_at": {},
            "scans": set(),
            "faulty": faulty,
            "version": len(self.policies),
            "answer_by": command.now + timedelta(days=self.terms.answer_days),
            "receive_by": None,
        }
        if command.auto_approve and not any(self.excluded(line_id, self.terms) for line_id in wanted):
            self._approve(paper, command.now)
        return ACCEPTED

    def policy_of(self, paper: Paper) -> ReturnTerms:
        """The terms under which a return was asked for."""
        version: int = paper["version"]
        return self.policies[version - 1]

    def _approve(self, paper: Paper, now: datetime) -> Codes:
        if paper["status"] == "REQUESTED":
            paper["status"] = "OPEN"
            paper["receive_by"] = now + timedelta(days=self.policy_of(paper).receive_days)
        return ACCEPTED if paper["status"] == "OPEN" else no("not_requested")

    def _end(self, paper: Paper, status: str) -> None:
        """Whatever did not come is free for another return."""
        paper["status"] = status
        paper["holds"] = Counter(paper["came"])

    def _cancel(self, paper: Paper) -> Codes:
        if paper["status"] == "CANCELED":
            return ACCEPTED
        if paper["status"] == "DECLINED":
            return no("not_requested")
        if paper["scans"]:
            return no("already_received")
        self._end(paper, "CANCELED")
        return ACCEPTED

    def awaited(self, paper: Paper) -> Counter[UUID]:
        """Approved units that are not here."""
        return paper["wanted"] - paper["came"] if paper["status"] == "OPEN" else Counter()

    def _receive(self, return_id: UUID, paper: Paper, command: ReceiveReturn) -> Codes:
        if command.receipt_id in paper["scans"]:
            return ACCEPTED
        scanned: Counter[UUID] = Counter()
        for line in command.lines:
            scanned[line.line_id] += line.quantity
        waiting = (
            paper["looked_at"].get(command.resolves, Counter()) if command.resolves else self.awaited(paper)
        )
        undecided = [line for line in command.lines if line.disposition == "PROCESSING_REQUIRED"]
        wrong = any(line.quantity < 1 for line in command.lines) or (command.resolves and undecided)
        if wrong or any(n > waiting[line_id] for line_id, n in scanned.items()):
            return no("exceeds_approved")
        paper["scans"].add(command.receipt_id)
        if command.resolves:
            waiting.subtract(scanned)
        else:
            self._count(paper, command.receipt_id, command.lines)
        self._value(return_id, paper, command.receipt_id, command.lines)
        return ACCEPTED

    def _count(self, paper: Paper, receipt_id: UUID, lines: Iterable[ReceivedLine]) -> None:
        for line in lines:
            key, n = line.line_id, line.quantity
            if line.disposition == "MISSING":
                paper["missing"][key] += n
            else:
                paper["came"][key] += n
            if line.disposition == "PROCESSING_REQUIRED":
                paper["looked_at"].setdefault(receipt_id, Counter())[key] += n
            paper["missing"][key] = min(paper["missing"][key], paper["wanted"][key] - paper["came"][key])

    def complete(self, paper: Paper) -> bool:
        """Everything approved came or is known to be missing, and nothing waits to be looked at."""
        here = all(paper["came"][k] + paper["missing"][k] >= n for k, n in paper["wanted"].items())
        return paper["status"] == "OPEN" and here and not any(+left for left in paper["looked_at"].values())

    def settled(self, return_id: UUID) -> bool:
        """Every receipt that is worth something was paid."""
        return all(
            any(g["receipt"] == key and g["money"] == "PAID" for g in self.grants.values())
            for key, receipt in self.receipts.items()
            if receipt["return"] == return_id and receipt["worth"].total
        )

    def _close(self, return_id: UUID, paper: Paper, now: datetime) -> None:
        overdue = paper["receive_by"] is not None and now >= paper["receive_by"]
        done = self.complete(paper)
        if paper["status"] == "OPEN" and (overdue or (done and self.settled(return_id))):
            self._end(paper, "CLOSED" if done or paper["came"].total() else "CANCELED")

    # Money

    def charged(self) -> int:
        """What the buyer owes for the units that left, shipping with the first of them."""
        shipped = {line_id: line["shipped"] for line_id, line in self.lines.items()}
        return self._up_to(shipped, "gross") + self.shipping if any(shipped.values()) else 0

    def granted(self) -> int:
        """Promised so far: receipts at their worth, or at what was granted for them, and goodwill."""
        proposed = {g["receipt"]: g["amount"] for g in self.grants.values() if g["receipt"]}
        receipts = sum(proposed.get(key, receipt["worth"].total) for key, receipt in self.receipts.items())
        goodwill: int = sum(g["amount"] for g in self.grants.values() if not g["receipt"])
        return int(receipts) + goodwill

    def left(self) -> int:
        """What can still be promised."""
        return max(0, self.charged() - self.granted())

    def _value(self, return_id: UUID, paper: Paper, receipt_id: UUID, lines: Iterable[ReceivedLine]) -> None:
        good, bad = Counter[UUID](), Counter[UUID]()
        for line in lines:
            if line.disposition in {"RESTOCKED", "NOT_RESTOCKED"}:
                (bad if line.line_id in paper["faulty"] else good)[line.line_id] += line.quantity
        if not good and not bad:
            return
        first = all(receipt["return"] != return_id for receipt in self.receipts.values())
        worth = self._worth(good, bad, self.policy_of(paper), first=first)
        for line_id, n in (good + bad).items():
            self.lines[line_id]["paid_back"] += n
        self.receipts[receipt_id] = {"return": return_id, "units": good + bad, "worth": worth}

    def _worth(self, good: Counter[UUID], bad: Counter[UUID], terms: ReturnTerms, *, first: bool) -> Worth:
        """Shares of what was paid; a fault of ours costs no fee and brings its part of the shipping."""
        before = {k: line["paid_back"] for k, line in self.lines.items()}
        faulty = {k: n + bad[k] for k, n in before.items()}
        after = {k: n + good[k] for k, n in faulty.items()}
        goods = self._up_to(after, "gross") - self._up_to(before, "gross")
        unwanted = self._up_to(after, "gross") - self._up_to(faulty, "gross")
        flat = next((m.amount for m in terms.return_shipping_fee if m.currency == "GBP"), 0) if first else 0
        fee = min(unwanted * terms.restocking_fee_bp // 10_000 + flat, unwanted) if good else 0
        counted = after if terms.refund_shipping == "PROPORTIONAL" else faulty
        shipping = self._shipping(self.shipping, "gross", before, counted)
        tax = self._shipping(self.shipping_tax, "tax", before, counted)
        everything = all(after[k] == line["ordered"] for k, line in self.lines.items())
        if terms.refund_shipping == "FULL_RETURN" and everything:
            shipping, tax = self._shipping_left()
        over = max(0, goods + shipping - fee - self.left())
        deduction = min(over, goods - fee)
        if over > deduction:
            kept = shipping - (over - deduction)
            shipping, tax = kept, tax * kept // shipping
        return Worth(
            goods=goods,
            goods_tax=self._up_to(after, "tax") - self._up_to(before, "tax"),
            shipping=shipping,
            shipping_tax=tax,
            fee=fee,
            deduction=deduction,
        )

    def _up_to(self, units: dict[UUID, int], what: str) -> int:
        """The first so many units of each line, at their share of the line."""
        parts: list[int] = [line[what] * units[k] // line["ordered"] for k, line in self.lines.items()]
        return sum(parts)

    def _shipping_left(self) -> tuple[int, int]:
        paid = [receipt["worth"] for receipt in self.receipts.values()]
        return (
            self.shipping - sum(worth.shipping for worth in paid),
            self.shipping_tax - sum(worth.shipping_tax for worth in paid),
        )

    def _shipping(self, amount: int, what: str, before: dict[UUID, int], after: dict[UUID, int]) -> int:
        """Its part by the value of the goods; if they were all free, the whole with the last of them."""
        value = sum(line["gross"] for line in self.lines.values())
        left = self._shipping_left()[what == "tax"]
        if not value:
            return left if all(after[k] == line["ordered"] for k, line in self.lines.items()) else 0
        part: int = (
            amount * self._up_to(after, "gross") // value - amount * self._up_to(before, "gross") // value
        )
        return min(part, left)

    def _propose_for_receipt(self, command: ProposeReturnRefund) -> Codes:
        if not self.placed:
            return no("exceeds_refundable")
        receipt = self.receipts.get(command.receipt_id)
        if receipt is None or not receipt["worth"].total:
            return ACCEPTED
        worth: Worth = receipt["worth"]
        if command.deduction < 0 or worth.fee + worth.deduction + command.deduction > worth.goods:
            return no("exceeds_refundable")
        amount = worth.total - command.deduction
        return self._propose(refund_id(command), amount, command.receipt_id, command.proposed_by)

    def _propose_goodwill(self, command: ProposeGoodwill) -> Codes:
        key = refund_id(command)
        if not self.placed or (key not in self.grants and not 0 < command.amount <= self.left()):
            return no("exceeds_refundable")
        return self._propose(key, command.amount, None, command.proposed_by)

    def _propose(self, key: UUID, amount: int, receipt: UUID | None, proposer: UUID | None) -> Codes:
        if key in self.grants:
            return ACCEPTED if self.grants[key]["amount"] == amount else no("already_proposed")
        if amount < 1:
            return no("exceeds_refundable")
        limit = next((m.amount for m in self.terms.dual_control_above if m.currency == "GBP"), 0)
        people = [proposer] if proposer else []
        alone = amount <= limit and (people or self.terms.auto_refund)
        self.grants[key] = {
            "amount": amount,
            "receipt": receipt,
            "proposer": proposer,
            "people": people,
            "needed": 2 if amount > limit else 1 if people or not self.terms.auto_refund else 0,
            "approved": bool(alone),
            "money": "OPEN",
        }
        return ACCEPTED

    def _approve_refund(self, command: ApproveRefund) -> Codes:
        grant = self.grants.get(command.refund_id)
        if grant is None:
            return no("not_proposed")
        if grant["approved"]:
            return ACCEPTED
        if command.approver == grant["proposer"]:
            return no("same_approver")
        if command.approver not in grant["people"]:
            grant["people"].append(command.approver)
            grant["approved"] = len(grant["people"]) >= grant["needed"]
        return ACCEPTED
