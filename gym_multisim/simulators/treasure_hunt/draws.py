"""The random draws of the treasure hunt: pure functions of (episode seed, turn, cell).

Every turn each floor cell has the same small chance that something appears in it. Hashing 64 bits
per cell would cost more than the rest of a step, so one hash serves eight cells, a byte each: a
byte is low enough with a chance just above the wanted one, and only those few cells draw a second,
full hash that makes the chance exact and tells what appears.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gym_multisim.seeding import combine, random_bits, random_floats

KINDS = 3
"""Gem, food and bone: each appears with equal chance."""

_LANES = 8
_BEFORE_THE_FIRST_TURN = np.uint64(1 << 32)


def start_cells(seeds: NDArray[np.uint64], agents: int, cells: int) -> NDArray[np.intp]:
    """Draw distinct cells for the agents of each episode, all equally likely.

    Args:
        seeds: Episode seeds, shape ``(k,)``.
        agents: How many cells to draw per episode.
        cells: The cells to choose from are 0 … cells − 1.

    Returns:
        Cell numbers, shape ``(k, agents)``.
    """
    draws = random_floats(seeds[:, None], _BEFORE_THE_FIRST_TURN, np.arange(agents))
    deck = np.tile(np.arange(cells), (len(seeds), 1))
    episodes = np.arange(len(seeds))
    for agent in range(agents):  # the first cards of a Fisher–Yates shuffle
        card = agent + (draws[:, agent] * (cells - agent)).astype(np.intp)
        chosen = deck[episodes, card]
        deck[episodes, card] = deck[:, agent]
        deck[:, agent] = chosen
    return deck[:, :agents]


def appearances(
    seeds: NDArray[np.uint64], turns: NDArray[np.uint64], cells: int, probability: float
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Draw where something would appear in this turn, were the cell empty.

    Args:
        seeds: Episode seeds, shape ``(k,)``.
        turns: Each episode's turn, shape ``(k,)``.
        cells: The number of cells per episode.
        probability: The chance of each cell in [0, 1].

    Returns:
        Three arrays of equal length: which of the k episodes, which cell, which of the `KINDS`.
    """
    words = -(-cells // _LANES)
    bits = random_bits(seeds[:, None], turns[:, None], np.arange(words, dtype=np.uint64))
    highest = min(int(probability * 256), 255)
    chance_left = probability * 256 / (highest + 1)

    lanes = bits.astype("<u8", copy=False).view(np.uint8)
    hits = np.flatnonzero(lanes <= highest)
    episode, cell = np.divmod(hits, words * _LANES)
    draw = (combine(bits.ravel()[hits // _LANES], cell) >> np.uint64(11)) * 2.0**-53
    appears = (draw < chance_left) & (cell < cells)
    kind = (draw[appears] * (KINDS / chance_left)).astype(np.intp) if probability else hits[:0]
    return episode[appears], cell[appears], np.minimum(kind, KINDS - 1)
