"""(h) A catalogue of 100,000 SKUs, imported from a file as an operator does it: how long, in how much memory.

Each import is a process of its own, `orderflow catalog import`, on the whole platform. Ten times the products
must not take more memory, neither in it nor in the cart service that checks and keeps them.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from benchmarks.harness import Bench, Benchmark
from benchmarks.report import Facts, Result, Target
from cli.platform import FILE_NAME
from cli.up import Running, running_platform

FEW, MANY = 10_000, 100_000
WITHIN_S, MORE_MEMORY = 60.0, 1.25
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import took; memory in bytes, at its peak."""

    products: int
    seconds: float
    importer: int
    service: int


async def run(bench: Bench) -> list[Result]:
    """A tenth first, then all of it, each into an empty catalogue."""
    done: list[Imported] = []
    with tempfile.TemporaryDirectory(prefix="orderflow-catalogue-") as name:
        for count in (bench.scaled(FEW), bench.scaled(MANY)):
            folder = Path(name) / str(count)
            folder.mkdir()
            file = folder / "catalogue.jsonl"
            await asyncio.to_thread(write, file, count)
            async with running_platform(folder / "platform") as running:
                done.append(await _imported(running, folder, file, count))
            print(f"  {count:,} products: {done[-1].seconds:.1f} s", file=sys.stderr)
    return [told(*done)]


def write(file: Path, count: int) -> None:
    """So many products as a shop has them: variants of an article, with prices, images and notes."""
    with file.open("w") as lines:
        for n in range(count):
            article, size = divmod(n, 5)
            product = {
                "sku": f"ART-{article:05}-{size}",
                "handle": f"article-{article}",
                "position": size,
                "titles": {"en": f"Article {article}, a thing of some length to its name"},
                "prices": {"GBP": 499 + n % 10_000},
                "weight_g": 100 + n % 900,
                "options": [{"name": "Size", "value": str(36 + size)}],
                "images": [{"url": f"https://cdn.example/{article}.jpg"}] if size == 0 else [],
                "attributes": {"Vendor": f"Vendor {article % 50}", "Tags": "new, season, sale"},
            }
            lines.write(json.dumps(product) + "\n")


async def _imported(running: Running, folder: Path, file: Path, count: int) -> Imported:
    pid = running.supervisor.pid("cart")
    assert pid is not None
    forget_peak(pid)
    start = perf_counter()
    platform = folder / "platform" / FILE_NAME
    importer = await asyncio.to_thread(_import, file, platform)
    return Imported(count, perf_counter() - start, importer, peak(pid))


def _import(file: Path, platform: Path) -> int:
    """Run the command; gives the memory of its process at its peak."""
    argv = (sys.executable, "-m", "cli.main", "catalog", "import", str(file), "--platform", str(platform))
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        said = process.stderr.read().decode()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"the import ended with {process.returncode}: {said[-500:]}")
    return used.ru_maxrss * 1024


def forget_peak(pid: int) -> None:
    """Let the kernel measure the peak from now on."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak(pid: int) -> int:
    """The most memory that the process had, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def told(few: Imported, many: Imported) -> Facts:
    """Both imports, with the numbers to reach."""
    return Facts(
        title="orderflow catalog import, JSON Lines, into an empty catalogue, the whole platform running",
        columns=("products", "seconds", "products/s", "importer's peak RSS, MiB", "cart's peak RSS, MiB"),
        lines=[
            (
                f"{each.products:,}",
                f"{each.seconds:.1f}",
                f"{each.products / each.seconds:,.0f}",
                f"{each.importer / MIB:.0f}",
                f"{each.service / MIB:.0f}",
            )
            for each in (few, many)
        ],
        targets=[
            Target(what=f"seconds for {many.products:,} products", value=many.seconds, at_most=WITHIN_S),
            Target(
                what="importer's memory at ten times the products",
                value=many.importer / few.importer,
                at_most=MORE_MEMORY,
            ),
            Target(
                what="cart's memory at ten times the products",
                value=many.service / few.service,
                at_most=MORE_MEMORY,
            ),
        ],
    )


BENCHMARK = Benchmark(letter="h", name="catalogue", title="A catalogue of 100,000 SKUs", run=run)
