"""PettingZoo environments as a simulator: groups, masks, births, deaths, turns and errors."""

import functools
import re
import sys
import types

import numpy as np
import pettingzoo
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple
from pettingzoo import ParallelEnv
from pettingzoo.utils.conversions import turn_based_aec_to_parallel
from pettingzoo.utils.wrappers import BaseParallelWrapper

from gym_multisim.errors import (
    ConfigError,
    ContractError,
    MissingExtraError,
    SimulatorError,
    StartupError,
    UsageError,
)
from gym_multisim.pool.pool import SimulatorPool
from gym_multisim.seeding import arena_keys, env_seed, episode_seeds
from gym_multisim.simulator import Status
from gym_multisim.simulators.pettingzoo_env import PettingZooSimulator, group_names
from gym_multisim.testing import check_simulator

ABSENT, ACTIVE, WAITING = Status.ABSENT, Status.ACTIVE, Status.WAITING


class Pack(ParallelEnv):
    """An environment that does what it is told, and notes what it is given.

    Each agent observes (share of the episode's seed, share of its steps, its index). Its reward is
    its index plus 1, and all agents are terminated at step ``length``.
    """

    metadata = types.MappingProxyType({"name": "pack_v0", "render_modes": ["rgb_array"]})

    def __init__(
        self,
        agents=("wolf_0", "wolf_1"),
        length=4,
        spaces=None,
        deaths=None,
        births=None,
        deserters=None,
        observe=None,
        inform=None,
        render_mode=None,
    ):
        self.possible_agents = list(agents)
        self.render_mode = render_mode
        self.length = length
        self.spaces = spaces or {}
        self.deaths = deaths or {}
        self.births = births or {}
        self.deserters = deserters or {}
        self.observe = observe
        self.inform = inform or (lambda env, agent: {})
        self.given = []
        self.seeds = []
        self.options = []
        self.is_closed = False

    def observation_space(self, agent):
        return self.spaces.get(agent, (None, None))[0] or Box(0.0, 9.0, (3,), np.float32)

    def action_space(self, agent):
        return self.spaces.get(agent, (None, None))[1] or Discrete(3)

    def reset(self, seed=None, options=None):
        self.seeds.append(seed)
        self.options.append(options)
        self.now = 0
        self.share = (seed or 0) / 2**31
        self.agents = [agent for agent in self.possible_agents if agent not in self.births]
        return self._seen(self.agents), self._told(self.agents)

    def step(self, actions):
        assert set(actions) == set(self.agents)
        self.given.append(actions)
        self.now += 1
        there = self.agents
        dead = [a for a in there if self.deaths.get(a) == self.now or self.now >= self.length]
        gone = [agent for agent in there if self.deserters.get(agent) == self.now]
        born = [agent for agent, step in self.births.items() if step == self.now]
        self.agents = [a for a in [*there, *born] if a not in dead and a not in gone]
        rewards = {agent: self.possible_agents.index(agent) + 1.0 for agent in there}
        terminated = {agent: agent in dead for agent in there}
        truncated = dict.fromkeys(there, False)
        seen = [*there, *born]
        return self._seen(seen), rewards, terminated, truncated, self._told(there)

    def _seen(self, agents):
        if self.observe is not None:
            return {agent: self.observe(self, agent) for agent in agents}
        index = self.possible_agents.index
        return {
            agent: np.array([self.share, self.now / 100, index(agent)], np.float32)
            for agent in agents
        }

    def _told(self, agents):
        return {agent: self.inform(self, agent) for agent in agents}

    def render(self):
        return np.full((4, 6, 3), self.now, np.uint8) if self.render_mode else None

    def close(self):
        self.is_closed = True


@pytest.fixture
def packs():
    """Return a function that opens a pool of packs, and the list of the packs it made."""
    made, pools = [], []

    def make(**options):
        made.append(Pack(**options))
        return made[-1]

    def open_pool(arenas=1, autoreset="same_step", simulator_options=None, seed=0, **options):
        pool = SimulatorPool(
            "pettingzoo",
            arenas_per_server=arenas,
            backend="inline",
            autoreset=autoreset,
            seed=seed,
            check_rows=True,
            simulator_options={
                "env": make,
                "env_options": options,
                "masked": False,
                **(simulator_options or {}),
            },
        )
        pools.append(pool)
        pool.start()
        return pool, made

    yield open_pool
    for pool in pools:
        pool.close()


