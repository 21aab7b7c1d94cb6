"""`check_simulator`: proof that a simulator keeps the contract of `gym_multisim.simulator`.

It runs the simulator as a pool does (in this process) with random legal actions, and looks at what
the simulator itself writes, call by call. Before each reset it fills the rows with values that no
observation should hold, and in another run with others, so that what a simulator forgets to write
shows. The file is long because it is a list of facts, each of them a few lines: the specification
and the life cycle, then whole runs that are compared, then what one call may write.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import pickle
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import cloudpickle
import numpy as np
import psutil
from gymnasium import Space, spaces
from numpy.typing import NDArray

from gym_multisim import registry
from gym_multisim.errors import (
    ActionError,
    ContractError,
    MultiSimError,
    ServerError,
    SpaceError,
    UsageError,
)
from gym_multisim.pool.batch import Batch
from gym_multisim.pool.buffers import GroupArrays
from gym_multisim.pool.pool import SimulatorPool
from gym_multisim.pool.spaces import action_format, observation_tree
from gym_multisim.pool.trees import tree_leaves
from gym_multisim.pool.worker import make_context
from gym_multisim.simulator import (
    AgentGroup,
    GroupRows,
    Infos,
    Rows,
    ServerContext,
    Simulator,
    SimulatorSpec,
    Status,
)

_ABSENT, _ACTIVE = np.int8(Status.ABSENT), np.int8(Status.ACTIVE)
_STEPS_BEFORE_RESET = 3
_RECORDING_BYTES = 256 * 2**20  # longer runs are compared as far as this reaches
_STOP_TIMEOUT = 2.0

BoolArray = NDArray[np.bool_]


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
    _check_pickles(name, "the simulator with its options", lambda: cloudpickle.dumps(make))
    spec = _check_life(name, make, arenas)
    arenas = min(arenas, spec.max_arenas or arenas)
    seeds = [seed + arena for arena in range(arenas)]
    subject = _Subject(name, make, spec)

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
        with _plain_errors(name, "spec() before open()", "it answers without a server"):
            spec = simulator.spec()
        before.refuse_new(name)
        _check_spec(name, spec)
    with _plain_errors(
        name, "close() without open()", "it returns: it is also called where open() fails"
    ):
        make().close()
    hosted = 1 if spec is None else min(arenas, spec.max_arenas or arenas)
    context = make_context(0, hosted, log_fd=2)
    with context.resources, contextlib.ExitStack() as closing:
        closing.callback(_close_in_silence, simulator)
        with _plain_errors(name, "open()", "the server starts"):
            simulator.open(context)
        with _plain_errors(name, "spec() after open()", "it answers"):
            opened_spec = simulator.spec()
        if spec is None:
            _check_spec(name, opened_spec)
            _check_pickles(name, "its spec", lambda: pickle.dumps(opened_spec))
        elif spec != opened_spec:
            advice = "Set spec_needs_server = True if only a running server knows."
            _broken(name, "spec() changes with open()", f"{spec}", f"{opened_spec}", advice)
        with _plain_errors(name, "close(), twice", "it returns, also the second time"):
            simulator.close()
            simulator.close()
    before.refuse_left_over(name)
    return opened_spec


def _close_in_silence(simulator: Simulator) -> None:
    """Close after an error, which is not to be hidden by another."""
    with contextlib.suppress(Exception):
        simulator.close()


def _check_spec(name: str, spec: SimulatorSpec) -> None:
    fail = functools.partial(_broken, name)
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


def _check_pickles(name: str, what: str, pickled: Callable[[], bytes]) -> None:
    try:
        pickled()
    except Exception as error:
        raise ContractError(
            f"Simulator {name!r}: {what} cannot be sent to another process: expected what pickles, "
            f"found {type(error).__name__}: {error}. Keep locks, sockets and open files out of it; "
            "make them in open()."
        ) from error


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
            _broken(
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
            _broken(
                name,
                "close() left something running",
                "the end of all that open() started",
                f"{left[0]}",
                "Register it on context.resources as it is started, or end it in close().",
            )


# --- whole runs -------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Subject:
    """The simulator under test."""

    name: str
    make: Callable[[], Simulator]
    spec: SimulatorSpec

    def run(
        self,
        seeds: Sequence[int],
        steps: int,
        play: Callable[[SimulatorPool, Sequence[int], int], None],
        *,
        fill: int = 0,
        first_arena: int = 0,
        autoreset: str = "same_step",
    ) -> _Watch:
        """Play on a fresh pool of one server, and return who watched the simulator."""
        watches: list[_Watch] = []
        kind = _WatchAfterOpen if self.make().spec_needs_server else _Watch

        def make_watched() -> Simulator:
            watches.append(kind(self, fill, first_arena))
            return watches[-1]

        make_watched.__name__ = self.name
        pool = SimulatorPool(
            make_watched,
            arenas_per_server=len(seeds),
            backend="inline",
            autoreset=autoreset,
            check_rows=True,
        )
        with _causes_only(), pool:
            play(pool, seeds, steps)
        return watches[-1]


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
        return np.asarray(group.status != _ABSENT)
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
            differs = (_bits(expected) != _bits(found)).any(axis=1) & _is_looked_at(label, before)
            if not differs.any():
                continue
            row = int(differs.argmax())
            local, agent = divmod(row, len(group.layout.agents))
            whose = f"agent {group.layout.agents[agent]!r} (group {name!r}), arena {arena + local}"
            _broken(
                simulator,
                f"{what} in {label} of {whose}",
                _shown(expected[row]),
                _shown(found[row]),
                "Draw random numbers from the episode's seed alone, keep nothing from other arenas "
                "or episodes, and write all of an arena's rows in reset() (they held other values "
                "before). If equal seeds cannot give equal episodes, say deterministic=False in "
                "the SimulatorSpec.",
            )


def _bits(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the bytes of each row, so that even NaN equals itself and 0.0 is not -0.0."""
    return np.ascontiguousarray(array).reshape(len(array), -1).view(np.uint8)


