"""A synthetic simulator whose step and reset times are chosen, to test and measure pools with.

Nothing in its rows is random: every number follows from the episode's seed, the step and the
action. Only its times are drawn, from counters, so that `step_delays` tells a benchmark in advance
how long each step of each server will take, and with that how fast a perfect pool could be.
"""

from __future__ import annotations

import enum
import inspect
import itertools
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gym_multisim import seeding
from gym_multisim.errors import ConfigError, nearest_name
from gym_multisim.simulator import (
    AgentGroup,
    GroupRows,
    Rows,
    ServerContext,
    Simulator,
    SimulatorSpec,
)

DISTRIBUTIONS = ("lognormal", "constant", "pareto")
CRASH_EXIT_CODE = 70
"""The exit code of a worker whose simulator crashed on purpose."""
GROUP = "agents"
_BLOCK = 1024  # times are drawn so many at once
_STEP_STREAM, _RESET_STREAM, _FAULT_STREAM = 1, 2, 3


class Fault(enum.IntEnum):
    """What goes wrong at a step of the server."""

    NONE = 0
    CRASH = 1
    """The process ends at once."""
    HANG = 2
    """The step never returns, and uses no CPU."""
    EXCEPTION = 3
    """The step raises RuntimeError."""


def step_delays(
    seed: int,
    server: int,
    count: int,
    *,
    mean: float,
    sigma: float = 0.0,
    distribution: str = "lognormal",
    first: int = 0,
) -> NDArray[np.float64]:
    """Return how long steps of a `Latency` server take, exactly as it will draw them.

    Args:
        seed: Its option ``delay_seed``.
        server: The server's index in the pool.
        count: How many consecutive steps.
        mean: Its ``step_time_mean``, in seconds.
        sigma: Its ``step_time_sigma``.
        distribution: Its ``step_time_distribution``.
        first: Number of the first of these steps, counted from the server's start.

    Returns:
        Seconds, float64 ``(count,)``.
    """
    return _delays(_STEP_STREAM, seed, server, first, count, mean, sigma, distribution)


def reset_delays(
    seed: int,
    server: int,
    count: int,
    *,
    mean: float,
    sigma: float = 0.0,
    distribution: str = "lognormal",
    first: int = 0,
) -> NDArray[np.float64]:
    """Return how long calls of ``reset`` take; see `step_delays`."""
    return _delays(_RESET_STREAM, seed, server, first, count, mean, sigma, distribution)


def step_faults(
    seed: int,
    server: int,
    count: int,
    *,
    crash_rate: float = 0.0,
    hang_rate: float = 0.0,
    exception_rate: float = 0.0,
    first: int = 0,
) -> NDArray[np.int64]:
    """Return the `Fault` of each of ``count`` consecutive steps of a server, int64 ``(count,)``."""
    key = _stream_key(_FAULT_STREAM, seed, server)
    uniforms = seeding.random_floats(key, np.arange(first, first + count), 0)
    limits = np.cumsum([crash_rate, hang_rate, exception_rate])
    kinds = np.array([Fault.CRASH, Fault.HANG, Fault.EXCEPTION, Fault.NONE], dtype=np.int64)
    return kinds[np.searchsorted(limits, uniforms, side="right")]


