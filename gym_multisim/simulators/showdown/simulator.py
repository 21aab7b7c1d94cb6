"""`Showdown`: Pokémon Showdown battles, many to a Node bridge process, as a `Simulator`."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gym_multisim.errors import ConfigError, ContractError, SimulatorWarning, nearest_name
from gym_multisim.servers.node import installed_folder
from gym_multisim.simulator import (
    AgentGroup,
    GroupRows,
    Rows,
    ServerContext,
    Simulator,
    SimulatorSpec,
)
from gym_multisim.simulators.showdown.bridge_client import PROGRAM, BattleRows, Bridge
from gym_multisim.simulators.showdown.space import IDLE_ACTION, JOINT_ACTIONS

NAME = "showdown"
GROUP = "trainers"
OPPONENTS = ("random", "showdown_random", "max_damage", "self")
OBSERVATION_SIZE = 885
"""Numbers in an observation; the bridge confirms it."""
METRICS = ("win", "turns", "foe_faints", "own_faints", "illegal", "forced")


class Showdown(Simulator):
    """Doubles battles of Pokémon Showdown, in a Node process beside the worker.

    An arena is a battle. With a scripted opponent it has one row; with ``opponent="self"`` both
    seats are rows, and a seat that is not asked is WAITING. Actions are the 2,025 joint actions of
    `gym_multisim.simulators.showdown.space`; masks are exact. ``docs/showdown.md`` describes the
    observation feature by feature.

    Args:
        format: A doubles format that makes its own random teams.
        opponent: One of `OPPONENTS`.
        win_reward: Reward of a win; a loss is its negative.
        faint_reward: Reward for each faint of the foe, and its negative for each of one's own.
        health_reward: Reward for each whole Pokémon's worth of health that the foe loses, and its
            negative for one's own.
        max_turns: A battle above this many turns is truncated.
        tables: Replace the engine's event look-up by tables (same battles, more of them).

    Raises:
        ConfigError: An option that cannot be used.
    """

    def __init__(
        self,
        format: str = "gen9randomdoublesbattle",
        opponent: str = "random",
        win_reward: float = 1.0,
        faint_reward: float = 0.0,
        health_reward: float = 0.0,
        max_turns: int = 1000,
        tables: bool = True,
    ) -> None:
        if not isinstance(format, str):
            raise ConfigError(f"format is {format!r}: expected a name, a text.")
        if opponent not in OPPONENTS:
            raise ConfigError(
                f"opponent is {opponent!r}.{nearest_name(str(opponent), OPPONENTS)} Expected one "
                f"of {', '.join(map(repr, OPPONENTS))}."
            )
        rewards = {
            "win_reward": win_reward,
            "faint_reward": faint_reward,
            "health_reward": health_reward,
        }
        for key, value in rewards.items():
            if not isinstance(value, (int, float)) or not math.isfinite(value):
                raise ConfigError(f"{key} is {value!r}: expected a finite number.")
        if isinstance(max_turns, bool) or not isinstance(max_turns, int) or max_turns < 1:
            raise ConfigError(f"max_turns is {max_turns!r}: expected a whole number of at least 1.")
        self._settings: dict[str, Any] = {
            "format": format,
            "opponent": opponent,
            "winReward": float(win_reward),
            "faintReward": float(faint_reward),
            "healthReward": float(health_reward),
            "maxTurns": max_turns,
            "tables": bool(tables),
        }
        self.seats = 2 if opponent == "self" else 1

    def spec(self) -> SimulatorSpec:
        """Return one group of one or two trainers."""
        from gymnasium import spaces

        names = ("trainer",) if self.seats == 1 else ("trainer_0", "trainer_1")
        group = AgentGroup(
            GROUP,
            names,
            spaces.Box(-2.0, 2.0, (OBSERVATION_SIZE,), np.float32),
            spaces.Discrete(JOINT_ACTIONS),
            masked=True,
            idle_action=IDLE_ACTION,
        )
        return SimulatorSpec((group,), metrics=METRICS)

    def open(self, context: ServerContext) -> None:
        """Start the bridge.

        Raises:
            MissingExtraError: Showdown is not installed for this user, or Node is missing.
            ConfigError: The format is unknown, or not served.

        Warns:
            SimulatorWarning: The installed package is not one that the tables fit; `versions` says
                the same later.
        """
        folder: Path = installed_folder(NAME, PROGRAM)
        self.bridge = Bridge(
            context, {**self._settings, "folder": str(folder), "arenas": context.arenas}
        )
        if (self.bridge.size, self.bridge.metrics) != (OBSERVATION_SIZE, METRICS):
            raise ContractError(
                f"The bridge has observations of {self.bridge.size} and metrics "
                f"{self.bridge.metrics}; expected {OBSERVATION_SIZE} and {METRICS}."
            )
        if self._settings["tables"] and self.bridge.tables:
            warnings.warn(
                "Showdown's plain engine runs, without the tables that make it faster: "
                f"{self.bridge.tables}. Its battles are the same.",
                SimulatorWarning,
                stacklevel=2,
            )
        self._everything = np.arange(context.arenas)

    def versions(self) -> dict[str, str]:
        """Return what runs: ``showdown``, a version; ``tables``, ``on`` or why they are left out.

        Ask for it with ``pool.call("versions")``, which has one answer for each server.
        """
        return {"showdown": self.bridge.version, "tables": self.bridge.tables or "on"}

    def reset(self, arenas: NDArray[np.intp], seeds: NDArray[np.uint64], rows: Rows) -> None:
        """Begin battles; equal seeds give equal teams and, with equal actions, equal battles."""
        group = rows[GROUP]
        self._write(group, arenas, self.bridge.reset(arenas, seeds))

    def prepare(self, arenas: NDArray[np.intp], seeds: NDArray[np.uint64]) -> None:
        """Let the bridge make the battles that follow while it waits for actions."""
        self.bridge.plan(arenas, seeds)

    def step(self, arenas: NDArray[np.intp], rows: Rows) -> None:
        """Take joint actions, and advance each battle to the next decision."""
        group = rows[GROUP]
        if len(arenas) == len(self._everything):
            assert group.action_mask is not None
            n = len(arenas) * self.seats
            result = self.bridge.step(
                arenas,
                group.action,
                observation=group.observation.reshape(n, -1),
                mask=group.action_mask.reshape(n, -1),
            )
        else:
            result = self.bridge.step(arenas, group.action[arenas])
        self._write(group, arenas, result)
        group.reward[arenas] = result.reward.reshape(-1, self.seats)
        group.terminated[arenas] = result.terminated.reshape(-1, self.seats)
        group.truncated[arenas] = result.truncated.reshape(-1, self.seats)

    def costs(self) -> dict[str, float]:
        """Return the seconds spent so far in the bridge's parts."""
        return self.bridge.costs()

    def _write(self, group: GroupRows, arenas: NDArray[np.intp], result: BattleRows) -> None:
        k, seats = len(arenas), self.seats
        assert group.action_mask is not None
        if not np.shares_memory(result.observation, group.observation):
            group.observation[arenas] = result.observation.reshape(k, seats, -1)
            group.action_mask[arenas] = result.mask.reshape(k, seats, -1)
        group.metrics[arenas] = result.metrics.reshape(k, seats, -1)
        group.status[arenas] = result.status.reshape(k, seats)
