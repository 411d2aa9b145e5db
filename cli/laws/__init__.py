"""The conservation laws, as pure checks over the events of all services: one pass, small counts per order."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, TypeVar

from cli.laws import (
    availability,
    coupons,
    mail,
    money,
    orders,
    orphans,
    parcels,
    provider,
    refunds,
    stock,
    streams,
)
from cli.laws.law import Kind, Law, Place, Violation
from shared.events.envelope import Recorded

__all__ = ["ALL", "Kind", "Law", "Laws", "Place", "Violation"]

L = TypeVar("L", bound=Law)

ALL: tuple[type[Law], ...] = (
    *(*stock.LAWS, *availability.LAWS, *parcels.LAWS, *money.LAWS, *provider.LAWS, *refunds.LAWS),
    *(*orphans.LAWS, *orders.LAWS, *coupons.LAWS, *mail.LAWS, *streams.LAWS),
)
"""Every law that events alone, or events and an outside ledger, can show."""


class Laws:
    """All laws over one flow of events."""

    def __init__(self, kinds: Iterable[type[Law]] = ALL) -> None:
        self.all: tuple[Law, ...] = tuple(kind() for kind in kinds)
        self._by_kind = {type(law): law for law in self.all}
        self._to_all = [law for law in self.all if object in law.listens]
        self._by_type: defaultdict[type, list[Law]] = defaultdict(list)
        for law in self.all:
            for kind in law.listens:
                self._by_type[kind].append(law)

    def __getitem__(self, kind: type[L]) -> L:
        law = self._by_kind[kind]
        assert isinstance(law, kind)
        return law

    def see(self, event: Recorded[Any]) -> None:
        """Show an event to every law that listens to it."""
        for law in (*self._to_all, *self._by_type.get(type(event.data), ())):
            law.see(event)
            law.seen += 1

    def finish(self, *, at_rest: bool) -> None:
        """Judge what is judged at the end; what is only fair when nothing is on its way, only `at_rest`."""
        for law in self.all:
            if at_rest or not law.needs_rest:
                law.finish()

    @property
    def violations(self) -> list[Violation]:
        """What all laws found."""
        return [violation for law in self.all for violation in law.violations]
