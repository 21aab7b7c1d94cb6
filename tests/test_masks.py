from __future__ import annotations

import itertools
import math
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gym_multisim import masks
from gym_multisim.errors import ActionError, ConfigError, ContractError

BRANCHES = [(1,), (2,), (7,), (8,), (9,), (65,), (3, 1, 4), (2,) * 11, (1, 1), (130, 2)]
ROWS = [0, 1, 3, 40]
LARGEST = np.nextafter(1.0, 0.0)

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


def random_mask(rng: np.random.Generator, rows: int, branches: Sequence[int]) -> Bools:
    """Return masks of every density with at least one legal entry in each branch."""
    mask = rng.random((rows, sum(branches))) < rng.random((rows, 1))
    for row in mask:
        first = 0
        for size in branches:
            row[first + rng.integers(size)] = True
            first += size
    return mask


def legal_entries(row: Bools, branches: Sequence[int]) -> list[list[int]]:
    """Return the legal entries of each branch of one mask row, by plain counting."""
    entries, first = [], 0
    for size in branches:
        entries.append([i for i in range(size) if row[first + i]])
        first += size
    return entries


def is_legal_slowly(mask: Bools, actions: Ints, branches: Sequence[int]) -> list[bool]:
    """Return for each row whether every entry of its action is among the legal ones."""
    return [
        all(
            int(action[branch]) in entries
            for branch, entries in enumerate(legal_entries(row, branches))
        )
        for row, action in zip(mask, actions, strict=True)
    ]


def joint_slowly(slots: Sequence[Bools], forbidden: Bools | None) -> Bools:
    """Return the joint masks by visiting every combination of every row."""
    sizes = [slot.shape[1] for slot in slots]
    rows = len(slots[0])
    result = np.zeros((rows, math.prod(sizes)), dtype=bool)
    table = None if forbidden is None else np.broadcast_to(forbidden, (rows, *sizes))
    for row in range(rows):
        for joint, entries in enumerate(itertools.product(*map(range, sizes))):
            is_allowed = table is None or not table[(row, *entries)]
            is_legal = all(slot[row, i] for slot, i in zip(slots, entries, strict=True))
            result[row, joint] = is_legal and is_allowed
    return result


# is_legal


@pytest.mark.parametrize("branches", BRANCHES)
@pytest.mark.parametrize("rows", ROWS)
def test_is_legal_equals_a_plain_loop_in_and_out_of_range(
    branches: tuple[int, ...], rows: int
) -> None:
    """Legal, masked, negative and too large actions are told apart in every branch."""
    rng = np.random.default_rng(rows)
    for _ in range(20):
        mask = random_mask(rng, rows, branches)
        actions = rng.integers(-1, np.array(branches) + 1, (rows, len(branches)))
        legal = masks.is_legal(mask, actions, branches)
        assert legal.dtype == np.bool_
        assert legal.shape == (rows,)
        assert legal.tolist() == is_legal_slowly(mask, actions, branches)


@pytest.mark.parametrize("branches", [(5,), (2, 3)])
@pytest.mark.parametrize("value", [-1, -6, 5, 10**12, -(2**63), 2**63 - 1])
def test_is_legal_is_false_and_does_not_wrap_for_actions_far_out_of_range(
    branches: tuple[int, ...], value: int
) -> None:
    """An index outside the branch is illegal even where all entries of all rows are legal."""
    actions = np.zeros((3, len(branches)), dtype=np.int64)
    actions[1, 0] = value
    assert masks.is_legal(np.ones((3, 5), bool), actions, branches).tolist() == [True, False, True]


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int8, np.int16, np.int32, np.uint64])
def test_is_legal_takes_every_integer_dtype(dtype: type[np.generic]) -> None:
    """Actions of any integer type mean the same."""
    mask = np.array([[True, False], [True, False], [False, True]])
    actions = np.array([[0], [1], [1]]).astype(dtype)
    assert masks.is_legal(mask, actions, (2,)).tolist() == [True, False, True]


def test_is_legal_takes_huge_unsigned_actions_as_illegal() -> None:
    """A uint64 beyond the signed range is out of range like any other."""
    actions = np.array([[2**64 - 1], [2**63], [1]], dtype=np.uint64)
    assert masks.is_legal(np.ones((3, 2), bool), actions, (2,)).tolist() == [False, False, True]


