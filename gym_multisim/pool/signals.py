"""Waking another process, and dying with one: eventfds, pipes and the lifeline.

A `Signal` is a counter that one side raises and the other waits for. On Linux it is an eventfd;
elsewhere a pipe. A `Countdown` lets the last of several processes wake the one that waits for all.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import signal
import threading
from collections.abc import Callable

_HAS_EVENTFD = hasattr(os, "eventfd")


class Signal:
    """A wake-up call between two processes that share its descriptors."""

    def __init__(self, read_fd: int, write_fd: int) -> None:
        self.read_fd = read_fd
        self.write_fd = write_fd
        self._is_eventfd = read_fd == write_fd
        self.set: Callable[[], object] = (
            functools.partial(os.eventfd_write, write_fd, 1)
            if self._is_eventfd
            else functools.partial(os.write, write_fd, b"\x01")
        )
        """Wake whoever waits, now or at their next wait."""

    @classmethod
    def create(cls) -> Signal:
        """Make a new one; its descriptors are inherited only where they are passed on."""
        if _HAS_EVENTFD:
            fd = os.eventfd(0)
            return cls(fd, fd)
        return cls(*os.pipe())

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


class Countdown:
    """Tells the last of several processes that it is the last.

    It holds a ticket for each of them but one, and whoever finishes takes a ticket: who finds none
    is the last, or nobody counts at present. Tickets too few only wake the waiting process early;
    tickets too many would leave it asleep, so `clear` takes all away where not all are waited for.

    Only where there are eventfds; elsewhere everybody is the last.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._is_counting = False

    @classmethod
    def create(cls) -> Countdown:
        """Make a new one; its descriptor is inherited only where it is passed on."""
        return cls(os.eventfd(0, os.EFD_NONBLOCK | os.EFD_SEMAPHORE) if _HAS_EVENTFD else -1)

    def start(self, count: int) -> None:
        """Let the last of ``count`` processes know, once."""
        if self.fd >= 0 and count > 1:
            self._is_counting = True
            os.eventfd_write(self.fd, count - 1)

    def clear(self) -> None:
        """From now on everybody is the last, until the next start."""
        if self._is_counting:
            with contextlib.suppress(BlockingIOError):
                while True:
                    os.eventfd_read(self.fd)
            self._is_counting = False

    def is_last(self) -> bool:
        """Take a ticket; return whether there was none."""
        if self.fd < 0:
            return True
        try:
            os.eventfd_read(self.fd)
        except BlockingIOError:
            return True
        return False

    def close(self) -> None:
        """Close this process's descriptor."""
        if self.fd >= 0:
            with contextlib.suppress(OSError):
                os.close(self.fd)


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
