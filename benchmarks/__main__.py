"""The benchmarks' command line: measures, prints tables, writes JSON and, if asked, docs/benchmarks.md."""

import argparse
import asyncio
import json
import pkgutil
import platform
import re
import sys
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import import_module
from os import cpu_count
from pathlib import Path
from typing import Any

import uvloop

import benchmarks
from benchmarks.harness import ROUNDS, Benchmark, servers
from benchmarks.report import Result, as_json, as_markdown, as_text
from shared.service.collector import calm_collector

DOCS = Path(__file__).parent.parent / "docs" / "benchmarks.md"
JSON = Path(".orderflow") / "benchmarks.json"
QUICK = 0.1


def main() -> int:
    """Run the benchmarks that are named, or all: 2 if one broke, with --strict 1 if a target was missed."""
    known = _known()
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"some of: {', '.join(known)} (default: all)"
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"at most so many (default: {ROUNDS})")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work: to see that all runs")
    parser.add_argument("--json", type=Path, default=JSON, help=f"where the numbers go (default: {JSON})")
    parser.add_argument("--write-docs", action="store_true", help="put the tables into docs/benchmarks.md")
    parser.add_argument("--strict", action="store_true", help="exit code 1 if a target is missed")
    arguments = parser.parse_args()
    if strangers := [name for name in arguments.names if name not in known]:
        parser.error(f"no such benchmark: {', '.join(strangers)}")
    chosen = [known[name] for name in known if name in (arguments.names or known)]
    missed = 0
    broken: list[str] = []
    calm_collector()  # as services do
    for benchmark in chosen:
        print(f"{benchmark.letter}. {benchmark.title}", file=sys.stderr, flush=True)
        scale = QUICK if arguments.quick else 1.0
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                results = runner.run(_measure(benchmark, max(1, arguments.rounds), scale))
        except Exception:  # noqa: BLE001 - the others have their turn
            traceback.print_exc()
            broken.append(benchmark.name)
            continue
        print("\n\n".join(["", *map(as_text, results), ""]), flush=True)
        missed += sum(not target.reached for result in results for target in result.targets)
        _keep(arguments.json, benchmark, results)
        if arguments.write_docs:
            _write_docs(benchmark, results, arguments)
    if missed:
        print(f"{missed} targets were missed.", file=sys.stderr)
    if broken:
        print(f"broken, see above: {', '.join(broken)}", file=sys.stderr)
    return 2 if broken else 1 if missed and arguments.strict else 0


def _known() -> dict[str, Benchmark]:
    """Every module of the package that has a BENCHMARK, in the order of letters."""
    found: list[Benchmark] = []
    for module in pkgutil.iter_modules(benchmarks.__path__):
        if not module.ispkg and module.name != "__main__":
            benchmark = getattr(import_module(f"benchmarks.{module.name}"), "BENCHMARK", None)
            if isinstance(benchmark, Benchmark):
                found.append(benchmark)
    return {benchmark.name: benchmark for benchmark in sorted(found, key=lambda each: each.letter)}


async def _measure(benchmark: Benchmark, rounds: int, scale: float) -> list[Result]:
    async with servers(benchmark, rounds=rounds, scale=scale) as bench:
        return await benchmark.run(bench)


def _keep(path: Path, benchmark: Benchmark, results: Sequence[Result]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    kept: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    kept[benchmark.name] = {
        "title": benchmark.title,
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": _machine(),
        "results": [as_json(result) for result in results],
    }
    path.write_text(json.dumps(kept, indent=2, ensure_ascii=False) + "\n")


def _write_docs(benchmark: Benchmark, results: Sequence[Result], arguments: argparse.Namespace) -> None:
    command = f"python -m benchmarks {benchmark.name} --rounds {arguments.rounds}"
    made_by = (
        f"`{command}{' --quick' if arguments.quick else ''}` on {datetime.now(UTC).date()}: {_machine()}."
    )
    section = "\n\n".join([made_by, *map(as_markdown, results)])
    begin, end = f"<!-- {benchmark.name} -->", f"<!-- /{benchmark.name} -->"
    text = DOCS.read_text()
    if begin not in text or end not in text:
        raise SystemExit(f"{DOCS.name} has no {begin} … {end}")
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    DOCS.write_text(pattern.sub(lambda _: f"{begin}\n{section}\n{end}", text))


def _machine() -> str:
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists() and (found := re.search(r"model name\s*: (.*)", cpuinfo.read_text())):
        model = found[1]
    return f"{cpu_count()} CPUs ({model}), {platform.system()}, Python {platform.python_version()}"


if __name__ == "__main__":
    sys.exit(main())
