"""What Gymnasium spaces mean in arrays: observation leaves, action formats and mask widths.

Used in the caller's process only; workers get the plain data that these functions return.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import Space, spaces
from numpy.typing import NDArray

from gym_multisim.errors import SpaceError
from gym_multisim.pool.trees import Leaf, Tree


@dataclass(frozen=True)
class ActionFormat:
    """How the actions of one agent lie in an array.

    Attributes:
        shape: The shape of one action.
        dtype: A NumPy dtype string.
        branches: Sizes of the discrete choices, or None for a Box. The mask of an action is as
            wide as their sum: one entry per choice, branch after branch.
        start: The lowest value of each branch.
        low: Lower bounds of a Box.
        high: Upper bounds of a Box.
    """

    shape: tuple[int, ...]
    dtype: str
    branches: tuple[int, ...] | None
    start: NDArray[np.int64] | None = None
    low: NDArray[Any] | None = None
    high: NDArray[Any] | None = None

    @property
    def mask_width(self) -> int:
        """The number of entries of a mask; 0 for a Box."""
        return sum(self.branches) if self.branches else 0


def observation_tree(space: Space[Any], path: str = "") -> Tree:
    """Return the tree of leaves that hold one observation.

    Raises:
        SpaceError: A leaf has no fixed size (Text, Sequence, Graph, OneOf …); names it.
    """
    if isinstance(space, spaces.Dict):
        return {
            key: observation_tree(inner, f"{path}.{key}" if path else str(key))
            for key, inner in space.spaces.items()
        }
    if isinstance(space, spaces.Tuple):
        return tuple(
            observation_tree(inner, f"{path}[{index}]") for index, inner in enumerate(space.spaces)
        )
    if isinstance(space, (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)):
        assert space.shape is not None
        assert space.dtype is not None
        return Leaf(path, tuple(space.shape), np.dtype(space.dtype).str)
    raise SpaceError(
        f"The observation space {f'leaf {path!r}' if path else ''} is {space}, which has no fixed "
        "size, so shared memory cannot hold it. Expected Box, Discrete, MultiDiscrete, "
        "MultiBinary, or a Dict or Tuple of these. Wrap the environment so that it observes one "
        "of them (for a text: an array of token numbers)."
    )


def action_format(space: Space[Any]) -> ActionFormat:
    """Return how actions of this space lie in an array.

    Raises:
        SpaceError: The space is none of Box, Discrete, MultiDiscrete, MultiBinary.
    """
    dtype = np.dtype(space.dtype).str if space.dtype is not None else ""
    if isinstance(space, spaces.Box):
        return ActionFormat(space.shape, dtype, None, low=space.low, high=space.high)
    if isinstance(space, spaces.Discrete):
        start = np.asarray([space.start], dtype=np.int64)
        return ActionFormat((), dtype, (int(space.n),), start)
    if isinstance(space, spaces.MultiDiscrete):
        branches = tuple(int(n) for n in space.nvec.ravel())
        return ActionFormat(space.shape, dtype, branches, space.start.ravel().astype(np.int64))
    if isinstance(space, spaces.MultiBinary):
        count = math.prod(space.shape)
        return ActionFormat(space.shape, dtype, (2,) * count, np.zeros(count, dtype=np.int64))
    raise SpaceError(
        f"The action space is {space}. Expected Box, Discrete, MultiDiscrete or MultiBinary: "
        "flatten the actions of the environment into one of these."
    )
