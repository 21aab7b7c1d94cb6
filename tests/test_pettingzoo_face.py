"""MultiSimParallelEnv: one arena as a PettingZoo ParallelEnv."""

import numpy as np
import pytest
from equality import assert_same
from gymnasium import spaces
from small_simulators import Choices, Frames, Turns

from gym_multisim.envs.pettingzoo import MultiSimParallelEnv, parallel_env
from gym_multisim.errors import ActionError, ClosedError, ConfigError, UsageError
from gym_multisim.simulator import AgentGroup, SimulatorSpec
from gym_multisim.testing.fakes import Counting, Scripted, TwoGroups

BACKENDS = ("inline", "process")


def counting(backend="inline", **options):
    """An arena of `Counting`."""
    return parallel_env(Counting, simulator_options=options, backend=backend)


def all_zero(env):
    """An action for everybody who is there."""
    return dict.fromkeys(env.agents, 0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_agents_of_all_groups_play_together(backend):
    """Observations, rewards and spaces are each agent's own."""
    env = parallel_env(TwoGroups, backend=backend)
    assert isinstance(env, MultiSimParallelEnv)
    assert env.possible_agents == ["h0", "h1", "p0", "p1", "p2"]
    observations, infos = env.reset(seed=0)
    assert env.agents == env.possible_agents
    assert infos == {agent: {} for agent in env.agents}
    for _ in range(4):
        for agent, seen in observations.items():
            assert seen in env.observation_space(agent), agent
        actions = (
            {"h0": [1, 2], "h1": [1, 3]}
            if env._batch.groups["hunters"].action_mask[0, 1]
            else {"h0": [2, 2], "h1": [2, 3]}
        )
        moves = {f"p{i}": np.full(2, i / 4, np.float32) for i in range(3)}
        observations, rewards, terminations, truncations, infos = env.step({**actions, **moves})
        assert rewards["h0"] == 10 * actions["h0"][0] + 2
        assert [rewards[f"p{i}"] for i in range(3)] == [0.0, 0.5, 1.0]
    assert terminations == dict.fromkeys(env.possible_agents, True)
    assert truncations == dict.fromkeys(env.possible_agents, False)
    assert infos["p2"]["episode"] == {"r": 4.0, "l": 4}
    assert env.agents == []
    with pytest.raises(UsageError, match="reset"):
        env.step({})
    env.close()


def test_agents_leave_when_they_end_and_appear_when_they_are_born():
    """`agents` is the live set; whoever ends is told once; nobody comes back."""
    env = counting(agents=3, early_deaths={1: 1}, late_births={2: 2}, episode_length=3)
    observations, infos = env.reset()
    assert env.agents == ["counter_0", "counter_1"]
    assert list(observations) == list(infos) == env.agents
    told, live = [], []
    while env.agents:
        results = env.step(dict.fromkeys(env.agents, 1))
        assert all(list(result) == list(results[0]) for result in results)
        told.append({agent: results[2][agent] for agent in results[2]})
        live.append(env.agents)
    assert told == [
        {"counter_0": False, "counter_1": True},
        {"counter_0": False, "counter_2": False},
        {"counter_0": True, "counter_2": True},
    ]
    assert live == [["counter_0"], ["counter_0", "counter_2"], []]
    assert results[4]["counter_2"]["episode"] == {"r": pytest.approx(1.02), "l": 1, "sum": 1.0}
    assert env.reset()[0].keys() == {"counter_0", "counter_1"}
    env.close()


def test_agent_whose_row_is_used_again_does_not_come_back():
    """A respawn under a new identity is no revival; its row goes on without being shown."""
    script = {
        2: {"terminated": {0: True}, "identity": {0: 7}, "status": {0: 1}},
        4: {"terminated": {0: True, 1: True}},
    }
    env = parallel_env(Scripted, simulator_options={"scripts": (script,), "masked": True})
    env.reset()
    live = []
    for _ in range(4):
        observations, *_ = env.step(all_zero(env))
        live.append(env.agents)
    assert live == [["actor_0", "actor_1"], ["actor_1"], ["actor_1"], []]
    assert list(observations) == ["actor_1"]
    env.close()


def test_agents_that_wait_stay_and_need_not_act():
    """Their info says so, their mask has the idle action alone, their actions are ignored."""
    env = parallel_env(Turns)
    observations, infos = env.reset()
    assert infos == {"white": {"side": "white"}, "black": {"waiting": True}}
    assert observations["black"]["action_mask"].tolist() == [0, 0, 1]
    observations, rewards, _, _, infos = env.step({"white": 0})
    assert rewards == {"white": 10.0, "black": 1.0}
    assert infos == {"white": {"waiting": True}, "black": {}}
    _, rewards, *_ = env.step({"white": 2, "black": 1})
    assert rewards == {"white": 1.0, "black": 10.0}
    with pytest.raises(ActionError, match="'white' is missing"):
        env.step({"black": 0})
    env.close()


@pytest.mark.parametrize("kind", ["discrete", "multi_discrete", "multi_binary"])
def test_masks_are_in_the_form_that_spaces_sample_with(kind):
    """`action_space(agent).sample(observation["action_mask"])` draws legal actions alone."""
    env = parallel_env(Choices, simulator_options={"kind": kind, "episode_length": 60})
    observations, _ = env.reset(seed=0)
    space = env.action_space("chooser")
    space.seed(0)
    assert isinstance(env.observation_space("chooser"), spaces.Dict)
    while env.agents:
        assert observations["chooser"] in env.observation_space("chooser")
        action = space.sample(observations["chooser"]["action_mask"])
        observations, *_ = env.step({"chooser": action})
    env.close()


def test_spaces_are_the_same_objects_and_not_shared_between_agents():
    """Each agent's space has its own random numbers."""
    env = counting(agents=2)
    assert env.action_space("counter_0") is env.action_space("counter_0")
    assert env.observation_space("counter_1") is env.observation_space("counter_1")
    assert env.action_space("counter_0") is not env.action_space("counter_1")
    env.close()


def test_seed_decides_the_episode():
    """The same seed gives the same episode; no seed gives the next one."""
    runs = []
    env = parallel_env("treasure_hunt", simulator_options={"turns": 5})
    for seed in (3, 3, None):
        run = [env.reset(seed=seed)]
        while env.agents:
            masks = {a: run[-1][0][a]["action_mask"] for a in env.agents}
            run.append(env.step({a: int(mask.argmax()) for a, mask in masks.items()}))
        runs.append(run)
    assert_same(runs[1], runs[0])
    assert (
        runs[2][0][0]["hunter_0"]["observation"].tolist()
        != runs[0][0][0]["hunter_0"]["observation"].tolist()
    )
    env.close()


def test_replaced_actions_are_told():
    """Who samples without masks chooses `resample`."""
    env = parallel_env(
        Counting, simulator_options={"masked": True, "actions": 4}, invalid_action="resample"
    )
    env.reset()
    assert env.step({"counter_0": 3})[4]["counter_0"]["executed_action"] == 0
    env.close()


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        ({"counter_0": 0}, "'counter_1' is missing"),
        ({"counter_0": 0, "counter_1": [1]}, "'counter_1'"),
        ({"counter_0": 0, "counter_1": None}, "'counter_1'"),
        ({"counter_0": 0, "counter_1": 9}, "counter_1"),
        ({"counter_0": 0, "counter_1": 0.5}, "dtype"),
        ({"counter_0": 0, "counter_1": 0, "counter_2": 0}, "counter_2"),
    ],
)
def test_bad_actions_are_refused_and_nothing_is_stepped(actions, message):
    """Missing, of another shape, out of range, or of somebody who is not there."""
    env = counting(agents=2)
    env.reset()
    with pytest.raises(ActionError, match=message):
        env.step(actions)
    assert env.step(all_zero(env))[0]["counter_0"][1] == 1.0
    env.close()


def test_pictures_metadata_and_end():
    """`render` draws in mode rgb_array; closing twice is harmless."""
    env = parallel_env(Counting, render_mode="rgb_array")
    assert env.metadata["name"] == "Counting"
    assert env.metadata["render_modes"] == ["rgb_array"]
    env.reset()
    env.step(all_zero(env))
    assert (env.render() == 1).all()
    env.close()
    env.close()
    with pytest.raises(ClosedError):
        env.reset()
    silent = parallel_env(Frames, simulator_options={"shape": (2,)})
    assert silent.render() is None
    assert silent.metadata["render_modes"] == []
    silent.close()
    with pytest.raises(ConfigError, match="render_mode"):
        parallel_env(Counting, render_mode="human")


def test_two_agents_of_one_name_are_refused():
    """PettingZoo knows agents by their names alone."""

    class Twins(Counting):
        def spec(self):
            (group,) = super().spec().groups
            twin = AgentGroup("others", group.agents, group.observation_space, group.action_space)
            return SimulatorSpec((group, twin))

    with pytest.raises(ConfigError, match="two agents named 'counter_0'"):
        parallel_env(Twins)