@pytest.mark.parametrize("branches", [(6,), (2, 4)])
def test_is_legal_takes_views_that_are_not_contiguous(branches: tuple[int, ...]) -> None:
    """Strided and reversed views of masks and actions give what their copies give."""
    rng = np.random.default_rng(1)
    mask = (rng.random((40, 12)) < 0.5)[::-2, ::2]
    actions = rng.integers(0, 4, (20, 2 * len(branches)))[:, ::2]
    expected = is_legal_slowly(mask, actions, branches)
    assert masks.is_legal(mask, actions, branches).tolist() == expected
    assert len(set(expected)) == 2


@pytest.mark.parametrize("branches", [(4,), (2, 2)])
def test_is_legal_leaves_its_arguments_as_they_are(branches: tuple[int, ...]) -> None:
    """Mask and actions may be views of shared memory: they are only read."""
    mask = np.array([[True, False, True, True]])
    actions = np.full((1, len(branches)), 1)
    mask.setflags(write=False)
    actions.setflags(write=False)
    assert masks.is_legal(mask, actions, branches).tolist() == [False]


@pytest.mark.parametrize(
    ("actions", "found"),
    [
        (np.zeros(3, int), "int64 of shape (3,)"),
        (np.zeros((3, 2), int), "int64 of shape (3, 2)"),
        (np.zeros((3, 1)), "float64 of shape (3, 1)"),
    ],
)
def test_is_legal_rejects_actions_of_a_wrong_kind(actions: NDArray[Any], found: str) -> None:
    """Wrong shapes and floats are mistakes of the caller, unlike illegal actions."""
    with pytest.raises(ActionError) as caught:
        masks.is_legal(np.ones((3, 4), bool), actions, (4,))
    assert found in str(caught.value)


@pytest.mark.parametrize(
    "mask", [np.ones((3, 5), bool), np.ones((2, 4), bool), np.ones((3, 4), np.uint8)]
)
def test_is_legal_rejects_masks_of_a_wrong_kind(mask: NDArray[Any]) -> None:
    """A mask of another width, row count or dtype is named with what was expected."""
    with pytest.raises(ContractError, match=r"expected bool of shape \(3, 4\), found"):
        masks.is_legal(mask, np.zeros((3, 1), int), (4,))


@pytest.mark.parametrize("branches", [(), (3, 0), (-1,)])
def test_branches_without_entries_are_rejected(branches: tuple[int, ...]) -> None:
    """An action has branches, and a branch has entries."""
    with pytest.raises(ConfigError, match="at least one"):
        masks.is_legal(np.ones((1, 3), bool), np.zeros((1, len(branches)), int), branches)


# only


@pytest.mark.parametrize("branches", BRANCHES)
@pytest.mark.parametrize("rows", ROWS)
def test_only_allows_exactly_the_given_actions(branches: tuple[int, ...], rows: int) -> None:
    """Each branch of each row has one legal entry: the action's."""
    actions = np.random.default_rng(2).integers(0, branches, (rows, len(branches)))
    mask = masks.only(actions, branches)
    assert mask.dtype == np.bool_
    assert mask.shape == (rows, sum(branches))
    for row, action in zip(mask, actions, strict=True):
        assert legal_entries(row, branches) == [[int(entry)] for entry in action]


@pytest.mark.parametrize("value", [-1, 3])
def test_only_names_an_action_out_of_range(value: int) -> None:
    """Without a range check the neighbouring branch would be allowed."""
    actions = np.array([[1, 2], [0, value]])
    with pytest.raises(ActionError, match=rf"row 1, branch 1.*expected 0 to 2, found {value}"):
        masks.only(actions, (2, 3))


def test_only_rejects_actions_of_another_width() -> None:
    """The number of columns is the number of branches."""
    with pytest.raises(ActionError, match=r"expected integers of shape \(rows, 2\)"):
        masks.only(np.zeros((4, 1), int), (2, 3))


# sample


