"""Simulators whose every number can be checked, to test pools, faces and learners with."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gym_multisim import seeding
from gym_multisim.errors import ConfigError
from gym_multisim.simulator import (
    AgentGroup,
    GroupRows,
    Rows,
    ServerContext,
    Simulator,
    SimulatorSpec,
    Status,
)

FAULTS = ("raise", "exit", "kill", "hang", "nan", "no_legal_action", "open")


class Counting(Simulator):
    """Counts its steps. What each row must hold follows from its seed and its actions alone.

    Observation (float64, 4 numbers): the episode's seed as a number in [0, 1), the steps of this
    episode, the agent's index, and the sum of its actions. Reward: the action, plus a hundredth of
    the agent's index. An episode lasts ``episode_length`` steps; then all agents are terminated.
    Masks allow the actions ``steps % actions`` and 0.

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
            print("about to be killed")
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


class Scripted(Simulator):
    """Writes what its script says, step by step, and notes what it was asked.

    Observation (float64, 4 numbers): the arena's episode (0, 1, …), the steps of this episode, the
    agent's index, and its last action (-1 before the first). Rewards are 1 for every row that was
    present. Everything else follows from the script.

    Args:
        scripts: One per arena, reused in turn by global arena number: by step of an episode (0 is
            its reset), what to write, as field of `GroupRows` → agent index → value.
        agents: How many agents an arena has.
        actions: How many actions an agent has.
        masked: Write masks that allow everything.
        continuing: See `SimulatorSpec`.
        reseeds: See `SimulatorSpec`.
    """

    def __init__(
        self,
        scripts: Sequence[Mapping[int, Mapping[str, Mapping[int, Any]]]] = ({},),
        agents: int = 2,
        actions: int = 3,
        masked: bool = False,
        continuing: bool = False,
        reseeds: bool = True,
    ) -> None:
        self._scripts = scripts
        self._agents = agents
        self._actions = actions
        self._masked = masked
        self._continuing = continuing
        self._reseeds = reseeds
        self._asked: list[tuple[str, list[int], list[int]]] = []

    def spec(self) -> SimulatorSpec:
        """Return one group, ``actors``, and the metric ``score``."""
        from gymnasium import spaces

        group = AgentGroup(
            "actors",
            tuple(f"actor_{i}" for i in range(self._agents)),
            spaces.Box(-1.0, np.inf, (4,), np.float64),
            spaces.Discrete(self._actions),
            masked=self._masked,
            idle_action=self._actions - 1,
        )
        return SimulatorSpec(
            (group,),
            metrics=("score",),
            deterministic=False,  # it counts its episodes
            reseeds=self._reseeds,
            continuing=self._continuing,
        )

    def open(self, context: ServerContext) -> None:
        """Allocate the counters."""
        numbers = range(context.first_arena, context.first_arena + context.arenas)
        self._script_of = [self._scripts[number % len(self._scripts)] for number in numbers]
        self._episode = np.full(context.arenas, -1)
        self._steps = np.zeros(context.arenas, dtype=np.int64)

    def reset(self, arenas: NDArray[np.intp], seeds: NDArray[np.uint64], rows: Rows) -> None:
        """Begin the script again."""
        self._asked.append(("reset", arenas.tolist(), seeds.tolist()))
        (group,) = rows.values()
        self._episode[arenas] += 1
        self._steps[arenas] = 0
        group.observation[arenas, :, 2] = np.arange(self._agents)
        group.observation[arenas, :, 3] = -1.0
        self._play(arenas, group)

    def step(self, arenas: NDArray[np.intp], rows: Rows) -> None:
        """Play the next step of the script."""
        self._asked.append(("step", arenas.tolist(), []))
        (group,) = rows.values()
        self._steps[arenas] += 1
        present = group.status[arenas] != Status.ABSENT
        group.observation[arenas, :, 3] = np.where(
            present, group.action[arenas], group.observation[arenas, :, 3]
        )
        group.reward[arenas] = present
        self._play(arenas, group)

    def _play(self, arenas: NDArray[np.intp], group: GroupRows) -> None:
        group.observation[arenas, :, 0] = self._episode[arenas, None]
        group.observation[arenas, :, 1] = self._steps[arenas, None]
        if group.action_mask is not None:
            group.action_mask[arenas] = True
        for arena in arenas:
            for field, by_agent in self._script_of[arena].get(int(self._steps[arena]), {}).items():
                for agent, value in by_agent.items():
                    getattr(group, field)[arena, agent] = value

    def asked(self) -> list[tuple[str, list[int], list[int]]]:
        """Return, and forget, every ``reset`` and ``step``: its name, arenas and seeds."""
        asked, self._asked = self._asked, []
        return asked


