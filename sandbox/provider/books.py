"""The provider's bookkeeping: intents, captures and refunds, the ledger, webhooks to send, and their JSON."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from sandbox.provider.cards import CARDS, Card, label
from sandbox.provider.problems import Problem
from sandbox.provider.store import Row, Store


class Books:
    """Each method is called inside a transaction of the store."""

    def __init__(self, store: Store, late: float) -> None:
        self._store = store
        self._late = late

    def operate(self, now: float, intent: Row, kind: str, amount: int, reference: str | None) -> Row:
        """Write down that money moved: a "capture" or a "refund" and its ledger entry."""
        prefix, entry = {"capture": ("cap", "CAPTURED"), "refund": ("re", "REFUNDED")}[kind]
        operation = {
            "id": f"{prefix}_{uuid4().hex}",
            "intent_id": intent["id"],
            "kind": kind,
            "amount": amount,
            "reference": reference,
            "created": now,
        }
        self._store.insert("operations", **operation)
        self.entry(now, intent, entry, amount, operation)
        return operation

    def operation(self, intent: Row, kind: str, reference: str | None) -> Row | None:
        """The capture or refund that has this reference."""
        return self._store.one(
            "SELECT * FROM operations WHERE intent_id = ? AND kind = ? AND reference = ?",
            intent["id"],
            kind,
            reference,
        )

    def entry(self, now: float, intent: Row, kind: str, amount: int, operation: Row | None = None) -> None:
        """Add a line to the ledger, for one capture or refund or for the intent itself."""
        self._store.insert(
            "ledger",
            kind=kind,
            amount=amount,
            currency=intent["currency"],
            reference=intent["reference"],
            intent_id=intent["id"],
            provider_ref=operation["id"] if operation else intent["id"],
            operation_reference=operation["reference"] if operation else None,
            at=now,
        )

    def tell(self, now: float, intent: Row, what: str, amount: int, capture: Row | None = None) -> None:
        """Store a webhook for the shop; all of its fields are always there."""
        card = card_of(intent)
        self.change(intent, events=intent["events"] + 1)
        event = {
            "id": f"evt_{uuid4().hex}",
            "type": f"payment_intent.{what}",
            "created": iso(now),
            "sequence": intent["events"],
            "intent": intent["id"],
            "reference": intent["reference"],
            "amount": amount,
            "currency": intent["currency"],
            "provider_ref": capture["id"] if capture else intent["id"],
            "capture_reference": capture["reference"] if capture else None,
            "method_label": _label(intent),
            "risk": card.risk,
            "multicapture": card.multicapture,
            "expires_at": iso(intent["expires_at"]),
            "decline_code": intent["decline_code"],
            "metadata": json.loads(intent["metadata"]),
        }
        self._store.insert(
            "webhooks",
            intent_id=intent["id"],
            body=json.dumps(event),
            copies=card.webhook_copies,
            next_at=now + self._late if what in card.late_webhooks else now,
        )

    def row(self, intent_id: str) -> Row:
        """The intent as stored; Problem 404 if there is none."""
        found = self._store.one("SELECT * FROM intents WHERE id = ?", intent_id)
        if not found:
            raise Problem(404, "unknown_intent", f"there is no payment intent {intent_id}")
        return found

    def change(self, intent: Row, **values: object) -> None:
        """Store new values, in `intent` too."""
        self._store.update("intents", {"id": intent["id"]}, **values)
        intent.update(values)

    def shown(self, intent: Row) -> Row:
        """An intent as callers see it."""
        operations = self._store.all(
            "SELECT * FROM operations WHERE intent_id = ? ORDER BY rowid", intent["id"]
        )
        shown = [self.operation_shown(row) for row in operations]
        return {
            "id": intent["id"],
            "reference": intent["reference"],
            "client_secret": intent["client_secret"],
            "status": intent["status"],
            "amount": intent["amount"],
            "currency": intent["currency"],
            "capture_method": intent["capture_method"],
            "amount_authorized": intent["amount_authorized"],
            "amount_capturable": open_amount(intent),
            "amount_captured": intent["amount_captured"],
            "amount_voided": intent["amount_voided"],
            "amount_refunded": intent["amount_refunded"],
            "multicapture": card_of(intent).multicapture,
            "method_label": _label(intent),
            "risk": card_of(intent).risk,
            "decline_code": intent["decline_code"],
            "expires_at": iso(intent["expires_at"]),
            "created": iso(intent["created"]),
            "metadata": json.loads(intent["metadata"]),
            "captures": [each for each in shown if each["kind"] == "capture"],
            "refunds": [each for each in shown if each["kind"] == "refund"],
        }

    def operation_shown(self, row: Row) -> dict[str, Any]:
        """A capture or refund as callers see it."""
        return {
            "id": row["id"],
            "kind": row["kind"],
            "payment_intent": row["intent_id"],
            "amount": row["amount"],
            "reference": row["reference"],
            "status": "succeeded",
            "created": iso(row["created"]),
        }


_BY_LAST_FOUR = {number[-4:]: card for number, card in CARDS.items()}


def card_of(intent: Row) -> Card:
    return _BY_LAST_FOUR.get(intent["card"] or "", Card(about="no card yet"))


def _label(intent: Row) -> str | None:
    return label(intent["card"]) if intent["card"] else None


def open_amount(intent: Row) -> int:
    return int(intent["amount_authorized"] - intent["amount_captured"] - intent["amount_voided"])


def conflict(intent: Row) -> str:
    return f"intent_{intent['status']}"


def iso(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat()
