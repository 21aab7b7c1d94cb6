"""The contract between a simulator and the pool.

You write one class, a `Simulator`. The pool calls it from one worker process only, always in this
order: ``__init__(**options)``, ``spec()``, ``open(context)``, then any number of ``reset`` and
``step``, then ``close()``. A simulator hosts several *arenas* (independent copies of its world);
each arena has the same *agents*, put together in *agent groups* of equal spaces.

Arrays are not returned but written in place: ``rows[group]`` holds NumPy views into shared memory,
every one shaped ``(arenas, agents, …)``. The worker loop does the rest: autoreset, final
observations, episode statistics, action repeat and deadlines.

This module imports NumPy alone, since every worker process loads it.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from gym_multisim.errors import UsageError

if TYPE_CHECKING:
    from gymnasium import Space

NO_SEED = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
"""Stands in ``seeds`` for "go on with your own random numbers" (see `SimulatorSpec.reseeds`)."""


class Status(enum.IntEnum):
    """What a row is doing: the values of `GroupRows.status`."""

    ABSENT = 0
    """Dead, not born yet, or its arena waits for a reset. Actions are ignored."""
    ACTIVE = 1
    """Asked to act now."""
    WAITING = 2
    """In the episode but not asked; a reward that comes meanwhile belongs to its last action."""


@dataclass(frozen=True)
class AgentGroup:
    """Agents of one arena that share spaces and a meaning.

    Attributes:
        name: The group's name, unique in the simulator.
        agents: The stable names of its agents in an arena, in row order.
        observation_space: Of one agent: Box, Discrete, MultiDiscrete, MultiBinary, Dict or Tuple.
        action_space: Of one agent: Box, Discrete, MultiDiscrete or MultiBinary.
        masked: Whether the simulator writes action masks (discrete action spaces only). Width:
            Discrete n, MultiDiscrete Σ nvec, MultiBinary 2n.
        idle_action: The action that stands for doing nothing; rows that are not ACTIVE have a mask
            that allows it alone. None takes the first action (zeros).
    """

    name: str
    agents: tuple[str, ...]
    observation_space: Space[Any]
    action_space: Space[Any]
    masked: bool = False
    idle_action: Any = field(default=None, compare=False)  # may be an array


@dataclass(frozen=True)
class SimulatorSpec:
    """What a simulator is, said without any server running.

    Attributes:
        groups: The agent groups, each with at least one agent.
        metrics: Names of the float numbers reported per row (such as ``win``); their values at the
            end of an episode are part of its statistics.
        max_arenas: How many arenas one server can host, or None for any number.
        deterministic: Whether equal seeds and equal actions give equal episodes.
        reseeds: True: each episode is given its own seed. False: ``seeds`` holds `NO_SEED` except
            where the caller of ``reset`` gave a seed by hand (as Gymnasium environments expect).
        continuing: True: agents come and go but an arena never ends, so that the worker resets it
            only when the caller asks. False: an arena ends when no agent is left in it.
    """

    groups: tuple[AgentGroup, ...]
    metrics: tuple[str, ...] = ()
    max_arenas: int | None = None
    deterministic: bool = True
    reseeds: bool = True
    continuing: bool = False


@dataclass(slots=True)
class GroupRows:
    """Views of one agent group's rows in one server; every array is ``(arenas, agents, …)``.

    The simulator owns them while ``reset`` or ``step`` runs, and at no other time.

    Attributes:
        observation: Written. One array, or a dict / tuple of arrays in the space's own shape.
        final_observation: Written only by simulators whose rows live on under a new `identity` in
            the very step that ends an episode; otherwise the worker fills it.
        action: Read: the actions of rows that are ACTIVE. Others hold anything.
        action_mask: Written: bool, True = legal; None if the group is not masked.
        reward: Written: float64; zero before each ``step``.
        terminated: Written: bool; False before each ``step``.
        truncated: Written: bool; False before each ``step``.
        status: Written where it changes: int8 of `Status`. All rows of an arena are ACTIVE before
            its ``reset``; a row that ends becomes ABSENT by itself.
        identity: Written where rows are reused: int64, who occupies the row.
        metrics: Written: float32 ``(arenas, agents, len(spec.metrics))``; zero before ``reset``.
    """

    observation: Any
    final_observation: Any
    action: NDArray[Any]
    action_mask: NDArray[np.bool_] | None
    reward: NDArray[np.float64]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    status: NDArray[np.int8]
    identity: NDArray[np.int64]
    metrics: NDArray[np.float32]


Rows = Mapping[str, GroupRows]
"""One `GroupRows` per agent group, by the group's name."""


