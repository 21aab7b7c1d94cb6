"""SimulatorPool: many simulator servers behind one ``send`` and ``recv``."""

from __future__ import annotations

import functools
import time
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gym_multisim import masks, registry, seeding
from gym_multisim.errors import (
    ClosedError,
    ConfigError,
    ContractError,
    ServerError,
    ServerTimeoutError,
    SimulatorError,
    UsageError,
    nearest_name,
)
from gym_multisim.pool.actions import ActionGate, CheckedActions, InvalidAction
from gym_multisim.pool.backends import Backend, InlineBackend, ProcessBackend, Timeouts
from gym_multisim.pool.batch import Batch, InfoMap
from gym_multisim.pool.buffers import Command, Control, GroupLayout, Layout, StepBuffers
from gym_multisim.pool.loop import Autoreset
from gym_multisim.pool.metrics import (
    PoolStatistics,
    WorkerState,
    WorkerStatistics,
    latency_percentile,
)
from gym_multisim.pool.spaces import ActionFormat, action_format, observation_tree
from gym_multisim.pool.worker import LoopSettings
from gym_multisim.simulator import NO_SEED, AgentGroup, Infos, Simulator, SimulatorSpec

BACKENDS = ("process", "inline")
_WIDTH, _SENT, _DONE = int(Control.WIDTH), int(Control.SENT), int(Control.DONE)
_NEWS = int(Control.NEWS)
_FOREVER = 3600.0
# Looked up once: an enum's members cost a step more than the rest of its bookkeeping.
_STEP, _RUNNING = Command.STEP, WorkerState.RUNNING
_LONGEST_TIMEOUT = 1e6  # what every way of waiting can count; stands for infinity, too


