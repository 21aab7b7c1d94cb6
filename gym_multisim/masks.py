"""Pure, vectorised algebra of action masks: test, sample, combine, pack.

An action consists of *branches*: Discrete(n) has the branches ``(n,)``, MultiDiscrete its flattened
``nvec``, MultiBinary(k) has ``(2,) * k``. A mask row is bool, True = legal, as wide as the sum of
its branches, which follow one another. Actions are zero-based integers shaped
``(rows, len(branches))``.

A *slot* is one of several decisions that are made at once and exclude each other (the two active
Pokémon of a doubles battle), which no branches can say: `joint` makes one branch of them.

Masks may be any views; C-contiguous ones are not copied.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gym_multisim.errors import ActionError, ConfigError, ContractError

BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.integer[Any]]

_BYTE_BITS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")
_BYTE_COUNTS = _BYTE_BITS.sum(axis=1, dtype=np.intp)
"""How many bits of each byte are set, shape ``(256,)``."""
_BYTE_SELECT = np.argsort(_BYTE_BITS == 0, axis=1, kind="stable")
"""Where the k-th set bit of each byte is, shape ``(256, 8)``; past the last set bit, anything."""


def is_legal(mask: BoolArray, actions: IntArray, branches: Sequence[int]) -> BoolArray:
    """Return whether each row's action is legal in every branch.

    Args:
        mask: Bool ``(rows, width)``.
        actions: Integers ``(rows, len(branches))``. Those out of range are illegal, not an error.
        branches: Sizes of the branches.

    Returns:
        Bool ``(rows,)``.

    Raises:
        ActionError: If the actions have a wrong shape or are no integers.
        ContractError: If the mask has a wrong shape or dtype.
    """
    layout = _layout(tuple(branches))
    actions = _checked_actions(actions, len(layout.starts))
    _check_shape(mask, layout, "masks.is_legal", rows=len(actions))
    # As unsigned numbers, negative actions are huge: one comparison tests both ends.
    legal = actions.view(np.uint64) < layout.sizes
    index = np.arange(0, mask.size, layout.width)
    if len(layout.starts) == 1:
        legal = legal[:, 0]
        legal &= mask.reshape(-1).take(index + actions[:, 0], mode="clip")
        return legal
    legal &= mask.reshape(-1).take(index[:, None] + layout.starts + actions, mode="clip")
    every: BoolArray = np.logical_and.reduce(legal, axis=1)
    return every


def only(actions: IntArray, branches: Sequence[int]) -> BoolArray:
    """Return masks that allow exactly the given actions.

    Args:
        actions: Integers ``(rows, len(branches))``.
        branches: Sizes of the branches.

    Returns:
        Bool ``(rows, width)``.

    Raises:
        ActionError: If an action is out of range, or the actions have a wrong shape or dtype.
    """
    layout = _layout(tuple(branches))
    actions = _checked_actions(actions, len(layout.starts))
    _check_range(actions, layout.sizes, "branch")
    mask = np.zeros((len(actions), layout.width), dtype=np.bool_)
    index = np.arange(0, mask.size, layout.width)[:, None] + layout.starts + actions
    mask.reshape(-1)[index] = True
    return mask


def sample(
    mask: BoolArray, branches: Sequence[int], uniforms: NDArray[np.floating[Any]]
) -> NDArray[np.int64]:
    """Return a uniformly random legal action for each row.

    A row's action follows from its own mask and uniforms alone. A branch with c legal entries and
    the uniform u takes entry ``floor(u * c)`` of these, so that equal uniforms give equal actions.

    Args:
        mask: Bool ``(rows, width)``, at least one legal entry in every branch.
        branches: Sizes of the branches.
        uniforms: Random numbers in [0, 1), shape ``(rows, len(branches))``.

    Returns:
        int64 ``(rows, len(branches))``.

    Raises:
        ContractError: If a branch has no legal entry, or the mask has a wrong shape or dtype.
        ConfigError: If the uniforms have a wrong shape or lie outside [0, 1).
    """
    layout = _layout(tuple(branches))
    _check_shape(mask, layout, "masks.sample")
    shape = (len(mask), len(layout.starts))
    _check_uniforms(uniforms, shape)
    # Branches tile the mask, so they are segments of one long bit string. rank[i] counts the legal
    # entries before byte i; a legal entry is found by searching for its rank, then within a byte.
    packed = np.zeros(mask.size // 8 + 1, dtype=np.uint8)
    packed[: -(-mask.size // 8)] = np.packbits(mask, bitorder="little")
    rank = np.zeros(packed.size + 1, dtype=np.intp)
    np.cumsum(_BYTE_COUNTS.take(packed), out=rank[1:])

    start = (np.arange(0, mask.size, layout.width)[:, None] + layout.starts).reshape(-1)
    edge = np.append(start, mask.size)
    edge_byte, edge_bit = edge >> 3, edge & 7
    before = rank[edge_byte] + _BYTE_COUNTS[packed[edge_byte] & ((1 << edge_bit) - 1)]
    count = np.diff(before)
    if not count.all():
        _raise_no_legal_entry(count.reshape(shape) > 0, layout, "masks.sample")

    wanted = before[:-1] + (uniforms.reshape(-1) * count).astype(np.intp)
    byte = rank.searchsorted(wanted, side="right") - 1
    position = byte * 8 + _BYTE_SELECT[packed[byte], wanted - rank[byte]]
    return np.asarray(position - start, dtype=np.int64).reshape(shape)


def joint(
    slots: Sequence[BoolArray],
    forbidden: BoolArray | None = None,
    *,
    out: BoolArray | None = None,
) -> BoolArray:
    """Return the masks of the joint action of several slots.

    A joint action is legal if each slot's entry is legal and the combination is not forbidden. Its
    index is row-major: ``n_1 * slot_0 + slot_1`` for two slots (see `split`). A row may come out
    without any legal entry, for instance when two slots can only make the same forbidden choice;
    `check` finds such rows.

    Args:
        slots: The mask of each slot, bool ``(rows, n_i)``.
        forbidden: Combinations that exclude each other (True = forbidden), bool, broadcastable to
            ``(rows, n_0, n_1, …)``. For two slots that includes a static table ``(n_0, n_1)`` as
            `forbid_equal` and `forbid_both` make; join tables with ``|``.
        out: Where to write, bool ``(rows, n_0 * n_1 * …)``, such as the rows' ``action_mask``.

    Returns:
        Bool ``(rows, n_0 * n_1 * …)``: ``out`` if given, else a new array.

    Raises:
        ContractError: If slots, ``forbidden`` or ``out`` have a wrong shape or dtype.
    """
    rows, sizes = _slot_sizes(slots)
    shape = (rows, *sizes)
    if out is None:
        out = np.empty((rows, math.prod(sizes)), dtype=np.bool_)
    elif out.shape != (rows, math.prod(sizes)) or out.dtype.kind != "b":
        raise ContractError(
            f"The joint mask of slots of {sizes} entries: expected out to be bool of shape "
            f"{(rows, math.prod(sizes))}, found {_kind(out)}. Make the joint action space as wide "
            "as the product of its slots."
        )
    result = out.reshape(shape)  # a view: only the last axis is split
    table = slots[-1]
    for slot in reversed(slots[1:-1]):
        table = _outer(slot, table).reshape(rows, slot.shape[1] * table.shape[1])
    if len(slots) == 1:
        result[...] = table
    else:
        _outer(slots[0], table, out=result.reshape(rows, sizes[0], table.shape[1]))
    if forbidden is not None:
        _check_forbidden(forbidden, shape)
        np.logical_and(result, ~forbidden, out=result)
    return out


def forbid_equal(n: int, entries: ArrayLike) -> BoolArray:
    """Return a table for `joint`: both slots choosing the same one of ``entries`` is forbidden.

    Args:
        n: How many entries each of the two slots has.
        entries: Indices of what only one slot may choose, such as a switch to the same Pokémon.

    Returns:
        Bool ``(n, n)``, True = forbidden.

    Raises:
        ConfigError: If an entry is outside [0, n).
    """
    table = np.zeros((n, n), dtype=np.bool_)
    index = _checked_entries(entries, n, "entries")
    table[index, index] = True
    return table


def forbid_both(n0: int, n1: int, entries0: ArrayLike, entries1: ArrayLike) -> BoolArray:
    """Return a table for `joint`: both slots choosing any of their entries is forbidden.

    Args:
        n0: How many entries the first slot has.
        n1: How many entries the second slot has.
        entries0: Indices in the first slot of what may happen once, such as a terastallization.
        entries1: The same in the second slot.

    Returns:
        Bool ``(n0, n1)``, True = forbidden.

    Raises:
        ConfigError: If an entry is outside its slot.
    """
    table = np.zeros((n0, n1), dtype=np.bool_)
    first = _checked_entries(entries0, n0, "entries0")
    second = _checked_entries(entries1, n1, "entries1")
    table[first[:, None], second] = True
    return table


def split(joint_actions: IntArray, sizes: Sequence[int]) -> NDArray[np.int64]:
    """Return the slots' actions of joint actions: the reverse of `join`.

    Args:
        joint_actions: Row-major joint indices, integers of any shape, for instance ``(rows,)``.
        sizes: How many entries each slot has.

    Returns:
        int64 ``(*joint_actions.shape, len(sizes))``.

    Raises:
        ActionError: If an index is out of range or no integer.
    """
    left = _as_int64(joint_actions)
    _check_range(left[..., None], np.array([math.prod(sizes)], dtype=np.uint64), "joint branch")
    result = np.empty((*left.shape, len(sizes)), dtype=np.int64)
    for slot in range(len(sizes) - 1, 0, -1):
        left, result[..., slot] = np.divmod(left, sizes[slot])
    result[..., 0] = left
    return result


def join(slot_actions: IntArray, sizes: Sequence[int]) -> NDArray[np.int64]:
    """Return the joint actions of slots' actions: the reverse of `split`.

    Args:
        slot_actions: One index per slot in the last axis, for instance ``(rows, len(sizes))``.
        sizes: How many entries each slot has.

    Returns:
        int64, shaped like ``slot_actions`` without its last axis.

    Raises:
        ActionError: If an index is out of range or no integer, or the last axis is too long.
    """
    actions = _as_int64(slot_actions)
    if actions.shape[-1:] != (len(sizes),):
        raise ActionError(
            f"Actions of slots of {tuple(sizes)} entries: expected the shape (…, {len(sizes)}), "
            f"found {actions.shape}. Give one index per slot in the last axis."
        )
    _check_range(actions, np.array(sizes, dtype=np.uint64), "slot")
    result: NDArray[np.int64] = actions[..., 0].copy()
    for slot in range(1, len(sizes)):
        result *= sizes[slot]
        result += actions[..., slot]
    return result


def pack(mask: BoolArray) -> NDArray[np.uint8]:
    """Return masks as bits: an eighth of the memory. `unpack` restores them exactly.

    Args:
        mask: Bool ``(rows, width)``, or with any other leading axes.

    Returns:
        uint8 ``(rows, ceil(width / 8))``; entry i is bit ``i % 8`` of byte ``i // 8``.

    Raises:
        ContractError: If the mask is not bool.
    """
    if mask.dtype.kind != "b" or mask.ndim == 0:
        raise ContractError(
            f"A mask to pack: expected bool of shape (rows, width), found {_kind(mask)}. "
            "Convert it with mask.astype(bool)."
        )
    return np.packbits(mask, axis=-1, bitorder="little")


def unpack(packed: NDArray[np.uint8], width: int) -> BoolArray:
    """Return the masks that `pack` made bits of.

    Args:
        packed: uint8 ``(rows, ceil(width / 8))``, or with any other leading axes.
        width: How many entries a mask row has.

    Returns:
        Bool ``(rows, width)``.

    Raises:
        ConfigError: If the packed masks have a wrong dtype, or belong to another width.
    """
    expected = -(-width // 8)
    if packed.dtype != np.uint8 or packed.shape[-1:] != (expected,):
        raise ConfigError(
            f"Packed masks of {width} entries: expected uint8 of shape (rows, {expected}), found "
            f"{_kind(packed)}. Give the width that the masks had before pack()."
        )
    return np.unpackbits(packed, axis=-1, count=width, bitorder="little").view(np.bool_)


def check(mask: BoolArray, branches: Sequence[int], where: str) -> None:
    """Raise unless every row has a legal entry in each of its branches.

    Args:
        mask: Bool ``(rows, width)``.
        branches: Sizes of the branches.
        where: Begins the message: whose masks they are, such as "Server 3, group 'trainer'".

    Raises:
        ContractError: Names the first row and branch without a legal entry, or the wrong shape or
            dtype.
    """
    layout = _layout(tuple(branches))
    _check_shape(mask, layout, where)
    has_legal = np.logical_or.reduceat(mask, layout.starts, axis=1)
    if not has_legal.all():
        _raise_no_legal_entry(has_legal, layout, where)


class _Layout(NamedTuple):
    """Where the branches of an action lie in a mask row."""

    starts: NDArray[np.int64]
    sizes: NDArray[np.uint64]
    width: int


@lru_cache(maxsize=256)
def _layout(branches: tuple[int, ...]) -> _Layout:
    if not branches or min(branches) < 1:
        raise ConfigError(
            f"Branches of an action: expected at least one, each of 1 entry or more, found "
            f"{branches}. Discrete(n) has (n,), MultiDiscrete its nvec, MultiBinary(k) (2,) * k."
        )
    sizes = np.array(branches, dtype=np.int64)
    starts = np.cumsum(sizes) - sizes
    return _Layout(starts, sizes.astype(np.uint64), int(sizes.sum()))


def _outer(left: BoolArray, right: BoolArray, out: BoolArray | None = None) -> BoolArray:
    """Return ``left[:, :, None] & right[:, None, :]``, three times as fast.

    A legal entry of ``left`` copies its row of ``right``, an illegal one the row of zeros; NumPy
    copies whole rows quicker than it starts an inner loop for each.
    """
    rows = len(left)
    choices = np.zeros((rows + 1, right.shape[1]), dtype=np.bool_)
    choices[1:] = right
    chosen = left * np.arange(1, rows + 1)[:, None]
    # "clip" because "raise" would write to a copy of out first.
    return choices.take(chosen, axis=0, out=out, mode="clip")


def _as_int64(actions: IntArray) -> NDArray[np.int64]:
    if actions.dtype.kind not in "iub":
        raise ActionError(
            f"Actions: expected integers, found {_kind(actions)}. Convert them to np.int64."
        )
    return actions.astype(np.int64, copy=False)


def _checked_actions(actions: IntArray, branches: int) -> NDArray[np.int64]:
    if actions.ndim != 2 or actions.shape[1] != branches:
        raise ActionError(
            f"Actions of {branches} branches: expected integers of shape (rows, {branches}), found "
            f"{_kind(actions)}. Give one column per branch: actions.reshape(-1, {branches})."
        )
    return _as_int64(actions)


def _check_range(actions: NDArray[np.int64], sizes: NDArray[np.uint64], column: str) -> None:
    """Raise unless ``0 <= actions[..., i] < sizes[i]``."""
    outside = actions.view(np.uint64) >= sizes
    if outside.any():
        *row, i = _first(outside)
        where = f"row {row[0] if len(row) == 1 else tuple(row)}, {column} {i}"
        raise ActionError(
            f"The action of {where} is out of range: expected 0 to {int(sizes[i]) - 1}, found "
            f"{actions[(*row, i)]}. Actions are zero-based."
        )


def _check_shape(mask: BoolArray, layout: _Layout, where: str, rows: int | None = None) -> None:
    if (
        mask.ndim != 2
        or mask.shape[1] != layout.width
        or mask.dtype.kind != "b"
        or (rows is not None and len(mask) != rows)
    ):
        expected = "rows" if rows is None else rows
        raise ContractError(
            f"{where}: the action mask has a wrong shape or dtype: expected bool of shape "
            f"({expected}, {layout.width}), found {_kind(mask)}. A mask row holds one bool for "
            f"each entry of each branch; the branches have {_listed(layout)} entries."
        )


def _check_uniforms(uniforms: NDArray[np.floating[Any]], shape: tuple[int, int]) -> None:
    is_usable = uniforms.shape == shape and uniforms.dtype.kind == "f"
    if not is_usable or not ((uniforms >= 0) & (uniforms < 1)).all():
        found = _kind(uniforms)
        if is_usable:
            found = f"{uniforms[_first(~((uniforms >= 0) & (uniforms < 1)))]}"
        raise ConfigError(
            f"Uniforms to sample actions with: expected floats in [0, 1) of shape {shape}, found "
            f"{found}. Draw them with rng.random({shape}) or seeding.random_floats."
        )


def _slot_sizes(slots: Sequence[BoolArray]) -> tuple[int, tuple[int, ...]]:
    """Return the number of rows and each slot's number of entries."""
    if not slots:
        raise ContractError(
            "A joint mask: expected the masks of at least one slot, found none. Give a list of "
            "bool arrays of shape (rows, n_i)."
        )
    rows = len(slots[0]) if slots[0].ndim else 0
    for i, slot in enumerate(slots):
        if slot.ndim != 2 or len(slot) != rows or slot.dtype.kind != "b" or not slot.shape[1]:
            raise ContractError(
                f"The mask of slot {i}: expected bool of shape ({rows}, 1 or more), found "
                f"{_kind(slot)}. All slots have the same rows, and a bool for each entry."
            )
    return rows, tuple(slot.shape[1] for slot in slots)


