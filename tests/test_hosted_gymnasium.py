"""HostedVectorEnv in place of AsyncVectorEnv: equal to Gymnasium's own in every autoreset mode."""

import functools
import re

import gymnasium
import numpy as np
import pytest
from equality import assert_same
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import RecordEpisodeStatistics
from gymnasium.wrappers import vector as vector_wrappers
from hosted_envs import (
    Broken,
    DictWalk,
    DiscreteWalk,
    Failing,
    Masked,
    NestedWalk,
    Speechless,
    StructuredActionWalk,
    TupleWalk,
    Walk,
    short,
)

from gym_multisim.envs.gymnasium import HostedVectorEnv
from gym_multisim.errors import (
    ActionError,
    ClosedError,
    ConfigError,
    SimulatorError,
    SpaceError,
    StartupError,
    UsageError,
)

pytestmark = [
    pytest.mark.usefixtures("leaves_nothing"),
    pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning"),  # AsyncVectorEnv's
]

MODES = list(AutoresetMode)
KINDS = {
    "cartpole": functools.partial(short, "CartPole-v1"),
    "frozen lake": functools.partial(short, "FrozenLake-v1"),
    "box": Walk,
    "dict": DictWalk,
    "tuple": TupleWalk,
    "nested": NestedWalk,
    "discrete": DiscreteWalk,
    "structured actions": StructuredActionWalk,
}


def played(envs, steps=20, seed=3):
    """Everything that a vector environment returns in one run, and close it."""
    envs.action_space.seed(seed)
    record = [envs.reset(seed=seed)]
    for _ in range(steps):
        result = envs.step(envs.action_space.sample())
        record.append(result)
        done = result[2] | result[3]
        if envs.metadata["autoreset_mode"] is AutoresetMode.DISABLED and done.any():
            record.append(envs.reset(options={"reset_mask": done}))
    record.append(envs.reset())
    record.append(envs.reset(seed=[9, None, 4, 9, 2], options={"level": 2}))
    record.append(envs.reset(options={"reset_mask": np.arange(5) % 2 == 0}))
    record.append(envs.get_attr("np_random_seed")[:1])
    envs.close()
    return record


# --- equal to Gymnasium's own ---------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
@pytest.mark.parametrize("kind", KINDS)
def test_run_equals_that_of_sync_vector_env(kind, mode):
    """Observations, rewards, ends and infos are equal in every bit, type, key and `_key` mask."""
    env_fns = [KINDS[kind]] * 5
    expected = played(SyncVectorEnv(env_fns, autoreset_mode=mode))
    found = played(HostedVectorEnv(env_fns, num_workers=2, autoreset_mode=mode))
    assert_same(found, expected)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_run_equals_that_of_async_vector_env(mode):
    """The same holds for AsyncVectorEnv itself."""
    env_fns = [DictWalk] * 5
    expected = played(
        AsyncVectorEnv(env_fns, autoreset_mode=mode, context="fork", shared_memory=False)
    )
    found = played(HostedVectorEnv(env_fns, num_workers=2, autoreset_mode=mode))
    assert_same(found, expected)


def test_spaces_and_metadata_are_those_of_sync_vector_env():
    """Spaces, render mode, number and metadata; the environments' own metadata stays untouched."""
    env_fns = [functools.partial(DictWalk, render_mode="rgb_array")] * 3
    hosted, sync = HostedVectorEnv(env_fns, autoreset_mode="SameStep"), SyncVectorEnv(env_fns)
    for name in (
        "num_envs",
        "single_observation_space",
        "single_action_space",
        "observation_space",
        "action_space",
        "render_mode",
        "closed",
        "spec",
    ):
        assert getattr(hosted, name) == getattr(sync, name)
    assert hosted.metadata == {**Walk.metadata, "autoreset_mode": AutoresetMode.SAME_STEP}
    assert "autoreset_mode" not in Walk.metadata
    hosted.spec = gymnasium.spec("CartPole-v1")
    assert "CartPole" in repr(hosted)
    hosted.close()


def test_environment_that_reports_episode_keeps_its_own():
    """RecordEpisodeStatistics within an environment is passed on as Gymnasium does."""
    env_fns = [lambda: RecordEpisodeStatistics(Walk())] * 3
    for mode in MODES[:2]:
        records = []
        for cls in (HostedVectorEnv, SyncVectorEnv):
            options = {"episode_statistics": True} if cls is HostedVectorEnv else {}
            envs = cls(env_fns, autoreset_mode=mode, **options)
            envs.reset(seed=0)
            infos = [envs.step(np.zeros(3, np.int64))[4] for _ in range(8)]
            for info in infos:
                info.get("episode", info.get("final_info", {}).get("episode", {})).pop("t", None)
            records.append(infos)
            envs.close()
        assert_same(*records)


