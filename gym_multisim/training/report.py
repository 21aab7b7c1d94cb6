"""What a run tells at its end: a table for people, and the same figures as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from gym_multisim.config import RETURN
from gym_multisim.training.evaluation import TRAINED, Evaluation, Interval, normalized_score

_NAMES = {"random": "random legal", "greedy": "greedy (scripted)", TRAINED: "trained"}


def print_comparison(
    console: Console,
    evaluations: Sequence[Evaluation],
    learning_steps_per_second: float,
    measure: str = RETURN,
) -> None:
    """Print one row per policy, and how far the trained one came from random to greedy."""
    arenas = len(evaluations[0].arena_means)
    table = Table(
        title=f"{measure.capitalize()} per episode of one agent",
        caption=(
            f"Intervals over {arenas} arenas with seeds of their own, the same for every policy. "
            "steps/s: agent steps per second; of the trained policy while it learned."
        ),
        title_style="bold",
        caption_justify="left",
    )
    table.add_column("policy")
    for name in (measure, "95% interval", "episodes", "steps/s"):
        table.add_column(name, justify="right", no_wrap=True)
    form = ".1f" if measure == RETURN else ".3f"
    for it in evaluations:
        found = it.mean
        is_trained = it.policy == TRAINED and not it.variant
        table.add_row(
            _NAMES[it.policy] + (f", {it.variant}" if it.variant else ""),
            f"{found.value:{form}}",
            _bounds(found, form),
            f"{it.episodes:,}",
            f"{learning_steps_per_second if is_trained else it.steps_per_second:,.0f}",
            style="bold" if is_trained else None,
        )
    console.print(table)
    score = normalized_score(tuple(evaluations))
    if score is not None:
        console.print(
            f"(trained − random) / (greedy − random) = [bold]{score.value:.2f}[/bold]"
            f"   (95% interval {_bounds(score, '.2f')})",
            highlight=False,
        )


def figures(evaluations: Sequence[Evaluation], measure: str = RETURN) -> dict[str, Any]:
    """Return the comparison as plain values for JSON; None stands for what is not known."""
    score = normalized_score(tuple(evaluations))
    return {
        "policies": [
            {
                "policy": it.policy,
                **({"variant": it.variant} if it.variant else {}),
                measure: _plain(it.mean),
                "arenas": len(it.arena_means),
                "episodes": it.episodes,
                "acting_steps_per_second": round(it.steps_per_second, 1),
            }
            for it in evaluations
        ],
        "score": None if score is None else _plain(score),
    }


def _plain(interval: Interval) -> dict[str, float | None]:
    names = {"mean": interval.value, "low": interval.low, "high": interval.high}
    return {name: value if math.isfinite(value) else None for name, value in names.items()}


def _bounds(interval: Interval, form: str) -> str:
    if math.isnan(interval.low):
        return "–"
    return f"{interval.low:{form}} … {interval.high:{form}}"
