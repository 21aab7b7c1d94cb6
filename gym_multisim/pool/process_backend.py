"""The backend that gives each simulator a process of its own."""

from __future__ import annotations

import contextlib
import mmap
import os
import secrets
import select
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import cloudpickle
import psutil

from gym_multisim.errors import (
    ConfigError,
    ServerTimeoutError,
    SimulatorError,
    SimulatorWarning,
    StartupError,
    WorkerDiedError,
)
from gym_multisim.pool.backends import remote_error
from gym_multisim.pool.buffers import (
    Command,
    Control,
    Layout,
    Outcome,
    StepBuffers,
    create_memory_file,
)
from gym_multisim.pool.channel import RemoteError, encode, encode_request
from gym_multisim.pool.scheduling import available_cores
from gym_multisim.pool.signals import Countdown, Signal
from gym_multisim.pool.worker import Hello, LoopSettings, Opened, Setup
from gym_multisim.pool.worker_process import WorkerProcess
from gym_multisim.simulator import Simulator, SimulatorSpec

_WIDTH, _COMMAND, _SENT = int(Control.WIDTH), int(Control.COMMAND), int(Control.SENT)


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
        self._processes: list[WorkerProcess] = []
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
                process = WorkerProcess(
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
            answers: list[Opened] = self._gather(deadline)
            for notice in dict.fromkeys(it for answer in answers for it in answer.notices):
                warnings.warn(notice, SimulatorWarning, stacklevel=2)
        except BaseException:
            self.close(0.0)
            raise
        return [answer.spec for answer in answers]

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

    def _tell(self, process: WorkerProcess, message: bytes, deadline: float) -> None:
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

    def _late(self, process: WorkerProcess) -> StartupError:
        return StartupError(
            process.server,
            f"was not ready within startup_timeout = {self._startup_timeout:g} s. If it needs "
            "longer, raise startup_timeout.",
            log_tail=process.log_tail(),
        )

    def _startup_answer(self, process: WorkerProcess, deadline: float) -> Any:
        try:
            answer = process.channel.receive(deadline)
        except TimeoutError:
            raise self._late(process) from None
        except (EOFError, ConnectionError):
            raise process.gone(StartupError, "did not start") from None
        if isinstance(answer, RemoteError):
            original = answer.original()
            raise remote_error(
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

    def _send_request(self, process: WorkerProcess, message: bytes) -> None:
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
            raise remote_error(
                SimulatorError, server, "raised", news, process.log_tail()
            ) from original
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


class _Poller:
    """One wait over the common signal and the ends of all workers."""

    def __init__(self, done_fd: int) -> None:
        self._done_fd = done_fd
        self._poll = select.epoll() if hasattr(select, "epoll") else select.poll()
        self._in_seconds = hasattr(select, "epoll")
        self._poll.register(done_fd, select.POLLIN)
        self._server_of: dict[int, int] = {}

    def add(self, server: int, process: WorkerProcess) -> None:
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


def _pickled(simulator: Callable[[], Simulator]) -> bytes:
    try:
        data: bytes = cloudpickle.dumps(simulator)
    except Exception as error:
        raise ConfigError(
            f"The simulator, or one of its options, cannot be sent to a worker process: {error}. "
            "Make what cannot be pickled in the simulator's open(), or use backend='inline'."
        ) from error
    return data
