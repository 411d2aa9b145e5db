"""The provider's rules, card by card: what is captured, voided and refunded always adds up."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox import provider
from sandbox.provider.cards import CARDS, label
from sandbox.provider.payments import Delays, Payments
from sandbox.provider.problems import Problem
from sandbox.provider.store import Store

GOOD = "4242424242424242"
NOW = 1_800_000_000.0
DELAYS = Delays(slow=1, late=5, hang=60, authorization=1000, soon=10, away=5)


class Shop:
    """A shop with one intent of 1,000 that talks to the provider's rules directly."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.payments = Payments(store, DELAYS)
        self.intent = self.create()

    def create(
        self,
        amount: int = 1000,
        reference: str = "intent-1",
        method: str = "manual",
        paid_like: str | None = None,
    ) -> Any:
        with self.store.transaction():
            return self.payments.create(
                NOW,
                amount=amount,
                currency="GBP",
                capture_method=method,
                reference=reference,
                metadata={},
                paid_like=paid_like,
            )

    def confirm(self, number: str, at: float = NOW) -> Any:
        with self.store.transaction():
            return self.payments.confirm(at, self.intent["id"], self.intent["client_secret"], number)

    def capture(self, amount: int, *, final: bool = False, reference: str | None = None) -> Any:
        with self.store.transaction():
            done, problem = self.payments.capture(
                NOW, self.intent["id"], amount=amount, final=final, reference=reference
            )
        return problem.code if problem else done

    def refund(self, amount: int, reference: str = "refund-1") -> Any:
        with self.store.transaction():
            done, problem = self.payments.refund(NOW, self.intent["id"], amount=amount, reference=reference)
        return problem.code if problem else done

    def cancel(self) -> Any:
        with self.store.transaction():
            return self.payments.cancel(NOW, self.intent["id"])

    def later(self, seconds: float) -> None:
        with self.store.transaction():
            self.payments.work_off(NOW + seconds)

    def status(self) -> str:
        return str(self.payments.get(self.intent["id"])["status"])

    def ledger(self) -> list[tuple[str, int]]:
        return [(entry["kind"], entry["amount"]) for entry in self.payments.entries(0, 100)]

    def told(self) -> list[Any]:
        return [json.loads(row["body"]) for row in self.store.all("SELECT * FROM webhooks ORDER BY seq")]

    def kinds(self) -> list[str]:
        return [event["type"].removeprefix("payment_intent.") for event in self.told()]


@pytest.fixture
def shop() -> Iterator[Shop]:
    store = Store(Path(":memory:"))
    yield Shop(store)
    store.close()


def _refused(code: str, act: Any, *args: Any, **kwargs: Any) -> Problem:
    with pytest.raises(Problem) as caught:
        act(*args, **kwargs)
    assert caught.value.code == code
    return caught.value


def test_test_cards_pass_the_luhn_check_and_differ_in_their_last_four_digits() -> None:
    def luhn(number: str) -> int:
        doubled = [int(digit) * 2 for digit in number[-2::-2]]
        return (sum(map(int, number[-1::-2])) + sum(d - 9 if d > 9 else d for d in doubled)) % 10

    assert [number for number in CARDS if luhn(number)] == []
    assert len({number[-4:] for number in CARDS}) == len(CARDS)
    assert label(GOOD) == "Visa ending in 4242"


def test_an_intent_is_made_once_for_a_reference(shop: Shop) -> None:
    assert shop.create() == shop.intent
    _refused("reference_taken", shop.create, amount=999)
    assert shop.payments.find("intent-1") == [shop.intent]
    assert shop.payments.find("intent-2") == []
    _refused("unknown_intent", shop.payments.get, "pi_none")


def test_authorise_capture_in_parts_and_refund(shop: Shop) -> None:
    assert shop.confirm(GOOD)["status"] == "requires_capture"
    first = shop.capture(400, reference="capture-1")
    second = shop.capture(600, reference="capture-2")
    refund = shop.refund(250)

    intent = shop.payments.get(shop.intent["id"])
    assert intent["status"] == "succeeded"
    assert intent["captures"] == [first, second]
    assert intent["refunds"] == [refund]
    assert shop.ledger() == [("AUTHORIZED", 1000), ("CAPTURED", 400), ("CAPTURED", 600), ("REFUNDED", 250)]
    assert shop.kinds() == ["authorized", "captured", "captured"]


