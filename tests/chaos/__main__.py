"""`python -m tests.chaos --minutes N --seed S`: the platform under load and faults, judged from outside."""

import argparse
import asyncio
import logging
import os
import random
import secrets
import shutil
import signal
import sys
import tempfile
from collections import Counter
from pathlib import Path
from time import monotonic

import asyncpg
import httpx

from cli.platform import STATE_DIR
from cli.prove import prove
from cli.quiet import wait_until_quiet
from sandbox.command import StartError
from shared.store.errors import CONNECTION_LOST
from tests.chaos.client import Client, Refused, Unanswered
from tests.chaos.disk import CannotMount, hide_mounts
from tests.chaos.faults import Injector, Kind, schedule
from tests.chaos.history import Finding, History, Told, check, check_ends
from tests.chaos.load import Market
from tests.chaos.stack import Stack, running_stack
from tests.chaos.verdict import Recovered, Result
from tests.chaos.world import World, look_at
from tests.waiting import pause

QUIET_WITHIN_S = 400.0
INTERRUPTED = 130
MOST_ORDERS = 2000
"""In one run: all of their events are sent and heard again whenever the broker dies."""


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0, help="how long faults happen")
    parser.add_argument("--seed", type=int, help="order of the faults; a new one each run by default")
    parser.add_argument("--rate", type=float, default=1.0, help="orders a second, less in a long run")
    parser.add_argument("--at-once", type=int, default=20, help="orders under way at most")
    parser.add_argument(
        "--untimed", action="store_true", help="slow recoveries are shown, but do not fail the run"
    )
    parser.add_argument("--keep", type=Path, help="folder for history, events and logs")
    parser.add_argument("--only", nargs="+", default=[], help="kinds of faults, e.g. BROKER_KILLED; else all")
    return parser.parse_args()


async def chaos(chosen: argparse.Namespace, seed: int, state: Path, no_disk: str | None) -> Result:
    """One run on a stack of its own, which is gone when this returns."""
    limits = httpx.Limits(max_connections=200, max_keepalive_connections=100)
    with History(state / "history.jsonl") as history:
        async with (
            running_stack(state, no_disk=no_disk) as stack,
            httpx.AsyncClient(limits=limits, trust_env=False) as http,
        ):
            market = Market(stack.platform, Client(http, history, random.Random()), random.Random())
            injector = Injector(stack)
            recovered = await _run(chosen, seed, stack, market, injector)
            _say("the load has ended; waiting until all is quiet")
            restless = await wait_until_quiet(stack.platform, QUIET_WITHIN_S)
            _say("checking what is there against the history, and all laws")
            proofs = await prove(stack.platform, quiescent=True, rebuild=True)
            world = await look_at(stack.platform, state / "events.txt")
            kills, no_disk = injector.kills, stack.no_disk
    told = await asyncio.to_thread(_read, state / "history.jsonl")
    return Result(
        recovered=recovered,
        findings=_findings(told, world),
        broken=[str(violation) for proof in proofs.proofs for violation in proof.violations],
        restless=restless,
        kills=kills,
        no_disk=no_disk,
        numbers=_numbers(told, world, market),
    )


async def _run(
    chosen: argparse.Namespace, seed: int, stack: Stack, market: Market, injector: Injector
) -> list[Recovered]:
    """Faults one after another under steady load, each until a new order has gone all the way."""
    recovered: list[Recovered] = []
    stop = asyncio.Event()
    rate = min(chosen.rate, MOST_ORDERS / (60 * chosen.minutes))
    await market.open()
    await market.finish(await market.order_now())
    _say("the platform is up; faults begin")
    async with asyncio.TaskGroup() as group:
        group.create_task(market.trade(stop, rate=rate, most=chosen.at_once))
        give_up = monotonic() + 60 * chosen.minutes
        pauses = random.Random(seed)
        kinds = [kind for kind in Kind if not chosen.only or kind.name in chosen.only]
        if stack.no_disk is not None and Kind.DISK_FULL in kinds:
            kinds.remove(Kind.DISK_FULL)
        for fault in schedule(seed, stack.services, kinds):
            if monotonic() > give_up:
                break
            market.client.history.fault = fault.number
            try:
                began = await injector.inject(fault)
            except (*CONNECTION_LOST, asyncpg.PostgresError, StartError) as error:
                market.surprises.append(f"{fault.kind} only in part: {error!r}")
                began = monotonic()
            finally:
                injector.thaw()
            recovered.append(Recovered(fault, await _recovery(market, began)))
            seconds = recovered[-1].seconds
            _say(f"{fault}: {'never recovered' if seconds is None else f'{seconds:.1f} s'}")
            await pause(pauses.uniform(0.2, 1.5))
        stop.set()
    return recovered


