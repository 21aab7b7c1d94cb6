"""How workers run: in this process, one after another, or as processes of their own.

A backend only starts, wakes, awaits and ends workers. What the commands mean is the pool's and the
worker's business; which rows exist is the layout's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gym_multisim.errors import (
    ServerError,
)
from gym_multisim.pool.buffers import (
    Command,
    Layout,
    StepBuffers,
)
from gym_multisim.pool.channel import RemoteError
from gym_multisim.simulator import SimulatorSpec


@dataclass(frozen=True)
class Timeouts:
    """Deadlines in seconds.

    Attributes:
        startup: From the start of a worker until its simulator is ready.
        step: One step of all arenas of a server.
        reset: One reset, and what it adds to the deadline of a step that resets arenas.
        stop: From the request to end until a worker is killed.
    """

    startup: float = 60.0
    step: float = 60.0
    reset: float = 60.0
    stop: float = 5.0


class Backend(Protocol):
    """What the pool needs of the way its workers run."""

    def open(self, wants_spec: bool) -> list[SimulatorSpec | None]:
        """Start all workers; return each one's spec if asked for."""

    def attach(self, layout: Layout, reseeds: bool, continuing: bool) -> StepBuffers:
        """Give every worker its buffers; return the caller's view of them."""

    def post(self, servers: Sequence[int], command: Command, request: Any = None) -> None:
        """Let workers begin a command."""

    def expect_each(self) -> None:
        """Let `wait` return for each worker, as all of the last `post` are no longer awaited."""

    def wait(self, timeout: float) -> None:
        """Block until all of the last `post` may have finished, or some worker has died.

        At most ``timeout`` seconds. After `expect_each`, until some worker may have finished.

        Raises:
            WorkerDiedError: A worker has ended.
        """

    def take_news(self, server: int, deadline: float) -> Any:
        """Return the news of a worker whose command ended well.

        Raises:
            SimulatorError: The command raised; carries the worker's traceback.
        """

    def pid(self, server: int) -> int:
        """Return the process id of a worker."""

    def memory(self, server: int) -> int:
        """Return the resident bytes of a worker and its children, or 0."""

    def log_tail(self, server: int) -> str:
        """Return the last lines of a server's log."""

    def close(self, grace: float) -> None:
        """Ask all workers to end, wait at most ``grace`` seconds, then kill what is left."""


def remote_error(
    kind: type[ServerError], server: int, what: str, error: RemoteError, log_tail: str
) -> ServerError:
    """Return the error that the caller sees for one that happened in a worker."""
    return kind(server, f"{what}: {error.summary}", worker_traceback=error.text, log_tail=log_tail)
