"""What a pool tells of its workers: an immutable record for each, and latency percentiles."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gym_multisim.pool.buffers import LATENCY_BUCKETS

_FIRST_OCTAVE = 10  # durations below 2**10 ns, about a microsecond, share the first bucket


class WorkerState(enum.Enum):
    """Where a worker is in its life."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FATAL = "fatal"


@dataclass(frozen=True)
class WorkerStatistics:
    """One worker, as it was when `SimulatorPool.statistics` was called.

    Attributes:
        server: Its index.
        state: Where it is in its life.
        pid: Its process id; the caller's own for the inline backend.
        steps: Steps made, each of all its arenas.
        episodes: Episodes of rows that ended.
        busy_seconds: Time spent in commands.
        wait_seconds: Time spent waiting for commands.
        step_p50: Median duration of a step, seconds; NaN before the first.
        step_p99: 99th percentile of the same.
        memory_bytes: Resident memory of the worker and its children; 0 if it cannot be read.
    """

    server: int
    state: WorkerState
    pid: int
    steps: int
    episodes: int
    busy_seconds: float
    wait_seconds: float
    step_p50: float
    step_p99: float
    memory_bytes: int


@dataclass(frozen=True)
class PoolStatistics:
    """A pool, as it was when `SimulatorPool.statistics` was called.

    Attributes:
        workers: One record per worker.
        invalid_actions: Actions that were replaced under ``penalize`` or ``resample``.
    """

    workers: tuple[WorkerStatistics, ...]
    invalid_actions: int


def latency_bucket(nanoseconds: int) -> int:
    """Return the histogram bucket of a duration: four buckets for each doubling."""
    octave = nanoseconds.bit_length()
    if octave <= _FIRST_OCTAVE:
        return 0
    bucket = ((octave - _FIRST_OCTAVE) << 2) | ((nanoseconds >> (octave - 3)) & 3)
    return min(bucket, LATENCY_BUCKETS - 1)


def latency_percentile(histogram: NDArray[np.int64], percent: float) -> float:
    """Return a percentile of the recorded durations in seconds, exact to about a tenth."""
    total = int(histogram.sum())
    if total == 0:
        return float("nan")
    bucket = int(np.searchsorted(np.cumsum(histogram), total * percent / 100.0))
    octave, quarter = divmod(min(bucket, LATENCY_BUCKETS - 1), 4)
    return float(2.0 ** (octave + _FIRST_OCTAVE - 1) * (1.0 + (quarter + 0.5) / 4.0) * 1e-9)
