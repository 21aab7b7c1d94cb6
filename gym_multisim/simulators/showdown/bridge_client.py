"""The Python end of the bridge: binary frames to and from one Node process.

The frames are described at the head of ``bridge/main.js``.
"""

from __future__ import annotations

import itertools
import json
import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gym_multisim.errors import ConfigError, ContractError, MultiSimError, nearest_name
from gym_multisim.servers.node import find_node
from gym_multisim.servers.process import ServerProcess, described_end
from gym_multisim.simulator import ServerContext

PROGRAM = Path(__file__).parent / "bridge"
_END_TIMEOUT = 2.0  # from the end of its connection to that of the process
# V8 would rather take memory than collect garbage. A young generation of 8 MB each half and an old
# one that grows by 30% at a time save 200 MB where 33 battles are hosted, and slow it hardly.
_SMALL = ("--max-semi-space-size=8", "--heap-growing-percent=30")
_HEADER = struct.Struct("<IB")
_RESET = np.dtype([("arena", "<u4"), ("seed", "<u8")])


class BridgeError(MultiSimError):
    """The bridge reported an error of its own; the message has its stack."""


@dataclass
class BattleRows:
    """What the bridge says of some arenas, in the order they were asked for; n rows each.

    Attributes:
        observation: float32 ``(n, size)``; the array that was given to be written, or a new one.
        mask: bool ``(n, actions)``; the array that was given to be written, or a new one.
        reward: float32 ``(n,)``.
        metrics: float32 ``(n, metrics)``.
        terminated: bool ``(n,)``.
        truncated: bool ``(n,)``.
        status: int8 ``(n,)``.
    """

    observation: NDArray[np.float32]
    mask: NDArray[np.bool_]
    reward: NDArray[np.float32]
    metrics: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    status: NDArray[np.int8]