# --- what one call may write ------------------------------------------------------------------


class _Watch(Simulator):
    """Stands between the worker loop and a simulator, and checks all that the latter writes.

    Attributes:
        seen: What was checked and has occurred.
        episodes: Episodes of rows that have ended.
        arena_steps: Steps of arenas.
        seconds: Spent in the simulator itself.
    """

    def __init__(self, subject: _Subject, fill: int, first_arena: int) -> None:
        self.name = subject.name
        self.fill = fill
        self.first_arena = first_arena
        self.seen = {"observations", "rewards", "statuses", "arrays kept"}
        self.episodes = 0
        self.arena_steps = 0
        self.seconds = 1e-9
        self._inner = subject.make()
        self._spec = subject.spec
        self.rules = {group.name: _GroupRules(group) for group in subject.spec.groups}
        self._steps = 0
        self._arenas = 0

    def spec(self) -> SimulatorSpec:
        return self._inner.spec()

    def open(self, context: ServerContext) -> None:
        number = self.first_arena
        self._arenas = context.arenas
        with _plain_errors(self.name, "open()", "the server starts"):
            self._inner.open(dataclasses.replace(context, server=number, first_arena=number))

    def close(self) -> None:
        self._inner.close()

    def reset(self, arenas: NDArray[np.intp], seeds: NDArray[np.uint64], rows: Rows) -> None:
        for group in rows.values():
            for leaf in tree_leaves(group.observation):
                leaf[arenas] = _filler(leaf.dtype, self.fill)
            if group.action_mask is not None:
                group.action_mask[arenas] = bool(self.fill)
        kept = ("reward", "terminated", "truncated", "final_observation", "action")
        call = _Call(self, "reset()", arenas, rows, kept)
        with self._timed(), _plain_errors(self.name, call.name, "it resets any arenas"):
            self._inner.reset(arenas, seeds, rows)
        call.check_arrays()
        present = np.zeros(len(arenas), dtype=np.bool_)
        for name, rules in self.rules.items():
            call.check_values(rules, rows[name])
            present |= (rows[name].status[arenas] != _ABSENT).any(axis=1)
        if not present.all() and not self._spec.continuing:
            arena = self.first_arena + int(arenas[np.flatnonzero(~present)[0]])
            what = f"In reset(), the agents of arena {arena} became ABSENT, all of them"
            advice = "If that is meant, say continuing=True in the SimulatorSpec."
            _broken(self.name, what, "somebody there, or it would never end", "nobody", advice)

    def step(self, arenas: NDArray[np.intp], rows: Rows) -> None:
        self._steps += 1
        self.arena_steps += len(arenas)
        for group in rows.values():
            for leaf in tree_leaves(group.final_observation):
                leaf[arenas] = _filler(leaf.dtype, self.fill)
        call = _Call(self, f"step() number {self._steps}", arenas, rows, ("action",))
        with self._timed(), _plain_errors(self.name, call.name, "it takes any legal action"):
            self._inner.step(arenas, rows)
        call.check_arrays()
        for name, rules in self.rules.items():
            call.check_changes(rules, rows[name])
            call.check_values(rules, rows[name])

    @contextlib.contextmanager
    def _timed(self) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds += time.perf_counter() - began

    def take_infos(self) -> Infos | None:
        with _plain_errors(self.name, "take_infos()", "it returns Infos or None"):
            infos = self._inner.take_infos()
        if infos is not None:
            self.seen.add("infos")
            self._check_infos(infos)
        return infos

    def _check_infos(self, infos: Infos) -> None:
        rows = {n: self._arenas * len(rules.group.agents) for n, rules in self.rules.items()}
        expected = f"Infos of dicts by row, with up to so many rows: {rows}"
        advice = "A row's number is arena × agents + agent. Return None if there is nothing to say."
        if not isinstance(infos, Infos):
            _broken(self.name, "take_infos()", expected, repr(infos), advice)
        for name, by_row in [*infos.step.items(), *infos.reset.items()]:
            for row, info in by_row.items():
                if not (isinstance(info, dict) and 0 <= row < rows.get(name, 0)):
                    found = f"{info!r} for row {row!r} of group {name!r}"
                    _broken(self.name, "take_infos()", expected, found, advice)
        _check_pickles(self.name, "what take_infos() returns", lambda: pickle.dumps(infos))


