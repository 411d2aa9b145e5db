"""The provider's options: command line first, then the environment, then what suits a demo."""

import argparse
import os
from pathlib import Path

from sandbox.provider.payments import Delays


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Options as given; each `--some-option` may be `PROVIDER_SOME_OPTION` in the environment instead."""
    parser = argparse.ArgumentParser(
        "sandbox.provider", description="A payment provider that holds no money."
    )
    standard = Delays()

    def option(name: str, kind: type, default: object, about: str) -> None:
        variable = "PROVIDER_" + name.replace("-", "_").upper()
        value = os.environ.get(variable, default)
        parser.add_argument(
            f"--{name}", type=kind, default=value, required=value is None, help=f"{about} [{variable}]"
        )

    option("host", str, "127.0.0.1", "address to listen on")
    option("port", int, None, "port to listen on")
    option("database", Path, None, "SQLite file of the ledger")
    option("webhook-url", str, "", "where webhooks go; none are sent if it is empty")
    option("webhook-secret", str, None, "key of their signatures; better given in the environment")
    option("slow-seconds", float, standard.slow, "how long a slow decision takes")
    option("late-seconds", float, standard.late, "how late late successes and late webhooks are")
    option("hang-seconds", float, standard.hang, "how long a confirmation hangs that is not answered in time")
    option("authorization-seconds", float, standard.authorization, "how long an authorisation holds")
    return parser.parse_args(arguments)


def delays(options: argparse.Namespace) -> Delays:
    """The time options together."""
    return Delays(
        slow=options.slow_seconds,
        late=options.late_seconds,
        hang=options.hang_seconds,
        authorization=options.authorization_seconds,
    )
