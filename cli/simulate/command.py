"""Runs seeds side by side; of a seed that fails it tells the few faults and steps that matter."""

import hashlib
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

from cli.simulate.run import Result, run

TOLD_FROM = (" append ", " send ", "***", " starts, ", " <- ", " dies of ", " mail ", " cannot ", " park ")
"""What a step has to do with to be in the short trace."""


class NotSeeds(ValueError):  # noqa: N818
    """The text names no seeds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What to run. `trace`: print every step of every seed, not only those that matter of one that fails."""

    seeds: range
    jobs: int
    as_json: bool = False
    trace: bool = False


def seeds_of(text: str) -> range:
    """`7` is one seed, `1..500` are five hundred. Raises NotSeeds."""
    first, dots, last = text.partition("..")
    try:
        seeds = range(int(first), int(last if dots else first) + 1)
    except ValueError:
        seeds = range(0)
    if not seeds:
        raise NotSeeds(f"{text!r} names no seeds; write 7, or 1..500")
    return seeds


def simulate(options: Options) -> bool:
    """Run all seeds and print what they gave; True if no law was broken."""
    began = time.monotonic()
    if options.trace:
        for seed in options.seeds:
            run(seed, trace=_print_step)
    failed: list[Result] = []
    orders = events = crossings = 0
    faults: Counter[str] = Counter()
    virtual = 0.0
    digest = hashlib.sha256()
    for done, result in enumerate(_results(options), start=1):
        orders += result.orders
        events += result.events
        faults.update(fired.fault for fired in result.fired)
        crossings += result.crossings
        virtual += result.seconds
        digest.update(f"{result.seed} {result.crossings} {result.events} {result.seconds}".encode())
        if result.violations:
            failed.append(result)
            _explain(result)
        _progress(done, len(options.seeds), len(failed))
    summary = {
        "seeds": len(options.seeds),
        "failed": len(failed),
        "orders": orders,
        "events": events,
        "faults": faults.total(),
        "crossings": crossings,
        "virtual_hours": round(virtual / 3600, 1),
        "seconds": round(time.monotonic() - began, 1),
        "digest": digest.hexdigest()[:16],
    }
    if options.as_json:
        print(
            json.dumps(
                {
                    **summary,
                    "faults_by_kind": faults,
                    "violations": {each.seed: list(each.violations) for each in failed},
                }
            )
        )
    else:
        told = ", ".join(f"{value} {name.replace('_', ' ')}" for name, value in summary.items())
        print(", ".join(f"{count} times {fault}" for fault, count in faults.most_common()))
        print(f"{'FAILED' if failed else 'no violation'}: {told}")
    return not failed


def _results(options: Options) -> Iterator[Result]:
    """The results in the order of their seeds."""
    if options.jobs == 1 or len(options.seeds) == 1:
        yield from map(run, options.seeds)
        return
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        yield from pool.map(run, options.seeds, chunksize=max(1, min(10, len(options.seeds) // options.jobs)))


def _explain(result: Result) -> None:
    """Print the violations of a seed, the faults that are needed for them, and the steps that matter."""
    needed = shrunk(
        [fault.number for fault in result.fired],
        lambda without: bool(run(result.seed, without=without).violations),
    )
    left_out = frozenset(fault.number for fault in result.fired) - frozenset(needed)
    steps: list[str] = []
    again = run(
        result.seed,
        without=left_out,
        trace=lambda at, who, what: steps.append(f"{at:10.3f}  {who:16} {what}"),
    )
    print(f"\nseed {result.seed}: {len(result.violations)} violations", file=sys.stderr)
    print(
        f"with {len(again.fired)} of {len(result.fired)} faults, it takes these steps among others:",
        file=sys.stderr,
    )
    for step in steps:
        if any(word in step for word in TOLD_FROM) and "GET " not in step:
            print(step, file=sys.stderr)
    for fault in again.fired:
        print(f"fault at {fault.at:.3f} s: {fault.fault}, {fault.subject}", file=sys.stderr)
    for violation in again.violations:
        print(f"violation: {violation}", file=sys.stderr)
    print(f"every step: orderflow simulate --seeds {result.seed} --trace", file=sys.stderr)


def shrunk(numbers: Sequence[int], fails: Callable[[frozenset[int]], bool]) -> list[int]:
    """The faults that a failing run needs: each is left out in turn, for good if it does not matter.

    `fails` tells whether a run fails that leaves these faults out.
    """
    without: frozenset[int] = frozenset()
    for number in numbers:
        if fails(without | {number}):
            without |= {number}
    return [number for number in numbers if number not in without]


def _print_step(at: float, who: str, what: str) -> None:
    print(f"{at:10.3f}  {who:16} {what}")


def _progress(done: int, of: int, failed: int) -> None:
    if sys.stderr.isatty() or done in _milestones(of):
        end = "\r" if sys.stderr.isatty() else "\n"
        print(f"{done} of {of} seeds, {failed} failed", file=sys.stderr, end=end)


def _milestones(of: int) -> Iterable[int]:
    return {of * tenth // 10 for tenth in range(1, 11)}