class _WatchAfterOpen(_Watch):
    """The same for simulators that must be open to know their spec."""

    spec_needs_server = True


class _Call:
    """One ``reset`` or ``step``: what there was before, and what may have changed.

    Args:
        watch: For whom.
        name: Of the call, for messages.
        arenas: The arenas that it may change.
        rows: All rows.
        kept: Arrays that it may not change in any arena.
    """

    def __init__(
        self,
        watch: _Watch,
        name: str,
        arenas: NDArray[np.intp],
        rows: Rows,
        kept: tuple[str, ...],
    ) -> None:
        self.name = name
        self._watch = watch
        self._arenas = arenas
        self._given_arenas = arenas.copy()
        self._rows = rows
        self._kept = kept
        self._arrays = {name: self._named_arrays(name) for name in rows}
        arena_count = len(next(iter(rows.values())).reward)
        self._others = np.setdiff1d(np.arange(arena_count), arenas)
        self._before = {
            (name, label): array[self._guarded(label)].copy()
            for name, arrays in self._arrays.items()
            for label, array in arrays.items()
        }
        self._status = {name: group.status[arenas].copy() for name, group in rows.items()}
        self._identity = {name: group.identity[arenas].copy() for name, group in rows.items()}

    def _guarded(self, label: str) -> Any:
        """Return the arenas that must hold in this array what they held before."""
        return slice(None) if label.partition(" ")[0] in self._kept else self._others

    def _named_arrays(self, group: str) -> dict[str, NDArray[Any]]:
        rows, leaves = self._rows[group], self._watch.rules[group].leaves
        named = {}
        for entry in dataclasses.fields(GroupRows):
            value = getattr(rows, entry.name)
            if entry.name.endswith("observation"):
                for rule, leaf in zip(leaves, tree_leaves(value), strict=True):
                    named[entry.name + rule.name] = leaf
            elif value is not None:
                named[entry.name] = value
        return named

    def check_arrays(self) -> None:
        """Raise if arrays were replaced, or changed where this call has no business."""
        if not np.array_equal(self._arenas, self._given_arenas):
            self._fail("`arenas` was changed", f"{self._given_arenas}", f"{self._arenas}", "Copy.")
        if len(self._others):
            self._watch.seen.add("other arenas untouched")
        for name, arrays in self._arrays.items():
            now = self._named_arrays(name)
            for label, array in arrays.items():
                what = f"{label} of group {name!r}"
                if now.get(label) is not array:
                    self._fail(
                        f"{what} is not the array that it was",
                        "the one in shared memory",
                        f"another {type(now.get(label)).__name__}",
                        "Write into the arrays that are there: group.reward[arenas] = …",
                    )
                guarded = self._guarded(label)
                old, new = self._before[name, label], array[guarded]
                if old.tobytes() != new.tobytes():
                    index = int((_bits(old) != _bits(new)).any(axis=1).argmax())
                    arena = index if isinstance(guarded, slice) else int(guarded[index])
                    self._fail_changed(what, arena, old[index], new[index])

    def _fail_changed(self, what: str, arena: int, old: NDArray[Any], new: NDArray[Any]) -> None:
        expected, advice = "to be read only", "Copy it."
        if arena in self._others:
            expected = f"changes in arenas {self._arenas.tolist()} only"
            advice = "Index every array by `arenas`; the other arenas wait for a reset."
        elif not what.startswith("action of"):
            expected = "no change: it belongs to the step that ended the last episode"
            advice = "Leave it alone in reset(); it is delivered afterwards."
        where = f"{what} was changed in arena {self._watch.first_arena + arena}"
        self._fail(where, expected, f"{_shown(new)} instead of {_shown(old)}", advice)

    def check_changes(self, rules: _GroupRules, group: GroupRows) -> None:
        """Raise if rows come, go or end in a way that nobody can follow."""
        name = rules.group.name
        status = group.status[self._arenas]
        self._check_statuses(rules, group)
        ended = (group.terminated | group.truncated)[self._arenas]
        was, now = self._status[name] != _ABSENT, status != _ABSENT
        is_other = was & now & (group.identity[self._arenas] != self._identity[name])
        fail_where = functools.partial(self._fail_where, rules, group)
        with_an_end = "terminated or truncated in the same step"
        fail_where(
            was & ~now & ~ended,
            "became ABSENT",
            with_an_end,
            "Say how its episode ended; a row that is only not asked is WAITING.",
        )
        fail_where(
            ~was & now & ended,
            "was born and ended at once",
            "one step in between",
            "Leave it ABSENT.",
        )
        fail_where(
            is_other & ~ended,
            "has another identity than before",
            f"{with_an_end}, since a change is an episode boundary",
            "End the old occupant's episode, or keep the identity.",
        )
        fail_where(
            (was | now) & ~np.isfinite(group.reward[self._arenas]),
            "has a reward that is no number",
            "a finite one",
            "Look at what step() writes to reward.",
        )
        fail_where(
            was & ended & ~np.isfinite(group.metrics[self._arenas]).all(axis=2),
            f"ended with metrics that are no numbers (of {', '.join(self._watch.spec().metrics)})",
            "finite ones, since they are averaged",
            "Write 0 where there was nothing to count.",
        )
        self._check_observation(
            rules, group.final_observation, is_other & ended, "final observation"
        )
        self._watch.episodes += int((ended & was).sum())
        occurred = {"episode ends": was & ended, "births": ~was & now, "replacements": is_other}
        self._watch.seen.update(what for what, rows in occurred.items() if rows.any())

    def check_values(self, rules: _GroupRules, group: GroupRows) -> None:
        """Raise if a present row holds what its spaces do not, or may do nothing."""
        status = group.status[self._arenas]
        self._check_statuses(rules, group)
        has_final = np.zeros(status.shape, dtype=np.bool_)
        if self.name.startswith("step"):
            has_final = (group.terminated | group.truncated)[self._arenas]
            has_final &= self._status[rules.group.name] != _ABSENT
        rows = (status != _ABSENT) | has_final
        self._check_observation(rules, group.observation, rows, "observation")
        if group.action_mask is None:
            return
        self._watch.seen.add("masks")
        is_other = group.identity[self._arenas] != self._identity[rules.group.name]
        acts = (status == _ACTIVE) & (~has_final | is_other)
        legal = np.logical_or.reduceat(group.action_mask[self._arenas], rules.starts, axis=2)
        for branch, size in enumerate(rules.branches):
            self._fail_where(
                rules,
                group,
                acts & ~legal[:, :, branch],
                f"has an action mask that forbids all {size} choices of branch {branch}",
                "at least one that is legal",
                "Allow the one that stands for doing nothing, or make the row WAITING.",
            )

    def _check_statuses(self, rules: _GroupRules, group: GroupRows) -> None:
        self._fail_where(
            rules,
            group,
            ~np.isin(group.status[self._arenas], [int(member) for member in Status]),
            "has a status that there is not",
            ", ".join(f"{int(member)} ({member.name})" for member in Status),
            "Write members of Status.",
        )

    def _check_observation(self, rules: _GroupRules, tree: Any, rows: BoolArray, what: str) -> None:
        if not rows.any():
            return
        for rule, leaf in zip(rules.leaves, tree_leaves(tree), strict=True):
            values = leaf[self._arenas]
            outside = rule.is_outside(values) & rows.reshape(*rows.shape, *[1] * (leaf.ndim - 2))
            if not outside.any():
                continue
            arena, agent, *index = np.argwhere(outside)[0].tolist()
            found = values[(arena, agent, *index)]
            filler = np.asarray(_filler(leaf.dtype, self._watch.fill), dtype=leaf.dtype)
            is_unwritten = found.tobytes() == filler.tobytes()
            self._fail(
                f"the {what}{rule.name} of {self._where(rules, arena, agent)}"
                + (f" at {tuple(index)}" if index else ""),
                f"a number of {rule.space}",
                f"{found}" + (", which check_simulator put there before" if is_unwritten else ""),
                "Write all of it, or correct the space in spec().",
            )

    def _fail_where(
        self,
        rules: _GroupRules,
        group: GroupRows,
        rows: BoolArray,
        what: str,
        expected: str,
        advice: str,
    ) -> None:
        """Raise for the first of some rows, and show what it holds."""
        if not rows.any():
            return
        arena, agent = np.argwhere(rows)[0].tolist()
        row = (self._arenas[arena], agent)
        status, identity = self._status[rules.group.name], self._identity[rules.group.name]
        found = (
            f"status {status[arena, agent]} before and {group.status[row]} after, identity "
            f"{identity[arena, agent]} before and {group.identity[row]} after, terminated "
            f"{group.terminated[row]}, truncated {group.truncated[row]}, reward {group.reward[row]}"
        )
        self._fail(f"{self._where(rules, arena, agent)} {what}", expected, found, advice)

    def _where(self, rules: _GroupRules, position: int, agent: int) -> str:
        arena = self._watch.first_arena + int(self._given_arenas[position])
        return f"agent {rules.group.agents[agent]!r} (group {rules.group.name!r}) in arena {arena}"

    def _fail(self, what: str, expected: str, found: str, advice: str) -> NoReturn:
        _broken(self._watch.name, f"In {self.name}, {what}", expected, found, advice)


