"""HostedVecEnv in place of SubprocVecEnv: equal in every bit, and what it does better."""

import functools
import re

import numpy as np
import pytest
from equality import assert_same
from gymnasium import spaces
from gymnasium.wrappers import TimeLimit
from hosted_envs import (
    Broken,
    DictWalk,
    DiscreteWalk,
    Failing,
    Masked,
    NestedWalk,
    Note,
    Speechless,
    StructuredActionWalk,
    TupleWalk,
    Walk,
    short,
)
from processes import output_of_script
from small_simulators import no_calls
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

from gym_multisim.envs.sb3 import HostedVecEnv
from gym_multisim.errors import (
    ActionError,
    ClosedError,
    ConfigError,
    ContractError,
    ServerTimeoutError,
    SimulatorError,
    SpaceError,
    StartupError,
    UsageError,
)

pytestmark = [
    pytest.mark.usefixtures("leaves_nothing"),
    pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning"),  # SubprocVecEnv's
]


CARTPOLE = functools.partial(short, "CartPole-v1")
PENDULUM = functools.partial(short, "Pendulum-v1")
KINDS = {
    "cartpole": CARTPOLE,
    "pendulum": PENDULUM,
    "box": Walk,
    "dict": DictWalk,
    "tuple": TupleWalk,
    "discrete": DiscreteWalk,
}


def actions_for(venv, seed):
    """Endless batches of random actions."""
    space = venv.action_space
    space.seed(seed)
    while True:
        actions = [space.sample() for _ in range(venv.num_envs)]
        yield actions if isinstance(space, spaces.Dict) else np.array(actions)


def played(venv, steps=30, seed=7):
    """Everything that a VecEnv returns in one run, and close it."""
    venv.seed(seed)
    record = [venv.reset(), [dict(info) for info in venv.reset_infos]]
    for actions, _ in zip(actions_for(venv, seed), range(steps), strict=False):
        observations, rewards, dones, infos = venv.step(actions)
        infos = [dict(info) for info in infos]
        reset_infos = [dict(info) for info in venv.reset_infos]
        record.append([observations, np.float32(rewards), dones, infos, reset_infos])
    venv.close()
    return record


def without_episode(record):
    """A record without `episode`, which SubprocVecEnv leaves to Monitor."""
    for _, _, dones, infos, _ in record[2:]:
        for done, info in zip(dones, infos, strict=True):
            assert ("episode" in info) == done
            info.pop("episode", None)
    return record


# --- equal to SB3's own ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_run_equals_that_of_dummy_vec_env(kind):
    """Observations, rewards, dones and all infos are equal in every bit, type and key."""
    env_fns = [KINDS[kind]] * 5
    expected = played(DummyVecEnv(env_fns))
    found = played(HostedVecEnv(env_fns, num_workers=2))
    assert_same(without_episode(found), expected)


def test_run_equals_that_of_subproc_vec_env():
    """The same holds for SubprocVecEnv itself, with rewards in double precision."""
    env_fns = [DictWalk] * 3
    expected = played(SubprocVecEnv(env_fns, start_method="fork"))
    found = played(HostedVecEnv(env_fns, num_workers=2))
    for record in (found, expected):
        for step in record[2:]:
            step[3] = list(step[3])
    assert_same(without_episode(found), expected)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["cartpole", "pendulum", "tuple"])
def test_run_equals_that_of_subproc_vec_env_for_more_kinds(kind):
    """The same holds for Gymnasium's own environments and for Tuple observations."""
    env_fns = [KINDS[kind]] * 3
    expected = played(SubprocVecEnv(env_fns, start_method="fork"))
    found = without_episode(played(HostedVecEnv(env_fns, num_workers=2)))
    assert_same(found, expected)


def test_nested_dict_observations_come_in_their_own_structure():
    """A Dict in a Dict, which SB3 cannot stack, comes with each leaf stacked."""
    env = NestedWalk()
    venv = HostedVecEnv([NestedWalk] * 2)
    venv.seed(3)
    found = venv.reset()
    first, _ = env.reset(seed=3)
    assert_same(found["arm"]["angle"][0], first["arm"]["angle"])
    assert_same(found["eyes"][0][0], first["eyes"][0])
    assert found["eyes"][1].shape == (2, 1)
    venv.close()


