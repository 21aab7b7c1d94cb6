"""How every benchmark measures: all contestants in turn, round after round, and their medians.

The machine changes its mind while a benchmark runs (other work, clock speeds, where the scheduler
puts processes). Contestants that take short turns meet the same moods; medians of several rounds
leave the odd one out; a ratio is that of two such medians.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import itertools
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Report = Callable[[str], None]
"""Is given a line of text for whoever waits."""

Contestant = Callable[[float], float]
"""Works for about so many seconds, and returns its figure."""

_LIBRARIES = ("gym-multisim", "numpy", "gymnasium", "stable-baselines3", "sb3-contrib", "torch")
_MICRO = 1e6


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        bench: The benchmark.
        name: What was measured.
        value: The figure, a median.
        unit: Its unit.
        peer: What it is compared with, or an empty string.
        peer_value: The peer's figure in the same unit, a median.
        ratio: ``value / peer_value``.
        target: What is asked of the ratio, or of the value where there is no peer.
        holds: Whether the target is met; None if the figure is only reported.
    """

    bench: str
    name: str
    value: float
    unit: str
    peer: str = ""
    peer_value: float | None = None
    ratio: float | None = None
    target: str = ""
    holds: bool | None = None


@dataclass(frozen=True)
class Window:
    """How long a contestant works at a time, in seconds."""

    seconds: float = 1.2
    warm_up: float = 0.5


WINDOW = Window()


@dataclass(frozen=True)
class Samples:
    """One contestant's figures, a number per round."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The figure that counts."""
        return statistics.median(self.values)

    def __str__(self) -> str:
        """Show the median and the range."""
        low, high = min(self.values), max(self.values)
        return f"{number(self.median)} ({number(low)} to {number(high)})"


def in_turn(
    bench: str,
    contestants: Mapping[str, Contestant],
    *,
    repeats: int,
    window: Window,
    report: Report,
) -> dict[str, Samples]:
    """Warm all contestants up, then let them work in turn (A B C A B C …), ``repeats`` times."""
    for work in contestants.values():
        work(window.warm_up)
    figures: dict[str, list[float]] = {name: [] for name in contestants}
    for index in range(repeats):
        report(f"{bench}: round {index + 1} of {repeats}")
        for name, work in contestants.items():
            figures[name].append(work(window.seconds))
    samples = {name: Samples(tuple(values)) for name, values in figures.items()}
    for name, sample in samples.items():
        report(f"{bench}: {name}: {sample}")
    return samples


def per_second(call: Callable[[], object], units: int) -> Contestant:
    """Return a contestant whose figure is how many units a second its calls get done."""

    def work(seconds: float) -> float:
        calls, elapsed = _repeat(call, seconds)
        return units * calls / elapsed

    return work


def microseconds(call: Callable[[], object]) -> Contestant:
    """Return a contestant whose figure is the mean duration of a call in microseconds."""

    def work(seconds: float) -> float:
        calls, elapsed = _repeat(call, seconds)
        return elapsed / calls * _MICRO

    return work


def _repeat(call: Callable[[], object], seconds: float) -> tuple[int, float]:
    """Call until the time is over; return how often, and the seconds that took."""
    clock = time.perf_counter
    calls = 0
    began = clock()
    while True:
        call()
        calls += 1
        elapsed = clock() - began
        if elapsed >= seconds:
            return calls, elapsed


def judge(
    bench: str,
    name: str,
    value: float,
    unit: str,
    *,
    peer: str = "",
    peer_value: float | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
) -> Row:
    """Return a row, with the ratio to its peer and whether a target is met.

    The target is on the ratio where there is a peer, else on the value; without one, the row is
    only reported.
    """
    ratio = None if peer_value is None else value / peer_value
    judged = value if ratio is None else ratio
    of_what = f" {unit}" if ratio is None else " × peer"
    target, holds = "", None
    if at_least is not None:
        target, holds = f"≥ {number(at_least)}{of_what}", judged >= at_least
    elif at_most is not None:
        target, holds = f"≤ {number(at_most)}{of_what}", judged <= at_most
    return Row(bench, name, value, unit, peer, peer_value, ratio, target, holds)


# --- the machine ------------------------------------------------------------------------------


@contextlib.contextmanager
def two_cores() -> Iterator[tuple[int, ...]]:
    """Keep this thread, and every process it starts, on two cores; yield their numbers.

    The targets are stated for two cores. Where there are more, two that share no physical core are
    taken; where the operating system has no such setting, nothing is done.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield ()
        return
    before = os.sched_getaffinity(0)
    cores = _distinct_cores(sorted(before))[:2]
    os.sched_setaffinity(0, cores)
    try:
        yield tuple(cores)
    finally:
        os.sched_setaffinity(0, before)


def _distinct_cores(cores: Sequence[int]) -> list[int]:
    """Put one hardware thread of each physical core first."""
    first: list[int] = []
    others: list[int] = []
    seen: set[str] = set()
    for core in cores:
        siblings = f"{core}"
        with contextlib.suppress(OSError):
            path = f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list"
            siblings = Path(path).read_text()
        (others if siblings in seen else first).append(core)
        seen.add(siblings)
    return first + others


def machine() -> str:
    """Return one line on what the figures were measured with."""
    versions = []
    for library in _LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions.append(f"{library} {importlib.metadata.version(library)}")
    cores = os.cpu_count() or 1
    return (
        f"{_processor()}, {min(cores, 2)} of {cores} cores, {platform.system()} "
        f"{platform.release()}, Python {platform.python_version()}, {', '.join(versions)}"
    )


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


# --- for people -------------------------------------------------------------------------------


def number(value: float) -> str:
    """Return a number as people write it: whole above a hundred, else three digits."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def to_markdown(rows: Sequence[Row]) -> str:
    """Return a heading and a table for each benchmark, in the order of the rows."""
    parts = []
    for bench, group in itertools.groupby(rows, key=lambda row: row.bench):
        lines = [
            f"### {bench}",
            "",
            "| measured | value | compared with | its value | ratio | target | met |",
            "|---|---:|---|---:|---:|---|---|",
            *map(_markdown_line, group),
        ]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _markdown_line(row: Row) -> str:
    cells = (
        row.name,
        f"{number(row.value)} {row.unit}",
        row.peer,
        "" if row.peer_value is None else number(row.peer_value),
        "" if row.ratio is None else f"{number(row.ratio)} ×",
        row.target,
        "" if row.holds is None else ("yes" if row.holds else "**no**"),
    )
    return f"| {' | '.join(cells)} |"
