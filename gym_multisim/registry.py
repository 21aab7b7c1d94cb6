"""Names of simulators: where each one's class lives, and what it needs.

Nothing is imported before it is asked for. `register` adds a simulator of one's own for this
process; its name then works wherever a name of ours does.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

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
        scripted: ``package.module:policy`` of a scripted agent to compare with, a function of
            (observation, action_mask) that returns one action per row; empty if it has none.
        manifest: The folder of the Node packages that it needs (``package.json`` and
            ``package-lock.json``), which ``gym-multisim install`` installs; None if it needs none.
    """

    name: str
    target: str | SimulatorFactory
    summary: str
    needs: str = ""
    extra: str = ""
    env_id: str = ""
    scripted: str = ""
    manifest: Path | None = None

    def load(self) -> SimulatorFactory:
        """Import and return the simulator's class.

        Raises:
            MissingExtraError: Its optional library is not installed.
        """
        if not isinstance(self.target, str):
            return self.target
        module, _, attribute = self.target.partition(":")
        try:
            loaded = importlib.import_module(module)
            factory: SimulatorFactory = getattr(loaded, attribute)
        except AttributeError:
            raise ConfigError(
                f"The module {module!r} has no {attribute!r}, which {self.target!r} names."
                f"{nearest_name(attribute, dir(loaded))}"
            ) from None
        except ModuleNotFoundError as error:
            if error.name is not None and module.startswith(error.name):
                raise ConfigError(
                    f"There is no module {error.name!r}, which the simulator {self.name!r} names."
                ) from error
            raise self._missing(error) from error
        except ImportError as error:
            raise self._missing(error) from error
        return factory

    def _missing(self, error: ImportError) -> ImportError:
        """Return the error for a failed import: what to install, or the failure itself."""
        if not self.needs or (error.name or "").partition(".")[0] != self.needs:
            return error
        return MissingExtraError(
            f"The simulator {self.name!r} needs {self.needs}, which is not installed. "
            f"Try: pip install 'gym-multisim[{self.extra}]'"
        )


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
    """Return the entry of a name, or of ``package.module:Class`` or ``path/file.py:Class``.

    Raises:
        ConfigError: There is none; the message names the nearest one.
    """
    if ":" in name:
        return Entry(name, _importable(name), "a simulator of your own")
    try:
        return _ENTRIES[name]
    except KeyError:
        raise ConfigError(
            f"There is no simulator named {name!r}.{nearest_name(name, _ENTRIES)} "
            f"Known: {', '.join(_ENTRIES)}."
        ) from None


def _importable(target: str) -> str:
    """Return ``module:Class``; for a file, make its folder importable, here and in workers."""
    place, _, attribute = target.rpartition(":")
    if not place.endswith(".py"):
        return target
    file = Path(place).resolve()
    if not file.is_file():
        raise ConfigError(f"There is no file {place!r}, which {target!r} names.")
    if str(file.parent) not in sys.path:
        sys.path.insert(0, str(file.parent))
    return f"{file.stem}:{attribute}"


for _entry in (
    Entry(
        "treasure_hunt",
        "gym_multisim.simulators.treasure_hunt:TreasureHunt",
        "grid world: agents with a narrow view collect gems and food, and avoid bones",
        env_id="TreasureHunt-v0",
        scripted="gym_multisim.simulators.treasure_hunt:greedy_actions",
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
    Entry(
        "showdown",
        "gym_multisim.simulators.showdown:Showdown",
        "Pokémon Showdown: doubles battles of the official simulator, with exact joint masks",
        extra="showdown",
        env_id="Showdown-v0",
        manifest=Path(__file__).parent / "simulators" / "showdown" / "bridge",
    ),
):
    register(_entry)
