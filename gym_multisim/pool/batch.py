"""What `recv` hands out: the rows of the workers that were ready."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gym_multisim.errors import UsageError
from gym_multisim.pool.buffers import GroupArrays
from gym_multisim.pool.trees import Tree

InfoMap = dict[str, dict[int, dict[str, Any]]]
"""By group name and row number, the info dictionaries that a simulator returned."""


@dataclass
class Batch:
    """The rows of some workers after a step or reset.

    The arrays are views of shared memory where they can be: they are valid until the next ``send``
    to these workers. Copy what you keep.

    With one agent group its arrays can be read directly (``batch.observation``); with several, ask
    by name (``batch["hunters"].observation``). See `GroupArrays` for what there is; every array
    has one entry per row, in row order.

    Attributes:
        workers: Indices of the workers, ascending.
        rows: Per group, the row numbers in the pool.
        groups: Per group, the arrays.
        infos: Info dictionaries of the last step, where a simulator returned any.
        reset_infos: The same of the last reset.
        replaced_actions: Per group, the executed action by row number, where a forbidden action
            was replaced.
    """

    workers: NDArray[np.intp]
    rows: dict[str, NDArray[np.intp]]
    groups: dict[str, GroupArrays]
    infos: InfoMap = field(default_factory=dict)
    reset_infos: InfoMap = field(default_factory=dict)
    replaced_actions: dict[str, dict[int, Any]] = field(default_factory=dict)

    def __getitem__(self, group: str) -> GroupArrays:
        """Return the arrays of one group."""
        return self.groups[group]

    @property
    def only(self) -> GroupArrays:
        """The arrays of the one group.

        Raises:
            UsageError: There are several.
        """
        if len(self.groups) != 1:
            raise UsageError(
                f"This pool has the agent groups {', '.join(map(repr, self.groups))}: say which "
                "one, as in batch['name'].observation."
            )
        return next(iter(self.groups.values()))

    @property
    def observation(self) -> Tree:
        """Observations of the one group: an array ``(rows, …)``, or a dict or tuple of them."""
        return self.only.observation

    @property
    def action_mask(self) -> NDArray[np.bool_] | None:
        """Masks of the one group, True = legal, ``(rows, width)``; None if it has none."""
        return self.only.action_mask

    @property
    def reward(self) -> NDArray[np.float64]:
        """Rewards of the one group, ``(rows,)``."""
        return self.only.reward

    @property
    def terminated(self) -> NDArray[np.bool_]:
        """Which rows of the one group ended by the world's rules, ``(rows,)``."""
        return self.only.terminated

    @property
    def truncated(self) -> NDArray[np.bool_]:
        """Which rows of the one group were cut off, ``(rows,)``."""
        return self.only.truncated

    @property
    def status(self) -> NDArray[np.int8]:
        """`Status` of the rows of the one group, ``(rows,)``."""
        return self.only.status
