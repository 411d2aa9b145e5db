"""Laws of granted refunds: paid once and in full, and above a threshold only if two people agree."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from cli.laws.law import Balance, Kind, Law, Place
from shared.domain import key_of
from shared.events.envelope import Recorded
from shared.events.orders import RefundCause, RefundFailed, RefundIssued, RefundRequested
from shared.events.returns import RefundApproved, RefundProposed, ReturnPolicyAdopted

GRANTED = frozenset({RefundCause.RETURN, RefundCause.CLAIM, RefundCause.GOODWILL})
"""Causes of refunds that returns has to grant."""


class GrantsArePaid(Law):
    """L11: what returns grants orders pays, the same amount and once, or it lies open with a person."""

    number = "L11"
    claim = "each RefundApproved = exactly one RefundIssued, or its last word is RefundFailed not retryable"
    listens = (RefundApproved, RefundRequested, RefundIssued, RefundFailed)

    def __init__(self) -> None:
        super().__init__()
        self._balance: Balance[UUID] = Balance()
        self._given_up: set[UUID] = set()

    def see(self, event: Recorded[Any]) -> None:
        match event.data:
            case RefundApproved(amount=amount):
                self._balance.plus(UUID(key_of(event.stream)), amount, Place.of(event))
            case RefundIssued(refund_id=refund, amount=amount, cause=cause):
                self._given_up.discard(refund)
                if cause in GRANTED:
                    self._balance.minus(refund, amount, Place.of(event))
            case RefundFailed(refund_id=refund, retryable=False):
                self._given_up.add(refund)
            case RefundRequested(refund_id=refund) | RefundFailed(refund_id=refund):
                self._given_up.discard(refund)

    def finish(self) -> None:
        for refund, amount, place in self._balance.uneven():
            if amount < 0:
                told = f"{-amount} paid that was not granted"
                self.blame(f"refund {refund}", told, place, Kind.DUPLICATED)
            elif refund not in self._given_up:
                self.blame(f"refund {refund}", f"{amount} granted and not paid", place, Kind.LOST)


class TwoApproveMuch(Law):
    """L11: above the policy's threshold two different people stand behind a refund."""

    number = "L11"
    claim = "amount > threshold of the policy in force => at least two distinct approvers"
    listens = (ReturnPolicyAdopted, RefundProposed, RefundApproved)
    needs_rest = False

    JUST_REPLACED = timedelta(minutes=1)
    """A proposal may still have read a policy that was replaced so shortly before it."""

    def __init__(self) -> None:
        super().__init__()
        self._policies: list[tuple[datetime, dict[str, int]]] = []
        self._proposed: dict[str, tuple[int, datetime]] = {}
        self._approved_by_few: list[tuple[Place, int, str, datetime]] = []

    def see(self, event: Recorded[Any]) -> None:
        match event.data:
            case ReturnPolicyAdopted() as policy:
                thresholds = {money.currency: money.amount for money in policy.dual_control_above}
                self._policies.append((policy.effective_from, thresholds))
            case RefundProposed(approvals_needed=needed):
                self._proposed.setdefault(event.stream, (needed, event.occurred_at))
            case RefundApproved() as approved:
                needed, proposed_at = self._proposed.pop(event.stream, (0, event.occurred_at))
                people = len(set(approved.approved_by))
                if people < needed:
                    told = f"{people} approved, {needed} needed"
                    self.blame(f"refund {key_of(event.stream)}", told, event)
                if people < 2:
                    place = Place.of(event)
                    self._approved_by_few.append((place, approved.amount, approved.currency, proposed_at))

    def finish(self) -> None:
        for place, amount, currency, proposed_at in self._approved_by_few:
            threshold = self._threshold(currency, proposed_at)
            if amount > threshold:
                told = f"{amount} {currency} granted by fewer than two people, the threshold is {threshold}"
                self.blame(f"refund {key_of(place.stream)}", told, place)

    def _threshold(self, currency: str, at: datetime) -> int:
        """The highest threshold that a decision at this time may have read; 0 where there is none."""
        adopted = sorted(self._policies, key=lambda policy: policy[0])
        replaced = [since for since, _ in adopted[1:]]
        return max(
            (
                thresholds.get(currency, 0)
                for n, (since, thresholds) in enumerate(adopted)
                if since <= at and (n == len(replaced) or at < replaced[n] + self.JUST_REPLACED)
            ),
            default=0,
        )


LAWS: tuple[type[Law], ...] = (GrantsArePaid, TwoApproveMuch)
