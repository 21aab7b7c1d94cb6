"""A scripted hunter that sees exactly what a policy sees: the reference to compare policies with.

It weighs every short walk inside its local view by the items on it, each discounted by how many
steps away it lies, and takes the first step of the best walk. Where nothing worthwhile is in view,
a heading decides: around the centre of the floor on a wide ring, with a sway that turns with time.
The sway matters: a hunter without memory that meets a barrier of bones would else step to and fro
before it for ever. What a step is worth is that of the default rewards, since no row tells them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from gym_multisim.simulators.treasure_hunt.world import MOVES, PLANES, SCALARS

_LONGEST_WALK = 6
_DISCOUNT = 0.65
_WORTH = {"gem": 10.0, "food": 5.0, "bone": -10.0, "wall": -1000.0, "agent": -20.0}
_CONTESTED = 0.5  # the chance to get an item that another visible hunter reaches as soon
_HEADING_WORTH = 2.0  # of one cell in the heading's direction
_RING = 0.6  # distance from the centre, as a fraction of the way to the wall
_RING_PULL = 0.7
_SWAY = 0.5
_SWAYS_PER_EPISODE = 10

_Floats = NDArray[np.float32]
_Walk = tuple[tuple[int, int], ...]  # cells, the centre of the view first


@dataclass(frozen=True)
class _Walks:
    """All self-avoiding walks from the centre of a local view that stay inside it.

    Attributes:
        weight: ``(cells, walks)``: the discount of each cell on each walk, 0 where not on it.
        last_weight: ``(walks,)``: the discount of the last cell.
        reach: ``(2, walks)``: rows and columns from the first to the last cell.
        first: ``(walks,)``: the action that takes the first step.
        closer: ``(cells, cells)``: 1 where a hunter in the first cell is at least as near to the
            second cell as the centre is.
    """

    weight: _Floats
    last_weight: _Floats
    reach: _Floats
    first: NDArray[np.int64]
    closer: _Floats


def greedy_actions(
    observation: NDArray[np.floating], action_mask: NDArray[np.bool_] | None = None
) -> NDArray[np.int64]:
    """Return the scripted hunter's action for each row, from what the row observes alone.

    Args:
        observation: As `TreasureHunt` writes it, shape ``(rows, features)``.
        action_mask: True = legal, shape ``(rows, 4)``; None where nothing is masked.
    """
    view = round(float(np.sqrt((observation.shape[1] - SCALARS) / len(PLANES))))
    cells = view * view
    walks = _walks(view)
    planes = observation[:, :-SCALARS].reshape(len(observation), len(PLANES), cells)
    gems, food, bones, walls, others = planes.swapaxes(0, 1)

    contested = np.minimum(others @ walks.closer, 1)
    worth = (_WORTH["gem"] * gems + _WORTH["food"] * food) * (1 - (1 - _CONTESTED) * contested)
    worth += _WORTH["bone"] * bones + _WORTH["wall"] * walls + _WORTH["agent"] * others
    heading = _heading(observation[:, -3], observation[:, -2], observation[:, -1])
    score = worth @ walks.weight + _HEADING_WORTH * (heading @ walks.reach) * walks.last_weight
    if action_mask is not None:
        score[~action_mask[:, walks.first]] = -np.inf
    actions: NDArray[np.int64] = walks.first[score.argmax(axis=1)]
    return actions


def _heading(row: _Floats, column: _Floats, left: _Floats) -> _Floats:
    """Return the direction to explore in, (rows, columns), shape ``(rows, 2)``."""
    y, x = 2 * row - 1, 2 * column - 1
    beside = np.abs(x) > np.abs(y)  # left or right of the centre, rather than above or below
    out_y, out_x = np.where(beside, 0, np.sign(y)), np.where(beside, np.sign(x), 0)
    outward = _RING_PULL * (_RING - np.maximum(np.abs(x), np.abs(y)))
    around = 1 - np.abs(outward)
    angle = 2 * np.pi * _SWAYS_PER_EPISODE * left
    return np.stack(
        [
            outward * out_y + around * out_x + _SWAY * np.cos(angle),
            outward * out_x - around * out_y - _SWAY * np.sin(angle),
        ],
        axis=1,
    ).astype(np.float32)


@lru_cache(maxsize=4)
def _walks(view: int) -> _Walks:
    found = list(_extensions(((view // 2, view // 2),), view))
    weight = np.zeros((view * view, len(found)), np.float32)
    for column, walk in enumerate(found):
        for step, (y, x) in enumerate(walk[1:], start=1):
            weight[y * view + x, column] = _DISCOUNT**step
    steps = [(walk[1][0] - walk[0][0], walk[1][1] - walk[0][1]) for walk in found]
    reach = [(walk[-1][0] - walk[0][0], walk[-1][1] - walk[0][1]) for walk in found]

    rows, columns = np.divmod(np.arange(view * view), view)
    apart = np.abs(rows[:, None] - rows) + np.abs(columns[:, None] - columns)
    return _Walks(
        weight=weight,
        last_weight=np.array([_DISCOUNT ** (len(walk) - 1) for walk in found], np.float32),
        reach=np.array(reach, np.float32).T,
        first=np.array([MOVES.index(step) for step in steps], np.int64),
        closer=(apart <= apart[view * view // 2]).astype(np.float32),
    )


def _extensions(walk: _Walk, view: int) -> Iterator[_Walk]:
    """Yield every longer walk that begins with this one."""
    if len(walk) > _LONGEST_WALK:
        return
    y, x = walk[-1]
    for rows, columns in MOVES:
        cell = (y + rows, x + columns)
        if cell not in walk and 0 <= cell[0] < view and 0 <= cell[1] < view:
            longer = (*walk, cell)
            yield longer
            yield from _extensions(longer, view)
