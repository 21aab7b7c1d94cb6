"""Messages between the caller and a worker that are not rows: set-up, calls, news, errors.

A message is eight bytes of length and a pickle, on a stream socket.
"""

from __future__ import annotations

import io
import operator
import pickle
import socket
import struct
import sys
import time
import traceback
import types
from dataclasses import dataclass
from typing import Any

_LENGTH = struct.Struct("<Q")


class Channel:
    """One end of a stream socket that carries pickled messages."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    def send(self, message: bytes, deadline: float | None = None) -> None:
        """Send a message that `encode` made.

        Raises:
            TimeoutError: The peer took none of it before the deadline (``time.monotonic``).
            OSError: The peer is gone.
        """
        self._socket.settimeout(_left(deadline))
        self._socket.sendall(message)

    def receive(self, deadline: float | None = None) -> Any:
        """Return the next message.

        Raises:
            TimeoutError: It was not whole before the deadline (``time.monotonic``).
            EOFError: The peer is gone.
        """
        (length,) = _LENGTH.unpack(self._receive_exactly(_LENGTH.size, deadline))
        return pickle.loads(self._receive_exactly(length, deadline))

    def close(self) -> None:
        """Close this end."""
        self._socket.close()

    def _receive_exactly(self, count: int, deadline: float | None) -> bytearray:
        data = bytearray(count)
        view = memoryview(data)
        while view:
            self._socket.settimeout(_left(deadline))
            received = self._socket.recv_into(view)
            if not received:
                raise EOFError("the other end of the channel was closed")
            view = view[received:]
        return data


def encode(value: Any) -> bytes:
    """Return the bytes of a message."""
    try:
        data = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    except Exception:  # what a script or a function defines; rare, so it may cost more
        data = _dumps_defined_by_caller(value)
    return _LENGTH.pack(len(data)) + data


def encode_request(value: Any) -> bytes:
    """Return the bytes of a message to a worker, where the caller's ``__main__`` is unknown."""
    import cloudpickle

    data: bytes = cloudpickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(data)) + data


def _dumps_defined_by_caller(value: Any) -> bytes:
    """Pickle in a worker what refers to the caller's ``__main__``, or to local definitions."""
    import cloudpickle

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
        def reducer_override(self, obj: Any) -> Any:
            is_definition = isinstance(obj, type | types.FunctionType)
            if is_definition and obj.__module__ == "__main__" and "<" not in obj.__qualname__:
                return _found_in_main, (obj.__qualname__,)
            return super().reducer_override(obj)

    file = io.BytesIO()
    Pickler(file, protocol=pickle.HIGHEST_PROTOCOL).dump(value)
    return file.getvalue()


def _found_in_main(name: str) -> Any:
    """Return what the caller's script defines under a name, rather than a copy of it."""
    return operator.attrgetter(name)(sys.modules["__main__"])


@dataclass(frozen=True)
class RemoteError:
    """An exception on its way from a worker to the caller.

    Attributes:
        text: Its traceback.
        summary: Its last line, such as ``ValueError: no``.
        pickled: The exception itself, or None if it cannot be pickled.
    """

    text: str
    summary: str
    pickled: bytes | None

    @classmethod
    def of(cls, error: BaseException) -> RemoteError:
        """Describe an exception that was just caught."""
        try:
            data = pickle.dumps(error)
            pickle.loads(data)  # some exceptions can be written but not read back
            pickled: bytes | None = data
        except Exception:
            pickled = _pickled_by_value(error)
        summary = traceback.format_exception_only(type(error), error)[-1].strip()
        return cls("".join(traceback.format_exception(error)), summary, pickled)

    def original(self) -> BaseException | None:
        """Return the exception itself where it can be rebuilt here."""
        if self.pickled is None:
            return None
        try:
            error = pickle.loads(self.pickled)
        except Exception:
            return None
        return error if isinstance(error, BaseException) else None


def _pickled_by_value(error: BaseException) -> bytes | None:
    try:
        return _dumps_defined_by_caller(error)
    except Exception:
        return None


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(deadline - time.monotonic(), 1e-3)
