"""An external simulator program: start it, wait until it answers, stop it.

Stopping is always the same: ask, wait a set grace, kill, reap. The program joins its worker's
process group and inherits its lifeline, so that it also ends when nobody is left to stop it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from gym_multisim.errors import StartupError
from gym_multisim.simulator import ServerContext

_FIRST_POLL_DELAY = 0.002
_LONGEST_POLL_DELAY = 0.1


def described_end(code: int) -> str:
    """Say what an exit code means: ``ended with exit code 1`` or ``was killed by SIGKILL``."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


class ServerProcess:
    """One running program that belongs to a simulator server.

    Args:
        context: The server's context; the program is stopped when its resources unwind, and
            writes to its log.
        command: The program and its arguments.
        environment: Additional environment variables.
        directory: Where it runs; None keeps the worker's.
        pass_fds: Descriptors that it inherits under their own numbers.
        stop_timeout: Seconds between asking it to end (SIGTERM) and killing it.

    Raises:
        StartupError: The program could not be started at all.
    """

    def __init__(
        self,
        context: ServerContext,
        command: Sequence[str | Path],
        *,
        environment: Mapping[str, str] | None = None,
        directory: str | Path | None = None,
        pass_fds: Sequence[int] = (),
        stop_timeout: float = 2.0,
    ) -> None:
        self._server = context.server
        self._command = [str(word) for word in command]
        self._stop_timeout = stop_timeout
        keep = () if context.lifeline_fd is None else (context.lifeline_fd,)
        try:
            self._popen = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=context.log_fd,
                stderr=context.log_fd,
                cwd=directory,
                env={**os.environ, **(environment or {})},
                pass_fds=(*keep, *pass_fds),
            )
        except OSError as error:
            raise StartupError(
                self._server,
                f"could not start its program {self._command[0]!r}: {error}. Check that it is "
                "installed and can be executed.",
            ) from error
        context.resources.callback(self.stop)

    @property
    def pid(self) -> int:
        """The program's process id."""
        return self._popen.pid

    @property
    def is_running(self) -> bool:
        """Whether the program has not ended."""
        return self._popen.poll() is None

    def wait_ready(self, is_ready: Callable[[], bool], timeout: float) -> None:
        """Ask again and again, ever less often, until the program is ready.

        Args:
            is_ready: Returns whether it is; must not block for long.
            timeout: Seconds.

        Raises:
            StartupError: It ended, or was not ready in time.
        """
        deadline = time.monotonic() + timeout
        delay = _FIRST_POLL_DELAY
        while not is_ready():
            if not self.is_running:
                raise StartupError(
                    self._server,
                    f"did not start: {self._command[0]!r} "
                    f"{described_end(self._popen.returncode)} before it was ready.",
                )
            if time.monotonic() >= deadline:
                raise StartupError(
                    self._server,
                    f"did not start: {self._command[0]!r} runs but was not ready within "
                    f"{timeout:g} s.",
                )
            time.sleep(delay)
            delay = min(delay * 1.5, _LONGEST_POLL_DELAY)

    def connect(self, port: int, timeout: float) -> socket.socket:
        """Wait until the program listens on a port of loopback, and return a connection to it.

        Small messages are sent at once (``TCP_NODELAY``).

        Raises:
            StartupError: It ended, or did not listen in time.
        """
        connections: list[socket.socket] = []

        def is_listening() -> bool:
            with contextlib.suppress(ConnectionRefusedError):
                connections.append(socket.create_connection(("127.0.0.1", port), timeout=timeout))
                return True
            return False

        self.wait_ready(is_listening, timeout)
        connections[0].settimeout(None)
        connections[0].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connections[0]

    def wait(self, timeout: float) -> int | None:
        """Wait for the program to end; return its exit code, or None if it still runs."""
        try:
            return self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def stop(self) -> None:
        """Ask the program to end, wait, kill it if need be, and reap it; safe to call again."""
        if self._popen.poll() is not None:
            return
        self._popen.terminate()
        try:
            self._popen.wait(self._stop_timeout)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
