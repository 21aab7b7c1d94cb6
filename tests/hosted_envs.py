"""Ordinary Gymnasium environments to host: every worker imports this file, so it imports little."""

from typing import ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.wrappers import TimeLimit


def short(env_id, steps=11):
    """A Gymnasium environment that is truncated after some steps."""
    return TimeLimit(gymnasium.make(env_id), steps)


class Note:
    """An object that infos carry; equal to another of the same text."""

    def __init__(self, text):
        self.text = text

    def __eq__(self, other):
        return isinstance(other, Note) and other.text == self.text

    def __hash__(self):
        return hash(self.text)


class Walk(gymnasium.Env):
    """A random walk that ends by termination at step 3 or 7 and by truncation at step 5.

    What is observed is drawn from `np_random`; which end comes is too.
    """

    metadata: ClassVar = {"render_modes": ["rgb_array"], "render_fps": 5}
    action_space = spaces.Discrete(4)
    observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float64)
    scale = 1.0

    def __init__(self, render_mode=None):
        self.render_mode = render_mode
        self.steps = 0
        self.options = "never reset"

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        self.options = options
        self.end = int(self.np_random.integers(3))
        return self.observe(), self.reset_info()

    def step(self, action):
        self.steps += 1
        terminated = self.steps == (3, 7, -1)[self.end]
        truncated = self.steps == 5 and self.end == 2
        reward = float(self.np_random.normal() + int(np.sum(action))) * self.scale
        return self.observe(), reward, terminated, truncated, self.step_info()

    def observe(self):
        return self.np_random.normal(size=3)

    def reset_info(self):
        return {}

    def step_info(self):
        return {}

    def render(self):
        return np.full((4, 6, 3), self.steps, np.uint8)

    def rescale(self, scale, *, add=0.0):
        self.scale = scale + add
        return self.scale


class DictWalk(Walk):
    """A walk with a Dict observation and infos of every kind."""

    observation_space = spaces.Dict(
        {
            "image": spaces.Box(0, 255, (3, 2), np.uint8),
            "place": spaces.Discrete(9),
            "flags": spaces.MultiBinary(4),
            "choices": spaces.MultiDiscrete([3, 5]),
            "pose": spaces.Box(-np.inf, np.inf, (2,), np.float32),
        }
    )

    def observe(self):
        rng = self.np_random
        return {
            "pose": rng.normal(size=2).astype(np.float32),  # not in the space's order
            "image": rng.integers(0, 256, (3, 2), dtype=np.uint8),
            "place": int(rng.integers(9)),
            "flags": rng.integers(0, 2, 4, dtype=np.int8),
            "choices": rng.integers(0, [3, 5]),
        }

    def reset_info(self):
        return {"begun": self.end, "note": Note("reset"), "where": np.arange(2.0)}

    def step_info(self):
        info = {
            "text": f"step {self.steps}",
            "whole": self.steps,
            "number": self.steps / 4,
            "yes": self.steps % 2 == 0,
            "array": np.arange(3, dtype=np.int32) * self.steps,
            "scalar": np.float32(self.steps),
            "nested": {"depth": {"deeper": self.steps}, "list": [1, (2, "three")]},
            "nothing": None,
            "note": Note(self.steps),
            "set": {1, 2},
        }
        if self.steps % 3 == 0:
            info["sometimes"] = float(self.steps)
        return info


class TupleWalk(Walk):
    """A walk with a Tuple observation."""

    observation_space = spaces.Tuple(
        (spaces.Box(-np.inf, np.inf, (2, 2), np.float32), spaces.Discrete(5))
    )

    def observe(self):
        rng = self.np_random
        return rng.normal(size=(2, 2)).astype(np.float32), int(rng.integers(5))


class NestedWalk(Walk):
    """A walk whose Dict observation has a Dict and a Tuple in it."""

    observation_space = spaces.Dict(
        {
            "arm": spaces.Dict({"angle": spaces.Box(-9, 9, (2,)), "grip": spaces.Discrete(2)}),
            "eyes": spaces.Tuple((spaces.Box(-9, 9, (3,)), spaces.Box(-9, 9, (1,)))),
        }
    )

    def observe(self):
        draw = self.np_random.random
        return {
            "arm": {"angle": draw(2, np.float32), "grip": 1},
            "eyes": (draw(3, np.float32), draw(1, np.float32)),
        }


class DiscreteWalk(Walk):
    """A walk that observes a number."""

    observation_space = spaces.Discrete(11)

    def observe(self):
        return int(self.np_random.integers(11))


class StructuredActionWalk(Walk):
    """A walk whose actions are Dicts; observes what it was told to do."""

    action_space = spaces.Dict(
        {
            "move": spaces.Tuple((spaces.Discrete(4), spaces.Box(-1, 1, (2,)))),
            "buttons": spaces.MultiBinary(3),
        }
    )
    observation_space = spaces.Box(-10, 10, (6,), np.float64)

    def reset(self, *, seed=None, options=None):
        self.last = np.zeros(6)
        return super().reset(seed=seed, options=options)

    def step(self, action):
        assert self.action_space.contains(action), action
        (direction, by), buttons = action["move"], action["buttons"]
        self.last = np.array([direction, *by, *buttons], np.float64)
        observation, _, *rest = super().step(0)
        return (observation, float(self.last.sum()), *rest)

    def observe(self):
        return self.last


class Masked(Walk):
    """A walk that allows two choices of each branch: `shift` + its steps, and the one after."""

    def __init__(self, action_space=Walk.action_space, shift=0):
        super().__init__()
        self.action_space = action_space
        self.shift = shift
        self.asked = 0

    def step(self, action):
        mask = np.concatenate([np.ravel(part) for part in self.masks()])
        choices = np.ravel(action)
        starts = np.cumsum([0, *self.branches()[:-1]])
        assert mask[starts + choices].all(), f"{action} is illegal"
        return super().step(action)

    def branches(self):
        if isinstance(self.action_space, spaces.MultiDiscrete):
            return self.action_space.nvec.tolist()
        if isinstance(self.action_space, spaces.MultiBinary):
            return [2] * self.action_space.n
        return [self.action_space.n]

    def masks(self):
        parts = []
        for number, size in enumerate(self.branches()):
            part = np.zeros(size, bool)
            first = self.shift + self.steps + number
            part[[first % size, (first + size // 2) % size]] = True
            parts.append(part)
        return parts

    def action_masks(self):
        self.asked += 1
        return self.masks()

    def set_shift(self, shift):
        self.shift = shift


class Failing(Walk):
    """Raises where it is told to: in ``init``, ``reset``, ``step`` or ``render``."""

    def __init__(self, where, at_step=2):
        super().__init__()
        self.where = where
        self.at_step = at_step
        self.fail("init")

    def fail(self, where):
        if self.where == where:
            raise Broken(f"broken in {where}", 42)

    def reset(self, *, seed=None, options=None):
        self.fail("reset")
        return super().reset(seed=seed, options=options)

    def step(self, action):
        if self.steps + 1 == self.at_step:
            self.fail("step")
        return super().step(action)


class Broken(Exception):
    """An exception of a user's own."""


class Speechless(Walk):
    """A walk that observes text, which has no fixed size."""

    observation_space = spaces.Dict({"ear": spaces.Dict({"heard": spaces.Text(5)})})
