"""The treasure hunt: its rules one by one, its random numbers, its picture, its scripted hunter."""

import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from gym_multisim.errors import ConfigError
from gym_multisim.seeding import arena_keys, combine, episode_seeds, random_bits, random_floats
from gym_multisim.simulator import GroupRows, ServerContext, Status
from gym_multisim.simulators.treasure_hunt import TreasureHunt, greedy_actions
from gym_multisim.simulators.treasure_hunt.draws import appearances, start_cells
from gym_multisim.simulators.treasure_hunt.world import AGENT, BONE, EMPTY, FOOD, GEM, WALL

UP, DOWN, LEFT, RIGHT = range(4)
STEPS = [(-1, 0), (1, 0), (0, -1), (0, 1)]


class Server:
    """A treasure hunt with rows of its own, and the worker loop's duties towards them."""

    def __init__(self, arenas=1, **options):
        self.hunt = TreasureHunt(**options)
        self.spec = self.hunt.spec()
        (group,) = self.spec.groups
        shape = (arenas, len(group.agents))
        self.rows = GroupRows(
            observation=np.full((*shape, *group.observation_space.shape), np.nan, np.float32),
            final_observation=None,
            action=np.zeros(shape, np.int64),
            action_mask=np.zeros((*shape, 4), np.bool_) if group.masked else None,
            reward=np.full(shape, np.nan),
            terminated=np.zeros(shape, np.bool_),
            truncated=np.zeros(shape, np.bool_),
            status=np.full(shape, Status.ABSENT, np.int8),
            identity=np.zeros(shape, np.int64),
            metrics=np.zeros((*shape, len(self.spec.metrics)), np.float32),
        )
        self.all = np.arange(arenas)
        self.hunt.open(
            ServerContext(
                server=0,
                arenas=arenas,
                first_arena=0,
                log_fd=2,
                lease_port=nullcontext,
                run_directory=Path,
            )
        )

    def reset(self, seeds, arenas=None):
        """Begin episodes."""
        arenas = self.all if arenas is None else np.asarray(arenas, np.intp)
        self.rows.status[arenas] = Status.ACTIVE
        self.rows.metrics[arenas] = 0
        self.hunt.reset(arenas, np.asarray(seeds, np.uint64), {"hunters": self.rows})

    def step(self, actions, arenas=None):
        """Advance arenas by a turn; ``actions`` are those of all rows."""
        arenas = self.all if arenas is None else np.asarray(arenas, np.intp)
        self.rows.action[:] = actions
        self.rows.reward[arenas] = 0
        self.rows.terminated[arenas] = self.rows.truncated[arenas] = False
        self.hunt.step(arenas, {"hunters": self.rows})

    def put(self, hunters, items=(), arena=0):
        """Set a scene: the hunters' cells (row, column) and a dict of other cells."""
        grid = self.hunt._grid[arena, self.hunt._inside, self.hunt._inside]
        grid[1:-1, 1:-1] = EMPTY
        for cell, code in dict(items).items():
            grid[cell] = code
        margin, side = self.hunt._inside.start, self.hunt._grid.shape[1]
        for agent, (row, column) in enumerate(hunters):
            grid[row, column] = AGENT
            place = (row + margin) * side + column + margin
            self.hunt._places[arena, agent] = self.hunt._first_cell[arena] + place

    def grid(self, arena=0):
        """Return an arena's cells, outer wall included."""
        return self.hunt._grid[arena, self.hunt._inside, self.hunt._inside]

    def hunters(self, arena=0):
        """Return the hunters' cells as (row, column)."""
        return [tuple(cell) for cell in self.cells_of_hunters(arena).tolist()]

    def cells_of_hunters(self, arena):
        """Return the hunters' cells, shape (agents, 2)."""
        local = self.hunt._places[arena] - self.hunt._first_cell[arena]
        return np.stack(np.divmod(local, self.hunt._grid.shape[1]), 1) - self.hunt._inside.start

    def snapshot(self, arenas=None):
        """Copy everything an agent or trainer sees."""
        rows, chosen = self.rows, self.all if arenas is None else arenas
        return [
            array[chosen].copy()
            for array in (rows.observation, rows.action_mask, rows.reward, rows.metrics)
        ] + [rows.truncated[chosen].copy()]


