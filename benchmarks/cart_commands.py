"""(g) Cart commands over HTTP while everything else runs on the same two cores, and a long cart's quote.

The whole platform runs; visitors send 100 commands a second by the clock. A raw FastAPI echo takes the same
rate in turn with them, on the same machine beside the same platform: what any request costs at least.
"""

import asyncio
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from time import perf_counter
from uuid import uuid4

import orjson

from benchmarks.harness import Bench, Benchmark
from benchmarks.report import Facts, Result, Target
from benchmarks.system.accounts import Reading
from benchmarks.system.people import PATIENCE_S, Failed, Shop
from benchmarks.system.visits import Command, Visitors, open_loop
from benchmarks.whole_system import quantiles, system
from sandbox.command import Command as Started
from sandbox.command import free_ports, running
from services.cart.domain.product import Product, ProductDetails
from services.cart.domain.quote import Item, quote
from services.cart.domain.rules import DEFAULT_RULES
from shared.domain import Sealed
from shared.events.common import Destination
from shared.service.http_client import HttpClient

RATE = 100.0
AT_ONCE = 25
"""Visitors at a time: each sends four commands a second."""
CART_S, ECHO_S, WARM_UP_S = 10.0, 5.0, 5.0
LINES, QUOTES = 500, 60
P99_MS = QUOTE_MS = 20.0
HOME = Destination(country="GB", complete=False, address=Sealed(""))

Stretch = Sequence[float]


async def run(bench: Bench) -> list[Result]:
    """Rounds of both, then the quotes."""
    async with system({}) as on, AsyncExitStack() as resources:
        echo = await _echo(resources)
        visits = Visitors(on.shop, AT_ONCE).commands()
        await open_loop(visits, RATE, WARM_UP_S)
        carts: list[Stretch] = []
        echoes: list[Stretch] = []
        used: Counter[str] = Counter()
        for round_no in range(bench.rounds):
            echoes.append(await open_loop(echo, RATE, max(1.0, ECHO_S * bench.scale)))
            before = Reading.take(on.running.supervisor)
            carts.append(await open_loop(visits, RATE, max(1.0, CART_S * bench.scale)))
            used.update(Reading.take(on.running.supervisor).since(before))
            print(f"  round {round_no + 1}: {_said(carts[-1])}, echo {_said(echoes[-1])}", file=sys.stderr)
        over_http = await _quotes_over_http(on.shop, bench.scaled(QUOTES, least=10))
    return [
        answered(carts, echoes),
        accounts(used, sum(map(len, carts))),
        quoted(over_http, _quotes(bench.scaled(QUOTES, least=10))),
    ]


async def _echo(resources: AsyncExitStack) -> Iterator[tuple[asyncio.Lock, Command]]:
    """Commands to an echo of its own."""
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    client = HttpClient(url, timeout_s=PATIENCE_S)

    async def ready() -> bool:
        try:
            return (await client.request("GET", "/livez")).is_success
        except OSError:
            return False

    folder = resources.enter_context(tempfile.TemporaryDirectory(prefix="orderflow-echo-"))
    command = Started(argv=(sys.executable, "-m", "benchmarks.system.echo", str(port)))
    await resources.enter_async_context(running(command, ready=ready, log=Path(folder) / "echo.log"))
    resources.push_async_callback(client.close)
    headers = {"Content-Type": "application/json"}

    async def send() -> None:
        body = orjson.dumps({"line_id": uuid4(), "sku": "BENCH-0001", "quantity": 1})
        answer = await client.request("POST", "/echo", headers=headers, body=body)
        if not answer.is_success:
            raise Failed(f"the echo answered {answer.status}")

    def commands() -> Iterator[tuple[asyncio.Lock, Command]]:
        while True:
            yield asyncio.Lock(), send

    return commands()


