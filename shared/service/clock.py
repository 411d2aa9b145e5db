"""The clock port: every instant in the system comes from one of these."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeAlias

Clock: TypeAlias = Callable[[], datetime]


def utc_now() -> datetime:
    """The present instant in UTC."""
    return datetime.now(UTC)
