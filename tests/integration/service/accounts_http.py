"""The teller's accounts over HTTP: enough of a service to try the shell on."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import httpx
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel

from shared.events.envelope import Actor, ActorKind
from shared.service.auth import ANYONE, Authenticator, issue
from shared.service.commands import Outcome, require_version, run_command
from shared.service.http import create_app
from shared.store.store import Store
from shared.store.unit_of_work import UnitOfWork
from tests.integration.bank.accounts import ACCOUNT, Withdraw
from tests.integration.bank.services import Teller

KEY = "a key that signs the tokens of these tests"


class Withdrawal(BaseModel):
    amount: int


def bearer(name: str = "ann", kind: ActorKind = ActorKind.CUSTOMER) -> dict[str, str]:
    """The header of a signed-in person."""
    return {"Authorization": f"Bearer {issue(KEY, Actor(kind, name), datetime.now(UTC))}"}


def routes(store: Store) -> APIRouter:
    router = APIRouter()
    anyone = Depends(Authenticator(KEY).require(ANYONE))

    @router.post("/accounts/{account}/withdrawals")
    async def withdraw(
        account: str, withdrawal: Withdrawal, request: Request, actor: Actor = anyone
    ) -> Response:
        async def work(uow: UnitOfWork) -> Outcome:
            await uow.state(ACCOUNT, account)
            require_version(request, uow.version(ACCOUNT, account))
            await uow.decide(ACCOUNT, account, Withdraw(account=account, amount=withdrawal.amount))
            state = await uow.state(ACCOUNT, account)
            assert state is not None
            body = {"account": account, "balance": state.balance}
            return Outcome(body=body, version=uow.version(ACCOUNT, account), status=201)

        return await run_command(request, store, actor, work)

    return router


@asynccontextmanager
async def open_counter(teller: Teller) -> AsyncIterator[httpx.AsyncClient]:
    """The teller's counter, where Ann stands."""

    async def fine() -> None:
        return

    app = create_app("teller", routes(teller.store), {}, fine)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://teller", headers=bearer()) as http:
        yield http