def test_the_webhook_says_everything_that_the_shop_records(shop: Shop) -> None:
    shop.confirm(GOOD)
    done = shop.capture(400, reference="capture-1")

    authorized, captured = shop.told()
    assert authorized == {
        "id": authorized["id"],
        "type": "payment_intent.authorized",
        "created": "2027-01-15T08:00:00+00:00",
        "sequence": 1,
        "intent": shop.intent["id"],
        "reference": "intent-1",
        "amount": 1000,
        "currency": "GBP",
        "provider_ref": shop.intent["id"],
        "capture_reference": None,
        "method_label": "Visa ending in 4242",
        "risk": "NORMAL",
        "multicapture": True,
        "expires_at": "2027-01-15T08:16:40+00:00",
        "decline_code": None,
        "metadata": {},
    }
    assert (captured["sequence"], captured["amount"]) == (2, 400)
    assert (captured["provider_ref"], captured["capture_reference"]) == (done["id"], "capture-1")


def test_a_final_capture_gives_the_rest_back(shop: Shop) -> None:
    shop.confirm(GOOD)
    shop.capture(400, final=True)

    assert shop.status() == "succeeded"
    assert shop.ledger() == [("AUTHORIZED", 1000), ("CAPTURED", 400), ("VOIDED", 600)]
    _refused("intent_succeeded", shop.capture, 1)


def test_a_capture_or_refund_is_made_once_for_a_reference(shop: Shop) -> None:
    shop.confirm(GOOD)
    assert shop.capture(400, reference="capture-1") == shop.capture(400, reference="capture-1")
    assert shop.refund(100, "refund-1") == shop.refund(100, "refund-1")

    assert shop.ledger() == [("AUTHORIZED", 1000), ("CAPTURED", 400), ("REFUNDED", 100)]
    _refused("reference_taken", shop.capture, 300, reference="capture-1")
    _refused("reference_taken", shop.refund, 200, "refund-1")


def test_never_more_than_there_is(shop: Shop) -> None:
    _refused("intent_requires_payment_method", shop.capture, 1)
    shop.confirm(GOOD)
    assert _refused("exceeds_authorized", shop.capture, 1001).extra == {"capturable": 1000}
    shop.capture(400)
    assert _refused("exceeds_refundable", shop.refund, 401).extra == {"refundable": 400}
    shop.refund(300)
    _refused("exceeds_refundable", shop.refund, 101, "refund-2")


def test_cancel_gives_back_what_is_open(shop: Shop) -> None:
    shop.confirm(GOOD)
    assert shop.cancel()["status"] == "canceled"
    assert shop.cancel()["status"] == "canceled"

    assert shop.ledger() == [("AUTHORIZED", 1000), ("VOIDED", 1000)]
    assert shop.kinds() == ["authorized", "canceled"]
    _refused("intent_canceled", shop.capture, 1)
    _refused("intent_canceled", shop.confirm, GOOD)


def test_cancel_after_a_partial_capture_keeps_the_capture(shop: Shop) -> None:
    shop.confirm(GOOD)
    shop.capture(400)
    assert shop.cancel()["status"] == "succeeded"

    assert shop.ledger() == [("AUTHORIZED", 1000), ("CAPTURED", 400), ("VOIDED", 600)]
    _refused("intent_succeeded", shop.cancel)


def test_cancel_before_payment_moves_no_money(shop: Shop) -> None:
    assert shop.cancel()["status"] == "canceled"
    assert shop.ledger() == []
    _refused("intent_canceled", shop.confirm, GOOD)


def test_automatic_capture(shop: Shop) -> None:
    shop.intent = shop.create(reference="intent-2", method="automatic")
    assert shop.confirm(GOOD)["status"] == "succeeded"
    assert shop.ledger() == [("AUTHORIZED", 1000), ("CAPTURED", 1000)]
    assert shop.kinds() == ["captured"]


