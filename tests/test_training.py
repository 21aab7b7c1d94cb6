"""Training runs: files, comparison, intervals, and what happens when a run fails."""

import io
import itertools
import json
import math
import signal

import numpy as np
import pytest
import torch
from gymnasium import spaces
from processes import wait_until
from rich.console import Console

from gym_multisim import seeding
from gym_multisim.config import check_settings, load_config
from gym_multisim.errors import ConfigError, SimulatorError, UsageError
from gym_multisim.simulator import AgentGroup, Simulator, SimulatorSpec
from gym_multisim.training import train
from gym_multisim.training.algorithms import load_algorithm
from gym_multisim.training.curve import draw_learning_curve, smoothed
from gym_multisim.training.directory import RunDirectory
from gym_multisim.training.evaluation import (
    Evaluation,
    evaluation_seed,
    mean_interval,
    normalized_score,
    student_t,
)
from gym_multisim.training.interruption import Interruption, Stopped
from gym_multisim.training.progress import EpisodeLog, ProgressReport

FAKE = "gym_multisim.testing.fakes:Counting"


class Chase(Simulator):
    """Two groups of one agent each; a hunter earns its own action plus ten times the prey's."""

    def spec(self):
        box = spaces.Box(0.0, 1.0, (1,), np.float32)
        groups = (AgentGroup(name, (name,), box, spaces.Discrete(2)) for name in ("hunter", "prey"))
        return SimulatorSpec(tuple(groups))

    def reset(self, arenas, seeds, rows):
        for group in rows.values():
            group.observation[arenas] = 0.5

    def step(self, arenas, rows):
        hunter, prey = rows["hunter"], rows["prey"]
        hunter.reward[arenas] = hunter.action[arenas] + 10 * prey.action[arenas]
        for group in rows.values():
            group.terminated[arenas] = True


def settings(directory, **changes):
    """Return a config of a tiny run, with sections replaced."""
    return check_settings(
        {
            "simulator": {"name": "treasure_hunt", "options": {"size": 8, "turns": 10}},
            "pool": {"arenas_per_server": 3, "backend": "inline"},
            "algorithm": {
                "name": "MaskablePPO",
                "options": {"n_steps": 16, "batch_size": 48, "n_epochs": 1},
            },
            "training": {"total_timesteps": 192, "seed": 0},
            "evaluation": {"arenas_per_server": 4},
            "run": {"directory": str(directory)},
            **changes,
        }
    )


def run(config):
    """Train, and return the result and what was printed."""
    out = io.StringIO()
    return train(config, Console(file=out, width=120)), out.getvalue()


# --- a whole run --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One finished run: its result, and what it printed."""
    return run(settings(tmp_path_factory.mktemp("runs")))


def test_a_run_leaves_model_config_curve_results_and_logs(finished):
    """The folder of a run holds all that it came to, and the model can be loaded."""
    result, printed = finished
    files = {file.name for file in result.directory.iterdir()}
    assert files == {
        "model.zip",
        "config.yaml",
        "learning_curve.png",
        "results.json",
        "tensorboard",
    }
    assert load_config(result.directory / "config.yaml") == result.config
    assert load_algorithm("MaskablePPO").load(result.directory / "model.zip").num_timesteps == 192
    assert (result.directory / "learning_curve.png").read_bytes().startswith(b"\x89PNG")
    assert result.timesteps == 192
    assert str(result.directory) in printed


def test_the_comparison_has_random_greedy_and_trained(finished):
    """The table and results.json tell of three policies, over as many arenas as asked for."""
    result, printed = finished
    found = json.loads((result.directory / "results.json").read_text())
    assert [it["policy"] for it in found["policies"]] == ["random", "greedy", "trained"]
    assert all(it["arenas"] == 4 and it["episodes"] == 8 for it in found["policies"])
    assert found["score"]["mean"] == pytest.approx(result.score.value)
    assert found["stopped_by"] is None
    for words in ("random legal", "greedy (scripted)", "trained", "95% interval", "steps/s"):
        assert words in printed
    assert "(trained − random) / (greedy − random) = " in printed


