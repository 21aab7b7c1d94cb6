"""The stable-baselines3 face: a pool of simulator servers as a ``VecEnv``.

``make_vec_env`` is the one line most users need. `HostedVecEnv` replaces ``SubprocVecEnv``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices

from gym_multisim.envs.others import OtherAgents, Others
from gym_multisim.envs.sb3_base import PoolVecEnv
from gym_multisim.envs.sb3_hosted import HostedVecEnv
from gym_multisim.errors import ConfigError, UsageError
from gym_multisim.pool.batch import Batch
from gym_multisim.pool.loop import Autoreset
from gym_multisim.pool.pool import SimulatorPool
from gym_multisim.simulator import Simulator

__all__ = ["HostedVecEnv", "MultiSimVecEnv", "make_vec_env"]


def make_vec_env(
    simulator: str | type[Simulator] | Callable[..., Simulator],
    *,
    servers: int = 1,
    arenas_per_server: int = 1,
    seed: int | None = None,
    simulator_options: Mapping[str, Any] | None = None,
    group: str | None = None,
    others: Others | None = None,
    **pool_options: Any,
) -> MultiSimVecEnv:
    """Start a pool and return it as a ``VecEnv`` for stable-baselines3 and sb3-contrib.

    Args:
        simulator: A registered name, a `Simulator` subclass, or a function that returns one.
        servers: How many simulator servers.
        arenas_per_server: How many arenas each hosts.
        seed: Master seed of all episodes.
        simulator_options: Keyword arguments of the simulator's class.
        group: Which agent group to show, if there are several.
        others: Who plays the other groups: ``"random"``, a policy, or a mapping by group name.
        **pool_options: Further options of `SimulatorPool`, such as ``backend`` or
            ``invalid_action``.

    Raises:
        ConfigError: A setting that cannot be used.
        StartupError: A server did not become ready.
    """
    pool = SimulatorPool(
        simulator,
        servers=servers,
        arenas_per_server=arenas_per_server,
        seed=seed,
        simulator_options=simulator_options,
        **pool_options,
    )
    return MultiSimVecEnv(pool, group=group, others=others)


class MultiSimVecEnv(PoolVecEnv):
    """One agent group of a pool as a ``VecEnv``: a row is one agent of one arena.

    Args:
        pool: The pool; it is started here and closed with this environment.
        group: Which agent group to show, if there are several.
        others: Who plays the other groups.
    """

    def __init__(
        self, pool: SimulatorPool, *, group: str | None = None, others: Others | None = None
    ) -> None:
        try:
            if pool.autoreset is not Autoreset.SAME_STEP:
                raise ConfigError(
                    f"autoreset is {pool.autoreset.value!r}: stable-baselines3 expects "
                    "'same_step'. Leave it out when you make the pool."
                )
            shown = pool.group(group)
            hidden = [g.name for g in pool.spec.groups if g.name != shown.name]
            other_agents = OtherAgents(pool, hidden, others) if hidden else None
            pool.start()
        except BaseException:
            pool.close(kill=True)
            raise
        super().__init__(pool, shown.name, pool.num_rows(shown.name), other_agents)

    def _reset_pool(self) -> Batch:
        if any(self._options):
            per_arena = self._options[:: len(self._rows.layout.agents)]
            return self.pool.reset(self._seeds[0], options=per_arena)
        return self.pool.reset(self._seeds[0])

    # --- what stable-baselines3 asks of single environments ------------------------------------

    def has_attr(self, attr_name: str) -> bool:
        """Return whether rows have an attribute; ``action_masks`` if the group is masked."""
        if attr_name == "action_masks":
            return self._is_masked()
        try:
            self.get_attr(attr_name)
        except AttributeError:
            return False
        return True

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Return ``render_mode``, or an attribute of each row's simulator.

        Raises:
            AttributeError: The simulator has no such attribute.
        """
        rows = self._row_list(indices)
        if attr_name == "render_mode":
            return ["rgb_array" if self.pool.can_render else None] * len(rows)
        if attr_name == "action_masks" and self._is_masked():
            return [lambda row=row: self.action_masks()[row] for row in rows]
        try:
            by_server = self.pool.call("__getattribute__", attr_name)
        except Exception as error:
            if isinstance(error.__cause__, AttributeError):
                raise AttributeError(
                    f"The simulator {self.pool.name!r} has no attribute {attr_name!r}."
                ) from error
            raise
        per_server = self.num_envs // self.pool.servers
        return [by_server[row // per_server] for row in rows]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Refuse: rows of a server share one simulator.

        Raises:
            UsageError: Always.
        """
        raise UsageError(
            f"set_attr({attr_name!r}): the rows of a server share one simulator, so they have no "
            "attributes of their own. Give simulator_options when you make the environment, or "
            "use venv.pool.call(method, …)."
        )

    def env_method(
        self,
        method_name: str,
        *method_args: Any,
        indices: VecEnvIndices = None,
        **method_kwargs: Any,
    ) -> list[Any]:
        """Return the masks of rows (``action_masks``), from shared memory.

        Raises:
            UsageError: Another method.
        """
        if method_name == "action_masks":
            return list(self._masks_of(indices))
        raise UsageError(
            f"env_method({method_name!r}): the rows of a server share one simulator. Use "
            f"venv.pool.call({method_name!r}, …), which returns one answer per server."
        )

    def env_is_wrapped(self, wrapper_class: type[Any], indices: VecEnvIndices = None) -> list[bool]:
        """Return True for Monitor (the rows report ``episode`` as it does), else False."""
        return [issubclass(wrapper_class, Monitor)] * len(self._row_list(indices))

    def get_images(self) -> list[NDArray[np.uint8]]:
        """Return a picture of each arena."""
        return [self.pool.render(arena) for arena in range(self.pool.num_arenas)]