def quiet(**options):
    """Return one arena in which nothing appears by itself."""
    server = Server(**{"spawn_probability": 0.0, **options})
    server.reset([7])
    return server


def random_legal(rng, mask):
    """Return a legal action per row."""
    return (rng.random(mask.shape) * mask).argmax(axis=-1)


def assert_same(left, right):
    """Assert that two snapshots are equal, bit for bit."""
    for one, other in zip(left, right, strict=True):
        np.testing.assert_array_equal(one, other)


# --- what it is ---------------------------------------------------------------------------------


def test_the_default_world_is_the_one_users_know():
    """21 × 21 cells, two hunters, four actions, 5 × 5 cells of sight in five planes and 3 more."""
    server = Server()
    (group,) = server.spec.groups
    assert group.name == "hunters"
    assert group.agents == ("hunter_0", "hunter_1")
    assert group.observation_space.shape == (5 * 5 * 5 + 3,)
    assert group.action_space.n == 4
    assert group.masked
    assert server.spec.metrics == ("gems", "foods", "bones")
    assert server.spec.max_arenas is None
    assert server.grid().shape == (21, 21)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": 3}, ["size", "3", "at least 4"]),
        ({"size": 4, "agents": 5}, ["size", "4", "at least 5", "5 agents"]),
        ({"size": 8.5}, ["size", "8.5", "whole number"]),
        ({"agents": 0}, ["agents", "0", "at least 1"]),
        ({"vision_radius": True}, ["vision_radius", "True", "whole number"]),
        ({"turns": "many"}, ["turns", "'many'", "whole number"]),
        ({"spawn_probability": -0.1}, ["spawn_probability", "-0.1", "from 0 to 1"]),
        ({"spawn_probability": 1.5}, ["spawn_probability", "1.5", "from 0 to 1"]),
        ({"gem_reward": float("nan")}, ["gem_reward", "nan", "finite"]),
        ({"bone_reward": None}, ["bone_reward", "None", "a number"]),
        ({"mask_walls": "yes"}, ["mask_walls", "'yes'", "True or False"]),
        ({"visionradius": 2}, ["visionradius", "2", "Did you mean 'vision_radius'?", "turns"]),
    ],
)
def test_bad_options_are_named_with_what_was_expected(options, words):
    """A bad option raises ConfigError with its name, its value and what would be right."""
    with pytest.raises(ConfigError) as caught:
        TreasureHunt(**options)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_numpy_numbers_are_good_options():
    """Options may be NumPy scalars, as they come out of a sweep."""
    hunt = TreasureHunt(size=np.int64(9), gem_reward=np.float32(2), mask_walls=np.bool_(True))
    assert hunt.size == 9


def test_a_worker_needs_no_gymnasium():
    """Hosting arenas and drawing them loads NumPy and this package alone."""
    code = """
import sys, numpy as np
from gym_multisim.simulator import ServerContext
from gym_multisim.simulators.treasure_hunt import TreasureHunt
hunt = TreasureHunt()
hunt.open(ServerContext(0, 256, 0, 2, int, int))
hunt.render(0)
loaded = {name.partition(".")[0] for name in sys.modules}
assert not loaded & {"gymnasium", "torch", "stable_baselines3", "matplotlib"}, loaded
"""
    root = Path(__file__).parents[1]
    subprocess.run(
        [sys.executable, "-X", "gym_multisim_worker", "-c", code], check=True, cwd=root, timeout=60
    )


# --- the rules ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("item", "reward", "metrics"),
    [(GEM, 10.0, [1, 0, 0]), (FOOD, 5.0, [0, 1, 0]), (BONE, -10.0, [0, 0, 1])],
)
def test_entering_an_items_cell_collects_it(item, reward, metrics):
    """The item pays its reward, is counted, and is gone; the hunter stands in its cell."""
    server = quiet(agents=1)
    server.put([(5, 5)], {(5, 6): item})
    server.step([[RIGHT]])
    assert server.rows.reward[0, 0] == reward
    assert server.rows.metrics[0, 0].tolist() == metrics
    assert server.hunters() == [(5, 6)]
    server.step([[LEFT]])
    server.step([[RIGHT]])
    assert server.rows.reward[0, 0] == 0
    assert server.rows.metrics[0, 0].tolist() == metrics


