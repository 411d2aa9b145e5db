"""Orders' money as a whole: the real service over memory beside the sandbox provider's own books.

Whatever buyers, staff and strangers do, in whatever order webhooks come and however often, and wherever the
worker dies between a call and its record: what the provider did is what orders say, and never too much. When
the sequence ends everything is told, and has to add up to the cent.
"""

import asyncio
import base64
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from pydantic import SecretStr

from cli.laws import Laws
from cli.laws.money import AuthorizationsAreUsedUp, EndedOrdersAreSquare, NoMoreBackThanTaken
from cli.laws.orphans import OrphansGoBack
from cli.laws.provider import OnePaymentOneOrder, ProviderAgrees
from cli.simulate.outside import done
from sandbox.provider.cards import CARDS
from sandbox.provider.payments import Delays, Payments
from sandbox.provider.problems import Problem
from sandbox.provider.store import Store as Books
from services.orders import app
from services.orders.commands import Commands
from services.orders.domain import (
    CancelOrder,
    CapturePayment,
    ConfirmDelivery,
    EditOrder,
    Order,
    PlaceOrder,
    Reauthorize,
    RequestPayment,
    RequestRefund,
    RetryRefund,
    RevertEdit,
    SecureEdit,
    SecureStock,
    Ship,
    StartProcessing,
)
from services.orders.domain.orphan import RefundOrphanPayment
from services.orders.domain.state import IntentStatus
from services.orders.sandbox_provider import SandboxProvider, SandboxWebhooks
from services.orders.settings import OrdersSettings
from services.orders.webhooks import Inbox
from shared.domain import Rejected, ids, key_of
from shared.events.common import Breakdown, CancelReason, Qty
from shared.events.common import Line as PricedLine
from shared.events.envelope import Cause, Recorded
from shared.events.orders import DeliveryProof, RefundCause
from shared.service.http_client import HttpClient
from shared.store.store import Store
from shared.store.unit_of_work import UnitOfWork
from shared.store.worker import Worker
from shared.testing.loop import seeded_entropy
from shared.testing.memory.database import Database, quiet
from shared.testing.memory.session import Memory, decoded
from shared.testing.scenario import NOW
from tests.property.machine import uid
from tests.property.profiles import PROFILE
from tests.unit.orders import edit_samples as e
from tests.unit.orders.samples import ALL_UNITS, HELD, MUG_AND_PLATE, PLACED, THE_REST, TOTAL, checkout

GOOD, ONE_CAPTURE = "4242424242424242", "4000000000001109"
SHORT, WRONG_ORDER = "4000000000001208", "4000000000001505"
ORDERS = 2
CARTS = tuple(uid("cart", n) for n in range(ORDERS))
DELAYS = Delays(slow=2.0, late=30.0, soon=3600.0, away=120.0)
LEASE = timedelta(minutes=1)
SETTINGS = OrdersSettings.model_validate(
    {
        "database_url": "memory:",
        "kafka_bootstrap_servers": "memory:0",
        "jwt_key": SecretStr("k" * 32),
        "data_key": SecretStr(base64.b64encode(bytes(range(32))).decode()),
        "port": 0,
        "provider_url": "https://pay.example",
        "webhook_secrets": SecretStr("secret"),
    }
)
POLICY = SETTINGS.order_policy
SETTLED_IN = 2_000
"""Steps in which everything comes to rest."""

data = st.data()


class Crash(BaseException):
    """The process is gone; nothing of it runs on."""


class Line(SandboxProvider):
    """The provider without sockets. `dies_at`: with this call, counted from now, the worker dies, the answer
    still unread; `away`: so many calls meet nobody."""

    def __init__(self, machine: "PaymentMachine") -> None:
        super().__init__(HttpClient("http://pay.example", timeout_s=1), "https://pay.example")
        self._machine = machine
        self.dies_at = 0
        self.away = 0

    async def send(
        self,
        method: str,
        path: str,
        key: str | None,
        *,
        params: Mapping[str, str] | None = None,
        json: Any = None,
    ) -> tuple[int, Any]:
        if self.away:
            self.away -= 1
            raise ConnectionRefusedError("the provider is away")
        try:
            answer = self._machine.at_the_provider(method, path, json or params or {})
        except Problem as problem:
            answer = problem.status, problem.document()
        if self.dies_at:
            self.dies_at -= 1
            if not self.dies_at:
                raise Crash
        return answer


