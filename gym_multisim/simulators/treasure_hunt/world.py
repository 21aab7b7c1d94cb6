"""The treasure hunt's rules, stepped for all arenas at once.

Cells are single bits (gem 1, food 2, bone 4, wall 8, agent 16), so that a local view becomes
one-hot planes by one bitwise "and". All arenas lie in one flat array, each padded with wall as far
as an agent at the edge can see, so that every local view is one gather without bounds to check.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, SupportsFloat, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from gym_multisim.errors import ConfigError, nearest_name
from gym_multisim.simulator import AgentGroup, GroupRows, Rows, Simulator, SimulatorSpec
from gym_multisim.simulators.treasure_hunt.draws import appearances, start_cells

if TYPE_CHECKING:
    from gym_multisim.simulator import ServerContext

EMPTY, GEM, FOOD, BONE, WALL, AGENT = 0, 1, 2, 4, 8, 16
PLANES = (GEM, FOOD, BONE, WALL, AGENT)
"""The cell codes, in the order of the observation's planes."""
MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))
"""(rows, columns) that the actions up, down, left and right move an agent."""
SCALARS = 3
"""Features after the planes: own row, own column, fraction of the turns left."""
METRICS = ("gems", "foods", "bones")
GROUP = "hunters"

Where = slice | NDArray[np.intp]
"""Selects arenas: a slice of all of them where possible, since it needs no copies."""