@pytest.mark.parametrize("mode", MODES[:2], ids=lambda mode: mode.name)
def test_episode_statistics_come_if_asked_for(mode):
    """With `episode_statistics=True`, the infos have what RecordEpisodeStatistics would add."""
    records = []
    for options in ({"episode_statistics": True}, {}):
        envs = HostedVectorEnv([Walk] * 3, num_workers=2, autoreset_mode=mode, **options)
        if not options:
            envs = vector_wrappers.RecordEpisodeStatistics(envs)
        envs.reset(seed=1)
        infos = [envs.step(np.ones(3, np.int64))[4] for _ in range(12)]
        for info in infos:
            info.get("episode", {}).pop("t", None)
        records.append(infos)
        envs.close()
    for found, expected in zip(*records, strict=True):
        assert found.keys() == expected.keys()
        assert_same(found.get("_episode"), expected.get("_episode"))
        for key, values in expected.get("episode", {}).items():
            assert found["episode"][key] == pytest.approx(values)


# --- masks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_masks_of_environments_are_in_the_infos(mode):
    """`action_mask` is there at every step; a row that has ended allows action 0 alone."""
    envs = HostedVectorEnv([Masked] * 3, num_workers=2, autoreset_mode=mode)
    _, infos = envs.reset(seed=0)
    for _ in range(12):
        mask = infos["action_mask"]
        assert mask.shape == (3, 4)
        assert infos["_action_mask"].all()
        assert mask.any(axis=1).all()
        assert_same(mask, envs.action_masks())
        _, _, terminations, truncations, infos = envs.step(mask.argmax(axis=1))
        done = terminations | truncations
        if mode is not AutoresetMode.SAME_STEP:
            assert (infos["action_mask"][done] == [True, False, False, False]).all()
        if mode is AutoresetMode.DISABLED and done.any():
            _, infos = envs.reset(options={"reset_mask": done})
    envs.call("set_shift", 1)
    assert envs.action_masks()[:, 1::2].any()
    envs.close()


def test_environments_without_masks_have_none():
    """No key in the infos, and asking is an error."""
    envs = HostedVectorEnv([Walk])
    assert envs.reset()[1] == {}
    with pytest.raises(UsageError, match="no action masks"):
        envs.action_masks()
    envs.close()


# --- copies ---------------------------------------------------------------------------------------


def test_copies_belong_to_the_caller_and_views_to_the_next_step():
    """With `copy=True` nothing changes later; with `copy=False` observations are shared memory."""
    envs = HostedVectorEnv([Walk] * 3, num_workers=2)
    kept = [envs.reset(seed=0)[0], *envs.step(np.zeros(3, np.int64))[:4]]
    copies = [array.copy() for array in kept]
    for array in kept[1:]:
        assert array.flags.writeable
    envs.step(np.ones(3, np.int64))
    assert_same(kept, copies)
    envs.close()

    envs = HostedVectorEnv([Walk] * 3, num_workers=2, copy=False)
    first, _ = envs.reset(seed=0)
    again, *_ = envs.step(np.zeros(3, np.int64))
    assert np.shares_memory(first, again)
    assert_same(again, copies[1])
    del first, again
    envs.close()


# --- single environments --------------------------------------------------------------------------


def test_call_and_attributes_equal_those_of_sync_vector_env():
    """Methods, attributes, one value or one for each, and what is missing."""
    for cls in (HostedVectorEnv, SyncVectorEnv):
        envs = cls([functools.partial(Walk, "rgb_array")] * 5)
        envs.reset(seed=0)
        envs.set_attr("scale", 3.0)
        assert envs.get_attr("scale") == (3.0,) * 5
        envs.set_attr("scale", [1.0, 2.0, 3.0, 4.0, 5.0])
        assert envs.call("scale") == (1.0, 2.0, 3.0, 4.0, 5.0)
        assert envs.call("rescale", 2.0, add=1.0) == (3.0,) * 5
        assert envs.np_random_seed == (0, 1, 2, 3, 4)
        assert len({rng.random() for rng in envs.np_random}) == 5
        assert_same(envs.render(), tuple(np.zeros((4, 6, 3), np.uint8) for _ in range(5)))
        with pytest.raises(AttributeError, match="colour"):
            envs.get_attr("colour")
        with pytest.raises(ValueError, match="4"):
            envs.set_attr("scale", [1.0] * 4)
        envs.close()


# --- what goes wrong ------------------------------------------------------------------------------


