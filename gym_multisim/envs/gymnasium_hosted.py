"""HostedVectorEnv: what ``AsyncVectorEnv`` does, many environments to a worker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space, iterate

from gym_multisim.envs.gymnasium_vector import PoolVectorEnv
from gym_multisim.envs.hosting import EnvironmentCalls, HostedActions, hosting_pool
from gym_multisim.errors import ConfigError
from gym_multisim.pool.loop import Autoreset
from gym_multisim.pool.trees import Tree
from gym_multisim.simulators.gymnasium_env import GROUP


class HostedVectorEnv(PoolVectorEnv):
    """Hosts ordinary Gymnasium environments in a few workers, where ``AsyncVectorEnv`` would be.

    Args:
        env_fns: One function per environment.
        num_workers: How many worker processes; None takes the number of cores.
        autoreset_mode: When environments that ended begin anew.
        copy: True hands out arrays of the caller's own; False views of shared memory.
        episode_statistics: Put ``episode`` (return ``r``, length ``l``, seconds ``t``) into the
            infos where an episode ended. Gymnasium has a wrapper for it, which refuses infos that
            have it already, so it is left out by default.
        **pool_options: Further options of `SimulatorPool`, such as ``step_timeout``.
    """

    def __init__(
        self,
        env_fns: Sequence[Callable[[], Any]],
        num_workers: int | None = None,
        *,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        copy: bool = True,
        episode_statistics: bool = False,
        **pool_options: Any,
    ) -> None:
        mode = AutoresetMode(autoreset_mode)
        pool = hosting_pool(
            env_fns, num_workers, Autoreset[mode.name], names_options=True, **pool_options
        )
        self._calls = EnvironmentCalls(pool)
        self._padding = pool.num_arenas - len(env_fns)
        try:
            pool.start()
            self.metadata = dict(self._calls.ask("get_attribute", [0], "metadata")[0])
            render_mode = self._calls.ask("get_attribute", [0], "render_mode")[0]
            self._actions = HostedActions(pool, len(env_fns))
            super().__init__(
                pool, GROUP, len(env_fns), mode, None, copy, render_mode, episode_statistics
            )
            if self._rows.action_mask is not None:
                pool.call("read_masks")
        except BaseException:
            pool.close(kill=True)
            raise
        self.single_action_space = self._actions.space
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Tree, dict[str, Any]]:
        """Reset the environments; environment i gets ``seed + i``, or the i-th of several seeds.

        Args:
            seed: A number, or one (or None) per environment.
            options: ``reset_mask`` resets only some; anything else goes to each environment.
        """
        self._require_open()
        if isinstance(seed, (int, np.integer)):
            seed = [int(seed) + i for i in range(self.num_envs)]
        seeds = [None] * self.num_envs if seed is None else list(seed)
        if len(seeds) != self.num_envs:
            raise ConfigError(
                f"reset(seed=…) got {len(seeds)} seeds: expected one number, or {self.num_envs}."
            )
        padding = [None] * self._padding
        mask = self._popped_reset_mask(options)
        if mask is not None:
            mask = np.concatenate([mask, np.full(self._padding, mask.all())])
        self._batch = self.pool.reset(
            [*seeds, *padding],
            options=[*[options] * self.num_envs, *padding] if options else None,
            arenas=mask,
        )
        return self._observation(), self._reset_infos(self._batch)

    def _row_actions(self, actions: Any) -> Any:
        if isinstance(self.single_action_space, (spaces.Dict, spaces.Tuple)):
            actions = list(iterate(self.action_space, actions))
        return self._actions.rows(actions)

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Call a method of every environment, or return its attribute."""
        self._require_open()
        return tuple(self._calls.ask("call_or_get", range(self.num_envs), name, args, kwargs))

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """Return an attribute of every environment."""
        return self.call(name)

    def set_attr(self, name: str, values: Any) -> None:
        """Set an attribute of every environment, to one value or to one each."""
        self._require_open()
        if not isinstance(values, (list, tuple)):
            values = [values] * self.num_envs
        if len(values) != self.num_envs:
            raise ConfigError(
                f"set_attr({name!r}) got {len(values)} values: expected one, or {self.num_envs}."
            )
        self._calls.ask("set_wrapper_attribute", range(self.num_envs), name, values)

    def render(self) -> tuple[Any, ...] | None:
        """Return what every environment renders."""
        return tuple(self.call("render"))

    @property  # type: ignore[misc]  # read-only here, as in AsyncVectorEnv
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]
        """The random generators of the environments."""
        return self.get_attr("np_random")

    @property
    def np_random_seed(self) -> tuple[int, ...]:  # type: ignore[override]
        """The seeds of those generators."""
        return self.get_attr("np_random_seed")
