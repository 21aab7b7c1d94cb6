"""MultiSimParallelEnv: one arena, with all its agents, as a PettingZoo ``ParallelEnv``."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import Space, spaces
from numpy.typing import NDArray

from gym_multisim.envs.copies import own_row
from gym_multisim.errors import ActionError, ConfigError, MissingExtraError, UsageError
from gym_multisim.pool.batch import Batch
from gym_multisim.pool.buffers import GroupArrays
from gym_multisim.pool.loop import Autoreset
from gym_multisim.pool.pool import SimulatorPool
from gym_multisim.pool.trees import tree_map
from gym_multisim.simulator import AgentGroup, Simulator, Status

try:
    from pettingzoo import ParallelEnv
except ImportError as error:
    raise MissingExtraError(
        "This face needs pettingzoo, which is not installed. "
        "Try: pip install 'gym-multisim[pettingzoo]'"
    ) from error


def parallel_env(
    simulator: str | type[Simulator] | Callable[..., Simulator], **kwargs: Any
) -> MultiSimParallelEnv:
    """Return one arena as a ``ParallelEnv``; see `MultiSimParallelEnv` for the arguments."""
    return MultiSimParallelEnv(simulator, **kwargs)


@dataclass(frozen=True)
class _Seat:
    """Where one agent's row is, and what it sees and does."""

    group: str
    row: int
    observation_space: Space[Any]
    action_space: Space[Any]


