"""`check_simulator`: proof that a simulator keeps the contract of `gym_multisim.simulator`.

It runs the simulator as a pool does (in this process) with random legal actions, and looks at what
the simulator itself writes, call by call. Before each reset it fills the rows with values that no
observation should hold, and in another run with others, so that what a simulator forgets to write
shows. The file is long because it is a list of facts, each of them a few lines: the specification
and the life cycle, then whole runs that are compared, then what one call may write.
"""

from __future__ import annotations

import contextlib
import functools
import pickle
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import cloudpickle
import numpy as np
import psutil
from numpy.typing import NDArray

from gym_multisim import registry
from gym_multisim.errors import (
    ContractError,
    SpaceError,
)
from gym_multisim.pool.batch import Batch
from gym_multisim.pool.buffers import GroupArrays
from gym_multisim.pool.pool import SimulatorPool
from gym_multisim.pool.spaces import action_format, observation_tree
from gym_multisim.pool.trees import tree_leaves
from gym_multisim.pool.worker import make_context
from gym_multisim.simulator import (
    Simulator,
    SimulatorSpec,
)
from gym_multisim.testing.rules import ABSENT, BoolArray, bits, broken, check_pickles, shown
from gym_multisim.testing.watch import Subject, plain_errors

_STEPS_BEFORE_RESET = 3
_RECORDING_BYTES = 256 * 2**20  # longer runs are compared as far as this reaches
_STOP_TIMEOUT = 2.0


@dataclass(frozen=True)
class CheckReport:
    """What `check_simulator` did; all of it was found to be in order.

    Attributes:
        name: The simulator's name.
        steps: Steps of the first run; the others are as long.
        episodes: Episodes of agents that ended in the first run.
        checks: What was checked. What did not occur in any run (an agent's birth, say) is left out.
        steps_per_second: Arena steps per second of the simulator alone, in this process.
    """

    name: str
    steps: int
    episodes: int
    checks: tuple[str, ...]
    steps_per_second: float


def check_simulator(
    simulator: str | type[Simulator] | Callable[..., Simulator],
    arenas: int = 2,
    steps: int = 200,
    seed: int = 0,
    **options: Any,
) -> CheckReport:
    """Prove that a simulator does what its specification says.

    Args:
        simulator: A registered name, a `Simulator` subclass, or a function that returns one.
        arenas: How many arenas its server hosts; fewer if its ``max_arenas`` says so.
        steps: How long each run is. Episodes should end within: see ``checks`` in the report.
        seed: Of episodes and actions.
        **options: The simulator's own options.

    Raises:
        ContractError: It does not; says what, where, and what to try.
    """
    factory = registry.find(simulator).load() if isinstance(simulator, str) else simulator
    name = simulator if isinstance(simulator, str) else getattr(simulator, "__name__", "simulator")
    make = functools.partial(factory, **options)
    check_pickles(name, "the simulator with its options", lambda: cloudpickle.dumps(make))
    spec = _check_life(name, make, arenas)
    arenas = min(arenas, spec.max_arenas or arenas)
    seeds = [seed + arena for arena in range(arenas)]
    subject = Subject(name, make, spec)

    record = _Recording()
    first = subject.run(seeds, steps, functools.partial(_play, record))
    seen = first.seen | {"pickling", "spec", "life cycle"}
    if spec.deterministic:
        what = "Two runs with equal seeds and equal actions"
        subject.run(seeds, steps, functools.partial(_replay, record, 0, what), fill=1)
        seen.add("determinism")
        for arena in range(arenas if arenas > 1 else 0):
            what = f"Arena {arena} hosted alone, and among {arenas} arenas,"
            replay = functools.partial(_replay, record, arena, what)
            subject.run(seeds[arena : arena + 1], steps, replay, first_arena=arena)
            seen.add("layout independence")
    play = functools.partial(_play_with_early_reset, record)
    last = subject.run(seeds, steps, play, autoreset="next_step")
    seen |= last.seen | {"reset in mid-episode"}
    speed = first.arena_steps / first.seconds
    return CheckReport(name, steps, first.episodes, tuple(sorted(seen)), speed)


# --- the specification and the life cycle -----------------------------------------------------