def zeros(pool):
    """Return the action 0 for all rows of all groups."""
    return {g.name: np.zeros(pool.num_rows(g.name), np.int64) for g in pool.spec.groups}


def play(pool, steps):
    """Return the batches of some steps, as copies of what matters, of a single group."""
    played = []
    for _ in range(steps):
        batch = pool.step(zeros(pool))
        played.append(
            types.SimpleNamespace(
                status=batch.status.tolist(),
                reward=batch.reward.tolist(),
                terminated=batch.terminated.tolist(),
                truncated=batch.truncated.tolist(),
                ended=batch.only.episode_ended.tolist(),
                observation=batch.observation.copy(),
                infos=batch.infos,
            )
        )
    return played


# --- groups ---------------------------------------------------------------------------------------


def test_agents_of_equal_spaces_are_one_group_called_agents(packs):
    """Its order is that of possible_agents."""
    pool, _ = packs(agents=("b", "a"))
    (group,) = pool.spec.groups
    assert (group.name, group.agents) == ("agents", ("b", "a"))
    assert group.observation_space == Box(0.0, 9.0, (3,), np.float32)
    assert not group.masked


def test_agents_of_different_spaces_are_groups_named_by_what_their_names_share(packs):
    """Rows, rewards and actions of each group are those of its own agents."""
    agents = ("wolf_0", "sheep_0", "wolf_1")
    spaces = {"sheep_0": (None, Discrete(7))}
    pool, made = packs(2, agents=agents, spaces=spaces)
    assert {g.name: g.agents for g in pool.spec.groups} == {
        "wolf": ("wolf_0", "wolf_1"),
        "sheep": ("sheep_0",),
    }
    pool.reset()
    batch = pool.step({"wolf": np.array([0, 1, 2, 0]), "sheep": np.array([6, 5])})
    assert batch["wolf"].reward.tolist() == [1, 3, 1, 3]
    assert batch["sheep"].reward.tolist() == [2, 2]
    assert batch["sheep"].observation[:, 2].tolist() == [1, 1]
    assert [env.given for env in made] == [
        [{"wolf_0": 0, "wolf_1": 1, "sheep_0": 6}],
        [{"wolf_0": 2, "wolf_1": 0, "sheep_0": 5}],
    ]


@pytest.mark.parametrize(
    ("groups", "names"),
    [
        ([["x", "y"]], ["agents"]),
        ([["wolf_0", "wolf_1"], ["sheep_10", "sheep_11"]], ["wolf", "sheep"]),
        ([["adversary_0"], ["agent_0", "agent_1"]], ["adversary", "agent"]),
        ([["agent_0"], ["agent_1"]], ["agent_0", "agent_1"]),
        ([["archer", "knight"], ["dragon"]], ["archer", "dragon"]),
        ([["team_red_0", "team_blue_0"], ["ball"]], ["team", "ball"]),
        ([["redmage_0", "redmelee_0"], ["x"]], ["redmage_0", "x"]),
        ([["wolf", "bear"], ["wolf_0", "wolf_1"]], ["wolf", "wolf_0"]),
        ([["0", "1"], ["2"]], ["0", "2"]),
    ],
)
def test_group_names_are_common_words_or_the_first_agent(groups, names):
    """Numbers at the end are left out, words are kept whole, and no two names are equal."""
    assert group_names(groups) == names


def test_agents_may_be_named_by_numbers(packs):
    """Rows carry their names as text; the environment gets them as they are."""
    pool, made = packs(agents=(7, 8))
    assert pool.group().agents == ("7", "8")
    pool.reset()
    pool.step(np.array([1, 2]))
    assert made[0].given == [{7: 1, 8: 2}]


# --- actions and observations ---------------------------------------------------------------------


