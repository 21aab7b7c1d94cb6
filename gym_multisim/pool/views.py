"""The rows of some of a pool's workers, as batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from gym_multisim.pool.batch import Batch
from gym_multisim.pool.buffers import StepBuffers

Workers = Sequence[int] | NDArray[np.intp]


class BatchViews:
    """Hands out batches of any workers' rows: views where the rows lie together, else copies.

    Those of all workers and of each are built once, since they are handed out again and again.

    Args:
        buffers: All rows.
        rows_per_server: By group, how many rows one server has.

    Attributes:
        everyone: The rows of all workers.
    """

    def __init__(self, buffers: StepBuffers, rows_per_server: Mapping[str, int]) -> None:
        self._buffers = buffers
        self._rows_per_server = rows_per_server
        servers = buffers.layout.servers
        self._each = [self._view(slice(server, server + 1)) for server in range(servers)]
        rows = {name: np.arange(servers * n) for name, n in rows_per_server.items()}
        self.everyone = Batch(np.arange(servers), rows, buffers.groups)

    def of(self, workers: Workers) -> Batch:
        """Return the rows of some workers, given in ascending order."""
        if len(workers) == len(self._each):
            return self.everyone
        if len(workers) == 1:
            return self._each[int(workers[0])]
        chosen = np.asarray(workers, dtype=np.intp)
        if len(chosen) and int(chosen[-1]) - int(chosen[0]) == len(chosen) - 1:
            return self._view(slice(int(chosen[0]), int(chosen[-1]) + 1))
        rows = self.rows_of(chosen)
        groups = {name: self._buffers.groups[name][index] for name, index in rows.items()}
        return Batch(chosen, rows, groups)

    def rows_of(self, workers: Workers) -> dict[str, NDArray[np.intp]]:
        """Return the row numbers of some workers, by group."""
        if len(workers) == 1:
            return self._each[int(workers[0])].rows
        chosen = np.asarray(workers, dtype=np.intp)
        return {
            name: (chosen[:, None] * n + np.arange(n)).ravel()
            for name, n in self._rows_per_server.items()
        }

    def _view(self, servers: slice) -> Batch:
        slices = {
            name: slice(servers.start * n, servers.stop * n)
            for name, n in self._rows_per_server.items()
        }
        return Batch(
            np.arange(servers.start, servers.stop),
            {name: np.arange(s.start, s.stop) for name, s in slices.items()},
            {name: self._buffers.groups[name][s] for name, s in slices.items()},
        )
