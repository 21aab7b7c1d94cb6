"""Ctrl-C and SIGTERM as a wish to stop: the first one ends learning after the step under way."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any


class Stopped(KeyboardInterrupt):
    """A signal asked for the end, at once.

    Attributes:
        signal_number: Which one.
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signal_number).name}")
        self.signal_number = signal_number


class Interruption:
    """Handles SIGINT and SIGTERM while it is entered; only the main thread can, others do nothing.

    Inside `deferred`, the first signal only sets `requested_by`. A second one, and any outside of
    it, raises `Stopped`.

    Args:
        announce: Called when a request to stop is noted, in a thread of its own.

    Attributes:
        requested_by: The first signal that came, or None.
    """

    def __init__(self, announce: Callable[[], None]) -> None:
        self._announce = announce
        self.requested_by: signal.Signals | None = None
        self._is_deferred = False
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interruption:
        """Take over both signals."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give both signals back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Let the first signal wait until whoever reads `requested_by` has finished."""
        self._is_deferred = True
        try:
            yield
        finally:
            self._is_deferred = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        is_first = self.requested_by is None
        self.requested_by = signal.Signals(number)
        if not (self._is_deferred and is_first):
            raise Stopped(number)
        # Not here: the signal may have interrupted a print, and printing is not reentrant.
        threading.Thread(target=self._announce, name="announce").start()
