"""Which streams each command decides over: load, decide, append."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from services.returns.domain.decisions import (
    Decided,
    ProposeGoodwill,
    ProposeReturnRefund,
    decide_refund,
    decide_return,
    on_deadline,
    refund_id,
)
from services.returns.domain.policy import (
    DEFAULT_TERMS,
    KEY,
    RETURN_POLICY,
    AdoptReturnPolicy,
    ReturnPolicy,
)
from services.returns.domain.refund import REFUND_GRANT, ApproveRefund
from services.returns.domain.returnable import RETURNABLE, NoteOrderFact
from services.returns.domain.returns import (
    RETURN,
    ApproveReturn,
    CancelReturn,
    CloseReturn,
    DeclineReturn,
    ReceiveReturn,
    RequestReturn,
    ReturnCommand,
)
from shared.domain import Rejected
from shared.events.envelope import Cause
from shared.store.store import Store
from shared.store.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposeForReceipt:
    """Propose what a receipt of a return is worth, under the policy that is in force when it runs."""

    order_id: UUID
    return_id: UUID
    receipt_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class DecideDue:
    """A deadline of one of the order's returns has come: decide every return that it is due for."""

    order_id: UUID
    timer: str


def streams(command: Any) -> Iterable[str]:
    """The streams that are known to be needed before anything is loaded."""
    match command:
        case NoteOrderFact():
            return (RETURNABLE.stream(command.order_id),)
        case _:
            return ()


async def execute(uow: UnitOfWork, command: Any) -> None:
    """Run one command inside a unit of work. Raises Rejected for people's wishes, never for facts."""
    match command:
        case NoteOrderFact():
            await uow.decide(RETURNABLE, command.order_id, command)
        case (
            RequestReturn()
            | ApproveReturn()
            | DeclineReturn()
            | CancelReturn()
            | ReceiveReturn()
            | CloseReturn()
        ):
            await _decide_return(uow, command)
        case ProposeForReceipt():
            await _decide_refund(uow, await _proposal(uow, command))
        case ProposeReturnRefund() | ProposeGoodwill():
            await _decide_refund(uow, command)
        case ApproveRefund():
            await uow.decide(REFUND_GRANT, command.refund_id, command)
        case AdoptReturnPolicy():
            await uow.decide(RETURN_POLICY, KEY, command)
        case DecideDue():
            await _decide_due(uow, command)
        case _:
            raise TypeError(f"returns has no command {type(command).__name__}")


async def policy_of(uow: UnitOfWork) -> ReturnPolicy:
    """The policy with all its versions. Load the order's own stream first: events follow its correlation."""
    policy = await uow.state(RETURN_POLICY, KEY)
    assert policy is not None, "the default policy is adopted before the service takes work"
    return policy


async def adopt_default_policy(store: Store) -> None:
    """Adopt the default terms if no policy was ever adopted; of several processes at once only one does."""

    async def work(uow: UnitOfWork) -> None:
        if await uow.state(RETURN_POLICY, KEY) is None:
            await execute(uow, AdoptReturnPolicy(terms=DEFAULT_TERMS, now=uow.now))

    await store.transact(Cause(), work)


async def _decide_return(uow: UnitOfWork, command: ReturnCommand) -> None:
    if isinstance(command, RequestReturn):
        returnable = await uow.state(RETURNABLE, command.order_id)
        state = await uow.state(RETURN, command.return_id)
    else:
        state = await uow.state(RETURN, command.return_id)
        if state is None:
            raise Rejected("unknown_return", "There is no such return.")
        returnable = await uow.state(RETURNABLE, state.order_id)
    _append(uow, decide_return(returnable, state, command))


async def _decide_refund(uow: UnitOfWork, command: ProposeReturnRefund | ProposeGoodwill) -> None:
    returnable = await uow.state(RETURNABLE, command.order_id)
    grant = await uow.state(REFUND_GRANT, refund_id(command))
    _append(uow, decide_refund(returnable, grant, command))


async def _proposal(uow: UnitOfWork, command: ProposeForReceipt) -> ProposeReturnRefund:
    await uow.state(RETURNABLE, command.order_id)
    return ProposeReturnRefund(
        order_id=command.order_id,
        return_id=command.return_id,
        receipt_id=command.receipt_id,
        policy=await policy_of(uow),
        now=uow.now,
    )


async def _decide_due(uow: UnitOfWork, command: DecideDue) -> None:
    returnable = await uow.state(RETURNABLE, command.order_id)
    assert returnable is not None, "a return claimed units of this order"
    await uow.prefetch(RETURN.stream(return_id) for return_id in returnable.claims)
    policy = await policy_of(uow)
    for return_id in returnable.claims:
        state = await uow.state(RETURN, return_id)
        due = on_deadline(return_id, state, returnable, command.timer, now=uow.now, policy=policy)
        if due is not None:
            await _decide_return(uow, due)


def _append(uow: UnitOfWork, decided: Decided) -> None:
    for stream, event in decided:
        uow.append(stream, [event])