class MultiSimParallelEnv(ParallelEnv):  # type: ignore[misc]  # PettingZoo is optional, so untyped
    """One arena of a simulator, with the agents of all its groups.

    * ``agents`` are those in the episode. One that ends is told so once, and does not come back
      before the next ``reset``, even if its row is used again. One that is born appears.
    * Agents that are not asked to act (WAITING) stay in ``agents`` with ``{"waiting": True}`` as
      info; their actions are ignored and may be left out.
    * Where a group is masked, the observation is ``{"observation": …, "action_mask": …}``, the mask
      in the form that ``action_space(agent).sample(mask)`` takes. Who samples without masks chooses
      ``invalid_action="resample"``.
    * The info of an agent that ends has ``episode``: return ``r``, length ``l``, and the metrics of
      the simulator.

    Args:
        simulator: A registered name, a `Simulator` subclass, or a function that returns one.
        render_mode: ``"rgb_array"`` or None.
        simulator_options: Keyword arguments of the simulator's class.
        **pool_options: Further options of `SimulatorPool`. The backend is ``inline`` by default.

    Raises:
        ConfigError: A setting that cannot be used, or two agents of one name.
    """

    def __init__(
        self,
        simulator: str | type[Simulator] | Callable[..., Simulator],
        *,
        render_mode: str | None = None,
        simulator_options: Mapping[str, Any] | None = None,
        **pool_options: Any,
    ) -> None:
        if render_mode not in (None, "rgb_array"):
            raise ConfigError(f"render_mode is {render_mode!r}: expected None or 'rgb_array'.")
        self._pool = SimulatorPool(
            simulator,
            simulator_options=simulator_options,
            autoreset=Autoreset.DISABLED,
            **{"backend": "inline", **pool_options},
        )
        try:
            self._seats = _seats_of(self._pool)
        except BaseException:
            self._pool.close(kill=True)
            raise
        self.render_mode = render_mode
        self.metadata = {
            "name": self._pool.name,
            "render_modes": ["rgb_array"] if self._pool.can_render else [],
            "render_fps": 10,
            "is_parallelizable": True,
        }
        self.possible_agents = list(self._seats)
        self.agents: list[str] = []
        self._takes_options = self._pool.takes_reset_options
        self._finished: set[str] = set()
        self._batch: Batch | None = None

    def observation_space(self, agent: str) -> Space[Any]:
        """Return the observation space of an agent; the same object each time."""
        return self._seats[agent].observation_space

    def action_space(self, agent: str) -> Space[Any]:
        """Return the action space of an agent; the same object each time."""
        return self._seats[agent].action_space

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Begin a new episode; the same seed gives the same episode.

        Args:
            seed: The episode's seed; None goes on to the next one.
            options: For simulators that take reset options; others ignore them.
        """
        self._batch = self._pool.reset(
            seed, options=options if options and self._takes_options else None
        )
        self._finished.clear()
        self.agents = [agent for agent in self._seats if self._status(agent) != Status.ABSENT]
        return self._observations(self.agents), self._infos(self.agents)

    def step(
        self, actions: Mapping[str, Any]
    ) -> tuple[
        dict[str, Any],
        dict[str, float],
        dict[str, bool],
        dict[str, bool],
        dict[str, dict[str, Any]],
    ]:
        """Advance the arena by one decision of all agents that are asked to act.

        Returns:
            Observations, rewards, terminations, truncations and infos of the agents that were there
            before, and of those that were born.

        Raises:
            ActionError: An action is missing or cannot be taken; nothing was stepped.
            UsageError: Before ``reset``, or once no agent is left.
        """
        if self._batch is None or not self.agents:
            raise UsageError("step() before reset(), or after the last agent ended: call reset().")
        self._batch = self._pool.step(self._rows_of(actions))
        there = self.agents
        terminations = {
            agent: bool(self._arrays(agent).terminated[self._row(agent)]) for agent in there
        }
        truncations = {
            agent: bool(self._arrays(agent).truncated[self._row(agent)]) for agent in there
        }
        ended = [agent for agent in there if terminations[agent] or truncations[agent]]
        self._finished.update(ended)
        self.agents = [
            agent
            for agent in self._seats
            if agent not in self._finished and self._status(agent) != Status.ABSENT
        ]
        for agent in self.agents:
            if agent not in terminations:  # born in this step
                there = [*there, agent]
                terminations[agent] = truncations[agent] = False
        rewards = {agent: float(self._arrays(agent).reward[self._row(agent)]) for agent in there}
        infos = self._infos(there)
        for agent in ended:
            infos[agent]["episode"] = self._episode(agent)
        return self._observations(there), rewards, terminations, truncations, infos

    def render(self) -> NDArray[np.uint8] | None:
        """Return a picture of the arena, uint8 ``(height, width, 3)``, in mode ``rgb_array``."""
        return None if self.render_mode is None else self._pool.render(0)

    def close(self) -> None:
        """Close the simulator; safe to call again."""
        self._pool.close()

    # --- rows ---------------------------------------------------------------------------------

    def _arrays(self, agent: str) -> GroupArrays:
        assert self._batch is not None
        return self._batch.groups[self._seats[agent].group]

    def _row(self, agent: str) -> int:
        return self._seats[agent].row

    def _status(self, agent: str) -> int:
        return int(self._arrays(agent).status[self._row(agent)])

    def _rows_of(self, actions: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        """Return the actions of all rows; those of nobody's rows are random."""
        assert self._batch is not None
        strangers = [agent for agent in actions if agent not in self._seats]
        if strangers:
            raise ActionError(
                f"There are actions of {strangers}, who are none of {self.possible_agents}."
            )
        rows = {}
        for group in self._pool.spec.groups:
            shape = (len(group.agents), *(group.action_space.shape or ()))
            chosen = np.zeros(shape, group.action_space.dtype)
            active = self._batch.groups[group.name].status == Status.ACTIVE
            if any(
                active[row] and agent in self._finished for row, agent in enumerate(group.agents)
            ):
                chosen = self._pool.sample_actions(self._batch, group.name)
            for row, agent in enumerate(group.agents):
                if active[row] and agent not in self._finished:
                    action = self._action_of(agent, actions)
                    chosen = chosen.astype(np.result_type(chosen, action), copy=False)
                    chosen[row] = action
            rows[group.name] = chosen
        return rows

    def _action_of(self, agent: str, actions: Mapping[str, Any]) -> NDArray[Any]:
        if agent not in actions:
            raise ActionError(
                f"The action of {agent!r} is missing: expected one for each of the agents that are "
                f"asked to act, found {list(actions)}."
            )
        action = np.asarray(actions[agent])
        space = self.action_space(agent)
        if action.shape != space.shape or action.dtype.kind not in "biuf":
            raise ActionError(f"The action of {agent!r} is {action!r}: expected one of {space}.")
        return action

    def _observations(self, agents: list[str]) -> dict[str, Any]:
        observations = {}
        for agent in agents:
            arrays, row = self._arrays(agent), self._row(agent)
            is_last = agent in self._finished
            tree = arrays.final_observation if is_last else arrays.observation
            seen = tree_map(lambda leaf, row=row: own_row(leaf, row), tree)
            if arrays.action_mask is not None:
                form = _mask_form(self.action_space(agent), arrays.action_mask[row])
                seen = {"observation": seen, "action_mask": form}
            observations[agent] = seen
        return observations

    def _infos(self, agents: list[str]) -> dict[str, dict[str, Any]]:
        assert self._batch is not None
        infos = {}
        for agent in agents:
            seat = self._seats[agent]
            info: dict[str, Any] = {}
            for source in (self._batch.infos, self._batch.reset_infos):
                info.update(source.get(seat.group, {}).get(seat.row, {}))
            executed = self._batch.replaced_actions.get(seat.group, {}).get(seat.row)
            if executed is not None:
                info["executed_action"] = executed
            if self._status(agent) == Status.WAITING:
                info["waiting"] = True
            infos[agent] = info
        return infos

    def _episode(self, agent: str) -> dict[str, Any]:
        arrays, row = self._arrays(agent), self._row(agent)
        names = self._pool.spec.metrics
        return {
            "r": float(arrays.episode_return[row]),
            "l": int(arrays.episode_length[row]),
            **dict(zip(names, arrays.episode_metrics[row].tolist(), strict=True)),
        }


