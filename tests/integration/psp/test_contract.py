"""What the payment port promises, of the sandbox's adapter and of Stripe's alike."""

import json
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from services.orders.psp import BadSignature, Notice, NoticeKind, ProviderIntent, Refused, Standing
from shared.events.common import CaptureMode
from shared.events.orders import DeclineCode, Risk
from shared.store.worker import Unavailable
from tests.integration.psp.places import (
    CAPTURES_REFUSED,
    DECLINED,
    FRAUD,
    GOOD,
    NEEDS_THE_BUYER,
    NEW,
    OLD,
    ONE_CAPTURE,
    REFUNDS_REFUSED,
    RISKY,
    Books,
    Place,
)

pytestmark = pytest.mark.integration

DAY = timedelta(hours=25)


async def create(
    place: Place,
    amount: int = 1000,
    *,
    intent_id: UUID | None = None,
    order_id: UUID | None = None,
    currency: str = "GBP",
    capture: CaptureMode = CaptureMode.ON_SHIP,
    key: str | None = None,
    paid_like: str | None = None,
) -> ProviderIntent:
    return await place.port.create(
        intent_id or uuid4(),
        order_id or uuid4(),
        amount,
        currency,
        capture,
        key or str(uuid4()),
        paid_like=paid_like,
    )


async def found(place: Place, intent: ProviderIntent) -> ProviderIntent:
    """The intent as the provider has it now, found under our id."""
    assert intent.intent_id
    now = await place.port.find(intent.intent_id)
    assert now
    return now


async def paid(place: Place, amount: int = 1000, card: str = GOOD, **more: Any) -> ProviderIntent:
    """An intent that the buyer paid."""
    made = await create(place, amount, **more)
    await place.pays(made, card)
    return await found(place, made)


def notices(place: Place) -> list[Notice]:
    return [place.reader.read(body) for body in place.told()]


async def test_an_intent_is_found_under_our_id_and_under_the_providers(place: Place) -> None:
    intent_id = uuid4()
    made = await create(place, 1234, intent_id=intent_id)
    assert (made.intent_id, made.amount, made.currency) == (intent_id, 1234, "GBP")
    assert (made.standing, made.authorized, made.captured) == (Standing.UNPAID, 0, 0)
    assert made.client_secret
    assert await place.port.find(intent_id) == made
    assert await place.port.lookup(made.ref) == made


async def test_what_nobody_asked_for_is_not_found(place: Place) -> None:
    assert await place.port.find(uuid4()) is None
    assert await place.port.lookup("pi_nobody_made_this") is None
    assert await place.port.lookup("ch_nobody_made_this") is None
    assert await place.port.lookup("something else") is None


@pytest.mark.parametrize("after", [timedelta(), timedelta(hours=20), DAY, 30 * DAY])
async def test_an_intent_is_made_once_however_often_and_late_it_is_asked_for(
    place: Place, after: timedelta
) -> None:
    about: dict[str, Any] = {"intent_id": uuid4(), "order_id": uuid4(), "key": "effect-1"}
    made = await create(place, **about)
    place.wait(after)
    assert await create(place, **about) == made
    assert place.intents() == 1


@pytest.mark.parametrize("after", [timedelta(seconds=5), timedelta(hours=20), DAY, 30 * DAY])
async def test_an_intent_is_made_once_though_the_answer_was_lost(place: Place, after: timedelta) -> None:
    about: dict[str, Any] = {
        "intent_id": uuid4(),
        "order_id": uuid4(),
        "key": "effect-1",
        "capture": CaptureMode.NOW,
    }
    place.lose()
    with pytest.raises(Unavailable):
        await create(place, **about)
    place.wait(after)
    made = await create(place, **about)
    assert place.intents() == 1
    assert await place.port.find(about["intent_id"]) == made


async def test_a_paid_intent_is_authorized(place: Place) -> None:
    intent = await paid(place, 1000)
    assert intent.standing is Standing.AUTHORIZED
    assert (intent.authorized, intent.captured, intent.unasked, intent.declined) == (1000, 0, None, None)
    assert intent.method_label == "Visa ending in 4242"
    assert (intent.risk, intent.multicapture) == (Risk.NORMAL, True)
    assert intent.authorized_until
    assert intent.authorized_until > place.now + timedelta(days=3)


async def test_a_risky_payment_is_told(place: Place) -> None:
    assert (await paid(place, card=RISKY)).risk is Risk.HIGH