@dataclass
class ServerContext:
    """What a server needs and must not choose itself.

    Attributes:
        server: The server's index in the pool.
        arenas: How many arenas it hosts.
        first_arena: The global number of its first arena.
        log_fd: A file descriptor on the server's log: give it to a child's stdout and stderr.
        lease_port: ``lease_port()`` returns a free port on loopback that no other run on this
            machine leases; ``lease_port(8000)`` asks for that one and raises `PortInUseError`.
        run_directory: ``run_directory()`` returns a folder of the server's own, removed at the end.
        resources: Register whatever you start; it is unwound after ``close()``, also on errors.
        lifeline_fd: A descriptor that every child should inherit, so that the kernel ends it with
            the run even if the worker is gone first (`ServerProcess` does this); None inline.
    """

    server: int
    arenas: int
    first_arena: int
    log_fd: int
    lease_port: Callable[..., int]
    run_directory: Callable[[], Path]
    resources: ExitStack = field(default_factory=ExitStack)
    lifeline_fd: int | None = None


@dataclass
class Infos:
    """Info dictionaries, by group name and by row within the server (arena × agents + agent).

    Attributes:
        step: What the last ``step`` returned.
        reset: What the last reset, an autoreset included, returned.
    """

    step: dict[str, dict[int, dict[str, Any]]]
    reset: dict[str, dict[int, dict[str, Any]]]


class Simulator(ABC):
    """Starts, talks to and closes one simulator server. Subclass it once per kind of simulator.

    ``__init__`` takes the user's options and only stores and checks them. It runs in the caller's
    process too (to ask for the `spec`), so it must start nothing.

    Attributes:
        spec_needs_server: True if `spec` can only be answered after `open`; it is then asked for
            in the first worker.
    """

    spec_needs_server: ClassVar[bool] = False

    @abstractmethod
    def spec(self) -> SimulatorSpec:
        """Return the agent groups and properties of this simulator."""

    def open(self, context: ServerContext) -> None:  # noqa: B027 (nothing to start is common)
        """Start the server and wait until it answers. Called once, before anything else."""

    @abstractmethod
    def reset(self, arenas: NDArray[np.intp], seeds: NDArray[np.uint64], rows: Rows) -> None:
        """Begin a new episode in some arenas, and write their first observations (and masks).

        Args:
            arenas: Indices of the arenas within this server, ascending, shape ``(k,)``.
            seeds: The seed of each of these episodes, shape ``(k,)``.
            rows: All rows of the server; touch those of ``arenas`` alone.
        """

    @abstractmethod
    def step(self, arenas: NDArray[np.intp], rows: Rows) -> None:
        """Advance some arenas by one decision: read actions, write everything else in place.

        Args:
            arenas: Indices of the arenas to advance, ascending, shape ``(k,)``: often all of
                them. The others have ended and wait for a reset: leave them as they are.
            rows: All rows of the server; touch those of ``arenas`` alone.
        """

    def prepare(self, arenas: NDArray[np.intp], seeds: NDArray[np.uint64]) -> None:  # noqa: B027
        """Take the seeds of the episodes that follow the present ones; may be ignored.

        Called while the caller chooses actions, once for each episode, so what is made now is not
        waited for in `reset`. It must not change any result. The seeds are what is expected: where
        the caller resets an arena by hand, `reset` comes with another seed. Not called at all
        unless `SimulatorSpec.reseeds`.

        Args:
            arenas: Indices of arenas within this server, ascending, shape ``(k,)``.
            seeds: The seed of the next episode of each, shape ``(k,)``.
        """

    def take_infos(self) -> Infos | None:
        """Return what else the last ``reset`` or ``step`` has to tell, or None (the usual case).

        It is pickled, so it costs time that rows do not.
        """
        return None

    def set_reset_options(self, options: Mapping[int, Mapping[str, Any]]) -> None:
        """Take options for the next reset of some arenas, as in Gymnasium's ``reset(options=)``."""
        raise UsageError(
            f"{type(self).__name__} takes no reset options: it does not define "
            "set_reset_options(). Leave `options` out."
        )

    def render(self, arena: int) -> NDArray[np.uint8]:
        """Return a picture of one arena, uint8 ``(height, width, 3)``."""
        raise UsageError(f"{type(self).__name__} cannot render: it does not define render(arena).")

    def close(self) -> None:  # noqa: B027 (nothing to close is common)
        """Stop the server. ``context.resources`` is unwound afterwards."""
