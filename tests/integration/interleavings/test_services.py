"""Commands of the real services that meet: some order of whole ones explains what came of their steps."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from services.inventory.commands import execute as execute_stock
from services.inventory.commands import streams
from services.inventory.domain.releasing import ReleaseStock
from services.inventory.domain.reservation import LineUnits, reservation_stream
from services.inventory.domain.reserving import ReserveStock
from services.inventory.domain.revising import ReviseReservation
from services.inventory.domain.stock import STOCK_ITEM, ReceiveStock, stock_item_stream
from services.orders.commands import Commands
from services.orders.domain import (
    CapturePayment,
    OrderPolicy,
    RecordPaymentCaptured,
    RecordVoided,
    RequestPayment,
    RequestRefund,
)
from services.orders.domain.orphan import RecordOrphanPayment, RefundOrphanPayment
from shared.domain import Rejected, ids
from shared.domain.ids import MAIN_LOCATION, derive
from shared.events.common import Breakdown
from shared.events.envelope import ActorKind, Cause
from shared.events.orders import RefundCause, VoidCause
from shared.events.orphan_payments import OrphanPaymentKind
from shared.store.connection import open_pool
from shared.store.errors import Conflict
from shared.store.postgres import Postgres
from shared.store.store import Store
from shared.store.unit_of_work import UnitOfWork
from shared.testing.scenario import NOW
from tests.conftest import MakeDatabase
from tests.integration.fuzz.platform import SERVICES, settings_of
from tests.integration.interleavings.schedules import GatedPool, Run, Stage, Work, stage
from tests.integration.services.inventory.depot import LAW_1
from tests.unit.orders.edit_samples import DEARER_MUGS, TWO_MUGS, TWO_PLATES, edit
from tests.unit.orders.samples import (
    AUTHORIZE,
    CANCEL,
    CAPTURE_DONE,
    DECLINE,
    DEPOT,
    INTENT,
    ORDER_ID,
    PLACE,
    SECURE,
    SHIP_ALL,
    START,
    TOTAL,
)

pytestmark = pytest.mark.integration
log = logging.getLogger(__name__)

Execute = Callable[[UnitOfWork, Any], Awaitable[None]]
ORDERS = Commands(OrderPolicy())


@dataclass
class Bench:
    """A service's store, commands to play on it, and what came of each number's."""

    name: str
    store: Store
    execute: Execute
    on_stage: Stage

    async def do(self, *commands: Any) -> None:
        """Run commands one after another, in one transaction."""

        async def work(uow: UnitOfWork) -> None:
            for command in commands:
                await self.execute(uow, command)

        await self.store.transact(Cause(), work)

    def player(self, command: Any, *, again: bool) -> Work:
        """One command in its own transaction: "done", the code of its refusal, or "conflict" if it is not
        to be tried `again`."""

        async def work(pool: GatedPool) -> str:
            backend: Any = pool
            settings = settings_of(self.name)
            store = Store(
                Postgres(backend), SERVICES[self.name].define(settings), epoch=1, clock=self.store.clock
            )
            try:
                if again:
                    await store.transact(Cause(), lambda uow: self.execute(uow, command))
                else:
                    async with store.unit_of_work(Cause()) as uow:
                        await self.execute(uow, command)
            except Rejected as refusal:
                return refusal.code
            except Conflict:
                return "conflict"
            return "done"

        return work

    async def plainly(self, command: Any) -> str:
        """The same without anybody beside it."""
        try:
            await self.do(command)
        except Rejected as refusal:
            return refusal.code
        return "done"

    async def types(self, *streams: str) -> tuple[str, ...]:
        """What the streams hold, stream by stream."""
        loaded = await self.store.load(streams)
        for events in loaded.values():
            assert [event.version for event in events] == list(range(1, len(events) + 1))
        return tuple(event.type for stream in streams for event in loaded[stream])

    async def explained(
        self,
        prepare: Callable[[int], Awaitable[Sequence[Any]]],
        seen: Callable[[int], Awaitable[Any]],
        *,
        again: bool = True,
        alike: bool = False,
    ) -> int:
        """Play the commands of `prepare(number)` in every order of steps; gives how many orders there are.

        Each time, what is answered and then `seen` must be what some order of whole commands gives, those
        left out that met a conflict and were not tried `again`.
        """
        serial: set[Any] = set()
        size = len(await prepare(-1))
        number = -1
        for length in (size,) if again else range(1, size + 1):
            for order in permutations(range(size), length):
                number -= 1
                commands = await prepare(number)
                answers = {which: await self.plainly(commands[which]) for which in order}
                serial.add((tuple(answers.get(n, "conflict") for n in range(size)), await seen(number)))

        async def scene(number: int) -> list[Work]:
            return [self.player(command, again=again) for command in await prepare(number)]

        async def check(number: int, run: Run) -> None:
            assert (tuple(run.outcomes), await seen(number)) in serial, run

        count = await self.on_stage.every_order(scene, check, alike=alike)
        assert await self.store.pool.fetchval(UNTOLD, sorted(self.store.public)) == 0
        log.info("%d orders of steps, %d outcomes of whole commands", count, len(serial))
        return count


UNTOLD = """
SELECT count(*) FROM (SELECT position FROM events WHERE split_part(stream_id, '-', 1) = ANY($1)) AS public
FULL JOIN outbox USING (position) WHERE public.position IS NULL OR outbox.position IS NULL
"""
"""Public events that are not in the outbox, and outbox rows of no public event; no relay runs here."""


@asynccontextmanager
async def open_bench(
    make_database: MakeDatabase, admin: Any, name: str, execute: Execute
) -> AsyncIterator[Bench]:
    service = SERVICES[name]
    database = await make_database(service.migrations, name)
    pool = await open_pool(database.url, name=name, size=2)
    try:
        store = Store(Postgres(pool), service.define(settings_of(name)), epoch=1, clock=lambda: NOW)
        async with stage(database.url, admin) as on_stage:
            yield Bench(name, store, execute, on_stage)
    finally:
        await pool.close()


@pytest.fixture
async def depot(
    make_database: MakeDatabase, admin: "asyncpg.Connection[asyncpg.Record]"
) -> AsyncIterator[Bench]:
    async with open_bench(make_database, admin, "inventory", execute_at_once) as bench:
        yield bench
        assert await bench.store.pool.fetch(LAW_1) == []


@pytest.fixture
async def shop(
    make_database: MakeDatabase, admin: "asyncpg.Connection[asyncpg.Record]"
) -> AsyncIterator[Bench]:
    async with open_bench(make_database, admin, "orders", ORDERS) as bench:
        yield bench


async def execute_at_once(uow: UnitOfWork, command: Any) -> None:
    """With everything that is known to be needed loaded in one query, as a consumer does."""
    if isinstance(command, ReserveStock | ReviseReservation | ReleaseStock):
        await uow.prefetch(streams(command))
    await execute_stock(uow, command)


def buyer(number: int, which: int) -> UUID:
    return derive("interleaved-order", number, which)


def wish(number: int, which: int, quantity: int = 1) -> ReserveStock:
    return ReserveStock(
        order_id=buyer(number, which),
        location_id=MAIN_LOCATION,
        lines=(LineUnits(line_id=UUID(int=1), sku=f"S{number}", quantity=quantity),),
        cause_event_id=derive("interleaved-placing", number, which),
    )


def regret(number: int, which: int) -> ReleaseStock:
    return ReleaseStock(
        order_id=buyer(number, which), cause_event_id=derive("interleaved-regret", number, which)
    )


def second_thought(number: int, which: int, quantity: int) -> ReviseReservation:
    return ReviseReservation(
        order_id=buyer(number, which),
        revision=1,
        location_id=MAIN_LOCATION,
        lines=wish(number, which, quantity).lines,
        cause_event_id=derive("interleaved-edit", number, which),
    )


async def stocked(depot: Bench, number: int, quantity: int) -> None:
    receipt = derive("interleaved-receipt", number)
    await depot.do(
        ReceiveStock(sku=f"S{number}", location_id=MAIN_LOCATION, receipt_id=receipt, quantity=quantity)
    )


def kept(depot: Bench, orders: int) -> Callable[[int], Awaitable[Any]]:
    """What is held and what each order was answered; never more is held than there is."""

    async def seen(number: int) -> Any:
        item = await depot.store.read(STOCK_ITEM, f"S{number}@{MAIN_LOCATION}")
        assert item is not None
        assert 0 <= item.held <= item.on_hand
        await depot.types(stock_item_stream(f"S{number}", MAIN_LOCATION))
        answers = [await depot.types(reservation_stream(buyer(number, which))) for which in range(orders)]
        return item.held, item.on_hand, tuple(answers)

    return seen


async def test_a_reservation_and_its_cancellation(depot: Bench) -> None:
    async def prepare(number: int) -> Sequence[Any]:
        await stocked(depot, number, 1)
        return [wish(number, 0), regret(number, 0)]

    assert await depot.explained(prepare, kept(depot, 1)) >= 7


async def test_the_last_unit_is_released_while_another_wants_it(depot: Bench) -> None:
    async def prepare(number: int) -> Sequence[Any]:
        await stocked(depot, number, 1)
        await depot.do(wish(number, 0))
        return [regret(number, 0), wish(number, 1)]

    assert await depot.explained(prepare, kept(depot, 2)) >= 7


async def test_an_edit_wants_the_last_unit_that_another_order_wants(depot: Bench) -> None:
    async def prepare(number: int) -> Sequence[Any]:
        await stocked(depot, number, 2)
        await depot.do(wish(number, 0))
        return [second_thought(number, 0, 2), wish(number, 1)]

    assert await depot.explained(prepare, kept(depot, 2)) >= 7


async def test_an_edit_lowers_what_a_cancellation_releases(depot: Bench) -> None:
    async def prepare(number: int) -> Sequence[Any]:
        await stocked(depot, number, 2)
        await depot.do(wish(number, 0, 2))
        return [second_thought(number, 0, 1), regret(number, 0)]

    assert await depot.explained(prepare, kept(depot, 1)) >= 7


async def test_three_orders_want_two_units(depot: Bench) -> None:
    async def prepare(number: int) -> Sequence[Any]:
        await stocked(depot, number, 2)
        return [wish(number, which) for which in range(3)]

    assert await depot.explained(prepare, kept(depot, 3), again=False, alike=True) >= 50


def of(number: int, command: Any) -> Any:
    """The sample command for another order."""
    cart_id = derive("interleaved-cart", number)
    order_id = ids.order_id(cart_id)
    changed: dict[str, Any] = {"order_id": order_id}
    if hasattr(command, "cart_id"):
        changed |= {"cart_id": cart_id, "checkout": replace(command.checkout, order_id=order_id)}
    intent, fulfillment = ids.intent_id(order_id, 1), ids.fulfillment_id(order_id, "OWN", str(DEPOT), 1)
    if hasattr(command, "intent_id"):
        changed["intent_id"] = intent
    if hasattr(command, "fulfillment_id"):
        changed["fulfillment_id"] = fulfillment
    if hasattr(command, "capture_id"):
        changed["capture_id"] = ids.capture_id(intent, ids.shipment_id(fulfillment, 1))
    return replace(command, **changed)


async def in_processing(shop: Bench, number: int, *more: Any) -> None:
    await shop.do(*(of(number, command) for command in (PLACE, SECURE, AUTHORIZE, START, *more)))


def told(shop: Bench) -> Callable[[int], Awaitable[Any]]:
    """The order's events; it never ships once it is cancelled and never pays back more than it got."""

    async def seen(number: int) -> Any:
        order_id = ids.order_id(derive("interleaved-cart", number))
        types = await shop.types(f"order-{order_id}")
        assert not {"Shipped", "OrderCancelled"} <= set(types)
        order = await shop.store.read(ORDERS.order, order_id)
        assert order is not None
        assert order.refunded <= order.taken
        return types

    return seen


