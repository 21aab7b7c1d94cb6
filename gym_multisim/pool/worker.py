"""The worker process: a fresh interpreter that runs `main`, with one simulator server.

It imports NumPy, this package's small core and its one simulator. It talks through three things:
the shared buffers (rows and control words), two signals (go, done), and a channel for what is not
rows. In the order of its life:

    hello   → construct the simulator, open its server (and answer with the spec if asked)
    layout  → map the shared block, answer "ready"
    go …    → command from the control words, work, DONE written last, signal
    STOP    → close the simulator, unwind its resources, end
"""

from __future__ import annotations

import contextlib
import gc
import io
import mmap
import os
import pickle
import shutil
import socket
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gym_multisim.errors import SimulatorWarning
from gym_multisim.pool.buffers import Command, Control, Layout, Outcome, ServerBuffers, StepBuffers
from gym_multisim.pool.channel import Channel, RemoteError, encode
from gym_multisim.pool.loop import ArenaLoop, Autoreset
from gym_multisim.pool.metrics import latency_bucket
from gym_multisim.pool.scheduling import let_servers_differ
from gym_multisim.pool.signals import Countdown, Signal, die_with_parent
from gym_multisim.servers.ports import lease_port
from gym_multisim.simulator import ServerContext, Simulator, SimulatorSpec


@dataclass(frozen=True)
class LoopSettings:
    """How a pool wants every worker to run its arenas."""

    autoreset: Autoreset
    decision_interval: int
    check_rows: bool


@dataclass(frozen=True)
class Hello:
    """What a worker must know before there are buffers."""

    server: int
    arenas: int
    directory: str
    run_root: str
    """Where run directories go; the caller removes it, in case the worker cannot."""
    simulator: bytes
    """A pickled callable without arguments that returns the `Simulator`."""
    wants_spec: bool


@dataclass(frozen=True)
class Opened:
    """What a worker answers when its simulator is open.

    Attributes:
        spec: The specification, if it was asked for.
        notices: Messages of the `SimulatorWarning`s that were issued.
    """

    spec: SimulatorSpec | None
    notices: tuple[str, ...]


@dataclass(frozen=True)
class Setup:
    """What a worker must know to run."""

    layout: Layout
    reseeds: bool
    continuing: bool
    settings: LoopSettings


def make_context(
    server: int,
    arenas: int,
    log_fd: int,
    lifeline: int | None = None,
    run_root: str | None = None,
) -> ServerContext:
    """Return the context of one server; whatever it hands out is undone with its resources."""
    resources = ExitStack()

    def run_directory() -> Path:
        if run_root is not None:
            os.makedirs(run_root, mode=0o700, exist_ok=True)
        path = tempfile.mkdtemp(prefix=f"gym-multisim-{server}-", dir=run_root)
        resources.callback(shutil.rmtree, path, ignore_errors=True)
        return Path(path)

    return ServerContext(
        server=server,
        arenas=arenas,
        first_arena=server * arenas,
        log_fd=log_fd,
        lease_port=lambda port=None: lease_port(resources, port),
        run_directory=run_directory,
        resources=resources,
        lifeline_fd=lifeline,
    )


_STEPS, _BUSY_NS, _WAIT_NS = int(Control.STEPS), int(Control.BUSY_NS), int(Control.WAIT_NS)
_NEWS, _OUTCOME, _RESETTING = int(Control.NEWS), int(Control.OUTCOME), int(Control.RESETTING)
_OK, _ERROR = int(Outcome.OK), int(Outcome.ERROR)
# As plain numbers: looking up an enum's members at each step costs more than what is done with them


