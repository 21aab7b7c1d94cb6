"""Fakes and contract checks, for people who write simulators."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gym_multisim.testing.checks import CheckReport as CheckReport
    from gym_multisim.testing.checks import check_simulator as check_simulator

__all__ = ["CheckReport", "check_simulator"]


def __getattr__(name: str) -> Any:
    if name in __all__:  # only now, since workers load the fakes beside it
        return getattr(importlib.import_module("gym_multisim.testing.checks"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
