"""The pricing policy: which rules hold since when. Every version of it stays known by its number."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from services.cart.domain.rule_problems import problems
from services.cart.domain.rules import PricingRules
from shared.domain import Decider, Rejected
from shared.events.registry import JsonObject, Upcaster

# Event (private stream `pricingpolicy-default`)


class PolicyKind(StrEnum):
    """Which of the shop's policies a document is."""

    PRICING = "PRICING"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyAdopted:
    """Version `version` (1, 2, 3 …) of the policy holds from `effective_from` until the next instant from
    which another one does; of two for the same instant the later version."""

    kind: PolicyKind = PolicyKind.PRICING
    version: int
    document: PricingRules
    effective_from: datetime
    adopted_by: str


EVENTS: tuple[type[PolicyAdopted], ...] = (PolicyAdopted,)


def _with_new_members_left_out(document: JsonObject) -> JsonObject:
    return document


UPCASTERS: Mapping[str, tuple[Upcaster, ...]] = {"PolicyAdopted": (_with_new_members_left_out,)}
"""Version 2 knows coupons, regions of shipping, free shipping from a value on, title, source and date, which
may all be left out. It is a version of its own because a process that does not know them would price
without them."""


# State


@dataclass(frozen=True, slots=True, kw_only=True)
class Pricing:
    """All versions that were adopted, oldest first."""

    versions: tuple[PolicyAdopted, ...]

    def at(self, now: datetime) -> PolicyAdopted | None:
        """The version that is in force at `now`: the one that began last."""
        begun = (version for version in self.versions if version.effective_from <= now)
        return max(begun, key=lambda version: (version.effective_from, version.version), default=None)


def evolve(state: Pricing | None, event: PolicyAdopted, _at: datetime) -> Pricing:
    """The versions with `event` added."""
    return Pricing(versions=(*(state.versions if state else ()), event))


# Command and decision


@dataclass(frozen=True, slots=True, kw_only=True)
class AdoptPolicy:
    """Price by this document from `effective_from` (aware) on. Refused with `invalid_policy` and `problems`.

    What is planned for later instants stays planned. Adopting a document once more, for a time at which it
    holds anyway, changes nothing.
    """

    document: PricingRules
    effective_from: datetime
    adopted_by: str


def decide(state: Pricing | None, command: AdoptPolicy) -> Sequence[PolicyAdopted]:
    """The adoption; raises Rejected `invalid_policy` with all `problems` that the document has."""
    wrong = list(problems(command.document))
    if command.effective_from.tzinfo is None:
        wrong.append("#/effective_from: has no time zone")
    if wrong:
        raise Rejected("invalid_policy", "; ".join(wrong), problems=tuple(wrong))
    versions = state.versions if state else ()
    holding = state.at(command.effective_from) if state else None
    if holding is not None and holding.document == command.document:
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