class CommandRunner:
    """Runs commands on a simulator's arenas; shared by workers and the inline backend.

    Attributes:
        news: What the last command has to tell besides rows, or None.
        prepare: To be called after each command, when the caller has its rows; or None.
    """

    def __init__(self, simulator: Simulator, buffers: ServerBuffers, setup: Setup) -> None:
        self._simulator = simulator
        self._control = buffers.control
        self._latency = buffers.latency.data  # quicker to index
        self._loop = ArenaLoop(
            simulator,
            reseeds=setup.reseeds,
            continuing=setup.continuing,
            buffers=buffers,
            autoreset=setup.settings.autoreset,
            decision_interval=setup.settings.decision_interval,
            check_rows=setup.settings.check_rows,
        )
        self.news: Any = None
        self.prepare = self._loop.prepare if self._loop.prepares else None

    def step(self) -> None:
        """Advance all arenas by one decision."""
        began = time.perf_counter_ns()
        self._loop.step()
        self.news = self._simulator.take_infos()
        taken = time.perf_counter_ns() - began
        self._latency[latency_bucket(taken)] += 1
        control = self._control
        control[_STEPS] += 1
        control[_BUSY_NS] += taken

    def reset(self) -> None:
        """Reset the arenas that the caller marked."""
        began = time.perf_counter_ns()
        self._loop.reset()
        self.news = self._simulator.take_infos()
        self._control[Control.BUSY_NS] += time.perf_counter_ns() - began

    def call(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Call a method of the simulator; its answer is the news."""
        self.news = getattr(self._simulator, method)(*args, **kwargs)


def _open(simulator: Simulator, context: ServerContext) -> tuple[str, ...]:
    """Open a simulator; return what it warns its user of. All warnings go to the log as well."""
    with warnings.catch_warnings(record=True) as caught:
        simulator.open(context)
    for it in caught:
        warnings.showwarning(it.message, it.category, it.filename, it.lineno)
    return tuple(str(it.message) for it in caught if issubclass(it.category, SimulatorWarning))


class Worker:
    """One worker's life after its descriptors are known."""

    def __init__(
        self,
        channel: Channel,
        memory: int,
        lifeline: int,
        go: Signal,
        done: Signal,
        countdown: Countdown,
    ) -> None:
        self._channel = channel
        self._memory = memory
        self._lifeline = lifeline
        self._go = go
        self._done = done
        self._countdown = countdown

    def run(self) -> None:
        """Set up, serve commands until STOP, and clean up."""
        hello: Hello = self._channel.receive()
        with contextlib.suppress(OSError):
            os.chdir(hello.directory)
        context = make_context(
            hello.server,
            hello.arenas,
            log_fd=1,
            lifeline=self._lifeline,
            run_root=hello.run_root,
        )
        with context.resources, contextlib.ExitStack() as closing:
            try:
                make_simulator: Callable[[], Simulator] = pickle.loads(hello.simulator)
                simulator = make_simulator()
                closing.callback(simulator.close)  # before the resources, also if open() fails
                notices = _open(simulator, context)
                spec = simulator.spec() if hello.wants_spec else None
                self._channel.send(encode(Opened(spec, notices)))
                setup: Setup = self._channel.receive()
                block = mmap.mmap(self._memory, setup.layout.size)
                buffers = StepBuffers.on(setup.layout, block).server(hello.server)
                runner = CommandRunner(simulator, buffers, setup)
            except Exception as error:
                self._channel.send(encode(RemoteError.of(error)))
                return
            self._channel.send(encode("ready"))
            gc.collect()
            gc.freeze()  # what exists now lives as long as the worker: never scan it again
            self._serve(runner, buffers.control)

    def _serve(self, runner: CommandRunner, control: memoryview) -> None:
        go, done, countdown = self._go, self._done, self._countdown
        step, call, stop = int(Command.STEP), int(Command.CALL), int(Command.STOP)
        sent, finished, command_word = int(Control.SENT), int(Control.DONE), int(Control.COMMAND)
        idle_since = time.perf_counter_ns()
        while True:
            go.wait()
            control[_WAIT_NS] += time.perf_counter_ns() - idle_since
            command = control[command_word]
            generation = control[sent]
            if command == stop:
                return
            if generation == control[finished]:
                continue  # woken twice for one command
            message = b""
            try:
                if command == step:
                    runner.step()
                elif command == call:
                    runner.call(*self._channel.receive())
                else:
                    runner.reset()
                if runner.news is not None:
                    message = encode(runner.news)
                control[_OUTCOME] = _OK
            except Exception as error:
                message = encode(RemoteError.of(error))
                control[_OUTCOME] = _ERROR
            control[_NEWS] = len(message)
            control[finished] = generation
            control[_RESETTING] = 0  # only now: until then the longer deadline holds
            idle_since = time.perf_counter_ns()
            if countdown.is_last():
                done.set()
            if message:
                try:
                    self._channel.send(message)  # after the signal: the caller reads meanwhile
                except OSError:  # the pool was closed without asking for it
                    return
            if runner.prepare is not None:
                runner.prepare()


def main() -> None:
    """Run a worker on the descriptors that the command line names."""
    sock, memory, lifeline, *signals = (int(word) for word in sys.argv[1:])
    die_with_parent(lifeline)
    let_servers_differ()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # the log of a killed worker is whole
    go = Signal(signals[0], signals[1])
    done = Signal(signals[2], signals[3])
    countdown = Countdown(signals[4])
    Worker(Channel(socket.socket(fileno=sock)), memory, lifeline, go, done, countdown).run()
