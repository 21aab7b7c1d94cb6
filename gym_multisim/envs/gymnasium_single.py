"""SingleAgentEnv: one agent of one arena as an ordinary Gymnasium ``Env``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from gym_multisim.envs.others import OtherAgents, Others
from gym_multisim.errors import ActionError, ConfigError, UsageError
from gym_multisim.pool.batch import Batch
from gym_multisim.pool.loop import Autoreset
from gym_multisim.pool.pool import SimulatorPool
from gym_multisim.pool.trees import Tree, tree_map
from gym_multisim.simulator import Simulator, Status


class SingleAgentEnv(gymnasium.Env[Any, Any]):
    """One agent of one arena as a Gymnasium ``Env``; the other agents are played for it.

    Steps on which this agent is not asked to act (WAITING) are passed over; their rewards are added
    up.

    Args:
        simulator: A registered name, a `Simulator` subclass, or a function that returns one.
        agent: The agent's name; None takes the first.
        others: Who plays the other agents: ``"random"``, a policy, or one of these per agent group.
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
        groups = {name: g for g in self._pool.spec.groups for name in g.agents}
        agent = next(iter(groups)) if agent is None else agent
        if agent not in groups:
            raise ConfigError(
                f"There is no agent {agent!r} in {self._pool.name!r}: expected one of "
                f"{', '.join(map(repr, groups))}."
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
        self._others = OtherAgents(self._pool, [g.name for g in self._pool.spec.groups], others)
        self._batch: Batch | None = None
        self._is_over = True

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Tree, dict[str, Any]]:
        """Begin a new episode; the same seed gives the same episode."""
        super().reset(seed=seed)
        self._batch = self._pool.reset(seed, options=options or None)
        self._is_over = False
        for _ in self._until_asked():
            pass
        return self._observation(), self._info()

    def step(self, action: Any) -> tuple[Tree, float, bool, bool, dict[str, Any]]:
        """Act, and let the others act, until this agent is asked again or its episode ends.

        Raises:
            UsageError: Before ``reset``, or after the end of the episode.
        """
        if self._batch is None or self._is_over:
            raise UsageError("step() before reset(), or after the episode ended: call reset().")
        reward = self._advance(action)
        reward += sum(self._until_asked())
        rows = self._batch.groups[self._group]
        terminated = bool(rows.terminated[self._row])
        truncated = bool(rows.truncated[self._row])
        self._is_over = terminated or truncated
        info = self._info()
        if self._is_over:
            names = self._pool.spec.metrics
            metrics = rows.episode_metrics[self._row].tolist()
            info.update(zip(names, metrics, strict=True))
        return self._observation(), reward, terminated, truncated, info

    def _until_asked(self) -> Iterable[float]:
        """Step the others on while this agent waits; yield its rewards."""
        assert self._batch is not None
        rows = self._batch.groups[self._group]
        while rows.status[self._row] != Status.ACTIVE and not self._is_done(rows):
            yield self._advance(None)

    def _is_done(self, rows: Any) -> bool:
        return bool(rows.terminated[self._row] or rows.truncated[self._row])

    def _advance(self, action: Any) -> float:
        assert self._batch is not None
        actions = self._others.actions(self._batch)
        if action is not None:
            chosen = np.array(actions[self._group])
            if np.shape(action) != chosen.shape[1:]:
                raise ActionError(
                    f"The action has shape {np.shape(action)}; expected {chosen.shape[1:]}."
                )
            chosen = chosen.astype(np.result_type(chosen, np.asarray(action)))
            chosen[self._row] = action
            actions[self._group] = chosen
        self._batch = self._pool.step(actions)
        return float(self._batch.groups[self._group].reward[self._row])

    def _observation(self) -> Tree:
        assert self._batch is not None
        tree = self._batch.groups[self._group].observation
        return tree_map(lambda leaf: _own(leaf[self._row]), tree)

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


def _own(value: Any) -> Any:
    """Copy one row's leaf; a scalar stays the NumPy scalar that its space contains."""
    return value.copy() if isinstance(value, np.ndarray) else value
