"""One seed: a shop with buyers and faults, then calm until everything rests, and a verdict."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from cli.simulate.people import Shop
from cli.simulate.verdict import violations
from cli.simulate.world import World
from shared.testing.loop import Stuck, VirtualLoop, seeded_entropy
from shared.testing.simulation import Fired, Rates, Simulation

BUYERS = 5
REST_WITHIN_S = 3 * 86_400.0
"""Virtual seconds after the last buyer in which the system must come to rest."""

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
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with seeded_entropy(seed), asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(_run(seed, without, trace, rates, buyers))


async def _run(
    seed: int, without: frozenset[int], trace: Trace | None, rates: Rates | None, buyers: int
) -> Result:
    simulation = Simulation(seed, rates=rates, without=without, trace=trace)
    world = World(simulation)
    shop = Shop.of(simulation, world.provider)
    stuck: list[str] = []
    try:
        await shop.open()
        serving = [simulation.spawn(shop.serve(f"buyer{n}")) for n in range(buyers)]
        ways = await asyncio.gather(*serving, return_exceptions=True)
        stuck += [f"a buyer's way ended with {way!r}" for way in ways if isinstance(way, BaseException)]
        simulation.calm = True
        stuck += await _rest(world)
    except Stuck as error:
        stuck.append(str(error))
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
    while waits := world.open():
        if loop.time() > give_up:
            return [f"never came to rest: {wait}" for wait in waits]
        await asyncio.sleep(pause)
        pause = min(600.0, pause * 1.3)
    return []