def test_actions_have_the_spaces_own_type_and_may_be_kept(packs):
    """An int for Discrete, else an array of the space's dtype that nobody writes to later."""
    agents = ("a", "b", "c", "d")
    kinds = [
        Discrete(3, start=2),
        Box(-1, 1, (2,), np.float32),
        MultiDiscrete([2, 3]),
        MultiBinary(2),
    ]
    spaces = {agent: (None, kind) for agent, kind in zip(agents, kinds, strict=True)}
    pool, made = packs(agents=agents, spaces=spaces)
    pool.reset()
    actions = {
        "a": np.array([4]),
        "b": np.array([[0.5, -0.5]], np.float32),
        "c": np.array([[1, 2]]),
        "d": np.array([[1, 0]], np.int8),
    }
    pool.step(actions)
    pool.step({name: np.zeros_like(array) + 2 * (name == "a") for name, array in actions.items()})
    given = made[0].given[0]
    assert type(given["a"]) is int
    for agent, kind in zip(agents, kinds, strict=True):
        assert kind.contains(given[agent])
        assert np.array_equal(given[agent], actions[agent][0])


def test_nested_observations_are_written_leaf_by_leaf(packs):
    """A Dict of a Tuple and an image arrives in arrays of the same structure."""
    space = Dict({"eye": Box(0, 255, (2, 2), np.uint8), "body": Tuple((Discrete(5), Box(0, 1)))})

    def observe(env, agent):
        eye = np.full((2, 2), env.now, np.uint8)
        return {"eye": eye, "body": (env.now, np.array([0.5], np.float32))}

    pool, _ = packs(agents=("a",), spaces={"a": (space, None)}, observe=observe)
    pool.reset()
    batch = pool.step(np.zeros(1, np.int64))
    assert batch.observation["eye"].tolist() == [[[1, 1], [1, 1]]]
    assert batch.observation["body"][0].tolist() == [1]
    assert batch.observation["body"][1].tolist() == [[0.5]]


def test_every_episode_is_reset_with_its_own_seed(packs):
    """The seed is that of the global arena and the episode's number, folded to 31 bits."""
    pool, made = packs(2, length=2, seed=11)
    pool.reset()
    play(pool, 4)
    keys = arena_keys(11, np.arange(2))
    for arena, env in enumerate(made):
        expected = [env_seed(episode_seeds(keys[arena], n)) for n in range(3)]
        assert env.seeds == expected


def test_reset_options_reach_the_arena_they_are_for(packs):
    """They are given once, and None before and after."""
    pool, made = packs(2)
    pool.reset()
    pool.reset(options=[None, {"map": "forest"}])
    pool.reset()
    assert [env.options for env in made] == [[None, None, None], [None, {"map": "forest"}, None]]


# --- births and deaths ----------------------------------------------------------------------------


def test_a_dead_agent_is_absent_and_is_asked_nothing_more(packs):
    """It reports its end once; the others play on, until their own."""
    pool, made = packs(deaths={"wolf_0": 2}, autoreset="next_step")
    pool.reset()
    second, third, last, reset = play(pool, 5)[1:]
    assert (second.terminated, second.ended) == ([True, False], [True, False])
    assert (second.status, second.reward) == ([ABSENT, ACTIVE], [1, 2])
    assert (third.terminated, third.reward) == ([False, False], [0, 2])
    assert [set(actions) for actions in made[0].given[2:4]] == [{"wolf_1"}, {"wolf_1"}]
    assert last.ended == [False, True]
    assert last.status == [ABSENT, ABSENT]
    assert reset.status == [ACTIVE, ACTIVE]
    assert len(made[0].seeds) == 2


def test_an_agent_that_appears_later_is_born(packs):
    """It is ABSENT until then, acts from then on, and ends as the others do."""
    pool, made = packs(births={"wolf_1": 2})
    assert pool.reset().status.tolist() == [ACTIVE, ABSENT]
    first, second, third, last = play(pool, 4)
    assert first.status == [ACTIVE, ABSENT]
    assert second.status == [ACTIVE, ACTIVE]
    assert second.observation[1].tolist() == pytest.approx([made[0].seeds[0] / 2**31, 0.02, 1])
    assert second.reward == [1, 0]
    assert third.reward == [1, 2]
    assert [sorted(actions) for actions in made[0].given] == [
        ["wolf_0"],
        ["wolf_0"],
        ["wolf_0", "wolf_1"],
        ["wolf_0", "wolf_1"],
    ]
    assert last.ended == [True, True]


def test_an_agent_that_leaves_without_an_end_counts_as_truncated(packs):
    """Otherwise its arena could never be over."""
    pool, made = packs(deserters={"wolf_0": 1, "wolf_1": 2})
    pool.reset()
    first, second = play(pool, 2)
    assert (first.truncated, first.terminated) == ([True, False], [False, False])
    assert second.truncated[1]
    assert len(made[0].seeds) == 2


