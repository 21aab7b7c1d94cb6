"""Any PettingZoo ParallelEnv as a simulator: one environment per arena.

Environments are made in the workers alone, so that the caller's process imports none of their
libraries; the price is that the specification is known only once a server is open.
"""

from __future__ import annotations

import contextlib
import inspect
import re
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import Space, spaces
from numpy.typing import NDArray
from pettingzoo import AECEnv, ParallelEnv
from pettingzoo.utils.conversions import turn_based_aec_to_parallel_wrapper
from pettingzoo.utils.wrappers import BaseParallelWrapper

from gym_multisim import seeding
from gym_multisim.errors import (
    ConfigError,
    ContractError,
    UsageError,
    nearest_name,
)
from gym_multisim.simulator import (
    AgentGroup,
    GroupRows,
    Infos,
    Rows,
    ServerContext,
    Simulator,
    SimulatorSpec,
    Status,
)
from gym_multisim.simulators.pettingzoo_source import find, made

_ACTIVE, _WAITING, _ABSENT = int(Status.ACTIVE), int(Status.WAITING), int(Status.ABSENT)
_MASK = "action_mask"
_ACTOR = "active_agent"  # what PettingZoo's turn-based conversion adds to infos


class PettingZooSimulator(Simulator):
    """Runs ParallelEnvs, and follows their agents through birth and death.

    Agents whose observation and action spaces are equal form one agent group, in the order of
    ``possible_agents``. A single group is called "agents"; several are called by what their agents'
    names have in common ("wolf" for wolf_0 and wolf_1), or else by their first agent.

    * Agents that are not in ``env.agents`` are ABSENT; one that appears later is born. One that
      leaves without being terminated or truncated counts as truncated.
    * An agent may have a mask as PettingZoo knows it: in a Dict observation under "action_mask"
      (the rest of the observation, or its only other entry "observation", is then the observation
      space), or in its info under "action_mask". To know about the latter before any episode, the
      first environment is reset once, unless ``masked`` says so. Where a mask allows nothing, the
      first action is allowed, as in Gymnasium's own sampling.
    * In environments of ``turn_based_aec_to_parallel``, all but the agent whose turn it is are
      WAITING.

    Args:
        env: What makes an environment: a callable, or where to import it from, as
            ``package.module`` (its ``parallel_env`` is taken), ``package.module:function``, or
            ``namespace/name`` in PettingZoo's registry, such as ``sisl/pursuit_v5``.
        env_options: Keyword arguments for it.
        masked: Whether infos bring action masks; None finds out by one throw-away reset.
        deterministic: Whether equal seeds and actions give equal episodes.

    Raises:
        ConfigError: An option is unknown or cannot be used.
    """

    spec_needs_server = True

    def __init__(
        self,
        env: str | Callable[..., Any],
        env_options: Mapping[str, Any] | None = None,
        *,
        masked: bool | None = None,
        deterministic: bool = True,
        **unknown: object,
    ) -> None:
        _refuse_unknown(unknown)
        if isinstance(env, (ParallelEnv, AECEnv)) or not (isinstance(env, str) or callable(env)):
            raise ConfigError(
                f"The option env is {env!r}: expected a function or class that makes a "
                "ParallelEnv, or an import path such as 'package.module:function'. Every arena "
                "gets an environment of its own, so give what makes one, not one."
            )
        self._env = env
        self._env_options = dict(env_options or {})
        self._masked = masked
        self._deterministic = deterministic
        self._envs: list[Any] = []
        self._turns: list[Any] = []
        self._members: tuple[_Members, ...] = ()
        self._known: frozenset[Hashable] = frozenset()
        self._reset_options: dict[int, Mapping[str, Any]] = {}
        self._step_infos: dict[str, dict[int, dict[str, Any]]] = {}
        self._reset_infos: dict[str, dict[int, dict[str, Any]]] = {}

    def spec(self) -> SimulatorSpec:
        """Return the agent groups of the environment; only after `open`."""
        if not self._members:
            raise UsageError("A PettingZoo environment's spec is known only after open().")
        return SimulatorSpec(
            tuple(members.group for members in self._members), deterministic=self._deterministic
        )

    def open(self, context: ServerContext) -> None:
        """Make one environment per arena, and sort their agents into groups.

        Raises:
            ConfigError: What ``env`` names cannot be found or makes no ParallelEnv.
            ContractError: An environment without ``possible_agents``, or unequal environments.
        """
        make = find(self._env)
        first: list[tuple[Hashable, Space[Any], Space[Any]]] = []
        for _ in range(context.arenas):
            env = made(make, self._env_options, self._env)
            if any(env is other for other in self._envs):
                raise ConfigError(
                    f"env={self._env!r} returned one and the same environment twice: expected a "
                    "new one at each call, since every arena has its own."
                )
            self._envs.append(env)
            self._turns.append(_turn_based(env))
            found = _agents_of(env)
            first = first or found
            if found != first:
                raise ContractError(
                    f"env={self._env!r} makes environments of different agents or spaces: "
                    f"expected {first}, found {found}. Fix what varies by env_options."
                )
        self._known = frozenset(agent for agent, _, _ in first)
        self._ended: list[set[Hashable]] = [set() for _ in self._envs]
        self._members = self._sorted_into_groups(first)

    def _sorted_into_groups(
        self, agents: list[tuple[Hashable, Space[Any], Space[Any]]]
    ) -> tuple[_Members, ...]:
        groups: list[list[tuple[Hashable, Space[Any], Space[Any]]]] = []
        for entry in agents:
            for group in groups:
                if group[0][1:] == entry[1:]:
                    group.append(entry)
                    break
            else:
                groups.append([entry])
        names = group_names([[str(agent) for agent, _, _ in group] for group in groups])
        members = tuple(
            _Members.of(name, [agent for agent, _, _ in group], *group[0][1:])
            for name, group in zip(names, groups, strict=True)
        )
        return self._with_masks_from_infos(members) if self._masked is not False else members

    def _with_masks_from_infos(self, members: tuple[_Members, ...]) -> tuple[_Members, ...]:
        """Mark the groups whose masks come in infos."""
        open_questions = [m for m in members if m.branches and not m.mask_in_observation]
        if not open_questions:
            return members
        bringing = set(self._known)
        if self._masked is None:
            _, infos = _reset(self._envs[0], 0, None)
            bringing = {agent for agent, info in infos.items() if info and _MASK in info}
        return tuple(
            m.masked_by_infos() if m in open_questions and bringing & set(m.agents) else m
            for m in members
        )

    def set_reset_options(self, options: Mapping[int, Mapping[str, Any]]) -> None:
        """Keep what each arena's next ``env.reset`` gets as ``options``."""
        self._reset_options.update(options)

    def reset(self, arenas: NDArray[np.intp], seeds: NDArray[np.uint64], rows: Rows) -> None:
        """Reset environments; agents that are not there yet are ABSENT."""
        for arena, seed in zip(arenas.tolist(), seeds.tolist(), strict=True):
            env = self._envs[arena]
            options = self._reset_options.pop(arena, None)
            observations, infos = _reset(env, seeding.env_seed(seed), options)
            present = self._present(env)
            self._ended[arena].clear()
            actor = self._actor(arena)
            for members in self._members:
                group = rows[members.name]
                for index, agent in enumerate(members.agents):
                    if agent not in present:
                        group.status[arena, index] = _ABSENT
                        continue
                    members.observe(group, arena, index, _of(observations, agent))
                    members.allow(group, arena, index, observations[agent], infos)
                    members.keep_info(self._reset_infos, arena, index, infos)
                    if actor is not None and agent != actor:
                        group.status[arena, index] = _WAITING
        self._allow_something(arenas, rows)

    def step(self, arenas: NDArray[np.intp], rows: Rows) -> None:
        """Step environments with the actions of their ACTIVE agents."""
        for arena in arenas.tolist():
            env = self._envs[arena]
            actions: dict[Hashable, Any] = {}
            for members in self._members:
                members.read_actions(rows[members.name], arena, actions)
            outcome = _step(env, actions)
            self._write_step(arena, self._present(env), outcome, rows)
        self._allow_something(arenas, rows)

    def _write_step(
        self, arena: int, present: frozenset[Hashable], outcome: _Outcome, rows: Rows
    ) -> None:
        observations, rewards, terminations, truncations, infos = outcome
        ended = self._ended[arena]
        actor = self._actor(arena)
        for members in self._members:
            group = rows[members.name]
            earned = [0.0] * len(members.agents)
            statuses = group.status[arena].tolist()
            for index, agent in enumerate(members.agents):
                is_there = agent in present
                terminated = terminations.get(agent, False)
                truncated = truncations.get(agent, False)
                was_there = statuses[index] != _ABSENT
                ends = terminated or truncated or not is_there
                if not was_there and (ends or agent in ended):
                    continue
                if was_there:
                    earned[index] = rewards.get(agent, 0.0)
                if is_there or observations.get(agent) is not None:
                    members.observe(group, arena, index, _of(observations, agent))
                if infos:
                    members.keep_info(self._step_infos, arena, index, infos)
                if ends:
                    group.terminated[arena, index] = terminated
                    group.truncated[arena, index] = truncated or not terminated
                    ended.add(agent)
                    continue
                members.allow(group, arena, index, observations[agent], infos)
                statuses[index] = _ACTIVE if actor is None or agent == actor else _WAITING
            group.reward[arena] = earned
            group.status[arena] = statuses
        if ended:  # who has left may come again; who was left standing in agents may not
            ended &= present

    def _actor(self, arena: int) -> Hashable | None:
        """Return the agent that alone may act, or None where all do."""
        turns = self._turns[arena]
        return None if turns is None else turns.agent_selection

    def _present(self, env: Any) -> frozenset[Hashable]:
        """Return the agents that are there now."""
        present = frozenset(env.agents)
        if not present <= self._known:
            strangers = ", ".join(sorted(map(repr, present - self._known)))
            raise ContractError(
                f"{env} has the agents {strangers}, which are not among its possible_agents "
                f"({', '.join(sorted(map(repr, self._known)))}). Name in possible_agents all that "
                "may ever appear: each needs a row."
            )
        return present

    def _allow_something(self, arenas: NDArray[np.intp], rows: Rows) -> None:
        for members in self._members:
            mask = rows[members.name].action_mask
            if mask is not None:
                assert members.branches is not None
                allow_first_where_none(mask, arenas, members.branches)

    def take_infos(self) -> Infos | None:
        """Return the infos that were not empty since the last call, or None."""
        if not self._step_infos and not self._reset_infos:
            return None
        infos = Infos(self._step_infos, self._reset_infos)
        self._step_infos, self._reset_infos = {}, {}
        return infos

    def render(self, arena: int) -> NDArray[np.uint8]:
        """Return the environment's own picture.

        Raises:
            UsageError: It returns none.
        """
        picture = self._envs[arena].render()
        if not isinstance(picture, np.ndarray) or picture.ndim != 3:
            raise UsageError(
                f"render() of {self._envs[arena]} returned {type(picture).__name__}: expected an "
                "array (height, width, 3). Make it with env_options={'render_mode': 'rgb_array'}."
            )
        return picture.astype(np.uint8, copy=False)

    def close(self) -> None:
        """Close all environments."""
        envs, self._envs, self._turns = self._envs, [], []
        with contextlib.ExitStack() as stack:  # goes on where one raises
            for env in envs:
                stack.callback(env.close)


