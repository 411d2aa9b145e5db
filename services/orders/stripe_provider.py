"""The payment port over Stripe's PaymentIntents and its own SDK; `docs/payments.md` says how to switch it on.

Our ids go along as metadata: the order's and the intent's from the start, and with every capture one
`capture_<id>` = amount, written by the very request that takes the money, since Stripe names no captures.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

import httpx
import stripe
import structlog

from services.orders.psp import ProviderIntent, Refused, Standing
from services.orders.stripe_amounts import from_stripe, to_stripe
from services.orders.stripe_intents import StripeIntents
from shared.events.common import CaptureMode
from shared.events.orders import DeclineCode, Risk
from shared.store.worker import Unavailable

if TYPE_CHECKING:
    from stripe.params import PaymentIntentCaptureParams, PaymentIntentCreateParams

log = structlog.get_logger(__name__)
T = TypeVar("T")

API_VERSION = "2026-10-28.endive"
"""Of every answer, whatever the account's own version is; webhooks are to be set up with it too."""
TIMEOUT_S = 8.0
"""Seconds that one request may take, connecting included."""
KEYS_LAST = timedelta(hours=23)
"""Stripe forgets an idempotency key a day after it came; older asking is looked up before it is repeated."""
SEARCH_LAGS = timedelta(hours=1)
"""So long something new may be missing in what Stripe's search finds."""
CAPTURE = "capture_"

_EXPAND = ["latest_charge"]
_STANDING = {
    "requires_payment_method": Standing.UNPAID,
    "requires_confirmation": Standing.UNPAID,
    "requires_action": Standing.UNPAID,
    "processing": Standing.PROCESSING,
    "requires_capture": Standing.AUTHORIZED,
    "succeeded": Standing.CLOSED,
    "canceled": Standing.CLOSED,
}
_FRAUD = frozenset({"fraudulent", "lost_card", "merchant_blacklist", "pickup_card", "stolen_card"})
_HOLDS_AT_LEAST = timedelta(days=5)
"""How long a card network promises an authorization, where Stripe does not say."""
_WENT_BACK_NOT = frozenset({"failed", "canceled"})


def stripe_client(secret_key: str, url: str, http: httpx.AsyncClient) -> stripe.StripeClient:
    """The SDK over this HTTP client. It repeats nothing by itself: the worker does, with the same keys."""
    logging.getLogger("stripe").setLevel(logging.WARNING)  # below, it logs requests and answers whole
    return stripe.StripeClient(
        secret_key,
        stripe_version=API_VERSION,
        base_addresses={"api": url},
        max_network_retries=0,
        http_client=_Http(http),
    )


class _Http(stripe.HTTPClient):
    """httpx for the SDK, whose own use of it is deprecated by httpx."""

    name = "httpx"

    def __init__(self, client: httpx.AsyncClient) -> None:
        super().__init__()
        self._client = client

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: str | bytes | None = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """Status and body of the answer. Raises stripe.APIConnectionError if there is none."""
        try:
            answer = await self._client.request(method, url, headers=dict(headers), content=post_data or None)
        except httpx.HTTPError as error:
            raise stripe.APIConnectionError(type(error).__name__) from error  # type: ignore[no-untyped-call]
        return answer.content, answer.status_code, answer.headers


