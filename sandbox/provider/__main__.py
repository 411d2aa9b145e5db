"""`python -m sandbox.provider`: the provider as a process of its own."""

import sqlite3
import sys

import uvicorn

from sandbox.command import StartError, claim_port
from sandbox.provider.http import Provider, create_app
from sandbox.provider.settings import delays, parse
from sandbox.provider.store import Store


def main() -> int:
    """Serve until told to stop; exit code 2 and one line if it cannot start."""
    options = parse()
    try:
        claim_port(options.port, "the payment provider", options.host)
        store = Store(options.database)
    except (StartError, sqlite3.Error) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    provider = Provider(store, delays(options), options.webhook_url, options.webhook_secret)
    uvicorn.run(
        create_app(provider),
        host=options.host,
        port=options.port,
        log_level="warning",
        timeout_graceful_shutdown=1,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