def test_structured_actions_reach_environments_as_they_were():
    """Dict actions with Tuples in them arrive whole, and the action space is the environment's."""
    venv = HostedVecEnv([StructuredActionWalk] * 3, num_workers=2)
    assert venv.action_space == StructuredActionWalk.action_space
    venv.reset()
    actions = next(actions_for(venv, 1))
    observations, *_ = venv.step(actions)
    for seen, action in zip(observations, actions, strict=True):
        (direction, by), buttons = action["move"], action["buttons"]
        assert seen.tolist() == [direction, *by.tolist(), *buttons.tolist()]
    with pytest.raises(ActionError, match="environment 1 does not fit"):
        venv.step([actions[0], {"move": (0, np.zeros(2))}, actions[2]])
    venv.close()


def test_seeds_and_options_are_used_once_and_per_environment():
    """Environment i is reset with seed + i; options go to their environment; both then lapse."""
    venv = HostedVecEnv([Walk] * 3, num_workers=2)
    assert venv.seed(40) == [40, 41, 42]
    first = venv.reset()
    for row in range(3):
        assert_same(first[row], Walk().reset(seed=40 + row)[0])
    assert venv.get_attr("options") == [None] * 3
    assert not np.array_equal(venv.reset(), first)

    venv.set_options([{"level": 1}, {}, {"level": 3}])
    venv.seed(40)
    assert_same(venv.reset(), first)
    assert venv.get_attr("options") == [{"level": 1}, None, {"level": 3}]
    venv.set_options({"level": 9})
    venv.reset()
    assert venv.get_attr("options") == [{"level": 9}] * 3
    venv.reset()
    assert venv.get_attr("options") == [None] * 3
    venv.close()


def test_reset_infos_are_those_of_the_last_reset():
    """After an autoreset without infos, those of the episode before do not linger."""

    class Rarely(Walk):
        def reset_info(self):
            self.resets = getattr(self, "resets", 0) + 1
            return {"resets": self.resets} if self.resets % 2 else {}

    assert_same(
        without_episode(played(HostedVecEnv([Rarely] * 2))), played(DummyVecEnv([Rarely] * 2))
    )


def test_monitor_in_the_environment_wins():
    """Where the environment has a Monitor, `episode` is the Monitor's."""
    venv = HostedVecEnv([lambda: Monitor(DictWalk(), info_keywords=("text",)), DictWalk])
    assert venv.env_is_wrapped(Monitor) == [True, False]
    venv.reset()
    told = [set(), set()]
    for _ in range(8):
        for row, info in enumerate(venv.step(np.zeros(2, np.int64))[3]):
            told[row] |= info.get("episode", {}).keys()
    assert told == [{"r", "l", "t", "text"}, {"r", "l", "t"}]
    venv.close()


def test_made_by_make_vec_env_of_sb3():
    """`make_vec_env(…, vec_env_cls=HostedVecEnv)` works, with seed and options, as for others."""
    made = [
        make_vec_env(
            "CartPole-v1",
            3,
            seed=5,
            vec_env_cls=cls,
            vec_env_kwargs=kwargs,
            env_kwargs={"sutton_barto_reward": True},
        )
        for cls, kwargs in ((HostedVecEnv, {"num_workers": 1}), (DummyVecEnv, None))
    ]
    assert made[0].env_is_wrapped(Monitor) == [True] * 3
    runs = [played(venv) for venv in made]
    for run in runs:
        for _, _, _, infos, _ in run[2:]:
            for info in infos:
                info.get("episode", {}).pop("t", None)
    assert_same(*runs)


