"""How many workers host a list of environments, and how to reach one of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from gym_multisim.errors import ConfigError, SimulatorError
from gym_multisim.pool.actions import InvalidAction
from gym_multisim.pool.loop import Autoreset
from gym_multisim.pool.pool import SimulatorPool
from gym_multisim.simulators.gymnasium_env import EnvFn, HostedEnvironments


def available_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def hosting_pool(
    env_fns: Sequence[EnvFn], num_workers: int | None, autoreset: Autoreset, **pool_options: Any
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
        simulator_options={"env_fns": list(env_fns)},
        autoreset=autoreset,
        **options,
    )


class EnvironmentCalls:
    """Reaches single environments of a hosting pool through its control channel."""

    def __init__(self, pool: SimulatorPool) -> None:
        self._pool = pool

    def ask(self, method: str, rows: Sequence[int], *args: Any) -> list[Any]:
        """Call a method of `HostedEnvironments` for some rows; answers are in their order."""
        answers: dict[int, Any] = {}
        for server, local in self._by_server(rows).items():
            result = self._call(server, method, local, *args)
            for arena, answer in zip(local, result, strict=True):
                answers[server * self._pool.arenas_per_server + arena] = answer
        return [answers[row] for row in rows]

    def assign(self, method: str, rows: Sequence[int], name: str, values: Sequence[Any]) -> None:
        """Set an attribute of some rows, one value each."""
        value_of = dict(zip(rows, values, strict=True))
        for server, local in self._by_server(rows).items():
            first = server * self._pool.arenas_per_server
            own = [value_of[first + arena] for arena in local]
            self._call(server, method, local, name, own)

    def _call(self, server: int, method: str, *args: Any) -> Any:
        """Call; let an environment's AttributeError be one here, since callers test for it."""
        try:
            return self._pool.call(method, *args, servers=[server])[0]
        except SimulatorError as error:
            if isinstance(error.__cause__, AttributeError):
                raise AttributeError(str(error.__cause__)) from error
            raise

    def _by_server(self, rows: Sequence[int]) -> dict[int, list[int]]:
        by_server: dict[int, list[int]] = {}
        for row in rows:
            server, arena = divmod(row, self._pool.arenas_per_server)
            by_server.setdefault(server, []).append(arena)
        return by_server
