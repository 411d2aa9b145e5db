"""The pricing policy: which rules hold since when. Every version of it stays known by its number."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from services.cart.domain.rules import PricingRules, problems
from shared.domain import Decider, Rejected

# Event (private stream `pricingpolicy-default`)


class PolicyKind(StrEnum):
    """Which of the shop's policies a document is."""

    PRICING = "PRICING"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyAdopted:
    """Version `version` (1, 2, 3 …) of the policy holds from `effective_from` until a later version does."""

    kind: PolicyKind = PolicyKind.PRICING
    version: int
    document: PricingRules
    effective_from: datetime
    adopted_by: str


EVENTS: tuple[type[PolicyAdopted], ...] = (PolicyAdopted,)


# State


@dataclass(frozen=True, slots=True, kw_only=True)
class Pricing:
    """All versions that were adopted, oldest first."""

    versions: tuple[PolicyAdopted, ...]

    def at(self, now: datetime) -> PolicyAdopted | None:
        """The newest version that is in force at `now`."""
        return next((version for version in reversed(self.versions) if version.effective_from <= now), None)


def evolve(state: Pricing | None, event: PolicyAdopted, _at: datetime) -> Pricing:
    """The versions with `event` added."""
    return Pricing(versions=(*(state.versions if state else ()), event))


# Command and decision


@dataclass(frozen=True, slots=True, kw_only=True)
class AdoptPolicy:
    """Price by this document from `effective_from` (aware) on. Refused with `invalid_policy` and `problems`.

    Adopting the newest document once more, for a time from which it holds anyway, changes nothing.
    """

    document: PricingRules
    effective_from: datetime
    adopted_by: str


def decide(state: Pricing | None, command: AdoptPolicy) -> Sequence[PolicyAdopted]:
    """The adoption; raises Rejected `invalid_policy` with all `problems` that the document has."""
    wrong = list(problems(command.document))
    if command.effective_from.tzinfo is None:
        wrong.append("effective_from has no time zone")
    if wrong:
        raise Rejected("invalid_policy", "; ".join(wrong), problems=tuple(wrong))
    versions = state.versions if state else ()
    newest = versions[-1] if versions else None
    if newest and newest.document == command.document and newest.effective_from <= command.effective_from:
        return []
    return [
        PolicyAdopted(
            version=len(versions) + 1,
            document=command.document,
            effective_from=command.effective_from,
            adopted_by=command.adopted_by,
        )
    ]


PRICING: Final[Decider[Pricing, AdoptPolicy, PolicyAdopted]] = Decider(
    category="pricingpolicy", decide=decide, evolve=evolve, public=False
)
PRICING_STREAM: Final = PRICING.stream("default")
