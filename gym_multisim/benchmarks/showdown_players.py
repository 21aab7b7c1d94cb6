"""Who steps Showdown's battles in the benchmark `showdown`, and what each window of it costs."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.utils import get_action_masks
from stable_baselines3.common.utils import obs_as_tensor

from gym_multisim import masks
from gym_multisim.envs.sb3 import MultiSimVecEnv
from gym_multisim.pool.batch import Batch
from gym_multisim.pool.pool import SimulatorPool
from gym_multisim.simulators.showdown.space import JOINT_ACTIONS

_ACTIVE = 1

Step = Callable[[], tuple[int, int, float]]
"""Makes a step; returns decisions taken, battles ended and seconds spent on choosing actions."""


@dataclass(frozen=True)
class Costs:
    """What some windows cost, in seconds, each part as the mean over the servers."""

    wall: float
    choosing: float
    decisions: float
    parts: dict[str, float]

    def seconds(self, parts: tuple[str, ...]) -> float:
        """Return the seconds of some parts together."""
        return sum(self.parts[part] for part in parts)


class Player:
    """Steps a pool in windows, and keeps what each of them cost.

    Args:
        pool: The pool; its servers tell their costs.
        step: See `Step`.
    """

    def __init__(self, pool: SimulatorPool, step: Step) -> None:
        self._pool = pool
        self._step = step
        self._windows: list[Costs] = []
        self.decisions: list[float] = []

    def work(self, seconds: float) -> float:
        """Step for so many seconds; return battles a second."""
        before = self._parts()
        decisions, battles, choosing = 0, 0, 0.0
        began = time.perf_counter()
        while (elapsed := time.perf_counter() - began) < seconds:
            more_decisions, more_battles, more_choosing = self._step()
            decisions += more_decisions
            battles += more_battles
            choosing += more_choosing
        parts = {name: value - before[name] for name, value in self._parts().items()}
        self._windows.append(Costs(elapsed, choosing, decisions / self._pool.servers, parts))
        self.decisions.append(decisions / elapsed)
        return battles / elapsed

    def windows(self, last: int) -> list[Costs]:
        """Return what the last so many windows cost, each for itself."""
        return self._windows[-last:]

    def costs(self, last: int) -> Costs:
        """Return what the last so many windows cost together."""
        windows = self.windows(last)
        return Costs(
            sum(window.wall for window in windows),
            sum(window.choosing for window in windows),
            sum(window.decisions for window in windows),
            {name: sum(w.parts[name] for w in windows) for name in windows[0].parts},
        )

    def _parts(self) -> dict[str, float]:
        answers = self._pool.call("costs")
        return {name: sum(a[name] for a in answers) / len(answers) for name in answers[0]}


def _uniforms(rows: int) -> Iterator[NDArray[np.float64]]:
    return itertools.cycle(np.random.default_rng(0).random((64, rows, 1)))


def _draw(mask: NDArray[np.bool_], uniforms: Iterator[NDArray[np.float64]]) -> NDArray[np.int64]:
    return masks.sample(mask, (JOINT_ACTIONS,), next(uniforms))[:, 0]


def random_steps(pool: SimulatorPool) -> Step:
    """Legal actions at random, by the pool itself."""
    uniforms = _uniforms(pool.num_rows())
    batch: Batch = pool.reset()

    def step() -> tuple[int, int, float]:
        nonlocal batch
        began = time.perf_counter()
        decisions = int(np.count_nonzero(batch.status == _ACTIVE))
        assert batch.action_mask is not None
        actions = _draw(batch.action_mask, uniforms)
        choosing = time.perf_counter() - began
        batch = pool.step(actions)
        return decisions, int(np.count_nonzero(batch.terminated | batch.truncated)), choosing

    return step


def random_face_steps(venv: MultiSimVecEnv) -> Step:
    """Legal actions at random, through the face that a learner sees."""
    uniforms = _uniforms(venv.num_envs)

    def step() -> tuple[int, int, float]:
        began = time.perf_counter()
        actions = _draw(venv.action_masks(), uniforms)
        choosing = time.perf_counter() - began
        _, _, dones, _ = venv.step(actions)
        return venv.num_envs, int(np.count_nonzero(dones)), choosing

    return step


def acting_steps(
    venv: MultiSimVecEnv, net_arch: Sequence[int], torch_threads: int, stack: ExitStack
) -> Step:
    """Actions of a new MaskablePPO, drawn as it draws them when it collects rollouts.

    Others step the same environments between the windows: the first observation of a window is an
    old one, which changes nothing of what is measured.
    """
    stack.callback(torch.set_num_threads, torch.get_num_threads())
    torch.set_num_threads(torch_threads)
    policy_kwargs: dict[str, Any] = {
        "net_arch": list(net_arch),
        "activation_fn": torch.nn.ReLU,
    }
    model = MaskablePPO("MlpPolicy", venv, policy_kwargs=policy_kwargs, seed=0, device="cpu")
    policy = model.policy
    policy.set_training_mode(False)
    venv.seed(0)
    observation: Any = venv.reset()

    def step() -> tuple[int, int, float]:
        nonlocal observation
        began = time.perf_counter()
        with torch.no_grad():
            tensor = obs_as_tensor(observation, policy.device)
            actions, _, _ = policy(tensor, action_masks=get_action_masks(venv))
        chosen = actions.numpy()
        choosing = time.perf_counter() - began
        observation, _, dones, _ = venv.step(chosen)
        return venv.num_envs, int(np.count_nonzero(dones)), choosing

    return step