@pytest.mark.parametrize(
    ("card", "code"), [(DECLINED, DeclineCode.DECLINED), (FRAUD, DeclineCode.FRAUD)], ids=["poor", "fraud"]
)
async def test_a_declined_card_says_why_and_the_buyer_may_try_another(
    place: Place, card: str, code: DeclineCode
) -> None:
    intent = await paid(place, card=card)
    assert (intent.standing, intent.authorized, intent.declined) == (Standing.UNPAID, 0, code)
    await place.pays(intent, GOOD)
    assert (await found(place, intent)).standing is Standing.AUTHORIZED


async def test_several_captures_add_up_and_the_rest_is_let_go(place: Place) -> None:
    intent = await paid(place, 1000)
    one, two = uuid4(), uuid4()
    first = await place.port.capture(intent, one, 300, "effect-1")
    between = await found(place, intent)
    assert (between.standing, between.captured, between.captures) == (
        Standing.AUTHORIZED,
        300,
        {one: first},
    )
    second = await place.port.capture(between, two, 450, "effect-2")
    after = await found(place, intent)
    assert (after.captured, dict(after.captures), after.unasked) == (750, {one: first, two: second}, None)
    closed = await place.port.cancel(after, "effect-3")
    assert (closed.standing, closed.authorized, closed.captured) == (Standing.CLOSED, 1000, 750)
    assert await place.books(intent) == Books(1000, 750, 0)
    assert await place.port.lookup(first) == await found(place, intent)


async def test_the_last_capture_closes_the_intent(place: Place) -> None:
    intent = await paid(place, 1000)
    await place.port.capture(intent, uuid4(), 300, "effect-1")
    await place.port.capture(await found(place, intent), uuid4(), 700, "effect-2")
    closed = await found(place, intent)
    assert (closed.standing, closed.captured) == (Standing.CLOSED, 1000)


async def test_without_multicapture_the_first_capture_lets_the_rest_go(place: Place) -> None:
    intent = await paid(place, 1000, ONE_CAPTURE)
    assert intent.multicapture is False
    await place.port.capture(intent, uuid4(), 300, "effect-1")
    after = await found(place, intent)
    assert (after.standing, after.authorized, after.captured) == (Standing.CLOSED, 1000, 300)
    with pytest.raises(Refused):
        await place.port.capture(after, uuid4(), 700, "effect-2")
    assert await place.books(intent) == Books(1000, 300, 0)


async def test_the_remainder_is_authorized_anew_without_the_buyer(place: Place) -> None:
    intent = await paid(place, 1000, ONE_CAPTURE)
    await place.port.capture(intent, uuid4(), 300, "effect-1")
    about: dict[str, Any] = {"intent_id": uuid4(), "order_id": uuid4(), "key": "effect-2"}
    anew = await create(place, 700, paid_like=intent.ref, **about)
    assert (anew.standing, anew.authorized, anew.declined) == (Standing.AUTHORIZED, 700, None)
    assert await create(place, 700, paid_like=intent.ref, **about) == anew
    again = await create(place, 700, paid_like=anew.ref)
    assert again.standing is Standing.AUTHORIZED
    await place.port.capture(anew, uuid4(), 700, "effect-3")
    assert await place.books(anew) == Books(700, 700, 0)


async def test_a_card_that_needs_the_buyer_is_declined_without(place: Place) -> None:
    intent = await paid(place, 1000, NEEDS_THE_BUYER)
    anew = await create(place, 700, paid_like=intent.ref)
    assert (anew.standing, anew.authorized, anew.declined) == (Standing.UNPAID, 0, DeclineCode.DECLINED)
    assert await found(place, anew) == anew


async def test_no_more_is_captured_than_is_authorized(place: Place) -> None:
    intent = await paid(place, 1000)
    with pytest.raises(Refused):
        await place.port.capture(intent, uuid4(), 1001, "effect-1")
    assert await place.books(intent) == Books(1000, 0, 0)


async def test_a_refused_capture_takes_nothing_and_stays_refused(place: Place) -> None:
    intent, capture_id = await paid(place, 1000, CAPTURES_REFUSED), uuid4()
    for _ in range(2):
        with pytest.raises(Refused):
            await place.port.capture(intent, capture_id, 1000, "effect-1")
    assert (await found(place, intent)).captures == {}


