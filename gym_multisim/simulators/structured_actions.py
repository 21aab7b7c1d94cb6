"""Dict and Tuple actions as rows of bytes, which is all that a pool carries of them.

A pool moves one array of actions per agent group. `StructuredActions` is a Box of bytes that knows
the space they stand for: the face packs actions into it, the worker unpacks them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import Space, spaces
from numpy.typing import NDArray

from gym_multisim.errors import ActionError

_LEAVES = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)


class StructuredActions(spaces.Box):
    """The bytes of actions from a Dict or Tuple space.

    Attributes:
        space: The space that the bytes stand for.
    """

    def __init__(self, space: Space[Any]) -> None:
        self.space = space
        self._record = _record_of(space)
        super().__init__(0, 255, (self._record.itemsize,), np.uint8)

    @classmethod
    def where_needed(cls, space: Space[Any]) -> Space[Any]:
        """Return a space as it is, or its bytes if it is a Dict or Tuple of plain spaces."""
        return cls(space) if not isinstance(space, _LEAVES) and _is_fixed(space) else space

    def pack(self, actions: Any) -> NDArray[np.uint8]:
        """Return one row of bytes per action.

        Raises:
            ActionError: An action lacks a part, or has one of another shape.
        """
        records = np.zeros(len(actions), dtype=self._record)
        for number, action in enumerate(actions):
            try:
                _write(records[number : number + 1], self.space, action)
            except (KeyError, IndexError, TypeError, ValueError) as error:
                raise ActionError(
                    f"The action of environment {number} does not fit {self.space}: "
                    f"{type(error).__name__}: {error}"
                ) from error
        return records.view(np.uint8).reshape(len(actions), self._record.itemsize)

    def unpack(self, row: NDArray[np.uint8]) -> Any:
        """Return the action that a row of bytes stands for."""
        return _read(row.view(self._record), self.space)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StructuredActions) and self.space == other.space


def _is_fixed(space: Space[Any]) -> bool:
    if isinstance(space, (spaces.Dict, spaces.Tuple)):
        return all(_is_fixed(inner) for _, inner in _parts(space))
    return isinstance(space, _LEAVES)


def _parts(space: spaces.Dict | spaces.Tuple[Any]) -> list[tuple[Any, Space[Any]]]:
    inside = space.spaces
    return list(inside.items()) if isinstance(inside, dict) else list(enumerate(inside))


def _record_of(space: Space[Any]) -> np.dtype[Any]:
    """Return the NumPy record that holds one action; its fields are numbered."""
    if isinstance(space, (spaces.Dict, spaces.Tuple)):
        parts = enumerate(_parts(space))
        return np.dtype([(f"f{number}", _record_of(inner)) for number, (_, inner) in parts])
    return np.dtype((space.dtype, space.shape))


def _write(record: NDArray[Any], space: Space[Any], action: Any) -> None:
    if not isinstance(space, (spaces.Dict, spaces.Tuple)):
        if np.shape(action) != record.shape[1:]:  # NumPy would stretch it in silence
            raise ValueError(f"shape {np.shape(action)}, expected {record.shape[1:]}")
        record[0] = action
        return
    if len(action) != len(space.spaces):
        raise ValueError(f"{len(action)} parts, expected {len(space.spaces)}")
    for number, (key, inner) in enumerate(_parts(space)):
        _write(record[f"f{number}"], inner, action[key])


def _read(record: NDArray[Any], space: Space[Any]) -> Any:
    if not isinstance(space, (spaces.Dict, spaces.Tuple)):
        return record[0] if isinstance(space, spaces.Discrete) else record[0, ...].copy()
    parts = [
        (key, _read(record[f"f{number}"], inner))
        for number, (key, inner) in enumerate(_parts(space))
    ]
    return dict(parts) if isinstance(space, spaces.Dict) else tuple(part for _, part in parts)