def test_rewards_are_options():
    """Each of the four rewards can be chosen."""
    server = quiet(
        agents=4, gem_reward=1, food_reward=2, bone_reward=-3, wall_reward=-4, mask_walls=False
    )
    server.put([(5, 1), (7, 1), (9, 1), (11, 1)], {(5, 2): GEM, (7, 2): FOOD, (9, 2): BONE})
    server.step([[RIGHT, RIGHT, RIGHT, LEFT]])
    assert server.rows.reward[0].tolist() == [1, 2, -3, -4]


@pytest.mark.parametrize(("action", "step"), list(enumerate(STEPS)))
def test_actions_are_up_down_left_right(action, step):
    """Rows count downwards and columns to the right."""
    server = quiet(agents=1)
    server.put([(5, 5)])
    server.step([[action]])
    assert server.hunters() == [(5 + step[0], 5 + step[1])]


def test_the_first_to_reach_a_gem_gets_it():
    """Of two hunters that enter one cell, the first in order does; the other stays, unpaid."""
    server = quiet()
    server.put([(5, 7), (5, 5)], {(5, 6): GEM})
    server.step([[LEFT, RIGHT]])
    assert server.rows.reward[0].tolist() == [10, 0]
    assert server.hunters() == [(5, 6), (5, 5)]


def test_a_hunter_cannot_enter_anothers_cell():
    """Walking into a hunter that stands there does nothing and costs nothing."""
    server = quiet()
    server.put([(5, 5), (5, 6)])
    server.step([[RIGHT, DOWN]])
    assert server.hunters() == [(5, 5), (6, 6)]
    assert server.rows.reward[0].tolist() == [0, 0]


def test_a_cell_that_was_left_this_turn_can_be_entered():
    """Hunters act one after another: the second may take the place that the first left."""
    server = quiet()
    server.put([(5, 6), (5, 5)])
    server.step([[RIGHT, RIGHT]])
    assert server.hunters() == [(5, 7), (5, 6)]


@pytest.mark.parametrize("mask_walls", [True, False])
def test_walking_into_a_wall_costs_and_moves_nothing(mask_walls):
    """The wall takes its reward and the hunter stays, also if the mask forbade the step."""
    server = quiet(agents=1, mask_walls=mask_walls)
    server.put([(1, 5)])
    server.step([[UP]])
    assert server.rows.reward[0, 0] == -1
    assert server.hunters() == [(1, 5)]
    assert server.grid()[0, 5] == WALL


def test_without_mask_walls_there_are_no_masks():
    """With mask_walls=False the group is unmasked."""
    assert not TreasureHunt(mask_walls=False).spec().groups[0].masked


@pytest.mark.parametrize("vision_radius", [1, 2, 4])
def test_masks_forbid_exactly_the_steps_into_walls(vision_radius):
    """In every floor cell the mask equals a search of the four neighbours."""
    server = quiet(agents=1, size=6, vision_radius=vision_radius)
    visited = set()
    rng = np.random.default_rng(0)
    while len(visited) < 16:
        ((row, column),) = server.hunters()
        visited.add((row, column))
        legal = [server.grid()[row + down, column + right] != WALL for down, right in STEPS]
        assert server.rows.action_mask[0, 0].tolist() == legal
        server.step(random_legal(rng, server.rows.action_mask))


def test_an_episode_is_truncated_after_its_turns_and_never_terminated():
    """The last of the turns truncates all hunters; no turn before it does."""
    server = Server(arenas=3, turns=100)
    server.reset([1, 2, 3])
    rng = np.random.default_rng(0)
    for turn in range(1, 101):
        server.step(random_legal(rng, server.rows.action_mask))
        assert not server.rows.terminated.any()
        assert (server.rows.truncated == (turn == 100)).all()
        np.testing.assert_allclose(server.rows.observation[..., -1], 1 - turn / 100, atol=1e-6)
    server.reset([4], arenas=[1])
    assert (server.rows.observation[:, 0, -1] == [0, 1, 0]).all()


