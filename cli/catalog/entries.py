"""What is in a product file: entries, each from one line on, and the lines that are none."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A product as the catalogue takes it; `stock`: units counted in with it, None if the file is silent."""

    line: int
    product: dict[str, Any]
    stock: int | None = None

    @property
    def sku(self) -> str:
        """What the product is known by."""
        return str(self.product["sku"])


@dataclass(frozen=True, slots=True, kw_only=True)
class BadLine:
    """A line that gives no product, and why."""

    line: int
    reason: str


class Unreadable(Exception):  # noqa: N818
    """The file cannot be understood from this line on."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"{line}: {reason}")
        self.line = line
        self.reason = reason