@dataclass(frozen=True, eq=False)
class _Members:
    """One agent group: who is in it, and how its rows are read and written."""

    group: AgentGroup
    agents: tuple[Hashable, ...]
    branches: tuple[int, ...] | None
    mask_in_observation: bool = False
    mask_in_info: bool = False
    unwrap: bool = False
    """Whether the observation is the entry "observation" of the environment's own."""

    @classmethod
    def of(
        cls,
        name: str,
        agents: Sequence[Hashable],
        observation_space: Space[Any],
        action_space: Space[Any],
    ) -> _Members:
        """Find out what of the observation is a mask."""
        branches = _branches(action_space)
        inner, unwrap = observation_space, False
        is_masked = (
            branches is not None
            and isinstance(observation_space, spaces.Dict)
            and _MASK in observation_space.spaces
            and len(observation_space.spaces) > 1
        )
        if is_masked:
            assert isinstance(observation_space, spaces.Dict)
            rest = {k: v for k, v in observation_space.spaces.items() if k != _MASK}
            unwrap = list(rest) == ["observation"]
            inner = rest["observation"] if unwrap else spaces.Dict(rest)
        group = AgentGroup(name, tuple(map(str, agents)), inner, action_space, masked=is_masked)
        return cls(group, tuple(agents), branches, is_masked, False, unwrap)

    @property
    def name(self) -> str:
        return self.group.name

    def masked_by_infos(self) -> _Members:
        """Return the same group with masks that come in infos."""
        group = AgentGroup(
            self.name,
            self.group.agents,
            self.group.observation_space,
            self.group.action_space,
            masked=True,
        )
        return _Members(group, self.agents, self.branches, mask_in_info=True)

    def observe(self, group: GroupRows, arena: int, index: int, observation: Any) -> None:
        """Write what an agent sees."""
        seen = observation["observation"] if self.unwrap else observation
        _write(group.observation, (arena, index), seen, self.agents[index])

    def allow(
        self, group: GroupRows, arena: int, index: int, observation: Any, infos: Mapping[Any, Any]
    ) -> None:
        """Write what an agent may do, if its group is masked."""
        if group.action_mask is None:
            return
        agent = self.agents[index]
        if self.mask_in_observation:
            group.action_mask[arena, index] = self._flat_mask(observation[_MASK], agent)
        elif _MASK in (infos.get(agent) or {}):
            group.action_mask[arena, index] = self._flat_mask(infos[agent][_MASK], agent)
        else:  # an info that brings no mask forbids nothing
            group.action_mask[arena, index] = True

    def _flat_mask(self, mask: Any, agent: Hashable) -> NDArray[Any]:
        parts = mask if isinstance(mask, tuple) else (mask,)
        flat = np.concatenate([np.ravel(part) for part in parts])
        assert self.branches is not None
        if flat.size != sum(self.branches):
            raise ContractError(
                f"The action mask of agent {agent!r} has {flat.size} entries: expected "
                f"{sum(self.branches)}, one for each choice of {self.group.action_space} "
                "(MultiDiscrete: branch after branch; MultiBinary: no and yes of each)."
            )
        return flat

    def read_actions(self, group: GroupRows, arena: int, into: dict[Hashable, Any]) -> None:
        """Add the actions of the ACTIVE agents, each in its space's own type."""
        actions = group.action[arena]
        # copies: environments may keep or change what they are given
        is_single = isinstance(self.group.action_space, spaces.Discrete)
        own = actions.tolist() if is_single else actions.copy()
        for agent, status, action in zip(
            self.agents, group.status[arena].tolist(), own, strict=True
        ):
            if status == _ACTIVE:
                into[agent] = action

    def keep_info(
        self,
        into: dict[str, dict[int, dict[str, Any]]],
        arena: int,
        index: int,
        infos: Mapping[Any, Any],
    ) -> None:
        """Keep what an agent's info says that its row does not."""
        info = infos.get(self.agents[index])
        if not info:
            return
        known = (_ACTOR, _MASK) if self.mask_in_info else (_ACTOR,)
        news = {key: value for key, value in info.items() if key not in known}
        if news:
            into.setdefault(self.name, {})[arena * len(self.agents) + index] = news


