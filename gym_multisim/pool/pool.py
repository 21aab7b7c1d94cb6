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

from gym_multisim import registry, seeding
from gym_multisim.errors import (
    ClosedError,
    ConfigError,
    ServerError,
    ServerTimeoutError,
    SimulatorError,
    UsageError,
    nearest_name,
)
from gym_multisim.pool.actions import ActionGate, CheckedActions, InvalidAction
from gym_multisim.pool.arena_seeds import ArenaSeeds
from gym_multisim.pool.backends import Backend, Timeouts
from gym_multisim.pool.batch import Batch, InfoMap
from gym_multisim.pool.buffers import Command, Control, StepBuffers
from gym_multisim.pool.inline_backend import InlineBackend
from gym_multisim.pool.loop import Autoreset
from gym_multisim.pool.metrics import (
    PoolStatistics,
    WorkerState,
    WorkerStatistics,
    latency_percentile,
)
from gym_multisim.pool.planning import agreed_spec, plan_layout
from gym_multisim.pool.process_backend import ProcessBackend
from gym_multisim.pool.settings import at_least_one, choice, member, positive
from gym_multisim.pool.spaces import action_format
from gym_multisim.pool.views import BatchViews
from gym_multisim.pool.worker import LoopSettings
from gym_multisim.simulator import AgentGroup, Infos, Simulator, SimulatorSpec

BACKENDS = ("process", "inline")
_WIDTH, _SENT, _DONE = int(Control.WIDTH), int(Control.SENT), int(Control.DONE)
_NEWS = int(Control.NEWS)
_FOREVER = 3600.0
# Looked up once: an enum's members cost a step more than the rest of its bookkeeping.
_STEP, _RUNNING = Command.STEP, WorkerState.RUNNING


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
        self.servers = at_least_one("servers", servers)
        self.arenas_per_server = at_least_one("arenas_per_server", arenas_per_server)
        at_least_one("decision_interval", decision_interval)
        self.timeouts = Timeouts(
            positive("startup_timeout", startup_timeout),
            positive("step_timeout", step_timeout),
            positive("reset_timeout", reset_timeout),
            positive("stop_timeout", stop_timeout),
        )
        self._settings = LoopSettings(
            member("autoreset", Autoreset, autoreset), decision_interval, check_rows
        )
        self._invalid_action = member("invalid_action", InvalidAction, invalid_action)
        self._penalty = float(invalid_action_penalty)
        choice("backend", backend, BACKENDS)
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
                self._adopt(agreed_spec(specs))
            spec = self.spec
            self._buffers: StepBuffers = self._backend.attach(
                self._layout, spec.reseeds, spec.continuing
            )
        except BaseException:
            self.close(kill=True)
            raise
        self._control = self._buffers.control
        self._views = BatchViews(self._buffers, self._rows_per_server)
        self._seeds = ArenaSeeds(self._buffers, spec.reseeds)
        self._seed_arenas(self.seed)
        if not self._has_own_seed and not spec.reseeds:
            self._seeds.none_at_first()
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
        if isinstance(seed, (int, np.integer)):
            self._seed_arenas(int(seed))
        else:
            if self._is_reset:  # before, the constructor's seed stands written
                self._seeds.go_on(chosen)
            if seed is not None:
                self._restart_random_actions(self._seeds.by_hand(seed, chosen))
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
            rows = self._views.everyone.rows
        else:
            self._require_free(workers)
            rows = self._views.rows_of(workers)
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
        selected = self._views.of(workers)
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
        """Check a spec against what was asked for, and derive from it what it decides."""
        self._layout = plan_layout(self.name, spec, self.servers, self.arenas_per_server)
        self._rows_per_server = {
            group.name: self.arenas_per_server * len(group.agents) for group in spec.groups
        }
        self._gates = {
            group.name: ActionGate(
                group.name,
                group.agents,
                action_format(group.action_space),
                self._invalid_action,
                self.num_arenas * len(group.agents),
            )
            for group in spec.groups
        }
        self._only_group = spec.groups[0].name
        self._spec = spec

    # --- seeds --------------------------------------------------------------------------------

    def _seed_arenas(self, master_seed: int) -> None:
        self.seed = master_seed
        self._seeds.from_master(master_seed)
        self._restart_random_actions(np.ones(self.num_arenas, dtype=np.bool_))

    def _restart_random_actions(self, arenas: NDArray[np.bool_]) -> None:
        """Restart `sample_actions` for some arenas; every agent of any group has its own."""
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


def _merge(into: InfoMap, more: InfoMap) -> None:
    for group, by_row in more.items():
        into.setdefault(group, {}).update(by_row)


def _name_of(simulator: Any) -> str:
    if isinstance(simulator, str):
        return simulator
    return str(getattr(simulator, "__name__", type(simulator).__name__))