class PaymentMachine(RuleBasedStateMachine):
    """Two orders and any number of strangers who pay to the same provider."""

    def __init__(self) -> None:
        super().__init__()
        self._entropy = seeded_entropy(7)
        self._entropy.__enter__()
        self.runner = asyncio.Runner()
        self.now = NOW
        self.books = Books(Path(":memory:"))
        self.payments = Payments(self.books, DELAYS)
        self.memory = Database(self.clock)
        self.commands = Commands(POLICY)
        self.reader = SandboxWebhooks(["secret"])
        self.inbox = Inbox(self.reader, self.commands, POLICY.provider)
        self.line = Line(self)
        self.told: list[str] = []
        self.wishes = 0
        self.start()

    def start(self) -> None:
        """A new process over the same memory."""
        self.store = Store(Memory(self.memory, quiet), app.define(SETTINGS), epoch=1, clock=self.clock)
        duties = app.assemble(SETTINGS, self.store, self.line).duties
        self.worker = Worker(self.store, duties, lease_s=LEASE.total_seconds())

    def clock(self) -> datetime:
        return self.now

    def at_the_provider(self, method: str, path: str, wish: Any) -> tuple[int, Any]:
        """One request there. Raises Problem."""
        with self.books.transaction():
            return done(self.payments, self.now.timestamp(), method, path, wish)

    @initialize(
        steps=st.sampled_from([7, 6, 5, 8, 4, 3, 2, 0]),
        card=st.sampled_from([GOOD, ONE_CAPTURE, WRONG_ORDER, SHORT, *CARDS]),
        lost=st.sampled_from([False, False, False, True]),
    )
    def begin(self, steps: int, card: str, lost: bool) -> None:
        """The first order already went some of the usual way; perhaps it was paid before, and forgotten."""
        if lost:
            self.a_stranger_pays(0, TOTAL, "manual")
            self.deliver_what_is_due()
        usual: tuple[Callable[[], None], ...] = (
            lambda: self.buy(0, 2),
            self.work,
            lambda: self.confirm(self.payable()[0], card) if self.payable() else None,
            self.deliver_what_is_due,
            lambda: self.ship(0, 1),
            self.work,
            lambda: self.wish_something(0, "reauthorize", 1),
            lambda: self.ship(0, 2),
        )
        for step in usual[:steps]:
            step()

    # What people do

    def tell(self, command: Any) -> bool:
        """One command; whether it was taken."""

        async def work(uow: UnitOfWork) -> None:
            await self.commands(uow, command)

        try:
            self.runner.run(self.store.transact(Cause(), work))
        except Rejected:
            return False
        return True

    def order(self, n: int) -> Order | None:
        async def read() -> Order | None:
            return await self.store.read(self.commands.order, ids.order_id(CARTS[n]))

        return self.runner.run(read())

    @rule(n=st.integers(0, ORDERS - 1), steps=st.sampled_from([2, 2, 2, 1]))
    def buy(self, n: int, steps: int) -> None:
        """A checkout arrives, and mostly its stock too; where that has happened, nothing does."""
        order_id = ids.order_id(CARTS[n])
        bought = replace(checkout(PLACED), order_id=order_id)
        self.tell(PlaceOrder(order_id=order_id, cart_id=CARTS[n], checkout=bought, now=self.now))
        if steps > 1:
            self.tell(SecureStock(order_id=order_id, placed=HELD, now=self.now))

    def payable(self) -> list[Any]:
        """The payment forms that wait for somebody."""
        return self.books.all(
            "SELECT * FROM intents WHERE status = 'requires_payment_method' ORDER BY created, reference"
        )

    def confirm(self, intent: Any, card: str) -> None:
        """Somebody types a card into a payment form."""
        wish = {"client_secret": intent["client_secret"], "number": card}
        with suppress(Problem):
            self.at_the_provider("POST", f"/v1/payment_intents/{intent['id']}/confirm", wish)

    @precondition(lambda self: self.payable())
    @rule(data=data, card=st.sampled_from([GOOD, GOOD, ONE_CAPTURE, *CARDS]), deliver=st.booleans())
    def pay(self, data: st.DataObject, card: str, deliver: bool) -> None:
        """Often the shop hears of it at once."""
        payable = self.payable()
        self.confirm(payable[data.draw(st.integers(0, len(payable) - 1))], card)
        if deliver:
            self.deliver_what_is_due()

    @rule(
        whose=st.sampled_from([0, 1, None, None]),
        amount=st.sampled_from([TOTAL, 700]),
        method=st.sampled_from(["manual", "automatic"]),
    )
    def a_stranger_pays(self, whose: int | None, amount: int, method: str) -> None:
        """Money that orders never asked for: somebody else's, or of an order that it has lost."""
        self.wishes += 1
        order_id = None if whose is None else ids.order_id(CARTS[whose])
        wish: dict[str, Any] = {
            "amount": amount,
            "currency": "GBP",
            "reference": str(ids.intent_id(order_id, 1)) if order_id else f"theirs-{self.wishes}",
            "capture_method": method,
            "metadata": {"order_id": str(order_id or "theirs")},
        }
        asked = "SELECT 1 FROM intents WHERE reference = ?"
        if order_id is not None and (self.books.one(asked, wish["reference"]) or self.order(whose or 0)):
            return
        if order_id is not None:
            wish |= {"amount": TOTAL, "capture_method": "manual"}
        _, made = self.at_the_provider("POST", "/v1/payment_intents", wish)
        paid = {"client_secret": made["client_secret"], "number": GOOD}
        self.at_the_provider("POST", f"/v1/payment_intents/{made['id']}/confirm", paid)

    @rule(n=st.integers(0, ORDERS - 1), parcel=st.sampled_from([1, 1, 2, 3]))
    def ship(self, n: int, parcel: int) -> None:
        order_id = ids.order_id(CARTS[n])
        self.tell(StartProcessing(order_id=order_id, now=self.now))
        units: tuple[Qty, ...] = {1: MUG_AND_PLATE, 2: THE_REST, 3: ALL_UNITS}[parcel]
        for fulfillment in ((order := self.order(n)) and order.fulfillments) or ():
            self.tell(
                Ship(
                    order_id=order_id,
                    fulfillment_id=fulfillment,
                    parcel_no=parcel,
                    lines=units,
                    now=self.now,
                )
            )

    @rule(
        n=st.integers(0, ORDERS - 1),
        wish=st.sampled_from(["cancel", "pay again", "reauthorize", "capture", "deliver"]),
        amount=st.sampled_from([1, 700, TOTAL]),
    )
    def wish_something(self, n: int, wish: str, amount: int) -> None:
        order_id = ids.order_id(CARTS[n])
        self.wishes += 1
        about: dict[str, Any] = {"order_id": order_id, "now": self.now}
        match wish:
            case "cancel":
                self.tell(CancelOrder(**about, reason=CancelReason.STAFF))
            case "pay again":
                self.tell(RequestPayment(**about))
            case "reauthorize":
                self.tell(Reauthorize(**about))
            case "capture":
                self.tell(CapturePayment(**about, request_id=uid("wish", self.wishes), amount=amount))
            case _:
                for parcel in ((order := self.order(n)) and order.shipments) or ():
                    proof = DeliveryProof.STAFF
                    self.tell(ConfirmDelivery(**about, shipment_id=parcel, proof=proof))

    @rule(
        n=st.integers(0, ORDERS - 1),
        mugs=st.sampled_from([e.THREE_MUGS, e.TWO_MUGS, e.DEARER_MUGS, e.FOUR_MUGS]),
        held=st.sampled_from([True, True, False, None]),
    )
    def edit(self, n: int, mugs: PricedLine, held: bool | None) -> None:
        """Staff change what is in the order; inventory holds what is more, refuses it, or stays silent."""
        about: dict[str, Any] = {"order_id": ids.order_id(CARTS[n]), "now": self.now}
        self.wishes += 1
        quote = e.quote(mugs, e.TWO_PLATES, now=self.now)
        self.tell(EditOrder(**about, edit_id=uid("edit", self.wishes), quote=quote, currency="GBP"))
        order = self.order(n)
        if order is None or order.edit is None or not order.edit.waits_for_stock or held is None:
            return
        if held:
            self.tell(SecureEdit(**about, revision=order.revision, added=e.ONE_MORE_MUG))
        else:
            self.tell(RevertEdit(**about, revision=order.revision, refused=True))

    @rule(n=st.integers(0, ORDERS - 1), amount=st.sampled_from([1, 700, TOTAL]), again=st.booleans())
    def refund(self, n: int, amount: int, again: bool) -> None:
        """Goodwill, or another try of what was granted before."""
        order_id, order = ids.order_id(CARTS[n]), self.order(n)
        if again:
            for refund_id in order.refunds if order else ():
                self.tell(RetryRefund(order_id=order_id, refund_id=refund_id, now=self.now))
            return
        self.wishes += 1
        whole = Breakdown(items_net=amount, items_tax=0, shipping_net=0, shipping_tax=0, total=amount)
        self.tell(
            RequestRefund(
                order_id=order_id,
                refund_id=uid("refund", self.wishes),
                amount=amount,
                breakdown=whole,
                cause=RefundCause.GOODWILL,
                ref_id=uid("case", self.wishes),
                now=self.now,
            )
        )

    @precondition(lambda self: self.orphans())
    @rule(data=data)
    def give_an_orphan_back(self, data: st.DataObject) -> None:
        orphans = self.orphans()
        orphan = orphans[data.draw(st.integers(0, len(orphans) - 1))]
        self.tell(RefundOrphanPayment(orphan_id=orphan, now=self.now))

    def orphans(self) -> list[UUID]:
        """In the order of their coming."""
        streams = dict.fromkeys(event.stream for event in self.memory.events())
        return [UUID(key_of(stream)) for stream in streams if stream.startswith("orphanpayment-")]

    # What the outside does

    def webhooks(self) -> list[Any]:
        """Everything that the provider has to tell, oldest first."""
        return self.books.all("SELECT * FROM webhooks ORDER BY seq")

    @precondition(lambda self: self.webhooks())
    @rule(data=data)
    def deliver_any(self, data: st.DataObject) -> None:
        """Any webhook, whether it is its turn or not, and however often it came before."""
        rows = self.webhooks()
        self.deliver(rows[data.draw(st.integers(0, len(rows) - 1))])

    @rule()
    def deliver_what_is_due(self) -> None:
        for row in self.webhooks():
            if row["next_at"] is not None and row["next_at"] <= self.now.timestamp():
                self.deliver(row)

    def deliver(self, row: Any) -> None:
        body = row["body"].encode()
        notice = self.reader.read(body)

        async def work(uow: UnitOfWork) -> str:
            return await self.inbox.receive(uow, notice, body)

        self.told.append(self.runner.run(self.store.transact(Cause(), work)))
        with self.books.transaction():
            self.books.update("webhooks", {"seq": row["seq"]}, next_at=None)

    @rule(dies_at=st.sampled_from([0, 0, 0, 1, 2, 3]), away=st.sampled_from([0, 0, 0, 1, 3]))
    def work(self, dies_at: int = 0, away: int = 0) -> None:
        """The worker does what is due; it may die with a call that was made and not noted."""
        self.line.dies_at, self.line.away = dies_at, away
        try:
            self.runner.run(self.worker.run_due())
        except Crash:
            self.start()
            self.now += 2 * LEASE
        self.line.dies_at = self.line.away = 0

    @rule(pace=st.sampled_from([1, 60, 1900, 3600, 6 * 3600, 25 * 3600, 7 * 86400]))
    def time_passes(self, pace: int) -> None:
        """No webhook is later than an authorization lasts."""
        if pace > 3600:
            for row in self.webhooks():
                if row["next_at"] is not None:
                    self.deliver(row)
        self.now += timedelta(seconds=pace)
        with self.books.transaction():
            self.payments.work_off(self.now.timestamp())

    # What has to hold

    def events(self) -> list[Recorded[Any]]:
        return [decoded(self.store.registry, event) for event in self.memory.events()]

    @invariant()
    def the_provider_never_gives_more_than_it_has(self) -> None:
        """Per intent: refunded <= captured, captured + voided <= authorized."""
        sums: dict[str, Counter[str]] = {}
        for line in self.payments.entries(0, 100_000):
            sums.setdefault(line["intent_id"], Counter())[line["kind"]] += line["amount"]
        for each in sums.values():
            assert each["REFUNDED"] <= each["CAPTURED"]
            assert each["CAPTURED"] + each["VOIDED"] <= each["AUTHORIZED"]

    @invariant()
    def no_order_says_more_than_there_is(self) -> None:
        """At most one intent open; per intent captures <= authorized; refunds <= captures."""
        for n in range(ORDERS):
            order = self.order(n)
            if order is None:
                continue
            intents = order.intents.values()
            assert sum(intent.status is IntentStatus.OPEN for intent in intents) <= 1
            for intent in intents:
                taken = sum(c.amount for c in order.captures_of(intent) if not c.late)
                assert taken <= intent.authorized or not intent.authorized
            assert order.refunded <= order.taken

    @invariant()
    def every_stream_obeys_its_laws(self) -> None:
        laws = Laws((NoMoreBackThanTaken, AuthorizationsAreUsedUp, OnePaymentOneOrder))
        for event in self.events():
            laws.see(event)
        laws.finish(at_rest=False)
        assert laws.violations == []

    def teardown(self) -> None:
        """Everything is told and done; then it adds up with the provider's ledger."""
        try:
            self.come_to_rest()
            self.it_adds_up()
        finally:
            self.runner.close()
            self.books.close()
            self._entropy.__exit__(None, None, None)

    def come_to_rest(self) -> None:
        for _ in range(SETTLED_IN):
            with self.books.transaction():
                following = self.payments.work_off(self.now.timestamp())
            self.deliver_what_is_due()
            self.work()
            waiting = [row["next_at"] for row in self.webhooks() if row["next_at"] is not None]
            waiting += [following] if following else []
            waiting += [row.todo.due.timestamp() for row in self.memory.table("todo").values()]
            if not waiting:
                return
            self.now = max(self.now, datetime.fromtimestamp(min(waiting), NOW.tzinfo)) + timedelta(seconds=1)
        raise AssertionError("it never comes to rest")

    def it_adds_up(self) -> None:
        laws = Laws(
            (
                NoMoreBackThanTaken,
                AuthorizationsAreUsedUp,
                EndedOrdersAreSquare,
                OnePaymentOneOrder,
                OrphansGoBack,
                ProviderAgrees,
            )
        )
        for event in self.events():
            laws.see(event)
        for line in self.payments.entries(0, 100_000):
            laws[ProviderAgrees].entry(
                line["kind"], line["reference"], line["amount"], line["currency"], line["provider_ref"]
            )
        laws.finish(at_rest=True)
        assert laws.violations == []


TestPayments = PaymentMachine.TestCase
TestPayments.settings = settings(PROFILE, max_examples=PROFILE.max_examples // 3, stateful_step_count=40)
