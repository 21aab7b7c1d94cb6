"""The part of the stable-baselines3 faces that both share: rows of a pool as a ``VecEnv``."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env.base_vec_env import VecEnv, VecEnvIndices

from gym_multisim.envs.copies import TreeCopier, own_row
from gym_multisim.envs.others import OtherAgents
from gym_multisim.errors import ClosedError, ConfigError, UsageError
from gym_multisim.pool.batch import Batch
from gym_multisim.pool.pool import SimulatorPool
from gym_multisim.pool.trees import Tree, tree_map
from gym_multisim.simulator import Status


class PoolVecEnv(VecEnv):
    """One agent group of a started pool as a stable-baselines3 ``VecEnv``.

    Observations and masks come from shared memory and are copied once. Infos carry
    ``terminal_observation``, ``TimeLimit.truncated`` and ``episode`` (return ``r``, length ``l``,
    seconds ``t``, and the simulator's metrics) where an episode ended, so no Monitor is needed.

    Attributes:
        pool: The pool, for statistics and its own interface.
        group: The name of the agent group that is shown.
    """

    def __init__(
        self, pool: SimulatorPool, group: str, num_envs: int, others: OtherAgents | None
    ) -> None:
        self.pool = pool
        self.group = group
        self._others = others
        shown = pool.group(group)
        self._rows = pool.buffers(group)[slice(0, num_envs)]
        self._copier = TreeCopier(self._rows.observation)
        self._metric_names = pool.spec.metrics
        self._began = time.time()
        self._last_batch: Batch | None = None
        self._is_stepping = False
        self._mask_view: NDArray[np.bool_] | None = None
        if self._rows.action_mask is not None:
            self._mask_view = self._rows.action_mask.view()
            self._mask_view.flags.writeable = False
        super().__init__(num_envs, shown.observation_space, shown.action_space)

    # --- stepping -----------------------------------------------------------------------------

    def step_async(self, actions: Any) -> None:
        """Send one action per row."""
        if self._others is not None and self._last_batch is not None and not self._is_stepping:
            actions = {**self._others.actions(self._last_batch), self.group: actions}
        self.pool.send(actions)
        self._is_stepping = True

    def step_wait(self) -> Any:
        """Return observations, rewards, dones and infos of all rows."""
        # Made before waiting, so that it costs nothing while the workers work.
        infos: list[dict[str, Any]] = [{"TimeLimit.truncated": False} for _ in range(self.num_envs)]
        batch = self.pool.recv()
        self._is_stepping = False
        self._last_batch = batch
        rows = self._rows
        dones = rows.terminated | rows.truncated
        if batch.infos:
            for row, info in batch.infos.get(self.group, {}).items():
                infos[row].update(info)
                infos[row]["TimeLimit.truncated"] = False
        if batch.replaced_actions:
            for row, action in batch.replaced_actions.get(self.group, {}).items():
                infos[row]["executed_action"] = action
        ended = dones.nonzero()[0]
        if len(ended):
            self._describe_endings(ended, infos)
        if batch.reset_infos:
            self._keep_reset_infos(batch)
        return self._copier.copy(rows.observation), rows.reward.copy(), dones, infos

    def _describe_endings(self, ended: NDArray[np.intp], infos: list[dict[str, Any]]) -> None:
        rows = self._rows
        seconds = round(time.time() - self._began, 6)
        facts = zip(
            ended.tolist(),
            (rows.truncated[ended] > rows.terminated[ended]).tolist(),
            (rows.status[ended] != Status.ABSENT).tolist(),
            rows.episode_ended[ended].tolist(),
            rows.episode_return[ended].tolist(),
            rows.episode_length[ended].tolist(),
            rows.episode_metrics[ended].tolist(),
            strict=True,
        )
        for row, is_truncated, is_present, has_ended, total, length, metrics in facts:
            info = infos[row]
            info["terminal_observation"] = self._terminal_observation(row)
            info["TimeLimit.truncated"] = is_truncated
            if is_present:  # begun anew; its infos, if any, follow
                self.reset_infos[row] = {}
            if has_ended and "episode" not in info:
                info["episode"] = {"r": round(total, 6), "l": length, "t": seconds}
                info["episode"].update(zip(self._metric_names, metrics, strict=True))

    def _terminal_observation(self, row: int) -> Tree:
        return tree_map(lambda leaf: own_row(leaf, row), self._rows.final_observation)

    def _keep_reset_infos(self, batch: Batch) -> None:
        for row, info in batch.reset_infos.get(self.group, {}).items():
            self.reset_infos[row] = info

    def reset(self) -> Tree:
        """Begin new episodes in all arenas, with the seeds and options that were set."""
        batch = self._reset_pool()
        self._last_batch = batch
        self.reset_infos = [{} for _ in range(self.num_envs)]
        self._keep_reset_infos(batch)
        self._reset_seeds()
        self._reset_options()
        return self._copier.copy(self._rows.observation)

    @abstractmethod
    def _reset_pool(self) -> Batch:
        """Begin new episodes in all arenas, with the seeds and options that were set."""

    def close(self) -> None:
        """End all servers; safe to call again."""
        self.pool.close()

    # --- masks --------------------------------------------------------------------------------

    def action_masks(self) -> NDArray[np.bool_]:
        """Return the masks of all rows, True = legal, bool ``(num_envs, width)``.

        A read-only view: valid until the next step; no worker is asked.

        Raises:
            UsageError: The agent group has no masks, or a step is pending.
        """
        if self._mask_view is None:
            raise UsageError(
                f"The agent group {self.group!r} of {self.pool.name!r} has no action masks."
            )
        if self.pool.is_closed:
            raise ClosedError("action_masks() of a closed environment: make a new one.")
        if self._is_stepping:
            raise UsageError("action_masks() while a step is pending: step_wait() first.")
        return self._mask_view

    def _is_masked(self) -> bool:
        return self._mask_view is not None

    def _masks_of(self, indices: VecEnvIndices) -> list[NDArray[np.bool_]]:
        mask = self.action_masks()
        if indices is None:
            return list(mask)
        return [mask[row] for row in self._row_list(indices)]

    def _row_list(self, indices: VecEnvIndices) -> list[int]:
        """Return row numbers from 0; stable-baselines3 allows negative ones."""
        found: Iterable[int] = self._get_indices(indices)
        rows = [int(row) for row in found]
        for row in rows:
            if not -self.num_envs <= row < self.num_envs:
                raise ConfigError(
                    f"indices= has {row}: expected numbers from {-self.num_envs} to "
                    f"{self.num_envs - 1}, since there are {self.num_envs} environments."
                )
        return [row % self.num_envs for row in rows]
