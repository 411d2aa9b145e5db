"""`pricing_policies`: every version of the pricing policy. For the prices of carts, and to look back."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.cart.domain.pricing import PolicyAdopted
from services.cart.domain.rules import PricingRules
from shared.events.envelope import Recorded
from shared.store.readmodel import Key, ReadModel
from shared.store.session import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class PricingPolicyRow:
    """One version; it holds from `effective_from` until another one does."""

    version: int
    document: PricingRules
    effective_from: datetime
    adopted_by: str

    @property
    def policy(self) -> PolicyAdopted:
        """The version as the pure core knows it."""
        return PolicyAdopted(
            version=self.version,
            document=self.document,
            effective_from=self.effective_from,
            adopted_by=self.adopted_by,
        )


def _keys(event: Recorded[PolicyAdopted]) -> Sequence[Key]:
    return [(event.data.version,)]


def _fold(row: PricingPolicyRow | None, event: Recorded[PolicyAdopted], key: Key) -> PricingPolicyRow:
    return PricingPolicyRow(
        version=event.data.version,
        document=event.data.document,
        effective_from=event.data.effective_from,
        adopted_by=event.data.adopted_by,
    )


PRICING_POLICIES = ReadModel(
    name="pricing_policies",
    row=PricingPolicyRow,
    key=("version",),
    events=frozenset({PolicyAdopted}),
    keys=_keys,
    fold=_fold,
)


async def policy_at(session: Session, now: datetime) -> PolicyAdopted | None:
    """The version that is in force at `now`: the one that began last."""
    rows = await PRICING_POLICIES.query(
        session, "effective_from <= $1 ORDER BY effective_from DESC, version DESC LIMIT 1", now
    )
    return rows[0].policy if rows else None
