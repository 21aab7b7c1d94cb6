"""The Gymnasium faces, and the entry points behind ``gymnasium.make`` and ``make_vec``.

`MultiSimVectorEnv` shows a pool of simulator servers, `HostedVectorEnv` ordinary environments
(where ``AsyncVectorEnv`` would be used), `SingleAgentEnv` one agent, with the others played for it.
"""

from __future__ import annotations

from typing import Any

from gymnasium.vector import AutoresetMode

from gym_multisim.envs.gymnasium_hosted import HostedVectorEnv
from gym_multisim.envs.gymnasium_single import SingleAgentEnv
from gym_multisim.envs.gymnasium_vector import MultiSimVectorEnv
from gym_multisim.errors import ConfigError
from gym_multisim.pool.loop import Autoreset
from gym_multisim.pool.pool import SimulatorPool
from gym_multisim.pool.scheduling import available_cores

__all__ = ["HostedVectorEnv", "MultiSimVectorEnv", "SingleAgentEnv", "make_env", "make_vector_env"]


def make_env(simulator: str, **kwargs: Any) -> SingleAgentEnv:
    """Return one agent's environment; the entry point behind ``gymnasium.make``.

    Keyword arguments that `SingleAgentEnv` and `SimulatorPool` do not have are options of the
    simulator.
    """
    own, options = _split_options(kwargs, ("agent", "others", "render_mode"))
    return SingleAgentEnv(simulator, simulator_options=options, **own)


def make_vector_env(
    simulator: str, num_envs: int = 1, servers: int | None = None, **kwargs: Any
) -> MultiSimVectorEnv:
    """Return a pool as a vector environment; the entry point behind ``gymnasium.make_vec``.

    Args:
        simulator: A registered name.
        num_envs: How many rows; a multiple of the agents of an arena.
        servers: How many servers; None takes as many as there are cores and as divide the arenas.
        **kwargs: Options of `MultiSimVectorEnv` and of `SimulatorPool`; the rest are options of the
            simulator.

    Raises:
        ConfigError: ``num_envs`` does not divide into arenas, or arenas not into servers.
    """
    render_mode = kwargs.pop("render_mode", None)
    own, options = _split_options(kwargs, _VECTOR_OPTIONS)
    face = {key: own.pop(key) for key in _VECTOR_OPTIONS if key in own}
    autoreset = own.pop("autoreset_mode", AutoresetMode.NEXT_STEP)
    own["autoreset"] = Autoreset[AutoresetMode(autoreset).name]
    probe = SimulatorPool(simulator, simulator_options=options, **{**own, "backend": "inline"})
    try:
        agents = len(probe.group(face.get("group")).agents)
        if render_mode not in ((None, "rgb_array") if probe.can_render else (None,)):
            raise ConfigError(
                f"render_mode is {render_mode!r}: expected "
                f"{'rgb_array or None' if probe.can_render else 'None, as nothing is drawn'}."
            )
    finally:
        probe.close()
    arenas = _divided("num_envs", num_envs, agents, "agents of an arena")
    if servers is None:
        servers = max(n for n in range(1, available_cores() + 1) if arenas % n == 0)
    per_server = _divided("The number of arenas", arenas, servers, "servers")
    pool = SimulatorPool(
        simulator,
        servers=servers,
        arenas_per_server=per_server,
        simulator_options=options,
        **own,
    )
    return MultiSimVectorEnv(pool, **face)


_VECTOR_OPTIONS = ("group", "others", "copy", "episode_statistics")
_POOL_OPTIONS = (
    "seed",
    "backend",
    "autoreset_mode",
    "decision_interval",
    "invalid_action",
    "invalid_action_penalty",
    "startup_timeout",
    "step_timeout",
    "reset_timeout",
    "stop_timeout",
    "check_rows",
    "log_directory",
)


def _split_options(
    kwargs: dict[str, Any], face_options: tuple[str, ...]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Separate what the environment and its pool take from the simulator's own options."""
    options = dict(kwargs.pop("simulator_options", None) or {})
    own: dict[str, Any] = {}
    for key, value in kwargs.items():
        (own if key in face_options or key in _POOL_OPTIONS else options)[key] = value
    return own, options


def _divided(what: str, number: int, by: int, of_what: str) -> int:
    if number < 1 or number % by:
        nearest = max(round(number / by), 1) * by
        raise ConfigError(
            f"{what} is {number}, which does not divide by {by} ({of_what}). The nearest number "
            f"that does is {nearest}."
        )
    return number // by