def test_observations_lie_in_their_space():
    """Every observation of an episode is contained in the observation space."""
    server = Server(arenas=4, spawn_probability=0.05)
    space = server.spec.groups[0].observation_space
    server.reset([1, 2, 3, 4])
    rng = np.random.default_rng(0)
    for _ in range(101):
        assert all(space.contains(row) for row in server.rows.observation.reshape(-1, 128))
        server.step(random_legal(rng, server.rows.action_mask))


def test_the_view_shows_items_walls_and_others_but_not_oneself():
    """Planes are centred on the hunter; position and time follow them."""
    server = quiet()
    server.put([(1, 2), (2, 4)], {(3, 1): GEM, (1, 4): FOOD, (4, 2): BONE})
    server.step([[DOWN, LEFT]])
    assert server.hunters() == [(2, 2), (2, 3)]
    gems, food, bones, walls, others = server.rows.observation[0, 0, :125].reshape(5, 5, 5)
    assert np.argwhere(gems).tolist() == [[3, 1]]
    assert np.argwhere(food).tolist() == [[1, 4]]
    assert np.argwhere(bones).tolist() == [[4, 2]]
    assert np.argwhere(others).tolist() == [[2, 3]]
    assert walls[0].all()
    assert walls[:, 0].all()
    assert not walls[1:, 1:].any()
    np.testing.assert_allclose(server.rows.observation[0, 0, 125:], [1 / 18, 1 / 18, 0.99])


# --- what appears -------------------------------------------------------------------------------


@pytest.mark.parametrize("probability", [0.0, 1 / 256, 0.005, 0.3, 1.0])
def test_items_appear_with_their_probability_and_each_kind_equally_often(probability):
    """Over 1.8 million draws the counts lie within 4.5 standard deviations."""
    seeds = episode_seeds(arena_keys(3, np.arange(5000)), 0)
    _, cells, kinds = appearances(seeds, np.arange(5000, dtype=np.uint64), 361, probability)
    draws = 5000 * 361
    spread = np.sqrt(draws * probability * (1 - probability))
    assert abs(len(cells) - draws * probability) <= 4.5 * spread
    if probability == 0:
        return
    assert cells.max() == 360
    per_kind = np.bincount(kinds, minlength=3)
    assert np.abs(per_kind - len(kinds) / 3).max() < 4.5 * np.sqrt(len(kinds) * 2 / 9)
    per_cell = np.bincount(cells, minlength=361)
    expected = 5000 * probability
    spread_of_a_cell = np.sqrt(expected * (1 - probability))
    assert np.abs(per_cell - expected).max() <= 5 * spread_of_a_cell


def test_items_appear_in_empty_cells_alone():
    """In a turn in which all hunters bump, items stay, and empty cells fill at the given rate."""
    server = Server(arenas=256, agents=1, mask_walls=False)
    server.reset(np.arange(256))
    for arena in range(256):
        server.put([(1, 1)], arena=arena)
    filled = empty = 0
    for _ in range(60):
        before = server.hunt._grid.copy()
        server.step(UP)
        was_empty = before == EMPTY
        np.testing.assert_array_equal(before[~was_empty], server.hunt._grid[~was_empty])
        empty += was_empty.sum()
        filled += (server.hunt._grid[was_empty] != EMPTY).sum()
    assert abs(filled - 0.005 * empty) < 4.5 * np.sqrt(0.005 * empty)


def test_items_may_be_there_at_the_first_look():
    """The world changes before the first observation too: some 1.8 items per arena."""
    server = Server(arenas=500)
    server.reset(np.arange(500))
    items = (server.hunt._grid & (GEM | FOOD | BONE) != 0).sum()
    assert abs(items / 500 - 359 * 0.005) < 4.5 * np.sqrt(359 * 0.005 / 500)


