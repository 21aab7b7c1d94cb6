"""How workers run: in this process, one after another, or as processes of their own.

A backend only starts, wakes, awaits and ends workers. What the commands mean is the pool's and the
worker's business; which rows exist is the layout's.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import cloudpickle
import psutil

from gym_multisim.errors import (
    ConfigError,
    ServerError,
    ServerTimeoutError,
    SimulatorError,
    StartupError,
    WorkerDiedError,
)
from gym_multisim.pool.buffers import (
    Command,
    Control,
    Layout,
    Outcome,
    StepBuffers,
    create_memory_file,
)
from gym_multisim.pool.channel import Channel, RemoteError, encode, encode_request
from gym_multisim.pool.scheduling import available_cores, same_addresses
from gym_multisim.pool.signals import Countdown, Signal
from gym_multisim.pool.worker import CommandRunner, Hello, LoopSettings, Setup, make_context
from gym_multisim.simulator import Simulator, SimulatorSpec

_LOG_TAIL_BYTES = 4096
_LOG_TAIL_LINES = 20
_REAP_TIMEOUT = 10.0  # a killed process ends at once, unless the kernel itself is stuck
# `-X` marks the interpreter as a worker, so that importing the package skips what only callers
# need; unlike an environment variable, the worker's own children do not inherit it. The import path
# is the caller's from the first import on: no file in the working folder can take another's name.
_WORKER_COMMAND = (
    *(sys.executable, "-X", "gym_multisim_worker", "-c"),
    "import sys; sys.path[:] = sys.argv.pop().split('\\n'); "
    "from gym_multisim.pool.worker import main; main()",
)


@dataclass(frozen=True)
class Timeouts:
    """Deadlines in seconds.

    Attributes:
        startup: From the start of a worker until its simulator is ready.
        step: One step of all arenas of a server.
        reset: One reset, and what it adds to the deadline of a step that resets arenas.
        stop: From the request to end until a worker is killed.
    """

    startup: float = 60.0
    step: float = 60.0
    reset: float = 60.0
    stop: float = 5.0


class Backend(Protocol):
    """What the pool needs of the way its workers run."""

    def open(self, wants_spec: bool) -> list[SimulatorSpec | None]:
        """Start all workers; return each one's spec if asked for."""

    def attach(self, layout: Layout, reseeds: bool, continuing: bool) -> StepBuffers:
        """Give every worker its buffers; return the caller's view of them."""

    def post(self, servers: Sequence[int], command: Command, request: Any = None) -> None:
        """Let workers begin a command."""

    def expect_each(self) -> None:
        """Let `wait` return for each worker, as all of the last `post` are no longer awaited."""

    def wait(self, timeout: float) -> None:
        """Block until all of the last `post` may have finished, or some worker has died.

        At most ``timeout`` seconds. After `expect_each`, until some worker may have finished.

        Raises:
            WorkerDiedError: A worker has ended.
        """

    def take_news(self, server: int, deadline: float) -> Any:
        """Return the news of a worker whose command ended well.

        Raises:
            SimulatorError: The command raised; carries the worker's traceback.
        """

    def pid(self, server: int) -> int:
        """Return the process id of a worker."""

    def memory(self, server: int) -> int:
        """Return the resident bytes of a worker and its children, or 0."""

    def log_tail(self, server: int) -> str:
        """Return the last lines of a server's log."""

    def close(self, grace: float) -> None:
        """Ask all workers to end, wait at most ``grace`` seconds, then kill what is left."""


