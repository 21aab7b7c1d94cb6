"""How good a policy is: episodes in a pool with seeds of its own, and honest intervals.

Agents of one arena meet each other, so their returns are not independent: an arena's episodes are
averaged first, and intervals are taken over arenas. All policies meet the same worlds.
"""

from __future__ import annotations

import math
import pkgutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gym_multisim import registry, seeding
from gym_multisim.config import RETURN, TrainingConfig
from gym_multisim.envs.others import OtherAgents
from gym_multisim.errors import UsageError
from gym_multisim.pool.batch import Batch
from gym_multisim.pool.pool import SimulatorPool
from gym_multisim.pool.trees import tree_map
from gym_multisim.simulator import Status
from gym_multisim.training.algorithms import uses_masks

TRAINED = "trained"
_EVALUATION = 0xE7A1  # told apart from the training by this number in the seed
_RESAMPLES = 10_000


class Policy(Protocol):
    """Chooses actions for all rows of one agent group."""

    def act(self, batch: Batch, began: NDArray[np.bool_]) -> Any:
        """Return one action per row.

        Args:
            batch: All rows.
            began: Which rows begin an episode.
        """


@dataclass(frozen=True)
class Interval:
    """A number with its 95% interval; the bounds are NaN where one arena alone was measured."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Evaluation:
    """How one policy did.

    Attributes:
        policy: ``random``, ``greedy`` or ``trained``.
        arena_means: What is measured per episode of one agent, a mean per arena, ``(arenas,)``.
        episodes: How many episodes of agents were played.
        steps_per_second: Agent steps per second while it acted.
        variant: Under which of ``evaluation.variants``; empty for the simulator as in training.
    """

    policy: str
    arena_means: NDArray[np.float64]
    episodes: int
    steps_per_second: float
    variant: str = ""

    @property
    def mean(self) -> Interval:
        """Mean over arenas, with Student's interval."""
        return mean_interval(self.arena_means)


def evaluate(config: TrainingConfig, model: Any) -> tuple[Evaluation, ...]:
    """Compare a trained model with the baselines that the config asks for, in equal worlds.

    Args:
        config: Has an evaluation section.
        model: A stable-baselines3 algorithm.

    Raises:
        UsageError: No episode ended within ``evaluation.max_steps``.
        ServerError: A server failed.
    """
    settings = config.evaluation
    assert settings is not None
    found = _evaluate_in(config, model, "", ["random", "greedy"])
    for variant in settings.variants:
        found += _evaluate_in(config, model, variant, [])
    return tuple(found)


def _evaluate_in(
    config: TrainingConfig, model: Any, variant: str, baselines: list[str]
) -> list[Evaluation]:
    """Evaluate the trained policy, and some baselines if they are asked for, in one variant."""
    settings = config.evaluation
    assert settings is not None
    assert config.training.seed is not None
    seed = evaluation_seed(config.training.seed)
    pool_options = config.pool.model_dump(exclude={"keep_logs"})
    for name in ("servers", "arenas_per_server"):
        pool_options[name] = getattr(settings, name) or pool_options[name]
    options = {**config.simulator.options, **settings.variants.get(variant, {})}
    with SimulatorPool(
        config.simulator.name, simulator_options=options, seed=seed, **pool_options
    ) as pool:
        group = pool.group(config.simulator.group).name
        policies: dict[str, Policy] = {}
        wanted = [name for name in baselines if name in settings.baselines]
        if "random" in wanted:
            policies["random"] = _Random(pool, group)
        scripted = registry.find(config.simulator.name).scripted
        if "greedy" in wanted and scripted:
            policies["greedy"] = _Scripted(group, pkgutil.resolve_name(scripted))
        policies[TRAINED] = _Model(group, model, settings.deterministic)
        return [
            replace(_play(config, pool, group, name, policy, seed), variant=variant)
            for name, policy in policies.items()
        ]


def evaluation_seed(training_seed: int) -> int:
    """Return the master seed of the evaluation's worlds, which are none of the training's."""
    return int(seeding.combine(training_seed, _EVALUATION)) >> 1


def normalized_score(evaluations: tuple[Evaluation, ...]) -> Interval | None:
    """Return (trained − random) / (greedy − random), or None without both baselines.

    The interval is a bootstrap over arenas: in each draw, all policies are taken from the same
    arenas, since they met the same worlds.
    """
    by_policy = {it.policy: it.arena_means for it in evaluations if not it.variant}
    if not {"random", "greedy", TRAINED} <= by_policy.keys():
        return None
    random, greedy, trained = (by_policy[name] for name in ("random", "greedy", TRAINED))
    arenas = len(trained)
    drawn = np.random.default_rng(0).integers(arenas, size=(_RESAMPLES, arenas))
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.subtract(trained.mean(), random.mean()) / (greedy.mean() - random.mean())
        low_mean = random[drawn].mean(axis=1)
        draws = (trained[drawn].mean(axis=1) - low_mean) / (greedy[drawn].mean(axis=1) - low_mean)
        low, high = np.quantile(draws, (0.025, 0.975)) if arenas > 1 else (math.nan, math.nan)
    return Interval(float(value), float(low), float(high))