@pytest.mark.parametrize("card", [GOOD, ONE_CAPTURE], ids=["multicapture", "one capture"])
@pytest.mark.parametrize("after", [timedelta(), DAY], ids=["soon", "a day later"])
async def test_a_capture_whose_answer_was_lost_is_made_once(
    place: Place, card: str, after: timedelta
) -> None:
    intent, capture_id = await paid(place, 1000, card), uuid4()
    place.lose()
    with pytest.raises(Unavailable):
        await place.port.capture(intent, capture_id, 400, "effect-1")
    place.wait(after)
    looked_up = await found(place, intent)
    ref = looked_up.captures[capture_id]
    assert await place.port.capture(looked_up, capture_id, 400, "effect-1") == ref
    if not after:
        assert await place.port.capture(intent, capture_id, 400, "effect-1") == ref
    assert (await place.books(intent)).captured == 400


async def test_money_that_is_taken_at_once_was_not_asked_for(place: Place) -> None:
    intent = await paid(place, 1000, capture=CaptureMode.NOW)
    assert (intent.standing, intent.captured) == (Standing.CLOSED, 1000)
    assert intent.unasked
    ref, amount = intent.unasked
    assert amount == 1000
    assert await place.port.lookup(ref) == intent


async def test_refunds_go_back_in_parts_and_never_too_much(place: Place) -> None:
    intent = await paid(place, 1000)
    await place.port.capture(intent, uuid4(), 300, "effect-1")
    await place.port.capture(await found(place, intent), uuid4(), 700, "effect-2")
    one, two = uuid4(), uuid4()
    captured = await found(place, intent)
    refs = [
        await place.port.refund(captured, one, 350, "effect-3"),
        await place.port.refund(captured, two, 600, "effect-4"),
    ]
    after = await found(place, intent)
    assert after.refunds == dict(zip((one, two), refs, strict=True))
    with pytest.raises(Refused) as caught:
        await place.port.refund(after, uuid4(), 51, "effect-5")
    assert caught.value.code == "exceeds_refundable"
    assert await place.books(intent) == Books(1000, 1000, 950)


@pytest.mark.parametrize("after", [timedelta(), DAY], ids=["soon", "a day later"])
async def test_a_refund_whose_answer_was_lost_is_made_once(place: Place, after: timedelta) -> None:
    intent, refund_id = await paid(place, 1000, capture=CaptureMode.NOW), uuid4()
    place.lose()
    with pytest.raises(Unavailable):
        await place.port.refund(intent, refund_id, 400, "effect-1")
    place.wait(after)
    looked_up = await found(place, intent)
    assert await place.port.refund(looked_up, refund_id, 400, "effect-1") == looked_up.refunds[refund_id]
    assert (await place.books(intent)).refunded == 400


async def test_a_refused_refund_gives_nothing_back(place: Place) -> None:
    intent = await paid(place, 1000, REFUNDS_REFUSED, capture=CaptureMode.NOW)
    with pytest.raises(Refused):
        await place.port.refund(intent, uuid4(), 400, "effect-1")
    assert (await found(place, intent)).refunds == {}
    assert (await place.books(intent)).refunded == 0


async def test_nobody_can_pay_what_was_cancelled(place: Place) -> None:
    made = await create(place)
    closed = await place.port.cancel(made, "effect-1")
    assert (closed.standing, closed.authorized) == (Standing.CLOSED, 0)
    assert (await place.port.cancel(made, "effect-1")).standing is Standing.CLOSED


async def test_what_is_held_is_let_go(place: Place) -> None:
    intent = await paid(place, 1000)
    closed = await place.port.cancel(intent, "effect-1")
    assert (closed.standing, closed.authorized, closed.captured) == (Standing.CLOSED, 1000, 0)
    with pytest.raises(Refused):
        await place.port.capture(intent, uuid4(), 1000, "effect-2")


async def test_whoever_cannot_be_reached_may_be_asked_again(place: Place) -> None:
    intent_id, order_id = uuid4(), uuid4()
    place.away()
    with pytest.raises(Unavailable):
        await create(place, intent_id=intent_id, order_id=order_id, key="effect-1", capture=CaptureMode.NOW)
    made = await create(
        place, intent_id=intent_id, order_id=order_id, key="effect-1", capture=CaptureMode.NOW
    )
    for call in (
        place.port.find(intent_id),
        place.port.lookup(made.ref),
        place.port.cancel(made, "effect-2"),
    ):
        place.away()
        with pytest.raises(Unavailable):
            await call


