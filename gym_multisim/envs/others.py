"""Who plays the agents that a face does not show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gym_multisim.errors import ConfigError
from gym_multisim.pool.batch import Batch
from gym_multisim.pool.pool import SimulatorPool

RowPolicy = Callable[[Any, Any], Any]
"""``policy(observation, action_mask) -> actions``: one action per row; the mask may be None."""

Others = str | RowPolicy | Mapping[str, "str | RowPolicy"]
"""``"random"`` (uniform over legal actions), a policy, or one of these per agent group."""


class OtherAgents:
    """Chooses the actions of rows that the learner does not play.

    Args:
        pool: The pool, for random legal actions from its own seed.
        groups: The groups whose actions are to be chosen.
        others: Who plays them.

    Raises:
        ConfigError: ``others`` is nothing that can play, or misses a group.
    """

    def __init__(self, pool: SimulatorPool, groups: list[str], others: Others | None) -> None:
        self._pool = pool
        self._players: dict[str, str | RowPolicy] = {}
        for name in groups:
            if isinstance(others, Mapping):
                if name not in others:
                    raise ConfigError(
                        f"others= misses the agent group {name!r}: expected one of 'random' or a "
                        f"policy for each of {groups}, found only {sorted(others)}."
                    )
                player = others[name]
            elif others is None:
                raise ConfigError(
                    f"Who plays the agent group {name!r}? This face shows one group of "
                    f"{pool.name!r}: say others='random', a policy, or a mapping by group name."
                )
            else:
                player = others
            if player != "random" and not callable(player):
                raise ConfigError(
                    f"others= is {player!r} for the agent group {name!r}: expected 'random' or a "
                    "policy, a function of (observation, action_mask) that returns one action per "
                    "row."
                )
            self._players[name] = player

    def actions(self, batch: Batch) -> dict[str, Any]:
        """Return the actions of all these groups, by name."""
        return {name: self.act(batch, name) for name in self._players}

    def act(self, batch: Batch, name: str) -> Any:
        """Return the actions of one group's rows."""
        player = self._players[name]
        if isinstance(player, str):
            return self._pool.sample_actions(batch, name)
        group = batch.groups[name]
        return player(group.observation, group.action_mask)
