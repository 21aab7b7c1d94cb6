"""One training run: pool, stock algorithm, files, comparison."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.markup import escape
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.logger import Logger, TensorBoardOutputFormat

from gym_multisim import seeding
from gym_multisim.config import RETURN, TrainingConfig
from gym_multisim.envs.sb3 import MultiSimVecEnv, make_vec_env
from gym_multisim.errors import ConfigError, nearest_name
from gym_multisim.training.algorithms import load_algorithm, resolved_options, uses_masks
from gym_multisim.training.curve import draw_learning_curve
from gym_multisim.training.directory import RunDirectory
from gym_multisim.training.evaluation import Evaluation, Interval, evaluate, normalized_score
from gym_multisim.training.interruption import Interruption, Stopped
from gym_multisim.training.progress import EpisodeLog, LearningCallback, ProgressReport
from gym_multisim.training.report import figures, print_comparison


@dataclass(frozen=True)
class TrainingResult:
    """What a run came to.

    Attributes:
        directory: The run's folder: ``model.zip``, ``config.yaml``, ``learning_curve.png``,
            ``results.json``, ``tensorboard``.
        config: All settings, the seed that was drawn included.
        timesteps: Agent steps made.
        seconds: How long learning took.
        evaluations: How the policies did; empty if the run was stopped or no evaluation asked for.
        stopped_by: The signal that ended the run early, or None.
    """

    directory: Path
    config: TrainingConfig
    timesteps: int
    seconds: float
    evaluations: tuple[Evaluation, ...]
    stopped_by: signal.Signals | None

    @property
    def steps_per_second(self) -> float:
        """Agent steps per second of collecting and learning."""
        return self.timesteps / self.seconds

    @property
    def score(self) -> Interval | None:
        """(trained − random) / (greedy − random), or None if these were not all evaluated."""
        return normalized_score(self.evaluations)


@dataclass
class _Learning:
    """A run while it learns, and after."""

    config: TrainingConfig
    directory: RunDirectory
    model: BaseAlgorithm
    rows: str
    log: EpisodeLog
    timesteps: int = 0
    seconds: float = 0.0

    def note_progress(self, start: float) -> None:
        """Note how far it came since the clock stood at ``start``."""
        self.timesteps = self.model.num_timesteps
        self.seconds = time.perf_counter() - start


def train(config: TrainingConfig, console: Console | None = None) -> TrainingResult:
    """Train as the config says, write a run's folder, print the comparison.

    The first Ctrl-C or SIGTERM ends learning after the step under way: what was learned is saved,
    and the result says so. A second one raises `Stopped` at once. No process outlives the call.

    Args:
        config: From `load_config`.
        console: Where to print; None takes the standard output.

    Raises:
        ConfigError: The settings do not fit together.
        ServerError: A simulator server failed. What was learned until then is saved.
        Stopped: A signal came before learning began, or a second one.
    """
    console = console or Console()
    config = _with_seed(config)
    directory = RunDirectory.create(config)

    def announce() -> None:
        console.print("[yellow]Stopping after this step and saving.[/] Ctrl-C again: exit at once.")

    with Interruption(announce) as interruption, _torch_threads(config.training.torch_threads):
        try:
            run = _learn(config, directory, interruption, console)
        except BaseException:
            directory.discard_if_bare()
            raise
        evaluations: tuple[Evaluation, ...] = ()
        try:
            if config.evaluation is not None and interruption.requested_by is None:
                with console.status("comparing policies"):
                    evaluations = evaluate(config, run.model)
        except Stopped:
            console.print("[yellow]The comparison was stopped.[/] The model is saved.")
        finally:
            _draw(run, evaluations)
    result = TrainingResult(
        directory.path, config, run.timesteps, run.seconds, evaluations, interruption.requested_by
    )
    directory.write_json(directory.results.name, _summary(result))
    if evaluations:
        print_comparison(console, evaluations, result.steps_per_second, config.training.measure)
    _print_files(console, result)
    return result


def _with_seed(config: TrainingConfig) -> TrainingConfig:
    """Draw a seed if none is given, so that the config in the run's folder repeats the run."""
    if config.training.seed is not None:
        return config
    training = config.training.model_copy(update={"seed": seeding.fresh_seed() % 2**32})
    return config.model_copy(update={"training": training})