def group_names(groups: Sequence[Sequence[str]]) -> list[str]:
    """Return a name for each group of agents; see `PettingZooSimulator`."""
    if len(groups) == 1:
        return ["agents"]
    names = [_common_words(agents) or agents[0] for agents in groups]
    unsure = {name for name in names if names.count(name) > 1}
    names = [
        agents[0] if name in unsure else name for name, agents in zip(names, groups, strict=True)
    ]
    return names if len(set(names)) == len(names) else [agents[0] for agents in groups]


def _common_words(names: Iterable[str]) -> str:
    """Return the words that all names begin with, their numbers at the end left out."""
    split = [re.findall(r"[^_\-. ]+|[_\-. ]+", re.sub(r"[_\-. ]*\d*$", "", n)) for n in names]
    common = []
    for words in zip(*split, strict=False):
        if len(set(words)) > 1:
            break
        common.append(words[0])
    return re.sub(r"[_\-. ]*\d*[_\-. ]*$", "", "".join(common))


def allow_first_where_none(
    mask: NDArray[np.bool_], arenas: NDArray[np.intp], branches: tuple[int, ...]
) -> None:
    """Allow the first choice of each branch of which a mask allows nothing, in place."""
    starts = np.cumsum((0, *branches[:-1]))
    has_legal = np.logical_or.reduceat(mask[arenas], starts, axis=-1)
    if not has_legal.all():
        which, agent, branch = np.nonzero(~has_legal)
        mask[arenas[which], agent, starts[branch]] = True


