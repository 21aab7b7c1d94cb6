"""A PettingZoo environment of two agents, to be made by worker processes."""

from typing import ClassVar

import numpy as np
from gymnasium import spaces
from pettingzoo import ParallelEnv


class Pair(ParallelEnv):
    """Two agents see the step; an episode lasts five steps."""

    metadata: ClassVar = {"name": "pair"}
    possible_agents: ClassVar = ["left", "right"]
    _space = spaces.Box(0, 9, (2,), np.float32)
    _actions = spaces.Discrete(3)

    def observation_space(self, agent):
        return self._space

    def action_space(self, agent):
        return self._actions

    def reset(self, seed=None, options=None):
        self.agents = list(self.possible_agents)
        self.steps = 0
        return self._see(), {agent: {} for agent in self.agents}

    def step(self, actions):
        self.steps += 1
        there = self.agents
        over = {agent: self.steps >= 5 for agent in there}
        rewards = {agent: float(actions[agent]) for agent in there}
        seen = self._see()
        self.agents = [] if self.steps >= 5 else there
        no = dict.fromkeys(there, False)
        return seen, rewards, over, no, {agent: {} for agent in there}

    def render(self):
        return np.zeros((4, 4, 3), np.uint8)

    def _see(self):
        return {agent: np.full(2, self.steps, np.float32) for agent in self.agents}
