"""A simulator in between: looks at what another one writes, call by call."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import pickle
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from gym_multisim.errors import (
    ActionError,
    ContractError,
    MultiSimError,
    ServerError,
    UsageError,
)
from gym_multisim.pool.pool import SimulatorPool
from gym_multisim.pool.trees import tree_leaves
from gym_multisim.simulator import (
    GroupRows,
    Infos,
    Rows,
    ServerContext,
    Simulator,
    SimulatorSpec,
    Status,
)
from gym_multisim.testing.rules import (
    ABSENT,
    ACTIVE,
    BoolArray,
    GroupRules,
    bits,
    broken,
    check_pickles,
    filler,
    shown,
)


@dataclass(frozen=True)
class Subject:
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


class _Watch(Simulator):
    """Stands between the worker loop and a simulator, and checks all that the latter writes.

    Attributes:
        seen: What was checked and has occurred.
        episodes: Episodes of rows that have ended.
        arena_steps: Steps of arenas.
        seconds: Spent in the simulator itself.
    """

    def __init__(self, subject: Subject, fill: int, first_arena: int) -> None:
        self.name = subject.name
        self.fill = fill
        self.first_arena = first_arena
        self.seen = {"observations", "rewards", "statuses", "arrays kept"}
        self.episodes = 0
        self.arena_steps = 0
        self.seconds = 1e-9
        self._inner = subject.make()
        self._spec = subject.spec
        self.rules = {group.name: GroupRules(group) for group in subject.spec.groups}
        self._steps = 0
        self._arenas = 0

    def spec(self) -> SimulatorSpec:
        return self._inner.spec()

    def open(self, context: ServerContext) -> None:
        number = self.first_arena
        self._arenas = context.arenas
        with plain_errors(self.name, "open()", "the server starts"):
            self._inner.open(dataclasses.replace(context, server=number, first_arena=number))

    def close(self) -> None:
        self._inner.close()

    def reset(self, arenas: NDArray[np.intp], seeds: NDArray[np.uint64], rows: Rows) -> None:
        for group in rows.values():
            for leaf in tree_leaves(group.observation):
                leaf[arenas] = filler(leaf.dtype, self.fill)
            if group.action_mask is not None:
                group.action_mask[arenas] = bool(self.fill)
        kept = ("reward", "terminated", "truncated", "final_observation", "action")
        call = _Call(self, "reset()", arenas, rows, kept)
        with self._timed(), plain_errors(self.name, call.name, "it resets any arenas"):
            self._inner.reset(arenas, seeds, rows)
        call.check_arrays()
        present = np.zeros(len(arenas), dtype=np.bool_)
        for name, rules in self.rules.items():
            call.check_values(rules, rows[name])
            present |= (rows[name].status[arenas] != ABSENT).any(axis=1)
        if not present.all() and not self._spec.continuing:
            arena = self.first_arena + int(arenas[np.flatnonzero(~present)[0]])
            what = f"In reset(), the agents of arena {arena} became ABSENT, all of them"
            advice = "If that is meant, say continuing=True in the SimulatorSpec."
            broken(self.name, what, "somebody there, or it would never end", "nobody", advice)

    def step(self, arenas: NDArray[np.intp], rows: Rows) -> None:
        self._steps += 1
        self.arena_steps += len(arenas)
        for group in rows.values():
            for leaf in tree_leaves(group.final_observation):
                leaf[arenas] = filler(leaf.dtype, self.fill)
        call = _Call(self, f"step() number {self._steps}", arenas, rows, ("action",))
        with self._timed(), plain_errors(self.name, call.name, "it takes any legal action"):
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

    def prepare(self, arenas: NDArray[np.intp], seeds: NDArray[np.uint64]) -> None:
        if type(self._inner).prepare is not Simulator.prepare:
            self.seen.add("prepared episodes")
        with plain_errors(self.name, "prepare()", "it takes the seeds of the next episodes"):
            self._inner.prepare(arenas, seeds)

    def take_infos(self) -> Infos | None:
        with plain_errors(self.name, "take_infos()", "it returns Infos or None"):
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
            broken(self.name, "take_infos()", expected, repr(infos), advice)
        for name, by_row in [*infos.step.items(), *infos.reset.items()]:
            for row, info in by_row.items():
                if not (isinstance(info, dict) and 0 <= row < rows.get(name, 0)):
                    found = f"{info!r} for row {row!r} of group {name!r}"
                    broken(self.name, "take_infos()", expected, found, advice)
        check_pickles(self.name, "what take_infos() returns", lambda: pickle.dumps(infos))


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
                    index = int((bits(old) != bits(new)).any(axis=1).argmax())
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
        self._fail(where, expected, f"{shown(new)} instead of {shown(old)}", advice)

    def check_changes(self, rules: GroupRules, group: GroupRows) -> None:
        """Raise if rows come, go or end in a way that nobody can follow."""
        name = rules.group.name
        status = group.status[self._arenas]
        self._check_statuses(rules, group)
        ended = (group.terminated | group.truncated)[self._arenas]
        was, now = self._status[name] != ABSENT, status != ABSENT
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

    def check_values(self, rules: GroupRules, group: GroupRows) -> None:
        """Raise if a present row holds what its spaces do not, or may do nothing."""
        status = group.status[self._arenas]
        self._check_statuses(rules, group)
        has_final = np.zeros(status.shape, dtype=np.bool_)
        if self.name.startswith("step"):
            has_final = (group.terminated | group.truncated)[self._arenas]
            has_final &= self._status[rules.group.name] != ABSENT
        rows = (status != ABSENT) | has_final
        self._check_observation(rules, group.observation, rows, "observation")
        if group.action_mask is None:
            return
        self._watch.seen.add("masks")
        is_other = group.identity[self._arenas] != self._identity[rules.group.name]
        acts = (status == ACTIVE) & (~has_final | is_other)
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

    def _check_statuses(self, rules: GroupRules, group: GroupRows) -> None:
        self._fail_where(
            rules,
            group,
            ~np.isin(group.status[self._arenas], [int(member) for member in Status]),
            "has a status that there is not",
            ", ".join(f"{int(member)} ({member.name})" for member in Status),
            "Write members of Status.",
        )

    def _check_observation(self, rules: GroupRules, tree: Any, rows: BoolArray, what: str) -> None:
        if not rows.any():
            return
        for rule, leaf in zip(rules.leaves, tree_leaves(tree), strict=True):
            values = leaf[self._arenas]
            outside = rule.is_outside(values) & rows.reshape(*rows.shape, *[1] * (leaf.ndim - 2))
            if not outside.any():
                continue
            arena, agent, *index = np.argwhere(outside)[0].tolist()
            found = values[(arena, agent, *index)]
            unwritten = np.asarray(filler(leaf.dtype, self._watch.fill), dtype=leaf.dtype)
            is_unwritten = found.tobytes() == unwritten.tobytes()
            self._fail(
                f"the {what}{rule.name} of {self._where(rules, arena, agent)}"
                + (f" at {tuple(index)}" if index else ""),
                f"a number of {rule.space}",
                f"{found}" + (", which check_simulator put there before" if is_unwritten else ""),
                "Write all of it, or correct the space in spec().",
            )

    def _fail_where(
        self,
        rules: GroupRules,
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

    def _where(self, rules: GroupRules, position: int, agent: int) -> str:
        arena = self._watch.first_arena + int(self._given_arenas[position])
        return f"agent {rules.group.agents[agent]!r} (group {rules.group.name!r}) in arena {arena}"

    def _fail(self, what: str, expected: str, found: str, advice: str) -> NoReturn:
        broken(self._watch.name, f"In {self.name}, {what}", expected, found, advice)


@contextlib.contextmanager
def plain_errors(name: str, what: str, expected: str) -> Iterator[None]:
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
