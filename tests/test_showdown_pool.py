"""Showdown battles through the pool and its faces: what a user of this simulator calls."""

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env as gymnasium_check_env
from processes import wait_until
from sb3_contrib import MaskablePPO
from showdown_scripts import installed
from small_simulators import Unprepared
from stable_baselines3.common.env_checker import check_env as sb3_check_env
from test_determinism import lock_step

import gym_multisim  # noqa: F401 (registers the ids)
from gym_multisim import registry
from gym_multisim.envs.sb3 import make_vec_env
from gym_multisim.pool.pool import SimulatorPool
from gym_multisim.pool.worker import make_context
from gym_multisim.servers.node import find_node
from gym_multisim.simulator import Status
from gym_multisim.simulators.showdown import Showdown
from gym_multisim.simulators.showdown.bridge_client import PROGRAM, Bridge
from gym_multisim.simulators.showdown.simulator import OBSERVATION_SIZE
from gym_multisim.simulators.showdown.space import JOINT_ACTIONS
from gym_multisim.testing import check_simulator

ID = "gym_multisim:multisim/Showdown-v0"
STEPS = 30


@pytest.fixture(autouse=True)
def showdown(leaves_nothing):
    """Every test here needs the package; none leaves anything behind."""
    installed()


def pool_of(kind=Showdown, layout=(1, 8), backend="inline", **options):
    """A pool of battles with one seed."""
    servers, arenas = layout
    return SimulatorPool(
        kind,
        servers=servers,
        arenas_per_server=arenas,
        seed=3,
        backend=backend,
        simulator_options=options,
    )


def sampled(venv, rng):
    """Random legal actions."""
    return np.array([rng.choice(np.flatnonzero(row)) for row in venv.action_masks()])


# --- what users call ----------------------------------------------------------------------------


@pytest.mark.parametrize(("opponent", "seats"), [("random", 1), ("self", 2)])
def test_make_vec_env_plays_whole_battles(opponent, seats):
    """Two servers of 32 battles: episodes end with a result, and no choice is refused."""
    options = {"format": "gen9randomdoublesbattle", "opponent": opponent}
    venv = make_vec_env("showdown", servers=2, arenas_per_server=32, simulator_options=options)
    assert venv.num_envs == 64 * seats
    assert venv.reset().shape == (64 * seats, OBSERVATION_SIZE)
    rng = np.random.default_rng(0)
    episodes = []
    while len(episodes) < 40:
        _, rewards, dones, infos = venv.step(sampled(venv, rng))
        assert not rewards[~dones].any()
        episodes += [info["episode"] for info in infos if "episode" in info]
    venv.close()
    assert {episode["r"] for episode in episodes} <= {-1.0, 0.0, 1.0}
    for episode in episodes:
        assert episode["win"] == (episode["r"] == 1.0)
        assert episode["illegal"] == 0
        assert 0 < episode["turns"] < 1000
        assert max(episode["foe_faints"], episode["own_faints"]) <= 6


def test_learning_with_masks_runs():
    """MaskablePPO takes the environment as it is."""
    venv = make_vec_env("showdown", servers=2, arenas_per_server=2)
    model = MaskablePPO("MlpPolicy", venv, n_steps=8, batch_size=16, n_epochs=1)
    model.learn(64)
    venv.close()


def test_ids_pass_the_checks_of_gymnasium_and_sb3():
    """Spaces, seeds, determinism and types are as both want them."""
    env = gymnasium.make(ID, invalid_action="resample")  # checkers sample without masks
    gymnasium_check_env(env.unwrapped, skip_render_check=True)
    env = gymnasium.make(ID, invalid_action="resample")
    sb3_check_env(env.unwrapped)
    env.close()


def test_make_vec_takes_the_id():
    """With options of the simulator and of the pool, and self-play as two rows a battle."""
    venv = gymnasium.make_vec(ID, num_envs=4, opponent="self", servers=2, seed=1)
    observation, _ = venv.reset()
    assert observation.shape == (4, OBSERVATION_SIZE)
    assert venv.single_action_space.n == JOINT_ACTIONS
    for _ in range(5):
        masks = venv.action_masks()
        observation, *_ = venv.step(np.array([np.flatnonzero(row)[0] for row in masks]))
    assert observation.any(axis=1).all()
    venv.close()


@pytest.mark.slow
@pytest.mark.parametrize("opponent", ["random", "self"])
def test_the_contract_is_kept(opponent):
    """`check_simulator` finds nothing, over battles that end and others that are cut short."""
    report = check_simulator("showdown", arenas=2, steps=60, opponent=opponent)
    assert {"determinism", "episode ends", "layout independence", "masks"} <= set(report.checks)
    assert "prepared episodes" in report.checks


