"""Stripe as far as the adapter meets it, at the network's edge: strict about what it is sent, with a memory.

It has Stripe's rules that stripe-mock, which remembers nothing, cannot show: amounts that add up, keys that
are forgotten after a day, a search that lags, cards that are declined, and what multicapture allows.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

import httpx

from services.orders.stripe_provider import API_VERSION

KEY = "sk_test_of_the_shop"
LAG = timedelta(seconds=59)
METADATA = r"metadata\[(order_id|intent_id)\]|expand\[0\]"
FORMS = {
    "/v1/customers": METADATA,
    "/v1/payment_intents": rf"amount|currency|capture_method|allowed_payment_method_types\[0\]|customer"
    rf"|setup_future_usage|payment_method|off_session|confirm"
    rf"|payment_method_options\[card\]\[request_multicapture\]|{METADATA}",
    "/v1/payment_intents/capture": r"amount_to_capture|final_capture|expand\[0\]"
    r"|metadata\[capture_[0-9a-f]{32}\]",
    "/v1/payment_intents/cancel": r"expand\[0\]",
    "/v1/refunds": r"payment_intent|amount|metadata\[refund_id\]",
}
CARDS = {
    "4242424242424242": {},
    "4000000000001109": {"multicapture": "unavailable"},
    "4000000000000002": {"decline": "generic_decline"},
    "4100000000000019": {"decline": "fraudulent"},
    "4000000000009235": {"risk": "highest"},
    "4000000000001307": {"alone": "authentication_required"},
    "4000000000000804": {"capture": "card_declined"},
    "4000000000001000": {"refund": "failed"},
}
"""The sandbox provider's test cards, where Stripe can do the same."""


@dataclass(frozen=True)
class Sent:
    """A request as it came."""

    method: str
    path: str
    query: str
    body: str


class Refusal(Exception):  # noqa: N818
    """An error as Stripe writes them; `final` ones are what a key answers from then on."""

    def __init__(self, status: int, code: str, *, final: bool = False, **more: object) -> None:
        super().__init__(code)
        kind = "card_error" if status == 402 else "invalid_request_error"
        kind = "idempotency_error" if code == "idempotency_key_reused" else kind
        self.status, self.final = status, final
        self.body = {"error": {"type": kind, "code": code, "message": f"refused: {code}", **more}}


