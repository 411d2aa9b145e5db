"""What only Stripe's adapter has: its errors, limits of time, keys and search, currencies, odd events."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl
from uuid import uuid4

import httpx
import pytest
import structlog

from services.orders import stripe_provider
from services.orders.psp import NoticeKind, Refused, Standing
from services.orders.stripe_provider import SEARCH_LAGS, StripeProvider, stripe_client
from services.orders.stripe_webhooks import SUBSCRIBED
from shared.events.common import CaptureMode
from shared.store.worker import Unavailable
from tests.integration.psp.fake_stripe import KEY, Sent
from tests.integration.psp.mock import WHY_NOT, Mock
from tests.integration.psp.places import GOOD, NEEDS_THE_BUYER, ONE_CAPTURE, StripePlace
from tests.integration.psp.test_contract import create, found, notices, paid

pytestmark = pytest.mark.integration


def posts(place: StripePlace, *names: str) -> list[tuple[str, dict[str, str]]]:
    """Which changes were asked for, as the path's last word and the form."""
    sent = [each for each in place.fake.sent if each.method == "POST"]
    asked = [(each.path.rpartition("/")[2], dict(parse_qsl(each.body))) for each in sent]
    return [each for each in asked if not names or each[0] in names]


async def test_stripe_would_understand_every_request(stripe_place: StripePlace, mock: Mock | None) -> None:
    """The contract's requests go to stripe-mock, too; here is one of each kind, and one that it refuses."""
    if mock is None:
        pytest.skip(WHY_NOT)
    intent = await paid(stripe_place, 1000)
    await stripe_place.port.capture(intent, uuid4(), 300, "effect-1")
    held = await found(stripe_place, intent)
    await stripe_place.port.cancel(held, "effect-2")
    await stripe_place.port.refund(held, uuid4(), 100, "effect-3")
    await stripe_place.port.cancel(await create(stripe_place), "effect-4")
    await create(stripe_place, 700, paid_like=intent.ref)
    await create(stripe_place, capture=CaptureMode.NOW)
    await stripe_place.port.lookup(next(iter((await found(stripe_place, intent)).captures.values())))
    await stripe_place.port.find(uuid4())
    sent = stripe_place.fake.sent
    kinds = {(each.method, "/".join(p for p in each.path.split("/") if "_0" not in p)) for each in sent}
    assert kinds == {
        ("GET", "/v1/charges"),
        ("GET", "/v1/payment_intents"),
        ("GET", "/v1/payment_intents/search"),
        ("GET", "/v1/refunds"),
        ("POST", "/v1/customers"),
        ("POST", "/v1/payment_intents"),
        ("POST", "/v1/payment_intents/cancel"),
        ("POST", "/v1/payment_intents/capture"),
        ("POST", "/v1/refunds"),
    }
    await mock.accepts(sent)
    (wrong,) = [
        each for each in sent if each.path.endswith("/capture") and "amount_to_capture=0" in each.body
    ]
    assert (await mock.takes(Sent("POST", wrong.path, "", wrong.body + "&made_up=1"))).status_code == 400


@pytest.mark.parametrize("status", [401, 403, 409, 429, 500, 502, 503])
async def test_what_says_nothing_about_the_money_is_asked_again(
    stripe_place: StripePlace, status: int
) -> None:
    """Nor does the SDK repeat anything by itself."""
    intent = await paid(stripe_place, 1000)
    asked = len(stripe_place.fake.sent)
    stripe_place.fake.fails = status
    with structlog.testing.capture_logs() as logs, pytest.raises(Unavailable) as caught:
        await stripe_place.port.capture(intent, uuid4(), 1000, "effect-1")
    assert len(stripe_place.fake.sent) == asked + 1
    assert KEY not in str(caught.value)
    assert [each["event"] for each in logs] == (["stripe_settings"] if status in (401, 403) else [])
    assert KEY not in str(logs)


async def test_a_key_that_comes_with_another_wish_is_no_refusal(stripe_place: StripePlace) -> None:
    intent = await paid(stripe_place, 1000)
    await stripe_place.port.capture(intent, uuid4(), 100, "effect-1")
    with pytest.raises(Unavailable):
        await stripe_place.port.capture(intent, uuid4(), 200, "effect-1")


