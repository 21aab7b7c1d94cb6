"""Pokémon Showdown: doubles battles of the official simulator, in a Node process."""

from gym_multisim.simulators.showdown.simulator import Showdown

__all__ = ["Showdown"]
