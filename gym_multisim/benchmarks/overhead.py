"""What a step costs when there is nothing to do, beside the least that two processes can do.

The least is a round trip over two eventfds: wake the other process, be woken by it. How long that
takes depends above all on whether the scheduler puts both on one core (a context switch) or on two
(waking a core that sleeps, several times as long), and it may choose differently each second. So
the stated reference keeps its two processes on two cores, and the pool is measured both as the
scheduler likes it and with a worker kept on each core.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from gym_multisim.benchmarks.measuring import (
    WINDOW,
    Contestant,
    Report,
    Row,
    Window,
    in_turn,
    judge,
    microseconds,
)
from gym_multisim.errors import UsageError
from gym_multisim.pool.pool import SimulatorPool
from gym_multisim.testing.fakes import Nothing

# It ends when its standard input does, that is, with whoever started it.
_ECHO = """
import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
go, done = map(int, sys.argv[1:])
read, write = os.eventfd_read, os.eventfd_write
while True:
    read(go)
    write(done, 1)
"""


@dataclass(frozen=True)
class Settings:
    """How many servers, and for how long."""

    servers: int = 2
    window: Window = WINDOW


DEFAULTS = Settings()
PINNED_TRIP = "eventfd round trip, two processes on two cores"
FREE_TRIP = "eventfd round trip, as the scheduler likes"
PINNED_POOL = "step of SimulatorPool, a worker on each core"
FREE_POOL = "step of SimulatorPool, as the scheduler likes"


def run(*, repeats: int, report: Report, settings: Settings = DEFAULTS) -> list[Row]:
    """Measure the pool and bare round trips, in microseconds.

    Raises:
        UsageError: This is not Linux.
    """
    if not hasattr(os, "eventfd") or not hasattr(os, "sched_setaffinity"):
        raise UsageError(
            "The benchmark 'overhead' needs eventfds and core affinity: run it on Linux."
        )
    cores = sorted(os.sched_getaffinity(0))
    with ExitStack() as stack:
        trip, echo = _start_echo(stack)
        pool = SimulatorPool(Nothing, servers=settings.servers)
        stack.callback(pool.close)
        pool.reset()
        actions = np.zeros(pool.num_rows(), dtype=np.int64)
        workers = [worker.pid for worker in pool.statistics().workers]

        def step() -> None:
            pool.step(actions)

        contestants = {
            PINNED_TRIP: _pinned(microseconds(trip), [echo], cores[1:] + cores[:1]),
            FREE_TRIP: microseconds(trip),
            PINNED_POOL: _pinned(microseconds(step), workers, cores),
            FREE_POOL: microseconds(step),
        }
        samples = in_turn(
            "overhead", contestants, repeats=repeats, window=settings.window, report=report
        )
    least = samples[PINNED_TRIP].median
    return [
        judge(
            "overhead",
            name,
            samples[name].median,
            "µs",
            peer=PINNED_TRIP,
            peer_value=least,
            at_most=limit,
        )
        for name, limit in ((FREE_POOL, 2.5), (PINNED_POOL, 2.5), (FREE_TRIP, None))
    ]


def _start_echo(stack: ExitStack) -> tuple[Callable[[], None], int]:
    """Start a process that answers; return what makes a round trip, and its process id."""
    go, done = os.eventfd(0), os.eventfd(0)
    for fd in (go, done):
        stack.callback(os.close, fd)
    echo = subprocess.Popen(
        [sys.executable, "-c", _ECHO, str(go), str(done)],
        stdin=subprocess.PIPE,
        pass_fds=(go, done),
    )
    stack.enter_context(echo)  # closes its standard input, and waits for it to end
    read, write = os.eventfd_read, os.eventfd_write

    def trip() -> None:
        write(go, 1)
        read(done)

    trip()
    return trip, echo.pid


def _pinned(work: Contestant, others: list[int], cores: list[int]) -> Contestant:
    """Let a contestant work with this thread on the first core and others on one each."""

    def work_pinned(seconds: float) -> float:
        with ExitStack() as stack:
            for pid, core in zip(others, cores * len(others), strict=False):
                stack.enter_context(_kept_on(pid, core))
            stack.enter_context(_kept_on(0, min(cores)))
            return work(seconds)

    return work_pinned


@contextlib.contextmanager
def _kept_on(pid: int, core: int) -> Iterator[None]:
    """Keep a process (0: this thread) on one core for a while."""
    before = os.sched_getaffinity(pid)
    os.sched_setaffinity(pid, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(pid, before)
