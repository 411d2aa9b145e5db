"""How the store says that a unit of work did not happen; in each case nothing was written."""

import asyncpg


class Conflict(Exception):  # noqa: N818 - an expected outcome of optimistic concurrency
    """Another writer changed a stream first; decide again on what is there now."""


class LeaseLost(Exception):  # noqa: N818
    """Another worker has taken over this todo row since; its outcome counts, not ours."""


class KeyReused(Exception):  # noqa: N818
    """The Idempotency-Key was used before; look at the answer that it got."""


CONNECTION_LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the driver lost its place when the server hung up in mid-message
    asyncpg.OperatorInterventionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InsufficientResourcesError,
    OSError,
    TimeoutError,
)
"""The database is away, restarting or full: wait and try again, nothing is wrong with the work."""

TRY_AGAIN = (Conflict, asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
"""Two units of work met: run the whole unit again on fresh state."""
