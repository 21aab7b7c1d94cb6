"""A simulator and an environment with many actions, for the benchmark `masks`.

In a file of their own, so that the worker processes do not load what the benchmark itself needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete
from numpy.typing import NDArray

from gym_multisim.simulator import AgentGroup, Rows, ServerContext, Simulator, SimulatorSpec

_SPACE = Box(0.0, 1.0, (4,), np.float32)
_GROUP = "choosers"


class ManyChoices(Simulator):
    """Offers many actions, a tenth of them legal, others at each step.

    Args:
        actions: How many.
    """

    def __init__(self, actions: int) -> None:
        self._actions = actions

    def spec(self) -> SimulatorSpec:
        """Return one masked group of one agent."""
        group = AgentGroup(_GROUP, ("chooser",), _SPACE, Discrete(self._actions), masked=True)
        return SimulatorSpec((group,))

    def open(self, context: ServerContext) -> None:
        """Draw the masks."""
        self._masks = draw_masks(context.arenas, self._actions, seed=context.server)

    def reset(self, arenas: NDArray[np.intp], seeds: NDArray[np.uint64], rows: Rows) -> None:
        """Offer the first choices."""
        self._offer(arenas, rows)

    def step(self, arenas: NDArray[np.intp], rows: Rows) -> None:
        """Offer other choices."""
        self._masks = np.roll(self._masks, 1, axis=0)
        self._offer(arenas, rows)

    def _offer(self, arenas: NDArray[np.intp], rows: Rows) -> None:
        group = rows[_GROUP]
        group.observation[arenas] = 0.0
        assert group.action_mask is not None
        group.action_mask[arenas, 0] = self._masks[arenas]


class ManyChoicesEnv(gymnasium.Env[NDArray[np.float32], np.int64]):
    """The same as an ordinary environment.

    Args:
        actions: How many.
    """

    def __init__(self, actions: int) -> None:
        self.observation_space = _SPACE
        self.action_space = Discrete(actions)
        self._mask: NDArray[np.bool_] = draw_masks(1, actions, seed=0)[0]

    def reset(self, **_: Any) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Offer the choice."""
        return np.zeros(4, np.float32), {}

    def action_masks(self) -> NDArray[np.bool_]:
        """Return the mask, which lies ready."""
        return self._mask


@dataclass(frozen=True)
class MakeEnv:
    """Makes a `ManyChoicesEnv`; can be pickled."""

    actions: int

    def __call__(self) -> ManyChoicesEnv:
        """Return a new one."""
        return ManyChoicesEnv(self.actions)


def draw_masks(rows: int, actions: int, seed: int) -> NDArray[np.bool_]:
    """Return masks with about a tenth of the actions legal, the first one always."""
    masks: NDArray[np.bool_] = np.random.default_rng(seed).random((rows, actions)) < 0.1
    masks[:, 0] = True
    return masks
