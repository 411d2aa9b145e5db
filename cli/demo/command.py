"""The demo as a whole: bring a platform up, play the day, wait for quiet, prove, report."""

import json
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from cli.demo.invoices import EXAMPLE, read_invoices
from cli.demo.play import meter, play
from cli.demo.scenario import SEED, plan
from cli.platform import Platform
from cli.proofs import prove, wait_until_quiet
from cli.up import Running, running_platform

QUIET_WITHIN_S = 180.0
EXPECTED_A_DAY = {
    "delivered": 50,
    "two_parcels": 3,
    "declined": 3,
    "out_of_stock": 3,
    "late_payments_refunded": 2,
    "returns": 4,
    "goodwill": 1,
}
"""What the example's day shows at least."""

DEMO_SETTINGS = {
    "orders": {
        "ORDER_POLICY": json.dumps(
            {
                "stock_answer_within": 60,
                "payment_window": 30,
                "capture_retry_after": 1,
                "refund_answer_within": 10,
                "refund_retry_after": 1,
            }
        )
    },
}
"""Waits in seconds instead of hours: nothing else is different."""
PROVIDER_OPTIONS = ("--slow-seconds", "1", "--late-seconds", "2", "--hang-seconds", "3")


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

    Raises StartError, NotInvoices or GaveUp with one line for a person.
    """
    began = time.monotonic()
    invoices, bad = read_invoices(options.input)
    for line in bad:
        print(line, file=sys.stderr)
    purchases = [p for day in range(options.repeat) for p in plan(invoices, seed=options.seed, day=day)]
    async with _platform(options.platform) as running:
        _say(
            f"The platform is up after {time.monotonic() - began:.0f} s; {len(purchases)} purchases to play."
        )
        with meter(len(purchases)) as progress:
            await play(running.platform, purchases, run=str(uuid4()), at_once=options.at_once, meter=progress)
        await wait_until_quiet(running.platform, QUIET_WITHIN_S)
        _say("All is quiet; proving that it adds up.")
        proofs = await prove(running.platform, quiescent=True, rebuild=True)
        memory = (
            {status.name: status.peak_rss for status in running.supervisor.status()}
            if running.supervisor
            else {}
        )
    summary = {
        **_counts(proofs),
        "bad_lines": [str(line) for line in bad],
        "peak_rss_bytes": memory,
        "seconds": round(time.monotonic() - began, 1),
    }
    missing = _missing(summary, purchases, options)
    if options.as_json:
        print(json.dumps({**summary, "proofs": proofs.as_json(), "missing": missing}, indent=2))
    else:
        _print(summary, proofs)
    for text in missing:
        _say(text)
    return 0 if proofs.ok and not missing else 1


@dataclass(frozen=True, slots=True)
class _Attached:
    platform: Platform
    supervisor: None = None


@asynccontextmanager
async def _platform(given: Platform | None) -> AsyncIterator[Running | _Attached]:
    if given is not None:
        yield _Attached(given)
        return
    state_dir = Path(tempfile.mkdtemp(prefix="orderflow-demo-"))
    try:
        async with running_platform(
            state_dir, settings=DEMO_SETTINGS, provider_options=PROVIDER_OPTIONS
        ) as running:
            yield running
    finally:
        shutil.rmtree(state_dir, ignore_errors=True)


def _say(text: str) -> None:
    print(text, file=sys.stderr)
