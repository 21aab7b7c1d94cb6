"""A worker as its parent sees it: a process group, a channel, signals and a log."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

from gym_multisim.errors import (
    ServerError,
)
from gym_multisim.pool.channel import Channel
from gym_multisim.pool.scheduling import same_addresses
from gym_multisim.pool.signals import Countdown, Signal
from gym_multisim.servers.process import described_end

_LOG_TAIL_BYTES = 4096


_LOG_TAIL_LINES = 20


_REAP_TIMEOUT = 10.0  # a killed process ends at once, unless the kernel itself is stuck


# `-X` marks the interpreter as a worker, so that importing the package skips what only callers
# need; unlike an environment variable, the worker's own children do not inherit it. The import path
# is the caller's from the first import on: no file in the working folder can take another's name.
_WORKER_COMMAND = (
    *(sys.executable, "-X", "gym_multisim_worker", "-c"),
    "import sys; sys.path[:] = sys.argv.pop().split('\\n'); "
    "from gym_multisim.pool.worker import main; main()",
)


class WorkerProcess:
    """A worker as its parent sees it: a process group, a channel, signals and a log."""

    def __init__(
        self,
        server: int,
        done: Signal,
        countdown: Countdown,
        memory: int,
        log_directory: Path | None,
        inherit_output: bool,
        *,
        has_same_addresses: bool,
    ) -> None:
        self.server = server
        with contextlib.ExitStack() as passed_on, contextlib.ExitStack() as kept:
            self.go = Signal.create()
            kept.callback(self.go.close)
            ours, theirs = socket.socketpair()
            kept.callback(ours.close)
            passed_on.callback(theirs.close)
            self.channel = Channel(ours)
            self.channel_fd = ours.fileno()
            lifeline, ours_alive = os.pipe()
            kept.callback(_let_go, ours_alive)
            _lifelines.add(ours_alive)
            # Held here too, the reading end outlives its worker, so that the caller's death still
            # cuts the lifeline of whom a dead worker left behind. (Of what a dead process held,
            # Linux releases last what had the lowest number, and that is this end.)
            kept.callback(os.close, lifeline)
            self._log = kept.enter_context(_open_log(server, log_directory))
            signals = (self.go.read_fd, self.go.write_fd, done.read_fd, done.write_fd)
            fds = (theirs.fileno(), memory, lifeline)
            with same_addresses(has_same_addresses):
                self.popen = subprocess.Popen(
                    [
                        *_WORKER_COMMAND,
                        *map(str, (*fds, *signals, countdown.fd)),
                        _python_path(),
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=None if inherit_output else self._log,
                    stderr=None if inherit_output else self._log,
                    pass_fds={*fds, *signals, countdown.fd} - {-1},
                    start_new_session=True,
                    env=_worker_environment(),
                )
            self.exit_fd = -1
            if hasattr(os, "pidfd_open"):
                self.exit_fd = os.pidfd_open(self.popen.pid)
                kept.callback(os.close, self.exit_fd)
            self._kept = kept.pop_all()

    def wait_end(self, deadline: float) -> bool:
        """Wait until the process ends; return whether it did before the deadline."""
        try:
            self.popen.wait(max(deadline - time.monotonic(), 0.001))
        except subprocess.TimeoutExpired:
            return False
        return True

    def describe_end(self) -> str:
        """Say how the process ended, for an error message."""
        self.wait_end(time.monotonic() + 1.0)
        code = self.popen.returncode
        if code is None:
            return "closed its channel but still runs"
        if code >= 0:
            return f"ended by itself with exit code {code}"
        hint = " (often the kernel's answer to memory running out)" if code == -9 else ""
        return described_end(code) + hint

    def gone(self, kind: type[ServerError], what: str) -> ServerError:
        """Return the error that says how the process ended."""
        return kind(
            self.server, f"{what}: its worker {self.describe_end()}.", log_tail=self.log_tail()
        )

    def kill(self) -> None:
        """Kill the whole process group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.popen.pid, signal.SIGKILL)

    def reap(self) -> None:
        """Wait for the end of the killed worker, and close what belongs to it."""
        with self._kept:
            self.wait_end(time.monotonic() + _REAP_TIMEOUT)

    def log_tail(self) -> str:
        """Return the last lines of the log."""
        size = os.fstat(self._log.fileno()).st_size
        start = max(size - _LOG_TAIL_BYTES, 0)
        text = os.pread(self._log.fileno(), _LOG_TAIL_BYTES, start).decode(errors="replace")
        return "\n".join(text.splitlines()[-_LOG_TAIL_LINES:])


_lifelines: set[int] = set()
"""Descriptors whose closing ends a worker's process group."""


def _let_go(lifeline: int) -> None:
    _lifelines.discard(lifeline)
    os.close(lifeline)


def _forget_lifelines() -> None:
    """A forked child of the caller must not keep the caller's workers alive."""
    while _lifelines:
        os.close(_lifelines.pop())


os.register_at_fork(after_in_child=_forget_lifelines)


def _python_path() -> str:
    return "\n".join(path or os.getcwd() for path in sys.path)


def _worker_environment() -> dict[str, str]:
    """One thread per worker unless the user says otherwise: the workers are the parallelism."""
    environment = dict(os.environ)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        environment.setdefault(name, "1")
    return environment


def _open_log(server: int, directory: Path | None) -> IO[bytes]:
    if directory is None:
        return tempfile.TemporaryFile(buffering=0, prefix="gym-multisim-")  # has no name to leak
    directory.mkdir(parents=True, exist_ok=True)
    return (directory / f"server-{server}.log").open("w+b", buffering=0)
