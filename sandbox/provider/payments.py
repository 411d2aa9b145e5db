"""The life of a payment intent: created, confirmed by the buyer, captured in parts, cancelled, refunded.

Every change of money is a ledger entry and every change that the shop must hear of is a webhook, written in
the same transaction. For each intent AUTHORIZED = CAPTURED + VOIDED + what is still open, and REFUNDED <=
CAPTURED.
"""

import json
import secrets
from dataclasses import dataclass
from uuid import uuid4

from sandbox.provider.books import Books, card_of, conflict, iso, open_amount
from sandbox.provider.cards import CARDS, Answer
from sandbox.provider.problems import Problem
from sandbox.provider.store import Row, Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Delays:
    """Seconds. `slow`: a slow decision; `late`: a late success or webhook; `hang`: an answer too late;
    `authorization`: how long one holds, `soon`: a short one; `away`: how long a payment cannot be reached."""

    slow: float = 1.0
    late: float = 5.0
    hang: float = 60.0
    authorization: float = 7 * 86400.0
    soon: float = 60.0
    away: float = 5.0


class Payments:
    """Each method that changes something is called inside `store.transaction()`. `now` is Unix time.

    Answers are intents and operations as JSON. A raised Problem means that nothing was changed.
    """

    def __init__(self, store: Store, delays: Delays) -> None:
        self._store = store
        self._delays = delays
        self._books = Books(store, delays.late)

    def create(
        self,
        now: float,
        *,
        amount: int,
        currency: str,
        capture_method: str,
        reference: str,
        metadata: dict[str, str],
        paid_like: str | None = None,
    ) -> Row:
        """A new intent, or the one that has this reference already; 409 if that one asks for other money.

        `paid_like`: another intent whose card pays this one at once, without the buyer.
        """
        wanted = {"amount": amount, "currency": currency, "capture_method": capture_method}
        known = self._store.one("SELECT * FROM intents WHERE reference = ?", reference)
        if known:
            if any(known[name] != value for name, value in wanted.items()):
                raise Problem(409, "reference_taken", f"another intent has the reference {reference}")
            return self._reached(known)
        like = self._books.row(paid_like) if paid_like else None
        intent_id = f"pi_{uuid4().hex}"
        self._store.insert(
            "intents",
            id=intent_id,
            reference=reference,
            client_secret=f"{intent_id}_secret_{secrets.token_hex(12)}",
            metadata=json.dumps(metadata),
            status="requires_payment_method",
            created=now,
            **wanted,
        )
        if like and like["card"]:
            intent = self._books.row(intent_id)
            self._books.change(intent, card=like["card"])
            self._decide(now, intent, anew=True)
        return self.get(intent_id)

    def get(self, intent_id: str) -> Row:
        """The intent with its captures and refunds; 404 if there is none."""
        return self._reached(self._books.row(intent_id))

    def find(self, reference: str | None = None, provider_ref: str | None = None) -> list[Row]:
        """The intent with this reference of the shop, or with this id or a capture's, as none or one."""
        rows = self._store.all(
            "SELECT * FROM intents WHERE reference = ? OR id = ? "
            "OR id = (SELECT intent_id FROM operations WHERE id = ?)",
            reference,
            provider_ref,
            provider_ref,
        )
        return [self._reached(row) for row in rows]

    def _reached(self, intent: Row) -> Row:
        """The intent as callers see it; 503 while it is away."""
        self._reach(intent)
        return self._books.shown(intent)

    def _reach(self, intent: Row) -> None:
        if self._store.one("SELECT 1 FROM due WHERE intent_id = ? AND what = 'back'", intent["id"]):
            raise Problem(503, "try_again", "this payment cannot be reached for a while")

    def confirm(self, now: float, intent_id: str, client_secret: str, number: str) -> Row:
        """The buyer pays with a card. A decline is not an error here: its status tells."""
        intent = self._books.row(intent_id)
        if not secrets.compare_digest(client_secret.encode(), intent["client_secret"].encode()):
            raise Problem(403, "bad_client_secret", "the client secret does not belong to this intent")
        if intent["status"] != "requires_payment_method":
            raise Problem(409, conflict(intent), f"the intent is {intent['status']}")
        card = CARDS.get(number)
        if card is None:
            raise Problem(422, "unknown_test_card", "the sandbox takes only the test cards of its README")
        self._books.change(intent, card=number[-4:], decline_code=None, failed_captures=0, failed_refunds=0)
        match card.answer:
            case Answer.AT_ONCE:
                self._decide(now, intent)
            case Answer.DECIDED_SLOWLY | Answer.NEVER_IN_TIME:
                self._decide_later(intent, now + self._delays.slow)
            case Answer.PENDING:
                self._decide_later(intent, now + self._delays.late)
        if card.away:
            self._store.insert("due", intent_id=intent_id, what="back", at=now + self._delays.away)
        return self._books.shown(self._books.row(intent_id))

    def capture(
        self, now: float, intent_id: str, *, amount: int, final: bool, reference: str | None
    ) -> tuple[Row, Problem | None]:
        """Take part of the authorised money; `final` gives the rest back. One capture for each reference.

        The Problem of a test card is returned, not raised, so that the count of its failures is kept.
        """
        intent = self._books.row(intent_id)
        self._reach(intent)
        if known := self._books.operation(intent, "capture", reference):
            if known["amount"] != amount:
                raise Problem(409, "reference_taken", f"another capture has the reference {reference}")
            return self._books.operation_shown(known), None
        if intent["status"] != "requires_capture":
            raise Problem(409, conflict(intent), f"the intent is {intent['status']}")
        if amount > open_amount(intent):
            left = open_amount(intent)
            raise Problem(422, "exceeds_authorized", f"{left} is left to capture", capturable=left)
        card = card_of(intent)
        if card.capture_refused:
            return {}, Problem(402, "capture_refused", "the bank refuses this capture for good", final=True)
        if intent["failed_captures"] < card.failing_captures:
            self._books.change(intent, failed_captures=intent["failed_captures"] + 1)
            return {}, Problem(503, "try_again", "the bank cannot be reached", final=False)
        done = self._captured(now, intent, amount, reference)
        if (final or not card.multicapture) and open_amount(intent):
            self._voided(now, intent)
        if not open_amount(intent):
            self._books.change(intent, status="succeeded")
        return done, None

    def cancel(self, now: float, intent_id: str) -> Row:
        """Give back what is authorised and open. Impossible while the bank is deciding, or after the end."""
        intent = self._books.row(intent_id)
        self._reach(intent)
        match intent["status"]:
            case "canceled":
                return self._books.shown(intent)
            case "requires_payment_method" | "requires_capture":
                self._close(now, intent, "canceled")
                return self.get(intent_id)
            case _:
                raise Problem(409, conflict(intent), f"the intent is {intent['status']}")

    def refund(
        self, now: float, intent_id: str, *, amount: int, reference: str
    ) -> tuple[Row, Problem | None]:
        """Give captured money back, once for each reference. As with captures, card problems are returned."""
        intent = self._books.row(intent_id)
        self._reach(intent)
        if known := self._books.operation(intent, "refund", reference):
            if known["amount"] != amount:
                raise Problem(409, "reference_taken", f"another refund has the reference {reference}")
            return self._books.operation_shown(known), None
        refundable = intent["amount_captured"] - intent["amount_refunded"]
        if amount > refundable:
            raise Problem(422, "exceeds_refundable", f"{refundable} is left to refund", refundable=refundable)
        card = card_of(intent)
        if card.refund_refused:
            return {}, Problem(402, "refund_refused", "the bank refuses this refund for good", final=True)
        if intent["failed_refunds"] < card.failing_refunds:
            self._books.change(intent, failed_refunds=intent["failed_refunds"] + 1)
            return {}, Problem(503, "try_again", "the bank cannot be reached", final=False)
        done = self._books.operate(now, intent, "refund", amount, reference)
        self._books.change(intent, amount_refunded=intent["amount_refunded"] + amount)
        return self._books.operation_shown(done), None

    def work_off(self, now: float) -> float | None:
        """Decide and expire what is due; the time of the next such thing, if any."""
        for row in self._store.all("SELECT * FROM due WHERE at <= ? ORDER BY at LIMIT 100", now):
            self._store.execute(
                "DELETE FROM due WHERE intent_id = ? AND what = ?", row["intent_id"], row["what"]
            )
            intent = self._books.row(row["intent_id"])
            if row["what"] == "decide":
                self._decide(now, intent)
            elif row["what"] == "expire" and intent["status"] == "requires_capture":
                self._close(now, intent, "expired")
        following = self._store.one("SELECT min(at) AS at FROM due")
        return following["at"] if following else None

    def processing(self) -> int:
        """How many intents wait for a decision."""
        row = self._store.one("SELECT count(*) AS n FROM due WHERE what = 'decide'")
        return int(row["n"]) if row else 0

    def entries(self, after: int, limit: int) -> list[Row]:
        """Ledger entries with a sequence number above `after`, in order."""
        rows = self._store.all("SELECT * FROM ledger WHERE seq > ? ORDER BY seq LIMIT ?", after, limit)
        return [{**row, "at": iso(row["at"])} for row in rows]

    def _decide_later(self, intent: Row, at: float) -> None:
        self._books.change(intent, status="processing")
        self._store.insert("due", intent_id=intent["id"], what="decide", at=at)

    def _decide(self, now: float, intent: Row, *, anew: bool = False) -> None:
        """What the bank says; `anew`: the buyer is not asked."""
        card = card_of(intent)
        decline_code = "authentication_required" if anew and card.needs_the_buyer else card.decline_code
        if decline_code:
            self._books.change(intent, status="requires_payment_method", decline_code=decline_code)
            self._books.tell(now, intent, "declined", intent["amount"])
            return
        soon = card.expires_soon and not anew
        expires_at = now + (self._delays.soon if soon else self._delays.authorization)
        amount = intent["amount"]
        self._books.change(intent, status="requires_capture", amount_authorized=amount, expires_at=expires_at)
        self._books.entry(now, intent, "AUTHORIZED", amount)
        if (card.capture_at_once and not anew) or intent["capture_method"] == "automatic":
            if card.tells_both:
                self._books.tell(now, intent, "authorized", amount)
            self._captured(now, intent, amount, None)
            self._books.change(intent, status="succeeded")
        else:
            self._books.tell(now, intent, "authorized", amount)
            self._store.insert("due", intent_id=intent["id"], what="expire", at=expires_at)

    def _captured(self, now: float, intent: Row, amount: int, reference: str | None) -> Row:
        done = self._books.operate(now, intent, "capture", amount, reference)
        self._books.change(intent, amount_captured=intent["amount_captured"] + amount)
        self._books.tell(now, intent, "captured", amount, done)
        return self._books.operation_shown(done)

    def _voided(self, now: float, intent: Row) -> int:
        amount = open_amount(intent)
        if amount:
            self._books.change(intent, amount_voided=intent["amount_voided"] + amount)
            self._books.entry(now, intent, "VOIDED", amount)
        return amount

    def _close(self, now: float, intent: Row, why: str) -> None:
        amount = self._voided(now, intent)
        self._books.change(intent, status="succeeded" if intent["amount_captured"] else "canceled")
        self._store.execute("DELETE FROM due WHERE intent_id = ?", intent["id"])
        self._books.tell(now, intent, why, amount)