class _GroupRules:
    """What the rows of one agent group may hold."""

    def __init__(self, group: AgentGroup) -> None:
        self.group = group
        leaves = tree_leaves(observation_tree(group.observation_space))
        flat = _flat_spaces(group.observation_space)
        self.leaves = [
            _LeafRule(leaf.path, space) for leaf, space in zip(leaves, flat, strict=True)
        ]
        self.branches = action_format(group.action_space).branches or ()
        self.starts = np.cumsum((0, *self.branches[:-1]))


class _LeafRule:
    """The numbers that one leaf of an observation may hold."""

    def __init__(self, path: str, space: Space[Any]) -> None:
        self.name = f" leaf {path!r}" if path else ""
        self.space = space
        self._low: Any = 0
        self._high: Any = 1
        if isinstance(space, spaces.Box):
            self._low, self._high = space.low, space.high
        elif isinstance(space, spaces.Discrete):
            self._low, self._high = space.start, space.start + space.n - 1
        elif isinstance(space, spaces.MultiDiscrete):
            self._low, self._high = space.start, space.start + space.nvec - 1

    def is_outside(self, values: NDArray[Any]) -> BoolArray:
        """Return where a number is below, above or none."""
        inside = (values >= self._low) & (values <= self._high)
        return np.asarray(~inside | ~np.isfinite(values))