class SimulatorPool:
    """Runs several simulator servers, each with several arenas, and steps them in parallel.

    Row numbers: global arena × agents + agent, within an agent group; global arena = server ×
    ``arenas_per_server`` + arena.

    Example::

        with SimulatorPool("treasure_hunt", servers=2, arenas_per_server=8, seed=0) as pool:
            batch = pool.reset()
            batch = pool.step(choose(batch.observation, batch.action_mask))

    Args:
        simulator: A registered name, a `Simulator` subclass, or a function that returns one.
        servers: How many simulator servers, each in a worker of its own.
        arenas_per_server: How many arenas each of them hosts.
        seed: Master seed of all episodes; None draws one from the operating system.
        simulator_options: Keyword arguments of the simulator's class.
        backend: ``"process"``, or ``"inline"``: all in this process, for debugging.
        autoreset: When arenas that are over begin anew: an `Autoreset` or its value.
        decision_interval: How many simulator steps each action is held for.
        invalid_action: What to do with actions that a mask forbids: an `InvalidAction` or its
            value.
        invalid_action_penalty: Added to the reward of such actions under ``penalize``.
        startup_timeout: Seconds until all servers must be ready.
        step_timeout: Seconds that one step may take.
        reset_timeout: Seconds that one reset may take; added to a step that resets arenas.
        stop_timeout: Seconds that a worker has to end before it is killed.
        check_rows: Check at each step that observations and rewards are finite and masks allow
            something; costs a little.
        log_directory: Where to keep the servers' logs; None keeps only what errors need.
        inherit_output: Let workers write to this process's output instead of a log.

    Raises:
        ConfigError: A setting that cannot be used.
    """

    def __init__(
        self,
        simulator: str | type[Simulator] | Callable[..., Simulator],
        *,
        servers: int = 1,
        arenas_per_server: int = 1,
        seed: int | None = None,
        simulator_options: Mapping[str, Any] | None = None,
        backend: str = "process",
        autoreset: Autoreset | str = Autoreset.SAME_STEP,
        decision_interval: int = 1,
        invalid_action: InvalidAction | str = InvalidAction.ERROR,
        invalid_action_penalty: float = 0.0,
        startup_timeout: float = 60.0,
        step_timeout: float = 60.0,
        reset_timeout: float = 60.0,
        stop_timeout: float = 5.0,
        check_rows: bool = False,
        log_directory: str | Path | None = None,
        inherit_output: bool = False,
    ) -> None:
        self.name = _name_of(simulator)
        self.servers = _at_least_one("servers", servers)
        self.arenas_per_server = _at_least_one("arenas_per_server", arenas_per_server)
        _at_least_one("decision_interval", decision_interval)
        self.timeouts = Timeouts(
            _positive("startup_timeout", startup_timeout),
            _positive("step_timeout", step_timeout),
            _positive("reset_timeout", reset_timeout),
            _positive("stop_timeout", stop_timeout),
        )
        self._settings = LoopSettings(
            _member("autoreset", Autoreset, autoreset), decision_interval, check_rows
        )
        self._invalid_action = _member("invalid_action", InvalidAction, invalid_action)
        self._penalty = float(invalid_action_penalty)
        _choice("backend", backend, BACKENDS)
        self.seed = seeding.fresh_seed() if seed is None else int(seed)
        self._has_own_seed = seed is not None
        factory = registry.find(simulator).load() if isinstance(simulator, str) else simulator
        self._make_simulator = functools.partial(factory, **dict(simulator_options or {}))
        self.parallel = True
        """False steps the workers one after another, to see what parallelism brings."""
        self.is_closed = False
        self._is_reset = False
        self._spec: SimulatorSpec | None = None
        self._backend = self._make_backend(
            backend, None if log_directory is None else Path(log_directory), inherit_output
        )
        self._finalizer = weakref.finalize(self, self._backend.close, 0.0)
        self._state = WorkerState.STARTING
        self._invalid_actions = 0
        self._taken = [0] * self.servers  # generation whose rows were handed out last
        self._deadlines = [0.0] * self.servers
        self._replaced: dict[int, InfoMap] = {}

    def _make_backend(self, backend: str, logs: Path | None, inherit_output: bool) -> Backend:
        arguments = (self._make_simulator, self.servers, self.arenas_per_server, self._settings)
        if backend == "inline":
            return InlineBackend(*arguments)
        return ProcessBackend(
            *arguments,
            startup_timeout=self.timeouts.startup,
            log_directory=logs,
            inherit_output=inherit_output,
        )

    # --- life ---------------------------------------------------------------------------------

    def start(self) -> None:
        """Start all servers and wait until they are ready; does nothing if they are.

        Raises:
            StartupError: A server did not become ready; names it and shows its log.
            ConfigError: The simulator's spec does not fit what was asked for.
        """
        self._require_open()
        if self._state is not WorkerState.STARTING:
            return
        try:
            if self._spec is None:
                example = self._make_simulator()
                if not example.spec_needs_server:
                    self._adopt(example.spec())
            specs = self._backend.open(wants_spec=self._spec is None)
            if self._spec is None:
                self._adopt(_agreed(specs))
            spec = self.spec
            self._buffers: StepBuffers = self._backend.attach(
                self._layout, spec.reseeds, spec.continuing
            )
        except BaseException:
            self.close(kill=True)
            raise
        self._control = self._buffers.control
        self._prepare_batches()
        self._seed_arenas(self.seed)
        if not self._has_own_seed and not spec.reseeds:
            self._buffers.reset_seed[:] = NO_SEED
        self._state = WorkerState.RUNNING

    def close(self, *, kill: bool = False) -> None:
        """End all servers; safe to call again.

        Args:
            kill: Do not ask first.
        """
        if self.is_closed:
            return
        self.is_closed = True
        self._state = WorkerState.STOPPED
        self._finalizer.detach()
        self._backend.close(0.0 if kill else self.timeouts.stop)

    def __enter__(self) -> SimulatorPool:
        """Start, and return itself."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close; without asking if an exception is on its way."""
        self.close(kill=kind is not None)

    def __repr__(self) -> str:
        """Say what it runs and how it is."""
        return (
            f"<SimulatorPool {self.name}: {self.servers} servers × {self.arenas_per_server} "
            f"arenas, {self._state.value}>"
        )

    # --- what there is ------------------------------------------------------------------------

    @property
    def spec(self) -> SimulatorSpec:
        """The simulator's specification; starts the servers if only they know it."""
        if self._spec is None:
            example = self._make_simulator()
            if example.spec_needs_server:
                self.start()
            else:
                self._adopt(example.spec())
        assert self._spec is not None
        return self._spec

    @property
    def num_arenas(self) -> int:
        """Arenas in all servers together."""
        return self.servers * self.arenas_per_server

    def group(self, name: str | None = None) -> AgentGroup:
        """Return an agent group by its name, or the only one.

        Raises:
            ConfigError: There is no such group, or there are several and none was named.
        """
        groups = {group.name: group for group in self.spec.groups}
        if name is None:
            if len(groups) == 1:
                return next(iter(groups.values()))
            raise ConfigError(
                f"The simulator {self.name!r} has the agent groups "
                f"{', '.join(map(repr, groups))}: say which one, "
                f"as in group={next(iter(groups))!r}."
            )
        if name not in groups:
            raise ConfigError(
                f"The simulator {self.name!r} has no agent group {name!r}."
                f"{nearest_name(name, groups)} It has: {', '.join(map(repr, groups))}."
            )
        return groups[name]

    def num_rows(self, group: str | None = None) -> int:
        """Return how many rows a group has in the whole pool."""
        return self.num_arenas * len(self.group(group).agents)

    @property
    def autoreset(self) -> Autoreset:
        """When arenas that are over begin anew."""
        return self._settings.autoreset

    @property
    def can_render(self) -> bool:
        """Whether the simulator draws its arenas."""
        return type(self._make_simulator()).render is not Simulator.render

    @property
    def takes_reset_options(self) -> bool:
        """Whether the simulator takes options for a reset."""
        simulator = type(self._make_simulator())
        return simulator.set_reset_options is not Simulator.set_reset_options

    def buffers(self, group: str) -> Any:
        """Return all rows of a group, as views of shared memory (see `Batch` for who owns them)."""
        return self._buffers.groups[group]

    def sample_actions(self, batch: Batch, group: str) -> NDArray[Any]:
        """Return uniformly random legal actions for a group's rows, from the pool's own seed."""
        return self._gates[group].sample(batch.rows[group], batch.groups[group].action_mask)

    def statistics(self) -> PoolStatistics:
        """Return an immutable record of every worker."""
        self._require_started()
        workers = []
        for server in range(self.servers):
            words = self._control[server * _WIDTH : (server + 1) * _WIDTH]
            latency = self._buffers.latency[server]
            workers.append(
                WorkerStatistics(
                    server=server,
                    state=self._state,
                    pid=self._backend.pid(server),
                    steps=words[Control.STEPS],
                    episodes=words[Control.EPISODES],
                    busy_seconds=words[Control.BUSY_NS] * 1e-9,
                    wait_seconds=words[Control.WAIT_NS] * 1e-9,
                    step_p50=latency_percentile(latency, 50),
                    step_p99=latency_percentile(latency, 99),
                    memory_bytes=self._backend.memory(server),
                )
            )
        return PoolStatistics(tuple(workers), self._invalid_actions)

    # --- stepping -----------------------------------------------------------------------------

    def reset(
        self,
        seed: int | Sequence[int | None] | None = None,
        *,
        options: Mapping[str, Any] | Sequence[Mapping[str, Any] | None] | None = None,
        arenas: ArrayLike | None = None,
    ) -> Batch:
        """Begin new episodes, and return all rows.

        Args:
            seed: A new master seed (all arenas count their episodes from 0 again), or one seed
                per arena; None goes on where the arenas' seeds are.
            options: For simulators that take reset options: one mapping for all arenas that are
                reset, or a list with one (or None) for every arena.
            arenas: Which global arenas to reset, as a bool array; None resets all.

        Raises:
            UsageError: Steps are still pending: ``recv`` them first.
            ServerError: A server failed; everything is closed.
        """
        self.start()
        self._require_idle("reset")
        chosen = self._chosen_arenas(arenas)
        if options is not None:
            self._send_options(options, chosen)
        if seed is None:
            self._continue_seeds(chosen)
        elif isinstance(seed, (int, np.integer)):
            self._seed_arenas(int(seed))
        else:
            self._seed_arenas_by_hand(seed, chosen)
        self._buffers.reset_mask[:] = chosen
        self._is_reset = True
        self._replaced = {}
        self._post(range(self.servers), Command.RESET, self.timeouts.reset)
        return self.recv()

    def step(self, actions: Any) -> Batch:
        """Advance all arenas by one decision: ``send`` to all and ``recv`` of all.

        Args:
            actions: One action per row, or a mapping from group name to such arrays.

        Raises:
            ActionError: Actions that cannot be taken; nothing was stepped.
            ServerError: A server failed; everything is closed.
        """
        if self.parallel:
            self.send(actions)
            return self.recv()
        everyone = range(self.servers)
        self._write_actions(actions, None)
        infos: InfoMap = {}
        reset_infos: InfoMap = {}
        for server in everyone:
            self._post((server,), Command.STEP, self.timeouts.step)
            batch = self._collect([server], 1, None)
            _merge(infos, batch.infos)
            _merge(reset_infos, batch.reset_infos)
        return self._make_batch(list(everyone), infos, reset_infos)

    def send(self, actions: Any, workers: Sequence[int] | NDArray[np.intp] | None = None) -> None:
        """Let workers begin a step; returns at once.

        Args:
            actions: One action per row of these workers, in row order, or a mapping from group
                name to such arrays.
            workers: Indices of workers that are not stepping, ascending; None for all.

        Raises:
            ActionError: Actions that cannot be taken; nothing was sent.
            UsageError: Before ``reset``, or a worker is still stepping.
        """
        self._write_actions(actions, workers)
        self._post(
            range(self.servers) if workers is None else [int(w) for w in workers],
            _STEP,
            self.timeouts.step,
        )

    def recv(self, min_workers: int | None = None, timeout: float | None = None) -> Batch:
        """Wait for workers that were sent actions, and return the rows of all that are done.

        Args:
            min_workers: Return as soon as this many are done; None waits for all.
            timeout: Seconds after which to return with those that are done, perhaps none.

        Raises:
            UsageError: Nothing was sent.
            ServerError: A server failed or ran past its deadline; everything is closed.
        """
        self._require_started()
        pending = self._pending()
        if not pending:
            raise UsageError("recv() without a step under way: send() actions first.")
        needed = len(pending) if min_workers is None else min(min_workers, len(pending))
        if needed < self.servers or timeout is not None:
            self._backend.expect_each()
        return self._collect(pending, needed, timeout)

    def call(
        self, method: str, *args: Any, servers: Sequence[int] | None = None, **kwargs: Any
    ) -> list[Any]:
        """Call a method of the simulators in their workers, and return the answers.

        Raises:
            UsageError: A step is pending.
            SimulatorError: The method raised. The pool stays usable.
            ServerError: A server failed or did not answer in time; everything is closed.
        """
        self.start()
        self._require_idle(f"call({method!r})")
        chosen = list(range(self.servers)) if servers is None else list(servers)
        if len(set(chosen)) < len(chosen) or not set(chosen) <= set(range(self.servers)):
            raise UsageError(
                f"call(servers={chosen}): expected indices from 0 to {self.servers - 1}, each once."
            )
        answers, failure = [], None
        try:
            for server in chosen:
                self._deadlines[server] = time.monotonic() + self.timeouts.reset
                self._backend.post((server,), Command.CALL, (method, args, kwargs))
            self._await(chosen, len(chosen), None)
            for server in chosen:
                self._taken[server] = self._control[server * _WIDTH + _SENT]
                try:
                    answers.append(self._backend.take_news(server, self._deadlines[server]))
                except SimulatorError as error:
                    failure = failure or error
        except BaseException as error:
            if isinstance(error, ServerError) or not isinstance(error, Exception):
                self._fail()  # also where an interrupt may have left half a message
            raise
        if failure is not None:
            raise failure
        return answers

    def render(self, arena: int = 0) -> NDArray[np.uint8]:
        """Return a picture of one global arena, uint8 ``(height, width, 3)``."""
        if not 0 <= arena < self.num_arenas:
            raise ConfigError(
                f"There is no arena {arena}: expected 0 to {self.num_arenas - 1} (global number)."
            )
        server, local = divmod(arena, self.arenas_per_server)
        picture: NDArray[np.uint8] = self.call("render", local, servers=[server])[0]
        return picture

    # --- the inside of stepping ---------------------------------------------------------------

    def _write_actions(
        self, actions: Any, workers: Sequence[int] | NDArray[np.intp] | None
    ) -> None:
        """Check all actions, then write them; raises before anything is written."""
        if self._state is not _RUNNING:
            self._require_started()
        if not self._is_reset:
            raise UsageError("step() or send() before reset(): call reset() first.")
        if workers is None:
            self._require_idle("send")
            rows = self._everyone.rows
        else:
            self._require_free(workers)
            rows = self._rows_of(workers)
        if len(self._gates) > 1 or isinstance(actions, Mapping):
            self._require_groups(actions)
        else:
            actions = {self._only_group: actions}
        checked = {}
        any_replaced = bool(self._replaced)
        for name, gate in self._gates.items():
            group = self._buffers.groups[name]
            mask, status = group.action_mask, group.status
            if workers is not None:
                mask = None if mask is None else mask[rows[name]]
                status = status[rows[name]]
            checked[name] = result = gate.check(actions[name], rows[name], mask, status)
            any_replaced |= result.replaced is not None
        for name, result in checked.items():
            where = ... if workers is None else rows[name]
            self._buffers.groups[name].action[where] = result.actions
        if any_replaced:
            self._note_replaced(checked, range(self.servers) if workers is None else workers, rows)

    def _note_replaced(
        self,
        checked: Mapping[str, CheckedActions],
        workers: Iterable[int],
        rows: Mapping[str, NDArray[np.intp]],
    ) -> None:
        """Keep what was replaced for these workers' next batches, and note the penalties."""
        for server in workers:
            self._replaced.pop(int(server), None)
        for name, result in checked.items():
            if result.replaced is None:
                continue
            bad = rows[name][result.replaced]
            self._invalid_actions += len(bad)
            servers = (bad // self._rows_per_server[name]).tolist()
            executed = result.actions[result.replaced]
            for server, row, action in zip(servers, bad.tolist(), executed, strict=True):
                self._replaced.setdefault(server, {}).setdefault(name, {})[row] = action
            if self._invalid_action is InvalidAction.PENALIZE:
                self._buffers.groups[name].bonus[bad] = self._penalty
                for server in servers:
                    self._control[server * _WIDTH + Control.BONUS] = 1

    def _post(self, workers: Sequence[int], command: Command, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        for server in workers:
            self._deadlines[server] = deadline
        self._backend.post(workers, command)

    def _pending(self) -> list[int]:
        """Return the workers whose rows were not handed out since the last command to them.

        Their control words tell, so that no interrupt can leave the two in disagreement.
        """
        control = self._control
        return [s for s, taken in enumerate(self._taken) if control[s * _WIDTH + _SENT] != taken]

    def _collect(self, pending: list[int], needed: int, timeout: float | None) -> Batch:
        done = self._await(pending, needed, timeout)
        infos: InfoMap = {}
        reset_infos: InfoMap = {}
        control = self._control
        for server in done:
            if control[server * _WIDTH + _NEWS]:
                try:
                    self._take_infos(server, infos, reset_infos)
                except BaseException:  # an interrupt too: half a message cannot be read again
                    self._fail()
                    raise
            self._taken[server] = control[server * _WIDTH + _SENT]
        return self._make_batch(done, infos, reset_infos)

    def _await(self, pending: list[int], needed: int, timeout: float | None) -> list[int]:
        """Wait until ``needed`` of some workers are done; return all that are, ascending."""
        control = self._control
        until = None if timeout is None else time.monotonic() + timeout
        look_at = min([self._deadlines[server] for server in pending], default=0.0)
        while True:
            done = [
                server
                for server in pending
                if control[server * _WIDTH + _DONE] == control[server * _WIDTH + _SENT]
            ]
            if len(done) >= needed:
                break
            now = time.monotonic()
            if until is not None and now >= until:
                break
            if now >= look_at:
                look_at = now + self._time_left(now, pending, done)
            left = look_at - now
            try:
                self._backend.wait(left if until is None else min(left, until - now))
            except ServerError:
                self._fail()
                raise
        return done

    def _time_left(self, now: float, pending: list[int], done: list[int]) -> float:
        """Return the seconds to the next deadline, and raise if one has passed."""
        left = _FOREVER
        for server in pending:
            if server in done:
                continue
            deadline = self._deadlines[server]
            if now >= deadline and self._resets_within_step(server):
                deadline += self.timeouts.reset
            if now >= deadline:
                tail = self._backend.log_tail(server)
                late = now - deadline
                self._fail()
                raise ServerTimeoutError(
                    server,
                    f"did not answer before its deadline (step_timeout = {self.timeouts.step:g} s, "
                    f"reset_timeout = {self.timeouts.reset:g} s; {late:.1f} s over). It hangs, or "
                    "needs a longer timeout.",
                    log_tail=tail,
                )
            left = min(left, deadline - now)
        return left

    def _resets_within_step(self, server: int) -> bool:
        words = self._control[server * _WIDTH : (server + 1) * _WIDTH]
        return words[Control.COMMAND] == Command.STEP and bool(words[Control.RESETTING])

    def _take_infos(self, server: int, infos: InfoMap, reset_infos: InfoMap) -> None:
        news = self._backend.take_news(server, time.monotonic() + self.timeouts.step)
        if not isinstance(news, Infos):
            return
        for source, into in ((news.step, infos), (news.reset, reset_infos)):
            for group, by_row in source.items():
                offset = server * self._rows_per_server[group]
                into.setdefault(group, {}).update(
                    {offset + row: info for row, info in by_row.items()}
                )

    def _make_batch(self, workers: list[int], infos: InfoMap, reset_infos: InfoMap) -> Batch:
        selected = self._everyone if len(workers) == self.servers else self._select(workers)
        replaced: InfoMap = {}
        if self._replaced:
            for server in workers:
                _merge(replaced, self._replaced.get(server, {}))
        return Batch(selected.workers, selected.rows, selected.groups, infos, reset_infos, replaced)

    def _fail(self) -> None:
        self.close(kill=True)
        self._state = WorkerState.FATAL

    # --- preparation --------------------------------------------------------------------------

    def _adopt(self, spec: SimulatorSpec) -> None:
        """Check a spec against what was asked for, and derive the layout from it."""
        if not spec.groups or any(not group.agents for group in spec.groups):
            raise ContractError(
                f"The spec of simulator {self.name!r} has {spec.groups!r}: expected at least one "
                "agent group, and at least one agent in each."
            )
        _require_distinct("agent group names", [group.name for group in spec.groups])
        for group in spec.groups:
            _require_distinct(f"agent names of group {group.name!r}", group.agents)
        if spec.max_arenas is not None and self.arenas_per_server > spec.max_arenas:
            raise ConfigError(
                f"arenas_per_server is {self.arenas_per_server}, but one server of {self.name!r} "
                f"hosts at most {spec.max_arenas}. Use more servers."
            )
        forms = {group.name: action_format(group.action_space) for group in spec.groups}
        layouts = tuple(
            _group_layout(group, forms[group.name], len(spec.metrics)) for group in spec.groups
        )
        self._layout = Layout(self.servers, self.arenas_per_server, layouts)
        self._rows_per_server = {
            group.name: self.arenas_per_server * len(group.agents) for group in spec.groups
        }
        self._gates = {
            group.name: ActionGate(
                group.name,
                group.agents,
                forms[group.name],
                self._invalid_action,
                self.num_arenas * len(group.agents),
            )
            for group in spec.groups
        }
        self._only_group = spec.groups[0].name
        self._spec = spec

    def _prepare_batches(self) -> None:
        """Build the views that are handed out again and again: of all workers and of each."""
        rows = {name: np.arange(self.servers * n) for name, n in self._rows_per_server.items()}
        self._everyone = Batch(np.arange(self.servers), rows, self._buffers.groups)
        self._each = [self._view(slice(server, server + 1)) for server in range(self.servers)]

    def _view(self, servers: slice) -> Batch:
        slices = {
            name: slice(servers.start * n, servers.stop * n)
            for name, n in self._rows_per_server.items()
        }
        return Batch(
            np.arange(servers.start, servers.stop),
            {name: np.arange(s.start, s.stop) for name, s in slices.items()},
            {name: self._buffers.groups[name][s] for name, s in slices.items()},
        )

    def _select(self, workers: Sequence[int] | NDArray[np.intp]) -> Batch:
        if len(workers) == 1:
            return self._each[int(workers[0])]
        chosen = np.asarray(workers, dtype=np.intp)
        if len(chosen) and int(chosen[-1]) - int(chosen[0]) == len(chosen) - 1:
            return self._view(slice(int(chosen[0]), int(chosen[-1]) + 1))
        rows = self._rows_of(chosen)
        groups = {name: self._buffers.groups[name][index] for name, index in rows.items()}
        return Batch(chosen, rows, groups)

    def _rows_of(self, workers: Sequence[int] | NDArray[np.intp]) -> dict[str, NDArray[np.intp]]:
        """Return the row numbers of some workers, by group."""
        if len(workers) == 1:
            return self._each[int(workers[0])].rows
        chosen = np.asarray(workers, dtype=np.intp)
        return {
            name: (chosen[:, None] * n + np.arange(n)).ravel()
            for name, n in self._rows_per_server.items()
        }

    # --- seeds --------------------------------------------------------------------------------

    def _seed_arenas(self, master_seed: int) -> None:
        arenas = np.arange(self.num_arenas)
        self.seed = master_seed
        self._buffers.arena_key[:] = seeding.arena_keys(master_seed, arenas)
        self._buffers.episode[:] = 0
        self._buffers.reset_seed[:] = seeding.episode_seeds(self._buffers.arena_key, 0)
        self._reseed_gates(np.ones(self.num_arenas, dtype=np.bool_))

    def _seed_arenas_by_hand(self, seeds: Sequence[int | None], chosen: NDArray[np.bool_]) -> None:
        if len(seeds) != self.num_arenas:
            raise ConfigError(
                f"reset(seed=…) got {len(seeds)} seeds for {self.num_arenas} arenas: expected one "
                "per arena, or a single number."
            )
        self._continue_seeds(chosen)
        seeded = np.array([seed is not None for seed in seeds]) & chosen
        for arena, seed in enumerate(seeds):
            if seed is None or not seeded[arena]:
                continue
            key = seeding.arena_keys(int(seed), 0)
            self._buffers.arena_key[arena] = key
            self._buffers.episode[arena] = 0
            raw = np.uint64(int(seed) & 0xFFFF_FFFF_FFFF_FFFF)
            derived = seeding.episode_seeds(key, 0)
            self._buffers.reset_seed[arena] = derived if self.spec.reseeds else raw
        self._reseed_gates(seeded)

    def _continue_seeds(self, chosen: NDArray[np.bool_]) -> None:
        if not self._is_reset:
            return  # the constructor's seed stands written
        buffers = self._buffers
        if self.spec.reseeds:
            following = seeding.episode_seeds(buffers.arena_key, buffers.episode)
            buffers.reset_seed[chosen] = following[chosen]
        else:
            buffers.reset_seed[chosen] = NO_SEED

    def _reseed_gates(self, arenas: NDArray[np.bool_]) -> None:
        """Restart the random actions of some arenas; every agent of any group has its own."""
        first = 1
        for group in self.spec.groups:
            count = len(group.agents)
            agents = np.arange(first, first + count)
            keys = seeding.combine(self._buffers.arena_key[:, None], agents)
            self._gates[group.name].reseed(np.repeat(arenas, count), keys.ravel())
            first += count

    def _send_options(self, options: Any, chosen: NDArray[np.bool_]) -> None:
        if isinstance(options, Mapping):
            options = [options] * self.num_arenas
        if len(options) != self.num_arenas:
            raise ConfigError(
                f"reset(options=…) got {len(options)} mappings for {self.num_arenas} arenas: "
                "expected one per arena, or a single mapping."
            )
        by_server: dict[int, dict[int, dict[str, Any]]] = {}
        for arena, given in enumerate(options):
            if given and chosen[arena]:
                server, local = divmod(arena, self.arenas_per_server)
                by_server.setdefault(server, {})[local] = dict(given)
        for server, own in by_server.items():
            self.call("set_reset_options", own, servers=[server])

    # --- checks of use ------------------------------------------------------------------------

    def _require_open(self) -> None:
        if self.is_closed:
            why = "a server failed" if self._state is WorkerState.FATAL else "it was closed"
            raise ClosedError(f"{self!r} cannot be used any more: {why}. Make a new one.")

    def _require_started(self) -> None:
        self._require_open()
        if self._state is WorkerState.STARTING:
            raise UsageError("The pool has not started: call reset(), or use it as `with pool:`.")

    def _require_idle(self, what: str) -> None:
        self._require_open()
        if pending := self._pending():
            raise UsageError(f"{what} while workers {pending} are still stepping: recv() first.")

    def _require_free(self, workers: Sequence[int] | NDArray[np.intp]) -> None:
        pending = self._pending()
        previous = -1
        for worker in workers:
            if not 0 <= worker < self.servers or worker <= previous:
                raise UsageError(
                    f"send(workers={list(workers)}): expected ascending indices from 0 to "
                    f"{self.servers - 1}, each once."
                )
            if worker in pending:
                raise UsageError(
                    f"send() to worker {worker}, which is still stepping: recv() first."
                )
            previous = int(worker)

    def _require_groups(self, actions: Any) -> None:
        if not isinstance(actions, Mapping) or set(actions) != set(self._gates):
            found = sorted(actions) if isinstance(actions, Mapping) else type(actions).__name__
            raise UsageError(
                f"Actions must be a mapping with the agent groups {sorted(self._gates)}; "
                f"found {found}."
            )

    def _chosen_arenas(self, arenas: ArrayLike | None) -> NDArray[np.bool_]:
        if arenas is None:
            return np.ones(self.num_arenas, dtype=np.bool_)
        chosen = np.asarray(arenas)
        if chosen.dtype != np.bool_ or chosen.shape != (self.num_arenas,):
            raise ConfigError(
                f"reset(arenas=…) got {chosen.dtype} {chosen.shape}: expected a bool array of "
                f"shape ({self.num_arenas},)."
            )
        if not self._is_reset and not chosen.all():
            raise UsageError("The first reset() must be of all arenas.")
        return chosen


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


def _agreed(specs: Sequence[SimulatorSpec | None]) -> SimulatorSpec:
    """Return the spec that all workers reported."""
    first = specs[0]
    assert first is not None
    for server, spec in enumerate(specs):
        if spec != first:
            raise ContractError(
                f"Server {server} reports another specification than server 0: expected "
                f"{first}, found {spec}. All servers of a pool must have equal spaces and agents."
            )
    return first


def _merge(into: InfoMap, more: InfoMap) -> None:
    for group, by_row in more.items():
        into.setdefault(group, {}).update(by_row)


def _name_of(simulator: Any) -> str:
    if isinstance(simulator, str):
        return simulator
    return str(getattr(simulator, "__name__", type(simulator).__name__))


def _at_least_one(key: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ConfigError(f"{key} is {value!r}: expected a whole number of at least 1.")
    return int(value)


def _positive(key: str, value: float) -> float:
    if not isinstance(value, (int, float)) or not value > 0:
        raise ConfigError(f"{key} is {value!r}: expected a number of seconds above 0.")
    return min(float(value), _LONGEST_TIMEOUT)


def _choice(key: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise ConfigError(
            f"{key} is {value!r}.{nearest_name(str(value), known)} Expected one of: "
            f"{', '.join(map(repr, known))}."
        )


def _member(key: str, kind: type[Any], value: Any) -> Any:
    if isinstance(value, kind):
        return value
    values = [member.value for member in kind]
    _choice(key, value, values)
    return kind(value)
