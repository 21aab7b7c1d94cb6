"""The stock algorithms that a config can name; their options, checked and made into objects."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, PydanticSchemaGenerationError, TypeAdapter, ValidationError

from gym_multisim.errors import ConfigError, nearest_name
from gym_multisim.training.signatures import shown, signature_problems

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm

ALGORITHMS = {
    **dict.fromkeys(("A2C", "DDPG", "DQN", "PPO", "SAC", "TD3"), "stable_baselines3"),
    **dict.fromkeys(
        ("CrossQ", "MaskablePPO", "QRDQN", "RecurrentPPO", "TQC", "TRPO"), "sb3_contrib"
    ),
}
"""The package of each algorithm."""

_OURS = ("self", "policy", "env", "seed", "tensorboard_log", "verbose", "_init_setup_model")
"""Parameters of every algorithm that other settings of a config decide."""

_SCHEDULE_KEYS = ("start", "end", "end_fraction")


def load_algorithm(name: str) -> type[BaseAlgorithm]:
    """Import and return an algorithm's class.

    Raises:
        ConfigError: There is none of this name; the message names the nearest one.
    """
    if name not in ALGORITHMS:
        raise ConfigError(
            f"There is no algorithm named {name!r}.{nearest_name(name, ALGORITHMS)} "
            f"Known: {', '.join(ALGORITHMS)}."
        )
    algorithm: type[BaseAlgorithm] = getattr(importlib.import_module(ALGORITHMS[name]), name)
    return algorithm


def uses_masks(algorithm: type[BaseAlgorithm]) -> bool:
    """Return whether an algorithm reads action masks."""
    return "action_masks" in inspect.signature(algorithm.predict).parameters


def option_problems(
    algorithm: type[BaseAlgorithm], options: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """Yield (name, what is wrong) for options that an algorithm does not take."""
    unknown = dict(signature_problems(algorithm.__init__, options, hidden=_OURS))
    yield from unknown.items()
    parameters = inspect.signature(algorithm.__init__).parameters
    for name, value in options.items():
        if name in unknown:
            continue
        try:
            resolved = _resolved(name, value)
        except ConfigError as error:
            yield name, f": {error}"
            continue
        annotation = parameters[name].annotation
        if not _fits(resolved, annotation):
            expected = inspect.formatannotation(annotation).replace("collections.abc.", "")
            yield name, f" is {shown(value)}: expected {expected}."


def resolved_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as an algorithm takes them: schedules and classes instead of their names."""
    return {name: _resolved(name, value) for name, value in options.items()}


def _resolved(name: str, value: Any) -> Any:
    if name == "policy_kwargs" and isinstance(value, Mapping):
        return {key: _resolved(key, inner) for key, inner in value.items()}
    if isinstance(value, Mapping) and "start" in value:
        return _schedule(value)
    if isinstance(value, str):
        if name == "activation_fn":
            return _class_of(value, "torch.nn")
        if name == "optimizer_class":
            return _class_of(value, "torch.optim")
        if name.endswith("_class"):
            return _class_of(value, "stable_baselines3.common.buffers")
    if name == "train_freq" and isinstance(value, list):
        return tuple(value)
    return value


def _schedule(value: Mapping[str, Any]) -> Callable[[float], float]:
    from stable_baselines3.common.utils import LinearSchedule

    for key, number in value.items():
        if key not in _SCHEDULE_KEYS:
            raise ConfigError(
                f"A schedule has no {key!r}.{nearest_name(key, _SCHEDULE_KEYS)} "
                f"Known: {', '.join(_SCHEDULE_KEYS)}."
            )
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise ConfigError(f"The {key!r} of a schedule is {number!r}: expected a number.")
    if "end" not in value:
        raise ConfigError("A schedule needs an 'end' besides its 'start'.")
    schedule: Callable[[float], float] = LinearSchedule(
        float(value["start"]), float(value["end"]), float(value.get("end_fraction", 1.0))
    )
    return schedule


def _class_of(name: str, home: str) -> Any:
    """Return a class by its name in the module ``home``, or by ``package.module:Class``."""
    place, _, attribute = name.rpartition(":")
    try:
        module = importlib.import_module(place or home)
    except ImportError as error:
        raise ConfigError(f"{name!r} cannot be imported: {error}.") from error
    found = getattr(module, attribute, None)
    if not inspect.isclass(found):
        classes = [key for key, it in vars(module).items() if inspect.isclass(it)]
        raise ConfigError(
            f"{module.__name__} has no class {attribute!r}.{nearest_name(attribute, classes)}"
        )
    return found


def _fits(value: Any, annotation: Any) -> bool:
    """Return whether a value is of an annotated type, as far as that can be told."""
    try:
        adapter = TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True))
        adapter.validate_python(value, strict=True)
    except ValidationError:
        return False
    except (PydanticSchemaGenerationError, NameError):
        return True
    return True
