"""Copies of shared memory that the caller may keep, without fresh pages for each one."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gym_multisim.pool.trees import Tree, tree_map

_SMALL = 64 * 1024  # below, NumPy's allocator reuses memory by itself
_KEPT = 6


class Copier:
    """Hands out copies of one array; reuses the memory of copies that nobody holds any more.

    Fresh large arrays cost a page fault per 4 KiB, several times the copy itself. A learner holds
    two or three batches at a time, so a few buffers serve it for ever; a caller that keeps every
    batch gets fresh ones.
    """

    def __init__(self) -> None:
        self._kept: list[NDArray[Any]] = []

    def copy(self, source: NDArray[Any]) -> NDArray[Any]:
        """Return a copy of ``source`` that belongs to the caller."""
        if source.nbytes < _SMALL:
            return source.copy()
        for index in range(len(self._kept)):
            # Two references: our list's and getrefcount's argument. A view, a tensor or a variable
            # of the caller's would add one.
            if sys.getrefcount(self._kept[index]) == 2:
                reused = self._kept[index]
                if reused.shape == source.shape and reused.dtype == source.dtype:
                    np.copyto(reused, source)
                    return reused
        fresh = source.copy()
        if len(self._kept) >= _KEPT:
            self._kept.pop(0)
        self._kept.append(fresh)
        return fresh


class TreeCopier:
    """A `Copier` for each leaf of an observation."""

    def __init__(self, tree: Tree) -> None:
        self._copiers = tree_map(lambda _: Copier(), tree)

    def copy(self, tree: Tree) -> Tree:
        """Return a copy of the tree that belongs to the caller."""
        return tree_map(lambda copier, array: copier.copy(array), self._copiers, tree)


def own_row(leaf: NDArray[Any], row: int) -> Any:
    """Return a copy of one row; a whole number is a Python int, as most environments return it."""
    value = leaf[row]
    return int(value) if isinstance(value, np.integer) else np.array(value)