def test_progress_is_told_in_lines_where_there_is_no_terminal(finished):
    """A log file gets at most a line for each tenth of the way, and no control characters."""
    _, printed = finished
    lines = [line for line in printed.splitlines() if line.startswith("learning: ")]
    assert 1 <= len(lines) <= 10
    assert "192 of 192 agent steps" in lines[-1]
    assert "\x1b" not in printed


def test_the_simulators_metrics_are_logged(finished):
    """TensorBoard shows the simulator's own figures beside the return."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(finished[0].directory / "tensorboard"))
    events.Reload()
    assert {"rollout/ep_rew_mean", "rollout/gems_mean"} <= set(events.Tags()["scalars"])


def test_a_simulator_without_scripted_agent_is_compared_with_random(tmp_path):
    """Where nothing is scripted, the table has two rows and no score."""
    config = settings(
        tmp_path,
        simulator={"name": FAKE},
        algorithm={"name": "PPO", "options": {"n_steps": 16, "batch_size": 48}},
        training={"total_timesteps": 48, "seed": 0},
        evaluation={"episodes_per_arena": 3},
    )
    result, printed = run(config)
    assert [it.policy for it in result.evaluations] == ["random", "trained"]
    assert [it.episodes for it in result.evaluations] == [9, 9]
    assert result.score is None
    assert "greedy" not in printed


def test_one_of_several_groups_learns_while_others_play(tmp_path):
    """`group` and `others` hold in training and in the evaluation."""
    config = settings(
        tmp_path,
        simulator={"name": f"{__name__}:Chase", "group": "hunter", "others": "random"},
        algorithm={"name": "PPO", "options": {"n_steps": 16, "batch_size": 48}},
        evaluation={"arenas_per_server": 50, "episodes_per_arena": 10},
    )
    result, printed = run(config)
    assert "3 arenas × 1 agent = 3 rows" in printed
    random = result.evaluations[0]
    assert random.episodes == 500
    assert random.mean.value == pytest.approx(0.5 + 10 * 0.5, abs=0.6)
    assert random.mean.low < 5.5 < random.mean.high


def test_the_evaluation_can_be_left_out(tmp_path):
    """`evaluation: null` trains and saves, no more."""
    result, _ = run(settings(tmp_path, evaluation=None))
    assert result.evaluations == ()
    assert (result.directory / "model.zip").exists()


def test_equal_seeds_give_equal_runs(tmp_path):
    """The seed fixes worlds, weights and choices, in training and evaluation."""
    first, second = (run(settings(tmp_path))[0] for _ in range(2))
    for one, other in zip(first.evaluations, second.evaluations, strict=True):
        np.testing.assert_array_equal(one.arena_means, other.arena_means)


def test_a_seed_that_was_drawn_is_kept(tmp_path):
    """Without a seed one is drawn, and the config of the run repeats it."""
    config = settings(tmp_path, training={"total_timesteps": 48}, evaluation=None)
    seeds = [run(config)[0].config.training.seed for _ in range(2)]
    assert None not in seeds
    assert seeds[0] != seeds[1]


def test_runs_get_folders_of_their_own(tmp_path):
    """A run never writes into the folder of another."""
    (tmp_path / "treasure_hunt-2").mkdir()
    paths = [RunDirectory.create(settings(tmp_path)).path.name for _ in range(2)]
    assert paths == ["treasure_hunt-1", "treasure_hunt-3"]


def test_a_file_is_whole_or_not_there(tmp_path):
    """A write that fails half-way leaves nothing, and keeps what was there before."""
    directory = RunDirectory(tmp_path)
    directory.write("model.zip", lambda path: path.write_text("good"))

    def fail(path):
        path.write_text("ba")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        directory.write("model.zip", fail)
    assert [file.name for file in tmp_path.iterdir()] == ["model.zip"]
    assert directory.model.read_text() == "good"


def test_the_number_of_torch_threads_is_given_back(tmp_path):
    """`torch_threads`, which is 1 unless asked for, holds for the run alone."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        run(settings(tmp_path, training={"total_timesteps": 48}, evaluation=None))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_logs_of_servers_are_kept_on_request(tmp_path):
    """`keep_logs` keeps one log per server in the run's folder."""
    pool = {"servers": 2, "keep_logs": True}
    training = {"total_timesteps": 64, "seed": 0}
    result, _ = run(settings(tmp_path, pool=pool, training=training, evaluation=None))
    assert len(list((result.directory / "logs").iterdir())) == 2