class TwoGroups(Simulator):
    """Two agent groups with nothing in common, to test whatever handles spaces.

    Hunters (2 in an arena) observe a Dict of an image and a Tuple, have MultiDiscrete actions and
    masks that forbid the entry ``steps % 3`` of the first branch, and are rewarded with ten times
    their first choice plus their second. Prey (3 in an arena) observe and act in Boxes; they see,
    and are rewarded with, the sum of their action.

    Args:
        episode_length: Steps after which all agents of an arena are terminated.
    """

    def __init__(self, episode_length: int = 4) -> None:
        self._length = episode_length

    def spec(self) -> SimulatorSpec:
        """Return the groups ``hunters`` and ``prey``."""
        from gymnasium import spaces

        body = spaces.Tuple((spaces.Discrete(5), spaces.MultiBinary(3)))
        view = spaces.Dict(
            {"camera": spaces.Box(0, 255, (2, 3), np.uint8), "body": body, "load": _box((2, 0))}
        )
        hunters = AgentGroup(
            "hunters",
            ("h0", "h1"),
            view,
            spaces.MultiDiscrete([3, 4]),
            masked=True,
            idle_action=np.array([1, 3]),
        )
        prey = AgentGroup("prey", ("p0", "p1", "p2"), _box((), 2.0), _box((2,)))
        return SimulatorSpec((hunters, prey))

    def open(self, context: ServerContext) -> None:
        """Allocate the step counters."""
        self._steps = np.zeros(context.arenas, dtype=np.int64)

    def reset(self, arenas: NDArray[np.intp], seeds: NDArray[np.uint64], rows: Rows) -> None:
        """Begin at step 0."""
        self._steps[arenas] = 0
        rows["prey"].observation[arenas] = 0.0
        self._write_hunters(arenas, rows["hunters"])

    def step(self, arenas: NDArray[np.intp], rows: Rows) -> None:
        """Take all actions at once."""
        hunters, prey = rows["hunters"], rows["prey"]
        self._steps[arenas] += 1
        hunters.reward[arenas] = hunters.action[arenas] @ np.array([10, 1])
        prey.observation[arenas] = prey.action[arenas].sum(axis=2)
        prey.reward[arenas] = prey.observation[arenas]
        for group in rows.values():
            group.terminated[arenas] = self._steps[arenas, None] >= self._length
        self._write_hunters(arenas, hunters)

    def _write_hunters(self, arenas: NDArray[np.intp], hunters: GroupRows) -> None:
        steps = self._steps[arenas]
        agents = np.arange(2)
        place, bits = hunters.observation["body"]
        place[arenas] = (steps[:, None] + agents) % 5
        bits[arenas] = agents[:, None] >> np.arange(3) & 1
        hunters.observation["camera"][arenas] = (steps % 256)[:, None, None, None]
        assert hunters.action_mask is not None
        hunters.action_mask[arenas] = True
        hunters.action_mask[arenas, :, steps % 3] = False


def _box(shape: tuple[int, ...], bound: float = 1.0) -> Any:
    from gymnasium import spaces

    return spaces.Box(-bound, bound, shape, np.float32)