def goodwill(number: int, amount: int, which: int = 0) -> RequestRefund:
    return RequestRefund(
        order_id=ids.order_id(derive("interleaved-cart", number)),
        refund_id=derive("interleaved-refund", number, which),
        cause=RefundCause.GOODWILL,
        ref_id=derive("interleaved-case", number, which),
        amount=amount,
        breakdown=Breakdown(items_net=amount, items_tax=0, shipping_net=0, shipping_tax=0, total=amount),
        lines=(),
        now=NOW,
    )


async def test_a_parcel_leaves_while_the_order_is_cancelled(shop: Bench) -> None:
    async def prepare(number: int) -> Sequence[Any]:
        await in_processing(shop, number)
        return [of(number, SHIP_ALL), of(number, replace(CANCEL, by=ActorKind.OPERATOR))]

    assert await shop.explained(prepare, told(shop)) >= 7


async def test_money_comes_in_while_some_goes_back(shop: Bench) -> None:
    """A refund that comes too early is refused without a trace, which leaves few orders."""

    async def prepare(number: int) -> Sequence[Any]:
        await in_processing(shop, number, SHIP_ALL)
        return [of(number, CAPTURE_DONE), goodwill(number, TOTAL)]

    assert await shop.explained(prepare, told(shop)) >= 4


