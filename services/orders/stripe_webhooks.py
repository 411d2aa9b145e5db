"""Understands Stripe's webhooks: signatures are checked on the raw bytes, and of an event only what is needed
is read and stored, so nothing of cards or persons is."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

import stripe
from pydantic import BaseModel, BeforeValidator, Field, StringConstraints, TypeAdapter

from services.orders.psp import BadSignature, Notice, NoticeKind
from services.orders.stripe_amounts import from_stripe
from services.orders.stripe_provider import CAPTURE, captured_under, decline, label, risk, uuid_or_none
from shared.events.orders import DeclineCode, Risk

TOLERANCE = timedelta(minutes=5)
"""How old or how far ahead a signature may be."""
FAR_OUT = 10**15
"""No payment counts more of Stripe's units than this."""
LAPSED = frozenset({"automatic", "expired"})

_Text = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00]*$")]
_Amount = Annotated[int, Field(ge=0, le=FAR_OUT)]


def _ours(metadata: object) -> object:
    """Of what hangs on a payment the names that this shop writes; anybody may have written others."""
    if not isinstance(metadata, Mapping):
        return {}
    return {
        name: value.replace("\x00", "")[:100]
        for name, value in metadata.items()
        if isinstance(name, str) and isinstance(value, str)
        if name in ("order_id", "intent_id") or name.startswith(CAPTURE)
    }


class _Payment(BaseModel):
    id: _Text
    amount: _Amount
    currency: Annotated[str, StringConstraints(pattern="^[a-z]{3}$")]
    metadata: Annotated[dict[str, str], BeforeValidator(_ours)] = {}


class _Multicapture(BaseModel):
    status: _Text


class _Card(BaseModel):
    brand: _Text | None = None
    last4: Annotated[str, StringConstraints(pattern="^[0-9]{4}$")] | None = None
    capture_before: int | None = Field(None, ge=0, le=253_402_300_799)
    multicapture: _Multicapture | None = None


class _Method(BaseModel):
    card: _Card | None = None


class _Judgement(BaseModel):
    risk_level: _Text | None = None


class _Charge(_Payment):
    captured: bool
    created: int = Field(ge=0, le=253_402_300_799)
    payment_intent: _Text | None = None
    payment_method_details: _Method | None = None
    outcome: _Judgement | None = None


class _Failure(BaseModel):
    code: _Text | None = None
    decline_code: _Text | None = None


class _Intent(_Payment):
    amount_received: _Amount
    latest_charge: _Text | None = None
    cancellation_reason: _Text | None = None
    last_payment_error: _Failure | None = None


class _ChargeData(BaseModel):
    object: _Charge


class _IntentData(BaseModel):
    object: _Intent


class _Event(BaseModel):
    id: Annotated[_Text, Field(min_length=1)]


class _Authorized(_Event):
    type: Literal["charge.succeeded"]
    data: _ChargeData


class _Told(_Event):
    type: Literal["payment_intent.canceled", "payment_intent.payment_failed", "payment_intent.succeeded"]
    data: _IntentData


class _Other(_Event):
    type: _Text


_EVENT: TypeAdapter[_Authorized | _Told | _Other] = TypeAdapter(_Authorized | _Told | _Other)
SUBSCRIBED = (
    "charge.succeeded",
    "payment_intent.canceled",
    "payment_intent.payment_failed",
    "payment_intent.succeeded",
)
"""The events that say something; others are kept, by id and type, and mean nothing."""


class StripeWebhooks:
    """Reads Stripe's events; while a signing secret is rolled both `secrets` are good."""

    signature_header = "Stripe-Signature"

    def __init__(self, secrets: Sequence[str]) -> None:
        self._secrets = tuple(secrets)

    def verify(self, signature: str, body: bytes, now: datetime) -> None:
        parts = [part.partition("=") for part in signature.split(",")]
        times = [value for name, _, value in parts if name == "t"]
        if len(times) != 1 or not times[0].isascii() or not times[0].isdigit() or len(times[0]) > 12:
            raise BadSignature("the signature has no time")
        if abs(now.timestamp() - int(times[0])) > TOLERANCE.total_seconds():
            raise BadSignature("the signature is too old")
        if not any(_signed(signature, body, secret) for secret in self._secrets):
            raise BadSignature("the signature is not the provider's")

    def read(self, body: bytes) -> Notice:
        match event := _read(body):
            case _Authorized():
                return _of_charge(event.id, event.data.object)
            case _Told():
                return _of_intent(event.id, event.type, event.data.object)
            case _Other():
                return _notice(event.id, None, _NOTHING, "")

    def kept(self, body: bytes) -> str:
        return _read(body).model_dump_json()


