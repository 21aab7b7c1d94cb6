"""MultiSimVectorEnv, and `gymnasium.make_vec` with the ids that this package registers."""

import gymnasium
import numpy as np
import pytest
from equality import assert_same
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers import vector as vector_wrappers
from pair_env import Pair
from small_simulators import Frames, Turns

import gym_multisim  # noqa: F401 (registers the ids)
from gym_multisim.envs.gymnasium import MultiSimVectorEnv, make_vector_env
from gym_multisim.errors import ActionError, ClosedError, ConfigError, UsageError
from gym_multisim.pool.pool import SimulatorPool
from gym_multisim.simulator import Status
from gym_multisim.testing.fakes import Counting, TwoGroups

BACKENDS = ("inline", "process")
MODES = list(AutoresetMode)


def counting(mode="next_step", arenas=1, servers=1, backend="inline", face=None, **options):
    """A vector environment of `Counting`; further options are the simulator's."""
    pool = SimulatorPool(
        Counting,
        servers=servers,
        arenas_per_server=arenas,
        seed=0,
        backend=backend,
        autoreset=mode,
        simulator_options=options,
    )
    return MultiSimVectorEnv(pool, **(face or {}))


# --- stepping and autoreset -----------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_batches_have_the_shapes_and_dtypes_of_the_spaces(backend):
    """Observations lie in the batched space; rewards are float64, ends bool, infos a dict."""
    envs = counting(arenas=2, servers=2, backend=backend, agents=2)
    assert envs.num_envs == 8
    observations, infos = envs.reset()
    assert observations in envs.observation_space
    assert infos == {}
    observations, rewards, terminations, truncations, infos = envs.step(envs.action_space.sample())
    assert observations in envs.observation_space
    for array, dtype in ((rewards, np.float64), (terminations, bool), (truncations, bool)):
        assert array.shape == (8,)
        assert array.dtype == dtype
    assert infos == {}
    envs.close()


def test_next_step_resets_on_the_step_after():
    """The last observation comes with the end; the next step resets, whatever is done."""
    envs = counting("next_step", episode_length=2)
    assert envs.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    first, _ = envs.reset()
    envs.step(np.array([1]))
    last, rewards, terminations, _, infos = envs.step(np.array([2]))
    assert terminations.tolist() == [True]
    assert last[0, 1:].tolist() == [2.0, 0.0, 3.0]
    assert "final_obs" not in infos
    assert infos["_episode"].tolist() == [True]
    assert {k: v.tolist() for k, v in infos["episode"].items() if k != "t"} == {
        "r": [3.0],
        "l": [2],
        "sum": [3.0],
    }
    begun, rewards, terminations, _, infos = envs.step(np.array([2]))
    assert (rewards.tolist(), terminations.tolist(), infos) == ([0.0], [False], {})
    assert begun[0, 1:].tolist() == [0.0, 0.0, 0.0]
    assert begun[0, 0] != first[0, 0]
    envs.close()


def test_same_step_returns_the_new_episode_and_final_obs():
    """The observation is the new episode's; the last one is in `final_obs`."""
    envs = counting("same_step", arenas=2, episode_length=2)
    first, _ = envs.reset()
    envs.step(np.array([1, 1]))
    begun, rewards, terminations, _, infos = envs.step(np.array([2, 0]))
    assert terminations.tolist() == [True, True]
    assert rewards.tolist() == [2.0, 0.0]
    assert begun[:, 1].tolist() == [0.0, 0.0]
    assert infos["_final_obs"].tolist() == [True, True]
    assert_same(infos["final_obs"][0], np.array([first[0, 0], 2.0, 0.0, 3.0]))
    assert infos["final_info"] == {}
    assert "final_obs" not in envs.step(np.array([0, 0]))[4]
    envs.close()