@pytest.mark.parametrize(
    ("name", "policy", "options"),
    [
        ("A2C", "MlpPolicy", {"n_steps": 8}),
        ("DQN", "MlpPolicy", {"learning_starts": 30, "buffer_size": 100}),
        ("PPO", "MlpPolicy", {"n_steps": 8, "batch_size": 48}),
        ("QRDQN", "MlpPolicy", {"learning_starts": 30, "buffer_size": 100}),
        ("RecurrentPPO", "MlpLstmPolicy", {"n_steps": 8, "batch_size": 48}),
        ("TRPO", "MlpPolicy", {"n_steps": 8, "batch_size": 48}),
    ],
)
def test_algorithms_without_masks_train_under_resample(tmp_path, name, policy, options):
    """Every algorithm for discrete actions trains in a masked simulator and is evaluated."""
    result, _ = run(
        settings(
            tmp_path,
            pool={"arenas_per_server": 3, "backend": "inline", "invalid_action": "resample"},
            algorithm={"name": name, "policy": policy, "options": options},
            training={"total_timesteps": 60, "seed": 0},
        )
    )
    assert result.timesteps >= 60
    assert len(result.evaluations) == 3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["CrossQ", "DDPG", "SAC", "TD3", "TQC"])
def test_algorithms_for_continuous_actions_train(tmp_path, name):
    """Every algorithm for continuous actions trains in a Gymnasium environment."""
    options = {"env": "Pendulum-v1", "env_options": {"max_episode_steps": 20}}
    result, _ = run(
        settings(
            tmp_path,
            simulator={"name": "gymnasium", "options": options},
            algorithm={"name": name, "options": {"learning_starts": 10, "buffer_size": 100}},
            training={"total_timesteps": 66, "seed": 0},
            evaluation={"baselines": ["random"]},
        )
    )
    assert [it.policy for it in result.evaluations] == ["random", "trained"]


# --- what cannot be trained ---------------------------------------------------------------------


def refusal(config):
    """Return the message with which a run is refused."""
    with pytest.raises(ConfigError) as caught:
        run(config)
    return str(caught.value)


def test_an_algorithm_without_masks_needs_a_way_with_forbidden_actions(tmp_path):
    """PPO in a masked simulator is refused before it acts, with both ways out; nothing is left."""
    found = refusal(settings(tmp_path, algorithm={"name": "PPO"}))
    assert "algorithm.name=MaskablePPO" in found
    assert "pool.invalid_action=resample" in found
    assert list(tmp_path.iterdir()) == []


def test_maskable_ppo_needs_masks(tmp_path):
    """MaskablePPO in a simulator without masks is refused, naming the way out."""
    simulator = {"name": "treasure_hunt", "options": {"mask_walls": False}}
    assert "algorithm.name=PPO" in refusal(settings(tmp_path, simulator=simulator))


def test_what_the_algorithm_refuses_is_a_config_error(tmp_path):
    """SAC cannot take discrete actions; the message tells what was put together."""
    found = refusal(
        settings(
            tmp_path,
            pool={"backend": "inline", "invalid_action": "resample"},
            algorithm={"name": "SAC"},
        )
    )
    assert "SAC does not take these settings for 'treasure_hunt'" in found
    assert "Discrete(4)" in found


def test_a_folder_that_cannot_be_made_is_a_config_error(tmp_path):
    """A file where the folder of runs should be is named."""
    (tmp_path / "runs").write_text("")
    assert "run.directory" in refusal(settings(tmp_path / "runs"))