def test_closed_environment_says_so():
    """Closing twice is harmless; anything else says that it was closed."""
    envs = HostedVectorEnv([Walk] * 2)
    envs.reset()
    envs.close()
    envs.close()
    assert envs.closed
    for call in (
        envs.reset,
        lambda: envs.step(np.zeros(2, np.int64)),
        lambda: envs.get_attr("scale"),
        lambda: envs.set_attr("scale", 1.0),
        envs.render,
    ):
        with pytest.raises(ClosedError, match="closed"):
            call()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reset_mask": np.ones(2, bool)}, r"shape \(2,\)"),
        ({"reset_mask": np.ones(4, np.int64)}, "int64"),
        ({"reset_mask": [True] * 4}, "list"),
        ({"reset_mask": np.zeros(4, bool)}, "at least one True"),
    ],
)
def test_bad_reset_masks_are_refused(options, message):
    """Shape, dtype, type and emptiness of `reset_mask` are checked."""
    envs = HostedVectorEnv([Walk] * 4, num_workers=2, autoreset_mode="Disabled", backend="inline")
    envs.reset(options={"reset_mask": np.ones(4, bool)})
    with pytest.raises(ConfigError, match=message):
        envs.reset(options=options)
    envs.close()


def test_first_reset_may_name_all_environments():
    """A `reset_mask` of all is a whole reset, also where the last worker has fewer of them."""
    envs = HostedVectorEnv([Walk] * 3, num_workers=2)
    observations, _ = envs.reset(seed=0, options={"reset_mask": np.ones(3, bool)})
    assert_same(observations[2], Walk().reset(seed=2)[0])
    envs.close()
    envs = HostedVectorEnv([Walk] * 3, num_workers=2)
    with pytest.raises(UsageError, match="first reset"):
        envs.reset(options={"reset_mask": np.array([True, False, True])})
    envs.close()


def test_wrong_numbers_of_actions_and_seeds_are_refused():
    """Each says how many were expected."""
    for count in (4, 5):  # with and without a seat that pads the last worker
        envs = HostedVectorEnv([Walk] * count, num_workers=2, backend="inline")
        envs.reset()
        for actions in (np.zeros(count - 1, int), np.zeros(count + 1, int), 0):
            with pytest.raises(ActionError, match=rf"\b{count}\b"):
                envs.step(actions)
        with pytest.raises(ConfigError, match="3 seeds"):
            envs.reset(seed=[1, 2, 3])
        envs.close()


def test_exceptions_have_their_traceback_and_cause():
    """In a constructor, a reset or a step; all workers end."""
    with pytest.raises(StartupError, match="broken in init") as caught:
        HostedVectorEnv([Walk, functools.partial(Failing, "init")], num_workers=2)
    assert isinstance(caught.value.__cause__, Broken)
    for where in ("reset", "step"):
        envs = HostedVectorEnv([functools.partial(Failing, where, at_step=1)])
        with pytest.raises(SimulatorError, match=f"broken in {where}") as caught:
            run_one_step(envs)
        assert isinstance(caught.value.__cause__, Broken)
        envs.close()


def run_one_step(envs):
    """Reset, and step once."""
    envs.reset()
    envs.step(np.zeros(envs.num_envs, np.int64))


def test_spaces_without_a_fixed_size_are_refused_by_name():
    """The message names the leaf of an observation space, or the action space."""
    with pytest.raises(SpaceError, match=re.escape("'ear.heard'")):
        HostedVectorEnv([Speechless])

    class Talkative(Walk):
        action_space = spaces.Dict({"say": spaces.Text(3)})

    with pytest.raises(SpaceError, match="Text"):
        HostedVectorEnv([Talkative])


def test_unequal_spaces_are_refused():
    """Environments of different spaces are refused, whichever worker has them."""
    with pytest.raises(StartupError, match="another observation_space"):
        HostedVectorEnv([Walk, DiscreteWalk], num_workers=1)


# --- wrappers -------------------------------------------------------------------------------------


def test_wrappers_of_gymnasium_work_as_over_sync_vector_env():
    """Statistics, normalisation, clipping, rescaling and lists of infos give equal runs."""
    records = []
    for cls in (HostedVectorEnv, SyncVectorEnv):
        envs = cls([functools.partial(short, "Pendulum-v1", 5)] * 3)
        envs = vector_wrappers.RecordEpisodeStatistics(envs)
        envs = vector_wrappers.NormalizeObservation(envs)
        envs = vector_wrappers.NormalizeReward(envs)
        envs = vector_wrappers.ClipReward(envs, -1.0, 1.0)
        envs = vector_wrappers.RescaleAction(envs, *np.float32([[-1.0], [1.0]]))
        envs = vector_wrappers.DtypeObservation(envs, np.float32)
        envs = vector_wrappers.DictInfoToList(envs)
        envs.action_space.seed(0)
        record = [envs.reset(seed=0)]
        for _ in range(12):
            record.append(envs.step(envs.action_space.sample()))
            for info in record[-1][4]:
                info.get("episode", {}).pop("t", None)
        records.append(record)
        envs.close()
    assert_same(*records)