@pytest.mark.parametrize(("envs", "workers", "servers"), [(5, 2, 2), (1, 4, 1), (9, 8, 5)])
def test_any_number_of_environments_fits_any_number_of_workers(envs, workers, servers):
    """Environments are dealt out in order; the last worker may have fewer."""
    venv = HostedVecEnv([functools.partial(Walk)] * envs, num_workers=workers)
    assert venv.pool.servers == servers
    assert venv.num_envs == envs
    venv.seed(2)
    first = venv.reset()
    assert first.shape == (envs, 3)
    for row in range(envs):
        assert_same(first[row], Walk().reset(seed=2 + row)[0])
    for _ in range(12):
        observations, rewards, dones, infos = venv.step([1] * envs)
        assert len(observations) == len(rewards) == len(dones) == len(infos) == envs
    assert venv.get_attr("steps", indices=-1) == venv.get_attr("steps", indices=envs - 1)
    with pytest.raises(ActionError, match=f"{envs}"):
        venv.step([1] * (envs + 1))
    venv.close()


# --- single environments --------------------------------------------------------------------------


def test_attributes_and_methods_of_some_environments():
    """None, numbers, negative numbers and lists choose environments, and answers are in order."""
    venv = HostedVecEnv([Walk] * 5, num_workers=2)
    venv.set_attr("scale", 2.0)
    venv.set_attr("scale", 3.0, indices=-1)
    venv.set_attr("scale", 4.0, indices=[0, -4])
    assert venv.get_attr("scale") == [4.0, 4.0, 2.0, 2.0, 3.0]
    assert venv.get_attr("scale", indices=4) == [3.0]
    assert venv.get_attr("scale", indices=[3, 0, -1]) == [2.0, 4.0, 3.0]
    assert venv.get_attr("scale", indices=np.array([1, 1])) == [4.0, 4.0]
    assert venv.env_method("rescale", 7.0, indices=[4, 1], add=0.5) == [7.5, 7.5]
    assert venv.get_attr("scale") == [4.0, 7.5, 2.0, 2.0, 7.5]
    assert venv.has_attr("scale")
    assert not venv.has_attr("colour")
    assert venv.env_is_wrapped(TimeLimit) == [False] * 5
    for call in (
        lambda: venv.get_attr("colour"),
        lambda: venv.env_method("paint"),
    ):
        with pytest.raises(AttributeError, match=r"colour|paint"):
            call()
    with pytest.raises(ConfigError, match="-5 to 4"):
        venv.get_attr("scale", indices=5)
    venv.close()


def test_attributes_are_found_through_wrappers():
    """`get_attr` looks through wrappers; `set_attr` sets on the outermost, as SB3 does."""
    venv = HostedVecEnv([lambda: TimeLimit(Walk(), 4)] * 2)
    venv.set_attr("scale", 5.0)
    assert venv.get_attr("scale") == [5.0, 5.0]
    assert venv.env_method("rescale", 2.0) == [2.0, 2.0]
    assert venv.get_attr("scale") == [5.0, 5.0]
    assert venv.env_is_wrapped(TimeLimit, indices=[1]) == [True]
    venv.close()


def test_pictures_are_tiled_as_by_others():
    """`get_images` and `render` equal those of DummyVecEnv."""
    env_fns = [functools.partial(Walk, render_mode="rgb_array")] * 3
    hosted, dummy = HostedVecEnv(env_fns, num_workers=2), DummyVecEnv(env_fns)
    for venv in (hosted, dummy):
        venv.seed(0)
        venv.reset()
        venv.step(np.zeros(3, np.int64))
    assert hosted.render_mode == "rgb_array"
    assert_same(list(hosted.get_images()), list(dummy.get_images()))
    assert_same(hosted.render(), dummy.render())
    hosted.close()

    silent = HostedVecEnv([Walk])
    assert silent.render_mode is None
    assert silent.get_images() == [None]
    silent.close()


def test_what_needs_a_worker_is_refused_while_a_step_is_pending():
    """Between step_async and step_wait only step_wait is possible; then all is well again."""
    venv = HostedVecEnv([Masked] * 2)
    venv.reset()
    venv.env_method("action_masks")
    actions = np.array([0, 0])
    venv.step_async(actions)
    for call in (
        lambda: venv.step_async(actions),
        lambda: venv.get_attr("steps"),
        lambda: venv.set_attr("steps", 0),
        lambda: venv.env_method("masks"),
        lambda: venv.env_method("action_masks"),
        lambda: venv.env_is_wrapped(TimeLimit),
        venv.reset,
        venv.action_masks,
    ):
        with pytest.raises(UsageError, match=r"pending|stepping"):
            call()
    observations, *_ = venv.step_wait()
    assert observations.shape == (2, 3)
    with pytest.raises(UsageError, match="send"):
        venv.step_wait()
    venv.close()


