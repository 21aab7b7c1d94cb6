"""How soon the workers of a treasure hunt are ready, and how much memory each of them takes.

Memory is the proportional set size (PSS): pages that several processes share count for each of them
in part, so that the numbers of all processes add up to what the machine really spends.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import psutil

from gym_multisim.benchmarks.measuring import Report, Row, Samples, judge
from gym_multisim.errors import UsageError
from gym_multisim.pool.pool import SimulatorPool

READY = "start of a pool until all workers are ready"
MEMORY = "memory of a worker (PSS), the largest"


@dataclass(frozen=True)
class Settings:
    """What is started, and what is asked for.

    Attributes:
        simulator: A registered name.
        servers: How many.
        arenas_per_server: In each of them.
        steps: Made before memory is read.
        seconds: In which all must be ready.
        megabytes: What a worker may take, in millions of bytes.
    """

    simulator: str = "treasure_hunt"
    servers: int = 2
    arenas_per_server: int = 8
    steps: int = 20
    seconds: float = 0.6
    megabytes: float = 40


DEFAULTS = Settings()


def run(*, repeats: int, report: Report, settings: Settings = DEFAULTS) -> list[Row]:
    """Start pools one after another, and return the median of both figures.

    Raises:
        UsageError: This is not Linux.
    """
    if not psutil.LINUX:
        raise UsageError("The benchmark 'startup' reads the PSS of processes: run it on Linux.")
    _start_once(settings)  # the files that all read come from the disk cache from now on
    ready, memory = [], []
    for index in range(repeats):
        report(f"startup: round {index + 1} of {repeats}")
        seconds, megabytes = _start_once(settings)
        ready.append(seconds)
        memory.append(megabytes)
    report(f"startup: {READY}: {Samples(tuple(ready))} s")
    report(f"startup: {MEMORY}: {Samples(tuple(memory))} MB")
    return [
        judge("startup", READY, Samples(tuple(ready)).median, "s", at_most=settings.seconds),
        judge("startup", MEMORY, Samples(tuple(memory)).median, "MB", at_most=settings.megabytes),
    ]


def _start_once(settings: Settings) -> tuple[float, float]:
    """Return seconds until ready, and the megabytes of the largest worker."""
    began = time.perf_counter()
    with SimulatorPool(
        settings.simulator,
        servers=settings.servers,
        arenas_per_server=settings.arenas_per_server,
        seed=0,
    ) as pool:
        seconds = time.perf_counter() - began
        batch = pool.reset()
        name = pool.group().name
        for _ in range(settings.steps):
            batch = pool.step(pool.sample_actions(batch, name))
        assert np.isfinite(batch.reward).all()
        pids = [worker.pid for worker in pool.statistics().workers]
        largest = max(psutil.Process(pid).memory_full_info().pss for pid in pids)
    return seconds, largest / 1e6