def _flat_spaces(space: Space[Any]) -> Iterator[Space[Any]]:
    if isinstance(space, (spaces.Dict, spaces.Tuple)):
        inner = space.spaces.values() if isinstance(space, spaces.Dict) else space.spaces
        for part in inner:
            yield from _flat_spaces(part)
    else:
        yield space


def _filler(dtype: np.dtype[Any], fill: int) -> Any:
    """Return an unlikely value; another one for another ``fill``."""
    if dtype.kind == "f":
        return np.nan
    if dtype.kind == "b":
        return bool(fill)
    return np.iinfo(dtype).min if fill else np.iinfo(dtype).max


# --- messages ---------------------------------------------------------------------------------


def _broken(name: str, what: str, expected: str, found: str, advice: str) -> NoReturn:
    raise ContractError(
        f"Simulator {name!r} breaks its contract. {what}: expected {expected}; found {found}. "
        f"{advice}"
    )


def _shown(array: NDArray[Any]) -> str:
    return np.array2string(np.asarray(array), threshold=12, separator=", ")


@contextlib.contextmanager
def _plain_errors(name: str, what: str, expected: str) -> Iterator[None]:
    """Turn whatever a simulator raises by mistake into a `ContractError`."""
    try:
        yield
    except Exception as error:
        if isinstance(error, MultiSimError) and not isinstance(error, (ActionError, UsageError)):
            raise  # it says itself what is wrong, such as a library that is missing
        frame = traceback.extract_tb(error.__traceback__)[-1]
        found = f"{type(error).__name__}: {error} ({frame.filename}:{frame.lineno}: {frame.line})"
        raise ContractError(
            f"Simulator {name!r} breaks its contract. {what}: expected that {expected}; found "
            f"{found}. Its own traceback stands above."
        ) from error


@contextlib.contextmanager
def _causes_only() -> Iterator[None]:
    """Let through the errors that a pool wraps as those of a server."""
    try:
        yield
    except ServerError as error:
        if isinstance(error.__cause__, MultiSimError):
            raise error.__cause__ from error.__cause__.__cause__
        raise