@pytest.mark.parametrize("branches", BRANCHES)
@pytest.mark.parametrize("rows", ROWS)
def test_sample_takes_the_entry_that_the_uniform_points_to(
    branches: tuple[int, ...], rows: int
) -> None:
    """With c legal entries, uniform u takes number floor(u * c) of them."""
    rng = np.random.default_rng(3)
    for _ in range(20):
        mask = random_mask(rng, rows, branches)
        uniforms = rng.random((rows, len(branches)))
        uniforms[rng.random(uniforms.shape) < 0.2] = 0.0
        uniforms[rng.random(uniforms.shape) < 0.2] = LARGEST
        actions = masks.sample(mask, branches, uniforms)
        assert actions.dtype == np.int64
        assert actions.shape == uniforms.shape
        for row, action, numbers in zip(mask, actions, uniforms, strict=True):
            entries = legal_entries(row, branches)
            expected = [e[math.floor(u * len(e))] for e, u in zip(entries, numbers, strict=True)]
            assert action.tolist() == expected


@pytest.mark.parametrize("width", [1, 7, 8, 9, 2025])
def test_sample_reaches_both_ends_of_the_legal_entries(width: int) -> None:
    """The uniform 0 takes the first legal entry, the largest below 1 the last one."""
    mask = np.ones((2, width), bool)
    for last in (LARGEST, 1 - 0.4 / width):
        actions = masks.sample(mask, (width,), np.array([[0.0], [last]]))
        assert actions.tolist() == [[0], [width - 1]]


@pytest.mark.parametrize("entry", [0, 1, 63, 64, 2024])
def test_sample_takes_a_single_legal_entry_whatever_the_uniform(entry: int) -> None:
    """One legal entry leaves no choice, also as the last bit of the last row."""
    mask = masks.only(np.full((5, 1), entry), (2025,))
    uniforms = np.array([[0.0], [0.25], [0.5], [0.999999], [LARGEST]])
    assert (masks.sample(mask, (2025,), uniforms) == entry).all()


@pytest.mark.parametrize(("branches", "bins"), [((23,), 9), ((5, 30), 12)])
def test_sample_is_uniform_over_the_legal_entries(branches: tuple[int, ...], bins: int) -> None:
    """The chi-square statistic of 40,000 draws (expected: 8 and 11) stays below a loose 45."""
    rng = np.random.default_rng(4)
    row = np.zeros(sum(branches), bool)
    row[rng.choice(np.arange(5, len(row)), bins, replace=False)] = True
    row[0] = len(branches) > 1  # a branch of its own, with a single legal entry
    draws = 40_000
    mask = np.tile(row, (draws, 1))
    actions = masks.sample(mask, branches, rng.random((draws, len(branches))))
    entries = legal_entries(row, branches)[-1]
    counts = np.array([(actions[:, -1] == entry).sum() for entry in entries])
    assert counts.sum() == draws
    chi_square = ((counts - draws / bins) ** 2 / (draws / bins)).sum()
    assert chi_square < 45


def test_sample_draws_branches_independently() -> None:
    """All combinations of two branches come equally often."""
    rng = np.random.default_rng(5)
    actions = masks.sample(np.ones((40_000, 7), bool), (3, 4), rng.random((40_000, 2)))
    counts = np.bincount(actions[:, 0] * 4 + actions[:, 1], minlength=12)
    assert ((counts - 40_000 / 12) ** 2 / (40_000 / 12)).sum() < 45


def test_sample_of_a_row_does_not_depend_on_the_rows_beside_it() -> None:
    """A row sampled alone, in a batch or in a strided view gives the same action."""
    rng = np.random.default_rng(6)
    mask = random_mask(rng, 50, (45, 3))
    uniforms = rng.random((50, 2))
    together = masks.sample(mask, (45, 3), uniforms)
    for i in range(50):
        alone = masks.sample(mask[i : i + 1], (45, 3), uniforms[i : i + 1])
        assert alone.tolist() == [together[i].tolist()]
    backwards = masks.sample(mask[::-2], (45, 3), uniforms[::-2])
    np.testing.assert_array_equal(backwards, together[::-2])


def test_sample_takes_single_precision_uniforms() -> None:
    """The largest float32 below 1 still points to the last of 2,025 entries."""
    uniforms = np.array([[np.nextafter(np.float32(1), np.float32(0))]], dtype=np.float32)
    assert masks.sample(np.ones((1, 2025), bool), (2025,), uniforms).tolist() == [[2024]]