class Latency(Simulator):
    """Arenas that only count, on a server that takes a drawn time for each step.

    A server steps all its arenas together, so that a whole step takes one drawn time, and so does a
    whole reset. The time covers the simulator's own work: what it takes less than drawn, it waits.
    Servers draw different times, since the server's index enters.

    Observation, float32: [0] the episode's seed as a number in [0, 1) (see `seed_number`), [1] the
    agent's index, [2:] the steps of this episode. Reward: the action. An episode is truncated after
    ``episode_length`` steps. Masks allow the actions 0 and ``steps % actions``.

    Faults are drawn per step of the server, at the beginning of the step. A crash ends the process
    that runs the simulator: use it with ``backend="process"``.

    Args:
        agents: Agents per arena.
        observation_size: Numbers per observation, at least 3.
        actions: How many actions an agent has.
        masked: Write action masks.
        step_time_mean: Mean seconds of a step; 0 takes no time.
        step_time_sigma: Standard deviation of the logarithm of a step's time; 0 is constant. For
            ``pareto`` below 1: its tail exponent is 1 / sigma.
        step_time_distribution: ``lognormal``, ``constant``, or ``pareto`` for a heavy tail.
        reset_time_mean: Mean seconds of a reset.
        reset_time_sigma: As ``step_time_sigma``.
        reset_time_distribution: As ``step_time_distribution``.
        episode_length: Steps of an episode.
        busy: False sleeps, as for a server on other hardware; True computes: the drawn time is then
            CPU time, which takes longer where there are fewer cores than servers.
        crash_rate: Probability that a step of the server crashes it.
        hang_rate: Probability that it hangs.
        exception_rate: Probability that it raises.
        delay_seed: Seed of times and faults. It is not the pool's seed: episodes with other seeds
            meet the same times.

    Raises:
        ConfigError: An option is unknown or cannot be used.
    """

    def __init__(
        self,
        *,
        agents: int = 1,
        observation_size: int = 8,
        actions: int = 4,
        masked: bool = False,
        step_time_mean: float = 0.001,
        step_time_sigma: float = 0.0,
        step_time_distribution: str = "lognormal",
        reset_time_mean: float = 0.0,
        reset_time_sigma: float = 0.0,
        reset_time_distribution: str = "lognormal",
        episode_length: int = 100,
        busy: bool = False,
        crash_rate: float = 0.0,
        hang_rate: float = 0.0,
        exception_rate: float = 0.0,
        delay_seed: int = 0,
        **unknown: object,
    ) -> None:
        _refuse_unknown(unknown)
        self._agents = _whole("agents", agents, least=1)
        self._size = _whole("observation_size", observation_size, least=3)
        self._actions = _whole("actions", actions, least=1)
        self._masked = _flag("masked", masked)
        _check_time("step_time", step_time_mean, step_time_sigma, step_time_distribution)
        _check_time("reset_time", reset_time_mean, reset_time_sigma, reset_time_distribution)
        self._step_time = (step_time_mean, step_time_sigma, step_time_distribution)
        self._reset_time = (reset_time_mean, reset_time_sigma, reset_time_distribution)
        self._length = _whole("episode_length", episode_length, least=1)
        self._busy = _flag("busy", busy)
        self._delay_seed = _whole("delay_seed", delay_seed)
        self._rates = {
            "crash_rate": _rate("crash_rate", crash_rate),
            "hang_rate": _rate("hang_rate", hang_rate),
            "exception_rate": _rate("exception_rate", exception_rate),
        }
        total = sum(self._rates.values())
        if total > 1:
            raise _bad(" + ".join(self._rates), total, "at most 1: a step has one fault at most")

    def spec(self) -> SimulatorSpec:
        """Return one group, "agents"."""
        from gymnasium.spaces import Box, Discrete  # a worker gets by without Gymnasium

        group = AgentGroup(
            name=GROUP,
            agents=tuple(f"agent_{agent}" for agent in range(self._agents)),
            observation_space=Box(0.0, np.inf, (self._size,), np.float32),
            action_space=Discrete(self._actions),
            masked=self._masked,
        )
        return SimulatorSpec(groups=(group,))

    def open(self, context: ServerContext) -> None:
        """Allocate the counters, and find this server's times."""
        self._server = context.server
        self._steps = np.zeros(context.arenas, dtype=np.int64)
        self._server_steps = 0
        self._step_delays = self._endless_delays(_STEP_STREAM, self._step_time)
        self._reset_delays = self._endless_delays(_RESET_STREAM, self._reset_time)
        self._faults = iter(()) if not any(self._rates.values()) else self._endless_faults()

    def reset(self, arenas: NDArray[np.intp], seeds: NDArray[np.uint64], rows: Rows) -> None:
        """Count from 0, and take the time of a reset."""
        until = self._now() + next(self._reset_delays)
        group = rows[GROUP]
        self._steps[arenas] = 0
        group.observation[arenas] = 0.0
        group.observation[arenas, :, 0] = seed_number(seeds)[:, None]
        group.observation[arenas, :, 1] = np.arange(self._agents)
        self._write_masks(arenas, group)
        self._wait_until(until)

    def step(self, arenas: NDArray[np.intp], rows: Rows) -> None:
        """Count one step, and take the time of a step."""
        until = self._now() + next(self._step_delays)
        self._misbehave(Fault(next(self._faults, Fault.NONE)))
        self._server_steps += 1
        group = rows[GROUP]
        self._steps[arenas] += 1
        steps = self._steps[arenas]
        group.observation[arenas, :, 2:] = steps[:, None, None]
        group.reward[arenas] = group.action[arenas]
        group.truncated[arenas] = (steps >= self._length)[:, None]
        self._write_masks(arenas, group)
        self._wait_until(until)

    def _write_masks(self, arenas: NDArray[np.intp], group: GroupRows) -> None:
        if group.action_mask is None:
            return
        group.action_mask[arenas] = False
        group.action_mask[arenas, :, 0] = True
        group.action_mask[arenas, :, self._steps[arenas] % self._actions] = True

    def _endless_delays(self, stream: int, timing: tuple[float, float, str]) -> Iterator[float]:
        return _endless(
            lambda first: _delays(stream, self._delay_seed, self._server, first, _BLOCK, *timing)
        )

    def _endless_faults(self) -> Iterator[int]:
        return _endless(
            lambda first: step_faults(
                self._delay_seed, self._server, _BLOCK, first=first, **self._rates
            )
        )

    def _misbehave(self, fault: Fault) -> None:
        if fault is Fault.NONE:
            return
        where = f"at step {self._server_steps} of server {self._server}, as its rates ask for"
        if fault is Fault.EXCEPTION:
            raise RuntimeError(f"latency: an exception {where}")
        print(f"latency: a {fault.name.lower()} {where}", flush=True)
        if fault is Fault.CRASH:
            _crash()
        _hang()

    def _now(self) -> float:
        return time.thread_time() if self._busy else time.perf_counter()

    def _wait_until(self, until: float) -> None:
        if self._busy:
            while self._now() < until:
                pass
            return
        left = until - self._now()
        if left > 0:
            time.sleep(left)


