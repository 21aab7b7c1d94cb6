"""The Showdown engine alone in a Node process, for the benchmark `showdown`."""

from __future__ import annotations

import json
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gym_multisim.errors import MultiSimError
from gym_multisim.servers.node import find_node, installed_folder
from gym_multisim.servers.process import described_end
from gym_multisim.simulators.showdown.bridge_client import PROGRAM
from gym_multisim.simulators.showdown.simulator import NAME

_PROGRAM = "bench.js"
_FIRST = 0  # the number of the first battle: everyone plays the same ones in the same order


@dataclass
class Rates:
    """What was done in every window, the warm-up first: pairs of units and seconds."""

    battles: list[float] = field(default_factory=list)
    decisions: list[float] = field(default_factory=list)


class EngineAlone:
    """Plays battles with random legal choices of both seats, in a process of its own.

    Args:
        kind: ``plain``, or ``tables``: with the look-ups that the bridge replaces.
        battle_format: The format.
        stack: What ends the process.
    """

    def __init__(self, kind: str, battle_format: str, stack: ExitStack) -> None:
        command = _command(kind, "asked", _FIRST, battle_format)
        self._process = stack.enter_context(
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        )
        stack.callback(self._process.kill)
        self.rates = Rates()

    def work(self, seconds: float) -> float:
        """Play for so many seconds, to the end of the last battle; return battles a second."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            end = described_end(self._process.wait(timeout=10))
            raise MultiSimError(f"{_PROGRAM} {end}; what it said stands above.")
        done = json.loads(line)
        self.rates.battles.append(done["battles"] / done["seconds"])
        self.rates.decisions.append(done["decisions_of_p1"] / done["seconds"])
        return self.rates.battles[-1]


def microseconds_to_ask_all(battles: int, battle_format: str) -> float:
    """Return how long it takes to ask the engine about all 2,025 joint actions of a decision."""
    done = subprocess.run(
        _command("masks", battles, _FIRST, battle_format),
        stdout=subprocess.PIPE,
        check=False,
        timeout=120,
    )
    if done.returncode != 0:
        raise MultiSimError(
            f"{_PROGRAM} {described_end(done.returncode)}; what it said stands above."
        )
    answer: dict[str, Any] = json.loads(done.stdout)
    return float(answer["ask_all_us"])


def _command(*words: str | int) -> list[str]:
    kind, *rest = map(str, words)
    script: Path = PROGRAM / _PROGRAM
    folder = installed_folder(NAME, PROGRAM)
    return [str(find_node().program), str(script), str(folder), kind, *rest]