@pytest.mark.parametrize(("row", "branch"), [(0, 0), (2, 1), (6, 2)])
def test_sample_names_the_row_and_branch_without_a_legal_entry(row: int, branch: int) -> None:
    """The neighbours' legal entries are not taken instead."""
    branches = (3, 2, 4)
    mask = np.ones((7, 9), bool)
    first = sum(branches[:branch])
    mask[row, first : first + branches[branch]] = False
    with pytest.raises(ContractError) as caught:
        masks.sample(mask, branches, np.zeros((7, 3)))
    assert f"row {row}, branch {branch}" in str(caught.value)
    assert f"columns {first} to {first + branches[branch] - 1}" in str(caught.value)


@pytest.mark.parametrize("value", [-0.01, 1.0, np.nan, np.inf])
def test_sample_rejects_uniforms_outside_the_unit_interval(value: float) -> None:
    """A number outside [0, 1) would point to an entry of another row."""
    uniforms = np.array([[0.5], [value]])
    with pytest.raises(ConfigError, match=rf"floats in \[0, 1\).*found {value}"):
        masks.sample(np.ones((2, 4), bool), (4,), uniforms)


@pytest.mark.parametrize("uniforms", [np.zeros(2), np.zeros((2, 2)), np.zeros((2, 1), int)])
def test_sample_rejects_uniforms_of_a_wrong_kind(uniforms: NDArray[Any]) -> None:
    """There is one float per row and branch."""
    with pytest.raises(ConfigError, match=r"shape \(2, 1\)"):
        masks.sample(np.ones((2, 4), bool), (4,), uniforms)


def test_sample_rejects_a_mask_of_another_width() -> None:
    """The message holds the widths of the branches."""
    with pytest.raises(ContractError, match=r"\(rows, 5\).*\(2, 4\).*2, 3 entries"):
        masks.sample(np.ones((2, 4), bool), (2, 3), np.zeros((2, 2)))


# joint


@pytest.mark.parametrize("sizes", [(1,), (6,), (5, 4), (1, 3), (3, 1), (3, 4, 2), (2, 2, 3, 2)])
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("kind", ["nothing", "static", "per row"])
def test_joint_equals_a_plain_loop_over_all_combinations(
    sizes: tuple[int, ...], rows: int, kind: str
) -> None:
    """Any number of slots, with nothing, a static table or a table per row forbidden."""
    rng = np.random.default_rng(7)
    slots = [rng.random((rows, n)) < 0.6 for n in sizes]
    shape = {"nothing": None, "static": sizes, "per row": (rows, *sizes)}[kind]
    forbidden = None if shape is None else rng.random(shape) < 0.3
    expected = joint_slowly(slots, forbidden)
    result = masks.joint(slots, forbidden)
    assert result.dtype == np.bool_
    np.testing.assert_array_equal(result, expected)


def test_joint_is_row_major_with_the_first_slot_outermost() -> None:
    """Entries 3 and 7 of two slots of 45 are joint action 45 * 3 + 7."""
    slots = [masks.only(np.array([[i]]), (45,)) for i in (3, 7)]
    assert np.flatnonzero(masks.joint(slots)[0]).tolist() == [45 * 3 + 7]


def test_joint_broadcasts_a_table_over_the_slots_it_does_not_name() -> None:
    """A table of the last two of three slots has an axis of length 1 for the first."""
    rng = np.random.default_rng(8)
    slots = [rng.random((6, n)) < 0.8 for n in (2, 3, 3)]
    table = masks.forbid_equal(3, [0, 2])[None]
    np.testing.assert_array_equal(masks.joint(slots, table), joint_slowly(slots, table))


@pytest.mark.parametrize("is_strided", [False, True])
@pytest.mark.parametrize("sizes", [(5,), (4, 3), (2, 3, 2)])
def test_joint_writes_into_out_and_nowhere_else(is_strided: bool, sizes: tuple[int, ...]) -> None:
    """Every entry of ``out`` is overwritten and returned, also in a view with gaps."""
    rng = np.random.default_rng(9)
    slots = [rng.random((6, n)) < 0.6 for n in sizes]
    forbidden = rng.random(sizes) < 0.3
    expected = joint_slowly(slots, forbidden)
    for stale in (False, True):
        block = np.full((12, 2 * expected.shape[1]), stale)
        out = block[::2, ::2] if is_strided else block[:6, : expected.shape[1]]
        assert masks.joint(slots, forbidden, out=out) is out
        np.testing.assert_array_equal(out, expected)
        assert (block == stale).sum() == block.size - (out != stale).sum()


