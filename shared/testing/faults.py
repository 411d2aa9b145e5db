"""What can go wrong in a simulation, and how often."""

from dataclasses import dataclass
from enum import StrEnum


class Fault(StrEnum):
    """What can go wrong at a crossing, or with a server."""

    SLOW = "slow"
    DROP = "connection lost"
    CRASH = "process killed"
    STALL = "process stopped for a while"
    SCALE = "a consumer more for a while"
    DATABASE = "database restarts"
    BROKER = "broker away for a while"
    LOSS = "broker loses everything"
    OUTSIDE = "provider and mail server away for a while"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """How likely each fault is at one crossing; `most` faults in all."""

    slow: float = 0.01
    drop: float = 0.002
    crash: float = 0.001
    stall: float = 0.0003
    most: int = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Fired:
    """A fault that happened: its number in the run, when (seconds), and to whom."""

    number: int
    at: float
    fault: Fault
    subject: str