def _check_life(name: str, make: Callable[[], Simulator], arenas: int) -> SimulatorSpec:
    """Construct, ask, open and close; return the spec."""
    before = _Running.now()
    simulator = make()
    spec = None
    if not simulator.spec_needs_server:
        with plain_errors(name, "spec() before open()", "it answers without a server"):
            spec = simulator.spec()
        before.refuse_new(name)
        _check_spec(name, spec)
    with plain_errors(
        name, "close() without open()", "it returns: it is also called where open() fails"
    ):
        make().close()
    hosted = 1 if spec is None else min(arenas, spec.max_arenas or arenas)
    context = make_context(0, hosted, log_fd=2)
    with context.resources, contextlib.ExitStack() as closing:
        closing.callback(_close_in_silence, simulator)
        with plain_errors(name, "open()", "the server starts"):
            simulator.open(context)
        with plain_errors(name, "spec() after open()", "it answers"):
            opened_spec = simulator.spec()
        if spec is None:
            _check_spec(name, opened_spec)
            check_pickles(name, "its spec", lambda: pickle.dumps(opened_spec))
        elif spec != opened_spec:
            advice = "Set spec_needs_server = True if only a running server knows."
            broken(name, "spec() changes with open()", f"{spec}", f"{opened_spec}", advice)
        with plain_errors(name, "close(), twice", "it returns, also the second time"):
            simulator.close()
            simulator.close()
    before.refuse_left_over(name)
    return opened_spec


def _close_in_silence(simulator: Simulator) -> None:
    """Close after an error, which is not to be hidden by another."""
    with contextlib.suppress(Exception):
        simulator.close()


def _check_spec(name: str, spec: SimulatorSpec) -> None:
    fail = functools.partial(broken, name)
    advice = "Look at what spec() returns."
    if not isinstance(spec, SimulatorSpec):
        fail("spec()", "a SimulatorSpec", repr(spec), advice)
    if not spec.groups:
        fail("The spec", "at least one agent group", "none", advice)
    for what, names in (
        ("The names of the agent groups", [group.name for group in spec.groups]),
        ("The names of an arena's agents", [a for group in spec.groups for a in group.agents]),
        ("The names of the metrics", list(spec.metrics)),
    ):
        if len(set(names)) < len(names) or not all(isinstance(n, str) and n for n in names):
            fail(what, "texts that differ", repr(names), advice)
    if spec.max_arenas is not None and spec.max_arenas < 1:
        fail("The spec's max_arenas", "None or at least 1", repr(spec.max_arenas), advice)
    for group in spec.groups:
        whose = f"agent group {group.name!r}"
        if not group.agents:
            fail(f"The agents of {whose}", "at least one", "none", advice)
        try:
            observation_tree(group.observation_space)
            form = action_format(group.action_space)
        except SpaceError as error:
            raise ContractError(f"Simulator {name!r}, {whose}: {error}") from error
        if group.masked and form.branches is None:
            fail(
                f"The action space of {whose}, which is masked",
                "Discrete, MultiDiscrete or MultiBinary",
                f"{group.action_space}",
                "Set masked=False.",
            )
        idle = np.zeros(form.shape) if group.idle_action is None else np.asarray(group.idle_action)
        is_default = group.idle_action is None
        if not is_default and not group.action_space.contains(idle.astype(form.dtype)):
            expected = f"an action of {group.action_space}"
            fail(f"The idle_action of {whose}", expected, repr(group.idle_action), advice)


@dataclass(frozen=True)
class _Running:
    """What runs in and under this process."""

    threads: frozenset[threading.Thread]
    children: frozenset[psutil.Process]

    @classmethod
    def now(cls) -> _Running:
        children = psutil.Process().children(recursive=True)
        return cls(frozenset(threading.enumerate()), frozenset(children))

    def refuse_new(self, name: str) -> None:
        """Raise if something runs that did not run then."""
        now = _Running.now()
        new: list[Any] = [*(now.threads - self.threads), *(now.children - self.children)]
        if new:
            broken(
                name,
                "__init__() or spec() started something",
                "nothing that runs, since they are called in the user's own process",
                f"{new[0]}",
                "Start it in open(), and set spec_needs_server = True if spec() needs it.",
            )

    def refuse_left_over(self, name: str) -> None:
        """Raise if something that began since then outlives a short grace."""
        now = _Running.now()
        _, alive = psutil.wait_procs(list(now.children - self.children), timeout=_STOP_TIMEOUT)
        threads = [thread for thread in now.threads - self.threads if not thread.daemon]
        for thread in threads:
            thread.join(_STOP_TIMEOUT)
        left: list[Any] = [*alive, *(thread for thread in threads if thread.is_alive())]
        if left:
            broken(
                name,
                "close() left something running",
                "the end of all that open() started",
                f"{left[0]}",
                "Register it on context.resources as it is started, or end it in close().",
            )


# --- whole runs -------------------------------------------------------------------------------


@dataclass
class _Recording:
    """What a run did and what came of it, step by step; the first rows are the reset's."""

    rows: list[dict[str, GroupArrays]] = field(default_factory=list)
    actions: list[dict[str, NDArray[Any]]] = field(default_factory=list)
    size: int = 0

    def add(self, batch: Batch) -> None:
        """Keep a copy of all rows, while there is space."""
        if self.size < _RECORDING_BYTES:
            copies = {n: g[np.arange(len(g.reward))] for n, g in batch.groups.items()}
            self.rows.append(copies)
            self.size += sum(a.nbytes for copy in copies.values() for _, a in _compared(copy))