@pytest.mark.parametrize(
    ("currency", "amount", "part"),
    [("JPY", 5001, 1), ("KWD", 12340, 5550), ("ISK", 701, 1), ("UGX", 9, 4), ("HUF", 12345, 45)],
)
async def test_amounts_come_back_as_they_went(place: Place, currency: str, amount: int, part: int) -> None:
    intent = await paid(place, amount, currency=currency)
    assert (intent.amount, intent.authorized, intent.currency) == (amount, amount, currency)
    await place.port.capture(intent, uuid4(), part, "effect-1")
    captured = await found(place, intent)
    assert captured.captured == part
    await place.port.refund(captured, uuid4(), part, "effect-2")
    (authorized, *_) = [each for each in notices(place) if each.kind is NoticeKind.AUTHORIZED]
    assert (authorized.amount, authorized.currency) == (amount, currency)


async def test_an_authorization_is_told(place: Place) -> None:
    order_id = uuid4()
    intent = await paid(place, 1000, order_id=order_id)
    (told,) = [each for each in notices(place) if each.kind]
    assert (told.kind, told.order_id, told.intent_id) == (
        NoticeKind.AUTHORIZED,
        order_id,
        intent.intent_id,
    )
    assert (told.amount, told.currency, told.provider_ref) == (1000, "GBP", intent.ref)
    assert (told.method_label, told.risk, told.multicapture) == (
        intent.method_label,
        intent.risk,
        intent.multicapture,
    )
    assert told.authorized_until == intent.authorized_until


async def test_declines_and_ends_are_told(place: Place) -> None:
    declined = await paid(place, card=FRAUD)
    await place.port.cancel(await paid(place, 700), "effect-1")
    (no,) = [each for each in notices(place) if each.kind is NoticeKind.DECLINED]
    (end,) = [each for each in notices(place) if each.kind is NoticeKind.CANCELED]
    assert (no.intent_id, no.decline) == (declined.intent_id, DeclineCode.FRAUD)
    assert end.amount == 700


async def test_only_money_that_nobody_asked_for_is_told_as_such(place: Place) -> None:
    """A capture of ours is told with our id or not at all: as money nobody asked for it would count twice."""
    asked = await paid(place, 1000)
    capture_id = uuid4()
    await place.port.capture(asked, capture_id, 1000, "effect-1")
    unasked = await paid(place, 700, capture=CaptureMode.NOW)
    told = [each for each in notices(place) if each.kind is NoticeKind.CAPTURED]
    assert {each.capture_id for each in told if each.intent_id == asked.intent_id} <= {capture_id}
    (ours,) = [each for each in told if each.intent_id == unasked.intent_id]
    assert unasked.unasked
    assert (ours.capture_id, ours.provider_ref, ours.amount) == (None, *unasked.unasked)


async def test_signatures_of_both_live_secrets_are_good_and_no_others(place: Place) -> None:
    await paid(place)
    body, now, verify = place.told()[0], place.now, place.reader.verify
    for secret in (OLD, NEW):
        verify(place.signed(body, secret, now), body, now)
        verify(place.signed(body, secret, now - timedelta(minutes=4)), body, now)
    good = place.signed(body, NEW, now)
    for signature, signed in [
        (place.signed(body, "whsec_of_somebody", now), body),
        (good, body + b" "),
        (place.signed(body, NEW, now - timedelta(minutes=6)), body),
        (place.signed(body, NEW, now + timedelta(minutes=6)), body),
        (good.replace("t=", "t=1"), body),
        (good.replace("v1=", "v0="), body),
        (f"{good},t=1", body),
        ("", body),
        ("t=,v1=", body),
        (good, b"\xff not text"),
    ]:
        with pytest.raises(BadSignature):
            verify(signature, signed, now)


async def test_what_is_not_a_webhook_is_refused_once_its_signature_is_good(place: Place) -> None:
    for body in (b"", b"{}", b"[1", b'{"id": "evt_1", "type": 7}'):
        place.reader.verify(place.signed(body, NEW, place.now), body, place.now)
        with pytest.raises(ValueError):  # noqa: PT011 - whichever
            place.reader.read(body)


async def test_what_is_kept_of_a_webhook_says_the_same(place: Place) -> None:
    await paid(place, card=FRAUD)
    await paid(place, capture=CaptureMode.NOW)
    await place.port.cancel(await paid(place), "effect-1")
    assert len(place.told()) >= 4
    for body in place.told():
        kept = place.reader.kept(body)
        assert place.reader.read(kept.encode()) == place.reader.read(body)
        assert place.reader.kept(kept.encode()) == kept
        for word in ("fingerprint", "exp_", "billing", "buyer.example", "cvc", "secret", GOOD, FRAUD):
            assert word not in kept, json.loads(kept)
