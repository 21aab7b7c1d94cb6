"""Treasure hunt: agents on a small field, each with its own short sight, collect what appears."""

from gym_multisim.simulators.treasure_hunt.greedy import greedy_actions
from gym_multisim.simulators.treasure_hunt.world import TreasureHunt

__all__ = ["TreasureHunt", "greedy_actions"]
