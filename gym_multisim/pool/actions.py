"""Actions on their way in: checked as a whole batch, before anything is written.

What to do with an action that its mask forbids is the user's choice, `InvalidAction`.
"""

from __future__ import annotations

import enum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gym_multisim import masks, seeding
from gym_multisim.errors import ActionError
from gym_multisim.pool.spaces import ActionFormat
from gym_multisim.simulator import Status

_ACTIVE = np.int8(Status.ACTIVE)


class InvalidAction(enum.Enum):
    """What happens to an action that its row's mask forbids."""

    ERROR = "error"
    """`ActionError`, and nothing is stepped."""
    PENALIZE = "penalize"
    """A random legal action is taken, and a penalty is added to the reward."""
    RESAMPLE = "resample"
    """A random legal action is taken."""
    UNCHECKED = "unchecked"
    """It is passed on as it is; the simulator must cope. (Shapes are still checked.)"""


class CheckedActions(NamedTuple):
    """What `ActionGate.check` found.

    Attributes:
        actions: The array to write, with forbidden actions replaced.
        replaced: Positions in the batch whose action was replaced, or None (almost always).
    """

    actions: NDArray[Any]
    replaced: NDArray[np.intp] | None = None


class ActionGate:
    """Checks the actions of one agent group.

    Args:
        group: The group's name, for messages.
        agents: Its agents, for messages.
        form: How its actions lie in an array.
        policy: What to do with forbidden actions.
        rows: How many rows the group has in the pool.
    """

    def __init__(
        self,
        group: str,
        agents: tuple[str, ...],
        form: ActionFormat,
        policy: InvalidAction,
        rows: int,
    ) -> None:
        self._group = group
        self._agents = agents
        self._form = form
        self._dtype = np.dtype(form.dtype)
        self._policy = policy
        self._is_unchecked = policy is InvalidAction.UNCHECKED
        self._sizes = np.array(form.branches or (), dtype=np.uint64)
        self._keys = np.zeros(rows, dtype=np.uint64)
        self._draws = np.zeros(rows, dtype=np.uint64)
        self._zero_based = form.start is not None and not form.start.any()

    def reseed(self, rows: NDArray[np.bool_], keys: NDArray[np.uint64]) -> None:
        """Restart the random actions of some rows of the pool; one key per row of the pool."""
        self._keys[rows] = keys[rows]
        self._draws[rows] = 0

    def check(
        self,
        actions: ArrayLike,
        rows: NDArray[np.intp],
        mask: NDArray[np.bool_] | None,
        status: NDArray[np.int8],
    ) -> CheckedActions:
        """Return the actions as an array to write.

        Args:
            actions: One action per row of the batch, shape ``(n, *action_shape)``.
            rows: Row numbers in the pool, shape ``(n,)``.
            mask: Masks of these rows, or None.
            status: Status of these rows: actions of rows that are not ACTIVE are ignored.

        Raises:
            ActionError: Wrong shape or dtype, out of range, or forbidden under ``error``.
        """
        array = self._as_array(actions, len(rows))
        if self._is_unchecked:
            return CheckedActions(array)
        if self._form.branches is None:
            self._check_bounds(array, rows, status)
            return CheckedActions(array)
        choices = array.reshape(len(rows), len(self._form.branches))
        if not self._zero_based:
            choices = choices - self._form.start
        if mask is None:
            self._check_range(choices, array, rows, status)
            return CheckedActions(array)
        legal = masks.is_legal(mask, choices, self._form.branches)
        if legal.all():
            return CheckedActions(array)
        self._check_range(choices, array, rows, status)
        illegal = np.flatnonzero(~legal & (status == _ACTIVE))
        if not len(illegal):
            return CheckedActions(array)
        if self._policy is InvalidAction.ERROR:
            self._refuse_masked(int(illegal[0]), array, rows, mask)
        return CheckedActions(self._replace(array, illegal, rows, mask), illegal)

    def sample(self, rows: NDArray[np.intp], mask: NDArray[np.bool_] | None) -> NDArray[Any]:
        """Return uniformly random (legal) actions for some rows, from their own random numbers."""
        form = self._form
        count = len(form.branches) if form.branches is not None else int(np.prod(form.shape))
        uniforms = seeding.random_floats(
            self._keys[rows][:, None], self._draws[rows][:, None], np.arange(count)
        )
        self._draws[rows] += np.uint64(1)
        if form.branches is None:
            return self._sample_box(uniforms)
        if mask is None:
            choices = (uniforms * np.asarray(form.branches)).astype(np.int64)
        else:
            choices = masks.sample(mask, form.branches, uniforms)
        shaped = (choices + form.start).reshape(len(rows), *form.shape)
        actions: NDArray[Any] = shaped.astype(self._dtype, copy=False)
        return actions

    def _sample_box(self, uniforms: NDArray[np.float64]) -> NDArray[Any]:
        form = self._form
        assert form.low is not None
        assert form.high is not None
        low = np.where(np.isfinite(form.low), form.low, -1.0).astype(np.float64)
        high = np.where(np.isfinite(form.high), form.high, low + 2.0).astype(np.float64)
        shaped = uniforms.reshape(len(uniforms), *form.shape)
        return (low + shaped * (high - low)).astype(self._dtype)

    def _as_array(self, actions: ArrayLike, count: int) -> NDArray[Any]:
        try:
            array = np.asarray(actions)
        except ValueError as error:
            raise ActionError(
                f"Actions of group {self._group!r} are no array: {error} Give every row an action "
                f"of shape {self._form.shape}."
            ) from None
        expected = (count, *self._form.shape)
        if array.shape != expected:
            raise ActionError(
                f"Actions of group {self._group!r} have shape {array.shape}; expected {expected}: "
                f"one action of shape {self._form.shape} for each of {count} rows."
            )
        if array.dtype == self._dtype:
            return array
        wants_whole_numbers = self._dtype.kind in "iu"
        if array.dtype.kind not in ("iub" if wants_whole_numbers else "fiu"):
            raise ActionError(
                f"Actions of group {self._group!r} have dtype {array.dtype}; expected "
                f"{self._dtype} or what converts to it without loss. Convert them, for instance "
                f"with actions.astype({self._dtype.name!r})."
            )
        return array.astype(self._dtype if not wants_whole_numbers else np.int64)

    def _check_bounds(
        self, array: NDArray[Any], rows: NDArray[np.intp], status: NDArray[np.int8]
    ) -> None:
        inside = (array >= self._form.low) & (array <= self._form.high)
        if inside.all():
            return
        bad = ~inside.reshape(len(array), -1).all(axis=1) & (status == _ACTIVE)
        if bad.any():
            position = int(np.flatnonzero(bad)[0])
            raise ActionError(
                f"The action {array[position]} of {self._name_row(rows[position])} is out of "
                f"range: expected numbers from {self._form.low} to {self._form.high}. Clip the "
                "actions (as stable-baselines3 does by itself)."
            )

    def _check_range(
        self,
        choices: NDArray[Any],
        array: NDArray[Any],
        rows: NDArray[np.intp],
        status: NDArray[np.int8],
    ) -> None:
        # As unsigned numbers, negative choices are huge: one comparison tests both ends.
        outside = choices.astype(np.int64, copy=False).view(np.uint64) >= self._sizes
        if not np.count_nonzero(outside):
            return
        assert self._form.branches is not None
        bad = outside.any(axis=1) & (status == _ACTIVE)
        if bad.any():
            position = int(np.flatnonzero(bad)[0])
            assert self._form.start is not None
            ranges = [
                f"{first}…{first + size - 1}"
                for first, size in zip(self._form.start.tolist(), self._form.branches, strict=True)
            ]
            raise ActionError(
                f"The action {array[position]} of {self._name_row(rows[position])} is out of "
                f"range: expected {' × '.join(ranges)}."
            )

    def _refuse_masked(
        self,
        position: int,
        array: NDArray[Any],
        rows: NDArray[np.intp],
        mask: NDArray[np.bool_],
    ) -> None:
        legal = np.flatnonzero(mask[position])
        shown = ", ".join(map(str, legal[:10])) + (" …" if len(legal) > 10 else "")
        raise ActionError(
            f"The action {array[position]} of {self._name_row(rows[position])} is forbidden by its "
            f"mask, which allows {len(legal)} of {mask.shape[1]} entries ({shown}). Train with "
            "MaskablePPO from sb3-contrib, which respects masks, or choose what happens to such "
            'actions: invalid_action="penalize" (a legal one is taken and '
            'invalid_action_penalty is added to the reward) or "resample" (a legal one is taken).'
        )

    def _replace(
        self,
        array: NDArray[Any],
        illegal: NDArray[np.intp],
        rows: NDArray[np.intp],
        mask: NDArray[np.bool_],
    ) -> NDArray[Any]:
        replaced = array.copy()
        replaced[illegal] = self.sample(rows[illegal], mask[illegal])
        return replaced

    def _name_row(self, row: int) -> str:
        arena, agent = divmod(int(row), len(self._agents))
        return f"row {row} (arena {arena}, agent {self._agents[agent]!r}, group {self._group!r})"
