"""The checks that other libraries ship for environments, run on our faces."""

import warnings

import gymnasium
import pytest
from gymnasium.utils.env_checker import check_env as gymnasium_check_env
from pair_env import Pair
from small_simulators import Turns
from stable_baselines3.common.env_checker import check_env as sb3_check_env

import gym_multisim  # noqa: F401 (registers the ids)
from gym_multisim.envs.gymnasium import SingleAgentEnv
from gym_multisim.envs.pettingzoo import parallel_env
from gym_multisim.testing.fakes import Counting, TwoGroups

with warnings.catch_warnings():  # importing these makes an environment in a deprecated way
    warnings.simplefilter("ignore", DeprecationWarning)
    from pettingzoo.test import parallel_api_test, parallel_seed_test

IDS = {
    "multisim/TreasureHunt-v0": {"invalid_action": "resample"},  # checkers sample without masks
    "multisim/Gymnasium-v0": {
        "env": "CartPole-v1",
        "env_options": {"render_mode": "rgb_array"},
    },
    "multisim/PettingZoo-v0": {"env": Pair},
    "multisim/Latency-v0": {"step_time_mean": 0.0},
}


@pytest.mark.filterwarnings("ignore:.*A Box observation space (minimum|maximum) value is.*inf")
@pytest.mark.parametrize("env_id", IDS)
def test_ids_pass_gymnasiums_environment_checker(env_id):
    """Spaces, seeds, determinism, types and renders of every id are as Gymnasium wants them."""
    env = gymnasium.make(env_id, **IDS[env_id])
    assert env.metadata["render_modes"] == ([] if "Latency" in env_id else ["rgb_array"])
    gymnasium_check_env(env.unwrapped, skip_render_check=not env.metadata["render_modes"])


@pytest.mark.parametrize("env_id", IDS)
def test_ids_pass_sb3s_environment_checker(env_id):
    """stable-baselines3 can train on every id."""
    sb3_check_env(gymnasium.make(env_id, **IDS[env_id]).unwrapped)


SIMULATORS = {
    "treasure hunt": ("treasure_hunt", {"turns": 20}),
    "deaths and births": (
        Counting,
        {
            "agents": 4,
            "actions": 4,
            "masked": True,
            "early_deaths": {1: 2, 3: 4},
            "late_births": {2: 3},
            "episode_length": 8,
        },
    ),
    "two groups": (TwoGroups, {}),
    "turns": (Turns, {}),
}


@pytest.mark.parametrize("name", SIMULATORS)
def test_parallel_envs_pass_pettingzoos_api_test(name):
    """The live set, the dicts and the spaces are as PettingZoo wants them; masks are honoured."""
    simulator, options = SIMULATORS[name]
    env = parallel_env(simulator, simulator_options=options)
    parallel_api_test(env, num_cycles=100)
    env.close()


@pytest.mark.parametrize("name", SIMULATORS)
def test_parallel_envs_pass_pettingzoos_seed_test(name):
    """Two environments of one seed and equal actions are equal."""
    simulator, options = SIMULATORS[name]
    parallel_seed_test(
        lambda: parallel_env(simulator, simulator_options=options, invalid_action="resample"),
        num_cycles=50,
    )


def test_single_agent_of_a_masked_world_passes_both_checkers():
    """One agent among others that die and are born."""
    _, options = SIMULATORS["deaths and births"]
    env = SingleAgentEnv(
        Counting, agent="counter_1", simulator_options=options, invalid_action="resample"
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*A Box observation space (minimum|maximum)")
        gymnasium_check_env(env, skip_render_check=True, skip_close_check=True)
    sb3_check_env(env)
    env.close()