def test_disabled_leaves_the_reset_to_the_caller():
    """Rows that ended stay as they are until `reset_mask` names their arena."""
    envs = counting("disabled", arenas=2, episode_length=2)
    envs.reset()
    for _ in range(2):
        *_, terminations, _, _ = envs.step(np.array([1, 1]))
    assert terminations.tolist() == [True, True]
    assert envs.statuses().tolist() == [Status.ABSENT] * 2
    options = {"reset_mask": np.array([False, True])}
    observations, _ = envs.reset(options=options)
    assert options == {}, "Gymnasium pops reset_mask, too"
    assert observations[:, 1].tolist() == [2.0, 0.0]
    observations, rewards, terminations, _, _ = envs.step(np.array([1, 1]))
    assert observations[:, 1].tolist() == [2.0, 1.0]
    assert rewards.tolist() == [0.0, 1.0]
    assert terminations.tolist() == [False, False]
    envs.close()


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_rows_that_end_before_their_arena_end_twice_but_are_counted_once(mode):
    """A row that died early has an end without `episode` when its arena is over."""
    envs = counting(mode.name.lower(), agents=2, episode_length=3, early_deaths={1: 1})
    envs.reset()
    ends, counted, final = [], [], []
    for _ in range(3):
        _, _, terminations, _, infos = envs.step(np.zeros(2, np.int64))
        ends.append(terminations.tolist())
        counted.append(infos.get("_episode", np.zeros(2, bool)).tolist())
        final.append(infos.get("_final_obs", np.zeros(2, bool)).tolist())
    assert ends == [[False, True], [False, False], [True, True]]
    assert counted == [[False, True], [False, False], [True, False]]
    assert final == (ends if mode is AutoresetMode.SAME_STEP else [[False, False]] * 3)
    envs.close()


# --- resets ---------------------------------------------------------------------------------------


def test_seeds_decide_the_episodes():
    """A number seeds all; a list seeds each arena by its first row's."""
    envs = counting(arenas=3, agents=2)
    first, _ = envs.reset(seed=4)
    again, _ = envs.reset(seed=4)
    assert_same(again, first)
    assert len(np.unique(first[:, 0])) == 3
    assert not np.array_equal(envs.reset()[0], first)
    listed, _ = envs.reset(seed=[7, 0, 8, 0, 7, 0])
    assert listed[0, 0] == listed[4, 0] != listed[2, 0]
    assert_same(envs.reset(seed=[7, 1, 8, 1, 7, 1])[0], listed)
    with pytest.raises(ConfigError, match="got 3 seeds"):
        envs.reset(seed=[1, 2, 3])
    envs.close()


def test_part_of_an_arena_cannot_be_reset():
    """The message names the arena and its rows."""
    envs = counting("disabled", arenas=2, agents=2)
    envs.reset()
    with pytest.raises(ConfigError, match=r"part of arena 1.*2 rows \(from row 2\)"):
        envs.reset(options={"reset_mask": np.array([True, True, True, False])})
    observations, _ = envs.reset(options={"reset_mask": np.array([False, False, True, True])})
    assert observations.shape == (4, 4)
    envs.close()


def test_reset_infos_of_a_simulator_are_in_the_infos():
    """Infos that a simulator returns come by row, with their `_key` masks."""
    pool = SimulatorPool(Turns, arenas_per_server=2, backend="inline")
    envs = MultiSimVectorEnv(pool)
    _, infos = envs.reset()
    assert infos["side"].tolist() == ["white", None, "white", None]
    assert infos["_side"].tolist() == [True, False] * 2
    assert infos["action_mask"].tolist() == [[True, True, False], [False, False, True]] * 2
    envs.close()


# --- masks and copies -----------------------------------------------------------------------------


@pytest.mark.parametrize("copy", [True, False], ids=["copies", "views"])
def test_masks_are_in_the_infos_at_every_step(copy):
    """`action_mask` describes the observation that it comes with."""
    envs = counting("same_step", masked=True, episode_length=4, actions=4, face={"copy": copy})
    _, infos = envs.reset()
    for step in range(10):
        expected = np.zeros((1, 4), bool)
        expected[0, [0, step % 4]] = True
        assert_same(infos["action_mask"], expected)
        assert_same(envs.action_masks(), expected)
        assert infos["_action_mask"].all()
        infos = envs.step(np.array([0]))[4]
    with pytest.raises(ActionError, match="forbidden"):
        envs.step(np.array([1]))
    envs.close()


