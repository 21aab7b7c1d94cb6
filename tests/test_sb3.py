"""make_vec_env and MultiSimVecEnv: what stable-baselines3 and sb3-contrib rely on."""

import functools

import numpy as np
import pytest
import torch
from equality import assert_same
from hosted_envs import DictWalk, Masked, short
from processes import wait_all_gone
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.evaluation import evaluate_policy as evaluate_maskable
from sb3_contrib.common.maskable.utils import get_action_masks, is_masking_supported
from small_simulators import Choices, Frames, Turns, no_calls
from stable_baselines3 import A2C, DQN, PPO, SAC
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import (
    VecCheckNan,
    VecFrameStack,
    VecMonitor,
    VecNormalize,
    VecTransposeImage,
)

from gym_multisim.envs.copies import Copier, TreeCopier
from gym_multisim.envs.sb3 import HostedVecEnv, MultiSimVecEnv, make_vec_env
from gym_multisim.errors import (
    ActionError,
    ClosedError,
    ConfigError,
    SimulatorError,
    StartupError,
    UsageError,
)
from gym_multisim.pool.pool import SimulatorPool
from gym_multisim.testing.fakes import Counting, TwoGroups

BACKENDS = ("inline", "process")


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Small networks learn fastest on one thread, above all beside worker processes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _no_process_left(mark):
    """Every process that a test started ends with it."""
    yield
    wait_all_gone(mark)


def counting(servers=1, arenas=1, backend="inline", seed=0, **options):
    """A VecEnv of `Counting`; what are no options of the pool are the simulator's."""
    own = {k: options.pop(k) for k in list(options) if k.startswith("invalid_action")}
    return make_vec_env(
        Counting,
        servers=servers,
        arenas_per_server=arenas,
        backend=backend,
        seed=seed,
        simulator_options=options,
        **own,
    )


def learned(model, steps):
    """The model after some steps; logs to nowhere."""
    model.set_logger(Logger(None, []))
    return model.learn(steps)


# --- resets ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_seed_decides_all_episodes(backend):
    """Equal seeds give equal runs, by argument or by `seed()`; another seed gives another."""
    runs = []
    for first_seed, second_seed in ((5, None), (None, 5), (6, None)):
        venv = make_vec_env(
            "treasure_hunt",
            servers=2,
            arenas_per_server=2,
            seed=first_seed,
            backend=backend,
            invalid_action="resample",
            simulator_options={"turns": 6},
        )
        if second_seed is not None:
            venv.seed(second_seed)
        run = [venv.reset()]
        for step in range(15):
            observations, rewards, dones, infos = venv.step(np.arange(8) * step % 4)
            executed = [info.get("executed_action") for info in infos]
            run.append([observations, rewards, dones, executed])
        runs.append(run)
        venv.close()
    assert_same(runs[1], runs[0])
    assert not np.array_equal(runs[2][0], runs[0][0])


def test_seed_is_used_once():
    """After a seeded reset, the next reset goes on to other episodes."""
    venv = counting(arenas=2)
    venv.seed(9)
    first = venv.reset()
    assert not np.array_equal(venv.reset()[:, 0], first[:, 0])
    venv.seed(9)
    assert_same(venv.reset(), first)
    venv.close()


def test_reset_infos_come_from_the_last_reset_of_each_row():
    """They are of this reset or autoreset alone, and nothing else is shared between rows."""
    venv = make_vec_env(
        "gymnasium",
        arenas_per_server=2,
        backend="inline",
        seed=0,
        simulator_options={"env": DictWalk},
    )
    venv.reset()
    assert [set(info) for info in venv.reset_infos] == [{"begun", "note", "where"}] * 2
    venv.reset_infos[0]["mine"] = True
    before = list(venv.reset_infos)
    dones = np.zeros(2, bool)
    while not dones.any():
        dones = venv.step(np.zeros(2, np.int64))[2]
    for row in range(2):
        assert (venv.reset_infos[row] is before[row]) == (not dones[row])
    venv.close()
    venv = counting(arenas=2)
    venv.reset()
    assert venv.reset_infos == [{}, {}]
    assert venv.reset_infos[0] is not venv.reset_infos[1]
    venv.close()


