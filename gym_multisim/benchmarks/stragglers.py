"""Servers of uneven speed: going on with the first half that is ready, against lock step.

Step times are lognormal, so that most steps are short and a few very long. In lock step everyone
waits for the slowest. ``recv(min_workers=8)`` of 16 returns as soon as eight are done, and those go
on at once. The `latency` simulator draws its times from counters, so that an event simulation can
tell what a pool without any cost of its own would do with the very same times.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gym_multisim.benchmarks.measuring import Contestant, Report, Row, Window, in_turn, judge
from gym_multisim.pool.pool import SimulatorPool
from gym_multisim.simulators.latency import step_delays

Policy = Callable[[NDArray[np.float64], int, float], float]
_LONG_WINDOW = Window(seconds=2.0)  # so that rare long steps weigh as they should


@dataclass(frozen=True)
class Settings:
    """How uneven the servers are, and for how long they are watched.

    Attributes:
        servers: How many.
        ready: Of how many `recv` waits for.
        mean: Mean seconds of a step.
        sigma: Standard deviation of the logarithm of a step's time.
        delay_seed: Seed of the times.
        window: Of each contestant.
    """

    servers: int = 16
    ready: int = 8
    mean: float = 0.005
    sigma: float = 1.0
    delay_seed: int = 0
    window: Window = _LONG_WINDOW


DEFAULTS = Settings()
UNIT = "server steps/s"


def run(*, repeats: int, report: Report, settings: Settings = DEFAULTS) -> list[Row]:
    """Measure both ways of stepping, and simulate what was possible."""
    ready, servers = settings.ready, settings.servers
    lock_step, first_ready = "step (all)", f"send / recv (first {ready} of {servers})"
    with ExitStack() as stack:
        report(f"stragglers: starting {servers} servers")
        pool = SimulatorPool(
            "latency",
            servers=servers,
            simulator_options={
                "step_time_mean": settings.mean,
                "step_time_sigma": settings.sigma,
                "delay_seed": settings.delay_seed,
            },
        )
        stack.callback(pool.close)
        pool.reset()
        contestants: dict[str, Contestant] = {}
        for name, needed in ((lock_step, servers), (first_ready, ready)):
            measured, simulated = _watched(pool, settings, needed)
            contestants[name] = measured
            contestants[_best(name)] = simulated
        samples = in_turn(
            "stragglers", contestants, repeats=repeats, window=settings.window, report=report
        )

    def row(name: str, peer: str, at_least: float | None = None) -> Row:
        value, peer_value = samples[name].median, samples[peer].median
        return judge(
            "stragglers", name, value, UNIT, peer=peer, peer_value=peer_value, at_least=at_least
        )

    return [
        row(first_ready, _best(first_ready), at_least=0.85),
        row(first_ready, lock_step),
        row(lock_step, _best(lock_step)),
    ]


def _best(name: str) -> str:
    return f"{name}: simulated optimum"


def _watched(pool: SimulatorPool, settings: Settings, needed: int) -> tuple[Contestant, Contestant]:
    """Return two contestants: a measured window, and the optimum of the last measured window."""
    first: list[int] = []

    def measured(seconds: float) -> float:
        first[:] = [worker.steps for worker in pool.statistics().workers]
        return steps_per_second(pool, needed, seconds)

    def simulated(seconds: float) -> float:
        count = 64 + int(20 * seconds / settings.mean)
        delays = [
            step_delays(
                settings.delay_seed,
                server,
                count,
                mean=settings.mean,
                sigma=settings.sigma,
                first=steps,
            )
            for server, steps in enumerate(first)
        ]
        return best_steps_per_second(np.stack(delays), needed, seconds)

    return measured, simulated


def steps_per_second(pool: SimulatorPool, needed: int, seconds: float) -> float:
    """Step servers as soon as ``needed`` are ready, for a while; return server steps per second.

    In the end all servers are idle again.
    """
    rows = pool.arenas_per_server
    actions = np.zeros(pool.servers * rows, dtype=np.int64)
    steps = 0
    began = time.perf_counter()
    pool.send(actions)
    while True:
        workers = pool.recv(min_workers=needed).workers
        steps += len(workers)
        elapsed = time.perf_counter() - began
        if elapsed >= seconds:
            break
        pool.send(actions[: len(workers) * rows], workers)
    if len(workers) < pool.servers:
        pool.recv()
    return steps / elapsed


def best_steps_per_second(delays: NDArray[np.float64], needed: int, seconds: float) -> float:
    """Simulate the same rule with a pool and a policy that take no time.

    Args:
        delays: Seconds of each server's consecutive steps, shape ``(servers, steps)``.
        needed: How many servers must be ready before they go on.
        seconds: How long.

    Returns:
        Server steps per second.
    """
    servers = np.arange(len(delays))
    taken = np.zeros(len(delays), dtype=np.intp)
    finish = delays[servers, taken]
    steps = 0
    while True:
        now = np.partition(finish, needed - 1)[needed - 1]
        done = servers[finish <= now]
        steps += len(done)
        if now >= seconds:
            return float(steps / now)
        taken[done] += 1
        finish[done] = now + delays[done, taken[done]]