class FakeStripe:
    """`answers` is the handler of an httpx.MockTransport. `lose`: so many changes are made and not answered,
    those at `lose_at`; `away`: so many requests do not arrive; `fails`: the next answer's status."""

    def __init__(self, clock: Callable[[], datetime], *, allows_multicapture: bool = True) -> None:
        self._clock = clock
        self._allows_multicapture = allows_multicapture
        self._keys: dict[str, tuple[Sent, int, Any, datetime]] = {}
        self._cards: dict[str, str] = {}
        self._ids = 0
        self.intents: dict[str, dict[str, Any]] = {}
        self.charges: dict[str, dict[str, Any]] = {}
        self.refunds: dict[str, dict[str, Any]] = {}
        self.customers: list[str] = []
        self.events: list[bytes] = []
        self.sent: list[Sent] = []
        self.lose = 0
        self.lose_at = "/v1/"
        self.away = 0
        self.fails: int | None = None

    def answers(self, request: httpx.Request) -> httpx.Response:
        sent = Sent(request.method, request.url.path, request.url.query.decode(), request.content.decode())
        assert request.headers["authorization"] == f"Bearer {KEY}"
        assert request.headers["stripe-version"] == API_VERSION
        if self.away:
            self.away -= 1
            raise httpx.ConnectError("nobody there")
        self.sent.append(sent)
        if status := self.fails:
            self.fails = None
            return httpx.Response(status, json={"error": {"type": "api_error", "message": "no"}})
        key = request.headers.get("idempotency-key")
        if request.method == "GET":
            assert key is None
            return self._said(lambda: self._read(sent))
        assert request.headers["content-type"] == "application/x-www-form-urlencoded"
        assert key
        answer = self._once(key, sent)
        if self.lose and sent.path.startswith(self.lose_at):
            self.lose -= 1
            raise httpx.ReadTimeout("the answer was lost")
        return answer

    def _said(self, act: Callable[[], Any]) -> httpx.Response:
        try:
            return httpx.Response(200, json=act())
        except Refusal as refusal:
            return httpx.Response(refusal.status, json=refusal.body)

    def _once(self, key: str, sent: Sent) -> httpx.Response:
        known = self._keys.get(key)
        if known and self._clock() - known[3] < timedelta(hours=24):
            if known[0] != sent:
                return self._said(lambda: self._refuse(400, "idempotency_key_reused"))
            return httpx.Response(known[1], json=known[2], headers={"Idempotent-Replayed": "true"})
        try:
            status, body = 200, self._change(sent)
        except Refusal as refusal:
            status, body = refusal.status, refusal.body
            if not refusal.final:
                return httpx.Response(status, json=body)
        self._keys[key] = (sent, status, json.loads(json.dumps(body)), self._clock())
        return httpx.Response(status, json=body)

    def _refuse(self, status: int, code: str) -> None:
        raise Refusal(status, code)

    def _read(self, sent: Sent) -> Any:
        query = dict(parse_qsl(sent.query))
        match sent.path.split("/")[2:]:
            case ["payment_intents", "search"]:
                assert set(query) == {"query"}
                wanted = re.fullmatch(r"metadata\['intent_id'\]:'([0-9a-f-]{36})'", query["query"])
                assert wanted
                new = self._clock() - LAG
                found = [
                    self._shown(intent)
                    for intent in self.intents.values()
                    if intent["metadata"].get("intent_id") == wanted[1] and intent["made"] < new
                ]
                return {"object": "search_result", "data": found, "has_more": False, "url": sent.path}
            case ["payment_intents", ref]:
                return self._shown(self._intent(ref), expand=query)
            case ["charges", ref]:
                if ref not in self.charges:
                    raise Refusal(404, "resource_missing")
                return self.charges[ref]
            case ["refunds"]:
                assert query["limit"] == "100"
                assert set(query) <= {"payment_intent", "limit", "starting_after"}
                ours = [r for r in self.refunds.values() if r["payment_intent"] == query["payment_intent"]]
                return {"object": "list", "data": ours[::-1], "has_more": False, "url": sent.path}
        raise AssertionError(f"no such resource: {sent.path}")

    def _change(self, sent: Sent) -> Any:
        form = dict(parse_qsl(sent.body, keep_blank_values=True))
        match sent.path.split("/")[2:]:
            case ["customers"]:
                self._check("/v1/customers", form)
                self.customers.append(self._new("cus"))
                return {"id": self.customers[-1], "object": "customer"}
            case ["payment_intents"]:
                self._check("/v1/payment_intents", form)
                return self._create(form)
            case ["payment_intents", ref, "capture"]:
                self._check("/v1/payment_intents/capture", form)
                return self._capture(self._intent(ref), form)
            case ["payment_intents", ref, "cancel"]:
                self._check("/v1/payment_intents/cancel", form)
                return self._cancel(self._intent(ref), form)
            case ["refunds"]:
                self._check("/v1/refunds", form)
                return self._refund(self._intent(form["payment_intent"]), form)
        raise AssertionError(f"no such resource: {sent.path}")

    def _check(self, form_of: str, form: dict[str, str]) -> None:
        strange = [name for name in form if not re.fullmatch(FORMS[form_of], name)]
        assert not strange, f"{form_of} takes no {strange}"

    def _new(self, kind: str) -> str:
        self._ids += 1
        return f"{kind}_{self._ids:06}"

    def _intent(self, ref: str) -> dict[str, Any]:
        if ref not in self.intents:
            raise Refusal(404, "resource_missing")
        return self.intents[ref]

    def _create(self, form: dict[str, str]) -> Any:
        assert form["currency"] == form["currency"].lower()
        step = {"kwd": 10, "isk": 100}.get(form["currency"], 1)
        if int(form["amount"]) % step:
            raise Refusal(400, "invalid_charge_amount_no_decimal_compatible")
        if form["currency"] == "xts":
            raise Refusal(400, "currency_not_supported")
        multicapture = "payment_method_options[card][request_multicapture]" in form
        assert not multicapture or self._allows_multicapture
        ref = self._new("pi")
        self.intents[ref] = intent = {
            "id": ref,
            "object": "payment_intent",
            "amount": int(form["amount"]),
            "amount_capturable": 0,
            "amount_received": 0,
            "currency": form["currency"],
            "capture_method": form["capture_method"],
            "status": "requires_payment_method",
            "client_secret": f"{ref}_secret_{self._new('x')}",
            "customer": form.get("customer"),
            "payment_method": form.get("payment_method"),
            "latest_charge": None,
            "last_payment_error": None,
            "cancellation_reason": None,
            "metadata": {n: form[f"metadata[{n}]"] for n in ("order_id", "intent_id")},
            "keeps_card": form.get("setup_future_usage") == "off_session",
            "multicapture": multicapture,
            "made": self._clock(),
        }
        if form.get("confirm") == "true":
            assert form["off_session"] == "true"
            assert form["customer"] in self.customers
            self._charge(intent, self._cards[form["payment_method"]], alone=True)
        return self._shown(intent, expand=form)

    def pays(self, client_secret: str, number: str) -> None:
        """The buyer's browser confirms."""
        (intent,) = (i for i in self.intents.values() if i["client_secret"] == client_secret)
        if intent["status"] != "requires_payment_method":
            return
        method = self._new("pm")
        self._cards[method] = number
        if intent["keeps_card"]:
            intent["payment_method"] = method
        try:
            self._charge(intent, number)
        except Refusal:
            return

    def _charge(self, intent: dict[str, Any], number: str, *, alone: bool = False) -> None:
        card = CARDS[number]
        declined = card.get("decline") or (card.get("alone") if alone else None)
        if declined:
            intent["last_payment_error"] = {"code": "card_declined", "decline_code": declined}
            self._tell("payment_intent.payment_failed", intent)
            code = "card_declined"
            raise Refusal(
                402, code, final=True, decline_code=declined, payment_intent=self._shown(intent, expand={})
            )
        now = self._clock()
        multicapture = intent["multicapture"] and card.get("multicapture", "available") == "available"
        charge = {
            "id": self._new("ch"),
            "object": "charge",
            "amount": intent["amount"],
            "currency": intent["currency"],
            "captured": intent["capture_method"] == "automatic",
            "created": int(now.timestamp()),
            "status": "succeeded",
            "payment_intent": intent["id"],
            "metadata": dict(intent["metadata"]),
            "billing_details": {"name": "Ada Buyer", "email": "ada@buyer.example"},
            "outcome": {"risk_level": card.get("risk", "normal")},
            "payment_method_details": {
                "type": "card",
                "card": {
                    "brand": "visa",
                    "last4": number[-4:],
                    "exp_month": 11,
                    "exp_year": 2031,
                    "fingerprint": "fingerprint-of-a-card",
                    "capture_before": int((now + timedelta(days=7)).timestamp()),
                    "multicapture": {"status": "available" if multicapture else "unavailable"},
                },
            },
        }
        self.charges[str(charge["id"])] = charge
        intent["latest_charge"], intent["last_payment_error"], intent["card"] = charge["id"], None, card
        self._tell("charge.succeeded", charge)
        if charge["captured"]:
            self._taken(intent, intent["amount"], more=False)
        else:
            intent |= {"status": "requires_capture", "amount_capturable": intent["amount"]}

    def _taken(self, intent: dict[str, Any], amount: int, *, more: bool) -> None:
        intent["amount_received"] += amount
        intent["amount_capturable"] -= amount
        if not more or not intent["amount_capturable"]:
            intent |= {"status": "succeeded", "amount_capturable": 0}
            self._tell("payment_intent.succeeded", intent)

    def _capture(self, intent: dict[str, Any], form: dict[str, str]) -> Any:
        if intent["status"] != "requires_capture":
            raise Refusal(400, "payment_intent_unexpected_state")
        amount = int(form["amount_to_capture"])
        charge = self.charges[intent["latest_charge"]]
        several = charge["payment_method_details"]["card"]["multicapture"]["status"] == "available"
        more = form.get("final_capture", "true") == "false"
        if (more and not several) or (amount == 0 and (more or not intent["amount_received"])):
            raise Refusal(400, "parameter_invalid")
        if amount > intent["amount_capturable"]:
            raise Refusal(400, "amount_too_large")
        if refusal := intent["card"].get("capture"):
            raise Refusal(402, refusal, final=True)
        for name, value in form.items():
            if name.startswith("metadata["):
                intent["metadata"][name[9:-1]] = value
        assert len(intent["metadata"]) <= 50
        self._taken(intent, amount, more=more)
        return self._shown(intent, expand=form)

    def taken_unasked(self, ref: str, amount: int) -> None:
        """Somebody captures in the dashboard."""
        self._taken(self.intents[ref], amount, more=False)

    def lapses(self, ref: str) -> None:
        """The bank's promise runs out."""
        intent = self.intents[ref]
        intent |= {"status": "canceled", "amount_capturable": 0, "cancellation_reason": "automatic"}
        self._tell("payment_intent.canceled", intent)

    def _cancel(self, intent: dict[str, Any], form: dict[str, str]) -> Any:
        if intent["status"] in ("succeeded", "canceled") or intent["amount_received"]:
            raise Refusal(400, "payment_intent_unexpected_state")
        intent |= {"status": "canceled", "amount_capturable": 0}
        self._tell("payment_intent.canceled", intent)
        return self._shown(intent, expand=form)

    def _refund(self, intent: dict[str, Any], form: dict[str, str]) -> Any:
        amount = int(form["amount"])
        before = sum(
            r["amount"]
            for r in self.refunds.values()
            if r["payment_intent"] == intent["id"] and r["status"] != "failed"
        )
        if amount + before > intent["amount_received"]:
            raise Refusal(400, "charge_already_refunded" if before else "amount_too_large")
        refund = {
            "id": self._new("re"),
            "object": "refund",
            "amount": amount,
            "payment_intent": intent["id"],
            "status": intent["card"].get("refund", "succeeded"),
            "metadata": {"refund_id": form["metadata[refund_id]"]},
        }
        self.refunds[str(refund["id"])] = refund
        return refund

    def _shown(self, intent: dict[str, Any], expand: dict[str, str] | None = None) -> Any:
        private = ("keeps_card", "multicapture", "made", "card")
        shown = {name: value for name, value in intent.items() if name not in private}
        if expand and expand.get("expand[0]") == "latest_charge" and intent["latest_charge"]:
            shown["latest_charge"] = self.charges[intent["latest_charge"]]
        return shown

    def _tell(self, kind: str, about: dict[str, Any]) -> None:
        thing = self._shown(about) if about["object"] == "payment_intent" else about
        event = {
            "id": self._new("evt"),
            "object": "event",
            "api_version": API_VERSION,
            "created": int(self._clock().timestamp()),
            "type": kind,
            "data": {"object": thing},
        }
        self.events.append(json.dumps(event).encode())
