"""Options of the sandbox's programs: command line first, then the environment, then a default."""

import argparse
import os
from collections.abc import Callable


class Options:
    """`--some-option` may also be given as `PREFIX_SOME_OPTION`; one without a default must be given."""

    def __init__(self, program: str, prefix: str, about: str) -> None:
        self._parser = argparse.ArgumentParser(program, description=about)
        self._prefix = prefix

    def add(self, name: str, kind: Callable[[str], object], default: object, about: str) -> None:
        """An option; `default` None means that there is none."""
        variable = f"{self._prefix}_{name.replace('-', '_').upper()}"
        value = os.environ.get(variable, default)
        self._parser.add_argument(
            f"--{name}", type=kind, default=value, required=value is None, help=f"{about} [{variable}]"
        )

    def parse(self, arguments: list[str] | None = None) -> argparse.Namespace:
        """The values; exit code 2 and one line if they make no sense."""
        return self._parser.parse_args(arguments)
