"""What happens around a simulator at each command: resets, episode ends, statistics.

`ArenaLoop` knows nothing of processes: a worker and the inline backend run the same one, which is
why they give the same rows. It keeps the rules on rows:

* A row that ends reports ``terminated`` or ``truncated`` once, with its last observation in
  ``final_observation`` and its episode's statistics, and is ABSENT from then on.
* An arena is over when the last of its present rows has ended. Autoreset then acts on the whole
  arena. (One that begins with no row present waits for the first to be born.)
* A row that had ended before its arena was over, and a row that is born in mid-episode, carries a
  done without statistics at that boundary, so that no advantage estimate runs across it.
* Rows that are not ACTIVE have a mask that allows the idle action alone.
"""

from __future__ import annotations

import enum
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gym_multisim import seeding
from gym_multisim.errors import ContractError
from gym_multisim.pool.buffers import Control, GroupArrays, ServerBuffers
from gym_multisim.pool.trees import tree_leaves, tree_map
from gym_multisim.simulator import NO_SEED, Simulator, Status

_BONUS, _EPISODES = int(Control.BONUS), int(Control.EPISODES)
_RESETTING = int(Control.RESETTING)
_ABSENT = np.int8(Status.ABSENT)
_ACTIVE = np.int8(Status.ACTIVE)


class Autoreset(enum.Enum):
    """When an arena that is over begins anew; the names and meanings are Gymnasium's."""

    NEXT_STEP = "next_step"
    """The next step resets it instead of acting."""
    SAME_STEP = "same_step"
    """At once: the observation is the new episode's, the last one is in ``final_observation``."""
    DISABLED = "disabled"
    """When the caller resets it."""