def test_copies_belong_to_the_caller_and_views_to_the_next_step():
    """With `copy=True` nothing changes later; with `copy=False` arrays are shared memory."""
    envs = counting(arenas=2)
    envs.reset()
    kept = envs.step(np.array([1, 2]))[:4]
    values = [array.copy() for array in kept]
    envs.step(np.array([0, 0]))
    assert_same(list(kept), values)
    envs.close()
    envs = counting(arenas=2, face={"copy": False})
    first, _ = envs.reset()
    for array in envs.step(np.array([1, 2]))[:4]:
        assert any(
            np.shares_memory(array, whole)
            for whole in (first, *vars(envs.pool.buffers("counters")).values())
            if isinstance(whole, np.ndarray)
        )
    envs.close()


# --- groups, pictures, life -----------------------------------------------------------------------


def test_one_group_is_shown_and_others_play():
    """Spaces, rows and actions are the shown group's."""
    pool = SimulatorPool(TwoGroups, arenas_per_server=2, backend="inline")
    envs = MultiSimVectorEnv(pool, group="prey", others={"hunters": "random"})
    with pytest.raises(UsageError, match="reset"):
        envs.step(np.zeros((6, 2), np.float32))
    observations, infos = envs.reset()
    assert observations.shape == (6,)
    assert "action_mask" not in infos
    _, rewards, *_ = envs.step(np.full((6, 2), 0.5, np.float32))
    assert rewards.tolist() == [1.0] * 6
    with pytest.raises(UsageError, match="no action masks"):
        envs.action_masks()
    envs.close()
    pool = SimulatorPool(TwoGroups, backend="process")
    pool.start()
    with pytest.raises(ConfigError, match="prey"):
        MultiSimVectorEnv(pool, group="hunters")
    assert pool.is_closed


def test_pictures_are_one_per_arena():
    """`render` returns a tuple, or None where nothing is drawn."""
    envs = counting(arenas=3, agents=2)
    envs.reset()
    assert [picture.shape for picture in envs.render()] == [(8, 8, 3)] * 3
    assert envs.render_mode == "rgb_array"
    envs.close()
    pool = SimulatorPool(Frames, backend="inline", simulator_options={"shape": (2,)})
    blind = MultiSimVectorEnv(pool)
    assert blind.render_mode is None
    assert blind.render() is None
    blind.close()


@pytest.mark.parametrize("backend", BACKENDS)
def test_closed_environment_says_so(backend):
    """Closing twice is harmless; anything else says that it was closed."""
    envs = counting(backend=backend)
    envs.reset()
    envs.close()
    envs.close()
    for call in (envs.reset, lambda: envs.step(np.array([0]))):
        with pytest.raises(ClosedError, match="closed"):
            call()


# --- ids ------------------------------------------------------------------------------------------

IDS = {
    "multisim/TreasureHunt-v0": {"invalid_action": "resample"},
    "multisim/Gymnasium-v0": {"env": "CartPole-v1"},
    "multisim/PettingZoo-v0": {"env": Pair},
    "multisim/Latency-v0": {"step_time_mean": 0.0},
    "multisim/Showdown-v0": {"invalid_action": "resample"},
}


def test_every_simulator_with_an_id_is_tested():
    """The ids below are all that are registered."""
    assert {name for name in gymnasium.registry if name.startswith("multisim/")} == set(IDS)


@pytest.mark.parametrize("env_id", IDS)
def test_make_vec_makes_a_pool(env_id):
    """By id alone, with `num_envs` rows, in NEXT_STEP mode unless told otherwise."""
    envs = gymnasium.make_vec(env_id, num_envs=4, backend="inline", **IDS[env_id])
    assert isinstance(envs, MultiSimVectorEnv)
    assert envs.num_envs == 4
    assert envs.spec.id == env_id
    assert envs.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    observations, _ = envs.reset(seed=0)
    assert observations in envs.observation_space
    for _ in range(12):
        envs.step(envs.action_space.sample())
    envs.close()