def test_joint_leaves_slots_and_table_as_they_are() -> None:
    """Slots and tables are only read, and the result is no view of them."""
    slots = [np.ones((2, 3), bool), np.ones((2, 3), bool)]
    table = masks.forbid_equal(3, [1])
    for array in (*slots, table):
        array.setflags(write=False)
    masks.joint(slots, table)[...] = False
    masks.joint(slots[:1])[...] = False
    assert all(slot.all() for slot in slots)


def test_joint_may_leave_a_row_without_legal_action() -> None:
    """Two slots that can only switch to the same Pokémon have none; `check` finds the row."""
    slot = masks.only(np.array([[0], [2]]), (3,))
    result = masks.joint([slot, slot], masks.forbid_equal(3, [2]))
    assert result.any(axis=1).tolist() == [True, False]
    with pytest.raises(ContractError, match="row 1, branch 0"):
        masks.check(result, (9,), "Doubles")


@pytest.mark.parametrize(
    ("slots", "named"),
    [
        ([], "at least one slot"),
        ([np.ones((2, 3), bool), np.ones((3, 3), bool)], "slot 1"),
        ([np.ones((2, 3), bool), np.ones((2, 3), int)], "slot 1"),
        ([np.ones(3, bool), np.ones(3, bool)], "slot 0"),
        ([np.ones((2, 3), bool), np.ones((2, 0), bool)], "slot 1"),
    ],
)
def test_joint_names_a_slot_of_a_wrong_kind(slots: list[NDArray[Any]], named: str) -> None:
    """Slots are bool, have equal rows and at least one entry."""
    with pytest.raises(ContractError, match=named):
        masks.joint(slots)


@pytest.mark.parametrize(
    "forbidden", [np.ones((3, 4), bool), np.ones((2, 12), bool), np.ones((4, 3), int)]
)
def test_joint_rejects_a_table_that_does_not_fit(forbidden: NDArray[Any]) -> None:
    """A transposed, flattened or integer table is an error."""
    with pytest.raises(ContractError, match=r"broadcasts to \(2, 4, 3\)"):
        masks.joint([np.ones((2, 4), bool), np.ones((2, 3), bool)], forbidden)


@pytest.mark.parametrize(
    "out", [np.ones((2, 11), bool), np.ones((3, 12), bool), np.ones((2, 12), np.uint8)]
)
def test_joint_rejects_an_out_that_does_not_fit(out: NDArray[Any]) -> None:
    """``out`` is bool, of the rows and the product of the slots."""
    with pytest.raises(ContractError, match=r"shape \(2, 12\)"):
        masks.joint([np.ones((2, 4), bool), np.ones((2, 3), bool)], out=out)


@pytest.mark.parametrize("entries", [[], [0], [4, 1], range(5), np.array([2, 3], np.uint8)])
def test_forbid_equal_forbids_the_same_entry_twice(entries: Any) -> None:
    """Only equal pairs of the given entries are forbidden."""
    table = masks.forbid_equal(5, entries)
    assert table.dtype == np.bool_
    for i, j in itertools.product(range(5), repeat=2):
        assert table[i, j] == (i == j and i in list(entries))


@pytest.mark.parametrize(
    ("first", "second"), [([], [1]), ([0], []), ([0, 2], [1, 3]), ([1], range(4))]
)
def test_forbid_both_forbids_any_pair_of_the_entries(first: Any, second: Any) -> None:
    """A pair is forbidden if both of its entries are named, each in its own slot."""
    table = masks.forbid_both(3, 4, first, second)
    assert table.dtype == np.bool_
    assert table.shape == (3, 4)
    for i, j in itertools.product(range(3), range(4)):
        assert table[i, j] == (i in list(first) and j in list(second))


