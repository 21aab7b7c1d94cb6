"""Seeds and counter-based random numbers, vectorised over arenas.

An arena's n-th episode has the seed of (master seed, global arena number, n). Nothing else enters:
not the worker, not the layout, not what other arenas did. Inside a vectorised simulator, random
numbers come from `random_bits`, keyed by (episode seed, step, cell), so that an arena draws the
same numbers whichever arenas stand beside it.

The mixing function is the finaliser of SplitMix64 (Steele, Lea and Flood, "Fast splittable
pseudorandom number generators", OOPSLA 2014), a bijection of 64 bits whose outputs for
neighbouring inputs share no visible structure.
"""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import ArrayLike, NDArray

_GOLDEN = np.uint64(0x9E37_79B9_7F4A_7C15)
_MIX_1 = np.uint64(0xBF58_476D_1CE4_E5B9)
_MIX_2 = np.uint64(0x94D0_49BB_1331_11EB)
_TOP_53_BITS = np.uint64(11)
_COUNTER_SALT = np.uint64(0xD6E8_FEB8_6659_FD93)
_RESERVED = np.uint64(0xFFFF_FFFF_FFFF_FFFF)


def fresh_seed() -> int:
    """Return a master seed from the operating system's entropy, in [0, 2**63)."""
    return int.from_bytes(os.urandom(8), "little") >> 1


def mix(value: ArrayLike) -> NDArray[np.uint64]:
    """Scramble 64-bit integers: a bijection, so that distinct inputs stay distinct."""
    with np.errstate(over="ignore"):
        x = np.asarray(value, dtype=np.uint64) + _GOLDEN
        x = (x ^ (x >> np.uint64(30))) * _MIX_1
        x = (x ^ (x >> np.uint64(27))) * _MIX_2
        return x ^ (x >> np.uint64(31))


def arena_keys(master_seed: int, arenas: ArrayLike) -> NDArray[np.uint64]:
    """Return one key per global arena number: the root of all its episodes' seeds.

    Args:
        master_seed: Any integer; used modulo 2**64.
        arenas: Global arena numbers, shape ``(k,)``.
    """
    return combine(mix(np.uint64(master_seed & 0xFFFF_FFFF_FFFF_FFFF)), arenas)


def episode_seeds(keys: ArrayLike, episodes: ArrayLike) -> NDArray[np.uint64]:
    """Return the seeds of the given episodes (0, 1, …) of arenas with the given keys.

    The result is never the all-ones value, which stands for "no seed".
    """
    seeds = combine(keys, episodes)
    return np.where(seeds == _RESERVED, np.uint64(0), seeds)


def combine(keys: ArrayLike, counters: ArrayLike) -> NDArray[np.uint64]:
    """Derive new keys from keys and counters; broadcasts. Order matters: it is no symmetric sum."""
    salted = np.asarray(counters, dtype=np.uint64) ^ _COUNTER_SALT
    return mix(np.asarray(keys, dtype=np.uint64) ^ mix(salted))


def random_bits(seeds: ArrayLike, step: ArrayLike, cells: ArrayLike) -> NDArray[np.uint64]:
    """Return 64 random bits for each (episode seed, step, cell), by broadcasting.

    Args:
        seeds: Episode seeds, for instance shape ``(arenas, 1)``.
        step: Step numbers, for instance shape ``(arenas, 1)``.
        cells: What distinguishes the draws of one step, for instance shape ``(cells,)``.
    """
    return combine(combine(seeds, step), cells)


def random_floats(seeds: ArrayLike, step: ArrayLike, cells: ArrayLike) -> NDArray[np.float64]:
    """Return uniform float64 in [0, 1) for each (episode seed, step, cell), by broadcasting."""
    return (random_bits(seeds, step, cells) >> _TOP_53_BITS) * np.float64(2.0**-53)


def env_seed(seed: np.uint64 | int) -> int:
    """Fold a 64-bit episode seed to the 31 bits that every Gymnasium environment accepts."""
    return int(mix(seed) >> np.uint64(33))
