"""The backend that keeps all simulators in the caller's process, for debugging."""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Callable, Sequence
from typing import Any

from gym_multisim.errors import (
    SimulatorError,
    StartupError,
)
from gym_multisim.pool.backends import remote_error
from gym_multisim.pool.buffers import (
    Command,
    Control,
    Layout,
    Outcome,
    StepBuffers,
)
from gym_multisim.pool.channel import RemoteError
from gym_multisim.pool.worker import CommandRunner, LoopSettings, Setup, make_context
from gym_multisim.simulator import Simulator, SimulatorSpec


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
                raise remote_error(
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
            raise remote_error(SimulatorError, server, "raised", RemoteError.of(news), "") from news
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