def paid_once(shop: Bench) -> Callable[[int], Awaitable[Any]]:
    """The order's events: one authorization, one capture, one refund at the most."""

    async def seen(number: int) -> Any:
        types = await told(shop)(number)
        order = await shop.store.read(ORDERS.order, ids.order_id(derive("interleaved-cart", number)))
        assert order is not None
        assert types.count("PaymentAuthorized") <= 1
        assert types.count("PaymentCaptured") + types.count("LatePaymentReceived") <= 1
        assert types.count("RefundRequested") <= 1
        assert sum(intent.status == "OPEN" for intent in order.intents.values()) <= 1
        for intent in order.intents.values():
            assert sum(c.amount for c in order.captures_of(intent)) + intent.voided <= TOTAL
        return types

    return seen


TAKE = RecordPaymentCaptured(order_id=ORDER_ID, intent_id=INTENT, amount=TOTAL, provider_ref="ch_1", now=NOW)
TAKE_BY_HAND = CapturePayment(order_id=ORDER_ID, request_id=derive("by hand"), amount=700, now=NOW)
LAPSED = RecordVoided(order_id=ORDER_ID, intent_id=INTENT, cause=VoidCause.EXPIRED, now=NOW)
PAY_AGAIN = RequestPayment(order_id=ORDER_ID, now=NOW)