class ArenaLoop:
    """Runs one simulator's arenas on one server's buffers.

    Args:
        simulator: An opened simulator.
        reseeds: `SimulatorSpec.reseeds`.
        continuing: `SimulatorSpec.continuing`.
        buffers: This server's part of the step buffers.
        autoreset: When arenas that are over begin anew.
        decision_interval: How many simulator steps one action is held for.
        check_rows: Whether each step checks that float observations and rewards are finite and
            that every mask allows something.
    """

    def __init__(
        self,
        simulator: Simulator,
        *,
        reseeds: bool,
        continuing: bool,
        buffers: ServerBuffers,
        autoreset: Autoreset,
        decision_interval: int = 1,
        check_rows: bool = False,
    ) -> None:
        self.simulator = simulator
        self.buffers = buffers
        self.rows = {n: g.as_rows(buffers.arenas) for n, g in buffers.groups.items()}
        self._groups = [_GroupLoop(group, buffers.arenas) for group in buffers.groups.values()]
        one_row_each = len(self._groups) == 1 and self._groups[0].has_one_agent
        self._only_rows = self._groups[0] if one_row_each else None  # whose arenas end with them
        self._reseeds = reseeds
        self._continuing = continuing
        self._autoreset = autoreset
        self._decision_interval = decision_interval
        self._check_rows = check_rows
        self._all_arenas = np.arange(buffers.arenas)
        self._running = np.zeros(buffers.arenas, dtype=np.bool_)
        self._running_arenas = self._all_arenas[:0]
        self._over = self._all_arenas[:0]  # NEXT_STEP: arenas that the next step resets
        self._no_seeds = np.full(buffers.arenas, NO_SEED)
        overrides = type(simulator).prepare is not Simulator.prepare
        self.prepares = overrides and reseeds and not continuing
        self._announcement: tuple[NDArray[np.intp], NDArray[np.uint64]] | None = None
        self._prepare_error: Exception | None = None

    def reset(self) -> None:
        """Reset the arenas that the caller marked, with the seeds it wrote."""
        arenas = np.flatnonzero(self.buffers.reset_mask)
        for group in self._groups:
            group.begin_step()
        if len(arenas):
            self._over = np.setdiff1d(self._over, arenas)
            self._reset_arenas(arenas, self.buffers.reset_seed[arenas])
        self._finish_step()

    def step(self) -> None:
        """Advance every arena by one decision."""
        for group in self._groups:
            group.begin_step()
        over, arenas = self._over, self._running_arenas
        if len(arenas):
            if self._decision_interval == 1:
                self.simulator.step(arenas, self.rows)
            else:
                self._repeat_step(arenas)
            if self.buffers.control[_BONUS]:
                self._add_bonus()
            self._end_episodes()
        if len(over):  # NEXT_STEP: these ended one step ago, before what `_end_episodes` found now
            self._over = np.setdiff1d(self._over, over)
            self._reset_arenas(over, self._next_seeds(over))
        self._finish_step()

    def prepare(self) -> None:
        """Tell the simulator the seeds of the episodes that follow those begun last.

        Call it when the caller has its rows. What goes wrong is raised where the next episode
        begins, since nobody waits for an answer now.
        """
        announcement, self._announcement = self._announcement, None
        if announcement is not None:
            try:
                self.simulator.prepare(*announcement)
            except Exception as error:
                self._prepare_error = error

    def _repeat_step(self, arenas: NDArray[np.intp]) -> None:
        """Hold each action for several simulator steps.

        An arena stops early where an episode ends, and where a row is asked to act that was not
        asked before: it has no action to hold.
        """
        was_active = [group.arrays.status == _ACTIVE for group in self._groups]
        for group in self._groups:
            group.held_reward[:] = 0.0
        for _ in range(self._decision_interval):
            self.simulator.step(arenas, self.rows)
            stops = np.zeros(self.buffers.arenas, dtype=np.bool_)
            for group, had_action in zip(self._groups, was_active, strict=True):
                group.held_reward += group.arrays.reward
                group.arrays.reward[:] = 0.0
                is_asked_anew = ~had_action & (group.arrays.status == _ACTIVE)
                stops |= group.by_arena(group.ends_now() | is_asked_anew)
            arenas = arenas[~stops[arenas]]
            if not len(arenas):
                break
        for group in self._groups:
            group.arrays.reward[:] = group.held_reward

    def _add_bonus(self) -> None:
        """Add, once, what the caller wants added to this step's rewards."""
        self.buffers.control[_BONUS] = 0
        for group in self._groups:
            group.arrays.reward += group.arrays.bonus
            group.arrays.bonus[:] = 0.0

    def _end_episodes(self) -> None:
        ended = 0
        for group in self._groups:
            if self._check_rows:
                group.check_presence()
            ended += group.end_episodes()
        if not ended:
            return
        self.buffers.control[_EPISODES] += ended
        if self._continuing:
            return
        over = self._only_rows.gone if self._only_rows else self._find_over()
        if not len(over):
            return
        if self._autoreset is Autoreset.SAME_STEP:
            self._reset_arenas(over, self._next_seeds(over))
            return
        self._set_running(over, False)
        if self._autoreset is Autoreset.NEXT_STEP:
            self._over = over

    def _find_over(self) -> NDArray[np.intp]:
        """Return the arenas whose last present rows have ended, and mark their other rows."""
        lost_some = np.zeros(self.buffers.arenas, dtype=np.bool_)
        present = np.zeros(self.buffers.arenas, dtype=np.bool_)
        for group in self._groups:
            lost_some |= group.by_arena(group.arrays.episode_ended)
            present |= group.by_arena(group.arrays.status != _ABSENT)
        over = (lost_some > present).nonzero()[0]
        for group in self._groups:
            group.mark_boundary(over)
        return over

    def _next_seeds(self, arenas: NDArray[np.intp]) -> NDArray[np.uint64]:
        if not self._reseeds:
            return self._no_seeds[: len(arenas)]
        return seeding.episode_seeds(self.buffers.arena_key[arenas], self.buffers.episode[arenas])

    def _reset_arenas(self, arenas: NDArray[np.intp], seeds: NDArray[np.uint64]) -> None:
        self.buffers.control[_RESETTING] = 1
        if self._prepare_error is not None:
            raise self._prepare_error
        for group in self._groups:
            group.begin_episodes(arenas)
        self.simulator.reset(arenas, seeds, self.rows)
        for group in self._groups:
            group.note_identities(arenas)
        self.buffers.episode[arenas] += 1
        if self.prepares:  # read now: once the step is done, keys and episodes are the caller's
            self._announcement = arenas, self._next_seeds(arenas)
        if len(self._running_arenas) < self.buffers.arenas:
            self._set_running(arenas, True)

    def _set_running(self, arenas: NDArray[np.intp], running: bool) -> None:
        self._running[arenas] = running
        all_run = bool(self._running.all())
        self._running_arenas = self._all_arenas if all_run else np.flatnonzero(self._running)

    def _finish_step(self) -> None:
        for group in self._groups:
            group.finish_step()
            if self._check_rows:
                group.check()


