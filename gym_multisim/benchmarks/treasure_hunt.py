"""Treasure hunt at full speed: 2 servers of 256 arenas of 2 agents, random legal actions.

Drawing the actions from the masks is part of what is timed, as choosing them is for a policy.
"""

from __future__ import annotations

import itertools
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np

from gym_multisim import masks
from gym_multisim.benchmarks.measuring import (
    WINDOW,
    Contestant,
    Report,
    Row,
    Window,
    in_turn,
    judge,
    per_second,
)
from gym_multisim.envs.sb3 import MultiSimVecEnv, make_vec_env
from gym_multisim.pool.pool import SimulatorPool

POOL = "SimulatorPool"
SEQUENTIAL = "SimulatorPool, parallel = False"
FACE = "MultiSimVecEnv"


@dataclass(frozen=True)
class Settings:
    """How many servers and arenas, for how long, and what is asked for.

    Attributes:
        servers: How many.
        arenas_per_server: In each of them.
        target: Agent steps per second.
        window: Of each contestant.
        predrawn: How many steps' random numbers are drawn beforehand, to be used again and again.
    """

    servers: int = 2
    arenas_per_server: int = 256
    target: float = 400_000
    window: Window = WINDOW
    predrawn: int = 64


DEFAULTS = Settings()


def run(*, repeats: int, report: Report, settings: Settings = DEFAULTS) -> list[Row]:
    """Measure the pool and its SB3 face, in agent steps per second."""
    with ExitStack() as stack:
        report(f"treasure_hunt: starting 2 × {settings.servers} servers")
        pool = SimulatorPool(
            "treasure_hunt",
            servers=settings.servers,
            arenas_per_server=settings.arenas_per_server,
            seed=0,
        )
        stack.callback(pool.close)
        pool.reset()
        venv = make_vec_env(
            "treasure_hunt",
            servers=settings.servers,
            arenas_per_server=settings.arenas_per_server,
            seed=0,
        )
        stack.callback(venv.close)
        venv.reset()
        contestants = {
            POOL: _stepping_pool(pool, settings, parallel=True),
            SEQUENTIAL: _stepping_pool(pool, settings, parallel=False),
            FACE: _stepping_face(venv, settings),
        }
        samples = in_turn(
            "treasure_hunt", contestants, repeats=repeats, window=settings.window, report=report
        )
    rate = {name: sample.median for name, sample in samples.items()}
    unit = "agent steps/s"
    return [
        judge("treasure_hunt", POOL, rate[POOL], unit, at_least=settings.target),
        judge("treasure_hunt", FACE, rate[FACE], unit, peer=POOL, peer_value=rate[POOL]),
        judge(
            "treasure_hunt", POOL, rate[POOL], unit, peer=SEQUENTIAL, peer_value=rate[SEQUENTIAL]
        ),
    ]


def _stepping_pool(pool: SimulatorPool, settings: Settings, *, parallel: bool) -> Contestant:
    draws = _random_numbers(pool, settings)
    mask = pool.buffers(pool.group().name).action_mask
    branches = (mask.shape[1],)

    def step() -> None:
        pool.step(masks.sample(mask, branches, next(draws))[:, 0])

    work = per_second(step, pool.num_rows())

    def work_as_told(seconds: float) -> float:
        pool.parallel = parallel
        return work(seconds)

    return work_as_told


def _stepping_face(venv: MultiSimVecEnv, settings: Settings) -> Contestant:
    draws = _random_numbers(venv.pool, settings)
    branches = (venv.action_masks().shape[1],)

    def step() -> None:
        venv.step(masks.sample(venv.action_masks(), branches, next(draws))[:, 0])

    return per_second(step, venv.num_envs)


def _random_numbers(pool: SimulatorPool, settings: Settings) -> Any:
    shape = (settings.predrawn, pool.num_rows(), 1)
    return itertools.cycle(np.random.default_rng(0).random(shape))
