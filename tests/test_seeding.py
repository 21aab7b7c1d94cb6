from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from gym_multisim import seeding
from gym_multisim.simulator import NO_SEED

MASTERS = [0, 1, 2, 42, 2**63 - 1, 2**64 - 1]


def all_episode_seeds(master: int, arenas: int, episodes: int) -> NDArray[np.uint64]:
    """Return the seeds of the first episodes of the first arenas, ``(arenas, episodes)``."""
    keys = seeding.arena_keys(master, np.arange(arenas))
    return seeding.episode_seeds(keys[:, None], np.arange(episodes))


def bits_of(values: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Return the 64 bits of each value as -1 and +1, shape ``(values, 64)``."""
    shifts = np.arange(64, dtype=np.uint64)
    bits = (values.reshape(-1, 1) >> shifts) & np.uint64(1)
    return bits.astype(np.float64) * 2 - 1


# mix and combine


def test_mix_equals_its_definition_in_plain_integers() -> None:
    """The array code, with its wrap-around, equals SplitMix64 computed without overflow."""
    limit = 2**64

    def reference(value: int) -> int:
        x = (value + 0x9E3779B97F4A7C15) % limit
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % limit
        x = (x ^ (x >> 27)) * 0x94D049BB133111EB % limit
        return x ^ (x >> 31)

    values = [0, 1, 2, 2**32, 2**63, 2**64 - 1, 0x123456789ABCDEF0]
    assert seeding.mix(np.array(values, dtype=np.uint64)).tolist() == [*map(reference, values)]


def test_mix_keeps_distinct_values_distinct() -> None:
    """No two of 200,000 neighbouring or sparse inputs collide."""
    values = np.arange(100_000, dtype=np.uint64)
    inputs = np.unique(np.concatenate([values, values << np.uint64(40)]))
    assert len(np.unique(seeding.mix(inputs))) == len(inputs)


def test_mix_flips_half_of_the_bits_when_one_input_bit_flips() -> None:
    """Each output bit flips in 40 to 60 percent of cases, for each input bit."""
    inputs = np.arange(2000, dtype=np.uint64)
    for bit in range(64):
        other = inputs ^ (np.uint64(1) << np.uint64(bit))
        flips = bits_of(seeding.mix(inputs) ^ seeding.mix(other)) > 0
        assert flips.mean(axis=0).min() > 0.4
        assert flips.mean(axis=0).max() < 0.6


def test_combine_distinguishes_keys_from_counters() -> None:
    """combine(a, b) and combine(b, a) differ unless a equals b."""
    values = np.arange(300, dtype=np.uint64)
    table = seeding.combine(values[:, None], values)
    is_equal = table == table.T
    assert is_equal.sum() == len(values)


def test_combine_order_matters_over_two_levels() -> None:
    """Entering two counters in the other order gives another key."""
    a, b = np.arange(200)[:, None], np.arange(200)
    one = seeding.combine(seeding.combine(7, a), b)
    other = seeding.combine(seeding.combine(7, b), a)
    assert (one == other).sum() == 200


def test_combine_gives_distinct_keys_for_all_small_pairs() -> None:
    """A quarter of a million pairs of small numbers have no two equal results."""
    values = np.arange(500)
    assert len(np.unique(seeding.combine(values[:, None], values))) == 500 * 500


@pytest.mark.parametrize("key", [0, 1, 2**64 - 1])
def test_combine_has_no_counter_that_leaves_or_clears_the_key(key: int) -> None:
    """Zero counters are mixed like any other: neither key nor zero comes out."""
    results = seeding.combine(np.uint64(key), np.arange(1000))
    assert not np.isin(results, np.array([0, key], dtype=np.uint64)).any()


# arena keys and episode seeds


@pytest.mark.parametrize("master", MASTERS)
def test_episode_seeds_are_distinct(master: int) -> None:
    """2,000 episodes of each of 500 arenas have a million different seeds."""
    seeds = all_episode_seeds(master, 500, 2000)
    assert seeds.dtype == np.uint64
    assert seeds.shape == (500, 2000)
    assert len(np.unique(seeds)) == seeds.size


def test_neighbouring_master_seeds_share_no_episode() -> None:
    """Eight master seeds in a row give eight disjoint sets of seeds."""
    seeds = np.concatenate([all_episode_seeds(master, 300, 100) for master in range(8)])
    assert len(np.unique(seeds)) == 8 * 300 * 100


def test_neighbouring_master_seeds_are_not_shifted_copies() -> None:
    """Arena a of master seed m is not arena a - 1 of master seed m + 1, nor any other arena."""
    keys = np.concatenate([seeding.arena_keys(master, np.arange(2000)) for master in range(50)])
    assert len(np.unique(keys)) == 50 * 2000


@pytest.mark.parametrize("master", MASTERS)
def test_seeds_of_an_arena_do_not_depend_on_the_arenas_beside_it(master: int) -> None:
    """Arena 5 has the same episodes alone, in one server of 8 and in the second of 4 x 2."""
    together = all_episode_seeds(master, 8, 20)
    for first, last in [(5, 6), (4, 6), (4, 8), (3, 8)]:
        keys = seeding.arena_keys(master, np.arange(first, last))
        seeds = seeding.episode_seeds(keys[:, None], np.arange(20))
        np.testing.assert_array_equal(seeds[5 - first], together[5])
    alone = [int(seeding.episode_seeds(seeding.arena_keys(master, 5), n)) for n in range(20)]
    assert alone == together[5].tolist()


def test_episodes_may_differ_between_arenas() -> None:
    """Each arena counts its own episodes: keys and episodes go in pairs."""
    table = all_episode_seeds(3, 4, 10)
    episodes = np.array([9, 0, 4, 4])
    seeds = seeding.episode_seeds(seeding.arena_keys(3, np.arange(4)), episodes)
    assert seeds.tolist() == [int(table[arena, n]) for arena, n in enumerate(episodes)]


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint64])
def test_the_integer_dtype_of_numbers_does_not_matter(dtype: type[np.integer]) -> None:
    """Arena and episode numbers are numbers, whatever array they come in."""
    numbers = np.arange(30, dtype=dtype)
    seeds = seeding.episode_seeds(seeding.arena_keys(11, numbers)[:, None], numbers)
    np.testing.assert_array_equal(seeds, all_episode_seeds(11, 30, 30))


def test_master_seeds_are_taken_modulo_64_bits() -> None:
    """Negative and huge master seeds work, and equal their remainder."""
    arenas = np.arange(10)
    keys = seeding.arena_keys(-1, arenas)
    np.testing.assert_array_equal(keys, seeding.arena_keys(2**64 - 1, arenas))
    np.testing.assert_array_equal(keys, seeding.arena_keys(2**65 - 1, arenas))
    assert (keys != seeding.arena_keys(1, arenas)).all()
    assert (keys != seeding.arena_keys(2**63 - 1, arenas)).all()


def test_no_episode_has_the_value_that_means_no_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where the mixing gives all ones, an episode has an ordinary seed."""
    every = np.array([5, NO_SEED, 7], dtype=np.uint64)
    monkeypatch.setattr(seeding, "combine", lambda keys, episodes: every)
    seeds = seeding.episode_seeds(np.zeros(3, dtype=np.uint64), np.arange(3))
    assert seeds.dtype == np.uint64
    assert (seeds != NO_SEED).all()
    assert seeds[[0, 2]].tolist() == [5, 7]


def test_fresh_seeds_are_non_negative_and_differ() -> None:
    """Master seeds from the operating system fit 63 bits and do not repeat."""
    seeds = [seeding.fresh_seed() for _ in range(1000)]
    assert len(set(seeds)) == 1000
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert max(seeds) > 2**60


# random bits and floats


def test_random_bits_have_a_value_for_every_seed_step_and_cell() -> None:
    """Broadcast together, 20 seeds x 30 steps x 100 cells give 60,000 distinct values."""
    seeds = all_episode_seeds(0, 20, 1)[:, :, None]
    bits = seeding.random_bits(seeds, np.arange(30)[:, None], np.arange(100))
    assert bits.dtype == np.uint64
    assert bits.shape == (20, 30, 100)
    assert len(np.unique(bits)) == bits.size


def test_random_bits_do_not_depend_on_what_is_computed_beside_them() -> None:
    """An arena draws the same numbers alone as in a batch, also at another step than the rest."""
    seeds = all_episode_seeds(1, 6, 1)
    steps = np.array([[0], [9], [3], [3], [1000], [2]])
    together = seeding.random_bits(seeds, steps, np.arange(50))
    for arena in range(6):
        alone = seeding.random_bits(seeds[arena, 0], steps[arena, 0], np.arange(50))
        np.testing.assert_array_equal(alone, together[arena])


def test_random_bits_distinguish_step_from_cell() -> None:
    """Cell 3 of step 5 is not cell 5 of step 3."""
    table = seeding.random_bits(np.uint64(9), np.arange(100)[:, None], np.arange(100))
    assert (table == table.T).sum() == 100


def test_random_floats_are_the_top_bits_in_the_unit_interval() -> None:
    """Floats lie in [0, 1), and each is the 53 top bits of its cell's random bits."""
    seeds = all_episode_seeds(2, 50, 1)
    floats = seeding.random_floats(seeds, 4, np.arange(1000))
    assert floats.dtype == np.float64
    assert floats.min() >= 0
    assert floats.max() < 1
    top = (seeding.random_bits(seeds, 4, np.arange(1000)) >> np.uint64(11)).astype(np.float64)
    np.testing.assert_array_equal(floats * 2.0**53, top)


def test_random_floats_stay_below_one_for_the_largest_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """All ones give the largest float below 1, all zeros give 0."""
    extremes = np.array([0, 2**64 - 1], dtype=np.uint64)
    monkeypatch.setattr(seeding, "random_bits", lambda *_: extremes)
    assert seeding.random_floats(0, 0, 0).tolist() == [0.0, np.nextafter(1.0, 0.0)]


@pytest.mark.parametrize("axis", ["seeds", "steps", "cells"])
def test_random_floats_are_uniform_along_every_axis(axis: str) -> None:
    """Mean, variance and a 64-bin chi-square of 100,000 draws fit the uniform distribution."""
    many = np.arange(100_000)
    floats = {
        "seeds": lambda: seeding.random_floats(seeding.arena_keys(0, many), 0, 0),
        "steps": lambda: seeding.random_floats(12345, many, 0),
        "cells": lambda: seeding.random_floats(12345, 0, many),
    }[axis]()
    assert abs(floats.mean() - 1 / 2) < 5 * (1 / 12 / 100_000) ** 0.5
    assert abs(floats.var() - 1 / 12) < 5 * (1 / 180 / 100_000) ** 0.5
    counts = np.histogram(floats, bins=64, range=(0, 1))[0]
    assert ((counts - 100_000 / 64) ** 2 / (100_000 / 64)).sum() < 125  # 63 expected


@pytest.mark.parametrize("axis", ["seeds", "steps", "cells", "episodes"])
def test_bits_of_neighbours_are_not_correlated(axis: str) -> None:
    """Of all 64 x 64 pairs of bits of neighbours, none correlates by more than six sigma."""
    many = np.arange(20_001)
    values = {
        "seeds": lambda: seeding.random_bits(many, 0, 0),
        "steps": lambda: seeding.random_bits(12345, many, 0),
        "cells": lambda: seeding.random_bits(12345, 0, many),
        "episodes": lambda: seeding.episode_seeds(seeding.arena_keys(0, 0), many),
    }[axis]()
    bits = bits_of(values)
    sigma = 20_000**-0.5
    correlation = bits[:-1].T @ bits[1:] / 20_000
    assert np.abs(correlation).max() < 6 * sigma
    within = bits.T @ bits / len(bits) - np.eye(64)
    assert np.abs(within).max() < 6 * sigma
    assert np.abs(bits.mean(axis=0)).max() < 6 * sigma


# env_seed


def test_env_seeds_fit_31_bits_and_use_them_all() -> None:
    """Every Gymnasium environment accepts 0 to 2**31 - 1; all of these bits vary."""
    seeds = [seeding.env_seed(seed) for seed in all_episode_seeds(0, 100, 20).reshape(-1)]
    assert all(type(seed) is int for seed in seeds)
    assert min(seeds) >= 0
    assert max(seeds) < 2**31
    assert np.bitwise_or.reduce(seeds) == 2**31 - 1
    assert np.bitwise_and.reduce(seeds) == 0
    assert len(set(seeds)) == len(seeds)


@pytest.mark.parametrize("seed", [0, 1, 2**31, 2**63, 2**64 - 1])
def test_env_seed_takes_python_and_numpy_integers(seed: int) -> None:
    """A seed given by hand folds as the same NumPy number does."""
    assert seeding.env_seed(seed) == seeding.env_seed(np.uint64(seed))


def test_env_seeds_of_neighbouring_seeds_are_spread() -> None:
    """Seeds 0, 1, 2, … fold to numbers that fill 64 bins of the range evenly."""
    seeds = np.array([seeding.env_seed(seed) for seed in range(20_000)])
    counts = np.histogram(seeds, bins=64, range=(0, 2**31))[0]
    assert ((counts - 20_000 / 64) ** 2 / (20_000 / 64)).sum() < 125