class _GroupLoop:
    """The rows of one agent group in one server, as the loop keeps them."""

    def __init__(self, arrays: GroupArrays, arenas: int) -> None:
        self.arrays = arrays
        self.held_reward = np.zeros_like(arrays.reward)
        self._shape = (arenas, len(arrays.layout.agents))
        self.has_one_agent = self._shape[1] == 1
        self.gone = np.arange(0)
        """Rows that ended in the last `end_episodes` and left nobody in their place."""
        self._done = np.zeros_like(arrays.terminated)
        self._ones = np.ones_like(arrays.episode_length)
        self._return = np.zeros_like(arrays.reward)
        self._length = np.zeros_like(arrays.episode_length)
        self._began = np.full_like(arrays.reward, time.perf_counter())
        self._identity = arrays.identity.copy()
        self._was_present = np.zeros_like(arrays.terminated)
        self._all_active = False
        self._has_endings = False

    def begin_step(self) -> None:
        arrays = self.arrays
        arrays.reward.fill(0.0)
        if self._has_endings:
            arrays.terminated.fill(False)
            arrays.truncated.fill(False)
            arrays.episode_ended.fill(False)
            self._has_endings = False
        if not self._all_active:
            np.not_equal(arrays.status, _ABSENT, out=self._was_present)

    def begin_episodes(self, arenas: NDArray[np.intp]) -> None:
        rows = self._rows_of(arenas)
        self.arrays.status[rows] = _ACTIVE
        if self.arrays.layout.metrics:
            self.arrays.metrics[rows] = 0.0
        self._restart(rows)
        self._was_present[rows] = True  # the arena's own reset is no birth
        self._all_active = False  # look again at the end of this step

    def note_identities(self, arenas: NDArray[np.intp]) -> None:
        """Remember who occupies the rows of arenas that were just reset."""
        rows = self._rows_of(arenas)
        self._identity[rows] = self.arrays.identity[rows]

    def ends_now(self) -> NDArray[np.bool_]:
        """Return which of the rows that were present end in this step."""
        return (self.arrays.terminated | self.arrays.truncated) & self._was_present

    def end_episodes(self) -> int:
        """Account for this step's rewards and endings; return how many episodes ended."""
        arrays = self.arrays
        if not self._all_active:
            self._settle_absent_rows()
        self._return += arrays.reward
        self._length += self._ones if self._all_active else self._was_present
        np.logical_or(arrays.terminated, arrays.truncated, out=self._done)
        if not _any(self._done):
            return 0  # nobody looks at `gone` then
        self._has_endings = True
        ended = (self._done & self._was_present).nonzero()[0]
        arrays.episode_ended[ended] = True
        arrays.episode_return[ended] = self._return[ended]
        arrays.episode_length[ended] = self._length[ended]
        arrays.episode_seconds[ended] = time.perf_counter() - self._began[ended]
        if arrays.layout.metrics:
            arrays.episode_metrics[ended] = arrays.metrics[ended]
        self.gone = gone = ended
        changed = arrays.identity[ended] != self._identity[ended]
        if _any(changed):  # rows that live on under a new identity, if they are present
            changed &= arrays.status[ended] != _ABSENT
            self._restart(ended[changed])
            self.gone = gone = ended[~changed]
        self._keep_final_observation(gone)
        arrays.status[gone] = _ABSENT
        self._all_active = False
        return len(ended)

    def _keep_final_observation(self, rows: NDArray[np.intp]) -> None:
        def keep(final: NDArray[Any], last: NDArray[Any]) -> None:
            final[rows] = last[rows]

        tree_map(keep, self.arrays.final_observation, self.arrays.observation)

    def _settle_absent_rows(self) -> None:
        """Ignore what was written to rows that stay ABSENT, and mark those that were born."""
        arrays = self.arrays
        away = ~self._was_present
        if not _any(away):
            return
        born = np.flatnonzero(away & (arrays.status != _ABSENT))
        away_still = np.flatnonzero(away & (arrays.status == _ABSENT))
        arrays.reward[away_still] = 0.0
        for flags in (arrays.terminated, arrays.truncated):
            flags[away] = False
        if len(born):
            self._mark(born)
            self._restart(born)

    def mark_boundary(self, arenas: NDArray[np.intp]) -> None:
        """Give the rows that ended earlier than their arena a done without statistics."""
        rows = self._rows_of(arenas)
        earlier = ~self._done[rows]
        if _any(earlier):
            self._mark(rows[earlier])

    def _mark(self, rows: NDArray[np.intp]) -> None:
        self.arrays.terminated[rows] = True
        self._keep_final_observation(rows)
        self._has_endings = True

    def _restart(self, rows: NDArray[np.intp]) -> None:
        self._return[rows] = 0.0
        self._length[rows] = 0
        self._began[rows] = time.perf_counter()
        self._identity[rows] = self.arrays.identity[rows]

    def finish_step(self) -> None:
        arrays = self.arrays
        idle = arrays.status != _ACTIVE
        self._all_active = not _any(idle)
        if self._all_active:
            self._was_present.fill(True)
        elif arrays.action_mask is not None:
            arrays.action_mask[idle] = arrays.layout.idle_mask

    def check_presence(self) -> None:
        """Raise `ContractError` if a row left, or changed its occupant, without an ending."""
        arrays = self.arrays
        stays = self._was_present & ~self.ends_now()
        for name, array, changed in (
            ("status", arrays.status, arrays.status == _ABSENT),
            ("identity", arrays.identity, arrays.identity != self._identity),
        ):
            if (stays & changed).any():
                expected = f"terminated or truncated, where the {name} changes like this"
                self._fail(stays & changed, name, expected, array)

    def check(self) -> None:
        """Raise `ContractError` if a row holds what no policy can use."""
        arrays = self.arrays
        present = arrays.status != _ABSENT
        self._check_finite(present, "reward", arrays.reward)
        for rows, name, tree in (
            (present, "observation", arrays.observation),
            (arrays.episode_ended, "final_observation", arrays.final_observation),
        ):
            leaves = zip(tree_leaves(arrays.layout.observation), tree_leaves(tree), strict=True)
            for leaf, array in leaves:
                self._check_finite(rows, f"{name} {leaf.path}".rstrip(), array)
        if arrays.action_mask is not None:
            starts = np.cumsum((0, *arrays.layout.branches[:-1]))
            legal = np.logical_or.reduceat(arrays.action_mask, starts, axis=1).all(axis=1)
            if not legal.all():
                expected = "at least one legal action (in each branch)"
                self._fail(np.asarray(~legal), "action mask", expected, arrays.action_mask)

    def _check_finite(self, rows: NDArray[np.bool_], name: str, array: NDArray[Any]) -> None:
        if array.dtype.kind == "f" and not np.isfinite(array[rows]).all():
            infinite = ~np.isfinite(array.reshape(len(array), -1)).all(axis=1)
            self._fail(rows & infinite, name, "finite numbers", array)

    def _fail(self, bad: NDArray[np.bool_], name: str, expected: str, array: NDArray[Any]) -> None:
        row = int(np.flatnonzero(bad)[0])
        arena, agent = divmod(row, self._shape[1])
        raise ContractError(
            f"The {name} of agent {self.arrays.layout.agents[agent]!r} (group "
            f"{self.arrays.layout.name!r}) in arena {arena} of this server breaks the contract: "
            f"expected {expected}, found {np.array2string(array[row], threshold=12)}. Look at what "
            "the simulator writes there in step() and reset()."
        )

    def by_arena(self, rows: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return for each arena whether any of its rows of this group is True."""
        if self._shape[1] == 1:
            return rows
        return np.asarray(rows.reshape(self._shape).any(axis=1))

    def _rows_of(self, arenas: NDArray[np.intp]) -> NDArray[np.intp]:
        agents = self._shape[1]
        if agents == 1:
            return arenas
        return (arenas[:, None] * agents + np.arange(agents)).ravel()


def _any(flags: NDArray[np.bool_]) -> bool:
    """Return ``flags.any()``, which for some hundred rows takes ten times as long."""
    return 1 in flags.tobytes()
