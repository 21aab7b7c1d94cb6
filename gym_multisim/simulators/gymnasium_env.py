"""Ordinary Gymnasium environments as arenas: many to a worker, stepped one after another.

`GymnasiumSimulator` makes all its environments from one id or function and seeds every episode, as
every simulator of a pool does. `HostedEnvironments` takes one function per environment and leaves
seeds and attributes as stable-baselines3's and Gymnasium's own vector environments do; it stands
behind ``HostedVecEnv`` and ``HostedVectorEnv``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from gym_multisim import seeding
from gym_multisim.errors import ConfigError, ContractError, UsageError
from gym_multisim.simulator import (
    NO_SEED,
    AgentGroup,
    GroupRows,
    Infos,
    Rows,
    ServerContext,
    Simulator,
    SimulatorSpec,
    Status,
)
from gym_multisim.simulators.structured_actions import StructuredActions

GROUP = "agents"
AGENT = "agent"
_DISCRETE = (spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)

EnvFn = Callable[[], "gymnasium.Env[Any, Any]"]


class _Environments(Simulator):
    """What both kinds share: rows of one agent, filled from a list of environments."""

    def __init__(self) -> None:
        self._envs: list[gymnasium.Env[Any, Any]] = []
        self._first = 0
        self._options: dict[int, dict[str, Any]] = {}
        self._step_infos: dict[int, dict[str, Any]] = {}
        self._reset_infos: dict[int, dict[str, Any]] = {}
        self._reads_masks = False
        self._rows: GroupRows | None = None
        self._writer: Callable[[int, Any], None] = _writer(())
        self._unpack: Callable[[Any], Any] | None = None
        self._default_reset: dict[str, Any] = {}

    def _add(self, env: Any, made_by: Any) -> None:
        _require_environment(env, made_by)
        if any(env.unwrapped is other.unwrapped for other in self._envs):
            raise ContractError(
                f"{made_by!r} returned one and the same environment twice: expected a new one at "
                "each call, as in lambda: gymnasium.make(...)."
            )
        self._envs.append(env)

    def reset(self, arenas: NDArray[np.intp], seeds: NDArray[np.uint64], rows: Rows) -> None:
        """Reset some environments, each with its seed, or none for `NO_SEED`."""
        group = rows[GROUP]
        if self._rows is not group:
            self._rows = group
            self._writer = _writer(group.observation)
        for arena, seed in zip(arenas.tolist(), seeds, strict=True):
            if arena >= len(self._envs):
                group.status[arena] = Status.ABSENT  # a seat that pads the last server
                continue
            env = self._envs[arena]
            kwargs = self._default_reset
            if arena in self._options:
                kwargs = {"options": self._options[arena]}
            observation, info = env.reset(seed=self._env_seed(seed), **kwargs)
            _check_shape(group.observation, observation, self._first + arena)
            self._writer(arena, observation)
            if info:
                self._reset_infos[arena] = dict(info)
        self._options = {}
        self._write_masks(arenas)

    def step(self, arenas: NDArray[np.intp], rows: Rows) -> None:
        """Step some environments, in order."""
        group = rows[GROUP]
        envs, infos = self._envs, self._step_infos
        if len(envs) < len(group.status):
            arenas = arenas[arenas < len(envs)]  # without the seats that pad the last server
        write = self._writer
        # A private copy: an environment may keep its action, and shared memory changes under it.
        actions = list(group.action[:, 0].copy())
        if self._unpack is not None:
            actions = [self._unpack(action) for action in actions]
        rewards, ended = [], []
        for arena in arenas.tolist():
            observation, reward, terminated, truncated, info = envs[arena].step(actions[arena])
            write(arena, observation)
            rewards.append(reward)
            if terminated:
                group.terminated[arena, 0] = True
                ended.append(arena)
            if truncated:
                group.truncated[arena, 0] = True
                ended.append(arena)
            if info:
                infos[arena] = dict(info)
        group.reward[arenas, 0] = rewards
        if self._reads_masks and group.action_mask is not None:
            # An environment that has ended may have no mask to tell.
            self._write_masks(np.setdiff1d(arenas, ended) if ended else arenas)

    def take_infos(self) -> Infos | None:
        """Return the info dictionaries that were not empty."""
        if not self._step_infos and not self._reset_infos:
            return None
        infos = Infos({GROUP: self._step_infos}, {GROUP: self._reset_infos})
        self._step_infos, self._reset_infos = {}, {}
        return infos

    def set_reset_options(self, options: Mapping[int, Mapping[str, Any]]) -> None:
        """Keep options for the next reset of some environments."""
        self._options = {arena: dict(given) for arena, given in options.items()}

    def render(self, arena: int) -> Any:
        """Return whatever the environment's ``render()`` returns."""
        return self._envs[arena].render()

    def close(self) -> None:
        """Close all environments."""
        envs, self._envs = self._envs, []
        for env in envs:
            env.close()

    def read_masks(self) -> None:
        """From now on, let masks travel with observations."""
        self._reads_masks = True
        self._reread_masks()

    def _reread_masks(self) -> None:
        """Read the masks of all environments whose episode goes on."""
        if self._reads_masks and self._rows is not None:
            self._write_masks(np.flatnonzero(self._rows.status[:, 0] != Status.ABSENT))

    def _write_masks(self, arenas: NDArray[np.intp]) -> None:
        if self._rows is None or self._rows.action_mask is None:
            return
        masks = self._rows.action_mask[:, 0]
        if not self._reads_masks:
            masks[arenas] = True
            return
        for arena in arenas.tolist():
            if arena >= len(self._envs):
                continue
            mask = _flat_mask(self._envs[arena].get_wrapper_attr("action_masks")())
            if mask.shape != masks.shape[1:]:
                raise ContractError(
                    f"action_masks() of environment {self._first + arena} returned {mask.size} "
                    f"entries: expected {masks.shape[1]}, one for each choice of its action space "
                    "(MultiDiscrete: branch after branch; MultiBinary: no and yes of each)."
                )
            masks[arena] = mask

    def _env_seed(self, seed: np.uint64) -> int | None:
        return None if seed == NO_SEED else seeding.env_seed(seed)