def test_an_agent_that_left_may_come_back(packs):
    """Its row is taken by the agent of the same name: another birth, another episode."""
    pool, _ = packs(deserters={"wolf_0": 1}, births={"wolf_0": 3}, length=6, autoreset="disabled")
    pool.reset()
    played = play(pool, 6)
    assert [step.status[0] for step in played] == [ABSENT] * 2 + [ACTIVE] * 3 + [ABSENT]


def test_an_environment_that_leaves_its_dead_standing_is_understood():
    """Agents flagged as ended but still listed are over; they are not born again."""

    class Sloppy(Pack):
        def step(self, actions):
            self.now += 1
            self.agents = list(self.possible_agents)
            done = dict.fromkeys(self.agents, self.now >= 2)
            rewards = dict.fromkeys(self.agents, 1.0)
            return self._seen(self.agents), rewards, done, done, {}

    with inline(Sloppy, masked=False, autoreset="disabled") as pool:
        pool.reset()
        pool.step(np.zeros(2, np.int64))
        batch = pool.step(np.zeros(2, np.int64))
        assert batch.only.episode_ended.all()
        assert (pool.step(np.zeros(2, np.int64)).status == ABSENT).all()


def test_an_agent_nobody_announced_is_an_error(packs):
    """The error names it, and possible_agents."""
    pool, made = packs()
    pool.reset()
    made[0].births = {"bear_0": 1}
    made[0].observe = lambda env, agent: np.zeros(3, np.float32)
    with pytest.raises(SimulatorError, match=r"the agents 'bear_0', which are not among"):
        pool.step(np.zeros(2, np.int64))


# --- masks ----------------------------------------------------------------------------------------

MASKED = Dict({"observation": Box(0, 9, (1,), np.float32), "action_mask": MultiBinary(3)})


def masked_observation(env, agent):
    """Allow nothing but the action ``now % 3``."""
    mask = np.arange(3) == env.now % 3
    return {"observation": np.array([env.now], np.float32), "action_mask": mask.astype(np.int8)}


def test_a_mask_in_the_observation_is_the_groups_mask(packs):
    """The entry "observation" is then the observation, and masks follow every step."""
    spaces = {agent: (MASKED, None) for agent in ("wolf_0", "wolf_1")}
    pool, _ = packs(spaces=spaces, observe=masked_observation, simulator_options={"masked": None})
    group = pool.group()
    assert group.masked
    assert group.observation_space == MASKED["observation"]
    batch = pool.reset()
    for now in range(6):
        expected = (np.arange(3) == now % 4 % 3).tolist()  # length 4
        assert batch.action_mask.tolist() == [expected] * 2
        assert batch.observation.tolist() == [[now % 4]] * 2
        batch = pool.step(pool.sample_actions(batch, "agents"))


def test_other_entries_beside_the_mask_stay_a_dict(packs):
    """Only the mask is taken out of the observation."""
    space = Dict({"near": Discrete(2), "far": Discrete(2), "action_mask": MultiBinary(3)})
    observation = {"near": 0, "far": 1, "action_mask": np.ones(3, np.int8)}
    pool, _ = packs(agents=("a",), spaces={"a": (space, None)}, observe=lambda *_: observation)
    assert pool.group().observation_space == Dict({"near": Discrete(2), "far": Discrete(2)})
    assert pool.reset().observation["far"].tolist() == [1]


def test_a_mask_beside_continuous_actions_is_only_observed(packs):
    """What cannot be masked stays as it is."""
    space = (MASKED, Box(-1, 1, (3,)))
    pool, _ = packs(agents=("a",), spaces={"a": space}, observe=masked_observation)
    assert not pool.group().masked
    assert pool.group().observation_space == MASKED


def test_masks_in_infos_are_found_by_a_reset(packs):
    """They are masks, and no longer infos."""
    pool, made = packs(
        inform=lambda env, agent: {"action_mask": np.array([1, 0, env.now == 1])},
        simulator_options={"masked": None},
    )
    assert pool.group().masked
    assert len(made[0].seeds) == 1
    assert pool.reset().action_mask.tolist() == [[True, False, False]] * 2
    batch = pool.step(np.zeros(2, np.int64))
    assert batch.action_mask.tolist() == [[True, False, True]] * 2
    assert batch.infos == {}