class StripeProvider:
    """`multicapture`: the account may capture an authorization several times; then each card decides."""

    def __init__(
        self,
        client: stripe.StripeClient,
        intents: StripeIntents,
        clock: Callable[[], datetime],
        *,
        multicapture: bool,
    ) -> None:
        self._api = client.v1
        self._intents = intents
        self._clock = clock
        self._multicapture = multicapture

    async def find(self, intent_id: UUID) -> ProviderIntent | None:
        known = await self._intents.known(intent_id)
        try:
            ref = known.ref if known and known.ref else await self._searched(intent_id)
            if ref:
                return await self._read(ref)
        except Refused as refusal:  # such as of another account's intents: a matter of settings
            raise Unavailable(f"stripe find: {refusal}") from refusal
        if known and self._clock() - known.tried_at < SEARCH_LAGS:
            raise Unavailable("Stripe was asked for the intent and has not answered yet")
        return None

    async def lookup(self, provider_ref: str) -> ProviderIntent | None:
        ref: str | None = provider_ref
        try:
            if provider_ref.startswith(("ch_", "py_")):
                charge = await _ask("charge", self._api.charges.retrieve_async(provider_ref))
                ref = _id(charge.payment_intent)
            return await self._read(ref) if ref and ref.startswith("pi_") else None
        except Refused as refusal:
            if refusal.code == "resource_missing":
                return None
            raise

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
        wish: PaymentIntentCreateParams = {
            "amount": to_stripe(amount, currency),
            "currency": currency.lower(),
            "capture_method": "automatic" if capture is CaptureMode.NOW else "manual",
            "allowed_payment_method_types": ["card"],
            "metadata": {"order_id": str(order_id), "intent_id": str(intent_id)},
            "expand": list(_EXPAND),
        }
        if capture is not CaptureMode.NOW and self._multicapture:
            wish["payment_method_options"] = {"card": {"request_multicapture": "if_available"}}
        asked = await self._intents.begin(intent_id)
        ref = asked.ref
        if ref is None and self._clock() - asked.asked_at >= KEYS_LAST:
            ref = await self._searched(intent_id)
        if ref is not None:
            return await self._read(ref)
        if paid_like:
            customer, card = await self._as_before(paid_like)
            wish |= {"customer": customer, "payment_method": card, "off_session": True, "confirm": True}
        elif capture is not CaptureMode.NOW:
            buyer = await _ask(
                "customer",
                self._api.customers.create_async(
                    {"metadata": {"order_id": str(order_id)}}, {"idempotency_key": f"{key}/customer"}
                ),
            )
            wish |= {"customer": buyer.id, "setup_future_usage": "off_session"}
        made = await self._made(wish, key)
        await self._intents.keep(intent_id, made.id)
        return await self._whole(made)

    async def cancel(self, intent: ProviderIntent, key: str) -> ProviderIntent:
        """What was captured in part cannot be cancelled: a last capture of nothing lets the rest go."""
        if intent.captured:
            done = await _ask(
                "release",
                self._api.payment_intents.capture_async(
                    intent.ref,
                    {"amount_to_capture": 0, "final_capture": True, "expand": list(_EXPAND)},
                    {"idempotency_key": key},
                ),
            )
        else:
            done = await _ask(
                "cancel",
                self._api.payment_intents.cancel_async(
                    intent.ref, {"expand": list(_EXPAND)}, {"idempotency_key": key}
                ),
            )
        return await self._whole(done)

    async def capture(self, intent: ProviderIntent, capture_id: UUID, amount: int, key: str) -> str:
        if known := intent.captures.get(capture_id):
            return known
        theirs = to_stripe(amount, intent.currency)
        wish: PaymentIntentCaptureParams = {
            "amount_to_capture": theirs,
            "metadata": {f"{CAPTURE}{capture_id.hex}": str(theirs)},
        }
        if intent.multicapture:
            wish["final_capture"] = intent.captured + amount >= intent.authorized
        try:
            done = await _ask(
                "capture",
                self._api.payment_intents.capture_async(intent.ref, wish, {"idempotency_key": key}),
            )
        except Refused:
            now = await self._read(intent.ref)
            if taken := now.captures.get(capture_id):
                return taken
            raise
        return _id(done.latest_charge) or done.id

    async def refund(self, intent: ProviderIntent, refund_id: UUID, amount: int, key: str) -> str:
        if known := intent.refunds.get(refund_id):
            return known
        try:
            done = await _ask(
                "refund",
                self._api.refunds.create_async(
                    {
                        "payment_intent": intent.ref,
                        "amount": to_stripe(amount, intent.currency),
                        "metadata": {"refund_id": str(refund_id)},
                    },
                    {"idempotency_key": key},
                ),
            )
        except Refused as refusal:
            left = intent.captured - sum(
                from_stripe(each.amount, intent.currency) for each in await self._refunds(intent.ref)
            )
            if amount > left:
                raise Refused("exceeds_refundable", str(refusal)) from refusal
            raise
        if done.status in _WENT_BACK_NOT:
            raise Refused("refund_refused", f"the refund {done.id} is {done.status}")
        return done.id

    async def _made(self, wish: "PaymentIntentCreateParams", key: str) -> stripe.PaymentIntent:
        """A new PaymentIntent. One that is declined at once is there all the same."""
        try:
            async with _bounded("create"):
                return await self._api.payment_intents.create_async(wish, {"idempotency_key": key})
        except stripe.CardError as error:
            declined = error.error.payment_intent if error.error else None
            if declined is None:
                raise _outcome("create", error) from error
            ref = str(declined["id"])
        except stripe.StripeError as error:
            raise _outcome("create", error) from error
        return await self._retrieved(ref)

    async def _as_before(self, paid_like: str) -> tuple[str, str]:
        """Customer and card of an earlier PaymentIntent. Raises Refused if it left none to use again."""
        earlier = await self._retrieved(paid_like)
        customer, card = _id(earlier.customer), _id(earlier.payment_method)
        if customer is None or card is None:
            raise Refused("payment_method_not_kept", f"{paid_like} left no card that can be used again")
        return customer, card

    async def _searched(self, intent_id: UUID) -> str | None:
        """Stripe's id of an intent, by a search that not every country has. Raises Unavailable only."""
        query = f"metadata['intent_id']:'{intent_id}'"
        try:
            found = await _ask("search", self._api.payment_intents.search_async({"query": query}))
        except Refused as refusal:
            raise Unavailable(f"stripe search: {refusal}") from refusal
        ours = [each.id for each in found.data if _metadata(each).get("intent_id") == str(intent_id)]
        if not ours:
            return None
        await self._intents.keep(intent_id, ours[0])
        return ours[0]

    async def _retrieved(self, ref: str) -> stripe.PaymentIntent:
        return await _ask("read", self._api.payment_intents.retrieve_async(ref, {"expand": list(_EXPAND)}))

    async def _read(self, ref: str) -> ProviderIntent:
        return await self._whole(await self._retrieved(ref))

    async def _refunds(self, ref: str) -> Sequence[stripe.Refund]:
        """The refunds that went through or still may."""
        found: list[stripe.Refund] = []
        while True:
            page = await _ask(
                "refunds",
                self._api.refunds.list_async(
                    {"payment_intent": ref, "limit": 100, "starting_after": found[-1].id}
                    if found
                    else {"payment_intent": ref, "limit": 100}
                ),
            )
            found += page.data
            if not page.has_more or not page.data:
                return [each for each in found if each.status not in _WENT_BACK_NOT]

    async def _whole(self, found: stripe.PaymentIntent) -> ProviderIntent:
        """A PaymentIntent, its charge expanded, with what became of it."""
        currency = found.currency.upper()
        charge = found.latest_charge if isinstance(found.latest_charge, stripe.Charge) else None
        if charge is not None and charge.status == "failed":
            charge = None
        card = _card(charge)
        metadata = _metadata(found)
        captures = captured_under(metadata)
        refunds = await self._refunds(found.id) if found.amount_received else ()
        unasked = found.amount_received - sum(captures.values())
        if unasked < 0:
            raise Unavailable(f"{found.id}: its metadata tell of more captures than Stripe made")
        standing = _STANDING[found.status]
        charge_ref = charge.id if charge else found.id
        error = found.last_payment_error
        declined = error and standing is Standing.UNPAID
        return ProviderIntent(
            ref=found.id,
            intent_id=uuid_or_none(metadata.get("intent_id")),
            standing=standing,
            amount=from_stripe(found.amount, currency),
            currency=currency,
            authorized=from_stripe(charge.amount, currency) if charge else 0,
            captured=from_stripe(found.amount_received, currency),
            client_secret=found.client_secret or "",
            confirm_url="",
            method_label=label(card.brand, card.last4) if card else "",
            risk=risk(charge.outcome.risk_level if charge and charge.outcome else None),
            multicapture=bool(card and card.multicapture and card.multicapture.status == "available"),
            authorized_until=_until(charge, card) if charge and standing is Standing.AUTHORIZED else None,
            captures=dict.fromkeys(captures, charge_ref),
            refunds={
                ours: each.id for each in refunds if (ours := uuid_or_none(_metadata(each).get("refund_id")))
            },
            unasked=(charge_ref, from_stripe(unasked, currency)) if unasked else None,
            declined=decline(error.code, error.decline_code) if declined and error else None,
        )


