"""`return_policies`: what mails say about sending things back."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.events.envelope import Recorded
from shared.events.returns import PolicyText, ReturnPolicyAdopted
from shared.store.readmodel import Key, ReadModel
from shared.store.session import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnPolicyRow:
    """One version of the policy; a refund is paid within `refund_days` of the goods' arrival."""

    policy_version: int
    effective_from: datetime
    refund_days: int
    text: PolicyText

    def words(self, locale: str) -> str:
        """The policy in a language, in English where it has no such translation."""
        return str(getattr(self.text, locale, "")) or self.text.en


def _keys(event: Recorded[Any]) -> Sequence[Key]:
    return [(event.data.policy_version,)]


def _fold(row: ReturnPolicyRow | None, event: Recorded[Any], key: Key) -> ReturnPolicyRow:
    policy: ReturnPolicyAdopted = event.data
    return ReturnPolicyRow(
        policy_version=policy.policy_version,
        effective_from=policy.effective_from,
        refund_days=policy.refund_days,
        text=policy.text,
    )


RETURN_POLICIES = ReadModel(
    name="return_policies",
    row=ReturnPolicyRow,
    key=("policy_version",),
    events=frozenset({ReturnPolicyAdopted}),
    keys=_keys,
    fold=_fold,
)


async def current(session: Session) -> ReturnPolicyRow | None:
    """The newest policy that was heard of, None before the first."""
    rows = await RETURN_POLICIES.query(session, "true ORDER BY policy_version DESC LIMIT 1")
    return rows[0] if rows else None