def seed_number(seeds: NDArray[np.uint64]) -> NDArray[np.float32]:
    """Return the numbers in [0, 1) that `Latency` shows for episode seeds, float32, same shape."""
    bits = seeding.mix(seeds) >> np.uint64(40)  # as many bits as float32 holds exactly
    return np.asarray(bits, dtype=np.float32) * np.float32(2.0**-24)


def _stream_key(stream: int, seed: int, server: int) -> NDArray[np.uint64]:
    return seeding.combine(seeding.arena_keys(seed, server), stream)


def _delays(
    stream: int,
    seed: int,
    server: int,
    first: int,
    count: int,
    mean: float,
    sigma: float,
    distribution: str,
) -> NDArray[np.float64]:
    _check_time("step_time" if stream == _STEP_STREAM else "reset_time", mean, sigma, distribution)
    if distribution == "constant" or sigma == 0:
        return np.full(count, float(mean))
    numbers = np.arange(first, first + count)[:, None]
    uniforms = seeding.random_floats(_stream_key(stream, seed, server), numbers, np.arange(2))
    if distribution == "pareto":
        return np.asarray(mean * (1 - sigma) * (1 - uniforms[:, 0]) ** -sigma)
    radius = np.sqrt(-2.0 * np.log1p(-uniforms[:, 0]))  # Box and Muller's normal numbers
    normal = radius * np.cos(2.0 * np.pi * uniforms[:, 1])
    return np.asarray(mean * np.exp(sigma * normal - 0.5 * sigma**2))


def _endless(draw: Callable[[int], NDArray[np.generic]]) -> Iterator[Any]:
    for block in itertools.count():
        yield from draw(block * _BLOCK).tolist()


def _crash() -> None:
    sys.stdout.flush()
    os._exit(CRASH_EXIT_CODE)


def _hang() -> None:
    while True:
        time.sleep(3600.0)


def _check_time(name: str, mean: float, sigma: float, distribution: str) -> None:
    if distribution not in DISTRIBUTIONS:
        raise ConfigError(
            f"The option {name}_distribution is {distribution!r}: expected one of "
            f"{', '.join(map(repr, DISTRIBUTIONS))}."
            f"{nearest_name(str(distribution), DISTRIBUTIONS)}"
        )
    if not _is_number(mean) or mean < 0:
        raise _bad(f"{name}_mean", mean, "seconds, at least 0")
    if not _is_number(sigma) or sigma < 0:
        raise _bad(f"{name}_sigma", sigma, "a number of at least 0")
    if distribution == "pareto" and sigma >= 1:
        raise _bad(f"{name}_sigma", sigma, "below 1 for 'pareto', else it has no mean")


def _is_number(value: object) -> bool:
    is_real = isinstance(value, int | float | np.integer | np.floating)
    return is_real and not isinstance(value, bool) and bool(np.isfinite(value))  # type: ignore[call-overload]


def _rate(key: str, value: float) -> float:
    if not _is_number(value) or not 0 <= value <= 1:
        raise _bad(key, value, "a probability from 0 to 1")
    return float(value)


def _whole(key: str, value: int, least: int | None = None) -> int:
    is_whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not is_whole or (least is not None and value < least):
        raise _bad(key, value, "a whole number" + ("" if least is None else f", at least {least}"))
    return int(value)


def _flag(key: str, value: bool) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise _bad(key, value, "True or False")
    return bool(value)


def _bad(key: str, value: object, expected: str) -> ConfigError:
    return ConfigError(f"The option {key} is {value!r}: expected {expected}.")


def _refuse_unknown(unknown: Mapping[str, object]) -> None:
    if not unknown:
        return
    key = next(iter(unknown))
    known = [name for name in inspect.signature(Latency.__init__).parameters if name != "self"]
    known.remove("unknown")
    raise ConfigError(
        f"latency has no option {key!r}.{nearest_name(key, known)} It has: {', '.join(known)}."
    )
