"""Which PaymentIntent at Stripe is which of our intents, and since when it was asked for.

Stripe finds an object under an id of ours only by a search that lags behind, so its own id is kept.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from shared.events.envelope import Cause
from shared.store.readmodel import Table
from shared.store.store import Store
from shared.store.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeIntent:
    """`asked_at`: when Stripe was first asked for it, `tried_at`: the last time; `ref`: what it answered."""

    intent_id: UUID
    asked_at: datetime
    tried_at: datetime
    ref: str | None = None


STRIPE_INTENTS = Table(name="stripe_intents", row=StripeIntent, key=("intent_id",))


class StripeIntents:
    """The table, in transactions of its own."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def known(self, intent_id: UUID) -> StripeIntent | None:
        """What is known of an intent; None if Stripe was never asked."""
        async with self._store.session() as session:
            return await STRIPE_INTENTS.find(session, intent_id)

    async def begin(self, intent_id: UUID) -> StripeIntent:
        """Note that Stripe is about to be asked, before it is; gives what was known until now."""

        async def work(uow: UnitOfWork) -> StripeIntent:
            fresh = StripeIntent(intent_id=intent_id, asked_at=uow.now, tried_at=uow.now)
            if await uow.session.insert(STRIPE_INTENTS, fresh):
                return fresh
            known = await STRIPE_INTENTS.find(uow.session, intent_id, lock=True)
            assert known is not None
            await uow.session.update(STRIPE_INTENTS, replace(known, tried_at=uow.now))
            return known

        return await self._store.transact(Cause(), work)

    async def keep(self, intent_id: UUID, ref: str) -> None:
        """Stripe's id of an intent."""

        async def work(uow: UnitOfWork) -> None:
            fresh = StripeIntent(intent_id=intent_id, asked_at=uow.now, tried_at=uow.now, ref=ref)
            if await uow.session.insert(STRIPE_INTENTS, fresh):
                return
            known = await STRIPE_INTENTS.find(uow.session, intent_id, lock=True)
            assert known is not None
            await uow.session.update(STRIPE_INTENTS, replace(known, ref=ref))

        await self._store.transact(Cause(), work)
