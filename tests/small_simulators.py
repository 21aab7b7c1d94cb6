"""Small simulators for tests: every worker imports this file, so it imports little."""

from contextlib import contextmanager

import numpy as np

from gym_multisim.simulator import AgentGroup, Infos, Simulator, SimulatorSpec, Status
from gym_multisim.simulators.showdown import Showdown


class Frames(Simulator):
    """Observes large pictures whose every pixel is the number of steps since the first reset."""

    def __init__(self, shape=(256, 256), episode_length=50):
        self._shape = shape
        self._length = episode_length

    def spec(self):
        from gymnasium import spaces

        box = spaces.Box(0, 255, self._shape, np.uint8)
        return SimulatorSpec((AgentGroup("cameras", ("camera",), box, spaces.Discrete(2)),))

    def open(self, context):
        self._steps = np.zeros(context.arenas, dtype=np.int64)

    def reset(self, arenas, seeds, rows):
        rows["cameras"].observation[arenas] = self._pixels(arenas)

    def step(self, arenas, rows):
        self._steps[arenas] += 1
        rows["cameras"].observation[arenas] = self._pixels(arenas)
        rows["cameras"].terminated[arenas, 0] = self._steps[arenas] % self._length == 0

    def _pixels(self, arenas):
        return self._steps[arenas].reshape(-1, 1, *[1] * len(self._shape)) % 256


class Choices(Simulator):
    """Dict observations, and masks of any discrete action space that forbid one choice a branch.

    Refuses forbidden actions itself, so a learner that ignores masks fails.
    """

    def __init__(self, kind="multi_discrete", episode_length=5):
        self._kind = kind
        self._length = episode_length

    def spec(self):
        from gymnasium import spaces

        actions = {
            "discrete": spaces.Discrete(5),
            "multi_discrete": spaces.MultiDiscrete([3, 4]),
            "multi_binary": spaces.MultiBinary(3),
        }[self._kind]
        view = spaces.Dict(
            {"steps": spaces.Box(0, 1, (2,), np.float32), "turn": spaces.Discrete(9)}
        )
        return SimulatorSpec((AgentGroup("choosers", ("chooser",), view, actions, masked=True),))

    def open(self, context):
        self._branches = {
            "discrete": [5],
            "multi_discrete": [3, 4],
            "multi_binary": [2, 2, 2],
        }[self._kind]
        self._starts = np.cumsum([0, *self._branches[:-1]])
        self._steps = np.zeros(context.arenas, dtype=np.int64)

    def reset(self, arenas, seeds, rows):
        self._steps[arenas] = 0
        self._write(arenas, rows["choosers"])

    def step(self, arenas, rows):
        group = rows["choosers"]
        for arena in arenas:
            chosen = self._starts + np.ravel(group.action[arena, 0])
            assert group.action_mask[arena, 0, chosen].all(), "a forbidden action arrived"
            group.reward[arena, 0] = chosen[0]
        self._steps[arenas] += 1
        group.terminated[arenas, 0] = self._steps[arenas] >= self._length
        self._write(arenas, group)

    def _write(self, arenas, group):
        group.observation["steps"][arenas] = self._steps[arenas, None, None] / self._length
        group.observation["turn"][arenas, 0] = self._steps[arenas] % 9
        group.action_mask[arenas] = True
        for start, size in zip(self._starts, self._branches, strict=True):
            group.action_mask[arenas, 0, start + self._steps[arenas] % size] = False


class Turns(Simulator):
    """Two agents take turns: one is ACTIVE, the other WAITING; both are rewarded at each step.

    Observation: the steps of the episode. Agent i acts at steps i, i + 2, …; its reward is 10 for
    its own action and 1 for a step on which it waits. An episode lasts ``episode_length`` steps.
    """

    def __init__(self, episode_length=7):
        self._length = episode_length

    def spec(self):
        from gymnasium import spaces

        agents = ("white", "black")
        box = spaces.Box(0, 99, (1,), np.float32)
        group = AgentGroup("players", agents, box, spaces.Discrete(3), masked=True, idle_action=2)
        return SimulatorSpec((group,))

    def open(self, context):
        self._steps = np.zeros(context.arenas, dtype=np.int64)

    def reset(self, arenas, seeds, rows):
        self._steps[arenas] = 0
        self._write(arenas, rows["players"])
        self._infos = Infos(
            {}, {"players": {int(arena) * 2: {"side": "white"} for arena in arenas}}
        )

    def step(self, arenas, rows):
        group = rows["players"]
        group.reward[arenas] = np.where(group.status[arenas] == Status.ACTIVE, 10.0, 1.0)
        self._steps[arenas] += 1
        group.terminated[arenas] = self._steps[arenas, None] >= self._length
        self._write(arenas, group)
        self._infos = None

    def _write(self, arenas, group):
        group.observation[arenas] = self._steps[arenas, None, None]
        turn = self._steps[arenas, None] % 2 == np.arange(2)
        group.status[arenas] = np.where(turn, Status.ACTIVE, Status.WAITING)
        group.action_mask[arenas] = [True, True, False]

    def take_infos(self):
        return self._infos


@contextmanager
def no_calls(pool):
    """Fail if anything asks the pool to call a worker; steps and resets go on."""
    original = pool.call

    def refuse(method, *args, **kwargs):
        raise AssertionError(f"a worker was called: {method}")

    pool.call = refuse
    try:
        yield
    finally:
        pool.call = original


class Unprepared(Showdown):
    """Makes its battles only when they begin."""

    prepare = Simulator.prepare