def test_a_seat_that_is_not_asked_waits():
    """In self-play a seat whose foe alone must switch is WAITING, with the idle action alone."""
    with pool_of(opponent="self") as pool:
        batch = pool.reset()
        waited = 0
        for _ in range(60):
            batch = pool.step(pool.sample_actions(batch, "trainers"))
            waiting = batch.only.status == Status.WAITING
            assert (batch.action_mask[waiting].sum(axis=1) == 1).all()
            waited += waiting.sum()
    assert waited > 0


def test_the_registry_knows_what_to_install():
    """The entry's manifest is the folder that the bridge runs in."""
    entry = registry.find("showdown")
    assert entry.load() is Showdown
    assert entry.manifest == PROGRAM
    assert find_node().program.is_file()


# --- rewards ------------------------------------------------------------------------------------


def test_shaped_rewards_add_up():
    """Faints and health count with their weights; what one side gains the other loses."""
    options = {"opponent": "self", "win_reward": 0.0, "faint_reward": 0.5}
    with pool_of(**options) as pool:
        batch = pool.reset()
        ended = 0
        while ended < 4:
            batch = pool.step(pool.sample_actions(batch, "trainers"))
            rows = batch.only
            np.testing.assert_allclose(rows.reward[0::2], -rows.reward[1::2])
            for row in np.flatnonzero(rows.episode_ended):
                metrics = dict(zip(pool.spec.metrics, rows.episode_metrics[row], strict=True))
                gained = 0.5 * (metrics["foe_faints"] - metrics["own_faints"])
                assert rows.episode_return[row] == pytest.approx(gained, abs=1e-5)
                ended += 1


# --- seeds and battles made ahead ---------------------------------------------------------------


@pytest.fixture(scope="module")
def reference():
    """Eight battles in one server in this process, none made ahead."""
    installed()
    with pool_of(Unprepared) as pool:
        return lock_step(pool, steps=STEPS)


@pytest.mark.parametrize("kind", [Showdown, Unprepared])
@pytest.mark.parametrize(
    ("layout", "backend"), [((1, 8), "inline"), ((1, 8), "process"), ((4, 2), "process")]
)
def test_rows_do_not_depend_on_servers_or_on_battles_made_ahead(kind, layout, backend, reference):
    """Observations, masks, rewards, flags, statistics and sampled actions are the same bytes."""
    with pool_of(kind, layout, backend) as pool:
        assert lock_step(pool, steps=STEPS) == reference
        assert pool.statistics().workers[0].episodes > 0


def test_battles_are_made_ahead_and_only_where_that_is_wanted():
    """The bridge accounts for what it has made in advance."""
    for kind, is_ahead in ((Showdown, True), (Unprepared, False)):
        simulators = []

        def make(kind=kind, simulators=simulators):
            simulators.append(kind())
            return simulators[-1]

        with SimulatorPool(make, arenas_per_server=4, seed=3, backend="inline") as pool:
            lock_step(pool, steps=3)
            (opened,) = [one for one in simulators if hasattr(one, "bridge")]
            assert (opened.bridge.costs()["ahead"] > 0) == is_ahead


@pytest.mark.parametrize("delay", [0, 3])
def test_battles_made_for_other_seeds_are_not_played(delay):
    """After ``reset(seed=…)`` by hand, what was made ahead is of no use, at once or later."""
    with pool_of(Unprepared) as plain, pool_of() as prepared:
        histories = []
        for pool in (plain, prepared):
            lock_step(pool, steps=delay)
            pool.reset(seed=[11, *[None] * 7], arenas=np.arange(8) < 3)
            batch = pool.reset(seed=99)
            name = pool.group().name
            history = [batch.observation.tobytes()]
            for _ in range(STEPS):
                batch = pool.step(pool.sample_actions(batch, name))
                history.append(batch.observation.tobytes())
            histories.append(history)
    assert histories[0] == histories[1]


def test_a_plan_of_the_same_seed_is_played_as_it_would_have_been():
    """Reset at once after the plan, when the battle was made, and without one."""
    settings = {**Showdown()._settings, "folder": str(installed()), "arenas": 3}
    context = make_context(0, 3, log_fd=2)
    with context.resources:
        bridge = Bridge(context, settings)
        arenas, seeds = np.arange(3), np.array([7, 7, 7], dtype=np.uint64)
        bridge.plan(arenas[:1], seeds[:1])
        wait_until(lambda: bridge.costs()["ahead"] > 0, what="a battle made ahead")
        bridge.plan(arenas[1:2], seeds[1:2])
        rows = bridge.reset(arenas, seeds)
        logs = [[line for line in bridge.log(arena) if "|t:|" not in line] for arena in range(3)]
    assert logs[0] == logs[1] == logs[2]
    assert (rows.observation == rows.observation[0]).all()
    assert (rows.mask == rows.mask[0]).all()