def test_an_info_without_mask_forbids_nothing(packs):
    """Environments may leave the mask out where everything is legal."""
    pool, made = packs(simulator_options={"masked": True})
    assert pool.group().masked
    assert pool.reset().action_mask.all()
    assert len(made[0].seeds) == 1  # no throw-away reset


def test_a_mask_that_allows_nothing_allows_the_first_action(packs):
    """As Gymnasium's own sampling does; branch by branch."""
    space = (None, MultiDiscrete([2, 3]))
    pool, _ = packs(
        agents=("a",),
        spaces={"a": space},
        inform=lambda env, agent: {"action_mask": (np.array([0, 1]), np.zeros(3))},
        simulator_options={"masked": None},
    )
    assert pool.reset().action_mask.tolist() == [[False, True, True, False, False]]


def test_a_mask_of_the_wrong_width_is_an_error(packs):
    """The error names the agent and both widths."""
    pool, _ = packs(
        simulator_options={"masked": True}, inform=lambda *_: {"action_mask": np.ones(4)}
    )
    with pytest.raises(SimulatorError, match="agent 'wolf_0' has 4 entries: expected 3"):
        pool.reset()


def test_masks_can_be_left_alone(packs):
    """With masked=False infos are not looked at, and there is no reset before the first."""
    pool, made = packs(inform=lambda *_: {"action_mask": np.ones(3)})
    assert not pool.group().masked
    assert made[0].seeds == []


# --- turns, infos, pictures -----------------------------------------------------------------------


def tictactoe():
    """Make a turn-based environment."""
    from pettingzoo.classic.tictactoe import tictactoe

    return turn_based_aec_to_parallel(tictactoe.env())


@pytest.mark.parametrize("make", [tictactoe, lambda: BaseParallelWrapper(tictactoe())])
def test_who_is_not_on_turn_is_waiting(make):
    """In a real turn-based environment, exactly one agent acts, and its mask has free cells."""
    with inline(make) as pool:
        batch = pool.reset()
        ends = 0
        for _ in range(30):
            assert sorted(batch.status.tolist()) == [ACTIVE, WAITING]
            actor = int(np.argmax(batch.status == ACTIVE))
            taken = batch.observation[actor].sum(axis=2).ravel()
            assert np.array_equal(batch.action_mask[actor], taken == 0)
            batch = pool.step(pool.sample_actions(batch, "agents"))
            assert batch.infos == {}
            ends += int(batch.only.episode_ended.sum())
    assert ends >= 6


def test_only_infos_that_say_something_travel(packs):
    """They are found by group and by row number; empty ones cost nothing."""
    pool, _ = packs(
        2, inform=lambda env, agent: {"now": env.now} if agent == "wolf_1" and env.now > 1 else {}
    )
    assert pool.reset().reset_infos == {}
    first, second = play(pool, 2)
    assert first.infos == {}
    assert second.infos == {"agents": {1: {"now": 2}, 3: {"now": 2}}}


def test_nothing_is_told_of_agents_that_are_not_there(packs):
    """Some environments go on giving infos of their dead."""
    pool, made = packs(deaths={"wolf_0": 1}, inform=lambda env, agent: {"now": env.now})
    pool.reset()
    made[0]._told = lambda agents: {agent: {"now": 1} for agent in made[0].possible_agents}
    first, second = play(pool, 2)
    assert list(first.infos["agents"]) == [0, 1]
    assert list(second.infos["agents"]) == [1]


def test_a_last_observation_may_be_missing(packs):
    """The one before it is then the final one."""
    pool, made = packs(length=2)
    pool.reset()
    seen = made[0]._seen
    made[0]._seen = lambda agents: seen(agents) if made[0].now < 2 else dict.fromkeys(agents)
    pool.step(np.zeros(2, np.int64))
    batch = pool.step(np.zeros(2, np.int64))
    assert batch.only.final_observation[:, 1].tolist() == pytest.approx([0.01] * 2)


def test_infos_of_resets_are_told_apart_from_those_of_steps(packs):
    """In the step that ends an episode both are there."""
    pool, _ = packs(length=1, inform=lambda env, agent: {"now": env.now, "action_mask": 1})
    pool.reset()
    batch = pool.step(np.zeros(2, np.int64))
    assert batch.infos["agents"][0] == {"now": 1, "action_mask": 1}
    assert batch.reset_infos["agents"][0]["now"] == 0


