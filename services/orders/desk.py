"""One command on one order over HTTP: who may, of which version, and what is answered."""

from collections.abc import Callable
from typing import Any

from fastapi import Request, Response

from services.orders import answers
from services.orders.commands import Commands
from services.orders.domain import Order, OrderCommand
from services.orders.pages import unknown, visible
from shared.events.envelope import Actor
from shared.service.auth import STAFF
from shared.service.commands import Outcome, require_version, run_command
from shared.store.store import Store
from shared.store.unit_of_work import UnitOfWork


class Desk:
    """Runs one command on one order for somebody who may see it."""

    def __init__(self, store: Store, commands: Commands) -> None:
        self._store = store
        self._commands = commands

    async def do(
        self,
        request: Request,
        actor: Actor,
        command: OrderCommand,
        answer: Callable[[Order], dict[str, Any]] = answers.progress,
        *,
        status: int = 200,
    ) -> Response:
        decider, order_id = self._commands.order, command.order_id

        async def work(uow: UnitOfWork) -> Outcome:
            if actor.kind not in STAFF:
                await visible(uow.session, order_id, actor)
            if await uow.state(decider, order_id) is None:
                raise unknown(order_id)
            require_version(request, uow.version(decider, order_id))
            await self._commands(uow, command)
            order = await uow.state(decider, order_id)
            assert order is not None
            return Outcome(body=answer(order), version=uow.version(decider, order_id), status=status)

        return await run_command(request, self._store, actor, work, streams=[decider.stream(order_id)])