_Mapping = Mapping[Any, Any]
_Outcome = tuple[_Mapping, _Mapping, _Mapping, _Mapping, _Mapping]
"""Observations, rewards, terminations, truncations and infos, each by agent."""


def _step(env: Any, actions: dict[Hashable, Any]) -> _Outcome:
    outcome = env.step(actions)
    if not isinstance(outcome, tuple) or len(outcome) != 5:
        size = f" of {len(outcome)}" if isinstance(outcome, tuple) else ""
        raise ContractError(
            f"step() of {env} returned a {type(outcome).__name__}{size}: expected (observations, "
            "rewards, terminations, truncations, infos). Older PettingZoo environments returned "
            "dones: update the environment."
        )
    return outcome


def _reset(env: Any, seed: int, options: Mapping[str, Any] | None) -> tuple[Any, Any]:
    begun = env.reset(seed=seed, options=None if options is None else dict(options))
    if not isinstance(begun, tuple) or len(begun) != 2:
        raise ContractError(
            f"reset() of {env} returned a {type(begun).__name__}: expected (observations, infos). "
            "Older PettingZoo environments returned observations alone: update the environment."
        )
    return begun


def _turn_based(env: Any) -> Any:
    """Return the AECEnv inside, which knows whose turn it is; None if all agents act at once."""
    while isinstance(env, BaseParallelWrapper):
        env = env.env
    return env.aec_env if isinstance(env, turn_based_aec_to_parallel_wrapper) else None