@pytest.mark.parametrize("entries", [[-1], [3], [0.5], [[0, 1]], [True, False, True]])
def test_tables_reject_entries_outside_the_slot(entries: Any) -> None:
    """Negative indices would silently forbid something else."""
    makers: list[Callable[[], Bools]] = [
        lambda: masks.forbid_equal(3, entries),
        lambda: masks.forbid_both(3, 9, entries, [0]),
        lambda: masks.forbid_both(9, 3, [0], entries),
    ]
    for make in makers:
        with pytest.raises(ConfigError, match="integers from 0 to 2"):
            make()


# split and join


@pytest.mark.parametrize("sizes", [(1,), (7,), (45, 45), (3, 5), (2, 3, 4), (1, 4, 1)])
def test_split_and_join_follow_the_order_of_all_combinations(sizes: tuple[int, ...]) -> None:
    """The k-th combination, with the last slot turning fastest, is joint action k."""
    combinations = list(itertools.product(*map(range, sizes)))
    joint_actions = np.arange(len(combinations))
    slot_actions = masks.split(joint_actions, sizes)
    assert slot_actions.dtype == np.int64
    assert [tuple(row) for row in slot_actions.tolist()] == combinations
    joined = masks.join(slot_actions, sizes)
    assert joined.dtype == np.int64
    np.testing.assert_array_equal(joined, joint_actions)


@pytest.mark.parametrize("shape", [(), (0,), (4,), (2, 3), (2, 0, 3)])
def test_split_and_join_keep_leading_axes(shape: tuple[int, ...]) -> None:
    """Rows may be shaped (arenas, agents), or be a single number."""
    joint_actions = np.random.default_rng(10).integers(0, 12, shape)
    slot_actions = masks.split(np.asarray(joint_actions), (3, 4))
    assert slot_actions.shape == (*shape, 2)
    np.testing.assert_array_equal(masks.join(slot_actions, (3, 4)), joint_actions)


def test_split_and_join_take_narrow_integers() -> None:
    """A product of two narrow indices does not overflow, and arguments are not changed."""
    slot_actions = np.array([[44, 44]], dtype=np.int8)
    assert masks.join(slot_actions, (45, 45)).tolist() == [2024]
    assert slot_actions.tolist() == [[44, 44]]
    wide = np.array([[44, 44]])
    assert masks.join(wide, (45, 45)).tolist() == [2024]
    assert wide.tolist() == [[44, 44]]
    assert masks.split(np.array([2024], dtype=np.uint16), (45, 45)).tolist() == [[44, 44]]


@pytest.mark.parametrize("value", [-1, 12])
def test_split_names_a_joint_action_out_of_range(value: int) -> None:
    """The message holds the row, the range and the number found."""
    with pytest.raises(ActionError, match=rf"row 2.*expected 0 to 11, found {value}"):
        masks.split(np.array([0, 11, value]), (3, 4))


@pytest.mark.parametrize(("row", "slot", "value"), [(0, 0, 3), (1, 1, 4), (1, 0, -1)])
def test_join_names_a_slot_action_out_of_range(row: int, slot: int, value: int) -> None:
    """An index outside its slot would be another legal joint action."""
    actions = np.zeros((2, 2), int)
    actions[row, slot] = value
    with pytest.raises(ActionError, match=rf"row {row}, slot {slot} .*found {value}"):
        masks.join(actions, (3, 4))


def test_split_and_join_reject_floats_and_other_widths() -> None:
    """Indices are integers, one per slot."""
    floats: NDArray[Any] = np.zeros((2, 2))
    with pytest.raises(ActionError, match="expected integers, found float64"):
        masks.split(floats, (3, 4))
    with pytest.raises(ActionError, match="expected integers, found float64"):
        masks.join(floats, (3, 4))
    with pytest.raises(ActionError, match=r"expected the shape \(…, 2\), found \(2, 3\)"):
        masks.join(np.zeros((2, 3), int), (3, 4))


# pack and unpack


@pytest.mark.parametrize("width", [0, 1, 7, 8, 9, 64, 2025])
@pytest.mark.parametrize("leading", [(0,), (1,), (5,), (3, 2)])
def test_pack_and_unpack_restore_every_mask(width: int, leading: tuple[int, ...]) -> None:
    """The round trip is exact for widths on, before and behind byte boundaries."""
    mask = np.random.default_rng(11).random((*leading, width)) < 0.4
    packed = masks.pack(mask)
    assert packed.dtype == np.uint8
    assert packed.shape == (*leading, math.ceil(width / 8))
    restored = masks.unpack(packed, width)
    assert restored.dtype == np.bool_
    np.testing.assert_array_equal(restored, mask)