@contextmanager
def _torch_threads(number: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    if number is not None:
        torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


# --- learning -----------------------------------------------------------------------------------


def _learn(
    config: TrainingConfig, directory: RunDirectory, interruption: Interruption, console: Console
) -> _Learning:
    """Learn to the end, or until a signal comes, and save the model in either case."""
    venv = _make_venv(config, directory)
    with venv.pool:
        _check_measure(config, venv)
        model = _make_model(config, venv)
        rows = " × ".join(
            (
                _counted(venv.pool.servers, "server"),
                _counted(venv.pool.arenas_per_server, "arena"),
                _counted(len(venv.pool.group(venv.group).agents), "agent"),
            )
        )
        run = _Learning(config, directory, model, rows, EpisodeLog())
        console.print(
            f"[bold]{config.algorithm.name}[/] learns [bold]{escape(config.simulator.name)}[/]: "
            f"{rows} = {_counted(venv.num_envs, 'row')}",
            highlight=False,
        )
        settings = config.training
        report = ProgressReport(
            console, settings.total_timesteps, settings.progress_bar, settings.measure
        )
        callback = LearningCallback(
            run.log, settings.measure, venv.pool.spec.metrics, report, interruption
        )
        with interruption.deferred(), report:
            _run_algorithm(run, callback, console)
    return run


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _run_algorithm(run: _Learning, callback: LearningCallback, console: Console) -> None:
    """Learn, and save what came of it: also if it fails, for it may have taken long."""
    directory = run.directory
    logger = Logger(str(directory.path), [TensorBoardOutputFormat(str(directory.tensorboard))])
    run.model.set_logger(logger)
    start = time.perf_counter()
    try:
        run.model.learn(run.config.training.total_timesteps, callback=callback)
    except Exception:
        run.note_progress(start)
        if run.timesteps:
            _save_model(run)
            _draw(run, ())
            console.print(
                f"[yellow]The run failed after {run.timesteps:,} agent steps.[/] What it learned "
                f"until then is in {escape(str(directory.path))}.",
                highlight=False,
            )
        raise
    finally:
        logger.close()
    run.note_progress(start)
    _save_model(run)


def _make_venv(config: TrainingConfig, directory: RunDirectory) -> MultiSimVecEnv:
    pool_options = config.pool.model_dump(exclude={"keep_logs"})
    return make_vec_env(
        config.simulator.name,
        simulator_options=config.simulator.options,
        group=config.simulator.group,
        others=config.simulator.others,
        seed=config.training.seed,
        log_directory=directory.logs if config.pool.keep_logs else None,
        **pool_options,
    )


def _make_model(config: TrainingConfig, venv: MultiSimVecEnv) -> BaseAlgorithm:
    """Make the algorithm; what it refuses about its options is a `ConfigError`."""
    algorithm = load_algorithm(config.algorithm.name)
    _check_masks(config, algorithm, has_masks=venv.has_attr("action_masks"))
    options: dict[str, Any] = resolved_options(config.algorithm.options)
    try:
        return algorithm(config.algorithm.policy, venv, seed=config.training.seed, **options)
    except (AssertionError, TypeError, ValueError) as error:
        raise ConfigError(
            f"{config.algorithm.name} does not take these settings for "
            f"{config.simulator.name!r} ({venv.num_envs} rows, observations "
            f"{venv.observation_space}, actions {venv.action_space}): {error}"
        ) from error


def _check_measure(config: TrainingConfig, venv: MultiSimVecEnv) -> None:
    known = (RETURN, *venv.pool.spec.metrics)
    measure = config.training.measure
    if measure not in known:
        raise ConfigError(
            f"training.measure is {measure!r}, which the simulator {config.simulator.name!r} does "
            f"not have.{nearest_name(measure, known)} Expected one of: {', '.join(known)}."
        )


def _check_masks(
    config: TrainingConfig, algorithm: type[BaseAlgorithm], *, has_masks: bool
) -> None:
    name, simulator = config.algorithm.name, config.simulator.name
    if uses_masks(algorithm) and not has_masks:
        raise ConfigError(
            f"{name} needs action masks, and the simulator {simulator!r} has none with these "
            "options. Choose an algorithm without masks, such as --set algorithm.name=PPO."
        )
    if has_masks and not uses_masks(algorithm) and config.pool.invalid_action == "error":
        raise ConfigError(
            f"{name} does not read the action masks of {simulator!r}, so it would choose forbidden "
            "actions, and pool.invalid_action is 'error'. Choose --set algorithm.name=MaskablePPO, "
            "or what happens to such actions: --set pool.invalid_action=resample (a legal one is "
            "taken) or penalize (and pool.invalid_action_penalty is added to the reward)."
        )


# --- saving and telling -------------------------------------------------------------------------


def _save_model(run: _Learning) -> None:
    def save(path: Path) -> None:
        with path.open("wb") as file:  # given a name, the model would add .zip to it
            run.model.save(file)

    run.directory.write(run.directory.model.name, save)


def _draw(run: _Learning, evaluations: tuple[Evaluation, ...]) -> None:
    title = f"{run.config.algorithm.name} learns {run.config.simulator.name}"
    subtitle = f"{run.rows}, {run.timesteps:,} agent steps in {run.seconds:.0f} s"
    run.directory.write(
        run.directory.learning_curve.name,
        lambda path: draw_learning_curve(
            path, run.log, evaluations, title, subtitle, run.config.training.measure
        ),
    )


def _summary(result: TrainingResult) -> dict[str, Any]:
    return {
        "simulator": result.config.simulator.name,
        "algorithm": result.config.algorithm.name,
        "seed": result.config.training.seed,
        "timesteps": result.timesteps,
        "seconds": round(result.seconds, 2),
        "steps_per_second": round(result.steps_per_second, 1),
        "stopped_by": None if result.stopped_by is None else result.stopped_by.name,
        **(
            figures(result.evaluations, result.config.training.measure)
            if result.evaluations
            else {}
        ),
    }


def _print_files(console: Console, result: TrainingResult) -> None:
    if result.stopped_by is not None:
        console.print(
            f"Stopped by {result.stopped_by.name} after {result.timesteps:,} of "
            f"{result.config.training.total_timesteps:,} agent steps.",
            highlight=False,
        )
    console.print(
        f"Saved in [bold]{result.directory}[/]: model.zip, config.yaml, learning_curve.png, "
        "results.json, tensorboard",
        highlight=False,
        soft_wrap=True,
    )
