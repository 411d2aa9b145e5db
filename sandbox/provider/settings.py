"""The options of the provider, `PROVIDER_…` in the environment."""

import argparse
from pathlib import Path

from sandbox.options import Options
from sandbox.provider.payments import Delays


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Options as given, else what suits a demo."""
    options = Options("sandbox.provider", "PROVIDER", "A payment provider without money.")
    standard = Delays()
    options.add("host", str, "127.0.0.1", "address to listen on")
    options.add("port", int, None, "port to listen on")
    options.add("database", Path, None, "SQLite file of the ledger")
    options.add("webhook-url", str, "", "where webhooks go; none are sent if it is empty")
    options.add("webhook-secret", str, None, "key of their signatures; better given in the environment")
    options.add("slow-seconds", float, standard.slow, "how long a slow decision takes")
    options.add("late-seconds", float, standard.late, "how late late successes and late webhooks are")
    options.add(
        "hang-seconds", float, standard.hang, "how long a confirmation hangs that never comes in time"
    )
    options.add("authorization-seconds", float, standard.authorization, "how long an authorisation holds")
    options.add("soon-seconds", float, standard.soon, "how long a short authorisation holds")
    options.add("away-seconds", float, standard.away, "how long a payment that is away cannot be reached")
    return options.parse(arguments)


def delays(options: argparse.Namespace) -> Delays:
    """The time options together."""
    return Delays(
        slow=options.slow_seconds,
        late=options.late_seconds,
        hang=options.hang_seconds,
        authorization=options.authorization_seconds,
        soon=options.soon_seconds,
        away=options.away_seconds,
    )
