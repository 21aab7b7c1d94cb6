"""From what a simulator says of itself to the arrays of a pool."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gym_multisim import masks
from gym_multisim.errors import ConfigError, ContractError
from gym_multisim.pool.buffers import GroupLayout, Layout
from gym_multisim.pool.spaces import ActionFormat, action_format, observation_tree
from gym_multisim.simulator import AgentGroup, SimulatorSpec


def plan_layout(simulator: str, spec: SimulatorSpec, servers: int, arenas: int) -> Layout:
    """Return the arrays that a pool of a simulator needs.

    Args:
        simulator: Its name, for messages.
        spec: What it says of itself.
        servers: How many servers the pool has.
        arenas: How many arenas each of them hosts.

    Raises:
        ContractError: The spec cannot be used.
        ConfigError: It does not fit what was asked for.
    """
    if not spec.groups or any(not group.agents for group in spec.groups):
        raise ContractError(
            f"The spec of simulator {simulator!r} has {spec.groups!r}: expected at least one "
            "agent group, and at least one agent in each."
        )
    _require_distinct("agent group names", [group.name for group in spec.groups])
    for group in spec.groups:
        _require_distinct(f"agent names of group {group.name!r}", group.agents)
    if spec.max_arenas is not None and arenas > spec.max_arenas:
        raise ConfigError(
            f"arenas_per_server is {arenas}, but one server of {simulator!r} hosts at most "
            f"{spec.max_arenas}. Use more servers."
        )
    groups = tuple(
        _group_layout(group, action_format(group.action_space), len(spec.metrics))
        for group in spec.groups
    )
    return Layout(servers, arenas, groups)


def agreed_spec(specs: Sequence[SimulatorSpec | None]) -> SimulatorSpec:
    """Return the spec that all workers reported.

    Raises:
        ContractError: They differ.
    """
    first = specs[0]
    assert first is not None
    for server, spec in enumerate(specs):
        if spec != first:
            raise ContractError(
                f"Server {server} reports another specification than server 0: expected "
                f"{first}, found {spec}. All servers of a pool must have equal spaces and agents."
            )
    return first


def _group_layout(group: AgentGroup, form: ActionFormat, metrics: int) -> GroupLayout:
    if group.masked and form.branches is None:
        raise ContractError(
            f"Agent group {group.name!r} is masked, but its action space {group.action_space} is "
            "not discrete. Masks are for Discrete, MultiDiscrete and MultiBinary."
        )
    idle_mask = None
    if group.masked:
        assert form.branches is not None
        assert form.start is not None
        choices = np.zeros((1, len(form.branches)), dtype=np.int64)
        if group.idle_action is not None:
            choices[0] = np.ravel(group.idle_action) - form.start
        idle_mask = masks.only(choices, form.branches)[0]
    return GroupLayout(
        name=group.name,
        agents=group.agents,
        observation=observation_tree(group.observation_space),
        action_shape=form.shape,
        action_dtype=form.dtype,
        mask_width=form.mask_width if group.masked else 0,
        branches=form.branches or () if group.masked else (),
        idle_mask=idle_mask,
        metrics=metrics,
    )


def _require_distinct(what: str, names: Sequence[str]) -> None:
    if len(set(names)) < len(names):
        raise ContractError(
            f"The simulator's spec has {what} {list(names)}, of which some occur more than once: "
            "give each a name of its own."
        )