def test_hunters_start_in_distinct_cells_all_equally_likely():
    """Start cells never coincide, and each agent's are uniform over the floor."""
    cells = start_cells(np.arange(20_000, dtype=np.uint64), 3, 16)
    assert all(len(set(row)) == 3 for row in cells[:500].tolist())
    counts = np.stack([np.bincount(cells[:, agent], minlength=16) for agent in range(3)])
    expected = 20_000 / 16
    assert (((counts - expected) ** 2).sum(axis=1) / expected < 45).all()  # χ², 15 degrees


def test_a_full_floor_is_a_legal_start():
    """As many hunters as floor cells find one each."""
    server = Server(size=4, agents=4)
    server.reset([1])
    assert sorted(server.hunters()) == [(1, 1), (1, 2), (2, 1), (2, 2)]


# --- determinism --------------------------------------------------------------------------------


def test_arenas_side_by_side_equal_arenas_alone():
    """8 arenas in one object and 8 objects of one arena give the same rows, bit for bit."""
    seeds = episode_seeds(arena_keys(5, np.arange(8)), 0)
    together, alone = Server(arenas=8), [Server() for _ in range(8)]
    together.reset(seeds)
    for server, seed in zip(alone, seeds, strict=True):
        server.reset([seed])
    rng = np.random.default_rng(0)
    for _ in range(100):
        actions = random_legal(rng, together.rows.action_mask)
        together.step(actions)
        for arena, server in enumerate(alone):
            server.step(actions[arena : arena + 1])
            assert_same(together.snapshot([arena]), server.snapshot())


def test_stepping_subsets_in_any_order_changes_nothing():
    """An arena's rows depend on its own steps alone; those not stepped keep theirs untouched."""
    seeds = episode_seeds(arena_keys(5, np.arange(8)), 0)
    steady, ragged = Server(arenas=8), Server(arenas=8)
    steady.reset(seeds)
    for arena in (5, 2, 7, 0, 1, 6, 3, 4):
        ragged.reset(seeds[[arena]], arenas=[arena])
    rng = np.random.default_rng(0)
    for _ in range(40):
        actions = random_legal(rng, steady.rows.action_mask)
        steady.step(actions)
        first = np.sort(rng.choice(8, size=rng.integers(1, 8), replace=False))
        rest = np.setdiff1d(np.arange(8), first)
        untouched = ragged.snapshot(rest)
        ragged.step(actions, arenas=first)
        assert_same(untouched, ragged.snapshot(rest))
        ragged.step(actions, arenas=rest)
        assert_same(steady.snapshot(), ragged.snapshot())


def test_resetting_a_subset_leaves_the_others_alone():
    """A reset begins new episodes in its arenas and touches no other row."""
    server, fresh = Server(arenas=6), Server(arenas=2)
    server.reset(np.arange(6))
    rng = np.random.default_rng(0)
    for _ in range(30):
        server.step(random_legal(rng, server.rows.action_mask))
    others = [0, 2, 3, 5]
    before = server.snapshot(others)
    server.reset([21, 22], arenas=[1, 4])
    fresh.reset([21, 22])
    assert_same(before, server.snapshot(others))
    np.testing.assert_array_equal(server.rows.observation[[1, 4]], fresh.rows.observation)
    for _ in range(20):
        server.step(random_legal(rng, server.rows.action_mask))
        fresh.step(server.rows.action[[1, 4]])
        np.testing.assert_array_equal(server.rows.observation[[1, 4]], fresh.rows.observation)


def test_another_seed_is_another_episode():
    """Different seeds place hunters and items differently."""
    server = Server(arenas=2)
    server.reset([1, 2])
    assert (server.rows.observation[0] != server.rows.observation[1]).any()


# --- a slow reference ---------------------------------------------------------------------------