def _seats_of(pool: SimulatorPool) -> dict[str, _Seat]:
    seats: dict[str, _Seat] = {}
    for group in pool.spec.groups:
        for row, agent in enumerate(group.agents):
            if agent in seats:
                raise ConfigError(
                    f"The simulator {pool.name!r} has two agents named {agent!r}: PettingZoo knows "
                    "agents by their names. Give them different ones."
                )
            # Spaces of its own, so that each agent samples from its own random numbers.
            space = copy.deepcopy(group.observation_space)
            if group.masked:
                space = spaces.Dict({"observation": space, "action_mask": _mask_space(group)})
            seats[agent] = _Seat(group.name, row, space, copy.deepcopy(group.action_space))
    return seats


def _mask_space(group: AgentGroup) -> Space[Any]:
    """Return the space of the masks that `_mask_form` makes."""
    space = group.action_space
    if isinstance(space, spaces.Discrete):
        return spaces.Box(0, 1, (int(space.n),), np.int8)
    if isinstance(space, spaces.MultiBinary):
        return spaces.Box(0, 2, space.shape, np.int8)
    assert isinstance(space, spaces.MultiDiscrete)
    return spaces.Tuple([spaces.Box(0, 1, (int(n),), np.int8) for n in space.nvec.ravel()])


def _mask_form(space: Space[Any], mask: NDArray[np.bool_]) -> Any:
    """Return a mask in the form in which Gymnasium's spaces sample with masks."""
    if isinstance(space, spaces.Discrete):
        return mask.astype(np.int8)
    if isinstance(space, spaces.MultiBinary):  # 0 and 1: this alone; 2: both
        may = mask.reshape(-1, 2)
        return np.where(may.all(axis=1), 2, may[:, 1]).astype(np.int8).reshape(space.shape)
    assert isinstance(space, spaces.MultiDiscrete)
    parts = np.split(mask.astype(np.int8), np.cumsum(space.nvec.ravel())[:-1])
    return tuple(part.copy() for part in parts)