def test_closed_environment_says_so():
    """Closing twice is harmless; anything else says that it was closed."""
    venv = HostedVecEnv([Masked] * 2)
    venv.reset()
    venv.close()
    venv.close()
    for call in (
        venv.reset,
        lambda: venv.step(np.zeros(2, np.int64)),
        lambda: venv.get_attr("scale"),
        lambda: venv.env_method("action_masks"),
    ):
        with pytest.raises(ClosedError):
            call()


def test_step_before_reset_is_refused():
    """A step before the first reset names what is missing."""
    venv = HostedVecEnv([Walk])
    with pytest.raises(UsageError, match="reset"):
        venv.step(np.array([0]))
    venv.close()


# --- masks ----------------------------------------------------------------------------------------

MASKED_SPACES = {
    "discrete": spaces.Discrete(6),
    "multi-discrete": spaces.MultiDiscrete([4, 3]),
    "multi-binary": spaces.MultiBinary(3),
}


@pytest.mark.parametrize("kind", MASKED_SPACES)
def test_masks_equal_those_of_dummy_vec_env_at_every_step(kind):
    """Masks describe the observation that was returned, also after an autoreset."""
    env_fns = [functools.partial(Masked, MASKED_SPACES[kind], shift) for shift in range(3)]
    hosted, dummy = HostedVecEnv(env_fns, num_workers=2), DummyVecEnv(env_fns)
    for venv in (hosted, dummy):
        assert venv.has_attr("action_masks")
        venv.seed(1)
        venv.reset()
    for step in range(20):
        found = np.stack(hosted.env_method("action_masks"))
        expected = [np.concatenate(mask) for mask in dummy.env_method("action_masks")]
        assert_same(found, np.stack(expected), f"the masks after {step} steps")
        assert_same(found[[2, 0]], np.stack(hosted.env_method("action_masks", indices=[-1, 0])))
        actions = legal_actions(found, hosted.action_space)
        dones = [venv.step(actions)[2].tolist() for venv in (hosted, dummy)]
        assert dones[0] == dones[1]
    hosted.close()


def legal_actions(masks, space):
    """The last legal choice of every branch."""
    sizes = {
        spaces.Discrete: lambda: [space.n],
        spaces.MultiDiscrete: lambda: space.nvec.tolist(),
        spaces.MultiBinary: lambda: [2] * space.n,
    }[type(space)]()
    branches = np.split(masks, np.cumsum(sizes)[:-1], axis=1)
    choices = [part.shape[1] - 1 - part[:, ::-1].argmax(axis=1) for part in branches]
    return choices[0] if isinstance(space, spaces.Discrete) else np.stack(choices, axis=1)


def test_masks_need_no_message_once_they_travel():
    """After the first question, masks and whether there are any cost no call to a worker."""
    venv = HostedVecEnv([Masked] * 4, num_workers=2)
    venv.reset()
    assert venv.has_attr("action_masks")
    venv.env_method("action_masks")
    asked = venv.get_attr("asked")
    with no_calls(venv.pool):
        for _ in range(6):
            masks = venv.env_method("action_masks")
            assert venv.has_attr("action_masks")
            venv.step(np.stack(masks).argmax(axis=1))
    more = np.subtract(venv.get_attr("asked"), asked)
    assert more.tolist() == [6] * 4, "an environment is asked for one mask per observation"
    venv.close()


def test_masks_of_nobody_interested_are_never_computed():
    """As long as nobody asks for masks, environments are not asked either."""
    venv = HostedVecEnv([Masked] * 2)
    venv.reset()
    venv.step(np.zeros(2, np.int64))
    assert venv.get_attr("asked") == [0, 0]
    venv.close()


