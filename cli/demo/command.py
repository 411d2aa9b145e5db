"""The demo as a whole: bring a platform up, play the day, wait for quiet, prove, report."""

import asyncio
import json
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from cli.demo.invoices import EXAMPLE, read_invoices
from cli.demo.play import meter, play
from cli.demo.scenario import SEED, plan
from cli.demo.story import told
from cli.platform import Platform
from cli.proofs import Proofs
from cli.prove import prove
from cli.quiet import wait_until_quiet
from cli.report import megabytes, missing_from, print_lines, print_numbers, print_proofs
from cli.up import running_platform
from sandbox.supervisor import Supervisor

QUIET_WITHIN_S = 180.0
EXPECTED_A_DAY = {
    "delivered": 50,
    "merged": 3,
    "two_parcels": 3,
    "captured_in_parts": 3,
    "authorized_anew": 2,
    "declined": 3,
    "paid_after_a_decline": 2,
    "outages_healed": 1,
    "out_of_stock": 3,
    "late_payments_refunded": 2,
    "orphans_given_back": 1,
    "returns_completed": 4,
    "goodwill": 1,
    "coupons_used": 4,
    "coupons_given_back": 2,
}
"""What the example's day shows at least."""

SHORT_WAITS: Mapping[str, Mapping[str, str]] = {
    "orders": {
        "TODO_LEASE_S": "10",
        "ORDER_POLICY": json.dumps(
            {
                "stock_answer_within": 120,
                "payment_window": 60,
                "capture_retry_after": 1,
                "refund_answer_within": 10,
                "refund_retry_after": 1,
                "orphan_refund_after": 5,
            }
        ),
    },
    "notifications": {"TODO_LEASE_S": "15"},
}
"""Waits in seconds instead of hours: nothing else is different from the defaults."""
PROVIDER_OPTIONS = (
    *("--slow-seconds", "1", "--late-seconds", "2", "--hang-seconds", "3"),
    *("--away-seconds", "3"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a demo run is asked to do; `platform` None: bring one up and take it down again."""

    input: Path = EXAMPLE
    repeat: int = 1
    seed: int = SEED
    at_once: int = 12
    as_json: bool = False
    platform: Platform | None = None


async def demo(options: Options) -> int:
    """Run the demo; 0 if every proof holds (and the example shows all that it should), else 1.

    Raises StartError, NotInvoices, GaveUp or Refused with one line for a person.
    """
    began = time.monotonic()
    invoices, bad = read_invoices(options.input)
    for line in bad:
        _say(str(line))
    purchases = [p for day in range(options.repeat) for p in plan(invoices, seed=options.seed, day=day)]
    async with _platform(options.platform) as (platform, supervisor):
        _say(
            f"The platform is up after {time.monotonic() - began:.0f} s; {len(purchases)} purchases to play."
        )
        with meter(len(purchases)) as progress:
            await play(
                platform,
                purchases,
                run=str(uuid4()),
                at_once=options.at_once,
                meter=progress,
                strangers=options.repeat,
            )
        await wait_until_quiet(platform, QUIET_WITHIN_S)
        _say(f"All is quiet after {time.monotonic() - began:.0f} s; proving that it adds up.")
        proofs = await prove(platform, quiescent=True, rebuild=True)
        memory = {each.name: each.peak_rss for each in supervisor.status()} if supervisor else {}
    summary = {
        **proofs.counters,
        "bad_lines": len(bad),
        "peak_rss_bytes": memory,
        "seconds": round(time.monotonic() - began, 1),
    }
    expected = EXPECTED_A_DAY if options.input == EXAMPLE else {}
    missing = missing_from(summary, {name: options.repeat * least for name, least in expected.items()})
    report(summary, proofs, options)
    for text in missing:
        _say(text)
    return 0 if proofs.ok and not missing else 1


def report(summary: Mapping[str, Any], proofs: Proofs, options: Options) -> None:
    if options.as_json:
        print(json.dumps({**summary, "proofs": proofs.as_json()}, indent=2))
        return
    print_proofs(proofs)
    print_lines("What the day showed", told(summary))
    numbers = {name: value for name, value in summary.items() if not isinstance(value, Mapping)}
    print_numbers(
        "The day in numbers",
        {
            "orders by state": proofs.orders_by_state,
            "events by topic": proofs.events_by_topic,
            "all": numbers,
            "peak memory": megabytes(summary["peak_rss_bytes"]),
        },
    )


@asynccontextmanager
async def _platform(given: Platform | None) -> AsyncIterator[tuple[Platform, Supervisor | None]]:
    """The platform to play against, one of our own if none is given."""
    if given is not None:
        yield given, None
        return
    state_dir = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="orderflow-demo-"))
    try:
        async with running_platform(
            state_dir, settings=SHORT_WAITS, provider_options=PROVIDER_OPTIONS
        ) as running:
            yield running.platform, running.supervisor
    finally:
        shutil.rmtree(state_dir, ignore_errors=True)


def _say(text: str) -> None:
    print(text, file=sys.stderr)