def _play(record: _Recording, pool: SimulatorPool, seeds: Sequence[int], steps: int) -> None:
    """Play with random legal actions, and keep everything."""
    batch = pool.reset(seed=list(seeds))
    record.add(batch)
    for _ in range(steps):
        actions = _random_actions(pool, batch)
        batch = pool.step(actions)
        record.actions.append(actions)
        record.add(batch)


def _replay(
    record: _Recording,
    arena: int,
    what: str,
    pool: SimulatorPool,
    seeds: Sequence[int],
    steps: int,
) -> None:
    """Play the recorded actions of the arenas from ``arena`` on, and compare all rows."""
    batch = pool.reset(seed=list(seeds))
    _compare(record.rows[0], batch, arena, len(seeds), f"{what} differ after the reset", pool.name)
    recorded = zip(record.actions, record.rows[1:], strict=False)
    for step, (actions, expected) in enumerate(recorded, start=1):
        part = {name: actions[name][_rows(batch, name, arena, len(seeds))] for name in actions}
        batch = pool.step(part)
        _compare(expected, batch, arena, len(seeds), f"{what} differ at step {step}", pool.name)


def _play_with_early_reset(
    record: _Recording, pool: SimulatorPool, seeds: Sequence[int], steps: int
) -> None:
    """Reset the first arena in mid-episode; play on, with arenas that end at different times."""
    batch = pool.reset(seed=list(seeds))
    for _ in range(min(_STEPS_BEFORE_RESET, steps)):
        batch = pool.step(_random_actions(pool, batch))
    only_first = np.arange(len(seeds)) == 0
    batch = pool.reset(seed=[seeds[0], *[None] * (len(seeds) - 1)], arenas=only_first)
    if pool.spec.deterministic:
        what = "An episode, and the same one begun in the midst of another, differ at their reset"
        _compare(record.rows[0], batch, 0, 1, what, pool.name)
    for _ in range(steps):
        batch = pool.step(_random_actions(pool, batch))


def _random_actions(pool: SimulatorPool, batch: Batch) -> dict[str, NDArray[Any]]:
    return {name: pool.sample_actions(batch, name) for name in batch.groups}


def _rows(batch: Batch, group: str, arena: int, arenas: int) -> slice:
    agents = len(batch.groups[group].layout.agents)
    return slice(arena * agents, (arena + arenas) * agents)


def _compared(group: GroupArrays) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield what must be equal in equal runs, with names for people."""
    for name in ("status", "terminated", "truncated", "reward", "action_mask", "episode_length"):
        if getattr(group, name) is not None:
            yield name, getattr(group, name)
    for name in ("observation", "final_observation"):
        leaves = tree_leaves(group.layout.observation)
        for leaf, array in zip(leaves, tree_leaves(getattr(group, name)), strict=True):
            yield f"{name} {leaf.path}".rstrip(), array
    yield "metrics", group.metrics


def _is_looked_at(field_name: str, group: GroupArrays) -> BoolArray:
    if field_name.startswith("final_observation") or field_name == "episode_length":
        return group.episode_ended
    if field_name.startswith("observation"):
        return np.asarray(group.status != ABSENT)
    return np.ones(len(group.status), dtype=np.bool_)


def _compare(
    recorded: Mapping[str, GroupArrays],
    batch: Batch,
    arena: int,
    arenas: int,
    what: str,
    simulator: str,
) -> None:
    """Raise if a batch's first arenas differ, in what counts, from the recorded ones."""
    for name, group in batch.groups.items():
        before = recorded[name][_rows(batch, name, arena, arenas)]
        now = group[_rows(batch, name, 0, arenas)]
        for (label, expected), (_, found) in zip(_compared(before), _compared(now), strict=True):
            differs = (bits(expected) != bits(found)).any(axis=1) & _is_looked_at(label, before)
            if not differs.any():
                continue
            row = int(differs.argmax())
            local, agent = divmod(row, len(group.layout.agents))
            whose = f"agent {group.layout.agents[agent]!r} (group {name!r}), arena {arena + local}"
            broken(
                simulator,
                f"{what} in {label} of {whose}",
                shown(expected[row]),
                shown(found[row]),
                "Draw random numbers from the episode's seed alone, keep nothing from other arenas "
                "or episodes, and write all of an arena's rows in reset() (they held other values "
                "before). If equal seeds cannot give equal episodes, say deterministic=False in "
                "the SimulatorSpec.",
            )


# --- what one call may write ------------------------------------------------------------------


# --- messages ---------------------------------------------------------------------------------
