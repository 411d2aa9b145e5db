"""One seed: a shop with buyers and faults, then calm until everything rests, and a verdict."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random

import structlog

from cli.simulate.shop import Shop
from cli.simulate.verdict import violations
from cli.simulate.world import World
from shared.testing.faults import Fired, Rates
from shared.testing.loop import VirtualLoop, seeded_entropy
from shared.testing.simulation import Simulation

BUYERS = 5
STRANGERS = 0.3
"""How likely it is that somebody pays who has no order."""
REST_WITHIN_S = 12 * 3600.0
"""Virtual seconds after the last buyer in which the system must come to rest."""

LOSS_IS_NOTICED_WITHIN_S = 300.0
"""Twice the relays' pause between two looks at the ends of their topics, and more."""

Trace = Callable[[float, str, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a seed gave. `seconds` are virtual."""

    seed: int
    violations: Sequence[str]
    fired: Sequence[Fired]
    seconds: float
    crossings: int
    events: int
    orders: int


def run(
    seed: int,
    *,
    without: frozenset[int] = frozenset(),
    trace: Trace | None = None,
    rates: Rates | None = None,
    buyers: int = BUYERS,
) -> Result:
    """Simulate one seed, faults numbered in `without` left out. Always the same for the same arguments."""
    logs = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        _warm_up()
        with seeded_entropy(seed), asyncio.Runner(loop_factory=VirtualLoop) as runner:
            return runner.run(_run(seed, without, trace, rates or rates_of(seed), buyers))
    finally:
        structlog.configure(**logs)


@cache
def _warm_up() -> None:
    """Let everything that happens once in a process happen before the first run, not in it."""
    with seeded_entropy(0), asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(_run(0, frozenset(), None, Rates(most=0), 1))


def rates_of(seed: int) -> Rates:
    """How much goes wrong in this seed: some go almost unharmed, some hardly get on."""
    chance = Random(f"{seed} rates")  # noqa: S311 - to be repeatable is the point
    worse = chance.choice((0.3, 1.0, 3.0))
    return Rates(
        slow=0.01 * worse,
        drop=0.002 * worse,
        crash=0.001 * worse,
        stall=0.0003 * worse,
        most=chance.choice((2, 6, 12, 24)),
    )


async def _run(seed: int, without: frozenset[int], trace: Trace | None, rates: Rates, buyers: int) -> Result:
    simulation = Simulation(seed, rates=rates, without=without, trace=trace)
    world = World(simulation)
    shop = Shop.of(simulation, world.provider)
    stuck: list[str] = []
    await shop.open()
    serving = [simulation.spawn(shop.serve(f"buyer{n}")) for n in range(buyers)]
    if simulation.chance.random() < STRANGERS:
        serving.append(simulation.spawn(shop.be_paid_by_a_stranger()))
    ways = await asyncio.gather(*serving, return_exceptions=True)
    stuck += [f"a buyer's way ended with {way!r}" for way in ways if isinstance(way, BaseException)]
    simulation.calm = True
    stuck += await _rest(world)
    found = stuck + ([] if stuck else violations(world, shop.acknowledged))
    loop = asyncio.get_running_loop()
    result = Result(
        seed=seed,
        violations=found,
        fired=tuple(simulation.fired),
        seconds=loop.time(),
        crossings=simulation.crossings,
        events=sum(len(each.events()) for each in simulation.databases.values()),
        orders=sum(
            stream.startswith("order-") for each in simulation.databases.values() for stream in each.streams
        ),
    )
    await simulation.stop()
    return result


async def _rest(world: World) -> list[str]:
    """Wait until nothing moves any more; what still does if that takes too long."""
    loop = asyncio.get_running_loop()
    give_up, pause = loop.time() + REST_WITHIN_S, 5.0
    await asyncio.sleep(LOSS_IS_NOTICED_WITHIN_S)
    while waits := world.open():
        if loop.time() > give_up:
            return [f"never came to rest: {wait}" for wait in waits]
        await asyncio.sleep(pause)
        pause = min(600.0, pause * 1.3)
    return []