@pytest.mark.parametrize("env_id", IDS)
def test_make_makes_one_agent(env_id):
    """`gymnasium.make` gives an ordinary environment, wrapped and checked by Gymnasium."""
    env = gymnasium.make(env_id, max_episode_steps=7, **IDS[env_id])
    env.reset(seed=0)
    for _ in range(7):
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated or truncated:
            break
    env.close()


def test_make_vec_passes_modes_seeds_and_options_on():
    """Options of the environment, of the pool and of the simulator find their place."""
    envs = gymnasium.make_vec(
        "gym_multisim:multisim/TreasureHunt-v0",
        num_envs=6,
        servers=1,
        agents=3,
        turns=4,
        seed=8,
        backend="process",
        autoreset_mode="SameStep",
        copy=False,
        episode_statistics=False,
        render_mode="rgb_array",
        vectorization_mode="vector_entry_point",
    )
    assert envs.pool.servers == 1
    assert envs.pool.arenas_per_server == 2
    assert envs.pool.seed == 8
    assert envs.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    envs.reset()
    for _ in range(4):
        _, _, terminations, truncations, infos = envs.step(envs.action_masks().argmax(axis=1))
    assert (terminations | truncations).all()
    assert "episode" not in infos
    assert "final_obs" in infos
    assert len(envs.render()) == 2
    envs.close()


def test_make_vec_in_sync_mode_hosts_single_agents():
    """Gymnasium's own vectorisation of `SingleAgentEnv` works as well."""
    envs = gymnasium.make_vec(
        "multisim/TreasureHunt-v0", 2, vectorization_mode="sync", invalid_action="resample"
    )
    envs.reset(seed=[3, 3])
    envs.step(np.array([1, 1]))
    envs.close()


@pytest.mark.parametrize(
    ("num_envs", "options", "message"),
    [
        (5, {}, r"num_envs is 5.* 2 \(agents of an arena\).*nearest.* is 4"),
        (1, {}, r"num_envs is 1.*nearest.* is 2"),
        (0, {}, "num_envs is 0"),
        (6, {"servers": 2}, r"number of arenas is 3.*2 \(servers\).*nearest.* is 4"),
        (4, {"render_mode": "human"}, "render_mode is 'human'"),
        (4, {"autoreset": "same_step"}, "autoreset"),
        (4, {"trns": 3}, "Did you mean 'turns'"),
    ],
)
def test_numbers_and_names_that_do_not_fit_are_refused(num_envs, options, message):
    """The message names the nearest number or name that does."""
    with pytest.raises(ConfigError, match=message):
        make_vector_env("treasure_hunt", num_envs, **options)


# --- wrappers -------------------------------------------------------------------------------------


def test_wrappers_of_gymnasium_work_on_top():
    """Statistics (with ours left out), normalised observations and rewards, lists of infos."""
    envs = counting(arenas=3, episode_length=3, face={"episode_statistics": False})
    envs = vector_wrappers.RecordEpisodeStatistics(envs)
    envs = vector_wrappers.NormalizeObservation(envs)
    envs = vector_wrappers.NormalizeReward(envs)
    envs = vector_wrappers.DictInfoToList(envs)
    envs.reset(seed=0)
    told = []
    for _ in range(8):
        observations, _, _, _, infos = envs.step(np.array([0, 1, 2]))
        assert np.abs(observations).max() < 10
        told += [(info["episode"]["r"], info["episode"]["l"]) for info in infos if info]
    assert told == [(0.0, 3), (3.0, 3), (6.0, 3)] * 2
    envs.close()


def test_statistics_of_gymnasium_equal_ours():
    """RecordEpisodeStatistics counts the episodes of single agents as we do, in both modes."""
    for mode in ("next_step", "same_step"):
        ours = counting(mode, arenas=2, episode_length=4)
        theirs = vector_wrappers.RecordEpisodeStatistics(
            counting(mode, arenas=2, episode_length=4, face={"episode_statistics": False})
        )
        records = []
        for envs in (ours, theirs):
            envs.reset(seed=0)
            infos = [envs.step(np.array([1, 2]))[4] for _ in range(12)]
            for info in infos:
                for key in ("t", "sum"):
                    info.get("episode", {}).pop(key, None)
            records.append(infos)
            envs.close()
        assert_same(*records)
