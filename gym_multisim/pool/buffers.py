"""StepBuffers: one anonymous block of shared memory that holds every array of a pool.

The block is described by a `Layout`, which is plain data, so that the caller and each worker build
the same views on it. A worker's slice of rows belongs to the caller from ``recv`` to ``send`` and
to the worker from ``send`` to ``recv``. Nothing is named: when the last process that maps the block
ends, however it ends, the memory is gone.
"""

from __future__ import annotations

import enum
import math
import mmap
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gym_multisim.pool.trees import Leaf, Tree, tree_map
from gym_multisim.simulator import GroupRows

_ALIGNMENT = 64  # a cache line, so that no two arrays share one
LATENCY_BUCKETS = 128


class Control(enum.IntEnum):
    """Columns of a worker's control words (int64)."""

    COMMAND = 0
    """What the caller asks for: a `Command`."""
    SENT = 1
    """Generation of the last command that was sent."""
    DONE = 2
    """Generation of the last command that was done: the worker's last write before it signals."""
    OUTCOME = 3
    """An `Outcome`."""
    NEWS = 4
    """Bytes of pickled news that follow on the socket; 0 almost always."""
    RESETTING = 5
    """1 from when a command begins to reset arenas to its end, for the choice of the deadline."""
    BONUS = 6
    """1 if ``bonus`` holds rewards to be added to this step (penalties of invalid actions)."""
    STEPS = 7
    """Steps that the worker has made."""
    EPISODES = 8
    """Episodes of rows that have ended."""
    BUSY_NS = 9
    """Nanoseconds spent in commands."""
    WAIT_NS = 10
    """Nanoseconds spent waiting for a command."""
    WIDTH = 16
    """Words per worker: two cache lines, so that workers do not slow each other."""


class Command(enum.IntEnum):
    """What the caller asks of a worker."""

    STEP = 1
    RESET = 2
    CALL = 3
    STOP = 4


class Outcome(enum.IntEnum):
    """How a command ended."""

    OK = 0
    ERROR = 1


@dataclass(frozen=True, eq=False)
class GroupLayout:
    """The arrays of one agent group: everything a worker must know about its spaces."""

    name: str
    agents: tuple[str, ...]
    observation: Tree
    action_shape: tuple[int, ...]
    action_dtype: str
    mask_width: int
    branches: tuple[int, ...]
    """Sizes of the parts of a mask, each of which must allow something; empty without masks."""
    idle_mask: NDArray[np.bool_] | None
    metrics: int

    def fields(self) -> Iterator[tuple[str, tuple[int, ...], str]]:
        """Yield name, shape of one row and dtype of each array except the observations."""
        yield "action", self.action_shape, self.action_dtype
        if self.mask_width:
            yield "action_mask", (self.mask_width,), "|b1"
        for name in ("terminated", "truncated", "episode_ended"):
            yield name, (), "|b1"
        yield "status", (), "|i1"
        for name in ("reward", "bonus", "episode_return", "episode_seconds"):
            yield name, (), "<f8"
        for name in ("identity", "episode_length"):
            yield name, (), "<i8"
        for name in ("metrics", "episode_metrics"):
            yield name, (self.metrics,), "<f4"


@dataclass(frozen=True)
class Layout:
    """What lies where in the block: plain data, equal in every process."""

    servers: int
    arenas: int
    groups: tuple[GroupLayout, ...]

    @property
    def size(self) -> int:
        """Bytes of the whole block."""
        cursor = _Cursor(None)
        _place(self, cursor)
        return cursor.offset


@dataclass
class GroupArrays:
    """All rows of one group in the pool (or in one server); arrays are ``(rows, …)``."""

    layout: GroupLayout
    observation: Tree
    final_observation: Tree
    action: NDArray[Any]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    episode_ended: NDArray[np.bool_]
    status: NDArray[np.int8]
    reward: NDArray[np.float64]
    bonus: NDArray[np.float64]
    episode_return: NDArray[np.float64]
    episode_seconds: NDArray[np.float64]
    identity: NDArray[np.int64]
    episode_length: NDArray[np.int64]
    metrics: NDArray[np.float32]
    episode_metrics: NDArray[np.float32]
    action_mask: NDArray[np.bool_] | None = None

    def __getitem__(self, rows: slice | NDArray[np.intp]) -> GroupArrays:
        """Return the same arrays restricted to some rows (views for a slice, else copies)."""
        return GroupArrays(
            self.layout,
            tree_map(lambda array: array[rows], self.observation),
            tree_map(lambda array: array[rows], self.final_observation),
            **{name: getattr(self, name)[rows] for name, _, _ in self.layout.fields()},
        )

    def as_rows(self, arenas: int) -> GroupRows:
        """Return the views that a simulator gets, shaped ``(arenas, agents, …)``."""
        agents = len(self.layout.agents)

        def shaped(array: NDArray[Any]) -> NDArray[Any]:
            return array.reshape(arenas, agents, *array.shape[1:])

        return GroupRows(
            observation=tree_map(shaped, self.observation),
            final_observation=tree_map(shaped, self.final_observation),
            action=shaped(self.action),
            action_mask=None if self.action_mask is None else shaped(self.action_mask),
            reward=shaped(self.reward),
            terminated=shaped(self.terminated),
            truncated=shaped(self.truncated),
            status=shaped(self.status),
            identity=shaped(self.identity),
            metrics=shaped(self.metrics),
        )


