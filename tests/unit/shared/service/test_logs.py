"""Logs are JSON, one object a line on standard error, whoever writes them."""

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import orjson
import pytest

ROOT = Path(__file__).parents[4]
BEGIN = """
import logging, structlog
from shared.service import logs
log = structlog.get_logger("shop")
logs.configure("cart", "{level}")
"""


def logged(script: str, level: str = "INFO") -> list[dict[str, Any]]:
    """What a process of its own logs: logging is one for the whole process."""
    done = subprocess.run(
        [sys.executable, "-c", BEGIN.format(level=level) + textwrap.dedent(script)],
        cwd=ROOT,
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == b""
    return [orjson.loads(line) for line in done.stderr.splitlines()]


def test_a_line_says_who_when_what_and_for_which_order() -> None:
    (line,) = logged(
        """
        structlog.contextvars.bind_contextvars(correlation_id="c-1")
        log.info("order placed\\nat noon", order="o-1")
        """
    )
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "order placed\nat noon",
        "level": "info",
        "logger": "shop",
        "service": "cart",
        "order": "o-1",
        "correlation_id": "c-1",
    }


def test_the_standard_librarys_logs_look_the_same() -> None:
    (line,) = logged('logging.getLogger("driver").warning("lost %s", "it")')
    assert (line["event"], line["level"], line["logger"], line["service"]) == (
        "lost it",
        "warning",
        "driver",
        "cart",
    )


def test_no_library_writes_lines_of_its_own() -> None:
    lines = logged(
        """
        import shared.messaging.subscriber, warnings
        logs.configure("cart")
        logging.getLogger("faststream").warning("mind the topic")
        warnings.warn("old")
        """
    )
    assert lines[0]["event"] == "mind the topic"
    assert "old" in lines[1]["event"]
    assert len(lines) == 2


def test_a_traceback_stays_in_its_line_and_shows_no_variables() -> None:
    (line,) = logged(
        """
        def open_letter(email):
            return 1 / 0
        try:
            open_letter("ann@" + "example.com")
        except ZeroDivisionError:
            log.exception("failed")
        """
    )
    assert "ZeroDivisionError" in line["exception"]
    assert "ann@example.com" not in line["exception"]


def test_values_that_json_does_not_know_are_written_all_the_same() -> None:
    (line,) = logged('log.info("odd", value=object(), text="\\ud800".encode("utf-8", "replace").decode())')
    assert line["value"].startswith("<object object")


@pytest.mark.parametrize(
    ("level", "events"), [("INFO", ["b", "c"]), ("ERROR", ["c"]), ("DEBUG", ["a", "b", "c"])]
)
def test_the_level_decides_what_is_written(level: str, events: list[str]) -> None:
    lines = logged('log.debug("a"); log.info("b"); log.error("c")', level)
    assert [line["event"] for line in lines] == events


def test_chatty_libraries_are_quiet_whatever_the_level() -> None:
    lines = logged(
        """
        for name in ("httpx", "faststream", "uvicorn.access", "aiokafka.cluster"):
            logging.getLogger(name).info("GET /carts/1?email=ann@example.com")
        """,
        "DEBUG",
    )
    assert lines == []
