"""Which cores there are for workers, and how many workers share few of them well."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator

_ADDR_NO_RANDOMIZE = 0x0040000  # <sys/personality.h>
_ONLY_ASK = 0xFFFFFFFF


def available_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextlib.contextmanager
def same_addresses(wanted: bool) -> Iterator[None]:
    """Give the programs that this thread starts meanwhile the same memory addresses, if wanted.

    Linux gives each program random addresses. Processors remember branches by address, so that of
    several processes that run the same code at different addresses and take turns on a core, each
    finds nothing of what the others just taught it. Where the kernel has no such thing, or a
    container forbids it, nothing happens.
    """
    before = _personality(_ONLY_ASK) if wanted else -1
    if before >= 0:
        _personality(before | _ADDR_NO_RANDOMIZE)
    try:
        yield
    finally:
        if before >= 0:
            _personality(before)


def let_servers_differ() -> None:
    """Give the programs that this process starts from now on random addresses again.

    Random addresses protect programs that strangers may send data to, as simulator servers are.
    """
    now = _personality(_ONLY_ASK)
    if now >= 0 and now & _ADDR_NO_RANDOMIZE:
        _personality(now & ~_ADDR_NO_RANDOMIZE)


def _personality(value: int) -> int:
    if sys.platform != "linux":
        return -1
    return int(ctypes.CDLL(None).personality(ctypes.c_ulong(value)))