def test_only_the_buyer_with_the_secret_and_a_test_card_can_confirm(shop: Shop) -> None:
    _refused("unknown_test_card", shop.confirm, "4111111111111111")
    shop.intent["client_secret"] = "guessed"
    _refused("bad_client_secret", shop.confirm, GOOD)
    assert shop.status() == "requires_payment_method"


@pytest.mark.parametrize(
    ("number", "code"),
    [
        ("4000000000000002", "card_declined"),
        ("4000000000009995", "insufficient_funds"),
        ("4100000000000019", "fraudulent"),
    ],
)
def test_a_decline_leaves_room_for_another_card(shop: Shop, number: str, code: str) -> None:
    declined = shop.confirm(number)
    assert (declined["status"], declined["decline_code"]) == ("requires_payment_method", code)

    assert shop.confirm(GOOD)["decline_code"] is None
    assert shop.kinds() == ["declined", "authorized"]
    assert shop.told()[0]["decline_code"] == code
    assert shop.ledger() == [("AUTHORIZED", 1000)]


def test_high_risk(shop: Shop) -> None:
    assert shop.confirm("4000000000009235")["risk"] == "HIGH"
    assert shop.told()[0]["risk"] == "HIGH"


@pytest.mark.parametrize("number", ["4000000000000101", "4000000000000200"])
def test_slow_decisions(shop: Shop, number: str) -> None:
    assert shop.confirm(number)["status"] == "processing"
    _refused("intent_processing", shop.cancel)
    _refused("intent_processing", shop.confirm, GOOD)
    _refused("intent_processing", shop.capture, 1)
    shop.later(0.9)
    assert shop.status() == "processing"
    shop.later(1.1)
    assert shop.status() == "requires_capture"


def test_a_late_authorisation_can_be_cancelled_only_afterwards(shop: Shop) -> None:
    shop.confirm("4000000000000309")
    _refused("intent_processing", shop.cancel)
    shop.later(5)

    assert shop.cancel()["status"] == "canceled"
    assert shop.ledger() == [("AUTHORIZED", 1000), ("VOIDED", 1000)]


def test_a_late_capture_takes_the_money_at_once_although_capture_is_manual(shop: Shop) -> None:
    shop.confirm("4000000000000408")
    _refused("intent_processing", shop.cancel)
    shop.later(5)

    assert shop.ledger() == [("AUTHORIZED", 1000), ("CAPTURED", 1000)]
    assert shop.kinds() == ["captured"]
    assert shop.told()[0]["capture_reference"] is None
    _refused("intent_succeeded", shop.cancel)
    assert shop.refund(1000)["amount"] == 1000


def test_captures_that_fail_twice_and_then_work(shop: Shop) -> None:
    shop.confirm("4000000000000705")
    tries = [shop.capture(400, reference="capture-1") for _ in range(3)]

    assert tries[:2] == ["try_again", "try_again"]
    assert tries[2]["amount"] == 400
    assert shop.capture(600)["amount"] == 600


def test_captures_that_are_refused_for_good(shop: Shop) -> None:
    shop.confirm("4000000000000804")
    assert [shop.capture(400), shop.capture(400)] == ["capture_refused", "capture_refused"]
    assert shop.cancel()["status"] == "canceled"


def test_refunds_that_fail_twice_and_then_work(shop: Shop) -> None:
    shop.confirm("4000000000000903")
    shop.capture(1000)
    tries = [shop.refund(400) for _ in range(3)]

    assert tries[:2] == ["try_again", "try_again"]
    assert tries[2]["amount"] == 400


def test_refunds_that_are_refused_for_good(shop: Shop) -> None:
    shop.confirm("4000000000001000")
    shop.capture(1000)
    assert [shop.refund(400), shop.refund(400)] == ["refund_refused", "refund_refused"]
    assert shop.ledger() == [("AUTHORIZED", 1000), ("CAPTURED", 1000)]


def test_an_authorisation_lapses(shop: Shop) -> None:
    shop.confirm(GOOD)
    shop.capture(400)
    shop.later(1001)

    assert shop.ledger() == [("AUTHORIZED", 1000), ("CAPTURED", 400), ("VOIDED", 600)]
    assert shop.kinds() == ["authorized", "captured", "expired"]


