"""Starts the vector environments of others, as their users do."""

from __future__ import annotations

import functools
import itertools
import multiprocessing
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Discrete
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

from gym_multisim.benchmarks.measuring import per_second

EnvFn = Callable[[], "gymnasium.Env[Any, Any]"]


def environment(env_id: str) -> EnvFn:
    """Return a function that makes an environment, for ours and the peers alike."""
    return functools.partial(gymnasium.make, env_id)


def subproc_vec_env(env_fns: list[EnvFn], stack: ExitStack) -> SubprocVecEnv:
    """Start a process per environment, with its own default way of starting them.

    That way (``forkserver``) would import stable-baselines3, and with it torch, in each process
    anew: minutes for 64 on two cores. Importing it in the fork server itself changes nothing else.
    """
    multiprocessing.set_forkserver_preload(
        ["__main__", "stable_baselines3.common.vec_env.subproc_vec_env"]
    )
    venv = SubprocVecEnv(env_fns)
    stack.callback(venv.close)
    venv.reset()
    return venv


def dummy_vec_env(env_fns: list[EnvFn], stack: ExitStack) -> DummyVecEnv:
    """Make all environments in this process."""
    venv = DummyVecEnv(env_fns)
    stack.callback(venv.close)
    venv.reset()
    return venv


def async_vector_env(env_fns: list[EnvFn], stack: ExitStack) -> AsyncVectorEnv:
    """Start a process per environment; observations come through shared memory, its default."""
    envs = AsyncVectorEnv(env_fns)
    stack.callback(envs.close, terminate=True)
    envs.reset()
    return envs


def sync_vector_env(env_fns: list[EnvFn], stack: ExitStack) -> SyncVectorEnv:
    """Make all environments in this process."""
    envs = SyncVectorEnv(env_fns)
    stack.callback(envs.close)
    envs.reset()
    return envs


class UncoupledSyncVectorEnvs:
    """Several processes that each step a `SyncVectorEnv`, with nothing between them.

    That is what the cores do if nobody has to wait for anybody. (It is not twice what one process
    alone does where cores share what they run on, as those of virtual machines often do.)
    """

    def __init__(self, env_fns: list[EnvFn], processes: int, stack: ExitStack) -> None:
        context = multiprocessing.get_context("fork")
        share = len(env_fns) // processes
        self._pipes = []
        for _ in range(processes):
            ours, theirs = context.Pipe()
            child = context.Process(
                target=_serve_rates, args=(theirs, env_fns[:share]), daemon=True
            )
            child.start()
            theirs.close()
            self._pipes.append(ours)
            stack.callback(child.join)
            stack.callback(ours.send, None)

    def rate(self, seconds: float) -> float:
        """Let all of them work for some seconds at the same time; return their steps a second."""
        for pipe in self._pipes:
            pipe.send(seconds)
        return float(sum(pipe.recv() for pipe in self._pipes))


def _serve_rates(pipe: Any, env_fns: list[EnvFn]) -> None:
    envs = SyncVectorEnv(env_fns)
    envs.reset()
    assert isinstance(envs.single_action_space, Discrete)
    shape = (1024, len(env_fns))
    actions = list(np.random.default_rng(0).integers(0, int(envs.single_action_space.n), shape))
    following = itertools.cycle(actions)
    work = per_second(lambda: envs.step(next(following)), len(env_fns))
    while (seconds := pipe.recv()) is not None:
        pipe.send(work(seconds))
