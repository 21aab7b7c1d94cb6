"""The joint masks of doubles decisions, from the bytes that the bridge sends."""

import numpy as np

from gym_multisim.simulators.showdown.space import (
    IDLE_ACTION,
    JOINT_ACTIONS,
    ONE_MUST_SWITCH,
    SLOT_ACTIONS,
    expand_masks,
)


def packed_row(first, second, flags=0):
    """The 13 bytes of two slots' legal actions."""
    parts = []
    for slot in (first, second):
        bits = np.zeros(48, dtype=np.uint8)
        bits[list(slot)] = 1
        parts.append(np.packbits(bits, bitorder="little"))
    return np.concatenate([*parts, np.array([flags], dtype=np.uint8)])


def is_legal(a, b, first, second, flags):
    """The rule, one pair at a time."""
    same_switch = a == b and 40 <= a <= 43
    both_tera = all(x < 40 and x % 10 >= 5 for x in (a, b))
    both_pass = a == b == 44 and flags & ONE_MUST_SWITCH
    return a in first and b in second and not (same_switch or both_tera or both_pass)


def test_joint_masks_equal_the_rule_pair_by_pair():
    """All 2,025 pairs of random slots, with and without the flag, are as the rule says."""
    rng = np.random.default_rng(0)
    cases = []
    for _ in range(40):
        first, second = (set(np.flatnonzero(rng.random(SLOT_ACTIONS) < 0.4)) for _ in range(2))
        cases.append((first, second, int(rng.integers(0, 2))))
    packed = np.stack([packed_row(*case) for case in cases])
    out = np.empty((len(cases), JOINT_ACTIONS), dtype=np.bool_)
    expand_masks(packed, out)
    for row, (first, second, flags) in enumerate(cases):
        expected = [
            is_legal(a, b, first, second, flags)
            for a in range(SLOT_ACTIONS)
            for b in range(SLOT_ACTIONS)
        ]
        np.testing.assert_array_equal(out[row], expected)


def test_one_reserve_for_two_gaps_means_one_switch_and_one_pass():
    """Exactly (switch, pass) and (pass, switch) are legal."""
    out = np.empty((1, JOINT_ACTIONS), dtype=np.bool_)
    expand_masks(packed_row({40, 44}, {40, 44}, ONE_MUST_SWITCH)[None], out)
    assert np.flatnonzero(out[0]).tolist() == [40 * 45 + 44, 44 * 45 + 40]
    assert not out[0, IDLE_ACTION]