def test_pack_puts_entry_i_into_bit_i_of_its_byte() -> None:
    """Little bit order, with unused bits of the last byte zero."""
    packed = masks.pack(masks.only(np.array([[0], [3], [9]]), (10,)))
    assert packed.tolist() == [[1, 0], [8, 0], [0, 2]]


def test_pack_takes_views_that_are_not_contiguous() -> None:
    """A strided view packs as its copy does."""
    mask = np.random.default_rng(12).random((8, 40)) < 0.5
    np.testing.assert_array_equal(masks.pack(mask[::2, ::-2]), masks.pack(mask[::2, ::-2].copy()))
    assert (masks.unpack(masks.pack(mask.T), 8) == mask.T).all()


def test_pack_rejects_what_is_not_bool() -> None:
    """Integers would lose their values."""
    wrong: NDArray[Any] = np.ones((2, 3), np.uint8)
    with pytest.raises(ContractError, match="found uint8"):
        masks.pack(wrong)


@pytest.mark.parametrize(
    ("packed", "width"),
    [
        (np.zeros((2, 2), np.uint8), 17),
        (np.zeros((2, 2), np.uint8), 8),
        (np.zeros((2, 2), np.int64), 16),
    ],
)
def test_unpack_rejects_another_width_or_dtype(packed: NDArray[Any], width: int) -> None:
    """Bits that belong to another width are not cut or filled up silently."""
    with pytest.raises(ConfigError, match=f"Packed masks of {width} entries"):
        masks.unpack(packed, width)


# check


@pytest.mark.parametrize("branches", BRANCHES)
@pytest.mark.parametrize("rows", ROWS)
def test_check_finds_the_first_row_and_branch_without_a_legal_entry(
    branches: tuple[int, ...], rows: int
) -> None:
    """Sound masks pass; a mask with holes is reported at the hole that comes first."""
    rng = np.random.default_rng(13)
    for _ in range(10):
        mask = random_mask(rng, rows, branches)
        masks.check(mask, branches, "Server 3")
        if rows:
            mask[rng.random(mask.shape) < 0.5] = False
            mask[-1, -branches[-1] :] = False
            row, branch = next(
                (row, branch)
                for row in range(rows)
                for branch, entries in enumerate(legal_entries(mask[row], branches))
                if not entries
            )
            with pytest.raises(ContractError, match=f"Server 3.*row {row}, branch {branch}:"):
                masks.check(mask, branches, "Server 3")


@pytest.mark.parametrize(
    ("mask", "found"),
    [
        (np.ones((2, 4), bool), r"bool of shape \(2, 4\)"),
        (np.ones((2, 5), np.int8), r"int8 of shape \(2, 5\)"),
        (np.ones(5, bool), r"bool of shape \(5,\)"),
    ],
)
def test_check_names_a_wrong_shape_or_dtype(mask: NDArray[Any], found: str) -> None:
    """The message says whose mask it is, what was expected and what was found."""
    with pytest.raises(ContractError, match=rf"^Server 3: .*\(rows, 5\), found {found}"):
        masks.check(mask, (2, 3), "Server 3")


def test_messages_stay_short_for_many_branches() -> None:
    """Of a hundred branches the first few are listed, and their number."""
    with pytest.raises(ContractError, match=r"2, 2, … \(100 branches\)") as caught:
        masks.check(np.ones((2, 4), bool), (2,) * 100, "Server 3")
    assert len(str(caught.value)) < 400


def test_masks_import_nothing_but_numpy() -> None:
    """Workers import masks: neither Gymnasium nor torch may come along."""
    code = (
        "import sys, numpy; before = set(sys.modules); import gym_multisim.masks;"
        "new = {name.split('.')[0] for name in set(sys.modules) - before};"
        "print(*sorted(new - sys.stdlib_module_names - {'numpy'}))"
    )
    done = subprocess.run(
        [sys.executable, "-X", "gym_multisim_worker", "-c", code],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["gym_multisim"]
