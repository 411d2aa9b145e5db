"""What a catcher saw, told by itself: it runs inside a copy of the tree, as a pytest plugin or as a script.

The runner puts it there; as a plugin it imports nothing of the project. Its testimony goes as JSON into the
file that WITNESS_FILE names: outcomes, the first failure, and modules that are not the copy's.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any


class Testimony:
    """Counts of what happened to tests; `reason` is the first failure's first line."""

    __test__ = False

    def __init__(self) -> None:
        self.passed = 0
        self.failed = 0
        self.errors = 0
        self.reason = ""

    def pytest_runtest_logreport(self, report: Any) -> None:
        """A failing test is a failure; a fixture that fails is an error, which catches nothing."""
        if report.failed:
            self.failed += report.when == "call"
            self.errors += report.when != "call"
            crash = getattr(report.longrepr, "reprcrash", None)
            if not self.reason and report.when == "call":
                self.reason = (crash.message if crash else report.longreprtext).strip().partition("\n")[0]
        elif report.when == "call" and report.passed:
            self.passed += 1

    def pytest_sessionfinish(self) -> None:
        """Whatever was imported, has been by now."""
        self.write()

    def write(self) -> None:
        """Tell the runner."""
        told = {**vars(self), "strangers": strangers(Path.cwd())}
        Path(os.environ["WITNESS_FILE"]).write_text(json.dumps(told))


def strangers(tree: Path) -> list[str]:
    """Modules of packages that `tree` has, but loaded from elsewhere."""
    found = []
    for name, module in list(sys.modules.items()):
        top = name.partition(".")[0]
        file = getattr(module, "__file__", None)
        ours = (tree / top).is_dir() or (tree / f"{top}.py").is_file()
        if ours and file is not None and not Path(file).resolve().is_relative_to(tree.resolve()):
            found.append(f"{name} from {file}")
    return found


def pytest_configure(config: Any) -> None:
    """Be a plugin."""
    config.pluginmanager.register(Testimony(), "testimony")


def simulate(first: int, last: int) -> None:
    """Run seeds as `orderflow simulate` does, up to the first that breaks a law: that is a failed test."""
    from cli.simulate.run import run

    testimony = Testimony()
    for seed in range(first, last + 1):
        if broken := run(seed).violations:
            testimony.failed += 1
            testimony.reason = f"seed {seed}: {broken[0]}".partition("\n")[0]
            break
        testimony.passed += 1
    testimony.write()


if __name__ == "__main__":
    simulate(*(int(seed) for seed in sys.argv[1].split("..")))
