"""`return_policies`: every version of the return policy; the last one is in force. For the policy page."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.events.envelope import Recorded
from shared.events.returns import ReturnPolicyAdopted
from shared.store.readmodel import Key, ReadModel
from shared.store.session import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRow:
    """A version of the policy, who adopted it and the version of the stream with it."""

    policy_version: int
    document: ReturnPolicyAdopted
    adopted_by: str
    adopted_at: datetime
    version: int


def _keys(event: Recorded[Any]) -> Sequence[Key]:
    return [(event.data.policy_version,)]


def _fold(_row: PolicyRow | None, event: Recorded[Any], key: Key) -> PolicyRow:
    return PolicyRow(
        policy_version=event.data.policy_version,
        document=event.data,
        adopted_by=f"{event.actor.kind}:{event.actor.id}",
        adopted_at=event.occurred_at,
        version=event.version,
    )


RETURN_POLICIES = ReadModel(
    name="return_policies",
    row=PolicyRow,
    key=("policy_version",),
    events=frozenset({ReturnPolicyAdopted}),
    keys=_keys,
    fold=_fold,
)


async def current(session: Session) -> PolicyRow:
    """The policy in force."""
    (row,) = await RETURN_POLICIES.query(session, "true ORDER BY policy_version DESC LIMIT 1")
    return row
