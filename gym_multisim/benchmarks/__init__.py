"""What `gym-multisim bench` runs: ours and the peers, in turn, in one session.

Importing this starts nothing and loads no peer: a benchmark's file is imported when it runs.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

from gym_multisim.benchmarks.measuring import Report, Row, machine, to_markdown, two_cores
from gym_multisim.errors import ConfigError, nearest_name

__all__ = [
    "BENCHMARKS",
    "Benchmark",
    "Row",
    "machine",
    "run_benchmark",
    "to_markdown",
    "why_left_out",
]


@dataclass(frozen=True)
class Benchmark:
    """One benchmark.

    Attributes:
        name: What users write, such as ``engine``.
        summary: One line for people.
        module: The file that has its ``run`` function.
    """

    name: str
    summary: str
    module: str

    @property
    def function(self) -> Callable[..., list[Row]]:
        """``run(*, repeats, report, settings=…)``, imported now."""
        function: Callable[..., list[Row]] = importlib.import_module(self.module).run
        return function


BENCHMARKS: dict[str, Benchmark] = {
    name: Benchmark(name, summary, f"{__name__}.{name}")
    for name, summary in (
        ("engine", "ordinary environments (64 CartPoles) against SB3's and Gymnasium's own"),
        ("overhead", "what a step costs when the simulators do nothing"),
        ("masks", "what MaskablePPO's masks cost: 1,024 rows of 2,025 actions"),
        ("stragglers", "16 servers of uneven speed: the first ready half against lock step"),
        ("treasure_hunt", "agent steps per second in 2 servers of 256 arenas"),
        ("showdown", "Pokémon Showdown against its own engine, and against poke-env"),
        ("startup", "how soon workers are ready, and how much memory they take"),
    )
}
"""All benchmarks by name, in the order in which ``all`` runs them."""


def why_left_out(name: str) -> str:
    """Return why a benchmark cannot run here, or an empty string if it can."""
    if name != "showdown":
        return ""
    from gym_multisim.servers.node import is_installed
    from gym_multisim.simulators.showdown.bridge_client import PROGRAM
    from gym_multisim.simulators.showdown.simulator import NAME

    if is_installed(NAME, PROGRAM):
        return ""
    return "it needs Pokémon Showdown; run: gym-multisim install showdown"


def run_benchmark(name: str, *, repeats: int = 5, report: Report | None = None) -> list[Row]:
    """Run a benchmark on two cores, and return its figures.

    Args:
        name: One of `BENCHMARKS`.
        repeats: How many rounds; figures are medians over them.
        report: Is given a line of text now and then.

    Raises:
        ConfigError: There is no such benchmark, or ``repeats`` is below 1.
    """
    if name not in BENCHMARKS:
        raise ConfigError(
            f"There is no benchmark named {name!r}.{nearest_name(name, BENCHMARKS)} "
            f"Known: {', '.join(BENCHMARKS)}."
        )
    if repeats < 1:
        raise ConfigError(f"repeats is {repeats}: expected at least 1 (for medians, 5 or more).")
    with two_cores():
        return BENCHMARKS[name].function(repeats=repeats, report=report or _say_nothing)


def _say_nothing(line: str) -> None:
    pass
