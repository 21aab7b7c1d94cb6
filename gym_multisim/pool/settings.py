"""Checks of a pool's settings: each returns a usable value or says what was expected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gym_multisim.errors import ConfigError, nearest_name

_LONGEST = 1e6  # seconds: what every way of waiting can count; stands for infinity, too


def at_least_one(key: str, value: int) -> int:
    """Return a count, or say that it is none."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ConfigError(f"{key} is {value!r}: expected a whole number of at least 1.")
    return int(value)


def positive(key: str, value: float) -> float:
    """Return seconds that every way of waiting can count, or say that they are none."""
    if not isinstance(value, (int, float)) or not value > 0:
        raise ConfigError(f"{key} is {value!r}: expected a number of seconds above 0.")
    return min(float(value), _LONGEST)


def choice(key: str, value: str, known: Sequence[str]) -> None:
    """Say what there is, and what is nearest, if a word is not among those known."""
    if value not in known:
        raise ConfigError(
            f"{key} is {value!r}.{nearest_name(str(value), known)} Expected one of: "
            f"{', '.join(map(repr, known))}."
        )


def member(key: str, kind: type[Any], value: Any) -> Any:
    """Return a member of an enum, given as such or by its value."""
    if isinstance(value, kind):
        return value
    values = [member.value for member in kind]
    choice(key, value, values)
    return kind(value)