async def _quotes_over_http(shop: Shop, times: int) -> Stretch:
    """How long POST /quotes takes for a cart's worth of lines, one after another, in s, sorted."""
    listing = [
        {"sku": f"LONG-{n:03}", "titles": {"en": f"Long {n}"}, "prices": {"EUR": 100 + n}}
        for n in range(LINES)
    ]
    await shop.done("cart", "POST", "/products", shop.clerk, {"products": listing})
    lines = [{"line_id": uuid4(), "sku": each["sku"], "quantity": 2} for each in listing]
    wish = {"of": {"currency": "EUR", "country": "DE", "method_id": "post", "lines": lines}}
    took: list[float] = []
    for _ in range(times):
        start = perf_counter()
        answer = await shop.done("cart", "POST", "/quotes", shop.clerk, wish)
        took.append(perf_counter() - start)
        if len(answer["lines"]) != LINES:
            raise Failed(f"{len(answer['lines'])} lines were quoted")
    return sorted(took)


def _quotes(times: int) -> Stretch:
    """How long the pure core takes for as many lines, in s, sorted."""
    details = ProductDetails(title={"en": "Long"}, weight_g=10)
    products = {
        sku: Product(sku=sku, details=details, prices={"GBP": 100 + n})
        for n, sku in enumerate(f"LONG-{n:03}" for n in range(LINES))
    }
    items = [Item(line_id=uuid4(), sku=sku, quantity=2) for sku in products]
    took: list[float] = []
    for _ in range(times):
        start = perf_counter()
        quote(
            items,
            currency="GBP",
            locale="en",
            destination=HOME,
            method_id="standard",
            pickup=False,
            products=products,
            rules=DEFAULT_RULES,
        )
        took.append(perf_counter() - start)
    return sorted(took)


def answered(carts: Sequence[Stretch], echoes: Sequence[Stretch]) -> Facts:
    """Both side by side; the ratio is of each round's own."""
    named = {"cart commands": carts, "raw FastAPI echo": echoes}
    lines = [
        (name, *_spread([1000 * quantiles(each)[q] for each in rounds]), str(sum(map(len, rounds))))
        for q, label in ((0, "p50, ms"), (1, "p99, ms"))
        for name, rounds in ((f"{name}: {label}", rounds) for name, rounds in named.items())
    ]
    for q, label in ((0, "p50"), (1, "p99")):
        ratios = [quantiles(c)[q] / quantiles(e)[q] for c, e in zip(carts, echoes, strict=True)]
        lines.append((f"cart / echo: {label}", *_spread(ratios), ""))
    p99 = median(1000 * quantiles(each)[1] for each in carts)
    return Facts(
        title=f"Answers to {RATE:.0f} requests/s, open loop, while the whole platform runs",
        columns=("", "min", "median", "max", "requests"),
        lines=lines,
        targets=[Target(what="ms to answer a cart command, p99", value=p99, at_most=P99_MS)],
    )


def accounts(used: Mapping[str, float], commands: int) -> Facts:
    """Who used how much CPU for a command, what follows from it in all services included."""
    return Facts(
        title="CPU ms a command by process",
        columns=("", "ms"),
        lines=[
            (name, f"{1000 * seconds / commands:.2f}")
            for name, seconds in sorted(used.items(), key=lambda item: -item[1])
        ],
    )


def quoted(over_http: Stretch, core: Stretch) -> Facts:
    """What it takes to price a long cart."""
    return Facts(
        title=f"A quote of {LINES} lines, ms",
        columns=("", "min", "median", "max", "quotes"),
        lines=[
            (name, *_spread([1000 * each for each in took]), str(len(took)))
            for name, took in (("the pure core", core), ("POST /quotes, signed, over HTTP", over_http))
        ],
        targets=[
            Target(what="ms to quote, pure core, median", value=1000 * median(core), at_most=QUOTE_MS),
            Target(what="ms to quote over HTTP, median", value=1000 * median(over_http), at_most=QUOTE_MS),
        ],
    )


def _spread(values: Sequence[float]) -> tuple[str, str, str]:
    least, middle, most = (f"{of(values):.2f}" for of in (min, median, max))
    return least, middle, most


def _said(took: Stretch) -> str:
    p50, p99 = quantiles(took)
    return f"p50 {1000 * p50:.1f} ms, p99 {1000 * p99:.1f} ms"


BENCHMARK = Benchmark(letter="g", name="cart_commands", title="Cart commands over HTTP", run=run)
