"""How many workers host a list of environments, and how to reach one of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gym_multisim.errors import ActionError, ConfigError, SimulatorError
from gym_multisim.pool.actions import InvalidAction
from gym_multisim.pool.loop import Autoreset
from gym_multisim.pool.pool import SimulatorPool
from gym_multisim.pool.scheduling import available_cores
from gym_multisim.simulators.gymnasium_env import GROUP, EnvFn, HostedEnvironments
from gym_multisim.simulators.structured_actions import StructuredActions


def hosting_pool(
    env_fns: Sequence[EnvFn],
    num_workers: int | None,
    autoreset: Autoreset,
    *,
    names_options: bool = False,
    **pool_options: Any,
) -> SimulatorPool:
    """Return a pool that hosts environments in as many workers as there are cores.

    Environments are dealt out in order; the last worker may have fewer.

    Raises:
        ConfigError: There is no environment, or ``num_workers`` is below 1.
    """
    if not len(env_fns):
        raise ConfigError("env_fns is empty: expected one function per environment, at least one.")
    if num_workers is not None and num_workers < 1:
        raise ConfigError(f"num_workers is {num_workers}: expected at least 1.")
    workers = min(num_workers or available_cores(), len(env_fns))
    per_worker = -(-len(env_fns) // workers)
    options: dict[str, Any] = {
        "invalid_action": InvalidAction.UNCHECKED,
        "inherit_output": True,
        **pool_options,
    }
    return SimulatorPool(
        HostedEnvironments,
        servers=-(-len(env_fns) // per_worker),
        arenas_per_server=per_worker,
        simulator_options={"env_fns": list(env_fns), "names_options": names_options},
        autoreset=autoreset,
        **options,
    )


class HostedActions:
    """Turns the actions of hosted environments into the rows that a hosting pool takes.

    Attributes:
        space: The action space of one environment.
    """

    def __init__(self, pool: SimulatorPool, num_envs: int) -> None:
        shown = pool.group(GROUP).action_space
        self._structured = shown if isinstance(shown, StructuredActions) else None
        self.space = shown if self._structured is None else self._structured.space
        self._num_envs = num_envs
        self._padding = pool.num_arenas - num_envs

    def rows(self, actions: Any) -> Any:
        """Return one action per row, the rows that pad the last worker included.

        Args:
            actions: One action per environment, as an array or any sequence.

        Raises:
            ActionError: There is not one action per environment.
        """
        if self._structured is None and not self._padding:
            return actions
        if np.isscalar(actions) or len(actions) != self._num_envs:
            found = repr(actions) if np.isscalar(actions) else f"{len(actions)} of them"
            raise ActionError(
                f"Expected {self._num_envs} actions, one per environment; found {found}."
            )
        if self._structured is not None:
            actions = self._structured.pack(actions)
        return np.concatenate([actions, actions[: self._padding]]) if self._padding else actions


class EnvironmentCalls:
    """Reaches single environments of a hosting pool, all workers at once."""

    def __init__(self, pool: SimulatorPool) -> None:
        self._pool = pool

    def ask(self, method: str, rows: Sequence[int], *args: Any) -> list[Any]:
        """Call a method of `HostedEnvironments` for some rows; answers are in their order.

        Raises:
            AttributeError: An environment lacks what was asked for; callers test for it.
            SimulatorError: An environment raised something else.
        """
        per_server = self._pool.arenas_per_server
        servers = sorted({row // per_server for row in rows})
        try:
            results = self._pool.call(method, list(rows), *args, servers=servers)
        except SimulatorError as error:
            if isinstance(error.__cause__, AttributeError):
                raise AttributeError(str(error.__cause__)) from error
            raise
        answers = dict(zip(servers, map(iter, results), strict=True))
        return [next(answers[row // per_server]) for row in rows]