def test_reset_options_reach_the_arenas():
    """Options go to the environments they were set for, once."""
    venv = make_vec_env(
        "gymnasium", arenas_per_server=2, backend="inline", simulator_options={"env": DictWalk}
    )
    venv.set_options([{"level": 1}, {}])
    venv.reset()
    envs = venv.pool.call("__getattribute__", "_envs")[0]
    assert [env.options for env in envs] == [{"level": 1}, None]
    venv.reset()
    assert [env.options for env in envs] == [None, None]
    venv.close()


def test_simulator_without_options_says_so():
    """Options for a simulator that takes none are an error that says what to do."""
    venv = counting()
    venv.set_options({"level": 1})
    with pytest.raises(SimulatorError, match="Leave `options` out"):
        venv.reset()
    venv.close()


# --- steps ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_infos_are_fresh_mutable_dicts_in_a_list(backend):
    """What a caller writes into infos is not there a step later."""
    venv = counting(2, 2, backend)
    venv.reset()
    infos = venv.step(np.zeros(4, np.int64))[3]
    assert isinstance(infos, list)
    assert infos[1:3] == [{"TimeLimit.truncated": False}] * 2
    for info in infos:
        info["mine"] = 1
    again = venv.step(np.zeros(4, np.int64))[3]
    assert again is not infos
    assert all("mine" not in info for info in again)
    venv.close()


@pytest.mark.parametrize("truncates", [False, True])
def test_endings_are_told_once_and_exactly(truncates):
    """On done: the last observation, how it ended and the statistics; none of it a step later."""
    venv = counting(arenas=2, episode_length=3, truncates=truncates)
    first = venv.reset()
    for _ in range(2):
        _, _, dones, infos = venv.step(np.array([1, 2]))
        assert not dones.any()
        assert infos == [{"TimeLimit.truncated": False}] * 2
    observations, rewards, dones, infos = venv.step(np.array([1, 2]))
    assert dones.tolist() == [True, True]
    assert rewards.tolist() == [1.0, 2.0]
    assert observations[:, 1].tolist() == [0.0, 0.0]
    assert not np.array_equal(observations[:, 0], first[:, 0])
    for row, info in enumerate(infos):
        assert info["TimeLimit.truncated"] is truncates
        assert info["terminal_observation"].tolist() == [first[row, 0], 3, 0, 3 * (row + 1)]
        assert info["episode"].pop("t") >= 0
        assert info["episode"] == {"r": 3.0 * (row + 1), "l": 3, "sum": 3.0 * (row + 1)}
    last = [info["terminal_observation"].copy() for info in infos]
    infos[0]["terminal_observation"][:] = -1  # as VecNormalize does
    assert_same(infos[1]["terminal_observation"], last[1])
    for _ in range(3):
        again = venv.step(np.array([1, 2]))[3]
        assert_same(infos[1]["terminal_observation"], last[1])
    assert_same(again[0]["terminal_observation"][1:], last[0][1:])
    venv.close()


def test_rows_that_die_early_or_are_born_late_have_a_done_at_the_boundary():
    """Only real endings have `episode`; a boundary is a done that is not bootstrapped."""
    venv = counting(agents=3, episode_length=4, early_deaths={1: 2}, late_births={2: 2})
    venv.reset()
    told = []
    for _ in range(8):
        _, rewards, dones, infos = venv.step(np.ones(3, np.int64))
        told.append(["-dE"[int(d) + ("episode" in i)] for d, i in zip(dones, infos, strict=True)])
        assert not any(info["TimeLimit.truncated"] for info in infos)
        assert all(("terminal_observation" in i) == d for d, i in zip(dones, infos, strict=True))
    assert ["".join(row) for row in told] == ["---", "-Ed", "---", "EdE"] * 2
    assert rewards.tolist() == [1.0, 0.0, 1.02]
    assert infos[2]["episode"]["l"] == 2
    venv.close()


