"""Inventory's part of its OpenAPI document: what its routes answer, and with which problems."""

from pathlib import Path
from typing import Final
from uuid import UUID

from shared.service.openapi import LARGEST_LIST, Answer, Operation, Operations, examples_of


class Received(Answer):
    """A delivery that is counted in."""

    receipt_id: UUID


class Stock(Answer):
    """What there is of a sku."""

    sku: str
    on_hand: int
    available: int
    held: int


class Level(Stock):
    """What there is of a sku, with what cannot be sold; `low`: less than its threshold."""

    location_id: UUID
    damaged: int
    quality_control: int
    safety_stock: int
    low: bool


class SplitLevel(Level):
    """A level, its held units split by whether their orders are confirmed."""

    committed: int
    reserved: int


OPERATIONS: Final[Operations] = {
    "POST /receipts": Operation(
        summary="Receive goods",
        largest_body=LARGEST_LIST,
        refusals=("invalid_quantity",),
        answer=Received,
        keyed=True,
    ),
    "POST /stock/{sku}/adjustments": Operation(
        summary="Adjust stock",
        refusals=("unknown_sku", "invalid_quantity", "below_commitments"),
        answer=Stock,
        keyed=True,
        matched=True,
        tagged=True,
    ),
    "PUT /stock/{sku}/terms": Operation(
        summary="Set a sku's terms",
        refusals=("unknown_sku", "invalid_terms"),
        answer=Stock,
        keyed=True,
        matched=True,
        tagged=True,
    ),
    "GET /stock": Operation(summary="List stock levels", answer=list[Level]),
    "GET /stock/{sku}": Operation(
        summary="Read a stock level", refusals=("unknown_sku",), answer=SplitLevel, tagged=True
    ),
    "GET /stock/{sku}/movements": Operation(summary="Read a sku's ledger"),
    "GET /reservations/{order_id}": Operation(
        summary="Read a reservation", refusals=("unknown_reservation",)
    ),
}

EXAMPLES: Final = examples_of(Path(__file__).parent)