def test_one_capture_only_lets_the_rest_go(shop: Shop) -> None:
    assert shop.confirm("4000000000001109")["multicapture"] is False
    shop.capture(400, reference="capture-1")

    assert shop.status() == "succeeded"
    assert shop.ledger() == [("AUTHORIZED", 1000), ("CAPTURED", 400), ("VOIDED", 600)]
    assert [told["multicapture"] for told in shop.told()] == [False, False]
    _refused("intent_succeeded", shop.capture, 600, reference="capture-2")


def test_a_payment_like_an_earlier_one_needs_no_buyer(shop: Shop) -> None:
    shop.confirm("4000000000001109")
    anew = shop.create(600, "intent-2", paid_like=shop.intent["id"])

    assert (anew["status"], anew["amount_authorized"]) == ("requires_capture", 600)
    assert (anew["method_label"], anew["multicapture"]) == ("Visa ending in 1109", False)
    assert shop.create(600, "intent-2", paid_like=shop.intent["id"]) == anew
    assert shop.ledger() == [("AUTHORIZED", 1000), ("AUTHORIZED", 600)]
    _refused("unknown_intent", shop.create, 600, "intent-3", paid_like="pi_none")


def test_a_short_authorisation_is_long_when_it_is_made_anew(shop: Shop) -> None:
    shop.confirm("4000000000001208")
    anew = shop.create(1000, "intent-2", paid_like=shop.intent["id"])
    shop.later(11)

    assert shop.status() == "canceled"
    assert shop.payments.get(anew["id"])["status"] == "requires_capture"
    assert shop.kinds() == ["authorized", "authorized", "expired"]


def test_a_card_that_needs_the_buyer(shop: Shop) -> None:
    shop.confirm("4000000000001307")
    anew = shop.create(1000, "intent-2", paid_like=shop.intent["id"])

    assert (anew["status"], anew["decline_code"]) == ("requires_payment_method", "authentication_required")
    assert shop.ledger() == [("AUTHORIZED", 1000)]


def test_a_payment_that_cannot_be_reached_for_a_while(shop: Shop) -> None:
    assert shop.confirm("4000000000001406")["status"] == "requires_capture"
    for act in (lambda: shop.payments.find("intent-1"), shop.cancel, shop.status, shop.create):
        assert _refused("try_again", act).status == 503
    _refused("try_again", shop.capture, 400)
    _refused("try_again", shop.refund, 400)
    shop.later(5)

    assert shop.capture(1000)["amount"] == 1000
    assert shop.kinds() == ["authorized", "captured"]


def test_webhooks_in_the_wrong_order(shop: Shop) -> None:
    shop.confirm("4000000000001505")
    due = shop.store.all("SELECT * FROM webhooks ORDER BY next_at")

    assert [json.loads(row["body"])["type"] for row in due] == [
        "payment_intent.captured",
        "payment_intent.authorized",
    ]
    assert shop.ledger() == [("AUTHORIZED", 1000), ("CAPTURED", 1000)]


def test_a_payment_is_found_by_its_own_id_and_by_that_of_a_capture(shop: Shop) -> None:
    shop.confirm(GOOD)
    done = shop.capture(400)

    for ref in (done["id"], shop.intent["id"]):
        assert [found["id"] for found in shop.payments.find(provider_ref=ref)] == [shop.intent["id"]]
    assert shop.payments.find(provider_ref="cap_none") == []
    assert shop.payments.find() == []


def test_no_card_number_is_stored(tmp_path: Path) -> None:
    store = Store(tmp_path / "ledger")
    Shop(store).confirm(GOOD)
    store.close()

    for file in tmp_path.iterdir():
        assert GOOD.encode() not in file.read_bytes()


def test_the_readme_lists_the_cards_as_they_are() -> None:
    readme = Path(provider.__file__).with_name("README.md").read_text()
    rows = [line for line in readme.splitlines() if line.startswith("| 4")]

    assert rows == [f"| {number} | {card.about} |" for number, card in CARDS.items()]