def test_rewards_and_dones_belong_to_the_caller():
    """Both are writable copies: writing to them, or a later step, does not touch another's."""
    venv = counting(arenas=2, episode_length=2)
    venv.reset()
    _, rewards, dones, _ = venv.step(np.array([1, 2]))
    kept = rewards.copy(), dones.copy()
    venv.step(np.array([0, 0]))
    assert_same((rewards, dones), kept)
    rewards += 5.0
    dones[:] = True
    _, rewards, dones, _ = venv.step(np.array([1, 1]))
    assert rewards.tolist() == [1.0, 1.0]
    assert rewards.dtype == np.float64
    assert dones.tolist() == [False, False]
    venv.close()


@pytest.mark.parametrize("shape", [(4,), (256, 256)], ids=["small", "large"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_observations_stay_what_they_were(shape, backend):
    """Batches, views, slices and tensors of them hold their values for ever."""
    venv = make_vec_env(
        Frames, arenas_per_server=2, backend=backend, simulator_options={"shape": shape}
    )
    holds = (
        lambda batch: batch,
        lambda batch: batch[1:],
        lambda batch: batch[0, ..., :1],
        lambda batch: torch.as_tensor(batch),
        lambda batch: torch.as_tensor(batch)[1].reshape(-1)[:5],
        lambda batch: memoryview(batch),
        lambda batch: batch.reshape(-1).T[::7],
        lambda batch: {"deep": [batch.view()]},
    )
    kept = [(0, venv.reset())]
    for step in range(1, 40):
        observations = venv.step(np.zeros(2, np.int64))[0]
        kept.append((step, holds[step % len(holds)](observations)))
        del observations
    for step, held in kept:
        values = held["deep"][0] if isinstance(held, dict) else held
        assert np.unique(np.asarray(values)).tolist() == [step]
    venv.close()


def test_memory_of_observations_is_reused_when_nobody_holds_them():
    """A learner that keeps two batches at a time makes no new memory."""
    copier = Copier()
    source = np.zeros((300, 300))
    seen = set()
    last = before = None
    for step in range(20):
        source[:] = step
        last, before = copier.copy(source), last
        seen.add(last.ctypes.data)
        if before is not None:
            assert before[0, 0] == step - 1
    assert len(seen) <= 3


def test_observation_trees_are_copied_leaf_by_leaf():
    """A held leaf of a Dict keeps its value while others are reused."""
    tree = {"a": np.zeros((200, 200)), "b": (np.zeros((200, 200)),)}
    copier = TreeCopier(tree)
    leaf = copier.copy(tree)["b"][0]
    for _ in range(10):
        tree["b"][0][:] += 1
        copier.copy(tree)
    assert not leaf.any()


def test_dict_observations_are_arrays_by_key():
    """Dict spaces come as one array per key, and `terminal_observation` as one value per key."""
    venv = make_vec_env(Choices, arenas_per_server=3, backend="inline")
    observations = venv.reset()
    assert observations["steps"].shape == (3, 2)
    assert observations["turn"].tolist() == [0, 0, 0]
    for _ in range(5):
        masks = np.stack(venv.env_method("action_masks"))
        actions = np.stack([masks[:, :3].argmax(1), masks[:, 3:].argmax(1)], axis=1)
        _, _, _, infos = venv.step(actions)
    assert infos[2]["terminal_observation"]["turn"] == 5
    assert infos[2]["terminal_observation"] in venv.observation_space
    venv.close()


# --- masks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_masks_cost_no_message(backend):
    """Neither masks nor the question whether there are any reaches a worker."""
    venv = counting(2, 3, backend, masked=True)
    venv.reset()
    with no_calls(venv.pool):
        for step in range(12):
            assert is_masking_supported(venv)
            masks = get_action_masks(venv)
            assert masks.shape == (6, 3)
            expected = np.zeros((6, 3), bool)
            expected[:, [0, step % 5 % 3]] = True
            assert_same(masks, expected)
            assert_same(np.stack(venv.env_method("action_masks", indices=[-1])), expected[:1])
            venv.step(masks.cumsum(axis=1).argmax(axis=1))
    assert [w.steps for w in venv.pool.statistics().workers] == [12, 12]
    venv.close()


def test_masks_describe_the_observation_after_an_autoreset():
    """On the step that ends an episode, masks are those of the first decision of the next."""
    venv = counting(masked=True, episode_length=2, actions=4)
    venv.reset()
    venv.step(np.array([0]))
    assert venv.action_masks().tolist() == [[True, True, False, False]]
    _, _, dones, _ = venv.step(np.array([0]))
    assert dones[0]
    assert venv.action_masks().tolist() == [[True, False, False, False]]
    assert not venv.action_masks().flags.writeable
    venv.close()


def test_every_row_always_has_a_legal_action():
    """Rows that are dead or not born allow the idle action alone."""
    venv = counting(
        arenas=2,
        agents=3,
        actions=4,
        masked=True,
        episode_length=6,
        early_deaths={1: 2},
        late_births={2: 3},
    )
    venv.reset()
    statuses = []
    for _ in range(20):
        masks = venv.action_masks().copy()
        assert masks.any(axis=1).all()
        status = venv.pool.buffers("counters").status.copy()
        statuses.append(status)
        assert masks[status == 0].sum(axis=1).tolist() == [1] * int((status == 0).sum())
        assert masks[status == 0][:, 0].all()
        venv.step(np.zeros(6, np.int64))
    assert set(np.concatenate(statuses).tolist()) == {0, 1}
    venv.close()


def test_masks_of_an_unmasked_group_are_refused():
    """`has_attr` says no, and asking anyway is an error."""
    venv = counting()
    venv.reset()
    assert not venv.has_attr("action_masks")
    assert not is_masking_supported(venv)
    for call in (venv.action_masks, lambda: venv.env_method("action_masks")):
        with pytest.raises(UsageError, match="no action masks"):
            call()
    venv.close()


def test_forbidden_action_names_its_row_and_steps_nothing():
    """Under `error`, a forbidden action is refused as a whole batch; a legal one then goes on."""
    venv = counting(arenas=2, agents=2, masked=True)
    venv.reset()
    with pytest.raises(ActionError, match=r"row 3 \(arena 1, agent 'counter_1'"):
        venv.step(np.array([0, 0, 0, 2]))
    observations, *_ = venv.step(np.zeros(4, np.int64))
    assert observations[:, 1].tolist() == [1.0] * 4
    venv.close()


# --- what SB3 asks of single environments ---------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_attributes_are_those_of_each_rows_simulator(backend):
    """`get_attr` reads from the simulator of each row; unknown ones are an AttributeError."""
    venv = counting(2, 2, backend, agents=2)
    assert venv.get_attr("is_closed") == [False] * 8
    assert venv.get_attr("_server", indices=[0, 3, 4, -1]) == [0, 0, 1, 1]
    assert venv.has_attr("is_closed")
    assert not venv.has_attr("colour")
    with pytest.raises(AttributeError, match="colour"):
        venv.get_attr("colour")
    with pytest.raises(ConfigError, match="indices"):
        venv.get_attr("is_closed", indices=8)
    masked = counting(masked=True)
    masked.reset()
    assert masked.get_attr("action_masks")[0]().tolist() == [True, False, False]
    masked.close()
    venv.close()


def test_rows_have_no_attributes_or_methods_of_their_own():
    """`set_attr` and `env_method` say what to use instead."""
    venv = counting()
    with pytest.raises(UsageError, match="simulator_options"):
        venv.set_attr("speed", 2)
    with pytest.raises(UsageError, match=r"pool\.call"):
        venv.env_method("jump")
    venv.close()


def test_rows_count_as_monitored():
    """Rows report `episode`, so SB3 need not wrap them; no other wrapper is there."""
    venv = counting(arenas=3)
    assert venv.env_is_wrapped(Monitor) == [True] * 3
    assert venv.env_is_wrapped(Monitor, indices=[0]) == [True]
    assert venv.env_is_wrapped(VecMonitor) == [False] * 3
    venv.close()


@pytest.mark.parametrize("backend", BACKENDS)
def test_pictures_are_one_per_arena(backend):
    """`get_images` returns the arenas, and `render` one picture of all."""
    venv = counting(2, 2, backend, agents=2)
    venv.reset()
    venv.step(np.zeros(8, np.int64))
    assert venv.render_mode == "rgb_array"
    images = venv.get_images()
    assert [image.shape for image in images] == [(8, 8, 3)] * 4
    assert all((image == 1).all() for image in images)
    assert venv.render().shape == (16, 16, 3)
    venv.close()


def test_environment_that_does_not_draw_says_how_to():
    """The simulator `gymnasium` draws if its environments do; else the error says what to do."""
    for options in ({}, {"env_options": {"render_mode": "rgb_array"}}):
        venv = make_vec_env(
            "gymnasium", backend="inline", simulator_options={"env": DictWalk, **options}
        )
        venv.reset()
        if options:
            assert venv.render().shape == (4, 6, 3)
        else:
            venv.pool.call("__getattribute__", "_envs")[0][0].render = lambda: None
            with pytest.raises(SimulatorError, match="'render_mode': 'rgb_array'"):
                venv.render()
        venv.close()


def test_simulator_that_cannot_draw_has_no_render_mode():
    """Without pictures, `render_mode` is None and `render` warns, as in SB3."""
    venv = make_vec_env(Frames, backend="inline", simulator_options={"shape": (2,)})
    assert venv.render_mode is None
    with pytest.warns(UserWarning, match="render"):
        assert venv.render() is None
    venv.close()


# --- groups ---------------------------------------------------------------------------------------


def two_groups(**options):
    """A VecEnv of one group of `TwoGroups`."""
    return make_vec_env(TwoGroups, arenas_per_server=2, backend="inline", seed=0, **options)


def test_one_group_is_shown_and_the_other_plays_at_random():
    """Rows, spaces and masks are the shown group's; `others="random"` plays the rest."""
    venv = two_groups(group="hunters", others="random")
    assert venv.num_envs == 4
    observations = venv.reset()
    assert observations["camera"].shape == (4, 2, 3)
    sums = []
    for _ in range(4):
        masks = venv.action_masks()
        actions = np.stack([masks[:, :3].argmax(1), masks[:, 3:].argmax(1)], axis=1)
        _, rewards, dones, _ = venv.step(actions)
        assert rewards.tolist() == (actions @ [10, 1]).tolist()
        sums.append(venv.pool.buffers("prey").reward.copy())
    assert dones.all()
    assert len(np.unique(sums)) == 24, "every prey moves by its own random numbers"
    venv.close()


def test_a_policy_or_a_mapping_plays_the_others():
    """A policy sees observations and masks of all rows of its group, and its actions are taken."""
    seen = []

    def hunt(observation, mask):
        seen.append((observation["camera"].shape, mask.shape))
        return np.stack([mask[:, :3].argmax(1), np.full(len(mask), 3)], axis=1)

    for others in (hunt, {"hunters": hunt}):
        venv = two_groups(group="prey", others=others)
        assert venv.num_envs == 6
        venv.reset()
        _, rewards, _, _ = venv.step(np.full((6, 2), 0.25, np.float32))
        assert rewards.tolist() == [0.5] * 6
        assert venv.pool.buffers("hunters").reward.tolist() == [13.0] * 4
        venv.close()
    assert seen == [((4, 2, 3), (4, 7))] * 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "'hunters', 'prey'"),
        ({"group": "hunter"}, "hunters"),
        ({"group": "hunters"}, "Who plays the agent group 'prey'"),
        ({"group": "hunters", "others": {"pray": "random"}}, "misses the agent group 'prey'"),
        ({"group": "hunters", "others": "greedy"}, "'greedy'"),
        ({"group": "hunters", "others": {"prey": 3}}, "expected 'random' or a policy"),
    ],
)
def test_who_plays_must_be_said(options, message):
    """Without an answer to who is shown and who plays the rest, nothing starts."""
    with pytest.raises(ConfigError, match=message):
        two_groups(**options)