class GymnasiumSimulator(_Environments):
    """One kind of Gymnasium environment; every episode has its own seed.

    Args:
        env: An environment id, or a function that returns an environment.
        env_options: Keyword arguments for ``gymnasium.make`` or that function.
    """

    def __init__(
        self, env: str | Callable[..., Any], env_options: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__()
        if not isinstance(env, str) and not callable(env):
            raise ConfigError(
                f"env is {env!r}: expected the id of a Gymnasium environment, such as "
                "'CartPole-v1', or a function that returns an environment."
            )
        self._env = env
        self._env_options = dict(env_options or {})
        self._reads_masks = True

    def spec(self) -> SimulatorSpec:
        """Return the spaces of one environment, made and closed for the purpose."""
        env = self._make()
        _require_environment(env, self._env)
        try:
            return _spec_of(env, env.action_space, reseeds=True)
        finally:
            env.close()

    def open(self, context: ServerContext) -> None:
        """Make the environments."""
        self._first = context.first_arena
        for _ in range(context.arenas):
            self._add(self._make(), self._env)

    def render(self, arena: int) -> Any:
        """Return the environment's picture.

        Raises:
            UsageError: It draws none.
        """
        picture = super().render(arena)
        if not isinstance(picture, np.ndarray):
            raise UsageError(
                f"render() of {self._envs[arena]} returned {type(picture).__name__}: expected an "
                "array (height, width, 3). Make it with env_options={'render_mode': 'rgb_array'}."
            )
        return picture

    def _make(self) -> gymnasium.Env[Any, Any]:
        if not isinstance(self._env, str):
            made: gymnasium.Env[Any, Any] = self._env(**self._env_options)
            return made
        try:
            return gymnasium.make(self._env, **self._env_options)
        except gymnasium.error.Error as error:
            raise ConfigError(
                f"gymnasium.make({self._env!r}) failed: {error} (Ids of a package that must be "
                "imported first are written 'package:Name-v0'.)"
            ) from error


class HostedEnvironments(_Environments):
    """Environments made by a function each; the first worker has the first of them.

    Args:
        env_fns: One function per environment, for all servers together.
        names_options: Whether ``reset`` of an environment is always given ``options``, as
            Gymnasium does, or only where there are some, as stable-baselines3 does.
    """

    spec_needs_server: ClassVar[bool] = True

    def __init__(self, env_fns: Sequence[EnvFn], names_options: bool = False) -> None:
        super().__init__()
        self._env_fns = list(env_fns)
        self._default_reset = {"options": None} if names_options else {}

    def open(self, context: ServerContext) -> None:
        """Make this server's environments."""
        first = self._first = context.first_arena
        for number, env_fn in enumerate(self._env_fns[first : first + context.arenas], first):
            env = env_fn()
            self._add(env, env_fn)
            for name in ("observation_space", "action_space"):
                expected, found = getattr(self._envs[0], name), getattr(env, name)
                if expected != found:
                    raise ContractError(
                        f"Environment {number} has another {name} than environment {first}: "
                        f"expected {expected}, found {found}. All environments of one vector "
                        "environment must have equal spaces."
                    )

    def spec(self) -> SimulatorSpec:
        """Return the spaces of the environments that `open` made."""
        action_space = StructuredActions.where_needed(self._envs[0].action_space)
        if isinstance(action_space, StructuredActions):
            self._unpack = action_space.unpack
        return _spec_of(self._envs[0], action_space, reseeds=False)

    def _env_seed(self, seed: np.uint64) -> int | None:
        return None if seed == NO_SEED else int(seed)

    # What vector environments ask of single ones. Rows are numbered as in the whole pool; each
    # worker answers for its own, in their order.

    def get_attribute(self, rows: Sequence[int], name: str) -> list[Any]:
        """Return an attribute, looked up through the wrappers."""
        return [env.get_wrapper_attr(name) for env in self._chosen(rows)]

    def has_attribute(self, rows: Sequence[int], name: str) -> list[bool]:
        """Return whether each environment has an attribute."""
        return [env.has_wrapper_attr(name) for env in self._chosen(rows)]

    def set_attribute(self, rows: Sequence[int], name: str, value: Any) -> list[None]:
        """Set an attribute of the outermost wrapper."""
        own = self._chosen(rows)
        for env in own:
            setattr(env, name, value)
        self._reread_masks()
        return [None] * len(own)

    def set_wrapper_attribute(
        self, rows: Sequence[int], name: str, values: Sequence[Any]
    ) -> list[None]:
        """Set an attribute where the wrappers have it, one value per row."""
        value_of = dict(zip(rows, values, strict=True))
        own = [row for row in rows if self._is_mine(row)]
        for row in own:
            self._envs[row - self._first].set_wrapper_attr(name, value_of[row])
        self._reread_masks()
        return [None] * len(own)

    def call_method(
        self, rows: Sequence[int], name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> list[Any]:
        """Call a method, looked up through the wrappers, and read the masks anew."""
        answers = [env.get_wrapper_attr(name)(*args, **kwargs) for env in self._chosen(rows)]
        self._reread_masks()
        return answers

    def call_or_get(
        self, rows: Sequence[int], name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> list[Any]:
        """Call an attribute if it is callable, else return it (Gymnasium's ``call``)."""
        found = [env.get_wrapper_attr(name) for env in self._chosen(rows)]
        answers = [item(*args, **kwargs) if callable(item) else item for item in found]
        self._reread_masks()
        return answers

    def is_wrapped(self, rows: Sequence[int], wrapper: type[Any]) -> list[bool]:
        """Return whether each environment is wrapped by a class."""
        return [_is_wrapped(env, wrapper) for env in self._chosen(rows)]

    def draw(self, rows: Sequence[int]) -> list[Any]:
        """Return what each environment renders."""
        return [env.render() for env in self._chosen(rows)]

    def _is_mine(self, row: int) -> bool:
        return 0 <= row - self._first < len(self._envs)

    def _chosen(self, rows: Sequence[int]) -> list[gymnasium.Env[Any, Any]]:
        return [self._envs[row - self._first] for row in rows if self._is_mine(row)]


def _spec_of(
    env: gymnasium.Env[Any, Any], action_space: gymnasium.Space[Any], reseeds: bool
) -> SimulatorSpec:
    group = AgentGroup(
        GROUP, (AGENT,), env.observation_space, action_space, masked=_offers_masks(env)
    )
    return SimulatorSpec((group,), reseeds=reseeds)


def _is_wrapped(env: Any, wrapper: type[Any]) -> bool:
    while isinstance(env, gymnasium.Wrapper):
        if isinstance(env, wrapper):
            return True
        env = env.env
    return False


def _offers_masks(env: gymnasium.Env[Any, Any]) -> bool:
    return isinstance(env.action_space, _DISCRETE) and env.has_wrapper_attr("action_masks")


def _flat_mask(mask: Any) -> NDArray[Any]:
    """Put the masks of several branches one after another, as sb3-contrib does."""
    if isinstance(mask, (list, tuple)) and len(mask) and np.ndim(mask[0]):
        return np.concatenate([np.ravel(branch) for branch in mask])
    return np.ravel(mask)


def _require_environment(env: Any, made_by: Any) -> None:
    if not isinstance(env, gymnasium.Env):
        raise ContractError(
            f"{made_by!r} returned {type(env).__module__}.{type(env).__name__}: expected a "
            "gymnasium.Env. (An environment of the older package gym needs the package shimmy.)"
        )


def _writer(target: Any) -> Callable[[int, Any], None]:
    """Return a function that writes one arena's observation into the rows, leaf by leaf."""
    if isinstance(target, np.ndarray):
        only_agent: NDArray[Any] = target[:, 0]
        return only_agent.__setitem__
    keys = list(target) if isinstance(target, dict) else list(range(len(target)))
    writers = [(key, _writer(target[key])) for key in keys]

    def write(arena: int, value: Any) -> None:
        for key, writer in writers:
            writer(arena, value[key])

    return write


def _check_shape(target: Any, value: Any, arena: int, path: str = "") -> None:
    """Refuse an observation that NumPy would quietly stretch to the shape of the space."""
    if isinstance(target, dict):
        missing = [key for key in target if key not in value]
        if missing:
            raise ContractError(f"The observation of environment {arena} lacks the keys {missing}.")
        for key, inner in target.items():
            _check_shape(inner, value[key], arena, f"{path}.{key}".lstrip("."))
    elif isinstance(target, tuple):
        for index, inner in enumerate(target):
            _check_shape(inner, value[index], arena, f"{path}[{index}]")
    else:
        expected = target.shape[2:]
        found = np.shape(value)
        if found != expected:
            leaf = f" leaf {path!r}" if path else ""
            raise ContractError(
                f"The observation{leaf} of environment {arena} has shape {found}; its space says "
                f"{expected}. Correct the environment or its observation_space."
            )