class InlineBackend:
    """All simulators in the caller's process, stepped one after another as they are posted."""

    def __init__(
        self, simulator: Callable[[], Simulator], servers: int, arenas: int, settings: LoopSettings
    ) -> None:
        self._arenas = arenas
        self._settings = settings
        self._make_simulator = simulator
        self._servers = servers
        self._simulators: list[Simulator] = []
        self._contexts = contextlib.ExitStack()
        self._runners: list[CommandRunner] = []
        self._buffers: StepBuffers | None = None
        self._news: dict[int, Any] = {}

    def open(self, wants_spec: bool) -> list[SimulatorSpec | None]:
        """Construct and open all simulators."""
        for server in range(self._servers):
            context = make_context(server, self._arenas, log_fd=2)
            self._contexts.enter_context(context.resources)
            try:
                simulator = self._make_simulator()
                self._contexts.callback(simulator.close)
                simulator.open(context)
            except Exception as error:
                self._contexts.close()
                raise _remote(
                    StartupError, server, "did not start", RemoteError.of(error), ""
                ) from error
            self._simulators.append(simulator)
        return [simulator.spec() if wants_spec else None for simulator in self._simulators]

    def attach(self, layout: Layout, reseeds: bool, continuing: bool) -> StepBuffers:
        """Make the buffers and the loops on them."""
        buffers = StepBuffers.on(layout, mmap.mmap(-1, layout.size))
        setup = Setup(layout, reseeds, continuing, self._settings)
        self._runners = [
            CommandRunner(simulator, buffers.server(server), setup)
            for server, simulator in enumerate(self._simulators)
        ]
        self._buffers = buffers
        return buffers

    def post(self, servers: Sequence[int], command: Command, request: Any = None) -> None:
        """Run the command at once; an exception waits for `take_news`."""
        for server in servers:
            self._run(server, command, request)

    def _run(self, server: int, command: Command, request: Any) -> None:
        assert self._buffers is not None
        control = self._buffers.control
        base = server * int(Control.WIDTH)
        control[base + Control.SENT] += 1
        runner = self._runners[server]
        outcome = Outcome.OK
        try:
            if command is Command.STEP:
                runner.step()
            elif command is Command.CALL:
                runner.call(*request)
            else:
                runner.reset()
            self._news[server] = runner.news
        except BaseException as error:
            outcome = Outcome.ERROR
            self._news[server] = error
            if not isinstance(error, Exception):
                raise  # an interrupt: now, and from whoever asks for this half of a step
        finally:
            control[base + Control.OUTCOME] = outcome
            control[base + Control.NEWS] = int(self._news[server] is not None)
            control[base + Control.DONE] = control[base + Control.SENT]
        if runner.prepare is not None:
            runner.prepare()

    def expect_each(self) -> None:
        """Do nothing: everything posted is done."""

    def wait(self, timeout: float) -> None:
        """Return at once: everything posted is done."""

    def take_news(self, server: int, deadline: float) -> Any:
        """Return the news of the last command, or raise its error."""
        assert self._buffers is not None
        news = self._news.pop(server, None)
        if self._buffers.control[server * int(Control.WIDTH) + Control.OUTCOME] == Outcome.ERROR:
            assert isinstance(news, BaseException)
            raise _remote(SimulatorError, server, "raised", RemoteError.of(news), "") from news
        return news

    def pid(self, server: int) -> int:
        """Return the caller's own process id."""
        return os.getpid()

    def memory(self, server: int) -> int:
        """Return 0: the simulators share the caller's memory."""
        return 0

    def log_tail(self, server: int) -> str:
        """Return nothing: simulators write to the caller's own output."""
        return ""

    def close(self, grace: float) -> None:
        """Close all simulators and what they registered."""
        self._contexts.close()


