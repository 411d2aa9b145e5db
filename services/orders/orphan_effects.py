"""The call to the payment provider that gives an orphan payment back; it looks there first, as every call."""

from collections.abc import Mapping, Sequence

from services.orders.domain.orphan import (
    OrphanCommand,
    OrphanPayment,
    OrphanStatus,
    RecordOrphanRefundResult,
)
from services.orders.psp import PaymentProvider, ProviderIntent, Refused, Standing
from services.orders.reactions import REFUND_ORPHAN
from shared.domain import Decider, key_of
from shared.events.orphan_payments import OrphanPaymentEvent, OrphanPaymentKind
from shared.store.store import Store
from shared.store.todo import Todo
from shared.store.worker import Effect, Unavailable


class OrphanCalls:
    """The effects of orphan payments, over the store of orders and a provider."""

    def __init__(
        self,
        store: Store,
        orphan: Decider[OrphanPayment, OrphanCommand, OrphanPaymentEvent],
        provider: PaymentProvider,
    ) -> None:
        self._store = store
        self._orphan = orphan
        self._provider = provider

    def effects(self) -> Mapping[str, Effect]:
        """Every call by the name of its todo rows."""
        return {REFUND_ORPHAN: self._refund}

    async def _refund(self, row: Todo) -> Sequence[OrphanCommand]:
        """Let the money go, or pay it back under the orphan's id.

        The next attempt finds what this one did; of the last one, given up meanwhile, this call does.
        """
        orphan = await self._store.read(self._orphan, key_of(row.stream))
        assert orphan is not None
        if orphan.attempts != row.payload["attempt"] or orphan.status is OrphanStatus.REFUNDED:
            return ()
        now, attempt = self._store.clock(), orphan.attempts
        try:
            found = await self._provider.lookup(orphan.provider_ref)
            if found is None:
                raise Refused("unknown_payment", f"the provider does not know {orphan.provider_ref}")
            if orphan.status is OrphanStatus.FAILED and not _went_back(orphan, found):
                return ()
            amount, ref = await self._given_back(orphan, found, str(row.todo_id))
        except Refused:
            return (RecordOrphanRefundResult(orphan_id=orphan.orphan_id, ok=False, attempt=attempt, now=now),)
        return (
            RecordOrphanRefundResult(
                orphan_id=orphan.orphan_id, ok=True, amount=amount, refund_ref=ref, attempt=attempt, now=now
            ),
        )

    async def _given_back(self, orphan: OrphanPayment, found: ProviderIntent, key: str) -> tuple[int, str]:
        """What went back, and under which reference. Raises Refused."""
        if orphan.kind is OrphanPaymentKind.CAPTURED:
            known = found.refunds.get(orphan.orphan_id)
            ref = known or await self._provider.refund(found, orphan.orphan_id, orphan.amount, key)
            return orphan.amount, ref
        if found.standing is not Standing.CLOSED:
            try:
                found = await self._provider.cancel(found, key)
            except Refused as refusal:
                raise Unavailable(str(refusal)) from refusal
        return found.authorized - found.captured, found.ref


def _went_back(orphan: OrphanPayment, found: ProviderIntent) -> bool:
    """Whether the provider did it already."""
    if orphan.kind is OrphanPaymentKind.CAPTURED:
        return orphan.orphan_id in found.refunds
    return found.standing is Standing.CLOSED
