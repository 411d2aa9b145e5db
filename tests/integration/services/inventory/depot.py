"""The inventory service in this process, on its own database: who calls it, what it hears, what it holds."""

import base64
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import httpx

from services.inventory.app import SERVICE
from services.inventory.commands import execute
from services.inventory.domain.reservation import reservation_stream
from services.inventory.domain.stock import ReceiveStock, stock_item_stream
from services.inventory.readmodels.reservations import RESERVATIONS, ReservationRow
from services.inventory.readmodels.stock_levels import STOCK_LEVELS, StockLevel
from shared.domain.ids import MAIN_LOCATION, derive
from shared.events.envelope import Actor, ActorKind, Cause, Recorded
from shared.messaging.consumer import Consumer
from shared.service.auth import issue
from shared.service.clock import utc_now
from shared.service.http import create_app
from shared.service.settings import Settings
from shared.store.connection import open_pool
from shared.store.marks import StoredRecord
from shared.store.postgres import Postgres
from shared.store.rebuild import Chunk, Rebuilt, rebuild
from shared.store.store import Store
from shared.store.unit_of_work import UnitOfWork
from shared.store.worker import Worker
from tests.conftest import Database

TOKEN_KEY = "a key that signs the tokens of these tests"
DATA_KEY = base64.b64encode(bytes(range(32))).decode()


def token(kind: ActorKind, name: str) -> str:
    """A token of this person."""
    return issue(TOKEN_KEY, Actor(kind, name), datetime.now(UTC))


CLERK = token(ActorKind.OPERATOR, "clerk")
OWNER = token(ActorKind.ADMIN, "owner")
BUYER = token(ActorKind.CUSTOMER, str(UUID(int=9)))


class Depot:
    """A running inventory service."""

    def __init__(
        self,
        database: Database,
        store: Store,
        consumer: Consumer,
        http: httpx.AsyncClient,
        worker: Worker,
    ) -> None:
        self.worker = worker
        self.database = database
        self.store = store
        self.consumer = consumer
        self.http = http

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        status: int = 200,
        bearer: str | None = CLERK,
        **headers: str,
    ) -> httpx.Response:
        """The answer, which must have this status; `_` in a header's name stands for `-`."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if bearer is not None:
            sent["Authorization"] = f"Bearer {bearer}"
        content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        if content is not None:
            sent["Content-Type"] = "application/json"
        response = await self.http.request(method, path, headers=sent, content=content)
        assert response.status_code == status, (response.status_code, response.text)
        return response

    async def refused(
        self, method: str, path: str, body: Any = None, *, status: int, **more: Any
    ) -> dict[str, Any]:
        """The problem that the request gets, with its bare code as `code`; nothing may have been recorded."""
        before = await self.recorded()
        response = await self.call(method, path, body, status=status, **more)
        assert response.headers["content-type"] == "application/problem+json"
        assert await self.recorded() == before
        problem: dict[str, Any] = response.json()
        assert problem["status"] == status
        return {**problem, "code": problem["type"].removeprefix("urn:orderflow:problem:")}

    async def receive(self, **quantities: int) -> None:
        """Fill the shelves."""
        lines = [{"sku": sku, "quantity": quantity} for sku, quantity in quantities.items()]
        await self.call("POST", "/receipts", {"lines": lines}, status=201)

    async def stock(self, sku: str, quantity: int) -> None:
        """Fill one shelf, without HTTP."""

        async def work(uow: UnitOfWork) -> None:
            receipt = derive("test-receipt", sku, quantity)
            command = ReceiveStock(sku=sku, location_id=MAIN_LOCATION, receipt_id=receipt, quantity=quantity)
            await execute(uow, command)

        await self.store.transact(Cause(), work)

    async def hear(self, *records: StoredRecord) -> None:
        """Apply records as one batch; none of them may be parked."""
        await self.consumer.handle_batch(records)
        assert await self.parked() == []

    async def parked(self) -> list[tuple[str, int, str]]:
        """What waits: stream, version and reason."""
        rows = await self.store.pool.fetch("SELECT stream_id, version, reason FROM parked ORDER BY 1, 2")
        return [(row["stream_id"], row["version"], row["reason"]) for row in rows]

    async def recorded(self) -> int:
        """How many events there are."""
        count: int = await self.store.pool.fetchval("SELECT count(*) FROM events")
        return count

    async def answers(self, order_id: UUID) -> list[Any]:
        """What the others are told about an order's stock."""
        stream = reservation_stream(order_id)
        return [event.data for event in (await self.store.load([stream]))[stream]]

    async def ledger(self, sku: str) -> list[Recorded[Any]]:
        """Every movement of a sku."""
        stream = stock_item_stream(sku, MAIN_LOCATION)
        return (await self.store.load([stream]))[stream]

    async def level(self, sku: str) -> StockLevel:
        """What there is of a sku."""
        async with self.store.session() as session:
            row = await STOCK_LEVELS.find(session, sku, MAIN_LOCATION)
        assert row is not None
        return row

    async def units(self, sku: str) -> tuple[int, int, int]:
        """on hand, held and available of a sku."""
        row = await self.level(sku)
        return row.on_hand, row.held, row.available

    async def reservation(self, order_id: UUID) -> ReservationRow | None:
        """What is held for an order."""
        async with self.store.session() as session:
            return await RESERVATIONS.find(session, order_id)

    async def rebuilt(self, heard: Sequence[Recorded[Any]] = ()) -> list[Rebuilt]:
        """What a rebuild of every read model finds, `heard` being the foreign events applied so far."""
        async with asyncpg.create_pool(self.database.owner_url, min_size=1, max_size=4) as owner:
            return [
                await rebuild(owner, self.store.registry, model, foreign=_Heard(heard), swap=False)
                for model in self.store.read_models
            ]

    async def check_laws(self, heard: Sequence[Recorded[Any]] = ()) -> None:
        """L1 and L2 hold over the ledger, and every read model equals its rebuild."""
        assert await self.store.pool.fetch(LAW_1) == []
        assert await self.store.pool.fetch(LAW_2) == []
        for result in await self.rebuilt(heard):
            assert result.equal, result