def test_step_before_reset_with_others_is_refused():
    """The message is the pool's own: reset first."""
    venv = two_groups(group="prey", others="random")
    with pytest.raises(UsageError, match="reset"):
        venv.step(np.zeros((6, 2), np.float32))
    venv.close()


# --- life -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_closed_environment_says_so(backend):
    """Closing twice is harmless; anything else says that it was closed."""
    venv = counting(backend=backend, masked=True)
    venv.reset()
    venv.close()
    venv.close()
    for call in (
        venv.reset,
        lambda: venv.step(np.array([0])),
        lambda: venv.get_attr("is_closed"),
        lambda: venv.env_method("action_masks"),
        venv.render,
    ):
        with pytest.raises(ClosedError):
            call()


def test_pending_step_refuses_another_and_masks():
    """Between step_async and step_wait, rows belong to the workers."""
    venv = counting(backend="process", masked=True)
    venv.reset()
    venv.step_async(np.array([0]))
    for call in (
        lambda: venv.step_async(np.array([0])),
        lambda: venv.env_method("action_masks"),
        lambda: venv.get_attr("is_closed"),
        venv.reset,
    ):
        with pytest.raises(UsageError, match=r"pending|stepping"):
            call()
    assert venv.step_wait()[0][0, 1] == 1.0
    venv.close()