def _check_forbidden(forbidden: BoolArray, shape: tuple[int, ...]) -> None:
    try:
        np.broadcast_to(forbidden, shape)
        is_usable = forbidden.dtype.kind == "b"
    except ValueError:
        is_usable = False
    if not is_usable:
        raise ContractError(
            f"Forbidden combinations: expected bool that broadcasts to {shape} (rows, then one "
            f"axis per slot), found {_kind(forbidden)}. A static table leaves out the rows."
        )


def _checked_entries(entries: ArrayLike, n: int, name: str) -> NDArray[np.int64]:
    index = np.asarray(entries)
    index = index if index.size else np.zeros(0, dtype=np.int64)
    if index.ndim != 1 or index.dtype.kind not in "iu" or ((index < 0) | (index >= n)).any():
        raise ConfigError(
            f"{name} of a slot: expected a list of integers from 0 to {n - 1}, found "
            f"{index.tolist()}. Give indices of entries in a slot of {n}."
        )
    return index.astype(np.int64, copy=False)


def _raise_no_legal_entry(has_legal: BoolArray, layout: _Layout, where: str) -> None:
    row, branch = _first(~has_legal)
    first = int(layout.starts[branch])
    last = first + int(layout.sizes[branch]) - 1
    raise ContractError(
        f"{where}: the action mask has no legal entry in row {row}, branch {branch}: expected at "
        f"least one True in columns {first} to {last}, found none. Rows that have nothing to "
        "decide must allow the idle action (see masks.only)."
    )


def _first(bad: BoolArray) -> tuple[int, ...]:
    """Return the index of the first True."""
    return tuple(int(i) for i in np.unravel_index(bad.argmax(), bad.shape))


def _kind(array: NDArray[Any]) -> str:
    return f"{array.dtype} of shape {array.shape}"


def _listed(layout: _Layout) -> str:
    sizes = layout.sizes.tolist()
    return ", ".join(map(str, sizes[:8])) + (f", … ({len(sizes)} branches)" if sizes[8:] else "")
