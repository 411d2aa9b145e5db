"""One command: load, decide, append, and note the provider calls that the new events want.

A payment of the provider belongs to one order or to one orphan payment. So whatever brings an order money is
decided together with the orphan payment that the same money may be already.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, assert_never

from services.orders.domain import (
    OrderCommand,
    OrderPolicy,
    RecordCaptureResult,
    RecordPaymentAuthorized,
    RecordPaymentCaptured,
    RecordPaymentDeclined,
    order_decider,
)
from services.orders.domain.orphan import (
    MatchOrphanPayment,
    OrphanCommand,
    OrphanStatus,
    orphan_decider,
)
from services.orders.reactions import calls, orphan_calls
from shared.domain import ids
from shared.events.orders import DeclineCode
from shared.store.unit_of_work import UnitOfWork

MoneyCommand = RecordPaymentAuthorized | RecordPaymentCaptured | RecordCaptureResult
"""What brings an order money, if it names the provider's payment."""


def streams(command: Any) -> Iterable[str]:
    """The stream that a command decides over, as far as it says so itself."""
    if isinstance(command, OrphanCommand):
        return (f"orphanpayment-{command.orphan_id}",)
    return (f"order-{command.order_id}",)


class Commands:
    """Runs commands on orders and orphan payments under one processing policy."""

    def __init__(self, policy: OrderPolicy) -> None:
        self.policy = policy
        self.order = order_decider(policy)
        self.orphan = orphan_decider(policy)

    async def __call__(self, uow: UnitOfWork, command: OrderCommand | OrphanCommand) -> None:
        """Run one command; its instant is the unit of work's, however long it waited. Raises Rejected."""
        if isinstance(command, OrphanCommand):
            await self._on_orphan(uow, command)
        elif isinstance(command, MoneyCommand) and command.provider_ref:
            await self._money(uow, command, command.provider_ref)
        else:
            await self._on_order(uow, command)

    async def _money(self, uow: UnitOfWork, command: MoneyCommand, provider_ref: str) -> None:
        """Money for an order, unless it is on its way back already: then the order never had it."""
        orphan_id = ids.orphan_payment_id(self.policy.provider, provider_ref)
        await uow.prefetch((self.order.stream(command.order_id), self.orphan.stream(orphan_id)))
        orphan = await uow.state(self.orphan, orphan_id)
        if orphan is None or orphan.status is OrphanStatus.MATCHED:
            await self._on_order(uow, command)
        elif orphan.status is OrphanStatus.RECEIVED:
            await self._on_order(uow, command)
            match = MatchOrphanPayment(orphan_id=orphan_id, order_id=command.order_id, now=uow.now)
            await self._on_orphan(uow, match)
        else:
            await self._on_order(uow, went_back(command))

    async def _on_order(self, uow: UnitOfWork, command: OrderCommand) -> None:
        before = len(uow.events)
        await uow.decide(self.order, command.order_id, replace(command, now=uow.now))
        if new := uow.events[before:]:
            order = await uow.state(self.order, command.order_id)
            assert order is not None
            for wanted, cause in calls(order, new):
                uow.want(wanted, cause)

    async def _on_orphan(self, uow: UnitOfWork, command: OrphanCommand) -> None:
        before = len(uow.events)
        await uow.decide(self.orphan, command.orphan_id, replace(command, now=uow.now))
        for wanted, cause in orphan_calls(uow.events[before:]):
            uow.want(wanted, cause)


def went_back(command: MoneyCommand) -> OrderCommand:
    """What an order is told of money that is given back as an orphan payment: that it got none."""
    match command:
        case RecordPaymentAuthorized() | RecordPaymentCaptured():
            return RecordPaymentDeclined(
                order_id=command.order_id,
                intent_id=command.intent_id,
                code=DeclineCode.ERROR,
                now=command.now,
            )
        case RecordCaptureResult():
            return replace(command, ok=False, provider_ref=None, code="GIVEN_BACK", final=True)
        case _:
            assert_never(command)