class _Heard:
    """Foreign events as a rebuild reads them, given once."""

    def __init__(self, events: Sequence[Recorded[Any]]) -> None:
        self._events = events
        self.missing = 0

    async def applied(self, _connection: object) -> AsyncIterator[Chunk]:
        events, self._events = self._events, ()
        yield events


@asynccontextmanager
async def open_depot(database: Database) -> AsyncIterator[Depot]:
    """The service with a pool of its own, ready as after a start of its process."""
    settings = Settings(
        database_url=database.url,
        kafka_bootstrap_servers="127.0.0.1:1",
        jwt_key=TOKEN_KEY,
        data_key=DATA_KEY,
        port=0,
    )
    pool = await open_pool(database.url, name=database.service, size=6)
    try:
        store = Store(Postgres(pool), SERVICE.define(settings), epoch=1, clock=utc_now)
        wired = SERVICE.wire(settings, store)
        subscription = SERVICE.subscription(settings)
        assert subscription is not None

        async def fine() -> None:
            return

        app = create_app("inventory", wired.router, {}, fine)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://inventory") as http:
            yield Depot(database, store, Consumer(store, subscription), http, Worker(store, wired.duties))
    finally:
        await pool.close()


_LEDGER = """
WITH moves AS (
    SELECT split_part(stream_id, '-', 1) AS category, stream_id, type,
           convert_from(data, 'UTF8')::jsonb AS d FROM events
), ledger AS (
    SELECT stream_id,
           coalesce(sum((d->>'quantity')::bigint) FILTER (WHERE type = 'StockReceived'), 0) AS received,
           coalesce(sum((d->>'delta')::bigint) FILTER (WHERE type = 'StockAdjusted'), 0) AS adjusted,
           coalesce(sum((d->>'quantity')::bigint) FILTER (WHERE type = 'UnitsRestocked'), 0) AS restocked,
           coalesce(sum((d->>'quantity')::bigint) FILTER (WHERE type = 'UnitsDeducted'), 0) AS deducted,
           coalesce(sum((d->>'quantity')::bigint) FILTER (WHERE type = 'UnitsWrittenOff'), 0) AS written_off
    FROM moves WHERE category = 'stockitem' GROUP BY stream_id
), entries AS (
    SELECT stream_id,
           sum(CASE type WHEN 'UnitsReserved' THEN 1 ELSE -1 END * (e->>'quantity')::bigint) AS live
    FROM moves, jsonb_array_elements(d->'entries') AS e
    WHERE type IN ('UnitsReserved', 'UnitsReleased', 'UnitsDeducted') GROUP BY stream_id
), levels AS (
    SELECT 'stockitem-' || sku || '@' || location_id AS stream_id, l.* FROM stock_levels l
), promised AS (
    SELECT u->>'sku' AS sku, sum((u->>'quantity')::bigint) AS units
    FROM reservations, jsonb_array_elements(held) AS u GROUP BY 1
)
"""

LAW_1 = (
    _LEDGER
    + """
SELECT * FROM ledger FULL JOIN levels USING (stream_id)
WHERE received + adjusted + restocked IS DISTINCT FROM on_hand + deducted + written_off
"""
)
"""The skus whose units came from or went nowhere."""

LAW_2 = (
    _LEDGER
    + """
SELECT levels.* FROM levels LEFT JOIN entries USING (stream_id) LEFT JOIN promised USING (sku)
WHERE held <> coalesce(live, 0) OR held <> coalesce(units, 0)
   OR held < 0 OR damaged < 0 OR quality_control < 0 OR on_hand - held - damaged - quality_control < 0
"""
)
"""The skus that are held otherwise than promised, or of which more is held than there is."""
