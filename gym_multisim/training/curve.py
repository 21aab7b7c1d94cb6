"""The picture of a run: what is measured of each episode, over the steps of learning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from gym_multisim.config import RETURN
from gym_multisim.training.evaluation import TRAINED, Evaluation
from gym_multisim.training.progress import EpisodeLog, with_digits

_BINS = 80
_SMOOTHING = 2.0  # standard deviation of the smoothing, in bins
_BLUE, _GREEN, _GREY, _TEXT = "#2563eb", "#15803d", "#64748b", "#1e293b"
_COLOURS = {"random": _GREY, "greedy": _GREEN, TRAINED: "#1e3a8a"}
_LABEL_HEIGHT = 0.055  # of a line of text, as a fraction of the axis

_Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """Smoothed values over steps, all of shape ``(points,)``.

    Attributes:
        timesteps: Agent steps.
        mean: Mean of the episodes that ended around then.
        low: What one in ten of them stays below.
        high: What one in ten of them exceeds.
    """

    timesteps: _Floats
    mean: _Floats
    low: _Floats
    high: _Floats


def smoothed(log: EpisodeLog) -> Curve:
    """Return the course of the values of a log that is not empty."""
    timesteps = np.array(log.timesteps, np.float64)
    values = np.array(log.values, np.float64)
    edges = np.linspace(0, timesteps[-1], _BINS + 1)[1:-1]
    bins = np.searchsorted(edges, timesteps)
    filled = np.unique(bins)
    members = [values[bins == it] for it in filled]
    centres = np.array([timesteps[bins == it].mean() for it in filled])
    weights = np.exp(-0.5 * ((filled[:, None] - filled) / _SMOOTHING) ** 2)
    weights *= [len(it) for it in members]
    weights /= weights.sum(axis=1, keepdims=True)
    rows = [[it.mean(), *np.quantile(it, (0.1, 0.9))] for it in members]
    mean, low, high = (weights @ np.array(rows)).T
    return Curve(centres, mean, low, high)


def draw_learning_curve(
    path: Path,
    log: EpisodeLog,
    evaluations: Sequence[Evaluation],
    title: str,
    subtitle: str,
    measure: str = RETURN,
) -> None:
    """Write the picture as a PNG.

    Args:
        path: The file.
        log: The episodes of the run.
        evaluations: How the policies did afterwards; may be empty.
        title: What learned what.
        subtitle: How much and how long.
        measure: What the log and the evaluations hold: ``return`` or a metric.
    """
    evaluations = [it for it in evaluations if not it.variant]
    figure = Figure(figsize=(9, 5), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    _dress(axes, title, subtitle, measure)
    axes.set_xlim(0, 1.015 * max(log.timesteps, default=1))
    if log.timesteps:
        _draw_values(axes, smoothed(log), has_band=not set(log.values) <= {0.0, 1.0})
        figure.legend(
            loc="outside lower center", ncols=2, frameon=False, labelcolor=_GREY, fontsize=9.5
        )
    else:
        what = "no episode ended while learning"
        axes.text(0.5, 0.92, what, ha="center", transform=axes.transAxes, color=_GREY)
    for evaluation in evaluations:
        _draw_evaluation(axes, evaluation)
    _write_labels(axes, evaluations, measure)
    figure.savefig(path, format="png")


def _dress(axes: Axes, title: str, subtitle: str, measure: str) -> None:
    axes.set_title(title, loc="left", fontsize=14, fontweight="bold", color=_TEXT, pad=26)
    axes.text(0, 1.035, subtitle, transform=axes.transAxes, fontsize=9.5, color=_GREY)
    axes.set_xlabel("agent steps (one agent, one decision)", color=_TEXT)
    of_what = "return per episode of one agent (reward)"
    if measure != RETURN:
        of_what = f"{measure}, mean over episodes"
    axes.set_ylabel(of_what, color=_TEXT)
    axes.xaxis.set_major_formatter(FuncFormatter(_thousands))
    axes.grid(axis="y", color="#e2e8f0", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#cbd5e1")
    axes.tick_params(colors=_GREY)


def _draw_values(axes: Axes, curve: Curve, has_band: bool) -> None:
    steps = curve.timesteps
    if has_band:  # of what is only 0 or 1, it would say nothing
        axes.fill_between(
            steps,
            curve.low,
            curve.high,
            color=_BLUE,
            alpha=0.14,
            linewidth=0,
            label="middle 80% of episodes",
        )
    marker = "o" if len(steps) == 1 else ""
    axes.plot(
        steps, curve.mean, color=_BLUE, linewidth=2.2, marker=marker, label="mean while learning"
    )


def _draw_evaluation(axes: Axes, evaluation: Evaluation) -> None:
    """Draw a baseline as a line, the trained policy as a point with its interval."""
    found = evaluation.mean
    colour = _COLOURS[evaluation.policy]
    if evaluation.policy != TRAINED:
        axes.axhline(found.value, color=colour, linestyle=(0, (5, 3)), linewidth=1.5)
        return
    error = np.array([[found.value - found.low], [found.high - found.value]])
    axes.errorbar(
        [axes.get_xlim()[1]],
        [found.value],
        yerr=None if np.isnan(error).any() else error,
        fmt="o",
        color=colour,
        markersize=6,
        capsize=4,
        clip_on=False,
        zorder=5,
    )


def _write_labels(axes: Axes, evaluations: Sequence[Evaluation], measure: str) -> None:
    """Name what the evaluations drew, at the right edge, without overlap."""
    bottom, top = axes.get_ylim()
    axes.set_ylim(bottom, top)
    line = _LABEL_HEIGHT * (top - bottom)
    lowest = bottom
    for it in sorted(evaluations, key=lambda found: found.mean.value):
        value = it.mean.value
        height = max(value, lowest)
        lowest = height + line
        axes.annotate(
            f"{it.policy} {with_digits(value, measure)}",
            (1.02, height),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=9.5,
            fontweight="bold",
            color=_COLOURS[it.policy],
            annotation_clip=False,
        )


def _thousands(value: float, _: int) -> str:
    if value >= 1e6:
        return f"{value / 1e6:g} M"
    return f"{value / 1e3:g} k" if value >= 1e3 else f"{value:g}"
