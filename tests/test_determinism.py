"""Equal seeds and equal actions give equal rows, bit for bit, however the arenas are spread."""

import numpy as np
import pytest

from gym_multisim import masks, seeding
from gym_multisim.pool.pool import SimulatorPool
from gym_multisim.pool.trees import tree_leaves
from gym_multisim.simulators.treasure_hunt import TreasureHunt
from gym_multisim.testing.fakes import Counting

pytestmark = pytest.mark.usefixtures("leaves_nothing")

ARENAS, STEPS = 8, 40
LAYOUTS = [(1, 8), (2, 4), (4, 2), (8, 1)]
COUNTING = (Counting, {"agents": 3, "early_deaths": {1: 3}, "late_births": {2: 2}, "masked": True})
HUNTING = (TreasureHunt, {"turns": 9, "size": 9, "spawn_probability": 0.1, "agents": 3})
ALWAYS = ("status", "reward", "terminated", "truncated", "episode_ended", "identity", "metrics")
AT_ENDINGS = ("episode_return", "episode_length", "episode_metrics")


def pool_of(simulator, layout, backend="process", seed=7, **settings):
    """A pool of eight arenas."""
    kind, options = simulator
    servers, arenas = layout
    return SimulatorPool(
        kind,
        servers=servers,
        arenas_per_server=arenas,
        seed=seed,
        simulator_options=options,
        backend=backend,
        **settings,
    )


def snapshot(group):
    """Everything that a group's rows must agree on, one tuple of bytes per row."""
    done = group.terminated | group.truncated
    columns = [getattr(group, name) for name in ALWAYS]
    columns += list(tree_leaves(group.observation))
    if group.action_mask is not None:
        columns.append(group.action_mask)
    per_row = [tuple(column[row].tobytes() for column in columns) for row in range(len(done))]
    for row in np.flatnonzero(done):
        finals = tree_leaves(group.final_observation)
        per_row[row] += tuple(final[row].tobytes() for final in finals)
    for row in np.flatnonzero(group.episode_ended):
        per_row[row] += tuple(getattr(group, name)[row].tobytes() for name in AT_ENDINGS)
    return per_row


def lock_step(pool, choose=None, steps=STEPS):
    """Step all rows; return every row's history."""
    name = pool.group().name
    batch = pool.reset()
    history = [snapshot(batch.only)]
    for _ in range(steps):
        actions = pool.sample_actions(batch, name) if choose is None else choose(batch)
        batch = pool.step(actions)
        executed = [batch.replaced_actions.get(name, {}).get(row) for row in range(len(actions))]
        history.append(list(zip(snapshot(batch.only), executed, strict=True)))
    return history


def chosen_by_row(pool, batch, counts):
    """Legal actions that follow from the row, its step number and its mask alone."""
    name = pool.group().name
    rows = batch.rows[name]
    uniforms = seeding.random_floats(rows[:, None], counts[rows][:, None], 0)
    counts[rows] += 1
    width = batch.action_mask.shape[1]
    return masks.sample(batch.action_mask, (width,), uniforms)[:, 0]


@pytest.fixture(scope="module")
def references():
    """Histories of the plainest way: one server, in this process."""
    histories = {}
    for simulator in (COUNTING, HUNTING):
        with pool_of(simulator, (1, 8), "inline") as pool:
            histories[simulator[0]] = lock_step(pool)
    return histories


