"""A day under SIGKILL: whatever dies at whatever moment, the proofs still hold."""

import os
import random
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from cli.demo.command import PROVIDER_OPTIONS, QUIET_WITHIN_S, SHORT_WAITS
from cli.demo.invoices import EXAMPLE, read_invoices
from cli.demo.play import play
from cli.demo.scenario import SEED, plan
from cli.platform import SERVICES
from cli.prove import prove
from cli.quiet import wait_until_quiet
from cli.up import Running, running_platform
from sandbox.supervisor import Supervisor
from tests.card_data import card_data

pytestmark = [pytest.mark.e2e, pytest.mark.integration]

KILLS_A_SERVICE = 4


@pytest.fixture
def state() -> Iterator[Path]:
    """Where the platform keeps all that it keeps."""
    folder = Path(tempfile.mkdtemp(prefix="orderflow-e2e-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def running(state: Path) -> AsyncIterator[Running]:
    async with running_platform(state, settings=SHORT_WAITS, provider_options=PROVIDER_OPTIONS) as platform:
        yield platform


class Killer:
    """Kills the next victim whenever two purchases have come to their end: the others are then anywhere."""

    def __init__(self, supervisor: Supervisor, victims: list[str]) -> None:
        self._supervisor = supervisor
        self._victims = victims
        self._steps = 0
        self.killed: list[tuple[str, int]] = []

    def step(self, _text: str) -> None:
        self._steps += 1
        if self._steps % 2 == 0:
            self.kill_next()

    def kill_next(self) -> None:
        """SIGKILL the first victim that lives; one that is between two lives comes later."""
        for victim in self._victims:
            pid = self._supervisor.pid(victim)
            if pid is not None and (victim, pid) not in self.killed:
                os.kill(pid, signal.SIGKILL)
                self._victims.remove(victim)
                self.killed.append((victim, pid))
                return


@pytest.mark.timeout(900)
async def test_nothing_is_lost_whatever_is_killed(running: Running, state: Path) -> None:
    """Each service dies four times, every server once; the broker comes back empty. And although everybody
    paid by card, and much was logged, nobody has kept what was on the cards."""
    invoices, _ = read_invoices(EXAMPLE)
    purchases = plan(invoices, seed=SEED, day=0)
    victims = [*SERVICES * KILLS_A_SERVICE, "broker", "postgres", "provider", "mail"]
    random.Random(SEED).shuffle(victims)
    wanted = sorted(victims)
    killer = Killer(running.supervisor, victims)

    ended = await play(running.platform, purchases, run="kills", at_once=8, meter=killer)

    assert sum(ended.values()) == len(purchases)
    assert sorted(victim for victim, _ in killer.killed) == wanted
    open_ = await wait_until_quiet(running.platform, QUIET_WITHIN_S)
    assert not open_, open_
    proofs = await prove(running.platform, quiescent=True, rebuild=True)
    assert proofs.ok, str(proofs.first_violation)
    assert proofs.counters["orders"] == len(purchases)
    assert proofs.counters["lost"] == proofs.counters["duplicated"] == proofs.counters["oversold"] == 0
    assert await card_data(state, running.platform) == []