def _read(body: bytes) -> "_Authorized | _Told | _Other":
    event = _EVENT.validate_json(body)
    if isinstance(event, _Other) and event.type in SUBSCRIBED:
        raise ValueError(f"the event {event.type} is not as documented")
    return event


def _signed(signature: str, body: bytes, secret: str) -> bool:
    """Whether Stripe signed exactly this body with this secret; its age is another matter."""
    try:
        stripe.WebhookSignature.verify_header(body, signature, secret)
    except (stripe.SignatureVerificationError, UnicodeDecodeError):
        return False
    return True


_NOTHING = _Payment(id="", amount=0, currency="xxx")


def _of_charge(event_id: str, charge: _Charge) -> Notice:
    """Money held. Money taken at once is told of by its intent, too, which also knows who asked for it."""
    card = charge.payment_method_details.card if charge.payment_method_details else None
    promised = datetime.fromtimestamp(charge.created, UTC) + timedelta(days=5)
    return _notice(
        event_id,
        None if charge.captured or _strange(charge) else NoticeKind.AUTHORIZED,
        charge,
        charge.payment_intent or charge.id,
        method_label=label(card.brand, card.last4) if card else "",
        risk=risk(charge.outcome.risk_level if charge.outcome else None),
        multicapture=bool(card and card.multicapture and card.multicapture.status == "available"),
        authorized_until=(
            datetime.fromtimestamp(card.capture_before, UTC) if card and card.capture_before else promised
        ),
    )


def _of_intent(event_id: str, kind: str, intent: _Intent) -> Notice:
    if _strange(intent):
        return _notice(event_id, None, intent, intent.id)
    match kind:
        case "payment_intent.payment_failed":
            error = intent.last_payment_error or _Failure()
            why = decline(error.code, error.decline_code)
            return _notice(event_id, NoticeKind.DECLINED, intent, intent.id, decline=why)
        case "payment_intent.canceled":
            lapsed = intent.cancellation_reason in LAPSED
            gone = NoticeKind.EXPIRED if lapsed else NoticeKind.CANCELED
            return _notice(event_id, gone, intent, intent.id, amount=intent.amount - intent.amount_received)
        case _:
            unasked = intent.amount_received - sum(captured_under(intent.metadata).values())
            ref = intent.latest_charge or intent.id
            return _notice(
                event_id, NoticeKind.CAPTURED if unasked > 0 else None, intent, ref, amount=max(unasked, 0)
            )


def _strange(payment: _Payment) -> bool:
    """Whether it claims no order: then it is of something else that uses the account."""
    return "order_id" not in payment.metadata


def _notice(
    event_id: str,
    kind: NoticeKind | None,
    payment: _Payment,
    ref: str,
    *,
    amount: int | None = None,
    decline: DeclineCode = DeclineCode.DECLINED,
    **more: Any,
) -> Notice:
    currency = payment.currency.upper()
    about: dict[str, Any] = {
        "method_label": "",
        "risk": Risk.NORMAL,
        "multicapture": False,
        "authorized_until": None,
    }
    return Notice(
        notice_id=event_id,
        kind=kind,
        order_id=uuid_or_none(payment.metadata.get("order_id")),
        intent_id=uuid_or_none(payment.metadata.get("intent_id")),
        claimed_order=payment.metadata.get("order_id"),
        amount=from_stripe(payment.amount if amount is None else amount, currency),
        currency=currency,
        provider_ref=ref,
        capture_id=None,
        decline=decline,
        **(about | more),
    )