@pytest.mark.parametrize("simulator", [COUNTING, HUNTING], ids=["counting", "hunting"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("backend", ["inline", "process"])
def test_rows_do_not_depend_on_servers_or_backend(simulator, layout, backend, references):
    """Observations, rewards, flags, masks, statistics and sampled actions are the same bytes."""
    with pool_of(simulator, layout, backend) as pool:
        assert lock_step(pool) == references[simulator[0]]


def test_rows_do_not_depend_on_whether_servers_step_at_once(references):
    """One after another, they are the same bytes."""
    with pool_of(COUNTING, (4, 2)) as pool:
        pool.parallel = False
        assert lock_step(pool) == references[Counting]


@pytest.mark.parametrize("simulator", [COUNTING, HUNTING], ids=["counting", "hunting"])
def test_the_order_of_readiness_changes_no_trajectory(simulator):
    """Under ``recv`` each row sees what it sees in lock step, given its own actions."""
    counts = np.zeros(100, np.int64)
    with pool_of(simulator, (4, 2), "inline") as pool:
        expected = lock_step(pool, lambda batch: chosen_by_row(pool, batch, counts))
    counts[:] = 0
    rng = np.random.default_rng(0)
    with pool_of(simulator, (4, 2)) as pool:
        name = pool.group().name
        batch = pool.reset()
        per_worker = pool.num_rows() // 4
        histories = [[row] for row in snapshot(batch.only)]
        pool.send(chosen_by_row(pool, batch, counts))
        left = np.full(4, STEPS)
        while left.any():
            batch = pool.recv(min_workers=int(rng.integers(1, 3)))
            for row, seen in zip(batch.rows[name], snapshot(batch.only), strict=True):
                histories[row].append((seen, None))
            left[batch.workers] -= 1
            actions = chosen_by_row(pool, batch, counts)
            going_on = left[batch.workers] > 0
            if going_on.any():
                pool.send(actions[np.repeat(going_on, per_worker)], batch.workers[going_on])
    for row, history in enumerate(histories):
        assert history == [step[row] for step in expected]


@pytest.mark.parametrize("simulator", [COUNTING, HUNTING], ids=["counting", "hunting"])
def test_the_same_seed_again_gives_the_same_again(simulator):
    """In one pool after ``reset(seed)``, in another pool, and not with another seed."""
    with pool_of(simulator, (2, 4), "inline", seed=21) as pool:
        first = lock_step(pool, steps=15)
        second = lock_step(pool, steps=15)
        pool.reset(seed=21)
        pool.reset(seed=21)
    with pool_of(simulator, (2, 4), "inline", seed=1) as pool:
        pool.reset(seed=21)
        name = pool.group().name
        batch = pool.reset(seed=21)
        third = [snapshot(batch.only)]
        for _ in range(15):
            batch = pool.step(pool.sample_actions(batch, name))
            third.append([(seen, None) for seen in snapshot(batch.only)])
    assert first == third
    assert first != second


def test_a_pool_without_a_seed_draws_one():
    """And tells it, so that the run can be repeated."""
    with pool_of(COUNTING, (1, 8), "inline", seed=None) as pool:
        first = lock_step(pool, steps=5)
        seed = pool.seed
    with pool_of(COUNTING, (1, 8), "inline", seed=seed) as pool:
        assert lock_step(pool, steps=5) == first
    with pool_of(COUNTING, (1, 8), "inline", seed=None) as pool:
        assert pool.seed != seed


@pytest.mark.parametrize("layout", [(2, 4), (4, 2)])
def test_replacements_of_forbidden_actions_do_not_depend_on_the_layout(layout):
    """Each row draws from its own numbers, whoever else draws beside it."""

    def careless(batch):
        return (batch.rows["hunters"] * 7 + batch.observation[:, 127].astype(int)) % 4

    histories = []
    for servers, backend in (((1, 8), "inline"), (layout, "process")):
        with pool_of(HUNTING, servers, backend, invalid_action="resample") as pool:
            histories.append(lock_step(pool, careless))
            assert pool.statistics().invalid_actions > 20
    assert histories[0] == histories[1]


def test_an_arena_plays_the_same_episodes_alone():
    """Seeds name arenas and episodes, not their neighbours: few arenas are a part of many."""
    with pool_of(HUNTING, (1, 8), "inline") as pool:
        many = lock_step(pool)
    with pool_of(HUNTING, (1, 3), "inline") as pool:
        few = lock_step(pool)
    assert few == [step[:9] for step in many]