async def test_two_webhooks_and_the_storefront(shop: Bench) -> None:
    """A success, the decline of an earlier try, and the buyer who asks to pay again."""

    async def prepare(number: int) -> Sequence[Any]:
        await shop.do(of(number, PLACE), of(number, SECURE))
        return [of(number, command) for command in (AUTHORIZE, DECLINE, PAY_AGAIN)]

    assert await shop.explained(prepare, paid_once(shop), again=False) >= 20


async def test_a_cancellation_and_a_payment_that_comes_late(shop: Bench) -> None:
    async def prepare(number: int) -> Sequence[Any]:
        await shop.do(of(number, PLACE), of(number, SECURE))
        return [of(number, CANCEL), of(number, TAKE)]

    assert await shop.explained(prepare, paid_once(shop)) >= 7


async def test_a_capture_while_the_authorization_lapses(shop: Bench) -> None:
    async def prepare(number: int) -> Sequence[Any]:
        await shop.do(*(of(number, command) for command in (PLACE, SECURE, AUTHORIZE)))
        return [of(number, TAKE_BY_HAND), of(number, LAPSED)]

    assert await shop.explained(prepare, paid_once(shop)) >= 4


async def test_a_capture_while_the_order_is_cancelled(shop: Bench) -> None:
    async def prepare(number: int) -> Sequence[Any]:
        await shop.do(*(of(number, command) for command in (PLACE, SECURE, AUTHORIZE)))
        return [of(number, TAKE_BY_HAND), of(number, CANCEL)]

    assert await shop.explained(prepare, paid_once(shop)) >= 4


