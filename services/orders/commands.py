"""One command, one order: load, decide, append, and note the provider calls that the new events want."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from services.orders.domain import Order, OrderCommand
from services.orders.reactions import calls
from shared.domain import Decider
from shared.events.orders import OrderEvent
from shared.store.unit_of_work import UnitOfWork


def streams(command: Any) -> Iterable[str]:
    """The stream that a command decides over."""
    return (f"order-{command.order_id}",)


class Commands:
    """Runs commands on orders under one processing policy, which `order` carries."""

    def __init__(self, order: Decider[Order, OrderCommand, OrderEvent]) -> None:
        self.order = order

    async def __call__(self, uow: UnitOfWork, command: OrderCommand) -> None:
        """Run one command; its instant is the unit of work's, however long it waited. Raises Rejected."""
        before = len(uow.events)
        await uow.decide(self.order, command.order_id, replace(command, now=uow.now))
        if new := uow.events[before:]:
            order = await uow.state(self.order, command.order_id)
            assert order is not None
            for wanted, cause in calls(order, new):
                uow.want(wanted, cause)
