"""Names of simulators: where each one's class lives, and what it needs.

Nothing is imported before it is asked for. `register` adds a simulator of one's own for this
process; its name then works wherever a name of ours does.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

from gym_multisim.errors import ConfigError, MissingExtraError, nearest_name
from gym_multisim.simulator import Simulator

SimulatorFactory = Callable[..., Simulator]


@dataclass(frozen=True)
class Entry:
    """One known simulator.

    Attributes:
        name: What users write, such as ``treasure_hunt``.
        target: ``package.module:Class``, or the class (or a function that returns one) itself.
        summary: One line for people.
        needs: The optional library that it imports, or an empty string.
        extra: The extra of this package that installs that library.
        env_id: The name in Gymnasium ids, ``multisim/<env_id>``; empty if it has none.
    """

    name: str
    target: str | SimulatorFactory
    summary: str
    needs: str = ""
    extra: str = ""
    env_id: str = ""

    def load(self) -> SimulatorFactory:
        """Import and return the simulator's class.

        Raises:
            MissingExtraError: Its optional library is not installed.
        """
        if not isinstance(self.target, str):
            return self.target
        module, _, attribute = self.target.partition(":")
        try:
            factory: SimulatorFactory = getattr(importlib.import_module(module), attribute)
        except ImportError as error:
            if not self.needs or (error.name or "").partition(".")[0] != self.needs:
                raise
            raise MissingExtraError(
                f"The simulator {self.name!r} needs {self.needs}, which is not installed. "
                f"Try: pip install 'gym-multisim[{self.extra}]'"
            ) from error
        return factory


_ENTRIES: dict[str, Entry] = {}


def register(entry: Entry) -> None:
    """Make a simulator known by its name, for this process.

    Raises:
        ConfigError: The name is taken by another simulator.
    """
    known = _ENTRIES.get(entry.name)
    if known is not None and known != entry:
        raise ConfigError(
            f"A simulator named {entry.name!r} is registered already ({known.target}). "
            "Choose another name."
        )
    _ENTRIES[entry.name] = entry


def entries() -> tuple[Entry, ...]:
    """Return all known simulators, in order of registration."""
    return tuple(_ENTRIES.values())


def find(name: str) -> Entry:
    """Return the entry of a name.

    Raises:
        ConfigError: There is none; the message names the nearest one.
    """
    try:
        return _ENTRIES[name]
    except KeyError:
        raise ConfigError(
            f"There is no simulator named {name!r}.{nearest_name(name, _ENTRIES)} "
            f"Known: {', '.join(_ENTRIES)}."
        ) from None


for _entry in (
    Entry(
        "treasure_hunt",
        "gym_multisim.simulators.treasure_hunt:TreasureHunt",
        "grid world: agents with a narrow view collect gems and food, and avoid bones",
        env_id="TreasureHunt-v0",
    ),
    Entry(
        "gymnasium",
        "gym_multisim.simulators.gymnasium_env:GymnasiumSimulator",
        "any Gymnasium environment, by id or by a function that makes one",
        env_id="Gymnasium-v0",
    ),
    Entry(
        "pettingzoo",
        "gym_multisim.simulators.pettingzoo_env:PettingZooSimulator",
        "any PettingZoo ParallelEnv, by import path or by a function that makes one",
        needs="pettingzoo",
        extra="pettingzoo",
        env_id="PettingZoo-v0",
    ),
    Entry(
        "latency",
        "gym_multisim.simulators.latency:Latency",
        "synthetic: chosen step and reset times, crashes and hangs, to test pools with",
        env_id="Latency-v0",
    ),
):
    register(_entry)