class Bridge:
    """One bridge process and the connection to it.

    Args:
        context: The server's context: the process belongs to it.
        settings: What ``main.js`` is told at first.

    Raises:
        ConfigError: The format is unknown, or not served.
        StartupError: Node could not be started.
    """

    def __init__(self, context: ServerContext, settings: dict[str, Any]) -> None:
        ours, theirs = socket.socketpair()
        context.resources.callback(ours.close)
        with theirs:
            self._process = ServerProcess(
                context,
                [find_node().program, *_SMALL, PROGRAM / "main.js", str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
            )
        self._socket = ours
        self._seats = 2 if settings["opponent"] == "self" else 1
        self._send(b"H", json.dumps(settings).encode())
        try:
            hello = self._receive_json()
        except BridgeError as error:
            raise _format_error(settings["format"], error) from None
        self.features: list[dict[str, Any]] = hello["features"]
        self.size: int = hello["size"]
        self.metrics: tuple[str, ...] = tuple(hello["metrics"])
        self.version: str = hello["version"]
        self.tables: str = hello["tables"]
        self.actions: int = hello["actions"]

    def reset(
        self,
        arenas: NDArray[np.intp],
        seeds: NDArray[np.uint64],
    ) -> BattleRows:
        """Begin battles; see `step` for the result."""
        self._send(b"R", self._seeded(arenas, seeds))
        return self._receive_rows(len(arenas), None, None)

    def step(
        self,
        arenas: NDArray[np.intp],
        actions: NDArray[np.integer[Any]],
        observation: NDArray[np.float32] | None = None,
        mask: NDArray[np.bool_] | None = None,
    ) -> BattleRows:
        """Advance battles to the next decision.

        Args:
            arenas: Which, shape ``(k,)``.
            actions: Joint actions, shape ``(k, seats)``.
            observation: Where to write the observations, float32 ``(k · seats, size)`` and
                contiguous, or None for a new array.
            mask: Where to write the masks, bool ``(k · seats, actions)`` and contiguous; likewise.
        """
        entries = np.empty((len(arenas), 1 + self._seats), dtype="<i4")
        entries[:, 0] = arenas
        entries[:, 1:] = actions
        self._send(b"S", struct.pack("<I", len(arenas)) + entries.tobytes())
        return self._receive_rows(len(arenas), observation, mask)

    def plan(self, arenas: NDArray[np.intp], seeds: NDArray[np.uint64]) -> None:
        """Say which battles follow, so that they are made while the bridge has nothing to do."""
        self._send(b"P", self._seeded(arenas, seeds))

    def costs(self) -> dict[str, float]:
        """Return the seconds that the bridge has spent in its parts so far."""
        self._send(b"T", b"")
        costs: dict[str, float] = self._receive_json()
        return costs

    def log(self, arena: int) -> list[str]:
        """Return the log of an arena's battle so far, secret lines included."""
        self._send(b"L", struct.pack("<I", arena))
        lines: list[str] = self._receive_json()
        return lines

    @staticmethod
    def _seeded(arenas: NDArray[np.intp], seeds: NDArray[np.uint64]) -> bytes:
        entries = np.empty(len(arenas), dtype=_RESET)
        entries["arena"], entries["seed"] = arenas, seeds
        return struct.pack("<I", len(arenas)) + entries.tobytes()

    def _send(self, kind: bytes, body: bytes) -> None:
        try:
            self._socket.sendall(_HEADER.pack(len(body) + 1, kind[0]) + body)
        except OSError as error:
            raise self._gone() from error

    def _receive_head(self) -> tuple[int, bytes]:
        head = np.empty(_HEADER.size, dtype=np.uint8)
        self._fill(head)
        length, kind = _HEADER.unpack(head.tobytes())
        return length - 1, bytes([kind])

    def _receive_json(self) -> Any:
        length, kind = self._receive_head()
        body = np.empty(length, dtype=np.uint8)
        self._fill(body)
        self._require(kind, b"J", body)
        return json.loads(body.tobytes())

    def _receive_rows(
        self,
        arenas: int,
        observation: NDArray[np.float32] | None,
        mask: NDArray[np.bool_] | None,
    ) -> BattleRows:
        length, kind = self._receive_head()
        n = arenas * self._seats
        if kind == b"E":
            body = np.empty(length, dtype=np.uint8)
            self._fill(body)
            self._require(kind, b"A", body)
        skip = np.empty(3, dtype=np.uint8)  # the observations begin at a multiple of four
        self._fill(skip)
        if observation is None:
            observation = np.empty((n, self.size), dtype=np.float32)
        if mask is None:
            mask = np.empty((n, self.actions), dtype=np.bool_)
        width = len(self.metrics)
        rest = np.empty(n * (4 + 4 * width + 3), dtype=np.uint8)
        expected = 3 + observation.nbytes + mask.nbytes + rest.nbytes
        if length != expected:
            raise BridgeError(
                f"The bridge sent a frame of {length} bytes for {n} rows: expected {expected}."
            )
        self._fill(observation.reshape(-1).view(np.uint8))
        self._fill(mask.reshape(-1).view(np.uint8))
        self._fill(rest)
        ends = np.cumsum([0, 4, 4 * width, 1, 1, 1]) * n
        parts = [rest[a:b] for a, b in itertools.pairwise(ends)]
        return BattleRows(
            observation,
            mask,
            np.frombuffer(parts[0].tobytes(), dtype="<f4"),
            np.frombuffer(parts[1].tobytes(), dtype="<f4").reshape(n, width),
            parts[2].view(np.bool_),
            parts[3].view(np.bool_),
            parts[4].view(np.int8),
        )

    def _fill(self, array: NDArray[np.uint8]) -> None:
        unread = memoryview(array.data)
        while unread:
            try:
                received = self._socket.recv_into(unread)
            except ConnectionError:
                received = 0
            if not received:
                raise self._gone()
            unread = unread[received:]

    def _require(self, kind: bytes, expected: bytes, body: NDArray[np.uint8]) -> None:
        if kind == b"E":
            raise BridgeError(f"The bridge failed: {body.tobytes().decode(errors='replace')}")
        if kind != expected:
            raise ContractError(f"The bridge answered {kind!r}; expected {expected!r}.")

    def _gone(self) -> BridgeError:
        code = self._process.wait(_END_TIMEOUT)
        end = "closed its connection" if code is None else described_end(code)
        return BridgeError(f"The bridge (process {self._process.pid}) {end}.")


def _format_error(name: str, error: BridgeError) -> Exception:
    """Turn the bridge's word on a format into an error for the user."""
    text = str(error)
    if "UnknownFormat " in text:
        known = json.loads(text.split("UnknownFormat ", 1)[1].splitlines()[0])
        return ConfigError(
            f"format is {name!r}, which this version of Pokémon Showdown does not have."
            f"{nearest_name(name, known)}"
        )
    if "UnservedFormat " in text:
        return ConfigError(
            f"format is {name!r}, which this simulator does not serve yet: expected a doubles "
            "format that makes its own random teams, such as 'gen9randomdoublesbattle'."
        )
    return error