class TreasureHunt(Simulator):
    """Agents walk on a walled square and collect gems and food, and better no bones.

    A turn, as an agent sees it: the world changes (in each empty cell, with ``spawn_probability``,
    a gem, a food or a bone appears, each equally often), all agents observe and choose, and then
    they act one after another, in the order of their names. Entering an item's cell collects the
    item. A step into a cell where another agent stands at that moment does nothing; a step into a
    wall costs ``wall_reward`` and moves nothing. An episode begins on an empty floor with the
    agents in random cells, and is truncated after ``turns`` turns.

    Actions: 0 up, 1 down, 2 left, 3 right. The mask (with ``mask_walls``) forbids steps into walls,
    not into other agents. There is no action for standing still; ``idle_action`` is 0.

    Observation: float32 in [0, 1], with v = 2 × vision_radius + 1 (in brackets: where v is 5):

    * 5 planes of v × v cells centred on the agent, row by row from the top left:
      gems [0:25], food [25:50], bones [50:75], walls [75:100], other agents [100:125]. What lies
      beyond the outer wall reads as wall; the agent itself is not shown.
    * own row [125] and own column [126]: 0 at the first floor cell, 1 at the last
    * fraction of the turns left [127]: 1 after a reset, 0 at the end

    Metrics: ``gems``, ``foods`` and ``bones`` that the agent has collected in this episode.

    Args:
        size: Cells along each side, the outer ring of wall included (21: a floor of 19 × 19).
        agents: Agents per arena, named hunter_0, hunter_1, …
        vision_radius: How many cells an agent sees in each direction.
        turns: Turns of an episode.
        spawn_probability: The chance per empty cell and turn that something appears.
        gem_reward: For collecting a gem.
        food_reward: For collecting food.
        bone_reward: For collecting a bone.
        wall_reward: For walking into a wall.
        mask_walls: Whether action masks forbid walking into walls; False means no masks.

    Raises:
        ConfigError: An option is unknown or cannot be used.
    """

    def __init__(
        self,
        *,
        size: int = 21,
        agents: int = 2,
        vision_radius: int = 2,
        turns: int = 100,
        spawn_probability: float = 0.005,
        gem_reward: float = 10.0,
        food_reward: float = 5.0,
        bone_reward: float = -10.0,
        wall_reward: float = -1.0,
        mask_walls: bool = True,
        **unknown: object,
    ) -> None:
        _refuse_unknown(unknown)
        self.size = _whole("size", size, least=4)
        self.agents = _whole("agents", agents, least=1)
        self.vision_radius = _whole("vision_radius", vision_radius, least=1)
        self.turns = _whole("turns", turns, least=1)
        self.spawn_probability = _number("spawn_probability", spawn_probability)
        if not 0 <= self.spawn_probability <= 1:
            raise _bad("spawn_probability", spawn_probability, "a probability from 0 to 1")
        if not isinstance(mask_walls, bool | np.bool_):
            raise _bad("mask_walls", mask_walls, "True or False")
        self.mask_walls = bool(mask_walls)
        self._floor_side = self.size - 2
        if self.agents > self._floor_side**2:
            least = int(np.ceil(np.sqrt(self.agents))) + 2
            raise _bad("size", size, f"at least {least}, so that {agents} agents find a cell each")

        self._reward_of = np.zeros(AGENT + 1)
        self._reward_of[GEM] = _number("gem_reward", gem_reward)
        self._reward_of[FOOD] = _number("food_reward", food_reward)
        self._reward_of[BONE] = _number("bone_reward", bone_reward)
        self._reward_of[WALL] = _number("wall_reward", wall_reward)
        self._count_of = np.zeros((AGENT + 1, len(METRICS)), np.float32)
        self._count_of[[GEM, FOOD, BONE], [0, 1, 2]] = 1

    def spec(self) -> SimulatorSpec:
        """Return one group, "hunters"."""
        from gymnasium.spaces import Box, Discrete  # a worker gets by without Gymnasium

        features = len(PLANES) * (2 * self.vision_radius + 1) ** 2 + SCALARS
        hunters = AgentGroup(
            name=GROUP,
            agents=tuple(f"hunter_{agent}" for agent in range(self.agents)),
            observation_space=Box(0.0, 1.0, (features,), np.float32),
            action_space=Discrete(len(MOVES)),
            masked=self.mask_walls,
            idle_action=0,
        )
        return SimulatorSpec(groups=(hunters,), metrics=METRICS)

    def open(self, context: ServerContext) -> None:
        """Lay out the arenas and the look-up tables over the cells of one."""
        margin = self.vision_radius - 1  # the wall itself is the first cell of what lies outside
        side = self.size + 2 * margin
        self._blank = np.full((side, side), WALL, np.uint8)
        self._inside = slice(margin, margin + self.size)
        floor = slice(margin + 1, margin + 1 + self._floor_side)
        self._blank[floor, floor] = EMPTY

        cells = np.arange(side * side).reshape(side, side)
        self._floor = cells[floor, floor].ravel()
        self._moves = np.array([rows * side + columns for rows, columns in MOVES])
        sight = np.arange(-self.vision_radius, self.vision_radius + 1)
        self._sight = (sight[:, None] * side + sight).ravel()
        self._plane_bits = np.repeat(np.array(PLANES, np.uint8), len(self._sight))
        self._plane_bits[len(self._sight) * 4 + len(self._sight) // 2] = 0  # the agent itself

        scaled = (np.arange(side) - floor.start) / (self._floor_side - 1)
        self._position_of = np.stack(np.meshgrid(scaled, scaled, indexing="ij"), axis=-1)
        self._position_of = self._position_of.reshape(-1, 2).astype(np.float32)
        self._legal_of = np.zeros((side * side, len(MOVES)), np.bool_)
        self._legal_of[self._floor] = (
            self._blank.ravel()[self._floor[:, None] + self._moves] != WALL
        )

        self._arenas = context.arenas
        self._grid = np.repeat(self._blank[None], self._arenas, axis=0)
        self._cells = self._grid.reshape(-1)  # the same memory, flat
        self._first_cell = np.arange(self._arenas) * side * side
        self._places = np.zeros((self._arenas, self.agents), np.intp)  # indices into _cells
        self._turn = np.zeros(self._arenas, np.uint64)
        self._seeds = np.zeros(self._arenas, np.uint64)

    def reset(self, arenas: NDArray[np.intp], seeds: NDArray[np.uint64], rows: Rows) -> None:
        """Clear the floor, place the agents, let the first items appear, and observe."""
        where = self._where(arenas)
        self._seeds[where] = seeds
        self._turn[where] = 0
        self._grid[where] = self._blank
        floor = self._floor[start_cells(seeds, self.agents, len(self._floor))]
        places = self._first_cell[where][:, None] + floor
        self._cells[places] = AGENT
        self._places[where] = places
        self._change_world(where)
        self._observe(where, rows[GROUP])

    def step(self, arenas: NDArray[np.intp], rows: Rows) -> None:
        """Let the agents act; then the next turn begins: the world changes and all observe."""
        where = self._where(arenas)
        hunters = rows[GROUP]
        self._act(where, hunters)
        self._turn[where] += np.uint64(1)
        self._change_world(where)
        self._observe(where, hunters)
        hunters.truncated[where] = (self._turn[where] >= self.turns)[:, None]

    def render(self, arena: int) -> NDArray[np.uint8]:
        """Return a picture of one arena, 24 pixels per cell (in wide worlds fewer)."""
        from gym_multisim.simulators.treasure_hunt.drawing import draw_world

        rows, columns = np.divmod(
            self._places[arena] - self._first_cell[arena], self._blank.shape[1]
        )
        places = np.stack([rows, columns], axis=1) - self._inside.start
        return draw_world(self._grid[arena, self._inside, self._inside], places, self.vision_radius)

    def _where(self, arenas: NDArray[np.intp]) -> Where:
        return slice(None) if len(arenas) == self._arenas else arenas

    def _act(self, where: Where, hunters: GroupRows) -> None:
        """Move the agents one after another, and write what they earn."""
        places = self._places[where]
        actions = hunters.action[where]
        met = np.empty(places.shape, np.uint8)
        for agent in range(self.agents):
            here = places[:, agent]
            there = here + self._moves[actions[:, agent]]
            met[:, agent] = code = self._cells[there]
            there = np.where(code < WALL, there, here)
            self._cells[here] = EMPTY
            self._cells[there] = AGENT
            places[:, agent] = there
        self._places[where] = places
        hunters.reward[where] = self._reward_of[met]
        hunters.metrics[where] += self._count_of[met]

    def _change_world(self, where: Where) -> None:
        """Let items appear in empty cells."""
        arena, floor, kind = appearances(
            self._seeds[where], self._turn[where], len(self._floor), self.spawn_probability
        )
        cells = self._first_cell[where][arena] + self._floor[floor]
        empty = self._cells[cells] == EMPTY
        self._cells[cells[empty]] = np.left_shift(1, kind[empty])  # GEM, FOOD, BONE

    def _observe(self, where: Where, hunters: GroupRows) -> None:
        """Write observations and masks."""
        places = self._places[where]
        seen = self._cells[places[..., None] + self._sight]
        planes = np.empty((*places.shape, len(PLANES), len(self._sight)), np.uint8)
        planes[:] = seen[..., None, :]
        flat = planes.reshape(*places.shape, -1)
        flat &= self._plane_bits
        features = flat.shape[-1]
        hunters.observation[where, :, :features] = flat != 0

        cells = places - self._first_cell[where][:, None]
        hunters.observation[where, :, features : features + 2] = self._position_of[cells]
        hunters.observation[where, :, -1] = (1 - self._turn[where] / self.turns)[:, None]
        if hunters.action_mask is not None:
            hunters.action_mask[where] = self._legal_of[cells]


def _refuse_unknown(options: Mapping[str, object]) -> None:
    known = list(TreasureHunt.__init__.__kwdefaults__ or ())
    for name, value in options.items():
        raise ConfigError(
            f"TreasureHunt has no option {name!r} (given: {value!r}).{nearest_name(name, known)}"
            f" Expected one of: {', '.join(known)}."
        )


def _whole(name: str, value: SupportsIndex, *, least: int) -> int:
    """Return an option as an int that is not below ``least``."""
    try:
        number = value.__index__()
    except (AttributeError, TypeError):
        raise _bad(name, value, f"a whole number, at least {least}") from None
    if number < least or isinstance(value, bool):
        raise _bad(name, value, f"a whole number, at least {least}")
    return number


def _number(name: str, value: SupportsFloat) -> float:
    """Return an option as a finite float."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise _bad(name, value, "a number") from None
    if not np.isfinite(number):
        raise _bad(name, value, "a finite number")
    return number


def _bad(name: str, value: object, expected: str) -> ConfigError:
    return ConfigError(f"TreasureHunt's option {name} is {value!r}; expected {expected}.")
