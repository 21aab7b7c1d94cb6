"""HostedVecEnv: what ``SubprocVecEnv`` does, many environments to a worker."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from typing import Any

from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices

from gym_multisim.envs.hosting import EnvironmentCalls, HostedActions, hosting_pool
from gym_multisim.envs.sb3_base import PoolVecEnv
from gym_multisim.errors import ConfigError
from gym_multisim.pool.batch import Batch
from gym_multisim.pool.loop import Autoreset
from gym_multisim.simulators.gymnasium_env import GROUP


class HostedVecEnv(PoolVecEnv):
    """Hosts ordinary Gymnasium environments in a few workers: a drop-in for ``SubprocVecEnv``.

    Differences that can be seen: it is faster; an environment's exception reaches the caller with
    its traceback; no ``if __name__ == "__main__"`` is needed; spaces without a fixed size are
    refused.

    Args:
        env_fns: One function per environment.
        start_method: Checked and then ignored: workers are fresh interpreters.
        num_workers: How many worker processes; None takes the number of cores.
        **pool_options: Further options of `SimulatorPool`, such as ``step_timeout``.

    Raises:
        SpaceError: A space that shared memory cannot hold; names the leaf.
        StartupError: An environment could not be made.
    """

    def __init__(
        self,
        env_fns: Sequence[Callable[[], Any]],
        start_method: str | None = None,
        num_workers: int | None = None,
        **pool_options: Any,
    ) -> None:
        try:
            multiprocessing.get_context(start_method)
        except ValueError as error:
            raise ConfigError(f"start_method is {start_method!r}: {error}.") from None
        pool = hosting_pool(env_fns, num_workers, Autoreset.SAME_STEP, **pool_options)
        self._calls = EnvironmentCalls(pool)
        self._masks_travel = False
        self._padding = pool.num_arenas - len(env_fns)
        try:
            pool.start()
            self._actions = HostedActions(pool, len(env_fns))
            super().__init__(pool, GROUP, len(env_fns), None)
        except BaseException:
            pool.close(kill=True)
            raise
        self.action_space = self._actions.space

    def step_async(self, actions: Any) -> None:
        """Send one action per environment."""
        super().step_async(self._actions.rows(actions))

    def _reset_pool(self) -> Batch:
        none = [None] * self._padding
        seeds = [*self._seeds, *none]
        options = [*self._options, *none] if any(self._options) else None
        return self.pool.reset(seeds, options=options)

    def has_attr(self, attr_name: str) -> bool:
        """Return whether all environments have an attribute."""
        if attr_name == "action_masks" and self._is_masked():
            return True
        return all(self._calls.ask("has_attribute", range(self.num_envs), attr_name))

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Return an attribute of some environments, looked up through their wrappers."""
        return self._calls.ask("get_attribute", self._row_list(indices), attr_name)

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of some environments (of their outermost wrapper)."""
        self._calls.ask("set_attribute", self._row_list(indices), attr_name, value)

    def env_method(
        self,
        method_name: str,
        *method_args: Any,
        indices: VecEnvIndices = None,
        **method_kwargs: Any,
    ) -> list[Any]:
        """Call a method of some environments. ``action_masks`` is read from shared memory.

        Raises:
            UsageError: A step is pending.
        """
        if method_name == "action_masks" and self._is_masked() and not method_args:
            if not self._masks_travel:
                self.pool.call("read_masks")
                self._masks_travel = True
            return list(self._masks_of(indices))
        rows = self._row_list(indices)
        return self._calls.ask("call_method", rows, method_name, method_args, method_kwargs)

    def env_is_wrapped(self, wrapper_class: type[Any], indices: VecEnvIndices = None) -> list[bool]:
        """Return whether some environments are wrapped by a class."""
        return self._calls.ask("is_wrapped", self._row_list(indices), wrapper_class)

    def get_images(self) -> list[Any]:
        """Return what each environment renders, or None for each if it does not render arrays."""
        if self.render_mode != "rgb_array":
            return [None] * self.num_envs
        return self._calls.ask("draw", range(self.num_envs))
