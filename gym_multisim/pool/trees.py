"""Observation trees: a leaf, or a dict or tuple of trees, as in Gymnasium's Dict and Tuple spaces.

Plain data that a worker can load without Gymnasium.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Leaf:
    """One array of an observation.

    Attributes:
        path: How a person would name it, such as ``camera[0]``; empty for a plain space.
        shape: The shape of one row's value.
        dtype: A NumPy dtype string.
    """

    path: str
    shape: tuple[int, ...]
    dtype: str


Tree = Any
"""A leaf, or ``dict[str, Tree]``, or ``tuple[Tree, ...]``."""


def tree_map(function: Callable[..., Any], tree: Tree, *others: Tree) -> Tree:
    """Apply ``function`` to the corresponding leaves of trees of one structure."""
    if isinstance(tree, dict):
        return {key: tree_map(function, tree[key], *(o[key] for o in others)) for key in tree}
    if isinstance(tree, tuple):
        return tuple(tree_map(function, *leaves) for leaves in zip(tree, *others, strict=True))
    return function(tree, *others)


def tree_leaves(tree: Tree) -> Iterator[Any]:
    """Yield the leaves in order."""
    if isinstance(tree, dict):
        for value in tree.values():
            yield from tree_leaves(value)
    elif isinstance(tree, tuple):
        for value in tree:
            yield from tree_leaves(value)
    else:
        yield tree