def test_failed_start_and_bad_settings_leave_nothing(mark):
    """Errors at the start say what is wrong and end what was started."""
    with pytest.raises(StartupError, match="cannot open"):
        counting(2, 1, "process", fault="open", fault_server=1)
    with pytest.raises(ConfigError, match="expects 'same_step'"):
        make_vec_env(Counting, autoreset="next_step")
    with pytest.raises(ConfigError, match="autoreset"):
        make_vec_env(Counting, autoreset="sometimes")
    with pytest.raises(ConfigError, match="treasure_hunt"):
        make_vec_env("treasure_hunts")
    pool = SimulatorPool(TwoGroups, backend="process")
    pool.start()
    with pytest.raises(ConfigError):
        MultiSimVecEnv(pool)
    assert pool.is_closed
    wait_all_gone(mark)


# --- wrappers -------------------------------------------------------------------------------------


def test_vec_normalize_rewrites_its_own_copies():
    """Normalised observations and terminal observations do not reach back into ours."""
    venv = counting(arenas=2, episode_length=3)
    wrapped = VecNormalize(venv)
    wrapped.reset()
    for _ in range(3):
        _, _, dones, infos = wrapped.step(np.array([1, 2]))
    assert dones.all()
    assert np.abs(infos[1]["terminal_observation"]).max() <= 10
    assert venv.pool.buffers("counters").final_observation[:, 3].tolist() == [3.0, 6.0]
    assert wrapped.get_original_obs()[:, 1].tolist() == [0.0, 0.0]
    wrapped.close()


