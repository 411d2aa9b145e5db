"""An import of products in parts: each is checked and set aside, then all are taken in one transaction."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from services.cart.catalogue_http import ListedProduct
from services.cart.commands import execute
from services.cart.domain.product import PRODUCT, ListProduct, ProductListed
from services.cart.readmodels.products import PRODUCTS
from shared.domain import Rejected
from shared.events.envelope import Cause
from shared.store.readmodel import Table
from shared.store.store import Store
from shared.store.unit_of_work import UnitOfWork

MOST_PARTS: Final = 100_000
FORGOTTEN_AFTER: Final = timedelta(days=1)
"""Parts of an import that nobody carries out are dropped."""

_ONE_AT_A_TIME: Final = "catalogimport-all"
"""What imports lock: two that touch the same products in another order would wait for each other."""


class ImportedProduct(ListedProduct, extra="forbid"):
    """A catalogue entry as a file gives it: a member that does not exist is a mistake."""


_PRODUCT: TypeAdapter[ImportedProduct] = TypeAdapter(ImportedProduct)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportPart:
    """Products set aside, as they came; `refused` others of the part were not."""

    import_id: UUID
    part: int
    products: list[dict[str, Any]]
    refused: int
    staged_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogImport:
    """An import that was carried out, and how many products it found new, different and as they should be."""

    import_id: UUID
    listed: int = 0
    changed: int = 0
    unchanged: int = 0
    finished_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Why the product at this place of a part cannot be taken."""

    index: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What a part would come to, and its products that cannot be taken."""

    listed: int
    changed: int
    unchanged: int
    faults: tuple[Fault, ...]


PARTS = Table(name="catalog_import_parts", row=ImportPart, key=("import_id", "part"))
IMPORTS = Table(name="catalog_imports", row=CatalogImport, key=("import_id",))


async def check(
    store: Store, import_id: UUID, part: int, products: Sequence[dict[str, Any]], *, keep: bool
) -> Checked:
    """Check a part against the catalogue as it stands; `keep`: set aside what can be taken."""
    commands: dict[int, ListProduct] = {}
    faults: list[Fault] = []
    for index, product in enumerate(products):
        try:
            commands[index] = command_of(product)
        except ValidationError as error:
            faults.append(Fault(index=index, reason=_in_words(error)))
    good: list[dict[str, Any]] = []
    counts = {"listed": 0, "changed": 0, "unchanged": 0}
    async with store.session() as session:
        skus = sorted({command.sku for command in commands.values()})
        held = {row.sku: row.product for row in await PRODUCTS.query(session, "sku = ANY($1::text[])", skus)}
        for index, command in commands.items():
            try:
                counts[_outcome(PRODUCT.decide(held.get(command.sku), command))] += 1
            except Rejected as refusal:
                faults.append(Fault(index=index, reason=refusal.detail))
            else:
                good.append(products[index])
    if keep:
        await _set_aside(store, import_id, part, good, len(faults))
    return Checked(faults=tuple(sorted(faults, key=lambda fault: fault.index)), **counts)


def command_of(product: Mapping[str, Any]) -> ListProduct:
    """The wish that a product of a file stands for. Raises ValidationError."""
    body = _PRODUCT.validate_python(product)
    return body.command(body.sku)


async def _set_aside(
    store: Store, import_id: UUID, part: int, products: list[dict[str, Any]], refused: int
) -> None:
    now = store.clock()
    row = ImportPart(import_id=import_id, part=part, products=products, refused=refused, staged_at=now)
    await store.pool.execute("DELETE FROM catalog_import_parts WHERE staged_at < $1", now - FORGOTTEN_AFTER)
    async with store.session() as session:
        if not await session.insert(PARTS, row):
            await session.update(PARTS, row)


async def carry_out(
    store: Store, cause: Cause, import_id: UUID, parts: int, *, skip_bad: bool
) -> CatalogImport:
    """Take all parts 0 … parts-1 in one transaction; repeated, the same answer.

    `skip_bad`: leave out what was refused of them. Raises Rejected import_incomplete{missing} or
    import_refused{refused}.
    """

    async def work(uow: UnitOfWork) -> CatalogImport:
        await uow.session.lock_streams([_ONE_AT_A_TIME])
        if done := await IMPORTS.find(uow.session, import_id):
            return done
        await _demand_all(store, import_id, parts, skip_bad=skip_bad)
        counts = {"listed": 0, "changed": 0, "unchanged": 0}
        for part in range(parts):
            rows = await PARTS.query(uow.session, "import_id = $1 AND part = $2", import_id, part)
            # A unit of its own for each part, in the one transaction, so that only a part is held in memory.
            unit = UnitOfWork(store, uow.session, cause, uow.now)
            for outcome in await _take(unit, [command_of(p) for row in rows for p in row.products]):
                counts[outcome] += 1
        done = CatalogImport(import_id=import_id, finished_at=uow.now, **counts)
        await uow.session.insert(IMPORTS, done)
        return done

    outcome = await store.transact_alone(cause, work)
    await forget(store, import_id)
    return outcome


async def _take(unit: UnitOfWork, commands: Sequence[ListProduct]) -> list[str]:
    await unit.prefetch(PRODUCT.stream(command.sku) for command in commands)
    outcomes: list[str] = []
    for command in commands:
        before = len(unit.events)
        await execute(unit, command)
        outcomes.append(_outcome([event.data for event in unit.events[before:]]))
    await unit.flush()
    return outcomes


async def forget(store: Store, import_id: UUID) -> None:
    """Drop the parts of an import."""
    await store.pool.execute("DELETE FROM catalog_import_parts WHERE import_id = $1", import_id)


async def _demand_all(store: Store, import_id: UUID, parts: int, *, skip_bad: bool) -> None:
    rows = await store.pool.fetch(
        "SELECT part, refused FROM catalog_import_parts WHERE import_id = $1", import_id
    )
    refused = sum(row["refused"] for row in rows)
    if refused and not skip_bad:
        raise Rejected("import_refused", f"{refused} products of it cannot be taken.", refused=refused)
    missing = tuple(sorted(set(range(parts)) - {row["part"] for row in rows}))
    if missing:
        raise Rejected("import_incomplete", f"{len(missing)} parts have not come yet.", missing=missing[:100])


def _outcome(events: Sequence[object]) -> str:
    if not events:
        return "unchanged"
    return "listed" if isinstance(events[0], ProductListed) else "changed"


def _in_words(error: ValidationError) -> str:
    return "; ".join(_faults(error)).encode(errors="replace").decode()


def _faults(error: ValidationError) -> Iterator[str]:
    for fault in error.errors(include_url=False, include_input=False):
        place, said = ".".join(map(str, fault["loc"])), fault["msg"]
        if place == "sku" and fault["type"] == "string_pattern_mismatch":
            said = "it has a space, a slash or a control character"
        yield f"{place}: {said}"
