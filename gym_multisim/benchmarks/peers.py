"""Starts the vector environments of others, as their users do."""

from __future__ import annotations

import functools
import multiprocessing
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import gymnasium
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

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
