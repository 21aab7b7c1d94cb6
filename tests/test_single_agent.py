"""SingleAgentEnv: one agent as an ordinary environment, the others played for it."""

import gymnasium
import numpy as np
import pytest
from equality import assert_same
from sb3_contrib import MaskablePPO
from small_simulators import Choices, Frames, Turns
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import DummyVecEnv

from gym_multisim.envs.gymnasium import SingleAgentEnv
from gym_multisim.errors import ActionError, ClosedError, ConfigError, UsageError
from gym_multisim.testing.fakes import Counting, TwoGroups

BACKENDS = ("inline", "process")


def counting(others="random", agent=None, backend="inline", **options):
    """One agent of `Counting`; further options are the simulator's."""
    return SingleAgentEnv(
        Counting, agent=agent, others=others, simulator_options=options, backend=backend
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_agent_is_chosen_by_name(backend):
    """Its row is the one that is shown and acted on; without a name it is the first."""
    for agent, index in ((None, 0), ("counter_0", 0), ("counter_2", 2)):
        env = counting(agent=agent, agents=3, backend=backend)
        observation, info = env.reset(seed=1)
        assert observation[2] == index
        assert info == {}
        observation, reward, terminated, truncated, _ = env.step(2)
        assert observation.tolist()[1:] == [1.0, index, 2.0]
        assert reward == pytest.approx(2.0 + index * 0.01)
        assert (terminated, truncated) == (False, False)
        env.close()


def test_seed_decides_the_episode_and_the_others():
    """The same seed gives the same episode, random others included; no seed gives the next one."""
    env = counting(agents=3)
    runs = []
    for seed in (4, 4, None):
        run = [env.reset(seed=seed)]
        for _ in range(5):
            run.append(env.step(1))
            run.append(env._pool.buffers("counters").action.tolist())
        runs.append(run)
    assert_same(runs[1], runs[0])
    assert runs[2][2::2] != runs[0][2::2]
    assert runs[2][0][0][0] != runs[0][0][0][0]
    env.close()


def test_others_are_played_at_random_or_by_a_policy():
    """A policy sees all rows of its group; its action for the shown agent is not taken."""
    seen = []

    def policy(observation, mask):
        seen.append(observation.copy())
        assert mask.shape == (3, 4)
        return np.zeros(3, np.int64)

    env = counting(policy, "counter_1", agents=3, actions=4, masked=True)
    env.reset()
    env.step(0)
    env.step(1)
    assert env._pool.buffers("counters").action.tolist() == [0, 1, 0]
    assert [rows[:, 1].tolist() for rows in seen] == [[0.0] * 3, [1.0] * 3]
    env.close()

    env = counting(agents=40, actions=3)
    env.reset(seed=0)
    env.step(1)
    assert set(env._pool.buffers("counters").action.tolist()) == {0, 1, 2}
    env.close()


def test_only_groups_with_other_agents_need_players():
    """A mapping names the groups that have others; a missing one is an error."""
    prey = {"prey": "random", "hunters": lambda seen, mask: np.tile([2, 0], (2, 1))}
    env = SingleAgentEnv(TwoGroups, agent="h1", others=prey)
    observation, info = env.reset(seed=0)
    assert observation in env.observation_space
    assert info["action_mask"].tolist() == [False, True, True, True, True, True, True]
    assert env.step([1, 3])[1] == 13.0
    env.close()
    alone = SingleAgentEnv(Counting, others={}, simulator_options={})
    alone.reset()
    assert alone.step(2)[1] == 2.0
    alone.close()
    with pytest.raises(ConfigError, match="hunters"):
        SingleAgentEnv(TwoGroups, agent="p0", others={"prey": "random"})


def test_turns_of_others_are_passed_over_and_their_rewards_added():
    """An agent that waits is not asked; what it is given meanwhile belongs to its last action."""
    white = SingleAgentEnv(Turns, agent="white")
    observation, info = white.reset()
    assert (observation.tolist(), info["side"]) == ([0.0], "white")
    assert white.action_masks().tolist() == [True, True, False]
    for step in (2, 4, 6):
        observation, reward, terminated, _, info = white.step(1)
        assert (observation.tolist(), reward, terminated) == ([step], 11.0, False)
    observation, reward, terminated, _, _ = white.step(0)
    assert (observation.tolist(), reward, terminated) == ([7.0], 10.0, True)
    white.close()

    black = SingleAgentEnv(Turns, agent="black")
    assert black.reset()[0].tolist() == [1.0], "its first turn"
    for _ in range(2):
        assert black.step(0)[1] == 11.0
    observation, reward, terminated, _, _ = black.step(0)
    assert (observation.tolist(), reward, terminated) == ([7.0], 11.0, True)
    black.close()


def test_early_death_ends_its_episode_though_others_go_on():
    """The end is told with the metrics; the next reset begins anew for all."""
    env = counting(agent="counter_1", agents=3, early_deaths={1: 2}, episode_length=9)
    env.reset()
    assert env.step(1)[2] is False
    observation, _, terminated, truncated, info = env.step(2)
    assert (terminated, truncated) == (True, False)
    assert observation[1] == 2.0
    assert info["sum"] == 3.0
    with pytest.raises(UsageError, match="episode ended"):
        env.step(0)
    assert env.reset()[0][1] == 0.0
    env.close()


def test_death_of_others_ends_nothing():
    """The episode goes on until the agent's own end; truncation is told apart."""
    env = counting(
        agents=3, early_deaths={1: 2, 2: 1}, episode_length=4, truncates=True, masked=True
    )
    env.reset()
    ends = [env.step(0)[2:4] for _ in range(4)]
    assert ends == [(False, False)] * 3 + [(False, True)]
    env.close()


def test_agent_born_later_begins_at_its_birth():
    """Steps before it is there belong to no episode of its own."""
    env = counting(agent="counter_1", agents=2, late_births={1: 3}, episode_length=5)
    for _ in range(2):
        assert env.reset()[0][1] == 3.0
        assert env.step(1)[1:3] == (1.01, False)
        assert env.step(1)[2] is True
    env.close()


def test_agent_that_is_never_asked_is_an_error():
    """Rather than waiting for ever, `reset` says so."""
    env = counting(agent="counter_1", agents=2, late_births={1: 9}, episode_length=2)
    with pytest.raises(UsageError, match="'counter_1' was not asked"):
        env.reset()
    env.close()


@pytest.mark.parametrize("action", [7, -1, 1.5, [1], None, "left", np.zeros(2, np.int64)])
def test_bad_actions_are_refused_and_nothing_is_stepped(action):
    """Out of range, of another shape, or no number at all."""
    for agents in (1, 2):
        env = counting(agents=agents)
        env.reset()
        with pytest.raises(ActionError):
            env.step(action)
        assert env.step(np.int32(1))[0][1] == 1.0
        env.close()


def test_forbidden_actions_are_refused_or_replaced():
    """Under `error` they are refused; under `resample` the info tells what was done instead."""
    env = counting(masked=True, actions=5)
    env.reset()
    with pytest.raises(ActionError, match="forbidden"):
        env.step(3)
    env.close()
    env = SingleAgentEnv(
        Counting,
        simulator_options={"masked": True, "actions": 5},
        invalid_action="penalize",
        invalid_action_penalty=-2.0,
    )
    env.reset()
    _, reward, _, _, info = env.step(3)
    assert (reward, info["executed_action"]) == (-2.0, 0)
    assert "executed_action" not in env.step(0)[4]
    env.close()


def test_step_before_reset_and_use_after_close_are_refused():
    """Each says what to do; closing twice is harmless."""
    env = counting(masked=True)
    for call in (lambda: env.step(0), env.action_masks):
        with pytest.raises(UsageError, match="reset"):
            call()
    env.reset()
    env.close()
    env.close()
    for call in (env.reset, lambda: env.step(0)):
        with pytest.raises(ClosedError):
            call()
    plain = counting()
    plain.reset()
    with pytest.raises(UsageError, match="no action masks"):
        plain.action_masks()
    plain.close()


def test_observations_and_masks_belong_to_the_caller():
    """Nothing that was returned changes with a later step."""
    env = counting(masked=True)
    observation, info = env.reset(seed=0)
    kept = observation.copy(), info["action_mask"].copy()
    env.step(0)
    assert_same((observation, info["action_mask"]), kept)
    env.close()


def test_observations_lie_in_their_space():
    """Dict spaces, numbers and scalars of a Box come as their space has them."""
    env = SingleAgentEnv(Choices)
    observation, _ = env.reset()
    assert observation["turn"] == 0
    assert isinstance(observation["turn"], int)
    assert observation in env.observation_space
    env.close()
    scalar = SingleAgentEnv(TwoGroups, agent="p1")
    observation, _ = scalar.reset()
    assert observation.shape == ()
    assert observation in scalar.observation_space
    scalar.close()


def test_pictures_come_in_their_render_mode():
    """`rgb_array` draws the arena; None draws nothing; another mode is an error."""
    env = SingleAgentEnv(Counting, render_mode="rgb_array")
    env.reset()
    env.step(0)
    assert (env.render() == 1).all()
    assert env.metadata["render_modes"] == ["rgb_array"]
    env.close()
    silent = SingleAgentEnv(Frames, simulator_options={"shape": (3,)})
    assert silent.render() is None
    assert silent.metadata["render_modes"] == []
    silent.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"agent": "counter_9"}, "Did you mean 'counter_"),
        ({"render_mode": "human"}, "render_mode"),
        ({"others": "greedy"}, "greedy"),
    ],
)
def test_bad_settings_are_refused(options, message):
    """Names and modes that there are not are a ConfigError."""
    with pytest.raises(ConfigError, match=message):
        SingleAgentEnv(Counting, simulator_options={"agents": 2}, **options)


def test_maskable_ppo_learns_on_it():
    """Alone and in a VecEnv of SB3; an illegal action would be an error."""
    env = gymnasium.make("multisim/TreasureHunt-v0", turns=8)
    venv = DummyVecEnv([lambda: env])
    model = MaskablePPO("MlpPolicy", venv, n_steps=32, batch_size=32, n_epochs=1, seed=0)
    model.set_logger(Logger(None, []))
    model.learn(64)
    env.close()