def test_render_returns_the_environments_picture(packs):
    """Of the arena that was asked for; without render_mode the error says how to get one."""
    pool, _ = packs(render_mode="rgb_array")
    pool.reset()
    pool.step(np.zeros(2, np.int64))
    assert (pool.render(0) == np.ones((4, 6, 3), np.uint8)).all()
    blind, _ = packs()
    blind.reset()
    with pytest.raises(SimulatorError, match="render_mode"):
        blind.render(0)


def test_close_closes_every_environment(packs):
    """Also those of arenas that were never stepped."""
    pool, made = packs(3)
    pool.close()
    assert [env.is_closed for env in made] == [True] * 3


# --- where environments come from, and what is wrong with them ------------------------------------


def inline(env, env_options=None, arenas=1, autoreset="same_step", **options):
    """Return a pool of one server in this process."""
    return SimulatorPool(
        "pettingzoo",
        arenas_per_server=arenas,
        backend="inline",
        autoreset=autoreset,
        seed=0,
        check_rows=True,
        simulator_options={"env": env, "env_options": env_options, **options},
    )


@pytest.fixture
def module(monkeypatch):
    """Return a function that makes an importable module of some names."""

    def make(name, **names):
        made = types.ModuleType(name)
        vars(made).update(names)
        monkeypatch.setitem(sys.modules, name, made)

    return make


@pytest.mark.parametrize("path", ["some_zoo", "some_zoo:parallel_env", "some_zoo:make_pack"])
def test_environments_are_found_by_import_path(module, path):
    """A module's parallel_env is taken where no function is named."""
    module("some_zoo", parallel_env=Pack, make_pack=functools.partial(Pack))
    with inline(path, {"agents": ("a", "b", "c")}) as pool:
        assert pool.num_rows() == 3


@pytest.mark.parametrize("env", ["classic/rps_v2", "pettingzoo.classic.rps.rps"])
def test_a_real_environment_runs_from_registry_and_from_module(env):
    """Rock, paper, scissors: zero-sum, 15 rounds, all rows ACTIVE throughout."""
    if "/" in env and not hasattr(pettingzoo, "make"):
        pytest.skip("this PettingZoo has no registry")
    report = check_simulator("pettingzoo", steps=32, env=env)
    assert report.episodes == 8
    with inline(env, arenas=2) as pool:
        batch = pool.reset()
        for _ in range(15):
            batch = pool.step(pool.sample_actions(batch, "agents"))
            assert batch.reward.reshape(2, 2).sum(axis=1).tolist() == [0, 0]
        assert batch.truncated.all()


def test_workers_make_the_environments(module):
    """The caller's process only hears of the spec; a function of the user's is sent along."""
    made = []

    def make():
        made.append(1)
        return Pack()

    with SimulatorPool("pettingzoo", simulator_options={"env": make}, seed=0) as pool:
        batch = pool.reset()
        assert pool.group().agents == ("wolf_0", "wolf_1")
        assert batch.observation[:, 2].tolist() == [0, 1]
    assert made == []


def opening_error(env, **options):
    """Return what opening a server on this environment raises."""
    with pytest.raises(StartupError) as caught, inline(env, **options):
        pass
    return caught.value.__cause__


def test_an_aec_environment_is_refused_with_how_to_convert_it():
    """Both conversions are named."""
    from pettingzoo.classic.tictactoe import tictactoe

    error = opening_error(tictactoe.env)
    assert isinstance(error, ConfigError)
    assert re.search("an AECEnv.*aec_to_parallel.*turn_based_aec_to_parallel", str(error))
    error = opening_error("pettingzoo.classic.tictactoe.tictactoe")
    assert isinstance(error, ConfigError)
    assert re.search("no parallel_env.*aec_to_parallel", str(error))


def test_something_else_is_no_parallel_env():
    """The error names what was made."""
    error = opening_error(dict)
    assert isinstance(error, ConfigError)
    assert "makes a dict: expected a pettingzoo.ParallelEnv" in str(error)


