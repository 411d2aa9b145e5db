"""Made-up schedules of three transactions have the same answers, waits and refusals in both memories."""

from itertools import islice

import pytest

from tests.integration.contract.places import MemoryPlace, PostgresPlace
from tests.integration.contract.players import Player, Unclear, schedule

pytestmark = pytest.mark.integration

STEPS = 24


@pytest.mark.parametrize("seeds", [range(first, first + 10) for first in range(0, 40, 10)], ids=str)
async def test_both_answer_alike(postgres_place: PostgresPlace, seeds: range) -> None:
    for seed in seeds:
        await postgres_place.clear()
        await both_play(seed, Player(postgres_place), Player(MemoryPlace()))


async def both_play(seed: int, real: Player, memory: Player) -> None:
    taken = []
    try:
        for step in islice(schedule(seed), STEPS):
            taken.append(step)
            try:
                expected = await real.take(step)
            except Unclear:
                break
            try:
                found = await memory.take(step)
            except Unclear:
                found = ["deadlock or two that wait"]
            assert found == expected, f"seed {seed}, after {taken}"
    finally:
        await real.close()
        await memory.close()