# --- failures and interruptions -----------------------------------------------------------------


def test_a_run_that_fails_saves_what_it_learned(tmp_path):
    """An exception in the simulator reaches the caller; the model and the curve are kept."""
    config = settings(
        tmp_path,
        simulator={"name": FAKE, "options": {"fault": "raise", "fault_step": 40}},
        algorithm={"name": "PPO", "options": {"n_steps": 16, "batch_size": 48}},
    )
    with pytest.raises(SimulatorError):
        run(config)
    (directory,) = tmp_path.iterdir()
    files = {file.name for file in directory.iterdir()}
    assert files == {"model.zip", "config.yaml", "learning_curve.png", "tensorboard"}


def test_a_signal_ends_learning_and_saves(tmp_path, monkeypatch):
    """After a first SIGINT learning ends with the step, and the comparison is left out."""
    before = signal.getsignal(signal.SIGINT)
    update = ProgressReport.update

    def interrupt_once(self, timesteps, recent):
        if timesteps == 12:
            signal.raise_signal(signal.SIGINT)
        update(self, timesteps, recent)

    monkeypatch.setattr(ProgressReport, "update", interrupt_once)
    result, printed = run(settings(tmp_path))
    assert result.stopped_by is signal.SIGINT
    assert result.timesteps == 12
    assert result.evaluations == ()
    assert (result.directory / "model.zip").exists()
    assert "Stopped by SIGINT after 12 of 192 agent steps" in printed
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_signal_raises():
    """The first signal waits while deferred, the second does not; outside, none waits."""
    announced = []
    with Interruption(lambda: announced.append(1)) as interruption:
        with interruption.deferred():
            signal.raise_signal(signal.SIGTERM)
            assert interruption.requested_by is signal.SIGTERM
            with pytest.raises(Stopped) as caught:
                signal.raise_signal(signal.SIGINT)
        assert caught.value.signal_number == signal.SIGINT
        with pytest.raises(Stopped):
            signal.raise_signal(signal.SIGINT)
    wait_until(lambda: announced == [1])


def test_an_evaluation_without_an_end_says_so(tmp_path):
    """Episodes that do not end within `max_steps` are an error that names the setting."""
    config = settings(tmp_path, evaluation={"max_steps": 5})
    with pytest.raises(UsageError, match=r"evaluation\.max_steps"):
        run(config)
    (directory,) = tmp_path.iterdir()
    assert (directory / "model.zip").exists()


# --- figures ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("degrees", "expected"),
    [
        (1, 12.7062),
        (2, 4.3027),
        (3, 3.1824),
        (4, 2.7764),
        (10, 2.2281),
        (63, 1.9983),
        (500, 1.9647),
    ],
)
def test_student_t_is_that_of_the_tables(degrees, expected):
    """The quantile agrees with published tables to four digits."""
    assert student_t(degrees) == pytest.approx(expected, abs=1e-4)


def test_the_interval_covers_the_mean_as_often_as_it_says():
    """In many samples of eight normal numbers, 95% of the intervals hold the true mean."""
    rng = np.random.default_rng(0)
    intervals = [mean_interval(rng.normal(3.0, 2.0, size=8)) for _ in range(4000)]
    covered = np.mean([it.low <= 3.0 <= it.high for it in intervals])
    assert covered == pytest.approx(0.95, abs=0.012)


def test_one_arena_has_no_interval():
    """From a single arena nothing can be said about the spread."""
    found = mean_interval(np.array([3.0]))
    assert found.value == 3.0
    assert math.isnan(found.low)


def evaluation(policy, returns):
    """Return an evaluation with these returns, one per arena."""
    return Evaluation(policy, np.asarray(returns, np.float64), len(returns), 1.0)


def test_the_score_is_the_way_from_random_to_greedy():
    """Half way in every arena is 0.5 exactly, whichever arenas are drawn."""
    random, greedy = np.array([0.0, 3.0, 7.0]), np.array([10.0, 11.0, 9.0])
    halfway = (random + greedy) / 2
    found = normalized_score(
        (
            evaluation("random", random),
            evaluation("greedy", greedy),
            evaluation("trained", halfway),
        )
    )
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))