class ProcessBackend:
    """Each simulator in a fresh interpreter with a process group of its own."""

    def __init__(
        self,
        simulator: Callable[[], Simulator],
        servers: int,
        arenas: int,
        settings: LoopSettings,
        *,
        startup_timeout: float,
        log_directory: Path | None = None,
        inherit_output: bool = False,
    ) -> None:
        self._arenas = arenas
        self._settings = settings
        self._startup_timeout = startup_timeout
        self._payload = _pickled(simulator)
        self._log_directory = log_directory
        self._inherit_output = inherit_output
        self._servers = servers
        self._processes: list[_WorkerProcess] = []
        self._wake: list[Callable[[], object]] = []
        self._done = Signal.create()
        self._countdown = Countdown.create()
        self._memory = create_memory_file()
        self._block: mmap.mmap | None = None
        self._control = memoryview(b"")
        self._poller = _Poller(self._done.read_fd)
        self._owner = os.getpid()
        self._run_root = Path(tempfile.gettempdir(), f"gym-multisim-{secrets.token_hex(8)}")
        self._is_closed = False

    def open(self, wants_spec: bool) -> list[SimulatorSpec | None]:
        """Start all workers together and wait until each has opened its simulator."""
        deadline = time.monotonic() + self._startup_timeout
        try:
            for server in range(self._servers):
                process = _WorkerProcess(
                    server,
                    self._done,
                    self._countdown,
                    self._memory,
                    self._log_directory,
                    self._inherit_output,
                    has_same_addresses=self._servers > available_cores(),
                )
                self._processes.append(process)
                self._poller.add(server, process)
                self._wake.append(process.go.set)
                hello = Hello(
                    server=server,
                    arenas=self._arenas,
                    directory=os.getcwd(),
                    run_root=str(self._run_root),
                    simulator=self._payload,
                    wants_spec=wants_spec,
                )
                self._tell(process, encode(hello), deadline)
            return self._gather(deadline)
        except BaseException:
            self.close(0.0)
            raise

    def attach(self, layout: Layout, reseeds: bool, continuing: bool) -> StepBuffers:
        """Size the shared block, send its layout to all workers, wait until they are ready."""
        deadline = time.monotonic() + self._startup_timeout
        os.ftruncate(self._memory, layout.size)
        self._block = mmap.mmap(self._memory, layout.size)
        buffers = StepBuffers.on(layout, self._block)
        self._control = buffers.control
        message = encode(Setup(layout, reseeds, continuing, self._settings))
        try:
            for process in self._processes:
                self._tell(process, message, deadline)
            self._gather(deadline)
        except BaseException:
            self.close(0.0)
            raise
        return buffers

    def _tell(self, process: _WorkerProcess, message: bytes, deadline: float) -> None:
        try:
            process.channel.send(message, deadline)
        except TimeoutError:
            raise self._late(process) from None
        except OSError:
            raise process.gone(StartupError, "did not start") from None

    def _gather(self, deadline: float) -> list[Any]:
        """Receive one message from every worker, whichever comes first."""
        answers: dict[int, Any] = {}
        waiting = {process.channel_fd: process for process in self._processes}
        poller = select.poll()
        for fd in waiting:
            poller.register(fd, select.POLLIN)
        while waiting:
            left = deadline - time.monotonic()
            ready = poller.poll(max(left, 0.0) * 1000)
            if not ready:
                raise self._late(next(iter(waiting.values())))
            for fd, _ in ready:
                process = waiting.pop(fd)
                poller.unregister(fd)
                answers[process.server] = self._startup_answer(process, deadline)
        return [answers[server] for server in range(self._servers)]

    def _late(self, process: _WorkerProcess) -> StartupError:
        return StartupError(
            process.server,
            f"was not ready within startup_timeout = {self._startup_timeout:g} s. If it needs "
            "longer, raise startup_timeout.",
            log_tail=process.log_tail(),
        )

    def _startup_answer(self, process: _WorkerProcess, deadline: float) -> Any:
        try:
            answer = process.channel.receive(deadline)
        except TimeoutError:
            raise self._late(process) from None
        except (EOFError, ConnectionError):
            raise process.gone(StartupError, "did not start") from None
        if isinstance(answer, RemoteError):
            original = answer.original()
            raise _remote(
                StartupError, process.server, "did not start", answer, process.log_tail()
            ) from original
        return answer

    def post(self, servers: Sequence[int], command: Command, request: Any = None) -> None:
        """Write the command and a new generation for all of them, then wake them."""
        message = b"" if request is None else encode_request(request)
        control = self._control
        goals = [(server, control[server * _WIDTH + _SENT] + 1) for server in servers]
        try:
            self._let_begin(goals, command)
        except BaseException:  # an interrupt: what it cut short is done whole; twice does no harm
            self._let_begin(goals, command)
            self._countdown.clear()  # except to this
            raise
        if message:
            for server in servers:
                self._send_request(self._processes[server], message)

    def _let_begin(self, goals: Sequence[tuple[int, int]], command: Command) -> None:
        control, wake = self._control, self._wake
        self._countdown.start(len(goals))
        for server, generation in goals:
            base = server * _WIDTH
            control[base + _COMMAND] = command
            control[base + _SENT] = generation
        for server, _ in goals:  # one right after the other: a woken one may take our core
            wake[server]()

    def _send_request(self, process: _WorkerProcess, message: bytes) -> None:
        try:
            process.channel.send(message, time.monotonic() + self._startup_timeout)
        except TimeoutError:
            raise ServerTimeoutError(
                process.server, "did not take a call in time.", log_tail=process.log_tail()
            ) from None
        except OSError:
            raise process.gone(WorkerDiedError, "is gone") from None

    def expect_each(self) -> None:
        """Let every worker raise the common signal, not only the last."""
        self._countdown.clear()

    def wait(self, timeout: float) -> None:
        """Wait for the common signal; see `Backend.wait`."""
        for server in self._poller.poll(timeout):
            raise self._processes[server].gone(WorkerDiedError, "is gone")

    def take_news(self, server: int, deadline: float) -> Any:
        """Receive the news that the control words announce; see `Backend.take_news`."""
        base = server * _WIDTH
        if not self._control[base + Control.NEWS]:
            return None
        process = self._processes[server]
        try:
            news = process.channel.receive(deadline)
        except TimeoutError:
            raise ServerTimeoutError(
                server, "did not send its news in time.", log_tail=process.log_tail()
            ) from None
        except (EOFError, ConnectionError):
            raise process.gone(WorkerDiedError, "is gone") from None
        self._control[base + Control.NEWS] = 0  # they cannot be taken twice
        if self._control[base + Control.OUTCOME] == Outcome.ERROR:
            original = news.original()
            raise _remote(SimulatorError, server, "raised", news, process.log_tail()) from original
        return news

    def pid(self, server: int) -> int:
        """Return the process id of a worker."""
        return self._processes[server].popen.pid

    def memory(self, server: int) -> int:
        """Return the resident bytes of a worker and its children, or 0."""
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(self.pid(server))
            family = [process, *process.children(recursive=True)]
            return sum(int(member.memory_info().rss) for member in family)
        return 0

    def log_tail(self, server: int) -> str:
        """Return the last lines of a server's log."""
        return self._processes[server].log_tail()

    def close(self, grace: float) -> None:
        """Ask, wait, kill, reap; see `Backend.close`."""
        if self._is_closed or os.getpid() != self._owner:
            return  # a forked child of the caller must not end the caller's workers
        self._is_closed = True
        with contextlib.ExitStack() as ending:  # does all of it, in reverse, even if interrupted
            ending.callback(shutil.rmtree, self._run_root, ignore_errors=True)
            ending.callback(os.close, self._memory)
            ending.callback(self._done.close)
            ending.callback(self._countdown.close)
            ending.callback(self._poller.close)
            for process in self._processes:
                ending.callback(process.reap)
            for process in self._processes:
                ending.callback(process.kill)
            if grace > 0 and self._control:
                self._ask_to_end(time.monotonic() + grace)

    def _ask_to_end(self, deadline: float) -> None:
        for process in self._processes:
            self._control[process.server * _WIDTH + _COMMAND] = Command.STOP
            process.channel.close()  # news that nobody will read must not hold the worker up
            process.go.set()
        for process in self._processes:
            process.wait_end(deadline)


