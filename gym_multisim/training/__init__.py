"""Training runs: a config in, and a folder with the model, the curve and the comparison out."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gym_multisim.training.run import TrainingResult as TrainingResult
    from gym_multisim.training.run import train as train

__all__ = ["TrainingResult", "train"]


def __getattr__(name: str) -> Any:
    if name in __all__:  # only now, since it loads PyTorch
        return getattr(importlib.import_module("gym_multisim.training.run"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