def test_other_wrappers_of_sb3_work_on_top():
    """VecFrameStack, VecCheckNan, VecTransposeImage and VecMonitor."""
    stacked = VecFrameStack(counting(episode_length=3), 2)
    stacked.reset()
    for step in range(1, 3):
        observations = stacked.step(np.array([1]))[0]
        assert observations[0, [1, 5]].tolist() == [step - 1, step]
    _, _, _, infos = stacked.step(np.array([1]))
    assert infos[0]["terminal_observation"][[1, 5]].tolist() == [2, 3]
    stacked.close()

    checked = VecCheckNan(counting(fault="nan", fault_step=2), raise_exception=True)
    checked.reset()
    checked.step(np.array([0]))
    with pytest.raises(ValueError, match="nan"):
        checked.step(np.array([0]))
    checked.close()

    pictures = make_vec_env(Frames, backend="inline", simulator_options={"shape": (40, 36, 3)})
    transposed = VecTransposeImage(pictures)
    assert transposed.reset().shape == (1, 3, 40, 36)
    transposed.close()

    with pytest.warns(UserWarning, match="already wrapped with a `Monitor`"):
        monitored = VecMonitor(counting(episode_length=3))
    monitored.reset()
    for _ in range(3):
        infos = monitored.step(np.array([2]))[3]
    assert infos[0]["episode"]["r"] == 6
    monitored.close()