@asynccontextmanager
async def _bounded(what: str) -> AsyncIterator[None]:
    """Ends a request that takes too long; whether it did something, nobody knows."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            yield
    except TimeoutError as late:
        raise Unavailable(f"stripe {what}: no answer in time") from late


async def _ask(what: str, call: Awaitable[T]) -> T:
    """The answer to one request. Raises Refused or Unavailable."""
    try:
        async with _bounded(what):
            return await call
    except stripe.StripeError as error:
        raise _outcome(what, error) from error


def _outcome(what: str, error: stripe.StripeError) -> Exception:
    """What an error means for the money: Refused where Stripe did nothing and never will, else Unavailable.

    A key that is wrong or may not do this is a matter of settings, which a person puts right while orders
    wait. A conflict, a limit or an error of Stripe's own says nothing about the money.
    """
    code = error.code or type(error).__name__
    match error:
        case stripe.CardError():
            declined = error.error.decline_code if error.error else None
            return Refused(declined or code, str(error.user_message))
        case stripe.InvalidRequestError() if code not in _UNSETTLED:
            return Refused(code, str(error.user_message))
        case stripe.AuthenticationError() | stripe.PermissionError():
            log.error("stripe_settings", call=what, code=code, status=error.http_status)
    return Unavailable(f"stripe {what}: {code}")


_UNSETTLED = frozenset({"idempotency_key_in_use", "lock_timeout", "rate_limit"})


def captured_under(metadata: Mapping[str, str]) -> dict[UUID, int]:
    """Our captures and their amounts in Stripe's units, as the metadata of a PaymentIntent tell them."""
    return {
        capture_id: int(amount)
        for name, amount in metadata.items()
        if name.startswith(CAPTURE)
        and (capture_id := uuid_or_none(name.removeprefix(CAPTURE)))
        and amount.isascii()
        and amount.isdigit()
    }