def mean_interval(values: NDArray[np.float64]) -> Interval:
    """Return the mean of independent values with Student's 95% interval."""
    mean = float(values.mean())
    if len(values) < 2:
        return Interval(mean, math.nan, math.nan)
    half = student_t(len(values) - 1) * float(values.std(ddof=1)) / math.sqrt(len(values))
    return Interval(mean, mean - half, mean + half)


def student_t(degrees: int, within: float = 0.95) -> float:
    """Return t such that Student's distribution holds ``within`` between −t and t."""
    low, high = 0.0, 1e6
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, degrees) < within else (low, middle)
    return high


def _within(t: float, degrees: int) -> float:
    """Return the probability between −t and t (Abramowitz and Stegun, 26.7.3 and 26.7.4)."""
    angle = math.atan2(t, math.sqrt(degrees))
    sine, cosine = math.sin(angle), math.cos(angle)
    is_odd = degrees % 2
    term = cosine if is_odd else 1.0
    total = term if degrees > 1 else 0.0
    for k in range(2 + is_odd, degrees - 1, 2):
        term *= cosine**2 * (k - 1) / k
        total += term
    return 2 / math.pi * (angle + sine * total) if is_odd else sine * total


class _Random:
    """Uniform over legal actions."""

    def __init__(self, pool: SimulatorPool, group: str) -> None:
        self._pool = pool
        self._group = group

    def act(self, batch: Batch, began: NDArray[np.bool_]) -> Any:
        return self._pool.sample_actions(batch, self._group)


class _Scripted:
    """The simulator's own agent."""

    def __init__(self, group: str, choose: Callable[[Any, Any], Any]) -> None:
        self._group = group
        self._choose = choose

    def act(self, batch: Batch, began: NDArray[np.bool_]) -> Any:
        rows = batch[self._group]
        return self._choose(rows.observation, rows.action_mask)


class _Model:
    """A stable-baselines3 algorithm, recurrent ones included."""

    def __init__(self, group: str, model: Any, deterministic: bool) -> None:
        self._group = group
        self._model = model
        self._deterministic = deterministic
        self._uses_masks = uses_masks(type(model))
        self._state: Any = None

    def act(self, batch: Batch, began: NDArray[np.bool_]) -> Any:
        rows = batch[self._group]
        masks = {}
        if self._uses_masks and rows.action_mask is not None:
            masks["action_masks"] = rows.action_mask.copy()
        actions, self._state = self._model.predict(
            tree_map(np.copy, rows.observation),  # PyTorch wants memory that it could write to
            state=self._state,
            episode_start=began,
            deterministic=self._deterministic,
            **masks,
        )
        return actions


def _play(
    config: TrainingConfig, pool: SimulatorPool, group: str, name: str, policy: Policy, seed: int
) -> Evaluation:
    """Play until every row has ended as many episodes as asked for."""
    settings = config.evaluation
    assert settings is not None
    hidden = [it.name for it in pool.spec.groups if it.name != group]
    others = OtherAgents(pool, hidden, config.simulator.others)
    batch = pool.reset(seed)
    num_rows = pool.num_rows(group)
    measured = _measured(config.training.measure, pool, group)
    began = np.ones(num_rows, np.bool_)
    totals = np.zeros(num_rows)
    episodes = np.zeros(num_rows, np.int64)
    agent_steps = 0
    start = time.perf_counter()
    for _ in range(settings.max_steps):
        agent_steps += int(np.count_nonzero(batch[group].status == Status.ACTIVE))
        batch = pool.step({**others.actions(batch), group: policy.act(batch, began)})
        rows = batch[group]
        counts = rows.episode_ended & (episodes < settings.episodes_per_arena)
        totals[counts] += measured[counts]
        episodes[counts] += 1
        began = rows.terminated | rows.truncated
        if (episodes >= settings.episodes_per_arena).all():
            break
    seconds = time.perf_counter() - start
    by_arena = episodes.reshape(pool.num_arenas, -1).sum(axis=1)
    if not by_arena.all():
        raise UsageError(
            f"The evaluation of the {name} policy saw no end of an episode in "
            f"{np.count_nonzero(by_arena == 0)} of {pool.num_arenas} arenas within "
            f"{settings.max_steps} steps. Raise evaluation.max_steps, or leave the evaluation out: "
            "--set evaluation=null."
        )
    return Evaluation(
        policy=name,
        arena_means=totals.reshape(pool.num_arenas, -1).sum(axis=1) / by_arena,
        episodes=int(episodes.sum()),
        steps_per_second=agent_steps / seconds,
    )


def _measured(measure: str, pool: SimulatorPool, group: str) -> NDArray[Any]:
    """Return what is measured of every row's last episode, as a view that stays current."""
    rows = pool.buffers(group)
    if measure == RETURN:
        view: NDArray[Any] = rows.episode_return
    else:
        view = rows.episode_metrics[:, pool.spec.metrics.index(measure)]
    return view