@dataclass
class StepBuffers:
    """Views on the whole block.

    Attributes:
        layout: What lies where.
        block: The memory itself.
        control: int64 words, `Control.WIDTH` per server, as a flat memoryview (quick to index).
        latency: Histogram of step durations per server, int64 ``(servers, LATENCY_BUCKETS)``.
        arena_key: uint64 per global arena: the root of its episodes' seeds.
        reset_seed: uint64 per global arena: the seed of the next reset that the caller asks for.
        reset_mask: bool per global arena: which arenas the caller wants to reset.
        episode: int64 per global arena: how many episodes it has begun.
        groups: The rows, by group name.
    """

    layout: Layout
    block: mmap.mmap
    control: memoryview
    latency: NDArray[np.int64]
    arena_key: NDArray[np.uint64]
    reset_seed: NDArray[np.uint64]
    reset_mask: NDArray[np.bool_]
    episode: NDArray[np.int64]
    groups: dict[str, GroupArrays]

    @classmethod
    def on(cls, layout: Layout, block: mmap.mmap) -> StepBuffers:
        """Build the views on a block of at least ``layout.size`` bytes."""
        return _place(layout, _Cursor(block))

    def server(self, index: int) -> ServerBuffers:
        """Return the part that belongs to one server."""
        arenas = slice(index * self.layout.arenas, (index + 1) * self.layout.arenas)
        groups = {}
        for name, group in self.groups.items():
            agents = len(group.layout.agents)
            groups[name] = group[slice(arenas.start * agents, arenas.stop * agents)]
        words = int(Control.WIDTH)
        return ServerBuffers(
            arenas=self.layout.arenas,
            control=self.control[index * words : (index + 1) * words],
            latency=self.latency[index],
            arena_key=self.arena_key[arenas],
            reset_seed=self.reset_seed[arenas],
            reset_mask=self.reset_mask[arenas],
            episode=self.episode[arenas],
            groups=groups,
        )


@dataclass
class ServerBuffers:
    """The part of the block that one worker reads and writes; see `StepBuffers`."""

    arenas: int
    control: memoryview
    latency: NDArray[np.int64]
    arena_key: NDArray[np.uint64]
    reset_seed: NDArray[np.uint64]
    reset_mask: NDArray[np.bool_]
    episode: NDArray[np.int64]
    groups: dict[str, GroupArrays]


def create_memory_file() -> int:
    """Return a descriptor of an anonymous file in memory that other processes can inherit."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("gym-multisim")
    with tempfile.TemporaryFile() as file:  # no memfd (macOS): a file that has no name any more
        return os.dup(file.fileno())


class _Cursor:
    """Hands out consecutive arrays of a block, or only counts their bytes if there is none."""

    def __init__(self, block: mmap.mmap | None) -> None:
        self.block = block
        self.offset = 0

    def take(self, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
        start = self.offset
        kind = np.dtype(dtype)
        size = math.prod(shape) * kind.itemsize
        self.offset += -(-size // _ALIGNMENT) * _ALIGNMENT
        if self.block is None:
            return np.empty((0,), dtype=kind)
        return np.ndarray(shape, kind, self.block, start)


def _place(layout: Layout, cursor: _Cursor) -> StepBuffers:
    arenas = layout.servers * layout.arenas
    control = cursor.take((layout.servers * int(Control.WIDTH),), "<i8")
    latency = cursor.take((layout.servers, LATENCY_BUCKETS), "<i8")
    arena_key = cursor.take((arenas,), "<u8")
    reset_seed = cursor.take((arenas,), "<u8")
    reset_mask = cursor.take((arenas,), "|b1")
    episode = cursor.take((arenas,), "<i8")
    groups = {}
    for group in layout.groups:
        rows = arenas * len(group.agents)

        def take_leaf(leaf: Leaf, rows: int = rows) -> NDArray[Any]:
            return cursor.take((rows, *leaf.shape), leaf.dtype)

        groups[group.name] = GroupArrays(
            group,
            tree_map(take_leaf, group.observation),
            tree_map(take_leaf, group.observation),
            **{name: cursor.take((rows, *shape), dtype) for name, shape, dtype in group.fields()},
        )
    return StepBuffers(
        layout,
        cursor.block,  # type: ignore[arg-type]  # None only while the size is counted
        memoryview(control.data).cast("B").cast("q")
        if cursor.block is not None
        else memoryview(b""),
        latency,
        arena_key,
        reset_seed,
        reset_mask,
        episode,
        groups,
    )