_WIDTH, _COMMAND, _SENT = int(Control.WIDTH), int(Control.COMMAND), int(Control.SENT)


class _WorkerProcess:
    """A worker as its parent sees it: a process group, a channel, signals and a log."""

    def __init__(
        self,
        server: int,
        done: Signal,
        countdown: Countdown,
        memory: int,
        log_directory: Path | None,
        inherit_output: bool,
        *,
        has_same_addresses: bool,
    ) -> None:
        self.server = server
        with contextlib.ExitStack() as passed_on, contextlib.ExitStack() as kept:
            self.go = Signal.create()
            kept.callback(self.go.close)
            ours, theirs = socket.socketpair()
            kept.callback(ours.close)
            passed_on.callback(theirs.close)
            self.channel = Channel(ours)
            self.channel_fd = ours.fileno()
            lifeline, ours_alive = os.pipe()
            kept.callback(_let_go, ours_alive)
            _lifelines.add(ours_alive)
            # Held here too, the reading end outlives its worker, so that the caller's death still
            # cuts the lifeline of whom a dead worker left behind. (Of what a dead process held,
            # Linux releases last what had the lowest number, and that is this end.)
            kept.callback(os.close, lifeline)
            self._log = kept.enter_context(_open_log(server, log_directory))
            signals = (self.go.read_fd, self.go.write_fd, done.read_fd, done.write_fd)
            fds = (theirs.fileno(), memory, lifeline)
            with same_addresses(has_same_addresses):
                self.popen = subprocess.Popen(
                    [
                        *_WORKER_COMMAND,
                        *map(str, (*fds, *signals, countdown.fd)),
                        _python_path(),
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=None if inherit_output else self._log,
                    stderr=None if inherit_output else self._log,
                    pass_fds={*fds, *signals, countdown.fd} - {-1},
                    start_new_session=True,
                    env=_worker_environment(),
                )
            self.exit_fd = -1
            if hasattr(os, "pidfd_open"):
                self.exit_fd = os.pidfd_open(self.popen.pid)
                kept.callback(os.close, self.exit_fd)
            self._kept = kept.pop_all()

    def wait_end(self, deadline: float) -> bool:
        """Wait until the process ends; return whether it did before the deadline."""
        try:
            self.popen.wait(max(deadline - time.monotonic(), 0.001))
        except subprocess.TimeoutExpired:
            return False
        return True

    def describe_end(self) -> str:
        """Say how the process ended, for an error message."""
        self.wait_end(time.monotonic() + 1.0)
        code = self.popen.returncode
        if code is None:
            return "closed its channel but still runs"
        if code < 0:
            try:
                name = signal.Signals(-code).name
            except ValueError:
                name = f"signal {-code}"
            hint = " (often the kernel's answer to memory running out)" if code == -9 else ""
            return f"was killed by {name}{hint}"
        return f"ended by itself with exit code {code}"

    def gone(self, kind: type[ServerError], what: str) -> ServerError:
        """Return the error that says how the process ended."""
        return kind(
            self.server, f"{what}: its worker {self.describe_end()}.", log_tail=self.log_tail()
        )

    def kill(self) -> None:
        """Kill the whole process group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.popen.pid, signal.SIGKILL)

    def reap(self) -> None:
        """Wait for the end of the killed worker, and close what belongs to it."""
        with self._kept:
            self.wait_end(time.monotonic() + _REAP_TIMEOUT)

    def log_tail(self) -> str:
        """Return the last lines of the log."""
        size = os.fstat(self._log.fileno()).st_size
        start = max(size - _LOG_TAIL_BYTES, 0)
        text = os.pread(self._log.fileno(), _LOG_TAIL_BYTES, start).decode(errors="replace")
        return "\n".join(text.splitlines()[-_LOG_TAIL_LINES:])


class _Poller:
    """One wait over the common signal and the ends of all workers."""

    def __init__(self, done_fd: int) -> None:
        self._done_fd = done_fd
        self._poll = select.epoll() if hasattr(select, "epoll") else select.poll()
        self._in_seconds = hasattr(select, "epoll")
        self._poll.register(done_fd, select.POLLIN)
        self._server_of: dict[int, int] = {}

    def add(self, server: int, process: _WorkerProcess) -> None:
        # Without pidfds, the worker's end shows as the hang-up of its channel.
        fd = process.exit_fd if process.exit_fd >= 0 else process.channel_fd
        self._server_of[fd] = server
        self._poll.register(fd, select.POLLIN if process.exit_fd >= 0 else select.POLLHUP)

    def poll(self, timeout: float) -> Iterable[int]:
        """Wait; clear the common signal; return the servers whose workers have ended."""
        events = self._poll.poll(timeout if self._in_seconds else timeout * 1000)
        ended = []
        for fd, _ in events:
            if fd == self._done_fd:
                os.read(fd, 8)
            else:
                ended.append(self._server_of[fd])
        return ended

    def close(self) -> None:
        if self._in_seconds:
            self._poll.close()  # type: ignore[union-attr]  # an epoll object


_lifelines: set[int] = set()
"""Descriptors whose closing ends a worker's process group."""


def _let_go(lifeline: int) -> None:
    _lifelines.discard(lifeline)
    os.close(lifeline)


def _forget_lifelines() -> None:
    """A forked child of the caller must not keep the caller's workers alive."""
    while _lifelines:
        os.close(_lifelines.pop())


os.register_at_fork(after_in_child=_forget_lifelines)


def _pickled(simulator: Callable[[], Simulator]) -> bytes:
    try:
        data: bytes = cloudpickle.dumps(simulator)
    except Exception as error:
        raise ConfigError(
            f"The simulator, or one of its options, cannot be sent to a worker process: {error}. "
            "Make what cannot be pickled in the simulator's open(), or use backend='inline'."
        ) from error
    return data


def _python_path() -> str:
    return "\n".join(path or os.getcwd() for path in sys.path)


def _worker_environment() -> dict[str, str]:
    """One thread per worker unless the user says otherwise: the workers are the parallelism."""
    environment = dict(os.environ)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        environment.setdefault(name, "1")
    return environment


def _open_log(server: int, directory: Path | None) -> IO[bytes]:
    if directory is None:
        return tempfile.TemporaryFile(buffering=0, prefix="gym-multisim-")  # has no name to leak
    directory.mkdir(parents=True, exist_ok=True)
    return (directory / f"server-{server}.log").open("w+b", buffering=0)


def _remote(
    kind: type[ServerError], server: int, what: str, error: RemoteError, log_tail: str
) -> ServerError:
    """Return the error that the caller sees for one that happened in a worker."""
    return kind(server, f"{what}: {error.summary}", worker_traceback=error.text, log_tail=log_tail)