def test_masks_are_read_anew_after_attributes_and_methods():
    """What set_attr or env_method changed shows in the masks at once."""
    venv = HostedVecEnv([Masked] * 2)
    venv.reset()
    assert venv.env_method("action_masks")[0].tolist() == [True, False, True, False]
    venv.set_attr("shift", 1)
    assert venv.env_method("action_masks")[0].tolist() == [False, True, False, True]
    venv.env_method("set_shift", 2, indices=1)
    first, second = venv.env_method("action_masks")
    assert first.tolist() == [False, True, False, True]
    assert second.tolist() == [True, False, True, False]
    venv.close()


def test_masks_of_wrong_width_are_refused():
    """A mask that does not fit the action space is an error that says both sizes."""

    class TooNarrow(Masked):
        def action_masks(self):
            return [True]

    venv = HostedVecEnv([TooNarrow])
    venv.reset()
    with pytest.raises(SimulatorError, match="1 entries: expected 4") as caught:
        venv.env_method("action_masks")
    assert isinstance(caught.value.__cause__, ContractError)
    venv.close()


# --- what goes wrong ------------------------------------------------------------------------------


def test_exception_at_the_start_names_the_environment_and_leaves_nothing():
    """An environment that cannot be made ends the start; the exception itself is the cause."""
    with pytest.raises(StartupError, match=r"Simulator server 1 .*broken in init") as caught:
        HostedVecEnv([Walk, functools.partial(Failing, "init")], num_workers=2)
    assert "hosted_envs.py" in caught.value.worker_traceback
    assert isinstance(caught.value.__cause__, Broken)
    assert caught.value.__cause__.args == ("broken in init", 42)


@pytest.mark.parametrize("where", ["reset", "step"])
def test_exception_while_running_reaches_the_caller_with_its_traceback(where):
    """Server, traceback and cause are in the error; all workers end; the environment is closed."""
    venv = HostedVecEnv([Walk, functools.partial(Failing, where)], num_workers=2)

    def run():
        venv.reset()
        for _ in range(3):
            venv.step(np.zeros(2, np.int64))

    with pytest.raises(SimulatorError, match=f"broken in {where}") as caught:
        run()
    assert caught.value.server == 1
    assert f'self.fail("{where}")' in caught.value.worker_traceback
    assert isinstance(caught.value.__cause__, Broken)
    with pytest.raises(ClosedError, match="server failed"):
        venv.reset()
    venv.close()


def test_exception_in_a_method_leaves_the_environments_usable():
    """A failing method is an error of that call alone."""
    venv = HostedVecEnv([functools.partial(Failing, "render")])
    venv.reset()
    with pytest.raises(SimulatorError, match="broken in render") as caught:
        venv.env_method("fail", "render")
    assert isinstance(caught.value.__cause__, Broken)
    venv.step(np.array([0]))
    venv.close()


def test_hanging_environment_meets_its_deadline():
    """`step_timeout` ends a step that never ends."""

    class Hanging(Walk):
        def step(self, action):
            import time

            time.sleep(3600)

    venv = HostedVecEnv([Walk, Hanging], num_workers=2, step_timeout=0.2)
    venv.reset()
    with pytest.raises(ServerTimeoutError, match="step_timeout"):
        venv.step(np.zeros(2, np.int64))


def test_spaces_without_a_fixed_size_are_refused_by_name():
    """The message names the leaf, and nothing stays behind."""
    with pytest.raises(SpaceError, match=re.escape("'ear.heard'")):
        HostedVecEnv([Speechless] * 2)


def test_unequal_spaces_are_refused():
    """Environments of different spaces are refused, in one worker and across workers."""
    with pytest.raises(StartupError, match=r"Environment 1 has another observation_space"):
        HostedVecEnv([Walk, DiscreteWalk], num_workers=1)
    with pytest.raises(ContractError, match="Server 1"):
        HostedVecEnv([Walk, DiscreteWalk], num_workers=2)


