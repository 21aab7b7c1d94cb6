"""Port leases: free ports on loopback that several runs on one machine do not fight over."""

from __future__ import annotations

import socket
import sys
from contextlib import ExitStack

from gym_multisim.errors import ConfigError, PortInUseError

_LOOPBACK = "127.0.0.1"


def lease_port(resources: ExitStack, port: int | None = None) -> int:
    """Return a port that nobody uses, and keep other leases off it until ``resources`` unwinds.

    The lease is an abstract Unix socket named after the port: the kernel drops it with its owner,
    however that ends, and it leaves no file. (Outside Linux there are none; then the port is only
    tried.)

    Args:
        resources: What ends the lease.
        port: The port that must be had, or None for any.

    Raises:
        PortInUseError: The port that was asked for is leased or bound already.
        ConfigError: It is no port at all.
    """
    if port is not None:
        if not 0 < port < 65536:
            raise ConfigError(f"port is {port}: expected a number from 1 to 65535.")
        if not _take(resources, port):
            raise PortInUseError(
                f"Port {port} on {_LOOPBACK} is in use already, by another program or another run "
                "of gym_multisim. Stop that program, or choose another port, or none at all to "
                "have a free one leased."
            )
        return port
    for _ in range(100):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind((_LOOPBACK, 0))
            candidate: int = probe.getsockname()[1]
        if _take(resources, candidate):
            return candidate
    raise PortInUseError(
        f"No free port was found on {_LOOPBACK} in 100 tries: expected the operating system to "
        "have one. See which programs hold so many (for instance with `ss -ltn`)."
    )


def _take(resources: ExitStack, port: int) -> bool:
    if sys.platform == "linux":
        lease = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            lease.bind(f"\0gym-multisim-port-{port}")
        except OSError:
            lease.close()
            return False
        if not _is_free(port):
            lease.close()
            return False
        resources.callback(lease.close)
        return True
    return _is_free(port)


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_LOOPBACK, port))
        except OSError:
            return False
    return True