def test_an_environment_without_possible_agents_is_refused():
    """The error says that each agent needs a row."""

    class Open(Pack):
        def __init__(self):
            super().__init__()
            del self.possible_agents

    error = opening_error(Open)
    assert isinstance(error, ContractError)
    assert "has no possible_agents" in str(error)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("no_such_zoo.env", "there is no module 'no_such_zoo'"),
        ("pettingzoo.classsic:rps", "there is no module 'pettingzoo.classsic'"),
        ("some_zoo:make_pakc", "no function 'make_pakc'. Did you mean 'make_pack'?"),
        ("some_zoo", "no function 'parallel_env'"),
        (".relative", "expected an import path"),
        ("", "expected an import path"),
        ("classic/no_such_v9", "no parallel environment of this name"),
    ],
)
def test_a_path_that_leads_nowhere_is_a_config_error(module, path, message):
    """The error says which part of it is unknown."""
    module("some_zoo", make_pack=Pack)
    error = opening_error(path)
    assert isinstance(error, ConfigError)
    assert message in str(error)


def test_a_library_that_the_environment_lacks_is_named(tmp_path, monkeypatch):
    """A missing import inside the module is no wrong path."""
    (tmp_path / "thirsty_zoo.py").write_text("import no_such_physics\n")
    monkeypatch.syspath_prepend(tmp_path)
    error = opening_error("thirsty_zoo")
    assert isinstance(error, MissingExtraError)
    assert "needs no_such_physics" in str(error)


def test_one_environment_for_two_arenas_is_refused():
    """A function must make a new one at each call."""
    pack = Pack()
    error = opening_error(lambda: pack, arenas=2)
    assert isinstance(error, ConfigError)
    assert "one and the same environment twice" in str(error)


def test_environments_that_differ_are_refused():
    """All arenas have the same agents and spaces."""
    packs = iter([Pack(), Pack(agents=("a",))])
    error = opening_error(lambda: next(packs), arenas=2)
    assert isinstance(error, ContractError)
    assert "environments of different agents or spaces" in str(error)


@pytest.mark.parametrize("env", [Pack(), 3])
def test_an_environment_itself_is_refused_at_once(env):
    """What makes one is needed, and it is said before anything starts."""
    with pytest.raises(ConfigError, match="a function or class that makes a ParallelEnv"):
        PettingZooSimulator(env)


def test_an_option_of_the_environment_in_the_wrong_place_is_refused():
    """The error says where it belongs."""
    with pytest.raises(ConfigError, match=r"no option 'max_cycles'.*go into env_options"):
        PettingZooSimulator(Pack, max_cycles=3)
    with pytest.raises(ConfigError, match=r"Did you mean 'env_options'\?"):
        PettingZooSimulator(Pack, env_option={})


def test_the_spec_is_not_known_before_open():
    """Only an environment knows its agents."""
    with pytest.raises(UsageError, match="only after open"):
        PettingZooSimulator(Pack).spec()


@pytest.mark.parametrize(
    ("method", "returned", "message"),
    [
        ("reset", {}, "reset() of pack_v0 returned a dict: expected (observations, infos)"),
        ("step", ({}, {}, {}, {}), "step() of pack_v0 returned a tuple of 4: expected"),
        ("step", ({}, {}, {}, {}, {}), "no observation of agent 'wolf_0'"),
    ],
)
def test_an_environment_that_returns_something_else_is_an_error(method, returned, message):
    """The error says what was expected."""
    env = type("Broken", (Pack,), {})()
    with inline(lambda: env, masked=False) as pool:
        if method == "step":
            pool.reset()
        setattr(env, method, lambda *_, **__: returned)
        with pytest.raises(SimulatorError, match=re.escape(message)):
            pool.reset() if method == "reset" else pool.step(np.zeros(2, np.int64))


def test_an_observation_of_another_shape_is_an_error(packs):
    """NumPy would have spread a single number over the row."""
    pool, _ = packs(observe=lambda *_: np.zeros(1, np.float32))
    with pytest.raises(SimulatorError, match=r"'wolf_0' has shape \(1,\): expected \(3,\)"):
        pool.reset()


@pytest.mark.parametrize(
    "options",
    [
        {"agents": ("wolf_0", "wolf_1", "sheep_0"), "deaths": {"wolf_0": 2}},
        {"births": {"wolf_1": 2}, "length": 5},
        {
            "spaces": {"wolf_0": (MASKED, None), "wolf_1": (MASKED, None)},
            "observe": masked_observation,
        },
    ],
)
def test_it_keeps_the_contract(options):
    """check_simulator finds nothing wrong with deaths, births and masks."""
    check_simulator("pettingzoo", steps=20, env=Pack, env_options=options)
