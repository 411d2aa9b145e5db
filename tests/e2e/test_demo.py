"""`orderflow demo` as it is typed: its day shows all that it promises, in words, and every proof holds."""

import re
import subprocess
import sys

import pytest

from cli.demo.story import STORY

pytestmark = [pytest.mark.e2e, pytest.mark.integration]


@pytest.mark.timeout(400)
def test_the_example_day_shows_what_it_promises() -> None:
    """Exit code 0 says that no proof failed and nothing that is expected of the example was missing."""
    demo = [sys.executable, "-m", "cli.main", "demo"]
    done = subprocess.run(demo, capture_output=True, text=True, timeout=390, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    _, _, story = done.stdout.partition("What the day showed\n")
    times = {what: int(n) for n, what in re.findall(r"^ *(\d+) x  (.+)$", story, re.MULTILINE)}
    assert set(times) == set(STORY.values())
    assert 0 not in times.values()
    assert "BROKEN" not in done.stdout
