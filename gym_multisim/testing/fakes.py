"""Simulators whose every number can be checked, to test pools, faces and learners with."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gym_multisim import seeding
from gym_multisim.errors import ConfigError
from gym_multisim.simulator import AgentGroup, Rows, ServerContext, Simulator, SimulatorSpec, Status

FAULTS = ("raise", "exit", "kill", "hang", "nan", "no_legal_action", "open")


class Counting(Simulator):
    """Counts its steps. What each row must hold follows from its seed and its actions alone.

    Observation (float64, 4 numbers): the episode's seed as a number in [0, 1), the steps of this
    episode, the agent's index, and the sum of its actions. Reward: the action, plus a hundredth of
    the agent's index. An agent lives ``episode_length + lifetimes[agent]`` steps, and is then
    terminated; a lifetime of None lives until the arena ends. Masks allow the actions
    ``steps % actions`` and 0.

    Args:
        agents: How many agents an arena has.
        actions: How many actions an agent has.
        episode_length: Steps after which all agents end.
        early_deaths: Agents that end earlier, by index: after so many steps.
        late_births: Agents that are ABSENT at first, by index: for so many steps.
        truncates: End by truncation instead of termination.
        masked: Write masks.
        fault: One of `FAULTS`, or an empty string.
        fault_step: At which step of the server it happens.
        fault_server: In which server.
    """

    def __init__(
        self,
        agents: int = 1,
        actions: int = 3,
        episode_length: int = 5,
        early_deaths: dict[int, int] | None = None,
        late_births: dict[int, int] | None = None,
        truncates: bool = False,
        masked: bool = False,
        fault: str = "",
        fault_step: int = 3,
        fault_server: int = 0,
    ) -> None:
        if fault and fault not in FAULTS:
            raise ConfigError(f"fault is {fault!r}: expected one of {FAULTS}.")
        self._agents = agents
        self._actions = actions
        self._length = episode_length
        self._deaths = early_deaths or {}
        self._births = late_births or {}
        self._truncates = truncates
        self._masked = masked
        self._fault = fault
        self._fault_step = fault_step
        self._fault_server = fault_server
        self._server_steps = 0
        self.is_closed = False

    def spec(self) -> SimulatorSpec:
        """Return one group, ``counters``, and the metric ``sum``."""
        from gymnasium import spaces

        group = AgentGroup(
            "counters",
            tuple(f"counter_{i}" for i in range(self._agents)),
            spaces.Box(0.0, np.inf, (4,), np.float64),
            spaces.Discrete(self._actions),
            masked=self._masked,
        )
        return SimulatorSpec((group,), metrics=("sum",))

    def open(self, context: ServerContext) -> None:
        """Allocate the counters."""
        if self._fault == "open" and context.server == self._fault_server:
            print("the log says why", flush=True)
            raise RuntimeError("cannot open")
        self._server = context.server
        self._steps = np.zeros(context.arenas, dtype=np.int64)

    def reset(self, arenas: NDArray[np.intp], seeds: NDArray[np.uint64], rows: Rows) -> None:
        """Begin counting from 0."""
        (group,) = rows.values()
        self._steps[arenas] = 0
        group.observation[arenas] = 0.0
        group.observation[arenas, :, 0] = seeding.random_floats(seeds, 0, 0)[:, None]
        group.observation[arenas, :, 2] = np.arange(self._agents)
        for agent in self._births:
            group.status[arenas, agent] = Status.ABSENT
        self._write_masks(arenas, group.action_mask)

    def step(self, arenas: NDArray[np.intp], rows: Rows) -> None:
        """Count one step."""
        self._server_steps += 1
        (group,) = rows.values()
        self._misbehave(group)
        self._steps[arenas] += 1
        steps = self._steps[arenas]
        present = group.status[arenas] != Status.ABSENT
        for agent, birth in self._births.items():
            group.status[arenas[steps == birth], agent] = Status.ACTIVE
        actions = np.where(present, group.action[arenas], 0)
        group.observation[arenas, :, 1] = steps[:, None]
        group.observation[arenas, :, 3] += actions
        group.metrics[arenas, :, 0] += actions
        group.reward[arenas] = np.where(present, actions + np.arange(self._agents) * 0.01, 0.0)
        ended = np.repeat(steps[:, None] >= self._length, self._agents, axis=1)
        for agent, death in self._deaths.items():
            ended[:, agent] |= steps == death
        flags = group.truncated if self._truncates else group.terminated
        flags[arenas] = ended & present
        self._write_masks(arenas, group.action_mask)
        if self._fault == "no_legal_action" and self._is_faulty_now():
            assert group.action_mask is not None
            group.action_mask[0, 0] = False

    def _write_masks(self, arenas: NDArray[np.intp], mask: NDArray[np.bool_] | None) -> None:
        if mask is None:
            return
        mask[arenas] = False
        mask[arenas, :, 0] = True
        mask[arenas, :, self._steps[arenas] % self._actions] = True

    def _is_faulty_now(self) -> bool:
        return self._server == self._fault_server and self._server_steps == self._fault_step

    def _misbehave(self, group: Any) -> None:
        if not self._fault or not self._is_faulty_now():
            return
        if self._fault == "raise":
            raise ValueError("the simulator is broken")
        if self._fault == "exit":
            print("leaving now", flush=True)
            sys.stdout.flush()
            os._exit(3)
        if self._fault == "kill":
            print("about to be killed", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        if self._fault == "hang":
            time.sleep(3600.0)
        if self._fault == "nan":
            group.observation[0, 0, 3] = np.nan

    def render(self, arena: int) -> NDArray[np.uint8]:
        """Return a picture whose every pixel is the arena's step count."""
        return np.full((8, 8, 3), self._steps[arena], dtype=np.uint8)

    def close(self) -> None:
        """Note that it was closed."""
        self.is_closed = True


class Nothing(Simulator):
    """Does nothing at all: what a step costs then is the pool's own cost."""

    def spec(self) -> SimulatorSpec:
        """Return one group of one agent."""
        from gymnasium import spaces

        box = spaces.Box(0.0, 1.0, (4,), np.float32)
        return SimulatorSpec((AgentGroup("nothings", ("nothing",), box, spaces.Discrete(2)),))

    def reset(self, arenas: NDArray[np.intp], seeds: NDArray[np.uint64], rows: Rows) -> None:
        """Do nothing."""

    def step(self, arenas: NDArray[np.intp], rows: Rows) -> None:
        """Do nothing."""