def test_unequal_render_modes_are_refused_and_leave_nothing():
    """What SB3's own base class refuses ends the workers, too."""
    with pytest.raises(AssertionError, match="render_mode"):
        HostedVecEnv([Walk, functools.partial(Walk, render_mode="rgb_array")])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"env_fns": []}, "env_fns is empty"),
        ({"env_fns": [Walk], "num_workers": 0}, "num_workers is 0"),
        ({"env_fns": [Walk], "start_method": "spoon"}, "spoon"),
    ],
)
def test_bad_arguments_are_refused_before_anything_starts(arguments, message):
    """Bad arguments are a ConfigError."""
    with pytest.raises(ConfigError, match=message):
        HostedVecEnv(**arguments)


def test_what_is_no_gymnasium_environment_is_refused():
    """A function that returns something else says so."""
    with pytest.raises(StartupError, match=r"expected a gymnasium\.Env"):
        HostedVecEnv([dict])


def test_one_environment_for_all_is_refused():
    """Functions that return one and the same environment are found out."""
    env = Walk()
    with pytest.raises(StartupError, match="one and the same environment"):
        HostedVecEnv([lambda: env] * 4, num_workers=2)


def test_observation_of_another_shape_is_refused():
    """An observation that NumPy would stretch to fit names the leaf and both shapes."""

    class Stretched(DictWalk):
        def observe(self):
            return {**super().observe(), "pose": np.zeros(1, np.float32)}

    venv = HostedVecEnv([Stretched])
    with pytest.raises(SimulatorError, match=r"leaf 'pose'.*shape \(1,\).*\(2,\)"):
        venv.reset()


# --- where environments come from -----------------------------------------------------------------


def test_lambdas_closures_and_local_classes_can_be_hosted():
    """Whatever is defined where it is used travels to the workers."""
    offset = 100.0

    class Local(Walk):
        def observe(self):
            return np.full(3, offset + self.steps)

        def step_info(self):
            return {"self": type(self).__name__, "function": lambda: offset, "note": Note("here")}

    venv = HostedVecEnv([lambda: Local(), Local, functools.partial(Local)])
    assert venv.reset().tolist() == [[100.0] * 3] * 3
    observations, _, _, infos = venv.step(np.zeros(3, np.int64))
    assert observations.tolist() == [[101.0] * 3] * 3
    assert infos[0]["self"] == "Local"
    assert infos[1]["function"]() == offset
    assert infos[2]["note"] == Note("here")
    venv.close()


def test_script_needs_no_main_guard(mark, tmp_path):
    """Environments, infos, exceptions and arguments of classes of a script work without a guard."""
    output = output_of_script(
        """
        import gymnasium, numpy as np
        from gym_multisim.envs.sb3 import HostedVecEnv

        print("script begins")
        WORD = "hello"

        class Thing:
            def __init__(self, word):
                self.word = word

        class Unhappy(Exception):
            pass

        class Wrapper(gymnasium.Wrapper):
            pass

        class Env(gymnasium.Env):
            observation_space = gymnasium.spaces.Box(0.0, 9.0, (1,))
            action_space = gymnasium.spaces.Discrete(2)

            def reset(self, *, seed=None, options=None):
                print("an environment speaks")
                return np.zeros(1, np.float32), {"thing": Thing(WORD)}

            def step(self, action):
                if action == 1:
                    raise Unhappy("no ones, please")
                return np.ones(1, np.float32), 1.0, False, False, {"thing": Thing("step")}

            def takes(self, thing):
                return isinstance(thing, Thing) and thing.word

        venv = HostedVecEnv([lambda: Wrapper(Env()) for _ in range(2)], num_workers=2)
        venv.reset()
        assert [type(info["thing"]) for info in venv.reset_infos] == [Thing, Thing]
        infos = venv.step(np.zeros(2, int))[3]
        assert isinstance(infos[1]["thing"], Thing) and infos[1]["thing"].word == "step"
        assert venv.env_method("takes", Thing("argument")) == ["argument"] * 2
        assert venv.env_is_wrapped(Wrapper) == [True, True]
        try:
            venv.step(np.ones(2, int))
        except Exception as error:
            assert isinstance(error.__cause__, Unhappy), repr(error)
            print("caught")
        venv.close()
        """,
        tmp_path,
        mark,
    )
    lines = output.splitlines()
    assert lines.count("script begins") == 1
    assert output.count("an environment speaks") == 2
    assert lines[-1] == "caught"
