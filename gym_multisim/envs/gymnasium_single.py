"""SingleAgentEnv: one agent of one arena as an ordinary Gymnasium ``Env``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from gym_multisim.envs.copies import own_row
from gym_multisim.envs.others import OtherAgents, Others
from gym_multisim.errors import ActionError, ConfigError, UsageError, nearest_name
from gym_multisim.pool.batch import Batch
from gym_multisim.pool.buffers import GroupArrays
from gym_multisim.pool.loop import Autoreset
from gym_multisim.pool.pool import SimulatorPool
from gym_multisim.pool.trees import Tree, tree_map
from gym_multisim.simulator import Simulator, Status

_NOT_ASKED = object()
_EPISODES_TO_PASS_OVER = 100


class SingleAgentEnv(gymnasium.Env[Any, Any]):
    """One agent of one arena as a Gymnasium ``Env``; the other agents are played for it.

    Steps on which this agent is not asked to act (WAITING, or not born yet) are passed over; their
    rewards are added up. Its episode ends when it ends, whether or not the others go on.

    Args:
        simulator: A registered name, a `Simulator` subclass, or a function that returns one.
        agent: The agent's name; None takes the first.
        others: Who plays the other agents: ``"random"``, a policy, or one of these per agent group
            that has other agents.
        render_mode: ``"rgb_array"`` or None.
        simulator_options: Keyword arguments of the simulator's class.
        **pool_options: Further options of `SimulatorPool`. The backend is ``inline`` by default.
    """

    def __init__(
        self,
        simulator: str | type[Simulator] | Callable[..., Simulator],
        *,
        agent: str | None = None,
        others: Others = "random",
        render_mode: str | None = None,
        simulator_options: Mapping[str, Any] | None = None,
        **pool_options: Any,
    ) -> None:
        self._pool = SimulatorPool(
            simulator,
            simulator_options=simulator_options,
            autoreset=Autoreset.DISABLED,
            **{"backend": "inline", **pool_options},
        )
        try:
            self._set_up(agent, others, render_mode)
        except BaseException:
            self._pool.close(kill=True)
            raise

    def _set_up(self, agent: str | None, others: Others, render_mode: str | None) -> None:
        groups = {name: g for g in self._pool.spec.groups for name in g.agents}
        agent = next(iter(groups)) if agent is None else agent
        if agent not in groups:
            raise ConfigError(
                f"There is no agent {agent!r} in {self._pool.name!r}."
                f"{nearest_name(agent, groups)} Expected one of {', '.join(map(repr, groups))}."
            )
        if render_mode not in (None, "rgb_array"):
            raise ConfigError(f"render_mode is {render_mode!r}: expected None or 'rgb_array'.")
        modes = ["rgb_array"] if self._pool.can_render else []
        self.metadata = {"render_modes": modes, "render_fps": 10}
        self.agent = agent
        self.render_mode = render_mode
        group = groups[agent]
        self._group = group.name
        self._row = group.agents.index(agent)
        self.observation_space = group.observation_space
        self.action_space = group.action_space
        self._action_shape: tuple[int, ...] = group.action_space.shape or ()
        played = [
            g.name for g in self._pool.spec.groups if g.name != group.name or len(g.agents) > 1
        ]
        self._others = OtherAgents(self._pool, played, others)
        self._batch: Batch | None = None
        self._is_over = True

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Tree, dict[str, Any]]:
        """Begin a new episode; the same seed gives the same episode."""
        super().reset(seed=seed)
        self._batch = self._pool.reset(seed, options=options or None)
        for _ in range(_EPISODES_TO_PASS_OVER):
            for _ in self._until_asked():
                pass
            if self._rows().status[self._row] == Status.ACTIVE:
                self._is_over = False
                return self._observation(), self._info()
            self._batch = self._pool.reset()
        raise UsageError(
            f"The agent {self.agent!r} was not asked to act in {_EPISODES_TO_PASS_OVER} episodes "
            "on end. Choose another agent."
        )

    def step(self, action: Any) -> tuple[Tree, float, bool, bool, dict[str, Any]]:
        """Act, and let the others act, until this agent is asked again or its episode ends.

        Raises:
            ActionError: An action that cannot be taken; nothing was stepped.
            UsageError: Before ``reset``, or after the end of the episode.
        """
        if self._batch is None or self._is_over:
            raise UsageError("step() before reset(), or after the episode ended: call reset().")
        reward = self._advance(action)
        executed = self._batch.replaced_actions.get(self._group, {}).get(self._row)
        reward += sum(self._until_asked())
        rows = self._rows()
        terminated = bool(rows.terminated[self._row])
        truncated = bool(rows.truncated[self._row])
        self._is_over = terminated or truncated
        info = self._info()
        if executed is not None:
            info["executed_action"] = executed
        if self._is_over:
            names = self._pool.spec.metrics
            metrics = rows.episode_metrics[self._row].tolist()
            info.update(zip(names, metrics, strict=True))
        return self._observation(), reward, terminated, truncated, info

    def _rows(self) -> GroupArrays:
        assert self._batch is not None
        return self._batch.groups[self._group]

    def _until_asked(self) -> Iterator[float]:
        """Step the others on while this agent waits; yield its rewards."""
        row = self._row
        rows = self._rows()
        while rows.status[row] != Status.ACTIVE and not (
            rows.terminated[row] or rows.truncated[row]
        ):
            yield self._advance(_NOT_ASKED)
            rows = self._rows()

    def _advance(self, action: Any) -> float:
        assert self._batch is not None
        actions = self._others.actions(self._batch)
        if action is not _NOT_ASKED:
            actions[self._group] = self._with_own(actions.get(self._group), np.asarray(action))
        elif self._group not in actions:  # alone in its group: whatever is sent is ignored
            actions[self._group] = np.zeros((1, *self._action_shape), self.action_space.dtype)
        self._batch = self._pool.step(actions)
        return float(self._rows().reward[self._row])

    def _with_own(self, chosen: Any, action: NDArray[Any]) -> NDArray[Any]:
        """Return the actions of this agent's group, with its own among those of the others."""
        if action.shape != self._action_shape or action.dtype.kind not in "biuf":
            raise ActionError(
                f"The action of {self.agent!r} is {action!r}: expected one of {self.action_space}."
            )
        if chosen is None:
            return action[None]
        chosen = np.asarray(chosen)
        merged: NDArray[Any] = chosen.astype(np.result_type(chosen, action))
        merged[self._row] = action
        return merged

    def _observation(self) -> Tree:
        rows = self._rows()
        tree = rows.final_observation if self._is_over else rows.observation
        return tree_map(lambda leaf: own_row(leaf, self._row), tree)

    def _info(self) -> dict[str, Any]:
        assert self._batch is not None
        info = dict(self._batch.infos.get(self._group, {}).get(self._row, {}))
        info.update(self._batch.reset_infos.get(self._group, {}).get(self._row, {}))
        rows = self._batch.groups[self._group]
        if rows.action_mask is not None:
            info["action_mask"] = rows.action_mask[self._row].copy()
        return info

    def action_masks(self) -> NDArray[np.bool_]:
        """Return which actions are legal now, bool ``(width,)``; what MaskablePPO calls.

        Raises:
            UsageError: The agent has no masks, or nothing was reset yet.
        """
        if self._batch is None:
            raise UsageError("action_masks() before reset(): call reset() first.")
        mask = self._batch.groups[self._group].action_mask
        if mask is None:
            raise UsageError(f"The agent {self.agent!r} has no action masks.")
        own: NDArray[np.bool_] = mask[self._row].copy()
        return own

    def render(self) -> Any:
        """Return a picture of the arena, uint8 ``(height, width, 3)``, in mode ``rgb_array``."""
        if self.render_mode is None:
            return None
        return self._pool.render(0)

    def close(self) -> None:
        """Close the simulator."""
        self._pool.close()