def test_the_score_needs_both_baselines():
    """Without one of them there is no score."""
    assert normalized_score((evaluation("random", [1]), evaluation("trained", [2]))) is None


def test_evaluation_worlds_are_none_of_the_training():
    """No arena of an evaluation shares its root of seeds with an arena of a training."""
    seeds = [*range(50), 2**32 - 1]
    training, evaluating = (
        {int(key) for seed in seeds for key in seeding.arena_keys(of(seed), range(64))}
        for of in (int, evaluation_seed)
    )
    assert not training & evaluating


def test_smoothing_keeps_a_constant_and_follows_a_rise():
    """The curve of constant returns is constant; that of rising ones rises."""
    steps = list(itertools.chain.from_iterable([step] * 4 for step in range(100, 10_000, 100)))
    flat = smoothed(EpisodeLog(steps, [5.0] * len(steps)))
    for line in (flat.mean, flat.low, flat.high):
        np.testing.assert_allclose(line, 5.0)
    rising = smoothed(EpisodeLog(steps, [float(step) for step in steps]))
    assert (np.diff(rising.mean) > 0).all()
    assert (np.diff(rising.timesteps) > 0).all()


@pytest.mark.parametrize("log", [EpisodeLog(), EpisodeLog([100], [3.0])], ids=["none", "one"])
def test_a_picture_is_drawn_of_hardly_any_episodes(tmp_path, log):
    """A run that was stopped at once has a picture too."""
    compared = [evaluation("random", [1.0]), evaluation("trained", [2.0])]
    draw_learning_curve(tmp_path / "curve.png", log, compared, "title", "subtitle")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


# --- what is measured ---------------------------------------------------------------------------


def test_a_metric_can_be_measured_instead_of_the_return(tmp_path):
    """Progress, table and results tell of gems; a mean of counts that are none below zero."""
    training = {"total_timesteps": 192, "seed": 0, "measure": "gems"}
    result, printed = run(settings(tmp_path, training=training))
    found = json.loads((result.directory / "results.json").read_text())
    assert [policy["gems"]["mean"] >= 0 for policy in found["policies"]] == [True] * 3
    assert "Gems per episode of one agent" in printed
    for it in result.evaluations:
        assert (it.arena_means >= 0).all()


def test_the_trained_policy_is_measured_in_variants_of_its_simulator(tmp_path):
    """A variant has the simulator's options with its own in their place, and no baselines."""
    variants = {"rich": {"spawn_probability": 0.5}, "as trained": {}}
    result, printed = run(
        settings(tmp_path, evaluation={"arenas_per_server": 4, "variants": variants})
    )
    by_variant = {}
    for it in result.evaluations:
        by_variant.setdefault(it.variant, []).append(it)
    assert [it.policy for it in by_variant[""]] == ["random", "greedy", "trained"]
    (rich,), (same,) = by_variant["rich"], by_variant["as trained"]
    trained = by_variant[""][-1]
    np.testing.assert_array_equal(same.arena_means, trained.arena_means)
    assert not np.array_equal(rich.arena_means, trained.arena_means)
    assert "trained, rich" in printed


def test_an_unknown_measure_is_refused_before_learning(tmp_path):
    """The error names the metrics there are, and nothing is left in the folder of runs."""
    training = {"total_timesteps": 192, "measure": "gem"}
    with pytest.raises(ConfigError, match=r"training\.measure is 'gem'.*gems"):
        run(settings(tmp_path, training=training))
    assert not list(tmp_path.iterdir())


def test_a_win_rate_is_drawn_without_a_band():
    """The middle of what is only 0 or 1 says nothing."""
    steps = list(range(1, 401))
    wins = EpisodeLog(steps, [float(step % 3 > 0) for step in steps])
    assert smoothed(wins).mean == pytest.approx(2 / 3, abs=0.05)
