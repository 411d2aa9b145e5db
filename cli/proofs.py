"""What a run of the proofs gives: claim by claim what was compared, what contradicts it, and all as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cli.laws import Violation

SHOWN = 20
"""Violations of one proof that the JSON document lists; all are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """One claim, what was compared for it as numbers, and what contradicts it."""

    law: str
    name: str
    compared: Mapping[str, int]
    violations: Sequence[Violation] = ()
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Nothing contradicts it."""
        return not self.violations


@dataclass(frozen=True, slots=True, kw_only=True)
class Proofs:
    """All proofs of one run and the numbers of what was proved about."""

    proofs: Sequence[Proof]
    counters: Mapping[str, int]
    orders_by_state: Mapping[str, int]
    events_by_topic: Mapping[str, int]

    @property
    def ok(self) -> bool:
        """Every proof holds."""
        return all(proof.ok for proof in self.proofs)

    @property
    def first_violation(self) -> Violation | None:
        """The first event that breaks a law, or else any violation there is."""
        found = [violation for proof in self.proofs for violation in proof.violations]
        placed = sorted((v for v in found if v.at), key=lambda v: (v.at, v.stream, v.version))
        return next(iter([*placed, *found]), None)

    def as_json(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        return {
            "ok": self.ok,
            "counters": dict(self.counters),
            "orders_by_state": dict(self.orders_by_state),
            "events_by_topic": dict(self.events_by_topic),
            "first_violation": _plain(self.first_violation) if self.first_violation else None,
            "proofs": [
                {
                    "law": proof.law,
                    "name": proof.name,
                    "ok": proof.ok,
                    "compared": dict(proof.compared),
                    "violations": len(proof.violations),
                    "first": [_plain(violation) for violation in proof.violations[:SHOWN]],
                    "seconds": round(proof.seconds, 3),
                }
                for proof in self.proofs
            ],
        }


def _plain(violation: Violation) -> dict[str, Any]:
    return {
        name: value if value is None or isinstance(value, int) else str(value)
        for name, value in asdict(violation).items()
    }
