"""What a run shows and keeps while it learns: a progress bar, and the returns of all episodes."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from stable_baselines3.common.callbacks import BaseCallback

from gym_multisim.config import RETURN
from gym_multisim.training.interruption import Interruption

_REFRESH_INTERVAL = 0.1
_RECENT_EPISODES = 100
_LINES = 10  # of progress, where there is no terminal to draw a bar on


def episode_key(measure: str) -> str:
    """Return where ``info["episode"]`` has what is measured."""
    return "r" if measure == RETURN else measure


def with_digits(value: float, measure: str) -> str:
    """Return a value as people want to read it: metrics are often shares of episodes."""
    return f"{value:.1f}" if measure == RETURN else f"{value:.2f}"


@dataclass
class EpisodeLog:
    """All episodes of agents that ended while learning, in order.

    Attributes:
        timesteps: Agent steps of the whole run when the episode ended.
        values: What is measured of it: its return, or a metric.
    """

    timesteps: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)


class LearningCallback(BaseCallback):
    """Records episodes, logs the simulator's metrics, reports progress, and ends on request.

    Args:
        log: Where episodes are kept.
        measure: What is kept of them: ``return`` or a metric.
        metrics: Names of numbers in ``info["episode"]`` to log beside the return.
        report: Where progress is shown.
        interruption: Tells when to stop.
    """

    def __init__(
        self,
        log: EpisodeLog,
        measure: str,
        metrics: tuple[str, ...],
        report: ProgressReport,
        interruption: Interruption,
    ) -> None:
        super().__init__()
        self._log = log
        self._key = episode_key(measure)
        self._metrics = metrics
        self._report = report
        self._interruption = interruption
        self._recent: deque[dict[str, float]] = deque(maxlen=_RECENT_EPISODES)

    def _on_step(self) -> bool:
        if self.locals["dones"].any():
            for info in self.locals["infos"]:
                if "episode" in info:
                    self._recent.append(info["episode"])
                    self._log.timesteps.append(self.num_timesteps)
                    self._log.values.append(info["episode"][self._key])
        self._report.update(self.num_timesteps, self._recent)
        return self._interruption.requested_by is None

    def _on_rollout_end(self) -> None:
        for name in self._metrics if self._recent else ():
            values = [episode[name] for episode in self._recent if name in episode]
            if values:
                self.logger.record(f"rollout/{name}_mean", sum(values) / len(values))


class ProgressReport:
    """Shows how far learning is: a bar on a terminal, some lines elsewhere, or nothing.

    Args:
        console: Where to show it.
        total: Agent steps of the whole run.
        is_shown: False shows nothing.
        measure: What to show of the last episodes: ``return`` or a metric.
    """

    def __init__(self, console: Console, total: int, is_shown: bool, measure: str = RETURN) -> None:
        self._console = console
        self._total = total
        self._is_shown = is_shown
        self._measure = measure
        self._bar = Progress(
            TextColumn("learning"),
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
            console=console,
            expand=True,
            disable=not (is_shown and console.is_terminal),
        )
        self._task = self._bar.add_task("learning", total=total, figures="")
        self._next_time = 0.0
        self._next_line = 1
        self._start = time.perf_counter()

    def __enter__(self) -> ProgressReport:
        """Begin to show it."""
        self._bar.start()
        self._start = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the display."""
        self._bar.stop()

    def update(self, timesteps: int, recent: deque[dict[str, float]]) -> None:
        """Show the present state; cheap where nothing is due."""
        now = time.perf_counter()
        if now < self._next_time and timesteps < self._total:
            return
        self._next_time = now + _REFRESH_INTERVAL
        figures = f"{timesteps / (now - self._start):,.0f} steps/s"
        if recent:
            mean = sum(it[episode_key(self._measure)] for it in recent) / len(recent)
            figures += f", {self._measure} {with_digits(mean, self._measure)}"
        if self._console.is_terminal:
            self._bar.update(
                self._task, completed=min(timesteps, self._total), figures=f"({figures})"
            )
        elif self._is_shown and timesteps * _LINES >= self._next_line * self._total:
            self._next_line = timesteps * _LINES // self._total + 1
            self._console.print(
                f"learning: {timesteps:,} of {self._total:,} agent steps, {figures}"
            )
