"""The payment port over HTTP for `sandbox/provider`, whose README is the reference of everything here."""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import UUID

import orjson
from pydantic import AwareDatetime, BaseModel, Field, StringConstraints

from services.orders.psp import BadSignature, Notice, NoticeKind, ProviderIntent, Refused, Standing
from shared.events.common import CaptureMode
from shared.events.orders import DeclineCode, Risk
from shared.service.http_client import HttpClient
from shared.store.worker import Unavailable

TIMEOUT_S = 5.0
TOLERANCE = timedelta(minutes=5)
"""How old or how far ahead a signature may be."""

_STANDING = {
    "requires_payment_method": Standing.UNPAID,
    "processing": Standing.PROCESSING,
    "requires_capture": Standing.AUTHORIZED,
    "succeeded": Standing.CLOSED,
    "canceled": Standing.CLOSED,
}
_UNSETTLED = frozenset({"intent_processing", "idempotency_key_reused", "reference_taken"})
"""Refusals that say nothing about the money: they pass, or a person has to look at them."""
_LASTING = frozenset({402, 409, 422})


def http_client(url: str) -> HttpClient:
    """A client for the provider at `url`; no call takes longer than TIMEOUT_S."""
    return HttpClient(url, timeout_s=TIMEOUT_S)


class SandboxProvider:
    """`public_url` is where buyers reach the provider."""

    def __init__(self, client: HttpClient, public_url: str) -> None:
        self._client = client
        self._public_url = public_url.rstrip("/")

    async def find(self, intent_id: UUID) -> ProviderIntent | None:
        answer = await self._call("GET", "/v1/payment_intents", params={"reference": str(intent_id)})
        return self._intent(answer["data"][0]) if answer["data"] else None

    async def lookup(self, provider_ref: str) -> ProviderIntent | None:
        answer = await self._call("GET", "/v1/payment_intents", params={"provider_ref": provider_ref})
        return self._intent(answer["data"][0]) if answer["data"] else None

    async def create(
        self,
        intent_id: UUID,
        order_id: UUID,
        amount: int,
        currency: str,
        capture: CaptureMode,
        key: str,
        *,
        paid_like: str | None = None,
    ) -> ProviderIntent:
        wish: dict[str, Any] = {
            "amount": amount,
            "currency": currency,
            "reference": str(intent_id),
            "capture_method": "automatic" if capture is CaptureMode.NOW else "manual",
            "metadata": {"order_id": str(order_id)},
        }
        if paid_like:
            wish["paid_like"] = paid_like
        return self._intent(await self._call("POST", "/v1/payment_intents", key, json=wish))

    async def cancel(self, intent: ProviderIntent, key: str) -> ProviderIntent:
        return self._intent(await self._call("POST", f"/v1/payment_intents/{intent.ref}/cancel", key))

    async def capture(self, intent: ProviderIntent, capture_id: UUID, amount: int, key: str) -> str:
        wish = {"amount": amount, "reference": str(capture_id)}
        done = await self._call("POST", f"/v1/payment_intents/{intent.ref}/capture", key, json=wish)
        return str(done["id"])

    async def refund(self, intent: ProviderIntent, refund_id: UUID, amount: int, key: str) -> str:
        wish = {"payment_intent": intent.ref, "amount": amount, "reference": str(refund_id)}
        done = await self._call("POST", "/v1/refunds", key, json=wish)
        return str(done["id"])

    async def _call(self, method: str, path: str, key: str | None = None, **request: Any) -> Any:
        try:
            status, body = await self.send(method, path, key, **request)
        except (OSError, TimeoutError, ValueError) as error:
            raise Unavailable(f"{method} {path}: {type(error).__name__}") from error
        if 200 <= status < 300:
            return body
        code = str(body.get("code", status))
        if status not in _LASTING or code in _UNSETTLED:
            raise Unavailable(f"{method} {path}: {code}")
        raise Refused(code, str(body.get("detail", "")))

    async def send(
        self,
        method: str,
        path: str,
        key: str | None,
        *,
        params: Mapping[str, str] | None = None,
        json: object = None,
    ) -> tuple[int, Any]:
        """One request; gives its status and its JSON. Raises OSError, TimeoutError or ValueError."""
        headers = {"Idempotency-Key": key} if key else {}
        content = b""
        if json is not None:
            headers["Content-Type"] = "application/json"
            content = orjson.dumps(json)
        query = f"?{urlencode(params)}" if params else ""
        answer = await self._client.request(method, path + query, headers=headers, body=content)
        return answer.status, orjson.loads(answer.body)

    def _intent(self, body: Mapping[str, Any]) -> ProviderIntent:
        until = body["expires_at"]
        unasked = [each for each in body["captures"] if each["reference"] is None]
        return ProviderIntent(
            ref=body["id"],
            intent_id=_uuid(body["reference"]),
            standing=_STANDING[body["status"]],
            amount=body["amount"],
            currency=body["currency"],
            authorized=body["amount_authorized"],
            captured=body["amount_captured"],
            client_secret=body["client_secret"],
            confirm_url=f"{self._public_url}/v1/payment_intents/{body['id']}/confirm",
            method_label=body["method_label"] or "",
            risk=Risk(body["risk"]),
            multicapture=body["multicapture"],
            authorized_until=datetime.fromisoformat(until) if until else None,
            captures=_by_reference(body["captures"]),
            refunds=_by_reference(body["refunds"]),
            unasked=(unasked[0]["id"], unasked[0]["amount"]) if unasked else None,
            declined=_decline(body["decline_code"]),
        )


