"""Every error this package raises on purpose.

    MultiSimError
    ├── ConfigError            a setting, name or number that cannot be used (also a ValueError)
    ├── MissingExtraError      an optional library or program is not installed (also an ImportError)
    ├── InstallError           the programs of a simulator could not be installed
    ├── SpaceError             a space that shared memory cannot hold (also a ValueError)
    ├── ActionError            wrong shape, dtype or range, or a masked action (also a ValueError)
    ├── UsageError             a call that makes no sense now, such as ``step`` before ``reset``
    │   └── ClosedError        the pool or environment was closed
    ├── ContractError          a simulator that breaks its own specification
    ├── PortInUseError         a port that was asked for by number is taken
    └── ServerError            one simulator server failed; has its index, traceback and log tail
        ├── StartupError       it did not become ready
        ├── SimulatorError     its code raised an exception
        ├── WorkerDiedError    its process ended: an exit code, or a signal
        └── ServerTimeoutError it did not answer in time (also a TimeoutError)

Every message says what happened, where, what was expected, what was found and what to try.

`SimulatorWarning` is for what a simulator's user should know though nothing failed.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class MultiSimError(Exception):
    """The base of every error that gym_multisim raises on purpose."""


class SimulatorWarning(UserWarning):
    """What a simulator's user should know; from ``Simulator.open``, it reaches the caller."""


class ConfigError(MultiSimError, ValueError):
    """A setting, a name or a number that cannot be used."""


class MissingExtraError(MultiSimError, ImportError):
    """An optional library or program is missing; the message says what to install."""


class InstallError(MultiSimError):
    """The programs of a simulator could not be installed; the message shows the end of the log."""


class SpaceError(MultiSimError, ValueError):
    """A space that has no fixed size, so shared memory cannot hold it."""


class ActionError(MultiSimError, ValueError):
    """Actions of the wrong shape, dtype or range, or an action that its mask forbids."""


class UsageError(MultiSimError, RuntimeError):
    """A call that makes no sense in the present state, such as ``step`` before ``reset``."""


class ClosedError(UsageError):
    """The pool or environment was closed and cannot be used again."""


class ContractError(MultiSimError):
    """A simulator that does not do what its own specification says."""


class PortInUseError(MultiSimError, OSError):
    """A port that was asked for by number is in use already."""


class ServerError(MultiSimError):
    """One simulator server failed.

    Attributes:
        server: The server's index in the pool.
        worker_traceback: The traceback from the worker process, or an empty string.
        log_tail: The last lines that the server wrote, or an empty string.
    """

    def __init__(
        self, server: int, what: str, *, worker_traceback: str = "", log_tail: str = ""
    ) -> None:
        self.server = server
        self.worker_traceback = worker_traceback.rstrip()
        self.log_tail = log_tail.rstrip()
        parts = [f"Simulator server {server} {what}"]
        if self.worker_traceback:
            parts.append(f"Traceback from its worker:\n{_indent(self.worker_traceback)}")
        if self.log_tail:
            parts.append(f"The end of its log:\n{_indent(self.log_tail)}")
        self._what = what
        super().__init__("\n".join(parts))

    def __reduce__(self) -> tuple[Any, ...]:
        """Let it be pickled: futures and joblib carry errors between processes."""
        return _rebuilt, (type(self), self.server, self._what, self.worker_traceback, self.log_tail)


class StartupError(ServerError):
    """A simulator server did not become ready."""


class SimulatorError(ServerError):
    """The simulator's own code raised an exception in its worker."""


class WorkerDiedError(ServerError):
    """A worker process ended by itself or by a signal."""


class ServerTimeoutError(ServerError, TimeoutError):
    """A simulator server did not answer before its deadline."""


def _rebuilt(
    kind: type[ServerError], server: int, what: str, worker_traceback: str, log_tail: str
) -> ServerError:
    return kind(server, what, worker_traceback=worker_traceback, log_tail=log_tail)


def nearest_name(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the most similar known name, else an empty string."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean {matches[0]!r}?" if matches else ""


def _indent(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