# --- learning -------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_ppo_learns_and_logs_episodes_without_monitor(backend):
    """The logger's episode statistics are those of the simulator."""
    venv = counting(2, 2, backend, actions=2)
    model = learned(PPO("MlpPolicy", venv, n_steps=32, batch_size=64, n_epochs=1, seed=0), 256)
    assert {episode["l"] for episode in model.ep_info_buffer} == {5}
    assert all(episode["r"] == episode["sum"] for episode in model.ep_info_buffer)
    venv.close()


@pytest.mark.parametrize("policy", ["penalize", "resample"])
def test_ppo_learns_on_masked_rows_with_actions_replaced(policy):
    """Replaced actions are in the infos and counted; `penalize` costs reward."""
    venv = counting(
        2, 2, actions=6, masked=True, invalid_action=policy, invalid_action_penalty=-3.0
    )
    learned(PPO("MlpPolicy", venv, n_steps=8, batch_size=16, n_epochs=1, seed=0), 64)
    counted = venv.pool.statistics().invalid_actions
    assert counted > 20
    venv.reset()
    _, rewards, _, infos = venv.step(np.array([0, 5, 5, 0]))
    assert ["executed_action" in info for info in infos] == [False, True, True, False]
    assert infos[1]["executed_action"] == 0
    assert rewards.tolist() == [0.0, *[-3.0 if policy == "penalize" else 0.0] * 2, 0.0]
    assert venv.pool.statistics().invalid_actions == counted + 2
    venv.close()


@pytest.mark.parametrize(
    ("algorithm", "options"),
    [(A2C, {"n_steps": 8}), (DQN, {"learning_starts": 16, "buffer_size": 200})],
    ids=["A2C", "DQN"],
)
def test_other_algorithms_learn(algorithm, options):
    """On-policy and off-policy algorithms of SB3 take it as it is."""
    venv = counting(arenas=4)
    learned(algorithm("MlpPolicy", venv, seed=0, **options), 96)
    venv.close()


def test_sac_learns_on_a_box_group():
    """Continuous actions work, with another group played at random."""
    venv = make_vec_env(
        TwoGroups,
        backend="inline",
        group="prey",
        others="random",
        simulator_options={"episode_length": 6},
    )
    venv = VecNormalize(VecReshape(venv))
    learned(SAC("MlpPolicy", venv, learning_starts=12, buffer_size=100, seed=0), 36)
    venv.close()


def VecReshape(venv):
    """SB3 takes no scalar observations: stack them into a frame of one."""
    from gymnasium import spaces
    from stable_baselines3.common.vec_env import VecEnvWrapper

    class Reshaped(VecEnvWrapper):
        def reset(self):
            return self.venv.reset()[:, None]

        def step_wait(self):
            observations, rewards, dones, infos = self.venv.step_wait()
            for info in infos:
                if "terminal_observation" in info:
                    info["terminal_observation"] = info["terminal_observation"][None]
            return observations[:, None], rewards, dones, infos

    return Reshaped(venv, observation_space=spaces.Box(-2, 2, (1,)))


