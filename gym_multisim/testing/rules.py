"""What the values of an agent group's rows may be, leaf by leaf, and how to say otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import numpy as np
from gymnasium import Space, spaces
from numpy.typing import NDArray

from gym_multisim.errors import (
    ContractError,
)
from gym_multisim.pool.spaces import action_format, observation_tree
from gym_multisim.pool.trees import tree_leaves
from gym_multisim.simulator import (
    AgentGroup,
    Status,
)

ABSENT, ACTIVE = np.int8(Status.ABSENT), np.int8(Status.ACTIVE)
BoolArray = NDArray[np.bool_]


class GroupRules:
    """What the rows of one agent group may hold."""

    def __init__(self, group: AgentGroup) -> None:
        self.group = group
        leaves = tree_leaves(observation_tree(group.observation_space))
        flat = _flat_spaces(group.observation_space)
        self.leaves = [
            _LeafRule(leaf.path, space) for leaf, space in zip(leaves, flat, strict=True)
        ]
        self.branches = action_format(group.action_space).branches or ()
        self.starts = np.cumsum((0, *self.branches[:-1]))


class _LeafRule:
    """The numbers that one leaf of an observation may hold."""

    def __init__(self, path: str, space: Space[Any]) -> None:
        self.name = f" leaf {path!r}" if path else ""
        self.space = space
        self._low: Any = 0
        self._high: Any = 1
        if isinstance(space, spaces.Box):
            self._low, self._high = space.low, space.high
        elif isinstance(space, spaces.Discrete):
            self._low, self._high = space.start, space.start + space.n - 1
        elif isinstance(space, spaces.MultiDiscrete):
            self._low, self._high = space.start, space.start + space.nvec - 1

    def is_outside(self, values: NDArray[Any]) -> BoolArray:
        """Return where a number is below, above or none."""
        inside = (values >= self._low) & (values <= self._high)
        return np.asarray(~inside | ~np.isfinite(values))


def _flat_spaces(space: Space[Any]) -> Iterator[Space[Any]]:
    if isinstance(space, (spaces.Dict, spaces.Tuple)):
        inner = space.spaces.values() if isinstance(space, spaces.Dict) else space.spaces
        for part in inner:
            yield from _flat_spaces(part)
    else:
        yield space


def filler(dtype: np.dtype[Any], fill: int) -> Any:
    """Return an unlikely value; another one for another ``fill``."""
    if dtype.kind == "f":
        return np.nan
    if dtype.kind == "b":
        return bool(fill)
    return np.iinfo(dtype).min if fill else np.iinfo(dtype).max


def broken(name: str, what: str, expected: str, found: str, advice: str) -> NoReturn:
    """Raise `ContractError`: what is wrong, where, and what to do about it."""
    raise ContractError(
        f"Simulator {name!r} breaks its contract. {what}: expected {expected}; found {found}. "
        f"{advice}"
    )


def shown(array: NDArray[Any]) -> str:
    """Return an array as a message shows it: in short."""
    return np.array2string(np.asarray(array), threshold=12, separator=", ")


def bits(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the bytes of each row, so that even NaN equals itself and 0.0 is not -0.0."""
    return np.ascontiguousarray(array).reshape(len(array), -1).view(np.uint8)


def check_pickles(name: str, what: str, pickled: Callable[[], bytes]) -> None:
    """Raise `ContractError` if something that crosses processes cannot be pickled."""
    try:
        pickled()
    except Exception as error:
        raise ContractError(
            f"Simulator {name!r}: {what} cannot be sent to another process: expected what pickles, "
            f"found {type(error).__name__}: {error}. Keep locks, sockets and open files out of it; "
            "make them in open()."
        ) from error