@pytest.fixture
async def silent() -> AsyncIterator[StripeProvider]:
    """Stripe takes every request and never answers."""

    async def never(_: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    place = StripePlace()
    async with httpx.AsyncClient(transport=httpx.MockTransport(never)) as http:
        client = stripe_client(KEY, "https://stripe.example", http)
        yield StripeProvider(client, place.known, lambda: place.now, multicapture=True)
    await place.close()


async def test_an_answer_is_not_waited_for_for_ever(
    silent: StripeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stripe_provider, "TIMEOUT_S", 0.01)
    for call in (
        silent.find(uuid4()),
        silent.lookup("pi_1"),
        silent.create(uuid4(), uuid4(), 1, "GBP", CaptureMode.NOW, "effect-1"),
    ):
        with pytest.raises(Unavailable, match="no answer in time"):
            await call


async def test_every_answer_of_a_creation_may_be_lost(stripe_place: StripePlace) -> None:
    about: dict[str, Any] = {"intent_id": uuid4(), "order_id": uuid4(), "key": "effect-1"}
    for path in ("/v1/customers", "/v1/payment_intents"):
        stripe_place.fake.lose, stripe_place.fake.lose_at = 1, path
        with pytest.raises(Unavailable):
            await create(stripe_place, **about)
    made = await create(stripe_place, **about)
    assert await create(stripe_place, **about) == made
    assert (stripe_place.intents(), len(stripe_place.fake.customers)) == (1, 1)
    assert [name for name, _ in posts(stripe_place)] == [
        "customers",
        *("customers", "payment_intents"),
        *("customers", "payment_intents"),
    ]


async def test_what_the_search_cannot_know_yet_is_not_said_to_be_missing(stripe_place: StripePlace) -> None:
    """Stripe has the intent, but its answer was lost and its search lags."""
    intent_id = uuid4()
    stripe_place.lose()
    with pytest.raises(Unavailable):
        await create(stripe_place, intent_id=intent_id, capture=CaptureMode.NOW)
    with pytest.raises(Unavailable):
        await stripe_place.port.find(intent_id)
    stripe_place.wait(timedelta(minutes=1))
    there = await stripe_place.port.find(intent_id)
    assert there
    assert there.intent_id == intent_id

    never_arrived = uuid4()
    stripe_place.away()
    with pytest.raises(Unavailable):
        await create(stripe_place, intent_id=never_arrived, capture=CaptureMode.NOW)
    stripe_place.wait(SEARCH_LAGS)
    assert await stripe_place.port.find(never_arrived) is None


async def test_what_stripe_may_have_forgotten_is_looked_up_before_it_is_asked_again(
    stripe_place: StripePlace,
) -> None:
    about: dict[str, Any] = {"intent_id": uuid4(), "order_id": uuid4(), "key": "effect-1"}
    about["capture"] = CaptureMode.NOW
    stripe_place.away()
    with pytest.raises(Unavailable):
        await create(stripe_place, **about)
    stripe_place.wait(timedelta(hours=22))
    stripe_place.away()
    with pytest.raises(Unavailable):
        await create(stripe_place, **about)
    assert not stripe_place.fake.sent
    stripe_place.wait(timedelta(hours=1))
    await create(stripe_place, **about)
    assert [each.path for each in stripe_place.fake.sent] == [
        "/v1/payment_intents/search",
        "/v1/payment_intents",
    ]


async def test_a_look_that_is_refused_says_nothing_about_the_money(stripe_place: StripePlace) -> None:
    """A search that this country does not have, an intent of another account."""
    stripe_place.fake.fails = 400
    with pytest.raises(Unavailable):
        await stripe_place.port.find(uuid4())
    made = await create(stripe_place)
    assert made.intent_id
    stripe_place.fake.intents.clear()
    with pytest.raises(Unavailable):
        await stripe_place.port.find(made.intent_id)


async def test_a_lost_table_is_made_up_for_by_the_search(stripe_place: StripePlace) -> None:
    """Such as after a restored backup."""
    made = await paid(stripe_place)
    assert made.intent_id
    stripe_place.wait(timedelta(minutes=1))
    elsewhere = StripePlace()
    fresh = StripeProvider(
        stripe_client(KEY, "https://stripe.example", stripe_place.http),
        elsewhere.known,
        lambda: stripe_place.now,
        multicapture=True,
    )
    assert await fresh.find(made.intent_id) == made
    known = await elsewhere.known.known(made.intent_id)
    assert known
    assert known.ref == made.ref
    await elsewhere.close()


async def test_an_account_without_multicapture_asks_for_none() -> None:
    place = StripePlace(multicapture=False)
    intent = await paid(place, 1000)
    assert intent.multicapture is False
    await place.port.capture(intent, uuid4(), 300, "effect-1")
    anew = await create(place, 700, paid_like=intent.ref)
    assert (anew.standing, anew.multicapture) == (Standing.AUTHORIZED, False)
    asked = {name for _, form in posts(place) for name in form}
    assert not any("multicapture" in name or name == "final_capture" for name in asked)
    await place.close()


async def test_only_the_last_capture_lets_the_rest_go(stripe_place: StripePlace) -> None:
    intent = await paid(stripe_place, 1000)
    await stripe_place.port.capture(intent, uuid4(), 400, "effect-1")
    await stripe_place.port.capture(await found(stripe_place, intent), uuid4(), 600, "effect-2")
    once = await paid(stripe_place, 1000, ONE_CAPTURE)
    await stripe_place.port.capture(once, uuid4(), 400, "effect-3")
    said = [form.get("final_capture") for _, form in posts(stripe_place, "capture")]
    assert said == ["false", "true", None]


async def test_a_card_that_was_not_kept_is_not_used_again(stripe_place: StripePlace) -> None:
    at_once = await paid(stripe_place, capture=CaptureMode.NOW)
    with pytest.raises(Refused) as caught:
        await create(stripe_place, paid_like=at_once.ref)
    assert caught.value.code == "payment_method_not_kept"


async def test_a_renewal_without_the_buyer_says_that_it_is_one(stripe_place: StripePlace) -> None:
    intent = await paid(stripe_place, 1000, NEEDS_THE_BUYER)
    await create(stripe_place, 700, paid_like=intent.ref)
    (_, first), (_, anew) = posts(stripe_place, "payment_intents")
    assert (first["setup_future_usage"], first.get("off_session")) == ("off_session", None)
    assert (anew["off_session"], anew["confirm"], anew["customer"]) == ("true", "true", first["customer"])
    assert "setup_future_usage" not in anew


@pytest.mark.parametrize(("currency", "amount"), [("KWD", 1001), ("BHD", 5), ("MGA", 150), ("LYD", 1000)])
async def test_what_stripe_cannot_charge_is_refused_before_it_is_asked(
    stripe_place: StripePlace, currency: str, amount: int
) -> None:
    with pytest.raises(Refused) as caught:
        await create(stripe_place, amount, currency=currency)
    assert caught.value.code in ("amount_not_chargeable", "currency_not_supported")
    assert not stripe_place.fake.sent


async def test_what_stripe_refuses_is_refused(stripe_place: StripePlace) -> None:
    with pytest.raises(Refused) as caught:
        await create(stripe_place, currency="XTS", capture=CaptureMode.NOW)
    assert caught.value.code == "currency_not_supported"


async def test_metadata_that_cannot_be_true_stop_everything(stripe_place: StripePlace) -> None:
    """More captures of ours than money taken: a person has to look before anything is decided on it."""
    intent = await paid(stripe_place)
    assert intent.intent_id
    stripe_place.fake.intents[intent.ref]["metadata"][f"capture_{uuid4().hex}"] = "5"
    with pytest.raises(Unavailable):
        await stripe_place.port.find(intent.intent_id)


async def test_a_capture_in_the_dashboard_was_not_asked_for(stripe_place: StripePlace) -> None:
    intent = await paid(stripe_place, 1000)
    ours = uuid4()
    await stripe_place.port.capture(intent, ours, 300, "effect-1")
    stripe_place.fake.taken_unasked(intent.ref, 200)
    now = await found(stripe_place, intent)
    assert list(now.captures) == [ours]
    assert now.unasked
    assert now.unasked[1] == 200
    (told,) = [each for each in notices(stripe_place) if each.kind is NoticeKind.CAPTURED]
    assert (told.provider_ref, told.amount) == now.unasked


async def test_an_authorization_that_runs_out_is_told_as_such(stripe_place: StripePlace) -> None:
    intent = await paid(stripe_place, 1000)
    stripe_place.fake.lapses(intent.ref)
    (told,) = [each for each in notices(stripe_place) if each.kind is NoticeKind.EXPIRED]
    assert (told.intent_id, told.amount) == (intent.intent_id, 1000)


async def test_money_of_others_in_the_same_account_is_none_of_ours(stripe_place: StripePlace) -> None:
    """A payment that claims no order, such as of another program, must never be given back as an orphan."""
    await paid(stripe_place, 1000)
    await paid(stripe_place, 1000, capture=CaptureMode.NOW)
    for body in stripe_place.told():
        event = json.loads(body)
        assert stripe_place.reader.read(body).order_id
        event["data"]["object"]["metadata"] = {"subscription": "7"}
        stranger = stripe_place.reader.read(json.dumps(event).encode())
        assert (stranger.kind, stranger.order_id) == (None, None)


async def test_other_events_are_kept_by_name_only(stripe_place: StripePlace) -> None:
    event = {"id": "evt_9", "type": "customer.created", "data": {"object": {"email": "ada@buyer.example"}}}
    body = json.dumps(event).encode()
    assert stripe_place.reader.read(body).kind is None
    assert json.loads(stripe_place.reader.kept(body)) == {"id": "evt_9", "type": "customer.created"}


@pytest.mark.parametrize("kind", SUBSCRIBED)
async def test_a_known_event_must_be_as_documented(stripe_place: StripePlace, kind: str) -> None:
    body = json.dumps({"id": "evt_9", "type": kind, "data": {"object": {"id": "pi_1"}}}).encode()
    with pytest.raises(ValueError, match="not as documented"):
        stripe_place.reader.read(body)


async def test_only_what_is_subscribed_is_needed(stripe_place: StripePlace) -> None:
    """The documentation lists these events; nothing that matters is told by another one."""
    await paid(stripe_place, card=GOOD)
    meaningful = {
        json.loads(body)["type"]
        for body, told in zip(stripe_place.told(), notices(stripe_place), strict=True)
        if told.kind
    }
    assert meaningful <= set(SUBSCRIBED)
