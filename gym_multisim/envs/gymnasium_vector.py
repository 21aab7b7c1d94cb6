"""A pool as a Gymnasium ``VectorEnv``: what its faces share, and the one for simulators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from gym_multisim.envs.copies import TreeCopier, own_row
from gym_multisim.envs.others import OtherAgents, Others
from gym_multisim.errors import ClosedError, ConfigError, UsageError
from gym_multisim.pool.batch import Batch
from gym_multisim.pool.pool import SimulatorPool
from gym_multisim.pool.trees import Tree, tree_map


class PoolVectorEnv(VectorEnv[Any, Any, Any]):
    """One agent group of a started pool as a Gymnasium ``VectorEnv``."""

    def __init__(
        self,
        pool: SimulatorPool,
        group: str,
        num_envs: int,
        mode: AutoresetMode,
        others: OtherAgents | None,
        copy: bool,
        render_mode: str | None,
        episode_statistics: bool,
    ) -> None:
        self.pool = pool
        self.group = group
        self.num_envs = num_envs
        self.render_mode = render_mode
        self.metadata = {**self.metadata, "autoreset_mode": mode}
        shown = pool.group(group)
        self.single_observation_space = shown.observation_space
        self.single_action_space = shown.action_space
        self.observation_space = batch_space(shown.observation_space, num_envs)
        self.action_space = batch_space(shown.action_space, num_envs)
        self._mode = mode
        self._others = others
        self._copy = copy
        self._tells_episodes = episode_statistics
        self._rows = pool.buffers(group)[slice(0, num_envs)]
        self._copier = TreeCopier(self._rows.observation)
        self._metric_names = pool.spec.metrics
        self._batch: Batch | None = None

    # --- stepping -----------------------------------------------------------------------------

    def step(
        self, actions: Any
    ) -> tuple[Tree, NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """Advance all rows by one decision.

        Returns:
            Observations, rewards (float64), terminations and truncations (bool), each with
            ``num_envs`` entries, and infos. With ``copy=False`` the arrays are views that are
            valid until the next step.
        """
        self.step_async(actions)
        return self.step_wait()

    def step_async(self, actions: Any) -> None:
        """Send one action per row."""
        self._require_open()
        actions = self._row_actions(actions)
        if self._others is not None and self._batch is not None:
            actions = {**self._others.actions(self._batch), self.group: actions}
        self.pool.send(actions)

    def step_wait(self) -> tuple[Tree, NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """Return what the actions that were sent led to."""
        self._require_open()
        self._batch = batch = self.pool.recv()
        rows = self._rows
        infos = self._step_infos(batch)
        results = (rows.reward, rows.terminated, rows.truncated)
        if self._copy:
            return (self._observation(), *(array.copy() for array in results), infos)
        return (self._observation(), *results, infos)

    def _row_actions(self, actions: Any) -> Any:
        return actions

    def _observation(self) -> Tree:
        tree = self._rows.observation
        return self._copier.copy(tree) if self._copy else tree

    def _step_infos(self, batch: Batch) -> dict[str, Any]:
        infos: dict[str, Any] = {}
        rows = self._rows
        news = batch.infos.get(self.group, {})
        if rows.terminated.any() or rows.truncated.any():
            infos = self._ending_infos(news)
            if self._mode is AutoresetMode.SAME_STEP:  # those infos are `final_info`
                done = rows.terminated | rows.truncated
                news = {row: info for row, info in news.items() if not done[row]}
        begun = batch.reset_infos.get(self.group)
        if begun:
            news = {**news, **begun}
            news = {row: news[row] for row in sorted(news)}  # the first row's type is the array's
        for row, info in news.items():
            infos = self._add_info(infos, info, row)
        replaced = batch.replaced_actions.get(self.group, {})
        for row, action in replaced.items():
            infos = self._add_info(infos, {"executed_action": action}, row)
        return self._with_masks(infos)

    def _ending_infos(self, step_infos: Mapping[int, dict[str, Any]]) -> dict[str, Any]:
        """Describe the rows that ended: ``episode``, and in SAME_STEP mode the last observation."""
        rows = self._rows
        infos: dict[str, Any] = {}
        if self._mode is AutoresetMode.SAME_STEP:
            for row in np.flatnonzero(rows.terminated | rows.truncated).tolist():
                final = tree_map(lambda leaf, r=row: own_row(leaf, r), rows.final_observation)
                info = step_infos.get(row, {})
                infos = self._add_info(infos, {"final_obs": final, "final_info": info}, row)
        if not self._tells_episodes or any("episode" in info for info in step_infos.values()):
            return infos
        ended = rows.episode_ended.copy()
        if ended.any():
            statistics = {
                "r": np.where(ended, rows.episode_return, 0.0),
                "l": np.where(ended, rows.episode_length, 0),
                "t": np.where(ended, rows.episode_seconds, 0.0),
            }
            for index, name in enumerate(self._metric_names):
                statistics[name] = np.where(ended, rows.episode_metrics[:, index], 0.0)
            infos["episode"], infos["_episode"] = statistics, ended
        return infos

    def _with_masks(self, infos: dict[str, Any]) -> dict[str, Any]:
        mask = self._rows.action_mask
        if mask is not None and "action_mask" not in infos:  # an environment's own info wins
            infos["action_mask"] = mask.copy() if self._copy else mask
            infos["_action_mask"] = np.ones(self.num_envs, dtype=np.bool_)
        return infos

    def _reset_infos(self, batch: Batch) -> dict[str, Any]:
        infos: dict[str, Any] = {}
        for row, info in batch.reset_infos.get(self.group, {}).items():
            infos = self._add_info(infos, info, row)
        return self._with_masks(infos)

    def _popped_reset_mask(self, options: dict[str, Any] | None) -> NDArray[np.bool_] | None:
        if options is None or "reset_mask" not in options:
            return None
        mask = options.pop("reset_mask")
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_:
            found = mask.dtype if isinstance(mask, np.ndarray) else type(mask).__name__
            raise ConfigError(f"options['reset_mask'] is {found}: expected a bool NumPy array.")
        if mask.shape != (self.num_envs,) or not mask.any():
            raise ConfigError(
                f"options['reset_mask'] has shape {mask.shape} and {int(mask.sum())} True: "
                f"expected shape ({self.num_envs},) and at least one True."
            )
        return mask

    # --- around -------------------------------------------------------------------------------

    def action_masks(self) -> NDArray[np.bool_]:
        """Return the masks of all rows, True = legal, bool ``(num_envs, width)``.

        Raises:
            UsageError: The agent group has no masks.
        """
        if self._rows.action_mask is None:
            raise UsageError(f"The agent group {self.group!r} has no action masks.")
        return np.array(self._rows.action_mask) if self._copy else self._rows.action_mask

    def statuses(self) -> NDArray[np.int8]:
        """Return the `Status` of all rows, int8 ``(num_envs,)``."""
        return np.array(self._rows.status) if self._copy else self._rows.status

    def close_extras(self, **kwargs: Any) -> None:
        """End all servers."""
        self.pool.close()

    def _require_open(self) -> None:
        if self.closed:
            raise ClosedError(f"{self!r} was closed and cannot be used again. Make a new one.")


class MultiSimVectorEnv(PoolVectorEnv):
    """One agent group of a pool of simulator servers as a Gymnasium ``VectorEnv``.

    Infos: ``action_mask`` (if the group is masked), ``episode`` (``r``, ``l``, ``t`` and the
    simulator's metrics) where an episode ended, and ``final_obs`` in SAME_STEP mode.

    Args:
        pool: The pool; it is started here and closed with this environment.
        group: Which agent group to show, if there are several.
        others: Who plays the other groups: ``"random"``, a policy, or a mapping by group name.
        copy: True hands out arrays of the caller's own; False views of shared memory, valid until
            the next step.
        episode_statistics: False leaves ``episode`` out of the infos; needed below Gymnasium's
            ``RecordEpisodeStatistics``, which refuses infos that have it already.
    """

    def __init__(
        self,
        pool: SimulatorPool,
        *,
        group: str | None = None,
        others: Others | None = None,
        copy: bool = True,
        episode_statistics: bool = True,
    ) -> None:
        try:
            shown = pool.group(group)
            hidden = [g.name for g in pool.spec.groups if g.name != shown.name]
            other_agents = OtherAgents(pool, hidden, others) if hidden else None
            pool.start()
        except BaseException:
            pool.close(kill=True)
            raise
        super().__init__(
            pool,
            shown.name,
            pool.num_rows(shown.name),
            AutoresetMode[pool.autoreset.name],
            other_agents,
            copy,
            "rgb_array" if pool.can_render else None,
            episode_statistics,
        )

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Tree, dict[str, Any]]:
        """Begin new episodes.

        Args:
            seed: A master seed, or one seed per row, of which each arena takes its first row's.
            options: ``reset_mask`` (bool, one per row) resets only some arenas; anything else
                goes to the simulator.
        """
        self._require_open()
        super().reset(seed=seed if isinstance(seed, int) else None)
        agents = len(self._rows.layout.agents)
        mask = self._popped_reset_mask(options)
        arenas = None if mask is None else self._whole_arenas(mask, agents)
        if seed is not None and not isinstance(seed, (int, np.integer)):
            if len(seed) != self.num_envs:
                raise ConfigError(
                    f"reset(seed=…) got {len(seed)} seeds: expected one number, or "
                    f"{self.num_envs} of them."
                )
            seed = list(seed)[::agents]
        self._batch = self.pool.reset(seed, options=options or None, arenas=arenas)
        return self._observation(), self._reset_infos(self._batch)

    def _whole_arenas(self, mask: NDArray[np.bool_], agents: int) -> NDArray[np.bool_]:
        by_arena = mask.reshape(-1, agents)
        partial = np.flatnonzero(by_arena.any(axis=1) & ~by_arena.all(axis=1))
        if len(partial):
            raise ConfigError(
                f"options['reset_mask'] covers only part of arena {partial[0]}: an arena is reset "
                f"as a whole. Set it for all of its {agents} rows (from row "
                f"{partial[0] * agents}), once all of them have ended."
            )
        return np.asarray(by_arena.all(axis=1))

    def render(self) -> tuple[Any, ...] | None:
        """Return a picture of each arena, or None if the simulator does not draw."""
        if self.render_mode is None:
            return None
        return tuple(self.pool.render(arena) for arena in range(self.pool.num_arenas))