def _by_reference(operations: Sequence[Mapping[str, Any]]) -> dict[UUID, str]:
    """The operations that were made under an id of ours."""
    made = {_uuid(each["reference"]): each["id"] for each in operations}
    return {ours: theirs for ours, theirs in made.items() if ours}


def _decline(code: str | None) -> DeclineCode | None:
    if code is None:
        return None
    return DeclineCode.FRAUD if code == "fraudulent" else DeclineCode.DECLINED


_Text = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00]*$")]
FAR_OUT = 10**15
"""No order costs more minor units than this."""


class _Webhook(BaseModel):
    id: Annotated[_Text, Field(min_length=1)]
    type: _Text
    reference: _Text
    amount: int = Field(ge=0, le=FAR_OUT)
    currency: Annotated[str, StringConstraints(pattern="^[A-Z]{3}$")]
    provider_ref: _Text
    capture_reference: _Text | None
    method_label: _Text | None
    risk: Risk
    multicapture: bool
    expires_at: AwareDatetime | None
    decline_code: _Text | None
    metadata: dict[str, str]


class SandboxWebhooks:
    """Reads the provider's webhooks; while a secret is exchanged both `secrets` are good."""

    signature_header = "Provider-Signature"

    def __init__(self, secrets: Sequence[str]) -> None:
        self._secrets = tuple(secrets)

    def verify(self, signature: str, body: bytes, now: datetime) -> None:
        parts = [part.strip().partition("=") for part in signature.split(",")]
        times = [value for name, _, value in parts if name == "t"]
        given = [value for name, _, value in parts if name == "v1"]
        if len(times) != 1 or not times[0].isascii() or not times[0].isdigit() or len(times[0]) > 12:
            raise BadSignature("the signature has no time")
        if abs(now.timestamp() - int(times[0])) > TOLERANCE.total_seconds():
            raise BadSignature("the signature is too old")
        signed = times[0].encode() + b"." + body
        good = [hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest() for secret in self._secrets]
        if not any(hmac.compare_digest(a.encode(), b.encode()) for a in good for b in given):
            raise BadSignature("the signature is not the provider's")

    def read(self, body: bytes) -> Notice:
        webhook = _Webhook.model_validate_json(body)
        kind = webhook.type.removeprefix("payment_intent.").upper()
        return Notice(
            notice_id=webhook.id,
            kind=NoticeKind(kind) if kind in NoticeKind.__members__ else None,
            order_id=_uuid(webhook.metadata.get("order_id")),
            intent_id=_uuid(webhook.reference),
            claimed_order=_claim(webhook.metadata.get("order_id")),
            amount=webhook.amount,
            currency=webhook.currency,
            provider_ref=webhook.provider_ref,
            capture_id=_uuid(webhook.capture_reference),
            method_label=webhook.method_label or "",
            risk=webhook.risk,
            multicapture=webhook.multicapture,
            authorized_until=webhook.expires_at,
            decline=_decline(webhook.decline_code) or DeclineCode.DECLINED,
        )

    def kept(self, body: bytes) -> str:
        return body.decode()


def _claim(text: str | None) -> str | None:
    """What somebody else may have written there, as far as it can be kept."""
    return text and text.replace("\x00", "")[:100]


def _uuid(text: str | None) -> UUID | None:
    """The id that a text is, None if it is none."""
    try:
        return UUID(text or "")
    except ValueError:
        return None
