"""Ordinary Gymnasium environments in our workers, against SB3's and Gymnasium's own classes.

Everyone steps the same environments with the same actions, drawn beforehand. The processes of
whoever is not in turn wait on their pipes or signals, which costs nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium.spaces import Discrete

from gym_multisim.benchmarks import peers
from gym_multisim.benchmarks.measuring import (
    WINDOW,
    Contestant,
    Report,
    Row,
    Samples,
    Window,
    in_turn,
    judge,
    per_second,
)
from gym_multisim.envs.gymnasium import HostedVectorEnv
from gym_multisim.envs.sb3 import HostedVecEnv
from gym_multisim.pool.pool import SimulatorPool
from gym_multisim.simulators.gymnasium_env import HostedEnvironments

Step = Callable[[Any], object]


@dataclass(frozen=True)
class Settings:
    """What is stepped, and for how long.

    Attributes:
        env_id: The environment; its actions are Discrete.
        num_envs: How many of them; a multiple of both numbers of workers.
        workers: Our workers, as many as there are cores.
        many_workers: Our workers where there are more of them than cores.
        window: Of each contestant.
        predrawn: How many steps' actions are drawn beforehand, to be used again and again.
    """

    env_id: str = "CartPole-v1"
    num_envs: int = 64
    workers: int = 2
    many_workers: int = 8
    window: Window = WINDOW
    predrawn: int = 1024


DEFAULTS = Settings()


def run(*, repeats: int, report: Report, settings: Settings = DEFAULTS) -> list[Row]:
    """Measure all contestants, and return their figures in environment steps per second."""
    names = _Names(settings)
    actions = _random_actions(settings)
    with ExitStack() as stack:
        report(f"engine: starting {2 * settings.num_envs} processes of the peers, and ours")
        env_fns = [peers.environment(settings.env_id)] * settings.num_envs
        uncoupled = peers.UncoupledSyncVectorEnvs(env_fns, settings.workers, stack)
        contestants: dict[str, Contestant] = {names.uncoupled: uncoupled.rate}
        for name, step in _start_everyone(settings, names, stack).items():
            contestants[name] = per_second(_fed(step, actions), settings.num_envs)
        samples = in_turn(
            "engine", contestants, repeats=repeats, window=settings.window, report=report
        )
    return _rows(samples, names)


def _fed(step: Step, actions: list[Any]) -> Callable[[], object]:
    following = itertools.cycle(actions)
    return lambda: step(next(following))


class _Names:
    """What the contestants are called."""

    def __init__(self, settings: Settings) -> None:
        few, many, envs = settings.workers, settings.many_workers, settings.num_envs
        self.subproc = f"SB3 SubprocVecEnv({envs})"
        self.dummy = f"SB3 DummyVecEnv({envs})"
        self.async_ = f"Gymnasium AsyncVectorEnv({envs})"
        self.sync = f"Gymnasium SyncVectorEnv({envs})"
        self.uncoupled = f"{few} SyncVectorEnv({envs // few}) at once, each for itself"
        self.hosted = f"HostedVecEnv, {few} workers"
        self.hosted_many = f"HostedVecEnv, {many} workers"
        self.pool = f"SimulatorPool, {few} workers"
        self.pool_many = f"SimulatorPool, {many} workers"
        self.vector = f"HostedVectorEnv, {few} workers"
        self.seeded = f'SimulatorPool("gymnasium"), {few} workers, every episode seeded'


def _random_actions(settings: Settings) -> list[Any]:
    env = peers.environment(settings.env_id)()
    assert isinstance(env.action_space, Discrete)
    choices = int(env.action_space.n)
    env.close()
    shape = (settings.predrawn, settings.num_envs)
    return list(np.random.default_rng(0).integers(0, choices, shape))


def _start_everyone(settings: Settings, names: _Names, stack: ExitStack) -> dict[str, Step]:
    env_fns = [peers.environment(settings.env_id)] * settings.num_envs
    # The peers' processes come first: they fork, and so would inherit descriptors of ours.
    steps: dict[str, Step] = {
        names.async_: peers.async_vector_env(env_fns, stack).step,
        names.subproc: peers.subproc_vec_env(env_fns, stack).step,
        names.sync: peers.sync_vector_env(env_fns, stack).step,
        names.dummy: peers.dummy_vec_env(env_fns, stack).step,
    }
    for name, workers in (
        (names.hosted, settings.workers),
        (names.hosted_many, settings.many_workers),
    ):
        venv = HostedVecEnv(env_fns, num_workers=workers)
        stack.callback(venv.close)
        venv.reset()
        steps[name] = venv.step
    for name, workers in ((names.pool, settings.workers), (names.pool_many, settings.many_workers)):
        # Seeded like the peers' environments: at the first reset only.
        options = {"env_fns": env_fns}
        steps[name] = _start_pool(HostedEnvironments, options, workers, settings, stack).step
    envs = HostedVectorEnv(env_fns, num_workers=settings.workers)
    stack.callback(envs.close)
    envs.reset()
    steps[names.vector] = envs.step
    seeded = _start_pool("gymnasium", {"env": settings.env_id}, settings.workers, settings, stack)
    steps[names.seeded] = seeded.step
    return steps


def _start_pool(
    simulator: Any, options: dict[str, Any], workers: int, settings: Settings, stack: ExitStack
) -> SimulatorPool:
    pool = SimulatorPool(
        simulator,
        servers=workers,
        arenas_per_server=settings.num_envs // workers,
        simulator_options=options,
        seed=0,
    )
    stack.callback(pool.close)
    pool.reset()
    return pool


def _rows(samples: dict[str, Samples], names: _Names) -> list[Row]:
    def row(name: str, peer: str = "", times: int = 1, at_least: float | None = None) -> Row:
        return judge(
            "engine",
            name,
            samples[name].median,
            "steps/s",
            peer=f"{times} × {peer}" if times > 1 else peer,
            peer_value=times * samples[peer].median if peer else None,
            at_least=at_least,
        )

    return [
        row(names.hosted, names.subproc, at_least=10),
        row(names.pool, names.async_, at_least=10),
        row(names.pool, names.sync, times=2, at_least=0.7),
        row(names.uncoupled, names.sync, times=2),
        row(names.pool, names.uncoupled),
        row(names.hosted_many, names.hosted, at_least=0.75),
        row(names.pool_many, names.pool, at_least=0.75),
        row(names.hosted, names.dummy),
        row(names.vector, names.async_),
        row(names.seeded, names.async_),
    ]