def decline(code: str | None, decline_code: str | None) -> DeclineCode:
    """Why a card was declined."""
    if decline_code in _FRAUD:
        return DeclineCode.FRAUD
    return DeclineCode.ERROR if "processing_error" in (code, decline_code) else DeclineCode.DECLINED


def risk(level: str | None) -> Risk:
    """What Stripe thinks of a payment."""
    return Risk.HIGH if level in ("elevated", "highest") else Risk.NORMAL


def label(brand: str | None, last4: str | None) -> str:
    """How people tell the card from their others."""
    return f"{(brand or 'card').title()} ending in {last4}" if last4 else (brand or "").title()


def uuid_or_none(text: str | None) -> UUID | None:
    """The id that a text is, None if it is none."""
    try:
        return UUID(text or "")
    except ValueError:
        return None


def _metadata(found: stripe.PaymentIntent | stripe.Refund) -> dict[str, str]:
    return dict(found.metadata.to_dict()) if found.metadata else {}


def _card(charge: stripe.Charge | None) -> "stripe.Charge.PaymentMethodDetails.Card | None":
    details = charge.payment_method_details if charge else None
    return getattr(details, "card", None)


def _until(charge: stripe.Charge, card: "stripe.Charge.PaymentMethodDetails.Card | None") -> datetime:
    before = getattr(card, "capture_before", None)
    if before:
        return datetime.fromtimestamp(before, UTC)
    return datetime.fromtimestamp(charge.created, UTC) + _HOLDS_AT_LEAST


def _id(reference: object) -> str | None:
    """The id of an object, expanded or not."""
    if reference is None or isinstance(reference, str):
        return reference
    return str(getattr(reference, "id", None))