async def _recovery(market: Market, began: float) -> float | None:
    """Seconds from `began` until an order placed now has gone through all services; None if it does not."""
    try:
        order_id = await market.order_now()
        seconds = monotonic() - began
        await market.finish(order_id)
    except (Refused, Unanswered) as error:
        market.surprises.append(f"probe: {error}")
        return None
    return seconds


def _findings(told: Told, world: World) -> list[Finding]:
    return [
        *check(told, world.found, world.by_itself),
        *check_ends(told, world.ends, world.captured),
    ]


def _numbers(told: Told, world: World, market: Market) -> dict[str, object]:
    outcomes = Counter(request.outcome for request in told.requests.values())
    tries = sum(len(request.answers) for request in told.requests.values())
    ends = Counter(world.ends.values())
    surprises = Counter(market.surprises)
    return {
        "requests": f"{sum(outcomes.values())} in {tries} tries, "
        + ", ".join(f"{number} {outcome}" for outcome, number in sorted(outcomes.items())),
        "orders": f"{len(told.orders)} acknowledged; "
        + ", ".join(f"{number} {end.lower()}" for end, number in sorted(ends.items())),
        "surprises": "; ".join(f"{text} ({number})" for text, number in surprises.most_common(8)) or "none",
    }


def _read(path: Path) -> Told:
    with path.open(encoding="utf-8") as lines:
        return Told.read(lines)


def _keep(state: Path, to: Path) -> None:
    """Copy what tells about a run to where it stays."""
    to.mkdir(parents=True, exist_ok=True)
    for name in ("history.jsonl", "events.txt"):
        if (state / name).exists():
            shutil.copy(state / name, to)
    if (state / "logs").exists():
        shutil.copytree(state / "logs", to / "logs", dirs_exist_ok=True)
    _say(f"history, events and logs are in {to}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - for the person who waits


def main() -> int:
    """Run, print the table; 0 if nothing was lost or doubled and, unless untimed, all recovered in time."""
    chosen = options()
    seed = secrets.randbelow(10**6) if chosen.seed is None else chosen.seed
    logging.basicConfig(level=logging.ERROR, format="%(name)s: %(message)s")
    no_disk = None if os.geteuid() == 0 else "only root may mount"
    try:
        if no_disk is None:
            hide_mounts()
    except CannotMount as error:
        no_disk = str(error)
    _say(f"chaos for {chosen.minutes:g} minutes, seed {seed}")
    keep: Path | None = chosen.keep
    state = Path(tempfile.mkdtemp(prefix="orderflow-chaos-"))
    try:
        result = asyncio.run(chaos(chosen, seed, state, no_disk))
        print(f"MINUTES={chosen.minutes:g} SEED={seed}")  # noqa: T201
        for line in result.lines():
            print(line)  # noqa: T201
        if result.contradicted:
            keep = keep or STATE_DIR / f"chaos-{seed}"
    except (KeyboardInterrupt, asyncio.CancelledError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _say("chaos: interrupted; nothing keeps running")
        return INTERRUPTED
    finally:
        if keep:
            _keep(state, keep)
        shutil.rmtree(state, ignore_errors=True)
    return 1 if result.contradicted or (result.failures and not chosen.untimed) else 0


if __name__ == "__main__":
    sys.exit(main())