@pytest.mark.parametrize("kind", ["discrete", "multi_discrete", "multi_binary"])
def test_maskable_ppo_takes_only_legal_actions(kind):
    """For every discrete action space, with Dict observations and the default `error`."""
    venv = make_vec_env(
        Choices,
        servers=2,
        arenas_per_server=2,
        backend="inline",
        simulator_options={"kind": kind},
    )
    model = MaskablePPO("MultiInputPolicy", venv, n_steps=16, batch_size=32, n_epochs=1, seed=0)
    learned(model, 128)
    returns, lengths = evaluate_maskable(
        model, venv, n_eval_episodes=4, return_episode_rewards=True
    )
    assert lengths == [5] * 4
    assert min(returns) >= 0
    venv.close()


def test_maskable_ppo_learns_on_treasure_hunt_in_processes():
    """The library's own world, in worker processes, with early deaths on another simulator."""
    venv = make_vec_env(
        "treasure_hunt", servers=2, arenas_per_server=2, seed=1, simulator_options={"turns": 10}
    )
    model = MaskablePPO("MlpPolicy", venv, n_steps=16, batch_size=64, n_epochs=1, seed=0)
    learned(model, 256)
    assert {episode["l"] for episode in model.ep_info_buffer} == {10}
    venv.close()
    venv = counting(arenas=3, agents=3, masked=True, early_deaths={1: 2}, late_births={2: 3})
    learned(MaskablePPO("MlpPolicy", venv, n_steps=16, batch_size=48, n_epochs=1), 144)
    venv.close()


def test_rows_that_wait_may_be_learned_on():
    """A game of turns: rows that wait have the idle action alone."""
    venv = make_vec_env(Turns, arenas_per_server=2, backend="inline")
    learned(MaskablePPO("MlpPolicy", venv, n_steps=8, batch_size=16, n_epochs=1), 64)
    venv.close()


def test_maskable_ppo_learns_on_hosted_environments():
    """MaskablePPO takes only legal actions in hosted environments, too."""
    venv = HostedVecEnv([Masked] * 3, num_workers=2)
    model = MaskablePPO("MlpPolicy", venv, n_steps=16, batch_size=24, n_epochs=1, seed=0)
    learned(model, 96)  # an illegal action would fail in the environment
    assert len(model.ep_info_buffer) > 0
    venv.close()


def test_ppo_learns_on_hosted_environments_with_wrappers():
    """MultiInputPolicy, and VecNormalize and VecFrameStack on top."""
    venv = HostedVecEnv([DictWalk] * 2)
    learned(PPO("MultiInputPolicy", venv, n_steps=16, batch_size=16, n_epochs=1), 64)
    venv.close()
    venv = HostedVecEnv([functools.partial(short, "Pendulum-v1")] * 2)
    venv = VecFrameStack(VecNormalize(venv), 2)
    learned(PPO("MlpPolicy", venv, n_steps=16, batch_size=16, n_epochs=1), 64)
    venv.close()


def test_evaluate_policy_counts_real_episodes():
    """Boundary dones are no episodes; returns are those of the simulator, without a warning."""
    venv = counting(arenas=2, agents=2, actions=2, early_deaths={1: 2})
    model = PPO("MlpPolicy", venv, n_steps=8, batch_size=8, n_epochs=1)
    returns, lengths = evaluate_policy(model, venv, n_eval_episodes=8, return_episode_rewards=True)
    assert sorted(lengths) == [2] * 4 + [5] * 4
    assert len(returns) == 8
    venv.close()


def test_eval_callback_runs_beside_training(tmp_path):
    """Training and evaluation on two environments of this kind, without a warning."""
    train, held_out = counting(arenas=2), counting(arenas=2, seed=1)
    callback = EvalCallback(
        held_out, n_eval_episodes=4, eval_freq=16, log_path=str(tmp_path), verbose=0
    )
    model = PPO("MlpPolicy", train, n_steps=16, batch_size=16, n_epochs=1, seed=0)
    model.set_logger(Logger(None, []))
    model.learn(64, callback=callback)
    assert (tmp_path / "evaluations.npz").exists()
    train.close()
    held_out.close()