async def test_an_order_is_edited_while_its_parcel_leaves(shop: Bench) -> None:
    """What left was as it was, or what was changed did not leave."""

    async def prepare(number: int) -> Sequence[Any]:
        await in_processing(shop, number)
        return [of(number, edit(TWO_MUGS, TWO_PLATES)), of(number, SHIP_ALL)]

    assert await shop.explained(prepare, told(shop)) >= 7


async def test_an_order_is_edited_while_it_is_cancelled(shop: Bench) -> None:
    async def prepare(number: int) -> Sequence[Any]:
        await shop.do(*(of(number, command) for command in (PLACE, SECURE, AUTHORIZE)))
        return [of(number, edit(DEARER_MUGS, TWO_PLATES)), of(number, CANCEL)]

    assert await shop.explained(prepare, paid_once(shop)) >= 4


async def test_an_order_is_edited_while_its_money_is_taken(shop: Bench) -> None:
    """What was taken beyond the new total goes back, whichever of them came first."""

    async def prepare(number: int) -> Sequence[Any]:
        await shop.do(*(of(number, command) for command in (PLACE, SECURE, AUTHORIZE)))
        return [of(number, edit(TWO_MUGS, TWO_PLATES)), of(number, TAKE)]

    async def seen(number: int) -> Any:
        types = await paid_once(shop)(number)
        assert types.count("RefundRequested") == 1
        return types

    assert await shop.explained(prepare, seen) >= 4


async def test_an_orphan_goes_back_while_its_order_turns_up(shop: Bench) -> None:
    """Either the order has the money or the stranger, never both."""

    def orphan(number: int) -> RecordOrphanPayment:
        return RecordOrphanPayment(
            kind=OrphanPaymentKind.AUTHORIZED,
            provider="sandbox",
            provider_ref=f"pi_{number}",
            amount=TOTAL,
            currency="GBP",
            now=NOW,
        )

    async def prepare(number: int) -> Sequence[Any]:
        await shop.do(orphan(number), of(number, PLACE), of(number, SECURE))
        paid = replace(of(number, AUTHORIZE), provider_ref=f"pi_{number}")
        return [paid, RefundOrphanPayment(orphan_id=orphan(number).orphan_id, now=NOW)]

    async def seen(number: int) -> Any:
        types = await paid_once(shop)(number)
        fate = await shop.types(f"orphanpayment-{orphan(number).orphan_id}")
        matched, goes_back = "OrphanPaymentMatched" in fate, "OrphanPaymentRefundRequested" in fate
        assert matched != goes_back
        assert matched == ("PaymentAuthorized" in types)
        return types, fate

    assert await shop.explained(prepare, seen) >= 7


async def test_two_refunds_of_more_than_half_the_money(shop: Bench) -> None:
    async def prepare(number: int) -> Sequence[Any]:
        await in_processing(shop, number, SHIP_ALL, CAPTURE_DONE)
        return [goodwill(number, TOTAL * 2 // 3), goodwill(number, TOTAL * 2 // 3, 1)]

    assert await shop.explained(prepare, told(shop)) >= 7


async def test_two_refunds_of_all_the_money_while_it_comes_in(shop: Bench) -> None:
    async def prepare(number: int) -> Sequence[Any]:
        await in_processing(shop, number, SHIP_ALL)
        return [of(number, CAPTURE_DONE), goodwill(number, TOTAL), goodwill(number, TOTAL, 1)]

    assert await shop.explained(prepare, told(shop)) >= 30
