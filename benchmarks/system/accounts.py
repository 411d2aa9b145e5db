"""Who used how much CPU: every process of the platform, Postgres by service, and the load itself."""

import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter

import psutil

from sandbox.supervisor import Supervisor

LOAD = "the load itself"
OTHERS = "others on this machine"


@dataclass(frozen=True, slots=True)
class Reading:
    """CPU seconds so far by part of the system, and how busy the whole machine was."""

    at: float
    seconds: Mapping[str, float]
    machine: float

    @classmethod
    def take(cls, supervisor: Supervisor) -> "Reading":
        """Read all meters now."""
        seconds: dict[str, float] = defaultdict(float)
        for status in supervisor.status():
            if status.pid is None:
                continue
            process = psutil.Process(status.pid)
            if status.name == "postgres":
                for name, used in _postgres(process).items():
                    seconds[name] += used
            else:
                seconds[status.name] += _used(process)
        seconds[LOAD] += _used(psutil.Process(os.getpid()))
        machine = psutil.cpu_times()
        busy = sum(machine) - machine.idle - getattr(machine, "iowait", 0.0)
        return cls(perf_counter(), dict(seconds), busy)

    def since(self, before: "Reading") -> dict[str, float]:
        """CPU seconds used between two readings, the largest first; OTHERS is the rest of the machine."""
        used = {name: value - before.seconds.get(name, 0.0) for name, value in self.seconds.items()}
        used[OTHERS] = max(0.0, self.machine - before.machine - sum(used.values()))
        return dict(sorted(used.items(), key=lambda item: -item[1]))


def _postgres(server: psutil.Process) -> dict[str, float]:
    """By database: a backend's title says whose it is. What has none keeps the logs and the disk."""
    seconds: dict[str, float] = defaultdict(float)
    for process in [server, *server.children(recursive=True)]:
        try:
            words = " ".join(process.cmdline()).split()
            whose = words[1] if len(words) > 3 and words[0] == "postgres:" and words[-1] != "worker" else ""
            seconds[f"postgres: {whose if whose.isidentifier() else 'writers'}"] += _used(process)
        except psutil.Error:
            continue
    return seconds


def _used(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