def _of(observations: Mapping[Any, Any], agent: Hashable) -> Any:
    try:
        return observations[agent]
    except KeyError:
        raise ContractError(
            f"There is no observation of agent {agent!r}, who is in env.agents: expected one for "
            f"each of them, found {', '.join(map(repr, observations))}."
        ) from None


def _write(tree: Any, where: tuple[int, int], value: Any, agent: Hashable) -> None:
    if isinstance(tree, dict):
        for key, inner in tree.items():
            _write(inner, where, value[key], agent)
    elif isinstance(tree, tuple):
        for inner, part in zip(tree, value, strict=True):
            _write(inner, where, part, agent)
    elif np.shape(value) != tree.shape[2:]:  # or NumPy would broadcast some of them in silence
        raise ContractError(
            f"An observation of agent {agent!r} has shape {np.shape(value)}: expected "
            f"{tree.shape[2:]}, as in its observation space."
        )
    else:
        tree[where] = value


def _branches(space: Space[Any]) -> tuple[int, ...] | None:
    """Return the sizes of an action's choices, or None if it has none to mask."""
    if isinstance(space, spaces.Discrete):
        return (int(space.n),)
    if isinstance(space, spaces.MultiDiscrete):
        return tuple(int(n) for n in space.nvec.ravel())
    if isinstance(space, spaces.MultiBinary):
        return (2,) * int(np.prod(space.shape))
    return None


def _agents_of(env: Any) -> list[tuple[Hashable, Space[Any], Space[Any]]]:
    """Return each possible agent with its spaces."""
    agents = list(getattr(env, "possible_agents", None) or ())
    if not agents:
        raise ContractError(
            f"{env} has no possible_agents: expected a list of all agents that may ever appear, "
            "known before the first reset. Each of them gets a row; add the attribute."
        )
    if len({str(agent) for agent in agents}) < len(agents):
        raise ContractError(
            f"{env} has possible_agents {agents}: expected agents whose names differ as text."
        )
    return [(agent, env.observation_space(agent), env.action_space(agent)) for agent in agents]


def _refuse_unknown(unknown: Mapping[str, object]) -> None:
    if not unknown:
        return
    key = next(iter(unknown))
    known = [
        name
        for name in inspect.signature(PettingZooSimulator.__init__).parameters
        if name not in ("self", "unknown")
    ]
    raise ConfigError(
        f"pettingzoo has no option {key!r}.{nearest_name(key, known)} It has: "
        f"{', '.join(known)}. Options of the environment itself go into env_options."
    )
