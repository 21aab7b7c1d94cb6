"""Which seed each arena's next episode has."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gym_multisim import seeding
from gym_multisim.errors import ConfigError
from gym_multisim.pool.buffers import StepBuffers
from gym_multisim.simulator import NO_SEED


class ArenaSeeds:
    """Writes the seeds of resets into the buffers; the worker loop derives those that follow.

    Args:
        buffers: Where they are written.
        reseeds: `SimulatorSpec.reseeds`: whether every episode has a seed of its own.
    """

    def __init__(self, buffers: StepBuffers, reseeds: bool) -> None:
        self._buffers = buffers
        self._reseeds = reseeds
        self._num_arenas = len(buffers.arena_key)

    def from_master(self, seed: int) -> None:
        """Let all arenas begin anew with seeds derived from one."""
        buffers = self._buffers
        buffers.arena_key[:] = seeding.arena_keys(seed, np.arange(self._num_arenas))
        buffers.episode[:] = 0
        buffers.reset_seed[:] = seeding.episode_seeds(buffers.arena_key, 0)

    def none_at_first(self) -> None:
        """Let the arenas' first episodes be unseeded."""
        self._buffers.reset_seed[:] = NO_SEED

    def by_hand(self, seeds: Sequence[int | None], chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Write one seed per arena where there is one; return which of the chosen arenas have one.

        Raises:
            ConfigError: Too few or too many seeds.
        """
        if len(seeds) != self._num_arenas:
            raise ConfigError(
                f"reset(seed=…) got {len(seeds)} seeds for {self._num_arenas} arenas: expected one "
                "per arena, or a single number."
            )
        seeded = np.array([seed is not None for seed in seeds]) & chosen
        for arena, seed in enumerate(seeds):
            if seed is None or not seeded[arena]:
                continue
            key = seeding.arena_keys(int(seed), 0)
            self._buffers.arena_key[arena] = key
            self._buffers.episode[arena] = 0
            raw = np.uint64(int(seed) & 0xFFFF_FFFF_FFFF_FFFF)
            derived = seeding.episode_seeds(key, 0)
            self._buffers.reset_seed[arena] = derived if self._reseeds else raw
        return seeded

    def go_on(self, chosen: NDArray[np.bool_]) -> None:
        """Write the seeds of the episodes that follow in some arenas."""
        buffers = self._buffers
        if self._reseeds:
            following = seeding.episode_seeds(buffers.arena_key, buffers.episode)
            buffers.reset_seed[chosen] = following[chosen]
        else:
            buffers.reset_seed[chosen] = NO_SEED
