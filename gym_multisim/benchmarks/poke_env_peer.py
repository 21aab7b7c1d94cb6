"""poke-env as a peer: two of its RandomPlayers on a local Showdown server.

poke-env pins a version of Gymnasium of its own, so it gets a virtual environment in the user's
cache. The server is that of the npm package which `gym-multisim install showdown` put there; it
writes into its own folder, so it runs from a copy.

Both run below a pool's worker, as any simulator server does: they end with the benchmark, however
that ends.
"""

from __future__ import annotations

import fcntl
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from gymnasium.spaces import Box, Discrete
from numpy.typing import NDArray

from gym_multisim.errors import InstallError, MultiSimError
from gym_multisim.servers.node import cache_folder, find_node, installed_folder
from gym_multisim.servers.process import ServerProcess, described_end
from gym_multisim.simulator import AgentGroup, Rows, ServerContext, Simulator, SimulatorSpec
from gym_multisim.simulators.showdown.bridge_client import PROGRAM
from gym_multisim.simulators.showdown.simulator import NAME

VERSION = "0.16.1"
_COMPLETE = ".complete"
_PLAYERS = Path(__file__).with_name("poke_env_players.py")
_PIP_TIMEOUT = 600.0
_START_TIMEOUT = 50.0
_CONFIG = """
exports.bindaddress = '127.0.0.1';
exports.subprocesses = 0;
exports.watchconfig = false;
exports.repl = false;
"""
"""Appended to the package's example of a configuration. With server and players two processes are
busy, one for each core; more of them made it no faster."""


def peer_python(report: Callable[[str], None]) -> Path:
    """Return a Python that has poke-env, made on first use.

    Raises:
        InstallError: pip failed; the end of its output is shown.
    """
    folder = cache_folder() / f"poke-env-{VERSION}"
    python = folder / "bin" / "python"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with folder.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (folder / _COMPLETE).is_file():
                report(f"installing poke-env {VERSION} in {folder}, once")
                shutil.rmtree(folder, ignore_errors=True)  # of a run that was interrupted
                _run([sys.executable, "-m", "venv", str(folder)])
                _run([str(python), "-m", "pip", "install", "--quiet", f"poke-env=={VERSION}"])
                (folder / _COMPLETE).touch()
    except OSError as error:
        raise InstallError(f"poke-env cannot be installed in {folder}: {error}.") from error
    return python


def _run(command: list[str]) -> None:
    try:
        result = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=_PIP_TIMEOUT,
        )
    except subprocess.TimeoutExpired as error:
        raise InstallError(
            f"{' '.join(command)} did not end within {_PIP_TIMEOUT:g} s: see whether pip reaches "
            "its package index."
        ) from error
    if result.returncode != 0:
        last = (result.stdout.strip().splitlines() or ["(it said nothing)"])[-1]
        raise InstallError(f"{' '.join(command)} {described_end(result.returncode)}: {last}")


class PokeEnvBattles(Simulator):
    """A Showdown server and the program with two RandomPlayers; steps are never made.

    Args:
        python: A Python that has poke-env.
        battle_format: The format.
        concurrent: How many battles the players play at a time.
    """

    def __init__(self, python: Path, battle_format: str, concurrent: int) -> None:
        self._python = python
        self._format = battle_format
        self._concurrent = concurrent

    def spec(self) -> SimulatorSpec:
        """Return something: a pool wants rows."""
        group = AgentGroup("nobody", ("nobody",), Box(0.0, 1.0, (1,), np.float32), Discrete(1))
        return SimulatorSpec((group,))

    def open(self, context: ServerContext) -> None:
        """Start the server, then the players, and wait until they have begun."""
        port = context.lease_port()
        folder = _writable_copy(context.run_directory())
        command: list[str | Path] = [find_node().program, "pokemon-showdown", "start"]
        flags = ["--no-security", "--skip-build", "--port", str(port)]
        server = ServerProcess(context, [*command, *flags], directory=folder)
        server.connect(port, _START_TIMEOUT).close()
        ours, theirs = socket.socketpair()
        ours.settimeout(_START_TIMEOUT)
        context.resources.callback(ours.close)
        with theirs:
            words = [str(port), self._format, str(self._concurrent), str(theirs.fileno())]
            ServerProcess(context, [self._python, _PLAYERS, *words], pass_fds=(theirs.fileno(),))
        self._lines = context.resources.enter_context(ours.makefile("rw"))
        self._answer()

    def play(self, seconds: float) -> float:
        """Let battles go on for a while; return how many end in a second."""
        self._lines.write(f"{seconds}\n")
        self._lines.flush()
        battles, elapsed = self._answer().split()
        return int(battles) / float(elapsed)

    def reset(self, arenas: NDArray[np.intp], seeds: NDArray[np.uint64], rows: Rows) -> None:
        """Do nothing."""

    def step(self, arenas: NDArray[np.intp], rows: Rows) -> None:
        """Do nothing."""

    def _answer(self) -> str:
        line = self._lines.readline()
        if not line:
            raise MultiSimError("The program with poke-env's players ended; its log says why.")
        return line


def _writable_copy(folder: Path) -> Path:
    """Copy the package, and make the folders that its server wants."""
    modules = installed_folder(NAME, PROGRAM) / "node_modules"
    skipped = shutil.ignore_patterns("*.map", "*.ts")
    shutil.copytree(modules, folder / "node_modules", ignore=skipped, symlinks=True)
    package = folder / "node_modules" / "pokemon-showdown"
    for needed in ("logs/repl", "config/chat-plugins"):
        (package / needed).mkdir(parents=True)
    example = (package / "config/config-example.js").read_text(encoding="utf-8")
    (package / "config/config.js").write_text(example + _CONFIG, encoding="utf-8")
    return package