class SlowHunt:
    """The same world in plain Python: one arena, cell by cell."""

    def __init__(self, seed, *, size, agents, radius, turns, probability):
        self.seed, self.size, self.radius = np.uint64(seed), size, radius
        self.turns, self.probability = turns, probability
        self.turn = 0
        self.items = {}
        self.floor = [(row, column) for row in range(1, size - 1) for column in range(1, size - 1)]
        deck = list(self.floor)
        for agent, draw in enumerate(random_floats(self.seed, 1 << 32, np.arange(agents))):
            card = agent + int(draw * (len(deck) - agent))
            deck[agent], deck[card] = deck[card], deck[agent]
        self.hunters = deck[:agents]
        self.counts = [[0, 0, 0] for _ in range(agents)]
        self.change_world()

    def step(self, actions):
        rewards = []
        for agent, action in enumerate(actions):
            row, column = self.hunters[agent]
            cell = (row + STEPS[action][0], column + STEPS[action][1])
            if cell not in self.floor:
                rewards.append(-1.0)
            elif cell in self.hunters:
                rewards.append(0.0)
            else:
                item = self.items.pop(cell, None)
                rewards.append({None: 0.0, "gem": 10.0, "food": 5.0, "bone": -10.0}[item])
                if item:
                    self.counts[agent][["gem", "food", "bone"].index(item)] += 1
                self.hunters[agent] = cell
        self.turn += 1
        self.change_world()
        return rewards

    def change_world(self):
        words = random_bits(self.seed, self.turn, np.arange(len(self.floor) // 8 + 1))
        wanted = self.probability * 256
        for number, cell in enumerate(self.floor):
            word = int(words[number // 8])
            byte = (word >> (8 * (number % 8))) & 0xFF
            if byte > int(wanted):
                continue
            draw = (int(combine(np.uint64(word), number)) >> 11) / 2**53
            chance = wanted / (int(wanted) + 1)
            if draw < chance and cell not in self.items and cell not in self.hunters:
                self.items[cell] = ["gem", "food", "bone"][int(draw / chance * 3)]

    def observe(self, agent):
        row, column = self.hunters[agent]
        features = []
        reach = range(-self.radius, self.radius + 1)
        for plane in ("gem", "food", "bone", "wall", "other"):
            for down in reach:
                for right in reach:
                    cell = (row + down, column + right)
                    if cell not in self.floor:
                        seen = "wall"
                    elif cell in self.hunters:
                        seen = "other" if cell != (row, column) else None
                    else:
                        seen = self.items.get(cell)
                    features.append(float(seen == plane))
        last = self.size - 3
        return [*features, (row - 1) / last, (column - 1) / last, 1 - self.turn / self.turns]

    def mask(self, agent):
        row, column = self.hunters[agent]
        return [(row + down, column + right) in self.floor for down, right in STEPS]


@pytest.mark.parametrize(
    "options",
    [
        {"size": 21, "agents": 2, "vision_radius": 2, "turns": 100, "spawn_probability": 0.005},
        {"size": 6, "agents": 5, "vision_radius": 1, "turns": 60, "spawn_probability": 0.05},
        {"size": 9, "agents": 3, "vision_radius": 4, "turns": 40, "spawn_probability": 0.3},
    ],
)
@pytest.mark.parametrize("legal", [True, False])
def test_every_number_equals_a_plain_python_reference(options, legal):
    """Rewards, observations, masks, metrics and ends agree step for step, to the episode's end."""
    server = Server(arenas=2, **options)
    seeds = episode_seeds(arena_keys(9, np.arange(2)), 4)
    server.reset(seeds)
    slow = [
        SlowHunt(
            seed,
            size=options["size"],
            agents=options["agents"],
            radius=options["vision_radius"],
            turns=options["turns"],
            probability=options["spawn_probability"],
        )
        for seed in seeds
    ]
    rng = np.random.default_rng(1)
    rewards = np.full((2, options["agents"]), np.nan)
    agents = range(options["agents"])
    for turn in range(options["turns"] + 1):
        observations = [[one.observe(agent) for agent in agents] for one in slow]
        np.testing.assert_allclose(server.rows.observation, observations, rtol=0, atol=1e-7)
        masks = [[one.mask(agent) for agent in agents] for one in slow]
        np.testing.assert_array_equal(server.rows.action_mask, masks)
        np.testing.assert_array_equal(server.rows.metrics, [one.counts for one in slow])
        np.testing.assert_array_equal(server.rows.reward, rewards)
        assert (server.rows.truncated == (turn == options["turns"])).all()
        allowed = server.rows.action_mask if legal else np.ones_like(server.rows.action_mask)
        actions = random_legal(rng, allowed)
        server.step(actions)
        rewards = [one.step(chosen) for one, chosen in zip(slow, actions.tolist(), strict=True)]


# --- the scripted hunter ------------------------------------------------------------------------


def mean_return(policy, arenas, **options):
    """Return the mean return per agent of one episode in each of many arenas."""
    server = Server(arenas=arenas, **options)
    server.reset(episode_seeds(arena_keys(11, np.arange(arenas)), 0))
    total = np.zeros_like(server.rows.reward)
    for _ in range(100):
        features = server.rows.observation.shape[-1]
        mask = server.rows.action_mask.reshape(-1, 4)
        actions = policy(server.rows.observation.reshape(-1, features), mask)
        assert mask[np.arange(len(mask)), actions].all()
        server.step(actions.reshape(total.shape))
        total += server.rows.reward
    return total.mean()


def test_greedy_beats_random_by_far():
    """Random legal hunters earn some 16 points each per episode, the scripted ones over 200."""
    rng = np.random.default_rng(0)
    assert 5 < mean_return(lambda _, mask: random_legal(rng, mask), 200) < 30
    assert mean_return(greedy_actions, 200) > 200


@pytest.mark.parametrize("vision_radius", [1, 3])
def test_greedy_sees_with_any_radius(vision_radius):
    """The scripted hunter reads its radius from the observation's width."""
    assert mean_return(greedy_actions, 50, vision_radius=vision_radius) > 120


@pytest.mark.parametrize(
    ("items", "action"),
    [
        ({(10, 12): GEM}, RIGHT),
        ({(8, 10): FOOD}, UP),
        ({(10, 9): FOOD, (10, 11): GEM}, RIGHT),
        ({(10, 9): FOOD, (12, 11): GEM}, LEFT),  # so much nearer that it comes first
        ({(11, 10): BONE, (12, 10): GEM, (12, 9): FOOD}, LEFT),  # around the bone
    ],
)
def test_greedy_goes_for_what_is_worth_most_per_step(items, action):
    """The first step of the best walk in view is taken."""
    server = quiet(agents=1)
    server.put([(9, 10)], items)
    server.step([[DOWN]])
    assert greedy_actions(server.rows.observation[:, 0], server.rows.action_mask[:, 0]) == [action]


def test_greedy_works_without_masks():
    """Walls are in view, so that an unmasked hunter does not walk into them either."""
    server = Server(arenas=50, mask_walls=False)
    server.reset(np.arange(50))
    for _ in range(100):
        actions = greedy_actions(server.rows.observation.reshape(-1, 128))
        assert actions.dtype == np.int64
        server.step(actions.reshape(50, 2))
        assert (server.rows.reward != -1).all()


# --- the picture --------------------------------------------------------------------------------


def test_the_picture_shows_the_world_and_changes_with_it():
    """A frame is uint8 RGB, 24 pixels per cell, and a step changes it."""
    server = quiet()
    server.put([(5, 5), (10, 10)], {(3, 3): GEM, (3, 5): FOOD, (3, 7): BONE})
    first = server.hunt.render(0)
    assert first.shape == (504, 504, 3)
    assert first.dtype == np.uint8

    def cell(row, column):
        return first[row * 24 : row * 24 + 24, column * 24 : column * 24 + 24].astype(int)

    assert cell(3, 3)[12, 12, 2] > cell(3, 3)[12, 12, 0] + 50  # a blue gem
    assert cell(3, 5)[13, 12, 1] > cell(3, 5)[13, 12, 0] + 50  # green food
    assert cell(3, 7)[12, 12].min() > 220  # a pale bone
    assert cell(0, 0).max() < 130  # a dark wall
    assert np.abs(cell(5, 5) - cell(10, 10)).max() > 80  # hunters of different colours
    server.step([[UP, UP]])
    assert (server.hunt.render(0) != first).any()


def test_wide_worlds_get_smaller_cells():
    """Frames stay near a thousand pixels, also where sight reaches beyond the world's edge."""
    server = Server(size=84, agents=12, vision_radius=6)
    server.reset([1])
    assert server.hunt.render(0).shape == (1008, 1008, 3)
