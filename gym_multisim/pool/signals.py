"""Waking another process, and dying with one: eventfds, pipes and the lifeline.

A `Signal` is a counter that one side raises and the other waits for. On Linux it is an eventfd;
elsewhere a pipe.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import threading

_HAS_EVENTFD = hasattr(os, "eventfd")


class Signal:
    """A wake-up call between two processes that share its descriptors."""

    def __init__(self, read_fd: int, write_fd: int) -> None:
        self.read_fd = read_fd
        self.write_fd = write_fd
        self._is_eventfd = read_fd == write_fd

    @classmethod
    def create(cls) -> Signal:
        """Make a new one; its descriptors are inherited only where they are passed on."""
        if _HAS_EVENTFD:
            fd = os.eventfd(0)
            return cls(fd, fd)
        return cls(*os.pipe())

    def set(self) -> None:
        """Wake whoever waits, now or at their next wait."""
        if self._is_eventfd:
            os.eventfd_write(self.write_fd, 1)
        else:
            os.write(self.write_fd, b"\x01")

    def wait(self) -> None:
        """Block until it is set, and clear it."""
        if self._is_eventfd:
            os.eventfd_read(self.read_fd)
        elif not os.read(self.read_fd, 4096):
            raise EOFError("every writer of this signal is gone")

    def fds(self) -> tuple[int, ...]:
        """The descriptors that a child must inherit."""
        return (self.read_fd,) if self._is_eventfd else (self.read_fd, self.write_fd)

    def close(self) -> None:
        """Close this process's descriptors."""
        for fd in {self.read_fd, self.write_fd}:
            with contextlib.suppress(OSError):
                os.close(fd)


def die_with_parent(lifeline: int) -> None:
    """Kill this process's whole group as soon as the other end of a pipe is closed.

    Linux delivers the kill itself when the last writer is gone (``fcntl(2)``: ``O_ASYNC``,
    ``F_SETOWN`` with a process group, ``F_SETSIG``), so that it also ends a group that is stopped,
    or whose interpreter is stuck in foreign code. Elsewhere a thread waits for the end of the pipe.
    """
    if hasattr(fcntl, "F_SETSIG"):
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
        flags = fcntl.fcntl(lifeline, fcntl.F_GETFL)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, flags | os.O_ASYNC | os.O_NONBLOCK)
        with contextlib.suppress(BlockingIOError):  # the parent may have gone before we armed it
            if os.read(lifeline, 1) == b"":
                os.killpg(0, signal.SIGKILL)
    else:

        def watch() -> None:
            os.read(lifeline, 1)
            os.killpg(0, signal.SIGKILL)

        threading.Thread(target=watch, daemon=True, name="lifeline").start()
