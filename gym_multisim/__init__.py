"""gym_multisim: any pool of simulator servers as one fast vector environment.

Importing it registers the Gymnasium ids and starts nothing. Public names load on first use, so that
a worker process imports NumPy and its simulator alone.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gym_multisim.pool.batch import Batch as Batch
    from gym_multisim.pool.loop import Autoreset as Autoreset
    from gym_multisim.pool.pool import SimulatorPool as SimulatorPool
    from gym_multisim.simulator import AgentGroup as AgentGroup
    from gym_multisim.simulator import Simulator as Simulator
    from gym_multisim.simulator import SimulatorSpec as SimulatorSpec
    from gym_multisim.simulator import Status as Status

_PUBLIC = {
    "AgentGroup": "gym_multisim.simulator",
    "Autoreset": "gym_multisim.pool.loop",
    "Batch": "gym_multisim.pool.batch",
    "Simulator": "gym_multisim.simulator",
    "SimulatorPool": "gym_multisim.pool.pool",
    "SimulatorSpec": "gym_multisim.simulator",
    "Status": "gym_multisim.simulator",
}

__all__ = sorted(_PUBLIC)
__version__ = "0.1.0"


def _register_ids() -> None:
    """Register ``multisim/…`` ids for ``gymnasium.make`` and ``gymnasium.make_vec``."""
    from gymnasium.envs.registration import register, registry

    from gym_multisim.registry import entries

    for entry in entries():
        env_id = f"multisim/{entry.env_id}"
        if entry.env_id and env_id not in registry:
            register(
                env_id,
                entry_point="gym_multisim.envs.gymnasium:make_env",
                vector_entry_point="gym_multisim.envs.gymnasium:make_vector_env",
                kwargs={"simulator": entry.name},
            )


if "gym_multisim_worker" not in sys._xoptions:  # a worker needs no ids, and so no Gymnasium
    _register_ids()


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
